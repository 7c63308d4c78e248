/*
 * The general path of the MVHG chain on the CPU: one row at a time in double arithmetic. It serves float64 plans, soft
 * mode, noise given or off, and gradients at temperatures beyond GURN_FAST_TAU.
 *
 * A step fills two arrays over its support: cost(k) in bits above the least, and race(k) = log2 v(k) = cost(k) + log2
 * E(k), or cost(k) - g(k) log2 e where the noise is given. x = argmin race, ties to the smaller count; y = softmax(-ln
 * 2 race / tau).
 */
#include "mvhg_cpu.h"

typedef struct gurn_general_step {
    const gurn_step *step;
    int32_t place, cls;
    double left; /* n_i; whole unless soft */
    double lambda;
    gurn_support at; /* what is visited: the support, or the window of it that matters */
    bool soft;
} gurn_general_step;

/* First count of the window and last: as tile_setup in mvhg_cpu.c, for one row and by the wide tables. */
static gurn_support general_window(const gurn_general_step *g, gurn_support s, const double *rest, float bits) {
    double n = g->left, m = g->step->m, m_rest = g->step->m_rest;
    const double *own = g->step->own.wide;
    double root = s_mode_root(m, m_rest, n, g->lambda);
    int32_t k = root < s.low ? s.low : root > s.high ? s.high : (int32_t)root;
    double up = 0.0, down = 0.0;
    while (k < s.high &&
           (up = gurn_cost_wide(own, rest, g->lambda, k + 1) - gurn_cost_wide(own, rest, g->lambda, k)) < 0.0)
        k++;
    while (k > s.low &&
           (down = gurn_cost_wide(own, rest, g->lambda, k - 1) - gurn_cost_wide(own, rest, g->lambda, k)) < 0.0) {
        up = -down;
        k--;
    }
    float m_k = (float)(m - k), n_k = (float)(n - k), rest_k = (float)(m_rest - n + k), at = (float)k;
    float right = s_window_reach((float)up, m_k, n_k, at, rest_k, (float)(s.high - k), bits);
    float wrong = s_window_reach((float)down, at, rest_k, m_k, n_k, (float)(k - s.low), bits);
    gurn_support window = {k - (int32_t)wrong, k + (int32_t)right};
    return window;
}

/* Fills cost and race from g->at.low on. bits: how much of the tails the caller needs, in bits. */
static void general_fill(const gurn_mvhg_job *job, int64_t b, gurn_general_step *g, float bits,
                         const gurn_scratch *scratch) {
    const gurn_step *step = g->step;
    const gurn_noise *given = &job->in.noise;
    const double *rest = NULL;
    if (g->soft) {
        g->at = gurn_support_soft(step->m, step->m_rest, g->left);
    } else {
        rest = step->rest.wide + (step->m_rest - (int32_t)g->left);
        g->at = gurn_support_hard(step->m, step->m_rest, (int32_t)g->left);
        if (given->kind != GURN_NOISE_GIVEN) g->at = general_window(g, g->at, rest, bits);
    }
    int32_t low = g->at.low, high = g->at.high;
    double least = INFINITY;
    for (int32_t k = low; k <= high; k++) {
        double cost = g->soft ? gurn_cost_soft(step->own.wide, step->m_rest, g->lambda, k, g->left)
                              : gurn_cost_wide(step->own.wide, rest, g->lambda, k);
        scratch->cost[k - low] = cost;
        if (cost < least) least = cost;
    }
    uint64_t row = scratch->row + (uint64_t)b;
    uint32_t word[4] = {0}, counter[4] = {0, gurn_stream_tag(GURN_STREAM_MVHG, (uint32_t)g->cls), (uint32_t)row,
                                          (uint32_t)(row >> 32)};
    int64_t gumbel = b * job->view->offset[job->view->classes] + job->view->offset[g->cls];
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
            cost = fma(-gurn_real(given->gumbel, job->dtype, gumbel + k), GURN_LOG2E, cost);
        }
        scratch->race[k - low] = cost;
    }
}

static int32_t general_argmin(const gurn_general_step *g, const gurn_scratch *scratch) {
    int32_t best = 0, count = g->at.high - g->at.low + 1;
    for (int32_t j = 1; j < count; j++)
        if (scratch->race[j] < scratch->race[best]) best = j;
    return best;
}

/* Weight of a count in y, 1 for the least race. */
static double general_weight(double race, double least, double inv_tau) { return s_exp2_64((least - race) * inv_tau); }

static gurn_general_step general_step(const gurn_mvhg_job *job, int32_t place, double left, const double *lambda) {
    const gurn_step *step = &job->view->steps[place];
    bool soft = job->in.relaxation == GURN_SOFT;
    if (soft) left = gurn_soft_left(step->m, step->m_rest, left);
    gurn_general_step g = {step, place, job->in.order[place], left, lambda[(int64_t)place * GURN_TILE], {0, 0}, soft};
    return g;
}

