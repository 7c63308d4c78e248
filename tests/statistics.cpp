#include "statistics.h"

#include <algorithm>
#include <cmath>

namespace gurn_test {

/* The regularised incomplete gamma function Q(a, x): series below a + 1, Lentz's continued fraction above. */
double chi_square_tail(double value, double df) {
    const double a = df / 2, x = value / 2;
    if (!(x > 0)) return 1;
    const double scale = std::exp(a * std::log(x) - x - std::lgamma(a));
    if (x < a + 1) {
        double term = 1 / a, sum = term;
        for (double k = a + 1; term > 1e-17 * sum; k += 1) sum += term *= x / k;
        return 1 - scale * sum;
    }
    double b = x + 1 - a, c = 1e300, d = 1 / b, f = d;
    for (int i = 1; i < 10000; i++) {
        const double an = i * (a - i);
        b += 2;
        d = 1 / (an * d + b);
        c = b + an / c;
        f *= d * c;
        if (std::fabs(d * c - 1) < 1e-15) break;
    }
    return scale * f;
}

double Fit::p() const {
    return impossible ? 0 : df == 0 ? 1 : std::min(chi_square_tail(g, df), chi_square_tail(chi_square, df));
}

Fit goodness_of_fit(const std::vector<double> &observed, const std::vector<double> &probability) {
    Fit fit;
    double draws = 0;
    for (double o : observed) draws += o;
    std::vector<double> o, e;
    double pool_o = 0, pool_e = 0;
    for (size_t k = 0; k < observed.size(); k++) {
        fit.impossible |= observed[k] > 0 && !(probability[k] > 0);
        pool_o += observed[k];
        pool_e += draws * probability[k];
        if (pool_e < 10) continue;
        o.push_back(pool_o);
        e.push_back(pool_e);
        pool_o = pool_e = 0;
    }
    if (e.empty()) return fit;
    o.back() += pool_o;
    e.back() += pool_e;
    for (size_t k = 0; k < o.size(); k++) {
        if (o[k] > 0) fit.g += 2 * o[k] * std::log(o[k] / e[k]);
        fit.chi_square += (o[k] - e[k]) * (o[k] - e[k]) / e[k];
    }
    fit.df = static_cast<int>(o.size()) - 1;
    return fit;
}

double kolmogorov_distance(const std::vector<double> &observed, const std::vector<double> &probability) {
    double draws = 0, seen = 0, expected = 0, worst = 0;
    for (double o : observed) draws += o;
    for (size_t k = 0; k < observed.size(); k++) {
        seen += observed[k] / draws;
        expected += probability[k];
        worst = std::max(worst, std::fabs(seen - expected));
    }
    return worst;
}

double kolmogorov_limit(double draws) { return std::sqrt(std::log(2 / kFalseAlarm) / (2 * draws)); }

}  // namespace gurn_test
