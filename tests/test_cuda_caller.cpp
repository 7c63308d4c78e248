/*
 * What a CUDA program finds in its own state after calling the library: the context that was current, the runtime's last error,
 * work on the context's stream alone. And what the library does on its own when a plan or context is made, so that calls need not.
 * In a build without CUDA, one visible skip.
 */
#include "call.h"
#include "law_call.h"
#include "plain_call.h"
#include "problems.h"

using namespace gurn_test;

#ifndef GURN_TEST_CUDA

TEST(CudaCaller, IsNotInThisBuild) { GTEST_SKIP() << "configured with GURN_CUDA=OFF: no CUDA, not even emulated"; }

#else

#include <cuda.h>
#include <cuda_runtime.h>
#include <unistd.h>

#include <functional>
#include <thread>

namespace {

#define MUST(call) ASSERT_EQ(call, cudaSuccess)

class CudaCaller : public OnTarget {
protected:
    void SetUp() override {
        OnTarget::SetUp();
        if (!IsSkipped() && device() != GURN_DEVICE_CUDA) GTEST_SKIP() << "of CUDA contexts only";
    }
    void TearDown() override {
        cudaGetLastError();
        OnTarget::TearDown();
    }
    Context on_device(int index) const {
        gurn_context_options options = GURN_CONTEXT_OPTIONS_INIT;
        options.device = GURN_DEVICE_CUDA;
        options.device_index = index;
        gurn_context *created = nullptr;
        EXPECT_EQ(gurn_context_create(&options, &created), GURN_SUCCESS);
        return Context(created);
    }
};

Problem small(oracle::Chain chain, bool shared) {
    Problem p;
    p.urn.m = {30, 40, 20};
    p.urn.chain = chain;
    p.n = 45;
    p.rows = 9;
    p.log_omega = Random(4).uniforms(shared ? 3 : 27, -1, 1);
    return p;
}

/* The driver's functions, as the runtime gives them: nothing links its library. */
template <class Function>
Function *driver_function(const char *name) {
    void *found = nullptr;
#if CUDART_VERSION >= 12050
    EXPECT_EQ(cudaGetDriverEntryPointByVersion(name, &found, 10020, cudaEnableDefault), cudaSuccess) << name;
#else
    EXPECT_EQ(cudaGetDriverEntryPoint(name, &found, cudaEnableDefault), cudaSuccess) << name;
#endif
    return reinterpret_cast<Function *>(found);
}
CUcontext current() {
    CUcontext context = nullptr;
    EXPECT_EQ(driver_function<CUresult(CUcontext *)>("cuCtxGetCurrent")(&context), CUDA_SUCCESS);
    return context;
}

/* Every kind of call, with its results as bytes. */
struct Operation {
    const char *name;
    std::function<gurn_status()> run;
    std::function<std::vector<uint8_t>()> results;
};

/* All arrays of the calls, in device memory; calls may be repeated. */
struct Operations {
    std::vector<Operation> list;
    std::vector<std::unique_ptr<Call>> calls;
    std::vector<std::unique_ptr<DrawCall>> draws;
    std::vector<std::unique_ptr<Law>> laws;
    std::vector<std::unique_ptr<RealArray>> arrays;
    std::vector<std::unique_ptr<DeviceBytes>> rooms;
    std::unique_ptr<UnivariateCall> univariate;
    const std::vector<int32_t> order = {2, 0, 1};

