/* The tilt (tilt.h) by one warp: its lanes are the strided partial sums, so that it has the bits it has on a CPU. */
#ifndef GURN_TILT_CUH
#define GURN_TILT_CUH

#include "omega.h"
#include "tilt.h"
#include "warp.cuh"

/* gurn_omega_largest by a warp; value(c) and m(c): a class's log omega and size. */
template <class Value, class M>
GURN_DEVICE double gurn_warp_omega_largest(int32_t classes, Value value, M m) {
    double largest = -INFINITY;
    for (int32_t c = gurn_lane(); c < classes; c += GURN_WARP)
        if (m(c) > 0.0 && value(c) > largest) largest = value(c);
    largest = -gurn_tile_least<GURN_WARP>(-largest);
    return largest > -INFINITY ? largest : 0.0;
}

/* a(c) and m(c): a class's log2 omega and size. All lanes call and get the same. */
template <class A, class M>
GURN_DEVICE gurn_tilt_range gurn_warp_tilt_range(int32_t classes, double total, A a, M m) {
    gurn_tilt_range range = {INFINITY, -INFINITY, 0.0};
    for (int32_t c = gurn_lane(); c < classes; c += GURN_TILT_LANES) {
        double value = a(c), size = m(c);
        if (size == 0.0) continue;
        range.min = value < range.min ? value : range.min;
        range.max = value > range.max ? value : range.max;
        range.mean += value * size;
    }
    range.min = gurn_tile_least<GURN_WARP>(range.min);
    range.max = -gurn_tile_least<GURN_WARP>(-range.max);
    range.mean = total > 0.0 ? gurn_tile_sum<GURN_WARP>(range.mean) / total : 0.0;
    return range;
}

/* The tilt of n of total balls, 0 < n < total. */
template <class A, class M>
GURN_DEVICE gurn_tilt gurn_warp_tilt(int32_t classes, double n, double total, gurn_tilt_range range, A a, M m) {
    gurn_tilt t = gurn_tilt_begin(n, total, range);
    do {
        double mean = 0.0, variance = 0.0;
        for (int32_t c = gurn_lane(); c < classes; c += GURN_TILT_LANES) {
            double p, q;
            s_odds_to_p(gurn_tilt_lambda(a(c), t.ell), &p, &q);
            double mp = m(c) * p;
            mean += mp;
            variance = fma(mp, q, variance);
        }
        t.mean = gurn_tile_sum<GURN_WARP>(mean);
        t.variance = gurn_tile_sum<GURN_WARP>(variance);
    } while (!gurn_tilt_step(&t));
    return t;
}

#endif
