/* The urns and calls that many tests run over. */
#ifndef GURN_TESTS_PROBLEMS_H
#define GURN_TESTS_PROBLEMS_H

#include <string>
#include <vector>

#include "harness.h"
#include "oracle_bounds.h"

namespace gurn_test {

struct NamedProblem {
    std::string name;
    Problem problem;
};

/*
 * A spread of shapes (one class to twelve, empty classes, n = 0 and n = N, supports about a warp, orders, shared and per-row log
 * omega and n, temperatures), each with `rows` rows and Philox noise.
 */
std::vector<NamedProblem> assorted_problems(int64_t rows, oracle::Chain chain = oracle::Chain::merged);

/* Random upstream gradients of everything. */
Incoming random_incoming(const Problem &problem, uint64_t seed);

/* Random given noise, Gumbel-distributed, filled in for every entry. */
std::vector<double> random_gumbel(const Problem &problem, uint64_t seed);

/*
 * What an implementation may be off by, in a row of this urn. Float32: a logit by 1e-5 (DESIGN section 3). Float64: log-binomial
 * tables, sums and differences of magnitude log N! in a few roundings.
 */
oracle::ErrorModel error_model(gurn_dtype dtype, const oracle::Urn &urn);

/*
 * Judges gradients by the oracle, row by row, within what error_model allows to first order and as much again for what is beyond it;
 * a shared gradient is the sum over rows.
 */
void expect_oracle_gradient(const Problem &problem, gurn_dtype dtype, const std::vector<double> &x,
                            const Incoming &incoming, const Gradient &gradient);

/* Parts of what is laid out row after row. */
std::vector<double> slice(const std::vector<double> &v, int64_t b, int64_t width);

}  // namespace gurn_test

#endif
