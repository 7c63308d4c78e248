/*
 * Backward of a row of float32 draws, as mvhg_backward.cu and mvhg_suffix.cu walk its classes, from last to first: the
 * noise is drawn again, and a step's sums over its window are made its gradient.
 */
#ifndef GURN_MVHG_PULL_CUH
#define GURN_MVHG_PULL_CUH

#include "mvhg_step.cuh"
#include "suffix.cuh"

/*
 * What backward needs of a step besides: psi, read at k; and in the exact chain where the gradient to log S_{i+1} goes
 * that dlogit of each count is: to a table of the row's own, or added to one of many rows; w, w u and p of a window
 * (gurn_step_sums) are kept for it meanwhile. w NULL: there is none.
 */
typedef struct gurn_pull_step {
    const float *psi;
    float *w, *wu, *p;
    float *own;  /* read at k */
    double *all; /* the same */
} gurn_pull_step;

/*
 * Sums of one step at upstream dx to its count and dlog_p to log_p. FULL: any temperature up to GURN_FAST_TAU,
 * upstream of y and mask, and the gradient to tau; otherwise tau is 1, and neither is there.
 */
template <int LANES, bool FULL, bool EXACT, bool FRESH>
GURN_DEVICE gurn_step_gradient gurn_race_pull(const gurn_mvhg_work &w, const gurn_race_step &s, const gurn_pull_step &t,
                                              const gurn_noise_keys &keys, uint64_t row, int32_t cls, int64_t begin,
                                              int32_t x, float dx, float dlog_p) {
    /* What is read at x is read in the support, were x not a draw: nothing in these sums depends on where. */
    int32_t x_at = EXACT ? min(max(x, s.support.low), s.support.high) : x;
    const float *psi = t.psi;
    gurn_support window = gurn_step_window(s, GURN_RELAXED_BITS(1.0 / w.inv_tau));
    uint32_t tag = gurn_stream_tag(GURN_STREAM_MVHG, (uint32_t)cls);
    float inv_tau = (float)w.inv_tau, inv_value_x = 1.0f, psi_x = psi[x_at],
          dcost = dlog_p * (float)-GURN_LN2 * 0x1p-23f;
    const float *dy = (const float *)w.upstream.y, *dmask = (const float *)w.upstream.mask;
    if (FULL) { /* the weight of x, the winner, is made 1 */
        uint32_t word[4];
        gurn_keyed_words(keys, row, tag, x_at & ~3, word);
        int32_t distance = (int32_t)(gurn_cost_fixed(s.own, s.rest, s.lambda, x_at) - s.reference);
        distance = min(distance, GURN_COST_CEILING);
        inv_value_x = s_rough_reciprocal32(
            s_exponential32_times(x_at & 2 ? (x_at & 1 ? word[3] : word[2]) : (x_at & 1 ? word[1] : word[0]),
                                  GURN_RACE_SCALE) *
            s_exp2_fixed(distance));
    }
    float sw = 0.0f, swu = 0.0f, swd = 0.0f, swdu = 0.0f, swpsi = 0.0f, swpsiu = 0.0f, swa = 0.0f, swau = 0.0f,
          sp = 0.0f, spd = 0.0f, sppsi = 0.0f;
    double carried = 0.0; /* sum of dmask over counts before this round's */
    /* FULL has sums over the group in the loop, for which its lanes, and those of the whole warp, stay together. */
    int32_t rounds = FULL ? (window.high - (window.low & ~3)) / (4 * LANES) + 1 : 0;
    if (FULL && LANES < GURN_WARP) rounds = -gurn_tile_least<GURN_WARP>(-rounds);
    gurn_quad quad;
    gurn_stride at = gurn_stride_begin<LANES>(s, window.low);
    for (int32_t round = 0; FULL ? round < rounds : at.k <= window.high; round++, gurn_stride_next<LANES>(&at)) {
        int32_t read_at = FULL ? min(at.k, window.high & ~3) : at.k;
        float extra[4] = {0.0f, 0.0f, 0.0f, 0.0f};
        if (FULL && dmask) {
            double sum = 0.0, total, before;
            for (int j = 0; j < 4; j++)
                if (at.k + j >= window.low && at.k + j <= window.high) sum += dmask[begin + at.k + j];
            before = carried + gurn_group_sum_before<LANES>(sum, &total);
            carried += total;
            for (int j = 0; j < 4; j++) {
                if (at.k + j >= window.low && at.k + j <= window.high) before += dmask[begin + at.k + j];
                extra[j] = (float)before;
            }
        }
        gurn_quad_race<FRESH>(s, at, window, read_at, keys, row, tag, &quad);
        for (int j = 0; j < 4; j++) {
            float weight, a = 0.0f, d = (float)(at.k + j - x), p = s_rough_reciprocal32(quad.growth[j]);
            float psi_k = (FRESH ? psi[read_at + j] : __ldg(psi + read_at + j)) - psi_x,
                  u = fmaf((float)quad.distance[j], dcost, d * dx);
            if (FULL) {
                bool inside = quad.growth[j] < INFINITY;
                if (inside && dy) u += dy[begin + at.k + j];
                u += extra[j];
                a = inside ? gurn_fast_log2(quad.value[j] * inv_value_x) : 0.0f;
                weight = inside ? gurn_fast_exp2(-a * inv_tau) : 0.0f;
            } else {
                weight = s_rough_reciprocal32(quad.value[j]);
            }
            if (EXACT && t.w && at.k <= window.high) {
                int32_t to = at.k + j - (window.low & ~3);
                t.w[to] = weight;
                t.wu[to] = weight * u;
                t.p[to] = p;
            }
            float wd = weight * d, wpsi = weight * psi_k;
            sw += weight;
            swd += wd;
            swu = fmaf(weight, u, swu);
            swdu = fmaf(wd, u, swdu);
            swpsi += wpsi;
            swpsiu = fmaf(wpsi, u, swpsiu);
            sp += p;
            spd = fmaf(p, d, spd);
            sppsi = fmaf(p, psi_k, sppsi);
            if (FULL) {
                swa = fmaf(weight, a, swa);
                swau = fmaf(weight * a, u, swau);
            }
        }
    }
    /* Scaled so that w = p = 1, and no division is left: errors of a scale are those of rounding the sums. */
    float scale_w = s_rough_reciprocal32(gurn_group_sum<LANES>(sw));
    float scale_p = s_rough_reciprocal32(gurn_group_sum<LANES>(sp));
    gurn_step_sums sums = {};
    sums.w = sums.p = 1.0;
    sums.wu = scale_w * gurn_group_sum<LANES>(swu);
    sums.wd = scale_w * gurn_group_sum<LANES>(swd);
    sums.wdu = scale_w * gurn_group_sum<LANES>(swdu);
    sums.wpsi = scale_w * gurn_group_sum<LANES>(swpsi);
    sums.wpsiu = scale_w * gurn_group_sum<LANES>(swpsiu);
    sums.pd = scale_p * gurn_group_sum<LANES>(spd);
    sums.ppsi = scale_p * gurn_group_sum<LANES>(sppsi);
    if (FULL) {
        sums.wa = scale_w * gurn_group_sum<LANES>(swa) * w.inv_tau;
        sums.wau = scale_w * gurn_group_sum<LANES>(swau) * w.inv_tau;
    }
    if (EXACT && t.w && s.support.low < s.support.high) {
        gurn_group_sync<LANES>();
        float scale = scale_w * inv_tau, mean = (float)sums.wu, scale_log_p = scale_p * dlog_p;
        for (int32_t k = window.low + (int32_t)(threadIdx.x & (LANES - 1)); k <= window.high; k += LANES) {
            int32_t from = k - (window.low & ~3);
            float dlogit = (t.wu[from] - mean * t.w[from]) * scale - t.p[from] * scale_log_p + (k == x ? dlog_p : 0.0f);
            if (t.own)
                t.own[k] = dlogit;
            else
                t.all[k] += (double)dlogit;
        }
        gurn_group_sync<LANES>();
    }
    return gurn_step_finish(sums, w.inv_tau, dlog_p, 0);
}

