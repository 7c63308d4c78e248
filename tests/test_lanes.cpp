/*
 * The arithmetic that decides draws (kernels: lanes.h and simd.h, all ..._lanes.h, philox_cpu.h, tilt_cpu.h), function by function:
 * single lanes against long double, the vectors of every instruction set and the lanes of the (emulated) GPU against single
 * lanes, bit by bit; and what the lanes of a warp do together (warp.cuh).
 */
#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>

#include "harness.h"
#include "kernels/plain.h"
#include "kernels/suffix_nodes.h"
#include "level_lanes.h"
#ifdef GURN_TEST_CUDA
#include "device_lanes.h"
#endif
#ifdef GURN_TEST_EMULATED
#include <cuda_runtime.h>
#endif

using gurn_test::Random;

namespace {

using Real = long double;

constexpr int64_t kCount = 4096;

/* The ends of the words, and of either half of them. */
const uint32_t kEnds[] = {0, 1, 2, 0x7FFFFFFE, 0x7FFFFFFF, 0x80000000, 0x80000001, 0xFFFFFFFD, 0xFFFFFFFE, 0xFFFFFFFF};

/* -log2 u of a word r, u = (r + 1/2) / 2^32, by exact whole numbers where u is near 1. */
Real minus_log2_u(uint32_t r) {
    const Real below_one = (static_cast<Real>(~r) + 0.5L) * 0x1p-32L, u = (static_cast<Real>(r) + 0.5L) * 0x1p-32L;
    return r < 0x80000000u ? -log2l(u) : -log1pl(-below_one) / logl(2.0L);
}

/* ---------------------------------------------------------------------------------------------------- single lanes --- */

/* E at the ends is known in closed form: 33 of u = 2^-33, and log2 e (2^-33 + ...) of u = 1 - 2^-33. */
TEST(Lanes, TheLeastAndTheLargestE) {
    const Real least = 1.44269504088896340736L * 0x1p-33L * (1 + 0x1p-34L), largest = 33;
    EXPECT_LE(fabsl(minus_log2_u(0xFFFFFFFF) / least - 1), 1e-18L);
    EXPECT_EQ(minus_log2_u(0), largest);
    EXPECT_LE(fabsl(s_exponential32(0xFFFFFFFF) / least - 1), 4e-7L);
    EXPECT_LE(fabsl(s_exponential32(0) / largest - 1), 4e-7L);
    EXPECT_LE(fabsl(s_exponential64(0xFFFFFFFF) / least - 1), 5e-16L);
    EXPECT_LE(fabsl(s_exponential64(0) / largest - 1), 5e-16L);
    /* On both sides of u = 1/2, where the formula changes hands, E is 1 -+ 2^-32 log2 e. */
    EXPECT_LE(fabsl(s_exponential64(0x7FFFFFFF) - (1 + 1.44269504088896340736L * 0x1p-32L)), 5e-16L);
    EXPECT_LE(fabsl(s_exponential64(0x80000000) - (1 - 1.44269504088896340736L * 0x1p-32L)), 5e-16L);
    EXPECT_LE(fabsl(s_exponential64(1) - (33 - log2l(3.0L))), 33 * 5e-16L);
    /* The oracle's, in nats, is the same variate. */
    for (const uint32_t r : kEnds)
        EXPECT_LE(fabsl(oracle::exponential(r) / (minus_log2_u(r) * logl(2.0L)) - 1), 1e-18L) << r;
}

/* Errors as logmath_lanes.h states them. */
TEST(Lanes, Exponentials) {
    Random random(1);
    std::vector<uint32_t> words(std::begin(kEnds), std::end(kEnds));
    for (int i = 0; i < 200000; i++) words.push_back(random.word() >> (i % 4 == 0 ? random.integer(0, 31) : 0));
    for (int i = 0; i < 100000; i++) words.push_back(~(random.word() >> random.integer(0, 31)));
    Real worst32 = 0, worst64 = 0;
    for (const uint32_t r : words) {
        const Real want = minus_log2_u(r);
        worst32 = std::max(worst32, fabsl(s_exponential32(r) / want - 1));
        worst64 = std::max(worst64, fabsl(s_exponential64(r) / want - 1));
        ASSERT_EQ(s_exponential32_times(r, 0x1p23f), s_exponential32(r) * 0x1p23f) << r;
    }
    EXPECT_TRUE(worst32 <= 4e-7L) << worst32;
    EXPECT_TRUE(worst64 <= 5e-16L) << worst64;
}

TEST(Lanes, PowersAndLogarithms) {
    Random random(2);
    Real of_fixed = 0, of_exp2 = 0, of_log2 = 0, near_one = 0, of_add = 0, of_log2_fixed = 0;
    for (int i = 0; i < 200000; i++) {
        const int32_t d = random.integer(-(125 << 23), 125 << 23);
        of_fixed = std::max(of_fixed, fabsl(s_exp2_fixed(d) / exp2l(d * 0x1p-23L) - 1));
        if (d < 124 << 23) {
            ASSERT_EQ(s_exp2_fixed(d + (1 << 23)), 2 * s_exp2_fixed(d)) << d;
        }
        const float a = std::ldexp(static_cast<float>(random.uniform(1, 2)), random.integer(-125, 125));
        of_log2_fixed = std::max(of_log2_fixed, fabsl(s_log2_fixed(a) * 0x1p-23L - log2l(a)));
        const double x = random.uniform(-1020, 1022), y = std::ldexp(random.uniform(1, 2), random.integer(-1021, 1022)),
                     one = random.uniform(0.75, 1.4);
        of_exp2 = std::max(of_exp2, fabsl(s_exp2_64(x) / exp2l(x) - 1));
        of_log2 = std::max(of_log2, fabsl(s_log2_64(y) - log2l(y)) / std::max<Real>(1, fabsl(log2l(y))));
        near_one = std::max(near_one, fabsl(s_log2_64(one) / log2l(one) - 1));
        const double p = random.uniform(-80, 80), q = p + random.uniform(-60, 60);
        of_add = std::max(of_add, fabsl(s_log2_add(p, q) - log2l(exp2l(p) + exp2l(q))));
    }
    EXPECT_TRUE(of_fixed <= 2e-7L) << of_fixed;
    EXPECT_TRUE(of_log2_fixed <= 2e-7L) << of_log2_fixed;
    EXPECT_TRUE(of_exp2 <= 4e-16L) << of_exp2;
    EXPECT_TRUE(of_log2 <= 2.3e-16L) << of_log2; /* 2e-16, and half an ulp of the sum */
    EXPECT_TRUE(near_one <= 4e-16L) << near_one;
    EXPECT_TRUE(of_add <= 4e-14L) << of_add; /* half an ulp of 140, and of the logarithm */
    EXPECT_EQ(s_exp2_64(-1021.5), 0.0);
    EXPECT_EQ(s_exp2_64(-1021), 0x1p-1021);
    EXPECT_EQ(s_exp2_64(1023), 0x1p1023);
    EXPECT_EQ(s_exp2_64(5000), 0x1p1023);
    EXPECT_EQ(s_exp2_64(INFINITY), 0x1p1023);
    EXPECT_EQ(s_exp2_64(-INFINITY), 0.0);
    EXPECT_TRUE(std::isnan(s_exp2_64(NAN)));
    EXPECT_EQ(s_log2_add(-INFINITY, 7.5), 7.5);
    EXPECT_EQ(s_log2_add(7.5, -INFINITY), 7.5);
    EXPECT_EQ(s_log2_64(1), 0.0);
}

/* Log odds are held to +-200, whatever their size. */
TEST(Lanes, MergedLambda) {
    EXPECT_EQ(s_merged_lambda(3.0, 4.5, 6.25), 3.0 - 4.5 + 6.25);
    EXPECT_EQ(s_merged_lambda(1e6, 0.0, 1.0), 200.0);
    EXPECT_EQ(s_merged_lambda(-1e6, 0.0, 1.0), -200.0);
    EXPECT_EQ(s_merged_lambda(200.0, 0.0, 0.0), 200.0);
    EXPECT_EQ(s_merged_lambda(199.0, 0.0, 0.5), 199.5);
}

/* p and q of odds from 1e-60 to 1e60: each to full relative precision, however small. */
TEST(Lanes, ProbabilitiesOfExtremeOdds) {
    Random random(3);
    Real worst = 0;
    std::vector<double> lambdas = {0, -0.0, 66.438561897747246, -66.438561897747246, 199, -199, 1000, -1000, 53, -53};
    for (int i = 0; i < 20000; i++) lambdas.push_back(random.uniform(-200, 200));
    for (const double lambda : lambdas) {
        double p, q;
        s_odds_to_p(lambda, &p, &q);
        const Real want_p = 1 / (1 + exp2l(-lambda)), want_q = 1 / (1 + exp2l(lambda));
        worst = std::max({worst, fabsl(p / want_p - 1), fabsl(q / want_q - 1)});
    }
    EXPECT_TRUE(worst <= 1e-15L) << worst; /* exp2_64's 4e-16 and three roundings */
}

TEST(Lanes, PlainUniform) {
    EXPECT_EQ(s_plain_uniform(0), 0.0);
    EXPECT_EQ(s_plain_uniform(0x7FF), 0.0);
    EXPECT_EQ(s_plain_uniform(0x800), 0x1p-53);
    EXPECT_EQ(s_plain_uniform(UINT64_MAX), 1 - 0x1p-53);
    EXPECT_EQ(s_plain_uniform(uint64_t(1) << 63), 0.5);
    EXPECT_EQ(s_plain_uniform(0x00000000FFFFFFFFu), 2097151 * 0x1p-53);
    Random random(4);
    for (int i = 0; i < 10000; i++) {
        const uint64_t words = random.word() | static_cast<uint64_t>(random.word()) << 32;
        ASSERT_EQ(s_plain_uniform(words), static_cast<double>(words >> 11) * 0x1p-53) << words;
    }
}

/* Far out on either side, where weights are 1e-12 of their sum: counts that are rare are drawn as often as they should be. */
TEST(Lanes, PlainCountsInTheTails) {
    struct Step {
        int m, rest, n;
        double lambda;
    };
    for (const Step &t : {Step{1000, 1000, 1000, 0}, Step{300, 5000, 400, 2.5}, Step{70, 80, 90, -3}}) {
        const auto log_weight = [&](int k) -> Real {
            return -lgammal(k + 1.0L) - lgammal(t.m - k + 1.0L) - lgammal(t.n - k + 1.0L) -
                   lgammal(t.rest - t.n + k + 1.0L) + k * t.lambda * 0.693147180559945309417L;
        };
        const int low = std::max(0, t.n - t.rest), high = std::min(t.m, t.n),
                  mode = static_cast<int>(s_plain_mode(t.m, t.rest, t.n, t.lambda));
        std::vector<int> order;
        for (int k = mode; k <= high; k++) order.push_back(k);
        const size_t above = order.size();
        for (int k = mode - 1; k >= low; k--) order.push_back(k);
        std::vector<Real> sums;
        Real sum = 0;
        for (const int k : order) sums.push_back(sum += expl(log_weight(k) - log_weight(mode)));
        for (const Real end : {sums[above - 1], sum})
            for (const Real share : {1e-8L, 1e-10L, 1e-12L}) {
                const double u = static_cast<double>((end - share * sum) / sum);
                size_t j = 0;
                while (!(u * sum < sums[j])) j++;
                EXPECT_EQ(s_plain_count(t.m, t.rest, t.n, t.lambda, u), order[j]) << t.m << ' ' << share;
            }
    }
}

/* digamma(z + 1) - log(z (z + 1)) / 2 to 5e-8, as suffix_lanes.h says; digamma by its recurrence from a large z. */
TEST(Lanes, SuffixRemainder) {
    Real worst = 0;
    for (int z = 1; z < 5000; z++) {
        Real digamma = 0, y = z + 1.0L;
        for (; y < 30; y += 1) digamma -= 1 / y;
        const Real v = 1 / (y * y);
        digamma += logl(y) - 0.5L / y - v * (1 / 12.0L - v * (1 / 120.0L - v * (1 / 252.0L - v / 240.0L)));
        const Real want = digamma - 0.5L * (logl(z) + logl(z + 1.0L));
        worst = std::max(worst, fabsl(s_suffix_remainder(static_cast<float>(z)) - want));
    }
    EXPECT_TRUE(worst <= 5e-8L) << worst;
    EXPECT_TRUE(std::isfinite(s_suffix_remainder(0.0f)));
}

/* It solves t^2 = 2 nats (h(0) + h'(0) t) of suffix_lanes.h. */
TEST(Lanes, SuffixReach) {
    Random random(5);
    for (int i = 0; i < 10000; i++) {
        const double inside = std::exp(random.uniform(-20, 15)), outside = std::exp(random.uniform(-20, 15)),
                     nats = random.uniform(10, 150), t = s_suffix_reach(inside, outside, nats),
                     u = inside / (inside + outside),
                     right = 2 * nats * (u * outside + (u * u + (1 - u) * (1 - u)) / 3 * t);
        ASSERT_TRUE(std::fabs(t * t - right) <= 1e-12 * right) << inside << ' ' << outside << ' ' << nats;
        ASSERT_LE(t, gurn_suffix_most_reach(inside, outside, nats) * (1 + 1e-12));
    }
    /* One alone: nothing outside to answer for it, or nothing of its own; h'(0) = 1/3 */
    EXPECT_TRUE(std::fabs(s_suffix_reach(5.0, 0.0, 30.0) - 2 * 30.0 / 3) <= 1e-12);
    EXPECT_TRUE(std::fabs(s_suffix_reach(0.0, 5.0, 30.0) - 2 * 30.0 / 3) <= 1e-12);
    EXPECT_TRUE(std::isfinite(s_suffix_reach(0.0, 0.0, 30.0)));
}

/* Newton's polynomial gives the numbers whose differences it was made from. */
TEST(Lanes, SuffixPolynomial) {
    const double y[GURN_SUFFIX_NODES] = {0, 3000, 5500, 9100, 15100, 21000, 24000, 20000};
    double d[GURN_SUFFIX_NODES];
    float difference[16] = {};
    std::copy(std::begin(y), std::end(y), d);
    for (int l = 1; l < GURN_SUFFIX_NODES; l++)
        for (int t = GURN_SUFFIX_NODES - 1; t >= l; t--) d[t] -= d[t - 1];
    for (int l = 0; l < GURN_SUFFIX_NODES; l++) difference[l] = static_cast<float>(d[l]);
    for (int t = 0; t < GURN_SUFFIX_NODES; t++) {
        EXPECT_TRUE(std::fabs(s_suffix_polynomial(static_cast<float>(t), difference) - y[t]) <= 0.25) << t;
        double lagrange = 1; /* and the weights are Lagrange's */
        for (int s = 0; s < GURN_SUFFIX_NODES; s++)
            if (s != t) lagrange *= t - s;
        EXPECT_TRUE(std::fabs(gurn_suffix_nodes_weight(t) * lagrange - 1) <= 1e-6) << t;
    }
    EXPECT_EQ(s_suffix_between(3.0f, difference), static_cast<int32_t>(s_suffix_polynomial(3.0f, difference)));
}

/* ------------------------------------------------------------------------------------------------ inputs of the list --- */

struct Column {
    std::vector<uint8_t> bytes;
    size_t size = 0;
    template <class T>
    static Column of(const std::vector<T> &values) {
        Column c;
        c.size = sizeof(T);
        c.bytes.resize(values.size() * sizeof(T));
        memcpy(c.bytes.data(), values.data(), c.bytes.size());
        return c;
    }
    template <class T>
    T at(int64_t i) const {
        T value;
        memcpy(&value, bytes.data() + i * sizeof(T), sizeof(T));
        return value;
    }
};

struct Case {
    std::vector<Column> in;
    size_t out_size = 0;
    std::vector<const void *> pointers() const {
        std::vector<const void *> p;
        for (const Column &c : in) p.push_back(c.bytes.data());
        return p;
    }
};

template <class T, class Make>
Column column(const std::vector<T> &first, const Make &make) {
    std::vector<T> values = first;
    while (values.size() < kCount) values.push_back(make());
    return Column::of(values);
}

Case inputs_of(const std::string &name) {
    Random random(7);
    const auto any32 = [&] { return random.word(); };
    const auto any64 = [&] { return random.word() | static_cast<uint64_t>(random.word()) << 32; };
    const auto real = [&](double lo, double hi) { return [&random, lo, hi] { return random.uniform(lo, hi); }; };
    const auto real32 = [&](double lo, double hi) {
        return [&random, lo, hi] { return static_cast<float>(random.uniform(lo, hi)); };
    };
    /* Of all sizes, and near a half of the last bit in sums of products. */
    const auto scaled32 = [&] {
        const float a = std::ldexp(static_cast<float>(random.integer(-(1 << 24), 1 << 24)), random.integer(-40, 16));
        return a == 0 ? 1.0f : a;
    };
    const auto scaled64 = [&] { return std::ldexp(random.uniform(-1, 1), random.integer(-60, 60)); };
    const std::vector<uint32_t> ends(std::begin(kEnds), std::end(kEnds));
    const std::vector<uint64_t> ends64(ends.begin(), ends.end());
    const std::vector<int32_t> mask32 = {0,  -1, -1, 0,  0, 0, 0, 0, -1, -1, -1, -1,
                                         -1, -1, -1, -1, 0, 0, 0, 0, 0,  0,  0,  0};
    const auto mask = [&]() -> int32_t { return random.word() % 2 ? -1 : 0; };
    const auto rarely = [&]() -> int32_t { return random.word() % 40 ? 0 : -1; };
    const double inf = INFINITY, nan = NAN;

    /* An urn's step: m, m_R, n, log odds. */
    const auto step = [&](double most, double odds) {
        std::vector<double> m, rest, n, lambda;
        for (int64_t i = 0; i < kCount; i++) {
            m.push_back(std::floor(random.uniform(0, i % 3 ? most : 12)));
            rest.push_back(std::floor(random.uniform(i % 5 ? 1 : 0, i % 4 ? most : 12)));
            n.push_back(std::floor(random.uniform(0, m.back() + rest.back() + 1)));
            lambda.push_back(i % 7 ? random.uniform(-5, 5) : random.uniform(-odds, odds));
            if (i % 11 == 0) lambda.back() = 0;
        }
        return std::vector<Column>{Column::of(m), Column::of(rest), Column::of(n), Column::of(lambda)};
    };

    if (name == "to_f32")
        return {
            {column<int32_t>({0, 1, -1, (1 << 24) + 1, (1 << 24) + 3, -(1 << 24) - 1, INT32_MAX, INT32_MIN}, any32)},
            4};
    if (name == "truncate32")
        return {{column<float>({0, 0.5f, -0.5f, 0.99999994f, -0.99999994f, 2147483520.0f, -2147483648.0f, 1e-40f},
                               real32(-1e6, 1e6))},
                4};
    if (name == "to_f64") {
        const int64_t top = int64_t(1) << 51;
        return {{column<int64_t>({0, 1, -1, top - 1, 1 - top, 12345678901},
                                 [&] { return static_cast<int64_t>(any64()) >> 13; })},
                8};
    }
    if (name == "sign32") return {{column<int32_t>({0, 1, -1, INT32_MAX, INT32_MIN}, any32)}, 4};
    if (name == "sign64")
        return {{column<int64_t>({0, 1, -1, INT64_MAX, INT64_MIN, 1LL << 31, -(1LL << 31)}, any64)}, 8};
    if (name == "bits32") return {{column<float>({0, 1, -1}, scaled32)}, 4};
    if (name == "from_bits32")
        return {{column<uint32_t>({0x3F800000u, 0xBF800000u}, [&] { return any32() & 0xBF7FFFFFu; })}, 4};
    if (name == "bits64") return {{column<double>({0, 1, -1}, scaled64)}, 8};
    if (name == "from_bits64")
        return {{column<uint64_t>({0x3FF0000000000000u}, [&] { return any64() & 0xBFEFFFFFFFFFFFFFu; })}, 8};
    if (name == "one_if_negative32")
        return {
            {column<float>({0, 1, -1, 1e-45f, -1e-45f, static_cast<float>(inf), -static_cast<float>(inf)}, scaled32)},
            4};
    if (name == "sqrt64") return {{column<double>({0, 1, 2, 1e-300, 1e300, inf}, real(0, 1e6))}, 8};
    if (name == "min32" || name == "max32")
        return {{column<float>({1, 2, -1, static_cast<float>(inf), 3}, scaled32),
                 column<float>({2, 1, -1, 5, -static_cast<float>(inf)}, scaled32)},
                4};
    if (name == "div64")
        return {{column<double>({1, 0, 1, inf, 5e-324}, scaled64), column<double>({3, 1, inf, 2, 2}, scaled64)}, 8};
    if (name == "fma32") /* with sums that cancel; the last four are a hair from half way between two floats */
        return {{column<float>({1 + 0x1p-23f, 1 + 0x1p-12f, 3, 0x1p-100f, 1e30f, 4097, 0x1.000002p0f, 1 + 0x1p-12f,
                                1 + 0x1p-12f, -1 - 0x1p-12f, 1 + 0x1p-12f},
                               scaled32),
                 column<float>({1 - 0x1p-23f, 1 + 0x1p-12f, 1, 0x1p-30f, 1e30f, 4097, 0x1.000002p0f, 1 + 0x1p-12f,
                                1 + 0x3p-12f, 1 + 0x1p-12f, -1 - 0x3p-12f},
                               scaled32),
                 column<float>({-1, -1 - 0x1p-11f, 0x1p24f, 0x1p-149f, 1e30f, 1, 0x1p-60f, 0x1p-60f, -0x1p-60f,
                                -0x1p-60f, 0x1p-60f},
                               scaled32)},
                4};
    if (name == "fma64")
        return {{column<double>({1 + 0x1p-52, 3}, scaled64), column<double>({1 - 0x1p-52, 1}, scaled64),
                 column<double>({-1, 0x1p53}, scaled64)},
                8};
    if (name == "if_less64")
        return {{column<double>({1, 2, 2, nan, 1, -0.0, -inf}, scaled64),
                 column<double>({2, 1, 2, 1, nan, 0, inf}, scaled64), column<double>({}, scaled64),
                 column<double>({}, scaled64)},
                8};
    if (name == "exponential32" || name == "exponential32_scaled") return {{column<uint32_t>(ends, any32)}, 4};
    if (name == "exponential64") return {{column<uint64_t>(ends64, any32)}, 8};
    if (name == "exp2_fixed")
        return {{column<int32_t>({0, 1, -1, 1 << 23, -(1 << 23), (126 << 23) - 1, 1 - (126 << 23), GURN_COST_CEILING},
                                 [&] { return random.integer(-(125 << 23), 125 << 23); })},
                4};
    if (name == "log2_fixed")
        return {
            {column<float>({1, 2, 0.5f, 0x1p-126f, 0x1.fffffep127f, 1.41421354f, 1.41421366f, 0.70710677f, 0.70710683f},
                           [&] { return std::fabs(scaled32()); })},
            4};
    if (name == "log2_64")
        return {{column<double>({1, 2, 0x1p-1022, 1.7e308, 1.4142135623730951, 1.414213562373095, 0.7071067811865476},
                                [&] { return std::fabs(scaled64()) + 1e-300; })},
                8};
    if (name == "exp2_64")
        return {{column<double>({0, 1, 0.5, -0.5, -1021, -1021.5, 1023, 1024, inf, -inf, nan}, real(-1030, 1030))}, 8};
    if (name == "log2_add")
        return {{column<double>({-inf, 1, 1, 0, 1000}, real(-70, 70)),
                 column<double>({1, -inf, 1, 80, -1000}, real(-70, 70))},
                8};
    if (name == "merged_lambda")
        return {{column<double>({1e6, -1e6, 200}, real(-220, 220)), column<double>({0, 0, 7.5}, real(-20, 20))}, 8};
    if (name == "mode_root") return {step(3e7, 200), 8};
    if (name == "plain_mode") return {step(3e7, 200), 8};
    if (name == "plain_count") {
        std::vector<Column> in = step(400, 200);
        in.push_back(column<double>({0, 1 - 0x1p-53, 0.5}, real(0, 1 - 0x1p-53)));
        return {in, 8};
    }
    if (name == "plain_uniform") return {{column<uint64_t>({0, 0x7FF, 0x800, UINT64_MAX, 1ull << 63}, any64)}, 8};
    if (name == "suffix_reach")
        return {{column<double>({0, 5, 0, 1e7}, real(0, 100)), column<double>({5, 0, 0, 1e7}, real(0, 1000)),
                 column<double>({}, real(20, 200))},
                8};
    if (name == "suffix_nats") return {{column<double>({0, 1, 1e7}, real(0, 1000))}, 8};
    if (name == "suffix_remainder")
        return {{column<float>({0, 1, 2, 6e7f}, [&] { return std::floor(real32(0, 3000)()); })}, 4};
    if (name == "suffix_slope")
        return {
            {column<float>({0}, real32(-1e9, 1e9)), column<float>({1}, [&] { return std::floor(real32(1, 3000)()); }),
             column<float>({1}, [&] { return std::floor(real32(1, 3000)()); })},
            4};
    if (name == "suffix_polynomial" || name == "suffix_between")
        return {{column<float>({0, 1, 7}, real32(-0.5, 7.5))}, 4};
    if (name == "panel_scaled")
        return {{column<double>({}, real(-40, 40)), column<double>({0}, [&] { return std::floor(real(-50, 50)()); })},
                8};
    if (name == "panel_value")
        return {
            {column<double>({1}, real(1e-9, 100)), column<double>({0}, [&] { return std::floor(real(-50, 50)()); })},
            8};
    if (name == "odds_to_p" || name == "odds_to_q")
        return {{column<double>({0, 66.5, -66.5, 200, -200, 1000, -1000}, real(-200, 200))}, 8};

    if (name == "select32")
        return {{column<int32_t>(mask32, mask), column<float>({}, scaled32), column<float>({}, scaled32)}, 4};
    if (name == "select_i32")
        return {{column<int32_t>(mask32, mask), column<int32_t>({}, any32), column<int32_t>({}, any32)}, 4};
    if (name == "select64")
        return {{column<int64_t>({0, -1}, mask), column<double>({}, scaled64), column<double>({}, scaled64)}, 8};
    if (name == "min_i32")
        return {{column<int32_t>({INT32_MIN, INT32_MAX, 1, -1}, any32),
                 column<int32_t>({INT32_MAX, INT32_MIN, 1, 1}, any32)},
                4};
    if (name == "mul_low32" || name == "pack_halves" || name == "pairs_even" || name == "pairs_odd")
        return {{column<uint64_t>({0, UINT64_MAX, 0xFFFFFFFFu, 1ull << 32}, any64),
                 column<uint64_t>({UINT64_MAX, UINT64_MAX, 0xFFFFFFFFu, 1ull << 32}, any64)},
                8};
    if (name == "lane_index") return {{}, 4};
    if (name == "reversed" || name == "exchange_1" || name == "exchange_2") return {{column<float>({}, scaled32)}, 4};
    if (name == "sum32")
        return {{column<float>({}, [&] { return static_cast<float>(random.integer(-1000, 1000)); })}, 4};
    if (name == "least32")
        return {{column<float>({}, [&] { return static_cast<float>(random.integer(-5000, 5000)); })}, 4};
    if (name == "count_of_least") /* few values: ties */
        return {{column<float>({}, [&] { return static_cast<float>(random.integer(1, 3)); }),
                 column<int32_t>({}, [&] { return random.integer(0, 1000); })},
                4};
    if (name == "any32") return {{column<int32_t>(mask32, rarely)}, 4};
    if (name == "any_less64" || name == "any_at_most64") /* true in few vectors, by one lane; equal in some */
        return {{column<double>({}, [&] { return random.word() % 9   ? 2.0
                                                 : random.word() % 3 ? 1.0
                                                                     : 0.5; }),
                 column<double>({}, [&] { return 1.0; })},
                8};
    if (name == "reciprocal32" || name == "rough_reciprocal32" || name == "rough_sqrt32" || name == "fast_log2")
        return {{column<float>({1, 2, 0x1p-100f, 0x1p100f}, [&] { return std::fabs(scaled32()); })}, 4};
    if (name == "fast_exp2")
        return {{column<float>({0, 1, -1, 126, -126, 500, -500, 0.5f, -0.5f}, real32(-126, 126))}, 4};
    ADD_FAILURE() << "no inputs for " << name;
    return {};
}

/* ------------------------------------------------------------------------------------------------------------ levels --- */

struct Level {
    gurn_isa isa;
    const level_lanes *lanes;
};
const char *name_of(gurn_isa isa) {
    static const char *const names[] = {"auto", "portable", "avx2", "avx512", "neon"};
    return names[isa];
}
void PrintTo(const Level &level, std::ostream *os) { *os << name_of(level.isa); }

class LevelLanes : public testing::TestWithParam<Level> {
protected:
    void SetUp() override {
        gurn_status status;
        const gurn_test::Context context =
            gurn_test::make_context({"", GURN_DEVICE_CPU, GetParam().isa, GURN_FLOAT32}, 1, &status);
        if (status == GURN_UNSUPPORTED) GTEST_SKIP() << "this machine has no such instructions";
        ASSERT_EQ(status, GURN_SUCCESS);
    }
    const level_lanes &lanes() const { return *GetParam().lanes; }
};

const Level kLevels[] = {
    {GURN_ISA_PORTABLE, &level_lanes_portable},
#ifdef GURN_TEST_LEVEL_avx2
    {GURN_ISA_AVX2, &level_lanes_avx2},
#endif
#ifdef GURN_TEST_LEVEL_avx512
    {GURN_ISA_AVX512, &level_lanes_avx512},
#endif
#ifdef GURN_TEST_LEVEL_neon
    {GURN_ISA_NEON, &level_lanes_neon},
#endif
};

/* Whether two results are the same: bits, or NaN both. */
bool same(const uint8_t *a, const uint8_t *b, size_t size) {
    if (memcmp(a, b, size) == 0) return true;
    float f[2];
    double d[2];
    memcpy(size == 4 ? static_cast<void *>(&f[0]) : &d[0], a, size);
    memcpy(size == 4 ? static_cast<void *>(&f[1]) : &d[1], b, size);
    return size == 4 ? f[0] != f[0] && f[1] != f[1] : d[0] != d[0] && d[1] != d[1];
}

}  // namespace

