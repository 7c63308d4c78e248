// The suffix tables (kernels/suffix.h, suffix_nodes.h): their values, in float and in double, against sums in long double;
// what their windows leave out; and the order of summation, which is what makes them the same on all devices.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <vector>

#include "harness.h"
#include "kernels/suffix_cpu.h"

using gurn_test::Random;

namespace {

using Real = long double;

std::vector<Real> convolve(const std::vector<Real> &a, const std::vector<Real> &b) {
    std::vector<Real> sum(a.size() + b.size() - 1, 0);
    for (size_t x = 0; x < a.size(); x++)
        for (size_t y = 0; y < b.size(); y++) sum[x + y] += a[x] * b[y];
    return sum;
}

// An urn's tables by both builders; dense: no table is made from its nodes. Classes of omega 0 have no balls in m then, and in
// the plan they do.
class Suffix {
public:
    Suffix(std::vector<int32_t> m, std::vector<double> log_omega, int32_t n, double tau = 0,
           std::vector<int32_t> order = {}, bool dense = false)
        : m(std::move(m)), log_omega(std::move(log_omega)), order(std::move(order)), n(n) {
        const int32_t C = classes();
        for (int32_t c = 0; this->order.size() < static_cast<size_t>(C); c++) this->order.push_back(c);
        size_t bytes = 0;
        EXPECT_EQ(gurn_plan_fill(C, this->m.data(), this->order.data(), 0, n, sizeof(float), nullptr, &bytes, nullptr),
                  0);
        plan_ = std::aligned_alloc(64, bytes);
        EXPECT_EQ(gurn_plan_fill(C, this->m.data(), this->order.data(), 0, n, sizeof(float), plan_, &bytes, &view), 0);

        for (int32_t i = 0; dense && i < C; i++) const_cast<gurn_step *>(view.steps)[i].left = {};
        bits = gurn_suffix_bits(GURN_SUFFIX_RACE_BITS, C, tau);
        const gurn_suffix_capacity cap = gurn_suffix_measure(&view, n, bits);
        steps_.resize(C);
        view = gurn_omega_view(&view, this->order.data(), this->log_omega.data(), GURN_FLOAT64, 0, steps_.data());
        for (int32_t i = 0; i < C; i++) this->m[this->order[i]] = view.steps[i].m;
        const size_t work_bytes = gurn_suffix_cut(nullptr, C, cap.own, cap.table, sizeof(double), nullptr);
        work_ = std::aligned_alloc(64, work_bytes);
        gurn_suffix_work work{};
        gurn_suffix_cut(&work, C, cap.own, cap.table, sizeof(double), static_cast<char *>(work_));
        s32.resize(C);
        gurn_suffix *places = s32.data();
        const int64_t at = 0;
        drawn = gurn_suffix_places(&view, this->order.data(), this->log_omega.data(), GURN_FLOAT64, 1, &at, &n, bits,
                                   &work, &places) != 0;
        s64 = s32;
        table32.assign(cap.entries + 1, NAN);
        table64.assign(cap.entries + 1, NAN);
        rest.assign(cap.entries + 1, 0);
        if (!drawn) return;
        gurn_suffix_fill_f32(&view, n, &work, s32.data(), table32.data(), rest.data());
        gurn_suffix_fill_f64(&view, n, &work, s64.data(), table64.data(), nullptr);
        for (const auto *s : {&s32, &s64})
            for (int32_t i = 1; i < C; i++)
                EXPECT_LE((*s)[i].begin + (*s)[i].top - (*s)[i].low, static_cast<int64_t>(cap.entries));
        // The logarithms are the same when the tables are not kept.
        std::vector<int32_t> again(cap.entries + 1, 0);
        std::vector<gurn_suffix> s = s32;
        gurn_suffix_fill_f32(&view, n, &work, s.data(), nullptr, again.data());
        for (int32_t i = 1; i < C; i++)
            for (int64_t j = s[i].begin + s[i].top - s[i].high; j <= s[i].begin + s[i].top - s[i].low; j++)
                EXPECT_EQ(again[j], rest[j]) << "place " << i;
    }
    ~Suffix() {
        std::free(plan_);
        std::free(work_);
    }
    Suffix(const Suffix &) = delete;
    Suffix &operator=(const Suffix &) = delete;

    int32_t classes() const { return static_cast<int32_t>(m.size()); }

