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

#include "mode.h"
#include "tilt_cpu.h"

static size_t thread_index(void) {
#ifdef _OPENMP
    return (size_t)omp_get_thread_num();
#else
    return 0;
#endif
}

/* Bytes of one law_row's arrays, which are laid out at p if it is not NULL. */
static size_t law_row_cut(law_row *row, int32_t classes, bool covariance, char *p) {
    int64_t padded = gurn_padded_classes(classes);
    if (p) {
        double *d = (double *)p;
        row->classes = classes;
        row->a = d;
        row->m = d + padded;
        row->p = d + 2 * padded;
        row->q = d + 3 * padded;
        row->mean = d + 4 * padded;
        row->pull = d + 5 * padded;
        row->zc_re = covariance ? d + 6 * padded : NULL;
        row->zc_im = covariance ? d + (6 + NODES) * padded : NULL;
    }
    return (size_t)padded * (covariance ? 6 + 2 * NODES : 6) * sizeof(double);
}

/* Reads the sizes once. */
static void law_row_sizes(law_row *row, const gurn_plan_view *view) {
    int64_t padded = gurn_padded_classes(row->classes);
    row->total = 0.0;
    for (int64_t c = 0; c < padded; c++) {
        row->m[c] = c < row->classes ? (double)(view->offset[c + 1] - view->offset[c] - 1) : 0.0;
        row->total += row->m[c];
    }
    row->ready = false;
}

/* log2 omega of the row into a; returns its range. */
static gurn_tilt_range law_row_omega(law_row *row, const void *log_omega, gurn_dtype dtype, int64_t at) {
    for (int64_t c = 0; c < gurn_padded_classes(row->classes); c++)
        row->a[c] = c < row->classes ? gurn_law_log2_omega(gurn_real(log_omega, dtype, at + c)) : 0.0;
    return gurn_tilt_range_of(row->a, row->m, row->classes, row->total);
}

/* Tilt of row b's omega: a, p, q, ell. Returns the variance of the sum under it. */
static double law_row_tilt(law_row *row, const void *log_omega, gurn_dtype dtype, int64_t at, int32_t n) {
    gurn_tilt_range range = law_row_omega(row, log_omega, dtype, at);
    row->n = n;
    row->fixed = n == 0 || (double)n == row->total;
    row->log_norm = n * range.mean * GURN_LN2; /* right where the counts are certain */
    if (row->fixed) return 0.0;
    gurn_tilt t = gurn_tilt_solve(row->a, row->m, row->p, row->q, row->classes, n, row->total, range);
    row->ell = t.ell;
    return t.variance;
}

/* The law of one omega and n: contour, weights, log P0. */
static void law_row_fill(law_row *row, const void *log_omega, gurn_dtype dtype, int64_t at, int32_t n) {
    double variance = law_row_tilt(row, log_omega, dtype, at, n);
    if (row->fixed) return;
    gurn_contour contour = gurn_contour_choose(variance, row->total);
    double re[NODES] = {0}, im[NODES] = {0}, whole = n, rest = 0.0, sums = 0.0, z = 0.0;
    for (int32_t s = 0; s < contour.count; s++) row->node[s] = gurn_contour_node(contour, s);
    for (int32_t c = 0; c < row->classes; c++) {
        double m = row->m[c], p = row->p[c], q = row->q[c];
        if (m == 0.0) continue;
        whole -= gurn_shift_whole(m, p);
        rest += gurn_shift_rest(m, p, q);
        sums += m * gurn_log1p_odds(row->a[c] + row->ell, p, q);
        for (int32_t s = 0; s < contour.count; s++) {
            gurn_complex log_phi = gurn_node_log(row->node[s], p, q);
            re[s] += m * log_phi.re;
            im[s] += m * log_phi.im;
        }
    }
    for (int32_t s = 0; s < contour.count; s++) {
        gurn_complex log_phi = {re[s], im[s]}, w = gurn_node_weight(row->node[s], log_phi, whole + rest);
        row->w_re[s] = w.re;
        row->w_im[s] = w.im;
        z += w.re;
    }
    for (int32_t s = 0; s < contour.count; s++) {
        row->w_re[s] /= z;
        row->w_im[s] /= z;
    }
    row->contour = contour;
    row->log_norm = gurn_contour_log_norm(contour, z, sums, n, row->ell);
}

