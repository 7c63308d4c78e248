/*
 * Tests of the CUDA emulation: what it runs, and that each mistake it promises to catch is caught when planted. The
 * same files are built plain, with AddressSanitizer and with checked accesses (README.md); tests of what only one of them
 * sees are skipped visibly in the others. Streams, memory, errors, devices: test_runtime.cpp.
 */
#include <chrono>
#include <cub/cub.cuh>
#include <thread>

#include "test_device.h"

namespace {
// ---- Lanes

__global__ void write_index(int *out) {
    const unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
    const unsigned thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
    out[block * blockDim.x * blockDim.y * blockDim.z + thread] = int(1000 * block + thread);
}

TEST_F(Emulation, GridsAndBlocksOfAllDimensions) {
    const Device<int> out(24 * 120);
    for (const uint64_t seed : {0, 1, 2}) {
        emu::set_seed(seed);
        cudaMemset(out, 0, 24 * 120 * sizeof(int));
        const cudaLaunchConfig_t config = shape(dim3(2, 3, 4), dim3(4, 5, 6));
        ASSERT_EQ(cudaLaunchKernelEx(&config, write_index, out), cudaSuccess);
        const std::vector<int> got = out.get();
        for (int i = 0; i < 24 * 120; i++) ASSERT_EQ(got[size_t(i)], i / 120 * 1000 + i % 120);
    }
}

template <class T>
__global__ void shuffles(T *out, int width, int by) {
    const int lane = int(threadIdx.x);
    const T v = T(10 + lane);
    out[lane] = __shfl_sync(kAll, v, by % width, width);
    out[32 + lane] = __shfl_up_sync(kAll, v, unsigned(by), width);
    out[64 + lane] = __shfl_down_sync(kAll, v, unsigned(by), width);
    out[96 + lane] = __shfl_xor_sync(kAll, v, by, width);
}

template <class T>
void test_shuffles() {
    const Device<T> out(128);
    for (const int width : {1, 2, 8, 16, 32}) {
        for (const int by : {0, 1, 3, 9, 31}) {
            const cudaLaunchConfig_t config = shape(1, 32);
            ASSERT_EQ(cudaLaunchKernelEx(&config, shuffles<T>, out, width, by), cudaSuccess);
            const std::vector<T> got = out.get();
            for (int lane = 0; lane < 32; lane++) {
                const int begin = lane / width * width, end = begin + width;
                EXPECT_EQ(got[size_t(lane)], T(10 + begin + by % width));
                EXPECT_EQ(got[size_t(32 + lane)], T(10 + (lane - by < begin ? lane : lane - by)));
                EXPECT_EQ(got[size_t(64 + lane)], T(10 + (lane + by >= end ? lane : lane + by)));
                EXPECT_EQ(got[size_t(96 + lane)], T(10 + ((lane ^ by) >= end ? lane : lane ^ by)));
            }
        }
    }
}

TEST_F(Emulation, Shuffles) {
    test_shuffles<int>();
    test_shuffles<unsigned>();
    test_shuffles<long long>();
    test_shuffles<unsigned long long>();
    test_shuffles<float>();
    test_shuffles<double>();
}

__global__ void votes(unsigned *out) {
    const unsigned lane = threadIdx.x;
    unsigned *mine = out + 16 * lane;
    mine[0] = __ballot_sync(kAll, lane % 3 == 0);
    mine[1] = unsigned(__any_sync(kAll, lane == 7)) * 2 + unsigned(__any_sync(kAll, lane == 99));
    mine[2] = unsigned(__all_sync(kAll, lane < 32)) * 2 + unsigned(__all_sync(kAll, lane < 31));
    mine[3] = __match_any_sync(kAll, lane % 4);
    mine[4] = __reduce_add_sync(kAll, lane);
    mine[5] = __reduce_min_sync(kAll, lane + 5);
    mine[6] = __reduce_max_sync(kAll, lane - 5);
    mine[7] = unsigned(__reduce_min_sync(kAll, int(lane) - 5));
    mine[8] = unsigned(__reduce_max_sync(kAll, int(lane) - 40));
    mine[9] = __reduce_and_sync(kAll, lane | 4);
    mine[10] = __reduce_or_sync(kAll, lane);
    mine[11] = __reduce_xor_sync(kAll, lane + 1);
    mine[12] = unsigned(__reduce_add_sync(kAll, -int(lane)));
}

TEST_F(Emulation, VotesAndReductions) {
    const Device<unsigned> out(16 * 32);
    const cudaLaunchConfig_t config = shape(1, 32);
    cudaLaunchKernelEx(&config, votes, out);
    const std::vector<unsigned> got = out.get();
    for (unsigned lane = 0; lane < 32; lane++) {
        const unsigned *mine = &got[16 * lane];
        EXPECT_EQ(mine[0], 0x49249249u);
        EXPECT_EQ(mine[1], 2u);
        EXPECT_EQ(mine[2], 2u);
        EXPECT_EQ(mine[3], 0x11111111u << lane % 4);
        EXPECT_EQ(mine[4], 496u);
        EXPECT_EQ(mine[5], 5u);
        EXPECT_EQ(mine[6], 0xFFFFFFFFu);
        EXPECT_EQ(int(mine[7]), -5);
        EXPECT_EQ(int(mine[8]), -9);
        EXPECT_EQ(mine[9], 4u);
        EXPECT_EQ(mine[10], 31u);
        EXPECT_EQ(mine[11], 32u);
        EXPECT_EQ(int(mine[12]), -496);
    }
}

// Tiles of a warp that go separate ways, and lanes that meet different partners in turn.
__global__ void partial_masks(int *out) {
    const int lane = int(threadIdx.x), tile = lane / 8;
    const unsigned mask = 0xFFu << (8 * tile);
    int sum = lane;
    for (int round = 0; round <= tile; round++) {
        for (int d = 4; d; d /= 2) sum += __shfl_xor_sync(mask, sum, d, 8);
    }
    out[lane] = sum;
    if (lane == 0) __syncwarp(5);
    if (lane == 0 || lane == 1) out[32 + lane] = __shfl_xor_sync(3, lane, 1);
    if (lane == 2) __syncwarp(5);
    __syncwarp();
}

TEST_F(Emulation, PartialMasks) {
    const Device<int> out(34);
    for (const uint64_t seed : {0, 3, 4, 5, 6, 7}) {
        emu::set_seed(seed);
        const cudaLaunchConfig_t config = shape(1, 32);
        cudaLaunchKernelEx(&config, partial_masks, out);
        const std::vector<int> got = out.get();
        for (int lane = 0; lane < 32; lane++) {
            const int tile = lane / 8;
            EXPECT_EQ(got[size_t(lane)], (28 + 64 * tile) * (1 << 3 * tile));
        }
        EXPECT_EQ(got[32], 1);
        EXPECT_EQ(got[33], 0);
    }
}

__global__ void barriers(int *out) {
    const int t = int(threadIdx.x);
    const int any = __syncthreads_or(t == 77), none = __syncthreads_or(0);
    const int all = __syncthreads_and(t < 100), not_all = __syncthreads_and(t < 99);
    out[t] = any * 8 + none * 4 + all * 2 + not_all + 16 * __syncthreads_count(t % 2);
}

TEST_F(Emulation, Barriers) {
    const Device<int> out(100);
    for (const uint64_t seed : {0, 8, 9}) {
        emu::set_seed(seed);
        const cudaLaunchConfig_t config = shape(1, 100);
        cudaLaunchKernelEx(&config, barriers, out);
        for (const int v : out.get()) EXPECT_EQ(v, 16 * 50 + 8 + 2);
    }
}

__global__ void block_sums(const int *in, int *out, int n) {
    GURN_SHARED(part, int[32]);
    GURN_DYNAMIC_SHARED(int, all);
    const int t = int(threadIdx.x), i = int(blockIdx.x * blockDim.x) + t;
    all[t] = i < n ? in[i] : 0;
    __syncthreads();
    const int sum = __reduce_add_sync(kAll, all[int(blockDim.x) - 1 - t]);
    if (t % 32 == 0) part[t / 32] = sum;
    __syncthreads();
    if (t < 32) {
        const int total = __reduce_add_sync(kAll, t < int(blockDim.x) / 32 ? part[t] : 0);
        if (t == 0) out[blockIdx.x] = total;
    }
}

TEST_F(Emulation, SharedMemoryReduction) {
    const int n = 1000;
    const Device<int> in(iota(n)), out(4);
    for (const uint64_t seed : {0, 10, 11}) {
        emu::set_seed(seed);
        const cudaLaunchConfig_t config = shape(4, 256, 256 * sizeof(int));
        cudaLaunchKernelEx(&config, block_sums, in, out, n);
        const std::vector<int> got = out.get();
        EXPECT_EQ(std::accumulate(got.begin(), got.end(), 0), n * (n - 1) / 2);
        EXPECT_EQ(got[0], 255 * 256 / 2);
    }
}

TEST_F(Emulation, ManyHostThreads) {
    std::vector<std::thread> all;
    for (int i = 0; i < 4; i++) {
        all.emplace_back([] {
            for (int round = 0; round < 20; round++) {
                const Device<int> in(iota(512)), out(2);
                const cudaLaunchConfig_t config = shape(2, 256, 1024);
                cudaLaunchKernelEx(&config, block_sums, in, out, 512);
                EXPECT_EQ(out.get(), (std::vector<int>{255 * 128, 255 * 128 + 256 * 256}));
            }
        });
    }
    for (std::thread &thread : all) thread.join();
}

__global__ void intrinsics(int *failed) {
    int line = 0;
#define CHECK(condition) \
    if (!(condition)) line = __LINE__
    CHECK(__popc(0xF0F0u) == 8 && __popcll(~0ull) == 64 && __ffs(8) == 4 && __ffs(0) == 0 && __clz(0) == 32 &&
          __clz(1) == 31);
    CHECK(__brev(1u) == 0x80000000u && __brev(0x0000F001u) == 0x800F0000u && __clzll(1) == 63 &&
          __ffsll(1ll << 40) == 41);
    CHECK(__funnelshift_l(0x80000000u, 1u, 1) == 3u && __funnelshift_r(1u, 3u, 1) == 0x80000000u);
    CHECK(__umulhi(0x80000000u, 6u) == 3u && __mulhi(-1, 1) == -1 && __umul64hi(1ull << 63, 6) == 3u);
    CHECK(__float_as_uint(1.0f) == 0x3F800000u && __int_as_float(0x40000000) == 2.0f);
    CHECK(__longlong_as_double(__double_as_longlong(-0.1)) == -0.1);
    CHECK(__float2int_rn(2.5f) == 2 && __float2int_rz(-2.9f) == -2 && __float2int_rd(-2.1f) == -3 &&
          __double2int_ru(2.1) == 3);
    CHECK(__float2int_rn(1e20f) == 2147483647 && __float2int_rn(NAN) == 0 && __float2uint_rn(-3.0f) == 0u);
    CHECK(__fmaf_rn(3.0f, 4.0f, 5.0f) == 17.0f && __fma_rn(3.0, 4.0, 5.0) == 17.0 && __dadd_rn(1.0, 2.0) == 3.0);
    CHECK(min(3, 5) == 3 && max(3u, 5u) == 5u && min(1.0f, NAN) == 1.0f && __saturatef(2.0f) == 1.0f &&
          rsqrtf(4.0f) == 0.5f);
    const float4 v = make_float4(1, 2, 3, 4);
    CHECK(v.w == 4.0f && alignof(float4) == 16 && sizeof(double2) == 16 && alignof(int2) == 8);
    CHECK(__activemask() >> threadIdx.x & 1);
    *failed = line;
#undef CHECK
}

TEST_F(Emulation, Intrinsics) {
    const Device<int> failed(1);
    const cudaLaunchConfig_t config = shape(1, 1);
    cudaLaunchKernelEx(&config, intrinsics, failed);
    EXPECT_EQ(failed.get()[0], 0) << "see that line";
}

__global__ void note_order(int *counter, int *order) {
    const int place = atomicAdd(counter, 1);
    order[place] = int(blockIdx.x * blockDim.x + threadIdx.x);
    atomicMax(counter + 1, place);
    atomicMin(counter + 2, place - 5);
    if (atomicCAS(counter + 3, 0, 1) == 0) atomicExch(counter + 4, 7);
    __syncwarp();
    order[blockDim.x * gridDim.x + unsigned(atomicAdd(counter + 5, 1))] = int(threadIdx.x);
}

TEST_F(Emulation, OrderIsAscendingOrChosenByTheSeed) {
    const int blocks = 5, threads = 96, n = blocks * threads;
    auto order = [&](uint64_t seed) {
        const Device<int> counter(std::vector<int>(6, 0)), out(size_t(2 * n));
        emu::set_seed(seed);
        const cudaLaunchConfig_t config = shape(blocks, threads);
        cudaLaunchKernelEx(&config, note_order, counter, out);
        EXPECT_EQ(counter.get(), (std::vector<int>{n, n - 1, -5, 1, 7, n}));
        const std::vector<int> got = out.get();
        return got;
    };
    auto first = [&](const std::vector<int> &v) { return std::vector<int>(v.begin(), v.begin() + n); };
    EXPECT_EQ(first(order(0)), iota(n));
    EXPECT_EQ(order(5), order(5));
    EXPECT_NE(order(5), order(6));
    std::vector<int> sorted = first(order(5));  // every lane of every block ran, once
    EXPECT_NE(sorted, iota(n));
    std::sort(sorted.begin(), sorted.end());
    EXPECT_EQ(sorted, iota(n));
}

__global__ void wait_for_flag(volatile int *flag, int *out) {
    if (threadIdx.x == 40) *flag = 1;
    while (*flag == 0) __nanosleep(10);
    out[threadIdx.x] = *flag;
}

TEST_F(Emulation, SpinningLanesLetOthersRun) {
    const Device<int> flag(std::vector<int>{0}), out(64);
    const cudaLaunchConfig_t config = shape(1, 64);
    cudaLaunchKernelEx(&config, wait_for_flag, static_cast<int *>(flag), out);
    EXPECT_EQ(out.get(), std::vector<int>(64, 1));
}

// ---- CUB stand-ins

template <int THREADS, int ITEMS>
__global__ void sort_block(float *keys, int *values, float *sum) {
    using Sort = cub::BlockRadixSort<float, THREADS, ITEMS, int>;
    using Reduce = cub::BlockReduce<float, THREADS>;
    GURN_SHARED(sort_temp, typename Sort::TempStorage);
    GURN_SHARED(reduce_temp, typename Reduce::TempStorage);
    float key[ITEMS];
    int value[ITEMS];
    float mine = 0;
    for (int i = 0; i < ITEMS; i++) {
        const int at = int(threadIdx.x) * ITEMS + i;
        key[i] = keys[at];
        value[i] = values[at];
        mine += key[i];
    }
    Sort(sort_temp).SortDescending(key, value);
    for (int i = 0; i < ITEMS; i++) {
        const int at = int(threadIdx.x) * ITEMS + i;
        keys[at] = key[i];
        values[at] = value[i];
    }
    const float total = Reduce(reduce_temp).Sum(mine);
    if (threadIdx.x == 0) *sum = total;
}

TEST_F(Emulation, CubBlockSortAndReduce) {
    const int n = 64 * 3;
    std::vector<float> keys;
    for (int i = 0; i < n; i++) keys.push_back(float((i * 37) % 23) - 11.0f);
    keys[5] = -0.0f;
    std::vector<int> expected = iota(n);
    std::stable_sort(expected.begin(), expected.end(), [&](int a, int b) { return keys[size_t(a)] > keys[size_t(b)]; });
    const Device<float> device_keys(keys), sum(1);
    const Device<int> values(iota(n));
    const cudaLaunchConfig_t config = shape(1, 64);
    cudaLaunchKernelEx(&config, sort_block<64, 3>, device_keys, values, sum);
    EXPECT_EQ(values.get(), expected);
    EXPECT_EQ(sum.get()[0], std::accumulate(keys.begin(), keys.end(), 0.0f));
    std::sort(keys.begin(), keys.end(), std::greater<float>());
    EXPECT_EQ(device_keys.get(), keys);
}

TEST_F(Emulation, CubDeviceWide) {
    const Device<int> keys(std::vector<int>{3, -1, 3, 7, 5, 6, 5}), values(iota(7)), keys_out(7), values_out(7);
    const Device<int> offsets(std::vector<int>{0, 4, 4, 7}), sums(std::vector<int>(8, -1));
    size_t bytes = 0;
    auto sort = [&](void *temp) {
        return cub::DeviceSegmentedRadixSort::SortPairsDescending<int, int, const int *>(
            temp, bytes, keys, keys_out, values, values_out, 7, 3, offsets, offsets + 1);
    };
    EXPECT_EQ(sort(nullptr), cudaSuccess);
    const Device<char> temp(bytes);
    EXPECT_EQ(sort(temp), cudaSuccess);
    EXPECT_EQ(values_out.get(), (std::vector<int>{3, 0, 2, 1, 5, 4, 6}));
    EXPECT_EQ(keys_out.get(), (std::vector<int>{7, 3, 3, -1, 6, 5, 5}));
    int *in = keys, *out = sums;
    EXPECT_EQ(cub::DeviceScan::ExclusiveSum(temp, bytes, in, out, 7), cudaSuccess);
    EXPECT_EQ(cub::DeviceReduce::Sum(temp, bytes, in, out + 7, 7), cudaSuccess);
    EXPECT_EQ(sums.get(), (std::vector<int>{0, 3, 2, 5, 12, 17, 23, 28}));
}

// ---- Mistakes in collectives

enum Mistake {
    kSourceBeyondWidth,
    kSourceNotInMask,
    kDownOutOfMask,
    kXorTooFar,
    kBadWidth,
    kCallerNotInMask,
    kMasksDiffer,
    kCallsDiffer,
    kLaneExited,
    kBarrierExited,
    kBarrierElsewhere,
    kBarrierInBranches,
    kBarrierKindsDiffer
};

__global__ void mistake(Mistake which) {
    const int lane = int(threadIdx.x);
    switch (which) {
        case kSourceBeyondWidth: __shfl_sync(kAll, lane, 8, 8); break;
        case kSourceNotInMask:
            if (lane < 16) __shfl_sync(0xFFFFu, lane, 16);
            break;
        case kDownOutOfMask:
            if (lane < 16) __shfl_down_sync(0xFFFFu, lane, 8);
            break;
        case kXorTooFar: __shfl_xor_sync(kAll, lane, 32); break;
        case kBadWidth: __shfl_up_sync(kAll, lane, 1, 12); break;
        case kCallerNotInMask: __ballot_sync(0xFFFFu, 1); break;
        case kMasksDiffer: __any_sync(lane == 9 ? 0x3FFu : kAll, 1); break;
        case kCallsDiffer:
            if (lane < 31)
                __syncwarp();
            else
                __all_sync(kAll, 1);
            break;
        case kLaneExited:
            if (lane == 3) return;
            __reduce_add_sync(kAll, 1u);
            break;
        case kBarrierExited:
            if (lane == 40) return;
            __syncthreads();
            break;
        case kBarrierElsewhere:
            if (lane < 40)
                __syncthreads();
            else
                __syncwarp();
            break;
        case kBarrierInBranches:
            if (lane < 32)
                __syncthreads();
            else
                __syncthreads();
            break;
        case kBarrierKindsDiffer:
            if (lane % 2)
                __syncthreads_or(1);
            else
                __syncthreads_count(1);
    }
}

struct Planted {
    const char *name;
    Mistake which;
    const char *report;
};

class EmulationMistakes : public Emulation, public testing::WithParamInterface<Planted> {};

TEST_P(EmulationMistakes, AreReported) {
    for (const uint64_t seed : {0, 21, 22, 23}) {
        emu::set_seed(seed);
        const cudaLaunchConfig_t config = shape(2, 64);
        EXPECT_EQ(cudaLaunchKernelEx(&config, mistake, GetParam().which), cudaSuccess);
        const std::string report = caught();
        EXPECT_PRED_FORMAT2(testing::IsSubstring, GetParam().report, report);
        EXPECT_PRED_FORMAT2(testing::IsSubstring, "kernel mistake, block (", report);
        EXPECT_PRED_FORMAT2(testing::IsSubstring, "test_emulation.cpp:", report);
    }
}

INSTANTIATE_TEST_SUITE_P(
    Planted, EmulationMistakes,
    testing::Values(
        Planted{"SourceBeyondWidth", kSourceBeyondWidth, "source lane 8 is out of range, width 8"},
        Planted{"SourceNotInMask", kSourceNotInMask, "source lane 16 is not in the mask"},
        Planted{"DownOutOfMask", kDownOutOfMask, ": source lane 16 is not in the mask"},
        Planted{"XorTooFar", kXorTooFar, "lane mask 32 is out of range"},
        Planted{"BadWidth", kBadWidth, "width 12 is not a power of two"},
        Planted{"CallerNotInMask", kCallerNotInMask, "the calling lane is not in its own mask"},
        Planted{"MasksDiffer", kMasksDiffer, "lane 9 is in __any_sync with mask 0x000003ff"},
        Planted{"CallsDiffer", kCallsDiffer, "lane 31 is in __all_sync with mask 0xffffffff"},
        Planted{"LaneExited", kLaneExited, "lane 3, which its mask names, has exited"},
        Planted{"BarrierExited", kBarrierExited, "thread (40, 0, 0) has exited: divergent barrier"},
        Planted{"BarrierElsewhere", kBarrierElsewhere, "lane 0 is in __syncthreads at "},
        Planted{"BarrierInBranches", kBarrierInBranches, "divergent barrier: other threads wait in __syncthreads at"},
        Planted{"BarrierKindsDiffer", kBarrierKindsDiffer, "divergent barrier: other threads wait in __syncthreads_"}),
    [](const auto &test) { return test.param.name; });

TEST_F(Emulation, LaneThatDoesNotExist) {
    const cudaLaunchConfig_t config = shape(1, 20);
    cudaLaunchKernelEx(&config, mistake, kCallsDiffer);
    EXPECT_CAUGHT("lane 20, which its mask names, does not exist");
}

TEST_F(Emulation, ErrorsStickUntilTheReportIsTaken) {
    const Device<int> out(1);
    const cudaLaunchConfig_t config = shape(1, 32);
    cudaLaunchKernelEx(&config, mistake, kLaneExited);
    EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorLaunchFailure);
    EXPECT_EQ(cudaMemset(out, 0, 4), cudaErrorLaunchFailure);
    EXPECT_EQ(cudaGetLastError(), cudaErrorLaunchFailure);
    EXPECT_EQ(cudaPeekAtLastError(), cudaErrorLaunchFailure);
    EXPECT_NE(emu::take_report(), "");
    EXPECT_EQ(cudaGetLastError(), cudaSuccess);
    EXPECT_EQ(cudaMemset(out, 0, 4), cudaSuccess);
}

