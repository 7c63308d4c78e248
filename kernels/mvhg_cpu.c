/*
 * The MVHG chain on the CPU: forward and fused backward of a batch (gumbelurn.h; mathematics in mvhg.h).
 *
 * Work: OpenMP over tiles of 16 rows. Memory: O(C) a thread and one window of noise; what is asked for is written,
 * nothing else is stored. Determinism: every row is computed alone; a gradient summed over rows is summed within each
 * tile in row order, then over tiles in order, whatever the number of threads.
 *
 * float32 draws with generated noise take the fast path (mvhg_sweep.h), everything else the general one
 * (mvhg_general_cpu.c). So does a row of the merged chain that has a class of omega 0: the rest of its steps has sizes that the plan
 * has no tables of. Rows of a tile that have different urns (omega.h) are taken apart.
 */
#include <stdlib.h>

#include "mvhg_sweep.h"

#define GURN_STRING_(a) #a
#define GURN_STRING(a) GURN_STRING_(a)
#define GURN_LEVEL_NAME GURN_STRING(GURN_LEVEL)
#if V_LANES == 16
#define GURN_LEVEL_ISA GURN_ISA_AVX512
#elif V_LANES == 8
#define GURN_LEVEL_ISA GURN_ISA_AVX2
#elif defined(GURN_LEVEL_neon) /* on 64-bit Arm the portable level has the same vectors */
#define GURN_LEVEL_ISA GURN_ISA_NEON
#else
#define GURN_LEVEL_ISA GURN_ISA_PORTABLE
#endif

size_t GURN_NAME(mvhg_scratch)(const gurn_mvhg_job *job, bool backward, char *p, gurn_scratch *scratch) {
    size_t at = 0, steps = (size_t)job->view->classes * GURN_TILE, width = (size_t)job->max_m + 1;
    bool fast = gurn_is_fast(job, backward);
    gurn_scratch s = {0};
#define GURN_CUT(field, count)                                \
    do {                                                      \
        if (p) s.field = (void *)(p + at);                    \
        at += gurn_padded((size_t)(count) * sizeof *s.field); \
    } while (0)
    GURN_CUT(key, 1);
    GURN_CUT(steps, job->view->classes);
    if (!(job->chain == GURN_CHAIN_EXACT && fast)) GURN_CUT(lambda, steps);
    if (backward) {
        GURN_CUT(left, steps);
        GURN_CUT(log_omega, steps);
    }
    if (fast) {
        /* A window begins up to a vector of counts early, and fills go to the next multiple of GURN_PHILOX_FLIGHT. */
        size_t vectors = (width + V_LANES) / GURN_PHILOX_STRIDE + 1;
        if (vectors < GURN_NOISE_VECTORS) vectors = GURN_NOISE_VECTORS;
        vectors += GURN_PHILOX_FLIGHT + V_LANES;
        GURN_CUT(words, vectors * GURN_PHILOX_STRIDE);
        GURN_CUT(list.row, vectors);
        GURN_CUT(list.start, vectors);
        if (backward) GURN_CUT(extra, width + 64);
        if (backward && job->chain == GURN_CHAIN_EXACT) {
            GURN_CUT(pulled.w, width + 64);
            GURN_CUT(pulled.wu, width + 64);
            GURN_CUT(pulled.p, width + 64);
        }
    }
    if (!fast || job->chain == GURN_CHAIN_MERGED) {
        GURN_CUT(cost, width);
        GURN_CUT(race, width);
        GURN_CUT(extra64, width);
        if (backward) GURN_CUT(psi64, width);
    }
#undef GURN_CUT
    if (p) {
        const gurn_noise *noise = &job->in.noise;
        const uint64_t *given = noise->device_seed_offset;
        *s.key = gurn_philox_schedule(given ? given[0] : noise->seed);
        s.row = (given ? given[1] : noise->offset) + noise->row0;
        *scratch = s;
    }
    return at;
}

