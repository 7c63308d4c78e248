/*
 * The running sums of plain draws (kernels/plain_chain.h), which large batches look their counts up in: every n_i that is to have
 * them has all of them, and what is looked up is what would have been found without.
 */
#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "harness.h"
#include "kernels/plain_chain.h"
#include "kernels/suffix_cpu.h"

using gurn_test::Random;

namespace {

/* A row's tables and lists, as both back ends lay them out and fill them. */
class Lists {
public:
    /* merged_lambda: a chain by recurrence, of the merged chain's log odds; else tables of the exact chain. */
    Lists(std::vector<int32_t> m, std::vector<double> log_omega, int32_t n, bool recurrence) : recurrence(recurrence) {
        const int32_t C = static_cast<int32_t>(m.size());
        std::vector<int32_t> order(C);
        for (int32_t c = 0; c < C; c++) order[c] = c;
        size_t bytes = 0;
        EXPECT_EQ(gurn_plan_fill(C, m.data(), order.data(), recurrence, n, sizeof(double), nullptr, &bytes, nullptr),
                  0);
        plan_ = std::aligned_alloc(64, bytes);
        EXPECT_EQ(gurn_plan_fill(C, m.data(), order.data(), recurrence, n, sizeof(double), plan_, &bytes, &view), 0);
        const double total = view.steps[0].m + view.steps[0].m_rest,
                     bits = gurn_suffix_bits(GURN_SUFFIX_PLAIN_BITS, C, 0);
        const gurn_suffix_capacity cap =
            recurrence ? gurn_suffix_capacity{0, 0, 0, 0} : gurn_suffix_measure(&view, n, bits);
        const double most = std::min(*std::max_element(m.begin(), m.end()), n);
        const int64_t own = std::max(gurn_plain_recurrence_room(0.25 * most, most), cap.own);
        shape = gurn_plain_shape_of(C, own, cap.owns, cap.entries, total, n, 0, 1000000);
        memory_ = std::aligned_alloc(256, (gurn_plain_cut(&tables, shape, nullptr) + 255) / 256 * 256);
        gurn_plain_cut(&tables, shape, static_cast<char *>(memory_));
        for (int32_t i = 0; i < C; i++)
            if (m[i] > 0) taker = i;
        if (recurrence) {
            double rest = -INFINITY;
            for (int32_t i = C - 1; i >= 0; i--) {
                const gurn_step &step = view.steps[i];
                const double mine = log_omega[i] * GURN_LOG2E;
                tables.lambda[i] = step.m_rest > 0 ? s_merged_lambda(mine, rest, step.log2_m_rest) : 0.0;
                if (step.m > 0) rest = s_log2_add(rest, mine + step.log2_m);
            }
            gurn_plain_place_recurrences(&tables, view.steps, n);
        } else {
            const size_t work_bytes = gurn_suffix_cut(nullptr, C, cap.own, cap.table, sizeof(double), nullptr);
            work_ = std::aligned_alloc(64, work_bytes);
            gurn_suffix_work work{};
            gurn_suffix_cut(&work, C, cap.own, cap.table, sizeof(double), static_cast<char *>(work_));
            const int64_t at = 0;
            EXPECT_EQ(gurn_suffix_places(&view, order.data(), log_omega.data(), GURN_FLOAT64, 1, &at, &n, bits, &work,
                                         &tables.place),
                      1u);
            gurn_suffix_fill_f64(&view, n, &work, tables.place, tables.suffix, nullptr);
            int64_t own_at = 0;
            for (int32_t i = 0; i < taker; i++) {
                const gurn_suffix &place = tables.place[i];
                tables.own_at[i] = own_at;
                if (view.steps[i].m > 0) {
                    gurn_suffix_own_f64(&place, &view.steps[i], tables.own + own_at, nullptr);
                    own_at += gurn_suffix_own_entries(place.own_high - place.own_low + 1);
                }
                gurn_plain_place_tables(&tables, &view.steps[i], i, n);
            }
        }
        for (int32_t i = 0; i < taker; i++) /* upwards: one that is too long spoils the next */
            for (int32_t left = tables.lists[i].low; left <= tables.lists[i].high; left++)
                gurn_plain_fill_list(&tables, &view.steps[i], i, left, recurrence);
    }
    ~Lists() {
        std::free(plan_);
        std::free(memory_);
        std::free(work_);
    }
    Lists(const Lists &) = delete;
    Lists &operator=(const Lists &) = delete;

    int32_t without(int32_t i, int32_t left, double u) const {
        const gurn_step *step = &view.steps[i];
        return recurrence ? static_cast<int32_t>(s_plain_count(step->m, step->m_rest, left, tables.lambda[i], u))
                          : gurn_plain_walk(&tables, step, i, left, u);
    }

