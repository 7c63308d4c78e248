/*
 * gurn_mvhg_*: a call is copied, completed with its defaults and judged as a whole before the back end may write anything.
 * What needs the data itself (finite log omega, n_rows, given noise, x) is the back end's mvhg_check.
 */
#include <math.h>
#include <string.h>

#include "host/check.h"
#include "host/internal.h"
#include "host/sized.h"

static size_t real_size(const gurn_plan *plan) { return plan->dtype == GURN_FLOAT64 ? sizeof(double) : sizeof(float); }

/* Whether an array [rows][width] of reals is one that can exist: its size in bytes is at most PTRDIFF_MAX. width >= 0. */
int gurn_array_fits(const gurn_plan *plan, int64_t rows, int64_t width) {
    int64_t elements = (int64_t)(PTRDIFF_MAX / real_size(plan));
    return width == 0 || rows <= elements / width;
}

static gurn_status check_ragged(gurn_context *context, const gurn_plan *plan, int64_t rows, const char *name,
                                const void *array) {
    int64_t width = plan->offset[plan->classes];
    if (!array || gurn_array_fits(plan, rows, width)) return GURN_SUCCESS;
    return gurn_fail(context, GURN_INVALID_ROWS, "inputs->rows is %lld: %s[rows][%lld] would overflow", (long long)rows,
                     name, (long long)width);
}

gurn_status gurn_check_plan(gurn_context *context, const gurn_plan *plan) {
    if (!context) return GURN_INVALID_ARGUMENT;
    if (!plan) return gurn_fail(context, GURN_INVALID_ARGUMENT, "plan is NULL");
    if (plan->backend != context->backend)
        return gurn_fail(context, GURN_INVALID_ARGUMENT, "plan was made on a %s, the context is on a %s",
                         plan->backend->device == GURN_DEVICE_CUDA ? "CUDA device" : "CPU",
                         context->backend->device == GURN_DEVICE_CUDA ? "CUDA device" : "CPU");
    if (context->backend->device == GURN_DEVICE_CUDA && plan->device_index != context->info.device_index)
        return gurn_fail(context, GURN_INVALID_ARGUMENT, "plan was made on CUDA device %d, the context is on device %d",
                         (int)plan->device_index, (int)context->info.device_index);
    return GURN_SUCCESS;
}

gurn_status gurn_check_drawing_plan(gurn_context *context, const gurn_plan *plan) {
    gurn_status status = gurn_check_plan(context, plan);
    if (status != GURN_SUCCESS || plan->use == GURN_PLAN_FULL) return status;
    return gurn_fail(context, GURN_UNSUPPORTED, "plan was made for the law alone (use GURN_PLAN_LAW): it cannot draw");
}

/* Rows, stride and enumerators: what sizes depend on. */
gurn_status gurn_check_shape(gurn_context *context, const gurn_plan *plan, const gurn_mvhg_inputs *in) {
    int64_t rows = in->rows, stride = in->log_omega_stride, classes = plan->classes;
    int relaxation = (int)in->relaxation, kind = (int)in->noise.kind;
    if (relaxation != GURN_HARD && relaxation != GURN_SOFT)
        return gurn_fail(context, GURN_INVALID_ARGUMENT, "inputs->relaxation is %d, which is no gurn_relaxation",
                         relaxation);
    if (kind < GURN_NOISE_PHILOX || kind > GURN_NOISE_GIVEN)
        return gurn_fail(context, GURN_INVALID_NOISE, "inputs->noise.kind is %d, which is no gurn_noise_kind", kind);
    if (rows < 0) return gurn_fail(context, GURN_INVALID_ROWS, "inputs->rows is %lld: must be >= 0", (long long)rows);
    if (!gurn_array_fits(plan, rows, classes))
        return gurn_fail(context, GURN_INVALID_ROWS, "inputs->rows is %lld: x[rows][%lld] would overflow",
                         (long long)rows, (long long)classes);
    if (stride < 0 || (stride > 0 && stride < classes))
        return gurn_fail(context, GURN_INVALID_LOG_OMEGA,
                         "inputs->log_omega_stride is %lld: must be 0 or at least the number of classes, %lld",
                         (long long)stride, (long long)classes);
    /* The last row begins at (rows - 1) * stride and ends within another stride. */
    if (rows > 1 && !gurn_array_fits(plan, rows, stride))
        return gurn_fail(context, GURN_INVALID_ROWS,
                         "inputs->rows is %lld: log_omega with log_omega_stride %lld would overflow", (long long)rows,
                         (long long)stride);
    return GURN_SUCCESS;
}

#define WINDOW (1 << 17) /* class indices that check_order ticks off at a time */

