/* Calls about the law itself, with host arrays of doubles whatever the device: what logprob, moments, kl and fit need. */
#define _POSIX_C_SOURCE 200809L
#include <stdlib.h>
#include <string.h>

#include "cli.h"

void law_open(struct law *law, const struct urn *urn, int32_t n_max) {
    struct urn as_double = *urn;
    as_double.dtype = GURN_FLOAT64;
    as_double.use = GURN_PLAN_LAW;
    if (urn->device == GURN_DEVICE_AUTO) as_double.device = GURN_DEVICE_CPU; /* too little work for a GPU */
    session_open(&law->session, &as_double, n_max);
    law->classes = urn->classes;
}

void law_close(struct law *law) { session_close(&law->session); }

/* Device memory that holds a copy of a host array; NULL of NULL. */
static void *uploaded(const struct law *law, const void *host, size_t bytes) {
    if (!host) return NULL;
    void *memory = device_alloc(&law->session, bytes);
    to_device(&law->session, memory, host, bytes);
    return memory;
}

/* Device memory for a result of which the host array will be a copy; NULL of NULL. */
static void *room_for(const struct law *law, const void *host, size_t bytes) {
    return host ? device_alloc(&law->session, bytes) : NULL;
}

static void download(const struct law *law, void *memory, void *host, size_t bytes) {
    if (!host) return;
    const void *readable = to_host(&law->session, memory, host, bytes);
    if (readable != host) memcpy(host, readable, bytes);
    device_free(&law->session, memory);
}

/* The inputs and the workspace of a call for rows that share log omega. n[rows]: of every row. */
struct call {
    gurn_mvhg_inputs inputs;
    void *log_omega, *n_rows, *workspace;
    size_t workspace_bytes;
};

static struct call begin(const struct law *law, gurn_law kind, const double *log_omega, const int32_t *n,
                         int64_t rows) {
    const struct session *session = &law->session;
    struct call call = {.inputs = GURN_MVHG_INPUTS_INIT};
    call.log_omega = uploaded(law, log_omega, (size_t)law->classes * sizeof(double));
    call.n_rows = uploaded(law, n, (size_t)rows * sizeof(int32_t));
    call.inputs.rows = rows;
    call.inputs.log_omega = call.log_omega;
    call.inputs.n_rows = call.n_rows;
    check(session, gurn_mvhg_law_workspace(session->context, session->plan, &call.inputs, kind, &call.workspace_bytes),
          "gurn_mvhg_law_workspace");
    call.workspace = device_alloc(session, call.workspace_bytes);
    return call;
}

static void end(const struct law *law, struct call *call) {
    device_free(&law->session, call->log_omega);
    device_free(&law->session, call->n_rows);
    device_free(&law->session, call->workspace);
}

void law_moments(const struct law *law, const double *log_omega, const int32_t *n, int64_t rows, double *log_norm,
                 double *mean, double *covariance) {
    const struct session *session = &law->session;
    const size_t classes = (size_t)law->classes, norm_bytes = (size_t)rows * sizeof(double);
    const size_t mean_bytes = norm_bytes * classes, covariance_bytes = mean_bytes * classes;
    struct call call = begin(law, covariance ? GURN_LAW_COVARIANCE : GURN_LAW_MOMENTS, log_omega, n, rows);
    gurn_mvhg_moments moments = GURN_MVHG_MOMENTS_INIT;
    moments.log_norm = room_for(law, log_norm, norm_bytes);
    moments.mean = room_for(law, mean, mean_bytes);
    moments.covariance = room_for(law, covariance, covariance_bytes);
    check(session,
          gurn_mvhg_moments_forward(session->context, session->plan, &call.inputs, &moments, call.workspace,
                                    call.workspace_bytes),
          "gurn_mvhg_moments_forward");
    download(law, moments.log_norm, log_norm, norm_bytes);
    download(law, moments.mean, mean, mean_bytes);
    download(law, moments.covariance, covariance, covariance_bytes);
    end(law, &call);
}

void law_log_prob(const struct law *law, const double *log_omega, const int32_t *x, const int32_t *n, int64_t rows,
                  double *log_p) {
    const struct session *session = &law->session;
    const int64_t values = rows * law->classes;
    double *reals = allocate((size_t)values, sizeof *reals);
    for (int64_t i = 0; i < values; i++) reals[i] = x[i];
    struct call call = begin(law, GURN_LAW_LOG_PROB, log_omega, n, rows);
    void *x_device = uploaded(law, reals, (size_t)values * sizeof(double));
    void *log_p_device = room_for(law, log_p, (size_t)rows * sizeof(double));
    check(session,
          gurn_mvhg_log_prob(session->context, session->plan, &call.inputs, x_device, log_p_device, call.workspace,
                             call.workspace_bytes),
          "gurn_mvhg_log_prob");
    download(law, log_p_device, log_p, (size_t)rows * sizeof(double));
    device_free(session, x_device);
    end(law, &call);
    free(reals);
}

double law_kl(const struct law *law, const double *log_omega, const double *other, int32_t n) {
    const struct session *session = &law->session;
    double kl;
    struct call call = begin(law, GURN_LAW_KL, log_omega, &n, 1);
    void *other_device = uploaded(law, other, (size_t)law->classes * sizeof(double));
    void *kl_device = room_for(law, &kl, sizeof kl);
    check(session,
          gurn_mvhg_kl(session->context, session->plan, &call.inputs, other_device, 0, kl_device, call.workspace,
                       call.workspace_bytes),
          "gurn_mvhg_kl");
    download(law, kl_device, &kl, sizeof kl);
    device_free(session, other_device);
    end(law, &call);
    return kl;
}

void law_mode(const struct law *law, const double *log_omega, int32_t n, int32_t *mode) {
    const struct session *session = &law->session;
    const size_t bytes = (size_t)law->classes * sizeof *mode;
    struct call call = begin(law, GURN_LAW_MODE, log_omega, &n, 1);
    void *mode_device = room_for(law, mode, bytes);
    check(session,
          gurn_mvhg_mode(session->context, session->plan, &call.inputs, mode_device, call.workspace,
                         call.workspace_bytes),
          "gurn_mvhg_mode");
    download(law, mode_device, mode, bytes);
    end(law, &call);
}
