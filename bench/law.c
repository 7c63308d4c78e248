/*
 * The merged chain's law in double precision, straight from [MVHG] Eq. 3 and 7 with the C library's logarithms: nothing here is shared
 * with kernels/, so that what is timed is checked by something else.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

/* What may lie between a mode and a count that can win (mvhg.h, GURN_RACE_BITS), and between it and one that weighs. */
#define RACE_BITS 38.1
#define WEIGHT_BITS 24.0
#define LN2 0.69314718055994530942
/* Beyond this many bits a point is left out of sums in double precision. */
#define SUM_BITS 70.0

/* A step: class of m balls against m_rest, n left to draw, log odds in nats. */
typedef struct step {
    const double *log_factorial;
    int32_t m, m_rest, n;
    double lambda;
} step;

double *bench_log_factorials(const bench_case *c) {
    size_t balls = (size_t)c->classes * (size_t)c->m;
    double *table = malloc((balls + 1) * sizeof *table);
    if (!table) return NULL;
    table[0] = 0.0;
    for (size_t k = 1; k <= balls; k++) table[k] = table[k - 1] + log((double)k);
    return table;
}

static int32_t lowest(const step *s) { return s->n > s->m_rest ? s->n - s->m_rest : 0; }
static int32_t highest(const step *s) { return s->n < s->m ? s->n : s->m; }

/* -logit, nats */
static double cost(const step *s, int32_t k) {
    const double *f = s->log_factorial;
    int32_t r = s->n - k;
    return f[k] + f[s->m - k] + f[r] + f[s->m_rest - r] - k * s->lambda;
}

/* The law is log-concave, so costs fall to the mode and rise after it: both searches halve. */
static int32_t find_mode(const step *s) {
    int32_t a = lowest(s), b = highest(s);
    while (a < b) {
        int32_t middle = a + (b - a) / 2;
        if (cost(s, middle + 1) < cost(s, middle))
            a = middle + 1;
        else
            b = middle;
    }
    return a;
}

/* The last count on one side (+1, -1) of the mode whose cost is within limit. */
static int32_t find_edge(const step *s, int32_t mode, double limit, int side) {
    int32_t in = 0, out = (side > 0 ? highest(s) - mode : mode - lowest(s)) + 1;
    while (out - in > 1) {
        int32_t middle = in + (out - in) / 2;
        if (cost(s, mode + side * middle) <= limit)
            in = middle;
        else
            out = middle;
    }
    return mode + side * in;
}

static double points_within(const step *s, int32_t mode, double bits) {
    double limit = cost(s, mode) + bits * LN2;
    return (double)find_edge(s, mode, limit, 1) - find_edge(s, mode, limit, -1) + 1.0;
}

typedef struct moments {
    int32_t mode, low, high; /* summed over */
    double mean, variance, log_sum;
} moments;

static moments step_moments(const step *s) {
    moments r;
    r.mode = find_mode(s);
    double least = cost(s, r.mode), sum = 0.0, first = 0.0, second = 0.0;
    r.low = find_edge(s, r.mode, least + SUM_BITS * LN2, -1);
    r.high = find_edge(s, r.mode, least + SUM_BITS * LN2, 1);
    for (int32_t k = r.low; k <= r.high; k++) {
        double p = exp(least - cost(s, k)), d = k - r.mode;
        sum += p;
        first += p * d;
        second += p * d * d;
    }
    r.mean = r.mode + first / sum;
    r.variance = second / sum - (first / sum) * (first / sum);
    r.log_sum = log(sum) - least;
    return r;
}

/* Eq. 3: log odds of class i against the classes after it, all of m balls. */
static double odds_of(const bench_case *c, const float *log_omega, int32_t i) {
    double sum = 0.0;
    for (int32_t j = i + 1; j < c->classes; j++) sum += exp((double)log_omega[j] - (double)log_omega[i]);
    return -log(sum / (c->classes - 1 - i));
}