/* Whether order[classes] is a permutation, without memory: one window of class indices after another is ticked off. */
static gurn_status check_order(gurn_context *context, const gurn_plan *plan, const int32_t *order) {
    uint64_t seen[WINDOW / 64];
    if (!plan->all_m_equal)
        return gurn_fail(context, GURN_INVALID_ORDER,
                         "inputs->order is given, but the plan's class sizes m are not all equal");
    for (int32_t first = 0; first < plan->classes; first += WINDOW) {
        memset(seen, 0, sizeof seen);
        for (int32_t i = 0; i < plan->classes; i++) {
            int32_t c = order[i];
            if (c < 0 || c >= plan->classes)
                return gurn_fail(context, GURN_INVALID_ORDER, "inputs->order[%d] is %d: must be in 0..%d", (int)i,
                                 (int)c, (int)plan->classes - 1);
            if (c < first || c - first >= WINDOW) continue;
            uint64_t *word = &seen[(c - first) / 64], bit = UINT64_C(1) << ((c - first) % 64);
            if (*word & bit)
                return gurn_fail(context, GURN_INVALID_ORDER,
                                 "inputs->order[%d] is %d, which an earlier place has already", (int)i, (int)c);
            *word |= bit;
        }
    }
    return GURN_SUCCESS;
}

static void fill_defaults(const gurn_plan *plan, gurn_mvhg_inputs *in) {
    if (in->tau == 0) in->tau = 1;
    if (!in->order) in->order = plan->order;
}

gurn_status gurn_check_n(gurn_context *context, const gurn_plan *plan, const gurn_mvhg_inputs *in) {
    if (in->n_rows || (in->n >= 0 && in->n <= plan->n_max)) return GURN_SUCCESS;
    return gurn_fail(context, GURN_INVALID_N, "inputs->n is %d: must be in 0..%d, the plan's n_max", (int)in->n,
                     (int)plan->n_max);
}

/*
 * Rows have noise of their own: offset + row0 + b is below 2^64 for all of them. (An offset that only the device reads can
 * not be judged.)
 */
gurn_status gurn_check_noise_range(gurn_context *context, const gurn_noise *noise, int64_t rows) {
    uint64_t offset = noise->device_seed_offset ? 0 : noise->offset, last = offset + noise->row0;
    if (noise->kind != GURN_NOISE_PHILOX || rows == 0) return GURN_SUCCESS;
    if (last >= offset && (uint64_t)(rows - 1) <= UINT64_MAX - last) return GURN_SUCCESS;
    return gurn_fail(
        context, GURN_INVALID_NOISE,
        "inputs->noise.offset is %llu: with noise.row0 %llu, %lld rows pass 2^64, where noise begins again",
        (unsigned long long)offset, (unsigned long long)noise->row0, (long long)rows);
}

gurn_status gurn_take_inputs(gurn_context *context, const gurn_plan *plan, const gurn_mvhg_inputs *inputs,
                             int may_be_equal, gurn_mvhg_inputs *in) {
    gurn_status status = gurn_copy_sized(context, "inputs", in, sizeof *in, inputs);
    if (status == GURN_SUCCESS) status = gurn_check_shape(context, plan, in);
    if (status != GURN_SUCCESS) return status;

    status = gurn_check_n(context, plan, in);
    if (status != GURN_SUCCESS) return status;
    if (in->order) status = check_order(context, plan, in->order);
    if (status != GURN_SUCCESS) return status;
    fill_defaults(plan, in);
    if (!(in->tau >= GURN_MIN_TAU && isfinite(in->tau)))
        return gurn_fail(context, GURN_INVALID_TAU,
                         "inputs->tau is %.10g: must be finite and at least %g (or 0 for the default, 1)", in->tau,
                         GURN_MIN_TAU);
    if (in->rows == 0) return GURN_SUCCESS;

    if (!in->log_omega && !may_be_equal) return gurn_fail(context, GURN_INVALID_ARGUMENT, "inputs->log_omega is NULL");
    if (in->noise.kind == GURN_NOISE_GIVEN) {
        if (!in->noise.gumbel)
            return gurn_fail(context, GURN_INVALID_NOISE, "inputs->noise.gumbel is NULL, but the noise kind is GIVEN");
        return check_ragged(context, plan, in->rows, "inputs->noise.gumbel", in->noise.gumbel);
    }
    return gurn_check_noise_range(context, &in->noise, in->rows);
}

gurn_status gurn_check_workspace(gurn_context *context, size_t needed, const void *workspace, size_t workspace_bytes) {
    size_t alignment = context->backend->device == GURN_DEVICE_CUDA ? 256 : 64;
    if (needed == 0) return GURN_SUCCESS;
    if (workspace_bytes < needed)
        return gurn_fail(context, GURN_WORKSPACE_TOO_SMALL, "workspace_bytes is %zu: %zu are needed", workspace_bytes,
                         needed);
    if (!workspace) return gurn_fail(context, GURN_INVALID_ARGUMENT, "workspace is NULL: %zu bytes are needed", needed);
    if ((uintptr_t)workspace % alignment != 0)
        return gurn_fail(context, GURN_INVALID_ARGUMENT, "workspace is %p: must be aligned to %zu bytes", workspace,
                         alignment);
    return GURN_SUCCESS;
}

