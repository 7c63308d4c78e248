/*
 * What the kernels of the law share (law.cu, law_merged.cu; mathematics in moments.h): teams and their rows, and the
 * law of one row.
 *
 * Work. A team is a block of `warps` warps, one unless there are many classes; how many depends on the urn alone. It
 * takes runs of consecutive rows, one row after the other. Lanes are contour nodes, of which there are at most 32, and
 * warps stride the classes: each lane sums over classes alone, and one butterfly a class sums over nodes. What has no
 * nodes is strided by all threads. Where omega is shared, a row with the n of the row before takes over its law, which
 * the team still holds.
 *
 * Memory. O(C) workspace a team, GURN_LAW_TEAMS teams at most, whatever the number of rows; it stays in cache. The
 * inputs and outputs of a row are read and written once or a few times.
 *
 * Order. Sums over nodes and lanes are butterflies; over warps ascending. A gradient summed over rows is summed in row
 * order within a run, and law_add_runs sums the runs. Nothing depends on the number of teams.
 *
 * Numbers. Everything is double, whose rate is half that of float on a data-centre GPU (A100, H100) and 1/64 on a
 * consumer one (RTX 4090). There is nothing in float to fall back to: log P0 is of the size of N, and its error is to
 * be small beside 1.
 *
 * Row isolation. A row with a NaN or infinite log omega, with n outside 0..n_max or with a NaN count is "bad": its
 * outputs are NaN (-1 for whole numbers), and none of its numbers enters a loop's bound or an index.
 */
#ifndef GURN_LAW_CUH
#define GURN_LAW_CUH

#include "cuda.h"
#include "log_prob.h"
#include "moments.h"
#include "tilt.cuh"

#define GURN_LAW_WARPS 8 /* most warps in a team */
/* Most warps in a grid: several for each multiprocessor of any GPU. In emulation few, so that teams take several runs of rows. */
#ifdef GURN_CUDA_EMULATED
#define GURN_LAW_TEAMS 16
#else
#define GURN_LAW_TEAMS 2048
#endif
#define GURN_LAW_BYTES (256ll << 20) /* workspace of a grid, unless a single team needs more */
#define NODES GURN_CONTOUR_NODES

/* A call, as a kernel gets it. */
struct law_call {
    gurn_law_job job;     /* view and host memory are not to be followed */
    gurn_plan_view view;  /* of the device */
    const int32_t *order; /* [C]: class at each place, of the call */
    int64_t runs;         /* runs of consecutive rows */
    double *sums;         /* [runs][C] where log_omega's gradient is summed over rows, else NULL */
    double *other_sums;   /* the same for the other law of a divergence */
    double *teams;        /* [teams][team_size] */
    int64_t team_size;    /* doubles */
    int64_t team_count;
};

/* The arrays of a team at its part of the workspace, double [C] each; zc [C][NODES] only if there is room for it. */
struct law_arrays {
    double *p, *q, *mean, *part, *other_p, *other_q, *other_mean;
    gurn_complex *zc;
};

/* How many doubles a team needs for each class. */
static inline int64_t law_team_doubles(bool covariance, bool two) { return covariance ? 4 + 2 * NODES : two ? 7 : 4; }

GURN_DEVICE law_arrays law_team_arrays(const law_call &call) {
    int64_t classes = call.view.classes;
    double *at = call.teams + blockIdx.x * call.team_size;
    law_arrays arrays = {at,
                         at + classes,
                         at + 2 * classes,
                         at + 3 * classes,
                         at + 4 * classes,
                         at + 5 * classes,
                         at + 6 * classes,
                         reinterpret_cast<gurn_complex *>(at + 4 * classes)};
    return arrays;
}

GURN_DEVICE int law_warp() { return (int)(threadIdx.x / GURN_WARP); }
GURN_DEVICE int law_warps() { return (int)(blockDim.x / GURN_WARP); }

/* ----------------------------------------------------------------------------------------------- sums of a team --- */

/* The sum over all threads, in all threads. scratch: shared, [GURN_LAW_WARPS] at least. */
GURN_DEVICE double law_sum(double *scratch, double value) {
    value = gurn_tile_sum<GURN_WARP>(value);
    if (law_warps() == 1) return value;
    __syncthreads(); /* scratch may be in use */
    if (gurn_lane() == 0) scratch[law_warp()] = value;
    __syncthreads();
    double sum = 0.0;
    for (int w = 0; w < law_warps(); w++) sum += scratch[w];
    return sum;
}

