/* The ends of every range: extreme importances and temperatures, supports around a warp and a block, and nothing to draw. */
#include <cmath>

#include "problems.h"

using namespace gurn_test;

namespace {

class Edges : public OnTarget {
protected:
    /* Every row of hard x: whole counts between 0 and m that sum to n. */
    void expect_valid(const Problem &p, const std::vector<double> &x) {
        const int C = p.urn.classes();
        ASSERT_EQ(x.size(), static_cast<size_t>(p.rows * C));
        for (int64_t b = 0; b < p.rows; b++) {
            double total = 0;
            for (int c = 0; c < C; c++) {
                const double v = x[b * C + c];
                if (!(v >= 0 && v <= p.urn.m[c] && v == std::floor(v)))
                    FAIL() << "x = " << v << " of m = " << p.urn.m[c] << ", row " << b << " class " << c;
                total += v;
            }
            if (total != p.n_of(b)) FAIL() << "sum " << total << " for n = " << p.n_of(b) << ", row " << b;
        }
    }
};

}  // namespace

/*
 * 10^7 draws in float32 (10^6 in float64, and on instruction sets that draw the same), with omega from 1e-30 to 1e30 in every row
 * and tau from 1e-3 to 1e3.
 */
TEST_P(Edges, ExtremeImportancesAndTemperatures) {
    const double log_extreme = 30 * std::log(10.0);
    for (const oracle::Chain chain : chains()) {
        const bool exact = chain == oracle::Chain::exact;
        Random random(5);
        int64_t left = scaled(exact ? 300000 : float32() ? 10000000 : 1000000, 1000);
        while (left > 0) {
            for (const std::vector<int> &m :
                 {std::vector<int>{3, 5, 4}, {1, 1}, {0, 7, 0, 9}, {40, 3, 20}, {2, 2, 2, 2, 2, 2}}) {
                Problem p;
                p.urn.m = m;
                p.urn.chain = chain;
                p.rows = emulated() ? 500 : exact ? 10000 : 100000;
                p.log_omega = random.uniforms(p.rows * p.urn.classes(), -log_extreme, log_extreme);
                for (double &v : p.log_omega)
                    if (random.word() % 8 == 0) v = v < 0 ? -log_extreme : log_extreme;
                for (int repeat = 0; repeat < 10 && left > 0; repeat++) {
                    p.n = random.integer(0, p.urn.total());
                    p.tau = std::pow(10.0, random.uniform(-3, 3));
                    p.seed = random.word();
                    expect_valid(p, forward(p, kX).x);
                    if (HasFatalFailure()) return;
                    left -= p.rows;
                }
            }
        }
    }
}

/* The same inputs give finite log-probabilities and gradients, hard and soft. */
TEST_P(Edges, ExtremesStayFinite) {
    const double log_extreme = 30 * std::log(10.0);
    Random random(6);
    for (double tau : {1e-3, 0.03, 1.0, 30.0, 1e3}) {
        for (bool soft : {false, true}) {
            for (const oracle::Chain chain : chains()) {
                SCOPED_TRACE("tau " + std::to_string(tau) + (soft ? " soft" : " hard"));
                Problem p;
                p.urn.chain = chain;
                p.urn.m = {30, 5, 0, 12};
                p.rows = scaled(2000, 60);
                p.log_omega = random.uniforms(p.rows * 4, -log_extreme, log_extreme);
                p.n = 17;
                p.tau = tau;
                p.soft = soft;
                const Answer a = forward(p);
                for (const std::vector<double> *v : {&a.x, &a.y, &a.mask, &a.log_p})
                    for (double value : *v) ASSERT_TRUE(std::isfinite(value));
                for (double v : a.log_p) ASSERT_TRUE(v <= 1e-3) << v;
                const Gradient g = backward(p, a.x, random_incoming(p, 3));
                for (const std::vector<double> *v : {&g.log_omega, &g.tau})
                    for (double value : *v) ASSERT_TRUE(std::isfinite(value));
            }
        }
    }
}