static gurn_status check_workspace(gurn_context *context, const gurn_plan *plan, const gurn_mvhg_inputs *in,
                                   int backward, const void *workspace, size_t workspace_bytes) {
    return gurn_check_workspace(context, context->backend->mvhg_bytes(context, plan, in, backward), workspace,
                                workspace_bytes);
}

gurn_status gurn_mvhg_workspace(gurn_context *context, const gurn_plan *plan, const gurn_mvhg_inputs *inputs,
                                size_t *forward_bytes, size_t *backward_bytes) {
    gurn_mvhg_inputs in;
    gurn_status status = gurn_check_drawing_plan(context, plan);
    if (status == GURN_SUCCESS) status = gurn_copy_sized(context, "inputs", &in, sizeof in, inputs);
    if (status == GURN_SUCCESS) status = gurn_check_shape(context, plan, &in);
    if (status != GURN_SUCCESS) return status;
    fill_defaults(plan, &in);
    if (forward_bytes) *forward_bytes = in.rows ? context->backend->mvhg_bytes(context, plan, &in, 0) : 0;
    if (backward_bytes) *backward_bytes = in.rows ? context->backend->mvhg_bytes(context, plan, &in, 1) : 0;
    return GURN_SUCCESS;
}

gurn_status gurn_mvhg_forward(gurn_context *context, const gurn_plan *plan, const gurn_mvhg_inputs *inputs,
                              const gurn_mvhg_outputs *outputs, void *workspace, size_t workspace_bytes) {
    gurn_mvhg_call call;
    memset(&call, 0, sizeof call);
    gurn_status status = gurn_check_drawing_plan(context, plan);
    if (status == GURN_SUCCESS) status = gurn_take_inputs(context, plan, inputs, 0, &call.in);
    if (status == GURN_SUCCESS) status = gurn_copy_sized(context, "outputs", &call.out, sizeof call.out, outputs);
    if (status == GURN_SUCCESS) status = check_ragged(context, plan, call.in.rows, "outputs->y", call.out.y);
    if (status == GURN_SUCCESS) status = check_ragged(context, plan, call.in.rows, "outputs->mask", call.out.mask);
    if (status != GURN_SUCCESS || call.in.rows == 0) return status;

    call.workspace = workspace;
    status = check_workspace(context, plan, &call.in, 0, workspace, workspace_bytes);
    if (status == GURN_SUCCESS && context->backend->mvhg_check)
        status = context->backend->mvhg_check(context, plan, &call);
    if (status != GURN_SUCCESS) return status;
    if (!call.out.x && !call.out.y && !call.out.mask && !call.out.log_p) return GURN_SUCCESS;
    return context->backend->mvhg_forward(context, plan, &call);
}

gurn_status gurn_mvhg_backward(gurn_context *context, const gurn_plan *plan, const gurn_mvhg_inputs *inputs,
                               const void *x, const gurn_mvhg_upstream *upstream, const gurn_mvhg_gradients *gradients,
                               void *workspace, size_t workspace_bytes) {
    gurn_mvhg_call call;
    memset(&call, 0, sizeof call);
    gurn_status status = gurn_check_drawing_plan(context, plan);
    if (status == GURN_SUCCESS) status = gurn_take_inputs(context, plan, inputs, 0, &call.in);
    if (status == GURN_SUCCESS)
        status = gurn_copy_sized(context, "upstream", &call.upstream, sizeof call.upstream, upstream);
    if (status == GURN_SUCCESS) status = gurn_copy_sized(context, "gradients", &call.grad, sizeof call.grad, gradients);
    if (status == GURN_SUCCESS) status = check_ragged(context, plan, call.in.rows, "upstream->y", call.upstream.y);
    if (status == GURN_SUCCESS)
        status = check_ragged(context, plan, call.in.rows, "upstream->mask", call.upstream.mask);
    if (status != GURN_SUCCESS) return status;
    if (call.in.rows == 0) { /* a sum over no rows is zero */
        if (!call.grad.log_omega || call.in.log_omega_stride != 0) return GURN_SUCCESS;
        return context->backend->zero(context, call.grad.log_omega, (size_t)plan->classes * real_size(plan));
    }

    call.x = x;
    call.workspace = workspace;
    if (!x) return gurn_fail(context, GURN_INVALID_ARGUMENT, "x is NULL");
    status = check_workspace(context, plan, &call.in, 1, workspace, workspace_bytes);
    if (status == GURN_SUCCESS && context->backend->mvhg_check)
        status = context->backend->mvhg_check(context, plan, &call);
    if (status != GURN_SUCCESS) return status;
    if (!call.grad.log_omega && !call.grad.tau) return GURN_SUCCESS;
    return context->backend->mvhg_backward(context, plan, &call);
}
