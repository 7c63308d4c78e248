/* Noise given by the caller: -infinity forbids counts, rows in which nothing is left to choose, and noise as large as there is. */
#include <cmath>
#include <limits>

#include "call.h"
#include "judge.h"

using namespace gurn_test;

namespace {

const double kNaN = std::numeric_limits<double>::quiet_NaN(), kInfinity = std::numeric_limits<double>::infinity();

class GivenNoise : public OnTarget {
protected:
    /* Magnitudes that a noise of this dtype can have. */
    std::vector<double> huge() const {
        std::vector<double> list = {1e4, 1e30, double(std::numeric_limits<float>::max())};
        if (!float32()) list.insert(list.end(), {1e300, std::numeric_limits<double>::max()});
        return list;
    }
};

/* Ordinary noise, of which a share forbids. */
void forbid(Problem &p, uint64_t seed, double share) {
    Random random(seed);
    p.noise = GURN_NOISE_GIVEN;
    p.gumbel = random_gumbel(p, seed + 1);
    for (double &g : p.gumbel)
        if (random.uniform(0, 1) < share) g = -kInfinity;
}

/* Three classes, whose first may have 0..3 and whose second 0..5. */
Problem small(oracle::Chain chain, int64_t rows) {
    Problem p;
    p.urn.m = {3, 5, 4};
    p.urn.chain = chain;
    p.n = 6;
    p.rows = rows;
    p.log_omega = Random(11).uniforms(3 * rows, -1, 1);
    p.noise = GURN_NOISE_GIVEN;
    p.gumbel = random_gumbel(p, 12);
    return p;
}

/* Nothing is left to choose: in the first class, and in the second. */
void block(Problem &p, int64_t b, int cls) {
    for (int k = 0; k <= p.urn.m[cls]; k++) p.gumbel[b * p.urn.width() + p.urn.offset(cls) + k] = -kInfinity;
}

}  // namespace

/* A forbidden count is not drawn and weighs nothing, hard and soft, in both chains; a row without a choice is NaN, and only it. */
TEST_P(GivenNoise, ForbiddenCountsAreNeverDrawn) {
    int64_t dead = 0, alive = 0;
    for (const oracle::Chain chain : chains()) {
        for (const NamedProblem &named : assorted_problems(scaled(10, 4), chain)) {
            for (const double share : {0.3, 0.95}) {
                if (emulated() && named.problem.urn.total() > 100) continue;
                for (const bool soft : {false, true}) {
                    SCOPED_TRACE(named.name + (soft ? " soft, " : " hard, ") + std::to_string(share) + " forbidden");
                    Problem p = named.problem;
                    p.soft = soft;
                    forbid(p, 21, share);
                    const oracle::Urn urn = p.urn_of_call();
                    const int C = urn.classes(), W = urn.width();
                    const Answer a = forward(p);
                    for (int64_t b = 0; b < p.rows; b++) {
                        const oracle::Outputs want = oracle::forward(urn, p.row(b, dtype()));
                        const bool none = std::isnan(a.log_p[b]);
                        if (std::isnan(want.log_p) || !on_an_edge(p, want.x, b)) {
                            ASSERT_EQ(none, std::isnan(want.log_p)) << "row " << b;
                            (none ? dead : alive)++;
                        }
                        for (int c = 0; c < C; c++) ASSERT_EQ(std::isnan(a.x[b * C + c]), none) << "row " << b;
                        for (int i = 0; i < W; i++) {
                            ASSERT_EQ(std::isnan(a.y[b * W + i]), none) << "row " << b << " y " << i;
                            ASSERT_EQ(std::isnan(a.mask[b * W + i]), none) << "row " << b << " mask " << i;
                        }
                        for (int i = 0; !none && i < urn.last(); i++)
                            for (int k = 0; k <= urn.m[urn.at(i)]; k++) {
                                const int64_t at = b * W + urn.offset(urn.at(i)) + k;
                                if (p.gumbel[at] == -kInfinity) {
                                    ASSERT_EQ(a.y[at], 0) << "row " << b << " place " << i << " count " << k;
                                }
                            }
                    }
                    /* And all of it by the oracle, where rounding can not change what is in a support. */
                    if (soft && named.name != "small" && named.name != "S1" && named.name != "twelve classes") continue;
                    expect_forward(dtype(), p, a);
                    if (HasFatalFailure()) return;
                }
            }
        }
    }
    EXPECT_GE(dead, 100);
    EXPECT_GE(alive, 100);
}

