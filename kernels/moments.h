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
 *     z_j = m_j (pi_j - p_j),  v_j = m_j pi_j (1 - pi_j),  Z = sum_j z_j,  zc = z - E_w z.
 * Everything is real: s and M - s are conjugate, so only 0 <= t < pi is visited, with double weight for s > 0. M is odd, so
 * that t = pi, where phi may vanish, is never met.
 *
 * log P0 = log Q(n) + sum_j m_j log(1 + omega_j lambda) - n log lambda, lambda the tilt; but where n is near sum m_j the
 * last two are nearly the same number. Over the classes with p > 1/2, log(1 + omega lambda) = log omega + log lambda - log p,
 *     log P0 = log Q(n) - sum_j m_j log max(p_j, q_j) + sum_{p > 1/2} m_j log omega_j - (n - sum_{p > 1/2} m_j) log lambda,
 * in which no term is more than twice log P0 + 3 sum_j mean_j |log omega_j|: with h = -p log p - q log q, log P0 - log Q is
 * sum m h + sum m p log omega, -log max(p, q) <= h, and |log lambda| <= |log p/q| + |log omega| where |log p/q| min(p, q) <= h.
 *
 * Covariances, j != l:
 *     cov_jl = E_w zc_j zc_l                                                       = d mean_j / d log omega_l
 * are of about -V_j V_l / V, V_j = m_j p_j q_j, as the terms of the sum are: little cancels. The variance is minus the sum of
 * the others, for sum X_j is certain, and all of them have one sign (the law is negatively associated):
 *     cov_jj = -E_w zc_j (Zc - zc_j),
 * where the class that has more than half of V, if one has, is left out of Z, and added where it belongs, so that Zc - zc_j
 * does not cancel either. (E_w zc_j^2 + E_w v_j is the same, but the difference of two numbers of the size of V_j.)
 *     (cov d)_j = E_w zc_j (sum_l (d_l - dm) zc_l - (d_j - dm) Zc)
 * for the same reason, for any dm: the mean of d, weighted by V, makes the terms smallest.
 *
 * Means: mean_j = m_j p_j + E_w z_j = d log P0 / d log omega_j. Where V < GURN_SMALL_VARIANCE the law hugs one x, and the mean
 * of the rarer of drawn and not drawn is down to V/2 of that under the tilt. There, with rho_j the less likely of pi_j and
 * 1 - pi_j, and r_j of p_j and q_j,
 *     its mean = m_j E_w rho_j = -E_w zc_j Zc + m_j E_w rho_j^2,
 * both terms of which are small with the mean. (For E_w f (Z - E_w Z) = -E_w df/d(it), as the integral of a derivative over
 * the circle vanishes, with f = m_j rho_j.)
 *
 * Third cumulants: with H_jl = G_jl + G_lj - G_jj - G_ll, which is 0 for j = l,
 *     sum_jl G_jl cov_jl = 1/2 sum_{j != l} H_jl cov_jl    (rows of the covariance sum to 0),
 *     its gradient to log omega_a = E_w zc_a s + E_w v_a h_a,      h_a = sum_l H_al zc_l,   s = 1/2 sum_a zc_a h_a - E_w(same),
 * which follows from d E_w f / d log omega_a = E_w [zc_a f + d f / d log omega_a].
 *
 * How many nodes. With V = sum m_j p_j q_j and L = GURN_CONTOUR_NATS + log(1 + 12 V)/2, where Q(n) >= 1/sqrt(1 + 12 V)
 * (the largest probability of a whole-numbered variate of variance V; n is the mean, hence a mode: Darroch 1964):
 *   - Bernstein's inequality, P(|X - n| >= M) <= 2 exp(-M^2 / (2 (V + M/3))), makes the aliases e^-GURN_CONTOUR_NATS of
 *     Q(n) for M >= L/3 + sqrt(L^2/9 + 2 L V); M > sum m_j has none at all;
 *   - |Phi(t)| <= exp(-V (1 - cos t)), so nodes with V (1 - cos t) > L are not visited.
 * That leaves at most GURN_CONTOUR_NODES nodes for any urn: V < L/2 visits them all, (M+1)/2 <= 31; larger V ever
 * fewer, 16 in the end.
 *
 * Accuracy: terms are at most 1, their sum at least M / sqrt(1 + 12 V), so that little cancels: log Q(n) has an absolute error
 * of about 1e-15, the rest what is said above. Counts that are certain (n = 0, n = sum m, one class with balls) are not
 * calculated: they have their mean, and covariance 0, exactly.
 */
#ifndef GURN_MOMENTS_H
#define GURN_MOMENTS_H

#include "binomial.h"
#include "omega.h"
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

#define GURN_L(name) s_##name
#include "contour_lanes.h"
#undef GURN_L

typedef s_node gurn_node;

GURN_FN gurn_node gurn_contour_node(gurn_contour c, int32_t s) {
    gurn_node node;
    node.t = c.step * s;
    double h = sin(0.5 * node.t), v = node.t * node.t, series = 1.0 / 355687428096000.0; /* 17! */
    node.sine = sin(node.t);
    node.versine = 2.0 * h * h;
    series = fma(-series, v, 1.0 / 1307674368000.0);
    series = fma(-series, v, 1.0 / 6227020800.0);
    series = fma(-series, v, 1.0 / 39916800.0);
    series = fma(-series, v, 1.0 / 362880.0);
    series = fma(-series, v, 1.0 / 5040.0);
    series = fma(-series, v, 1.0 / 120.0);
    series = fma(-series, v, 1.0 / 6.0);
    node.bend = node.t < 1.0 ? -series * v * node.t : node.sine - node.t;
    return node;
}

