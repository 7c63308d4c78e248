/*
 * Hard samples against the chain's exact law: G and chi-square tests of joint counts on small urns, of marginals on large ones,
 * Kolmogorov-Smirnov on both, and independence between rows. Each statistic may fail a right sampler with probability 1e-6
 * (statistics.h); about 60 are computed on every target, with fixed seeds.
 */
#include "statistics.h"

#include <cmath>

#include "harness.h"

using namespace gurn_test;

TEST(StatisticsItself, TailsAreRight) {
    /* exp(-x/2) for df = 2; tables: chi2 = 18.307 leaves 0.05 at df = 10, 149.449 leaves 0.001 at df = 100 */
    EXPECT_LE(std::fabs(chi_square_tail(7, 2) - std::exp(-3.5)), 1e-14);
    EXPECT_LE(std::fabs(chi_square_tail(18.307038, 10) - 0.05), 1e-8);
    EXPECT_LE(std::fabs(chi_square_tail(149.449253, 100) - 0.001), 1e-9);
    EXPECT_LE(std::fabs(chi_square_tail(0.5, 3) - 0.918891411654676), 1e-13);
}

TEST(StatisticsItself, ABiasIsNoticed) {
    const Fit good = goodness_of_fit({500100, 499900}, {0.5, 0.5}), bad = goodness_of_fit({503000, 497000}, {0.5, 0.5});
    EXPECT_GT(good.p(), 0.5);
    EXPECT_LT(bad.p(), kFalseAlarm);
    EXPECT_TRUE(goodness_of_fit({10, 1}, {1, 0}).impossible);
}

class Statistics : public OnTarget {
protected:
    /* Draws in batches, each row's x handed to `count`. */
    template <class Count>
    void draw(Problem p, int64_t draws, const Count &count) {
        const int64_t batch = std::min<int64_t>(draws, 100000);
        p.rows = batch;
        for (int64_t done = 0; done < draws; done += batch) {
            p.offset = done;
            const Answer a = forward(p, kX);
            for (int64_t b = 0; b < batch; b++) count(&a.x[b * p.urn.classes()]);
        }
    }
};

/* >= 10^6 draws where the target is fast; 10^4 where every lane is emulated. */
TEST_P(Statistics, JointLawOfSmallUrns) {
    struct Small {
        std::vector<int> m, order;
        int n;
        std::vector<double> log_omega;
    };
    const Small urns[] = {
        {{3, 5, 4}, {}, 5, {0.5, -0.7, 0.2}},
        {{3, 5, 4}, {2, 0, 1}, 5, {0.5, -0.7, 0.2}},
        {{2, 2, 2, 2, 2}, {4, 2, 0, 3, 1}, 5, {1.5, 0, -1, 0.3, 0.4}},
        {{6, 1}, {}, 3, {-2, 1}},
    };
    uint64_t seed = 11;
    for (const Small &urn : urns) {
        Problem p;
        p.urn.m = urn.m;
        p.urn.order = urn.order;
        p.n = urn.n;
        p.log_omega = urn.log_omega;
        p.seed = seed++;
        const auto pmf = oracle::joint_pmf(p.urn, rounded(dtype(), p.log_omega), p.n);
        std::map<std::vector<int>, double> seen;
        draw(p, scaled(1000000), [&](const double *x) { seen[std::vector<int>(x, x + p.urn.classes())] += 1; });
        std::vector<double> observed, probability;
        for (const auto &[x, probability_of_x] : pmf) {
            observed.push_back(seen[x]);
            probability.push_back(probability_of_x);
        }
        EXPECT_EQ(seen.size(), pmf.size()) << "drew what cannot be drawn";
        EXPECT_GT(goodness_of_fit(observed, probability).p(), kFalseAlarm) << "urn " << seed - 12;
    }
}