/* z_c at every node. */
static void class_z(const law_row *row, int32_t c, double *re, double *im) {
    for (int32_t s = 0; s < row->contour.count; s++) {
        gurn_complex z = gurn_node_z(row->node[s], row->m[c], row->p[c], row->q[c]);
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

/* f into w (f - centre) at every node (moments.h). */
static void centre_nodes(const law_row *row, double *re, double *im, double centre) {
    for (int32_t s = 0; s < row->contour.count; s++) {
        gurn_complex w = {row->w_re[s], row->w_im[s]}, f = {re[s], im[s]}, g = gurn_node_centred(w, f, centre);
        re[s] = g.re;
        im[s] = g.im;
    }
}

/* E_w v_c, and with it E_w v'_c. */
static double class_v(const law_row *row, int32_t c, double *third) {
    double sum = 0.0, sum_third = 0.0;
    for (int32_t s = 0; s < row->contour.count; s++) {
        gurn_complex v_third, v = gurn_node_v(row->node[s], row->m[c], row->p[c], row->q[c], &v_third);
        sum += row->w_re[s] * v.re - row->w_im[s] * v.im;
        sum_third += row->w_re[s] * v_third.re - row->w_im[s] * v_third.im;
    }
    if (third) *third = sum_third;
    return sum;
}

/* Means, held to the support of a class, and with zc_re also zc of every class and node. */
static void law_row_mean(law_row *row) {
    double re[NODES], im[NODES];
    for (int32_t c = 0; c < row->classes; c++) {
        double m = row->m[c];
        if (row->fixed) {
            row->mean[c] = row->n == 0 ? 0.0 : m;
            continue;
        }
        class_z(row, c, re, im);
        double shift = weighted(row, re, im);
        row->mean[c] = gurn_mean_held(fma(m, row->p[c], shift), m, row->n, row->total);
        if (row->zc_re)
            for (int32_t s = 0; s < row->contour.count; s++) {
                row->zc_re[(int64_t)c * NODES + s] = re[s] - shift;
                row->zc_im[(int64_t)c * NODES + s] = im[s];
            }
    }
}

/* The law of row b, unless that of the row before will do. */
static void law_row_take(const gurn_law_job *job, law_row *row, const void *log_omega, int64_t stride, int64_t b,
                         bool with_mean) {
    int32_t n = gurn_row_n(&job->in, b);
    if (row->ready && stride == 0 && row->n == n) return;
    law_row_fill(row, log_omega, job->dtype, b * stride, n);
    if (with_mean) law_row_mean(row);
    row->ready = true;
}

/* g += scale * cov * d, d[C] */
static void add_cov_times(const law_row *row, const double *d, double scale, double *g) {
    double re[NODES], im[NODES], s_re[NODES] = {0}, s_im[NODES] = {0};
    if (row->fixed) return;
    for (int32_t c = 0; c < row->classes; c++) {
        if (d[c] == 0.0 || row->m[c] == 0.0) continue;
        class_z(row, c, re, im);
        for (int32_t s = 0; s < row->contour.count; s++) {
            s_re[s] += d[c] * re[s];
            s_im[s] += d[c] * im[s];
        }
    }
    double centre = weighted(row, s_re, s_im);
    centre_nodes(row, s_re, s_im, centre);
    for (int32_t c = 0; c < row->classes; c++) {
        double sum = 0.0;
        if (row->m[c] == 0.0) continue;
        class_z(row, c, re, im);
        for (int32_t s = 0; s < row->contour.count; s++) sum += s_re[s] * re[s] - s_im[s] * im[s];
        g[c] += scale * (sum + d[c] * class_v(row, c, NULL));
    }
}

/* cov_jl without its diagonal term */
static double cov_pair(const law_row *row, int32_t j, int32_t l) {
    const double *a_re = row->zc_re + (int64_t)j * NODES, *a_im = row->zc_im + (int64_t)j * NODES;
    const double *b_re = row->zc_re + (int64_t)l * NODES, *b_im = row->zc_im + (int64_t)l * NODES;
    double sum = 0.0;
    for (int32_t s = 0; s < row->contour.count; s++) {
        double re = a_re[s] * b_re[s] - a_im[s] * b_im[s], im = a_re[s] * b_im[s] + a_im[s] * b_re[s];
        sum += row->w_re[s] * re - row->w_im[s] * im;
    }
    return sum;
}

static void write_covariance(const gurn_law_job *job, const law_row *row, int64_t b) {
    int64_t classes = row->classes, begin = b * classes * classes;
    for (int32_t j = 0; j < classes; j++)
        for (int32_t l = 0; l <= j; l++) {
            double value = row->fixed || row->m[j] == 0.0 || row->m[l] == 0.0 ? 0.0 : cov_pair(row, j, l);
            if (l == j && !row->fixed && row->m[j] > 0.0) {
                value += class_v(row, j, NULL);
                if (value < 0.0) value = 0.0;
            }
            gurn_set_real(job->moments.covariance, job->dtype, begin + j * classes + l, value);
            gurn_set_real(job->moments.covariance, job->dtype, begin + l * classes + j, value);
        }
}

/* g_a += sum_jl G_jl d cov_jl / d log omega_a; G of row b of the upstream covariance (moments.h). */
static void add_third(const gurn_law_job *job, const law_row *row, int64_t b, double *g) {
    int32_t classes = row->classes, count = row->contour.count;
    int64_t begin = b * classes * (int64_t)classes;
    const void *up = job->moments.covariance;
    double s_re[NODES] = {0}, s_im[NODES] = {0};
    if (row->fixed) return;
    for (int32_t a = 0; a < classes; a++) {
        const double *za_re = row->zc_re + (int64_t)a * NODES, *za_im = row->zc_im + (int64_t)a * NODES;
        double h_re[NODES] = {0}, h_im[NODES] = {0};
        if (row->m[a] == 0.0) continue;
        for (int32_t j = 0; j < classes; j++) {
            const double *zj_re = row->zc_re + (int64_t)j * NODES, *zj_im = row->zc_im + (int64_t)j * NODES;
            double weight = gurn_real(up, job->dtype, begin + a * (int64_t)classes + j) +
                            gurn_real(up, job->dtype, begin + j * (int64_t)classes + a);
            if (weight == 0.0 || row->m[j] == 0.0) continue;
            for (int32_t s = 0; s < count; s++) {
                h_re[s] += weight * zj_re[s];
                h_im[s] += weight * zj_im[s];
            }
        }
        double own = gurn_real(up, job->dtype, begin + a * (int64_t)classes + a), third, sum = 0.0;
        class_v(row, a, &third);
        for (int32_t s = 0; s < count; s++) {
            gurn_complex unused, v = gurn_node_v(row->node[s], row->m[a], row->p[a], row->q[a], &unused);
            s_re[s] += 0.5 * (za_re[s] * h_re[s] - za_im[s] * h_im[s]) + own * v.re;
            s_im[s] += 0.5 * (za_re[s] * h_im[s] + za_im[s] * h_re[s]) + own * v.im;
            double re = v.re * h_re[s] - v.im * h_im[s], im = v.re * h_im[s] + v.im * h_re[s];
            sum += row->w_re[s] * re - row->w_im[s] * im;
        }
        g[a] += sum + own * third;
    }
    double centre = weighted(row, s_re, s_im);
    centre_nodes(row, s_re, s_im, centre); /* for E_w zc_a s */
    for (int32_t a = 0; a < classes; a++) {
        const double *za_re = row->zc_re + (int64_t)a * NODES, *za_im = row->zc_im + (int64_t)a * NODES;
        double sum = 0.0;
        if (row->m[a] == 0.0) continue;
        for (int32_t s = 0; s < count; s++) sum += s_re[s] * za_re[s] - s_im[s] * za_im[s];
        g[a] += sum;
    }
}

/* --------------------------------------------------------------------------------------------------- operations --- */

static double exact_log_prob(const gurn_law_job *job, const law_row *row, int64_t b) {
    double sum = 0.0;
    for (int32_t i = 0; i < row->classes; i++) {
        int32_t c = job->view->order[i];
        double x = gurn_real(job->x, job->dtype, b * row->classes + c);
        sum += gurn_log_weight(job->view->steps[i].own.wide, row->m[c], x, row->a[c] * GURN_LN2);
    }
    return sum - row->log_norm;
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
        outside |= !(x > -1.0 && x < row->m[c] + 1.0);
    }
    if (outside) up = NAN;
    for (int32_t c = 0; c < classes; c++) {
        double x = gurn_real(job->x, job->dtype, b * classes + c);
        g[c] += up * (x - row->mean[c]);
        if (!job->d_x) continue;
        double dx = outside ? NAN : up * gurn_log_weight_dx(row->m[c], x, row->a[c] * GURN_LN2);
        gurn_set_real(job->d_x, job->dtype, b * classes + c, dx);
    }
}

static void moments_forward(const gurn_law_job *job, law_row *row, int64_t b) {
    law_row_take(job, row, job->in.log_omega, job->in.log_omega_stride, b,
                 job->moments.mean || job->moments.covariance);
    if (job->moments.log_norm) gurn_set_real(job->moments.log_norm, job->dtype, b, row->log_norm);
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
        for (int32_t c = 0; c < classes; c++) row->pull[c] = gurn_real(job->moments.mean, job->dtype, b * classes + c);
        add_cov_times(row, row->pull, 1.0, g);
    }
    if (job->moments.covariance) add_third(job, row, b, g);
}

