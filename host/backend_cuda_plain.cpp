/* The CUDA back end, continued: plain draws. */
#include "host/backend_cuda.h"
#include "kernels/cuda.h"

static gurn_plain_job on_this_device(const gurn_plan *plan, const gurn_plain_job *job) {
    gurn_plain_job run = *job;
    run.view = &plan->view;
    return run;
}

size_t gurn_cuda_plain_bytes(const gurn_context *context, const gurn_plan *plan, const gurn_plain_job *job) {
    (void)context;
    gurn_plain_job run = on_this_device(plan, job);
    return gurn_cuda_plain_workspace(&run);
}

gurn_status gurn_cuda_plain_draw(gurn_context *context, const gurn_plan *plan, const gurn_plain_job *job) {
    gurn_plain_job run = on_this_device(plan, job);
    gurn_device_scope scope(context->primary);
    cudaError_t error = scope.error();
    if (error == cudaSuccess) error = gurn_cuda_plain_launch(&run, context->stream);
    return gurn_cuda_status(context, error, "CUDA");
}

gurn_status gurn_cuda_hypergeometric_draw(gurn_context *context, const gurn_hypergeometric_job *job) {
    gurn_device_scope scope(context->primary);
    cudaError_t error = scope.error();
    if (error == cudaSuccess) error = gurn_cuda_hypergeometric_launch(job, context->stream);
    return gurn_cuda_status(context, error, "CUDA");
}
