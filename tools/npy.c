/*
 * The .npy format of NumPy, versions 1 to 3: a header, which is the text of a Python dictionary, and the values of an array.
 * Read are arrays of whole numbers, reals and truth values of either byte order, [rows][columns] in the order of C or Fortran,
 * or structured arrays [rows], whose fields side by side are the columns; a field log_p, which `sample --log-p` writes, and
 * padding are passed over.
 */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

/* ----------------------------------------------------------------------------------------------------- writing --- */

void write_npy_header(struct writer *writer, const char *descr, const char *shape) {
    char text[512];
    int length = snprintf(text, sizeof text, "{'descr': %s, 'fortran_order': False, 'shape': %s, }", descr, shape);
    /* Magic, version and length take 10 bytes; blanks and a newline fill up to a multiple of 64: there data begin. */
    size_t total = (10 + (size_t)length + 1 + 63) / 64 * 64, header = total - 10;
    unsigned char prefix[10] = {
        0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, (unsigned char)(header & 255), (unsigned char)(header >> 8)};
    write_bytes(writer, prefix, sizeof prefix);
    write_text(writer, "%s%*s\n", text, (int)(header - 1 - (size_t)length), "");
}

/* ------------------------------------------------------------------------------------------------------ values --- */

static uint64_t word(const unsigned char *bytes, size_t count, bool swapped) {
    uint64_t value = 0;
    for (size_t i = 0; i < count; i++) value |= (uint64_t)bytes[swapped ? count - 1 - i : i] << (8 * i);
    return value;
}

static double half(uint32_t bits) {
    const int exponent = (int)(bits >> 10 & 31), fraction = (int)(bits & 1023);
    const double sign = bits >> 15 ? -1 : 1;
    if (exponent == 31) return fraction ? NAN : sign * HUGE_VAL;
    return sign * (exponent ? ldexp(fraction + 1024, exponent - 25) : ldexp(fraction, -24));
}

