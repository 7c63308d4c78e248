/*
 * The tilt (tilt.h) on the CPU: of one row, a vector of classes at a time, and of many, a vector of rows at a time; the
 * bits are the same. Arrays of classes of one row are as long as gurn_padded_classes says, with classes of size 0 behind
 * the last.
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
    gurn_tilt t = gurn_tilt_begin(n, total, range);
    do gurn_tilt_sums(a, m, p, q, classes, &t);
    while (!gurn_tilt_step(&t));
    return t;
}

/* Rows that are solved together, and vectors of them. */
#define GURN_TILT_ROWS 16
#define GURN_TILT_VECTORS (GURN_TILT_ROWS / V_HALF)

/* The strided partial sums of class c, one vector of rows each. */
GURN_FN v_f64 gurn_tilt_rows_total(v_f64 *lanes, int64_t classes) {
    int64_t used = classes < GURN_TILT_LANES ? classes : GURN_TILT_LANES;
    for (int w = GURN_TILT_LANES / 2; w > 0; w /= 2)
        for (int l = 0; l < w && l + w < used; l++) lanes[l] += lanes[l + w];
    return lanes[0];
}

/*
 * The tilts of GURN_TILT_ROWS rows: a[C][rows], m[C], n[rows], 0 < n < total. ell[rows] is set, and for it mean[C][rows]
 * to m p, and q[C][rows].
 */
GURN_FN void gurn_tilt_rows(const double *a, const double *m, const double *n, int64_t classes, double total,
                            double *ell, double *mean, double *q) {
    v_tilt_search search[GURN_TILT_VECTORS];
    v_f64 top = v_splat64(GURN_TILT_MAX), zero = v_splat64(0.0);
    for (int v = 0; v < GURN_TILT_VECTORS; v++) {
        v_f64 least = v_splat64(INFINITY), most = v_splat64(-INFINITY), sum[GURN_TILT_LANES];
        for (int64_t c = 0; c < classes; c++) {
            int l = (int)(c % GURN_TILT_LANES);
            v_f64 value = v_f64_load(a + c * GURN_TILT_ROWS + v * V_HALF);
            if (c < GURN_TILT_LANES) sum[l] = zero;
            if (m[c] == 0.0) continue;
            least = v_if_less64(value, least, value, least);
            most = v_if_less64(most, value, value, most);
            sum[l] += value * v_splat64(m[c]);
        }
        v_f64 middle = v_div64(gurn_tilt_rows_total(sum, classes), v_splat64(total));
        search[v] = v_tilt_begin(v_f64_load(n + v * V_HALF), v_splat64(total), middle, least, most);
    }
    for (int round = 0, more = 1; more && round <= GURN_TILT_ROUNDS; round++) {
        v_f64 sum[GURN_TILT_VECTORS][GURN_TILT_LANES], variance[GURN_TILT_VECTORS][GURN_TILT_LANES];
        for (int64_t c = 0; c < classes; c++) {
            int l = (int)(c % GURN_TILT_LANES);
            v_f64 size = v_splat64(m[c]);
            for (int v = 0; v < GURN_TILT_VECTORS; v++) {
                int64_t at = c * GURN_TILT_ROWS + v * V_HALF;
                v_f64 lambda = v_f64_load(a + at) + search[v].ell, here, rest;
                lambda = v_if_less64(top, lambda, top, v_if_less64(lambda, -top, -top, lambda));
                v_odds_to_p(lambda, &here, &rest);
                v_f64 mp = size * here;
                v_f64_store(mean + at, mp);
                v_f64_store(q + at, rest);
                if (c < GURN_TILT_LANES) sum[v][l] = variance[v][l] = zero;
                sum[v][l] += mp;
                variance[v][l] = v_fma64(mp, rest, variance[v][l]);
            }
        }
        more = 0;
        for (int v = 0; v < GURN_TILT_VECTORS && round < GURN_TILT_ROUNDS; v++) {
            v_f64 go = v_tilt_step(&search[v], gurn_tilt_rows_total(sum[v], classes),
                                   gurn_tilt_rows_total(variance[v], classes));
            more |= v_any_less64(zero, go);
        }
    }
    for (int v = 0; v < GURN_TILT_VECTORS; v++) v_f64_store(ell + v * V_HALF, search[v].ell);
}

#endif
