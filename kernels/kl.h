/*
 * Kullback-Leibler divergence of two laws of one urn, in C and in CUDA device code. With theta = log omega, F = log P0 and
 * d = theta' - theta,
 *     KL(theta || theta') = F(theta') - F(theta) - mean . d,
 * a difference of numbers of the size of N, which may be as small as one likes. Two ways, of which neither cancels:
 *
 * From the tilts. Under each law's own tilt (moments.h), with u_j = lambda'_j - lambda_j = d_j + a constant,
 *     KL = sum_j m_j KL(Bernoulli p_j || Bernoulli p'_j) + log Q'(n) - log Q(n) - sum_j (mean_j - m_j p_j) u_j.
 * Nothing in the sum is negative, and the rest is small: the error is some 1e-15 absolute, and relative to the sum, which is
 * not much more than KL unless both laws hug the same x.
 *
 * Along the line between them, for laws that are close,
 *     KL = int_0^1 (1 - s) d^T Cov(theta + s d) d ds,      mean' - mean = int_0^1 Cov(theta + s d) d ds  (its gradient),
 * in which all is positive: by Gauss's rule with GURN_KL_POINTS points on each of some panels. log P0 has no zeros where the
 * imaginary parts of log omega spread by less than pi (P0 is an elementary symmetric polynomial of the balls' omega, and those
 * have no zeros with all of their arguments in one half-plane), so that on a panel, over which d spreads by 1 at most, the
 * integrand is analytic within 3.1 lengths of it, and 8 points are right to 1e-15.
 */
#ifndef GURN_KL_H
#define GURN_KL_H

#include "moments.h"

#define GURN_KL_POINTS 8
/* Spreads of d (its largest less its smallest) up to here are close, and those above are not ever. */
#define GURN_KL_CLOSE 0x1p-5
#define GURN_KL_FAR 8.0
/* In between, a divergence below this says so. */
#define GURN_KL_SMALL 0x1p-7

/* d of a class */
GURN_FN double gurn_kl_distance(double held, gurn_law_tilt tilt, double other_held, gurn_law_tilt other_tilt) {
    gurn_pair a = gurn_two_sum(held, -tilt.largest), b = gurn_two_sum(other_held, -other_tilt.largest);
    return (b.hi - a.hi) + (b.lo - a.lo);
}

GURN_FN int32_t gurn_kl_panels(double spread) { return spread > 1.0 ? (int32_t)ceil(spread) : 1; }

typedef struct gurn_kl_point {
    double s, weight;
} gurn_kl_point;

/* Point i of panels * GURN_KL_POINTS. */
GURN_FN gurn_kl_point gurn_kl_point_of(int32_t i, int32_t panels) {
    int32_t k = i % GURN_KL_POINTS, j = k < GURN_KL_POINTS / 2 ? k : GURN_KL_POINTS - 1 - k;
    double node = j == 0   ? 0.96028985649753623168
                  : j == 1 ? 0.79666647741362673959
                  : j == 2 ? 0.52553240991632898582
                           : 0.18343464249564980494;
    double weight = j == 0   ? 0.10122853629037625915
                    : j == 1 ? 0.22238103445337447054
                    : j == 2 ? 0.31370664587788728734
                             : 0.36268378337836198297;
    gurn_kl_point at = {((double)(i / GURN_KL_POINTS) + 0.5 + (k == j ? -0.5 : 0.5) * node) / panels,
                        0.5 * weight / panels};
    return at;
}

#endif
