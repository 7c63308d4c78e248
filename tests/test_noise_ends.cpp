/*
 * The noise at its ends. Words of 0 and of 2^32 - 1 give the largest and the least E, those about 2^31 are where its formula
 * changes hands; each comes once in 2^32 words, so they are sought out here by their address. The windows of a step
 * (kernels/mvhg.h) are as wide as they are for the sake of such words: judged by them, end to end, and against the ends of E
 * as whole numbers give them.
 */
#include <algorithm>
#include <cmath>

#include "judge.h"
#include "kernels/suffix.h"

using namespace gurn_test;
using oracle::Chain;

namespace {

/* Of seed 1, stream of class 0: the word of count k in a row. */
struct Address {
    uint64_t row;
    int k;
    uint32_t word;
};
const Address kEnds[] = {
    {55827541, 42, 0},           {210875016, 41, 0},           {157730005, 42, 1},
    {5405591648, 40, 1},         {1345189002, 42, 0x7FFFFFFF}, {2374204290, 43, 0x7FFFFFFF},
    {304114112, 43, 0x80000000}, {1832902239, 41, 0x80000000}, {6421533263, 40, 0x80000000},
};
const Address kLeast[] = {{2833911151, 43, 0xFFFFFFFF}, {3243084006, 41, 0xFFFFFFFF},  {4434086662, 41, 0xFFFFFFFF},
                          {7785601237, 43, 0xFFFFFFFF}, {10876406866, 41, 0xFFFFFFFF}, {11421758264, 42, 0xFFFFFFFF}};

/* The same at a count that wide laws have in their tails. */
const Address kLeastFurther[] = {{368000950, 400, 0xFFFFFFFF}, {777122923, 402, 0xFFFFFFFF}};

Problem problem_at(const Address &at, std::vector<int> m, int n, Chain chain) {
    Problem p;
    p.urn.m = std::move(m);
    p.urn.chain = chain;
    p.n = n;
    p.rows = 1;
    p.offset = at.row;
    p.log_omega.assign(p.urn.m.size(), 0.0);
    for (size_t c = 1; c < p.log_omega.size(); c++) p.log_omega[c] = 0.25 - 0.5 * static_cast<double>(c % 2);
    return p;
}

/*
 * The first step's logits where log omega of its class is 0; it adds k log omega to that of count k, in either chain: the rest does
 * not depend on it.
 */
struct FirstStep {
    explicit FirstStep(Problem p) {
        p.log_omega[0] = 0;
        step = oracle::step(oracle::chain_of(p.urn, p.log_omega), 0, p.n);
    }
    int mode(double log_omega) const {
        int best = step.lo;
        for (int k = step.lo; k < step.lo + static_cast<int>(step.logit.size()); k++)
            if (logit(k, log_omega) > logit(best, log_omega)) best = k;
        return best;
    }
    /* How many bits the cost of count k is above the mode's. */
    double bits(int k, double log_omega) const {
        return static_cast<double>((logit(mode(log_omega), log_omega) - logit(k, log_omega)) / logl(2.0L));
    }
    oracle::Real logit(int k, double log_omega) const {
        return step.logit.at(k - step.lo) + k * oracle::Real(log_omega);
    }
    oracle::Step step;
};

/*
 * Sets log omega of class 0 to where count k is `bits` above the mode, which lies below k, or above it; rounded to float, so that
 * either dtype has the same law. Returns false where the support does not reach as far.
 */
bool set_bits(Problem *p, int k, double bits, bool mode_below) {
    const FirstStep first(*p);
    double low = -100, high = 100; /* by bisection, from odds at which k is the mode */
    for (int i = 0; i < 60; i++) (first.mode(0.5 * (low + high)) < k ? low : high) = 0.5 * (low + high);
    double near = high, far = mode_below ? -100 : 100;
    for (int i = 0; i < 60; i++) (first.bits(k, 0.5 * (near + far)) < bits ? near : far) = 0.5 * (near + far);
    p->log_omega[0] = near;
    p->log_omega = rounded(GURN_FLOAT32, p->log_omega);
    return std::fabs(FirstStep(*p).bits(k, p->log_omega[0]) - bits) <= 0.01;
}

class NoiseEnds : public OnTarget {
protected:
    /* A gradient that is all but that of one count's y; false where the count weighs too little to matter. */
    bool weighs(const Problem &p, const Address &at) {
        const std::vector<double> x = forward(p, kX).x;
        const oracle::Row row = p.row(0, dtype());
        Incoming incoming;
        incoming.y.assign(static_cast<size_t>(p.urn.width()), 0.0);
        incoming.y[static_cast<size_t>(at.k)] = 0x1p20;
        const oracle::Gradients want = oracle::backward(p.urn, row, x, incoming.row(p.urn, 0, dtype()));
        const oracle::Step step = oracle::step(oracle::chain_of(p.urn, row.log_omega), 0, p.n);
        const std::vector<oracle::Real> y = oracle::softmax(oracle::step_scores(p.urn, row, 0, step), p.tau);
        const oracle::Real most = *std::max_element(y.begin(), y.end());
        if (!(y[at.k - step.lo] >= 0x1p-24L * most)) return false;
        EXPECT_TRUE(std::fabs(want.log_omega[0]) >= 0.1) << want.log_omega[0] << ": what this is about";
        for (const bool want_tau : {false, true}) {
            const Gradient got = backward(p, x, incoming, want_tau);
            for (int c = 0; c < 3; c++) /* float32: E, 2^cost and their product, to 1e-6; a cost of 80 bits to 1e-6 */
                EXPECT_TRUE(std::fabs(got.log_omega[c] - want.log_omega[c]) <=
                            (float32() ? 1e-4 : 1e-9) * std::fabs(want.log_omega[0]))
                    << got.log_omega[c] << " for " << want.log_omega[c] << " class " << c;
        }
        return true;
    }
    void judge(const Problem &p) {
        const Answer a = forward(p);
        const oracle::Row row = p.row(0, dtype());
        if (p.soft) {
            const oracle::Outputs want = oracle::forward(p.urn, row);
            for (int c = 0; c < p.urn.classes(); c++) /* rounding, and float64's 1e-11 of a logit times n */
                ASSERT_TRUE(std::fabs(a.x[c] - want.x[c]) <= (4 * epsilon() + 1e-11) * (1 + p.n))
                    << a.x[c] << " for " << want.x[c];
        } else {
            const double shortfall = oracle::shortfall(p.urn, row, a.x);
            ASSERT_TRUE(shortfall <= (float32() ? 2.5e-6 : 1e-11)) << shortfall; /* as in NoiseAddress */
        }
        const Incoming incoming = random_incoming(p, 31);
        expect_gradient(dtype(), p, a.x, incoming, backward(p, a.x, incoming));
        Incoming plain; /* which takes other ways through the library */
        plain.x = incoming.x;
        plain.log_p = incoming.log_p;
        expect_gradient(dtype(), p, a.x, plain, backward(p, a.x, plain, false));
    }
};

}  // namespace

