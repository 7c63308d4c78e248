/* The options that every urn has, and the ways to end with an error. */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

const char *command_name = "gumbelurn";

static void message(const char *kind, const char *format, va_list arguments) {
    fflush(stdout);
    fprintf(stderr, "%s: %s", command_name, kind);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
}

void usage_error(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    message("", format, arguments);
    va_end(arguments);
    fprintf(stderr, "Try '%s --help'.\n", command_name);
    abandon_outputs();
    _exit(EXIT_USAGE);
}

void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    message("", format, arguments);
    va_end(arguments);
    abandon_outputs();
    _exit(EXIT_FAILURE_RUN);
}

void warn(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    message("warning: ", format, arguments);
    va_end(arguments);
}

void *allocate(size_t count, size_t size) {
    void *memory = calloc(count ? count : 1, size);
    if (!memory) fail("out of memory: %zu x %zu bytes", count, size);
    return memory;
}

void *grown(void *array, int32_t i, size_t size) {
    if (i & (i - 1)) return array; /* grows at 0, 1, 2, 4, 8, ... */
    const size_t room = i ? 2 * (size_t)i : 1;
    array = realloc(array, room * size);
    if (!array) fail("out of memory: %zu x %zu bytes", room, size);
    return array;
}

static void add_m(const struct place *place, const char *text, void *data, int32_t i) {
    struct urn *urn = data;
    urn->m = grown(urn->m, i, sizeof *urn->m);
    urn->m[i] = (int32_t)list_integer(place, text, 0, GURN_MAX_BALLS);
    urn->balls += urn->m[i];
    if (urn->balls > GURN_MAX_BALLS) bad_value(place, "the sizes sum to more than %d", GURN_MAX_BALLS);
}

static void add_order(const struct place *place, const char *text, void *data, int32_t i) {
    struct urn *urn = data;
    urn->order = grown(urn->order, i, sizeof *urn->order);
    urn->order[i] = (int32_t)list_integer(place, text, 0, GURN_MAX_CLASSES);
}

static void urn_option(struct urn *urn, int code, const char *text) {
    static const char *const omegas[3] = {"--omega", "--log-omega", "--omega-from"};
    static const char *const chains[] = {"exact", "merged", NULL};
    static const char *const dtypes[] = {"float32", "float64", NULL};
    static const char *const devices[] = {"auto", "cpu", "cuda", NULL};
    switch (code) {
        case OPT_M:
            urn->balls = 0;
            urn->m_option = "--m";
            urn->classes = parse_list("--m", text, add_m, urn);
            break;
        case OPT_N: urn->n = (int32_t)parse_integer("--n", text, 0, GURN_MAX_BALLS); break;
        case OPT_OMEGA: omega_option(urn, omegas, OMEGA_VALUES, text); break;
        case OPT_LOG_OMEGA: omega_option(urn, omegas, OMEGA_LOGARITHMS, text); break;
        case OPT_OMEGA_FROM: omega_option(urn, omegas, OMEGA_FILE, text); break;
        case OPT_CHAIN:
            urn->chain = (gurn_chain)parse_choice("--chain", text, chains);
            urn->chain_given = true;
            break;
        case OPT_ORDER: urn->order_count = parse_list("--order", text, add_order, urn); break;
        case OPT_DTYPE:
            urn->dtype = (gurn_dtype)parse_choice("--dtype", text, dtypes);
            urn->dtype_given = true;
            break;
        case OPT_DEVICE: urn->device = (gurn_device)parse_choice("--device", text, devices); break;
        case OPT_THREADS: urn->threads = (int32_t)parse_integer("--threads", text, 1, GURN_MAX_THREADS); break;
    }
}

int next_option(int argc, char **argv, const struct option *table, struct urn *urn, const char *const *help) {
    for (;;) {
        opterr = 0;
        int code = getopt_long(argc, argv, ":h", table, NULL);
        if (code == -1) {
            if (optind < argc) usage_error("unexpected argument '%s'", argv[optind]);
            return -1;
        }
        if (code == ':') usage_error("%s needs a value", argv[optind - 1]);
        if (code == '?' && optopt == 'h') usage_error("no value is taken by '--help'");
        if (code == '?' && optopt && optopt < 256) usage_error("unknown option '-%c'", optopt);
        if (code == '?')
            usage_error("%s '%s'", optopt ? "no value is taken by" : "unknown or ambiguous option", argv[optind - 1]);
        if (code == 'h') {
            for (; *help; help++) fputs(*help, stdout);
            flush_stdout();
            _exit(EXIT_OK);
        }
        if (code >= OPT_OWN) return code;
        urn_option(urn, code, optarg);
    }
}

void urn_finish(struct urn *urn) {
    if (!urn->classes && !urn->omega_file) usage_error("--m is missing: the class sizes");
    claim_input(urn->omega_option, urn->omega_file);
    omega_finish(urn, urn);
    if (urn->n > urn->balls)
        usage_error("--n: %d is more than the %lld balls of %s", urn->n, (long long)urn->balls, urn->m_option);

    if (urn->order) {
        if (urn->order_count != urn->classes)
            usage_error("--order: %d entries for the %d classes of %s", urn->order_count, urn->classes, urn->m_option);
        bool *seen = allocate((size_t)urn->classes, sizeof *seen);
        for (int32_t i = 0; i < urn->classes; i++) {
            int32_t c = urn->order[i];
            if (c >= urn->classes) usage_error("--order: there is no class %d", c);
            if (seen[c]) usage_error("--order: class %d occurs twice", c);
            seen[c] = true;
        }
        free(seen);
    }

    int32_t largest = 0;
    for (int32_t i = 0; i < urn->classes; i++) largest = urn->m[i] > largest ? urn->m[i] : largest;
    if (largest > 16777216) { /* a float holds whole numbers up to 2^24 */
        if (urn->dtype_given && urn->dtype == GURN_FLOAT32)
            usage_error("--dtype: float32 does not hold the counts of a class of %d; use float64", largest);
        urn->dtype = GURN_FLOAT64;
    }
}

void urn_release(struct urn *urn) {
    free(urn->m);
    free(urn->log_omega);
    free(urn->order);
}
