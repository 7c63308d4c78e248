/*
 * Benchmark of the MVHG sampler: forward and forward + backward of three urns, checked and then timed, next to a floor
 * measured in the same run. README.md in this folder says what the figures mean.
 */
#define _GNU_SOURCE
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#ifdef _OPENMP
#include <omp.h>
#endif

#include "bench.h"

#define MAX_LIST 8
#define MAX_REPETITIONS 1000

static const bench_case all_cases[] = {
    {"S1", 3, 200, 180, {1, 5, 1}, 32768},
    {"S2", 10, 256, 256, {1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5, 5.5}, 8192},
    {"S3", 3, 20000, 18000, {1, 5, 1}, 8192},
};
#define CASES (sizeof all_cases / sizeof *all_cases)

typedef struct settings {
    const bench_device *device;
    const char *commit, *json, *csv;
    const char *modes[MAX_LIST];
    int mode_count;
    const bench_case *cases[CASES];
    size_t case_count;
    const char *omegas[2];
    int threads[MAX_LIST], thread_count;
    gurn_isa isas[MAX_LIST];
    int isa_count;
    bool all_isas, processor_time;
    int64_t rows[MAX_LIST];
    int row_count; /* 0: by the case */
    double tau, seconds;
} settings;

static const char usage[] =
    "usage: bench_mvhg [OPTION...]\n"
    "Times the MVHG sampler (merged and exact chain, float32, hard), and plain draws (exact chain), after checking "
    "what they "
    "draw.\n"
    "\n"
    "  --case S1,S2,S3     urns: S1 m = 3 x 200, n = 180; S2 m = 10 x 256, n = 256; S3 m = 3 x 20000, n = 18000\n"
    "  --omega shared,row  one log omega for all rows, one for each\n"
    "  --rows B[,B...]     rows a call, 1 to 1e8 (default: by the case)\n"
    "  --tau T             temperature of backward (default 1)\n"
    "  --device cpu|cuda   where to run (default cpu)\n"
    "  --mode MODE[,...]   cuda: warm, cold (L2 flushed before each call), graph (replay of a captured call),\n"
    "                      queued (20 replays / 20), all (default warm)\n"
    "  --threads T[,T...]  cpu: thread counts (default: 1 and all cores)\n"
    "  --isa NAME[,...]    cpu: auto, all, portable, avx2, avx512, neon (default auto)\n"
    "  --clock wall|cpu    cpu: wall time, or processor time for orientation on a busy machine (default wall)\n"
    "  --seconds S         at least so long on each line (default 0.5), and at least 7 calls\n"
    "  --commit TEXT       noted in the results\n"
    "  --json FILE, --csv FILE   written anew after every result: a run that is killed leaves what it had\n"
    "  --help\n";

static void die(const char *what, const char *why) {
    fprintf(stderr, "bench_mvhg: %s%s%s\n", what, why && why[0] ? ": " : "", why ? why : "");
    exit(1);
}

static void bad(const char *option, const char *value) {
    fprintf(stderr, "bench_mvhg: --%s: '%s' is not understood (--help lists what is)\n", option, value);
    exit(2);
}

/* ------------------------------------------------------------------------------------------------------------ a line --- */

/* A call as it is timed, and what it reads and writes. */
typedef struct job {
    const settings *set;
    const bench_case *c;
    gurn_context *context;
    gurn_plan *plan;
    gurn_mvhg_inputs inputs;
    gurn_mvhg_outputs outputs;
    gurn_mvhg_upstream upstream;
    gurn_mvhg_gradients gradients;
    gurn_plan *exact; /* the same urn's plan of the exact chain; plan has the merged one */
    bool backward, by_exact;
    void *workspace;
    size_t workspace_bytes;
    /* device memory */
    float *log_omega, *x, *log_p, *dx, *dlog_p, *dlog_omega;
    bench_floor floor;
    int threads;
    bench_floor_kind floor_kind;
    int64_t floor_points;
    const char *mode;
} job;

static bool execute(void *argument) {
    job *j = argument;
    const gurn_plan *plan = j->by_exact ? j->exact : j->plan;
    gurn_status status = gurn_mvhg_forward(j->context, plan, &j->inputs, &j->outputs, j->workspace, j->workspace_bytes);
    if (status == GURN_SUCCESS && j->backward)
        status = gurn_mvhg_backward(j->context, plan, &j->inputs, j->x, &j->upstream, &j->gradients, j->workspace,
                                    j->workspace_bytes);
    return status == GURN_SUCCESS;
}

