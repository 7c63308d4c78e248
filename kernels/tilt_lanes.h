/* The tilt (tilt.h), a template over GURN_L like logmath_lanes.h. */

/* One lane is one class, or one row of one class: p = 1 / (1 + 2^-lambda) and q = 1 - p, each to full relative precision while |lambda| < 1021. */
GURN_FN void GURN_L(odds_to_p)(GURN_L(f64) lambda, GURN_L(f64) *p, GURN_L(f64) *q) {
    GURN_L(f64) t = GURN_L(exp2_64)(-lambda), one = GURN_L(splat64)(1.0);
    *p = GURN_L(div64)(one, one + t);
    *q = t * *p;
}

/* Where the search for ell stands; one lane is one row. */
typedef struct GURN_L(tilt_search) {
    GURN_L(f64) n, total, logit; /* log2(n / (total - n)) */
    GURN_L(f64) ell, low, high;  /* and its bracket */
    GURN_L(f64) step;            /* size of the last change of ell */
} GURN_L(tilt_search);

/* a_mean, a_min, a_max: gurn_tilt_range. All p_j lie between those of a_min and a_max, which gives the bracket. */
GURN_FN GURN_L(tilt_search)
    GURN_L(tilt_begin)(GURN_L(f64) n, GURN_L(f64) total, GURN_L(f64) a_mean, GURN_L(f64) a_min, GURN_L(f64) a_max) {
    GURN_L(tilt_search) t;
    t.n = n;
    t.total = total;
    t.logit = GURN_L(log2_64)(GURN_L(div64)(n, total - n));
    t.low = t.logit - a_max;
    t.high = t.logit - a_min;
    t.ell = t.logit - a_mean;
    t.step = t.high - t.low;
    return t;
}

/*
 * One round of Newton's method on log2 odds(mean / total) as a function of ell, which is nearly straight (straight when
 * all omega are equal), with bisection where that leaves the bracket or does not at least halve the step. mean, variance:
 * of the sum at t->ell. 0 where ell is final, for |mean - n| is within 2^-20 standard deviations (or rounding), else 1.
 * Nothing that is computed with the tilt needs it exactly.
 */
GURN_FN GURN_L(f64) GURN_L(tilt_step)(GURN_L(tilt_search) *t, GURN_L(f64) mean, GURN_L(f64) variance) {
    GURN_L(f64) zero = GURN_L(splat64)(0.0), one = GURN_L(splat64)(1.0), half = GURN_L(splat64)(0.5);
    GURN_L(f64) off = mean - t->n, rest = t->total - mean;
    GURN_L(f64) enough =
        GURN_L(fma64)(GURN_L(sqrt64)(variance), GURN_L(splat64)(0x1p-20), t->n * GURN_L(splat64)(0x1p-46));
    GURN_L(f64) low = GURN_L(if_less64)(off, zero, t->ell, t->low),
                high = GURN_L(if_less64)(off, zero, t->high, t->ell);
    GURN_L(f64) middle = half * (low + high);
    GURN_L(f64) slope = GURN_L(div64)(variance, mean * rest) * t->total;
    GURN_L(f64) next = t->ell + GURN_L(div64)(t->logit - GURN_L(log2_64)(GURN_L(div64)(mean, rest)), slope);
    next = GURN_L(if_less64)(zero, mean, next, middle);
    next = GURN_L(if_less64)(zero, rest, next, middle);
    next = GURN_L(if_less64)(zero, variance, next, middle);
    next = GURN_L(if_less64)(low, next, GURN_L(if_less64)(next, high, next, middle), middle);
    GURN_L(f64) change = next - t->ell;
    change = GURN_L(if_less64)(change, zero, -change, change);
    next = GURN_L(if_less64)(half * t->step, change, middle, next);
    change = next - t->ell;
    change = GURN_L(if_less64)(change, zero, -change, change);
    GURN_L(f64) more = GURN_L(if_less64)(zero, change, one, zero);
    more = GURN_L(if_less64)(low, middle, GURN_L(if_less64)(middle, high, more, zero), zero);
    more = GURN_L(if_less64)(enough, GURN_L(if_less64)(off, zero, -off, off), more, zero);
    t->low = GURN_L(if_less64)(zero, more, low, t->low);
    t->high = GURN_L(if_less64)(zero, more, high, t->high);
    t->step = GURN_L(if_less64)(zero, more, change, t->step);
    t->ell = GURN_L(if_less64)(zero, more, next, t->ell);
    return more;
}
