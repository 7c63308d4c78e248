/* Strict parsing of numbers and lists, the options that every urn has, and the ways to end with an error. */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <math.h>
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
    _exit(EXIT_USAGE);
}

void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    message("", format, arguments);
    va_end(arguments);
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

/* Only the characters of a decimal number: no blanks, no hexadecimal, no "inf" or "nan", which strtod would take. */
static bool decimal(const char *text) { return *text && text[strspn(text, "0123456789+-.eE")] == '\0'; }

bool read_real(const char *text, double *value) {
    char *end;
    if (!decimal(text)) return false;
    *value = strtod(text, &end);
    return end != text && *end == '\0' && isfinite(*value);
}

bool read_integer(const char *text, int64_t *value) {
    char *end;
    if (!decimal(text)) return false;
    errno = 0;
    *value = strtoll(text, &end, 10);
    if (end != text && *end == '\0') return errno == 0;
    double real;
    if (!read_real(text, &real) || real != floor(real) || fabs(real) > 9007199254740992.0) return false; /* 2^53 */
    *value = (int64_t)real;
    return true;
}

static bool looks_numeric(const char *text) {
    double real;
    return read_real(text, &real);
}

int64_t parse_integer(const char *option, const char *text, int64_t least, int64_t most) {
    int64_t value;
    if (!read_integer(text, &value))
        usage_error("%s: '%s' is not a whole number%s", option, text, looks_numeric(text) ? " in range" : "");
    if (value < least) usage_error("%s: %s is below %lld", option, text, (long long)least);
    if (value > most) usage_error("%s: %s is above %lld", option, text, (long long)most);
    return value;
}

uint64_t parse_u64(const char *option, const char *text) {
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (*text >= '0' && *text <= '9' && *end == '\0') {
        if (errno) usage_error("%s: %s is above 18446744073709551615", option, text);
        return value;
    }
    return (uint64_t)parse_integer(option, text, 0, INT64_MAX);
}

double parse_positive(const char *option, const char *text) {
    double value;
    if (!read_real(text, &value)) usage_error("%s: '%s' is not a finite number", option, text);
    if (!(value > 0)) usage_error("%s: %s is not above 0", option, text);
    return value;
}

double parse_tau(const char *option, const char *text) {
    double value = parse_positive(option, text);
    if (value < GURN_MIN_TAU) usage_error("%s: %s is below %g, the smallest temperature", option, text, GURN_MIN_TAU);
    return value;
}

int parse_choice(const char *option, const char *text, const char *const names[]) {
    char known[128] = "";
    for (int i = 0; names[i]; i++) {
        if (strcmp(text, names[i]) == 0) return i;
        if (i) strncat(known, names[i + 1] ? ", " : " or ", sizeof known - strlen(known) - 1);
        strncat(known, names[i], sizeof known - strlen(known) - 1);
    }
    usage_error("%s: '%s' is not %s", option, text, known);
}

/* Calls item(option, text, data, i) for the values of a list: "4,3x200" has 4, 200, 200, 200. Returns how many. */
static int32_t parse_list(const char *option, const char *list,
                          void (*item)(const char *, const char *, void *, int32_t), void *data) {
    char *copy = strdup(list);
    if (!copy) fail("out of memory");
    int64_t count = 0;
    for (char *part = copy, *next; part; part = next) {
        next = strchr(part, ',');
        if (next) *next++ = '\0';
        if (!*part) usage_error("%s: an empty entry in '%s'", option, list);
        int64_t repeat = 1;
        char *times = strpbrk(part, "x*");
        if (times) {
            *times = '\0';
            repeat = parse_integer(option, part, 1, GURN_MAX_CLASSES);
            part = times + 1;
        }
        if (count + repeat > GURN_MAX_CLASSES) usage_error("%s: more than %d entries", option, GURN_MAX_CLASSES);
        for (; repeat; repeat--) item(option, part, data, (int32_t)count++);
    }
    free(copy);
    return (int32_t)count;
}

/* Makes room for entry i of an array that doubles in size. */
static void *grown(void *array, int32_t i, size_t size) {
    if (i & (i - 1)) return array; /* grows at 0, 1, 2, 4, 8, ... */
    array = realloc(array, (i ? 2 * (size_t)i : 1) * size);
    if (!array) fail("out of memory");
    return array;
}

