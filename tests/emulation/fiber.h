/*
 * Switching stacks. Boost.Context's fcontext does it everywhere. On x86-64 fifteen instructions of our own do it in a
 * third of the time (6 ns against 18 for the whole switch of a lane): they end in `ret`, so that the processor goes on
 * predicting returns rightly, and leave the floating-point control words alone, which no kernel changes.
 * -DGURN_EMU_BOOST takes Boost there too.
 */
#pragma once

#include <cstddef>
#include <cstdint>

#if !defined(__x86_64__) || defined(GURN_EMU_BOOST)
#include <boost/context/detail/fcontext.hpp>
#endif

namespace emu {

// make_context: a context that starts to run entry(), which must not return, on the stack of so many bytes below top.
// switch_context: keeps the present context in *save and goes on with another, until something switches back.
#if defined(__x86_64__) && !defined(GURN_EMU_BOOST)

template <void (*entry)()>
void *make_context(char *top, size_t) {
    void **frame = reinterpret_cast<void **>(reinterpret_cast<uintptr_t>(top) & ~uintptr_t(15));
    *--frame = nullptr;  // entry's return address: where backtraces end
    *--frame = reinterpret_cast<void *>(entry);
    return frame - 6;  // the six registers that a switch pops first
}

__attribute__((naked, noinline, used)) static void switch_context(void ** /*save*/, void * /*to*/) {
    asm("push %rbp; push %rbx; push %r12; push %r13; push %r14; push %r15\n"
        "mov %rsp, (%rdi); mov %rsi, %rsp\n"
        "pop %r15; pop %r14; pop %r13; pop %r12; pop %rbx; pop %rbp\n"
        "ret");
}

#else

inline void arrive(boost::context::detail::transfer_t from) { *static_cast<void **>(from.data) = from.fctx; }

template <void (*entry)()>
void enter_context(boost::context::detail::transfer_t from) {
    arrive(from);
    entry();
}

template <void (*entry)()>
void *make_context(char *top, size_t bytes) {
    return boost::context::detail::make_fcontext(top, bytes, enter_context<entry>);
}

inline void switch_context(void **save, void *to) { arrive(boost::context::detail::jump_fcontext(to, save)); }

#endif

}  // namespace emu
