/*
 * The threads of a CPU context: how many there may be, that no more of them are started or given memory than a call has work
 * for, and that a machine that can not start them is a status and not the end of the process. Results do not depend on them.
 */
#if defined(__linux__)
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#endif

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <thread>

#include "call.h"
#include "law_call.h"
#include "plain_call.h"
#include "problems.h"

using namespace gurn_test;

namespace {

Target cpu_target(gurn_dtype dtype = GURN_FLOAT32) { return {"auto", GURN_DEVICE_CPU, GURN_ISA_AUTO, dtype}; }

int threads_of(const Context &context) {
    gurn_context_info info = {};
    info.size = sizeof info;
    EXPECT_EQ(gurn_context_get_info(context.get(), &info), GURN_SUCCESS);
    return info.threads;
}

/* Built without OpenMP a context has one thread, whatever is asked for. */
bool one_thread_only() {
    const Context two = make_context(cpu_target(), 2);
    return threads_of(two) == 1;
}

#if defined(__linux__)
/* Threads of this process that are alive. */
int64_t threads_alive() {
    const auto tasks = std::filesystem::directory_iterator("/proc/self/task");
    return std::distance(begin(tasks), end(tasks));
}

/* What becomes of this process, when it has forked before any OpenMP thread was started, after `limit` and a creation. */
int status_in_child(int threads, const std::function<bool()> &limit) {
    const pid_t child = fork();
    if (child == 0) {
        if (!limit()) _exit(99);
        gurn_context_options options = GURN_CONTEXT_OPTIONS_INIT;
        gurn_context *context = nullptr;
        options.device = GURN_DEVICE_CPU;
        options.threads = threads;
        const gurn_status status = gurn_context_create(&options, &context);
        if (status != GURN_SUCCESS) _exit(context ? 98 : static_cast<int>(status));
        gurn_context_info info = {};
        info.size = sizeof info;
        if (gurn_context_get_info(context, &info) != GURN_SUCCESS) _exit(97);
        if (threads > 0 && info.threads != threads) _exit(96);
        if (info.threads < 1) _exit(95);
        _exit(0);
    }
    int status = -1;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}
#endif

Problem urn(int64_t rows, oracle::Chain chain, bool shared) {
    Problem p = urn_of({9, 14, 0, 11, 6}, {3, 0, 4, 2, 1}, 17, Random(5).uniforms(shared ? 5 : rows * 5, -1, 1), chain);
    p.rows = rows;
    p.seed = 11;
    return p;
}

std::vector<Problem> urns(int64_t rows) {
    std::vector<Problem> list;
    for (const oracle::Chain chain : {oracle::Chain::exact, oracle::Chain::merged})
        for (const bool shared : {true, false}) list.push_back(urn(rows, chain, shared));
    list.push_back(list[0]);
    for (int64_t b = 0; b < rows; b++) list.back().n_rows.push_back(static_cast<int32_t>(b / 5 % 17));
    return list;
}

/* Bytes of every kind of workspace for these inputs. */
std::vector<size_t> workspaces(gurn_context *context, gurn_dtype dtype, const Problem &p) {
    const Plan plan = make_plan(context, p.urn, p.n_max(), dtype);
    std::vector<size_t> bytes;
    gurn_mvhg_inputs in = GURN_MVHG_INPUTS_INIT;
    static const int32_t some = 0;
    in.rows = p.rows;
    in.log_omega_stride = p.shared() ? 0 : p.urn.classes();
    in.n = p.n;
    in.n_rows = p.n_rows.empty() ? nullptr : &some; /* pointers are not followed */
    for (const gurn_relaxation relaxation : {GURN_HARD, GURN_SOFT}) {
        size_t forward = 0, backward = 0;
        in.relaxation = relaxation;
        EXPECT_EQ(gurn_mvhg_workspace(context, plan.get(), &in, &forward, &backward), GURN_SUCCESS);
        bytes.push_back(forward);
        bytes.push_back(backward);
    }
    for (int law = GURN_LAW_LOG_PROB; law <= GURN_LAW_MODE; law++) {
        bytes.push_back(0);
        EXPECT_EQ(gurn_mvhg_law_workspace(context, plan.get(), &in, static_cast<gurn_law>(law), &bytes.back()),
                  GURN_SUCCESS);
    }
    bytes.push_back(0);
    in.log_omega = &some;
    EXPECT_EQ(gurn_mvhg_draw_workspace(context, plan.get(), &in, &bytes.back()), GURN_SUCCESS);
    return bytes;
}

}  // namespace