static volatile float floor_result;

static bool execute_floor(void *argument) {
    const job *j = argument;
    float sum = 0.0f;
#pragma omp parallel num_threads(j->threads) reduction(+ : sum)
    {
        int thread = 0, threads = 1;
#ifdef _OPENMP
        thread = omp_get_thread_num(), threads = omp_get_num_threads();
#endif
        sum += j->floor(j->floor_kind, j->floor_points / threads, (uint64_t)thread << 40);
    }
    floor_result = sum;
    return true;
}

/* A few values that are the same on every machine: uniform in [-1, 1]. */
static float next_value(uint64_t *state) {
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (float)((double)(*state >> 11) * 0x1p-52 - 1.0);
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median_of(double *seconds, int count) {
    qsort(seconds, (size_t)count, sizeof *seconds, by_size);
    return count % 2 ? seconds[count / 2] : 0.5 * (seconds[count / 2 - 1] + seconds[count / 2]);
}

static void time_once(const job *j, bool warm, bench_call call, double *seconds) {
    if (!j->set->device->time(j->mode, warm, call, (void *)(uintptr_t)j, 1, seconds))
        die(j->c->name, gurn_context_message(j->context));
}

enum {
    CHAIN_PASSES = 4,         /* x; x and log_p; both with backward */
    PASSES = 2 * CHAIN_PASSES /* of the merged chain, and then of the exact one */
};

/* Calls of all passes and of the floors take turns, so that whatever else the machine does meets them alike. */
static void time_passes(job *j, const bench_check *check, const char *omega, bench_report *report) {
    const settings *set = j->set;
    static double seconds[PASSES + 2][MAX_REPETITIONS];
    bench_floor_kind relaxed = set->tau == 1.0 ? BENCH_FLOOR_RECIPROCAL : BENCH_FLOOR_RELAXED;
    double points[2] = {check->points, check->relaxed_points}, spent = 0.0;
    int count = 0, calls = strcmp(j->mode, "queued") == 0 ? BENCH_QUEUED : 1;
    for (; count < MAX_REPETITIONS && (count < 7 || spent < set->seconds * PASSES); count++) {
        for (int pass = 0; pass < PASSES; pass++) {
            bool with_p = pass % 2;
            j->backward = pass % CHAIN_PASSES >= 2;
            j->by_exact = pass >= CHAIN_PASSES;
            j->outputs.log_p = with_p ? j->log_p : NULL;
            j->upstream.log_p = with_p ? j->dlog_p : NULL;
            time_once(j, count == 0, execute, &seconds[pass][count]);
            spent += seconds[pass][count] * calls;
        }
        for (int f = 0; f < 2 && j->floor; f++) {
            j->floor_kind = f ? relaxed : BENCH_FLOOR_RACE;
            j->floor_points = (int64_t)(points[f] * (double)j->inputs.rows);
            time_once(j, count == 0, execute_floor, &seconds[PASSES + f][count]);
        }
    }
    double floor[2] = {0.0, 0.0};
    for (int f = 0; f < 2 && j->floor; f++) floor[f] = median_of(seconds[PASSES + f], count);
    gurn_context_info info = {.size = sizeof info};
    gurn_context_get_info(j->context, &info);
    for (int pass = 0; pass < PASSES; pass++) {
        bool with_p = pass % 2, backward = pass % CHAIN_PASSES >= 2, exact = pass >= CHAIN_PASSES;
        double reals = j->c->classes + with_p; /* x, log_p */
        double row = strcmp(omega, "row") == 0 ? j->c->classes : 0;
        bench_result r = {
            .c = j->c,
            .omega = omega,
            .pass = exact ? (backward ? "exact+backward" : "exact") : (backward ? "forward+backward" : "forward"),
            .what = with_p ? "x,log_p" : "x",
            .mode = j->mode,
            .threads = j->threads,
            .rows = j->inputs.rows,
            .tau = set->tau,
            .repetitions = count,
            .median = median_of(seconds[pass], count),
            .floor = exact ? 0.0 : floor[0] + (backward ? floor[1] : 0.0),
            .merged = exact ? median_of(seconds[pass - CHAIN_PASSES], count) : 0.0,
            .points = points[0] + (backward ? points[1] : 0.0),
            .bytes = 4.0 * (reals + row + (backward ? reals + j->c->classes + 2 * row : 0)),
            .workspace = (double)j->workspace_bytes,
            .tables = (double)gurn_plan_bytes(exact ? j->exact : j->plan)};
        r.least = seconds[pass][0]; /* sorted by now */
        snprintf(r.isa, sizeof r.isa, "%s", info.isa_name);
        if (!bench_report_add(report, &r)) exit(1);
    }
    j->by_exact = false;
}

static void wrong(const job *j, const char *omega, const char *what, const char *failure) {
    fprintf(stderr, "bench_mvhg: %s, omega %s, %s: WRONG: %s\n", j->c->name, omega, what, failure);
    exit(1);
}

static bench_plain plain_of(const job *j, const double *log_factorial, const float *log_omega) {
    bench_plain plain = {.device = j->set->device,
                         .context = j->context,
                         .c = j->c,
                         .log_factorial = log_factorial,
                         .log_omega = log_omega,
                         .device_log_omega = j->log_omega,
                         .shared = j->inputs.log_omega_stride == 0,
                         .rows = j->inputs.rows,
                         .seconds = j->set->seconds};
    return plain;
}

/* The exact chain's counts against Eq. 1. x: room for them. */
static void check_exact(job *j, const double *log_factorial, const float *log_omega, const char *omega, float *x) {
    size_t count = (size_t)j->inputs.rows * (size_t)j->c->classes;
    int32_t *whole = malloc(count * sizeof *whole);
    double ignored;
    char failure[160] = "no memory";
    j->by_exact = true;
    time_once(j, false, execute, &ignored);
    j->by_exact = false;
    bench_plain plain = plain_of(j, log_factorial, log_omega);
    if (!j->set->device->download(x, j->x, count * sizeof *x)) die("download", "failed");
    for (size_t i = 0; whole && i < count; i++) whole[i] = x[i] == floorf(x[i]) ? (int32_t)x[i] : -1;
    if (!whole || !bench_check_law(&plain, whole, failure, sizeof failure)) wrong(j, omega, "exact chain", failure);
    free(whole);
}

/* A line for plain draws of the same urn, after their own check. */
static void time_plain(const job *j, const double *log_factorial, const float *log_omega, const char *omega,
                       bench_report *report) {
    static double seconds[MAX_REPETITIONS];
    bench_plain plain = plain_of(j, log_factorial, log_omega);
    bench_result r = {.c = j->c,
                      .omega = omega,
                      .pass = "plain",
                      .what = "x",
                      .mode = j->mode,
                      .threads = j->threads,
                      .rows = j->inputs.rows,
                      .tau = j->set->tau};
    char failure[160];
    r.repetitions = bench_plain_time(&plain, j->mode, seconds, MAX_REPETITIONS, &r, failure, sizeof failure);
    if (r.repetitions == 0) wrong(j, omega, "plain draws", failure);
    gurn_context_info info = {.size = sizeof info};
    gurn_context_get_info(j->context, &info);
    snprintf(r.isa, sizeof r.isa, "%s", info.isa_name);
    r.median = median_of(seconds, r.repetitions);
    r.least = seconds[0]; /* sorted by now */
    if (!bench_report_add(report, &r)) exit(1);
}

/* Finite, and zero in sum over the classes: multiplying all omega by one number changes nothing. */
static void check_gradients(const float *gradient, int64_t rows, int32_t classes, bench_check *check) {
    for (int64_t b = 0; b < rows && check->passed; b++) {
        double sum = 0.0, size = 0.0;
        for (int32_t i = 0; i < classes; i++) {
            sum += gradient[b * classes + i];
            size += fabs((double)gradient[b * classes + i]);
        }
        /* each of the classes' values was rounded to float once */
        if (!(fabs(sum) <= size * 0x1p-23)) {
            check->passed = false;
            snprintf(check->failure, sizeof check->failure, "row %lld: the gradients' sum is %g of %g", (long long)b,
                     sum, size);
        }
    }
}

static void *take(const bench_device *device, size_t bytes) {
    void *p = device->alloc(bytes ? bytes : 1);
    if (!p) die("memory", "none left");
    return p;
}

static void run_case(const settings *set, const bench_case *c, int64_t rows, const char *omega, int threads,
                     gurn_context *context, const double *log_factorial, bench_report *report) {
    const bench_device *device = set->device;
    bool shared = strcmp(omega, "shared") == 0;
    size_t omega_rows = shared ? 1 : (size_t)rows, classes = (size_t)c->classes;
    size_t row_bytes = (size_t)rows * sizeof(float), x_bytes = row_bytes * classes,
           omega_bytes = omega_rows * classes * sizeof(float);

    /* Inputs: rows vary by up to e^(1/2) either way around the case's omega; upstream gradients are any. */
    float *host = malloc(omega_bytes + 2 * x_bytes + row_bytes);
    if (!host) die("memory", "none left");
    float *log_omega = host, *x = log_omega + omega_rows * classes, *log_p = x + (size_t)rows * classes,
          *gradient = log_p + rows;
    uint64_t state = 1;
    for (size_t b = 0; b < omega_rows; b++)
        for (size_t i = 0; i < classes; i++)
            log_omega[b * classes + i] = (float)log(c->omega[i]) + (shared ? 0.0f : 0.5f * next_value(&state));
    job j = {.set = set, .c = c, .context = context, .threads = threads, .mode = set->modes[0]};
    j.log_omega = take(device, omega_bytes);
    j.x = take(device, x_bytes);
    j.dx = take(device, x_bytes);
    j.log_p = take(device, row_bytes);
    j.dlog_p = take(device, row_bytes);
    j.dlog_omega = take(device, omega_bytes);
    for (int64_t i = 0; i < rows * c->classes; i++) x[i] = next_value(&state);
    for (int64_t i = 0; i < rows; i++) log_p[i] = next_value(&state);
    if (!device->upload(j.log_omega, log_omega, omega_bytes) || !device->upload(j.dx, x, x_bytes) ||
        !device->upload(j.dlog_p, log_p, row_bytes))
        die("upload", "failed");

    int32_t m[BENCH_MAX_CLASSES];
    for (size_t i = 0; i < classes; i++) m[i] = c->m;
    gurn_plan_options options = GURN_PLAN_OPTIONS_INIT;
    options.chain = GURN_CHAIN_MERGED;
    if (gurn_plan_create(context, c->classes, m, c->n, &options, &j.plan) != GURN_SUCCESS ||
        gurn_plan_create(context, c->classes, m, c->n, NULL, &j.exact) != GURN_SUCCESS)
        die(c->name, gurn_context_message(context));
    j.inputs = (gurn_mvhg_inputs)GURN_MVHG_INPUTS_INIT;
    j.inputs.rows = rows;
    j.inputs.log_omega = j.log_omega;
    j.inputs.log_omega_stride = shared ? 0 : c->classes;
    j.inputs.n = c->n;
    j.inputs.tau = set->tau;
    j.inputs.noise.seed = 1;
    j.outputs = (gurn_mvhg_outputs){sizeof j.outputs, j.x, NULL, NULL, j.log_p};
    j.upstream = (gurn_mvhg_upstream){sizeof j.upstream, j.dx, NULL, NULL, j.dlog_p};
    j.gradients = (gurn_mvhg_gradients){sizeof j.gradients, j.dlog_omega, NULL};
    size_t bytes[4];
    if (gurn_mvhg_workspace(context, j.plan, &j.inputs, &bytes[0], &bytes[1]) != GURN_SUCCESS ||
        gurn_mvhg_workspace(context, j.exact, &j.inputs, &bytes[2], &bytes[3]) != GURN_SUCCESS)
        die(c->name, gurn_context_message(context));
    for (int i = 0; i < 4; i++) j.workspace_bytes = bytes[i] > j.workspace_bytes ? bytes[i] : j.workspace_bytes;
    j.workspace = take(device, j.workspace_bytes);
    gurn_context_info info = {.size = sizeof info};
    gurn_context_get_info(context, &info);
    j.floor = info.device == GURN_DEVICE_CPU ? bench_floor_of(info.isa) : NULL;

    /* Correctness first. */
    j.backward = true;
    double ignored;
    time_once(&j, false, execute, &ignored);
    if (!device->download(x, j.x, x_bytes) || !device->download(log_p, j.log_p, row_bytes) ||
        !device->download(gradient, j.dlog_omega, omega_bytes))
        die("download", "failed");
    struct bench_checked checked = {.c = c, .omega = omega};
    bench_check_draws(c, log_factorial, log_omega, shared ? 0 : c->classes, rows, x, log_p, set->tau, &checked.check);
    check_gradients(gradient, (int64_t)omega_rows, c->classes, &checked.check);
    if (shared && bench_expected(c, log_factorial, log_omega, checked.expected) != 0) die("memory", "none left");
    if (!checked.check.passed) wrong(&j, omega, info.isa_name, checked.check.failure);
    check_exact(&j, log_factorial, log_omega, omega, x);
    if (report->check_count < sizeof report->checks / sizeof *report->checks)
        report->checks[report->check_count++] = checked;

    for (int mode = 0; mode < set->mode_count; mode++) {
        j.mode = set->modes[mode];
        time_passes(&j, &checked.check, omega, report);
        time_plain(&j, log_factorial, log_omega, omega, report);
    }

    gurn_plan_destroy(j.plan);
    gurn_plan_destroy(j.exact);
    void *blocks[] = {j.log_omega, j.x, j.dx, j.log_p, j.dlog_p, j.dlog_omega, j.workspace};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) device->release(blocks[i]);
    free(host);
}

