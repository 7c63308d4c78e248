// Kernels of known shape for test_sass_report.py: rows, steps, and a loop over the support with BLOCKS Philox blocks a
// lane and round. Compiled, never run.
#include "kernels/logmath.h"
#include "kernels/philox.h"

template <int BLOCKS>
static __device__ __forceinline__ void steps(const uint32_t *cost, int n_steps, int points, uint64_t row, float *best) {
    const uint32_t key[2] = {17, 4};
    for (int i = 0; i < n_steps; i++) {
        float least = INFINITY;
#pragma unroll 1
        for (int k = 4 * BLOCKS * (int)threadIdx.x; k < points; k += 4 * BLOCKS * 32) {
#pragma unroll
            for (int b = 0; b < BLOCKS; b++) {
                const uint32_t at[4] = {(uint32_t)(k + 4 * b) >> 2, (uint32_t)i, (uint32_t)row, (uint32_t)(row >> 32)};
                uint32_t word[4];
                gurn_philox4x32_10(at, key, word);
                const uint4 c = *reinterpret_cast<const uint4 *>(cost + k + 4 * b);
                const uint32_t costs[4] = {c.x, c.y, c.z, c.w};
#pragma unroll
                for (int j = 0; j < 4; j++)
                    least = fminf(least, s_exponential32_times(word[j], 0x1p23f) * s_exp2_fixed((int32_t)costs[j]));
            }
        }
        // A division in double precision: a call of a routine of the compiler's for its rare cases.
        least = (float)(1.0 / (1.0 + (double)least));
        for (int distance = 16; distance > 0; distance /= 2)
            least = fminf(least, __shfl_xor_sync(0xFFFFFFFFu, least, distance));
        if (threadIdx.x == 0) best[i] = least;
        cost += points;
    }
}

// Four points a lane and round.
extern "C" __global__ void __launch_bounds__(128)
    small_four(const uint32_t *cost, int n_steps, int points, float *best) {
    steps<1>(cost, n_steps, points, blockIdx.x, best + (int64_t)blockIdx.x * n_steps);
}

// Eight.
extern "C" __global__ void small_eight(const uint32_t *cost, int n_steps, int points, float *best) {
    steps<2>(cost, n_steps, points, blockIdx.x, best + (int64_t)blockIdx.x * n_steps);
}

// No noise.
extern "C" __global__ void small_none(const uint32_t *cost, float *best) {
    best[threadIdx.x] = (float)cost[threadIdx.x];
}
