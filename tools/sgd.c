/*
 * Learning log omega by stochastic gradient descent through the relaxed sampler: [MVHG] App. B.5.1. Every observed row
 * is set beside a generated one; the loss is their squared difference, summed over classes; its gradient reaches log
 * omega by the straight-through estimator; Adam takes the steps, with a learning rate that falls to 0 along a half
 * cosine.
 *
 * Two gradients. The papers' is that of the loss of single rows. Its expectation is
 *     E sum_c (X_c - x_c)^2 = sum_c (E X_c - E x_c)^2 + var X_c + var x_c
 * so the optimum trades the means for a smaller variance of the generated counts: importances come out too unequal, the
 * more so the smaller and the more unequal the urn. The default is the gradient of the squared difference of minibatch
 * means, with the difference taken from a second, independent set of draws: then E of the product is the product of the
 * expectations, the variance term is gone, and the optimum is where the urn's means are the data's - which, for the
 * exact chain and rows of equal n, is the maximum of the likelihood too.
 *
 * Omega is known up to a factor, since rows have a given sum; log omega is kept at sum 0.
 */
#define _POSIX_C_SOURCE 200809L
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"

/* Where the noise of each use begins; rows are far fewer than 2^62. */
#define OFFSET_TRAIN UINT64_C(0)
#define OFFSET_SECOND (UINT64_C(1) << 62)
#define OFFSET_EVALUATE (UINT64_C(2) << 62) /* the same in every epoch, so that losses compare */

#define CHUNK_VALUES (1 << 18) /* counts drawn at once where no gradient is wanted */
#define MEAN_ROWS 20000        /* rows, at least, behind the means of the result */

struct sgd {
    const struct session *session;
    const struct counts *counts;
    int32_t classes;
    int64_t chunk; /* rows that the arrays have room for */
    bool equal_n;  /* all rows have the n of the first */
    gurn_mvhg_inputs inputs;
    size_t workspace_bytes;
    double *log_omega; /* [classes], host */
    /* Device memory, and where the host reads it on a GPU. */
    void *log_omega_device, *workspace;
    void *n_device;              /* int32 [chunk] */
    void *x, *second, *upstream; /* real [chunk][classes] */
    void *gradient;              /* real [classes] */
    void *x_host, *second_host, *gradient_host;
    void *upstream_host; /* real [chunk][classes]: made here */
    int32_t *n_host;     /* [chunk] */
};

