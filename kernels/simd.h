/*
 * A vector of lanes for each instruction set, chosen by the compiler's flags, with the operations of lanes.h (prefix
 * v_) and a few more. The types are GCC/clang vector types, so + - * & | ^ << >> work as on single lanes; only what the
 * language cannot say is wrapped here. Operations used to decide a draw are exact or exactly rounded, so every level
 * has the same bits.
 *
 *   V_LANES     lanes of v_f32, v_i32, v_u32 (16 AVX-512, 8 AVX2, 4 else); v_f64, v_i64, v_u64 have half as many
 *
 * Approximate operations (v_reciprocal32, v_rough_*, v_fast_*) differ in their last bits between processors: for sums and windows
 * only.
 */
#ifndef GURN_SIMD_H
#define GURN_SIMD_H

#include "lanes.h"

#if defined(GURN_SIMULATE_AVX512) && defined(GURN_LEVEL_avx512)
#define V_LANES 16
#include "tests/simulate_avx512.h"
#elif defined(__AVX512F__)
#define V_LANES 16
#include <immintrin.h>
#elif defined(__AVX2__) && defined(__FMA__)
#define V_LANES 8
#include <immintrin.h>
#elif defined(__SSE2__)
#define V_LANES 4
#include <emmintrin.h>
#else
#define V_LANES 4
#endif
#define V_HALF (V_LANES / 2)

typedef float v_f32 __attribute__((vector_size(4 * V_LANES), may_alias));
typedef int32_t v_i32 __attribute__((vector_size(4 * V_LANES), may_alias));
typedef uint32_t v_u32 __attribute__((vector_size(4 * V_LANES), may_alias));
typedef double v_f64 __attribute__((vector_size(4 * V_LANES), may_alias));
typedef int64_t v_i64 __attribute__((vector_size(4 * V_LANES), may_alias));
typedef uint64_t v_u64 __attribute__((vector_size(4 * V_LANES), may_alias));

/* Unaligned loads and stores. */
#define V_DEFINE_MEMORY(type, element)           \
    GURN_FN type type##_load(const element *p) { \
        type a;                                  \
        __builtin_memcpy(&a, p, sizeof a);       \
        return a;                                \
    }                                            \
    GURN_FN void type##_store(element *p, type a) { __builtin_memcpy(p, &a, sizeof a); }
V_DEFINE_MEMORY(v_f32, float)
V_DEFINE_MEMORY(v_i32, int32_t)
V_DEFINE_MEMORY(v_u32, uint32_t)
V_DEFINE_MEMORY(v_f64, double)
V_DEFINE_MEMORY(v_i64, int64_t)
V_DEFINE_MEMORY(v_u64, uint64_t)
#undef V_DEFINE_MEMORY

GURN_FN v_f32 v_splat32(float a) { return a - (v_f32){0}; }
GURN_FN v_f64 v_splat64(double a) { return a - (v_f64){0}; }
GURN_FN v_i32 v_splat_i32(int32_t a) { return a - (v_i32){0}; }
GURN_FN v_u64 v_splat_u64(uint64_t a) { return a - (v_u64){0}; }
GURN_FN v_u32 v_bits32(v_f32 a) { return (v_u32)a; }
GURN_FN v_f32 v_from_bits32(v_u32 a) { return (v_f32)a; }
GURN_FN v_u64 v_bits64(v_f64 a) { return (v_u64)a; }
GURN_FN v_f64 v_from_bits64(v_u64 a) { return (v_f64)a; }
GURN_FN v_f32 v_to_f32(v_i32 a) { return __builtin_convertvector(a, v_f32); }
GURN_FN v_i32 v_truncate32(v_f32 a) { return __builtin_convertvector(a, v_i32); }
GURN_FN v_f64 v_to_f64(v_i64 a) { /* exact for |a| < 2^51 */
    return (v_f64)(a + (int64_t)0x4338000000000000) - v_splat64(0x1.8p52);
}
GURN_FN v_i32 v_sign32(v_i32 a) { return a >> 31; }
GURN_FN v_i64 v_sign64(v_i64 a) { return a < (v_i64){0}; }

