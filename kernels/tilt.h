/*
 * The tilt: the lambda at which independent X_j ~ Binomial(m_j, p_j), p_j = omega_j lambda / (1 + omega_j lambda), have
 * sum_j m_j p_j = n. The MVHG law is the law of (X_j) given sum X_j = n for every lambda; at this one the condition is
 * likely, so that probabilities of sums neither over- nor underflow (DESIGN 1.1). Base-2 logarithms: a_j = log2
 * omega_j, ell = log2 lambda.
 *
 * The classes are summed over GURN_TILT_LANES strided partial sums, added up by halves, on every device (a warp's lanes
 * are such partial sums): so the tilt, and the tables that are built on it, have the same bits everywhere.
 */
#ifndef GURN_TILT_H
#define GURN_TILT_H

#include "gammamath.h"

#define GURN_TILT_LANES 32
/* Odds beyond 2^+-200 are held there: what they decide has probability 2^-200. */
#define GURN_TILT_MAX 200.0

#define GURN_L(name) s_##name
#include "tilt_lanes.h"
#undef GURN_L

/* log2 omega as all of the law takes it, held to +-2^20. */
GURN_FN double gurn_law_log2_omega(double log_omega) {
    double a = log_omega * GURN_LOG2E;
    return a > 0x1p20 ? 0x1p20 : a < -0x1p20 ? -0x1p20 : a;
}

typedef struct gurn_tilt {
    double ell;            /* log2 lambda */
    double low, high;      /* bracket of ell */
    double n, total;       /* sum m_j p_j wanted, sum m_j */
    double logit;          /* log2(n / (total - n)) */
    double mean, variance; /* sum m_j p_j and sum m_j p_j (1 - p_j) at ell */
    double step;           /* size of the last change of ell */
    int rounds;
} gurn_tilt;

/* Range of a over the classes that have balls, and its mean weighted by m (0 when there is no ball). */
typedef struct gurn_tilt_range {
    double min, max, mean;
} gurn_tilt_range;

/*
 * Begins: n of total balls, 0 < n < total; a_mean, a_min, a_max: mean weighted by m, and range, of a over the classes
 * with m > 0. All p_j lie between those of a_min and a_max, which gives the bracket.
 */
GURN_FN gurn_tilt gurn_tilt_begin(double n, double total, double a_mean, double a_min, double a_max) {
    gurn_tilt t;
    t.n = n;
    t.total = total;
    t.logit = s_log2_64(n / (total - n));
    t.low = t.logit - a_max;
    t.high = t.logit - a_min;
    t.ell = t.logit - a_mean;
    t.mean = t.variance = 0.0;
    t.step = t.high - t.low;
    t.rounds = 0;
    return t;
}

/*
 * One round of Newton's method on log2 odds(mean / total) as a function of ell, which is nearly straight (straight when
 * all omega are equal), with bisection where that leaves the bracket or does not at least halve the step. t->mean and
 * t->variance have been filled in for t->ell. Returns 1 when |mean - n| is within 2^-20 standard deviations (or
 * rounding): ell is final. Nothing that is computed with the tilt needs it exactly.
 */
GURN_FN int gurn_tilt_step(gurn_tilt *t) {
    double f = t->mean - t->n;
    if (fabs(f) <= fma(sqrt(t->variance), 0x1p-20, t->n * 0x1p-46) || t->rounds >= 200) return 1;
    if (f < 0.0)
        t->low = t->ell;
    else
        t->high = t->ell;
    double next = t->low;
    double rest = t->total - t->mean;
    if (t->mean > 0.0 && rest > 0.0 && t->variance > 0.0) {
        double slope = t->variance / (t->mean * rest) * t->total;
        next = t->ell + (t->logit - s_log2_64(t->mean / rest)) / slope;
    }
    double middle = 0.5 * (t->low + t->high);
    if (!(next > t->low && next < t->high) || !(fabs(next - t->ell) <= 0.5 * t->step)) next = middle;
    if (next == t->ell || !(middle > t->low && middle < t->high)) return 1;
    t->step = fabs(next - t->ell);
    t->ell = next;
    t->rounds++;
    return 0;
}

/* log2 odds of a class under the tilt, held to +-GURN_TILT_MAX. */
GURN_FN double gurn_tilt_lambda(double a, double ell) {
    double lambda = a + ell;
    return lambda > GURN_TILT_MAX ? GURN_TILT_MAX : lambda < -GURN_TILT_MAX ? -GURN_TILT_MAX : lambda;
}

#endif
