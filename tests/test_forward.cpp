/* Forward against the oracle: draws, one-hots, masks and log-probabilities, hard and soft. */
#include <cmath>

#include "problems.h"

using namespace gurn_test;
using oracle::Chain;

namespace {

class ForwardTest : public OnTarget {
protected:
    void hard_agrees(Chain chain);
    void soft_agrees(Chain chain);
};

/* In hard mode x, y and mask leave no room: y is the one-hot of x, and mask its sum from above. */
void expect_one_hots(const Problem &p, const Answer &a) {
    const int C = p.urn.classes(), W = p.urn.width();
    for (int64_t b = 0; b < p.rows; b++) {
        double total = 0;
        for (int c = 0; c < C; c++) {
            const double x = a.x[b * C + c];
            ASSERT_TRUE(x >= 0 && x <= p.urn.m[c] && x == std::floor(x)) << x << " row " << b << " class " << c;
            total += x;
            for (int k = 0; k <= p.urn.m[c]; k++) {
                const size_t at = b * W + p.urn.offset(c) + k;
                ASSERT_EQ(a.y[at], k == x ? 1 : 0) << "row " << b << " class " << c << " count " << k;
                ASSERT_EQ(a.mask[at], k <= x ? 1 : 0) << "row " << b << " class " << c << " count " << k;
            }
        }
        ASSERT_EQ(total, p.n_of(b)) << "row " << b;
    }
}

}  // namespace

void ForwardTest::hard_agrees(Chain chain) {
    if (!samples(chain)) GTEST_SKIP() << "this chain is not in this build";
    for (const NamedProblem &named : assorted_problems(scaled(60, 6), chain)) {
        for (const gurn_noise_kind noise : {GURN_NOISE_PHILOX, GURN_NOISE_OFF, GURN_NOISE_GIVEN}) {
            SCOPED_TRACE(named.name + ", noise kind " + std::to_string(noise));
            Problem p = named.problem;
            p.noise = noise;
            if (noise == GURN_NOISE_GIVEN) p.gumbel = random_gumbel(p, 3);
            const Answer a = forward(p);
            expect_one_hots(p, a);
            if (HasFatalFailure()) return;
            const oracle::Urn urn = p.urn_of_call();
            const oracle::ErrorModel model = error_model(dtype(), urn);
            for (int64_t b = 0; b < p.rows; b++) {
                const oracle::Row row = p.row(b, dtype());
                const std::vector<double> x = slice(a.x, b, urn.classes());
                /* What decides is more exact than the 1e-5 of log_p: see NoiseAddress.DrawsAreTheOraclesDraws. */
                const double shortfall = oracle::shortfall(urn, row, x);
                ASSERT_TRUE(shortfall <= (float32() ? 2.5e-6 : 1e-11)) << shortfall << " row " << b;
                const double want = oracle::log_prob(urn, row.log_omega, row.n, std::vector<int>(x.begin(), x.end()));
                const double limit =
                    2 * oracle::forward_bounds(urn, row, x, model).log_p + 4 * epsilon() * std::fabs(want);
                ASSERT_TRUE(std::fabs(a.log_p[b] - want) <= limit) << a.log_p[b] << " for " << want << " row " << b;
            }
        }
    }
}

void ForwardTest::soft_agrees(Chain chain) {
    if (!samples(chain)) GTEST_SKIP() << "this chain is not in this build";
    for (const NamedProblem &named : assorted_problems(scaled(20, 4), chain)) {
        for (const gurn_noise_kind noise : {GURN_NOISE_PHILOX, GURN_NOISE_OFF, GURN_NOISE_GIVEN}) {
            SCOPED_TRACE(named.name + ", noise kind " + std::to_string(noise));
            Problem p = named.problem;
            p.soft = true;
            p.noise = noise;
            if (noise == GURN_NOISE_GIVEN) p.gumbel = random_gumbel(p, 4);
            const Answer a = forward(p);
            const oracle::Urn urn = p.urn_of_call();
            const int C = urn.classes(), W = urn.width();
            const oracle::ErrorModel model = error_model(dtype(), urn);
            for (int64_t b = 0; b < p.rows; b++) {
                const oracle::Row row = p.row(b, dtype());
                const oracle::Outputs want = oracle::forward(urn, row);
                const oracle::ForwardBounds bounds = oracle::forward_bounds(urn, row, want.x, model);
                /* Twice the first-order bound for the second order, and the rounding of the result. */
                const auto limit = [&](double bound, double value) {
                    return 2 * bound + 4 * epsilon() * (1 + std::fabs(value));
                };
                double total = 0;
                for (int c = 0; c < C; c++) {
                    const double x = a.x[b * C + c];
                    ASSERT_TRUE(std::fabs(x - want.x[c]) <= limit(bounds.x[c], want.x[c]))
                        << x << " for " << want.x[c] << " row " << b << " class " << c;
                    total += x;
                }
                ASSERT_TRUE(std::fabs(total - row.n) <= 2 * C * epsilon() * (1 + row.n)) << total << " row " << b;
                for (int i = 0; i < W; i++) {
                    ASSERT_TRUE(std::fabs(a.y[b * W + i] - want.y[i]) <= limit(bounds.y[i], want.y[i]))
                        << a.y[b * W + i] << " for " << want.y[i] << " row " << b << " y " << i;
                    ASSERT_TRUE(std::fabs(a.mask[b * W + i] - want.mask[i]) <= limit(bounds.mask[i], 2))
                        << a.mask[b * W + i] << " for " << want.mask[i] << " row " << b << " mask " << i;
                }
                ASSERT_TRUE(std::fabs(a.log_p[b] - want.log_p) <= limit(bounds.log_p, want.log_p))
                    << a.log_p[b] << " for " << want.log_p << " row " << b;
            }
        }
    }
}

