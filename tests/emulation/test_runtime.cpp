/* Tests of the emulated runtime: streams, events and graphs, memory, errors, devices and contexts (test_emulation.cpp has the rest). */
#include <cuda.h>

#include <functional>
#include <thread>

#include "test_device.h"

namespace {

class EmulationRuntime : public Emulation {};

__global__ void first_dynamic(int *out) {
    GURN_DYNAMIC_SHARED(int, shared);
    *out = shared[0];
}

template <class Kernel>
void load(Kernel *kernel) {
    cudaFuncAttributes attributes;
    EXPECT_EQ(cudaFuncGetAttributes(&attributes, kernel), cudaSuccess);
}

// ---- Streams, events, graphs

__global__ void add_to(int *p, int n, int by) {
    const int i = int(blockIdx.x * blockDim.x + threadIdx.x);
    if (i < n) p[i] = p[i] * 10 + by;
}

__global__ void add_once(int *p) { *p += 1; }
struct Target {
    int *p;
};
__global__ void add_hidden(Target target) { *target.p += 1; }  // a pointer that is no argument of its own
__global__ void add_twice(int *p) { *p += 2; }

TEST_F(EmulationRuntime, WorkWaitsUntilSomethingSynchronises) {
    const Device<int> values(std::vector<int>{0});
    cudaStream_t stream;
    cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
    int seen = -1;
    const cudaLaunchConfig_t config = shape(1, 1, 0, stream);
    cudaLaunchKernelEx(&config, add_to, values, 1, 7);
    cudaMemcpyAsync(&seen, values, 4, cudaMemcpyDeviceToHost, stream);
    EXPECT_EQ(seen, -1);
    EXPECT_EQ(cudaStreamQuery(stream), cudaErrorNotReady);
    EXPECT_EQ(cudaStreamQuery(stream), cudaErrorNotReady);
    EXPECT_EQ(cudaStreamQuery(stream), cudaSuccess);
    EXPECT_EQ(seen, 7);
    EXPECT_EQ(cudaGetLastError(), cudaErrorNotReady);  // left behind as any other
    int source = 5;                                    // pageable memory is taken along by the call
    cudaMemcpyAsync(values, &source, 4, cudaMemcpyHostToDevice, stream);
    source = 6;
    cudaStreamSynchronize(stream);
    EXPECT_EQ(values.get()[0], 5);
    cudaStreamDestroy(stream);
}

TEST_F(EmulationRuntime, StreamsAreOrderedByEventsAlone) {
    const Device<int> values(std::vector<int>{0});
    cudaStream_t a, b;
    cudaEvent_t event;
    cudaStreamCreateWithFlags(&a, cudaStreamNonBlocking);
    cudaStreamCreateWithFlags(&b, cudaStreamNonBlocking);
    cudaEventCreateWithFlags(&event, cudaEventDisableTiming);
    const cudaLaunchConfig_t on_a = shape(1, 1, 0, a), on_b = shape(1, 1, 0, b);
    cudaLaunchKernelEx(&on_a, add_to, values, 1, 1);
    cudaLaunchKernelEx(&on_b, add_to, values, 1, 2);  // not ordered: whichever is waited for first
    cudaStreamSynchronize(b);
    cudaStreamSynchronize(a);
    EXPECT_EQ(values.get()[0], 21);
    cudaLaunchKernelEx(&on_a, add_to, values, 1, 3);
    EXPECT_EQ(cudaEventRecord(event, a), cudaSuccess);
    EXPECT_EQ(cudaStreamWaitEvent(b, event), cudaSuccess);
    cudaLaunchKernelEx(&on_b, add_to, values, 1, 4);
    cudaStreamDestroy(a);
    EXPECT_EQ(cudaEventQuery(event), cudaSuccess);
    cudaStreamSynchronize(b);
    EXPECT_EQ(values.get()[0], 2134);
    cudaStreamDestroy(b);
    cudaEventDestroy(event);
}

TEST_F(EmulationRuntime, TheDefaultStreamIsOrderedWithBlockingStreams) {
    const Device<int> values(std::vector<int>{0});
    cudaStream_t stream;
    cudaStreamCreate(&stream);
    const cudaLaunchConfig_t on_stream = shape(1, 1, 0, stream), on_default = shape(1, 1);
    cudaLaunchKernelEx(&on_stream, add_to, values, 1, 1);
    cudaLaunchKernelEx(&on_default, add_to, values, 1, 2);
    cudaLaunchKernelEx(&on_stream, add_to, values, 1, 3);
    cudaStreamSynchronize(stream);
    EXPECT_EQ(values.get()[0], 123);
    cudaStreamDestroy(stream);
}

TEST_F(EmulationRuntime, EventsTakeTime) {
    cudaEvent_t start, end;
    cudaEventCreate(&start);
    cudaEventCreate(&end);
    const Device<int> values(std::vector<int>(2000, 0));
    const cudaLaunchConfig_t config = shape(20, 100);
    float ms = -1;
    EXPECT_EQ(cudaEventElapsedTime(&ms, start, end), cudaErrorInvalidResourceHandle);
    cudaEventRecord(start);
    cudaLaunchKernelEx(&config, add_to, values, 2000, 1);
    cudaEventRecord(end);
    EXPECT_EQ(cudaEventElapsedTime(&ms, start, end), cudaErrorNotReady);
    EXPECT_EQ(cudaEventQuery(end), cudaErrorNotReady);
    EXPECT_EQ(cudaEventSynchronize(end), cudaSuccess);
    EXPECT_EQ(cudaEventElapsedTime(&ms, start, end), cudaSuccess);
    EXPECT_GT(ms, 0);
    cudaEventDestroy(start);
    cudaEventDestroy(end);
    cudaGetLastError();
}

TEST_F(EmulationRuntime, GraphsReplay) {
    const Device<int> values(std::vector<int>{1, 2, 3}), out(3);
    cudaStream_t stream, side;
    cudaEvent_t fork, join;
    cudaStreamCreate(&stream);
    cudaStreamCreate(&side);
    cudaEventCreate(&fork);
    cudaEventCreate(&join);
    const cudaLaunchConfig_t config = shape(1, 3, 0, stream), aside = shape(1, 3, 0, side);
    cudaStreamCaptureStatus status;
    load(add_to);
    EXPECT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal), cudaSuccess);
    cudaLaunchKernelEx(&config, add_to, values, 3, 5);
    cudaEventRecord(fork, stream);
    cudaStreamWaitEvent(side, fork);
    cudaLaunchKernelEx(&aside, add_to, values, 3, 6);
    cudaEventRecord(join, side);
    cudaStreamWaitEvent(stream, join);
    cudaMemcpyAsync(out, values, 12, cudaMemcpyDeviceToDevice, stream);
    cudaMemsetAsync(values, 0, 4, stream);
    EXPECT_EQ(cudaStreamIsCapturing(side, &status), cudaSuccess);
    EXPECT_EQ(status, cudaStreamCaptureStatusActive);
    cudaGraph_t graph;
    EXPECT_EQ(cudaStreamEndCapture(stream, &graph), cudaSuccess);
    EXPECT_EQ(values.get(), (std::vector<int>{1, 2, 3}));  // captured, not run
    cudaGraphExec_t exec;
    EXPECT_EQ(cudaGraphInstantiate(&exec, graph, 0), cudaSuccess);
    EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
    EXPECT_EQ(cudaGraphLaunch(exec, stream), cudaSuccess);
    EXPECT_EQ(cudaGraphLaunch(exec, stream), cudaSuccess);
    EXPECT_EQ(cudaGraphExecDestroy(exec), cudaSuccess);  // launches in flight are not affected
    EXPECT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
    EXPECT_EQ(values.get(), (std::vector<int>{0, 25656, 35656}));
    EXPECT_EQ(out.get(), (std::vector<int>{56, 25656, 35656}));
    cudaEventDestroy(fork);
    cudaEventDestroy(join);
    cudaStreamDestroy(side);
    cudaStreamDestroy(stream);
}