TEST_P(LevelLanes, VectorsHaveTheBitsOfSingleLanes) {
    int compared = 0;
    for (const level_op *op = lanes().ops; op->name; op++) {
        if (!op->scalar) continue;
        SCOPED_TRACE(op->name);
        const Case c = inputs_of(op->name);
        std::vector<uint8_t> got(kCount * c.out_size), want(kCount * c.out_size);
        op->vector(c.pointers().data(), got.data(), kCount);
        op->scalar(c.pointers().data(), want.data(), kCount);
        for (int64_t i = 0; i < kCount; i++)
            ASSERT_TRUE(same(&got[i * c.out_size], &want[i * c.out_size], c.out_size)) << "element " << i;
        compared++;
    }
    EXPECT_EQ(compared, 39);
}

/* What only vectors have, against what simd.h says of it. Lanes are taken in vectors from element 0 on. */
TEST_P(LevelLanes, OperationsOfVectors) {
    int judged = 0;
    for (const level_op *op = lanes().ops; op->name; op++) {
        if (op->scalar) continue;
        SCOPED_TRACE(op->name);
        const std::string name = op->name;
        const Case c = inputs_of(name);
        std::vector<uint8_t> got(kCount * c.out_size);
        op->vector(c.pointers().data(), got.data(), kCount);
        const int n = c.out_size == 4 ? lanes().lanes : lanes().lanes / 2;
        const Column out = Column::of(got);
        for (int64_t i = 0; i < kCount; i++) {
            const int64_t first = i / n * n, l = i - first; /* of its vector; the lane */
            const auto f = [&](int j, int64_t at) { return c.in[j].at<float>(at); };
            const auto w = [&](int j, int64_t at) { return c.in[j].at<int32_t>(at); };
            const auto u = [&](int j, int64_t at) { return c.in[j].at<uint64_t>(at); };
            const auto d = [&](int j, int64_t at) { return c.in[j].at<double>(at); };
            const auto near = [&](double want, double relative) {
                const double value = out.at<float>(i);
                return std::fabs(value - want) <= relative * std::fabs(want);
            };
            const auto any = [&](auto &&holds) {
                bool some = false;
                for (int64_t at = first; at < first + n; at++) some |= holds(at);
                return some;
            };
            bool right = false;
            if (name == "select32") right = out.at<float>(i) == (w(0, i) ? f(1, i) : f(2, i));
            if (name == "select_i32") right = out.at<int32_t>(i) == (w(0, i) ? w(1, i) : w(2, i));
            if (name == "select64") right = out.at<double>(i) == (u(0, i) ? d(1, i) : d(2, i));
            if (name == "max32") right = out.at<float>(i) == std::max(f(0, i), f(1, i));
            if (name == "min_i32") right = out.at<int32_t>(i) == std::min(w(0, i), w(1, i));
            if (name == "mul_low32") right = out.at<uint64_t>(i) == (u(0, i) & 0xFFFFFFFFu) * (u(1, i) & 0xFFFFFFFFu);
            if (name == "pack_halves") right = out.at<uint64_t>(i) == ((u(0, i) & 0xFFFFFFFFu) | u(1, i) << 32);
            /* lanes 0, 2, ... (or 1, 3, ...) of both, a before b */
            if (name == "pairs_even") right = out.at<uint64_t>(i) == u(l % 2, first + (l & ~1));
            if (name == "pairs_odd") right = out.at<uint64_t>(i) == u(l % 2, first + (l | 1));
            if (name == "reversed") right = out.at<float>(i) == f(0, first + n - 1 - l);
            if (name == "exchange_1") right = out.at<float>(i) == f(0, first + (l ^ 1));
            if (name == "exchange_2") right = out.at<float>(i) == f(0, first + (l ^ 2));
            if (name == "lane_index") right = out.at<int32_t>(i) == l;
            if (name == "sum32") {
                float sum = 0;
                for (int64_t at = first; at < first + n; at++) sum += f(0, at);
                right = out.at<float>(i) == sum;
            }
            if (name == "least32" || name == "count_of_least") {
                float least = INFINITY;
                for (int64_t at = first; at < first + n; at++) least = std::min(least, f(0, at));
                int32_t count = INT32_MAX;
                for (int64_t at = first; name != "least32" && at < first + n; at++)
                    if (f(0, at) == least) count = std::min(count, w(1, at));
                right = name == "least32" ? out.at<float>(i) == least : out.at<int32_t>(i) == count;
            }
            if (name == "any32") right = (out.at<int32_t>(i) != 0) == any([&](int64_t at) { return w(0, at) != 0; });
            if (name == "any_less64")
                right = (out.at<int64_t>(i) != 0) == any([&](int64_t at) { return d(0, at) < d(1, at); });
            if (name == "any_at_most64")
                right = (out.at<int64_t>(i) != 0) == any([&](int64_t at) { return d(0, at) <= d(1, at); });
            if (name == "reciprocal32") right = near(1 / static_cast<double>(f(0, i)), 0x1p-21);
            if (name == "rough_reciprocal32") right = near(1 / static_cast<double>(f(0, i)), 0x1p-11);
            if (name == "rough_sqrt32") right = near(std::sqrt(static_cast<double>(f(0, i))), 0x1p-11);
            if (name == "fast_log2")
                right = std::fabs(out.at<float>(i) - std::log2(static_cast<double>(f(0, i)))) <= 2e-7 + 1e-7 * 128;
            if (name == "fast_exp2")
                right = near(std::exp2(std::clamp(f(0, i), -126.0f, 126.0f)),
                             3.5e-6); /* the next term of the series, at +-1/2 */
            ASSERT_TRUE(right) << "element " << i << ", lane " << l;
        }
        judged++;
    }
    EXPECT_EQ(judged, 24);
}

