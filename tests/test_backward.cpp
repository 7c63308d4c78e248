/* Backward: straight-through and true gradients against the oracle, and soft gradients against differences of forward. */
#include <cmath>
#include <functional>

#include "judge.h"

using namespace gurn_test;
using oracle::Chain;

namespace {

class BackwardTest : public OnTarget {
protected:
    void agrees(Chain chain, bool soft);
    void is_the_derivative(Chain chain);
};

}  // namespace

void BackwardTest::agrees(Chain chain, bool soft) {
    if (!samples(chain)) GTEST_SKIP() << "this chain is not in this build";
    for (const NamedProblem &named : assorted_problems(scaled(10, 3), chain)) {
        for (const gurn_noise_kind noise : {GURN_NOISE_PHILOX, GURN_NOISE_OFF, GURN_NOISE_GIVEN}) {
            Problem p = named.problem;
            p.soft = soft;
            p.noise = noise;
            if (noise == GURN_NOISE_GIVEN) p.gumbel = random_gumbel(p, 6);
            const std::vector<double> x = forward(p, kX).x;
            const Incoming all = random_incoming(p, 9);
            for (int part = 0; part < 6; part++) { /* each upstream gradient alone, all of them, and x with log_p */
                SCOPED_TRACE(named.name + ", noise kind " + std::to_string(noise) + ", upstream " +
                             std::to_string(part));
                if (part != 4 && (noise != GURN_NOISE_PHILOX || !chosen())) continue;
                Incoming incoming;
                if (part == 0 || part >= 4) incoming.x = all.x;
                if (part == 1 || part == 4) incoming.y = all.y;
                if (part == 2 || part == 4) incoming.mask = all.mask;
                if (part == 3 || part >= 4) incoming.log_p = all.log_p;
                for (const bool want_tau : {true, false}) { /* what is not asked for need not be summed */
                    if (!want_tau && !chosen()) continue;
                    expect_gradient(dtype(), p, x, incoming, backward(p, x, incoming, want_tau));
                    if (HasFatalFailure()) return;
                }
            }
        }
    }
}

TEST_P(BackwardTest, HardMergedAgreesWithTheOracle) { agrees(Chain::merged, false); }
TEST_P(BackwardTest, HardExactAgreesWithTheOracle) { agrees(Chain::exact, false); }
TEST_P(BackwardTest, SoftMergedAgreesWithTheOracle) { agrees(Chain::merged, true); }
TEST_P(BackwardTest, SoftExactAgreesWithTheOracle) { agrees(Chain::exact, true); }

/* ----------------------------------------------------------------------------------------------- finite differences --- */

void BackwardTest::is_the_derivative(Chain chain) {
    if (float32()) GTEST_SKIP() << "differences of float32 values say little";
    if (!samples(chain)) GTEST_SKIP() << "this chain is not in this build";
    Random random(77);
    int64_t compared = 0;
    const int trials = static_cast<int>(scaled(40, 4));
    for (int trial = 0; trial < trials; trial++) {
        Problem p;
        p.urn.chain = chain;
        const int C = random.integer(2, 5);
        for (int c = 0; c < C; c++) p.urn.m.push_back(random.integer(0, 20));
        p.urn.order = random.permutation(C);
        p.n = random.integer(1, std::max(1, p.urn.total() - 1));
        if (p.n > p.urn.total()) continue;
        p.rows = 4;
        p.soft = true;
        p.tau = random.uniform(0.5, 2);
        p.log_omega = random.uniforms(p.rows * C, -1.5, 1.5);
        p.seed = random.word();
        if (trial % 2) { /* given noise, of which a quarter forbids */
            p.noise = GURN_NOISE_GIVEN;
            p.gumbel = random_gumbel(p, p.seed);
            for (double &g : p.gumbel)
                if (random.integer(0, 3) == 0) g = -INFINITY;
        }
        const Answer base = forward(p);
        for (int part = 0; part < 4; part++) { /* the upstream gradient of x, y, mask, log_p alone */
            const Incoming all = random_incoming(p, 100 + trial);
            Incoming incoming;
            if (part == 0) incoming.x = all.x;
            if (part == 1) incoming.y = all.y;
            if (part == 2) incoming.mask = all.mask;
            if (part == 3) incoming.log_p = all.log_p;
            const Gradient g = backward(p, base.x, incoming);
            const auto objective = [&](const Answer &a, int64_t b) {
                const auto dot = [&](const std::vector<double> &u, const std::vector<double> &v, int64_t width) {
                    long double sum = 0;
                    for (int64_t i = b * width; !u.empty() && i < (b + 1) * width; i++) sum += (long double)u[i] * v[i];
                    return sum;
                };
                return dot(incoming.x, a.x, C) + dot(incoming.y, a.y, p.urn.width()) +
                       dot(incoming.mask, a.mask, p.urn.width()) + dot(incoming.log_p, a.log_p, 1);
            };
            for (int j = 0; j <= C; j++) { /* j = C is tau; every row at once */
                const auto moved = [&](double h) {
                    Problem q = p;
                    if (j == C) q.tau += h;
                    for (int64_t b = 0; j < C && b < p.rows; b++) q.log_omega[b * C + j] += h;
                    return forward(q);
                };
                const double h = 2.5e-4;
                const Answer a1 = moved(h), a2 = moved(-h), a3 = moved(2 * h), a4 = moved(-2 * h);
                for (int64_t b = 0; b < p.rows; b++) {
                    /*
                     * Across a kink (the last class's y at whole x; the exact chain's R at whole r; the only counts that are allowed
                     * leaving the support) a difference says nothing.
                     */
                    double left = p.n;
                    bool kink = std::isnan(base.log_p[b]); /* nothing left to choose */
                    for (int i = 0; i < p.urn.last(); i++) {
                        left -= base.x[b * C + p.urn.at(i)];
                        kink |= std::fabs(left - std::round(left)) < 0.02 &&
                                (i + 1 == p.urn.last() || chain == Chain::exact || p.noise == GURN_NOISE_GIVEN);
                    }
                    if (kink) continue;
                    const long double slope =
                        (8 * (objective(a1, b) - objective(a2, b)) - (objective(a3, b) - objective(a4, b))) / (12 * h);
                    const double got = j == C ? g.tau[b] : g.log_omega[b * C + j];
                    /*
                     * Relative 1e-7 of the gradient, or of the size its terms have (counts up to 20, two to four steps, so
                     * differences of forward carry 1e-15 * 100 / h = 4e-10; and h^4 f5 / 30 is 1e-9 where f5 is 1e7: 6e-7 was
                     * seen at h = 1e-3, and a sixteenth of it for every halving).
                     */
                    ASSERT_TRUE(std::fabs(got - double(slope)) <= 1e-7 * (1 + std::fabs(double(slope))))
                        << got << " for " << double(slope) << " trial " << trial << " upstream " << part << " row " << b
                        << " argument " << j;
                    compared++;
                }
            }
        }
    }
    EXPECT_GE(compared, 20 * trials);
}

