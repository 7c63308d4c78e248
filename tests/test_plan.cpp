/* Contexts, plans and structures that carry their size. */
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>

#include "call.h"
#include "kernels/plan.h"

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
    if (float32()) expect_refused(create(2, {1, GURN_MAX_FLOAT32_M + 1}, 2, &good), GURN_INVALID_M, "m[1]");
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

/* The largest class of a float32 plan, one more in a float64 plan, and as many balls as there may be in all. */
TEST_P(Plans, LargestSizes) {
    if (emulated() || !chosen()) GTEST_SKIP() << "one target is enough for tables of 10^7 entries";
    const gurn_plan_options exact = {sizeof exact, dtype(), GURN_CHAIN_EXACT, nullptr, GURN_PLAN_FULL};
    const int32_t most = GURN_MAX_FLOAT32_M + (float32() ? 0 : 1), rest = GURN_MAX_BALLS - 3 * most;
    EXPECT_EQ(create(4, {most, most, most, rest}, 1, &exact), GURN_SUCCESS) << gurn_context_message(context());
    expect_refused(create(5, {most, most, most, rest, 1}, 1, &exact), GURN_INVALID_M, "m[4]");
}

/* No tables, whatever the sizes; and no draws. */
TEST_P(Plans, ForTheLawAlone) {
    for (const gurn_chain chain : {GURN_CHAIN_EXACT, GURN_CHAIN_MERGED}) {
        const gurn_plan_options law = {sizeof law, dtype(), chain, nullptr, GURN_PLAN_LAW};
        const int32_t m[3] = {10000000, 10000000, 10000000};
        gurn_plan *plan;
        ASSERT_EQ(gurn_plan_create(context(), 3, m, 7, &law, &plan), GURN_SUCCESS) << gurn_context_message(context());
        EXPECT_LT(gurn_plan_bytes(plan), 4096u);
        gurn_mvhg_inputs inputs = GURN_MVHG_INPUTS_INIT;
        inputs.rows = 1;
        size_t bytes = 77;
        expect_refused(gurn_mvhg_workspace(context(), plan, &inputs, &bytes, nullptr), GURN_UNSUPPORTED, "plan");
        expect_refused(gurn_mvhg_draw_workspace(context(), plan, &inputs, &bytes), GURN_UNSUPPORTED, "plan");
        EXPECT_EQ(bytes, 77u);
        EXPECT_EQ(gurn_mvhg_law_workspace(context(), plan, &inputs, GURN_LAW_KL, &bytes), GURN_SUCCESS);
        gurn_plan_destroy(plan);
    }
    gurn_plan_options wrong = {sizeof wrong, dtype(), GURN_CHAIN_EXACT, nullptr, static_cast<gurn_plan_use>(2)};
    expect_refused(create(2, {3, 4}, 7, &wrong), GURN_INVALID_ARGUMENT, "options->use");
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

/* ------------------------------------------------------------------------------------------------------------ tables --- */

namespace {

/* A plan's tables, as plan.h says what they are. */
struct Tables {
    Tables(std::vector<int32_t> m, std::vector<int32_t> order, bool merged, int32_t n_max, size_t psi_size) {
        const int32_t C = static_cast<int32_t>(m.size());
        size_t bytes = 0, filled = 0;
        EXPECT_EQ(gurn_plan_fill(C, m.data(), order.data(), merged, n_max, psi_size, nullptr, &bytes, nullptr), 0);
        storage.reset(std::aligned_alloc(64, bytes));
        EXPECT_EQ(gurn_plan_fill(C, m.data(), order.data(), merged, n_max, psi_size, storage.get(), &filled, &view), 0);
        EXPECT_EQ(bytes, filled);
    }
    struct Free {
        void operator()(void *p) const { std::free(p); }
    };
    std::unique_ptr<void, Free> storage;
    gurn_plan_view view{};
};

/* -log2 C(m, k) */
long double minus_log2_binomial(int m, int k) {
    return (lgammal(k + 1.0L) + lgammal(m - k + 1.0L) - lgammal(m + 1.0L)) / logl(2.0L);
}

/* The same number of 2^-23 bit, modulo 2^32, but for rounding to the nearest: 1/2, and T's own error. */
bool same_fixed(int32_t fixed, long double bits) {
    const long double off = static_cast<long double>(fixed) * 0x1p-23L - bits;
    return fabsl(off - 512 * roundl(off / 512)) <= 0x1.01p-24L;
}

void expect_table(const gurn_table &t, int m, size_t psi_size) {
    SCOPED_TRACE(m);
    ASSERT_EQ(t.m, m);
    const long double middle = minus_log2_binomial(m, m / 2);
    for (int k = 0; k <= m; k++) {
        const long double want = minus_log2_binomial(m, k) - middle;
        ASSERT_TRUE(fabsl(t.wide[k] - want) <= 1e-14L * (1 + fabsl(want))) << "count " << k;
        ASSERT_TRUE(same_fixed(t.fixed[k], want)) << "count " << k;
        /* digamma(k + 1) - digamma(m - k + 1): by 1/j between the two */
        long double psi = 0;
        for (int j = std::min(k, m - k) + 1; j <= std::max(k, m - k); j++)
            psi += (k > m - k ? 1 : -1) / static_cast<long double>(j);
        const long double got =
            psi_size == 4 ? static_cast<const float *>(t.psi)[k] : static_cast<const double *>(t.psi)[k];
        ASSERT_TRUE(fabsl(got - psi) <= (psi_size == 4 ? 0x1p-23L : 1e-14L) * (1 + fabsl(psi))) << "count " << k;
    }
}

}  // namespace

TEST(PlanTables, AreLogBinomials) {
    const std::vector<int32_t> m = {40, 0, 1, 7, 300, 2}, order = {4, 1, 0, 5, 3, 2};
    for (const size_t psi_size : {sizeof(float), sizeof(double)})
        for (const bool merged : {true, false}) {
            const Tables tables(m, order, merged, 100, psi_size);
            int rest = 0;
            for (int i = 5; i >= 0; i--) {
                const gurn_step &step = tables.view.steps[i];
                EXPECT_EQ(tables.view.order[i], order[i]);
                EXPECT_EQ(step.m, m[order[i]]);
                EXPECT_EQ(step.m_rest, rest);
                EXPECT_TRUE(std::fabs(step.log2_m - (step.m ? std::log2(step.m) : 0)) <= 1e-15 * 9);
                EXPECT_TRUE(std::fabs(step.log2_m_rest - (rest ? std::log2(rest) : 0)) <= 1e-15 * 9);
                expect_table(step.own, step.m, psi_size);
                if (merged)
                    expect_table(step.rest, rest, psi_size);
                else
                    EXPECT_TRUE(!step.rest.fixed && !step.rest.wide && !step.rest.psi);
                rest += step.m;
            }
            for (int c = 0, offset = 0; c <= 6; offset += c < 6 ? m[c] + 1 : 0, c++)
                EXPECT_EQ(tables.view.offset[c], offset);
        }
}

/*
 * What this and all later classes have together, at places between the first and the last that have balls: r from 0 to one more
 * than can be left to draw, or all there is, laid out downwards.
 */
TEST(PlanTables, WhatIsLeft) {
    const std::vector<int32_t> m = {40, 0, 30, 7, 0, 50}, order = {3, 0, 1, 5, 2, 4};
    const bool has[6] = {false, true, false, true, false, false}; /* at place 4 class 2 alone is left */
    for (const int32_t n_max : {0, 1, 78, 79, 80, 81, 100, 119, 120, 121, 127}) {
        SCOPED_TRACE(n_max);
        const Tables tables(m, order, false, n_max, sizeof(float));
        for (int i = 0; i < 6; i++) {
            const gurn_step &step = tables.view.steps[i];
            ASSERT_EQ(step.left.fixed != nullptr, has[i]) << "place " << i;
            if (!has[i]) continue;
            const int all = step.m + step.m_rest;
            ASSERT_EQ(step.left.top, std::min(all, n_max + 1)) << "place " << i;
            for (int64_t j = 0; j <= step.left.top; j++) {
                const int r = static_cast<int>(step.left.top - j);
                const long double want = minus_log2_binomial(all, r) - minus_log2_binomial(all, 0);
                ASSERT_TRUE(same_fixed(step.left.fixed[j], want)) << "place " << i << " r " << r;
            }
        }
    }
    /* None where the rest has tables of its own, or in a float64 plan. */
    const Tables merged(m, order, true, 100, sizeof(float)), wide(m, order, false, 100, sizeof(double));
    for (int i = 0; i < 6; i++) EXPECT_TRUE(!merged.view.steps[i].left.fixed && !wide.view.steps[i].left.fixed);
}

/* A table moved to a copy of its block is read there. */
TEST(PlanTables, Rebased) {
    const std::vector<int32_t> m = {4, 0, 9, 6}, order = {1, 3, 0, 2};
    for (const bool merged : {false, true}) {
        const Tables tables(m, order, merged, 12, sizeof(float));
        size_t bytes = 0;
        EXPECT_EQ(gurn_plan_fill(4, m.data(), order.data(), merged, 12, sizeof(float), nullptr, &bytes, nullptr), 0);
        std::vector<char> copy(static_cast<const char *>(tables.storage.get()),
                               static_cast<const char *>(tables.storage.get()) + bytes);
        gurn_step steps[4];
        const gurn_plan_view view = gurn_plan_rebase(&tables.view, tables.storage.get(), copy.data(), steps);
        EXPECT_EQ(view.classes, 4);
        const auto moved = [&](const void *now, const void *before) {
            if (!before) return now == nullptr;
            return static_cast<const char *>(now) - copy.data() ==
                   static_cast<const char *>(before) - static_cast<const char *>(tables.storage.get());
        };
        EXPECT_TRUE(moved(view.steps, tables.view.steps) && moved(view.order, tables.view.order) &&
                    moved(view.offset, tables.view.offset));
        for (int i = 0; i < 4; i++) {
            const gurn_step &now = steps[i], &before = tables.view.steps[i];
            EXPECT_TRUE(now.m == before.m && now.m_rest == before.m_rest) << i;
            EXPECT_TRUE(moved(now.own.fixed, before.own.fixed) && moved(now.own.wide, before.own.wide) &&
                        moved(now.own.psi, before.own.psi))
                << i;
            EXPECT_TRUE(moved(now.rest.fixed, before.rest.fixed) && moved(now.rest.wide, before.rest.wide) &&
                        moved(now.rest.psi, before.rest.psi))
                << i;
            EXPECT_TRUE(moved(now.left.fixed, before.left.fixed)) << i;
        }
    }
}

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
