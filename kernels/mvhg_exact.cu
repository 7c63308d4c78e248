/*
 * The general path of the exact chain on a GPU: a warp takes a row (mvhg_general.cuh), whose tables (suffix_wide.h) it
 * first makes for itself; where omega and n are shared by all rows, one block has made one set for all.
 *
 * Memory. A warp's tables, and in backward their adjoint, are a room of the workspace, 8 C n bytes each and more. There
 * are as many warps as fit in GURN_ROOM_BYTES, one at least and GURN_ROOMS at most; each goes on to further rows. The
 * shared tables have a room of their own, and forward then needs no other.
 *
 * Gradients gather in the adjoint of the tables, which is swept through them once a row, or, where omega is shared,
 * once for as many of the warp's rows as had the same tables. Each warp's share of a gradient over rows is added up in
 * the order of the warps, whose number follows from the plan and the number of rows.
 */
#include "suffix_wide.cuh"

typedef struct gurn_exact_work {
    gurn_mvhg_work w;
    gurn_wide_sizes shared, own; /* of the room that all share, which comes first; of each warp's */
    size_t shared_bytes, own_bytes;
} gurn_exact_work;

/* One set of tables for the call, by one block. */
__global__ void __launch_bounds__(GURN_WIDE, 1) mvhg_exact_tables(const __grid_constant__ gurn_exact_work e) {
    gurn_wide_room room = {};
    gurn_wide_cut(e.shared, e.w.rooms, &room);
    int32_t n = gurn_work_n(e.w, 0);
    if (n >= 0) wide_build<GURN_WIDE>(e.w, 0, n, room, room, e.shared.stride);
}

/* The rooms of this warp: its own; and where its tables are. */
GURN_DEVICE void exact_rooms(const gurn_exact_work &e, gurn_wide_room *own, gurn_wide_room *tables) {
    gurn_wide_cut(e.own, e.w.rooms + e.shared_bytes + (size_t)blockIdx.x * e.own_bytes, own);
    *tables = *own;
    if (e.shared_bytes) gurn_wide_cut(e.shared, e.w.rooms, tables);
}

GURN_DEVICE gurn_general_law exact_law(const gurn_exact_work &e, const gurn_wide_room &tables,
                                       const gurn_wide_room &own) {
    gurn_general_law law = {};
    law.lambda = tables.lambda;
    law.lambda_stride = 1;
    law.suffix = tables.table;
    law.suffix_stride = e.own.stride;
    law.adjoint = e.w.grad.log_omega ? own.adjoint : NULL;
    law.first = own.adjoint_first;
    law.last = own.adjoint_last;
    law.logit = own.logit;
    law.logits = e.own.logits;
    return law;
}

__global__ void __launch_bounds__(GURN_WARP, 8) mvhg_exact_forward(const __grid_constant__ gurn_exact_work e) {
    gurn_wide_room own = {}, tables = {};
    exact_rooms(e, &own, &tables);
    int32_t built = -1;
    for (int64_t b = blockIdx.x; b < e.w.rows; b += gridDim.x) {
        int32_t n = gurn_work_n(e.w, b);
        if (n >= 0 && !e.shared_bytes && !(e.w.lambda_rows == 1 && n == built)) {
            wide_build<GURN_WARP>(e.w, b, n, tables, own, e.own.stride);
            built = n;
        }
        general_forward_row<true>(e.w, b, exact_law(e, tables, own));
    }
}

/* Writes the gradient of a row, or of the warp's rows, by class. */
GURN_DEVICE void exact_put(const gurn_exact_work &e, const gurn_wide_room &own, int64_t b) {
    for (int64_t c = gurn_lane(); c < e.own.classes; c += GURN_WARP) {
        if (e.w.partial)
            e.w.partial[blockIdx.x * (int64_t)e.own.classes + c] = own.gradient[c];
        else
            gurn_set_real(e.w.grad.log_omega, e.w.dtype, b * e.own.classes + c, own.gradient[c]);
    }
    __syncwarp();
}

