/*
 * AVX-512 on a machine that has none: by AVX2 halves, the few intrinsics that kernels/simd.h uses. With -DGURN_SIMULATE_AVX512 the
 * avx512 level of the CPU path runs wherever AVX2 does, slowly, so that its 16 lanes are tested like every other level's (CMake
 * option GURN_SIMULATE_AVX512).
 */
#ifndef GURN_TESTS_SIMULATE_AVX512_H
#define GURN_TESTS_SIMULATE_AVX512_H

#include <immintrin.h> /* the types are there without the instructions */
#include <stdint.h>

typedef float sim_f32 __attribute__((vector_size(64), may_alias));
typedef double sim_f64 __attribute__((vector_size(64), may_alias));
typedef int32_t sim_i32 __attribute__((vector_size(64), may_alias));
typedef uint64_t sim_u64 __attribute__((vector_size(64), may_alias));

#define SIM_FN static inline __attribute__((always_inline, unused))

/* A function of vectors by that of their halves: half is __m256, __m256d or __m256i. */
#define SIM_HALVES(name, type, half, expression)        \
    SIM_FN type name(type x, type y, type z) {          \
        union {                                         \
            type v;                                     \
            half h[2];                                  \
        } ux = {x}, uy = {y}, uz = {z}, r;              \
        for (int i = 0; i < 2; i++) {                   \
            half a = ux.h[i], b = uy.h[i], c = uz.h[i]; \
            (void)b;                                    \
            (void)c;                                    \
            r.h[i] = expression;                        \
        }                                               \
        return r.v;                                     \
    }

SIM_HALVES(sim_fmadd_ps, sim_f32, __m256, _mm256_fmadd_ps(a, b, c))
SIM_HALVES(sim_fmadd_pd, sim_f64, __m256d, _mm256_fmadd_pd(a, b, c))
SIM_HALVES(sim_rsqrt_ps, sim_f32, __m256, _mm256_rsqrt_ps(a))
SIM_HALVES(sim_sqrt_pd, sim_f64, __m256d, _mm256_sqrt_pd(a))
SIM_HALVES(sim_min_ps, sim_f32, __m256, _mm256_min_ps(a, b))
SIM_HALVES(sim_max_ps, sim_f32, __m256, _mm256_max_ps(a, b))
SIM_HALVES(sim_min_epi32, sim_i32, __m256i, _mm256_min_epi32(a, b))
SIM_HALVES(sim_mul_epu32, sim_u64, __m256i, _mm256_mul_epu32(a, b))
SIM_HALVES(sim_rcp14_ps, sim_f32, __m256, _mm256_rcp_ps(a)) /* an estimate, as the instruction's is */

/* Lane l of high shuffled by CCAA (lanes 0 0 2 2 of every four) where bit l of the mask is set, else low's. */
SIM_FN sim_i32 sim_mask_shuffle_epi32(sim_i32 low, uint32_t mask, sim_i32 high) {
    for (int l = 0; l < 16; l++) low[l] = mask >> l & 1 ? high[l & ~1] : low[l];
    return low;
}
SIM_FN uint32_t sim_movepi32_mask(sim_i32 a) {
    uint32_t mask = 0;
    for (int l = 0; l < 16; l++) mask |= (uint32_t)(a[l] < 0) << l;
    return mask;
}

#define _mm512_fmadd_ps(a, b, c) sim_fmadd_ps((sim_f32)(a), (sim_f32)(b), (sim_f32)(c))
#define _mm512_fmadd_pd(a, b, c) sim_fmadd_pd((sim_f64)(a), (sim_f64)(b), (sim_f64)(c))
#define _mm512_rsqrt14_ps(a) sim_rsqrt_ps((sim_f32)(a), (sim_f32)(a), (sim_f32)(a))
#define _mm512_sqrt_pd(a) sim_sqrt_pd((sim_f64)(a), (sim_f64)(a), (sim_f64)(a))
#define _mm512_min_ps(a, b) sim_min_ps((sim_f32)(a), (sim_f32)(b), (sim_f32)(b))
#define _mm512_max_ps(a, b) sim_max_ps((sim_f32)(a), (sim_f32)(b), (sim_f32)(b))
#define _mm512_min_epi32(a, b) sim_min_epi32((sim_i32)(a), (sim_i32)(b), (sim_i32)(b))
#define _mm512_mul_epu32(a, b) sim_mul_epu32((sim_u64)(a), (sim_u64)(b), (sim_u64)(b))
#define _mm512_rcp14_ps(a) sim_rcp14_ps((sim_f32)(a), (sim_f32)(a), (sim_f32)(a))
#define _mm512_mask_shuffle_epi32(low, mask, high, perm) sim_mask_shuffle_epi32((sim_i32)(low), mask, (sim_i32)(high))
#define _mm512_movepi32_mask(a) sim_movepi32_mask((sim_i32)(a))

#endif
