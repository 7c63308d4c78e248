/*
 * The windows that kernels sweep, for sass_report.py, which compiles this: of each line `m m_rest n lambda bits`
 * (lambda: base-2 log odds) the first and the last count, as kernels/mvhg_lanes.h bounds them on either side of the
 * mode.
 */
#include <stdio.h>

#include "kernels/mvhg.h"

static double log_binomial(double m, double k) {
    return (lgamma(m + 1.0) - lgamma(k + 1.0) - lgamma(m - k + 1.0)) / log(2.0);
}

int main(void) {
    int m, m_rest, n;
    double lambda, bits;
    while (scanf("%d %d %d %lf %lf", &m, &m_rest, &n, &lambda, &bits) == 5) {
        gurn_support support = gurn_support_hard(m, m_rest, n);
#define COST(k) (-log_binomial(m, k) - log_binomial(m_rest, n - (k)) - (k)*lambda)
        int mode = support.low;
        while (mode < support.high && COST(mode + 1) < COST(mode)) mode++;
        int up = support.high - mode, down = mode - support.low;
        float own = (float)mode, left = (float)(n - mode), more = (float)(m - mode), rest = (float)(m_rest - n + mode);
        up = (int)s_window_reach(up ? (float)(COST(mode + 1) - COST(mode)) : 256.0f, more, left, own, rest, (float)up,
                                 (float)bits);
        down = (int)s_window_reach(down ? (float)(COST(mode - 1) - COST(mode)) : 256.0f, own, rest, more, left,
                                   (float)down, (float)bits);
        printf("%d %d\n", mode - down, mode + up);
    }
    return 0;
}
