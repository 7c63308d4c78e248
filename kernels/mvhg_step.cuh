/*
 * A conditional step of float32 draws with generated noise, as the CUDA kernels take it: mode and window, found by a
 * group of LANES threads together, and a lane's walk through the window.
 */
#ifndef GURN_MVHG_STEP_CUH
#define GURN_MVHG_STEP_CUH

#include "mvhg.cuh"

/* What a conditional step is decided by, in either chain: the exact one has another rest table, and another support. */
typedef struct gurn_race_step {
    const int32_t *own;  /* T_m; own + 4 i is aligned to 16 bytes */
    const int32_t *rest; /* read at k */
    int64_t lambda;      /* fixed point */
    int32_t m, m_rest, left;
    gurn_support support;
    int32_t mode;       /* a count near the mode to start from; gurn_step_settle finds the mode */
    float up, down;     /* cost one above the mode, and one below, less the mode's, in bits; 256 where there is none */
    uint32_t reference; /* whole bits, at or below the mode's cost */
} gurn_race_step;

/*
 * s_mode_root in float32, from rough operations. lambda beyond +-60 is held there: the mode is at an end then. Where
 * q is negative the other form of the root is the one that loses no digits.
 */
GURN_DEVICE float gurn_mode_guess(float m, float m_rest, float n, float lambda) {
    lambda = fminf(fmaxf(lambda, -60.0f), 60.0f);
    float odds = gurn_fast_exp2(-lambda), a = s_rough_reciprocal32(1.0f + odds), b = odds * a;
    float q = fmaf(a, n + m + 2.0f, b * (m_rest - n)), product = a * (m + 1.0f) * (n + 1.0f);
    float root = s_rough_sqrt32(fmaxf(fmaf(q, q, 4.0f * (b - a) * product), 0.0f));
    return q > 0.0f ? 2.0f * product * s_rough_reciprocal32(q + root)
                    : (root - q) * s_rough_reciprocal32(2.0f * (b - a));
}

/* Cost of k + 1 less that of k, in units of 2^-23 bit, the linear term's slope rounded. */
GURN_DEVICE int32_t gurn_cost_rise(const gurn_race_step &s, int32_t k, uint32_t slope) {
    return (int32_t)((uint32_t)s.own[k + 1] - (uint32_t)s.own[k] + (uint32_t)s.rest[k + 1] - (uint32_t)s.rest[k] -
                     slope);
}

/*
 * From the guess to the mode by the tables: mostly a step or none, and one count at a time; but where a guess is far
 * off (double roots in float32), by Newton's method with the curvature of window_reach. NEAR: it is not.
 */
template <bool NEAR>
GURN_DEVICE void gurn_step_settle(gurn_race_step *s) {
    uint32_t slope = gurn_linear_slope(s->lambda);
    int32_t low = s->support.low, high = s->support.high, k = s->mode, up = 0, down = 0;
    for (int round = 0;; round++) {
        up = k < high ? gurn_cost_rise(*s, k, slope) : INT32_MAX;
        down = k > low ? -gurn_cost_rise(*s, k - 1, slope) : INT32_MAX;
        int32_t drop = up < 0 ? up : down;
        if (drop >= 0) break;
        float kappa =
            1.44269504f *
            (s_rough_reciprocal32((float)(s->m - k) + 0.5f) + s_rough_reciprocal32((float)(s->left - k) + 0.5f) +
             s_rough_reciprocal32((float)k + 0.5f) + s_rough_reciprocal32((float)(s->m_rest - s->left + k) + 0.5f));
        float jump = (float)drop * -0x1p-23f * s_rough_reciprocal32(kappa);
        int32_t room = up < 0 ? high - k : k - low, distance = jump < (float)room ? (int32_t)jump : room;
        if (NEAR || round >= 32 || distance < 1) distance = 1;
        k += up < 0 ? distance : -distance;
    }
    s->mode = k;
    s->up = (float)up * 0x1p-23f;
    s->down = (float)down * 0x1p-23f;
    s->reference = gurn_cost_fixed(s->own, s->rest, s->lambda, k) & 0xFF800000u;
}

