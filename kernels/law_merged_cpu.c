/*
 * Log-probability under the merged chain on the CPU, one row (law_cpu.c has the batch; mathematics in log_prob.h,
 * mvhg.h).
 */
#include "law_cpu.h"

/* lambda of every place (mvhg.h), into row->pull. */
static void merged_lambdas(const gurn_law_job *job, law_row *row, int64_t b) {
    double rest = -INFINITY;
    for (int32_t i = row->classes - 1; i >= 0; i--) {
        const gurn_step *step = &job->view->steps[i];
        int64_t at = b * job->in.log_omega_stride + job->in.order[i];
        double own = gurn_real(job->in.log_omega, job->dtype, at) * GURN_LOG2E;
        row->pull[i] = step->m_rest > 0 ? s_merged_lambda(own, rest, step->log2_m_rest) : 0.0;
        if (step->m > 0) rest = s_log2_add(rest, own + step->log2_m);
    }
}

double GURN_NAME(law_merged)(const gurn_law_job *job, law_row *row, int64_t b) {
    double left = gurn_row_n(&job->in, b), log_p = 0.0;
    merged_lambdas(job, row, b);
    for (int32_t i = 0; i < row->classes; i++) {
        const gurn_step *step = &job->view->steps[i];
        double x = gurn_real(job->x, job->dtype, b * row->classes + job->in.order[i]);
        if (step->m_rest == 0) break;
        log_p += gurn_merged_log_p(step, row->pull[i], left, x).log_p;
        if (log_p == -INFINITY) break;
        left -= x;
    }
    return log_p;
}

void GURN_NAME(law_merged_backward)(const gurn_law_job *job, law_row *row, int64_t b, double up) {
    int32_t classes = row->classes;
    double left = gurn_row_n(&job->in, b), passed = 0.0, tail = 0.0;
    bool outside = false;
    merged_lambdas(job, row, b);
    for (int32_t i = 0; i < classes; i++) {
        const gurn_step *step = &job->view->steps[i];
        int32_t cls = job->in.order[i];
        double x = gurn_real(job->x, job->dtype, b * classes + cls), own = 0.0, share = step->m > 0 ? 1.0 : 0.0;
        gurn_merged_term t = {0.0, 0.0, 0.0, 0.0};
        if (step->m_rest > 0) {
            t = gurn_merged_log_p(step, row->pull[i], left, x);
            own = up * t.dlog_omega;
            if (step->m > 0) share = gurn_merged_share(step->log2_m, step->log2_m_rest, row->pull[i]);
        }
        outside |= t.log_p == -INFINITY;
        row->mean[cls] = own - passed * share;
        passed = passed * (1.0 - share) + own;
        row->p[i] = t.dx;
        row->q[i] = t.dn;
        left -= x;
    }
    for (int32_t i = classes - 1; i >= 0; i--) { /* n_i falls by what earlier places take */
        row->a[job->in.order[i]] = up * (row->p[i] + tail);
        tail -= row->q[i];
    }
    for (int32_t c = 0; outside && c < classes; c++) row->mean[c] = row->a[c] = NAN;
}
