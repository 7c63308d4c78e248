/*
 * gumbelurn: differentiable urn models on the GPU and the CPU
 *
 * The multivariate noncentral (Fisher) hypergeometric distribution (MVHG): an urn holds classes c = 0..C-1 with m[c] balls
 * each, n balls are drawn without replacement, and class c has importance omega[c] > 0, always passed as log omega.
 *
 *   [MVHG]  Sutter, Manduchi, Ryser, Vogt. Learning Group Importance using the Differentiable Hypergeometric Distribution.
 *           ICLR 2023.
 *
 * Conventions of this header
 *
 *   - Arrays are written name[B][C]: row-major, contiguous, B rows (independent draws), C classes. B and all index products
 *     are 64-bit.
 *   - "real" is float for a GURN_FLOAT32 plan and double for a GURN_FLOAT64 plan.
 *   - "device memory" is memory of the context's device: ordinary host memory for a CPU context, memory that the GPU can
 *     read for a CUDA context. Everything else (options, m, order, scalars) is host memory and is copied before the call
 *     returns.
 *   - W is the ragged width: sum over classes of (m[c] + 1). In an array [B][W], the entry of row b, class c and count k is
 *         b * W + gurn_plan_offset(plan, c) + k,   0 <= k <= m[c].
 *   - Logarithms and log-probabilities are natural (nats).
 *   - Only ratios of omega count: log omega of 800000, 800001, 800000 is that of 0, 1, 0. A log omega more than 7e5 below the largest
 *     of its row (of classes that have balls) is held there.
 *   - omega = 0, a log omega of -infinity, is a class that is never drawn: everything is as though it had no balls, and its gradients
 *     are 0. An n beyond what the other classes hold is GURN_INVALID_N.
 *   - A call either returns GURN_SUCCESS or an error status, in which case it has written nothing; the reason, naming the
 *     argument, is in gurn_context_message(). On a CUDA context work is asynchronous: what only the GPU can see (a NaN in log
 *     omega, an n outside 0..n_max or beyond the balls of the classes of omega > 0) gives NaN in every real output of that
 *     row and -1 in every integer output, and in no other row.
 *   - Input and output arrays must not overlap, nor overlap the workspace.
 *   - Structures begin with their size: set it to sizeof(the structure), zero the rest, and set what you want
 *     (or use the GURN_*_INIT macros). Zero always means the default. A structure of an older, shorter version is accepted.
 *   - The library prints nothing, never exits, and keeps no global state. Calls with different contexts may run at the same
 *     time from different threads; one context serves one call at a time. A plan is read-only after its creation and may be
 *     shared by contexts of the same device.
 */
#ifndef GUMBELURN_H
#define GUMBELURN_H

#include <stddef.h>
#include <stdint.h>

#define GURN_VERSION_MAJOR 0
#define GURN_VERSION_MINOR 1
#define GURN_VERSION_PATCH 0
#define GURN_VERSION_STRING "0.1.0"

#if defined(_WIN32)
#define GURN_API
#else
#define GURN_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

struct CUstream_st; /* cudaStream_t is a pointer to this; no CUDA header is needed */

/* ------------------------------------------------------------------------------------------------------- status --- */

typedef enum gurn_status {
    GURN_SUCCESS = 0,
    GURN_INVALID_ARGUMENT = 1, /* NULL where it may not be, a structure of unknown size, an unknown enumerator */
    GURN_INVALID_CLASSES = 2,  /* fewer than 1 or more than GURN_MAX_CLASSES classes */
    GURN_INVALID_M = 3,        /* a class size below 0 or above GURN_MAX_FLOAT32_M, or a sum above GURN_MAX_BALLS */
    /* n below 0 or above the sum of m (plan); above the plan's n_max, or what classes of omega > 0 hold (call) */
    GURN_INVALID_N = 4,
    GURN_INVALID_LOG_OMEGA = 5, /* log omega NaN or +infinity (CPU contexts; a GPU poisons the row), or a bad stride */
    GURN_INVALID_TAU = 6,       /* temperature not finite or below GURN_MIN_TAU */
    GURN_INVALID_ORDER = 7,     /* not a permutation of 0..C-1, or given per call though the class sizes differ */
    GURN_INVALID_ROWS = 8,      /* rows below 0, or an array whose size in bytes would overflow */
    /* unknown noise kind, offset + row0 + rows beyond 2^64, given noise missing, or NaN or +infinity in it (CPU contexts) */
    GURN_INVALID_NOISE = 9,
    /* a count that is NaN (unless all of the row are, where given noise left nothing to choose) or outside 0..m (not 0, where
       omega is 0) or, in hard mode, not whole, or a row that does not sum to n (CPU contexts) */
    GURN_INVALID_X = 10,
    GURN_WORKSPACE_TOO_SMALL = 11,
    GURN_OUT_OF_MEMORY = 12,
    GURN_UNSUPPORTED = 13, /* a request that this version or this build cannot serve */
    GURN_NO_DEVICE = 14,   /* no usable CUDA device or driver, or the library was built without CUDA */
    GURN_CUDA_ERROR = 15   /* the CUDA runtime reported an error; its text is in gurn_context_message() */
} gurn_status;

