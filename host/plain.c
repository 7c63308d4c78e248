/* gurn_mvhg_draw, gurn_hypergeometric_draw: plain draws, judged as a whole before the back end may write anything. */
#include <string.h>

#include "host/check.h"
#include "host/internal.h"
#include "host/sized.h"

static gurn_status check_noise(gurn_context *context, const gurn_noise *noise) {
    if (noise->kind == GURN_NOISE_PHILOX) return GURN_SUCCESS;
    return gurn_fail(context, GURN_INVALID_NOISE, "inputs->noise.kind is %d: plain draws have GURN_NOISE_PHILOX only",
                     (int)noise->kind);
}

static gurn_status unsupported(gurn_context *context) {
    return gurn_fail(context, GURN_UNSUPPORTED, "this back end has no plain draws");
}

/* The caller's inputs, without what these calls do not read. */
static gurn_status read_inputs(gurn_context *context, const gurn_plan *plan, const gurn_mvhg_inputs *inputs,
                               gurn_mvhg_inputs *in) {
    gurn_status status = gurn_check_drawing_plan(context, plan);
    if (status == GURN_SUCCESS && !context->backend->plain_draw) status = unsupported(context);
    if (status == GURN_SUCCESS) status = gurn_copy_sized(context, "inputs", in, sizeof *in, inputs);
    if (status == GURN_SUCCESS) status = check_noise(context, &in->noise);
    if (status != GURN_SUCCESS) return status;
    in->relaxation = GURN_HARD;
    in->tau = 1;
    in->noise.gumbel = NULL;
    if (!in->log_omega) in->log_omega_stride = 0; /* all are equal */
    return GURN_SUCCESS;
}

static gurn_plain_job make_job(const gurn_plan *plan, const gurn_mvhg_inputs *in) {
    gurn_plain_job job;
    memset(&job, 0, sizeof job);
    job.dtype = plan->dtype;
    job.chain = plan->chain;
    job.max_m = plan->max_m;
    job.n_max = in->n_rows ? plan->n_max : in->n;
    job.total = (int32_t)(plan->offset[plan->classes] - plan->classes);
    job.plan_order = in->order == plan->order;
    job.in = *in;
    return job;
}

gurn_status gurn_mvhg_draw_workspace(gurn_context *context, const gurn_plan *plan, const gurn_mvhg_inputs *inputs,
                                     size_t *bytes) {
    gurn_mvhg_inputs in;
    gurn_status status = read_inputs(context, plan, inputs, &in);
    if (status == GURN_SUCCESS) status = gurn_check_shape(context, plan, &in);
    if (status == GURN_SUCCESS) status = gurn_check_n(context, plan, &in);
    if (status != GURN_SUCCESS) return status;
    if (!bytes) return gurn_fail(context, GURN_INVALID_ARGUMENT, "bytes is NULL");
    if (!in.order) in.order = plan->order;
    gurn_plain_job job = make_job(plan, &in);
    *bytes = in.rows ? context->backend->plain_bytes(context, plan, &job) : 0;
    return GURN_SUCCESS;
}

gurn_status gurn_mvhg_draw(gurn_context *context, const gurn_plan *plan, const gurn_mvhg_inputs *inputs, int32_t *x,
                           void *workspace, size_t workspace_bytes) {
    gurn_mvhg_call call;
    gurn_mvhg_inputs in;
    memset(&call, 0, sizeof call);
    gurn_status status = read_inputs(context, plan, inputs, &in);
    if (status == GURN_SUCCESS) status = gurn_take_inputs(context, plan, &in, 1, &call.in);
    if (status != GURN_SUCCESS || call.in.rows == 0) return status;
    if (!x) return gurn_fail(context, GURN_INVALID_ARGUMENT, "x is NULL");
    gurn_plain_job job = make_job(plan, &call.in);
    job.x = x;
    job.workspace = workspace;
    size_t needed = context->backend->plain_bytes(context, plan, &job);
    status = gurn_check_workspace(context, needed, workspace, workspace_bytes);
    if (status == GURN_SUCCESS && context->backend->mvhg_check)
        status = context->backend->mvhg_check(context, plan, &call);
    if (status != GURN_SUCCESS) return status;
    return context->backend->plain_draw(context, plan, &job);
}

static gurn_status check_stride(gurn_context *context, const char *name, int64_t rows, int64_t stride) {
    if (stride < 0)
        return gurn_fail(context, GURN_INVALID_ARGUMENT, "inputs->%s_stride is %lld: must be >= 0", name,
                         (long long)stride);
    if (stride > 0 && rows > (int64_t)(PTRDIFF_MAX / sizeof(double)) / stride)
        return gurn_fail(context, GURN_INVALID_ROWS, "inputs->rows is %lld: %s with %s_stride %lld would overflow",
                         (long long)rows, name, name, (long long)stride);
    return GURN_SUCCESS;
}

gurn_status gurn_hypergeometric_draw(gurn_context *context, const gurn_hypergeometric_inputs *inputs, int32_t *x) {
    gurn_hypergeometric_job job;
    memset(&job, 0, sizeof job);
    gurn_hypergeometric_inputs *in = &job.in;
    if (!context) return GURN_INVALID_ARGUMENT;
    if (!context->backend->hypergeometric_draw) return unsupported(context);
    gurn_status status = gurn_copy_sized(context, "inputs", in, sizeof *in, inputs);
    if (status == GURN_SUCCESS) status = check_noise(context, &in->noise);
    if (status != GURN_SUCCESS) return status;
    if (in->log_odds_dtype != GURN_FLOAT32 && in->log_odds_dtype != GURN_FLOAT64)
        return gurn_fail(context, GURN_INVALID_ARGUMENT, "inputs->log_odds_dtype is %d, which is no gurn_dtype",
                         (int)in->log_odds_dtype);
    if (in->rows < 0 || in->rows > (int64_t)(PTRDIFF_MAX / sizeof *x))
        return gurn_fail(context, GURN_INVALID_ROWS,
                         "inputs->rows is %lld: must be >= 0, and x[rows] must not overflow", (long long)in->rows);
    status = check_stride(context, "m1", in->rows, in->m1_stride);
    if (status == GURN_SUCCESS) status = check_stride(context, "m2", in->rows, in->m2_stride);
    if (status == GURN_SUCCESS) status = check_stride(context, "n", in->rows, in->n_stride);
    if (status == GURN_SUCCESS) status = check_stride(context, "log_odds", in->rows, in->log_odds_stride);
    if (status == GURN_SUCCESS) status = gurn_check_noise_range(context, &in->noise, in->rows);
    if (status != GURN_SUCCESS || in->rows == 0) return status;
    const char *missing = !in->m1 ? "inputs->m1" : !in->m2 ? "inputs->m2" : !in->n ? "inputs->n" : !x ? "x" : NULL;
    if (missing) return gurn_fail(context, GURN_INVALID_ARGUMENT, "%s is NULL", missing);
    job.x = x;
    if (context->backend->hypergeometric_check) status = context->backend->hypergeometric_check(context, &job);
    if (status != GURN_SUCCESS) return status;
    return context->backend->hypergeometric_draw(context, &job);
}
