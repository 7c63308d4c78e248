/*
 * The digits of the law where double arithmetic loses them: against values of many more digits (tests/data/law_digits.txt, which
 * scripts/make_law_digits.py makes), against sums over all counts of small urns in long double, and where the answer is known
 * exactly. And plans for the law alone, which need no tables for it.
 */
#include <algorithm>
#include <cfloat>
#include <cmath>

#include "call.h"
#include "golden.h"
#include "law_call.h"

using namespace gurn_test;

namespace {

#define EXPECT_NEARBY(value, want, tol) \
    EXPECT_TRUE(std::fabs((value) - (want)) <= (tol)) << (value) << " for " << (want) << " within " << (tol)

class LawDigits : public OnTarget {
protected:
    Law law(const Problem &p) { return Law(context(), GetParam(), p, 0, GURN_PLAN_LAW); }
    /* What gumbelurn.h promises of float64; float32 rounds the result. */
    double limit(double promised, double value) const {
        return promised + (float32() ? 0x1p-24 * std::fabs(value) + 0x1p-149 : 0);
    }
    /* Whether the case's numbers are those of a plan of this dtype. */
    bool holds(const std::vector<double> &values) const { return rounded(dtype(), values) == values; }
};

Problem problem_of(const std::vector<int> &m, const std::vector<double> &log_omega, int n,
                   oracle::Chain chain = oracle::Chain::exact) {
    Problem p;
    p.urn.m = m;
    p.urn.chain = chain;
    p.n = n;
    p.log_omega = log_omega;
    return p;
}

}  // namespace

TEST_P(LawDigits, Golden) {
    int seen = 0;
    for (const GoldenCase &c : load_golden("law_digits.txt")) {
        SCOPED_TRACE(c.name);
        const std::vector<double> &m = c.at("m"), &mean = c.at("mean");
        if (float32() && (!holds(c.at("log_omega")) || *std::max_element(m.begin(), m.end()) > GURN_MAX_FLOAT32_M))
            continue;
        seen++;
        Problem p = problem_of(std::vector<int>(m.begin(), m.end()), c.at("log_omega"), c.integer("n"));
        const size_t C = m.size();
        const bool covariance = c.values.count("cov") > 0;
        const Law::Moments got = law(p).moments(covariance);
        const double norm = c.at("log_norm")[0];
        double weighed = std::fabs(norm);
        for (size_t j = 0; j < C; j++) weighed += mean[j] * std::fabs(p.log_omega[j]);
        EXPECT_NEARBY(got.log_norm[0], norm, limit(1e-14 * weighed, norm));
        for (size_t j = 0; j < C; j++)
            EXPECT_NEARBY(got.mean[j], mean[j], limit(1e-14 * mean[j], mean[j])) << "mean " << j;
        for (size_t j = 0; covariance && j < C; j++) {
            double sum = 0, size = 0;
            for (size_t l = 0; l < C; l++) {
                const std::vector<double> &cov = c.at("cov");
                const double sd = std::sqrt(cov[j * C + j]) * std::sqrt(cov[l * C + l]);
                EXPECT_NEARBY(got.covariance[j * C + l], cov[j * C + l], limit(1e-14 * sd, cov[j * C + l]))
                    << "covariance " << j << " " << l;
                sum += got.covariance[j * C + l];
                size += std::fabs(got.covariance[j * C + l]);
            }
            /* rounded entries, and the promise: |cov_jl| summed is twice the variance */
            EXPECT_TRUE(std::fabs(sum) <= (2 * epsilon() + 1e-14 * C) * size) << "row " << j << " sums to " << sum;
        }
        std::vector<double> x, other;
        for (const auto &[key, values] : c.lines) {
            SCOPED_TRACE(key);
            if (key == "x" || key == "other") {
                (key == "x" ? x : other) = values;
                continue;
            }
            if (key == "log_prob" || key == "merged") {
                Problem q = p;
                if (key == "merged") q.urn.chain = oracle::Chain::merged;
                const double got_p = law(q).log_prob(x)[0];
                EXPECT_NEARBY(got_p, values[0],
                              limit((key == "merged" ? 1e-13 : 1e-14) * (1 + std::fabs(values[0])), values[0]))
                    << testing::PrintToString(C < 10 ? x : std::vector<double>());
                EXPECT_LE(got_p, 0);
            }
            if (key.compare(0, 2, "kl") != 0 || !holds(other)) continue;
            const auto apart = [&](size_t j) { return p.log_omega[j] - other[j]; };
            double least = INFINITY, most = -INFINITY;
            for (size_t j = 0; j < C; j++) {
                least = std::min(least, apart(j));
                most = std::max(most, apart(j));
            }
            if (key == "kl") {
                const double far = most - least > 8 ? 1e-14 : 0;
                EXPECT_NEARBY(law(p).kl(other)[0], values[0], limit(1e-12 * values[0] + far, values[0]));
                continue;
            }
            /* Gradients: of the size of the terms that make them, sd_j sum_l sd_l |d_l - d_j|. */
            const Law::KlGradient g = law(p).kl_backward(other, {1});
            for (size_t j = 0; j < C; j++) {
                double scale = most - least;
                if (covariance) {
                    scale = 0;
                    for (size_t l = 0; l < C; l++)
                        scale += std::sqrt(c.at("cov")[l * C + l]) * std::fabs(apart(l) - apart(j));
                    scale *= std::sqrt(c.at("cov")[j * C + j]);
                } else {
                    scale *= mean[j];
                }
                const double value = key == "kl_own" ? g.log_omega[j] : g.other[j];
                EXPECT_NEARBY(value, values[j], limit(1e-13 * (scale + std::fabs(values[j])), values[j])) << j;
            }
        }
    }
    EXPECT_GE(seen, float32() ? 8 : 16);
}

