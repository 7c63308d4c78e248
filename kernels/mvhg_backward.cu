/*
 * Fused backward of the MVHG chain on a GPU (mvhg.cu has the work mapping, which is the same). The classes of a row
 * are walked from last to first; the noise is drawn again, and a step's sums over its window (gurn_step_sums) are all
 * that is kept of it: in each lane in float32, then added over the group, then made the step's gradient in double.
 */
#include "mvhg_step.cuh"

/*
 * Sums of one step at upstream dx to its count and dlog_p to log_p. FULL: any temperature up to GURN_FAST_TAU,
 * upstream of y and mask, and the gradient to tau; otherwise tau is 1, and neither is there.
 */
template <int LANES, bool FULL>
GURN_DEVICE gurn_step_gradient gurn_race_pull(const gurn_mvhg_work &w, const gurn_race_step &s, const float *psi,
                                              const gurn_noise_keys &keys, uint64_t row, int32_t cls, int64_t begin,
                                              int32_t x, float dx, float dlog_p) {
    gurn_support window = gurn_step_window(s, GURN_RELAXED_BITS(1.0 / w.inv_tau));
    uint32_t tag = gurn_stream_tag(GURN_STREAM_MVHG, (uint32_t)cls);
    float inv_tau = (float)w.inv_tau, inv_value_x = 1.0f, psi_x = psi[x], dcost = dlog_p * (float)-GURN_LN2 * 0x1p-23f;
    const float *dy = (const float *)w.upstream.y, *dmask = (const float *)w.upstream.mask;
    if (FULL) { /* the weight of x, the winner, is made 1 */
        uint32_t word[4];
        gurn_keyed_words(keys, row, tag, x & ~3, word);
        int32_t distance = (int32_t)(gurn_cost_fixed(s.own, s.rest, s.lambda, x) - s.reference);
        distance = min(distance, GURN_COST_CEILING);
        inv_value_x = s_rough_reciprocal32(
            s_exponential32_times(x & 2 ? (x & 1 ? word[3] : word[2]) : (x & 1 ? word[1] : word[0]), GURN_RACE_SCALE) *
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
        gurn_quad_race(s, at, window, read_at, keys, row, tag, &quad);
        for (int j = 0; j < 4; j++) {
            float weight, a = 0.0f, d = (float)(at.k + j - x), p = s_rough_reciprocal32(quad.growth[j]);
            float psi_k = __ldg(psi + read_at + j) - psi_x, u = fmaf((float)quad.distance[j], dcost, d * dx);
            if (FULL) {
                bool inside = quad.growth[j] < INFINITY;
                if (inside && dy) u += dy[begin + at.k + j];
                u += extra[j];
                a = inside ? gurn_fast_log2(quad.value[j] * inv_value_x) : 0.0f;
                weight = inside ? gurn_fast_exp2(-a * inv_tau) : 0.0f;
            } else {
                weight = s_rough_reciprocal32(quad.value[j]);
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
        sums.wa = scale_w * gurn_group_sum<LANES>(swa);
        sums.wau = scale_w * gurn_group_sum<LANES>(swau);
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

template <int LANES, bool FULL>
__global__ void __launch_bounds__(GURN_THREADS(LANES), (FULL ? 384 : 640) / GURN_THREADS(LANES))
    mvhg_pull(const __grid_constant__ gurn_mvhg_work w) {
    constexpr int ROWS = LANES < GURN_BLOCK ? GURN_BLOCK / LANES : 1;
    bool leader = (threadIdx.x & (LANES - 1)) == 0;
    gurn_noise_keys keys = gurn_work_keys(w);
    for (int64_t first = (int64_t)blockIdx.x * ROWS; first < w.rows; first += (int64_t)gridDim.x * ROWS) {
        int64_t b = first + threadIdx.x / LANES;
        bool live = b < w.rows;
        if (!live) b = w.rows - 1;
        uint64_t row = gurn_work_noise(w, b).row;
        bool bad = !gurn_row_is_good<LANES>(w, b);
        float dlog_p = w.upstream.log_p ? ((const float *)w.upstream.log_p)[b] : 0.0f;
        int64_t ragged = b * w.width, row_at = b * w.view.classes;
        const float *x_given = (const float *)w.x + row_at;
        const float *dx_given = w.upstream.x ? (const float *)w.upstream.x + row_at : NULL;
        const double *odds = gurn_work_odds(w, b);
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
                gurn_race_step s = gurn_step_begin(step, bad ? 0.0 : odds[i * w.lambda_rows], left);
                const float *psi = (const float *)step->rest.psi + (step->m_rest - left);
                gurn_step_gradient g =
                    gurn_race_pull<LANES, FULL>(w, s, psi, keys, row, cls, begin, x, (float)dx, dlog_p);
                gradient = g.log_omega;
                tail -= g.n;
                if (FULL) tau += g.tau;
            }
            if (leader && live) step_out[i * w.rows] = bad ? NAN : gradient;
        }
        if (FULL && w.grad.tau && leader && live) ((float *)w.grad.tau)[b] = bad ? NAN : (float)tau;
    }
}

/* From the steps' gradients to d log omega: per row, or each block's sums over its rows. One thread a row. */
template <class Real, bool SHARED>
__global__ void __launch_bounds__(GURN_BLOCK) mvhg_spread(const __grid_constant__ gurn_mvhg_work w) {
    int64_t b = (int64_t)blockIdx.x * GURN_BLOCK + threadIdx.x;
    bool live = b < w.rows;
    double passed = 0.0;
    for (int32_t i = 0; i < w.view.classes; i++) {
        const gurn_step *step = &w.view.steps[i];
        double gradient = 0.0;
        if (live) {
            double own = w.step[i * w.rows + b], share = step->m > 0 ? 1.0 : 0.0;
            if (step->m > 0 && step->m_rest > 0)
                share = gurn_merged_share(step->log2_m, step->log2_m_rest, gurn_work_lambda(w, i, b));
            gradient = own - passed * share;
            passed = passed * (1.0 - share) + own;
        }
        if (SHARED) {
            gradient = gurn_group_sum<GURN_BLOCK>(gradient);
            if (threadIdx.x == 0) w.partial[(int64_t)blockIdx.x * w.view.classes + w.order[i]] = gradient;
        } else if (live) {
            ((Real *)w.grad.log_omega)[b * w.view.classes + w.order[i]] = (Real)gradient;
        }
    }
}

/* The blocks' sums of one class, added by a block: each thread its own in their order, then the threads. */
template <class Real>
__global__ void __launch_bounds__(GURN_WIDE)
    mvhg_add_blocks(const double *partial, int64_t blocks, int32_t classes, Real *gradient) {
    double sum = 0.0;
    for (int64_t block = threadIdx.x; block < blocks; block += GURN_WIDE) sum += partial[block * classes + blockIdx.x];
    sum = gurn_group_sum<GURN_WIDE>(sum);
    if (threadIdx.x == 0) gradient[blockIdx.x] = (Real)sum;
}

/*
 * --------------------------------------------------------------------------------------------------------- launchers
 * ---
 */

template <int LANES>
static cudaError_t launch_pull(const gurn_mvhg_work &w, cudaStream_t stream) {
    constexpr int threads = GURN_THREADS(LANES);
    cudaLaunchConfig_t config = gurn_launch_rows(w.rows, threads / LANES, threads, stream);
    if (w.inv_tau != 1.0 || w.grad.tau || w.upstream.y || w.upstream.mask)
        GURN_MUST(cudaLaunchKernelEx(&config, mvhg_pull<LANES, true>, w));
    else
        GURN_MUST(cudaLaunchKernelEx(&config, mvhg_pull<LANES, false>, w));
    return cudaSuccess;
}

cudaError_t gurn_cuda_add_blocks(const gurn_mvhg_work &w, int64_t blocks, cudaStream_t stream) {
    cudaLaunchConfig_t config = gurn_launch_rows(w.view.classes, 1, GURN_WIDE, stream);
    if (w.dtype == GURN_FLOAT32)
        GURN_MUST(cudaLaunchKernelEx(&config, mvhg_add_blocks<float>, (const double *)w.partial, blocks, w.view.classes,
                                     (float *)w.grad.log_omega));
    else
        GURN_MUST(cudaLaunchKernelEx(&config, mvhg_add_blocks<double>, (const double *)w.partial, blocks,
                                     w.view.classes, (double *)w.grad.log_omega));
    return cudaSuccess;
}

template <class Real>
static cudaError_t launch_spread(const gurn_mvhg_work &w, cudaStream_t stream) {
    cudaLaunchConfig_t config = gurn_launch_rows(w.rows, GURN_BLOCK, GURN_BLOCK, stream);
    if (!w.partial) {
        GURN_MUST(cudaLaunchKernelEx(&config, mvhg_spread<Real, false>, w));
        return cudaSuccess;
    }
    GURN_MUST(cudaLaunchKernelEx(&config, mvhg_spread<Real, true>, w));
    return gurn_cuda_add_blocks(w, gurn_blocks_of(w.rows, GURN_BLOCK), stream);
}

cudaError_t gurn_cuda_mvhg_backward(const gurn_mvhg_job *job, cudaStream_t stream) {
    gurn_mvhg_work w;
    GURN_MUST(gurn_cuda_begin(job, true, stream, &w));
    if (job->chain == GURN_CHAIN_EXACT) return gurn_cuda_exact_backward(job, w, stream);
    if (!gurn_is_fast(job, true)) {
        GURN_MUST(gurn_cuda_general_backward(w, stream));
    } else {
        int lanes = gurn_lanes_of(job);
        GURN_MUST(lanes == 4           ? launch_pull<4>(w, stream)
                  : lanes == 8         ? launch_pull<8>(w, stream)
                  : lanes == GURN_WARP ? launch_pull<GURN_WARP>(w, stream)
                                       : launch_pull<GURN_WIDE>(w, stream));
    }
    if (!w.grad.log_omega) return cudaSuccess;
    GURN_MUST(job->dtype == GURN_FLOAT32 ? launch_spread<float>(w, stream) : launch_spread<double>(w, stream));
    return cudaSuccess;
}
