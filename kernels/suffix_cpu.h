/*
 * Suffix tables on the CPU (suffix.h), a vector of outputs at a time, in float for the exact chain and in double for
 * plain draws.
 *
 * To use them, for one omega and n, with the functions for float (…_f32) or double (…_f64):
 *
 *     gurn_suffix_measure(view, n_max, bits)      what the tables of any omega and n <= n_max take
 *     gurn_suffix_cut                             a thread's arrays, once
 *     gurn_suffix_places(view, order, log_omega, dtype, rows, at, n, bits, &work, s)
 *                                                 tilt, means, own windows of a few rows of one urn
 *     gurn_suffix_fill_f64(view, n, &work, s, tables, NULL)                        windows and tables
 *
 * Then S_i(r), s[i].low <= r <= s[i].high, is tables[s[i].begin + s[i].top - r] for places i >= 1, up to a factor for
 * every i; and b_i(k) is 2^-(T_m(k) - k lambda), up to a factor. Of places without balls the table is that of the next;
 * behind the last place that has balls there is none. Where the counts are certain (n = 0 or n = sum m) every window is
 * one number, and there are no tables: gurn_suffix_places leaves the row's bit out and has set the windows.
 *
 * The urn of a row is what the view's steps say: where a class has omega 0, the view that is given is a copy of the plan's with
 * steps from gurn_omega_steps.
 */
#ifndef GURN_SUFFIX_CPU_H
#define GURN_SUFFIX_CPU_H

#include <string.h>

#include "omega_cpu.h"
#include "simd.h"
#include "suffix_nodes.h"
#include "tilt_cpu.h"

#define GURN_L(name) v_##name
#include "suffix_lanes.h"
#undef GURN_L

/* A thread's arrays. */
typedef struct gurn_suffix_work {
    double *m;            /* by class, of the urn at hand */
    double *a, *mean, *q; /* by class, [C][GURN_TILT_ROWS] */
    double *before;       /* by place, the same: variance of all earlier ones */
    float *b;             /* own weights: entry 0 is of own_low; 16 entries before it may be written */
    double *b64;          /* the same in double */
    float *turns[2];      /* entry 0 of two tables that take turns, with room for zeros on either side */
    double *turns64[2];   /* the same in double */
} gurn_suffix_work;

typedef struct gurn_suffix_capacity {
    int64_t own;     /* entries of own weights, of the widest class */
    int64_t owns;    /* of all classes, as gurn_suffix_own_entries counts */
    int64_t table;   /* of the longest table, with its pads */
    int64_t entries; /* of all tables of a row */
} gurn_suffix_capacity;

/* Entries that own weights take in memory, with what is written behind them (gurn_suffix_own_f32, _f64). */
GURN_FN int64_t gurn_suffix_own_entries(int64_t count) { return (count + V_LANES + GURN_SUFFIX_GROUP) & ~(int64_t)7; }

GURN_FN gurn_suffix_capacity gurn_suffix_measure(const gurn_plan_view *view, int32_t n_max, double bits) {
    gurn_suffix_capacity cap = {0, 0, 0, 0};
    double total = (double)view->steps[0].m + view->steps[0].m_rest;
    for (int32_t i = 0; i < view->classes; i++) {
        double m = view->steps[i].m, left = m + view->steps[i].m_rest;
        if (m == 0.0) continue;
        int64_t own = gurn_suffix_width(m, total - m, n_max, bits);
        cap.own = own > cap.own ? own : cap.own;
        cap.owns += gurn_suffix_own_entries(own);
        if (i == 0) continue;
        int64_t table = gurn_suffix_entries(gurn_suffix_width(left, total - left, n_max, bits));
        cap.table = table > cap.table ? table : cap.table;
        cap.entries += table;
    }
    return cap;
}

/*
 * Zeros that are read beside a table: by a vector or two at its ends (gurn_suffix_convolve), and by all counts of a
 * class (gurn_suffix_nodes_sum).
 */
GURN_FN int64_t gurn_suffix_beside(int64_t own) {
    own = (own + GURN_SUFFIX_GROUP - 1) & -GURN_SUFFIX_GROUP;
    return own > GURN_SUFFIX_PAD ? own : GURN_SUFFIX_PAD;
}

/*
 * Bytes of a thread's arrays, which are laid out at p (aligned to 64) if it is not NULL. own, table: entries of own
 * weights and of the longest table, of size real_size.
 */