/*
 * The sum over warps of what each has for this lane's node, in all warps. scratch: shared, [2 * 32 * GURN_LAW_WARPS].
 */
GURN_DEVICE gurn_complex law_sum_nodes(double *scratch, gurn_complex value) {
    if (law_warps() == 1) return value;
    double *mine = scratch + 2 * threadIdx.x;
    __syncthreads();
    mine[0] = value.re;
    mine[1] = value.im;
    __syncthreads();
    gurn_complex sum = {0.0, 0.0};
    for (int w = 0; w < law_warps(); w++) {
        sum.re += scratch[2 * (w * GURN_WARP + gurn_lane())];
        sum.im += scratch[2 * (w * GURN_WARP + gurn_lane()) + 1];
    }
    return sum;
}

GURN_DEVICE void law_add(gurn_complex *sum, gurn_complex value, double times) {
    sum->re += times * value.re;
    sum->im += times * value.im;
}

/* ------------------------------------------------------------------------------------------- the law of one row --- */

/* One omega and n. Of the node: this lane's; a lane without a node has t = 0 and weight 0. */
struct law_row {
    double log_norm, total;
    int32_t n;
    bool ready; /* holds the law of (omega shared, n) */
    bool bad;
    bool fixed; /* n = 0 or n = sum m: the counts are certain. All weights are 0, so that every sum over nodes is */
    gurn_node node;
    gurn_complex weight;
};

GURN_DEVICE double law_class_size(const law_call &call, int32_t c) {
    return (double)(call.view.offset[c + 1] - call.view.offset[c] - 1);
}
GURN_DEVICE law_row law_row_begin(const law_call &call) {
    law_row row = {0.0, (double)(call.view.offset[call.view.classes] - call.view.classes), 0, false, false, false, {},
                   {}};
    return row;
}

/* Whether all of log omega[C] is finite; the answer of the warp. */
GURN_DEVICE bool law_finite(const void *log_omega, gurn_dtype dtype, int64_t at, int32_t classes) {
    bool finite = true;
    for (int32_t c = gurn_lane(); c < classes; c += GURN_WARP)
        finite &= isfinite(gurn_real(log_omega, dtype, at + c)) != 0;
    return !gurn_warp_any(!finite);
}

/*
 * The law of row b at log_omega: weights, log P0, and p, q [C]; with mean also the means, and zc where it is not NULL.
 * The tilt is found by every warp for itself.
 */
GURN_DEVICE void law_take(const law_call &call, law_row *row, double *p, double *q, double *mean, gurn_complex *zc,
                          double *scratch, const void *log_omega, int64_t stride, int64_t b) {
    int32_t n = gurn_row_n(&call.job.in, b), classes = call.view.classes;
    int lane = gurn_lane();
    int64_t at = b * stride;
    if (row->ready && stride == 0 && row->n == n) return;
    __syncthreads(); /* the arrays of the row before have been read */
    row->ready = true;
    row->n = n;
    row->fixed = n == 0 || (double)n == row->total;
    row->bad = n < 0 || n > call.job.n_max || !law_finite(log_omega, call.job.dtype, at, classes);
    if (row->bad) return;
    const auto a = [&](int32_t c) { return gurn_law_log2_omega(gurn_real(log_omega, call.job.dtype, at + c)); };
    const auto m = [&](int32_t c) { return law_class_size(call, c); };
    gurn_tilt_range range = gurn_warp_tilt_range(classes, row->total, a, m);
    gurn_contour contour = {0, 1.0, 0.0};
    double ell = 0.0, whole = 0.0, rest = 0.0, sums = 0.0;
    if (!row->fixed) {
        gurn_tilt tilt = gurn_warp_tilt(classes, n, row->total, range, a, m);
        contour = gurn_contour_choose(tilt.variance, row->total);
        ell = tilt.ell;
    }
    for (int32_t c = threadIdx.x; c < classes; c += blockDim.x) {
        double tilted_p = n == 0 ? 0.0 : 1.0, tilted_q = 1.0 - tilted_p;
        if (!row->fixed) {
            double lambda = a(c) + ell, size = m(c);
            s_odds_to_p(gurn_tilt_lambda(a(c), ell), &tilted_p, &tilted_q);
            if (size > 0.0) {
                whole += gurn_shift_whole(size, tilted_p);
                rest += gurn_shift_rest(size, tilted_p, tilted_q);
                sums += size * gurn_log1p_odds(lambda, tilted_p, tilted_q);
            }
        }
        p[c] = tilted_p;
        q[c] = tilted_q;
    }
    double shift = (n - law_sum(scratch, whole)) + law_sum(scratch, rest);
    sums = law_sum(scratch, sums);
    __syncthreads();
    row->node = gurn_contour_node(contour, lane < contour.count ? lane : 0);
    gurn_complex log_phi = {0.0, 0.0}, none = {0.0, 0.0};
    for (int32_t c = law_warp(); !row->fixed && c < classes; c += law_warps()) {
        double size = m(c);
        if (size > 0.0) law_add(&log_phi, gurn_node_log(row->node, p[c], q[c]), size);
    }
    row->log_norm = n * range.mean * GURN_LN2; /* right where the counts are certain */
    row->weight = none;
    if (!row->fixed) {
        log_phi = law_sum_nodes(scratch, log_phi);
        gurn_complex w = lane < contour.count ? gurn_node_weight(row->node, log_phi, shift) : none;
        double z = gurn_tile_sum<GURN_WARP>(w.re);
        row->log_norm = gurn_contour_log_norm(contour, z, sums, n, ell);
        row->weight.re = w.re / z;
        row->weight.im = w.im / z;
    }
    for (int32_t c = law_warp(); mean && c < classes; c += law_warps()) {
        double size = m(c), tilted_p = p[c];
        gurn_complex z = gurn_node_z(row->node, size, tilted_p, q[c]);
        double moved = gurn_tile_sum<GURN_WARP>(gurn_complex_dot(row->weight, z));
        if (lane == 0) mean[c] = gurn_mean_held(fma(size, tilted_p, moved), size, n, row->total);
        z.re -= moved;
        if (zc) zc[(int64_t)c * NODES + lane] = z;
    }
    __syncthreads();
}