/* A static, never-NULL English name of a status, such as "invalid temperature". Any thread, any time. */
GURN_API const char *gurn_status_string(gurn_status status);

/* The version of the library that is linked, as "major.minor.patch" (GURN_VERSION_STRING is that of the header). */
GURN_API const char *gurn_version(void);

/* ------------------------------------------------------------------------------------------------------ context --- */

typedef enum gurn_device {
    GURN_DEVICE_AUTO = 0, /* CUDA when a device and a driver are there, else the CPU */
    GURN_DEVICE_CPU = 1,
    GURN_DEVICE_CUDA = 2
} gurn_device;

/* Instruction sets of the CPU path. Every level gives bit-identical draws. */
typedef enum gurn_isa {
    GURN_ISA_AUTO = 0, /* the best that the machine has, or what the environment variable GURN_ISA names */
    GURN_ISA_PORTABLE = 1,
    GURN_ISA_AVX2 = 2, /* AVX2 and FMA */
    GURN_ISA_AVX512 = 3,
    GURN_ISA_NEON = 4
} gurn_isa;

typedef struct gurn_context gurn_context;

#define GURN_MAX_THREADS 4096

typedef struct gurn_context_options {
    size_t size;
    gurn_device device;
    int32_t device_index; /* CUDA: which device, as in cudaSetDevice; work is done in its primary context */
    /* CPU: threads per call at most, 0..GURN_MAX_THREADS; a call with few rows uses fewer. 0 = as many as OpenMP would use, and
       no more than there are processors for this process unless the environment variable OMP_NUM_THREADS says so. Without
       OpenMP there is one thread */
    int32_t threads;
    gurn_isa isa; /* CPU: instruction set; one that the machine lacks is GURN_UNSUPPORTED */
    /* CUDA: the stream that all work goes to, one of that context; NULL = its default stream */
    struct CUstream_st *stream;
} gurn_context_options;
#define GURN_CONTEXT_OPTIONS_INIT \
    { sizeof(gurn_context_options), GURN_DEVICE_AUTO, 0, 0, GURN_ISA_AUTO, NULL }

/*
 * Creates a context. options may be NULL (all defaults). *context is set to NULL on failure.
 * The threads of a CPU context are started and ended once here: an options->threads of which the system does not start as many
 * is GURN_OUT_OF_MEMORY, for OpenMP would end the process; with 0 there are then fewer.
 * A CUDA context brings the device's primary context to life and loads all kernels, so that any later call can be captured in a
 * graph. No function changes what is current in the calling thread: the device, and its CUDA context or that it has none. Errors
 * of the CUDA runtime that the caller has not fetched yet stay where they are, and no function leaves one of its own there.
 * Returns GURN_SUCCESS, GURN_INVALID_ARGUMENT, GURN_NO_DEVICE, GURN_UNSUPPORTED, GURN_OUT_OF_MEMORY, GURN_CUDA_ERROR.
 */
GURN_API gurn_status gurn_context_create(const gurn_context_options *options, gurn_context **context);

/* Frees a context; NULL is allowed. Plans made with it stay valid for other contexts of the same device. */
GURN_API void gurn_context_destroy(gurn_context *context);

/* What the last failed call with this context had to say; "" if none failed. Valid until the next call with it. */
GURN_API const char *gurn_context_message(const gurn_context *context);

typedef struct gurn_context_info {
    size_t size;
    gurn_device device;    /* GURN_DEVICE_CPU or GURN_DEVICE_CUDA */
    int32_t device_index;  /* CUDA */
    int32_t threads;       /* CPU: most that a call uses */
    gurn_isa isa;          /* CPU */
    char device_name[128]; /* "cpu", or the GPU's name */
    char isa_name[16];     /* "portable", "avx2", "avx512", "neon", or "sm_90" and the like */
} gurn_context_info;

/* Fills *info (info->size set by the caller). Returns GURN_SUCCESS or GURN_INVALID_ARGUMENT. */
GURN_API gurn_status gurn_context_get_info(const gurn_context *context, gurn_context_info *info);

/* CUDA: sends later work to another stream. Returns GURN_SUCCESS, GURN_INVALID_ARGUMENT; on a CPU context GURN_UNSUPPORTED. */
GURN_API gurn_status gurn_context_set_stream(gurn_context *context, struct CUstream_st *stream);

