/*
 * The exact chain's float32 draws and their gradients on a GPU: mvhg.cu's and mvhg_backward.cu's walks through a row, over
 * suffix tables (suffix.h). It draws what mvhg_suffix_cpu.c draws, bit for bit.
 *
 * Where omega and n are shared by all rows one block makes one set of tables, and rows are drawn by groups as narrow as the
 * merged chain's. Otherwise a warp takes a row and makes its tables first, in a room of the workspace: 12 bytes an entry and
 * O(C sqrt(n)) entries (backward: 24). In backward a warp takes a row in both cases, and has room for what gathers at the
 * tables: of one row (own tables), or of all its rows (shared ones; summed in double, then over the warps in order, then
 * sent on in one sweep by one block). There are as many rooms as fit into GURN_ROOM_BYTES, one block's at least and
 * GURN_ROOMS at most; their number follows from the plan and the number of rows, and so does the order of every sum.
 */
#include "mvhg_pull.cuh"
#include "mvhg_race.cuh"
#include "mvhg_suffix.cuh"

#define WARPS (GURN_BLOCK / GURN_WARP)

typedef struct gurn_suffix_work {
    gurn_mvhg_work w;
    double bits;
    gurn_suffix_sizes shared, own; /* of the room that all share, which comes first; of each warp's */
    size_t shared_bytes, own_bytes;
    int64_t warps;
} gurn_suffix_work;

__global__ void __launch_bounds__(GURN_WIDE, 1) mvhg_suffix_tables(const __grid_constant__ gurn_suffix_work e) {
    gurn_suffix_room room = {};
    gurn_suffix_room_cut(e.shared, e.w.rooms, &room);
    gurn_suffix_room_build<GURN_WIDE, true>(e.w, e.shared, e.bits, 0, gurn_work_n(e.w, 0), room);
}

/* The room of this warp; its tables may be the shared ones. */
GURN_DEVICE gurn_suffix_room suffix_room(const gurn_suffix_work &e) {
    gurn_suffix_room own = {}, shared = {};
    int64_t warp = (int64_t)blockIdx.x * WARPS + threadIdx.x / GURN_WARP;
    gurn_suffix_room_cut(e.own, e.w.rooms + e.shared_bytes + (size_t)warp * e.own_bytes, &own);
    if (e.shared_bytes) {
        gurn_suffix_room_cut(e.shared, e.w.rooms, &shared);
        own.places = shared.places;
        own.steps = shared.steps;
        own.rest = shared.rest;
        own.tables = shared.tables;
        own.psi = shared.psi;
    }
    return own;
}

/* Shared tables. */
template <int LANES, bool WITH_P>
__global__ void __launch_bounds__(GURN_THREADS(LANES), 640 / GURN_THREADS(LANES))
    mvhg_suffix_race(const __grid_constant__ gurn_suffix_work e) {
    constexpr int ROWS = LANES < GURN_BLOCK ? GURN_BLOCK / LANES : 1;
    gurn_noise_keys keys = gurn_work_keys(e.w);
    gurn_suffix_room room = {};
    gurn_suffix_room_cut(e.shared, e.w.rooms, &room);
    int32_t n = gurn_work_n(e.w, 0);
    for (int64_t first = (int64_t)blockIdx.x * ROWS; first < e.w.rows; first += (int64_t)gridDim.x * ROWS) {
        int64_t b = first + threadIdx.x / LANES;
        bool live = b < e.w.rows;
        if (!live) b = e.w.rows - 1;
        gurn_race_row<LANES, WITH_P, false>(e.w, room.steps, b, live, n, keys,
                                            [&](const gurn_step *step, int32_t i, int32_t left) {
                                                return gurn_suffix_step_begin(step, i, left, room);
                                            });
    }
}

/* Tables of each row. A row with the n of the warp's last one has its tables, where omega is shared. */
template <bool WITH_P>
__global__ void __launch_bounds__(GURN_BLOCK, 512 / GURN_BLOCK)
    mvhg_suffix_race_rows(const __grid_constant__ gurn_suffix_work e) {
    gurn_noise_keys keys = gurn_work_keys(e.w);
    gurn_suffix_room room = suffix_room(e);
    int64_t warp = (int64_t)blockIdx.x * WARPS + threadIdx.x / GURN_WARP;
    int32_t built = -2;
    for (int64_t b = warp; b < e.w.rows; b += e.warps) {
        int32_t n = gurn_work_n(e.w, b);
        if (e.w.log_omega_stride != 0 || n != built)
            gurn_suffix_room_build<GURN_WARP, false>(e.w, e.own, e.bits, b, n, room);
        built = n;
        gurn_race_row<GURN_WARP, WITH_P, true>(e.w, gurn_suffix_room_view<false>(e.w, b, room).steps, b, true, n, keys,
                                               [&](const gurn_step *step, int32_t i, int32_t left) {
                                                   return gurn_suffix_step_begin(step, i, left, room);
                                               });
    }
}

