/*
 * Suffix sums: the tables behind the exact chain and the plain draws, in C and in CUDA device code.
 *
 * The law. Under the tilt (tilt.h) the counts are independent X_j ~ Binomial(m_j, p_j) given sum X_j = n. With the
 * suffix sums
 *     S_i(r) = P(sum_{j >= i} X_j = r) = sum_k b_i(k) S_{i+1}(r - k),     b_i(k) = P(X_i = k),     up to a factor each,
 * the law of x_i given the counts before it is P(x_i = k) = b_i(k) S_{i+1}(n_i - k) / S_i(n_i): the chain of Eq. 7 in
 * [MVHG] with R_i(r) = log S_{i+1}(r) - log C(m_R, r) is Eq. 1 itself, in any order of the classes. In bits (mvhg.h)
 *     cost_i(k) = T_{m_i}(k) - k lambda_i + Rest(n_i - k),  Rest(r) = -log2 S_{i+1}(r), lambda_i = log2 omega_i + ell,
 * which is the form of a merged step: the same sweeps serve both chains. (The tilt adds n_i ell, which is the same for
 * every k.)
 *
 * Windows. S_i is held for low_i <= r <= high_i only. The chance that n_i ever leaves its window, or a count its own,
 * is below 2^-bits (proof in suffix_lanes.h: 4 C events, each of which has at most 2^-bits / 4 C), and what is left is
 * the law given that it does not happen, as every count leads from a window into the next: own_low_i + low_{i+1} <=
 * low_i, and so on. (Where P(n_i = r) is itself small S_i(r) is not quite what its name says, for the sum lacks what
 * comes from beyond the next window: relative errors are up to 2^-bits / P(n_i = r).) A race, whose noise has 32 bits,
 * can not tell the law from one that is 2^-GURN_SUFFIX_RACE_BITS away; plain draws have uniforms of 53 bits. Backward
 * may need more, for a relaxed weight 2^-24 of the winner's comes from a count 24 tau bits less likely: there is room for
 * that beside a draw of 2^-GURN_SUFFIX_RELAXED_BITS, and for the larger weights beside one that is less likely. Besides,
 * entries less than 2^-112 of the largest b_i, or 2^-120 of the largest S_i, are left out: no float is denormal, and
 * the costs of any two counts of a step differ by less than the 256 bits that fixed-point arithmetic modulo 2^32 can
 * tell.
 *
 * Everything that decides is exactly rounded arithmetic in a fixed order, whatever the vector width: a table has one
 * output per lane, each summed over k from own_low upwards in groups of GURN_SUFFIX_GROUP, each group from 0 by fma,
 * and the groups added in order. (Groups keep the rounding error of long sums small, and may be summed side by side.) So
 * the tables have the same bits on all devices, and x the same bits whether omega is given once or with every row.
 *
 * Tables are laid out downwards: entry j of table i is of r = top_i - j, so that at a step they are read at k, as all
 * other tables are, from entry top_{i+1} - n_i on.
 */
#ifndef GURN_SUFFIX_H
#define GURN_SUFFIX_H

#include "mvhg.h"
#include "tilt.h"

#define GURN_SUFFIX_RACE_BITS 44.0
#define GURN_SUFFIX_PLAIN_BITS 60.0
#define GURN_SUFFIX_RELAXED_BITS 20.0
#define GURN_SUFFIX_GROUP 16
/* Entries of a table that are summed where it is smooth (suffix_nodes.h) */
#define GURN_SUFFIX_NODES 8
/* Windows hold one number more on either side, where S has it: the slope of log S is taken from both neighbours. */
#define GURN_SUFFIX_MARGIN 1
/* Zeros on either side of a table: a block of lanes may straddle its ends. */
#define GURN_SUFFIX_PAD 80
/* Log odds are held to this (what it changes has probability 2^-100), and b_i to 2^-112 of its mode */
#define GURN_SUFFIX_LAMBDA 100.0
#define GURN_SUFFIX_OWN_BITS 112.0
/* S_i is scaled by a power of two so that its largest entry, or node, is in [2^110, 2^111), and held from 2^-10 on. */
#define GURN_SUFFIX_EXPONENT 110
#define GURN_SUFFIX_LEAST 0x1p-10f
#define GURN_SUFFIX_LEAST_COST (10 << 23)

#define GURN_L(name) s_##name
#include "suffix_lanes.h"
#undef GURN_L

