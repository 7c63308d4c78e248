/*
 * sgd.c with a sampler in the library's place that notes every call: which noise each takes, for which rows, at which temperature
 * and in how much workspace; and which ends with an error, for gradients and draws that the sampler makes up.
 */
#include <setjmp.h>
#include <stdarg.h>

#include "parts.h"

/* ----------------------------------------------------------------------------------- what sgd.c takes from others --- */

static jmp_buf ended;
static char ending[512], warning[512];

#define TEXT_OF(text, format)                            \
    do {                                                 \
        va_list arguments;                               \
        va_start(arguments, format);                     \
        vsnprintf(text, sizeof text, format, arguments); \
        va_end(arguments);                               \
    } while (0)

void fail(const char *format, ...) {
    TEXT_OF(ending, format);
    longjmp(ended, 1);
}
void usage_error(const char *format, ...) {
    TEXT_OF(ending, format);
    longjmp(ended, 2);
}
void warn(const char *format, ...) { TEXT_OF(warning, format); }
void check(const struct session *session, gurn_status status, const char *call) {
    (void)session;
    if (status != GURN_SUCCESS) fail("%s: %d", call, (int)status);
}

void *device_alloc(const struct session *session, size_t bytes) {
    (void)session;
    return allocate(bytes, 1);
}
void device_free(const struct session *session, void *memory) {
    (void)session;
    free(memory);
}
void to_device(const struct session *session, void *memory, const void *host, size_t bytes) {
    (void)session;
    memcpy(memory, host, bytes);
}
const void *to_host(const struct session *session, const void *memory, void *host, size_t bytes) {
    (void)session, (void)host, (void)bytes;
    return memory;
}
void put_log_omega(const struct session *session, void *memory, const double *log_omega, int32_t classes) {
    (void)session;
    memcpy(memory, log_omega, (size_t)classes * sizeof *log_omega);
}

static int log_lines;
void writer_open(struct writer *writer, const char *path) { (void)writer, (void)path; }
void writer_flush(struct writer *writer) { (void)writer; }
void writer_close(struct writer *writer) { (void)writer; }
void write_text(struct writer *writer, const char *format, ...) {
    (void)writer;
    log_lines += format[strlen(format) - 1] == '\n';
}

/* -------------------------------------------------------------------------------------------------- the sampler --- */

enum {
    FORWARD,
    BACKWARD
};
struct call {
    int what;
    uint64_t offset;
    int64_t rows;
    double tau;
    const void *x;
    uint64_t n_sum; /* of 2^n over the rows, where they have n of their own */
};
static struct call calls[100000];
static int64_t call_count;

static int32_t classes;
static double least_tau, slope,
    drift; /* gradients: slope; drift: of class 0, with 1 / (classes - 1) of it off the others */

static size_t needed(const gurn_mvhg_inputs *in) { return (in->tau > 2 ? 1000 : 100) + (size_t)in->rows; }

static gurn_status judge(const gurn_mvhg_inputs *in, int what, const void *x, const void *workspace, size_t bytes) {
    if (in->tau != 0 && !(in->tau >= least_tau)) return GURN_INVALID_TAU;
    if (in->rows == 0) return GURN_SUCCESS;
    CHECK(workspace && bytes >= needed(in), "%zu bytes at tau %g for %lld rows", bytes, in->tau, (long long)in->rows);
    struct call *call = &calls[call_count++];
    *call = (struct call){what, in->noise.offset, in->rows, in->tau, x, 0};
    for (int64_t b = 0; in->n_rows && b < in->rows; b++) call->n_sum += UINT64_C(1) << in->n_rows[b];
    CHECK(in->noise.seed == 77, "seed %llu", (unsigned long long)in->noise.seed);
    return GURN_SUCCESS;
}

gurn_status gurn_mvhg_workspace(gurn_context *context, const gurn_plan *plan, const gurn_mvhg_inputs *inputs,
                                size_t *forward_bytes, size_t *backward_bytes) {
    (void)context, (void)plan;
    *forward_bytes = needed(inputs);
    *backward_bytes = needed(inputs);
    return GURN_SUCCESS;
}

