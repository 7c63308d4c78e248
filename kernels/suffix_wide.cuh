/*
 * Suffix sums of the exact chain in double, and their adjoint, by a group of LANES threads: a warp, or a block
 * (mathematics in suffix_wide.h; suffix_wide_cpu.c is its twin, and the tables have its bits). A group has a room of
 * device memory: the tables, and what one class at a time needs. Work of a class: r strided over the threads, each
 * with a sum over its block's k in the order of the CPU.
 */
#ifndef GURN_SUFFIX_WIDE_CUH
#define GURN_SUFFIX_WIDE_CUH

#include "mvhg_general.cuh"
#include "tilt.cuh"

#define GURN_WIDE_NONE 0x40000000 /* the first entry of nothing */

/* A room. */
typedef struct gurn_wide_room {
    double *lambda;                        /* [C], by place */
    int32_t *centre;                       /* [C], by place: gurn_wide_centre */
    double *table;                         /* [C - 1][stride]: at i, L of the classes after place i */
    double *own, *weight;                  /* [counts + 1]: A(k); the panel's 2^A */
    double *top, *rest;                    /* [stride]: top(r); the panel's 2^L */
    int32_t *best, *low, *high;            /* [stride]: of each r; of each block of a panel */
    double *adjoint, *pull;                /* backward: [C - 1][stride]; [stride]: the panel's adjoint */
    int32_t *adjoint_first, *adjoint_last; /* backward: [C - 1]: what of a table's adjoint may not be 0 */
    double *logit, *gradient;              /* backward: 3 [logits] (mvhg_general.cuh); [C], by class */
} gurn_wide_room;

typedef struct gurn_wide_sizes {
    int32_t classes;
    int64_t stride, counts, logits;
    bool tables, work, backward; /* what a room has: shared tables are in one room, the rest in others */
} gurn_wide_sizes;

static inline gurn_wide_sizes gurn_wide_sizes_of(const gurn_mvhg_job *job) {
    /* The sum of m: W less C. */
    gurn_wide_sizes s = {};
    s.classes = job->view->classes;
    s.stride = (gurn_wide_last(job->width - s.classes, job->n_max) + 2 + 31) & ~31;
    s.counts = gurn_wide_last(job->max_m, job->n_max) + 2;
    s.logits = s.counts + 4;
    return s;
}

/* Bytes of a room; it is laid out at p if that is not NULL. */
static inline __host__ __device__ size_t gurn_wide_cut(const gurn_wide_sizes &s, char *p, gurn_wide_room *room) {
    size_t at = 0, classes = (size_t)s.classes, table = (classes - 1) * (size_t)s.stride * sizeof(double);
    gurn_wide_room r = {};
    auto cut = [&](size_t bytes) {
        char *here = p ? p + at : NULL;
        at += (bytes + 255) & ~(size_t)255;
        return here;
    };
    if (s.tables) {
        r.lambda = (double *)cut(classes * sizeof(double));
        r.centre = (int32_t *)cut(classes * sizeof(int32_t));
        r.table = (double *)cut(table);
    }
    if (s.work) {
        size_t counts = (size_t)s.counts * sizeof(double), width = (size_t)s.stride * sizeof(double);
        r.own = (double *)cut(counts);
        r.weight = (double *)cut(counts);
        r.top = (double *)cut(width);
        r.rest = (double *)cut(width);
        r.best = (int32_t *)cut(width / 2);
        r.low = (int32_t *)cut(width / 2);
        r.high = (int32_t *)cut(width / 2);
    }
    if (s.backward) {
        r.adjoint = (double *)cut(table);
        r.pull = (double *)cut((size_t)s.stride * sizeof(double));
        r.adjoint_first = (int32_t *)cut(classes * sizeof(int32_t));
        r.adjoint_last = (int32_t *)cut(classes * sizeof(int32_t));
        r.logit = (double *)cut(3 * (size_t)s.logits * sizeof(double));
        r.gradient = (double *)cut(classes * sizeof(double));
    }
    if (p) *room = r;
    return at;
}