/* E at the ends of the words in every lane of a vector, by its closed form. */
TEST_P(LevelLanes, TheLeastAndTheLargestE) {
    const level_op *wanted[2] = {};
    for (const level_op *op = lanes().ops; op->name; op++) {
        if (strcmp(op->name, "exponential32") == 0) wanted[0] = op;
        if (strcmp(op->name, "exponential64") == 0) wanted[1] = op;
    }
    ASSERT_TRUE(wanted[0] && wanted[1]);
    for (int lane = 0; lane < LEVEL_LANES_MOST; lane++)
        for (const uint32_t end : kEnds) {
            std::vector<uint32_t> words(LEVEL_LANES_MOST, 12345);
            words[lane] = end;
            const std::vector<uint64_t> wide(words.begin(), words.end());
            float e32[LEVEL_LANES_MOST];
            double e64[LEVEL_LANES_MOST];
            const void *in[1] = {words.data()}, *in64[1] = {wide.data()};
            wanted[0]->vector(in, e32, LEVEL_LANES_MOST);
            wanted[1]->vector(in64, e64, LEVEL_LANES_MOST);
            for (int l = 0; l < LEVEL_LANES_MOST; l++) {
                const Real want = minus_log2_u(words[l]);
                ASSERT_TRUE(fabsl(e32[l] / want - 1) <= 4e-7L) << words[l];
                ASSERT_TRUE(fabsl(e64[l] / want - 1) <= 5e-16L) << words[l];
            }
        }
}

