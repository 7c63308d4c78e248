/*
 * What the files of the command-line program share.
 *
 *   gumbelurn.c  main, the table of sub-commands, info          memory.c  contexts, and memory of host and GPU
 *   options.c    strict parsing, options of every urn, errors   writer.c  buffered output: text and .npy
 *   counts.c     reading tables of counts: CSV and .npy         sample.c, fit.c (its loop in sgd.c)  the sub-commands
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
#define DEFAULT_CHAIN GURN_CHAIN_MERGED
#define DEFAULT_CHAIN_NAME "merged"

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
    gurn_dtype dtype;
    bool dtype_given;
    int32_t *order; /* NULL: 0..classes-1 */
    int32_t order_count;
    gurn_device device;
    int32_t threads;
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
#define URN_OPTIONS                                   \
    {"m", required_argument, NULL, OPT_M},            \
    {"n", required_argument, NULL, OPT_N},            \
    {"omega", required_argument, NULL, OPT_OMEGA},    \
    {"log-omega", required_argument, NULL, OPT_LOG_OMEGA}, \
    {"chain", required_argument, NULL, OPT_CHAIN},    \
    {"order", required_argument, NULL, OPT_ORDER},    \
    {"dtype", required_argument, NULL, OPT_DTYPE},    \
    {"device", required_argument, NULL, OPT_DEVICE},  \
    {"threads", required_argument, NULL, OPT_THREADS}, \
    {"help", no_argument, NULL, 'h'}

#define URN_HELP                                                                               \
    "  --m LIST            class sizes, such as 200,200,200 or 3x200\n"                        \
    "  --n N               balls drawn\n"                                                      \
    "  --omega LIST        importances of the classes, each above 0; default all 1\n"          \
    "  --log-omega LIST    their natural logarithms instead\n"                                 \
    "  --chain CHAIN       how the law is drawn class after class: exact, or merged (as\n"     \
    "                      published, biased for three classes or more);\n"                    \
    "                      default " DEFAULT_CHAIN_NAME "\n"                                   \
    "  --order LIST        order in which the classes are visited, such as 2,0,1\n"            \
    "  --dtype TYPE        arithmetic: float32 (default) or float64 (default for classes\n"  \
    "                      of more than 2^24 balls, whose counts float32 does not hold)\n"    \
    "  --device DEVICE     auto (default: CUDA where there is a device), cpu or cuda\n"        \
    "  --threads T         CPU threads; default as many as OpenMP would use\n"
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
void urn_release(struct urn *urn);

/* ----------------------------------------------------------------------------- a context and a plan (memory.c) --- */

struct session {
    gurn_context *context;
    gurn_plan *plan;
    bool cuda;
    size_t real_size; /* 4 or 8 */
};

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
};

/* Reads a table and holds it against the urn: classes columns, 0 <= x <= m, row sums of urn->n unless that is -1. */
void counts_read(struct counts *counts, const char *path, const struct urn *urn);

/* ------------------------------------------------------------------------------------------------ sub-commands --- */

int run_sample(int argc, char **argv);
int run_fit(int argc, char **argv);

/* ----------------------------------------------------------------------------------- fitting (fit.c and sgd.c) --- */

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

struct fit_result {
    int64_t train_rows, validation_rows;
    double train_loss, validation_loss; /* NaN when there is no such row */
    double *log_omega;                  /* [classes]: in the starting point, out the result; sum 0 */
    double *model_mean;                 /* [classes]: of draws with the result */
};

void fit_sgd(const struct session *session, const struct counts *counts, const struct sgd_options *options,
             struct fit_result *result);

#endif
