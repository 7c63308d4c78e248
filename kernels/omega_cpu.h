/* log omega of a tile of rows (omega.h) on the CPU. */
#ifndef GURN_OMEGA_CPU_H
#define GURN_OMEGA_CPU_H

#include <stdbool.h>

#include "omega.h"

#define GURN_OMEGA_ROWS 16

/*
 * log2 omega (gurn_log2_omega) of 1 to GURN_OMEGA_ROWS rows of one urn, whose steps `steps` are: no class that has balls has
 * omega 0; returns whether that is so. Row r begins at element at[r]; lanes beyond the rows repeat row 0.
 * a[C][GURN_OMEGA_ROWS]: of place i at order[i] or, unless by_class, at i.
 */
GURN_FN bool gurn_omega_rows(const gurn_step *steps, int32_t classes, const int32_t *order, const void *log_omega,
                             gurn_dtype dtype, int rows, const int64_t *at, bool by_class, double *a) {
    double largest[GURN_OMEGA_ROWS], least[GURN_OMEGA_ROWS];
    bool all = true;
    for (int r = 0; r < GURN_OMEGA_ROWS; r++) largest[r] = -INFINITY, least[r] = INFINITY;
    for (int32_t i = 0; i < classes; i++) {
        double *to = a + (int64_t)(by_class ? order[i] : i) * GURN_OMEGA_ROWS;
        for (int r = 0; r < GURN_OMEGA_ROWS; r++) to[r] = gurn_real(log_omega, dtype, at[r < rows ? r : 0] + order[i]);
        for (int r = 0; r < GURN_OMEGA_ROWS && steps[i].m > 0; r++) {
            largest[r] = to[r] > largest[r] ? to[r] : largest[r];
            least[r] = to[r] < least[r] ? to[r] : least[r];
        }
    }
    for (int r = 0; r < GURN_OMEGA_ROWS; r++) {
        all &= !gurn_omega_is_zero(least[r]);
        largest[r] = largest[r] > -INFINITY ? largest[r] : 0.0;
    }
    for (int32_t i = 0; i < classes; i++, a += GURN_OMEGA_ROWS)
        for (int r = 0; r < GURN_OMEGA_ROWS; r++) a[r] = gurn_log2_omega(a[r], largest[r]);
    return all;
}

#endif