/* ----------------------------------------------------------------------------------------------------- backward --- */

/*
 * FULL: as mvhg_pull has it. OWN: tables of each row. Gradients by place: a row's go to the caller; or they are added to the
 * warp's, in e.w.partial at the end.
 */
template <bool FULL, bool OWN>
__global__ void __launch_bounds__(GURN_BLOCK, (FULL && OWN ? 256 : 384) / GURN_BLOCK)
    mvhg_suffix_pull(const __grid_constant__ gurn_suffix_work e) {
    gurn_noise_keys keys = gurn_work_keys(e.w);
    gurn_suffix_room room = suffix_room(e);
    int64_t warp = (int64_t)blockIdx.x * WARPS + threadIdx.x / GURN_WARP;
    int32_t classes = e.w.view.classes, built = -2;
    bool wanted = e.w.grad.log_omega != NULL;
    if (!OWN && wanted) gurn_suffix_room_clear<GURN_WARP>(e.own, room.sum);
    for (int32_t i = gurn_lane(); i < classes; i += GURN_WARP) room.gradient[i] = 0.0;
    __syncwarp();
    for (int64_t b = warp; b < e.w.rows; b += e.warps) {
        int32_t n = gurn_work_n(e.w, b);
        if (OWN && (e.w.log_omega_stride != 0 || n != built))
            gurn_suffix_room_build<GURN_WARP, false>(e.w, e.own, e.bits, b, n, room);
        built = n;
        if (OWN && wanted) {
            gurn_suffix_room_clear<GURN_WARP>(e.own, room.adjoint);
            __syncwarp();
        }
        gurn_plan_view view = gurn_suffix_room_view<!OWN>(e.w, b, room);
        int32_t last, before;
        gurn_suffix_last(view, &last, &before);
        bool bad = !gurn_row_is_good<GURN_WARP>(e.w, view.steps, b);
        gurn_pull_row<GURN_WARP, FULL, true, OWN>(
            e.w, view.steps, b, true, bad, keys,
            [&](const gurn_step *step, int32_t i, int32_t left, gurn_pull_step *t) {
                gurn_race_step s = gurn_suffix_step_begin(step, i, left, room);
                const gurn_suffix *next = &room.places[i + 1];
                bool choice = s.support.low < s.support.high;
                /* Where one class is left S(r) = C(m_R, r) omega^r: psi is the merged chain's, and no table is reached. */
                if (i == before)
                    t->psi = (const float *)view.steps[last].own.psi + (step->m_rest - left);
                else if (choice)
                    t->psi = room.psi + (next->begin + next->top - left);
                if (!choice) t->psi = room.psi - (s.support.low & ~3);
                if (!wanted || i == before || !choice) return s;
                t->w = room.w;
                t->wu = room.wu;
                t->p = room.p;
                if (OWN)
                    t->own = room.adjoint + (next->begin + next->top - left);
                else
                    t->all = room.sum + (next->begin + next->top - left);
                return s;
            });
        __syncwarp();
        if (!wanted) continue;
        /* The step before the last class reads log S(r) = r log omega + ..., r = n_i - k. */
        for (int32_t i = gurn_lane(); i < classes; i += GURN_WARP) {
            double gradient = e.w.step[i * e.w.rows + b];
            if (i == last && before >= 0) gradient -= e.w.step[before * e.w.rows + b];
            room.gradient[i] = e.w.partial ? room.gradient[i] + gradient : gradient;
        }
        __syncwarp();
        if (OWN && !bad && room.places[0].variance_left > 0.0) /* neither n = 0 nor n = sum m */
            gurn_suffix_room_sweep<GURN_WARP>(view, room, room.gradient);
        __syncwarp();
        for (int32_t i = gurn_lane(); !e.w.partial && i < classes; i += GURN_WARP)
            ((float *)e.w.grad.log_omega)[b * classes + e.w.order[i]] = (float)room.gradient[i];
        __syncwarp();
    }
    for (int32_t i = gurn_lane(); wanted && e.w.partial && i < classes; i += GURN_WARP)
        e.w.partial[warp * classes + e.w.order[i]] = room.gradient[i];
}

