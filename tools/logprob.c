/* gumbelurn logprob: the log-probability of every row of a table of counts. */
#define _POSIX_C_SOURCE 200809L
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli.h"

#define BATCH_VALUES (1 << 20) /* counts passed on at once */

static const char HELP[] =
    "usage: gumbelurn logprob --m LIST --in FILE [options]\n"
    "\n"
    "Prints the log-probability, in nats, of every row of counts: under Fisher's noncentral\n"
    "hypergeometric law itself, or under the merged chain.\n"
    "\n"
    "  --in FILE           the counts, a row a draw and a column a class: CSV with or without a\n"
    "                      header, or .npy; - is standard input\n" HEADER_HELP M_N_HELP
    "                      Without --n every row's own sum is its n\n" OMEGA_HELP OMEGA_FROM_HELP CHAIN_HELP(
        "exact") "                      (the exact law does not depend on it)\n" LAW_DEVICE_HELP
                 "  --sum               the sum over all rows only\n"
                 "  --out FILE          to FILE; a NAME.npy becomes a NumPy array, float64 [rows]. Default\n"
                 "                      standard output, as CSV with the header log_p\n"
                 "  --no-header         CSV without its first line\n";

enum {
    OPT_IN = OPT_OWN,
    OPT_HEADER,
    OPT_SUM,
    OPT_OUT,
    OPT_NO_HEADER
};

static const struct option OPTIONS[] = {URN_ONLY_OPTIONS,
                                        CHAIN_OPTIONS,
                                        OMEGA_FROM_OPTION,
                                        {"in", required_argument, NULL, OPT_IN},
                                        {"header", required_argument, NULL, OPT_HEADER},
                                        {"sum", no_argument, NULL, OPT_SUM},
                                        {"out", required_argument, NULL, OPT_OUT},
                                        {"no-header", no_argument, NULL, OPT_NO_HEADER},
                                        {NULL, 0, NULL, 0}};

static void put(struct writer *writer, double value) {
    char *text = writer_room(writer, WRITER_ROOM);
    const size_t length = format_real(text, value, sizeof value);
    text[length] = '\n';
    writer->used += length + 1;
}

int run_logprob(int argc, char **argv) {
    static const char *const help[] = {HELP, LIST_HELP, NULL};
    struct urn urn = URN_INIT;
    const char *in = NULL, *out = NULL;
    bool sum_only = false, header = true;
    enum csv_header in_header = HEADER_AUTO;
    urn.chain = GURN_CHAIN_EXACT;
    for (int code; (code = next_option(argc, argv, OPTIONS, &urn, help)) != -1;) {
        switch (code) {
            case OPT_IN: in = optarg; break;
            case OPT_HEADER: in_header = parse_csv_header(optarg); break;
            case OPT_SUM: sum_only = true; break;
            case OPT_OUT: out = optarg; break;
            case OPT_NO_HEADER: header = false; break;
        }
    }
    claim_input("--in", in);
    claim_output("--out", out, true);
    urn_finish(&urn);
    if (!in) usage_error("--in is missing: the file of counts");
    const bool npy = has_suffix(out, ".npy");
    if (sum_only && npy) usage_error("--sum: a single number is not for an .npy file (--out)");

    struct counts counts;
    counts_read(&counts, in, &urn, in_header);
    struct law law;
    law_open(&law, &urn, counts.n_max);
    int64_t batch = BATCH_VALUES / urn.classes > 0 ? BATCH_VALUES / urn.classes : 1;
    if (batch > counts.rows) batch = counts.rows;
    double *log_p = allocate((size_t)batch, sizeof *log_p), sum = 0;
    struct writer writer;
    writer_open(&writer, out);
    if (npy) {
        char shape[32];
        snprintf(shape, sizeof shape, "(%" PRId64 ",)", counts.rows);
        write_npy_header(&writer, "'<f8'", shape);
    } else if (header && !sum_only) {
        write_text(&writer, "log_p\n");
    }
    for (int64_t done = 0, part; done < counts.rows; done += part) {
        part = counts.rows - done < batch ? counts.rows - done : batch;
        law_log_prob(&law, urn.log_omega, counts.x + done * urn.classes, counts.n + done, part, log_p);
        for (int64_t r = 0; r < part; r++) {
            sum += log_p[r];
            if (sum_only) continue;
            if (npy)
                write_bytes(&writer, log_p + r, sizeof *log_p);
            else
                put(&writer, log_p[r]);
        }
    }
    if (sum_only) put(&writer, sum);
    writer_close(&writer);

    free(log_p);
    law_close(&law);
    counts_release(&counts);
    urn_release(&urn);
    return EXIT_OK;
}
