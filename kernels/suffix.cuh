/*
 * Suffix tables on a GPU (suffix.h), in float for the exact chain and in double for plain draws: a group of LANES
 * threads, a warp or a block, makes the tables of one row. It gives the bits that suffix_cpu.h gives: lanes are outputs,
 * every one summed as there.
 */
#ifndef GURN_SUFFIX_CUH
#define GURN_SUFFIX_CUH

#include "suffix_nodes.h"
#include "tilt.cuh"
#include "warp.cuh"

/* What the lanes of a group have written to memory is there for all of them. */
template <int LANES>
GURN_DEVICE void gurn_group_sync() {
    if constexpr (LANES <= GURN_WARP)
        __syncwarp();
    else
        __syncthreads();
}

/*
 * gurn_omega_view by a group: the view of the urn of a row, whose log omega begin at element `at`. room: [C], of the group's
 * own.
 */
template <int LANES>
GURN_DEVICE gurn_plan_view gurn_group_omega_view(const gurn_plan_view &view, const int32_t *order,
                                                 const void *log_omega, gurn_dtype dtype, int64_t at, gurn_step *room) {
    gurn_plan_view own = view;
    int32_t lane = (int32_t)(threadIdx.x & (LANES - 1)), first = view.classes;
    for (int32_t i = lane; i < view.classes; i += LANES)
        if (view.steps[i].m > 0 && gurn_omega_is_zero(gurn_real(log_omega, dtype, at + order[i])) && i < first)
            first = i;
    if (gurn_group_least<LANES>(first) == view.classes) return own;
    if (lane == 0) gurn_omega_steps(view.steps, view.classes, order, log_omega, dtype, at, room);
    gurn_group_sync<LANES>();
    own.steps = room;
    return own;
}

/*
 * Everything about the places that does not need the tables, as gurn_suffix_places does it, for 0 < n < total: s[C] by
 * place. log_omega: the row begins at element `at`; where a class has omega 0, the view's steps are those of
 * gurn_omega_steps. Sums over places are one lane's, in their order.
 */
template <int LANES>
GURN_DEVICE void gurn_group_suffix_places(const gurn_plan_view &view, const int32_t *order, const void *log_omega,
                                          gurn_dtype dtype, int64_t at, int32_t n, double bits, gurn_suffix *s) {
    int32_t classes = view.classes, total = view.steps[0].m + view.steps[0].m_rest;
    int lane = (int)threadIdx.x & (LANES - 1);
    auto value = [&](int32_t c) { return gurn_real(log_omega, dtype, at + c); };
    auto m = [&](int32_t c) {
        return gurn_omega_is_zero(value(c)) ? 0.0 : (double)(view.offset[c + 1] - view.offset[c] - 1);
    };
    double largest = gurn_warp_omega_largest(classes, value, m);
    auto a = [&](int32_t c) { return gurn_log2_omega(value(c), largest); };
    gurn_tilt_range range = gurn_warp_tilt_range(classes, total, a, m);
    double ell = gurn_warp_tilt(classes, n, total, range, a, m).ell;
    for (int32_t i = lane; i < classes; i += LANES) {
        int32_t c = order[i];
        double p, q;
        s_odds_to_p(gurn_tilt_lambda(a(c), ell), &p, &q);
        s[i] = gurn_suffix{}; /* the fill copies whole places, of which it sets the rest */
        s[i].lambda = gurn_suffix_lambda(a(c), ell);
        s[i].fixed_lambda = gurn_fixed_lambda(s[i].lambda);
        s[i].mean = m(c) * p;
        s[i].variance = s[i].mean * q;
    }
    gurn_group_sync<LANES>();
    if (lane == 0) {
        double before = 0.0, left = 0.0, mean_left = 0.0;
        for (int32_t i = 0; i < classes; i++) {
            s[i].reach = before; /* for now */
            before += s[i].variance;
        }
        for (int32_t i = classes - 1; i >= 0; i--) {
            mean_left += s[i].mean;
            left += s[i].variance;
            s[i].mean_left = mean_left;
            s[i].variance_left = left;
            s[i].share = s[i].variance / left;
        }
    }
    gurn_group_sync<LANES>();
    double nats = s_suffix_nats(bits, s[0].variance_left);
    for (int32_t i = lane; i < classes; i += LANES) {
        double before = s[i].reach, after = i + 1 < classes ? s[i + 1].variance_left : 0.0;
        double own = s_suffix_reach(s[i].variance, before + after, nats);
        s[i].reach = s_suffix_reach(s[i].variance_left, before, nats);
        gurn_suffix_own_window(&s[i], view.steps[i].own.wide, view.steps[i].m, n, own);
    }
    gurn_group_sync<LANES>();
}

