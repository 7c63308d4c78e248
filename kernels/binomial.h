/*
 * The binomial law of one class under the tilt (tilt.h), for log-probabilities that are right to their last digits whatever
 * the numbers of balls. In C and in CUDA device code.
 *
 * Odds. lambda = log omega + the log of the tilt, natural, is known as a pair of doubles. p = 1 / (1 + e^-lambda) and q =
 * 1 - p are rounded doubles, but of the smaller one it is also known what rounding took from it: for x - m p is the
 * difference of numbers up to 2^26, to be known to 1e-16 of a standard deviation, of which there are 2^12.
 *
 * Log-probability, after C. Loader, "Fast and Accurate Computation of Binomial Probabilities" (2000): with the deviance
 * D(x; mu) = x log(x / mu) + mu - x >= 0 and what Stirling's formula leaves, delta(z) = log Gamma(z+1) - (z + 1/2) log z + z
 * - log(2 pi)/2,
 *     log C(m,x) p^x q^(m-x) = delta(m) - delta(x) - delta(m-x) - D(x; m p) - D(m-x; m q) - log(2 pi x (m-x) / m) / 2,
 * in which nothing large is subtracted from anything. Counts may be real (1/Gamma, DESIGN 1.2). Below GURN_FEW balls on
 * either side it is C(m,x) as a product that is small enough.
 */
#ifndef GURN_BINOMIAL_H
#define GURN_BINOMIAL_H

#include "gammamath.h"
#include "pair.h"

#define GURN_L(name) s_##name
#include "odds_lanes.h"
#undef GURN_L

typedef s_odds gurn_odds;

/* Odds of a : b, each exact. */
GURN_FN gurn_odds gurn_odds_between(double a, double b) {
    double all = a + b, smaller = a < b ? a : b, less = smaller / all, more = (a < b ? b : a) / all;
    gurn_odds odds = {log(a / b), a < b ? less : more, a < b ? more : less, fma(-less, all, smaller) / all,
                      s_log_without(less)};
    return odds;
}

GURN_FN double gurn_odds_log_p(gurn_odds odds) {
    return odds.lambda > 0.0 ? odds.log_more : odds.log_more + odds.lambda;
}
GURN_FN double gurn_odds_log_q(gurn_odds odds) {
    return odds.lambda > 0.0 ? odds.log_more - odds.lambda : odds.log_more;
}

/* x - m p, to more digits than m p has. (x may have more places than m - x.) */
GURN_FN double gurn_count_above(double m, double x, gurn_odds odds) {
    gurn_pair left = gurn_two_sum(m, -x);
    return odds.lambda > 0.0 ? fma(m, odds.low, -(fma(-m, odds.q, left.hi) + left.lo))
                             : fma(-m, odds.low, fma(-m, odds.p, x));
}

/* Fewest balls on either side for Stirling's formula. */
#define GURN_FEW 10.0

/* log C(m, x) for -1 < x < GURN_FEW, x <= m/2 + 1/2: whole x by a product; in between by how far Gamma bends. */
GURN_FN double gurn_log_choose_few(double m, double x) {
    double whole = x > 0.0 ? floor(x) : 0.0, part = x - whole, product = 1.0;
    for (double l = 0.0; l < whole; l += 1.0) product *= (m - l) / (part + l + 1.0);
    double value = log(product);
    if (part == 0.0) return value;
    double z = m - whole + 1.0;
    return value + fma(part, log(z), -GURN_LN2 * (gurn_log2_gamma_bend(z, -part) + gurn_log2_gamma_bend(1.0, part)));
}

/* D(x; mu) where d = x - mu is known better than x and mu are. mu = m p; log_p: where that underflows. */
GURN_FN double gurn_deviance(double x, double d, double mu, double m, double log_p) {
    double sum = x + mu;
    if (!(fabs(d) < 0.1 * sum)) return fma(x, mu > 1e-280 ? log(x / mu) : log(x / m) - log_p, -d);
    double v = d / sum, w = v * v; /* 2 (v^2/3 + v^4/5 + ...); the first term left out is 1e-17 of D */
    double series = 1.0 / 17.0;
    series = fma(series, w, 1.0 / 15.0);
    series = fma(series, w, 1.0 / 13.0);
    series = fma(series, w, 1.0 / 11.0);
    series = fma(series, w, 1.0 / 9.0);
    series = fma(series, w, 1.0 / 7.0);
    series = fma(series, w, 1.0 / 5.0);
    series = fma(series, w, 1.0 / 3.0);
    return v * fma(2.0 * x * w, series, d);
}

/* delta(z), z >= GURN_FEW */
GURN_FN double gurn_stirling_rest(double z) {
    double w = 1.0 / z;
    return gurn_stirling(w * w) * w;
}

/*
 * log C(m, x) p^x q^(m-x) for real x; -infinity outside (-1, m + 1), where 1/Gamma vanishes. Relative error 1e-15 or so, and
 * absolute 1e-15 (1 + the log odds times GURN_FEW).
 */
GURN_FN double gurn_log_binomial(double m, double x, gurn_odds odds) {
    double y = m - x, log_p = gurn_odds_log_p(odds), log_q = gurn_odds_log_q(odds);
    if (!(x > -1.0 && x < m + 1.0)) return -INFINITY;
    if (x == 0.0) return m * log_q;
    if (y == 0.0) return m * log_p;
    double fewer = x < y ? x : y;
    if (fewer < GURN_FEW) return gurn_log_choose_few(m, fewer) + fma(x, log_p, y * log_q);
    double d = gurn_count_above(m, x, odds);
    double away = gurn_deviance(x, d, m * odds.p, m, log_p) + gurn_deviance(y, -d, m * odds.q, m, log_q);
    double rest = gurn_stirling_rest(m) - gurn_stirling_rest(x) - gurn_stirling_rest(y);
    return rest - 0.5 * log(6.283185307179586476925 * x * (y / m)) - away;
}

/* p' - p. shift = lambda' - lambda, known better than they are: p q' (e^shift - 1). */
GURN_FN double gurn_odds_change(gurn_odds odds, gurn_odds other, double shift) {
    if (fabs(shift) < 1.0) return odds.p * other.q * expm1(shift);
    return odds.lambda > 0.0 && other.lambda > 0.0 ? odds.q - other.q : other.p - odds.p;
}

/* KL of two Bernoulli laws, p against p', which is D(p; p') + D(q; q') >= 0. */
GURN_FN double gurn_bernoulli_divergence(gurn_odds odds, gurn_odds other, double shift) {
    double log_p = gurn_odds_log_p(other), log_q = gurn_odds_log_q(other);
    if (odds.p == 0.0) return -log_q;
    if (odds.q == 0.0) return -log_p;
    double d = -gurn_odds_change(odds, other, shift);
    return gurn_deviance(odds.p, d, other.p, 1.0, log_p) + gurn_deviance(odds.q, -d, other.q, 1.0, log_q);
}

#endif
