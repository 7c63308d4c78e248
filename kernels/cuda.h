/*
 * What host/ asks of the CUDA kernels: launchers, at the end of each .cu file. A launcher puts work on a stream and
 * comes back; it allocates nothing, waits for nothing and reads no device memory, so that it can be captured in a
 * graph. It returns what the CUDA runtime said.
 */
#ifndef GURN_CUDA_H
#define GURN_CUDA_H

#include <cuda_runtime.h>

#include "law.h"
#include "mvhg_job.h"
#include "plain_job.h"

extern "C" {

/*
 * Loads all kernels on the current device: an error if they were not compiled for one like it. Later calls load nothing. In parts,
 * one a file.
 */
cudaError_t gurn_cuda_load(void); /* mvhg.cu: all of them */
cudaError_t gurn_cuda_load_mvhg_backward(void);
cudaError_t gurn_cuda_load_mvhg_exact(void);
cudaError_t gurn_cuda_load_mvhg_general(void);
cudaError_t gurn_cuda_load_mvhg_suffix(void);
cudaError_t gurn_cuda_load_law(void);
cudaError_t gurn_cuda_load_law_merged(void);
cudaError_t gurn_cuda_load_plain(void);

/*
 * Copies an order of the host's to the device, through the parameters of launches: so that nothing of the host's
 * memory is read later, not even by a captured graph.
 */
cudaError_t gurn_cuda_put_order(const int32_t *order, int32_t classes, int32_t *to, cudaStream_t stream);

/*
 * mvhg.cu: bytes of workspace, and the two calls. The view is the device's; in.order is host memory, read before they
 * return.
 */
size_t gurn_cuda_mvhg_bytes(const gurn_mvhg_job *job, bool backward);
cudaError_t gurn_cuda_mvhg_forward(const gurn_mvhg_job *job, cudaStream_t stream);
cudaError_t gurn_cuda_mvhg_backward(const gurn_mvhg_job *job, cudaStream_t stream);

/*
 * law.cu: bytes of workspace, and one operation. The view is the device's; in.order is host memory, read before it
 * returns.
 */
size_t gurn_cuda_law_workspace(const gurn_law_job *job);
cudaError_t gurn_cuda_law_launch(const gurn_law_job *job, cudaStream_t stream);
/* law_merged.cu: the log-probability of the merged chain, for law.cu. call: law_call of law.cuh. */
cudaError_t gurn_cuda_law_launch_merged(const void *call, cudaStream_t stream);

/* plain.cu: bytes of workspace, and the two calls; the view and in.order as above. */
size_t gurn_cuda_plain_workspace(const gurn_plain_job *job);
cudaError_t gurn_cuda_plain_launch(const gurn_plain_job *job, cudaStream_t stream);
cudaError_t gurn_cuda_hypergeometric_launch(const gurn_hypergeometric_job *job, cudaStream_t stream);
}

#endif