/* -------------------------------------------------------------------------------------------------- sums over counts --- */

namespace {

/*
 * Moments of one small urn by polynomials in long double, all of whose terms are positive: relative errors of some hundred of its
 * roundings, 1e-17. Weights are formed from log omega less the largest.
 */
struct SmallLaw {
    std::vector<long double> mean, variance;
    std::vector<std::vector<long double>> covariance;

    SmallLaw(const std::vector<int> &m, const std::vector<double> &log_omega, int n) {
        const size_t C = m.size();
        std::vector<std::vector<long double>> factor(C);
        long double top = -INFINITY;
        for (double w : log_omega) top = std::max<long double>(top, w);
        for (size_t j = 0; j < C; j++)
            for (int k = 0; k <= std::min(m[j], n); k++)
                factor[j].push_back(choose(m[j], k) * std::exp(k * (log_omega[j] - top)));
        covariance.assign(C, std::vector<long double>(C, 0));
        for (size_t j = 0; j < C; j++) {
            const std::vector<long double> p = normalised(both(factor[j], product(factor, j, j), n));
            mean.push_back(0);
            for (size_t k = 0; k < p.size(); k++) mean[j] += k * p[k];
            for (size_t k = 0; k < p.size(); k++) covariance[j][j] += (k - mean[j]) * (k - mean[j]) * p[k];
            variance.push_back(covariance[j][j]);
        }
        for (size_t j = 0; j < C; j++)
            for (size_t l = 0; l < C; l++) {
                if (l == j) continue;
                const std::vector<long double> rest = product(factor, j, l);
                long double sum = 0, weighed = 0;
                for (size_t a = 0; a < factor[j].size(); a++)
                    for (size_t b = 0; b < factor[l].size() && a + b <= static_cast<size_t>(n); b++) {
                        if (n - a - b >= rest.size()) continue;
                        const long double w = factor[j][a] * factor[l][b] * rest[n - a - b];
                        sum += w;
                        weighed += w * (a - mean[j]) * (b - mean[l]);
                    }
                covariance[j][l] = weighed / sum;
            }
    }

private:
    static long double choose(int m, int k) {
        long double c = 1;
        for (int i = 0; i < k; i++) c = c * (m - i) / (i + 1);
        return c;
    }
    static std::vector<long double> product(const std::vector<std::vector<long double>> &factor, size_t j, size_t l) {
        std::vector<long double> c = {1};
        for (size_t i = 0; i < factor.size(); i++) {
            if (i == j || i == l) continue;
            std::vector<long double> next(c.size() + factor[i].size() - 1, 0);
            for (size_t a = 0; a < c.size(); a++)
                for (size_t b = 0; b < factor[i].size(); b++) next[a + b] += c[a] * factor[i][b];
            c = next;
        }
        return c;
    }
    static std::vector<long double> both(const std::vector<long double> &own, const std::vector<long double> &rest,
                                         int n) {
        std::vector<long double> p(own.size(), 0);
        for (size_t k = 0; k < own.size(); k++)
            if (n - k < rest.size()) p[k] = own[k] * rest[n - k];
        return p;
    }
    static std::vector<long double> normalised(std::vector<long double> p) {
        long double sum = 0;
        for (long double v : p) sum += v;
        for (long double &v : p) v /= sum;
        return p;
    }
};

}  // namespace