TEST_F(EmulationRuntime, CaptureRefusesWhatCudaRefuses) {
    cudaStream_t stream;
    cudaEvent_t event;
    cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
    cudaEventCreate(&event);
    const Device<int> values(1);
    int host = 0;
    int *p = values, *fresh;
    const std::vector<std::pair<std::function<cudaError_t()>, cudaError_t>> calls = {
        {[&] { return cudaStreamSynchronize(stream); }, cudaErrorStreamCaptureUnsupported},
        {[&] { return cudaStreamQuery(stream); }, cudaErrorStreamCaptureUnsupported},
        {[&] { return cudaDeviceSynchronize(); }, cudaErrorStreamCaptureUnsupported},
        {[&] { return cudaMalloc(&fresh, 4); }, cudaErrorStreamCaptureUnsupported},
        {[&] { return cudaMallocAsync(&fresh, 4, stream); }, cudaErrorStreamCaptureUnsupported},
        {[&] { return cudaFree(p); }, cudaErrorStreamCaptureUnsupported},
        {[&] { return cudaMemcpy(&host, p, 4, cudaMemcpyDeviceToHost); }, cudaErrorStreamCaptureUnsupported},
        {[&] { return cudaMemset(p, 0, 4); }, cudaErrorStreamCaptureImplicit}};
    for (const auto &[call, error] : calls) {
        cudaGraph_t graph;
        ASSERT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal), cudaSuccess);
        EXPECT_EQ(call(), error);
        EXPECT_EQ(cudaStreamEndCapture(stream, &graph), cudaErrorStreamCaptureInvalidated);
        EXPECT_EQ(graph, nullptr);
    }
    cudaGraph_t graph;
    EXPECT_EQ(cudaStreamBeginCapture(nullptr, cudaStreamCaptureModeGlobal), cudaErrorStreamCaptureUnsupported);
    cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal);
    std::thread([&] { EXPECT_EQ(cudaMalloc(&fresh, 4), cudaSuccess); }).join();
    cudaEventRecord(event, stream);
    EXPECT_EQ(cudaEventSynchronize(event), cudaErrorCapturedEvent);
    EXPECT_EQ(cudaStreamEndCapture(stream, &graph), cudaSuccess);
    cudaGraphDestroy(graph);
    cudaFree(fresh);
    cudaEventDestroy(event);
    cudaStreamDestroy(stream);
    cudaGetLastError();
}

