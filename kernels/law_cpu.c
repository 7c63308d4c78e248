/*
 * The law itself on the CPU: log-probabilities, moments, divergence and mode of a batch (law.h; mathematics in
 * moments.h, log_prob.h, mode.h).
 *
 * Work: OpenMP over GURN_LAW_RUNS runs of consecutive rows; a row is computed alone, in double. Where omega is shared,
 * a row with the n of the one before takes over what was computed for it. Memory: O(C) a thread; with covariance 512 C
 * bytes more. A gradient summed over rows is summed in row order within a run, then over runs in order, whatever the
 * number of threads.
 */
#include "law_cpu.h"

#include <stdlib.h>
#include <string.h>
#ifdef _OPENMP
#include <omp.h>
#endif

#include "kl.h"
#include "mode.h"
#include "tilt_cpu.h"

#define GURN_L(name) v_##name
#include "contour_lanes.h"
#include "odds_lanes.h"
#undef GURN_L

static size_t thread_index(void) {
#ifdef _OPENMP
    return (size_t)omp_get_thread_num();
#else
    return 0;
#endif
}

#define ROW_ARRAYS 12

/* Bytes of one law_row's arrays, which are laid out at p if it is not NULL. */
static size_t law_row_cut(law_row *row, int32_t classes, bool covariance, char *p) {
    int64_t padded = gurn_padded_classes(classes);
    if (p) {
        double *d = (double *)p;
        double **arrays[ROW_ARRAYS] = {&row->m,    &row->log_omega, &row->a,      &row->p,
                                       &row->q,    &row->low,       &row->lambda, &row->log_more,
                                       &row->mean, &row->moved,     &row->pull,   &row->change};
        for (int i = 0; i < ROW_ARRAYS; i++) *arrays[i] = d + i * padded;
        row->classes = classes;
        row->zc_re = covariance ? d + ROW_ARRAYS * padded : NULL;
        row->zc_im = covariance ? d + (ROW_ARRAYS + NODES) * padded : NULL;
        memset(p, 0, ROW_ARRAYS * (size_t)padded * sizeof *d);
        row->ready = row->compared = false;
    }
    return (size_t)padded * (covariance ? ROW_ARRAYS + 2 * NODES : ROW_ARRAYS) * sizeof(double);
}

/* ---------------------------------------------------------------------------------------------- the law of one row --- */

/* Takes row->log_omega (any factor) and row->m to what counts of them: held values, a, the largest and the total. */
static void law_row_take_omega(law_row *row) {
    double largest = -INFINITY;
    row->total = 0.0;
    for (int32_t c = 0; c < row->classes; c++) {
        row->total += row->m[c];
        if (row->m[c] > 0.0 && row->log_omega[c] > largest) largest = row->log_omega[c];
    }
    largest = largest > -INFINITY ? largest : 0.0;
    row->tilt = gurn_law_tilt_at(largest);
    for (int32_t c = 0; c < row->classes; c++) {
        row->a[c] = gurn_log2_omega(row->log_omega[c], largest);
        row->log_omega[c] = gurn_law_held(row->log_omega[c], row->tilt);
    }
}

/* Reads the urn of a row: log omega and sizes. */
static void law_row_read(law_row *row, const gurn_plan_view *view, const void *log_omega, gurn_dtype dtype,
                         int64_t at) {
    for (int32_t c = 0; c < row->classes; c++) {
        row->log_omega[c] = gurn_real(log_omega, dtype, at + c);
        row->m[c] = gurn_omega_is_zero(row->log_omega[c]) ? 0.0 : (double)(view->offset[c + 1] - view->offset[c] - 1);
    }
    law_row_take_omega(row);
}

static gurn_odds law_row_odds(const law_row *row, int32_t c) {
    gurn_odds odds = {row->lambda[c], row->p[c], row->q[c], row->low[c], row->log_more[c]};
    return odds;
}
static void put_odds(law_row *row, int32_t c, gurn_odds odds) {
    row->lambda[c] = odds.lambda;
    row->p[c] = odds.p;
    row->q[c] = odds.q;
    row->low[c] = odds.low;
    row->log_more[c] = odds.log_more;
}

static gurn_node node_of(const law_row *row, int32_t s) {
    gurn_node node = {row->node[0][s], row->node[1][s], row->node[2][s], row->node[3][s]};
    return node;
}

/* Where n = 0 or all are drawn there is no tilt: p is 0 or 1. */
static void law_row_fix(law_row *row) {
    gurn_pair sum = {0.0, 0.0};
    gurn_odds none = {-INFINITY, 0.0, 1.0, 0.0, 0.0}, all = {INFINITY, 1.0, 0.0, 0.0, 0.0};
    for (int32_t c = 0; c < row->classes; c++) {
        put_odds(row, c, row->n == 0 || row->m[c] == 0.0 ? none : all);
        if (row->n > 0) gurn_sum_add(&sum, row->m[c] * row->log_omega[c]);
    }
    row->log_q = row->variance = row->off = row->tilt.shift = 0.0;
    row->log_norm = gurn_sum_value(sum);
    row->contour.count = 0;
}

