/*
 * omega = 0, a log omega of -infinity: the urn without the balls of that class, in every mode and output. And log omega as a
 * ratio: of all that is added to the whole row nothing is seen.
 *
 * The urn without those balls is had in two ways: from the library, as a plan whose m is 0 there, in which noise has the same
 * addresses; and from the oracle.
 */
#include <cmath>

#include "call.h"
#include "problems.h"
#include "statistics.h"

using namespace gurn_test;
using oracle::Chain;

namespace {

constexpr double kZero = -INFINITY;

/* The classes of omega 0 of row b, made empty. */
oracle::Urn without(const Problem &p, int64_t b) {
    oracle::Urn urn = p.urn;
    for (int c = 0; c < urn.classes(); c++)
        if (p.log_omega[(p.shared() ? 0 : b * urn.classes()) + c] == kZero) urn.m[c] = 0;
    return urn;
}

/* Parts of [rows][W] of p, as the urn without those balls has them; what is not there is left out. */
std::vector<double> narrowed(const Problem &p, const oracle::Urn &urn, const std::vector<double> &wide) {
    std::vector<double> out;
    for (size_t row = 0; row < wide.size(); row += p.urn.width())
        for (int c = 0; c < urn.classes(); c++)
            for (int k = 0; k <= urn.m[c]; k++) out.push_back(wide[row + p.urn.offset(c) + k]);
    return out;
}

/* The call by the urn without those balls; all rows have the same. */
Problem emptied(const Problem &p) {
    Problem q = p;
    q.urn = without(p, 0);
    for (double &v : q.log_omega)
        if (v == kZero) v = 0.75; /* of a class that has no balls: anything */
    q.gumbel = narrowed(p, q.urn, p.gumbel);
    if (!q.call_order.empty()) { /* an order with the call is for equal m */
        q.urn.order.assign(q.call_order.begin(), q.call_order.end());
        q.call_order.clear();
    }
    return q;
}

Incoming narrowed(const Problem &p, const oracle::Urn &urn, const Incoming &in) {
    return {in.x, narrowed(p, urn, in.y), narrowed(p, urn, in.mask), in.log_p};
}

/* Row b of a call alone; its log omega is then shared. */
Problem row_of(const Problem &p, int64_t b) {
    Problem q = p;
    q.rows = 1;
    q.row0 += static_cast<uint64_t>(b);
    if (!p.shared()) q.log_omega = slice(p.log_omega, b, p.urn.classes());
    if (!p.n_rows.empty()) q.n_rows = {p.n_rows[b]};
    if (!p.gumbel.empty()) q.gumbel = slice(p.gumbel, b, p.urn.width());
    return q;
}

Incoming row_of(const Problem &p, const Incoming &in, int64_t b) {
    const auto part = [&](const std::vector<double> &v, int64_t width) { return v.empty() ? v : slice(v, b, width); };
    return {part(in.x, p.urn.classes()), part(in.y, p.urn.width()), part(in.mask, p.urn.width()), part(in.log_p, 1)};
}

Problem repeated(Problem p) {
    const std::vector<double> row = p.log_omega;
    p.log_omega.clear();
    for (int64_t b = 0; b < p.rows; b++) p.log_omega.insert(p.log_omega.end(), row.begin(), row.end());
    return p;
}

class OmegaZero : public OnTarget {
protected:
    /* Everything about classes of omega 0 that leaves no room, and that the counts are some. */
    void expect_zeros(const Problem &p, const Answer &a) {
        const int C = p.urn.classes(), W = p.urn.width();
        for (int64_t b = 0; b < p.rows; b++) {
            double total = 0;
            for (int c = 0; c < C; c++) {
                total += a.x[b * C + c];
                if (p.log_omega[(p.shared() ? 0 : b * C) + c] != kZero) continue;
                ASSERT_EQ(a.x[b * C + c], 0) << "row " << b << " class " << c;
                for (int k = 0; k <= p.urn.m[c]; k++) {
                    ASSERT_EQ(a.y[b * W + p.urn.offset(c) + k], k == 0) << "row " << b << " class " << c;
                    ASSERT_EQ(a.mask[b * W + p.urn.offset(c) + k], k == 0) << "row " << b << " class " << c;
                }
            }
            ASSERT_TRUE(std::fabs(total - p.n_of(b)) <= 2 * C * epsilon() * (1 + p.n_of(b))) << "row " << b;
        }
    }

