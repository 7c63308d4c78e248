/* Forward against the oracle: draws, one-hots, masks and log-probabilities, hard and soft. */
#include <cmath>

#include "judge.h"

using namespace gurn_test;
using oracle::Chain;

namespace {

class ForwardTest : public OnTarget {
protected:
    void hard_agrees(Chain chain);
    void soft_agrees(Chain chain);
};

}  // namespace

void ForwardTest::hard_agrees(Chain chain) {
    if (!samples(chain)) GTEST_SKIP() << "this chain is not in this build";
    for (const NamedProblem &named : assorted_problems(scaled(60, 6), chain)) {
        for (const gurn_noise_kind noise : {GURN_NOISE_PHILOX, GURN_NOISE_OFF, GURN_NOISE_GIVEN}) {
            SCOPED_TRACE(named.name + ", noise kind " + std::to_string(noise));
            Problem p = named.problem;
            p.noise = noise;
            if (noise == GURN_NOISE_GIVEN) p.gumbel = random_gumbel(p, 3);
            expect_forward(dtype(), p, forward(p));
            if (HasFatalFailure()) return;
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
            expect_forward(dtype(), p, forward(p));
            if (HasFatalFailure()) return;
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
    for (int b = 0; b < 51; b++) {
        expect_one_hots(p, a, b);
        EXPECT_EQ(a.x[3 * b], b);
    }
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
