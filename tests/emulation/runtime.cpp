/*
 * The runtime, but for streams: errors, the device, its memory, launches.
 *
 * Device memory is one reserved range of addresses, inaccessible while host code runs: a host access faults. Addresses
 * are never used twice, so a stale pointer never becomes valid again. One lock covers everything, kernels too.
 */
#include "runtime.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

namespace emu {
namespace {

constexpr size_t kReserved = size_t(1) << 40;  // addresses
constexpr size_t kCapacity = size_t(4) << 30;  // memory that can be held at a time
constexpr size_t kHuge = size_t(2) << 20;      // pages this large make it quick to open and close device memory
constexpr size_t kPage = 4096, kAlign = 256, kSharedDefault = 48 << 10, kSharedMost = 227 << 10;
constexpr int kMultiprocessors = 4;

thread_local cudaError_t last_error = cudaSuccess;
char *arena;                 // the device's addresses; not in State, because every checked access asks
unsigned char *arena_bytes;  // a Byte of each

void protect(int how) {
    const size_t used = (size_t(state().top - arena) + kHuge - 1) / kHuge * kHuge;
    if (used && mprotect(arena, used, how) != 0) abort();
}

bool out_of_memory() {
    State &s = state();
    return s.fail_malloc > 0 && --s.fail_malloc == 0;
}

cudaError_t allocate(void **p, size_t bytes) {
    State &s = state();
    if (!p) return cudaErrorInvalidValue;
    *p = nullptr;
    if (bytes == 0) return cudaSuccess;
    if (out_of_memory() || bytes > kCapacity - s.held) return cudaErrorMemoryAllocation;
    // At least kAlign bytes of nobody's behind each allocation; it is poisoned.
    char *data = s.top;
    const size_t span = (bytes + 2 * kAlign - 1) / kAlign * kAlign;
    if (size_t(data - arena) + span > kReserved) return cudaErrorMemoryAllocation;
    s.top += span;
    s.live[data] = bytes;
    s.held += bytes;
    const Open open;
    ASAN_UNPOISON_MEMORY_REGION(data, bytes);
    memset(data, kPoison, bytes);
    ASAN_POISON_MEMORY_REGION(data + bytes, span - bytes);
    if (checking) memset(device_bytes(data), unwritten, bytes);
    *p = data;
    return cudaSuccess;
}

cudaError_t release(void *p) {
    State &s = state();
    const auto block = s.live.find(static_cast<char *>(p));
    if (block == s.live.end()) return cudaErrorInvalidValue;
    const size_t bytes = block->second;
    // What lies free around it goes back in whole pages, however small its parts were: every page kept is one to open and close.
    const auto next = std::next(block);
    const size_t from =
        block == s.live.begin() ? 0 : size_t(std::prev(block)->first - arena) + std::prev(block)->second;
    const size_t to = size_t((next == s.live.end() ? s.top : next->first) - arena);
    const size_t first = (from + kPage - 1) / kPage * kPage, last = to / kPage * kPage;  // arena is on a page boundary
    if (first < last) madvise(arena + first, last - first, MADV_DONTNEED);
    if (checking) memset(device_bytes(p), outside, bytes);
    ASAN_POISON_MEMORY_REGION(p, bytes);
    s.held -= bytes;
    s.live.erase(block);
    s.freeing.erase(p);
    return cudaSuccess;
}

void copy(void *to, const void *from, size_t bytes) {
    const Open open;
    memmove(to, from, bytes);
    if (!checking || !in_device_memory(to)) return;
    if (in_device_memory(from))
        memmove(device_bytes(to), device_bytes(from), bytes);
    else
        memset(device_bytes(to), written, bytes);
}

void fill(void *p, int value, size_t bytes) {
    const Open open;
    memset(p, value, bytes);
    if (checking) memset(device_bytes(p), written, bytes);
}

bool copy_is_valid(const void *to, const void *from, size_t bytes, cudaMemcpyKind kind) {
    const bool to_device = in_device_memory(to), from_device = in_device_memory(from);
    if ((to_device && !is_allocated(to, bytes)) || (from_device && !is_allocated(from, bytes)) || !to || !from)
        return false;
    if (kind == cudaMemcpyDefault) return true;
    return to_device == (kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice) &&
           from_device == (kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice);
}

cudaError_t allocate_pinned(void **p, size_t bytes) {
    if (!p) return cudaErrorInvalidValue;
    *p = out_of_memory() ? nullptr : malloc(bytes);
    if (!*p) return cudaErrorMemoryAllocation;
    state().pinned[static_cast<char *>(*p)] = bytes;
    return cudaSuccess;
}

// The block of the map that has all these bytes; its end counts as inside.
bool holds(const std::map<const char *, size_t> &blocks, const void *p, size_t bytes) {
    const char *first = static_cast<const char *>(p);
    auto block = blocks.upper_bound(first);
    if (block == blocks.begin()) return false;
    --block;
    const size_t at = size_t(first - block->first);
    return at <= block->second && bytes <= block->second - at;
}

void execute(const Launch &launch) {
    for (size_t i = 0; i < launch.pointers.size(); i++) {
        const void *p = launch.pointers[i];
        if (!p || is_allocated(p, 0) || is_pinned(p)) continue;
        return report(std::string("launch of ") + launch.text + ": pointer argument " + std::to_string(i + 1) + " is " +
                      (in_device_memory(p) ? "not to a live device allocation" : "to host memory"));
    }
    run(launch);
}

}  // namespace

char *reserve(size_t size, int protection) {
    void *p = mmap(nullptr, size, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p != MAP_FAILED) return static_cast<char *>(p);
    perror("gumbelurn emulation: reserving addresses");
    abort();
}

State::State() {
    legacy = new CUstream_st(next_id++, true);
    by_id[legacy->id] = legacy;
    const char *n = getenv("GURN_EMU_FAIL_MALLOC");
    fail_malloc = n ? atoi(n) : 0;
    arena = reserve(kReserved + kHuge, PROT_NONE);
    top = arena += kHuge - reinterpret_cast<uintptr_t>(arena) % kHuge;
    madvise(arena, kReserved, MADV_HUGEPAGE);
    if (checking) arena_bytes = reinterpret_cast<unsigned char *>(reserve(kReserved, PROT_READ | PROT_WRITE));
}

// Never destroyed: static objects of other files may still call. What is left over is looked at when this file's are
// destroyed.
State &state() {
    static State &s = *new State;
    static struct AtExit {
        ~AtExit() {
            const std::string left = leaks();
            if (!left.empty()) fprintf(stderr, "gumbelurn emulation: never freed: %s\n", left.c_str());
            if (left.empty() && !s.sticky) return;
            fflush(nullptr);
            _Exit(1);
        }
    } at_exit;
    return s;
}

cudaError_t done(cudaError_t error) {
    if (state().sticky) error = cudaErrorLaunchFailure;
    if (error != cudaSuccess && error != cudaErrorNotReady) last_error = error;
    return error;
}

bool no_device() {
    const char *value = getenv("GURN_EMU_NO_DEVICE");
    return value && *value && strcmp(value, "0") != 0;
}

Open::Open() {
    if (state().opened++ == 0) protect(PROT_READ | PROT_WRITE);
}
Open::~Open() {
    if (--state().opened == 0) protect(PROT_NONE);
}

void report(const std::string &text) {
    State &s = state();
    fprintf(stderr, "gumbelurn emulation: %s\n", text.c_str());
    if (s.report.empty()) s.report = text;
    s.sticky = true;
}

bool reported() { return state().sticky; }

std::string take_report() {
    const std::lock_guard<std::recursive_mutex> lock(state().mutex);
    state().sticky = false;
    last_error = cudaSuccess;
    return std::exchange(state().report, std::string());
}

void fail_malloc(int n) { state().fail_malloc = n; }

std::string leaks() {
    const State &s = state();
    std::string text;
    auto list = [&](size_t n, const char *what) {
        if (n) text += (text.empty() ? "" : ", ") + std::to_string(n) + " " + what;
    };
    list(s.live.size() - s.freeing.size(), "device allocations");
    list(s.pinned.size(), "pinned allocations");
    list(s.streams.size(), "streams");
    list(s.events.size(), "events");
    list(s.graphs.size(), "graphs");
    list(s.execs.size(), "executable graphs");
    return text;
}

bool in_device_memory(const void *p) { return arena && size_t(static_cast<const char *>(p) - arena) < kReserved; }
bool is_allocated(const void *p, size_t bytes) { return holds(state().live, p, bytes); }
bool is_pinned(const void *p) { return holds(state().pinned, p, 0); }
unsigned char *device_bytes(const void *p) { return arena_bytes + (static_cast<const char *>(p) - arena); }

cudaError_t launch(const cudaLaunchConfig_t &config, Launch what) {
    EMU_ENTER;
    const dim3 &grid = what.grid, &block = what.block;
    const uint64_t threads = uint64_t(block.x) * block.y * block.z;
    if (grid.x < 1 || grid.x > 0x7FFFFFFFu || grid.y < 1 || grid.y > 65535 || grid.z < 1 || grid.z > 65535 ||
        threads < 1 || threads > 1024 || block.z > 64)
        return done(cudaErrorInvalidConfiguration);
    const auto limit = s.shared_limit.find(what.kernel);
    if (what.shared_bytes > (limit == s.shared_limit.end() ? kSharedDefault : size_t(limit->second)))
        return done(cudaErrorInvalidValue);
    if (config.numAttrs) return done(cudaErrorNotSupported);
    return done(add(config.stream, [what = std::move(what)] { execute(what); }));
}

cudaError_t function_attribute(const void *kernel, cudaFuncAttribute attribute, int value) {
    EMU_ENTER;
    if (attribute == cudaFuncAttributePreferredSharedMemoryCarveout) return done(cudaSuccess);
    if (value < 0 || size_t(value) > kSharedMost) return done(cudaErrorInvalidValue);
    s.shared_limit[kernel] = value > int(kSharedDefault) ? value : int(kSharedDefault);
    return done(cudaSuccess);
}

cudaError_t function_attributes(const void *kernel, cudaFuncAttributes *attributes) {
    EMU_ENTER;
    const auto limit = s.shared_limit.find(kernel);
    *attributes = {0, 0, 0, 1024, 32, limit == s.shared_limit.end() ? int(kSharedDefault) : limit->second};
    return done(cudaSuccess);
}

int blocks_per_multiprocessor(int block_size, size_t shared_bytes) {
    const int by_threads = 2048 / (block_size < 1 ? 1 : block_size),
              by_shared = int((kSharedMost + 1024) / (shared_bytes + 1024));
    return by_threads < by_shared ? (by_threads < 32 ? by_threads : 32) : by_shared;
}

}  // namespace emu