    /* Returns how many n_i have running sums. */
    int64_t judge(Random *random) const {
        int64_t lists = 0;
        EXPECT_GT(shape.list_room, 0);
        for (int32_t i = 0; i < taker; i++) {
            const gurn_step *step = &view.steps[i];
            const gurn_plain_lists &list = tables.lists[i];
            if (step->m == 0) { /* nothing is read of what it does not have */
                EXPECT_LT(list.high, list.low) << "place " << i;
                continue;
            }
            for (int32_t left = list.low; left <= list.high; left++, lists++) {
                const int64_t at = left - list.low;
                const gurn_plain_head &head = tables.head[list.head_at + at];
                const double *sums = tables.list + list.list_at + at * list.stride;
                EXPECT_GE(head.above, 0) << "place " << i << " left " << left << " has no running sums";
                /* The last of them is the first that is the total; what follows was never set. */
                int32_t count = 1;
                while (count < list.stride && sums[count - 1] != head.total) count++;
                EXPECT_EQ(sums[count - 1], head.total) << "place " << i << " left " << left;
                std::vector<double> us = {0, 1 - 0x1p-53, 0.5, 0x1p-53};
                for (int j = 0; j < 6; j++) us.push_back(random->uniform(0, 1));
                for (int j = 0; j < 6; j++) { /* where one count ends and the next begins */
                    const double u = sums[random->integer(0, count - 1)] / head.total;
                    for (const double v : {std::nextafter(u, 0), u, std::nextafter(u, 1)})
                        if (v < 1) us.push_back(v);
                }
                for (const double u : us) {
                    const int32_t found = gurn_plain_look_up(&tables, i, left, u);
                    if (found != without(i, left, u)) {
                        ADD_FAILURE() << found << " for " << without(i, left, u) << " at place " << i << " left "
                                      << left << " u " << u;
                        return lists;
                    }
                }
            }
            /* None beyond. */
            EXPECT_EQ(gurn_plain_look_up(&tables, i, list.low - 1, 0.5), -1);
            EXPECT_EQ(gurn_plain_look_up(&tables, i, list.high + 1, 0.5), -1);
            EXPECT_LE(list.head_at + list.high - list.low, shape.list_count - 1);
        }
        return lists;
    }

    gurn_plan_view view{};
    gurn_plain_shape shape{};
    gurn_plain_tables tables{};
    int32_t taker = 0;
    bool recurrence;

private:
    void *plan_ = nullptr, *memory_ = nullptr, *work_ = nullptr;
};

}  // namespace

TEST(PlainLists, WhatIsLookedUpIsWhatIsFound) {
    Random random(9);
    int64_t lists = 0;
    for (const bool recurrence : {false, true})
        for (int trial = 0; trial < 120; trial++) {
            const int C = random.integer(2, 6);
            const double spread = trial % 4 == 3 ? 20 : trial % 4;
            std::vector<int32_t> m;
            int total = 0;
            for (int c = 0; c < C; c++)
                total += m.emplace_back(random.integer(0, trial % 3 == 0 ? 5 : trial % 3 == 1 ? 40 : 700));
            if (total < 2) continue;
            const int n = random.integer(1, total - 1);
            SCOPED_TRACE(testing::PrintToString(m) + " n " + std::to_string(n) +
                         (recurrence ? " recurrence" : " tables"));
            const Lists made(m, random.uniforms(C, -spread, spread), n, recurrence);
            lists += made.judge(&random);
            if (HasFailure()) return;
        }
    EXPECT_GT(lists, 5000);
}

/* So many n_i have running sums that a row in 10^6 is without: those within 5 standard deviations of their mean. */
TEST(PlainLists, ReachAsFarAsRowsDo) {
    const int32_t n = 900;
    const std::vector<int32_t> m = {400, 500, 600, 300};
    for (const bool recurrence : {false, true}) {
        const Lists made(m, {0.5, -0.5, 0.25, 0}, n, recurrence);
        /* The law of n_i, by what each step leaves. */
        std::vector<double> p(n + 1, 0.0);
        p[n] = 1;
        for (int32_t i = 0; i < made.taker; i++) {
            const gurn_plain_lists &list = made.tables.lists[i];
            double outside = 0;
            for (int32_t left = 0; left <= n; left++)
                if (left < list.low || left > list.high) outside += p[left];
            EXPECT_TRUE(outside <= 1e-6) << outside << " at place " << i << (recurrence ? " recurrence" : " tables");
            std::vector<double> next(n + 1, 0.0);
            for (int32_t left = 0; left <= n; left++) {
                if (p[left] < 1e-12 || left < list.low || left > list.high) continue;
                const int64_t at = left - list.low;
                const gurn_plain_head &head = made.tables.head[list.head_at + at];
                const double *sums = made.tables.list + list.list_at + at * list.stride;
                double before = 0;
                for (int32_t j = 0; before < head.total; j++) {
                    const int32_t k = j <= head.above ? head.mode + j : head.mode - (j - head.above);
                    next[left - k] += p[left] * (sums[j] - before) / head.total;
                    before = sums[j];
                }
            }
            p = next;
        }
    }
}
