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
    double *m;         /* class sizes; 0 where omega is 0 */
    double *log_omega; /* as it counts (moments.h) */
    double *a;         /* log2 of omega over the largest */
    double *p, *q;     /* tilted probabilities, and the rest of gurn_odds */
    double *low, *lambda, *log_more;
    double *mean;          /* E x */
    double *moved;         /* E_w z, what mean has above m p */
    double *pull;          /* scratch: what the covariance is multiplied by */
    double *change;        /* of the other law of a divergence: mean' - mean */
    double *zc_re, *zc_im; /* [C][NODES]: zc_j of every node (covariance), else NULL */
    int32_t classes;
    int32_t n;
    bool ready;    /* holds the law of (omega shared, n) */
    bool fixed;    /* n = 0 or n = sum m: there is no tilt */
    bool certain;  /* there is one x: fixed, or one class with balls */
    bool compared; /* kl, a (cov d) and the other law's change are those of (both omega shared, n) */
    double total, log_q, log_norm;
    double variance, off; /* under the tilt: of the sum; n - its mean */
    double kl;            /* from this law to the other one */
    gurn_law_tilt tilt;
    int32_t largest; /* the class with more than half of the variance; -1 if there is none */
    gurn_contour contour;
    double node[4][NODES];                       /* t, sin t, 1 - cos t, sin t - t */
    double w_re[NODES], w_im[NODES];             /* weights; sum of the real parts 1 */
    double z_re[NODES], z_im[NODES];             /* sum of zc over the classes but `largest` */
    double largest_re[NODES], largest_im[NODES]; /* zc of that one, 0 if there is none */
} law_row;

/* Log-probability of row b under the merged chain. row: scratch, its arrays alone are used. */
double GURN_NAME(law_merged)(const gurn_law_job *job, law_row *row, int64_t b);
/* Its gradients times up: to log omega into row->mean, to x into row->a, by class. */
void GURN_NAME(law_merged_backward)(const gurn_law_job *job, law_row *row, int64_t b, double up);

#endif