/* Whether a group's row is good and its x one that forward may have returned: whole counts 0..m that sum to n. */
template <int LANES>
GURN_DEVICE bool gurn_row_is_good(const gurn_mvhg_work &w, int64_t b) {
    int32_t n = gurn_work_n(w, b), sum = 0, outside = n < 0;
    for (int32_t i = (int32_t)(threadIdx.x & (LANES - 1)); i < w.view.classes; i += LANES) {
        float x = ((const float *)w.x)[b * w.view.classes + w.order[i]];
        if (x >= 0.0f && x <= (float)w.view.steps[i].m)
            sum += (int32_t)x;
        else
            outside = 1;
    }
    sum = gurn_group_sum<LANES>(sum);
    outside = gurn_group_sum<LANES>(outside);
    return outside == 0 && sum == n;
}

/*
 * Backward of row b: each step's gradient to w.step, and to tau. bad: the row's results are NaN. live: whether anything
 * is written. begin(step, i, left, &t): the step at place i, by whichever chain, and what else is needed of it.
 */
template <int LANES, bool FULL, bool EXACT, bool FRESH, class Begin>
GURN_DEVICE void gurn_pull_row(const gurn_mvhg_work &w, int64_t b, bool live, bool bad, const gurn_noise_keys &keys,
                               Begin begin_step) {
    bool leader = (threadIdx.x & (LANES - 1)) == 0;
    uint64_t row = gurn_work_noise(w, b).row;
    float dlog_p = w.upstream.log_p ? ((const float *)w.upstream.log_p)[b] : 0.0f;
    int64_t ragged = b * w.width, row_at = b * w.view.classes;
    const float *x_given = (const float *)w.x + row_at;
    const float *dx_given = w.upstream.x ? (const float *)w.upstream.x + row_at : NULL;
    double *step_out = w.step + b;
    int32_t left = 0;             /* n_i: what this class and the later ones have drawn */
    double tail = 0.0, tau = 0.0; /* tail: gradient to every x of an earlier step */
    for (int32_t i = w.view.classes - 1; i >= 0; i--) {
        const gurn_step *step = &w.view.steps[i];
        int32_t cls = w.order[i];
        int64_t begin = ragged + w.view.offset[cls];
        int32_t x = bad ? 0 : (int32_t)x_given[cls];
        double dx = (dx_given ? (double)dx_given[cls] : 0.0) + tail, gradient = 0.0;
        left += x;
        if (step->m > 0 &&
            step->m_rest == 0) { /* what reaches the x that the others leave is taken from each of them */
            tail = -(dx + gurn_taker_pull(w.upstream.y, w.upstream.mask, GURN_FLOAT32, begin, step->m, x));
        } else if (step->m > 0) {
            gurn_pull_step t = {};
            gurn_race_step s = begin_step(step, i, left, &t);
            gurn_step_gradient g =
                gurn_race_pull<LANES, FULL, EXACT, FRESH>(w, s, t, keys, row, cls, begin, x, (float)dx, dlog_p);
            gradient = g.log_omega;
            tail -= g.n;
            if (FULL) tau += g.tau;
        }
        if (leader && live) step_out[i * w.rows] = bad ? NAN : gradient;
    }
    if (FULL && w.grad.tau && leader && live) ((float *)w.grad.tau)[b] = bad ? NAN : (float)tau;
}

#endif
