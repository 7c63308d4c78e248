#include "device_lanes.h"

#include <cuda_runtime.h>

#include <cstring>
#include <stdexcept>

#include "kernels/launch.cuh"
#include "kernels/plain_chain.h"
#include "kernels/warp.cuh"
#include "lanes_ops.h"

namespace {

void must(cudaError_t error) {
    if (error != cudaSuccess) throw std::runtime_error(cudaGetErrorString(error));
}

/* An array in device memory while it lives. */
class Array {
public:
    Array(const void *from, size_t bytes) {
        must(cudaMalloc(&memory_, bytes ? bytes : 1));
        if (from) must(cudaMemcpy(memory_, from, bytes, cudaMemcpyHostToDevice));
    }
    ~Array() { cudaFree(memory_); }
    Array(const Array &) = delete;
    Array &operator=(const Array &) = delete;
    void *data() const { return memory_; }
    void read(void *to, size_t bytes) const { must(cudaMemcpy(to, memory_, bytes, cudaMemcpyDeviceToHost)); }

private:
    void *memory_ = nullptr;
};

struct Arguments {
    const void *in[5];
};

/* One thread an element. */
template <class Function>
__global__ void lanes_kernel(Arguments arguments, void *out, int64_t count) {
    int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count) Function::run(arguments.in, out, i);
}

template <class Function>
void run_lanes(const void *const *in, void *out, int64_t count) {
    const size_t n = static_cast<size_t>(count);
    std::vector<Array *> arrays;
    Arguments arguments = {};
    for (int j = 0; j < Function::inputs; j++) {
        arrays.push_back(new Array(in[j], n * Function::size(j)));
        arguments.in[j] = arrays.back()->data();
    }
    Array result(nullptr, n * sizeof(typename Function::result));
    cudaLaunchConfig_t config = {};
    config.gridDim = dim3(static_cast<unsigned>((count + 63) / 64));
    config.blockDim = dim3(64);
    must(gurn_load(lanes_kernel<Function>)); /* as the library does: tests look for what a launch has loaded */
    must(cudaLaunchKernelEx(&config, lanes_kernel<Function>, arguments, result.data(), count));
    must(cudaDeviceSynchronize());
    result.read(out, n * sizeof(typename Function::result));
    for (Array *array : arrays) delete array;
}

#define AT(kind, j) ((const s_##kind *)in[j])[i]
#define FUNCTION(name, r, count, sizes, expression)                                                                 \
    struct lanes_##name {                                                                                           \
        using result = s_##r;                                                                                       \
        static constexpr int inputs = count;                                                                        \
        static size_t size(int j) {                                                                                 \
            const size_t of[] = sizes;                                                                              \
            return of[j];                                                                                           \
        }                                                                                                           \
        static __device__ void run(const void *const *in, void *out, int64_t i) { ((s_##r *)out)[i] = expression; } \
    };
#define OF(...) \
    { __VA_ARGS__ }
#define LANES_1(name, r, a) FUNCTION(name, r, 1, OF(sizeof(s_##a)), s_##name(AT(a, 0)))
#define LANES_2(name, r, a, b) FUNCTION(name, r, 2, OF(sizeof(s_##a), sizeof(s_##b)), s_##name(AT(a, 0), AT(b, 1)))
#define LANES_3(name, r, a, b, c) \
    FUNCTION(name, r, 3, OF(sizeof(s_##a), sizeof(s_##b), sizeof(s_##c)), s_##name(AT(a, 0), AT(b, 1), AT(c, 2)))
#define LANES_4(name, r, a, b, c, d)                                                     \
    FUNCTION(name, r, 4, OF(sizeof(s_##a), sizeof(s_##b), sizeof(s_##c), sizeof(s_##d)), \
             s_##name(AT(a, 0), AT(b, 1), AT(c, 2), AT(d, 3)))
#define LANES_5(name, r, a, b, c, d, e)                                                                 \
    FUNCTION(name, r, 5, OF(sizeof(s_##a), sizeof(s_##b), sizeof(s_##c), sizeof(s_##d), sizeof(s_##e)), \
             s_##name(AT(a, 0), AT(b, 1), AT(c, 2), AT(d, 3), AT(e, 4)))
LANES_OPS
#undef LANES_1
#undef LANES_2
#undef LANES_3
#undef LANES_4
#undef LANES_5

template <class Function>
gurn_test::DeviceOp op(const char *name) {
    gurn_test::DeviceOp made = {name, Function::inputs, {}, sizeof(typename Function::result), run_lanes<Function>};
    for (int j = 0; j < made.inputs; j++) made.in_size[j] = Function::size(j);
    return made;
}

template <int LANES>
__global__ void warp_kernel(const gurn_test::WarpInput *input, gurn_test::WarpResult *results) {
    constexpr int TILE = LANES < GURN_WARP ? LANES : GURN_WARP;
    gurn_test::WarpInput in = input[threadIdx.x];
    gurn_test::WarpResult out = {};
    for (int time = 0; time < 2; time++) { /* the second time the first one's shared memory is used again */
        int64_t value = in.value + (time == 0 ? 1000 * (int64_t)threadIdx.x : 0);
        double real = in.real + (time == 0 ? threadIdx.x : 0.0);
        out.from = gurn_tile_from<TILE>(value, in.source);
        out.pair = gurn_pair_other(value);
        out.any = gurn_group_any<LANES>(in.holds != 0);
        out.any_none = gurn_group_any<LANES>(false);
        out.sum = gurn_group_sum<LANES>(value);
        out.real_sum = gurn_group_sum<LANES>(real);
        out.least = gurn_group_least<LANES>(value);
        out.real_least = gurn_group_least<LANES>(real);
        out.argmin_value = real;
        out.argmin = gurn_group_argmin<LANES>(&out.argmin_value, (int32_t)threadIdx.x);
        out.before = gurn_group_sum_before<LANES>(value, &out.total);
    }
    results[threadIdx.x] = out;
}

template <int LANES>
std::vector<gurn_test::WarpResult> run_group(const std::vector<gurn_test::WarpInput> &input) {
    Array in(input.data(), input.size() * sizeof input[0]);
    std::vector<gurn_test::WarpResult> results(input.size());
    Array out(nullptr, results.size() * sizeof results[0]);
    cudaLaunchConfig_t config = {};
    config.gridDim = dim3(1);
    config.blockDim = dim3(static_cast<unsigned>(input.size()));
    must(gurn_load(warp_kernel<LANES>));
    must(cudaLaunchKernelEx(&config, warp_kernel<LANES>, (const gurn_test::WarpInput *)in.data(),
                            (gurn_test::WarpResult *)out.data()));
    must(cudaDeviceSynchronize());
    out.read(results.data(), results.size() * sizeof results[0]);
    return results;
}

}  // namespace

namespace gurn_test {

const std::vector<DeviceOp> &device_ops() {
    static const std::vector<DeviceOp> list = {
#define LANES_1(name, ...) op<lanes_##name>(#name),
#define LANES_2 LANES_1
#define LANES_3 LANES_1
#define LANES_4 LANES_1
#define LANES_5 LANES_1
        LANES_OPS};
    return list;
}

std::vector<WarpResult> run_warp(int lanes, const std::vector<WarpInput> &input) {
    switch (lanes) {
        case 2: return run_group<2>(input);
        case 4: return run_group<4>(input);
        case 8: return run_group<8>(input);
        case 16: return run_group<16>(input);
        case 32: return run_group<32>(input);
        case 64: return run_group<64>(input);
        case 128: return run_group<128>(input);
        default: return run_group<256>(input);
    }
}

}  // namespace gurn_test
