/*
 * Plain draws: whole counts by inversion, one uniform a step (DESIGN 1.4; the address of the uniform is in gumbelurn.h). Shared by
 * plain_cpu.c and plain.cu. Notation of mvhg.h: at a step a class of m balls stands against m_R others, n are left to draw.
 *
 * The counts of a step are listed from its mode upwards, then from the mode downwards; c is the running sum of their weights, and the
 * draw is the first count with u total < c. A list in this order is walked for 0.8 standard deviations in the mean. Every sum is taken
 * in the order of the list with exactly rounded additions, so that it makes no difference whether sums are formed in passing or read
 * from a table, one row or eight at a time, on which device.
 *
 * Two kinds of weights.
 *   - A class against the merged rest, by the recurrence of the hypergeometric law (plain_lanes.h): the univariate law, the steps of the
 *     merged chain, and those of the exact chain when all omega are equal. Weights below GURN_PLAIN_TINY of the mode's are left out: the
 *     law is log-concave, so that what follows a count k on its side of the mode has at most w(k) / w(mode) of the side's probability.
 *     After t steps a weight is off by 3 t rounding errors.
 */
#ifndef GURN_PLAIN_H
#define GURN_PLAIN_H

#include "mvhg.h"

#define GURN_PLAIN_TINY 0x1p-60

#define GURN_L(name) s_##name
#include "plain_lanes.h"
#undef GURN_L

/* Stream tags (philox.h): the chain's, where step i has words 2 i and 2 i + 1, and the univariate law's, which has words 0 and 1. */
#define GURN_PLAIN_CHAIN_TAG gurn_stream_tag(GURN_STREAM_PLAIN, 0)
#define GURN_PLAIN_UNIVARIATE_TAG gurn_stream_tag(GURN_STREAM_PLAIN, 1)

/* Base-2 log odds of the univariate law, held to +-GURN_MAX_LAMBDA. */
GURN_FN double gurn_plain_lambda(double log_odds) {
    double lambda = log_odds * GURN_LOG2E;
    return lambda > GURN_MAX_LAMBDA ? GURN_MAX_LAMBDA : lambda < -GURN_MAX_LAMBDA ? -GURN_MAX_LAMBDA : lambda;
}

/* The urn of a row of the univariate law. Odds of 0 or infinity: of the class that is never drawn there are no balls. */
typedef struct gurn_plain_pair {
    double m, m_rest, lambda;
} gurn_plain_pair;
GURN_FN gurn_plain_pair gurn_plain_pair_of(int32_t m1, int32_t m2, double log_odds) {
    gurn_plain_pair urn = {(double)m1, (double)m2, gurn_plain_lambda(log_odds)};
    if (log_odds == -INFINITY) urn.m = urn.lambda = 0.0;
    if (log_odds == INFINITY) urn.m_rest = urn.lambda = 0.0;
    return urn;
}

#endif
