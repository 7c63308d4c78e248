/*
 * Peak resident memory of S2 (c = 10, m = n = 256), B = 4096, forward and backward, in both dtypes: below 64 MiB, although the
 * relaxed one-hots that the published code keeps would be 4096 * 2570 * 4 bytes = 40 MiB, several times over.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gumbelurn.h"

enum {
    ROWS = 4096,
    CLASSES = 10,
    M = 256
};
static const long limit_kib = 64 * 1024;

static void must(gurn_status status, const gurn_context *context) {
    if (status == GURN_SUCCESS) return;
    fprintf(stderr, "%s: %s\n", gurn_status_string(status), gurn_context_message(context));
    exit(1);
}

static void *allocate(size_t bytes) {
    void *memory = aligned_alloc(64, (bytes + 63) / 64 * 64 + 64);
    if (!memory) exit(1);
    memset(memory, 0, bytes);
    return memory;
}

static void run(gurn_dtype dtype) {
    size_t real = dtype == GURN_FLOAT32 ? sizeof(float) : sizeof(double), forward = 0, backward = 0;
    gurn_context_options context_options = GURN_CONTEXT_OPTIONS_INIT;
    gurn_plan_options options = GURN_PLAN_OPTIONS_INIT;
    gurn_mvhg_inputs in = GURN_MVHG_INPUTS_INIT;
    gurn_mvhg_outputs out = GURN_MVHG_OUTPUTS_INIT;
    gurn_mvhg_upstream up = GURN_MVHG_UPSTREAM_INIT;
    gurn_mvhg_gradients grad = GURN_MVHG_GRADIENTS_INIT;
    gurn_context *context = NULL;
    gurn_plan *plan = NULL;
    int32_t m[CLASSES];
    void *log_omega = allocate(ROWS * CLASSES * real), *x = allocate(ROWS * CLASSES * real),
         *log_p = allocate(ROWS * real), *dx = allocate(ROWS * CLASSES * real), *dlog_p = allocate(ROWS * real),
         *g = allocate(ROWS * CLASSES * real), *dtau = allocate(ROWS * real);

    for (int c = 0; c < CLASSES; c++) m[c] = M;
    context_options.device = GURN_DEVICE_CPU;
    context_options.threads = 2;
    must(gurn_context_create(&context_options, &context), NULL);
    options.dtype = dtype;
    options.chain = GURN_CHAIN_MERGED;
    must(gurn_plan_create(context, CLASSES, m, M, &options, &plan), context);
    in.rows = ROWS;
    in.log_omega = log_omega;
    in.log_omega_stride = CLASSES;
    in.n = M;
    out.x = x;
    out.log_p = log_p;
    up.x = dx;
    up.log_p = dlog_p;
    grad.log_omega = g;
    grad.tau = dtau;
    must(gurn_mvhg_workspace(context, plan, &in, &forward, &backward), context);
    void *workspace = allocate(forward > backward ? forward : backward);
    must(gurn_mvhg_forward(context, plan, &in, &out, workspace, forward), context);
    must(gurn_mvhg_backward(context, plan, &in, x, &up, &grad, workspace, backward), context);
    free(workspace);
    gurn_plan_destroy(plan);
    gurn_context_destroy(context);
    free(log_omega), free(x), free(log_p), free(dx), free(dlog_p), free(g), free(dtau);
}

int main(void) {
    long peak = -1;
    char line[256];
    run(GURN_FLOAT32);
    run(GURN_FLOAT64);
    FILE *status = fopen("/proc/self/status", "r");
    if (!status) {
        printf("skipped: no /proc/self/status here\n");
        return 0;
    }
    while (fgets(line, sizeof line, status))
        if (strncmp(line, "VmHWM:", 6) == 0) peak = strtol(line + 6, NULL, 10);
    fclose(status);
    printf("peak resident memory %ld KiB, limit %ld KiB\n", peak, limit_kib);
    return peak > 0 && peak < limit_kib ? 0 : 1;
}
