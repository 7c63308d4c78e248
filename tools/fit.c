/* gumbelurn fit: learns the importances behind observed counts and reports them. */
#define _POSIX_C_SOURCE 200809L
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

static const char HELP[] =
    "usage: gumbelurn fit --m LIST --in FILE [options]\n"
    "\n"
    "Learns the importances omega behind rows of observed counts by stochastic gradient descent\n"
    "(Adam) through the relaxed sampler: squared error between generated and observed counts,\n"
    "straight-through gradients.\n"
    "\n"
    "  --in FILE           the counts, a row a draw and a column a class: CSV with or without a\n"
    "                      header, or NAME.npy; - is standard input (CSV)\n" URN_HELP
    "                      Without --n every row's own sum is its n. Learning starts from\n"
    "                      --omega or --log-omega. --threads is 1 when steps are small\n"
    "  --train SHARE       share of rows to learn from, the others validate; default 0.8\n"
    "  --epochs E          passes over these rows; default as many as make 2000 steps, but 10 at\n"
    "                      least\n"
    "  --batch B           rows a step; default 32\n"
    "  --learning-rate R   of the first step; falls to 0 along a half cosine; default 0.1\n"
    "  --tau T             temperature of the relaxation; default 1\n"
    "  --tau-final T       that of the last epoch, reached geometrically; default as --tau\n"
    "  --loss LOSS         means (default): squared error of minibatch means, without bias;\n"
    "                      rows: of single rows, as published, which buys a smaller variance of\n"
    "                      the counts with wrong means\n"
    "  --seed S            of the split, the order of rows, and the draws; default 0\n"
    "  --log FILE          the curve as CSV: epoch, temperature, learning rate, losses, log omega\n"
    "  --out FILE          the result as CSV: class, m, data_mean, urn_mean, log_omega, omega\n"
    "\n"
    "Prints the losses (squared error of a draw beside an observed row, summed over classes,\n"
    "averaged over rows) and, for every class, the means of data and urn, log omega with sum 0,\n"
    "and omega with sum 1.\n"
    "\n" LIST_HELP;

enum {
    OPT_IN = OPT_OWN,
    OPT_TRAIN,
    OPT_EPOCHS,
    OPT_BATCH,
    OPT_RATE,
    OPT_TAU,
    OPT_TAU_FINAL,
    OPT_LOSS,
    OPT_SEED,
    OPT_LOG,
    OPT_OUT
};

static const struct option OPTIONS[] = {URN_OPTIONS,
                                        {"in", required_argument, NULL, OPT_IN},
                                        {"train", required_argument, NULL, OPT_TRAIN},
                                        {"epochs", required_argument, NULL, OPT_EPOCHS},
                                        {"batch", required_argument, NULL, OPT_BATCH},
                                        {"learning-rate", required_argument, NULL, OPT_RATE},
                                        {"tau", required_argument, NULL, OPT_TAU},
                                        {"tau-final", required_argument, NULL, OPT_TAU_FINAL},
                                        {"loss", required_argument, NULL, OPT_LOSS},
                                        {"seed", required_argument, NULL, OPT_SEED},
                                        {"log", required_argument, NULL, OPT_LOG},
                                        {"out", required_argument, NULL, OPT_OUT},
                                        {NULL, 0, NULL, 0}};

/* A step of fewer counts is over sooner than several threads have been started and waited for. */
#define SMALL_STEP 4096

/* Means of the observed counts; warns of classes for which no omega is best. */
static double *data_means(const struct counts *counts, const struct urn *urn) {
    double *mean = allocate((size_t)counts->classes, sizeof *mean);
    for (int64_t r = 0; r < counts->rows; r++)
        for (int32_t c = 0; c < counts->classes; c++) mean[c] += counts->x[r * counts->classes + c];
    for (int32_t c = 0; c < counts->classes; c++) {
        if (urn->m[c] > 0 && mean[c] == 0) warn("class %d is never drawn: the lower its omega, the better", c);
        if (urn->m[c] > 0 && mean[c] == (double)counts->rows * urn->m[c])
            warn("class %d is always drawn whole: the higher its omega, the better", c);
        mean[c] /= (double)counts->rows;
    }
    return mean;
}

