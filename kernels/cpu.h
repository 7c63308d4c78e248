/*
 * What host/ asks of the CPU kernels: one table of functions for each instruction-set level (*_cpu.c, compiled once a
 * level).
 */
#ifndef GURN_CPU_H
#define GURN_CPU_H

#include "gumbelurn.h"
#include "law.h"
#include "mvhg_job.h"
#include "plain_job.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The name of a function of this level: GURN_NAME(f) is gurn_f_avx2 and so on. */
#define GURN_PASTE_(a, b) gurn_##a##_##b
#define GURN_PASTE(a, b) GURN_PASTE_(a, b)
#define GURN_NAME(name) GURN_PASTE(name, GURN_LEVEL)

typedef struct gurn_cpu_kernels {
    gurn_isa isa;
    const char *name;
    size_t (*mvhg_bytes)(const gurn_mvhg_job *job, int backward);
    void (*mvhg_forward)(const gurn_mvhg_job *job);
    void (*mvhg_backward)(const gurn_mvhg_job *job);
    size_t (*law_bytes)(const gurn_law_job *job);
    void (*law_run)(const gurn_law_job *job);
    size_t (*plain_bytes)(const gurn_plain_job *job);
    void (*plain_draw)(const gurn_plain_job *job);
    void (*hypergeometric_draw)(const gurn_hypergeometric_job *job);
} gurn_cpu_kernels;

#ifdef GURN_LEVEL /* functions of this level in other files than mvhg_cpu.c, which has the table */
size_t GURN_NAME(law_bytes)(const gurn_law_job *job);
void GURN_NAME(law_run)(const gurn_law_job *job);
size_t GURN_NAME(plain_bytes)(const gurn_plain_job *job);
void GURN_NAME(plain_draw)(const gurn_plain_job *job);
void GURN_NAME(hypergeometric_draw)(const gurn_hypergeometric_job *job);
#endif

extern const gurn_cpu_kernels gurn_cpu_portable, gurn_cpu_avx2, gurn_cpu_avx512, gurn_cpu_neon;

#ifdef __cplusplus
}
#endif

#endif
