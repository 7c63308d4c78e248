/*
 * The mode of the exact law ([MVHG] Eq. 1), in C and in CUDA device code.
 *
 * log C(m, x) + x log omega gains log omega + log((m - x)/(x + 1)) by one more ball, ever less. So at the right
 * threshold t every class takes all balls that gain more than -t (base 2), floor((m + 1) p) of them, p = 1 / (1 +
 * 1/(omega 2^t)). t is found by bisection down to two neighbouring numbers; balls that tie between them are taken from
 * lower classes first. Own arithmetic and whole numbers only: the same counts on every device.
 */
#ifndef GURN_MODE_H
#define GURN_MODE_H

#include "tilt.h"

/* Balls that a class of size m and a = log2 omega takes at threshold t. */
GURN_FN int32_t gurn_mode_count(double m, double a, double t) {
    double p, q;
    s_odds_to_p(a + t, &p, &q);
    double x = floor((m + 1.0) * p);
    return (int32_t)(x < m ? x : m);
}

/*
 * The bracket of t: m is below 2^27, so that 64 bits below -a no ball of the class is taken, and 64 above it all are.
 */
typedef struct gurn_mode_bracket {
    double low, high;
} gurn_mode_bracket;
GURN_FN gurn_mode_bracket gurn_mode_begin(double a_min, double a_max) {
    gurn_mode_bracket b = {-a_max - 64.0, -a_min + 64.0};
    return b;
}
/*
 * The next t to count at; 0 when low and high are neighbours. At most a few hundred steps: counts do not change within
 * 2^-60 of 0.
 */
GURN_FN int gurn_mode_next(gurn_mode_bracket b, double *t) {
    *t = 0.5 * (b.low + b.high);
    return *t > b.low && *t < b.high;
}
GURN_FN gurn_mode_bracket gurn_mode_narrow(gurn_mode_bracket b, double t, int64_t count, int64_t n) {
    if (count < n)
        b.low = t;
    else
        b.high = t;
    return b;
}

#endif
