/*
 * The same draw whatever the threads, the batch, the shard, the instruction set, the strides and the outputs asked for; and
 * every output the same from run to run. Bit by bit.
 */
#include <cmath>

#include "problems.h"

using namespace gurn_test;

namespace {

class Determinism : public OnTarget {
protected:
    std::vector<NamedProblem> problems() { return problems(scaled(150, 11)); }
    /* The assorted ones by every chain of this build. */
    std::vector<NamedProblem> problems(int64_t rows) {
        std::vector<NamedProblem> list;
        for (const oracle::Chain chain : chains())
            for (NamedProblem named : assorted_problems(rows, chain)) {
                if (chain == oracle::Chain::exact) named.name += ", exact";
                list.push_back(named);
            }
        return list;
    }

    /* Rows first..first+rows of a problem, with what is per row cut out. */
    static Problem rows_of(const Problem &p, int64_t first, int64_t rows) {
        Problem q = p;
        q.rows = rows;
        const int C = p.urn.classes(), W = p.urn.width();
        if (!p.shared()) q.log_omega.assign(p.log_omega.begin() + first * C, p.log_omega.begin() + (first + rows) * C);
        if (!p.n_rows.empty()) q.n_rows.assign(p.n_rows.begin() + first, p.n_rows.begin() + first + rows);
        if (!p.gumbel.empty()) q.gumbel.assign(p.gumbel.begin() + first * W, p.gumbel.begin() + (first + rows) * W);
        return q;
    }
};

void append(std::vector<double> *to, const std::vector<double> &more) {
    to->insert(to->end(), more.begin(), more.end());
}

}  // namespace

TEST_P(Determinism, RunToRun) {
    for (const NamedProblem &named : problems()) {
        for (bool soft : {false, true}) {
            SCOPED_TRACE(named.name + (soft ? " soft" : " hard"));
            Problem p = named.problem;
            p.soft = soft;
            const Answer a = forward(p);
            EXPECT_TRUE(forward(p) == a);
            const Incoming incoming = random_incoming(p, 1);
            EXPECT_TRUE(backward(p, a.x, incoming) == backward(p, a.x, incoming));
        }
    }
}

TEST_P(Determinism, ThreadCounts) {
    if (device() != GURN_DEVICE_CPU) GTEST_SKIP() << "threads are the CPU's";
    for (int threads : {1, 3, 7}) {
        const Context other = make_context(GetParam(), threads);
        for (const NamedProblem &named : problems()) {
            SCOPED_TRACE(named.name + ", threads " + std::to_string(threads));
            const Problem &p = named.problem;
            const Answer a = forward(p);
            EXPECT_TRUE(run_forward(other.get(), GetParam(), p) == a);
            const Incoming incoming = random_incoming(p, 1);
            EXPECT_TRUE(run_backward(other.get(), GetParam(), p, a.x, incoming) == backward(p, a.x, incoming));
        }
    }
}

TEST_P(Determinism, BatchSplitsAndShards) {
    for (const NamedProblem &named : problems()) {
        const Problem &p = named.problem;
        const Answer whole = forward(p);
        for (bool by_row0 : {false, true}) {
            SCOPED_TRACE(named.name + (by_row0 ? ", by row0" : ", by offset"));
            Answer parts;
            for (int64_t first = 0, rows = 1; first < p.rows; first += rows, rows = 2 * rows + 1) {
                rows = std::min(rows, p.rows - first);
                Problem q = rows_of(p, first, rows);
                (by_row0 ? q.row0 : q.offset) += static_cast<uint64_t>(first);
                const Answer a = forward(q);
                append(&parts.x, a.x);
                append(&parts.y, a.y);
                append(&parts.mask, a.mask);
                append(&parts.log_p, a.log_p);
            }
            EXPECT_TRUE(same_bits(parts.x, whole.x));
            EXPECT_TRUE(same_bits(parts.y, whole.y));
            EXPECT_TRUE(same_bits(parts.mask, whole.mask));
            EXPECT_TRUE(same_bits(parts.log_p, whole.log_p));
        }
    }
}

