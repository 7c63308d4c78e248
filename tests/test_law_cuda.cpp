/*
 * The law itself on CUDA contexts, beyond what test_exact_law.cpp asks of every target: it agrees with the CPU, a row
 * that only the device can see to be bad poisons itself alone, results do not depend on the shape of the launch, and
 * every call can be captured in a graph. In a build without CUDA, one visible skip.
 */
#include "law_call.h"

using namespace gurn_test;

#ifndef GURN_TEST_CUDA

TEST(LawCuda, IsNotInThisBuild) { GTEST_SKIP() << "configured with GURN_CUDA=OFF: no CUDA, not even emulated"; }

#else

#include <cuda_runtime.h>

#include <cmath>
#include <functional>

namespace {

#define MUST(call) ASSERT_EQ(call, cudaSuccess)
#define EXPECT_NEARBY(value, want, tol) \
    EXPECT_TRUE(std::fabs((value) - (want)) <= (tol)) << (value) << " for " << (want) << " within " << (tol)

class LawCuda : public OnTarget {
protected:
    void SetUp() override {
        OnTarget::SetUp();
        if (!IsSkipped() && device() != GURN_DEVICE_CUDA) GTEST_SKIP() << "of CUDA contexts only";
    }
    Law law(const Problem &p, int extra_n = 0) { return Law(context(), GetParam(), p, extra_n); }
};

Problem problem_of(std::vector<int> m, int64_t rows, bool shared, oracle::Chain chain, uint64_t seed) {
    Random random(seed);
    Problem p;
    p.urn.m = std::move(m);
    p.urn.chain = chain;
    p.rows = rows;
    p.log_omega = random.uniforms(p.urn.m.size() * (shared ? 1 : rows), -1.5, 1.5);
    for (int64_t b = 0; b < rows; b++) p.n_rows.push_back(random.integer(0, p.urn.total()));
    p.n_rows[0] = 0;
    p.n_rows.back() = p.urn.total();
    return p;
}

/* Counts that the law could give: n balls, dealt class after class in proportion. */
std::vector<double> counts_of(const Problem &p) {
    std::vector<double> x;
    for (int64_t b = 0; b < p.rows; b++) {
        int left = p.n_of(b), rest = p.urn.total();
        for (int m : p.urn.m) {
            const int here = rest > 0 ? static_cast<int>(static_cast<int64_t>(left) * m / rest) : 0;
            rest -= m;
            x.push_back(std::max(here, left - rest));
            left -= static_cast<int>(x.back());
        }
    }
    return x;
}

std::vector<double> row_of(const std::vector<double> &v, int64_t rows, int64_t b) {
    const int64_t width = static_cast<int64_t>(v.size()) / rows;
    return std::vector<double>(v.begin() + b * width, v.begin() + (b + 1) * width);
}

/* A row is NaN throughout, or has the bits that it has in another batch. */
bool is_nan(const std::vector<double> &v) {
    for (double value : v)
        if (!std::isnan(value)) return false;
    return !v.empty();
}

}  // namespace

/*
 * Two calculations of the same formulas whose sums have other orders, and another libm on a GPU. Either has the error
 * that the header states: log P0 1e-13 of its terms, which are of size N; a mean 1e-14 m; a covariance 1e-13 of the
 * standard deviations. Gradients are sums of those times the upstream ones; third cumulants, of three standard
 * deviations, have 1e-12. Float32 rounds both ends.
 */
