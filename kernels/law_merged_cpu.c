/*
 * Log-probability under the merged chain on the CPU, one row (law_cpu.c has the batch; mathematics in log_prob.h,
 * mvhg.h).
 */
#include "law_cpu.h"

/*
 * The places of the row's urn, from last to first: balls into row->m, those of later places into row->low, lambda into
 * row->pull. Returns whether some class of omega 0 has an x that is not 0.
 */
static bool merged_places(const gurn_law_job *job, law_row *row, int64_t b) {
    int64_t at = b * job->in.log_omega_stride;
    double largest =
        gurn_omega_largest(job->view->steps, row->classes, job->in.order, job->in.log_omega, job->dtype, at);
    gurn_merged_rest rest = gurn_merged_rest_begin();
    bool outside = false;
    for (int32_t i = row->classes - 1; i >= 0; i--) {
        int32_t c = job->in.order[i];
        double log_omega = gurn_real(job->in.log_omega, job->dtype, at + c),
               held = gurn_law_held(log_omega, gurn_law_tilt_at(largest));
        bool zero = gurn_omega_is_zero(log_omega);
        row->m[i] = zero ? 0.0 : (double)job->view->steps[i].m;
        row->low[i] = rest.balls;
        row->pull[i] = gurn_merged_law_lambda(held, rest);
        gurn_merged_rest_add(&rest, row->m[i], held);
        outside |= zero && gurn_real(job->x, job->dtype, b * row->classes + c) != 0.0;
    }
    return outside;
}

double GURN_NAME(law_merged)(const gurn_law_job *job, law_row *row, int64_t b) {
    double left = gurn_row_n(&job->in, b), log_p = 0.0;
    if (merged_places(job, row, b)) return -INFINITY;
    for (int32_t i = 0; i < row->classes; i++) {
        double x = gurn_real(job->x, job->dtype, b * row->classes + job->in.order[i]);
        if (row->low[i] == 0.0) break;
        log_p += gurn_merged_log_p(row->m[i], row->low[i], row->pull[i], left, x).log_p;
        if (log_p == -INFINITY) break;
        left -= x;
    }
    return log_p;
}

void GURN_NAME(law_merged_backward)(const gurn_law_job *job, law_row *row, int64_t b, double up) {
    int32_t classes = row->classes;
    double left = gurn_row_n(&job->in, b), passed = 0.0, tail = 0.0;
    bool outside = merged_places(job, row, b);
    for (int32_t i = 0; i < classes; i++) {
        int32_t cls = job->in.order[i];
        double x = gurn_real(job->x, job->dtype, b * classes + cls), own = 0.0,
               share = gurn_merged_law_share(row->m[i], row->low[i], row->pull[i]);
        gurn_merged_term t = {0.0, 0.0, 0.0, 0.0};
        if (row->low[i] > 0.0) {
            t = gurn_merged_log_p(row->m[i], row->low[i], row->pull[i], left, x);
            own = up * t.dlog_omega;
        }
        outside |= t.log_p == -INFINITY;
        row->mean[cls] = own - passed * share;
        passed = passed * (1.0 - share) + own;
        row->p[i] = t.dx;
        row->q[i] = t.dn;
        left -= x;
    }
    for (int32_t i = classes - 1; i >= 0; i--) { /* n_i falls by what earlier places take */
        int32_t cls = job->in.order[i];
        double log_omega = gurn_real(job->in.log_omega, job->dtype, b * job->in.log_omega_stride + cls);
        row->a[cls] = gurn_omega_is_zero(log_omega) ? 0.0 : up * (row->p[i] + tail);
        tail -= row->q[i];
    }
    for (int32_t c = 0; outside && c < classes; c++) row->mean[c] = row->a[c] = NAN;
}