/* --------------------------------------------------------------------------------------------------------- plan --- */

typedef enum gurn_dtype {
    GURN_FLOAT32 = 0,
    GURN_FLOAT64 = 1
} gurn_dtype;

/* How the multivariate law is drawn class after class. Both chains agree when C = 2 or all omega are equal. */
typedef enum gurn_chain {
    /* the law of [MVHG] Eq. 1 itself, whatever the class order; the default. In float32 to 1e-5 in log-probability where a
       count is likely, and without what has probability 2^-44 in all */
    GURN_CHAIN_EXACT = 0,
    GURN_CHAIN_MERGED = 1 /* the papers': the rest merged into one class, Eq. 3. Biased when C >= 3 and omega differ */
} gurn_chain;

#define GURN_MAX_CLASSES 16777215
#define GURN_MAX_BALLS 67108864     /* largest sum of m */
#define GURN_MAX_FLOAT32_M 16777216 /* largest m[c] of a GURN_FLOAT32 plan, whose x must hold every count exactly */

typedef struct gurn_plan gurn_plan;

/* What a plan is for. */
typedef enum gurn_plan_use {
    GURN_PLAN_FULL = 0, /* everything */
    GURN_PLAN_LAW =
        1 /* the law alone (gurn_mvhg_log_prob, _moments, _kl, _mode): no tables, O(C) bytes whatever the sizes */
} gurn_plan_use;

typedef struct gurn_plan_options {
    size_t size;
    gurn_dtype dtype;
    gurn_chain chain;
    const int32_t *order; /* order[C]: the class visited at each step; NULL = 0..C-1. Results keep the caller's order */
    gurn_plan_use use;    /* a plan for the law alone is GURN_UNSUPPORTED elsewhere */
} gurn_plan_options;
#define GURN_PLAN_OPTIONS_INIT \
    { sizeof(gurn_plan_options), GURN_FLOAT32, GURN_CHAIN_EXACT, NULL, GURN_PLAN_FULL }

/*
 * Describes an urn once: validates it and builds the tables of log-binomial coefficients where they will be read: 16 bytes for
 * every count of a class (float32), and of the rest at each step (merged chain); the exact chain in float32 has another 4
 * for every number up to n_max that may be left at a step, unless that is more than 64 MiB in all, and slower tables then.
 * A plan for the law alone has none of them.
 *   classes  C >= 1
 *   m[C]     host; class sizes >= 0
 *   n_max    the largest n that calls will draw, 0 <= n_max <= sum of m
 *   options  may be NULL (all defaults)
 *   *plan    set to NULL on failure
 * Returns GURN_SUCCESS, GURN_INVALID_ARGUMENT, GURN_INVALID_CLASSES, GURN_INVALID_M, GURN_INVALID_N, GURN_INVALID_ORDER,
 * GURN_OUT_OF_MEMORY, GURN_UNSUPPORTED, GURN_CUDA_ERROR.
 */
GURN_API gurn_status gurn_plan_create(gurn_context *context, int32_t classes, const int32_t *m, int32_t n_max,
                                      const gurn_plan_options *options, gurn_plan **plan);

/* Frees a plan; NULL is allowed. No call that uses it may be running or queued. */
GURN_API void gurn_plan_destroy(gurn_plan *plan);

/* C; W; the position of class c in the ragged width (0 when c is out of range; W when c = C); bytes held by the tables. */
GURN_API int32_t gurn_plan_classes(const gurn_plan *plan);
GURN_API int64_t gurn_plan_width(const gurn_plan *plan);
GURN_API int64_t gurn_plan_offset(const gurn_plan *plan, int32_t c);
GURN_API size_t gurn_plan_bytes(const gurn_plan *plan);

/* -------------------------------------------------------------------------------------------------------- noise --- */

typedef enum gurn_noise_kind {
    GURN_NOISE_PHILOX = 0, /* Gumbel noise from Philox4x32-10, addressed as below */
    GURN_NOISE_OFF = 1,    /* g = 0: the mode of each conditional step (ties to the smaller count) */
    GURN_NOISE_GIVEN = 2   /* g is read from an array */
} gurn_noise_kind;

/*
 * Noise is a pure function of an address, so that a draw does not depend on device, thread count, batch split or launch
 * shape, and backward regenerates what forward used. With cuRAND's layout of Philox4x32-10 (subsequence, offset):
 *     key = seed;  counter.xy = k >> 2 and the stream tag (operation << 24 | class);
 *     counter.zw = offset + row0 + b;  word k & 3
 * A word r gives u = (r + 1/2) / 2^32 and g = -log(-log u), which lies in [-3.2, 22.9].
 * Two calls share no noise when their seeds differ or their ranges [offset + row0, offset + row0 + rows) are disjoint:
 * advance offset by the number of rows after each call. A shard of a batch passes in row0 the number of rows before it.
 * A range that passes 2^64 is GURN_INVALID_NOISE, for it would begin again at 0 (an offset in device memory is not looked at).
 */
