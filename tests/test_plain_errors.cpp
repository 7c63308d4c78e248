/*
 * Every wrong argument of a plain draw has its status, a message that names it, and no write. What only the data shows is a status that
 * names the row on a CPU, and -1 in that row alone on a GPU.
 */
#include <cmath>
#include <functional>
#include <limits>

#include "plain_call.h"

using namespace gurn_test;

namespace {
const double kNaN = std::numeric_limits<double>::quiet_NaN(), kInfinity = std::numeric_limits<double>::infinity();
}  // namespace

class PlainErrors : public OnPlainTarget {};

TEST_P(PlainErrors, WrongArguments) {
    struct Wrong {
        const char *what, *named;
        gurn_status status;
        std::function<void(DrawCall &)> spoil;
    };
    static const int32_t order[3] = {0, 1, 2};
    const Wrong wrongs[] = {
        {"no plan", "plan", GURN_INVALID_ARGUMENT, [](DrawCall &c) { c.plan = nullptr; }},
        {"no inputs", "inputs", GURN_INVALID_ARGUMENT, [](DrawCall &c) { c.in = nullptr; }},
        {"no x", "x is NULL", GURN_INVALID_ARGUMENT, [](DrawCall &c) { c.x = nullptr; }},
        {"size 0", "inputs->size", GURN_INVALID_ARGUMENT, [](DrawCall &c) { c.inputs.size = 0; }},
        {"rows -1", "rows", GURN_INVALID_ROWS, [](DrawCall &c) { c.inputs.rows = -1; }},
        {"rows overflow", "rows", GURN_INVALID_ROWS, [](DrawCall &c) { c.inputs.rows = INT64_MAX; }},
        {"stride", "log_omega_stride", GURN_INVALID_LOG_OMEGA, [](DrawCall &c) { c.inputs.log_omega_stride = 2; }},
        {"n -1", "n is", GURN_INVALID_N, [](DrawCall &c) { c.inputs.n = -1; }},
        {"n above n_max", "n is", GURN_INVALID_N, [](DrawCall &c) { c.inputs.n = 6; }},
        {"noise off", "noise.kind", GURN_INVALID_NOISE, [](DrawCall &c) { c.inputs.noise.kind = GURN_NOISE_OFF; }},
        {"noise given", "noise.kind", GURN_INVALID_NOISE, [](DrawCall &c) { c.inputs.noise.kind = GURN_NOISE_GIVEN; }},
        {"order", "order", GURN_INVALID_ORDER, [](DrawCall &c) { c.inputs.order = order; }},
        {"workspace small", "workspace_bytes", GURN_WORKSPACE_TOO_SMALL, [](DrawCall &c) { c.workspace_bytes = 1; }},
        {"no workspace", "workspace is NULL", GURN_INVALID_ARGUMENT, [](DrawCall &c) { c.workspace = nullptr; }},
        {"skewed workspace", "aligned", GURN_INVALID_ARGUMENT,
         [](DrawCall &c) { c.workspace = static_cast<char *>(c.workspace) + 8; }},
    };
    Problem p = urn_of({3, 5, 4}, {}, 5, {0, 0.1, 0.2, 0.3, 0.4, 0.5});
    p.rows = 2;
    for (const Wrong &wrong : wrongs) {
        SCOPED_TRACE(wrong.what);
        DrawCall call(context(), GetParam(), p);
        ASSERT_GT(call.needed, 1u);
        wrong.spoil(call);
        EXPECT_EQ(call.run(), wrong.status) << gurn_context_message(context());
        EXPECT_NE(std::string(gurn_context_message(context())).find(wrong.named), std::string::npos)
            << gurn_context_message(context());
        device_synchronize(device());
        EXPECT_TRUE(call.untouched());
    }
    DrawCall call(context(), GetParam(), p);
    size_t bytes = 12345;
    EXPECT_EQ(gurn_mvhg_draw(nullptr, call.plan, call.in, call.x, call.workspace, call.workspace_bytes),
              GURN_INVALID_ARGUMENT);
    EXPECT_EQ(gurn_mvhg_draw_workspace(context(), call.plan, call.in, nullptr), GURN_INVALID_ARGUMENT);
    call.inputs.n = 99;
    EXPECT_EQ(gurn_mvhg_draw_workspace(context(), call.plan, call.in, &bytes), GURN_INVALID_N);
    EXPECT_EQ(bytes, 12345u);
}

