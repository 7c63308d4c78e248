/* log omega of a tile of rows (omega.h) on the CPU. */
#ifndef GURN_OMEGA_CPU_H
#define GURN_OMEGA_CPU_H

#include <stdbool.h>

#include "gammamath.h"
#include "omega.h"
#include "simd.h"

#define GURN_OMEGA_ROWS 16

/*
 * log2 omega (gurn_log2_omega) of 1 to GURN_OMEGA_ROWS rows of one urn, whose steps `steps` are: no class that has balls has
 * omega 0; returns whether that is so. Row r begins at element at[r]; lanes beyond the rows repeat row 0.
 * a[C][GURN_OMEGA_ROWS]: of place i at order[i] or, unless by_class, at i.
 */
GURN_FN bool gurn_omega_rows(const gurn_step *steps, int32_t classes, const int32_t *order, const void *log_omega,
                             gurn_dtype dtype, int rows, const int64_t *at, bool by_class, double *a) {
    enum {
        vectors = GURN_OMEGA_ROWS / V_HALF
    };
    v_f64 largest[vectors], least[vectors], none = v_splat64(-INFINITY), reach = v_splat64(GURN_OMEGA_REACH);
    bool all = true;
    for (int v = 0; v < vectors; v++) largest[v] = none, least[v] = -none;
    for (int32_t i = 0; i < classes; i++) {
        double *to = a + (int64_t)(by_class ? order[i] : i) * GURN_OMEGA_ROWS;
        for (int r = 0; r < GURN_OMEGA_ROWS; r++) to[r] = gurn_real(log_omega, dtype, at[r < rows ? r : 0] + order[i]);
        for (int v = 0; v < vectors && steps[i].m > 0; v++) {
            v_f64 value = v_f64_load(to + v * V_HALF);
            largest[v] = v_if_less64(largest[v], value, value, largest[v]);
            least[v] = v_if_less64(value, least[v], value, least[v]);
        }
    }
    for (int v = 0; v < vectors; v++) {
        for (int l = 0; l < V_HALF; l++) all &= !gurn_omega_is_zero(least[v][l]);
        largest[v] = v_if_less64(none, largest[v], largest[v], v_splat64(0.0));
    }
    for (int32_t i = 0; i < classes; i++)
        for (int v = 0; v < vectors; v++, a += V_HALF) { /* gurn_log2_omega */
            v_f64 value = (v_f64_load(a) - largest[v]) * v_splat64(GURN_LOG2E);
            v_f64_store(a, v_if_less64(reach, value, reach, v_if_less64(value, -reach, -reach, value)));
        }
    return all;
}

#endif