typedef struct gurn_noise {
    gurn_noise_kind kind;
    uint64_t seed;
    uint64_t offset;
    uint64_t row0;
    /* [2], device memory: {seed, offset} read when the work runs, overriding the two above, so that a captured CUDA graph
       can be replayed with fresh noise; or NULL */
    const uint64_t *device_seed_offset;
    /* GURN_NOISE_GIVEN: real gumbel[B][W], device memory, finite or -infinity. The last class (of those that have balls),
       which takes what is left, has no noise of its own: its entries are not read.
       -infinity forbids a count: it is never drawn, and has weight 0 in y. A row in which some step has no count left is NaN
       in every output and in its gradients (a gradient summed over rows is then NaN too); the call succeeds, and no other row
       is touched. Any finite noise will do, for only differences within a class count */
    const void *gumbel;
} gurn_noise;

/* --------------------------------------------------------------------------------------------------------- MVHG --- */

#define GURN_MIN_TAU 1e-30 /* smallest temperature: at it y is one-hot, or shared by counts that tie */

typedef enum gurn_relaxation {
    GURN_HARD = 0, /* straight-through: hard values out, gradients of the relaxed values */
    GURN_SOFT = 1  /* x_i = sum_k k y_i(k), real; gradients are the true ones */
} gurn_relaxation;

/*
 * What a draw is made from. Row b visits the classes in order; at a step n_i balls are left to draw, m_R balls are in later
 * classes, and for k = 0..m_i, r = n_i - k  ([MVHG] Eq. 7, 12, 13, Alg. 2)
 *     logit_i(k) = k log omega_i + R_i(r) - lgamma(k+1) - lgamma(m_i-k+1) - lgamma(r+1) - lgamma(m_R-r+1)
 *     x_i = argmax_k logit_i(k) + g_i(k),          y_i = softmax((logit_i + g_i) / tau)
 * over the support max(0, n_i - m_R) <= k <= min(m_i, n_i); merged chain R_i(r) = r log omega_R with [MVHG] Eq. 3; exact
 * chain R_i(r) = log S_{i+1}(r) - log C(m_R, r) with S the suffix sums of Eq. 1. The last class (in the order; of those that
 * have balls) takes what is left. In soft mode n_i and r are real, and the support is what 1/Gamma leaves: r > -1, r < m_R + 1.
 * A class of omega 0 has no balls in any of this, and its y is one-hot at 0; in the merged chain a row that has one takes longer.
 */
typedef struct gurn_mvhg_inputs {
    size_t size;
    int64_t rows;             /* B >= 0 */
    const void *log_omega;    /* real log_omega[B][C], device memory: row b at b * log_omega_stride; finite or
                                 -infinity (omega = 0); NULL in gurn_mvhg_draw only, where it means all equal */
    int64_t log_omega_stride; /* elements between rows: 0 = one row [C] shared by all, else >= C */
    int32_t n;                /* draws of every row, 0..n_max, when n_rows is NULL */
    const int32_t *n_rows;    /* n_rows[B], device memory: draws of each row, 0..n_max; or NULL */
    double tau;               /* temperature, finite and >= GURN_MIN_TAU; 0 (the default) means 1 */
    gurn_relaxation relaxation;
    gurn_noise noise;
    const int32_t *order; /* order[C], host memory: overrides the plan's order; only when all m are equal; or NULL */
} gurn_mvhg_inputs;

/*
 * What is wanted; NULL = not wanted, and then not computed. All in device memory. All NULL is allowed. All of a row is NaN where
 * given noise leaves a step nothing to choose.
 */
typedef struct gurn_mvhg_outputs {
    size_t size;
    /* real x[B][C]: counts; their sum over c is n. Hard: whole numbers, 0 <= x <= m. Soft: the last class, which takes
       what the others leave, may lie anywhere in (-1, m + 1) */
    void *x;
    /* real y[B][W]: relaxed one-hots (soft) or one-hots (hard). The last class has y = max(0, 1 - |k - x|). Weights below
       2^-24 of the largest may be written as 0 */
    void *y;
    /* real mask[B][W]: mask_c(k) = sum_{k' >= k} y_c(k'), so mask_c(0) = 1 (soft, last class: 1 + x when x < 0) */
    void *mask;
    /* real log_p[B]: sum over all but the last class of sum_k y_i(k) (logit_i(k) - logsumexp logit_i), in nats; when hard
       the log-probability of x under the chain */
    void *log_p;
} gurn_mvhg_outputs;