GURN_FN v_f32 v_one_if_negative32(v_f32 a) { /* a is neither -0 nor NaN */
    return (v_f32)(((v_i32)a >> 31) & 0x3F800000);
}

/* mask lanes are all ones or all zeros */
GURN_FN v_f32 v_select32(v_i32 mask, v_f32 a, v_f32 b) { return (v_f32)(((v_i32)a & mask) | ((v_i32)b & ~mask)); }
GURN_FN v_i32 v_select_i32(v_i32 mask, v_i32 a, v_i32 b) { return (a & mask) | (b & ~mask); }
GURN_FN v_f64 v_select64(v_i64 mask, v_f64 a, v_f64 b) { return (v_f64)(((v_i64)a & mask) | ((v_i64)b & ~mask)); }
GURN_FN v_f64 v_if_less64(v_f64 a, v_f64 b, v_f64 x, v_f64 y) { return v_select64(a < b, x, y); }
GURN_FN v_f64 v_div64(v_f64 a, v_f64 b) { return a / b; }

/* The low halves of two 64-bit vectors, interleaved: low | high << 32. */
GURN_FN v_u64 v_pack_halves(v_u64 low, v_u64 high) {
#if V_LANES == 8
    return (v_u64)_mm256_blend_epi32((__m256i)low, _mm256_slli_epi64((__m256i)high, 32), 0xAA);
#elif V_LANES == 16
    return (v_u64)_mm512_mask_shuffle_epi32((__m512i)low, 0xAAAA, (__m512i)high, _MM_PERM_CCAA);
#else
    return (low & 0xFFFFFFFFu) | (high << 32);
#endif
}

/* Pairs of 64-bit lanes of a and b: lanes 0, 2, ... of both (even), lanes 1, 3, ... of both (odd), a before b. */
#if V_HALF == 8
#define V_PAIRS_EVEN(a, b) __builtin_shufflevector(a, b, 0, 8, 2, 10, 4, 12, 6, 14)
#define V_PAIRS_ODD(a, b) __builtin_shufflevector(a, b, 1, 9, 3, 11, 5, 13, 7, 15)
#elif V_HALF == 4
#define V_PAIRS_EVEN(a, b) __builtin_shufflevector(a, b, 0, 4, 2, 6)
#define V_PAIRS_ODD(a, b) __builtin_shufflevector(a, b, 1, 5, 3, 7)
#else
#define V_PAIRS_EVEN(a, b) __builtin_shufflevector(a, b, 0, 2)
#define V_PAIRS_ODD(a, b) __builtin_shufflevector(a, b, 1, 3)
#endif