/* Gradients of the same: as the oracle has them, and NaN in a row without a choice; a sum over rows with such a row is NaN. */
TEST_P(GivenNoise, GradientsWhereCountsAreForbidden) {
    for (const oracle::Chain chain : chains()) {
        for (const char *name : {"small", "empty classes", "rows differ in n", "S1", "hot"}) {
            for (const bool soft : {false, true}) {
                for (const double share : {0.3, 0.8}) {
                    for (NamedProblem &named : assorted_problems(scaled(10, 4), chain)) {
                        if (named.name != name) continue;
                        if (named.name == "S1") named.problem.rows = emulated() ? 1 : 2;
                        SCOPED_TRACE(named.name + (soft ? " soft, " : " hard, ") + std::to_string(share));
                        Problem &p = named.problem;
                        p.soft = soft;
                        forbid(p, 31, share);
                        const std::vector<double> x = forward(p, kX).x;
                        const Incoming incoming = random_incoming(p, 32);
                        expect_gradient(dtype(), p, x, incoming, backward(p, x, incoming));
                        if (HasFatalFailure()) return;
                    }
                }
            }
        }
        Problem p = small(chain, 5); /* log omega shared, and one row without a choice */
        p.log_omega.resize(3);
        block(p, 3, 1);
        const std::vector<double> x = forward(p, kX).x;
        const Gradient g = backward(p, x, random_incoming(p, 33));
        EXPECT_TRUE(all_nan(g.log_omega));
        for (int b = 0; b < 5; b++) EXPECT_EQ(std::isnan(g.tau[b]), b == 3);
    }
}

/* The rows around one without a choice have the bits that they have without it. */
TEST_P(GivenNoise, OtherRowsAreNotTouched) {
    for (const oracle::Chain chain : chains()) {
        for (const bool soft : {false, true}) {
            Problem p = small(chain, 40);
            p.soft = soft;
            const Answer a = forward(p);
            const Incoming incoming = random_incoming(p, 41);
            const Gradient g = backward(p, a.x, incoming);
            Problem q = p;
            for (int b : {0, 7, 16, 39}) block(q, b, b % 2);
            const Answer got = forward(q);
            const Gradient got_g = backward(q, got.x, incoming);
            for (int64_t b = 0; b < 40; b++) {
                const bool dead = b == 0 || b == 7 || b == 16 || b == 39;
                const auto expect_row = [&](const std::vector<double> &v, const std::vector<double> &want, int width) {
                    if (dead)
                        EXPECT_TRUE(all_nan(slice(v, b, width))) << "row " << b;
                    else
                        EXPECT_TRUE(same_bits(slice(v, b, width), slice(want, b, width))) << "row " << b;
                };
                expect_row(got.x, a.x, 3);
                expect_row(got.y, a.y, 15);
                expect_row(got.mask, a.mask, 15);
                expect_row(got.log_p, a.log_p, 1);
                expect_row(got_g.log_omega, g.log_omega, 3);
                expect_row(got_g.tau, g.tau, 1);
            }
            /* Each output alone knows it too. */
            for (int want : {kX, kY, kMask, kLogP}) {
                const Answer one = forward(q, want);
                for (const std::vector<double> *v : {&one.x, &one.y, &one.mask, &one.log_p})
                    for (size_t i = 0; i < v->size(); i++)
                        EXPECT_EQ(std::isnan((*v)[i]), i / (v->size() / 40) == 0 || i / (v->size() / 40) == 7 ||
                                                           i / (v->size() / 40) == 16 || i / (v->size() / 40) == 39);
            }
        }
    }
}

