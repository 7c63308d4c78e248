/*
 * The law of Eq. 1 itself: log P0, mean, covariance, log-probability, divergence and mode against 60-digit golden
 * values, against sums over the whole support of small urns and against closed forms of central urns; gradients against
 * finite differences.
 */
#include <algorithm>
#include <cmath>
#include <map>

#include "golden.h"
#include "law_call.h"

using namespace gurn_test;

namespace {

using Counts = std::vector<int>;

/* Every x with sum n, and prod C(m, x) omega^x, by brute force in long double. */
struct WholeLaw {
    std::vector<Counts> x;
    std::vector<long double> log_weight;
    long double log_norm = 0;

    WholeLaw(const std::vector<int> &m, const std::vector<double> &log_omega, int n) {
        Counts counts(m.size(), 0);
        visit(m, log_omega, n, 0, 0.0L, counts);
        long double top = -INFINITY, sum = 0;
        for (long double w : log_weight) top = std::max(top, w);
        for (long double w : log_weight) sum += std::exp(w - top);
        log_norm = top + std::log(sum);
    }
    long double p(size_t i) const { return std::exp(log_weight[i] - log_norm); }
    long double mean(int c) const {
        long double sum = 0;
        for (size_t i = 0; i < x.size(); i++) sum += p(i) * x[i][c];
        return sum;
    }
    long double covariance(int a, int b) const {
        const long double ma = mean(a), mb = mean(b);
        long double sum = 0;
        for (size_t i = 0; i < x.size(); i++) sum += p(i) * (x[i][a] - ma) * (x[i][b] - mb);
        return sum;
    }

private:
    void visit(const std::vector<int> &m, const std::vector<double> &log_omega, int left, size_t c, long double log_w,
               Counts &counts) {
        const auto log_c = [](int a, int b) {
            return std::lgamma(a + 1.0L) - std::lgamma(b + 1.0L) - std::lgamma(a - b + 1.0L);
        };
        if (c + 1 == m.size()) {
            if (left > m[c]) return;
            counts[c] = left;
            x.push_back(counts);
            log_weight.push_back(log_w + log_c(m[c], left) + left * static_cast<long double>(log_omega[c]));
            return;
        }
        for (int k = 0; k <= std::min(left, m[c]); k++) {
            counts[c] = k;
            visit(m, log_omega, left - k, c + 1, log_w + log_c(m[c], k) + k * static_cast<long double>(log_omega[c]),
                  counts);
        }
    }
};

struct Small {
    std::vector<int> m;
    int n;
    std::vector<double> log_omega;
};

const std::vector<Small> &small_urns() {
    static const std::vector<Small> urns = {
        {{4}, 3, {0.7}},
        {{3, 5, 4}, 5, {0.5, -0.7, 0.2}},
        {{1, 1}, 1, {0, 0}}, /* p = 1/2: phi vanishes at pi */
        {{1, 2}, 2, {1.5, -3}},
        {{2, 0, 3, 1, 0}, 3, {0.1, 5, -1, 2, -7}},
        {{6, 6, 6}, 17, {2, 0, -2}},
        {{5, 5, 5}, 10, {30, 0, -30}}, /* the law hugs (5, 5, 0) */
        {{4, 3, 2, 1}, 1, {-8, 3, 0.5, 9}},
        {{2, 2, 2, 2, 2}, 5, {1.5, 0, -1, 0.3, 0.4}},
        {{9, 9}, 9, {69, -69}},
        {{3, 4}, 0, {1, 2}},
        {{3, 4}, 7, {1, 2}},
        {{0, 0}, 0, {1, 2}},
    };
    return urns;
}

Problem problem_of(const Small &urn, oracle::Chain chain = oracle::Chain::exact) {
    Problem p;
    p.urn.m = urn.m;
    p.urn.chain = chain;
    p.n = urn.n;
    p.log_omega = urn.log_omega;
    return p;
}

/*
 * Output rounding, and the error of the calculation in double: phases and logs of N balls in a few roundings each.
 * Where covariances and means cancel it is the standard deviations' scale that counts.
 */
double tolerance(gurn_dtype dtype, double value, double scale) {
    return (dtype == GURN_FLOAT32 ? 0x1p-24 * std::fabs(value) : 0) + 64 * 0x1p-53 * (std::fabs(value) + scale);
}

}  // namespace

class ExactLaw : public OnTarget {
protected:
    Law law(const Problem &p, int extra_n = 0) { return Law(context(), GetParam(), p, extra_n); }
};

