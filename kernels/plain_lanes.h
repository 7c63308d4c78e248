/*
 * Inversion of one step of a plain draw, a template over GURN_L like logmath_lanes.h: one lane is one row. plain.h includes it for
 * single lanes (C and CUDA), plain_cpu.c for vectors of rows.
 */

/* u in [0, 1), a multiple of 2^-53, from two words of noise, the first in the low half. */
GURN_FN GURN_L(f64) GURN_L(plain_uniform)(GURN_L(u64) words) {
    GURN_L(u64) j = words >> 11;
    GURN_L(f64) big = GURN_L(splat64)(0x1p52); /* whose last bit is 1: whole numbers below 2^32 are written into it */
    GURN_L(f64) high = GURN_L(from_bits64)((j >> 32) | 0x4330000000000000u) - big;
    GURN_L(f64) low = GURN_L(from_bits64)((j & 0xFFFFFFFFu) | 0x4330000000000000u) - big;
    return (high * GURN_L(splat64)(0x1p32) + low) * GURN_L(splat64)(0x1p-53);
}

/*
 * One side of a step's mode. With the weights w(k) = C(m, k) C(m_R, n - k) odds^k, going up from k
 *     w(k+1) / w(k) = odds (m-k) (n-k) / ((k+1) (m_R-n+k+1)),
 * and going down the same with the two pairs exchanged and 1/odds. Products of counts are whole numbers below 2^53. At the end of
 * the support a factor is 0.
 */
typedef struct GURN_L(plain_side) {
    GURN_L(f64) shrink0, shrink1, grow0, grow1, odds;
} GURN_L(plain_side);

/* Takes a count to its neighbour, and its weight, which below GURN_PLAIN_TINY becomes 0 for good. */
GURN_FN GURN_L(f64) GURN_L(plain_next)(GURN_L(plain_side) *s, GURN_L(f64) w) {
    GURN_L(f64) one = GURN_L(splat64)(1.0), tiny = GURN_L(splat64)(GURN_PLAIN_TINY);
    s->grow0 = s->grow0 + one;
    s->grow1 = s->grow1 + one;
    w = w * GURN_L(div64)(s->odds * (s->shrink0 * s->shrink1), s->grow0 * s->grow1);
    s->shrink0 = s->shrink0 - one;
    s->shrink1 = s->shrink1 - one;
    return GURN_L(if_less64)(w, tiny, GURN_L(splat64)(0.0), w);
}

/* `sum` and the weights of a side, whose mode has weight 1, added one after the other. */
GURN_FN GURN_L(f64) GURN_L(plain_sum)(GURN_L(plain_side) s, GURN_L(f64) sum) {
    GURN_L(f64) w = GURN_L(splat64)(1.0);
    do {
        w = GURN_L(plain_next)(&s, w);
        sum = sum + w;
    } while (GURN_L(any_less64)(GURN_L(splat64)(0.0), w));
    return sum;
}

/*
 * A count from the support, near the mode: floor of mode_root. Which one does not matter to the law; that all devices take the same
 * one does to the draw.
 */
GURN_FN GURN_L(f64) GURN_L(plain_mode)(GURN_L(f64) m, GURN_L(f64) m_rest, GURN_L(f64) n, GURN_L(f64) lambda) {
    GURN_L(f64) zero = GURN_L(splat64)(0.0), one = GURN_L(splat64)(1.0), big = GURN_L(splat64)(0x1p52);
    GURN_L(f64) root = GURN_L(mode_root)(m, m_rest, n, lambda), low = n - m_rest;
    GURN_L(f64) high = GURN_L(if_less64)(n, m, n, m);
    low = GURN_L(if_less64)(zero, low, low, zero);
    root = GURN_L(if_less64)(root, low, low, root);
    root = GURN_L(if_less64)(high, root, high, root);
    GURN_L(f64) k = (root + big) - big; /* the nearest whole number */
    return GURN_L(if_less64)(root, k, k - one, k);
}

/*
 * Draws the count of a class of m balls against m_R others, n to draw in all, base-2 log odds lambda, from the uniform u. The running
 * sum c goes over the mode and all above it, then over all below it; the draw is the first count with u total < c. The total is
 * the last c, so there always is one: u total < total as u <= 1 - 2^-53.
 */
GURN_FN GURN_L(f64)
    GURN_L(plain_count)(GURN_L(f64) m, GURN_L(f64) m_rest, GURN_L(f64) n, GURN_L(f64) lambda, GURN_L(f64) u) {
    GURN_L(f64) one = GURN_L(splat64)(1.0), zero = GURN_L(splat64)(0.0);
    GURN_L(f64) k = GURN_L(plain_mode)(m, m_rest, n, lambda), k_rest = m_rest - n + k;
    GURN_L(plain_side) up = {m - k, n - k, k, k_rest, GURN_L(exp2_64)(lambda)};
    GURN_L(plain_side) down = {k, k_rest, m - k, n - k, GURN_L(exp2_64)(-lambda)}, side;
    GURN_L(f64) upper = GURN_L(plain_sum)(up, one);
    GURN_L(f64) t = u * GURN_L(plain_sum)(down, upper), w = one;
    GURN_L(f64) c = GURN_L(if_less64)(t, upper, one, upper), way = GURN_L(if_less64)(t, upper, one, -one);
    side.shrink0 = GURN_L(if_less64)(t, upper, up.shrink0, down.shrink0);
    side.shrink1 = GURN_L(if_less64)(t, upper, up.shrink1, down.shrink1);
    side.grow0 = GURN_L(if_less64)(t, upper, up.grow0, down.grow0);
    side.grow1 = GURN_L(if_less64)(t, upper, up.grow1, down.grow1);
    side.odds = GURN_L(if_less64)(t, upper, up.odds, down.odds);
    while (GURN_L(any_at_most64)(c, t)) {
        k = k + GURN_L(if_less64)(t, c, zero, way);
        w = GURN_L(plain_next)(&side, w);
        c = c + w;
    }
    return k;
}
