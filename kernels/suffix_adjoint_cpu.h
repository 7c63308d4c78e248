/*
 * Gradients through the suffix tables on the CPU (suffix.h): slopes of the interpolant of log S, and the adjoint sweep.
 */
#ifndef GURN_SUFFIX_ADJOINT_CPU_H
#define GURN_SUFFIX_ADJOINT_CPU_H

#include "suffix_cpu.h"

/* psi of a table (gurn_suffix_psi_end), of classes that have m_left balls, from its logarithms. */
GURN_FN void gurn_suffix_slopes(const gurn_suffix *s, int32_t m_left, const int32_t *rest, float *psi) {
    int32_t first = s->top - s->high, last = s->top - s->low;
    for (int32_t j = first; j <= last; j += V_LANES) {
        v_f32 r = v_to_f32(v_splat_i32(s->top - j) - v_lane_index()), left = v_splat32((float)m_left) - r;
        /* Modulo 2^32: lanes beyond the window hold anything. */
        v_f32 rise = v_to_f32((v_i32)((v_u32)v_i32_load(rest + j + 1) - (v_u32)v_i32_load(rest + j - 1)));
        v_f32_store(psi + j, v_suffix_slope(rise, r, left));
    }
    for (int32_t j = 1; j <= 2 * V_LANES; j++) psi[first - j] = psi[last + j] = 0.0f; /* read, with weight 0 */
    psi[first] = gurn_suffix_end_slope(s, m_left, rest, first);
    psi[last] = gurn_suffix_end_slope(s, m_left, rest, last);
}

/* Largest |a[j]|, 0 <= j < count. */
GURN_FN float gurn_largest(const float *a, int64_t count) {
    v_f32 most = v_splat32(0.0f);
    int64_t j = 0;
    for (; j + V_LANES <= count; j += V_LANES) {
        v_f32 x = v_f32_load(a + j);
        most = v_max32(v_max32(x, -x), most);
    }
    float largest = 0.0f;
    for (int l = 0; l < V_LANES; l++) largest = most[l] > largest ? most[l] : largest;
    for (; j < count; j++) largest = fabsf(a[j]) > largest ? fabsf(a[j]) : largest;
    return largest;
}

/*
 * One class of the sweep: c0[j'] = sum_k b[k] g[j' - k - shift], and c1 with k - middle for another factor, 0 <= j' <
 * count; g is zero but from first to last. Up to 4 V_LANES - 1 entries more are written, and read beyond first and
 * last.
 */
GURN_FN void gurn_suffix_correlate(const float *b, int32_t own_low, int32_t own_high, int32_t middle, const float *g,
                                   int32_t first, int32_t last, int32_t shift, float *c0, float *c1, int32_t count) {
    for (int32_t j = 0; j < count; j += 4 * V_LANES) {
        int32_t from = j - shift - last, to = j + 4 * V_LANES - 1 - shift - first;
        from = from > own_low ? from : own_low;
        to = to < own_high ? to : own_high;
        v_f32 sum0[4], sum1[4];
        for (int u = 0; u < 4; u++) sum0[u] = sum1[u] = v_splat32(0.0f);
        for (int32_t k = from; k <= to; k++) {
            const float *at = g + j - k - shift;
            float weight = b[k - own_low];
            v_f32 weight0 = v_splat32(weight), weight1 = v_splat32(weight * (float)(k - middle));
            for (int u = 0; u < 4; u++) {
                v_f32 a = v_f32_load(at + u * V_LANES);
                sum0[u] = v_fma32(weight0, a, sum0[u]);
                sum1[u] = v_fma32(weight1, a, sum1[u]);
            }
        }
        for (int u = 0; u < 4; u++) {
            v_f32_store(c0 + j + u * V_LANES, sum0[u]);
            v_f32_store(c1 + j + u * V_LANES, sum1[u]);
        }
    }
}

