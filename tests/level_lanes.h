/*
 * The vectors of every instruction set (kernels/simd.h), for tests that compare them with single lanes: level_lanes.c is
 * compiled once a level, as the kernels are.
 */
#ifndef GURN_TESTS_LEVEL_LANES_H
#define GURN_TESTS_LEVEL_LANES_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LEVEL_LANES_MOST 16 /* lanes of 4 bytes in the longest vector */

/* A function over arrays: in[j] has the j-th argument of every element. count: a multiple of LEVEL_LANES_MOST. */
typedef void level_function(const void *const *in, void *out, int64_t count);

/* vector and scalar are to give the same bits; scalar is NULL where only vectors have the function. */
typedef struct level_op {
    const char *name;
    level_function *vector, *scalar;
} level_op;

typedef struct level_lanes {
    int lanes;           /* of 4 bytes; half as many of 8 */
    const level_op *ops; /* the last has no name */
    /* Words of noise (philox_cpu.h): of `vectors` vectors of counters from count `first` on, returned: words of each. */
    int (*philox_fill)(uint64_t seed, uint32_t tag, uint64_t row, int32_t first, int32_t vectors, uint32_t *words);
    /* Block x of lanes / 2 rows: words 0, 1 and words 2, 3. */
    void (*philox_rows)(uint64_t seed, uint32_t x, uint32_t tag, uint64_t row, uint64_t *first, uint64_t *second);
    /* Tilts (tilt_cpu.h) of 16 rows: a[C][16], m[C], n[16]; mean and q [C][16]. And of one row, p and q [C] padded. */
    void (*tilt_rows)(const double *a, const double *m, const double *n, int64_t classes, double total, double *ell,
                      double *mean, double *q);
    double (*tilt_row)(const double *a, const double *m, int64_t classes, double n, double total, double *p, double *q,
                       double *variance);
} level_lanes;

extern const level_lanes level_lanes_portable, level_lanes_avx2, level_lanes_avx512, level_lanes_neon;

#ifdef __cplusplus
}
#endif

#endif