#define EXPECT_NEARBY(value, want, tol) \
    EXPECT_TRUE(std::fabs((value) - (want)) <= (tol)) << (value) << " for " << (want) << " within " << (tol)

TEST_P(ExactLaw, GoldenMomentsAndLogProbabilities) {
    for (const GoldenCase &c : load_golden("mvhg_exact.txt")) {
        SCOPED_TRACE(c.name);
        Problem p;
        for (double m : c.at("m")) p.urn.m.push_back(static_cast<int>(m));
        p.urn.chain = oracle::Chain::exact;
        p.n = c.integer("n");
        const int C = p.urn.classes();
        for (double omega : c.at("omega")) p.log_omega.push_back(std::log(omega));
        const Law::Moments got = law(p).moments();
        /*
         * Float64: 1e-10 relative (1e-40 where the answer is 0). Float32: rounding of the output, and of log omega by
         * d_l <= 2^-24 |log omega_l|, to first order d log P0 = mean d, d mean = cov d; third cumulants are at most N
         * times a covariance.
         */
        const auto d = [&](int l) { return float32() ? 0x1p-24 * std::fabs(p.log_omega[l]) : 0.0; };
        const double own = float32() ? 0x1.01p-24 : 1e-10;
        const std::vector<double> &mean = c.at("mean"), &cov = c.at("cov");
        double norm_limit = own * std::fabs(c.at("log_norm")[0]), all = 0;
        for (int l = 0; l < C; l++) {
            norm_limit += 1.01 * mean[l] * d(l);
            all += d(l);
        }
        EXPECT_NEARBY(got.log_norm[0], c.at("log_norm")[0], norm_limit);
        for (int j = 0; j < C; j++) {
            double limit = own * mean[j];
            for (int l = 0; l < C; l++) limit += 1.01 * std::fabs(cov[j * C + l]) * d(l);
            EXPECT_NEARBY(got.mean[j], mean[j], limit) << "class " << j;
            for (int l = 0; l < C; l++) {
                const double scale = std::sqrt(cov[j * C + j] * cov[l * C + l]);
                EXPECT_NEARBY(got.covariance[j * C + l], cov[j * C + l],
                              own * std::fabs(cov[j * C + l]) + p.urn.total() * scale * all + 1e-40)
                    << "classes " << j << " " << l;
            }
        }
        std::vector<double> want;
        std::vector<std::vector<double>> xs;
        for (const auto &[key, values] : c.lines) {
            if (key == "x") xs.push_back(values);
            if (key == "log_prob") want.push_back(values[0]);
        }
        Problem batch = p;
        batch.rows = static_cast<int64_t>(xs.size());
        std::vector<double> x;
        for (const auto &values : xs) x.insert(x.end(), values.begin(), values.end());
        const std::vector<double> log_p = law(batch).log_prob(x);
        for (size_t i = 0; i < want.size(); i++) {
            double limit = own * std::fabs(want[i]);
            for (int l = 0; l < C; l++) limit += 1.01 * std::fabs(xs[i][l] - mean[l]) * d(l);
            /* log P is the difference of terms of size log P0: a few roundings of those are no fault of the answer's */
            EXPECT_NEARBY(log_p[i], want[i], limit + 8 * 0x1p-53 * std::fabs(c.at("log_norm")[0])) << "x " << i;
        }
    }
}

TEST_P(ExactLaw, MomentsOfSmallUrnsAreSumsOverTheSupport) {
    for (const Small &urn : small_urns()) {
        SCOPED_TRACE(testing::PrintToString(urn.m) + " n " + std::to_string(urn.n));
        const Problem p = problem_of(urn);
        const WholeLaw whole(urn.m, rounded(dtype(), urn.log_omega), urn.n);
        const Law::Moments got = law(p).moments();
        const int C = p.urn.classes();
        EXPECT_NEARBY(got.log_norm[0], static_cast<double>(whole.log_norm),
                      tolerance(dtype(), static_cast<double>(whole.log_norm), 1 + 100 * p.urn.total()));
        double mean_sum = 0;
        for (int j = 0; j < C; j++) {
            EXPECT_NEARBY(got.mean[j], static_cast<double>(whole.mean(j)),
                          tolerance(dtype(), static_cast<double>(whole.mean(j)), 1));
            EXPECT_TRUE(got.mean[j] >= 0 && got.mean[j] <= urn.m[j]);
            mean_sum += got.mean[j];
            for (int l = 0; l < C; l++) {
                const double want = static_cast<double>(whole.covariance(j, l));
                EXPECT_NEARBY(got.covariance[j * C + l], want, tolerance(dtype(), want, 1)) << j << " " << l;
                EXPECT_EQ(got.covariance[j * C + l], got.covariance[l * C + j]);
            }
            EXPECT_TRUE(got.covariance[j * C + j] >= 0);
        }
        EXPECT_NEARBY(mean_sum, urn.n, C * tolerance(dtype(), urn.n, 1));
    }
}

