/* The oracle is held against everything that is known without it, before anything is held against the oracle. */
#include <cmath>
#include <functional>

#include "golden.h"
#include "oracle.h"

using namespace gurn_test;
using oracle::Chain;

/* Long double sums of a few thousand terms, rounded to double once: the golden file's own rounding is the larger part. */
TEST(Oracle, AgreesWithTheGoldenFile) {
    for (const GoldenCase &c : load_golden("mvhg_straight_through.txt")) {
        const Problem p = golden_problem(c);
        const Incoming incoming = golden_incoming(c);
        const int C = p.urn.classes();
        for (int64_t b = 0; b < p.rows; b++) {
            const oracle::Row row = p.row(b, GURN_FLOAT64);
            const oracle::Outputs out = oracle::forward(p.urn, row);
            const oracle::Gradients g = oracle::backward(p.urn, row, out.x, incoming.row(p.urn, b, GURN_FLOAT64));
            EXPECT_LE(std::fabs(out.log_p - c.at("log_p")[b]), 1e-11) << c.name << " row " << b;
            EXPECT_EQ(oracle::shortfall(p.urn, row, out.x), 0);
            for (int i = 0; i < C; i++) {
                EXPECT_EQ(out.x[i], c.at("x")[b * C + i]) << c.name << " row " << b << " class " << i;
                const double want = c.at("dlog_omega")[b * C + i];
                EXPECT_LE(std::fabs(g.log_omega[i] - want), 1e-10 * (1 + std::fabs(want))) << c.name << " row " << b;
            }
        }
    }
}

namespace {

/* A scalar of everything that forward returns, weighted by the upstream gradients. */
double objective(const oracle::Outputs &o, const oracle::Upstream &up) {
    long double sum = o.log_p * up.log_p;
    for (size_t i = 0; i < o.x.size(); i++) sum += (long double)o.x[i] * up.x[i];
    for (size_t i = 0; i < o.y.size(); i++) sum += (long double)o.y[i] * up.y[i] + (long double)o.mask[i] * up.mask[i];
    return double(sum);
}

double four_point(const std::function<double(double)> &f, double h) {
    return (8 * (f(h) - f(-h)) - (f(2 * h) - f(-2 * h))) / (12 * h);
}

}  // namespace

TEST(Oracle, SoftGradientIsTheDerivative) {
    Random random(7);
    for (Chain chain : {Chain::merged, Chain::exact}) {
        for (int trial = 0; trial < 40; trial++) {
            oracle::Urn urn;
            urn.chain = chain;
            const int C = random.integer(1, 4);
            for (int c = 0; c < C; c++) urn.m.push_back(random.integer(0, 6));
            urn.order = random.permutation(C);
            oracle::Row row;
            row.n = random.integer(0, urn.total());
            row.log_omega = random.uniforms(C, -1.5, 1.5);
            row.tau = random.uniform(0.5, 2);
            row.soft = true;
            row.gumbel = random.uniforms(urn.width(), -1, 3);
            oracle::Upstream up;
            up.x = random.uniforms(C, -1, 1);
            up.y = random.uniforms(urn.width(), -1, 1);
            up.mask = random.uniforms(urn.width(), -1, 1);
            up.log_p = random.uniform(-1, 1);
            const oracle::Outputs out = oracle::forward(urn, row);
            /* The last class's y has kinks at whole x, and the exact chain's R at whole r: a difference across one says nothing. */
            double left = row.n;
            bool kink = false;
            for (int i = 0; i < urn.last(); i++) {
                left -= out.x[urn.at(i)];
                kink |= std::fabs(left - std::round(left)) < 0.01 && (i + 1 == urn.last() || chain == Chain::exact);
            }
            if (kink) continue;
            const oracle::Gradients g = oracle::backward(urn, row, out.x, up);
            for (int j = 0; j <= C; j++) { /* j = C is tau */
                const double slope = four_point(
                    [&](double h) {
                        oracle::Row moved = row;
                        (j < C ? moved.log_omega[j] : moved.tau) += h;
                        return objective(oracle::forward(urn, moved), up);
                    },
                    2e-4);
                const double value = j < C ? g.log_omega[j] : g.tau;
                /* h^4 f5 / 30 with fifth derivatives up to 1e7 where r is close to -1, and rounding 1e-16 * |objective| / h */
                EXPECT_LE(std::fabs(value - slope), 1e-9 * (1 + std::fabs(slope)))
                    << "trial " << trial << " argument " << j;
            }
        }
    }
}

