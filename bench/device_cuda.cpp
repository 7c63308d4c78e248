/*
 * A GPU as a benchmark's device. Times are those between two CUDA events around a call on a stream of its own which has
 * nothing else to do, so a call of few rows takes what its launches take. C++ because the tests' emulation of the CUDA
 * runtime is.
 *
 *   warm    calls one after the other: what they read is in the L2 cache as far as it fits
 *   cold    before each call as much memory is written as pushes everything else out of the L2 cache
 *   graph   the call is captured once as a CUDA graph, and its replay is timed
 *   queued  as many replays as BENCH_QUEUED one after the other, their time divided by their number: one alone is timed
 *           with its submission, which takes longer than the work of a small batch
 */
#include <cuda_runtime.h>

#include <cstdio>
#include <cstring>

#include "bench.h"

namespace {

cudaStream_t stream;
cudaEvent_t begun, ended;
void *flush;
size_t flush_bytes;

/* Says why a call failed, on standard error: the functions of a device that is open have no other place for it. */
bool good(cudaError_t error, const char *what) {
    if (error == cudaSuccess) return true;
    std::fprintf(stderr, "bench_mvhg: %s: %s\n", what, cudaGetErrorString(error));
    return false;
}
#define GOOD(call) good(call, #call)

bool cuda_open(char *error, size_t size) {
    int count = 0;
    cudaDeviceProp device;
    cudaError_t status = cudaGetDeviceCount(&count);
    if (status == cudaSuccess && count == 0) {
        std::snprintf(error, size, "no CUDA device");
        return false;
    }
    if (status == cudaSuccess) status = cudaGetDeviceProperties(&device, 0);
    if (status == cudaSuccess) status = cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
    if (status == cudaSuccess) status = cudaEventCreate(&begun);
    if (status == cudaSuccess) status = cudaEventCreate(&ended);
    if (status == cudaSuccess) {
        flush_bytes = 2 * static_cast<size_t>(device.l2CacheSize);
        status = cudaMalloc(&flush, flush_bytes);
    }
    if (status != cudaSuccess) std::snprintf(error, size, "%s", cudaGetErrorString(status));
    return status == cudaSuccess;
}

void cuda_close() {
    cudaFree(flush);
    cudaEventDestroy(begun);
    cudaEventDestroy(ended);
    cudaStreamDestroy(stream);
}

CUstream_st *cuda_stream() { return stream; }

void *cuda_alloc(size_t bytes) {
    void *p = nullptr;
    return GOOD(cudaMalloc(&p, bytes)) ? p : nullptr;
}

void cuda_release(void *p) { cudaFree(p); }

bool cuda_upload(void *to, const void *from, size_t bytes) {
    return GOOD(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, stream)) &&
           GOOD(cudaStreamSynchronize(stream));
}

bool cuda_download(void *to, const void *from, size_t bytes) {
    return GOOD(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, stream)) &&
           GOOD(cudaStreamSynchronize(stream));
}

/* A call as one launch. */
struct Replay {
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t exec = nullptr;

    ~Replay() {
        if (exec) cudaGraphExecDestroy(exec);
        if (graph) cudaGraphDestroy(graph);
    }
    bool capture(bench_call call, void *argument) {
        if (!GOOD(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal))) return false;
        bool called = call(argument);
        return GOOD(cudaStreamEndCapture(stream, &graph)) && called && GOOD(cudaGraphInstantiate(&exec, graph, 0));
    }
    static bool launch(void *replay) { return GOOD(cudaGraphLaunch(static_cast<Replay *>(replay)->exec, stream)); }
};

bool cuda_time(const char *mode, bool warm, bench_call call, void *argument, int count, double *seconds) {
    Replay replay;
    bool queued = std::strcmp(mode, "queued") == 0;
    if (queued || std::strcmp(mode, "graph") == 0) {
        if (!replay.capture(call, argument)) return false;
        call = Replay::launch;
        argument = &replay;
        warm = true; /* the first launch of a graph uploads it */
    }
    bool cold = std::strcmp(mode, "cold") == 0;
    int calls = queued ? BENCH_QUEUED : 1;
    if (warm && !call(argument)) return false;
    for (int i = 0; i < count; i++) {
        float milliseconds;
        if (cold && !GOOD(cudaMemsetAsync(flush, i, flush_bytes, stream))) return false;
        if (!GOOD(cudaStreamSynchronize(stream)) || !GOOD(cudaEventRecord(begun, stream))) return false;
        for (int k = 0; k < calls; k++)
            if (!call(argument)) return false;
        if (!GOOD(cudaEventRecord(ended, stream)) || !GOOD(cudaEventSynchronize(ended)) ||
            !GOOD(cudaEventElapsedTime(&milliseconds, begun, ended)))
            return false;
        seconds[i] = 1e-3 * static_cast<double>(milliseconds) / calls;
    }
    return true;
}

const char *const modes[] = {"warm", "cold", "graph", "queued", nullptr};

}  // namespace

extern "C" const bench_device bench_device_cuda = {GURN_DEVICE_CUDA, modes,      cuda_open,    cuda_close,
                                                   cuda_stream,      cuda_alloc, cuda_release, cuda_upload,
                                                   cuda_download,    cuda_time};
