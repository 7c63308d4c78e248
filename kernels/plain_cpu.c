/*
 * Plain draws on the CPU (gumbelurn.h; mathematics in plain.h, plain_chain.h).
 *
 * Work: OpenMP over tiles of 16 rows, the places of a tile one after the other, so that the walks of 16 rows overlap. Uniforms, and
 * draws by recurrence, are made for a vector of rows at a time; tables of the exact chain are built by vectors of sums. Where omega and n
 * are shared there is one set of tables for all threads; where not, a thread makes the tables of each of its rows anew. Memory: those
 * tables, and O(C) a thread.
 */
#include <stdlib.h>
#include <string.h>
#ifdef _OPENMP
#include <omp.h>
#endif

#include "mvhg_cpu.h"
#include "plain_chain.h"
#include "suffix_cpu.h"

#define GURN_L(name) v_##name
#include "plain_lanes.h"
#undef GURN_L

#define TILE GURN_TILE
#define VECTORS (TILE / V_HALF)

static size_t thread_index(void) {
#ifdef _OPENMP
    return (size_t)omp_get_thread_num();
#else
    return 0;
#endif
}

/* Seed and address of row 0. */
typedef struct stream {
    gurn_philox_key key;
    uint64_t row;
} stream;

static stream open_stream(const gurn_noise *noise) {
    const uint64_t *given = noise->device_seed_offset;
    stream s = {gurn_philox_schedule(given ? given[0] : noise->seed), (given ? given[1] : noise->offset) + noise->row0};
    return s;
}

/* Uniforms of steps 2 pair and 2 pair + 1 for the rows of the tile that begins at row b. */
GURN_FN void tile_uniforms(const stream *s, uint32_t tag, int32_t pair, int64_t b, double u[2][TILE]) {
    v_u64 lane;
    for (int l = 0; l < V_HALF; l++) lane[l] = (uint64_t)l;
    for (int v = 0; v < VECTORS; v++) {
        v_u64 first, second;
        gurn_philox_rows(&s->key, (uint32_t)pair, tag, lane + v_splat_u64(s->row + (uint64_t)(b + v * V_HALF)), &first,
                         &second);
        v_f64_store(u[0] + v * V_HALF, v_plain_uniform(first));
        v_f64_store(u[1] + v * V_HALF, v_plain_uniform(second));
    }
}

static int tile_rows(int64_t rows, int64_t b) { return rows - b < TILE ? (int)(rows - b) : TILE; }

/* --------------------------------------------------------------------------------------------- univariate law --- */

static double at_stride(const int32_t *p, int64_t b, int64_t stride) { return (double)p[b * stride]; }

void GURN_NAME(hypergeometric_draw)(const gurn_hypergeometric_job *job) {
    const gurn_hypergeometric_inputs *in = &job->in;
    int64_t tiles = gurn_tile_count(in->rows);
#pragma omp parallel num_threads(job->threads)
    {
        stream noise = open_stream(&in->noise);
#pragma omp for schedule(static)
        for (int64_t tile = 0; tile < tiles; tile++) {
            int64_t b = tile * TILE;
            int rows = tile_rows(in->rows, b);
            double m[TILE], m_rest[TILE], n[TILE], lambda[TILE], u[2][TILE];
            tile_uniforms(&noise, GURN_PLAIN_UNIVARIATE_TAG, 0, b, u);
            for (int r = 0; r < TILE; r++) {
                int64_t row = b + (r < rows ? r : rows - 1);
                m[r] = at_stride(in->m1, row, in->m1_stride);
                m_rest[r] = at_stride(in->m2, row, in->m2_stride);
                n[r] = at_stride(in->n, row, in->n_stride);
                lambda[r] =
                    in->log_odds
                        ? gurn_plain_lambda(gurn_real(in->log_odds, in->log_odds_dtype, row * in->log_odds_stride))
                        : 0.0;
            }
            for (int v = 0; v < TILE; v += V_HALF) {
                double k[V_HALF];
                if (v >= rows) break;
                v_f64_store(k, v_plain_count(v_f64_load(m + v), v_f64_load(m_rest + v), v_f64_load(n + v),
                                             v_f64_load(lambda + v), v_f64_load(u[0] + v)));
                for (int l = 0; l < V_HALF && v + l < rows; l++) job->x[b + v + l] = (int32_t)k[l];
            }
        }
    }
}

/* --------------------------------------------------------------------------------------------- chain: memory --- */

/* What a thread works with. */
typedef struct scratch {
    double *lambda; /* [C][TILE]: base-2 log odds of the steps of a tile (recurrences) */
    stream noise;
    gurn_suffix_work work; /* tables are built with it */
    gurn_suffix *places;   /* [TILE][C]: of the rows of a tile, where they differ */
    int32_t taker;         /* the last place that has balls */
    int32_t tables_n;      /* what the tables below were made for, -1: nothing yet */
    gurn_plain_tables tables;
} scratch;

