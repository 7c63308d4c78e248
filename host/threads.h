/* How many threads a CPU context has, and how many of them a call is given. */
#ifndef GURN_HOST_THREADS_H
#define GURN_HOST_THREADS_H

#include "host/internal.h"

/*
 * The threads of a context. wanted: options->threads, >= 0; 0 is as many as OpenMP would use, and more than there are
 * processors only if OMP_NUM_THREADS says so. They are started and ended once, all at a time, for OpenMP ends the process
 * when it can not start what it is asked for.
 */
gurn_status gurn_find_threads(gurn_context *context, int32_t wanted, int32_t *threads);

/* Those of them that a call of so many parts, which different threads can take, is to use: 1 at least. */
static inline int gurn_threads_for(const gurn_context *context, int64_t parts) {
    int threads = context->info.threads;
    return parts >= threads ? threads : parts > 1 ? (int)parts : 1;
}

#endif
