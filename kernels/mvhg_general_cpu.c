/*
 * The general path of the MVHG chain on the CPU: one row at a time in double arithmetic. It serves float64 plans, soft
 * mode, noise given or off, gradients at temperatures beyond GURN_FAST_TAU and below GURN_FAST_TAU_LEAST, and rows of the merged
 * chain whose rest has no tables (omega.h): their costs are made of log-gammas, which are right to 2^-52 of log2 m_rest!, 4e-7
 * bit at GURN_MAX_BALLS.
 *
 * A step fills two arrays over its support: cost(k) in bits above the least, and race(k) = log2 v(k) = cost(k) + log2
 * E(k), or cost(k) + (g_max - g(k)) log2 e where the noise is given: the difference first, so that noise as large as
 * there is leaves the costs their say, and infinite at a count that noise of -infinity forbids. x = argmin race, ties to
 * the smaller count; y = softmax(-ln 2 race / tau). A row in which a step has no count left is NaN in everything.
 *
 * The exact chain has its tables (suffix_wide.h): one set where omega and n are shared, else one for every row, made
 * when its turn comes. Gradients gather in the adjoint of the tables and are swept through them once a row, or, where
 * omega is shared, once for as many rows of a run as had the same tables. Runs are fixed: what is summed over rows does
 * not depend on the threads.
 */
#ifdef _OPENMP
#include <omp.h>
#endif

#include "mvhg_cpu.h"

typedef struct gurn_general_step {
    const gurn_step *step;
    int32_t place, cls;
    double left; /* n_i; whole unless soft */
    double lambda;
    const double *suffix; /* exact chain: L of the later classes, else NULL */
    gurn_support at;      /* what is visited: the support, or the window of it that matters */
    bool soft;
} gurn_general_step;

/* cost(k); rest: of the merged chain's whole left (gurn_cost_wide), NULL where there is no table of it. */
static double general_cost(const gurn_general_step *g, const double *rest, int32_t k) {
    const double *own = g->step->own.wide;
    if (g->suffix)
        return g->soft ? gurn_cost_exact_soft(own, g->suffix, g->step->m_rest, g->lambda, k, g->left)
                       : gurn_cost_exact(own, g->suffix, g->lambda, k, (int32_t)g->left);
    return rest ? gurn_cost_wide(own, rest, g->lambda, k) : gurn_cost_soft(own, g->step->m_rest, g->lambda, k, g->left);
}

/* Where the search for the mode begins. The exact chain has no formula for it: bisection, for costs are convex in k. */
static int32_t general_guess(const gurn_general_step *g, gurn_support s) {
    if (!g->suffix) {
        double root = s_mode_root(g->step->m, g->step->m_rest, g->left, g->lambda);
        return s_index_between(root, s.low, s.high);
    }
    while (s.low < s.high) {
        int32_t k = s.low + (s.high - s.low) / 2;
        if (general_cost(g, NULL, k + 1) < general_cost(g, NULL, k))
            s.low = k + 1;
        else
            s.high = k;
    }
    return s.low;
}

/* First count of the window and last: as tile_setup in mvhg_cpu.c, for one row and by the wide tables. */
static gurn_support general_window(const gurn_general_step *g, gurn_support s, const double *rest, float bits) {
    double n = g->left, m = g->step->m, m_rest = g->step->m_rest;
    int32_t k = general_guess(g, s);
    double up = 0.0, down = 0.0;
    while (k < s.high && (up = general_cost(g, rest, k + 1) - general_cost(g, rest, k)) < 0.0) k++;
    while (k > s.low && (down = general_cost(g, rest, k - 1) - general_cost(g, rest, k)) < 0.0) {
        up = -down;
        k--;
    }
    float m_k = (float)(m - k), n_k = (float)(n - k), rest_k = (float)(m_rest - n + k), at = (float)k;
    float right = s_window_reach((float)up, m_k, n_k, at, rest_k, (float)(s.high - k), bits);
    float wrong = s_window_reach((float)down, at, rest_k, m_k, n_k, (float)(k - s.low), bits);
    return gurn_window_of(s, k, wrong, right);
}

