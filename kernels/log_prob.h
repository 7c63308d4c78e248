/*
 * Log-probability of a given x, and its derivatives, in C and in CUDA device code.
 *
 * Exact law ([MVHG] Eq. 1): log P(x) = sum_j log C(m_j, x_j) + x_j log omega_j - log P0. Both parts are of the size of N
 * where log P(x) may be of that of log N. So it is taken about the tilt (moments.h), under which x is drawn from binomials
 * that make it likely:
 *     log P(x) = sum_j log [C(m_j, x_j) p_j^x_j q_j^(m_j - x_j)] - log Q(n) - (sum_j x_j - n) log lambda.
 * Every term is a log-probability, and nothing cancels.
 *
 * Merged chain ([MVHG] Eq. 3, 7): sum over all but the last class of logit_i(x_i) - log sum_k exp logit_i(k), the sum
 * over whole k in the support.
 *
 * Both are defined as the formulas stand for real x, through Gamma functions; a count outside (-1, m + 1), where 1/Gamma
 * vanishes, has probability 0. So has a count of a class of omega 0 that is not 0.
 */
#ifndef GURN_LOG_PROB_H
#define GURN_LOG_PROB_H

#include "moments.h"
#include "mvhg.h"

/* d/dx of log C(m, x) + x log omega (to log omega it is x). */
GURN_FN double gurn_log_weight_dx(double m, double x, double log_omega) {
    return log_omega - gurn_digamma(x + 1.0) + gurn_digamma(m - x + 1.0);
}

/* ---------------------------------------------------------------------------------------------------- exact law --- */

/* The law of a row, as far as a log-probability needs it. */
typedef struct gurn_law_point {
    gurn_law_tilt tilt;
    double n, log_q;
    int certain; /* there is one x, that of gurn_certain_count */
    int fixed;   /* n = 0 or n = sum m: there is no tilt, and log_norm is used instead of it */
    double log_norm;
} gurn_law_point;

/* The count of a class where the counts are certain: n = 0, n = total, or the only class with balls has n. */
GURN_FN double gurn_certain_count(double m, double n, double total) {
    return m == 0.0 || n == 0.0 ? 0.0 : n == total ? m : n;
}

/* What sums over classes are needed. */
typedef struct gurn_log_prob_sum {
    gurn_pair log_p, counts; /* counts: sum x */
    int real, other;         /* some x is no whole number; is not the certain one */
} gurn_log_prob_sum;

/*
 * One class of m balls (0 where omega is 0: `zero`); held: log omega as it counts. Returns whether x is outside. odds: of the
 * tilt, unless the row is fixed.
 */
GURN_FN int gurn_log_prob_add(gurn_log_prob_sum *sum, const gurn_law_point *law, double m, int zero, double x,
                              double held, gurn_odds odds, double certain) {
    gurn_sum_add(&sum->counts, x);
    sum->real |= x != floor(x);
    sum->other |= x != certain;
    if (zero) return x != 0.0;
    if (!(x > -1.0 && x < m + 1.0)) return 1;
    if (law->fixed) {
        gurn_odds even = {0.0, 0.5, 0.5, 0.0, -GURN_LN2};
        gurn_sum_add(&sum->log_p, fma(m, GURN_LN2, gurn_log_binomial(m, x, even)));
        gurn_sum_add(&sum->log_p, x * held);
    } else {
        gurn_sum_add(&sum->log_p, gurn_log_binomial(m, x, odds));
    }
    return 0;
}

/* Whole counts of sum n have no log-probability above 0, and a certain x has 0. */
GURN_FN double gurn_log_prob_value(gurn_log_prob_sum sum, const gurn_law_point *law) {
    double excess = (sum.counts.hi - law->n) + sum.counts.lo, value;
    int in_support = !sum.real && excess == 0.0;
    if (law->certain && !sum.other) return 0.0;
    if (law->tilt.base != 0.0) gurn_sum_add(&sum.log_p, excess * law->tilt.base);
    if (law->fixed) {
        gurn_sum_add(&sum.log_p, -law->log_norm);
    } else {
        gurn_sum_add(&sum.log_p, -law->log_q);
        if (excess != 0.0) {
            gurn_pair log_lambda = gurn_two_sum(law->tilt.shift, -law->tilt.largest);
            gurn_sum_add(&sum.log_p, -excess * log_lambda.hi);
            gurn_sum_add(&sum.log_p, -excess * log_lambda.lo);
        }
    }
    value = gurn_sum_value(sum.log_p);
    return in_support && value > 0.0 ? 0.0 : value;
}

/* ------------------------------------------------------------------------------------------------- merged chain --- */

/*
 * The support of one merged step: its likeliest count, log of what all are of that one's probability, and means over it of k
 * and of psi(k) = d logit(k) / dn.
 */
typedef struct gurn_merged_norm {
    double k0, log_sum, mean_k, mean_psi;
} gurn_merged_norm;

/* Log odds beyond +-this: only the end of the support counts. */
#define GURN_MERGED_END 690.0

