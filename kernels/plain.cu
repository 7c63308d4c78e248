/*
 * Plain draws on a GPU (gumbelurn.h; mathematics in plain.h, plain_chain.h, suffix.h).
 *
 * By recurrence (the univariate law, the merged chain, and rows of the exact chain whose classes but the first all have one
 * omega): a thread a row. Nothing is read but the row's parameters and, of the merged chain, its log odds (mvhg.cu), 8 bytes
 * a step.
 *
 * By tables. Where omega and n are shared, one block makes the suffix tables of the exact chain, a thread each fills one
 * table of running sums (of either chain, when there are rows enough), and a thread a row looks its draws up, all in memory
 * that stays in the cache. Else a warp a row makes its suffix tables, in a part of the workspace that it uses again for its
 * next row, and one lane draws.
 *
 * A class of omega 0 is one without balls: what has tables has steps of gurn_omega_steps beside them, what has none takes
 * sizes as it walks.
 *
 * Everything is decided by the arithmetic of the shared headers in one thread's order, so that the counts are those of the
 * CPU. Rows that only the device can see to be bad get -1.
 */
#include "mvhg.cuh"
#include "plain_chain.h"
#include "suffix.cuh"

#define PLAIN_WARPS 4 /* rows of a block that makes tables for each of its rows */

typedef enum plain_made {
    PLAIN_NOTHING,
    PLAIN_SUFFIX, /* suffix tables, and where running sums are */
    PLAIN_SUMS    /* by recurrence: where running sums are */
} plain_made;

/* One call, as its kernels see it. */
typedef struct plain_work {
    gurn_plan_view view;
    const int32_t *order; /* [C] */
    const double *lambda; /* [C][lambda_rows]: merged chain */
    int64_t lambda_rows;
    const void *log_omega; /* NULL: all are equal */
    int64_t stride, rows;
    gurn_dtype dtype;
    bool merged;
    int32_t n, n_max;
    const int32_t *n_rows;
    gurn_noise noise;
    double bits; /* of the windows */
    int32_t *x;
    gurn_plain_tables tables; /* shared */
    int32_t *state; /* shared: [2], what plain_build has made, a plain_made; and whether the urn has steps of its own */
    gurn_step *steps; /* shared: [C], those */
    char *sets;       /* not shared: [set_count] steps and tables, of set_bytes, of which steps take step_bytes */
    gurn_plain_shape shape;
    int64_t set_bytes, step_bytes, set_count, table_room;
} plain_work;

/* Uniforms of a row's steps, two from a block of Philox. */
typedef struct plain_uniforms {
    uint32_t key[2];
    uint64_t row, next;
} plain_uniforms;
GURN_DEVICE plain_uniforms plain_uniforms_of(const gurn_noise &noise, int64_t b) {
    const uint64_t *given = noise.device_seed_offset;
    uint64_t seed = given ? given[0] : noise.seed, offset = given ? given[1] : noise.offset;
    plain_uniforms u = {{(uint32_t)seed, (uint32_t)(seed >> 32)}, offset + noise.row0 + (uint64_t)b, 0};
    return u;
}
/* Of step i; an odd one after the even one before it. */
GURN_DEVICE double plain_uniform(plain_uniforms *u, uint32_t tag, int32_t i) {
    if (i & 1) return s_plain_uniform(u->next);
    uint32_t counter[4] = {(uint32_t)i >> 1, tag, (uint32_t)u->row, (uint32_t)(u->row >> 32)}, word[4];
    gurn_philox4x32_10(counter, u->key, word);
    u->next = word[2] | (uint64_t)word[3] << 32;
    return s_plain_uniform(word[0] | (uint64_t)word[1] << 32);
}

/* ------------------------------------------------------------------------------------------------- univariate law --- */