/* The words of consecutive counts, and of consecutive rows: the oracle's, wherever they begin. */
TEST_P(LevelLanes, WordsOfNoise) {
    const uint64_t seeds[] = {0, 1, 0xfedcba9876543210u},
                   rows[] = {0, 5, 0xFFFFFFFFu, uint64_t(1) << 32, ~uint64_t(0) - 40};
    for (const uint64_t seed : seeds)
        for (const uint64_t row : rows) {
            for (const int32_t vectors : {1, 2, 3, 4, 5, 9})
                for (const int32_t first : {0, 16, 48, 1600}) {
                    std::vector<uint32_t> words(static_cast<size_t>(vectors) * 2 * LEVEL_LANES_MOST);
                    const int stride = lanes().philox_fill(seed, 1u << 24 | 7, row, first, vectors, words.data());
                    ASSERT_EQ(stride, 2 * lanes().lanes);
                    for (int32_t j = 0; j < vectors * stride; j++)
                        ASSERT_EQ(words[j], oracle::word(seed, row, 1, 7, static_cast<uint32_t>(first + j)))
                            << "seed " << seed << " row " << row << " first " << first << " word " << j;
                }
            for (const uint32_t x : {0u, 1u, 77u}) {
                uint64_t pairs[2][LEVEL_LANES_MOST / 2];
                lanes().philox_rows(seed, x, 2u << 24 | 1, row, pairs[0], pairs[1]);
                for (int l = 0; l < lanes().lanes / 2; l++)
                    for (uint32_t k = 0; k < 4; k++)
                        ASSERT_EQ(static_cast<uint32_t>(pairs[k / 2][l] >> (k % 2 ? 32 : 0)),
                                  oracle::word(seed, row + static_cast<uint64_t>(l), 2, 1, 4 * x + k))
                            << "seed " << seed << " row " << row << " lane " << l << " word " << k;
            }
        }
}

