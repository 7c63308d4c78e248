/* Seeds keep their meaning: every device and instruction set draws what tests/data/captured_draws.txt holds. */
#include "captured.h"
#include "golden.h"
#include "plain_call.h"

using namespace gurn_test;

class Captured : public OnTarget {};

TEST_P(Captured, DrawsAreThoseOfTheFile) {
    std::map<std::string, std::vector<double>> file;
    for (const GoldenCase &c : load_golden("captured_draws.txt")) file[c.name] = c.at("x");
    int compared = 0;
    for (const CapturedProblem &c : captured_problems()) {
        if (c.dtype != dtype() || !samples(c.problem.urn.chain)) continue;
        ASSERT_TRUE(file.count(c.name)) << c.name << " is not in the file";
        EXPECT_EQ(forward(c.problem, kX).x, file[c.name]) << c.name;
        compared++;
    }
    EXPECT_GT(compared, 5);
}

ON_ALL_TARGETS(Captured);

class CapturedPlain : public OnPlainTarget {};

TEST_P(CapturedPlain, DrawsAreThoseOfTheFile) {
    std::map<std::string, std::vector<double>> file;
    for (const GoldenCase &c : load_golden("captured_draws.txt")) file[c.name] = c.at("x");
    for (const CapturedProblem &c : captured_plain_problems()) {
        ASSERT_TRUE(file.count(c.name)) << c.name << " is not in the file";
        const std::vector<int32_t> x = draw(c.problem);
        EXPECT_EQ(std::vector<double>(x.begin(), x.end()), file[c.name]) << c.name;
    }
}

ON_ALL_TARGETS(CapturedPlain);