/* One place of the order, under one omega and n. */
typedef struct gurn_suffix {
    double lambda;                   /* log2 odds of a ball of the class under the tilt */
    int64_t fixed_lambda;            /* the same in units of 2^-47 bit */
    double mean, variance;           /* of the class's own count: m p, m p q */
    double mean_left, variance_left; /* of the sum over this and all later places */
    double share;                    /* variance / variance_left */
    double reach;                    /* how far from its mean that sum may go (suffix_lanes.h) */
    int32_t own_low, own_high;       /* counts of the class that are kept */
    int32_t low, high;               /* window of S_i */
    int32_t top;                     /* entry j of the table is of r = top - j; top >= high */
    int32_t exponent;                /* S_i(r) = 2^-exponent sum_k b_i(k) S_{i+1}(r - k) */
    int32_t apart;                   /* entries from node to node (suffix_nodes.h); 0: every entry was summed */
    int64_t begin;                   /* where entry 0 of its table stands in the row's tables */
} gurn_suffix;

/*
 * Bits that each of the 4 C events is given, from those of all. tau: of the relaxed values that are wanted, 0 when only
 * draws are.
 */
GURN_FN double gurn_suffix_bits(double bits, int32_t classes, double tau) {
    double relaxed = GURN_SUFFIX_RELAXED_BITS + 24.0 * tau;
    return (relaxed > bits ? relaxed : bits) + 2.0 + s_log2_64(classes);
}
GURN_FN double gurn_suffix_lambda(double a, double ell) {
    double lambda = a + ell;
    return lambda > GURN_SUFFIX_LAMBDA    ? GURN_SUFFIX_LAMBDA
           : lambda < -GURN_SUFFIX_LAMBDA ? -GURN_SUFFIX_LAMBDA
                                          : lambda;
}

/* k lambda in units of 2^-23 bit modulo 2^32, rounded: gurn_linear without its error, for tables. */
GURN_FN uint32_t gurn_linear_exact(int64_t lambda, int64_t k) {
    return (uint32_t)(((uint64_t)k * (uint64_t)lambda + (1u << 23)) >> 24);
}

GURN_FN int32_t gurn_suffix_clamp(double x, int32_t low, int32_t high) { return s_index_between(x, low, high); }

/* A count near the mode of b_i; p = mean / m. */
GURN_FN int32_t gurn_suffix_own_mode(const gurn_suffix *s, int32_t m) {
    return gurn_suffix_clamp(m > 0 ? s->mean + s->mean / m : 0.0, 0, m);
}

/*
 * b_i(k) in float, 2^-cost: cost in units of 2^-23 bit from a reference of whole bits at the mode, so that it is between
 * 1/2 and 1 there.
 */
GURN_FN uint32_t gurn_suffix_own_reference(const gurn_suffix *s, const int32_t *own, int32_t m) {
    int32_t mode = gurn_suffix_own_mode(s, m);
    return ((uint32_t)own[mode] - gurn_linear_exact(s->fixed_lambda, mode)) & 0xFF800000u;
}
GURN_FN int32_t gurn_suffix_own_cost(const gurn_suffix *s, const int32_t *own, uint32_t reference, int32_t k) {
    return (int32_t)((uint32_t)own[k] - gurn_linear_exact(s->fixed_lambda, k) - reference);
}
GURN_FN float gurn_suffix_own_weight(const gurn_suffix *s, const int32_t *own, uint32_t reference, int32_t k) {
    return s_exp2_fixed(-gurn_suffix_own_cost(s, own, reference, k));
}

/*
 * Own counts that are kept, from their reach (suffix_lanes.h: this class inside, all others outside); lambda and mean
 * are set. wide: T_m of plan.h. b_i is log-concave, so that the bound on it is met by bisection.
 */
GURN_FN void gurn_suffix_own_window(gurn_suffix *s, const double *wide, int32_t m, int32_t n, double reach) {
    int32_t most = m < n + GURN_SUFFIX_MARGIN ? m : n + GURN_SUFFIX_MARGIN, mode = gurn_suffix_own_mode(s, m);
    mode = mode < most ? mode : most;
    int32_t low = gurn_suffix_clamp(ceil(s->mean - reach), 0, mode);
    int32_t high = gurn_suffix_clamp(s->mean + reach, mode, most);
    double limit = fma(-(double)mode, s->lambda, wide[mode]) + GURN_SUFFIX_OWN_BITS;
    int32_t kept = mode;
    if (fma(-(double)low, s->lambda, wide[low]) > limit) {
        while (kept - low > 1) {
            int32_t k = low + (kept - low) / 2;
            if (fma(-(double)k, s->lambda, wide[k]) > limit)
                low = k;
            else
                kept = k;
        }
        low = kept;
    }
    kept = mode;
    if (fma(-(double)high, s->lambda, wide[high]) > limit) {
        while (high - kept > 1) {
            int32_t k = kept + (high - kept) / 2;
            if (fma(-(double)k, s->lambda, wide[k]) > limit)
                high = k;
            else
                kept = k;
        }
        high = kept;
    }
    s->own_low = low;
    s->own_high = high;
}