/* Empty classes have one count, 0, which may be forbidden; the class that takes what is left has no noise. */
TEST_P(GivenNoise, TheOnlyCountMayBeForbidden) {
    for (const oracle::Chain chain : chains()) {
        for (const bool soft : {false, true}) {
            Problem p;
            p.urn.m = {0, 4, 0, 5, 0};
            p.urn.chain = chain;
            p.n = 3;
            p.rows = 5;
            p.log_omega = {0.1, 0.2, 0.3, 0.4, 0.5};
            p.noise = GURN_NOISE_GIVEN;
            p.gumbel = random_gumbel(p, 51);
            for (int c = 0; c < 5; c++) block(p, c, c); /* row c: class c */
            p.soft = soft;
            const Answer a = forward(p);
            for (int b = 0; b < 5; b++) EXPECT_EQ(all_nan(slice(a.x, b, 5)), b <= 2) << "row " << b;
            for (int b = 0; b < 5; b++) EXPECT_EQ(std::isnan(a.x[5 * b]), b <= 2) << "row " << b;
        }
    }
}

/* x of a row without a choice is NaN, and backward takes it so: if noise is given and forbids, and if all of the row is NaN. */
TEST_P(GivenNoise, BackwardTakesTheNaNOfSuchARow) {
    for (const oracle::Chain chain : chains()) {
        for (const bool soft : {false, true}) {
            Problem p = small(chain, 4);
            p.soft = soft;
            block(p, 2, 0);
            const std::vector<double> x = forward(p, kX).x;
            const auto run = [&](const Problem &problem, const std::vector<double> &counts) {
                Call call(context(), GetParam(), problem);
                const RealArray array(device(), dtype(), counts);
                call.x = array.data();
                const gurn_status status = call.backward();
                device_synchronize(device());
                if (status == GURN_SUCCESS) {
                    EXPECT_TRUE(call.guards_intact());
                    for (int b = 0; b < 4; b++) {
                        const bool bad =
                            std::isnan(counts[3 * b]) || std::isnan(counts[3 * b + 1]) || std::isnan(counts[3 * b + 2]);
                        EXPECT_EQ(all_nan(slice(call.grad_log_omega.values(), b, 3)), bad) << "row " << b;
                        EXPECT_EQ(std::isnan(call.grad_tau.values()[b]), bad) << "row " << b;
                    }
                } else {
                    EXPECT_TRUE(call.untouched());
                    EXPECT_NE(std::string(gurn_context_message(context())).find("x["), std::string::npos);
                }
                return status;
            };
            const gurn_status refused = device() == GURN_DEVICE_CPU ? GURN_INVALID_X : GURN_SUCCESS;
            EXPECT_EQ(run(p, x), GURN_SUCCESS) << gurn_context_message(context());
            for (int c = emulated() ? 2 : 0; c < 3;
                 c++) { /* one of the row's NaN replaced, or one of another row's counts */
                std::vector<double> partly = x, another = x;
                partly[6 + c] = 1;
                another[3 + c] = kNaN;
                EXPECT_EQ(run(p, partly), refused);
                EXPECT_EQ(run(p, another), refused);
            }
            Problem permitted = p; /* the same x where noise is given and forbids nothing, or is not given */
            for (double &g : permitted.gumbel) g = std::fmax(g, -1.0);
            EXPECT_EQ(run(permitted, x), refused);
            Problem generated = p;
            generated.noise = GURN_NOISE_PHILOX;
            EXPECT_EQ(run(generated, x), refused);
            generated.noise = GURN_NOISE_OFF;
            EXPECT_EQ(run(generated, x), refused);
        }
    }
}