/* The promise of DESIGN section 2: x is bit-identical on every instruction set, in emulation and on a GPU. */
TEST_P(Determinism, DrawsAreThoseOfThePortablePath) {
    const Target portable = {"portable", GURN_DEVICE_CPU, GURN_ISA_PORTABLE, dtype()};
    const Context cpu = make_context(portable, 2);
    std::vector<NamedProblem> list;
    Random random(3);
    for (const oracle::Chain chain : chains()) {
        for (const NamedProblem &named :
             assorted_problems(chain == oracle::Chain::exact ? scaled(2000, 100) : scaled(20000, 300), chain))
            list.push_back(named);
        for (double tau :
             {1e-3, 0.3, 5.0, 1e3}) { /* as the relaxed pass is not the one that decides, tau must not either */
            Problem p;
            p.urn.m = {40, 30, 20};
            p.urn.chain = chain;
            p.n = 50;
            p.rows = scaled(20000, 100);
            p.log_omega = random.uniforms(p.rows * 3, -8, 8);
            p.tau = tau;
            list.push_back({"tau " + std::to_string(tau), p});
        }
        Problem large;
        large.urn.m = {20000, 20000, 20000};
        large.urn.chain = chain;
        large.n = 18000;
        large.rows = chain == oracle::Chain::exact ? scaled(30, 2) : scaled(1000, 10);
        large.log_omega = random.uniforms(large.rows * 3, -2, 2);
        list.push_back({"large", large});
    }
    for (const NamedProblem &named : list) {
        Problem p = named.problem;
        /* The general path walks whole supports: fewer rows there. */
        if (!float32() && p.urn.width() > 300) p = rows_of(p, 0, std::max<int64_t>(1, p.rows / 20));
        EXPECT_TRUE(same_bits(forward(p, kX).x, run_forward(cpu.get(), portable, p, kX).x)) << named.name;
        p = rows_of(p, 0, std::max<int64_t>(1, p.rows / 20));
        p.noise = GURN_NOISE_OFF;
        EXPECT_TRUE(same_bits(forward(p, kX).x, run_forward(cpu.get(), portable, p, kX).x))
            << named.name << ", noise off";
        p.noise = GURN_NOISE_GIVEN;
        p.rows = std::min<int64_t>(p.rows, 50);
        p = rows_of(p, 0, p.rows);
        p.gumbel = random_gumbel(p, 1);
        EXPECT_TRUE(same_bits(forward(p, kX).x, run_forward(cpu.get(), portable, p, kX).x))
            << named.name << ", noise given";
    }
}

TEST_P(Determinism, OutputsAskedFor) {
    for (const NamedProblem &named : problems(scaled(50, 6))) {
        for (bool soft : {false, true}) {
            Problem p = named.problem;
            p.soft = soft;
            const Answer all = forward(p);
            for (int want = 1; want < 15; want++) {
                SCOPED_TRACE(named.name + (soft ? " soft" : " hard") + ", outputs " + std::to_string(want));
                const Answer some = forward(p, want);
                EXPECT_TRUE(!(want & kX) || same_bits(some.x, all.x));
                EXPECT_TRUE(!(want & kY) || same_bits(some.y, all.y));
                EXPECT_TRUE(!(want & kMask) || same_bits(some.mask, all.mask));
                EXPECT_TRUE(!(want & kLogP) || same_bits(some.log_p, all.log_p));
            }
        }
    }
}

TEST_P(Determinism, SharedAndRepeatedLogOmega) {
    /*
     * On a GPU a row with tables of its own has a warp, where rows that share them may have fewer lanes each. The draws are
     * the same bits; log_p has for each step the logarithm of a sum of positive float32 terms, at most 128 a lane and then 5
     * stages, in another order.
     */
    const auto agree = [&](const Problem &p, const Problem &q) {
        const Answer a = forward(p), b = forward(q);
        if (device() != GURN_DEVICE_CUDA || dtype() != GURN_FLOAT32) return a == b;
        bool same = same_bits(a.x, b.x) && same_bits(a.y, b.y) && same_bits(a.mask, b.mask);
        for (size_t i = 0; i < a.log_p.size(); i++) {
            const double tolerance = 0x1p-24 * (2 * 133 * p.urn.classes() + std::fabs(a.log_p[i]));
            same &= std::fabs(a.log_p[i] - b.log_p[i]) <= tolerance;
        }
        return same && a.log_p.size() == b.log_p.size();
    };
    for (const NamedProblem &named : problems()) {
        Problem shared = named.problem, repeated = named.problem;
        const int C = shared.urn.classes();
        shared.log_omega.resize(C);
        repeated.log_omega.clear();
        for (int64_t b = 0; b < shared.rows; b++) append(&repeated.log_omega, shared.log_omega);
        EXPECT_TRUE(agree(shared, repeated)) << named.name;
        shared.n_rows.assign(shared.rows, shared.n);
        repeated.n_rows.clear();
        EXPECT_TRUE(agree(shared, repeated)) << named.name << ", n per row";
    }
}

/*
 * Tables that one row leaves to the next: of rows whose n changes, or does not, from each to the next of its thread, tile or warp,
 * every one has what it has alone, to the bit; and the gradient to a shared omega is the sum of theirs.
 */
