/*
 * CSV as it comes out of spreadsheets and other programs, line by line: comma, semicolon or tab, the same in the whole file;
 * blanks around fields; fields in double quotes, with "" for a quote, each on one line; CRLF; a byte order mark; empty lines;
 * lines that begin with '#'.
 */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

static _Noreturn void bad_line(const struct csv *csv, const char *what) {
    fail("%s: line %lld: %s", csv->name, (long long)csv->line, what);
}

void csv_bad_field(const struct csv *csv, int32_t field, const char *what) {
    char text[SHOWN_SIZE];
    fail("%s: line %lld: field %d: '%s' %s", csv->name, (long long)csv->line, field + 1,
         shown(csv->fields[field], text), what);
}

/* Says of some formats what they are; other ones are found out by their bytes. */
static void refuse_other_formats(const struct csv *csv) {
    static const struct {
        const char *begin, *what;
    } formats[] = {{"\x1F\x8B", "compressed by gzip"},  {"BZh", "compressed by bzip2"},
                   {"\xFD\x37zXZ", "compressed by xz"}, {"\x28\xB5\x2F\xFD", "compressed by zstd"},
                   {"PK\x03\x04", "a zip archive"},     {"\x89HDF", "an HDF5 file"},
                   {"PAR1", "a Parquet file"},          {"\xFF\xFE", "text in UTF-16"},
                   {"\xFE\xFF", "text in UTF-16"}};
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++)
        if (strncmp(csv->text, formats[i].begin, strlen(formats[i].begin)) == 0)
            fail("%s: this is %s; CSV and .npy are read", csv->name, formats[i].what);
}

/* The first of , ; and tab, in this order, that is there outside quotes; 0 if none is. */
static char separator_of(const char *text) {
    const char *found = NULL;
    static const char separators[] = ",;\t";
    bool quoted = false;
    for (; *text; text++) {
        if (*text == '"') quoted = !quoted;
        const char *this = quoted ? NULL : strchr(separators, *text);
        if (this && (!found || this < found)) found = this;
    }
    return found ? *found : '\0';
}

static void add_field(struct csv *csv, char *field) {
    if (csv->count == csv->room) {
        csv->room = csv->room ? 2 * csv->room : 64;
        csv->fields = realloc(csv->fields, (size_t)csv->room * sizeof *csv->fields);
        if (!csv->fields) fail("out of memory: %s: line %lld", csv->name, (long long)csv->line);
    }
    csv->fields[csv->count++] = field;
}

/* Takes the quotes off a field that begins with one, in place; returns what follows the last of them. */
static char *unquote(const struct csv *csv, char *field) {
    char *to = field;
    for (char *from = field + 1; *from; from++) {
        if (*from == '"' && from[1] != '"') {
            *to = '\0';
            return from + 1;
        }
        from += *from == '"';
        *to++ = *from;
    }
    bad_line(csv, "a quote is not closed");
}

/* Splits a line in place. */
static void split(struct csv *csv, char *text) {
    const bool quotes = strchr(text, '"') != NULL;
    if (!csv->separator) csv->separator = separator_of(text);
    const char separator = csv->separator ? csv->separator : ',';
    csv->count = 0;
    for (char *field = text, *next; field; field = next) {
        char *from = field;
        if (quotes) {
            while (*field == ' ' || (*field == '\t' && separator != '\t')) field++;
            if (*field == '"') {
                from = unquote(csv, field);
                add_field(csv, field);
                next = strchr(from, separator);
                if (next) *next++ = '\0';
                if (*trimmed(from)) bad_line(csv, "something follows a field in quotes");
                continue;
            }
        }
        next = strchr(from, separator);
        if (next) *next++ = '\0';
        add_field(csv, trimmed(field));
    }
}

bool csv_next(struct csv *csv) {
    for (;;) {
        const ssize_t length = getline(&csv->text, &csv->text_room, csv->file);
        if (length < 0) {
            if (ferror(csv->file)) fail("%s: %s", csv->name, strerror(errno));
            if (!feof(csv->file)) fail("out of memory: %s: line %lld", csv->name, (long long)csv->line + 1);
            return false;
        }
        if (csv->line++ == 0) refuse_other_formats(csv);
        if (strlen(csv->text) != (size_t)length) bad_line(csv, "a zero byte: this is not a text");
        char *text = csv->text;
        if (csv->line == 1 && strncmp(text, "\xEF\xBB\xBF", 3) == 0) text += 3;
        text = trimmed(text);
        if (*text == '\0' || *text == '#') continue;
        split(csv, text);
        return true;
    }
}

void csv_release(struct csv *csv) {
    free(csv->text);
    free(csv->fields);
}
