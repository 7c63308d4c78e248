/*
 * laplacian.c against dense solutions in long double, against graphs whose pseudo-inverse is known, and where it has to say that a
 * matrix is singular.
 */
#include "parts.h"

#define MOST 12

static struct laplacian new_laplacian(int32_t classes) {
    struct laplacian a = {.classes = classes,
                          .factor = allocate((size_t)(classes - 1) * (size_t)(classes - 1), sizeof(double))};
    return a;
}

/* Adds an edge to the Laplacian of a graph. */
static void join(double *matrix, int32_t classes, int32_t c, int32_t d, double weight) {
    matrix[c * classes + c] += weight;
    matrix[d * classes + d] += weight;
    matrix[c * classes + d] -= weight;
    matrix[d * classes + c] -= weight;
}

/* Solves size equations in place: v becomes the solution. */
static void dense_solve(long double *matrix, long double *v, int32_t size) {
    for (int32_t i = 0; i < size; i++) {
        int32_t pivot = i;
        for (int32_t r = i; r < size; r++)
            if (fabsl(matrix[r * size + i]) > fabsl(matrix[pivot * size + i])) pivot = r;
        for (int32_t j = 0; j < size; j++) {
            const long double held = matrix[i * size + j];
            matrix[i * size + j] = matrix[pivot * size + j];
            matrix[pivot * size + j] = held;
        }
        const long double held = v[i];
        v[i] = v[pivot];
        v[pivot] = held;
        for (int32_t r = 0; r < size; r++) {
            if (r == i) continue;
            const long double factor = matrix[r * size + i] / matrix[i * size + i];
            for (int32_t j = i; j < size; j++) matrix[r * size + j] -= factor * matrix[i * size + j];
            v[r] -= factor * v[i];
        }
    }
    for (int32_t i = 0; i < size; i++) v[i] /= matrix[i * size + i];
}

/* With J = 1 1' / classes, the pseudo-inverse is (matrix + J)^-1 - J, and maps what has sum 0 as (matrix + J)^-1 does. */
static void reference_solve(const double *matrix, int32_t classes, const double *right, long double *solution) {
    long double whole[MOST * MOST];
    for (int32_t i = 0; i < classes * classes; i++) whole[i] = matrix[i] + 1.0L / classes;
    for (int32_t c = 0; c < classes; c++) solution[c] = right[c];
    dense_solve(whole, solution, classes);
}

/* Connected graphs, dense or nearly trees, of weights that differ by up to 10^orders; every class in turn of the largest variance. */
static void random_graphs(void) {
    double worst = 0;
    for (int trial = 0; trial < 3000; trial++) {
        const int32_t classes = 2 + random_below(MOST - 1);
        const double orders = trial % 3 ? 1 : 4;
        double matrix[MOST * MOST] = {0}, right[MOST], solution[MOST], inverse[MOST * MOST], sum = 0;
        long double expected[MOST];
        for (int32_t c = 1; c < classes; c++)
            join(matrix, classes, c, random_below(c), pow(10, orders * (random_uniform() - 0.5)));
        for (int32_t i = trial % 4 * classes; i > 0; i--) {
            const int32_t c = random_below(classes), d = random_below(classes);
            if (c != d) join(matrix, classes, c, d, pow(10, orders * (random_uniform() - 0.5)));
        }
        for (int32_t c = 0; c < classes; c++) sum += right[c] = random_uniform() - 0.5;
        for (int32_t c = 0; c < classes; c++) right[c] -= sum / classes;

        struct laplacian a = new_laplacian(classes);
        CHECK(laplacian_factor(&a, matrix, 0), "trial %d", trial);
        for (int32_t c = 0; c < classes; c++)
            CHECK(matrix[c * classes + c] <= matrix[a.left_out * classes + a.left_out], "trial %d class %d", trial, c);
        laplacian_solve(&a, right, solution);
        reference_solve(matrix, classes, right, expected);
        long double scale = 0, total = 0;
        for (int32_t c = 0; c < classes; c++) scale = fmaxl(scale, fabsl(expected[c]));
        for (int32_t c = 0; c < classes; c++) {
            total += solution[c];
            worst = fmax(worst, (double)(fabsl(solution[c] - expected[c]) / scale));
        }
        CHECK(fabsl(total) <= 1e-14L * scale, "trial %d: sum %Lg", trial, total);

        laplacian_pseudo_inverse(&a, inverse);
        for (int32_t d = 0; d < classes; d++) {
            double unit[MOST];
            for (int32_t c = 0; c < classes; c++) unit[c] = (c == d) - 1.0 / classes;
            reference_solve(matrix, classes, unit, expected);
            const long double variance = expected[d];
            for (int32_t c = 0; c < classes; c++) {
                const double error = (double)(fabsl(inverse[c * classes + d] - expected[c]) / variance);
                CHECK(error <= 1e-9, "trial %d: [%d][%d] off by %g", trial, c, d, error);
            }
        }
        free(a.factor);
    }
    CHECK(worst <= 1e-9, "worst %g", worst); /* weights of 10^-2 to 10^2, 12 of them in a row: 10^5 roundings at most */
}