// ---- Mistakes with memory

__global__ void write_at(int *p, int64_t index) { p[index] = 1; }
__global__ void read_at(const int *p, int64_t index, int *out) { *out = p[index]; }
struct Hidden {
    const int *p;
};
__global__ void read_hidden(Hidden hidden, int *out) { *out = *hidden.p; }
__global__ void no_barrier(int *out) {
    GURN_DYNAMIC_SHARED(int, shared);
    const unsigned t = threadIdx.x, n = blockDim.x;
    shared[t] = int(t);
    out[t] = shared[n - 1 - t];
}
__global__ void no_syncwarp(int *out) {
    GURN_SHARED(shared, int[32]);
    const unsigned t = threadIdx.x;
    shared[t] = int(t);
    const int sum = __reduce_add_sync(kAll, 1);  // orders no memory
    out[t] = shared[t ^ 1] + sum;
}
__global__ void write_after_read(int *out, bool barrier) {
    GURN_SHARED(shared, int[64]);
    const unsigned t = threadIdx.x;
    shared[t] = int(t);
    __syncthreads();
    const int sum = shared[t ^ 1] + shared[t ^ 32];
    if (barrier) __syncthreads();
    shared[t] = sum;
    out[t] = sum;
}
// After a barrier the thread that completed it goes on, then the rest of its warp, then other warps.
__global__ void one_cell(int *out, unsigned writer, bool read, bool barrier) {
    GURN_SHARED(cell, int);
    const unsigned t = threadIdx.x;
    if (t == 0) cell = 1;
    __syncthreads();
    if (read)
        out[t] = cell;
    else if (t == 0)
        cell = 2;
    if (barrier) __syncthreads();
    if (t == writer) cell = 3;
}
__global__ void exchange_in_turn(int *out) {
    GURN_SHARED(cell, int[64]);
    GURN_SHARED(total, unsigned);
    const unsigned t = threadIdx.x;
    cell[t] = int(t);
    if (t == 0) total = 0;
    __syncthreads();
    for (int round = 0; round < 3; round++) {  // each reads its neighbour's, then changes its own
        const int other = cell[t ^ 1];
        __syncwarp();
        cell[t] += other;
        __syncwarp();
        atomicAdd(&total, 1u);
    }
    __syncthreads();
    out[t] = cell[63 - t] + int(total);
}
__global__ void never_written(float *out) {
    GURN_SHARED(part, float[32]);
    if (threadIdx.x != 5) part[threadIdx.x] = 1;
    __syncwarp();
    out[threadIdx.x] = part[threadIdx.x ^ 1];
}
__global__ void other_stack(int *out) {
    int mine = int(threadIdx.x);
    GURN_SHARED(leaked, int *);
    if (threadIdx.x == 0) leaked = &mine;
    __syncthreads();
    out[threadIdx.x] = *leaked + mine;
    __syncthreads();
}
__global__ void beyond_shared(int *out, int index) {
    GURN_SHARED(part, int[8]);
    int *p = part;
    for (int i = 0; i < 8; i++) p[i] = i;
    *out = p[index];
}
__global__ void dynamic_without(int *out) {
    GURN_DYNAMIC_SHARED(int, shared);
    *out = shared[0];
}