/* The class that takes all, since log omega lie far apart; or -1. */
static int32_t taker(const double *log_omega) {
    int32_t best = 0;
    double least = log_omega[0];
    for (int32_t c = 1; c < classes; c++) {
        if (log_omega[c] > log_omega[best]) best = c;
        least = fmin(least, log_omega[c]);
    }
    return log_omega[best] - least > 5 ? best : -1;
}

/* n balls a row, where rows have n of their own all of class 0; else one, of any class, or of that which takes all: then no gradient is left. */
gurn_status gurn_mvhg_forward(gurn_context *context, const gurn_plan *plan, const gurn_mvhg_inputs *inputs,
                              const gurn_mvhg_outputs *outputs, void *workspace, size_t workspace_bytes) {
    (void)context, (void)plan;
    const gurn_status status = judge(inputs, FORWARD, outputs->x, workspace, workspace_bytes);
    if (status != GURN_SUCCESS || inputs->rows == 0) return status;
    const int32_t all = taker(inputs->log_omega);
    for (int64_t b = 0; b < inputs->rows; b++) {
        const int32_t taken = inputs->n_rows ? 0 : all >= 0 ? all : random_below(classes);
        const int32_t n = inputs->n_rows ? inputs->n_rows[b] : inputs->n;
        for (int32_t c = 0; c < classes; c++) ((double *)outputs->x)[b * classes + c] = c == taken ? n : 0;
    }
    return GURN_SUCCESS;
}

gurn_status gurn_mvhg_backward(gurn_context *context, const gurn_plan *plan, const gurn_mvhg_inputs *inputs,
                               const void *x, const gurn_mvhg_upstream *upstream, const gurn_mvhg_gradients *gradients,
                               void *workspace, size_t workspace_bytes) {
    (void)context, (void)plan, (void)upstream;
    const gurn_status status = judge(inputs, BACKWARD, x, workspace, workspace_bytes);
    const bool vanished = taker(inputs->log_omega) >= 0;
    for (int32_t c = 0; c < classes; c++)
        ((double *)gradients->log_omega)[c] =
            vanished ? 0 : slope * (random_uniform() - 0.5) + (c ? drift / (classes - 1) : -drift);
    return status;
}

const char *gurn_context_message(const gurn_context *context) {
    (void)context;
    return "tau is what it is";
}

/* ------------------------------------------------------------------------------------------------------ the tests --- */

/*
 * Rows of one ball each, of one class after the other, or, where n differ, of n = 1, 2, 3, ... balls of class 0. Returns 0, or how the
 * run ended.
 */
static struct sgd_result result;
static double model_mean[2];
static int fit(int32_t class_count, int64_t rows, bool equal_n, struct sgd_options options) {
    struct session session = {.real_size = sizeof(double)};
    classes = class_count;
    struct counts counts = {.rows = rows,
                            .classes = classes,
                            .x = allocate((size_t)(rows * classes), sizeof(int32_t)),
                            .n = allocate((size_t)rows, sizeof(int32_t))};
    int32_t *m = allocate((size_t)classes, sizeof *m);
    for (int32_t c = 0; c < classes; c++) m[c] = equal_n ? 1 : 100;
    for (int64_t r = 0; r < rows; r++) {
        counts.n[r] = equal_n ? 1 : (int32_t)r + 1;
        counts.x[r * classes + (equal_n ? r % classes : 0)] = counts.n[r];
    }
    options.seed = 77;
    if (options.tau == 0) options.tau = 1;
    if (options.tau_final == 0) options.tau_final = options.tau;
    if (options.learning_rate == 0) options.learning_rate = 0.1;
    result = (struct sgd_result){.log_omega = allocate((size_t)classes, sizeof(double)),
                                 .model_mean = allocate((size_t)classes, sizeof(double))};
    call_count = log_lines = 0;
    ending[0] = warning[0] = '\0';
    const int how = setjmp(ended);
    if (how == 0) fit_sgd(&session, &counts, m, &options, &result);
    if (how == 0) memcpy(model_mean, result.model_mean, sizeof model_mean);
    free(m);
    free(counts.x);
    free(counts.n);
    free(result.log_omega);
    free(result.model_mean);
    return how;
}

static bool overlap(const struct call *a, const struct call *b) {
    return a->offset < b->offset + (uint64_t)b->rows && b->offset < a->offset + (uint64_t)a->rows;
}

/*
 * Draws that learning follows take noise that nothing else does: a step's draws, and its second, independent ones. So do those that
 * judge the result; the same ones judge every epoch.
 */
