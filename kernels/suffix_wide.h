/*
 * The suffix sums of the exact chain (DESIGN 1.1) in double, over their whole support, in C and in CUDA device code:
 * what the general path needs, which looks at every count (given noise, soft mode, large temperatures). With the tilt
 * (tilt.h), lambda_j = log2 omega_j + ell, and constants left out,
 *     A_j(k) = log2 C(m_j, k) + k lambda_j
 *     L_j(r) = log2 sum_k 2^(A_j(k) + L_{j+1}(r - k)),     L of no classes: L(0) = 0,
 * for r = 0..min(n + 1, sum_{l>=j} m_l): n is the most that can be left to draw, and the slope of R at n reaches one
 * beyond.
 *
 * A table is built in panels of consecutive r, in which the sum is an ordinary convolution of scaled numbers. A and L
 * are concave in k and r (each is the coefficient sequence of a polynomial with real roots: Newton's inequalities). So
 *     top(r) = max_k A(k) + L_{j+1}(r - k)
 * is concave too, and found for r = 0, 1, ... in turn by always taking the better of one ball more from either side. A
 * panel takes in as many r as keep top within GURN_PANEL_SAG of its chord; tilted so that the chord is level,
 *     2^(A(k) - A(k_c) + (k - k_c) slope)  and  2^(L(q) - L(q_c) + (q - q_c) slope)
 * are at most 1 (at the r_c = k_c + q_c where top is highest above the chord), and every term that is within
 * 2^-GURN_PANEL_BITS of the largest of its sum is the product of two normal numbers. One r alone has no sag, so that
 * panels exist for every omega. Terms are added from the lowest k up, those of 16 consecutive r over the same k, with
 * fma: tables have the same bits everywhere.
 */
#ifndef GURN_SUFFIX_WIDE_H
#define GURN_SUFFIX_WIDE_H

#include "mvhg.h"
#include "tilt.h"

#define GURN_L(name) s_##name
#include "suffix_wide_lanes.h"
#undef GURN_L

#define GURN_PANEL_SAG 900.0
#define GURN_PANEL_BITS 60.0
#define GURN_PANEL_BLOCK 16

/* ------------------------------------------------------------------------------------------------------ tables --- */

/* Largest r of a table of classes with `balls` balls, under n. */
GURN_FN int32_t gurn_wide_last(int64_t balls, int32_t n) {
    return balls < (int64_t)n + 1 ? (int32_t)balls : (int32_t)((int64_t)n + 1);
}

/* n that the tilt is for: where all or nothing is drawn any tilt will do, and half a ball less or more has one. */
GURN_FN double gurn_wide_drawn(int32_t n, double total) {
    return n < 1 ? 0.5 : (double)n == total ? total - 0.5 : (double)n;
}

/* Count at which A_j is 0: near its mode, so that what matters is small and keeps its bits. */
GURN_FN int32_t gurn_wide_centre(int32_t m, double p) { return (int32_t)((double)m * p); }
GURN_FN double gurn_wide_own(const double *own, int32_t centre, double lambda, int32_t k) {
    return fma((double)(k - centre), lambda, own[centre] - own[k]);
}

/* A class folded into the table of those after it; both -infinity behind their ends. */
typedef struct gurn_fold {
    const double *own, *rest;       /* A(k), k = 0..last_k; L(q) of the later classes, q = 0..last_q */
    int32_t last_k, last_q, last_r; /* of the table to be made */
} gurn_fold;
GURN_FN gurn_fold gurn_fold_of(const gurn_step *step, int32_t n, const double *own, const double *rest) {
    gurn_fold f = {own, rest, gurn_wide_last(step->m, n), gurn_wide_last(step->m_rest, n),
                   gurn_wide_last((int64_t)step->m + step->m_rest, n)};
    return f;
}

/* Whether the ball after k of the class and q of the rest is better taken from the class. */
GURN_FN int gurn_fold_takes(const gurn_fold *f, int32_t k, int32_t q) {
    return f->own[k + 1] + f->rest[q] > f->own[k] + f->rest[q + 1];
}

/*
 * A panel: entries first..last of the table, tilted by slope; its highest entry above the chord is peak, with k of the
 * class and q of the rest. centre: what log2 of a panel's sum at the peak is counted from.
 */
typedef struct gurn_panel {
    int32_t first, last, peak, k, q, blocks;
    double slope, centre;
} gurn_panel;

