/*
 * Suffix sums of the exact chain and their adjoint on the CPU (mathematics in suffix_wide.h), 16 entries of a table at
 * a time.
 */
#include "suffix_wide_cpu.h"

#include <string.h>

#include "tilt_cpu.h"

#define GURN_L(name) v_##name
#include "suffix_wide_lanes.h"
#undef GURN_L

#define BLOCK GURN_PANEL_BLOCK
#define VECTORS (BLOCK / V_HALF)

/* ------------------------------------------------------------------------------------------------------- memory --- */

static int64_t at_most(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t at_least(int64_t a, int64_t b) { return a > b ? a : b; }

static int64_t table_stride(const gurn_mvhg_job *job) {
    const gurn_step *first = &job->view->steps[0];
    return (gurn_wide_last((int64_t)first->m + first->m_rest, job->n_max) + 2 + 7) & ~(int64_t)7;
}

static char *cut(char **p, size_t *at, size_t bytes) {
    char *here = *p ? *p + *at : NULL;
    *at += (bytes + 63) & ~(size_t)63;
    return here;
}

size_t GURN_NAME(wide_tables)(const gurn_mvhg_job *job, char *p, gurn_wide_suffix *tables) {
    size_t at = 0, classes = (size_t)job->view->classes;
    gurn_wide_suffix t = {0};
    t.stride = table_stride(job);
    t.lambda = (double *)cut(&p, &at, classes * sizeof *t.lambda);
    t.centre = (int32_t *)cut(&p, &at, classes * sizeof *t.centre);
    t.table = (double *)cut(&p, &at, (classes - 1) * (size_t)t.stride * sizeof *t.table);
    if (p) *tables = t;
    return at;
}

size_t GURN_NAME(wide_work)(const gurn_mvhg_job *job, bool backward, char *p, gurn_wide_work *work) {
    size_t at = 0, classes = (size_t)gurn_padded_classes(job->view->classes), width = (size_t)table_stride(job);
    size_t counts = (size_t)gurn_wide_last(job->max_m, job->n_max) + 1;
    size_t blocks = width / BLOCK + 1, padded = width + 3 * BLOCK;
    gurn_wide_work w;
    w.a = (double *)cut(&p, &at, classes * sizeof *w.a);
    w.m = (double *)cut(&p, &at, classes * sizeof *w.m);
    w.p = (double *)cut(&p, &at, classes * sizeof *w.p);
    w.q = (double *)cut(&p, &at, classes * sizeof *w.q);
    w.own = (double *)cut(&p, &at, (counts + 1) * sizeof *w.own);
    w.weight = (double *)cut(&p, &at, counts * sizeof *w.weight);
    w.top = (double *)cut(&p, &at, width * sizeof *w.top);
    w.best = (int32_t *)cut(&p, &at, width * sizeof *w.best);
    w.low = (int32_t *)cut(&p, &at, blocks * sizeof *w.low);
    w.high = (int32_t *)cut(&p, &at, blocks * sizeof *w.high);
    w.rest = (double *)cut(&p, &at, padded * sizeof *w.rest);
    w.pull = backward ? (double *)cut(&p, &at, padded * sizeof *w.pull) : NULL;
    if (!p) return at;
    w.rest += BLOCK;
    if (backward) w.pull += BLOCK;
    *work = w;
    return at;
}

size_t GURN_NAME(wide_adjoint)(const gurn_mvhg_job *job, char *p, gurn_wide_adjoint *adjoint) {
    size_t at = 0, tables = (size_t)job->view->classes - 1, bytes = tables * (size_t)table_stride(job) * sizeof(double);
    gurn_wide_adjoint a;
    a.table = (double *)cut(&p, &at, bytes);
    a.first = (int32_t *)cut(&p, &at, tables * sizeof *a.first);
    a.last = (int32_t *)cut(&p, &at, tables * sizeof *a.last);
    if (!p) return at;
    memset(a.table, 0, bytes);
    for (size_t i = 0; i < tables; i++) {
        a.first[i] = INT32_MAX;
        a.last[i] = -1;
    }
    *adjoint = a;
    return at;
}

/* --------------------------------------------------------------------------------------- one class, its panels --- */

/* own, top and best of a class. */
static gurn_fold fold_begin(const gurn_step *step, double lambda, int32_t centre, int32_t n, const double *rest,
                            const gurn_wide_work *w) {
    gurn_fold f = gurn_fold_of(step, n, w->own, rest);
    for (int32_t k = 0; k <= f.last_k; k++) w->own[k] = gurn_wide_own(step->own.wide, centre, lambda, k);
    w->own[f.last_k + 1] = -INFINITY;
    for (int32_t r = 0, k = 0;; r++) {
        w->top[r] = w->own[k] + rest[r - k];
        w->best[r] = k;
        if (r == f.last_r) return f;
        k += gurn_fold_takes(&f, k, r - k);
    }
}

/* out[j] = value[j] scaled, first <= j <= last; `from` is the entry that becomes 1. */
static void fill_scaled(double *out, const double *value, int32_t first, int32_t last, int32_t from, double slope) {
    v_f64 distance;
    int32_t j = first;
    double centre = value[from];
    for (int l = 0; l < V_HALF; l++) distance[l] = (double)(first + l - from);
    for (; j + V_HALF - 1 <= last; j += V_HALF, distance += V_HALF)
        v_f64_store(out + j, v_panel_scaled(v_f64_load(value + j), centre, distance, slope));
    for (; j <= last; j++) out[j] = s_panel_scaled(value[j], centre, (double)(j - from), slope);
}

/* The panel that begins at entry `first`, with low, high, weight and rest filled in. */
static gurn_panel panel_begin(const gurn_fold *f, int32_t first, const gurn_wide_work *w) {
    gurn_panel p = gurn_panel_choose(f, w->top, w->best, first);
    int32_t k_first = f->last_k, k_last = 0, q_first = f->last_q, q_last = 0;
    for (int32_t j = 0, r = first; j < p.blocks; j++, r += BLOCK) {
        w->low[j] = gurn_panel_low(f, w->top, w->best, r);
        w->high[j] = gurn_panel_high(f, w->top, w->best, r + BLOCK - 1 < p.last ? r + BLOCK - 1 : p.last);
        k_first = w->low[j] < k_first ? w->low[j] : k_first;
        k_last = w->high[j] > k_last ? w->high[j] : k_last;
        q_first = r - w->high[j] < q_first ? r - w->high[j] : q_first;
        q_last =
            r + BLOCK - 1 - w->low[j] > q_last ? r + BLOCK - 1 - w->low[j] : q_last; /* of lanes behind the end too */
    }
    fill_scaled(w->weight, f->own, k_first, k_last, p.k, p.slope);
    for (int32_t q = q_first; q < 0; q++) w->rest[q] = 0.0;
    for (int32_t q = f->last_q + 1; q <= q_last; q++) w->rest[q] = 0.0;
    fill_scaled(w->rest, f->rest, q_first > 0 ? q_first : 0, q_last < f->last_q ? q_last : f->last_q, p.q, p.slope);
    return p;
}

/* ----------------------------------------------------------------------------------------------------- forward --- */

/* out[r] = L(r) of one panel. */
static void panel_fold(const gurn_panel *p, const gurn_wide_work *w, double *out) {
    v_f64 distance[VECTORS];
    for (int j = 0; j < BLOCK; j++) distance[j / V_HALF][j % V_HALF] = (double)(p->first + j - p->peak);
    for (int32_t b = 0; b < p->blocks; b++) {
        int32_t r = p->first + b * BLOCK;
        v_f64 sum[VECTORS] = {{0}};
        for (int32_t k = w->low[b]; k <= w->high[b]; k++) {
            v_f64 weight = v_splat64(w->weight[k]);
            for (int v = 0; v < VECTORS; v++)
                sum[v] = v_fma64(weight, v_f64_load(w->rest + r - k + v * V_HALF), sum[v]);
        }
        double block[BLOCK];
        for (int v = 0; v < VECTORS; v++) {
            v_f64_store(block + v * V_HALF, v_panel_value(sum[v], p->centre, distance[v], p->slope));
            distance[v] += BLOCK;
        }
        int32_t left = p->last - r + 1;
        memcpy(out + r, block, (size_t)(left < BLOCK ? left : BLOCK) * sizeof *out);
    }
}

/* lambda and centre of every place. */
static void find_tilt(const gurn_mvhg_job *job, int64_t b, int32_t n, gurn_wide_suffix *t, const gurn_wide_work *w) {
    const gurn_plan_view *view = job->view;
    int64_t at = b * job->in.log_omega_stride;
    double total = (double)view->steps[0].m + view->steps[0].m_rest;
    double largest = gurn_omega_largest(view->steps, view->classes, job->in.order, job->in.log_omega, job->dtype, at);
    for (int64_t c = view->classes; c < gurn_padded_classes(view->classes); c++) w->m[c] = w->a[c] = 0.0;
    for (int32_t i = 0; i < view->classes; i++) {
        int32_t c = job->in.order[i];
        w->m[c] = view->steps[i].m;
        w->a[c] = gurn_log2_omega(gurn_real(job->in.log_omega, job->dtype, at + c), largest);
        t->lambda[i] = 0.0;
        t->centre[i] = 0;
    }
    if (total == 0.0) return; /* no step has anything to draw */
    gurn_tilt tilt = gurn_tilt_solve(w->a, w->m, w->p, w->q, view->classes, gurn_wide_drawn(n, total), total,
                                     gurn_tilt_range_of(w->a, w->m, view->classes, total));
    for (int32_t i = 0; i < view->classes; i++) {
        int32_t c = job->in.order[i];
        t->lambda[i] = gurn_tilt_lambda(w->a[c], tilt.ell);
        t->centre[i] = gurn_wide_centre(view->steps[i].m, w->p[c]);
    }
}

void GURN_NAME(wide_build)(const gurn_mvhg_job *job, int64_t b, int32_t n, gurn_wide_suffix *t,
                           const gurn_wide_work *w) {
    const gurn_step *steps = job->view->steps;
    find_tilt(job, b, n, t, w);
    for (int32_t j = job->view->classes - 1; j > 0; j--) {
        const gurn_step *step = &steps[j];
        double *out = t->table + (j - 1) * t->stride;
        int32_t last = gurn_wide_last((int64_t)step->m + step->m_rest, n);
        if (step->m_rest == 0) { /* one class alone, or none */
            for (int32_t r = 0; r <= last; r++)
                out[r] = step->m ? gurn_wide_own(step->own.wide, t->centre[j], t->lambda[j], r) : 0.0;
        } else if (step->m == 0) {
            memcpy(out, out + t->stride, (size_t)(last + 1) * sizeof *out);
        } else {
            gurn_fold f = fold_begin(step, t->lambda[j], t->centre[j], n, out + t->stride, w);
            for (int32_t r = 0; r <= f.last_r;) {
                gurn_panel p = panel_begin(&f, r, w);
                panel_fold(&p, w, out);
                r = p.last + 1;
            }
        }
        out[last + 1] = -INFINITY;
    }
    t->n = n;
    t->ready = 1;
}

/* ---------------------------------------------------------------------------------------------------- backward --- */

/*
 * What entries first..last of a table's adjoint send to the later table's, of one panel: to[q] is increased. Returns
 * the sum of q - centre over what was sent.
 */
static double panel_unfold(const gurn_fold *f, const gurn_panel *p, const gurn_wide_work *w, const double *table,
                           const double *adjoint, int32_t first, int32_t last, double *to, int32_t *to_first,
                           int32_t *to_last, double centre) {
    first = (int32_t)at_least(first, p->first);
    last = (int32_t)at_most(last, p->last);
    if (first > last) return 0.0;
    int32_t block = (first - p->first) / BLOCK, end = (last - p->first) / BLOCK;
    int32_t begin_r = p->first + block * BLOCK, end_r = p->first + end * BLOCK + BLOCK - 1;
    /* The adjoint over the panel's sums; zeros around what is not zero, as far as vectors reach. */
    for (int32_t r = begin_r - BLOCK; r <= end_r + BLOCK; r++) {
        bool inside = r >= first && r <= last;
        w->pull[r] = inside ? adjoint[r] * s_panel_scaled(-table[r], -p->centre, (double)(p->peak - r), p->slope) : 0.0;
    }
    int32_t q = (int32_t)at_least(begin_r - w->high[block], 0);
    int32_t last_q = (int32_t)at_most(end_r - w->low[end], f->last_q);
    double moment = 0.0;
    if (q < *to_first) *to_first = q;
    if (last_q > *to_last) *to_last = last_q;
    for (int32_t from = block, upto = block; q <= last_q; q += BLOCK) {
        /* Blocks from..upto of r are those that these q share in. */
        while (from < end && p->first + from * BLOCK + BLOCK - 1 - w->low[from] < q) from++;
        while (upto < end && p->first + (upto + 1) * BLOCK - w->high[upto + 1] <= q + BLOCK - 1) upto++;
        int32_t low = (int32_t)at_least(w->low[from], p->first + from * BLOCK - (q + BLOCK - 1));
        int32_t high = (int32_t)at_most(w->high[upto], p->first + upto * BLOCK + BLOCK - 1 - q);
        v_f64 sum[VECTORS] = {{0}};
        for (int32_t k = low; k <= high; k++) {
            v_f64 weight = v_splat64(w->weight[k]);
            for (int v = 0; v < VECTORS; v++)
                sum[v] = v_fma64(weight, v_f64_load(w->pull + q + k + v * V_HALF), sum[v]);
        }
        double sent[BLOCK];
        for (int v = 0; v < VECTORS; v++) v_f64_store(sent + v * V_HALF, sum[v]);
        for (int32_t j = 0; j < BLOCK && q + j <= last_q; j++) {
            double value = sent[j] * w->rest[q + j];
            to[q + j] += value;
            moment += value * ((double)(q + j) - centre);
        }
    }
    return moment;
}

void GURN_NAME(wide_sweep)(const gurn_mvhg_job *job, const gurn_wide_suffix *t, gurn_wide_adjoint *adjoint,
                           const gurn_wide_work *w, double *log_omega) {
    const gurn_step *steps = job->view->steps;
    double centre = 0.0; /* of what is left at the place: near the mean */
    for (int32_t j = 1; j < job->view->classes; j++) centre += t->centre[j];
    for (int32_t j = 1; j < job->view->classes; j++) {
        const gurn_step *step = &steps[j];
        double *here = adjoint->table + (j - 1) * t->stride, later = centre - (double)t->centre[j], gradient = 0.0;
        const double *table = gurn_wide_after(t, j - 1);
        int32_t first = adjoint->first[j - 1], last = adjoint->last[j - 1];
        for (int32_t r = first; r <= last; r++) gradient += here[r] * ((double)r - centre);
        if (step->m_rest > 0 && first <= last) {
            if (step->m == 0) {
                for (int32_t r = first; r <= last; r++) here[t->stride + r] += here[r];
                if (first < adjoint->first[j]) adjoint->first[j] = first;
                if (last > adjoint->last[j]) adjoint->last[j] = last;
            } else {
                gurn_fold f = fold_begin(step, t->lambda[j], t->centre[j], t->n, table + t->stride, w);
                for (int32_t r = 0; r <= last;) {
                    gurn_panel p = panel_begin(&f, r, w);
                    gradient -= panel_unfold(&f, &p, w, table, here, first, last, here + t->stride, &adjoint->first[j],
                                             &adjoint->last[j], later);
                    r = p.last + 1;
                }
            }
        }
        if (step->m > 0) log_omega[job->in.order[j]] += gradient;
        if (first <= last) memset(here + first, 0, (size_t)(last - first + 1) * sizeof *here);
        adjoint->first[j - 1] = INT32_MAX;
        adjoint->last[j - 1] = -1;
        centre = later;
    }
}
