/*
 * A call of the exact chain by the fast path: the suffix tables of its rows (suffix.h), then the same tiles and sweeps
 * as the merged chain has (mvhg_cpu.c), then the gradient through the tables (suffix_adjoint_cpu.h).
 *
 * Tables: once a call where omega and n are the same for all rows, once a row otherwise, for as many rows of a tile at
 * a time as fit into GURN_SUFFIX_CACHE, and have the same urn (omega.h). Memory: those tables, which take O(C sqrt(n)) entries, a thread, or one of them
 * and one of gradients for every run of rows. Determinism: with shared tables rows are dealt into runs whose number
 * does not depend on the threads; gradients are summed in row order within a run, then over runs in order.
 */
#include "mvhg_cpu.h"
#include "suffix_adjoint_cpu.h"

#define GURN_SUFFIX_CACHE (1 << 19)
/* Runs of rows of one gradient each: few where that takes much memory. */
#define GURN_SUFFIX_RUNS 64
#define GURN_SUFFIX_RUN_BYTES ((size_t)1 << 26)

/* Tables of one omega and n; backward has all, forward places and rest. */
typedef struct table_set {
    gurn_suffix *places;
    int32_t *rest;
    float *psi, *tables;
} table_set;

/* What a call's memory looks like. */
typedef struct layout {
    double bits;
    bool backward, shared; /* shared: one table_set serves all rows */
    gurn_suffix_capacity capacity;
    int threads;      /* no more than there are runs, or tiles */
    int rows;         /* that a thread has tables of at a time */
    int64_t runs;     /* of rows, whose gradients are summed apart; 0: not summed */
    size_t set_bytes; /* a table_set */
    size_t scratch_bytes, work_bytes, sweep_bytes, thread_bytes, run_bytes, bytes;
} layout;

static size_t set_cut(const layout *l, int32_t classes, char *p, table_set *set) {
    size_t entries = (size_t)l->capacity.entries, at = 0;
    if (p) set->places = (gurn_suffix *)p;
    at += gurn_padded((size_t)classes * sizeof(gurn_suffix));
    if (p) set->rest = (int32_t *)(p + at);
    at += gurn_padded(entries * sizeof(int32_t));
    if (!l->backward) return at;
    if (p) set->psi = (float *)(p + at);
    at += gurn_padded(entries * sizeof(float));
    if (p) set->tables = (float *)(p + at);
    return at + gurn_padded(entries * sizeof(float));
}

static layout layout_of(const gurn_mvhg_job *job, bool backward) {
    const gurn_plan_view *view = job->view;
    size_t classes = (size_t)view->classes;
    layout l = {0};
    l.backward = backward;
    l.bits = gurn_suffix_bits(GURN_SUFFIX_RACE_BITS, view->classes, backward && job->in.tau > 0.0 ? job->in.tau : 0.0);
    l.capacity = gurn_suffix_measure(view, job->n_max, l.bits);
    l.shared = job->in.log_omega_stride == 0 && !job->in.n_rows;
    l.set_bytes = set_cut(&l, view->classes, NULL, NULL);
    l.scratch_bytes = GURN_NAME(mvhg_scratch)(job, backward, NULL, NULL);
    l.work_bytes = gurn_suffix_cut(NULL, view->classes, l.capacity.own, l.capacity.table, sizeof(float), NULL);
    if (backward) l.sweep_bytes = 4 * gurn_padded((size_t)l.capacity.table * sizeof(float));
    size_t adjoint = gurn_padded((size_t)l.capacity.entries * sizeof(float));
    size_t row = l.set_bytes + (backward ? adjoint : 0);
    l.rows = GURN_TILE;
    while (!l.shared && l.rows > 1 && (size_t)l.rows * row > GURN_SUFFIX_CACHE) l.rows /= 2;
    l.thread_bytes = l.scratch_bytes + l.work_bytes + l.sweep_bytes + (l.shared ? 0 : (size_t)l.rows * row);
    if (backward && job->in.log_omega_stride == 0) {
        l.run_bytes = gurn_padded(classes * sizeof(double));
        if (l.shared) l.run_bytes += gurn_padded((size_t)l.capacity.entries * sizeof(double));
        size_t runs = GURN_SUFFIX_RUN_BYTES / l.run_bytes;
        l.runs = runs < 4 ? 4 : runs > GURN_SUFFIX_RUNS ? GURN_SUFFIX_RUNS : (int64_t)runs;
    }
    l.threads = l.runs > 0 && l.runs < job->threads ? (int)l.runs : job->threads;
    l.bytes = (size_t)l.threads * l.thread_bytes + (size_t)l.runs * l.run_bytes;
    if (l.shared) l.bytes += row;
    return l;
}

