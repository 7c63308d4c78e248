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
                double odds =
                    in->log_odds ? gurn_real(in->log_odds, in->log_odds_dtype, row * in->log_odds_stride) : 0.0;
                gurn_plain_pair urn =
                    gurn_plain_pair_of(in->m1[row * in->m1_stride], in->m2[row * in->m2_stride], odds);
                m[r] = urn.m;
                m_rest[r] = urn.m_rest;
                n[r] = in->n[row * in->n_stride];
                lambda[r] = urn.lambda;
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

static bool is_merged(const gurn_plain_job *job) { return job->chain == GURN_CHAIN_MERGED; }
/* All omega of all rows are equal, and not given. */
static bool is_equal(const gurn_plain_job *job) { return job->in.log_omega == NULL; }
static bool omega_shared(const gurn_plain_job *job) { return job->in.log_omega_stride == 0 || is_equal(job); }
static bool one_set(const gurn_plain_job *job) { return omega_shared(job) && !job->in.n_rows; }
/* Whether there may be rows that need suffix tables. */
static bool has_suffix(const gurn_plain_job *job) { return !is_merged(job) && !is_equal(job); }

static double window_bits(const gurn_plain_job *job) {
    return gurn_suffix_bits(GURN_SUFFIX_PLAIN_BITS, job->view->classes, 0.0);
}

/*
 * Workspace: each thread's own part; what suffix tables are built with, and tables. Where omega and n are shared there is one
 * of these for all threads, else one a thread, or none.
 */
typedef struct layout {
    gurn_suffix_capacity room;
    gurn_plain_shape shape;
    int builders, sets;
    size_t own_bytes, work_bytes, set_bytes;
} layout;

/* What a thread works with. */
typedef struct scratch {
    double *lambda;      /* merged chain: base-2 log odds of the steps, [C] of all rows, or [C][TILE] of a tile's */
    gurn_step *steps;    /* [C]: of an urn some of whose classes have omega 0 */
    gurn_suffix *places; /* [TILE][C]: of the rows of a tile, where they differ */
    stream noise;
    gurn_suffix_work work; /* tables are built with it */
    gurn_plan_view urn;    /* of the rows at hand (omega.h): their steps */
    int32_t taker;         /* its last place that has balls */
    int32_t tables_n;      /* what the tables below were made for, -1: nothing yet */
    gurn_plain_tables tables;
} scratch;

/* A thread's own part. */
static size_t cut_scratch(const gurn_plain_job *job, char *p, scratch *s) {
    size_t at = 0, classes = (size_t)job->view->classes;
    size_t lambda = is_merged(job) ? classes * (omega_shared(job) ? 1 : TILE) : 0;
    s->lambda = (double *)gurn_plain_take(p, &at, lambda * sizeof *s->lambda);
    s->steps = (gurn_step *)gurn_plain_take(p, &at, is_equal(job) ? 0 : classes * sizeof *s->steps);
    size_t places = has_suffix(job) && !one_set(job) ? TILE * classes : 0;
    s->places = (gurn_suffix *)gurn_plain_take(p, &at, places * sizeof *s->places);
    return at;
}

static size_t cut_work(const gurn_plain_job *job, const layout *l, char *p, scratch *s) {
    return gurn_suffix_cut(&s->work, job->view->classes, l->room.own, l->room.table, sizeof(double), p);
}

static layout layout_of(const gurn_plain_job *job) {
    layout l = {0};
    scratch s;
    double most = job->max_m < job->n_max ? job->max_m : job->n_max;
    int64_t own = gurn_plain_recurrence_room(0.25 * most, most);
    if (has_suffix(job)) l.room = gurn_suffix_measure(job->view, job->n_max, window_bits(job));
    l.shape = gurn_plain_shape_of(job->view->classes, own > l.room.own ? own : l.room.own, l.room.owns, l.room.entries,
                                  job->total, job->n_max, job->in.n_rows != NULL, one_set(job) ? job->in.rows : 1);
    l.own_bytes = cut_scratch(job, NULL, &s);
    l.builders = !has_suffix(job) ? 0 : one_set(job) ? 1 : job->threads;
    l.sets = one_set(job) ? has_suffix(job) || l.shape.list_room > 0 : l.builders;
    if (l.builders > 0) l.work_bytes = (cut_work(job, &l, NULL, &s) + 255) & ~(size_t)255;
    l.set_bytes = gurn_plain_cut(&s.tables, l.shape, NULL);
    return l;
}

size_t GURN_NAME(plain_bytes)(const gurn_plain_job *job) {
    layout l = layout_of(job);
    return (size_t)job->threads * l.own_bytes + (size_t)l.builders * l.work_bytes + (size_t)l.sets * l.set_bytes;
}

