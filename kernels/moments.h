/*
 * The exact law of [MVHG] Eq. 1 by a contour integral: log P0, mean, covariance and third cumulants, in C and in CUDA
 * device code.
 *
 * Under the tilt (tilt.h) the counts are independent binomials X_j given sum X_j = n. With phi_j(t) = q_j + p_j e^{it},
 *     Q(n) = P(sum X_j = n) = 1/M sum_{s=0}^{M-1} Phi(t_s),   Phi(t) = e^{-int} prod_j phi_j(t)^{m_j},
 *     t_s = 2 pi s / M,
 * up to Q(n +- M), Q(n +- 2M), ...: the trapezoid rule on the circle through the saddle point. The same sum with a
 * further factor gives every moment: under weights w_s = Phi(t_s) / sum Phi, with the tilted probability pi_j(t) = p_j
 * e^{it} / phi_j(t),
 *     z_j = m_j (pi_j - p_j),  v_j = m_j pi_j (1 - pi_j),  v'_j = v_j (1 - 2 pi_j),  zc_j = z_j - E_w z_j,
 *     log P0 = log Q(n) + sum_j m_j log(1 + omega_j lambda) - n log lambda
 *                                                     P0 = sum_x prod_j C(m_j, x_j) omega_j^{x_j}
 *     mean_j = m_j p_j + E_w z_j                                                  = d log P0 / d log omega_j
 *     cov_jl = E_w zc_j zc_l + [j = l] E_w v_j                                    = d mean_j / d log omega_l
 *     sum_jl G_jl d cov_jl / d log omega_a = E_w [zc_a s + v_a h_a + G_aa v'_a],
 *         h = (G + G^T) zc,  s = zc^T G zc + sum_j G_jj v_j.
 * The last follows from d E_w f / d log omega_a = E_w [zc_a f + d f / d log omega_a]. Everything is real: s and M - s
 * are conjugate, so only 0 <= t < pi is visited, with double weight for s > 0. M is odd, so that t = pi, where phi may
 * vanish, is never met.
 *
 * How many nodes. With V = sum m_j p_j q_j and L = GURN_CONTOUR_NATS + log(1 + 12 V)/2, where Q(n) >= 1/sqrt(1 + 12 V)
 * (the largest probability of a whole-numbered variate of variance V; n is the mean, hence a mode: Darroch 1964):
 *   - Bernstein's inequality, P(|X - n| >= M) <= 2 exp(-M^2 / (2 (V + M/3))), makes the aliases e^-GURN_CONTOUR_NATS of
 *     Q(n) for M >= L/3 + sqrt(L^2/9 + 2 L V); M > sum m_j has none at all;
 *   - |Phi(t)| <= exp(-V (1 - cos t)), so nodes with V (1 - cos t) > L are not visited.
 * That leaves at most GURN_CONTOUR_NODES nodes for any urn: V < L/2 visits them all, (M+1)/2 <= 31; larger V ever
 * fewer, 16 in the end.
 *
 * Accuracy: terms are at most 1, their sum at least M / sqrt(1 + 12 V), so that little cancels: about 1e-14 relative
 * for log P0, 1e-14 m_j p_j absolute for a mean. Where a class is all but never or all but always drawn in full (mean <
 * 1e-14 m_j p_j) that is noise.
 */
#ifndef GURN_MOMENTS_H
#define GURN_MOMENTS_H

#include "gammamath.h"
#include "tilt.h"

#define GURN_CONTOUR_NODES 32
#define GURN_CONTOUR_NATS 40.0

typedef struct gurn_complex {
    double re, im;
} gurn_complex;