/* b_i over its window, 1 at the mode (in float between 1/2 and 1). */
template <int LANES>
GURN_DEVICE void gurn_group_suffix_own(const gurn_suffix *s, const gurn_step *step, double *b) {
    const double *own = step->own.wide;
    int32_t mode = gurn_suffix_own_mode(s, step->m);
    double least = fma(-(double)mode, s->lambda, own[mode]);
    for (int32_t k = s->own_low + ((int)threadIdx.x & (LANES - 1)); k <= s->own_high; k += LANES)
        b[k - s->own_low] = s_exp2_64(least - fma(-(double)k, s->lambda, own[k]));
}
template <int LANES>
GURN_DEVICE void gurn_group_suffix_own(const gurn_suffix *s, const gurn_step *step, float *b) {
    uint32_t reference = gurn_suffix_own_reference(s, step->own.fixed, step->m);
    for (int32_t k = s->own_low + ((int)threadIdx.x & (LANES - 1)); k <= s->own_high; k += LANES)
        b[k - s->own_low] = gurn_suffix_own_weight(s, step->own.fixed, reference, k);
}

GURN_DEVICE double gurn_fma(double a, double b, double c) { return fma(a, b, c); }
GURN_DEVICE float gurn_fma(float a, float b, float c) { return fmaf(a, b, c); }

/* One entry of a table: sum_k b_i(k) S_{i+1}(r - k), in the order of suffix.h. next_table: its entry 0. */
template <class Real>
GURN_DEVICE Real gurn_suffix_entry(const gurn_suffix *s, const Real *b, const gurn_suffix *next, const Real *next_table,
                                   int32_t r) {
    int32_t from = r - next->high, to = r - next->low;
    from = from > s->own_low ? from : s->own_low;
    to = to < s->own_high ? to : s->own_high;
    Real total = 0;
    for (int32_t k = from; k <= to;) {
        int32_t end = s->own_low + ((k - s->own_low) | (GURN_SUFFIX_GROUP - 1));
        end = end < to ? end : to;
        Real sum = 0;
        for (; k <= end; k++) sum = gurn_fma(b[k - s->own_low], next_table[next->top - (r - k)], sum);
        total += sum;
    }
    return total;
}

/* All entries of a table by themselves, its exponent, and what is too small left out: gurn_suffix_settle. */
template <int LANES, class Real>
GURN_DEVICE void gurn_group_suffix_sums(gurn_suffix *here, const Real *b, const gurn_suffix *next,
                                        const Real *next_table, Real *table) {
    int lane = (int)threadIdx.x & (LANES - 1);
    int32_t count = here->high - here->low + 1, first = count - 1, last = 0;
    Real most = 0;
    for (int32_t j = lane; j < count; j += LANES) {
        Real value = gurn_suffix_entry(here, b, next, next_table, here->top - j);
        most = value > most ? value : most;
        table[j] = value;
    }
    most = -gurn_group_least<LANES>(-most);
    int32_t exponent = (int32_t)(s_bits32((float)most) >> 23) - 127;
    here->exponent = (exponent > 0 ? exponent : 0) - GURN_SUFFIX_EXPONENT;
    here->apart = 0;
    Real scale = (Real)s_from_bits32((uint32_t)(127 - here->exponent) << 23);
    for (int32_t j = lane; j < count; j += LANES) { /* the lane's own entries */
        Real value = table[j] * scale;
        table[j] = value;
        if (value < (Real)GURN_SUFFIX_LEAST) continue;
        first = j < first ? j : first;
        last = j > last ? j : last;
    }
    first = gurn_group_least<LANES>(first);
    last = -gurn_group_least<LANES>(-last);
    here->high = here->top - first;
    here->low = here->top - (last > first ? last : first);
}

/* gurn_suffix_smooth_f32: 16 lanes sum at a node. */
template <int LANES>
GURN_DEVICE bool gurn_group_suffix_smooth(gurn_suffix *here, const gurn_left_table &left, const float *b,
                                          const gurn_suffix *next, const float *next_table, float *table,
                                          int32_t *rest) {
    constexpr int TOGETHER = GURN_SUFFIX_GROUP;
    int lane = (int)threadIdx.x & (LANES - 1);
    int32_t count = here->high - here->low + 1;
    if (!left.fixed || count < GURN_SUFFIX_NODES_LEAST) return false;
    const int32_t *reference = left.fixed + (left.top - here->top);
    gurn_suffix_nodes nodes = gurn_suffix_nodes_of(count);
    for (int32_t t = lane / TOGETHER; t < GURN_SUFFIX_NODES; t += LANES / TOGETHER) {
        int32_t r = here->top - nodes.first - t * nodes.apart;
        float part = 0.0f;
        for (int32_t k = here->own_low + (lane & (TOGETHER - 1)); k <= here->own_high; k += TOGETHER)
            if (r - k >= next->low && r - k <= next->high)
                part = fmaf(b[k - here->own_low], next_table[next->top - (r - k)], part);
        part = gurn_tile_sum<TOGETHER>(part);
        if ((lane & (TOGETHER - 1)) == 0) table[t] = part;
    }
    gurn_group_sync<LANES>();
    int32_t log2_sum[GURN_SUFFIX_NODES];
    for (int t = 0; t < GURN_SUFFIX_NODES; t++) log2_sum[t] = s_log2_fixed(table[t]);
    gurn_group_sync<LANES>(); /* the sums are read */
    if (!gurn_suffix_nodes_fit(&nodes, count, log2_sum, reference, &here->exponent)) return false;
    auto cost = [&](int32_t j) {
        float x = (float)(j - nodes.first) * nodes.inverse;
        return (int32_t)((uint32_t)reference[j] + (uint32_t)j * (uint32_t)nodes.slope + (uint32_t)nodes.base +
                         (uint32_t)s_suffix_between(x, nodes.difference));
    };
    if (cost(0) > GURN_SUFFIX_LEAST_COST || cost(count - 1) > GURN_SUFFIX_LEAST_COST) return false;
    for (int32_t j = lane; j < count; j += LANES) {
        rest[j] = cost(j);
        table[j] = s_exp2_fixed(-rest[j]);
    }
    here->apart = nodes.apart;
    return true;
}

