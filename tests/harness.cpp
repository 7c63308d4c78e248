#include "harness.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#ifdef GURN_TEST_EMULATED
#include <cuda_runtime.h>
#endif

namespace gurn_test {

void PrintTo(const Target &target, std::ostream *os) {
    *os << target.name << (target.dtype == GURN_FLOAT32 ? "_float32" : "_float64");
}

std::vector<Target> all_targets() {
    std::vector<Target> targets;
    for (gurn_dtype dtype : {GURN_FLOAT32, GURN_FLOAT64}) {
        targets.push_back({"portable", GURN_DEVICE_CPU, GURN_ISA_PORTABLE, dtype});
#if defined(__x86_64__)
        targets.push_back({"avx2", GURN_DEVICE_CPU, GURN_ISA_AVX2, dtype});
        targets.push_back({"avx512", GURN_DEVICE_CPU, GURN_ISA_AVX512, dtype});
#elif defined(__aarch64__)
        targets.push_back({"neon", GURN_DEVICE_CPU, GURN_ISA_NEON, dtype});
#endif
#if defined(GURN_TEST_EMULATED)
        targets.push_back({"emulated", GURN_DEVICE_CUDA, GURN_ISA_AUTO, dtype});
#elif defined(GURN_TEST_CUDA)
        targets.push_back({"cuda", GURN_DEVICE_CUDA, GURN_ISA_AUTO, dtype});
#endif
    }
    return targets;
}

std::string target_name(const testing::TestParamInfo<Target> &info) {
    return std::string(info.param.name) + (info.param.dtype == GURN_FLOAT32 ? "_float32" : "_float64");
}

/* ------------------------------------------------------------------------------------------------------------ a call --- */

int Problem::n_max() const { return n_rows.empty() ? n : *std::max_element(n_rows.begin(), n_rows.end()); }

oracle::Urn Problem::urn_of_call() const {
    oracle::Urn out = urn;
    if (!call_order.empty()) out.order.assign(call_order.begin(), call_order.end());
    return out;
}

oracle::Row Problem::row(int64_t b, gurn_dtype dtype) const {
    const int C = urn.classes(), W = urn.width();
    const auto omega = log_omega.begin() + (shared() ? 0 : b * C);
    oracle::Row out;
    out.log_omega = rounded(dtype, std::vector<double>(omega, omega + C));
    out.n = n_of(b);
    out.tau = tau;
    out.soft = soft;
    if (noise == GURN_NOISE_PHILOX)
        out.gumbel = oracle::philox_gumbel(urn_of_call(), seed, offset + row0 + b);
    else if (noise == GURN_NOISE_GIVEN)
        out.gumbel = rounded(dtype, std::vector<double>(gumbel.begin() + b * W, gumbel.begin() + (b + 1) * W));
    return out;
}

oracle::Upstream Incoming::row(const oracle::Urn &urn, int64_t b, gurn_dtype dtype) const {
    const auto part = [&](const std::vector<double> &v, int64_t width) {
        if (v.empty()) return std::vector<double>();
        return rounded(dtype, std::vector<double>(v.begin() + b * width, v.begin() + (b + 1) * width));
    };
    oracle::Upstream up;
    up.x = part(x, urn.classes());
    up.y = part(y, urn.width());
    up.mask = part(mask, urn.width());
    if (!log_p.empty()) up.log_p = part(log_p, 1)[0];
    return up;
}

bool same_bits(const std::vector<double> &a, const std::vector<double> &b) {
    return a.size() == b.size() && (a.empty() || memcmp(a.data(), b.data(), a.size() * sizeof(double)) == 0);
}

bool Answer::operator==(const Answer &other) const {
    return same_bits(x, other.x) && same_bits(y, other.y) && same_bits(mask, other.mask) &&
           same_bits(log_p, other.log_p);
}

bool Gradient::operator==(const Gradient &other) const {
    return same_bits(log_omega, other.log_omega) && same_bits(tau, other.tau);
}

Context make_context(const Target &target, int threads, gurn_status *status) {
    gurn_context_options options = GURN_CONTEXT_OPTIONS_INIT;
    options.device = target.device;
    options.isa = target.isa;
    options.threads = threads;
    gurn_context *context = nullptr;
    const gurn_status result = gurn_context_create(&options, &context);
    if (status) *status = result;
    return Context(context);
}

Plan make_plan(gurn_context *context, const oracle::Urn &urn, int n_max, gurn_dtype dtype, gurn_plan_use use) {
    gurn_plan_options options = GURN_PLAN_OPTIONS_INIT;
    options.dtype = dtype;
    options.chain = urn.chain == oracle::Chain::exact ? GURN_CHAIN_EXACT : GURN_CHAIN_MERGED;
    options.use = use;
    const std::vector<int32_t> order(urn.order.begin(), urn.order.end()), m(urn.m.begin(), urn.m.end());
    options.order = order.empty() ? nullptr : order.data();
    gurn_plan *plan = nullptr;
    EXPECT_EQ(gurn_plan_create(context, urn.classes(), m.data(), n_max, &options, &plan), GURN_SUCCESS)
        << gurn_context_message(context);
    return Plan(plan);
}

namespace {

/* A Problem in device memory, with its plan and workspace. */
struct Prepared {
    gurn_context *context;
    Plan plan;
    RealArray log_omega, gumbel;
    DeviceArray<int32_t> n_rows;
    gurn_mvhg_inputs in = GURN_MVHG_INPUTS_INIT;
    size_t forward_bytes = 0, backward_bytes = 0;

