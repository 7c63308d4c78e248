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
 *
 * Too large a learning rate throws log omega to where one class takes all, draws do not vary, and gradients vanish. That is
 * noticed by where it ends; see check_end.
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
/*
 * How much further apart than in the start log omega may come: exp of it is near the largest double. 2000 steps at the default
 * learning rate move a log omega by 100 at most, and a class that the data never have by 20 or 30, where its gradient vanishes.
 */
#define FURTHEST_APART 700.0

struct sgd {
    const struct session *session;
    const struct counts *counts;
    const int32_t *m;
    int32_t classes;
    int64_t chunk;       /* rows that the arrays have room for */
    bool equal_n;        /* all rows have the n of the first */
    bool pushed, slopes; /* whether any upstream gradient was not 0, and any gradient was enough for a step */
    bool progress;       /* shown on a terminal, in a line that is written again and again */
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

/* Bytes for forward and backward at a temperature, which the option of that name gave; the library judges it. */
static size_t workspace_at(const struct sgd *sgd, double tau, const char *option) {
    const struct session *session = sgd->session;
    gurn_mvhg_inputs inputs = sgd->inputs;
    gurn_mvhg_outputs outputs = GURN_MVHG_OUTPUTS_INIT;
    size_t forward, backward;
    inputs.tau = tau;
    check(session, gurn_mvhg_workspace(session->context, session->plan, &inputs, &forward, &backward),
          "gurn_mvhg_workspace");
    inputs.rows = 0;
    if (gurn_mvhg_forward(session->context, session->plan, &inputs, &outputs, NULL, 0) == GURN_INVALID_TAU)
        usage_error("%s: %s", option, gurn_context_message(session->context));
    return forward > backward ? forward : backward;
}

static void prepare(struct sgd *sgd, const struct session *session, const struct counts *counts, const int32_t *m,
                    const struct sgd_options *options, double *log_omega) {
    const int32_t classes = counts->classes;
    memset(sgd, 0, sizeof *sgd);
    sgd->session = session;
    sgd->counts = counts;
    sgd->m = m;
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
    const size_t first = workspace_at(sgd, options->tau, "--tau");
    const size_t last = workspace_at(sgd, options->tau_final, "--tau-final");
    sgd->workspace_bytes = first > last ? first : last; /* temperatures between these need no more */
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
    if (value != 0) sgd->pushed = true;
    if (sgd->session->real_size == sizeof(float))
        ((float *)sgd->upstream_host)[i] = (float)value;
    else
        ((double *)sgd->upstream_host)[i] = value;
}

/* The loss that is minimised, of all these rows at once and at the present log omega, from MEAN_ROWS draws at least. */
static double whole_loss(struct sgd *sgd, const int64_t *rows, int64_t count, uint64_t offset, bool per_row_loss,
                         double *mean) {
    const int64_t repeats = (MEAN_ROWS + count - 1) / count;
    double loss = 0;
    memset(mean, 0, (size_t)sgd->classes * sizeof *mean);
    for (int64_t i = 0; i < repeats; i++) loss += evaluate(sgd, rows, count, offset + (uint64_t)(i * count), mean);
    if (per_row_loss) return loss / (double)repeats;
    loss = 0;
    for (int32_t c = 0; c < sgd->classes; c++) {
        double d = mean[c] / (double)repeats;
        for (int64_t b = 0; b < count; b++) d -= sgd->counts->x[rows[b] * sgd->classes + c];
        d /= (double)count;
        loss += d * d;
    }
    return loss;
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

static void end_progress(const struct sgd *sgd) {
    if (sgd->progress) fputs("\r\033[K", stderr);
}

struct adam {
    double *first, *second; /* [classes]: running means of the gradient and of its square */
    int64_t steps;
};

/* Sum 0 over the classes that have balls; of the others the law says nothing. */
static void settle(const struct sgd *sgd) {
    double mean = 0;
    int32_t count = 0;
    for (int32_t c = 0; c < sgd->classes; c++) count += sgd->m[c] > 0;
    for (int32_t c = 0; c < sgd->classes; c++)
        if (sgd->m[c] > 0) mean += sgd->log_omega[c] / count;
    for (int32_t c = 0; c < sgd->classes; c++) sgd->log_omega[c] = sgd->m[c] > 0 ? sgd->log_omega[c] - mean : 0;
}

/* The largest log omega less the smallest; infinite when one is not finite. */
static double spread(const struct sgd *sgd) {
    double least = HUGE_VAL, most = -HUGE_VAL;
    for (int32_t c = 0; c < sgd->classes; c++) {
        if (!isfinite(sgd->log_omega[c])) return HUGE_VAL;
        if (sgd->m[c] == 0) continue;
        least = fmin(least, sgd->log_omega[c]);
        most = fmax(most, sgd->log_omega[c]);
    }
    return most - least;
}

/* Kingma and Ba, Adam (2015), Algorithm 1, with its standard constants. */
static void adam_step(struct adam *adam, struct sgd *sgd, const void *slope, double rate) {
    const double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;
    adam->steps++;
    const double correct1 = 1 - pow(beta1, (double)adam->steps), correct2 = 1 - pow(beta2, (double)adam->steps);
    for (int32_t c = 0; c < sgd->classes; c++) {
        const double g = real_at(sgd->session, slope, c);
        if (!isfinite(g)) {
            end_progress(sgd);
            fail("the gradient is not finite in step %lld; try another --tau", (long long)adam->steps);
        }
        if (fabs(g) > 0.01 * epsilon) sgd->slopes = true; /* else not a hundredth of a step */
        adam->first[c] = beta1 * adam->first[c] + (1 - beta1) * g;
        adam->second[c] = beta2 * adam->second[c] + (1 - beta2) * g * g;
        sgd->log_omega[c] -= rate * (adam->first[c] / correct1) / (sqrt(adam->second[c] / correct2) + epsilon);
    }
    settle(sgd);
}

/* From one temperature to the other, geometrically, never beyond them; part: 0..1. */
static double annealed(double from, double to, double part) {
    const double tau = exp((1 - part) * log(from) + part * log(to));
    return fmin(fmax(from, to), fmax(fmin(from, to), tau));
}

/*
 * By how much the loss that is minimised may end above where it started: chance, few steps, and a start that was the optimum
 * already do that. For every class, with u half the variance of its counts were its balls drawn independently of each other: u,
 * half the scatter of a row; and u^2, what half a unit of log omega does. An urn from which one class or some take all, whatever
 * the data, is further off the data's means than that. Besides, for the chance of MEAN_ROWS draws, a thousandth of the balls drawn.
 */
static double allowance(const struct sgd *sgd, const int64_t *rows, int64_t count) {
    double sum = 0;
    for (int32_t c = 0; c < sgd->classes; c++) {
        if (sgd->m[c] == 0) continue;
        double mean = 0;
        for (int64_t b = 0; b < count; b++) mean += sgd->counts->x[rows[b] * sgd->classes + c] / (double)count;
        const double u = 0.5 * mean * (1 - mean / sgd->m[c]);
        sum += u + u * u + 1e-3 * mean;
    }
    return sum;
}

/* Fails where the loss that is minimised, at the start and at the end, says that nothing good came of learning. */
static void check_end(const struct sgd *sgd, double start, double end, double allowed, bool per_row_loss) {
    if (!(end <= 1.1 * start + allowed))
        fail(
            "learning diverged: the loss of %s was %.3g at the start and is %.3g at the end; try a smaller "
            "--learning-rate",
            per_row_loss ? "rows" : "means", start, end);
    if (sgd->pushed && !sgd->slopes)
        fail(
            "nothing was learned, since the gradient was near 0 in every step; try a --tau nearer 1, or another start");
    if (!per_row_loss && !(end <= allowed))
        warn("the urn's means are still far from the data's: try more --epochs, or another --learning-rate or --tau");
}

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void log_epoch(struct writer *log, int64_t epoch, double tau, double rate, double train, double validation,
                      const double *log_omega, int32_t classes) {
    write_text(log, "%lld,%.9g,%.9g,%.9g,", (long long)epoch, tau, rate, train);
    if (isfinite(validation)) write_text(log, "%.9g", validation);
    for (int32_t c = 0; c < classes; c++) write_text(log, ",%.9g", log_omega[c]);
    write_text(log, "\n");
    writer_flush(log);
}

void fit_sgd(const struct session *session, const struct counts *counts, const int32_t *m,
             const struct sgd_options *options, struct sgd_result *result) {
    const int32_t classes = counts->classes;
    struct sgd sgd;
    prepare(&sgd, session, counts, m, options, result->log_omega);
    settle(&sgd);

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
    sgd.progress = isatty(STDERR_FILENO);
    double reported = seconds();

    struct adam adam = {allocate((size_t)classes, sizeof(double)), allocate((size_t)classes, sizeof(double)), 0};
    double *mean = allocate((size_t)classes, sizeof *mean);
    const uint64_t whole =
        OFFSET_EVALUATE + (uint64_t)counts->rows; /* after the noise of rows held out, and of the others */
    const double furthest = spread(&sgd) + FURTHEST_APART;
    const double start_loss = whole_loss(&sgd, rows, train_rows, whole, options->per_row_loss, mean);
    uint64_t drawn = 0;
    for (int64_t epoch = 0; epoch < epochs; epoch++) {
        const double part = epochs > 1 ? (double)epoch / (double)(epochs - 1) : 0;
        double loss = 0, rate = 0;
        sgd.inputs.tau = annealed(options->tau, options->tau_final, part);
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
            adam_step(&adam, &sgd, gradient(&sgd, offset), rate);
            drawn += (uint64_t)count;
            if (!(spread(&sgd) <= furthest)) {
                end_progress(&sgd);
                fail(
                    "learning diverged in step %lld: log omega of two classes are more than %g apart; try a smaller "
                    "--learning-rate",
                    (long long)adam.steps, furthest);
            }
        }
        loss /= (double)train_rows;
        const bool show = sgd.progress && (seconds() - reported > 0.1 || epoch + 1 == epochs);
        if (!show && !options->log) continue;
        const double held_out_loss = evaluate(&sgd, validation, held_out, OFFSET_EVALUATE, NULL);
        if (options->log) log_epoch(&log, epoch + 1, sgd.inputs.tau, rate, loss, held_out_loss, sgd.log_omega, classes);
        if (!show) continue;
        reported = seconds();
        fprintf(stderr, "\repoch %lld/%lld  train loss %.6g  validation loss %.6g\033[K", (long long)(epoch + 1),
                (long long)epochs, loss, held_out_loss);
    }
    end_progress(&sgd);
    if (options->log) writer_close(&log);

    result->train_rows = train_rows;
    result->validation_rows = held_out;
    result->train_loss = evaluate(&sgd, rows, train_rows, OFFSET_EVALUATE + (uint64_t)held_out, NULL);
    result->validation_loss = evaluate(&sgd, validation, held_out, OFFSET_EVALUATE, NULL);
    check_end(&sgd, start_loss, whole_loss(&sgd, rows, train_rows, whole, options->per_row_loss, mean),
              allowance(&sgd, rows, train_rows), options->per_row_loss);
    const int64_t repeats = (MEAN_ROWS + counts->rows - 1) / counts->rows;
    uint64_t offset = whole;
    for (int64_t i = 0; i < repeats; i++, offset += (uint64_t)counts->rows)
        evaluate(&sgd, rows, counts->rows, offset, result->model_mean);
    for (int32_t c = 0; c < classes; c++) result->model_mean[c] /= (double)(repeats * counts->rows);

    free(mean);
    free(adam.first);
    free(adam.second);
    free(rows);
    release(&sgd);
}