/*
 * The same where the table was made from its nodes (suffix_nodes.h): pull[t] is the gradient to log S at node t, from
 * a[j], that to log S at entries first..end. By Lagrange's polynomials, in which nothing cancels.
 */
GURN_FN void gurn_suffix_nodes_pull(const gurn_suffix_nodes *n, const float *a, int32_t first, int32_t end,
                                    float *pull) {
    enum {
        nodes = GURN_SUFFIX_NODES
    };
    v_f32 sum[nodes];
    for (int t = 0; t < nodes; t++) sum[t] = v_splat32(0.0f);
    for (int32_t j = first; j <= end; j += V_LANES) {
        v_f32 x = v_to_f32(v_lane_index() + (j - n->first)) * v_splat32(n->inverse);
        v_f32 before[nodes], behind = v_f32_load(a + j); /* products of x - t; a is zero behind end */
        before[0] = v_splat32(1.0f);
        for (int t = 1; t < nodes; t++) before[t] = before[t - 1] * (x - v_splat32((float)(t - 1)));
        for (int t = nodes - 1; t >= 0; t--) {
            sum[t] = v_fma32(before[t], behind, sum[t]);
            behind *= x - v_splat32((float)t);
        }
    }
    for (int t = 0; t < nodes; t++) pull[t] = v_sum32(sum[t]) * gurn_suffix_nodes_weight(t);
}

/*
 * c0[j'] = sum_t g[t] b[k], k = r_t - r', and c1 with k - middle for another factor, over the entries j' < count of the
 * next table; c0 and c1 are set. e: k - own_low of node 0 at j' = 0. b is zero for V_LANES entries on either side.
 */
GURN_FN void gurn_suffix_nodes_correlate(const float *b, int32_t own, int32_t middle, const float *g, int32_t e,
                                         int32_t apart, float *c0, float *c1, int32_t count) {
    memset(c0, 0, (size_t)(count + V_LANES) * sizeof *c0);
    memset(c1, 0, (size_t)(count + V_LANES) * sizeof *c1);
    for (int t = 0; t < GURN_SUFFIX_NODES; t++, e -= apart) {
        int32_t from = e < 0 ? -e & -V_LANES : 0, to = own - e < count ? own - e : count;
        v_f32 weight = v_splat32(g[t]);
        for (int32_t j = from; j < to; j += V_LANES) {
            v_f32 w = v_f32_load(b + j + e) * weight;
            v_f32_store(c0 + j, v_f32_load(c0 + j) + w);
            v_f32_store(c1 + j, v_fma32(w, v_to_f32(v_lane_index() + (j + e - middle)), v_f32_load(c1 + j)));
        }
    }
}

/* Scratch of a sweep, each as long as the longest table with its pads. */
typedef struct gurn_suffix_sweep {
    float *g, *c0, *c1, *carry;
} gurn_suffix_sweep;

/*
 * The adjoint sweep of one row's tables (or of all rows', if they share them). s, tables: as gurn_suffix_fill_f32 left
 * them, kept; adjoint: A, laid out as the tables, zero where nothing was added. Adds to log_omega[i * stride].
 */