/*
 * m against m_rest at log odds lambda. Sums from the mode k0 outwards by the ratio of neighbours,
 *     p(k+1) / p(k) = e^lambda (m - k) r / ((k + 1) (m_R - r + 1)),     r = n - k,
 *     psi(k) = digamma(m_R - r + 1) - digamma(r + 1),     psi(k+1) - psi(k) = 1/(m_R - r + 1) + 1/r,
 * until terms are 2^-60 of the sum: no Gamma function is called but at k0. The support must not be empty.
 */
GURN_FN gurn_merged_norm gurn_merged_sum(double m, double m_rest, double lambda, double n) {
    gurn_support at = gurn_support_soft((int32_t)m, (int32_t)m_rest, n);
    double root = s_mode_root(m, m_rest, n, lambda * GURN_LOG2E);
    double k0 = root > at.low ? (root < at.high ? floor(root) : at.high) : at.low;
    if (lambda > GURN_MERGED_END) k0 = at.high;
    if (lambda < -GURN_MERGED_END) k0 = at.low;
    double sum = 1.0, sum_k = 0.0, sum_psi = 0.0, psi0 = gurn_cost_soft_psi(m_rest, (int64_t)k0, n);
    double up = exp(lambda), down = exp(-lambda), term = 1.0, psi = 0.0;
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
    norm.k0 = k0;
    norm.log_sum = log(sum);
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

/*
 * log p(x) - log p(k0) is taken as exact laws are, about binomials of either side: those that have k0 and n - k0 for their
 * means, but for half a ball. Their odds differ from lambda by little, times x - k0.
 */
GURN_FN gurn_merged_term gurn_merged_log_p(double m, double m_rest, double lambda, double n, double x) {
    double r = n - x;
    gurn_merged_term t = {-INFINITY, NAN, NAN, NAN};
    if (!(x > -1.0 && x < m + 1.0 && r > -1.0 && r < m_rest + 1.0)) return t;
    if (!(n > -1.0 && n < m + m_rest + 1.0)) return t; /* an empty support, which x and r both below 0 can leave */
    gurn_merged_norm norm = gurn_merged_sum(m, m_rest, lambda, n);
    double k0 = norm.k0, r0 = n - k0, low = r0 > 0.0 ? r0 : 0.0, high = m_rest > r0 ? m_rest - r0 : 0.0;
    t.log_p = -norm.log_sum;
    if (x != k0) {
        gurn_odds own = gurn_odds_between(k0 + 0.5, m - k0 + 0.5), rest = gurn_odds_between(low + 0.5, high + 0.5);
        t.log_p += gurn_log_binomial(m, x, own) - gurn_log_binomial(m, k0, own);
        t.log_p += gurn_log_binomial(m_rest, r, rest) - gurn_log_binomial(m_rest, r0, rest);
        t.log_p = fma(x - k0, lambda - (own.lambda - rest.lambda), t.log_p);
    }
    if (t.log_p > 0.0 && x == floor(x) && n == floor(n)) t.log_p = 0.0;
    double psi = gurn_digamma(m_rest - r + 1.0) - gurn_digamma(r + 1.0);
    t.dlog_omega = x - norm.mean_k;
    t.dx = gurn_log_weight_dx(m, x, lambda) - psi;
    t.dn = psi - norm.mean_psi;
    return t;
}

/*
 * The places of the merged chain are those of the urn in which classes of omega 0 have no balls (omega.h). Of what is later
 * than a place, sum omega m = weight e^top, top the largest log omega: so lambda is known to a few roundings of itself.
 */
typedef struct gurn_merged_rest {
    double balls, top, weight;
} gurn_merged_rest;
GURN_FN gurn_merged_rest gurn_merged_rest_begin(void) {
    gurn_merged_rest rest = {0.0, -INFINITY, 0.0};
    return rest;
}
/* One class more, m balls (nothing happens if there are none), whose log omega is `held` (moments.h). */
GURN_FN void gurn_merged_rest_add(gurn_merged_rest *rest, double m, double held) {
    if (m == 0.0) return;
    int above = held > rest->top;
    double other = rest->balls > 0.0 ? exp(above ? rest->top - held : held - rest->top) : 0.0;
    rest->weight = above ? fma(rest->weight, other, m) : fma(m, other, rest->weight);
    rest->top = above ? held : rest->top;
    rest->balls += m;
}
/* log(omega / omega_R) of a place, natural ([MVHG] Eq. 3); 0 if nothing is later. */
GURN_FN double gurn_merged_law_lambda(double held, gurn_merged_rest rest) {
    return rest.balls > 0.0 ? (held - rest.top) + log(rest.balls / rest.weight) : 0.0;
}
/* mvhg.h, of that lambda */
GURN_FN double gurn_merged_law_share(double m, double m_rest, double lambda) {
    if (m == 0.0) return 0.0;
    return m_rest > 0.0 ? 1.0 / (1.0 + m_rest / m * exp(-lambda)) : 1.0;
}

#endif