/*
 * Fills cost and race from g->at.low on. bits: how much of the tails the caller needs, in bits. Returns false where all
 * counts are forbidden.
 */
static bool general_fill(const gurn_mvhg_job *job, int64_t b, gurn_general_step *g, float bits,
                         const gurn_scratch *scratch) {
    const gurn_step *step = g->step;
    const gurn_noise *given = &job->in.noise;
    const double *rest = NULL;
    if (g->soft) {
        g->at = gurn_support_soft(step->m, step->m_rest, g->left);
    } else {
        if (!g->suffix && step->rest.wide) rest = step->rest.wide + (step->m_rest - (int32_t)g->left);
        g->at = gurn_support_hard(step->m, step->m_rest, (int32_t)g->left);
        if (given->kind != GURN_NOISE_GIVEN) g->at = general_window(g, g->at, rest, bits);
    }
    int32_t low = g->at.low, high = g->at.high;
    double least = INFINITY;
    for (int32_t k = low; k <= high; k++) {
        double cost = general_cost(g, rest, k);
        scratch->cost[k - low] = cost;
        if (cost < least) least = cost;
    }
    uint64_t row = scratch->row + (uint64_t)b;
    uint32_t word[4] = {0}, counter[4] = {0, gurn_stream_tag(GURN_STREAM_MVHG, (uint32_t)g->cls), (uint32_t)row,
                                          (uint32_t)(row >> 32)};
    int64_t gumbel = b * job->view->offset[job->view->classes] + job->view->offset[g->cls];
    double most = given->kind == GURN_NOISE_GIVEN ? -INFINITY : 0.0;
    for (int32_t k = low; given->kind == GURN_NOISE_GIVEN && k <= high; k++) {
        double noise = gurn_real(given->gumbel, job->dtype, gumbel + k);
        if (noise > most) most = noise;
    }
    if (most == -INFINITY) return false;
    for (int32_t k = low; k <= high; k++) {
        double cost = scratch->cost[k - low] - least;
        scratch->cost[k - low] = cost;
        if (given->kind == GURN_NOISE_PHILOX) {
            if (k == low || (k & 3) == 0) {
                counter[0] = (uint32_t)k >> 2;
                gurn_philox4x32_10(counter, scratch->key->key, word);
            }
            cost += s_log2_64(s_exponential64(word[k & 3]));
        } else if (given->kind == GURN_NOISE_GIVEN) {
            cost = fma(most - gurn_real(given->gumbel, job->dtype, gumbel + k), GURN_LOG2E, cost);
        }
        scratch->race[k - low] = cost;
    }
    return true;
}

static int32_t general_argmin(const gurn_general_step *g, const gurn_scratch *scratch) {
    int32_t best = 0, count = g->at.high - g->at.low + 1;
    for (int32_t j = 1; j < count; j++)
        if (scratch->race[j] < scratch->race[best]) best = j;
    return best;
}

/* Weight of a count in y, 1 for the least race. */
static double general_weight(double race, double least, double inv_tau) { return s_exp2_64((least - race) * inv_tau); }

/*
 * left: as forward left it, or as it follows from x, which may be rounded, or the caller's mistake: held to what can
 * be.
 */
static gurn_general_step general_step(const gurn_mvhg_job *job, int32_t place, double left,
                                      const gurn_general_law *law) {
    const gurn_step *step = &job->view->steps[place];
    bool soft = job->in.relaxation == GURN_SOFT;
    gurn_general_step g = {step,   place, job->in.order[place], left, law->lambda[place * law->lambda_stride], NULL,
                           {0, 0}, soft};
    if (step->m_rest == 0) return g;
    if (law->suffix) {
        g.suffix = gurn_wide_after(law->suffix, place);
        if (left > law->suffix->n) g.left = law->suffix->n;
    }
    if (soft) {
        g.left = gurn_soft_left(step->m, step->m_rest, g.left);
    } else {
        double most = (double)step->m + step->m_rest;
        g.left = g.left < 0.0 ? 0.0 : g.left > most ? most : floor(g.left);
    }
    return g;
}

