/* gumbelurn fit: learns the importances behind observed counts, by maximum likelihood or gradient descent, and reports. */
#define _POSIX_C_SOURCE 200809L
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

/* In two parts: compilers need not take longer string literals. */
static const char HELP_OPTIONS[] =
    "usage: gumbelurn fit --m LIST --in FILE [options]\n"
    "\n"
    "Learns the importances omega behind rows of observed counts, by one of two methods:\n"
    "  mle  maximum likelihood of the law itself, by Newton's method: the exact optimum, in\n"
    "       milliseconds, with standard errors. The default\n"
    "  sgd  stochastic gradient descent (Adam) through the relaxed sampler, as published: squared\n"
    "       error between generated and observed counts, straight-through gradients. Meant when\n"
    "       an option is given that only sgd has\n"
    "\n"
    "  --method METHOD     mle or sgd\n"
    "  --in FILE           the counts, a row a draw and a column a class: CSV with or without a\n"
    "                      header, or .npy; - is standard input\n" HEADER_HELP M_N_HELP
    "                      Without --n every row's own sum is its n\n" OMEGA_HELP
    "                      Learning starts from them; they are finite there, and none is 0.\n"
    "                      By default from equal ones (sgd) or from the share of each class that\n"
    "                      was drawn (mle)\n"
    "  --device DEVICE     auto, cpu or cuda; auto is the CPU for mle, and for sgd CUDA where\n"
    "                      there is a device\n" THREADS_HELP
    "                      (1 when steps are small)\n"
    "  --log FILE          the curve as CSV. mle: group, iteration, log-likelihood, distance from\n"
    "                      the maximum in standard errors, step, log omega; sgd: epoch,\n"
    "                      temperature, learning rate, losses, log omega\n"
    "  --out FILE          the result as CSV: class, m, data_mean, urn_mean, log_omega, omega,\n"
    "                      by mle also standard_error, group, log_omega_in_group\n"
    "\n"
    "Only mle:\n"
    "  --covariance FILE   the covariance of the estimates of log omega, as CSV\n"
    "\n"
    "Only sgd:\n" CHAIN_HELP(DEFAULT_CHAIN_NAME)
    "  --dtype TYPE        arithmetic: float32 (default) or float64; mle always has float64\n"
    "  --train SHARE       share of rows to learn from, the others validate; default 0.8\n"
    "  --epochs E          passes over these rows; default as many as make 2000 steps, but 10 at\n"
    "                      least\n"
    "  --batch B           rows a step; default 32\n"
    "  --learning-rate R   of the first step; falls to 0 along a half cosine; default 0.1\n"
    "  --tau T             temperature of the relaxation, at least 1e-30; default 1\n"
    "  --tau-final T       that of the last epoch, reached geometrically; default as --tau\n"
    "  --loss LOSS         means (default): squared error of minibatch means, without bias;\n"
    "                      rows: of single rows, as published, which buys a smaller variance of\n"
    "                      the counts with wrong means\n"
    "  --seed S            of the split, the order of rows, and the draws; default 0\n";
static const char HELP_NOTES[] =
    "\n"
    "Prints, for every class, the means of data and urn, log omega with sum 0, and omega with sum\n"
    "1; mle also the log-likelihood and the standard errors of log omega (from the observed\n"
    "information), sgd the losses (squared error of a draw beside an observed row, summed over\n"
    "classes, averaged over rows).\n"
    "\n"
    "Where the likelihood has no maximum, since some classes are never drawn or, in every row,\n"
    "drawn whole before others are touched, mle takes the limit and says so: classes fall into\n"
    "groups between which the ratio of omega is infinite (group 0 has the highest), and within\n"
    "a group log omega is estimated as ever. Classes that in every row were all drawn whole, or\n"
    "all untouched, share a group without an estimate, nan: of the ratios between them the data\n"
    "say nothing. log_omega and omega are those within one group, in which most ratios are\n"
    "known and then most balls were drawn, and infinite or 0 for the others. The log-\n"
    "likelihood and the urn's means are those in the limit; between groups there is no\n"
    "covariance, but nan.\n"
    "\n"
    "sgd fails where learning diverges and a smaller --learning-rate is needed: when log omega\n"
    "of two classes come 700 further apart than at the start, or the loss that is minimised (of\n"
    "means or rows, of all rows to learn from) ends a tenth above its start and then some: more\n"
    "than chance and a few steps explain, by half the variance of the counts of a row, and by\n"
    "what half a unit of log omega does. It also fails when no step had a gradient, and warns\n"
    "when the urn's means end that far from the data's.\n";