/* Workspace: scratch of every thread, then (backward, shared omega) each tile's share of the gradient [tiles][C]. */
static size_t mvhg_bytes(const gurn_mvhg_job *job, int backward) {
    if (job->chain == GURN_CHAIN_EXACT)
        return gurn_is_fast(job, backward) ? GURN_NAME(mvhg_suffix_bytes)(job, backward)
                                           : GURN_NAME(mvhg_exact_bytes)(job, backward);
    size_t bytes = (size_t)job->threads * GURN_NAME(mvhg_scratch)(job, backward != 0, NULL, NULL);
    if (backward && job->in.log_omega_stride == 0)
        bytes += (size_t)gurn_tile_count(job->in.rows) * (size_t)job->view->classes * sizeof(double);
    return bytes;
}

/*
 * Support, tables and lambda of every row of a tile at one step, and the root of the mode; left is set. Merged chain.
 */
static void merged_law(const gurn_step *step, const double *lambda, gurn_tile_step *t, double *root) {
    for (int r = 0; r < GURN_TILE; r += V_HALF) {
        double n[V_HALF];
        for (int l = 0; l < V_HALF; l++) n[l] = t->left[r + l];
        v_f64_store(root + r,
                    v_mode_root(v_splat64(step->m), v_splat64(step->m_rest), v_f64_load(n), v_f64_load(lambda + r)));
    }
    for (int r = 0; r < GURN_TILE; r++) {
        t->support[r] = gurn_support_hard(step->m, step->m_rest, t->left[r]);
        t->rest[r] = step->rest.fixed + (step->m_rest - t->left[r]);
        t->lambda[r] = gurn_fixed_lambda(lambda[r]);
    }
}

/* The same in the exact chain, at place i. */
static void exact_law(const gurn_step *step, int32_t i, const gurn_suffix_tile *suffix, gurn_tile_step *t,
                      double *root) {
    for (int r = 0; r < GURN_TILE; r++) {
        const gurn_suffix *here = &suffix->places[r][i], *next = here + 1;
        t->support[r] = gurn_suffix_support(here, next, step->m, step->m_rest, t->left[r]);
        t->rest[r] = suffix->rest[r] + (next->begin + next->top - t->left[r]);
        t->lambda[r] = here->fixed_lambda;
        root[r] = gurn_suffix_guess(here, t->left[r]) + 0.5;
    }
}

/* So many steps are walked towards a mode; then, in the exact chain, whose guesses may be far off, it is sought. */
#define GURN_WALK 16

/*
 * Window and reference of every row of a tile, from its law and a guess at its mode. bits: how far above the mode's
 * cost a count may lie and still matter.
 */
static void tile_windows(const gurn_step *step, int32_t i, const double *root, float bits,
                         const gurn_suffix_tile *suffix, gurn_tile_step *t) {
    float limit[2][GURN_TILE], mode[GURN_TILE], left[GURN_TILE];
    for (int r = 0; r < GURN_TILE; r++) {
        gurn_support s = t->support[r];
        const int32_t *own = step->own.fixed, *rest = t->rest[r];
        int32_t k = root[r] < s.low ? s.low : root[r] > s.high ? s.high : (int32_t)root[r];
        int32_t up = INT32_MAX, down = INT32_MAX, walk = suffix ? GURN_WALK : INT32_MAX;
        t->reference[r] = 0;
        if (s.low < s.high) {
            /* Nearly always a step or none leads to the mode by the table itself. */
            uint32_t cost = gurn_cost_fixed(own, rest, t->lambda[r], k);
#define GURN_MOVE(direction)                                                                         \
    do {                                                                                             \
        k += direction;                                                                              \
        if (--walk == 0) k = gurn_suffix_near_mode(&suffix->places[r][i], own, rest, s, t->left[r]); \
        cost = gurn_cost_fixed(own, rest, t->lambda[r], k);                                          \
    } while (0)
            while (k < s.high && (up = (int32_t)(gurn_cost_fixed(own, rest, t->lambda[r], k + 1) - cost)) < 0)
                GURN_MOVE(1);
            while (k > s.low && (down = (int32_t)(gurn_cost_fixed(own, rest, t->lambda[r], k - 1) - cost)) < 0) {
                up = -down;
                GURN_MOVE(-1);
            }
#undef GURN_MOVE
            if (walk <= 0 && k < s.high) up = (int32_t)(gurn_cost_fixed(own, rest, t->lambda[r], k + 1) - cost);
            t->reference[r] = cost & 0xFF800000u;
        }
        t->mode[r] = k;
        t->slope[0][r] = (float)up * 0x1p-23f;
        t->slope[1][r] = (float)down * 0x1p-23f;
        limit[0][r] = (float)(s.high - k);
        limit[1][r] = (float)(k - s.low);
        mode[r] = (float)k;
        left[r] = (float)t->left[r];
    }
    for (int r = 0; r < GURN_TILE; r += V_LANES) {
        v_f32 k = v_f32_load(mode + r), n = v_f32_load(left + r);
        v_f32 m_k = v_splat32((float)step->m) - k, n_k = n - k, rest_k = v_splat32((float)step->m_rest) - n_k;
        v_f32 right = v_window_reach(v_f32_load(t->slope[0] + r), m_k, n_k, k, rest_k, v_f32_load(limit[0] + r), bits);
        v_f32 wrong = v_window_reach(v_f32_load(t->slope[1] + r), k, rest_k, m_k, n_k, v_f32_load(limit[1] + r), bits);
        float reach[2][V_LANES];
        v_f32_store(reach[0], right);
        v_f32_store(reach[1], wrong);
        for (int l = 0; l < V_LANES; l++) {
            t->high[r + l] = t->mode[r + l] + (int32_t)reach[0][l];
            t->low[r + l] = t->mode[r + l] - (int32_t)reach[1][l];
        }
    }
}