/* More than GURN_MAX_THREADS crashed OpenMP, or had it end the process. */
TEST(Threads, NumbersThatAreNone) {
    for (const int32_t threads : {-1, INT32_MIN, GURN_MAX_THREADS + 1, 40000, 65536, INT32_MAX}) {
        gurn_context_options options = GURN_CONTEXT_OPTIONS_INIT;
        gurn_context *context = reinterpret_cast<gurn_context *>(&options);
        options.device = GURN_DEVICE_CPU;
        options.threads = threads;
        EXPECT_EQ(gurn_context_create(&options, &context), GURN_INVALID_ARGUMENT) << threads;
        EXPECT_EQ(context, nullptr) << threads;
    }
}

/* In a process of its own: by ctest each test is one, and this one must not have started threads when it forks. */
#if defined(__linux__)
TEST(Threads, WhatCanNotBeStartedIsAStatus) {
    if (one_thread_only()) GTEST_SKIP() << "built without OpenMP";
    const auto none = [] { return true; };
    EXPECT_EQ(status_in_child(2, none), 0);
    EXPECT_EQ(status_in_child(64, none), 0);
#if defined(__SANITIZE_ADDRESS__)
    GTEST_SKIP() << "AddressSanitizer takes more address space than any limit";
#else
    /* Besides what the process has mapped, room for a few stacks only (8 MiB mostly). */
    const auto little_room = [] {
        rlim_t pages = 0;
        std::ifstream("/proc/self/statm") >> pages;
        const rlim_t bytes = pages * static_cast<rlim_t>(sysconf(_SC_PAGESIZE)) + (rlim_t(100) << 20);
        const rlimit room = {bytes, bytes};
        return pages > 0 && setrlimit(RLIMIT_AS, &room) == 0;
    };
    EXPECT_EQ(status_in_child(4000, little_room), GURN_OUT_OF_MEMORY);
    EXPECT_EQ(status_in_child(500, little_room), GURN_OUT_OF_MEMORY);
    EXPECT_EQ(status_in_child(1, little_room), 0);
    EXPECT_EQ(status_in_child(0, little_room), 0); /* as many as there can be */
    /* Processes of a user; root's are not counted, so root becomes another. */
    const auto few_processes = [] {
        const rlimit few = {8, 8};
        return setrlimit(RLIMIT_NPROC, &few) == 0 && (geteuid() != 0 || setuid(61234) == 0);
    };
    EXPECT_EQ(status_in_child(1, few_processes), 0);
    EXPECT_EQ(status_in_child(64, few_processes), GURN_OUT_OF_MEMORY);
    EXPECT_EQ(status_in_child(0, few_processes), 0);
#endif
}

/* A thread that calls has OpenMP threads of its own, which stay until it ends: those that a call has started can be counted. */
TEST(Threads, NoMoreAreStartedThanThereIsWorkFor) {
    if (one_thread_only()) GTEST_SKIP() << "built without OpenMP";
#if defined(__SANITIZE_ADDRESS__)
    GTEST_SKIP() << "the sanitizer may have threads of its own";
#elif defined(__clang__)
    GTEST_SKIP() << "clang's OpenMP keeps the threads of callers that have ended";
#endif
    const Target target = cpu_target();
    const Context context = make_context(target, 16);
    const int64_t at_rest = threads_alive();
    const auto started = [&](const std::function<void()> &call) {
        int64_t count = -1;
        for (int wait = 0; threads_alive() != at_rest && wait < 5000;
             wait++) /* those of the last call come to their end */
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        std::thread([&] {
            call();
            count = threads_alive() - at_rest - 1;
        }).join();
        return count;
    };
    for (const int64_t rows : {1, 16, 17, 40}) { /* tiles of 16 rows */
        const int64_t tiles = (rows + 15) / 16;
        Univariate u;
        u.rows = rows;
        u.m1 = {5};
        u.m2 = {7};
        u.n = {4};
        EXPECT_EQ(started([&] { run_univariate(context.get(), target, u); }), tiles - 1) << rows;
        for (const Problem &p : urns(rows)) {
            EXPECT_EQ(started([&] { run_draw(context.get(), target, p); }), tiles - 1) << rows;
            EXPECT_EQ(started([&] { run_forward(context.get(), target, p); }), tiles - 1) << rows;
            Problem soft = p;
            soft.soft = true; /* exact: a row is a part, though not on the merged chain */
            const int64_t parts = p.urn.chain == oracle::Chain::exact ? rows : tiles;
            EXPECT_EQ(started([&] { run_forward(context.get(), target, soft); }), std::min<int64_t>(parts, 16) - 1)
                << rows;
            EXPECT_EQ(started([&] { Law(context.get(), target, p).moments(); }), std::min<int64_t>(rows, 16) - 1)
                << rows;
        }
    }
}
#endif