/* y and mask of a class: zero outside low..high, weight[k - low] * scale inside. weight NULL: the hat of x. */
static void general_write(const gurn_mvhg_job *job, int64_t b, const gurn_general_step *g, double x,
                          const double *weight, double scale) {
    const int64_t *offset = job->view->offset;
    int64_t begin = b * offset[job->view->classes] + offset[g->cls];
    double mask = 0.0;
    for (int64_t k = offset[g->cls + 1] - offset[g->cls] - 1; k >= 0; k--) { /* the plan's m */
        double y = weight ? (k >= g->at.low && k <= g->at.high ? weight[k - g->at.low] * scale : 0.0) : gurn_hat(x, k);
        mask += y;
        if (job->out.y) gurn_set_real(job->out.y, job->dtype, begin + k, y);
        if (job->out.mask) gurn_set_real(job->out.mask, job->dtype, begin + k, mask);
    }
}

/* NaN in every output of a row. */
static void general_poison(const gurn_mvhg_job *job, int64_t b) {
    int64_t classes = job->view->classes, width = job->view->offset[classes];
    for (int64_t c = 0; job->out.x && c < classes; c++) gurn_set_real(job->out.x, job->dtype, b * classes + c, NAN);
    for (int64_t k = 0; job->out.y && k < width; k++) gurn_set_real(job->out.y, job->dtype, b * width + k, NAN);
    for (int64_t k = 0; job->out.mask && k < width; k++) gurn_set_real(job->out.mask, job->dtype, b * width + k, NAN);
    if (job->out.log_p) gurn_set_real(job->out.log_p, job->dtype, b, NAN);
}

void GURN_NAME(mvhg_general_forward)(const gurn_mvhg_job *job, int64_t b, const gurn_general_law *law,
                                     const gurn_scratch *scratch) {
    int32_t classes = job->view->classes;
    double left = gurn_row_n(&job->in, b), log_p = 0.0, inv_tau = 1.0 / job->in.tau;
    bool wants_one_hots = job->out.y || job->out.mask;
    for (int32_t i = 0; i < classes; i++) {
        gurn_general_step g = general_step(job, i, left, law);
        double x;
        if (g.step->m_rest == 0) {
            x = left;
            if (wants_one_hots) general_write(job, b, &g, x, NULL, 0.0);
        } else {
            if (!general_fill(job, b, &g, g.soft ? 0.0f : GURN_RACE_BITS, scratch)) {
                general_poison(job, b);
                return;
            }
            int32_t best = general_argmin(&g, scratch), count = g.at.high - g.at.low + 1;
            double least = scratch->race[best], w = 0.0, wd = 0.0, wcost = 0.0, p = 0.0;
            for (int32_t j = 0; j < count; j++) p += s_exp2_64(-scratch->cost[j]);
            x = g.at.low + best;
            wcost = scratch->cost[best];
            if (g.soft) {
                wcost = 0.0;
                for (int32_t j = 0; j < count; j++) {
                    double weight = general_weight(scratch->race[j], least, inv_tau);
                    w += weight;
                    wd += weight * (j - best);
                    wcost += weight * scratch->cost[j];
                    scratch->race[j] = weight;
                }
                x += wd / w;
                wcost /= w;
            }
            log_p -= wcost + s_log2_64(p);
            if (wants_one_hots) {
                if (g.soft)
                    general_write(job, b, &g, x, scratch->race, 1.0 / w);
                else
                    general_write(job, b, &g, x, NULL, 0.0);
            }
        }
        if (job->out.x) gurn_set_real(job->out.x, job->dtype, b * classes + g.cls, x);
        left -= x;
    }
    if (job->out.log_p) gurn_set_real(job->out.log_p, job->dtype, b, log_p * GURN_LN2);
}

