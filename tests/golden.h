/* Files of cases in tests/data: `case NAME`, then `key value value ...` lines, then a blank line. Lines with # are comments. */
#ifndef GURN_TESTS_GOLDEN_H
#define GURN_TESTS_GOLDEN_H

#include <map>
#include <string>
#include <vector>

#include "harness.h"

namespace gurn_test {

struct GoldenCase {
    std::string name;
    std::map<std::string, std::vector<double>> values;
    std::vector<std::pair<std::string, std::vector<double>>> lines; /* in the order of the file, keys may come again */

    const std::vector<double> &at(const std::string &key) const { return values.at(key); }
    int integer(const std::string &key) const { return static_cast<int>(values.at(key).at(0)); }
};

/* Cases of tests/data/FILE; fails the test when there are none. */
std::vector<GoldenCase> load_golden(const std::string &file);
std::string data_path(const std::string &file);
std::string beside_program(const std::string &file); /* in the folder of the running program */

/* A case of mvhg_straight_through.txt as a call with given noise; its upstream gradients. */
Problem golden_problem(const GoldenCase &c);
Incoming golden_incoming(const GoldenCase &c);

}  // namespace gurn_test

#endif
