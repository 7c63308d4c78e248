/*
 * Logarithms and exponentials of our own, base 2, that give the same bits on every device: exactly rounded operations
 * in a fixed order and explicit fma, no vendor function. A template over GURN_L, the kind of lane: logmath.h includes
 * it for single lanes (C and CUDA), simd.h for vectors. Coefficients: scripts/fit_polynomials.py.
 */

/* s log2(1 + f) / f for sqrt(1/2) <= 1 + f <= sqrt(2), s a power of two; relative error 3e-7. */
GURN_FN GURN_L(f32) GURN_L(log2_slope32)(GURN_L(f32) f, float s) {
    GURN_L(f32) p = GURN_L(splat32)(-0.145810097263f * s);
    p = GURN_L(fma32)(p, f, GURN_L(splat32)(0.234041646607f * s));
    p = GURN_L(fma32)(p, f, GURN_L(splat32)(-0.24887708166f * s));
    p = GURN_L(fma32)(p, f, GURN_L(splat32)(0.287098805852f * s));
    p = GURN_L(fma32)(p, f, GURN_L(splat32)(-0.360239632894f * s));
    p = GURN_L(fma32)(p, f, GURN_L(splat32)(0.480923238566f * s));
    p = GURN_L(fma32)(p, f, GURN_L(splat32)(-0.721352788063f * s));
    p = GURN_L(fma32)(p, f, GURN_L(splat32)(1.442694962f * s));
    return p;
}

/*
 * E = -log2(u) of the uniform u = (r + 1/2) 2^-32 that the word r stands for: a standard exponential variate divided by
 * ln 2, in [1.6e-10, 33]. A Gumbel variate is -log(ln 2 E). Relative error below 4e-7, also where u is within 2^-33 of
 * 1: then the distance t = 1 - u is what is known exactly, and log2(1 - t) is taken from it.
 *
 * With r read as signed, t = (r + 1/2) 2^-32 is u where it is positive and u - 1 where it is negative, either way to
 * full relative precision. u formed from it is good enough to choose the scale 2^e; then f = u 2^-e - 1 is formed from
 * t itself with one rounding.
 *
 * exponential32_times(r, s) is s E for a power of two s, with the same bits up to that power: 2^23 E costs one
 * multiplication less.
 */
GURN_FN GURN_L(f32) GURN_L(exponential32_times)(GURN_L(u32) r, float s) {
    GURN_L(f32) t = GURN_L(fma32)(GURN_L(to_f32)((GURN_L(i32))r), GURN_L(splat32)(0x1p-32f), GURN_L(splat32)(0x1p-33f));
    GURN_L(f32) base = GURN_L(one_if_negative32)(t);
    GURN_L(u32) exponent = (GURN_L(bits32)(base + t) - 0x3F3504F3u) & 0xFF800000u; /* e << 23, from sqrt(1/2) up */
    GURN_L(f32) scale = GURN_L(from_bits32)(0x3F800000u - exponent);               /* 2^-e */
    GURN_L(f32) f = GURN_L(fma32)(t, scale, GURN_L(fma32)(base, scale, GURN_L(splat32)(-1.0f)));
    GURN_L(f32) p = GURN_L(log2_slope32)(f, s);
    /* -(e + f p), with e from its place in the exponent field */
    return GURN_L(fma32)(-f, p, GURN_L(to_f32)((GURN_L(i32))exponent) * GURN_L(splat32)(-0x1p-23f * s));
}
GURN_FN GURN_L(f32) GURN_L(exponential32)(GURN_L(u32) r) { return GURN_L(exponential32_times)(r, 1.0f); }

/* 2^(t + 1/2) for |t| <= 1/2, for exp2_fixed. */
GURN_FN GURN_L(f32) GURN_L(exp2_fraction32)(GURN_L(f32) t) {
    GURN_L(f32) p = GURN_L(splat32)(0.00187757789322f);
    p = GURN_L(fma32)(p, t, GURN_L(splat32)(0.0136832822316f));
    p = GURN_L(fma32)(p, t, GURN_L(splat32)(0.0784989396416f));
    p = GURN_L(fma32)(p, t, GURN_L(splat32)(0.339724074989f));
    p = GURN_L(fma32)(p, t, GURN_L(splat32)(0.980257841538f));
    return GURN_L(fma32)(p, t, GURN_L(splat32)(1.41421366371f));
}