__global__ void plain_univariate(const __grid_constant__ gurn_hypergeometric_inputs in, int32_t *x) {
    for (int64_t b = (int64_t)blockIdx.x * GURN_BLOCK + threadIdx.x; b < in.rows;
         b += (int64_t)gridDim.x * GURN_BLOCK) {
        int32_t m1 = in.m1[b * in.m1_stride], m2 = in.m2[b * in.m2_stride], n = in.n[b * in.n_stride];
        double odds = in.log_odds ? gurn_real(in.log_odds, in.log_odds_dtype, b * in.log_odds_stride) : 0.0;
        gurn_plain_pair urn = gurn_plain_pair_of(m1, m2, odds);
        bool good = m1 >= 0 && m2 >= 0 && (int64_t)m1 + m2 <= GURN_MAX_BALLS && n >= 0 && n <= urn.m + urn.m_rest &&
                    !isnan(odds);
        plain_uniforms uniforms = plain_uniforms_of(in.noise, b);
        double u = plain_uniform(&uniforms, GURN_PLAIN_UNIVARIATE_TAG, 0);
        x[b] = good ? (int32_t)s_plain_count(urn.m, urn.m_rest, (double)n, urn.lambda, u) : -1;
    }
}

/* ------------------------------------------------------------------------------------------------- what a row is --- */

typedef enum plain_kind {
    PLAIN_BAD,        /* -1 throughout */
    PLAIN_RECURRENCE, /* log odds `lambda` at place `first`, 0 at all others; or, merged, those of the work */
    PLAIN_CERTAIN,    /* nothing or everything is drawn */
    PLAIN_TABLES
} plain_kind;

typedef struct plain_law {
    plain_kind kind;
    int32_t n, first;
    double lambda;
    int32_t balls; /* of the classes that can be drawn */
    bool zero;     /* there are others that have balls */
} plain_law;

/* One thread's judgement of a row. */
GURN_DEVICE plain_law plain_law_of(const plain_work &w, int64_t b) {
    plain_law law = {PLAIN_RECURRENCE, w.n_rows ? w.n_rows[b] : w.n, 0, 0.0, 0, false};
    double own = 0.0, rest = 0.0;
    bool bad = law.n < 0 || law.n > w.n_max, one_rest = true;
    int32_t seen = 0;
    for (int32_t i = 0; i < w.view.classes; i++) {
        double value = w.log_omega ? gurn_real(w.log_omega, w.dtype, b * w.stride + w.order[i]) : 0.0;
        int32_t m = w.view.steps[i].m;
        bad |= !(value < INFINITY);
        if (m == 0) continue;
        if (gurn_omega_is_zero(value)) {
            law.zero = true;
            continue;
        }
        law.balls += m;
        if (seen == 0) {
            own = rest = value;
            law.first = i;
        } else if (seen == 1) {
            rest = value;
        } else {
            one_rest &= value == rest;
        }
        seen++;
    }
    law.lambda = gurn_plain_lambda(own - rest);
    law.kind = bad || law.n > law.balls           ? PLAIN_BAD
               : w.merged || one_rest             ? PLAIN_RECURRENCE
               : law.n == 0 || law.n == law.balls ? PLAIN_CERTAIN
                                                  : PLAIN_TABLES;
    return law;
}

/* ----------------------------------------------------------------------------------------------------- the chain --- */

/* Every row that needs no tables. */
__global__ void __launch_bounds__(GURN_BLOCK) plain_recurrence(const __grid_constant__ plain_work w) {
    int32_t classes = w.view.classes;
    if (w.state && w.state[0] != PLAIN_NOTHING) return;
    for (int64_t b = (int64_t)blockIdx.x * GURN_BLOCK + threadIdx.x; b < w.rows; b += (int64_t)gridDim.x * GURN_BLOCK) {
        plain_law law = plain_law_of(w, b);
        if (law.kind == PLAIN_TABLES) continue;
        plain_uniforms u = plain_uniforms_of(w.noise, b);
        int32_t left = law.n, rest = law.balls;
        for (int32_t i = 0; i < classes; i++) {
            int32_t m = w.view.steps[i].m, k = 0;
            if (law.zero && gurn_omega_is_zero(gurn_real(w.log_omega, w.dtype, b * w.stride + w.order[i]))) m = 0;
            rest -= m;
            if (law.kind == PLAIN_RECURRENCE) {
                double uniform = plain_uniform(&u, GURN_PLAIN_CHAIN_TAG, i);
                if (m > 0 && rest == 0) k = left;
                if (m > 0 && rest > 0) {
                    double lambda = !w.merged            ? (i == law.first ? law.lambda : 0.0)
                                    : w.lambda_rows == 1 ? w.lambda[i]
                                                         : w.lambda[i * w.lambda_rows + b];
                    k = (int32_t)s_plain_count(m, rest, left, lambda, uniform);
                }
            } else if (left > 0) {
                k = m; /* all are drawn */
            }
            left -= k;
            w.x[b * classes + w.order[i]] = law.kind == PLAIN_BAD ? -1 : k;
        }
    }
}

