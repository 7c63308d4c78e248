/*
 * The library as a C11 program uses it, public header alone: every function, on whatever device `auto` finds (tests that need
 * device memory run on a CPU context). Prints what failed; the exit status is the number of failures.
 */
#include <gumbelurn.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failures;

#define CHECK(condition)                                                    \
    do {                                                                    \
        if (!(condition)) {                                                 \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
            failures++;                                                     \
        }                                                                   \
    } while (0)

static void statuses_have_names(void) {
    for (int s = GURN_SUCCESS; s <= GURN_CUDA_ERROR; s++) {
        const char *name = gurn_status_string((gurn_status)s);
        CHECK(name && strlen(name) > 3);
        for (int t = GURN_SUCCESS; t < s; t++) CHECK(strcmp(name, gurn_status_string((gurn_status)t)) != 0);
    }
    CHECK(gurn_status_string((gurn_status)12345) != NULL);
    CHECK(strcmp(gurn_version(), GURN_VERSION_STRING) == 0);
}

static void contexts(void) {
    gurn_context *context = NULL;
    gurn_context_info info;
    memset(&info, 0, sizeof info);
    info.size = sizeof info;
    CHECK(gurn_context_create(NULL, &context) == GURN_SUCCESS);
    CHECK(gurn_context_get_info(context, &info) == GURN_SUCCESS);
    CHECK(info.device == GURN_DEVICE_CPU || info.device == GURN_DEVICE_CUDA);
    CHECK(strlen(info.device_name) > 0 && strlen(info.isa_name) > 0);
    CHECK(strcmp(gurn_context_message(context), "") == 0);
    gurn_context_destroy(context);
    gurn_context_destroy(NULL);
    gurn_plan_destroy(NULL);
}

/* The example of the header's comments: three classes, a forward and a backward call. */
static void forward_and_backward(void) {
    enum {
        ROWS = 100,
        CLASSES = 3
    };
    static float x[ROWS][CLASSES], dx[ROWS][CLASSES], log_p[ROWS], gradient[CLASSES];
    static float y[ROWS][48];
    const int32_t m[CLASSES] = {10, 20, 15};
    const float log_omega[CLASSES] = {0.0f, 1.0f, -0.5f};
    gurn_context_options context_options = GURN_CONTEXT_OPTIONS_INIT;
    gurn_plan_options plan_options = GURN_PLAN_OPTIONS_INIT;
    gurn_mvhg_inputs in = GURN_MVHG_INPUTS_INIT;
    gurn_mvhg_outputs out = GURN_MVHG_OUTPUTS_INIT;
    gurn_mvhg_upstream up = GURN_MVHG_UPSTREAM_INIT;
    gurn_mvhg_gradients grad = GURN_MVHG_GRADIENTS_INIT;
    gurn_context *context = NULL;
    gurn_plan *plan = NULL;
    size_t forward = 0, backward = 0;

    context_options.device = GURN_DEVICE_CPU;
    CHECK(gurn_context_create(&context_options, &context) == GURN_SUCCESS);
    plan_options.chain = GURN_CHAIN_MERGED;
    CHECK(gurn_plan_create(context, CLASSES, m, 20, &plan_options, &plan) == GURN_SUCCESS);
    CHECK(gurn_plan_classes(plan) == CLASSES);
    CHECK(gurn_plan_width(plan) == 48);
    CHECK(gurn_plan_offset(plan, 0) == 0 && gurn_plan_offset(plan, 1) == 11 && gurn_plan_offset(plan, 2) == 32);
    CHECK(gurn_plan_offset(plan, 3) == 48 && gurn_plan_offset(plan, 4) == 0 && gurn_plan_offset(plan, -1) == 0);
    CHECK(gurn_plan_bytes(plan) > 0);

    in.rows = ROWS;
    in.log_omega = log_omega;
    in.n = 20;
    in.noise.seed = 1;
    out.x = x;
    out.y = y;
    out.log_p = log_p;
    up.x = dx;
    grad.log_omega = gradient;
    CHECK(gurn_mvhg_workspace(context, plan, &in, &forward, &backward) == GURN_SUCCESS);
    CHECK(gurn_mvhg_workspace(context, plan, &in, NULL, NULL) == GURN_SUCCESS);
    size_t bytes = forward > backward ? forward : backward;
    void *workspace = aligned_alloc(64, (bytes + 63) / 64 * 64 + 64);
    CHECK(workspace != NULL);
    CHECK(gurn_mvhg_forward(context, plan, &in, &out, workspace, bytes) == GURN_SUCCESS);
    for (int b = 0; b < ROWS; b++) {
        CHECK(x[b][0] + x[b][1] + x[b][2] == 20.0f);
        CHECK(y[b][(int)x[b][0]] == 1.0f);
        CHECK(log_p[b] < 0.0f && log_p[b] > -60.0f);
        dx[b][1] = 1.0f;
    }
    CHECK(gurn_mvhg_backward(context, plan, &in, x, &up, &grad, workspace, bytes) == GURN_SUCCESS);
    CHECK(gradient[1] > 0.0f); /* more importance, more balls of that class */
    CHECK(fabsf(gradient[0] + gradient[1] + gradient[2]) < 1e-3f * gradient[1]); /* a common factor changes nothing */

    in.tau = -1.0;
    CHECK(gurn_mvhg_forward(context, plan, &in, &out, workspace, bytes) == GURN_INVALID_TAU);
    CHECK(strstr(gurn_context_message(context), "tau") != NULL);
    CHECK(gurn_context_set_stream(context, NULL) == GURN_UNSUPPORTED);
    free(workspace);
    gurn_plan_destroy(plan);
    gurn_context_destroy(context);
}

