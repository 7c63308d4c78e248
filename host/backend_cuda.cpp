/*
 * The CUDA back end: which device, a plan's tables in its memory, and the launches. After a context is created only
 * plan_upload and plan_free allocate, free or wait; a call puts its work on the context's stream.
 */
#include "host/backend_cuda.h"

#include <cuda.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "kernels/cuda.h"

/* An error of ours is not left for the caller's own calls to find. One of the caller's is: it is not ours to fetch. */
static void forget(cudaError_t error) {
    if (cudaPeekAtLastError() == error) cudaGetLastError();
}

gurn_status gurn_cuda_status(gurn_context *context, cudaError_t error, const char *what) {
    if (error == cudaSuccess) return GURN_SUCCESS;
    forget(error);
    gurn_status status = error == cudaErrorMemoryAllocation ? GURN_OUT_OF_MEMORY
                         : error == cudaErrorNotSupported   ? GURN_UNSUPPORTED
                                                            : GURN_CUDA_ERROR;
    return gurn_fail(context, status, "%s: %s", what, cudaGetErrorString(error));
}

/* ------------------------------------------------------------------------------------------------------ contexts --- */

namespace {

/*
 * Functions of the driver. Its library is not linked, so that one binary runs where there is none: the runtime, which has found
 * it, gives them. Their declarations name version 2 of two of them, which is what CUDA 12.0 means by the plain name.
 */
struct driver_functions {
    decltype(&cuCtxGetCurrent) get_current;
    decltype(&cuCtxPushCurrent) push_current;
    decltype(&cuCtxPopCurrent) pop_current;
    decltype(&cuDevicePrimaryCtxRetain) primary_retain;
    cudaError_t error = cudaSuccess;

    driver_functions() {
        find("cuCtxGetCurrent", &get_current);
        find("cuCtxPushCurrent", &push_current);
        find("cuCtxPopCurrent", &pop_current);
        find("cuDevicePrimaryCtxRetain", &primary_retain);
    }

private:
    template <class Function>
    void find(const char *name, Function *function) {
        void *found = nullptr;
        if (error == cudaSuccess)
#if CUDART_VERSION >= 12050
            error = cudaGetDriverEntryPointByVersion(name, &found, 12000, cudaEnableDefault);
#else
            error = cudaGetDriverEntryPoint(name, &found, cudaEnableDefault);
#endif
        if (error == cudaSuccess && !found) error = cudaErrorNotSupported;
        *function = reinterpret_cast<Function>(found);
    }
};

/* Once there is a device, which cuda_open asks for first. */
const driver_functions &driver() {
    static const driver_functions functions;
    return functions;
}

/* The runtime's errors have the driver's numbers. */
cudaError_t error_of(CUresult result) { return static_cast<cudaError_t>(result); }

/*
 * The device's primary context, brought to life by this at the latest. It is never released: the runtime, whose memory and
 * streams are in it too, does not either.
 */
cudaError_t primary_of(int device, CUcontext *primary) {
    if (driver().error != cudaSuccess) return driver().error;
    return error_of(driver().primary_retain(primary, device));
}

}  // namespace

gurn_device_scope::gurn_device_scope(CUcontext primary) {
    CUcontext current = nullptr;
    error_ = error_of(driver().get_current(&current));
    if (error_ != cudaSuccess || current == primary) return;
    error_ = error_of(driver().push_current(primary));
    pushed_ = error_ == cudaSuccess;
}
gurn_device_scope::~gurn_device_scope() {
    CUcontext popped;
    if (pushed_) driver().pop_current(&popped);
}

/*
 * Whatever is missing (a driver, a new enough one, a device, kernels for this device), the answer is that there is no
 * device.
 */
static gurn_status no_device(gurn_context *context, cudaError_t error, const char *what) {
    forget(error);
    return gurn_fail(context, GURN_NO_DEVICE, "%s: %s", what, cudaGetErrorString(error));
}

static gurn_status cuda_open(gurn_context *context, const gurn_context_options *options) {
    int count = 0, index = options->device_index;
    cudaError_t error = cudaGetDeviceCount(&count);
    if (error != cudaSuccess) return no_device(context, error, "no usable CUDA driver or device");
    if (index >= count)
        return gurn_fail(context, GURN_NO_DEVICE, "options->device_index is %d, but there are %d CUDA devices", index,
                         count);
    cudaDeviceProp properties;
    error = primary_of(index, &context->primary);
    if (error == cudaSuccess) error = cudaGetDeviceProperties(&properties, index);
    if (error == cudaSuccess) {
        gurn_device_scope scope(context->primary);
        error = scope.error();
        if (error == cudaSuccess) error = gurn_cuda_load();
    }
    if (error != cudaSuccess) return no_device(context, error, "this CUDA device can not be used");
    gurn_context_info *info = &context->info;
    info->device_index = index;
    snprintf(info->device_name, sizeof info->device_name, "%.127s", properties.name);
    snprintf(info->isa_name, sizeof info->isa_name, "sm_%d%d", properties.major % 1000, properties.minor % 1000);
    return GURN_SUCCESS;
}