TEST_F(Emulation, PointerArgumentsMustBeDevices) {
    int host = 0;
    const cudaLaunchConfig_t config = shape(1, 1);
    cudaLaunchKernelEx(&config, write_at, &host, 0);
    EXPECT_CAUGHT("pointer argument 1 is to host memory");
    int *stale;
    cudaMalloc(&stale, 4);
    cudaFree(stale);
    cudaLaunchKernelEx(&config, read_at, stale, 0, nullptr);
    EXPECT_CAUGHT("pointer argument 1 is not to a live device allocation");
}

TEST_F(Emulation, PinnedMemoryIsTheDevicesToo) {
    int *pinned;
    ASSERT_EQ(cudaMallocHost(&pinned, 4), cudaSuccess);
    const cudaLaunchConfig_t config = shape(1, 1);
    cudaLaunchKernelEx(&config, write_at, pinned, 0);
    EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
    EXPECT_EQ(*pinned, 1);
    EXPECT_EQ(cudaFreeHost(pinned), cudaSuccess);
}

TEST_F(Emulation, SharedMemoryIsPoisonedForEveryBlock) {
    NEEDS(!emu::checking, "builds that let it be read");
    const Device<float> out(32);
    const cudaLaunchConfig_t config = shape(3, 32);
    cudaLaunchKernelEx(&config, never_written, out);
    const std::vector<float> got = out.get();
    EXPECT_TRUE(std::isnan(got[4]));
    EXPECT_EQ(got[3], 1.0f);
}

