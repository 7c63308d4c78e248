/*
 * Plain draws: each draw against the documented inversion of the documented uniform, in long double; laws by G and chi-square tests,
 * joint on small urns, marginal on large ones, and by moments; the same bits on every target, split and layout. Wrong arguments are test_plain_errors.cpp's.
 */
#include "plain_call.h"

#include <cmath>

#include "law_call.h"
#include "problems.h"
#include "statistics.h"

using namespace gurn_test;

namespace {

/* Of place i of the chain (operation 2, class 0), or of the univariate law (class 1, i = 0). */
oracle::Real uniform(uint64_t seed, uint64_t row, uint32_t cls, uint32_t i) {
    const uint64_t low = oracle::word(seed, row, 2, cls, 2 * i), high = oracle::word(seed, row, 2, cls, 2 * i + 1);
    return static_cast<oracle::Real>((low | high << 32) >> 11) * 0x1p-53L;
}

/*
 * By how much u misses the part of [0, 1) that belongs to count k, in the order mode, mode + 1, ..., mode - 1, ...; p[j] is the
 * probability of count low + j. Infinite when k is not in the support.
 */
double miss(const std::vector<oracle::Real> &p, int low, int k, oracle::Real u) {
    int mode = 0;
    const int size = static_cast<int>(p.size());
    for (int j = 0; j < size; j++)
        if (p[j] >= p[mode]) mode = j;
    oracle::Real sum = 0;
    for (int place = 0; place < size; place++) {
        const int j = mode + place < size ? mode + place : size - 1 - place;
        if (low + j == k) return static_cast<double>(std::max({oracle::Real(0), sum - u, u - sum - p[j]}));
        sum += p[j];
    }
    return INFINITY;
}

/* log C(m1, k) C(m2, n - k) odds^k over the support, normalised. */
std::vector<oracle::Real> univariate_law(int m1, int m2, int n, double log_odds, int *low) {
    const auto log_c = [](int a, int b) {
        return std::lgamma(a + 1.0L) - std::lgamma(b + 1.0L) - std::lgamma(a - b + 1.0L);
    };
    *low = std::max(0, n - m2);
    std::vector<oracle::Real> p;
    oracle::Real top = -INFINITY, sum = 0;
    for (int k = *low; k <= std::min(m1, n); k++) {
        p.push_back(log_c(m1, k) + log_c(m2, n - k) + static_cast<oracle::Real>(log_odds) * k);
        top = std::max(top, p.back());
    }
    for (oracle::Real &v : p) sum += v = std::exp(v - top);
    for (oracle::Real &v : p) v /= sum;
    return p;
}

std::vector<double> repeated(const std::vector<double> &row, int64_t times) {
    std::vector<double> out;
    for (int64_t b = 0; b < times; b++) out.insert(out.end(), row.begin(), row.end());
    return out;
}

const std::vector<double> kTen = {-1, -0.75, -0.5, -0.25, 0, 0.25, 0.5, 0.75, 1, 1.25};

}  // namespace

class PlainDraws : public OnPlainTarget {
protected:
    using OnPlainTarget::draw;

    /* In batches, each row handed to count. */
    template <class Count>
    void draw(Problem p, int64_t draws, const Count &count) {
        p.rows = std::min<int64_t>(draws, 100000);
        for (int64_t done = 0; done < draws; done += p.rows) {
            p.offset = done;
            const std::vector<int32_t> x = draw(p);
            for (int64_t b = 0; b < p.rows; b++) count(&x[b * p.urn.classes()]);
        }
    }

    void expect_joint_law(const Problem &p, int64_t draws) {
        const auto pmf = oracle::joint_pmf(p.urn, rounded(dtype(), p.log_omega), p.n);
        std::map<std::vector<int>, double> seen;
        draw(p, draws, [&](const int32_t *x) { seen[std::vector<int>(x, x + p.urn.classes())] += 1; });
        std::vector<double> observed, probability;
        size_t met = 0;
        for (const auto &[x, probability_of_x] : pmf) {
            observed.push_back(seen[x]);
            probability.push_back(probability_of_x);
            met += seen[x] > 0;
            if (seen[x] == 0) seen.erase(x);
        }
        EXPECT_EQ(seen.size(), met) << "drew what cannot be drawn";
        EXPECT_GT(goodness_of_fit(observed, probability).p(), kFalseAlarm);
    }

