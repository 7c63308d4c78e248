/*
 * Maximum likelihood of log omega from observed counts, under the law of [MVHG] Eq. 1 itself.
 *
 * With T = sum over rows of x, the log-likelihood T . log omega - sum over rows of log P0(log omega; n) + constant is concave, with
 * gradient T - sum of means and Hessian - sum of covariances, all exact (gurn_mvhg_moments_forward); rows of equal n share them.
 * Newton's method, with a cap on the step and backtracking, so that no step lowers the likelihood. Omega is known up to a factor,
 * since rows have a given sum: log omega has sum 0, and laplacian.c solves for such steps. Where the likelihood has no maximum,
 * separation.c divides the classes into groups that have one, or of which the data say nothing, and each is fitted by itself.
 *
 * The start is log(p / (1 - p)) of the share p of a class's balls that was drawn: rows are nearly those of independent binomials
 * with such odds, which makes three to six steps enough. A start given by the user is taken no further from it than
 * FURTHEST_START, and than where the covariance still has digits: as far as anyone can go, since the maximum is near.
 */
#define _POSIX_C_SOURCE 200809L
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

#define MOST_STEPS 100
#define FURTHEST_START 20.0
#define FIRST_DAMPING 1e-10
#define LARGEST_STEP 5.0 /* of a log omega from the mean, at once */
/* In standard errors: how far the maximum is at most, where the likelihood is close to a parabola, before a last full step. */
#define CLOSE_ENOUGH 1e-6
#define CHUNK_VALUES (1 << 20)

/* One group of classes: the rows, cut down to it. */
struct group {
    struct law law;
    int32_t classes;
    int32_t *index; /* [classes]: position in the whole urn */
    int32_t *m;
    int64_t rows;
    int32_t *x, *n;  /* [rows][classes], [rows] */
    double *total;   /* [classes]: sum of x */
    int32_t *values; /* the different n, and the number of rows of each */
    double *weights;
    int64_t value_count;
};

/* The log-likelihood, less its constant, and what belongs to a point. */
struct point {
    double *log_omega, *mean, *gradient, *information; /* sums over rows; information [classes][classes] */
    double value, rounding;
};

