/* Philox4x32-10 for vectors: the words of noise of consecutive counts k of one row and class. */
#ifndef GURN_PHILOX_CPU_H
#define GURN_PHILOX_CPU_H

#include "philox.h"
#include "simd.h"

typedef struct gurn_philox_row {
    uint32_t key[2];
    uint32_t tag;
    uint64_t row; /* offset + global row */
} gurn_philox_row;

/* Words made by one vector of counters, and room that a buffer for n words needs: the last vectors may run over. */
#define GURN_PHILOX_STRIDE (4 * V_HALF)
#define GURN_PHILOX_ROOM(n) ((n) + 4 * GURN_PHILOX_STRIDE)

/*
 * Writes the words of counts 4*counter .. 4*counter + words - 1, and up to 2 * GURN_PHILOX_STRIDE more.
 *
 * A counter lives in a 64-bit lane, whose low half is its word; the high half is rubbish that the 32 x 32 -> 64
 * multiplication does not read. The first two rounds are cheap, since three of the four counter words are the same in
 * all lanes. Two vectors are in flight, for a round is a chain of a multiplication, a shift and two xors. Lanes hold
 * the counters in the order that makes the final interleaving one instruction.
 */
GURN_FN void gurn_philox_fill(uint32_t *out, uint32_t counter, int32_t words, gurn_philox_row at) {
    uint64_t p1 = (uint64_t)GURN_PHILOX_M1 * (uint32_t)at.row;
    uint32_t x0 = (uint32_t)(p1 >> 32) ^ at.tag ^ at.key[0];
    uint32_t k0 = at.key[0] + GURN_PHILOX_W0, k1 = at.key[1] + GURN_PHILOX_W1;
    uint64_t p0 = (uint64_t)GURN_PHILOX_M0 * x0;
    v_u64 m0 = v_splat_u64(GURN_PHILOX_M0), m1 = v_splat_u64(GURN_PHILOX_M1);
    v_u64 first_x2 = v_splat_u64((uint32_t)(at.row >> 32) ^ at.key[1]);
    v_u64 second_x0 = v_splat_u64((uint32_t)p1 ^ k0), second_x2 = v_splat_u64((uint32_t)(p0 >> 32) ^ k1);
    v_u64 second_x3 = v_splat_u64((uint32_t)p0);
    v_u64 lane;
    for (int l = 0; l < V_HALF; l++) lane[l] = (uint64_t)((l & 1) * (V_HALF / 2) + l / 2);

    for (int32_t at_word = 0; at_word < words; at_word += 2 * GURN_PHILOX_STRIDE, out += 2 * GURN_PHILOX_STRIDE) {
        v_u64 a0, a1, a2, a3, b0, b1, b2, b3;
        a0 = lane + (uint64_t)(counter + (uint32_t)(at_word / 4));
        b0 = a0 + (uint64_t)V_HALF;
        v_u64 pa = v_mul_low32(m0, a0), pb = v_mul_low32(m0, b0); /* round 1: only x0 differs between lanes */
        a2 = (pa >> 32) ^ first_x2;
        b2 = (pb >> 32) ^ first_x2;
        v_u64 qa = v_mul_low32(m1, a2), qb = v_mul_low32(m1, b2); /* round 2: x2 and x3 do */
        a0 = (qa >> 32) ^ second_x0;
        b0 = (qb >> 32) ^ second_x0;
        a1 = qa;
        b1 = qb;
        a2 = pa ^ second_x2;
        b2 = pb ^ second_x2;
        a3 = b3 = second_x3;
        uint32_t key0 = k0, key1 = k1;
        for (int round = 2; round < 10; round++) {
            key0 += GURN_PHILOX_W0;
            key1 += GURN_PHILOX_W1;
            v_u64 c0 = v_splat_u64(key0), c1 = v_splat_u64(key1);
            pa = v_mul_low32(m0, a0);
            pb = v_mul_low32(m0, b0);
            qa = v_mul_low32(m1, a2);
            qb = v_mul_low32(m1, b2);
            a0 = (qa >> 32) ^ (a1 ^ c0);
            b0 = (qb >> 32) ^ (b1 ^ c0);
            a2 = (pa >> 32) ^ (a3 ^ c1);
            b2 = (pb >> 32) ^ (b3 ^ c1);
            a1 = qa;
            b1 = qb;
            a3 = pa;
            b3 = pb;
        }
        v_u64 a01 = v_pack_halves(a0, a1), a23 = v_pack_halves(a2, a3);
        v_u64 b01 = v_pack_halves(b0, b1), b23 = v_pack_halves(b2, b3);
        v_u32_store(out, (v_u32)V_PAIRS_EVEN(a01, a23));
        v_u32_store(out + V_LANES, (v_u32)V_PAIRS_ODD(a01, a23));
        v_u32_store(out + 2 * V_LANES, (v_u32)V_PAIRS_EVEN(b01, b23));
        v_u32_store(out + 3 * V_LANES, (v_u32)V_PAIRS_ODD(b01, b23));
    }
}

#endif
