/*
 * The exact chain beyond what the oracle can walk: against the law itself (gurn_mvhg_log_prob, which takes a contour
 * integral), against the merged chain where both are the same law, and whatever the order of the classes.
 */
#include <cmath>

#include "golden.h"
#include "law_call.h"
#include "problems.h"
#include "statistics.h"

using namespace gurn_test;
using oracle::Chain;

namespace {

class ExactChain : public OnTarget {
protected:
    void SetUp() override {
        OnTarget::SetUp();
        if (!IsSkipped() && !HasFatalFailure() && !samples(Chain::exact))
            GTEST_SKIP() << "this chain is not in this build";
    }

    Law law(const Problem &p) { return Law(context(), GetParam(), p); }

    /* The shared log omega repeated for every row, and the other way round. */
    static Problem repeated(Problem p) {
        const std::vector<double> row = p.log_omega;
        p.log_omega.clear();
        for (int64_t b = 0; b < p.rows; b++) p.log_omega.insert(p.log_omega.end(), row.begin(), row.end());
        return p;
    }
};

struct Named {
    const char *name;
    std::vector<int> m;
    int n;
    double spread;
};

/* Urns whose tables take one panel or many, with slopes that jump by tens of bits, one ball a class or all in one. */
const std::vector<Named> &urns() {
    static const std::vector<Named> list = {
        {"S1", {200, 200, 200}, 180, 1.5},
        {"S2", {256, 256, 256, 256, 256, 256, 256, 256, 256, 256}, 256, 1},
        {"several panels", {3000, 2000, 4000, 1000}, 4000, 2},
        {"nearly all drawn", {700, 1500, 900}, 3090, 1},
        {"few drawn", {5000, 9000, 4000}, 12, 3},
        {"far apart", {60, 50, 40, 30}, 100, 60},
        {"one ball each", std::vector<int>(300, 1), 120, 2},
        {"a large class first", {20000, 3, 2, 40}, 9000, 1},
        {"a large class last", {3, 2, 40, 20000}, 9000, 1},
    };
    return list;
}

Problem problem_of(const Named &urn, int64_t rows, gurn_dtype dtype) {
    Problem p;
    p.urn.m = urn.m;
    p.urn.chain = Chain::exact;
    p.n = urn.n;
    p.rows = rows;
    Random random(urn.n);
    p.log_omega = rounded(dtype, random.uniforms(urn.m.size(), -urn.spread, urn.spread));
    p.seed = random.word();
    return p;
}

}  // namespace

/* The product of the steps' probabilities is Eq. 1's probability of the counts drawn. */
TEST_P(ExactChain, LogProbabilityIsThatOfTheLaw) {
    for (const Named &urn : urns()) {
        SCOPED_TRACE(urn.name);
        Problem p = problem_of(urn, scaled(20, 2), dtype());
        const double balls = std::lgamma(p.urn.total() + 1.0);
        for (int order = 0; order < 3; order++) {
            if (order > 0) p.urn.order = Random(order).permutation(p.urn.classes());
            const Answer a = forward(p, kX | kLogP);
            const std::vector<double> want = law(p).log_prob(a.x);
            for (int64_t b = 0; b < p.rows; b++) {
                /*
                 * Float32: DESIGN's 1e-5 of a logit at every step, in random directions, and the rounding of both
                 * results. Float64: logs of N balls in a few roundings, on both sides.
                 */
                const double limit = float32()
                                         ? 1e-5 * (2 + std::sqrt(urn.m.size())) + 2 * epsilon() * std::fabs(want[b])
                                         : 32 * epsilon() * (1 + balls);
                ASSERT_TRUE(std::fabs(a.log_p[b] - want[b]) <= limit)
                    << a.log_p[b] << " for " << want[b] << " within " << limit << ", row " << b << " order " << order;
            }
        }
    }
}

/* Counts that given noise forces, against the golden log-probabilities. */
TEST_P(ExactChain, GoldenLogProbabilities) {
    int64_t judged = 0;
    for (const GoldenCase &c : load_golden("mvhg_exact.txt")) {
        SCOPED_TRACE(c.name);
        Problem p;
        p.urn.m.assign(c.at("m").begin(), c.at("m").end());
        p.urn.chain = Chain::exact;
        p.n = c.integer("n");
        for (double omega : c.at("omega")) p.log_omega.push_back(std::log(omega));
        p.noise = GURN_NOISE_GIVEN;
        std::vector<std::vector<double>> counts;
        std::vector<double> want;
        for (const auto &[key, numbers] : c.lines) {
            if (key == "x") counts.push_back(numbers);
            if (key == "log_prob") want.push_back(numbers[0]);
        }
        ASSERT_EQ(counts.size(), want.size());
        p.rows = static_cast<int64_t>(counts.size());
        p.gumbel.assign(p.rows * p.urn.width(), 0);
        for (int64_t b = 0; b < p.rows; b++)
            for (int j = 0; j < p.urn.classes(); j++)
                p.gumbel[b * p.urn.width() + p.urn.offset(j) + static_cast<int>(counts[b][j])] = 1e6;
        const Answer a = forward(p, kX | kLogP);
        for (int64_t b = 0; b < p.rows; b++, judged++) {
            ASSERT_EQ(slice(a.x, b, p.urn.classes()), counts[b]);
            /*
             * Float64 as the file has it. Float32: log omega rounded by 2^-24 of itself, times counts up to n, and
             * logits.
             */
            double size = 0;
            for (double v : p.log_omega) size = std::max(size, std::fabs(v));
            const double limit = float32()
                                     ? 1e-5 * p.urn.classes() + epsilon() * (2 * p.n * size + 2 * std::fabs(want[b]))
                                     : 1e-10 * (1 + std::fabs(want[b]));
            ASSERT_TRUE(std::fabs(a.log_p[b] - want[b]) <= limit) << a.log_p[b] << " for " << want[b] << " row " << b;
        }
    }
    EXPECT_GE(judged, 30);
}