static void tile_setup(const gurn_step *step, int32_t i, float bits, const gurn_scratch *scratch, gurn_tile_step *t) {
    double root[GURN_TILE];
    if (scratch->suffix)
        exact_law(step, i, scratch->suffix, t, root);
    else
        merged_law(step, scratch->lambda + (int64_t)i * GURN_TILE, t, root);
    tile_windows(step, i, root, bits, scratch->suffix, t);
}

/* Widens the window of one row to `bits`; false when it is as wide already. */
static bool widen(const gurn_step *step, float bits, gurn_tile_step *t, int r) {
    gurn_support s = t->support[r];
    float k = (float)t->mode[r], n_k = (float)(t->left[r] - t->mode[r]);
    float m_k = (float)(step->m - t->mode[r]), rest_k = (float)(step->m_rest - t->left[r] + t->mode[r]);
    int32_t high =
        t->mode[r] + (int32_t)s_window_reach(t->slope[0][r], m_k, n_k, k, rest_k, (float)(s.high - t->mode[r]), bits);
    int32_t low =
        t->mode[r] - (int32_t)s_window_reach(t->slope[1][r], k, rest_k, m_k, n_k, (float)(t->mode[r] - s.low), bits);
    bool wider = low < t->low[r] || high > t->high[r];
    t->low[r] = low < t->low[r] ? low : t->low[r];
    t->high[r] = high > t->high[r] ? high : t->high[r];
    return wider;
}

/*
 * Draws the noise of rows from r on, as many as fit into GURN_NOISE_VECTORS (one at least), and sets their sweeps. Rows
 * whose window is one count have none. Returns the row after the last.
 */
static int tile_noise(const gurn_step *step, const gurn_tile_step *t, int64_t b, int r, int rows, int32_t cls,
                      const gurn_scratch *scratch, gurn_sweep *sweeps, int32_t *vectors) {
    gurn_philox_row start[GURN_TILE];
    uint32_t tag = gurn_stream_tag(GURN_STREAM_MVHG, (uint32_t)cls);
    int32_t total = 0;
    for (; r < rows; r++) {
        if (t->low[r] == t->high[r]) continue;
        int32_t first = t->low[r] & -V_LANES, count = (t->high[r] - first) / GURN_PHILOX_STRIDE + 1;
        if (total > 0 && total + count > GURN_NOISE_VECTORS) break;
        sweeps[r] = (gurn_sweep){step->own.fixed,
                                 t->rest[r],
                                 t->low[r],
                                 t->high[r],
                                 first,
                                 t->reference[r],
                                 gurn_linear_slope(t->lambda[r]),
                                 t->lambda[r],
                                 scratch->words + (int64_t)total * GURN_PHILOX_STRIDE};
        start[r] = gurn_philox_start(scratch->key, tag, scratch->row + (uint64_t)(b + r));
        gurn_noise_enlist(scratch->list, total, count, r, first);
        total += count;
    }
    if (total > 0) gurn_noise_enlist(scratch->list, total, GURN_PHILOX_FLIGHT - 1, scratch->list.row[total - 1], 0);
    gurn_philox_fill(scratch->words, scratch->key, start, scratch->list, total);
    *vectors = total;
    return r;
}

