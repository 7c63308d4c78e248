/*
 * Every wrong argument has its status, a message that names it, and no write; the context goes on working. What only the data
 * shows is a status on a CPU, and NaN in that row alone on a GPU.
 */
#include <cmath>
#include <functional>
#include <limits>

#include "call.h"
#include "problems.h"

using namespace gurn_test;

namespace {

const double kNaN = std::numeric_limits<double>::quiet_NaN(), kInfinity = std::numeric_limits<double>::infinity();

Problem ordinary() {
    Problem p;
    p.urn.m = {3, 5, 4};
    p.rows = 4;
    p.n = 5;
    p.log_omega = {0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1};
    return p;
}

struct Wrong {
    const char *what, *named; /* `named` is part of the message */
    gurn_status status;
    std::function<void(Call &)> spoil;
};

class Errors : public OnTarget {
protected:
    void expect_refused(const Problem &problem, const Wrong &wrong, bool backward) {
        SCOPED_TRACE(std::string(wrong.what) + (backward ? ", backward" : ", forward"));
        Call call(context(), GetParam(), problem);
        wrong.spoil(call);
        const gurn_status status = backward ? call.backward() : call.forward();
        EXPECT_EQ(status, wrong.status) << gurn_status_string(status) << ": " << gurn_context_message(context());
        const std::string message = gurn_context_message(context());
        EXPECT_NE(message.find(wrong.named), std::string::npos) << "message: " << message;
        device_synchronize(device());
        EXPECT_TRUE(call.untouched());
    }
    void expect_well() {
        Call call(context(), GetParam(), ordinary());
        EXPECT_EQ(call.forward(), GURN_SUCCESS) << gurn_context_message(context());
        EXPECT_EQ(call.backward(), GURN_SUCCESS) << gurn_context_message(context());
        device_synchronize(device());
        EXPECT_TRUE(call.guards_intact());
    }
};

/* What forward and backward refuse alike. */
const Wrong kWrongInputs[] = {
    {"no plan", "plan", GURN_INVALID_ARGUMENT, [](Call &c) { c.plan = nullptr; }},
    {"no inputs", "inputs", GURN_INVALID_ARGUMENT, [](Call &c) { c.in = nullptr; }},
    {"inputs of size 0", "inputs->size", GURN_INVALID_ARGUMENT, [](Call &c) { c.inputs.size = 0; }},
    {"inputs of odd size", "inputs->size", GURN_INVALID_ARGUMENT, [](Call &c) { c.inputs.size = sizeof c.inputs - 3; }},
    {"inputs of uninitialised size", "inputs->size", GURN_INVALID_ARGUMENT,
     [](Call &c) { c.inputs.size = ~size_t(0) - 7; }},
    {"rows -1", "rows", GURN_INVALID_ROWS, [](Call &c) { c.inputs.rows = -1; }},
    {"rows minimal", "rows", GURN_INVALID_ROWS, [](Call &c) { c.inputs.rows = INT64_MIN; }},
    {"rows overflow", "rows", GURN_INVALID_ROWS, [](Call &c) { c.inputs.rows = INT64_MAX; }},
    {"rows overflow in y or x", "rows", GURN_INVALID_ROWS, [](Call &c) { c.inputs.rows = INT64_MAX / 32; }},
    {"no log omega", "log_omega", GURN_INVALID_ARGUMENT, [](Call &c) { c.inputs.log_omega = nullptr; }},
    {"stride -1", "log_omega_stride", GURN_INVALID_LOG_OMEGA, [](Call &c) { c.inputs.log_omega_stride = -1; }},
    {"stride short", "log_omega_stride", GURN_INVALID_LOG_OMEGA, [](Call &c) { c.inputs.log_omega_stride = 2; }},
    {"stride overflow", "log_omega_stride", GURN_INVALID_ROWS, [](Call &c) { c.inputs.log_omega_stride = INT64_MAX; }},
    {"n -1", "n is", GURN_INVALID_N, [](Call &c) { c.inputs.n = -1; }},
    {"n above n_max", "n is", GURN_INVALID_N, [](Call &c) { c.inputs.n = 6; }},
    {"tau negative", "tau is -1: must be finite and at least 1e-30", GURN_INVALID_TAU,
     [](Call &c) { c.inputs.tau = -1; }},
    {"tau subnormal", "tau is 1e-310: must be finite and at least 1e-30", GURN_INVALID_TAU,
     [](Call &c) { c.inputs.tau = 1e-310; }},
    {"tau just below the least", "at least 1e-30", GURN_INVALID_TAU,
     [](Call &c) { c.inputs.tau = std::nextafter(GURN_MIN_TAU, 0); }},
    {"tau NaN", "tau", GURN_INVALID_TAU, [](Call &c) { c.inputs.tau = kNaN; }},
    {"tau infinite", "tau", GURN_INVALID_TAU, [](Call &c) { c.inputs.tau = kInfinity; }},
    {"unknown relaxation", "relaxation", GURN_INVALID_ARGUMENT,
     [](Call &c) { c.inputs.relaxation = static_cast<gurn_relaxation>(2); }},
    {"unknown noise", "noise.kind", GURN_INVALID_NOISE,
     [](Call &c) { c.inputs.noise.kind = static_cast<gurn_noise_kind>(3); }},
    {"noise missing", "gumbel", GURN_INVALID_NOISE, [](Call &c) { c.inputs.noise.kind = GURN_NOISE_GIVEN; }},
    {"order although m differ", "order", GURN_INVALID_ORDER,
     [](Call &c) {
         static const int32_t order[3] = {0, 1, 2};
         c.inputs.order = order;
     }},
};

}  // namespace

