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

/* Rows that a CPU thread takes together: a tile. */
#define GURN_TILE 16
static inline int64_t gurn_tile_count(int64_t rows) { return rows / GURN_TILE + (rows % GURN_TILE != 0); }

/* Runs of consecutive rows whose gradients are summed together (general path of the exact chain, omega shared). */
#define GURN_EXACT_RUNS 64

/* CPU: parts of a call that different threads can take: tiles, or (general path of the exact chain) rows or runs. */
static inline int64_t gurn_mvhg_parts(const gurn_mvhg_job *job, bool backward) {
    int64_t rows = job->in.rows;
    if (job->chain != GURN_CHAIN_EXACT || gurn_is_fast(job, backward)) return gurn_tile_count(rows);
    return backward && job->in.log_omega_stride == 0 && rows > GURN_EXACT_RUNS ? GURN_EXACT_RUNS : rows;
}

#endif
