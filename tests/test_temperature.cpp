/* Temperatures from the smallest to the largest there is: what softmax((logit + g) / tau) and its gradients come to. */
#include <cmath>
#include <limits>

#include "judge.h"

using namespace gurn_test;

namespace {

class Temperature : public OnTarget {
protected:
    /* Some of the assorted problems, by every kind of noise, in both chains; wide: one with supports of hundreds of counts. */
    template <class Judge>
    void over_problems(bool soft, bool wide, const Judge &judge) {
        for (const oracle::Chain chain : chains()) {
            for (const NamedProblem &named : assorted_problems(scaled(10, 3), chain)) {
                if (wide ? named.name != "S1" : named.name != "small" && named.name != "empty classes") continue;
                for (const gurn_noise_kind noise : {GURN_NOISE_PHILOX, GURN_NOISE_OFF, GURN_NOISE_GIVEN}) {
                    if (wide && noise != GURN_NOISE_PHILOX) continue;
                    SCOPED_TRACE(named.name + (chain == oracle::Chain::exact ? ", exact" : ", merged") +
                                 ", noise kind " + std::to_string(noise));
                    Problem p = named.problem;
                    p.noise = noise;
                    p.soft = soft;
                    if (noise == GURN_NOISE_GIVEN) p.gumbel = random_gumbel(p, 3);
                    if (wide) p.rows = emulated() ? 1 : 2;
                    judge(p);
                    if (HasFatalFailure()) return;
                }
            }
        }
    }
};

}  // namespace

/*
 * At the smallest temperatures y is one-hot at the winner, and what is left of a gradient is that of log_p. 2^-10 and below is
 * double arithmetic in every plan: x is off by its rounding, a gradient by that and by 1e-9 (tables and sums of a few hundred terms).
 * The smallest gap between two counts here is above 1e-5, 100 times 1e-12 and more.
 */
TEST_P(Temperature, SmallestOnesChooseOneCount) {
    for (const double tau : {GURN_MIN_TAU, 1e-20, 1e-8}) {
        if (emulated() && tau == 1e-20) continue;
        for (const bool soft : {false, true}) {
            SCOPED_TRACE((soft ? "soft, log10 tau " : "hard, log10 tau ") + std::to_string(std::log10(tau)));
            over_problems(soft, false, [&](Problem &p) {
                p.tau = tau;
                const oracle::Urn urn = p.urn_of_call();
                const Answer a = forward(p);
                if (!soft) expect_forward(dtype(), p, a);
                if (HasFatalFailure()) return;
                const Incoming incoming = random_incoming(p, 5);
                const Gradient g = backward(p, a.x, incoming);
                const int C = urn.classes(), W = urn.width();
                std::vector<double> sum(C, 0), limit(C, 0); /* over rows where log omega is shared */
                for (int64_t b = 0; b < p.rows; b++) {
                    const oracle::Row row = p.row(b, dtype());
                    const oracle::Outputs want = oracle::forward(urn, row);
                    for (int i = 0; i < W; i++)
                        ASSERT_TRUE(std::fabs(a.y[b * W + i] - want.y[i]) <= 4 * epsilon())
                            << a.y[b * W + i] << " for " << want.y[i] << " row " << b << " y " << i;
                    const oracle::Gradients gradient =
                        oracle::backward(urn, row, slice(a.x, b, C), incoming.row(urn, b, dtype()));
                    if (!p.shared()) sum.assign(C, 0), limit.assign(C, 0);
                    for (int c = 0; c < C; c++) {
                        const double w = gradient.log_omega[c];
                        sum[c] += w;
                        limit[c] += 1e-9 * (1 + std::fabs(w)) + 4 * epsilon() * std::fabs(w);
                        if (p.shared() && b + 1 < p.rows) continue;
                        const double got = g.log_omega[p.shared() ? c : b * C + c];
                        ASSERT_TRUE(std::fabs(got - sum[c]) <= limit[c])
                            << got << " for " << sum[c] << " row " << b << " class " << c;
                    }
                    ASSERT_TRUE(std::fabs(g.tau[b] - gradient.tau) <= 1e-9) << g.tau[b] << " row " << b;
                }
            });
            if (HasFatalFailure()) return;
        }
    }
}