/*
 * Relative digits of means, variances and covariances, the smallest of which are 1e-100: where long double is wider than double.
 * (In long double a count's distance from a mean that is nearly whole has lost what the mean's rounding took: a variance is then
 * right to the promise as long as it is above 1e-36.)
 */
TEST_P(LawDigits, SmallUrnsWithOddsFarApart) {
    if (LDBL_MANT_DIG <= DBL_MANT_DIG) GTEST_SKIP() << "long double is double here";
    if (float32()) GTEST_SKIP() << "of the digits of float64";
    Random random(17);
    const int cases = static_cast<int>(scaled(300, 30));
    int hugging = 0;
    for (int i = 0; i < cases; i++) {
        const int C = random.integer(2, 5);
        const double spread = std::vector<double>{1, 5, 20, 60}[random.integer(0, 3)];
        std::vector<int> m;
        std::vector<double> log_omega;
        for (int c = 0; c < C; c++) {
            m.push_back(random.integer(1, 9));
            log_omega.push_back(random.uniform(-spread, spread));
        }
        const Problem p = problem_of(m, log_omega, 0);
        Problem q = p;
        q.n = random.integer(1, p.urn.total() - 1);
        SCOPED_TRACE(testing::PrintToString(m) + " n " + std::to_string(q.n) + " log omega " +
                     testing::PrintToString(log_omega));
        const SmallLaw want(m, log_omega, q.n);
        const Law::Moments got = law(q).moments();
        for (int j = 0; j < C; j++) {
            const double mean = static_cast<double>(want.mean[j]), variance = static_cast<double>(want.variance[j]);
            EXPECT_NEARBY(got.mean[j], mean, 1e-14 * mean) << "mean " << j;
            if (variance < 1e-10) hugging++;
            for (int l = 0; l < C; l++) {
                const double scale = std::sqrt(variance * static_cast<double>(want.variance[l]));
                if (scale < 1e-36) continue;
                EXPECT_NEARBY(got.covariance[j * C + l], static_cast<double>(want.covariance[j][l]), 1e-14 * scale)
                    << "covariance " << j << " " << l;
            }
        }
    }
    EXPECT_GE(hugging, cases / 4);
}

/* ------------------------------------------------------------------------------------------------ what is known exactly --- */

TEST_P(LawDigits, WhatIsCertainIsExact) {
    const struct {
        std::vector<int> m;
        std::vector<double> log_omega;
        int n;
        std::vector<double> x;
    } urns[] = {
        {{12345}, {0}, 12344, {12344}},
        {{12345}, {3.5}, 1, {1}},
        {{16777216}, {-1}, 16777215, {16777215}},
        {{0, 0, 20, 0, 0}, {1, 2, 3, 4, 5}, 7, {0, 0, 7, 0, 0}},
        {{5, 6, 7}, {1, -2, 30}, 0, {0, 0, 0}},
        {{5, 6, 7}, {1, -2, 30}, 18, {5, 6, 7}},
        {{5, 0, 7}, {0.1, 0.2, 0.3}, 12, {5, 0, 7}},
        {{0, 0}, {0, 1}, 0, {0, 0}},
        {{16777216, 16777216, 16777216}, {1, 2, 3}, 3 * 16777216, {16777216, 16777216, 16777216}},
    };
    for (const auto &urn : urns)
        for (const oracle::Chain chain : {oracle::Chain::exact, oracle::Chain::merged}) {
            SCOPED_TRACE(testing::PrintToString(urn.m) + " n " + std::to_string(urn.n));
            Law l = law(problem_of(urn.m, urn.log_omega, urn.n, chain));
            EXPECT_EQ(l.log_prob(urn.x)[0], 0.0);
            const Law::Moments got = l.moments();
            EXPECT_EQ(got.mean, urn.x);
            EXPECT_EQ(got.covariance, std::vector<double>(urn.m.size() * urn.m.size(), 0.0));
            EXPECT_EQ(l.kl(std::vector<double>(urn.m.size(), 0.25))[0], 0.0);
            EXPECT_EQ(l.mode(), std::vector<int32_t>(urn.x.begin(), urn.x.end()));
            const Law::LogProbGradient g = l.log_prob_backward(urn.x, {2});
            EXPECT_EQ(g.log_omega, std::vector<double>(urn.m.size(), 0.0));
        }
}