static void noise(void) {
    const struct {
        int32_t classes;
        int64_t rows;
        bool equal_n, per_row_loss, log;
    } cases[] = {
        {3, 60, true, false, true}, {3, 60, false, false, true},   {3, 60, false, true, true},
        {5, 60, true, true, false}, {5000, 60, true, false, true}, /* more values than are drawn at once: 52 rows of them */
        {2, 1, true, false, false}, {2, 60, true, false, false}};
    slope = 1, drift = 0;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const int64_t rows = cases[i].rows, train = rows == 1 ? 1 : rows * 4 / 5, epochs = 4, batch = 10;
        struct sgd_options options = {.epochs = epochs,
                                      .batch = batch,
                                      .train = 0.8,
                                      .per_row_loss = cases[i].per_row_loss,
                                      .log = cases[i].log ? "log" : NULL};
        CHECK(fit(cases[i].classes, rows, cases[i].equal_n, options) == 0, "case %zu: %s", i, ending);
        CHECK(log_lines == (cases[i].log ? 1 + epochs : 0), "case %zu: %d lines", i, log_lines);
        CHECK(result.train_rows == train && result.validation_rows == rows - train, "case %zu", i);
        if (!cases[i].equal_n) /* the draws are the rows */
            CHECK(result.train_loss == 0 && result.validation_loss == 0 && model_mean[0] == 30.5 && model_mean[1] == 0,
                  "case %zu: losses %g, %g, mean %g", i, result.train_loss, result.validation_loss, model_mean[0]);

        /* Steps: forward, forward again but for the loss of rows, backward. All else evaluates. */
        int64_t steps = 0, learning = 0, evaluating = 0;
        static struct call learnt[10000], judged[100000];
        uint64_t epoch_n = 0;
        const int second = cases[i].per_row_loss ? 0 : 1;
        for (int64_t k = 0; k < call_count; k++) {
            if (k + 1 + second >= call_count || calls[k + 1 + second].what != BACKWARD) {
                CHECK(calls[k].what == FORWARD, "case %zu", i);
                judged[evaluating++] = calls[k];
                continue;
            }
            const struct call *back = &calls[k + 1 + second];
            CHECK(back->offset == calls[k].offset && back->rows == calls[k].rows && back->x == calls[k].x &&
                      back->n_sum == calls[k].n_sum,
                  "case %zu: backward is not of its draws", i);
            learnt[learning++] = calls[k];
            if (second) {
                CHECK(calls[k + 1].rows == calls[k].rows && calls[k + 1].x != calls[k].x &&
                          calls[k + 1].n_sum == calls[k].n_sum,
                      "case %zu: the second draws are not of the same rows", i);
                learnt[learning++] = calls[k + 1];
            }
            epoch_n += calls[k].n_sum;
            steps++;
            k += 1 + second;
            if (steps % ((train + batch - 1) / batch) == 0 &&
                !cases[i].equal_n) { /* every row once: different powers of 2 */
                int bits = 0;
                for (; epoch_n; epoch_n &= epoch_n - 1) bits++;
                CHECK(bits == train, "case %zu: %d different rows of %lld", i, bits, (long long)train);
            }
        }
        CHECK(steps == epochs * ((train + batch - 1) / batch), "case %zu: %lld steps", i, (long long)steps);
        for (int64_t a = 0; a < learning; a++) {
            for (int64_t b = 0; b < a; b++)
                CHECK(!overlap(&learnt[a], &learnt[b]), "case %zu: draws %lld, %lld", i, (long long)b, (long long)a);
            for (int64_t b = 0; b < evaluating && b < 200; b++)
                CHECK(!overlap(&learnt[a], &judged[b]), "case %zu: draws %lld, judging %lld", i, (long long)a,
                      (long long)b);
            for (int64_t b = evaluating - 100 > 0 ? evaluating - 100 : 0; b < evaluating; b++)
                CHECK(!overlap(&learnt[a], &judged[b]), "case %zu: draws %lld, judging %lld", i, (long long)a,
                      (long long)b);
        }
        /* Judged the same way in every epoch and in the end: the noise of one range, which begins with the rows held out. */
        uint64_t begin = UINT64_MAX;
        for (int64_t b = 0; b < evaluating; b++) begin = judged[b].offset < begin ? judged[b].offset : begin;
        int64_t of_epochs = 0;
        for (int64_t b = 0; b < evaluating; b++) of_epochs += judged[b].offset == begin;
        if (rows > train)
            CHECK(of_epochs == (cases[i].log ? epochs : 0) + 1, "case %zu: %lld", i, (long long)of_epochs);
    }
}