    void expect_marginals(const Problem &p, int64_t draws, const std::vector<std::vector<double>> &law) {
        std::vector<std::vector<double>> seen(law.size());
        for (size_t c = 0; c < law.size(); c++) seen[c].assign(law[c].size(), 0);
        draw(p, draws, [&](const int32_t *x) {
            for (size_t c = 0; c < law.size(); c++) seen[c].at(x[c]) += 1;
        });
        for (size_t c = 0; c < law.size(); c++)
            EXPECT_GT(goodness_of_fit(seen[c], law[c]).p(), kFalseAlarm) << "class " << c;
    }
};

/*
 * Every draw is that of the documented inversion, or u is within 1e-11 of where the next count begins. Log omega without ties, so that
 * there is one mode.
 */
TEST_P(PlainDraws, InvertTheDocumentedUniform) {
    for (const oracle::Chain chain : {oracle::Chain::exact, oracle::Chain::merged})
        for (const NamedProblem &named : assorted_problems(std::max<int64_t>(scaled(120), 6), chain)) {
            SCOPED_TRACE(named.name + (chain == oracle::Chain::exact ? ", exact" : ", merged"));
            const Problem &p = named.problem;
            const oracle::Urn urn = p.urn_of_call();
            const int C = urn.classes();
            const std::vector<int32_t> x = draw(p);
            std::unique_ptr<oracle::RowChain> law;
            double worst = 0;
            for (int64_t b = 0; b < p.rows; b++) {
                if (!law || !p.shared()) law.reset(new oracle::RowChain(urn, p.row(b, dtype()).log_omega));
                int left = p.n_of(b);
                for (int i = 0; i < C; i++) {
                    const int k = x[b * C + urn.at(i)];
                    if (i >= urn.last()) {
                        ASSERT_EQ(k, i == urn.last() ? left : 0) << "row " << b;
                    } else {
                        const oracle::Step step = oracle::step(*law, i, left);
                        std::vector<oracle::Real> probability;
                        for (oracle::Real log_p : step.log_p) probability.push_back(std::exp(log_p));
                        worst = std::max(worst,
                                         miss(probability, step.lo, k, uniform(p.seed, p.offset + p.row0 + b, 0, i)));
                    }
                    left -= k;
                }
            }
            EXPECT_TRUE(worst <= 1e-11) << worst;
        }
}

TEST_P(PlainDraws, UnivariateInvertsTheDocumentedUniform) {
    Random random(31);
    Univariate u;
    u.rows = scaled(5000, 300);
    u.seed = 77;
    u.offset = 1000;
    u.row0 = uint64_t(1) << 33; /* both words of the row count */
    for (int64_t b = 0; b < u.rows; b++) {
        const int kind = random.integer(0, 9), size = kind == 0 ? 0 : kind < 6 ? 12 : 3000;
        u.m1.push_back(random.integer(0, size));
        u.m2.push_back(random.integer(0, kind == 1 ? 0 : 4000));
        const int total = u.m1.back() + u.m2.back();
        u.n.push_back(kind == 2 ? 0 : kind == 3 ? total : random.integer(0, total));
        u.log_odds.push_back(random.integer(0, 5) == 0 ? random.uniform(-130, 130) : random.uniform(-4, 4));
    }
    const std::vector<int32_t> x = draw(u);
    const std::vector<double> log_odds = rounded(dtype(), u.log_odds);
    double worst = 0;
    for (int64_t b = 0; b < u.rows; b++) {
        int low;
        const auto law = univariate_law(u.m1[b], u.m2[b], u.n[b], log_odds[b], &low);
        const double off = miss(law, low, x[b], uniform(u.seed, u.offset + u.row0 + b, 1, 0));
        EXPECT_TRUE(off <= 1e-11) << "row " << b << ": " << x[b] << " of " << u.m1[b] << ", " << u.m2[b] << ", "
                                  << u.n[b] << ", " << log_odds[b] << " is off by " << off;
        worst = std::max(worst, off);
    }
}

