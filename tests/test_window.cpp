// The window of a step (kernels/mvhg_lanes.h, window_reach): nothing that matters is left out, and not much more is visited than
// matters. And its consequence: the race over a window and the race over the whole support have the same winner, always.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <random>
#include <vector>

#include "gumbelurn.h"
#include "kernels/mvhg_job.h"
#include "kernels/suffix.h"
#include "kernels/suffix_wide.h"

namespace {

// Tables of one step, own class of size m against a rest of size m_rest.
class Urn {
public:
    Urn(int32_t m, int32_t m_rest) : m(m), m_rest(m_rest) {
        const int32_t sizes[2] = {m, m_rest}, order[2] = {0, 1};
        size_t bytes = 0;
        EXPECT_EQ(gurn_plan_fill(2, sizes, order, 1, 0, sizeof(float), nullptr, &bytes, nullptr), 0);
        storage_ = std::aligned_alloc(64, bytes);
        EXPECT_EQ(gurn_plan_fill(2, sizes, order, 1, 0, sizeof(float), storage_, &bytes, &view_), 0);
    }
    ~Urn() { std::free(storage_); }
    Urn(const Urn &) = delete;
    Urn &operator=(const Urn &) = delete;

    double wide(int32_t n, double lambda, int32_t k) const {
        return gurn_cost_wide(step().own.wide, step().rest.wide + (m_rest - n), lambda, k);
    }
    uint32_t fixed(int32_t n, int64_t lambda, int32_t k) const {
        return gurn_cost_fixed(step().own.fixed, step().rest.fixed + (m_rest - n), lambda, k);
    }
    const gurn_step &step() const { return view_.steps[0]; }

    const int32_t m, m_rest;

private:
    void *storage_ = nullptr;
    gurn_plan_view view_{};
};

struct Window {
    int32_t mode, low, high;
    double cost;  // of the mode
};

Window find_window(const Urn &urn, int32_t n, double lambda, float bits) {
    gurn_support s = gurn_support_hard(urn.m, urn.m_rest, n);
    double root = s_mode_root(urn.m, urn.m_rest, n, lambda);
    int32_t k = std::clamp(static_cast<int32_t>(std::min(root, 1e9)), s.low, s.high);
    auto cost = [&](int32_t j) { return urn.wide(n, lambda, j); };
    while (k < s.high && cost(k + 1) < cost(k)) k++;
    while (k > s.low && cost(k - 1) < cost(k)) k--;
    float up = k < s.high ? static_cast<float>(cost(k + 1) - cost(k)) : 0.0f;
    float down = k > s.low ? static_cast<float>(cost(k - 1) - cost(k)) : 0.0f;
    float m_k = static_cast<float>(urn.m - k), n_k = static_cast<float>(n - k), own = static_cast<float>(k);
    float rest_k = static_cast<float>(urn.m_rest - n + k);
    float right = s_window_reach(up, m_k, n_k, own, rest_k, static_cast<float>(s.high - k), bits);
    float left = s_window_reach(down, own, rest_k, m_k, n_k, static_cast<float>(k - s.low), bits);
    return {k, k - static_cast<int32_t>(left), k + static_cast<int32_t>(right), cost(k)};
}

TEST(Window, HoldsEveryCountThatMattersAndNotManyMore) {
    std::mt19937_64 random(1);
    auto uniform = [&](double low, double high) { return std::uniform_real_distribution<double>(low, high)(random); };
    int64_t visited = 0, needed = 0;
    for (int trial = 0; trial < 20000; trial++) {
        int32_t m = 1 + static_cast<int32_t>(std::exp(uniform(0.0, trial % 3 ? 4.0 : 9.0)));
        int32_t m_rest = 1 + static_cast<int32_t>(std::exp(uniform(0.0, trial % 5 ? 5.5 : 9.0)));
        Urn urn(m, m_rest);
        for (int draw = 0; draw < 10; draw++) {
            int32_t n = std::uniform_int_distribution<int32_t>(0, m + m_rest)(random);
            double lambda = draw % 4 ? uniform(-5.0, 5.0) : uniform(-GURN_MAX_LAMBDA, GURN_MAX_LAMBDA);
            for (float bits : {GURN_SURE_BITS, GURN_RACE_BITS, GURN_RELAXED_BITS(GURN_FAST_TAU)}) {
                gurn_support s = gurn_support_hard(m, m_rest, n);
                Window w = find_window(urn, n, lambda, bits);
                ASSERT_LE(s.low, w.low);
                ASSERT_LE(w.high, s.high);
                // Cost is convex: the first count left out on either side is the cheapest of them.
                if (w.low > s.low) {
                    ASSERT_GT(urn.wide(n, lambda, w.low - 1) - w.cost, bits) << m << ' ' << m_rest << ' ' << n;
                }
                if (w.high < s.high) {
                    ASSERT_GT(urn.wide(n, lambda, w.high + 1) - w.cost, bits) << m << ' ' << m_rest << ' ' << n;
                }
                // What the fixed-point tables must be able to tell apart.
                ASSERT_LT(urn.wide(n, lambda, w.low) - w.cost, 255.0);
                ASSERT_LT(urn.wide(n, lambda, w.high) - w.cost, 255.0);
                visited += w.high - w.low + 1;
                for (int32_t k = w.low; k <= w.high; k++) needed += urn.wide(n, lambda, k) - w.cost <= bits;
            }
        }
    }
    EXPECT_LT(static_cast<double>(visited), 1.12 * static_cast<double>(needed));
}

// Least race value over the whole support by the scalar functions. Counts more than 200 bits above the mode are past what the
// fixed-point cost resolves, and past what any noise can make up for (37.6 bits): they are left out by the wide table.
int32_t race_whole_support(const Urn &urn, int32_t n, double lambda, uint64_t seed, uint32_t tag, uint64_t row) {
    gurn_support s = gurn_support_hard(urn.m, urn.m_rest, n);
    int64_t fixed_lambda = gurn_fixed_lambda(lambda);
    Window w = find_window(urn, n, lambda, GURN_RACE_BITS);
    uint32_t reference = urn.fixed(n, fixed_lambda, w.mode) & 0xFF800000u;
    uint32_t key[2] = {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)}, words[4];
    float best = INFINITY;
    int32_t x = s.low;
    for (int32_t k = s.low; k <= s.high; k++) {
        if (k == s.low || (k & 3) == 0) {
            uint32_t counter[4] = {static_cast<uint32_t>(k) >> 2, tag, static_cast<uint32_t>(row),
                                   static_cast<uint32_t>(row >> 32)};
            gurn_philox4x32_10(counter, key, words);
        }
        if (urn.wide(n, lambda, k) - w.cost > 200.0) continue;
        int32_t distance = std::min(static_cast<int32_t>(urn.fixed(n, fixed_lambda, k) - reference), GURN_COST_CEILING);
        float value = s_exponential32_times(words[k & 3], GURN_RACE_SCALE) * s_exp2_fixed(distance);
        if (value < best) {
            best = value;
            x = k;
        }
    }
    return x;
}

