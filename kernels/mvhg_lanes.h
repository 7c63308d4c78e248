/*
 * What has to be known of a conditional step before its support is swept, a template over GURN_L like logmath_lanes.h:
 * one lane is one row. mvhg.h includes it for single lanes (C and CUDA), mvhg_cpu.c for vectors of rows.
 *
 * Names: own class of size m against the rest of size m_R, n balls left to draw, lambda the base-2 log odds of own
 * against rest, cost(k) = T_m(k) + T_{m_R}(n - k) - k lambda, the negative base-2 logit.
 */

/* log2(2^a + 2^b); a or b may be -infinity, not both. */
GURN_FN GURN_L(f64) GURN_L(log2_add)(GURN_L(f64) a, GURN_L(f64) b) {
    GURN_L(f64) high = GURN_L(if_less64)(a, b, b, a), low = GURN_L(if_less64)(a, b, a, b);
    return high + GURN_L(log2_64)(GURN_L(splat64)(1.0) + GURN_L(exp2_64)(low - high));
}

/*
 * lambda of a step of the merged chain ([MVHG] Eq. 3): log2 omega - log2(sum over the rest of omega_j m_j) + log2 m_R.
 * Held to +-GURN_MAX_LAMBDA, where one ball more or less already has odds of 2^148 at least, so that neighbours differ
 * by less than 256 bits.
 */
GURN_FN GURN_L(f64) GURN_L(merged_lambda)(GURN_L(f64) log2_omega, GURN_L(f64) log2_rest, double log2_m_rest) {
    GURN_L(f64) top = GURN_L(splat64)(GURN_MAX_LAMBDA), lambda = log2_omega - log2_rest + GURN_L(splat64)(log2_m_rest);
    lambda = GURN_L(if_less64)(top, lambda, top, lambda);
    return GURN_L(if_less64)(lambda, -top, -top, lambda);
}

/*
 * The real root k of omega (m-k+1)(n-k+1) = k (m_R-n+k): where the ratio p(k)/p(k-1) is 1, so that the mode is
 * floor(k). With odds a : b = omega : 1 scaled to a + b = 1; the root of (a-b) k^2 - q k + a (m+1)(n+1) = 0 that lies
 * in the support: with d the discriminant 2 a (m+1)(n+1) / (q + sqrt d), or, where that would cancel, (sqrt d - q) / 2 (b-a). (q < 0
 * means b > a: n - m_R <= m.)
 */
GURN_FN GURN_L(f64) GURN_L(mode_root)(GURN_L(f64) m, GURN_L(f64) m_rest, GURN_L(f64) n, GURN_L(f64) lambda) {
    GURN_L(f64) one = GURN_L(splat64)(1.0), zero = GURN_L(splat64)(0.0), odds = GURN_L(exp2_64)(-lambda);
    GURN_L(f64) a = GURN_L(div64)(one, one + odds), b = one - a;
    b = GURN_L(if_less64)(lambda, GURN_L(splat64)(20.0), b, odds); /* 1 - a has lost b by then */
    GURN_L(f64) q = a * (n + (m + GURN_L(splat64)(2.0))) + b * (m_rest - n);
    GURN_L(f64) product = a * (m + one) * (n + one);
    GURN_L(f64) discriminant = q * q - GURN_L(splat64)(4.0) * (a - b) * product;
    discriminant = GURN_L(if_less64)(discriminant, zero, zero, discriminant);
    GURN_L(f64) root = GURN_L(sqrt64)(discriminant), twice = b - a;
    return GURN_L(div64)(GURN_L(if_less64)(q, zero, root - q, product + product),
                         GURN_L(if_less64)(q, zero, twice + twice, q + root));
}

/*
 * How many points on one side of the mode k0 have to be looked at: the largest t with lower bound on cost(k0 +- t) -
 * cost(k0) below `bits`, or a little more (never less), at most `limit`, the points that the support has on that side.
 *
 * The bound. cost(k0+t) - cost(k0) = sum_{j=1..t} g_j, with g_1 = `slope` >= 0 read from the tables and, to the right,
 *   g_{i+1} - g_i = log2 of (1 + 1/(m-k)) (1 + 1/(n-k)) (1 + 1/k) (1 + 1/(m_R-n+k))   at k = k0 + i,
 * to the left the same with i counted downwards. log(1 + 1/a) >= 1/(a + 1/2), which is convex in a, and the g_i enter
 * with weights t - i, i = 1..t-1, of sum t(t-1)/2 and mean (t+1)/3; so by Jensen's inequality
 *   cost(k0+t) - cost(k0) >= slope t + t(t-1)/2 kappa(t),   kappa(t) = log2 e sum_a 1/(a at (t+1)/3 + 1/2).
 * In the exact chain the rest's weights S(r) / C(m_R, r) are log-concave (Newton's inequalities: S is the coefficient
 * sequence of a polynomial with real roots), which adds to the curvature: the bound holds there too.
 * What is left out therefore has cost above `bits`. What is kept has cost below 2.2 `bits` (worst case: 1/k summed from
 * k = 1), plus the slope of the one point that is added for safety.
 *
 * shrink0/1 and grow0/1 are m-k0, n-k0 and k0, m_R-n+k0 (exchanged on the left side). The fixed point t =
 * reach(kappa(t)) is iterated: near the solution an iteration takes at least half of the error away, mostly nine
 * tenths, and t = bits / 2 is within a fifth of it where that half is reached (a count of 0 beside the mode). 1/x and
 * sqrt are rough. The result is enlarged by 2 % and a point.
 */
GURN_FN GURN_L(f32) GURN_L(window_reach)(GURN_L(f32) slope, GURN_L(f32) shrink0, GURN_L(f32) shrink1, GURN_L(f32) grow0,
                                         GURN_L(f32) grow1, GURN_L(f32) limit, float bits) {
    GURN_L(f32) half = GURN_L(splat32)(0.5f), third = GURN_L(splat32)(1.0f / 3.0f);
    GURN_L(f32) t = GURN_L(splat32)(0.5f * bits);
    for (int round = 0; round < 4; round++) {
        GURN_L(f32) s = GURN_L(min32)((t + GURN_L(splat32)(1.0f)) * third, limit);
        GURN_L(f32) kappa =
            GURN_L(splat32)(1.44269504f) *
            (GURN_L(rough_reciprocal32)(shrink0 - s + half) + GURN_L(rough_reciprocal32)(shrink1 - s + half) +
             GURN_L(rough_reciprocal32)(grow0 + s + half) + GURN_L(rough_reciprocal32)(grow1 + s + half));
        GURN_L(f32) b = slope - half * kappa;
        GURN_L(f32) root = GURN_L(rough_sqrt32)(GURN_L(fma32)(b, b, kappa * GURN_L(splat32)(2.0f * bits)));
        t = GURN_L(splat32)(2.0f * bits) * GURN_L(rough_reciprocal32)(b + root);
    }
    return GURN_L(min32)(GURN_L(fma32)(t, GURN_L(splat32)(1.02f), GURN_L(splat32)(1.0f)), limit);
}