TEST_P(ExactLaw, CentralUrnsHaveClosedForms) {
    /*
     * equal omega: mean n m / N, covariance n (N-n)/(N-1) (delta m_j/N - m_j m_l / N^2), log P0 = log C(N, n) + n log
     * omega
     */
    const struct {
        std::vector<int> m;
        int n;
        double log_omega;
    } urns[] = {{{200, 200, 200}, 180, 0.5},
                {{2000000, 1000000, 3}, 700000, -1},
                {{1000000, 1}, 999999, 3},
                {{31, 32, 33}, 48, -20},
                {std::vector<int>(1000, 100), 50000, 0.25}};
    for (const auto &urn : urns) {
        Problem p;
        p.urn.m = urn.m;
        p.urn.chain = oracle::Chain::exact;
        p.n = urn.n;
        p.log_omega.assign(urn.m.size(), urn.log_omega);
        const double N = p.urn.total(), n = urn.n;
        SCOPED_TRACE(N);
        const bool small = urn.m.size() < 100;
        const Law::Moments got = law(p).moments(small);
        const double norm = std::lgamma(N + 1) - std::lgamma(n + 1) - std::lgamma(N - n + 1) + n * urn.log_omega;
        /* lgamma of N in double loses 2^-53 N log N itself */
        EXPECT_NEARBY(got.log_norm[0], norm, tolerance(dtype(), norm, N * std::log(N)));
        const size_t C = urn.m.size();
        for (size_t j = 0; j < C; j++) {
            const double mean = n * urn.m[j] / N;
            EXPECT_NEARBY(got.mean[j], mean, tolerance(dtype(), mean, 0));
            for (size_t l = 0; small && l < C; l++) {
                const double sd = n * (N - n) / (N - 1), a = urn.m[j] / N, b = urn.m[l] / N,
                             want = sd * ((j == l) * a - a * b);
                EXPECT_NEARBY(got.covariance[j * C + l], want, tolerance(dtype(), want, sd * std::sqrt(a * b)) * 16);
            }
        }
    }
}

TEST_P(ExactLaw, LogProbabilitiesOfSmallUrnsSumToOne) {
    for (const Small &urn : small_urns()) {
        SCOPED_TRACE(testing::PrintToString(urn.m) + " n " + std::to_string(urn.n));
        const WholeLaw whole(urn.m, rounded(dtype(), urn.log_omega), urn.n);
        Problem p = problem_of(urn);
        p.rows = static_cast<int64_t>(whole.x.size());
        std::vector<double> x;
        for (const Counts &counts : whole.x) x.insert(x.end(), counts.begin(), counts.end());
        const std::vector<double> got = law(p).log_prob(x);
        double sum = 0;
        for (size_t i = 0; i < whole.x.size(); i++) {
            const double want = static_cast<double>(whole.log_weight[i] - whole.log_norm);
            EXPECT_NEARBY(
                got[i], want,
                tolerance(dtype(), want, 1 + std::fabs(static_cast<double>(whole.log_norm)) + 100 * p.urn.total()));
            sum += std::exp(got[i]);
        }
        EXPECT_NEARBY(sum, 1.0, float32() ? 0x1p-20 : 1e-11);
    }
}

TEST_P(ExactLaw, OutsideTheSupportProbabilityIsZero) {
    for (const oracle::Chain chain : {oracle::Chain::exact, oracle::Chain::merged}) {
        Problem p = problem_of(small_urns()[1], chain);
        p.rows = 4;
        const std::vector<double> x = {-1, 3, 3, /**/ 4, 0, 1, /**/ 0, 6, -1, /**/ 1, 2, 2};
        const std::vector<double> got = law(p).log_prob(x);
        const Law::LogProbGradient gradient = law(p).log_prob_backward(x, {1, 1, 1, 1});
        for (size_t b = 0; b < 4; b++) {
            EXPECT_TRUE(b < 3 ? got[b] == -INFINITY : std::isfinite(got[b])) << got[b];
            for (size_t c = 0; c < 3; c++) /* omega is shared: its gradient is a sum over all rows */
                EXPECT_EQ(std::isnan(gradient.x[b * 3 + c]), b < 3) << "row " << b << " class " << c;
        }
        for (size_t c = 0; c < 3; c++) EXPECT_TRUE(std::isnan(gradient.log_omega[c])) << c;
    }
}