enum {
    OPT_METHOD = OPT_OWN,
    OPT_IN,
    OPT_HEADER,
    OPT_LOG,
    OPT_OUT,
    OPT_COVARIANCE,
    OPT_TRAIN,
    OPT_EPOCHS,
    OPT_BATCH,
    OPT_RATE,
    OPT_TAU,
    OPT_TAU_FINAL,
    OPT_LOSS,
    OPT_SEED
};

static const struct option OPTIONS[] = {URN_OPTIONS,
                                        {"method", required_argument, NULL, OPT_METHOD},
                                        {"in", required_argument, NULL, OPT_IN},
                                        {"header", required_argument, NULL, OPT_HEADER},
                                        {"log", required_argument, NULL, OPT_LOG},
                                        {"out", required_argument, NULL, OPT_OUT},
                                        {"covariance", required_argument, NULL, OPT_COVARIANCE},
                                        {"train", required_argument, NULL, OPT_TRAIN},
                                        {"epochs", required_argument, NULL, OPT_EPOCHS},
                                        {"batch", required_argument, NULL, OPT_BATCH},
                                        {"learning-rate", required_argument, NULL, OPT_RATE},
                                        {"tau", required_argument, NULL, OPT_TAU},
                                        {"tau-final", required_argument, NULL, OPT_TAU_FINAL},
                                        {"loss", required_argument, NULL, OPT_LOSS},
                                        {"seed", required_argument, NULL, OPT_SEED},
                                        {NULL, 0, NULL, 0}};

struct fit {
    struct urn urn;
    struct sgd_options sgd;
    struct mle_options mle;
    struct counts counts;
    double *mean; /* of the data */
    const char *in, *out, *covariance;
    enum csv_header header;
};

static double *data_means(const struct counts *counts) {
    double *mean = allocate((size_t)counts->classes, sizeof *mean);
    for (int64_t r = 0; r < counts->rows; r++)
        for (int32_t c = 0; c < counts->classes; c++) mean[c] += counts->x[r * counts->classes + c];
    for (int32_t c = 0; c < counts->classes; c++) mean[c] /= (double)counts->rows;
    return mean;
}

/* A class with balls of which none, or all, are drawn in every row. */
static bool never_drawn(const struct fit *fit, int32_t c) { return fit->urn.m[c] > 0 && fit->mean[c] == 0; }
static bool always_whole(const struct fit *fit, int32_t c) {
    return fit->urn.m[c] > 0 && fit->mean[c] == (double)fit->urn.m[c];
}

/* omega with sum 1 over the classes of finite log omega, without overflow; 0, infinite and NaN for the others. */
static double *normalised(const double *log_omega, int32_t classes) {
    double *omega = allocate((size_t)classes, sizeof *omega), largest = -HUGE_VAL, sum = 0;
    for (int32_t c = 0; c < classes; c++)
        if (isfinite(log_omega[c])) largest = fmax(largest, log_omega[c]);
    for (int32_t c = 0; c < classes; c++)
        if (isfinite(log_omega[c])) sum += exp(log_omega[c] - largest);
    for (int32_t c = 0; c < classes; c++)
        omega[c] = isfinite(log_omega[c]) ? exp(log_omega[c] - largest) / sum : exp(log_omega[c]);
    return omega;
}

/* A number of a CSV file; its NaN has no sign. */
static void put(struct writer *writer, double value, int digits) {
    if (isnan(value))
        write_text(writer, ",nan");
    else
        write_text(writer, ",%.*g", digits, value);
}

/* ------------------------------------------------------------------------------------------ maximum likelihood --- */

/* "classes 1, 5, 6" of a group, or "class 1". */
static void name_classes(char *text, size_t size, const int32_t *group, int32_t name, int32_t classes) {
    int32_t count = 0, named = 0;
    for (int32_t c = 0; c < classes; c++) count += group[c] == name;
    size_t used = (size_t)snprintf(text, size, count == 1 ? "class" : "classes");
    for (int32_t c = 0; c < classes && used < size; c++) {
        if (group[c] != name) continue;
        if (named == 12 && count > 13) {
            snprintf(text + used, size - used, " and %d more", count - named);
            return;
        }
        used += (size_t)snprintf(text + used, size - used, named++ ? ", %d" : " %d", c);
    }
}

