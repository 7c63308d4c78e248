/*
 * The MVHG chain on a GPU: forward and fused backward of a batch (gumbelurn.h; mathematics in mvhg.h).
 *
 * Log odds come first: a thread takes a row and walks its places from last to first, in double, as the CPU does. They
 * are kept in the workspace as lambda [C][rows], 8 bytes a step, neighbouring rows side by side; and of every row what its
 * classes of omega > 0 hold, 4 bytes.
 *
 * A row that has a class of omega 0 (omega.h) has steps whose rest the plan has no tables of. It goes along silently with the
 * others, and is drawn by the general path in a launch of its own, which looks for such rows.
 *
 * The chain. float32 draws with generated noise are made here, everything else in mvhg_general.cu. A group of LANES
 * threads takes a row and walks its classes: 4 or 8 lanes where windows are short, a warp or a block of 256 where they
 * are long (lanes_of). A step is found its mode and window by the group's lanes together; then each lane strides the
 * window with four consecutive counts at a time: one block of Philox, one 16-byte load of the own table, four loads of
 * the rest's (whose alignment changes with what is left), four races. What a lane keeps is its best race (forward), or
 * its sums (backward), which the group combines when the window is done. Nothing is stored per count. Of device memory
 * a step reads 8 bytes of lambda, and writes its count (4 bytes) or its gradient (8 bytes); tables and steps come from
 * the cache.
 *
 * One-hots of hard draws are a function of x, and are written by a kernel of their own, neighbouring entries by
 * neighbouring threads.
 *
 * Gradients. Each step's gradient at fixed log omega_R goes to the workspace, [C][rows]; a thread a row spreads them
 * over the classes (mvhg.h, gurn_merged_share). Summed over rows, they are added within each block of 128 rows, then
 * the blocks by another kernel.
 *
 * Determinism: x depends on no order (least values). Sums are taken in an order that the plan and the number of rows
 * determine, without atomics.
 */
#include "mvhg_race.cuh"

/*
 * ------------------------------------------------------------------------------------------------- before the chain
 * ---
 */

/* gurn_cuda_log_odds; rows = 1 when all share one row. */
__global__ void mvhg_lambda(gurn_plan_view view, const int32_t *order, const void *log_omega, gurn_dtype dtype,
                            int64_t stride, int64_t rows, double *lambda, int32_t *balls) {
    for (int64_t b = (int64_t)blockIdx.x * GURN_BLOCK + threadIdx.x; b < rows; b += (int64_t)gridDim.x * GURN_BLOCK) {
        bool good = true;
        int32_t held = 0;
        for (int32_t i = 0; log_omega && i < view.classes; i++) {
            double value = gurn_real(log_omega, dtype, b * stride + order[i]);
            good &= value < INFINITY;
            held += gurn_omega_is_zero(value) ? 0 : view.steps[i].m;
        }
        if (balls) balls[b] = good ? held : -1;
        if (!lambda) continue;
        gurn_merged_odds(&view, order, log_omega, dtype, b * stride, lambda + b, rows);
        if (!good) lambda[b] = NAN;
    }
}

/*
 * An order that came with the call, in host memory: it travels in the launches' parameters, of which 4096 bytes are
 * allowed.
 */
#define GURN_ORDER_PART 960
typedef struct gurn_order_part {
    int32_t entry[GURN_ORDER_PART];
} gurn_order_part;
__global__ void mvhg_order(const __grid_constant__ gurn_order_part part, int32_t count, int32_t *order) {
    for (int32_t i = (int32_t)threadIdx.x; i < count; i += GURN_BLOCK) order[i] = part.entry[i];
}

/*
 * ----------------------------------------------------------------------------------------------------------- forward
 * ---
 */

template <int LANES, bool WITH_P>
__global__ void __launch_bounds__(GURN_THREADS(LANES), 640 / GURN_THREADS(LANES))
    mvhg_race(const __grid_constant__ gurn_mvhg_work w) {
    constexpr int ROWS = LANES < GURN_BLOCK ? GURN_BLOCK / LANES : 1; /* rows of a block */
    if (w.lambda_rows == 1 && gurn_work_has_urn(w, 0)) return;        /* no row is for this kernel */
    gurn_noise_keys keys = gurn_work_keys(w);
    for (int64_t first = (int64_t)blockIdx.x * ROWS; first < w.rows; first += (int64_t)gridDim.x * ROWS) {
        int64_t b = first + threadIdx.x / LANES;
        bool live = b < w.rows; /* groups beyond the last row go along with it, silently */
        if (!live) b = w.rows - 1;
        live = live && !gurn_work_has_urn(w, b);
        const double *odds = gurn_work_odds(w, b);
        int32_t n = gurn_work_n(w, b);
        gurn_race_row<LANES, WITH_P, false>(
            w, w.view.steps, b, live, n, keys, [&](const gurn_step *step, int32_t i, int32_t left) {
                return gurn_step_begin(step, n < 0 ? 0.0 : odds[i * w.lambda_rows], left);
            });
    }
}

