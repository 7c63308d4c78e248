/*
 * The operations that logmath.h and philox.h are written in, for one lane: plain C, and CUDA device code.
 *
 * simd.h has the same operations for a vector of lanes. Every operation here is exactly rounded or exact, so that what
 * is computed with them has the same bits on every machine. Nothing that decides a draw may use anything else.
 */
#ifndef GURN_LANES_H
#define GURN_LANES_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#ifdef __CUDACC__
#define GURN_FN static __host__ __device__ __forceinline__
#else
#define GURN_FN static inline __attribute__((always_inline, unused))
#endif

typedef float s_f32;
typedef int32_t s_i32;
typedef uint32_t s_u32;
typedef double s_f64;
typedef int64_t s_i64;
typedef uint64_t s_u64;

GURN_FN float s_splat32(float a) { return a; }
GURN_FN double s_splat64(double a) { return a; }
GURN_FN float s_fma32(float a, float b, float c) { return fmaf(a, b, c); }
GURN_FN double s_fma64(double a, double b, double c) { return fma(a, b, c); }

GURN_FN uint32_t s_bits32(float a) {
#ifdef __CUDA_ARCH__
    return __float_as_uint(a);
#else
    uint32_t b;
    memcpy(&b, &a, sizeof b);
    return b;
#endif
}
GURN_FN float s_from_bits32(uint32_t a) {
#ifdef __CUDA_ARCH__
    return __uint_as_float(a);
#else
    float b;
    memcpy(&b, &a, sizeof b);
    return b;
#endif
}
GURN_FN uint64_t s_bits64(double a) {
#ifdef __CUDA_ARCH__
    return (uint64_t)__double_as_longlong(a);
#else
    uint64_t b;
    memcpy(&b, &a, sizeof b);
    return b;
#endif
}
GURN_FN double s_from_bits64(uint64_t a) {
#ifdef __CUDA_ARCH__
    return __longlong_as_double((long long)a);
#else
    double b;
    memcpy(&b, &a, sizeof b);
    return b;
#endif
}

/* int32 to float, rounded to nearest even; int64 of magnitude below 2^51 to double, exact. */
GURN_FN float s_to_f32(int32_t a) { return (float)a; }
GURN_FN int32_t s_truncate32(float a) { return (int32_t)a; } /* towards 0; |a| < 2^31 */
/* a towards 0, held to low..high; low where a is NaN: so whatever a is, this is an index of the table that goes from low to high. */
GURN_FN int32_t s_index_between(double a, int32_t low, int32_t high) {
    return a > (double)low ? a < (double)high ? (int32_t)a : high : low;
}
GURN_FN double s_to_f64(int64_t a) { return (double)a; }

/* Arithmetic shifts of signed lanes, all ones or all zeros by the sign. */
GURN_FN int32_t s_sign32(int32_t a) { return a >> 31; }
GURN_FN int64_t s_sign64(int64_t a) { return a >> 63; }

/* 1 where a < 0, else 0 */
GURN_FN float s_one_if_negative32(float a) {
#ifdef __CUDA_ARCH__
    float one;
    asm("set.lt.f32.f32 %0, %1, 0f00000000;" : "=f"(one) : "f"(a)); /* one instruction, where ?: takes two */
    return one;
#else
    return a < 0.0f ? 1.0f : 0.0f;
#endif
}

/* a < b ? x : y, false when unordered */
GURN_FN double s_if_less64(double a, double b, double x, double y) { return a < b ? x : y; }

/* Whether a < b, a <= b in any lane */
GURN_FN int s_any_less64(double a, double b) { return a < b; }
GURN_FN int s_any_at_most64(double a, double b) { return a <= b; }

GURN_FN float s_min32(float a, float b) { return a < b ? a : b; }
/* sqrt(a) and 1/a with a relative error below 2^-11, a > 0: not the same bits everywhere, and for what decides nothing. */
GURN_FN float s_rough_sqrt32(float a) {
#ifdef __CUDA_ARCH__
    float root;
    asm("sqrt.approx.ftz.f32 %0, %1;" : "=f"(root) : "f"(a));
    return root;
#else
    return sqrtf(a);
#endif
}
GURN_FN float s_rough_reciprocal32(float a) {
#ifdef __CUDA_ARCH__
    float inverse;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(inverse) : "f"(a));
    return inverse;
#else
    return 1.0f / a;
#endif
}
GURN_FN double s_sqrt64(double a) { return sqrt(a); }
GURN_FN double s_div64(double a, double b) { return a / b; }

#endif
