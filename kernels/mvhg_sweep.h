/*
 * The two inner loops of the CPU path: float32, hard, generated noise. The race goes over the windows of many rows in
 * one loop, a vector of noise (two of counts) at a time, so that the end of a short window stops nothing; backward has
 * too much to sum for that and goes over the window of one row. Counts outside a window are given the ceiling cost.
 */
#ifndef GURN_MVHG_SWEEP_H
#define GURN_MVHG_SWEEP_H

#include "mvhg_cpu.h"

/* What a sweep reads. own and rest are fixed-point tables read at k (gurn_cost_fixed). */
typedef struct gurn_sweep {
    const int32_t *own, *rest;
    int32_t low, high; /* window, low < high */
    int32_t first;     /* low rounded down to a vector: where words begin */
    uint32_t reference, slope;
    int64_t lambda;
    const uint32_t *words;
} gurn_sweep;

/* The linear term and the reference at counts k .. k + V_LANES - 1, less slope times the lane's number. */
GURN_FN uint32_t gurn_sweep_base(const gurn_sweep *s, int32_t k) {
    return gurn_linear_block(s->lambda, k) + (uint32_t)(k & 15) * s->slope + s->reference;
}

/*
 * Costs above the reference of the counts k .. k + V_LANES - 1, k a multiple of V_LANES; the ceiling where not inside.
 */
GURN_FN v_i32 gurn_sweep_cost(const gurn_sweep *s, int32_t k, v_u32 linear, bool edge, v_i32 inside) {
    v_u32 cost = (v_u32)v_i32_load(s->own + k) + (v_u32)v_i32_load(s->rest + k) - linear;
    v_i32 ceiling = v_splat_i32(GURN_COST_CEILING), distance = v_min_i32((v_i32)cost, ceiling);
    return edge ? v_select_i32(inside, distance, ceiling) : distance;
}

typedef struct gurn_race {
    v_f32 best;  /* least race value in each lane */
    v_i32 count; /* its count, the smallest where several share it: from the window's low end, less the lane's number */
    v_f32 p;     /* sum of 2^-(cost - reference) */
} gurn_race;

/* Races of all rows whose noise is listed; race[] of those rows is set anew. */
GURN_FN void gurn_sweep_races(const gurn_sweep *sweeps, gurn_noise_list list, int32_t vectors, const uint32_t *words,
                              bool with_p, gurn_race *race) {
    for (int32_t j = 0; j < vectors; j++)
        race[list.row[j]] = (gurn_race){v_splat32(INFINITY), v_splat_i32(0), v_splat32(0.0f)};
    for (int32_t j = 0; j < vectors; j++, words += GURN_PHILOX_STRIDE) {
        const gurn_sweep *s = &sweeps[list.row[j]];
        gurn_race r = race[list.row[j]];
        int32_t k = list.start[j];
        v_u32 slope = (v_u32)v_lane_index() * s->slope, span = (v_u32)v_splat_i32(s->high - s->low);
        v_i32 count0 = v_splat_i32(k - s->low), count1 = count0 + V_LANES;
        v_i32 inside0 = (v_u32)(v_lane_index() + count0) <= span, inside1 = (v_u32)(v_lane_index() + count1) <= span;
        v_f32 growth0 = v_exp2_fixed(gurn_sweep_cost(s, k, slope + gurn_sweep_base(s, k), true, inside0));
        v_f32 growth1 =
            v_exp2_fixed(gurn_sweep_cost(s, k + V_LANES, slope + gurn_sweep_base(s, k + V_LANES), true, inside1));
        v_f32 value0 = v_exponential32_times(v_u32_load(words), GURN_RACE_SCALE) * growth0;
        v_f32 value1 = v_exponential32_times(v_u32_load(words + V_LANES), GURN_RACE_SCALE) * growth1;
        r.count = v_select_i32(value0 < r.best, count0, r.count);
        r.best = v_min32(value0, r.best);
        r.count = v_select_i32(value1 < r.best, count1, r.count);
        r.best = v_min32(value1, r.best);
        if (with_p) r.p += v_reciprocal32(growth0) + v_reciprocal32(growth1);
        race[list.row[j]] = r;
    }
}

/* The count of least race value, ties to the smaller. */
GURN_FN int32_t gurn_race_winner(const gurn_sweep *s, const gurn_race *race) {
    return s->low + v_count_of_least(race->best, race->count + v_lane_index());
}