TEST_P(LawCuda, AgreesWithTheCpu) {
    const Target on_cpu = {"auto", GURN_DEVICE_CPU, GURN_ISA_AUTO, dtype()};
    const Context cpu = make_context(on_cpu, 1);
    const double out = float32() ? 0x1p-23 : 0;
    std::vector<int> many(1000), forty(40); /* several warps a row */
    for (int c = 0; c < 1000; c++) many[c] = c % 7 * 3;
    for (int c = 0; c < 40; c++) forty[c] = 5 + 11 * c % 60;
    struct Case {
        std::vector<int> m;
        int64_t rows;
        bool shared, covariance;
    };
    const Case cases[] = {{{200, 200, 200}, 5, false, true},
                          {{7, 3, 0, 9, 4}, 70, true, true},
                          {{20000, 31, 5000}, 3, false, true},
                          {forty, 3, true, true},
                          {many, 3, false, false},
                          {many, 3, true, false}};
    uint64_t seed = 20;
    for (const Case &k : cases)
        for (const oracle::Chain chain : {oracle::Chain::exact, oracle::Chain::merged}) {
            SCOPED_TRACE(testing::Message() << k.m.size() << " classes, shared " << k.shared << ", merged "
                                            << (chain == oracle::Chain::merged));
            Problem p = problem_of(k.m, k.rows, k.shared, chain, seed++);
            const size_t C = k.m.size();
            const int N = p.urn.total();
            Random random(seed);
            for (int c : random.permutation(static_cast<int>(C))) p.urn.order.push_back(c);
            Law here = law(p), there(cpu.get(), on_cpu, p);
            const std::vector<double> x = counts_of(p), up = random.uniforms(p.rows, -1, 1);
            const double terms = 2e-13 * N * 2 * (1 + 1.5); /* log(1 + omega lambda) and the share of n log lambda */

            const std::vector<double> log_p = here.log_prob(x), log_p_cpu = there.log_prob(x);
            for (size_t b = 0; b < log_p.size(); b++)
                EXPECT_NEARBY(log_p[b], log_p_cpu[b], out * std::fabs(log_p_cpu[b]) + terms) << "row " << b;
            const Law::LogProbGradient g = here.log_prob_backward(x, up), g_cpu = there.log_prob_backward(x, up);
            const double runs = k.shared ? static_cast<double>(p.rows) : 1; /* rows summed */
            for (size_t i = 0; i < g.log_omega.size(); i++) {
                const int m = k.m[i % C];
                EXPECT_NEARBY(g.log_omega[i], g_cpu.log_omega[i],
                              out * std::fabs(g_cpu.log_omega[i]) + runs * 2e-13 * (m + 1))
                    << "element " << i;
            }
            for (size_t i = 0; i < g.x.size(); i++)
                EXPECT_NEARBY(g.x[i], g_cpu.x[i], out * std::fabs(g_cpu.x[i]) + C * 2e-13) << "element " << i;
            if (chain == oracle::Chain::merged) continue; /* the rest is about the law itself, whatever the chain */

            EXPECT_EQ(here.mode(), there.mode());
            const Law::Moments got = here.moments(k.covariance), want = there.moments(k.covariance);
            const Law::Moments with = there.moments(true);
            const auto sd = [&](size_t b, size_t c) { return std::sqrt(with.covariance[(b * C + c) * C + c]); };
            for (size_t b = 0; b < static_cast<size_t>(p.rows); b++) {
                EXPECT_NEARBY(got.log_norm[b], want.log_norm[b], out * std::fabs(want.log_norm[b]) + terms) << b;
                for (size_t j = 0; j < C; j++) {
                    EXPECT_NEARBY(got.mean[b * C + j], want.mean[b * C + j],
                                  out * want.mean[b * C + j] + 2e-14 * (k.m[j] + 1))
                        << b << " " << j;
                    for (size_t l = 0; l < C && k.covariance; l++) {
                        const double value = want.covariance[(b * C + j) * C + l];
                        EXPECT_NEARBY(got.covariance[(b * C + j) * C + l], value,
                                      out * std::fabs(value) + 2e-13 * sd(b, j) * sd(b, l))
                            << b << " " << j << " " << l;
                    }
                }
            }
            Law::Moments d = {up, random.uniforms(p.rows * C, -1, 1), {}};
            if (k.covariance) d.covariance = random.uniforms(p.rows * C * C, -1, 1);
            const std::vector<double> grad = here.moments_backward(d), grad_cpu = there.moments_backward(d);
            for (size_t i = 0; i < grad.size(); i++) {
                double limit = out * std::fabs(grad_cpu[i]);
                for (size_t b = k.shared ? 0 : i / C; b < (k.shared ? static_cast<size_t>(p.rows) : i / C + 1); b++) {
                    double sum = 0;
                    for (size_t j = 0; j < C; j++) sum += sd(b, j);
                    limit += 2e-14 * (k.m[i % C] + 1) + 2e-13 * sd(b, i % C) * sum +
                             (k.covariance ? 1e-12 * sd(b, i % C) * sum * sum : 0);
                }
                EXPECT_NEARBY(grad[i], grad_cpu[i], limit) << "element " << i;
            }
            const std::vector<double> other = random.uniforms(C, -1, 1); /* shared */
            const std::vector<double> kl = here.kl(other), kl_cpu = there.kl(other);
            const Law::KlGradient dkl = here.kl_backward(other, up), dkl_cpu = there.kl_backward(other, up);
            for (size_t b = 0; b < kl.size(); b++) EXPECT_NEARBY(kl[b], kl_cpu[b], out * kl_cpu[b] + 2 * terms) << b;
            for (size_t c = 0; c < C; c++)
                EXPECT_NEARBY(dkl.other[c], dkl_cpu.other[c],
                              out * std::fabs(dkl_cpu.other[c]) + p.rows * 4e-14 * (k.m[c] + 1))
                    << c;
            for (size_t i = 0; i < dkl.log_omega.size(); i++)
                EXPECT_NEARBY(dkl.log_omega[i], dkl_cpu.log_omega[i],
                              out * std::fabs(dkl_cpu.log_omega[i]) + runs * 2e-13 * 2.5 * (N + 1))
                    << i;
        }
}

