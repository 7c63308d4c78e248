/*
 * What the CPU files of the MVHG chain share: scratch memory of a thread, and a tile of rows.
 *
 * Threads take tiles of GURN_TILE rows and walk the classes of a tile together (step-outer): parameters of a step are
 * computed for all rows of the tile at once, a vector of rows at a time; then each row's support is swept, a vector of
 * counts at a time.
 */
#ifndef GURN_MVHG_CPU_H
#define GURN_MVHG_CPU_H

#include <stdbool.h>
#ifdef _OPENMP
#include <omp.h>
#endif

#include "cpu.h"
#include "mvhg.h"
#include "omega_cpu.h"
#include "philox_cpu.h"
#include "simd.h"
#include "suffix_cpu.h"
#include "suffix_wide_cpu.h"

#define GURN_L(name) v_##name
#include "mvhg_lanes.h"
#undef GURN_L

/* Vectors of noise made at a time, unless one row needs more: as many as stay in the first-level cache. */
#define GURN_NOISE_VECTORS 128

/*
 * What backward's sweep found at the counts of a window, from `first` of the sweep on: w, w u and p of gurn_step_sums.
 */
typedef struct gurn_pulled {
    float *w, *wu, *p;
} gurn_pulled;

/* One step of a tile: where each row's support is swept, and with what. */
typedef struct gurn_tile_step {
    int32_t left[GURN_TILE]; /* n_i: still to draw */
    int32_t mode[GURN_TILE];
    float slope[2][GURN_TILE]; /* cost one above the mode, and one below, less the mode's: in bits */
    int32_t low[GURN_TILE];    /* window: a part of the support that holds every count that can win or weigh */
    int32_t high[GURN_TILE];
    uint32_t reference[GURN_TILE]; /* whole bits, near the mode's cost */
    int64_t lambda[GURN_TILE];     /* fixed point */
    gurn_support support[GURN_TILE];
    const int32_t *rest[GURN_TILE]; /* table of the rest, read at k */
} gurn_tile_step;

/*
 * Suffix tables of the rows of a tile (exact chain, fast path); rows may share them. Lanes beyond the rows repeat the
 * last.
 */
typedef struct gurn_suffix_tile {
    const gurn_suffix *places[GURN_TILE]; /* [C] */
    const int32_t *rest[GURN_TILE];       /* -log2 S */
    const float *tables[GURN_TILE];       /* backward: S */
    const float *psi[GURN_TILE]; /* backward: d log (S(r) / C(m_R, r)) / dr - digamma(r+1) + digamma(m_R-r+1) */
    float *adjoint[GURN_TILE];   /* backward, tables of each row: gradient to log S, zero where none has been */
    double *adjoint_sum;         /* backward, tables shared: what the rows add to */
} gurn_suffix_tile;

/* A thread's scratch, cut from the workspace. */
typedef struct gurn_scratch {
    double *lambda;                        /* [C][GURN_TILE]: base-2 log odds of every step of the tile's rows */
    int32_t *left;                         /* [C][GURN_TILE]: n_i of every step (backward) */
    double *log_omega;                     /* [C][GURN_TILE]: gradients (backward) */
    gurn_philox_key *key;                  /* the call's seed */
    uint64_t row;                          /* noise address of row 0: offset + row0 */
    uint32_t *words;                       /* noise of the rows' windows, one vector of counters after the other */
    gurn_noise_list list;                  /* of those vectors */
    float *extra;                          /* upstream of y and mask over one row's window (backward) */
    double *cost, *race, *extra64, *psi64; /* [max m + 1]: the general path */
    gurn_step *steps;                      /* [C]: of rows whose urn is not the plan's (gurn_urn_of) */
    gurn_suffix_tile *suffix;              /* exact chain by the fast path, else NULL */
    gurn_pulled pulled;                    /* the same, backward */
} gurn_scratch;

GURN_FN size_t gurn_thread_index(void) {
#ifdef _OPENMP
    return (size_t)omp_get_thread_num();
#else
    return 0;
#endif
}

GURN_FN size_t gurn_padded(size_t bytes) { return (bytes + 63) & ~(size_t)63; }

/*
 * Rows of one urn (omega.h): a call as they see it, whose view is their urn's. Sizes of the workspace are the plan's, which no urn
 * exceeds.
 */
typedef struct gurn_urn {
    gurn_mvhg_job job;
    gurn_plan_view view;
} gurn_urn;

/* How many of the rows b .. b + rows - 1 have the same classes of omega 0 as row b, one after the other from there. */
GURN_FN int gurn_urn_rows(const gurn_mvhg_job *job, int64_t b, int rows) {
    int64_t stride = job->in.log_omega_stride, classes = job->view->classes;
    for (int r = 1; r < rows; r++)
        for (int64_t c = 0; c < classes; c++)
            if (gurn_omega_is_zero(gurn_real(job->in.log_omega, job->dtype, (b + r) * stride + c)) !=
                gurn_omega_is_zero(gurn_real(job->in.log_omega, job->dtype, b * stride + c)))
                return r;
    return rows;
}

/* The call as row b sees it: `job` itself where its urn is the plan's, else *urn, with its steps in scratch->steps. */
GURN_FN const gurn_mvhg_job *gurn_urn_of(const gurn_mvhg_job *job, int64_t b, const gurn_scratch *scratch,
                                         gurn_urn *urn) {
    const gurn_mvhg_inputs *in = &job->in;
    gurn_plan_view view =
        gurn_omega_view(job->view, in->order, in->log_omega, job->dtype, b * in->log_omega_stride, scratch->steps);
    if (view.steps == job->view->steps) return job;
    urn->job = *job;
    urn->view = view;
    urn->job.view = &urn->view;
    return &urn->job;
}