/*
 * The tilt of urns whose odds lie up to 1e40 apart, by a row of classes and by 16 rows: the same bits, and what tilt.h says:
 * the means sum to n within 2^-20 standard deviations, or the rounding of a class's mean; p and q to full precision, and so
 * the variance, however small.
 */
TEST_P(LevelLanes, TiltsOfExtremeOdds) {
    Random random(8);
    for (int trial = 0; trial < 300; trial++) {
        const int C = trial < 4 ? trial + 2 : random.integer(1, 70), R = 16;
        const double spread = trial % 3 == 0 ? 66.43856 : trial % 3 == 1 ? 10 : 1; /* log2 of 1e20 */
        const int64_t padded = (C + 15) / 16 * 16;
        std::vector<double> m(padded, 0.0), a(static_cast<size_t>(C) * R), n(R), ell(R), mean(a.size()), q(a.size());
        double total = 0;
        for (int c = 0; c < C; c++) total += m[c] = random.integer(c % 5 == 3 ? 0 : 1, trial % 2 ? 40 : 100000);
        if (total < 2) continue;
        for (double &v : a) v = trial % 3 == 0 ? spread * random.integer(-1, 1) : random.uniform(-spread, spread);
        for (double &v : n) v = random.integer(1, static_cast<int>(total) - 1);
        lanes().tilt_rows(a.data(), m.data(), n.data(), C, total, ell.data(), mean.data(), q.data());
        for (int r = 0; r < R; r++) {
            std::vector<double> own(padded, 0.0), p_row(padded), q_row(padded);
            for (int c = 0; c < C; c++) own[c] = a[static_cast<size_t>(c) * R + r];
            double variance;
            const double one =
                lanes().tilt_row(own.data(), m.data(), C, n[r], total, p_row.data(), q_row.data(), &variance);
            ASSERT_EQ(one, ell[r]) << "trial " << trial << " row " << r;
            Real sum = 0, spread_of_sum = 0;
            for (int c = 0; c < C; c++) {
                const Real lambda = std::clamp<Real>(static_cast<Real>(own[c] + one), -200, 200);
                const Real p = 1 / (1 + exp2l(-lambda)), rest = 1 / (1 + exp2l(lambda));
                const size_t at = static_cast<size_t>(c) * R + r;
                /* exp2_64's 4e-16 and three roundings */
                ASSERT_TRUE(fabsl(p_row[c] / p - 1) <= 1e-15L && fabsl(q_row[c] / rest - 1) <= 1e-15L)
                    << "trial " << trial << " row " << r << " class " << c;
                ASSERT_TRUE(fabsl(mean[at] - m[c] * p) <= 2e-15L * m[c] * p && q[at] == q_row[c])
                    << "trial " << trial << " row " << r << " class " << c;
                sum += m[c] * p;
                spread_of_sum += m[c] * p * rest;
            }
            ASSERT_TRUE(fabsl(variance / spread_of_sum - 1) <= 1e-13L) << variance << " for " << spread_of_sum;
            /* 2^-46 n, the mean's own rounding, and what bisection down to neighbouring ell leaves: an ulp of ell, 2^-45 */
            ASSERT_TRUE(fabsl(sum - n[r]) <=
                        0x1.01p-20L * sqrtl(spread_of_sum) + 0x1p-45L * n[r] + 0x1p-44L * spread_of_sum)
                << static_cast<double>(sum) << " for " << n[r] << " trial " << trial << " row " << r;
        }
    }
}