TEST_P(ExactLaw, MergedChainLogProbability) {
    for (const Small &urn : small_urns()) {
        SCOPED_TRACE(testing::PrintToString(urn.m) + " n " + std::to_string(urn.n));
        Problem p = problem_of(urn, oracle::Chain::merged);
        for (int c = p.urn.classes() - 1; c >= 0; c--) p.urn.order.push_back((c + 1) % p.urn.classes());
        const auto pmf = oracle::joint_pmf(p.urn, rounded(dtype(), urn.log_omega), urn.n);
        p.rows = static_cast<int64_t>(pmf.size());
        std::vector<double> x;
        for (const auto &[counts, probability] : pmf) x.insert(x.end(), counts.begin(), counts.end());
        const std::vector<double> got = law(p).log_prob(x);
        size_t i = 0;
        for (const auto &[counts, probability] : pmf) {
            const double want = oracle::log_prob(p.urn, rounded(dtype(), urn.log_omega), urn.n, counts);
            /* lambda is log odds of up to 2^10 bits, times counts, in double */
            EXPECT_NEARBY(got[i], want, tolerance(dtype(), want, 1 + 200 * p.urn.total())) << i;
            i++;
        }
    }
}

/*
 * Urns of thousands of balls, of whose supports only a part is summed: float64 to 1e-11 of log p, and of the 1 that it stands
 * beside in a likelihood.
 */
TEST_P(ExactLaw, MergedChainLogProbabilityOfWideUrns) {
    const Small urns[] = {{{2000, 2000, 2000}, 3000, {0.25, -0.5, 0.125}},
                          {{3000, 0, 4000, 1000}, 2500, {2, 1, -1, 0.5}},
                          {{4000, 5}, 3999, {0.5, 6}}};
    for (const Small &urn : urns) {
        SCOPED_TRACE(testing::PrintToString(urn.m) + " n " + std::to_string(urn.n));
        Problem p = problem_of(urn, oracle::Chain::merged);
        p.rows = 12;
        p.seed = 17;
        std::vector<double> x = forward(p, kX).x; /* likely counts, and some that are not */
        const size_t C = urn.m.size();
        for (size_t b = 0; b < 12; b += 3) {
            const double moved = std::min({x[b * C], urn.m[C - 1] - x[b * C + C - 1], 30.0 * static_cast<double>(b)});
            x[b * C] -= moved;
            x[b * C + C - 1] += moved;
        }
        const std::vector<double> got = law(p).log_prob(x);
        for (size_t b = 0; b < 12; b++) {
            const std::vector<int> counts(x.begin() + b * C, x.begin() + (b + 1) * C);
            const double want = oracle::log_prob(p.urn, urn.log_omega, urn.n, counts);
            EXPECT_NEARBY(got[b], want, (float32() ? 0x1p-23 : 1e-11) * (1 + std::fabs(want))) << "row " << b;
        }
    }
}

TEST_P(ExactLaw, ChainsAgreeForTwoClassesAndForEqualOmega) {
    const Small urns[] = {{{20, 15}, 12, {1.25, -0.5}}, {{6, 4, 9}, 11, {0.75, 0.75, 0.75}}};
    for (const Small &urn : urns) {
        Problem p = problem_of(urn);
        const WholeLaw whole(urn.m, urn.log_omega, urn.n);
        p.rows = static_cast<int64_t>(whole.x.size());
        std::vector<double> x;
        for (const Counts &counts : whole.x) x.insert(x.end(), counts.begin(), counts.end());
        const std::vector<double> exact = law(p).log_prob(x);
        p.urn.chain = oracle::Chain::merged;
        const std::vector<double> merged = law(p).log_prob(x);
        for (size_t i = 0; i < x.size() / urn.m.size(); i++)
            EXPECT_NEARBY(exact[i], merged[i], 2 * tolerance(dtype(), exact[i], 100));
    }
}

namespace {

/* 4-point differences of f at v[i]; error h^4/30 f''''' + 1.5 eps |f| / h. */
template <class F>
double difference(std::vector<double> v, size_t i, double h, const F &f) {
    const double at = v[i];
    const auto value = [&](double t) {
        v[i] = at + t;
        return f(v);
    };
    return (8 * (value(h) - value(-h)) - (value(2 * h) - value(-2 * h))) / (12 * h);
}

std::vector<Small> gradient_urns() {
    return {{{3, 5, 4}, 5, {0.5, -0.7, 0.2}},
            {{2, 0, 3, 1}, 3, {0.1, 5, -1, 2}},
            {{4, 5, 0, 3}, 6, {0.3, -0.4, 2, 0.8}},             /* without balls at place 1 of the order below, */
            {{3, 4, 5, 0, 0, 6}, 9, {0.3, 1, -0.4, 2, 3, 0.8}}, /* and at places 2 and 3 */
            {{40, 30, 20, 25}, 60, {1.5, 0, -1, 0.3}},
            {{20, 15}, 12, {1.25, -0.5}}};
}

}  // namespace