static void cuda_close(gurn_context *context) { (void)context; }

/* The host's copy of the tables goes: kernels read the device's. */
static gurn_status cuda_plan_upload(gurn_context *context, gurn_plan *plan) {
    gurn_device_scope scope(context->primary);
    void *storage = nullptr;
    cudaError_t error = scope.error();
    if (error == cudaSuccess) error = cudaMalloc(&storage, plan->bytes);
    if (error != cudaSuccess) return gurn_cuda_status(context, error, "device memory for the plan's tables");
    plan->storage = storage; /* from here on plan_free returns it */
    plan->primary = context->primary;
    plan->view = gurn_plan_rebase(&plan->host, plan->host_storage, storage, const_cast<gurn_step *>(plan->host.steps));
    error = cudaMemcpy(storage, plan->host_storage, plan->bytes, cudaMemcpyHostToDevice);
    /* From pageable memory the copy may still be on its way, in the default stream, which not every stream waits for. */
    if (error == cudaSuccess) error = cudaStreamSynchronize(nullptr);
    free(plan->host_storage);
    plan->host_storage = nullptr;
    memset(&plan->host, 0, sizeof plan->host);
    return gurn_cuda_status(context, error, "copying the plan's tables to the device");
}

static void cuda_plan_free(gurn_plan *plan) {
    gurn_device_scope scope(plan->primary);
    cudaError_t error = scope.error();
    if (error == cudaSuccess) error = cudaFree(plan->storage);
    if (error != cudaSuccess) forget(error); /* a fault of before, which the caller meets elsewhere */
}

static gurn_status cuda_zero(gurn_context *context, void *p, size_t bytes) {
    gurn_device_scope scope(context->primary);
    cudaError_t error = scope.error();
    if (error == cudaSuccess) error = cudaMemsetAsync(p, 0, bytes, context->stream);
    return gurn_cuda_status(context, error, "setting a gradient to 0");
}

static gurn_mvhg_job make_job(const gurn_plan *plan, const gurn_mvhg_inputs *in) {
    gurn_mvhg_job job;
    memset(&job, 0, sizeof job);
    job.view = &plan->view;
    job.dtype = plan->dtype;
    job.chain = plan->chain;
    job.max_m = plan->max_m;
    job.n_max = plan->n_max;
    job.width = plan->offset[plan->classes];
    job.plan_order = in->order == plan->order;
    job.in = *in;
    return job;
}

static size_t cuda_mvhg_bytes(const gurn_context *context, const gurn_plan *plan, const gurn_mvhg_inputs *in,
                              int backward) {
    (void)context;
    gurn_mvhg_job job = make_job(plan, in);
    return gurn_cuda_mvhg_bytes(&job, backward != 0);
}

static gurn_status cuda_mvhg_forward(gurn_context *context, const gurn_plan *plan, const gurn_mvhg_call *call) {
    gurn_mvhg_job job = make_job(plan, &call->in);
    job.out = call->out;
    job.workspace = call->workspace;
    gurn_device_scope scope(context->primary);
    cudaError_t error = scope.error();
    if (error == cudaSuccess) error = gurn_cuda_mvhg_forward(&job, context->stream);
    return gurn_cuda_status(context, error, "CUDA");
}

static gurn_status cuda_mvhg_backward(gurn_context *context, const gurn_plan *plan, const gurn_mvhg_call *call) {
    gurn_mvhg_job job = make_job(plan, &call->in);
    job.x = call->x;
    job.upstream = call->upstream;
    job.grad = call->grad;
    job.workspace = call->workspace;
    gurn_device_scope scope(context->primary);
    cudaError_t error = scope.error();
    if (error == cudaSuccess) error = gurn_cuda_mvhg_backward(&job, context->stream);
    return gurn_cuda_status(context, error, "CUDA");
}

/* In the order of gurn_backend. There are no checks of data: a GPU poisons the row. */
extern "C" const gurn_backend gurn_backend_cuda = {
    GURN_DEVICE_CUDA,
    cuda_open,
    cuda_close,
    cuda_plan_upload,
    cuda_plan_free,
    cuda_zero,
    cuda_mvhg_bytes,
    nullptr,
    cuda_mvhg_forward,
    cuda_mvhg_backward,
    gurn_cuda_law_bytes,
    nullptr,
    gurn_cuda_law_run,
    gurn_cuda_plain_bytes,
    gurn_cuda_plain_draw,
    nullptr,
    gurn_cuda_hypergeometric_draw,
};