/* Nearly certain: P is 1 less 1e-9 down to 1e-300. */
TEST_P(LawDigits, NoLogProbabilityIsAboveZero) {
    for (const oracle::Chain chain : {oracle::Chain::exact, oracle::Chain::merged})
        for (double apart : {20.0, 30.0, 36.0, 37.0, 50.0, 80.0, 300.0, 1000.0, 100000.0})
            for (int size : {1, 3, 10, 1000, 100000, 10000000}) {
                const Problem p = problem_of({size, size, size / 2}, {apart, 0, -apart}, size + size / 2, chain);
                const double got = law(p).log_prob({1.0 * size, 1.0 * (size / 2), 0})[0];
                EXPECT_TRUE(got <= 0) << got << " at odds e^" << apart << ", size " << size;
            }
    /* All counts of some urns. */
    for (const oracle::Chain chain : {oracle::Chain::exact, oracle::Chain::merged})
        for (double apart : {0.0, 40.0}) {
            Problem p = problem_of({3, 2, 4}, {apart, 0, -apart / 3}, 5, chain);
            std::vector<double> x;
            p.rows = 0;
            for (int a = 0; a <= 3; a++)
                for (int b = 0; b <= 2; b++)
                    if (5 - a - b >= 0 && 5 - a - b <= 4) {
                        x.insert(x.end(), {1.0 * a, 1.0 * b, 5.0 - a - b});
                        p.rows++;
                    }
            double sum = 0;
            for (double v : law(p).log_prob(x)) {
                EXPECT_LE(v, 0);
                sum += std::exp(v);
            }
            EXPECT_NEARBY(sum, 1.0, float32() ? 0x1p-20 : 1e-14);
        }
}

/*
 * Counts that are no whole numbers, through 1/Gamma: near both ends, around the place where the formula changes, and between. The
 * sum of two of them is n, rounded: log P0 in long double by counting, log omega 0 for one class and n for the other.
 */
TEST_P(LawDigits, RealCounts) {
    if (LDBL_MANT_DIG <= DBL_MANT_DIG) GTEST_SKIP() << "long double is double here";
    const std::vector<int> m = {1000, 40};
    const std::vector<double> log_omega = rounded(dtype(), {0.0, 1.25});
    const int n = 61;
    const auto log_gamma = [](long double z) { return std::lgamma(z); };
    long double sum = 0;
    const auto log_weight = [&](int c, long double x) {
        return log_gamma(m[c] + 1.0L) - log_gamma(x + 1) - log_gamma(m[c] - x + 1) + x * log_omega[c];
    };
    for (int k = n - m[1]; k <= n; k++) sum += std::exp(log_weight(0, k) + log_weight(1, n - k) - 200);
    for (const double at :
         {-0.999,     -0.5,  -1e-9, 0.0,  1e-9,  0.5,  1.0,        1.25, 8.999, 9.0,  9.5,  9.9999999, 10.0,
          10.0000001, 10.25, 20.0,  20.5, 29.75, 30.0, 30.0000001, 30.5, 31.0,  39.5, 40.0, 40.5,      40.999})
        for (const oracle::Chain chain : {oracle::Chain::exact, oracle::Chain::merged}) {
            const std::vector<double> x = rounded(dtype(), {n - at, at});
            Problem p = problem_of(m, log_omega, n, chain);
            const double got = law(p).log_prob(x)[0];
            /* the merged chain reads the first count and takes the rest from n; the formula for x of another sum is Eq. 1's */
            const long double second = chain == oracle::Chain::merged ? n - static_cast<long double>(x[0]) : x[1];
            const double want = static_cast<double>(log_weight(0, x[0]) + log_weight(1, second) - 200 - std::log(sum));
            /*
             * lgamma of the long double library: 1e-19 relative of 5000. Near an end, where 1/Gamma vanishes, x counts as
             * it is rounded: n - x there.
             */
            EXPECT_NEARBY(got, want, limit(1e-13 * (1 + std::fabs(want)), want)) << "x[1] = " << at;
        }
}

