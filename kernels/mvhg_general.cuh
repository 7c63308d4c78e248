/*
 * The general path of the MVHG chain on a GPU, in double arithmetic: float64 plans, soft mode, noise given or off, and
 * gradients at temperatures beyond GURN_FAST_TAU and below GURN_FAST_TAU_LEAST, and rows of the merged chain that have an urn of
 * their own (omega.h). A row of either chain; mvhg_general_cpu.c is its twin, and says how given noise counts, and what a
 * rest without tables costs. Kernels: mvhg_general.cu (merged chain), mvhg_exact.cu (exact).
 *
 * Work: a warp takes a row and walks its classes; its lanes stride the support (or its window), each with four
 * consecutive counts at a time, whose noise is one block of Philox. Nothing is stored per count: cost(k) and race(k)
 * are formed again in every pass over the support, of which there are two (least cost; race), one more where the
 * relaxed values are summed, and one more where they are written. Memory traffic: 8 bytes of lambda and the outputs a
 * step, tables from the cache.
 *
 * Order: least values do not depend on the order; sums go over each lane's counts, then over the lanes by a
 * butterfly. Soft y and mask are written as they are formed, four consecutive counts a lane, from the largest count
 * down.
 */
#ifndef GURN_MVHG_GENERAL_CUH
#define GURN_MVHG_GENERAL_CUH

#include "mvhg.cuh"
#include "suffix_wide.h"

/* What a row's steps are decided by. */
typedef struct gurn_general_law {
    const double *lambda; /* of place i at i * lambda_stride */
    int64_t lambda_stride;
    /* Exact chain: */
    const double *suffix; /* tables of suffix_wide.h, that of place i at i * suffix_stride */
    int64_t suffix_stride;
    double *adjoint;       /* backward: d / d log S, laid out alike; NULL when no gradient to log omega is wanted */
    int32_t *first, *last; /* [C]: what of each of its tables may not be 0 */
    double *logit;         /* backward: 3 [logits]: a step's weights and upstream, then its gradients */
    int64_t logits;
} gurn_general_law;

/* One step of one row. */
typedef struct gurn_general_step {
    gurn_step step;
    const double
        *rest; /* wide table, read at k (merged chain), NULL: none, or soft; the table of the later classes (exact) */
    double left, lambda;
    bool soft;
    double least; /* cost is counted from here */
    double most;  /* given noise too, its largest; -infinity: it forbids every count */
    int32_t low, high, cls;
    int32_t first; /* low rounded down to a multiple of 4 */
} gurn_general_step;

template <bool EXACT>
GURN_DEVICE double general_cost(const gurn_general_step &g, int32_t k) {
    const double *own = g.step.own.wide;
    if (EXACT)
        return g.soft ? gurn_cost_exact_soft(own, g.rest, g.step.m_rest, g.lambda, k, g.left)
                      : gurn_cost_exact(own, g.rest, g.lambda, k, (int32_t)g.left);
    return g.rest ? gurn_cost_wide(own, g.rest, g.lambda, k) : gurn_cost_soft(own, g.step.m_rest, g.lambda, k, g.left);
}

/*
 * Narrows low..high to the counts whose cost is at most `bits` above the mode's: as general_window in
 * mvhg_general_cpu.c.
 */
template <bool EXACT>
GURN_DEVICE void general_window(gurn_general_step *g, float bits) {
    double m = g->step.m, m_rest = g->step.m_rest, up = 0.0, down = 0.0;
    int32_t k = g->low;
    if (EXACT) {
        for (int32_t high = g->high; k < high;) { /* costs are convex in k */
            int32_t middle = k + (high - k) / 2;
            if (general_cost<EXACT>(*g, middle + 1) < general_cost<EXACT>(*g, middle))
                k = middle + 1;
            else
                high = middle;
        }
    } else {
        k = s_index_between(s_mode_root(m, m_rest, g->left, g->lambda), g->low, g->high);
    }
    while (k < g->high && (up = general_cost<EXACT>(*g, k + 1) - general_cost<EXACT>(*g, k)) < 0.0) k++;
    while (k > g->low && (down = general_cost<EXACT>(*g, k - 1) - general_cost<EXACT>(*g, k)) < 0.0) {
        up = -down;
        k--;
    }
    float m_k = (float)(m - k), n_k = (float)(g->left - k), rest_k = (float)(m_rest - g->left + k), at = (float)k;
    float right = s_window_reach((float)up, m_k, n_k, at, rest_k, (float)(g->high - k), bits);
    float wrong = s_window_reach((float)down, at, rest_k, m_k, n_k, (float)(k - g->low), bits);
    gurn_support support = {g->low, g->high}, window = gurn_window_of(support, k, wrong, right);
    g->low = window.low;
    g->high = window.high;
}

