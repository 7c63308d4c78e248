/* Contexts, plans and structures that carry their size. */
#include <cmath>
#include <cstdlib>
#include <cstring>

#include "call.h"

using namespace gurn_test;

namespace {

class Plans : public OnTarget {
protected:
    gurn_status create(int32_t classes, const std::vector<int32_t> &m, int32_t n_max,
                       const gurn_plan_options *options) {
        gurn_plan *plan = reinterpret_cast<gurn_plan *>(this);
        const gurn_status status =
            gurn_plan_create(context(), classes, m.empty() ? nullptr : m.data(), n_max, options, &plan);
        EXPECT_EQ(plan == nullptr, status != GURN_SUCCESS);
        gurn_plan_destroy(plan);
        return status;
    }
    void expect_refused(gurn_status got, gurn_status want, const char *named) {
        EXPECT_EQ(got, want) << gurn_context_message(context());
        EXPECT_NE(std::string(gurn_context_message(context())).find(named), std::string::npos)
            << "message: " << gurn_context_message(context()) << ", should name " << named;
    }
    gurn_plan_options merged() const {
        gurn_plan_options options = GURN_PLAN_OPTIONS_INIT;
        options.chain = GURN_CHAIN_MERGED;
        options.dtype = dtype();
        return options;
    }
};

}  // namespace

TEST_P(Plans, WrongArguments) {
    const gurn_plan_options good = merged();
    gurn_plan *plan = nullptr;
    const int32_t m[2] = {3, 4};
    EXPECT_EQ(gurn_plan_create(nullptr, 2, m, 3, &good, &plan), GURN_INVALID_ARGUMENT);
    EXPECT_EQ(plan, nullptr);
    expect_refused(gurn_plan_create(context(), 2, m, 3, &good, nullptr), GURN_INVALID_ARGUMENT, "plan");
    expect_refused(create(2, {}, 3, &good), GURN_INVALID_ARGUMENT, "m");
    expect_refused(create(0, {3}, 3, &good), GURN_INVALID_CLASSES, "classes");
    expect_refused(create(-5, {3}, 3, &good), GURN_INVALID_CLASSES, "classes");
    expect_refused(create(GURN_MAX_CLASSES + 1, {3}, 3, &good), GURN_INVALID_CLASSES, "classes");
    expect_refused(create(2, {3, -1}, 2, &good), GURN_INVALID_M, "m[1]");
    expect_refused(create(2, {GURN_MAX_BALLS, 1}, 2, &good), GURN_INVALID_M, "m");
    expect_refused(create(3, {INT32_MAX, INT32_MAX, 2}, 2, &good), GURN_INVALID_M, "m");
    expect_refused(create(2, {3, 4}, -1, &good), GURN_INVALID_N, "n_max");
    expect_refused(create(2, {3, 4}, 8, &good), GURN_INVALID_N, "n_max");

    const auto with = [&](auto &&change) {
        gurn_plan_options options = good;
        change(options);
        return create(2, {3, 4}, 7, &options);
    };
    expect_refused(with([](gurn_plan_options &o) { o.size = 0; }), GURN_INVALID_ARGUMENT, "options->size");
    expect_refused(with([](gurn_plan_options &o) { o.dtype = static_cast<gurn_dtype>(2); }), GURN_INVALID_ARGUMENT,
                   "dtype");
    expect_refused(with([](gurn_plan_options &o) { o.chain = static_cast<gurn_chain>(-1); }), GURN_INVALID_ARGUMENT,
                   "chain");
    static const int32_t twice[2] = {1, 1}, beyond[2] = {0, 2}, fine[2] = {1, 0};
    expect_refused(with([](gurn_plan_options &o) { o.order = twice; }), GURN_INVALID_ORDER, "order");
    expect_refused(with([](gurn_plan_options &o) { o.order = beyond; }), GURN_INVALID_ORDER, "order");
    EXPECT_EQ(with([](gurn_plan_options &o) { o.order = fine; }), GURN_SUCCESS);
    EXPECT_EQ(with([](gurn_plan_options &) {}), GURN_SUCCESS);
}