/*
 * One-hots and filled masks of hard draws, [rows][W], from x [rows][C]. A block covers `columns` entries of 256 /
 * columns rows at a time: each thread looks its class up once, then goes down the rows.
 */
template <class Real>
__global__ void __launch_bounds__(256) mvhg_one_hots(gurn_plan_view view, int64_t rows, int64_t width, int32_t columns,
                                                     const Real *x, Real *y, Real *mask) {
    int64_t column = (int64_t)blockIdx.x * columns + threadIdx.x % columns;
    int32_t at_once = 256 / columns, row = (int32_t)threadIdx.x / columns;
    if (column >= width || row >= at_once) return;
    int32_t low = 0, high = view.classes - 1; /* the last class that begins at or before the column */
    while (low < high) {
        int32_t middle = low + (high - low + 1) / 2;
        if (view.offset[middle] <= column)
            low = middle;
        else
            high = middle - 1;
    }
    Real k = (Real)(column - view.offset[low]);
    for (int64_t b = (int64_t)blockIdx.y * at_once + row; b < rows; b += (int64_t)gridDim.y * at_once) {
        Real drawn = x[b * view.classes + low];
        bool bad = drawn != drawn;
        if (y) y[b * width + column] = bad ? drawn : (Real)(k == drawn);
        if (mask) mask[b * width + column] = bad ? drawn : (Real)(k <= drawn);
    }
}

/*
 * --------------------------------------------------------------------------------------------------------- launchers
 * ---
 */

cudaError_t gurn_cuda_load(void) {
    GURN_MUST(gurn_load(mvhg_lambda, mvhg_order, mvhg_one_hots<float>, mvhg_one_hots<double>));
    GURN_MUST(
        gurn_load(mvhg_race<4, false>, mvhg_race<8, false>, mvhg_race<GURN_WARP, false>, mvhg_race<GURN_WIDE, false>));
    GURN_MUST(
        gurn_load(mvhg_race<4, true>, mvhg_race<8, true>, mvhg_race<GURN_WARP, true>, mvhg_race<GURN_WIDE, true>));
    GURN_MUST(gurn_cuda_load_mvhg_backward());
    GURN_MUST(gurn_cuda_load_mvhg_exact());
    GURN_MUST(gurn_cuda_load_mvhg_general());
    GURN_MUST(gurn_cuda_load_mvhg_suffix());
    GURN_MUST(gurn_cuda_load_law());
    GURN_MUST(gurn_cuda_load_law_merged());
    return gurn_cuda_load_plain();
}

/* The workspace: what both directions need, and what backward needs besides. */
typedef struct gurn_space {
    double *lambda;
    int32_t *balls, *order;
    void *x;
    double *step, *partial;
    char *rooms;
    size_t bytes;
} gurn_space;
static gurn_space space_of(const gurn_mvhg_job *job, bool backward) {
    gurn_space s = {};
    size_t classes = (size_t)job->view->classes, rows = (size_t)job->in.rows;
    size_t lambda_rows = job->in.log_omega_stride == 0 ? 1 : rows;
    bool exact = job->chain == GURN_CHAIN_EXACT, fast = gurn_is_fast(job, backward);
    size_t real_size = job->dtype == GURN_FLOAT32 ? sizeof(float) : sizeof(double);
    auto cut = [&](size_t bytes) {
        void *p = job->workspace ? (char *)job->workspace + s.bytes : NULL;
        s.bytes += (bytes + 255) & ~(size_t)255;
        return p;
    };
    if (!exact) s.lambda = (double *)cut(classes * lambda_rows * sizeof *s.lambda);
    s.balls = (int32_t *)cut(lambda_rows * sizeof *s.balls);
    s.order = (int32_t *)cut(classes * sizeof *s.order);
    if (!backward && job->in.relaxation == GURN_HARD) s.x = cut(rows * classes * real_size);
    if (backward) s.step = (double *)cut(rows * classes * sizeof *s.step);
    int64_t blocks = !exact ? gurn_blocks_of(job->in.rows, GURN_BLOCK)
                     : fast ? gurn_cuda_suffix_groups(job, backward)
                            : gurn_cuda_exact_groups(job, backward);
    if (backward && job->in.log_omega_stride == 0)
        s.partial = (double *)cut((size_t)blocks * classes * sizeof *s.partial);
    if (exact)
        s.rooms = (char *)cut(fast ? gurn_cuda_suffix_rooms(job, backward) : gurn_cuda_exact_rooms(job, backward));
    return s;
}

size_t gurn_cuda_mvhg_bytes(const gurn_mvhg_job *job, bool backward) {
    gurn_mvhg_job sized = *job;
    sized.workspace = NULL;
    return space_of(&sized, backward).bytes;
}

cudaError_t gurn_cuda_put_order(const int32_t *order, int32_t classes, int32_t *to, cudaStream_t stream) {
    for (int32_t at = 0; at < classes; at += GURN_ORDER_PART) {
        gurn_order_part part = {};
        int32_t count = classes - at < GURN_ORDER_PART ? classes - at : GURN_ORDER_PART;
        memcpy(part.entry, order + at, (size_t)count * sizeof *part.entry);
        cudaLaunchConfig_t config = gurn_launch_rows(1, 1, GURN_BLOCK, stream);
        GURN_MUST(cudaLaunchKernelEx(&config, mvhg_order, part, count, to + at));
    }
    return cudaSuccess;
}

