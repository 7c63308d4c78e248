/*
 * Suffix tables on the CPU (suffix.h), a vector of outputs at a time, in float for the exact chain and in double for
 * plain draws.
 *
 * To use them, for one omega and n, with the functions for float (…_f32) or double (…_f64):
 *
 *     gurn_suffix_measure(view, n_max, bits)      what the tables of any omega and n <= n_max take
 *     gurn_suffix_cut, gurn_suffix_sizes          a thread's arrays, once
 *     gurn_suffix_places(view, order, log_omega, dtype, at, n, bits, &work, s)     s[C]: tilt, means, own windows
 *     gurn_suffix_fill_f64(view, n, s, work.b64, tables, 0, true, NULL)            windows and tables
 *
 * Then S_i(r), s[i].low <= r <= s[i].high, is tables[s[i].begin + s[i].top - r] for places i >= 1, up to a factor for
 * every i; and b_i(k) is 2^-(T_m(k) - k lambda), up to a factor. Of places without balls the table is that of the next;
 * behind the last place that has balls there is none. Where the counts are certain (n = 0 or n = sum m) every window is
 * one number, and there are no tables: gurn_suffix_places returns false and has set the windows.
 */
#ifndef GURN_SUFFIX_CPU_H
#define GURN_SUFFIX_CPU_H

#include <string.h>

#include "simd.h"
#include "suffix.h"
#include "tilt_cpu.h"

#define GURN_L(name) v_##name
#include "suffix_lanes.h"
#undef GURN_L

/* A thread's arrays; of classes, or of places of the order, padded as tilt_cpu.h says. */
typedef struct gurn_suffix_work {
    double *m, *a, *p, *q;            /* by class */
    double *inside, *outside, *reach; /* by place, [2][C]: of the class itself; of it and all later ones */
    float *b;                         /* own weights: entry 0 is of own_low; 16 entries before it may be written */
    double *b64;                      /* the same in double */
} gurn_suffix_work;

typedef struct gurn_suffix_capacity {
    int64_t own;     /* entries of own weights */
    int64_t table;   /* entries of the longest table, with pads */
    int64_t entries; /* of all tables of a row */
} gurn_suffix_capacity;

GURN_FN gurn_suffix_capacity gurn_suffix_measure(const gurn_plan_view *view, int32_t n_max, double bits) {
    gurn_suffix_capacity cap = {0, 0, 0};
    double total = (double)view->steps[0].m + view->steps[0].m_rest;
    for (int32_t i = 0; i < view->classes; i++) {
        double m = view->steps[i].m, left = m + view->steps[i].m_rest;
        if (m == 0.0) continue;
        int64_t own = gurn_suffix_width(m, total - m, n_max, bits);
        cap.own = own > cap.own ? own : cap.own;
        if (i == 0) continue;
        int64_t table = gurn_suffix_entries(gurn_suffix_width(left, total - left, n_max, bits));
        cap.table = table > cap.table ? table : cap.table;
        cap.entries += table;
    }
    return cap;
}

/*
 * Bytes of a thread's arrays, which are laid out at p (aligned to 64) if it is not NULL. own: entries of own weights of
 * size real_size.
 */
GURN_FN size_t gurn_suffix_cut(gurn_suffix_work *work, int32_t classes, int64_t own, size_t real_size, char *p) {
    size_t padded = (size_t)gurn_padded_classes(classes), doubles = 10 * padded;
    size_t weights = ((size_t)own + 2 * GURN_SUFFIX_PAD) * real_size;
    if (p) {
        double *d = (double *)p;
        work->m = d;
        work->a = d + padded;
        work->p = d + 2 * padded;
        work->q = d + 3 * padded;
        work->inside = d + 4 * padded;
        work->outside = d + 6 * padded;
        work->reach = d + 8 * padded;
        work->b = (float *)(d + doubles) + 16;
        work->b64 = d + doubles + 16;
    }
    return (doubles * sizeof(double) + weights + 63) & ~(size_t)63;
}

/* Class sizes, once a thread. */
GURN_FN void gurn_suffix_sizes(const gurn_plan_view *view, gurn_suffix_work *work) {
    for (int64_t c = 0; c < gurn_padded_classes(view->classes); c++)
        work->m[c] = c < view->classes ? (double)(view->offset[c + 1] - view->offset[c] - 1) : 0.0;
}

