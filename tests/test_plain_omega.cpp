/*
 * Plain draws where omega are ratios, 0, or all equal: only differences of log omega count; a class of omega 0 is one without balls,
 * to the bit; equal omega need not be given, and then no memory for tables; odds of the univariate law may be 0 and infinite.
 */
#include <cmath>
#include <functional>
#include <limits>

#include "call.h"
#include "law_call.h"
#include "plain_call.h"

using namespace gurn_test;

namespace {

const double kInfinity = std::numeric_limits<double>::infinity();

/* The urn in which the classes of omega 0 of row b have no balls, drawn alone at the address of row b. */
Problem without_zeros(const Problem &p, int64_t b) {
    Problem q = p;
    const int C = p.urn.classes();
    const auto omega = p.log_omega.begin() + (p.shared() ? 0 : b * C);
    q.log_omega.assign(omega, omega + C);
    for (int c = 0; c < C; c++)
        if (q.log_omega[c] == -kInfinity) {
            q.urn.m[c] = 0;
            q.log_omega[c] = 0.25; /* whatever it is */
        }
    q.rows = 1;
    q.row0 = p.row0 + static_cast<uint64_t>(b);
    q.n = p.n_of(b);
    q.n_rows.clear();
    return q;
}

int balls(const Problem &p, int64_t b) {
    int sum = 0;
    for (int c = 0; c < p.urn.classes(); c++)
        if (p.log_omega[(p.shared() ? 0 : b * p.urn.classes()) + c] > -kInfinity) sum += p.urn.m[c];
    return sum;
}

std::vector<int32_t> row_of(const std::vector<int32_t> &x, int64_t b, int C) {
    return std::vector<int32_t>(x.begin() + b * C, x.begin() + (b + 1) * C);
}

}  // namespace

class PlainOmega : public OnPlainTarget {
protected:
    /* Each row (or some of many) is that of the urn without those balls. */
    void expect_absent(const Problem &p, int64_t step = 1) {
        const std::vector<int32_t> x = draw(p);
        const int C = p.urn.classes();
        for (int64_t b = 0; b < p.rows; b += step) {
            const Problem q = without_zeros(p, b);
            ASSERT_EQ(row_of(x, b, C), draw(q)) << "row " << b;
        }
    }
};

/* -------------------------------------------------------------------------------------------------------- omega = 0 --- */

TEST_P(PlainOmega, ZeroIsAClassWithoutBalls) {
    const Target portable = {"portable", GURN_DEVICE_CPU, GURN_ISA_PORTABLE, dtype()};
    const Context cpu = make_context(portable, 1);
    Random random(51);
    for (const oracle::Chain chain : {oracle::Chain::exact, oracle::Chain::merged})
        for (int trial = 0; trial < scaled(120, 24); trial++) {
            SCOPED_TRACE(std::string(chain == oracle::Chain::exact ? "exact " : "merged ") + std::to_string(trial));
            Problem p;
            const int C = random.integer(1, 7), kind = random.integer(0, 3),
                      rows = random.integer(1, emulated() ? 10 : 40);
            p.urn.chain = chain;
            for (int c = 0; c < C; c++) p.urn.m.push_back(random.integer(0, 4) == 0 ? 0 : random.integer(1, 90));
            p.urn.order = random.permutation(C);
            p.rows = rows;
            p.seed = 100 + trial;
            const bool shared = random.integer(0, 1) == 0, one_set = random.integer(0, 1) == 0;
            std::vector<bool> zero;
            for (int64_t b = 0; b < (shared ? 1 : rows); b++)
                for (int c = 0; c < C; c++) {
                    if (b == 0 || !one_set) zero.push_back(random.integer(0, 2) == 0);
                    const bool none = zero[one_set ? c : b * C + c];
                    /* all the same, all but one, or any */
                    const double value = kind == 0 ? 0.5 : kind == 1 ? (c == 0 ? 2 : -1) : random.uniform(-3, 3);
                    p.log_omega.push_back(none ? -kInfinity : value);
                }
            int most = p.urn.total();
            for (int64_t b = 0; b < rows; b++) most = std::min(most, balls(p, b));
            p.n = random.integer(0, 4) == 0 ? most : random.integer(0, most);
            if (random.integer(0, 2) == 0)
                for (int64_t b = 0; b < rows; b++)
                    p.n_rows.push_back(random.integer(0, 3) == 0 ? balls(p, b) : random.integer(0, balls(p, b)));
            expect_absent(p);
            EXPECT_EQ(draw(p), run_draw(cpu.get(), portable, p));
        }
}

