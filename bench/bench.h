/* What the benchmark's files share: cases, the exact law that draws are checked against, devices, floors and results. */
#ifndef GURN_BENCH_H
#define GURN_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gumbelurn.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ------------------------------------------------------------------------------------------------------------ cases --- */

#define BENCH_MAX_CLASSES 10

/* An urn of the benchmark, with the importances that its rows have or vary around. */
typedef struct bench_case {
    const char *name;
    int32_t classes, m, n; /* every class has m balls */
    double omega[BENCH_MAX_CLASSES];
    int64_t rows; /* of a timed call, unless told otherwise */
} bench_case;

/* -------------------------------------------------------------------------------------------------------------- law --- */

/* Table of log k! up to the number of balls of the case; NULL when there is no memory. Freed by free(). */
double *bench_log_factorials(const bench_case *c);

/* Expected counts mean[classes] of the merged chain, over all that can be drawn. Returns -1 when there is no memory. */
int bench_expected(const bench_case *c, const double *log_factorial, const float *log_omega, double *mean);

#define BENCH_MAX_CHECKED 65536

/* What a batch is held against, and how many support points it takes. */
typedef struct bench_check {
    bool passed;
    char failure[160];
    double mean[BENCH_MAX_CLASSES]; /* of x */
    double largest_z;               /* of the classes' sums of x less its expectation given the steps before */
    double largest_log_p_error;     /* nats; 0 when log_p is NULL */
    double points, relaxed_points;  /* a draw: support points within bits, relaxed_bits of the mode of their step */
    double bits, relaxed_bits;
} bench_check;

/*
 * Checks x[rows][classes] and, if not NULL, log_p[rows]: whole counts in 0..m with sum n; and of the first
 * BENCH_MAX_CHECKED rows, which is what the law in double precision takes seconds for, every class's sum against its
 * exact conditional expectations and log_p against the exact. log_omega has one row (stride 0) or one a row (stride
 * classes).
 */
void bench_check_draws(const bench_case *c, const double *log_factorial, const float *log_omega, int64_t stride,
                       int64_t rows, const float *x, const float *log_p, double tau, bench_check *check);

/* ---------------------------------------------------------------------------------------------------------- devices --- */

typedef bool (*bench_call)(void *argument);

#define BENCH_QUEUED 20 /* calls that mode "queued" times together */

/*
 * Where a benchmark runs. device_cpu.c is one; device_cuda.cpp, where it is built, the other. Functions that return
 * bool say false on failure, with the reason in error[].
 */
typedef struct bench_device {
    gurn_device device;
    const char *const *modes; /* ways of timing, NULL-terminated; the first is the default */
    bool (*open)(char *error, size_t size);
    void (*close)(void);
    struct CUstream_st *(*stream)(void); /* for the context; NULL on the CPU */
    void *(*alloc)(size_t bytes);
    void (*release)(void *p);
    bool (*upload)(void *to, const void *from, size_t bytes);
    bool (*download)(void *to, const void *from, size_t bytes);
    /* Seconds of each of count calls (of each of BENCH_QUEUED together, count times), after one that is not timed where `warm`. */
    bool (*time)(const char *mode, bool warm, bench_call call, void *argument, int count, double *seconds);
} bench_device;

extern const bench_device bench_device_cpu;
#ifdef BENCH_HAVE_CUDA
extern const bench_device bench_device_cuda;
#endif

/* Times of device_cpu by the clock on the wall, or (orientation only, on a machine that does other things) by processor time. */
void bench_cpu_use_processor_time(int threads);

/* ----------------------------------------------------------------------------------------------------------- floors --- */

typedef enum bench_floor_kind {
    BENCH_FLOOR_RACE,       /* Philox, logarithm, exponential, product */
    BENCH_FLOOR_RECIPROCAL, /* and a reciprocal: the relaxed value at tau = 1 */
    BENCH_FLOOR_RELAXED     /* and a second logarithm and exponential: the relaxed value at another tau */
} bench_floor_kind;

/* A floor of one instruction set: works off `points` support points of the stream of `row`; the result is of no use. */
typedef float (*bench_floor)(bench_floor_kind kind, int64_t points, uint64_t row);

/* NULL for an instruction set that this build lacks. */
bench_floor bench_floor_of(gurn_isa isa);

/* ---------------------------------------------------------------------------------------------------------- results --- */

typedef struct bench_result {
    const bench_case *c;
    const char *omega; /* "shared" or "row" */
    const char *pass;  /* "forward" or "forward+backward" (merged chain), "exact" or "exact+backward", "plain" */
    const char *what;  /* "x" or "x,log_p": outputs, and upstream gradients */
    const char *mode;
    char isa[16];
    int threads;
    int64_t rows;
    double tau;
    int repetitions;
    double median, least;            /* seconds of a call */
    double floor;                    /* seconds of the floor for as many points on as many threads, median; 0: none */
    double merged;                   /* seconds of the same pass of the merged chain, median; 0: not of a chain */
    double points;                   /* support points of a draw, over its passes */
    double bytes, workspace, tables; /* read and written a draw; of a call; of the plan */
} bench_result;

typedef struct bench_report {
    char processor[128], system[128], device[160], commit[64], date[32];
    int cores;
    const char *clock;
    bench_result *results;
    size_t count, room;
    struct bench_checked {
        const bench_case *c;
        const char *omega;
        bench_check check;
        double expected[BENCH_MAX_CLASSES]; /* shared omega only */
    } checks[64];
    size_t check_count;
    const char *json, *csv; /* files that hold the results so far; NULL: none */
    bool finished;
} bench_report;

/* The pass of plain draws (plain.c): what it is timed on. */
typedef struct bench_plain {
    const bench_device *device;
    gurn_context *context;
    const bench_case *c;
    const double *log_factorial;
    const float *log_omega, *device_log_omega; /* of the host; of the device. One row when shared, else [rows] */
    bool shared;
    int64_t rows;
    double seconds;
} bench_plain;
/* Whether counts x[rows][classes] are whole, sum to n, and have the means of Eq. 1; else the reason is in failure[]. */
bool bench_check_law(const bench_plain *plain, const int32_t *x, char *failure, size_t size);

/*
 * Checks a call against Eq. 1, then times calls: seconds[] of each, at most `most`, and how many; 0, with the reason in failure[], when
 * something is wrong. Fills in points (steps of a draw), bytes, workspace and tables of *result.
 */
int bench_plain_time(const bench_plain *plain, const char *mode, double *seconds, int most, bench_result *result,
                     char *failure, size_t size);

void bench_report_begin(bench_report *report, const char *commit, const char *clock);
/* Keeps a result and writes it: into the files first, then as a line of the table. */
bool bench_report_add(bench_report *report, const bench_result *result);
void bench_report_head(const bench_report *report);
void bench_report_scaling(const bench_report *report);
/*
 * Writes the files anew, whole at every moment, so that a run that is killed leaves what it had. What is no regular file, such
 * as a pipe, is written when the report is finished. False, with a line on standard error, when one could not be written.
 */
bool bench_report_save(const bench_report *report);

#ifdef __cplusplus
}
#endif

#endif