    /* Outputs against the oracle's urn without those balls: judged as tests/test_forward.cpp does. */
    void expect_outputs(const Problem &p, const Answer &a) {
        expect_zeros(p, a);
        if (HasFatalFailure()) return;
        const int C = p.urn.classes();
        for (int64_t b = 0; b < p.rows; b++) {
            const Problem one = emptied(row_of(p, b));
            const oracle::Urn urn = one.urn;
            const oracle::Row row = one.row(0, dtype());
            const oracle::ErrorModel model = error_model(dtype(), urn);
            const std::vector<double> x = slice(a.x, b, C);
            if (!p.soft) {
                const double shortfall = oracle::shortfall(urn, row, x);
                ASSERT_TRUE(shortfall <= (float32() ? 2.5e-6 : 1e-11)) << shortfall << " row " << b;
                const double want = oracle::log_prob(urn, row.log_omega, row.n, std::vector<int>(x.begin(), x.end()));
                const double limit =
                    2 * oracle::forward_bounds(urn, row, x, model).log_p + 4 * epsilon() * std::fabs(want);
                ASSERT_TRUE(std::fabs(a.log_p[b] - want) <= limit) << a.log_p[b] << " for " << want << " row " << b;
                continue;
            }
            const oracle::Outputs want = oracle::forward(urn, row);
            const oracle::ForwardBounds bounds = oracle::forward_bounds(urn, row, want.x, model);
            /* Twice the first-order bound for the second order, and the rounding of the result. */
            const auto limit = [&](double bound, double value) {
                return 2 * bound + 4 * epsilon() * (1 + std::fabs(value));
            };
            for (int c = 0; c < C; c++)
                ASSERT_TRUE(std::fabs(x[c] - want.x[c]) <= limit(bounds.x[c], want.x[c]))
                    << x[c] << " for " << want.x[c] << " row " << b << " class " << c;
            const oracle::Urn there = without(p, b);
            const std::vector<double> y = narrowed(p, there, slice(a.y, b, p.urn.width())),
                                      mask = narrowed(p, there, slice(a.mask, b, p.urn.width()));
            for (int i = 0; i < urn.width(); i++) {
                ASSERT_TRUE(std::fabs(y[i] - want.y[i]) <= limit(bounds.y[i], want.y[i]))
                    << y[i] << " for " << want.y[i] << " row " << b << " y " << i;
                ASSERT_TRUE(std::fabs(mask[i] - want.mask[i]) <= limit(bounds.mask[i], 2))
                    << mask[i] << " for " << want.mask[i] << " row " << b << " mask " << i;
            }
            ASSERT_TRUE(std::fabs(a.log_p[b] - want.log_p) <= limit(bounds.log_p, want.log_p))
                << a.log_p[b] << " for " << want.log_p << " row " << b;
        }
    }

    /* Gradients likewise, as tests/test_backward.cpp does; 0 where omega is 0. */
    void expect_gradient(const Problem &p, const std::vector<double> &x, const Incoming &incoming, const Gradient &g) {
        const int C = p.urn.classes();
        std::vector<double> sum(C, 0), limit(C, 0);
        for (int64_t b = 0; b < p.rows; b++) {
            const Problem one = emptied(row_of(p, b));
            const oracle::Urn urn = one.urn, there = without(p, b);
            const oracle::Row row = one.row(0, dtype());
            const oracle::Upstream up = narrowed(p, there, row_of(p, incoming, b)).row(urn, 0, dtype());
            const std::vector<double> x_row = slice(x, b, C);
            const oracle::Gradients want = oracle::backward(urn, row, x_row, up);
            oracle::ErrorModel model = error_model(dtype(), urn);
            if (!p.soft) model.skipped = 0x1p-24; /* windows leave out what weighs less */
            const oracle::Gradients bounds = oracle::backward_bounds(urn, row, x_row, up, model);
            if (!p.shared()) sum.assign(C, 0), limit.assign(C, 0);
            for (int c = 0; c < C; c++) {
                sum[c] += want.log_omega[c];
                limit[c] += 2 * bounds.log_omega[c] + 8 * epsilon() * (1 + std::fabs(want.log_omega[c]));
                if (p.shared() && b + 1 < p.rows) continue;
                const double got = g.log_omega[p.shared() ? c : b * C + c];
                if (p.log_omega[(p.shared() ? 0 : b * C) + c] == kZero)
                    ASSERT_EQ(got, 0) << "row " << b << " class " << c;
                else
                    ASSERT_TRUE(std::fabs(got - sum[c]) <= limit[c])
                        << got << " for " << sum[c] << " within " << limit[c] << ", row " << b << " class " << c;
            }
            if (g.tau.empty()) continue;
            const double tau_limit = 2 * bounds.tau + 8 * epsilon() * (1 + std::fabs(want.tau));
            ASSERT_TRUE(std::fabs(g.tau[b] - want.tau) <= tau_limit)
                << g.tau[b] << " for " << want.tau << " within " << tau_limit << ", row " << b << " tau";
        }
    }