/*
 * Window of S_i before its values are known, of the numbers that own counts and the next window lead to: what its reach
 * allows (this and later classes inside, earlier ones outside) and what can be left to draw. next: the following place
 * that has balls; NULL at the last one, where S_i = b_i. m_before: balls of earlier classes. low <= high always.
 */
GURN_FN void gurn_suffix_window(gurn_suffix *s, const gurn_suffix *next, int32_t m_before, int32_t n) {
    int32_t low = s->own_low + (next ? next->low : 0), high = s->own_high + (next ? next->high : 0);
    int32_t least = n - m_before - GURN_SUFFIX_MARGIN, most = n + GURN_SUFFIX_MARGIN;
    least = least > low ? (least < high ? least : high) : low;
    most = most < high ? (most > least ? most : least) : high;
    s->low = gurn_suffix_clamp(ceil(s->mean_left - s->reach) - GURN_SUFFIX_MARGIN, least, most);
    s->high = gurn_suffix_clamp(s->mean_left + s->reach + GURN_SUFFIX_MARGIN, s->low, most);
    s->top = s->high;
    s->exponent = 0;
    s->apart = 0;
}

/* Entries that a table of a window takes in memory, with its pads. */
GURN_FN int64_t gurn_suffix_entries(int64_t count) { return ((count + 15) & ~(int64_t)15) + 2 * GURN_SUFFIX_PAD; }

/* At least the reach of suffix_lanes.h at these variances and all smaller ones, for h(t) <= h(0) + t/3, and h(0) grows. */
GURN_FN double gurn_suffix_most_reach(double inside, double outside, double nats) {
    double a = nats / 3.0, h = inside > 0.0 && outside > 0.0 ? inside * outside / (inside + outside) : 0.0;
    return a + sqrt(fma(a, a, 2.0 * nats * h));
}

/*
 * Most entries that a window can have whose class and later ones have m_left balls, and earlier ones m_before; n at
 * most n_max.
 */
GURN_FN int64_t gurn_suffix_width(double m_left, double m_before, double n_max, double bits) {
    double all = 0.25 * (m_left + m_before), inside = 0.25 * m_left, outside = 0.25 * m_before;
    double nats = s_suffix_nats(bits, all < n_max ? all : n_max);
    double reach = gurn_suffix_most_reach(inside < n_max ? inside : n_max, outside < n_max ? outside : n_max, nats);
    double width = 2.0 * reach + 4.0 + 2.0 * GURN_SUFFIX_MARGIN;
    double most = (m_left < n_max + GURN_SUFFIX_MARGIN ? m_left : n_max + GURN_SUFFIX_MARGIN) + 1.0;
    return (int64_t)(width < most ? width : most);
}

/*
 * Counts of a step that lead from n_i into the next window. There are some for every n_i of this window; were n_i
 * another (backward, given an x that is no draw), the one count nearest to it.
 */
GURN_FN gurn_support gurn_suffix_support(const gurn_suffix *s, const gurn_suffix *next, int32_t m, int32_t m_rest,
                                         int32_t left) {
    gurn_support at = {left - next->high, left - next->low};
    if (at.low < s->own_low) at.low = s->own_low;
    if (at.high > s->own_high) at.high = s->own_high;
    if (at.low > at.high) {
        gurn_support all = gurn_support_hard(m, m_rest, left);
        at.low = at.low < all.high ? at.low : all.high;
        at.low = at.low > all.low ? at.low : all.low;
        at.high = at.low;
    }
    return at;
}

/* The mean of x_i given n_i, what is left to draw, were both normal: where a step begins to look for its mode. */
GURN_FN double gurn_suffix_guess(const gurn_suffix *s, double left) {
    return fma(left - s->mean_left, s->share, s->mean);
}

/*
 * A count near the mode of a step, whose costs gurn_cost_fixed has from these tables: from the mean of x_i given n_i,
 * were both normal; by bisection where that is far off.
 */
