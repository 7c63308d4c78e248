/* What host/ asks for about plain draws (plain_cpu.c, plain.cu). */
#ifndef GURN_PLAIN_JOB_H
#define GURN_PLAIN_JOB_H

#include "gumbelurn.h"
#include "plan.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One call of gurn_mvhg_draw, validated. */
typedef struct gurn_plain_job {
    const gurn_plan_view *view;
    gurn_dtype dtype;
    gurn_chain chain;
    int threads;          /* CPU */
    int plan_order;       /* CUDA: in.order is the plan's, which the device has */
    int32_t max_m, n_max; /* largest class; largest n of any row */
    int32_t total;        /* of all m */
    gurn_mvhg_inputs in;  /* order set */
    int32_t *x;
    void *workspace;
} gurn_plain_job;

/* One call of gurn_hypergeometric_draw, validated. */
typedef struct gurn_hypergeometric_job {
    int threads;
    gurn_hypergeometric_inputs in;
    int32_t *x;
} gurn_hypergeometric_job;

#ifdef __cplusplus
}
#endif

#endif
