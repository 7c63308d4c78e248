/*
 * Plain draws of the exact chain ([MVHG] Eq. 1; DESIGN 1.1): from the suffix tables (suffix.h), in double, of one row of omega and one n.
 * Classes are named by their place in the order. The last place that has balls, the taker, takes what is left; a place before it that is
 * left with n_i balls has
 *     P(k) proportional to b_i(k) S_{i+1}(n_i - k),
 * two tables read at k, and the running sums of plain.h go over the counts that both have.
 *
 * Running sums in tables. When many rows share omega and n, the running sums are put into tables, one for each place and n_i within
 * GURN_PLAIN_LIST_SIGMA standard deviations of its mean, with a guide into it for equal parts of u. A row that is further out has its
 * sums formed in passing, like all rows of other calls: the draw is the same.
 */
#ifndef GURN_PLAIN_CHAIN_H
#define GURN_PLAIN_CHAIN_H

#include "plain.h"
#include "suffix.h"

/* Tables of running sums: which n_i have one, how many rows a call must have for each n_i of a place, and what they may take. */
#define GURN_PLAIN_LIST_SIGMA 5.5
#define GURN_PLAIN_LIST_ROWS 2
#define GURN_PLAIN_LIST_BYTES ((int64_t)64 << 20)

/* The running sums of a place. */
typedef struct gurn_plain_lists {
    int32_t low, high;                  /* n_i that have them; none: high < low */
    int32_t stride, buckets;            /* running sums, and entries of the guide, of one n_i */
    int64_t head_at, list_at, guide_at; /* where those of n_i = low begin */
} gurn_plain_lists;

typedef struct gurn_plain_head {
    double total;
    int32_t mode, above; /* how many counts are listed above the mode */
} gurn_plain_head;

/* Sizes of a row's tables, from what the host knows. In elements. */
typedef struct gurn_plain_shape {
    int32_t classes;
    int64_t own_room;   /* b of one place, and what vectors write behind it */
    int64_t table_room; /* S of all places */
    int32_t list_room;  /* n_i of one place that have running sums; 0: none have */
    int32_t buckets;    /* most in a guide, a power of two */
    int64_t list_count; /* n_i that have running sums, in all */
} gurn_plain_shape;

/* A row's tables, in memory of the device. */
typedef struct gurn_plain_tables {
    gurn_plain_shape shape;
    gurn_suffix *place;      /* [C] */
    gurn_plain_lists *lists; /* [C] */
    double *own;             /* [C][own_room]: b_i, from own_low on */
    double *suffix;          /* S_i, as place says */
    gurn_plain_head *head;   /* [list_count] */
    double *list;            /* running sums: room for [list_count][own_room] */
    uint16_t *guide;         /* where the search for u begins: room for [list_count][buckets] */
} gurn_plain_tables;

/* How far from its mean an n_i has running sums, given its variance. */
GURN_FN double gurn_plain_list_reach(double variance) { return ceil(fma(GURN_PLAIN_LIST_SIGMA, sqrt(variance), 3.0)); }

GURN_FN int32_t gurn_plain_buckets(int64_t sums) {
    int32_t buckets = 16;
    while (buckets < sums) buckets *= 2;
    return buckets;
}

/*
 * own: most entries of a b_i; table_room: of all S_i; total: all balls; n: largest of any row, or a range from 0 to there if n_varies;
 * rows: how many share the tables.
 */
GURN_FN gurn_plain_shape gurn_plain_shape_of(int32_t classes, int64_t own, int64_t table_room, double total, double n,
                                             int n_varies, int64_t rows) {
    gurn_plain_shape s = {classes, (own + 15) & ~(int64_t)7, table_room, 0, 0, 0};
    if (s.own_room >= 0x8000) return s;
    /* sum m p q is largest, for its sum m p = n, when all p are equal; and given n, that of n_i is a quarter at most */
    if (n_varies && n > 0.5 * total) n = 0.5 * total;
    int64_t room = (int64_t)gurn_plain_list_reach(total > 0.0 ? 0.25 * n * (total - n) / total : 0.0) * 2 + 2;
    int64_t count = 1 + (classes > 2 ? classes - 2 : 0) * room;
    int32_t buckets = gurn_plain_buckets(s.own_room);
    int64_t each = (int64_t)sizeof(gurn_plain_head) + 8 * s.own_room + 2 * (int64_t)buckets;
    if (rows < GURN_PLAIN_LIST_ROWS * room || count > GURN_PLAIN_LIST_BYTES / each) return s;
    s.list_room = (int32_t)room;
    s.buckets = buckets;
    s.list_count = count;
    return s;
}

