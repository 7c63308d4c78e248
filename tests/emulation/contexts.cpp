/*
 * Devices and contexts. A thread has a stack of contexts, as the driver gives it one. A function of the runtime works in the one
 * on top, whoever made it; where there is none it makes the primary context of the thread's device, which comes to life with that,
 * the current one. So does cudaSetDevice.
 */
#include "runtime.h"

#include <stdlib.h>

namespace emu {
namespace {

struct Stack {  // needs no destructor: static objects may still call when the thread's are gone
    CUctx_st *context[16];
    int size;
    bool empty() const { return size == 0; }
    CUctx_st *&back() { return context[size - 1]; }
    void pop_back() { size--; }
    void push_back(CUctx_st *pushed) {
        if (size == sizeof context / sizeof *context) abort();
        context[size++] = pushed;
    }
};
thread_local Stack stack;
thread_local int chosen;  // by cudaSetDevice

CUctx_st &primary_context(int device) {
    CUctx_st &context = state().primary[device];
    if (!context.alive) make_default_stream(&context);
    context.alive = true;
    return context;
}

bool is_context(CUcontext context) {
    State &s = state();
    for (CUctx_st &each : s.primary) {
        if (context == &each) return each.alive;
    }
    return s.contexts.count(context) != 0;
}

}  // namespace

CUctx_st &current_context() {
    if (stack.empty()) stack.push_back(nullptr);
    if (!stack.back()) stack.back() = &primary_context(chosen);
    return *stack.back();
}

void set_devices(int n) { state().devices = n; }

bool has_primary_context(int device) { return state().primary[device].alive; }

void forget_primary_context(int device) {
    const std::lock_guard<std::recursive_mutex> lock(state().mutex);
    State &s = state();
    CUctx_st &context = s.primary[device];
    if (!context.alive) return;
    drain_all(&context);
    s.by_id.erase(context.legacy->id);
    delete std::exchange(context.legacy, nullptr);
    context.alive = false;
    for (int i = 0; i < stack.size; i++) {
        if (stack.context[i] == &context) stack.context[i] = nullptr;
    }
}

}  // namespace emu

using namespace emu;

// ---- The runtime's part

cudaError_t cudaDriverGetVersion(int *version) { return *version = no_device() ? 0 : CUDART_VERSION, cudaSuccess; }
cudaError_t cudaRuntimeGetVersion(int *version) { return *version = CUDART_VERSION, cudaSuccess; }
cudaError_t cudaGetDeviceCount(int *count) {
    *count = 0;
    EMU_ENTER_BARE;
    *count = s.devices;
    return done(cudaSuccess);
}
cudaError_t cudaGetDevice(int *device) {
    EMU_ENTER_BARE;
    *device = stack.empty() || !stack.back() ? chosen : stack.back()->device;
    return done(cudaSuccess);
}
cudaError_t cudaSetDevice(int device) {
    EMU_ENTER_BARE;
    if (device < 0 || device >= s.devices) return done(cudaErrorInvalidDevice);
    chosen = device;
    if (!stack.empty()) stack.pop_back();
    stack.push_back(&primary_context(device));
    return done(cudaSuccess);
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp *properties, int device) {
    EMU_ENTER_BARE;
    if (device < 0 || device >= s.devices) return done(cudaErrorInvalidDevice);
    *properties = {"emulated", kCapacity, kSharedDefault, kSharedMost, kSharedMost + 1024, 9, 0, kMultiprocessors, 1024,
                   2048,       32,        65536,          32 << 20};
    return done(cudaSuccess);
}
cudaError_t cudaDeviceGetAttribute(int *value, cudaDeviceAttr attribute, int device) {
    EMU_ENTER_BARE;
    cudaDeviceProp p;
    if (const cudaError_t error = cudaGetDeviceProperties(&p, device)) return error;
    switch (attribute) {
        case cudaDevAttrMaxThreadsPerBlock: return *value = p.maxThreadsPerBlock, cudaSuccess;
        case cudaDevAttrMaxSharedMemoryPerBlock: return *value = int(p.sharedMemPerBlock), cudaSuccess;
        case cudaDevAttrWarpSize: return *value = p.warpSize, cudaSuccess;
        case cudaDevAttrMultiProcessorCount: return *value = p.multiProcessorCount, cudaSuccess;
        case cudaDevAttrMaxThreadsPerMultiProcessor: return *value = p.maxThreadsPerMultiProcessor, cudaSuccess;
        case cudaDevAttrComputeCapabilityMajor: return *value = p.major, cudaSuccess;
        case cudaDevAttrComputeCapabilityMinor: return *value = p.minor, cudaSuccess;
        case cudaDevAttrMaxSharedMemoryPerMultiprocessor:
            return *value = int(p.sharedMemPerMultiprocessor), cudaSuccess;
        case cudaDevAttrMaxSharedMemoryPerBlockOptin: return *value = int(p.sharedMemPerBlockOptin), cudaSuccess;
    }
    return done(cudaErrorInvalidValue);
}

