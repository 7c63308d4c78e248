/*
 * Stand-in for the toolkit's <cuda_runtime.h>: with this folder first on the include path, a .cu file is compiled by
 * the C++ compiler (-x c++) and its kernels run on the CPU, lane by lane. README.md says what is emulated and which
 * mistakes are caught.
 *
 * In order: the language, vector types, what tests ask of the emulation (emu::), what a lane can call (lane.h), the
 * runtime API. Lanes live in device.cpp, memory and streams in runtime.cpp; what stands here only forwards to them.
 */
#pragma once

#include <math.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#define GURN_CUDA_EMULATED 1
#define CUDART_VERSION 13000

// ---- The language. __CUDACC__ and __CUDA_ARCH__ stay undefined: code that tests for them takes its host branch, as C.

#define __global__
#define __device__
#define __host__
#define __constant__
#define __grid_constant__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))

// No C++ declaration means "one per block", so kernels declare shared memory through these two macros, which a CUDA
// build defines as the __shared__ declarations that they stand for. GURN_SHARED(tile, float[32]) is float tile[32].
#define GURN_SHARED(name, ...)                                             \
    static char name##_key;                                                \
    emu::same<__VA_ARGS__> &name = *static_cast<emu::same<__VA_ARGS__> *>( \
        emu::static_shared(&name##_key, sizeof(emu::same<__VA_ARGS__>), alignof(emu::same<__VA_ARGS__>)))
#define GURN_DYNAMIC_SHARED(type, name) type *name = static_cast<type *>(emu::dynamic_shared())

// ---- Vector types, with CUDA's alignments

#define EMU_VECTOR(T, name, align2, align4)                            \
    struct __align__(align2) name##2 {                                 \
        T x, y;                                                        \
    };                                                                 \
    struct name##3 {                                                   \
        T x, y, z;                                                     \
    };                                                                 \
    struct __align__(align4) name##4 {                                 \
        T x, y, z, w;                                                  \
    };                                                                 \
    inline name##2 make_##name##2(T x, T y) { return {x, y}; }         \
    inline name##3 make_##name##3(T x, T y, T z) { return {x, y, z}; } \
    inline name##4 make_##name##4(T x, T y, T z, T w) { return {x, y, z, w}; }
EMU_VECTOR(int, int, 8, 16)
EMU_VECTOR(unsigned, uint, 8, 16)
EMU_VECTOR(float, float, 8, 16)
EMU_VECTOR(double, double, 16, 16)
EMU_VECTOR(long long, longlong, 16, 16)
EMU_VECTOR(unsigned long long, ulonglong, 16, 16)

struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned a = 1, unsigned b = 1, unsigned c = 1) : x(a), y(b), z(c) {}
    constexpr dim3(uint3 v) : x(v.x), y(v.y), z(v.z) {}
};

// ---- The emulation itself

