/*
 * Log-probability of a given x, and its derivatives, in C and in CUDA device code.
 *
 * Exact law ([MVHG] Eq. 1): log P(x) = sum_j log C(m_j, x_j) + x_j log omega_j - log P0, with log P0 from moments.h.
 * Merged chain ([MVHG] Eq. 3, 7): sum over all but the last class of logit_i(x_i) - log sum_k exp logit_i(k), the sum
 * over whole k in the support. Both are evaluated as they stand for real x, through Gamma functions; a count outside
 * (-1, m + 1), where 1/Gamma vanishes, has probability 0.
 */
#ifndef GURN_LOG_PROB_H
#define GURN_LOG_PROB_H

#include "mvhg.h"

/*
 * log C(m, x) + x log omega. wide: T_m of plan.h, read when x is whole. -infinity outside (-1, m + 1).
 */
GURN_FN double gurn_log_weight(const double *wide, double m, double x, double log_omega) {
    double bits;
    if (!(x > -1.0 && x < m + 1.0)) return -INFINITY;
    if (x >= 0.0 && x <= m && x == floor(x))
        bits = wide[0] - wide[(int64_t)x];
    else
        bits = gurn_log2_gamma(m + 1.0) - gurn_log2_gamma(x + 1.0) - gurn_log2_gamma(m - x + 1.0);
    return fma(bits, GURN_LN2, x * log_omega);
}
/* Its derivative to x (to log omega it is x). */
GURN_FN double gurn_log_weight_dx(double m, double x, double log_omega) {
    return log_omega - gurn_digamma(x + 1.0) + gurn_digamma(m - x + 1.0);
}

/*
 * The support of one merged step, summed: natural log of sum_k 2^-cost(k), and means over it of k and of psi(k) = d
 * logit(k) / dn.
 */
typedef struct gurn_merged_norm {
    double log_sum, mean_k, mean_psi;
} gurn_merged_norm;

/*
 * Sums from the mode k0 outwards by the ratio of neighbours,
 *     2^(cost(k) - cost(k+1)) = 2^lambda (m - k) r / ((k + 1) (m_R - r + 1)),     r = n - k,
 *     psi(k) = digamma(m_R - r + 1) - digamma(r + 1),     psi(k+1) - psi(k) = 1/(m_R - r + 1) + 1/r,
 * until terms are 2^-60 of the sum: no Gamma function is called but at k0. The support must not be empty.
 */
GURN_FN gurn_merged_norm gurn_merged_sum(const gurn_step *step, double lambda, double n) {
    gurn_support at = gurn_support_soft(step->m, step->m_rest, n);
    double m = step->m, m_rest = step->m_rest, root = s_mode_root(m, m_rest, n, lambda);
    double k0 = root > at.low ? (root < at.high ? floor(root) : at.high) : at.low;
    double sum = 1.0, sum_k = 0.0, sum_psi = 0.0, psi0 = gurn_cost_soft_psi(m_rest, (int64_t)k0, n);
    double up = s_exp2_64(lambda), down = s_exp2_64(-lambda), term = 1.0, psi = 0.0;
    for (double k = k0; k < at.high; k += 1.0) {
        double r = n - k;
        term *= up * ((m - k) * r) / ((k + 1.0) * (m_rest - r + 1.0));
        psi += 1.0 / (m_rest - r + 1.0) + 1.0 / r;
        sum += term;
        sum_k += term * (k + 1.0 - k0);
        sum_psi += term * psi;
        if (!(term > sum * 0x1p-60)) break;
    }
    term = 1.0;
    psi = 0.0;
    for (double k = k0; k > at.low; k -= 1.0) {
        double r = n - k; /* of k; the next term has r + 1 */
        term *= down * (k * (m_rest - r)) / ((m - k + 1.0) * (r + 1.0));
        psi -= 1.0 / (m_rest - r) + 1.0 / (r + 1.0);
        sum += term;
        sum_k += term * (k - 1.0 - k0);
        sum_psi += term * psi;
        if (!(term > sum * 0x1p-60)) break;
    }
    gurn_merged_norm norm;
    norm.log_sum = (s_log2_64(sum) - gurn_cost_soft(step->own.wide, m_rest, lambda, (int64_t)k0, n)) * GURN_LN2;
    norm.mean_k = k0 + sum_k / sum;
    norm.mean_psi = psi0 + sum_psi / sum;
    return norm;
}

/*
 * log p of x at one merged step, and its derivatives: to log(omega_i) at fixed omega_R (to log(omega_R) it is the
 * negative), to x at fixed n, and to n at fixed x. log_p is -infinity and the derivatives are NaN where x or n - x is
 * outside.
 */
typedef struct gurn_merged_term {
    double log_p, dlog_omega, dx, dn;
} gurn_merged_term;

GURN_FN gurn_merged_term gurn_merged_log_p(const gurn_step *step, double lambda, double n, double x) {
    double m = step->m, m_rest = step->m_rest, r = n - x;
    gurn_merged_term t = {-INFINITY, NAN, NAN, NAN};
    if (!(x > -1.0 && x < m + 1.0 && r > -1.0 && r < m_rest + 1.0)) return t;
    if (!(n > -1.0 && n < m + m_rest + 1.0)) return t; /* an empty support, which x and r both below 0 can leave */
    gurn_merged_norm norm = gurn_merged_sum(step, lambda, n);
    double own = gurn_log_weight(step->own.wide, m, x, lambda * GURN_LN2) - step->own.wide[0] * GURN_LN2;
    double rest = (gurn_log2_gamma(r + 1.0) + gurn_log2_gamma(m_rest - r + 1.0)) * GURN_LN2;
    double psi = gurn_digamma(m_rest - r + 1.0) - gurn_digamma(r + 1.0);
    t.log_p = own - rest - norm.log_sum;
    t.dlog_omega = x - norm.mean_k;
    t.dx = gurn_log_weight_dx(m, x, lambda * GURN_LN2) - psi;
    t.dn = psi - norm.mean_psi;
    return t;
}

#endif
