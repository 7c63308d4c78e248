/*
 * The pass of plain draws: gurn_mvhg_draw of the exact chain, checked against means and variances of [MVHG] Eq. 1 that are computed
 * here, by sums over binomial laws given their sum, with the C library's logarithms and nothing of kernels/.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

/* A binomial law is kept to here below its mode, in nats. */
#define KEPT 45.0
/* Rows with omega of their own whose moments are computed. */
#define ROWS_CHECKED 64

/* Probabilities p[0..count-1] of the counts low, low + 1, ... */
typedef struct window {
    int32_t low, count;
    double *p;
} window;

static window binomial(const bench_case *c, const double *log_factorial, double log_odds) {
    double least = INFINITY, log_p[2] = {-log1p(exp(-log_odds)), -log1p(exp(log_odds))}; /* drawn, not drawn */
    window w = {c->m + 1, 0, malloc(((size_t)c->m + 1) * sizeof(double))};
    if (!w.p) return w;
    for (int pass = 0; pass < 2; pass++)
        for (int32_t k = 0; k <= c->m; k++) {
            double cost =
                log_factorial[k] + log_factorial[c->m - k] - log_factorial[c->m] - k * log_p[0] - (c->m - k) * log_p[1];
            if (pass == 0 && cost < least) least = cost;
            if (pass == 0 || cost > least + KEPT) continue;
            if (k < w.low) w.low = k;
            w.p[w.count++] = exp(-cost);
        }
    return w;
}

static window convolved(const window *a, const window *b) {
    window w = {a->low + b->low, a->count + b->count - 1, NULL};
    w.p = calloc((size_t)w.count, sizeof *w.p);
    for (int32_t i = 0; w.p && i < a->count; i++)
        for (int32_t j = 0; j < b->count; j++) w.p[i + j] += a->p[i] * b->p[j];
    return w;
}

/* Mean and variance of every count under Eq. 1. Returns -1 when there is no memory. */
static int moments(const bench_case *c, const double *log_factorial, const float *log_omega, double *mean,
                   double *variance) {
    double low = -200.0, high = 200.0, tilt = 0.0;
    for (int round = 0; round < 100; round++) { /* at which the binomials' means add up to n */
        double sum = 0.0;
        tilt = 0.5 * (low + high);
        for (int32_t i = 0; i < c->classes; i++) sum += c->m / (1.0 + exp(-tilt - log_omega[i]));
        if (sum < c->n)
            low = tilt;
        else
            high = tilt;
    }
    window own[BENCH_MAX_CLASSES];
    int failed = 0;
    for (int32_t i = 0; i < c->classes; i++)
        own[i] = binomial(c, log_factorial, tilt + log_omega[i]), failed |= !own[i].p;
    for (int32_t i = 0; i < c->classes && !failed; i++) {
        double one = 1.0, sum = 0.0, first = 0.0, second = 0.0;
        window rest = {0, 1, &one};
        for (int32_t j = 0; j < c->classes && !failed; j++) {
            if (j == i) continue;
            window next = convolved(&rest, &own[j]);
            if (rest.p != &one) free(rest.p);
            rest = next;
            failed |= !rest.p;
        }
        for (int32_t k = own[i].low; k < own[i].low + own[i].count && !failed; k++) {
            int32_t r = c->n - k - rest.low;
            if (r < 0 || r >= rest.count) continue;
            double p = own[i].p[k - own[i].low] * rest.p[r];
            sum += p;
            first += p * k;
            second += p * k * k;
        }
        mean[i] = first / sum;
        variance[i] = second / sum - mean[i] * mean[i];
        if (rest.p != &one) free(rest.p);
    }
    for (int32_t i = 0; i < c->classes; i++) free(own[i].p);
    return failed ? -1 : 0;
}