/* ----------------------------------------------------------------------------------------------------------- options --- */

static gurn_isa isa_by_name(const char *name) {
    static const char *const names[] = {"auto", "portable", "avx2", "avx512", "neon"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0) return (gurn_isa)i;
    bad("isa", name);
    return GURN_ISA_AUTO;
}

static const bench_case *case_by_name(const char *name) {
    for (size_t i = 0; i < CASES; i++)
        if (strcmp(name, all_cases[i].name) == 0) return &all_cases[i];
    bad("case", name);
    return NULL;
}

static double number(const char *option, const char *text, double least, double most) {
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end || !(value >= least && value <= most)) bad(option, text);
    return value;
}

static void set_device(settings *set, const char *name) {
    if (strcmp(name, "cpu") == 0) {
        set->device = &bench_device_cpu;
#ifdef BENCH_HAVE_CUDA
    } else if (strcmp(name, "cuda") == 0) {
        set->device = &bench_device_cuda;
#else
    } else if (strcmp(name, "cuda") == 0) {
        die("--device cuda", "this build has no CUDA back end");
#endif
    } else {
        bad("device", name);
    }
}

static void set_list(settings *set, const char *option, char *list) {
    int count = 0;
    for (char *save = NULL, *item = strtok_r(list, ",", &save); item; item = strtok_r(NULL, ",", &save), count++) {
        size_t room = strcmp(option, "case") == 0 ? CASES : strcmp(option, "omega") == 0 ? 2 : MAX_LIST;
        if ((size_t)count >= room) bad(option, item);
        if (strcmp(option, "case") == 0) {
            set->cases[count] = case_by_name(item);
            set->case_count = (size_t)count + 1;
        } else if (strcmp(option, "omega") == 0) {
            if (strcmp(item, "shared") != 0 && strcmp(item, "row") != 0) bad(option, item);
            set->omegas[count] = strcmp(item, "row") == 0 ? "row" : "shared";
            if (count == 0) set->omegas[1] = NULL;
        } else if (strcmp(option, "rows") == 0) {
            set->rows[count] = (int64_t)number(option, item, 1, 1e8);
            set->row_count = count + 1;
        } else if (strcmp(option, "mode") == 0) {
            set->modes[count] = item; /* looked up when the device is known */
            set->mode_count = count + 1;
        } else if (strcmp(option, "threads") == 0) {
            set->threads[count] = (int)number(option, item, 1, 1024);
            set->thread_count = count + 1;
        } else {
            set->all_isas = strcmp(item, "all") == 0;
            if (!set->all_isas) set->isas[count] = isa_by_name(item);
            set->isa_count = set->all_isas ? 0 : count + 1;
        }
    }
    if (count == 0) bad(option, "");
}

