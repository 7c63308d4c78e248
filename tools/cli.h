/*
 * What the files of the command-line program share.
 *
 *   gumbelurn.c  main, the table of sub-commands, info          memory.c  contexts, and memory of host and GPU
 *   options.c    strict parsing, options of every urn, errors   writer.c  buffered output: text and .npy
 *   counts.c     reading tables of counts: CSV and .npy         law.c     calls about the law itself
 *   sample.c, fit.c, logprob.c, moments.c, kl.c  the sub-commands
 *   sgd.c, mle.c (with separation.c, laplacian.c)  the two ways to fit
 *
 * Adding a sub-command: a run function in a file of its own, a line in the table in gumbelurn.c, a declaration here.
 * Nothing but the public API is used. The process ends with EXIT_OK, EXIT_FAILURE_RUN or EXIT_USAGE; usage_error() and
 * fail() end it at once, by _exit: memory is left to the system, and standard output has been flushed.
 */
#ifndef GUMBELURN_CLI_H
#define GUMBELURN_CLI_H

#include <getopt.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gumbelurn.h"

/* The chain when --chain is not given. */
#define DEFAULT_CHAIN GURN_CHAIN_EXACT
#define DEFAULT_CHAIN_NAME "exact"

enum {
    EXIT_OK = 0,
    EXIT_FAILURE_RUN = 1,
    EXIT_USAGE = 2
};

/* ------------------------------------------------------------------------------------------ errors (options.c) --- */

extern const char *command_name; /* "gumbelurn sample", for messages */

#define PRINTF_LIKE __attribute__((format(printf, 1, 2)))
_Noreturn void usage_error(const char *format, ...) PRINTF_LIKE; /* message, "Try ... --help", exit 2 */
_Noreturn void fail(const char *format, ...) PRINTF_LIKE;        /* message, exit 1 */
void warn(const char *format, ...) PRINTF_LIKE;
void *allocate(size_t count, size_t size); /* zeroed; fails rather than returning NULL */

/* ----------------------------------------------------------------------------------------- parsing (options.c) --- */

/* All are strict: the whole text is the value, or the error names the option. 1e6 is a whole number; 1.5 is not. */
bool read_integer(const char *text, int64_t *value);
int64_t parse_integer(const char *option, const char *text, int64_t least, int64_t most);
uint64_t parse_u64(const char *option, const char *text);
bool read_real(const char *text, double *value); /* decimal, finite */
double parse_positive(const char *option, const char *text);
/* The position of text among NULL-terminated names. */
int parse_choice(const char *option, const char *text, const char *const names[]);

/* ------------------------------------------------------------------------------- options of an urn (options.c) --- */

struct urn {
    int32_t classes; /* 0 until --m */
    int32_t *m;
    int64_t balls;     /* sum of m */
    int32_t n;         /* -1 until --n */
    double *log_omega; /* [classes] after urn_finish: zeros when neither option was given */
    int32_t omega_count;
    const char *omega_option; /* which of the two was given, or NULL */
    gurn_chain chain;
    bool chain_given;
    gurn_dtype dtype;
    bool dtype_given;
    int32_t *order; /* NULL: 0..classes-1 */
    int32_t order_count;
    gurn_device device;
    int32_t threads;
    gurn_plan_use use; /* of the plan */
};
/* clang-format off */
#define URN_INIT {.n = -1, .chain = DEFAULT_CHAIN}
/* clang-format on */

enum {
    OPT_M = 256,
    OPT_N,
    OPT_OMEGA,
    OPT_LOG_OMEGA,
    OPT_CHAIN,
    OPT_ORDER,
    OPT_DTYPE,
    OPT_DEVICE,
    OPT_THREADS,
    OPT_OWN
};

/* clang-format off */
/* For the option table of a sub-command: OPT_OWN and above are its own. */
#define URN_ONLY_OPTIONS                              \
    {"m", required_argument, NULL, OPT_M},            \
    {"n", required_argument, NULL, OPT_N},            \
    {"omega", required_argument, NULL, OPT_OMEGA},    \
    {"log-omega", required_argument, NULL, OPT_LOG_OMEGA}, \
    {"device", required_argument, NULL, OPT_DEVICE},  \
    {"threads", required_argument, NULL, OPT_THREADS}, \
    {"help", no_argument, NULL, 'h'}
#define CHAIN_OPTIONS                                 \
    {"chain", required_argument, NULL, OPT_CHAIN},    \
    {"order", required_argument, NULL, OPT_ORDER}
#define URN_OPTIONS                                   \
    URN_ONLY_OPTIONS, CHAIN_OPTIONS,                  \
    {"dtype", required_argument, NULL, OPT_DTYPE}

#define M_N_OMEGA_HELP                                                                         \
    "  --m LIST            class sizes, such as 200,200,200 or 3x200\n"                        \
    "  --n N               balls drawn\n"                                                      \
    "  --omega LIST        importances of the classes, each above 0; default all 1\n"          \
    "  --log-omega LIST    their natural logarithms instead\n"