/* >= 10^6 draws on the target of this machine. */
TEST_P(PlainDraws, JointLawOfSmallUrns) {
    const std::vector<Problem> problems = {
        urn_of({3, 5, 4}, {}, 5, {0.5, -0.7, 0.2}),
        urn_of({3, 5, 4}, {2, 0, 1}, 5, {0.5, -0.7, 0.2}),
        urn_of({2, 2, 2, 2, 2}, {4, 2, 0, 3, 1}, 5, {1.5, 0, -1, 0.3, 0.4}),
        urn_of({2, 0, 3, 1, 0}, {1, 4, 3, 0, 2}, 4, {0.1, 5, -1, 2, -7}),
        urn_of({6, 1}, {}, 3, {-2, 1}),
        urn_of({4, 4, 4}, {}, 6, {0.25, 0.25, 0.25}),   /* central */
        urn_of({4, 3, 4}, {}, 6, {1.5, -0.25, -0.25}),  /* one against the rest */
        urn_of({5, 5, 5}, {1, 2, 0}, 10, {12, 0, -12}), /* hugs (5, 5, 0) */
        urn_of({3, 5, 4}, {2, 0, 1}, 5, {0.5, -0.7, 0.2}, oracle::Chain::merged),
        urn_of({2, 2, 2, 2, 2}, {4, 2, 0, 3, 1}, 5, {1.5, 0, -1, 0.3, 0.4}, oracle::Chain::merged),
    };
    uint64_t seed = 41;
    for (Problem p : problems) {
        SCOPED_TRACE("urn " + std::to_string(seed - 41));
        p.seed = seed++;
        expect_joint_law(p, scaled(1000000));
    }
}

/* Per-row omega takes another way through the library to the same law. */
TEST_P(PlainDraws, JointLawWithOmegaPerRow) {
    Problem p = urn_of({3, 5, 4}, {2, 0, 1}, 5, {0.5, -0.7, 0.2});
    const auto pmf = oracle::joint_pmf(p.urn, rounded(dtype(), p.log_omega), p.n);
    p.seed = 5;
    p.rows = scaled(200000);
    p.log_omega = repeated(p.log_omega, p.rows);
    const std::vector<int32_t> x = draw(p);
    std::map<std::vector<int>, double> seen;
    for (int64_t b = 0; b < p.rows; b++) seen[std::vector<int>(&x[b * 3], &x[b * 3] + 3)] += 1;
    std::vector<double> observed, probability;
    for (const auto &[counts, probability_of_x] : pmf) {
        observed.push_back(seen[counts]);
        probability.push_back(probability_of_x);
    }
    EXPECT_EQ(seen.size(), pmf.size());
    EXPECT_GT(goodness_of_fit(observed, probability).p(), kFalseAlarm);
}

TEST_P(PlainDraws, MarginalsOfLargeUrns) {
    struct Large {
        Problem p;
        int64_t draws;
    };
    const std::vector<Large> urns = {
        {urn_of({200, 200, 200}, {}, 180, {0, std::log(5.0), 0.25}), 1000000},
        {urn_of({200, 200, 200}, {2, 1, 0}, 180, {0, std::log(5.0), 0}), 400000},
        {urn_of({1000, 30, 500}, {1, 2, 0}, 700, {-1, 1, 0.5}), 200000},
        {urn_of({64, 64, 64, 64, 64, 64}, {}, 64, {-1, -0.5, 0, 0.5, 1, 1.5}), 400000},
        {urn_of({200, 200, 200}, {}, 180, {0, std::log(5.0), 0.25}, oracle::Chain::merged), 200000},
    };
    for (size_t i = 0; i < urns.size(); i++) {
        SCOPED_TRACE("urn " + std::to_string(i));
        const Problem &p = urns[i].p;
        const auto law = oracle::marginals(p.urn, rounded(dtype(), p.log_omega), p.n);
        expect_marginals(p, scaled(urns[i].draws, 3000), law);
    }
}