/* From where relaxed values tell on, up to the largest, all is as the oracle has it: the window of a step has to follow. */
TEST_P(Temperature, OrdinaryToLargestAgreeWithTheOracle) {
    const double most = std::numeric_limits<double>::max();
    const auto judge = [&](const Problem &p) {
        SCOPED_TRACE((p.soft ? "soft, log10 tau " : "hard, log10 tau ") + std::to_string(std::log10(p.tau)));
        const Answer a = forward(p);
        expect_forward(dtype(), p, a);
        if (HasFatalFailure()) return;
        const Incoming incoming = random_incoming(p, 5);
        expect_gradient(dtype(), p, a.x, incoming, backward(p, a.x, incoming));
    };
    for (const double tau : {5e-4, 0x1p-10, 1e6, 1e13, 1e30, 1e39, 1e300, most}) {
        if (emulated() && (tau == 1e6 || tau == 1e30 || tau == 1e300)) continue;
        for (const bool soft : {false, true}) {
            over_problems(soft, false, [&](Problem &p) {
                p.tau = tau;
                judge(p);
            });
            if (HasFatalFailure()) return;
        }
    }
    for (const double tau : {1e6, 3e37, 1e39, most}) { /* windows, in hard mode: wide ones, up to the whole support */
        if (emulated() && tau != 3e37) continue;
        over_problems(false, true, [&](Problem &p) {
            p.tau = tau;
            judge(p);
        });
        if (HasFatalFailure()) return;
    }
}

/*
 * Two counts of each step all but tie, the loser weighing 2^-50: a gradient of u 2^-50 / tau = 1e-7 at tau = 1e-8, in which logits in
 * double are good for seven digits. What the rounding of u would leave of the winner's own, 2^-53 u / tau, is as much as 1e-8.
 */
TEST_P(Temperature, NearTiesAtSmallTemperatures) {
    if (float32()) GTEST_SKIP() << "float32 noise has no such ties";
    for (const oracle::Chain chain : chains()) {
        for (const bool soft : {false, true}) {
            if (soft && chain == oracle::Chain::exact) continue; /* x is 2^-50 from whole numbers, where R has kinks */
            Problem p;
            p.urn.m = {6, 9, 7, 8};
            p.urn.chain = chain;
            p.rows = 12;
            p.n = 13;
            p.soft = soft;
            p.tau = 1e-8;
            p.log_omega = Random(1).uniforms(4 * p.rows, -1, 1);
            p.noise = GURN_NOISE_GIVEN;
            p.gumbel.assign(p.rows * p.urn.width(), -100);
            for (int64_t b = 0; b < p.rows; b++) {
                const oracle::RowChain law(p.urn, p.row(b, dtype()).log_omega);
                int left = p.n;
                for (int i = 0; i < 3; i++) {
                    const oracle::Step s = oracle::step(law, i, left);
                    const int winner = static_cast<int>(s.logit.size()) / 2, loser = winner + (b % 2 ? 1 : -1);
                    double *noise = &p.gumbel[b * p.urn.width() + p.urn.offset(i) + s.lo];
                    noise[winner] = static_cast<double>(-s.logit[winner]);
                    noise[loser] = static_cast<double>(-s.logit[loser] - 50 * logl(2) * p.tau);
                    left -= s.lo + winner;
                }
            }
            const Answer a = forward(p, kX);
            const Incoming incoming = random_incoming(p, 5);
            const Gradient g = backward(p, a.x, incoming);
            double relaxed = 0;
            for (int64_t b = 0; b < p.rows; b++) {
                const oracle::Row row = p.row(b, dtype());
                oracle::Upstream up = incoming.row(p.urn, b, dtype());
                const std::vector<double> x = slice(a.x, b, 4);
                const oracle::Gradients want = oracle::backward(p.urn, row, x, up);
                for (int c = 0; c < 4; c++)
                    EXPECT_TRUE(std::fabs(g.log_omega[4 * b + c] - want.log_omega[c]) <=
                                1e-11 * (1 + std::fabs(want.log_omega[c])))
                        << g.log_omega[4 * b + c] << " for " << want.log_omega[c] << " row " << b << " class " << c;
                relaxed = std::fmax(relaxed, std::fabs(want.tau) / 35); /* the gap is 35 tau */
            }
            EXPECT_GT(relaxed, 1e-7) << "the case that this is about";
        }
    }
}

/* At the largest y is the same at every count of the support. */
TEST_P(Temperature, LargestOnesWeighAllCountsAlike) {
    for (const oracle::Chain chain : chains()) {
        for (const double tau : {1e30, 1e300, std::numeric_limits<double>::max()}) {
            Problem p;
            p.urn.m = {9, 20, 30};
            p.urn.chain = chain;
            p.n = 12;
            p.rows = 3;
            p.soft = true;
            p.tau = tau;
            p.log_omega = {1, -2, 0.5};
            const Answer a = forward(p);
            for (int b = 0; b < 3; b++) {
                EXPECT_TRUE(std::fabs(a.x[3 * b] - 4.5) <= 16 * epsilon()) << a.x[3 * b];
                for (int k = 0; k <= 9; k++)
                    EXPECT_TRUE(std::fabs(a.y[b * p.urn.width() + k] - 0.1) <= epsilon()) << a.y[b * p.urn.width() + k];
            }
        }
    }
}

ON_ALL_TARGETS(Temperature);
