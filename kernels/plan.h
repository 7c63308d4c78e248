/*
 * The tables of a plan, as every kernel reads them.
 *
 * A draw of class i against the rest R is decided by cost(k) = T_{m_i}(k) + T_{m_R}(r) - k lambda in bits, lambda the
 * base-2 log odds, where T_M(k) = -log2 C(M, k) up to a constant. T_M is symmetric, so T_{m_R}(r) is read as T_{m_R}(j)
 * at j = m_R - n_i + k: both tables are walked forward. There is one table for every distinct M among the m_i and the
 * m_R.
 */
#ifndef GURN_PLAN_H
#define GURN_PLAN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Entries that may be read (never used) before index 0 and behind index M of a table: a vector may straddle either end.
 */
#define GURN_TABLE_PAD 64

/*
 * One table. Pointers are to the entry of index 0.
 *   fixed  T_M in units of 2^-23 bit, modulo 2^32 (so differences up to 256 bits are right): decides float32 draws
 *   wide   T_M in bits, double: float64 draws, given noise, large temperatures
 *   psi    digamma(k+1) - digamma(M-k+1), natural: float in a float32 plan, double in a float64 plan
 */
typedef struct gurn_table {
    const int32_t *fixed;
    const double *wide;
    const void *psi;
    int64_t m;
} gurn_table;

/*
 * T_M of M = m + m_rest, what this and all later classes have together, for r = 0..top, laid out downwards: entry j is of
 * r = top - j. In units of 2^-23 bit modulo 2^32, up to a constant. What suffix sums are smooth beside (suffix_nodes.h).
 */
typedef struct gurn_left_table {
    const int32_t *fixed; /* NULL: there is none */
    int64_t top;
} gurn_left_table;

/* The most entries that a plan has of them; with more it has none. */
#define GURN_LEFT_ENTRIES ((size_t)1 << 24)

/* One step of the chain: the class at this place of the order against all classes at later places. */
typedef struct gurn_step {
    int32_t m;            /* size of the class */
    int32_t m_rest;       /* sum of the sizes of later classes; 0 at the last place */
    double log2_m;        /* log2 m, 0 when m = 0 */
    double log2_m_rest;   /* log2 m_rest, 0 when m_rest = 0 */
    gurn_table own, rest; /* rest has NULL pointers in a plan of the exact chain, whose rest depends on omega */
    gurn_left_table left; /* exact chain in float32, places that have a suffix table which is no class's own */
} gurn_step;

typedef struct gurn_plan_view {
    int32_t classes;
    const gurn_step *steps; /* [C]; by place in the order */
    const int32_t *order;   /* [C]; the plan's order: class at each place */
    const int64_t *offset;  /* [C + 1]; by class: position in the ragged width */
} gurn_plan_view;

/*
 * Lays out and fills the tables of an urn in one block of memory.
 *   m[C]       class sizes, by class; order[C]: class at each place
 *   with_rest  whether tables of the m_rest are wanted (merged chain)
 *   n_max      the most that is drawn
 *   psi_size   sizeof(float) or sizeof(double); 0: no tables at all, their pointers are NULL
 *   storage    NULL: only *bytes is computed; else *bytes bytes aligned to 64, filled, and *view points into it
 * Returns 0, or -1 when the memory for its scratch (O(C)) is not to be had or the size overflows.
 */
int gurn_plan_fill(int32_t classes, const int32_t *m, const int32_t *order, int with_rest, int32_t n_max,
                   size_t psi_size, void *storage, size_t *bytes, gurn_plan_view *view);

/*
 * The same view with its pointers moved from one copy of the block to another: steps_out[C] receives the moved steps.
 */
gurn_plan_view gurn_plan_rebase(const gurn_plan_view *view, const void *from, const void *to, gurn_step *steps_out);

#ifdef __cplusplus
}
#endif

#endif