/* All omega equal: every class alone is hypergeometric, whatever else is in the urn. */
TEST_P(PlainDraws, CentralMarginalsAreHypergeometric) {
    for (const Problem &p : {urn_of({256, 256, 256, 256, 256, 256, 256, 256, 256, 256}, {}, 256, repeated({1.5}, 10)),
                             urn_of({10, 700, 33, 0, 250}, {3, 1, 4, 0, 2}, 611, repeated({-3}, 5))}) {
        std::vector<std::vector<double>> law;
        for (int m : p.urn.m) {
            int low;
            const auto part = univariate_law(m, p.urn.total() - m, p.n, 0, &low);
            std::vector<double> whole(m + 1, 0.0);
            for (size_t j = 0; j < part.size(); j++) whole[low + j] = static_cast<double>(part[j]);
            law.push_back(whole);
        }
        expect_marginals(p, scaled(400000, 2000), law);
    }
}

/* Rows of many laws side by side: each gets its own. */
TEST_P(PlainDraws, UnivariateLaws) {
    struct One {
        int m1, m2, n;
        double log_odds;
    };
    const std::vector<One> laws = {{200, 400, 180, 1.6}, {5, 7, 6, -2},     {0, 5, 3, 1},      {5, 5, 0, 2},
                                   {5, 0, 3, -1},        {7, 9, 16, 3},     {30, 40, 45, 60},  {30, 40, 45, -60},
                                   {1000, 1000, 500, 0}, {2000, 50, 90, 2}, {40, 40, 79, 0.5}, {1, 1, 1, 0.75}};
    const int64_t each = scaled(200000, 3000), count = static_cast<int64_t>(laws.size());
    Univariate u;
    u.rows = each * count;
    u.seed = 3;
    for (int64_t b = 0; b < u.rows; b++) {
        const One &law = laws[b % count];
        u.m1.push_back(law.m1);
        u.m2.push_back(law.m2);
        u.n.push_back(law.n);
        u.log_odds.push_back(law.log_odds);
    }
    const std::vector<int32_t> x = draw(u);
    for (int64_t i = 0; i < count; i++) {
        int low;
        const One &one = laws[i];
        const auto law = univariate_law(one.m1, one.m2, one.n, rounded(dtype(), {one.log_odds})[0], &low);
        std::vector<double> observed(law.size(), 0.0);
        for (int64_t b = i; b < u.rows; b += count) observed.at(x[b] - low) += 1;
        EXPECT_GT(goodness_of_fit(observed, std::vector<double>(law.begin(), law.end())).p(), kFalseAlarm)
            << "law " << i;
    }
    /* No log odds: the central law. */
    u = Univariate();
    u.rows = scaled(200000, 3000);
    u.m1 = {30};
    u.m2 = {50};
    u.n = {25};
    int low;
    const auto law = univariate_law(30, 50, 25, 0, &low);
    std::vector<double> observed(law.size(), 0.0);
    for (int32_t k : draw(u)) observed.at(k - low) += 1;
    EXPECT_GT(goodness_of_fit(observed, std::vector<double>(law.begin(), law.end())).p(), kFalseAlarm);
}

/* Against gurn_mvhg_moments, which sums nothing and has no tables. z of a mean is normal; so, nearly, is that of a covariance. */
TEST_P(PlainDraws, Moments) {
    const Context cpu = make_context({"portable", GURN_DEVICE_CPU, GURN_ISA_PORTABLE, dtype()}, 1);
    const Target portable = {"portable", GURN_DEVICE_CPU, GURN_ISA_PORTABLE, GURN_FLOAT64};
    for (const Problem &urn :
         {urn_of(std::vector<int>(10, 256), {}, 256, kTen), urn_of({20000, 20000, 20000}, {}, 18000, {0, 1.5, 0.125}),
          urn_of({3000, 5, 70, 900}, {2, 3, 0, 1}, 1200, {-2, 6, 3, 0.5})}) {
        Problem p = urn;
        p.seed = 6;
        const int C = p.urn.classes();
        const int64_t draws = scaled(200000, 2000);
        std::vector<double> sum(C, 0.0), products(C * C, 0.0);
        Problem exact = p;
        exact.log_omega = rounded(dtype(), p.log_omega);
        const Law::Moments law = Law(cpu.get(), portable, exact).moments();
        draw(p, draws, [&](const int32_t *x) {
            for (int a = 0; a < C; a++) {
                sum[a] += x[a] - law.mean[a];
                for (int b = 0; b < C; b++) products[a * C + b] += (x[a] - law.mean[a]) * (x[b] - law.mean[b]);
            }
        });
        for (int a = 0; a < C; a++) {
            const double va = law.covariance[a * C + a];
            EXPECT_TRUE(std::fabs(sum[a]) <= 5.5 * std::sqrt(va * draws)) << "mean of " << a;
            for (int b = 0; b < C; b++) {
                const double cov = law.covariance[a * C + b], vb = law.covariance[b * C + b];
                /* Of products of normal variates; and a count that hardly varies has a fourth cumulant like its variance. */
                const double spread = std::sqrt((va * vb + cov * cov + std::min(va, vb)) * draws);
                EXPECT_TRUE(std::fabs(products[a * C + b] - cov * draws) <= 6.5 * spread) << a << ", " << b;
            }
        }
    }
}