/* Takes bytes, rounded up to 256, from p (NULL: none there yet); *at is the running size. */
GURN_FN char *gurn_plain_take(char *p, size_t *at, size_t bytes) {
    char *taken = p ? p + *at : p;
    *at += (bytes + 255) & ~(size_t)255;
    return taken;
}

/* Bytes of a row's tables, laid out at p unless that is NULL. */
GURN_FN size_t gurn_plain_cut(gurn_plain_tables *t, gurn_plain_shape s, char *p) {
    size_t at = 0, classes = (size_t)s.classes, lists = (size_t)s.list_count, own = (size_t)s.own_room;
    t->shape = s;
    t->place = (gurn_suffix *)gurn_plain_take(p, &at, classes * sizeof *t->place);
    t->lists = (gurn_plain_lists *)gurn_plain_take(p, &at, classes * sizeof *t->lists);
    t->own = (double *)gurn_plain_take(p, &at, classes * own * sizeof(double));
    t->suffix = (double *)gurn_plain_take(p, &at, (size_t)s.table_room * sizeof(double));
    t->head = (gurn_plain_head *)gurn_plain_take(p, &at, lists * sizeof *t->head);
    t->list = (double *)gurn_plain_take(p, &at, lists * own * sizeof(double));
    t->guide = (uint16_t *)gurn_plain_take(p, &at, lists * (size_t)s.buckets * sizeof *t->guide);
    return at;
}

/* ----------------------------------------------------------------------------------------------------- drawing --- */

/*
 * The counts of a place that is left with n_i balls, in their order: weight own[j] rest[j] for the count mode + j, j = 0..above, then
 * -1..-below. The mode, the larger of two, is climbed to from where it would be if all laws were normal.
 */
typedef struct gurn_plain_counts {
    const double *own, *rest;
    int32_t mode, above, below;
} gurn_plain_counts;

GURN_FN double gurn_plain_weight(const gurn_plain_counts *c, int32_t j) { return c->own[j] * c->rest[j]; }

/* Of place i, before the taker. step: its sizes. */
GURN_FN gurn_plain_counts gurn_plain_counts_of(const gurn_plain_tables *t, const gurn_step *step, int32_t i,
                                               int32_t left) {
    const gurn_suffix *here = &t->place[i], *next = here + 1;
    gurn_support at = gurn_suffix_support(here, next, step->m, step->m_rest, left);
    int32_t low = at.low, high = at.high, k = gurn_suffix_clamp(gurn_suffix_guess(here, left) + 0.5, low, high);
    gurn_plain_counts c;
    c.own = t->own + i * t->shape.own_room + (k - here->own_low);
    c.rest = t->suffix + next->begin + (next->top - left + k);
    c.above = high - k;
    c.below = k - low;
    while (c.above > 0 && gurn_plain_weight(&c, 1) >= gurn_plain_weight(&c, 0))
        k++, c.own++, c.rest++, c.above--, c.below++;
    while (c.below > 0 && gurn_plain_weight(&c, -1) > gurn_plain_weight(&c, 0))
        k--, c.own--, c.rest--, c.above++, c.below--;
    c.mode = k;
    return c;
}