/* Draws a row from tables that are there; view: of its urn. */
GURN_DEVICE void plain_draw_row(const plain_work &w, const gurn_plan_view &view, const gurn_plain_tables &t, int64_t b,
                                int32_t n, bool recurrence) {
    plain_uniforms u = plain_uniforms_of(w.noise, b);
    int32_t left = n, classes = view.classes;
    for (int32_t i = 0; i < classes; i++) {
        const gurn_step *step = &view.steps[i];
        int32_t k = step->m > 0 ? left : 0;
        if (step->m_rest > 0) {
            double uniform = plain_uniform(&u, GURN_PLAIN_CHAIN_TAG, i);
            k = gurn_plain_draw(&t, step, i, left, uniform, recurrence);
        }
        w.x[b * classes + w.order[i]] = k;
        left -= k;
    }
}

/* The suffix tables of a row, by a group, where `view` is of its urn and 0 < n < its balls. */
template <int LANES>
GURN_DEVICE void plain_make_tables(const plain_work &w, const gurn_plan_view &view, const gurn_plain_tables &t,
                                   int64_t b, int32_t n) {
    for (int32_t i = (int32_t)(threadIdx.x & (LANES - 1)); i < view.classes; i += LANES)
        t.own_at[i] = i * t.shape.own_room;
    gurn_group_suffix_places<LANES>(view, w.order, w.log_omega, w.dtype, b * w.stride, n, w.bits, t.place);
    gurn_group_suffix_fill<LANES>(view, n, t.place, t.own, t.shape.own_room, t.suffix, w.table_room, 0, NULL);
}

/* What all rows share, by one block. */
__global__ void __launch_bounds__(GURN_WIDE, 1) plain_build(const __grid_constant__ plain_work w) {
    plain_law law = plain_law_of(w, 0);
    const gurn_plain_tables &t = w.tables;
    int32_t thread = (int32_t)threadIdx.x;
    plain_made made = law.kind == PLAIN_TABLES ? PLAIN_SUFFIX : PLAIN_NOTHING;
    if (law.kind == PLAIN_RECURRENCE && t.shape.list_room && law.n > 0 && law.n < law.balls) made = PLAIN_SUMS;
    gurn_plan_view view = w.view;
    if (law.zero && made != PLAIN_NOTHING)
        view = gurn_group_omega_view<GURN_WIDE>(w.view, w.order, w.log_omega, w.dtype, 0, w.steps);
    if (thread == 0) {
        w.state[0] = made;
        w.state[1] = law.zero;
    }
    if (made == PLAIN_SUFFIX) {
        plain_make_tables<GURN_WIDE>(w, view, t, 0, law.n);
        for (int32_t i = thread; t.shape.list_room && i < view.classes; i += GURN_WIDE)
            if (view.steps[i].m_rest > 0) gurn_plain_place_tables(&t, &view.steps[i], i, law.n);
    }
    if (made == PLAIN_SUMS) {
        for (int32_t i = thread; i < view.classes; i += GURN_WIDE)
            t.lambda[i] = w.merged ? w.lambda[i] : i == law.first ? law.lambda : 0.0;
        __syncthreads();
        if (thread == 0) gurn_plain_place_recurrences(&t, view.steps, law.n);
    }
}

/* The view of the urn that all rows share, once plain_build is done. */
GURN_DEVICE gurn_plan_view plain_shared_view(const plain_work &w) {
    gurn_plan_view view = w.view;
    if (w.state[1]) view.steps = w.steps;
    return view;
}

