/*
 * gurn_mvhg_log_prob, _moments_*, _kl, _mode: calls about the law itself, judged as a whole before the back end may
 * write anything.
 */
#include <string.h>

#include "host/check.h"
#include "host/internal.h"
#include "host/sized.h"

/* The caller's inputs without what these calls do not read. */
static gurn_status read_inputs(gurn_context *context, const gurn_mvhg_inputs *inputs, gurn_mvhg_inputs *in) {
    gurn_status status = gurn_copy_sized(context, "inputs", in, sizeof *in, inputs);
    if (status != GURN_SUCCESS) return status;
    in->relaxation = GURN_HARD;
    in->tau = 1;
    memset(&in->noise, 0, sizeof in->noise);
    return GURN_SUCCESS;
}

static gurn_law_job new_job(gurn_law_op op, const gurn_plan *plan) {
    gurn_law_job job;
    memset(&job, 0, sizeof job);
    job.op = op;
    job.dtype = plan->dtype;
    job.chain = plan->chain;
    return job;
}

/* Begins a call: judges plan and inputs. */
static gurn_status begin(gurn_context *context, const gurn_plan *plan, const gurn_mvhg_inputs *inputs, gurn_law_op op,
                         gurn_law_job *job) {
    gurn_mvhg_inputs scrubbed;
    gurn_status status = gurn_check_plan(context, plan);
    if (status == GURN_SUCCESS) status = read_inputs(context, inputs, &scrubbed);
    if (status != GURN_SUCCESS) return status;
    *job = new_job(op, plan);
    return gurn_take_inputs(context, plan, &scrubbed, 0, &job->in);
}

/* Ends it: workspace, a look at the data, and the work. */
static gurn_status finish(gurn_context *context, const gurn_plan *plan, gurn_law_job *job, void *workspace,
                          size_t workspace_bytes) {
    size_t needed = context->backend->law_bytes(context, plan, job);
    gurn_status status = gurn_check_workspace(context, needed, workspace, workspace_bytes);
    if (status == GURN_SUCCESS && context->backend->law_check) status = context->backend->law_check(context, plan, job);
    if (status != GURN_SUCCESS) return status;
    job->workspace = workspace;
    return context->backend->law_run(context, plan, job);
}

/* A gradient that is the sum over no rows. d may be NULL. */
static gurn_status zero_sum(gurn_context *context, const gurn_plan *plan, void *d, int64_t stride) {
    size_t real_size = plan->dtype == GURN_FLOAT64 ? sizeof(double) : sizeof(float);
    if (!d || stride != 0) return GURN_SUCCESS;
    return context->backend->zero(context, d, (size_t)plan->classes * real_size);
}

static gurn_status missing(gurn_context *context, const char *name) {
    return gurn_fail(context, GURN_INVALID_ARGUMENT, "%s is NULL", name);
}

static gurn_status check_covariance(gurn_context *context, const gurn_plan *plan, int64_t rows,
                                    const void *covariance) {
    int64_t square = (int64_t)plan->classes * plan->classes;
    if (!covariance || gurn_array_fits(plan, rows, square)) return GURN_SUCCESS;
    return gurn_fail(context, GURN_INVALID_ROWS, "inputs->rows is %lld: covariance[rows][%d][%d] would overflow",
                     (long long)rows, (int)plan->classes, (int)plan->classes);
}

static gurn_status check_other(gurn_context *context, const gurn_plan *plan, int64_t rows, int64_t stride) {
    if (stride < 0 || (stride > 0 && stride < plan->classes))
        return gurn_fail(context, GURN_INVALID_LOG_OMEGA,
                         "other_stride is %lld: must be 0 or at least the number of classes, %d", (long long)stride,
                         (int)plan->classes);
    if (rows > 1 && !gurn_array_fits(plan, rows, stride))
        return gurn_fail(context, GURN_INVALID_ROWS,
                         "inputs->rows is %lld: other with other_stride %lld would overflow", (long long)rows,
                         (long long)stride);
    return GURN_SUCCESS;
}