/* dy_k + sum_{j<=k} dmask_j from g->at.low on, up to a constant. */
static void general_extra(const gurn_mvhg_job *job, int64_t b, const gurn_general_step *g, double *extra) {
    int64_t begin = b * job->view->offset[job->view->classes] + job->view->offset[g->cls];
    double sum = 0.0;
    for (int32_t k = g->at.low; k <= g->at.high; k++) {
        if (job->upstream.mask) sum += gurn_real(job->upstream.mask, job->dtype, begin + k);
        extra[k - g->at.low] = sum + (job->upstream.y ? gurn_real(job->upstream.y, job->dtype, begin + k) : 0.0);
    }
}

/* psi[k - low] = d(logit_k)/dn - d(logit_centre)/dn over what is visited. */
static void general_psi(const gurn_mvhg_job *job, const gurn_general_step *g, int32_t centre, double *psi) {
    int32_t low = g->at.low, high = g->at.high, m_rest = g->step->m_rest;
    psi -= low;
    if (!g->soft && !g->suffix && g->step->rest.psi) {
        int64_t shift = m_rest - (int64_t)g->left;
        for (int32_t k = low; k <= high; k++)
            psi[k] = gurn_real(g->step->rest.psi, job->dtype, shift + k) -
                     gurn_real(g->step->rest.psi, job->dtype, shift + centre);
        return;
    }
    psi[centre] = 0.0; /* and away from it on both sides: digamma's own recurrence */
    for (int32_t k = centre; k < high; k++) psi[k + 1] = psi[k] + gurn_cost_soft_psi_step(m_rest, g->left - k);
    for (int32_t k = centre; k > low; k--) psi[k - 1] = psi[k] - gurn_cost_soft_psi_step(m_rest, g->left - (k - 1));
    if (!g->suffix) return;
    double slope = gurn_rest_slope(g->suffix, m_rest, g->left - centre);
    for (int32_t k = low; k <= high; k++) psi[k] += gurn_rest_slope(g->suffix, m_rest, g->left - k) - slope;
}

/* Adds dlogit, the gradient to the logit of count k, to what stands for R at r = left - k. */
static void general_to_suffix(const gurn_general_step *g, int32_t k, double dlogit, const gurn_general_law *law) {
    gurn_wide_adjoint *to = law->adjoint;
    double *table = to->table + g->place * law->suffix->stride;
    gurn_piece at = gurn_piece_of(g->step->m_rest, g->left - k);
    if (dlogit == 0.0) return;
    table[at.left] += (1.0 - at.weight) * dlogit;
    table[at.left + 1] += at.weight * dlogit;
    if (at.left < to->first[g->place]) to->first[g->place] = at.left;
    if (at.left + 1 > to->last[g->place]) to->last[g->place] = at.left + 1;
}

/*
 * Gradients of one step at upstream dx to its count and dlog_p to log_p. Returns false where all counts are forbidden, so
 * that x is not one that forward returned; in soft mode its rounding may have put the only count allowed outside: then
 * there is no choice and no gradient.
 */
