/*
 * What the exact chain's fast path on a GPU keeps of a row, or of all rows that share it: a room of the workspace with the
 * suffix tables (suffix.h), and in backward the gradients on their way to log omega.
 */
#ifndef GURN_MVHG_SUFFIX_CUH
#define GURN_MVHG_SUFFIX_CUH

#include "mvhg.cuh"
#include "mvhg_step.cuh"
#include "suffix.cuh"

/* Entries around a table that are there and finite, for a lane reads four at a time. */
#define GURN_SUFFIX_EDGE 4

/* What a room has: tables; room for gradients, of one row (float) or of many (double). */
typedef struct gurn_suffix_sizes {
    int32_t classes;
    bool backward, tables, gradient, many;
    int64_t own, table; /* entries of a class's weights, and of a table with its edges */
} gurn_suffix_sizes;

typedef struct gurn_suffix_room {
    gurn_step *
        steps; /* [C]: of an urn that is not the plan's; tables for all rows have them always, at the room's very begin */
    gurn_suffix *places;
    int32_t *rest;        /* [C][table]: -log2 S; at place 0, which has no table, zeros */
    float *tables, *psi;  /* [C][table]: S; psi (backward) */
    float *b, *g, *carry; /* one class's weights; one table each of the sweep */
    float *w, *wu, *p;    /* of a window (gurn_pull_step) */
    float *adjoint;       /* [C][table]: gradient to log S, of one row, or the sum */
    double *sum;          /* [C][table]: of many rows */
    double *gradient;     /* [C], by place: of one row, or summed over the group's rows */
} gurn_suffix_room;

static inline __host__ __device__ size_t gurn_suffix_room_cut(const gurn_suffix_sizes &s, char *p,
                                                              gurn_suffix_room *r) {
    size_t at = 0, entries = (size_t)s.classes * (size_t)s.table, own = (size_t)s.own + 2 * GURN_SUFFIX_EDGE;
    auto cut = [&](size_t bytes) {
        char *here = p ? p + at : NULL;
        at += (bytes + 127) & ~(size_t)127;
        return here;
    };
    gurn_suffix_room room = {};
    if (s.tables) {
        room.steps = (gurn_step *)cut((size_t)s.classes * sizeof(gurn_step));
        room.places = (gurn_suffix *)cut((size_t)s.classes * sizeof(gurn_suffix));
        room.rest = (int32_t *)cut(entries * sizeof(int32_t));
        room.tables = (float *)cut(entries * sizeof(float));
        if (s.backward) room.psi = (float *)cut(entries * sizeof(float));
        room.b = (float *)cut(own * sizeof(float));
    }
    if (s.gradient) {
        room.gradient = (double *)cut((size_t)s.classes * sizeof(double));
        room.w = (float *)cut(own * sizeof(float));
        room.wu = (float *)cut(own * sizeof(float));
        room.p = (float *)cut(own * sizeof(float));
    }
    if (s.gradient && s.many) room.sum = (double *)cut(entries * sizeof(double));
    if (s.backward && s.tables) { /* where the sweep is made */
        room.adjoint = (float *)cut(entries * sizeof(float));
        room.g = (float *)cut((size_t)s.table * sizeof(float));
        room.carry = (float *)cut((size_t)s.table * sizeof(float));
    }
    if (r) *r = room;
    return at;
}

/* ------------------------------------------------------------------------------------------------------- tables --- */

template <int LANES>
GURN_DEVICE void gurn_suffix_room_slopes(const gurn_plan_view &view, const gurn_suffix_room &room) {
    int32_t lane = (int32_t)(threadIdx.x & (LANES - 1));
    for (int32_t i = 1; i < view.classes; i++) {
        const gurn_step *step = &view.steps[i];
        if (step->m == 0) continue;
        const gurn_suffix *s = &room.places[i];
        const int32_t *rest = room.rest + s->begin;
        int32_t m_left = step->m + step->m_rest, first = s->top - s->high, last = s->top - s->low;
        for (int32_t j = lane - GURN_SUFFIX_EDGE; j <= last + GURN_SUFFIX_EDGE; j += LANES) {
            float r = (float)(s->top - j), psi = 0.0f;
            if (j == first || j == last)
                psi = gurn_suffix_end_slope(s, m_left, rest, j);
            else if (j > first && j < last)
                psi = s_suffix_slope((float)(rest[j + 1] - rest[j - 1]), r, (float)m_left - r);
            room.psi[s->begin + j] = psi;
        }
    }
}

/* The view of row b's urn, of which the room has tables. SHARED: they are of all rows. */
template <bool SHARED>
GURN_DEVICE gurn_plan_view gurn_suffix_room_view(const gurn_mvhg_work &w, int64_t b, const gurn_suffix_room &room) {
    gurn_plan_view view = w.view;
    if (SHARED || gurn_work_has_urn(w, b)) view.steps = room.steps;
    return view;
}

