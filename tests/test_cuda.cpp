/*
 * Of CUDA contexts only; in a build without CUDA, one visible skip. All other suites run on the device too, and
 * tests/cuda has what the kernels need beyond them.
 */
#include "call.h"
#include "problems.h"

using namespace gurn_test;

#ifndef GURN_TEST_CUDA

TEST(Cuda, IsNotInThisBuild) { GTEST_SKIP() << "configured with GURN_CUDA=OFF: no CUDA, not even emulated"; }

#else

#include <cuda_runtime.h>

#include <cmath>
#include <cstdlib>
#include <thread>

namespace {

#define MUST(call) ASSERT_EQ(call, cudaSuccess)

class Cuda : public OnTarget {
protected:
    void SetUp() override {
        OnTarget::SetUp();
        if (!IsSkipped() && device() != GURN_DEVICE_CUDA) GTEST_SKIP() << "of CUDA contexts only";
    }
    Problem ordinary(uint64_t seed) const {
        Problem p;
        p.urn.m = {30, 40, 20};
        p.n = 45;
        p.rows = scaled(20000, 50);
        p.log_omega = Random(seed).uniforms(p.rows * 3, -1, 1);
        p.seed = seed;
        return p;
    }
};

}  // namespace

/*
 * Forward and backward captured once and replayed: a call that allocated, synchronised or read device memory on the
 * host would make the capture fail. Each replay draws what the seed and offset in device memory say at that time.
 */