static bool general_pull(const gurn_mvhg_job *job, int64_t b, gurn_general_step *g, double x, double dx, double dlog_p,
                         const gurn_general_law *law, const gurn_scratch *scratch, gurn_step_gradient *gradient) {
    bool with_extra = job->upstream.y || job->upstream.mask;
    double inv_tau = 1.0 / job->in.tau;
    *gradient = (gurn_step_gradient){0.0, 0.0, 0.0};
    if (!general_fill(job, b, g, GURN_RELAXED_BITS(gurn_window_tau(job->in.tau)), scratch)) return g->soft;
    if (with_extra) general_extra(job, b, g, scratch->extra64);
    int32_t best = general_argmin(g, scratch), count = g->at.high - g->at.low + 1, low = g->at.low;
    /* Everything is centred at one count: x, or in soft mode that of greatest weight. */
    int32_t centre = g->soft ? low + best : (int32_t)x;
    centre = centre < low ? low : centre > g->at.high ? g->at.high : centre;
    general_psi(job, g, centre, scratch->psi64);
    double least = scratch->race[best];
    gurn_step_sums s = {0};
    for (int32_t j = 0; j < count; j++) {
        int32_t k = low + j;
        double a = (scratch->race[j] - least) * inv_tau;
        double w = s_exp2_64(-a), p = s_exp2_64(-scratch->cost[j]), d = k - centre;
        if (w == 0.0) a = 0.0; /* infinite where the noise is -infinity */
        double psi_k = scratch->psi64[j], u = fma(dx, d, -GURN_LN2 * dlog_p * scratch->cost[j]);
        if (with_extra) u += scratch->extra64[j];
        s.w += w;
        s.wu += w * u;
        s.wd += w * d;
        s.wdu += w * d * u;
        s.wpsi += w * psi_k;
        s.wpsiu += w * psi_k * u;
        s.wa += w * a;
        s.wau += w * a * u;
        s.p += p;
        s.pd += p * d;
        s.ppsi += p * psi_k;
        scratch->race[j] = w;
        scratch->cost[j] = p;
        scratch->extra64[j] = u;
    }
    /* DESIGN 1.3. u counts from that of greatest weight, whose own dlogit, 0 but for the others', 1 / tau would else spoil. */
    double u_best = scratch->extra64[best], mean = 0.0;
    for (int32_t j = 0; law->adjoint && j < count; j++) mean += scratch->race[j] / s.w * (scratch->extra64[j] - u_best);
    for (int32_t j = 0; law->adjoint && j < count; j++) {
        double y = scratch->race[j] / s.w, taken = g->soft ? y : low + j == centre;
        double dlogit = y * (scratch->extra64[j] - u_best - mean) * inv_tau + dlog_p * (taken - scratch->cost[j] / s.p);
        general_to_suffix(g, low + j, dlogit, law);
    }
    *gradient = gurn_step_finish(s, inv_tau, dlog_p, g->soft);
    return true;
}

/* The gradients of a row in which nothing was left to choose. */
static void general_no_gradient(const gurn_mvhg_job *job, double *log_omega, double *tau) {
    for (int32_t i = 0; i < job->view->classes; i++) log_omega[(int64_t)i * GURN_TILE] = NAN;
    *tau = NAN;
}

void GURN_NAME(mvhg_general_backward)(const gurn_mvhg_job *job, int64_t b, const gurn_general_law *law,
                                      const gurn_scratch *scratch, double *log_omega, double *tau) {
    const gurn_plan_view *view = job->view;
    int32_t classes = view->classes;
    double left = gurn_row_n(&job->in, b), tail = 0.0, dlog_p = 0.0;
    if (isnan(gurn_real(job->x, job->dtype, b * classes))) {
        general_no_gradient(job, log_omega, tau);
        return;
    }
    /* n_i of every step, in the same order of subtraction as forward; kept where the step's gradient will stand */
    for (int32_t i = 0; i < classes; i++) {
        log_omega[(int64_t)i * GURN_TILE] = left;
        left -= gurn_real(job->x, job->dtype, b * classes + job->in.order[i]);
    }
    if (job->upstream.log_p) dlog_p = gurn_real(job->upstream.log_p, job->dtype, b);
    for (int32_t i = classes - 1; i >= 0; i--) {
        gurn_general_step g = general_step(job, i, log_omega[(int64_t)i * GURN_TILE], law);
        double x = gurn_real(job->x, job->dtype, b * classes + g.cls), dx = tail;
        if (job->upstream.x) dx += gurn_real(job->upstream.x, job->dtype, b * classes + g.cls);
        log_omega[(int64_t)i * GURN_TILE] = 0.0;
        if (g.step->m_rest == 0) { /* x is what the others leave: what reaches it is taken from each of them */
            if (g.step->m > 0)
                tail = -(dx + gurn_taker_pull(job->upstream.y, job->upstream.mask, job->dtype,
                                              b * view->offset[classes] + view->offset[g.cls], g.step->m, x));
            continue;
        }
        gurn_step_gradient grad;
        if (!general_pull(job, b, &g, x, dx, dlog_p, law, scratch, &grad)) {
            general_no_gradient(job, log_omega, tau);
            return;
        }
        log_omega[(int64_t)i * GURN_TILE] = grad.log_omega;
        tail -= grad.n;
        *tau += grad.tau;
    }
}