static void add_m(const char *option, const char *text, void *data, int32_t i) {
    struct urn *urn = data;
    urn->m = grown(urn->m, i, sizeof *urn->m);
    urn->m[i] = (int32_t)parse_integer(option, text, 0, GURN_MAX_BALLS);
    urn->balls += urn->m[i];
    if (urn->balls > GURN_MAX_BALLS) usage_error("%s: the sizes sum to more than %d", option, GURN_MAX_BALLS);
}

static void add_omega(const char *option, const char *text, void *data, int32_t i) {
    struct urn *urn = data;
    urn->log_omega = grown(urn->log_omega, i, sizeof *urn->log_omega);
    urn->log_omega[i] = log(parse_positive(option, text));
}

static void add_log_omega(const char *option, const char *text, void *data, int32_t i) {
    struct urn *urn = data;
    urn->log_omega = grown(urn->log_omega, i, sizeof *urn->log_omega);
    if (!read_real(text, &urn->log_omega[i])) usage_error("%s: '%s' is not a finite number", option, text);
}

static void add_order(const char *option, const char *text, void *data, int32_t i) {
    struct urn *urn = data;
    urn->order = grown(urn->order, i, sizeof *urn->order);
    urn->order[i] = (int32_t)parse_integer(option, text, 0, GURN_MAX_CLASSES);
}

void omega_option(struct urn *urn, const char *const options[2], bool logarithms, const char *text) {
    const char *option = options[logarithms];
    if (urn->omega_option && strcmp(option, urn->omega_option) != 0)
        usage_error("%s and %s exclude each other", options[0], options[1]);
    urn->omega_option = option;
    urn->omega_count = parse_list(option, text, logarithms ? add_log_omega : add_omega, urn);
}

void omega_finish(struct urn *urn, int32_t classes) {
    if (urn->omega_option && urn->omega_count != classes)
        usage_error("%s: %d values for the %d classes of --m", urn->omega_option, urn->omega_count, classes);
    if (!urn->omega_option) urn->log_omega = allocate((size_t)classes, sizeof *urn->log_omega);
}

static void urn_option(struct urn *urn, int code, const char *text) {
    static const char *const omegas[2] = {"--omega", "--log-omega"};
    static const char *const chains[] = {"exact", "merged", NULL};
    static const char *const dtypes[] = {"float32", "float64", NULL};
    static const char *const devices[] = {"auto", "cpu", "cuda", NULL};
    switch (code) {
        case OPT_M:
            urn->balls = 0;
            urn->classes = parse_list("--m", text, add_m, urn);
            break;
        case OPT_N: urn->n = (int32_t)parse_integer("--n", text, 0, GURN_MAX_BALLS); break;
        case OPT_OMEGA:
        case OPT_LOG_OMEGA: omega_option(urn, omegas, code == OPT_LOG_OMEGA, text); break;
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

int next_option(int argc, char **argv, const struct option *table, struct urn *urn, const char *help) {
    for (;;) {
        opterr = 0;
        int code = getopt_long(argc, argv, ":h", table, NULL);
        if (code == -1) {
            if (optind < argc) usage_error("unexpected argument '%s'", argv[optind]);
            return -1;
        }
        if (code == ':') usage_error("%s needs a value", argv[optind - 1]);
        if (code == '?' && optopt && optopt < 256) usage_error("unknown option '-%c'", optopt);
        if (code == '?')
            usage_error("%s '%s'", optopt ? "no value is taken by" : "unknown or ambiguous option", argv[optind - 1]);
        if (code == 'h') {
            fputs(help, stdout);
            flush_stdout();
            _exit(EXIT_OK);
        }
        if (code >= OPT_OWN) return code;
        urn_option(urn, code, optarg);
    }
}

void urn_finish(struct urn *urn) {
    if (!urn->classes) usage_error("--m is missing: the class sizes");
    if (urn->n > urn->balls) usage_error("--n: %d is more than the %lld balls of --m", urn->n, (long long)urn->balls);
    omega_finish(urn, urn->classes);

    if (urn->order) {
        if (urn->order_count != urn->classes)
            usage_error("--order: %d entries for the %d classes of --m", urn->order_count, urn->classes);
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
