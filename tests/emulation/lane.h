/*
 * What a lane can call, besides the C library: built-in variables, warp and block collectives, atomics, intrinsics.
 * Included by cuda_runtime.h. Collectives take one argument more than CUDA's, their place in the source, which is
 * filled in by itself.
 */
#pragma once

#include "cuda_runtime.h"

#define threadIdx (::emu::lane().thread)
extern uint3 blockIdx;
extern dim3 blockDim, gridDim;
constexpr int warpSize = 32;

#define EMU_SHUFFLE(T, name, Argument)                                                                             \
    inline T name(unsigned mask, T value, Argument argument, int width = 32, emu::Site at = emu::Site()) {         \
        return emu::unpack<T>(emu::collective(emu::Kind::name, mask, emu::pack(value), int(argument), width, at)); \
    }
#define EMU_EXCHANGE(T)                                                                                   \
    EMU_SHUFFLE(T, __shfl_sync, int)                                                                      \
    EMU_SHUFFLE(T, __shfl_up_sync, unsigned)                                                              \
    EMU_SHUFFLE(T, __shfl_down_sync, unsigned)                                                            \
    EMU_SHUFFLE(T, __shfl_xor_sync, int)                                                                  \
    inline unsigned __match_any_sync(unsigned mask, T value, emu::Site at = emu::Site()) {                \
        return unsigned(emu::collective(emu::Kind::__match_any_sync, mask, emu::pack(value), 0, 32, at)); \
    }
EMU_EXCHANGE(int)
EMU_EXCHANGE(unsigned)
EMU_EXCHANGE(long)
EMU_EXCHANGE(unsigned long)
EMU_EXCHANGE(long long)
EMU_EXCHANGE(unsigned long long)
EMU_EXCHANGE(float)
EMU_EXCHANGE(double)

#define EMU_VOTE(R, name)                                                                      \
    inline R name(unsigned mask, int predicate, emu::Site at = emu::Site()) {                  \
        return R(emu::collective(emu::Kind::name, mask, uint64_t(predicate != 0), 0, 32, at)); \
    }
EMU_VOTE(unsigned, __ballot_sync)
EMU_VOTE(int, __any_sync)
EMU_VOTE(int, __all_sync)

#define EMU_REDUCE(T, name)                                                                                           \
    inline T name(unsigned mask, T value, emu::Site at = emu::Site()) {                                               \
        return emu::unpack<T>(emu::collective(emu::Kind::name, mask, emu::pack(value), std::is_signed_v<T>, 32, at)); \
    }
EMU_REDUCE(unsigned, __reduce_add_sync)
EMU_REDUCE(unsigned, __reduce_min_sync)
EMU_REDUCE(unsigned, __reduce_max_sync)
EMU_REDUCE(unsigned, __reduce_and_sync)
EMU_REDUCE(unsigned, __reduce_or_sync)
EMU_REDUCE(unsigned, __reduce_xor_sync)
EMU_REDUCE(int, __reduce_add_sync)
EMU_REDUCE(int, __reduce_min_sync)
EMU_REDUCE(int, __reduce_max_sync)

inline void __syncwarp(unsigned mask = 0xFFFFFFFFu, emu::Site at = emu::Site()) {
    emu::collective(emu::Kind::__syncwarp, mask, 0, 0, 32, at);
}
inline void __syncthreads(emu::Site at = emu::Site()) { emu::barrier(emu::Kind::__syncthreads, 0, at); }
inline int __syncthreads_or(int p, emu::Site at = emu::Site()) {
    return emu::barrier(emu::Kind::__syncthreads_or, p, at);
}
inline int __syncthreads_and(int p, emu::Site at = emu::Site()) {
    return emu::barrier(emu::Kind::__syncthreads_and, p, at);
}
inline int __syncthreads_count(int p, emu::Site at = emu::Site()) {
    return emu::barrier(emu::Kind::__syncthreads_count, p, at);
}
inline unsigned __activemask() { return 1u << (emu::lane().id % 32); }  // all that CUDA promises: the caller is active
inline void __nanosleep(unsigned) { emu::yield(); }
inline void __threadfence_block() {}
inline void __threadfence() {}
inline void __threadfence_system() {}

// Out of line, so that no instrumentation gets between the parts of an atomic operation.
#define EMU_ATOMICS(T)       \
    T atomicAdd(T *p, T v);  \
    T atomicMin(T *p, T v);  \
    T atomicMax(T *p, T v);  \
    T atomicExch(T *p, T v); \
    T atomicCAS(T *p, T expected, T desired);
EMU_ATOMICS(int)
EMU_ATOMICS(unsigned)
EMU_ATOMICS(unsigned long long)

inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __ffsll(long long x) { return __builtin_ffsll(x); }
inline int __clz(int x) { return x ? __builtin_clz(unsigned(x)) : 32; }
inline int __clzll(long long x) { return x ? __builtin_clzll((unsigned long long)(x)) : 64; }
inline unsigned __brev(unsigned x) {
    x = (x >> 1 & 0x55555555u) | (x & 0x55555555u) << 1;
    x = (x >> 2 & 0x33333333u) | (x & 0x33333333u) << 2;
    x = (x >> 4 & 0x0F0F0F0Fu) | (x & 0x0F0F0F0Fu) << 4;
    return __builtin_bswap32(x);
}
inline unsigned __umulhi(unsigned a, unsigned b) { return unsigned((uint64_t(a) * b) >> 32); }
inline int __mulhi(int a, int b) { return int((int64_t(a) * b) >> 32); }
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
    return (unsigned long long)((__extension__(unsigned __int128)(a) * b) >> 64);
}
inline unsigned __funnelshift_l(unsigned low, unsigned high, unsigned shift) {
    return unsigned(((uint64_t(high) << 32 | low) << (shift & 31)) >> 32);
}
inline unsigned __funnelshift_r(unsigned low, unsigned high, unsigned shift) {
    return unsigned((uint64_t(high) << 32 | low) >> (shift & 31));
}

inline float __uint_as_float(unsigned x) { return emu::unpack<float>(x); }
inline float __int_as_float(int x) { return emu::unpack<float>(unsigned(x)); }
inline unsigned __float_as_uint(float x) { return unsigned(emu::pack(x)); }
inline int __float_as_int(float x) { return int(emu::pack(x)); }
inline double __longlong_as_double(long long x) { return emu::unpack<double>(uint64_t(x)); }
inline long long __double_as_longlong(double x) { return (long long)(emu::pack(x)); }
inline double __hiloint2double(int high, int low) {
    return emu::unpack<double>(uint64_t(unsigned(high)) << 32 | unsigned(low));
}
inline int __double2hiint(double x) { return int(emu::pack(x) >> 32); }
inline int __double2loint(double x) { return int(emu::pack(x)); }

#define EMU_ROUNDED(T, f, d)                              \
    inline T __##f##add_rn(T a, T b) { return a + b; }    \
    inline T __##f##sub_rn(T a, T b) { return a - b; }    \
    inline T __##f##mul_rn(T a, T b) { return a * b; }    \
    inline T __##f##div_rn(T a, T b) { return a / b; }    \
    inline T __##f##sqrt_rn(T a) { return std::sqrt(a); } \
    inline T __##f##rcp_rn(T a) { return 1 / a; }         \
    inline T __fma##d##_rn(T a, T b, T c) { return std::fma(a, b, c); }
EMU_ROUNDED(float, f, f)
EMU_ROUNDED(double, d, )

#define EMU_CONVERT(From, from, To, to)                                                 \
    inline To __##from##2##to##_rn(From x) { return emu::saturate<To>(std::rint(x)); }  \
    inline To __##from##2##to##_rz(From x) { return emu::saturate<To>(std::trunc(x)); } \
    inline To __##from##2##to##_rd(From x) { return emu::saturate<To>(std::floor(x)); } \
    inline To __##from##2##to##_ru(From x) { return emu::saturate<To>(std::ceil(x)); }
EMU_CONVERT(float, float, int, int)
EMU_CONVERT(float, float, unsigned, uint)
EMU_CONVERT(float, float, long long, ll)
EMU_CONVERT(double, double, int, int)
EMU_CONVERT(double, double, unsigned, uint)
EMU_CONVERT(double, double, long long, ll)
inline float __int2float_rn(int x) { return float(x); }
inline float __uint2float_rn(unsigned x) { return float(x); }
inline float __double2float_rn(double x) { return float(x); }
inline double __int2double_rn(int x) { return x; }
inline double __uint2double_rn(unsigned x) { return x; }
inline double __ll2double_rn(long long x) { return double(x); }

// The fast functions are libm's here: close to the device's, not the same bits. glibc has their names: hence macros.
#define __expf expf
#define __exp10f exp10f
#define __logf logf
#define __log2f log2f
#define __powf powf
inline float __fdividef(float a, float b) { return a / b; }
inline float __saturatef(float x) { return x > 0 ? (x < 1 ? x : 1.0f) : 0.0f; }
inline float rsqrtf(float x) { return 1 / sqrtf(x); }
inline double rsqrt(double x) { return 1 / sqrt(x); }

#define EMU_MINMAX(T)                                \
    inline T min(T a, T b) { return b < a ? b : a; } \
    inline T max(T a, T b) { return a < b ? b : a; }
EMU_MINMAX(int)
EMU_MINMAX(unsigned)
EMU_MINMAX(long)
EMU_MINMAX(unsigned long)
EMU_MINMAX(long long)
EMU_MINMAX(unsigned long long)
inline float min(float a, float b) { return fminf(a, b); }
inline float max(float a, float b) { return fmaxf(a, b); }
inline double min(double a, double b) { return fmin(a, b); }
inline double max(double a, double b) { return fmax(a, b); }

#define EMU_LOAD(name)          \
    template <class T>          \
    inline T name(const T *p) { \
        return *p;              \
    }
#define EMU_STORE(name)           \
    template <class T>            \
    inline void name(T *p, T v) { \
        *p = v;                   \
    }
EMU_LOAD(__ldg)
EMU_LOAD(__ldca)
EMU_LOAD(__ldcg)
EMU_LOAD(__ldcs)
EMU_STORE(__stcg)
EMU_STORE(__stcs)
EMU_STORE(__stwt)