/* What all warps' rows sent to one entry of the shared tables, summed in the order of the warps. */
__global__ void __launch_bounds__(GURN_BLOCK) mvhg_suffix_gather(const __grid_constant__ gurn_suffix_work e) {
    gurn_suffix_room shared = {};
    gurn_suffix_room_cut(e.shared, e.w.rooms, &shared);
    int64_t entries = e.shared.classes * e.shared.table;
    for (int64_t j = (int64_t)blockIdx.x * GURN_BLOCK + threadIdx.x; j < entries;
         j += (int64_t)gridDim.x * GURN_BLOCK) {
        double total = 0.0;
        for (int64_t warp = 0; warp < e.warps; warp++) {
            gurn_suffix_room own = {};
            gurn_suffix_room_cut(e.own, e.w.rooms + e.shared_bytes + (size_t)warp * e.own_bytes, &own);
            total += own.sum[j];
        }
        shared.adjoint[j] = (float)total;
    }
}

/* Sends it on: one more row of partial sums. */
__global__ void __launch_bounds__(GURN_WIDE) mvhg_suffix_sweep(const __grid_constant__ gurn_suffix_work e) {
    gurn_suffix_room room = {};
    gurn_suffix_room_cut(e.shared, e.w.rooms, &room);
    int32_t classes = e.w.view.classes;
    /* By place in the room of the first warp, which is done with it. */
    gurn_suffix_room own = {};
    gurn_suffix_room_cut(e.own, e.w.rooms + e.shared_bytes, &own);
    for (int32_t i = (int32_t)threadIdx.x; i < classes; i += GURN_WIDE) own.gradient[i] = 0.0;
    __syncthreads();
    if (room.places[0].variance_left > 0.0)
        gurn_suffix_room_sweep<GURN_WIDE>(gurn_suffix_room_view<true>(e.w, 0, room), room, own.gradient);
    __syncthreads();
    for (int32_t i = (int32_t)threadIdx.x; i < classes; i += GURN_WIDE)
        e.w.partial[e.warps * classes + e.w.order[i]] = own.gradient[i];
}

/* --------------------------------------------------------------------------------------------------- launchers --- */

static gurn_suffix_work suffix_work(const gurn_mvhg_job *job, bool backward) {
    gurn_suffix_work e = {};
    bool shared = job->in.log_omega_stride == 0 && !job->in.n_rows;
    double m = job->max_m, total = (double)(job->width - job->view->classes), tau = job->in.tau;
    e.bits = gurn_suffix_bits(GURN_SUFFIX_RACE_BITS, job->view->classes, backward && tau > 0.0 ? tau : 0.0);
    gurn_suffix_sizes s = {};
    s.classes = job->view->classes;
    s.backward = backward;
    s.own = gurn_suffix_width(m, total, job->n_max, e.bits);
    s.table = (gurn_suffix_width(total, total, job->n_max, e.bits) + 2 * GURN_SUFFIX_EDGE + 3) & ~(int64_t)3;
    e.shared = e.own = s;
    if (shared) {
        e.shared.tables = true;
        e.shared_bytes = gurn_suffix_room_cut(e.shared, NULL, NULL);
    }
    e.own.tables = !shared;
    e.own.gradient = backward;
    e.own.many = shared;
    e.own_bytes = gurn_suffix_room_cut(e.own, NULL, NULL);
    int64_t blocks = gurn_blocks_of(job->in.rows, WARPS), most = GURN_ROOMS / WARPS;
    if (e.own_bytes) {
        int64_t fit = GURN_ROOM_BYTES / (int64_t)(WARPS * e.own_bytes);
        most = fit < 1 ? 1 : fit < most ? fit : most;
    }
    e.warps = (blocks < most ? blocks : most) * WARPS;
    return e;
}

int64_t gurn_cuda_suffix_groups(const gurn_mvhg_job *job, bool backward) {
    return suffix_work(job, backward).warps + 1;
}

size_t gurn_cuda_suffix_rooms(const gurn_mvhg_job *job, bool backward) {
    gurn_suffix_work e = suffix_work(job, backward);
    return e.shared_bytes + (size_t)e.warps * e.own_bytes;
}

