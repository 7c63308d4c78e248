/* Strict parsing of numbers, and of lists of them, from the command line or from a file. */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cli.h"

/* ------------------------------------------------------------------------------------------------------ errors --- */

/* As much of a list as a message shows. */
#define SHOWN_LIST 120

void bad_value(const struct place *place, const char *format, ...) {
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (place->file) usage_error("%s: %s: line %lld: %s", place->option, place->file, (long long)place->line, text);
    if (!place->list) usage_error("%s: %s", place->option, text);
    const char *more = strlen(place->list) > SHOWN_LIST ? "..." : "";
    usage_error("%s: %s (entry %d of '%.*s%s')", place->option, text, place->entry, SHOWN_LIST, place->list, more);
}

char *shown(const char *text, char *buffer) {
    size_t used = 0;
    for (const unsigned char *at = (const unsigned char *)text; *at; at++) {
        if (used + 8 > SHOWN_SIZE) {
            strcpy(buffer + used, "...");
            return buffer;
        }
        if (*at < 32 || *at == 127)
            used += (size_t)snprintf(buffer + used, 5, "\\x%02x", *at);
        else
            buffer[used++] = (char)*at;
    }
    buffer[used] = '\0';
    return buffer;
}

/* ----------------------------------------------------------------------------------------------------- numbers --- */

static bool digit(char c) { return c >= '0' && c <= '9'; }

/* value = 10 value + digit; false where 64 bits do not hold that. */
static bool append_digit(uint64_t *value, unsigned figure) {
    if (*value > (UINT64_MAX - figure) / 10) return false;
    *value = 10 * *value + figure;
    return true;
}

/* In whole numbers throughout: 1e18 is exact, and 1e-400 is not 0. */
enum reading read_whole(const char *text, bool *negative, uint64_t *magnitude) {
    const char *at = text + (*text == '+' || *text == '-');
    uint64_t value = 0;
    int64_t scale = 0, zeros = 0; /* value * 10^(scale + zeros), the zeros being those that no other figure follows */
    bool fraction = false, any = false, fits = true;
    for (;; at++) {
        if (*at == '.' && !fraction) {
            fraction = true;
            continue;
        }
        if (!digit(*at)) break;
        any = true;
        scale -= fraction;
        if (*at == '0') {
            zeros++;
            continue;
        }
        for (; zeros && fits; zeros--) fits = append_digit(&value, 0);
        zeros = 0;
        fits = fits && append_digit(&value, (unsigned)(*at - '0'));
    }
    if (!any) return READ_NOT;
    scale += zeros;
    if (*at == 'e' || *at == 'E') {
        const bool down = at[1] == '-';
        int64_t exponent = 0;
        at += 1 + (at[1] == '+' || at[1] == '-');
        if (!digit(*at)) return READ_NOT;
        for (; digit(*at); at++)
            if (exponent < 1000000000) exponent = 10 * exponent + (*at - '0');
        scale += down ? -exponent : exponent;
    }
    if (*at) return READ_NOT;
    *negative = *text == '-';
    *magnitude = 0;
    if (value == 0) return READ_OK;
    if (scale < 0) return READ_NOT;
    for (; scale > 0 && fits; scale--) fits = append_digit(&value, 0);
    *magnitude = value;
    return fits ? READ_OK : READ_TOO_LARGE;
}

/* Only the characters of a decimal number: no blanks, no hexadecimal, no "inf" or "nan", which strtod would take. */
static bool decimal(const char *text) { return *text && text[strspn(text, "0123456789+-.eE")] == '\0'; }

enum reading read_real(const char *text, double *value) {
    char *end;
    if (!decimal(text)) return READ_NOT;
    *value = strtod(text, &end);
    if (end == text || *end) return READ_NOT;
    if (isinf(*value)) return READ_TOO_LARGE;
    if (*value == 0 && strcspn(text, "123456789") < strcspn(text, "eE")) return READ_TOO_SMALL;
    return READ_OK;
}

int32_t read_infinity(const char *text) {
    const int32_t sign = *text == '-' ? -1 : 1;
    text += *text == '+' || *text == '-';
    return strcasecmp(text, "inf") == 0 || strcasecmp(text, "infinity") == 0 ? sign : 0;
}

int64_t list_integer(const struct place *place, const char *text, int64_t least, int64_t most) {
    bool negative;
    uint64_t magnitude;
    const enum reading reading = read_whole(text, &negative, &magnitude);
    if (reading == READ_NOT) bad_value(place, "'%s' is not a whole number", text);
    if (reading == READ_OK && magnitude <= INT64_MAX) {
        const int64_t value = negative ? -(int64_t)magnitude : (int64_t)magnitude;
        if (value >= least && value <= most) return value;
    }
    bad_value(place, "'%s' is not in %lld..%lld", text, (long long)least, (long long)most);
}

int64_t parse_integer(const char *option, const char *text, int64_t least, int64_t most) {
    const struct place place = {.option = option};
    return list_integer(&place, text, least, most);
}

uint64_t parse_u64(const char *option, const char *text) {
    bool negative;
    uint64_t magnitude;
    const enum reading reading = read_whole(text, &negative, &magnitude);
    if (reading == READ_NOT) usage_error("%s: '%s' is not a whole number", option, text);
    if (reading == READ_TOO_LARGE || (negative && magnitude > 0))
        usage_error("%s: '%s' is not in 0..18446744073709551615", option, text);
    return magnitude;
}