#if V_LANES == 16
GURN_FN v_i32 v_min_i32(v_i32 a, v_i32 b) { return (v_i32)_mm512_min_epi32((__m512i)a, (__m512i)b); }
GURN_FN v_f32 v_fma32(v_f32 a, v_f32 b, v_f32 c) { return (v_f32)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c); }
GURN_FN v_f64 v_fma64(v_f64 a, v_f64 b, v_f64 c) { return (v_f64)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c); }
GURN_FN v_f64 v_sqrt64(v_f64 a) { return (v_f64)_mm512_sqrt_pd((__m512d)a); }
GURN_FN v_f32 v_rough_sqrt32(v_f32 a) { return a * (v_f32)_mm512_rsqrt14_ps((__m512)a); }
GURN_FN v_f32 v_min32(v_f32 a, v_f32 b) { return (v_f32)_mm512_min_ps((__m512)a, (__m512)b); }
GURN_FN v_f32 v_max32(v_f32 a, v_f32 b) { return (v_f32)_mm512_max_ps((__m512)a, (__m512)b); }
GURN_FN v_u64 v_mul_low32(v_u64 a, v_u64 b) { return (v_u64)_mm512_mul_epu32((__m512i)a, (__m512i)b); }
GURN_FN v_f32 v_rough_reciprocal32(v_f32 a) { return (v_f32)_mm512_rcp14_ps((__m512)a); }
GURN_FN int v_any32(v_i32 mask) { return _mm512_movepi32_mask((__m512i)mask) != 0; }
#elif V_LANES == 8
GURN_FN v_i32 v_min_i32(v_i32 a, v_i32 b) { return (v_i32)_mm256_min_epi32((__m256i)a, (__m256i)b); }
GURN_FN v_f32 v_fma32(v_f32 a, v_f32 b, v_f32 c) { return (v_f32)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c); }
GURN_FN v_f64 v_fma64(v_f64 a, v_f64 b, v_f64 c) { return (v_f64)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c); }
GURN_FN v_f64 v_sqrt64(v_f64 a) { return (v_f64)_mm256_sqrt_pd((__m256d)a); }
GURN_FN v_f32 v_rough_sqrt32(v_f32 a) { return a * (v_f32)_mm256_rsqrt_ps((__m256)a); }
GURN_FN v_f32 v_min32(v_f32 a, v_f32 b) { return (v_f32)_mm256_min_ps((__m256)a, (__m256)b); }
GURN_FN v_f32 v_max32(v_f32 a, v_f32 b) { return (v_f32)_mm256_max_ps((__m256)a, (__m256)b); }
GURN_FN v_u64 v_mul_low32(v_u64 a, v_u64 b) { return (v_u64)_mm256_mul_epu32((__m256i)a, (__m256i)b); }
GURN_FN v_f32 v_rough_reciprocal32(v_f32 a) { return (v_f32)_mm256_rcp_ps((__m256)a); }
GURN_FN int v_any32(v_i32 mask) { return _mm256_movemask_ps((__m256)mask) != 0; }
#else
#if defined(__ARM_FEATURE_FMA)
GURN_FN v_f32 v_fma32(v_f32 a, v_f32 b, v_f32 c) {
    for (int l = 0; l < V_LANES; l++) c[l] = __builtin_fmaf(a[l], b[l], c[l]);
    return c;
}
#else
/*
 * fma of floats without the instruction, exactly: the product of two floats is exact in double; the sum is rounded to odd
 * (an inexact sum gets an odd last bit), after which rounding to float is right (Boldo and Melquiond 2008).
 */
GURN_FN v_f32 v_fma32(v_f32 a, v_f32 b, v_f32 c) {
    typedef double wide __attribute__((vector_size(8 * V_LANES)));
    typedef uint64_t bits __attribute__((vector_size(8 * V_LANES)));
    wide p = __builtin_convertvector(a, wide) * __builtin_convertvector(b, wide),
         addend = __builtin_convertvector(c, wide);
    wide s = p + addend, d = s - p, zero = {0};
    wide rest = (p - (s - d)) + (addend - d); /* the exact sum less s; NaN when s is not finite, which is left alone */
    bits inexact = (bits)((rest < zero) | (rest > zero)), even = ((bits)s & 1) - 1;
    bits toward = ((bits)rest ^ (bits)s) >> 63; /* 1: the exact sum is smaller in magnitude than s */
    s = (wide)((bits)s + ((1 - 2 * toward) & inexact & even));
    return __builtin_convertvector(s, v_f32);
}
#endif
GURN_FN v_f64 v_fma64(v_f64 a, v_f64 b, v_f64 c) {
    for (int l = 0; l < V_HALF; l++) c[l] = __builtin_fma(a[l], b[l], c[l]);
    return c;
}
GURN_FN v_f64 v_sqrt64(v_f64 a) {
    for (int l = 0; l < V_HALF; l++) a[l] = __builtin_sqrt(a[l]);
    return a;
}
GURN_FN v_f32 v_rough_sqrt32(v_f32 a) {
    for (int l = 0; l < V_LANES; l++) a[l] = __builtin_sqrtf(a[l]);
    return a;
}
GURN_FN v_i32 v_min_i32(v_i32 a, v_i32 b) { return v_select_i32(a < b, a, b); }
GURN_FN v_f32 v_min32(v_f32 a, v_f32 b) { return v_select32(a < b, a, b); }
GURN_FN v_f32 v_max32(v_f32 a, v_f32 b) { return v_select32(a > b, a, b); }
#ifdef __SSE2__
GURN_FN v_u64 v_mul_low32(v_u64 a, v_u64 b) { return (v_u64)_mm_mul_epu32((__m128i)a, (__m128i)b); }
#else
GURN_FN v_u64 v_mul_low32(v_u64 a, v_u64 b) { return (a & 0xFFFFFFFFu) * (b & 0xFFFFFFFFu); }
#endif
GURN_FN v_f32 v_rough_reciprocal32(v_f32 a) { return 1.0f / a; }
GURN_FN int v_any32(v_i32 mask) { return (mask[0] | mask[1] | mask[2] | mask[3]) != 0; }
#endif