cudaError_t gurn_cuda_load_mvhg_suffix(void) {
    GURN_MUST(gurn_load(mvhg_suffix_tables, mvhg_suffix_gather, mvhg_suffix_sweep));
    GURN_MUST(gurn_load(mvhg_suffix_race<4, false>, mvhg_suffix_race<8, false>, mvhg_suffix_race<GURN_WARP, false>,
                        mvhg_suffix_race<GURN_WIDE, false>));
    GURN_MUST(gurn_load(mvhg_suffix_race<4, true>, mvhg_suffix_race<8, true>, mvhg_suffix_race<GURN_WARP, true>,
                        mvhg_suffix_race<GURN_WIDE, true>));
    GURN_MUST(gurn_load(mvhg_suffix_race_rows<false>, mvhg_suffix_race_rows<true>));
    return gurn_load(mvhg_suffix_pull<false, false>, mvhg_suffix_pull<false, true>, mvhg_suffix_pull<true, false>,
                     mvhg_suffix_pull<true, true>);
}

static cudaError_t launch_tables(const gurn_suffix_work &e, cudaStream_t stream) {
    cudaLaunchConfig_t config = gurn_launch_rows(1, 1, GURN_WIDE, stream);
    if (e.shared_bytes) GURN_MUST(cudaLaunchKernelEx(&config, mvhg_suffix_tables, e));
    return cudaSuccess;
}

template <int LANES>
static cudaError_t launch_race(const gurn_suffix_work &e, cudaStream_t stream) {
    constexpr int threads = GURN_THREADS(LANES);
    cudaLaunchConfig_t config = gurn_launch_rows(e.w.rows, threads / LANES, threads, stream);
    if (e.w.out.log_p)
        GURN_MUST(cudaLaunchKernelEx(&config, mvhg_suffix_race<LANES, true>, e));
    else
        GURN_MUST(cudaLaunchKernelEx(&config, mvhg_suffix_race<LANES, false>, e));
    return cudaSuccess;
}

cudaError_t gurn_cuda_suffix_forward(const gurn_mvhg_job *job, const gurn_mvhg_work &work, cudaStream_t stream) {
    gurn_suffix_work e = suffix_work(job, false);
    e.w = work;
    GURN_MUST(launch_tables(e, stream));
    if (e.shared_bytes) {
        int lanes = gurn_lanes_of(job);
        return lanes == 4           ? launch_race<4>(e, stream)
               : lanes == 8         ? launch_race<8>(e, stream)
               : lanes == GURN_WARP ? launch_race<GURN_WARP>(e, stream)
                                    : launch_race<GURN_WIDE>(e, stream);
    }
    cudaLaunchConfig_t config = gurn_launch_rows(e.warps, WARPS, GURN_BLOCK, stream);
    if (e.w.out.log_p)
        GURN_MUST(cudaLaunchKernelEx(&config, mvhg_suffix_race_rows<true>, e));
    else
        GURN_MUST(cudaLaunchKernelEx(&config, mvhg_suffix_race_rows<false>, e));
    return cudaSuccess;
}

template <bool OWN>
static cudaError_t launch_pull(const gurn_suffix_work &e, cudaStream_t stream) {
    cudaLaunchConfig_t config = gurn_launch_rows(e.warps, WARPS, GURN_BLOCK, stream);
    if (e.w.inv_tau != 1.0 || e.w.grad.tau || e.w.upstream.y || e.w.upstream.mask)
        GURN_MUST(cudaLaunchKernelEx(&config, mvhg_suffix_pull<true, OWN>, e));
    else
        GURN_MUST(cudaLaunchKernelEx(&config, mvhg_suffix_pull<false, OWN>, e));
    return cudaSuccess;
}

cudaError_t gurn_cuda_suffix_backward(const gurn_mvhg_job *job, const gurn_mvhg_work &work, cudaStream_t stream) {
    gurn_suffix_work e = suffix_work(job, true);
    e.w = work;
    GURN_MUST(launch_tables(e, stream));
    if (!e.shared_bytes) GURN_MUST(launch_pull<true>(e, stream));
    if (e.shared_bytes) GURN_MUST(launch_pull<false>(e, stream));
    if (!e.w.grad.log_omega || !e.w.partial) return cudaSuccess;
    if (e.shared_bytes) {
        cudaLaunchConfig_t config = gurn_launch_rows(e.shared.classes * e.shared.table, GURN_BLOCK, GURN_BLOCK, stream);
        GURN_MUST(cudaLaunchKernelEx(&config, mvhg_suffix_gather, e));
        config = gurn_launch_rows(1, 1, GURN_WIDE, stream);
        GURN_MUST(cudaLaunchKernelEx(&config, mvhg_suffix_sweep, e));
    }
    return gurn_cuda_add_blocks(e.w, e.warps + (e.shared_bytes ? 1 : 0), stream);
}
