/*
 * The MVHG chain: what decides a draw, what a row's parameters are, and how gradients are put together from sums over a
 * support. Shared by mvhg_cpu.c and mvhg.cu, so that each formula stands once. Notation of DESIGN: [MVHG] Sutter et
 * al., ICLR 2023.
 *
 * At place i of the order, own class of size m against the rest of size m_R, n left to draw, the support is
 * max(0, n - m_R) <= k <= min(m, n) and, in bits,
 *     cost(k) = T_m(k) + T_{m_R}(n - k) - k lambda  =  -log2 e (logit_i(k) + what does not depend on k)    ([MVHG] Eq. 7)
 *
 * The race. With E(k) = -log2 u(k) (philox.h, logmath_lanes.h) and v(k) = E(k) 2^cost(k),
 *     argmin_k v(k) = argmax_k logit(k) + g(k),     softmax((logit + g) / tau)_k = v(k)^(-1/tau) / sum_j v(j)^(-1/tau).
 *
 * In float32, with generated noise, cost is an integer number of 2^-23 bit modulo 2^32, a sum of table entries and of
 * the linear term gurn_linear(); it is used as its distance from a reference that is a whole number of bits. Moving the
 * reference by a bit multiplies every v by exactly 2, so the draw depends neither on how the mode was found nor on
 * which part of the tails was looked at: all devices agree to the bit. Everything else (float64, soft, given noise or
 * none) is done in double: "the general path".
 */
#ifndef GURN_MVHG_H
#define GURN_MVHG_H

#include <stdbool.h>

#include "gammamath.h"
#include "gumbelurn.h"
#include "logmath.h"
#include "omega.h"
#include "philox.h"
#include "plan.h"

#define GURN_MAX_LAMBDA 200.0

/*
 * Window of the race, in bits of cost above the mode's. E lies in [2^-32.47, 2^5.05] (u within 2^-33 of 1 and 0), so a
 * point whose cost is 37.6 bits above the mode's can not win; half a bit more leaves room for rounding.
 */
#define GURN_RACE_BITS 38.1f
/*
 * Nearly always less will do: if the best race value found is at most GURN_SURE_RACE (relative to a reference at or below the
 * mode's cost), a point GURN_SURE_BITS above the mode, whose race value is 2^(33 - 32.47) at least, can not win either. So a
 * sweep takes the narrow window first and the wide one only when its winner is not sure.
 */
#define GURN_SURE_BITS 33.0f
#define GURN_SURE_RACE 1.4f
/* A point tau * 24 bits further weighs less than 2^-24 of the winner in softmax((logit + g)/tau). */
#define GURN_RELAXED_BITS(tau) (GURN_RACE_BITS + 24.0f * (float)(tau))
/* Temperatures above this are windows of the whole support, for no cost is as high as 24 * 2^40 bits: they count as this. */
GURN_FN double gurn_window_tau(double tau) { return tau < 0x1p40 ? tau : 0x1p40; }
/* Largest cost that enters 2^cost; beyond, a point's race value and weight are held at this one's (they decide nothing). */
#define GURN_COST_CEILING (90 << 23)
/* Race values are formed as 2^23 E(k) 2^cost(k), which saves a multiplication in E (logmath_lanes.h). */
#define GURN_RACE_SCALE 0x1p23f

#define GURN_L(name) s_##name
#include "mvhg_lanes.h"
#undef GURN_L

/*
 * The merged chain's log odds of a row's steps (merged_lambda), place i's at lambda[i * stride]; 0 where there is no choice.
 * Classes of omega 0 are absent. log_omega: the row begins at element `at`; NULL: all omega are equal.
 */
GURN_FN void gurn_merged_odds(const gurn_plan_view *view, const int32_t *order, const void *log_omega, gurn_dtype dtype,
                              int64_t at, double *lambda, int64_t stride) {
    double rest = -INFINITY, largest = 0.0;
    int32_t balls = 0; /* of later classes */
    if (log_omega) largest = gurn_omega_largest(view->steps, view->classes, order, log_omega, dtype, at);
    for (int32_t i = view->classes - 1; i >= 0; i--) {
        const gurn_step *step = &view->steps[i];
        double value = log_omega ? gurn_real(log_omega, dtype, at + order[i]) : 0.0, odds = 0.0;
        if (step->m > 0 && !gurn_omega_is_zero(value)) {
            double own = gurn_log2_omega(value, largest), mine = own + step->log2_m;
            double log2_balls = balls == step->m_rest ? step->log2_m_rest : s_log2_64((double)(balls > 0 ? balls : 1));
            if (balls > 0) odds = s_merged_lambda(own, rest, log2_balls);
            if (i > 0) rest = balls > 0 ? s_log2_add(rest, mine) : mine; /* what is before place 0 needs no rest */
            balls += step->m;
        }
        lambda[i * stride] = odds;
    }
}

