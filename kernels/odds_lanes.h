/* The odds of a class under the tilt (binomial.h), a template over GURN_L like logmath_lanes.h: one lane is one class. */

typedef struct GURN_L(pair) {
    GURN_L(f64) hi, lo;
} GURN_L(pair);

typedef struct GURN_L(odds) {
    GURN_L(f64) lambda;   /* log(p/q), natural */
    GURN_L(f64) p, q;     /* relative error 2^-53 each; the smaller is 0 beyond e^+-707 */
    GURN_L(f64) low;      /* the smaller of p and q is right to 3e-18 relative with this added */
    GURN_L(f64) log_more; /* log of the larger of them; the log of the smaller one is log_more - |lambda| */
} GURN_L(odds);

/* a + b and a b without error (pair.h). */
GURN_FN GURN_L(pair) GURN_L(two_sum)(GURN_L(f64) a, GURN_L(f64) b) {
    GURN_L(f64) s = a + b, t = s - a;
    GURN_L(pair) sum = {s, (a - (s - t)) + (b - t)};
    return sum;
}
GURN_FN GURN_L(pair) GURN_L(two_product)(GURN_L(f64) a, GURN_L(f64) b) {
    GURN_L(f64) p = a * b;
    GURN_L(pair) product = {p, GURN_L(fma64)(a, b, -p)};
    return product;
}
GURN_FN GURN_L(pair) GURN_L(pair_add)(GURN_L(pair) a, GURN_L(f64) b) {
    GURN_L(pair) sum = GURN_L(two_sum)(a.hi, b);
    return GURN_L(two_sum)(sum.hi, sum.lo + a.lo);
}

/*
 * e^-y for 0 <= y < 708, relative error 3e-18. y = k ln 2 - 32 h, |h| <= 0.011; the series of e^h - 1, whose terms from h^3
 * on need no more than double precision, and five squarings of 1 + u, kept as u.
 */
GURN_FN GURN_L(pair) GURN_L(exp_negative)(GURN_L(pair) y) {
    GURN_L(f64) ln2_hi = GURN_L(splat64)(6.93147180369123816490e-01); /* k ln2_hi is exact */
    GURN_L(f64) ln2_lo = GURN_L(splat64)(1.90821492927058770002e-10), half = GURN_L(splat64)(0.5);
    GURN_L(f64) shifted = GURN_L(fma64)(y.hi, GURN_L(splat64)(1.44269504088896340736), GURN_L(splat64)(0x1.8p52));
    GURN_L(f64) k = shifted - GURN_L(splat64)(0x1.8p52), scale = GURN_L(splat64)(-0x1p-5), one = GURN_L(splat64)(1.0);
    GURN_L(pair) f = GURN_L(two_sum)(GURN_L(fma64)(-k, ln2_hi, y.hi), -k * ln2_lo);
    GURN_L(f64) h = f.hi * scale, h_lo = (f.lo + y.lo) * scale;
    GURN_L(pair) square = GURN_L(two_product)(h, h);
    GURN_L(f64) series = GURN_L(splat64)(1.0 / 40320.0);
    series = GURN_L(fma64)(series, h, GURN_L(splat64)(1.0 / 5040.0));
    series = GURN_L(fma64)(series, h, GURN_L(splat64)(1.0 / 720.0));
    series = GURN_L(fma64)(series, h, GURN_L(splat64)(1.0 / 120.0));
    series = GURN_L(fma64)(series, h, GURN_L(splat64)(1.0 / 24.0));
    series = GURN_L(fma64)(series, h, GURN_L(splat64)(1.0 / 6.0));
    GURN_L(f64) rest =
        GURN_L(fma64)(half, square.lo, GURN_L(fma64)(series * square.hi, h, GURN_L(fma64)(h_lo, h, h_lo)));
    GURN_L(pair) u = GURN_L(two_sum)(h, half * square.hi);
    u = GURN_L(two_sum)(u.hi, u.lo + rest);
    for (int i = 0; i < 5; i++) { /* (1 + u)^2 - 1 = 2 u + u^2 */
        GURN_L(f64) twice = u.hi + u.hi;
        square = GURN_L(two_product)(u.hi, u.hi);
        GURN_L(pair) sum = GURN_L(two_sum)(twice, square.hi);
        u = GURN_L(two_sum)(sum.hi, sum.lo + GURN_L(fma64)(twice, u.lo, u.lo + u.lo + square.lo));
    }
    u = GURN_L(pair_add)(u, one);
    scale = GURN_L(from_bits64)(GURN_L(bits64)(one) - (GURN_L(bits64)(shifted) << 52)); /* 2^-k */
    u.hi = u.hi * scale;
    u.lo = u.lo * scale;
    return u;
}

/* lambda = log omega - largest + shift; finite. held: log omega as it counts (moments.h). */
GURN_FN GURN_L(odds) GURN_L(odds_of)(GURN_L(f64) held, GURN_L(f64) largest, GURN_L(f64) shift) {
    GURN_L(f64) zero = GURN_L(splat64)(0.0), one = GURN_L(splat64)(1.0), most = GURN_L(splat64)(707.0);
    GURN_L(pair) lambda = GURN_L(pair_add)(GURN_L(two_sum)(held, -largest), shift), y;
    y.hi = GURN_L(if_less64)(lambda.hi, zero, -lambda.hi, lambda.hi);
    y.lo = GURN_L(if_less64)(lambda.hi, zero, -lambda.lo, lambda.lo);
    GURN_L(f64) size = y.hi;
    y.hi = GURN_L(if_less64)(size, most, y.hi, most);
    GURN_L(pair) t = GURN_L(exp_negative)(y);
    t.hi = GURN_L(if_less64)(size, most, t.hi, zero);
    t.lo = GURN_L(if_less64)(size, most, t.lo, zero);
    GURN_L(pair) one_t = GURN_L(pair_add)(t, one); /* more = 1/(1 + t), less = t more */
    GURN_L(f64) r = GURN_L(div64)(one, one_t.hi);
    GURN_L(pair) more = GURN_L(two_sum)(r, r * (GURN_L(fma64)(-one_t.hi, r, one) - one_t.lo * r));
    GURN_L(pair) product = GURN_L(two_product)(t.hi, more.hi);
    GURN_L(pair) less = GURN_L(two_sum)(product.hi, product.lo + GURN_L(fma64)(t.hi, more.lo, t.lo * more.hi));
    GURN_L(odds) odds;
    odds.lambda = lambda.hi;
    odds.p = GURN_L(if_less64)(zero, lambda.hi, more.hi, less.hi);
    odds.q = GURN_L(if_less64)(zero, lambda.hi, less.hi, more.hi);
    odds.low = less.lo;
    odds.log_more = GURN_L(log_without)(less.hi);
    return odds;
}