/* What is summed over classes for a tilt: variance; sum m and sum m q of the classes with p > 1/2, sum m p of the others. */
typedef struct law_sums {
    double variance, whole;
    gurn_pair left, drawn, norm; /* norm: moments.h */
} law_sums;

/* The odds of every class at row->tilt, and the sums. */
static law_sums law_row_odds_at(law_row *row) {
    gurn_pair none = {0.0, 0.0}, variance = none;
    law_sums sums = {0.0, 0.0, none, none, none};
    v_f64 largest = v_splat64(row->tilt.largest), shift = v_splat64(row->tilt.shift);
    for (int64_t c = 0; c < gurn_padded_classes(row->classes); c += V_HALF) {
        v_odds odds = v_odds_of(v_f64_load(row->log_omega + c), largest, shift);
        v_f64_store(row->lambda + c, odds.lambda);
        v_f64_store(row->p + c, odds.p);
        v_f64_store(row->q + c, odds.q);
        v_f64_store(row->low + c, odds.low);
        v_f64_store(row->log_more + c, odds.log_more);
    }
    for (int32_t c = 0; c < row->classes; c++) {
        double m = row->m[c];
        gurn_odds odds = law_row_odds(row, c);
        if (m == 0.0) continue;
        if (odds.lambda > 0.0) {
            sums.whole += m;
            gurn_sum_add_product(&sums.left, m, odds.q);
        } else {
            gurn_sum_add_product(&sums.drawn, m, odds.p);
        }
        gurn_sum_add(&variance, m * odds.p * odds.q);
        gurn_log_norm_add(&sums.norm, m, row->log_omega[c], odds);
    }
    sums.variance = gurn_sum_value(variance);
    return sums;
}

/* The law of what law_row_take_omega has left, and n: tilt, contour, weights, log P0. */
static void law_row_solve(law_row *row, int32_t n) {
    int32_t drawable = 0;
    for (int32_t c = 0; c < row->classes; c++) drawable += row->m[c] > 0.0;
    row->n = n;
    row->fixed = n == 0 || (double)n == row->total;
    row->certain = row->fixed || drawable <= 1;
    row->largest = -1;
    if (row->fixed) {
        law_row_fix(row);
        return;
    }
    gurn_tilt_range range = gurn_tilt_range_of(row->a, row->m, row->classes, row->total);
    gurn_tilt t = gurn_tilt_solve(row->a, row->m, row->p, row->q, row->classes, n, row->total, range);
    row->tilt.shift = t.ell * GURN_LN2;
    law_sums sums = law_row_odds_at(row);
    double off = gurn_tilt_off(sums.variance, n - sums.whole, sums.drawn.hi, sums.left.hi);
    if (off != 0.0) {
        row->tilt.shift -= off;
        sums = law_row_odds_at(row);
    }
    row->variance = sums.variance;
    row->off = gurn_tilt_miss(n - sums.whole, sums.drawn, sums.left);
    gurn_contour contour = gurn_contour_choose(row->variance, row->total);
    for (int32_t s = 0; s < NODES; s++) {
        gurn_node node = gurn_contour_node(contour, s < contour.count ? s : 0);
        row->node[0][s] = node.t;
        row->node[1][s] = node.sine;
        row->node[2][s] = node.versine;
        row->node[3][s] = node.bend;
    }
    double re[NODES] = {0}, im[NODES] = {0}, z = 0.0;
    for (int32_t c = 0; c < row->classes; c++) {
        double m = row->m[c], p = row->p[c], q = row->q[c], mpq = m * p * q;
        if (m == 0.0) continue;
        if (mpq > 0.5 * row->variance) row->largest = c;
        v_f64 less = v_splat64(p < q ? p : q), twice = v_splat64(2.0 * p * q), balls = v_splat64(m),
              turned = v_splat64(p < q ? m : -m);
        for (int32_t s = 0; s < contour.count; s += V_HALF) {
            v_node node = {v_f64_load(row->node[0] + s), v_f64_load(row->node[1] + s), v_f64_load(row->node[2] + s),
                           v_f64_load(row->node[3] + s)};
            v_f64 modulus, phase;
            v_node_log(node, less, twice, &modulus, &phase);
            v_f64_store(re + s, v_fma64(balls, modulus, v_f64_load(re + s)));
            v_f64_store(im + s, v_fma64(turned, phase, v_f64_load(im + s)));
        }
    }
    for (int32_t s = 0; s < contour.count; s++) {
        gurn_complex log_phi = {re[s], im[s]}, w = gurn_node_weight(node_of(row, s), log_phi, row->off);
        row->w_re[s] = w.re;
        row->w_im[s] = w.im;
        z += w.re;
    }
    for (int32_t s = 0; s < contour.count; s++) {
        row->w_re[s] /= z;
        row->w_im[s] /= z;
    }
    row->contour = contour;
    row->log_q = gurn_contour_log_sum(contour, z);
    row->log_norm = gurn_log_norm(sums.norm, n - sums.whole, row->tilt, row->log_q);
}