static std::string level_name(const testing::TestParamInfo<Level> &info) { return name_of(info.param.isa); }
INSTANTIATE_TEST_SUITE_P(All, LevelLanes, testing::ValuesIn(kLevels), level_name);

/* ------------------------------------------------------------------------------------------------------------ device --- */

#ifdef GURN_TEST_CUDA

namespace {

class DeviceLanes : public testing::Test {
protected:
    void SetUp() override {
        gurn_status status;
        const gurn_test::Context context =
            gurn_test::make_context({"", GURN_DEVICE_CUDA, GURN_ISA_AUTO, GURN_FLOAT32}, 0, &status);
        if (status == GURN_NO_DEVICE) GTEST_SKIP() << "no CUDA device";
        ASSERT_EQ(status, GURN_SUCCESS);
    }
};

/* The order in which warp.cuh adds: of the lanes of a tile, those half of it away first, as tilt.h has it. */
double tile_sum(const std::vector<gurn_test::WarpInput> &in, int first, int tile) {
    std::vector<double> sums;
    for (int l = 0; l < tile; l++) sums.push_back(in[first + l].real);
    for (int half = tile / 2; half > 0; half /= 2)
        for (int l = 0; l < half; l++) sums[l] += sums[l + half];
    return sums[0];
}

const level_op *portable_op(const char *name) {
    for (const level_op *op = level_lanes_portable.ops; op->name; op++)
        if (strcmp(op->name, name) == 0) return op;
    return nullptr;
}

}  // namespace