    /* The same call by the plan without those balls: the same bits, where there is nothing that need not be. */
    void expect_bits(const Problem &p, const Answer &a, const Incoming &incoming, const Gradient &g) {
        const Problem q = emptied(p);
        const Answer want = forward(q);
        EXPECT_TRUE(same_bits(a.x, want.x));
        EXPECT_TRUE(same_bits(narrowed(p, q.urn, a.y), want.y));
        EXPECT_TRUE(same_bits(narrowed(p, q.urn, a.mask), want.mask));
        EXPECT_TRUE(same_bits(a.log_p, want.log_p));
        EXPECT_TRUE(g == backward(q, a.x, narrowed(p, q.urn, incoming)));
    }
};

struct Named {
    const char *name;
    std::vector<int> m, zero;
    bool reorder = false;
};

/* First, in the middle, last, several, all but one, all; beside classes that are empty anyway; windows of every size. */
const std::vector<Named> &urns() {
    static const std::vector<Named> list = {
        {"first", {3, 5, 4}, {0}},
        {"middle", {3, 5, 4}, {1}},
        {"last", {3, 5, 4}, {2}},
        {"two classes, first", {7, 6}, {0}},
        {"two classes, last", {7, 6}, {1}},
        {"the only class", {5}, {0}},
        {"all but the first", {6, 5, 4}, {1, 2}},
        {"all but the last", {4, 5, 6}, {0, 1}},
        {"all", {4, 5, 6}, {0, 1, 2}},
        {"empty classes beside", {0, 6, 0, 5, 0, 4, 0}, {3, 4}, true},
        {"bits", {1, 1, 1, 1, 1, 1, 1, 1}, {1, 6}, true},
        {"uneven", {24, 1, 24, 1, 9}, {2, 3}, true},
        {"around a warp", {31, 32, 33, 30}, {1}, true},
        {"twelve classes", std::vector<int>(12, 6), {0, 5, 6, 11}, true},
        {"wide", {150, 150, 150, 150}, {2}},
    };
    return list;
}

Problem problem_of(const Named &urn, Chain chain, int64_t rows, uint64_t seed) {
    Random random(seed);
    Problem p;
    p.urn.m = urn.m;
    p.urn.chain = chain;
    if (urn.reorder) p.urn.order = random.permutation(p.urn.classes());
    p.rows = rows;
    p.log_omega = random.uniforms(urn.m.size(), -1.5, 1.5);
    for (int c : urn.zero) p.log_omega[c] = kZero;
    const int balls = without(p, 0).total();
    p.n = seed % 5 == 0 ? balls : seed % 5 == 1 ? 0 : random.integer(0, balls);
    p.seed = random.word();
    p.offset = random.word();
    p.tau = 0.7;
    return p;
}

}  // namespace

/*
 * Every output and gradient, hard and soft, whatever the noise, at temperatures of both paths of backward: those of the oracle's urn
 * without the balls, and the bits of the plan without them. Bits differ where they may: the merged chain has no table of a rest
 * that lacks a class (soft mode needs none), and wide tables in float32 are smooth beside another urn.
 */
TEST_P(OmegaZero, IsTheUrnWithoutThoseBalls) {
    uint64_t seed = 1;
    for (const Chain chain : chains())
        for (const Named &urn : urns())
            for (const gurn_noise_kind noise : {GURN_NOISE_PHILOX, GURN_NOISE_OFF, GURN_NOISE_GIVEN})
                for (int mode = 0; mode < 8; mode++, seed++) {
                    if (!chosen() && mode % 3 != 0) continue;
                    if (emulated() && seed % 3 != 0) continue;
                    const bool wide = urn.m[0] >= 100;
                    if (emulated() && wide && mode % 4 != 0) continue;
                    SCOPED_TRACE(std::string(urn.name) + (chain == Chain::exact ? ", exact" : ", merged") +
                                 ", noise kind " + std::to_string(noise) + ", mode " + std::to_string(mode));
                    Problem p = problem_of(urn, chain, scaled(20, 2), seed);
                    p.noise = noise;
                    p.soft = mode & 1;
                    if (mode & 2) p.tau = 5;
                    if (mode & 4) p = repeated(p);
                    if (noise == GURN_NOISE_GIVEN) {
                        p.gumbel = random_gumbel(p, seed);
                        /* Never drawn, whatever the noise. */
                        for (int64_t b = 0; b < p.rows; b++)
                            for (int c : urn.zero)
                                for (int k = 1; k <= p.urn.m[c]; k++)
                                    p.gumbel[b * p.urn.width() + p.urn.offset(c) + k] = k % 2 ? 1e6 : -INFINITY;
                    }
                    const Answer a = forward(p);
                    expect_outputs(p, a);
                    if (HasFatalFailure()) return;
                    Incoming incoming = random_incoming(p, seed);
                    const Gradient g = backward(p, a.x, incoming);
                    expect_gradient(p, a.x, incoming, g);
                    if (HasFatalFailure()) return;
                    if (chain == Chain::exact ? !wide : p.soft) expect_bits(p, a, incoming, g);
                    if (p.tau != 5) { /* another kernel of backward */
                        p.tau = 1;
                        incoming.y.clear();
                        incoming.mask.clear();
                        const std::vector<double> x = forward(p, kX).x;
                        expect_gradient(p, x, incoming, backward(p, x, incoming, false));
                        if (HasFatalFailure()) return;
                    }
                }
}