namespace emu {

// Lanes take turns in ascending order, from the one that completed the last collective, when the seed is 0 (the
// default; environment: GURN_EMU_SEED), else in an order that the seed determines.
void set_seed(uint64_t seed);
// The text of the first misuse found since the last call, "" if none, and the sticky error it caused is forgotten. A
// report that nobody takes is printed when it happens and makes the process exit with status 1.
std::string take_report();
// What is still allocated on the device, "" if nothing. The same is printed at exit, with status 1.
std::string leaks();
// The n-th device or pinned allocation from now fails, n = 1, 2, ..; 0: none (environment: GURN_EMU_FAIL_MALLOC).
void fail_malloc(int n);
// With checked accesses: whether races in device memory are looked for too, between the lanes of a block and between the blocks of
// a launch (environment: GURN_EMU_RACES=1). It takes several times as long.
void check_device_races(bool on);
// How many devices there are: 1 (the default; environment: GURN_EMU_DEVICES) or 2. Each has its own memory.
void set_devices(int n);
// Whether a device's primary context has come to life. The next makes it as if it never had; nothing of it may be in use.
bool has_primary_context(int device);
void forget_primary_context(int device);
// Kernels that were loaded because they were launched, since the last call, as their launches stand in the source. What
// cudaFuncGetAttributes has loaded before is not among them.
std::string loaded_by_launch();

template <class T>
struct same_as {
    using type = T;
};
template <class T>
using same = typename same_as<T>::type;

struct Site {  // where a call stands in the source; as a default argument it is filled in by the caller
    const char *file;
    int line;
    constexpr Site(const char *f = __builtin_FILE(), int l = __builtin_LINE()) : file(f), line(l) {}
};

struct Lane {
    uint3 thread;
    int id;  // within the block
};
extern __thread Lane *self;  // the lane now running on this OS thread, NULL in host code
__attribute__((no_sanitize_thread)) inline const Lane &lane() { return *self; }

// clang-format off
#define EMU_COLLECTIVES(X) \
    X(none) X(__shfl_sync) X(__shfl_up_sync) X(__shfl_down_sync) X(__shfl_xor_sync) X(__ballot_sync) \
    X(__any_sync) X(__all_sync) X(__match_any_sync) X(__reduce_add_sync) X(__reduce_min_sync) \
    X(__reduce_max_sync) X(__reduce_and_sync) X(__reduce_or_sync) X(__reduce_xor_sync) X(__syncwarp) \
    X(__syncthreads) X(__syncthreads_or) X(__syncthreads_and) X(__syncthreads_count)
// clang-format on
enum class Kind : uint8_t {
#define EMU_NAME(name) name,
    EMU_COLLECTIVES(EMU_NAME)
#undef EMU_NAME
};

// Waits until every lane of the mask has come, then returns this lane's result. argument and width are a shuffle's; for
// __reduce_min/max_sync a nonzero argument says that values are signed.
uint64_t collective(Kind kind, unsigned mask, uint64_t value, int argument, int width, Site at);
int barrier(Kind kind, int value, Site at);  // the __syncthreads family
void yield();                                // lets other lanes run
void *dynamic_shared();
void *static_shared(const void *key, size_t bytes, size_t align);

template <class T>
uint64_t pack(T value) {
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof value);
    return bits;
}
template <class T>
T unpack(uint64_t bits) {
    T value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

template <class To, class From>
To saturate(From x) {  // conversions on the device saturate, and NaN gives 0
    if (x != x) return 0;
    if (x >= static_cast<From>(std::numeric_limits<To>::max())) return std::numeric_limits<To>::max();
    return x <= static_cast<From>(std::numeric_limits<To>::min()) ? std::numeric_limits<To>::min() : static_cast<To>(x);
}

}  // namespace emu

#include "lane.h"

// ---- The runtime API, as far as it is used. Work on a stream waits until something synchronises with it.

#define EMU_ERRORS(X)                         \
    X(cudaSuccess, 0)                         \
    X(cudaErrorInvalidValue, 1)               \
    X(cudaErrorMemoryAllocation, 2)           \
    X(cudaErrorInvalidConfiguration, 9)       \
    X(cudaErrorInsufficientDriver, 35)        \
    X(cudaErrorInvalidDevice, 101)            \
    X(cudaErrorInvalidResourceHandle, 400)    \
    X(cudaErrorIllegalState, 401)             \
    X(cudaErrorNotReady, 600)                 \
    X(cudaErrorLaunchFailure, 719)            \
    X(cudaErrorNotSupported, 801)             \
    X(cudaErrorStreamCaptureUnsupported, 900) \
    X(cudaErrorStreamCaptureInvalidated, 901) \
    X(cudaErrorStreamCaptureIsolation, 905)   \
    X(cudaErrorStreamCaptureImplicit, 906)    \
    X(cudaErrorCapturedEvent, 907)            \
    X(cudaErrorUnknown, 999)
enum cudaError_t {
#define EMU_NAME(name, value) name = value,
    EMU_ERRORS(EMU_NAME)
#undef EMU_NAME
};
using cudaError = cudaError_t;