TEST(NoiseAddresses, HaveTheWords) {
    for (const Address &at : kEnds) EXPECT_EQ(oracle::word(1, at.row, 1, 0, at.k), at.word) << at.row;
    for (const Address &at : kLeast) EXPECT_EQ(oracle::word(1, at.row, 1, 0, at.k), at.word) << at.row;
    for (const Address &at : kLeastFurther) EXPECT_EQ(oracle::word(1, at.row, 1, 0, at.k), at.word) << at.row;
}

/* At the mode, where its noise decides the draw and weighs in every gradient. */
TEST_P(NoiseEnds, AtTheMode) {
    for (const Address &at : {kEnds[0], kEnds[2], kEnds[4], kEnds[6], kEnds[7], kLeast[0]})
        for (const Chain chain : chains())
            for (const bool three : {false, true})
                for (const double tau : {1.0, 0.7})
                    for (const bool soft : {false, true}) {
                        if (soft && tau == 1) continue;
                        SCOPED_TRACE(testing::Message()
                                     << "row " << at.row << " word " << at.word << " tau " << tau
                                     << (soft ? " soft" : " hard") << (chain == Chain::exact ? " exact" : " merged"));
                        Problem p = three ? problem_at(at, {60, 50, 0, 40}, 80, chain)
                                          : problem_at(at, {60, 60}, 2 * at.k, chain);
                        ASSERT_TRUE(set_bits(&p, at.k, 0, true));
                        p.tau = tau;
                        p.soft = soft;
                        judge(p);
                        if (HasFatalFailure()) return;
                    }
}