static void plain_draws(void) {
    enum {
        ROWS = 50,
        CLASSES = 3
    };
    static int32_t x[ROWS][CLASSES], k[ROWS];
    static const int32_t m[CLASSES] = {10, 20, 5}, m1 = 10, m2 = 25, n = 20;
    static const float log_omega[CLASSES] = {0.0f, 1.0f, 0.5f};
    gurn_context_options options = GURN_CONTEXT_OPTIONS_INIT;
    gurn_mvhg_inputs in = GURN_MVHG_INPUTS_INIT;
    gurn_hypergeometric_inputs univariate = GURN_HYPERGEOMETRIC_INPUTS_INIT;
    gurn_context *context = NULL;
    gurn_plan *plan = NULL;
    size_t bytes = 0;
    options.device = GURN_DEVICE_CPU;
    CHECK(gurn_context_create(&options, &context) == GURN_SUCCESS);
    CHECK(gurn_plan_create(context, CLASSES, m, n, NULL, &plan) == GURN_SUCCESS);
    in.rows = ROWS;
    in.log_omega = log_omega;
    in.n = n;
    CHECK(gurn_mvhg_draw_workspace(context, plan, &in, &bytes) == GURN_SUCCESS);
    void *workspace = aligned_alloc(64, (bytes + 63) / 64 * 64 + 64);
    CHECK(gurn_mvhg_draw(context, plan, &in, x[0], workspace, bytes) == GURN_SUCCESS);
    univariate.rows = ROWS;
    univariate.m1 = &m1; /* strides of 0: one urn for all rows */
    univariate.m2 = &m2;
    univariate.n = &n;
    CHECK(gurn_hypergeometric_draw(context, &univariate, k) == GURN_SUCCESS);
    int differ = 0;
    for (int b = 0; b < ROWS; b++) {
        CHECK(x[b][0] + x[b][1] + x[b][2] == n);
        CHECK(k[b] >= 0 && k[b] <= m1);
        differ += k[b] != k[0];
    }
    CHECK(differ > 0);
    free(workspace);
    gurn_plan_destroy(plan);
    gurn_context_destroy(context);
}

int main(void) {
    statuses_have_names();
    contexts();
    forward_and_backward();
    plain_draws();
    if (failures == 0) printf("ok\n");
    return failures != 0;
}
