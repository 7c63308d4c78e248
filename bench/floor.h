/* The floors' names: bench_floor_avx2 and so on (floor.c, compiled once for each instruction set). */
#ifndef GURN_BENCH_FLOOR_H
#define GURN_BENCH_FLOOR_H

#include "bench.h"

#define BENCH_PASTE_(a, b) bench_##a##_##b
#define BENCH_PASTE(a, b) BENCH_PASTE_(a, b)
#define BENCH_NAME(name) BENCH_PASTE(name, GURN_LEVEL)

float bench_floor_portable(bench_floor_kind kind, int64_t points, uint64_t row);
float bench_floor_avx2(bench_floor_kind kind, int64_t points, uint64_t row);
float bench_floor_avx512(bench_floor_kind kind, int64_t points, uint64_t row);
float bench_floor_neon(bench_floor_kind kind, int64_t points, uint64_t row);

#endif