/*
 * With two classes, or equal omega, the chains are one: outputs and gradients, hard and soft, at low and high
 * temperature.
 */
TEST_P(ExactChain, IsTheMergedChainWhereBothAreTheLaw) {
    std::vector<Problem> list;
    for (const Named &urn : urns()) {
        if (std::string(urn.name) == "far apart") continue;
        if (emulated() && urn.n > 200) continue; /* every lane of every count */
        list.push_back(problem_of(urn, scaled(6, 1), dtype()));
        std::fill(list.back().log_omega.begin(), list.back().log_omega.end(), 0.25);
    }
    for (double odds : {-20.0, -1.0, 0.5, 6.0}) {
        list.push_back(problem_of({"", {700, 400}, 500, 0}, scaled(20, 2), dtype()));
        list.back().log_omega = {odds, 0};
    }
    for (const Problem &shared : list) {
        for (double tau : {0.3, 5.0}) {
            for (int mode = 0; mode < 4; mode++) { /* hard or soft; generated noise or given */
                Problem exact = mode & 2 ? repeated(shared) : shared;
                SCOPED_TRACE(testing::PrintToString(exact.urn.m) + " tau " + std::to_string(tau) + " mode " +
                             std::to_string(mode));
                exact.tau = tau;
                exact.soft = mode & 1;
                if (mode & 2) {
                    exact.noise = GURN_NOISE_GIVEN;
                    exact.gumbel = random_gumbel(exact, 8);
                }
                Problem merged = exact;
                merged.urn.chain = Chain::merged;
                const Answer a = forward(exact), b = forward(merged);
                /*
                 * Errors of logits: float32's 1e-5 is not what soft mode has, where both chains compute in double and
                 * round. Float64: logs of N balls in a few roundings. What a logit's error does to x is its variance,
                 * below N / 4, over tau, a step.
                 */
                const double balls = std::lgamma(exact.urn.total() + 1.0), steps = exact.urn.classes();
                const double logit = 64 * 0x1p-53 * (1 + balls);
                if (!exact.soft) {
                    EXPECT_EQ(a.x, b.x); /* that a race is within rounding is less likely than 1e-9 */
                } else {
                    for (size_t i = 0; i < a.x.size(); i++)
                        ASSERT_TRUE(std::fabs(a.x[i] - b.x[i]) <=
                                    logit * steps * exact.urn.total() / tau + 4 * epsilon() * (1 + b.x[i]))
                            << a.x[i] << " for " << b.x[i] << " at " << i;
                }
                const Incoming incoming = random_incoming(exact, 3);
                const Gradient g = backward(exact, b.x, incoming), want = backward(merged, b.x, incoming);
                double size = 0;
                for (double v : want.log_omega) size = std::max(size, std::fabs(v));
                /* Float32 in hard mode: logits, to 1e-5, times a few counts squared. */
                const double relative = float32() ? 1e-3 : 1e-8;
                for (size_t i = 0; i < g.log_omega.size(); i++)
                    ASSERT_TRUE(std::fabs(g.log_omega[i] - want.log_omega[i]) <= relative * (1 + size))
                        << g.log_omega[i] << " for " << want.log_omega[i] << " at " << i;
            }
        }
    }
}