TEST_P(ExactLaw, LogProbabilityGradients) {
    if (float32()) GTEST_SKIP() << "differences want float64";
    for (const oracle::Chain chain : {oracle::Chain::exact, oracle::Chain::merged})
        for (const Small &urn : gradient_urns()) {
            SCOPED_TRACE(testing::PrintToString(urn.m) + (chain == oracle::Chain::exact ? " exact" : " merged"));
            Problem p = problem_of(urn, chain);
            const int C = p.urn.classes();
            for (int c = 0; c < C; c++) p.urn.order.push_back((c + 1) % C);
            /* real counts, of sum n */
            std::vector<double> x(C);
            double left = urn.n;
            for (int c = 0; c < C; c++) {
                x[c] = c + 1 < C ? urn.m[c] * (urn.n / static_cast<double>(p.urn.total())) * (1 + 0.1 * c) : left;
                left -= x[c];
            }
            const Law::LogProbGradient g = law(p).log_prob_backward(x, {1.5});
            const double limit = 1e-7;
            for (int c = 0; c < C; c++) {
                const double by_omega = difference(p.log_omega, c, 1e-3, [&](const std::vector<double> &v) {
                    Problem q = p;
                    q.log_omega = v;
                    return 1.5 * law(q).log_prob(x)[0];
                });
                EXPECT_NEARBY(g.log_omega[c], by_omega, limit) << "omega " << c;
                if (urn.m[c] == 0)
                    continue; /* x is -0.1.. .. 0.9: allowed, but the merged chain's last class is not read */
                const double by_x =
                    difference(x, c, 1e-3, [&](const std::vector<double> &v) { return 1.5 * law(p).log_prob(v)[0]; });
                EXPECT_NEARBY(g.x[c], by_x, limit) << "x " << c;
            }
        }
}

TEST_P(ExactLaw, MomentGradients) {
    if (float32()) GTEST_SKIP() << "differences want float64";
    Random random(5);
    for (const Small &urn : gradient_urns()) {
        SCOPED_TRACE(testing::PrintToString(urn.m));
        const Problem p = problem_of(urn);
        const size_t C = urn.m.size();
        const Law::Moments up = {random.uniforms(1, -1, 1), random.uniforms(C, -1, 1), random.uniforms(C * C, -1, 1)};
        const std::vector<double> g = law(p).moments_backward(up);
        for (size_t c = 0; c < C; c++) {
            const double want = difference(p.log_omega, c, 1e-3, [&](const std::vector<double> &v) {
                Problem q = p;
                q.log_omega = v;
                const Law::Moments m = law(q).moments();
                double sum = up.log_norm[0] * m.log_norm[0];
                for (size_t j = 0; j < C; j++) sum += up.mean[j] * m.mean[j];
                for (size_t j = 0; j < C * C; j++) sum += up.covariance[j] * m.covariance[j];
                return sum;
            });
            EXPECT_NEARBY(g[c], want, 1e-8 * (1 + std::fabs(want))) << c;
        }
    }
}

TEST_P(ExactLaw, DivergenceIsTheSumOverTheSupport) {
    for (const Small &urn : small_urns()) {
        SCOPED_TRACE(testing::PrintToString(urn.m) + " n " + std::to_string(urn.n));
        const Problem p = problem_of(urn);
        std::vector<double> other = urn.log_omega;
        for (size_t c = 0; c < other.size(); c++) other[c] = 0.5 * other[c] + 0.1 * c;
        const WholeLaw a(urn.m, rounded(dtype(), urn.log_omega), urn.n), b(urn.m, rounded(dtype(), other), urn.n);
        long double want = 0;
        for (size_t i = 0; i < a.x.size(); i++)
            want += a.p(i) * (a.log_weight[i] - a.log_norm - b.log_weight[i] + b.log_norm);
        const double scale = 1 + std::fabs(static_cast<double>(a.log_norm)) + 100 * p.urn.total();
        EXPECT_NEARBY(law(p).kl(other)[0], static_cast<double>(want),
                      tolerance(dtype(), static_cast<double>(want), scale));
        const double self = law(p).kl(urn.log_omega)[0];
        EXPECT_TRUE(self >= 0 && self <= 64 * 0x1p-53 * scale) << self;
    }
}