/*
 * What the host can not see: of five rows, four are bad, each in another way. The fifth has the bits that it has alone.
 */
TEST_P(LawCuda, BadRowsPoisonThemselvesAlone) {
    for (const size_t classes : {size_t(3), size_t(200)}) { /* one warp, and several */
        std::vector<int> m(classes);
        for (size_t c = 0; c < classes; c++) m[c] = 2 + static_cast<int>(c % 5);
        for (const oracle::Chain chain : {oracle::Chain::exact, oracle::Chain::merged}) {
            const int64_t B = 6;
            Problem p = problem_of(m, B, false, chain, 7);
            const int n_max = p.urn.total() - 1;
            for (int64_t b = 0; b < B; b++) p.n_rows[b] = static_cast<int>(2 + b);
            std::vector<double> x = counts_of(p);
            Problem alone = p; /* the last row, by itself */
            alone.rows = 1;
            alone.n_rows = {p.n_rows[B - 1]};
            alone.log_omega.assign(p.log_omega.end() - classes, p.log_omega.end());
            const std::vector<double> x_alone(x.end() - classes, x.end());
            p.log_omega[classes - 1] = NAN;
            p.log_omega[classes + 1] = INFINITY;
            for (size_t c = 1; c < classes; c++) p.log_omega[2 * classes + c] = -INFINITY; /* 2 balls left, of n = 4 */
            p.n_rows[3] = -1;
            p.n_rows[4] = n_max + 1; /* no more than the balls, but more than the plan is for */
            const auto bad = [](int64_t b) { return b < 5; };

            /* the plan's n_max is that of the largest n_rows: make it n_max */
            Problem plan_of = p;
            plan_of.n_rows[4] = n_max;
            Law all = law(plan_of), one = law(alone, n_max);
            const DeviceArray<int32_t> n_rows(device(), p.n_rows);
            all.in.n_rows = n_rows.data();
            const auto expect_rows = [&](const std::vector<double> &got, const std::vector<double> &last,
                                         const char *what) {
                for (int64_t b = 0; b < B; b++) {
                    SCOPED_TRACE(testing::Message() << what << " of row " << b << ", " << classes << " classes");
                    if (bad(b))
                        EXPECT_TRUE(is_nan(row_of(got, B, b)));
                    else
                        EXPECT_TRUE(same_bits(row_of(got, B, b), last));
                }
            };
            const std::vector<double> up(B, 0.5);
            expect_rows(all.log_prob(x), one.log_prob(x_alone), "log_p");
            const Law::LogProbGradient g = all.log_prob_backward(x, up), g1 = one.log_prob_backward(x_alone, {0.5});
            expect_rows(g.log_omega, g1.log_omega, "d log omega");
            expect_rows(g.x, g1.x, "d x");
            if (chain == oracle::Chain::merged) continue;

            const bool small = classes < 100;
            const Law::Moments moments = all.moments(small), moments1 = one.moments(small);
            expect_rows(moments.log_norm, moments1.log_norm, "log norm");
            expect_rows(moments.mean, moments1.mean, "mean");
            if (small) expect_rows(moments.covariance, moments1.covariance, "covariance");
            const std::vector<double> d_mean(B * classes, 0.25), d_cov(small ? B * classes * classes : 0, 0.125),
                d_cov1(small ? classes * classes : 0, 0.125);
            expect_rows(all.moments_backward({up, d_mean, d_cov}),
                        one.moments_backward({{0.5}, std::vector<double>(classes, 0.25), d_cov1}), "d moments");
            std::vector<double> other(B * classes, 0.1), other1(classes, 0.1);
            expect_rows(all.kl(other), one.kl(other1), "kl");
            const Law::KlGradient kl = all.kl_backward(other, up), kl1 = one.kl_backward(other1, {0.5});
            expect_rows(kl.log_omega, kl1.log_omega, "d kl");
            expect_rows(kl.other, kl1.other, "d kl, other");

            const std::vector<int32_t> mode = all.mode(), mode1 = one.mode();
            for (size_t i = 0; i < mode.size(); i++)
                EXPECT_EQ(mode[i], bad(static_cast<int64_t>(i / classes)) ? -1 : mode1[i % classes]) << i;

            /* The same of what only some functions read: the other law, and counts. */
            Problem fine = p;
            fine.n_rows.assign(B, alone.n_rows[0]);
            fine.log_omega.clear();
            for (int64_t b = 0; b < B; b++)
                fine.log_omega.insert(fine.log_omega.end(), alone.log_omega.begin(), alone.log_omega.end());
            Law good = law(fine);
            for (int64_t b = 0; bad(b); b++) other[b * classes + b % classes] = b % 2 ? NAN : INFINITY;
            expect_rows(good.kl(other), kl1.log_omega.empty() ? kl1.log_omega : one.kl(other1), "kl of bad others");
            const Law::KlGradient kl_other = good.kl_backward(other, up);
            expect_rows(kl_other.log_omega, kl1.log_omega, "d kl of bad others");
            expect_rows(kl_other.other, kl1.other, "d kl of bad others, other");
        }
    }
}