/* omega with sum 1, without overflow. */
static double *normalised(const double *log_omega, int32_t classes) {
    double *omega = allocate((size_t)classes, sizeof *omega), largest = -HUGE_VAL, sum = 0;
    for (int32_t c = 0; c < classes; c++) largest = fmax(largest, log_omega[c]);
    for (int32_t c = 0; c < classes; c++) sum += omega[c] = exp(log_omega[c] - largest);
    for (int32_t c = 0; c < classes; c++) omega[c] /= sum;
    return omega;
}

static void report(const struct fit_result *result, const struct urn *urn, const double *mean, const char *out) {
    double *omega = normalised(result->log_omega, urn->classes);
    printf("rows             %lld to learn from, %lld held out\n", (long long)result->train_rows,
           (long long)result->validation_rows);
    printf("train loss       %.6g\n", result->train_loss);
    if (result->validation_rows) printf("validation loss  %.6g\n", result->validation_loss);
    printf("\n%5s %9s %12s %12s %11s %11s\n", "class", "m", "data mean", "urn mean", "log omega", "omega");
    for (int32_t c = 0; c < urn->classes; c++)
        printf("%5d %9d %12.6g %12.6g %11.5f %11.6g\n", c, urn->m[c], mean[c], result->model_mean[c],
               result->log_omega[c], omega[c]);
    flush_stdout();
    if (out) {
        struct writer writer;
        writer_open(&writer, out);
        write_text(&writer, "class,m,data_mean,urn_mean,log_omega,omega\n");
        for (int32_t c = 0; c < urn->classes; c++)
            write_text(&writer, "%d,%d,%.9g,%.9g,%.9g,%.9g\n", c, urn->m[c], mean[c], result->model_mean[c],
                       result->log_omega[c], omega[c]);
        writer_close(&writer);
    }
    free(omega);
}

int run_fit(int argc, char **argv) {
    static const char *const losses[] = {"means", "rows", NULL};
    struct urn urn = URN_INIT;
    struct sgd_options sgd = {.tau = 1, .batch = 32, .learning_rate = 0.1, .train = 0.8};
    const char *in = NULL, *out = NULL;
    for (int code; (code = next_option(argc, argv, OPTIONS, &urn, HELP)) != -1;) {
        switch (code) {
            case OPT_IN: in = optarg; break;
            case OPT_TRAIN:
                sgd.train = parse_positive("--train", optarg);
                if (sgd.train > 1) usage_error("--train: %s is above 1", optarg);
                break;
            case OPT_EPOCHS: sgd.epochs = parse_integer("--epochs", optarg, 1, 1000000000); break;
            case OPT_BATCH: sgd.batch = parse_integer("--batch", optarg, 1, 1 << 20); break;
            case OPT_RATE: sgd.learning_rate = parse_positive("--learning-rate", optarg); break;
            case OPT_TAU: sgd.tau = parse_positive("--tau", optarg); break;
            case OPT_TAU_FINAL: sgd.tau_final = parse_positive("--tau-final", optarg); break;
            case OPT_LOSS: sgd.per_row_loss = parse_choice("--loss", optarg, losses) == 1; break;
            case OPT_SEED: sgd.seed = parse_u64("--seed", optarg); break;
            case OPT_LOG: sgd.log = optarg; break;
            case OPT_OUT: out = optarg; break;
        }
    }
    urn_finish(&urn);
    if (!in) usage_error("--in is missing: the file of counts");
    if (sgd.tau_final == 0) sgd.tau_final = sgd.tau;
    if (urn.threads == 0 && sgd.batch * urn.classes < SMALL_STEP) urn.threads = 1;

    struct counts counts;
    counts_read(&counts, in, &urn);
    double *mean = data_means(&counts, &urn);
    int32_t n_max = 0;
    for (int64_t r = 0; r < counts.rows; r++) n_max = counts.n[r] > n_max ? counts.n[r] : n_max;
    struct session session;
    session_open(&session, &urn, n_max);
    struct fit_result result = {.log_omega = urn.log_omega,
                                .model_mean = allocate((size_t)urn.classes, sizeof *result.model_mean)};
    fit_sgd(&session, &counts, &sgd, &result);
    report(&result, &urn, mean, out);

    session_close(&session);
    free(result.model_mean);
    free(mean);
    free(counts.x);
    free(counts.n);
    urn_release(&urn);
    return EXIT_OK;
}
