/*
 * Tables of counts, from CSV or .npy (which begins with bytes of its own, so that its name does not matter), held against the
 * urn while they are read. Errors name the file and the line or row.
 *
 * A first line of CSV in which no field is a number names the columns, which a line of data with one bad field is not: that is
 * an error. Fields that stand for a missing number are no names. Columns that are called log_p are passed over, so what `sample
 * --log-p` wrote can be read. Counts are written 12, 12.0 or 1.2e1.
 */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cli.h"

struct reader {
    struct counts *counts;
    const struct urn *urn;
    const char *name;
    const char *unit; /* "line" or "row" */
    int64_t capacity;
};

enum csv_header parse_csv_header(const char *text) {
    static const char *const names[] = {"auto", "yes", "no", NULL};
    return (enum csv_header)parse_choice("--header", text, names);
}

static void make_room(struct reader *reader, int64_t rows) {
    struct counts *counts = reader->counts;
    const size_t row = (size_t)counts->classes * sizeof *counts->x;
    if ((uint64_t)rows <= SIZE_MAX / 2 / row) {
        counts->x = realloc(counts->x, (size_t)rows * row);
        counts->n = realloc(counts->n, (size_t)rows * sizeof *counts->n);
        reader->capacity = rows;
        if (counts->x && counts->n) return;
    }
    fail("out of memory: %s: %lld rows of %d counts", reader->name, (long long)rows, counts->classes);
}

/* The row that the next values belong to, after those read so far. */
static int32_t *next_row(struct reader *reader) {
    struct counts *counts = reader->counts;
    if (counts->rows == reader->capacity) make_room(reader, reader->capacity ? 2 * reader->capacity : 256);
    return counts->x + counts->rows * counts->classes;
}

static _Noreturn void too_many(const struct reader *reader, int64_t where, int32_t c, const char *value) {
    fail("%s: %s %lld: class %d: '%s' is more than the %d balls of %s", reader->name, reader->unit, (long long)where, c,
         value, reader->urn->m[c], reader->urn->m_option);
}

/* Counts the row in, once all its values are there. */
static void finish_row(struct reader *reader, int64_t where) {
    struct counts *counts = reader->counts;
    const int32_t *row = counts->x + counts->rows * counts->classes;
    int32_t n = 0;
    for (int32_t c = 0; c < counts->classes; c++) n += row[c];
    if (reader->urn->n >= 0 && n != reader->urn->n)
        fail("%s: %s %lld: the counts sum to %d, not to %d (--n)", reader->name, reader->unit, (long long)where, n,
             reader->urn->n);
    if (n > reader->urn->balls_open)
        fail("%s: %s %lld: the counts sum to %d, more than the %lld balls of the classes whose omega is above 0",
             reader->name, reader->unit, (long long)where, n, (long long)reader->urn->balls_open);
    counts->n[counts->rows++] = n;
    if (n > counts->n_max) counts->n_max = n;
}

/* --------------------------------------------------------------------------------------------------------- CSV --- */

/* A field that is not a number, but stands for one: not the name of a column. */
static bool missing(const char *text) {
    static const char *const words[] = {"",    "na",  "n/a",      "#n/a", "nan", "null", "none",
                                        "nil", "inf", "infinity", "-",    ".",   "?"};
    if (*text == '+' || (*text == '-' && text[1])) text++;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcasecmp(text, words[i]) == 0) return true;
    return false;
}

static bool number(const char *text) {
    double value;
    return read_real(text, &value) != READ_NOT;
}

/* Whether the first line, if it is not known, names the columns. */
static bool is_header(const struct csv *csv) {
    int32_t numbers = 0, names = 0, first = 0; /* of what is neither, the first */
    bool counting = csv->count > 2;            /* 0, 1, 2, ... */
    for (int32_t i = csv->count; i-- > 0;) {
        bool negative;
        uint64_t value;
        if (number(csv->fields[i])) {
            numbers++;
            counting = counting && read_whole(csv->fields[i], &negative, &value) == READ_OK && value == (uint64_t)i;
            continue;
        }
        names += !missing(csv->fields[i]);
        first = i;
    }
    if (numbers == csv->count && counting)
        warn("%s: line %lld, which counts from 0, is read as a row; if it names the columns, say --header yes",
             csv->name, (long long)csv->line);
    if (numbers == csv->count || (numbers == 0 && names > 0)) return numbers == 0;
    csv_bad_field(csv, first, "is not a number (if the line names the columns, say --header yes)");
}

/* Notes the columns that are to be skipped; returns how many there are in all. */
static int32_t take_names(const struct csv *csv, const struct urn *urn, bool *skipped) {
    int32_t columns = urn->classes;
    for (int32_t i = 0; i < csv->count; i++) {
        skipped[i] = strcmp(csv->fields[i], "log_p") == 0;
        columns += skipped[i];
    }
    if (csv->count == columns) return columns;
    fail("%s: line %lld: the header has %d columns for the %d classes of %s", csv->name, (long long)csv->line,
         csv->count, urn->classes, urn->m_option);
}