TEST_F(DeviceLanes, HaveTheBitsOfTheHost) {
    for (const gurn_test::DeviceOp &device : gurn_test::device_ops()) {
        SCOPED_TRACE(device.name);
        const level_op *host = portable_op(device.name);
        ASSERT_TRUE(host && host->scalar);
        const Case c = inputs_of(device.name);
        ASSERT_EQ(c.out_size, device.out_size);
        ASSERT_EQ(c.in.size(), static_cast<size_t>(device.inputs));
        for (int j = 0; j < device.inputs; j++) ASSERT_EQ(c.in[j].size, device.in_size[j]);
        std::vector<uint8_t> got(kCount * c.out_size), want(kCount * c.out_size);
        device.run(c.pointers().data(), got.data(), kCount);
        host->scalar(c.pointers().data(), want.data(), kCount);
        for (int64_t i = 0; i < kCount; i++)
            ASSERT_TRUE(same(&got[i * c.out_size], &want[i * c.out_size], c.out_size)) << "element " << i;
    }
}

/* E at the ends of the words, by its closed form. */
TEST_F(DeviceLanes, TheLeastAndTheLargestE) {
    for (const gurn_test::DeviceOp &op : gurn_test::device_ops()) {
        const bool narrow = strcmp(op.name, "exponential32") == 0;
        if (!narrow && strcmp(op.name, "exponential64") != 0) continue;
        const int count = static_cast<int>(std::size(kEnds));
        const std::vector<uint64_t> wide(std::begin(kEnds), std::end(kEnds));
        const void *in[1] = {narrow ? static_cast<const void *>(kEnds) : wide.data()};
        std::vector<float> e32(count);
        std::vector<double> e64(count);
        op.run(in, narrow ? static_cast<void *>(e32.data()) : e64.data(), count);
        for (int i = 0; i < count; i++) {
            const Real want = minus_log2_u(kEnds[i]), got = narrow ? e32[i] : e64[i];
            EXPECT_TRUE(fabsl(got / want - 1) <= (narrow ? 4e-7L : 5e-16L)) << kEnds[i];
        }
    }
}

