/* What launchers share: grids over rows, errors, and the loading of kernels. */
#ifndef GURN_LAUNCH_CUH
#define GURN_LAUNCH_CUH

#include <cuda_runtime.h>
#include <stdint.h>

static inline int64_t gurn_blocks_of(int64_t rows, int64_t per_block) {
    return rows / per_block + (rows % per_block != 0);
}

/* A launch of as many blocks as there are `per_block` rows, or as many as a grid can have: kernels go on from there. */
static inline cudaLaunchConfig_t gurn_launch_rows(int64_t rows, int64_t per_block, int threads, cudaStream_t stream) {
    int64_t blocks = gurn_blocks_of(rows, per_block);
    cudaLaunchConfig_t config = {};
    config.gridDim = dim3((unsigned)(blocks < INT32_MAX ? blocks : INT32_MAX));
    config.blockDim = dim3((unsigned)threads);
    config.stream = stream;
    return config;
}

/*
 * Returns from the function with what went wrong, if something did. The call's own error counts and no other: the runtime also keeps
 * the last error of the caller's own calls, which is the caller's to fetch.
 */
#define GURN_MUST(call)                           \
    do {                                          \
        cudaError_t error_ = (call);              \
        if (error_ != cudaSuccess) return error_; \
    } while (0)

/*
 * Loads kernels on the current device. Left to their first launch (CUDA loads them lazily), it might allocate and wait there, which
 * is not allowed while a graph is captured. Every kernel is in the list of its file, gurn_cuda_load_FILE (cuda.h).
 */
template <class... Kernels>
static cudaError_t gurn_load(Kernels *...kernels) {
    cudaError_t error = cudaSuccess;
    cudaFuncAttributes attributes;
    ((error = error == cudaSuccess ? cudaFuncGetAttributes(&attributes, kernels) : error), ...);
    return error;
}

#endif