/* As row b and those behind it see it, of the *rows rows from b on: *rows becomes how many they are. */
GURN_FN const gurn_mvhg_job *gurn_urn_at(const gurn_mvhg_job *job, int64_t b, int *rows, const gurn_scratch *scratch,
                                         gurn_urn *urn) {
    int64_t stride = job->in.log_omega_stride, size = job->dtype == GURN_FLOAT32 ? sizeof(float) : sizeof(double);
    const char *first = (const char *)job->in.log_omega + b * stride * size;
    if (gurn_all_finite(first, job->dtype, *rows, job->view->classes, stride)) return job; /* nearly always */
    *rows = gurn_urn_rows(job, b, *rows);
    return gurn_urn_of(job, b, scratch, urn);
}

/* Bytes of a thread's scratch; and its layout at p when scratch is not NULL. */
size_t GURN_NAME(mvhg_scratch)(const gurn_mvhg_job *job, bool backward, char *p, gurn_scratch *scratch);

/* What a row's steps are decided by, as the general path takes it. */
typedef struct gurn_general_law {
    const double *lambda; /* of place i at i * lambda_stride */
    int64_t lambda_stride;
    const gurn_wide_suffix *suffix; /* exact chain, else NULL */
    gurn_wide_adjoint *adjoint;     /* exact chain, gradient to log omega wanted; else NULL */
} gurn_general_law;

/*
 * Row b of the batch by the general path; for calls that are not for the fast one, and rows that are not. job: with the row's
 * urn. log_omega: [C], strided by GURN_TILE, each step's gradient to its own log omega; what goes through S is added to
 * law->adjoint.
 */
void GURN_NAME(mvhg_general_forward)(const gurn_mvhg_job *job, int64_t b, const gurn_general_law *law,
                                     const gurn_scratch *scratch);
void GURN_NAME(mvhg_general_backward)(const gurn_mvhg_job *job, int64_t b, const gurn_general_law *law,
                                      const gurn_scratch *scratch, double *log_omega, double *tau);

/* A whole call of the exact chain by the general path. */
size_t GURN_NAME(mvhg_exact_bytes)(const gurn_mvhg_job *job, bool backward);
void GURN_NAME(mvhg_exact_forward)(const gurn_mvhg_job *job);
void GURN_NAME(mvhg_exact_backward)(const gurn_mvhg_job *job);

/* Rows b .. b + rows - 1, of one urn, by the fast path; scratch->lambda, or scratch->suffix, holds their law. */
void GURN_NAME(mvhg_fast_forward)(const gurn_mvhg_job *job, int64_t b, int rows, const gurn_scratch *scratch);
/*
 * Leaves the steps' gradients to their own log omega in scratch->log_omega, adds those to log S to scratch->suffix, and
 * tau[r].
 */
void GURN_NAME(mvhg_fast_backward)(const gurn_mvhg_job *job, int64_t b, int rows, const gurn_scratch *scratch,
                                   double *tau);

/* A call of the exact chain by the fast path (mvhg_suffix_cpu.c). */
size_t GURN_NAME(mvhg_suffix_bytes)(const gurn_mvhg_job *job, bool backward);
void GURN_NAME(mvhg_suffix_forward)(const gurn_mvhg_job *job);
void GURN_NAME(mvhg_suffix_backward)(const gurn_mvhg_job *job);

/*
 * lambda[C][GURN_TILE] of `rows` rows from row b on; lanes beyond the rows repeat the last. view: the urn of all of them
 * (omega.h): returns whether it is, for its classes that have balls have omega above 0, and else means nothing by the lambda of
 * rows for which that does not hold. Places are walked from last to first. The bits are those of gurn_merged_odds.
 */
GURN_FN bool gurn_tile_lambda(const gurn_plan_view *view, const gurn_mvhg_inputs *in, gurn_dtype dtype, int64_t b,
                              int rows, double *lambda) {
    v_f64 rest[GURN_TILE / V_HALF];
    int64_t at[GURN_TILE];
    for (int r = 0; r < GURN_TILE; r++) at[r] = (b + (r < rows ? r : rows - 1)) * in->log_omega_stride;
    bool all =
        gurn_omega_rows(view->steps, view->classes, in->order, in->log_omega, dtype, GURN_TILE, at, false, lambda);
    for (int v = 0; v < GURN_TILE / V_HALF; v++) rest[v] = v_splat64(-INFINITY);
    for (int32_t i = view->classes - 1; i >= 0; i--) {
        const gurn_step *step = &view->steps[i];
        for (int v = 0; v < GURN_TILE / V_HALF; v++) {
            double *here = lambda + (int64_t)i * GURN_TILE + v * V_HALF;
            v_f64 own = v_f64_load(here), value = v_splat64(0.0);
            if (step->m_rest > 0) value = v_merged_lambda(own, rest[v], step->log2_m_rest);
            if (step->m > 0 && i > 0) { /* what is before place 0 needs no rest */
                v_f64 mine = own + v_splat64(step->log2_m);
                rest[v] = step->m_rest > 0 ? v_log2_add(rest[v], mine) : mine;
            }
            v_f64_store(here, value);
        }
    }
    return all;
}

#endif