/* Extreme but still judged: the oracle computes in logarithms and has no trouble. */
TEST_P(Edges, ExtremesAgreeWithTheOracle) {
    Random random(8);
    for (const oracle::Chain chain : chains()) {
        Problem p;
        p.urn.m = {6, 5, 0, 12};
        p.urn.chain = chain;
        p.rows = scaled(300, 40);
        p.log_omega = random.uniforms(p.rows * 4, -69, 69);
        p.n = 11;
        const Answer a = forward(p, kX | kLogP);
        expect_valid(p, a.x);
        for (int64_t b = 0; b < p.rows; b++) {
            const oracle::Row row = p.row(b, dtype());
            const std::vector<double> x = slice(a.x, b, 4);
            const double shortfall = oracle::shortfall(p.urn, row, x);
            /* lambda is a difference of float64 of size 200: 2^-45 bit, times counts up to 12; else as in NoiseAddress. */
            ASSERT_TRUE(shortfall <= (float32() ? 2.5e-6 : 1e-10)) << shortfall << " row " << b;
            const double want = oracle::log_prob(p.urn, row.log_omega, row.n, std::vector<int>(x.begin(), x.end()));
            ASSERT_TRUE(std::fabs(a.log_p[b] - want) <= (float32() ? 4e-5 : 1e-10) * (1 + std::fabs(want)))
                << a.log_p[b] << " for " << want << " row " << b;
        }
    }
}

/* Supports of exactly s points, first and last class, forward and backward. */
TEST_P(Edges, SupportsAroundAWarpAndABlock) {
    for (int points :
         {1, 2, 3, 4, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129, 255, 256, 257, 1023, 1024, 1025}) {
        for (const oracle::Chain chain : chains()) {
            SCOPED_TRACE(points);
            Problem p;
            p.urn.chain = chain;
            const int s = points - 1;
            p.urn.m = {s, s, 3};
            p.n = s;
            p.rows = scaled(points > 300 ? 40 : 80, 2);
            Random random(points);
            p.log_omega = random.uniforms(p.rows * 3, -0.3, 0.3);
            p.tau = 0.8;
            const Answer a = forward(p);
            expect_valid(p, a.x);
            if (HasFatalFailure()) return;
            const Incoming incoming = random_incoming(p, points);
            const Gradient g = backward(p, a.x, incoming);
            const oracle::ErrorModel model = error_model(dtype(), p.urn);
            for (int64_t b = 0; b < std::min<int64_t>(p.rows, points > 300 ? 3 : 10); b++) {
                const oracle::Row row = p.row(b, dtype());
                const std::vector<double> x = slice(a.x, b, 3);
                ASSERT_TRUE(oracle::shortfall(p.urn, row, x) <= (float32() ? 2.5e-6 : 1e-11)) << "row " << b;
                const oracle::Upstream up = incoming.row(p.urn, b, dtype());
                const oracle::Gradients want = oracle::backward(p.urn, row, x, up),
                                        bounds = oracle::backward_bounds(p.urn, row, x, up, model);
                for (int c = 0; c < 3; c++) {
                    const double limit = 2 * bounds.log_omega[c] + 8 * epsilon() * (1 + std::fabs(want.log_omega[c]));
                    ASSERT_TRUE(std::fabs(g.log_omega[3 * b + c] - want.log_omega[c]) <= limit)
                        << g.log_omega[3 * b + c] << " for " << want.log_omega[c] << " row " << b << " class " << c;
                }
            }
        }
    }
}

TEST_P(Edges, NoRows) {
    Problem p;
    p.urn.m = {3, 4};
    p.n = 2;
    p.rows = 0;
    p.log_omega = {0, 0};
    const Answer a = forward(p);
    EXPECT_TRUE(a.x.empty() && a.y.empty() && a.mask.empty() && a.log_p.empty());

    /* Every array may be NULL then. A shared gradient is a sum over no rows. */
    const Plan plan = make_plan(context(), p.urn, 2, dtype());
    gurn_mvhg_inputs in = GURN_MVHG_INPUTS_INIT;
    const gurn_mvhg_outputs out = GURN_MVHG_OUTPUTS_INIT;
    const gurn_mvhg_upstream up = GURN_MVHG_UPSTREAM_INIT;
    gurn_mvhg_gradients grad = GURN_MVHG_GRADIENTS_INIT;
    EXPECT_EQ(gurn_mvhg_forward(context(), plan.get(), &in, &out, nullptr, 0), GURN_SUCCESS);
    EXPECT_EQ(gurn_mvhg_backward(context(), plan.get(), &in, nullptr, &up, &grad, nullptr, 0), GURN_SUCCESS);
    const RealArray sum(device(), dtype(), 2);
    grad.log_omega = sum.data();
    EXPECT_EQ(gurn_mvhg_backward(context(), plan.get(), &in, nullptr, &up, &grad, nullptr, 0), GURN_SUCCESS);
    device_synchronize(device());
    EXPECT_EQ(sum.values(), (std::vector<double>{0, 0}));
}