cudaError_t gurn_cuda_log_odds(const gurn_plan_view &view, const int32_t *order, const void *log_omega,
                               gurn_dtype dtype, int64_t stride, int64_t rows, double *lambda, int32_t *balls,
                               cudaStream_t stream) {
    cudaLaunchConfig_t config = gurn_launch_rows(rows, GURN_BLOCK, GURN_BLOCK, stream);
    GURN_MUST(cudaLaunchKernelEx(&config, mvhg_lambda, view, order, log_omega, dtype, stride, rows, lambda, balls));
    return cudaSuccess;
}

cudaError_t gurn_cuda_begin(const gurn_mvhg_job *job, bool backward, cudaStream_t stream, gurn_mvhg_work *w) {
    gurn_space space = space_of(job, backward);
    const gurn_mvhg_inputs *in = &job->in;
    w->view = *job->view;
    w->order = job->plan_order ? job->view->order : space.order;
    w->lambda = space.lambda;
    w->balls = space.balls;
    w->lambda_rows = in->log_omega_stride == 0 ? 1 : in->rows;
    w->log_omega = in->log_omega;
    w->log_omega_stride = in->log_omega_stride;
    w->rows = in->rows;
    w->width = job->width;
    w->n = in->n;
    w->n_max = job->n_max;
    w->total = (int32_t)(job->width - job->view->classes);
    w->n_rows = in->n_rows;
    w->noise = in->noise;
    w->inv_tau = 1.0 / in->tau;
    w->dtype = job->dtype;
    w->soft = in->relaxation == GURN_SOFT;
    w->out = job->out;
    w->x = job->x;
    w->upstream = job->upstream;
    w->grad = job->grad;
    w->room = space.x;
    w->step = space.step;
    w->partial = space.partial;
    w->rooms = space.rooms;
    if (!job->plan_order) GURN_MUST(gurn_cuda_put_order(in->order, job->view->classes, space.order, stream));
    return gurn_cuda_log_odds(w->view, w->order, in->log_omega, job->dtype, in->log_omega_stride, w->lambda_rows,
                              w->lambda, w->balls, stream);
}

template <int LANES>
static cudaError_t launch_race(const gurn_mvhg_work &w, cudaStream_t stream) {
    constexpr int threads = GURN_THREADS(LANES);
    cudaLaunchConfig_t config = gurn_launch_rows(w.rows, threads / LANES, threads, stream);
    if (w.out.log_p)
        GURN_MUST(cudaLaunchKernelEx(&config, mvhg_race<LANES, true>, w));
    else
        GURN_MUST(cudaLaunchKernelEx(&config, mvhg_race<LANES, false>, w));
    return cudaSuccess;
}

template <class Real>
static cudaError_t launch_one_hots(const gurn_mvhg_work &w, cudaStream_t stream) {
    int32_t columns = w.width < 256 ? (int32_t)w.width : 256;
    int64_t rows = w.rows / (256 / columns) + 1;
    cudaLaunchConfig_t config = gurn_launch_rows(w.width, columns, 256, stream);
    config.gridDim.y = (unsigned)(rows < 4096 ? rows : 4096);
    GURN_MUST(cudaLaunchKernelEx(&config, mvhg_one_hots<Real>, w.view, w.rows, w.width, columns, (const Real *)w.out.x,
                                 (Real *)w.out.y, (Real *)w.out.mask));
    return cudaSuccess;
}

cudaError_t gurn_cuda_mvhg_forward(const gurn_mvhg_job *job, cudaStream_t stream) {
    gurn_mvhg_work w;
    GURN_MUST(gurn_cuda_begin(job, false, stream, &w));
    bool one_hots = !w.soft && (w.out.y || w.out.mask);
    if (one_hots && !w.out.x) w.out.x = w.room;
    if (job->chain == GURN_CHAIN_EXACT) {
        GURN_MUST(gurn_is_fast(job, false) ? gurn_cuda_suffix_forward(job, w, stream)
                                           : gurn_cuda_exact_forward(job, w, stream));
    } else if (!gurn_is_fast(job, false)) {
        GURN_MUST(gurn_cuda_general_forward(w, false, stream));
    } else {
        int lanes = gurn_lanes_of(job);
        GURN_MUST(lanes == 4           ? launch_race<4>(w, stream)
                  : lanes == 8         ? launch_race<8>(w, stream)
                  : lanes == GURN_WARP ? launch_race<GURN_WARP>(w, stream)
                                       : launch_race<GURN_WIDE>(w, stream));
        GURN_MUST(gurn_cuda_general_forward(w, true, stream));
    }
    if (one_hots)
        GURN_MUST(job->dtype == GURN_FLOAT32 ? launch_one_hots<float>(w, stream) : launch_one_hots<double>(w, stream));
    return cudaSuccess;
}