/* z_c at every node. */
static void class_z(const law_row *row, int32_t c, double *re, double *im) {
    for (int32_t s = 0; s < row->contour.count; s++) {
        gurn_complex z = gurn_node_z(node_of(row, s), row->m[c], row->p[c], row->q[c]);
        re[s] = z.re;
        im[s] = z.im;
    }
}

/* Real part of sum_s w_s f_s. */
static double weighted(const law_row *row, const double *re, const double *im) {
    double sum = 0.0;
    for (int32_t s = 0; s < row->contour.count; s++) sum += row->w_re[s] * re[s] - row->w_im[s] * im[s];
    return sum;
}

/* The same of a product. */
static double weighted_product(const law_row *row, const double *a_re, const double *a_im, const double *b_re,
                               const double *b_im) {
    double sum = 0.0;
    for (int32_t s = 0; s < row->contour.count; s++) {
        double re = a_re[s] * b_re[s] - a_im[s] * b_im[s], im = a_re[s] * b_im[s] + a_im[s] * b_re[s];
        sum += row->w_re[s] * re - row->w_im[s] * im;
    }
    return sum;
}

/* E_w rho_c^2 */
static double class_rare(const law_row *row, int32_t c) {
    double sum = 0.0;
    for (int32_t s = 0; s < row->contour.count; s++) {
        gurn_complex rho2 = gurn_node_rare(node_of(row, s), row->p[c], row->q[c]);
        sum += row->w_re[s] * rho2.re - row->w_im[s] * rho2.im;
    }
    return sum;
}

/* Means where the law hugs one x. */
static void law_row_rare_means(law_row *row) {
    double re[NODES], im[NODES], z_re[NODES], z_im[NODES];
    for (int32_t s = 0; s < row->contour.count; s++) {
        z_re[s] = row->z_re[s] + row->largest_re[s];
        z_im[s] = row->z_im[s] + row->largest_im[s];
    }
    for (int32_t c = 0; c < row->classes; c++) {
        if (row->m[c] == 0.0) continue;
        class_z(row, c, re, im);
        double mean = gurn_mean_of_rare(row->m[c], row->p[c], row->q[c], -weighted_product(row, re, im, z_re, z_im),
                                        class_rare(row, c));
        row->mean[c] = gurn_mean_held(mean, row->m[c], row->n, row->total);
    }
}

/* Means, held to the support of a class; zc summed over classes; and with zc_re also zc of every class and node. */
static void law_row_mean(law_row *row) {
    double re[NODES], im[NODES];
    for (int32_t s = 0; s < row->contour.count; s++)
        row->z_re[s] = row->z_im[s] = row->largest_re[s] = row->largest_im[s] = 0.0;
    for (int32_t c = 0; c < row->classes; c++) {
        double m = row->m[c];
        if (row->certain || m == 0.0) {
            row->mean[c] = gurn_certain_count(m, row->n, row->total);
            continue;
        }
        class_z(row, c, re, im);
        double shift = weighted(row, re, im);
        double *sum_re = c == row->largest ? row->largest_re : row->z_re,
               *sum_im = c == row->largest ? row->largest_im : row->z_im;
        row->moved[c] = shift;
        row->mean[c] = gurn_mean_held(fma(m, row->p[c], shift), m, row->n, row->total);
        for (int32_t s = 0; s < row->contour.count; s++) {
            sum_re[s] += re[s] - shift;
            sum_im[s] += im[s];
        }
        if (row->zc_re)
            for (int32_t s = 0; s < row->contour.count; s++) {
                row->zc_re[(int64_t)c * NODES + s] = re[s] - shift;
                row->zc_im[(int64_t)c * NODES + s] = im[s];
            }
    }
    if (!row->certain && row->variance < GURN_SMALL_VARIANCE) law_row_rare_means(row);
}

/* The law of row b, unless that of the row before will do. */
static void law_row_take(const gurn_law_job *job, law_row *row, const void *log_omega, int64_t stride, int64_t b,
                         bool with_mean) {
    int32_t n = gurn_row_n(&job->in, b);
    if (row->ready && stride == 0 && row->n == n) return;
    law_row_read(row, job->view, log_omega, job->dtype, b * stride);
    law_row_solve(row, n);
    if (with_mean) law_row_mean(row);
    row->ready = true;
}