/* Sums, least values and predicates of tiles of 2 to 32 lanes, and of blocks, whatever the order in which lanes run. */
TEST_F(DeviceLanes, WhatAWarpDoesTogether) {
    for (int seed = 0; seed < 4; seed++) {
#ifdef GURN_TEST_EMULATED
        emu::set_seed(static_cast<uint64_t>(seed));
#endif
        for (const int lanes : {2, 4, 8, 16, 32, 64, 128, 256}) {
            SCOPED_TRACE(testing::Message() << lanes << " lanes, seed " << seed);
            Random random(static_cast<uint64_t>(100 * seed + lanes));
            const int threads = lanes <= 32 ? 96 : lanes, tile = std::min(lanes, 32), uniform = std::max(lanes, 32);
            std::vector<gurn_test::WarpInput> in(threads);
            const int some = random.integer(0, threads - 1); /* one thread for which the predicate holds */
            for (int t = 0; t < threads; t++) {
                in[t].value = random.integer(-50, 50); /* ties too */
                in[t].real = seed % 2 ? random.uniform(-1, 1) * random.uniform(0, 1) : random.integer(-6, 6) * 0.125;
                in[t].holds = t == some;
                in[t].source = t % tile == 0 ? random.integer(0, tile - 1) : in[t - 1].source;
            }
            const std::vector<gurn_test::WarpResult> out = gurn_test::run_warp(lanes, in);
            for (int t = 0; t < threads; t++) {
                const int first = t / lanes * lanes, first_of_tile = t / tile * tile;
                int64_t sum = 0, before = 0, least = INT64_MAX;
                double real_sum = tile_sum(in, first, tile), real_least = INFINITY;
                for (int warp = first + tile; warp < first + lanes; warp += tile) real_sum += tile_sum(in, warp, tile);
                int32_t argmin = 0;
                for (int j = first; j < first + lanes; j++) {
                    sum += in[j].value;
                    if (j < t) before += in[j].value;
                    least = std::min(least, in[j].value);
                    if (in[j].real < real_least) {
                        real_least = in[j].real;
                        argmin = j;
                    }
                }
                ASSERT_EQ(out[t].from, in[first_of_tile + in[t].source].value) << "thread " << t;
                ASSERT_EQ(out[t].pair, in[t ^ 1].value) << "thread " << t;
                ASSERT_EQ(out[t].any, some / uniform == t / uniform) << "thread " << t;
                ASSERT_EQ(out[t].any_none, 0) << "thread " << t;
                ASSERT_EQ(out[t].sum, sum) << "thread " << t;
                ASSERT_EQ(out[t].before, before) << "thread " << t;
                ASSERT_EQ(out[t].total, sum) << "thread " << t;
                ASSERT_EQ(out[t].least, least) << "thread " << t;
                ASSERT_EQ(out[t].real_sum, real_sum) << "thread " << t;
                ASSERT_EQ(out[t].real_least, real_least) << "thread " << t;
                ASSERT_EQ(out[t].argmin_value, real_least) << "thread " << t;
                ASSERT_EQ(out[t].argmin, argmin) << "thread " << t;
            }
        }
    }
#ifdef GURN_TEST_EMULATED
    emu::set_seed(0);
#endif
}

#endif
