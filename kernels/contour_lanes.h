/* log phi of one class at the nodes of the contour (moments.h), a template over GURN_L like logmath_lanes.h: one lane is one node. */

/* What of a node does not depend on the class: t in [0, pi), sin t, 1 - cos t, and sin t - t. */
typedef struct GURN_L(node) {
    GURN_L(f64) t, sine, versine, bend;
} GURN_L(node);

/*
 * log phi(t) - i p t = log(modulus) + i phase of one ball, phi = q + p e^{it}. less: the smaller of p and q; twice_pq: 2 p q.
 * The phase is that of less = p, and minus it else, for phi = e^{it} (p + q e^{-it}).
 *
 * modulus^2 = 1 - 2 p q (1 - cos t). The phase is atan(y / w) - p t, y = p sin t, w = 1 - p (1 - cos t), both of which are
 * about p t where t is small: there y / w - p t = p (sin t - t + p t (1 - cos t)) / w, and the rest of the arc tangent, are
 * both of the order of t^3, as their sum is. Elsewhere by atan(y/w) = pi/4 + atan((y-w)/(y+w)) or pi/2 - atan(w/y).
 */
GURN_FN void GURN_L(node_log)(GURN_L(node) node, GURN_L(f64) less, GURN_L(f64) twice_pq, GURN_L(f64) *log_modulus,
                              GURN_L(f64) *phase) {
    GURN_L(f64) one = GURN_L(splat64)(1.0), tan_8 = GURN_L(splat64)(0.41421356237309504880),
                tan_38 = GURN_L(splat64)(2.41421356237309504880);
    *log_modulus = GURN_L(splat64)(0.5) * GURN_L(log_without)(twice_pq * node.versine);
    GURN_L(f64) y = less * node.sine, w = GURN_L(fma64)(-less, node.versine, one);
    GURN_L(f64) near = tan_8 * w, far = tan_38 * w, turn = less * node.t;
    GURN_L(f64) above = GURN_L(if_less64)(near, y, GURN_L(if_less64)(far, y, -w, y - w), y);
    GURN_L(f64) below = GURN_L(if_less64)(near, y, GURN_L(if_less64)(far, y, y, y + w), w);
    GURN_L(f64) inverse = GURN_L(div64)(one, below), z = above * inverse, u = z * z;
    GURN_L(f64) series = GURN_L(splat64)(0.016301049231890387735); /* (atan z - z) / z^3 */
    series = GURN_L(fma64)(series, u, GURN_L(splat64)(-0.034585027492266565532));
    series = GURN_L(fma64)(series, u, GURN_L(splat64)(0.045521842452755250155));
    series = GURN_L(fma64)(series, u, GURN_L(splat64)(-0.052305907703041919756));
    series = GURN_L(fma64)(series, u, GURN_L(splat64)(0.058789485792699463979));
    series = GURN_L(fma64)(series, u, GURN_L(splat64)(-0.066664266908986138554));
    series = GURN_L(fma64)(series, u, GURN_L(splat64)(0.076922964819523508827));
    series = GURN_L(fma64)(series, u, GURN_L(splat64)(-0.090909087574511393305));
    series = GURN_L(fma64)(series, u, GURN_L(splat64)(0.11111111105240647702));
    series = GURN_L(fma64)(series, u, GURN_L(splat64)(-0.14285714285660770915));
    series = GURN_L(fma64)(series, u, GURN_L(splat64)(0.19999999999999808604));
    series = GURN_L(fma64)(series, u, GURN_L(splat64)(-0.3333333333333333322));
    GURN_L(f64) small = less * GURN_L(fma64)(turn, node.versine, node.bend) * inverse;
    GURN_L(f64) angle =
        GURN_L(if_less64)(far, y, GURN_L(splat64)(1.57079632679489661923), GURN_L(splat64)(0.78539816339744830962));
    *phase = GURN_L(fma64)(series * u, z, GURN_L(if_less64)(near, y, (angle + z) - turn, small));
}
