/* Elements of the caller's arrays of reals, float or double as the plan says, in C and in CUDA device code. */
#ifndef GURN_REAL_H
#define GURN_REAL_H

#include "gumbelurn.h"
#include "lanes.h"

GURN_FN double gurn_real(const void *p, gurn_dtype dtype, int64_t i) {
    return dtype == GURN_FLOAT32 ? (double)((const float *)p)[i] : ((const double *)p)[i];
}
GURN_FN void gurn_set_real(void *p, gurn_dtype dtype, int64_t i, double value) {
    if (dtype == GURN_FLOAT32)
        ((float *)p)[i] = (float)value;
    else
        ((double *)p)[i] = value;
}

/* Whether all elements of p[rows][width], whose rows are `stride` apart, are finite. Simple loops, for vectors. */
GURN_FN int gurn_all_finite(const void *p, gurn_dtype dtype, int64_t rows, int64_t width, int64_t stride) {
    int other = 0;
    if (stride == width) {
        width *= rows;
        rows = 1;
    }
    for (int64_t r = 0; r < rows; r++) {
        const float *f = (const float *)p + r * stride;
        const double *d = (const double *)p + r * stride;
        if (dtype == GURN_FLOAT32)
            for (int64_t i = 0; i < width; i++) other |= !(fabsf(f[i]) < INFINITY);
        else
            for (int64_t i = 0; i < width; i++) other |= !(fabs(d[i]) < INFINITY);
    }
    return !other;
}

#endif
