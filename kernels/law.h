/*
 * What host/ asks for about the law itself: log-probabilities, moments, divergence, mode (law_cpu.c, law.cu). No noise
 * is involved.
 */
#ifndef GURN_LAW_H
#define GURN_LAW_H

#include "gumbelurn.h"
#include "lanes.h"
#include "plan.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum gurn_law_op {
    GURN_OP_LOG_PROB,
    GURN_OP_LOG_PROB_BACKWARD,
    GURN_OP_MOMENTS,
    GURN_OP_MOMENTS_BACKWARD,
    GURN_OP_KL,
    GURN_OP_KL_BACKWARD,
    GURN_OP_MODE
} gurn_law_op;

/* One call, validated. Pointers that an operation does not use are NULL; outputs not wanted are NULL too. */
typedef struct gurn_law_job {
    gurn_law_op op;
    const gurn_plan_view *view;
    gurn_dtype dtype;
    gurn_chain chain;
    int threads;         /* CPU */
    int32_t n_max;       /* CUDA: of the plan */
    int plan_order;      /* CUDA: in.order is the plan's, which the device has */
    gurn_mvhg_inputs in; /* order set */
    const void *x;       /* LOG_PROB*: real [B][C] */
    const void *other;   /* KL*: log omega of the other law, as in.log_omega */
    int64_t other_stride;
    void *log_p;               /* LOG_PROB */
    gurn_mvhg_moments moments; /* MOMENTS: outputs; MOMENTS_BACKWARD: upstream (read only) */
    void *kl;                  /* KL */
    int32_t *mode;             /* MODE */
    const void *upstream;      /* LOG_PROB_BACKWARD, KL_BACKWARD: real [B] */
    void *d_log_omega, *d_x, *d_other;
    void *workspace;
} gurn_law_job;

/*
 * A gradient that is summed over rows is summed within this many runs of consecutive rows, then over the runs in order.
 */
#define GURN_LAW_RUNS 64

/* The first row of a run, of `rows` rows in `runs` runs; run = runs gives the end. */
GURN_FN int64_t gurn_run_begin(int64_t rows, int64_t runs, int64_t run) {
    int64_t longer = rows % runs;
    return rows / runs * run + (longer < run ? longer : run);
}

#ifdef __cplusplus
}
#endif

#endif
