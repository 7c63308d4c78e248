/*
 * The digits that the law keeps where sums of large numbers would cancel, and what it makes of log omega: ratios, and omega = 0.
 * Expected values are closed forms, and golden values.
 */
#include <cmath>

#include "golden.h"
#include "law_call.h"

using namespace gurn_test;

namespace {

class LawDigits : public OnTarget {
protected:
    Problem problem(std::vector<int> m, std::vector<double> log_omega, int n) const {
        Problem p;
        p.urn.m = std::move(m);
        p.urn.chain = oracle::Chain::exact;
        p.log_omega = std::move(log_omega);
        p.n = n;
        return p;
    }
    Law law(const Problem &p) const { return Law(context(), GetParam(), p, 0, GURN_PLAN_LAW); }
    /* Relative error of a value that is rounded to the dtype, besides what is derived for float64. */
    double epsilon(double wide) const { return float32() ? 0x1p-23 : wide; }
};

}  // namespace

#define EXPECT_RELATIVE(got, want, error) EXPECT_TRUE(std::fabs((got) - (want)) <= (error)*std::fabs(want)) << (got)

/* C(N, 1) = C(N, N - 1) = N; the promise of the header is 1e-14 relative where log omega is 0. */
TEST_P(LawDigits, NormNearAllBalls) {
    const int m = GURN_MAX_FLOAT32_M;
    for (const int n : {1, GURN_MAX_BALLS - 1})
        EXPECT_RELATIVE(law(problem({m, m, m, m}, {0, 0, 0, 0}, n)).moments(false).log_norm[0], 26 * std::log(2.0),
                        epsilon(1e-14));
}

TEST_P(LawDigits, CertainCountsHaveLogProbabilityZero) {
    EXPECT_EQ(law(problem({12345}, {3}, 12344)).log_prob({12344})[0], 0);
    EXPECT_EQ(law(problem({12345, 7}, {3, -2}, 0)).log_prob({0, 0})[0], 0);
    EXPECT_EQ(law(problem({12345, 7}, {3, -2}, 12352)).log_prob({12345, 7})[0], 0);
    EXPECT_EQ(law(problem({12345, 0, 0}, {3, 1, 2}, 99)).log_prob({99, 0, 0})[0], 0);
}

/* One ball of 2^26, in classes of equal size: it is of a class with probability omega / sum of all omega. */
TEST_P(LawDigits, LogProbabilityOfManyBalls) {
    const int m = GURN_MAX_FLOAT32_M;
    Problem p = problem({m, m, m, m}, {0, 0, 0, std::log(5.0)}, 1);
    p.rows = 2;
    const std::vector<double> v = law(p).log_prob({1, 0, 0, 0, 0, 0, 0, 1});
    EXPECT_RELATIVE(v[0], std::log(0.125), epsilon(1e-14));
    EXPECT_RELATIVE(v[1], std::log(0.625), epsilon(0x1p-46)); /* the header's 1e-14 (1 + |log_p|) */
}

TEST_P(LawDigits, VarianceOfCountsThatHardlyVary) {
    for (const double v : law(problem({0, 0, 20, 0, 0}, {0, 1, 2, 3, 4}, 7)).moments().covariance) EXPECT_EQ(v, 0);
    /* One ball of the first class stays with probability p = 10 C(10, 6) / (omega C(10, 5)) = 25/3 / omega, omega = 1e20. */
    const std::vector<double> c = law(problem({10, 10}, {20 * std::log(10.0), 0}, 15)).moments().covariance;
    const double want = 25.0 / 3.0 * 1e-20, error = float32() ? 46.1 * 0x1p-23 : 46.1 * 0x1p-52; /* of log omega */
    EXPECT_RELATIVE(c[0], want, error);
    EXPECT_RELATIVE(c[3], want, error);
    EXPECT_RELATIVE(c[1], -want, error);
    EXPECT_EQ(c[1], c[2]);
}

/* 1/2 Var d^2 (1 + O(d)), d = 1e-7/3: the skewness of x is below 1e-3, so that the next term is below 1e-6 of it. */
TEST_P(LawDigits, DivergenceOfCloseLaws) {
    const double other = float32() ? std::log(3.0) + 1e-4 : std::log(3.0) + 1e-7 / 3;
    const Problem p = problem({2000000, 2000000}, {std::log(3.0), 0}, 2000000);
    Law l = law(p);
    const double d = static_cast<double>(float32() ? static_cast<float>(other) : other) -
                     (float32() ? static_cast<float>(std::log(3.0)) : std::log(3.0));
    EXPECT_RELATIVE(l.kl({other, 0})[0], 0.5 * l.moments().covariance[0] * d * d, float32() ? 2e-4 : 1e-6);
    EXPECT_EQ(l.kl({std::log(3.0), 0})[0], 0);
}

TEST_P(LawDigits, OnlyRatiosOfOmegaCount) {
    for (const double large : {8e5, 1e30, -1e30}) {
        const double step = large == 8e5 ? 1 : 0; /* neighbours of 1e30 are further apart than any odds that count */
        const std::vector<double> base = law(problem({5, 5, 5}, {0, step, 0}, 6)).moments().mean;
        const std::vector<double> mean = law(problem({5, 5, 5}, {large, large + step, large}, 6)).moments().mean;
        for (int c = 0; c < 3; c++) EXPECT_RELATIVE(mean[c], base[c], epsilon(1e-14));
    }
    const std::vector<double> apart = law(problem({5, 5, 5}, {1e30, 2e30, -1e30}, 6)).moments().mean;
    const std::vector<double> held = {0.5, 5, 0.5}; /* both others are held at the same distance below the largest */
    EXPECT_EQ(apart, held);
}