/*
 * The least E lets a count win that is 30 bits less likely than the mode: both sides of the mode, two classes and three, tables
 * of their own and shared.
 */
TEST_P(NoiseEnds, TheRarestDraws) {
    int rare = 0;
    for (const Address &at : {kLeast[0], kLeast[1], kLeast[5]})
        for (const Chain chain : chains())
            for (const double bits : {20.0, 27.0, 31.0})
                for (const bool mode_below : {true, false})
                    for (const bool three : {false, true}) {
                        SCOPED_TRACE(testing::Message()
                                     << "row " << at.row << " bits " << bits << " mode below " << mode_below
                                     << (chain == Chain::exact ? " exact" : " merged") << " three " << three);
                        Problem p =
                            three ? problem_at(at, {120, 60, 90}, 110, chain) : problem_at(at, {150, 140}, 100, chain);
                        ASSERT_TRUE(set_bits(&p, at.k, bits, mode_below));
                        const oracle::Row row = p.row(0, dtype());
                        for (const bool apart : {false, true}) {
                            Problem q = p;
                            if (apart) { /* a second row, for log omega to be that of a row */
                                q.rows = 2;
                                q.log_omega.insert(q.log_omega.end(), p.log_omega.begin(), p.log_omega.end());
                            }
                            const Answer a = forward(q, kX | kLogP);
                            const std::vector<double> x = slice(a.x, 0, p.urn.classes());
                            const double shortfall = oracle::shortfall(p.urn, row, x);
                            ASSERT_TRUE(shortfall <= (float32() ? 2.5e-6 : 1e-11)) << shortfall;
                            rare += x[0] == at.k && bits >= 27;
                        }
                    }
    EXPECT_GE(rare, 24 * static_cast<int>(chains().size())) << "cases that this is about";
}

/*
 * Backward's windows grow with tau: a count far in the tail, whose E is the least there is, weighs 2^-24 of the winner or more.
 * An upstream gradient to that count's y alone, of 2^20, tells whether it was looked at. How far from the mode: 24 tau bits and 22
 * more, of the 32.5 that the least E makes up for (the winner took some of them); in float32's exact chain, whose tables end
 * where what is left to draw has probability 2^-(20 + 24 tau) (suffix.h), as far as that.
 */
TEST_P(NoiseEnds, WhatWeighsInTheTails) {
    int judged = 0;
    for (const Address &at : {kLeast[0], kLeast[2], kLeast[5]})
        for (const Chain chain : chains())
            for (const double tau : {0.5, 1.0, 1.5, 2.0, 4.0})
                for (const bool mode_below : {true, false}) {
                    Problem p = problem_at(at, {160, 60, 80}, 130, chain);
                    p.tau = tau;
                    double bits = 22 + 24 * tau;
                    if (float32() && chain == Chain::exact && tau <= 2) bits = std::min(bits, 20 + 24 * tau - 5);
                    if (!set_bits(&p, at.k, bits, mode_below)) continue;
                    SCOPED_TRACE(testing::Message() << "row " << at.row << " tau " << tau << " mode below "
                                                    << mode_below << (chain == Chain::exact ? " exact" : " merged"));
                    judged += weighs(p, at);
                }
    EXPECT_GE(judged, 25 * static_cast<int>(chains().size()));
}