/* Larger than the oracle walks: long windows, smooth tables, log-gammas of a million; against the plan without those balls. */
TEST_P(OmegaZero, LargeUrns) {
    struct Large {
        std::vector<int> m, zero;
        int n;
    };
    const Large list[] = {{{20000, 20000, 20000, 20000}, {1}, 18000},
                          {{700, 500, 600, 800, 900}, {0, 3}, 1000},
                          {{500, 40000, 600, 700}, {1}, 900},
                          {{400000, 500000, 300000}, {2}, 250000}};
    uint64_t seed = 5;
    for (const Chain chain : chains())
        for (const Large &urn : list)
            for (const bool shared : {true, false}) {
                if (emulated() && urn.m[0] > 1000 && (shared || urn.m[0] > 100000)) continue;
                SCOPED_TRACE(testing::PrintToString(urn.m) + (chain == Chain::exact ? ", exact" : ", merged") +
                             (shared ? ", shared" : ""));
                Problem p;
                p.urn.m = urn.m;
                p.urn.chain = chain;
                p.n = urn.n;
                p.rows = scaled(urn.m[0] > 100000 ? 10 : 40, 1);
                Random random(seed++);
                p.log_omega = random.uniforms(urn.m.size(), -1, 1);
                for (int c : urn.zero) p.log_omega[c] = kZero;
                p.seed = random.word();
                if (!float32() && chain == Chain::exact && urn.m[0] > 100000) continue; /* minutes, for no other code */
                if (!shared) p = repeated(p);
                const Problem q = emptied(p);
                const Answer a = forward(p, kX | kLogP), want = forward(q, kX | kLogP);
                EXPECT_EQ(a.x, want.x); /* a race within rounding of another has 1e-6 a step */
                const double balls = std::lgamma(q.urn.total() + 1.0), steps = q.urn.classes();
                for (int64_t b = 0; b < p.rows; b++) {
                    /* Float32: 1e-5 of a logit a step, on both sides; float64: logs of N balls in a few roundings. */
                    const double limit = float32() ? 4e-5 * steps + 4 * epsilon() * std::fabs(want.log_p[b])
                                                   : 64 * epsilon() * (1 + balls) * steps;
                    EXPECT_TRUE(std::fabs(a.log_p[b] - want.log_p[b]) <= limit)
                        << a.log_p[b] << " for " << want.log_p[b] << " within " << limit;
                }
                Incoming incoming = random_incoming(p, seed);
                incoming.y.clear();
                incoming.mask.clear();
                const Gradient g = backward(p, want.x, incoming), wanted = backward(q, want.x, incoming);
                double size = 0;
                for (double v : wanted.log_omega) size = std::max(size, std::fabs(v));
                for (size_t i = 0; i < g.log_omega.size(); i++) {
                    /* Float32: logits to 1e-5, times a few counts squared, as tests/test_exact_chain.cpp has it. */
                    EXPECT_TRUE(std::fabs(g.log_omega[i] - wanted.log_omega[i]) <=
                                (float32() ? 1e-3 : 1e-7) * (1 + size))
                        << g.log_omega[i] << " for " << wanted.log_omega[i] << " at " << i;
                    if (p.log_omega[i % p.log_omega.size()] == kZero) {
                        EXPECT_EQ(g.log_omega[i], 0);
                    }
                }
            }
}

namespace {

/* Rows with and without classes of omega 0, in runs and alone, each with an n that its urn has. */
Problem mixed_rows(Chain chain, int64_t rows, uint64_t seed, std::vector<int> m = {9, 0, 12, 7, 10, 8}) {
    Random random(seed);
    Problem p;
    p.urn.m = m;
    p.urn.chain = chain;
    p.urn.order = random.permutation(p.urn.classes());
    p.rows = rows;
    p.tau = 0.8;
    p.seed = random.word();
    p.log_omega = random.uniforms(static_cast<size_t>(rows) * m.size(), -1.5, 1.5);
    for (int64_t b = 0; b < rows;) {
        const int kind = random.integer(0, 3), run = random.integer(1, kind == 0 ? 20 : 3);
        std::vector<bool> zero(m.size());
        for (size_t c = 0; c < m.size(); c++) zero[c] = kind > 0 && random.integer(0, kind) == 0;
        for (const int64_t end = std::min(rows, b + run); b < end; b++)
            for (size_t c = 0; c < m.size(); c++)
                if (zero[c]) p.log_omega[b * m.size() + c] = kZero;
    }
    for (int64_t b = 0; b < rows; b++) {
        const int balls = without(p, b).total();
        p.n_rows.push_back(b % 7 == 0 ? balls : b % 7 == 1 ? 0 : random.integer(0, balls));
    }
    p.n_rows[0] = without(p, 0).total();
    return p;
}

}  // namespace

/* Rows of one call that have urns of their own: each as it is alone, and as the oracle has it. */
TEST_P(OmegaZero, RowsOfAllKindsInOneCall) {
    for (const Chain chain : chains())
        for (int mode = 0; mode < 6; mode++) {
            SCOPED_TRACE(std::string(chain == Chain::exact ? "exact" : "merged") + ", mode " + std::to_string(mode));
            Problem p = mixed_rows(chain, scaled(150, 14), 30 + mode);
            p.soft = mode & 1;
            p.noise = mode / 2 == 1 ? GURN_NOISE_GIVEN : mode / 2 == 2 ? GURN_NOISE_OFF : GURN_NOISE_PHILOX;
            if (p.noise == GURN_NOISE_GIVEN) p.gumbel = random_gumbel(p, 4);
            const Incoming incoming = random_incoming(p, 9);
            const Answer a = forward(p);
            expect_outputs(p, a);
            if (HasFatalFailure()) return;
            const Gradient g = backward(p, a.x, incoming);
            expect_gradient(p, a.x, incoming, g);
            if (HasFatalFailure()) return;
            const int C = p.urn.classes(), W = p.urn.width();
            for (int64_t b = 0; b < p.rows; b++) {
                /* Its own row of log omega, in a call of two rows, so that it is not shared. */
                Problem one = row_of(p, b);
                one.rows = 2;
                one = repeated(one);
                if (!one.n_rows.empty()) one.n_rows.push_back(one.n_rows[0]);
                one.gumbel.insert(one.gumbel.end(), one.gumbel.begin(), one.gumbel.end());
                const Answer alone = forward(one);
                ASSERT_TRUE(same_bits(slice(a.x, b, C), slice(alone.x, 0, C))) << "row " << b;
                ASSERT_TRUE(same_bits(slice(a.y, b, W), slice(alone.y, 0, W))) << "row " << b;
                ASSERT_TRUE(same_bits(slice(a.mask, b, W), slice(alone.mask, 0, W))) << "row " << b;
                ASSERT_TRUE(same_bits({a.log_p[b]}, {alone.log_p[0]})) << "row " << b;
                Incoming twice = row_of(p, incoming, b);
                for (std::vector<double> *v : {&twice.x, &twice.y, &twice.mask, &twice.log_p})
                    v->insert(v->end(), v->begin(), v->end());
                const Gradient mine = backward(one, alone.x, twice);
                ASSERT_TRUE(same_bits(slice(g.log_omega, b, C), slice(mine.log_omega, 0, C))) << "row " << b;
                ASSERT_TRUE(same_bits({g.tau[b]}, {mine.tau[0]})) << "row " << b;
            }
        }
}

