/*
 * Every load and store of device code, checked: memory of the wrong space, out of bounds, read before written, and
 * races in shared memory, if asked for also in device memory. A .cu file takes part when it is compiled with -fsanitize=thread (and linked without): the
 * compiler then calls the functions at the end of this file, in place of those of ThreadSanitizer's runtime.
 */
#include "emulation.h"

#include <dlfcn.h>
#include <link.h>
#include <stdio.h>

#include <unordered_map>

namespace emu {

bool checking, device_races;

namespace {

const char *verb(Access how) { return how == Access::read ? "reads" : how == Access::write ? "writes" : "updates"; }

const void *code;  // where the access now looked at is made

const char *code_place() {
    static char text[512];  // not a string: a lane that is abandoned destroys nothing
    Dl_info info;
    if (!dladdr(code, &info)) return "";
    snprintf(text, sizeof text, " (addr2line -e %s 0x%zx)", info.dli_fname,
             size_t(static_cast<const char *>(code) - static_cast<const char *>(info.dli_fbase)) - 1);
    return text;
}

#define wrong(text, ...) misuse(text "%s", __VA_ARGS__, code_place())

[[noreturn]] void race(const char *memory, size_t at, Access how, const char *what, int other) {
    wrong("race: %s byte %zu of %s memory, which thread %d of the block%s with no barrier or __syncwarp in between",
          verb(how), at, memory, other, what);
}

// What the lane does now with a byte, beside what the block's lanes did before.
void check_order(Cell &cell, const char *memory, size_t at, Access how) {
    const int me = self->id;
    const bool both_atomic = how == Access::atomic && cell.atomic;
    if (cell.writer >= 0 && !both_atomic && !ordered(cell.writer, cell.write_tick, me)) {
        race(memory, at, how, " has written", cell.writer);
    }
    if (cell.read_tick < barrier_tick) cell.readers = 0, cell.reader_warp = -1, cell.many_warps = false;
    if (how == Access::read) {
        if (cell.reader_warp >= 0 && cell.reader_warp != me / 32) cell.many_warps = true;
        if (cell.reader_warp != me / 32) cell.readers = 0;
        // Whoever comes after this reader comes after those that it comes after: they need no longer be remembered.
        for (int lane = 0; cell.read_tick != now_tick && lane < 32; lane++) {
            if (cell.readers >> lane & 1 && ordered(me / 32 * 32 + lane, cell.read_tick, me))
                cell.readers &= ~(1u << lane);
        }
        cell.reader_warp = int8_t(me / 32);
        cell.readers |= 1u << (me % 32);
        cell.read_tick = now_tick;
        return;
    }
    if (cell.many_warps) race(memory, at, how, ", and others of other warps, have read", cell.reader_warp * 32);
    for (int lane = 0; lane < 32 && cell.readers; lane++) {
        const int reader = cell.reader_warp * 32 + lane;
        if (cell.readers >> lane & 1 && !ordered(reader, cell.read_tick, me))
            race(memory, at, how, " has read", reader);
    }
    cell = Cell();
    cell.writer = int16_t(me);
    cell.write_tick = now_tick;
    cell.atomic = how == Access::atomic;
}

void check_shared(SharedBlock &block, size_t at, Access how) {
    const char *memory = block.key ? "static shared" : "dynamic shared";
    Cell &cell = block.cells[at];
    if (how != Access::write && cell.writer < 0)
        wrong("%s byte %zu of %s memory, which this block has not written", verb(how), at, memory);
    check_order(cell, memory, at, how);
}

// Four bytes of device memory: what the lanes of a block did with them, and which blocks of the launch.
struct DeviceCell {
    Cell cell;
    int64_t writer = -1, reader = -1;  // blocks
    bool atomic = false, many_readers = false;
};
std::unordered_map<const char *, DeviceCell> device_cells;

void check_device_race(const char *p, Access how) {
    DeviceCell &c = device_cells[p];
    const int64_t block = running_block;
    const size_t at = size_t(p - allocation_of(p));
    const bool both_atomic = how == Access::atomic && c.atomic;
    if (c.writer >= 0 && c.writer != block && !both_atomic)
        wrong("race: %s byte %zu of device memory, which block %lld of the launch has written", verb(how), at,
              (long long)c.writer);
    if (how != Access::read && (c.many_readers || (c.reader >= 0 && c.reader != block)))
        wrong("race: %s byte %zu of device memory, which block %lld of the launch has read", verb(how), at,
              (long long)c.reader);
    check_order(c.cell, "device", at, how);
    if (how == Access::read) {
        c.many_readers |= c.reader >= 0 && c.reader != block;
        c.reader = block;
    } else {
        c.writer = block;
        c.atomic = how == Access::atomic;
    }
}

void check_device(const void *p, size_t bytes, Access how) {
    unsigned char *state = device_bytes(p);
    if (device_of(p) != running_launch->device)
        wrong("%s %zu bytes at %p, memory of another device", verb(how), bytes, p);
    for (size_t i = 0; i < bytes; i++) {
        if (state[i] == outside) wrong("%s %zu bytes at %p, outside any device allocation", verb(how), bytes, p);
        if (how != Access::write && state[i] == unwritten)
            wrong("%s %zu bytes at %p, never written", verb(how), bytes, p);
        if (how != Access::read) state[i] = written;
    }
    if (!device_races) return;
    const char *first = static_cast<const char *>(p);
    for (const char *each = first - reinterpret_cast<uintptr_t>(p) % 4; each < first + bytes; each += 4)
        check_device_race(each, how);
}

// Constants and tables in the program's own image, which a CUDA build keeps on the device.
bool in_image(const void *p) {
    static std::vector<std::pair<uintptr_t, uintptr_t>> ranges;
    const uintptr_t address = reinterpret_cast<uintptr_t>(p);
    auto found = [&] {
        for (const auto &range : ranges) {
            if (address >= range.first && address < range.second) return true;
        }
        return false;
    };
    if (found()) return true;
    ranges.clear();
    dl_iterate_phdr(
        [](dl_phdr_info *object, size_t, void *) {
            for (int i = 0; i < object->dlpi_phnum; i++) {
                const auto &segment = object->dlpi_phdr[i];
                const uintptr_t begin = object->dlpi_addr + segment.p_vaddr;
                if (segment.p_type == PT_LOAD) ranges.emplace_back(begin, begin + segment.p_memsz);
            }
            return 0;
        },
        nullptr);
    return found();
}

}  // namespace

void forget_device_accesses() {
    if (!device_cells.empty()) device_cells.clear();
}
void check_device_races(bool on) { device_races = on; }

void access(const void *p, size_t bytes, Access how, const void *caller) {
    if (!self || !bytes || on_own_stack(p)) return;
    // A chance for other lanes between any two accesses; atomic operations call this before they begin.
    if (const uint64_t random = random_bits(); random && random >> 59 == 0) yield();
    code = caller;
    const char *first = static_cast<const char *>(p);
    for (SharedBlock &block : shared_blocks) {
        const size_t at = size_t(first - reinterpret_cast<const char *>(block.data));
        if (at >= block.bytes) continue;
        if (bytes > block.bytes - at) {
            wrong("%s %zu bytes at byte %zu of %zu of shared memory: out of bounds", verb(how), bytes, at, block.bytes);
        }
        const Cell before = block.cells[at];
        check_shared(block, at, how);
        const Cell after = block.cells[at];
        for (size_t i = at + 1; i < at + bytes; i++) {  // bytes of one history, as a rule: the same is true of them
            if (memcmp(&block.cells[i], &before, sizeof before) == 0)
                block.cells[i] = after;
            else
                check_shared(block, i, how);
        }
        return;
    }
    if (in_device_memory(p)) return check_device(p, bytes, how);
    const char *call = static_cast<const char *>(running_launch->call.get());
    if (how == Access::read && ((first >= call && first < call + running_launch->call_bytes) || in_image(p))) return;
    if (is_pinned(p)) return;
    if (on_stack(p)) wrong("%s a local variable of another thread", verb(how));
    wrong("%s %zu bytes at %p, which is host memory, out of bounds or no memory", verb(how), bytes, p);
}

}  // namespace emu