/* ------------------------------------------------------------------------------------------------------- determinism --- */

TEST_P(PlainDraws, SameBitsOnEveryTarget) {
    const Context reference = make_context({"portable", GURN_DEVICE_CPU, GURN_ISA_PORTABLE, dtype()}, 1);
    const Target portable = {"portable", GURN_DEVICE_CPU, GURN_ISA_PORTABLE, dtype()};
    for (const oracle::Chain chain : {oracle::Chain::exact, oracle::Chain::merged}) {
        for (const NamedProblem &named : assorted_problems(scaled(500, 40), chain))
            EXPECT_EQ(draw(named.problem), run_draw(reference.get(), portable, named.problem)) << named.name;
        for (Problem p : {urn_of(std::vector<int>(10, 256), {}, 256, kTen, chain),
                          urn_of({20000, 20000, 20000}, {}, 18000, {0, 1.5, 0.125}, chain),
                          urn_of({1000000, 1000000, 500}, {}, 700000, {0.125, 0, 2}, chain)}) {
            p.rows = scaled(20000, 40);
            if (emulated()) p.rows = p.urn.total() > 1000000 ? 2 : 40;
            EXPECT_EQ(draw(p), run_draw(reference.get(), portable, p));
        }
    }
}

/* Wherever log omega, n and the rows come from: large batches have tables that small ones do not. */
TEST_P(PlainDraws, LayoutAndSplit) {
    for (const oracle::Chain chain : {oracle::Chain::exact, oracle::Chain::merged})
        for (Problem p : {urn_of({200, 200, 200}, {1, 0, 2}, 180, {0, 1.5, 0.125}, chain),
                          urn_of(std::vector<int>(10, 256), {}, 256, kTen, chain),
                          urn_of({31, 0, 32, 33, 64}, {4, 2, 1, 0, 3}, 70, {0.5, 0, -0.5, 1, -1}, chain),
                          urn_of(std::vector<int>(10, 256), {}, 256, repeated({0.5}, 10), chain),
                          urn_of({4, 3, 4}, {}, 6, {1.5, -0.25, -0.25}, chain)}) {
            p.rows = emulated() ? 300 : 3000;
            p.seed = 9;
            const int C = p.urn.classes();
            const std::vector<int32_t> whole = draw(p);
            for (int64_t part : {1, 3, 17, 200}) {
                Problem shard = p;
                shard.row0 = 83;
                shard.rows = part;
                EXPECT_EQ(draw(shard), std::vector<int32_t>(whole.begin() + 83 * C, whole.begin() + (83 + part) * C));
                shard.row0 = 3;
                shard.offset = 80;
                shard.log_omega = repeated(p.log_omega, part);
                EXPECT_EQ(draw(shard), std::vector<int32_t>(whole.begin() + 83 * C, whole.begin() + (83 + part) * C));
                shard.log_omega = p.log_omega;
                shard.n_rows.assign(part, p.n);
                EXPECT_EQ(draw(shard), std::vector<int32_t>(whole.begin() + 83 * C, whole.begin() + (83 + part) * C));
            }
        }
}