/*
 * Stars with any centre. The resistance between two of its ends is the sum of 1 / weight, whatever the others are; the
 * pseudo-inverse is -1/2 of the resistances, centred. It is exact to rounding though weights differ by 10^12.
 */
static void stars(void) {
    for (int32_t classes = 2; classes <= MOST; classes++) {
        for (int32_t hub = 0; hub < classes; hub++) {
            double matrix[MOST * MOST] = {0}, inverse[MOST * MOST];
            long double away[MOST] = {0}, mean[MOST] = {0}, all = 0;
            for (int32_t c = 0; c < classes; c++) {
                if (c == hub) continue;
                const double weight = pow(10, 12 * random_uniform() - 6);
                join(matrix, classes, c, hub, weight);
                away[c] = 1 / (long double)weight;
            }
            struct laplacian a = new_laplacian(classes);
            CHECK(laplacian_factor(&a, matrix, 0), "star of %d", classes);
            laplacian_pseudo_inverse(&a, inverse);
            for (int32_t c = 0; c < classes; c++)
                for (int32_t d = 0; d < classes; d++)
                    if (c != d) mean[c] += (away[c] + away[d]) / classes;
            for (int32_t c = 0; c < classes; c++) all += mean[c] / classes;
            for (int32_t c = 0; c < classes; c++) {
                for (int32_t d = 0; d < classes; d++) {
                    const long double apart = c == d ? 0 : away[c] + away[d];
                    const long double expected = (mean[c] + mean[d] - all - apart) / 2;
                    const double error = (double)(fabsl(inverse[c * classes + d] - expected) / all);
                    CHECK(error <= 1e-14, "star of %d around %d: [%d][%d] off by %g", classes, hub, c, d, error);
                }
            }
            free(a.factor);
        }
    }
}

/* What is damped is the diagonal without the class left out, which has value 0 before all are moved to sum 0. */
static void damping(void) {
    for (int trial = 0; trial < 300; trial++) {
        const int32_t classes = 2 + random_below(MOST - 1);
        const double damping = trial % 2 ? 0.5 : 1e-3;
        double matrix[MOST * MOST] = {0}, right[MOST], solution[MOST], sum = 0;
        for (int32_t c = 0; c < classes; c++)
            for (int32_t d = 0; d < c; d++) join(matrix, classes, c, d, random_uniform());
        for (int32_t c = 0; c < classes; c++) sum += right[c] = random_uniform();
        for (int32_t c = 0; c < classes; c++) right[c] -= sum / classes;
        struct laplacian a = new_laplacian(classes);
        CHECK(laplacian_factor(&a, matrix, damping), "trial %d", trial);
        laplacian_solve(&a, right, solution);

        long double part[MOST * MOST], v[MOST], mean = 0;
        for (int32_t c = 0, i = 0; c < classes; c++) {
            if (c == a.left_out) continue;
            v[i] = right[c];
            for (int32_t d = 0, j = 0; d < classes; d++)
                if (d != a.left_out)
                    part[i * (classes - 1) + j++] = matrix[c * classes + d] * (c == d ? 1 + (long double)damping : 1);
            i++;
        }
        dense_solve(part, v, classes - 1);
        for (int32_t i = 0; i < classes - 1; i++) mean += v[i] / classes;
        for (int32_t c = 0, i = 0; c < classes; c++) {
            const long double expected = (c == a.left_out ? 0 : v[i++]) - mean;
            CHECK(fabsl(solution[c] - expected) <= 1e-12L, "trial %d class %d: %g for %Lg", trial, c, solution[c],
                  expected);
        }
        free(a.factor);
    }
}

/* Two pairs joined by a weight are singular where it is lost beside the others: below 1e-12 of them. Damping mends that. */
static void singular(void) {
    const struct {
        double weight, damping;
        bool regular;
    } cases[] = {{1e-6, 0, true},   {1e-11, 0, true}, {3e-12, 0, true},    {3e-13, 0, false},
                 {1e-15, 0, false}, {0, 0, false},    {0, 1e-10, true},    {0, 1e-13, false},
                 {NAN, 0, false},   {NAN, 1, false},  {HUGE_VAL, 0, false}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (int32_t from = 0; from < 2; from++) {
            double matrix[16] = {0};
            join(matrix, 4, 0, 1, 1);
            join(matrix, 4, 2, 3, 1);
            join(matrix, 4, from, 2, cases[i].weight);
            struct laplacian a = new_laplacian(4);
            CHECK(laplacian_factor(&a, matrix, cases[i].damping) == cases[i].regular, "weight %g, damping %g, from %d",
                  cases[i].weight, cases[i].damping, from);
            free(a.factor);
        }
    }
}

static void centred(void) {
    double values[5] = {1, -2, 6, 1e6, 0.5}, before[5];
    memcpy(before, values, sizeof values);
    centre(values, 5);
    for (int i = 0; i < 5; i++) CHECK(fabs(values[i] - (before[i] - 200001.1)) <= 1e-9, "%g", values[i]);
    centre(values, 1);
    CHECK(values[0] == 0, "%g", values[0]);
}

int main(void) {
    random_graphs();
    stars();
    damping();
    singular();
    centred();
    return failures > 0;
}