int bench_expected(const bench_case *c, const double *log_factorial, const float *log_omega, double *mean) {
    size_t size = (size_t)c->n + 1;
    double *left = calloc(2 * size, sizeof *left), *next = left ? left + size : NULL;
    if (!left) return -1;
    double *whole = left;
    left[c->n] = 1.0;
    for (int32_t i = 0; i + 1 < c->classes; i++) {
        step s = {log_factorial, c->m, (c->classes - 1 - i) * c->m, 0, odds_of(c, log_omega, i)};
        mean[i] = 0.0;
        memset(next, 0, size * sizeof *next);
        for (int32_t n = 0; n <= c->n; n++) {
            if (left[n] < 1e-18) continue;
            s.n = n;
            moments r = step_moments(&s);
            mean[i] += left[n] * r.mean;
            for (int32_t k = r.low; k <= r.high; k++) next[n - k] += left[n] * exp(-cost(&s, k) - r.log_sum);
        }
        double *swap = left;
        left = next;
        next = swap;
    }
    mean[c->classes - 1] = c->n;
    for (int32_t i = 0; i + 1 < c->classes; i++) mean[c->classes - 1] -= mean[i];
    free(whole);
    return 0;
}

static void fail(bench_check *check, const char *format, double a, double b) {
    if (check->passed) snprintf(check->failure, sizeof check->failure, format, a, b);
    check->passed = false;
}

/*
 * Bounds. z: sums of x less its conditional expectation are sums of martingale differences, nearly normal; |z| > 5 happens
 * once in 1.7 million. log_p: each step's cost is right to 12 units of 2^-23 bit (mvhg.h: two tables and the linear term), and its sum
 * over the support, of floats good to 2^-22, to 2^-20; the result is rounded to float.
 */
void bench_check_draws(const bench_case *c, const double *log_factorial, const float *log_omega, int64_t stride,
                       int64_t rows, const float *x, const float *log_p, double tau, bench_check *check) {
    double difference[BENCH_MAX_CLASSES] = {0}, variance[BENCH_MAX_CLASSES] = {0};
    double checked = (double)(rows < BENCH_MAX_CHECKED ? rows : BENCH_MAX_CHECKED);
    *check = (bench_check){.passed = true, .bits = RACE_BITS, .relaxed_bits = RACE_BITS + WEIGHT_BITS * tau};
    for (int64_t b = 0; b < rows; b++) {
        int32_t left = c->n;
        bool by_law = b < BENCH_MAX_CHECKED;
        double log_law = 0.0;
        for (int32_t i = 0; i < c->classes; i++) {
            float value = x[b * c->classes + i];
            if (!(value >= 0.0f && value <= (float)c->m && value == floorf(value) && value <= (float)left)) {
                fail(check, "row %.0f: a count is %g", (double)b, value);
                return;
            }
            check->mean[i] += value / (double)rows;
            if (by_law && i + 1 < c->classes) {
                step s = {log_factorial, c->m, (c->classes - 1 - i) * c->m, left,
                          odds_of(c, log_omega + b * stride, i)};
                moments r = step_moments(&s);
                difference[i] += value - r.mean;
                variance[i] += r.variance;
                log_law -= cost(&s, (int32_t)value) + r.log_sum;
                check->points += points_within(&s, r.mode, check->bits) / checked;
                check->relaxed_points += points_within(&s, r.mode, check->relaxed_bits) / checked;
            }
            left -= (int32_t)value;
        }
        if (left != 0) fail(check, "row %.0f: the counts leave %g", (double)b, left);
        if (log_p && by_law) {
            double error = fabs(log_p[b] - log_law);
            double tolerance = (c->classes - 1) * (12 * 0x1p-23 * LN2 + 0x1p-20) + fabs(log_law) * 0x1p-23;
            if (!(error <= tolerance)) fail(check, "row %.0f: log_p is off by %g", (double)b, error);
            if (error > check->largest_log_p_error) check->largest_log_p_error = error;
        }
    }
    for (int32_t i = 0; i + 1 < c->classes; i++) {
        double z = variance[i] > 0.0 ? fabs(difference[i]) / sqrt(variance[i]) : 0.0;
        if (!(z <= 5.0)) fail(check, "class %.0f: its mean is %g standard errors off", i, z);
        if (z > check->largest_z) check->largest_z = z;
    }
}