__global__ void __launch_bounds__(GURN_WARP, 8) mvhg_exact_backward(const __grid_constant__ gurn_exact_work e) {
    gurn_wide_room own = {}, tables = {};
    exact_rooms(e, &own, &tables);
    bool wanted = e.w.grad.log_omega != NULL;
    int32_t built = e.shared_bytes ? gurn_work_n(e.w, 0) : -1, classes = e.own.classes; /* -1: no tables */
    for (int64_t at = gurn_lane(); wanted && at < (classes - 1) * e.own.stride; at += GURN_WARP) own.adjoint[at] = 0.0;
    for (int32_t i = gurn_lane(); i < classes; i += GURN_WARP) {
        own.adjoint_first[i] = GURN_WIDE_NONE;
        own.adjoint_last[i] = -1;
        own.gradient[i] = 0.0;
    }
    __syncwarp();
    for (int64_t b = blockIdx.x; b < e.w.rows; b += gridDim.x) {
        int32_t n = gurn_work_n(e.w, b);
        if (n >= 0 && !(e.w.lambda_rows == 1 && n == built)) {
            if (wanted && built >= 0) wide_sweep<GURN_WARP>(e.w, b, built, tables, own, e.own.stride);
            wide_build<GURN_WARP>(e.w, b, n, tables, own, e.own.stride);
            built = n;
        }
        general_backward_row<true>(e.w, b, exact_law(e, tables, own));
        if (!wanted) continue;
        __syncwarp();
        for (int32_t i = gurn_lane(); i < classes; i += GURN_WARP) {
            double *to = &own.gradient[e.w.order[i]], step = e.w.step[i * e.w.rows + b];
            *to = e.w.partial ? *to + step : step;
        }
        __syncwarp();
        if (e.w.partial) continue;
        if (n >= 0) wide_sweep<GURN_WARP>(e.w, b, n, tables, own, e.own.stride);
        built = -1; /* swept */
        exact_put(e, own, b);
    }
    if (!wanted || !e.w.partial) return;
    if (built >= 0) wide_sweep<GURN_WARP>(e.w, 0, built, tables, own, e.own.stride);
    exact_put(e, own, 0);
}

/* --------------------------------------------------------------------------------------------------- launchers --- */

cudaError_t gurn_cuda_load_mvhg_exact(void) {
    return gurn_load(mvhg_exact_tables, mvhg_exact_forward, mvhg_exact_backward);
}

static gurn_exact_work exact_work(const gurn_mvhg_job *job, bool backward) {
    gurn_exact_work e = {};
    bool shared = job->in.log_omega_stride == 0 && !job->in.n_rows;
    e.shared = e.own = gurn_wide_sizes_of(job);
    if (shared) {
        e.shared.tables = e.shared.work = true;
        e.shared_bytes = gurn_wide_cut(e.shared, NULL, NULL);
    }
    e.own.tables = !shared;
    e.own.work = !shared || backward;
    e.own.backward = backward;
    e.own_bytes = gurn_wide_cut(e.own, NULL, NULL);
    return e;
}

int64_t gurn_cuda_exact_groups(const gurn_mvhg_job *job, bool backward) {
    gurn_exact_work e = exact_work(job, backward);
    if (e.own_bytes == 0) return job->in.rows < INT32_MAX ? job->in.rows : INT32_MAX;
    int64_t fit = GURN_ROOM_BYTES / (int64_t)e.own_bytes,
            groups = job->in.rows < GURN_ROOMS ? job->in.rows : GURN_ROOMS;
    return groups < fit ? groups : fit > 1 ? fit : 1;
}

size_t gurn_cuda_exact_rooms(const gurn_mvhg_job *job, bool backward) {
    gurn_exact_work e = exact_work(job, backward);
    return e.shared_bytes + (e.own_bytes ? (size_t)gurn_cuda_exact_groups(job, backward) * e.own_bytes : 0);
}

static cudaError_t exact_launch(const gurn_mvhg_job *job, const gurn_mvhg_work &work, bool backward,
                                cudaStream_t stream) {
    gurn_exact_work e = exact_work(job, backward);
    e.w = work;
    if (e.shared_bytes) {
        cudaLaunchConfig_t config = gurn_launch_rows(1, 1, GURN_WIDE, stream);
        GURN_MUST(cudaLaunchKernelEx(&config, mvhg_exact_tables, e));
    }
    cudaLaunchConfig_t config = gurn_launch_rows(gurn_cuda_exact_groups(job, backward), 1, GURN_WARP, stream);
    if (backward)
        GURN_MUST(cudaLaunchKernelEx(&config, mvhg_exact_backward, e));
    else
        GURN_MUST(cudaLaunchKernelEx(&config, mvhg_exact_forward, e));
    return cudaSuccess;
}

cudaError_t gurn_cuda_exact_forward(const gurn_mvhg_job *job, const gurn_mvhg_work &work, cudaStream_t stream) {
    return exact_launch(job, work, false, stream);
}

cudaError_t gurn_cuda_exact_backward(const gurn_mvhg_job *job, const gurn_mvhg_work &work, cudaStream_t stream) {
    GURN_MUST(exact_launch(job, work, true, stream));
    if (!work.partial || !work.grad.log_omega) return cudaSuccess;
    return gurn_cuda_add_blocks(work, gurn_cuda_exact_groups(job, true), stream);
}