/*
 * A step with `left` to draw, whole unless soft, ready for passes over its support. bits: how much of the tails is
 * needed. Given noise that is NaN or +infinity sets *bad.
 */
template <bool EXACT>
GURN_DEVICE gurn_general_step general_begin(const gurn_mvhg_work &w, int64_t b, const gurn_general_law &law,
                                            const gurn_step &step, int32_t place, double left, float bits, bool *bad) {
    gurn_general_step g;
    g.step = step;
    g.cls = w.order[place];
    g.lambda = law.lambda[place * law.lambda_stride];
    g.soft = w.soft;
    if (EXACT) { /* tables go to n + 1; a left that is recomputed from a rounded x may go beyond n */
        int32_t n = gurn_work_n(w, b);
        left = left > n ? n : left < 0.0 && !w.soft ? 0.0 : left;
    }
    g.left = w.soft ? gurn_soft_left(step.m, step.m_rest, left) : left;
    g.rest = NULL;
    gurn_support s;
    if (w.soft) {
        s = gurn_support_soft(step.m, step.m_rest, g.left);
    } else {
        if (!EXACT && step.rest.wide) g.rest = step.rest.wide + (step.m_rest - (int32_t)left);
        s = gurn_support_hard(step.m, step.m_rest, (int32_t)left);
    }
    if (EXACT) g.rest = law.suffix + place * law.suffix_stride;
    g.low = s.low;
    g.high = s.high;
    if (!w.soft && w.noise.kind != GURN_NOISE_GIVEN) general_window<EXACT>(&g, bits);
    g.first = g.low & ~3;
    bool given = w.noise.kind == GURN_NOISE_GIVEN, wrong = false;
    double least = INFINITY, below = INFINITY;
    for (int32_t k = g.low + gurn_lane(); k <= g.high; k += GURN_WARP) {
        double cost = general_cost<EXACT>(g, k);
        least = cost < least ? cost : least;
        if (!given) continue;
        double noise = gurn_real(w.noise.gumbel, w.dtype, b * w.width + w.view.offset[g.cls] + k);
        if (!(noise < INFINITY)) wrong = true;
        below = -noise < below ? -noise : below;
    }
    g.least = gurn_group_least<GURN_WARP>(least);
    g.most = given ? -gurn_group_least<GURN_WARP>(below) : 0.0;
    if (given && gurn_warp_any(wrong)) *bad = true;
    return g;
}

/* Cost above the least, and race(k) = log2 v(k), of counts k .. k + 3; infinite outside the support. */
template <bool EXACT>
GURN_DEVICE void general_quad(const gurn_mvhg_work &w, const gurn_row_noise &noise, int64_t b,
                              const gurn_general_step &g, int32_t k, double cost[4], double race[4]) {
    uint32_t word[4] = {0};
    if (w.noise.kind == GURN_NOISE_PHILOX)
        gurn_noise_words(noise, gurn_stream_tag(GURN_STREAM_MVHG, (uint32_t)g.cls), k, word);
    for (int j = 0; j < 4; j++) {
        cost[j] = race[j] = INFINITY;
        if (k + j < g.low || k + j > g.high) continue;
        double c = general_cost<EXACT>(g, k + j) - g.least;
        cost[j] = c;
        if (w.noise.kind == GURN_NOISE_PHILOX) {
            c += s_log2_64(s_exponential64(word[j]));
        } else if (w.noise.kind == GURN_NOISE_GIVEN) {
            double gumbel = gurn_real(w.noise.gumbel, w.dtype, b * w.width + w.view.offset[g.cls] + k + j);
            c = fma(g.most - gumbel, GURN_LOG2E, c);
        }
        race[j] = c;
    }
}

/* Weight of a count in y, 1 for the least race. */
GURN_DEVICE double general_weight(double race, double least, double inv_tau) {
    return s_exp2_64((least - race) * inv_tau);
}