// ---- The driver's

#define EMU_DRIVER                                             \
    std::lock_guard<std::recursive_mutex> lock(state().mutex); \
    [[maybe_unused]] State &s = state()

CUresult cuCtxGetCurrent(CUcontext *context) {
    *context = stack.empty() ? nullptr : stack.back();
    return CUDA_SUCCESS;
}
CUresult cuCtxPushCurrent(CUcontext context) {
    EMU_DRIVER;
    if (!is_context(context)) return CUDA_ERROR_INVALID_CONTEXT;
    stack.push_back(context);
    return CUDA_SUCCESS;
}
CUresult cuCtxPopCurrent(CUcontext *context) {
    if (stack.empty()) return CUDA_ERROR_INVALID_CONTEXT;
    if (context) *context = stack.back();
    stack.pop_back();
    return CUDA_SUCCESS;
}
CUresult cuCtxCreate(CUcontext *context, unsigned, CUdevice device) {
    EMU_DRIVER;
    if (device < 0 || device >= s.devices) return CUDA_ERROR_INVALID_DEVICE;
    *context = new CUctx_st;
    (*context)->device = device;
    (*context)->alive = true;
    make_default_stream(*context);
    s.contexts.insert(*context);
    stack.push_back(*context);
    return CUDA_SUCCESS;
}
CUresult cuCtxDestroy(CUcontext context) {
    EMU_DRIVER;
    if (!s.contexts.erase(context)) return CUDA_ERROR_INVALID_CONTEXT;
    drain_all(context);
    s.by_id.erase(context->legacy->id);
    if (!stack.empty() && stack.back() == context) stack.pop_back();
    delete context->legacy;
    delete context;
    return CUDA_SUCCESS;
}
CUresult cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice device) {
    EMU_DRIVER;
    if (device < 0 || device >= s.devices) return CUDA_ERROR_INVALID_DEVICE;
    *context = &primary_context(device);
    return CUDA_SUCCESS;
}
CUresult cuDevicePrimaryCtxGetState(CUdevice device, unsigned *flags, int *active) {
    EMU_DRIVER;
    if (device < 0 || device >= s.devices) return CUDA_ERROR_INVALID_DEVICE;
    *flags = 0;
    *active = s.primary[device].alive;
    return CUDA_SUCCESS;
}

cudaError_t cudaGetDriverEntryPointByVersion(const char *symbol, void **function, unsigned, unsigned long long,
                                             cudaDriverEntryPointQueryResult *status) {
    EMU_ENTER_BARE;
    static const struct {
        const char *symbol;
        void *function;
    } all[] = {
#define EMU_NAME(name) {#name, reinterpret_cast<void *>(name)},
        EMU_NAME(cuCtxGetCurrent) EMU_NAME(cuCtxPushCurrent) EMU_NAME(cuCtxPopCurrent) EMU_NAME(cuCtxCreate)
            EMU_NAME(cuCtxDestroy) EMU_NAME(cuDevicePrimaryCtxRetain) EMU_NAME(cuDevicePrimaryCtxGetState)
#undef EMU_NAME
    };
    *function = nullptr;
    for (const auto &each : all) {
        if (strcmp(symbol, each.symbol) == 0) *function = each.function;
    }
    if (status) *status = *function ? cudaDriverEntryPointSuccess : cudaDriverEntryPointSymbolNotFound;
    return done(cudaSuccess);
}
