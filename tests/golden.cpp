#include "golden.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace gurn_test {

std::string beside_program(const std::string &file) {
    return std::filesystem::read_symlink("/proc/self/exe").replace_filename(file).string();
}

std::string data_path(const std::string &file) { return beside_program("data/" + file); }

std::vector<GoldenCase> load_golden(const std::string &file) {
    std::ifstream in(data_path(file));
    std::vector<GoldenCase> cases;
    for (std::string line; std::getline(in, line);) {
        std::istringstream words(line);
        std::string key;
        if (!(words >> key) || key[0] == '#') continue;
        if (key == "case") {
            cases.emplace_back();
            words >> cases.back().name;
            continue;
        }
        std::vector<double> numbers;
        for (std::string word; words >> word;) numbers.push_back(std::strtod(word.c_str(), nullptr)); /* or 0 */
        cases.back().values[key] = numbers;
        cases.back().lines.emplace_back(key, numbers);
    }
    EXPECT_FALSE(cases.empty()) << "no cases in " << data_path(file);
    return cases;
}

Problem golden_problem(const GoldenCase &c) {
    Problem p;
    p.urn.m.assign(c.at("m").begin(), c.at("m").end());
    p.rows = c.integer("rows");
    p.log_omega = c.at("log_omega");
    p.n = c.integer("n");
    p.tau = c.at("tau")[0];
    p.noise = GURN_NOISE_GIVEN;
    p.gumbel.assign(p.rows * p.urn.width(), 0.0);
    for (int i = 0; i + 1 < p.urn.classes(); i++) {
        const std::vector<double> &g = c.at("gumbel" + std::to_string(i));
        const int points = p.urn.m[i] + 1;
        for (int64_t b = 0; b < p.rows; b++)
            for (int k = 0; k < points; k++) p.gumbel[b * p.urn.width() + p.urn.offset(i) + k] = g[b * points + k];
    }
    return p;
}

Incoming golden_incoming(const GoldenCase &c) {
    Incoming incoming;
    incoming.x = c.at("dx");
    incoming.log_p = c.at("dlogp");
    return incoming;
}

}  // namespace gurn_test