TEST_P(Statistics, MarginalsOfLargeUrns) {
    struct Large {
        std::vector<int> m, order;
        int n;
        std::vector<double> log_omega;
        int64_t draws;
    };
    const Large urns[] = {
        {{200, 200, 200}, {}, 180, {0, std::log(5.0), 0}, 400000},
        {{200, 200, 200}, {2, 1, 0}, 180, {0, std::log(5.0), 0}, 100000},
        {{1000, 30, 500}, {1, 2, 0}, 700, {-1, 1, 0.5}, 50000},
        {{64, 64, 64, 64, 64, 64}, {}, 64, {-1, -0.5, 0, 0.5, 1, 1.5}, 100000},
    };
    uint64_t seed = 31;
    for (const Large &urn : urns) {
        Problem p;
        p.urn.m = urn.m;
        p.urn.order = urn.order;
        p.n = urn.n;
        p.log_omega = urn.log_omega;
        p.seed = seed++;
        const auto law = oracle::marginals(p.urn, rounded(dtype(), p.log_omega), p.n);
        std::vector<std::vector<double>> seen;
        for (int m : p.urn.m) seen.emplace_back(m + 1, 0);
        const int64_t draws = scaled(urn.draws);
        draw(p, draws, [&](const double *x) {
            for (int c = 0; c < p.urn.classes(); c++) seen[c].at(static_cast<size_t>(x[c])) += 1;
        });
        for (int c = 0; c < p.urn.classes(); c++) {
            EXPECT_GT(goodness_of_fit(seen[c], law[c]).p(), kFalseAlarm) << "urn " << seed - 32 << " class " << c;
            const double distance = kolmogorov_distance(seen[c], law[c]);
            EXPECT_TRUE(distance <= kolmogorov_limit(static_cast<double>(draws))) << distance << " class " << c;
        }
    }
}

/* Row b and row b + 1 share no noise: the pair (x_b, x_{b+1}) has the product law; so has a row under two seeds. */
TEST_P(Statistics, RowsAndSeedsAreIndependent) {
    Problem p;
    p.urn.m = {3, 4};
    p.n = 3;
    p.log_omega = {0.4, 0};
    p.seed = 51;
    const auto law = oracle::marginals(p.urn, rounded(dtype(), p.log_omega), p.n)[0];
    const int64_t draws = scaled(400000);
    std::vector<double> first, second;
    draw(p, draws, [&](const double *x) { first.push_back(x[0]); });
    p.seed = 52;
    draw(p, draws, [&](const double *x) { second.push_back(x[0]); });
    std::vector<double> rows(16, 0), seeds(16, 0), product(16);
    for (size_t b = 0; b + 1 < first.size(); b += 2) rows[static_cast<size_t>(4 * first[b] + first[b + 1])] += 1;
    for (size_t b = 0; b < first.size(); b++) seeds[static_cast<size_t>(4 * first[b] + second[b])] += 1;
    for (int i = 0; i < 16; i++) product[i] = law[i / 4] * law[i % 4];
    EXPECT_GT(goodness_of_fit(rows, product).p(), kFalseAlarm);
    EXPECT_GT(goodness_of_fit(seeds, product).p(), kFalseAlarm);
}

/* The papers' protocol (App. B.1): two classes, many odds, the distance to the true distribution function. */
TEST_P(Statistics, UnivariateLawAcrossOdds) {
    for (double odds : {0.01, 0.1, 0.5, 1.0, 2.0, 10.0, 100.0}) {
        Problem p;
        p.urn.m = {200, 300};
        p.n = 120;
        p.log_omega = {std::log(odds), 0};
        p.seed = 70 + static_cast<uint64_t>(odds * 100);
        const auto law = oracle::marginals(p.urn, rounded(dtype(), p.log_omega), p.n)[0];
        std::vector<double> seen(law.size(), 0);
        const int64_t draws = scaled(50000);
        draw(p, draws, [&](const double *x) { seen.at(static_cast<size_t>(x[0])) += 1; });
        EXPECT_TRUE(kolmogorov_distance(seen, law) <= kolmogorov_limit(static_cast<double>(draws))) << "odds " << odds;
        EXPECT_GT(goodness_of_fit(seen, law).p(), kFalseAlarm) << "odds " << odds;
    }
}

ON_ALL_TARGETS(Statistics);