/* log odds as 64-bit fixed point, 2^-47 bit, |lambda| <= 200 (rounded to nearest even). */
GURN_FN int64_t gurn_fixed_lambda(double lambda) {
#ifdef __CUDA_ARCH__
    return __double2ll_rn(lambda * 0x1p47);
#else
    return (int64_t)llrint(lambda * 0x1p47);
#endif
}

/*
 * The linear term k lambda in units of 2^-23 bit modulo 2^32, as block part + slope * (k & 15) for the 16 counts of an
 * aligned block: exact modular arithmetic for the block, lambda rounded to 2^-23 bit inside it. Off by less than 9 *
 * 2^-23 bit.
 */
GURN_FN uint32_t gurn_linear_slope(int64_t lambda) { return (uint32_t)(uint64_t)((lambda + (1 << 23)) >> 24); }
GURN_FN uint32_t gurn_linear_block(int64_t lambda, int64_t k) {
    return (uint32_t)((uint64_t)((k >> 4) * 16) * (uint64_t)lambda >> 24);
}
GURN_FN uint32_t gurn_linear(int64_t lambda, int64_t k) {
    return gurn_linear_block(lambda, k) + (uint32_t)(k & 15) * gurn_linear_slope(lambda);
}

/* Fixed-point cost; rest points to T_{m_R}(m_R - n), so that both tables are read at k. */
GURN_FN uint32_t gurn_cost_fixed(const int32_t *own, const int32_t *rest, int64_t lambda, int64_t k) {
    return (uint32_t)own[k] + (uint32_t)rest[k] - gurn_linear(lambda, k);
}

/* The general path's cost, in double bits, of a whole number left to draw. */
GURN_FN double gurn_cost_wide(const double *own, const double *rest, double lambda, int64_t k) {
    return fma(-(double)k, lambda, own[k] + rest[k]);
}

/*
 * Soft mode: n, and so r = n - k, are real. 1/Gamma vanishes at r = -1 and r = m_R + 1, which are outside the support;
 * so the law is continuous in n. Own counts are whole numbers and keep their table.
 */
GURN_FN double gurn_cost_soft(const double *own, double m_rest, double lambda, int64_t k, double n) {
    double r = n - (double)k;
    return fma(-(double)k, lambda, own[k] + gurn_log2_gamma(r + 1.0) + gurn_log2_gamma(m_rest - r + 1.0));
}
/* d(logit)/dn, natural, up to what does not depend on k ([MVHG] Eq. 7; R' = log omega_R is such a constant). */
GURN_FN double gurn_cost_soft_psi(double m_rest, int64_t k, double n) {
    double r = n - (double)k;
    return gurn_digamma(m_rest - r + 1.0) - gurn_digamma(r + 1.0);
}
/* By how much it grows from k to k + 1; r = n - k > 0. Whole n too. */
GURN_FN double gurn_cost_soft_psi_step(double m_rest, double r) { return (m_rest + 1.0) / (r * (m_rest - r + 1.0)); }

/* Support of a step: hard (n whole) and soft (n real: r > -1 and r < m_R + 1). */
typedef struct gurn_support {
    int32_t low, high;
} gurn_support;
GURN_FN gurn_support gurn_support_hard(int32_t m, int32_t m_rest, int32_t n) {
    gurn_support s = {n > m_rest ? n - m_rest : 0, n < m ? n : m};
    return s;
}
/*
 * Soft mode: n of a step as its support needs it, inside (-1, m + m_R + 1). The true n is, but one that is recomputed from a
 * rounded x (backward, float32) may stand on an end, where no point is left.
 */
GURN_FN double gurn_soft_left(int32_t m, int32_t m_rest, double n) {
    double low = -1.0 + 0x1p-30, high = (double)m + (double)m_rest + 1.0 - 0x1p-30;
    return n < low ? low : n > high ? high : n;
}
GURN_FN gurn_support gurn_support_soft(int32_t m, int32_t m_rest, double n) {
    double low = floor(n - (double)m_rest - 1.0) + 1.0, high = ceil(n + 1.0) - 1.0;
    gurn_support s = {s_index_between(low, 0, m), s_index_between(high, 0, m)};
    return s;
}
/* From `below` under the mode to `above` over it: reaches of s_window_reach, which float may have rounded beyond the support. */
GURN_FN gurn_support gurn_window_of(gurn_support s, int32_t mode, float below, float above) {
    gurn_support window = {mode - s_index_between(below, 0, mode - s.low),
                           mode + s_index_between(above, 0, s.high - mode)};
    return window;
}