/* Everything about the places that does not need the tables. log_omega: the row begins at element `at`. */
GURN_FN bool gurn_suffix_places(const gurn_plan_view *view, const int32_t *order, const void *log_omega,
                                gurn_dtype dtype, int64_t at, int32_t n, double bits, const gurn_suffix_work *work,
                                gurn_suffix *s) {
    int32_t classes = view->classes, total = view->steps[0].m + view->steps[0].m_rest;
    int64_t padded = gurn_padded_classes(classes);
    if (n == 0 || n == total) {
        memset(s, 0, (size_t)classes * sizeof *s);
        for (int32_t i = 0; n > 0 && i < classes; i++) {
            s[i].own_low = s[i].own_high = view->steps[i].m;
            s[i].low = s[i].high = s[i].top = view->steps[i].m + view->steps[i].m_rest;
        }
        return false;
    }
    for (int64_t c = 0; c < padded; c++)
        work->a[c] = c < classes ? gurn_law_log2_omega(gurn_real(log_omega, dtype, at + c)) : 0.0;
    gurn_tilt_range range = gurn_tilt_range_of(work->a, work->m, classes, total);
    gurn_tilt tilt = gurn_tilt_solve(work->a, work->m, work->p, work->q, classes, n, total, range);
    double before = 0.0, left = 0.0, mean_left = 0.0;
    for (int32_t i = 0; i < classes; i++) {
        int32_t c = order[i];
        s[i].lambda = gurn_suffix_lambda(work->a[c], tilt.ell);
        s[i].fixed_lambda = gurn_fixed_lambda(s[i].lambda);
        s[i].mean = work->m[c] * work->p[c];
        s[i].variance = s[i].mean * work->q[c];
        work->inside[i] = s[i].variance;
        work->outside[padded + i] = before;
        before += s[i].variance;
    }
    for (int32_t i = classes - 1; i >= 0; i--) {
        work->outside[i] = work->outside[padded + i] + left;
        mean_left += s[i].mean;
        left += s[i].variance;
        s[i].mean_left = mean_left;
        s[i].variance_left = work->inside[padded + i] = left;
        s[i].share = s[i].variance / left;
    }
    for (int64_t i = classes; i < padded; i++)
        work->inside[i] = work->inside[padded + i] = work->outside[i] = work->outside[padded + i] = 0.0;
    double nats = gurn_suffix_nats(bits, left);
    for (int64_t i = 0; i < 2 * padded; i += V_HALF)
        v_f64_store(work->reach + i, v_suffix_reach(v_f64_load(work->inside + i), v_f64_load(work->outside + i), nats));
    for (int32_t i = 0; i < classes; i++) {
        s[i].reach = work->reach[padded + i];
        gurn_suffix_own_window(&s[i], view->steps[i].own.wide, view->steps[i].m, n, work->reach[i]);
    }
    return true;
}

/* gurn_suffix_own_weight over the window. */
GURN_FN void gurn_suffix_own_f32(const gurn_suffix *s, const gurn_step *step, float *b) {
    const int32_t *own = step->own.fixed;
    int64_t lambda = s->fixed_lambda;
    uint32_t reference = gurn_suffix_own_reference(s, own, step->m);
    /* gurn_linear_exact at k + lane: its block of 16 counts exactly, and slope and remainder of lambda inside it. */
    uint32_t slope = gurn_linear_slope(lambda);
    int32_t remainder = (int32_t)((uint64_t)(lambda + (1 << 23)) & 0xFFFFFF) - (1 << 23);
    for (int32_t k = s->own_low & -V_LANES; k <= s->own_high; k += V_LANES) {
        uint64_t block = (uint64_t)(k & ~15) * (uint64_t)lambda;
        v_i32 lane = v_lane_index() + (k & 15);
        v_i32 inside = (lane * remainder + ((int32_t)(block & 0xFFFFFF) + (1 << 23))) >> 24;
        v_u32 linear = (v_u32)lane * slope + (v_u32)inside + (uint32_t)(block >> 24);
        v_u32 distance = (v_u32)v_i32_load(own + k) - linear - reference;
        v_f32_store(b + (k - s->own_low), v_exp2_fixed((v_i32)-distance));
    }
}

/* The same in double, 1 at the mode. */
GURN_FN void gurn_suffix_own_f64(const gurn_suffix *s, const gurn_step *step, double *b) {
    const double *own = step->own.wide;
    int32_t mode = gurn_suffix_own_mode(s, step->m);
    v_f64 least = v_splat64(fma(-(double)mode, s->lambda, own[mode])), lambda = v_splat64(s->lambda), lane;
    for (int l = 0; l < V_HALF; l++) lane[l] = l;
    for (int32_t k = s->own_low; k <= s->own_high; k += V_HALF) {
        v_f64 count = lane + v_splat64(k);
        v_f64_store(b + (k - s->own_low), v_exp2_64(least - v_fma64(-count, lambda, v_f64_load(own + k))));
    }
}

/* -log2 of a table, in units of 2^-23 bit. */
GURN_FN void gurn_suffix_logs_f32(const gurn_suffix *s, const float *table, int32_t *rest) {
    for (int32_t j = 0; j <= s->top - s->low; j += V_LANES) v_i32_store(rest + j, -v_log2_fixed(v_f32_load(table + j)));
}
GURN_FN void gurn_suffix_logs_f64(const gurn_suffix *s, const double *table, int32_t *rest) {
    (void)s, (void)table, (void)rest;
}

#define GURN_REAL float
#define GURN_R(name) name##_f32
#define V_REAL v_f32
#define V_REALS V_LANES
#define V_REAL_(name) v_f32_##name
#define V_REAL_SPLAT v_splat32
#define V_REAL_FMA v_fma32
#define V_REAL_MAX v_max32
#include "suffix_cpu_real.h"
#undef GURN_REAL
#undef GURN_R
#undef V_REAL
#undef V_REALS
#undef V_REAL_
#undef V_REAL_SPLAT
#undef V_REAL_FMA
#undef V_REAL_MAX

#define GURN_REAL double
#define GURN_R(name) name##_f64
#define V_REAL v_f64
#define V_REALS V_HALF
#define V_REAL_(name) v_f64_##name
#define V_REAL_SPLAT v_splat64
#define V_REAL_FMA v_fma64
#define V_REAL_MAX(a, b) v_if_less64(a, b, b, a)
#include "suffix_cpu_real.h"
#undef GURN_REAL
#undef GURN_R
#undef V_REAL
#undef V_REALS
#undef V_REAL_
#undef V_REAL_SPLAT
#undef V_REAL_FMA
#undef V_REAL_MAX

#endif
