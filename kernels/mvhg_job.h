/* What host/ asks of the MVHG kernels, on a CPU (mvhg_cpu.c) and on a GPU (mvhg.cu). */
#ifndef GURN_MVHG_JOB_H
#define GURN_MVHG_JOB_H

#include <stdbool.h>

#include "gumbelurn.h"
#include "plan.h"

/* One MVHG call, validated. In forward x, upstream and grad are unused; in backward out is. */
typedef struct gurn_mvhg_job {
    const gurn_plan_view *view;
    gurn_dtype dtype;
    gurn_chain chain;
    int32_t max_m;       /* largest class */
    int threads;         /* CPU */
    int32_t n_max;       /* of the plan */
    int64_t width;       /* CUDA: W, the ragged width */
    int plan_order;      /* CUDA: in.order is the plan's, which the device has */
    gurn_mvhg_inputs in; /* tau > 0, order set */
    gurn_mvhg_outputs out;
    const void *x;
    gurn_mvhg_upstream upstream;
    gurn_mvhg_gradients grad;
    void *workspace;
} gurn_mvhg_job;

/*
 * Relaxed values are computed in float32 up to this temperature: window * 2.2 stays below the 256 bits that fixed-point
 * tables resolve. And down to the other: log2 v of the winner itself is 0 to within 2^-22 only, which 1 / tau multiplies.
 */
#define GURN_FAST_TAU 2.0
#define GURN_FAST_TAU_LEAST 0x1p-10
/* Whether a call is one of races in fixed point (mvhg.h), on every device alike; else it takes the general path. */
static inline bool gurn_is_fast(const gurn_mvhg_job *job, bool backward) {
    return job->dtype == GURN_FLOAT32 && job->in.relaxation == GURN_HARD && job->in.noise.kind == GURN_NOISE_PHILOX &&
           (!backward || (job->in.tau >= GURN_FAST_TAU_LEAST && job->in.tau <= GURN_FAST_TAU));
}

#endif