#define CHAIN_HELP(DEFAULT)                                                                    \
    "  --chain CHAIN       how the law is drawn class after class: exact (the law itself), or\n" \
    "                      merged (as published, biased for three classes or more);\n"         \
    "                      default " DEFAULT "\n"                                              \
    "  --order LIST        order in which the classes are visited, such as 2,0,1\n"
#define THREADS_HELP                                                                           \
    "  --threads T         CPU threads; default as many as OpenMP would use\n"
#define URN_HELP                                                                               \
    M_N_OMEGA_HELP                                                                             \
    CHAIN_HELP(DEFAULT_CHAIN_NAME)                                                             \
    "  --dtype TYPE        arithmetic: float32 (default) or float64 (default for classes\n"  \
    "                      of more than 2^24 balls, whose counts float32 does not hold)\n"    \
    "  --device DEVICE     auto (default: CUDA where there is a device, if it has the chain), cpu\n" \
    "                      or cuda\n"                                                          \
    THREADS_HELP
/* Of the commands about the law itself, all in float64. */
#define LAW_DEVICE_HELP                                                                        \
    "  --device DEVICE     cpu (default) or cuda\n" THREADS_HELP
#define LIST_HELP                                                                              \
    "The values of a LIST are separated by commas; COUNTxVALUE repeats one. Whole numbers\n"   \
    "may be written 1e6. The environment variable GURN_ISA (portable, avx2, avx512, neon)\n"   \
    "chooses the CPU's instruction set; draws do not depend on it.\n"
/* clang-format on */

/*
 * getopt_long for a sub-command: returns the next option of its table for which the sub-command is responsible, or -1
 * at the end. Options of the urn go into *urn; --help prints help and ends the program; anything wrong is a usage
 * error.
 */
int next_option(int argc, char **argv, const struct option *table, struct urn *urn, const char *help);

/* Checks what depends on more than one option, and fills in defaults. */
void urn_finish(struct urn *urn);
/* The part of both about omega, for a second list; options: the names of its option, and of that for logarithms. */
void omega_option(struct urn *urn, const char *const options[2], bool logarithms, const char *text);
void omega_finish(struct urn *urn, int32_t classes);
void urn_release(struct urn *urn);

/* ----------------------------------------------------------------------------- a context and a plan (memory.c) --- */

struct session {
    gurn_context *context;
    gurn_plan *plan;
    bool cuda;
    size_t real_size; /* 4 or 8 */
};

/* The device that --device means: auto is the CPU for the exact chain, by which CUDA does not draw yet. */
gurn_device device_of(const struct urn *urn);
gurn_context *open_context(gurn_device device, int32_t threads);
void session_open(struct session *session, const struct urn *urn, int32_t n_max);
void session_close(struct session *session);
/* Ends the program with the option's name where a status is the fault of one, else with the library's message. */
void check(const struct session *session, gurn_status status, const char *call);

void *device_alloc(const struct session *session, size_t bytes);
void device_free(const struct session *session, void *memory);
void to_device(const struct session *session, void *memory, const void *host, size_t bytes);
/* What lies in device memory, readable here: memory itself on a CPU, else host, into which it was copied. */
const void *to_host(const struct session *session, const void *memory, void *host, size_t bytes);
/* log omega as reals of the plan's type, in device memory already allocated. */
void put_log_omega(const struct session *session, void *memory, const double *log_omega, int32_t classes);

/* Element i of an array of reals of the session's type. */
static inline double real_at(const struct session *session, const void *array, int64_t i) {
    return session->real_size == 4 ? (double)((const float *)array)[i] : ((const double *)array)[i];
}

/* ----------------------------------------------------------------------------------------- the law itself (law.c) --- */

/* A plan for calls about the law, in float64: arrays are host arrays of doubles, rows share log omega. */
struct law {
    struct session session;
    int32_t classes;
};

/* Of the urn its m, chain, order, device (auto is the CPU here) and threads matter. */
void law_open(struct law *law, const struct urn *urn, int32_t n_max);
void law_close(struct law *law);
/* n[rows] -> log P0 [rows], mean [rows][classes], covariance [rows][classes][classes]; NULL is not wanted. */
void law_moments(const struct law *law, const double *log_omega, const int32_t *n, int64_t rows, double *log_norm,
                 double *mean, double *covariance);
void law_log_prob(const struct law *law, const double *log_omega, const int32_t *x, const int32_t *n, int64_t rows,
                  double *log_p);
double law_kl(const struct law *law, const double *log_omega, const double *other, int32_t n);
void law_mode(const struct law *law, const double *log_omega, int32_t n, int32_t *mode);

/* ------------------------------------------------------------------------------------------- output (writer.c) --- */

struct writer {
    int fd;
    const char *name;
    char *buffer;
    size_t used;
};