enum cudaMemcpyKind {
    cudaMemcpyHostToHost,
    cudaMemcpyHostToDevice,
    cudaMemcpyDeviceToHost,
    cudaMemcpyDeviceToDevice,
    cudaMemcpyDefault
};
enum cudaMemoryType {
    cudaMemoryTypeUnregistered,
    cudaMemoryTypeHost,
    cudaMemoryTypeDevice,
    cudaMemoryTypeManaged
};
enum cudaStreamCaptureMode {
    cudaStreamCaptureModeGlobal,
    cudaStreamCaptureModeThreadLocal,
    cudaStreamCaptureModeRelaxed
};
enum cudaStreamCaptureStatus {
    cudaStreamCaptureStatusNone,
    cudaStreamCaptureStatusActive,
    cudaStreamCaptureStatusInvalidated
};
enum cudaFuncAttribute {
    cudaFuncAttributeMaxDynamicSharedMemorySize = 8,
    cudaFuncAttributePreferredSharedMemoryCarveout = 9
};
enum cudaDeviceAttr {
    cudaDevAttrMaxThreadsPerBlock = 1,
    cudaDevAttrMaxSharedMemoryPerBlock = 8,
    cudaDevAttrWarpSize = 10,
    cudaDevAttrMultiProcessorCount = 16,
    cudaDevAttrMaxThreadsPerMultiProcessor = 39,
    cudaDevAttrComputeCapabilityMajor = 75,
    cudaDevAttrComputeCapabilityMinor = 76,
    cudaDevAttrMaxSharedMemoryPerMultiprocessor = 81,
    cudaDevAttrMaxSharedMemoryPerBlockOptin = 97
};
constexpr unsigned cudaStreamDefault = 0, cudaStreamNonBlocking = 1;
constexpr unsigned cudaEventDefault = 0, cudaEventBlockingSync = 1, cudaEventDisableTiming = 2;
constexpr unsigned cudaHostAllocDefault = 0;

using cudaStream_t =
    struct CUstream_st *;  // NULL, cudaStreamLegacy and cudaStreamPerThread are one and the same stream
using cudaEvent_t = struct CUevent_st *;
using cudaGraph_t = struct CUgraph_st *;
using cudaGraphExec_t = struct CUgraphExec_st *;
#define cudaStreamLegacy (reinterpret_cast<cudaStream_t>(1))
#define cudaStreamPerThread (reinterpret_cast<cudaStream_t>(2))

struct cudaDeviceProp {
    char name[256];
    size_t totalGlobalMem, sharedMemPerBlock, sharedMemPerBlockOptin, sharedMemPerMultiprocessor;
    int major, minor, multiProcessorCount, maxThreadsPerBlock, maxThreadsPerMultiProcessor, warpSize, regsPerBlock,
        l2CacheSize;
};
struct cudaPointerAttributes {
    cudaMemoryType type;
    int device;
    void *devicePointer, *hostPointer;
};
struct cudaFuncAttributes {
    size_t sharedSizeBytes, constSizeBytes, localSizeBytes;
    int maxThreadsPerBlock, numRegs, maxDynamicSharedSizeBytes;
};
struct cudaLaunchConfig_t {
    dim3 gridDim, blockDim;
    size_t dynamicSmemBytes;
    cudaStream_t stream;
    struct cudaLaunchAttribute *attrs;  // none is emulated
    unsigned numAttrs;
};

enum cudaDriverEntryPointQueryResult {
    cudaDriverEntryPointSuccess = 0,
    cudaDriverEntryPointSymbolNotFound = 1
};
constexpr unsigned long long cudaEnableDefault = 0;
// Of the functions of cuda.h in this folder.
cudaError_t cudaGetDriverEntryPointByVersion(const char *symbol, void **function, unsigned version,
                                             unsigned long long flags,
                                             cudaDriverEntryPointQueryResult *status = nullptr);

cudaError_t cudaGetLastError();
cudaError_t cudaPeekAtLastError();
const char *cudaGetErrorName(cudaError_t error);
const char *cudaGetErrorString(cudaError_t error);
cudaError_t cudaDriverGetVersion(int *version);
cudaError_t cudaRuntimeGetVersion(int *version);
cudaError_t cudaGetDeviceCount(int *count);
cudaError_t cudaGetDevice(int *device);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp *properties, int device);
cudaError_t cudaDeviceGetAttribute(int *value, cudaDeviceAttr attribute, int device);
cudaError_t cudaDeviceSynchronize();

cudaError_t cudaMalloc(void **p, size_t bytes);
cudaError_t cudaMallocAsync(void **p, size_t bytes, cudaStream_t stream);
cudaError_t cudaMallocHost(void **p, size_t bytes, unsigned flags = 0);
cudaError_t cudaHostAlloc(void **p, size_t bytes, unsigned flags);
cudaError_t cudaFree(void *p);
cudaError_t cudaFreeAsync(void *p, cudaStream_t stream);
cudaError_t cudaFreeHost(void *p);
cudaError_t cudaMemGetInfo(size_t *available, size_t *total);
cudaError_t cudaMemcpy(void *to, const void *from, size_t bytes, cudaMemcpyKind kind);
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream = nullptr);
cudaError_t cudaMemset(void *p, int value, size_t bytes);
cudaError_t cudaMemsetAsync(void *p, int value, size_t bytes, cudaStream_t stream = nullptr);
cudaError_t cudaPointerGetAttributes(cudaPointerAttributes *attributes, const void *p);
template <class T>
cudaError_t cudaMalloc(T **p, size_t bytes) {
    return cudaMalloc(reinterpret_cast<void **>(p), bytes);
}
template <class T>
cudaError_t cudaMallocAsync(T **p, size_t bytes, cudaStream_t stream) {
    return cudaMallocAsync(reinterpret_cast<void **>(p), bytes, stream);
}
template <class T>
cudaError_t cudaMallocHost(T **p, size_t bytes, unsigned flags = 0) {
    return cudaMallocHost(reinterpret_cast<void **>(p), bytes, flags);
}

