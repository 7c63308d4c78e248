/*
 * The floor: what a support point costs when nothing is there but its noise, one logarithm, one exponential and one product (for the
 * relaxed value a reciprocal besides, or a second logarithm and exponential), with the library's own operations, in one long
 * loop. Compiled once for each instruction set, as kernels/mvhg_cpu.c is.
 */
#include "floor.h"

#include "kernels/mvhg_sweep.h"

/* Words of noise made at a time: they stay in the first-level cache. */
#define CHUNK 2048

GURN_FN float run(bench_floor_kind kind, int64_t points, uint64_t row) {
    enum {
        VECTORS = CHUNK / GURN_PHILOX_STRIDE
    };
    uint32_t words[CHUNK + GURN_PHILOX_FLIGHT * GURN_PHILOX_STRIDE];
    int32_t listed[2][VECTORS + GURN_PHILOX_FLIGHT + V_LANES];
    gurn_noise_list list = {listed[0], listed[1]};
    gurn_noise_enlist(list, 0, VECTORS + GURN_PHILOX_FLIGHT, 0, 0);
    v_i32 lane = v_lane_index() << 16; /* costs 2^-7 bit apart: none of 2^cost, v, 1/v overflows within a chunk */
    gurn_philox_key key = gurn_philox_schedule(1);
    v_f32 best = v_splat32(INFINITY), sum = v_splat32(0.0f);
    for (int64_t done = 0; done < points; done += CHUNK) {
        int32_t count = points - done < CHUNK ? (int32_t)(points - done) : CHUNK;
        gurn_philox_row at = gurn_philox_start(&key, 1, row + (uint64_t)done);
        gurn_philox_fill(words, &key, &at, list, (count - 1) / GURN_PHILOX_STRIDE + 1);
        for (int32_t block = 0; block < count; block += GURN_PHILOX_STRIDE) { /* as many at a time as the race */
            for (int32_t k = block; k < block + GURN_PHILOX_STRIDE; k += V_LANES) {
                v_f32 value =
                    v_exponential32_times(v_u32_load(words + k), GURN_RACE_SCALE) * v_exp2_fixed(lane + (k << 16));
                best = v_min32(value, best);
                if (kind == BENCH_FLOOR_RECIPROCAL) sum += v_reciprocal32(value);
                if (kind == BENCH_FLOOR_RELAXED) sum += v_fast_exp2(v_fast_log2(value) * v_splat32(-0.5f));
            }
        }
    }
    return v_least32(best)[0] + v_sum32(sum);
}

float BENCH_NAME(floor)(bench_floor_kind kind, int64_t points, uint64_t row) {
    switch (kind) {
        case BENCH_FLOOR_RACE: return run(BENCH_FLOOR_RACE, points, row);
        case BENCH_FLOOR_RECIPROCAL: return run(BENCH_FLOOR_RECIPROCAL, points, row);
        case BENCH_FLOOR_RELAXED: return run(BENCH_FLOOR_RELAXED, points, row);
    }
    return 0.0f;
}
