/* Contexts, plans and memory: with GURN_TOOLS_CUDA the arrays of a CUDA context lie in GPU memory. */
#define _POSIX_C_SOURCE 200809L
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#ifdef GURN_TOOLS_CUDA
#include "cuda_memory.h"
#endif

gurn_context *open_context(gurn_device device, int32_t threads) {
    gurn_context_options options = GURN_CONTEXT_OPTIONS_INIT;
#ifndef GURN_TOOLS_CUDA
    if (device == GURN_DEVICE_CUDA) fail("--device: this program was built without CUDA");
    device = GURN_DEVICE_CPU;
#endif
#ifdef GURN_EMULATED
    /* The emulation is for tests: who wants it says so. */
    if (device == GURN_DEVICE_AUTO && !getenv("GURN_EMULATED_AUTO")) device = GURN_DEVICE_CPU;
#endif
    options.device = device;
    options.threads = threads;
    gurn_context *context;
    gurn_status status = gurn_context_create(&options, &context);
    if (status != GURN_SUCCESS && threads > 1) { /* is it for their number? */
        options.threads = 1;
        if (gurn_context_create(&options, &context) == GURN_SUCCESS)
            fail("--threads: %d can not be started here (%s)", (int)threads, gurn_status_string(status));
    }
    if (status == GURN_NO_DEVICE) fail("--device: %s", gurn_status_string(status));
    const char *isa = getenv("GURN_ISA"); /* which the library judges: all else is valid here */
    if (isa && (status == GURN_UNSUPPORTED || status == GURN_INVALID_ARGUMENT))
        fail("GURN_ISA: '%s' is not an instruction set of this machine", isa);
    if (status != GURN_SUCCESS) fail("gurn_context_create: %s", gurn_status_string(status));
    return context;
}

void session_open(struct session *session, const struct urn *urn, int32_t n_max) {
    memset(session, 0, sizeof *session);
    session->context = open_context(urn->device, urn->threads);
    gurn_context_info info = {.size = sizeof info};
    check(session, gurn_context_get_info(session->context, &info), "gurn_context_get_info");
    session->cuda = info.device == GURN_DEVICE_CUDA;
    session->real_size = urn->dtype == GURN_FLOAT32 ? sizeof(float) : sizeof(double);

    gurn_plan_options options = GURN_PLAN_OPTIONS_INIT;
    options.dtype = urn->dtype;
    options.chain = urn->chain;
    options.order = urn->order;
    options.use = urn->use;
    gurn_status status = gurn_plan_create(session->context, urn->classes, urn->m, n_max, &options, &session->plan);
    check(session, status, "gurn_plan_create");
}

void session_close(struct session *session) {
    gurn_plan_destroy(session->plan);
    gurn_context_destroy(session->context);
}

void check(const struct session *session, gurn_status status, const char *call) {
    if (status == GURN_SUCCESS) return;
    const char *reason = gurn_context_message(session->context);
    if (!reason || !*reason) reason = gurn_status_string(status);
    switch (status) {
        case GURN_INVALID_CLASSES:
        case GURN_INVALID_M: usage_error("--m: %s", reason);
        case GURN_INVALID_N: usage_error("--n: %s", reason);
        case GURN_INVALID_LOG_OMEGA: usage_error("--omega: %s", reason);
        case GURN_INVALID_TAU: usage_error("--tau: %s", reason);
        case GURN_INVALID_ORDER: usage_error("--order: %s", reason);
        case GURN_UNSUPPORTED: fail("--device: %s", reason);
        default: fail("%s: %s", call, reason);
    }
}

#ifdef GURN_TOOLS_CUDA
static void check_cuda(const char *error) {
    if (error) fail("GPU memory: %s", error);
}
#endif

void *device_alloc(const struct session *session, size_t bytes) {
    void *memory = NULL;
    if (bytes == 0) return NULL;
#ifdef GURN_TOOLS_CUDA
    if (session->cuda) {
        check_cuda(cuda_memory_allocate(&memory, bytes));
        return memory;
    }
#endif
    (void)session;
    bytes = (bytes + 63) / 64 * 64;
    if (posix_memalign(&memory, 64, bytes) != 0) fail("out of memory: %zu bytes", bytes);
    return memory;
}

void device_free(const struct session *session, void *memory) {
#ifdef GURN_TOOLS_CUDA
    if (session->cuda) {
        check_cuda(cuda_memory_free(memory));
        return;
    }
#endif
    (void)session;
    free(memory);
}

void to_device(const struct session *session, void *memory, const void *host, size_t bytes) {
#ifdef GURN_TOOLS_CUDA
    if (session->cuda) {
        check_cuda(cuda_memory_write(memory, host, bytes));
        return;
    }
#endif
    (void)session;
    if (bytes) memcpy(memory, host, bytes);
}

const void *to_host(const struct session *session, const void *memory, void *host, size_t bytes) {
#ifdef GURN_TOOLS_CUDA
    if (session->cuda) {
        check_cuda(cuda_memory_read(host, memory, bytes));
        return host;
    }
#endif
    (void)session, (void)host, (void)bytes;
    return memory;
}

void put_log_omega(const struct session *session, void *memory, const double *log_omega, int32_t classes) {
    if (session->real_size == sizeof(double)) {
        to_device(session, memory, log_omega, (size_t)classes * sizeof(double));
        return;
    }
    float *narrow = allocate((size_t)classes, sizeof *narrow);
    for (int32_t i = 0; i < classes; i++) narrow[i] = (float)log_omega[i];
    to_device(session, memory, narrow, (size_t)classes * sizeof(float));
    free(narrow);
}
