/*
 * The law itself on a GPU: log-probabilities, moments, divergence and mode (law.h; the work mapping is in law.cuh,
 * mathematics in moments.h, log_prob.h, mode.h). One kernel an operation; law_merged.cu has the log-probability of the
 * merged chain.
 */
#include "law.cuh"
#include "mode.h"

#define LAW_SCRATCH(scratch) GURN_SHARED(scratch, double[2 * GURN_WARP * GURN_LAW_WARPS])

GURN_DEVICE void take_own(const law_call &call, law_row *row, const law_arrays &arrays, bool with_mean, bool with_zc,
                          double *scratch, int64_t b) {
    law_take(call, row, arrays.p, arrays.q, with_mean ? arrays.mean : NULL, with_zc ? arrays.zc : NULL, scratch,
             call.job.in.log_omega, call.job.in.log_omega_stride, b);
}

/* ---------------------------------------------------------------------------------------------- log-probability --- */

/* Threads stride the places of the plan's order, whose tables they read at x. */
static __global__ void law_log_prob(law_call call) {
    LAW_SCRATCH(scratch);
    law_arrays arrays = law_team_arrays(call);
    law_row row = law_row_begin(call);
    const gurn_law_job &job = call.job;
    int32_t classes = call.view.classes;
    law_rows(call, [&](int64_t b, int64_t, bool) {
        take_own(call, &row, arrays, false, false, scratch, b);
        double sum = 0.0;
        for (int32_t i = threadIdx.x; !row.bad && i < classes; i += blockDim.x) {
            int32_t c = call.view.order[i];
            double x = gurn_real(job.x, job.dtype, b * classes + c);
            double log_omega = gurn_real(job.in.log_omega, job.dtype, b * job.in.log_omega_stride + c);
            double term = gurn_log_weight(call.view.steps[i].own.wide, law_class_size(call, c), x,
                                          gurn_law_log2_omega(log_omega) * GURN_LN2);
            sum += isnan(x) ? NAN : term;
        }
        sum = law_sum(scratch, sum);
        if (threadIdx.x == 0) gurn_set_real(job.log_p, job.dtype, b, row.bad ? NAN : sum - row.log_norm);
    });
}

static __global__ void law_log_prob_backward(law_call call) {
    LAW_SCRATCH(scratch);
    law_arrays arrays = law_team_arrays(call);
    law_row row = law_row_begin(call);
    const gurn_law_job &job = call.job;
    int32_t classes = call.view.classes;
    law_rows(call, [&](int64_t b, int64_t run, bool first) {
        take_own(call, &row, arrays, true, false, scratch, b);
        law_gradient g = law_gradient_of(call, job.d_log_omega, call.sums, run, b, first);
        int outside = row.bad;
        for (int32_t c = threadIdx.x; c < classes; c += blockDim.x) {
            double x = gurn_real(job.x, job.dtype, b * classes + c);
            outside |= !(x > -1.0 && x < law_class_size(call, c) + 1.0);
        }
        outside = __syncthreads_or(outside);
        double up = gurn_real(job.upstream, job.dtype, b);
        for (int32_t c = threadIdx.x; c < classes; c += blockDim.x) {
            double x = gurn_real(job.x, job.dtype, b * classes + c);
            if (job.d_log_omega) law_put(g, c, outside ? NAN : up * (x - arrays.mean[c]));
            if (!job.d_x) continue;
            double log_omega = gurn_real(job.in.log_omega, job.dtype, b * job.in.log_omega_stride + c), dx = NAN;
            if (!outside)
                dx = up * gurn_log_weight_dx(law_class_size(call, c), x, gurn_law_log2_omega(log_omega) * GURN_LN2);
            gurn_set_real(job.d_x, job.dtype, b * classes + c, dx);
        }
    });
}

/* ------------------------------------------------------------------------------------------------------ moments --- */

/* E_w v_c of this lane's node, not yet summed over nodes; and E_w v'_c. */
GURN_DEVICE double node_v(const law_row &row, double m, double p, double q, gurn_complex *v, double *third) {
    gurn_complex v_third;
    *v = gurn_node_v(row.node, m, p, q, &v_third);
    *third = gurn_complex_dot(row.weight, v_third);
    return gurn_complex_dot(row.weight, *v);
}

/*
 * cov_jl for l <= j: a warp takes a class j, walks the classes l before it, and writes 32 of them at a time, to both
 * sides of the diagonal.
 */