GURN_FN size_t gurn_suffix_cut(gurn_suffix_work *work, int32_t classes, int64_t own, int64_t table, size_t real_size,
                               char *p) {
    size_t padded = (size_t)gurn_padded_classes(classes), lanes = (size_t)classes * GURN_TILT_ROWS;
    size_t doubles = padded + 4 * lanes;
    size_t weights = (((size_t)own + 2 * GURN_SUFFIX_PAD) * real_size + 63) & ~(size_t)63;
    size_t beside = ((size_t)gurn_suffix_beside(own) * real_size + 63) & ~(size_t)63;
    size_t turn = 2 * beside + (((size_t)table * real_size + 63) & ~(size_t)63);
    if (p) {
        double *d = (double *)p;
        work->m = d;
        work->a = d + padded;
        work->mean = d + padded + lanes;
        work->q = d + padded + 2 * lanes;
        work->before = d + padded + 3 * lanes;
        work->b = (float *)(d + doubles) + 16;
        work->b64 = d + doubles + 16;
        p += doubles * sizeof(double) + weights + beside;
        for (int t = 0; t < 2; t++, p += turn) {
            work->turns[t] = (float *)p;
            work->turns64[t] = (double *)p;
        }
    }
    return doubles * sizeof(double) + weights + 2 * turn;
}

/* Entries that the tables of a row take, once they are there: those of the first place that has one stand last. */
GURN_FN int64_t gurn_suffix_used(const gurn_plan_view *view, const gurn_suffix *s) {
    int32_t i = 1;
    while (i < view->classes && view->steps[i].m == 0) i++;
    return i < view->classes ? s[i].begin + (s[i].top - s[i].low + 1) + GURN_SUFFIX_PAD : 0;
}

/* The places of a row all of whose counts are certain: n = 0, or n = sum m. */
GURN_FN void gurn_suffix_places_certain(const gurn_plan_view *view, int32_t n, gurn_suffix *s) {
    memset(s, 0, (size_t)view->classes * sizeof *s);
    for (int32_t i = 0; n > 0 && i < view->classes; i++) {
        s[i].own_low = s[i].own_high = view->steps[i].m;
        s[i].low = s[i].high = s[i].top = view->steps[i].m + view->steps[i].m_rest;
    }
}

/*
 * Everything about the places that does not need the tables, for 1 to GURN_TILT_ROWS rows of one urn, one lane each. Row
 * r has the log omega that begin at element at[r], and n[r]; s[r] receives its places. Returns bit r for every row that is
 * to have tables.
 */
