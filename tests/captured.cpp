#include "captured.h"

#include <cmath>

namespace gurn_test {

/* Log omega are short decimals: nothing here depends on a C library's logarithm. */
std::vector<CapturedProblem> captured_problems() {
    std::vector<CapturedProblem> list;
    for (gurn_dtype dtype : {GURN_FLOAT32, GURN_FLOAT64}) {
        const std::string suffix = dtype == GURN_FLOAT32 ? "_float32" : "_float64";
        const auto add = [&](const char *name, std::vector<int> m, std::vector<int> order, int n, int64_t rows,
                             std::vector<double> log_omega, uint64_t seed,
                             oracle::Chain chain = oracle::Chain::merged) {
            Problem p;
            p.urn.chain = chain;
            p.urn.m = m;
            p.urn.order = order;
            p.n = n;
            p.rows = rows;
            p.log_omega = log_omega;
            p.seed = seed;
            p.offset = 1000 * seed;
            list.push_back({name + suffix, dtype, p});
        };
        add("small", {3, 5, 4}, {}, 5, 60, {0.5, -0.25, 0}, 1);
        add("S1", {200, 200, 200}, {}, 180, 60, {0, 1.5, 0}, 2);
        add("S2", std::vector<int>(10, 256), {}, 256, 20, {-1, -0.75, -0.5, -0.25, 0, 0.25, 0.5, 0.75, 1, 1.25}, 3);
        add("S3", {20000, 20000, 20000}, {}, 18000, 10, {0, 1.5, 0}, 4);
        add("order", {31, 0, 32, 33, 64}, {4, 2, 1, 0, 3}, 70, 40, {0.5, 0, -0.5, 1, -1}, 5);
        add("extreme", {20, 30, 40}, {}, 45, 40, {-60, 0.5, 60}, 6);
        add("million", {1000000, 1000000}, {}, 700000, 10, {0.125, 0}, 0x123456789abcdef0u);
        const oracle::Chain exact = oracle::Chain::exact;
        add("small_exact", {3, 5, 4}, {}, 5, 60, {0.5, -0.25, 0}, 8, exact);
        add("S1_exact", {200, 200, 200}, {}, 180, 60, {0, 1.5, 0}, 9, exact);
        add("S2_exact", std::vector<int>(10, 256), {}, 256, 20, {-1, -0.75, -0.5, -0.25, 0, 0.25, 0.5, 0.75, 1, 1.25},
            10, exact);
        add("S3_exact", {20000, 20000, 20000}, {}, 18000, 10, {0, 1.5, 0}, 11, exact);
        add("order_exact", {31, 0, 32, 33, 64}, {4, 2, 1, 0, 3}, 70, 40, {0.5, 0, -0.5, 1, -1}, 12, exact);
        add("extreme_exact", {20, 30, 40}, {}, 45, 40, {-60, 0.5, 60}, 13, exact);
    }
    return list;
}

/* Log omega are exact in both dtypes, which draw the same. */
std::vector<CapturedProblem> captured_plain_problems() {
    std::vector<CapturedProblem> list;
    const auto add = [&](const char *name, std::vector<int> m, std::vector<int> order, int n, int64_t rows,
                         std::vector<double> log_omega, uint64_t seed) {
        for (const oracle::Chain chain : {oracle::Chain::exact, oracle::Chain::merged}) {
            Problem p;
            p.urn.m = m;
            p.urn.order = order;
            p.urn.chain = chain;
            p.n = n;
            p.rows = rows;
            p.log_omega = log_omega;
            p.seed = seed;
            p.offset = 1000 * seed;
            list.push_back({std::string("plain_") + name + (chain == oracle::Chain::exact ? "_exact" : "_merged"),
                            GURN_FLOAT32, p});
        }
    };
    add("small", {3, 5, 4}, {}, 5, 60, {0.5, -0.25, 0}, 1);
    add("S1", {200, 200, 200}, {}, 180, 60, {0, 1.5, 0.125}, 2);
    add("S2", std::vector<int>(10, 256), {}, 256, 20, {-1, -0.75, -0.5, -0.25, 0, 0.25, 0.5, 0.75, 1, 1.25}, 3);
    add("S3", {20000, 20000, 20000}, {}, 18000, 10, {0, 1.5, 0.125}, 4);
    add("order", {31, 0, 32, 33, 64}, {4, 2, 1, 0, 3}, 70, 40, {0.5, 0, -0.5, 1, -1}, 5);
    add("extreme", {20, 30, 40}, {}, 45, 40, {-60, 0.5, 60}, 6);
    add("central", {200, 100, 300}, {}, 250, 40, {0.5, 0.5, 0.5}, 7);
    add("million", {1000000, 1000000}, {}, 700000, 10, {0.125, 0}, 0x123456789abcdef0u);
    return list;
}

}  // namespace gurn_test