size_t GURN_NAME(mvhg_suffix_bytes)(const gurn_mvhg_job *job, bool backward) { return layout_of(job, backward).bytes; }

/* A thread's memory. */
typedef struct thread_memory {
    gurn_scratch scratch;
    gurn_suffix_work work;
    gurn_suffix_sweep sweep;
    gurn_suffix_tile tile;
    table_set sets[GURN_TILE]; /* not shared */
    float *adjoint[GURN_TILE];
} thread_memory;

static void thread_cut(const gurn_mvhg_job *job, const layout *l, char *p, thread_memory *t) {
    size_t table = gurn_padded((size_t)l->capacity.table * sizeof(float));
    GURN_NAME(mvhg_scratch)(job, l->backward, p, &t->scratch);
    p += l->scratch_bytes;
    gurn_suffix_cut(&t->work, job->view->classes, l->capacity.own, l->capacity.table, sizeof(float), p);
    p += l->work_bytes;
    if (l->backward)
        t->sweep =
            (gurn_suffix_sweep){(float *)p, (float *)(p + table), (float *)(p + 2 * table), (float *)(p + 3 * table)};
    p += l->sweep_bytes;
    for (int r = 0; !l->shared && r < l->rows; r++) {
        p += set_cut(l, job->view->classes, p, &t->sets[r]);
        if (!l->backward) continue;
        t->adjoint[r] = (float *)p;
        p += gurn_padded((size_t)l->capacity.entries * sizeof(float));
    }
    t->scratch.suffix = &t->tile;
}

/* Fills the sets of some rows, at most a tile, of one urn, whose call `job` is. */
static void sets_fill(const gurn_mvhg_job *job, const layout *l, int count, const int64_t *row, const thread_memory *t,
                      table_set *const *sets) {
    const gurn_plan_view *view = job->view;
    int64_t at[GURN_TILE];
    int32_t n[GURN_TILE];
    gurn_suffix *places[GURN_TILE];
    for (int r = 0; r < count; r++) {
        at[r] = row[r] * job->in.log_omega_stride;
        n[r] = gurn_row_n(&job->in, row[r]);
        places[r] = sets[r]->places;
    }
    unsigned wanted =
        gurn_suffix_places(view, job->in.order, job->in.log_omega, job->dtype, count, at, n, l->bits, &t->work, places);
    for (int r = 0; r < count; r++) {
        const table_set *set = sets[r];
        if (!(wanted >> r & 1)) continue;
        gurn_suffix_fill_f32(view, n[r], &t->work, set->places, l->backward ? set->tables : NULL, set->rest);
        for (int32_t i = 1; l->backward && i < view->classes; i++) {
            const gurn_step *step = &view->steps[i];
            if (step->m == 0) continue;
            const gurn_suffix *s = &set->places[i];
            gurn_suffix_slopes(s, step->m + step->m_rest, set->rest + s->begin, set->psi + s->begin);
        }
    }
}

/* Sets row r of the tile. */
static void tile_point(thread_memory *t, int r, const table_set *set, float *adjoint) {
    t->tile.places[r] = set->places;
    t->tile.rest[r] = set->rest;
    t->tile.psi[r] = set->psi;
    t->tile.tables[r] = set->tables;
    t->tile.adjoint[r] = adjoint;
}

/*
 * Tables of rows b .. b + rows - 1, rows <= l->rows, of one urn. Where omega is shared, a row of the same n as the one before has
 * its tables.
 */
static void tile_fill(const gurn_mvhg_job *job, const layout *l, int64_t b, int rows, thread_memory *t) {
    int count = 0;
    int64_t row[GURN_TILE];
    table_set *sets[GURN_TILE];
    for (int r = 0; r < GURN_TILE; r++) {
        if (r < rows) {
            if (r == 0 || job->in.log_omega_stride != 0 ||
                gurn_row_n(&job->in, b + r) != gurn_row_n(&job->in, b + r - 1)) {
                row[count] = b + r;
                sets[count++] = &t->sets[r];
            }
        }
        tile_point(t, r, sets[count - 1], l->backward ? t->adjoint[r < rows ? r : rows - 1] : NULL);
    }
    sets_fill(job, l, count, row, t, sets);
    for (int r = 0; l->backward && r < rows; r++)
        memset(t->adjoint[r], 0, (size_t)gurn_suffix_used(job->view, t->tile.places[r]) * sizeof(float));
}

