/* gumbelurn kl: the divergence of two laws on one urn. */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>

#include "cli.h"

static const char HELP[] =
    "usage: gumbelurn kl --m LIST --n N --omega LIST [--other LIST] [options]\n"
    "\n"
    "Prints the Kullback-Leibler divergence KL(omega || other), in nats, of two of Fisher's\n"
    "noncentral hypergeometric laws on the same urn: in closed form, to 17 digits.\n"
    "\n" M_N_OMEGA_HELP
    "  --other LIST        importances of the other law; default all 1\n"
    "  --log-other LIST    their natural logarithms instead\n"
    "  --other-from FILE   those that gumbelurn fit --out wrote\n" LAW_DEVICE_HELP;

enum {
    OPT_OTHER = OPT_OWN,
    OPT_LOG_OTHER,
    OPT_OTHER_FROM
};

static const struct option OPTIONS[] = {URN_ONLY_OPTIONS,
                                        OMEGA_FROM_OPTION,
                                        {"other", required_argument, NULL, OPT_OTHER},
                                        {"log-other", required_argument, NULL, OPT_LOG_OTHER},
                                        {"other-from", required_argument, NULL, OPT_OTHER_FROM},
                                        {NULL, 0, NULL, 0}};

int run_kl(int argc, char **argv) {
    static const char *const help[] = {HELP, LIST_HELP, NULL};
    static const char *const others[3] = {"--other", "--log-other", "--other-from"};
    struct urn urn = URN_INIT, other = URN_INIT;
    urn.chain = GURN_CHAIN_EXACT;
    for (int code; (code = next_option(argc, argv, OPTIONS, &urn, help)) != -1;)
        omega_option(&other, others,
                     code == OPT_OTHER       ? OMEGA_VALUES
                     : code == OPT_LOG_OTHER ? OMEGA_LOGARITHMS
                                             : OMEGA_FILE,
                     optarg);
    claim_input(other.omega_option, other.omega_file);
    urn_finish(&urn);
    omega_finish(&other, &urn);
    if (urn.n < 0) usage_error("--n is missing: the number of balls drawn");

    struct law law;
    if (urn.threads == 0) urn.threads = 1; /* a single row */
    law_open(&law, &urn, urn.n);
    printf("%.17g\n", law_kl(&law, urn.log_omega, other.log_omega, urn.n));
    flush_stdout();
    law_close(&law);
    urn_release(&other);
    urn_release(&urn);
    return EXIT_OK;
}