/* ---------------------------------------------------------------------------------------------- chain: the urn --- */

static double row_log_omega(const gurn_plain_job *job, int64_t b, int32_t i) {
    return gurn_real(job->in.log_omega, job->dtype, b * job->in.log_omega_stride + job->in.order[i]);
}

/* The urn of row b becomes the one at hand; zero: whether it has classes of omega 0. */
static void take_urn(const gurn_plain_job *job, scratch *s, int64_t b, bool zero) {
    s->urn = *job->view;
    if (zero)
        s->urn = gurn_omega_view(job->view, job->in.order, job->in.log_omega, job->dtype, b * job->in.log_omega_stride,
                                 s->steps);
    s->taker = s->urn.classes - 1;
    while (s->taker > 0 && s->urn.steps[s->taker].m == 0) s->taker--;
}
static int32_t urn_balls(const scratch *s) { return s->urn.steps[0].m + s->urn.steps[0].m_rest; }

static void open_scratch(const gurn_plain_job *job, const layout *l, scratch *s) {
    char *p = job->workspace;
    size_t index = thread_index(), shared = one_set(job) ? 0 : index;
    cut_scratch(job, p + index * l->own_bytes, s);
    p += (size_t)job->threads * l->own_bytes;
    if (l->builders > 0) cut_work(job, l, p + shared * l->work_bytes, s);
    p += (size_t)l->builders * l->work_bytes;
    if (l->sets > 0) gurn_plain_cut(&s->tables, l->shape, p + shared * l->set_bytes);
    s->noise = open_stream(&job->in.noise);
    s->tables_n = -1;
    take_urn(job, s, 0, omega_shared(job) && !is_equal(job));
}

/* What a row of log omega says. */
typedef struct row_law {
    bool zero; /* a class that has balls has omega 0 */
    bool
        recurrence; /* of those that can be drawn all but the first have one omega: the exact chain is the merged one */
    int32_t first;  /* the place of that one */
    double lambda;  /* its log odds against the others, in bits; those of later steps are 0 */
} row_law;

static row_law law_of(const gurn_plain_job *job, int64_t b) {
    row_law law = {false, true, 0, 0.0};
    double own = 0.0, rest = 0.0;
    int seen = 0;
    for (int32_t i = 0; i < job->view->classes && !is_equal(job); i++) {
        if (job->view->steps[i].m == 0) continue;
        double value = row_log_omega(job, b, i);
        if (gurn_omega_is_zero(value)) {
            law.zero = true;
            continue;
        }
        if (seen == 0) {
            own = rest = value;
            law.first = i;
        } else if (seen == 1) {
            rest = value;
        } else {
            law.recurrence &= value == rest;
        }
        seen++;
    }
    law.lambda = gurn_plain_lambda(own - rest);
    return law;
}

/* Those of rows in `rows` that have the zeros of row r. */
static unsigned same_urn(const gurn_plain_job *job, int64_t b, int r, unsigned rows) {
    unsigned same = 1u << r;
    for (int q = 0; q < TILE; q++) {
        bool equal = rows >> q & 1;
        for (int32_t i = 0; i < job->view->classes && equal; i++)
            equal = job->view->steps[i].m == 0 || gurn_omega_is_zero(row_log_omega(job, b + q, i)) ==
                                                      gurn_omega_is_zero(row_log_omega(job, b + r, i));
        if (equal) same |= 1u << q;
    }
    return same;
}

/* --------------------------------------------------------------------------------------- chain: by recurrence --- */

/*
 * Draws the tile's rows by recurrence and writes those in `write`, whose urn is the one at hand. law: of the tile's rows (exact
 * chain); the merged chain has s->lambda.
 */
