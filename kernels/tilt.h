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
    s_tilt_search search;
    double ell;            /* log2 lambda */
    double mean, variance; /* sum m_j p_j and sum m_j p_j (1 - p_j) at ell */
    int rounds;
} gurn_tilt;

#define GURN_TILT_ROUNDS 200

/* Range of a over the classes that have balls, and its mean weighted by m (0 when there is no ball). */
typedef struct gurn_tilt_range {
    double min, max, mean;
} gurn_tilt_range;

/* Begins: n of total balls, 0 < n < total. */
GURN_FN gurn_tilt gurn_tilt_begin(double n, double total, gurn_tilt_range range) {
    gurn_tilt t;
    t.search = s_tilt_begin(n, total, range.mean, range.min, range.max);
    t.ell = t.search.ell;
    t.mean = t.variance = 0.0;
    t.rounds = 0;
    return t;
}

/* One round; t->mean and t->variance have been filled in for t->ell. Returns 1 when ell is final. */
GURN_FN int gurn_tilt_step(gurn_tilt *t) {
    if (t->rounds++ >= GURN_TILT_ROUNDS || s_tilt_step(&t->search, t->mean, t->variance) == 0.0) return 1;
    t->ell = t->search.ell;
    return 0;
}

/* log2 odds of a class under the tilt, held to +-GURN_TILT_MAX. */
GURN_FN double gurn_tilt_lambda(double a, double ell) {
    double lambda = a + ell;
    return lambda > GURN_TILT_MAX ? GURN_TILT_MAX : lambda < -GURN_TILT_MAX ? -GURN_TILT_MAX : lambda;
}

#endif