/* ------------------------------------------------------------------------------------------------------ forward --- */

/* One-hots and filled masks of a row's counts. */
static void write_one_hots(const gurn_mvhg_job *job, int64_t b, int32_t cls, int32_t x) {
    int64_t width = job->view->offset[job->view->classes], begin = b * width + job->view->offset[cls];
    int64_t m = job->view->offset[cls + 1] - job->view->offset[cls] - 1;
    for (int64_t k = 0; job->out.y && k <= m; k++) gurn_set_real(job->out.y, job->dtype, begin + k, k == x);
    for (int64_t k = 0; job->out.mask && k <= m; k++) gurn_set_real(job->out.mask, job->dtype, begin + k, k <= x);
}

/* Functions of their own: loops whose registers the compiler gives to nothing else. */
__attribute__((noinline)) static void races(const gurn_sweep *sweeps, const gurn_scratch *scratch, int32_t vectors,
                                            gurn_race *race) {
    gurn_sweep_races(sweeps, scratch->list, vectors, scratch->words, false, race);
}
__attribute__((noinline)) static void races_with_p(const gurn_sweep *sweeps, const gurn_scratch *scratch,
                                                   int32_t vectors, gurn_race *race) {
    gurn_sweep_races(sweeps, scratch->list, vectors, scratch->words, true, race);
}

/*
 * Draws one class for the rows of a tile: x[r], and log2_p[r] is increased by its log-probability when with_p. The
 * windows of t may be widened.
 */
GURN_FN void race_tile(const gurn_step *step, gurn_tile_step *t, int64_t b, int rows, int32_t cls,
                       const gurn_scratch *scratch, bool with_p, int32_t *x, double *log2_p) {
    gurn_sweep sweeps[GURN_TILE];
    gurn_race race[GURN_TILE];
    double p[GURN_TILE], cost[GURN_TILE];
    int32_t vectors;
    for (int r = 0, end; r < rows; r = end) {
        end = tile_noise(step, t, b, r, rows, cls, scratch, sweeps, &vectors);
        (with_p ? races_with_p : races)(sweeps, scratch, vectors, race);
        for (int q = r; q < end; q++) {
            x[q] = t->low[q];
            p[q] = 1.0;
            cost[q] = 0.0;
            if (t->low[q] == t->high[q]) continue;
            while (!gurn_race_is_sure(&race[q]) && widen(step, GURN_RACE_BITS, t, q)) {
                tile_noise(step, t, b, q, q + 1, cls, scratch, sweeps, &vectors);
                (with_p ? races_with_p : races)(sweeps, scratch, vectors, race);
            }
            x[q] = gurn_race_winner(&sweeps[q], &race[q]);
            if (!with_p) continue;
            const gurn_sweep *s = &sweeps[q];
            p[q] = v_sum32(race[q].p);
            cost[q] = (double)(int32_t)(gurn_cost_fixed(s->own, s->rest, s->lambda, x[q]) - s->reference) * 0x1p-23;
        }
    }
    for (int r = rows; with_p && r < GURN_TILE; r++) p[r] = 1.0, cost[r] = 0.0;
    for (int r = 0; with_p && r < GURN_TILE; r += V_HALF)
        v_f64_store(log2_p + r, v_f64_load(log2_p + r) - (v_f64_load(cost + r) + v_log2_64(v_f64_load(p + r))));
}