static void draw_by_recurrence(const gurn_plain_job *job, const scratch *s, int64_t b, int rows, const row_law *law,
                               unsigned write) {
    const gurn_plan_view *view = &s->urn;
    bool merged = is_merged(job), shared = merged && omega_shared(job);
    int32_t low = view->classes, high = -1; /* first places of the rows */
    double left[TILE], u[2][TILE], k[TILE], odds[TILE];
    for (int r = 0; r < TILE; r++) left[r] = gurn_row_n(&job->in, b + (r < rows ? r : rows - 1));
    /* Rows of another urn may draw more than this one has. */
    for (int r = 0; r < rows && write != (1u << rows) - 1; r++) left[r] = write >> r & 1 ? left[r] : 0.0;
    for (int r = rows; r < TILE; r++) left[r] = left[rows - 1];
    for (int r = 0; r < rows && !merged; r++) {
        low = law[r].first < low ? law[r].first : low;
        high = law[r].first > high ? law[r].first : high;
    }
    for (int r = 0; r < TILE && !merged; r++) odds[r] = 0.0;
    for (int32_t i = 0; i < view->classes; i++) {
        const gurn_step *step = &view->steps[i];
        const double *lambda = !merged ? odds : shared ? NULL : s->lambda + (int64_t)i * TILE;
        if (i % 2 == 0 && step->m_rest > 0) tile_uniforms(&s->noise, GURN_PLAIN_CHAIN_TAG, i / 2, b, u);
        for (int r = 0; r < rows && i >= low && i <= high + 1; r++) odds[r] = law[r].first == i ? law[r].lambda : 0.0;
        for (int v = 0; v < TILE; v += V_HALF) {
            v_f64 n = v_f64_load(left + v), count = v_splat64(0.0);
            if (step->m_rest == 0)
                count = step->m > 0 ? n : count;
            else if (step->m > 0)
                count =
                    v_plain_count(v_splat64(step->m), v_splat64(step->m_rest), n,
                                  lambda ? v_f64_load(lambda + v) : v_splat64(s->lambda[i]), v_f64_load(u[i % 2] + v));
            v_f64_store(k + v, count);
            v_f64_store(left + v, n - count);
        }
        int32_t *x = job->x + b * view->classes + job->in.order[i];
        for (int r = 0; r < rows; r++)
            if (write >> r & 1) x[(int64_t)r * view->classes] = (int32_t)k[r];
    }
}

/* ------------------------------------------------------------------------------------------------ chain: tables --- */

/* The places of those of the rows b.. that are in `rows`, whose urn is the one at hand: row r's at places[r]. */
static void set_places(const gurn_plain_job *job, const scratch *s, int64_t b, unsigned rows,
                       gurn_suffix *const *places) {
    int64_t at[TILE];
    int32_t n[TILE];
    gurn_suffix *to[TILE];
    int count = 0;
    for (int r = 0; r < TILE; r++) {
        if (!(rows >> r & 1)) continue;
        at[count] = (b + r) * job->in.log_omega_stride;
        n[count] = gurn_row_n(&job->in, b + r);
        to[count++] = places[r];
    }
    gurn_suffix_places(&s->urn, job->in.order, job->in.log_omega, job->dtype, count, at, n, window_bits(job), &s->work,
                       to);
}

/* The tables of a row, 0 < n < balls of the urn at hand, whose places are set. */
static void build_tables(scratch *s, int32_t n) {
    const gurn_plain_tables *t = &s->tables;
    int64_t own_at = 0;
    gurn_suffix_fill_f64(&s->urn, n, &s->work, t->place, t->suffix, NULL);
    for (int32_t i = 0; i < s->taker; i++) {
        const gurn_suffix *place = &t->place[i];
        t->own_at[i] = own_at;
        if (s->urn.steps[i].m > 0) {
            gurn_suffix_own_f64(place, &s->urn.steps[i], t->own + own_at, NULL);
            own_at += gurn_suffix_own_entries(place->own_high - place->own_low + 1);
        }
        if (t->shape.list_room) gurn_plain_place_tables(t, &s->urn.steps[i], i, n);
    }
    s->tables_n = n;
}

/* Running sums: numbered from place 1 on, those of place 0 last. */
static int64_t list_numbers(const scratch *s) {
    return s->taker > 0 ? (int64_t)(s->taker - 1) * s->tables.shape.list_room + 1 : 0;
}
static void fill_list_of(const scratch *s, int32_t n, int64_t number, bool recurrence) {
    int32_t room = s->tables.shape.list_room, i = 1 + (int32_t)(number / room), left;
    if (i == s->taker) i = 0;
    left = i == 0 ? n : s->tables.lists[i].low + (int32_t)(number % room);
    if (left <= s->tables.lists[i].high) gurn_plain_fill_list(&s->tables, &s->urn.steps[i], i, left, recurrence);
}