GURN_DEVICE void write_covariance(const law_call &call, const law_row &row, const law_arrays &arrays, int64_t b) {
    const gurn_law_job &job = call.job;
    int32_t classes = call.view.classes;
    int64_t begin = b * classes * (int64_t)classes;
    int lane = gurn_lane();
    for (int32_t j = law_warp(); j < classes; j += law_warps()) {
        double m = law_class_size(call, j), value = 0.0, third;
        gurn_complex v, own = gurn_complex_mul(row.weight, arrays.zc[(int64_t)j * NODES + lane]);
        double variance = gurn_tile_sum<GURN_WARP>(node_v(row, m, arrays.p[j], arrays.q[j], &v, &third));
        for (int32_t l = 0; l <= j; l++) {
            gurn_complex other = arrays.zc[(int64_t)l * NODES + lane];
            double sum = gurn_tile_sum<GURN_WARP>(gurn_complex_dot(own, other));
            if (l == j) {
                sum += variance;
                sum = sum < 0.0 ? 0.0 : sum;
            }
            if (lane == l % GURN_WARP) value = sum;
            if (l % GURN_WARP != GURN_WARP - 1 && l != j) continue;
            int32_t at = l - l % GURN_WARP + lane;
            if (at > l) continue;
            gurn_set_real(job.moments.covariance, job.dtype, begin + (int64_t)j * classes + at, value);
            gurn_set_real(job.moments.covariance, job.dtype, begin + (int64_t)at * classes + j, value);
        }
    }
}

static __global__ void law_moments(law_call call) {
    LAW_SCRATCH(scratch);
    law_arrays arrays = law_team_arrays(call);
    law_row row = law_row_begin(call);
    const gurn_law_job &job = call.job;
    int64_t classes = call.view.classes;
    law_rows(call, [&](int64_t b, int64_t, bool) {
        take_own(call, &row, arrays, job.moments.mean || job.moments.covariance, job.moments.covariance != NULL,
                 scratch, b);
        if (job.moments.log_norm && threadIdx.x == 0)
            gurn_set_real(job.moments.log_norm, job.dtype, b, row.bad ? NAN : row.log_norm);
        for (int64_t c = threadIdx.x; job.moments.mean && c < classes; c += blockDim.x)
            gurn_set_real(job.moments.mean, job.dtype, b * classes + c, row.bad ? NAN : arrays.mean[c]);
        if (!job.moments.covariance) return;
        if (!row.bad) {
            write_covariance(call, row, arrays, b);
            return;
        }
        for (int64_t i = threadIdx.x; i < classes * classes; i += blockDim.x)
            gurn_set_real(job.moments.covariance, job.dtype, b * classes * classes + i, NAN);
    });
}

/* At this lane's node: w times sum_c d(c) z_c, centred, d(c) the upstream gradient of a mean. */
template <class Upstream>
GURN_DEVICE gurn_complex pulled_nodes(const law_call &call, const law_row &row, const law_arrays &arrays,
                                      double *scratch, Upstream d) {
    gurn_complex sum = {0.0, 0.0};
    for (int32_t c = law_warp(); c < call.view.classes; c += law_warps()) {
        double m = law_class_size(call, c);
        if (m > 0.0) law_add(&sum, gurn_node_z(row.node, m, arrays.p[c], arrays.q[c]), d(c));
    }
    sum = law_sum_nodes(scratch, sum);
    double centre = gurn_tile_sum<GURN_WARP>(gurn_complex_dot(row.weight, sum));
    return gurn_node_centred(row.weight, sum, centre);
}
/* (cov d)_c from it. */
GURN_DEVICE double cov_times(const law_call &call, const law_row &row, const law_arrays &arrays, gurn_complex pulled,
                             int32_t c, double d) {
    double m = law_class_size(call, c), p = arrays.p[c], q = arrays.q[c], third;
    gurn_complex v, z = gurn_node_z(row.node, m, p, q);
    double sum = gurn_complex_dot(pulled, z) + d * node_v(row, m, p, q, &v, &third);
    return m > 0.0 ? gurn_tile_sum<GURN_WARP>(sum) : 0.0;
}

/*
 * The third cumulants' part (moments.h): part[a] = E_w [v_a h_a + G_aa v'_a], and at this lane's node w times s,
 * centred. A warp takes a class a, its lanes read G_aj + G_ja for the same j.
 */