/* Bits do not depend on threads, on how a batch is split, or on the instruction set; nor on the run. */
TEST_P(OmegaZero, SameBitsEverywhere) {
    const Target portable = {"portable", GURN_DEVICE_CPU, GURN_ISA_PORTABLE, dtype()};
    const Context reference = make_context(portable, 2);
    for (const Chain chain : chains())
        for (const bool soft : {false, true})
            for (const bool wide : {false, true}) {
                SCOPED_TRACE(std::string(chain == Chain::exact ? "exact" : "merged") + (soft ? ", soft" : ", hard") +
                             (wide ? ", wide" : ""));
                Problem p =
                    mixed_rows(chain, scaled(wide ? 60 : 300, wide ? 4 : 37), wide ? 8 : 7,
                               wide ? std::vector<int>{90, 120, 80, 110} : std::vector<int>{9, 0, 12, 7, 10, 8});
                if (emulated() && wide && soft) continue;
                p.soft = soft;
                const Answer a = forward(p);
                const Incoming incoming = random_incoming(p, 2);
                const Gradient g = backward(p, a.x, incoming);
                EXPECT_TRUE(forward(p) == a);
                EXPECT_TRUE(backward(p, a.x, incoming) == g);
                const Answer there = run_forward(reference.get(), portable, p);
                if (!soft) {
                    EXPECT_TRUE(same_bits(a.x, there.x));
                }
                for (int threads : {1, 5}) {
                    if (device() != GURN_DEVICE_CPU) break;
                    const Context other = make_context(GetParam(), threads);
                    EXPECT_TRUE(run_forward(other.get(), GetParam(), p) == a) << threads << " threads";
                    EXPECT_TRUE(run_backward(other.get(), GetParam(), p, a.x, incoming) == g) << threads << " threads";
                }
                const int C = p.urn.classes();
                for (int64_t first = 0, rows = 1; first < p.rows; first += rows, rows = 2 * rows + 1) {
                    rows = std::min(rows, p.rows - first);
                    Problem part = p;
                    part.rows = rows;
                    part.row0 += static_cast<uint64_t>(first);
                    part.log_omega.assign(p.log_omega.begin() + first * C, p.log_omega.begin() + (first + rows) * C);
                    part.n_rows.assign(p.n_rows.begin() + first, p.n_rows.begin() + first + rows);
                    const std::vector<double> x = forward(part, kX).x;
                    EXPECT_TRUE(
                        same_bits(x, std::vector<double>(a.x.begin() + first * C, a.x.begin() + (first + rows) * C)))
                        << "rows from " << first;
                }
            }
}

/* omega given once or with every row: the same outputs, and the sum over rows of the gradients. */
TEST_P(OmegaZero, SharedAndRepeated) {
    for (const Chain chain : chains())
        for (const bool soft : {false, true})
            for (const bool ragged : {false, true}) {
                SCOPED_TRACE(std::string(chain == Chain::exact ? "exact" : "merged") + (soft ? ", soft" : ", hard") +
                             (ragged ? ", n a row" : ""));
                Problem p;
                p.urn.m = {14, 11, 13, 12};
                p.urn.chain = chain;
                p.log_omega = {0.5, kZero, -0.25, 1};
                p.n = 20;
                p.rows = scaled(100, 9);
                p.soft = soft;
                Random random(3);
                for (int64_t b = 0; ragged && b < p.rows; b++) p.n_rows.push_back(random.integer(0, 39));
                const Problem q = repeated(p);
                const Answer a = forward(p), each = forward(q);
                EXPECT_TRUE(same_bits(a.x, each.x) && same_bits(a.y, each.y) && same_bits(a.mask, each.mask));
                for (int64_t b = 0; b < p.rows; b++) /* as Determinism.SharedAndRepeatedLogOmega */
                    EXPECT_TRUE(std::fabs(a.log_p[b] - each.log_p[b]) <=
                                0x1p-24 * (2 * 133 * 4 + std::fabs(a.log_p[b])));
                const Incoming incoming = random_incoming(p, 4);
                const Gradient together = backward(p, a.x, incoming), apart = backward(q, a.x, incoming);
                for (int c = 0; c < 4; c++) {
                    double sum = 0, size = 0;
                    for (int64_t b = 0; b < p.rows; b++) {
                        sum += apart.log_omega[4 * b + c];
                        size += std::fabs(apart.log_omega[4 * b + c]);
                    }
                    if (c == 1) {
                        EXPECT_EQ(together.log_omega[c], 0);
                    }
                    /* Each was rounded; and the adjoint sweep, once or for each row, sums in float32 or in double. */
                    const double limit =
                        epsilon() * size * (2 + static_cast<double>(p.rows)) + (float32() ? 1e-5 : 1e-12) * (1 + size);
                    EXPECT_TRUE(std::fabs(together.log_omega[c] - sum) <= limit)
                        << together.log_omega[c] << " for " << sum << " class " << c;
                }
            }
}

