/* The draws of fixed seeds that no later change may alter without saying so (tests/data/captured_draws.txt). */
#ifndef GURN_TESTS_CAPTURED_H
#define GURN_TESTS_CAPTURED_H

#include <string>
#include <vector>

#include "harness.h"

namespace gurn_test {

struct CapturedProblem {
    std::string name;
    gurn_dtype dtype;
    Problem problem;
};
std::vector<CapturedProblem> captured_problems();
std::vector<CapturedProblem> captured_plain_problems(); /* of gurn_mvhg_draw */

}  // namespace gurn_test

#endif
