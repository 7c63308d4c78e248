/*
 * Log-probability under the merged chain on a GPU, and its gradients (mathematics in log_prob.h, mvhg.h; teams in
 * law.cuh).
 *
 * A row in three parts. The first warp walks the places from last to first for the log odds, as the sampler does, and
 * from first to last for what is left to draw. All threads stride the places: each sums the supports of its own, O(sqrt
 * m) terms outwards from the mode. Then, backward, the first warp passes gradients from place to place. Arrays of the
 * team, by place: p the log odds, q what is left, later d/dn; mean d/dx; part d/d log omega.
 */
#include "law.cuh"

/*
 * The urn of a row by place (log_prob.h): balls into m, those of later places into low, log odds into p. Neighbouring
 * lanes are neighbouring places, and every lane adds up the rest. The answer of the warp: whether some class of omega 0 has an
 * x that is not 0.
 */
GURN_DEVICE bool merged_lambdas(const law_call &call, const law_arrays &arrays, int64_t b, double largest) {
    const gurn_law_job &job = call.job;
    int32_t classes = call.view.classes;
    gurn_merged_rest rest = gurn_merged_rest_begin();
    bool outside = false;
    for (int32_t begin = (classes - 1) / GURN_WARP * GURN_WARP; begin >= 0; begin -= GURN_WARP) {
        int32_t i = begin + gurn_lane();
        double held = 0.0, m = 0.0;
        gurn_merged_rest mine = rest;
        if (i < classes) {
            int32_t c = call.order[i];
            double log_omega = gurn_real(job.in.log_omega, job.dtype, b * job.in.log_omega_stride + c);
            bool zero = gurn_omega_is_zero(log_omega);
            held = gurn_law_held(log_omega, gurn_law_tilt_at(largest));
            if (!zero) m = (double)call.view.steps[i].m;
            outside |= zero && gurn_real(job.x, job.dtype, b * classes + c) != 0.0;
        }
        for (int t = GURN_WARP - 1; t >= 0; t--) {
            if (t == gurn_lane()) mine = rest;
            double next = gurn_tile_from<GURN_WARP>(held, t);
            gurn_merged_rest_add(&rest, gurn_tile_from<GURN_WARP>(m, t), next);
        }
        if (i >= classes) continue;
        arrays.m[i] = m;
        arrays.low[i] = mine.balls;
        arrays.p[i] = gurn_merged_law_lambda(held, mine);
    }
    return gurn_warp_any(outside);
}

/* n of every place, what earlier ones leave; true if some count is NaN. */
GURN_DEVICE bool merged_left(const law_call &call, int64_t b, int32_t n, double *left) {
    const gurn_law_job &job = call.job;
    int32_t classes = call.view.classes;
    double now = n;
    for (int32_t begin = 0; begin < classes; begin += GURN_WARP) {
        int32_t i = begin + gurn_lane();
        double x = i < classes ? gurn_real(job.x, job.dtype, b * classes + call.order[i]) : 0.0;
        double before = gurn_tile_sum_before<GURN_WARP>(x);
        if (i < classes) left[i] = now - before;
        now -= gurn_tile_sum<GURN_WARP>(x);
    }
    return isnan(now);
}

/*
 * Parts one and two of a row. Returns whether it is bad; each thread's share of log p, and whether some count is
 * outside.
 */
struct merged_row {
    double log_p;
    bool bad, outside;
};
GURN_DEVICE merged_row merged_places(const law_call &call, const law_arrays &arrays, int64_t b, bool backward) {
    const gurn_law_job &job = call.job;
    int32_t n = gurn_row_n(&job.in, b), classes = call.view.classes;
    law_urn urn = law_urn_of(call, law_omega_of(call, job.in.log_omega, job.in.log_omega_stride, b));
    int bad = urn.bad || n < 0 || n > job.n_max || (double)n > urn.total, outside = 0;
    __syncthreads(); /* the row before has been read */
    if (!bad && law_warp() == 0) {
        outside = merged_lambdas(call, arrays, b, urn.largest);
        bad = merged_left(call, b, n, arrays.q);
    }
    merged_row row = {0.0, __syncthreads_or(bad) != 0, false};
    if (__syncthreads_or(outside)) {
        row.outside = true;
        row.log_p = -INFINITY;
        return row;
    }
    for (int32_t i = threadIdx.x; !row.bad && i < classes; i += blockDim.x) {
        gurn_merged_term t = {0.0, 0.0, 0.0, 0.0};
        double x = gurn_real(job.x, job.dtype, b * classes + call.order[i]);
        if (arrays.low[i] > 0.0) t = gurn_merged_log_p(arrays.m[i], arrays.low[i], arrays.p[i], arrays.q[i], x);
        row.log_p += t.log_p;
        row.outside |= t.log_p == -INFINITY;
        if (!backward) continue;
        arrays.part[i] = t.dlog_omega;
        arrays.mean[i] = t.dx;
        arrays.q[i] = t.dn;
    }
    return row;
}