TEST_P(ForwardTest, HardMergedAgreesWithTheOracle) { hard_agrees(Chain::merged); }
TEST_P(ForwardTest, HardExactAgreesWithTheOracle) { hard_agrees(Chain::exact); }
TEST_P(ForwardTest, SoftMergedAgreesWithTheOracle) { soft_agrees(Chain::merged); }
TEST_P(ForwardTest, SoftExactAgreesWithTheOracle) { soft_agrees(Chain::exact); }

/* Equal weights are a tie in exact arithmetic: C(3,1) C(3,2) = C(3,2) C(3,1). The smaller count is the mode. */
TEST_P(ForwardTest, ModeTiesGoToTheSmallerCount) {
    Problem p;
    p.urn.m = {3, 3};
    p.n = 3;
    p.log_omega = {0.7, 0.7};
    p.noise = GURN_NOISE_OFF;
    EXPECT_EQ(forward(p, kX).x, (std::vector<double>{1, 2}));
    p.urn.m = {1, 1};
    p.n = 1;
    EXPECT_EQ(forward(p, kX).x, (std::vector<double>{0, 1}));
}

/* Given noise may be any number but NaN and +infinity; -infinity forbids a count. */
TEST_P(ForwardTest, GivenNoiseDecidesWhateverItsSize) {
    Problem p;
    p.urn.m = {50, 60, 70};
    p.n = 60;
    p.rows = 51;
    p.log_omega = {0.1, 0.2, 0.3};
    p.noise = GURN_NOISE_GIVEN;
    p.gumbel.assign(p.rows * p.urn.width(), 0);
    for (int b = 0; b < 51; b++) {
        if (b % 2 == 0)
            p.gumbel[b * p.urn.width() + b] = 1e4;
        else
            for (int k = 0; k <= 50; k++)
                if (k != b) p.gumbel[b * p.urn.width() + k] = -INFINITY;
    }
    const Answer a = forward(p);
    expect_one_hots(p, a);
    for (int b = 0; b < 51; b++) EXPECT_EQ(a.x[3 * b], b);
    for (double v : a.log_p) EXPECT_TRUE(std::isfinite(v));
}

/* Entries of the last class are not read, whatever lies there. */
TEST_P(ForwardTest, GivenNoiseOfTheLastClassIsNotRead) {
    Problem p;
    p.urn.m = {9, 3, 5, 0};
    p.urn.order = {0, 2, 1, 3};
    p.n = 13;
    p.rows = 20;
    p.log_omega = {0.1, 0.2, 0.3, 0.4};
    p.noise = GURN_NOISE_GIVEN;
    p.gumbel = random_gumbel(p, 5);
    Problem marred = p;
    for (int b = 0; b < 20; b++) {
        for (int k = 0; k <= 3; k++) marred.gumbel[b * p.urn.width() + p.urn.offset(1) + k] = k % 2 ? NAN : INFINITY;
        marred.gumbel[b * p.urn.width() + p.urn.offset(3)] = NAN;
    }
    for (bool soft : {false, true}) {
        p.soft = marred.soft = soft;
        const Answer a = forward(p);
        EXPECT_TRUE(forward(marred) == a);
        const Incoming incoming = random_incoming(p, 1);
        EXPECT_TRUE(backward(marred, a.x, incoming) == backward(p, a.x, incoming));
    }
}

ON_ALL_TARGETS(ForwardTest);