/* Running sums, of one n_i of a place by one thread: those of place 0 first. */
__global__ void __launch_bounds__(GURN_BLOCK) plain_fill(const __grid_constant__ plain_work w) {
    int32_t made = w.state[0];
    if (made == PLAIN_NOTHING) return;
    gurn_plan_view view = plain_shared_view(w);
    const gurn_plain_tables &t = w.tables;
    for (int64_t number = (int64_t)blockIdx.x * GURN_BLOCK + threadIdx.x; number < t.shape.list_count;
         number += (int64_t)gridDim.x * GURN_BLOCK) {
        int32_t i = number == 0 ? 0 : 1 + (int32_t)((number - 1) / t.shape.list_room);
        if (view.steps[i].m_rest == 0) continue;
        int32_t left = t.lists[i].low + (number == 0 ? 0 : (int32_t)((number - 1) % t.shape.list_room));
        if (left <= t.lists[i].high) gurn_plain_fill_list(&t, &view.steps[i], i, left, made == PLAIN_SUMS);
    }
}

__global__ void __launch_bounds__(GURN_BLOCK) plain_shared(const __grid_constant__ plain_work w) {
    int32_t made = w.state[0];
    if (made == PLAIN_NOTHING) return;
    gurn_plan_view view = plain_shared_view(w);
    for (int64_t b = (int64_t)blockIdx.x * GURN_BLOCK + threadIdx.x; b < w.rows; b += (int64_t)gridDim.x * GURN_BLOCK)
        plain_draw_row(w, view, w.tables, b, w.n, made == PLAIN_SUMS);
}

/* Rows with omega or n of their own, a warp each. */
__global__ void __launch_bounds__(PLAIN_WARPS *GURN_WARP) plain_rows(const __grid_constant__ plain_work w) {
    int64_t set = (int64_t)blockIdx.x * PLAIN_WARPS + threadIdx.x / GURN_WARP;
    if (set >= w.set_count) return;
    gurn_plain_tables t;
    char *room = w.sets + set * w.set_bytes;
    gurn_plain_cut(&t, w.shape, room + w.step_bytes);
    for (int64_t b = set; b < w.rows; b += w.set_count) {
        plain_law law = plain_law_of(w, b);
        if (law.kind != PLAIN_TABLES) continue;
        gurn_plan_view view = w.view;
        if (law.zero)
            view = gurn_group_omega_view<GURN_WARP>(w.view, w.order, w.log_omega, w.dtype, b * w.stride,
                                                    (gurn_step *)room);
        plain_make_tables<GURN_WARP>(w, view, t, b, law.n);
        if (gurn_lane() == 0) plain_draw_row(w, view, t, b, law.n, false);
        __syncwarp();
    }
}

/* ------------------------------------------------------------------------------------------------------ launchers --- */

static bool one_set(const gurn_plain_job *job) { return job->in.log_omega_stride == 0 && !job->in.n_rows; }

/* Lays out the workspace: order; log odds (merged); or the shared tables, or sets of them. Returns its size. */
static size_t lay_out(const gurn_plain_job *job, plain_work *w) {
    int64_t classes = job->view->classes, rows = job->in.rows;
    size_t at = 0;
    char *p = (char *)job->workspace;
    int32_t *order = (int32_t *)gurn_plain_take(p, &at, job->plan_order ? 0 : (size_t)classes * sizeof(int32_t));
    w->order = job->plan_order ? job->view->order : order;
    w->merged = job->chain == GURN_CHAIN_MERGED;
    if (w->merged) {
        w->lambda_rows = job->in.log_omega_stride == 0 ? 1 : rows;
        w->lambda = (double *)gurn_plain_take(p, &at, (size_t)(classes * w->lambda_rows) * sizeof(double));
    }
    /* Every width grows with the sizes that it is computed from (suffix_lanes.h): these bound those of all places. */
    bool suffix = !w->merged && job->in.log_omega;
    w->bits = gurn_suffix_bits(GURN_SUFFIX_PLAIN_BITS, (int32_t)classes, 0.0);
    double total = job->total, most = job->max_m < job->n_max ? job->max_m : job->n_max;
    int64_t own = gurn_plain_recurrence_room(0.25 * most, most), of_tables = 0;
    if (suffix) {
        of_tables = gurn_suffix_width(job->max_m, total, job->n_max, w->bits);
        w->table_room = gurn_suffix_width(total, total, job->n_max, w->bits);
    }
    own = own > of_tables ? own : of_tables;
    w->shape = gurn_plain_shape_of((int32_t)classes, own, 0, classes * w->table_room, total, job->n_max,
                                   job->in.n_rows != NULL, one_set(job) ? rows : 1);
    if (suffix) w->shape.own_entries = classes * w->shape.own_room;
    if (!suffix && !w->shape.list_room) return at;
    w->step_bytes = job->in.log_omega ? (int64_t)(((size_t)classes * sizeof(gurn_step) + 255) & ~(size_t)255) : 0;
    if (one_set(job)) {
        w->state = (int32_t *)gurn_plain_take(p, &at, 2 * sizeof(int32_t));
        w->steps = (gurn_step *)gurn_plain_take(p, &at, (size_t)w->step_bytes);
        char *here = p ? p + at : NULL;
        return at + gurn_plain_cut(&w->tables, w->shape, here);
    }
    w->set_bytes = w->step_bytes + (int64_t)gurn_plain_cut(&w->tables, w->shape, NULL);
    w->set_count = GURN_ROOM_BYTES / w->set_bytes;
    if (w->set_count > GURN_PLAIN_ROOMS) w->set_count = GURN_PLAIN_ROOMS;
    if (w->set_count > rows) w->set_count = rows;
    if (w->set_count < 1) w->set_count = 1;
    w->sets = p ? p + at : NULL;
    return at + (size_t)(w->set_count * w->set_bytes);
}