TEST_P(LawCuda, NanCountsPoisonTheirRow) {
    for (const oracle::Chain chain : {oracle::Chain::exact, oracle::Chain::merged}) {
        Problem p = problem_of({5, 6, 7, 8}, 3, true, chain, 3);
        p.n_rows.assign(3, 9);
        std::vector<double> x = counts_of(p);
        Law l = law(p);
        const std::vector<double> log_p = l.log_prob(x);
        const Law::LogProbGradient g = l.log_prob_backward(x, {1, 1, 1});
        for (size_t c = 0; c < 4;
             c++) { /* of every class, also the last, of which the merged chain reads nothing else */
            std::vector<double> spoilt = x;
            spoilt[4 + c] = NAN;
            const std::vector<double> now = l.log_prob(spoilt);
            const Law::LogProbGradient now_g = l.log_prob_backward(spoilt, {1, 1, 1});
            for (int64_t b = 0; b < 3; b++) {
                if (b == 1) {
                    EXPECT_TRUE(std::isnan(now[b]) && is_nan(row_of(now_g.x, 3, b))) << "class " << c;
                } else {
                    EXPECT_TRUE(same_bits({now[b]}, {log_p[b]}) && same_bits(row_of(now_g.x, 3, b), row_of(g.x, 3, b)))
                        << "class " << c << " row " << b;
                }
            }
            EXPECT_TRUE(is_nan(now_g.log_omega)) << "the sum over rows has the bad one in it";
        }
    }
}