/* row: the law at omega; other: at the other's. Gradients are added to g and g_other (NULL: not wanted). */
static double kl_row(const gurn_law_job *job, law_row *row, law_row *other, int64_t b, double up, double *g,
                     double *g_other) {
    law_row_take(job, row, job->in.log_omega, job->in.log_omega_stride, b, true);
    law_row_take(job, other, job->other, job->other_stride, b, g_other != NULL);
    if (row->fixed) return 0.0;
    double kl = other->log_norm - row->log_norm;
    for (int32_t c = 0; c < row->classes; c++) {
        row->pull[c] = row->m[c] > 0.0 ? (row->a[c] - other->a[c]) * GURN_LN2 : 0.0;
        kl += row->mean[c] * row->pull[c];
    }
    if (g) add_cov_times(row, row->pull, up, g);
    for (int32_t c = 0; c < row->classes && g_other; c++) g_other[c] += up * (other->mean[c] - row->mean[c]);
    return kl > 0.0 ? kl : 0.0;
}

/* mode.h */
static void mode_row(const gurn_law_job *job, law_row *row, int64_t b) {
    int32_t n = gurn_row_n(&job->in, b), classes = row->classes, *x = job->mode + b * classes;
    gurn_tilt_range range = law_row_omega(row, job->in.log_omega, job->dtype, b * job->in.log_omega_stride);
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
        law_row_sizes(&row, job->view);
        if (s.laws == 2) {
            law_row_cut(&other, classes, false, at + s.row_bytes);
            law_row_sizes(&other, job->view);
        }
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