TEST_P(Plans, Shape) {
    oracle::Urn urn;
    urn.m = {4, 0, 7, 31};
    const Plan plan = make_plan(context(), urn, 20, dtype());
    EXPECT_EQ(gurn_plan_classes(plan.get()), 4);
    EXPECT_EQ(gurn_plan_width(plan.get()), urn.width());
    for (int c = 0; c < 4; c++) EXPECT_EQ(gurn_plan_offset(plan.get(), c), urn.offset(c));
    EXPECT_EQ(gurn_plan_offset(plan.get(), 4), urn.width());
    EXPECT_EQ(gurn_plan_offset(plan.get(), 5), 0);
    EXPECT_EQ(gurn_plan_offset(plan.get(), -1), 0);
    EXPECT_GT(gurn_plan_bytes(plan.get()), 0u);
}

/* An older, shorter structure leaves what it lacks at the default; a newer, longer one is fine while its rest is zero. */
TEST_P(Plans, StructuresOfOtherVersions) {
    Problem p;
    p.urn.m = {4, 4, 4};
    p.n = 6;
    p.rows = 5;
    p.log_omega = {0, 0.5, 1};
    Call want(context(), GetParam(), p), got(context(), GetParam(), p);
    ASSERT_EQ(want.forward(), GURN_SUCCESS);

    gurn_mvhg_inputs old = got.inputs;
    old.size = offsetof(gurn_mvhg_inputs, order);
    old.order = reinterpret_cast<const int32_t *>(1); /* beyond the size: must not be read */
    got.in = &old;
    gurn_mvhg_outputs old_outputs = got.outputs;
    old_outputs.size = offsetof(gurn_mvhg_outputs, y);
    old_outputs.y = old_outputs.mask = old_outputs.log_p = reinterpret_cast<void *>(8);
    got.out = &old_outputs;
    ASSERT_EQ(got.forward(), GURN_SUCCESS) << gurn_context_message(context());
    device_synchronize(device());
    EXPECT_TRUE(same_bits(got.out_x.values(), want.out_x.values()));
    EXPECT_TRUE(got.out_y.bytes().untouched());

    struct {
        gurn_mvhg_inputs known;
        void *unknown[3];
    } newer = {got.inputs, {nullptr, nullptr, nullptr}};
    newer.known.size = sizeof newer;
    got.in = &newer.known;
    got.out = &got.outputs;
    ASSERT_EQ(got.forward(), GURN_SUCCESS) << gurn_context_message(context());
    newer.unknown[1] = &newer;
    EXPECT_EQ(got.forward(), GURN_INVALID_ARGUMENT);
}

TEST_P(Plans, ZeroTauIsOne) {
    Problem p;
    p.urn.m = {10, 10};
    p.n = 9;
    p.rows = 6;
    p.log_omega = {0, 0.5};
    p.soft = true;
    const Answer one = forward(p);
    p.tau = 0;
    EXPECT_TRUE(forward(p) == one);
}

TEST_P(Plans, NothingWantedIsAllowed) {
    Problem p;
    p.urn.m = {10, 10};
    p.n = 9;
    p.rows = 6;
    p.log_omega = {0, 0.5};
    Call call(context(), GetParam(), p);
    call.outputs = GURN_MVHG_OUTPUTS_INIT;
    EXPECT_EQ(call.forward(), GURN_SUCCESS);
    call.gradients = GURN_MVHG_GRADIENTS_INIT;
    EXPECT_EQ(call.backward(), GURN_SUCCESS);
    device_synchronize(device());
    EXPECT_TRUE(call.untouched());
}

TEST_P(Plans, APlanOutlivesItsContextAndServesOthers) {
    Problem p;
    p.urn.m = {10, 10};
    p.n = 9;
    p.rows = 6;
    p.log_omega = {0, 0.5};
    Call call(context(), GetParam(), p);
    ASSERT_EQ(call.forward(), GURN_SUCCESS);
    device_synchronize(device());
    const std::vector<double> want = call.out_x.values();
    Plan plan;
    {
        const Context other = make_context(GetParam(), 1);
        plan = make_plan(other.get(), p.urn, 9, dtype());
    }
    call.plan = plan.get();
    ASSERT_EQ(call.forward(), GURN_SUCCESS) << gurn_context_message(context());
    device_synchronize(device());
    EXPECT_TRUE(same_bits(call.out_x.values(), want));
}

