// Memory of a CUDA context, for memory.c: the CUDA runtime, or the emulation of it that the tests build against, which is C++.
#include "cuda_memory.h"

#include <cuda_runtime.h>

static const char *message(cudaError_t error) { return error == cudaSuccess ? nullptr : cudaGetErrorString(error); }

const char *cuda_memory_allocate(void **memory, size_t bytes) { return message(cudaMalloc(memory, bytes)); }

const char *cuda_memory_free(void *memory) { return message(cudaFree(memory)); }

const char *cuda_memory_write(void *memory, const void *host, size_t bytes) {
    return message(cudaMemcpy(memory, host, bytes, cudaMemcpyHostToDevice));
}

const char *cuda_memory_read(void *host, const void *memory, size_t bytes) {
    return message(cudaMemcpy(host, memory, bytes, cudaMemcpyDeviceToHost));
}
