/*
 * Stand-ins for CUB primitives: the same interface and results, in plain code that one thread runs while the others
 * wait. Sums are taken in ascending order, which is not CUB's. TempStorage is larger than CUB's. As with CUB, results
 * of BlockReduce are thread 0's only (others get their own input back), sorting is stable, and -0 and +0 are equal
 * keys. Device-wide functions are kernels, so that streams, graph capture and all checks apply to them.
 */
#pragma once

#include <cuda_runtime.h>

#include <algorithm>

namespace cub {

struct NullType {};

template <class T, int BLOCK_THREADS>
class BlockReduce {
public:
    struct TempStorage {
        T items[BLOCK_THREADS];
    };
    explicit BlockReduce(TempStorage &temp) : temp_(temp) {}
    template <class Op>
    T Reduce(T input, Op op, int valid = BLOCK_THREADS) {
        temp_.items[emu::lane().id] = input;
        __syncthreads();
        if (emu::lane().id != 0) return input;
        T result = temp_.items[0];
        for (int i = 1; i < valid; i++) result = op(result, temp_.items[i]);
        return result;
    }
    T Sum(T input, int valid = BLOCK_THREADS) {
        return Reduce(
            input, [](T a, T b) { return a + b; }, valid);
    }

private:
    TempStorage &temp_;
};

template <class Key, class Value>
struct SortItem {
    uint64_t rank;   // of the key: ascending, whatever the order wanted
    int64_t before;  // position before sorting, which makes it stable
    Key key;
    Value value;
    bool operator<(const SortItem &other) const {
        return rank != other.rank ? rank < other.rank : before < other.before;
    }
    static uint64_t rank_of(Key key, bool descending, int begin_bit, int end_bit) {
        constexpr int bits = sizeof(Key) * 8;
        constexpr uint64_t sign = uint64_t(1) << (bits - 1), all = sign | (sign - 1);
        if (key == Key(0)) key = Key(0);  // not -0
        uint64_t rank = emu::pack(key);
        if (std::is_floating_point_v<Key>)
            rank ^= rank & sign ? all : sign;
        else if (std::is_signed_v<Key>)
            rank ^= sign;
        if (descending) rank ^= all;
        rank &= end_bit >= 64 ? ~uint64_t(0) : (uint64_t(1) << end_bit) - 1;
        return begin_bit >= 64 ? 0 : rank >> begin_bit;
    }
};

template <class Key, int BLOCK_THREADS, int ITEMS, class Value = NullType>
class BlockRadixSort {
    using Item = SortItem<Key, Value>;
    static constexpr int kBits = sizeof(Key) * 8;

public:
    struct TempStorage {
        Item items[BLOCK_THREADS * ITEMS];
    };
    explicit BlockRadixSort(TempStorage &temp) : temp_(temp) {}
    // Item i of thread t is at t * ITEMS + i, before and after (blocked), or at t + i * BLOCK_THREADS after (striped).
    void Sort(Key (&keys)[ITEMS], int begin = 0, int end = kBits) { sort(keys, none(), false, false, begin, end); }
    void Sort(Key (&keys)[ITEMS], Value (&values)[ITEMS], int begin = 0, int end = kBits) {
        sort(keys, values, false, false, begin, end);
    }
    void SortDescending(Key (&keys)[ITEMS], int begin = 0, int end = kBits) {
        sort(keys, none(), true, false, begin, end);
    }
    void SortDescending(Key (&keys)[ITEMS], Value (&values)[ITEMS], int begin = 0, int end = kBits) {
        sort(keys, values, true, false, begin, end);
    }
    void SortBlockedToStriped(Key (&keys)[ITEMS], Value (&values)[ITEMS], int begin = 0, int end = kBits) {
        sort(keys, values, false, true, begin, end);
    }
    void SortDescendingBlockedToStriped(Key (&keys)[ITEMS], Value (&values)[ITEMS], int begin = 0, int end = kBits) {
        sort(keys, values, true, true, begin, end);
    }

private:
    static Value *none() { return nullptr; }
    void sort(Key *keys, Value *values, bool descending, bool striped, int begin, int end) {
        const int thread = emu::lane().id;
        for (int i = 0; i < ITEMS; i++) {
            const int at = thread * ITEMS + i;
            temp_.items[at] = {Item::rank_of(keys[i], descending, begin, end), at, keys[i],
                               values ? values[i] : Value()};
        }
        __syncthreads();
        if (thread == 0) std::sort(temp_.items, temp_.items + BLOCK_THREADS * ITEMS);
        __syncthreads();
        for (int i = 0; i < ITEMS; i++) {
            const Item &item = temp_.items[striped ? thread + i * BLOCK_THREADS : thread * ITEMS + i];
            keys[i] = item.key;
            if (values) values[i] = item.value;
        }
    }
    TempStorage &temp_;
};

template <class Key, class Value, class Offset>
void segmented_sort_kernel(SortItem<Key, Value> *temp, const Key *keys_in, Key *keys_out, const Value *values_in,
                           Value *values_out, Offset begins, Offset ends, bool descending, int begin_bit, int end_bit) {
    const int64_t begin = begins[blockIdx.x], end = ends[blockIdx.x];
    for (int64_t i = begin; i < end; i++) {
        temp[i] = {SortItem<Key, Value>::rank_of(keys_in[i], descending, begin_bit, end_bit), i, keys_in[i],
                   values_in[i]};
    }
    if (begin < end) std::sort(temp + begin, temp + end);
    for (int64_t i = begin; i < end; i++) {
        keys_out[i] = temp[i].key;
        values_out[i] = temp[i].value;
    }
}

struct DeviceSegmentedRadixSort {
    template <class Key, class Value, class Offset>
    static cudaError_t SortPairs(void *temp, size_t &temp_bytes, const Key *keys_in, Key *keys_out,
                                 const Value *values_in, Value *values_out, int64_t items, int64_t segments,
                                 Offset begins, Offset ends, int begin_bit = 0, int end_bit = sizeof(Key) * 8,
                                 cudaStream_t stream = nullptr) {
        return sort(temp, temp_bytes, keys_in, keys_out, values_in, values_out, items, segments, begins, ends, false,
                    begin_bit, end_bit, stream);
    }
    template <class Key, class Value, class Offset>
    static cudaError_t SortPairsDescending(void *temp, size_t &temp_bytes, const Key *keys_in, Key *keys_out,
                                           const Value *values_in, Value *values_out, int64_t items, int64_t segments,
                                           Offset begins, Offset ends, int begin_bit = 0, int end_bit = sizeof(Key) * 8,
                                           cudaStream_t stream = nullptr) {
        return sort(temp, temp_bytes, keys_in, keys_out, values_in, values_out, items, segments, begins, ends, true,
                    begin_bit, end_bit, stream);
    }

private:
    template <class Key, class Value, class Offset>
    static cudaError_t sort(void *temp, size_t &temp_bytes, const Key *keys_in, Key *keys_out, const Value *values_in,
                            Value *values_out, int64_t items, int64_t segments, Offset begins, Offset ends,
                            bool descending, int begin_bit, int end_bit, cudaStream_t stream) {
        using Item = SortItem<Key, Value>;
        const size_t needed = sizeof(Item) * size_t(items < 1 ? 1 : items);
        if (!temp) return temp_bytes = needed, cudaSuccess;
        if (temp_bytes < needed) return cudaErrorInvalidValue;
        if (items == 0 || segments == 0) return cudaSuccess;
        cudaLaunchConfig_t config{};
        config.gridDim = dim3(unsigned(segments));
        config.stream = stream;
        return cudaLaunchKernelEx(&config, segmented_sort_kernel<Key, Value, Offset>, static_cast<Item *>(temp),
                                  keys_in, keys_out, values_in, values_out, begins, ends, descending, begin_bit,
                                  end_bit);
    }
};

template <class In, class Out>
void sum_kernel(In in, Out out, int64_t n) {
    auto sum = decltype(in[0] + in[0])();
    for (int64_t i = 0; i < n; i++) sum = sum + in[i];
    *out = sum;
}

template <class In, class Out>
void exclusive_sum_kernel(In in, Out out, int64_t n) {
    auto sum = decltype(in[0] + in[0])();
    for (int64_t i = 0; i < n; i++) {
        const auto next = in[i];
        out[i] = sum;
        sum = sum + next;
    }
}

struct DeviceReduce {
    template <class In, class Out>
    static cudaError_t Sum(void *temp, size_t &temp_bytes, In in, Out out, int64_t n, cudaStream_t stream = nullptr) {
        if (!temp) return temp_bytes = 1, cudaSuccess;
        cudaLaunchConfig_t config{};
        config.stream = stream;
        return cudaLaunchKernelEx(&config, sum_kernel<In, Out>, in, out, n);
    }
};

struct DeviceScan {
    template <class In, class Out>
    static cudaError_t ExclusiveSum(void *temp, size_t &temp_bytes, In in, Out out, int64_t n,
                                    cudaStream_t stream = nullptr) {
        if (!temp) return temp_bytes = 1, cudaSuccess;
        cudaLaunchConfig_t config{};
        config.stream = stream;
        return cudaLaunchKernelEx(&config, exclusive_sum_kernel<In, Out>, in, out, n);
    }
};

}  // namespace cub