    Operations(gurn_context *context, const Target &t) {
        for (const oracle::Chain chain : {oracle::Chain::merged, oracle::Chain::exact})
            for (const bool shared : {true, false})
                for (const bool soft : {false, true}) {
                    Problem p = small(chain, shared);
                    p.soft = soft;
                    calls.emplace_back(new Call(context, t, p));
                    Call *call = calls.back().get();
                    call->x = call->out_x.data();
                    list.push_back({"forward", [=] { return call->forward(); },
                                    [=] {
                                        std::vector<uint8_t> all = call->out_x.bytes().download();
                                        for (const RealArray *a : {&call->out_y, &call->out_mask, &call->out_log_p})
                                            append(&all, a->bytes().download());
                                        return all;
                                    }});
                    list.push_back({"backward", [=] { return call->backward(); },
                                    [=] {
                                        std::vector<uint8_t> all = call->grad_log_omega.bytes().download();
                                        append(&all, call->grad_tau.bytes().download());
                                        return all;
                                    }});
                    if (soft) continue;
                    draws.emplace_back(new DrawCall(context, t, p));
                    DrawCall *draw = draws.back().get();
                    list.push_back({"draw", [=] { return draw->run(); }, [=] { return draw->out.bytes().download(); }});
                    if (shared) add_law(context, t, p, chain == oracle::Chain::exact);
                }
        Problem ordered = small(oracle::Chain::merged, true);
        ordered.urn.m = {30, 30, 30}; /* an order of the call needs equal m */
        calls.emplace_back(new Call(context, t, ordered));
        Call *call = calls.back().get();
        call->inputs.order = order.data();
        list.push_back({"forward in an order of the call's", [=] { return call->forward(); },
                        [=] { return call->out_x.bytes().download(); }});
        calls.emplace_back(new Call(context, t, small(oracle::Chain::merged, true)));
        Call *none = calls.back().get();
        none->inputs.rows = 0;
        list.push_back({"backward of no rows", [=] { return none->backward(); },
                        [=] { return none->grad_log_omega.bytes().download(); }});
        Univariate u;
        u.rows = 9;
        u.m1 = {20};
        u.m2 = {30};
        u.n = {25};
        univariate.reset(new UnivariateCall(context, t, u));
        list.push_back(
            {"univariate draw", [=] { return univariate->run(); }, [=] { return univariate->out.bytes().download(); }});
    }

private:
    static void append(std::vector<uint8_t> *all, const std::vector<uint8_t> &more) {
        all->insert(all->end(), more.begin(), more.end());
    }
    void *real(const Target &t, const std::vector<double> &values) {
        arrays.emplace_back(new RealArray(t.device, t.dtype, values));
        return arrays.back()->data();
    }
    void add_law(gurn_context *context, const Target &t, const Problem &p, bool exact) {
        laws.emplace_back(new Law(context, t, p));
        Law *law = laws.back().get();
        size_t bytes = 0, most = 0;
        for (const gurn_law kind : {GURN_LAW_LOG_PROB, GURN_LAW_COVARIANCE, GURN_LAW_KL, GURN_LAW_MODE}) {
            EXPECT_EQ(gurn_mvhg_law_workspace(context, law->plan(), &law->in, kind, &bytes), GURN_SUCCESS);
            most = std::max(most, bytes);
        }
        rooms.emplace_back(new DeviceBytes(t.device, most));
        void *room = rooms.back()->data();
        const size_t B = static_cast<size_t>(p.rows);
        const auto out = [&](size_t count) {
            arrays.emplace_back(new RealArray(t.device, t.dtype, count));
            return arrays.back().get();
        };
        std::vector<double> counts;
        for (size_t b = 0; b < B; b++)
            for (const double x : {15, 20, 10}) counts.push_back(x);
        void *x = real(t, counts), *up = real(t, std::vector<double>(B, 0.5)), *other = real(t, {0.5, 0, -0.5});
        const RealArray *rows = out(B), *gradient = out(3), *second = out(3), *dx = out(3 * B), *kl = out(B),
                        *mean = out(3 * B);
        const gurn_plan *plan = law->plan();
        const auto add = [&](const char *name, std::function<gurn_status()> run, const RealArray *result) {
            list.push_back({name, std::move(run), [=] { return result->bytes().download(); }});
        };
        add(
            "log_prob", [=] { return gurn_mvhg_log_prob(context, plan, &law->in, x, rows->data(), room, most); }, rows);
        add(
            "log_prob_backward",
            [=] {
                return gurn_mvhg_log_prob_backward(context, plan, &law->in, x, up, gradient->data(), dx->data(), room,
                                                   most);
            },
            gradient);
        gurn_mvhg_inputs none = law->in;
        none.rows = 0;
        const RealArray *nothing = out(3);
        add(
            "log_prob_backward of no rows",
            [=] {
                return gurn_mvhg_log_prob_backward(context, plan, &none, x, up, nothing->data(), dx->data(), room,
                                                   most);
            },
            nothing);
        if (!exact) return; /* the rest is about the law itself, whatever the chain */
        add(
            "moments",
            [=] {
                gurn_mvhg_moments moments = {sizeof moments, nullptr, mean->data(), nullptr};
                return gurn_mvhg_moments_forward(context, plan, &law->in, &moments, room, most);
            },
            mean);
        const RealArray *from_mean = out(3);
        add(
            "moments_backward",
            [=] {
                gurn_mvhg_moments moments = {sizeof moments, nullptr, x, nullptr};
                return gurn_mvhg_moments_backward(context, plan, &law->in, &moments, from_mean->data(), room, most);
            },
            from_mean);
        add(
            "kl", [=] { return gurn_mvhg_kl(context, plan, &law->in, other, 0, kl->data(), room, most); }, kl);
        add(
            "kl_backward",
            [=] {
                return gurn_mvhg_kl_backward(context, plan, &law->in, other, 0, up, nullptr, second->data(), room,
                                             most);
            },
            second);
        rooms.emplace_back(new DeviceBytes(t.device, 3 * B * sizeof(int32_t)));
        const DeviceBytes *mode = rooms.back().get();
        list.push_back(
            {"mode",
             [=] { return gurn_mvhg_mode(context, plan, &law->in, static_cast<int32_t *>(mode->data()), room, most); },
             [=] { return mode->download(); }});
    }
};

}  // namespace