/* d[C] less its mean weighted by V, which is returned: what makes sums of d z smallest. */
static double middle_of(const law_row *row, const double *d) {
    double sum = 0.0;
    for (int32_t c = 0; c < row->classes; c++) sum += row->m[c] * row->p[c] * row->q[c] * d[c];
    return row->variance > 0.0 ? sum / row->variance : 0.0;
}

/* sum_c (d_c - middle) zc_c of every node; returns E_w sum_c (d_c - middle) z_c. */
static double pulled_nodes(const law_row *row, const double *d, double middle, double *s_re, double *s_im) {
    double re[NODES], im[NODES];
    for (int32_t s = 0; s < row->contour.count; s++) s_re[s] = s_im[s] = 0.0;
    for (int32_t c = 0; c < row->classes; c++) {
        double weight = d[c] - middle;
        if (row->m[c] == 0.0) continue;
        class_z(row, c, re, im);
        for (int32_t s = 0; s < row->contour.count; s++) {
            s_re[s] += weight * re[s];
            s_im[s] += weight * im[s];
        }
    }
    double centre = weighted(row, s_re, s_im);
    for (int32_t s = 0; s < row->contour.count; s++) s_re[s] -= centre;
    return centre;
}

/* out = cov d, d[C] (moments.h) */
static void cov_times(const law_row *row, const double *d, double *out) {
    double re[NODES], im[NODES], s_re[NODES], s_im[NODES], middle = middle_of(row, d);
    for (int32_t c = 0; c < row->classes; c++) out[c] = 0.0;
    if (row->certain) return;
    pulled_nodes(row, d, middle, s_re, s_im);
    for (int32_t c = 0; c < row->classes; c++) {
        double weight = d[c] - middle, f_re[NODES], f_im[NODES];
        if (row->m[c] == 0.0) continue;
        class_z(row, c, re, im);
        for (int32_t s = 0; s < row->contour.count; s++) {
            f_re[s] = s_re[s] - weight * (row->z_re[s] + row->largest_re[s]);
            f_im[s] = s_im[s] - weight * (row->z_im[s] + row->largest_im[s]);
        }
        out[c] = weighted_product(row, re, im, f_re, f_im);
    }
}

static double cov_pair(const law_row *row, int32_t j, int32_t l) {
    return weighted_product(row, row->zc_re + (int64_t)j * NODES, row->zc_im + (int64_t)j * NODES,
                            row->zc_re + (int64_t)l * NODES, row->zc_im + (int64_t)l * NODES);
}

static double cov_own(const law_row *row, int32_t j) {
    const double *re = row->zc_re + (int64_t)j * NODES, *im = row->zc_im + (int64_t)j * NODES;
    double other_re[NODES], other_im[NODES];
    bool largest = j == row->largest;
    for (int32_t s = 0; s < row->contour.count; s++) {
        other_re[s] = largest ? row->z_re[s] : (row->z_re[s] - re[s]) + row->largest_re[s];
        other_im[s] = largest ? row->z_im[s] : (row->z_im[s] - im[s]) + row->largest_im[s];
    }
    return -weighted_product(row, re, im, other_re, other_im);
}

static void write_covariance(const gurn_law_job *job, const law_row *row, int64_t b) {
    int64_t classes = row->classes, begin = b * classes * classes;
    for (int32_t j = 0; j < classes; j++)
        for (int32_t l = 0; l <= j; l++) {
            double value = 0.0; /* signs are certain */
            if (!row->certain && row->m[j] > 0.0 && row->m[l] > 0.0)
                value = l == j ? fmax(cov_own(row, j), 0.0) : fmin(cov_pair(row, j, l), 0.0);
            gurn_set_real(job->moments.covariance, job->dtype, begin + j * classes + l, value);
            gurn_set_real(job->moments.covariance, job->dtype, begin + l * classes + j, value);
        }
}