/* A hard x that noise forbids at every count is none that forward gave: NaN on every device, in that row. */
TEST_P(GivenNoise, BackwardOfCountsThatCouldNotBeDrawn) {
    for (const oracle::Chain chain : chains()) {
        Problem p = small(chain, 4);
        const std::vector<double> x = forward(p, kX).x;
        block(p, 1, 1);
        const Gradient g = backward(p, x, random_incoming(p, 61));
        for (int b = 0; b < 4; b++) {
            EXPECT_EQ(all_nan(slice(g.log_omega, b, 3)), b == 1) << "row " << b;
            EXPECT_EQ(std::isnan(g.tau[b]), b == 1) << "row " << b;
        }
    }
}

/* ----------------------------------------------------------------------------------------------------- huge noise --- */

/* Only differences count: the same noise at every count of a class is no noise, however large. */
TEST_P(GivenNoise, TheSameNoiseEverywhereIsNone) {
    for (const oracle::Chain chain : chains()) {
        for (const bool soft : {false, true}) {
            Problem p;
            p.urn.m = {12, 9, 15};
            p.urn.chain = chain;
            p.n = 17;
            p.rows = 6;
            p.soft = soft;
            p.tau = 0.7;
            p.log_omega = Random(71).uniforms(18, -1, 1);
            p.noise = GURN_NOISE_GIVEN;
            p.gumbel.assign(p.rows * p.urn.width(), 0);
            const Answer want = forward(p);
            const Incoming incoming = random_incoming(p, 72);
            const Gradient want_g = backward(p, want.x, incoming);
            for (const double size : huge()) {
                SCOPED_TRACE(size);
                Problem q = p;
                Random random(73);
                for (int64_t b = 0; b < p.rows; b++)
                    for (int c = 0; c < 3; c++) {
                        const double sign = random.integer(0, 1) ? 1 : -1;
                        for (int k = 0; k <= p.urn.m[c]; k++)
                            q.gumbel[b * p.urn.width() + p.urn.offset(c) + k] = sign * size;
                    }
                EXPECT_TRUE(forward(q) == want);
                EXPECT_TRUE(backward(q, want.x, incoming) == want_g);
            }
        }
    }
}

/* Counts whose noise is that much larger than the others' are all that is drawn from: as though the others were forbidden. */
TEST_P(GivenNoise, HugeNoiseIsAPreference) {
    for (const oracle::Chain chain : chains()) {
        for (const bool soft : {false, true}) {
            Problem forbidding;
            forbidding.urn.m = {12, 9, 15};
            forbidding.urn.chain = chain;
            forbidding.n = 17;
            forbidding.rows = 20;
            forbidding.soft = soft;
            forbidding.tau = 0.7;
            forbidding.log_omega = Random(81).uniforms(60, -1, 1);
            forbid(forbidding, 82, 0.5);
            for (double &g : forbidding.gumbel)
                if (g > -kInfinity) g = 0;
            const Answer want = forward(forbidding);
            const Incoming incoming = random_incoming(forbidding, 83);
            const Gradient want_g = backward(forbidding, want.x, incoming);
            for (const double size : huge()) {
                for (const bool up : {false, true}) { /* the ones raised, or the others lowered */
                    SCOPED_TRACE(std::to_string(size) + (up ? " up" : " down"));
                    Problem q = forbidding;
                    for (double &g : q.gumbel) g = g == 0 ? (up ? size : 0) : (up ? 0 : -size);
                    const Answer got = forward(q);
                    for (int64_t b = 0; b < q.rows; b++) {
                        if (std::isnan(want.log_p[b])) { /* there is always a choice now */
                            EXPECT_TRUE(std::isfinite(got.log_p[b])) << "row " << b;
                            continue;
                        }
                        EXPECT_TRUE(same_bits(slice(got.x, b, 3), slice(want.x, b, 3))) << "row " << b;
                        EXPECT_TRUE(same_bits(slice(got.y, b, 39), slice(want.y, b, 39))) << "row " << b;
                        EXPECT_TRUE(same_bits(slice(got.log_p, b, 1), slice(want.log_p, b, 1))) << "row " << b;
                    }
                    const Gradient g = backward(q, got.x, incoming);
                    for (int64_t b = 0; b < q.rows; b++) {
                        for (int c = 0; c < 3; c++) EXPECT_TRUE(std::isfinite(g.log_omega[3 * b + c])) << "row " << b;
                        EXPECT_TRUE(std::isfinite(g.tau[b])) << "row " << b;
                        if (std::isnan(want.log_p[b])) continue;
                        EXPECT_TRUE(same_bits(slice(g.log_omega, b, 3), slice(want_g.log_omega, b, 3))) << "row " << b;
                        EXPECT_TRUE(same_bits(slice(g.tau, b, 1), slice(want_g.tau, b, 1))) << "row " << b;
                    }
                }
            }
        }
    }
}