GURN_FN int32_t gurn_suffix_near_mode(const gurn_suffix *s, const int32_t *own, const int32_t *rest, gurn_support at,
                                      int32_t left) {
    int64_t lambda = s->fixed_lambda;
    int32_t k = gurn_suffix_clamp(gurn_suffix_guess(s, left) + 0.5, at.low, at.high);
#define GURN_FALLS(k) \
    ((int32_t)(gurn_cost_fixed(own, rest, lambda, (k) + 1) - gurn_cost_fixed(own, rest, lambda, k)) < 0)
    const int32_t near = 8;
    int32_t low = at.low, high = at.high; /* the mode is among these */
    if (k + near < high && GURN_FALLS(k + near))
        low = k + near + 1;
    else if (k - near > low && !GURN_FALLS(k - near - 1))
        high = k - near - 1;
    else
        return k;
    while (low < high) {
        k = low + (high - low) / 2;
        if (GURN_FALLS(k))
            low = k + 1;
        else
            high = k;
    }
#undef GURN_FALLS
    return low;
}

/*
 * psi(r) = d logit / dn at r = n_i - k = R'(r) - digamma(r+1) + digamma(m_R-r+1), R(r) = log S(r) - log C(m_R, r)
 * linear between whole numbers, at which R' is the central difference: with suffix_remainder (suffix_lanes.h)
 *     psi(r) = 1/2 log (S(r+1) / S(r-1)) + remainder(m_R - r) - remainder(r),     0 < r < m_R;
 * at 0 and m_R, where it is one-sided, it is this. step: log S(1) - log S(0), or log S(m_R) - log S(m_R - 1).
 */
GURN_FN double gurn_suffix_psi_end(double m_rest, double step, int at_zero) {
    double far = gurn_digamma(m_rest + 1.0) - gurn_digamma(1.0) - GURN_LN2 * s_log2_64(m_rest);
    return at_zero ? step + far : step - far;
}

/* psi at either end of a window, entry j of the table whose logarithms are `rest`. */
GURN_FN float gurn_suffix_end_slope(const gurn_suffix *s, int32_t m_left, const int32_t *rest, int32_t j) {
    int32_t first = s->top - s->high, last = s->top - s->low;
    if (first == last) return 0.0f;
    double step = (double)(j == first ? rest[j + 1] - rest[j] : rest[j] - rest[j - 1]) * (GURN_LN2 * 0x1p-23);
    /* One-sided: where the window ends before the support does, of what weighs nothing. */
    if (j == first) return (float)(s->high == m_left ? gurn_suffix_psi_end(m_left, step, 0) : step);
    return (float)(s->low == 0 ? gurn_suffix_psi_end(m_left, step, 1) : step);
}

/*
 * The adjoint sweep. Let A_i(r) be the gradient to log S_i(r), that of the steps that read table i, with sum_r A_i(r) =
 * 0. As
 *     d log S_i(r) / d log S_{i+1}(r') = P(X_i = r - r' | sum_{j >= i} X_j = r) = b_i(r - r') S_{i+1}(r') / S_i(r),
 *     d log S_i(r) / d log omega_i     = E[X_i | sum_{j >= i} X_j = r],
 * with G_i(r) = A_i(r) / S_i(r), from the first table to the last (S_i taken as the plain sum, without its power of two)
 *     A_{i+1}(r') += S_{i+1}(r') sum_k b_i(k) G_i(r' + k),
 *     d log omega_i += sum_{r'} S_{i+1}(r') sum_k k b_i(k) G_i(r' + k).
 * All A sum to 0, so k may be counted from anywhere: from the middle of the class, where nothing cancels. The last table
 * is that of one class, E[X | r] = r, and need not be reached: what the two last classes get together is
 * sum_r A_i(r) r.
 *
 * A is scaled by a power of two to at most 1, and G held to 2^90 of it: entries of S_i below 2^-90 of its largest, where
 * a weight is below 2^-26 of the winner's even at tau = 2, send nothing on. So nothing overflows.
 */
#define GURN_SUFFIX_SWEPT 0x1p20f
GURN_FN float gurn_suffix_adjoint_scale(float largest) {
    int32_t exponent = (int32_t)(s_bits32(largest) >> 23) - 127;
    exponent = exponent < -125 ? -125 : exponent > 125 ? 125 : exponent;
    return s_from_bits32((uint32_t)(127 - exponent) << 23);
}

#endif