void GURN_NAME(mvhg_fast_forward)(const gurn_mvhg_job *job, int64_t b, int rows, const gurn_scratch *scratch) {
    const gurn_plan_view *view = job->view;
    bool with_p = job->out.log_p != NULL;
    gurn_tile_step t;
    double log2_p[GURN_TILE] = {0};
    for (int r = 0; r < GURN_TILE; r++) t.left[r] = gurn_row_n(&job->in, b + (r < rows ? r : rows - 1));
    for (int32_t i = 0; i < view->classes; i++) {
        const gurn_step *step = &view->steps[i];
        int32_t cls = job->in.order[i], x[GURN_TILE];
        if (step->m_rest == 0) { /* the class takes what is left */
            memcpy(x, t.left, sizeof x);
        } else {
            tile_setup(step, i, GURN_SURE_BITS, scratch, &t);
            if (with_p)
                race_tile(step, &t, b, rows, cls, scratch, true, x, log2_p);
            else
                race_tile(step, &t, b, rows, cls, scratch, false, x, log2_p);
        }
        for (int r = 0; r < rows; r++) {
            if (job->out.x) ((float *)job->out.x)[(b + r) * view->classes + cls] = (float)x[r];
            if (job->out.y || job->out.mask) write_one_hots(job, b + r, cls, x[r]);
            t.left[r] -= x[r];
        }
    }
    for (int r = 0; r < rows && with_p; r++) ((float *)job->out.log_p)[b + r] = (float)(log2_p[r] * GURN_LN2);
}

/* ----------------------------------------------------------------------------------------------------- backward --- */

/* dy_k + sum_{j<=k} dmask_j over the window, up to a constant. */
static void window_extra(const gurn_mvhg_job *job, int64_t b, int32_t cls, const gurn_sweep *s, float *extra) {
    int64_t width = job->view->offset[job->view->classes], begin = b * width + job->view->offset[cls];
    const float *y = job->upstream.y, *mask = job->upstream.mask;
    double sum = 0.0;
    for (int32_t k = s->first; k <= (s->high | (V_LANES - 1)); k++) {
        bool inside = k >= s->low && k <= s->high;
        if (inside && mask) sum += mask[begin + k];
        extra[k - s->first] = inside ? (float)(sum + (y ? y[begin + k] : 0.0f)) : 0.0f;
    }
}

/* From the steps' gradients of a tile (scratch->log_omega) to what was asked for; mvhg.h, gurn_merged_share. */
static void finish_tile(const gurn_mvhg_job *job, int64_t b, int rows, const gurn_scratch *scratch, const double *tau,
                        double *shared) {
    const gurn_plan_view *view = job->view;
    if (job->grad.tau)
        for (int r = 0; r < rows; r++) gurn_set_real(job->grad.tau, job->dtype, b + r, tau[r]);
    if (!job->grad.log_omega) return;
    double passed[GURN_TILE] = {0};
    for (int32_t i = 0; i < view->classes; i++) {
        const gurn_step *step = &view->steps[i];
        double sum = 0.0;
        for (int r = 0; r < rows; r++) {
            double own = scratch->log_omega[(int64_t)i * GURN_TILE + r], share = step->m > 0 ? 1.0 : 0.0;
            if (step->m > 0 && step->m_rest > 0)
                share = gurn_merged_share(step->log2_m, step->log2_m_rest, scratch->lambda[(int64_t)i * GURN_TILE + r]);
            double gradient = own - passed[r] * share;
            passed[r] = passed[r] * (1.0 - share) + own;
            sum += gradient;
            if (!shared)
                gurn_set_real(job->grad.log_omega, job->dtype, (b + r) * view->classes + job->in.order[i], gradient);
        }
        if (shared) shared[job->in.order[i]] = sum;
    }
}

/* The next place that has balls. There is one, for m_rest > 0 at place i. */
static const gurn_step *step_after(const gurn_plan_view *view, int32_t i) {
    const gurn_step *step = &view->steps[i + 1];
    while (step->m == 0) step++;
    return step;
}

/* d logit / dn, read at k. Where one class is left S(r) = C(m_R, r) omega^r, and psi is the merged chain's. */
static const float *step_psi(const gurn_plan_view *view, int32_t i, int r, int32_t left,
                             const gurn_suffix_tile *suffix) {
    const gurn_step *step = &view->steps[i], *after = step_after(view, i);
    if (!suffix) return (const float *)step->rest.psi + (step->m_rest - left);
    if (after->m_rest == 0) return (const float *)after->own.psi + (step->m_rest - left);
    const gurn_suffix *next = &suffix->places[r][i + 1];
    return suffix->psi[r] + (next->begin + next->top - left);
}

