/* GPU memory of the current device, in programs built with GURN_TOOLS_CUDA. Each call is in the order of the default stream, on
 * which the program's contexts work, and returns NULL or what the CUDA runtime has to say of its failure. */
#ifndef GUMBELURN_CUDA_MEMORY_H
#define GUMBELURN_CUDA_MEMORY_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

const char *cuda_memory_allocate(void **memory, size_t bytes);
const char *cuda_memory_free(void *memory); /* NULL is allowed */
const char *cuda_memory_write(void *memory, const void *host, size_t bytes);
const char *cuda_memory_read(void *host, const void *memory, size_t bytes);

#ifdef __cplusplus
}
#endif

#endif