TEST(Oracle, ExactChainIsEquationOneAndBothChainsSumToOne) {
    Random random(8);
    for (int trial = 0; trial < 20; trial++) {
        oracle::Urn urn;
        const int C = random.integer(1, 4);
        for (int c = 0; c < C; c++) urn.m.push_back(random.integer(0, 5));
        urn.order = random.permutation(C);
        const int n = random.integer(0, urn.total());
        const std::vector<double> log_omega = random.uniforms(C, -3, 3);

        urn.chain = Chain::merged;
        double total = 0;
        for (const auto &[x, p] : oracle::joint_pmf(urn, log_omega, n)) {
            total += p;
            EXPECT_LE(std::fabs(oracle::log_prob(urn, log_omega, n, x) - std::log(p)),
                      1e-13 * (1 + std::fabs(std::log(p))));
        }
        EXPECT_LE(std::fabs(total - 1), 1e-14);

        urn.chain = Chain::exact;
        const auto pmf = oracle::joint_pmf(urn, log_omega, n);
        double norm = 0;
        const auto weight =
            [&](const std::vector<int> &x) { /* Eq. 1 */
                                             double w = 1;
                                             for (int c = 0; c < C; c++)
                                                 w *= std::round(std::exp(std::lgamma(urn.m[c] + 1) -
                                                                          std::lgamma(x[c] + 1) -
                                                                          std::lgamma(urn.m[c] - x[c] + 1))) *
                                                      std::exp(x[c] * log_omega[c]);
                                             return w;
            };
        for (const auto &entry : pmf) norm += weight(entry.first);
        for (const auto &[x, p] : pmf) EXPECT_LE(std::fabs(p - weight(x) / norm), 1e-14);

        const auto by_class = oracle::marginals(urn, log_omega, n);
        for (int c = 0; c < C; c++)
            for (int k = 0; k <= urn.m[c]; k++) {
                double sum = 0;
                for (const auto &[x, p] : pmf) sum += x[c] == k ? p : 0;
                EXPECT_LE(std::fabs(by_class[c][k] - sum), 1e-14);
            }
    }
}

/* The means that DESIGN states for m = [200,200,200], n = 180, omega = [1,10,1] and (issue 3) [1,5,1]. */
TEST(Oracle, HasTheKnownMeans) {
    const auto means = [](Chain chain, double omega) {
        oracle::Urn urn;
        urn.m = {200, 200, 200};
        urn.chain = chain;
        const auto p = oracle::marginals(urn, {0, std::log(omega), 0}, 180);
        std::vector<double> mean(3, 0);
        for (int c = 0; c < 3; c++)
            for (int k = 0; k <= 200; k++) mean[c] += k * p[c][k];
        return mean;
    };
    const auto near = [](const std::vector<double> &got, const std::vector<double> &want, double tol) {
        for (size_t c = 0; c < want.size(); c++) EXPECT_LE(std::fabs(got[c] - want[c]), tol);
    };
    near(means(Chain::merged, 10), {21.3, 128.4, 30.3}, 0.06);
    near(means(Chain::exact, 10), {27.967, 124.067, 27.967}, 0.0006);
    near(means(Chain::merged, 5), {32.54, 108.94, 38.52}, 0.006);
}

TEST(Oracle, GumbelIsFiniteAndRightAtBothEnds) {
    /* First order in 2^-33: u = 2^-33 gives E = 33 ln 2; 1 - u = 2^-33 gives E = 2^-33 (1 + 2^-34). */
    EXPECT_LE(std::fabs(double(oracle::exponential(0) - 33 * std::log(2.0L))), 1e-17);
    EXPECT_LE(std::fabs(double(oracle::exponential(0xffffffffu) / 0x1p-33L - (1 + 0x1p-34L))), 1e-18);
    EXPECT_LE(std::fabs(double(oracle::exponential(0x7fffffffu) - oracle::exponential(0x80000000u))), 0x1.00001p-31);
    EXPECT_GT(double(oracle::exponential(0x7fffffffu)), double(oracle::exponential(0x80000000u)));
    EXPECT_LE(std::fabs(double(oracle::gumbel(0xffffffffu) - 33 * std::log(2.0L))), 1e-9);
}