    Prepared(gurn_context *ctx, const Target &t, const Problem &p)
        : context(ctx),
          plan(make_plan(ctx, p.urn, p.n_max(), t.dtype)),
          log_omega(t.device, t.dtype, p.log_omega),
          gumbel(t.device, t.dtype, p.gumbel),
          n_rows(t.device, p.n_rows) {
        in.rows = p.rows;
        in.log_omega = log_omega.data();
        in.log_omega_stride = p.shared() ? 0 : p.urn.classes();
        in.n = p.n;
        in.n_rows = n_rows.data();
        in.tau = p.tau;
        in.relaxation = p.soft ? GURN_SOFT : GURN_HARD;
        in.noise.kind = p.noise;
        in.noise.seed = p.seed;
        in.noise.offset = p.offset;
        in.noise.row0 = p.row0;
        in.noise.gumbel = gumbel.data();
        in.order = p.call_order.empty() ? nullptr : p.call_order.data();
        EXPECT_EQ(gurn_mvhg_workspace(context, plan.get(), &in, &forward_bytes, &backward_bytes), GURN_SUCCESS)
            << gurn_context_message(context);
    }
};

}  // namespace

Answer run_forward(gurn_context *context, const Target &t, const Problem &p, int want) {
    Prepared call(context, t, p);
    const size_t rows = static_cast<size_t>(p.rows), W = p.urn.width(), C = p.urn.classes();
    const RealArray x(t.device, t.dtype, rows * C, want & kX), y(t.device, t.dtype, rows * W, want & kY),
        mask(t.device, t.dtype, rows * W, want & kMask), log_p(t.device, t.dtype, rows, want & kLogP);
    const DeviceBytes workspace(t.device, call.forward_bytes);
    gurn_mvhg_outputs out = GURN_MVHG_OUTPUTS_INIT;
    out.x = x.data();
    out.y = y.data();
    out.mask = mask.data();
    out.log_p = log_p.data();
    EXPECT_EQ(gurn_mvhg_forward(context, call.plan.get(), &call.in, &out,
                                call.forward_bytes ? workspace.data() : nullptr, call.forward_bytes),
              GURN_SUCCESS)
        << gurn_context_message(context);
    device_synchronize(t.device);
    EXPECT_TRUE(x.bytes().guards_intact()) << "x";
    EXPECT_TRUE(y.bytes().guards_intact()) << "y";
    EXPECT_TRUE(mask.bytes().guards_intact()) << "mask";
    EXPECT_TRUE(log_p.bytes().guards_intact()) << "log_p";
    EXPECT_TRUE(workspace.guards_intact()) << "workspace";
    return {x.values(), y.values(), mask.values(), log_p.values()};
}

Gradient run_backward(gurn_context *context, const Target &t, const Problem &p, const std::vector<double> &x,
                      const Incoming &incoming, bool want_tau) {
    Prepared call(context, t, p);
    const size_t rows = static_cast<size_t>(p.rows), C = p.urn.classes();
    const RealArray x_in(t.device, t.dtype, x), dx(t.device, t.dtype, incoming.x), dy(t.device, t.dtype, incoming.y),
        dmask(t.device, t.dtype, incoming.mask), dlog_p(t.device, t.dtype, incoming.log_p),
        log_omega(t.device, t.dtype, p.shared() ? C : rows * C), tau(t.device, t.dtype, rows, want_tau);
    const DeviceBytes workspace(t.device, call.backward_bytes);
    gurn_mvhg_upstream up = GURN_MVHG_UPSTREAM_INIT;
    up.x = dx.data();
    up.y = dy.data();
    up.mask = dmask.data();
    up.log_p = dlog_p.data();
    gurn_mvhg_gradients grad = GURN_MVHG_GRADIENTS_INIT;
    grad.log_omega = log_omega.data();
    grad.tau = tau.data();
    EXPECT_EQ(gurn_mvhg_backward(context, call.plan.get(), &call.in, x_in.data(), &up, &grad,
                                 call.backward_bytes ? workspace.data() : nullptr, call.backward_bytes),
              GURN_SUCCESS)
        << gurn_context_message(context);
    device_synchronize(t.device);
    EXPECT_TRUE(log_omega.bytes().guards_intact()) << "log_omega gradient";
    EXPECT_TRUE(tau.bytes().guards_intact()) << "tau gradient";
    EXPECT_TRUE(workspace.guards_intact()) << "workspace";
    return {log_omega.values(), tau.values()};
}

/* --------------------------------------------------------------------------------------------------------- the fixture --- */

void OnTarget::SetUp() {
    gurn_status status;
    context_ = make_context(GetParam(), 2, &status);
    if (status == GURN_UNSUPPORTED || status == GURN_NO_DEVICE)
        GTEST_SKIP() << GetParam().name << " is not here: " << gurn_status_string(status);
    ASSERT_EQ(status, GURN_SUCCESS) << gurn_status_string(status);
    if (device() == GURN_DEVICE_CPU) {
        const Context best = make_context({"auto", GURN_DEVICE_CPU, GURN_ISA_AUTO, dtype()}, 1);
        gurn_context_info info = {};
        info.size = sizeof info;
        ASSERT_EQ(gurn_context_get_info(best.get(), &info), GURN_SUCCESS);
        chosen_ = info.isa == GetParam().isa;
    }
}

bool OnTarget::emulated() const { return strcmp(GetParam().name, "emulated") == 0; }

void OnTarget::TearDown() {
#ifdef GURN_TEST_EMULATED
    EXPECT_EQ(emu::loaded_by_launch(), "") << "gurn_context_create should have loaded it (kernels/launch.cuh)";
#endif
}

double test_scale() {
    const char *text = getenv("GURN_TEST_SCALE");
    if (!text) return 1;
    char *end;
    const double scale = strtod(text, &end);
    if (end != text && !*end && scale > 0 && scale <= 1e6) return scale;
    fprintf(stderr, "GURN_TEST_SCALE: '%s' is not a number above 0, 1e6 at most\n", text);
    exit(2);
}

int64_t OnTarget::scaled(int64_t rows, int64_t least) const {
    const int64_t on_target = emulated() ? rows / 100 : chosen() ? rows : rows / 10;
    return std::max(least, static_cast<int64_t>(static_cast<double>(on_target) * test_scale()));
}

bool OnTarget::samples(oracle::Chain chain) const {
    gurn_plan_options options = GURN_PLAN_OPTIONS_INIT;
    options.dtype = dtype();
    options.chain = chain == oracle::Chain::exact ? GURN_CHAIN_EXACT : GURN_CHAIN_MERGED;
    const int32_t m[2] = {1, 1};
    gurn_plan *plan = nullptr;
    gurn_status status = gurn_plan_create(context(), 2, m, 1, &options, &plan);
    const RealArray log_omega(device(), dtype(), std::vector<double>{0, 0}), x(device(), dtype(), 2);
    if (status == GURN_SUCCESS) {
        gurn_mvhg_inputs in = GURN_MVHG_INPUTS_INIT;
        in.rows = 1;
        in.n = 1;
        in.log_omega = log_omega.data();
        gurn_mvhg_outputs out = GURN_MVHG_OUTPUTS_INIT;
        out.x = x.data();
        size_t bytes = 0;
        status = gurn_mvhg_workspace(context(), plan, &in, &bytes, nullptr);
        const DeviceBytes workspace(device(), bytes);
        if (status == GURN_SUCCESS) status = gurn_mvhg_forward(context(), plan, &in, &out, workspace.data(), bytes);
        device_synchronize(device());
    }
    gurn_plan_destroy(plan);
    EXPECT_TRUE(status == GURN_SUCCESS || status == GURN_UNSUPPORTED) << gurn_context_message(context());
    return status == GURN_SUCCESS;
}

std::vector<oracle::Chain> OnTarget::chains() const {
    std::vector<oracle::Chain> list;
    for (const oracle::Chain chain : {oracle::Chain::merged, oracle::Chain::exact})
        if (samples(chain)) list.push_back(chain);
    return list;
}

std::vector<double> Random::uniforms(size_t count, double lo, double hi) {
    std::vector<double> out(count);
    for (double &v : out) v = uniform(lo, hi);
    return out;
}

std::vector<int> Random::permutation(int count) {
    std::vector<int> out(count);
    for (int i = 0; i < count; i++) out[i] = i;
    for (int i = count - 1; i > 0; i--) std::swap(out[i], out[integer(0, i)]);
    return out;
}

}  // namespace gurn_test