GURN_FN int v_any_less64(v_f64 a, v_f64 b) { return v_any32((v_i32)(a < b)); }
GURN_FN int v_any_at_most64(v_f64 a, v_f64 b) { return v_any32((v_i32)(a <= b)); }

/* 1/a to about 2^-22: the estimate and one Newton step. For 2^-120 < a < 2^120. */
GURN_FN v_f32 v_reciprocal32(v_f32 a) {
    v_f32 r = v_rough_reciprocal32(a);
    return r * v_fma32(-a, r, v_splat32(2.0f));
}

/* Lanes exchanged with those w places away, w a power of two: lane l gets lane l ^ w. */
#if V_LANES == 16
#define V_EXCHANGE(a, w)                                                                                        \
    __builtin_shufflevector(a, a, 0 ^ w, 1 ^ w, 2 ^ w, 3 ^ w, 4 ^ w, 5 ^ w, 6 ^ w, 7 ^ w, 8 ^ w, 9 ^ w, 10 ^ w, \
                            11 ^ w, 12 ^ w, 13 ^ w, 14 ^ w, 15 ^ w)
#elif V_LANES == 8
#define V_EXCHANGE(a, w) __builtin_shufflevector(a, a, 0 ^ w, 1 ^ w, 2 ^ w, 3 ^ w, 4 ^ w, 5 ^ w, 6 ^ w, 7 ^ w)
#else
#define V_EXCHANGE(a, w) __builtin_shufflevector(a, a, 0 ^ w, 1 ^ w, 2 ^ w, 3 ^ w)
#endif
#if V_LANES == 16
#define V_REVERSED(a) __builtin_shufflevector(a, a, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0)
#elif V_LANES == 8
#define V_REVERSED(a) __builtin_shufflevector(a, a, 7, 6, 5, 4, 3, 2, 1, 0)
#else
#define V_REVERSED(a) __builtin_shufflevector(a, a, 3, 2, 1, 0)
#endif
/* STEP(8) STEP(4) STEP(2) STEP(1), from half the lanes down: a reduction by halves, whose result every lane then holds. */
#if V_LANES == 16
#define V_BY_HALVES(STEP) STEP(8) STEP(4) STEP(2) STEP(1)
#elif V_LANES == 8
#define V_BY_HALVES(STEP) STEP(4) STEP(2) STEP(1)
#else
#define V_BY_HALVES(STEP) STEP(2) STEP(1)
#endif

/* Sum over the lanes, by halves: a fixed order for each level. */
GURN_FN float v_sum32(v_f32 a) {
#define STEP(w) a += V_EXCHANGE(a, w);
    V_BY_HALVES(STEP)
#undef STEP
    return a[0];
}

/* Lanes 0, 1, 2, ... */
GURN_FN v_i32 v_lane_index(void) {
    v_i32 lane;
    for (int l = 0; l < V_LANES; l++) lane[l] = l;
    return lane;
}

/* Minimum over the lanes, in every lane. No value is NaN. */
GURN_FN v_f32 v_least32(v_f32 a) {
#define STEP(w) a = v_min32(V_EXCHANGE(a, w), a);
    V_BY_HALVES(STEP)
#undef STEP
    return a;
}

/* The count of the least value; of equal ones the smallest count. No value is NaN. */
GURN_FN int32_t v_count_of_least(v_f32 value, v_i32 count) {
    count = v_select_i32(value == v_least32(value), count, v_splat_i32(INT32_MAX));
#define STEP(w) count = v_min_i32(V_EXCHANGE(count, w), count);
    V_BY_HALVES(STEP)
#undef STEP
    return count[0];
}

#define GURN_L(name) v_##name
#include "logmath_lanes.h"
#undef GURN_L

#endif
