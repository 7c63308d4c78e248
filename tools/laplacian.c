/*
 * The covariance of counts with a given sum is the Laplacian of a graph: rows sum to 0, and entries off the diagonal are not
 * positive, since independent counts of log-concave laws are negatively associated once their sum is given (Joag-Dev and Proschan
 * 1983). Its null space is spanned by 1. Leaving out the row and column of one class, that of the largest variance, makes it a
 * nonsingular M-matrix, whose Cholesky factor loses little however different the variances are; a solution with that class at 0 is
 * then moved to sum 0, which is the one that the pseudo-inverse gives.
 */
#include <math.h>
#include <stdlib.h>

#include "cli.h"

void centre(double *values, int32_t classes) {
    double mean = 0;
    for (int32_t c = 0; c < classes; c++) mean += values[c] / classes;
    for (int32_t c = 0; c < classes; c++) values[c] -= mean;
}

/* Class of row i of the factor. */
static int32_t class_of(const struct laplacian *a, int32_t i) { return i < a->left_out ? i : i + 1; }

bool laplacian_factor(struct laplacian *a, const double *matrix, double damping) {
    const int32_t classes = a->classes, size = classes - 1;
    a->left_out = 0;
    for (int32_t c = 1; c < classes; c++)
        if (matrix[(int64_t)c * classes + c] > matrix[(int64_t)a->left_out * classes + a->left_out]) a->left_out = c;
    for (int32_t i = 0; i < size; i++) {
        const double *row = matrix + (int64_t)class_of(a, i) * classes;
        double *out = a->factor + (int64_t)i * size;
        for (int32_t j = 0; j <= i; j++) {
            const double *before = a->factor + (int64_t)j * size;
            double value = row[class_of(a, j)];
            if (i == j) value *= 1 + damping;
            const double given = value;
            for (int32_t k = 0; k < j; k++) value -= out[k] * before[k];
            if (i > j)
                out[j] = value / before[j];
            else if (value > 1e-12 * given) /* what the covariance is accurate to, with a digit to spare */
                out[j] = sqrt(value);
            else
                return false;
        }
    }
    return true;
}

/* Solves for a right-hand side of the factor's order, in place. */
static void solve_left(const struct laplacian *a, double *v) {
    const int32_t size = a->classes - 1;
    const double *factor = a->factor;
    for (int32_t i = 0; i < size; i++) {
        for (int32_t j = 0; j < i; j++) v[i] -= factor[(int64_t)i * size + j] * v[j];
        v[i] /= factor[(int64_t)i * size + i];
    }
    for (int32_t i = size - 1; i >= 0; i--) {
        v[i] /= factor[(int64_t)i * size + i];
        for (int32_t j = 0; j < i; j++) v[j] -= factor[(int64_t)i * size + j] * v[i];
    }
}

void laplacian_solve(const struct laplacian *a, const double *right, double *solution) {
    const int32_t size = a->classes - 1;
    double *v = allocate((size_t)size, sizeof *v);
    for (int32_t i = 0; i < size; i++) v[i] = right[class_of(a, i)];
    solve_left(a, v);
    solution[a->left_out] = 0;
    for (int32_t i = 0; i < size; i++) solution[class_of(a, i)] = v[i];
    centre(solution, a->classes);
    free(v);
}

void laplacian_pseudo_inverse(const struct laplacian *a, double *inverse) {
    const int32_t classes = a->classes;
    double *unit = allocate((size_t)classes, sizeof *unit);
    for (int32_t c = 0; c < classes; c++) { /* the pseudo-inverse maps e_c as it maps e_c less its mean */
        for (int32_t d = 0; d < classes; d++) unit[d] = (d == c) - 1.0 / classes;
        laplacian_solve(a, unit, inverse + (int64_t)c * classes);
    }
    free(unit);
}