TEST(Window, TheRaceOverAWindowAndOverTheWholeSupportHaveTheSameWinner) {
    struct Case {
        int32_t m, m_rest, n;
        float log_omega;
    };
    const std::vector<Case> cases = {{40, 60, 50, 0.0f},  {40, 60, 50, 3.0f}, {63, 200, 30, -2.0f},
                                     {16, 16, 16, 1.0f},  {7, 500, 90, 0.5f}, {120, 90, 100, -4.0f},
                                     {33, 31, 32, 40.0f}, {5, 4, 6, -0.3f}};
    const int64_t rows = 250000, repeats = 5;  // with the cases: 10^7 draws
    gurn_context_options context_options = GURN_CONTEXT_OPTIONS_INIT;
    context_options.device = GURN_DEVICE_CPU;
    gurn_context *context = nullptr;
    ASSERT_EQ(gurn_context_create(&context_options, &context), GURN_SUCCESS);
    for (const Case &c : cases) {
        Urn urn(c.m, c.m_rest);
        const int32_t m[2] = {c.m, c.m_rest};
        gurn_plan_options plan_options = GURN_PLAN_OPTIONS_INIT;
        plan_options.chain = GURN_CHAIN_MERGED;
        gurn_plan *plan = nullptr;
        ASSERT_EQ(gurn_plan_create(context, 2, m, c.n, &plan_options, &plan), GURN_SUCCESS);
        const float log_omega[2] = {c.log_omega, 0.0f};
        gurn_mvhg_inputs in = GURN_MVHG_INPUTS_INIT;
        in.rows = rows;
        in.log_omega = log_omega;
        in.n = c.n;
        std::vector<float> x(2 * rows);
        gurn_mvhg_outputs out = GURN_MVHG_OUTPUTS_INIT;
        out.x = x.data();
        size_t bytes = 0;
        ASSERT_EQ(gurn_mvhg_workspace(context, plan, &in, &bytes, nullptr), GURN_SUCCESS);
        void *workspace = std::aligned_alloc(64, (bytes + 63) / 64 * 64);
        // lambda as the library forms it
        double rest = s_log2_add(-INFINITY, 0.0 + s_log2_64(c.m_rest));
        double lambda = s_merged_lambda(static_cast<double>(c.log_omega) * GURN_LOG2E, rest, s_log2_64(c.m_rest));
        int64_t different = 0;
        for (int64_t repeat = 0; repeat < repeats; repeat++) {
            in.noise.seed = 77;
            in.noise.offset = static_cast<uint64_t>(repeat * rows);
            ASSERT_EQ(gurn_mvhg_forward(context, plan, &in, &out, workspace, bytes), GURN_SUCCESS);
#pragma omp parallel for reduction(+ : different)
            for (int64_t b = 0; b < rows; b++) {
                uint64_t row = in.noise.offset + static_cast<uint64_t>(b);
                int32_t whole = race_whole_support(urn, c.n, lambda, 77, gurn_stream_tag(GURN_STREAM_MVHG, 0), row);
                different += whole != static_cast<int32_t>(x[2 * b]);
            }
        }
        EXPECT_EQ(different, 0) << "m = " << c.m << ", " << c.m_rest << ", n = " << c.n
                                << ", log omega = " << c.log_omega;
        std::free(workspace);
        gurn_plan_destroy(plan);
    }
    gurn_context_destroy(context);
}

