/* Fills the log-binomial tables of a plan (plan.h). Own arithmetic only: every machine must hold the same bits. */
#include "plan.h"

#include <stdlib.h>

#include "gammamath.h"

static int compare_m(const void *a, const void *b) {
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

/* Takes n bytes (rounded up to 64) from a block; *at is its running size. */
static void *take(char *storage, size_t *at, size_t n) {
    void *p = storage ? storage + *at : NULL;
    *at += (n + 63) & ~(size_t)63;
    return p;
}

/* Modulo 2^32, to the nearest 2^-23 bit. */
static int32_t to_fixed(double bits) { return (int32_t)(uint32_t)(uint64_t)(int64_t)llrint(bits * 0x1p23); }

/*
 * T_M outwards from its middle, where it is 0: T(k+1) = T(k) + log2((k+1) / (M-k)), summed with compensation. Each term
 * has an absolute error below 4e-15, so T is right to 1e-11 at M = 2e6, where a difference of lgamma would have lost
 * 1e-8.
 */
static void fill_table(int32_t m, int32_t *fixed, double *wide, void *psi, size_t psi_size) {
    int32_t middle = m / 2;
    double sum = 0.0, lost = 0.0;
    wide[middle] = wide[m - middle] = 0.0;
    for (int32_t k = m - middle; k < m; k++) {
        double term = s_log2_64((double)(k + 1) / (double)(m - k)) - lost;
        double next = sum + term;
        lost = (next - sum) - term;
        sum = next;
        wide[k + 1] = wide[m - k - 1] = sum;
    }
    for (int32_t k = 0; k <= m; k++) fixed[k] = to_fixed(wide[k]);
    for (int32_t k = 0; k <= m / 2; k++) {
        double value = gurn_digamma(k + 1.0) - gurn_digamma(m - k + 1.0);
        if (psi_size == sizeof(float)) {
            ((float *)psi)[k] = (float)value;
            ((float *)psi)[m - k] = (float)-value;
        } else {
            ((double *)psi)[k] = value;
            ((double *)psi)[m - k] = -value;
        }
    }
}

/* What is left at a place has the same r = 0..top as draws have, and one more, for windows have a margin. */
static int64_t left_top(int32_t m_left, int32_t n_max) { return m_left < n_max + 1 ? m_left : (int64_t)n_max + 1; }

/* From 0 upwards, summed as above. */
static void fill_left(int32_t m_left, int64_t top, int32_t *fixed) {
    double sum = 0.0, lost = 0.0;
    fixed[top] = 0;
    for (int64_t r = 0; r < top; r++) {
        double term = s_log2_64((double)(r + 1) / (double)(m_left - r)) - lost;
        double next = sum + term;
        lost = (next - sum) - term;
        sum = next;
        fixed[top - r - 1] = to_fixed(sum);
    }
}

/* Whether what is left at this place is a sum of two classes or more, of which this is one, and earlier ones have balls. */
static int has_left(int32_t m, int32_t rest, int32_t m_left, int64_t total) {
    return m > 0 && rest > 0 && m_left < total;
}

int gurn_plan_fill(int32_t classes, const int32_t *m, const int32_t *order, int with_rest, int32_t n_max,
                   size_t psi_size, void *storage, size_t *bytes, gurn_plan_view *view) {
    size_t at = 0, count = 0;
    int with_tables = psi_size > 0;
    int32_t *distinct = malloc(2 * (size_t)classes * sizeof *distinct);
    gurn_table *tables = malloc(2 * (size_t)classes * sizeof *tables);
    if (!distinct || !tables) {
        free(distinct);
        free(tables);
        return -1;
    }
    int32_t rest = 0;
    size_t left_entries = 0;
    int64_t total = 0;
    for (int32_t c = 0; c < classes; c++) total += m[c];
    for (int32_t i = classes - 1; i >= 0; i--) {
        int32_t own = m[order[i]];
        if (with_tables) distinct[count++] = own;
        if (with_tables && with_rest) distinct[count++] = rest;
        if (has_left(own, rest, rest + own, total))
            left_entries += (size_t)left_top(rest + own, n_max) + 1 + 2 * GURN_TABLE_PAD;
        rest += own;
    }
    int with_left = !with_rest && psi_size == sizeof(float) && left_entries <= GURN_LEFT_ENTRIES;
    qsort(distinct, count, sizeof *distinct, compare_m);
    size_t unique = 0;
    for (size_t t = 0; t < count; t++)
        if (t == 0 || distinct[t] != distinct[t - 1]) distinct[unique++] = distinct[t];

    gurn_step *steps = take(storage, &at, (size_t)classes * sizeof *steps);
    int32_t *places = take(storage, &at, (size_t)classes * sizeof *places);
    int64_t *offset = take(storage, &at, ((size_t)classes + 1) * sizeof *offset);
    for (size_t t = 0; t < unique; t++) {
        size_t entries = (size_t)distinct[t] + 1 + 2 * GURN_TABLE_PAD;
        int32_t *fixed = take(storage, &at, entries * sizeof *fixed);
        double *wide = take(storage, &at, entries * sizeof *wide);
        char *psi = take(storage, &at, entries * psi_size);
        if (!storage) continue;
        for (size_t k = 0; k < entries; k++) { /* the pads too: whatever is read is defined */
            fixed[k] = 0;
            wide[k] = 0.0;
        }
        for (size_t k = 0; k < entries * psi_size; k++) psi[k] = 0;
        fixed += GURN_TABLE_PAD;
        wide += GURN_TABLE_PAD;
        psi += GURN_TABLE_PAD * psi_size;
        fill_table(distinct[t], fixed, wide, psi, psi_size);
        tables[t] = (gurn_table){fixed, wide, psi, distinct[t]};
    }
    rest = 0;
    for (int32_t i = classes - 1; i >= 0; i--) {
        int32_t own = m[order[i]], m_left = rest + own;
        gurn_left_table left = {NULL, 0};
        if (with_left && has_left(own, rest, m_left, total)) {
            int64_t top = left_top(m_left, n_max);
            size_t entries = (size_t)top + 1 + 2 * GURN_TABLE_PAD;
            int32_t *fixed = take(storage, &at, entries * sizeof *fixed);
            if (storage) {
                for (size_t k = 0; k < entries; k++) fixed[k] = 0;
                fill_left(m_left, top, fixed + GURN_TABLE_PAD);
                left = (gurn_left_table){fixed + GURN_TABLE_PAD, top};
            }
        }
        if (storage) steps[i].left = left;
        rest = m_left;
    }
    *bytes = at;
    if (storage) {
        rest = 0;
        offset[0] = 0;
        for (int32_t c = 0; c < classes; c++) offset[c + 1] = offset[c] + m[c] + 1;
        for (int32_t i = classes - 1; i >= 0; i--) {
            int32_t own = m[order[i]];
            gurn_step step = {own,
                              rest,
                              own ? s_log2_64(own) : 0.0,
                              rest ? s_log2_64(rest) : 0.0,
                              {NULL, NULL, NULL, own},
                              {NULL, NULL, NULL, 0},
                              steps[i].left};
            if (with_tables) {
                int32_t *t = bsearch(&own, distinct, unique, sizeof *distinct, compare_m);
                step.own = tables[t - distinct];
            }
            if (with_tables && with_rest) {
                int32_t *t = bsearch(&rest, distinct, unique, sizeof *distinct, compare_m);
                step.rest = tables[t - distinct];
            }
            steps[i] = step;
            places[i] = order[i];
            rest += own;
        }
        *view = (gurn_plan_view){classes, steps, places, offset};
    }
    free(distinct);
    free(tables);
    return 0;
}

static const void *moved(const void *p, const void *from, const void *to) {
    return p ? (const char *)to + ((const char *)p - (const char *)from) : NULL;
}

gurn_plan_view gurn_plan_rebase(const gurn_plan_view *view, const void *from, const void *to, gurn_step *steps_out) {
    for (int32_t i = 0; i < view->classes; i++) {
        gurn_step s = view->steps[i];
        gurn_table *tables[2] = {&s.own, &s.rest};
        for (int t = 0; t < 2; t++) {
            tables[t]->fixed = moved(tables[t]->fixed, from, to);
            tables[t]->wide = moved(tables[t]->wide, from, to);
            tables[t]->psi = moved(tables[t]->psi, from, to);
        }
        s.left.fixed = moved(s.left.fixed, from, to);
        steps_out[i] = s;
    }
    return (gurn_plan_view){view->classes, moved(view->steps, from, to), moved(view->order, from, to),
                            moved(view->offset, from, to)};
}
