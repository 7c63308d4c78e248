/* Entries of a panel of suffix_wide.h, a template over GURN_L like logmath_lanes.h: one lane is one entry. */

/*
 * An entry `value` as the panel holds it: 2^(value - centre + distance slope), at `distance` from the entry of value
 * `centre`.
 */
GURN_FN GURN_L(f64) GURN_L(panel_scaled)(GURN_L(f64) value, double centre, GURN_L(f64) distance, double slope) {
    return GURN_L(exp2_64)(GURN_L(fma64)(distance, GURN_L(splat64)(slope), value - GURN_L(splat64)(centre)));
}
/* And back. */
GURN_FN GURN_L(f64) GURN_L(panel_value)(GURN_L(f64) scaled, double centre, GURN_L(f64) distance, double slope) {
    return GURN_L(fma64)(-distance, GURN_L(splat64)(slope), GURN_L(splat64)(centre) + GURN_L(log2_64)(scaled));
}
