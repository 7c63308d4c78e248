#include "problems.h"

#include <cmath>

namespace gurn_test {

std::vector<NamedProblem> assorted_problems(int64_t rows, oracle::Chain chain) {
    std::vector<NamedProblem> list;
    Random random(2024);
    const auto add = [&](const char *name, std::vector<int> m, int n, double tau, double spread, bool shared,
                         bool reorder = false, bool n_rows = false) {
        Problem p;
        p.urn.m = m;
        p.urn.chain = chain;
        if (reorder) p.urn.order = random.permutation(p.urn.classes());
        p.rows = rows;
        p.n = n;
        p.tau = tau;
        p.log_omega = random.uniforms(shared ? m.size() : rows * m.size(), -spread, spread);
        p.seed = random.word();
        p.offset = random.word();
        if (n_rows)
            for (int64_t b = 0; b < rows; b++) p.n_rows.push_back(random.integer(0, n));
        list.push_back({name, p});
    };
    add("small", {3, 5, 4}, 5, 1, 1, false);
    add("two classes", {5, 7}, 6, 0.5, 2, false);
    add("one class", {9}, 4, 1, 1, false);
    add("empty classes", {0, 6, 0, 0, 5, 0}, 7, 0.7, 1, false, true);
    add("last classes empty", {4, 3, 0, 0}, 5, 0.7, 1, false);
    add("nothing drawn", {4, 5, 6}, 0, 1, 1, false);
    add("everything drawn", {4, 5, 6}, 15, 1, 1, false);
    add("all but one drawn", {9, 1, 12, 3}, 24, 1.5, 1, true);
    add("bits", {1, 1, 1, 1, 1, 1, 1}, 4, 0.9, 2, false, true);
    add("around a warp", {31, 32, 33}, 40, 1, 0.5, false, true);
    add("uneven", {64, 1, 64, 1}, 65, 2, 1, false);
    add("tight", {100, 3}, 102, 0.6, 1, false);
    add("twelve classes", {6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6}, 30, 0.5, 1, false, true);
    add("S1", {200, 200, 200}, 180, 0.5, 1.5, true);
    add("rows differ in n", {20, 30, 25}, 60, 0.8, 1, false, true, true);
    add("cold", {20, 20, 20}, 30, 0.05, 1, false);
    add("hot", {20, 20, 20}, 30, 12, 1, false);
    add("lopsided", {40, 40, 40}, 60, 1, 6, false);
    Problem reordered = list[12].problem; /* equal class sizes: an order with the call */
    reordered.urn.order.clear();
    for (int c = 0; c < 12; c++) reordered.call_order.push_back((c * 5 + 3) % 12);
    list.push_back({"order of the call", reordered});
    return list;
}

Incoming random_incoming(const Problem &p, uint64_t seed) {
    Random random(seed);
    Incoming in;
    in.x = random.uniforms(p.rows * p.urn.classes(), -1, 1);
    in.y = random.uniforms(p.rows * p.urn.width(), -1, 1);
    in.mask = random.uniforms(p.rows * p.urn.width(), -1, 1);
    in.log_p = random.uniforms(p.rows, -1, 1);
    return in;
}

std::vector<double> random_gumbel(const Problem &p, uint64_t seed) {
    Random random(seed);
    std::vector<double> g(p.rows * p.urn.width());
    for (double &v : g) v = random.gumbel();
    return g;
}

oracle::ErrorModel error_model(gurn_dtype dtype, const oracle::Urn &urn) {
    if (dtype == GURN_FLOAT32) return {1e-5, 0x1p-24, 0x1p-24};
    return {16 * 0x1p-53 * (1 + std::lgamma(urn.total() + 1)), 0x1p-53, 0x1p-53};
}

std::vector<double> slice(const std::vector<double> &v, int64_t b, int64_t width) {
    return std::vector<double>(v.begin() + b * width, v.begin() + (b + 1) * width);
}

void expect_oracle_gradient(const Problem &p, gurn_dtype dtype, const std::vector<double> &x, const Incoming &incoming,
                            const Gradient &g) {
    const double epsilon = dtype == GURN_FLOAT32 ? 0x1p-24 : 0x1p-53;
    const oracle::Urn urn = p.urn_of_call();
    const int C = urn.classes();
    const oracle::ErrorModel model = error_model(dtype, urn);
    std::vector<double> sum(C, 0), limit(C, 0);
    for (int64_t b = 0; b < p.rows; b++) {
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
            ASSERT_TRUE(std::fabs(got - sum[c]) <= limit[c])
                << got << " for " << sum[c] << " within " << limit[c] << ", row " << b << " class " << c;
        }
        if (g.tau.empty()) continue;
        const double tau_limit = 2 * bounds.tau + 8 * epsilon * (1 + std::fabs(want.tau));
        ASSERT_TRUE(std::fabs(g.tau[b] - want.tau) <= tau_limit)
            << g.tau[b] << " for " << want.tau << " within " << tau_limit << ", row " << b << " tau";
    }
}

}  // namespace gurn_test
