/*
 * What the files of the command-line program share.
 *
 *   gumbelurn.c  main, the table of sub-commands, info          memory.c  contexts, and memory of host and GPU
 *   options.c    options of every urn, errors                   writer.c  buffered output: text and .npy
 *   values.c     strict parsing of numbers and lists            files.c   files of the options, replaced when complete
 *   omega.c      importances, from options or fit's result      csv.c     lines and fields of CSV
 *   counts.c     tables of counts, held against the urn         npy.c     the header and the values of .npy
 *   law.c        calls about the law itself
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
#include <stdio.h>

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
/* Room for entry i of an array that is filled entry after entry and doubles in size. */
void *grown(void *array, int32_t i, size_t size);

/* ------------------------------------------------------------------------------------------ parsing (values.c) --- */

enum reading {
    READ_OK,
    READ_NOT,       /* no such number */
    READ_TOO_LARGE, /* one that the type does not hold */
    READ_TOO_SMALL  /* not 0, but rounded to it */
};
/* All are strict: the whole text is the value. 1e6 is a whole number; 1.5 is not. */
enum reading read_whole(const char *text, bool *negative, uint64_t *magnitude);
enum reading read_real(const char *text, double *value); /* decimal, finite */
int32_t read_infinity(const char *text);                 /* 1 or -1 of inf, +Infinity, -INF and the like; else 0 */

/* These end the program with a message that names the option, and the limits. */
int64_t parse_integer(const char *option, const char *text, int64_t least, int64_t most);
uint64_t parse_u64(const char *option, const char *text);
double parse_positive(const char *option, const char *text);
double parse_tau(const char *option, const char *text); /* a temperature: at least GURN_MIN_TAU */
/* The position of text among NULL-terminated names. */
int parse_choice(const char *option, const char *text, const char *const names[]);

/* Where a value of a list was read, for messages. */
struct place {
    const char *option;
    const char *list; /* the whole argument, where there is more in it than one value; or */
    const char *file; /* that it names, and */
    int64_t line;
    int32_t entry; /* from 1 */
};
_Noreturn void bad_value(const struct place *place, const char *format, ...) __attribute__((format(printf, 2, 3)));
int64_t list_integer(const struct place *place, const char *text, int64_t least, int64_t most);
double list_real(const struct place *place, const char *text);
/* Calls item(place, value, data, i) for the values of a list: "4,3x200" has 4, 200, 200, 200. @FILE: those in a file. */
typedef void list_item(const struct place *place, const char *text, void *data, int32_t i);
int32_t parse_list(const char *option, const char *text, list_item *item, void *data);

#define BLANKS " \t\r\n"
char *trimmed(char *text); /* without blanks around it; the end is cut off in place */
/* Text of a file for a message: without control characters, and not all of it where it is long. */
#define SHOWN_SIZE 64
char *shown(const char *text, char *buffer);

/* ---------------------------------------------------------------------------- files that options name (files.c) --- */

/*
 * Says that an option reads or writes a file, before anything is read or written: ends the program where another option, or
 * standard output, writes the same file, where output could not be written there, or where its name is that of a format that
 * is not written (npy: .npy is). path: NULL is no file, "-" standard input or output.
 */
void claim_input(const char *option, const char *path);
void claim_output(const char *option, const char *path, bool npy);

/* Opens what has been claimed; *name: for messages. Standard input is stdin, which stays open. */
FILE *open_input(const char *option, const char *path, const char **name);

/*
 * An output appears at once: what is written goes to a temporary file beside the target, which takes its name when complete.
 * Whatever ends the program before, short of SIGKILL, removes the temporary file and leaves the target as it was. Devices,
 * pipes, standard output and other descriptors (/dev/stdout, /dev/fd/N) are written as they are.
 */
struct output {
    int fd;
    bool shared;      /* a descriptor that was open before, and stays so */
    int temporary;    /* which temporary file, or -1 */
    char *target;     /* its name to be */
    const char *name; /* for messages */
};
void output_open(struct output *output, const char *path);
void output_close(struct output *output); /* fails when anything could not be written */
void abandon_outputs(void);               /* removes temporary files */

bool has_suffix(const char *path, const char *suffix); /* in capitals, too */

/* ------------------------------------------------------------------------------- options of an urn (options.c) --- */