static bool one_set(const gurn_plain_job *job) { return job->in.log_omega_stride == 0 && !job->in.n_rows; }

static double window_bits(const gurn_plain_job *job) {
    return gurn_suffix_bits(GURN_SUFFIX_PLAIN_BITS, job->view->classes, 0.0);
}

static bool is_merged(const gurn_plain_job *job) { return job->chain == GURN_CHAIN_MERGED; }

static gurn_suffix_capacity suffix_room(const gurn_plain_job *job) {
    gurn_suffix_capacity none = {0, 0, 0};
    return is_merged(job) ? none : gurn_suffix_measure(job->view, job->n_max, window_bits(job));
}

static gurn_plain_shape tables_shape(const gurn_plain_job *job) {
    gurn_suffix_capacity room = suffix_room(job);
    double most = job->max_m < job->n_max ? job->max_m : job->n_max;
    int64_t own = gurn_plain_recurrence_room(0.25 * most, most);
    return gurn_plain_shape_of(job->view->classes, own > room.own ? own : room.own, room.entries, job->total,
                               job->n_max, job->in.n_rows != NULL, one_set(job) ? job->in.rows : 1);
}

/* A thread's own part. */
static size_t cut_scratch(const gurn_plain_job *job, const gurn_plain_shape *shape, char *p, scratch *s) {
    size_t at = 0;
    s->lambda = (double *)gurn_plain_take(p, &at, (size_t)job->view->classes * TILE * sizeof(double));
    if (is_merged(job)) return at;
    int64_t table = suffix_room(job).table;
    size_t bytes = gurn_suffix_cut(&s->work, job->view->classes, shape->own_room, table, sizeof(double), NULL);
    char *work = gurn_plain_take(p, &at, bytes);
    gurn_suffix_cut(&s->work, job->view->classes, shape->own_room, table, sizeof(double), work);
    size_t places = one_set(job) ? 0 : (size_t)job->view->classes * TILE * sizeof *s->places;
    s->places = (gurn_suffix *)gurn_plain_take(p, &at, places);
    return at;
}

/* Workspace: scratch of every thread, then the tables: one set, or one a thread, or none (merged chain, no running sums). */
static size_t set_count(const gurn_plain_job *job, const gurn_plain_shape *shape) {
    return one_set(job) ? (!is_merged(job) || shape->list_room) : is_merged(job) ? 0 : (size_t)job->threads;
}
size_t GURN_NAME(plain_bytes)(const gurn_plain_job *job) {
    scratch s;
    gurn_plain_shape shape = tables_shape(job);
    return (size_t)job->threads * cut_scratch(job, &shape, NULL, &s) +
           set_count(job, &shape) * gurn_plain_cut(&s.tables, shape, NULL);
}

static void open_scratch(const gurn_plain_job *job, const gurn_plain_shape *shape, scratch *s) {
    char *p = job->workspace;
    size_t index = thread_index(), each = cut_scratch(job, shape, NULL, s);
    cut_scratch(job, shape, p + index * each, s);
    s->noise = open_stream(&job->in.noise);
    s->tables_n = -1;
    s->taker = 0;
    for (int32_t i = 0; i < job->view->classes; i++)
        if (job->view->steps[i].m > 0) s->taker = i;
    if (set_count(job, shape) > 0) {
        size_t set = gurn_plain_cut(&s->tables, *shape, NULL);
        gurn_plain_cut(&s->tables, *shape, p + (size_t)job->threads * each + (one_set(job) ? 0 : index * set));
    }
}

/* --------------------------------------------------------------------------------- chain: by recurrence or by tables --- */

static double row_log_omega(const gurn_plain_job *job, int64_t b, int32_t i) {
    return gurn_real(job->in.log_omega, job->dtype, b * job->in.log_omega_stride + job->in.order[i]);
}

/*
 * Whether all classes but the first that has balls have one omega, in which case the exact chain is the merged one: log odds of the
 * first against the others, in bits, are put into *lambda, and those of later steps are 0.
 */
static bool by_recurrence(const gurn_plain_job *job, const scratch *s, int64_t b, int32_t *first, double *lambda) {
    double own = 0.0, rest = 0.0;
    int seen = 0;
    *first = 0;
    for (int32_t i = 0; i <= s->taker; i++) {
        if (job->view->steps[i].m == 0) continue;
        double value = row_log_omega(job, b, i);
        if (seen == 0) {
            own = rest = value;
            *first = i;
        } else if (seen == 1) {
            rest = value;
        } else if (value != rest) {
            return false;
        }
        seen++;
    }
    *lambda = gurn_plain_lambda(own - rest);
    return true;
}