// A copy from pageable memory, or from the device to itself, may not be over when the call returns.
TEST_F(EmulationRuntime, CopiesToTheDeviceEndInTheDefaultStream) {
    const Device<int> values(std::vector<int>{1}), others(std::vector<int>{2});
    cudaStream_t stream;
    cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
    int seen = 0, source = 5, *pinned;
    const auto now = [&] { /* by a stream that does not wait for the default one */
                           cudaMemcpyAsync(&seen, values, 4, cudaMemcpyDeviceToHost, stream);
                           cudaStreamSynchronize(stream);
                           return seen;
    };
    EXPECT_EQ(cudaMemcpy(values, &source, 4, cudaMemcpyHostToDevice), cudaSuccess);
    source = 6;  // it was taken along
    EXPECT_EQ(now(), 1);
    cudaStreamSynchronize(nullptr);
    EXPECT_EQ(now(), 5);
    EXPECT_EQ(cudaMemcpy(values, others, 4, cudaMemcpyDeviceToDevice), cudaSuccess);
    EXPECT_EQ(now(), 5);
    cudaStreamSynchronize(nullptr);
    EXPECT_EQ(now(), 2);
    cudaMallocHost(&pinned, 4);
    *pinned = 7;
    EXPECT_EQ(cudaMemcpy(values, pinned, 4, cudaMemcpyHostToDevice), cudaSuccess);
    EXPECT_EQ(now(), 7) << "pinned memory is copied at once";
    EXPECT_EQ(values.get()[0], 7);
    cudaFreeHost(pinned);
    cudaStreamDestroy(stream);
}

// ---- Launches, memory, errors