/*
 * y and mask of a class in soft mode, from the largest count down: outside low..high y is 0. weight(k): of counts k
 * .. k + 3; times scale. The counts are the plan's.
 */
template <class Weight>
GURN_DEVICE void general_write(const gurn_mvhg_work &w, int64_t b, int32_t cls, double scale, Weight weight) {
    int64_t begin = b * w.width + w.view.offset[cls];
    int32_t m = (int32_t)(w.view.offset[cls + 1] - w.view.offset[cls]) - 1;
    double above = 0.0;
    for (int32_t top = m & ~3; top >= 0; top -= 4 * GURN_WARP) {
        int32_t k = top - 4 * gurn_lane();
        double y[4] = {0.0, 0.0, 0.0, 0.0}, total;
        if (k >= 0) weight(k, y);
        for (int j = 3; j >= 0; j--) y[j] *= scale;
        double mask = above + gurn_group_sum_before<GURN_WARP>(y[3] + y[2] + y[1] + y[0], &total);
        for (int j = 3; k >= 0 && j >= 0; j--) {
            mask += y[j];
            if (k + j > m) continue;
            if (w.out.y) gurn_set_real(w.out.y, w.dtype, begin + k + j, y[j]);
            if (w.out.mask) gurn_set_real(w.out.mask, w.dtype, begin + k + j, mask);
        }
        above += total;
    }
}

/* NaN in every output of a row. */
GURN_DEVICE void general_poison(const gurn_mvhg_work &w, int64_t b) {
    __syncwarp(); /* after what was written of it */
    for (int64_t c = gurn_lane(); w.out.x && c < w.view.classes; c += GURN_WARP)
        gurn_set_real(w.out.x, w.dtype, b * w.view.classes + c, NAN);
    for (int64_t k = gurn_lane(); w.soft && k < w.width; k += GURN_WARP) {
        if (w.out.y) gurn_set_real(w.out.y, w.dtype, b * w.width + k, NAN);
        if (w.out.mask) gurn_set_real(w.out.mask, w.dtype, b * w.width + k, NAN);
    }
    if (w.out.log_p && gurn_lane() == 0) gurn_set_real(w.out.log_p, w.dtype, b, NAN);
}

/* Draws row b. */
template <bool EXACT>
GURN_DEVICE void general_forward_row(const gurn_mvhg_work &w, int64_t b, const gurn_general_law &law) {
    bool leader = gurn_lane() == 0, wants_one_hots = w.soft && (w.out.y || w.out.mask);
    gurn_row_noise noise = gurn_work_noise(w, b);
    int32_t n = gurn_work_n(w, b), balls = gurn_work_balls(w, b);
    bool bad = n < 0, has_urn = gurn_work_has_urn(w, b);
    double left = n, log2_p = 0.0;
    for (int32_t i = 0; !bad && i < w.view.classes; i++) {
        gurn_step step = gurn_work_next_step(w, b, has_urn, i, &balls);
        int32_t cls = w.order[i];
        double x = left;
        if (step.m_rest == 0) { /* the class takes what is left */
            if (wants_one_hots)
                general_write(w, b, cls, 1.0, [&](int32_t k, double y[4]) {
                    for (int j = 0; j < 4; j++) y[j] = k + j <= step.m ? gurn_hat(x, k + j) : 0.0;
                });
        } else {
            gurn_general_step g = general_begin<EXACT>(w, b, law, step, i, left, GURN_RACE_BITS, &bad);
            bad |= g.most == -INFINITY; /* nothing is left to choose */
            if (bad) break;
            double least = INFINITY, p = 0.0, cost[4], race[4];
            int32_t best = INT32_MAX;
            for (int32_t k = g.first + 4 * gurn_lane(); k <= g.high; k += 4 * GURN_WARP) {
                general_quad<EXACT>(w, noise, b, g, k, cost, race);
                for (int j = 0; j < 4; j++) {
                    if (k + j < g.low || k + j > g.high) continue;
                    if (race[j] < least || best == INT32_MAX) {
                        least = race[j];
                        best = k + j;
                    }
                    if (w.out.log_p) p += s_exp2_64(-cost[j]);
                }
            }
            best = gurn_group_argmin<GURN_WARP>(&least, best);
            double sum = 0.0, sum_d = 0.0, sum_cost = general_cost<EXACT>(g, best) - g.least;
            x = best;
            if (w.soft) {
                sum_cost = 0.0;
                for (int32_t k = g.first + 4 * gurn_lane(); k <= g.high; k += 4 * GURN_WARP) {
                    general_quad<EXACT>(w, noise, b, g, k, cost, race);
                    for (int j = 0; j < 4; j++) {
                        if (k + j < g.low || k + j > g.high) continue;
                        double weight = general_weight(race[j], least, w.inv_tau);
                        sum += weight;
                        sum_d += weight * (k + j - best);
                        sum_cost += weight * cost[j];
                    }
                }
                sum = gurn_group_sum<GURN_WARP>(sum);
                x += gurn_group_sum<GURN_WARP>(sum_d) / sum;
                sum_cost = gurn_group_sum<GURN_WARP>(sum_cost) / sum;
            }
            if (w.out.log_p) log2_p -= sum_cost + s_log2_64(gurn_group_sum<GURN_WARP>(p));
            if (wants_one_hots)
                general_write(w, b, cls, 1.0 / sum, [&](int32_t k, double y[4]) {
                    double its_cost[4], its_race[4];
                    if (k + 3 < g.low || k > g.high) return;
                    general_quad<EXACT>(w, noise, b, g, k, its_cost, its_race);
                    for (int j = 0; j < 4; j++) y[j] = general_weight(its_race[j], least, w.inv_tau);
                });
        }
        if (w.out.x && leader) gurn_set_real(w.out.x, w.dtype, b * w.view.classes + cls, x);
        left -= x;
    }
    if (bad)
        general_poison(w, b);
    else if (w.out.log_p && leader)
        gurn_set_real(w.out.log_p, w.dtype, b, log2_p * GURN_LN2);
}

