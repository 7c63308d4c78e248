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
 * Row isolation. A row with a log omega of NaN or +infinity, with n outside 0..n_max or beyond the balls of its classes of
 * omega > 0, or with a NaN count is "bad": its outputs are NaN (-1 for whole numbers), and none of its numbers enters a loop's
 * bound or an index.
 */
#ifndef GURN_LAW_CUH
#define GURN_LAW_CUH

#include "cuda.h"
#include "kl.h"
#include "launch.cuh"
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

/*
 * The arrays of a team at its part of the workspace, double [C] each: of one law; of the other law of a divergence only if
 * there is room for it, and so zc [C][NODES].
 */
struct law_arrays {
    double *m, *p, *q,
        *low; /* sizes, 0 where omega is 0; tilted probabilities, and what the smaller one lacks (binomial.h) */
    double *mean, *moved; /* E x, and what it has above m p */
    double *part;         /* scratch */
    gurn_complex *zc;
};
#define LAW_ARRAYS 7

/* How many doubles a team needs for each class. */
static inline int64_t law_team_doubles(bool covariance, bool two) {
    return LAW_ARRAYS + (covariance ? 2 * NODES : 0) + (two ? LAW_ARRAYS : 0);
}

/* Of the first law (0), or the second. */
GURN_DEVICE law_arrays law_team_arrays(const law_call &call, int which = 0) {
    int64_t classes = call.view.classes;
    double *at = call.teams + blockIdx.x * call.team_size + which * LAW_ARRAYS * classes;
    law_arrays arrays = {at,
                         at + classes,
                         at + 2 * classes,
                         at + 3 * classes,
                         at + 4 * classes,
                         at + 5 * classes,
                         at + 6 * classes,
                         reinterpret_cast<gurn_complex *>(at + LAW_ARRAYS * classes)};
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

/* The same of pairs, which loses nothing (pair.h). scratch: [2 * GURN_LAW_WARPS] at least. */
GURN_DEVICE gurn_pair law_sum_pair(double *scratch, gurn_pair value) {
    for (int distance = GURN_WARP / 2; distance > 0; distance /= 2) {
        double lo = gurn_tile_exchange<GURN_WARP>(value.lo, distance);
        gurn_sum_add(&value, gurn_tile_exchange<GURN_WARP>(value.hi, distance));
        value.lo += lo;
    }
    if (law_warps() == 1) return value;
    __syncthreads();
    if (gurn_lane() == 0) {
        scratch[2 * law_warp()] = value.hi;
        scratch[2 * law_warp() + 1] = value.lo;
    }
    __syncthreads();
    gurn_pair sum = {0.0, 0.0};
    for (int w = 0; w < law_warps(); w++) {
        gurn_sum_add(&sum, scratch[2 * w]);
        sum.lo += scratch[2 * w + 1];
    }
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

/*
 * Log omega of a row: the caller's, or, for what lies between two laws (kl.h), that of the first moved by a share s of its
 * distance from the second. A class of omega 0 has it in all of these.
 */
struct law_omega {
    const void *log_omega;
    int64_t at;
    gurn_dtype dtype;
    const void *other; /* NULL: the caller's */
    int64_t other_at;
    double s;
    gurn_law_tilt tilt, other_tilt;
};
GURN_DEVICE double law_log_omega(const law_omega &omega, int32_t c) {
    double own = gurn_real(omega.log_omega, omega.dtype, omega.at + c);
    if (!omega.other || gurn_omega_is_zero(own)) return own;
    double other = gurn_real(omega.other, omega.dtype, omega.other_at + c);
    own = gurn_law_held(own, omega.tilt);
    other = gurn_law_held(other, omega.other_tilt);
    return (own - omega.tilt.largest) + omega.s * gurn_kl_distance(own, omega.tilt, other, omega.other_tilt);
}
GURN_DEVICE law_omega law_omega_of(const law_call &call, const void *log_omega, int64_t stride, int64_t b) {
    law_omega omega = {log_omega, b * stride, call.job.dtype, NULL, 0, 0.0, {0.0, 0.0, 0.0}, {0.0, 0.0, 0.0}};
    return omega;
}

/* One omega and n. Of the node: this lane's; a lane without a node has t = 0 and weight 0. */
struct law_row {
    double log_norm, log_q, total;
    double variance, off; /* under the tilt: of the sum; n - its mean */
    gurn_law_tilt tilt;
    int32_t n;
    bool ready; /* holds the law of (omega shared, n) */
    bool bad;
    bool fixed;   /* n = 0 or n = sum m: there is no tilt, and all weights are 0, so that every sum over nodes is */
    bool certain; /* there is one x: fixed, or one class with balls */
    gurn_node node;
    gurn_complex weight;
    gurn_complex others,
        largest; /* sums of zc: over all classes but the one with more than half of the variance; of that one */
};

GURN_DEVICE double law_class_size(const law_call &call, int32_t c) {
    return (double)(call.view.offset[c + 1] - call.view.offset[c] - 1);
}
/* Its size as the row has it: none where omega is 0. */
GURN_DEVICE double law_size(const law_call &call, const law_omega &omega, int32_t c) {
    bool zero = gurn_omega_is_zero(gurn_real(omega.log_omega, omega.dtype, omega.at + c));
    return zero ? 0.0 : law_class_size(call, c);
}
GURN_DEVICE law_row law_row_begin() {
    law_row row = {};
    return row;
}

/* What log omega alone says of a row; the answer of the warp, in all lanes. */
struct law_urn {
    double total, largest;
    int drawable; /* classes with balls */
    bool bad;     /* NaN or +infinity in log omega */
};
GURN_DEVICE law_urn law_urn_of(const law_call &call, const law_omega &omega) {
    law_urn urn = {0.0, -INFINITY, 0, false};
    for (int32_t c = gurn_lane(); c < call.view.classes; c += GURN_WARP) {
        double value = law_log_omega(omega, c), m = law_size(call, omega, c);
        urn.bad |= isnan(value) || value == INFINITY;
        urn.total += m;
        urn.drawable += m > 0.0;
        if (m > 0.0 && value > urn.largest) urn.largest = value;
    }
    urn.bad = gurn_warp_any(urn.bad);
    urn.total = gurn_tile_sum<GURN_WARP>(urn.total);
    urn.drawable = gurn_tile_sum<GURN_WARP>(urn.drawable);
    urn.largest = -gurn_tile_least<GURN_WARP>(-urn.largest);
    if (!(urn.largest > -INFINITY)) urn.largest = 0.0;
    return urn;
}

/* What is summed over classes for a tilt: as in law_cpu.c. */
struct law_sums {
    double whole;
    gurn_pair variance, left, drawn, norm;
};

/* The odds of every class at the row's tilt into the arrays, and the sums. */
GURN_DEVICE law_sums law_put_odds(const law_call &call, const law_row &row, const law_arrays &arrays, double *scratch,
                                  const law_omega &omega) {
    law_sums sums = {};
    for (int32_t c = threadIdx.x; c < call.view.classes; c += blockDim.x) {
        double m = law_size(call, omega, c), held = gurn_law_held(law_log_omega(omega, c), row.tilt);
        gurn_odds odds = {0.0, row.n == 0 || m == 0.0 ? 0.0 : 1.0, row.n == 0 || m == 0.0 ? 1.0 : 0.0, 0.0, 0.0};
        if (!row.fixed) odds = gurn_law_odds(held, row.tilt);
        arrays.m[c] = m;
        arrays.p[c] = odds.p;
        arrays.q[c] = odds.q;
        arrays.low[c] = odds.low;
        if (m == 0.0) continue;
        if (row.fixed) {
            if (row.n > 0) gurn_sum_add(&sums.norm, m * held);
            continue;
        }
        if (odds.lambda > 0.0) {
            sums.whole += m;
            gurn_sum_add_product(&sums.left, m, odds.q);
        } else {
            gurn_sum_add_product(&sums.drawn, m, odds.p);
        }
        gurn_sum_add(&sums.variance, m * odds.p * odds.q);
        gurn_log_norm_add(&sums.norm, m, held, odds);
    }
    sums.whole = law_sum(scratch, sums.whole);
    sums.variance = law_sum_pair(scratch, sums.variance);
    sums.left = law_sum_pair(scratch, sums.left);
    sums.drawn = law_sum_pair(scratch, sums.drawn);
    sums.norm = law_sum_pair(scratch, sums.norm);
    return sums;
}

/* Whether a class has more than half of the variance. */
GURN_DEVICE bool law_is_largest(const law_row &row, double m, double p, double q) {
    return m * p * q > 0.5 * row.variance;
}

/* Means, and zc summed over classes; zc of every class where it is not NULL. */
GURN_DEVICE void law_put_means(const law_call &call, law_row *row, const law_arrays &arrays, gurn_complex *zc,
                               double *scratch) {
    int32_t classes = call.view.classes;
    int lane = gurn_lane();
    gurn_complex none = {0.0, 0.0}, others = none, largest = none;
    for (int32_t c = law_warp(); c < classes; c += law_warps()) {
        double m = arrays.m[c], p = arrays.p[c], q = arrays.q[c];
        gurn_complex z = none;
        double moved = 0.0, mean = gurn_certain_count(m, row->n, row->total);
        if (!row->certain && m > 0.0) {
            z = gurn_node_z(row->node, m, p, q);
            moved = gurn_tile_sum<GURN_WARP>(gurn_complex_dot(row->weight, z));
            mean = gurn_mean_held(fma(m, p, moved), m, row->n, row->total);
            z.re -= moved;
            if (law_is_largest(*row, m, p, q))
                largest = z;
            else
                law_add(&others, z, 1.0);
        }
        if (lane == 0) {
            arrays.mean[c] = mean;
            arrays.moved[c] = moved;
        }
        if (zc) zc[(int64_t)c * NODES + lane] = z;
    }
    row->others = law_sum_nodes(scratch, others);
    row->largest = law_sum_nodes(scratch, largest);
    if (row->certain || !(row->variance < GURN_SMALL_VARIANCE)) return;
    gurn_complex all = row->others;
    law_add(&all, row->largest, 1.0);
    all = gurn_complex_mul(row->weight, all);
    for (int32_t c = law_warp(); c < classes; c += law_warps()) { /* where the law hugs one x */
        double m = arrays.m[c], p = arrays.p[c], q = arrays.q[c];
        if (m == 0.0) continue;
        double zz = gurn_tile_sum<GURN_WARP>(gurn_complex_dot(all, gurn_node_z(row->node, m, p, q)));
        double rho2 = gurn_tile_sum<GURN_WARP>(gurn_complex_dot(row->weight, gurn_node_rare(row->node, p, q)));
        double mean = gurn_mean_held(gurn_mean_of_rare(m, p, q, -zz, rho2), m, row->n, row->total);
        if (lane == 0) arrays.mean[c] = mean;
    }
}

/*
 * The law of n and omega: weights, log Q, log P0, and m, p, q, low [C]; with_mean: also the means, and zc where it is not
 * NULL. The tilt is found by every warp for itself.
 */
GURN_DEVICE void law_solve(const law_call &call, law_row *row, const law_arrays &arrays, bool with_mean,
                           gurn_complex *zc, double *scratch, const law_omega &omega, int32_t n) {
    int lane = gurn_lane();
    int32_t classes = call.view.classes;
    __syncthreads(); /* the arrays of the row before have been read */
    law_urn urn = law_urn_of(call, omega);
    row->n = n;
    row->bad = urn.bad || n < 0 || n > call.job.n_max || (double)n > urn.total;
    if (row->bad) return;
    row->total = urn.total;
    row->tilt = gurn_law_tilt_at(urn.largest);
    row->fixed = n == 0 || (double)n == urn.total;
    row->certain = row->fixed || urn.drawable <= 1;
    const auto a = [&](int32_t c) { return gurn_log2_omega(law_log_omega(omega, c), urn.largest); };
    const auto m = [&](int32_t c) { return law_size(call, omega, c); };
    if (!row->fixed) {
        gurn_tilt_range range = gurn_warp_tilt_range(classes, urn.total, a, m);
        row->tilt.shift = gurn_warp_tilt(classes, n, urn.total, range, a, m).ell * GURN_LN2;
    }
    law_sums sums;
#ifdef __CUDACC__
#pragma unroll 1
#endif
    for (int round = 0; round < 2; round++) {
        sums = law_put_odds(call, *row, arrays, scratch, omega);
        double off = gurn_tilt_off(gurn_sum_value(sums.variance), n - sums.whole, sums.drawn.hi, sums.left.hi);
        if (row->fixed || round > 0 || off == 0.0) break;
        row->tilt.shift -= off;
        __syncthreads();
    }
    __syncthreads();
    gurn_contour contour = {0, 1.0, 0.0};
    gurn_complex log_phi = {0.0, 0.0}, none = log_phi;
    row->variance = row->fixed ? 0.0 : gurn_sum_value(sums.variance);
    row->off = row->fixed ? 0.0 : gurn_tilt_miss(n - sums.whole, sums.drawn, sums.left);
    if (!row->fixed) contour = gurn_contour_choose(row->variance, row->total);
    row->node = gurn_contour_node(contour, lane < contour.count ? lane : 0);
    for (int32_t c = law_warp(); !row->fixed && c < classes; c += law_warps()) {
        double size = arrays.m[c], p = arrays.p[c], q = arrays.q[c], modulus, phase;
        if (size == 0.0) continue;
        s_node_log(row->node, p < q ? p : q, 2.0 * p * q, &modulus, &phase);
        log_phi.re = fma(size, modulus, log_phi.re);
        log_phi.im = fma(p < q ? size : -size, phase, log_phi.im);
    }
    row->weight = none;
    row->log_q = 0.0;
    row->log_norm = gurn_sum_value(sums.norm); /* right where there is no tilt */
    if (!row->fixed) {
        log_phi = law_sum_nodes(scratch, log_phi);
        gurn_complex w = lane < contour.count ? gurn_node_weight(row->node, log_phi, row->off) : none;
        double z = gurn_tile_sum<GURN_WARP>(w.re);
        row->log_q = gurn_contour_log_sum(contour, z);
        row->log_norm = gurn_log_norm(sums.norm, n - sums.whole, row->tilt, row->log_q);
        row->weight.re = w.re / z;
        row->weight.im = w.im / z;
    }
    if (with_mean) law_put_means(call, row, arrays, zc, scratch);
    __syncthreads();
}

/* The law of row b, unless that of the row before will do. */
GURN_DEVICE void law_take(const law_call &call, law_row *row, const law_arrays &arrays, bool with_mean,
                          gurn_complex *zc, double *scratch, const void *log_omega, int64_t stride, int64_t b) {
    int32_t n = gurn_row_n(&call.job.in, b);
    if (row->ready && stride == 0 && row->n == n) return;
    law_solve(call, row, arrays, with_mean, zc, scratch, law_omega_of(call, log_omega, stride, b), n);
    row->ready = true;
}

/* The odds of a class, which the arrays have but for their logarithms. */
GURN_DEVICE gurn_odds law_odds_of(const law_row &row, const law_arrays &arrays, double held, int32_t c) {
    double p = arrays.p[c], q = arrays.q[c];
    gurn_odds odds = {(held - row.tilt.largest) + row.tilt.shift, p, q, arrays.low[c], s_log_without(p < q ? p : q)};
    if (row.fixed) odds.lambda = p > q ? INFINITY : -INFINITY;
    return odds;
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
