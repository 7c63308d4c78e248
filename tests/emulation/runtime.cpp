/*
 * The runtime, but for contexts and streams: errors, device memory, launches.
 *
 * Device memory is one reserved range of addresses, an equal part of it each device's, inaccessible while host code runs: a host
 * access faults. Addresses are never used twice, so a stale pointer never becomes valid again. One lock covers everything,
 * kernels too.
 */
#include "runtime.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <algorithm>

namespace emu {
namespace {

constexpr size_t kReserved = size_t(1) << 40;       // addresses
constexpr size_t kOfDevice = kReserved / kDevices;  // those of one device
constexpr size_t kHuge = size_t(2) << 20;           // pages this large make it quick to open and close device memory
constexpr size_t kPage = 4096, kAlign = 256;

thread_local cudaError_t last_error = cudaSuccess;
char *arena;                 // the device's addresses; not in State, because every checked access asks
unsigned char *arena_bytes;  // a Byte of each

char *memory_of(int device) { return arena + size_t(device) * kOfDevice; }

void protect(int how) {
    for (int device = 0; device < kDevices; device++) {
        const size_t used = (size_t(state().top[device] - memory_of(device)) + kHuge - 1) / kHuge * kHuge;
        if (used && mprotect(memory_of(device), used, how) != 0) abort();
    }
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
    const int device = current_context().device;
    char *&top = s.top[device], *const data = top;
    const size_t span = (bytes + 2 * kAlign - 1) / kAlign * kAlign;
    if (size_t(data - memory_of(device)) + span > kOfDevice) return cudaErrorMemoryAllocation;
    top += span;
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
    const int device = device_of(p);
    const char *begin = memory_of(device), *end = s.top[device];
    if (block != s.live.begin()) begin = std::max(begin, std::prev(block)->first + std::prev(block)->second);
    if (next != s.live.end()) end = std::min(end, next->first);
    const size_t from = size_t(begin - arena), to = size_t(end - arena);
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
        const bool here = in_device_memory(p) && device_of(p) == launch.device;
        if (!p || (here && is_allocated(p, 0)) || is_pinned(p)) continue;
        return report(std::string("launch of ") + launch.text + ": pointer argument " + std::to_string(i + 1) + " is " +
                      (here                  ? "not to a live device allocation"
                       : in_device_memory(p) ? "to memory of another device"
                                             : "to host memory"));
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
    const char *n = getenv("GURN_EMU_FAIL_MALLOC");
    fail_malloc = n ? atoi(n) : 0;
    n = getenv("GURN_EMU_RACES");
    device_races = n && *n && strcmp(n, "0") != 0;
    n = getenv("GURN_EMU_DEVICES");
    devices = n && atoi(n) == kDevices ? kDevices : 1;
    for (int device = 0; device < kDevices; device++) primary[device].device = device;
    arena = reserve(kReserved + kHuge, PROT_NONE);
    arena += kHuge - reinterpret_cast<uintptr_t>(arena) % kHuge;
    for (int device = 0; device < kDevices; device++) top[device] = memory_of(device);
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
    if (error != cudaSuccess) last_error = error;
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

std::string loaded_by_launch() {
    const std::lock_guard<std::recursive_mutex> lock(state().mutex);
    return std::exchange(state().loaded_by_launch, std::string());
}

std::string leaks() {
    const State &s = state();
    std::string text;
    auto list = [&](size_t n, const char *what) {
        if (n) text += (text.empty() ? "" : ", ") + std::to_string(n) + " " + what;
    };
    list(s.live.size() - s.freeing.size(), "device allocations");
    list(s.pinned.size(), "pinned allocations");
    list(s.contexts.size(), "contexts");
    list(s.streams.size(), "streams");
    list(s.events.size(), "events");
    list(s.graphs.size(), "graphs");
    list(s.execs.size(), "executable graphs");
    return text;
}

bool in_device_memory(const void *p) { return arena && size_t(static_cast<const char *>(p) - arena) < kReserved; }
int device_of(const void *p) { return int(size_t(static_cast<const char *>(p) - arena) / kOfDevice); }
bool is_allocated(const void *p, size_t bytes) { return holds(state().live, p, bytes); }
const char *allocation_of(const void *p) {
    return std::prev(state().live.upper_bound(static_cast<const char *>(p)))->first;
}
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
    const CUstream_st *stream = find(config.stream);
    if (!stream || stream->context != &context) return done(cudaErrorInvalidResourceHandle);
    what.device = context.device;
    if (s.loaded.insert({what.kernel, what.device}).second) {  // loading may allocate and wait
        s.loaded_by_launch += std::string(s.loaded_by_launch.empty() ? "" : "; ") + what.text;
        if (refused_by_capture(nullptr)) return done(cudaErrorStreamCaptureUnsupported);
    }
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
    s.loaded.insert({kernel, context.device});
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

// ---- Errors

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
    drain_all();  // as CUDA does, of this device; here of all
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
// What the host has seen when it returns is all that CUDA promises: memory of the device is written later, by the default stream,
// where it is copied from the device's own or from pageable memory.
cudaError_t cudaMemcpy(void *to, const void *from, size_t bytes, cudaMemcpyKind kind) {
    EMU_ENTER;
    if (refused_by_capture(nullptr)) return done(cudaErrorStreamCaptureUnsupported);
    if (!in_device_memory(from)) drain(context.legacy->id, context.legacy->queued);
    const cudaError_t error = cudaMemcpyAsync(to, from, bytes, kind, nullptr);
    if (!in_device_memory(to) || is_pinned(from)) drain(context.legacy->id, context.legacy->queued);
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
        *attributes = {cudaMemoryTypeDevice, device_of(p), q, nullptr};
    else if (is_pinned(p))
        *attributes = {cudaMemoryTypeHost, 0, q, q};
    else
        *attributes = {cudaMemoryTypeUnregistered, -1, nullptr, q};
    return done(cudaSuccess);
}
