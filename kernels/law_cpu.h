/* What the files of the law on the CPU share (law_cpu.c, law_merged_cpu.c). */
#ifndef GURN_LAW_CPU_H
#define GURN_LAW_CPU_H

#include <stdbool.h>

#include "cpu.h"
#include "law.h"
#include "log_prob.h"
#include "moments.h"

#define NODES GURN_CONTOUR_NODES

/* The law at one omega and n, as a thread holds it. Arrays of [C] are padded to whole vectors of classes of size 0. */
typedef struct law_row {
    double *a;             /* log2 omega */
    double *m, *p, *q;     /* class sizes; tilted probabilities */
    double *mean;          /* E x */
    double *pull;          /* scratch: upstream of the mean */
    double *zc_re, *zc_im; /* [C][NODES]: zc_j of every node (covariance), else NULL */
    int32_t classes;
    int32_t n;
    bool ready; /* holds the law of (omega shared, n) */
    bool fixed; /* n = 0 or n = sum m: the counts are certain */
    double total, ell, log_norm;
    gurn_contour contour;
    gurn_node node[NODES];
    double w_re[NODES], w_im[NODES]; /* weights; sum of the real parts 1 */
} law_row;

/* Log-probability of row b under the merged chain. row: scratch, its arrays alone are used. */
double GURN_NAME(law_merged)(const gurn_law_job *job, law_row *row, int64_t b);
/* Its gradients times up: to log omega into row->mean, to x into row->a, by class. */
void GURN_NAME(law_merged_backward)(const gurn_law_job *job, law_row *row, int64_t b, double up);

#endif
