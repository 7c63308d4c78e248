/*
 * The MVHG chain on a GPU (gumbelurn.h; mathematics in mvhg.h).
 *
 * Log odds. One thread a row walks the places from last to first, as the CPU does, in double: lambda [C][rows] in the
 * workspace, 8 bytes a step, read and written with neighbouring rows in neighbouring threads. A row that holds a NaN or an infinite
 * log omega is marked by NaN at place 0.
 */
#include "cuda.h"
#include "mvhg.h"
#include "warp.cuh"

/* One row's log odds; rows = 1 when all share one row. */
template <class Real>
__global__ void mvhg_lambda(gurn_plan_view view, const int32_t *order, const Real *log_omega, int64_t stride,
                            int64_t rows, double *lambda) {
    int64_t b = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (b >= rows) return;
    log_omega += b * stride;
    lambda += b;
    double rest = 0.0;
    bool finite = true;
    for (int32_t i = view.classes - 1; i >= 0; i--) {
        const gurn_step *step = &view.steps[i];
        double value = (double)log_omega[order[i]], own = value * GURN_LOG2E, odds = 0.0;
        finite &= isfinite(value) != 0;
        if (step->m_rest > 0) odds = s_merged_lambda(own, rest, step->log2_m_rest);
        if (step->m > 0 && i > 0) {
            double mine = own + step->log2_m;
            rest = step->m_rest > 0 ? s_log2_add(rest, mine) : mine;
        }
        lambda[i * rows] = i > 0 || finite ? odds : NAN;
    }
}

cudaError_t gurn_cuda_probe(void) {
    cudaFuncAttributes attributes;
    return cudaFuncGetAttributes(&attributes, mvhg_lambda<float>);
}

size_t gurn_cuda_mvhg_bytes(const gurn_mvhg_job *job, bool backward) {
    (void)job;
    (void)backward;
    return 0;
}
cudaError_t gurn_cuda_mvhg_forward(const gurn_mvhg_job *job, cudaStream_t stream) {
    (void)job;
    (void)stream;
    return cudaErrorNotSupported;
}
cudaError_t gurn_cuda_mvhg_backward(const gurn_mvhg_job *job, cudaStream_t stream) {
    (void)job;
    (void)stream;
    return cudaErrorNotSupported;
}