TEST_F(Emulation, SharedMemoryReadBeforeWritten) {
    NEEDS(emu::checking, "checked accesses");
    const Device<float> out(32);
    const cudaLaunchConfig_t config = shape(2, 32);
    cudaLaunchKernelEx(&config, never_written, out);
    EXPECT_CAUGHT("thread (4, 0, 0): reads byte 20 of static shared memory, which this block has not written");
}

TEST_F(Emulation, RacesShowInSomeOrder) {
    NEEDS(!emu::checking, "builds that let them run");
    const Device<int> out(64);
    bool wrong = false;
    for (uint64_t seed = 0; seed < 4; seed++) {
        emu::set_seed(seed);
        const cudaLaunchConfig_t config = shape(1, 64, 256);
        cudaLaunchKernelEx(&config, no_barrier, out);
        std::vector<int> got = out.get();
        std::reverse(got.begin(), got.end());
        wrong |= got != iota(64);
    }
    EXPECT_TRUE(wrong);
}

TEST_F(Emulation, Races) {
    NEEDS(emu::checking, "checked accesses");
    const Device<int> out(64);
    for (const uint64_t seed : {0, 31, 32, 33}) {
        emu::set_seed(seed);
        const cudaLaunchConfig_t config = shape(1, 64, 256), warp = shape(1, 32);
        cudaLaunchKernelEx(&config, no_barrier, out);  // whichever side runs first
        const std::string report = caught();
        EXPECT_TRUE(report.find("race: ") != report.npos || report.find("has not written") != report.npos) << report;
        cudaLaunchKernelEx(&warp, no_syncwarp, out);
        EXPECT_CAUGHT("has written with no barrier or __syncwarp in between");
        cudaLaunchKernelEx(&config, write_after_read, out, false);
        EXPECT_CAUGHT("race: ");
        cudaLaunchKernelEx(&config, write_after_read, out, true);
        EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
    }
}

