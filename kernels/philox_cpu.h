/* Philox4x32-10 for vectors: the words of noise of consecutive counts k of one row and class. */
#ifndef GURN_PHILOX_CPU_H
#define GURN_PHILOX_CPU_H

#include "philox.h"
#include "simd.h"

/* Words made by one vector of counters, and room that a buffer for n words needs: the last vector may run over. */
#define GURN_PHILOX_STRIDE (4 * V_HALF)
#define GURN_PHILOX_ROOM(n) ((n) + GURN_PHILOX_STRIDE)

/* A seed, with the keys of all rounds: made once, used by every row. */
typedef struct gurn_philox_key {
    uint32_t key[2];
    v_u64 round0[10], round1[10];
} gurn_philox_key;

GURN_FN gurn_philox_key gurn_philox_schedule(uint64_t seed) {
    gurn_philox_key k = {{(uint32_t)seed, (uint32_t)(seed >> 32)}, {{0}}, {{0}}};
    for (uint32_t round = 0; round < 10; round++) {
        k.round0[round] = v_splat_u64(k.key[0] + round * GURN_PHILOX_W0);
        k.round1[round] = v_splat_u64(k.key[1] + round * GURN_PHILOX_W1);
    }
    return k;
}

/* What is the same in all lanes after the first two rounds, in which the counter words differ in one place only. */
typedef struct gurn_philox_stream {
    v_u64 first_x2, second_x0, second_x2, second_x3;
} gurn_philox_stream;

/*
 * The state of one vector of counters. A counter lives in a 64-bit lane, whose low half is its word; the high half is
 * rubbish that the 32 x 32 -> 64 multiplication does not read.
 */
typedef struct gurn_philox_state {
    v_u64 x0, x1, x2, x3;
} gurn_philox_state;

GURN_FN gurn_philox_state gurn_philox_two_rounds(v_u64 counter, const gurn_philox_stream *c) {
    v_u64 p = v_mul_low32(v_splat_u64(GURN_PHILOX_M0), counter);
    v_u64 q = v_mul_low32(v_splat_u64(GURN_PHILOX_M1), (p >> 32) ^ c->first_x2);
    gurn_philox_state s = {(q >> 32) ^ c->second_x0, q, p ^ c->second_x2, c->second_x3};
    return s;
}

GURN_FN gurn_philox_state gurn_philox_round(gurn_philox_state s, v_u64 key0, v_u64 key1) {
    v_u64 p = v_mul_low32(v_splat_u64(GURN_PHILOX_M0), s.x0);
    v_u64 q = v_mul_low32(v_splat_u64(GURN_PHILOX_M1), s.x2);
    gurn_philox_state next = {(q >> 32) ^ (s.x1 ^ key0), q, (p >> 32) ^ (s.x3 ^ key1), p};
    return next;
}

GURN_FN void gurn_philox_store(uint32_t *out, gurn_philox_state s) {
    v_u64 x01 = v_pack_halves(s.x0, s.x1), x23 = v_pack_halves(s.x2, s.x3);
    v_u32_store(out, (v_u32)V_PAIRS_EVEN(x01, x23));
    v_u32_store(out + V_LANES, (v_u32)V_PAIRS_ODD(x01, x23));
}

/*
 * Writes the words of counts 4*counter .. 4*counter + words - 1 of a row (offset + global row) and stream tag, and up to a
 * vector of counters more (GURN_PHILOX_ROOM). Two vectors are in flight, for a round is a chain of a multiplication, a shift
 * and two xors. Lanes hold the counters in the order that makes the final interleaving one instruction.
 */
GURN_FN void gurn_philox_fill(uint32_t *out, uint32_t counter, int32_t words, const gurn_philox_key *k, uint32_t tag,
                              uint64_t row) {
    gurn_philox_stream c;
    uint64_t p1 = (uint64_t)GURN_PHILOX_M1 * (uint32_t)row;
    uint64_t p0 = (uint64_t)GURN_PHILOX_M0 * ((uint32_t)(p1 >> 32) ^ tag ^ k->key[0]);
    c.first_x2 = v_splat_u64((uint32_t)(row >> 32)) ^ k->round1[0];
    c.second_x0 = v_splat_u64((uint32_t)p1) ^ k->round0[1];
    c.second_x2 = v_splat_u64((uint32_t)(p0 >> 32)) ^ k->round1[1];
    c.second_x3 = v_splat_u64((uint32_t)p0);
    v_u64 lane;
    for (int l = 0; l < V_HALF; l++) lane[l] = (uint64_t)((l & 1) * (V_HALF / 2) + l / 2);
    lane += (uint64_t)counter;
    for (; words > GURN_PHILOX_STRIDE; words -= 2 * GURN_PHILOX_STRIDE, out += 2 * GURN_PHILOX_STRIDE) {
        gurn_philox_state a = gurn_philox_two_rounds(lane, &c);
        gurn_philox_state b = gurn_philox_two_rounds(lane + (uint64_t)V_HALF, &c);
        for (int round = 2; round < 10; round++) {
            a = gurn_philox_round(a, k->round0[round], k->round1[round]);
            b = gurn_philox_round(b, k->round0[round], k->round1[round]);
        }
        gurn_philox_store(out, a);
        gurn_philox_store(out + GURN_PHILOX_STRIDE, b);
        lane += (uint64_t)(2 * V_HALF);
    }
    if (words > 0) {
        gurn_philox_state a = gurn_philox_two_rounds(lane, &c);
        for (int round = 2; round < 10; round++) a = gurn_philox_round(a, k->round0[round], k->round1[round]);
        gurn_philox_store(out, a);
    }
}

#endif