/*
 * The table of a place, its window set, and in float its logarithms (`rest`), as gurn_suffix_fill makes them. next: NULL
 * at the last place that has balls.
 */
template <int LANES>
GURN_DEVICE void gurn_group_suffix_table(gurn_suffix *here, const gurn_step *, const double *b, const gurn_suffix *next,
                                         const double *next_table, double *table, int32_t *) {
    if (next) {
        gurn_group_suffix_sums<LANES>(here, b, next, next_table, table);
        return;
    }
    double scale = s_from_bits32((GURN_SUFFIX_EXPONENT + 127u) << 23);
    for (int32_t j = (int)threadIdx.x & (LANES - 1); j <= here->high - here->low; j += LANES)
        table[j] = b[here->top - j - here->own_low] * scale;
}
template <int LANES>
GURN_DEVICE void gurn_group_suffix_table(gurn_suffix *here, const gurn_step *step, const float *b,
                                         const gurn_suffix *next, const float *next_table, float *table,
                                         int32_t *rest) {
    int lane = (int)threadIdx.x & (LANES - 1);
    if (!next) {
        uint32_t reference = gurn_suffix_own_reference(here, step->own.fixed, step->m);
        float scale = s_from_bits32((GURN_SUFFIX_EXPONENT + 127u) << 23);
        for (int32_t j = lane; j <= here->high - here->low; j += LANES) {
            int32_t k = here->top - j;
            table[j] = b[k - here->own_low] * scale;
            rest[j] = gurn_suffix_own_cost(here, step->own.fixed, reference, k) - (GURN_SUFFIX_EXPONENT << 23);
        }
        return;
    }
    if (gurn_group_suffix_smooth<LANES>(here, step->left, b, next, next_table, table, rest)) return;
    gurn_group_suffix_sums<LANES>(here, b, next, next_table, table);
    int32_t first = here->top - here->high, last = here->top - here->low;
    for (int32_t j = lane; j <= last; j += LANES) rest[j] = j >= first ? -s_log2_fixed(table[j]) : 0;
}

/*
 * The tables of a row whose places are set, and the b_i of all places: b_i at own + i * own_room (own_room 0: every b_i
 * in the same place), S_i at tables + s[i].begin, which is i * table_room + pad; in float -log2 S_i there in rest, with
 * pad zeros on either side. Nothing surrounds a table.
 */
template <int LANES, class Real>
GURN_DEVICE void gurn_group_suffix_fill(const gurn_plan_view &view, int32_t n, gurn_suffix *s, Real *own,
                                        int64_t own_room, Real *tables, int64_t table_room, int32_t pad,
                                        int32_t *rest) {
    int32_t total = view.steps[0].m + view.steps[0].m_rest, next_place = -1;
    int lane = (int)threadIdx.x & (LANES - 1);
    for (int32_t i = view.classes - 1; i >= 0; i--) {
        const gurn_step *step = &view.steps[i];
        gurn_suffix here = s[i], next = {};
        if (next_place >= 0) next = s[next_place];
        Real *b = own + i * own_room;
        gurn_group_suffix_own<LANES>(&here, step, b);
        if (step->m == 0) { /* the table of the next place serves */
            here.low = next.low;
            here.high = next.high;
            here.top = next.top;
            here.exponent = next.exponent;
            here.apart = next.apart;
            here.begin = next.begin;
        } else {
            gurn_suffix_window(&here, next_place >= 0 ? &next : NULL, total - step->m - step->m_rest, n);
            here.begin = i * table_room + pad;
        }
        gurn_group_sync<LANES>(); /* s[i] is read, b_i is there */
        if (step->m > 0 && i > 0) {
            int32_t *rest_here = rest ? rest + here.begin : NULL;
            gurn_group_suffix_table<LANES>(&here, step, b, next_place >= 0 ? &next : NULL, tables + next.begin,
                                           tables + here.begin, rest_here);
            int32_t count = here.top - here.low + 1;
            for (int32_t j = lane; rest && j < pad; j += LANES) rest_here[-1 - j] = rest_here[count + j] = 0;
        }
        if (lane == 0) s[i] = here;
        gurn_group_sync<LANES>();
        if (step->m > 0) next_place = i;
    }
}

#endif