/* ---------------------------------------------------------------------------------------------------- gradients --- */

/* Where d log omega goes: to its place in the row, or into the sums of a run. */
struct law_gradient {
    void *out;   /* NULL: not wanted */
    double *run; /* [C], or NULL */
    int64_t at;  /* element of the row's class 0 */
    bool first;  /* row of its run */
    gurn_dtype dtype;
};
GURN_DEVICE law_gradient law_gradient_of(const law_call &call, void *out, double *sums, int64_t run, int64_t b,
                                         bool first) {
    int64_t classes = call.view.classes;
    law_gradient g = {out, sums ? sums + run * classes : NULL, b * classes, first, call.job.dtype};
    return g;
}
GURN_DEVICE void law_put(const law_gradient &g, int32_t c, double value) {
    if (g.run)
        g.run[c] = g.first ? value : g.run[c] + value;
    else
        gurn_set_real(g.out, g.dtype, g.at + c, value);
}

/* Calls row(b, run, first) for every row of this team. Uniform over the team. */
template <class Row>
GURN_DEVICE void law_rows(const law_call &call, Row row) {
    for (int64_t run = blockIdx.x; run < call.runs; run += gridDim.x) {
        int64_t begin = gurn_run_begin(call.job.in.rows, call.runs, run);
        int64_t end = gurn_run_begin(call.job.in.rows, call.runs, run + 1);
        for (int64_t b = begin; b < end; b++) row(b, run, b == begin);
    }
}

/* ---------------------------------------------------------------------------------------------------- launching --- */

static inline bool law_wants_covariance(const gurn_law_job *job) {
    return (job->op == GURN_OP_MOMENTS || job->op == GURN_OP_MOMENTS_BACKWARD) && job->moments.covariance;
}

/* Warps in a team, by the urn alone: results must not depend on how many rows there are. A covariance is C^2 work. */
static inline int law_warps_of(const gurn_law_job *job) {
    int32_t classes = job->view->classes, per_warp = law_wants_covariance(job) ? 8 : 64, warps = classes / per_warp;
    return warps < 1 ? 1 : warps < GURN_LAW_WARPS ? warps : GURN_LAW_WARPS;
}

/* A kernel over the runs of a call. */
template <class Kernel>
static cudaError_t law_launch(const law_call &call, Kernel kernel, cudaStream_t stream) {
    cudaLaunchConfig_t config = {};
    config.gridDim = dim3((unsigned)call.team_count);
    config.blockDim = dim3((unsigned)(law_warps_of(&call.job) * GURN_WARP));
    config.stream = stream;
    return cudaLaunchKernelEx(&config, kernel, call);
}

#endif
