/*
 * What host/ asks of the CUDA kernels: launchers, at the end of each .cu file. A launcher puts work on a stream and comes back; it
 * allocates nothing, waits for nothing and reads no device memory, so that it can be captured in a graph. It returns what the CUDA
 * runtime said.
 */
#ifndef GURN_CUDA_H
#define GURN_CUDA_H

#include <cuda_runtime.h>

#include "mvhg_job.h"

/* Whether this device can run the kernels that were compiled: an error if not. */
cudaError_t gurn_cuda_probe(void);

/* mvhg.cu. The view is the device's; order and view pointers inside the job are read on the host only as mvhg.cu says. */
size_t gurn_cuda_mvhg_bytes(const gurn_mvhg_job *job, bool backward);
cudaError_t gurn_cuda_mvhg_forward(const gurn_mvhg_job *job, cudaStream_t stream);
cudaError_t gurn_cuda_mvhg_backward(const gurn_mvhg_job *job, cudaStream_t stream);

#endif