/* The one table_set of a call, for all threads. */
static void shared_fill(const gurn_mvhg_job *job, const layout *l, char *p, table_set *set) {
    thread_memory t = {0};
    gurn_urn room;
    thread_cut(job, l, job->workspace, &t);
    set_cut(l, job->view->classes, p, set);
    sets_fill(gurn_urn_of(job, 0, &t.scratch, &room), l, 1, (int64_t[]){0}, &t, &set);
}

static char *shared_memory(const gurn_mvhg_job *job, const layout *l) {
    return (char *)job->workspace + (size_t)l->threads * l->thread_bytes;
}

/* The call as all rows see it, NULL where each has its own omega. */
static const gurn_mvhg_job *urn_shared(const gurn_mvhg_job *job, const thread_memory *t, gurn_urn *room) {
    return job->in.log_omega_stride == 0 ? gurn_urn_of(job, 0, &t->scratch, room) : NULL;
}

void GURN_NAME(mvhg_suffix_forward)(const gurn_mvhg_job *job) {
    layout l = layout_of(job, false);
    int64_t tiles = gurn_tile_count(job->in.rows);
    table_set one = {0};
    if (l.shared) shared_fill(job, &l, shared_memory(job, &l), &one);
#pragma omp parallel num_threads(l.threads)
    {
        thread_memory t = {0};
        gurn_urn room;
        thread_cut(job, &l, (char *)job->workspace + gurn_thread_index() * l.thread_bytes, &t);
        const gurn_mvhg_job *shared = urn_shared(job, &t, &room);
        for (int r = 0; l.shared && r < GURN_TILE; r++) tile_point(&t, r, &one, NULL);
#pragma omp for schedule(static)
        for (int64_t tile = 0; tile < tiles; tile++) {
            int64_t b = tile * GURN_TILE, end = b + GURN_TILE < job->in.rows ? b + GURN_TILE : job->in.rows;
            for (int rows; b < end; b += rows) {
                rows = end - b < l.rows ? (int)(end - b) : l.rows;
                const gurn_mvhg_job *urn = shared ? shared : gurn_urn_at(job, b, &rows, &t.scratch, &room);
                if (!l.shared) tile_fill(urn, &l, b, rows, &t);
                GURN_NAME(mvhg_fast_forward)(urn, b, rows, &t.scratch);
            }
        }
    }
}

/* Gradient of row r of a tile to what each place's log omega is, complete but for what goes through shared tables. */
static void row_finish(const gurn_mvhg_job *job, const layout *l, int r, const thread_memory *t) {
    const gurn_plan_view *view = job->view;
    double *log_omega = t->scratch.log_omega + r;
    int32_t last = view->classes - 1, before;
    while (last > 0 && view->steps[last].m == 0) last--;
    for (before = last - 1; before >= 0 && view->steps[before].m == 0;) before--;
    if (before < 0) return;
    /* The step before the last class reads log S(r) = r log omega + ..., r = n_i - k. */
    log_omega[(int64_t)last * GURN_TILE] -= log_omega[(int64_t)before * GURN_TILE];
    const gurn_suffix *s = t->tile.places[r];
    if (!l->shared && s[0].variance_left > 0.0 && before > 0) /* neither n = 0 nor n = sum m; and there is a table */
        gurn_suffix_sweep_back(view, s, t->tile.tables[r], t->tile.adjoint[r], &t->work, &t->sweep, log_omega,
                               GURN_TILE);
}

