/*
 * The importances of an urn, as natural logarithms: from a list, or from the table that `fit --out` writes. A class of omega 0
 * has a log omega of -INFINITY. Nothing else is infinite: only ratios count, and no law has an infinite one.
 */
#define _POSIX_C_SOURCE 200809L
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cli.h"

static void add_omega(const struct place *place, const char *text, void *data, int32_t i) {
    struct urn *urn = data;
    double value = 0;
    urn->log_omega = grown(urn->log_omega, i, sizeof *urn->log_omega);
    if (read_infinity(text))
        bad_value(place, "'%s' is no importance: only ratios count, so give the classes it outweighs an omega of 0",
                  text);
    switch (read_real(text, &value)) {
        case READ_OK: break;
        case READ_TOO_LARGE: bad_value(place, "'%s' is above %.3g; its logarithm may be given instead", text, DBL_MAX);
        case READ_TOO_SMALL:
            bad_value(place, "'%s' is too near 0 to be told from it; its logarithm may be given instead", text);
        default: bad_value(place, "'%s' is not a number", text);
    }
    if (value < 0) bad_value(place, "'%s' is below 0", text);
    urn->log_omega[i] = value > 0 ? log(value) : -HUGE_VAL;
}

static void add_log_omega(const struct place *place, const char *text, void *data, int32_t i) {
    struct urn *urn = data;
    const int32_t infinity = read_infinity(text);
    urn->log_omega = grown(urn->log_omega, i, sizeof *urn->log_omega);
    if (infinity > 0)
        bad_value(place, "'%s' is no log omega: only ratios count, so give the classes it outweighs one of -inf", text);
    urn->log_omega[i] = infinity ? -HUGE_VAL : list_real(place, text);
}

void omega_option(struct urn *urn, const char *const options[3], enum omega_kind kind, const char *text) {
    const char *option = options[kind];
    if (urn->omega_option && strcmp(option, urn->omega_option) != 0)
        usage_error("%s and %s exclude each other", urn->omega_option, option);
    urn->omega_option = option;
    if (kind == OMEGA_FILE)
        urn->omega_file = text;
    else
        urn->omega_count = parse_list(option, text, kind == OMEGA_LOGARITHMS ? add_log_omega : add_omega, urn);
}

/* ------------------------------------------------------------------------------------------- the result of fit --- */

/* The columns that are read, and where they are in a file. */
enum column {
    COLUMN_CLASS,
    COLUMN_M,
    COLUMN_LOG_OMEGA,
    COLUMNS
};

struct fitted {
    struct csv csv;
    int32_t column[COLUMNS];
};

static void find_columns(struct fitted *fitted) {
    static const char *const names[COLUMNS] = {"class", "m", "log_omega"};
    const struct csv *csv = &fitted->csv;
    for (int i = 0; i < COLUMNS; i++) {
        fitted->column[i] = -1;
        for (int32_t f = 0; f < csv->count; f++)
            if (strcmp(csv->fields[f], names[i]) == 0) fitted->column[i] = f;
        if (fitted->column[i] < 0)
            fail("%s: line %lld: there is no column %s: this is not what gumbelurn fit --out wrote", csv->name,
                 (long long)csv->line, names[i]);
    }
}

/* The whole number in a column; not above `most`. */
static int32_t fitted_integer(const struct fitted *fitted, enum column column, int32_t most) {
    bool negative;
    uint64_t value;
    const int32_t field = fitted->column[column];
    if (read_whole(fitted->csv.fields[field], &negative, &value) != READ_OK || (negative && value) ||
        value > (uint64_t)most)
        csv_bad_field(&fitted->csv, field, column == COLUMN_M ? "is not a class size" : "is not a class");
    return (int32_t)value;
}

/* log omega of a class with m balls. Without balls it may be anything, and is 0. */
static double fitted_log_omega(const struct fitted *fitted, int32_t c, int32_t m) {
    const int32_t field = fitted->column[COLUMN_LOG_OMEGA];
    const char *text = fitted->csv.fields[field];
    double value;
    if (m == 0) return 0;
    if (read_real(text, &value) == READ_OK) return value;
    const int32_t infinity = read_infinity(text);
    if (infinity < 0) return -HUGE_VAL;
    if (infinity > 0)
        fail(
            "%s: line %lld: class %d has a log omega of +infinity, and no law has an infinite ratio of omega: the data "
            "say "
            "that this class is drawn whole before others are. Leave it out of --m and --n, and add its %d balls to "
            "what is "
            "drawn",
            fitted->csv.name, (long long)fitted->csv.line, c, m);
    if (strcasecmp(text, "nan") == 0 || strcasecmp(text, "-nan") == 0)
        fail(
            "%s: line %lld: class %d has no log omega: the data say nothing of its ratio to others. Give them by "
            "--omega",
            fitted->csv.name, (long long)fitted->csv.line, c);
    csv_bad_field(&fitted->csv, field, "is not a log omega");
}

