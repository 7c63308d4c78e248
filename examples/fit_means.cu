/*
 * From CUDA: fits the importances of one urn to wanted mean counts. Forward, a loss of its own, backward and a step
 * downhill, all on one stream; the host waits once, at the end.
 *
 *     nvcc -std=c++17 fit_means.cu $(pkg-config --cflags --libs gumbelurn)
 *
 * Kernels are launched by cudaLaunchKernelEx, which is what <<<...>>> stands for, because the tests run this program
 * without nvcc.
 */
#include <cuda_runtime.h>
#include <gumbelurn.h>
#include <cstdio>
#include <cstdlib>

constexpr int kRows = 512, kClasses = 3, kSteps = 20;

// The loss is half the squared distance of the mean counts to the wanted ones; its gradient is the same for every row.
// One block.
__global__ void pull(const float *x, float *dx, float *mean) {
    const float wanted[kClasses] = {20.0f, 40.0f, 120.0f};
    if (threadIdx.x < kClasses) {
        float sum = 0.0f;
        for (int b = 0; b < kRows; b++) sum += x[b * kClasses + threadIdx.x];
        mean[threadIdx.x] = sum / kRows;
    }
    __syncthreads();
    for (int i = threadIdx.x; i < kRows * kClasses; i += blockDim.x)
        dx[i] = (mean[i % kClasses] - wanted[i % kClasses]) / kRows;
}

__global__ void descend(float *log_omega, const float *gradient) {
    log_omega[threadIdx.x] -= 3e-4f * gradient[threadIdx.x];
}

static void must(bool good, const char *why) {
    if (good) return;
    std::fprintf(stderr, "%s\n", why);
    std::exit(EXIT_FAILURE);
}

int main() {
    cudaStream_t stream;
    must(cudaStreamCreate(&stream) == cudaSuccess, "no CUDA device");

    gurn_context_options on_gpu = GURN_CONTEXT_OPTIONS_INIT;
    on_gpu.device = GURN_DEVICE_CUDA;
    on_gpu.stream = stream;
    gurn_plan_options merged = GURN_PLAN_OPTIONS_INIT;
    merged.chain = GURN_CHAIN_MERGED;
    const int32_t m[kClasses] = {200, 200, 200};
    gurn_context *context;
    gurn_plan *plan;
    gurn_status status = gurn_context_create(&on_gpu, &context);
    must(status == GURN_SUCCESS, gurn_status_string(status));
    must(gurn_plan_create(context, kClasses, m, 180, &merged, &plan) == GURN_SUCCESS, gurn_context_message(context));

    // One allocation: log omega, its gradient, mean counts; x and its gradient.
    float *memory, result[3 * kClasses] = {};
    const size_t counts = kRows * kClasses;
    must(cudaMalloc(&memory, (3 * kClasses + 2 * counts) * sizeof(float)) == cudaSuccess, "out of memory");
    float *log_omega = memory, *gradient = log_omega + kClasses, *mean = gradient + kClasses, *x = mean + kClasses,
          *dx = x + counts;
    cudaMemcpyAsync(log_omega, result, sizeof result, cudaMemcpyHostToDevice, stream);

    gurn_mvhg_inputs inputs = GURN_MVHG_INPUTS_INIT;
    inputs.rows = kRows;
    inputs.log_omega = log_omega;  // stride 0: one urn for all rows
    inputs.n = 180;
    inputs.noise.seed = 1;
    gurn_mvhg_outputs outputs = {sizeof outputs, x, nullptr, nullptr, nullptr};
    gurn_mvhg_upstream upstream = {sizeof upstream, dx, nullptr, nullptr, nullptr};
    gurn_mvhg_gradients gradients = {sizeof gradients, gradient, nullptr};
    size_t forward_bytes, backward_bytes;
    gurn_mvhg_workspace(context, plan, &inputs, &forward_bytes, &backward_bytes);
    const size_t bytes = forward_bytes > backward_bytes ? forward_bytes : backward_bytes;
    void *workspace;
    must(cudaMalloc(&workspace, bytes) == cudaSuccess, "out of memory");

    cudaLaunchConfig_t block = {dim3(1), dim3(256), 0, stream, nullptr, 0};
    cudaLaunchConfig_t classes = {dim3(1), dim3(kClasses), 0, stream, nullptr, 0};
    for (int step = 0; step < kSteps; step++) {
        must(gurn_mvhg_forward(context, plan, &inputs, &outputs, workspace, bytes) == GURN_SUCCESS,
             gurn_context_message(context));
        cudaLaunchKernelEx(&block, pull, static_cast<const float *>(x), dx, mean);
        must(gurn_mvhg_backward(context, plan, &inputs, x, &upstream, &gradients, workspace, bytes) == GURN_SUCCESS,
             gurn_context_message(context));
        cudaLaunchKernelEx(&classes, descend, log_omega, static_cast<const float *>(gradient));
        inputs.noise.offset += kRows;  // fresh noise
    }

    cudaMemcpyAsync(result, memory, sizeof result, cudaMemcpyDeviceToHost, stream);
    must(cudaStreamSynchronize(stream) == cudaSuccess, "the GPU failed");
    std::printf("mean counts %.1f %.1f %.1f\n", result[2 * kClasses], result[2 * kClasses + 1],
                result[2 * kClasses + 2]);
    gurn_plan_destroy(plan);
    gurn_context_destroy(context);
    cudaFree(workspace);
    cudaFree(memory);
    cudaStreamDestroy(stream);
}