/* g_a += sum_jl G_jl d cov_jl / d log omega_a; G of row b of the upstream covariance (moments.h). */
static void add_third(const gurn_law_job *job, law_row *row, int64_t b, double *g) {
    int32_t classes = row->classes, count = row->contour.count;
    int64_t begin = b * classes * (int64_t)classes;
    const void *up = job->moments.covariance;
    double s_re[NODES] = {0}, s_im[NODES] = {0}, *diagonal = row->pull;
    if (row->certain) return;
    for (int32_t a = 0; a < classes; a++) diagonal[a] = gurn_real(up, job->dtype, begin + a * (int64_t)classes + a);
    for (int32_t a = 0; a < classes; a++) {
        const double *za_re = row->zc_re + (int64_t)a * NODES, *za_im = row->zc_im + (int64_t)a * NODES;
        double h_re[NODES] = {0}, h_im[NODES] = {0};
        if (row->m[a] == 0.0) continue;
        for (int32_t j = 0; j < classes; j++) {
            const double *zj_re = row->zc_re + (int64_t)j * NODES, *zj_im = row->zc_im + (int64_t)j * NODES;
            double weight = gurn_real(up, job->dtype, begin + a * (int64_t)classes + j) - diagonal[a] +
                            (gurn_real(up, job->dtype, begin + j * (int64_t)classes + a) - diagonal[j]);
            if (weight == 0.0 || row->m[j] == 0.0) continue;
            for (int32_t s = 0; s < count; s++) {
                h_re[s] += weight * zj_re[s];
                h_im[s] += weight * zj_im[s];
            }
        }
        double sum = 0.0;
        for (int32_t s = 0; s < count; s++) {
            gurn_complex v = gurn_node_v(node_of(row, s), row->m[a], row->p[a], row->q[a]);
            s_re[s] += 0.5 * (za_re[s] * h_re[s] - za_im[s] * h_im[s]);
            s_im[s] += 0.5 * (za_re[s] * h_im[s] + za_im[s] * h_re[s]);
            double re = v.re * h_re[s] - v.im * h_im[s], im = v.re * h_im[s] + v.im * h_re[s];
            sum += row->w_re[s] * re - row->w_im[s] * im;
        }
        g[a] += sum;
    }
    double centre = weighted(row, s_re, s_im);
    for (int32_t s = 0; s < count; s++) s_re[s] -= centre; /* for E_w zc_a s */
    for (int32_t a = 0; a < classes; a++)
        if (row->m[a] > 0.0)
            g[a] += weighted_product(row, row->zc_re + (int64_t)a * NODES, row->zc_im + (int64_t)a * NODES, s_re, s_im);
}

/* --------------------------------------------------------------------------------------------------- operations --- */

static bool omega_is_zero(const gurn_law_job *job, int64_t b, int32_t c) {
    return gurn_omega_is_zero(gurn_real(job->in.log_omega, job->dtype, b * job->in.log_omega_stride + c));
}

static double exact_log_prob(const gurn_law_job *job, const law_row *row, int64_t b) {
    gurn_law_point law = {row->tilt, row->n, row->log_q, row->certain, row->fixed, row->log_norm};
    gurn_log_prob_sum sum = {{0.0, 0.0}, {0.0, 0.0}, 0, 0};
    for (int32_t c = 0; c < row->classes; c++) {
        double x = gurn_real(job->x, job->dtype, b * row->classes + c);
        if (gurn_log_prob_add(&sum, &law, row->m[c], omega_is_zero(job, b, c), x, row->log_omega[c],
                              law_row_odds(row, c), gurn_certain_count(row->m[c], row->n, row->total)))
            return -INFINITY;
    }
    return gurn_log_prob_value(sum, &law);
}

/* Gradients of row b: to log omega added to, or put into, g[C]; to x written. */
static void log_prob_backward(const gurn_law_job *job, law_row *row, int64_t b, double *g) {
    int32_t classes = row->classes;
    double up = gurn_real(job->upstream, job->dtype, b);
    if (job->chain == GURN_CHAIN_MERGED) {
        GURN_NAME(law_merged_backward)(job, row, b, up);
        for (int32_t c = 0; c < classes; c++) {
            g[c] += row->mean[c];
            if (job->d_x) gurn_set_real(job->d_x, job->dtype, b * classes + c, row->a[c]);
        }
        return;
    }
    law_row_take(job, row, job->in.log_omega, job->in.log_omega_stride, b, true);
    bool outside = false;
    for (int32_t c = 0; c < classes; c++) {
        double x = gurn_real(job->x, job->dtype, b * classes + c);
        outside |= omega_is_zero(job, b, c) ? x != 0.0 : !(x > -1.0 && x < row->m[c] + 1.0);
    }
    if (outside) up = NAN;
    for (int32_t c = 0; c < classes; c++) {
        double x = gurn_real(job->x, job->dtype, b * classes + c), dx = up;
        double above = row->certain || row->m[c] == 0.0
                           ? x - row->mean[c]
                           : gurn_count_above(row->m[c], x, law_row_odds(row, c)) - row->moved[c];
        g[c] += up * above;
        if (!job->d_x) continue;
        if (!outside)
            dx *= omega_is_zero(job, b, c) ? 0.0 : gurn_log_weight_dx(row->m[c], x, row->log_omega[c]) + row->tilt.base;
        gurn_set_real(job->d_x, job->dtype, b * classes + c, dx);
    }
}