/* An order with the call, which is for equal m: the urns of its rows have no equal m any more. */
TEST_P(OmegaZero, OrderOfTheCall) {
    for (const Chain chain : chains())
        for (const bool soft : {false, true}) {
            Problem p = mixed_rows(chain, scaled(60, 9), 12, std::vector<int>(6, 8));
            p.call_order.assign(p.urn.order.begin(), p.urn.order.end());
            p.urn.order.clear();
            p.soft = soft;
            const Answer a = forward(p);
            expect_outputs(p, a);
            if (HasFatalFailure()) return;
            const Incoming incoming = random_incoming(p, 3);
            expect_gradient(p, a.x, incoming, backward(p, a.x, incoming));
        }
}

/* Soft gradients are differences of forward; nothing reaches a class that is never drawn. */
TEST_P(OmegaZero, SoftGradientsAreDerivatives) {
    if (float32()) GTEST_SKIP() << "differences of float32 values say little";
    int64_t compared = 0;
    for (const Chain chain : chains()) {
        Problem p = mixed_rows(chain, scaled(200, 12), 21);
        p.soft = true;
        const int C = p.urn.classes();
        const Answer base = forward(p);
        Incoming incoming;
        incoming.x = random_incoming(p, 5).x;
        incoming.log_p = random_incoming(p, 6).log_p;
        const Gradient g = backward(p, base.x, incoming);
        const auto objective = [&](const Answer &a, int64_t b) {
            long double sum = (long double)incoming.log_p[b] * a.log_p[b];
            for (int c = 0; c < C; c++) sum += (long double)incoming.x[b * C + c] * a.x[b * C + c];
            return sum;
        };
        for (int j = 0; j < C; j++) {
            const auto moved = [&](double h) {
                Problem q = p;
                for (int64_t b = 0; b < p.rows; b++) q.log_omega[b * C + j] += h;
                return forward(q, kX | kLogP);
            };
            const double h = 2.5e-4;
            const Answer a1 = moved(h), a2 = moved(-h), a3 = moved(2 * h), a4 = moved(-2 * h);
            for (int64_t b = 0; b < p.rows; b++) {
                const oracle::Urn urn = without(p, b);
                double left = p.n_of(b);
                /* Where a whole number is left R bends (exact chain), or a count joins the support: there differences say nothing. */
                bool kink = false;
                for (int i = 0; i < urn.last(); i++) {
                    left -= base.x[b * C + urn.at(i)];
                    if (urn.m[urn.at(i)] == 0) continue;
                    kink |= std::fabs(left - std::round(left)) < 0.02;
                }
                if (p.log_omega[b * C + j] == kZero) {
                    EXPECT_EQ(g.log_omega[b * C + j], 0);
                }
                if (kink) continue;
                const long double slope =
                    (8 * (objective(a1, b) - objective(a2, b)) - (objective(a3, b) - objective(a4, b))) / (12 * h);
                const double got = g.log_omega[b * C + j];
                /* As BackwardTest.SoftExactIsTheDerivative has it. */
                ASSERT_TRUE(std::fabs(got - double(slope)) <= 1e-7 * (1 + std::fabs(double(slope))))
                    << got << " for " << double(slope) << " row " << b << " class " << j;
                compared++;
            }
        }
    }
    EXPECT_GE(compared, scaled(1000, 60));
}

/* 10^6 draws of each order have the law of Eq. 1 without the class. */
TEST_P(OmegaZero, DrawsHaveTheLawOfEq1) {
    for (const std::vector<int> &order : {std::vector<int>{0, 1, 2, 3}, {1, 3, 2, 0}, {3, 0, 1, 2}}) {
        Problem p;
        p.urn.m = {4, 5, 3, 6};
        p.urn.order = order;
        p.urn.chain = Chain::exact;
        p.n = 7;
        p.log_omega = {0.75, kZero, -1.25, 0.5};
        p.seed = 77 + static_cast<uint64_t>(order[0]);
        if (!samples(Chain::exact)) GTEST_SKIP() << "this chain is not in this build";
        const Problem q = emptied(p);
        const auto pmf = oracle::joint_pmf(q.urn, rounded(dtype(), q.log_omega), p.n);
        const int64_t draws = scaled(1000000, 10000);
        p.rows = std::min<int64_t>(draws, 100000);
        std::map<std::vector<int>, double> seen;
        for (int64_t done = 0; done < draws; done += p.rows) {
            p.offset = static_cast<uint64_t>(done);
            const Answer a = forward(p, kX);
            for (int64_t b = 0; b < p.rows; b++)
                seen[std::vector<int>(a.x.begin() + 4 * b, a.x.begin() + 4 * b + 4)] += 1;
        }
        std::vector<double> observed, probability;
        for (const auto &[x, probability_of_x] : pmf) {
            observed.push_back(seen[x]);
            probability.push_back(probability_of_x);
        }
        EXPECT_EQ(seen.size(), pmf.size()) << "drew what cannot be drawn";
        EXPECT_GT(goodness_of_fit(observed, probability).p(), kFalseAlarm) << testing::PrintToString(order);
    }
}