GURN_FN unsigned gurn_suffix_places(const gurn_plan_view *view, const int32_t *order, const void *log_omega,
                                    gurn_dtype dtype, int rows, const int64_t *at, const int32_t *n, double bits,
                                    const gurn_suffix_work *work, gurn_suffix *const *s) {
    enum {
        lanes = GURN_TILT_ROWS
    };
    int32_t classes = view->classes, total = view->steps[0].m + view->steps[0].m_rest;
    double n_lane[lanes], ell[lanes], lane[5][lanes];
    unsigned wanted = 0;
    for (int r = 0; r < lanes; r++) {
        bool certain = r < rows && (n[r] == 0 || n[r] == total);
        if (r < rows && !certain) wanted |= 1u << r;
        if (certain) gurn_suffix_places_certain(view, n[r], s[r]);
        n_lane[r] = r < rows && !certain ? n[r] : 0.5 * total;
    }
    if (!wanted) return 0;
    for (int32_t i = 0; i < classes; i++) work->m[order[i]] = view->steps[i].m;
    gurn_omega_rows(view->steps, classes, order, log_omega, dtype, rows, at, true, work->a);
    gurn_tilt_rows(work->a, work->m, n_lane, classes, total, ell, work->mean, work->q);

    /* q becomes the variance; running sums before each place, and from it on. */
    v_f64 sum[GURN_TILT_VECTORS], nats[GURN_TILT_VECTORS], mean_left[GURN_TILT_VECTORS];
    for (int v = 0; v < GURN_TILT_VECTORS; v++) {
        sum[v] = mean_left[v] = v_splat64(0.0);
        for (int32_t i = 0; i < classes; i++) {
            int64_t own = (int64_t)order[i] * lanes + v * V_HALF;
            v_f64 variance = v_f64_load(work->mean + own) * v_f64_load(work->q + own);
            v_f64_store(work->q + own, variance);
            v_f64_store(work->before + (int64_t)i * lanes + v * V_HALF, sum[v]);
            sum[v] += variance;
        }
        v_f64 left = v_splat64(0.0);
        for (int32_t i = classes - 1; i >= 0; i--) left += v_f64_load(work->q + (int64_t)order[i] * lanes + v * V_HALF);
        nats[v] = v_suffix_nats(bits, left);
        sum[v] = v_splat64(0.0);
    }
    for (int32_t i = classes - 1; i >= 0; i--) {
        const gurn_step *step = &view->steps[i];
        int64_t own = (int64_t)order[i] * lanes;
        for (int v = 0; v < GURN_TILT_VECTORS; v++) {
            v_f64 variance = v_f64_load(work->q + own + v * V_HALF);
            v_f64 before = v_f64_load(work->before + (int64_t)i * lanes + v * V_HALF);
            v_f64_store(lane[0] + v * V_HALF, v_suffix_reach(variance, before + sum[v], nats[v]));
            sum[v] += variance;
            mean_left[v] += v_f64_load(work->mean + own + v * V_HALF);
            v_f64_store(lane[1] + v * V_HALF, v_suffix_reach(sum[v], before, nats[v]));
            v_f64_store(lane[2] + v * V_HALF, mean_left[v]);
            v_f64_store(lane[3] + v * V_HALF, sum[v]);
            v_f64_store(lane[4] + v * V_HALF, v_div64(variance, sum[v]));
        }
        for (int r = 0; r < rows; r++) {
            if (!(wanted >> r & 1)) continue;
            gurn_suffix *p = &s[r][i];
            p->lambda = gurn_suffix_lambda(work->a[own + r], ell[r]);
            p->fixed_lambda = gurn_fixed_lambda(p->lambda);
            p->mean = work->mean[own + r];
            p->variance = work->q[own + r];
            p->reach = lane[1][r];
            p->mean_left = lane[2][r];
            p->variance_left = lane[3][r];
            p->share = lane[4][r];
            gurn_suffix_own_window(p, step->own.wide, step->m, n[r], lane[0][r]);
        }
    }
    return wanted;
}

/* 2^e for -126 <= e <= 127. */
GURN_FN float gurn_power_of_two_f32(int32_t e) { return s_from_bits32((uint32_t)(e + 127) << 23); }
GURN_FN double gurn_power_of_two_f64(int32_t e) { return (double)gurn_power_of_two_f32(e); }

/* gurn_suffix_own_weight over the window, then GURN_SUFFIX_GROUP zeros; and gurn_suffix_own_cost unless cost is NULL. */
GURN_FN void gurn_suffix_own_f32(const gurn_suffix *s, const gurn_step *step, float *b, int32_t *cost) {
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
        if (cost) v_i32_store(cost + (k - s->own_low), (v_i32)distance);
    }
    memset(b + (s->own_high - s->own_low + 1), 0, GURN_SUFFIX_GROUP * sizeof *b);
}

/* The same in double, 1 at the mode. */
GURN_FN void gurn_suffix_own_f64(const gurn_suffix *s, const gurn_step *step, double *b, int32_t *cost) {
    (void)cost;
    const double *own = step->own.wide;
    int32_t mode = gurn_suffix_own_mode(s, step->m);
    v_f64 least = v_splat64(fma(-(double)mode, s->lambda, own[mode])), lambda = v_splat64(s->lambda), lane;
    for (int l = 0; l < V_HALF; l++) lane[l] = l;
    for (int32_t k = s->own_low; k <= s->own_high; k += V_HALF) {
        v_f64 count = lane + v_splat64(k);
        v_f64_store(b + (k - s->own_low), v_exp2_64(least - v_fma64(-count, lambda, v_f64_load(own + k))));
    }
    memset(b + (s->own_high - s->own_low + 1), 0, GURN_SUFFIX_GROUP * sizeof *b);
}

/*
 * log2_sum[t] = log2_fixed of sum_k b[k] at[k + t apart], k < own, in the order of suffix_nodes.h; of
 * GURN_SUFFIX_NODES_ROOM entries the nodes' are set. b[] is zero behind own to a multiple of GURN_SUFFIX_GROUP.
 */
