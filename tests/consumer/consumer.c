/* What a user writes, compiled as C and as C++ against the installed library: draws a few rows and checks what it got. */
#include <gumbelurn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROWS 64
#define CLASSES 3
#define DRAWN 180

int main(void) {
    const int32_t m[CLASSES] = {200, 200, 200};
    const float log_omega[CLASSES] = {0.0f, 1.6f, 0.0f};
    float x[ROWS][CLASSES];
    gurn_context_options context_options = GURN_CONTEXT_OPTIONS_INIT;
    gurn_plan_options plan_options = GURN_PLAN_OPTIONS_INIT;
    gurn_mvhg_inputs inputs = GURN_MVHG_INPUTS_INIT;
    gurn_mvhg_outputs outputs = GURN_MVHG_OUTPUTS_INIT;
    gurn_context *context = NULL;
    gurn_plan *plan = NULL;
    size_t bytes = 0;

    context_options.device = GURN_DEVICE_CPU;
    plan_options.chain = GURN_CHAIN_MERGED;
    inputs.rows = ROWS;
    inputs.log_omega = log_omega;
    inputs.n = DRAWN;
    outputs.x = x;

    gurn_status status = gurn_context_create(&context_options, &context);
    if (status == GURN_SUCCESS) status = gurn_plan_create(context, CLASSES, m, DRAWN, &plan_options, &plan);
    if (status == GURN_SUCCESS) status = gurn_mvhg_workspace(context, plan, &inputs, &bytes, NULL);
    size_t padded = (bytes + 63) / 64 * 64; /* aligned_alloc wants a multiple of the alignment */
    void *workspace = bytes ? aligned_alloc(64, padded) : NULL;
    if (status == GURN_SUCCESS) status = gurn_mvhg_forward(context, plan, &inputs, &outputs, workspace, bytes);

    int bad = 0;
    for (int b = 0; b < ROWS && status == GURN_SUCCESS; b++) bad += x[b][0] + x[b][1] + x[b][2] != DRAWN;
    if (strcmp(gurn_version(), GURN_VERSION_STRING) != 0) bad++;
    printf("gumbelurn %s: %s, %d mistakes. %s\n", gurn_version(), gurn_status_string(status), bad,
           gurn_context_message(context));
    free(workspace);
    gurn_plan_destroy(plan);
    gurn_context_destroy(context);
    return status != GURN_SUCCESS || bad != 0;
}
