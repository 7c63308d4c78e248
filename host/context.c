/* Contexts: choosing a back end, and the message of the last failure. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/internal.h"
#include "host/sized.h"

gurn_status gurn_fail(gurn_context *context, gurn_status status, const char *format, ...) {
    if (context) {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(context->message, sizeof context->message, format, arguments);
        va_end(arguments);
    }
    return status;
}

/* Opens the context on one back end, leaving it blank again on failure. */
static gurn_status open_backend(gurn_context *context, const gurn_backend *backend,
                                const gurn_context_options *options) {
    context->backend = backend;
    context->info.size = sizeof context->info;
    context->info.device = backend->device;
    if (backend->device == GURN_DEVICE_CUDA) context->stream = options->stream;
    gurn_status status = backend->open(context, options);
    if (status != GURN_SUCCESS) memset(context, 0, sizeof *context);
    return status;
}

static gurn_status open_any(gurn_context *context, const gurn_context_options *options) {
#ifdef GURN_HAVE_CUDA
    if (options->device != GURN_DEVICE_CPU) {
        gurn_status status = open_backend(context, &gurn_backend_cuda, options);
        if (status == GURN_SUCCESS || options->device == GURN_DEVICE_CUDA) return status;
    }
#else
    if (options->device == GURN_DEVICE_CUDA) return GURN_NO_DEVICE;
#endif
    return open_backend(context, &gurn_backend_cpu, options);
}

gurn_status gurn_context_create(const gurn_context_options *options, gurn_context **context) {
    gurn_context_options chosen = GURN_CONTEXT_OPTIONS_INIT;
    if (!context) return GURN_INVALID_ARGUMENT;
    *context = NULL;
    if (options) {
        gurn_status status = gurn_copy_sized(NULL, "options", &chosen, sizeof chosen, options);
        if (status != GURN_SUCCESS) return status;
    }
    int device = (int)chosen.device, isa = (int)chosen.isa;
    if (device < GURN_DEVICE_AUTO || device > GURN_DEVICE_CUDA) return GURN_INVALID_ARGUMENT;
    if (isa < GURN_ISA_AUTO || isa > GURN_ISA_NEON) return GURN_INVALID_ARGUMENT;
    if (chosen.device_index < 0) return GURN_INVALID_ARGUMENT;
    if (chosen.threads < 0 || chosen.threads > GURN_MAX_THREADS) return GURN_INVALID_ARGUMENT;

    gurn_context *created = calloc(1, sizeof *created);
    if (!created) return GURN_OUT_OF_MEMORY;
    gurn_status status = open_any(created, &chosen);
    if (status != GURN_SUCCESS) {
        free(created);
        return status;
    }
    *context = created;
    return GURN_SUCCESS;
}

void gurn_context_destroy(gurn_context *context) {
    if (!context) return;
    context->backend->close(context);
    free(context);
}

const char *gurn_context_message(const gurn_context *context) { return context ? context->message : ""; }

gurn_status gurn_context_get_info(const gurn_context *context, gurn_context_info *info) {
    gurn_context_info known; /* only to judge the caller's size as everywhere else */
    if (!context) return GURN_INVALID_ARGUMENT;
    gurn_status status = gurn_copy_sized(NULL, "info", &known, sizeof known, info);
    if (status != GURN_SUCCESS) return status;
    size_t size = info->size;
    memcpy(info, &context->info, size < sizeof known ? size : sizeof known);
    info->size = size;
    return GURN_SUCCESS;
}

gurn_status gurn_context_set_stream(gurn_context *context, struct CUstream_st *stream) {
    if (!context) return GURN_INVALID_ARGUMENT;
    if (context->info.device != GURN_DEVICE_CUDA)
        return gurn_fail(context, GURN_UNSUPPORTED, "stream: a CPU context has no stream");
    context->stream = stream;
    return GURN_SUCCESS;
}