using namespace emu;

// ---- Errors and the device

cudaError_t cudaPeekAtLastError() { return state().sticky ? cudaErrorLaunchFailure : last_error; }
cudaError_t cudaGetLastError() {
    const cudaError_t error = cudaPeekAtLastError();
    last_error = cudaSuccess;
    return error;
}
const char *cudaGetErrorName(cudaError_t error) {
    switch (error) {
#define EMU_NAME(name, value) \
    case name: return #name;
        EMU_ERRORS(EMU_NAME)
#undef EMU_NAME
    }
    return "unrecognized error code";
}
const char *cudaGetErrorString(cudaError_t error) { return cudaGetErrorName(error); }
cudaError_t cudaDriverGetVersion(int *version) { return *version = no_device() ? 0 : CUDART_VERSION, cudaSuccess; }
cudaError_t cudaRuntimeGetVersion(int *version) { return *version = CUDART_VERSION, cudaSuccess; }
cudaError_t cudaGetDeviceCount(int *count) {
    *count = 0;
    EMU_ENTER;
    *count = 1;
    return done(cudaSuccess);
}
cudaError_t cudaGetDevice(int *device) {
    EMU_ENTER;
    *device = 0;
    return done(cudaSuccess);
}
cudaError_t cudaSetDevice(int device) {
    EMU_ENTER;
    return done(device == 0 ? cudaSuccess : cudaErrorInvalidDevice);
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp *properties, int device) {
    EMU_ENTER;
    if (device != 0) return done(cudaErrorInvalidDevice);
    *properties = {"emulated", kCapacity, kSharedDefault, kSharedMost, kSharedMost + 1024, 9, 0, kMultiprocessors, 1024,
                   2048,       32,        65536,          32 << 20};
    return done(cudaSuccess);
}
cudaError_t cudaDeviceGetAttribute(int *value, cudaDeviceAttr attribute, int device) {
    EMU_ENTER;
    cudaDeviceProp p;
    if (const cudaError_t error = cudaGetDeviceProperties(&p, device)) return error;
    switch (attribute) {
        case cudaDevAttrMaxThreadsPerBlock: return *value = p.maxThreadsPerBlock, cudaSuccess;
        case cudaDevAttrMaxSharedMemoryPerBlock: return *value = int(p.sharedMemPerBlock), cudaSuccess;
        case cudaDevAttrWarpSize: return *value = p.warpSize, cudaSuccess;
        case cudaDevAttrMultiProcessorCount: return *value = p.multiProcessorCount, cudaSuccess;
        case cudaDevAttrMaxThreadsPerMultiProcessor: return *value = p.maxThreadsPerMultiProcessor, cudaSuccess;
        case cudaDevAttrComputeCapabilityMajor: return *value = p.major, cudaSuccess;
        case cudaDevAttrComputeCapabilityMinor: return *value = p.minor, cudaSuccess;
        case cudaDevAttrMaxSharedMemoryPerMultiprocessor:
            return *value = int(p.sharedMemPerMultiprocessor), cudaSuccess;
        case cudaDevAttrMaxSharedMemoryPerBlockOptin: return *value = int(p.sharedMemPerBlockOptin), cudaSuccess;
    }
    return done(cudaErrorInvalidValue);
}
// ---- Memory