/* The group's threads wait for each other, and see what all have written. */
template <int LANES>
GURN_DEVICE void wide_sync() {
    if constexpr (LANES <= GURN_WARP)
        __syncwarp();
    else
        __syncthreads();
}
template <int LANES>
GURN_DEVICE int wide_thread() {
    return (int)(threadIdx.x & (LANES - 1));
}

/*
 * own, top and best of a class. best by bisection, every r by itself; that it is what the walk of the definition gives,
 * which looks from one r at the next, is checked: rounding could make a difference where A and L are all but straight.
 */
template <int LANES>
GURN_DEVICE gurn_fold wide_fold(const gurn_step *step, double lambda, int32_t centre, int32_t n, const double *rest,
                                const gurn_wide_room &room) {
    gurn_fold f = gurn_fold_of(step, n, room.own, rest);
    for (int32_t k = wide_thread<LANES>(); k <= f.last_k; k += LANES)
        room.own[k] = gurn_wide_own(step->own.wide, centre, lambda, k);
    if (wide_thread<LANES>() == 0) room.own[f.last_k + 1] = -INFINITY;
    wide_sync<LANES>();
    for (int32_t r = wide_thread<LANES>(); r <= f.last_r; r += LANES) {
        int32_t low = r > f.last_q ? r - f.last_q : 0, high = r < f.last_k ? r : f.last_k;
        while (low < high) {
            int32_t k = low + (high - low) / 2;
            if (gurn_fold_takes(&f, k, r - 1 - k))
                low = k + 1;
            else
                high = k;
        }
        room.best[r] = low;
    }
    wide_sync<LANES>();
    bool astray = false;
    for (int32_t r = 1 + wide_thread<LANES>(); r <= f.last_r; r += LANES) {
        int32_t k = room.best[r - 1];
        if (room.best[r] != k + gurn_fold_takes(&f, k, r - 1 - k)) astray = true;
    }
    if (gurn_group_any<LANES>(astray)) {
        wide_sync<LANES>(); /* all have read best: a vote among a warp's lanes orders no memory */
        if (wide_thread<LANES>() == 0)
            for (int32_t r = 1; r <= f.last_r; r++)
                room.best[r] = room.best[r - 1] + gurn_fold_takes(&f, room.best[r - 1], r - 1 - room.best[r - 1]);
        wide_sync<LANES>();
    }
    for (int32_t r = wide_thread<LANES>(); r <= f.last_r; r += LANES)
        room.top[r] = room.own[room.best[r]] + rest[r - room.best[r]];
    wide_sync<LANES>();
    return f;
}

/* The panel that begins at entry `first`, with low, high, weight and rest filled in. */
template <int LANES>
GURN_DEVICE gurn_panel wide_panel(const gurn_fold &f, int32_t first, const gurn_wide_room &room) {
    gurn_panel p = gurn_panel_choose(&f, room.top, room.best, first);
    int32_t k_first = f.last_k, k_last = 0, q_first = f.last_q, q_last = 0;
    for (int32_t j = wide_thread<LANES>(); j < p.blocks; j += LANES) {
        int32_t r = first + j * GURN_PANEL_BLOCK;
        int32_t end = p.last - r < GURN_PANEL_BLOCK ? p.last : r + GURN_PANEL_BLOCK - 1;
        int32_t low = gurn_panel_low(&f, room.top, room.best, r), high = gurn_panel_high(&f, room.top, room.best, end);
        room.low[j] = low;
        room.high[j] = high;
        k_first = low < k_first ? low : k_first;
        k_last = high > k_last ? high : k_last;
        q_first = r - high < q_first ? r - high : q_first;
        q_last = end - low > q_last ? end - low : q_last;
    }
    k_first = gurn_group_least<LANES>(k_first);
    k_last = -gurn_group_least<LANES>(-k_last);
    q_first = gurn_group_least<LANES>(q_first);
    q_last = -gurn_group_least<LANES>(-q_last);
    q_first = q_first > 0 ? q_first : 0;
    q_last = q_last < f.last_q ? q_last : f.last_q;
    double own = f.own[p.k], rest = f.rest[p.q];
    for (int32_t k = k_first + wide_thread<LANES>(); k <= k_last; k += LANES)
        room.weight[k] = s_panel_scaled(f.own[k], own, (double)(k - p.k), p.slope);
    for (int32_t q = q_first + wide_thread<LANES>(); q <= q_last; q += LANES)
        room.rest[q] = s_panel_scaled(f.rest[q], rest, (double)(q - p.q), p.slope);
    wide_sync<LANES>();
    return p;
}