// softmax((logit + g) / tau) over the whole support in double: what lies outside the window of the gradients weighs less than
// 2^-24 of the winner a count, and 2^-22 in all.
TEST(Window, RelaxedValuesOutsideItAreNegligible) {
    std::mt19937_64 random(3);
    for (double tau : {0.05, 0.5, 1.0, 2.0, 10.0}) {
        for (int draw = 0; draw < 4000; draw++) {
            int32_t m = std::uniform_int_distribution<int32_t>(1, 300)(random);
            int32_t m_rest = std::uniform_int_distribution<int32_t>(1, 600)(random);
            int32_t n = std::uniform_int_distribution<int32_t>(0, m + m_rest)(random);
            double lambda = std::uniform_real_distribution<double>(-6.0, 6.0)(random);
            Urn urn(m, m_rest);
            gurn_support s = gurn_support_hard(m, m_rest, n);
            Window w = find_window(urn, n, lambda, GURN_RELAXED_BITS(tau));
            std::vector<double> race;
            for (int32_t k = s.low; k <= s.high; k++) {
                double noise = std::log2(s_exponential64(static_cast<uint32_t>(random())));
                race.push_back(urn.wide(n, lambda, k) - w.cost + noise);
            }
            double least = *std::min_element(race.begin(), race.end()), outside = 0.0;
            for (int32_t k = s.low; k <= s.high; k++) {
                if (k >= w.low && k <= w.high) continue;
                double weight = std::exp2((least - race[k - s.low]) / tau);
                ASSERT_LT(weight, 0x1p-24) << m << ' ' << m_rest << ' ' << n << ' ' << lambda << ' ' << tau;
                outside += weight;
            }
            ASSERT_LT(outside, 0x1p-22);
        }
    }
}

// Whatever a real number is, what becomes an index is one.
TEST(Window, NothingBecomesAnIndexBesideATable) {
    const double nan = NAN, infinity = INFINITY;
    for (double a : {nan, -nan, infinity, -infinity, 1e300, -1e300, 3e9, -3e9, 0.5, 6.999, 7.0, 7.001, -0.5}) {
        const int32_t k = s_index_between(a, 2, 7);
        EXPECT_TRUE(k >= 2 && k <= 7) << a;
        EXPECT_EQ(k, a >= 7 ? 7 : a > 2 ? static_cast<int32_t>(a) : 2) << a;
        EXPECT_EQ(gurn_suffix_clamp(a, 2, 7), k);
        const gurn_piece piece = gurn_piece_of(8, a);
        EXPECT_TRUE(piece.left >= 0 && piece.left <= 7) << a;
        const gurn_support soft = gurn_support_soft(5, 8, a), all = {3, 9};
        EXPECT_TRUE(soft.low >= 0 && soft.low <= 5 && soft.high >= 0 && soft.high <= 5) << a;
        const gurn_support window = gurn_window_of(all, 4, static_cast<float>(a), static_cast<float>(a));
        EXPECT_TRUE(window.low >= 3 && window.low <= 4 && window.high >= 4 && window.high <= 9) << a;
    }
}

}  // namespace
