/*
 * What the CUDA files of the MVHG chain share: the call as its kernels see it, and a row's part of it. One kernel
 * reads one gurn_mvhg_work by value; every pointer in it is to device memory.
 */
#ifndef GURN_MVHG_CUH
#define GURN_MVHG_CUH

#include "cuda.h"
#include "launch.cuh"
#include "mvhg.h"
#include "warp.cuh"

#define GURN_BLOCK 128 /* threads of a block, unless a whole block works on one row */
#define GURN_WIDE 256  /* threads of a block that works on one row */
#define GURN_THREADS(lanes) ((lanes) > GURN_BLOCK ? (lanes) : GURN_BLOCK)

/*
 * Rooms of the workspace for tables that rows have of their own (mvhg_exact.cu, mvhg_suffix.cu, plain.cu): so many warps at most,
 * and so much memory, go on to further rows. In emulation few, so that tests with few rows have warps that take a second one.
 */
#ifdef GURN_CUDA_EMULATED
#define GURN_ROOMS 8
#define GURN_PLAIN_ROOMS 8
#else
#define GURN_ROOMS 4096
#define GURN_PLAIN_ROOMS 2048
#endif
#define GURN_ROOM_BYTES ((int64_t)256 << 20)

typedef struct gurn_mvhg_work {
    gurn_plan_view view;
    const int32_t *order;  /* [C] */
    double *lambda;        /* [C][lambda_rows]: base-2 log odds of each step (merged chain) */
    int32_t *balls;        /* [lambda_rows]: what the classes of omega > 0 hold; -1: a row that is bad */
    int64_t lambda_rows;   /* 1: all rows share one row of log omega */
    const void *log_omega; /* as the caller gave it */
    int64_t log_omega_stride;
    int64_t rows, width;
    int32_t n, n_max, total; /* total: sum of m */
    const int32_t *n_rows;
    gurn_noise noise;
    double inv_tau;
    gurn_dtype dtype;
    bool soft;
    gurn_mvhg_outputs out;
    const void *x;
    gurn_mvhg_upstream upstream;
    gurn_mvhg_gradients grad;
    void *room;      /* real [rows][C] (forward, hard): for x where it is not asked for */
    double *step;    /* [C][rows] (backward): each step's gradient to log omega at fixed log omega_R */
    double *partial; /* [blocks][C] (backward, shared omega): sums over the rows of a block */
    char *rooms;     /* the exact chain's (mvhg_exact.cu, mvhg_suffix.cu) */
} gurn_mvhg_work;

/* Log odds of a row: that of a place is lambda_rows * place elements further on. */
GURN_DEVICE const double *gurn_work_odds(const gurn_mvhg_work &w, int64_t b) {
    return w.lambda + (w.lambda_rows == 1 ? 0 : b);
}
GURN_DEVICE double gurn_work_lambda(const gurn_mvhg_work &w, int32_t place, int64_t b) {
    return gurn_work_odds(w, b)[place * w.lambda_rows];
}

GURN_DEVICE int32_t gurn_work_balls(const gurn_mvhg_work &w, int64_t b) { return w.balls[w.lambda_rows == 1 ? 0 : b]; }

/* n of a row; -1 for a row that only the device can see to be bad, all of whose results are NaN. */
GURN_DEVICE int32_t gurn_work_n(const gurn_mvhg_work &w, int64_t b) {
    int32_t n = w.n_rows ? w.n_rows[b] : w.n;
    return n < 0 || n > w.n_max || n > gurn_work_balls(w, b) ? -1 : n;
}

/* Whether a row has an urn of its own (omega.h): some class that has balls has omega 0. */
GURN_DEVICE bool gurn_work_has_urn(const gurn_mvhg_work &w, int64_t b) {
    int32_t balls = gurn_work_balls(w, b);
    return balls >= 0 && balls < w.total;
}

/*
 * The steps of a row's urn, one after the other: from the first on, *balls being first what the urn holds and then what later
 * classes hold; or from the last on, *balls being first 0. has_urn: gurn_work_has_urn of the row; else they are the plan's, and
 * *balls is left alone.
 */
GURN_DEVICE bool gurn_work_is_zero(const gurn_mvhg_work &w, int64_t b, int32_t place) {
    return gurn_omega_is_zero(gurn_real(w.log_omega, w.dtype, b * w.log_omega_stride + w.order[place]));
}
GURN_DEVICE gurn_step gurn_work_next_step(const gurn_mvhg_work &w, int64_t b, bool has_urn, int32_t place,
                                          int32_t *balls) {
    gurn_step step = w.view.steps[place];
    if (!has_urn) return step;
    bool zero = gurn_work_is_zero(w, b, place);
    *balls -= zero ? 0 : step.m;
    return gurn_omega_step(step, zero, *balls);
}
GURN_DEVICE gurn_step gurn_work_step_before(const gurn_mvhg_work &w, int64_t b, bool has_urn, int32_t place,
                                            int32_t *balls) {
    gurn_step step = w.view.steps[place];
    if (!has_urn) return step;
    step = gurn_omega_step(step, gurn_work_is_zero(w, b, place), *balls);
    *balls += step.m;
    return step;
}

/* Seed and address of a row's noise. */
typedef struct gurn_row_noise {
    uint32_t key[2];
    uint64_t row;
} gurn_row_noise;
GURN_DEVICE gurn_row_noise gurn_work_noise(const gurn_mvhg_work &w, int64_t b) {
    const uint64_t *given = w.noise.device_seed_offset;
    uint64_t seed = given ? given[0] : w.noise.seed, offset = given ? given[1] : w.noise.offset;
    gurn_row_noise noise = {{(uint32_t)seed, (uint32_t)(seed >> 32)}, offset + w.noise.row0 + (uint64_t)b};
    return noise;
}