/* More rows than there are blocks: each has the bits that it has in a batch of its own. */
TEST_P(LawCuda, RowsDoNotDependOnTheLaunch) {
    const int64_t B = 2500;
    for (const oracle::Chain chain : {oracle::Chain::exact, oracle::Chain::merged}) {
        const Problem p = problem_of({4, 3}, B, false, chain, 8);
        const std::vector<double> x = counts_of(p), up(B, 1.0), log_p = law(p).log_prob(x);
        const Law::LogProbGradient g = law(p).log_prob_backward(x, up);
        for (int64_t b = 0; b < B; b += 499) {
            Problem one = p;
            one.rows = 1;
            one.n_rows = {p.n_rows[b]};
            one.log_omega = row_of(p.log_omega, B, b);
            const std::vector<double> x1 = row_of(x, B, b);
            EXPECT_TRUE(same_bits(law(one).log_prob(x1), {log_p[b]})) << b;
            EXPECT_TRUE(same_bits(law(one).log_prob_backward(x1, {1.0}).log_omega, row_of(g.log_omega, B, b))) << b;
        }
        /*
         * Shared omega, summed over rows in runs of two or three: the sum of the rows' own, a few roundings of each
         * apart.
         */
        Problem shared = p, each = p;
        shared.log_omega.resize(2);
        for (size_t i = 0; i < each.log_omega.size(); i++) each.log_omega[i] = shared.log_omega[i % 2];
        const std::vector<double> sum = law(shared).log_prob_backward(x, up).log_omega,
                                  rows = law(each).log_prob_backward(x, up).log_omega;
        for (size_t c = 0; c < 2; c++) {
            double want = 0, size = 0;
            for (int64_t b = 0; b < B; b++) {
                want += rows[b * 2 + c];
                size += std::fabs(rows[b * 2 + c]);
            }
            EXPECT_NEARBY(sum[c], want, 2 * epsilon() * size + B * 0x1p-53 * size) << "class " << c;
        }
    }
}

/*
 * Everything captured once and replayed on other inputs: a call that allocated, synchronised or read device memory on
 * the host would make the capture fail. The order that a call gives is host memory, and has been read when the call
 * returns.
 */