static void tile_backward(const gurn_mvhg_job *job, const layout *l, int64_t b, int rows, const thread_memory *t,
                          double *sum) {
    const gurn_plan_view *view = job->view;
    double tau[GURN_TILE] = {0};
    GURN_NAME(mvhg_fast_backward)(job, b, rows, &t->scratch, tau);
    for (int r = 0; job->grad.tau && r < rows; r++) gurn_set_real(job->grad.tau, job->dtype, b + r, tau[r]);
    if (!job->grad.log_omega) return;
    for (int r = 0; r < rows; r++) {
        row_finish(job, l, r, t);
        for (int32_t i = 0; i < view->classes; i++) {
            double gradient = t->scratch.log_omega[(int64_t)i * GURN_TILE + r];
            if (sum)
                sum[i] += gradient;
            else
                gurn_set_real(job->grad.log_omega, job->dtype, (b + r) * view->classes + job->in.order[i], gradient);
        }
    }
}

/* Sums the runs in order, sends what reached the shared tables on to log omega, and writes the gradient. */
static void runs_finish(const gurn_mvhg_job *job, const layout *l, const table_set *one, char *runs) {
    int32_t classes = job->view->classes;
    size_t own_bytes = gurn_padded((size_t)classes * sizeof(double));
    double *sum = (double *)runs;
    for (int64_t run = 1; run < l->runs; run++) {
        const double *own = (const double *)(runs + (size_t)run * l->run_bytes);
        for (int32_t i = 0; i < classes; i++) sum[i] += own[i];
    }
    if (l->shared && one->places[0].variance_left > 0.0) {
        thread_memory t = {0};
        gurn_urn room;
        thread_cut(job, l, job->workspace, &t);
        const gurn_plan_view *view = gurn_urn_of(job, 0, &t.scratch, &room)->view;
        float *adjoint = (float *)(shared_memory(job, l) + l->set_bytes);
        for (int64_t j = 0; j < l->capacity.entries; j++) {
            double total = 0.0;
            for (int64_t run = 0; run < l->runs; run++)
                total += ((const double *)(runs + (size_t)run * l->run_bytes + own_bytes))[j];
            adjoint[j] = (float)total;
        }
        if (l->capacity.entries > 0)
            gurn_suffix_sweep_back(view, one->places, one->tables, adjoint, &t.work, &t.sweep, sum, 1);
    }
    for (int32_t i = 0; i < classes; i++) gurn_set_real(job->grad.log_omega, job->dtype, job->in.order[i], sum[i]);
}

void GURN_NAME(mvhg_suffix_backward)(const gurn_mvhg_job *job) {
    layout l = layout_of(job, true);
    int64_t tiles = gurn_tile_count(job->in.rows), runs = l.runs ? l.runs : tiles;
    table_set one = {0};
    char *sums =
        shared_memory(job, &l) + (l.shared ? l.set_bytes + gurn_padded((size_t)l.capacity.entries * sizeof(float)) : 0);
    size_t own_bytes = gurn_padded((size_t)job->view->classes * sizeof(double));
    if (l.shared) shared_fill(job, &l, shared_memory(job, &l), &one);
#pragma omp parallel num_threads(l.threads)
    {
        thread_memory t = {0};
        gurn_urn room;
        thread_cut(job, &l, (char *)job->workspace + gurn_thread_index() * l.thread_bytes, &t);
        const gurn_mvhg_job *shared = urn_shared(job, &t, &room);
        for (int r = 0; l.shared && r < GURN_TILE; r++) tile_point(&t, r, &one, NULL);
#pragma omp for schedule(static)
        for (int64_t run = 0; run < runs; run++) {
            double *sum = NULL;
            if (l.runs) {
                sum = (double *)(sums + (size_t)run * l.run_bytes);
                memset(sum, 0, l.run_bytes);
                if (l.shared) t.tile.adjoint_sum = sum + own_bytes / sizeof(double);
            }
            int64_t from = run * (tiles / runs) + (run < tiles % runs ? run : tiles % runs);
            int64_t to = from + tiles / runs + (run < tiles % runs);
            for (int64_t tile = from; tile < to; tile++) {
                int64_t b = tile * GURN_TILE, end = b + GURN_TILE < job->in.rows ? b + GURN_TILE : job->in.rows;
                for (int rows; b < end; b += rows) {
                    rows = end - b < l.rows ? (int)(end - b) : l.rows;
                    const gurn_mvhg_job *urn = shared ? shared : gurn_urn_at(job, b, &rows, &t.scratch, &room);
                    if (!l.shared) tile_fill(urn, &l, b, rows, &t);
                    tile_backward(urn, &l, b, rows, &t, sum);
                }
            }
        }
    }
    if (l.runs && job->grad.log_omega) runs_finish(job, &l, &one, sums);
}
