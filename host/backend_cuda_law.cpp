/* The CUDA back end, continued: the law itself. */
#include "host/backend_cuda.h"
#include "kernels/cuda.h"

static gurn_law_job on_this_device(const gurn_plan *plan, const gurn_law_job *job) {
    gurn_law_job run = *job;
    run.view = &plan->view;
    run.n_max = plan->n_max;
    run.plan_order = job->in.order == plan->order;
    return run;
}

size_t gurn_cuda_law_bytes(const gurn_context *context, const gurn_plan *plan, const gurn_law_job *job) {
    (void)context;
    gurn_law_job run = on_this_device(plan, job);
    return gurn_cuda_law_workspace(&run);
}

gurn_status gurn_cuda_law_run(gurn_context *context, const gurn_plan *plan, const gurn_law_job *job) {
    gurn_law_job run = on_this_device(plan, job);
    gurn_device_scope scope(context->primary);
    cudaError_t error = scope.error();
    if (error == cudaSuccess) error = gurn_cuda_law_launch(&run, context->stream);
    return gurn_cuda_status(context, error, "CUDA");
}
