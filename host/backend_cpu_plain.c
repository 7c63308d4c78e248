/* The CPU back end, continued: plain draws. */
#include <math.h>

#include "host/internal.h"
#include "host/threads.h"
#include "kernels/cpu.h"

static const gurn_cpu_kernels *kernels_of(const gurn_context *context) { return context->cpu_kernels; }

static gurn_plain_job on_this_cpu(const gurn_context *context, const gurn_plan *plan, const gurn_plain_job *job) {
    gurn_plain_job run = *job;
    run.view = &plan->view;
    run.threads = gurn_threads_for(context, gurn_tile_count(job->in.rows));
    return run;
}

size_t gurn_cpu_plain_bytes(const gurn_context *context, const gurn_plan *plan, const gurn_plain_job *job) {
    gurn_plain_job run = on_this_cpu(context, plan, job);
    return kernels_of(context)->plain_bytes(&run);
}

gurn_status gurn_cpu_plain_draw(gurn_context *context, const gurn_plan *plan, const gurn_plain_job *job) {
    gurn_plain_job run = on_this_cpu(context, plan, job);
    kernels_of(context)->plain_draw(&run);
    return GURN_SUCCESS;
}

/* All rows, unless everything is shared: then one will do. */
gurn_status gurn_cpu_hypergeometric_check(gurn_context *context, const gurn_hypergeometric_job *job) {
    const gurn_hypergeometric_inputs *in = &job->in;
    int varies = in->m1_stride || in->m2_stride || in->n_stride || in->log_odds_stride;
    for (int64_t b = 0; b < (varies ? in->rows : 1); b++) {
        int64_t m1 = in->m1[b * in->m1_stride], m2 = in->m2[b * in->m2_stride], n = in->n[b * in->n_stride];
        if (m1 < 0 || m2 < 0)
            return gurn_fail(context, GURN_INVALID_M, "inputs->%s of row %lld is %lld, below 0", m1 < 0 ? "m1" : "m2",
                             (long long)b, (long long)(m1 < 0 ? m1 : m2));
        if (m1 + m2 > GURN_MAX_BALLS)
            return gurn_fail(context, GURN_INVALID_M, "inputs->m1 and m2 of row %lld have the sum %lld, above %d",
                             (long long)b, (long long)(m1 + m2), GURN_MAX_BALLS);
        if (n < 0 || n > m1 + m2)
            return gurn_fail(context, GURN_INVALID_N, "inputs->n of row %lld is %lld: must be in 0..%lld, m1 + m2",
                             (long long)b, (long long)n, (long long)(m1 + m2));
        if (!in->log_odds) continue;
        int64_t at = b * in->log_odds_stride;
        double odds = in->log_odds_dtype == GURN_FLOAT32 ? (double)((const float *)in->log_odds)[at]
                                                         : ((const double *)in->log_odds)[at];
        if (isnan(odds))
            return gurn_fail(context, GURN_INVALID_LOG_OMEGA, "inputs->log_odds of row %lld is NaN", (long long)b);
        int64_t most = odds == INFINITY ? m1 : odds == -INFINITY ? m2 : m1 + m2;
        if (n > most)
            return gurn_fail(context, GURN_INVALID_N,
                             "inputs->n of row %lld is %lld: log_odds of %g leave %lld balls to draw from",
                             (long long)b, (long long)n, odds, (long long)most);
    }
    return GURN_SUCCESS;
}

gurn_status gurn_cpu_hypergeometric_draw(gurn_context *context, const gurn_hypergeometric_job *job) {
    gurn_hypergeometric_job run = *job;
    run.threads = gurn_threads_for(context, gurn_tile_count(job->in.rows));
    kernels_of(context)->hypergeometric_draw(&run);
    return GURN_SUCCESS;
}