GURN_DEVICE gurn_complex third_nodes(const law_call &call, const law_row &row, const law_arrays &arrays,
                                     double *scratch, int64_t b) {
    const gurn_law_job &job = call.job;
    int64_t classes = call.view.classes, begin = b * classes * classes;
    int lane = gurn_lane();
    gurn_complex sum = {0.0, 0.0};
    for (int64_t a = law_warp(); a < classes; a += law_warps()) {
        double m = law_class_size(call, (int32_t)a), third;
        if (m == 0.0) continue;
        gurn_complex h = {0.0, 0.0}, v;
        for (int64_t j = 0; j < classes; j++) {
            double weight = gurn_real(job.moments.covariance, job.dtype, begin + a * classes + j) +
                            gurn_real(job.moments.covariance, job.dtype, begin + j * classes + a);
            law_add(&h, arrays.zc[j * NODES + lane], weight);
        }
        double own = gurn_real(job.moments.covariance, job.dtype, begin + a * classes + a);
        node_v(row, m, arrays.p[a], arrays.q[a], &v, &third);
        law_add(&sum, gurn_complex_mul(arrays.zc[a * NODES + lane], h), 0.5);
        law_add(&sum, v, own);
        third = gurn_tile_sum<GURN_WARP>(gurn_complex_dot(row.weight, gurn_complex_mul(v, h)) + own * third);
        if (lane == 0) arrays.part[a] = third;
    }
    sum = law_sum_nodes(scratch, sum);
    double centre = gurn_tile_sum<GURN_WARP>(gurn_complex_dot(row.weight, sum));
    __syncthreads();
    return gurn_node_centred(row.weight, sum, centre);
}

static __global__ void law_moments_backward(law_call call) {
    LAW_SCRATCH(scratch);
    law_arrays arrays = law_team_arrays(call);
    law_row row = law_row_begin(call);
    const gurn_law_job &job = call.job;
    int32_t classes = call.view.classes;
    bool third = job.moments.covariance != NULL;
    law_rows(call, [&](int64_t b, int64_t run, bool first) {
        take_own(call, &row, arrays, true, third, scratch, b);
        law_gradient g = law_gradient_of(call, job.d_log_omega, call.sums, run, b, first);
        const auto d_mean = [&](int32_t c) {
            return job.moments.mean ? gurn_real(job.moments.mean, job.dtype, b * classes + c) : 0.0;
        };
        double up = job.moments.log_norm ? gurn_real(job.moments.log_norm, job.dtype, b) : 0.0;
        gurn_complex pulled = {0.0, 0.0}, s = {0.0, 0.0};
        if (job.moments.mean && !row.bad) pulled = pulled_nodes(call, row, arrays, scratch, d_mean);
        if (third && !row.bad) s = third_nodes(call, row, arrays, scratch, b);
        for (int32_t c = law_warp(); c < classes; c += law_warps()) {
            double sum = NAN;
            if (!row.bad) {
                sum = up * arrays.mean[c];
                if (job.moments.mean) sum += cov_times(call, row, arrays, pulled, c, d_mean(c));
                if (third && law_class_size(call, c) > 0.0)
                    sum += arrays.part[c] +
                           gurn_tile_sum<GURN_WARP>(gurn_complex_dot(s, arrays.zc[(int64_t)c * NODES + gurn_lane()]));
            }
            if (gurn_lane() == 0) law_put(g, c, sum);
        }
        __syncthreads(); /* part is read */
    });
}

/* --------------------------------------------------------------------------------------------------- divergence --- */

/* Forward and backward in one: kl where it is not NULL, gradients where they are wanted. */
static __global__ void law_kl(law_call call) {
    LAW_SCRATCH(scratch);
    law_arrays arrays = law_team_arrays(call);
    law_row row = law_row_begin(call), other = row;
    const gurn_law_job &job = call.job;
    int32_t classes = call.view.classes;
    law_rows(call, [&](int64_t b, int64_t run, bool first) {
#ifdef __CUDACC__
#pragma unroll 1
#endif
        for (int k = 1; k >= 0; k--) { /* the other law first: of it only log_norm and means are used */
            law_row one = k ? other : row;
            law_take(call, &one, k ? arrays.other_p : arrays.p, k ? arrays.other_q : arrays.q,
                     k ? arrays.other_mean : arrays.mean, NULL, scratch, k ? job.other : job.in.log_omega,
                     k ? job.other_stride : job.in.log_omega_stride, b);
            (k ? other : row) = one;
        }
        bool bad = row.bad || other.bad;
        const auto pull = [&](int32_t c) {
            double a = gurn_real(job.in.log_omega, job.dtype, b * job.in.log_omega_stride + c);
            double a_other = gurn_real(job.other, job.dtype, b * job.other_stride + c);
            return (gurn_law_log2_omega(a) - gurn_law_log2_omega(a_other)) * GURN_LN2;
        };
        if (job.kl) {
            double sum = 0.0;
            for (int32_t c = threadIdx.x; !bad && c < classes; c += blockDim.x)
                if (law_class_size(call, c) > 0.0) sum += arrays.mean[c] * pull(c);
            double kl = law_sum(scratch, sum) + (other.log_norm - row.log_norm);
            if (row.fixed || kl < 0.0) kl = 0.0;
            if (threadIdx.x == 0) gurn_set_real(job.kl, job.dtype, b, bad ? NAN : kl);
            return;
        }
        double up = gurn_real(job.upstream, job.dtype, b);
        law_gradient g = law_gradient_of(call, job.d_log_omega, call.sums, run, b, first);
        law_gradient g_other = law_gradient_of(call, job.d_other, call.other_sums, run, b, first);
        if (job.d_log_omega) {
            gurn_complex pulled = {0.0, 0.0};
            if (!bad) pulled = pulled_nodes(call, row, arrays, scratch, pull);
            for (int32_t c = law_warp(); c < classes; c += law_warps()) {
                double sum = NAN;
                if (!bad) sum = up * cov_times(call, row, arrays, pulled, c, pull(c));
                if (gurn_lane() == 0) law_put(g, c, sum);
            }
        }
        for (int32_t c = threadIdx.x; job.d_other && c < classes; c += blockDim.x)
            law_put(g_other, c, bad ? NAN : up * (arrays.other_mean[c] - arrays.mean[c]));
    });
}