/* Adds one row's gradient to log S_{i+1}: at r = n_i - k, dlogit of k. */
static void pull_suffix(const gurn_sweep *s, const gurn_pull *g, const gurn_step_sums *sums, int32_t i, int r,
                        int32_t left, float dlog_p, const gurn_scratch *scratch) {
    const gurn_suffix_tile *suffix = scratch->suffix;
    const gurn_suffix *next = &suffix->places[r][i + 1];
    int64_t at = next->begin + next->top - left;
    float *dlogit = scratch->pulled.wu;
    gurn_sweep_dlogit(s, &scratch->pulled, sums, g, dlog_p, dlogit);
    if (suffix->adjoint_sum)
        for (int32_t k = s->low; k <= s->high; k++) suffix->adjoint_sum[at + k] += dlogit[k - s->low];
    else
        memcpy(suffix->adjoint[r] + at + s->low, dlogit, (size_t)(s->high - s->low + 1) * sizeof(float));
}

/* Everything summed. A function of its own: rare, and large. */
__attribute__((noinline)) static gurn_step_sums pull_all(const gurn_sweep *s, const gurn_pull *g, bool with_extra,
                                                         const gurn_pulled *pulled) {
    if (with_extra) return gurn_sweep_pull(s, g, false, true, true, true, true, pulled);
    return gurn_sweep_pull(s, g, false, true, true, false, true, pulled);
}

void GURN_NAME(mvhg_fast_backward)(const gurn_mvhg_job *job, int64_t b, int rows, const gurn_scratch *scratch,
                                   double *tau) {
    const gurn_plan_view *view = job->view;
    int32_t classes = view->classes;
    const float *x_given = job->x, *dx_given = job->upstream.x, *dlog_p = job->upstream.log_p;
    bool with_extra = job->upstream.y || job->upstream.mask, with_tau = job->grad.tau != NULL,
         with_log_p = dlog_p != NULL;
    bool tau_one = job->in.tau == 1.0;
    double inv_tau = 1.0 / job->in.tau, tail[GURN_TILE]; /* gradient to every x of an earlier step */
    gurn_tile_step t;

    for (int r = 0; r < GURN_TILE; r++) {
        int64_t row = b + (r < rows ? r : rows - 1);
        int32_t left = gurn_row_n(&job->in, row);
        for (int32_t i = 0; i < classes; i++) {
            scratch->left[(int64_t)i * GURN_TILE + r] = left;
            left -= (int32_t)x_given[row * classes + job->in.order[i]];
        }
        tail[r] = 0.0;
    }
    for (int32_t i = classes - 1; i >= 0; i--) {
        const gurn_step *step = &view->steps[i];
        int32_t cls = job->in.order[i];
        memcpy(t.left, scratch->left + (int64_t)i * GURN_TILE, sizeof t.left);
        if (step->m_rest > 0) tile_setup(step, i, GURN_RELAXED_BITS(job->in.tau), scratch, &t);
        gurn_sweep sweeps[GURN_TILE];
        int drawn = 0;
        int32_t vectors;
        for (int r = 0; r < rows; r++) {
            int64_t row = b + r;
            int32_t x = (int32_t)x_given[row * classes + cls];
            double dx = (dx_given ? dx_given[row * classes + cls] : 0.0) + tail[r];
            double *log_omega = &scratch->log_omega[(int64_t)i * GURN_TILE + r];
            *log_omega = 0.0;
            if (step->m_rest == 0) { /* x is what the others leave: what reaches it is taken from each of them */
                if (step->m > 0)
                    tail[r] = -(dx + gurn_taker_pull(job->upstream.y, job->upstream.mask, job->dtype,
                                                     row * view->offset[classes] + view->offset[cls], step->m, x));
                continue;
            }
            if (t.low[r] == t.high[r]) continue;
            if (r >= drawn) drawn = tile_noise(step, &t, b, r, rows, cls, scratch, sweeps, &vectors);
            gurn_sweep s = sweeps[r];
            if (with_extra) window_extra(job, row, cls, &s, scratch->extra);
            float weight = with_log_p ? dlog_p[row] : 0.0f;
            const float *psi = step_psi(view, i, r, t.left[r], scratch->suffix);
            gurn_pull g = {x,
                           (float)dx,
                           weight * -(float)GURN_LN2,
                           psi,
                           psi[x < s.low    ? s.low
                               : x > s.high ? s.high
                                            : x],
                           scratch->extra,
                           (float)inv_tau};
            /* The gradient to log S; where one class is left it is known from the step's own sums. */
            bool wants_suffix = scratch->suffix && job->grad.log_omega && step_after(view, i)->m_rest > 0;
            const gurn_pulled *pulled = wants_suffix ? &scratch->pulled : NULL;
            gurn_step_sums sums;
            if (pulled)
                sums = with_extra || with_tau ? pull_all(&s, &g, with_extra, pulled)
                       : tau_one              ? gurn_sweep_pull(&s, &g, true, true, true, false, false, pulled)
                                              : gurn_sweep_pull(&s, &g, false, true, true, false, false, pulled);
            else if (with_extra || with_tau)
                sums = pull_all(&s, &g, with_extra, NULL);
            else if (!tau_one)
                sums = gurn_sweep_pull(&s, &g, false, true, true, false, false, NULL);
            else if (with_log_p)
                sums = i > 0 ? gurn_sweep_pull(&s, &g, true, true, true, false, false, NULL)
                             : gurn_sweep_pull(&s, &g, true, false, true, false, false, NULL);
            else
                sums = i > 0 ? gurn_sweep_pull(&s, &g, true, true, false, false, false, NULL)
                             : gurn_sweep_pull(&s, &g, true, false, false, false, false, NULL);
            if (pulled) pull_suffix(&s, &g, &sums, i, r, t.left[r], weight, scratch);
            gurn_step_gradient grad = gurn_step_finish(sums, inv_tau, weight, 0);
            *log_omega = grad.log_omega;
            tail[r] -= grad.n;
            tau[r] += grad.tau;
        }
    }
}

