/*
 * How far an honest implementation may be from the oracle. First-order error propagation through one row, beginning with the
 * two errors that an implementation is allowed: `logit`, absolute, of a logit relative to the mode's (DESIGN: 1e-5 in float32),
 * and `rounding`, relative, of every other operation. The figures bound any signs of the errors, so what a test allows is
 * about ten to a hundred times what is seen, and a wrong term is orders of magnitude beyond it.
 */
#ifndef GURN_TESTS_ORACLE_BOUNDS_H
#define GURN_TESTS_ORACLE_BOUNDS_H

#include "oracle.h"

namespace oracle {

struct ErrorModel {
    double logit;
    double rounding;
    double skipped = 0; /* weight, relative to the largest, below which a point may be left out of a relaxed sum */
};

struct ForwardBounds {
    std::vector<double> x, y, mask;
    double log_p;
};

/* In hard mode only log_p has an error; it is that of row.x given, whatever was drawn. */
ForwardBounds forward_bounds(const Urn &urn, const Row &row, const std::vector<double> &x, const ErrorModel &model);
Gradients backward_bounds(const Urn &urn, const Row &row, const std::vector<double> &x, const Upstream &upstream,
                          const ErrorModel &model);

}  // namespace oracle

#endif