/*
 * 2^d for d in units of 2^-23 bit, |d| < 126 * 2^23: a fixed-point number has its whole part in the exponent field's
 * place and its fraction in the mantissa's. Relative error 2e-7. 2^(d + j 2^23) is exactly 2^j times 2^d.
 */
GURN_FN GURN_L(f32) GURN_L(exp2_fixed)(GURN_L(i32) d) {
    GURN_L(u32) u = (GURN_L(u32))d;
    GURN_L(f32) t = GURN_L(from_bits32)((u & 0x007FFFFFu) | 0x3F800000u) - GURN_L(splat32)(1.5f);
    return GURN_L(from_bits32)(GURN_L(bits32)(GURN_L(exp2_fraction32)(t)) + (u & 0xFF800000u));
}

/* log2(a) for normal a > 0, in units of 2^-23 bit; absolute error 2e-7 bit. */
GURN_FN GURN_L(i32) GURN_L(log2_fixed)(GURN_L(f32) a) {
    GURN_L(u32) exponent = (GURN_L(bits32)(a) - 0x3F3504F3u) & 0xFF800000u; /* e << 23, from sqrt(1/2) up */
    GURN_L(f32) f = GURN_L(from_bits32)(GURN_L(bits32)(a) - exponent) - GURN_L(splat32)(1.0f);
    /* f p 2^23, below 2^22 in magnitude, rounded to a whole number that is left in the low bits */
    GURN_L(f32) rounded = GURN_L(fma32)(f, GURN_L(log2_slope32)(f, 0x1p23f), GURN_L(splat32)(0x1.8p23f));
    return (GURN_L(i32))(exponent + (GURN_L(bits32)(rounded) - 0x4B400000u));
}

/* log2((1+s)/(1-s)) for |s| <= 0.172, as s * q(s^2); relative error 2e-16. */
GURN_FN GURN_L(f64) GURN_L(log2_ratio64)(GURN_L(f64) s) {
    GURN_L(f64) z = s * s;
    GURN_L(f64) q = GURN_L(splat64)(0.21367077946267186606);
    q = GURN_L(fma64)(q, z, GURN_L(splat64)(0.22091186685788852995));
    q = GURN_L(fma64)(q, z, GURN_L(splat64)(0.26233440174514829724));
    q = GURN_L(fma64)(q, z, GURN_L(splat64)(0.32059853392646233611));
    q = GURN_L(fma64)(q, z, GURN_L(splat64)(0.41219858585106456814));
    q = GURN_L(fma64)(q, z, GURN_L(splat64)(0.57707801634547042499));
    q = GURN_L(fma64)(q, z, GURN_L(splat64)(0.96179669392598982026));
    q = GURN_L(fma64)(q, z, GURN_L(splat64)(2.8853900817779268114));
    return s * q;
}

/* log2(x) for normal x > 0; absolute error 2e-16 * max(1, |log2 x|), relative error 4e-16 near x = 1. */
GURN_FN GURN_L(f64) GURN_L(log2_64)(GURN_L(f64) x) {
    GURN_L(u64) exponent = (GURN_L(bits64)(x) - 0x3FE6A09E667F3BCDu) & 0xFFF0000000000000u;
    GURN_L(f64) f = GURN_L(from_bits64)(GURN_L(bits64)(x) - exponent) - GURN_L(splat64)(1.0); /* mantissa - 1, exact */
    GURN_L(f64) e = GURN_L(to_f64)((GURN_L(i64))exponent >> 52);
    return e + GURN_L(log2_ratio64)(GURN_L(div64)(f, f + GURN_L(splat64)(2.0)));
}

/*
 * log(1 - x) for 0 <= x < 1, natural: relative error 4e-16 where x is small, absolute 2e-16 max(1, |the logarithm|) elsewhere.
 * As log2_64, but that from x itself where 1 - x has lost digits.
 */
