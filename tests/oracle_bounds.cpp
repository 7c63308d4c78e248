#include "oracle_bounds.h"

#include <algorithm>
#include <cmath>

namespace oracle {

namespace {

Real mean(const std::vector<Real> &weight, const std::vector<Real> &v) {
    Real sum = 0;
    for (size_t a = 0; a < v.size(); a++)
        if (weight[a] > 0) sum += weight[a] * v[a];
    return sum;
}

/* A softmax p = softmax(z) whose z is off by at most d[k] (plus any common shift): its own errors. */
std::vector<Real> softmax_error(const std::vector<Real> &p, const std::vector<Real> &d, const ErrorModel &model) {
    const Real common = mean(p, d), top = *std::max_element(p.begin(), p.end());
    std::vector<Real> out(p.size());
    for (size_t a = 0; a < p.size(); a++)
        out[a] = p[a] * (d[a] + common + 4 * model.rounding) + std::min(p[a], model.skipped * top);
    return out;
}

/* What both directions need of one step. */
struct StepErrors {
    Step s;
    std::vector<Real> score, y, p, slope; /* y relaxed, p = softmax of the logits alone */
    std::vector<Real> dlogit, dy, dp, dlog_p;

    StepErrors(const RowChain &chain, const Urn &urn, const Row &row, int i, Real n_i, Real n_error,
               const ErrorModel &model)
        : s(step(chain, i, n_i)),
          score(step_scores(urn, row, i, s)),
          y(softmax(score, row.tau)),
          p(softmax(s.logit, 1)),
          slope(step_slopes(chain, i, n_i, s)) {
        const Real middle = mean(y, slope), middle_p = mean(p, slope);
        const Real top = *std::max_element(score.begin(), score.end());
        std::vector<Real> d, e;
        for (size_t a = 0; a < y.size(); a++) {
            const Real fall = std::min<Real>(top - score[a], 100 * row.tau); /* beyond, its weight is nothing */
            dlogit.push_back(model.logit + fabsl(slope[a] - middle) * n_error);
            d.push_back((dlogit[a] + 4 * model.rounding * fall) / row.tau);
            e.push_back(model.logit + fabsl(slope[a] - middle_p) * n_error);
        }
        dy = softmax_error(y, d, model);
        dp = softmax_error(p, e, model);
        for (size_t a = 0; a < y.size(); a++)
            dlog_p.push_back(e[a] + mean(p, e) + 4 * model.rounding * (1 + fabsl(s.log_p[a])));
    }
};

}  // namespace

ForwardBounds forward_bounds(const Urn &urn, const Row &row, const std::vector<double> &x, const ErrorModel &model) {
    const int C = urn.classes();
    const RowChain &chain = chain_of(urn, row.log_omega);
    ForwardBounds out;
    out.x.assign(C, 0);
    out.y.assign(urn.width(), 0);
    out.mask.assign(urn.width(), 0);
    out.log_p = 0;
    Real left = row.n, n_error = 0;
    for (int i = 0; i < urn.last(); i++) {
        const int c = urn.at(i);
        const StepErrors e(chain, urn, row, i, left, n_error, model);
        if (!row.soft) {
            out.log_p += double(e.dlog_p.at(size_t(int(x[c]) - e.s.lo)));
            left -= x[c];
            continue;
        }
        Real m = 0, x_error = 0, level = mean(e.y, e.s.log_p), log_p_error = 0;
        for (size_t a = 0; a < e.y.size(); a++) m += e.y[a] * (e.s.lo + Real(a));
        for (size_t a = 0; a < e.y.size(); a++) {
            x_error += e.dy[a] * fabsl(e.s.lo + Real(a) - m);
            out.y[urn.offset(c) + e.s.lo + a] = double(e.dy[a]);
            if (e.y[a] > 0) log_p_error += e.dy[a] * fabsl(e.s.log_p[a] - level) + e.y[a] * e.dlog_p[a];
        }
        out.x[c] = double(x_error + 4 * model.rounding * m);
        out.log_p += double(log_p_error);
        n_error += out.x[c] + model.rounding * fabsl(left);
        left -= m;
    }
    const int last = urn.at(urn.last());
    if (row.soft) out.x[last] = double(n_error + model.rounding * fabsl(left));
    for (int k = 0; k <= urn.m[last] && row.soft; k++) out.y[urn.offset(last) + k] = out.x[last];
    for (int c = 0; c < C; c++) {
        /* A partial sum of y: all of it below has the error of all of it above. */
        Real all = 0;
        for (int k = 0; k <= urn.m[c]; k++) all += out.y[urn.offset(c) + k];
        if (c == last) all = std::min<Real>(all, 4 * out.x[last]);
        for (int k = 0; k <= urn.m[c]; k++)
            out.mask[urn.offset(c) + k] = double(all + (row.soft ? 8 * model.rounding : 0));
    }
    return out;
}

Gradients backward_bounds(const Urn &urn, const Row &row, const std::vector<double> &x, const Upstream &up,
                          const ErrorModel &model) {
    const int C = urn.classes();
    const RowChain &chain = chain_of(urn, row.log_omega);
    const Real eps = 4 * model.rounding;
    const auto entry = [](const std::vector<double> &v, int i) -> Real { return v.empty() ? 0 : v[i]; };

    /* dx and its error; dx is needed too, because errors are relative to it.  */
    std::vector<Real> dx(C), dx_error(C);
    std::vector<std::vector<Real>> dy(C), dy_size(C);
    for (int c = 0; c < C; c++) {
        Real sum = 0, size = 0;
        for (int k = 0; k <= urn.m[c]; k++) {
            sum += entry(up.mask, urn.offset(c) + k);
            size += fabsl(entry(up.mask, urn.offset(c) + k));
            dy[c].push_back(entry(up.y, urn.offset(c) + k) + sum);
            dy_size[c].push_back(fabsl(entry(up.y, urn.offset(c) + k)) + size);
        }
        dx[c] = entry(up.x, c);
        dx_error[c] = eps * fabsl(dx[c]);
    }
    const int last = urn.at(urn.last());
    for (int k = 0; k <= urn.m[last]; k++)
        if (fabsl(k - Real(x[last])) < 2) dx_error[last] += eps * dy_size[last][k];
    dx[last] += hat_slope(dy[last], x[last]);
    for (int j = 0; j < urn.last(); j++) {
        dx[urn.at(j)] -= dx[last];
        dx_error[urn.at(j)] += dx_error[last] + eps * fabsl(dx[last]);
    }

    std::vector<Real> dlw_error(C, 0);
    Real dtau_error = 0;
    if (std::isnan(x[0])) return {std::vector<double>(C, 0), 0}; /* the gradients are NaN */
    for (int i = urn.last() - 1; i >= 0; i--) {
        const int c = urn.at(i);
        Real n_i = row.n;
        for (int j = 0; j < i; j++) n_i -= x[urn.at(j)];
        const Step s = step(chain, i, n_i);
        if (s.logit.size() == 1 || !any_choice(step_scores(urn, row, i, s))) continue;
        const StepErrors e(chain, urn, row, i, n_i, row.soft ? model.rounding * row.n * i : 0, model);
        const size_t points = e.y.size();
        std::vector<Real> u(points), count(points), u_error(points);
        for (size_t a = 0; a < points; a++) {
            const int k = e.s.lo + int(a);
            count[a] = k;
            const Real log_p = e.y[a] > 0 && up.log_p != 0 ? up.log_p * e.s.log_p[a] : 0;
            u[a] = dy[c][k] + dx[c] * k + log_p;
        }
        const Real middle = mean(e.y, count), u_mean = mean(e.y, u);
        for (size_t a = 0; a < points; a++)
            u_error[a] = dx_error[c] * fabsl(count[a] - middle) +
                         eps * (fabsl(dx[c]) * count[a] + dy_size[c][e.s.lo + int(a)] + fabsl(u[a])) +
                         (e.y[a] > 0 && up.log_p != 0 ? fabsl(up.log_p) * e.dlog_p[a] : 0);
        Real mean_error = mean(e.y, u_error);
        for (size_t a = 0; a < points; a++)
            if (e.y[a] > 0) mean_error += e.dy[a] * fabsl(u[a] - u_mean);

        std::vector<Real> g(points), g_error(points), dz(points, 0), dz_error(points, 0);
        for (size_t a = 0; a < points; a++) {
            if (e.y[a] > 0) {
                dz[a] = e.y[a] * (u[a] - u_mean) / row.tau;
                dz_error[a] = (e.dy[a] * fabsl(u[a] - u_mean) + e.y[a] * (u_error[a] + mean_error)) / row.tau;
            }
            const Real taken = row.soft ? e.y[a] : Real(count[a] == x[c]);
            g[a] = dz[a] + up.log_p * (taken - e.p[a]);
            g_error[a] = dz_error[a] + fabsl(up.log_p) * (e.dp[a] + (row.soft ? e.dy[a] : 0)) + eps * fabsl(g[a]);
        }
        /* The errors of g sum to zero but for rounding: what multiplies them counts from its middle. */
        Real dn_error = 0;
        const Real slope_middle = mean(e.y, e.slope), score_middle = mean(e.y, e.score);
        const std::vector<Real> at_middle = chain.rest_gradient(i, n_i - middle);
        for (size_t a = 0; a < points; a++) {
            if (g[a] == 0 && g_error[a] == 0) continue;
            dlw_error[c] += fabsl(count[a] - middle) * g_error[a] + eps * count[a] * fabsl(g[a]);
            const std::vector<Real> dR = chain.rest_gradient(i, n_i - count[a]);
            for (int j = 0; j < C; j++)
                dlw_error[j] += fabsl(dR[j] - at_middle[j]) * g_error[a] + eps * fabsl(dR[j] * g[a]);
            dn_error += fabsl(e.slope[a] - slope_middle) * g_error[a] + eps * (1 + fabsl(e.slope[a])) * fabsl(g[a]);
            if (e.y[a] == 0) continue; /* its score may be -infinity */
            dtau_error += (fabsl(e.score[a] - score_middle) * dz_error[a] +
                           fabsl(dz[a]) * (e.dlogit[a] + eps * fabsl(e.score[a] - score_middle))) /
                          row.tau;
        }
        for (int j = 0; j < i; j++) {
            dx_error[urn.at(j)] += dn_error;
            Real dn = 0;
            for (size_t a = 0; a < points; a++) dn += g[a] != 0 ? g[a] * e.slope[a] : 0;
            dx[urn.at(j)] -= dn;
        }
    }
    Gradients out;
    for (Real v : dlw_error) out.log_omega.push_back(double(v));
    out.tau = double(dtau_error);
    return out;
}

}  // namespace oracle