double list_real(const struct place *place, const char *text) {
    double value = 0;
    switch (read_real(text, &value)) {
        case READ_OK: return value;
        case READ_TOO_LARGE: bad_value(place, "'%s' is beyond the largest number there is, %.3g", text, DBL_MAX);
        case READ_TOO_SMALL: bad_value(place, "'%s' is too near 0 for a number other than 0", text);
        default: bad_value(place, "'%s' is not a finite number", text);
    }
}

double parse_positive(const char *option, const char *text) {
    const struct place place = {.option = option};
    const double value = list_real(&place, text);
    if (!(value > 0)) usage_error("%s: '%s' is not above 0", option, text);
    return value;
}

double parse_tau(const char *option, const char *text) {
    const double value = parse_positive(option, text);
    if (value < GURN_MIN_TAU) usage_error("%s: '%s' is below %g, the smallest temperature", option, text, GURN_MIN_TAU);
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

/* ------------------------------------------------------------------------------------------------------- lists --- */

struct list {
    struct place place;
    list_item *item;
    void *data;
    int64_t count;
};

/* One entry, which may be COUNTxVALUE. */
static void add_entry(struct list *list, char *entry) {
    int64_t repeat = 1;
    char *value = entry, *times = strpbrk(entry, "x*");
    list->place.entry++;
    if (times) {
        const char sign = *times;
        bool negative;
        uint64_t magnitude;
        *times = '\0';
        const enum reading reading = read_whole(entry, &negative, &magnitude);
        value = times + 1;
        if (reading == READ_NOT)
            bad_value(&list->place, "'%s' of '%s%c%s' is not a whole number", entry, entry, sign, value);
        if (reading == READ_TOO_LARGE || magnitude < 1 || magnitude > GURN_MAX_CLASSES || negative)
            bad_value(&list->place, "'%s' of '%s%c%s' is not in 1..%d", entry, entry, sign, value, GURN_MAX_CLASSES);
        repeat = (int64_t)magnitude;
    }
    if (list->count + repeat > GURN_MAX_CLASSES) bad_value(&list->place, "more than %d values", GURN_MAX_CLASSES);
    for (; repeat; repeat--) list->item(&list->place, value, list->data, (int32_t)list->count++);
}

/* The text without blanks around it; the end is cut. */
char *trimmed(char *text) {
    text += strspn(text, BLANKS);
    for (size_t length = strlen(text); length && strchr(BLANKS, text[length - 1]);) text[--length] = '\0';
    return text;
}

/* Values between commas, blanks and line ends; a # begins a comment. No entry is longer than LONGEST. */
static void read_list_file(struct list *list, const char *path) {
    enum {
        LONGEST = 400
    };
    char entry[LONGEST + 1];
    size_t length = 0;
    bool comment = false, comma = true; /* whether a comma, or the beginning, comes before what is read next */
    claim_input(list->place.option, path);
    FILE *file = open_input(list->place.option, path, &list->place.file);
    list->place.line = 1;
    int c = getc(file);
    if (c == 0xEF) { /* a byte order mark */
        if (getc(file) != 0xBB || getc(file) != 0xBF) bad_value(&list->place, "this is not a text");
        c = getc(file);
    }
    for (;; c = getc(file)) {
        const bool ends = c == EOF || c == ',' || c == '#' || (c && strchr(BLANKS, c)) || comment;
        if (c == '\0') bad_value(&list->place, "a zero byte: this is not a text");
        if (!ends) {
            if (length == LONGEST) bad_value(&list->place, "no number is as long as '%.20s...'", entry);
            entry[length++] = (char)c;
            entry[length] = '\0';
            continue;
        }
        if (length) {
            add_entry(list, entry);
            length = 0;
            comma = false;
        }
        if (c == EOF) break;
        if (c == ',' && !comment) {
            if (comma) bad_value(&list->place, "an empty entry");
            comma = true;
        }
        if (c == '#') comment = true;
        if (c == '\n') {
            comment = false;
            list->place.line++;
        }
    }
    if (ferror(file)) fail("%s: %s: %s", list->place.option, list->place.file, strerror(errno));
    if (list->count == 0) usage_error("%s: %s: no values", list->place.option, list->place.file);
    if (comma) bad_value(&list->place, "an empty entry");
    if (file != stdin) fclose(file);
}

int32_t parse_list(const char *option, const char *text, list_item *item, void *data) {
    struct list list = {.place = {.option = option}, .item = item, .data = data};
    if (*text == '@') {
        read_list_file(&list, text + 1);
        return (int32_t)list.count;
    }
    char *copy = strdup(text);
    if (!copy) fail("out of memory: %zu bytes", strlen(text));
    list.place.list = strchr(text, ',') || strpbrk(text, "x*") ? text : NULL;
    for (char *part = copy, *next; part; part = next) {
        next = strchr(part, ',');
        if (next) *next++ = '\0';
        part = trimmed(part);
        if (!*part) usage_error("%s: an empty entry in '%s'", option, text);
        add_entry(&list, part);
    }
    free(copy);
    return (int32_t)list.count;
}