/*
 * An error that the caller has not fetched yet is neither ours nor lost: every call succeeds, and afterwards it is still there.
 */
TEST_P(CudaCaller, AnOlderErrorIsNotOurs) {
    Operations all(context(), GetParam());
    device_synchronize(device());
    void *none;
    ASSERT_EQ(cudaMalloc(&none, size_t(1) << 50), cudaErrorMemoryAllocation);
    for (const Operation &each : all.list) {
        EXPECT_EQ(each.run(), GURN_SUCCESS) << each.name << ": " << gurn_context_message(context());
        EXPECT_EQ(cudaPeekAtLastError(), cudaErrorMemoryAllocation) << each.name;
    }
    const Context another = on_device(0);
    EXPECT_NE(make_plan(another.get(), small(oracle::Chain::merged, true).urn, 45, dtype()), nullptr);
    EXPECT_EQ(cudaGetLastError(), cudaErrorMemoryAllocation);
    device_synchronize(device());
}

/* An error of ours is returned, and not left for the caller's next call to find. */
TEST_P(CudaCaller, AnErrorOfOursIsNotLeftBehind) {
    const int32_t m[2] = {3, 4};
    gurn_plan_options options = GURN_PLAN_OPTIONS_INIT;
    options.dtype = dtype();
    gurn_plan *plan = nullptr;
    cudaStream_t stream;
    cudaGraph_t graph;
    MUST(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    MUST(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal)); /* which does not allow to allocate */
    EXPECT_EQ(gurn_plan_create(context(), 2, m, 3, &options, &plan), GURN_CUDA_ERROR);
    EXPECT_EQ(cudaPeekAtLastError(), cudaSuccess);
    EXPECT_NE(std::string(gurn_context_message(context())), "");
    EXPECT_EQ(cudaStreamEndCapture(stream, &graph), cudaErrorStreamCaptureInvalidated);
    cudaGetLastError();
    gurn_context_options missing = GURN_CONTEXT_OPTIONS_INIT;
    missing.device = GURN_DEVICE_CUDA;
    missing.device_index = 1000;
    gurn_context *created = nullptr;
    EXPECT_EQ(gurn_context_create(&missing, &created), GURN_NO_DEVICE);
    EXPECT_EQ(cudaPeekAtLastError(), cudaSuccess);
    MUST(cudaStreamDestroy(stream));
}

#ifdef GURN_TEST_EMULATED

/* Nor is that of a plan whose memory can not be freed: a capture does not allow it. (In a process that may leak it.) */
TEST_P(CudaCaller, AnErrorOfFreeingIsNotLeftBehind) {
    const auto free_while_capturing = [&] {
        Plan plan = make_plan(context(), small(oracle::Chain::merged, true).urn, 45, dtype());
        cudaStream_t stream;
        cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
        cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal);
        const std::string before = emu::leaks();
        plan.reset();
        _exit(emu::leaks() == before && cudaPeekAtLastError() == cudaSuccess ? 0 : 1);
    };
    EXPECT_EXIT(free_while_capturing(), testing::ExitedWithCode(0), "");
}