struct urn {
    int32_t classes; /* 0 until --m */
    int32_t *m;
    int64_t balls;        /* sum of m */
    const char *m_option; /* the option that gave m */
    int32_t n;            /* -1 until --n */
    double *log_omega; /* [classes] after urn_finish: finite, or -INFINITY for omega 0; zeros when no option gave it */
    int32_t omega_count;
    const char *omega_option; /* the option that gave it, or NULL */
    const char *omega_file;   /* of --omega-from */
    int64_t balls_open;       /* after urn_finish: of the classes whose omega is above 0 */
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
    OPT_OMEGA_FROM,
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
#define OMEGA_FROM_OPTION {"omega-from", required_argument, NULL, OPT_OMEGA_FROM}
#define CHAIN_OPTIONS                                 \
    {"chain", required_argument, NULL, OPT_CHAIN},    \
    {"order", required_argument, NULL, OPT_ORDER}
#define URN_OPTIONS                                   \
    URN_ONLY_OPTIONS, CHAIN_OPTIONS,                  \
    {"dtype", required_argument, NULL, OPT_DTYPE}

#define M_N_HELP                                                                               \
    "  --m LIST            class sizes, such as 200,200,200 or 3x200\n"                        \
    "  --n N               balls drawn\n"
#define OMEGA_HELP                                                                             \
    "  --omega LIST        importances of the classes, of which only ratios count; default\n"  \
    "                      all 1\n"                                                            \
    "  --log-omega LIST    their natural logarithms instead. What is more than 7e5 below the\n" \
    "                      largest is held there.\n"
/* Of the commands that take omega as it is: where learning starts it is not 0. */
#define OMEGA_FROM_HELP                                                                        \
    "  --omega-from FILE   log omega, and m where --m is not given, from the CSV that\n"       \
    "                      gumbelurn fit --out wrote. An omega of 0, a log omega of -inf, is a\n" \
    "                      class that is never drawn\n"
#define M_N_OMEGA_HELP M_N_HELP OMEGA_HELP OMEGA_FROM_HELP
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
    "  --device DEVICE     auto (default: CUDA where there is a device), cpu or cuda\n"        \
    THREADS_HELP
/* Of the commands about the law itself, all in float64. */
#define LAW_DEVICE_HELP                                                                        \
    "  --device DEVICE     cpu (default) or cuda\n" THREADS_HELP
#define LIST_HELP                                                                              \
    "\nThe values of a LIST are separated by commas; COUNTxVALUE repeats one. @FILE is the list\n" \
    "in that file, whose values are separated by commas, blanks or line ends; a # begins a\n" \
    "comment. Whole numbers may be written 1e6. The environment variable GURN_ISA (portable,\n" \
    "avx2, avx512, neon) chooses the CPU's instruction set; draws do not depend on it.\n"
/* clang-format on */

/*
 * getopt_long for a sub-command: returns the next option of its table for which the sub-command is responsible, or -1
 * at the end. Options of the urn go into *urn; --help prints the texts of help, up to a NULL, and ends the program;
 * anything wrong is a usage error.
 */
int next_option(int argc, char **argv, const struct option *table, struct urn *urn, const char *const *help);

/* Checks what depends on more than one option, and fills in defaults. */
void urn_finish(struct urn *urn);
void urn_release(struct urn *urn);

/* ----------------------------------------------------------------------------------------- importances (omega.c) --- */

enum omega_kind {
    OMEGA_VALUES,
    OMEGA_LOGARITHMS,
    OMEGA_FILE
};
/* One of the three options of an urn's omega, or of a second law's, whose names are given by kind. */
void omega_option(struct urn *urn, const char *const options[3], enum omega_kind kind, const char *text);
/*
 * Reads --omega-from, fills in zeros where no option was given, and holds omega against the urn `balls` with its m, which may
 * be the same one: then, where it has no m yet, that comes from the file.
 */
void omega_finish(struct urn *urn, struct urn *balls);
/* log omega as distances from the largest where a float would not hold them apart. */
void omega_make_relative(struct urn *urn);

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
    struct output output;
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

/* The header of a version 1.0 .npy file (npy.c); shape and descr as Python text, such as "(50, 3)" and "'<i4'". */
void write_npy_header(struct writer *writer, const char *descr, const char *shape);
void flush_stdout(void); /* fails when standard output could not be written */

/* ----------------------------------------------------------------------------------- CSV, line by line (csv.c) --- */

struct csv {
    FILE *file;
    const char *name; /* for messages */
    int64_t line;     /* number of the line that was read last */
    char separator;   /* of the whole file; 0 until a line has one */
    char *text;
    size_t text_room;
    char **fields; /* of this line, without blanks and quotes around them */
    int32_t count, room;
};

bool csv_next(struct csv *csv); /* the next line that is neither empty nor a comment; false at the end */
_Noreturn void csv_bad_field(const struct csv *csv, int32_t field, const char *what); /* "line 3: field 2: 'x' what" */
void csv_release(struct csv *csv);

/* ---------------------------------------------------------------------------------------------- .npy (npy.c) --- */

/* One field of every record of a structured array; of a plain one, the whole row. */
struct npy_field {
    size_t offset, size;
    int32_t columns; /* 0: to be skipped */
    char kind;       /* i, u, f or b */
    bool swapped;    /* big-endian */
};
struct npy {
    FILE *file;
    const char *name; /* for messages */
    int64_t rows;
    int32_t columns;
    bool fortran;  /* column after column; of plain arrays only */
    size_t stride; /* bytes of a record, which is a row */
    int32_t field_count;
    struct npy_field *fields;
    char type[SHOWN_SIZE]; /* of the values, for messages */
};

/* Reads the header; the file's data come next. Fails where it is not one of an array of numbers [rows][columns]. */
void npy_open(struct npy *npy, FILE *file, const char *name);
double npy_value(const struct npy_field *field, const unsigned char *bytes);
void npy_read(const struct npy *npy, void *bytes, size_t count, int64_t at,
              int64_t of);              /* fails where cut off at row `at` */
void npy_finish(const struct npy *npy); /* fails where more follows */
void npy_release(struct npy *npy);

/* -------------------------------------------------------------------------------------------- input (counts.c) --- */

struct counts {
    int64_t rows;
    int32_t classes;
    int32_t *x; /* [rows][classes] */
    int32_t *n; /* [rows]: the sum of each row */
    int32_t n_max;
};

/* Whether the first line of CSV names the columns. */
enum csv_header {
    HEADER_AUTO,
    HEADER_YES,
    HEADER_NO
};
enum csv_header parse_csv_header(const char *text); /* of --header */
#define HEADER_HELP                                                                           \
    "  --header yes|no     whether the first line of CSV names the columns. Without it, it\n" \
    "                      does if no field of it is a number: say yes where columns are\n"   \
    "                      called 0,1,2, as pandas does\n"

/*
 * Reads a table (claimed as --in) and holds it against the urn: classes columns, 0 <= x <= m, row sums of urn->n unless that
 * is -1, and of no more balls than there are in classes whose omega is above 0.
 */
void counts_read(struct counts *counts, const char *path, const struct urn *urn, enum csv_header header);
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
    double *log_omega;                  /* [classes]: in the starting point, out the result; sum 0; 0 of no balls */
    double *model_mean;                 /* [classes]: of draws with the result */
};