/* Phi at a node from sum_j m_j node_log: shift = n - sum m_j p_j. Doubled for all but the first. */
GURN_FN gurn_complex gurn_node_weight(gurn_node node, gurn_complex log_phi, double shift) {
    double phase = log_phi.im - shift * node.t, size = (node.t > 0.0 ? 2.0 : 1.0) * exp(log_phi.re);
    gurn_complex w = {size * cos(phase), size * sin(phase)};
    return w;
}

/* log Q(n) from z = sum of Phi's real parts over the nodes. */
GURN_FN double gurn_contour_log_sum(gurn_contour c, double z) { return log(z / c.period); }

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

/* v = m pi (1 - pi) = m p q e^{it} / phi^2 */
GURN_FN gurn_complex gurn_node_v(gurn_node node, double m, double p, double q) {
    double mpq = m * p * q;
    gurn_complex inverse = gurn_node_inverse(node, p), scaled = {mpq * (1.0 - node.versine), mpq * node.sine};
    return gurn_complex_mul(gurn_complex_mul(scaled, inverse), inverse);
}

/* Below it means are calculated as the note above says. */
#define GURN_SMALL_VARIANCE 0.25

/* rho^2, rho = r (e^{it} if the less likely is to be drawn, else 1) / phi */
GURN_FN gurn_complex gurn_node_rare(gurn_node node, double p, double q) {
    gurn_complex e = {1.0 - node.versine, node.sine}, rho = gurn_node_inverse(node, p);
    if (p <= q) rho = gurn_complex_mul(rho, e);
    double less = p <= q ? p : q;
    rho.re *= less;
    rho.im *= less;
    return gurn_complex_mul(rho, rho);
}

/* The mean from -E_w zc Zc and E_w rho^2. */
GURN_FN double gurn_mean_of_rare(double m, double p, double q, double minus_zz, double rho2) {
    double rare = fma(m, rho2, minus_zz);
    return p <= q ? rare : m - rare;
}

/*
 * The tilt of one row, natural: every log omega is taken from the largest first, which is exact. A largest beyond GURN_LAW_FAR is
 * taken from all of them before anything else, for GURN_OMEGA_REACH less would not be told from it: it is then the base, and
 * `largest` is 0. What is proportional to it, n base in log P0 and base in d log P(x) / dx, is added at the end.
 */
#define GURN_LAW_FAR 0x1p40
typedef struct gurn_law_tilt {
    double largest; /* log omega, less base */
    double shift;   /* lambda_j = log omega_j - base - largest + shift */
    double base;
} gurn_law_tilt;
GURN_FN gurn_law_tilt gurn_law_tilt_at(double largest) {
    gurn_law_tilt tilt = {largest, 0.0, 0.0};
    if (!(fabs(largest) <= GURN_LAW_FAR)) tilt.base = largest, tilt.largest = 0.0;
    return tilt;
}

/*
 * log omega as it counts, less the base: held GURN_OMEGA_REACH bits below the largest (and above, which only a class without balls
 * can be).
 */
GURN_FN double gurn_law_held(double log_omega, gurn_law_tilt tilt) {
    const double reach = GURN_OMEGA_REACH * GURN_LN2;
    double value = log_omega - tilt.base, distance = value - tilt.largest;
    return distance < -reach ? tilt.largest - reach : distance > reach ? tilt.largest + reach : value;
}
GURN_FN gurn_odds gurn_law_odds(double held, gurn_law_tilt tilt) { return s_odds_of(held, tilt.largest, tilt.shift); }

/*
 * By how much the tilt's logarithm is too large where the law hugs one x (moments above). Any tilt that is near enough gives
 * the same law, and the tilt's search stops where sum m p is n within 2^-46 n. But where what is drawn of the rare classes
 * (drawn: sum m p over p <= 1/2) and left of the others (left: sum m q) are smaller than that, they may be far apart, and
 * what is lost to rounding is of the size of the larger. whole: n - sum m of the others.
 */
GURN_FN double gurn_tilt_off(double variance, double whole, double drawn, double left) {
    if (!(variance < GURN_SMALL_VARIANCE) || whole != 0.0 || !(drawn > 0.0) || !(left > 0.0)) return 0.0;
    double off = 0.5 * log(drawn / left);
    return fabs(off) > 0.01 ? off : 0.0;
}

/* n less the mean of the sum: a whole number, and sums that are small where the law hugs one x. */
GURN_FN double gurn_tilt_miss(double whole, gurn_pair drawn, gurn_pair left) {
    gurn_pair miss = gurn_two_sum(left.hi, -drawn.hi);
    gurn_sum_add(&miss, whole);
    return miss.hi + (miss.lo + (left.lo - drawn.lo));
}

/* What a class adds to log P0 - log Q(n), and log P0 from it; whole: n - sum_{p > 1/2} m. */
GURN_FN void gurn_log_norm_add(gurn_pair *sum, double m, double log_omega, gurn_odds odds) {
    gurn_sum_add(sum, -m * odds.log_more);
    if (odds.lambda > 0.0) gurn_sum_add(sum, m * log_omega);
}
GURN_FN double gurn_log_norm(gurn_pair sum, double whole, gurn_law_tilt tilt, double log_q) {
    gurn_pair minus_log_lambda = gurn_two_sum(tilt.largest, -tilt.shift);
    gurn_sum_add(&sum, whole * minus_log_lambda.hi);
    gurn_sum_add(&sum, whole * minus_log_lambda.lo);
    gurn_sum_add(&sum, log_q);
    return gurn_sum_value(sum);
}

#endif