/* Draws a count with no more than the tables of b and S. */
GURN_FN int32_t gurn_plain_walk(const gurn_plain_tables *t, const gurn_step *step, int32_t i, int32_t left, double u) {
    gurn_plain_counts c = gurn_plain_counts_of(t, step, i, left);
    if (c.above + c.below == 0) return c.mode;
    double upper = 0.0, total;
    for (int32_t j = 0; j <= c.above; j++) upper += gurn_plain_weight(&c, j);
    total = upper;
    for (int32_t j = 1; j <= c.below; j++) total += gurn_plain_weight(&c, -j);
    double target = u * total, sum = 0.0;
    int32_t j = 0;
    if (target < upper) { /* at the last count the sum is upper: it needs no look */
        for (; j < c.above; j++)
            if (target < (sum += gurn_plain_weight(&c, j))) break;
        return c.mode + j;
    }
    for (j = 1, sum = upper; j < c.below; j++)
        if (target < (sum += gurn_plain_weight(&c, -j))) break;
    return c.mode - j;
}

/* ------------------------------------------------------------------------------------------------ running sums --- */

/* Which n_i of a place before the taker have running sums, and where. */
GURN_FN void gurn_plain_place_lists(const gurn_plain_tables *t, int32_t i, int32_t n) {
    const gurn_suffix *here = &t->place[i];
    gurn_plain_lists *lists = &t->lists[i];
    double all = t->place[0].variance_left, left = here->variance_left, before = all - left;
    double reach = gurn_plain_list_reach(before > 0.0 ? before * left / all : 0.0);
    int32_t room = i == 0 ? 1 : t->shape.list_room;
    lists->low = i == 0 ? n : gurn_suffix_clamp(ceil(here->mean_left - reach), here->low, here->high);
    lists->high = i == 0 ? n : here->high;
    if (lists->high > lists->low + room - 1) lists->high = lists->low + room - 1;
    lists->stride = here->own_high - here->own_low + 1;
    lists->buckets = gurn_plain_buckets(lists->stride);
    lists->head_at = i == 0 ? 0 : 1 + (int64_t)(i - 1) * room;
    lists->list_at = lists->head_at * t->shape.own_room;
    lists->guide_at = lists->head_at * t->shape.buckets;
}

/* Fills the running sums of one n_i, in the order of the counts, and for every part of u which of them may be the first above it. */
GURN_FN void gurn_plain_fill_list(const gurn_plain_tables *t, const gurn_step *step, int32_t i, int32_t left) {
    const gurn_plain_lists *lists = &t->lists[i];
    int64_t at = left - lists->low;
    gurn_plain_counts c = gurn_plain_counts_of(t, step, i, left);
    gurn_plain_head head;
    double *list = t->list + lists->list_at + at * lists->stride, sum = 0.0;
    uint16_t *guide = t->guide + lists->guide_at + at * lists->buckets;
    int32_t count = 0;
    for (int32_t j = 0; j <= c.above; j++) list[count++] = sum += gurn_plain_weight(&c, j);
    for (int32_t j = 1; j <= c.below; j++) list[count++] = sum += gurn_plain_weight(&c, -j);
    head.total = sum;
    head.mode = c.mode;
    head.above = c.above;
    t->head[lists->head_at + at] = head;
    double part = 1.0 / lists->buckets; /* a power of two */
    for (int32_t g = 0, j = 0; g < lists->buckets; g++) {
        while (!((double)g * part * sum < list[j])) j++;
        guide[g] = (uint16_t)j;
    }
}

/* The same draw as gurn_plain_walk, with running sums where there are some. u >= g / buckets makes u total >= (g / buckets) total. */
GURN_FN int32_t gurn_plain_look_up(const gurn_plain_tables *t, const gurn_step *step, int32_t i, int32_t left,
                                   double u) {
    const gurn_plain_lists *lists = &t->lists[i];
    if (left < lists->low || left > lists->high) return gurn_plain_walk(t, step, i, left, u);
    int64_t at = left - lists->low;
    gurn_plain_head head = t->head[lists->head_at + at];
    const double *list = t->list + lists->list_at + at * lists->stride;
    double target = u * head.total;
    int32_t j = t->guide[lists->guide_at + at * lists->buckets + (int32_t)(u * lists->buckets)];
    while (!(target < list[j])) j++;
    return j <= head.above ? head.mode + j : head.mode - (j - head.above);
}

#endif