/* Whole counts with sum n; sums of each class within five standard errors of their expectation (a chance of 1 in 1.7 million). */
bool bench_check_law(const bench_plain *p, const int32_t *x, char *failure, size_t size) {
    const bench_case *c = p->c;
    double expected[BENCH_MAX_CLASSES] = {0}, spread[BENCH_MAX_CLASSES] = {0}, seen[BENCH_MAX_CLASSES] = {0};
    double mean[BENCH_MAX_CLASSES], variance[BENCH_MAX_CLASSES];
    int64_t checked = p->shared || p->rows < ROWS_CHECKED ? p->rows : ROWS_CHECKED;
    for (int64_t b = 0; b < p->rows; b++) {
        int64_t sum = 0;
        for (int32_t i = 0; i < c->classes; i++) {
            int32_t k = x[b * c->classes + i];
            sum += k;
            if (k < 0 || k > c->m)
                return snprintf(failure, size, "row %lld: a count is %d", (long long)b, (int)k), false;
            if (b < checked) seen[i] += k;
        }
        if (sum != c->n)
            return snprintf(failure, size, "row %lld: the counts sum to %lld", (long long)b, (long long)sum), false;
    }
    for (int64_t b = 0; b < (p->shared ? 1 : checked); b++) {
        if (moments(c, p->log_factorial, p->log_omega + b * c->classes, mean, variance) != 0)
            return snprintf(failure, size, "no memory"), false;
        for (int32_t i = 0; i < c->classes; i++) {
            expected[i] += mean[i] * (double)(p->shared ? checked : 1);
            spread[i] += variance[i] * (double)(p->shared ? checked : 1);
        }
    }
    for (int32_t i = 0; i < c->classes; i++) {
        double z = fabs(seen[i] - expected[i]) / sqrt(spread[i]);
        if (!(z <= 5.0))
            return snprintf(failure, size, "class %d: its mean is %g standard errors off", (int)i, z), false;
    }
    return true;
}

typedef struct call {
    gurn_context *context;
    gurn_plan *plan;
    gurn_mvhg_inputs inputs;
    int32_t *x;
    void *workspace;
    size_t bytes;
} call;

static bool execute(void *argument) {
    call *a = argument;
    return gurn_mvhg_draw(a->context, a->plan, &a->inputs, a->x, a->workspace, a->bytes) == GURN_SUCCESS;
}

int bench_plain_time(const bench_plain *p, const char *mode, double *seconds, int most, bench_result *r, char *failure,
                     size_t size) {
    const bench_case *c = p->c;
    const bench_device *device = p->device;
    int32_t m[BENCH_MAX_CLASSES];
    for (int32_t i = 0; i < c->classes; i++) m[i] = c->m;
    call a = {.context = p->context, .inputs = GURN_MVHG_INPUTS_INIT};
    size_t x_bytes = (size_t)p->rows * (size_t)c->classes * sizeof *a.x;
    int32_t *x = malloc(x_bytes);
    int count = 0, calls = strcmp(mode, "queued") == 0 ? BENCH_QUEUED : 1;
    double spent = 0.0;
    a.inputs.rows = p->rows;
    a.inputs.log_omega = p->device_log_omega;
    a.inputs.log_omega_stride = p->shared ? 0 : c->classes;
    a.inputs.n = c->n;
    a.inputs.noise.seed = 1;
    snprintf(failure, size, "no memory");
    if (gurn_plan_create(p->context, c->classes, m, c->n, NULL, &a.plan) != GURN_SUCCESS ||
        gurn_mvhg_draw_workspace(p->context, a.plan, &a.inputs, &a.bytes) != GURN_SUCCESS) {
        snprintf(failure, size, "%s", gurn_context_message(p->context));
        goto done;
    }
    a.x = device->alloc(x_bytes);
    a.workspace = device->alloc(a.bytes ? a.bytes : 1);
    if (!x || !a.x || !a.workspace) goto done;
    if (!device->time(mode, false, execute, &a, 1, seconds) || !device->download(x, a.x, x_bytes)) {
        snprintf(failure, size, "%s", gurn_context_message(p->context));
        goto done;
    }
    if (!bench_check_law(p, x, failure, size)) goto done;
    for (; count < most && (count < 7 || spent < p->seconds); count++) {
        if (!device->time(mode, count == 0, execute, &a, 1, seconds + count)) {
            snprintf(failure, size, "%s", gurn_context_message(p->context));
            count = 0;
            goto done;
        }
        spent += seconds[count] * calls;
    }
    r->points = c->classes - 1;
    r->bytes = 4.0 * (c->classes + (p->shared ? 0 : c->classes));
    r->workspace = (double)a.bytes;
    r->tables = (double)gurn_plan_bytes(a.plan);
done:
    free(x);
    if (a.x) device->release(a.x);
    if (a.workspace) device->release(a.workspace);
    gurn_plan_destroy(a.plan);
    return count;
}