/* --------------------------------------------------------------------------------------------------------- mode --- */

static __global__ void law_mode(law_call call) {
    LAW_SCRATCH(scratch);
    const gurn_law_job &job = call.job;
    int32_t classes = call.view.classes;
    double total = law_row_begin(call).total;
    law_rows(call, [&](int64_t b, int64_t, bool) {
        int32_t n = gurn_row_n(&job.in, b), *x = job.mode + b * classes;
        int64_t at = b * job.in.log_omega_stride;
        if (n < 0 || n > job.n_max || !law_finite(job.in.log_omega, job.dtype, at, classes)) {
            for (int32_t c = threadIdx.x; c < classes; c += blockDim.x) x[c] = -1;
            return;
        }
        const auto a = [&](int32_t c) { return gurn_law_log2_omega(gurn_real(job.in.log_omega, job.dtype, at + c)); };
        const auto m = [&](int32_t c) { return law_class_size(call, c); };
        gurn_tilt_range range = gurn_warp_tilt_range(classes, total, a, m);
        gurn_mode_bracket bracket = gurn_mode_begin(range.min, range.max);
        for (double t; gurn_mode_next(bracket, &t);) {
            double count = 0.0; /* of whole numbers below 2^27: exact */
            for (int32_t c = threadIdx.x; c < classes; c += blockDim.x) count += gurn_mode_count(m(c), a(c), t);
            bracket = gurn_mode_narrow(bracket, t, (int64_t)law_sum(scratch, count), n);
        }
        double count = 0.0;
        for (int32_t c = threadIdx.x; c < classes; c += blockDim.x) count += gurn_mode_count(m(c), a(c), bracket.low);
        int32_t missing = n - (int32_t)law_sum(scratch, count);
        if (law_warp() > 0) return;
        for (int32_t begin = 0; begin < classes; begin += GURN_WARP) { /* balls that tie, from lower classes */
            int32_t c = begin + gurn_lane(), sure = 0, more = 0;
            if (c < classes) {
                sure = gurn_mode_count(m(c), a(c), bracket.low);
                more = gurn_mode_count(m(c), a(c), bracket.high) - sure;
            }
            int32_t left = missing - gurn_tile_sum_before<GURN_WARP>(more);
            if (c < classes) x[c] = sure + (left < 0 ? 0 : left < more ? left : more);
            missing -= gurn_tile_sum<GURN_WARP>(more);
        }
    });
}

/* ----------------------------------------------------------------------------------- gradients summed over rows --- */

/* out[c] = sum over runs: a warp a class; its lanes stride the runs, then a butterfly. */
static __global__ void law_add_runs(const double *sums, int64_t runs, int32_t classes, gurn_dtype dtype, void *out) {
    for (int64_t c = blockIdx.x; c < classes; c += gridDim.x) {
        double sum = 0.0;
        for (int64_t run = gurn_lane(); run < runs; run += GURN_WARP) sum += sums[run * classes + c];
        sum = gurn_tile_sum<GURN_WARP>(sum);
        if (gurn_lane() == 0) gurn_set_real(out, dtype, c, sum);
    }
}

/* ---------------------------------------------------------------------------------------------------- launchers --- */

static bool two_laws(const gurn_law_job *job) { return job->op == GURN_OP_KL || job->op == GURN_OP_KL_BACKWARD; }