/* ----------------------------------------------------------------------------------------------------- backward --- */

/*
 * n_i of every step of a row into w.step, in forward's order of subtraction; false when x is not one that forward
 * returned, or the row is bad. Every lane does the same walk, and lane 0 writes.
 */
GURN_DEVICE bool general_left(const gurn_mvhg_work &w, int64_t b) {
    int32_t n = gurn_work_n(w, b);
    double left = n, slack = w.soft ? 1.0 : 0.0;
    bool good = n >= 0, has_urn = gurn_work_has_urn(w, b);
    for (int32_t i = 0; i < w.view.classes; i++) {
        double x = gurn_real(w.x, w.dtype, b * w.view.classes + w.order[i]);
        if (!(x >= -slack && x <= w.view.steps[i].m + slack)) good = false;
        if (has_urn && x != 0.0 && gurn_work_is_zero(w, b, i)) good = false;
        if (gurn_lane() == 0) w.step[i * w.rows + b] = left;
        left -= x;
    }
    __syncwarp();
    return good && (w.soft || left == 0.0);
}

/*
 * Adds the gradients of a step's logits to what stands for R at r = left - k: between two whole r, by their weights.
 * Neighbouring counts share one; so left ends first, then right ends, and what goes beyond the ends of the support's r
 * by one lane.
 */