static uint64_t next_random(uint64_t *state) { /* splitmix64 */
    uint64_t z = *state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

static void shuffle(int64_t *rows, int64_t count, uint64_t *state) {
    for (int64_t i = count - 1; i > 0; i--) {
        int64_t j = (int64_t)(next_random(state) % (uint64_t)(i + 1));
        int64_t swap = rows[i];
        rows[i] = rows[j];
        rows[j] = swap;
    }
}

static void prepare(struct sgd *sgd, const struct session *session, const struct counts *counts,
                    const struct sgd_options *options, double *log_omega) {
    const int32_t classes = counts->classes;
    memset(sgd, 0, sizeof *sgd);
    sgd->session = session;
    sgd->counts = counts;
    sgd->classes = classes;
    sgd->log_omega = log_omega;
    sgd->chunk = CHUNK_VALUES / classes;
    if (sgd->chunk > counts->rows) sgd->chunk = counts->rows;
    if (sgd->chunk < options->batch) sgd->chunk = options->batch;
    sgd->equal_n = true;
    for (int64_t r = 1; r < counts->rows; r++) sgd->equal_n = sgd->equal_n && counts->n[r] == counts->n[0];

    const size_t size = session->real_size, x_bytes = (size_t)sgd->chunk * (size_t)classes * size;
    sgd->log_omega_device = device_alloc(session, (size_t)classes * size);
    sgd->n_device = device_alloc(session, (size_t)sgd->chunk * sizeof(int32_t));
    sgd->x = device_alloc(session, x_bytes);
    sgd->second = device_alloc(session, x_bytes);
    sgd->upstream = device_alloc(session, x_bytes);
    sgd->gradient = device_alloc(session, (size_t)classes * size);
    sgd->x_host = session->cuda ? allocate(x_bytes, 1) : NULL;
    sgd->second_host = session->cuda ? allocate(x_bytes, 1) : NULL;
    sgd->gradient_host = allocate((size_t)classes, size);
    sgd->upstream_host = allocate(x_bytes, 1);
    sgd->n_host = allocate((size_t)sgd->chunk, sizeof *sgd->n_host);

    sgd->inputs = (gurn_mvhg_inputs)GURN_MVHG_INPUTS_INIT;
    sgd->inputs.rows = sgd->chunk;
    sgd->inputs.log_omega = sgd->log_omega_device;
    sgd->inputs.n = counts->n[0];
    sgd->inputs.n_rows = sgd->equal_n ? NULL : sgd->n_device;
    sgd->inputs.noise.seed = options->seed;
    size_t forward, backward;
    check(session, gurn_mvhg_workspace(session->context, session->plan, &sgd->inputs, &forward, &backward),
          "gurn_mvhg_workspace");
    sgd->workspace_bytes = forward > backward ? forward : backward;
    sgd->workspace = device_alloc(session, sgd->workspace_bytes);
}

static void release(struct sgd *sgd) {
    void *const device[] = {sgd->log_omega_device, sgd->workspace, sgd->n_device, sgd->x,
                            sgd->second,           sgd->upstream,  sgd->gradient};
    void *const host[] = {sgd->x_host, sgd->second_host, sgd->gradient_host, sgd->upstream_host, sgd->n_host};
    for (size_t i = 0; i < sizeof device / sizeof device[0]; i++) device_free(sgd->session, device[i]);
    for (size_t i = 0; i < sizeof host / sizeof host[0]; i++) free(host[i]);
}

/* Says for which observed rows the next draws are. */
static void set_rows(struct sgd *sgd, const int64_t *rows, int64_t count) {
    sgd->inputs.rows = count;
    if (sgd->equal_n) return;
    for (int64_t b = 0; b < count; b++) sgd->n_host[b] = sgd->counts->n[rows[b]];
    to_device(sgd->session, sgd->n_device, sgd->n_host, (size_t)count * sizeof(int32_t));
}

/* Draws into x, device memory, and returns it readable. */
static const void *draw(struct sgd *sgd, uint64_t offset, void *x, void *host) {
    const struct session *session = sgd->session;
    gurn_mvhg_outputs outputs = GURN_MVHG_OUTPUTS_INIT;
    outputs.x = x;
    sgd->inputs.noise.offset = offset;
    check(session,
          gurn_mvhg_forward(session->context, session->plan, &sgd->inputs, &outputs, sgd->workspace,
                            sgd->workspace_bytes),
          "gurn_mvhg_forward");
    return to_host(session, x, host, (size_t)(sgd->inputs.rows * sgd->classes) * session->real_size);
}

static double squared_error(const struct sgd *sgd, const void *x, const int64_t *rows, int64_t count) {
    double sum = 0;
    for (int64_t b = 0; b < count; b++) {
        for (int32_t c = 0; c < sgd->classes; c++) {
            double d = real_at(sgd->session, x, b * sgd->classes + c) - sgd->counts->x[rows[b] * sgd->classes + c];
            sum += d * d;
        }
    }
    return sum;
}

/* Mean loss of the rows at the present log omega; adds the generated counts to sum[classes] unless that is NULL. */
static double evaluate(struct sgd *sgd, const int64_t *rows, int64_t count, uint64_t offset, double *sum) {
    double loss = 0;
    put_log_omega(sgd->session, sgd->log_omega_device, sgd->log_omega, sgd->classes);
    for (int64_t done = 0, part; done < count; done += part) {
        part = count - done < sgd->chunk ? count - done : sgd->chunk;
        set_rows(sgd, rows + done, part);
        const void *x = draw(sgd, offset + (uint64_t)done, sgd->x, sgd->x_host);
        loss += squared_error(sgd, x, rows + done, part);
        if (!sum) continue;
        for (int64_t i = 0; i < part * sgd->classes; i++) sum[i % sgd->classes] += real_at(sgd->session, x, i);
    }
    return count ? loss / (double)count : NAN;
}

static void put_upstream(struct sgd *sgd, int64_t i, double value) {
    if (sgd->session->real_size == sizeof(float))
        ((float *)sgd->upstream_host)[i] = (float)value;
    else
        ((double *)sgd->upstream_host)[i] = value;
}

/* Upstream gradient of x for a minibatch; see the head of this file. mean[classes] is scratch. */
static void make_upstream(struct sgd *sgd, const void *x, uint64_t offset, const int64_t *rows, int64_t count,
                          bool per_row_loss, double *mean) {
    const int32_t classes = sgd->classes;
    const int32_t *observed = sgd->counts->x;
    if (per_row_loss) {
        for (int64_t b = 0; b < count; b++) {
            for (int32_t c = 0; c < classes; c++) {
                double d = real_at(sgd->session, x, b * classes + c) - observed[rows[b] * classes + c];
                put_upstream(sgd, b * classes + c, 2 * d / (double)count);
            }
        }
        return;
    }
    const void *second = draw(sgd, OFFSET_SECOND + offset, sgd->second, sgd->second_host);
    memset(mean, 0, (size_t)classes * sizeof *mean);
    for (int64_t b = 0; b < count; b++) {
        for (int32_t c = 0; c < classes; c++) {
            double d = real_at(sgd->session, second, b * classes + c) - observed[rows[b] * classes + c];
            mean[c] += d / (double)count;
        }
    }
    for (int64_t i = 0; i < count * classes; i++) put_upstream(sgd, i, 2 * mean[i % classes] / (double)count);
}

/* Gradient of the loss to log omega, readable, for draws x at the noise of `offset`. */
static const void *gradient(struct sgd *sgd, uint64_t offset) {
    const struct session *session = sgd->session;
    gurn_mvhg_upstream upstream = GURN_MVHG_UPSTREAM_INIT;
    gurn_mvhg_gradients gradients = GURN_MVHG_GRADIENTS_INIT;
    to_device(session, sgd->upstream, sgd->upstream_host,
              (size_t)(sgd->inputs.rows * sgd->classes) * session->real_size);
    upstream.x = sgd->upstream;
    gradients.log_omega = sgd->gradient;
    sgd->inputs.noise.offset = offset;
    check(session,
          gurn_mvhg_backward(session->context, session->plan, &sgd->inputs, sgd->x, &upstream, &gradients,
                             sgd->workspace, sgd->workspace_bytes),
          "gurn_mvhg_backward");
    return to_host(session, sgd->gradient, sgd->gradient_host, (size_t)sgd->classes * session->real_size);
}

struct adam {
    double *first, *second; /* [classes]: running means of the gradient and of its square */
    int64_t steps;
};

/* Kingma and Ba, Adam (2015), Algorithm 1, with its standard constants. */
static void adam_step(struct adam *adam, const struct session *session, const void *slope, double rate,
                      double *log_omega, int32_t classes) {
    const double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;
    adam->steps++;
    const double correct1 = 1 - pow(beta1, (double)adam->steps), correct2 = 1 - pow(beta2, (double)adam->steps);
    for (int32_t c = 0; c < classes; c++) {
        const double g = real_at(session, slope, c);
        if (!isfinite(g)) fail("the gradient is not finite in step %lld; try another --tau", (long long)adam->steps);
        adam->first[c] = beta1 * adam->first[c] + (1 - beta1) * g;
        adam->second[c] = beta2 * adam->second[c] + (1 - beta2) * g * g;
        log_omega[c] -= rate * (adam->first[c] / correct1) / (sqrt(adam->second[c] / correct2) + epsilon);
    }
    centre(log_omega, classes);
}

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Geometrically from first (part 0) to last (part 1), whose ratio may be more than a double holds. */
static double temperature(double first, double last, double part) {
    double tau = exp((1 - part) * log(first) + part * log(last));
    return fmax(fmin(first, last), fmin(fmax(first, last), tau));
}

static void log_epoch(struct writer *log, int64_t epoch, double tau, double rate, double train, double validation,
                      const double *log_omega, int32_t classes) {
    write_text(log, "%lld,%.9g,%.9g,%.9g,", (long long)epoch, tau, rate, train);
    if (isfinite(validation)) write_text(log, "%.9g", validation);
    for (int32_t c = 0; c < classes; c++) write_text(log, ",%.9g", log_omega[c]);
    write_text(log, "\n");
    writer_flush(log);
}

void fit_sgd(const struct session *session, const struct counts *counts, const struct sgd_options *options,
             struct sgd_result *result) {
    const int32_t classes = counts->classes;
    struct sgd sgd;
    prepare(&sgd, session, counts, options, result->log_omega);
    centre(sgd.log_omega, classes);

    uint64_t random = options->seed;
    int64_t *rows = allocate((size_t)counts->rows, sizeof *rows);
    for (int64_t r = 0; r < counts->rows; r++) rows[r] = r;
    shuffle(rows, counts->rows, &random);
    int64_t train_rows = (int64_t)(options->train * (double)counts->rows + 0.5);
    if (train_rows < 1) train_rows = 1;
    const int64_t held_out = counts->rows - train_rows;
    const int64_t *validation = rows + train_rows;

    const int64_t steps_per_epoch = (train_rows + options->batch - 1) / options->batch;
    int64_t epochs = options->epochs ? options->epochs : (SGD_STEPS + steps_per_epoch - 1) / steps_per_epoch;
    if (!options->epochs && epochs < 10) epochs = 10;

    struct writer log;
    if (options->log) {
        writer_open(&log, options->log);
        write_text(&log, "epoch,tau,learning_rate,train_loss,validation_loss");
        for (int32_t c = 0; c < classes; c++) write_text(&log, ",log_omega%d", c);
        write_text(&log, "\n");
    }
    const bool progress = isatty(STDERR_FILENO);
    double reported = seconds();

    struct adam adam = {allocate((size_t)classes, sizeof(double)), allocate((size_t)classes, sizeof(double)), 0};
    double *mean = allocate((size_t)classes, sizeof *mean);
    uint64_t drawn = 0;
    for (int64_t epoch = 0; epoch < epochs; epoch++) {
        const double part = epochs > 1 ? (double)epoch / (double)(epochs - 1) : 0;
        double loss = 0, rate = 0;
        sgd.inputs.tau = temperature(options->tau, options->tau_final, part);
        shuffle(rows, train_rows, &random);
        for (int64_t start = 0; start < train_rows; start += options->batch) {
            const int64_t count = train_rows - start < options->batch ? train_rows - start : options->batch;
            const uint64_t offset = OFFSET_TRAIN + drawn;
            rate = options->learning_rate * 0.5 *
                   (1 + cos(3.14159265358979323846 * (double)adam.steps / (double)(epochs * steps_per_epoch)));
            put_log_omega(session, sgd.log_omega_device, sgd.log_omega, classes);
            set_rows(&sgd, rows + start, count);
            const void *x = draw(&sgd, offset, sgd.x, sgd.x_host);
            loss += squared_error(&sgd, x, rows + start, count);
            make_upstream(&sgd, x, offset, rows + start, count, options->per_row_loss, mean);
            adam_step(&adam, session, gradient(&sgd, offset), rate, sgd.log_omega, classes);
            drawn += (uint64_t)count;
        }
        loss /= (double)train_rows;
        const bool show = progress && (seconds() - reported > 0.1 || epoch + 1 == epochs);
        if (!show && !options->log) continue;
        const double held_out_loss = evaluate(&sgd, validation, held_out, OFFSET_EVALUATE, NULL);
        if (options->log) log_epoch(&log, epoch + 1, sgd.inputs.tau, rate, loss, held_out_loss, sgd.log_omega, classes);
        if (!show) continue;
        reported = seconds();
        fprintf(stderr, "\repoch %lld/%lld  train loss %.6g  validation loss %.6g\033[K", (long long)(epoch + 1),
                (long long)epochs, loss, held_out_loss);
    }
    if (progress) fputs("\r\033[K", stderr);
    if (options->log) writer_close(&log);

    result->train_rows = train_rows;
    result->validation_rows = held_out;
    result->train_loss = evaluate(&sgd, rows, train_rows, OFFSET_EVALUATE + (uint64_t)held_out, NULL);
    result->validation_loss = evaluate(&sgd, validation, held_out, OFFSET_EVALUATE, NULL);
    const int64_t repeats = (MEAN_ROWS + counts->rows - 1) / counts->rows;
    uint64_t offset = OFFSET_EVALUATE + (uint64_t)counts->rows;
    for (int64_t i = 0; i < repeats; i++, offset += (uint64_t)counts->rows)
        evaluate(&sgd, rows, counts->rows, offset, result->model_mean);
    for (int32_t c = 0; c < classes; c++) result->model_mean[c] /= (double)(repeats * counts->rows);

    free(mean);
    free(adam.first);
    free(adam.second);
    free(rows);
    release(&sgd);
}