/* So many rows that they have running sums, where the class of omega 0 stands first, between, and last. */
TEST_P(PlainOmega, ZeroWithRunningSums) {
    for (const oracle::Chain chain : {oracle::Chain::exact, oracle::Chain::merged})
        for (const std::vector<int> &order : {std::vector<int>{0, 1, 2, 3}, {1, 0, 3, 2}, {1, 2, 3, 0}, {3, 2, 1, 0}})
            for (const bool equal : {false, true}) {
                Problem p = urn_of({30, 60, 50, 40}, order, 55,
                                   {-kInfinity, 0, equal ? 0 : std::log(5.0), equal ? 0 : 0.25}, chain);
                p.rows = 4000;
                expect_absent(p, scaled(37, 370) > 37 ? 370 : 37);
            }
}

/* Tables of wide windows, whose sums go over many groups; on every target the same. */
TEST_P(PlainOmega, ZeroInLargeUrns) {
    for (const oracle::Chain chain : {oracle::Chain::exact, oracle::Chain::merged}) {
        Problem p = urn_of({3000, 40000, 5000, 20, 7000}, {3, 1, 0, 4, 2}, 4321, {0.5, -kInfinity, 1, 4, -0.5}, chain);
        p.rows = 20;
        expect_absent(p, 3);
        p.log_omega.insert(p.log_omega.end(), {0.5, 0.25, 1, -kInfinity, -kInfinity});
        p.rows = 2;
        expect_absent(p);
    }
    std::vector<double> omega; /* more classes than there are strided sums of the tilt */
    std::vector<int> m;
    Random random(8);
    for (int c = 0; c < 100; c++) {
        m.push_back(random.integer(0, 9));
        omega.push_back(random.integer(0, 2) ? random.uniform(-2, 2) : -kInfinity);
    }
    Problem p = urn_of(m, {}, 0, omega);
    p.rows = 5;
    p.n = balls(p, 0) / 3;
    expect_absent(p);
}

/* No more can be drawn than there are balls in the other classes: an error on a CPU, that row alone on a GPU. */
TEST_P(PlainOmega, MoreThanCanBeDrawn) {
    for (const oracle::Chain chain : {oracle::Chain::exact, oracle::Chain::merged})
        for (const bool many : {false, true}) {
            Problem p = urn_of({9, 14, 11}, {2, 0, 1}, 20, {0.5, -1, 0, 0.5, 0, -kInfinity, 0.5, -1, 0.25}, chain);
            p.rows = 3;
            const std::vector<int32_t> right = draw(p); /* row 1 can draw 23 */
            if (many) {
                p.n_rows = {20, 24, 20};
            } else {
                p.urn.m = {9, 10, 11}; /* 19 */
            }
            DrawCall call(context(), GetParam(), p);
            const gurn_status status = call.run();
            device_synchronize(device());
            if (device() == GURN_DEVICE_CPU) {
                EXPECT_EQ(status, GURN_INVALID_N);
                EXPECT_NE(std::string(gurn_context_message(context())).find(many ? "n_rows[1]" : "inputs->n "),
                          std::string::npos)
                    << gurn_context_message(context());
                EXPECT_TRUE(call.untouched());
            } else {
                EXPECT_EQ(status, GURN_SUCCESS);
                const std::vector<int32_t> x = call.out.values();
                for (int64_t b = 0; b < 3; b++)
                    EXPECT_EQ(row_of(x, b, 3), b == 1 ? std::vector<int32_t>(3, -1) : draw(without_zeros(p, b))) << b;
            }
            Problem shared = urn_of({9, 14, 11}, {}, 21, {-kInfinity, -kInfinity, 0}, chain); /* 11: all rows */
            for (const int64_t rows : {3, 3000}) {
                shared.rows = rows;
                DrawCall all(context(), GetParam(), shared);
                EXPECT_EQ(all.run(), device() == GURN_DEVICE_CPU ? GURN_INVALID_N : GURN_SUCCESS);
                device_synchronize(device());
                if (device() == GURN_DEVICE_CPU) {
                    EXPECT_TRUE(all.untouched());
                    continue;
                }
                for (int32_t k : all.out.values()) ASSERT_EQ(k, -1);
            }
        }
}