/* Upstream gradients; NULL = zero. All in device memory. */
typedef struct gurn_mvhg_upstream {
    size_t size;
    const void *x; /* real [B][C] */
    /* real [B][W] both. Those of the last class reach its x through max(0, 1 - |k - x|), at whole x by the central difference
       (one-sided at 0 and m) */
    const void *y, *mask;
    const void *log_p; /* real [B] */
} gurn_mvhg_upstream;

/* Gradients wanted; NULL = not wanted. All in device memory. */
typedef struct gurn_mvhg_gradients {
    size_t size;
    void *log_omega; /* real [B][C], or [C] (the sum over rows, in a fixed order) when log_omega_stride is 0 */
    void *tau;       /* real [B]: gradient of each row's terms to tau */
} gurn_mvhg_gradients;

/*
 * Bytes of workspace that gurn_mvhg_forward and gurn_mvhg_backward need for these inputs (pointers are not followed;
 * rows, log_omega_stride, relaxation, tau, the noise kind and whether n_rows is NULL matter). Either pointer may be NULL.
 * The sizes depend on the context (its device and threads) and do not grow with W except by O(threads * max m) on a CPU, where
 * only the threads that so few rows have work for count. What serves some rows serves fewer.
 * The exact chain keeps tables besides, whatever omega is: of O(C sqrt(n_max)) floats (n_max: the plan's) for float32
 * draws in hard mode with generated noise, backward for tau from 2^-10 to 2, else of C n_max doubles. On a CPU one set when omega
 * and n are shared by all rows (log_omega_stride 0, n_rows NULL), else some for each thread; in backward as much again,
 * where omega is shared for each of at most 64 runs of rows. On a GPU, tables of as many rows at a time as fit in 256 MiB,
 * a few at least.
 * Returns GURN_SUCCESS, GURN_INVALID_ARGUMENT, GURN_INVALID_ROWS, GURN_INVALID_LOG_OMEGA (stride), GURN_UNSUPPORTED (a plan
 * for the law alone).
 */
GURN_API gurn_status gurn_mvhg_workspace(gurn_context *context, const gurn_plan *plan, const gurn_mvhg_inputs *inputs,
                                         size_t *forward_bytes, size_t *backward_bytes);

/*
 * Draws B rows. workspace: device memory of workspace_bytes, at least what gurn_mvhg_workspace said, aligned to 64 bytes on a
 * CPU and 256 on a GPU; NULL when that is 0. Nothing in it need be kept for backward.
 * Returns GURN_SUCCESS, GURN_INVALID_ARGUMENT, GURN_INVALID_N, GURN_INVALID_LOG_OMEGA, GURN_INVALID_TAU, GURN_INVALID_ORDER,
 * GURN_INVALID_ROWS, GURN_INVALID_NOISE, GURN_WORKSPACE_TOO_SMALL, GURN_UNSUPPORTED, GURN_CUDA_ERROR.
 */
GURN_API gurn_status gurn_mvhg_forward(gurn_context *context, const gurn_plan *plan, const gurn_mvhg_inputs *inputs,
                                       const gurn_mvhg_outputs *outputs, void *workspace, size_t workspace_bytes);

/*
 * Gradients of what gurn_mvhg_forward gave for the same inputs. x: real x[B][C], device memory, as forward returned it; where
 * that is NaN, so are the row's gradients.
 * The noise is drawn again from its address and nothing of size W is stored. In hard mode the gradient is the
 * straight-through estimator; in soft mode it is the derivative.
 * Returns what gurn_mvhg_forward returns, and GURN_INVALID_X.
 */
GURN_API gurn_status gurn_mvhg_backward(gurn_context *context, const gurn_plan *plan, const gurn_mvhg_inputs *inputs,
                                        const void *x, const gurn_mvhg_upstream *upstream,
                                        const gurn_mvhg_gradients *gradients, void *workspace, size_t workspace_bytes);

#define GURN_MVHG_INPUTS_INIT \
    { sizeof(gurn_mvhg_inputs), 0, NULL, 0, 0, NULL, 0.0, GURN_HARD, {GURN_NOISE_PHILOX, 0, 0, 0, NULL, NULL}, NULL }
#define GURN_MVHG_OUTPUTS_INIT \
    { sizeof(gurn_mvhg_outputs), NULL, NULL, NULL, NULL }
#define GURN_MVHG_UPSTREAM_INIT \
    { sizeof(gurn_mvhg_upstream), NULL, NULL, NULL, NULL }
#define GURN_MVHG_GRADIENTS_INIT \
    { sizeof(gurn_mvhg_gradients), NULL, NULL }

/* ----------------------------------------------------------------------------------------------------- the exact law --- */

