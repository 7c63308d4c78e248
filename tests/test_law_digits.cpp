/*
 * The digits that the law keeps where sums of large numbers would cancel, and what it makes of log omega: ratios, and omega = 0.
 * Expected values are closed forms.
 */
#include <cmath>

#include "law_call.h"

using namespace gurn_test;

namespace {

class LawDigits : public OnTarget {
protected:
    Problem problem(std::vector<int> m, std::vector<double> log_omega, int n) const {
        Problem p;
        p.urn.m = std::move(m);
        p.urn.chain = oracle::Chain::exact;
        p.log_omega = std::move(log_omega);
        p.n = n;
        return p;
    }
    Law law(const Problem &p) const { return Law(context(), GetParam(), p, 0, GURN_PLAN_LAW); }
    /* Relative error of a value that is rounded to the dtype, besides what is derived for float64. */
    double epsilon(double wide) const { return float32() ? 0x1p-23 : wide; }
};

}  // namespace

#define EXPECT_RELATIVE(got, want, error) EXPECT_TRUE(std::fabs((got) - (want)) <= (error)*std::fabs(want)) << (got)

/* C(N, 1) = C(N, N - 1) = N; the promise of the header is 1e-14 relative where log omega is 0. */
TEST_P(LawDigits, NormNearAllBalls) {
    const int m = GURN_MAX_FLOAT32_M;
    for (const int n : {1, GURN_MAX_BALLS - 1})
        EXPECT_RELATIVE(law(problem({m, m, m, m}, {0, 0, 0, 0}, n)).moments(false).log_norm[0], 26 * std::log(2.0),
                        epsilon(1e-14));
}

TEST_P(LawDigits, CertainCountsHaveLogProbabilityZero) {
    EXPECT_EQ(law(problem({12345}, {3}, 12344)).log_prob({12344})[0], 0);
    EXPECT_EQ(law(problem({12345, 7}, {3, -2}, 0)).log_prob({0, 0})[0], 0);
    EXPECT_EQ(law(problem({12345, 7}, {3, -2}, 12352)).log_prob({12345, 7})[0], 0);
    EXPECT_EQ(law(problem({12345, 0, 0}, {3, 1, 2}, 99)).log_prob({99, 0, 0})[0], 0);
}

/* One ball of 2^26, in classes of equal size: it is of a class with probability omega / sum of all omega. */
TEST_P(LawDigits, LogProbabilityOfManyBalls) {
    const int m = GURN_MAX_FLOAT32_M;
    Problem p = problem({m, m, m, m}, {0, 0, 0, std::log(5.0)}, 1);
    p.rows = 2;
    const std::vector<double> v = law(p).log_prob({1, 0, 0, 0, 0, 0, 0, 1});
    EXPECT_RELATIVE(v[0], std::log(0.125), epsilon(1e-14));
    EXPECT_RELATIVE(v[1], std::log(0.625), epsilon(0x1p-46)); /* the header's 1e-14 (1 + |log_p|) */
}

TEST_P(LawDigits, VarianceOfCountsThatHardlyVary) {
    for (const double v : law(problem({0, 0, 20, 0, 0}, {0, 1, 2, 3, 4}, 7)).moments().covariance) EXPECT_EQ(v, 0);
    /* One ball of the first class stays with probability p = 10 C(10, 6) / (omega C(10, 5)) = 25/3 / omega, omega = 1e20. */
    const std::vector<double> c = law(problem({10, 10}, {20 * std::log(10.0), 0}, 15)).moments().covariance;
    const double want = 25.0 / 3.0 * 1e-20, error = float32() ? 46.1 * 0x1p-23 : 46.1 * 0x1p-52; /* of log omega */
    EXPECT_RELATIVE(c[0], want, error);
    EXPECT_RELATIVE(c[3], want, error);
    EXPECT_RELATIVE(c[1], -want, error);
    EXPECT_EQ(c[1], c[2]);
}

/* 1/2 Var d^2 (1 + O(d)), d = 1e-7/3: the skewness of x is below 1e-3, so that the next term is below 1e-6 of it. */
TEST_P(LawDigits, DivergenceOfCloseLaws) {
    const double other = float32() ? std::log(3.0) + 1e-4 : std::log(3.0) + 1e-7 / 3;
    const Problem p = problem({2000000, 2000000}, {std::log(3.0), 0}, 2000000);
    Law l = law(p);
    const double d = static_cast<double>(float32() ? static_cast<float>(other) : other) -
                     (float32() ? static_cast<float>(std::log(3.0)) : std::log(3.0));
    EXPECT_RELATIVE(l.kl({other, 0})[0], 0.5 * l.moments().covariance[0] * d * d, float32() ? 2e-4 : 1e-6);
    EXPECT_EQ(l.kl({std::log(3.0), 0})[0], 0);
}

TEST_P(LawDigits, OnlyRatiosOfOmegaCount) {
    for (const double large : {8e5, 1e30, -1e30}) {
        const double step = large == 8e5 ? 1 : 0; /* neighbours of 1e30 are further apart than any odds that count */
        const std::vector<double> base = law(problem({5, 5, 5}, {0, step, 0}, 6)).moments().mean;
        const std::vector<double> mean = law(problem({5, 5, 5}, {large, large + step, large}, 6)).moments().mean;
        for (int c = 0; c < 3; c++) EXPECT_RELATIVE(mean[c], base[c], epsilon(1e-14));
    }
    const std::vector<double> apart = law(problem({5, 5, 5}, {1e30, 2e30, -1e30}, 6)).moments().mean;
    const std::vector<double> held = {0.5, 5, 0.5}; /* both others are held at the same distance below the largest */
    EXPECT_EQ(apart, held);
}

TEST_P(LawDigits, ClassesOfOmegaZero) {
    Problem p = problem({5, 5, 5}, {0, -INFINITY, 0}, 6);
    Law l = law(p), without = law(problem({5, 0, 5}, {0, 0, 0}, 6));
    const Law::Moments got = l.moments(), want = without.moments();
    EXPECT_EQ(got.log_norm, want.log_norm);
    EXPECT_EQ(got.mean, want.mean);
    EXPECT_EQ(got.covariance, want.covariance);
    EXPECT_EQ(l.log_prob({3, 0, 3}), without.log_prob({3, 0, 3}));
    EXPECT_EQ(l.log_prob({2, 1, 3})[0], -INFINITY);
    EXPECT_EQ(l.log_prob_backward({4, 0, 2}, {1}).log_omega[1], 0);
    EXPECT_EQ(l.mode(), without.mode());
    Law all = law(problem({5, 5, 5}, {0, 0, 0}, 6));
    EXPECT_EQ(all.kl({0, -INFINITY, 0})[0], INFINITY);
    /* Of the law that never draws a class against one that may: minus the log of the chance that the other does not. */
    EXPECT_RELATIVE(l.kl({0, 0, 0})[0], std::log(5005.0 / 210.0), epsilon(1e-13));
}

ON_ALL_TARGETS(LawDigits);
