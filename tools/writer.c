/* Buffered output to a file, and fast decimal text. A failed write ends the program. */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

#define BUFFER (256 * 1024)

void writer_open(struct writer *writer, const char *path) {
    output_open(&writer->output, path);
    writer->buffer = allocate(BUFFER, 1);
    writer->used = 0;
}

static void write_out(struct writer *writer, const char *bytes, size_t count) {
    while (count > 0) {
        ssize_t written = write(writer->output.fd, bytes, count);
        if (written < 0) {
            if (errno == EINTR) continue;
            fail("%s: %s", writer->output.name, strerror(errno));
        }
        bytes += written;
        count -= (size_t)written;
    }
}

void writer_flush(struct writer *writer) {
    write_out(writer, writer->buffer, writer->used);
    writer->used = 0;
}

void writer_close(struct writer *writer) {
    writer_flush(writer);
    output_close(&writer->output);
    free(writer->buffer);
    writer->buffer = NULL;
}

char *writer_room(struct writer *writer, size_t bytes) {
    if (writer->used + bytes > BUFFER) writer_flush(writer);
    return writer->buffer + writer->used;
}

void write_bytes(struct writer *writer, const void *bytes, size_t count) {
    if (writer->used + count > BUFFER) writer_flush(writer);
    if (count > BUFFER) {
        write_out(writer, bytes, count);
        return;
    }
    memcpy(writer->buffer + writer->used, bytes, count);
    writer->used += count;
}

void write_text(struct writer *writer, const char *format, ...) {
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    char *text = allocate((size_t)length + 1, 1);
    vsnprintf(text, (size_t)length + 1, format, again);
    va_end(again);
    write_bytes(writer, text, (size_t)length);
    free(text);
}

static size_t format_u64(char *text, uint64_t value) {
    char reversed[20];
    size_t length = 0;
    do {
        reversed[length++] = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    for (size_t i = 0; i < length; i++) text[i] = reversed[length - 1 - i];
    return length;
}

/* Counts are mostly below 1000: no loop, no temporary, and digits by multiplication. */
size_t format_count(char *text, uint32_t value) {
    if (value < 10) {
        text[0] = (char)('0' + value);
        return 1;
    }
    if (value < 100) {
        uint32_t tens = value / 10;
        text[0] = (char)('0' + tens);
        text[1] = (char)('0' + value - 10 * tens);
        return 2;
    }
    if (value < 1000) {
        uint32_t hundreds = value / 100, rest = value - 100 * hundreds, tens = rest / 10;
        text[0] = (char)('0' + hundreds);
        text[1] = (char)('0' + tens);
        text[2] = (char)('0' + rest - 10 * tens);
        return 3;
    }
    return format_u64(text, value);
}

size_t format_fixed6(char *text, double value) {
    if (!(fabs(value) < 1e12)) return (size_t)snprintf(text, 40, "%g", value); /* also NaN and infinity */
    size_t length = 0;
    if (value < 0) text[length++] = '-';
    uint64_t millionths = (uint64_t)llround(fabs(value) * 1e6);
    length += format_u64(text + length, millionths / 1000000);
    text[length] = '.';
    uint64_t rest = millionths % 1000000;
    for (int i = 6; i >= 1; i--, rest /= 10) text[length + (size_t)i] = (char)('0' + rest % 10);
    return length + 7;
}

size_t format_real(char *text, double value, size_t size) {
    return (size_t)snprintf(text, 40, "%.*g", size == sizeof(float) ? 9 : 17, value);
}

void flush_stdout(void) {
    if (fflush(stdout) != 0 || ferror(stdout)) fail("standard output: %s", strerror(errno));
}