/* Reads the file: log omega into `urn`, m into `balls` or, where that has one, held against it. */
static void read_fitted(struct urn *urn, struct urn *balls) {
    struct fitted fitted = {.csv = {0}};
    struct csv *csv = &fitted.csv;
    const bool known = balls->classes > 0;
    if (!known) balls->m_option = urn->omega_option;
    int32_t count = 0;
    csv->file = open_input(urn->omega_option, urn->omega_file, &csv->name);
    if (!csv_next(csv)) fail("%s: no lines", csv->name);
    find_columns(&fitted);
    for (const int32_t columns = csv->count; csv_next(csv); count++) {
        if (csv->count != columns)
            fail("%s: line %lld: %d columns where there should be %d", csv->name, (long long)csv->line, csv->count,
                 columns);
        if (count == GURN_MAX_CLASSES) fail("%s: more than %d classes", csv->name, GURN_MAX_CLASSES);
        if (fitted_integer(&fitted, COLUMN_CLASS, GURN_MAX_CLASSES) != count)
            csv_bad_field(csv, fitted.column[COLUMN_CLASS], "is not the next class");
        const int32_t m = fitted_integer(&fitted, COLUMN_M, GURN_MAX_BALLS);
        if (known && count < balls->classes && m != balls->m[count])
            fail("%s: line %lld: class %d has %d balls, where %s has %d", csv->name, (long long)csv->line, count, m,
                 balls->m_option, balls->m[count]);
        if (!known) {
            balls->m = grown(balls->m, count, sizeof *balls->m);
            balls->m[count] = m;
            balls->balls += m;
            if (balls->balls > GURN_MAX_BALLS)
                fail("%s: line %lld: the sizes sum to more than %d", csv->name, (long long)csv->line, GURN_MAX_BALLS);
        }
        urn->log_omega = grown(urn->log_omega, count, sizeof *urn->log_omega);
        urn->log_omega[count] = fitted_log_omega(&fitted, count, m);
    }
    if (count == 0) fail("%s: no classes", csv->name);
    if (known && count != balls->classes)
        fail("%s: %d classes, where %s has %d", csv->name, count, balls->m_option, balls->classes);
    balls->classes = urn->omega_count = count;
    if (csv->file != stdin) fclose(csv->file);
    csv_release(csv);
}

/* -------------------------------------------------------------------------------------------------- both kinds --- */

void omega_finish(struct urn *urn, struct urn *balls) {
    if (urn->omega_file) read_fitted(urn, balls);
    const int32_t classes = balls->classes;
    if (urn->omega_option && urn->omega_count != classes)
        usage_error("%s: %d values for the %d classes of %s", urn->omega_option, urn->omega_count, classes,
                    balls->m_option);
    if (!urn->omega_option) urn->log_omega = allocate((size_t)classes, sizeof *urn->log_omega);
    urn->balls_open = 0;
    for (int32_t c = 0; c < classes; c++)
        if (urn->log_omega[c] > -HUGE_VAL) urn->balls_open += balls->m[c];
    if (balls->balls > 0 && urn->balls_open == 0)
        usage_error("%s: omega is 0 for every class that has balls", urn->omega_option);
    if (balls->n <= balls->balls && balls->n > urn->balls_open)
        usage_error("--n: %d is more than the %lld balls of the classes whose omega is above 0 (%s)", balls->n,
                    (long long)urn->balls_open, urn->omega_option);
}

/* What exp would overflow at; omega itself can not be as far from 1, so that draws of importances keep their bits. */
#define FAR 1024.0
/* Beyond this distance the library holds log omega; a float has it exactly. */
#define HELD (-1048576.0)

void omega_make_relative(struct urn *urn) {
    double largest = -HUGE_VAL;
    bool far = false;
    for (int32_t c = 0; c < urn->classes; c++) {
        if (urn->log_omega[c] == -HUGE_VAL) continue;
        far = far || fabs(urn->log_omega[c]) > FAR;
        if (urn->m[c] == 0) continue;
        largest = fmax(largest, urn->log_omega[c]);
    }
    if (!far) return;
    for (int32_t c = 0; c < urn->classes; c++) {
        double *value = &urn->log_omega[c];
        if (urn->m[c] == 0)
            *value = 0; /* without a meaning */
        else if (*value > -HUGE_VAL)
            *value = fmax(*value - largest, HELD);
    }
}