__global__ void turn(int *p, bool sync) {  // what each lane of the block wrote, another reads
    p += blockIdx.x * blockDim.x;
    p[threadIdx.x] = int(threadIdx.x);
    if (sync) __syncthreads();
    const int got = p[blockDim.x - 1 - threadIdx.x];
    if (sync) __syncthreads();
    p[threadIdx.x] = got;
}
__global__ void first_writes(int *p, bool sync) {  // every lane reads, then lane 0 overwrites
    const int seen = *p;
    const bool any = __any_sync(kAll, seen > 0);
    if (sync) __syncwarp();
    if (threadIdx.x == 0) *p = any + 1;
}
__global__ void blocks_share(int *p, bool write) {
    if (write)
        *p = int(blockIdx.x);
    else if (blockIdx.x == 0)
        *p += 1;
    else
        p[1 + blockIdx.x] = *p;
}
__global__ void count(int *p) {
    atomicAdd(p, 1);
    p[1 + blockIdx.x * blockDim.x + threadIdx.x] = 0;
}

TEST_F(Emulation, RacesInDeviceMemory) {
    NEEDS(emu::checking, "checked accesses");
    const Device<int> p(std::vector<int>(200, 1));
    const cudaLaunchConfig_t config = shape(2, 64), warp = shape(1, 32), blocks = shape(3, 1);
    emu::check_device_races(true);
    for (const uint64_t seed : {0, 51, 52}) {
        emu::set_seed(seed);
        cudaLaunchKernelEx(&config, turn, p, true);
        cudaLaunchKernelEx(&config, count, p);
        cudaLaunchKernelEx(&warp, first_writes, p, true);
        EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
        cudaLaunchKernelEx(&config, turn, p, false);
        EXPECT_CAUGHT("of device memory, which thread ");
        cudaLaunchKernelEx(&warp, first_writes, p, false);
        EXPECT_CAUGHT("race: writes byte 0 of device memory, which thread ");
        cudaLaunchKernelEx(&blocks, blocks_share, p, true);
        EXPECT_CAUGHT("of device memory, which block ");
        cudaLaunchKernelEx(&blocks, blocks_share, p, false);
        EXPECT_CAUGHT("of device memory, which block ");
    }
    emu::check_device_races(false);
    cudaLaunchKernelEx(&warp, first_writes, p, false);
    EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess) << "they are not looked for unless asked";
}