TEST_P(PlainErrors, WrongUnivariateArguments) {
    struct Wrong {
        const char *named;
        gurn_status status;
        std::function<void(UnivariateCall &)> spoil;
    };
    const Wrong wrongs[] = {
        {"inputs", GURN_INVALID_ARGUMENT, [](UnivariateCall &c) { c.in = nullptr; }},
        {"inputs->size", GURN_INVALID_ARGUMENT, [](UnivariateCall &c) { c.inputs.size = 3; }},
        {"x is NULL", GURN_INVALID_ARGUMENT, [](UnivariateCall &c) { c.x = nullptr; }},
        {"m1 is NULL", GURN_INVALID_ARGUMENT, [](UnivariateCall &c) { c.inputs.m1 = nullptr; }},
        {"m2 is NULL", GURN_INVALID_ARGUMENT, [](UnivariateCall &c) { c.inputs.m2 = nullptr; }},
        {"n is NULL", GURN_INVALID_ARGUMENT, [](UnivariateCall &c) { c.inputs.n = nullptr; }},
        {"dtype", GURN_INVALID_ARGUMENT,
         [](UnivariateCall &c) { c.inputs.log_odds_dtype = static_cast<gurn_dtype>(2); }},
        {"m1_stride", GURN_INVALID_ARGUMENT, [](UnivariateCall &c) { c.inputs.m1_stride = -1; }},
        {"m2_stride", GURN_INVALID_ARGUMENT, [](UnivariateCall &c) { c.inputs.m2_stride = -1; }},
        {"n_stride", GURN_INVALID_ARGUMENT, [](UnivariateCall &c) { c.inputs.n_stride = -1; }},
        {"log_odds_stride", GURN_INVALID_ARGUMENT, [](UnivariateCall &c) { c.inputs.log_odds_stride = -1; }},
        {"rows", GURN_INVALID_ROWS, [](UnivariateCall &c) { c.inputs.rows = -1; }},
        {"rows", GURN_INVALID_ROWS, [](UnivariateCall &c) { c.inputs.rows = INT64_MAX; }},
        {"n_stride", GURN_INVALID_ROWS, [](UnivariateCall &c) { c.inputs.n_stride = INT64_MAX; }},
        {"noise.kind", GURN_INVALID_NOISE, [](UnivariateCall &c) { c.inputs.noise.kind = GURN_NOISE_OFF; }},
    };
    Univariate u;
    u.rows = 2;
    u.m1 = {5, 6};
    u.m2 = {7, 8};
    u.n = {3, 4};
    u.log_odds = {0.5, 1};
    for (const Wrong &wrong : wrongs) {
        SCOPED_TRACE(wrong.named);
        UnivariateCall call(context(), GetParam(), u);
        wrong.spoil(call);
        EXPECT_EQ(call.run(), wrong.status) << gurn_context_message(context());
        EXPECT_NE(std::string(gurn_context_message(context())).find(wrong.named), std::string::npos)
            << gurn_context_message(context());
        device_synchronize(device());
        EXPECT_TRUE(call.out.bytes().untouched());
    }
    EXPECT_EQ(gurn_hypergeometric_draw(nullptr, nullptr, nullptr), GURN_INVALID_ARGUMENT);
}