cudaError_t cudaStreamCreate(cudaStream_t *stream);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaStreamQuery(cudaStream_t stream);
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags = 0);
cudaError_t cudaEventCreate(cudaEvent_t *event);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags);
cudaError_t cudaEventDestroy(cudaEvent_t event);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream = nullptr);
cudaError_t cudaEventSynchronize(cudaEvent_t event);
cudaError_t cudaEventQuery(cudaEvent_t event);
cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t start, cudaEvent_t end);

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode);
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph);
cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus *status);
cudaError_t cudaGraphInstantiate(cudaGraphExec_t *exec, cudaGraph_t graph, unsigned long long flags = 0);
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream);
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec);
cudaError_t cudaGraphDestroy(cudaGraph_t graph);

namespace emu {

struct Launch {
    const char *text;  // the launch's source text, from which a report takes the kernel's name
    int device;
    const void *kernel;
    dim3 grid, block;
    size_t shared_bytes;
    std::vector<const void *> pointers;  // by argument, NULL where it is none; checked when the kernel starts
    std::shared_ptr<const void> call;    // the kernel and its arguments, passed to body once a lane
    size_t call_bytes;
    void (*body)(const void *call);
};
cudaError_t launch(const cudaLaunchConfig_t &config, Launch what);
cudaError_t function_attribute(const void *kernel, cudaFuncAttribute attribute, int value);
cudaError_t function_attributes(const void *kernel, cudaFuncAttributes *attributes);
int blocks_per_multiprocessor(int block_size, size_t shared_bytes);

// Typed as CUDA's own is: arguments are converted to the kernel's parameters, which every lane gets a copy of.
template <class... Parameters, class... Arguments>
cudaError_t launch(const char *text, const cudaLaunchConfig_t *config, void (*kernel)(Parameters...),
                   Arguments &&...arguments) {
    static_assert((std::is_trivially_copyable_v<Parameters> && ...), "kernel parameters are copied bit by bit");
    struct Call {
        void (*kernel)(Parameters...);
        std::tuple<Parameters...> arguments;
    };
    auto call = std::make_shared<const Call>(Call{kernel, {std::forward<Arguments>(arguments)...}});
    Launch what{text,
                0,
                reinterpret_cast<const void *>(kernel),
                config->gridDim,
                config->blockDim,
                config->dynamicSmemBytes,
                {},
                call,
                sizeof(Call),
                [](const void *p) {
                    std::apply(static_cast<const Call *>(p)->kernel, static_cast<const Call *>(p)->arguments);
                }};
    auto note = [&](const auto &argument) {
        using T = std::decay_t<decltype(argument)>;
        if constexpr (std::is_pointer_v<T> && !std::is_function_v<std::remove_pointer_t<T>>) {
            what.pointers.push_back(const_cast<const void *>(static_cast<const volatile void *>(argument)));
        } else {
            what.pointers.push_back(nullptr);
        }
    };
    std::apply([&](const auto &...each) { (note(each), ...); }, call->arguments);
    return launch(*config, std::move(what));
}

}  // namespace emu

// A macro only so that reports can name the kernel.
#define cudaLaunchKernelEx(...) emu::launch(#__VA_ARGS__, __VA_ARGS__)

template <class F>
cudaError_t cudaFuncSetAttribute(F *kernel, cudaFuncAttribute attribute, int value) {
    return emu::function_attribute(reinterpret_cast<const void *>(kernel), attribute, value);
}
template <class F>
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes *attributes, F *kernel) {
    return emu::function_attributes(reinterpret_cast<const void *>(kernel), attributes);
}
template <class F>
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, F *, int block_size, size_t shared_bytes) {
    *blocks = emu::blocks_per_multiprocessor(block_size, shared_bytes);
    return cudaSuccess;
}