/* Draws that leave no choice: their x is known, log_p is 0 and nothing has a gradient but the relaxed y of a real choice. */
TEST_P(Edges, ForcedDraws) {
    struct Forced {
        std::vector<int> m;
        int n;
        std::vector<double> x;
    };
    const Forced list[] = {{{5}, 3, {3}},
                           {{0}, 0, {0}},
                           {{0, 0, 0}, 0, {0, 0, 0}},
                           {{3, 4, 5}, 0, {0, 0, 0}},
                           {{3, 4, 5}, 12, {3, 4, 5}},
                           {{0, 6, 0}, 4, {0, 4, 0}},
                           {{7, 0}, 5, {5, 0}},
                           {{0, 7}, 5, {0, 5}}};
    for (const Forced &forced : list) {
        for (bool soft : {false, true}) {
            for (const oracle::Chain chain : chains()) {
                SCOPED_TRACE(testing::PrintToString(forced.m) + (soft ? " soft" : " hard"));
                Problem p;
                p.urn.chain = chain;
                p.urn.m = forced.m;
                p.n = forced.n;
                p.rows = 3;
                p.soft = soft;
                p.log_omega = Random(1).uniforms(3 * forced.m.size(), -2, 2);
                const Answer a = forward(p);
                for (int b = 0; b < 3; b++) {
                    EXPECT_EQ(slice(a.x, b, p.urn.classes()), forced.x);
                    EXPECT_TRUE(std::fabs(a.log_p[b]) <= 8 * epsilon());
                }
                const Gradient g = backward(p, a.x, random_incoming(p, 2));
                for (double v : g.log_omega) EXPECT_TRUE(std::fabs(v) <= 64 * epsilon()) << v;
                for (double v : g.tau) EXPECT_TRUE(std::fabs(v) <= 64 * epsilon()) << v;
            }
        }
    }
}

/* Soft: the class visited last takes the rest of a real number, so it may lie a little outside 0..m; backward takes that x. */
TEST_P(Edges, SoftRestMayLeaveTheRange) {
    for (const oracle::Chain chain : chains()) {
        Problem p;
        p.urn.chain = chain;
        p.urn.m = {1, 1, 1};
        p.n = 1;
        p.rows = 1;
        p.log_omega = {5, 5, -5};
        p.soft = true;
        p.noise = GURN_NOISE_OFF;
        const Answer a = forward(p);
        const oracle::Row row = p.row(0, dtype());
        const oracle::Outputs want = oracle::forward(p.urn, row);
        EXPECT_LT(want.x[2], 0) << "the case that this is about";
        EXPECT_GT(want.x[2], -1);
        for (int c = 0; c < 3; c++) EXPECT_TRUE(std::fabs(a.x[c] - want.x[c]) <= (float32() ? 1e-4 : 1e-10));
        const Incoming incoming = random_incoming(p, 4);
        const Gradient g = backward(p, a.x, incoming);
        const oracle::Gradients gradients = oracle::backward(p.urn, row, a.x, incoming.row(p.urn, 0, dtype()));
        for (int c = 0; c < 3; c++)
            EXPECT_TRUE(std::fabs(g.log_omega[c] - gradients.log_omega[c]) <= (float32() ? 1e-3 : 1e-9))
                << "class " << c;
    }
}

/* Many classes: none of the loops over classes is quadratic or fixed in size. */
TEST_P(Edges, ManyClasses) {
    for (const oracle::Chain chain : chains()) {
        Problem p;
        p.urn.chain = chain;
        const int C = emulated() ? 300 : 1000;
        p.urn.m.assign(C, 1);
        p.n = C / 3;
        p.rows = 3;
        p.log_omega = Random(9).uniforms(C, -2, 2);
        const Answer a = forward(p);
        expect_valid(p, a.x);
        const Gradient g = backward(p, a.x, random_incoming(p, 4));
        for (double v : g.log_omega) ASSERT_TRUE(std::isfinite(v));
    }
}

ON_ALL_TARGETS(Edges);