/* Draws the tile's rows by recurrence and writes those that `write` has. */
static void draw_by_recurrence(const gurn_plain_job *job, const scratch *s, int64_t b, int rows, unsigned write) {
    const gurn_plan_view *view = job->view;
    double left[TILE], u[2][TILE], k[TILE];
    for (int r = 0; r < TILE; r++) left[r] = gurn_row_n(&job->in, b + (r < rows ? r : rows - 1));
    for (int32_t i = 0; i < view->classes; i++) {
        const gurn_step *step = &view->steps[i];
        if (i % 2 == 0 && step->m_rest > 0) tile_uniforms(&s->noise, GURN_PLAIN_CHAIN_TAG, i / 2, b, u);
        for (int v = 0; v < TILE; v += V_HALF) {
            v_f64 n = v_f64_load(left + v), count = v_splat64(0.0);
            if (step->m_rest == 0)
                count = step->m > 0 ? n : count;
            else if (step->m > 0)
                count = v_plain_count(v_splat64(step->m), v_splat64(step->m_rest), n,
                                      v_f64_load(s->lambda + (int64_t)i * TILE + v), v_f64_load(u[i % 2] + v));
            v_f64_store(k + v, count);
            v_f64_store(left + v, n - count);
        }
        int32_t *x = job->x + b * view->classes + job->in.order[i];
        for (int r = 0; r < rows; r++)
            if (write >> r & 1) x[(int64_t)r * view->classes] = (int32_t)k[r];
    }
}

/* ------------------------------------------------------------------------------------------------ chain: tables --- */

/* The places of rows first..first + rows - 1 of the batch, row r's at places[r]. */
static void set_places(const gurn_plain_job *job, const scratch *s, int64_t first, int rows,
                       gurn_suffix *const *places) {
    int64_t at[TILE];
    int32_t n[TILE];
    for (int r = 0; r < rows; r++) {
        at[r] = (first + r) * job->in.log_omega_stride;
        n[r] = gurn_row_n(&job->in, first + r);
    }
    gurn_suffix_places(job->view, job->in.order, job->in.log_omega, job->dtype, rows, at, n, window_bits(job), &s->work,
                       places);
}

/* The tables of a row, 0 < n < total, whose places are set. */
static void build_tables(const gurn_plain_job *job, scratch *s, int32_t n) {
    const gurn_plain_tables *t = &s->tables;
    const gurn_plan_view *view = job->view;
    gurn_suffix_fill_f64(view, n, &s->work, t->place, t->suffix, NULL);
    for (int32_t i = 0; i < s->taker; i++) {
        gurn_suffix_own_f64(&t->place[i], &view->steps[i], t->own + i * t->shape.own_room, NULL);
        if (t->shape.list_room) gurn_plain_place_tables(t, i, n);
    }
    s->tables_n = n;
}

/* Running sums: numbered from place 1 on, those of place 0 last. */
static int64_t list_numbers(const scratch *s) { return (int64_t)(s->taker - 1) * s->tables.shape.list_room + 1; }
static void fill_list_of(const gurn_plain_job *job, const scratch *s, int32_t n, int64_t number, bool recurrence) {
    int32_t room = s->tables.shape.list_room, i = 1 + (int32_t)(number / room), left;
    if (i == s->taker) i = 0;
    left = i == 0 ? n : s->tables.lists[i].low + (int32_t)(number % room);
    if (left <= s->tables.lists[i].high) gurn_plain_fill_list(&s->tables, &job->view->steps[i], i, left, recurrence);
}

/* Draws rows first..last - 1 of the tile at row b, all of them with the tables at hand. */
GURN_FN void draw_by_tables(const gurn_plain_job *job, const scratch *s, int64_t b, int first, int last, int32_t n,
                            bool recurrence) {
    const gurn_plan_view *view = job->view;
    const gurn_plain_tables *t = &s->tables;
    int32_t left[TILE];
    double u[2][TILE];
    for (int r = first; r < last; r++) left[r] = n;
    for (int32_t i = 0; i < view->classes; i++) {
        int32_t *x = job->x + b * view->classes + job->in.order[i];
        if (i % 2 == 0 && i < s->taker) tile_uniforms(&s->noise, GURN_PLAIN_CHAIN_TAG, i / 2, b, u);
        for (int r = first; r < last; r++) {
            int32_t k = i == s->taker ? left[r] : 0;
            if (i < s->taker) k = gurn_plain_draw(t, &view->steps[i], i, left[r], u[i % 2][r], recurrence);
            x[(int64_t)r * view->classes] = k;
            left[r] -= k;
        }
    }
}

/* Nothing, or everything, is drawn. */
static void write_certain(const gurn_plain_job *job, int64_t b, int32_t n) {
    for (int32_t i = 0; i < job->view->classes; i++)
        job->x[b * job->view->classes + job->in.order[i]] = n == 0 ? 0 : job->view->steps[i].m;
}