GURN_FN void gurn_suffix_nodes_sum(const float *b, int32_t own, const float *at, int32_t apart, int32_t *log2_sum) {
#if V_LANES >= GURN_SUFFIX_NODES
    enum {
        parts = GURN_SUFFIX_GROUP / V_LANES,
        nodes = GURN_SUFFIX_NODES
    };
    v_f32 part[parts][nodes], *sum = part[0];
    for (int l = 0; l < parts; l++)
        for (int t = 0; t < nodes; t++) part[l][t] = v_splat32(0.0f);
    for (int32_t k = 0; k < own; k += GURN_SUFFIX_GROUP)
        for (int l = 0; l < parts; l++) {
            v_f32 weight = v_f32_load(b + k + l * V_LANES);
            for (int t = 0; t < nodes; t++)
                part[l][t] = v_fma32(weight, v_f32_load(at + t * apart + k + l * V_LANES), part[l][t]);
        }
    for (int t = 0; t < nodes && parts == 2; t++) sum[t] += part[parts - 1][t];
    /* By halves; what two sums hold twice is put into one. */
    int count = nodes;
#define STEP(w)                                                                                                     \
    for (int t = 0; t < count; t++) sum[t] += V_EXCHANGE(sum[t], w);                                                \
    for (int t = 0; t < count / 2; t++) sum[t] = v_select32((v_lane_index() & w) != 0, sum[t + count / 2], sum[t]); \
    count = count > 1 ? count / 2 : 1;
    V_BY_HALVES(STEP)
#undef STEP
#if V_LANES == 16
    sum[0] = __builtin_shufflevector(sum[0], sum[0], 0, 2, 4, 6, 8, 10, 12, 14, 14, 14, 14, 14, 14, 14, 14, 14);
#endif
    v_i32_store(log2_sum, v_log2_fixed(sum[0]));
#else
    enum {
        parts = GURN_SUFFIX_GROUP / V_LANES
    };
    for (int t = 0; t < GURN_SUFFIX_NODES; t++, at += apart) {
        v_f32 part[parts] = {{0}};
        for (int32_t k = 0; k < own; k += GURN_SUFFIX_GROUP)
            for (int l = 0; l < parts; l++)
                part[l] = v_fma32(v_f32_load(b + k + l * V_LANES), v_f32_load(at + k + l * V_LANES), part[l]);
        for (int w = parts / 2; w > 0; w /= 2)
            for (int l = 0; l < w; l++) part[l] += part[l + w];
        log2_sum[t] = s_log2_fixed(v_sum32(part[0]));
    }
#endif
}

/*
 * The table of a place and its logarithms from sums at its nodes (suffix_nodes.h): false where that will not do, and
 * nothing is meant by what is there then. s: its window is set. in: entry 0 of the next table, with gurn_suffix_beside
 * zeros on either side.
 */
GURN_FN bool gurn_suffix_smooth_f32(gurn_suffix *s, const gurn_suffix *next, const gurn_left_table *left,
                                    const float *b, const float *in, float *table, int32_t *rest) {
    int32_t count = s->high - s->low + 1;
    if (!left->fixed || count < GURN_SUFFIX_NODES_LEAST) return false;
    const int32_t *reference = left->fixed + (left->top - s->top);
    gurn_suffix_nodes nodes = gurn_suffix_nodes_of(count);
    int32_t log2_sum[GURN_SUFFIX_NODES_ROOM];
    gurn_suffix_nodes_sum(b, s->own_high - s->own_low + 1, in + (nodes.first + s->own_low + next->top - s->top),
                          nodes.apart, log2_sum);
    if (!gurn_suffix_nodes_fit(&nodes, count, log2_sum, reference, &s->exponent)) return false;
    v_u32 line = (v_u32)v_lane_index() * (uint32_t)nodes.slope + (uint32_t)nodes.base;
    for (int32_t j = 0; j < count; j += V_LANES) {
        v_f32 x = v_to_f32(v_lane_index() + (j - nodes.first)) * v_splat32(nodes.inverse);
        v_u32 cost = (v_u32)v_i32_load(reference + j) + line + (v_u32)v_suffix_between(x, nodes.difference);
        v_i32_store(rest + j, (v_i32)cost);
        v_f32_store(table + j, v_exp2_fixed((v_i32)-cost));
        line += (uint32_t)V_LANES * (uint32_t)nodes.slope;
    }
    s->apart = nodes.apart;
    return rest[0] <= GURN_SUFFIX_LEAST_COST && rest[count - 1] <= GURN_SUFFIX_LEAST_COST;
}
GURN_FN bool gurn_suffix_smooth_f64(gurn_suffix *s, const gurn_suffix *next, const gurn_left_table *left,
                                    const double *b, const double *in, double *table, int32_t *rest) {
    (void)s, (void)next, (void)left, (void)b, (void)in, (void)table, (void)rest;
    return false;
}