static void parse(int argc, char **argv, settings *set) {
    static const struct option options[] = {{"case", required_argument, NULL, 'c'},
                                            {"omega", required_argument, NULL, 'o'},
                                            {"rows", required_argument, NULL, 'r'},
                                            {"tau", required_argument, NULL, 't'},
                                            {"device", required_argument, NULL, 'd'},
                                            {"mode", required_argument, NULL, 'm'},
                                            {"threads", required_argument, NULL, 'T'},
                                            {"isa", required_argument, NULL, 'i'},
                                            {"clock", required_argument, NULL, 'k'},
                                            {"seconds", required_argument, NULL, 's'},
                                            {"commit", required_argument, NULL, 'C'},
                                            {"json", required_argument, NULL, 'j'},
                                            {"csv", required_argument, NULL, 'v'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    int cores = (int)sysconf(_SC_NPROCESSORS_ONLN);
    *set = (settings){.device = &bench_device_cpu,
                      .commit = "unknown",
                      .case_count = CASES,
                      .omegas = {"shared", "row"},
                      .threads = {1, cores},
                      .thread_count = cores > 1 ? 2 : 1,
                      .isas = {GURN_ISA_AUTO},
                      .isa_count = 1,
                      .tau = 1.0,
                      .seconds = 0.5};
    for (size_t i = 0; i < CASES; i++) set->cases[i] = &all_cases[i];
    for (int c, at; (c = getopt_long(argc, argv, "", options, &at)) != -1;) {
        switch (c) {
            case 'c':
            case 'o':
            case 'r':
            case 'm':
            case 'T':
            case 'i': set_list(set, options[at].name, optarg); break;
            case 't': set->tau = number("tau", optarg, 1e-3, 1e3); break;
            case 's': set->seconds = number("seconds", optarg, 0, 3600); break;
            case 'd': set_device(set, optarg); break;
            case 'k':
                if (strcmp(optarg, "wall") != 0 && strcmp(optarg, "cpu") != 0) bad("clock", optarg);
                set->processor_time = strcmp(optarg, "cpu") == 0;
                break;
            case 'C': set->commit = optarg; break;
            case 'j': set->json = optarg; break;
            case 'v': set->csv = optarg; break;
            case 'h': fputs(usage, stdout); exit(0);
            default: exit(2);
        }
    }
    if (optind < argc) bad("help", argv[optind]);
    const char *const *known = set->device->modes;
    if (set->mode_count == 1 && strcmp(set->modes[0], "all") == 0)
        for (set->mode_count = 0; known[set->mode_count]; set->mode_count++)
            set->modes[set->mode_count] = known[set->mode_count];
    for (int i = 0; i < set->mode_count; i++) {
        int at = 0;
        while (known[at] && strcmp(known[at], set->modes[i]) != 0) at++;
        if (!known[at]) bad("mode", set->modes[i]);
    }
    if (set->mode_count == 0) set->modes[set->mode_count++] = known[0];
    if (set->device->device != GURN_DEVICE_CPU) set->thread_count = set->threads[0] = set->isa_count = 1;
    if (set->all_isas) {
        static const gurn_isa every[] = {GURN_ISA_PORTABLE, GURN_ISA_AVX2, GURN_ISA_AVX512, GURN_ISA_NEON};
        memcpy(set->isas, every, sizeof every);
        set->isa_count = sizeof every / sizeof *every;
    }
}

int main(int argc, char **argv) {
    static settings set;
    static bench_report report;
    parse(argc, argv, &set);
    char error[256] = "";
    if (!set.device->open(error, sizeof error)) die("device", error);
    bool on_cpu = set.device->device == GURN_DEVICE_CPU;
    bench_report_begin(&report, set.commit, !on_cpu ? "device" : set.processor_time ? "processor time" : "wall");
    report.json = set.json;
    report.csv = set.csv;
    if (!bench_report_save(&report)) return 1; /* before time is spent */

    for (int s = 0; s < set.isa_count; s++) {
        for (int t = 0; t < set.thread_count; t++) {
            gurn_context_options options = GURN_CONTEXT_OPTIONS_INIT;
            options.device = set.device->device;
            options.threads = set.threads[t];
            options.isa = set.isas[s];
            if (set.device->stream) options.stream = set.device->stream();
            gurn_context *context;
            gurn_status status = gurn_context_create(&options, &context);
            if (status == GURN_UNSUPPORTED && set.all_isas) continue; /* a level that this machine lacks */
            if (status != GURN_SUCCESS) die("context", gurn_status_string(status));
            gurn_context_info info = {.size = sizeof info};
            gurn_context_get_info(context, &info);
            if (!on_cpu) snprintf(report.device, sizeof report.device, "%s (%s)", info.device_name, info.isa_name);
            if (on_cpu && set.processor_time) bench_cpu_use_processor_time(set.threads[t]);
            if (report.count == 0) bench_report_head(&report);
            for (size_t c = 0; c < set.case_count; c++) {
                double *log_factorial = bench_log_factorials(set.cases[c]);
                if (!log_factorial) die("memory", "none left");
                for (int r = 0; r == 0 || r < set.row_count; r++)
                    for (int o = 0; o < 2 && set.omegas[o]; o++)
                        run_case(&set, set.cases[c], set.row_count ? set.rows[r] : set.cases[c]->rows, set.omegas[o],
                                 set.threads[t], context, log_factorial, &report);
                free(log_factorial);
            }
            gurn_context_destroy(context);
        }
    }
    set.device->close();
    if (report.count == 0) die("nothing", "no instruction set that was asked for is here");
    bench_report_scaling(&report);
    report.finished = true;
    bool good = bench_report_save(&report);
    free(report.results);
    return good ? 0 : 1;
}