TEST_P(Errors, InputsOfBothCalls) {
    for (const Wrong &wrong : kWrongInputs)
        for (bool backward : {false, true}) expect_refused(ordinary(), wrong, backward);
    expect_well();
}

TEST_P(Errors, Outputs) {
    const Wrong forward[] = {
        {"no outputs", "outputs", GURN_INVALID_ARGUMENT, [](Call &c) { c.out = nullptr; }},
        {"outputs of size 0", "outputs->size", GURN_INVALID_ARGUMENT, [](Call &c) { c.outputs.size = 0; }},
    };
    const Wrong backward[] = {
        {"no x", "x is NULL", GURN_INVALID_ARGUMENT, [](Call &c) { c.x = nullptr; }},
        {"no upstream", "upstream", GURN_INVALID_ARGUMENT, [](Call &c) { c.up = nullptr; }},
        {"no gradients", "gradients", GURN_INVALID_ARGUMENT, [](Call &c) { c.grad = nullptr; }},
        {"upstream of size 0", "upstream->size", GURN_INVALID_ARGUMENT, [](Call &c) { c.upstream.size = 0; }},
        {"gradients of size 0", "gradients->size", GURN_INVALID_ARGUMENT, [](Call &c) { c.gradients.size = 0; }},
    };
    for (const Wrong &wrong : forward) expect_refused(ordinary(), wrong, false);
    for (const Wrong &wrong : backward) expect_refused(ordinary(), wrong, true);
    expect_well();
}

TEST_P(Errors, Workspace) {
    for (bool backward : {false, true}) {
        Problem p = ordinary();
        p.soft = true; /* the kind of call that is likeliest to need some */
        Call probe(context(), GetParam(), p);
        const size_t needed = backward ? probe.backward_bytes : probe.forward_bytes;
        if (needed == 0) continue;
        const Wrong wrongs[] = {
            {"a byte short", "workspace", GURN_WORKSPACE_TOO_SMALL, [=](Call &c) { c.workspace_bytes = needed - 1; }},
            {"none", "workspace", GURN_WORKSPACE_TOO_SMALL, [](Call &c) { c.workspace_bytes = 0; }},
            {"NULL", "workspace", GURN_INVALID_ARGUMENT, [](Call &c) { c.workspace = nullptr; }},
            {"misaligned", "workspace", GURN_INVALID_ARGUMENT,
             [](Call &c) { c.workspace = static_cast<char *>(c.workspace) + 8; }},
        };
        for (const Wrong &wrong : wrongs) expect_refused(p, wrong, backward);
    }
    expect_well();
}