/* What only the device can see makes NaN of its own row, and changes no bit of another. */
TEST_P(ExactChain, BadRowsPoisonThemselvesAlone) {
    if (device() == GURN_DEVICE_CPU) GTEST_SKIP() << "a CPU context refuses the call";
    for (const bool soft : {false, true}) {
        Problem p;
        p.urn.m = {9, 5, 12};
        p.urn.chain = Chain::exact;
        p.n = 11;
        p.rows = 7;
        p.soft = soft;
        p.log_omega = Random(3).uniforms(21, -1, 1);
        Problem marred = p;
        marred.log_omega[3 * 2 + 1] = NAN;
        marred.log_omega[3 * 5] = INFINITY;
        const Answer good = forward(p), a = forward(marred);
        const Incoming incoming = random_incoming(p, 1);
        const Gradient want = backward(p, good.x, incoming), g = backward(marred, good.x, incoming);
        const auto judge = [&](const std::vector<double> &got, const std::vector<double> &right) {
            const int64_t width = static_cast<int64_t>(got.size()) / p.rows;
            for (int64_t b = 0; b < p.rows; b++)
                for (int64_t i = b * width; i < (b + 1) * width; i++)
                    EXPECT_TRUE(b == 2 || b == 5 ? std::isnan(got[i]) : got[i] == right[i]) << "row " << b;
        };
        judge(a.x, good.x);
        judge(a.y, good.y);
        judge(a.mask, good.mask);
        judge(a.log_p, good.log_p);
        judge(g.log_omega, want.log_omega);
        judge(g.tau, want.tau);
    }
}

/* Orders of the classes: the joint law stays that of Eq. 1, by 10^6 draws each. */
TEST_P(ExactChain, EveryOrderHasTheSameLaw) {
    Problem p;
    p.urn.m = {3, 5, 4, 2};
    p.urn.chain = Chain::exact;
    p.n = 7;
    p.log_omega = {1.2, -0.7, 0.2, 2};
    const auto pmf = oracle::joint_pmf(p.urn, rounded(dtype(), p.log_omega), p.n); /* of the order 0, 1, 2, 3 */
    const int64_t draws = scaled(1000000, 10000);
    const std::vector<int> orders[] = {{0, 1, 2, 3}, {3, 2, 1, 0}, {2, 0, 3, 1}, {1, 3, 0, 2}};
    for (const std::vector<int> &order : orders) {
        p.urn.order = order;
        p.seed++;
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

/* The marginals of a urn on which the merged chain is off by a quarter, with every order's. */
TEST_P(ExactChain, MarginalsWhereTheMergedChainIsBiased) {
    Problem p;
    p.urn.m = {200, 200, 200};
    p.urn.chain = Chain::exact;
    p.n = 180;
    p.log_omega = {0, std::log(10.0), 0};
    const auto pmf = oracle::marginals(p.urn, rounded(dtype(), p.log_omega), p.n);
    for (const std::vector<int> &order : {std::vector<int>{0, 1, 2}, {1, 2, 0}, {2, 0, 1}}) {
        p.urn.order = order;
        p.seed++;
        p.rows = scaled(200000, 1000);
        const Answer a = forward(p, kX);
        for (int c = 0; c < 3; c++) {
            std::vector<double> seen(201, 0);
            for (int64_t b = 0; b < p.rows; b++) seen.at(static_cast<size_t>(a.x[3 * b + c])) += 1;
            EXPECT_GT(goodness_of_fit(seen, pmf[c]).p(), kFalseAlarm)
                << testing::PrintToString(order) << " class " << c;
        }
    }
}

/*
 * omega given once or with every row, n likewise: the sum over rows of the gradients, and the same log-probabilities.
 */
TEST_P(ExactChain, SharedGradientIsTheSumOverRows) {
    for (const Named &urn : {urns()[0], urns()[3], urns()[6]}) {
        Problem p = problem_of(urn, scaled(150, 5), dtype());
        p.tau = 3;
        Random random(12);
        for (int64_t b = 0; b < p.rows; b++) p.n_rows.push_back(random.integer(p.n - 2, p.n));
        for (const bool soft : {false, true}) {
            for (const bool ragged : {false, true}) {
                SCOPED_TRACE(std::string(urn.name) + (soft ? " soft" : " hard") + (ragged ? ", n per row" : ""));
                Problem shared = p;
                shared.soft = soft;
                if (!ragged) shared.n_rows.clear();
                const Problem apart = repeated(shared);
                const Answer a = forward(shared);
                EXPECT_TRUE(forward(apart) == a);
                const Incoming incoming = random_incoming(shared, 4);
                const Gradient together = backward(shared, a.x, incoming), each = backward(apart, a.x, incoming);
                EXPECT_TRUE(same_bits(together.tau, each.tau));
                const int C = shared.urn.classes();
                for (int c = 0; c < C; c++) {
                    double sum = 0, size = 0;
                    for (int64_t b = 0; b < p.rows; b++) {
                        sum += each.log_omega[C * b + c];
                        size += std::fabs(each.log_omega[C * b + c]);
                    }
                    /*
                     * Each was rounded; the sweep's own error, in double, is a few hundred roundings of the same terms.
                     */
                    const double limit = epsilon() * size * (2 + static_cast<double>(p.rows)) + 1e-12 * (1 + size);
                    EXPECT_TRUE(std::fabs(together.log_omega[c] - sum) <= limit)
                        << together.log_omega[c] << " for " << sum << " class " << c;
                }
            }
        }
    }
}

ON_ALL_TARGETS(ExactChain);