/* Builds the tables of row b's omega, for n balls. */
template <int LANES>
GURN_DEVICE void wide_build(const gurn_mvhg_work &w, int64_t b, int32_t n, const gurn_wide_room &room,
                            const gurn_wide_room &scratch, int64_t stride) {
    const gurn_plan_view &view = w.view;
    double total = gurn_work_balls(w, b), ell = 0.0;
    bool has_urn = gurn_work_has_urn(w, b);
    auto value = [&](int32_t c) { return gurn_real(w.log_omega, w.dtype, b * w.log_omega_stride + c); };
    auto m = [&](int32_t c) {
        return gurn_omega_is_zero(value(c)) ? 0.0 : (double)(view.offset[c + 1] - view.offset[c] - 1);
    };
    double largest = gurn_warp_omega_largest(view.classes, value, m);
    auto a = [&](int32_t c) { return gurn_log2_omega(value(c), largest); };
    wide_sync<LANES>(); /* whoever still reads the tables of the last row is done */
    if (total > 0.0)
        ell = gurn_warp_tilt(view.classes, gurn_wide_drawn(n, total), total,
                             gurn_warp_tilt_range(view.classes, total, a, m), a, m)
                  .ell;
    for (int32_t i = wide_thread<LANES>(); i < view.classes; i += LANES) {
        double p, q, lambda = total > 0.0 ? gurn_tilt_lambda(a(w.order[i]), ell) : 0.0;
        s_odds_to_p(lambda, &p, &q);
        room.lambda[i] = lambda;
        room.centre[i] = gurn_wide_centre((int32_t)m(w.order[i]), p);
    }
    wide_sync<LANES>();
    int32_t balls = 0;
    for (int32_t j = view.classes - 1; j > 0; j--) {
        gurn_step step = gurn_work_step_before(w, b, has_urn, j, &balls);
        double *out = room.table + (j - 1) * stride;
        int32_t last = gurn_wide_last((int64_t)step.m + step.m_rest, n);
        if (step.m_rest == 0) { /* one class alone, or none */
            for (int32_t r = wide_thread<LANES>(); r <= last; r += LANES)
                out[r] = step.m ? gurn_wide_own(step.own.wide, room.centre[j], room.lambda[j], r) : 0.0;
        } else if (step.m == 0) {
            for (int32_t r = wide_thread<LANES>(); r <= last; r += LANES) out[r] = out[stride + r];
        } else {
            gurn_fold f = wide_fold<LANES>(&step, room.lambda[j], room.centre[j], n, out + stride, scratch);
            for (int32_t first = 0; first <= f.last_r;) {
                gurn_panel p = wide_panel<LANES>(f, first, scratch);
                for (int32_t r = first + wide_thread<LANES>(); r <= p.last; r += LANES) {
                    int32_t block = (r - first) / GURN_PANEL_BLOCK, k = scratch.low[block], end = scratch.high[block];
                    double sum = 0.0;
                    k = k < r - f.last_q ? r - f.last_q : k; /* beyond these the CPU adds zeros */
                    end = end > r ? r : end;
                    for (; k <= end; k++) sum = fma(scratch.weight[k], scratch.rest[r - k], sum);
                    out[r] = s_panel_value(sum, p.centre, (double)(r - p.peak), p.slope);
                }
                wide_sync<LANES>();
                first = p.last + 1;
            }
        }
        if (wide_thread<LANES>() == 0) out[last + 1] = -INFINITY;
        wide_sync<LANES>();
    }
}

/*
 * What entries first..last of the table of place j's adjoint send to the later table's, of one panel. Returns this
 * thread's part of the sum of q - centre over what was sent.
 */