/* More than the other classes hold: an error that names n, or NaN in that row, and no bit of another changed. */
TEST_P(OmegaZero, MoreThanTheOthersHold) {
    for (const Chain chain : chains())
        for (const bool soft : {false, true})
            for (const bool n_of_rows : {false, true}) {
                SCOPED_TRACE(std::string(chain == Chain::exact ? "exact" : "merged") + (soft ? ", soft" : ", hard"));
                Problem p;
                p.urn.m = {5, 6, 7};
                p.urn.chain = chain;
                p.rows = 21;
                p.soft = soft;
                p.n = 12;
                p.log_omega = Random(3).uniforms(63, -1, 1);
                p.log_omega[3 * 4 + 1] = kZero;  /* 12 balls are left */
                p.log_omega[3 * 11 + 0] = kZero; /* 13 */
                if (n_of_rows) p.n_rows.assign(21, 12), p.n = 0;
                Problem spoiled = p;
                spoiled.log_omega[3 * 9 + 2] = kZero; /* 11 */
                const Answer good = forward(p);
                const Incoming incoming = random_incoming(p, 1);
                const Gradient want = backward(p, good.x, incoming);
                if (device() == GURN_DEVICE_CPU) {
                    Call call(context(), GetParam(), spoiled);
                    for (const bool back : {false, true}) {
                        EXPECT_EQ(back ? call.backward() : call.forward(), GURN_INVALID_N);
                        const std::string message = gurn_context_message(context());
                        EXPECT_NE(message.find(n_of_rows ? "n_rows[9]" : "n is 12"), std::string::npos) << message;
                        EXPECT_TRUE(call.untouched());
                    }
                    continue;
                }
                const Answer a = forward(spoiled);
                const Gradient g = backward(spoiled, good.x, incoming);
                const auto judge = [&](const std::vector<double> &got, const std::vector<double> &right) {
                    const int64_t width = static_cast<int64_t>(got.size()) / p.rows;
                    for (int64_t i = 0; i < static_cast<int64_t>(got.size()); i++)
                        EXPECT_TRUE(i / width == 9 ? std::isnan(got[i]) : got[i] == right[i]) << "entry " << i;
                };
                judge(a.x, good.x);
                judge(a.y, good.y);
                judge(a.mask, good.mask);
                judge(a.log_p, good.log_p);
                judge(g.log_omega, want.log_omega);
                judge(g.tau, want.tau);
                /* Shared by all rows, all are bad. */
                Problem all = p;
                all.log_omega = {0, 0, kZero};
                for (double v : forward(all).x) EXPECT_TRUE(std::isnan(v));
            }
}

/* Backward is given what forward never gave: a count of a class that is never drawn. */
TEST_P(OmegaZero, CountsThatForwardNeverGave) {
    for (const Chain chain : chains())
        for (const bool soft : {false, true})
            for (const double tau : {1.0, 5.0}) {
                Problem p;
                p.urn.m = {5, 6, 7};
                p.urn.chain = chain;
                p.rows = 9;
                p.soft = soft;
                p.tau = tau;
                p.n = 8;
                p.log_omega = Random(3).uniforms(27, -1, 1);
                p.log_omega[3 * 4 + 1] = kZero;
                const std::vector<double> x = forward(p, kX).x;
                const Incoming incoming = random_incoming(p, 1);
                const Gradient want = backward(p, x, incoming);
                std::vector<double> spoiled = x; /* still of sum n */
                spoiled[3 * 4 + 1] = soft ? 0.25 : 1;
                spoiled[3 * 4 + (spoiled[3 * 4] >= 1 ? 0 : 2)] -= spoiled[3 * 4 + 1];
                if (device() == GURN_DEVICE_CPU) {
                    Call call(context(), GetParam(), p);
                    const RealArray given(device(), dtype(), spoiled);
                    call.x = given.data();
                    EXPECT_EQ(call.backward(), GURN_INVALID_X);
                    const std::string message = gurn_context_message(context());
                    EXPECT_NE(message.find("x[4][1]"), std::string::npos) << message;
                    EXPECT_TRUE(call.untouched());
                    continue;
                }
                const Gradient g = backward(p, spoiled, incoming);
                for (int64_t i = 0; i < 27; i++)
                    EXPECT_TRUE(i / 3 == 4 ? std::isnan(g.log_omega[i]) : g.log_omega[i] == want.log_omega[i]) << i;
                for (int64_t b = 0; b < 9; b++)
                    EXPECT_TRUE(b == 4 ? std::isnan(g.tau[b]) : g.tau[b] == want.tau[b]) << b;
            }
}