static int32_t csv_count(const struct reader *reader, const struct csv *csv, int32_t field, int32_t c) {
    const char *text = csv->fields[field];
    char part[SHOWN_SIZE];
    bool negative;
    uint64_t value;
    const enum reading reading = read_whole(text, &negative, &value);
    if (reading == READ_OK && value <= (uint64_t)reader->urn->m[c] && !(negative && value)) return (int32_t)value;
    if (!number(text)) csv_bad_field(csv, field, "is not a number");
    if (reading == READ_NOT || negative)
        fail("%s: line %lld: class %d: '%s' is not a count", csv->name, (long long)csv->line, c, shown(text, part));
    too_many(reader, csv->line, c, shown(text, part));
}

static void read_csv(struct reader *reader, FILE *file, enum csv_header header) {
    const int32_t classes = reader->counts->classes;
    struct csv csv = {.file = file, .name = reader->name};
    bool *skipped = NULL; /* [columns] */
    int32_t columns = classes;
    while (csv_next(&csv)) {
        if (!skipped) {
            skipped = allocate((size_t)(csv.count > classes ? csv.count : classes), sizeof *skipped);
            if (header == HEADER_YES || (header == HEADER_AUTO && is_header(&csv))) {
                columns = take_names(&csv, reader->urn, skipped);
                continue;
            }
        }
        if (csv.count != columns)
            fail("%s: line %lld: %d columns where there should be %d%s", csv.name, (long long)csv.line, csv.count,
                 columns, csv.count == columns + 1 && !*csv.fields[columns] ? ", the last of them empty" : "");
        int32_t *row = next_row(reader);
        for (int32_t i = 0, c = 0; i < columns; i++)
            if (!skipped[i]) {
                row[c] = csv_count(reader, &csv, i, c);
                c++;
            }
        finish_row(reader, csv.line);
    }
    csv_release(&csv);
    free(skipped);
}

/* --------------------------------------------------------------------------------------------------------- npy --- */

static int32_t npy_count(const struct reader *reader, const struct npy *npy, int64_t where, int32_t c, double value) {
    char text[40];
    if (value >= 0 && value <= reader->urn->m[c] && value == floor(value)) return (int32_t)value;
    snprintf(text, sizeof text, "%.17g", value);
    if (value > 0 && value == floor(value) && !isinf(value)) too_many(reader, where, c, text);
    fail("%s: row %lld: class %d: '%s' is not a count (type %s)", reader->name, (long long)where, c, text, npy->type);
}

/* Column after column. */
static void read_fortran(struct reader *reader, const struct npy *npy) {
    const struct npy_field *field = &npy->fields[0];
    const int32_t classes = npy->columns;
    enum {
        VALUES = 4096
    };
    unsigned char bytes[VALUES * 8];
    if (npy->rows == 0) return;
    make_room(reader, npy->rows);
    for (int32_t c = 0; c < classes; c++) {
        for (int64_t done = 0, part; done < npy->rows; done += part) {
            part = npy->rows - done < VALUES ? npy->rows - done : VALUES;
            npy_read(npy, bytes, (size_t)part * field->size, c, classes);
            for (int64_t i = 0; i < part; i++)
                reader->counts->x[(done + i) * classes + c] =
                    npy_count(reader, npy, done + i, c, npy_value(field, bytes + (size_t)i * field->size));
        }
    }
    for (int64_t r = 0; r < npy->rows; r++) finish_row(reader, r);
}

static void read_npy(struct reader *reader, FILE *file) {
    const int32_t classes = reader->counts->classes;
    struct npy npy;
    npy_open(&npy, file, reader->name);
    if (npy.columns != classes)
        fail("%s: %d columns for the %d classes of %s", npy.name, npy.columns, classes, reader->urn->m_option);
    if (npy.fortran) {
        read_fortran(reader, &npy);
    } else {
        unsigned char *record = allocate(npy.stride, 1);
        for (int64_t r = 0; r < npy.rows; r++) {
            npy_read(&npy, record, npy.stride, r, npy.rows);
            int32_t *row = next_row(reader);
            for (int32_t f = 0, c = 0; f < npy.field_count; f++) {
                const struct npy_field *field = &npy.fields[f];
                for (int32_t i = 0; i < field->columns; i++, c++)
                    row[c] = npy_count(reader, &npy, r, c,
                                       npy_value(field, record + field->offset + (size_t)i * field->size));
            }
            finish_row(reader, r);
        }
        free(record);
    }
    npy_finish(&npy);
    npy_release(&npy);
}

void counts_read(struct counts *counts, const char *path, const struct urn *urn, enum csv_header header) {
    memset(counts, 0, sizeof *counts);
    counts->classes = urn->classes;
    struct reader reader = {.counts = counts, .urn = urn, .unit = "line"};
    FILE *file = open_input("--in", path, &reader.name);
    const int first = getc(file); /* no text begins with the first byte of .npy */
    if (first != EOF) ungetc(first, file);
    if (first == 0x93 || has_suffix(path, ".npy")) {
        reader.unit = "row";
        read_npy(&reader, file);
    } else {
        read_csv(&reader, file, header);
    }
    if (file != stdin) fclose(file);
    if (counts->rows == 0) fail("%s: no rows", reader.name);
}

void counts_release(struct counts *counts) {
    free(counts->x);
    free(counts->n);
}