TEST_F(Emulation, WhatIsNoRace) {
    const Device<int> out(64);
    for (const uint64_t seed : {0, 41, 42, 43}) {
        emu::set_seed(seed);
        const cudaLaunchConfig_t config = shape(2, 64);
        cudaLaunchKernelEx(&config, exchange_in_turn, out);
        const std::vector<int> got = out.get();
        for (int t = 0; t < 64; t++) EXPECT_EQ(got[size_t(63 - t)], 4 * (t + (t ^ 1)) + 3 * 64);
    }
}

TEST_F(Emulation, RacesOfEveryKind) {
    NEEDS(emu::checking, "checked accesses");
    const Device<int> out(64);
    const cudaLaunchConfig_t warp = shape(1, 32), warps = shape(1, 64);
    cudaLaunchKernelEx(&warp, one_cell, out, 30, true, false);
    EXPECT_CAUGHT(
        "thread (30, 0, 0): race: writes byte 0 of static shared memory, which thread 0 of the block has read");
    cudaLaunchKernelEx(&warps, one_cell, out, 31, true, false);
    EXPECT_CAUGHT(
        "thread (31, 0, 0): race: writes byte 0 of static shared memory, which thread 0 of the block, and others");
    cudaLaunchKernelEx(&warps, one_cell, out, 31, false, false);
    EXPECT_CAUGHT(
        "thread (31, 0, 0): race: writes byte 0 of static shared memory, which thread 0 of the block has written");
    cudaLaunchKernelEx(&warps, one_cell, out, 31, true, true);
    cudaLaunchKernelEx(&warps, one_cell, out, 31, false, true);
    EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
}