/* NaN and +infinity beside a class of omega 0 are what they are elsewhere. */
TEST_P(OmegaZero, OtherValuesThatAreNoLogOmega) {
    for (const Chain chain : chains())
        for (const double bad : {double(NAN), double(INFINITY)}) {
            Problem p;
            p.urn.m = {5, 6, 7};
            p.urn.chain = chain;
            p.rows = 5;
            p.n = 8;
            p.log_omega = Random(3).uniforms(15, -1, 1);
            p.log_omega[3 * 2] = kZero;
            Problem spoiled = p;
            spoiled.log_omega[3 * 2 + 1] = bad;
            if (device() == GURN_DEVICE_CPU) {
                Call call(context(), GetParam(), spoiled);
                EXPECT_EQ(call.forward(), GURN_INVALID_LOG_OMEGA);
                continue;
            }
            const std::vector<double> x = forward(spoiled, kX).x, want = forward(p, kX).x;
            for (int i = 0; i < 15; i++) EXPECT_TRUE(i / 3 == 2 ? std::isnan(x[i]) : x[i] == want[i]) << i;
        }
}

/* --------------------------------------------------------------------------------------------- only ratios count --- */

/* What is added to all of a row leaves every bit, where the sums are exact. */
TEST_P(OmegaZero, OnlyRatiosCount) {
    struct Shift {
        double by, unit; /* log omega are whole multiples of unit */
    };
    for (const Chain chain : chains())
        for (const bool soft : {false, true})
            for (const double tau : {0.75, 5.0})
                for (const Shift &shift : {Shift{800000, 1}, {-800000, 0.5}, {0x1p30, 0x1p10}, {-3, 0.25}}) {
                    SCOPED_TRACE(std::string(chain == Chain::exact ? "exact" : "merged") +
                                 (soft ? ", soft" : ", hard") + ", by " + std::to_string(shift.by));
                    Problem p;
                    p.urn.m = {13, 11, 12, 6};
                    p.urn.chain = chain;
                    p.rows = scaled(40, 2);
                    p.n = 19;
                    p.soft = soft;
                    p.tau = tau;
                    Random random(5);
                    for (int64_t i = 0; i < 4 * p.rows; i++)
                        p.log_omega.push_back(shift.unit * random.integer(-2, 2) * (shift.unit > 1 ? 0 : 1));
                    for (int64_t b = 0; b < p.rows; b += 3) p.log_omega[4 * b + b % 4] = kZero;
                    Problem moved = p;
                    for (double &v : moved.log_omega) v += shift.by;
                    const Answer a = forward(p);
                    EXPECT_TRUE(forward(moved) == a);
                    const Incoming incoming = random_incoming(p, 8);
                    EXPECT_TRUE(backward(moved, a.x, incoming) == backward(p, a.x, incoming));
                }
}

/* All of 800000, 800001, 800000 is the law of 0, 1, 0, and not that of equal omega. */
TEST_P(OmegaZero, LargeLogOmegaIsARatio) {
    for (const Chain chain : chains()) {
        Problem p;
        p.urn.m = {40, 40, 40};
        p.urn.chain = chain;
        p.rows = scaled(2000, 50);
        p.n = 50;
        p.log_omega = {0, 1, 0};
        const Answer want = forward(p);
        for (const std::vector<double> &log_omega :
             {std::vector<double>{800000, 800001, 800000}, {-800001, -800000, -800001}}) {
            p.log_omega = log_omega;
            EXPECT_TRUE(forward(p) == want);
        }
        p.log_omega = {0, 0, 0};
        const Answer equal = forward(p);
        EXPECT_FALSE(same_bits(equal.x, want.x));
        for (double all : {1e30, -1e30, float32() ? 3e38 : 1e300, float32() ? -3e38 : -1e300}) {
            p.log_omega = {all, all, all};
            EXPECT_TRUE(forward(p) == equal) << all;
        }
    }
}

/* Ratios beyond all bounds are held: what may be drawn is, the lesser class last. */
TEST_P(OmegaZero, RatiosBeyondAllBounds) {
    const double most = float32() ? 3e38 : 1.7e308; /* whose difference overflows */
    for (const Chain chain : chains())
        for (const bool soft : {false, true})
            for (double size : {1e30, most})
                for (int low = 0; low < 2; low++) {
                    Problem p;
                    p.urn.m = {5, 6};
                    p.urn.chain = chain;
                    p.rows = 2;
                    p.soft = soft;
                    p.log_omega = {low == 0 ? -size : size, low == 0 ? size : -size};
                    for (int n = 0; n <= 11; n += emulated() ? 3 : 1) {
                        p.n = n;
                        const Answer a = forward(p);
                        const double lesser = std::max(0, n - p.urn.m[1 - low]);
                        for (int64_t b = 0; b < p.rows; b++) {
                            /* Another count has odds of 2^-100 at most, Gumbel noise is worth 2^38, tau is 1. */
                            EXPECT_TRUE(std::fabs(a.x[2 * b + low] - lesser) <= (soft ? 1e-12 : 0)) << "n " << n;
                            EXPECT_TRUE(std::fabs(a.log_p[b]) <= 8 * epsilon()) << a.log_p[b]; /* log2 of a sum of 1 */
                        }
                    }
                }
}

ON_ALL_TARGETS(OmegaZero);
