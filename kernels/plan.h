/*
 * The tables of a plan, as every kernel reads them.
 *
 * A draw of class i against the rest R is decided by cost(k) = T_{m_i}(k) + T_{m_R}(r) - k lambda in bits, lambda the base-2 log
 * odds, where T_M(k) = -log2 C(M, k) up to a constant. T_M is symmetric, so T_{m_R}(r) is read as T_{m_R}(j) at
 * j = m_R - n_i + k: both tables are walked forward. There is one table for every distinct M among the m_i and the m_R.
 */
#ifndef GURN_PLAN_H
#define GURN_PLAN_H

#include <stdint.h>

/* Entries that may be read (never used) before index 0 and behind index M of a table: a vector may straddle either end. */
#define GURN_TABLE_PAD 64

/*
 * One table. Pointers are to the entry of index 0.
 *   fixed  T_M in units of 2^-23 bit, modulo 2^32 (so differences up to 256 bits are right): decides float32 draws
 *   wide   T_M in bits, double: float64 draws, given noise, large temperatures, soft mode
 *   psi    digamma(k+1) - digamma(M-k+1), natural: float in a float32 plan, double in a float64 plan
 */
typedef struct gurn_table {
    const int32_t *fixed;
    const double *wide;
    const void *psi;
    int32_t m;
} gurn_table;

/* One step of the chain: the class at this place of the order against all classes at later places. */
typedef struct gurn_step {
    int32_t m;      /* size of the class */
    int32_t m_rest; /* sum of the sizes of later classes */
    gurn_table own, rest;
} gurn_step;

typedef struct gurn_plan_view {
    int32_t classes;
    const gurn_step *steps;  /* [C]; by place in the order */
    const int32_t *order;    /* [C]; the plan's order: class at each place */
    const int64_t *offset;   /* [C + 1]; by class: position in the ragged width */
} gurn_plan_view;

#endif