/*
 * Where the law is wide the exact chain's tables end as soon as they may. The classes that are left have one omega, so that the
 * merged chain's step, which the oracle is quick with, is the exact one's; gradients are judged by float64.
 */
TEST_P(NoiseEnds, WhatWeighsInTheTailsOfWideUrns) {
    if (!float32()) GTEST_SKIP() << "judged by it";
    Target wide = GetParam();
    wide.dtype = GURN_FLOAT64;
    const Context other = make_context(wide, 2);
    int judged = 0;
    for (const Address &at : kLeastFurther)
        for (const double tau : {1.5, 2.0})
            for (const bool mode_below : {true, false})
                for (const bool shared : {true, false}) {
                    SCOPED_TRACE(testing::Message() << "row " << at.row << " tau " << tau << " mode below "
                                                    << mode_below << (shared ? " shared" : ""));
                    Problem p = problem_at(at, {4000, 2500, 2000}, 2000, Chain::merged);
                    p.tau = tau;
                    p.log_omega = {0, 0.25, 0.25};
                    ASSERT_TRUE(set_bits(&p, at.k, 13 + 24 * tau, mode_below));
                    const oracle::Row row = p.row(0, dtype());
                    const oracle::Step step = oracle::step(oracle::chain_of(p.urn, row.log_omega), 0, p.n);
                    const std::vector<oracle::Real> y = oracle::softmax(oracle::step_scores(p.urn, row, 0, step), tau);
                    if (!(y[at.k - step.lo] >= 0x1p-24L * *std::max_element(y.begin(), y.end()))) continue;
                    p.urn.chain = Chain::exact;
                    if (!shared) p.n_rows = {p.n}; /* tables of its own */
                    const std::vector<double> x = forward(p, kX).x;
                    Incoming incoming;
                    incoming.y.assign(static_cast<size_t>(p.urn.width()), 0.0);
                    incoming.y[static_cast<size_t>(at.k)] = 0x1p20;
                    const Gradient got = backward(p, x, incoming, false),
                                   want = run_backward(other.get(), wide, p, x, incoming, false);
                    ASSERT_TRUE(std::fabs(want.log_omega[0]) >= 0.1) << want.log_omega[0] << ": what this is about";
                    for (int c = 0; c < 3; c++) /* the adjoint of log S has one entry, which tables have to 1e-6 */
                        EXPECT_TRUE(std::fabs(got.log_omega[c] - want.log_omega[c]) <=
                                    1e-4 * std::fabs(want.log_omega[0]))
                            << got.log_omega[c] << " for " << want.log_omega[c] << " class " << c;
                    judged++;
                }
    EXPECT_GE(judged, 8);
}

/*
 * A wide urn at every temperature of float32's windows, beside float64. A logit of float32 is right to 1e-5, a weight to 2e-5 with
 * its normalisation, and a gradient, a covariance of k and u, to 2e-5 sd(k) sd(u) a step: sd(k) <= 30 of counts, relaxed by
 * tau = 2 to sqrt 2 times that at most; u is dx k, |dx| <= 3 steps, y's 1, and a walk of mask's over 1000 counts at most.
 */