/* The tables of row b, or of all rows; n < 0, a bad row, has those of n = 0, which are none. */
template <int LANES, bool SHARED>
GURN_DEVICE void gurn_suffix_room_build(const gurn_mvhg_work &w, const gurn_suffix_sizes &sizes, double bits, int64_t b,
                                        int32_t n, const gurn_suffix_room &room) {
    int32_t lane = (int32_t)(threadIdx.x & (LANES - 1)), total = gurn_work_balls(w, b);
    bool has_urn = gurn_work_has_urn(w, b);
    gurn_group_sync<LANES>(); /* whoever still reads the tables of the last row is done */
    if (has_urn && lane == 0)
        gurn_omega_steps(w.view.steps, w.view.classes, w.order, w.log_omega, w.dtype, b * w.log_omega_stride,
                         room.steps);
    for (int32_t i = lane; SHARED && !has_urn && i < w.view.classes; i += LANES) room.steps[i] = w.view.steps[i];
    gurn_plan_view view = gurn_suffix_room_view<SHARED>(w, b, room);
    for (int32_t j = lane; j < 2 * GURN_SUFFIX_EDGE; j += LANES) {
        room.rest[j] = 0;
        if (room.psi) room.psi[j] = 0.0f;
    }
    gurn_group_sync<LANES>(); /* the steps are there */
    if (n <= 0 || n == total) {
        for (int32_t i = lane; i < view.classes; i += LANES) {
            gurn_suffix s = {};
            if (n > 0) {
                s.own_low = s.own_high = view.steps[i].m;
                s.low = s.high = s.top = view.steps[i].m + view.steps[i].m_rest;
            }
            room.places[i] = s;
        }
    } else {
        gurn_group_suffix_places<LANES>(view, w.order, w.log_omega, w.dtype, b * w.log_omega_stride, n, bits,
                                        room.places);
        gurn_group_suffix_fill<LANES>(view, n, room.places, room.b, 0, room.tables, sizes.table, GURN_SUFFIX_EDGE,
                                      room.rest);
        if (room.psi) gurn_suffix_room_slopes<LANES>(view, room);
    }
    gurn_group_sync<LANES>();
}

/* The step at place i with `left` to draw. Where there is no choice the rest's table is zeros, which are there to be read. */
GURN_DEVICE gurn_race_step gurn_suffix_step_begin(const gurn_step *step, int32_t i, int32_t left,
                                                  const gurn_suffix_room &room) {
    const gurn_suffix *here = &room.places[i], *next = here + 1;
    gurn_race_step s;
    s.m = step->m;
    s.m_rest = step->m_rest;
    s.left = left;
    s.own = step->own.fixed;
    s.lambda = here->fixed_lambda;
    s.support = gurn_suffix_support(here, next, s.m, s.m_rest, left);
    if (s.support.low < s.support.high) {
        s.rest = room.rest + (next->begin + next->top - left);
        s.mode = gurn_suffix_near_mode(here, s.own, s.rest, s.support, left);
    } else {
        s.rest = room.rest - (s.support.low & ~3);
        s.mode = s.support.low;
    }
    gurn_step_settle<true>(&s);
    return s;
}

/* ---------------------------------------------------------------------------------------------------- gradients --- */

/* Clears the gradient to the tables: of one row, or of many. */
template <int LANES, class Real>
GURN_DEVICE void gurn_suffix_room_clear(const gurn_suffix_sizes &sizes, Real *adjoint) {
    int64_t entries = sizes.classes * sizes.table;
    for (int64_t j = (int64_t)(threadIdx.x & (LANES - 1)); j < entries; j += LANES) adjoint[j] = 0;
}

/* Adds a, the gradient to log S at entry j, to what reaches the nodes, less their weights (gurn_suffix_nodes_weight). */
GURN_DEVICE void gurn_suffix_nodes_pull(const gurn_suffix_nodes &nodes, int32_t j, float a, float *pull) {
    float x = (float)(j - nodes.first) * nodes.inverse, before[GURN_SUFFIX_NODES], behind = a;
    before[0] = 1.0f;
    for (int t = 1; t < GURN_SUFFIX_NODES; t++) before[t] = before[t - 1] * (x - (float)(t - 1));
    for (int t = GURN_SUFFIX_NODES - 1; t >= 0; t--) {
        pull[t] = fmaf(before[t], behind, pull[t]);
        behind *= x - (float)t;
    }
}

