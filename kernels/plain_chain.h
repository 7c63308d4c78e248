/*
 * Plain draws of a chain, from tables of one row of omega and one n. Classes are named by their place in the order. The last place that
 * has balls, the taker, takes what is left. A class of omega 0 is one without balls: steps are those of gurn_omega_steps.
 *
 * The exact chain ([MVHG] Eq. 1; DESIGN 1.1) has suffix tables (suffix.h), in double: a place that is left with n_i balls has
 *     P(k) proportional to b_i(k) S_{i+1}(n_i - k),
 * two tables read at k, and the running sums of plain.h go over the counts that both have. A chain by recurrence needs no tables.
 *
 * Running sums in tables. When many rows share omega and n, the running sums of either kind of chain are put into tables, one for each
 * place and n_i within GURN_PLAIN_LIST_SIGMA standard deviations of its mean, with a guide into it for equal parts of u. A row that is
 * further out has its sums formed in passing, like all rows of other calls: the draw is the same.
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
    int32_t mode, above; /* above: how many counts are listed above the mode; -1: nothing is listed */
} gurn_plain_head;

/* Sizes of a row's tables, from what the host knows. In elements. */
typedef struct gurn_plain_shape {
    int32_t classes;
    int64_t own_room;                /* b of one place, and what vectors write behind it; or running sums of one n_i */
    int64_t own_entries, table_room; /* b, and S, of all places; 0 and 0: a chain by recurrence, without tables */
    int32_t list_room;               /* n_i of one place that have running sums; 0: none have */
    int32_t buckets;                 /* most in a guide, a power of two */
    int64_t list_count;              /* n_i that have running sums, in all */
} gurn_plain_shape;

