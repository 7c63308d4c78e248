/* gumbelurn moments: what the law of an urn has in closed form. */
#define _POSIX_C_SOURCE 200809L
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli.h"

static const char HELP[] =
    "usage: gumbelurn moments --m LIST --n N [options]\n"
    "\n"
    "Prints what Fisher's noncentral hypergeometric law has in closed form: log P0, the logarithm\n"
    "of the sum of prod C(m, x) omega^x over all counts x with sum n, and for every class the\n"
    "mean, the standard deviation, and the count in the most probable x.\n"
    "\n" M_N_OMEGA_HELP LAW_DEVICE_HELP
    "  --covariance        the covariance of the counts as well\n"
    "  --out FILE          the table as CSV with 17 digits: class, m, log_omega, mean,\n"
    "                      standard_deviation, mode, and with --covariance the columns cov0,\n"
    "                      cov1, ...; - is standard output, after the table for reading\n";

enum {
    OPT_COVARIANCE = OPT_OWN,
    OPT_OUT
};

static const struct option OPTIONS[] = {URN_ONLY_OPTIONS,
                                        OMEGA_FROM_OPTION,
                                        {"covariance", no_argument, NULL, OPT_COVARIANCE},
                                        {"out", required_argument, NULL, OPT_OUT},
                                        {NULL, 0, NULL, 0}};

/* Standard deviations come from the covariance of all classes: with more of them, only where that is asked for. */
#define MOST_CLASSES 4096

struct table {
    double log_norm, *mean, *covariance; /* covariance may be NULL */
    int32_t *mode;
};

static double deviation(const struct table *table, int32_t c, int32_t classes) {
    if (!table->covariance) return NAN;
    return sqrt(fmax(table->covariance[(int64_t)c * classes + c], 0));
}

static void print_table(const struct urn *urn, const struct table *table, bool covariance) {
    printf("log P0  %.12g\n", table->log_norm);
    printf("\n%5s %9s %11s %14s %14s %9s\n", "class", "m", "log omega", "mean", "std deviation", "mode");
    for (int32_t c = 0; c < urn->classes; c++)
        printf("%5d %9d %11.5f %14.8g %14.6g %9d\n", c, urn->m[c], urn->log_omega[c], table->mean[c],
               deviation(table, c, urn->classes), table->mode[c]);
    if (!covariance) return;
    printf("\ncovariance\n");
    for (int64_t i = 0; i < (int64_t)urn->classes * urn->classes; i++)
        printf("%14.6g%s", table->covariance[i], (i + 1) % urn->classes ? "" : "\n");
}

static void write_table(const struct urn *urn, const struct table *table, bool covariance, const char *out) {
    struct writer writer;
    writer_open(&writer, out);
    write_text(&writer, "class,m,log_omega,mean,standard_deviation,mode");
    for (int32_t c = 0; covariance && c < urn->classes; c++) write_text(&writer, ",cov%d", c);
    write_text(&writer, "\n");
    for (int32_t c = 0; c < urn->classes; c++) {
        write_text(&writer, "%d,%d,%.17g,%.17g,%.17g,%d", c, urn->m[c], urn->log_omega[c], table->mean[c],
                   deviation(table, c, urn->classes), table->mode[c]);
        for (int32_t d = 0; covariance && d < urn->classes; d++)
            write_text(&writer, ",%.17g", table->covariance[(int64_t)c * urn->classes + d]);
        write_text(&writer, "\n");
    }
    writer_close(&writer);
}

int run_moments(int argc, char **argv) {
    static const char *const help[] = {HELP, LIST_HELP, NULL};
    struct urn urn = URN_INIT;
    const char *out = NULL;
    bool covariance = false;
    urn.chain = GURN_CHAIN_EXACT;
    for (int code; (code = next_option(argc, argv, OPTIONS, &urn, help)) != -1;) {
        switch (code) {
            case OPT_COVARIANCE: covariance = true; break;
            case OPT_OUT: out = optarg; break;
        }
    }
    claim_output("--out", out, false);
    urn_finish(&urn);
    if (urn.n < 0) usage_error("--n is missing: the number of balls drawn");

    const size_t classes = (size_t)urn.classes;
    struct table table = {.mean = allocate(classes, sizeof(double)), .mode = allocate(classes, sizeof(int32_t))};
    if (covariance || classes <= MOST_CLASSES)
        table.covariance = allocate(classes * classes, sizeof(double));
    else
        warn("no standard deviations of more than %d classes without --covariance", MOST_CLASSES);
    struct law law;
    if (urn.threads == 0) urn.threads = 1; /* a single row */
    law_open(&law, &urn, urn.n);
    law_moments(&law, urn.log_omega, &urn.n, 1, &table.log_norm, table.mean, table.covariance);
    law_mode(&law, urn.log_omega, urn.n, table.mode);
    law_close(&law);
    print_table(&urn, &table, covariance);
    flush_stdout();
    if (out) write_table(&urn, &table, covariance, out);

    free(table.mean);
    free(table.covariance);
    free(table.mode);
    urn_release(&urn);
    return EXIT_OK;
}
