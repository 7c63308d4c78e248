#include "level_lanes.h"

#include <stdlib.h>

#include "kernels/mvhg_sweep.h"
#include "kernels/plain_chain.h"
#include "lanes_ops.h"

#define GURN_L(name) v_##name
#include "kernels/plain_lanes.h"
#undef GURN_L
#define GURN_L(name) v_##name
#include "kernels/suffix_wide_lanes.h"
#undef GURN_L

#define IN(kind, j) v_##kind##_load((const s_##kind *)in[j] + i)
#define ONE(kind, j) ((const s_##kind *)in[j])[i]
#define LANES_OF(kind) ((int64_t)(sizeof(v_##kind) / sizeof(s_##kind)))

/* The function of vectors, and that of single lanes, over arrays. */
#define VECTOR(name, result, expression)                                         \
    static void vector_##name(const void *const *in, void *out, int64_t count) { \
        for (int64_t i = 0; i < count; i += LANES_OF(result)) {                  \
            v_##result##_store((s_##result *)out + i, expression);               \
        }                                                                        \
    }
#define SCALAR(name, result, expression)                                         \
    static void scalar_##name(const void *const *in, void *out, int64_t count) { \
        for (int64_t i = 0; i < count; i++) ((s_##result *)out)[i] = expression; \
    }

#define LANES_1(name, r, a)             \
    VECTOR(name, r, v_##name(IN(a, 0))) \
    SCALAR(name, r, s_##name(ONE(a, 0)))
#define LANES_2(name, r, a, b)                    \
    VECTOR(name, r, v_##name(IN(a, 0), IN(b, 1))) \
    SCALAR(name, r, s_##name(ONE(a, 0), ONE(b, 1)))
#define LANES_3(name, r, a, b, c)                           \
    VECTOR(name, r, v_##name(IN(a, 0), IN(b, 1), IN(c, 2))) \
    SCALAR(name, r, s_##name(ONE(a, 0), ONE(b, 1), ONE(c, 2)))
#define LANES_4(name, r, a, b, c, d)                                  \
    VECTOR(name, r, v_##name(IN(a, 0), IN(b, 1), IN(c, 2), IN(d, 3))) \
    SCALAR(name, r, s_##name(ONE(a, 0), ONE(b, 1), ONE(c, 2), ONE(d, 3)))
#define LANES_5(name, r, a, b, c, d, e)                                         \
    VECTOR(name, r, v_##name(IN(a, 0), IN(b, 1), IN(c, 2), IN(d, 3), IN(e, 4))) \
    SCALAR(name, r, s_##name(ONE(a, 0), ONE(b, 1), ONE(c, 2), ONE(d, 3), ONE(e, 4)))
LANES_OPS

/* Those with an argument that is the same for all lanes, or with two results. */
#define BOTH(name, result, vector, scalar) VECTOR(name, result, vector) SCALAR(name, result, scalar)
BOTH(exponential32_scaled, f32, v_exponential32_times(IN(u32, 0), GURN_RACE_SCALE),
     s_exponential32_times(ONE(u32, 0), GURN_RACE_SCALE))
BOTH(merged_lambda, f64, v_merged_lambda(IN(f64, 0), IN(f64, 1), 7.5), s_merged_lambda(ONE(f64, 0), ONE(f64, 1), 7.5))
BOTH(suffix_nats, f64, v_suffix_nats(47.0, IN(f64, 0)), s_suffix_nats(47.0, ONE(f64, 0)))
BOTH(panel_scaled, f64, v_panel_scaled(IN(f64, 0), 3.25, IN(f64, 1), -0.75),
     s_panel_scaled(ONE(f64, 0), 3.25, ONE(f64, 1), -0.75))
BOTH(panel_value, f64, v_panel_value(IN(f64, 0), 3.25, IN(f64, 1), -0.75),
     s_panel_value(ONE(f64, 0), 3.25, ONE(f64, 1), -0.75))
static const float DIFFERENCE[GURN_SUFFIX_NODES_ROOM] = {0, 123456, -34567, 8901, -2345, 678, -90, 12};
BOTH(suffix_polynomial, f32, v_suffix_polynomial(IN(f32, 0), DIFFERENCE), s_suffix_polynomial(ONE(f32, 0), DIFFERENCE))
BOTH(suffix_between, i32, v_suffix_between(IN(f32, 0), DIFFERENCE), s_suffix_between(ONE(f32, 0), DIFFERENCE))

/* Two results: which one is asked for. */
GURN_FN v_f64 vector_odds(v_f64 lambda, int which) {
    v_f64 p, q;
    v_odds_to_p(lambda, &p, &q);
    return which ? q : p;
}
GURN_FN double scalar_odds(double lambda, int which) {
    double p, q;
    s_odds_to_p(lambda, &p, &q);
    return which ? q : p;
}
BOTH(odds_to_p, f64, vector_odds(IN(f64, 0), 0), scalar_odds(ONE(f64, 0), 0))
BOTH(odds_to_q, f64, vector_odds(IN(f64, 0), 1), scalar_odds(ONE(f64, 0), 1))

/* Only vectors have these: test_lanes.cpp says what they are to give. */
VECTOR(select32, f32, v_select32(IN(i32, 0), IN(f32, 1), IN(f32, 2)))
VECTOR(select_i32, i32, v_select_i32(IN(i32, 0), IN(i32, 1), IN(i32, 2)))
VECTOR(select64, f64, v_select64(IN(i64, 0), IN(f64, 1), IN(f64, 2)))
VECTOR(max32, f32, v_max32(IN(f32, 0), IN(f32, 1)))
VECTOR(min_i32, i32, v_min_i32(IN(i32, 0), IN(i32, 1)))
VECTOR(mul_low32, u64, v_mul_low32(IN(u64, 0), IN(u64, 1)))
VECTOR(pack_halves, u64, v_pack_halves(IN(u64, 0), IN(u64, 1)))
VECTOR(pairs_even, u64, (v_u64)V_PAIRS_EVEN(IN(u64, 0), IN(u64, 1)))
VECTOR(pairs_odd, u64, (v_u64)V_PAIRS_ODD(IN(u64, 0), IN(u64, 1)))
VECTOR(reversed, f32, (v_f32)V_REVERSED(IN(f32, 0)))
VECTOR(exchange_1, f32, (v_f32)V_EXCHANGE(IN(f32, 0), 1))
VECTOR(exchange_2, f32, (v_f32)V_EXCHANGE(IN(f32, 0), 2))
VECTOR(lane_index, i32, ((void)in, v_lane_index()))
VECTOR(sum32, f32, v_splat32(v_sum32(IN(f32, 0))))
VECTOR(least32, f32, v_least32(IN(f32, 0)))
VECTOR(count_of_least, i32, v_splat_i32(v_count_of_least(IN(f32, 0), IN(i32, 1))))
VECTOR(any32, i32, v_splat_i32(v_any32(IN(i32, 0))))
VECTOR(any_less64, i64, (v_i64)v_splat_u64((uint64_t)v_any_less64(IN(f64, 0), IN(f64, 1))))
VECTOR(any_at_most64, i64, (v_i64)v_splat_u64((uint64_t)v_any_at_most64(IN(f64, 0), IN(f64, 1))))
VECTOR(reciprocal32, f32, v_reciprocal32(IN(f32, 0)))
VECTOR(rough_reciprocal32, f32, v_rough_reciprocal32(IN(f32, 0)))
VECTOR(rough_sqrt32, f32, v_rough_sqrt32(IN(f32, 0)))
VECTOR(fast_log2, f32, v_fast_log2(IN(f32, 0)))
VECTOR(fast_exp2, f32, v_fast_exp2(IN(f32, 0)))

#undef LANES_1
#undef LANES_2
#undef LANES_3
#undef LANES_4
#undef LANES_5
#define ENTRY(name) {#name, vector_##name, scalar_##name},
#define ALONE(name) {#name, vector_##name, NULL},
#define LANES_1(name, ...) ENTRY(name)
#define LANES_2(name, ...) ENTRY(name)
#define LANES_3(name, ...) ENTRY(name)
#define LANES_4(name, ...) ENTRY(name)
#define LANES_5(name, ...) ENTRY(name)
/* clang-format off */
static const level_op OPS[] = {
    LANES_OPS
    ENTRY(exponential32_scaled) ENTRY(merged_lambda) ENTRY(suffix_nats) ENTRY(panel_scaled) ENTRY(panel_value)
    ENTRY(suffix_polynomial) ENTRY(suffix_between) ENTRY(odds_to_p) ENTRY(odds_to_q)
    ALONE(select32) ALONE(select_i32) ALONE(select64) ALONE(max32) ALONE(min_i32) ALONE(mul_low32) ALONE(pack_halves)
    ALONE(pairs_even) ALONE(pairs_odd) ALONE(reversed) ALONE(exchange_1) ALONE(exchange_2) ALONE(lane_index) ALONE(sum32)
    ALONE(least32) ALONE(count_of_least) ALONE(any32) ALONE(any_less64) ALONE(any_at_most64) ALONE(reciprocal32)
    ALONE(rough_reciprocal32) ALONE(rough_sqrt32) ALONE(fast_log2) ALONE(fast_exp2)
    {NULL, NULL, NULL}};
/* clang-format on */

static int philox_fill(uint64_t seed, uint32_t tag, uint64_t row, int32_t first, int32_t vectors, uint32_t *words) {
    gurn_philox_key key = gurn_philox_schedule(seed);
    gurn_philox_row start[1] = {gurn_philox_start(&key, tag, row)};
    size_t room = (size_t)vectors + GURN_PHILOX_FLIGHT + V_LANES;
    int32_t *entries = calloc(2 * room, sizeof *entries);
    uint32_t *filled = malloc(room * GURN_PHILOX_STRIDE * sizeof *filled);
    gurn_noise_list list = {entries, entries + room};
    gurn_noise_enlist(list, 0, vectors, 0, first);
    gurn_noise_enlist(list, vectors, GURN_PHILOX_FLIGHT - 1, 0, 0);
    gurn_philox_fill(filled, &key, start, list, vectors);
    memcpy(words, filled, (size_t)vectors * GURN_PHILOX_STRIDE * sizeof *words);
    free(entries);
    free(filled);
    return GURN_PHILOX_STRIDE;
}

static void philox_rows(uint64_t seed, uint32_t x, uint32_t tag, uint64_t row, uint64_t *first, uint64_t *second) {
    gurn_philox_key key = gurn_philox_schedule(seed);
    v_u64 rows, words0, words1;
    for (int l = 0; l < V_HALF; l++) rows[l] = row + (uint64_t)l;
    gurn_philox_rows(&key, x, tag, rows, &words0, &words1);
    v_u64_store(first, words0);
    v_u64_store(second, words1);
}

static void tilt_rows(const double *a, const double *m, const double *n, int64_t classes, double total, double *ell,
                      double *mean, double *q) {
    gurn_tilt_rows(a, m, n, classes, total, ell, mean, q);
}

static double tilt_row(const double *a, const double *m, int64_t classes, double n, double total, double *p, double *q,
                       double *variance) {
    gurn_tilt t = gurn_tilt_solve(a, m, p, q, classes, n, total, gurn_tilt_range_of(a, m, classes, total));
    *variance = t.variance;
    return t.ell;
}

#define NAME_(level) level_lanes_##level
#define NAME(level) NAME_(level)
const level_lanes NAME(GURN_LEVEL) = {V_LANES, OPS, philox_fill, philox_rows, tilt_rows, tilt_row};
