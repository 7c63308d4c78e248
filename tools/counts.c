/*
 * Tables of counts, from CSV or .npy, held against the urn while they are read. Errors name the file and the line or
 * row.
 *
 * CSV is taken as it comes out of spreadsheets and other programs: an optional header (a first line with a field that
 * is not a number), comma, semicolon or tab, blanks around fields, CRLF, a byte order mark, empty lines, lines that
 * begin with '#', counts written 12 or 12.0 or 1.2e1. Columns that the header names log_p are skipped, so what `sample
 * --log-p` wrote can be read. .npy: whole numbers or reals of any size [rows][classes] in C order, or what `sample`
 * wrote.
 */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

struct reader {
    struct counts *counts;
    const struct urn *urn;
    const char *name;
    const char *unit; /* "line" or "row" */
    int64_t capacity;
};

static _Noreturn void out_of_memory(void) { fail("out of memory"); }

/* The row that the next values belong to, after those read so far. */
static int32_t *next_row(struct reader *reader) {
    struct counts *counts = reader->counts;
    if (counts->rows == reader->capacity) {
        reader->capacity = reader->capacity ? 2 * reader->capacity : 256;
        counts->x = realloc(counts->x, (size_t)reader->capacity * (size_t)counts->classes * sizeof *counts->x);
        counts->n = realloc(counts->n, (size_t)reader->capacity * sizeof *counts->n);
        if (!counts->x || !counts->n) out_of_memory();
    }
    return counts->x + counts->rows * counts->classes;
}

/* Puts one value, at the place that messages call `where`, into a row. */
static int32_t checked(const struct reader *reader, int64_t where, int32_t c, double value) {
    if (!(value >= 0 && value == floor(value)))
        fail("%s: %s %lld: class %d: %g is not a count", reader->name, reader->unit, (long long)where, c, value);
    if (value > reader->urn->m[c])
        fail("%s: %s %lld: class %d: %.0f is more than the %d balls of --m", reader->name, reader->unit,
             (long long)where, c, value, reader->urn->m[c]);
    return (int32_t)value;
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
    counts->n[counts->rows++] = n;
    if (n > counts->n_max) counts->n_max = n;
}

/* --------------------------------------------------------------------------------------------------------- CSV --- */

static char *trimmed(char *text) {
    text += strspn(text, " \t\r\n");
    for (size_t length = strlen(text); length && strchr(" \t\r\n", text[length - 1]);) text[--length] = '\0';
    return text;
}

/* Splits a line in place; returns the number of fields, of which the first `most` are stored. */
static int32_t split(char *line, char **fields, int32_t most) {
    char separator = strchr(line, ',') ? ',' : strchr(line, ';') ? ';' : '\t';
    int32_t count = 0;
    for (char *field = line, *next; field; field = next, count++) {
        next = strchr(field, separator);
        if (next) *next++ = '\0';
        if (count < most) fields[count] = trimmed(field);
    }
    return count;
}

static void read_csv(struct reader *reader, FILE *file) {
    const int32_t classes = reader->counts->classes;
    const int32_t most = classes + 16; /* columns that may be there to be skipped */
    char **fields = allocate((size_t)most, sizeof *fields);
    bool *skipped = allocate((size_t)most, sizeof *skipped);
    int32_t columns = classes;
    bool first = true;
    char *line = NULL;
    size_t size = 0;

    for (int64_t number = 1; getline(&line, &size, file) >= 0; number++) {
        char *text = line;
        if (number == 1 && strncmp(text, "\xEF\xBB\xBF", 3) == 0) text += 3;
        if (*trimmed(text) == '\0' || *trimmed(text) == '#') continue;
        text = trimmed(text);
        int32_t count = split(text, fields, most);
        int32_t stored = count < most ? count : most;
        double value;

        if (first) {
            first = false;
            bool header = false;
            for (int32_t i = 0; i < stored; i++) header = header || !read_real(fields[i], &value);
            if (header) {
                for (int32_t i = 0; i < stored; i++) {
                    skipped[i] = strcmp(fields[i], "log_p") == 0;
                    columns += skipped[i];
                }
                if (count == columns) continue;
                fail("%s: line %lld: the header has %d columns for the %d classes of --m", reader->name,
                     (long long)number, count, classes);
            }
        }
        if (count != columns)
            fail("%s: line %lld: %d columns where there should be %d", reader->name, (long long)number, count, columns);
        int32_t *row = next_row(reader);
        for (int32_t i = 0, c = 0; i < stored; i++) {
            if (skipped[i]) continue;
            if (!read_real(fields[i], &value))
                fail("%s: line %lld: '%s' is not a number", reader->name, (long long)number, fields[i]);
            row[c] = checked(reader, number, c, value);
            c++;
        }
        finish_row(reader, number);
    }
    free(line);
    free(fields);
    free(skipped);
}

/* --------------------------------------------------------------------------------------------------------- npy --- */