TEST_F(EmulationRuntime, KernelsAreLoadedByTheFirstLaunchOrBefore) {
    const Device<int> p(std::vector<int>{0});
    cudaStream_t stream;
    cudaGraph_t graph;
    cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
    const cudaLaunchConfig_t config = shape(1, 1, 0, stream);
    emu::loaded_by_launch();
    ASSERT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal), cudaSuccess);
    EXPECT_EQ(cudaLaunchKernelEx(&config, add_once, p), cudaErrorStreamCaptureUnsupported) << "it would be loaded now";
    EXPECT_EQ(cudaStreamEndCapture(stream, &graph), cudaErrorStreamCaptureInvalidated);
    EXPECT_EQ(emu::loaded_by_launch(), "&config, add_once, p");
    load(add_twice);
    ASSERT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal), cudaSuccess);
    EXPECT_EQ(cudaLaunchKernelEx(&config, add_twice, p), cudaSuccess);
    EXPECT_EQ(cudaStreamEndCapture(stream, &graph), cudaSuccess);
    EXPECT_EQ(emu::loaded_by_launch(), "");
    cudaGraphDestroy(graph);
    cudaStreamDestroy(stream);
    cudaGetLastError();
}

// A launch that succeeds says so, and leaves an error of before where it is.
TEST_F(EmulationRuntime, AnErrorWaitsUntilItIsFetched) {
    const Device<int> p(std::vector<int>{0});
    const cudaLaunchConfig_t config = shape(1, 1);
    void *q;
    EXPECT_EQ(cudaMalloc(&q, size_t(1) << 50), cudaErrorMemoryAllocation);
    EXPECT_EQ(cudaLaunchKernelEx(&config, add_to, p, 1, 3), cudaSuccess);
    EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
    EXPECT_EQ(cudaPeekAtLastError(), cudaErrorMemoryAllocation);
    std::thread([] { EXPECT_EQ(cudaPeekAtLastError(), cudaSuccess); }).join();
    EXPECT_EQ(cudaGetLastError(), cudaErrorMemoryAllocation);
    EXPECT_EQ(cudaGetLastError(), cudaSuccess);
}

TEST_F(EmulationRuntime, LaunchesAreValidated) {
    const Device<int> p(1);
    auto launch = [&](dim3 grid, dim3 block, size_t shared = 0) {
        const cudaLaunchConfig_t config = shape(grid, block, shared);
        return cudaLaunchKernelEx(&config, first_dynamic, p);
    };
    EXPECT_EQ(launch(0, 32), cudaErrorInvalidConfiguration);
    EXPECT_EQ(launch(1, 1025), cudaErrorInvalidConfiguration);
    EXPECT_EQ(launch(1, dim3(32, 33)), cudaErrorInvalidConfiguration);
    EXPECT_EQ(launch(dim3(1, 65536), 32), cudaErrorInvalidConfiguration);
    EXPECT_EQ(launch(1, 1, 49153), cudaErrorInvalidValue);
    EXPECT_EQ(cudaFuncSetAttribute(first_dynamic, cudaFuncAttributeMaxDynamicSharedMemorySize, 1 << 20),
              cudaErrorInvalidValue);
    EXPECT_EQ(cudaFuncSetAttribute(first_dynamic, cudaFuncAttributeMaxDynamicSharedMemorySize, 65536), cudaSuccess);
    cudaFuncAttributes attributes;
    EXPECT_EQ(cudaFuncGetAttributes(&attributes, first_dynamic), cudaSuccess);
    EXPECT_EQ(attributes.maxDynamicSharedSizeBytes, 65536);
    if (!emu::checking) {
        EXPECT_EQ(launch(1, 1, 65536), cudaSuccess);
        EXPECT_EQ(p.get()[0], -1);  // what shared memory is filled with
    }
    int blocks = 0;
    EXPECT_EQ(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, first_dynamic, 256, 65536), cudaSuccess);
    EXPECT_EQ(blocks, 3);
    cudaGetLastError();
}