/* Fails where learning diverges. m[classes]: of the session's plan. */
void fit_sgd(const struct session *session, const struct counts *counts, const int32_t *m,
             const struct sgd_options *options, struct sgd_result *result);

/* --------------------------------------------------------------------------- fitting by maximum likelihood (mle.c) --- */

struct mle_options {
    const char *log; /* file for the curve, or NULL */
};

struct mle_result {
    int32_t groups; /* 1 where the likelihood has a maximum; see separation.c */
    int32_t main;   /* the one of most ratios known, then of most balls drawn */
    /* [classes], the caller's, as are the others */
    int32_t *group; /* 0 is of the highest omega; -1 of a class without balls */
    bool *twins;    /* by group: whether the data say nothing of the ratios within */
    /* Within each group, with sum 0; NaN for classes without balls and twins. Standard errors are NaN in a group of one, too */
    double *log_omega, *standard_error;
    double *mean;                                /* zeroed: of the fitted law, over rows */
    double *covariance;                          /* [classes][classes], or NULL: of the estimates; NaN between groups */
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

/*
 * Divides the classes into groups between which the ratio of omega is infinite (separation.c); returns how many. group[classes]:
 * 0 is of the highest omega, -1 a class without balls. twins[classes], by group: whether the data say nothing of the ratios
 * within; in other groups the likelihood has a maximum.
 */
int32_t separate(const struct counts *counts, const int32_t *m, int32_t *group, bool *twins);

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
void centre(double *values, int32_t classes);                              /* makes their sum 0 */

#endif
