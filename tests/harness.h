/*
 * What every test of the library shares: the targets (a device or CPU instruction set, and a dtype) that a test runs on, a call
 * described by plain vectors (Problem), and forward/backward that carry it to the library and its answer back.
 *
 * A test is written once:
 *
 *     class Forward : public OnTarget {};
 *     TEST_P(Forward, DrawsEveryBall) { const Answer a = forward(problem); ... }
 *     ON_ALL_TARGETS(Forward);
 *
 * and runs as Forward.DrawsEveryBall/portable_float32, .../avx2_float64, .../emulated_float32 and so on. A target that the
 * machine lacks is a visible skip. forward() and backward() fail the test when the library does, or writes beside its arrays.
 */
#ifndef GURN_TESTS_HARNESS_H
#define GURN_TESTS_HARNESS_H

#include <gtest/gtest.h>

#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "device_memory.h"
#include "gumbelurn.h"
#include "oracle.h"

namespace gurn_test {

struct Target {
    const char *name; /* "portable", "avx2", ..., "emulated", "cuda" */
    gurn_device device;
    gurn_isa isa;
    gurn_dtype dtype;
};
void PrintTo(const Target &target, std::ostream *os);

/* Those of this build: CPU instruction sets of the architecture, and the CUDA device or the emulated one. Each in both dtypes. */
std::vector<Target> all_targets();
std::string target_name(const testing::TestParamInfo<Target> &info);
#define ON_ALL_TARGETS(Suite) \
    INSTANTIATE_TEST_SUITE_P(All, Suite, testing::ValuesIn(gurn_test::all_targets()), gurn_test::target_name)

/* ------------------------------------------------------------------------------------------------------- a call --- */

struct Problem {
    oracle::Urn urn;
    int64_t rows = 1;
    std::vector<double> log_omega; /* [C]: shared by all rows, or [rows][C] */
    int n = 0;
    std::vector<int32_t> n_rows; /* empty, or [rows] */
    double tau = 1;
    bool soft = false;
    gurn_noise_kind noise = GURN_NOISE_PHILOX;
    uint64_t seed = 1, offset = 0, row0 = 0;
    std::vector<double> gumbel;      /* [rows][W] for GURN_NOISE_GIVEN */
    std::vector<int32_t> call_order; /* empty, or the order given with the call */

    bool shared() const { return log_omega.size() == urn.m.size(); }
    int n_of(int64_t b) const { return n_rows.empty() ? n : n_rows[b]; }
    int n_max() const;
    oracle::Urn urn_of_call() const; /* with call_order applied */
    oracle::Row row(int64_t b,
                    gurn_dtype dtype) const; /* for the oracle: inputs rounded to the dtype, noise regenerated */
};

enum Want {
    kX = 1,
    kY = 2,
    kMask = 4,
    kLogP = 8,
    kAll = 15
};

struct Answer {
    std::vector<double> x, y, mask, log_p;      /* [rows][C], [rows][W], [rows][W], [rows]; empty when not wanted */
    bool operator==(const Answer &other) const; /* bit by bit, NaN included */
};

struct Incoming { /* upstream gradients, shaped as Answer; empty = NULL */
    std::vector<double> x, y, mask, log_p;
    oracle::Upstream row(const oracle::Urn &urn, int64_t b, gurn_dtype dtype) const;
};

struct Gradient {
    std::vector<double> log_omega, tau; /* [rows][C] or [C]; [rows], or empty when not wanted */
    bool operator==(const Gradient &other) const;
};

bool same_bits(const std::vector<double> &a, const std::vector<double> &b);

struct ContextDeleter {
    void operator()(gurn_context *context) const { gurn_context_destroy(context); }
};
struct PlanDeleter {
    void operator()(gurn_plan *plan) const { gurn_plan_destroy(plan); }
};
using Context = std::unique_ptr<gurn_context, ContextDeleter>;
using Plan = std::unique_ptr<gurn_plan, PlanDeleter>;

/* NULL and *status when that fails. */
Context make_context(const Target &target, int threads, gurn_status *status = nullptr);
Plan make_plan(gurn_context *context, const oracle::Urn &urn, int n_max, gurn_dtype dtype,
               gurn_plan_use use = GURN_PLAN_FULL);

Answer run_forward(gurn_context *context, const Target &target, const Problem &problem, int want = kAll);
Gradient run_backward(gurn_context *context, const Target &target, const Problem &problem, const std::vector<double> &x,
                      const Incoming &incoming, bool want_tau = true);

/* -------------------------------------------------------------------------------------------------- the fixture --- */

/* GURN_TEST_SCALE of the environment, 1 where it is not set: how many rows and trials slow tests take, as a multiple of all. */
double test_scale();

class OnTarget : public testing::TestWithParam<Target> {
protected:
    void SetUp() override;    /* a context with two threads; skips the test when the target is missing */
    void TearDown() override; /* emulated: no kernel was loaded by its launch */

    gurn_context *context() const { return context_.get(); }
    gurn_dtype dtype() const { return GetParam().dtype; }
    gurn_device device() const { return GetParam().device; }
    bool float32() const { return dtype() == GURN_FLOAT32; }
    double epsilon() const { return float32() ? 0x1p-24 : 0x1p-53; } /* unit roundoff */
    bool emulated() const;
    bool chosen() const { return chosen_; } /* not one of the slower instruction sets of this machine */

    /*
     * A number of rows (or trials): all of it on a GPU and on the instruction set that the machine would choose, a tenth on the others,
     * which draw the same, and a hundredth where every GPU lane is run one after the other; times test_scale(); `least` at least.
     */
    int64_t scaled(int64_t rows, int64_t least = 1) const;

    bool samples(oracle::Chain chain) const;   /* whether this build can draw by that chain */
    std::vector<oracle::Chain> chains() const; /* those that it can draw by */

    Answer forward(const Problem &problem, int want = kAll) {
        return run_forward(context(), GetParam(), problem, want);
    }
    Gradient backward(const Problem &problem, const std::vector<double> &x, const Incoming &incoming,
                      bool want_tau = true) {
        return run_backward(context(), GetParam(), problem, x, incoming, want_tau);
    }

private:
    Context context_;
    bool chosen_ = true; /* a GPU, or what GURN_ISA_AUTO would take */
};

/* Deterministic test inputs. */
class Random {
public:
    explicit Random(uint64_t seed) : seed_(seed) {}
    uint32_t word() { return oracle::word(seed_, next_++, 255, 0, 0); }
    double uniform(double lo, double hi) { return lo + (hi - lo) * ((word() + 0.5) * 0x1p-32); }
    int integer(int lo, int hi) { return lo + static_cast<int>((static_cast<uint64_t>(word()) * (hi - lo + 1)) >> 32); }
    double gumbel() { return static_cast<double>(oracle::gumbel(word())); }
    std::vector<double> uniforms(size_t count, double lo, double hi);
    std::vector<int> permutation(int count);

private:
    uint64_t seed_, next_ = 0;
};

}  // namespace gurn_test

#endif
