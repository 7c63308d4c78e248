/*
 * separation.c against the definition, for every table of a few rows of small urns, and for larger ones at random: class c must be
 * given an omega at most that of d where a row could have been x + e_c - e_d, and all that follows from this by chains is all
 * that the data say. So two classes are of one group where each must be at most the other, and likewise where neither must; of two
 * groups the one that must be at most the other comes later.
 */
#include "parts.h"

#define MOST_CLASSES 8

static int64_t tables, kinds[3]; /* one group; several, without and with twins */

static void check_table(const struct counts *counts, const int32_t *m) {
    const int32_t classes = counts->classes;
    bool below[MOST_CLASSES][MOST_CLASSES] = {{false}}; /* [c][d]: c at most d */
    int32_t group[MOST_CLASSES];
    bool twins[MOST_CLASSES], any_twins = false;
    memset(group, 0x55, sizeof group);
    memset(twins, 0x55, sizeof twins);
    const int32_t groups = separate(counts, m, group, twins);

    for (int64_t r = 0; r < counts->rows; r++) {
        const int32_t *x = counts->x + r * classes;
        for (int32_t c = 0; c < classes; c++)
            for (int32_t d = 0; d < classes; d++)
                if (c != d && x[c] + 1 <= m[c] && x[d] - 1 >= 0) below[c][d] = true;
    }
    for (int32_t k = 0; k < classes; k++)
        for (int32_t c = 0; c < classes; c++)
            for (int32_t d = 0; d < classes; d++) below[c][d] = below[c][d] || (below[c][k] && below[k][d]);

    int32_t members[MOST_CLASSES] = {0}, drawable = 0;
    for (int32_t c = 0; c < classes; c++) {
        CHECK(m[c] > 0 ? group[c] >= 0 && group[c] < groups : group[c] == -1, "table %lld: class %d in group %d",
              (long long)tables, c, group[c]);
        if (m[c] == 0) continue;
        members[group[c]]++;
        drawable++;
        for (int32_t d = 0; d < c; d++) {
            if (m[d] == 0) continue;
            const bool same = below[c][d] == below[d][c], tied = !below[c][d] && !below[d][c];
            CHECK((group[c] == group[d]) == same, "table %lld: classes %d, %d in groups %d, %d", (long long)tables, d,
                  c, group[d], group[c]);
            if (same) CHECK(twins[group[c]] == tied, "table %lld: classes %d, %d", (long long)tables, d, c);
            if (!same)
                CHECK(below[c][d] == (group[c] > group[d]), "table %lld: classes %d, %d in groups %d, %d",
                      (long long)tables, d, c, group[d], group[c]);
            any_twins = any_twins || tied;
        }
    }
    CHECK(groups <= drawable, "table %lld: %d groups", (long long)tables, groups);
    for (int32_t g = 0; g < groups; g++) {
        CHECK(members[g] > 0, "table %lld: group %d is empty", (long long)tables, g);
        if (members[g] == 1) CHECK(!twins[g], "table %lld: group %d is a twin of none", (long long)tables, g);
    }
    kinds[any_twins ? 2 : groups > 1]++;
    tables++;
}

/* Every table of so many rows. */
static void all_tables(const int32_t *m, int32_t classes, int64_t rows) {
    int32_t x[3 * MOST_CLASSES] = {0}, n[3];
    const int32_t values = (int32_t)rows * classes;
    for (;;) {
        struct counts counts = {.rows = rows, .classes = classes, .x = x, .n = n};
        for (int64_t r = 0; r < rows; r++) {
            n[r] = 0;
            for (int32_t c = 0; c < classes; c++) n[r] += x[r * classes + c];
        }
        check_table(&counts, m);
        int32_t i = 0;
        while (i < values && x[i] == m[i % classes]) x[i++] = 0;
        if (i == values) return;
        x[i]++;
    }
}

/* Tables in which many classes are whole or untouched, so that groups and twins are met; the last also with large urns. */
static void random_tables(int count, int32_t largest) {
    for (int t = 0; t < count; t++) {
        int32_t x[6 * MOST_CLASSES] = {0}, n[6] = {0}, m[MOST_CLASSES], level[MOST_CLASSES];
        const int32_t classes = 1 + random_below(MOST_CLASSES);
        const int64_t rows = 1 + random_below(6);
        for (int32_t c = 0; c < classes; c++) {
            m[c] = random_below(6) == 0 ? 0 : random_below(3) == 0 ? largest : 1 + random_below(3);
            level[c] = random_below(3);
        }
        for (int64_t r = 0; r < rows; r++) {
            const int32_t reached = random_below(7); /* below twice a level: untouched; above: whole */
            for (int32_t c = 0; c < classes; c++) {
                int32_t *at = &x[r * classes + c];
                *at = reached < 2 * level[c] + 1 ? 0 : reached > 2 * level[c] + 1 ? m[c] : random_below(m[c] + 1);
                if (reached == 2 * level[c] + 1 && random_below(2) && m[c] > 1) *at = random_below(2) ? 1 : m[c] - 1;
                n[r] += *at;
            }
        }
        struct counts counts = {.rows = rows, .classes = classes, .x = x, .n = n};
        check_table(&counts, m);
    }
}

/* Totals beyond 2^31, and shares that differ by one ball in 2^31: classes 0 and 1 are exchanged in one row, which connects them. */
static void large_totals(void) {
    enum {
        ROWS = 600
    };
    static int32_t x[ROWS * 3], n[ROWS];
    const int32_t m[3] = {1 << 23, (1 << 23) - 1, 5};
    for (int connected = 0; connected < 2; connected++) {
        for (int32_t r = 0; r < ROWS; r++) {
            int32_t *row = x + r * 3;
            row[0] = m[0] - (connected && r == 7);
            row[1] = r == 7 ? connected : m[1];
            row[2] = r < 3 ? 0 : r == 7 ? 0 : 5;
            n[r] = row[0] + row[1] + row[2];
        }
        struct counts counts = {.rows = ROWS, .classes = 3, .x = x, .n = n};
        check_table(&counts, m);
    }
}

int main(void) {
    const int32_t urns[][4] = {{1, 1, 1, 1}, {2, 1, 1, 2}, {1, 2, 3, 1}, {3, 2, 1, 0},
                               {0, 1, 2, 1}, {2, 0, 2, 1}, {2, 2, 2, 2}};
    for (size_t i = 0; i < sizeof urns / sizeof urns[0]; i++) {
        for (int32_t classes = 1; classes <= 4; classes++) {
            all_tables(urns[i], classes, 1);
            all_tables(urns[i], classes, 2);
            if (classes < 4 || i < 2) all_tables(urns[i], classes, 3);
        }
    }
    large_totals();
    random_tables(100000, 5);
    random_tables(100000, GURN_MAX_BALLS / MOST_CLASSES);
    for (int i = 0; i < 3; i++) CHECK(kinds[i] > 10000, "%lld tables of kind %d", (long long)kinds[i], i);
    printf("%lld tables: one group %lld, several %lld, with twins %lld\n", (long long)tables, (long long)kinds[0],
           (long long)kinds[1], (long long)kinds[2]);
    return failures > 0;
}