static void moments_forward(const gurn_law_job *job, law_row *row, int64_t b) {
    law_row_take(job, row, job->in.log_omega, job->in.log_omega_stride, b,
                 job->moments.mean || job->moments.covariance);
    if (job->moments.log_norm)
        gurn_set_real(job->moments.log_norm, job->dtype, b, fma(row->n, row->tilt.base, row->log_norm));
    for (int32_t c = 0; c < row->classes && job->moments.mean; c++)
        gurn_set_real(job->moments.mean, job->dtype, b * row->classes + c, row->mean[c]);
    if (job->moments.covariance) write_covariance(job, row, b);
}

static void moments_backward(const gurn_law_job *job, law_row *row, int64_t b, double *g) {
    int32_t classes = row->classes;
    law_row_take(job, row, job->in.log_omega, job->in.log_omega_stride, b, true);
    if (job->moments.log_norm) {
        double up = gurn_real(job->moments.log_norm, job->dtype, b);
        for (int32_t c = 0; c < classes; c++) g[c] += up * row->mean[c];
    }
    if (job->moments.mean) {
        double *product = row->a; /* no longer needed */
        for (int32_t c = 0; c < classes; c++) row->pull[c] = gurn_real(job->moments.mean, job->dtype, b * classes + c);
        cov_times(row, row->pull, product);
        for (int32_t c = 0; c < classes; c++) g[c] += product[c];
    }
    if (job->moments.covariance) add_third(job, row, b, g);
}

/* log omega of the other law over that of this one, by differences first, into row->pull; returns the spread (kl.h). */
static double kl_distance(law_row *row, const law_row *other) {
    double least = INFINITY, most = -INFINITY;
    for (int32_t c = 0; c < row->classes; c++) {
        row->pull[c] =
            row->m[c] > 0.0 ? gurn_kl_distance(row->log_omega[c], row->tilt, other->log_omega[c], other->tilt) : 0.0;
        if (row->m[c] == 0.0) continue;
        if (row->pull[c] < least) least = row->pull[c];
        if (row->pull[c] > most) most = row->pull[c];
    }
    return most > least ? most - least : 0.0;
}

/* KL along the line between the laws (kl.h), and other->change; what else is in `other` is lost. */
static double kl_line(const law_row *row, law_row *other, double spread) {
    int32_t panels = gurn_kl_panels(spread);
    gurn_pair kl = {0.0, 0.0};
    for (int32_t c = 0; c < row->classes; c++) other->change[c] = 0.0;
    for (int32_t i = 0; i < panels * GURN_KL_POINTS && spread > 0.0; i++) {
        gurn_kl_point at = gurn_kl_point_of(i, panels);
        for (int32_t c = 0; c < row->classes; c++) {
            other->m[c] = row->m[c];
            other->log_omega[c] = (row->log_omega[c] - row->tilt.largest) + at.s * row->pull[c];
        }
        law_row_take_omega(other);
        law_row_solve(other, row->n);
        law_row_mean(other);
        cov_times(other, row->pull, other->a);
        for (int32_t c = 0; c < row->classes; c++) {
            gurn_sum_add(&kl, at.weight * (1.0 - at.s) * row->pull[c] * other->a[c]);
            other->change[c] += at.weight * other->a[c];
        }
    }
    other->ready = false;
    return gurn_sum_value(kl);
}

/* lambda' - lambda of a class, from what kl_distance left in row->pull. */
static double kl_shift(const law_row *row, const law_row *other, int32_t c) {
    return row->pull[c] + (other->tilt.shift - row->tilt.shift);
}

/* KL from the two laws' tilts (kl.h). */
static double kl_tilted(const law_row *row, const law_row *other) {
    gurn_pair kl = {0.0, 0.0};
    for (int32_t c = 0; c < row->classes; c++) {
        if (other->m[c] == 0.0) continue;
        gurn_odds odds = law_row_odds(row, c);
        if (row->m[c] == 0.0) odds.p = 0.0;
        double divergence = gurn_bernoulli_divergence(odds, law_row_odds(other, c), kl_shift(row, other, c));
        gurn_sum_add(&kl, other->m[c] * divergence);
    }
    if (!row->fixed) {
        double re[NODES], im[NODES], middle = middle_of(row, row->pull);
        gurn_sum_add(&kl, -pulled_nodes(row, row->pull, middle, re, im));
        gurn_sum_add(&kl, -row->off * (middle + (other->tilt.shift - row->tilt.shift)));
    }
    gurn_sum_add(&kl, other->log_q);
    gurn_sum_add(&kl, -row->log_q);
    return gurn_sum_value(kl);
}