/* Whether no point outside a window of GURN_SURE_BITS can have done better. */
GURN_FN bool gurn_race_is_sure(const gurn_race *race) {
    return v_any32(race->best <= v_splat32(GURN_SURE_RACE * GURN_RACE_SCALE));
}

/* What the backward sweep forms its upstream gradient u_k from, and what it is asked to sum (DESIGN 1.3). */
typedef struct gurn_pull {
    int32_t x;
    float dx;           /* gradient to the count */
    float dlog_p;       /* gradient to log_p, times -ln 2: to the cost of the relaxed winner */
    const float *psi;   /* d logit / dn at k; read when with_psi */
    float psi_centre;   /* what is taken from it: that of x, or of a neighbour in the window, were x not a draw */
    const float *extra; /* upstream of y and mask from count `first` on; read when with_extra */
    float inv_tau;
} gurn_pull;

typedef struct gurn_pull_sums {
    v_f32 w, wu, wd, wdu, wpsi, wpsiu, wa, wau, p, pd, ppsi;
} gurn_pull_sums;

/* log2(a) for normal a > 0, for sums: absolute error 2e-7, and as small as relative where a is near 1. */
GURN_FN v_f32 v_fast_log2(v_f32 a) {
    v_u32 exponent = ((v_u32)a - 0x3F3504F3u) & 0xFF800000u;
    v_f32 f = (v_f32)((v_u32)a - exponent) - v_splat32(1.0f);
    v_f32 p = v_log2_slope32(f, 1.0f);
    return v_fma32(f, p, v_to_f32((v_i32)exponent) * v_splat32(0x1p-23f));
}

/* 2^a for sums, a held to [-126, 126]: fixed point, as in exp2_fixed. */
GURN_FN v_f32 v_fast_exp2(v_f32 a) {
    a = v_max32(v_min32(a, v_splat32(126.0f)), v_splat32(-126.0f));
    v_f32 shifted = a + v_splat32(0x1.8p23f);
    v_f32 t = a - (shifted - v_splat32(0x1.8p23f));
    v_f32 q = v_splat32(0.00133335581f);
    q = v_fma32(q, t, v_splat32(0.00961812911f));
    q = v_fma32(q, t, v_splat32(0.0555041087f));
    q = v_fma32(q, t, v_splat32(0.240226507f));
    q = v_fma32(q, t, v_splat32(0.693147181f));
    q = v_fma32(q, t, v_splat32(1.0f));
    return (v_f32)((v_u32)q + ((v_u32)shifted << 23));
}

GURN_FN void gurn_pull_vector(const gurn_sweep *s, const gurn_pull *g, v_f32 inv_race_x, int32_t k, bool edge,
                              bool tau_one, bool with_psi, bool with_log_p, bool with_extra, bool with_tau,
                              const gurn_pulled *pulled, gurn_pull_sums *sum) {
    int32_t at = k - s->first;
    v_i32 inside = (v_u32)(v_lane_index() + (k - s->low)) <= (v_u32)v_splat_i32(s->high - s->low);
    v_u32 linear = (v_u32)v_lane_index() * s->slope + gurn_sweep_base(s, k);
    v_i32 distance = gurn_sweep_cost(s, k, linear, edge, inside);
    v_f32 growth = v_exp2_fixed(distance);
    v_f32 value = v_exponential32_times(v_u32_load(s->words + at), GURN_RACE_SCALE) * growth;
    v_f32 w, a = v_splat32(0.0f);
    if (tau_one && !with_tau) {
        w = v_reciprocal32(value);
    } else {
        a = v_fast_log2(value * inv_race_x);
        w = v_fast_exp2(a * v_splat32(-g->inv_tau));
    }
    if (edge) w = v_select32(inside, w, v_splat32(0.0f)); /* the ceiling's weight may matter */
    v_f32 d = v_to_f32(v_lane_index() + (k - g->x));
    v_f32 u = d * v_splat32(g->dx);
    if (with_extra) u += v_f32_load(g->extra + at);
    if (with_log_p) u = v_fma32(v_to_f32(distance), v_splat32(g->dlog_p * 0x1p-23f), u);
    v_f32 wd = w * d;
    sum->w += w;
    sum->wd += wd;
    sum->wu = v_fma32(w, u, sum->wu);
    if (pulled) {
        v_f32_store(pulled->w + at, w);
        v_f32_store(pulled->wu + at, w * u);
        if (with_log_p) v_f32_store(pulled->p + at, v_reciprocal32(growth));
    }
    sum->wdu = v_fma32(wd, u, sum->wdu);
    v_f32 psi = v_splat32(0.0f);
    if (with_psi) {
        psi = v_f32_load(g->psi + k) - v_splat32(g->psi_centre);
        v_f32 wpsi = w * psi;
        sum->wpsi += wpsi;
        sum->wpsiu = v_fma32(wpsi, u, sum->wpsiu);
    }
    if (with_tau) {
        v_f32 wa = w * a;
        sum->wa += wa;
        sum->wau = v_fma32(wa, u, sum->wau);
    }
    if (with_log_p) {
        v_f32 p = v_reciprocal32(growth);
        sum->p += p;
        sum->pd = v_fma32(p, d, sum->pd);
        if (with_psi) sum->ppsi = v_fma32(p, psi, sum->ppsi);
    }
}