gurn_status gurn_mvhg_law_workspace(gurn_context *context, const gurn_plan *plan, const gurn_mvhg_inputs *inputs,
                                    gurn_law law, size_t *bytes) {
    gurn_mvhg_inputs in;
    gurn_status status = gurn_check_plan(context, plan);
    if (status == GURN_SUCCESS) status = read_inputs(context, inputs, &in);
    if (status == GURN_SUCCESS) status = gurn_check_shape(context, plan, &in);
    if (status != GURN_SUCCESS) return status;
    if (!bytes) return missing(context, "bytes");
    /* The backward of each kind, with all its gradients, needs the most. Pointers are only compared with NULL. */
    static char some;
    static const gurn_law_op ops[] = {GURN_OP_LOG_PROB_BACKWARD, GURN_OP_MOMENTS_BACKWARD, GURN_OP_MOMENTS_BACKWARD,
                                      GURN_OP_KL_BACKWARD, GURN_OP_MODE};
    int kind = (int)law;
    if (kind < 0 || kind >= (int)(sizeof ops / sizeof *ops))
        return gurn_fail(context, GURN_INVALID_ARGUMENT, "law is %d, which is no gurn_law", kind);
    gurn_law_job job = new_job(ops[kind], plan);
    job.in = in;
    job.in.order = plan->order;
    job.d_log_omega = job.d_x = job.d_other = &some;
    if (law == GURN_LAW_COVARIANCE) job.moments.covariance = &some;
    *bytes = in.rows ? context->backend->law_bytes(context, plan, &job) : 0;
    return GURN_SUCCESS;
}

gurn_status gurn_mvhg_log_prob(gurn_context *context, const gurn_plan *plan, const gurn_mvhg_inputs *inputs,
                               const void *x, void *log_p, void *workspace, size_t workspace_bytes) {
    gurn_law_job job;
    gurn_status status = begin(context, plan, inputs, GURN_OP_LOG_PROB, &job);
    if (status != GURN_SUCCESS || job.in.rows == 0) return status;
    if (!x) return missing(context, "x");
    if (!log_p) return missing(context, "log_p");
    job.x = x;
    job.log_p = log_p;
    return finish(context, plan, &job, workspace, workspace_bytes);
}

gurn_status gurn_mvhg_log_prob_backward(gurn_context *context, const gurn_plan *plan, const gurn_mvhg_inputs *inputs,
                                        const void *x, const void *d_log_p, void *d_log_omega, void *d_x,
                                        void *workspace, size_t workspace_bytes) {
    gurn_law_job job;
    gurn_status status = begin(context, plan, inputs, GURN_OP_LOG_PROB_BACKWARD, &job);
    if (status != GURN_SUCCESS) return status;
    if (job.in.rows == 0) return zero_sum(context, plan, d_log_omega, job.in.log_omega_stride);
    if (!x) return missing(context, "x");
    if (!d_log_p) return missing(context, "d_log_p");
    job.x = x;
    job.upstream = d_log_p;
    job.d_log_omega = d_log_omega;
    job.d_x = d_x;
    return finish(context, plan, &job, workspace, workspace_bytes);
}

gurn_status gurn_mvhg_moments_forward(gurn_context *context, const gurn_plan *plan, const gurn_mvhg_inputs *inputs,
                                      const gurn_mvhg_moments *moments, void *workspace, size_t workspace_bytes) {
    gurn_law_job job;
    gurn_status status = begin(context, plan, inputs, GURN_OP_MOMENTS, &job);
    if (status == GURN_SUCCESS) status = gurn_copy_sized(context, "moments", &job.moments, sizeof job.moments, moments);
    if (status == GURN_SUCCESS) status = check_covariance(context, plan, job.in.rows, job.moments.covariance);
    if (status != GURN_SUCCESS || job.in.rows == 0) return status;
    return finish(context, plan, &job, workspace, workspace_bytes);
}