GURN_DEVICE void general_to_suffix(const gurn_mvhg_work &w, const gurn_general_step &g, const gurn_general_law &law,
                                   int32_t place, int32_t centre, int32_t best, const gurn_step_sums &s,
                                   double dlog_p) {
    double *to = law.adjoint + place * law.suffix_stride, inv_w = 1.0 / s.w, inv_p = 1.0 / s.p, m_rest = g.step.m_rest;
    __syncwarp();
    /* u counts from that of greatest weight, whose own dlogit, 0 but for the others', 1 / tau would else spoil. */
    const double *u = law.logit + law.logits;
    double u_best = u[best - g.low], mean = 0.0;
    for (int32_t k = g.low + gurn_lane(); k <= g.high; k += GURN_WARP)
        mean += law.logit[k - g.low] * inv_w * (u[k - g.low] - u_best);
    mean = gurn_group_sum<GURN_WARP>(mean);
    for (int32_t k = g.low + gurn_lane(); k <= g.high; k += GURN_WARP) { /* DESIGN 1.3 */
        double *at = law.logit + (k - g.low), y = at[0] * inv_w, taken = g.soft ? y : k == centre;
        at[0] = y * (at[law.logits] - u_best - mean) * w.inv_tau + dlog_p * (taken - at[2 * law.logits] * inv_p);
    }
    __syncwarp();
    for (int end = 0; end < 2; end++) {
        for (int32_t k = g.low + gurn_lane(); k <= g.high; k += GURN_WARP) {
            double r = g.left - k;
            gurn_piece at = gurn_piece_of(g.step.m_rest, r);
            double weight = end ? at.weight : 1.0 - at.weight;
            if (weight != 0.0 && r >= 0.0 && r <= m_rest) to[at.left + end] += weight * law.logit[k - g.low];
        }
        __syncwarp();
    }
    if (gurn_lane() == 0) {
        for (int end = 0; end < 2 && (end == 0 || g.high > g.low); end++) {
            int32_t k = end ? g.high : g.low;
            double r = g.left - k;
            gurn_piece at = gurn_piece_of(g.step.m_rest, r);
            if (r >= 0.0 && r <= m_rest) continue;
            to[at.left] += (1.0 - at.weight) * law.logit[k - g.low];
            to[at.left + 1] += at.weight * law.logit[k - g.low];
        }
        int32_t first = gurn_piece_of(g.step.m_rest, g.left - g.high).left;
        int32_t last = gurn_piece_of(g.step.m_rest, g.left - g.low).left + 1;
        if (first < law.first[place]) law.first[place] = first;
        if (last > law.last[place]) law.last[place] = last;
    }
    __syncwarp();
}

/*
 * Gradients of one step at upstream dx to its count and dlog_p to log_p (gurn_step_finish). Sets *bad where all counts are
 * forbidden, so that x is not one that forward returned; in soft mode its rounding may have put the only count allowed
 * outside: then there is no choice and no gradient.
 */
template <bool EXACT>
GURN_DEVICE gurn_step_gradient general_pull(const gurn_mvhg_work &w, const gurn_row_noise &noise, int64_t b,
                                            const gurn_general_law &law, const gurn_step &step, int32_t place,
                                            double left, double x, double dx, double dlog_p, bool *bad) {
    float bits = GURN_RELAXED_BITS(gurn_window_tau(1.0 / w.inv_tau));
    gurn_general_step g = general_begin<EXACT>(w, b, law, step, place, left, bits, bad);
    if (g.most == -INFINITY && !w.soft) *bad = true;
    gurn_step_gradient none = {0.0, 0.0, 0.0};
    if (g.most == -INFINITY || *bad) return none;
    double least = INFINITY, cost[4], race[4];
    int32_t best = INT32_MAX;
    for (int32_t k = g.first + 4 * gurn_lane(); k <= g.high; k += 4 * GURN_WARP) {
        general_quad<EXACT>(w, noise, b, g, k, cost, race);
        for (int j = 0; j < 4; j++) {
            if (k + j < g.low || k + j > g.high || !(race[j] < least || best == INT32_MAX)) continue;
            least = race[j];
            best = k + j;
        }
    }
    best = gurn_group_argmin<GURN_WARP>(&least, best);
    /* Everything is centred at one count: x, or in soft mode that of greatest weight. */
    int32_t centre = w.soft ? best : (int32_t)x;
    int64_t shift = g.step.m_rest - (int64_t)g.left, begin = b * w.width + w.view.offset[g.cls];
    auto psi_of = [&](int32_t k) {
        if (EXACT)
            return gurn_cost_soft_psi(g.step.m_rest, k, g.left) + gurn_rest_slope(g.rest, g.step.m_rest, g.left - k);
        return g.rest ? gurn_real(g.step.rest.psi, w.dtype, shift + k) : gurn_cost_soft_psi(g.step.m_rest, k, g.left);
    };
    if (EXACT) centre = centre < g.low ? g.low : centre > g.high ? g.high : centre;
    double psi_centre = psi_of(centre);
    gurn_step_sums s = {};
    double carried = 0.0; /* sum of dmask over counts before this round's */
    for (int32_t round = g.first; round <= g.high; round += 4 * GURN_WARP) {
        int32_t k = round + 4 * gurn_lane();
        double extra[4] = {0.0, 0.0, 0.0, 0.0}; /* dy_k + sum_{j<=k} dmask_j, up to a constant */
        if (w.upstream.mask) {
            double sum = 0.0, total;
            for (int j = 0; j < 4; j++) {
                if (k + j >= g.low && k + j <= g.high) sum += gurn_real(w.upstream.mask, w.dtype, begin + k + j);
                extra[j] = sum;
            }
            double before = carried + gurn_group_sum_before<GURN_WARP>(sum, &total);
            for (int j = 0; j < 4; j++) extra[j] += before;
            carried += total;
        }
        general_quad<EXACT>(w, noise, b, g, k, cost, race);
        for (int j = 0; j < 4; j++) {
            if (k + j < g.low || k + j > g.high) continue;
            double a = (race[j] - least) * w.inv_tau, weight = s_exp2_64(-a), p = s_exp2_64(-cost[j]);
            double d = k + j - centre;
            if (weight == 0.0) a = 0.0; /* infinite where the noise is -infinity */
            double psi = psi_of(k + j) - psi_centre;
            double u = fma(dx, d, -GURN_LN2 * dlog_p * cost[j]) + extra[j];
            if (w.upstream.y) u += gurn_real(w.upstream.y, w.dtype, begin + k + j);
            s.w += weight;
            s.wu += weight * u;
            s.wd += weight * d;
            s.wdu += weight * d * u;
            s.wpsi += weight * psi;
            s.wpsiu += weight * psi * u;
            s.wa += weight * a;
            s.wau += weight * a * u;
            s.p += p;
            s.pd += p * d;
            s.ppsi += p * psi;
            if (EXACT && law.adjoint) {
                double *at = law.logit + (k + j - g.low);
                at[0] = weight;
                at[law.logits] = u;
                at[2 * law.logits] = p;
            }
        }
    }
    double *sums[] = {&s.w, &s.wu, &s.wd, &s.wdu, &s.wpsi, &s.wpsiu, &s.wa, &s.wau, &s.p, &s.pd, &s.ppsi};
    for (double *sum : sums) *sum = gurn_group_sum<GURN_WARP>(*sum);
    if (EXACT && law.adjoint) general_to_suffix(w, g, law, place, centre, best, s, dlog_p);
    return gurn_step_finish(s, w.inv_tau, dlog_p, w.soft);
}

