/* The state of the emulated runtime, shared by runtime.cpp (memory, launches), contexts.cpp and streams.cpp. */
#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <thread>

#include "cuda.h"
#include "emulation.h"

using Work = std::function<void()>;
using Clock = std::chrono::steady_clock;

struct CUgraph_st {
    std::vector<Work> nodes;
    bool invalidated = false;
};
struct CUgraphExec_st {
    std::shared_ptr<const std::vector<Work>> nodes;
};
struct CUctx_st {  // what the runtime, or cuCtxCreate, works in on a device
    int device = 0;
    bool alive = false;             // a primary context lives from its first use
    CUstream_st *legacy = nullptr;  // its default stream
};
struct CUstream_st {
    const uint64_t id;
    const CUctx_st *const context;
    const bool blocking;  // ordered with the context's default stream
    std::deque<Work> queue;
    uint64_t queued = 0, done = 0;
    CUgraph_st *capture = nullptr;
    bool capture_origin = false;
    cudaStreamCaptureMode mode{};
    std::thread::id thread{};
    CUstream_st(uint64_t n, const CUctx_st *where, bool ordered) : id(n), context(where), blocking(ordered) {}
};
struct CUevent_st {
    uint64_t stream = 0, position = 0;  // complete when that stream has done so many
    bool timed, recorded = false;
    CUgraph_st *capture = nullptr;
    std::shared_ptr<Clock::time_point> time;
};

namespace emu {

constexpr int kDevices = 2;

struct State {
    std::recursive_mutex mutex;
    char *top[kDevices];  // of each device's memory given away so far
    std::map<const char *, size_t> live, pinned;
    std::set<const void *> freeing;  // by a cudaFreeAsync still in its queue
    size_t held = 0;
    int opened = 0, fail_malloc = 0, devices = 1;
    CUctx_st primary[kDevices];
    std::set<CUcontext> contexts;  // made by cuCtxCreate
    std::set<cudaStream_t> streams;
    std::map<uint64_t, cudaStream_t> by_id;
    uint64_t next_id = 0;
    std::set<cudaEvent_t> events;
    std::set<cudaGraph_t> graphs;
    std::set<cudaGraphExec_t> execs;
    std::map<const void *, int> shared_limit;
    std::set<std::pair<const void *, int>> loaded;  // kernels, and on which device
    std::string report, loaded_by_launch;
    bool sticky = false;

    State();
};
State &state();

struct Open {  // device memory is accessible while one of these lives
    Open();
    ~Open();
};

// What a runtime function returns with: the error if it is one, remembered; always the same after a misuse.
cudaError_t done(cudaError_t error);
bool no_device();

// EMU_ENTER_BARE: of functions that need no context. The others make the device's primary one current if none is.
#define EMU_ENTER_BARE                                         \
    std::lock_guard<std::recursive_mutex> lock(state().mutex); \
    [[maybe_unused]] State &s = state();                       \
    if (no_device()) return done(cudaErrorInsufficientDriver)
#define EMU_ENTER   \
    EMU_ENTER_BARE; \
    [[maybe_unused]] CUctx_st &context = current_context()

// ---- contexts.cpp

CUctx_st &current_context();  // of this thread, made current if there is none

// ---- streams.cpp

CUstream_st *find(cudaStream_t stream);           // NULL: no such stream. The default stream is the current context's.
cudaError_t add(cudaStream_t stream, Work work);  // queues work, or captures it
void drain(uint64_t stream, uint64_t position);   // works off a stream's queue that far
void drain_all(const CUctx_st *context = nullptr);  // of one context, or all
void make_default_stream(CUctx_st *context);
// While a stream captures, calls that would synchronise (with `used`, if given) or allocate are refused, and spoil the
// capture.
bool refused_by_capture(const CUstream_st *used);

}  // namespace emu