TEST_P(LawDigits, ClassesOfOmegaZero) {
    Problem p = problem({5, 5, 5}, {0, -INFINITY, 0}, 6);
    Law l = law(p), without = law(problem({5, 0, 5}, {0, 0, 0}, 6));
    const Law::Moments got = l.moments(), want = without.moments();
    EXPECT_EQ(got.log_norm, want.log_norm);
    EXPECT_EQ(got.mean, want.mean);
    EXPECT_EQ(got.covariance, want.covariance);
    EXPECT_EQ(l.log_prob({3, 0, 3}), without.log_prob({3, 0, 3}));
    EXPECT_EQ(l.log_prob({2, 1, 3})[0], -INFINITY);
    EXPECT_EQ(l.log_prob_backward({4, 0, 2}, {1}).log_omega[1], 0);
    EXPECT_EQ(l.mode(), without.mode());
    Law all = law(problem({5, 5, 5}, {0, 0, 0}, 6));
    EXPECT_EQ(all.kl({0, -INFINITY, 0})[0], INFINITY);
    /* Of the law that never draws a class against one that may: minus the log of the chance that the other does not. */
    EXPECT_RELATIVE(l.kl({0, 0, 0})[0], std::log(5005.0 / 210.0), epsilon(1e-13));
}

/*
 * Every promise of the header against more digits than double has (scripts/make_law_digits.py): means and variances of
 * themselves however small, divergences however close the laws. What the float32 type does not hold is left to float64.
 */
TEST_P(LawDigits, GoldenValuesOfLawsThatCancel) {
    const auto is_float = [](const std::vector<double> &values) {
        for (const double v : values)
            if (static_cast<float>(v) != v) return false;
        return true;
    };
    int judged = 0;
    for (const GoldenCase &c : load_golden("law_digits.txt")) {
        SCOPED_TRACE(c.name);
        const std::vector<double> &omega = c.at("log_omega");
        const std::vector<int32_t> m(c.at("m").begin(), c.at("m").end());
        if (float32() && !(is_float(omega) && *std::max_element(m.begin(), m.end()) <= GURN_MAX_FLOAT32_M)) continue;
        const size_t C = m.size();
        const auto right = [&](double got, double want, double limit, const std::string &what) {
            judged++;
            if (float32()) limit += 0x1p-24 * std::fabs(want) + 0x1p-149;
            EXPECT_TRUE(std::fabs(got - want) <= limit) << what << ": " << got << " for " << want << ", off by "
                                                        << std::fabs(got - want) / limit << " of what is allowed";
        };
        Law exact = law(problem(m, omega, c.integer("n")));
        Problem p = problem(m, omega, c.integer("n"));
        p.urn.chain = oracle::Chain::merged;
        Law merged = law(p);
        const bool all = c.values.count("cov") > 0;
        const Law::Moments got = exact.moments(all);
        const std::vector<double> &mean = c.at("mean");
        double norm = std::fabs(c.at("log_norm")[0]);
        for (size_t i = 0; i < C; i++) {
            norm += mean[i] * std::fabs(omega[i]);
            right(got.mean[i], mean[i], 1e-14 * mean[i], "mean " + std::to_string(i));
        }
        right(got.log_norm[0], c.at("log_norm")[0], 1e-14 * norm, "log P0");
        for (size_t i = 0; all && i < C; i++)
            for (size_t j = 0; j < C; j++) {
                const std::vector<double> &cov = c.at("cov");
                right(got.covariance[i * C + j], cov[i * C + j],
                      1e-14 * std::sqrt(cov[i * C + i]) * std::sqrt(cov[j * C + j]),
                      "covariance " + std::to_string(i) + ", " + std::to_string(j));
            }
        std::vector<double> x, other;
        double far = 0; /* the absolute error of laws that are */
        for (const auto &[key, values] : c.lines) {
            if (key == "x") x = values;
            if (key == "log_prob")
                right(exact.log_prob(x)[0], values[0], 1e-14 * (1 + std::fabs(values[0])), "log-probability");
            if (key == "merged")
                right(merged.log_prob(x)[0], values[0], 1e-13 * (1 + std::fabs(values[0])), "merged log-probability");
            if (key == "other") {
                other = values;
                if (float32() && !is_float(other)) other.clear();
                std::vector<double> d(omega);
                for (size_t i = 0; i < C && !other.empty(); i++) d[i] -= other[i];
                far = *std::max_element(d.begin(), d.end()) - *std::min_element(d.begin(), d.end()) > 8 ? 1e-14 : 0;
            }
            if (key == "kl" && !other.empty())
                right(exact.kl(other)[0], values[0], 1e-12 * values[0] + far, "divergence");
            if ((key == "kl_own" || key == "kl_other") && !other.empty()) {
                const Law::KlGradient g = exact.kl_backward(other, {1});
                double size = 0;
                for (const double v : values) size = std::max(size, std::fabs(v));
                for (size_t i = 0; i < C; i++)
                    right(key == "kl_own" ? g.log_omega[i] : g.other[i], values[i], 1e-12 * size + far,
                          key + " " + std::to_string(i));
            }
        }
    }
    EXPECT_GT(judged, 50);
}

ON_ALL_TARGETS(LawDigits);