/* Says which classes have no finite omega, and why. */
static void warn_of_groups(const struct fit *fit, const struct mle_result *result) {
    const int32_t classes = fit->urn.classes;
    int32_t *some = allocate((size_t)result->groups, sizeof *some); /* a class of each group */
    for (int32_t c = 0; c < classes; c++)
        if (result->group[c] >= 0) some[result->group[c]] = c;
    for (int32_t g = 0; g < result->groups; g++) {
        const bool twins = result->twins[g];
        const char *is = twins ? "are" : "is", *its = twins ? "their" : "its";
        const char *unknown = twins ? ", and nothing in the data orders them" : "";
        char names[256];
        name_classes(names, sizeof names, result->group, g, classes);
        if (g == result->main && !twins) continue;
        if (g == result->main)
            warn("%s: in every row all drawn whole, or all untouched; nothing in the data orders them", names);
        else if (never_drawn(fit, some[g]))
            warn("%s %s never drawn: %s log omega is -infinity%s", names, is, its, unknown);
        else if (always_whole(fit, some[g]))
            warn("%s %s always drawn whole: %s log omega is +infinity%s", names, is, its, unknown);
        else if (g < result->main)
            warn("%s: in every row drawn whole before any class of a later group is touched; log omega is +infinity%s",
                 names, unknown);
        else
            warn(
                "%s: in every row untouched until all classes of earlier groups are drawn whole; log omega is "
                "-infinity%s",
                names, unknown);
    }
    if (result->groups > 1)
        warn("the likelihood has no maximum: it was taken in the limit, and within each group of classes");
    free(some);
}

static void report_mle(const struct fit *fit, const struct mle_result *result) {
    const struct urn *urn = &fit->urn;
    const int32_t classes = urn->classes;
    double *log_omega = allocate((size_t)classes, sizeof *log_omega);
    for (int32_t c = 0; c < classes; c++) {
        const int32_t group = result->group[c];
        log_omega[c] = group < 0 || group == result->main ? result->log_omega[c]
                       : group < result->main             ? HUGE_VAL
                                                          : -HUGE_VAL;
    }
    double *omega = normalised(log_omega, classes);
    printf("method           maximum likelihood\n");
    printf("rows             %lld\n", (long long)fit->counts.rows);
    printf("log-likelihood   %.9g%s\n", result->log_likelihood, result->groups > 1 ? " (in the limit)" : "");
    printf("  of equal omega %.9g\n", result->log_likelihood_equal);
    char distance[32] = "less than 1e-9";
    if (result->distance >= 1e-9) snprintf(distance, sizeof distance, "%.1e", result->distance);
    printf("%s %lld steps, %s standard errors from the maximum\n",
           result->converged ? "converged       " : "NOT CONVERGED   ", (long long)result->iterations, distance);
    printf("\n%5s %9s %12s %12s %11s %10s %11s%s\n", "class", "m", "data mean", "urn mean", "log omega", "std error",
           "omega", result->groups > 1 ? " group   in group" : "");
    for (int32_t c = 0; c < classes; c++) {
        char log_text[32] = "-", error[32] = "-", omega_text[32] = "-";
        const bool alone = isnan(result->standard_error[c]);
        if (urn->m[c]) snprintf(log_text, sizeof log_text, "%.5f", log_omega[c]);
        if (urn->m[c]) snprintf(omega_text, sizeof omega_text, "%.6g", omega[c]);
        if (!alone) snprintf(error, sizeof error, "%.3g", result->standard_error[c]);
        printf("%5d %9d %12.6g %12.6g %11s %10s %11s", c, urn->m[c], fit->mean[c], result->mean[c], log_text, error,
               omega_text);
        if (result->groups > 1 && urn->m[c]) {
            printf(" %5d", result->group[c]);
            if (!alone) printf(" %10.5f", result->log_omega[c]);
        }
        putchar('\n');
    }
    flush_stdout();
    if (fit->out) {
        struct writer writer;
        writer_open(&writer, fit->out);
        write_text(&writer, "class,m,data_mean,urn_mean,log_omega,omega,standard_error,group,log_omega_in_group\n");
        for (int32_t c = 0; c < classes; c++) {
            write_text(&writer, "%d,%d", c, urn->m[c]);
            put(&writer, fit->mean[c], 9);
            put(&writer, result->mean[c], 9);
            put(&writer, log_omega[c], 17);
            put(&writer, omega[c], 17);
            put(&writer, result->standard_error[c], 9);
            write_text(&writer, ",%d", result->group[c]);
            put(&writer, result->log_omega[c], 17);
            write_text(&writer, "\n");
        }
        writer_close(&writer);
    }
    if (fit->covariance) {
        struct writer writer;
        writer_open(&writer, fit->covariance);
        for (int32_t c = 0; c < classes; c++) write_text(&writer, c ? ",log_omega%d" : "log_omega%d", c);
        for (int64_t i = 0; i < (int64_t)classes * classes; i++) {
            if (i % classes == 0) {
                write_text(&writer, isnan(result->covariance[i]) ? "\nnan" : "\n%.17g", result->covariance[i]);
                continue;
            }
            put(&writer, result->covariance[i], 17);
        }
        write_text(&writer, "\n");
        writer_close(&writer);
    }
    free(omega);
    free(log_omega);
}

