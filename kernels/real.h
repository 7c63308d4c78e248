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

#endif
