/*
 * The exact chain where its tables are put to the test: once a call or once a row, a thousand classes, a hundred
 * thousand draws, odds of 1e30, counts that are no draw. What is judged: the law itself (gurn_mvhg_log_prob, moments),
 * and identities of gradients.
 */
#include <cmath>
#include <numeric>

#include "law_call.h"
#include "problems.h"

using namespace gurn_test;
using oracle::Chain;

namespace {

class ExactExtremes : public OnTarget {
protected:
    void SetUp() override {
        OnTarget::SetUp();
        if (!IsSkipped() && !HasFatalFailure() && !samples(Chain::exact))
            GTEST_SKIP() << "this chain is not in this build";
    }

    Law law(const Problem &p) { return Law(context(), GetParam(), p); }

    Problem exact(std::vector<int> m, int n, std::vector<double> log_omega, int64_t rows) {
        Problem p;
        p.urn.m = m;
        p.urn.chain = Chain::exact;
        p.n = n;
        p.log_omega = rounded(dtype(), log_omega);
        p.rows = rows;
        p.seed = 99;
        return p;
    }

    /*
     * Counts are possible, and log_p is the law's within DESIGN's 1e-5 of a logit at every step, in random directions.
     */
    void expect_the_law(const Problem &p, const Answer &a) {
        const int C = p.urn.classes();
        for (int64_t b = 0; b < p.rows; b++) {
            double total = 0;
            for (int c = 0; c < C; c++) {
                const double x = a.x[b * C + c];
                ASSERT_TRUE(x >= 0 && x <= p.urn.m[c] && x == std::floor(x)) << x << " row " << b << " class " << c;
                total += x;
            }
            ASSERT_EQ(total, p.n_of(b)) << "row " << b;
        }
        const std::vector<double> want = law(p).log_prob(a.x);
        for (int64_t b = 0; b < p.rows; b++) {
            const double limit = float32() ? 1e-5 * (2 + std::sqrt(C)) + 2 * epsilon() * std::fabs(want[b])
                                           : 64 * epsilon() * (1 + std::lgamma(p.urn.total() + 1.0));
            ASSERT_TRUE(std::fabs(a.log_p[b] - want[b]) <= limit)
                << a.log_p[b] << " for " << want[b] << " within " << limit << " row " << b;
        }
    }

    /*
     * The law does not change when every omega is multiplied by the same number: the gradients to log omega of a row
     * sum to 0, within the rounding of terms whose size is that of the counts' standard deviations.
     */
    void expect_scale_invariance(const Problem &p, const Gradient &g, double relative) {
        const int C = p.urn.classes();
        for (size_t b = 0; b < g.log_omega.size() / C; b++) {
            double sum = 0, size = 0;
            for (int c = 0; c < C; c++) {
                sum += g.log_omega[b * C + c];
                size += std::fabs(g.log_omega[b * C + c]);
            }
            ASSERT_TRUE(std::fabs(sum) <= relative * (1 + size)) << sum << " of " << size << " row " << b;
        }
    }
};

}  // namespace

/*
 * omega given once or with every row, n likewise: the same bits; and the gradient of the shared omega is the sum over
 * rows.
 */
TEST_P(ExactExtremes, TablesOnceOrEveryRow) {
    for (const NamedProblem &named : assorted_problems(scaled(70, 18), Chain::exact)) {
        if (!named.problem.shared()) continue;
        for (const bool ragged : {false, true}) {
            SCOPED_TRACE(named.name + (ragged ? ", n per row" : ""));
            Problem p = named.problem;
            Random random(21);
            p.n_rows.clear();
            for (int64_t b = 0; ragged && b < p.rows; b++) p.n_rows.push_back(random.integer(p.n / 2, p.n));
            Problem apart = p;
            apart.log_omega.clear();
            for (int64_t b = 0; b < p.rows; b++)
                apart.log_omega.insert(apart.log_omega.end(), p.log_omega.begin(), p.log_omega.end());
            const Answer a = forward(p);
            const Answer again = forward(apart);
            EXPECT_TRUE(same_bits(again.x, a.x) && same_bits(again.y, a.y) && same_bits(again.mask, a.mask));
            for (int64_t b = 0; b < p.rows; b++) /* on a GPU summed by another number of lanes */
                EXPECT_TRUE(std::fabs(again.log_p[b] - a.log_p[b]) <= 64 * epsilon() * (1 + std::fabs(a.log_p[b])));
            const Incoming incoming = random_incoming(p, 22);
            const Gradient all = backward(p, a.x, incoming), each = backward(apart, a.x, incoming);
            EXPECT_TRUE(same_bits(all.tau, each.tau));
            for (int c = 0; c < p.urn.classes(); c++) {
                double sum = 0, size = 0;
                for (int64_t b = 0; b < p.rows; b++) {
                    sum += each.log_omega[b * p.urn.classes() + c];
                    size += std::fabs(each.log_omega[b * p.urn.classes() + c]);
                }
                /* Two sweeps, in float each: sums of some hundred terms of the size of the gradient itself. */
                EXPECT_TRUE(std::fabs(all.log_omega[c] - sum) <= 64 * epsilon() * (1 + size) * std::sqrt(p.rows))
                    << all.log_omega[c] << " for " << sum << " class " << c;
            }
        }
    }
}

