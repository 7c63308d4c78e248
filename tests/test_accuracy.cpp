/* Logits of large urns, and that the window around the mode loses nothing. */
#include <cmath>

#include "problems.h"

using namespace gurn_test;

namespace {

/* Where omega (m0 - k)(n - k) = k (m1 - n + k), in the support. */
double mode_of(double m0, double m1, double n, double omega) {
    const double a = omega - 1, b = omega * (m0 + n) + m1 - n, c = omega * m0 * n;
    const double root = 2 * c / (b + std::sqrt(std::max(0.0, b * b - 4 * a * c)));
    return std::min(std::min(m0, n), std::max(std::max(0.0, n - m1), root));
}

class Accuracy : public OnTarget {
protected:
    /* Two classes and one log omega for all rows: the oracle walks the support once, where it has weight. */
    void judge(int m0, int m1, int n, double log_odds, int64_t rows, double tau) {
        SCOPED_TRACE("m " + std::to_string(m0) + ", " + std::to_string(m1) + " n " + std::to_string(n) + " log odds " +
                     std::to_string(log_odds));
        Problem p;
        p.urn.m = {m0, m1};
        p.n = n;
        p.rows = rows;
        p.tau = tau;
        p.log_omega = rounded(GURN_FLOAT32, {log_odds, 0}); /* one problem for both dtypes */
        p.seed = 99;
        const Answer a = forward(p, kX | kLogP);
        const oracle::RowChain chain(p.urn, p.log_omega);
        /* The law is log-concave: 200 sigma and 400 counts from the mode there is less than e^-200 of it. */
        const double mode = mode_of(m0, m1, n, std::exp(p.log_omega[0]));
        const double curvature = 1 / (mode + 1) + 1 / (m0 - mode + 1) + 1 / (n - mode + 1) + 1 / (m1 - n + mode + 1);
        const int reach = static_cast<int>(std::min(1e9, 200 / std::sqrt(curvature) + 400));
        const oracle::Step step =
            oracle::step(chain, 0, n, static_cast<int>(mode) - reach, static_cast<int>(mode) + reach);
        for (int64_t b = 0; b < rows; b++) {
            const int64_t at = static_cast<int64_t>(a.x[2 * b]) - step.lo;
            ASSERT_TRUE(at >= 0 && at < static_cast<int64_t>(step.log_p.size()));
            const double want = static_cast<double>(step.log_p[at]);
            /*
             * DESIGN section 3: a logit is right to 1e-5 relative to the mode's, and so is logsumexp, as a mean of such; log_p
             * itself is rounded once. Float64: compensated tables, 4e-15 a term in each of at most 4e6 terms' random walk, and
             * k lambda with k up to 2e6 and lambda rounded to 2^-47 bit at worst: 1e-8.
             */
            const double limit = float32() ? 1e-5 + epsilon() * std::fabs(want) : 1e-8;
            ASSERT_TRUE(std::fabs(a.log_p[b] - want) <= limit)
                << a.log_p[b] << " for " << want << " at x = " << a.x[2 * b] << ", row " << b;
        }
        /* The race over the whole support, of some rows: no count outside the window would have won. */
        const int64_t judged = std::min<int64_t>(rows, 20);
        for (int64_t b = 0; b < judged; b++) {
            oracle::Real best = -INFINITY;
            for (size_t k = 0; k < step.logit.size(); k++) {
                const int count = step.lo + static_cast<int>(k);
                if (step.log_p[k] < -60) continue; /* 26.1 below the mode is beyond any noise */
                best = std::max(best, step.log_p[k] + oracle::gumbel(oracle::word(p.seed, b, 1, 0, count)));
            }
            const int count = static_cast<int>(a.x[2 * b]);
            const double shortfall = static_cast<double>(best - step.log_p[count - step.lo] -
                                                         oracle::gumbel(oracle::word(p.seed, b, 1, 0, count)));
            /* As in NoiseAddress; float64 as above. */
            ASSERT_TRUE(shortfall <= (float32() ? 2.5e-6 : 2e-8)) << shortfall << " row " << b;
        }
    }
};

}  // namespace

TEST_P(Accuracy, LogitsOfTwoMillion) {
    if (emulated()) GTEST_SKIP() << "a million lanes a row";
    const int million = 1000000;
    judge(2 * million, 2 * million, 2 * million, 0.3, 400, 1);
    judge(2 * million, 3 * million, million, -4, 400, 1);
    if (float32()) judge(2 * million, 100, 1999000, 5, 100, 1); /* n near m: one side of the support is short */
}

/* Windows of every form: centred, one-sided, at the ends, skewed by extreme odds, and relaxed ones at higher temperature. */
TEST_P(Accuracy, TheWindowLosesNothing) {
    struct Shape {
        int m0, m1, n;
    };
    for (const Shape &s :
         {Shape{1000, 1000, 1000}, Shape{20000, 20000, 18000}, Shape{5000, 20, 4000}, Shape{20, 5000, 4000},
          Shape{3000, 3000, 5990}, Shape{3000, 3000, 10}, Shape{700, 9000, 350}})
        for (double log_odds : {-12.0, -3.0, 0.0, 1.0, 7.0, 14.0})
            for (double tau : {1.0, 6.0}) {
                judge(s.m0, s.m1, s.n, log_odds, scaled(40, 3), tau);
                if (HasFatalFailure()) return;
            }
}

/* The largest class of a float32 plan, and the largest n whose counts float32 holds. */
TEST_P(Accuracy, MostBallsThereMayBe) {
    if (emulated() || !float32() || !chosen()) GTEST_SKIP() << "one target is enough for tables of 10^8 entries";
    Problem p;
    p.urn.m.assign(2, GURN_MAX_FLOAT32_M);
    p.n = GURN_MAX_FLOAT32_M;
    p.rows = 20;
    p.log_omega = {0.5, 0};
    const Answer a = forward(p, kX);
    const double m = p.urn.m[0], mean = mode_of(m, m, p.n, std::exp(0.5));
    const double sigma = 1 / std::sqrt(1 / mean + 1 / (m - mean) + 1 / (p.n - mean) + 1 / (m - p.n + mean));
    double spread = 0;
    for (int b = 0; b < 20; b++) {
        EXPECT_EQ(a.x[2 * b] + a.x[2 * b + 1], p.n);
        EXPECT_TRUE(std::fabs(a.x[2 * b] - mean) < 10 * sigma) << a.x[2 * b] << " mean " << mean << " sigma " << sigma;
        spread = std::max(spread, std::fabs(a.x[2 * b] - mean));
    }
    EXPECT_GT(spread, 0.1 * sigma);
}

ON_ALL_TARGETS(Accuracy);