TEST_P(LawCuda, GraphsReplay) {
    const size_t C = 4, B = 3;
    for (const oracle::Chain chain : {oracle::Chain::exact, oracle::Chain::merged}) {
        Problem p = problem_of({6, 6, 6, 6}, B, true, chain, 5);
        p.n_rows.assign(B, 11);
        p.call_order = {2, 0, 3, 1};
        const std::vector<double> x = counts_of(p), up = {1, -0.5, 0.25}, other = {0.5, 0, 0, -0.5};
        cudaStream_t stream;
        MUST(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
        {
            Law probe = law(p);
            size_t bytes = 0, most = 0;
            for (const gurn_law kind : {GURN_LAW_LOG_PROB, GURN_LAW_COVARIANCE, GURN_LAW_KL, GURN_LAW_MODE}) {
                ASSERT_EQ(gurn_mvhg_law_workspace(context(), probe.plan(), &probe.in, kind, &bytes), GURN_SUCCESS);
                most = std::max(most, bytes);
            }
            const DeviceBytes workspace(device(), most), mode(device(), B * C * sizeof(int32_t));
            const RealArray counts(device(), dtype(), x), upstream(device(), dtype(), up), o(device(), dtype(), other),
                omega(device(), dtype(), p.log_omega), log_p(device(), dtype(), B), d_omega(device(), dtype(), C),
                d_x(device(), dtype(), B * C), norm(device(), dtype(), B), mean(device(), dtype(), B * C),
                cov(device(), dtype(), B * C * C), d_moments(device(), dtype(), C), kl(device(), dtype(), B),
                d_kl(device(), dtype(), C), d_other(device(), dtype(), C),
                up_cov(device(), dtype(), std::vector<double>(B * C * C, 0.5));
            gurn_mvhg_moments out = {sizeof out, norm.data(), mean.data(), cov.data()};
            gurn_mvhg_moments in = {sizeof in, upstream.data(), counts.data(), up_cov.data()};
            std::vector<int32_t> order = p.call_order;
            probe.in.order = order.data();
            probe.in.log_omega = omega.data();
            device_synchronize(device());
            ASSERT_EQ(gurn_context_set_stream(context(), stream), GURN_SUCCESS);
            cudaGraph_t graph;
            cudaGraphExec_t exec;
            void *w = workspace.data();
            MUST(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
            const gurn_status statuses[] = {
                gurn_mvhg_log_prob(context(), probe.plan(), &probe.in, counts.data(), log_p.data(), w, most),
                gurn_mvhg_log_prob_backward(context(), probe.plan(), &probe.in, counts.data(), upstream.data(),
                                            d_omega.data(), d_x.data(), w, most),
                gurn_mvhg_moments_forward(context(), probe.plan(), &probe.in, &out, w, most),
                gurn_mvhg_moments_backward(context(), probe.plan(), &probe.in, &in, d_moments.data(), w, most),
                gurn_mvhg_kl(context(), probe.plan(), &probe.in, o.data(), 0, kl.data(), w, most),
                gurn_mvhg_kl_backward(context(), probe.plan(), &probe.in, o.data(), 0, upstream.data(), d_kl.data(),
                                      d_other.data(), w, most),
                gurn_mvhg_mode(context(), probe.plan(), &probe.in, static_cast<int32_t *>(mode.data()), w, most)};
            MUST(cudaStreamEndCapture(stream, &graph));
            for (const gurn_status status : statuses)
                EXPECT_EQ(status, GURN_SUCCESS) << gurn_context_message(context());
            EXPECT_TRUE(log_p.bytes().untouched() && mode.untouched() && workspace.untouched())
                << "a capture runs nothing";
            MUST(cudaGraphInstantiate(&exec, graph, 0));
            std::fill(order.begin(), order.end(), -1); /* no longer the call's */

            for (const double shift : {0.0, 0.5}) {
                Problem q = p;
                for (size_t c = 0; c < C; c++) q.log_omega[c] += shift * static_cast<double>(c);
                const RealArray fresh(device(), dtype(), q.log_omega);
                MUST(cudaMemcpyAsync(omega.data(), fresh.data(), fresh.bytes().size(), cudaMemcpyDeviceToDevice,
                                     stream));
                MUST(cudaGraphLaunch(exec, stream));
                MUST(cudaStreamSynchronize(stream));
                const Context plain = make_context(GetParam(), 0);
                Law want(plain.get(), GetParam(), q);
                const Law::LogProbGradient g = want.log_prob_backward(x, up);
                const Law::Moments moments = want.moments();
                const Law::KlGradient g_kl = want.kl_backward(other, up);
                EXPECT_TRUE(same_bits(log_p.values(), want.log_prob(x)));
                EXPECT_TRUE(same_bits(d_omega.values(), g.log_omega) && same_bits(d_x.values(), g.x));
                EXPECT_TRUE(same_bits(norm.values(), moments.log_norm) && same_bits(mean.values(), moments.mean) &&
                            same_bits(cov.values(), moments.covariance));
                EXPECT_TRUE(
                    same_bits(d_moments.values(), want.moments_backward({up, x, std::vector<double>(B * C * C, 0.5)})));
                EXPECT_TRUE(same_bits(kl.values(), want.kl(other)));
                EXPECT_TRUE(same_bits(d_kl.values(), g_kl.log_omega) && same_bits(d_other.values(), g_kl.other));
                std::vector<int32_t> counts_of_mode(B * C);
                memcpy(counts_of_mode.data(), mode.download().data(), counts_of_mode.size() * sizeof(int32_t));
                EXPECT_EQ(counts_of_mode, want.mode());
            }
            MUST(cudaGraphExecDestroy(exec));
            MUST(cudaGraphDestroy(graph));
            ASSERT_EQ(gurn_context_set_stream(context(), nullptr), GURN_SUCCESS);
        }
        MUST(cudaStreamDestroy(stream));
    }
}

/* An order of more places than one launch carries, given by the call. */
TEST_P(LawCuda, LongOrders) {
    const int C = 1000;
    Problem p = problem_of(std::vector<int>(C, 2), 2, true, oracle::Chain::merged, 6);
    p.n_rows.assign(2, 700);
    const std::vector<double> x = counts_of(p);
    Problem planned = p;
    Random random(1);
    for (int c : random.permutation(C)) {
        p.call_order.push_back(c);
        planned.urn.order.push_back(c);
    }
    EXPECT_TRUE(same_bits(law(p).log_prob(x), law(planned).log_prob(x)));
    EXPECT_TRUE(
        same_bits(law(p).log_prob_backward(x, {1, 2}).log_omega, law(planned).log_prob_backward(x, {1, 2}).log_omega));
}

ON_ALL_TARGETS(LawCuda);

#endif