TEST_F(Emulation, CheckedAccesses) {
    NEEDS(emu::checking, "checked accesses");
    const Device<int> out(1), in(std::vector<int>{1, 2, 3}), fresh(4);
    const cudaLaunchConfig_t config = shape(1, 1), two = shape(1, 2);
    int host = 0;
    cudaLaunchKernelEx(&config, read_hidden, Hidden{&host}, out);
    EXPECT_CAUGHT("kernel read_hidden, block (0, 0, 0), thread (0, 0, 0): reads 4 bytes at 0x");
    cudaLaunchKernelEx(&config, write_at, out, 1);
    EXPECT_CAUGHT("outside any device allocation");
    cudaLaunchKernelEx(&config, read_at, in, -1, out);
    EXPECT_CAUGHT("outside any device allocation");
    cudaLaunchKernelEx(&config, read_at, fresh, 1, out);
    EXPECT_CAUGHT("never written");
    cudaMemcpy(fresh + 1, in, 8, cudaMemcpyDeviceToDevice);
    cudaLaunchKernelEx(&config, read_at, fresh, 2, out);
    EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
    cudaLaunchKernelEx(&config, beyond_shared, out, 9);
    EXPECT_CAUGHT("out of bounds");
    cudaLaunchKernelEx(&two, other_stack, out);
    EXPECT_CAUGHT("a local variable of another thread");
    EXPECT_EQ(cudaMemset(out, 0, 4), cudaSuccess);
}

TEST_F(Emulation, DynamicSharedMemoryThatTheLaunchDidNotGive) {
    const Device<int> out(1);
    const cudaLaunchConfig_t config = shape(1, 1);
    cudaLaunchKernelEx(&config, dynamic_without, out);
    EXPECT_CAUGHT("none given by the launch");
}