/* What only the data shows: a status that names the row on a CPU; -1 in that row alone on a GPU. */
TEST_P(PlainErrors, WrongData) {
    for (const double bad : {kNaN, kInfinity})
        for (const oracle::Chain chain : {oracle::Chain::exact, oracle::Chain::merged}) {
            Problem p = urn_of({3, 5, 4}, {}, 5, Random(1).uniforms(15, -1, 1), chain);
            p.rows = 5;
            const std::vector<int32_t> right = draw(p);
            p.log_omega[7] = bad;
            DrawCall call(context(), GetParam(), p);
            const gurn_status status = call.run();
            device_synchronize(device());
            if (device() == GURN_DEVICE_CPU) {
                EXPECT_EQ(status, GURN_INVALID_LOG_OMEGA);
                EXPECT_NE(std::string(gurn_context_message(context())).find("log_omega[2][1]"), std::string::npos);
                EXPECT_TRUE(call.untouched());
            } else {
                EXPECT_EQ(status, GURN_SUCCESS);
                const std::vector<int32_t> x = call.out.values();
                for (int j = 0; j < 15; j++) EXPECT_EQ(x[j], j / 3 == 2 ? -1 : right[j]) << j;
            }
            Problem all = urn_of({3, 5, 4}, {}, 5, {0.5, bad, 0}, chain); /* shared: every row */
            all.rows = 40;
            DrawCall shared(context(), GetParam(), all);
            EXPECT_EQ(shared.run(), device() == GURN_DEVICE_CPU ? GURN_INVALID_LOG_OMEGA : GURN_SUCCESS);
            device_synchronize(device());
            if (device() == GURN_DEVICE_CPU) continue;
            for (int32_t k : shared.out.values()) EXPECT_EQ(k, -1);
        }
    for (const int bad : {-1, 6, INT32_MAX, INT32_MIN}) {
        Problem p = urn_of({3, 5, 4}, {}, 5, {0.5, -0.5, 0});
        p.rows = 4;
        p.n_rows = {5, 4, 3, 2};
        const std::vector<int32_t> right = draw(p);
        const DeviceArray<int32_t> spoiled(device(), std::vector<int32_t>{5, 4, bad, 2});
        DrawCall call(context(), GetParam(), p);
        call.inputs.n_rows = spoiled.data();
        const gurn_status status = call.run();
        device_synchronize(device());
        if (device() == GURN_DEVICE_CPU) {
            EXPECT_EQ(status, GURN_INVALID_N);
            EXPECT_NE(std::string(gurn_context_message(context())).find("n_rows[2]"), std::string::npos);
            EXPECT_TRUE(call.untouched());
        } else {
            EXPECT_EQ(status, GURN_SUCCESS);
            const std::vector<int32_t> x = call.out.values();
            for (int j = 0; j < 12; j++) EXPECT_EQ(x[j], j / 3 == 2 ? -1 : right[j]) << j;
        }
    }
    struct Bad {
        int32_t m1, m2, n;
        double log_odds;
        gurn_status status;
        const char *named;
    };
    const Bad bads[] = {{-1, 5, 2, 0, GURN_INVALID_M, "m1 of row 2"},
                        {5, -1, 2, 0, GURN_INVALID_M, "m2 of row 2"},
                        {GURN_MAX_BALLS, 1, 2, 0, GURN_INVALID_M, "row 2"},
                        {INT32_MAX, INT32_MAX, 2, 0, GURN_INVALID_M, "row 2"},
                        {5, 5, -1, 0, GURN_INVALID_N, "n of row 2"},
                        {5, 5, 11, 0, GURN_INVALID_N, "n of row 2"},
                        {5, 5, 2, kNaN, GURN_INVALID_LOG_OMEGA, "log_odds of row 2"},
                        {5, 1, 2, -kInfinity, GURN_INVALID_N, "n of row 2"},
                        {1, 5, 2, kInfinity, GURN_INVALID_N, "n of row 2"}};
    for (const Bad &bad : bads) {
        SCOPED_TRACE(bad.named);
        Univariate u;
        u.rows = 4;
        u.m1 = {5, 6, 5, 8};
        u.m2 = {7, 7, 7, 7};
        u.n = {3, 4, 5, 6};
        u.log_odds = {0, 1, 2, 3};
        const std::vector<int32_t> right = draw(u);
        u.m1[2] = bad.m1;
        u.m2[2] = bad.m2;
        u.n[2] = bad.n;
        u.log_odds[2] = bad.log_odds;
        UnivariateCall call(context(), GetParam(), u);
        const gurn_status status = call.run();
        device_synchronize(device());
        if (device() == GURN_DEVICE_CPU) {
            EXPECT_EQ(status, bad.status);
            EXPECT_NE(std::string(gurn_context_message(context())).find(bad.named), std::string::npos)
                << gurn_context_message(context());
            EXPECT_TRUE(call.out.bytes().untouched());
        } else {
            EXPECT_EQ(status, GURN_SUCCESS);
            const std::vector<int32_t> x = call.out.values();
            for (int j = 0; j < 4; j++) EXPECT_EQ(x[j], j == 2 ? -1 : right[j]) << j;
        }
    }
}

ON_ALL_TARGETS(PlainErrors);