ON_ALL_TARGETS(Plans);

/* ---------------------------------------------------------------------------------------------------------- contexts --- */

TEST(Contexts, WrongArguments) {
    gurn_context_options options = GURN_CONTEXT_OPTIONS_INIT;
    options.device = GURN_DEVICE_CPU;
    EXPECT_EQ(gurn_context_create(&options, nullptr), GURN_INVALID_ARGUMENT);
    const auto with = [&](auto &&change) {
        gurn_context_options changed = options;
        change(changed);
        gurn_context *context = reinterpret_cast<gurn_context *>(&changed);
        const gurn_status status = gurn_context_create(&changed, &context);
        EXPECT_EQ(context == nullptr, status != GURN_SUCCESS);
        gurn_context_destroy(context);
        return status;
    };
    EXPECT_EQ(with([](gurn_context_options &o) { o.size = 0; }), GURN_INVALID_ARGUMENT);
    EXPECT_EQ(with([](gurn_context_options &o) { o.device = static_cast<gurn_device>(3); }), GURN_INVALID_ARGUMENT);
    EXPECT_EQ(with([](gurn_context_options &o) { o.isa = static_cast<gurn_isa>(9); }), GURN_INVALID_ARGUMENT);
    EXPECT_EQ(with([](gurn_context_options &o) { o.threads = -1; }), GURN_INVALID_ARGUMENT);
    EXPECT_EQ(with([](gurn_context_options &) {}), GURN_SUCCESS);
#if defined(__x86_64__)
    EXPECT_EQ(with([](gurn_context_options &o) { o.isa = GURN_ISA_NEON; }), GURN_UNSUPPORTED);
#endif
#if !defined(GURN_TEST_CUDA)
    EXPECT_EQ(with([](gurn_context_options &o) { o.device = GURN_DEVICE_CUDA; }), GURN_NO_DEVICE);
#endif
    EXPECT_EQ(gurn_context_get_info(nullptr, nullptr), GURN_INVALID_ARGUMENT);
    EXPECT_STREQ(gurn_context_message(nullptr), "");
    EXPECT_EQ(gurn_context_set_stream(nullptr, nullptr), GURN_INVALID_ARGUMENT);
}

TEST(Contexts, TheEnvironmentNamesAnInstructionSet) {
    const char *before = getenv("GURN_ISA");
    const std::string saved = before ? before : "";
    setenv("GURN_ISA", "portable", 1);
    gurn_context_options options = GURN_CONTEXT_OPTIONS_INIT;
    options.device = GURN_DEVICE_CPU;
    options.threads = 3;
    gurn_context *context = nullptr;
    EXPECT_EQ(gurn_context_create(&options, &context), GURN_SUCCESS);
    gurn_context_info info = {};
    info.size = sizeof info;
    EXPECT_EQ(gurn_context_get_info(context, &info), GURN_SUCCESS);
    EXPECT_EQ(info.isa, GURN_ISA_PORTABLE);
    EXPECT_STREQ(info.isa_name, "portable");
    EXPECT_EQ(info.threads, 3);
    EXPECT_EQ(info.device, GURN_DEVICE_CPU);
    gurn_context_destroy(context);
    if (before)
        setenv("GURN_ISA", saved.c_str(), 1);
    else
        unsetenv("GURN_ISA");
}

TEST(Contexts, InfoWritesNoMoreThanItsSize) {
    gurn_context *context = nullptr;
    ASSERT_EQ(gurn_context_create(nullptr, &context), GURN_SUCCESS);
    gurn_context_info info;
    memset(&info, 0x5A, sizeof info);
    info.size = offsetof(gurn_context_info, device_name);
    EXPECT_EQ(gurn_context_get_info(context, &info), GURN_SUCCESS);
    EXPECT_EQ(info.size, offsetof(gurn_context_info, device_name));
    for (char c : info.device_name) EXPECT_EQ(c, 0x5A);
    gurn_context_destroy(context);
}
