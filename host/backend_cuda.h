/* What the files of the CUDA back end share (backend_cuda.cpp, backend_cuda_law.cpp). */
#ifndef GURN_HOST_BACKEND_CUDA_H
#define GURN_HOST_BACKEND_CUDA_H

#include <cuda_runtime.h>

#include "host/internal.h"

/* GURN_SUCCESS for cudaSuccess; else the error's status, with "what: its text" as the context's message. */
gurn_status gurn_cuda_status(gurn_context *context, cudaError_t error, const char *what);

/* Makes a device current for as long as it lives. */
class gurn_device_scope {
public:
    explicit gurn_device_scope(int device);
    ~gurn_device_scope();
    gurn_device_scope(const gurn_device_scope &) = delete;
    gurn_device_scope &operator=(const gurn_device_scope &) = delete;
    cudaError_t error() const { return error_; }

private:
    int before_ = -1; /* what to return to; -1: the device is current already */
    cudaError_t error_;
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