/* ----------------------------------------------------------------------------------------------------------- ratios --- */

/* What is added to all log omega is added exactly here (in float32 too), so the draws are the same. */
TEST_P(PlainOmega, OnlyDifferencesCount) {
    Random random(52);
    for (const oracle::Chain chain : {oracle::Chain::exact, oracle::Chain::merged})
        for (const double shift : {800000.0, -800000.0, 1048576.0, 2000000.0})
            for (const bool shared : {true, false})
                for (const int64_t rows : {5, 1500}) {
                    if (!shared && rows > 5 && emulated()) continue;
                    Problem p = urn_of({60, 0, 50, 40}, {2, 0, 1, 3}, 55, {}, chain);
                    p.rows = rows;
                    for (int64_t j = 0; j < (shared ? 4 : 4 * rows); j++)
                        p.log_omega.push_back(random.integer(-12, 12) * 0.25);
                    /* the largest is that of a class without balls */
                    for (size_t c = 1; c < p.log_omega.size(); c += 4) p.log_omega[c] = 5000;
                    const std::vector<int32_t> want = draw(p);
                    for (double &value : p.log_omega) value += shift;
                    ASSERT_EQ(rounded(dtype(), p.log_omega), p.log_omega);
                    EXPECT_EQ(draw(p), want) << shift << (shared ? " shared" : " by row") << rows;
                }
    /* 800000, 800001, 800000 was the equal law: the middle class has 1.9 of 3 instead. */
    Problem p = urn_of({1000, 1000, 1000}, {}, 3, {800000, 800001, 800000});
    p.rows = 2000;
    double middle = 0;
    const std::vector<int32_t> x = draw(p);
    for (int64_t b = 0; b < p.rows; b++) middle += x[b * 3 + 1];
    /* the mean is 3 e / (e + 2) = 1.728 to 1e-3, and a row's standard deviation below 0.87 */
    EXPECT_TRUE(std::fabs(middle / p.rows - 1.728) <= 5 * 0.87 / std::sqrt(p.rows)) << middle / p.rows;
}

/* Differences that no real holds: the first class is drawn before the others, the last after them. */
TEST_P(PlainOmega, DifferencesBeyondTheReals) {
    const double most = float32() ? 3.4e38 : 1.7e308;
    for (const oracle::Chain chain : {oracle::Chain::exact, oracle::Chain::merged}) {
        for (const int n : {5, 10, 17, 25, 30}) {
            Problem p = urn_of({10, 10, 10}, {1, 0, 2}, n, {most, 0, -most}, chain);
            p.rows = 20;
            const std::vector<int32_t> x = draw(p);
            for (int64_t b = 0; b < p.rows; b++) {
                ASSERT_EQ(x[b * 3], std::min(n, 10)) << n;
                ASSERT_EQ(x[b * 3] + x[b * 3 + 1] + x[b * 3 + 2], n);
            }
        }
    }
}

/* ------------------------------------------------------------------------------------------------------ equal omega --- */

TEST_P(PlainOmega, EqualOmegaNeedNotBeGiven) {
    Random random(53);
    for (const oracle::Chain chain : {oracle::Chain::exact, oracle::Chain::merged})
        for (const std::vector<int> &order : {std::vector<int>(), {3, 1, 0, 4, 2}})
            for (const int64_t rows : {1, 20, 3000})
                for (const bool vary : {false, true}) {
                    if (rows > 20 && vary && emulated()) continue;
                    Problem p = urn_of({60, 0, 50, 40, 10}, order, 55, std::vector<double>(5, 0.7), chain);
                    p.rows = rows;
                    p.seed = 9;
                    for (int64_t b = 0; b < rows && vary; b++) p.n_rows.push_back(random.integer(0, 160));
                    const std::vector<int32_t> want = draw(p);
                    for (const double value : {0.0, -3.0, 800000.0}) {
                        p.log_omega.assign(5, value);
                        EXPECT_EQ(draw(p), want) << value;
                    }
                    DrawCall call(context(), GetParam(), p);
                    call.inputs.log_omega = nullptr;
                    size_t bytes = 0;
                    ASSERT_EQ(gurn_mvhg_draw_workspace(context(), call.plan, &call.inputs, &bytes), GURN_SUCCESS);
                    EXPECT_LE(bytes, call.needed);
                    for (const int64_t stride : {0, 5}) {
                        const DeviceBytes workspace(device(), bytes);
                        call.inputs.log_omega_stride = stride;
                        call.workspace = bytes ? workspace.data() : nullptr;
                        call.workspace_bytes = bytes;
                        EXPECT_EQ(call.run(), GURN_SUCCESS) << gurn_context_message(context());
                        device_synchronize(device());
                        EXPECT_TRUE(workspace.guards_intact());
                        EXPECT_EQ(call.out.values(), want) << rows;
                    }
                }
}