/* ------------------------------------------------------------------------------------------------------ drivers --- */

/* Rows of one urn, which `urn` has, in the merged chain; scratch->lambda is theirs. fast: the rest of every step has its table. */
static void merged_forward(const gurn_mvhg_job *urn, bool fast, int64_t b, int rows, const gurn_scratch *scratch) {
    if (fast) {
        GURN_NAME(mvhg_fast_forward)(urn, b, rows, scratch);
        return;
    }
    for (int r = 0; r < rows; r++) {
        gurn_general_law law = {scratch->lambda + r, GURN_TILE, NULL, NULL};
        GURN_NAME(mvhg_general_forward)(urn, b + r, &law, scratch);
    }
}

static void merged_backward(const gurn_mvhg_job *urn, bool fast, int64_t b, int rows, const gurn_scratch *scratch,
                            double *shared) {
    double tau[GURN_TILE] = {0};
    if (fast) GURN_NAME(mvhg_fast_backward)(urn, b, rows, scratch, tau);
    for (int r = 0; !fast && r < rows; r++) {
        gurn_general_law law = {scratch->lambda + r, GURN_TILE, NULL, NULL};
        GURN_NAME(mvhg_general_backward)(urn, b + r, &law, scratch, scratch->log_omega + r, &tau[r]);
    }
    finish_tile(urn, b, rows, scratch, tau, shared);
}

/* A tile of the merged chain, forward or backward. shared: the urn of all rows, whose lambda is set; NULL where each has its own. */
static void merged_tile(const gurn_mvhg_job *job, const gurn_mvhg_job *shared, bool backward, int64_t tile,
                        const gurn_scratch *scratch, double *partial) {
    int64_t b = tile * GURN_TILE, end = b + GURN_TILE < job->in.rows ? b + GURN_TILE : job->in.rows;
    bool fast = gurn_is_fast(job, backward);
    for (int rows; b < end; b += rows) {
        gurn_urn room;
        const gurn_mvhg_job *urn = shared;
        rows = (int)(end - b);
        if (!shared) {
            urn = gurn_urn_at(job, b, &rows, scratch, &room);
            gurn_tile_lambda(urn->view, &job->in, job->dtype, b, rows, scratch->lambda);
        }
        if (backward)
            merged_backward(urn, fast && urn == job, b, rows, scratch, partial);
        else
            merged_forward(urn, fast && urn == job, b, rows, scratch);
    }
}

