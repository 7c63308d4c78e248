/* What device.cpp, access.cpp and the runtime share. */
#pragma once

#include "cuda_runtime.h"

#if defined(__SANITIZE_ADDRESS__)
#define EMU_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define EMU_ASAN 1
#endif
#endif
#ifdef EMU_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#else
#define EMU_ASAN 0
#define ASAN_POISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#endif

namespace emu {

// The emulated device (runtime.cpp, contexts.cpp).
constexpr size_t kCapacity = size_t(4) << 30;  // memory that can be held at a time, of all devices
constexpr size_t kSharedDefault = 48 << 10, kSharedMost = 227 << 10;
constexpr int kMultiprocessors = 4;

constexpr int kPoison = 0xFF;  // fills fresh memory: NaN, -1, the largest unsigned

// ---- device.cpp

// Runs every block of a kernel. Device memory has been made accessible. A misuse ends it, and is reported.
void run(const Launch &launch);
// Reports what the running lane does wrong and abandons its launch.
[[noreturn]] __attribute__((format(printf, 1, 2))) void misuse(const char *format, ...);
uint64_t random_bits();        // 0 always when the seed is 0
bool on_stack(const void *p);  // of any lane
bool on_own_stack(const void *p);
// Whether an access to shared memory by lane `before`, at time `tick`, is ordered before one that lane `now` makes now.
bool ordered(int before, unsigned tick, int now);
extern unsigned now_tick, barrier_tick;  // time counts synchronisations; the last one of the whole block

struct Cell {  // what access.cpp remembers of a byte, of what the lanes of one block did with it
    unsigned write_tick = 0, read_tick = 0, readers = 0;
    int16_t writer = -1;
    int8_t reader_warp = -1;
    bool atomic : 1, many_warps : 1;
    Cell() : atomic(false), many_warps(false) {}
};
struct SharedBlock {
    const void *key;  // NULL: the dynamic shared memory
    unsigned char *data;
    size_t bytes;
    std::vector<Cell> cells;  // empty unless accesses are checked
};
extern std::vector<SharedBlock> shared_blocks;
extern const Launch *running_launch;
extern int64_t running_block;  // its number in the grid

// ---- access.cpp

enum class Access : uint8_t {
    read,
    write,
    atomic
};
extern bool checking;           // set when an object file compiled for checking is part of the program
extern bool device_races;       // whether races in device memory are looked for
void forget_device_accesses();  // at the end of a launch
void access(const void *p, size_t bytes, Access how, const void *caller);  // caller: the address of the code

// ---- runtime.cpp, streams.cpp

char *reserve(size_t bytes, int protection);  // addresses, which take memory only when used
void report(const std::string &text);
bool reported();
bool in_device_memory(const void *p);            // allocated or not, of any device
int device_of(const void *p);                    // whose memory it is
bool is_allocated(const void *p, size_t bytes);  // inside one live allocation; so is its end, for 0 bytes
const char *allocation_of(const void *p);        // where the allocation begins that holds p
bool is_pinned(const void *p);                   // host memory that the device may touch
// What is known of a byte of device memory, when accesses are checked.
enum Byte : unsigned char {
    outside,
    unwritten,
    written
};
unsigned char *device_bytes(const void *p);  // the Byte of each byte from p

}  // namespace emu
