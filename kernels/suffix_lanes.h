/* A template over GURN_L like logmath_lanes.h, for suffix.h and suffix_cpu.h. */

/*
 * Reach of a window; one lane is one place of the order.
 *
 * Let the tilted sum X of independent trials (variance `inside`) and the sum Y of all others (variance `outside`) have
 * means that add up to n. Given X + Y = n, the chance that X is t or more above its mean is
 *     P(X >= EX + t, Y = n - X) / P(X + Y = n) <= P(X >= EX + t) P(Y <= EY - t) / Q(n),
 * and Bernstein's inequality gives exp(-t^2 / (2 (V + t/3))) for each factor. So it is at most e^-nats / Q(n) =
 * e^-budget for
 *     t^2 / 2 (1 / (inside + t/3) + 1 / (outside + t/3)) >= nats,
 * and below the mean likewise. With h(t) = 1 / (1 / (inside + t/3) + 1 / (outside + t/3)) the smallest such t is the
 * fixed point of t -> sqrt(2 nats h(t)). h is concave, and h' <= 1/3, so h(t) <= h(0) + t/3, which gives a first t that
 * is too large; from there the iteration falls towards the fixed point and never below it. Every step grows with
 * inside, outside and nats, so that the reach at their largest values bounds every reach.
 */
GURN_FN GURN_L(f64) GURN_L(suffix_reach)(GURN_L(f64) inside, GURN_L(f64) outside, double nats) {
    GURN_L(f64) third = GURN_L(splat64)(1.0 / 3.0), twice = GURN_L(splat64)(2.0 * nats);
    GURN_L(f64) tiny = GURN_L(splat64)(0x1p-1000), a = GURN_L(splat64)(nats / 3.0);
    GURN_L(f64) h = GURN_L(div64)(inside * outside, inside + outside + tiny);
    GURN_L(f64) t = a + GURN_L(sqrt64)(GURN_L(fma64)(a, a, twice * h));
    for (int round = 0; round < 3; round++) {
        GURN_L(f64) x = GURN_L(fma64)(t, third, inside), y = GURN_L(fma64)(t, third, outside);
        t = GURN_L(sqrt64)(twice * GURN_L(div64)(x * y, x + y));
    }
    return t;
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