/* The same gradient whatever the number of threads: also where tables are shared, which rows add to. */
TEST_P(ExactExtremes, SharedGradientsWithAnyNumberOfThreads) {
    if (device() != GURN_DEVICE_CPU) GTEST_SKIP() << "threads are the CPU's";
    const Problem p = exact({30, 40, 50, 60}, 80, {0.5, -0.5, 1, 0}, 3000);
    const Answer a = forward(p, kX);
    const Incoming incoming = random_incoming(p, 23);
    const Gradient want = backward(p, a.x, incoming);
    for (int threads : {1, 3, 8}) {
        const Context other = make_context(GetParam(), threads);
        EXPECT_TRUE(run_backward(other.get(), GetParam(), p, a.x, incoming) == want) << threads << " threads";
    }
}

TEST_P(ExactExtremes, AThousandClasses) {
    if (!chosen() || !float32()) GTEST_SKIP() << "every instruction set draws the same, and float64 takes long";
    Random random(24);
    for (const bool shared : {true, false}) {
        const int64_t rows = scaled(shared ? 200 : 20, 2);
        const Problem p =
            exact(std::vector<int>(1000, 20), 4000, random.uniforms(shared ? 1000 : rows * 1000, -1, 1), rows);
        const Answer a = forward(p, kX | kLogP);
        expect_the_law(p, a);
        Incoming incoming;
        incoming.x = random.uniforms(p.rows * 1000, -1, 1);
        expect_scale_invariance(p, backward(p, a.x, incoming), 1e-4);
    }
}

/* n = 100 000, omega shared: counts, log-probabilities, and the mean over rows within 6 of its standard errors. */
TEST_P(ExactExtremes, AHundredThousandDrawn) {
    if (!chosen() || !float32()) GTEST_SKIP() << "every instruction set draws the same, and float64 takes long";
    const int C = emulated() ? 20 : 300;
    Random random(25);
    std::vector<int> m;
    for (int c = 0; c < C; c++) m.push_back(random.integer(0, 2 * 300000 / C));
    const Problem p = exact(m, 100000, random.uniforms(C, -2, 2), scaled(400, 4));
    const Answer a = forward(p, kX | kLogP);
    expect_the_law(p, a);
    const Law::Moments moments = law(p).moments(true);
    int far = 0;
    for (int c = 0; c < C; c++) {
        double sum = 0;
        for (int64_t b = 0; b < p.rows; b++) sum += a.x[b * C + c];
        const double error = std::sqrt(moments.covariance[static_cast<size_t>(c) * C + c] / p.rows);
        EXPECT_TRUE(std::fabs(sum / p.rows - moments.mean[c]) <= 6 * error + 1e-4 * moments.mean[c])
            << sum / p.rows << " for " << moments.mean[c] << " class " << c;
        far += std::fabs(sum / p.rows - moments.mean[c]) > 2 * error;
    }
    EXPECT_LE(far, 5 + C / 8);
    Incoming incoming;
    incoming.x = random.uniforms(p.rows * C, -1, 1);
    expect_scale_invariance(p, backward(p, a.x, incoming), 1e-3);
}

/*
 * Tables so wide that the logarithms of their neighbouring nodes differ by more than the 512 bits that they are held modulo: the
 * law's log-probabilities, means within 6 of their standard errors, and gradients of the right size.
 */
