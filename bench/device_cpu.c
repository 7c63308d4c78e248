/* The CPU as a benchmark's device, and the choice of a floor. */
#define _POSIX_C_SOURCE 200809L
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "floor.h"

static clockid_t clock_used = CLOCK_MONOTONIC;
static double clock_share = 1.0;

void bench_cpu_use_processor_time(int threads) {
    clock_used = CLOCK_PROCESS_CPUTIME_ID;
    clock_share = 1.0 / threads;
}

static double now(void) {
    struct timespec t;
    clock_gettime(clock_used, &t);
    return ((double)t.tv_sec + 1e-9 * (double)t.tv_nsec) * clock_share;
}

static bool cpu_open(char *error, size_t size) {
    (void)error, (void)size;
    return true;
}

static void cpu_close(void) {}

static void *cpu_alloc(size_t bytes) { return aligned_alloc(64, (bytes + 64) & ~(size_t)63); }

static bool cpu_copy(void *to, const void *from, size_t bytes) {
    memcpy(to, from, bytes);
    return true;
}

static bool cpu_time(const char *mode, bool warm, bench_call call, void *argument, int count, double *seconds) {
    (void)mode;
    if (warm && !call(argument)) return false;
    for (int i = 0; i < count; i++) {
        double begin = now();
        if (!call(argument)) return false;
        seconds[i] = now() - begin;
    }
    return true;
}

static const char *const modes[] = {"warm", NULL};

const bench_device bench_device_cpu = {GURN_DEVICE_CPU, modes, cpu_open, cpu_close, NULL,
                                       cpu_alloc,       free,  cpu_copy, cpu_copy,  cpu_time};

bench_floor bench_floor_of(gurn_isa isa) {
    switch (isa) {
#ifdef GURN_HAVE_PORTABLE
        case GURN_ISA_PORTABLE: return bench_floor_portable;
#endif
#ifdef GURN_HAVE_AVX2
        case GURN_ISA_AVX2: return bench_floor_avx2;
#endif
#ifdef GURN_HAVE_AVX512
        case GURN_ISA_AVX512: return bench_floor_avx512;
#endif
#ifdef GURN_HAVE_NEON
        case GURN_ISA_NEON: return bench_floor_neon;
#endif
        default: return NULL;
    }
}
