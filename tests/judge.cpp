#include "judge.h"

#include <algorithm>
#include <cmath>

namespace gurn_test {

namespace {

/* Up to this temperature weights fade towards the ends of a support (on_an_edge). */
const double kFading = 100;

double epsilon_of(gurn_dtype dtype) { return dtype == GURN_FLOAT32 ? 0x1p-24 : 0x1p-53; }

void expect_hard_row(gurn_dtype dtype, const Problem &p, const oracle::Urn &urn, const Answer &a, int64_t b) {
    const oracle::Row row = p.row(b, dtype);
    const std::vector<double> x = slice(a.x, b, urn.classes());
    expect_one_hots(p, a, b);
    if (testing::Test::HasFatalFailure()) return;
    /* What decides is more exact than the 1e-5 of log_p: see NoiseAddress.DrawsAreTheOraclesDraws. */
    const double shortfall = oracle::shortfall(urn, row, x);
    ASSERT_TRUE(shortfall <= (dtype == GURN_FLOAT32 ? 2.5e-6 : 1e-11)) << shortfall << " row " << b;
    const double want = oracle::log_prob(urn, row.log_omega, row.n, std::vector<int>(x.begin(), x.end()));
    const double limit = 2 * oracle::forward_bounds(urn, row, x, error_model(dtype, urn)).log_p +
                         4 * epsilon_of(dtype) * std::fabs(want);
    ASSERT_TRUE(std::fabs(a.log_p[b] - want) <= limit) << a.log_p[b] << " for " << want << " row " << b;
}

void expect_soft_row(gurn_dtype dtype, const Problem &p, const oracle::Urn &urn, const oracle::Outputs &want,
                     const Answer &a, int64_t b) {
    const int C = urn.classes(), W = urn.width();
    const oracle::Row row = p.row(b, dtype);
    const oracle::ForwardBounds bounds = oracle::forward_bounds(urn, row, want.x, error_model(dtype, urn));
    /* Twice the first-order bound for the second order, and the rounding of the result. */
    const auto limit = [&](double bound, double value) {
        return 2 * bound + 4 * epsilon_of(dtype) * (1 + std::fabs(value));
    };
    double total = 0;
    for (int c = 0; c < C; c++) {
        const double x = a.x[b * C + c];
        ASSERT_TRUE(std::fabs(x - want.x[c]) <= limit(bounds.x[c], want.x[c]))
            << x << " for " << want.x[c] << " row " << b << " class " << c;
        total += x;
    }
    ASSERT_TRUE(std::fabs(total - row.n) <= 2 * C * epsilon_of(dtype) * (1 + row.n)) << total << " row " << b;
    for (int i = 0; i < W; i++) {
        ASSERT_TRUE(std::fabs(a.y[b * W + i] - want.y[i]) <= limit(bounds.y[i], want.y[i]))
            << a.y[b * W + i] << " for " << want.y[i] << " row " << b << " y " << i;
        ASSERT_TRUE(std::fabs(a.mask[b * W + i] - want.mask[i]) <= limit(bounds.mask[i], 2))
            << a.mask[b * W + i] << " for " << want.mask[i] << " row " << b << " mask " << i;
    }
    ASSERT_TRUE(std::fabs(a.log_p[b] - want.log_p) <= limit(bounds.log_p, want.log_p))
        << a.log_p[b] << " for " << want.log_p << " row " << b;
}

}  // namespace

bool on_an_edge(const Problem &p, const std::vector<double> &x, int64_t b) {
    const oracle::Urn urn = p.urn_of_call();
    double left = p.n_of(b);
    for (int i = 0; p.soft && i + 1 < urn.last(); i++) {
        left -= x[urn.at(i)];
        if (!(std::fabs(left - std::round(left)) > 0.01)) return true;
    }
    return false;
}

bool all_nan(const std::vector<double> &v) {
    return std::all_of(v.begin(), v.end(), [](double a) { return std::isnan(a); });
}

/* In hard mode x, y and mask leave no room: y is the one-hot of x, and mask its sum from above. */
void expect_one_hots(const Problem &p, const Answer &a, int64_t b) {
    const int C = p.urn.classes(), W = p.urn.width();
    double total = 0;
    for (int c = 0; c < C; c++) {
        const double x = a.x[b * C + c];
        ASSERT_TRUE(x >= 0 && x <= p.urn.m[c] && x == std::floor(x)) << x << " row " << b << " class " << c;
        total += x;
        for (int k = 0; k <= p.urn.m[c]; k++) {
            const size_t at = b * W + p.urn.offset(c) + k;
            ASSERT_EQ(a.y[at], k == x ? 1 : 0) << "row " << b << " class " << c << " count " << k;
            ASSERT_EQ(a.mask[at], k <= x ? 1 : 0) << "row " << b << " class " << c << " count " << k;
        }
    }
    ASSERT_EQ(total, p.n_of(b)) << "row " << b;
}

void expect_forward(gurn_dtype dtype, const Problem &p, const Answer &a) {
    const oracle::Urn urn = p.urn_of_call();
    const int C = urn.classes(), W = urn.width();
    for (int64_t b = 0; b < p.rows; b++) {
        oracle::Outputs want;
        if (p.soft || p.noise == GURN_NOISE_GIVEN) want = oracle::forward(urn, p.row(b, dtype));
        if (std::isnan(want.log_p)) {
            ASSERT_TRUE(all_nan(slice(a.x, b, C)) && all_nan(slice(a.y, b, W)) && all_nan(slice(a.mask, b, W)) &&
                        std::isnan(a.log_p[b]))
                << "nothing is left to choose in row " << b;
        } else if (!p.soft) {
            expect_hard_row(dtype, p, urn, a, b);
        } else if (p.tau <= kFading || !on_an_edge(p, want.x, b)) {
            expect_soft_row(dtype, p, urn, want, a, b);
        } else {
            ASSERT_TRUE(std::isfinite(a.log_p[b])) << "row " << b;
        }
        if (testing::Test::HasFatalFailure()) return;
    }
}

void expect_gradient(gurn_dtype dtype, const Problem &p, const std::vector<double> &x, const Incoming &incoming,
                     const Gradient &g) {
    const oracle::Urn urn = p.urn_of_call();
    const int C = urn.classes();
    const oracle::ErrorModel model = error_model(dtype, urn);
    const double epsilon = epsilon_of(dtype);
    std::vector<double> sum(C, 0), limit(C, 0);
    for (int64_t b = 0; b < p.rows; b++) {
        if (p.tau > kFading && on_an_edge(p, slice(x, b, C), b)) {
            if (p.shared()) return;
            continue;
        }
        const oracle::Row row = p.row(b, dtype);
        const oracle::Upstream up = incoming.row(urn, b, dtype);
        const std::vector<double> x_row = slice(x, b, C);
        const oracle::Gradients want = oracle::backward(urn, row, x_row, up);
        const oracle::Gradients bounds = oracle::backward_bounds(urn, row, x_row, up, model);
        /* Twice the first-order bound, and what rounding the result leaves; sums over rows add both. */
        if (!p.shared()) sum.assign(C, 0), limit.assign(C, 0);
        for (int c = 0; c < C; c++) {
            sum[c] += want.log_omega[c];
            limit[c] += 2 * bounds.log_omega[c] + 8 * epsilon * (1 + std::fabs(want.log_omega[c]));
            if (p.shared() && b + 1 < p.rows) continue;
            const double got = g.log_omega[p.shared() ? c : b * C + c];
            if (std::isnan(sum[c]))
                ASSERT_TRUE(std::isnan(got)) << got << " for NaN, row " << b << " class " << c;
            else
                ASSERT_TRUE(std::fabs(got - sum[c]) <= limit[c])
                    << got << " for " << sum[c] << " within " << limit[c] << ", row " << b << " class " << c;
        }
        if (g.tau.empty()) continue;
        const double tau_limit = 2 * bounds.tau + 8 * epsilon * (1 + std::fabs(want.tau));
        if (std::isnan(want.tau))
            ASSERT_TRUE(std::isnan(g.tau[b])) << g.tau[b] << " for NaN, row " << b << " tau";
        else
            ASSERT_TRUE(std::fabs(g.tau[b] - want.tau) <= tau_limit)
                << g.tau[b] << " for " << want.tau << " within " << tau_limit << ", row " << b << " tau";
    }
}

}  // namespace gurn_test