gurn_status gurn_mvhg_moments_backward(gurn_context *context, const gurn_plan *plan, const gurn_mvhg_inputs *inputs,
                                       const gurn_mvhg_moments *upstream, void *d_log_omega, void *workspace,
                                       size_t workspace_bytes) {
    gurn_law_job job;
    gurn_status status = begin(context, plan, inputs, GURN_OP_MOMENTS_BACKWARD, &job);
    if (status == GURN_SUCCESS)
        status = gurn_copy_sized(context, "upstream", &job.moments, sizeof job.moments, upstream);
    if (status == GURN_SUCCESS) status = check_covariance(context, plan, job.in.rows, job.moments.covariance);
    if (status != GURN_SUCCESS) return status;
    if (job.in.rows == 0) return zero_sum(context, plan, d_log_omega, job.in.log_omega_stride);
    if (!d_log_omega) return missing(context, "d_log_omega");
    job.d_log_omega = d_log_omega;
    return finish(context, plan, &job, workspace, workspace_bytes);
}

static gurn_status begin_kl(gurn_context *context, const gurn_plan *plan, const gurn_mvhg_inputs *inputs,
                            const void *other, int64_t other_stride, gurn_law_op op, gurn_law_job *job) {
    gurn_status status = begin(context, plan, inputs, op, job);
    if (status == GURN_SUCCESS) status = check_other(context, plan, job->in.rows, other_stride);
    if (status != GURN_SUCCESS || job->in.rows == 0) return status;
    if (!other) return missing(context, "other");
    job->other = other;
    job->other_stride = other_stride;
    return GURN_SUCCESS;
}

gurn_status gurn_mvhg_kl(gurn_context *context, const gurn_plan *plan, const gurn_mvhg_inputs *inputs,
                         const void *other, int64_t other_stride, void *kl, void *workspace, size_t workspace_bytes) {
    gurn_law_job job;
    gurn_status status = begin_kl(context, plan, inputs, other, other_stride, GURN_OP_KL, &job);
    if (status != GURN_SUCCESS || job.in.rows == 0) return status;
    if (!kl) return missing(context, "kl");
    job.kl = kl;
    return finish(context, plan, &job, workspace, workspace_bytes);
}

gurn_status gurn_mvhg_kl_backward(gurn_context *context, const gurn_plan *plan, const gurn_mvhg_inputs *inputs,
                                  const void *other, int64_t other_stride, const void *d_kl, void *d_log_omega,
                                  void *d_other, void *workspace, size_t workspace_bytes) {
    gurn_law_job job;
    gurn_status status = begin_kl(context, plan, inputs, other, other_stride, GURN_OP_KL_BACKWARD, &job);
    if (status != GURN_SUCCESS) return status;
    if (job.in.rows == 0) {
        status = zero_sum(context, plan, d_log_omega, job.in.log_omega_stride);
        return status != GURN_SUCCESS ? status : zero_sum(context, plan, d_other, other_stride);
    }
    if (!d_kl) return missing(context, "d_kl");
    job.upstream = d_kl;
    job.d_log_omega = d_log_omega;
    job.d_other = d_other;
    return finish(context, plan, &job, workspace, workspace_bytes);
}

gurn_status gurn_mvhg_mode(gurn_context *context, const gurn_plan *plan, const gurn_mvhg_inputs *inputs, int32_t *x,
                           void *workspace, size_t workspace_bytes) {
    gurn_law_job job;
    gurn_status status = begin(context, plan, inputs, GURN_OP_MODE, &job);
    if (status != GURN_SUCCESS || job.in.rows == 0) return status;
    if (!x) return missing(context, "x");
    job.mode = x;
    return finish(context, plan, &job, workspace, workspace_bytes);
}
