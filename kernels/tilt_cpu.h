/*
 * The tilt (tilt.h) on the CPU, a vector of classes at a time. Arrays of classes are as long as gurn_padded_classes
 * says, with classes of size 0 behind the last.
 */
#ifndef GURN_TILT_CPU_H
#define GURN_TILT_CPU_H

#include "simd.h"
#include "tilt.h"

#define GURN_L(name) v_##name
#include "tilt_lanes.h"
#undef GURN_L

GURN_FN int64_t gurn_padded_classes(int64_t classes) { return (classes + 15) & ~(int64_t)15; }

/* Adds up strided partial sums as tilt.h says. */
GURN_FN double gurn_tilt_total(double *lanes) {
    for (int w = GURN_TILT_LANES / 2; w > 0; w /= 2)
        for (int l = 0; l < w; l++) lanes[l] += lanes[l + w];
    return lanes[0];
}

/* total = sum m */
GURN_FN gurn_tilt_range gurn_tilt_range_of(const double *a, const double *m, int64_t classes, double total) {
    double sum[GURN_TILT_LANES] = {0};
    gurn_tilt_range range = {INFINITY, -INFINITY, 0.0};
    for (int64_t c = 0; c < classes; c++) {
        if (m[c] == 0.0) continue;
        if (a[c] < range.min) range.min = a[c];
        if (a[c] > range.max) range.max = a[c];
        sum[c % GURN_TILT_LANES] += a[c] * m[c];
    }
    if (total > 0.0) range.mean = gurn_tilt_total(sum) / total;
    return range;
}

/* Mean and variance of the sum under the tilt t->ell; fills p and q. */
GURN_FN void gurn_tilt_sums(const double *a, const double *m, double *p, double *q, int64_t classes, gurn_tilt *t) {
    double mean[GURN_TILT_LANES] = {0}, variance[GURN_TILT_LANES] = {0};
    v_f64 ell = v_splat64(t->ell), top = v_splat64(GURN_TILT_MAX);
    for (int64_t c = 0; c < gurn_padded_classes(classes); c += V_HALF) {
        int l = (int)(c % GURN_TILT_LANES);
        v_f64 lambda = v_f64_load(a + c) + ell, here, rest, size = v_f64_load(m + c);
        lambda = v_if_less64(top, lambda, top, v_if_less64(lambda, -top, -top, lambda));
        v_odds_to_p(lambda, &here, &rest);
        v_f64_store(p + c, here);
        v_f64_store(q + c, rest);
        v_f64 mp = size * here;
        v_f64_store(mean + l, v_f64_load(mean + l) + mp);
        v_f64_store(variance + l, v_fma64(mp, rest, v_f64_load(variance + l)));
    }
    t->mean = gurn_tilt_total(mean);
    t->variance = gurn_tilt_total(variance);
}

/* The tilt for n of total balls, 0 < n < total, with its p and q. */
GURN_FN gurn_tilt gurn_tilt_solve(const double *a, const double *m, double *p, double *q, int64_t classes, double n,
                                  double total, gurn_tilt_range range) {
    gurn_tilt t = gurn_tilt_begin(n, total, range.mean, range.min, range.max);
    do gurn_tilt_sums(a, m, p, q, classes, &t);
    while (!gurn_tilt_step(&t));
    return t;
}

#endif