/* mean' - mean of every class, from the tilts, into other->change. Their sum is 0: so it is known best of which makes up most. */
static void kl_tilted_change(const law_row *row, law_row *other) {
    bool plain = row->certain || other->certain;
    gurn_pair sum = {0.0, 0.0};
    for (int32_t c = 0; c < row->classes; c++) {
        double change = other->mean[c] - row->mean[c];
        if (!plain && row->m[c] > 0.0) {
            change = gurn_odds_change(law_row_odds(row, c), law_row_odds(other, c), kl_shift(row, other, c));
            change = fma(row->m[c], change, other->moved[c] - row->moved[c]);
        }
        if (c != row->largest) gurn_sum_add(&sum, change);
        other->change[c] = change;
    }
    if (!plain && row->largest >= 0) other->change[row->largest] = -gurn_sum_value(sum);
}

/* row->kl, and what its gradients are made of: cov d into row->a, mean' - mean into other->change. */
static void kl_compare(const gurn_law_job *job, law_row *row, law_row *other, int64_t b, bool gradients) {
    bool infinite = false, same = true;
    law_row_take(job, row, job->in.log_omega, job->in.log_omega_stride, b, true);
    law_row_take(job, other, job->other, job->other_stride, b, gradients);
    for (int32_t c = 0; c < row->classes; c++) {
        infinite |= row->m[c] > 0.0 && other->m[c] == 0.0 && row->n > 0;
        same &= row->m[c] == other->m[c];
        row->a[c] = other->change[c] = 0.0;
    }
    row->kl = 0.0;
    if (infinite) {
        row->kl = INFINITY;
        for (int32_t c = 0; c < row->classes; c++) row->a[c] = other->change[c] = NAN;
    } else if (row->n > 0 && !(same && row->certain)) {
        double spread = kl_distance(row, other);
        bool line = same && spread <= GURN_KL_CLOSE;
        if (!line) {
            row->kl = kl_tilted(row, other);
            line = same && row->kl < GURN_KL_SMALL && spread <= GURN_KL_FAR;
        }
        if (gradients) cov_times(row, row->pull, row->a);
        if (gradients && !line) kl_tilted_change(row, other);
        if (line) row->kl = kl_line(row, other, spread);
        if (row->kl < 0.0) row->kl = 0.0;
    }
}

/* row: the law at omega; other: at the other's. Gradients are added to g and g_other (NULL: not wanted). */
static double kl_row(const gurn_law_job *job, law_row *row, law_row *other, int64_t b, double up, double *g,
                     double *g_other) {
    bool shared = job->in.log_omega_stride == 0 && job->other_stride == 0;
    if (!(shared && row->compared && row->n == gurn_row_n(&job->in, b)))
        kl_compare(job, row, other, b, g != NULL || g_other != NULL);
    row->compared = true;
    for (int32_t c = 0; c < row->classes && g; c++) g[c] -= up * row->a[c];
    for (int32_t c = 0; c < row->classes && g_other; c++) g_other[c] += up * other->change[c];
    return row->kl;
}

/* mode.h */
static void mode_row(const gurn_law_job *job, law_row *row, int64_t b) {
    int32_t n = gurn_row_n(&job->in, b), classes = row->classes, *x = job->mode + b * classes;
    law_row_read(row, job->view, job->in.log_omega, job->dtype, b * job->in.log_omega_stride);
    gurn_tilt_range range = gurn_tilt_range_of(row->a, row->m, classes, row->total);
    gurn_mode_bracket at = gurn_mode_begin(range.min, range.max);
    for (double t; gurn_mode_next(at, &t);) {
        int64_t count = 0;
        for (int32_t c = 0; c < classes; c++) count += gurn_mode_count(row->m[c], row->a[c], t);
        at = gurn_mode_narrow(at, t, count, n);
    }
    int64_t missing = n;
    for (int32_t c = 0; c < classes; c++) missing -= x[c] = gurn_mode_count(row->m[c], row->a[c], at.low);
    for (int32_t c = 0; c < classes && missing > 0; c++) {
        int32_t more = gurn_mode_count(row->m[c], row->a[c], at.high) - x[c];
        if (more > missing) more = (int32_t)missing;
        x[c] += more;
        missing -= more;
    }
}

/* ------------------------------------------------------------------------------------------------------- driver --- */

typedef struct law_shape {
    bool covariance;          /* zc is needed */
    int laws;                 /* law_rows a thread needs */
    int shared, other_shared; /* gradients that are summed over rows */
    size_t row_bytes;
} law_shape;

static law_shape law_shape_of(const gurn_law_job *job) {
    law_shape s = {false, 1, 0, 0, 0};
    s.covariance = (job->op == GURN_OP_MOMENTS || job->op == GURN_OP_MOMENTS_BACKWARD) && job->moments.covariance;
    if (job->op == GURN_OP_KL || job->op == GURN_OP_KL_BACKWARD) s.laws = 2;
    s.shared = job->d_log_omega && job->in.log_omega_stride == 0;
    s.other_shared = job->d_other && job->other_stride == 0;
    s.row_bytes = law_row_cut(NULL, job->view->classes, s.covariance, NULL);
    return s;
}