/* Finite differences, relative to gradients that are as small as 1e-20: of laws that hug one x, and with one class that dwarfs the others. */
TEST_P(LawDigits, GradientsOfSmallMoments) {
    if (float32()) GTEST_SKIP() << "differences want float64";
    const struct {
        std::vector<int> m;
        std::vector<double> log_omega;
        int n;
    } urns[] = {{{10, 10, 10}, {23, 0, -21}, 20},
                {{10, 4, 10}, {30, 0, -3}, 10},
                {{10, 10}, {46, 0}, 15},
                {{8000000, 10, 7}, {0, 0.3125, -2}, 4000000},
                {{2, 1, 1, 2}, {1, 0, 0.5, -1}, 3}};
    Random random(4);
    for (const auto &urn : urns) {
        SCOPED_TRACE(testing::PrintToString(urn.m));
        const size_t C = urn.m.size();
        const Problem p = problem_of(urn.m, urn.log_omega, urn.n);
        const Law::Moments at = law(p).moments();
        for (int what = 0; what < 2; what++) { /* mean, covariance */
            Law::Moments up = {{}, std::vector<double>(C, 0), {}};
            if (what == 0)
                up.mean = random.uniforms(C, -1, 1);
            else
                up.covariance = random.uniforms(C * C, -1, 1);
            const std::vector<double> g = law(p).moments_backward(up);
            for (size_t a = 0; a < C; a++) {
                /* of what is small in itself: differences from the moments here */
                const auto value = [&](double h) {
                    Problem q = p;
                    q.log_omega[a] += h;
                    const Law::Moments m = law(q).moments();
                    double sum = 0;
                    for (size_t j = 0; j < C; j++) {
                        /* means as sums of changes: sum_j change_j = 0, so that the largest class's is known from the rest */
                        if (what == 0 && j > 0) sum += (up.mean[j] - up.mean[0]) * (m.mean[j] - at.mean[j]);
                        for (size_t l = 0; what == 1 && l < C; l++)
                            sum += up.covariance[j * C + l] * (m.covariance[j * C + l] - at.covariance[j * C + l]);
                    }
                    return sum;
                };
                const double h = 1e-3;
                const double want = (8 * (value(h) - value(-h)) - (value(2 * h) - value(-2 * h))) / (12 * h);
                /*
                 * The scale is that of covariances, or third cumulants, with class a: at most sd_a times sums of the other sd.
                 * Differences: h^4/30 of it times a fifth cumulant's share, 1e-12, and 1e-14 of the moments / h, 1.5e-11; a
                 * mean that is large in itself (the dwarfing class is left out above) has 1e-14 of itself / h.
                 */
                double all = 0, means = 0;
                for (size_t j = 0; j < C; j++) {
                    all += std::sqrt(at.covariance[j * C + j]);
                    if (what == 0 && j > 0) means += std::min(at.mean[j], 1.0 * urn.m[j]);
                }
                const double scale = what == 0 ? std::sqrt(at.covariance[a * C + a]) * all : all * all;
                EXPECT_NEARBY(g[a], want, 2e-10 * scale + 1e-11 * means) << (what ? "covariance" : "mean") << " " << a;
            }
        }
    }
}

/* ------------------------------------------------------------------------------------------------ plans for the law alone --- */

namespace {

Plan plan_with(gurn_context *context, const std::vector<int32_t> &m, int n_max, gurn_plan_options options) {
    gurn_plan *plan = nullptr;
    EXPECT_EQ(gurn_plan_create(context, static_cast<int32_t>(m.size()), m.data(), n_max, &options, &plan), GURN_SUCCESS)
        << gurn_context_message(context);
    return Plan(plan);
}

}  // namespace

