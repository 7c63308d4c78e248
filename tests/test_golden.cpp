/* tests/data/mvhg_straight_through.txt: the published algorithm, hard forward and straight-through backward, noise given. */
#include <cmath>

#include "golden.h"
#include "oracle_bounds.h"

using namespace gurn_test;

class Golden : public OnTarget {};

TEST_P(Golden, StraightThrough) {
    for (const GoldenCase &c : load_golden("mvhg_straight_through.txt")) {
        SCOPED_TRACE(c.name);
        const Problem p = golden_problem(c);
        const Incoming incoming = golden_incoming(c);
        const int C = p.urn.classes();
        const Answer a = forward(p);
        const std::vector<double> &want_x = c.at("x");
        ASSERT_EQ(a.x, want_x);
        const Gradient g = backward(p, a.x, incoming);
        for (int64_t b = 0; b < p.rows; b++) {
            const oracle::Row row = p.row(b, dtype());
            const std::vector<double> x(a.x.begin() + b * C, a.x.begin() + (b + 1) * C);
            /*
             * Float64: 1e-9 absolute and relative, as the file's precision allows. Float32: the inputs were rounded (log omega by
             * 2^-24 |log omega|, times k up to 256: 2e-5 a logit at most, the noise by 2e-6) and logits may be off by 1e-5, so
             * 4e-5 a logit, propagated; twice for what is second order.
             */
            const oracle::ErrorModel model = {4e-5, 0x1p-24, 0x1p-24};
            double log_p_limit = 1e-9 * (1 + std::fabs(c.at("log_p")[b]));
            if (float32()) log_p_limit = 2 * oracle::forward_bounds(p.urn, row, x, model).log_p;
            ASSERT_TRUE(std::fabs(a.log_p[b] - c.at("log_p")[b]) <= log_p_limit)
                << a.log_p[b] << " for " << c.at("log_p")[b] << " row " << b;
            const oracle::Gradients bounds =
                oracle::backward_bounds(p.urn, row, x, incoming.row(p.urn, b, dtype()), model);
            for (int i = 0; i < C; i++) {
                const double want = c.at("dlog_omega")[b * C + i];
                const double limit = float32() ? 2 * bounds.log_omega[i] : 1e-9 * (1 + std::fabs(want));
                ASSERT_TRUE(std::fabs(g.log_omega[b * C + i] - want) <= limit)
                    << g.log_omega[b * C + i] << " for " << want << " within " << limit << " row " << b << " class "
                    << i;
            }
        }
    }
}

ON_ALL_TARGETS(Golden);