GURN_DEVICE gurn_race_step gurn_step_begin(const gurn_step *step, double lambda, int32_t left) {
    gurn_race_step s;
    s.m = step->m;
    s.m_rest = step->m_rest;
    s.left = left;
    s.own = step->own.fixed;
    s.rest = step->rest.fixed + (s.m_rest - left);
    s.lambda = gurn_fixed_lambda(lambda);
    s.support = gurn_support_hard(s.m, s.m_rest, left);
    float guess = gurn_mode_guess((float)s.m, (float)s.m_rest, (float)left, (float)lambda);
    s.mode = (int32_t)fminf(fmaxf(guess, (float)s.support.low), (float)s.support.high);
    gurn_step_settle<false>(&s);
    return s;
}

/*
 * The counts whose cost is at most `bits` above the mode's, or a few more. Even lanes reach to the right, odd lanes
 * to the left.
 */
GURN_DEVICE gurn_support gurn_step_window(const gurn_race_step &s, float bits) {
    bool leftwards = threadIdx.x & 1;
    int32_t k = s.mode, above = s.support.high - k, below = k - s.support.low;
    float m_k = (float)(s.m - k), n_k = (float)(s.left - k), at = (float)k, rest_k = (float)(s.m_rest - s.left + k);
    float reach =
        s_window_reach(leftwards ? s.down : s.up, leftwards ? at : m_k, leftwards ? rest_k : n_k, leftwards ? m_k : at,
                       leftwards ? n_k : rest_k, (float)(leftwards ? below : above), bits);
    int32_t mine = (int32_t)reach, other = gurn_pair_other(mine);
    gurn_support window = {k - (leftwards ? mine : other), k + (leftwards ? other : mine)};
    return window;
}

/* Four consecutive counts of a lane, from a multiple of 4 on. */
typedef struct gurn_quad {
    int32_t distance[4]; /* cost above the reference, at most the ceiling */
    float growth[4];     /* 2^cost; infinite outside the window */
    float value[4];      /* race values */
} gurn_quad;

/*
 * A lane's walk through a window: counts first + 4 lane, and on by 4 LANES at a time. The linear term of an aligned
 * block of 16 counts is kept as a 64-bit product, to which a stride adds a constant (gurn_linear).
 */
typedef struct gurn_stride {
    int32_t k;
    uint32_t slope, offset; /* offset: of the count within its block, and the reference */
    uint64_t product, advance;
} gurn_stride;
template <int LANES>
GURN_DEVICE gurn_stride gurn_stride_begin(const gurn_race_step &s, int32_t low) {
    gurn_stride at;
    at.k = (low & ~3) + 4 * (int32_t)(threadIdx.x & (LANES - 1));
    at.slope = gurn_linear_slope(s.lambda);
    at.offset = (uint32_t)(at.k & 15) * at.slope + s.reference;
    at.product = (uint64_t)(at.k & ~15) * (uint64_t)s.lambda;
    at.advance = (uint64_t)(4 * LANES) * (uint64_t)s.lambda;
    return at;
}
template <int LANES>
GURN_DEVICE void gurn_stride_next(gurn_stride *at) {
    at->k += 4 * LANES;
    at->product += at->advance;
}

/* FRESH: the rest's table was written by this kernel, so that it may not come through the read-only cache. */
template <bool FRESH>
GURN_DEVICE void gurn_quad_race(const gurn_race_step &s, const gurn_stride &at, gurn_support window, int32_t read_at,
                                const gurn_noise_keys &keys, uint64_t row, uint32_t tag, gurn_quad *quad) {
    int4 four = __ldg((const int4 *)(s.own + read_at));
    const int32_t own[4] = {four.x, four.y, four.z, four.w};
    uint32_t word[4], linear = (uint32_t)(at.product >> 24) + at.offset;
    gurn_keyed_words(keys, row, tag, at.k, word);
    for (int j = 0; j < 4; j++, linear += at.slope) {
        uint32_t cost =
            (uint32_t)own[j] + (uint32_t)(FRESH ? s.rest[read_at + j] : __ldg(s.rest + read_at + j)) - linear;
        bool inside = (uint32_t)(at.k + j - window.low) <= (uint32_t)(window.high - window.low);
        int32_t distance = min((int32_t)cost, GURN_COST_CEILING);
        quad->distance[j] = distance;
        quad->growth[j] = inside ? s_exp2_fixed(distance) : INFINITY;
        quad->value[j] = s_exponential32_times(word[j], GURN_RACE_SCALE) * quad->growth[j];
    }
}

#endif
