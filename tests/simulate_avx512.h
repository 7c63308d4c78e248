/*
 * AVX-512 on a machine that has none: SIMDe's portable definitions of the intrinsics that kernels/simd.h uses, and here those
 * that it lacks. With -DGURN_SIMULATE_AVX512 the avx512 level of the CPU path runs anywhere, slowly, so that its 16 lanes are
 * tested like every other level's (CMake option GURN_SIMULATE_AVX512).
 */
#ifndef GURN_TESTS_SIMULATE_AVX512_H
#define GURN_TESTS_SIMULATE_AVX512_H

#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx512.h>
#include <simde/x86/fma.h>

#define _MM_PERM_CCAA 0xA0 /* lanes 0 0 2 2 of every four */

/* Lane l: high's lane shuffled by CCAA where bit l of the mask is set, else low's. */
static inline __m512i gurn_mask_shuffle_epi32(__m512i low, uint32_t mask, __m512i high) {
    union {
        __m512i v;
        int32_t lane[16];
    } a = {low}, b = {high};
    for (int l = 0; l < 16; l++)
        if (mask >> l & 1) a.lane[l] = b.lane[l & ~1];
    return a.v;
}
#define _mm512_mask_shuffle_epi32(low, mask, high, perm) gurn_mask_shuffle_epi32(low, mask, high)

static inline __m512 gurn_rcp14_ps(__m512 a) {
    union {
        __m512 v;
        float lane[16];
    } r = {a};
    for (int l = 0; l < 16; l++)
        r.lane[l] = 1.0f / r.lane[l] * (1.0f + 0x1p-15f); /* an estimate, as the instruction's */
    return r.v;
}
#undef _mm512_rcp14_ps
#define _mm512_rcp14_ps(a) gurn_rcp14_ps(a)

#endif