/*
 * Runs of a gradient that is summed over rows: more and shorter than on a CPU, to occupy a GPU; few where there are
 * many classes.
 */
static int64_t runs_of(const gurn_law_job *job) {
    return job->view->classes <= 4096 ? 16 * (int64_t)GURN_LAW_RUNS : GURN_LAW_RUNS;
}

static size_t rounded_up(size_t bytes) { return (bytes + 255) & ~(size_t)255; }

/* Lays the workspace out: the call's order, sums of runs, teams. Returns its size. call may be NULL. */
static size_t lay_out(const gurn_law_job *job, law_call *call) {
    int64_t classes = job->view->classes, rows = job->in.rows, teams = GURN_LAW_TEAMS / law_warps_of(job);
    bool shared = job->d_log_omega && job->in.log_omega_stride == 0;
    bool other_shared = job->d_other && job->other_stride == 0;
    bool order =
        job->chain == GURN_CHAIN_MERGED && (job->op == GURN_OP_LOG_PROB || job->op == GURN_OP_LOG_PROB_BACKWARD);
    size_t order_bytes = order ? rounded_up((size_t)classes * sizeof(int32_t)) : 0;
    size_t sums_bytes = rounded_up((size_t)(runs_of(job) * classes) * sizeof(double));
    size_t at = order_bytes + (size_t)(shared + other_shared) * sums_bytes;
    int64_t team_size = classes * law_team_doubles(law_wants_covariance(job), two_laws(job));
    team_size += team_size % 2; /* complex numbers are aligned */
    int64_t fit = GURN_LAW_BYTES / (int64_t)sizeof(double) / team_size;
    if (teams > fit) teams = fit > 0 ? fit : 1;
    if (teams > rows) teams = rows;
    if (call) {
        char *workspace = (char *)job->workspace;
        call->order = order && !job->plan_order ? (const int32_t *)workspace : job->view->order;
        call->sums = shared ? (double *)(workspace + order_bytes) : NULL;
        call->other_sums = other_shared ? (double *)(workspace + order_bytes + (shared ? sums_bytes : 0)) : NULL;
        call->teams = (double *)(workspace + at);
        call->team_size = team_size;
        call->runs = shared || other_shared ? runs_of(job) : teams;
        if (call->runs > rows) call->runs = rows;
        call->team_count = call->runs < teams ? call->runs : teams;
    }
    return at + (size_t)(teams * team_size) * sizeof(double);
}

size_t gurn_cuda_law_workspace(const gurn_law_job *job) { return lay_out(job, NULL); }

static cudaError_t add_runs(const law_call &call, const double *sums, void *out, cudaStream_t stream) {
    cudaLaunchConfig_t config = {};
    config.gridDim = dim3((unsigned)(call.view.classes < GURN_LAW_TEAMS ? call.view.classes : GURN_LAW_TEAMS));
    config.blockDim = dim3(GURN_WARP);
    config.stream = stream;
    return cudaLaunchKernelEx(&config, law_add_runs, sums, call.runs, call.view.classes, call.job.dtype, out);
}

cudaError_t gurn_cuda_law_launch(const gurn_law_job *job, cudaStream_t stream) {
    law_call call = {};
    lay_out(job, &call);
    call.job = *job;
    call.view = *job->view;
    cudaError_t error = cudaSuccess;
    bool merged = job->chain == GURN_CHAIN_MERGED;
    if (call.order != job->view->order)
        error = gurn_cuda_put_order(job->in.order, call.view.classes, const_cast<int32_t *>(call.order), stream);
    if (error != cudaSuccess) return error;
    switch (job->op) {
        case GURN_OP_LOG_PROB:
            error = merged ? gurn_cuda_law_launch_merged(&call, stream) : law_launch(call, law_log_prob, stream);
            break;
        case GURN_OP_LOG_PROB_BACKWARD:
            error =
                merged ? gurn_cuda_law_launch_merged(&call, stream) : law_launch(call, law_log_prob_backward, stream);
            break;
        case GURN_OP_MOMENTS: error = law_launch(call, law_moments, stream); break;
        case GURN_OP_MOMENTS_BACKWARD: error = law_launch(call, law_moments_backward, stream); break;
        case GURN_OP_KL:
        case GURN_OP_KL_BACKWARD: error = law_launch(call, law_kl, stream); break;
        case GURN_OP_MODE: error = law_launch(call, law_mode, stream); break;
    }
    if (error == cudaSuccess && call.sums) error = add_runs(call, call.sums, job->d_log_omega, stream);
    if (error == cudaSuccess && call.other_sums) error = add_runs(call, call.other_sums, job->d_other, stream);
    return error;
}