/* A row's tables, in memory of the device. */
typedef struct gurn_plain_tables {
    gurn_plain_shape shape;
    gurn_suffix *place;      /* [C]: suffix tables */
    int64_t *own_at;         /* [C]: where b_i begins */
    double *own;             /* b_i, from own_low on */
    double *suffix;          /* S_i, as place says */
    double *lambda;          /* [C]: base-2 log odds of the steps of a chain by recurrence, which has running sums */
    gurn_plain_lists *lists; /* [C]: running sums */
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
 * Most running sums of a step by recurrence, of variance V, whose support has `most` counts. Its law is that of a sum of independent
 * trials (the polynomial of its weights has real roots), so that beyond nats / 3 + sqrt(nats^2 / 9 + 2 nats V) from the mean there is
 * less than 2 e^-nats (Bernstein), while the mode has 1 / sqrt(1 + 12 V) at least (moments.h).
 */
GURN_FN int64_t gurn_plain_recurrence_room(double variance, double most) {
    double nats = s_suffix_nats(-s_log2_64(GURN_PLAIN_TINY) + 2.0, variance), third = nats / 3.0;
    double room = 2.0 * (third + sqrt(fma(third, third, 2.0 * nats * variance))) + 6.0;
    return (int64_t)(room < most + 1.0 ? room : most + 1.0);
}

/*
 * own: most entries of a b_i, or running sums of a step; own_entries, table_room: as in the shape; total: all balls; n: largest
 * of any row, or a range from 0 to there if n_varies; rows: how many share the tables.
 */
GURN_FN gurn_plain_shape gurn_plain_shape_of(int32_t classes, int64_t own, int64_t own_entries, int64_t table_room,
                                             double total, double n, int n_varies, int64_t rows) {
    gurn_plain_shape s = {classes, (own + 15) & ~(int64_t)7, own_entries, table_room, 0, 0, 0};
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
    size_t at = 0, lists = (size_t)s.list_count, own = (size_t)s.own_room;
    size_t suffix = s.own_entries > 0 ? (size_t)s.classes : 0, sums = s.list_room > 0 ? (size_t)s.classes : 0;
    t->shape = s;
    t->place = (gurn_suffix *)gurn_plain_take(p, &at, suffix * sizeof *t->place);
    t->own_at = (int64_t *)gurn_plain_take(p, &at, suffix * sizeof *t->own_at);
    t->own = (double *)gurn_plain_take(p, &at, (size_t)s.own_entries * sizeof(double));
    t->suffix = (double *)gurn_plain_take(p, &at, (size_t)s.table_room * sizeof(double));
    t->lambda = (double *)gurn_plain_take(p, &at, sums * sizeof(double));
    t->lists = (gurn_plain_lists *)gurn_plain_take(p, &at, sums * sizeof *t->lists);
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
    c.own = t->own + t->own_at[i] + (k - here->own_low);
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

/* The running sums of a place are for n_i = low..high, as far as there is room. */
GURN_FN void gurn_plain_place_list(const gurn_plain_tables *t, int32_t i, int32_t low, int32_t high, int64_t stride) {
    gurn_plain_lists *lists = &t->lists[i];
    int32_t room = i == 0 ? 1 : t->shape.list_room;
    lists->low = low;
    lists->high = high > low + room - 1 ? low + room - 1 : high;
    lists->stride = (int32_t)(stride < t->shape.own_room ? stride : t->shape.own_room);
    lists->buckets = gurn_plain_buckets(lists->stride);
    lists->head_at = i == 0 ? 0 : 1 + (int64_t)(i - 1) * room;
    lists->list_at = lists->head_at * t->shape.own_room;
    lists->guide_at = lists->head_at * t->shape.buckets;
}

/* A class without balls draws 0 of any n_i, and has neither sums nor the weights that they would be made of. */
GURN_FN void gurn_plain_place_no_list(const gurn_plain_tables *t, int32_t i) { gurn_plain_place_list(t, i, 1, 0, 1); }

/* Those of a place before the taker, of the exact chain. */
GURN_FN void gurn_plain_place_tables(const gurn_plain_tables *t, const gurn_step *step, int32_t i, int32_t n) {
    const gurn_suffix *here = &t->place[i];
    if (step->m == 0) {
        gurn_plain_place_no_list(t, i);
        return;
    }
    double all = t->place[0].variance_left, left = here->variance_left, before = all - left;
    double reach = gurn_plain_list_reach(before > 0.0 ? before * left / all : 0.0);
    int32_t low = i == 0 ? n : gurn_suffix_clamp(ceil(here->mean_left - reach), here->low, here->high);
    gurn_plain_place_list(t, i, low, i == 0 ? n : here->high, here->own_high - here->own_low + 1);
}

/* The running sums of a step by recurrence: how many, and how many of them *above the mode; 0 when there is no room for them. */
GURN_FN int32_t gurn_plain_list_recurrence(const gurn_step *step, int32_t left, double lambda, int32_t room,
                                           double *list, int32_t *mode, int32_t *above) {
    double m = step->m, rest = step->m_rest, k = s_plain_mode(m, rest, left, lambda), k_rest = rest - left + k;
    s_plain_side up = {m - k, left - k, k, k_rest, s_exp2_64(lambda)};
    s_plain_side down = {k, k_rest, m - k, left - k, s_exp2_64(-lambda)};
    double sum = 1.0;
    int32_t count = 1;
    list[0] = sum;
    for (double w = s_plain_next(&up, 1.0); w > 0.0 && count < room; w = s_plain_next(&up, w)) list[count++] = sum += w;
    *above = count - 1;
    for (double w = s_plain_next(&down, 1.0); w > 0.0 && count < room; w = s_plain_next(&down, w))
        list[count++] = sum += w;
    *mode = (int32_t)k;
    return count < room || room > (m < left ? m : left) ? count : 0; /* as many as the whole support are all of it */
}

/*
 * Those of all places of a chain by recurrence, t->lambda being set. n_i is followed as though it were normal: its mean by the steps'
 * modes, and with s = d mode / d n_i and v the variance of the step, its variance to (1 - s)^2 var + v. Which n_i have running
 * sums decides nothing.
 */
GURN_FN void gurn_plain_place_recurrences(const gurn_plain_tables *t, const gurn_step *steps, int32_t n) {
    double mean = n, variance = 0.0;
    for (int32_t i = 0; i < t->shape.classes && steps[i].m_rest > 0; i++) {
        double m = steps[i].m, rest = steps[i].m_rest, lambda = t->lambda[i], reach = gurn_plain_list_reach(variance);
        int32_t most = n < m + rest ? n : (int32_t)(m + rest), at = gurn_suffix_clamp(mean + 0.5, 0, most);
        int32_t low = gurn_suffix_clamp(ceil(mean - reach), 0, most), high = gurn_suffix_clamp(mean + reach, 0, most);
        if (m == 0.0) {
            gurn_plain_place_no_list(t, i);
            continue;
        }
        double slope = s_mode_root(m, rest, at + 0.5, lambda) - s_mode_root(m, rest, at - 0.5, lambda);
        double k = s_plain_mode(m, rest, at, lambda), r = at - k;
        double own = 1.0 / (1.0 / (k + 0.5) + 1.0 / (m - k + 0.5) + 1.0 / (r + 0.5) + 1.0 / (rest - r + 0.5));
        gurn_plain_place_list(t, i, i == 0 ? n : low, high, gurn_plain_recurrence_room(own, m < most ? m : most));
        variance = fma((1.0 - slope) * (1.0 - slope), variance, own);
        if (!(variance < n)) variance = n;
        mean = mean - k > 0.0 ? mean - k : 0.0;
    }
}

/* The guide of running sums that are there, and their head. */
GURN_FN void gurn_plain_finish_list(const gurn_plain_tables *t, const gurn_plain_lists *lists, int64_t at, int32_t mode,
                                    int32_t above, int32_t count) {
    const double *list = t->list + lists->list_at + at * lists->stride;
    uint16_t *guide = t->guide + lists->guide_at + at * lists->buckets;
    gurn_plain_head head = {count > 0 ? list[count - 1] : 0.0, mode, count > 0 ? above : -1};
    double part = 1.0 / lists->buckets; /* a power of two */
    t->head[lists->head_at + at] = head;
    for (int32_t g = 0, j = 0; g < lists->buckets && count > 0; g++) {
        while (!((double)g * part * head.total < list[j])) j++;
        guide[g] = (uint16_t)j;
    }
}

/* Fills the running sums of one n_i, in the order of the counts, and for every part of u which of them may be the first above it. */
GURN_FN void gurn_plain_fill_list(const gurn_plain_tables *t, const gurn_step *step, int32_t i, int32_t left,
                                  bool recurrence) {
    const gurn_plain_lists *lists = &t->lists[i];
    int64_t at = left - lists->low;
    double *list = t->list + lists->list_at + at * lists->stride, sum = 0.0;
    int32_t mode, above, count = 0;
    if (recurrence) {
        count = gurn_plain_list_recurrence(step, left, t->lambda[i], lists->stride, list, &mode, &above);
    } else {
        gurn_plain_counts c = gurn_plain_counts_of(t, step, i, left);
        mode = c.mode;
        above = c.above;
        for (int32_t j = 0; j <= c.above; j++) list[count++] = sum += gurn_plain_weight(&c, j);
        for (int32_t j = 1; j <= c.below; j++) list[count++] = sum += gurn_plain_weight(&c, -j);
    }
    gurn_plain_finish_list(t, lists, at, mode, above, count);
}

/* Draws a count where n_i has running sums: -1 where it has none. u >= g / buckets makes u total >= (g / buckets) total. */
GURN_FN int32_t gurn_plain_look_up(const gurn_plain_tables *t, int32_t i, int32_t left, double u) {
    const gurn_plain_lists *lists = &t->lists[i];
    if (left < lists->low || left > lists->high) return -1;
    int64_t at = left - lists->low;
    gurn_plain_head head = t->head[lists->head_at + at];
    if (head.above < 0) return -1;
    const double *list = t->list + lists->list_at + at * lists->stride;
    double target = u * head.total;
    int32_t j = t->guide[lists->guide_at + at * lists->buckets + (int32_t)(u * lists->buckets)];
    while (!(target < list[j])) j++;
    return j <= head.above ? head.mode + j : head.mode - (j - head.above);
}

/* The same draw of a place before the taker, whether there are running sums or not. */
GURN_FN int32_t gurn_plain_draw(const gurn_plain_tables *t, const gurn_step *step, int32_t i, int32_t left, double u,
                                bool recurrence) {
    int32_t k = step->m == 0 ? 0 : t->shape.list_room ? gurn_plain_look_up(t, i, left, u) : -1;
    if (k >= 0) return k;
    return recurrence ? (int32_t)s_plain_count(step->m, step->m_rest, left, t->lambda[i], u)
                      : gurn_plain_walk(t, step, i, left, u);
}

#endif