/*
 * The law of [MVHG] Eq. 1 itself: P(x) = prod_c C(m[c], x[c]) omega[c]^x[c] / P0 over all x with sum n, whatever chain the plan draws
 * by. Of gurn_mvhg_inputs these functions read rows, log_omega, log_omega_stride, n and n_rows (and order, for the log-probability
 * of the merged chain); relaxation, tau and noise are ignored. All are computed in double arithmetic, in twice that where it takes
 * it, and rounded at the end. Errors below are those of float64 plans, for any urn; values below 1e-290 may come out as 0.
 */

/* What gurn_mvhg_law_workspace is asked about. */
typedef enum gurn_law {
    GURN_LAW_LOG_PROB = 0,   /* gurn_mvhg_log_prob and its backward */
    GURN_LAW_MOMENTS = 1,    /* gurn_mvhg_moments and its backward, covariance NULL */
    GURN_LAW_COVARIANCE = 2, /* the same with covariance: O(C) more for each thread or block */
    GURN_LAW_KL = 3,         /* gurn_mvhg_kl and its backward */
    GURN_LAW_MODE = 4        /* gurn_mvhg_mode */
} gurn_law;

/*
 * Bytes of workspace that a function and its backward need for these inputs (rows and log_omega_stride matter). O(threads * C), of
 * as many threads as there are rows at most, and O(C) more when a gradient is summed over rows. Alignment as for gurn_mvhg_forward.
 * Returns GURN_SUCCESS, GURN_INVALID_ARGUMENT, GURN_INVALID_ROWS, GURN_INVALID_LOG_OMEGA (stride).
 */
GURN_API gurn_status gurn_mvhg_law_workspace(gurn_context *context, const gurn_plan *plan,
                                             const gurn_mvhg_inputs *inputs, gurn_law law, size_t *bytes);

/*
 * Log-probability of given counts, in nats: under an exact plan the normalised Eq. 1,
 *     log_p[b] = sum_c (lgamma(m+1) - lgamma(x+1) - lgamma(m-x+1) + x log omega) - log P0;
 * under a merged plan that chain's, sum over all but the last class of logit_i(x_i) - logsumexp logit_i.
 *   x      real x[B][C], device memory. Real counts are allowed; a count outside (-1, m + 1) gives -infinity, and so does one
 *          that is not 0 of a class of omega 0. That the counts of a row sum to n is the caller's care: the formula is evaluated as
 *          it stands
 *   log_p  real log_p[B], device memory, out. Of whole counts with sum n never above 0, and 0 exactly where they are certain
 *          (n = 0, n = all balls, one class with balls). Error 1e-14 (1 + |log_p|), merged plan 1e-13 (1 + |log_p|), for real
 *          counts besides |sum x - n| times the rounding of log omega
 * Returns GURN_SUCCESS, GURN_INVALID_ARGUMENT, GURN_INVALID_N, GURN_INVALID_LOG_OMEGA, GURN_INVALID_ORDER, GURN_INVALID_ROWS,
 * GURN_INVALID_X (NaN), GURN_WORKSPACE_TOO_SMALL, GURN_CUDA_ERROR. So do all functions of this section, as far as it applies.
 */
GURN_API gurn_status gurn_mvhg_log_prob(gurn_context *context, const gurn_plan *plan, const gurn_mvhg_inputs *inputs,
                                        const void *x, void *log_p, void *workspace, size_t workspace_bytes);

/*
 * Its gradients.
 *   d_log_p      real [B], device memory: upstream
 *   d_log_omega  real [B][C], or [C] (the sum over rows, in a fixed order) when log_omega_stride is 0; out, or NULL
 *   d_x          real [B][C], out, or NULL. Every count is its own variable: nothing makes the gradient keep the sum n. 0 for a
 *                class of omega 0
 * Rows whose log_p is -infinity have gradient NaN.
 */
GURN_API gurn_status gurn_mvhg_log_prob_backward(gurn_context *context, const gurn_plan *plan,
                                                 const gurn_mvhg_inputs *inputs, const void *x, const void *d_log_p,
                                                 void *d_log_omega, void *d_x, void *workspace, size_t workspace_bytes);

/* Moments, or upstream gradients of moments. In device memory; NULL = not wanted, or zero. */
typedef struct gurn_mvhg_moments {
    size_t size;
    void *log_norm;   /* real log_norm[B]: log P0, the sum of prod_c C(m, x) omega^x over all x with sum n */
    void *mean;       /* real mean[B][C]: E x = d log P0 / d log omega */
    void *covariance; /* real covariance[B][C][C]: of x; = d mean / d log omega */
} gurn_mvhg_moments;
#define GURN_MVHG_MOMENTS_INIT \
    { sizeof(gurn_mvhg_moments), NULL, NULL, NULL }