/* Tables that one row leaves to the next: every row is drawn as alone, whether its n is that of the row before or not. */
TEST_P(PlainDraws, RowsThatChangeN) {
    for (const oracle::Chain chain : {oracle::Chain::exact, oracle::Chain::merged})
        for (const bool shared : {true, false})
            for (int pattern = 0; pattern < 5; pattern++) {
                Problem p = urn_of({20, 30, 25}, {1, 0, 2}, 75, {0.5, -0.5, 0.25}, chain);
                p.rows = 45;
                for (int64_t b = 0; b < p.rows; b++)
                    p.n_rows.push_back(pattern == 0   ? 23
                                       : pattern == 1 ? (b % 2 ? 23 : 31)
                                       : pattern == 2 ? (b / 8 % 2 ? 9 : 40)
                                       : pattern == 3 ? static_cast<int>(b % 3 * 75 / 2)
                                                      : static_cast<int>(b * 7 % 76));
                if (!shared) p.log_omega = Random(13).uniforms(p.rows * 3, -1, 1);
                const std::vector<int32_t> whole = draw(p);
                for (int64_t b = 0; b < p.rows; b += emulated() ? 7 : 1) {
                    Problem one = p;
                    one.rows = 1;
                    one.row0 = static_cast<uint64_t>(b);
                    one.n = p.n_rows[b];
                    one.n_rows.clear();
                    if (!shared) one.log_omega.assign(p.log_omega.begin() + 3 * b, p.log_omega.begin() + 3 * (b + 1));
                    EXPECT_EQ(draw(one), std::vector<int32_t>(whole.begin() + 3 * b, whole.begin() + 3 * (b + 1)))
                        << "row " << b << " pattern " << pattern << (shared ? " shared" : "");
                }
            }
}

TEST_P(PlainDraws, NumberOfThreads) {
    if (device() != GURN_DEVICE_CPU) GTEST_SKIP() << "threads are the CPU's";
    for (int threads : {1, 3, 5}) {
        const Context other = make_context(GetParam(), threads);
        for (int64_t rows : {7, 100, 2000}) {
            Problem p = urn_of(std::vector<int>(10, 256), {}, 256, kTen);
            p.rows = rows;
            EXPECT_EQ(draw(p), run_draw(other.get(), GetParam(), p));
            p.rows = std::min<int64_t>(rows, 60);
            p.log_omega = Random(8).uniforms(p.rows * 10, -1, 1);
            EXPECT_EQ(draw(p), run_draw(other.get(), GetParam(), p));
            Univariate u;
            u.rows = rows;
            u.m1 = {50};
            u.m2 = {60};
            u.n = {40};
            EXPECT_EQ(draw(u), run_univariate(other.get(), GetParam(), u));
        }
    }
}

TEST_P(PlainDraws, UnivariateBitsAndStrides) {
    const Context reference = make_context({"portable", GURN_DEVICE_CPU, GURN_ISA_PORTABLE, dtype()}, 1);
    const Target portable = {"portable", GURN_DEVICE_CPU, GURN_ISA_PORTABLE, dtype()};
    Random random(12);
    Univariate u;
    u.rows = scaled(3000, 100);
    for (int64_t b = 0; b < u.rows; b++) {
        u.m1.push_back(random.integer(0, 100) == 0 ? 30000000 : random.integer(0, 500));
        u.m2.push_back(random.integer(0, 100) == 0 ? 30000000 : random.integer(0, 500));
        u.n.push_back(random.integer(0, std::min(u.m1.back() + u.m2.back(), 100000)));
        u.log_odds.push_back(random.uniform(-5, 5));
    }
    const std::vector<int32_t> x = draw(u);
    EXPECT_EQ(x, run_univariate(reference.get(), portable, u));
    for (int64_t b = 0; b < u.rows; b += u.rows / 7) { /* alone, shared, and at its place in the batch */
        Univariate one;
        one.rows = 3;
        one.row0 = static_cast<uint64_t>(b);
        one.m1 = {u.m1[b]};
        one.m2 = {u.m2[b]};
        one.n = {u.n[b]};
        one.log_odds = {u.log_odds[b]};
        EXPECT_EQ(draw(one)[0], x[b]);
    }
}

/* --------------------------------------------------------------------------------------------------------- extremes --- */