/* All sorts together, at every temperature: finite, or NaN where nothing is left; hard counts are the oracle's. */
TEST_P(GivenNoise, AllSortsTogether) {
    for (const oracle::Chain chain : chains()) {
        for (const bool soft : {false, true}) {
            for (const double tau : {GURN_MIN_TAU, 1e-3, 1.0, 1e30, std::numeric_limits<double>::max()}) {
                SCOPED_TRACE(std::string(soft ? "soft" : "hard") + " tau " + std::to_string(tau));
                Problem p;
                p.urn.m = {7, 0, 9, 5, 8};
                p.urn.chain = chain;
                p.n = 13;
                p.rows = scaled(200, 30);
                p.soft = soft;
                p.tau = tau;
                p.log_omega = Random(91).uniforms(5 * p.rows, -2, 2);
                forbid(p, 92, 0.3);
                Random random(93);
                const std::vector<double> sizes = huge();
                for (double &g : p.gumbel)
                    if (random.integer(0, 2) == 0)
                        g = (random.integer(0, 1) ? 1 : -1) * sizes[random.integer(0, int(sizes.size()) - 1)];
                const Answer a = forward(p);
                const Gradient g = backward(p, a.x, random_incoming(p, 94));
                for (int64_t b = 0; b < p.rows; b++) {
                    const bool none = std::isnan(a.log_p[b]);
                    const auto expect_row = [&](const std::vector<double> &v, int width) {
                        for (double value : slice(v, b, width))
                            ASSERT_TRUE(none ? std::isnan(value) : std::isfinite(value)) << value << " row " << b;
                    };
                    expect_row(a.x, 5);
                    expect_row(a.y, p.urn.width());
                    expect_row(a.mask, p.urn.width());
                    expect_row(a.log_p, 1);
                    expect_row(g.log_omega, 5);
                    expect_row(g.tau, 1);
                    if (HasFatalFailure()) return;
                    for (int c = 0; !none && c < 4; c++)
                        for (int k = 0; k <= p.urn.m[c]; k++) {
                            const int64_t at = b * p.urn.width() + p.urn.offset(c) + k;
                            if (p.gumbel[at] == -kInfinity) {
                                ASSERT_EQ(a.y[at], 0);
                            }
                        }
                }
                if (!soft) expect_forward(dtype(), p, a);
                if (HasFatalFailure()) return;
            }
        }
    }
}

/* Two counts a huge distance apart are as near as any at a temperature as high. */
TEST_P(GivenNoise, HighTemperaturesMakeHugeNoiseOrdinary) {
    for (const oracle::Chain chain : chains()) {
        Problem p;
        p.urn.m = {7, 9, 5};
        p.urn.chain = chain;
        p.n = 11;
        p.rows = 30;
        p.soft = true;
        p.tau = 1e30;
        p.log_omega = Random(101).uniforms(3, -2, 2);
        p.noise = GURN_NOISE_GIVEN;
        p.gumbel = random_gumbel(p, 102);
        for (double &g : p.gumbel) g *= 1e30;
        const Answer a = forward(p);
        expect_forward(dtype(), p, a);
        if (HasFatalFailure()) return;
        const Incoming incoming = random_incoming(p, 103);
        expect_gradient(dtype(), p, a.x, incoming, backward(p, a.x, incoming));
        if (HasFatalFailure()) return;
    }
}

ON_ALL_TARGETS(GivenNoise);
