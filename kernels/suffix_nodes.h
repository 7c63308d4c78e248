/*
 * Suffix tables from a few sums, in C and in CUDA device code: what makes the exact chain cheap where every row has an
 * omega of its own.
 *
 * Beside C(M, r), the number of ways to leave r of M balls, S_i(r) is smooth: log2 S_i(r) + T_M(r) is a straight line when
 * all omega are equal (merged into one class, [MVHG] Eq. 3), and otherwise bends on the scale of the whole urn, not of a
 * window. So it is summed at GURN_SUFFIX_NODES entries only, the same distance apart, and Newton's polynomial through
 * those gives the others. The last differences tell whether that is right: they must be as small as rounding leaves
 * them, else (odds far apart in a small urn) every entry is summed. As accepted, what is left out is below 1e-6 where a
 * count is likely, and below 1e-4 where it is not (tests/test_suffix.cpp).
 *
 * All of it is whole numbers, and exactly rounded floats in a fixed order, as in suffix.h. The sum at a node has 16
 * strided partial sums, k = own_low + l modulo 16, each from 0 by fma upwards, added up by halves.
 */
#ifndef GURN_SUFFIX_NODES_H
#define GURN_SUFFIX_NODES_H

#include "suffix.h"

#define GURN_SUFFIX_NODES_ROOM 16 /* of arrays, for vectors */
/* Fewer entries than this are all summed. */
#define GURN_SUFFIX_NODES_LEAST 64
/*
 * The last difference is less than this, in units of 2^-23 bit, for rounding leaves 300 at most; the two before than 16
 * times that; and all others, and what is differenced, than GURN_SUFFIX_BENT, so that none overflows. Nor does the
 * polynomial, which between the nodes is at most 12 times as large as there, and is looked at at the table's ends.
 */
#define GURN_SUFFIX_ROUGH 512
#define GURN_SUFFIX_BENT (1 << 27)

/* -log2 S of entry j of a table is reference[j] + base + slope j + polynomial, in units of 2^-23 bit modulo 2^32. */
typedef struct gurn_suffix_nodes {
    int32_t first, apart; /* entry of node 0, and from each to the next */
    int32_t base, slope;
    float inverse;                            /* 1 / apart */
    float difference[GURN_SUFFIX_NODES_ROOM]; /* [0] is 0 */
} gurn_suffix_nodes;

/*
 * Where the nodes of a table of so many entries stand: half of `apart` in from its ends, for sums at the very ends lack
 * what comes from beyond the next window.
 */
GURN_FN gurn_suffix_nodes gurn_suffix_nodes_of(int32_t count) {
    gurn_suffix_nodes n;
    n.base = n.slope = 0;
    n.apart = count / GURN_SUFFIX_NODES;
    n.first = (count - 1 - n.apart * (GURN_SUFFIX_NODES - 1)) / 2;
    n.inverse = 1.0f / (float)n.apart;
    return n;
}

/* |d| < most */
GURN_FN bool gurn_suffix_within(int32_t d, int32_t most) {
    return (uint32_t)d + (uint32_t)most - 1 < 2 * (uint32_t)most - 1;
}

/*
 * The slope of the line through two nodes that differ by `rise` modulo 2^32, which is 512 bits: more than that lie between nodes of
 * a wide table. The sums of nodes next to each other differ by 60 bits at most, so the line falls as the reference rises, within
 * a few dozen bits; and the reference rises at the same rate between the two nodes, or nearly so. middle: of the reference there.
 */
GURN_FN int32_t gurn_suffix_nodes_slope(int32_t rise, const gurn_suffix_nodes *n, const int32_t *middle) {
    float expected = (float)(int32_t)((uint32_t)middle[0] - (uint32_t)middle[1]) * (float)n->apart;
    float turns = (expected - (float)rise) * 0x1p-32f;
    float whole = (float)s_truncate32(turns + (turns < 0.0f ? -0.5f : 0.5f));
    return s_truncate32(((float)rise + whole * 0x1p32f) * n->inverse);
}

/*
 * The polynomial through the logarithms of the sums at the nodes (s_log2_fixed) of a table of count entries. reference:
 * T_M of entry 0 and on.
 * *exponent: that of gurn_suffix; the largest entry is a little more than that of the nodes. False: it can not be
 * trusted.
 */
GURN_FN bool gurn_suffix_nodes_fit(gurn_suffix_nodes *n, int32_t count, const int32_t *log2_sum,
                                   const int32_t *reference, int32_t *exponent) {
    const int32_t last = GURN_SUFFIX_NODES - 1, middle = last / 2;
    int32_t largest = log2_sum[0], least = log2_sum[0];
    for (int32_t t = 1; t <= last; t++) {
        largest = log2_sum[t] > largest ? log2_sum[t] : largest;
        least = log2_sum[t] < least ? log2_sum[t] : least;
    }
    if (least < -(100 << 23)) return false; /* 0, or too small to be trusted */
    *exponent = (largest >> 23) - GURN_SUFFIX_EXPONENT;
    /* Beside the reference, and beside a line through the two nodes in the middle */
    uint32_t y[GURN_SUFFIX_NODES];
    for (int32_t t = 0; t <= last; t++)
        y[t] = ((uint32_t)*exponent << 23) - (uint32_t)log2_sum[t] - (uint32_t)reference[n->first + t * n->apart];
    n->slope = gurn_suffix_nodes_slope((int32_t)(y[middle + 1] - y[middle]), n,
                                       reference + n->first + middle * n->apart + n->apart / 2);
    n->base = (int32_t)(y[0] - (uint32_t)n->first * (uint32_t)n->slope);
    int32_t d[GURN_SUFFIX_NODES];
    uint32_t step = (uint32_t)n->apart * (uint32_t)n->slope;
    for (int32_t t = 0; t <= last; t++) {
        d[t] = (int32_t)(y[t] - y[0] - (uint32_t)t * step);
        if (!gurn_suffix_within(d[t], GURN_SUFFIX_BENT)) return false;
    }
    /* Checked one by one: straight-line code waits less for a sum than vectors of it would. */
    for (int32_t l = 1; l <= last; l++)
        for (int32_t t = last; t >= l; t--) {
            int32_t most = l == last ? GURN_SUFFIX_ROUGH : l == last - 1 ? 16 * GURN_SUFFIX_ROUGH : GURN_SUFFIX_BENT;
            d[t] -= d[t - 1];
            if (!gurn_suffix_within(d[t], most)) return false;
        }
    for (int32_t t = 0; t <= last; t++) n->difference[t] = (float)d[t];
    float low = s_suffix_polynomial((float)-n->first * n->inverse, n->difference);
    float high = s_suffix_polynomial((float)(count - 1 - n->first) * n->inverse, n->difference);
    return fabsf(low) < 0x1p30f && fabsf(high) < 0x1p30f;
}

/* 1 / prod_{s != t} (t - s): what makes Lagrange's polynomial of node t, x in units of apart from node 0. */
GURN_FN float gurn_suffix_nodes_weight(int t) {
    float product = 1.0f;
    for (int s = 0; s < GURN_SUFFIX_NODES; s++)
        if (s != t) product *= (float)(t - s);
    return 1.0f / product;
}

#endif