/* The place of the last class that has balls, and the one before it; -1 if there is none. */
GURN_DEVICE void gurn_suffix_last(const gurn_plan_view &view, int32_t *last, int32_t *before) {
    *last = view.classes - 1;
    while (*last > 0 && view.steps[*last].m == 0) --*last;
    *before = *last - 1;
    while (*before >= 0 && view.steps[*before].m == 0) --*before;
}

/*
 * The adjoint sweep (suffix.h) of a room's tables; adds to gradient[i], by place, what lane 0 writes. Not for certain
 * counts, whose tables are none.
 */
template <int LANES>
GURN_DEVICE void gurn_suffix_room_sweep(const gurn_plan_view &view, const gurn_suffix_room &room, double *gradient) {
    int32_t lane = (int32_t)(threadIdx.x & (LANES - 1)), last, before;
    gurn_suffix_last(view, &last, &before);
    float largest = 0.0f;
    for (int32_t i = 1; i <= before; i++) {
        const gurn_suffix *s = &room.places[i];
        if (view.steps[i].m == 0) continue;
        for (int32_t j = s->top - s->high + lane; j <= s->top - s->low; j += LANES) {
            float a = fabsf(room.adjoint[s->begin + j]);
            largest = a > largest ? a : largest;
        }
    }
    largest = -gurn_group_least<LANES>(-largest);
    if (largest == 0.0f) return;
    float scale = gurn_suffix_adjoint_scale(largest), unscale = 1.0f / scale;
    float top = s_from_bits32((uint32_t)(127 - GURN_SUFFIX_EXPONENT) << 23);
    bool carried = false;
    for (int32_t i = 1; i <= before; i++) {
        if (view.steps[i].m == 0) continue;
        int32_t next = i + 1;
        while (view.steps[next].m == 0) next++;
        const gurn_suffix here = room.places[i], after = room.places[next];
        int32_t middle = gurn_suffix_clamp(here.mean, here.own_low, here.own_high);
        int32_t centre = gurn_suffix_clamp(here.mean_left, here.low, here.high);
        int32_t first = here.top - here.high, end = here.top - here.low, shift = after.top - here.top;
        bool smooth = here.apart > 0;
        gurn_suffix_nodes nodes = gurn_suffix_nodes_of(here.high - here.low + 1);
        float own = 0.0f, together = 0.0f, pull[GURN_SUFFIX_NODES] = {};
        gurn_group_suffix_own<LANES>(&here, &view.steps[i], room.b);
        for (int32_t j = first + lane; j <= end; j += LANES) {
            float a = room.adjoint[here.begin + j] * scale + (carried ? room.carry[j] : 0.0f);
            float table = room.tables[here.begin + j];
            bool held = smooth || table >= GURN_SUFFIX_SWEPT;
            if (smooth) gurn_suffix_nodes_pull(nodes, j, a, pull);
            if (held) together = fmaf(a, (float)(here.top - j - centre), together);
            room.g[j] = held ? a / (table * top) : 0.0f;
        }
        for (int t = 0; smooth && t < GURN_SUFFIX_NODES; t++)
            pull[t] = gurn_group_sum<LANES>(pull[t]) * gurn_suffix_nodes_weight(t) /
                      (room.tables[here.begin + nodes.first + t * nodes.apart] * top);
        gurn_group_sync<LANES>();
        float factor = s_from_bits32((uint32_t)(127 - GURN_SUFFIX_EXPONENT - here.exponent) << 23);
        for (int32_t j = after.top - after.high + lane; j <= after.top - after.low; j += LANES) {
            int32_t from = j - shift - end, to = j - shift - first;
            from = from > here.own_low ? from : here.own_low;
            to = to < here.own_high ? to : here.own_high;
            float c0 = 0.0f, c1 = 0.0f;
            if (smooth) {
                int32_t k = j - shift - nodes.first; /* of node 0 */
                for (int t = 0; t < GURN_SUFFIX_NODES; t++, k -= nodes.apart) {
                    if (k < here.own_low || k > here.own_high) continue;
                    float a = room.b[k - here.own_low] * pull[t];
                    c0 += a;
                    c1 = fmaf(a, (float)(k - middle), c1);
                }
                from = to + 1;
            }
            for (int32_t k = from; k <= to; k++) {
                float a = room.b[k - here.own_low] * room.g[j - k - shift];
                c0 += a;
                c1 = fmaf(a, (float)(k - middle), c1);
            }
            float t = room.tables[after.begin + j] * factor;
            own = fmaf(t, c1, own);
            room.carry[j] = t * c0;
        }
        double mine = gurn_group_sum<LANES>((double)own) * unscale;
        double both = gurn_group_sum<LANES>((double)together) * unscale;
        if (lane == 0) {
            gradient[i] += mine;
            if (next == last) gradient[last] += both - mine;
        }
        carried = true;
        gurn_group_sync<LANES>();
    }
}

#endif
