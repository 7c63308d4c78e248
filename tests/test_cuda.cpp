/*
 * Of CUDA contexts only; in a build without CUDA, one visible skip. All other suites run on the device too, and tests/cuda has what
 * the kernels need beyond them.
 */
#include "call.h"
#include "problems.h"

using namespace gurn_test;

#ifndef GURN_TEST_CUDA

TEST(Cuda, IsNotInThisBuild) { GTEST_SKIP() << "configured with GURN_CUDA=OFF: no CUDA, not even emulated"; }

#else

#include <cuda_runtime.h>

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
 * Forward and backward captured once and replayed: a call that allocated, synchronised or read device memory on the host would make
 * the capture fail. Each replay draws what the seed and offset in device memory say at that time.
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
            MUST(cudaMemcpy(seed_offset.data(), now, sizeof now, cudaMemcpyHostToDevice));
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

ON_ALL_TARGETS(Cuda);

#endif