/* Both chains are the hypergeometric law then; with one ball a class every subset of classes is as likely as any other. */
TEST_P(PlainOmega, EqualOmegaOfOneBallClasses) {
    for (const oracle::Chain chain : {oracle::Chain::exact, oracle::Chain::merged}) {
        Problem p = urn_of({1, 1, 1, 1, 1}, {}, 2, std::vector<double>(5, 0.0), chain);
        p.rows = scaled(50000, 500);
        DrawCall call(context(), GetParam(), p);
        call.inputs.log_omega = nullptr;
        EXPECT_EQ(call.run(), GURN_SUCCESS) << gurn_context_message(context());
        device_synchronize(device());
        const std::vector<int32_t> x = call.out.values();
        for (int c = 0; c < 5; c++) {
            double drawn = 0;
            for (int64_t b = 0; b < p.rows; b++) drawn += x[b * 5 + c];
            EXPECT_TRUE(std::fabs(drawn - 0.4 * p.rows) <= 5 * std::sqrt(0.24 * p.rows)) << c;
        }
    }
}

/* A million classes of 3 balls asked for 65 GB: what is needed is a plan, and room of the size of a row. */
TEST_P(PlainOmega, EqualOmegaOfAMillionClasses) {
    if (!chosen() || emulated()) GTEST_SKIP() << "where it is fast";
    const int32_t classes = 1000000, n = 1000000;
    const std::vector<int32_t> m(classes, 3);
    for (const gurn_chain chain : {GURN_CHAIN_EXACT, GURN_CHAIN_MERGED}) {
        if (chain == GURN_CHAIN_MERGED) continue; /* whose plan has a table of every m_R */
        gurn_plan_options options = GURN_PLAN_OPTIONS_INIT;
        options.dtype = dtype();
        options.chain = chain;
        gurn_plan *made = nullptr;
        ASSERT_EQ(gurn_plan_create(context(), classes, m.data(), n, &options, &made), GURN_SUCCESS);
        const Plan plan(made);
        EXPECT_LE(gurn_plan_bytes(plan.get()), size_t(128) * classes);
        gurn_mvhg_inputs in = GURN_MVHG_INPUTS_INIT;
        in.rows = 2;
        in.n = n;
        size_t bytes = 0;
        ASSERT_EQ(gurn_mvhg_draw_workspace(context(), plan.get(), &in, &bytes), GURN_SUCCESS);
        EXPECT_LE(bytes, size_t(1) << 16);
        const DeviceBytes workspace(device(), bytes);
        const Counts out(device(), size_t(2) * classes);
        ASSERT_EQ(gurn_mvhg_draw(context(), plan.get(), &in, out.data(), bytes ? workspace.data() : nullptr, bytes),
                  GURN_SUCCESS)
            << gurn_context_message(context());
        device_synchronize(device());
        const std::vector<int32_t> x = out.values();
        for (int b = 0; b < 2; b++) {
            std::vector<double> seen(4, 0);
            int64_t sum = 0;
            for (int32_t c = 0; c < classes; c++) {
                const int32_t k = x[size_t(b) * classes + c];
                ASSERT_TRUE(k >= 0 && k <= 3);
                seen[k] += 1;
                sum += k;
            }
            EXPECT_EQ(sum, n);
            /* nearly independent binomials of 3 trials of 1/3: 8, 12, 6 and 1 of 27; spread below that of independent ones */
            for (int k = 0; k < 4; k++) {
                const double p = std::vector<double>{8, 12, 6, 1}[k] / 27;
                EXPECT_TRUE(std::fabs(seen[k] - p * classes) <= 5 * std::sqrt(p * (1 - p) * classes)) << k;
            }
        }
    }
}

