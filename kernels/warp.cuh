/*
 * What the lanes of a warp, and the warps of a block, do together. Shuffles stand in this file and nowhere else.
 *
 * A tile is LANES neighbouring lanes of a warp, LANES a power of two: a row of work. A group is a tile, or a block of
 * LANES = 64, 128 or 256 threads that work on one row. Every function here is called by all 32 lanes of the warp at
 * the same place (mask: all of them), and one of a group of more than 32 by the whole block; so control flow around a
 * call is uniform over them, and a tile that is done goes along with what changes nothing. Results are the same bits
 * in every lane of a group: each step of a butterfly adds, or compares, the same two values in both lanes that
 * exchange them, and the warps of a block are taken in their order.
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

/* The lanes of the warp in which the predicate holds, lane l as bit l. */
GURN_DEVICE unsigned gurn_warp_which(bool predicate) { return __ballot_sync(GURN_ALL_LANES, predicate); }

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

/* What the lane has that is `distance` away, a power of two below LANES: lane l gets lane l ^ distance. */
template <int LANES, class T>
GURN_DEVICE T gurn_tile_exchange(T value, int distance) {
    return __shfl_xor_sync(GURN_ALL_LANES, value, distance, LANES);
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

/* The value of the neighbour: lanes 0 and 1, 2 and 3, ... exchange. */
template <class T>
GURN_DEVICE T gurn_pair_other(T value) {
    return __shfl_xor_sync(GURN_ALL_LANES, value, 1);
}

/* ------------------------------------------------------------------------------------------------------- groups --- */

/*
 * Whether the predicate holds for any thread of those that control flow has to be uniform over: the warp, or the
 * block.
 */
template <int LANES>
GURN_DEVICE bool gurn_group_any(bool predicate) {
    if constexpr (LANES <= GURN_WARP)
        return gurn_warp_any(predicate);
    else
        return __syncthreads_or(predicate) != 0;
}

/* Combines the results of a group's warps, `value` in all lanes of each, in the order of the warps. */
template <int LANES, class T, class Combine>
GURN_DEVICE T gurn_group_combine(T value, Combine combine) {
    if constexpr (LANES > GURN_WARP) {
        GURN_SHARED(parts, T[LANES / GURN_WARP]);
        __syncthreads(); /* whoever still reads the parts of the last call is done */
        if (gurn_lane() == 0) parts[threadIdx.x / GURN_WARP] = value;
        __syncthreads();
        value = parts[0];
        for (int warp = 1; warp < LANES / GURN_WARP; warp++) value = combine(value, parts[warp]);
    }
    return value;
}

/* Sum over the group. Identity 0. */
template <int LANES, class T>
GURN_DEVICE T gurn_group_sum(T value) {
    value = gurn_tile_sum<(LANES < GURN_WARP ? LANES : GURN_WARP)>(value);
    return gurn_group_combine<LANES>(value, [](T a, T b) { return a + b; });
}

/* The least value of the group. Identity +infinity, or the type's greatest value; no NaN. */
template <int LANES, class T>
GURN_DEVICE T gurn_group_least(T value) {
    value = gurn_tile_least<(LANES < GURN_WARP ? LANES : GURN_WARP)>(value);
    return gurn_group_combine<LANES>(value, [](T a, T b) { return b < a ? b : a; });
}

/*
 * The count of the group's least value; of equal values the smallest count. *value becomes the least. Identity
 * +infinity.
 */
template <int LANES, class T>
GURN_DEVICE int32_t gurn_group_argmin(T *value, int32_t count) {
    T least = gurn_group_least<LANES>(*value);
    int32_t mine = *value == least ? count : INT32_MAX;
    *value = least;
    return gurn_group_least<LANES>(mine);
}

/*
 * Sum over the lanes of the group before this one, 0 in its first lane; *total becomes the sum over the group.
 * Identity 0.
 */
template <int LANES, class T>
GURN_DEVICE T gurn_group_sum_before(T value, T *total) {
    constexpr int TILE = LANES < GURN_WARP ? LANES : GURN_WARP;
    T before = gurn_tile_sum_before<TILE>(value);
    *total = gurn_tile_from<TILE>(before + value, TILE - 1);
    if constexpr (LANES > GURN_WARP) {
        GURN_SHARED(parts, T[LANES / GURN_WARP]);
        __syncthreads();
        if (gurn_lane() == 0) parts[threadIdx.x / GURN_WARP] = *total;
        __syncthreads();
        T of_warps = (T)0;
        for (int warp = 0; warp < LANES / GURN_WARP; warp++) {
            if (warp == (int)threadIdx.x / GURN_WARP) before += of_warps;
            of_warps += parts[warp];
        }
        *total = of_warps;
    }
    return before;
}

#endif