static uint64_t little_endian(const unsigned char *bytes, size_t count) {
    uint64_t value = 0;
    for (size_t i = 0; i < count; i++) value |= (uint64_t)bytes[i] << (8 * i);
    return value;
}

/* A scalar of a type such as 'i' and 4 bytes. */
static double scalar(const unsigned char *bytes, char kind, size_t size) {
    uint64_t bits = little_endian(bytes, size);
    if (kind == 'u') return (double)bits;
    if (kind == 'i') return (double)((int64_t)(bits << (64 - 8 * size)) >> (64 - 8 * size));
    if (size == 4) {
        float value;
        uint32_t low = (uint32_t)bits;
        memcpy(&value, &low, sizeof value);
        return value;
    }
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Reads '<i4' and the like. */
static bool scalar_type(const char *text, char *kind, size_t *size) {
    if (text[0] != '\'' || !strchr("<|", text[1]) || !strchr("iuf", text[2])) return false;
    *kind = text[2];
    *size = (size_t)(text[3] - '0');
    return text[4] == '\'' && (*size == 8 || *size == 4 || (*kind != 'f' && (*size == 1 || *size == 2)));
}

/* What follows "key:" in a header, without blanks; NULL when the key is not there. */
static const char *header_value(const char *header, const char *key) {
    const char *at = strstr(header, key);
    if (!at) return NULL;
    at = strchr(at, ':');
    return at ? at + 1 + strspn(at + 1, " ") : NULL;
}

static void read_npy(struct reader *reader, FILE *file) {
    const int32_t classes = reader->counts->classes;
    unsigned char prefix[12];
    size_t length_bytes = 2;
    if (fread(prefix, 1, 10, file) != 10 || memcmp(prefix, "\x93NUMPY", 6) != 0)
        fail("%s: not an .npy file", reader->name);
    if (prefix[6] > 1) {
        length_bytes = 4;
        if (fread(prefix + 10, 1, 2, file) != 2) fail("%s: not an .npy file", reader->name);
    }
    size_t length = (size_t)little_endian(prefix + 8, length_bytes);
    if (length > 1 << 20) fail("%s: the header is too long", reader->name);
    char *header = allocate(length + 1, 1);
    if (fread(header, 1, length, file) != length) fail("%s: the header is cut off", reader->name);

    const char *descr = header_value(header, "'descr'"), *order = header_value(header, "'fortran_order'");
    const char *shape = header_value(header, "'shape'");
    long long rows = 0, columns = 0;
    char kind = 0;
    size_t size = 0, stride = 0;
    if (descr && strncmp(descr, "[('x', ", 7) == 0 && scalar_type(descr + 7, &kind, &size)) { /* sample --log-p */
        const char *log_p = strstr(descr, "('log_p', ");
        char log_p_kind;
        size_t log_p_size;
        if (log_p && scalar_type(log_p + 10, &log_p_kind, &log_p_size) &&
            sscanf(descr + 12, ", (%lld,))", &columns) == 1 && shape && sscanf(shape, "(%lld,)", &rows) == 1)
            stride = (size_t)columns * size + log_p_size;
    } else if (descr && scalar_type(descr, &kind, &size) && shape &&
               sscanf(shape, "(%lld, %lld)", &rows, &columns) == 2) {
        stride = (size_t)columns * size;
    }
    if (!stride || rows < 0 || !order || strncmp(order, "False", 5) != 0)
        fail("%s: not an array of numbers [rows][classes] in C order and little-endian", reader->name);
    if (columns != classes) fail("%s: %lld columns for the %d classes of --m", reader->name, columns, classes);

    unsigned char *record = allocate(stride, 1);
    for (long long r = 0; r < rows; r++) {
        if (fread(record, 1, stride, file) != stride) fail("%s: cut off in row %lld of %lld", reader->name, r, rows);
        int32_t *row = next_row(reader);
        for (int32_t c = 0; c < classes; c++)
            row[c] = checked(reader, r, c, scalar(record + (size_t)c * size, kind, size));
        finish_row(reader, r);
    }
    free(record);
    free(header);
}

void counts_read(struct counts *counts, const char *path, const struct urn *urn) {
    const bool standard_input = strcmp(path, "-") == 0, npy = has_suffix(path, ".npy");
    memset(counts, 0, sizeof *counts);
    counts->classes = urn->classes;
    struct reader reader = {
        .counts = counts, .urn = urn, .name = standard_input ? "standard input" : path, .unit = npy ? "row" : "line"};
    FILE *file = standard_input ? stdin : fopen(path, "rb");
    if (!file) fail("--in: %s: %s", path, strerror(errno));
    if (npy)
        read_npy(&reader, file);
    else
        read_csv(&reader, file);
    if (ferror(file)) fail("%s: %s", reader.name, strerror(errno));
    if (!standard_input) fclose(file);
    if (counts->rows == 0) fail("%s: no rows", reader.name);
}

void counts_release(struct counts *counts) {
    free(counts->x);
    free(counts->n);
}