TEST_P(LawDigits, PlansForTheLawAloneAreSmallAndGiveTheSame) {
    for (const oracle::Chain chain : {oracle::Chain::exact, oracle::Chain::merged}) {
        Problem p = problem_of({30, 0, 20, 25}, {0.5, 1, -1, 0.25}, 40, chain);
        p.urn.order = {2, 0, 3, 1};
        const std::vector<double> x = {18, 0, 9, 13}, real_x = {17.5, 0, 9.25, 13.25}, other = {0, 0, 0.5, -0.25};
        Law full(context(), GetParam(), p), alone = law(p);
        EXPECT_LT(gurn_plan_bytes(alone.plan()), 2048u);
        EXPECT_GT(gurn_plan_bytes(full.plan()), 2048u);
        for (const std::vector<double> &counts : {x, real_x}) {
            EXPECT_TRUE(same_bits(full.log_prob(counts), alone.log_prob(counts)));
            const Law::LogProbGradient a = full.log_prob_backward(counts, {1}),
                                       b = alone.log_prob_backward(counts, {1});
            EXPECT_TRUE(same_bits(a.log_omega, b.log_omega) && same_bits(a.x, b.x));
        }
        const Law::Moments a = full.moments(), b = alone.moments();
        EXPECT_TRUE(same_bits(a.log_norm, b.log_norm) && same_bits(a.mean, b.mean) &&
                    same_bits(a.covariance, b.covariance));
        EXPECT_TRUE(same_bits(full.moments_backward({{1}, x, {}}), alone.moments_backward({{1}, x, {}})));
        EXPECT_TRUE(same_bits(full.kl(other), alone.kl(other)));
        EXPECT_EQ(full.mode(), alone.mode());
    }
    gurn_plan_options options = GURN_PLAN_OPTIONS_INIT;
    options.dtype = dtype();
    options.use = GURN_PLAN_LAW;
    const Plan large = plan_with(context(), std::vector<int32_t>(4, GURN_MAX_BALLS / 4), GURN_MAX_BALLS, options);
    EXPECT_LT(gurn_plan_bytes(large.get()), 2048u);
    EXPECT_EQ(gurn_plan_width(large.get()), GURN_MAX_BALLS + 4);
}

TEST_P(LawDigits, PlansForTheLawAloneDoNotDraw) {
    Problem p = problem_of({3, 5, 4}, {0, 0.5, 1}, 5);
    Call call(context(), GetParam(), p);
    Law alone = law(p);
    const gurn_plan *plan = alone.plan();
    call.plan = plan;
    const auto refused = [&](gurn_status status) {
        EXPECT_EQ(status, GURN_UNSUPPORTED);
        EXPECT_NE(std::string(gurn_context_message(context())).find("plan"), std::string::npos)
            << gurn_context_message(context());
    };
    size_t bytes = 0;
    refused(call.forward());
    refused(call.backward());
    refused(gurn_mvhg_workspace(context(), plan, &call.inputs, &bytes, &bytes));
    refused(gurn_mvhg_draw_workspace(context(), plan, &call.inputs, &bytes));
    const DeviceArray<int32_t> x(device(), std::vector<int32_t>(3, 7));
    refused(gurn_mvhg_draw(context(), plan, &call.inputs, x.data(), nullptr, 0));
    device_synchronize(device());
    EXPECT_TRUE(call.untouched());

    const int32_t m[2] = {3, 4};
    gurn_plan *made = nullptr;
    gurn_plan_options options = GURN_PLAN_OPTIONS_INIT;
    options.use = static_cast<gurn_plan_use>(2);
    EXPECT_EQ(gurn_plan_create(context(), 2, m, 3, &options, &made), GURN_INVALID_ARGUMENT);
    EXPECT_NE(std::string(gurn_context_message(context())).find("options->use"), std::string::npos);
    EXPECT_EQ(made, nullptr);
    options.size = offsetof(gurn_plan_options, use); /* of a version that did not have it: not read */
    const Plan old = plan_with(context(), {3, 4}, 3, options);
    EXPECT_GT(gurn_plan_bytes(old.get()), 512u);
}

ON_ALL_TARGETS(LawDigits);
