/*
 * Numbers that need more digits than a double has: the unevaluated sum of two, hi + lo, |lo| at most half a unit in the last
 * place of hi. In C and in CUDA device code. Nothing may be contracted or reordered, which the build sees to.
 */
#ifndef GURN_PAIR_H
#define GURN_PAIR_H

#include "lanes.h"

typedef struct gurn_pair {
    double hi, lo;
} gurn_pair;

/* a + b without error (Knuth). Finite arguments. */
GURN_FN gurn_pair gurn_two_sum(double a, double b) {
    double s = a + b, t = s - a;
    gurn_pair sum = {s, (a - (s - t)) + (b - t)};
    return sum;
}
/* a b without error, if nothing underflows. */
GURN_FN gurn_pair gurn_two_product(double a, double b) {
    double p = a * b;
    gurn_pair product = {p, fma(a, b, -p)};
    return product;
}

/*
 * A running sum that keeps what it rounds away (Neumaier): its error does not grow with the number of terms, but is that of
 * one addition, and of 2^-106 of the terms' sizes.
 */
GURN_FN void gurn_sum_add(gurn_pair *sum, double value) {
    gurn_pair next = gurn_two_sum(sum->hi, value);
    sum->hi = next.hi;
    sum->lo += next.lo;
}
/* Adds a b, all of it. */
GURN_FN void gurn_sum_add_product(gurn_pair *sum, double a, double b) {
    gurn_pair product = gurn_two_product(a, b);
    gurn_sum_add(sum, product.hi);
    sum->lo += product.lo;
}
GURN_FN double gurn_sum_value(gurn_pair sum) { return sum.hi + sum.lo; }

#endif
