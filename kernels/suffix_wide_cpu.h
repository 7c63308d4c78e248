/* The tables of suffix_wide.h on the CPU: what holds them, what makes them, and the adjoint sweep through them. */
#ifndef GURN_SUFFIX_WIDE_CPU_H
#define GURN_SUFFIX_WIDE_CPU_H

#include <stdbool.h>

#include "cpu.h"
#include "suffix_wide.h"

/* Tables of one omega and n. */
typedef struct gurn_wide_suffix {
    int32_t n;       /* what they were built for */
    int32_t ready;   /* whether they were */
    int64_t stride;  /* entries from one table to the next */
    double *lambda;  /* [C], by place */
    int32_t *centre; /* [C], by place: gurn_wide_centre */
    double *table;   /* [C - 1][stride]: at i, L of the classes after place i, if they have balls; -infinity behind */
} gurn_wide_suffix;

/* A thread's scratch for one class at a time; `width` r, `counts` k at most. */
typedef struct gurn_wide_work {
    double *a, *m, *p, *q; /* [C], padded: the tilt */
    double *own;           /* [counts + 1]: A(k), -infinity behind the last */
    double *weight;        /* [counts]: the panel's 2^A */
    double *top;           /* [width] */
    int32_t *best;         /* [width]: the k that top is reached with */
    int32_t *low, *high;   /* [width / GURN_PANEL_BLOCK + 1]: the k of each block of a panel */
    double *rest;          /* the panel's 2^L, [width] with room for a block before and two behind */
    double *pull;          /* backward: the panel's adjoint, laid out as rest */
} gurn_wide_work;

/* Adjoint of the tables: d / d log S, entries first[i]..last[i] of table i are not 0 (first > last: none). */
typedef struct gurn_wide_adjoint {
    double *table; /* [C - 1][stride] */
    int32_t *first, *last;
} gurn_wide_adjoint;

/* Bytes of each, laid out at p when it is not NULL; job: the call, with the plan's sizes. */
size_t GURN_NAME(wide_tables)(const gurn_mvhg_job *job, char *p, gurn_wide_suffix *tables);
size_t GURN_NAME(wide_work)(const gurn_mvhg_job *job, bool backward, char *p, gurn_wide_work *work);
size_t GURN_NAME(wide_adjoint)(const gurn_mvhg_job *job, char *p, gurn_wide_adjoint *adjoint); /* and sets it to 0 */

/* Builds the tables of row b's omega, for n balls; job: with the row's urn (omega.h). */
void GURN_NAME(wide_build)(const gurn_mvhg_job *job, int64_t b, int32_t n, gurn_wide_suffix *tables,
                           const gurn_wide_work *work);
/* Adds to log_omega[C], by class, what the adjoint sends there, and sets the adjoint back to 0; job: as wide_build had it. */
void GURN_NAME(wide_sweep)(const gurn_mvhg_job *job, const gurn_wide_suffix *tables, gurn_wide_adjoint *adjoint,
                           const gurn_wide_work *work, double *log_omega);

/* The table that a step at this place reads. */
GURN_FN const double *gurn_wide_after(const gurn_wide_suffix *t, int32_t place) { return t->table + place * t->stride; }

#endif
