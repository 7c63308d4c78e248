/*
 * log Gamma and digamma of a real argument, for soft mode, in C and in CUDA device code. Double, no libc lgamma (it
 * writes signgam). Arguments are counts plus one with a real part: z > 0.
 */
#ifndef GURN_GAMMAMATH_H
#define GURN_GAMMAMATH_H

#include "logmath.h"

#define GURN_LN2 0.69314718055994530942
#define GURN_LOG2E 1.44269504088896340736

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
    double w = 1.0 / z, v = w * w;
    double series = -3617.0 / 122400.0;
    series = fma(series, v, 1.0 / 156.0);
    series = fma(series, v, -691.0 / 360360.0);
    series = fma(series, v, 1.0 / 1188.0);
    series = fma(series, v, -1.0 / 1680.0);
    series = fma(series, v, 1.0 / 1260.0);
    series = fma(series, v, -1.0 / 360.0);
    series = fma(series, v, 1.0 / 12.0);
    /* (z - 1/2) log2 z + (series / z - z) log2 e + log2(2 pi) / 2 */
    double value = fma(z - 0.5, s_log2_64(z), fma(fma(series, w, -z), GURN_LOG2E, 1.3257480647361593990));
    return value - s_log2_64(product);
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
