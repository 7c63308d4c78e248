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
    law_take(call, row, arrays, with_mean, with_zc ? arrays.zc : NULL, scratch, call.job.in.log_omega,
             call.job.in.log_omega_stride, b);
}

/* ---------------------------------------------------------------------------------------------- log-probability --- */

/* Threads stride the classes. */
static __global__ void law_log_prob(law_call call) {
    LAW_SCRATCH(scratch);
    law_arrays arrays = law_team_arrays(call);
    law_row row = law_row_begin();
    const gurn_law_job &job = call.job;
    int32_t classes = call.view.classes;
    law_rows(call, [&](int64_t b, int64_t, bool) {
        take_own(call, &row, arrays, false, false, scratch, b);
        gurn_law_point law = {row.tilt, (double)row.n, row.log_q, row.certain, row.fixed, row.log_norm};
        gurn_log_prob_sum sum = {};
        int outside = 0, nothing = row.bad;
        for (int32_t c = threadIdx.x; !row.bad && c < classes; c += blockDim.x) {
            double x = gurn_real(job.x, job.dtype, b * classes + c), m = arrays.m[c];
            double log_omega = gurn_real(job.in.log_omega, job.dtype, b * job.in.log_omega_stride + c);
            double held = gurn_law_held(log_omega, row.tilt);
            nothing |= isnan(x) != 0;
            outside |= gurn_log_prob_add(&sum, &law, m, gurn_omega_is_zero(log_omega), x, held,
                                         law_odds_of(row, arrays, held, c), gurn_certain_count(m, row.n, row.total));
        }
        nothing = __syncthreads_or(nothing);
        outside = __syncthreads_or(outside);
        sum.real = __syncthreads_or(sum.real);
        sum.other = __syncthreads_or(sum.other);
        sum.log_p = law_sum_pair(scratch, sum.log_p);
        sum.counts = law_sum_pair(scratch, sum.counts);
        double log_p = nothing ? NAN : outside ? -INFINITY : gurn_log_prob_value(sum, &law);
        if (threadIdx.x == 0) gurn_set_real(job.log_p, job.dtype, b, log_p);
    });
}

static __global__ void law_log_prob_backward(law_call call) {
    LAW_SCRATCH(scratch);
    law_arrays arrays = law_team_arrays(call);
    law_row row = law_row_begin();
    const gurn_law_job &job = call.job;
    int32_t classes = call.view.classes;
    law_rows(call, [&](int64_t b, int64_t run, bool first) {
        take_own(call, &row, arrays, true, false, scratch, b);
        law_gradient g = law_gradient_of(call, job.d_log_omega, call.sums, run, b, first);
        int outside = row.bad;
        const auto log_omega = [&](int32_t c) {
            return gurn_real(job.in.log_omega, job.dtype, b * job.in.log_omega_stride + c);
        };
        for (int32_t c = threadIdx.x; !row.bad && c < classes; c += blockDim.x) {
            double x = gurn_real(job.x, job.dtype, b * classes + c);
            outside |= gurn_omega_is_zero(log_omega(c)) ? x != 0.0 : !(x > -1.0 && x < arrays.m[c] + 1.0);
        }
        outside = __syncthreads_or(outside);
        double up = gurn_real(job.upstream, job.dtype, b);
        for (int32_t c = threadIdx.x; c < classes; c += blockDim.x) {
            double d_omega = NAN, d_x = NAN;
            if (!outside) {
                double x = gurn_real(job.x, job.dtype, b * classes + c), m = arrays.m[c];
                double held = gurn_law_held(log_omega(c), row.tilt);
                double above = row.certain || m == 0.0
                                   ? x - arrays.mean[c]
                                   : gurn_count_above(m, x, law_odds_of(row, arrays, held, c)) - arrays.moved[c];
                d_omega = up * above;
                d_x = gurn_omega_is_zero(log_omega(c)) || !job.d_x
                          ? up * 0.0
                          : up * (gurn_log_weight_dx(m, x, held) + row.tilt.base);
            }
            if (job.d_log_omega) law_put(g, c, d_omega);
            if (job.d_x) gurn_set_real(job.d_x, job.dtype, b * classes + c, d_x);
        }
    });
}

/* ------------------------------------------------------------------------------------------------------ moments --- */