void writer_open(struct writer *writer, const char *path); /* NULL or "-": standard output */
void writer_flush(struct writer *writer);
void writer_close(struct writer *writer);               /* flushes; fails when anything could not be written */
char *writer_room(struct writer *writer, size_t bytes); /* bytes <= WRITER_ROOM; then add what was used to ->used */
void write_bytes(struct writer *writer, const void *bytes, size_t count);
void write_text(struct writer *writer, const char *format, ...) __attribute__((format(printf, 2, 3)));
#define WRITER_ROOM 64

/* Decimal text of a value at the given place, without a 0 at the end; returns its length. */
size_t format_count(char *text, uint32_t value);
size_t format_fixed6(char *text, double value);            /* six decimals; at most 40 characters */
size_t format_real(char *text, double value, size_t size); /* round trip: 9 (size 4) or 17 digits */

bool has_suffix(const char *path, const char *suffix);
/* The header of a version 1.0 .npy file; shape and descr as Python text, such as "(50, 3)" and "'<i4'". */
void write_npy_header(struct writer *writer, const char *descr, const char *shape);
void flush_stdout(void); /* fails when standard output could not be written */

/* -------------------------------------------------------------------------------------------- input (counts.c) --- */

struct counts {
    int64_t rows;
    int32_t classes;
    int32_t *x; /* [rows][classes] */
    int32_t *n; /* [rows]: the sum of each row */
    int32_t n_max;
};

/* Reads a table and holds it against the urn: classes columns, 0 <= x <= m, row sums of urn->n unless that is -1. */
void counts_read(struct counts *counts, const char *path, const struct urn *urn);
void counts_release(struct counts *counts);

/* ------------------------------------------------------------------------------------------------ sub-commands --- */

int run_sample(int argc, char **argv);
int run_fit(int argc, char **argv);
int run_logprob(int argc, char **argv);
int run_moments(int argc, char **argv);
int run_kl(int argc, char **argv);

/* ---------------------------------------------------------------------------- fitting by gradient descent (sgd.c) --- */

struct sgd_options {
    double tau, tau_final; /* from the first epoch to the last, geometrically */
    int64_t epochs;        /* 0: as many as SGD_STEPS steps need, at least 10 */
    int64_t batch;
    double learning_rate;
    double train; /* share of rows to learn from */
    uint64_t seed;
    bool per_row_loss; /* the papers' gradient */
    const char *log;   /* file for the curve, or NULL */
};
#define SGD_STEPS 2000

struct sgd_result {
    int64_t train_rows, validation_rows;
    double train_loss, validation_loss; /* NaN when there is no such row */
    double *log_omega;                  /* [classes]: in the starting point, out the result; sum 0 */
    double *model_mean;                 /* [classes]: of draws with the result */
};

void fit_sgd(const struct session *session, const struct counts *counts, const struct sgd_options *options,
             struct sgd_result *result);

/* --------------------------------------------------------------------------- fitting by maximum likelihood (mle.c) --- */

struct mle_options {
    const char *log; /* file for the curve, or NULL */
};

struct mle_result {
    int32_t groups; /* 1 where the likelihood has a maximum; see separation.c */
    int32_t main;   /* the group of most classes */
    int32_t *group; /* [classes]: 0 is of the highest omega; -1 of a class without balls */
    /* [classes], the caller's: within each group, with sum 0; NaN for the log omega of classes without balls, and for the
       standard errors of a group of one */
    double *log_omega, *standard_error;
    double *mean;       /* [classes], the caller's, zeroed: of the fitted law, over rows */
    double *covariance; /* [classes][classes], the caller's or NULL: of the estimates; NaN between groups */
    double log_likelihood, log_likelihood_equal; /* the latter with all omega equal */
    double distance;                             /* from the maximum, in standard errors; the largest of the groups' */
    int64_t iterations;
    bool converged;
};
#define MLE_MOST_CLASSES 2048

/* A step of fitting with fewer values is over sooner than several threads have been started and waited for. */
#define SMALL_STEP 4096

void fit_mle(const struct counts *counts, const struct urn *urn, const struct mle_options *options,
             struct mle_result *result);

/* The groups of classes within which the likelihood has a maximum, into group[classes]; returns how many (separation.c). */
int32_t separate(const struct counts *counts, const int32_t *m, int32_t *group);

/* The Cholesky factor of the covariance of counts with a given sum (laplacian.c). */
struct laplacian {
    int32_t classes, left_out;
    double *factor; /* [classes - 1][classes - 1], the caller's */
};

/* Of a matrix whose diagonal is multiplied by 1 + damping; false when it is singular as far as can be told. */
bool laplacian_factor(struct laplacian *a, const double *matrix, double damping);
/* solution[classes], with sum 0, of matrix * solution = right, whose sum is 0. */
void laplacian_solve(const struct laplacian *a, const double *right, double *solution);
void laplacian_pseudo_inverse(const struct laplacian *a, double *inverse); /* [classes][classes] */

void centre(double *log_omega, int32_t classes); /* makes the sum 0 (fit.c) */

#endif