/*
 * Sums over the support of one step, from which its gradients follow (DESIGN 1.3). y_k = w_k / w, d_k = k - x, psi_k =
 * d logit_k / dn less its value at x, u_k the upstream gradient of y_k (any constant may be added), p_k the noise-free
 * weights 2^-cost. a_k = log2 v_k / tau. Sums not asked for stay 0.
 */
typedef struct gurn_step_sums {
    double w, wu;       /* sum w, w u */
    double wd, wdu;     /* sum w d, w d u */
    double wpsi, wpsiu; /* sum w psi, w psi u */
    double wa, wau;     /* sum w a, w a u: for the temperature */
    double p, pd, ppsi; /* sum p, p d, p psi: for log_p */
} gurn_step_sums;

/*
 * With dlogit_k = y_k (u_k - sum y u)/tau + dlog_p ([k = x] - p_k / p) and sum_k dlogit_k = 0:
 * (soft: y_k for [k = x])
 *   log_omega = sum_k k dlogit_k: gradient to log(omega_i) at fixed omega_R, and minus that to log(omega_R)
 *   n         = sum_k psi_k dlogit_k: gradient to the n of this step
 *   tau       = d/dtau through y = softmax(-ln 2 a): ln 2 / tau sum y (u - mean u) a
 */
typedef struct gurn_step_gradient {
    double log_omega, n, tau;
} gurn_step_gradient;
GURN_FN gurn_step_gradient gurn_step_finish(gurn_step_sums s, double inv_tau, double dlog_p, int soft) {
    double inv_w = 1.0 / s.w, mean_u = s.wu * inv_w;
    gurn_step_gradient g;
    g.log_omega = (s.wdu - mean_u * s.wd) * inv_w * inv_tau;
    g.n = (s.wpsiu - mean_u * s.wpsi) * inv_w * inv_tau;
    g.tau = (s.wau - mean_u * s.wa) * inv_w * inv_tau * GURN_LN2;
    if (dlog_p != 0.0) {
        double inv_p = dlog_p / s.p;
        g.log_omega -= s.pd * inv_p;
        g.n -= s.ppsi * inv_p;
        if (soft) { /* y_k stands for [k = x] */
            g.log_omega += dlog_p * s.wd * inv_w;
            g.n += dlog_p * s.wpsi * inv_w;
        }
    }
    return g;
}

/*
 * From the steps' gradients G_i to d log omega in the merged chain. log omega_R = log sum_{j>i} omega_j m_j - log m_R
 * spreads -G_i over the later classes by omega_j m_j. With a_j = omega_j m_j / sum_{l>=j} omega_l m_l and Q_j what places
 * before j send on,
 *     d log omega_j = G_j - Q_j a_j,     Q_{j+1} = Q_j (1 - a_j) + G_j,     Q_0 = 0;     at the last place a = 1, G = 0.
 * a_j = 1 / (1 + (m_R / m) 2^-lambda_j): no sum over classes is formed again, and nothing over- or underflows.
 */
GURN_FN double gurn_merged_share(double log2_m, double log2_m_rest, double lambda) {
    return 1.0 / (1.0 + s_exp2_64(log2_m_rest - log2_m - lambda));
}

/* y of the class that takes what is left: max(0, 1 - |k - x|). */
GURN_FN double gurn_hat(double x, int64_t k) {
    double d = fabs((double)k - x);
    return d < 1.0 ? 1.0 - d : 0.0;
}

GURN_FN int32_t gurn_row_n(const gurn_mvhg_inputs *in, int64_t b) { return in->n_rows ? in->n_rows[b] : in->n; }

/*
 * Gradient that reaches x of the class that takes what is left, through its y = max(0, 1 - |k - x|) and its mask. With
 * U_k = dy_k + sum_{j<=k} dmask_j (0 outside 0..m): U_{f+1} - U_f, f = floor(x); at whole x the central difference,
 * one-sided at 0 and m. y, mask: the class's upstream rows, at element `begin`, or NULL.
 */
GURN_FN double gurn_taker_pull(const void *y, const void *mask, gurn_dtype dtype, int64_t begin, int64_t m, double x) {
    int64_t down = (int64_t)floor(x), up = down + 1, from;
    if (x == (double)down) {
        up = down < m ? down + 1 : m;
        down = down > 0 ? down - 1 : 0;
    }
    if (up <= down) return 0.0; /* m = 0 */
    double sum = 0.0, distance = (double)(up - down);
    bool beyond = up > m; /* x in (m, m + 1): only U_m is left */
    if (y)
        sum += (beyond ? 0.0 : gurn_real(y, dtype, begin + up)) - (down < 0 ? 0.0 : gurn_real(y, dtype, begin + down));
    from = beyond ? 0 : down + 1;
    for (int64_t k = from; mask && k <= (beyond ? m : up); k++)
        sum += (beyond ? -1.0 : 1.0) * gurn_real(mask, dtype, begin + k);
    return sum / distance;
}

#endif
