/* What the files of the CUDA back end share (backend_cuda.cpp, backend_cuda_law.cpp). */
#ifndef GURN_HOST_BACKEND_CUDA_H
#define GURN_HOST_BACKEND_CUDA_H

#include <cuda_runtime.h>

#include "host/internal.h"

/* GURN_SUCCESS for cudaSuccess; else the error's status, with "what: its text" as the context's message. */
gurn_status gurn_cuda_status(gurn_context *context, cudaError_t error, const char *what);

/*
 * Makes a device's primary context (gurn_context::primary) current in this thread for as long as it lives. Afterwards the thread has
 * what it had: that context, another one, or none. cudaGetDevice and cudaSetDevice could not do that: they know devices only, and
 * since CUDA 12 cudaSetDevice creates the primary context of a device that has none, which takes long and takes memory there.
 */
class gurn_device_scope {
public:
    explicit gurn_device_scope(struct CUctx_st *primary);
    ~gurn_device_scope();
    gurn_device_scope(const gurn_device_scope &) = delete;
    gurn_device_scope &operator=(const gurn_device_scope &) = delete;
    cudaError_t error() const { return error_; }

private:
    bool pushed_ = false;
    cudaError_t error_ = cudaSuccess;
};

/* The law itself (backend_cuda_law.cpp). */
extern "C" {
size_t gurn_cuda_law_bytes(const gurn_context *context, const gurn_plan *plan, const gurn_law_job *job);
gurn_status gurn_cuda_law_run(gurn_context *context, const gurn_plan *plan, const gurn_law_job *job);

/* Plain draws (backend_cuda_plain.cpp). */
size_t gurn_cuda_plain_bytes(const gurn_context *context, const gurn_plan *plan, const gurn_plain_job *job);
gurn_status gurn_cuda_plain_draw(gurn_context *context, const gurn_plan *plan, const gurn_plain_job *job);
gurn_status gurn_cuda_hypergeometric_draw(gurn_context *context, const gurn_hypergeometric_job *job);
}

#endif
