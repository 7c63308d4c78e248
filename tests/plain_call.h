/* Calls of gurn_mvhg_draw and gurn_hypergeometric_draw with plain vectors in and out. */
#ifndef GURN_TESTS_PLAIN_CALL_H
#define GURN_TESTS_PLAIN_CALL_H

#include "harness.h"

namespace gurn_test {

/* int32 counts that the library writes. */
class Counts {
public:
    Counts(gurn_device device, size_t count)
        : count_(count), bytes_(device, count * sizeof(int32_t), sizeof(int32_t)) {}
    int32_t *data() const { return static_cast<int32_t *>(bytes_.data()); }
    const DeviceBytes &bytes() const { return bytes_; }
    std::vector<int32_t> values() const {
        EXPECT_TRUE(bytes_.guards_intact());
        std::vector<int32_t> x(count_);
        if (count_) memcpy(x.data(), bytes_.download().data(), count_ * sizeof(int32_t));
        return x;
    }

private:
    size_t count_;
    DeviceBytes bytes_;
};

/* A call of gurn_mvhg_draw taken apart, valid when made, for tests that spoil a part of it. */
struct DrawCall {
    DrawCall(gurn_context *ctx, const Target &t, const Problem &p)
        : context(ctx),
          own_plan(make_plan(ctx, p.urn, p.n_max(), t.dtype)),
          log_omega(t.device, t.dtype, p.log_omega),
          n_rows(t.device, p.n_rows),
          order(p.call_order),
          out(t.device, static_cast<size_t>(p.rows * p.urn.classes())) {
        inputs.rows = p.rows;
        inputs.log_omega = log_omega.data();
        inputs.log_omega_stride = p.shared() ? 0 : p.urn.classes();
        inputs.n = p.n;
        inputs.n_rows = n_rows.data();
        inputs.noise.seed = p.seed;
        inputs.noise.offset = p.offset;
        inputs.noise.row0 = p.row0;
        inputs.order = order.empty() ? nullptr : order.data();
        EXPECT_EQ(gurn_mvhg_draw_workspace(ctx, own_plan.get(), &inputs, &workspace_bytes), GURN_SUCCESS)
            << gurn_context_message(ctx);
        needed = workspace_bytes;
        scratch.reset(new DeviceBytes(t.device, workspace_bytes));
        workspace = workspace_bytes ? scratch->data() : nullptr;
        plan = own_plan.get();
        in = &inputs;
        x = out.data();
    }
    gurn_status run() { return gurn_mvhg_draw(context, plan, in, x, workspace, workspace_bytes); }
    bool untouched() const {
        return out.bytes().untouched() && scratch->untouched() && out.bytes().guards_intact() &&
               scratch->guards_intact();
    }

    gurn_context *context;
    const gurn_plan *plan;
    const gurn_mvhg_inputs *in;
    int32_t *x;
    void *workspace;
    size_t workspace_bytes = 0, needed = 0;
    gurn_mvhg_inputs inputs = GURN_MVHG_INPUTS_INIT;

    Plan own_plan;
    RealArray log_omega;
    DeviceArray<int32_t> n_rows;
    std::vector<int32_t> order;
    Counts out;
    std::unique_ptr<DeviceBytes> scratch;
};

/* x[rows][C] */
inline std::vector<int32_t> run_draw(gurn_context *context, const Target &target, const Problem &p) {
    DrawCall call(context, target, p);
    EXPECT_EQ(call.run(), GURN_SUCCESS) << gurn_context_message(context);
    device_synchronize(target.device);
    EXPECT_TRUE(call.scratch->guards_intact());
    return call.out.values();
}

/* The univariate law: every vector has one value for all rows, or one a row; no log_odds: NULL. */
struct Univariate {
    int64_t rows = 1;
    std::vector<int32_t> m1, m2, n;
    std::vector<double> log_odds;
    uint64_t seed = 1, offset = 0, row0 = 0;

    template <class T>
    static T at(const std::vector<T> &v, int64_t b) {
        return v[v.size() == 1 ? 0 : static_cast<size_t>(b)];
    }
};

/* As DrawCall. */
struct UnivariateCall {
    UnivariateCall(gurn_context *ctx, const Target &t, const Univariate &u)
        : context(ctx),
          m1(t.device, u.m1),
          m2(t.device, u.m2),
          n(t.device, u.n),
          log_odds(t.device, t.dtype, u.log_odds),
          out(t.device, static_cast<size_t>(u.rows)) {
        const auto stride = [](size_t size) { return static_cast<int64_t>(size > 1); };
        inputs.rows = u.rows;
        inputs.m1 = m1.data();
        inputs.m2 = m2.data();
        inputs.n = n.data();
        inputs.log_odds = log_odds.data();
        inputs.log_odds_dtype = t.dtype;
        inputs.m1_stride = stride(u.m1.size());
        inputs.m2_stride = stride(u.m2.size());
        inputs.n_stride = stride(u.n.size());
        inputs.log_odds_stride = stride(u.log_odds.size());
        inputs.noise.seed = u.seed;
        inputs.noise.offset = u.offset;
        inputs.noise.row0 = u.row0;
        in = &inputs;
        x = out.data();
    }
    gurn_status run() { return gurn_hypergeometric_draw(context, in, x); }

    gurn_context *context;
    const gurn_hypergeometric_inputs *in;
    int32_t *x;
    gurn_hypergeometric_inputs inputs = GURN_HYPERGEOMETRIC_INPUTS_INIT;
    DeviceArray<int32_t> m1, m2, n;
    RealArray log_odds;
    Counts out;
};

inline std::vector<int32_t> run_univariate(gurn_context *context, const Target &target, const Univariate &u) {
    UnivariateCall call(context, target, u);
    EXPECT_EQ(call.run(), GURN_SUCCESS) << gurn_context_message(context);
    device_synchronize(target.device);
    return call.out.values();
}

/* A target that has plain draws. */
class OnPlainTarget : public OnTarget {
protected:
    void SetUp() override {
        OnTarget::SetUp();
        if (IsSkipped()) return;
        Univariate u;
        u.m1 = u.m2 = u.n = {1};
        UnivariateCall probe(context(), GetParam(), u);
        if (probe.run() == GURN_UNSUPPORTED) GTEST_SKIP() << gurn_context_message(context());
        device_synchronize(device());
    }
    std::vector<int32_t> draw(const Problem &p) { return run_draw(context(), GetParam(), p); }
    std::vector<int32_t> draw(const Univariate &u) { return run_univariate(context(), GetParam(), u); }
};

inline Problem urn_of(const std::vector<int> &m, const std::vector<int> &order, int n,
                      const std::vector<double> &log_omega, oracle::Chain chain = oracle::Chain::exact) {
    Problem p;
    p.urn.m = m;
    p.urn.order = order;
    p.urn.chain = chain;
    p.n = n;
    p.log_omega = log_omega;
    return p;
}

}  // namespace gurn_test

#endif