TEST_P(Determinism, RowsThatChangeN) {
    const int64_t rows = emulated() ? 19 : 37; /* more than twice what a GPU has rooms for in emulation */
    struct Pattern {
        const char *name;
        int (*n)(int64_t b);
    };
    const Pattern patterns[] = {{"all alike", [](int64_t) { return 11; }},
                                {"every row", [](int64_t b) { return b % 2 ? 11 : 17; }},
                                {"every eighth", [](int64_t b) { return b / 8 % 2 ? 11 : 6; }},
                                {"every third", [](int64_t b) { return b / 3 % 2 ? 20 : 7; }},
                                {"none, some, all", [](int64_t b) { return b % 3 == 0   ? 0
                                                                           : b % 3 == 1 ? 9
                                                                                        : 30; }},
                                {"each its own", [](int64_t b) { return static_cast<int>(b * 7 % 31); }}};
    for (const oracle::Chain chain : chains())
        for (const Pattern &pattern : patterns)
            for (const bool soft : {false, true})
                for (const bool shared : {true, false}) {
                    if (emulated() && (chain == oracle::Chain::merged || soft) && !shared) continue;
                    SCOPED_TRACE(testing::Message()
                                 << pattern.name << (soft ? ", soft" : ", hard") << (shared ? ", omega shared" : "")
                                 << (chain == oracle::Chain::exact ? ", exact" : ", merged"));
                    Problem p;
                    p.urn.m = {8, 12, 10};
                    p.urn.chain = chain;
                    p.rows = rows;
                    p.soft = soft;
                    p.log_omega = Random(6).uniforms(shared ? 3 : 3 * rows, -1, 1);
                    for (int64_t b = 0; b < rows; b++) p.n_rows.push_back(pattern.n(b));
                    const Answer a = forward(p);
                    const Incoming incoming = random_incoming(p, 7);
                    const Gradient g = backward(p, a.x, incoming);
                    const bool summed = shared && !(emulated() && soft);
                    std::vector<double> sum(3, 0.0), size(3, 0.0);
                    for (int64_t b = 0; b < rows; b++) {
                        if (emulated() && !summed && b % 4 != 1) continue;
                        Problem one = rows_of(p, b, 1);
                        one.offset += static_cast<uint64_t>(b);
                        const int64_t W = p.urn.width();
                        const Answer its = {slice(a.x, b, 3), slice(a.y, b, W), slice(a.mask, b, W),
                                            slice(a.log_p, b, 1)};
                        EXPECT_TRUE(forward(one) == its) << "row " << b;
                        const Gradient alone = backward(one, its.x,
                                                        {slice(incoming.x, b, 3), slice(incoming.y, b, W),
                                                         slice(incoming.mask, b, W), slice(incoming.log_p, b, 1)});
                        EXPECT_TRUE(same_bits(slice(g.tau, b, 1), alone.tau)) << "row " << b;
                        if (!shared) {
                            EXPECT_TRUE(same_bits(slice(g.log_omega, b, 3), alone.log_omega)) << "row " << b;
                        }
                        for (int c = 0; c < 3; c++) {
                            sum[c] += alone.log_omega[c];
                            size[c] += std::fabs(alone.log_omega[c]);
                        }
                    }
                    /* Each row's was rounded; the sweep through tables, once for rows alike, is in float there. */
                    for (int c = 0; summed && c < 3; c++)
                        EXPECT_TRUE(std::fabs(g.log_omega[c] - sum[c]) <=
                                    64 * epsilon() * (1 + size[c]) * std::sqrt(rows))
                            << g.log_omega[c] << " for " << sum[c] << " class " << c;
                }
}

/* A stride beyond C skips what lies between. */
TEST_P(Determinism, WideStride) {
    Problem p;
    p.urn.m = {8, 9, 10};
    p.n = 12;
    p.rows = 20;
    p.log_omega = Random(4).uniforms(60, -1, 1);
    const std::vector<double> want = forward(p, kX).x;
    std::vector<double> wide;
    for (int64_t b = 0; b < p.rows; b++) {
        append(&wide, slice(p.log_omega, b, 3));
        append(&wide, {NAN, NAN});
    }
    wide.resize(wide.size() - 2); /* nothing behind the last row is read */
    const Plan plan = make_plan(context(), p.urn, p.n, dtype());
    const RealArray log_omega(device(), dtype(), wide), x(device(), dtype(), 60);
    gurn_mvhg_inputs in = GURN_MVHG_INPUTS_INIT;
    in.rows = p.rows;
    in.log_omega = log_omega.data();
    in.log_omega_stride = 5;
    in.n = p.n;
    in.noise.seed = p.seed;
    gurn_mvhg_outputs out = GURN_MVHG_OUTPUTS_INIT;
    out.x = x.data();
    size_t bytes = 0;
    ASSERT_EQ(gurn_mvhg_workspace(context(), plan.get(), &in, &bytes, nullptr), GURN_SUCCESS);
    const DeviceBytes workspace(device(), bytes);
    ASSERT_EQ(gurn_mvhg_forward(context(), plan.get(), &in, &out, workspace.data(), bytes), GURN_SUCCESS)
        << gurn_context_message(context());
    device_synchronize(device());
    EXPECT_TRUE(same_bits(x.values(), want));
}

ON_ALL_TARGETS(Determinism);