GURN_FN gurn_complex gurn_complex_mul(gurn_complex a, gurn_complex b) {
    gurn_complex c = {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
    return c;
}
/* The real part of a b. */
GURN_FN double gurn_complex_dot(gurn_complex a, gurn_complex b) { return a.re * b.re - a.im * b.im; }

/* The nodes of one row: t = step * s for s = 0..count-1, every one counted 1/period. */
typedef struct gurn_contour {
    int32_t count;
    double period, step;
} gurn_contour;

GURN_FN gurn_contour gurn_contour_choose(double variance, double total) {
    double nats = GURN_CONTOUR_NATS + 0.5 * log1p(12.0 * variance);
    double period = ceil(nats / 3.0 + sqrt(nats * nats / 9.0 + 2.0 * nats * variance));
    if (period > total + 1.0) period = total + 1.0;
    if (fmod(period, 2.0) == 0.0) period += 1.0;
    gurn_contour c;
    c.period = period;
    c.step = 6.283185307179586476925 / period;
    double last = nats < 2.0 * variance ? acos(1.0 - nats / variance) / c.step : period;
    double half = (period - 1.0) / 2.0;
    if (last > half) last = half;
    c.count = (int32_t)last + 1;
    if (c.count > GURN_CONTOUR_NODES) c.count = GURN_CONTOUR_NODES;
    return c;
}

/* sin t and 1 - cos t at node s. */
typedef struct gurn_node {
    double t, sine, versine;
} gurn_node;

GURN_FN gurn_node gurn_contour_node(gurn_contour c, int32_t s) {
    gurn_node node;
    node.t = c.step * s;
    double h = sin(0.5 * node.t);
    node.sine = sin(node.t);
    node.versine = 2.0 * h * h;
    return node;
}

/*
 * log phi(t) - i p t = log(modulus) + i phase of one ball of a class. The phase is taken from the less likely of drawn
 * and not drawn, phi = e^{it} (p + q e^{-it}), so that little cancels in it.
 */
GURN_FN gurn_complex gurn_node_log(gurn_node node, double p, double q) {
    double less = p <= q ? p : q;
    double phase = atan2(less * node.sine, fma(-less, node.versine, 1.0)) - less * node.t;
    gurn_complex log_phi;
    log_phi.re = 0.5 * log1p(-2.0 * p * q * node.versine);
    log_phi.im = p <= q ? phase : -phase;
    return log_phi;
}

/* Phi at a node from sum_j m_j gurn_node_log: shift = n - sum m_j p_j. Doubled for all but the first. */
GURN_FN gurn_complex gurn_node_weight(gurn_node node, gurn_complex log_phi, double shift) {
    double phase = log_phi.im - shift * node.t, size = (node.t > 0.0 ? 2.0 : 1.0) * exp(log_phi.re);
    gurn_complex w = {size * cos(phase), size * sin(phase)};
    return w;
}

/*
 * What one class gives to shift, n - sum m_j p_j: a whole number, which is exact and to be summed apart, and a rest
 * that is small where p is near 1 too.
 */
GURN_FN double gurn_shift_whole(double m, double p) { return p <= 0.5 ? 0.0 : m; }
GURN_FN double gurn_shift_rest(double m, double p, double q) { return p <= 0.5 ? -m * p : m * q; }

/* log P0 from z = sum of Phi's real parts over the nodes and sums = sum_j m_j log(1 + omega_j lambda). */
GURN_FN double gurn_contour_log_norm(gurn_contour c, double z, double sums, double n, double ell) {
    return sums + log(z / c.period) - n * ell * GURN_LN2;
}

/* 1 / phi */
GURN_FN gurn_complex gurn_node_inverse(gurn_node node, double p) {
    double re = fma(-p, node.versine, 1.0), im = p * node.sine;
    double scale = 1.0 / (re * re + im * im);
    gurn_complex inverse = {re * scale, -im * scale};
    return inverse;
}

/* z = m (pi - p) = m p q (e^{it} - 1) / phi */
GURN_FN gurn_complex gurn_node_z(gurn_node node, double m, double p, double q) {
    double mpq = m * p * q;
    gurn_complex e = {-mpq * node.versine, mpq * node.sine};
    return gurn_complex_mul(e, gurn_node_inverse(node, p));
}

/* A mean held to the support of its class: max(0, n + m - N) <= x <= min(m, n). */
GURN_FN double gurn_mean_held(double mean, double m, double n, double total) {
    double low = n + m - total > 0.0 ? n + m - total : 0.0, high = m < n ? m : n;
    return mean < low ? low : mean > high ? high : mean;
}

/*
 * w (f - E_w f) of a node: what a further factor is to be multiplied by for its covariance with f, sum_s w_s (f_s - E
 * f) g_s. That centres g too.
 */
GURN_FN gurn_complex gurn_node_centred(gurn_complex w, gurn_complex f, double mean) {
    f.re -= mean;
    return gurn_complex_mul(w, f);
}

/* v = m pi (1 - pi) = m p q e^{it} / phi^2, and v (1 - 2 pi) = v (q - p e^{it}) / phi */
GURN_FN gurn_complex gurn_node_v(gurn_node node, double m, double p, double q, gurn_complex *v_third) {
    double mpq = m * p * q;
    gurn_complex inverse = gurn_node_inverse(node, p);
    gurn_complex e = {1.0 - node.versine, node.sine}, scaled = {mpq * e.re, mpq * e.im};
    gurn_complex v = gurn_complex_mul(gurn_complex_mul(scaled, inverse), inverse);
    gurn_complex odd = {q - p * e.re, -p * e.im};
    *v_third = gurn_complex_mul(gurn_complex_mul(v, odd), inverse);
    return v;
}

/* log(1 + 2^lambda), natural: -log q, from p and q = 1 - p. */
GURN_FN double gurn_log1p_odds(double lambda, double p, double q) {
    return p <= 0.5 ? -log1p(-p) : fma(lambda, GURN_LN2, -log1p(-q));
}

#endif