TEST_F(EmulationRuntime, MemoryIsValidated) {
    void *p;
    int host[2] = {0, 0};
    const Device<int> a(2);
    EXPECT_EQ(cudaMalloc(&p, size_t(1) << 50), cudaErrorMemoryAllocation);
    EXPECT_EQ(cudaMemcpy(a, host, 12, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
    EXPECT_EQ(cudaMemcpy(a, host, 8, cudaMemcpyDeviceToDevice), cudaErrorInvalidValue);
    EXPECT_EQ(cudaMemcpy(host, a, 8, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
    EXPECT_EQ(cudaMemcpy(host, a, 8, cudaMemcpyDefault), cudaSuccess);
    EXPECT_EQ(host[1], -1);  // what device memory is filled with
    EXPECT_EQ(cudaMemset(a, 0, 9), cudaErrorInvalidValue);
    EXPECT_EQ(cudaFree(host), cudaErrorInvalidValue);
    EXPECT_EQ(cudaGetLastError(), cudaErrorInvalidValue);
    EXPECT_EQ(cudaGetLastError(), cudaSuccess);
    cudaPointerAttributes attributes;
    cudaPointerGetAttributes(&attributes, a + 1);
    EXPECT_EQ(attributes.type, cudaMemoryTypeDevice);
    cudaPointerGetAttributes(&attributes, host);
    EXPECT_EQ(attributes.type, cudaMemoryTypeUnregistered);
    size_t available, total;
    cudaMemGetInfo(&available, &total);
    EXPECT_EQ(total - available, 8u);
    emu::fail_malloc(2);
    EXPECT_EQ(cudaMalloc(&p, 4), cudaSuccess);
    void *q;
    EXPECT_EQ(cudaMalloc(&q, 4), cudaErrorMemoryAllocation);
    EXPECT_EQ(q, nullptr);
    EXPECT_EQ(cudaFree(p), cudaSuccess);
    EXPECT_EQ(cudaGetLastError(), cudaErrorMemoryAllocation);
}

// ---- Devices and contexts

TEST_F(EmulationRuntime, Device) {
    cudaDeviceProp properties;
    int count = 0, warp = 0, version = 0;
    EXPECT_EQ(cudaGetDeviceCount(&count), cudaSuccess);
    EXPECT_EQ(count, 1);
    EXPECT_EQ(cudaGetDeviceProperties(&properties, 0), cudaSuccess);
    EXPECT_STREQ(properties.name, "emulated");
    EXPECT_EQ(cudaDeviceGetAttribute(&warp, cudaDevAttrWarpSize, 0), cudaSuccess);
    EXPECT_EQ(warp, 32);
    EXPECT_EQ(cudaSetDevice(1), cudaErrorInvalidDevice);
    EXPECT_STREQ(cudaGetErrorName(cudaGetLastError()), "cudaErrorInvalidDevice");
    setenv("GURN_EMU_NO_DEVICE", "1", 1);
    EXPECT_EQ(cudaGetDeviceCount(&count), cudaErrorInsufficientDriver);
    EXPECT_EQ(count, 0);
    EXPECT_EQ(cudaDriverGetVersion(&version), cudaSuccess);
    EXPECT_EQ(version, 0);
    void *p;
    EXPECT_EQ(cudaMalloc(&p, 4), cudaErrorInsufficientDriver);
    unsetenv("GURN_EMU_NO_DEVICE");
    EXPECT_EQ(cudaGetLastError(), cudaErrorInsufficientDriver);
}

class EmulationDevices : public Emulation {
protected:
    void SetUp() override { emu::set_devices(2); }
    void TearDown() override {
        cudaSetDevice(0);
        emu::set_devices(1);
        cudaGetLastError();
        Emulation::TearDown();
    }
};

TEST_F(EmulationDevices, MemoryAndStreamsAreOfOneDevice) {
    int count = 0, device = -1, before;
    EXPECT_EQ(cudaGetDeviceCount(&count), cudaSuccess);
    EXPECT_EQ(count, 2);
    const Device<int> there(std::vector<int>{1});
    ASSERT_EQ(cudaSetDevice(1), cudaSuccess);
    EXPECT_EQ(cudaSetDevice(2), cudaErrorInvalidDevice);
    EXPECT_EQ(cudaGetDevice(&device), cudaSuccess);
    EXPECT_EQ(device, 1);
    const Device<int> here(std::vector<int>{1});
    cudaPointerAttributes attributes;
    for (const int *p : {static_cast<int *>(there), static_cast<int *>(here)}) {
        cudaPointerGetAttributes(&attributes, p);
        EXPECT_EQ(attributes.device, p == here);
    }
    cudaStream_t stream;
    cudaStreamCreate(&stream);
    const cudaLaunchConfig_t config = shape(1, 1), on_stream = shape(1, 1, 0, stream);
    EXPECT_EQ(cudaLaunchKernelEx(&on_stream, add_to, here, 1, 2), cudaSuccess);
    EXPECT_EQ(here.get()[0], 12);
    cudaLaunchKernelEx(&config, add_to, there, 1, 2);
    EXPECT_CAUGHT("pointer argument 1 is to memory of another device");
    if (emu::checking) {
        cudaLaunchKernelEx(&config, add_hidden, Target{there});
        EXPECT_CAUGHT("memory of another device");
    }
    cudaSetDevice(0);
    EXPECT_EQ(cudaLaunchKernelEx(&on_stream, add_to, there, 1, 2), cudaErrorInvalidResourceHandle);
    before = there.get()[0];
    EXPECT_EQ(before, 1);
    cudaStreamDestroy(stream);
}

TEST_F(EmulationDevices, ContextsComeToLifeWhenTheyAreNeeded) {
    emu::forget_primary_context(0);
    std::thread([] {
        CUcontext current, primary, own;
        int device = -1;
        void *p;
        const auto now = [&] { return cuCtxGetCurrent(&current), current; };
        EXPECT_EQ(cudaGetDevice(&device), cudaSuccess);
        EXPECT_EQ(device, 0);
        EXPECT_FALSE(now() || emu::has_primary_context(0)) << "asking makes none";
        ASSERT_EQ(cuDevicePrimaryCtxRetain(&primary, 1), CUDA_SUCCESS);
        EXPECT_TRUE(emu::has_primary_context(1));
        EXPECT_EQ(cuCtxPushCurrent(primary), CUDA_SUCCESS);
        EXPECT_EQ(cudaGetDevice(&device), cudaSuccess);
        EXPECT_EQ(device, 1);
        EXPECT_EQ(cudaMalloc(&p, 4), cudaSuccess); /* in the context that is current */
        cudaPointerAttributes attributes;
        cudaPointerGetAttributes(&attributes, p);
        EXPECT_EQ(attributes.device, 1);
        EXPECT_EQ(cudaFree(p), cudaSuccess);
        EXPECT_EQ(cuCtxPopCurrent(&current), CUDA_SUCCESS);
        EXPECT_EQ(current, primary);
        EXPECT_FALSE(now() || emu::has_primary_context(0));
        EXPECT_EQ(cudaGetDevice(&device), cudaSuccess);
        EXPECT_EQ(device, 0);

        EXPECT_EQ(cuCtxCreate(&own, 0, 0), CUDA_SUCCESS);
        EXPECT_EQ(now(), own);
        EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
        EXPECT_FALSE(emu::has_primary_context(0)) << "the runtime works in whatever context is current";
        EXPECT_EQ(cudaSetDevice(0), cudaSuccess);
        EXPECT_NE(now(), own) << "and cudaSetDevice takes its place";
        EXPECT_TRUE(emu::has_primary_context(0));
        EXPECT_EQ(cuCtxDestroy(own), CUDA_SUCCESS);
        EXPECT_EQ(cuCtxPushCurrent(own), CUDA_ERROR_INVALID_CONTEXT);
    }).join();
}

TEST_F(EmulationRuntime, TheDriversFunctionsAreAskedFor) {
    void *function;
    cudaDriverEntryPointQueryResult found;
    EXPECT_EQ(cudaGetDriverEntryPointByVersion("cuCtxGetCurrent", &function, 12000, cudaEnableDefault, &found),
              cudaSuccess);
    EXPECT_EQ(function, reinterpret_cast<void *>(cuCtxGetCurrent));
    EXPECT_EQ(found, cudaDriverEntryPointSuccess);
    EXPECT_EQ(cudaGetDriverEntryPointByVersion("cuNone", &function, 12000, cudaEnableDefault, &found), cudaSuccess);
    EXPECT_EQ(function, nullptr);
    EXPECT_EQ(found, cudaDriverEntryPointSymbolNotFound);
}

}  // namespace