/*
 * Exact log P0, mean and covariance: by a contour integral with at most 32 nodes, so O(C) a row, and O(C^2) for the covariance,
 * whatever m and n. Errors: log P0 1e-14 (|log P0| + sum_c mean_c |log omega_c|), the second of which is what a rounding of log
 * omega does to it; a mean 1e-14 of itself; a variance 1e-14 of itself, a covariance 1e-14 of the product of the standard
 * deviations. Rows of the covariance sum to 0 up to rounding; what is certain has variance 0 exactly.
 */
GURN_API gurn_status gurn_mvhg_moments_forward(gurn_context *context, const gurn_plan *plan,
                                               const gurn_mvhg_inputs *inputs, const gurn_mvhg_moments *moments,
                                               void *workspace, size_t workspace_bytes);

/*
 * Gradient to log omega of any of them: log P0 through the mean, the mean through the covariance, the covariance through the
 * third cumulants. 0 exactly for a class of omega 0.
 *   upstream     device memory; not written
 *   d_log_omega  real [B][C], or [C] when log_omega_stride is 0
 */
GURN_API gurn_status gurn_mvhg_moments_backward(gurn_context *context, const gurn_plan *plan,
                                                const gurn_mvhg_inputs *inputs, const gurn_mvhg_moments *upstream,
                                                void *d_log_omega, void *workspace, size_t workspace_bytes);

/*
 * Kullback-Leibler divergence KL(omega || other) of two laws on the same urn and n, in nats, in closed form:
 *     sum_c mean_omega[c] (log omega[c] - log other[c]) - log P0(omega) + log P0(other) >= 0.
 *   other, other_stride  real other[B][C], the other law's log omega, laid out as inputs->log_omega. omega = 0 is allowed in both:
 *                        a class that the other law never draws and this one may gives +infinity, one that neither draws is as
 *                        though it were not there. n is to be within what the other law's classes hold too
 *   kl                   real kl[B], out. Error 1e-12 of it, however close the laws are, and besides 1e-14 absolute where log omega -
 *                        log other spreads over more than 8
 */
GURN_API gurn_status gurn_mvhg_kl(gurn_context *context, const gurn_plan *plan, const gurn_mvhg_inputs *inputs,
                                  const void *other, int64_t other_stride, void *kl, void *workspace,
                                  size_t workspace_bytes);

/*
 * Its gradients. d_kl: real [B], upstream. d_log_omega, d_other: real [B][C], or [C] where the stride of log_omega, or of other, is
 * 0; or NULL. d_log_omega = cov (log omega - log other), d_other = mean_other - mean, both with an error, in terms of the largest entry,
 * like kl's. Rows whose kl is +infinity have gradient NaN.
 */
GURN_API gurn_status gurn_mvhg_kl_backward(gurn_context *context, const gurn_plan *plan, const gurn_mvhg_inputs *inputs,
                                           const void *other, int64_t other_stride, const void *d_kl, void *d_log_omega,
                                           void *d_other, void *workspace, size_t workspace_bytes);

/* The most probable counts of Eq. 1. x: int32 x[B][C], device memory, out. Among equally likely ones lower classes get more. */
GURN_API gurn_status gurn_mvhg_mode(gurn_context *context, const gurn_plan *plan, const gurn_mvhg_inputs *inputs,
                                    int32_t *x, void *workspace, size_t workspace_bytes);

/* --------------------------------------------------------------------------------------------------- plain draws --- */

/*
 * Whole counts, when no relaxation and no gradient is wanted: by inversion, one uniform a step. Under an exact plan the law is Eq. 1,
 * under a merged plan that chain's. (The relaxed sampler draws the same laws from other noise: its x for the same seed differ.)
 *
 * A uniform is u = floor(r / 2^11) / 2^53, r = word + 2^32 * next word of the noise, whose address is, with the place i in the
 * order for the count,
 *     gurn_mvhg_draw:           stream tag 2 << 24,      words k = 2 i and 2 i + 1
 *     gurn_hypergeometric_draw: stream tag 2 << 24 | 1,  words 0 and 1
 * so that counter.x = k >> 2, and so on as for gurn_noise. The counts of a step are listed from its mode upwards, and then from the
 * mode downwards; the draw is the first at which the running sum of the probabilities exceeds u. All that decides is exactly rounded
 * double arithmetic in a fixed order: x has the same bits on every device and instruction set, whatever the number of threads or the
 * split of a batch, and whether log omega (or n) is given once or for every row.
 *
 * Probabilities are right to 1e-11 relative up to a million balls, to 1e-9 always; counts whose probabilities sum to less than 2^-52
 * may never be drawn.
 *
 * Cost. Rows that share log omega and n share tables, and in large batches a draw takes a few nanoseconds a step. Where log omega or n
 * differ by row, the exact chain makes the tables of each row anew (on a CPU: unless log omega is shared and n that of the row before),
 * which costs as much as hundreds of draws; the merged chain, and rows whose omega are all equal or all but the first, need none.
 * (Classes that are never drawn do not count. On a CPU rows side by side are cheapest when they have the same of these.)
 *
 * inputs->log_omega may be NULL: all omega are equal, and the draws those of an array that says so. Then no memory for tables is asked
 * for, which the array might have needed, however many classes there are.
 */