/* The panel that begins at entry `first`. top(r), and best(r), the k that it is reached with, are known. */
GURN_FN gurn_panel gurn_panel_choose(const gurn_fold *f, const double *top, const int32_t *best, int32_t first) {
    gurn_panel p = {first, f->last_r, first, 0, 0, 0, 0.0, 0.0};
    for (;; p.last = first + (p.last - first) / 2) {
        p.slope = p.last > first ? (top[first] - top[p.last]) / (double)(p.last - first) : 0.0;
        int32_t low = first, high = p.last; /* top rises ever less: bisection */
        while (low < high) {
            int32_t middle = low + (high - low) / 2;
            if (top[middle + 1] - top[middle] + p.slope > 0.0)
                low = middle + 1;
            else
                high = middle;
        }
        p.peak = low;
        double sag = top[p.peak] - top[first] + (double)(p.peak - first) * p.slope;
        if (p.last == first || sag <= GURN_PANEL_SAG) break;
    }
    p.k = best[p.peak];
    p.q = p.peak - p.k;
    p.centre = f->own[p.k] + f->rest[p.q];
    p.blocks = (p.last - first) / GURN_PANEL_BLOCK + 1;
    return p;
}

/*
 * Which k matter for a block: from the first of its first entry r, to the last of its last entry r, that is within
 * GURN_PANEL_BITS of the best. Terms fall on both sides of the best: bisection.
 */
GURN_FN int32_t gurn_panel_low(const gurn_fold *f, const double *top, const int32_t *best, int32_t r) {
    int32_t low = r > f->last_q ? r - f->last_q : 0, high = best[r];
    double least = top[r] - GURN_PANEL_BITS;
    while (low < high) {
        int32_t k = low + (high - low) / 2;
        if (f->own[k] + f->rest[r - k] >= least)
            high = k;
        else
            low = k + 1;
    }
    return low;
}
GURN_FN int32_t gurn_panel_high(const gurn_fold *f, const double *top, const int32_t *best, int32_t r) {
    int32_t low = best[r], high = r < f->last_k ? r : f->last_k;
    double least = top[r] - GURN_PANEL_BITS;
    while (low < high) {
        int32_t k = high - (high - low) / 2;
        if (f->own[k] + f->rest[r - k] >= least)
            low = k;
        else
            high = k - 1;
    }
    return low;
}

/* -------------------------------------------------------------------------------------------------------- steps --- */

/* The general path's cost (gurn_cost_wide) in the exact chain; suffix: L of the later classes. */
GURN_FN double gurn_cost_exact(const double *own, const double *suffix, double lambda, int32_t k, int32_t n) {
    return fma(-(double)k, lambda, own[k] - suffix[n - k]);
}

/*
 * Where a real r lies between whole ones: left end and weight of the right end. Beyond 0 and m_R the end pieces go on.
 * m_rest > 0.
 */
typedef struct gurn_piece {
    int32_t left;
    double weight;
} gurn_piece;
GURN_FN gurn_piece gurn_piece_of(int32_t m_rest, double r) {
    gurn_piece p;
    p.left = s_index_between(r, 0, m_rest - 1);
    p.weight = r - (double)p.left;
    return p;
}

/*
 * Soft mode: R(r) = log S(r) - log C(m_R, r) is linear between whole r, the Gamma terms are as they stand, at r = n - k
 * real. Together that is log S interpolated, and what Gamma bends away from its own interpolation (0 at whole r).
 */
GURN_FN double gurn_cost_exact_soft(const double *own, const double *suffix, int32_t m_rest, double lambda, int32_t k,
                                    double n) {
    gurn_piece at = gurn_piece_of(m_rest, n - (double)k);
    double log2_s = fma(at.weight, suffix[at.left + 1] - suffix[at.left], suffix[at.left]);
    double bend = gurn_log2_gamma_bend((double)at.left + 1.0, at.weight) +
                  gurn_log2_gamma_bend((double)(m_rest - at.left), 1.0 - at.weight);
    return fma(-(double)k, lambda, own[k] - log2_s + bend);
}
/*
 * dR/dr, natural: the slope of the piece; at whole r that of both sides' mean. d(logit)/dn adds gurn_cost_soft_psi.
 * m_rest > 0.
 */
GURN_FN double gurn_rest_slope(const double *suffix, int32_t m_rest, double r) {
    gurn_piece at = gurn_piece_of(m_rest, r);
    double a = at.left, m = m_rest;
    double slope = suffix[at.left + 1] - suffix[at.left] + s_log2_64((a + 1.0) / (m - a));
    if (at.weight == 0.0 && at.left > 0)
        slope = 0.5 * (slope + suffix[at.left] - suffix[at.left - 1] + s_log2_64(a / (m - a + 1.0)));
    return slope * GURN_LN2;
}

/*
 * The gradient through R. With A_i(r) = d / d log S_i(r) from the steps' logits, from the first table to the last
 *     A_{j+1}(q) += sum_k A_j(q + k) 2^(A_j(k) + L_{j+1}(q) - L_j(q + k)),
 *     d / d log omega_j += sum_r A_j(r) E[X_j | sum_{>=j} X = r] = sum_r r A_j(r) - sum_q q (what j adds there):
 * balls are taken from class j or from later ones. A step's logits have sum_k dlogit_k = 0, so the sums of A are 0 as
 * well, and r and q may be counted from anywhere.
 */

#endif