double npy_value(const struct npy_field *field, const unsigned char *bytes) {
    const uint64_t bits = word(bytes, field->size, field->swapped);
    if (field->kind == 'u' || field->kind == 'b') return (double)bits;
    if (field->kind == 'i') { /* what the sign bit stands for is taken off */
        const uint64_t sign = UINT64_C(1) << (8 * field->size - 1);
        return bits & sign ? -(double)(sign - (bits & (sign - 1))) : (double)bits;
    }
    if (field->size == 2) return half((uint32_t)bits);
    if (field->size == 4) {
        float value;
        uint32_t low = (uint32_t)bits;
        memcpy(&value, &low, sizeof value);
        return value;
    }
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* ------------------------------------------------------------------------------------------------------ header --- */

/* Text that is being read, and whose it is. */
struct npy_text {
    const char *at;
    const struct npy *npy;
};

static _Noreturn void not_understood(const struct npy_text *header) {
    char text[SHOWN_SIZE];
    fail("%s: the header of this .npy file is not understood from '%s' on", header->npy->name, shown(header->at, text));
}

/* Takes a mark if it comes next, after blanks. */
static bool take(struct npy_text *header, const char *mark) {
    header->at += strspn(header->at, " \n");
    const size_t length = strlen(mark);
    if (strncmp(header->at, mark, length) != 0) return false;
    header->at += length;
    return true;
}

static void must(struct npy_text *header, const char *mark) {
    if (!take(header, mark)) not_understood(header);
}

/* A string without escapes, cut at the size of text. */
static void take_string(struct npy_text *header, char *text, size_t size) {
    if (!take(header, "'") && !take(header, "\"")) not_understood(header);
    const char quote = header->at[-1], *end = strchr(header->at, quote);
    if (!end) not_understood(header);
    const size_t length = (size_t)(end - header->at);
    snprintf(text, size, "%.*s", (int)(length < size ? length : size), header->at);
    header->at = end + 1;
}

/* A tuple of whole numbers, of which those of two dimensions are kept; returns how many there are. */
static int take_shape(struct npy_text *header, int64_t sizes[2]) {
    int dimensions = 0;
    must(header, "(");
    while (!take(header, ")")) {
        char *end;
        take(header, "");
        errno = 0;
        const long long size = strtoll(header->at, &end, 10);
        if (end == header->at || errno || size < 0) not_understood(header);
        if (dimensions < 2) sizes[dimensions] = size;
        dimensions++;
        header->at = end;
        take(header, "L"); /* of Python 2 */
        if (!take(header, ",")) {
            must(header, ")");
            break;
        }
    }
    return dimensions;
}

/* Reads "<i4" and the like; false where such values are not read. */
static bool field_type(struct npy_field *field, const char *type) {
    if (!strchr("<>|=", type[0]) || !type[0] || !type[1]) return false;
    field->kind = type[1];
    field->swapped = type[0] == '>';
    char *end;
    field->size = (size_t)strtoull(type + 2, &end, 10);
    if (end == type + 2 || *end || field->size > 1 << 20) return false;
    const size_t size = field->size;
    switch (field->kind) {
        case 'i':
        case 'u': return size == 1 || size == 2 || size == 4 || size == 8;
        case 'f': return size == 2 || size == 4 || size == 8;
        case 'b': return size == 1;
        case 'V': return field->columns == 0;
        default: return false;
    }
}

static void take_type(struct npy_text *header, struct npy *npy, struct npy_field *field) {
    char type[SHOWN_SIZE], text[SHOWN_SIZE];
    take_string(header, type, sizeof type);
    if (!field_type(field, type))
        fail("%s: values of the type '%s' are not read: whole numbers, reals of 16, 32 or 64 bits and truth values are",
             npy->name, shown(type, text));
    if (field->columns) snprintf(npy->type, sizeof npy->type, "%s", type);
}

static struct npy_field *add_npy_field(struct npy *npy) {
    npy->fields = realloc(npy->fields, (size_t)(npy->field_count + 1) * sizeof *npy->fields);
    if (!npy->fields) fail("out of memory: %s: %d fields", npy->name, npy->field_count + 1);
    struct npy_field *field = &npy->fields[npy->field_count++];
    memset(field, 0, sizeof *field);
    return field;
}

/* The fields of a structured array: [('x', '<i4', (3,)), ('log_p', '<f4')]. */
static void take_fields(struct npy_text *header, struct npy *npy) {
    while (!take(header, "]")) {
        char name[SHOWN_SIZE];
        int64_t sizes[2] = {1, 1};
        struct npy_field *field = add_npy_field(npy);
        must(header, "(");
        take_string(header, name, sizeof name);
        must(header, ",");
        field->offset = npy->stride;
        field->columns = *name && strcmp(name, "log_p") != 0;
        take(header, "");
        if (*header->at != '\'' && *header->at != '"')
            fail("%s: field '%s' is not of one type of numbers", npy->name, name);
        take_type(header, npy, field);
        if (take(header, ",")) {
            if (take_shape(header, sizes) > 1 || sizes[0] > GURN_MAX_CLASSES)
                fail("%s: field '%s' has more than one dimension", npy->name, name);
        }
        must(header, ")");
        npy->stride += field->size * (size_t)sizes[0];
        if (field->columns) {
            field->columns = (int32_t)sizes[0];
            npy->columns += field->columns;
        }
        if (npy->columns > GURN_MAX_CLASSES || npy->stride > SIZE_MAX / 4)
            fail("%s: more than %d columns", npy->name, GURN_MAX_CLASSES);
        if (!take(header, ",")) {
            must(header, "]");
            break;
        }
    }
}

static void parse_header(struct npy *npy, const char *text) {
    struct npy_text header = {text, npy};
    const char *shape = NULL, *shape_end = NULL;
    int64_t sizes[2] = {0, 0};
    int dimensions = 0;
    bool described = false, ordered = false, structured = false;
    must(&header, "{");
    while (!take(&header, "}")) {
        char key[32];
        take_string(&header, key, sizeof key);
        must(&header, ":");
        if (strcmp(key, "descr") == 0) {
            if (described) not_understood(&header);
            described = true;
            structured = take(&header, "[");
            if (structured) {
                take_fields(&header, npy);
            } else {
                struct npy_field *field = add_npy_field(npy);
                field->columns = 1;
                take_type(&header, npy, field);
            }
        } else if (strcmp(key, "fortran_order") == 0) {
            ordered = true;
            npy->fortran = take(&header, "True");
            if (!npy->fortran) must(&header, "False");
        } else if (strcmp(key, "shape") == 0) {
            take(&header, "");
            shape = header.at;
            dimensions = take_shape(&header, sizes);
            shape_end = header.at;
        } else {
            not_understood(&header);
        }
        if (!take(&header, ",")) {
            must(&header, "}");
            break;
        }
    }
    if (!described || !ordered || !shape) fail("%s: the header of this .npy file lacks a part", npy->name);
    if (dimensions != (structured ? 1 : 2))
        fail("%s: its shape is %.*s: %s is read", npy->name, shape_end - shape < 80 ? (int)(shape_end - shape) : 80,
             shape, structured ? "with fields, (rows,)" : "(rows, classes)");
    npy->rows = sizes[0];
    if (structured) {
        npy->fortran = false; /* the same in one dimension */
        return;
    }
    if (sizes[1] > GURN_MAX_CLASSES) fail("%s: more than %d columns", npy->name, GURN_MAX_CLASSES);
    npy->columns = npy->fields[0].columns = (int32_t)sizes[1];
    npy->stride = npy->fields[0].size * (size_t)sizes[1];
}

void npy_open(struct npy *npy, FILE *file, const char *name) {
    memset(npy, 0, sizeof *npy);
    npy->file = file;
    npy->name = name;
    unsigned char prefix[12];
    size_t length_bytes = 2;
    if (fread(prefix, 1, 10, file) != 10 || memcmp(prefix, "\x93NUMPY", 6) != 0) {
        if (ferror(file)) fail("%s: %s", name, strerror(errno));
        fail("%s: not an .npy file", name);
    }
    if (prefix[6] < 1 || prefix[6] > 3) fail("%s: version %d of the .npy format is not known", name, prefix[6]);
    if (prefix[6] > 1) {
        length_bytes = 4;
        if (fread(prefix + 10, 1, 2, file) != 2) fail("%s: the header is cut off", name);
    }
    const size_t length = (size_t)word(prefix + 8, length_bytes, false);
    if (length > 1 << 20) fail("%s: the header is too long", name);
    char *header = allocate(length + 1, 1);
    if (fread(header, 1, length, file) != length) fail("%s: the header is cut off", name);
    parse_header(npy, header);
    free(header);
}

void npy_read(const struct npy *npy, void *bytes, size_t count, int64_t at, int64_t of) {
    if (fread(bytes, 1, count, npy->file) == count) return;
    if (ferror(npy->file)) fail("%s: %s", npy->name, strerror(errno));
    fail("%s: cut off in %s %" PRId64 " of %" PRId64, npy->name, npy->fortran ? "column" : "row", at, of);
}

void npy_finish(const struct npy *npy) {
    if (getc(npy->file) != EOF) fail("%s: more bytes follow the array", npy->name);
    if (ferror(npy->file)) fail("%s: %s", npy->name, strerror(errno));
}

void npy_release(struct npy *npy) { free(npy->fields); }