TEST_P(ExactExtremes, MillionsDrawn) {
    if (!chosen() || !float32()) GTEST_SKIP() << "every instruction set draws the same, and float64 takes long";
    Random random(26);
    for (const int m : {787452, 1000000, 3000000}) {
        for (const double spread : {0.0, 2.0}) {
            const Problem p = exact({m, m, m + 1}, m, random.uniforms(3, -spread, spread), emulated() ? 4 : 16);
            const Answer a = forward(p, kX | kLogP);
            expect_the_law(p, a);
            const Law::Moments moments = law(p).moments(true);
            for (int c = 0; c < 3; c++) {
                double sum = 0;
                for (int64_t b = 0; b < p.rows; b++) sum += a.x[b * 3 + c];
                const double error = std::sqrt(moments.covariance[static_cast<size_t>(c) * 3 + c] / p.rows);
                EXPECT_TRUE(std::fabs(sum / p.rows - moments.mean[c]) <= 6 * error + 1e-7 * m)
                    << sum / p.rows << " for " << moments.mean[c] << " within " << error << " class " << c << " of "
                    << m;
            }
            /* The relaxed gradient of a count to its own log omega is about its variance. */
            for (int c = 0; c < 3; c++) {
                Incoming incoming;
                incoming.x.assign(p.rows * 3, 0);
                for (int64_t b = 0; b < p.rows; b++) incoming.x[b * 3 + c] = 1;
                const Gradient gradient = backward(p, a.x, incoming);
                expect_scale_invariance(p, gradient, 1e-3);
                const double want = moments.covariance[static_cast<size_t>(c) * 3 + c] * p.rows;
                EXPECT_TRUE(gradient.log_omega[c] >= want / 10 && gradient.log_omega[c] <= 10 * want)
                    << gradient.log_omega[c] << " for about " << want << " class " << c << " of " << m;
            }
        }
    }
}

/*
 * Odds of up to 1e60 between two classes, whatever n forces, classes without balls: valid, finite, the law's
 * log-probability.
 */
TEST_P(ExactExtremes, OddsOfOneE30) {
    const double big = std::log(1e30);
    for (const std::vector<int> &m : {std::vector<int>{5, 7, 3, 6}, {40, 0, 30, 200, 1}, {1, 1, 1}, {0, 0, 4, 0}}) {
        const int total = std::accumulate(m.begin(), m.end(), 0);
        for (int n : {0, 1, total / 3, total / 2, total - 1, total}) {
            SCOPED_TRACE(testing::PrintToString(m) + " n " + std::to_string(n));
            Random random(static_cast<uint64_t>(n) + 26);
            const int64_t rows = 34;
            std::vector<double> log_omega;
            for (size_t i = 0; i < rows * m.size(); i++) log_omega.push_back(big * random.integer(-2, 2) / 2);
            const Problem p = exact(m, n, log_omega, rows);
            const Answer a = forward(p, kX | kLogP);
            const Gradient g = backward(p, a.x, random_incoming(p, 27));
            const std::vector<double> want = law(p).log_prob(a.x);
            const int C = p.urn.classes();
            for (int64_t b = 0; b < rows; b++) {
                double sum = 0;
                for (int c = 0; c < C; c++) sum += a.x[b * C + c];
                ASSERT_EQ(sum, n) << "row " << b;
                /*
                 * log omega of 69 in float, times counts: rounded before it came here, on both sides alike; and logits.
                 */
                ASSERT_TRUE(std::fabs(a.log_p[b] - want[b]) <= 1e-5 * C + 16 * epsilon() * (1 + std::fabs(want[b])))
                    << a.log_p[b] << " for " << want[b] << " row " << b;
                for (int c = 0; c < C; c++) ASSERT_TRUE(std::isfinite(g.log_omega[b * C + c])) << "row " << b;
                ASSERT_TRUE(std::isfinite(g.tau[b])) << "row " << b;
            }
        }
    }
}

/* Counts that forward can not have returned: nothing is promised of the gradient, but that it is one. */
TEST_P(ExactExtremes, CountsThatAreNoDraw) {
    const Problem p = exact({300, 400, 500}, 600, {30, 0, -30}, 40);
    Random random(28);
    std::vector<double> x;
    for (int64_t b = 0; b < p.rows; b++) {
        const int first = random.integer(0, 200);
        x.push_back(first);
        x.push_back(400);
        x.push_back(600 - first - 400 < 0 ? 0 : 600 - first - 400);
    }
    const Gradient g = backward(p, x, random_incoming(p, 29));
    for (double v : g.log_omega) EXPECT_TRUE(std::isfinite(v));
    for (double v : g.tau) EXPECT_TRUE(std::isfinite(v));
}

ON_ALL_TARGETS(ExactExtremes);