/*
 * Bytes of workspace of gurn_mvhg_draw. Of inputs rows, log_omega_stride, n and whether n_rows and log_omega are NULL matter. O(C sqrt n)
 * for each set of tables (one, or on a CPU one a thread, on a GPU 256 MiB of them at most, or one), O(C) a thread, and 64 MiB at most for
 * what large batches share. Of the merged chain, and where log_omega is NULL, there are no tables.
 * Returns GURN_SUCCESS, GURN_INVALID_ARGUMENT, GURN_INVALID_ROWS, GURN_INVALID_LOG_OMEGA (stride), GURN_INVALID_N, GURN_UNSUPPORTED.
 */
GURN_API gurn_status gurn_mvhg_draw_workspace(gurn_context *context, const gurn_plan *plan,
                                              const gurn_mvhg_inputs *inputs, size_t *bytes);

/*
 * Draws B rows of counts. Of inputs, tau and relaxation are ignored, noise.kind must be GURN_NOISE_PHILOX, and log_omega may be NULL.
 *   x  int32 x[B][C], device memory, out: 0 <= x <= m, their sum over c is n
 * Where all omega of a row are equal, an exact plan needs no tables and draws by hypergeometric recurrences.
 * Returns GURN_SUCCESS, GURN_INVALID_ARGUMENT, GURN_INVALID_N, GURN_INVALID_LOG_OMEGA, GURN_INVALID_ORDER, GURN_INVALID_ROWS,
 * GURN_INVALID_NOISE, GURN_WORKSPACE_TOO_SMALL, GURN_UNSUPPORTED, GURN_CUDA_ERROR.
 */
GURN_API gurn_status gurn_mvhg_draw(gurn_context *context, const gurn_plan *plan, const gurn_mvhg_inputs *inputs,
                                    int32_t *x, void *workspace, size_t workspace_bytes);

/* An array of one value a row: row b reads data[b * stride]. All in device memory. */
typedef struct gurn_hypergeometric_inputs {
    size_t size;
    int64_t rows;      /* B >= 0 */
    const int32_t *m1; /* balls of the class that is counted, >= 0 */
    const int32_t *m2; /* other balls, >= 0; m1 + m2 <= GURN_MAX_BALLS */
    const int32_t *n;  /* drawn, 0..m1 + m2 */
    /* real: log odds of a ball of the first class against one of the others; NULL = 0, the central law. -infinity: none of the
       first class is ever drawn, infinity: none of the others, and n is at most what is left */
    const void *log_odds;
    gurn_dtype log_odds_dtype;
    int64_t m1_stride, m2_stride, n_stride,
        log_odds_stride; /* elements between rows, >= 0; 0 = one value shared by all rows */
    gurn_noise noise;    /* kind GURN_NOISE_PHILOX */
} gurn_hypergeometric_inputs;
#define GURN_HYPERGEOMETRIC_INPUTS_INIT                                                            \
    {                                                                                              \
        sizeof(gurn_hypergeometric_inputs), 0, NULL, NULL, NULL, NULL, GURN_FLOAT32, 0, 0, 0, 0, { \
            GURN_NOISE_PHILOX, 0, 0, 0, NULL, NULL                                                 \
        }                                                                                          \
    }

/*
 * Fisher's noncentral hypergeometric law, without a plan: how many of n balls drawn are of the first class,
 *     P(k) proportional to C(m1, k) C(m2, n - k) odds^k,     max(0, n - m2) <= k <= min(m1, n).
 *   x  int32 x[B], device memory, out; -1 where a GPU finds what a CPU context refuses
 * Odds beyond 2^+-200 are held there, unless they are 0 (x = 0) or infinite (x = n).
 * Returns GURN_SUCCESS, GURN_INVALID_ARGUMENT (NULL, unknown dtype, negative stride), GURN_INVALID_M, GURN_INVALID_N,
 * GURN_INVALID_LOG_OMEGA, GURN_INVALID_ROWS, GURN_INVALID_NOISE, GURN_UNSUPPORTED, GURN_CUDA_ERROR.
 */
GURN_API gurn_status gurn_hypergeometric_draw(gurn_context *context, const gurn_hypergeometric_inputs *inputs,
                                              int32_t *x);

#ifdef __cplusplus
}
#endif

#endif /* GUMBELURN_H */