/* Memory is for the threads that work: up to a tile of rows there is one, or one a row. */
TEST(Threads, WorkspaceOfFewRowsIsThatOfFewThreads) {
    if (one_thread_only()) GTEST_SKIP() << "built without OpenMP";
    for (const gurn_dtype dtype : {GURN_FLOAT32, GURN_FLOAT64}) {
        const Target target = cpu_target(dtype);
        const Context one = make_context(target, 1), four = make_context(target, 4), many = make_context(target, 64);
        for (size_t i = 0; i < urns(1).size(); i++) {
            EXPECT_EQ(workspaces(many.get(), dtype, urns(1)[i]), workspaces(one.get(), dtype, urns(1)[i])) << i;
            EXPECT_EQ(workspaces(many.get(), dtype, urns(4)[i]), workspaces(four.get(), dtype, urns(4)[i])) << i;
            const auto few = workspaces(four.get(), dtype, urns(6400)[i]),
                       all = workspaces(many.get(), dtype, urns(6400)[i]);
            for (size_t kind = 0; kind < all.size(); kind++) EXPECT_GT(all[kind], few[kind]) << i << ", " << kind;
        }
    }
}

class ThreadsOnTarget : public OnPlainTarget {};

/* Every call, with few rows and with many, in workspaces that have just the size that was said. */
TEST_P(ThreadsOnTarget, ResultsDoNotDependOnThem) {
    if (device() != GURN_DEVICE_CPU) GTEST_SKIP() << "threads are the CPU's";
    const Context one = make_context(GetParam(), 1);
    for (const int threads : {2, 7, 64}) {
        const Context other = make_context(GetParam(), threads);
        for (const int64_t rows : {1, 5, 16, 17, 115, static_cast<int>(scaled(1000, 200))}) {
            Univariate u;
            u.rows = rows;
            u.m1 = {50};
            u.m2 = {70};
            u.n = {44};
            u.log_odds = {0.5};
            EXPECT_EQ(run_univariate(other.get(), GetParam(), u), run_univariate(one.get(), GetParam(), u));
            int kind = 0;
            for (const Problem &p : urns(rows)) {
                SCOPED_TRACE(std::to_string(threads) + " threads, " + std::to_string(rows) + " rows, urn " +
                             std::to_string(kind++));
                EXPECT_EQ(run_draw(other.get(), GetParam(), p), run_draw(one.get(), GetParam(), p));
                for (const bool soft : {false, true}) {
                    Problem q = p;
                    q.soft = soft;
                    const Answer a = run_forward(one.get(), GetParam(), q);
                    EXPECT_TRUE(run_forward(other.get(), GetParam(), q) == a);
                    const Incoming incoming = random_incoming(q, 1);
                    EXPECT_TRUE(run_backward(other.get(), GetParam(), q, a.x, incoming) ==
                                run_backward(one.get(), GetParam(), q, a.x, incoming));
                }
                const auto want = Law(one.get(), GetParam(), p).moments(),
                           got = Law(other.get(), GetParam(), p).moments();
                EXPECT_TRUE(same_bits(got.mean, want.mean) && same_bits(got.covariance, want.covariance) &&
                            same_bits(got.log_norm, want.log_norm));
                EXPECT_TRUE(same_bits(Law(other.get(), GetParam(), p).moments_backward(want),
                                      Law(one.get(), GetParam(), p).moments_backward(want)));
            }
        }
    }
}

