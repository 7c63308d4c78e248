#define _POSIX_C_SOURCE 200809L
#include "host/threads.h"

#ifdef _OPENMP
#include <omp.h>
#include <pthread.h>
#include <stdlib.h>

/* A stack size as OpenMP reads it: a number, and B, K, M or G; without a letter K. 0: none that can be read. */
static size_t parse_stack_size(const char *text) {
    char *end;
    unsigned long long value = strtoull(text, &end, 10);
    while (*end == ' ' || *end == '\t') end++;
    int shift = *end == 'B' || *end == 'b' ? 0 : *end == 'M' || *end == 'm' ? 20 : *end == 'G' || *end == 'g' ? 30 : 10;
    return end == text || value > SIZE_MAX >> shift ? 0 : (size_t)value << shift;
}

/* What all started threads wait for. */
typedef struct gate {
    pthread_mutex_t lock;
    pthread_cond_t opened;
    int open;
} gate;

static void *wait_at(void *argument) {
    gate *g = argument;
    pthread_mutex_lock(&g->lock);
    while (!g->open) pthread_cond_wait(&g->opened, &g->lock);
    pthread_mutex_unlock(&g->lock);
    return NULL;
}

/* How many of `count` threads can be started beside this one, with the stacks that OpenMP gives its own. */
static int32_t startable(int32_t count) {
    static const char *const variables[] = {"OMP_STACKSIZE", "GOMP_STACKSIZE"};
    gate g = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0};
    pthread_attr_t attributes;
    pthread_t *threads = malloc((size_t)count * sizeof *threads);
    if (!threads) return 0;
    if (pthread_attr_init(&attributes) != 0) {
        free(threads);
        return 0;
    }
    for (size_t v = 0; v < sizeof variables / sizeof *variables; v++) {
        const char *text = getenv(variables[v]);
        size_t bytes = text ? parse_stack_size(text) : 0;
        /* A size that the system refuses is one that OpenMP does not use either. */
        if (bytes > 0 && pthread_attr_setstacksize(&attributes, bytes) == 0) break;
    }
    int32_t started = 0;
    while (started < count && pthread_create(&threads[started], &attributes, wait_at, &g) == 0) started++;
    pthread_attr_destroy(&attributes);
    pthread_mutex_lock(&g.lock);
    g.open = 1;
    pthread_cond_broadcast(&g.opened);
    pthread_mutex_unlock(&g.lock);
    for (int32_t t = 0; t < started; t++) pthread_join(threads[t], NULL);
    free(threads);
    return started;
}

gurn_status gurn_find_threads(gurn_context *context, int32_t wanted, int32_t *threads) {
    int32_t count = wanted;
    if (wanted == 0) {
        const char *asked = getenv("OMP_NUM_THREADS");
        int32_t processors = omp_get_num_procs();
        count = omp_get_max_threads();
        if (!(asked && *asked) && count > processors) count = processors;
        if (count > GURN_MAX_THREADS) count = GURN_MAX_THREADS;
    }
    int32_t possible = count > 1 ? 1 + startable(count - 1) : 1;
    if (wanted > possible)
        return gurn_fail(context, GURN_OUT_OF_MEMORY, "options->threads is %d, but no more than %d can be started",
                         (int)wanted, (int)possible);
    *threads = count < possible ? count : possible;
    return GURN_SUCCESS;
}

#else

gurn_status gurn_find_threads(gurn_context *context, int32_t wanted, int32_t *threads) {
    (void)context, (void)wanted;
    *threads = 1; /* all that there is without OpenMP */
    return GURN_SUCCESS;
}

#endif