/* Workspace: every thread's law_rows, then gradients of every run [2][GURN_LAW_RUNS][C] as needed. */
size_t GURN_NAME(law_bytes)(const gurn_law_job *job) {
    law_shape s = law_shape_of(job);
    size_t gradients = (size_t)gurn_padded_classes(job->view->classes) * sizeof(double);
    return (size_t)job->threads * ((size_t)s.laws * s.row_bytes + 2 * gradients) +
           (size_t)(s.shared + s.other_shared) * GURN_LAW_RUNS * gradients;
}

static void add_runs(const gurn_law_job *job, const double *runs, void *out) {
    int64_t padded = gurn_padded_classes(job->view->classes);
    for (int32_t c = 0; c < job->view->classes; c++) {
        double sum = 0.0;
        for (int64_t run = 0; run < GURN_LAW_RUNS; run++) sum += runs[run * padded + c];
        gurn_set_real(out, job->dtype, c, sum);
    }
}

static void law_one(const gurn_law_job *job, law_row *row, law_row *other, int64_t b, double *g, double *g_other) {
    switch (job->op) {
        case GURN_OP_LOG_PROB: {
            double log_p;
            if (job->chain == GURN_CHAIN_MERGED) {
                log_p = GURN_NAME(law_merged)(job, row, b);
            } else {
                law_row_take(job, row, job->in.log_omega, job->in.log_omega_stride, b, false);
                log_p = exact_log_prob(job, row, b);
            }
            gurn_set_real(job->log_p, job->dtype, b, log_p);
            break;
        }
        case GURN_OP_LOG_PROB_BACKWARD: log_prob_backward(job, row, b, g); break;
        case GURN_OP_MOMENTS: moments_forward(job, row, b); break;
        case GURN_OP_MOMENTS_BACKWARD: moments_backward(job, row, b, g); break;
        case GURN_OP_KL: gurn_set_real(job->kl, job->dtype, b, kl_row(job, row, other, b, 0.0, NULL, NULL)); break;
        case GURN_OP_KL_BACKWARD:
            kl_row(job, row, other, b, gurn_real(job->upstream, job->dtype, b), job->d_log_omega ? g : NULL,
                   job->d_other ? g_other : NULL);
            break;
        case GURN_OP_MODE: mode_row(job, row, b); break;
    }
}

void GURN_NAME(law_run)(const gurn_law_job *job) {
    law_shape s = law_shape_of(job);
    int32_t classes = job->view->classes;
    int64_t padded = gurn_padded_classes(classes), rows = job->in.rows;
    size_t thread_bytes = (size_t)s.laws * s.row_bytes + 2 * (size_t)padded * sizeof(double);
    double *runs = (double *)((char *)job->workspace + (size_t)job->threads * thread_bytes);
    double *other_runs = runs + (s.shared ? GURN_LAW_RUNS * padded : 0);
    bool gradients = job->d_log_omega || job->d_other || job->d_x;
#pragma omp parallel num_threads(job->threads)
    {
        char *at = (char *)job->workspace + thread_index() * thread_bytes;
        law_row row, other;
        memset(&row, 0, sizeof row);
        memset(&other, 0, sizeof other);
        law_row_cut(&row, classes, s.covariance, at);
        if (s.laws == 2) law_row_cut(&other, classes, false, at + s.row_bytes);
        double *own_g = (double *)(at + (size_t)s.laws * s.row_bytes), *own_g_other = own_g + padded;
#pragma omp for schedule(dynamic, 1)
        for (int64_t run = 0; run < GURN_LAW_RUNS; run++) {
            double *g = s.shared ? runs + run * padded : own_g,
                   *g_other = s.other_shared ? other_runs + run * padded : own_g_other;
            int64_t begin = gurn_run_begin(rows, GURN_LAW_RUNS, run),
                    end = gurn_run_begin(rows, GURN_LAW_RUNS, run + 1);
            if (gradients) {
                memset(g, 0, (size_t)padded * sizeof *g);
                memset(g_other, 0, (size_t)padded * sizeof *g_other);
            }
            for (int64_t b = begin; b < end; b++) {
                law_one(job, &row, &other, b, g, g_other);
                if (job->d_log_omega && !s.shared)
                    for (int32_t c = 0; c < classes; c++) {
                        gurn_set_real(job->d_log_omega, job->dtype, b * classes + c, g[c]);
                        g[c] = 0.0;
                    }
                if (job->d_other && !s.other_shared)
                    for (int32_t c = 0; c < classes; c++) {
                        gurn_set_real(job->d_other, job->dtype, b * classes + c, g_other[c]);
                        g_other[c] = 0.0;
                    }
            }
        }
    }
    if (s.shared) add_runs(job, runs, job->d_log_omega);
    if (s.other_shared) add_runs(job, other_runs, job->d_other);
}