static void run_mle(struct fit *fit) {
    const int32_t classes = fit->urn.classes;
    struct mle_result result = {.group = allocate((size_t)classes, sizeof(int32_t)),
                                .twins = allocate((size_t)classes, sizeof(bool)),
                                .log_omega = allocate((size_t)classes, sizeof(double)),
                                .standard_error = allocate((size_t)classes, sizeof(double)),
                                .mean = allocate((size_t)classes, sizeof(double))};
    if (fit->covariance) result.covariance = allocate((size_t)classes * (size_t)classes, sizeof(double));
    fit_mle(&fit->counts, &fit->urn, &fit->mle, &result);
    warn_of_groups(fit, &result);
    report_mle(fit, &result);
    if (!result.converged)
        fail("not converged: %.1e standard errors from the maximum after %lld steps", result.distance,
             (long long)result.iterations);
    free(result.group);
    free(result.twins);
    free(result.log_omega);
    free(result.standard_error);
    free(result.mean);
    free(result.covariance);
}

/* -------------------------------------------------------------------------------------------- gradient descent --- */

static void report_sgd(const struct fit *fit, const struct sgd_result *result) {
    const struct urn *urn = &fit->urn;
    double *omega = normalised(result->log_omega, urn->classes);
    printf("method           gradient descent\n");
    printf("rows             %lld to learn from, %lld held out\n", (long long)result->train_rows,
           (long long)result->validation_rows);
    printf("train loss       %.6g\n", result->train_loss);
    if (result->validation_rows) printf("validation loss  %.6g\n", result->validation_loss);
    printf("\n%5s %9s %12s %12s %11s %11s\n", "class", "m", "data mean", "urn mean", "log omega", "omega");
    for (int32_t c = 0; c < urn->classes; c++) {
        printf("%5d %9d %12.6g %12.6g ", c, urn->m[c], fit->mean[c], result->model_mean[c]);
        if (urn->m[c])
            printf("%11.5f %11.6g\n", result->log_omega[c], omega[c]);
        else
            printf("%11s %11s\n", "-", "-");
    }
    flush_stdout();
    if (fit->out) {
        struct writer writer;
        writer_open(&writer, fit->out);
        write_text(&writer, "class,m,data_mean,urn_mean,log_omega,omega\n");
        for (int32_t c = 0; c < urn->classes; c++) {
            write_text(&writer, "%d,%d,%.9g,%.9g", c, urn->m[c], fit->mean[c], result->model_mean[c]);
            put(&writer, result->log_omega[c], 9);
            put(&writer, omega[c], 9);
            write_text(&writer, "\n");
        }
        writer_close(&writer);
    }
    free(omega);
}

static void run_sgd(struct fit *fit) {
    const int32_t classes = fit->urn.classes;
    if (fit->sgd.tau_final == 0) fit->sgd.tau_final = fit->sgd.tau;
    if (fit->urn.threads == 0 && fit->sgd.batch * classes < SMALL_STEP) fit->urn.threads = 1;
    for (int32_t c = 0; c < classes; c++) {
        if (never_drawn(fit, c)) warn("class %d is never drawn: the lower its omega, the better", c);
        if (always_whole(fit, c)) warn("class %d is always drawn whole: the higher its omega, the better", c);
    }
    struct session session;
    session_open(&session, &fit->urn, fit->counts.n_max);
    struct sgd_result result = {.log_omega = fit->urn.log_omega,
                                .model_mean = allocate((size_t)classes, sizeof(double))};
    fit_sgd(&session, &fit->counts, fit->urn.m, &fit->sgd, &result);
    for (int32_t c = 0; c < classes; c++)
        if (fit->urn.m[c] == 0) result.log_omega[c] = NAN;
    report_sgd(fit, &result);
    session_close(&session);
    free(result.model_mean);
}