/* The table of the last place, its b_i upside down. room: as gurn_suffix_work has for a table. */
GURN_FN void gurn_suffix_last_f32(gurn_suffix *s, const gurn_step *step, float *b, float *room, float *table,
                                  int32_t *rest) {
    int32_t *cost = (int32_t *)room, count = s->high - s->low + 1, from = s->top - s->own_low - (V_LANES - 1);
    gurn_suffix_own_f32(s, step, b, cost);
    v_f32 scale = v_splat32(gurn_power_of_two_f32(GURN_SUFFIX_EXPONENT));
    for (int32_t j = 0; j < count; j += V_LANES) {
        v_f32 weight = v_f32_load(b + from - j);
        v_u32 distance = (v_u32)v_i32_load(cost + from - j); /* lanes beyond the window wrap: they hold anything */
        v_f32_store(table + j, V_REVERSED(weight) * scale);
        v_i32_store(rest + j, (v_i32)(V_REVERSED(distance) - (uint32_t)(GURN_SUFFIX_EXPONENT << 23)));
    }
}

/* -log2 of a table, in units of 2^-23 bit. */
GURN_FN void gurn_suffix_logs_f32(const gurn_suffix *s, const float *table, int32_t *rest) {
    for (int32_t j = 0; j <= s->top - s->low; j += V_LANES) v_i32_store(rest + j, -v_log2_fixed(v_f32_load(table + j)));
}
GURN_FN void gurn_suffix_last_f64(gurn_suffix *s, const gurn_step *step, double *b, double *room, double *table,
                                  int32_t *rest) {
    double scale = gurn_power_of_two_f64(GURN_SUFFIX_EXPONENT);
    (void)room, (void)rest;
    gurn_suffix_own_f64(s, step, b, NULL);
    for (int32_t j = 0; j <= s->high - s->low; j++) table[j] = b[s->top - s->own_low - j] * scale;
}
GURN_FN void gurn_suffix_logs_f64(const gurn_suffix *s, const double *table, int32_t *rest) {
    (void)s, (void)table, (void)rest;
}

/* Sums side by side in a convolution: as many as there are registers for. */
#define GURN_SUFFIX_VECTORS 4
#define GURN_SUFFIX_GROUPS (V_LANES == 16 ? 4 : 2)

#define GURN_REAL float
#define GURN_R(name) name##_f32
#define V_REAL v_f32
#define V_REALS V_LANES
#define V_REAL_(name) v_f32_##name
#define V_REAL_SPLAT v_splat32
#define V_REAL_FMA v_fma32
#define V_REAL_MAX v_max32
#define GURN_SUFFIX_B b
#define GURN_SUFFIX_TURNS turns
#include "suffix_cpu_real.h"
#undef GURN_REAL
#undef GURN_R
#undef V_REAL
#undef V_REALS
#undef V_REAL_
#undef V_REAL_SPLAT
#undef V_REAL_FMA
#undef V_REAL_MAX
#undef GURN_SUFFIX_B
#undef GURN_SUFFIX_TURNS

#define GURN_REAL double
#define GURN_R(name) name##_f64
#define V_REAL v_f64
#define V_REALS V_HALF
#define V_REAL_(name) v_f64_##name
#define V_REAL_SPLAT v_splat64
#define V_REAL_FMA v_fma64
#define V_REAL_MAX(a, b) v_if_less64(a, b, b, a)
#define GURN_SUFFIX_B b64
#define GURN_SUFFIX_TURNS turns64
#include "suffix_cpu_real.h"
#undef GURN_REAL
#undef GURN_R
#undef V_REAL
#undef V_REALS
#undef V_REAL_
#undef V_REAL_SPLAT
#undef V_REAL_FMA
#undef V_REAL_MAX
#undef GURN_SUFFIX_B
#undef GURN_SUFFIX_TURNS

#endif