/* Words of noise of the counts k .. k + 3, k a multiple of 4. */
GURN_DEVICE void gurn_noise_words(const gurn_row_noise &noise, uint32_t tag, int32_t k, uint32_t word[4]) {
    uint32_t counter[4] = {(uint32_t)k >> 2, tag, (uint32_t)noise.row, (uint32_t)(noise.row >> 32)};
    gurn_philox4x32_10(counter, noise.key, word);
}

/*
 * For the loops that do little else: the keys of Philox's rounds, the same for all rows of a call, in registers. They
 * come by way of shared memory because what the compiler could form itself it forms anew for every block of noise,
 * which takes 18 of 250 instructions. Called once, by all threads of a block.
 */
typedef struct gurn_noise_keys {
    uint32_t round[20];
} gurn_noise_keys;
GURN_DEVICE gurn_noise_keys gurn_work_keys(const gurn_mvhg_work &w) {
    GURN_SHARED(formed, uint32_t[20]);
    if (threadIdx.x < 20) formed[threadIdx.x] = gurn_philox_round_key(gurn_work_noise(w, 0).key, (int)threadIdx.x);
    __syncthreads();
    gurn_noise_keys keys;
    for (int i = 0; i < 20; i++) keys.round[i] = formed[i];
    return keys;
}
GURN_DEVICE void gurn_keyed_words(const gurn_noise_keys &keys, uint64_t row, uint32_t tag, int32_t k,
                                  uint32_t word[4]) {
    uint32_t counter[4] = {(uint32_t)k >> 2, tag, (uint32_t)row, (uint32_t)(row >> 32)};
    gurn_philox_rounds(counter, keys.round, word);
}

/* log2 a and 2^a of the special function unit, for sums; a subnormal is 0. */
GURN_DEVICE float gurn_fast_log2(float a) {
#ifdef __CUDA_ARCH__
    float result;
    asm("lg2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(a));
    return result;
#else
    return log2f(a);
#endif
}
GURN_DEVICE float gurn_fast_exp2(float a) {
#ifdef __CUDA_ARCH__
    float result;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(a));
    return result;
#else
    return exp2f(a);
#endif
}

/* mvhg_general.cu: all rows of a call of the merged chain, or those alone that have an urn of their own. */
cudaError_t gurn_cuda_general_forward(const gurn_mvhg_work &work, bool own_urns, cudaStream_t stream);
cudaError_t gurn_cuda_general_backward(const gurn_mvhg_work &work, bool own_urns, cudaStream_t stream);

/* mvhg_exact.cu: the general path of the exact chain. Rooms, and with them groups of partial sums, are bounded. */
size_t gurn_cuda_exact_rooms(const gurn_mvhg_job *job, bool backward);
int64_t gurn_cuda_exact_groups(const gurn_mvhg_job *job, bool backward);
cudaError_t gurn_cuda_exact_forward(const gurn_mvhg_job *job, const gurn_mvhg_work &work, cudaStream_t stream);
cudaError_t gurn_cuda_exact_backward(const gurn_mvhg_job *job, const gurn_mvhg_work &work, cudaStream_t stream);

/* mvhg_suffix.cu: its fast path; as above. */
size_t gurn_cuda_suffix_rooms(const gurn_mvhg_job *job, bool backward);
int64_t gurn_cuda_suffix_groups(const gurn_mvhg_job *job, bool backward);
cudaError_t gurn_cuda_suffix_forward(const gurn_mvhg_job *job, const gurn_mvhg_work &work, cudaStream_t stream);
cudaError_t gurn_cuda_suffix_backward(const gurn_mvhg_job *job, const gurn_mvhg_work &work, cudaStream_t stream);

/* mvhg_backward.cu: gradient[c] = sum of partial[block][c] over the blocks, in order. */
cudaError_t gurn_cuda_add_blocks(const gurn_mvhg_work &work, int64_t blocks, cudaStream_t stream);

/*
 * Threads a row: few where windows are short, because what a step takes besides its window is shared by the rows of a
 * warp; by the widest window there may be, 2 * 6.8 standard deviations, whose square is at most a quarter of
 * what can be drawn.
 */
static inline int gurn_lanes_of(const gurn_mvhg_job *job) {
    int32_t largest = job->max_m < job->n_max ? job->max_m : job->n_max;
    double window = 13.6 * sqrt(0.25 * largest) + 4.0;
    if (window > largest + 1.0) window = largest + 1.0;
    return window <= 128.0 ? 4 : window <= 512.0 ? 8 : window <= 4096.0 ? GURN_WARP : GURN_WIDE;
}

/*
 * mvhg.cu: what follows from one row of log omega (rows = 1) or from each: log odds of the merged chain in the row's urn (omega.h),
 * lambda [C][rows], NaN at place 0 of a row that is bad; balls [rows], what that urn holds, -1 of a row that is bad. Either may be
 * NULL. Order and view are the device's. log_omega may be NULL where balls is (gurn_merged_odds).
 */
cudaError_t gurn_cuda_log_odds(const gurn_plan_view &view, const int32_t *order, const void *log_omega,
                               gurn_dtype dtype, int64_t stride, int64_t rows, double *lambda, int32_t *balls,
                               cudaStream_t stream);

/* mvhg.cu: order and log odds of a call; fills in *work. */
cudaError_t gurn_cuda_begin(const gurn_mvhg_job *job, bool backward, cudaStream_t stream, gurn_mvhg_work *work);

#endif
