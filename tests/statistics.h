/*
 * Goodness of fit with a stated false-alarm rate. Every test in this directory that uses these draws with fixed seeds, so what
 * passes once passes for ever; kFalseAlarm is the chance that a right sampler would have failed with the seed that was picked.
 */
#ifndef GURN_TESTS_STATISTICS_H
#define GURN_TESTS_STATISTICS_H

#include <vector>

namespace gurn_test {

constexpr double kFalseAlarm = 1e-6; /* per statistic tested */

/* P(chi-square with df degrees of freedom > value). */
double chi_square_tail(double value, double df);

struct Fit {
    double g = 0, chi_square = 0; /* 2 sum O log(O/E) and sum (O-E)^2/E over bins */
    int df = 0;                   /* bins - 1 */
    bool impossible = false;      /* something was seen that has probability 0 */
    double p() const;             /* the smaller of the two tails; 0 when impossible */
};

/* Observed counts against probabilities that sum to 1; neighbouring bins are pooled until each expects at least 10. */
Fit goodness_of_fit(const std::vector<double> &observed, const std::vector<double> &probability);

/*
 * Largest distance between the empirical and the true distribution function, and what it exceeds with probability kFalseAlarm at
 * most (Dvoretzky-Kiefer-Wolfowitz with Massart's constant: valid for discrete laws too).
 */
double kolmogorov_distance(const std::vector<double> &observed, const std::vector<double> &probability);
double kolmogorov_limit(double draws);

}  // namespace gurn_test

#endif
