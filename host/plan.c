/* Plans: validation of an urn, and its tables. */
#include <stdlib.h>
#include <string.h>

#include "host/internal.h"
#include "host/sized.h"

/* order is a permutation of 0..C-1; seen[C] is scratch, cleared here. */
static int is_permutation(const int32_t *order, int32_t classes, char *seen) {
    memset(seen, 0, (size_t)classes);
    for (int32_t i = 0; i < classes; i++) {
        if (order[i] < 0 || order[i] >= classes || seen[order[i]]) return 0;
        seen[order[i]] = 1;
    }
    return 1;
}

static gurn_status fill_plan(gurn_context *context, gurn_plan *plan, const int32_t *m,
                             const gurn_plan_options *options) {
    size_t classes = (size_t)plan->classes;
    plan->m = malloc(classes * sizeof *plan->m);
    plan->order = malloc(classes * sizeof *plan->order);
    plan->offset = malloc((classes + 1) * sizeof *plan->offset);
    char *seen = malloc(classes);
    gurn_status status = GURN_SUCCESS;
    if (!plan->m || !plan->order || !plan->offset || !seen) {
        status = gurn_fail(context, GURN_OUT_OF_MEMORY, "no memory for a plan of %d classes", (int)plan->classes);
    } else if (options->order && !is_permutation(options->order, plan->classes, seen)) {
        status = gurn_fail(context, GURN_INVALID_ORDER, "options->order is not a permutation of 0..%d",
                           (int)plan->classes - 1);
    }
    free(seen);
    if (status != GURN_SUCCESS) return status;

    memcpy(plan->m, m, classes * sizeof *m);
    plan->offset[0] = 0;
    plan->all_m_equal = 1;
    for (int32_t c = 0; c < plan->classes; c++) {
        plan->order[c] = options->order ? options->order[c] : c;
        plan->offset[c + 1] = plan->offset[c] + m[c] + 1;
        if (m[c] > plan->max_m) plan->max_m = m[c];
        if (m[c] != m[0]) plan->all_m_equal = 0;
    }

    size_t psi_size = plan->use == GURN_PLAN_LAW ? 0 : plan->dtype == GURN_FLOAT32 ? sizeof(float) : sizeof(double);
    int with_rest = plan->chain == GURN_CHAIN_MERGED;
    if (gurn_plan_fill(plan->classes, m, plan->order, with_rest, plan->n_max, psi_size, NULL, &plan->bytes, NULL) == 0)
        plan->host_storage = aligned_alloc(64, plan->bytes);
    if (!plan->host_storage || gurn_plan_fill(plan->classes, m, plan->order, with_rest, plan->n_max, psi_size,
                                              plan->host_storage, &plan->bytes, &plan->host) != 0)
        return gurn_fail(context, GURN_OUT_OF_MEMORY, "no memory for the plan's tables (%zu bytes)", plan->bytes);
    return context->backend->plan_upload(context, plan);
}

gurn_status gurn_plan_create(gurn_context *context, int32_t classes, const int32_t *m, int32_t n_max,
                             const gurn_plan_options *options, gurn_plan **plan) {
    if (!plan) return gurn_fail(context, GURN_INVALID_ARGUMENT, "plan is NULL");
    *plan = NULL;
    if (!context) return GURN_INVALID_ARGUMENT;
    gurn_plan_options set = GURN_PLAN_OPTIONS_INIT;
    gurn_status status = GURN_SUCCESS;
    if (options) status = gurn_copy_sized(context, "options", &set, sizeof set, options);
    if (status != GURN_SUCCESS) return status;
    if (set.dtype != GURN_FLOAT32 && set.dtype != GURN_FLOAT64)
        return gurn_fail(context, GURN_INVALID_ARGUMENT, "options->dtype is %d, which is no gurn_dtype",
                         (int)set.dtype);
    if (set.chain != GURN_CHAIN_EXACT && set.chain != GURN_CHAIN_MERGED)
        return gurn_fail(context, GURN_INVALID_ARGUMENT, "options->chain is %d, which is no gurn_chain",
                         (int)set.chain);
    if (set.use != GURN_PLAN_FULL && set.use != GURN_PLAN_LAW)
        return gurn_fail(context, GURN_INVALID_ARGUMENT, "options->use is %d, which is no gurn_plan_use", (int)set.use);
    if (classes < 1 || classes > GURN_MAX_CLASSES)
        return gurn_fail(context, GURN_INVALID_CLASSES, "classes is %d, outside 1..%d", (int)classes, GURN_MAX_CLASSES);
    if (!m) return gurn_fail(context, GURN_INVALID_ARGUMENT, "m is NULL");
    int64_t total = 0;
    for (int32_t c = 0; c < classes; c++) {
        if (m[c] < 0) return gurn_fail(context, GURN_INVALID_M, "m[%d] is %d, below 0", (int)c, (int)m[c]);
        if (set.dtype == GURN_FLOAT32 && m[c] > GURN_MAX_FLOAT32_M)
            return gurn_fail(context, GURN_INVALID_M, "m[%d] is %d: float32 holds whole counts up to %d only", (int)c,
                             (int)m[c], GURN_MAX_FLOAT32_M);
        total += m[c];
        if (total > GURN_MAX_BALLS)
            return gurn_fail(context, GURN_INVALID_M, "the sum of m exceeds %d at m[%d]", GURN_MAX_BALLS, (int)c);
    }
    if (n_max < 0 || n_max > total)
        return gurn_fail(context, GURN_INVALID_N, "n_max is %d, outside 0..%d (the sum of m)", (int)n_max, (int)total);

    gurn_plan *made = calloc(1, sizeof *made);
    if (!made) return gurn_fail(context, GURN_OUT_OF_MEMORY, "no memory for a plan");
    made->backend = context->backend;
    made->device_index = context->info.device_index;
    made->classes = classes;
    made->n_max = n_max;
    made->dtype = set.dtype;
    made->chain = set.chain;
    made->use = set.use;
    status = fill_plan(context, made, m, &set);
    if (status != GURN_SUCCESS) {
        gurn_plan_destroy(made);
        return status;
    }
    *plan = made;
    return GURN_SUCCESS;
}

void gurn_plan_destroy(gurn_plan *plan) {
    if (!plan) return;
    if (plan->storage) plan->backend->plan_free(plan);
    free(plan->host_storage);
    free(plan->m);
    free(plan->order);
    free(plan->offset);
    free(plan);
}

int32_t gurn_plan_classes(const gurn_plan *plan) { return plan ? plan->classes : 0; }
int64_t gurn_plan_width(const gurn_plan *plan) { return plan ? plan->offset[plan->classes] : 0; }
int64_t gurn_plan_offset(const gurn_plan *plan, int32_t c) {
    return plan && c >= 0 && c <= plan->classes ? plan->offset[c] : 0;
}
size_t gurn_plan_bytes(const gurn_plan *plan) { return plan ? plan->bytes : 0; }