/*
 * One wide class beside many small ones: each has room for its own counts. The others have at most 6000 balls, so that a sum of
 * theirs has variance 1500, and a window (suffix_lanes.h), at 2^-73 and so 56 nats, 2 (19 + sqrt(19^2 + 2 56 1500)) + 6 < 910
 * entries, which have pads of 175. Were each to have the 3001 counts of the wide class, there would be 48 MB more.
 */
TEST_P(PlainOmega, RoomIsOfEachClass) {
    if (device() != GURN_DEVICE_CPU) GTEST_SKIP() << "on a GPU every place has the room of the widest table";
    Problem p = urn_of(std::vector<int>(2000, 3), {}, 3000, std::vector<double>(2000, 0.0));
    p.urn.m[0] = 1000000;
    p.log_omega[1] = 1;
    p.rows = 1;
    const size_t a_class = (910 + 175) * sizeof(double) + 2000; /* and what is O(1) a class */
    EXPECT_LE(DrawCall(context(), GetParam(), p).needed, 2000 * a_class + 50 * 3100 * sizeof(double));
    draw(p);
}

/* NULL is an error where a gradient or a probability is asked for. */
TEST_P(PlainOmega, OtherCallsNeedOmega) {
    Problem p = urn_of({3, 5, 4}, {}, 5, {0, 0.1, 0.2});
    p.rows = 2;
    Call call(context(), GetParam(), p);
    call.inputs.log_omega = nullptr;
    EXPECT_EQ(call.forward(), GURN_INVALID_ARGUMENT);
    EXPECT_NE(std::string(gurn_context_message(context())).find("inputs->log_omega is NULL"), std::string::npos);
    EXPECT_EQ(call.backward(), GURN_INVALID_ARGUMENT);
    EXPECT_TRUE(call.untouched());
    size_t bytes = 0;
    int32_t mode[6];
    EXPECT_EQ(gurn_mvhg_law_workspace(context(), call.plan, &call.inputs, GURN_LAW_MODE, &bytes), GURN_SUCCESS);
    EXPECT_EQ(gurn_mvhg_mode(context(), call.plan, &call.inputs, mode, call.workspace, call.workspace_bytes),
              GURN_INVALID_ARGUMENT);
}

/* ----------------------------------------------------------------------------------------------- the univariate law --- */

TEST_P(PlainOmega, OddsOfZeroAndInfinity) {
    Univariate u;
    u.rows = scaled(2000, 60);
    Random random(54);
    std::vector<int32_t> ordinary;
    for (int64_t b = 0; b < u.rows; b++) {
        const int kind = b % 3;
        u.m1.push_back(random.integer(0, 40));
        u.m2.push_back(random.integer(0, 40));
        const int most = kind == 0 ? u.m2.back() : kind == 1 ? u.m1.back() : u.m1.back() + u.m2.back();
        u.n.push_back(random.integer(0, 3) == 0 ? most : random.integer(0, most));
        u.log_odds.push_back(kind == 0 ? -kInfinity : kind == 1 ? kInfinity : random.uniform(-2, 2));
    }
    const std::vector<int32_t> x = draw(u);
    for (int64_t b = 0; b < u.rows; b++) {
        if (b % 3 != 2) {
            EXPECT_EQ(x[b], b % 3 == 0 ? 0 : u.n[b]) << b;
        }
    }
    for (double &odds : u.log_odds)
        if (!std::isfinite(odds)) odds = 0; /* the other rows are as they were */
    const std::vector<int32_t> others = draw(u);
    for (int64_t b = 2; b < u.rows; b += 3) EXPECT_EQ(x[b], others[b]) << b;
    for (const double odds : {-kInfinity, kInfinity}) { /* one value for all rows */
        Univariate one;
        one.rows = 50;
        one.m1 = {7};
        one.m2 = {7};
        one.n = {7};
        one.log_odds = {odds};
        EXPECT_EQ(draw(one), std::vector<int32_t>(50, odds > 0 ? 7 : 0));
        one.n = {8};
        UnivariateCall call(context(), GetParam(), one);
        EXPECT_EQ(call.run(), device() == GURN_DEVICE_CPU ? GURN_INVALID_N : GURN_SUCCESS);
        device_synchronize(device());
        if (device() == GURN_DEVICE_CPU)
            EXPECT_TRUE(call.out.bytes().untouched());
        else
            EXPECT_EQ(call.out.values(), std::vector<int32_t>(50, -1));
    }
}

ON_ALL_TARGETS(PlainOmega);