TEST_P(NoiseEnds, WideUrnsBesideFloat64) {
    if (!float32()) GTEST_SKIP() << "judged by it";
    Target wide = GetParam();
    wide.dtype = GURN_FLOAT64;
    const Context other = make_context(wide, 2);
    for (const Chain chain : chains())
        for (const double tau : {0.5, 1.0, 1.25, 1.5, 2.0}) {
            SCOPED_TRACE(testing::Message() << "tau " << tau << (chain == Chain::exact ? " exact" : " merged"));
            Problem p;
            p.urn.m = {2000, 2000, 2000};
            p.urn.chain = chain;
            p.n = 3000;
            p.tau = tau;
            p.rows = scaled(20, 2);
            p.log_omega = rounded(GURN_FLOAT32, {0.3, -0.4, 0.1});
            const std::vector<double> x = forward(p, kX).x;
            Incoming incoming = random_incoming(p, 32);
            for (std::vector<double> *v : {&incoming.x, &incoming.y, &incoming.mask, &incoming.log_p})
                *v = rounded(GURN_FLOAT32, *v);
            for (const bool everything : {true, false}) {
                if (!everything) {
                    incoming.y.clear();
                    incoming.mask.clear();
                }
                const Gradient got = backward(p, x, incoming, everything),
                               want = run_backward(other.get(), wide, p, x, incoming, everything);
                const double limit = 2e-5 * 43 * (3 * 43 + 1 + 32) * 2 * static_cast<double>(p.rows);
                for (int c = 0; c < 3; c++)
                    ASSERT_TRUE(std::fabs(got.log_omega[c] - want.log_omega[c]) <= limit)
                        << got.log_omega[c] << " for " << want.log_omega[c] << " class " << c;
            }
        }
}

ON_ALL_TARGETS(NoiseEnds);

/* ------------------------------------------------------------------------------------------------- constants of windows --- */

/*
 * E of u = (r + 1/2) 2^-32 by whole numbers: -log2 of 2^-33 is 33, and of 1 - 2^-33 lies between log2 e times 2^-33 and that times
 * 1 + 2^-33. So what the windows of a step are made from (kernels/mvhg.h) is judged without a logarithm of the library's.
 */
TEST(WindowBits, FollowFromTheEndsOfE) {
    const long double log2_e = 1.44269504088896340736L, least = log2_e * 0x1p-33L, largest = 33;
    const long double rounding = 1e-5L; /* of E, 2^cost and their product, in bits: 1e-6 each at most */
    /* A count so far above the mode loses with the least E to the mode with the largest. */
    const long double race = log2l(largest / least);
    EXPECT_LE(fabsl(race - 37.5157L), 1e-3L);
    EXPECT_GE(GURN_RACE_BITS, race + rounding);
    EXPECT_LE(GURN_RACE_BITS, race + 1) << "more is looked at than need be";
    /* One left out by the narrow window has a race value above what makes its winner sure. */
    EXPECT_LE(GURN_SURE_RACE, least * exp2l(GURN_SURE_BITS) * (1 - rounding));
    EXPECT_GE(GURN_SURE_RACE, least * exp2l(GURN_SURE_BITS) * 0.9L) << "windows are widened oftener than need be";
    EXPECT_LE(GURN_SURE_BITS, race);
    /* The weight of what backward leaves out: with v the race values, (v_winner / v)^(1/tau) < 2^-24. */
    for (const long double tau : {0.001L, 0.5L, 1.0L, 2.0L, 1000.0L})
        EXPECT_GE(GURN_RELAXED_BITS(tau) * (1 + 1e-6L), 24 * tau + race + rounding) << static_cast<double>(tau);
    /* What the header promises of float32's exact chain (2^-44 in all) and of plain draws (2^-52); what suffix.h does of weights. */
    EXPECT_GE(GURN_SUFFIX_RACE_BITS, 44);
    EXPECT_GE(GURN_SUFFIX_PLAIN_BITS, 53);
    for (const double tau : {0.5, 1.0, 2.0})
        for (const int classes : {1, 2, 1000}) { /* 4 C events share it */
            EXPECT_GE(gurn_suffix_bits(GURN_SUFFIX_RACE_BITS, classes, tau),
                      std::max(44.0, 20 + 24 * tau) + std::log2(4.0 * classes) - 1e-12);
            EXPECT_GE(gurn_suffix_bits(GURN_SUFFIX_RACE_BITS, classes, 0), 44 + std::log2(4.0 * classes) - 1e-12);
        }
}
