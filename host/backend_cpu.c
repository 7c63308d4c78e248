/*
 * The CPU back end: which instruction set, how many threads, and a look at the data, which here is the host's to read.
 */
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/internal.h"
#include "host/threads.h"
#include "kernels/cpu.h"
#include "kernels/omega.h"

/* The levels that were compiled in, best first, and whether this machine can run them. */
typedef struct level {
    const gurn_cpu_kernels *kernels;
    int usable;
} level;

static int find_levels(level *levels) {
    int count = 0;
#if defined(GURN_HAVE_AVX512) && !defined(GURN_SIMULATE_AVX512)
    levels[count++] =
        (level){&gurn_cpu_avx512, __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")};
#endif
#ifdef GURN_HAVE_AVX2
    levels[count++] = (level){&gurn_cpu_avx2, __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")};
#endif
#ifdef GURN_HAVE_NEON
    levels[count++] = (level){&gurn_cpu_neon, 1};
#endif
    levels[count++] = (level){&gurn_cpu_portable, 1};
#ifdef GURN_SIMULATE_AVX512
    levels[count++] = (level){&gurn_cpu_avx512, 1}; /* slow: only when asked for */
#endif
    return count;
}

static const char *isa_name(gurn_isa isa) {
    static const char *const names[] = {"auto", "portable", "avx2", "avx512", "neon"};
    return names[isa];
}

static gurn_status cpu_open(gurn_context *context, const gurn_context_options *options) {
    level levels[4];
    int count = find_levels(levels);
    gurn_isa wanted = options->isa;
    const char *from = "options->isa", *variable = getenv("GURN_ISA");
    if (wanted == GURN_ISA_AUTO && variable && *variable) {
        from = "GURN_ISA";
        int isa = GURN_ISA_PORTABLE;
        while (isa <= GURN_ISA_NEON && strcmp(variable, isa_name((gurn_isa)isa)) != 0) isa++;
        if (isa > GURN_ISA_NEON && strcmp(variable, "auto") != 0)
            return gurn_fail(context, GURN_INVALID_ARGUMENT,
                             "GURN_ISA is \"%.32s\"; it may be auto, portable, avx2, avx512 or neon", variable);
        wanted = isa > GURN_ISA_NEON ? GURN_ISA_AUTO : (gurn_isa)isa;
    }
    const gurn_cpu_kernels *chosen = NULL;
    for (int l = 0; l < count && !chosen; l++)
        if (levels[l].usable && (wanted == GURN_ISA_AUTO || levels[l].kernels->isa == wanted))
            chosen = levels[l].kernels;
    if (!chosen)
        return gurn_fail(context, GURN_UNSUPPORTED, "%s asks for %s, which this machine or this build does not have",
                         from, isa_name(wanted));
    context->cpu_kernels = chosen;
    context->info.isa = chosen->isa;
    gurn_status status = gurn_find_threads(context, options->threads, &context->info.threads);
    if (status != GURN_SUCCESS) return status;
    strcpy(context->info.device_name, "cpu");
    strcpy(context->info.isa_name, chosen->name);
    return GURN_SUCCESS;
}

static void cpu_close(gurn_context *context) { (void)context; }

static gurn_status cpu_plan_upload(gurn_context *context, gurn_plan *plan) {
    (void)context;
    plan->view = plan->host; /* kernels read the host's tables as they are */
    return GURN_SUCCESS;
}

static void cpu_plan_free(gurn_plan *plan) { (void)plan; }

static gurn_status cpu_zero(gurn_context *context, void *p, size_t bytes) {
    (void)context;
    memset(p, 0, bytes);
    return GURN_SUCCESS;
}

static gurn_mvhg_job make_job(const gurn_context *context, const gurn_plan *plan, const gurn_mvhg_inputs *in,
                              bool backward) {
    gurn_mvhg_job job = {0};
    job.view = &plan->view;
    job.dtype = plan->dtype;
    job.chain = plan->chain;
    job.max_m = plan->max_m;
    job.n_max = plan->n_max;
    job.in = *in;
    job.threads = gurn_threads_for(context, gurn_mvhg_parts(&job, backward));
    return job;
}

static const gurn_cpu_kernels *kernels_of(const gurn_context *context) { return context->cpu_kernels; }

static size_t cpu_mvhg_bytes(const gurn_context *context, const gurn_plan *plan, const gurn_mvhg_inputs *in,
                             int backward) {
    gurn_mvhg_job job = make_job(context, plan, in, backward != 0);
    return kernels_of(context)->mvhg_bytes(&job, backward);
}

/* Every n of the rows is known to be in 0..n_max. */
gurn_status gurn_cpu_check_log_omega(gurn_context *context, const gurn_plan *plan, const gurn_mvhg_inputs *in,
                                     const char *name, const void *log_omega, int64_t stride) {
    int64_t classes = plan->classes, omega_rows = stride == 0 && in->rows > 0 ? 1 : in->rows, balls = 0;
    /* All omega are equal; or none is 0, and no n is too large. */
    if (!log_omega || gurn_all_finite(log_omega, plan->dtype, omega_rows, classes, stride)) return GURN_SUCCESS;
    for (int64_t b = 0; b < in->rows; b++) {
        if (b < omega_rows) {
            bool none = false;
            for (int64_t c = 0; c < classes; c++) {
                double value = gurn_real(log_omega, plan->dtype, b * stride + c);
                if (!(value < INFINITY))
                    return gurn_fail(context, GURN_INVALID_LOG_OMEGA,
                                     "%s[%lld][%lld] is %g: must be finite, or -infinity for omega = 0", name,
                                     (long long)b, (long long)c, value);
                none |= gurn_omega_is_zero(value);
            }
            balls =
                none ? gurn_omega_balls(plan->view.steps, plan->classes, in->order, log_omega, plan->dtype, b * stride)
                     : plan->n_max;
        } else if (!in->n_rows || balls >= plan->n_max) {
            break;
        }
        int32_t n = in->n_rows ? in->n_rows[b] : in->n;
        if (n <= balls) continue;
        char row[32] = "";
        if (in->n_rows) snprintf(row, sizeof row, "_rows[%lld]", (long long)b);
        return gurn_fail(context, GURN_INVALID_N,
                         "inputs->n%s is %d: row %lld of %s leaves %lld balls in classes of omega > 0", row, (int)n,
                         (long long)(b < omega_rows ? b : 0), name, (long long)balls);
    }
    return GURN_SUCCESS;
}

/*
 * Whether row b of x may be that of a row in which nothing was left to choose: NaN in every class, and its given noise
 * forbids some count.
 */
static bool is_row_without_choice(const gurn_plan *plan, const gurn_mvhg_inputs *in, const void *x, int64_t b) {
    int64_t classes = plan->classes, width = plan->offset[classes];
    if (in->noise.kind != GURN_NOISE_GIVEN) return false;
    for (int64_t c = 0; c < classes; c++)
        if (!isnan(gurn_real(x, plan->dtype, b * classes + c))) return false;
    for (int32_t i = 0; i < plan->classes && plan->view.steps[i].m_rest > 0; i++)
        for (int64_t j = plan->offset[in->order[i]]; j < plan->offset[in->order[i] + 1]; j++)
            if (gurn_real(in->noise.gumbel, plan->dtype, b * width + j) == -INFINITY) return true;
    return false;
}

/*
 * Everything that a call reads and a status can name. One pass over the small inputs; given noise is as large as it is.
 */
static gurn_status cpu_mvhg_check(gurn_context *context, const gurn_plan *plan, const gurn_mvhg_call *call) {
    const gurn_mvhg_inputs *in = &call->in;
    int64_t classes = plan->classes, width = plan->offset[plan->classes];
    for (int64_t b = 0; in->n_rows && b < in->rows; b++)
        if (in->n_rows[b] < 0 || in->n_rows[b] > plan->n_max)
            return gurn_fail(context, GURN_INVALID_N, "inputs->n_rows[%lld] is %d: must be in 0..%d, the plan's n_max",
                             (long long)b, (int)in->n_rows[b], (int)plan->n_max);
    gurn_status status =
        gurn_cpu_check_log_omega(context, plan, in, "inputs->log_omega", in->log_omega, in->log_omega_stride);
    if (status != GURN_SUCCESS) return status;
    for (int64_t b = 0; in->noise.kind == GURN_NOISE_GIVEN && b < in->rows; b++)
        for (int32_t i = 0; i < plan->classes && plan->view.steps[i].m_rest > 0; i++)
            for (int64_t j = plan->offset[in->order[i]]; j < plan->offset[in->order[i] + 1]; j++) {
                double value = gurn_real(in->noise.gumbel, plan->dtype, b * width + j);
                if (isnan(value) || value == INFINITY)
                    return gurn_fail(context, GURN_INVALID_NOISE,
                                     "inputs->noise.gumbel[%lld][%lld] is %g: may be neither NaN nor +infinity",
                                     (long long)b, (long long)j, value);
            }
    if (!call->x) return GURN_SUCCESS;
    /* Soft: the last class may be a fraction outside, and rounded counts need not sum to n. */
    bool soft = in->relaxation == GURN_SOFT;
    double slack = soft ? 1.0 : 0.0;
    for (int64_t b = 0; b < in->rows; b++) {
        double sum = 0.0;
        if (is_row_without_choice(plan, in, call->x, b)) continue;
        for (int64_t c = 0; c < classes; c++) {
            double value = gurn_real(call->x, plan->dtype, b * classes + c);
            bool zero = gurn_omega_is_zero(gurn_real(in->log_omega, plan->dtype, b * in->log_omega_stride + c));
            if (zero && value != 0.0)
                return gurn_fail(context, GURN_INVALID_X, "x[%lld][%lld] is %g: must be 0 where omega is 0",
                                 (long long)b, (long long)c, value);
            if (!(value >= -slack && value <= plan->m[c] + slack))
                return gurn_fail(context, GURN_INVALID_X, "x[%lld][%lld] is %g: must be in 0..%d", (long long)b,
                                 (long long)c, value, (int)plan->m[c]);
            if (!soft && value != floor(value))
                return gurn_fail(context, GURN_INVALID_X, "x[%lld][%lld] is %g: must be a whole number in hard mode",
                                 (long long)b, (long long)c, value);
            sum += value;
        }
        int32_t n = in->n_rows ? in->n_rows[b] : in->n;
        if (!soft && sum != (double)n)
            return gurn_fail(context, GURN_INVALID_X, "x[%lld] sums to %.0f: must sum to its n, %d", (long long)b, sum,
                             (int)n);
    }
    return GURN_SUCCESS;
}

static gurn_status cpu_mvhg_forward(gurn_context *context, const gurn_plan *plan, const gurn_mvhg_call *call) {
    gurn_mvhg_job job = make_job(context, plan, &call->in, false);
    job.out = call->out;
    job.workspace = call->workspace;
    kernels_of(context)->mvhg_forward(&job);
    return GURN_SUCCESS;
}

static gurn_status cpu_mvhg_backward(gurn_context *context, const gurn_plan *plan, const gurn_mvhg_call *call) {
    gurn_mvhg_job job = make_job(context, plan, &call->in, true);
    job.x = call->x;
    job.upstream = call->upstream;
    job.grad = call->grad;
    job.workspace = call->workspace;
    kernels_of(context)->mvhg_backward(&job);
    return GURN_SUCCESS;
}

const gurn_backend gurn_backend_cpu = {
    .device = GURN_DEVICE_CPU,
    .open = cpu_open,
    .close = cpu_close,
    .plan_upload = cpu_plan_upload,
    .plan_free = cpu_plan_free,
    .zero = cpu_zero,
    .mvhg_bytes = cpu_mvhg_bytes,
    .mvhg_check = cpu_mvhg_check,
    .mvhg_forward = cpu_mvhg_forward,
    .mvhg_backward = cpu_mvhg_backward,
    .law_bytes = gurn_cpu_law_bytes,
    .law_check = gurn_cpu_law_check,
    .law_run = gurn_cpu_law_run,
    .plain_bytes = gurn_cpu_plain_bytes,
    .plain_draw = gurn_cpu_plain_draw,
    .hypergeometric_check = gurn_cpu_hypergeometric_check,
    .hypergeometric_draw = gurn_cpu_hypergeometric_draw,
};