extern "C" {
void __tsan_init() { emu::checking = true; }
void __tsan_func_entry(void *) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void **, void *) {}
void __tsan_vptr_read(void **) {}
void __tsan_read_range(void *p, size_t n) { emu::access(p, n, emu::Access::read, __builtin_return_address(0)); }
void __tsan_write_range(void *p, size_t n) { emu::access(p, n, emu::Access::write, __builtin_return_address(0)); }
#define EMU_ACCESS(n)                                                                                             \
    void __tsan_read##n(void *p) { emu::access(p, n, emu::Access::read, __builtin_return_address(0)); }           \
    void __tsan_write##n(void *p) { emu::access(p, n, emu::Access::write, __builtin_return_address(0)); }         \
    void __tsan_unaligned_read##n(void *p) { emu::access(p, n, emu::Access::read, __builtin_return_address(0)); } \
    void __tsan_unaligned_write##n(void *p) { emu::access(p, n, emu::Access::write, __builtin_return_address(0)); }
EMU_ACCESS(1)
EMU_ACCESS(2)
EMU_ACCESS(4)
EMU_ACCESS(8)
EMU_ACCESS(16)
// Copies of structures, as far as the compiler announces them: newer clang by these, g++ field by field, clang 14 not.
void *__tsan_memset(void *p, int value, size_t n) {
    emu::access(p, n, emu::Access::write, __builtin_return_address(0));
    return memset(p, value, n);
}
void *__tsan_memcpy(void *to, const void *from, size_t n) {
    emu::access(from, n, emu::Access::read, __builtin_return_address(0));
    emu::access(to, n, emu::Access::write, __builtin_return_address(0));
    return memcpy(to, from, n);
}
void *__tsan_memmove(void *to, const void *from, size_t n) {
    emu::access(from, n, emu::Access::read, __builtin_return_address(0));
    emu::access(to, n, emu::Access::write, __builtin_return_address(0));
    return memmove(to, from, n);
}
// The compiler's atomic operations are host code's (std::shared_ptr, std::atomic), and not checked; kernels use CUDA's.
#define EMU_UPDATE(T, n, name) \
    T __tsan_atomic##n##_##name(volatile T *p, T v, int) { return __atomic_##name(p, v, __ATOMIC_SEQ_CST); }