GURN_FN void gurn_suffix_sweep_back(const gurn_plan_view *view, const gurn_suffix *s, const float *tables,
                                    const float *adjoint, const gurn_suffix_work *work,
                                    const gurn_suffix_sweep *scratch, double *log_omega, int64_t stride) {
    float largest = gurn_largest(adjoint, gurn_suffix_used(view, s));
    if (largest == 0.0f) return;
    float scale = gurn_suffix_adjoint_scale(largest), unscale = 1.0f / scale;
    const float top = gurn_power_of_two_f32(-GURN_SUFFIX_EXPONENT);
    float *carry = scratch->carry + GURN_SUFFIX_PAD, *g = scratch->g + GURN_SUFFIX_PAD;
    bool carried = false;
    int32_t i = 1;
    while (view->steps[i].m == 0) i++;
    while (view->steps[i].m_rest > 0) {
        int32_t next = i + 1;
        while (view->steps[next].m == 0) next++;
        const gurn_suffix *here = &s[i], *after = &s[next];
        bool last = view->steps[next].m_rest == 0;
        int32_t middle = gurn_suffix_clamp(here->mean, here->own_low, here->own_high);
        int32_t first = here->top - here->high, end = here->top - here->low;
        bool smooth = here->apart > 0;
        /* G (A, if the table was made from its nodes), and what the last two classes get together. */
        v_f32 together = v_splat32(0.0f), floor = v_splat32(GURN_SUFFIX_SWEPT), zero = v_splat32(0.0f);
        int32_t centre = gurn_suffix_clamp(here->mean_left, here->low, here->high);
        for (int32_t j = first - GURN_SUFFIX_PAD; j < first; j++) g[j] = 0.0f;
        for (int32_t j = first; j <= end; j += V_LANES) {
            v_f32 a = v_f32_load(adjoint + here->begin + j) * v_splat32(scale);
            if (carried) a += v_f32_load(carry + j);
            v_f32 table = v_f32_load(tables + here->begin + j);
            v_i32 held = (v_lane_index() + v_splat_i32(j)) <= v_splat_i32(end);
            if (!smooth) held &= table >= floor;
            a = v_select32(held, a, zero);
            v_f32 r = v_to_f32(v_splat_i32(here->top - j - centre) - v_lane_index());
            together = v_fma32(a, r, together);
            v_f32_store(g + j, smooth ? a : v_select32(held, a / (table * v_splat32(top)), zero));
        }
        for (int32_t j = end + 1; j <= end + GURN_SUFFIX_PAD; j++) g[j] = 0.0f;

        int32_t count = after->top - after->low + 1, begin = after->top - after->high;
        gurn_suffix_own_f32(here, &view->steps[i], work->b, NULL);
        if (smooth) {
            gurn_suffix_nodes nodes = gurn_suffix_nodes_of(here->high - here->low + 1);
            float pull[GURN_SUFFIX_NODES];
            gurn_suffix_nodes_pull(&nodes, g, first, end, pull);
            for (int t = 0; t < GURN_SUFFIX_NODES; t++)
                pull[t] /= tables[here->begin + nodes.first + t * nodes.apart] * top;
            memset(work->b - V_LANES, 0, V_LANES * sizeof *work->b);
            /* k = r_t - r', r_t = top - j_t: in entries, and from own_low */
            gurn_suffix_nodes_correlate(work->b, here->own_high - here->own_low + 1, middle - here->own_low, pull,
                                        here->top - nodes.first - after->top - here->own_low, nodes.apart, scratch->c0,
                                        scratch->c1, count);
        } else {
            gurn_suffix_correlate(work->b, here->own_low, here->own_high, middle, g, first, end, after->top - here->top,
                                  scratch->c0, scratch->c1, count);
        }
        v_f32 own = v_splat32(0.0f);
        v_f32 factor = v_splat32(gurn_power_of_two_f32(-GURN_SUFFIX_EXPONENT - here->exponent));
        for (int32_t j = begin; j < count; j += V_LANES) {
            v_i32 inside = (v_lane_index() + v_splat_i32(j)) < v_splat_i32(count);
            v_f32 t = v_select32(inside, v_f32_load(tables + after->begin + j) * factor, zero);
            v_f32 c1 = v_select32(inside, v_f32_load(scratch->c1 + j), zero);
            v_f32 c0 = v_select32(inside, v_f32_load(scratch->c0 + j), zero);
            own = v_fma32(t, c1, own);
            v_f32_store(carry + j, t * c0);
        }
        double mine = (double)v_sum32(own) * unscale;
        log_omega[i * stride] += mine;
        if (last) log_omega[next * stride] += (double)v_sum32(together) * unscale - mine;
        carried = true;
        i = next;
    }
}

#endif