TEST_P(Cuda, AGraphReplaysWithFreshNoise) {
    for (const bool soft : {false, true}) {
        Problem p = ordinary(4);
        p.soft = soft;
        p.log_omega.resize(3); /* shared: the gradient is a sum over rows, in two stages */
        cudaStream_t stream;
        MUST(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
        Call call(context(), GetParam(), p);
        const DeviceArray<uint64_t> seed_offset(device(), {1, 0});
        call.inputs.noise.device_seed_offset = seed_offset.data();
        call.x = call.out_x.data();
        device_synchronize(device());
        ASSERT_EQ(gurn_context_set_stream(context(), stream), GURN_SUCCESS);
        cudaGraph_t graph;
        cudaGraphExec_t exec;
        MUST(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
        EXPECT_EQ(call.forward(), GURN_SUCCESS) << gurn_context_message(context());
        EXPECT_EQ(call.backward(), GURN_SUCCESS) << gurn_context_message(context());
        MUST(cudaStreamEndCapture(stream, &graph));
        EXPECT_TRUE(call.untouched()) << "a capture runs nothing";
        MUST(cudaGraphInstantiate(&exec, graph, 0));

        for (const uint64_t seed : {5, 6, 5}) {
            const uint64_t now[2] = {seed, 1000 * seed};
            device_upload(device(), seed_offset.data(), now, sizeof now);
            MUST(cudaGraphLaunch(exec, stream));
            MUST(cudaStreamSynchronize(stream));
            Problem q = p;
            q.seed = seed;
            q.offset = 1000 * seed;
            const Context other = make_context(GetParam(), 0);
            const Answer want = run_forward(other.get(), GetParam(), q);
            EXPECT_TRUE(same_bits(call.out_x.values(), want.x)) << "seed " << seed;
            EXPECT_TRUE(same_bits(call.out_log_p.values(), want.log_p)) << "seed " << seed;
            Incoming incoming; /* as Call fills its upstream */
            incoming.x.assign(p.rows * 3, 0.5);
            incoming.y.assign(p.rows * p.urn.width(), 0.25);
            incoming.mask.assign(p.rows * p.urn.width(), 0.125);
            incoming.log_p.assign(p.rows, 1.0);
            const Gradient gradient = run_backward(other.get(), GetParam(), q, want.x, incoming);
            EXPECT_TRUE(same_bits(call.grad_log_omega.values(), gradient.log_omega)) << "seed " << seed;
            EXPECT_TRUE(same_bits(call.grad_tau.values(), gradient.tau)) << "seed " << seed;
        }
        EXPECT_TRUE(call.guards_intact());
        MUST(cudaGraphExecDestroy(exec));
        MUST(cudaGraphDestroy(graph));
        ASSERT_EQ(gurn_context_set_stream(context(), nullptr), GURN_SUCCESS);
        MUST(cudaStreamDestroy(stream));
    }
}

/* A plan is of a device: neither back end takes the other's. */
TEST_P(Cuda, PlansOfTheOtherBackEndAreRefused) {
    const Context cpu = make_context({"auto", GURN_DEVICE_CPU, GURN_ISA_AUTO, dtype()}, 1);
    const Problem p = ordinary(7);
    const Plan plan = make_plan(cpu.get(), p.urn, p.n, dtype());
    Call call(context(), GetParam(), p);
    call.plan = plan.get();
    EXPECT_EQ(call.forward(), GURN_INVALID_ARGUMENT);
    EXPECT_NE(std::string(gurn_context_message(context())).find("plan"), std::string::npos);
    EXPECT_TRUE(call.untouched());
}

/*
 * x is that of the CPU, bit by bit, in 10^7 draws of a class on a GPU and 10^6 emulated; over every urn of the
 * assorted ones, and over windows that a group of 4 or 8 lanes, a warp and a block of 256 threads walk.
 */
TEST_P(Cuda, DrawsAreThoseOfTheCpu) {
    const Target cpu = {"auto", GURN_DEVICE_CPU, GURN_ISA_AUTO, dtype()};
    const Context other = make_context(cpu, 2);
    std::vector<NamedProblem> list;
    Random random(11);
    const auto of_rows = [](int64_t rows) {
        return std::max<int64_t>(1, static_cast<int64_t>(static_cast<double>(rows) * test_scale()));
    };
    const auto add = [&](std::vector<int> m, int n, int64_t rows, double spread) {
        Problem p;
        p.urn.m = m;
        p.n = n;
        p.rows = of_rows(rows);
        p.log_omega = random.uniforms(rows * m.size(), -spread, spread);
        p.seed = random.word();
        list.push_back({testing::PrintToString(m), p});
    };
    if (float32()) {
        list = assorted_problems(of_rows(emulated() ? 13000 : 130000));
        add({400, 500, 600}, 700, emulated() ? 1500 : 50000, 2);
        add({3000, 3000}, 2500, emulated() ? 500 : 20000, 4);
        add({120000, 120000, 120000}, 180000, emulated() ? 4 : 2000, 1);
        add({200000, 100000}, 100000, emulated() ? 6 : 2000, 12);
        add({400000, 500000, 400000}, 600000, emulated() ? 3 : 2000, 1);
        add({400000, 500000}, 500000, emulated() ? 3 : 2000, 20);
    } else { /* the general path, which walks with a warp whatever the window */
        list = assorted_problems(of_rows(emulated() ? 500 : 130000));
        add({400, 500, 600}, 700, emulated() ? 50 : 5000, 2);
        add({120000, 120000, 120000}, 180000, emulated() ? 1 : 200, 1);
    }
    int64_t draws = 0;
    for (const NamedProblem &named : list) {
        const Problem &p = named.problem;
        const std::vector<double> x = forward(p, kX).x, want = run_forward(other.get(), cpu, p, kX).x;
        if (!same_bits(x, want)) {
            for (size_t i = 0; i < x.size(); i++)
                ASSERT_EQ(x[i], want[i]) << named.name << ", row " << i / p.urn.m.size() << " class "
                                         << i % p.urn.m.size();
        }
        draws += static_cast<int64_t>(x.size());
    }
    EXPECT_GE(draws, std::min(1.0, test_scale()) * (!emulated() ? 10000000 : float32() ? 1000000 : 30000));
}

/*
 * A block of threads to a row, in both kernels of backward and in log_p, against float64 on the CPU (the oracle would
 * take a minute).
 *
 * A logit of float32 is right to 1e-5, so a weight to 2e-5 relative with its normalisation, and a gradient, which is
 * a covariance of k and u, to 2e-5 * 2 sd(k) sd(u). sd(k) <= 317 here: the variance is at most a quarter of the
 * smallest of m, m_R, n and N - n. u is dx k with |dx| <= 2 (the other class's is taken off), y's 1, and a walk of
 * mask's over the window of 4000 counts: sd(u) <= 660.
 */
TEST_P(Cuda, WideRowsAgreeWithFloat64) {
    if (!float32()) GTEST_SKIP() << "the general path walks with a warp whatever the window";
    const Target reference = {"auto", GURN_DEVICE_CPU, GURN_ISA_AUTO, GURN_FLOAT64};
    const Context other = make_context(reference, 2);
    for (const bool everything : {false, true}) {
        SCOPED_TRACE(everything ? "everything" : "x and log_p");
        Problem p;
        p.urn.m = {420000, 400000};
        p.n = 400000;
        p.rows = emulated() ? 3 : 200;
        p.tau = everything ? 0.9 : 1;
        p.log_omega = rounded(GURN_FLOAT32, Random(12).uniforms(2 * p.rows, -1, 1));
        const Answer a = forward(p, kX | kLogP);
        Incoming incoming = random_incoming(p, 13);
        for (std::vector<double> *v : {&incoming.x, &incoming.y, &incoming.mask, &incoming.log_p})
            *v = rounded(GURN_FLOAT32, *v);
        if (!everything) {
            incoming.y.clear();
            incoming.mask.clear();
        }
        const Gradient want = run_backward(other.get(), reference, p, a.x, incoming),
                       got = backward(p, a.x, incoming, everything);
        for (size_t i = 0; i < want.log_omega.size(); i++)
            ASSERT_TRUE(std::fabs(got.log_omega[i] - want.log_omega[i]) <= 2e-5 * 2 * 317 * 660)
                << got.log_omega[i] << " for " << want.log_omega[i];
        const Answer wide = run_forward(other.get(), reference, p, kX | kLogP);
        int compared = 0;
        for (int64_t b = 0; b < p.rows; b++) {
            if (!same_bits(slice(a.x, b, 2), slice(wide.x, b, 2))) continue; /* a race within rounding of a tie */
            compared++;
            ASSERT_TRUE(std::fabs(a.log_p[b] - wide.log_p[b]) <= 2e-5 + 0x1p-22 * std::fabs(wide.log_p[b]))
                << a.log_p[b] << " for " << wide.log_p[b];
        }
        EXPECT_GE(compared, p.rows / 2);
    }
}

/* The host can not look at x: a row whose x forward never gave has NaN gradients, and the other rows theirs. */
TEST_P(Cuda, CountsThatForwardNeverGave) {
    for (const double tau : {1.0, 0.7, 5.0}) { /* each kernel of backward; in float64 the general one */
        Problem p = ordinary(18);
        p.rows = 37; /* the last warp is not full */
        p.log_omega.resize(37 * 3);
        p.tau = tau;
        const std::vector<double> x = forward(p, kX).x;
        Incoming incoming = random_incoming(p, 19);
        if (tau == 1.0) {
            incoming.y.clear();
            incoming.mask.clear();
        }
        const bool with_tau = tau != 1.0;
        const Gradient good = backward(p, x, incoming, with_tau);
        for (const double bad :
             {double(NAN), double(INFINITY), -1.0, 1e9, x[3 * 5 + 1] + (x[3 * 5 + 1] < 40 ? 1 : -1)}) {
            SCOPED_TRACE(testing::Message() << "tau " << tau << ", x " << bad);
            std::vector<double> spoiled = x;
            spoiled[3 * 5 + 1] = bad;
            const Gradient g = backward(p, spoiled, incoming, with_tau);
            for (int64_t b = 0; b < p.rows; b++) {
                EXPECT_TRUE(!with_tau || std::isnan(g.tau[b]) == (b == 5)) << "row " << b;
                for (int c = 0; c < 3; c++) {
                    if (b == 5)
                        EXPECT_TRUE(std::isnan(g.log_omega[3 * b + c]));
                    else
                        EXPECT_EQ(g.log_omega[3 * b + c], good.log_omega[3 * b + c]) << "row " << b;
                }
            }
        }
    }
}

/*
 * More balls than the classes of omega > 0 hold, in an omega that all rows share: the host can not see it, and every row of every
 * result is NaN. There are no tables then, and nothing may look into them.
 */
TEST_P(Cuda, SharedOmegaOfTooFewBalls) {
    for (const oracle::Chain chain : {oracle::Chain::merged, oracle::Chain::exact})
        for (const bool soft : {false, true}) {
            SCOPED_TRACE(testing::Message() << "exact " << (chain == oracle::Chain::exact) << ", soft " << soft);
            Problem p;
            p.urn.m = {3, 4, 5};
            p.urn.chain = chain;
            p.n = 6;
            p.rows = 5;
            p.soft = soft;
            p.log_omega = {0.5, -INFINITY, -INFINITY};
            const Answer a = forward(p);
            for (const std::vector<double> *v : {&a.x, &a.y, &a.mask, &a.log_p})
                for (const double value : *v) EXPECT_TRUE(std::isnan(value));
            std::vector<double> x;
            for (int64_t b = 0; b < p.rows; b++) x.insert(x.end(), {3, 3, 0});
            const Gradient g = backward(p, x, random_incoming(p, 22));
            for (const std::vector<double> *v : {&g.log_omega, &g.tau})
                for (const double value : *v) EXPECT_TRUE(std::isnan(value));
        }
}

/* Two contexts, each with a stream of its own and used from a thread of its own, at the same time. */
TEST_P(Cuda, TwoStreamsAtOnce) {
    struct Side {
        Context context;
        cudaStream_t stream = nullptr;
        Problem problem;
        Answer want;
        Gradient gradient;
        Incoming incoming;
        std::unique_ptr<Call> call;
        gurn_status status[4];
    } sides[2];
    for (int s = 0; s < 2; s++) {
        Side &side = sides[s];
        side.context = make_context(GetParam(), 0);
        side.problem = ordinary(20 + s);
        side.want = run_forward(side.context.get(), GetParam(), side.problem);
        const Problem &p = side.problem; /* upstream as Call fills it */
        side.incoming.x.assign(p.rows * 3, 0.5);
        side.incoming.y.assign(p.rows * p.urn.width(), 0.25);
        side.incoming.mask.assign(p.rows * p.urn.width(), 0.125);
        side.incoming.log_p.assign(p.rows, 1.0);
        side.gradient = run_backward(side.context.get(), GetParam(), p, side.want.x, side.incoming);
        side.call.reset(new Call(side.context.get(), GetParam(), p));
        side.call->x = side.call->out_x.data();
        MUST(cudaStreamCreateWithFlags(&side.stream, cudaStreamNonBlocking));
        ASSERT_EQ(gurn_context_set_stream(side.context.get(), side.stream), GURN_SUCCESS);
    }
    device_synchronize(device());
    std::vector<std::thread> threads;
    for (Side &side : sides)
        threads.emplace_back([&side] {
            for (int i = 0; i < 4; i++) side.status[i] = i % 2 == 0 ? side.call->forward() : side.call->backward();
        });
    for (std::thread &thread : threads) thread.join();
    for (Side &side : sides) {
        MUST(cudaStreamSynchronize(side.stream));
        for (const gurn_status status : side.status) EXPECT_EQ(status, GURN_SUCCESS);
        EXPECT_TRUE(same_bits(side.call->out_x.values(), side.want.x));
        EXPECT_TRUE(same_bits(side.call->out_y.values(), side.want.y));
        EXPECT_TRUE(same_bits(side.call->out_mask.values(), side.want.mask));
        EXPECT_TRUE(same_bits(side.call->out_log_p.values(), side.want.log_p));
        EXPECT_TRUE(same_bits(side.call->grad_log_omega.values(), side.gradient.log_omega));
        EXPECT_TRUE(same_bits(side.call->grad_tau.values(), side.gradient.tau));
        EXPECT_TRUE(side.call->guards_intact());
        MUST(cudaStreamDestroy(side.stream));
    }
}

/* Of an order given with a captured call nothing is read later: it has changed by the time of the replay. */
TEST_P(Cuda, AnOrderIsCopiedBeforeTheCallReturns) {
    Problem p;
    p.urn.m.assign(1000, 1); /* more than one launch's parameters hold */
    p.n = 500;
    p.rows = 2;
    p.log_omega = Random(14).uniforms(1000, -1, 1);
    const std::vector<int> order = Random(15).permutation(1000);
    p.call_order.assign(order.begin(), order.end());
    const Answer want = forward(p, kX);
    Call call(context(), GetParam(), p);
    std::vector<int32_t> passed = p.call_order;
    call.inputs.order = passed.data();
    cudaStream_t stream;
    cudaGraph_t graph;
    cudaGraphExec_t exec;
    device_synchronize(device());
    MUST(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    ASSERT_EQ(gurn_context_set_stream(context(), stream), GURN_SUCCESS);
    MUST(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
    EXPECT_EQ(call.forward(), GURN_SUCCESS) << gurn_context_message(context());
    MUST(cudaStreamEndCapture(stream, &graph));
    std::fill(passed.begin(), passed.end(), -7);
    MUST(cudaGraphInstantiate(&exec, graph, 0));
    MUST(cudaGraphLaunch(exec, stream));
    MUST(cudaStreamSynchronize(stream));
    EXPECT_TRUE(same_bits(call.out_x.values(), want.x));
    MUST(cudaGraphExecDestroy(exec));
    MUST(cudaGraphDestroy(graph));
    ASSERT_EQ(gurn_context_set_stream(context(), nullptr), GURN_SUCCESS);
    MUST(cudaStreamDestroy(stream));
}

/*
 * ---------------------------------------------------------------------------------------------------- what may fail
 * ---
 */

TEST_P(Cuda, ADeviceThatIsNotThere) {
    gurn_context_options options = GURN_CONTEXT_OPTIONS_INIT;
    options.device = GURN_DEVICE_CUDA;
    options.device_index = 1000;
    gurn_context *none = context();
    EXPECT_EQ(gurn_context_create(&options, &none), GURN_NO_DEVICE);
    EXPECT_EQ(none, nullptr);
}

/* One binary for machines with and without a GPU: without a driver AUTO takes the CPU. */
TEST_P(Cuda, WithoutADriver) {
    if (!emulated()) GTEST_SKIP() << "this machine has a driver";
    gurn_context_options options = GURN_CONTEXT_OPTIONS_INIT;
    ASSERT_EQ(setenv("GURN_EMU_NO_DEVICE", "1", 1), 0);
    options.device = GURN_DEVICE_CUDA;
    gurn_context *created = context();
    EXPECT_EQ(gurn_context_create(&options, &created), GURN_NO_DEVICE);
    EXPECT_EQ(created, nullptr);
    options.device = GURN_DEVICE_AUTO;
    ASSERT_EQ(gurn_context_create(&options, &created), GURN_SUCCESS);
    unsetenv("GURN_EMU_NO_DEVICE");
    gurn_context_info info = {};
    info.size = sizeof info;
    EXPECT_EQ(gurn_context_get_info(created, &info), GURN_SUCCESS);
    EXPECT_EQ(info.device, GURN_DEVICE_CPU);
    gurn_context_destroy(created);

    ASSERT_EQ(gurn_context_create(&options, &created), GURN_SUCCESS);
    EXPECT_EQ(gurn_context_get_info(created, &info), GURN_SUCCESS);
    EXPECT_EQ(info.device, GURN_DEVICE_CUDA) << "AUTO takes the GPU where there is one";
    gurn_context_destroy(created);
}

#ifdef GURN_TEST_EMULATED

TEST_P(Cuda, NoDeviceMemory) {
    const int32_t m[2] = {3, 4};
    gurn_plan_options options = GURN_PLAN_OPTIONS_INIT;
    options.dtype = dtype();
    gurn_plan *plan = reinterpret_cast<gurn_plan *>(this);
    const std::string held = emu::leaks();
    emu::fail_malloc(1);
    EXPECT_EQ(gurn_plan_create(context(), 2, m, 3, &options, &plan), GURN_OUT_OF_MEMORY);
    emu::fail_malloc(0);
    EXPECT_EQ(plan, nullptr);
    EXPECT_NE(std::string(gurn_context_message(context())).find("memory"), std::string::npos);
    EXPECT_EQ(emu::leaks(), held);
    const Problem p = ordinary(16);
    EXPECT_EQ(forward(p, kX).x.size(), static_cast<size_t>(p.rows * 3)) << "the context is well";
}

/* After a fault of some kernel every call fails, with the runtime's text; nothing pretends to have drawn. */
TEST_P(Cuda, AFaultOfTheDeviceIsAStatus) {
    Call call(context(), GetParam(), ordinary(17));
    double host[3] = {0, 0, 0};
    call.inputs.log_omega = host; /* of the host */
    call.inputs.log_omega_stride = 0;
    EXPECT_EQ(call.forward(), GURN_SUCCESS) << "which is found when it runs";
    EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorLaunchFailure);
    EXPECT_EQ(call.forward(), GURN_CUDA_ERROR);
    EXPECT_NE(std::string(gurn_context_message(context())), "");
    gurn_context *created = nullptr;
    gurn_context_options options = GURN_CONTEXT_OPTIONS_INIT;
    options.device = GURN_DEVICE_CUDA;
    EXPECT_NE(gurn_context_create(&options, &created), GURN_SUCCESS);
    EXPECT_NE(emu::take_report().find("mvhg_lambda"), std::string::npos);
    device_synchronize(device());
}

#endif

ON_ALL_TARGETS(Cuda);

#endif