/* Draws rows first..last - 1 of the tile at row b, all of them with the tables at hand. */
GURN_FN void draw_by_tables(const gurn_plain_job *job, const scratch *s, int64_t b, int first, int last, int32_t n,
                            bool recurrence) {
    const gurn_plan_view *view = &s->urn;
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
static void write_certain(const gurn_plain_job *job, const scratch *s, int64_t b, int32_t n) {
    for (int32_t i = 0; i < s->urn.classes; i++)
        job->x[b * s->urn.classes + job->in.order[i]] = n == 0 ? 0 : s->urn.steps[i].m;
}

/* ---------------------------------------------------------------------------------------------------- drivers --- */

/* Those rows of a tile of the exact chain that are in `write` and whose urn is the one at hand. */
static void exact_group(const gurn_plain_job *job, scratch *s, int64_t b, int rows, const row_law *law,
                        unsigned write) {
    unsigned recurrence = 0;
    for (int r = 0; r < rows; r++) recurrence |= (unsigned)law[r].recurrence << r;
    if (write & recurrence) draw_by_recurrence(job, s, b, rows, law, write & recurrence);
    write &= ~recurrence;
    bool own = !omega_shared(job);
    gurn_suffix *places[TILE];
    for (int r = 0; r < TILE; r++) places[r] = s->places + (size_t)r * (size_t)job->view->classes;
    /* Where omega and n are shared rows come here only if their counts are certain, and there is no room for places. */
    if (!one_set(job) && write) set_places(job, s, b, write, places);
    for (int r = 0; r < rows; r++) {
        int32_t n = gurn_row_n(&job->in, b + r);
        if (!(write >> r & 1)) continue;
        if (n == 0 || n == urn_balls(s)) {
            write_certain(job, s, b + r, n);
            continue;
        }
        if (own || s->tables_n != n) {
            memcpy(s->tables.place, places[r], (size_t)job->view->classes * sizeof **places);
            build_tables(s, n);
        }
        draw_by_tables(job, s, b, r, r + 1, n, false);
    }
}

/* A tile whose rows do not share tables. */
static void own_tile(const gurn_plain_job *job, scratch *s, int64_t b, int rows, const row_law *shared) {
    row_law law[TILE];
    unsigned all = (1u << rows) - 1, zero = 0;
    bool merged = is_merged(job);
    for (int r = 0; r < rows && !merged; r++) {
        law[r] = shared ? *shared : law_of(job, b + r);
        zero |= (unsigned)(law[r].zero && !shared) << r;
    }
    if (merged && !shared && !gurn_tile_lambda(job->view, &job->in, job->dtype, b, rows, s->lambda))
        for (int r = 0; r < rows; r++) zero |= (unsigned)law_of(job, b + r).zero << r;
    unsigned group = all & ~zero; /* rows of one urn: first those without a class of omega 0 */
    for (; all; all &= ~group, group = 0) {
        if (!group) {
            int r = __builtin_ctz(all);
            group = same_urn(job, b, r, all);
            take_urn(job, s, b + r, true);
            if (merged) gurn_tile_lambda(&s->urn, &job->in, job->dtype, b, rows, s->lambda);
        }
        if (merged)
            draw_by_recurrence(job, s, b, rows, NULL, group);
        else
            exact_group(job, s, b, rows, law, group);
    }
    if (zero) take_urn(job, s, 0, false);
}

/* What rows that share omega and n share: suffix tables, or log odds; and where running sums are. law: theirs. */
static void build_shared(const gurn_plain_job *job, scratch *s, const row_law *law, bool recurrence) {
    if (!recurrence) {
        set_places(job, s, 0, 1, &s->tables.place);
        build_tables(s, job->in.n);
        return;
    }
    for (int32_t i = 0; i < job->view->classes; i++)
        s->tables.lambda[i] = is_merged(job) ? s->lambda[i] : i == law->first ? law->lambda : 0.0;
    gurn_plain_place_recurrences(&s->tables, s->urn.steps, job->in.n);
}

void GURN_NAME(plain_draw)(const gurn_plain_job *job) {
    int64_t tiles = gurn_tile_count(job->in.rows);
    bool shared = omega_shared(job);
    int32_t n = job->in.n;
    layout l = layout_of(job);
    row_law law = {false, false, 0, 0.0};
    if (shared && !is_merged(job)) law = law_of(job, 0);
#pragma omp parallel num_threads(job->threads)
    {
        scratch s;
        open_scratch(job, &l, &s);
        if (shared && is_merged(job))
            gurn_merged_odds(job->view, job->in.order, job->in.log_omega, job->dtype, 0, s.lambda, 1);
        bool recurrence = is_merged(job) || law.recurrence;
        bool tables = one_set(job) && n > 0 && n < urn_balls(&s) && (!recurrence || l.shape.list_room > 0);
        if (tables) {
#pragma omp single
            build_shared(job, &s, &law, recurrence);
            int64_t lists = l.shape.list_room ? list_numbers(&s) : 0;
#pragma omp for schedule(dynamic, 8)
            for (int64_t number = 0; number < lists; number++) fill_list_of(&s, n, number, recurrence);
        }
#pragma omp for schedule(static)
        for (int64_t tile = 0; tile < tiles; tile++) {
            int64_t b = tile * TILE;
            int rows = tile_rows(job->in.rows, b);
            if (tables && recurrence)
                draw_by_tables(job, &s, b, 0, rows, n, true);
            else if (tables)
                draw_by_tables(job, &s, b, 0, rows, n, false);
            else
                own_tile(job, &s, b, rows, shared ? &law : NULL);
        }
    }
}