cudaError_t gurn_cuda_load_plain(void) {
    return gurn_load(plain_univariate, plain_recurrence, plain_build, plain_fill, plain_shared, plain_rows);
}

size_t gurn_cuda_plain_workspace(const gurn_plain_job *job) {
    gurn_plain_job sized = *job;
    plain_work w = {};
    sized.workspace = NULL;
    return lay_out(&sized, &w);
}

cudaError_t gurn_cuda_plain_launch(const gurn_plain_job *job, cudaStream_t stream) {
    plain_work w = {};
    lay_out(job, &w);
    const gurn_mvhg_inputs *in = &job->in;
    w.view = *job->view;
    w.log_omega = in->log_omega;
    w.stride = in->log_omega_stride;
    w.rows = in->rows;
    w.dtype = job->dtype;
    w.n = in->n;
    w.n_max = job->n_max;
    w.n_rows = in->n_rows;
    w.noise = in->noise;
    w.x = job->x;
    if (!job->plan_order)
        GURN_MUST(gurn_cuda_put_order(in->order, w.view.classes, const_cast<int32_t *>(w.order), stream));
    if (w.merged)
        GURN_MUST(gurn_cuda_log_odds(w.view, w.order, in->log_omega, job->dtype, in->log_omega_stride, w.lambda_rows,
                                     const_cast<double *>(w.lambda), NULL, stream));
    cudaLaunchConfig_t rows = gurn_launch_rows(w.rows, GURN_BLOCK, GURN_BLOCK, stream);
    if (w.state) {
        cudaLaunchConfig_t build = gurn_launch_rows(1, 1, GURN_WIDE, stream);
        GURN_MUST(cudaLaunchKernelEx(&build, plain_build, w));
        if (w.shape.list_room) {
            cudaLaunchConfig_t fill = gurn_launch_rows(w.shape.list_count, GURN_BLOCK, GURN_BLOCK, stream);
            GURN_MUST(cudaLaunchKernelEx(&fill, plain_fill, w));
        }
        GURN_MUST(cudaLaunchKernelEx(&rows, plain_shared, w));
    }
    GURN_MUST(cudaLaunchKernelEx(&rows, plain_recurrence, w));
    if (w.sets) {
        cudaLaunchConfig_t sets = gurn_launch_rows(w.set_count, PLAIN_WARPS, PLAIN_WARPS * GURN_WARP, stream);
        GURN_MUST(cudaLaunchKernelEx(&sets, plain_rows, w));
    }
    return cudaSuccess;
}

cudaError_t gurn_cuda_hypergeometric_launch(const gurn_hypergeometric_job *job, cudaStream_t stream) {
    cudaLaunchConfig_t rows = gurn_launch_rows(job->in.rows, GURN_BLOCK, GURN_BLOCK, stream);
    GURN_MUST(cudaLaunchKernelEx(&rows, plain_univariate, job->in, job->x));
    return cudaSuccess;
}
