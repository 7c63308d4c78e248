/*
 * For tests in C of single files of the program, which are compiled with one of them and without the others: what that file needs
 * of these, and checks that count failures. The exit status of such a test is 1 when there was one.
 */
#ifndef GURN_TESTS_PARTS_H
#define GURN_TESTS_PARTS_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

static int failures;

#define CHECK(condition, ...)                                               \
    do {                                                                    \
        if (!(condition) && failures++ < 20) {                              \
            fprintf(stderr, "%s:%d: %s: ", __FILE__, __LINE__, #condition); \
            fprintf(stderr, __VA_ARGS__);                                   \
            fputc('\n', stderr);                                            \
        }                                                                   \
    } while (0)

void *allocate(size_t count, size_t size) {
    void *memory = calloc(count ? count : 1, size);
    if (!memory) abort();
    return memory;
}

/* Numbers that look random, the same in every run: splitmix64. */
static uint64_t random_state;
static inline uint64_t random_bits(void) {
    uint64_t z = random_state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}
static inline double random_uniform(void) { return (double)(random_bits() >> 11) * 0x1p-53; }
static inline int32_t random_below(int32_t count) { return (int32_t)(random_bits() % (uint64_t)count); }

#endif
