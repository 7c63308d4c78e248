/* The general path of the merged chain on a GPU (mvhg_general.cuh): a warp takes a row. */
#include "mvhg_general.cuh"

GURN_DEVICE gurn_general_law merged_law(const gurn_mvhg_work &w, int64_t b) {
    gurn_general_law law = {};
    law.lambda = w.lambda + (w.lambda_rows == 1 ? 0 : b);
    law.lambda_stride = w.lambda_rows;
    return law;
}

__global__ void __launch_bounds__(GURN_BLOCK, 3) mvhg_general_forward(const __grid_constant__ gurn_mvhg_work w) {
    int64_t warps = (int64_t)gridDim.x * (GURN_BLOCK / GURN_WARP);
    for (int64_t b = (int64_t)blockIdx.x * (GURN_BLOCK / GURN_WARP) + threadIdx.x / GURN_WARP; b < w.rows; b += warps)
        general_forward_row<false>(w, b, merged_law(w, b));
}

__global__ void __launch_bounds__(GURN_BLOCK, 2) mvhg_general_backward(const __grid_constant__ gurn_mvhg_work w) {
    int64_t warps = (int64_t)gridDim.x * (GURN_BLOCK / GURN_WARP);
    for (int64_t b = (int64_t)blockIdx.x * (GURN_BLOCK / GURN_WARP) + threadIdx.x / GURN_WARP; b < w.rows; b += warps)
        general_backward_row<false>(w, b, merged_law(w, b));
}

/* ---------------------------------------------------------------------------------------------------- launchers --- */

cudaError_t gurn_cuda_general_forward(const gurn_mvhg_work &work, cudaStream_t stream) {
    cudaLaunchConfig_t config = gurn_launch_rows(work.rows, GURN_BLOCK / GURN_WARP, GURN_BLOCK, stream);
    cudaError_t error = cudaLaunchKernelEx(&config, mvhg_general_forward, work);
    cudaError_t last = cudaGetLastError();
    return error != cudaSuccess ? error : last;
}

cudaError_t gurn_cuda_general_backward(const gurn_mvhg_work &work, cudaStream_t stream) {
    cudaLaunchConfig_t config = gurn_launch_rows(work.rows, GURN_BLOCK / GURN_WARP, GURN_BLOCK, stream);
    cudaError_t error = cudaLaunchKernelEx(&config, mvhg_general_backward, work);
    cudaError_t last = cudaGetLastError();
    return error != cudaSuccess ? error : last;
}