TEST_F(EmulationDeath, OutOfBounds) {
    NEEDS(EMU_ASAN, "AddressSanitizer");
    const Device<int> out(3), in(3);
    const cudaLaunchConfig_t config = shape(1, 1);
    auto launch = [&](auto... arguments) {
        cudaLaunchKernelEx(&config, arguments...);
        cudaDeviceSynchronize();
    };
    int *p = out, *q = in;
    EXPECT_DEATH(launch(write_at, p, int64_t(3)), "use-after-poison");
    EXPECT_DEATH(launch(read_at, q, int64_t(-1), p), "use-after-poison");
    EXPECT_DEATH(launch(beyond_shared, p, 8), "heap-buffer-overflow");
    EXPECT_DEATH(launch(beyond_shared, p, -1), "heap-buffer-overflow");
}

TEST_F(EmulationDeath, HostTouchesDeviceMemory) {
    const Device<int> values(std::vector<int>{1, 2});
    volatile int *p = values;
    EXPECT_DEATH(p[0] = 3, "");
    EXPECT_DEATH(printf("%d", p[1]), "");
    EXPECT_EQ(values.get(), (std::vector<int>{1, 2}));
}

TEST_F(EmulationDeath, CollectiveOutsideAKernel) { EXPECT_DEATH(__syncwarp(), "__syncwarp at .*called by host code"); }

TEST_F(EmulationDeath, LeaksAndReportsFailTheProcess) {
    const auto code_1 = testing::ExitedWithCode(1);
    EXPECT_EXIT(
        {
            void *p;
            cudaMalloc(&p, 4);
            exit(0);
        },
        code_1, "never freed: 1 device allocations");
    EXPECT_EXIT(
        {
            const cudaLaunchConfig_t config = shape(1, 32);
            cudaLaunchKernelEx(&config, mistake, kLaneExited);
            cudaDeviceSynchronize();
            exit(0);
        },
        code_1, "kernel mistake, block .0, 0, 0.*has exited");
}

TEST_F(Emulation, LeaksAreListed) {
    void *p, *pinned;
    cudaStream_t stream;
    cudaEvent_t event;
    cudaMalloc(&p, 1);
    cudaMallocHost(&pinned, 1);
    cudaStreamCreate(&stream);
    cudaEventCreate(&event);
    EXPECT_EQ(emu::leaks(), "1 device allocations, 1 pinned allocations, 1 streams, 1 events");
    EXPECT_EQ(cudaFreeAsync(p, stream), cudaSuccess);
    EXPECT_EQ(cudaFreeAsync(p, stream), cudaErrorInvalidValue);
    EXPECT_EQ(cudaStreamDestroy(stream), cudaSuccess);
    EXPECT_EQ(cudaStreamDestroy(stream), cudaErrorInvalidResourceHandle);
    EXPECT_EQ(cudaFree(p), cudaErrorInvalidValue);
    EXPECT_EQ(cudaFreeHost(pinned), cudaSuccess);
    EXPECT_EQ(cudaEventDestroy(event), cudaSuccess);
    cudaGetLastError();
}

// ---- What it costs (not run unless asked for: --gtest_also_run_disabled_tests --gtest_filter=*Cost)

__global__ void repeat(unsigned *out, int rounds, int what) {
    unsigned v = threadIdx.x;
    for (int i = 0; i < rounds; i++) {
        if (what == 0)
            __nanosleep(1);
        else if (what == 1)
            v += __shfl_xor_sync(kAll, v, 1);
        else if (what == 2)
            v += __reduce_min_sync(kAll, v);
        else if (what == 3)
            v += __ballot_sync(kAll, v & 1);
        else
            __syncthreads();
    }
    out[blockIdx.x * blockDim.x + threadIdx.x] = v;
}

TEST_F(Emulation, DISABLED_Cost) {
    const Device<unsigned> out(256 * 10000);
    auto time = [&](int blocks, int threads, int rounds, int what) {
        std::vector<double> ns;
        for (int i = 0; i < 15; i++) {
            const auto start = std::chrono::steady_clock::now();
            const cudaLaunchConfig_t config = shape(unsigned(blocks), unsigned(threads));
            cudaLaunchKernelEx(&config, repeat, out, rounds, what);
            cudaDeviceSynchronize();
            ns.push_back(std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - start).count());
        }
        std::sort(ns.begin(), ns.end());
        return ns[0];
    };
    const char *const names[] = {"switch", "__shfl_xor_sync", "__reduce_min_sync", "__ballot_sync", "__syncthreads"};
    for (const int threads : {32, 256}) {
        for (int what = 0; what < 5; what++) {
            const double ns = time(1, threads, 5000, what) / 5000;
            printf("%-18s %3d threads: %6.1f ns a lane, %5.0f ns a warp\n", names[what], threads, ns / threads,
                   ns * 32 / threads);
        }
    }
    printf("a block of 32 threads: %.0f ns\n", time(10000, 32, 0, 0) / 10000);
}

}  // namespace
