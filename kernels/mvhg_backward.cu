/*
 * Fused backward of the MVHG chain on a GPU (mvhg.cu has the work mapping, which is the same). The classes of a row
 * are walked from last to first; the noise is drawn again, and a step's sums over its window (gurn_step_sums) are all
 * that is kept of it: in each lane in float32, then added over the group, then made the step's gradient in double. Rows that have
 * an urn of their own are the general path's here too.
 */
#include "mvhg_pull.cuh"

template <int LANES, bool FULL>
__global__ void __launch_bounds__(GURN_THREADS(LANES), (FULL ? 384 : 640) / GURN_THREADS(LANES))
    mvhg_pull(const __grid_constant__ gurn_mvhg_work w) {
    constexpr int ROWS = LANES < GURN_BLOCK ? GURN_BLOCK / LANES : 1;
    if (w.lambda_rows == 1 && gurn_work_has_urn(w, 0)) return; /* no row is for this kernel */
    gurn_noise_keys keys = gurn_work_keys(w);
    for (int64_t first = (int64_t)blockIdx.x * ROWS; first < w.rows; first += (int64_t)gridDim.x * ROWS) {
        int64_t b = first + threadIdx.x / LANES;
        bool live = b < w.rows;
        if (!live) b = w.rows - 1;
        live = live && !gurn_work_has_urn(w, b);
        bool bad = !gurn_row_is_good<LANES>(w, w.view.steps, b);
        const double *odds = gurn_work_odds(w, b);
        gurn_pull_row<LANES, FULL, false, false>(
            w, w.view.steps, b, live, bad, keys,
            [&](const gurn_step *step, int32_t i, int32_t left, gurn_pull_step *t) {
                t->psi = (const float *)step->rest.psi + (step->m_rest - left);
                return gurn_step_begin(step, bad ? 0.0 : odds[i * w.lambda_rows], left);
            });
    }
}

/* From the steps' gradients to d log omega: per row, or each block's sums over its rows. One thread a row. */
template <class Real, bool SHARED>
__global__ void __launch_bounds__(GURN_BLOCK) mvhg_spread(const __grid_constant__ gurn_mvhg_work w) {
    int64_t b = (int64_t)blockIdx.x * GURN_BLOCK + threadIdx.x;
    bool live = b < w.rows, has_urn = live && gurn_work_has_urn(w, b);
    int32_t balls = has_urn ? gurn_work_balls(w, b) : 0;
    double passed = 0.0;
    for (int32_t i = 0; i < w.view.classes; i++) {
        double gradient = 0.0;
        if (live) {
            gurn_step step = gurn_work_next_step(w, b, has_urn, i, &balls);
            double own = w.step[i * w.rows + b], share = step.m > 0 ? 1.0 : 0.0;
            if (step.m > 0 && step.m_rest > 0)
                share = gurn_merged_share(step.log2_m, step.log2_m_rest, gurn_work_lambda(w, i, b));
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

cudaError_t gurn_cuda_load_mvhg_backward(void) {
    GURN_MUST(
        gurn_load(mvhg_pull<4, false>, mvhg_pull<8, false>, mvhg_pull<GURN_WARP, false>, mvhg_pull<GURN_WIDE, false>));
    GURN_MUST(
        gurn_load(mvhg_pull<4, true>, mvhg_pull<8, true>, mvhg_pull<GURN_WARP, true>, mvhg_pull<GURN_WIDE, true>));
    GURN_MUST(gurn_load(mvhg_spread<float, false>, mvhg_spread<float, true>, mvhg_spread<double, false>,
                        mvhg_spread<double, true>));
    return gurn_load(mvhg_add_blocks<float>, mvhg_add_blocks<double>);
}

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
    if (job->chain == GURN_CHAIN_EXACT)
        return gurn_is_fast(job, true) ? gurn_cuda_suffix_backward(job, w, stream)
                                       : gurn_cuda_exact_backward(job, w, stream);
    if (!gurn_is_fast(job, true)) {
        GURN_MUST(gurn_cuda_general_backward(w, false, stream));
    } else {
        int lanes = gurn_lanes_of(job);
        GURN_MUST(lanes == 4           ? launch_pull<4>(w, stream)
                  : lanes == 8         ? launch_pull<8>(w, stream)
                  : lanes == GURN_WARP ? launch_pull<GURN_WARP>(w, stream)
                                       : launch_pull<GURN_WIDE>(w, stream));
        GURN_MUST(gurn_cuda_general_backward(w, true, stream));
    }
    if (!w.grad.log_omega) return cudaSuccess;
    GURN_MUST(job->dtype == GURN_FLOAT32 ? launch_spread<float>(w, stream) : launch_spread<double>(w, stream));
    return cudaSuccess;
}
