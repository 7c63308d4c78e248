/* A template over GURN_L like logmath_lanes.h, for suffix.h and suffix_cpu.h. */

/*
 * Reach of a window; one lane is one place of the order.
 *
 * Let the tilted sum X of independent trials (variance `inside`) and the sum Y of all others (variance `outside`) have
 * means that add up to n. Given X + Y = n, the chance that X is t or more above its mean is
 *     P(X >= EX + t, Y = n - X) / P(X + Y = n) <= P(X >= EX + t) P(Y <= EY - t) / Q(n),
 * and Bernstein's inequality gives exp(-t^2 / (2 (V + t/3))) for each factor. So it is at most e^-nats / Q(n) =
 * e^-budget when
 *     t^2 >= 2 nats h(t),     1 / h(t) = 1 / (inside + t/3) + 1 / (outside + t/3),
 * and below the mean likewise. h is concave, and with u = inside / (inside + outside)
 *     h(t) <= h(0) + h'(0) t,     h(0) = u outside,     h'(0) = (u^2 + (1 - u)^2) / 3,
 * so that the root of t^2 = 2 nats (h(0) + h'(0) t) will do: it is at most a few hundredths more than need be.
 */
GURN_FN GURN_L(f64) GURN_L(suffix_reach)(GURN_L(f64) inside, GURN_L(f64) outside, GURN_L(f64) nats) {
    GURN_L(f64) u = GURN_L(div64)(inside, inside + outside + GURN_L(splat64)(0x1p-1000));
    GURN_L(f64) others = GURN_L(splat64)(1.0) - u, h = u * outside;
    GURN_L(f64) a = nats * GURN_L(splat64)(1.0 / 3.0) * GURN_L(fma64)(u, u, others * others);
    return a + GURN_L(sqrt64)(GURN_L(fma64)(a, a, (nats + nats) * h));
}

/* Those nats: bits, and what Q(n) >= 1 / sqrt(1 + 12 V) costs (moments.h). V: variance of the sum of all classes. */
GURN_FN GURN_L(f64) GURN_L(suffix_nats)(double bits, GURN_L(f64) variance) {
    GURN_L(f64) norm = GURN_L(log2_64)(GURN_L(fma64)(GURN_L(splat64)(12.0), variance, GURN_L(splat64)(1.0)));
    return GURN_L(splat64)(GURN_LN2) * GURN_L(fma64)(GURN_L(splat64)(0.5), norm, GURN_L(splat64)(bits));
}

/*
 * digamma(z+1) - 1/2 log(z (z+1)) for whole z >= 1, absolute error 5e-8 (scripts/fit_polynomials.py); finite at 0.
 * About 1 / (6 (z + 1/2)^2).
 */
GURN_FN GURN_L(f32) GURN_L(suffix_remainder)(GURN_L(f32) z) {
    GURN_L(f32) y = z + GURN_L(splat32)(0.5f), u = GURN_L(splat32)(1.0f) / (y * y);
    GURN_L(f32) p = GURN_L(splat32)(0.00154923354091f);
    p = GURN_L(fma32)(p, u, GURN_L(splat32)(-0.00230149796919f));
    p = GURN_L(fma32)(p, u, GURN_L(splat32)(0.00628894712892f));
    p = GURN_L(fma32)(p, u, GURN_L(splat32)(0.00834066853328f));
    p = GURN_L(fma32)(p, u, GURN_L(splat32)(0.166666611211f));
    return u * p;
}

/*
 * psi(r) of suffix.h inside 0 < r < m_left, from the fixed-point logarithms around it: rise = Rest(r-1) - Rest(r+1).
 */
GURN_FN GURN_L(f32) GURN_L(suffix_slope)(GURN_L(f32) rise, GURN_L(f32) r, GURN_L(f32) left) {
    return GURN_L(fma32)(rise, GURN_L(splat32)((float)(GURN_LN2 * 0x1p-24)),
                         GURN_L(suffix_remainder)(left) - GURN_L(suffix_remainder)(r));
}

/*
 * Newton's polynomial with these forward differences (suffix_nodes.h), x apart from node 0 in units of what they are
 * apart, less its value there: sum_{l>=1} difference[l] x (x-1) ... (x-l+1) / l!.
 */
GURN_FN GURN_L(f32) GURN_L(suffix_polynomial)(GURN_L(f32) x, const float *difference) {
    GURN_L(f32) p = GURN_L(splat32)(difference[GURN_SUFFIX_NODES - 1]);
    for (int l = GURN_SUFFIX_NODES - 2; l >= 1; l--) {
        float share = 1.0f / (float)(l + 1);
        GURN_L(f32) factor = GURN_L(fma32)(x, GURN_L(splat32)(share), GURN_L(splat32)(-(float)l * share));
        p = GURN_L(fma32)(p, factor, GURN_L(splat32)(difference[l]));
    }
    return p * x;
}
GURN_FN GURN_L(i32) GURN_L(suffix_between)(GURN_L(f32) x, const float *difference) {
    return GURN_L(truncate32)(GURN_L(suffix_polynomial)(x, difference));
}