ON_ALL_TARGETS(ThreadsOnTarget);

/* ---------------------------------------------------------------------------------------------- noise of the rows --- */

class NoiseRange : public OnPlainTarget {};

/* Two rows of a call, or of two calls one after the other, must not have the same noise: an address does not pass 2^64. */
TEST_P(NoiseRange, DoesNotPassItsEnd) {
    struct Range {
        uint64_t offset, row0;
        int64_t rows;
        bool good;
    };
    const uint64_t end = UINT64_MAX;
    const Range ranges[] = {{end, 0, 1, true},       {end, 0, 2, false},
                            {end - 4, 0, 5, true},   {end - 4, 0, 6, false},
                            {end - 4, 3, 2, true},   {end - 4, 3, 3, false},
                            {end, 1, 1, false},      {uint64_t(1) << 63, uint64_t(1) << 63, 1, false},
                            {0, end, 1, true},       {0, end, 2, false},
                            {end, end, 1, false},    {end - 19, 0, 20, true},
                            {end - 19, 0, 21, false}};
    for (const Range &range : ranges)
        for (const oracle::Chain chain : {oracle::Chain::exact, oracle::Chain::merged}) {
            SCOPED_TRACE(std::to_string(range.offset) + " + " + std::to_string(range.row0) + " + " +
                         std::to_string(range.rows));
            const gurn_status want = range.good ? GURN_SUCCESS : GURN_INVALID_NOISE;
            const auto names_it = [&] {
                return range.good ||
                       std::string(gurn_context_message(context())).find("inputs->noise.offset") != std::string::npos;
            };
            Problem p = urn_of({4, 5, 3}, {}, 6, {0, 1, 0.5}, chain);
            p.rows = range.rows;
            p.offset = range.offset;
            p.row0 = range.row0;
            DrawCall drawn(context(), GetParam(), p);
            EXPECT_EQ(drawn.run(), want);
            EXPECT_TRUE(names_it());
            device_synchronize(device());
            EXPECT_EQ(drawn.untouched(), !range.good);
            Univariate u;
            u.rows = range.rows;
            u.m1 = u.m2 = {5};
            u.n = {4};
            u.offset = range.offset;
            u.row0 = range.row0;
            UnivariateCall counted(context(), GetParam(), u);
            EXPECT_EQ(counted.run(), want);
            EXPECT_TRUE(names_it());
            device_synchronize(device());
            EXPECT_EQ(counted.out.bytes().untouched(), !range.good);
            Call call(context(), GetParam(), p);
            EXPECT_EQ(call.forward(), want);
            EXPECT_TRUE(names_it());
            EXPECT_EQ(call.backward(), want);
            EXPECT_TRUE(names_it());
            device_synchronize(device());
            EXPECT_EQ(call.untouched(), !range.good);
            EXPECT_TRUE(call.guards_intact());
            /* What draws none of it may have any address. */
            call.inputs.noise.kind = GURN_NOISE_OFF;
            EXPECT_EQ(call.forward(), GURN_SUCCESS) << gurn_context_message(context());
            device_synchronize(device());
        }
    /* The rows that are left of a stream are those of one call. */
    Problem p = urn_of({4, 5, 3}, {}, 6, {0, 1, 0.5});
    p.rows = 20;
    p.offset = end - 19;
    const std::vector<int32_t> whole = draw(p);
    p.rows = 1;
    p.offset = end;
    EXPECT_EQ(draw(p), std::vector<int32_t>(whole.end() - 3, whole.end()));
    /* Of an offset that the device reads only row0 counts. */
    const DeviceArray<uint64_t> given(device(), std::vector<uint64_t>{1, 5});
    DrawCall call(context(), GetParam(), p);
    p.rows = 3;
    call.inputs.noise.offset = end;
    call.inputs.noise.row0 = 7;
    call.inputs.noise.device_seed_offset = given.data();
    EXPECT_EQ(call.run(), GURN_SUCCESS) << gurn_context_message(context());
    device_synchronize(device());
}

ON_ALL_TARGETS(NoiseRange);
