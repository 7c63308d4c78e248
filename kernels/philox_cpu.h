/* Philox4x32-10 for vectors: the words of noise of consecutive counts k, of several rows at a time. */
#ifndef GURN_PHILOX_CPU_H
#define GURN_PHILOX_CPU_H

#include "philox.h"
#include "simd.h"

/* Words made by one vector of counters; and vectors in flight, for a round is a chain of four instructions. */
#define GURN_PHILOX_STRIDE (4 * V_HALF)
#define GURN_PHILOX_FLIGHT 4

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

/*
 * What is the same for all counters of a row (offset + global row) and stream tag after the first two rounds, in which the
 * counter words differ in one place only.
 */
typedef struct gurn_philox_row {
    uint64_t first_x2, second_x0, second_x2, second_x3;
} gurn_philox_row;

GURN_FN gurn_philox_row gurn_philox_start(const gurn_philox_key *k, uint32_t tag, uint64_t row) {
    uint64_t p1 = (uint64_t)GURN_PHILOX_M1 * (uint32_t)row;
    uint64_t p0 = (uint64_t)GURN_PHILOX_M0 * ((uint32_t)(p1 >> 32) ^ tag ^ k->key[0]);
    gurn_philox_row c = {(uint32_t)(row >> 32) ^ k->key[1], (uint32_t)p1 ^ (k->key[0] + GURN_PHILOX_W0),
                         (uint32_t)(p0 >> 32) ^ (k->key[1] + GURN_PHILOX_W1), (uint32_t)p0};
    return c;
}

/*
 * The state of one vector of counters. A counter lives in a 64-bit lane, whose low half is its word; the high half is
 * rubbish that the 32 x 32 -> 64 multiplication does not read.
 */
typedef struct gurn_philox_state {
    v_u64 x0, x1, x2, x3;
} gurn_philox_state;

GURN_FN gurn_philox_state gurn_philox_two_rounds(v_u64 counter, const gurn_philox_row *c) {
    v_u64 p = v_mul_low32(v_splat_u64(GURN_PHILOX_M0), counter);
    v_u64 q = v_mul_low32(v_splat_u64(GURN_PHILOX_M1), (p >> 32) ^ v_splat_u64(c->first_x2));
    gurn_philox_state s = {(q >> 32) ^ v_splat_u64(c->second_x0), q, p ^ v_splat_u64(c->second_x2),
                           v_splat_u64(c->second_x3)};
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

/* Block x of a stream tag for V_HALF consecutive rows, whose addresses are in the lanes: words 0, 1 and words 2, 3, first one low. */
GURN_FN void gurn_philox_rows(const gurn_philox_key *k, uint32_t x, uint32_t tag, v_u64 row, v_u64 *first,
                              v_u64 *second) {
    gurn_philox_state s = {v_splat_u64(x), v_splat_u64(tag), row, row >> 32};
    for (int round = 0; round < 10; round++) s = gurn_philox_round(s, k->round0[round], k->round1[round]);
    *first = v_pack_halves(s.x0, s.x1);
    *second = v_pack_halves(s.x2, s.x3);
}

/* A list of vectors of noise: the row of a tile that each is for, and its first count, a multiple of 4. */
typedef struct gurn_noise_list {
    int32_t *row, *start;
} gurn_noise_list;

/* Entries at..at + count - 1: counts from `first` on of one row. Up to V_LANES - 1 entries more are written. */
GURN_FN void gurn_noise_enlist(gurn_noise_list list, int32_t at, int32_t count, int32_t row, int32_t first) {
    v_i32 rows = v_splat_i32(row), start = v_lane_index() * GURN_PHILOX_STRIDE + first;
    for (int32_t j = at; j < at + count; j += V_LANES, start += V_LANES * GURN_PHILOX_STRIDE) {
        v_i32_store(list.row + j, rows);
        v_i32_store(list.start + j, start);
    }
}

/*
 * Writes the words of listed vectors of counters, one after the other: those of counts start .. start + GURN_PHILOX_STRIDE
 * - 1 of rows[row]. The list is read, and out is written, up to the next multiple of GURN_PHILOX_FLIGHT pieces. Lanes hold
 * the counters in the order that makes the final interleaving one instruction.
 */
GURN_FN void gurn_philox_fill(uint32_t *out, const gurn_philox_key *k, const gurn_philox_row *rows,
                              gurn_noise_list list, int32_t vectors) {
    v_u64 lane;
    for (int l = 0; l < V_HALF; l++) lane[l] = (uint64_t)((l & 1) * (V_HALF / 2) + l / 2);
    for (int32_t j = 0; j < vectors; j += GURN_PHILOX_FLIGHT) {
        gurn_philox_state s[GURN_PHILOX_FLIGHT];
        for (int f = 0; f < GURN_PHILOX_FLIGHT; f++)
            s[f] = gurn_philox_two_rounds(lane + v_splat_u64((uint32_t)list.start[j + f] >> 2), &rows[list.row[j + f]]);
        for (int round = 2; round < 10; round++)
            for (int f = 0; f < GURN_PHILOX_FLIGHT; f++)
                s[f] = gurn_philox_round(s[f], k->round0[round], k->round1[round]);
        for (int f = 0; f < GURN_PHILOX_FLIGHT; f++, out += GURN_PHILOX_STRIDE) gurn_philox_store(out, s[f]);
    }
}

#endif