TEST_P(ExactLaw, DivergenceGradients) {
    if (float32()) GTEST_SKIP() << "differences want float64";
    for (const Small &urn : gradient_urns()) {
        SCOPED_TRACE(testing::PrintToString(urn.m));
        const Problem p = problem_of(urn);
        std::vector<double> other = urn.log_omega;
        for (size_t c = 0; c < other.size(); c++) other[c] = 0.5 * other[c] + 0.1 * c;
        const Law::KlGradient g = law(p).kl_backward(other, {-0.75});
        for (size_t c = 0; c < other.size(); c++) {
            const double own = difference(p.log_omega, c, 1e-3, [&](const std::vector<double> &v) {
                Problem q = p;
                q.log_omega = v;
                return -0.75 * law(q).kl(other)[0];
            });
            EXPECT_NEARBY(g.log_omega[c], own, 1e-8);
            const double others =
                difference(other, c, 1e-3, [&](const std::vector<double> &v) { return -0.75 * law(p).kl(v)[0]; });
            EXPECT_NEARBY(g.other[c], others, 1e-8);
        }
    }
}

TEST_P(ExactLaw, ModeIsTheMostProbable) {
    for (const Small &urn : small_urns()) {
        SCOPED_TRACE(testing::PrintToString(urn.m) + " n " + std::to_string(urn.n));
        const WholeLaw whole(urn.m, rounded(dtype(), urn.log_omega), urn.n);
        const std::vector<int32_t> got = law(problem_of(urn)).mode();
        long double best = -INFINITY, have = -INFINITY;
        for (size_t i = 0; i < whole.x.size(); i++) {
            best = std::max(best, whole.log_weight[i]);
            if (std::equal(got.begin(), got.end(), whole.x[i].begin())) have = whole.log_weight[i];
        }
        EXPECT_TRUE(have >= best - 1e-9L) << testing::PrintToString(got);
    }
    Problem tie; /* balls that tie go to lower classes */
    tie.urn.m = {5, 5, 5, 5};
    tie.urn.chain = oracle::Chain::exact;
    tie.log_omega = {0, 0, 0, 0};
    tie.n = 10;
    EXPECT_EQ(law(tie).mode(), (std::vector<int32_t>{3, 3, 2, 2}));
}

/* More classes than a warp has lanes: ties go on from one 32 to the next, and end anywhere among them. */
TEST_P(ExactLaw, ModeTiesOverManyClasses) {
    const int C = 100;
    for (const int more : {0, 1, 31, 32, 33, 63, 64, 65, 97}) {
        Problem p;
        p.urn.m.assign(C, 5);
        p.urn.m[40] = p.urn.m[41] = 0; /* have none to give */
        p.urn.chain = oracle::Chain::exact;
        p.log_omega.assign(C, 0.75);
        p.n = 2 * (C - 2) + more;
        std::vector<int32_t> want(C, 2);
        want[40] = want[41] = 0;
        for (int c = 0, left = more; left > 0; c++)
            if (p.urn.m[c] > 0) want[c]++, left--;
        EXPECT_EQ(law(p).mode(), want) << more;
    }
}

TEST_P(ExactLaw, RowsAreIndependentAndSharedGradientsAreSums) {
    Random random(9);
    const int64_t B = 70; /* more than the 64 runs that gradients are summed in */
    Problem each;
    each.urn.m = {7, 3, 0, 9, 4};
    each.urn.chain = oracle::Chain::exact;
    each.rows = B;
    const size_t C = 5;
    const std::vector<double> omega = rounded(dtype(), random.uniforms(C, -1, 1)),
                              other = rounded(dtype(), random.uniforms(C, -1, 1));
    for (int64_t b = 0; b < B; b++) {
        each.n_rows.push_back(random.integer(0, 23));
        each.log_omega.insert(each.log_omega.end(), omega.begin(), omega.end());
    }
    std::vector<double> x = random.uniforms(B * C, 0, 1), up = random.uniforms(B, -1, 1), other_each;
    for (int64_t b = 0; b < B; b++) other_each.insert(other_each.end(), other.begin(), other.end());
    Problem shared = each;
    shared.log_omega = omega;
    Law a = law(each), s = law(shared);
    const Law::Moments ma = a.moments(), ms = s.moments();
    EXPECT_TRUE(same_bits(ma.log_norm, ms.log_norm) && same_bits(ma.mean, ms.mean) &&
                same_bits(ma.covariance, ms.covariance));
    EXPECT_TRUE(same_bits(a.log_prob(x), s.log_prob(x)));
    EXPECT_TRUE(same_bits(a.kl(other_each), s.kl(other)));
    EXPECT_EQ(a.mode(), s.mode());
    const auto expect_sum = [&](const std::vector<double> &rows, const std::vector<double> &sum, const char *what) {
        for (size_t c = 0; c < C; c++) {
            double total = 0, size = 0;
            for (int64_t b = 0; b < B; b++) {
                total += rows[b * C + c];
                size += std::fabs(rows[b * C + c]);
            }
            EXPECT_TRUE(std::fabs(total - sum[c]) <= 2 * epsilon() * size + B * 0x1p-53 * size)
                << what << " class " << c;
        }
    };
    expect_sum(a.log_prob_backward(x, up).log_omega, s.log_prob_backward(x, up).log_omega, "log_prob");
    expect_sum(a.moments_backward({up, x, {}}), s.moments_backward({up, x, {}}), "moments");
    expect_sum(a.kl_backward(other_each, up).log_omega, s.kl_backward(other, up).log_omega, "kl");
    expect_sum(a.kl_backward(other_each, up).other, s.kl_backward(other, up).other, "kl other");
}