/* ------------------------------------------------------------------------------------- the exact chain's calls --- */

/* Runs of rows, of one row each where omega is a row's own (backward). */
static int64_t run_count(const gurn_mvhg_job *job) { return gurn_mvhg_parts(job, true); }

/* One set of tables for the call. */
static bool tables_shared(const gurn_mvhg_job *job) { return job->in.log_omega_stride == 0 && !job->in.n_rows; }

/* What a thread has of the workspace. */
typedef struct exact_thread {
    gurn_scratch scratch;
    gurn_wide_work work;
    gurn_wide_suffix tables;
    gurn_wide_adjoint adjoint;
    double *gradient; /* [C], by class */
} exact_thread;

static size_t exact_cut(const gurn_mvhg_job *job, bool backward, char *p, exact_thread *thread) {
    size_t at = GURN_NAME(mvhg_scratch)(job, backward, p, p ? &thread->scratch : NULL);
    at += GURN_NAME(wide_work)(job, backward, p ? p + at : NULL, p ? &thread->work : NULL);
    if (!tables_shared(job)) at += GURN_NAME(wide_tables)(job, p ? p + at : NULL, p ? &thread->tables : NULL);
    if (!backward) return at;
    at += GURN_NAME(wide_adjoint)(job, p ? p + at : NULL, p ? &thread->adjoint : NULL);
    if (p) thread->gradient = (double *)(p + at);
    return at + (((size_t)job->view->classes * sizeof(double) + 63) & ~(size_t)63);
}

/*
 * Workspace: the shared tables, then (backward, shared omega) each run's share of the gradient [runs][C], then the
 * threads'.
 */
static size_t exact_common(const gurn_mvhg_job *job, bool backward, char *p, gurn_wide_suffix *tables,
                           double **partial) {
    size_t at = tables_shared(job) ? GURN_NAME(wide_tables)(job, p, tables) : 0;
    if (!backward || job->in.log_omega_stride != 0) return at;
    if (p) *partial = (double *)(p + at);
    return at + (((size_t)run_count(job) * (size_t)job->view->classes * sizeof(double) + 63) & ~(size_t)63);
}

size_t GURN_NAME(mvhg_exact_bytes)(const gurn_mvhg_job *job, bool backward) {
    return exact_common(job, backward, NULL, NULL, NULL) + (size_t)job->threads * exact_cut(job, backward, NULL, NULL);
}

static exact_thread exact_begin(const gurn_mvhg_job *job, bool backward, char *threads) {
    exact_thread thread = {0};
    size_t index = 0;
#ifdef _OPENMP
    index = (size_t)omp_get_thread_num();
#endif
    exact_cut(job, backward, threads + index * exact_cut(job, backward, NULL, NULL), &thread);
    return thread;
}

/* Whether the thread's tables are those of row b too. */
static bool tables_serve(const gurn_mvhg_job *job, const gurn_wide_suffix *t, int64_t b) {
    return t->ready && job->in.log_omega_stride == 0 && t->n == gurn_row_n(&job->in, b);
}

void GURN_NAME(mvhg_exact_forward)(const gurn_mvhg_job *job) {
    gurn_wide_suffix shared = {0};
    char *threads = (char *)job->workspace + exact_common(job, false, job->workspace, &shared, NULL);
#pragma omp parallel num_threads(job->threads)
    {
        exact_thread thread = exact_begin(job, false, threads);
        gurn_wide_suffix *tables = tables_shared(job) ? &shared : &thread.tables;
        gurn_urn room;
        const gurn_mvhg_job *urn = gurn_urn_of(job, 0, &thread.scratch, &room);
        if (tables_shared(job)) {
#pragma omp single
            GURN_NAME(wide_build)(urn, 0, job->in.n, &shared, &thread.work);
        }
#pragma omp for schedule(static)
        for (int64_t b = 0; b < job->in.rows; b++) {
            if (job->in.log_omega_stride != 0) urn = gurn_urn_of(job, b, &thread.scratch, &room);
            if (!tables_serve(job, tables, b))
                GURN_NAME(wide_build)(urn, b, gurn_row_n(&job->in, b), tables, &thread.work);
            gurn_general_law law = {tables->lambda, 1, tables, NULL};
            GURN_NAME(mvhg_general_forward)(urn, b, &law, &thread.scratch);
        }
    }
}