template <int LANES>
GURN_DEVICE double wide_unfold(const gurn_fold &f, const gurn_panel &p, const gurn_wide_room &room, const double *table,
                               const double *adjoint, int32_t first, int32_t last, double *to, double centre) {
    first = first > p.first ? first : p.first;
    last = last < p.last ? last : p.last;
    if (first > last) return 0.0;
    for (int32_t r = first + wide_thread<LANES>(); r <= last; r += LANES)
        room.pull[r] = adjoint[r] * s_panel_scaled(-table[r], -p.centre, (double)(p.peak - r), p.slope);
    wide_sync<LANES>();
    int32_t block = (first - p.first) / GURN_PANEL_BLOCK, end = (last - p.first) / GURN_PANEL_BLOCK;
    double moment = 0.0;
    for (int32_t q = wide_thread<LANES>(); q <= f.last_q; q += LANES) {
        double sum = 0.0;
        for (int32_t j = block; j <= end; j++) {
            int32_t begin = p.first + j * GURN_PANEL_BLOCK, stop = begin + GURN_PANEL_BLOCK - 1;
            begin = begin > first ? begin : first;
            stop = stop < last ? stop : last;
            int32_t k = room.low[j] > begin - q ? room.low[j] : begin - q;
            int32_t k_last = room.high[j] < stop - q ? room.high[j] : stop - q;
            for (; k <= k_last; k++) sum = fma(room.weight[k], room.pull[q + k], sum);
        }
        if (sum == 0.0) continue; /* nothing came here, where rest may not be filled in */
        double value = sum * room.rest[q];
        to[q] += value;
        moment += value * ((double)q - centre);
    }
    wide_sync<LANES>();
    return moment;
}

/* Adds to scratch.gradient[C], by class, what the adjoint of row b's tables sends there, and sets the adjoint back to 0. */
template <int LANES>
GURN_DEVICE void wide_sweep(const gurn_mvhg_work &w, int64_t b, int32_t n, const gurn_wide_room &room,
                            const gurn_wide_room &scratch, int64_t stride) {
    const gurn_plan_view &view = w.view;
    bool has_urn = gurn_work_has_urn(w, b);
    int32_t balls = gurn_work_balls(w, b);
    double centre = 0.0; /* of what is left at the place: near the mean */
    wide_sync<LANES>();
    for (int32_t j = 1; j < view.classes; j++) centre += room.centre[j];
    for (int32_t j = 0; j < view.classes; j++) {
        gurn_step step = gurn_work_next_step(w, b, has_urn, j, &balls);
        if (j == 0) continue; /* it has no table */
        double *here = scratch.adjoint + (j - 1) * stride, later = centre - (double)room.centre[j], gradient = 0.0;
        const double *table = room.table + (j - 1) * stride;
        int32_t first = scratch.adjoint_first[j - 1], last = scratch.adjoint_last[j - 1];
        for (int32_t r = first + wide_thread<LANES>(); r <= last; r += LANES)
            gradient += here[r] * ((double)r - centre);
        if (step.m_rest > 0 && first <= last) {
            if (step.m == 0) {
                for (int32_t r = first + wide_thread<LANES>(); r <= last; r += LANES) here[stride + r] += here[r];
            } else {
                gurn_fold f = wide_fold<LANES>(&step, room.lambda[j], room.centre[j], n, table + stride, scratch);
                for (int32_t r = 0; r <= last;) {
                    gurn_panel p = wide_panel<LANES>(f, r, scratch);
                    gradient -= wide_unfold<LANES>(f, p, scratch, table, here, first, last, here + stride, later);
                    r = p.last + 1;
                }
            }
            if (wide_thread<LANES>() == 0) { /* any of it may have been reached */
                scratch.adjoint_first[j] = 0;
                scratch.adjoint_last[j] = gurn_wide_last(step.m_rest, n);
            }
        }
        gradient = gurn_group_sum<LANES>(gradient);
        wide_sync<LANES>(); /* all have read what of the adjoint may not be 0 */
        if (step.m > 0 && wide_thread<LANES>() == 0) scratch.gradient[w.order[j]] += gradient;
        for (int32_t r = first + wide_thread<LANES>(); r <= last; r += LANES) here[r] = 0.0;
        if (wide_thread<LANES>() == 0) {
            scratch.adjoint_first[j - 1] = GURN_WIDE_NONE;
            scratch.adjoint_last[j - 1] = -1;
        }
        centre = later;
        wide_sync<LANES>();
    }
}

#endif
