/* The CPU back end, continued: the law itself. */
#include <math.h>

#include "host/internal.h"
#include "host/threads.h"
#include "kernels/cpu.h"
#include "kernels/real.h"

static gurn_law_job on_this_cpu(const gurn_context *context, const gurn_plan *plan, const gurn_law_job *job) {
    gurn_law_job run = *job;
    run.view = &plan->view;
    run.threads = gurn_threads_for(context, job->in.rows < GURN_LAW_RUNS ? job->in.rows : GURN_LAW_RUNS);
    return run;
}

size_t gurn_cpu_law_bytes(const gurn_context *context, const gurn_plan *plan, const gurn_law_job *job) {
    gurn_law_job run = on_this_cpu(context, plan, job);
    return ((const gurn_cpu_kernels *)context->cpu_kernels)->law_bytes(&run);
}

gurn_status gurn_cpu_law_check(gurn_context *context, const gurn_plan *plan, const gurn_law_job *job) {
    int64_t classes = plan->classes, rows = job->in.rows;
    gurn_mvhg_call inputs = {.in = job->in};
    gurn_status status = context->backend->mvhg_check(context, plan, &inputs);
    if (status != GURN_SUCCESS) return status;
    if (job->other) {
        status = gurn_cpu_check_log_omega(context, plan, &job->in, "other", job->other, job->other_stride);
        if (status != GURN_SUCCESS) return status;
    }
    for (int64_t i = 0; job->x && i < rows * classes; i++)
        if (isnan(gurn_real(job->x, plan->dtype, i)))
            return gurn_fail(context, GURN_INVALID_X, "x[%lld][%lld] is NaN", (long long)(i / classes),
                             (long long)(i % classes));
    return GURN_SUCCESS;
}

gurn_status gurn_cpu_law_run(gurn_context *context, const gurn_plan *plan, const gurn_law_job *job) {
    gurn_law_job run = on_this_cpu(context, plan, job);
    ((const gurn_cpu_kernels *)context->cpu_kernels)->law_run(&run);
    return GURN_SUCCESS;
}