TEST_P(Errors, OrderOfTheCall) {
    Problem p;
    p.urn.m = {4, 4, 4};
    p.rows = 3;
    p.n = 6;
    p.log_omega = {0, 0.5, 1};
    static const int32_t twice[3] = {0, 1, 1}, beyond[3] = {0, 1, 3}, negative[3] = {0, -1, 2};
    for (const int32_t *order : {twice, beyond, negative})
        for (bool backward : {false, true})
            expect_refused(p, {"no permutation", "order", GURN_INVALID_ORDER, [=](Call &c) { c.inputs.order = order; }},
                           backward);
}

/* ------------------------------------------------------------------------------------------ what only the data shows --- */

namespace {

struct Spoiled {
    const char *what, *named;
    gurn_status status;
    std::function<void(Problem &)> spoil; /* of row 2 of 4 */
};

const Spoiled kSpoiled[] = {
    {"NaN in log omega", "log_omega", GURN_INVALID_LOG_OMEGA, [](Problem &p) { p.log_omega[7] = kNaN; }},
    {"NaN in log omega of the last class", "log_omega", GURN_INVALID_LOG_OMEGA,
     [](Problem &p) { p.log_omega[8] = kNaN; }},
    {"infinite log omega", "log_omega", GURN_INVALID_LOG_OMEGA, [](Problem &p) { p.log_omega[6] = kInfinity; }},
    {"a row whose omega are all 0", "inputs->n", GURN_INVALID_N,
     [](Problem &p) { p.log_omega[6] = p.log_omega[7] = p.log_omega[8] = -kInfinity; }},
    {"n of a row negative", "n_rows", GURN_INVALID_N,
     [](Problem &p) {
         p.n_rows = {5, 4, -1, 3};
     }},
    {"n of a row above n_max", "n_rows", GURN_INVALID_N,
     [](Problem &p) {
         p.n_rows = {5, 4, 6, 3};
     }},
    {"NaN in given noise", "gumbel", GURN_INVALID_NOISE, [](Problem &p) { p.gumbel[2 * 15 + 1] = kNaN; }},
    {"infinity in given noise", "gumbel", GURN_INVALID_NOISE, [](Problem &p) { p.gumbel[2 * 15 + 1] = kInfinity; }},
};

}  // namespace

TEST_P(Errors, DataThatOnlyTheDeviceSees) {
    for (const Spoiled &spoiled : kSpoiled) {
        SCOPED_TRACE(spoiled.what);
        Problem good = ordinary();
        good.noise = spoiled.status == GURN_INVALID_NOISE ? GURN_NOISE_GIVEN : GURN_NOISE_PHILOX;
        if (good.noise == GURN_NOISE_GIVEN) good.gumbel = random_gumbel(good, 1);
        if (spoiled.status == GURN_INVALID_N) good.n_rows = {5, 4, 2, 3};
        Problem bad = good;
        spoiled.spoil(bad);
        const int n_max = 5;

        for (bool backward : {false, true}) {
            SCOPED_TRACE(backward ? "backward" : "forward");
            Problem like = good; /* valid sizes for the arrays, then the bad data in place of the good */
            Call call(context(), GetParam(), like), reference(context(), GetParam(), good);
            const Plan plan = make_plan(context(), good.urn, n_max, dtype());
            const RealArray log_omega(device(), dtype(), bad.log_omega), gumbel(device(), dtype(), bad.gumbel);
            const DeviceArray<int32_t> n_rows(device(), bad.n_rows);
            call.plan = plan.get();
            call.inputs.log_omega = log_omega.data();
            call.inputs.noise.gumbel = gumbel.data();
            call.inputs.n_rows = n_rows.data();
            ASSERT_EQ(backward ? reference.backward() : reference.forward(), GURN_SUCCESS)
                << gurn_context_message(context());
            const gurn_status status = backward ? call.backward() : call.forward();
            device_synchronize(device());
            if (device() == GURN_DEVICE_CPU) {
                EXPECT_EQ(status, spoiled.status) << gurn_context_message(context());
                EXPECT_NE(std::string(gurn_context_message(context())).find(spoiled.named), std::string::npos)
                    << gurn_context_message(context());
                EXPECT_TRUE(call.untouched());
                continue;
            }
            ASSERT_EQ(status, GURN_SUCCESS) << gurn_context_message(context());
            const auto expect_row = [&](const RealArray &got, const RealArray &want, int64_t width) {
                const std::vector<double> a = got.values(), b = want.values();
                for (int64_t i = 0; i < static_cast<int64_t>(a.size()); i++) {
                    if (i / width == 2)
                        EXPECT_TRUE(std::isnan(a[i])) << "entry " << i << " of the bad row is " << a[i];
                    else
                        EXPECT_EQ(a[i], b[i]) << "entry " << i << " of a good row";
                }
            };
            if (backward) {
                expect_row(call.grad_log_omega, reference.grad_log_omega, 3);
                expect_row(call.grad_tau, reference.grad_tau, 1);
            } else {
                expect_row(call.out_x, reference.out_x, 3);
                expect_row(call.out_y, reference.out_y, 15);
                expect_row(call.out_mask, reference.out_mask, 15);
                expect_row(call.out_log_p, reference.out_log_p, 1);
            }
        }
    }
    expect_well();
}

