/* Seeds keep their meaning: every device and instruction set draws what tests/data/captured_draws.txt holds. */
#include "captured.h"
#include "golden.h"

using namespace gurn_test;

class Captured : public OnTarget {};

TEST_P(Captured, DrawsAreThoseOfTheFile) {
    std::map<std::string, std::vector<double>> file;
    for (const GoldenCase &c : load_golden("captured_draws.txt")) file[c.name] = c.at("x");
    int compared = 0;
    for (const CapturedProblem &c : captured_problems()) {
        if (c.dtype != dtype()) continue;
        ASSERT_TRUE(file.count(c.name)) << c.name << " is not in the file";
        EXPECT_EQ(forward(c.problem, kX).x, file[c.name]) << c.name;
        compared++;
    }
    EXPECT_GT(compared, 5);
}

ON_ALL_TARGETS(Captured);