GURN_FN GURN_L(f64) GURN_L(log_without)(GURN_L(f64) x) {
    GURN_L(f64) a = GURN_L(splat64)(1.0) - x, limit = GURN_L(splat64)(0.25);
    GURN_L(u64) exponent = (GURN_L(bits64)(a) - 0x3FE6A09E667F3BCDu) & 0xFFF0000000000000u;
    GURN_L(f64) f = GURN_L(from_bits64)(GURN_L(bits64)(a) - exponent) - GURN_L(splat64)(1.0);
    GURN_L(f64) e = GURN_L(to_f64)((GURN_L(i64))exponent >> 52);
    f = GURN_L(if_less64)(x, limit, -x, f);
    return (e + GURN_L(log2_ratio64)(GURN_L(div64)(f, f + GURN_L(splat64)(2.0)))) *
           GURN_L(splat64)(0.69314718055994530942);
}

/* The double version of exponential32: -log2 u, relative error 5e-16. */
GURN_FN GURN_L(f64) GURN_L(exponential64)(GURN_L(u64) r) { /* r < 2^32 */
    GURN_L(i64) upper = GURN_L(sign64)((GURN_L(i64))(r << 32));
    GURN_L(u64) a = (r ^ (GURN_L(u64))upper) & 0xFFFFFFFFu;
    GURN_L(f64) t = GURN_L(fma64)(GURN_L(to_f64)((GURN_L(i64))a), GURN_L(splat64)(0x1p-32), GURN_L(splat64)(0x1p-33));
    GURN_L(f64) signed_t = GURN_L(from_bits64)(GURN_L(bits64)(t) ^ ((GURN_L(u64))upper & 0x8000000000000000u));
    GURN_L(f64) base = GURN_L(from_bits64)((GURN_L(u64))upper & 0x3FF0000000000000u);
    GURN_L(u64) exponent = (GURN_L(bits64)(base + signed_t) - 0x3FE6A09E667F3BCDu) & 0xFFF0000000000000u;
    GURN_L(f64) scale = GURN_L(from_bits64)(0x3FF0000000000000u - exponent);
    GURN_L(f64) f = GURN_L(fma64)(signed_t, scale, GURN_L(fma64)(base, scale, GURN_L(splat64)(-1.0)));
    GURN_L(f64) e = GURN_L(to_f64)((GURN_L(i64))exponent >> 52);
    return -(e + GURN_L(log2_ratio64)(GURN_L(div64)(f, f + GURN_L(splat64)(2.0))));
}

/* 2^x; 0 below -1021, and x above 1023 gives 2^1023. Relative error 4e-16. NaN stays NaN. */
GURN_FN GURN_L(f64) GURN_L(exp2_64)(GURN_L(f64) x) {
    GURN_L(f64) low = GURN_L(splat64)(-1021.0), high = GURN_L(splat64)(1023.0);
    GURN_L(f64) c = GURN_L(if_less64)(x, low, low, x);
    c = GURN_L(if_less64)(high, c, high, c);
    GURN_L(f64) shifted = c + GURN_L(splat64)(0x1.8p52); /* round to nearest whole number, left in the low bits */
    GURN_L(f64) t = c - (shifted - GURN_L(splat64)(0x1.8p52));
    GURN_L(f64) p = GURN_L(splat64)(4.435282822400354436e-10);
    p = GURN_L(fma64)(p, t, GURN_L(splat64)(7.0741055488794181694e-9));
    p = GURN_L(fma64)(p, t, GURN_L(splat64)(1.0178198019834490362e-7));
    p = GURN_L(fma64)(p, t, GURN_L(splat64)(1.3215433090265398333e-6));
    p = GURN_L(fma64)(p, t, GURN_L(splat64)(0.000015252733489995966166));
    p = GURN_L(fma64)(p, t, GURN_L(splat64)(0.0001540353046251262598));
    p = GURN_L(fma64)(p, t, GURN_L(splat64)(0.0013333558146789910487));
    p = GURN_L(fma64)(p, t, GURN_L(splat64)(0.0096181291075883374844));
    p = GURN_L(fma64)(p, t, GURN_L(splat64)(0.055504108664819921674));
    p = GURN_L(fma64)(p, t, GURN_L(splat64)(0.24022650695910156194));
    p = GURN_L(fma64)(p, t, GURN_L(splat64)(0.69314718055994533046));
    p = GURN_L(fma64)(p, t, GURN_L(splat64)(1.0));
    GURN_L(f64) result = GURN_L(from_bits64)(GURN_L(bits64)(p) + (GURN_L(bits64)(shifted) << 52));
    return GURN_L(if_less64)(x, low, GURN_L(splat64)(0.0), result);
}