TEST_P(Errors, CountsGivenToBackward) {
    if (device() != GURN_DEVICE_CPU) GTEST_SKIP() << "a GPU context does not look at x";
    for (double bad : {kNaN, kInfinity, -1.0, 6.0, -2.0e9, 2.0e9}) { /* class 1 has 5 */
        SCOPED_TRACE(bad);
        Call call(context(), GetParam(), ordinary());
        std::vector<double> x = call.in_x.values();
        x[7] = bad;
        const RealArray array(device(), dtype(), x);
        call.x = array.data();
        EXPECT_EQ(call.backward(), GURN_INVALID_X);
        EXPECT_NE(std::string(gurn_context_message(context())).find("x"), std::string::npos);
        EXPECT_TRUE(call.untouched());
    }
    expect_well();
}

/*
 * Whole counts in range whose row does not sum to n would leave the tables of a later step: named on a CPU, NaN in that row
 * on a GPU. The larger urn's tables end further than their pads reach.
 */
TEST_P(Errors, CountsThatDoNotSumToN) {
    for (const int m : {0, 20000}) {
        Problem p = ordinary();
        std::vector<double> counts = {3, 5, 4, 3, 5, 4, 0, 0, 0, 3, 2, 0};
        if (m > 0) {
            p.urn.m = {m, m, m};
            p.n = 10;
            p.rows = 4;
            p.n_rows.clear();
            p.log_omega.assign(3, 0.0);
            p.gumbel.clear();
            for (size_t i = 0; i < counts.size(); i++) counts[i] = i % 2 ? m : 0;
        }
        for (const oracle::Chain chain : {oracle::Chain::merged, oracle::Chain::exact}) {
            p.urn.chain = chain;
            Call call(context(), GetParam(), p);
            const RealArray x(device(), dtype(), counts);
            call.x = x.data();
            const gurn_status status = call.backward();
            device_synchronize(device());
            EXPECT_EQ(status, device() == GURN_DEVICE_CPU ? GURN_INVALID_X : GURN_SUCCESS)
                << gurn_context_message(context());
            EXPECT_TRUE(status == GURN_SUCCESS ? call.guards_intact() : call.untouched());
        }
    }
    expect_well();
}

/* So is a count that is not whole, in hard mode. */
TEST_P(Errors, CountsThatAreNotWhole) {
    if (device() != GURN_DEVICE_CPU) GTEST_SKIP() << "a GPU context does not look at x";
    Call call(context(), GetParam(), ordinary());
    std::vector<double> counts = call.in_x.values();
    counts[0] += counts[0] > 0 ? -0.5 : 0.5;
    counts[1] += counts[0] > 0 ? 0.5 : -0.5;
    const RealArray x(device(), dtype(), counts);
    call.x = x.data();
    EXPECT_EQ(call.backward(), GURN_INVALID_X);
    EXPECT_TRUE(call.untouched());
    expect_well();
}

ON_ALL_TARGETS(Errors);