int run_fit(int argc, char **argv) {
    static const char *const help[] = {HELP_OPTIONS, HELP_NOTES, LIST_HELP, NULL};
    static const char *const methods[] = {"mle", "sgd", NULL};
    static const char *const losses[] = {"means", "rows", NULL};
    struct fit fit = {.urn = URN_INIT, .sgd = {.tau = 1, .batch = 32, .learning_rate = 0.1, .train = 0.8}};
    struct sgd_options *sgd = &fit.sgd;
    int method = -1;
    const char *only_sgd = NULL; /* an option that was given */
    for (int code; (code = next_option(argc, argv, OPTIONS, &fit.urn, help)) != -1;) {
        switch (code) {
            case OPT_METHOD: method = parse_choice("--method", optarg, methods); break;
            case OPT_IN: fit.in = optarg; break;
            case OPT_HEADER: fit.header = parse_csv_header(optarg); break;
            case OPT_LOG: fit.mle.log = sgd->log = optarg; break;
            case OPT_OUT: fit.out = optarg; break;
            case OPT_COVARIANCE: fit.covariance = optarg; break;
            case OPT_TRAIN:
                sgd->train = parse_positive(only_sgd = "--train", optarg);
                if (sgd->train > 1) usage_error("--train: %s is above 1", optarg);
                break;
            case OPT_EPOCHS: sgd->epochs = parse_integer(only_sgd = "--epochs", optarg, 1, 1000000000); break;
            case OPT_BATCH: sgd->batch = parse_integer(only_sgd = "--batch", optarg, 1, 1 << 20); break;
            case OPT_RATE: sgd->learning_rate = parse_positive(only_sgd = "--learning-rate", optarg); break;
            case OPT_TAU: sgd->tau = parse_tau(only_sgd = "--tau", optarg); break;
            case OPT_TAU_FINAL: sgd->tau_final = parse_tau(only_sgd = "--tau-final", optarg); break;
            case OPT_LOSS: sgd->per_row_loss = parse_choice(only_sgd = "--loss", optarg, losses) == 1; break;
            case OPT_SEED: sgd->seed = parse_u64(only_sgd = "--seed", optarg); break;
        }
    }
    if (fit.urn.chain_given && fit.urn.chain != GURN_CHAIN_EXACT) only_sgd = "--chain merged";
    if (fit.urn.order) only_sgd = "--order";
    if (fit.urn.dtype_given && fit.urn.dtype != GURN_FLOAT64) only_sgd = "--dtype float32";
    if (method < 0) method = only_sgd ? 1 : 0;
    if (method == 0 && only_sgd) usage_error("%s: only --method sgd has it", only_sgd);
    if (method == 1 && fit.covariance) usage_error("--covariance: only --method mle has it");
    claim_input("--in", fit.in);
    claim_output("--log", sgd->log, false);
    claim_output("--covariance", fit.covariance, false);
    claim_output("--out", fit.out, false);
    urn_finish(&fit.urn);
    if (!fit.in) usage_error("--in is missing: the file of counts");
    for (int32_t c = 0; c < fit.urn.classes; c++)
        if (!isfinite(fit.urn.log_omega[c]))
            usage_error("%s: class %d: learning can not start from an omega of 0", fit.urn.omega_option, c);

    counts_read(&fit.counts, fit.in, &fit.urn, fit.header);
    bool informative = false;
    for (int64_t r = 0; r < fit.counts.rows; r++)
        informative = informative || (fit.counts.n[r] > 0 && fit.counts.n[r] < fit.urn.balls);
    if (!informative) fail("%s: every row has no ball or all of them: there is nothing to learn", fit.in);
    fit.mean = data_means(&fit.counts);
    if (method == 0) {
        fit.urn.chain = GURN_CHAIN_EXACT;
        run_mle(&fit);
    } else {
        run_sgd(&fit);
    }
    free(fit.mean);
    counts_release(&fit.counts);
    urn_release(&fit.urn);
    return EXIT_OK;
}