#define EMU_EXCHANGE_IF(T, n, name)                                                                \
    int __tsan_atomic##n##_##name(volatile T *p, T *expected, T v, int, int) {                     \
        return __atomic_compare_exchange_n(p, expected, v, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST); \
    }
#define EMU_STD_ATOMIC(T, n)                                                                                       \
    T __tsan_atomic##n##_load(const volatile T *p, int) { return __atomic_load_n(p, __ATOMIC_SEQ_CST); }           \
    void __tsan_atomic##n##_store(volatile T *p, T v, int) { __atomic_store_n(p, v, __ATOMIC_SEQ_CST); }           \
    T __tsan_atomic##n##_exchange(volatile T *p, T v, int) { return __atomic_exchange_n(p, v, __ATOMIC_SEQ_CST); } \
    EMU_UPDATE(T, n, fetch_add)                                                                                    \
    EMU_UPDATE(T, n, fetch_sub)                                                                                    \
    EMU_UPDATE(T, n, fetch_and)                                                                                    \
    EMU_UPDATE(T, n, fetch_or)                                                                                     \
    EMU_EXCHANGE_IF(T, n, compare_exchange_strong)                                                                 \
    EMU_EXCHANGE_IF(T, n, compare_exchange_weak)
EMU_STD_ATOMIC(uint8_t, 8)
EMU_STD_ATOMIC(uint32_t, 32)
EMU_STD_ATOMIC(uint64_t, 64)
void __tsan_atomic_thread_fence(int) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
}