/* ---------------------------------------------------------------------------------------------------- drivers --- */

/* lambda of the steps of a tile whose rows are all by recurrence: 0 but at one place a row. */
static void set_lambda(const gurn_plain_job *job, const scratch *s, int r, int32_t first, double lambda) {
    for (int32_t i = 0; i < job->view->classes; i++) s->lambda[(int64_t)i * TILE + r] = i == first ? lambda : 0.0;
}

/* A tile of the exact chain with omega or n of its own for every row. */
static void exact_tile(const gurn_plain_job *job, scratch *s, int64_t b, int rows) {
    unsigned recurrence = 0;
    for (int r = 0; r < TILE; r++) {
        int32_t first;
        double lambda;
        bool is = by_recurrence(job, s, b + (r < rows ? r : rows - 1), &first, &lambda);
        set_lambda(job, s, r, is ? first : 0, is ? lambda : 0.0);
        if (is && r < rows) recurrence |= 1u << r;
    }
    if (recurrence) draw_by_recurrence(job, s, b, rows, recurrence);
    bool own = job->in.log_omega_stride != 0;
    gurn_suffix *places[TILE];
    for (int r = 0; r < TILE; r++) places[r] = s->places + (size_t)r * (size_t)job->view->classes;
    /* Where omega and n are shared rows come here only if their counts are certain, and there is no room for places. */
    if (!one_set(job) && recurrence != (1u << rows) - 1) set_places(job, s, b, rows, places);
    for (int r = 0; r < rows; r++) {
        int32_t n = gurn_row_n(&job->in, b + r);
        if (recurrence >> r & 1) continue;
        if (n == 0 || n == job->total) {
            write_certain(job, b + r, n);
            continue;
        }
        if (own || s->tables_n != n) {
            memcpy(s->tables.place, places[r], (size_t)job->view->classes * sizeof **places);
            build_tables(job, s, n);
        }
        draw_by_tables(job, s, b, r, r + 1, n, false);
    }
}

/*
 * Where omega is shared, its steps' log odds go to s->lambda, for all rows of a tile, and to the tables: true; unless the chain is
 * the exact one and has no such steps.
 */
static bool shared_recurrence(const gurn_plain_job *job, const scratch *s) {
    int32_t first;
    double lambda;
    if (is_merged(job)) {
        gurn_tile_lambda(job->view, &job->in, job->dtype, 0, 1, s->lambda);
        return true;
    }
    if (!by_recurrence(job, s, 0, &first, &lambda)) return false;
    for (int r = 0; r < TILE; r++) set_lambda(job, s, r, first, lambda);
    return true;
}

/* What rows that share omega and n share: suffix tables, or log odds; and where running sums are. */
static void build_shared(const gurn_plain_job *job, scratch *s, bool recurrence) {
    if (!recurrence) {
        set_places(job, s, 0, 1, &s->tables.place);
        build_tables(job, s, job->in.n);
        return;
    }
    for (int32_t i = 0; i < job->view->classes; i++) s->tables.lambda[i] = s->lambda[(int64_t)i * TILE];
    gurn_plain_place_recurrences(&s->tables, job->view->steps, job->in.n);
}

void GURN_NAME(plain_draw)(const gurn_plain_job *job) {
    int64_t tiles = gurn_tile_count(job->in.rows);
    bool shared = job->in.log_omega_stride == 0;
    int32_t n = job->in.n;
    gurn_plain_shape shape = tables_shape(job);
#pragma omp parallel num_threads(job->threads)
    {
        scratch s;
        open_scratch(job, &shape, &s);
        bool recurrence = shared && shared_recurrence(job, &s);
        bool tables = one_set(job) && n > 0 && n < job->total && (!recurrence || shape.list_room > 0);
        if (tables) {
#pragma omp single
            build_shared(job, &s, recurrence);
            int64_t lists = shape.list_room ? list_numbers(&s) : 0;
#pragma omp for schedule(dynamic, 8)
            for (int64_t number = 0; number < lists; number++) fill_list_of(job, &s, n, number, recurrence);
        }
#pragma omp for schedule(static)
        for (int64_t tile = 0; tile < tiles; tile++) {
            int64_t b = tile * TILE;
            int rows = tile_rows(job->in.rows, b);
            if (is_merged(job) && !shared) gurn_tile_lambda(job->view, &job->in, job->dtype, b, rows, s.lambda);
            if (tables && recurrence)
                draw_by_tables(job, &s, b, 0, rows, n, true);
            else if (tables)
                draw_by_tables(job, &s, b, 0, rows, n, false);
            else if (recurrence || is_merged(job))
                draw_by_recurrence(job, &s, b, rows, ~0u);
            else
                exact_tile(job, &s, b, rows);
        }
    }
}
