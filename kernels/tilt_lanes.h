/* One class of the tilt, a template over GURN_L like logmath_lanes.h: one lane is one class. */

/* p = 1 / (1 + 2^-lambda) and q = 1 - p, each to full relative precision while |lambda| < 1021. */
GURN_FN void GURN_L(odds_to_p)(GURN_L(f64) lambda, GURN_L(f64) *p, GURN_L(f64) *q) {
    GURN_L(f64) t = GURN_L(exp2_64)(-lambda), one = GURN_L(splat64)(1.0);
    *p = GURN_L(div64)(one, one + t);
    *q = t * *p;
}