/* The urn that all rows share, with its lambda; NULL where each has its own. */
static const gurn_mvhg_job *merged_shared(const gurn_mvhg_job *job, const gurn_scratch *scratch, gurn_urn *room) {
    if (job->in.log_omega_stride != 0) return NULL;
    const gurn_mvhg_job *urn = gurn_urn_of(job, 0, scratch, room);
    gurn_tile_lambda(urn->view, &job->in, job->dtype, 0, 1, scratch->lambda);
    return urn;
}

static void mvhg_forward(const gurn_mvhg_job *job) {
    if (job->chain == GURN_CHAIN_EXACT) {
        if (gurn_is_fast(job, false))
            GURN_NAME(mvhg_suffix_forward)(job);
        else
            GURN_NAME(mvhg_exact_forward)(job);
        return;
    }
    int64_t tiles = gurn_tile_count(job->in.rows);
    size_t scratch_bytes = GURN_NAME(mvhg_scratch)(job, false, NULL, NULL);
#pragma omp parallel num_threads(job->threads)
    {
        gurn_scratch scratch;
        gurn_urn room;
        GURN_NAME(mvhg_scratch)(job, false, (char *)job->workspace + gurn_thread_index() * scratch_bytes, &scratch);
        const gurn_mvhg_job *shared = merged_shared(job, &scratch, &room);
#pragma omp for schedule(static)
        for (int64_t tile = 0; tile < tiles; tile++) merged_tile(job, shared, false, tile, &scratch, NULL);
    }
}

static void mvhg_backward(const gurn_mvhg_job *job) {
    if (job->chain == GURN_CHAIN_EXACT) {
        if (gurn_is_fast(job, true))
            GURN_NAME(mvhg_suffix_backward)(job);
        else
            GURN_NAME(mvhg_exact_backward)(job);
        return;
    }
    int64_t tiles = gurn_tile_count(job->in.rows);
    int32_t classes = job->view->classes;
    size_t scratch_bytes = GURN_NAME(mvhg_scratch)(job, true, NULL, NULL);
    double *partial = NULL; /* [tiles][C] */
    if (job->in.log_omega_stride == 0)
        partial = (double *)((char *)job->workspace + (size_t)job->threads * scratch_bytes);
#pragma omp parallel num_threads(job->threads)
    {
        gurn_scratch scratch;
        gurn_urn room;
        GURN_NAME(mvhg_scratch)(job, true, (char *)job->workspace + gurn_thread_index() * scratch_bytes, &scratch);
        const gurn_mvhg_job *shared = merged_shared(job, &scratch, &room);
#pragma omp for schedule(static)
        for (int64_t tile = 0; tile < tiles; tile++)
            merged_tile(job, shared, true, tile, &scratch, partial ? partial + tile * classes : NULL);
    }
    for (int32_t c = 0; partial && job->grad.log_omega && c < classes; c++) {
        double sum = 0.0;
        for (int64_t tile = 0; tile < tiles; tile++) sum += partial[tile * classes + c];
        gurn_set_real(job->grad.log_omega, job->dtype, c, sum);
    }
}

const gurn_cpu_kernels GURN_PASTE(cpu, GURN_LEVEL) = {
    .isa = GURN_LEVEL_ISA,
    .name = GURN_LEVEL_NAME,
    .mvhg_bytes = mvhg_bytes,
    .mvhg_forward = mvhg_forward,
    .mvhg_backward = mvhg_backward,
    .law_bytes = GURN_NAME(law_bytes),
    .law_run = GURN_NAME(law_run),
    .plain_bytes = GURN_NAME(plain_bytes),
    .plain_draw = GURN_NAME(plain_draw),
    .hypergeometric_draw = GURN_NAME(hypergeometric_draw),
};