    // b_i(k), and P(sum over the places from..to-1 = r), under the tilt that the places were given.
    std::vector<Real> own(int32_t i) const {
        const int32_t size = m[order[i]];
        std::vector<Real> b(size + 1);
        const Real log_q = -log1pl(exp2l(s32[i].lambda));
        for (int32_t k = 0; k <= size; k++)
            b[k] = expl(lgammal(size + 1.0L) - lgammal(k + 1.0L) - lgammal(size - k + 1.0L) +
                        k * static_cast<Real>(s32[i].lambda) * logl(2.0L) + size * log_q);
        return b;
    }
    std::vector<Real> sum(int32_t from, int32_t to) const {
        std::vector<Real> s = {1};
        for (int32_t i = from; i < to; i++) s = convolve(s, own(i));
        return s;
    }

    std::vector<int32_t> m;
    std::vector<double> log_omega;
    std::vector<int32_t> order;
    int32_t n;
    double bits;
    bool drawn = false;
    gurn_plan_view view{};
    std::vector<gurn_suffix> s32, s64;
    std::vector<float> table32;
    std::vector<double> table64;
    std::vector<int32_t> rest;

private:
    void *plan_ = nullptr, *work_ = nullptr;
    std::vector<gurn_step> steps_;
};

struct Errors {
    Real f32 = 0, f64 = 0,
         log32 = 0;  // largest |log(table / truth)|, relative to the mode of the step that it is used in
};

// Compares all tables with the truth where what is left to draw is with probability 2^-likely or more: elsewhere the
// windows' own truncation, 2^-44 of the law, shows. An error common to a table does not matter: they are counted from
// the middle of the window.
Errors compare(const Suffix &s, double likely = 20) {
    Errors e;
    std::vector<Real> truth = {1};
    std::vector<std::vector<Real>> before = {{1}};
    for (int32_t i = 0; i < s.classes(); i++) before.push_back(convolve(before.back(), s.own(i)));
    for (int32_t i = s.classes() - 1; i >= 1; i--) {
        truth = convolve(truth, s.own(i));
        if (s.m[s.order[i]] == 0) continue;
        const Real all = before.back()[s.n];
        const auto scan = [&](const gurn_suffix &p, const auto &value) {
            const int32_t centre = std::clamp(static_cast<int32_t>(p.mean_left + 0.5), p.low, p.high);
            const Real base = value(centre) - logl(truth[centre]);
            Real worst = 0;
            for (int32_t r = std::max(0, s.n - static_cast<int32_t>(before[i].size()) + 1);
                 r <= std::min(s.n, static_cast<int32_t>(truth.size()) - 1); r++)
                if (truth[r] * before[i][s.n - r] >= all * exp2l(-likely)) {
                    EXPECT_TRUE(r >= p.low && r <= p.high);
                    worst = std::max(worst, fabsl(value(r) - logl(truth[r]) - base));
                }
            return worst;
        };
        const gurn_suffix &p = s.s32[i], &q = s.s64[i];
        e.f32 = std::max(e.f32, scan(p, [&](int32_t r) { return logl(s.table32[p.begin + p.top - r]); }));
        e.f64 = std::max(e.f64, scan(q, [&](int32_t r) { return logl(s.table64[q.begin + q.top - r]); }));
        e.log32 =
            std::max(e.log32, scan(p, [&](int32_t r) { return s.rest[p.begin + p.top - r] * -0x1p-23L * logl(2.0L); }));
    }
    return e;
}

TEST(Suffix, LinearTermIsExact) {
    Random random(1);
    for (int trial = 0; trial < 200; trial++) {
        const double lambda = random.uniform(-100, 100);
        const int64_t fixed = gurn_fixed_lambda(lambda);
        for (int j = 0; j < 200; j++) {
            const int64_t k = random.integer(0, 1 << 24);
            const Real bits = static_cast<Real>(fixed) * 0x1p-47L * k;
            const Real off = static_cast<Real>(gurn_linear_exact(fixed, k)) * 0x1p-23L - bits;
            EXPECT_LE(fabsl(off - 512 * roundl(off / 512)), 0x1p-24L);
        }
    }
}

TEST(Suffix, FixedLogarithm) {
    Random random(2);
    Real worst = 0;
    for (int trial = 0; trial < 500000; trial++) {
        const float a = std::ldexp(static_cast<float>(random.uniform(1, 2)), random.integer(-120, 120));
        worst = std::max(worst, fabsl(s_log2_fixed(a) * 0x1p-23L - log2l(a)));
    }
    EXPECT_LE(worst, 2e-7L); /* as logmath_lanes.h says */
}

// What the exact chain's logits may be off by is 1e-5; they are much better.
TEST(Suffix, TablesAreTheLaw) {
    Random random(3);
    for (int trial = 0; trial < 150; trial++) {
        const int C = random.integer(2, 12);
        const double spread = trial % 5 == 4 ? 100 : trial % 3;
        std::vector<int32_t> m;
        int total = 0;
        for (int c = 0; c < C; c++) total += m.emplace_back(random.integer(0, trial % 4 ? 60 : 600));
        if (total == 0) continue;
        const int n = random.integer(0, total);
        const Suffix s(m, random.uniforms(C, -spread, spread), n, trial % 2, random.permutation(C));
        if (!s.drawn) continue;
        const Errors e = compare(s);
        ASSERT_TRUE(e.f32 <= 2e-6L && e.log32 <= 2e-6L && e.f64 <= 1e-12L)
            << "trial " << trial << ": " << e.f32 << ' ' << e.log32 << ' ' << e.f64;
    }
}

TEST(Suffix, AThousandClasses) {
    Random random(4);
    for (const int C : {100, 1000}) {
        const std::vector<double> log_omega = random.uniforms(C, -1, 1);
        for (const bool dense : {true, false}) {
            /* Sums of all entries average the errors of the table before; those at nodes hand them on. */
            const Real limit = dense ? 5e-6L : 1e-5L;
            const Suffix s(std::vector<int32_t>(C, 20), log_omega, 4 * C, 0, {}, dense);
            const Errors e = compare(s);
            EXPECT_TRUE(e.f32 <= limit && e.log32 <= limit && e.f64 <= 1e-11L)
                << e.f32 << ' ' << e.log32 << ' ' << e.f64 << " of " << C << (dense ? ", dense" : "");
        }
    }
}

TEST(Suffix, WideTables) {
    const Suffix s({6000, 3000, 5000}, {0, 1.5, -0.5}, 5400, 1);
    const Errors e = compare(s);
    EXPECT_TRUE(e.f32 <= 2e-6L && e.log32 <= 2e-6L && e.f64 <= 1e-11L) << e.f32 << ' ' << e.log32 << ' ' << e.f64;
}

// The chance that what is left to draw ever leaves its windows, or a count its own.
TEST(Suffix, WindowsLeaveOutNothingThatCounts) {
    Random random(5);
    double widest = 0; /* in standard deviations: windows are not wider than they need be either */
    for (int trial = 0; trial < 120; trial++) {
        const int C = random.integer(2, 8);
        const double spread = trial % 5 == 4 ? 60 : trial % 3;
        std::vector<int32_t> m;
        int total = 0;
        for (int c = 0; c < C; c++) total += m.emplace_back(random.integer(0, trial % 4 ? 60 : 1000));
        const int n = random.integer(0, std::max(0, total));
        const Suffix s(m, random.uniforms(C, -spread, spread), n);
        if (!s.drawn) continue;
        Real outside = 0;
        for (int32_t i = 0; i < C; i++) {
            const std::vector<Real> before = s.sum(0, i), from = s.sum(i, C), b = s.own(i),
                                    others = convolve(s.sum(i + 1, C), before);
            const auto at = [](const std::vector<Real> &v, int r) {
                return r < 0 || r >= static_cast<int>(v.size()) ? 0 : v[r];
            };
            Real q = 0, left = 0, count = 0;
            for (int r = 0; r <= n; r++) {
                const Real p = at(from, r) * at(before, n - r), own = at(b, r) * at(others, n - r);
                q += p;
                if (i > 0 && (r < s.s32[i].low || r > s.s32[i].high)) left += p;
                if (r < s.s32[i].own_low || r > s.s32[i].own_high) count += own;
            }
            outside += (left + count) / q;
            if (i > 0 && s.s32[i].variance_left > 20)
                widest = std::max(widest, (s.s32[i].high - s.s32[i].low) / std::sqrt(s.s32[i].variance_left));
            // From everywhere in a window a count leads into the next.
            if (i + 1 < C) {
                int32_t low = i ? s.s32[i].low : n, high = i ? s.s32[i].high : n;
                EXPECT_LE(s.s32[i].own_low + s.s32[i + 1].low, low) << "trial " << trial << " place " << i;
                EXPECT_GE(s.s32[i].own_high + s.s32[i + 1].high, high) << "trial " << trial << " place " << i;
            }
        }
        ASSERT_TRUE(outside <= 0x1p-44L) << "trial " << trial << ": " << outside;
    }
    EXPECT_LT(widest, 30);
}

// One output after the other, as suffix.h says that they are summed.
TEST(Suffix, TheOrderOfSummation) {
    Random random(6);
    const Suffix s({40, 300, 70, 90}, {0.5, -0.25, 0, 1}, 260, 0, {}, true);
    for (int32_t i = 2; i >= 1; i--) {
        const gurn_suffix &p = s.s32[i], &q = s.s32[i + 1];
        const int32_t *own = s.view.steps[i].own.fixed;
        const uint32_t reference = gurn_suffix_own_reference(&p, own, s.m[i]);
        for (int32_t r = p.low; r <= p.high; r++) {
            float total = 0, group = 0;
            for (int32_t k = p.own_low; k <= p.own_high; k++) {
                if ((k - p.own_low) % GURN_SUFFIX_GROUP == 0) total += group, group = 0;
                if (r - k < q.low || r - k > q.high) continue;
                const float b = gurn_suffix_own_weight(&p, own, reference, k);
                group = std::fma(b, s.table32[q.begin + q.top - (r - k)], group);
            }
            total = std::ldexp(total + group, -p.exponent);
            ASSERT_EQ(total, s.table32[p.begin + p.top - r]) << "place " << i << " r " << r;
        }
    }
}

// A table from its nodes, entry after entry, as suffix_nodes.h says.
TEST(Suffix, TablesFromNodes) {
    const Suffix s({240, 300, 170, 190}, {0.5, -0.25, 0, 1}, 260);
    for (int32_t i = 2; i >= 1; i--) {
        const gurn_suffix &p = s.s32[i], &q = s.s32[i + 1];
        const gurn_step &step = s.view.steps[i];
        const uint32_t own = gurn_suffix_own_reference(&p, step.own.fixed, step.m);
        const int32_t *reference = step.left.fixed + (step.left.top - p.top);
        gurn_suffix_nodes nodes = gurn_suffix_nodes_of(p.high - p.low + 1);
        ASSERT_EQ(p.apart, nodes.apart) << "place " << i;
        int32_t log2_sum[GURN_SUFFIX_NODES], exponent;
        for (int t = 0; t < GURN_SUFFIX_NODES; t++) {
            const int32_t r = p.top - nodes.first - t * nodes.apart;
            float part[16] = {};
            for (int32_t k = p.own_low; k <= p.own_high; k++)
                if (r - k >= q.low && r - k <= q.high) {
                    float &sum = part[(k - p.own_low) % 16];
                    sum = std::fma(gurn_suffix_own_weight(&p, step.own.fixed, own, k),
                                   s.table32[q.begin + q.top - (r - k)], sum);
                }
            for (int w = 8; w > 0; w /= 2)
                for (int l = 0; l < w; l++) part[l] += part[l + w];
            log2_sum[t] = s_log2_fixed(part[0]);
        }
        ASSERT_TRUE(gurn_suffix_nodes_fit(&nodes, p.high - p.low + 1, log2_sum, reference, &exponent));
        EXPECT_EQ(exponent, p.exponent);
        for (int32_t j = 0; j <= p.high - p.low; j++) {
            const float x = static_cast<float>(j - nodes.first) * nodes.inverse;
            const auto wrap = [](int32_t bits) { return static_cast<uint32_t>(bits); }; /* they add up modulo 2^32 */
            const auto cost = static_cast<int32_t>(wrap(reference[j]) + wrap(nodes.base) + wrap(nodes.slope) * wrap(j) +
                                                   wrap(s_suffix_between(x, nodes.difference)));
            ASSERT_EQ(cost, s.rest[p.begin + j]) << "place " << i << " entry " << j;
            ASSERT_EQ(s_exp2_fixed(-cost), s.table32[p.begin + j]);
        }
    }
}

// Tables of several thousand entries, beside sums of all entries in double. Between neighbouring nodes more than the 512 bits may
// lie that logarithms are held modulo.
TEST(Suffix, VeryWideTables) {
    Random random(8);
    int smooth = 0, all = 0;
    for (int trial = 0; trial < 20; trial++) {
        const int C = random.integer(3, 4), most = trial < 18 ? 1000000 : 4000000;
        std::vector<int32_t> m;
        int total = 0;
        for (int c = 0; c < C; c++) total += m.emplace_back(random.integer(most / 10, most));
        const Suffix s(m, random.uniforms(C, -(trial % 4), trial % 4), random.integer(total / 50, total - total / 50));
        ASSERT_TRUE(s.drawn);
        for (int32_t i = 1; i < C - 1; i++) {
            const gurn_suffix &p = s.s32[i], &q = s.s64[i];
            ASSERT_EQ(p.top, q.top);
            /* Near the ends of a window it shows what lies beyond the next. */
            const int32_t edge = (p.high - p.low) / 8;
            const int32_t low = std::max(p.low + edge, q.low), high = std::min(p.high - edge, q.high);
            const int32_t centre = low + (high - low) / 2;
            ASSERT_LT(low, high);
            const auto value = [&](int32_t r) {
                return std::pair(s.rest[p.begin + p.top - r] * -0x1p-23, std::log2(s.table64[q.begin + q.top - r]));
            };
            const auto base = value(centre);
            double worst = 0;
            for (int32_t r = low; r <= high; r++) {
                const auto here = value(r);
                worst = std::max(worst, std::fabs(here.first - base.first - (here.second - base.second)));
            }
            ASSERT_TRUE(worst <= 1e-5) << "trial " << trial << " place " << i << ": " << worst;
            smooth += p.apart > 0;
            all++;
        }
    }
    EXPECT_GE(smooth, all - all / 8);  // no reason to sum all entries, but where the plan keeps no tables of a size
}

// Where omega are near each other tables are smooth; where they are not, and the urn is small, they bend within a window,
// which must be seen.
TEST(Suffix, RoughTablesAreSummed) {
    const Suffix smooth({256, 256, 256, 256, 256}, {0, 0.4, 0.7, 0.9, 1.1}, 300);
    for (int32_t i = 1; i <= 3; i++) EXPECT_GT(smooth.s32[i].apart, 0) << "place " << i;
    Random random(7);
    int rough = 0;
    for (int trial = 0; trial < 60; trial++) {
        const Suffix s({50, 50, 50, 50, 50, 50}, random.uniforms(6, -8, 8), random.integer(60, 240));
        for (int32_t i = 1; i <= 4; i++)
            rough += s.s32[i].apart == 0 && s.s32[i].high - s.s32[i].low >= GURN_SUFFIX_NODES_LEAST;
        const Errors e = compare(s);
        ASSERT_TRUE(e.f32 <= 2e-6L && e.log32 <= 2e-6L) << "trial " << trial << ": " << e.f32 << ' ' << e.log32;
    }
    EXPECT_GT(rough, 10);
}

// Classes of omega 0: the plan's reference is of another urn, beside which the sums are smooth too, or are seen not to be.
TEST(Suffix, TablesOfAnUrnWithoutSomeClasses) {
    Random random(8);
    int smooth = 0, rough = 0;
    for (int trial = 0; trial < 200; trial++) {
        const int C = random.integer(4, 9);
        const double spread = trial % 5 == 4 ? 8 : trial % 3;
        std::vector<int32_t> m;
        for (int c = 0; c < C; c++) m.push_back(random.integer(0, trial % 4 ? 300 : 900));
        std::vector<double> log_omega = random.uniforms(C, -spread, spread);
        int total = 0;
        for (int c = 0; c < C; c++)
            if (random.integer(0, 2) == 0)
                log_omega[c] = -INFINITY;
            else
                total += m[c];
        // Near either end of what the urn holds too.
        const int n = trial % 7 == 5 ? total - random.integer(0, total / 20) : random.integer(0, total);
        const Suffix s(m, log_omega, n, trial % 2, random.permutation(C));
        if (!s.drawn) continue;
        for (int32_t i = 1; i < C; i++) {
            if (s.view.steps[i].m == 0 || s.view.steps[i].m_rest == 0) continue;
            int32_t left = 0;
            for (int32_t j = i; j < C; j++) left += m[s.order[j]];
            if (left == s.view.steps[i].m + s.view.steps[i].m_rest) continue;  // the reference is the urn's own
            const bool wide = s.s32[i].high - s.s32[i].low >= GURN_SUFFIX_NODES_LEAST;
            (s.s32[i].apart > 0 ? smooth : rough) += wide;
        }
        const Errors e = compare(s);
        ASSERT_TRUE(e.f32 <= 2e-6L && e.log32 <= 2e-6L && e.f64 <= 1e-11L)
            << "trial " << trial << ": " << e.f32 << ' ' << e.log32 << ' ' << e.f64;
    }
    EXPECT_GT(smooth, 50);
    EXPECT_GT(rough, 10);
}

TEST(Suffix, CertainCountsNeedNoTables) {
    const Suffix none({3, 0, 5}, {0, 1, 2}, 0), all({3, 0, 5}, {0, 1, 2}, 8);
    EXPECT_FALSE(none.drawn);
    EXPECT_FALSE(all.drawn);
    for (int i = 0; i < 3; i++) {
        EXPECT_EQ(none.s32[i].own_high, 0);
        EXPECT_EQ(none.s32[i].high, 0);
        EXPECT_EQ(all.s32[i].own_low, all.m[i]);
        EXPECT_EQ(all.s32[i].low, i == 0 ? 8 : 5);
    }
}

}  // namespace