TEST_P(ExactLaw, NoRowsIsNoWorkAndAGradientSummedOverNoneIsZero) {
    Problem p = problem_of(small_urns()[1]);
    p.rows = 0;
    Law l = law(p);
    EXPECT_TRUE(l.log_prob({}).empty());
    EXPECT_TRUE(l.moments().mean.empty());
    const std::vector<double> zero(3, 0.0);
    EXPECT_EQ(l.log_prob_backward({}, {}).log_omega, zero);
    EXPECT_EQ(l.moments_backward({}), zero);
    EXPECT_EQ(l.kl_backward(p.log_omega, {}).log_omega, zero);
    EXPECT_EQ(l.kl_backward(p.log_omega, {}).other, zero);
}

/* The other law's log omega are looked at in every row, as the first's are. */
TEST_P(ExactLaw, NanInOneRowOfTheOther) {
    Problem p = problem_of(small_urns()[1]);
    p.rows = 4;
    std::vector<double> other;
    for (int b = 0; b < 4; b++) other.insert(other.end(), {0.1, 0.2 * b, -0.3});
    const std::vector<double> fine = law(p).kl(other);
    for (const double bad : {double(NAN), double(INFINITY)})
        for (size_t row = 0; row < 4; row++)
            for (size_t c = 0; c < 3; c++) {
                std::vector<double> spoiled = other;
                spoiled[3 * row + c] = bad;
                Law l = law(p);
                const RealArray there(device(), dtype(), spoiled), kl(device(), dtype(), 4);
                size_t bytes = 0;
                ASSERT_EQ(gurn_mvhg_law_workspace(context(), l.plan(), &l.in, GURN_LAW_KL, &bytes), GURN_SUCCESS);
                const DeviceBytes w(device(), bytes);
                const gurn_status status =
                    gurn_mvhg_kl(context(), l.plan(), &l.in, there.data(), 3, kl.data(), w.data(), bytes);
                device_synchronize(device());
                if (device() == GURN_DEVICE_CPU) {
                    EXPECT_EQ(status, GURN_INVALID_LOG_OMEGA);
                    const std::string named = "other[" + std::to_string(row) + "][" + std::to_string(c) + "]";
                    EXPECT_NE(std::string(gurn_context_message(context())).find(named), std::string::npos)
                        << gurn_context_message(context());
                    EXPECT_TRUE(kl.bytes().untouched());
                } else {
                    ASSERT_EQ(status, GURN_SUCCESS);
                    const std::vector<double> got = kl.values();
                    for (size_t b = 0; b < 4; b++) EXPECT_TRUE(b == row ? std::isnan(got[b]) : got[b] == fine[b]) << b;
                }
            }
}

TEST_P(ExactLaw, NothingDependsOnThreads) {
    Problem p;
    p.urn.m = {30, 20, 25};
    p.urn.chain = oracle::Chain::exact;
    p.rows = 130;
    Random random(3);
    p.log_omega = random.uniforms(3, -1, 1);
    for (int64_t b = 0; b < p.rows; b++) p.n_rows.push_back(random.integer(0, 75));
    const std::vector<double> x = random.uniforms(p.rows * 3, 5, 15), up = random.uniforms(p.rows, -1, 1);
    Law two = law(p);
    const Law::LogProbGradient want = two.log_prob_backward(x, up);
    for (int threads : {1, 3}) {
        const Context other = make_context(GetParam(), threads);
        Law again(other.get(), GetParam(), p);
        EXPECT_TRUE(same_bits(again.log_prob_backward(x, up).log_omega, want.log_omega));
        EXPECT_TRUE(same_bits(again.moments().mean, two.moments().mean));
    }
}

