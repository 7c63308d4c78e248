/*
 * What the lanes of a warp do together. Shuffles stand in this file and nowhere else.
 *
 * A tile is LANES neighbouring lanes of a warp, LANES a power of two: a row of work. Every function here is called by all 32
 * lanes of the warp at the same place (mask: all of them), so control flow around a call is uniform over the warp; a tile
 * that is done goes along with what changes nothing. Results are the same bits in every lane of a tile, because each step
 * of a butterfly adds, or compares, the same two values in both lanes that exchange them.
 */
#ifndef GURN_WARP_CUH
#define GURN_WARP_CUH

#include <cuda_runtime.h>
#include <stdint.h>

#ifndef GURN_CUDA_EMULATED
/* Shared memory as tests/emulation can have it too: GURN_SHARED(tile, float[32]); GURN_DYNAMIC_SHARED(float, all); */
template <class T>
struct gurn_same_as {
    using type = T;
};
template <class T>
using gurn_same = typename gurn_same_as<T>::type;
#define GURN_SHARED(name, ...) __shared__ gurn_same<__VA_ARGS__> name
#define GURN_DYNAMIC_SHARED(type, name)                                   \
    extern __shared__ __align__(16) unsigned char gurn_dynamic_shared_[]; \
    type *name = reinterpret_cast<type *>(gurn_dynamic_shared_)
#endif

#define GURN_DEVICE static __device__ __forceinline__
#define GURN_WARP 32
#define GURN_ALL_LANES 0xFFFFFFFFu

GURN_DEVICE int gurn_lane() { return (int)(threadIdx.x & (GURN_WARP - 1)); }

/* Whether the predicate holds in any lane of the warp. */
GURN_DEVICE bool gurn_warp_any(bool predicate) { return __any_sync(GURN_ALL_LANES, predicate) != 0; }

/* Whether it holds in any lane of the tile. */
template <int LANES>
GURN_DEVICE bool gurn_tile_any(bool predicate) {
    unsigned votes = __ballot_sync(GURN_ALL_LANES, predicate);
    if (LANES == GURN_WARP) return votes != 0;
    return (votes >> (gurn_lane() & ~(LANES - 1)) & (unsigned)((1ull << LANES) - 1)) != 0;
}

/* The value of one lane of the tile, 0 <= lane < LANES, in all of its lanes. */
template <int LANES, class T>
GURN_DEVICE T gurn_tile_from(T value, int lane) {
    return __shfl_sync(GURN_ALL_LANES, value, lane, LANES);
}

/* Sum over the tile, by a butterfly of descending distance: a fixed order, that of tilt.h. Identity 0. */
template <int LANES, class T>
GURN_DEVICE T gurn_tile_sum(T value) {
    for (int distance = LANES / 2; distance > 0; distance /= 2)
        value += __shfl_xor_sync(GURN_ALL_LANES, value, distance, LANES);
    return value;
}

/* The least value of the tile. Identity +infinity; no NaN. */
template <int LANES, class T>
GURN_DEVICE T gurn_tile_least(T value) {
    for (int distance = 1; distance < LANES; distance *= 2) {
        T other = __shfl_xor_sync(GURN_ALL_LANES, value, distance, LANES);
        value = other < value ? other : value;
    }
    return value;
}

/* The least value of the tile and its count; of equal values the smallest count. Identity {+infinity, any count}. */
template <int LANES, class T>
GURN_DEVICE void gurn_tile_argmin(T *value, int32_t *count) {
    for (int distance = 1; distance < LANES; distance *= 2) {
        T other = __shfl_xor_sync(GURN_ALL_LANES, *value, distance, LANES);
        int32_t its = __shfl_xor_sync(GURN_ALL_LANES, *count, distance, LANES);
        bool wins = other < *value || (other == *value && its < *count);
        *value = wins ? other : *value;
        *count = wins ? its : *count;
    }
}

/* Sum over the lanes of the tile before this one (0 in its first lane). Identity 0. */
template <int LANES, class T>
GURN_DEVICE T gurn_tile_sum_before(T value) {
    int lane = gurn_lane() & (LANES - 1);
    T sum = value;
    for (int distance = 1; distance < LANES; distance *= 2) {
        T other = __shfl_up_sync(GURN_ALL_LANES, sum, (unsigned)distance, LANES);
        if (lane >= distance) sum += other;
    }
    T before = __shfl_up_sync(GURN_ALL_LANES, sum, 1u, LANES);
    return lane > 0 ? before : (T)0;
}

#endif
