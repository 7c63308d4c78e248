/*
 * Philox4x32-10 (Salmon, Moraes, Dror, Shaw, SC 2011), and where in its stream each piece of noise lives.
 *
 * The address of a word of noise (gumbelurn.h, gurn_noise): key = seed; counter = {k >> 2, tag, row low, row high};
 * word k & 3. This is cuRAND's layout, with subsequence = row and offset = 4 * (counter.x + 2^32 counter.y).
 */
#ifndef GURN_PHILOX_H
#define GURN_PHILOX_H

#include "lanes.h"

#if defined(__CUDACC__) && defined(GURN_HAVE_CURAND_PHILOX)
#include <curand_philox4x32_x.h>
#endif

#define GURN_PHILOX_M0 0xD2511F53u
#define GURN_PHILOX_M1 0xCD9E8D57u
#define GURN_PHILOX_W0 0x9E3779B9u
#define GURN_PHILOX_W1 0xBB67AE85u

/* Stream tags: operation << 24 | class. A new operation takes a new number; none is ever used again for another. */
enum {
    GURN_STREAM_MVHG = 1,    /* Gumbel noise of the relaxed sampler */
    GURN_STREAM_PLAIN = 2,   /* uniforms of plain draws */
    GURN_STREAM_PLACKETT = 3 /* Gumbel noise of Plackett-Luce scores */
};

GURN_FN uint32_t gurn_stream_tag(uint32_t operation, uint32_t cls) { return operation << 24 | cls; }

/* The ten rounds use twenty keys, two each: a pure function of the key. */
GURN_FN uint32_t gurn_philox_round_key(const uint32_t key[2], int i) {
    return (i & 1 ? key[1] : key[0]) + (uint32_t)(i >> 1) * (i & 1 ? GURN_PHILOX_W1 : GURN_PHILOX_W0);
}
GURN_FN void gurn_philox_rounds(const uint32_t ctr[4], const uint32_t round_key[20], uint32_t out[4]) {
    uint32_t x0 = ctr[0], x1 = ctr[1], x2 = ctr[2], x3 = ctr[3];
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)GURN_PHILOX_M0 * x0, p1 = (uint64_t)GURN_PHILOX_M1 * x2;
        x0 = (uint32_t)(p1 >> 32) ^ x1 ^ round_key[2 * round];
        x1 = (uint32_t)p1;
        x2 = (uint32_t)(p0 >> 32) ^ x3 ^ round_key[2 * round + 1];
        x3 = (uint32_t)p0;
    }
    out[0] = x0;
    out[1] = x1;
    out[2] = x2;
    out[3] = x3;
}

#if defined(__CUDACC__) && defined(GURN_HAVE_CURAND_PHILOX)
/*
 * Compiled by nvcc the rounds are cuRAND's own; but in loops that draw little else they are those above, of which nvcc
 * makes one multiplication for each product where it makes two of cuRAND's, and whose keys need not be formed again for
 * every block.
 */
static __device__ __forceinline__ void gurn_philox4x32_10(const uint32_t ctr[4], const uint32_t key[2],
                                                          uint32_t out[4]) {
    uint4 r = curand_Philox4x32_10(make_uint4(ctr[0], ctr[1], ctr[2], ctr[3]), make_uint2(key[0], key[1]));
    out[0] = r.x;
    out[1] = r.y;
    out[2] = r.z;
    out[3] = r.w;
}
#else
GURN_FN void gurn_philox4x32_10(const uint32_t ctr[4], const uint32_t key[2], uint32_t out[4]) {
    uint32_t round_key[20];
    for (int i = 0; i < 20; i++) round_key[i] = gurn_philox_round_key(key, i);
    gurn_philox_rounds(ctr, round_key, out);
}
#endif

#endif