TEST_P(ExactLaw, BadArgumentsAreNamed) {
    const Problem p = problem_of(small_urns()[1]);
    Law l = law(p);
    const RealArray x(device(), dtype(), std::vector<double>{1, 2, 2}), out(device(), dtype(), 9),
        nan(device(), dtype(), std::vector<double>{1, NAN, 2});
    size_t bytes = 0;
    ASSERT_EQ(gurn_mvhg_law_workspace(context(), l.plan(), &l.in, GURN_LAW_COVARIANCE, &bytes), GURN_SUCCESS);
    const DeviceBytes w(device(), bytes);
    gurn_mvhg_moments m = GURN_MVHG_MOMENTS_INIT;
    m.mean = out.data();
    gurn_mvhg_inputs bad = l.in;
    const auto says = [&](gurn_status status, const char *name) {
        EXPECT_NE(std::string(gurn_context_message(context())).find(name), std::string::npos)
            << gurn_context_message(context());
        return status;
    };
    EXPECT_EQ(says(gurn_mvhg_law_workspace(context(), l.plan(), &l.in, static_cast<gurn_law>(9), &bytes), "law"),
              GURN_INVALID_ARGUMENT);
    EXPECT_EQ(says(gurn_mvhg_law_workspace(context(), l.plan(), &l.in, GURN_LAW_KL, nullptr), "bytes"),
              GURN_INVALID_ARGUMENT);
    EXPECT_EQ(says(gurn_mvhg_log_prob(context(), l.plan(), &l.in, nullptr, out.data(), w.data(), bytes), "x"),
              GURN_INVALID_ARGUMENT);
    EXPECT_EQ(says(gurn_mvhg_log_prob(context(), l.plan(), &l.in, x.data(), nullptr, w.data(), bytes), "log_p"),
              GURN_INVALID_ARGUMENT);
    EXPECT_EQ(
        says(gurn_mvhg_log_prob(context(), l.plan(), &l.in, x.data(), out.data(), w.data(), 8), "workspace_bytes"),
        GURN_WORKSPACE_TOO_SMALL);
    EXPECT_EQ(says(gurn_mvhg_moments_forward(context(), l.plan(), &l.in, nullptr, w.data(), bytes), "moments"),
              GURN_INVALID_ARGUMENT);
    EXPECT_EQ(says(gurn_mvhg_moments_backward(context(), l.plan(), &l.in, &m, nullptr, w.data(), bytes), "d_log_omega"),
              GURN_INVALID_ARGUMENT);
    EXPECT_EQ(says(gurn_mvhg_kl(context(), l.plan(), &l.in, nullptr, 0, out.data(), w.data(), bytes), "other"),
              GURN_INVALID_ARGUMENT);
    EXPECT_EQ(says(gurn_mvhg_kl(context(), l.plan(), &l.in, x.data(), 2, out.data(), w.data(), bytes), "other_stride"),
              GURN_INVALID_LOG_OMEGA);
    EXPECT_EQ(says(gurn_mvhg_mode(context(), l.plan(), &l.in, nullptr, w.data(), bytes), "x"), GURN_INVALID_ARGUMENT);
    bad.n = 6;
    EXPECT_EQ(says(gurn_mvhg_moments_forward(context(), l.plan(), &bad, &m, w.data(), bytes), "n is 6"),
              GURN_INVALID_N);
    if (device() == GURN_DEVICE_CPU) {
        bad = l.in;
        bad.log_omega = nan.data();
        EXPECT_EQ(says(gurn_mvhg_moments_forward(context(), l.plan(), &bad, &m, w.data(), bytes), "log_omega"),
                  GURN_INVALID_LOG_OMEGA);
        EXPECT_EQ(says(gurn_mvhg_kl(context(), l.plan(), &l.in, nan.data(), 0, out.data(), w.data(), bytes), "other"),
                  GURN_INVALID_LOG_OMEGA);
        EXPECT_EQ(
            says(gurn_mvhg_log_prob(context(), l.plan(), &l.in, nan.data(), out.data(), w.data(), bytes), "x[0][1]"),
            GURN_INVALID_X);
    }
    EXPECT_TRUE(out.bytes().untouched());
}

ON_ALL_TARGETS(ExactLaw);
