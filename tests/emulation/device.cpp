/*
 * Lanes as fibers. A lane runs until it meets a collective that is not complete yet; then it switches straight to the
 * next lane that can run, so that a collective costs about one switch a lane. The last lane to come exchanges the
 * values for all.
 */
#include "emulation.h"
#include "fiber.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <numeric>

uint3 blockIdx;
dim3 blockDim, gridDim;

namespace emu {

__thread Lane *self;
unsigned now_tick, barrier_tick;
std::vector<SharedBlock> shared_blocks;
int64_t running_block;
const Launch *running_launch;

namespace {

constexpr int kMaxThreads = 1024, kMaxWarps = kMaxThreads / 32;
constexpr size_t kStack = (EMU_ASAN ? 256 : 64) * 1024, kGuard = 4096;

struct Call {  // what a lane waits in
    Kind kind;
    unsigned mask;  // 0: the whole block
    int argument, width;
    uint64_t value;
    Site at;
};
struct Fiber : Lane {
    void *context;
    void *stack;
    size_t stack_bytes;
    void *fake_stack;  // ASan's
    Call call;
    uint64_t result;
};
struct Warp {
    unsigned ready, waiting;  // sets of lanes; in neither: exited, or never there
};

Fiber fibers[kMaxThreads], host;
Fiber *running = &host;
Warp warps[kMaxWarps];
int threads, warp_count, alive;  // of the running block
Call barrier_call;               // of the first thread to come
int barrier_threads, barrier_count, barrier_result;
unsigned synchronised[kMaxWarps][32][32];  // when two lanes last met in a __syncwarp
char *stacks;
uint64_t scrambled(uint64_t seed) { return seed * 0x9E3779B97F4A7C15; }  // small numbers are poor states; 0 stays 0
uint64_t random_state = [] {
    const char *seed = getenv("GURN_EMU_SEED");
    return scrambled(seed ? strtoull(seed, nullptr, 10) : 0);
}();

Warp &warp_of(const Fiber &f) { return warps[f.id / 32]; }
unsigned bit_of(const Fiber &f) { return 1u << (f.id % 32); }
bool is_waiting(const Fiber &f) { return warp_of(f).waiting & bit_of(f); }
const char *name_of(Kind kind) {
    static const char *const names[] = {
#define EMU_NAME(name) #name,
        EMU_COLLECTIVES(EMU_NAME)};
#undef EMU_NAME
    return names[int(kind)];
}

// ---- Switching

void landed() {  // what AddressSanitizer wants to be told on the new stack
#if EMU_ASAN
    const void *stack;
    size_t bytes;
    __sanitizer_finish_switch_fiber(running->fake_stack, &stack, &bytes);
    if (host.stack) return;  // only the host's was not known before
    host.stack = const_cast<void *>(stack);
    host.stack_bytes = bytes;
#endif
}

void resume(Fiber &next, [[maybe_unused]] bool for_good = false) {
    Fiber &previous = *running;
    if (&next == &previous) return;
    running = &next;
    self = &next == &host ? nullptr : &next;
#if EMU_ASAN
    __sanitizer_start_switch_fiber(for_good ? nullptr : &previous.fake_stack, next.stack, next.stack_bytes);
#endif
    switch_context(&previous.context, next.context);
    landed();
}

// The next lane that can run: of the same warp while it has one, or has a later one if the running lane gives way; then
// of the next warp that has one; the host when no lane of the block can run.
Fiber &pick(bool give_way = false) {
    const unsigned id = unsigned(running->id);
    unsigned w = id / 32, passed = id % 32;  // lanes up to which have had their turn
    if (const uint64_t random = random_bits()) {
        if (random % 8 == 0) w = unsigned(random >> 8) % unsigned(warp_count);  // mostly the same warp, for speed
        passed = unsigned(random >> 59);
        give_way = false;
    }
    unsigned lanes = warps[w].ready & ~1u << passed;
    if (!lanes && !give_way) lanes = warps[w].ready;
    for (int n = 0; !lanes && n < warp_count; n++) {
        w = w + 1 == unsigned(warp_count) ? 0 : w + 1;
        lanes = warps[w].ready;
    }
    return lanes ? fibers[w * 32 + unsigned(__builtin_ctz(lanes))] : host;
}

void enter() {
    landed();
    running_launch->body(running_launch->call.get());
    warp_of(*running).ready &= ~bit_of(*running);
    alive--;
    resume(pick(), true);
}

// ---- Reports

std::string format(const char *text, ...) {
    char buffer[1024];
    va_list list;
    va_start(list, text);
    vsnprintf(buffer, sizeof buffer, text, list);
    va_end(list);
    return buffer;
}

std::string kernel_name(const char *launch) {  // the second argument of cudaLaunchKernelEx(&config, kernel<..>, ..)
    int depth = 0, argument = 0;
    std::string name;
    for (const char *p = launch; *p && argument < 2; p++) {
        depth += (*p && strchr("(<[{", *p)) - (*p && strchr(")>]}", *p));
        if (depth == 0 && *p == ',')
            argument++;
        else if (argument == 1 && !(name.empty() && *p == ' '))
            name += *p;
    }
    return name;
}

std::string thread_of(const Fiber &f) { return format("thread (%u, %u, %u)", f.thread.x, f.thread.y, f.thread.z); }

std::string place_of(const Call &call) {
    std::string mask = call.mask ? format(" with mask 0x%08x", call.mask) : "";
    return format("%s%s at %s:%d", name_of(call.kind), mask.c_str(), call.at.file, call.at.line);
}

void report_of(const Fiber &f, const std::string &text) {
    report(format("kernel %s, block (%u, %u, %u), %s", kernel_name(running_launch->text).c_str(), blockIdx.x,
                  blockIdx.y, blockIdx.z, thread_of(f).c_str()) +
           (f.call.kind == Kind::none ? "" : ", " + place_of(f.call)) + ": " + text);
}

[[noreturn]] void abandon(const Fiber &f, std::string text) {
    // Nothing may be left to destroy: nobody comes back to this stack.
    report_of(f, std::exchange(text, std::string()));
    resume(host, true);
    __builtin_unreachable();
}

// Says why the lane waits in vain for the other, if it does.
std::string obstacle(const Fiber &f, const Fiber &other) {
    const std::string who = f.call.mask ? format("lane %d", other.id % 32) : thread_of(other);
    if (other.id >= threads) return who + ", which its mask names, does not exist";
    if (!is_waiting(other))
        return who + (f.call.mask ? ", which its mask names, has exited" : " has exited: divergent barrier");
    if (f.call.kind == other.call.kind && f.call.mask == other.call.mask) return "";
    return who + " is in " + place_of(other.call) + (f.call.mask ? "" : ": divergent barrier");
}

// Called when some lanes have not finished and none can run.
void explain_deadlock() {
    for (const bool barriers : {false, true}) {
        for (int i = 0; i < threads; i++) {
            const Fiber &f = fibers[i];
            if (!is_waiting(f) || (f.call.mask == 0) != barriers) continue;
            for (int j = barriers ? 0 : i & ~31; j < (barriers ? threads : (i & ~31) + 32); j++) {
                if (!barriers && !(f.call.mask >> (j % 32) & 1)) continue;
                const std::string why = obstacle(f, fibers[j]);
                if (!why.empty()) return report_of(f, why);
            }
        }
    }
}

// ---- Collectives

template <Kind kind>
int source_lane(const Fiber &f) {
    const Call &call = f.call;
    const int lane = f.id % 32, width = call.width, begin = lane & ~(width - 1), end = begin + width;
    if (width < 1 || width > 32 || (width & (width - 1)))
        abandon(f, format("width %d is not a power of two up to 32", width));
    int source = lane;
    switch (kind) {
        case Kind::__shfl_sync:
            if (call.argument < 0 || call.argument >= width) {
                abandon(f, format("source lane %d is out of range, width %d", call.argument, width));
            }
            source = begin + call.argument;
            break;
        case Kind::__shfl_up_sync:  // the lanes at the end of a segment that have no source keep their own value
            if (call.argument >= 0 && lane - call.argument >= begin) source = lane - call.argument;
            break;
        case Kind::__shfl_down_sync:
            if (call.argument >= 0 && call.argument < end - lane) source = lane + call.argument;
            break;
        default:
            if (call.argument < 0 || call.argument >= 32)
                abandon(f, format("lane mask %d is out of range", call.argument));
            if ((lane ^ call.argument) < end) source = lane ^ call.argument;
    }
    if (!(call.mask >> source & 1)) abandon(f, format("source lane %d is not in the mask", source));
    return source;
}

uint64_t combine(Kind kind, bool is_signed, uint64_t a, uint64_t b) {
    const uint32_t x = uint32_t(a), y = uint32_t(b);
    switch (kind) {
        case Kind::__reduce_add_sync: return x + y;
        case Kind::__reduce_min_sync: return (is_signed ? int32_t(y) < int32_t(x) : y < x) ? y : x;
        case Kind::__reduce_max_sync: return (is_signed ? int32_t(x) < int32_t(y) : x < y) ? y : x;
        case Kind::__all_sync:
        case Kind::__reduce_and_sync: return x & y;
        case Kind::__reduce_xor_sync: return x ^ y;
        default: return x | y;
    }
}

#define EMU_EACH_LANE(l)                                                                         \
    for (unsigned rest_##l = mask, l; rest_##l && (l = unsigned(__builtin_ctz(rest_##l)), true); \
         rest_##l &= rest_##l - 1)

template <Kind kind>
void shuffle(Fiber *lanes, unsigned mask) {
    EMU_EACH_LANE(l) lanes[l].result = lanes[source_lane<kind>(lanes[l])].call.value;
}

// If every lane of the mask waits in this same call, gives each its result and lets all go on.
bool complete(Fiber *lanes, Warp &warp, unsigned mask, Kind kind) {
    if ((warp.waiting & mask) != mask) return false;
    EMU_EACH_LANE(l) {
        if (lanes[l].call.mask != mask || lanes[l].call.kind != kind) return false;  // waits in another one, for now
    }
    warp.waiting &= ~mask;
    warp.ready |= mask;
    switch (kind) {
        case Kind::__shfl_sync: shuffle<Kind::__shfl_sync>(lanes, mask); break;
        case Kind::__shfl_up_sync: shuffle<Kind::__shfl_up_sync>(lanes, mask); break;
        case Kind::__shfl_down_sync: shuffle<Kind::__shfl_down_sync>(lanes, mask); break;
        case Kind::__shfl_xor_sync: shuffle<Kind::__shfl_xor_sync>(lanes, mask); break;
        case Kind::__match_any_sync:
            EMU_EACH_LANE(l) {
                lanes[l].result = 0;
                const uint64_t value = lanes[l].call.value;
                EMU_EACH_LANE(other) lanes[l].result |= uint64_t(lanes[other].call.value == value) << other;
            }
            break;
        case Kind::__syncwarp:
            if (!checking) break;
            now_tick++;
            EMU_EACH_LANE(l) EMU_EACH_LANE(other) synchronised[lanes[0].id / 32][l][other] = now_tick;
            break;
        default: {
            const bool ballot = kind == Kind::__ballot_sync;
            const unsigned first = unsigned(__builtin_ctz(mask));
            uint64_t result = ballot ? 0 : lanes[first].call.value;
            EMU_EACH_LANE(l) {
                if (ballot)
                    result |= lanes[l].call.value << l;
                else if (l != first)
                    result = combine(kind, lanes[l].call.argument, result, lanes[l].call.value);
            }
            EMU_EACH_LANE(l) lanes[l].result = result;
        }
    }
    return true;
}

[[noreturn]] __attribute__((cold)) void called_by_host(Kind kind, Site at) {
    fprintf(stderr, "gumbelurn emulation: %s at %s:%d called by host code\n", name_of(kind), at.file, at.line);
    abort();
}

// Marks the running lane as waiting in a call. (Inlined, and given pieces: a Call passed whole doubles the time.)
__attribute__((always_inline)) inline Fiber &wait_in(Kind kind, unsigned mask, int argument, int width, uint64_t value,
                                                     Site at) {
    if (running == &host) called_by_host(kind, at);
    Fiber &f = *running;
    Warp &warp = warp_of(f);
    f.call = {kind, mask, argument, width, value, at};
    warp.ready &= ~bit_of(f);
    warp.waiting |= bit_of(f);
    return f;
}

bool run_block() {
    for (SharedBlock &block : shared_blocks) {
        memset(block.data, kPoison, block.bytes);
        block.cells.assign(block.cells.size(), Cell());
    }
    barrier_tick = ++now_tick;
    barrier_threads = barrier_count = 0;
    alive = threads;
    for (int w = 0; w < warp_count; w++)
        warps[w] = {threads - w * 32 < 32 ? (1u << (threads - w * 32)) - 1 : 0xFFFFFFFFu, 0};
    for (int i = 0; i < threads; i++) {
        Fiber &f = fibers[i];
        f.thread = {unsigned(i) % blockDim.x, unsigned(i) / blockDim.x % blockDim.y,
                    unsigned(i) / blockDim.x / blockDim.y};
        f.call.kind = Kind::none;
        f.fake_stack = nullptr;
        char *top = static_cast<char *>(f.stack) + f.stack_bytes;
        ASAN_UNPOISON_MEMORY_REGION(top - kGuard, kGuard);  // frames that the stack's last user never left
        f.context = make_context<enter>(top, f.stack_bytes);
    }
    host.stack = nullptr;  // whichever thread's this is
    resume(pick());
    if (alive && !reported()) explain_deadlock();
    if (alive) ASAN_UNPOISON_MEMORY_REGION(stacks, kMaxThreads * (kStack + kGuard));  // abandoned frames
    return !alive;
}

void make_stacks() {
    stacks = reserve(kMaxThreads * (kStack + kGuard), PROT_READ | PROT_WRITE);
    for (int i = 0; i < kMaxThreads; i++) {
        char *low = stacks + size_t(i) * (kStack + kGuard);
        mprotect(low, kGuard, PROT_NONE);
        fibers[i].id = i;
        fibers[i].stack = low + kGuard;
        fibers[i].stack_bytes = kStack - size_t(i % 32) * 128;  // tops all alike would fight for cache sets
    }
    host.id = 31;  // so that lane 0 comes next
}

}  // namespace

uint64_t random_bits() {  // xorshift64*
    if (random_state == 0) return 0;
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return random_state * 0x2545F4914F6CDD1D;
}

void set_seed(uint64_t seed) { random_state = scrambled(seed); }

void misuse(const char *text, ...) {
    char buffer[1024];
    va_list list;
    va_start(list, text);
    vsnprintf(buffer, sizeof buffer, text, list);
    va_end(list);
    running->call.kind = Kind::none;
    abandon(*running, buffer);
}

uint64_t collective(Kind kind, unsigned mask, uint64_t value, int argument, int width, Site at) {
    Fiber &f = wait_in(kind, mask, argument, width, value, at);
    if (!(mask & bit_of(f))) abandon(f, "the calling lane is not in its own mask");
    if (!complete(&fibers[f.id & ~31], warp_of(f), mask, kind) || random_bits() & 1) resume(pick());
    return f.result;
}

int barrier(Kind kind, int value, Site at) {
    const Fiber &f = wait_in(kind, 0, 0, 0, 0, at);
    if (barrier_threads == 0) barrier_call = f.call;
    if (kind != barrier_call.kind || at.line != barrier_call.at.line || strcmp(at.file, barrier_call.at.file) != 0) {
        abandon(f, "divergent barrier: other threads wait in " + place_of(barrier_call));
    }
    barrier_count += value != 0;
    if (++barrier_threads == threads) {
        barrier_result = kind == Kind::__syncthreads_count
                             ? barrier_count
                             : barrier_count >= (kind == Kind::__syncthreads_and ? threads : 1);
        barrier_threads = barrier_count = 0;
        barrier_tick = ++now_tick;
        for (int w = 0; w < warp_count; w++) std::swap(warps[w].ready, warps[w].waiting);
        if (random_bits() & 1) resume(pick());
    } else {
        resume(pick());
    }
    return barrier_result;
}

void yield() { resume(pick(true)); }

bool ordered(int before, unsigned tick, int now) {
    return before == now || tick < barrier_tick ||
           (before / 32 == now / 32 && tick < synchronised[now / 32][now % 32][before % 32]);
}

bool on_stack(const void *p) { return p >= stacks && p < stacks + kMaxThreads * (kStack + kGuard); }
bool on_own_stack(const void *p) {
    return p >= running->stack && p < static_cast<const char *>(running->stack) + running->stack_bytes;
}

void *dynamic_shared() {
    if (shared_blocks.empty() || shared_blocks[0].key) misuse("dynamic shared memory used, none given by the launch");
    return shared_blocks[0].data;
}

void *static_shared(const void *key, size_t bytes, size_t align) {
    for (const SharedBlock &block : shared_blocks) {
        if (block.key == key) return block.data;
    }
    void *data = nullptr;  // one heap block each: AddressSanitizer guards its ends
    if (posix_memalign(&data, align < 16 ? 16 : align, bytes) != 0) abort();
    memset(data, kPoison, bytes);
    shared_blocks.push_back({key, static_cast<unsigned char *>(data), bytes, std::vector<Cell>(checking ? bytes : 0)});
    return data;
}

void run(const Launch &launch) {
    if (!stacks) make_stacks();
    running_launch = &launch;
    gridDim = launch.grid;
    blockDim = launch.block;
    threads = int(blockDim.x * blockDim.y * blockDim.z);
    warp_count = (threads + 31) / 32;
    if (launch.shared_bytes) static_shared(nullptr, launch.shared_bytes, 128);
    // Blocks in ascending order, or with a stride that meets each of them once.
    const uint64_t blocks = uint64_t(gridDim.x) * gridDim.y * gridDim.z, random = random_bits();
    uint64_t at = random % blocks, stride = random ? random_bits() % blocks : 1;
    while (std::gcd(stride, blocks) != 1) stride++;
    for (uint64_t n = 0; n < blocks; n++, at = (at + stride) % blocks) {
        blockIdx = {unsigned(at % gridDim.x), unsigned(at / gridDim.x % gridDim.y),
                    unsigned(at / gridDim.x / gridDim.y)};
        running_block = int64_t(at);
        if (!run_block()) break;
    }
    forget_device_accesses();
    for (SharedBlock &block : shared_blocks) free(block.data);
    shared_blocks.clear();
    running_launch = nullptr;
}

}  // namespace emu

#define EMU_ATOMIC(T, name, result, ...)                                                                \
    T name(T *p, __VA_ARGS__) {                                                                         \
        if (emu::checking) emu::access(p, sizeof *p, emu::Access::atomic, __builtin_return_address(0)); \
        const T old = *p;                                                                               \
        *p = result;                                                                                    \
        return old;                                                                                     \
    }
#define EMU_ATOMIC_FAMILY(T)                                                                                 \
    EMU_ATOMIC(T, atomicAdd, static_cast<T>(std::make_unsigned_t<T>(old) + std::make_unsigned_t<T>(v)), T v) \
    EMU_ATOMIC(T, atomicMin, v < old ? v : old, T v)                                                         \
    EMU_ATOMIC(T, atomicMax, old < v ? v : old, T v)                                                         \
    EMU_ATOMIC(T, atomicExch, v, T v)                                                                        \
    EMU_ATOMIC(T, atomicCAS, old == expected ? desired : old, T expected, T desired)
EMU_ATOMIC_FAMILY(int)
EMU_ATOMIC_FAMILY(unsigned)
EMU_ATOMIC_FAMILY(unsigned long long)