static __global__ void law_merged_log_prob(law_call call) {
    GURN_SHARED(scratch, double[GURN_LAW_WARPS]);
    law_arrays arrays = law_team_arrays(call);
    law_rows(call, [&](int64_t b, int64_t, bool) {
        merged_row row = merged_places(call, arrays, b, false);
        double log_p = law_sum(scratch, row.log_p);
        if (threadIdx.x == 0) gurn_set_real(call.job.log_p, call.job.dtype, b, row.bad ? NAN : log_p);
    });
}

/*
 * d log omega: what the places send on to the later ones (mvhg.h), 32 places at a time, each lane adding up all of it.
 */
GURN_DEVICE void merged_pass_omega(const law_call &call, const law_arrays &arrays, const law_gradient &g, double up) {
    int32_t classes = call.view.classes;
    double passed = 0.0;
    for (int32_t begin = 0; begin < classes; begin += GURN_WARP) {
        int32_t i = begin + gurn_lane();
        double own = 0.0, share = 0.0, before = 0.0;
        if (i < classes) {
            own = up * arrays.part[i];
            share = gurn_merged_law_share(arrays.m[i], arrays.low[i], arrays.p[i]);
        }
        for (int t = 0; t < GURN_WARP; t++) {
            if (t == gurn_lane()) before = passed;
            double its_share = gurn_tile_from<GURN_WARP>(share, t), its_own = gurn_tile_from<GURN_WARP>(own, t);
            passed = passed * (1.0 - its_share) + its_own;
        }
        if (i < classes) law_put(g, call.order[i], own - before * share);
    }
}

/* d x: n of the later places falls by it. */
GURN_DEVICE void merged_pass_x(const law_call &call, const law_arrays &arrays, int64_t b, double up) {
    int32_t classes = call.view.classes;
    double later = 0.0;
    for (int32_t begin = 0; begin < classes; begin += GURN_WARP) {
        int32_t i = classes - 1 - begin - gurn_lane();
        double dn = i >= 0 ? arrays.q[i] : 0.0;
        double tail = later + gurn_tile_sum_before<GURN_WARP>(dn);
        if (i >= 0) {
            const gurn_law_job &job = call.job;
            int32_t c = call.order[i];
            bool zero = gurn_omega_is_zero(gurn_real(job.in.log_omega, job.dtype, b * job.in.log_omega_stride + c));
            gurn_set_real(job.d_x, job.dtype, b * classes + c, zero ? 0.0 : up * (arrays.mean[i] - tail));
        }
        later += gurn_tile_sum<GURN_WARP>(dn);
    }
}

static __global__ void law_merged_backward(law_call call) {
    law_arrays arrays = law_team_arrays(call);
    const gurn_law_job &job = call.job;
    int32_t classes = call.view.classes;
    law_rows(call, [&](int64_t b, int64_t run, bool first) {
        merged_row row = merged_places(call, arrays, b, true);
        law_gradient g = law_gradient_of(call, job.d_log_omega, call.sums, run, b, first);
        int nothing = __syncthreads_or(row.bad || row.outside);
        if (law_warp() > 0) return;
        if (!nothing) {
            double up = gurn_real(job.upstream, job.dtype, b);
            if (job.d_log_omega) merged_pass_omega(call, arrays, g, up);
            if (job.d_x) merged_pass_x(call, arrays, b, up);
            return;
        }
        for (int32_t i = gurn_lane(); i < classes;
             i += GURN_WARP) { /* by place, as above: each lane adds to its own sums */
            if (job.d_log_omega) law_put(g, call.order[i], NAN);
            if (job.d_x) gurn_set_real(job.d_x, job.dtype, b * classes + i, NAN);
        }
    });
}

cudaError_t gurn_cuda_load_law_merged(void) { return gurn_load(law_merged_log_prob, law_merged_backward); }

cudaError_t gurn_cuda_law_launch_merged(const void *of_call, cudaStream_t stream) {
    const law_call &call = *static_cast<const law_call *>(of_call);
    if (call.job.op == GURN_OP_LOG_PROB) return law_launch(call, law_merged_log_prob, stream);
    return law_launch(call, law_merged_backward, stream);
}