/* cov_jj */
GURN_DEVICE double cov_own(const law_row &row, const law_arrays &arrays, int32_t j, gurn_complex zc) {
    gurn_complex others = row.others, own = gurn_complex_mul(row.weight, zc);
    if (!law_is_largest(row, arrays.m[j], arrays.p[j], arrays.q[j])) {
        law_add(&others, zc, -1.0);
        law_add(&others, row.largest, 1.0);
    }
    return -gurn_tile_sum<GURN_WARP>(gurn_complex_dot(own, others));
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
        double value = 0.0;
        gurn_complex zc = arrays.zc[(int64_t)j * NODES + lane], own = gurn_complex_mul(row.weight, zc);
        for (int32_t l = 0; l <= j; l++) {
            gurn_complex other = arrays.zc[(int64_t)l * NODES + lane];
            double sum = gurn_tile_sum<GURN_WARP>(gurn_complex_dot(own, other)); /* signs are certain */
            sum = sum > 0.0 ? 0.0 : sum;
            if (l == j) {
                sum = cov_own(row, arrays, j, zc);
                sum = sum < 0.0 ? 0.0 : sum;
            }
            if (row.certain) sum = 0.0;
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
    law_row row = law_row_begin();
    const gurn_law_job &job = call.job;
    int64_t classes = call.view.classes;
    law_rows(call, [&](int64_t b, int64_t, bool) {
        take_own(call, &row, arrays, job.moments.mean || job.moments.covariance, job.moments.covariance != NULL,
                 scratch, b);
        if (job.moments.log_norm && threadIdx.x == 0)
            gurn_set_real(job.moments.log_norm, job.dtype, b,
                          row.bad ? NAN : fma((double)row.n, row.tilt.base, row.log_norm));
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

/* d less its mean weighted by V, which is returned. d(c): what the covariance is multiplied by. */
template <class D>
GURN_DEVICE double middle_of(const law_call &call, const law_row &row, const law_arrays &arrays, double *scratch, D d) {
    double sum = 0.0;
    for (int32_t c = threadIdx.x; c < call.view.classes; c += blockDim.x)
        if (arrays.m[c] > 0.0) sum += arrays.m[c] * arrays.p[c] * arrays.q[c] * d(c);
    sum = law_sum(scratch, sum);
    return row.variance > 0.0 ? sum / row.variance : 0.0;
}

/* At this lane's node sum_c (d(c) - middle) zc_c; *centre: E_w sum_c (d(c) - middle) z_c. */
template <class D>
GURN_DEVICE gurn_complex pulled_nodes(const law_call &call, const law_row &row, const law_arrays &arrays,
                                      double *scratch, D d, double middle, double *centre) {
    gurn_complex sum = {0.0, 0.0};
    for (int32_t c = law_warp(); c < call.view.classes; c += law_warps()) {
        double m = arrays.m[c];
        if (m > 0.0) law_add(&sum, gurn_node_z(row.node, m, arrays.p[c], arrays.q[c]), d(c) - middle);
    }
    sum = law_sum_nodes(scratch, sum);
    *centre = gurn_tile_sum<GURN_WARP>(gurn_complex_dot(row.weight, sum));
    sum.re -= *centre;
    return sum;
}
/* (cov d)_c from it; above: d(c) - middle. */
GURN_DEVICE double cov_times(const law_row &row, const law_arrays &arrays, gurn_complex pulled, int32_t c,
                             double above) {
    double m = arrays.m[c];
    if (row.certain || m == 0.0) return 0.0;
    law_add(&pulled, row.others, -above);
    law_add(&pulled, row.largest, -above);
    gurn_complex z = gurn_complex_mul(row.weight, gurn_node_z(row.node, m, arrays.p[c], arrays.q[c]));
    return gurn_tile_sum<GURN_WARP>(gurn_complex_dot(z, pulled));
}

/*
 * The third cumulants' part (moments.h): part[a] = E_w v_a h_a, and at this lane's node s, centred. A warp takes a class a,
 * its lanes read H_aj for the same j.
 */
GURN_DEVICE gurn_complex third_nodes(const law_call &call, const law_row &row, const law_arrays &arrays,
                                     double *scratch, int64_t b) {
    const gurn_law_job &job = call.job;
    int64_t classes = call.view.classes, begin = b * classes * classes;
    int lane = gurn_lane();
    gurn_complex sum = {0.0, 0.0};
    const auto up = [&](int64_t j, int64_t l) {
        return gurn_real(job.moments.covariance, job.dtype, begin + j * classes + l);
    };
    for (int64_t a = law_warp(); a < classes; a += law_warps()) {
        double m = arrays.m[a], own = up(a, a);
        if (m == 0.0) continue;
        gurn_complex h = {0.0, 0.0};
        for (int64_t j = 0; j < classes; j++)
            law_add(&h, arrays.zc[j * NODES + lane], up(a, j) - own + (up(j, a) - up(j, j)));
        law_add(&sum, gurn_complex_mul(arrays.zc[a * NODES + lane], h), 0.5);
        gurn_complex v = gurn_complex_mul(row.weight, gurn_node_v(row.node, m, arrays.p[a], arrays.q[a]));
        double third = gurn_tile_sum<GURN_WARP>(gurn_complex_dot(v, h));
        if (lane == 0) arrays.part[a] = third;
    }
    sum = law_sum_nodes(scratch, sum);
    sum.re -= gurn_tile_sum<GURN_WARP>(gurn_complex_dot(row.weight, sum));
    __syncthreads();
    return sum;
}

static __global__ void law_moments_backward(law_call call) {
    LAW_SCRATCH(scratch);
    law_arrays arrays = law_team_arrays(call);
    law_row row = law_row_begin();
    const gurn_law_job &job = call.job;
    int32_t classes = call.view.classes;
    bool third = job.moments.covariance != NULL;
    law_rows(call, [&](int64_t b, int64_t run, bool first) {
        take_own(call, &row, arrays, true, third, scratch, b);
        law_gradient g = law_gradient_of(call, job.d_log_omega, call.sums, run, b, first);
        const auto d_mean = [&](int32_t c) {
            return job.moments.mean ? gurn_real(job.moments.mean, job.dtype, b * classes + c) : 0.0;
        };
        double up = job.moments.log_norm ? gurn_real(job.moments.log_norm, job.dtype, b) : 0.0, middle = 0.0, centre;
        gurn_complex pulled = {0.0, 0.0}, s = {0.0, 0.0};
        if (job.moments.mean && !row.bad) {
            middle = middle_of(call, row, arrays, scratch, d_mean);
            pulled = pulled_nodes(call, row, arrays, scratch, d_mean, middle, &centre);
        }
        if (third && !row.bad) s = gurn_complex_mul(row.weight, third_nodes(call, row, arrays, scratch, b));
        for (int32_t c = law_warp(); c < classes; c += law_warps()) {
            double sum = NAN;
            if (!row.bad) {
                sum = up * arrays.mean[c];
                if (job.moments.mean) sum += cov_times(row, arrays, pulled, c, d_mean(c) - middle);
                if (third && !row.certain && arrays.m[c] > 0.0)
                    sum += arrays.part[c] +
                           gurn_tile_sum<GURN_WARP>(gurn_complex_dot(s, arrays.zc[(int64_t)c * NODES + gurn_lane()]));
            }
            if (gurn_lane() == 0) law_put(g, c, sum);
        }
        __syncthreads(); /* part is read */
    });
}

/* --------------------------------------------------------------------------------------------------- divergence --- */

/* What is known of the other law of a divergence (kl.h), and of the pair of them. */
struct kl_pair {
    gurn_law_tilt tilt;
    double log_q, kl;
    int32_t n;
    bool bad, certain, compared; /* compared: holds what is to be known of (both omega shared, n) */
};

/*
 * The two laws of row b compared: the divergence, cov d into arrays.part, mean' - mean into other.part. The second law is
 * solved after the first; where both are close, it is replaced by those on the line between them.
 */
GURN_DEVICE void kl_compare(const law_call &call, law_row *row, kl_pair *pair, const law_arrays &arrays,
                            const law_arrays &other, double *scratch, int64_t b) {
    const gurn_law_job &job = call.job;
    int32_t classes = call.view.classes, n = gurn_row_n(&job.in, b);
    bool gradients = job.kl == NULL;
    pair->n = n;
    law_take(call, row, arrays, true, NULL, scratch, job.in.log_omega, job.in.log_omega_stride, b);
    law_omega to = law_omega_of(call, job.other, job.other_stride, b);
    law_omega from = law_omega_of(call, job.in.log_omega, job.in.log_omega_stride, b);
    law_row second = law_row_begin();
    bool line = false;
    int32_t steps = 1;
    gurn_pair kl = {0.0, 0.0};
    const auto held = [&](int32_t c) { return gurn_law_held(law_log_omega(from, c), row->tilt); };
    const auto other_held = [&](int32_t c) { return gurn_law_held(law_log_omega(to, c), pair->tilt); };
    const auto distance = [&](int32_t c) { return gurn_kl_distance(held(c), row->tilt, other_held(c), pair->tilt); };
    pair->bad = row->bad;
    pair->kl = 0.0;
    for (int32_t c = threadIdx.x; c < classes; c += blockDim.x) arrays.part[c] = other.part[c] = 0.0;
    if (row->bad) return;
#ifdef __CUDACC__
#pragma unroll 1
#endif
    for (int32_t i = 0; i < steps; i++) { /* 0: the other law; from 1 on, points on the line */
        law_omega omega = to;
        gurn_kl_point at = {0.0, 0.0};
        if (i > 0) {
            at = gurn_kl_point_of(i - 1, (steps - 1) / GURN_KL_POINTS);
            omega = from;
            omega.other = to.log_omega;
            omega.other_at = to.at;
            omega.s = at.s;
            omega.tilt = row->tilt;
            omega.other_tilt = pair->tilt;
        }
        law_solve(call, &second, other, i > 0 || gradients, NULL, scratch, omega, n);
        double centre;
        if (i > 0) {
            double middle = middle_of(call, second, other, scratch, distance);
            gurn_complex pulled = pulled_nodes(call, second, other, scratch, distance, middle, &centre);
            for (int32_t c = law_warp(); c < classes; c += law_warps()) {
                double d = arrays.m[c] > 0.0 ? distance(c) : 0.0;
                double product = cov_times(second, other, pulled, c, d - middle);
                if (gurn_lane() > 0) continue;
                gurn_sum_add(&kl, at.weight * (1.0 - at.s) * d * product);
                other.part[c] += at.weight * product;
            }
            __syncthreads();
            continue;
        }
        pair->bad = second.bad;
        pair->tilt = second.tilt;
        pair->log_q = second.log_q;
        pair->certain = second.certain;
        if (second.bad) return;
        int infinite = 0, different = 0;
        double least = INFINITY, least_of_minus = INFINITY;
        for (int32_t c = gurn_lane(); c < classes; c += GURN_WARP) {
            infinite |= arrays.m[c] > 0.0 && other.m[c] == 0.0;
            different |= arrays.m[c] != other.m[c];
            if (arrays.m[c] == 0.0 || other.m[c] == 0.0) continue;
            double d = distance(c);
            least = d < least ? d : least;
            least_of_minus = -d < least_of_minus ? -d : least_of_minus;
        }
        infinite = gurn_warp_any(infinite);
        different = gurn_warp_any(different);
        double spread = -gurn_tile_least<GURN_WARP>(least_of_minus) - gurn_tile_least<GURN_WARP>(least);
        if (!(spread > 0.0)) spread = 0.0;
        if (infinite && n > 0) {
            pair->kl = INFINITY;
            for (int32_t c = threadIdx.x; c < classes; c += blockDim.x) arrays.part[c] = other.part[c] = NAN;
        }
        if ((infinite && n > 0) || n == 0 || (!different && row->certain)) break;
        double middle = middle_of(call, *row, arrays, scratch, distance);
        gurn_complex pulled = pulled_nodes(call, *row, arrays, scratch, distance, middle, &centre);
        line = !different && spread <= GURN_KL_CLOSE;
        double shift = pair->tilt.shift - row->tilt.shift;
        if (!line) {
            gurn_pair sum = {0.0, 0.0}, change = sum;
            for (int32_t c = threadIdx.x; c < classes; c += blockDim.x) {
                if (other.m[c] == 0.0) continue;
                double m = arrays.m[c], d = m > 0.0 ? distance(c) : 0.0;
                gurn_odds odds = law_odds_of(*row, arrays, held(c), c);
                gurn_odds other_odds = law_odds_of(second, other, other_held(c), c);
                if (m == 0.0) odds.p = 0.0;
                gurn_sum_add(&sum, other.m[c] * gurn_bernoulli_divergence(odds, other_odds, d + shift));
                if (!gradients) continue; /* and the other's means have not been asked for */
                double moved = other.mean[c] - arrays.mean[c];
                if (!row->certain && !second.certain && m > 0.0)
                    moved = fma(m, gurn_odds_change(odds, other_odds, d + shift), other.moved[c] - arrays.moved[c]);
                if (!law_is_largest(*row, m, arrays.p[c], arrays.q[c])) gurn_sum_add(&change, moved);
                other.part[c] = moved;
            }
            sum = law_sum_pair(scratch, sum);
            if (!row->fixed) {
                gurn_sum_add(&sum, -centre);
                gurn_sum_add(&sum, -row->off * (middle + shift));
            }
            gurn_sum_add(&sum, pair->log_q);
            gurn_sum_add(&sum, -row->log_q);
            pair->kl = gurn_sum_value(sum);
            line = !different && pair->kl < GURN_KL_SMALL && spread <= GURN_KL_FAR;
            if (pair->kl < 0.0) pair->kl = 0.0;
            change = law_sum_pair(scratch, change); /* the changes sum to 0 */
            __syncthreads();
            for (int32_t c = threadIdx.x; c < classes && gradients && !row->certain && !second.certain; c += blockDim.x)
                if (law_is_largest(*row, arrays.m[c], arrays.p[c], arrays.q[c]))
                    other.part[c] = -gurn_sum_value(change);
        }
        for (int32_t c = law_warp(); gradients && c < classes; c += law_warps()) {
            double product = cov_times(*row, arrays, pulled, c, (arrays.m[c] > 0.0 ? distance(c) : 0.0) - middle);
            if (gurn_lane() == 0) arrays.part[c] = product;
        }
        if (!line) break;
        __syncthreads();
        for (int32_t c = threadIdx.x; c < classes; c += blockDim.x) other.part[c] = 0.0;
        pair->kl = 0.0;
        if (spread > 0.0) steps = 1 + GURN_KL_POINTS * gurn_kl_panels(spread);
    }
    if (steps > 1) {
        kl = law_sum_pair(scratch, kl);
        pair->kl = gurn_sum_value(kl);
        if (pair->kl < 0.0) pair->kl = 0.0;
    }
    __syncthreads();
}

/* Forward and backward in one: kl where it is not NULL, gradients where they are wanted. */
static __global__ void law_kl(law_call call) {
    LAW_SCRATCH(scratch);
    law_arrays arrays = law_team_arrays(call), other = law_team_arrays(call, 1);
    law_row row = law_row_begin();
    kl_pair pair = {};
    const gurn_law_job &job = call.job;
    int32_t classes = call.view.classes;
    bool shared = job.in.log_omega_stride == 0 && job.other_stride == 0;
    law_rows(call, [&](int64_t b, int64_t run, bool first) {
        if (!(shared && pair.compared && pair.n == gurn_row_n(&job.in, b)))
            kl_compare(call, &row, &pair, arrays, other, scratch, b);
        pair.compared = true;
        if (job.kl) {
            if (threadIdx.x == 0) gurn_set_real(job.kl, job.dtype, b, pair.bad ? NAN : pair.kl);
            return;
        }
        double up = gurn_real(job.upstream, job.dtype, b);
        law_gradient g = law_gradient_of(call, job.d_log_omega, call.sums, run, b, first);
        law_gradient g_other = law_gradient_of(call, job.d_other, call.other_sums, run, b, first);
        for (int32_t c = threadIdx.x; c < classes; c += blockDim.x) {
            if (job.d_log_omega) law_put(g, c, pair.bad ? NAN : up * (0.0 - arrays.part[c]));
            if (job.d_other) law_put(g_other, c, pair.bad ? NAN : up * other.part[c]);
        }
    });
}

/* --------------------------------------------------------------------------------------------------------- mode --- */

static __global__ void law_mode(law_call call) {
    LAW_SCRATCH(scratch);
    const gurn_law_job &job = call.job;
    int32_t classes = call.view.classes;
    law_rows(call, [&](int64_t b, int64_t, bool) {
        int32_t n = gurn_row_n(&job.in, b), *x = job.mode + b * classes;
        law_omega omega = law_omega_of(call, job.in.log_omega, job.in.log_omega_stride, b);
        law_urn urn = law_urn_of(call, omega);
        if (urn.bad || n < 0 || n > job.n_max || (double)n > urn.total) {
            for (int32_t c = threadIdx.x; c < classes; c += blockDim.x) x[c] = -1;
            return;
        }
        const auto a = [&](int32_t c) { return gurn_log2_omega(law_log_omega(omega, c), urn.largest); };
        const auto m = [&](int32_t c) { return law_size(call, omega, c); };
        gurn_tilt_range range = gurn_warp_tilt_range(classes, urn.total, a, m);
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

cudaError_t gurn_cuda_load_law(void) {
    return gurn_load(law_log_prob, law_log_prob_backward, law_moments, law_moments_backward, law_kl, law_mode,
                     law_add_runs);
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