GURN_FN gurn_step_sums gurn_sweep_pull(const gurn_sweep *s, const gurn_pull *g, bool tau_one, bool with_psi,
                                       bool with_log_p, bool with_extra, bool with_tau, const gurn_pulled *pulled) {
    v_f32 inv_race_x = v_splat32(1.0f);
    if (!(tau_one &&
          !with_tau)) { /* the weight of x, the winner, is made 1 (of its neighbour in the window, were x not a draw) */
        int32_t x = g->x < s->low ? s->low : g->x > s->high ? s->high : g->x;
        int32_t cost = (int32_t)(gurn_cost_fixed(s->own, s->rest, s->lambda, x) - s->reference);
        cost = cost < GURN_COST_CEILING ? cost : GURN_COST_CEILING;
        inv_race_x =
            v_splat32(1.0f / (s_exponential32_times(s->words[x - s->first], GURN_RACE_SCALE) * s_exp2_fixed(cost)));
    }
    v_f32 zero = v_splat32(0.0f);
    gurn_pull_sums sum = {zero, zero, zero, zero, zero, zero, zero, zero, zero, zero, zero};
    int32_t k = s->first, last = s->high & -V_LANES;
#define GURN_PULL(edge) \
    gurn_pull_vector(s, g, inv_race_x, k, edge, tau_one, with_psi, with_log_p, with_extra, with_tau, pulled, &sum)
    GURN_PULL(true);
    for (k += V_LANES; k < last; k += V_LANES) GURN_PULL(false);
    if (k == last) GURN_PULL(true);
#undef GURN_PULL
    gurn_step_sums r = {v_sum32(sum.w), v_sum32(sum.wu), v_sum32(sum.wd), v_sum32(sum.wdu), 0, 0, 0, 0, 1, 0, 0};
    if (with_psi) {
        r.wpsi = v_sum32(sum.wpsi);
        r.wpsiu = v_sum32(sum.wpsiu);
    }
    if (with_tau) {
        r.wa = (double)v_sum32(sum.wa) * g->inv_tau;
        r.wau = (double)v_sum32(sum.wau) * g->inv_tau;
    }
    if (with_log_p) {
        r.p = v_sum32(sum.p);
        r.pd = v_sum32(sum.pd);
        if (with_psi) r.ppsi = v_sum32(sum.ppsi);
    }
    return r;
}

/*
 * dlogit of every count of a window (gurn_step_finish has the formula) from what the sweep left in `pulled`. Up to
 * V_LANES - 1 entries of out beyond the window are overwritten.
 */
GURN_FN void gurn_sweep_dlogit(const gurn_sweep *s, const gurn_pulled *pulled, const gurn_step_sums *sums,
                               const gurn_pull *g, float dlog_p, float *out) {
    v_f32 scale = v_splat32((float)(g->inv_tau / sums->w)), mean = v_splat32((float)(sums->wu / sums->w));
    v_f32 inv_p = v_splat32((float)(dlog_p / sums->p));
    int32_t from = s->low - s->first;
    for (int32_t at = from; at <= s->high - s->first; at += V_LANES) {
        v_f32 dlogit = (v_f32_load(pulled->wu + at) - mean * v_f32_load(pulled->w + at)) * scale;
        v_f32_store(out + (at - from), dlogit - v_f32_load(pulled->p + at) * inv_p);
    }
    if (g->x >= s->low && g->x <= s->high) out[g->x - s->low] += dlog_p;
}

#endif
