/*
 * log Gamma and digamma of a real argument, for soft mode, in C and in CUDA device code. Double, no libc lgamma (it
 * writes signgam). Arguments are counts plus one with a real part: z > 0.
 */
#ifndef GURN_GAMMAMATH_H
#define GURN_GAMMAMATH_H

#include "logmath.h"

#define GURN_LN2 0.69314718055994530942
#define GURN_LOG2E 1.44269504088896340736

/* Stirling's series at v = z^-2: z times what log Gamma(z) is above (z - 1/2) log z - z + log(2 pi)/2. */
GURN_FN double gurn_stirling(double v) {
    double series = -3617.0 / 122400.0;
    series = fma(series, v, 1.0 / 156.0);
    series = fma(series, v, -691.0 / 360360.0);
    series = fma(series, v, 1.0 / 1188.0);
    series = fma(series, v, -1.0 / 1680.0);
    series = fma(series, v, 1.0 / 1260.0);
    series = fma(series, v, -1.0 / 360.0);
    return fma(series, v, 1.0 / 12.0);
}

/*
 * log2 Gamma(z), z > 0: Stirling's series at z >= 10, below by Gamma(z) = Gamma(z + j) / (z (z+1) ... (z+j-1)).
 * The first term left out is 43867/244188/17... z^-17 < 2e-16 at z = 10. Absolute error below 1e-14 max(1, |log2
 * Gamma(z)|).
 */
GURN_FN double gurn_log2_gamma(double z) {
    double product = 1.0;
    while (z < 10.0) {
        product *= z;
        z += 1.0;
    }
    double w = 1.0 / z, series = gurn_stirling(w * w);
    /* (z - 1/2) log2 z + (series / z - z) log2 e + log2(2 pi) / 2 */
    double value = fma(z - 0.5, s_log2_64(z), fma(fma(series, w, -z), GURN_LOG2E, 1.3257480647361593990));
    return value - s_log2_64(product);
}

/*
 * log2 Gamma(z + w) - log2 Gamma(z) - w log2 z for -1 <= w <= 2, z >= 1, z + w > 0: how far Gamma bends between its
 * values at z (w = 0) and z + 1 (w = 1), where this is 0. Nothing large is subtracted: absolute error below 4e-15 (more
 * only where z + w is near 0).
 */
GURN_FN double gurn_log2_gamma_bend(double z, double w) {
    double above = 1.0, below = 1.0, from = z;
    while (z < 10.0) { /* Gamma(z + w) / Gamma(z) = z / (z + w) Gamma(z + 1 + w) / Gamma(z + 1) */
        above *= z;
        below *= z + w;
        z += 1.0;
    }
    double inverse = 1.0 / z, inverse_w = 1.0 / (z + w);
    double series = fma(gurn_stirling(inverse_w * inverse_w), inverse_w, -gurn_stirling(inverse * inverse) * inverse);
    double value = fma(z + w - 0.5, s_log2_ratio64(w / (z + z + w)), (series - w) * GURN_LOG2E);
    if (from < z) value += fma(w, s_log2_64(z / from), s_log2_64(above / below));
    return value;
}

/* digamma(z) = d log Gamma(z) / dz, z > 0; absolute error below 5e-15 max(1, |digamma(z)|). */
GURN_FN double gurn_digamma(double z) {
    double shift = 0.0;
    while (z < 10.0) {
        shift += 1.0 / z;
        z += 1.0;
    }
    double w = 1.0 / z, v = w * w;
    double series = 3617.0 / 8160.0;
    series = fma(series, v, -1.0 / 12.0);
    series = fma(series, v, 691.0 / 32760.0);
    series = fma(series, v, -1.0 / 132.0);
    series = fma(series, v, 1.0 / 240.0);
    series = fma(series, v, -1.0 / 252.0);
    series = fma(series, v, 1.0 / 120.0);
    series = fma(series, v, -1.0 / 12.0);
    return fma(s_log2_64(z), GURN_LN2, fma(series, v, -0.5 * w)) - shift;
}

#endif