#endif

/*
 * All work goes to the context's stream: it is over when that stream is, and nothing is on the default stream (which a GPU may have
 * worked off by the time it is asked; the emulation has not).
 */
TEST_P(CudaCaller, WorkIsOnTheContextsStream) {
    Operations all(context(), GetParam());
    std::vector<std::vector<uint8_t>> want;
    for (const Operation &each : all.list) {
        EXPECT_EQ(each.run(), GURN_SUCCESS) << each.name;
        device_synchronize(device());
        want.push_back(each.results());
    }
    Operations again(context(), GetParam());
    cudaStream_t stream;
    MUST(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    ASSERT_EQ(gurn_context_set_stream(context(), stream), GURN_SUCCESS);
    device_synchronize(device());
    for (size_t i = 0; i < again.list.size(); i++) {
        const Operation &each = again.list[i];
        SCOPED_TRACE(each.name);
        EXPECT_EQ(each.run(), GURN_SUCCESS) << gurn_context_message(context());
        EXPECT_EQ(cudaStreamQuery(nullptr), cudaSuccess) << "something is on the default stream";
        MUST(cudaStreamSynchronize(stream));
        EXPECT_EQ(each.results(), want[i]);
    }
    ASSERT_EQ(gurn_context_set_stream(context(), nullptr), GURN_SUCCESS);
    MUST(cudaStreamDestroy(stream));
}

/* A plan is there when its creation returns, for streams too that do not wait for the default one. */
TEST_P(CudaCaller, APlanIsThereWhenItIsReturned) {
    const Problem p = small(oracle::Chain::merged, true);
    Call call(context(), GetParam(), p);
    EXPECT_EQ(call.forward(), GURN_SUCCESS);
    device_synchronize(device());
    const std::vector<double> want = call.out_x.values();
    Call other(context(), GetParam(), p);
    cudaStream_t stream;
    MUST(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    ASSERT_EQ(gurn_context_set_stream(context(), stream), GURN_SUCCESS);
    const Plan plan = make_plan(context(), p.urn, p.n, dtype());
    other.plan = plan.get();
    EXPECT_EQ(other.forward(), GURN_SUCCESS) << gurn_context_message(context());
    MUST(cudaStreamSynchronize(stream));
    EXPECT_TRUE(same_bits(other.out_x.values(), want));
    ASSERT_EQ(gurn_context_set_stream(context(), nullptr), GURN_SUCCESS);
    MUST(cudaStreamDestroy(stream));
}

/* Kernels are loaded with the context: a process may capture its first call. In emulation every test looks for the same. */
TEST_P(CudaCaller, TheFirstCallMayBeCaptured) {
    Operations all(context(), GetParam());
    cudaStream_t stream;
    MUST(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    device_synchronize(device());
    ASSERT_EQ(gurn_context_set_stream(context(), stream), GURN_SUCCESS);
    std::vector<std::vector<uint8_t>> replayed;
    for (const Operation &each : all.list) {
        SCOPED_TRACE(each.name);
        cudaGraph_t graph;
        cudaGraphExec_t exec;
        MUST(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
        EXPECT_EQ(each.run(), GURN_SUCCESS) << gurn_context_message(context());
        MUST(cudaStreamEndCapture(stream, &graph));
        MUST(cudaGraphInstantiate(&exec, graph, 0));
        MUST(cudaGraphLaunch(exec, stream));
        MUST(cudaStreamSynchronize(stream));
        replayed.push_back(each.results());
        MUST(cudaGraphExecDestroy(exec));
        MUST(cudaGraphDestroy(graph));
    }
    ASSERT_EQ(gurn_context_set_stream(context(), nullptr), GURN_SUCCESS);
    for (size_t i = 0; i < all.list.size(); i++) {
        EXPECT_EQ(all.list[i].run(), GURN_SUCCESS) << all.list[i].name;
        device_synchronize(device());
        EXPECT_EQ(all.list[i].results(), replayed[i]) << all.list[i].name;
    }
    MUST(cudaStreamDestroy(stream));
}

/* A thread that has no context current has none afterwards; one with a context of its own making has that. */
TEST_P(CudaCaller, TheCurrentContextStays) {
    std::thread([&] {
        const Target target = GetParam();
        const auto use = [&] {
            const Context made = on_device(0);
            const Plan plan = make_plan(made.get(), small(oracle::Chain::exact, true).urn, 45, dtype());
            EXPECT_NE(plan, nullptr);
        };
        use();
        EXPECT_EQ(current(), nullptr);
        Context made = on_device(0);
        const Problem p = small(oracle::Chain::exact, true);
        std::unique_ptr<Operations> all(new Operations(made.get(), target)); /* its uploads make one current */
        device_synchronize(device());
        const CUcontext primary = current();
        EXPECT_NE(primary, nullptr);

        CUcontext own = nullptr, popped = nullptr;
        ASSERT_EQ(driver_function<CUresult(CUcontext *, unsigned, CUdevice)>("cuCtxCreate")(&own, 0, 0), CUDA_SUCCESS);
        use();
        for (const Operation &each : all->list) {
            EXPECT_EQ(each.run(), GURN_SUCCESS) << each.name << ": " << gurn_context_message(made.get());
            EXPECT_EQ(current(), own) << each.name;
        }
        EXPECT_EQ(driver_function<CUresult(CUcontext *)>("cuCtxPopCurrent")(&popped), CUDA_SUCCESS);
        EXPECT_EQ(popped, own);
        EXPECT_EQ(current(), primary) << "nothing was left on the stack of contexts";
        device_synchronize(device());
        for (const Operation &each : all->list) EXPECT_FALSE(each.results().empty());
        EXPECT_EQ(driver_function<CUresult(CUcontext)>("cuCtxDestroy")(own), CUDA_SUCCESS);
    }).join();
}

/* A context of another device works there; the thread's own device is what it was, and its primary context is not made. */
TEST_P(CudaCaller, AnotherDevice) {
#ifdef GURN_TEST_EMULATED
    emu::set_devices(2);
#endif
    int count = 0;
    MUST(cudaGetDeviceCount(&count));
    if (count < 2) GTEST_SKIP() << "this machine has one CUDA device";
    Operations here(context(), GetParam());
    std::vector<std::vector<uint8_t>> want;
    for (const Operation &each : here.list) {
        EXPECT_EQ(each.run(), GURN_SUCCESS);
        device_synchronize(device());
        want.push_back(each.results());
    }
    const Context there = on_device(1);
    gurn_context_info info = {};
    info.size = sizeof info;
    EXPECT_EQ(gurn_context_get_info(there.get(), &info), GURN_SUCCESS);
    EXPECT_EQ(info.device_index, 1);
    MUST(cudaSetDevice(1)); /* for the arrays */
    {
        Operations all(there.get(), GetParam());
        device_synchronize(device());
        MUST(cudaSetDevice(0));
        int now = -1;
        for (const Operation &each : all.list) {
            EXPECT_EQ(each.run(), GURN_SUCCESS) << each.name << ": " << gurn_context_message(there.get());
            MUST(cudaGetDevice(&now));
            EXPECT_EQ(now, 0) << each.name;
        }
        EXPECT_NE(make_plan(there.get(), small(oracle::Chain::exact, true).urn, 45, dtype()), nullptr);
        MUST(cudaGetDevice(&now));
        EXPECT_EQ(now, 0);
        MUST(cudaSetDevice(1));
        device_synchronize(device());
        for (size_t i = 0; i < all.list.size(); i++) EXPECT_EQ(all.list[i].results(), want[i]) << all.list[i].name;
    }
    MUST(cudaSetDevice(0));
#ifdef GURN_TEST_EMULATED
    device_synchronize(device());
    std::thread([&] {
        EXPECT_EQ(current(), nullptr);
        const Context alone = on_device(1);
        const Plan plan = make_plan(alone.get(), small(oracle::Chain::exact, true).urn, 45, dtype());
        EXPECT_EQ(current(), nullptr);
    }).join();
    emu::set_devices(1);
#endif
}

ON_ALL_TARGETS(CudaCaller);

#endif