static int ascending(const void *a, const void *b) {
    const int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

static void count_values(struct group *group) {
    int32_t *sorted = allocate((size_t)group->rows, sizeof *sorted);
    memcpy(sorted, group->n, (size_t)group->rows * sizeof *sorted);
    qsort(sorted, (size_t)group->rows, sizeof *sorted, ascending);
    group->values = allocate((size_t)group->rows, sizeof *group->values);
    group->weights = allocate((size_t)group->rows, sizeof *group->weights);
    group->value_count = 0;
    for (int64_t r = 0; r < group->rows; r++) {
        if (r == 0 || sorted[r] != sorted[r - 1]) group->values[group->value_count++] = sorted[r];
        group->weights[group->value_count - 1]++;
    }
    free(sorted);
}

static void group_open(struct group *group, const struct counts *counts, const struct urn *urn,
                       const struct mle_result *result, int32_t name) {
    memset(group, 0, sizeof *group);
    group->m = allocate((size_t)urn->classes, sizeof *group->m);
    group->index = allocate((size_t)urn->classes, sizeof *group->index);
    for (int32_t c = 0; c < urn->classes; c++) {
        if (result->group[c] != name) continue;
        group->m[group->classes] = urn->m[c];
        group->index[group->classes++] = c;
    }
    group->rows = counts->rows;
    group->x = allocate((size_t)group->rows * (size_t)group->classes, sizeof *group->x);
    group->n = allocate((size_t)group->rows, sizeof *group->n);
    group->total = allocate((size_t)group->classes, sizeof *group->total);
    int32_t n_max = 0;
    for (int64_t r = 0; r < group->rows; r++) {
        for (int32_t i = 0; i < group->classes; i++) {
            const int32_t x = counts->x[r * counts->classes + group->index[i]];
            group->x[r * group->classes + i] = x;
            group->n[r] += x;
            group->total[i] += x;
        }
        n_max = group->n[r] > n_max ? group->n[r] : n_max;
    }
    count_values(group);
    struct urn part = *urn;
    part.m = group->m;
    part.classes = group->classes;
    if (urn->threads == 0 && group->value_count * group->classes < SMALL_STEP) part.threads = 1;
    law_open(&group->law, &part, n_max);
}

static void group_close(struct group *group) {
    law_close(&group->law);
    free(group->index);
    free(group->m);
    free(group->x);
    free(group->n);
    free(group->total);
    free(group->values);
    free(group->weights);
}

static struct point new_point(int32_t classes) {
    const size_t count = (size_t)classes;
    struct point point = {.log_omega = allocate(count, sizeof(double)),
                          .mean = allocate(count, sizeof(double)),
                          .gradient = allocate(count, sizeof(double)),
                          .information = allocate(count * count, sizeof(double))};
    return point;
}

static void free_point(struct point *point) {
    free(point->log_omega);
    free(point->mean);
    free(point->gradient);
    free(point->information);
}

static void add_scaled(double *sum, const double *term, double scale, int64_t count) {
    for (int64_t i = 0; i < count; i++) sum[i] += scale * term[i];
}

/* Everything at point->log_omega. */
static void evaluate(const struct group *group, struct point *point) {
    const int64_t classes = group->classes, square = classes * classes;
    int64_t chunk = CHUNK_VALUES / square > 0 ? CHUNK_VALUES / square : 1;
    if (chunk > group->value_count) chunk = group->value_count;
    double *log_norm = allocate((size_t)chunk, sizeof *log_norm);
    double *mean = allocate((size_t)(chunk * classes), sizeof *mean);
    double *covariance = allocate((size_t)(chunk * square), sizeof *covariance);
    point->value = point->rounding = 0;
    memset(point->mean, 0, (size_t)classes * sizeof *point->mean);
    memset(point->information, 0, (size_t)square * sizeof *point->information);
    for (int64_t done = 0, part; done < group->value_count; done += part) {
        part = group->value_count - done < chunk ? group->value_count - done : chunk;
        law_moments(&group->law, point->log_omega, group->values + done, part, log_norm, mean, covariance);
        for (int64_t i = 0; i < part; i++) {
            const double weight = group->weights[done + i];
            point->value -= weight * log_norm[i];
            point->rounding += weight * fabs(log_norm[i]);
            add_scaled(point->mean, mean + i * classes, weight, classes);
            add_scaled(point->information, covariance + i * square, weight, square);
        }
    }
    for (int64_t c = 0; c < classes; c++) {
        point->value += group->total[c] * point->log_omega[c];
        point->rounding += fabs(group->total[c] * point->log_omega[c]);
        point->gradient[c] = group->total[c] - point->mean[c];
    }
    point->rounding *= 1e-12; /* log P0 is right to 1e-13 */
    free(log_norm);
    free(mean);
    free(covariance);
}

/* Newton's direction, and how far the maximum is along it in standard errors: the root of gradient . direction. */
static double newton_direction(const struct point *at, struct laplacian *laplacian, double *direction) {
    double damping = 0, square = 0;
    while (!laplacian_factor(laplacian, at->information, damping)) {
        damping = damping ? 100 * damping : FIRST_DAMPING; /* a start so far out that the covariance has no digits */
        if (!(damping < 1e10)) fail("--method mle: the covariance of the counts is not finite, or 0");
    }
    laplacian_solve(laplacian, at->gradient, direction);
    for (int32_t c = 0; c < laplacian->classes; c++) square += at->gradient[c] * direction[c];
    return sqrt(fmax(square, 0));
}

static void swap_points(struct point *a, struct point *b) {
    const struct point held = *a;
    *a = *b;
    *b = held;
}

static void move(struct point *to, const struct point *from, const double *direction, double step, int32_t classes) {
    for (int32_t c = 0; c < classes; c++) to->log_omega[c] = from->log_omega[c] + step * direction[c];
    centre(to->log_omega, classes);
}

/* Goes along an uphill direction to a point that is higher by a part of what its slope promises; false when there is none. */
static bool climb(const struct group *group, struct point *at, struct point *trial, const double *direction,
                  double distance, double *step) {
    double largest = 0;
    for (int32_t c = 0; c < group->classes; c++) largest = fmax(largest, fabs(direction[c]));
    *step = largest > LARGEST_STEP ? LARGEST_STEP / largest : 1;
    for (int halvings = 0; halvings < 60; halvings++, *step /= 2) {
        move(trial, at, direction, *step, group->classes);
        evaluate(group, trial);
        if (trial->value - at->value >= 1e-4 * *step * distance * distance - at->rounding) {
            swap_points(at, trial);
            return true;
        }
    }
    return false;
}

struct curve {
    struct writer writer;
    bool wanted;
    int32_t name;
    double constant; /* of the log-likelihood: that of groups already fitted, too */
};

static void log_point(struct curve *curve, const struct group *group, const struct point *at, int64_t iteration,
                      double distance, double step, int32_t classes) {
    if (!curve->wanted) return;
    write_text(&curve->writer, "%d,%lld,%.17g,%.9g,%.9g", curve->name, (long long)iteration,
               curve->constant + at->value, distance, step);
    for (int32_t c = 0, i = 0; c < classes; c++) {
        const bool mine = i < group->classes && group->index[i] == c;
        if (mine)
            write_text(&curve->writer, ",%.17g", at->log_omega[i++]);
        else
            write_text(&curve->writer, ",");
    }
    write_text(&curve->writer, "\n");
}

/* The log-likelihood at a point, with its constant. */
static double log_likelihood(const struct law *law, const double *log_omega, const int32_t *x, const int32_t *n,
                             int64_t rows) {
    const int64_t fitting = CHUNK_VALUES / law->classes, chunk = fitting > 0 ? fitting : 1;
    double *log_p = allocate((size_t)(rows < chunk ? rows : chunk), sizeof *log_p), sum = 0;
    for (int64_t done = 0, part; done < rows; done += part) {
        part = rows - done < chunk ? rows - done : chunk;
        law_log_prob(law, log_omega, x + done * law->classes, n + done, part, log_p);
        for (int64_t r = 0; r < part; r++) sum += log_p[r];
    }
    free(log_p);
    return sum;
}

static void fit_group(struct group *group, const double *start, struct curve *curve, struct mle_result *result,
                      int32_t all_classes) {
    const int32_t classes = group->classes;
    struct point at = new_point(classes), trial = new_point(classes);
    struct laplacian laplacian = {.classes = classes,
                                  .factor = allocate((size_t)(classes - 1) * (size_t)(classes - 1), sizeof(double))};
    double *direction = allocate((size_t)classes, sizeof *direction);
    double *own_start = allocate((size_t)classes, sizeof *own_start);
    for (int32_t i = 0; i < classes; i++) {
        const double balls = (double)group->rows * group->m[i];
        own_start[i] = log((group->total[i] + 0.5) / (balls - group->total[i] + 0.5));
    }
    centre(own_start, classes);
    for (int32_t i = 0; start && i < classes; i++) direction[i] = start[group->index[i]];
    if (start) centre(direction, classes);
    /* From the user's start, if the covariance has digits there; else halfway back to the own one, and so on. */
    for (double furthest = FURTHEST_START;; furthest /= 2) {
        for (int32_t i = 0; i < classes; i++)
            at.log_omega[i] = own_start[i] + (start ? fmax(-furthest, fmin(furthest, direction[i] - own_start[i])) : 0);
        centre(at.log_omega, classes);
        evaluate(group, &at);
        if (!start || furthest < 1e-3 || laplacian_factor(&laplacian, at.information, FIRST_DAMPING)) break;
    }
    curve->constant += log_likelihood(&group->law, at.log_omega, group->x, group->n, group->rows) - at.value;

    int64_t iteration = 0;
    double distance = newton_direction(&at, &laplacian, direction), step = 0;
    log_point(curve, group, &at, iteration, distance, step, all_classes);
    while (distance > CLOSE_ENOUGH && iteration < MOST_STEPS && climb(group, &at, &trial, direction, distance, &step)) {
        distance = newton_direction(&at, &laplacian, direction);
        log_point(curve, group, &at, ++iteration, distance, step, all_classes);
    }
    if (distance <= CLOSE_ENOUGH && distance > 0) { /* to the last digit; what is no better there is rounding */
        move(&trial, &at, direction, 1, classes);
        evaluate(group, &trial);
        const double closer = newton_direction(&trial, &laplacian, direction);
        if (closer < distance) {
            swap_points(&at, &trial);
            distance = closer;
            log_point(curve, group, &at, ++iteration, distance, 1, all_classes);
        }
    }
    result->iterations += iteration;
    result->distance = fmax(result->distance, distance);
    curve->constant += at.value;

    double *inverse = allocate((size_t)classes * (size_t)classes, sizeof *inverse);
    const bool known = laplacian_factor(&laplacian, at.information, 0);
    if (known) laplacian_pseudo_inverse(&laplacian, inverse);
    for (int32_t i = 0; i < classes; i++) {
        const int32_t c = group->index[i];
        result->log_omega[c] = at.log_omega[i];
        result->mean[c] = at.mean[i] / (double)group->rows;
        result->standard_error[c] = known ? sqrt(inverse[(int64_t)i * classes + i]) : NAN;
        for (int32_t j = 0; result->covariance && j < classes; j++)
            result->covariance[(int64_t)c * all_classes + group->index[j]] =
                known ? inverse[(int64_t)i * classes + j] : NAN;
    }
    free(inverse);
    free(own_start);
    free(direction);
    free(laplacian.factor);
    free_point(&at);
    free_point(&trial);
}

/* The group whose log omega is reported: the one with most ratios that are known, and then with most balls drawn. */
static int32_t main_group(const struct mle_result *result, const int32_t *sizes, const double *drawn) {
    int32_t best = 0, most = -1;
    for (int32_t g = 0; g < result->groups; g++) {
        const int32_t known = result->twins[g] ? 0 : sizes[g] - 1;
        if (known < most || (known == most && drawn[g] <= drawn[best])) continue;
        best = g;
        most = known;
    }
    return best;
}

void fit_mle(const struct counts *counts, const struct urn *urn, const struct mle_options *options,
             struct mle_result *result) {
    const int32_t classes = urn->classes;
    result->groups = separate(counts, urn->m, result->group, result->twins);
    for (int32_t c = 0; c < classes; c++)
        for (int64_t r = 0; r < counts->rows; r++) result->mean[c] += counts->x[r * classes + c];
    int32_t *sizes = allocate((size_t)result->groups, sizeof *sizes);
    double *drawn = allocate((size_t)result->groups, sizeof *drawn);
    for (int32_t c = 0; c < classes; c++) {
        if (result->group[c] < 0) continue;
        sizes[result->group[c]]++;
        drawn[result->group[c]] += result->mean[c];
    }
    result->main = main_group(result, sizes, drawn);
    for (int32_t g = 0; g < result->groups; g++)
        if (sizes[g] > MLE_MOST_CLASSES && !result->twins[g])
            fail("--method mle: %d classes, more than the %d whose covariance is worth solving for; use --method sgd",
                 sizes[g], MLE_MOST_CLASSES);

    struct curve curve = {.wanted = options->log};
    if (curve.wanted) {
        writer_open(&curve.writer, options->log);
        write_text(&curve.writer, "group,iteration,log_likelihood,distance,step");
        for (int32_t c = 0; c < classes; c++) write_text(&curve.writer, ",log_omega%d", c);
        write_text(&curve.writer, "\n");
    }
    for (int64_t i = 0; result->covariance && i < (int64_t)classes * classes; i++) result->covariance[i] = NAN;
    for (int32_t c = 0; c < classes; c++) { /* of a group of one class, of twins, and of classes without balls */
        const int32_t g = result->group[c];
        result->log_omega[c] = g < 0 || result->twins[g] ? NAN : 0;
        result->standard_error[c] = NAN;
        result->mean[c] /= (double)counts->rows;
    }
    for (curve.name = 0; curve.name < result->groups; curve.name++) {
        /* The counts of one class, and of twins, follow from those of the groups above them. */
        if (sizes[curve.name] < 2 || result->twins[curve.name]) continue;
        struct group group;
        group_open(&group, counts, urn, result, curve.name);
        fit_group(&group, urn->omega_option ? urn->log_omega : NULL, &curve, result, classes);
        group_close(&group);
    }
    if (curve.wanted) writer_close(&curve.writer);
    result->log_likelihood = curve.constant;
    result->converged = result->distance <= CLOSE_ENOUGH;

    struct law law;
    double *equal = allocate((size_t)classes, sizeof *equal);
    law_open(&law, urn, counts->n_max);
    result->log_likelihood_equal = log_likelihood(&law, equal, counts->x, counts->n, counts->rows);
    law_close(&law);
    free(equal);
    free(drawn);
    free(sizes);
}
