/* Judging what forward and backward gave by the oracle, row by row; both fail the running test. */
#ifndef GURN_TESTS_JUDGE_H
#define GURN_TESTS_JUDGE_H

#include "problems.h"

namespace gurn_test {

/*
 * Every output, hard or soft. A row in which the oracle finds nothing left to choose is NaN, and no other has a NaN. Soft rows at
 * temperatures above 100 that are on an edge are not judged further, nor their gradients.
 */
void expect_forward(gurn_dtype dtype, const Problem &problem, const Answer &answer);

/* Gradients of an x that forward gave. Those of a row whose x is NaN are NaN; a shared gradient is the sum over rows. */
void expect_gradient(gurn_dtype dtype, const Problem &problem, const std::vector<double> &x, const Incoming &incoming,
                     const Gradient &gradient);

/* Hard: whole counts between 0 and m that sum to n, their one-hots and masks. */
void expect_one_hots(const Problem &problem, const Answer &answer, int64_t b);

/*
 * In a soft row, whether some step but the first has a whole number left, or nearly: there the support changes, and where weights do not
 * fade towards its end (forbidden counts, high temperatures) all that follows; and the slope there of a count that is all but out is
 * that of a pole, known to few digits.
 */
bool on_an_edge(const Problem &problem, const std::vector<double> &x, int64_t b);

bool all_nan(const std::vector<double> &v);

}  // namespace gurn_test

#endif
