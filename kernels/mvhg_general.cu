/* The general path of the merged chain on a GPU (mvhg_general.cuh): a warp takes a row. */
#include "mvhg_general.cuh"

GURN_DEVICE gurn_general_law merged_law(const gurn_mvhg_work &w, int64_t b) {
    gurn_general_law law = {};
    law.lambda = w.lambda + (w.lambda_rows == 1 ? 0 : b);
    law.lambda_stride = w.lambda_rows;
    return law;
}

#define WARPS (GURN_BLOCK / GURN_WARP)
/* Rows that a warp looks at together for those that have an urn of their own: few, for it draws them one after the other. */
#define LOOK 8

/*
 * row(b) by a warp for all rows, or, own_urns, for those that have an urn of their own. Where all rows share one there is nothing
 * to look for.
 */
template <class Row>
GURN_DEVICE void general_rows(const gurn_mvhg_work &w, bool own_urns, Row row) {
    int64_t step = own_urns && w.lambda_rows > 1 ? LOOK : 1, warps = (int64_t)gridDim.x * WARPS;
    if (own_urns && w.lambda_rows == 1 && !gurn_work_has_urn(w, 0)) return;
    for (int64_t first = step * ((int64_t)blockIdx.x * WARPS + threadIdx.x / GURN_WARP); first < w.rows;
         first += step * warps) {
        int64_t mine = first + gurn_lane();
        bool here = gurn_lane() < step && mine < w.rows && (!own_urns || gurn_work_has_urn(w, mine));
        for (unsigned which = gurn_warp_which(here); which != 0; which &= which - 1) row(first + __ffs((int)which) - 1);
    }
}

__global__ void __launch_bounds__(GURN_BLOCK, 3)
    mvhg_general_forward(const __grid_constant__ gurn_mvhg_work w, bool own_urns) {
    general_rows(w, own_urns, [&](int64_t b) { general_forward_row<false>(w, b, merged_law(w, b)); });
}

__global__ void __launch_bounds__(GURN_BLOCK, 2)
    mvhg_general_backward(const __grid_constant__ gurn_mvhg_work w, bool own_urns) {
    general_rows(w, own_urns, [&](int64_t b) { general_backward_row<false>(w, b, merged_law(w, b)); });
}

/* ---------------------------------------------------------------------------------------------------- launchers --- */

cudaError_t gurn_cuda_load_mvhg_general(void) { return gurn_load(mvhg_general_forward, mvhg_general_backward); }

static cudaLaunchConfig_t launch_of(const gurn_mvhg_work &work, bool own_urns, cudaStream_t stream) {
    return gurn_launch_rows(work.rows, own_urns && work.lambda_rows > 1 ? LOOK * WARPS : WARPS, GURN_BLOCK, stream);
}

cudaError_t gurn_cuda_general_forward(const gurn_mvhg_work &work, bool own_urns, cudaStream_t stream) {
    cudaLaunchConfig_t config = launch_of(work, own_urns, stream);
    GURN_MUST(cudaLaunchKernelEx(&config, mvhg_general_forward, work, own_urns));
    return cudaSuccess;
}

cudaError_t gurn_cuda_general_backward(const gurn_mvhg_work &work, bool own_urns, cudaStream_t stream) {
    cudaLaunchConfig_t config = launch_of(work, own_urns, stream);
    GURN_MUST(cudaLaunchKernelEx(&config, mvhg_general_backward, work, own_urns));
    return cudaSuccess;
}