/* Rows first..last - 1, of one urn, which `job` has, whose gradients to log omega are summed in thread->gradient. */
static void exact_run_backward(const gurn_mvhg_job *job, int64_t first, int64_t last, gurn_wide_suffix *tables,
                               exact_thread *thread) {
    gurn_wide_adjoint *adjoint = job->grad.log_omega ? &thread->adjoint : NULL;
    for (int32_t c = 0; c < job->view->classes; c++) thread->gradient[c] = 0.0;
    for (int64_t b = first; b < last; b++) {
        double tau = 0.0, *log_omega = thread->scratch.log_omega;
        if (!tables_serve(job, tables, b)) {
            if (adjoint && b > first) GURN_NAME(wide_sweep)(job, tables, adjoint, &thread->work, thread->gradient);
            GURN_NAME(wide_build)(job, b, gurn_row_n(&job->in, b), tables, &thread->work);
        }
        gurn_general_law law = {tables->lambda, 1, tables, adjoint};
        GURN_NAME(mvhg_general_backward)(job, b, &law, &thread->scratch, log_omega, &tau);
        for (int32_t i = 0; i < job->view->classes; i++)
            thread->gradient[job->in.order[i]] += log_omega[(int64_t)i * GURN_TILE];
        if (job->grad.tau) gurn_set_real(job->grad.tau, job->dtype, b, tau);
    }
    if (adjoint) GURN_NAME(wide_sweep)(job, tables, adjoint, &thread->work, thread->gradient);
}

void GURN_NAME(mvhg_exact_backward)(const gurn_mvhg_job *job) {
    gurn_wide_suffix shared = {0};
    double *partial = NULL;
    char *threads = (char *)job->workspace + exact_common(job, true, job->workspace, &shared, &partial);
    int64_t runs = run_count(job), rows = job->in.rows, classes = job->view->classes;
#pragma omp parallel num_threads(job->threads)
    {
        exact_thread thread = exact_begin(job, true, threads);
        gurn_wide_suffix *tables = tables_shared(job) ? &shared : &thread.tables;
        gurn_urn room;
        const gurn_mvhg_job *urn = gurn_urn_of(job, 0, &thread.scratch, &room);
        if (tables_shared(job)) {
#pragma omp single
            GURN_NAME(wide_build)(urn, 0, job->in.n, &shared, &thread.work);
        }
#pragma omp for schedule(static)
        for (int64_t run = 0; run < runs; run++) {
            int64_t first = run * (rows / runs) + (run < rows % runs ? run : rows % runs);
            int64_t last = first + rows / runs + (run < rows % runs);
            if (job->in.log_omega_stride != 0) urn = gurn_urn_of(job, first, &thread.scratch, &room);
            exact_run_backward(urn, first, last, tables, &thread);
            for (int64_t c = 0; job->grad.log_omega && c < classes; c++) {
                if (partial)
                    partial[run * classes + c] = thread.gradient[c];
                else
                    gurn_set_real(job->grad.log_omega, job->dtype, run * classes + c, thread.gradient[c]);
            }
        }
    }
    for (int64_t c = 0; partial && job->grad.log_omega && c < classes; c++) {
        double sum = 0.0;
        for (int64_t run = 0; run < runs; run++) sum += partial[run * classes + c];
        gurn_set_real(job->grad.log_omega, job->dtype, c, sum);
    }
}