/* The temperature goes geometrically from one to the other, ends there exactly, and has the workspace it needs. */
static void temperatures(void) {
    const double pairs[][2] = {{8, 0.5}, {0.3, 0.3}, {1, 30}, {1e300, 1e-300}, {1e-300, 1e300}, {1e-30, 1e-30}, {3, 3}};
    slope = 1, drift = 0;
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        const double from = pairs[i][0], to = pairs[i][1];
        least_tau = fmin(from, to);
        CHECK(fit(3, 20, true,
                  (struct sgd_options){.epochs = 5, .batch = 20, .train = 1, .tau = from, .tau_final = to}) == 0,
              "%g to %g: %s", from, to, ending);
        int epoch = 0;
        for (int64_t k = 0; k < call_count; k++) {
            if (calls[k].what != BACKWARD) continue;
            const double expected = log(from) + (log(to) - log(from)) * epoch / 4;
            CHECK(fabs(log(calls[k].tau) - expected) <= 1e-12 * (1 + fabs(expected)), "%g to %g, epoch %d: %g", from,
                  to, epoch, calls[k].tau);
            CHECK(calls[k].tau >= fmin(from, to) && calls[k].tau <= fmax(from, to), "%g to %g: %g", from, to,
                  calls[k].tau);
            epoch++;
        }
        CHECK(epoch == 5, "%d", epoch);
    }
    least_tau = 1e-30;
    const struct sgd_options base = {.epochs = 2, .batch = 20, .train = 1};
    struct sgd_options options = base;
    options.tau = 1e-31;
    options.tau_final = 1;
    CHECK(fit(3, 20, true, options) == 2 && !strcmp(ending, "--tau: tau is what it is"), "%s", ending);
    options.tau = 1;
    options.tau_final = 1e-31;
    CHECK(fit(3, 20, true, options) == 2 && !strcmp(ending, "--tau-final: tau is what it is"), "%s", ending);
    CHECK(call_count == 0, "%lld calls before that was said", (long long)call_count);
    least_tau = 0;
}

/* How learning ends, by what gradients and draws do. */
static void endings(void) {
    const struct {
        double slope, drift, rate;
        int how;
        const char *says;
    } cases[] = {
        {1, 0, 0.1, 0, NULL},
        {1, 0, 1e-9, 0, NULL},
        {0, 1, 10, 1, "learning diverged: the loss of means was"}, /* one class takes all */
        {0, 1, 1, 1, "learning diverged: the loss of means was"},
        {0, 1, 100, 1, "learning diverged in step 7: log omega of two classes are more than 700 apart"},
        {0, 1, 1e300, 1, "learning diverged in step 1:"},
        {0, 1, 1.7e308, 1, "learning diverged in step 1:"},
        {0, HUGE_VAL, 0.1, 1, "the gradient is not finite in step 1; try another --tau"},
        {NAN, 0, 0.1, 1, "the gradient is not finite in step 1; try another --tau"},
        {0, 0, 0.1, 1, "nothing was learned, since the gradient was near 0 in every step"},
        {1e-12, 0, 0.1, 1, "nothing was learned"},
        {1e-8, 0, 0.1, 0, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        slope = cases[i].slope;
        drift = cases[i].drift;
        const struct sgd_options options = {.epochs = 50, .batch = 10, .train = 1, .learning_rate = cases[i].rate};
        const int how = fit(3, 30, true, options);
        CHECK(how == cases[i].how, "case %zu: %s", i, ending);
        if (cases[i].says) {
            CHECK(strncmp(ending, cases[i].says, strlen(cases[i].says)) == 0, "case %zu: %s", i, ending);
            CHECK(how == 0 || strstr(ending, "--learning-rate") || strstr(ending, "--tau"), "case %zu: %s", i, ending);
        }
        CHECK(warning[0] == '\0', "case %zu: %s", i, warning);
    }
}

int main(void) {
    noise();
    temperatures();
    endings();
    return failures > 0;
}