cudaError_t cudaMalloc(void **p, size_t bytes) {
    EMU_ENTER;
    return done(refused_by_capture(nullptr) ? cudaErrorStreamCaptureUnsupported : allocate(p, bytes));
}
cudaError_t cudaMallocAsync(void **p, size_t bytes, cudaStream_t stream) {
    EMU_ENTER;
    if (!find(stream)) return done(cudaErrorInvalidResourceHandle);
    return done(refused_by_capture(find(stream)) ? cudaErrorStreamCaptureUnsupported : allocate(p, bytes));
}
cudaError_t cudaMallocHost(void **p, size_t bytes, unsigned) {
    EMU_ENTER;
    return done(refused_by_capture(nullptr) ? cudaErrorStreamCaptureUnsupported : allocate_pinned(p, bytes));
}
cudaError_t cudaHostAlloc(void **p, size_t bytes, unsigned flags) { return cudaMallocHost(p, bytes, flags); }
cudaError_t cudaFree(void *p) {
    EMU_ENTER;
    if (!p) return done(cudaSuccess);
    if (refused_by_capture(nullptr)) return done(cudaErrorStreamCaptureUnsupported);
    drain_all();  // as CUDA does
    return done(release(p));
}
cudaError_t cudaFreeAsync(void *p, cudaStream_t stream) {
    EMU_ENTER;
    if (!p) return done(cudaSuccess);
    if (!find(stream)) return done(cudaErrorInvalidResourceHandle);
    if (refused_by_capture(find(stream))) return done(cudaErrorStreamCaptureUnsupported);
    if (!s.live.count(static_cast<char *>(p)) || !s.freeing.insert(p).second) return done(cudaErrorInvalidValue);
    return done(add(stream, [p] { release(p); }));
}
cudaError_t cudaFreeHost(void *p) {
    EMU_ENTER;
    if (!p) return done(cudaSuccess);
    if (refused_by_capture(nullptr)) return done(cudaErrorStreamCaptureUnsupported);
    if (!s.pinned.count(static_cast<char *>(p))) return done(cudaErrorInvalidValue);
    drain_all();
    s.pinned.erase(static_cast<char *>(p));
    free(p);
    return done(cudaSuccess);
}
cudaError_t cudaMemGetInfo(size_t *available, size_t *total) {
    EMU_ENTER;
    *available = kCapacity - s.held;
    *total = kCapacity;
    return done(cudaSuccess);
}
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
    EMU_ENTER;
    if (!find(stream)) return done(cudaErrorInvalidResourceHandle);
    if (bytes == 0) return done(cudaSuccess);
    if (!copy_is_valid(to, from, bytes, kind)) return done(cudaErrorInvalidValue);
    if (in_device_memory(from) || is_pinned(from) || find(stream)->capture) {
        return done(add(stream, [=] { copy(to, from, bytes); }));
    }
    const char *first = static_cast<const char *>(from);  // CUDA takes pageable memory along at once
    auto staged = std::make_shared<const std::vector<char>>(first, first + bytes);
    return done(add(stream, [=] { copy(to, staged->data(), bytes); }));
}
cudaError_t cudaMemcpy(void *to, const void *from, size_t bytes, cudaMemcpyKind kind) {
    EMU_ENTER;
    if (refused_by_capture(nullptr)) return done(cudaErrorStreamCaptureUnsupported);
    const cudaError_t error = cudaMemcpyAsync(to, from, bytes, kind, nullptr);
    drain(s.legacy->id, s.legacy->queued);
    return done(error);
}
cudaError_t cudaMemsetAsync(void *p, int value, size_t bytes, cudaStream_t stream) {
    EMU_ENTER;
    if (!find(stream)) return done(cudaErrorInvalidResourceHandle);
    if (bytes == 0) return done(cudaSuccess);
    if (!is_allocated(p, bytes)) return done(cudaErrorInvalidValue);
    return done(add(stream, [=] { fill(p, value, bytes); }));
}
cudaError_t cudaMemset(void *p, int value, size_t bytes) { return cudaMemsetAsync(p, value, bytes, nullptr); }
cudaError_t cudaPointerGetAttributes(cudaPointerAttributes *attributes, const void *p) {
    EMU_ENTER;
    void *const q = const_cast<void *>(p);
    if (is_allocated(p, 0))
        *attributes = {cudaMemoryTypeDevice, 0, q, nullptr};
    else if (is_pinned(p))
        *attributes = {cudaMemoryTypeHost, 0, q, q};
    else
        *attributes = {cudaMemoryTypeUnregistered, -1, nullptr, q};
    return done(cudaSuccess);
}
