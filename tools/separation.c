/*
 * Whether the likelihood has a maximum, and what to maximise where it has none.
 *
 * A row of counts x could have been x + e_c - e_d, class c having had a ball left and class d one drawn: it speaks for d against
 * c. Draw an arrow c -> d for each such pair of any row. Call a set S of classes tight if no arrow leads out of it: in every row it
 * was drawn whole before any other class was touched, x(S) = min(n, m(S)). The likelihood then never falls as omega of S grows
 * beyond the others'. These are all such directions, since the sums of the rows are the bases of the polymatroid
 * S -> sum over rows of min(n, m(S)), whose facets are these equations. So the likelihood of an exponential family with these
 * sufficient statistics has a maximum exactly if the arrows connect every class with every other, there and back.
 *
 * Where they do not, the classes fall into groups. For c in a tight set and d outside of it, every row has c whole or d untouched.
 * So c has the larger share of its balls drawn in every row, and over all rows; or the same over all, and then in every row the
 * same: both whole, or both untouched. Call two classes of the latter kind twins. Put in the order of their shares, then, the
 * tight sets are beginnings of the list, apart from the order among twins, and where tight beginnings that end between different
 * shares cut the list into groups,
 *   - the ratio of omega between groups is infinite, an earlier group over a later one: a row that gave them different shares has
 *     an arrow from the later to the earlier, and none has one back;
 *   - a group is connected by arrows, there and back; or it consists of twins, between which there is no arrow. Of the ratios of
 *     omega between twins the data say nothing: they were all drawn whole or not at all, whatever these ratios are.
 * (A tight set that cuts a group takes some classes of a share from it and leaves others, which are twins, and both with and
 * without all classes of this share it is tight and a beginning that cuts no group. So the group is these twins.)
 *
 * In the limit of infinite ratios between groups every group is an urn of its own, of which the row draws as many as it has in
 * that group: the likelihood is the product over groups. That of a connected group has a maximum inside, that of twins is 1.
 */
#include <stdlib.h>

#include "cli.h"

/* A class and the share of its balls that was drawn, as a mixed number: (whole + rest / m), over the number of rows. */
struct share {
    int64_t whole, rest;
    int32_t m, c;
};

/* < 0 where a was drawn more than b. Exactly: rest < m, and two m sum to 2^26 at most. */
static int compare_shares(const struct share *a, const struct share *b) {
    if (a->whole != b->whole) return a->whole > b->whole ? -1 : 1;
    const int64_t x = a->rest * b->m, y = b->rest * a->m;
    return (x < y) - (x > y);
}

static int by_share(const void *a, const void *b) {
    const struct share *x = a, *y = b;
    const int order = compare_shares(x, y);
    return order ? order : (x->c > y->c) - (x->c < y->c);
}

/* The classes with balls, most drawn first; returns how many. */
static int32_t sort_by_share(const struct counts *counts, const int32_t *m, struct share *list) {
    const int32_t classes = counts->classes;
    int64_t *total = allocate((size_t)classes, sizeof *total);
    for (int64_t r = 0; r < counts->rows; r++)
        for (int32_t c = 0; c < classes; c++) total[c] += counts->x[r * classes + c];
    int32_t count = 0;
    for (int32_t c = 0; c < classes; c++)
        if (m[c] > 0) list[count++] = (struct share){total[c] / m[c], total[c] % m[c], m[c], c};
    free(total);
    qsort(list, (size_t)count, sizeof *list, by_share);
    return count;
}

/* Whether in every row all classes list[begin .. end - 1] were whole, or all untouched. */
static bool are_twins(const struct counts *counts, const struct share *list, int32_t begin, int32_t end) {
    for (int64_t r = 0; r < counts->rows; r++) {
        int64_t drawn = 0, balls = 0;
        for (int32_t i = begin; i < end; i++) {
            drawn += counts->x[r * counts->classes + list[i].c];
            balls += list[i].m;
        }
        if (drawn != 0 && drawn != balls) return false;
    }
    return true;
}

int32_t separate(const struct counts *counts, const int32_t *m, int32_t *group, bool *twins) {
    const int32_t classes = counts->classes;
    struct share *list = allocate((size_t)classes, sizeof *list);
    const int32_t count = sort_by_share(counts, m, list);

    bool *cut = allocate((size_t)classes + 1, sizeof *cut); /* before list[i] */
    for (int32_t i = 1; i < count; i++) cut[i] = compare_shares(&list[i - 1], &list[i]) != 0;
    for (int64_t r = 0; r < counts->rows; r++) {
        int64_t drawn = 0, balls = 0;
        for (int32_t i = 0; i < count; i++) {
            if (drawn != (counts->n[r] < balls ? counts->n[r] : balls)) cut[i] = false;
            drawn += counts->x[r * classes + list[i].c];
            balls += list[i].m;
        }
    }

    int32_t groups = 0;
    cut[count] = true;
    for (int32_t begin = 0, end; begin < count; begin = end, groups++) {
        for (end = begin + 1; !cut[end]; end++) continue;
        twins[groups] = end - begin > 1 && are_twins(counts, list, begin, end);
        for (int32_t i = begin; i < end; i++) group[list[i].c] = groups;
    }
    for (int32_t c = 0; c < classes; c++)
        if (m[c] == 0) group[c] = -1;
    free(cut);
    free(list);
    return groups;
}