/* Gradients of row b: each step's to w.step (NaN in a bad row), that of tau. */
template <bool EXACT>
GURN_DEVICE void general_backward_row(const gurn_mvhg_work &w, int64_t b, const gurn_general_law &law) {
    gurn_row_noise noise = gurn_work_noise(w, b);
    bool bad = !general_left(w, b);
    double tail = 0.0, tau = 0.0, dlog_p = w.upstream.log_p ? gurn_real(w.upstream.log_p, w.dtype, b) : 0.0;
    int32_t balls = 0;
    bool has_urn = gurn_work_has_urn(w, b);
    for (int32_t i = w.view.classes - 1; !bad && i >= 0; i--) {
        gurn_step step = gurn_work_step_before(w, b, has_urn, i, &balls);
        int64_t at = b * w.view.classes + w.order[i];
        double x = gurn_real(w.x, w.dtype, at), dx = tail, gradient = 0.0;
        if (w.upstream.x) dx += gurn_real(w.upstream.x, w.dtype, at);
        if (step.m_rest == 0) { /* x is what the others leave: what reaches it is taken from each of them */
            if (step.m > 0)
                tail = -(dx + gurn_taker_pull(w.upstream.y, w.upstream.mask, w.dtype,
                                              b * w.width + w.view.offset[w.order[i]], step.m, x));
        } else {
            gurn_step_gradient g =
                general_pull<EXACT>(w, noise, b, law, step, i, w.step[i * w.rows + b], x, dx, dlog_p, &bad);
            gradient = g.log_omega;
            tail -= g.n;
            tau += g.tau;
        }
        __syncwarp(); /* every lane has read n_i */
        if (gurn_lane() == 0) w.step[i * w.rows + b] = gradient;
    }
    __syncwarp(); /* what lane 0 has written is overwritten by others */
    if (bad)
        for (int64_t i = gurn_lane(); i < w.view.classes; i += GURN_WARP) w.step[i * w.rows + b] = NAN;
    if (w.grad.tau && gurn_lane() == 0) gurn_set_real(w.grad.tau, w.dtype, b, bad ? NAN : tau);
}

#endif