TEST_P(PlainDraws, ExtremeInputs) {
    Random random(21);
    for (const oracle::Chain chain : {oracle::Chain::exact, oracle::Chain::merged})
        for (int trial = 0; trial < scaled(200, 20); trial++) {
            const int C = random.integer(1, 9);
            Problem p;
            p.urn.chain = chain;
            for (int c = 0; c < C; c++)
                p.urn.m.push_back(random.integer(0, 3) == 0 ? random.integer(0, 1) : random.integer(0, 2000));
            p.urn.order = random.permutation(C);
            p.rows = random.integer(1, 40);
            const int most = random.integer(0, p.urn.total());
            p.n = random.integer(0, 4) == 0 ? p.urn.total() : most;
            if (random.integer(0, 2) == 0)
                for (int64_t b = 0; b < p.rows; b++) p.n_rows.push_back(random.integer(0, p.n));
            const double spread = random.integer(0, 3) == 0 ? 3e38 : random.integer(0, 1) ? 69 : 3;
            p.log_omega = random.uniforms(random.integer(0, 1) ? C : p.rows * C, -spread, spread);
            const std::vector<int32_t> x = draw(p);
            for (int64_t b = 0; b < p.rows; b++) {
                int64_t total = 0;
                for (int c = 0; c < C; c++) {
                    ASSERT_TRUE(x[b * C + c] >= 0 && x[b * C + c] <= p.urn.m[c]) << trial;
                    total += x[b * C + c];
                }
                ASSERT_EQ(total, p.n_of(b)) << trial;
            }
        }
}

/* Many classes, which a pmf of unnormalised weights would overflow on. */
TEST_P(PlainDraws, ManyClasses) {
    Random random(22);
    Problem p;
    p.urn.chain = oracle::Chain::exact;
    const int C = emulated() ? 60 : 1000;
    for (int c = 0; c < C; c++) p.urn.m.push_back(random.integer(0, 60));
    p.n = p.urn.total() / 3;
    p.log_omega = random.uniforms(C, -2, 2);
    p.rows = scaled(2000, 20);
    const std::vector<int32_t> x = draw(p);
    const Context cpu = make_context({"portable", GURN_DEVICE_CPU, GURN_ISA_PORTABLE, dtype()}, 1);
    const Target portable = {"portable", GURN_DEVICE_CPU, GURN_ISA_PORTABLE, GURN_FLOAT64};
    Problem exact = p;
    exact.rows = 1;
    exact.log_omega = rounded(dtype(), p.log_omega);
    const std::vector<double> mean = Law(cpu.get(), portable, exact).moments(false).mean;
    for (int c = 0; c < C; c++) {
        double sum = 0;
        for (int64_t b = 0; b < p.rows; b++) sum += x[b * C + c];
        /* a count's variance is below m/4 */
        EXPECT_TRUE(std::fabs(sum - p.rows * mean[c]) <= 6 * std::sqrt(p.urn.m[c] * 0.25 * p.rows) + 1e-9) << c;
    }
}

TEST_P(PlainDraws, NoRows) {
    Problem p = urn_of({3, 4}, {}, 2, {0, 1});
    p.rows = 0;
    EXPECT_TRUE(draw(p).empty());
    Univariate u;
    u.rows = 0;
    u.m1 = u.m2 = u.n = {1};
    EXPECT_TRUE(draw(u).empty());
}

/* Seed and offset that the device reads when it works. */
TEST_P(PlainDraws, DeviceSeedAndOffset) {
    Problem p = urn_of({30, 50, 40}, {}, 55, {0, 0.5, 1});
    p.rows = 40;
    p.seed = 0x123456789abcdef0u;
    p.offset = uint64_t(7) << 40;
    p.row0 = 5;
    const std::vector<int32_t> want = draw(p);
    const DeviceArray<uint64_t> given(device(), std::vector<uint64_t>{p.seed, p.offset});
    p.seed = p.offset = 0;
    DrawCall call(context(), GetParam(), p);
    call.inputs.noise.device_seed_offset = given.data();
    EXPECT_EQ(call.run(), GURN_SUCCESS);
    device_synchronize(device());
    EXPECT_EQ(call.out.values(), want);
}

ON_ALL_TARGETS(PlainDraws);