TEST_P(BackwardTest, SoftMergedIsTheDerivative) { is_the_derivative(Chain::merged); }
TEST_P(BackwardTest, SoftExactIsTheDerivative) { is_the_derivative(Chain::exact); }

/* ------------------------------------------------------------------------------------------------------------ shapes --- */

TEST_P(BackwardTest, SharedLogOmegaGetsTheSumOverRows) {
    Problem p;
    p.urn.m = {30, 20, 25, 5};
    p.n = 40;
    p.rows = scaled(1000, 30);
    p.log_omega = {0.2, -0.3, 0.5, 1.0};
    const Answer a = forward(p, kX);
    const Incoming incoming = random_incoming(p, 1);
    const Gradient together = backward(p, a.x, incoming);
    Problem q = p;
    q.log_omega.clear();
    for (int64_t b = 0; b < p.rows; b++) q.log_omega.insert(q.log_omega.end(), p.log_omega.begin(), p.log_omega.end());
    const Gradient apart = backward(q, a.x, incoming);
    EXPECT_TRUE(same_bits(together.tau, apart.tau));
    for (int c = 0; c < 4; c++) {
        double sum = 0, size = 0;
        for (int64_t b = 0; b < p.rows; b++) {
            sum += apart.log_omega[4 * b + c];
            size += std::fabs(apart.log_omega[4 * b + c]);
        }
        /* `apart` was rounded once a row; a sum in any order adds half an ulp of a partial sum each time, log2(rows) deep or
         * rows deep, whichever the library chose: sqrt(rows) is what it comes to, rows the bound. */
        EXPECT_TRUE(std::fabs(together.log_omega[c] - sum) <= epsilon() * size * (2 + static_cast<double>(p.rows)));
    }
}

/* Given noise of -infinity forbids a count; so the count has no weight, and its score no part in any gradient. */
TEST_P(BackwardTest, ForbiddenCountsHaveNoGradient) {
    for (const Chain chain : chains()) {
        Problem p;
        p.urn.m = {12, 9, 15};
        p.urn.chain = chain;
        p.n = 17;
        p.rows = 8;
        p.log_omega = {0.3, -0.2, 0.1};
        p.noise = GURN_NOISE_GIVEN;
        p.gumbel = random_gumbel(p, 2);
        for (size_t i = 0; i < p.gumbel.size(); i += 3) p.gumbel[i] = -INFINITY;
        for (const bool soft : {false, true}) {
            p.soft = soft;
            const std::vector<double> x = forward(p, kX).x;
            expect_gradient(dtype(), p, x, random_incoming(p, 5), backward(p, x, random_incoming(p, 5)));
        }
    }
}

/* Nothing upstream: the gradient is zero, not garbage. */
TEST_P(BackwardTest, NoUpstreamGivesZero) {
    for (const NamedProblem &named : assorted_problems(3)) {
        const Answer a = forward(named.problem, kX);
        const Gradient g = backward(named.problem, a.x, {});
        for (double v : g.log_omega) EXPECT_EQ(v, 0) << named.name;
        for (double v : g.tau) EXPECT_EQ(v, 0) << named.name;
    }
}

ON_ALL_TARGETS(BackwardTest);