/* y and mask of a class: zero outside low..high, weight[k - low] * scale inside. weight NULL: the hat of x. */
static void general_write(const gurn_mvhg_job *job, int64_t b, const gurn_general_step *g, double x,
                          const double *weight, double scale) {
    int64_t begin = b * job->view->offset[job->view->classes] + job->view->offset[g->cls];
    double mask = 0.0;
    for (int64_t k = g->step->m; k >= 0; k--) {
        double y = weight ? (k >= g->at.low && k <= g->at.high ? weight[k - g->at.low] * scale : 0.0) : gurn_hat(x, k);
        mask += y;
        if (job->out.y) gurn_set_real(job->out.y, job->dtype, begin + k, y);
        if (job->out.mask) gurn_set_real(job->out.mask, job->dtype, begin + k, mask);
    }
}

void GURN_NAME(mvhg_general_forward)(const gurn_mvhg_job *job, int64_t b, const double *lambda,
                                     const gurn_scratch *scratch) {
    int32_t classes = job->view->classes;
    double left = gurn_row_n(&job->in, b), log_p = 0.0, inv_tau = 1.0 / job->in.tau;
    bool wants_one_hots = job->out.y || job->out.mask;
    for (int32_t i = 0; i < classes; i++) {
        gurn_general_step g = general_step(job, i, left, lambda);
        double x;
        if (g.step->m_rest == 0) {
            x = left;
            if (wants_one_hots) general_write(job, b, &g, x, NULL, 0.0);
        } else {
            general_fill(job, b, &g, g.soft ? 0.0f : GURN_RACE_BITS, scratch);
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

/* Gradients of one step at upstream dx to its count and dlog_p to log_p. */
static gurn_step_gradient general_pull(const gurn_mvhg_job *job, int64_t b, gurn_general_step *g, double x, double dx,
                                       double dlog_p, const gurn_scratch *scratch) {
    bool with_extra = job->upstream.y || job->upstream.mask;
    double inv_tau = 1.0 / job->in.tau;
    general_fill(job, b, g, GURN_RELAXED_BITS(job->in.tau), scratch);
    if (with_extra) general_extra(job, b, g, scratch->extra64);
    int32_t best = general_argmin(g, scratch), count = g->at.high - g->at.low + 1, low = g->at.low;
    /* Everything is centred at one count: x, or in soft mode that of greatest weight. */
    int32_t centre = g->soft ? low + best : (int32_t)x;
    const char *psi = NULL;
    double psi_centre;
    int64_t shift = 0;
    if (g->soft) {
        psi_centre = gurn_cost_soft_psi(g->step->m_rest, centre, g->left);
    } else {
        shift = g->step->m_rest - (int64_t)g->left;
        psi = g->step->rest.psi;
        psi_centre = gurn_real(psi, job->dtype, shift + centre);
    }
    gurn_step_sums s = {0};
    for (int32_t j = 0; j < count; j++) {
        int32_t k = low + j;
        double a = scratch->race[j] - scratch->race[best];
        double w = s_exp2_64(-a * inv_tau), p = s_exp2_64(-scratch->cost[j]), d = k - centre;
        double psi_k =
            g->soft ? gurn_cost_soft_psi(g->step->m_rest, k, g->left) : gurn_real(psi, job->dtype, shift + k);
        double u = fma(dx, d, -GURN_LN2 * dlog_p * scratch->cost[j]);
        if (with_extra) u += scratch->extra64[j];
        psi_k -= psi_centre;
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
    }
    return gurn_step_finish(s, inv_tau, dlog_p, g->soft);
}

void GURN_NAME(mvhg_general_backward)(const gurn_mvhg_job *job, int64_t b, const double *lambda,
                                      const gurn_scratch *scratch, double *log_omega, double *tau) {
    const gurn_plan_view *view = job->view;
    int32_t classes = view->classes;
    double left = gurn_row_n(&job->in, b), tail = 0.0, dlog_p = 0.0;
    /* n_i of every step, in the same order of subtraction as forward; kept where the step's gradient will stand */
    for (int32_t i = 0; i < classes; i++) {
        log_omega[(int64_t)i * GURN_TILE] = left;
        left -= gurn_real(job->x, job->dtype, b * classes + job->in.order[i]);
    }
    if (job->upstream.log_p) dlog_p = gurn_real(job->upstream.log_p, job->dtype, b);
    for (int32_t i = classes - 1; i >= 0; i--) {
        gurn_general_step g = general_step(job, i, log_omega[(int64_t)i * GURN_TILE], lambda);
        double x = gurn_real(job->x, job->dtype, b * classes + g.cls), dx = tail;
        if (job->upstream.x) dx += gurn_real(job->upstream.x, job->dtype, b * classes + g.cls);
        log_omega[(int64_t)i * GURN_TILE] = 0.0;
        if (g.step->m_rest == 0) { /* x is what the others leave: what reaches it is taken from each of them */
            if (g.step->m > 0)
                tail = -(dx + gurn_taker_pull(job->upstream.y, job->upstream.mask, job->dtype,
                                              b * view->offset[classes] + view->offset[g.cls], g.step->m, x));
            continue;
        }
        gurn_step_gradient grad = general_pull(job, b, &g, x, dx, dlog_p, scratch);
        log_omega[(int64_t)i * GURN_TILE] = grad.log_omega;
        tail -= grad.n;
        *tau += grad.tau;
    }
}
