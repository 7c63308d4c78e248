/*
 * Random calls of the whole API, right and wrong, on tiny urns: `gurn_fuzz_api [calls [seed]]`, or GURN_FUZZ_CALLS. Built with
 * AddressSanitizer and UndefinedBehaviorSanitizer it is the memory-safety test; without, arrays lie between guard zones. After
 * every call: the status is one that the header lists; a refusal has a message and wrote nothing; a success filled what was
 * asked for and nothing else, with what the header promises: hard counts are whole and sum to n, a forbidden count is not
 * among them, and everything is finite but where it says otherwise (acceptable).
 *
 * Log omega is ordinary or as extreme as it may be, -infinity included; noise is generated, off, or given: ordinary, huge,
 * -infinity; tau is anything from GURN_MIN_TAU to the largest double. On a GPU, emulated or not, what only the device can see
 * is no refusal but NaN, or -1, in that row.
 *
 * The same seed makes the same calls; a failure prints its call's number, and `gurn_fuzz_api 1 SEED NUMBER` repeats it alone.
 */
#include <algorithm>
#include <cinttypes>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>

#include "call.h"
#include "plain_call.h"

using namespace gurn_test;

namespace {

/*
 * Which log omega each part of the library is given. any: up to +-1e30, and 8e5 apart, of which only ratios count; zero: -infinity.
 */
struct Takes {
    bool any, zero;
};
const Takes kSampler = {true, true}, kLaw = {true, true}, kPlain = {true, true};

uint64_t current_call;
int failures;

void fail(const char *what, const std::string &detail = "") {
    fprintf(stderr, "call %" PRIu64 ": %s %s\n", current_call, what, detail.c_str());
    if (++failures > 20) exit(1);
}

const double kNaN = std::numeric_limits<double>::quiet_NaN(), kInfinity = std::numeric_limits<double>::infinity();

/* ----------------------------------------------------------------------------------------------------- right calls --- */

/* A log omega of `count` classes. */
std::vector<double> random_log_omega(Random &r, size_t count, Takes takes) {
    const double spread = r.integer(0, 4) == 0 ? 69 : r.uniform(0, 4);
    std::vector<double> v = r.uniforms(count, -spread, spread);
    if (takes.any && r.integer(0, 3) == 0) {
        const double at = r.integer(0, 1) ? 8e5 : 1e30;
        const int how = r.integer(0, 2);
        for (double &a : v) {
            if (how == 0) a += at;                                      /* all as large: ratios are what they were */
            if (how == 1) a = r.integer(-1, 1) * at;                    /* ratios as large */
            if (how == 2 && r.integer(0, 1)) a += r.integer(0, 2) * at; /* and some */
        }
    }
    if (takes.zero && r.integer(0, 3) == 0)
        for (double &a : v)
            if (r.integer(0, 2) == 0) a = -kInfinity;
    return v;
}

double random_tau(Random &r) {
    switch (r.integer(0, 7)) {
        case 0: return std::pow(10.0, r.uniform(-3, 3));
        case 1: return std::max(GURN_MIN_TAU, std::pow(10.0, r.uniform(-30, 30)));
        case 2: {
            static const double ends[] = {GURN_MIN_TAU, 0x1p-10, 2, 1e300, std::numeric_limits<double>::max(), 0};
            return ends[r.integer(0, 5)];
        }
        default: return r.uniform(0.1, 2);
    }
}

std::vector<double> random_noise(Random &r, size_t count) {
    std::vector<double> v(count);
    const int huge = r.integer(0, 3) ? 0 : r.integer(1, 4), forbidden = r.integer(0, 2) ? 0 : r.integer(1, 9);
    for (double &g : v) {
        g = r.integer(0, 50) == 0 ? r.uniform(-1e4, 1e4) : r.gumbel();
        if (r.integer(1, 5) <= huge) g = r.integer(0, 1) ? 1e30 : -1e30;
        if (r.integer(1, 10) <= forbidden) g = -kInfinity;
    }
    return v;
}

Problem random_problem(Random &r, Takes takes) {
    Problem p;
    const int C = r.integer(1, r.integer(1, 6)), most = r.integer(0, 12);
    const bool equal = r.integer(0, 2) == 0;
    const int m = r.integer(0, most);
    for (int c = 0; c < C; c++) p.urn.m.push_back(equal ? m : r.integer(0, most));
    if (r.integer(0, 1)) p.urn.order = r.permutation(C);
    if (r.integer(0, 1)) p.urn.chain = oracle::Chain::exact;
    if (equal && r.integer(0, 1))
        for (int c : r.permutation(C)) p.call_order.push_back(c);
    p.rows = r.integer(0, r.integer(0, 20));
    p.n = r.integer(0, p.urn.total());
    if (r.integer(0, 3) == 0)
        for (int64_t b = 0; b < p.rows; b++) p.n_rows.push_back(r.integer(0, p.n));
    const bool shared = r.integer(0, 1) || p.rows == 0;
    for (int64_t b = 0; b < (shared ? 1 : p.rows); b++) {
        const std::vector<double> row = random_log_omega(r, C, takes);
        p.log_omega.insert(p.log_omega.end(), row.begin(), row.end());
    }
    p.tau = random_tau(r);
    p.soft = r.integer(0, 2) == 0;
    p.noise = static_cast<gurn_noise_kind>(r.integer(0, 2));
    p.seed = static_cast<uint64_t>(r.word()) << 32 | r.word();
    p.offset = static_cast<uint64_t>(r.word()) << 32 | r.word();
    p.row0 = r.word();
    if (p.noise == GURN_NOISE_GIVEN) {
        p.gumbel = random_noise(r, static_cast<size_t>(p.rows * p.urn.width()));
        if (p.gumbel.empty()) p.noise = GURN_NOISE_OFF;
    }
    return p;
}

bool is_zero(const Problem &p, const std::vector<double> &log_omega, int64_t b, int c) {
    return log_omega[(log_omega.size() == p.urn.m.size() ? 0 : b * p.urn.classes()) + c] == -kInfinity;
}

/* The classes of a row that can be drawn. */
int balls(const Problem &p, const std::vector<double> &log_omega, int64_t b) {
    int sum = 0;
    for (int c = 0; c < p.urn.classes(); c++) sum += is_zero(p, log_omega, b, c) ? 0 : p.urn.m[c];
    return sum;
}
bool has_enough(const Problem &p, const std::vector<double> &log_omega, int64_t b) {
    return p.n_of(b) <= balls(p, log_omega, b);
}
bool all_have_enough(const Problem &p, const std::vector<double> &log_omega) {
    for (int64_t b = 0; b < p.rows; b++)
        if (!has_enough(p, log_omega, b)) return false;
    return true;
}

/* Mostly: no row draws more than its classes of omega > 0 hold. */
void make_enough(Random &r, Problem &p, const std::vector<double> &log_omega) {
    if (all_have_enough(p, log_omega) || r.integer(0, 3) == 0) return;
    int least = p.urn.total();
    for (int64_t b = 0; b < p.rows; b++) {
        least = std::min(least, balls(p, log_omega, b));
        if (!p.n_rows.empty()) p.n_rows[b] = std::min(p.n_rows[b], balls(p, log_omega, b));
    }
    p.n = std::min(p.n, least);
}

/* The place of the class of a row that takes what is left: the last one that has balls. */
int taker(const Problem &p, const oracle::Urn &urn, int64_t b) {
    int place = urn.classes() - 1;
    while (place > 0 && (urn.m[urn.at(place)] == 0 || is_zero(p, p.log_omega, b, urn.at(place)))) place--;
    return place;
}

/* ----------------------------------------------------------------------------------------------------- wrong calls --- */

/* What a refusal must be. */
void check_refusal(gurn_context *context, gurn_status status, bool untouched) {
    if (status == GURN_SUCCESS || status > GURN_CUDA_ERROR) fail("accepted what is wrong", gurn_status_string(status));
    if (!*gurn_context_message(context)) fail("refused without a message");
    if (!untouched) fail("refused, and wrote");
}

/* Some of an array's values made ones that it may not have; the call then owns the copy. */
std::unique_ptr<RealArray> spoiled(Random &r, const Target &target, std::vector<double> values,
                                   std::initializer_list<double> wrong) {
    values[r.integer(0, static_cast<int>(values.size()) - 1)] =
        wrong.begin()[r.integer(0, static_cast<int>(wrong.size()) - 1)];
    return std::unique_ptr<RealArray>(new RealArray(target.device, target.dtype, values));
}

/* What a call that was spoiled should come to. */
enum class Spoiled {
    no,      /* for this call, that way changes nothing */
    refused, /* by every device */
    data     /* by a CPU; a GPU goes through with it */
};

/* Spoils an argument in one of many ways. */
Spoiled spoil(Random &r, Call &c, const Target &target, const Problem &p, bool backward) {
    static const double bad_tau[] = {
        -1, -1e-300, kNaN, kInfinity, -kInfinity, 1e-310, std::nextafter(GURN_MIN_TAU, 0), 5e-324};
    static const int64_t bad_rows[] = {-1, INT64_MIN, INT64_MAX, INT64_MAX / 3};
    static const int32_t bad_order[8] = {0, 0, -1, 7, INT32_MAX, INT32_MIN, 2, 2};
    const int C = p.urn.classes();
    const auto if_so = [](bool so) { return so ? Spoiled::refused : Spoiled::no; };
    switch (r.integer(0, 17)) {
        case 0: c.plan = nullptr; break;
        case 1: c.in = nullptr; break;
        case 2: (backward ? (void *&)c.up : (void *&)c.out) = nullptr; break;
        case 3: c.inputs.size = r.integer(0, 7); break;
        case 4: c.inputs.rows = bad_rows[r.integer(0, 3)]; break;
        case 5: c.inputs.log_omega_stride = r.integer(0, 1) || C == 1 ? -r.integer(1, 9) : r.integer(1, C - 1); break;
        case 6:
            c.inputs.n = r.integer(0, 1) ? -r.integer(1, 1000000) : p.n_max() + r.integer(1, 1000000);
            return if_so(p.n_rows.empty());
        case 7: c.inputs.tau = bad_tau[r.integer(0, 7)]; break;
        case 8: c.inputs.relaxation = static_cast<gurn_relaxation>(r.integer(2, 1000)); break;
        case 9: c.inputs.noise.kind = static_cast<gurn_noise_kind>(r.integer(3, 1000)); break;
        case 10: c.inputs.order = bad_order; return if_so(C >= 2);
        case 11: c.inputs.log_omega = nullptr; return if_so(p.rows > 0);
        case 12: c.workspace_bytes = 0; return if_so(p.rows > 0 && (backward ? c.backward_bytes : c.forward_bytes) > 0);
        case 13:
            c.workspace = static_cast<char *>(c.workspace) + r.integer(1, 63);
            return if_so(p.rows > 0 && (backward ? c.backward_bytes : c.forward_bytes) > 0);
        case 14: c.x = nullptr; return if_so(backward && p.rows > 0);
        case 15: { /* given noise, in what is read of it */
            const oracle::Urn urn = p.urn_of_call();
            if (p.noise != GURN_NOISE_GIVEN || urn.last() == 0) return Spoiled::no;
            const int cls = urn.at(r.integer(0, urn.last() - 1));
            std::vector<double> values = c.gumbel.values();
            values[r.integer(0, static_cast<int>(p.rows) - 1) * p.urn.width() + p.urn.offset(cls) +
                   r.integer(0, urn.m[cls])] = r.integer(0, 1) ? kNaN : kInfinity;
            c.replaced.reset(new RealArray(target.device, target.dtype, values));
            c.inputs.noise.gumbel = c.replaced->data();
            return Spoiled::data;
        }
        case 16: /* x, of which no row is NaN as a whole */
            if (!backward || p.rows == 0) return Spoiled::no;
            c.replaced = spoiled(r, target, c.in_x.values(), {kInfinity, -1.5, 1e30, C > 1 ? kNaN : -2.0});
            c.x = c.replaced->data();
            return Spoiled::data;
        default:
            if (p.rows == 0) return Spoiled::no;
            c.replaced = spoiled(r, target, c.log_omega.values(), {kNaN, kInfinity});
            c.inputs.log_omega = c.replaced->data();
            return Spoiled::data;
    }
    return Spoiled::refused;
}

/* --------------------------------------------------------------------------------------------------------- sampler --- */

/* What the header says of a row: judged, or NaN as a whole. */
struct Rows {
    std::vector<bool> poisoned; /* what only a GPU sees */
    std::vector<bool> may_be_nan;
};

Rows rows_of(const Problem &p) {
    Rows rows;
    const int W = p.urn.width();
    for (int64_t b = 0; b < p.rows; b++) {
        rows.poisoned.push_back(!has_enough(p, p.log_omega, b));
        bool forbids = false;
        for (int i = 0; i < W && p.noise == GURN_NOISE_GIVEN; i++) forbids |= p.gumbel[b * W + i] == -kInfinity;
        rows.may_be_nan.push_back(rows.poisoned[b] || forbids);
    }
    return rows;
}

/* Rows of hard counts; -1, or NaN, in poisoned ones. nan: rows that are NaN, where they may be. */
void check_counts(const Problem &p, const std::vector<double> &x, const std::vector<bool> &nan) {
    const int C = p.urn.classes();
    for (int64_t b = 0; b < p.rows; b++) {
        double total = 0;
        if (nan[b]) continue;
        for (int c = 0; c < C; c++) {
            const double v = x[b * C + c];
            if (!(v >= 0 && v <= p.urn.m[c] && v == std::floor(v))) fail("x outside 0..m", std::to_string(v));
            if (v > 0 && is_zero(p, p.log_omega, b, c)) fail("x of a class of omega = 0 is", std::to_string(v));
            total += v;
        }
        if (total != p.n_of(b)) fail("x does not sum to n", std::to_string(total));
    }
}

/*
 * Which values an array may have. Float32 is too short for some gradients at small tau, or where forbidden counts leave only one
 * that is all but out of the support: 1 / tau a step, or 1 / Gamma's pole.
 */
bool acceptable(const Problem &p, gurn_dtype dtype, double value) {
    if (std::isfinite(value)) return true;
    const bool steep = p.tau < 1e-4 || (p.soft && p.noise == GURN_NOISE_GIVEN);
    return std::isinf(value) && dtype == GURN_FLOAT32 && steep;
}

/* [rows][width], or a sum over rows [width]: NaN in all of a row that may be, else as `ok` has it. nan[b] is set. */
template <class Ok>
void check_rows(const char *name, const std::vector<double> &v, int64_t rows, const Rows &all, std::vector<bool> *nan,
                const Ok &ok) {
    const int64_t width = rows ? static_cast<int64_t>(v.size()) / rows : 0;
    for (int64_t b = 0; b < rows; b++) {
        int64_t count = 0;
        for (int64_t i = b * width; i < (b + 1) * width; i++) {
            count += std::isnan(v[i]);
            if (!std::isnan(v[i]) && !ok(v[i])) return fail("not finite:", name);
        }
        if (width == 0) continue;
        if (count != 0 && (count != width || !all.may_be_nan[b])) return fail("NaN in", name);
        if (count == 0 && all.poisoned[b]) return fail("a bad row is not NaN in", name);
        if (count != 0) (*nan)[b] = true;
    }
}

void check_written(const char *name, const RealArray &array, bool wanted) {
    if (!array.bytes().guards_intact()) fail("wrote beside", name);
    if (!wanted && !array.bytes().untouched()) fail("wrote what was not wanted:", name);
}

/* One-hots and masks of a row: weights that sum to 1, none of them forbidden, and masks that fall from 1. */
void check_one_hots(const Problem &p, gurn_dtype dtype, const std::vector<double> &y, const std::vector<double> &mask,
                    const std::vector<bool> &nan) {
    const oracle::Urn urn = p.urn_of_call();
    const double slack = dtype == GURN_FLOAT32 ? 1e-5 : 1e-12;
    for (int64_t b = 0; b < p.rows; b++) {
        const int last = taker(p, urn, b);
        for (int place = 0; !nan[b] && place < last; place++) {
            const int c = urn.at(place);
            const int64_t at = b * urn.width() + urn.offset(c);
            double sum = 0;
            for (int k = 0; k <= urn.m[c]; k++) {
                if (!mask.empty() && !(mask[at + k] >= -slack && mask[at + k] <= (k ? mask[at + k - 1] : 1) + slack))
                    fail("mask", std::to_string(mask[at + k]));
                if (y.empty()) continue;
                sum += y[at + k];
                if (!(y[at + k] >= 0)) fail("y is", std::to_string(y[at + k]));
                if (p.noise == GURN_NOISE_GIVEN && p.gumbel[at + k] == -kInfinity && y[at + k] != 0)
                    fail("a forbidden count has y", std::to_string(y[at + k]));
            }
            if (!y.empty() && !(std::fabs(sum - 1) <= slack)) fail("y sums to", std::to_string(sum));
            if (!mask.empty() && !(std::fabs(mask[at] - 1) <= slack)) fail("mask(0) is", std::to_string(mask[at]));
        }
    }
}

/* Counts of a forward call: hard ones, or soft ones in range that sum to n; a count that noise forbids is not drawn. */
void check_x(const Problem &p, const std::vector<double> &x, const std::vector<bool> &nan) {
    const oracle::Urn urn = p.urn_of_call();
    const int C = urn.classes();
    if (!p.soft) check_counts(p, x, nan);
    for (int64_t b = 0; b < p.rows; b++) {
        double sum = 0;
        if (nan[b]) continue;
        for (int place = 0; place < C; place++) {
            const int c = urn.at(place);
            const double v = x[b * C + c], out = place == taker(p, urn, b) ? 1 : 0;
            if (!(v >= -out && v <= urn.m[c] + out)) fail("x outside its class", std::to_string(v));
            if (!p.soft && p.noise == GURN_NOISE_GIVEN && place < taker(p, urn, b) &&
                p.gumbel[b * urn.width() + urn.offset(c) + static_cast<int>(v)] == -kInfinity)
                fail("drew a forbidden count", std::to_string(v));
            sum += v;
        }
        if (!(std::fabs(sum - p.n_of(b)) <= 1e-4)) fail("x does not sum to n", std::to_string(sum));
    }
}

void check_forward(const Call &call, const Target &target, const Problem &p, int want) {
    const Rows rows = rows_of(p);
    std::vector<bool> nan(p.rows, false);
    const auto finite = [](double v) { return std::isfinite(v); };
    const auto values = [&](const char *name, const RealArray &array, int kind) {
        check_written(name, array, want & kind);
        const std::vector<double> v = want & kind ? array.values() : std::vector<double>();
        if (want & kind) check_rows(name, v, p.rows, rows, &nan, finite);
        return v;
    };
    const std::vector<double> x = values("x", call.out_x, kX), y = values("y", call.out_y, kY),
                              mask = values("mask", call.out_mask, kMask),
                              log_p = values("log_p", call.out_log_p, kLogP);
    for (const auto *v : {&x, &y, &mask, &log_p}) /* all of a row, or none of it */
        for (size_t i = 0; i < v->size(); i++)
            if (nan[i / (v->size() / p.rows)] != std::isnan((*v)[i])) return fail("a row is NaN in part");
    for (double v : log_p)
        if (!std::isnan(v) && !(v <= 1e-3)) fail("log_p is", std::to_string(v));
    if (want & kX) check_x(p, x, nan);
    check_one_hots(p, target.dtype, y, mask, nan);
}

void check_backward(const Call &call, const Target &target, const Problem &p, int want) {
    const Rows rows = rows_of(p);
    std::vector<bool> nan(p.rows, false);
    const auto ok = [&](double v) { return acceptable(p, target.dtype, v); };
    check_written("gradient of log omega", call.grad_log_omega, want & 1);
    check_written("gradient of tau", call.grad_tau, want & 2);
    if (want & 2) check_rows("gradient of tau", call.grad_tau.values(), p.rows, rows, &nan, ok);
    if (!(want & 1)) return;
    if (!p.shared()) return check_rows("gradient of log omega", call.grad_log_omega.values(), p.rows, rows, &nan, ok);
    Rows sum = {{false}, {false}}; /* NaN where one of its rows is */
    for (int64_t b = 0; b < p.rows; b++) {
        if (rows.may_be_nan[b]) sum.may_be_nan[0] = true;
        if (rows.poisoned[b]) sum.poisoned[0] = true;
    }
    std::vector<bool> one(1, false);
    check_rows("gradient of log omega", call.grad_log_omega.values(), 1, sum, &one, ok);
}

void one_call(Random &r, gurn_context *context, const Target &target) {
    Problem p = random_problem(r, kSampler);
    make_enough(r, p, p.log_omega);
    const bool backward = r.integer(0, 1), wrong = r.integer(0, 2) == 0;
    Call call(context, target, p);
    if (testing::Test::HasFailure()) exit(1);
    const int want = r.integer(0, 15);
    if (!(want & 1)) call.outputs.x = nullptr, call.gradients.log_omega = nullptr;
    if (!(want & 2)) call.outputs.y = nullptr, call.gradients.tau = nullptr;
    if (!(want & 4)) call.outputs.mask = nullptr, call.upstream.y = nullptr;
    if (!(want & 8)) call.outputs.log_p = nullptr, call.upstream.mask = nullptr;
    if (r.integer(0, 3) == 0) call.upstream.x = nullptr;
    if (r.integer(0, 3) == 0) call.upstream.log_p = nullptr;

    const auto run = [&](bool back) {
        const gurn_status status = back ? call.backward() : call.forward();
        device_synchronize(target.device);
        return status;
    };
    if (wrong) {
        const Spoiled how = spoil(r, call, target, p, backward);
        if (how == Spoiled::no) return;
        const gurn_status status = run(backward);
        if (how == Spoiled::refused || target.device == GURN_DEVICE_CPU)
            return check_refusal(context, status, call.untouched());
        if (status != GURN_SUCCESS) fail("a GPU refused what it can not see", gurn_context_message(context));
        if (!call.guards_intact()) fail("wrote beside an array");
        return;
    }
    if (!all_have_enough(p, p.log_omega) && target.device == GURN_DEVICE_CPU)
        return check_refusal(context, run(backward), call.untouched());
    RealArray drawn(target.device, target.dtype, static_cast<size_t>(p.rows * p.urn.classes()));
    if (backward && p.rows > 0) { /* x as forward gives it */
        const gurn_mvhg_outputs out = {sizeof out, drawn.data(), nullptr, nullptr, nullptr};
        call.out = &out;
        if (run(false) != GURN_SUCCESS) return fail("forward refused", gurn_context_message(context));
        call.x = drawn.data();
        call.out = &call.outputs;
    }
    const gurn_status status = run(backward);
    if (status != GURN_SUCCESS) return fail("refused what is right", gurn_context_message(context));
    if (!call.guards_intact()) fail("wrote beside an array");
    if (backward) {
        for (const RealArray *a : {&call.out_x, &call.out_y, &call.out_mask, &call.out_log_p})
            check_written("an output", *a, false);
        check_backward(call, target, p, want);
    } else {
        for (const RealArray *a : {&call.grad_log_omega, &call.grad_tau}) check_written("a gradient", *a, false);
        check_forward(call, target, p, want);
    }
}

/* ----------------------------------------------------------------------------------------------------- plain draws --- */

/* The univariate law, right and wrong. */
void one_univariate(Random &r, gurn_context *context, const Target &target) {
    Univariate u;
    u.rows = r.integer(1, 20);
    const auto some = [&](int low, int high) {
        std::vector<int32_t> v(r.integer(0, 1) ? 1 : u.rows);
        for (int32_t &a : v) a = r.integer(low, high);
        return v;
    };
    u.m1 = some(0, 15);
    u.m2 = some(0, 15);
    u.n.resize(u.rows);
    for (int64_t b = 0; b < u.rows; b++) u.n[b] = r.integer(0, Univariate::at(u.m1, b) + Univariate::at(u.m2, b));
    if (r.integer(0, 4)) u.log_odds = r.uniforms(r.integer(0, 1) ? 1 : u.rows, -5, 5);
    if (r.integer(0, 2) == 0)
        for (double &v : u.log_odds) v = r.integer(0, 1) ? r.uniform(-800, 800) : r.integer(-1, 1) * 1e30;
    u.seed = r.word();
    u.offset = r.word();
    const int64_t bad = r.integer(0, static_cast<int>(u.rows) - 1);
    Spoiled how = Spoiled::no;
    if (r.integer(0, 3) == 0) {
        how = Spoiled::data;
        switch (r.integer(0, 3)) {
            case 0: u.n[bad] = Univariate::at(u.m1, bad) + Univariate::at(u.m2, bad) + r.integer(1, 9); break;
            case 1: u.n[bad] = -r.integer(1, 9); break;
            case 2: u.m1.assign(u.m1.size(), -1); break;
            default:
                if (u.log_odds.empty()) return;
                u.log_odds.back() = kNaN;
        }
    }
    UnivariateCall call(context, target, u);
    if (how == Spoiled::no && r.integer(0, 5) == 0) {
        how = Spoiled::refused;
        switch (r.integer(0, 5)) {
            case 0: call.in = nullptr; break;
            case 1: call.x = nullptr; break;
            case 2: call.inputs.size = r.integer(0, 7); break;
            case 3: call.inputs.rows = -1; break;
            case 4: call.inputs.n_stride = -1; break;
            default: call.inputs.noise.kind = GURN_NOISE_OFF; break;
        }
    }
    const gurn_status status = call.run();
    device_synchronize(target.device);
    if (how == Spoiled::refused || (how == Spoiled::data && target.device == GURN_DEVICE_CPU))
        return check_refusal(context, status, call.out.bytes().untouched());
    if (status != GURN_SUCCESS) return fail("univariate: refused what is right", gurn_context_message(context));
    const std::vector<int32_t> x = call.out.values();
    for (int64_t b = 0; how == Spoiled::no && b < u.rows; b++) {
        const int m1 = Univariate::at(u.m1, b), m2 = Univariate::at(u.m2, b), n = u.n[b];
        if (x[b] < std::max(0, n - m2) || x[b] > std::min(m1, n)) fail("univariate: outside the support");
    }
}

/* Plain draws of either chain, a third of them spoiled. */
void one_draw(Random &r, gurn_context *context, const Target &target) {
    Problem p = random_problem(r, kPlain);
    make_enough(r, p, p.log_omega);
    p.urn.chain = r.integer(0, 2) ? oracle::Chain::exact : oracle::Chain::merged;
    DrawCall call(context, target, p);
    if (testing::Test::HasFailure()) exit(1);
    std::unique_ptr<RealArray> replaced;
    Spoiled how = Spoiled::no;
    const bool enough = all_have_enough(p, p.log_omega);
    if (r.integer(0, 2) == 0) {
        bool so = true;
        how = Spoiled::refused;
        switch (r.integer(0, 9)) {
            case 0: call.plan = nullptr; break;
            case 1: call.in = nullptr; break;
            case 2: call.x = nullptr, so = p.rows > 0; break;
            case 3: call.inputs.size = r.integer(0, 7); break;
            case 4: call.inputs.rows = r.integer(0, 1) ? -1 : INT64_MAX; break;
            case 5: call.inputs.log_omega_stride = -r.integer(1, 9); break;
            case 6: call.inputs.n = p.n_max() + r.integer(1, 1000000), so = p.n_rows.empty(); break;
            case 7: call.workspace_bytes = 0, so = p.rows > 0 && call.needed > 0; break;
            case 8: call.inputs.noise.kind = r.integer(0, 1) ? GURN_NOISE_OFF : GURN_NOISE_GIVEN; break;
            default:
                how = Spoiled::data;
                replaced = spoiled(r, target, call.log_omega.values(), {kNaN, kInfinity});
                call.inputs.log_omega = replaced->data();
                so = p.rows > 0;
        }
        if (!so) return;
    }
    const gurn_status status = call.run();
    device_synchronize(target.device);
    if (how == Spoiled::no && !enough) how = Spoiled::data;
    if (how == Spoiled::refused || (how == Spoiled::data && target.device == GURN_DEVICE_CPU))
        return check_refusal(context, status, call.untouched());
    if (status != GURN_SUCCESS) return fail("refused what is right", gurn_context_message(context));
    if (!call.scratch->guards_intact()) fail("wrote beside the workspace");
    const std::vector<int32_t> counts = call.out.values();
    std::vector<bool> poisoned(p.rows, false);
    for (int64_t b = 0; b < p.rows; b++) {
        if (replaced) continue;
        poisoned[b] = !has_enough(p, p.log_omega, b);
        for (int c = 0; c < p.urn.classes(); c++)
            if ((counts[b * p.urn.classes() + c] == -1) != poisoned[b]) fail("a bad row is -1, and no other");
    }
    if (!replaced) check_counts(p, std::vector<double>(counts.begin(), counts.end()), poisoned);
}

/* --------------------------------------------------------------------------------------------------- the law itself --- */

enum LawFunction {
    kLogProb,
    kLogProbBackward,
    kMoments,
    kMomentsBackward,
    kKl,
    kKlBackward,
    kMode,
    kLawFunctions
};

/* Counts that may be drawn, or are not far from it, or are. */
std::vector<double> random_counts(Random &r, const Problem &p, std::vector<bool> *drawable) {
    std::vector<double> x;
    const int C = p.urn.classes();
    for (int64_t b = 0; b < p.rows; b++) {
        int left = p.n_of(b), rest = balls(p, p.log_omega, b);
        const int how = r.integer(0, 5);
        drawable->push_back(how > 1 && left <= rest);
        for (int c = 0; c < C; c++) {
            const int m = is_zero(p, p.log_omega, b, c) ? 0 : p.urn.m[c];
            rest -= m;
            const int least = std::max(0, left - rest), most = std::max(least, std::min(m, left));
            const int count = r.integer(least, most);
            left -= count;
            x.push_back(count);
            if (how == 0) x.back() += r.uniform(-0.7, 0.7);
            if (how == 1 && r.integer(0, C) == 0) {
                static const double far[] = {-1, -5, 1e9, 1e30, kInfinity, -kInfinity, -0.999999};
                x.back() = r.integer(0, 1) ? p.urn.m[c] + 1 : far[r.integer(0, 6)];
            }
        }
    }
    return x;
}

/* A call of one of them taken apart, valid when made. */
struct LawCall {
    LawCall(gurn_context *ctx, const Target &t, const Problem &p, LawFunction f, bool covariance,
            const std::vector<double> &other_log_omega, const std::vector<double> &counts)
        : context(ctx),
          function(f),
          own_plan(make_plan(ctx, p.urn, p.n_max(), t.dtype)),
          log_omega(t.device, t.dtype, p.log_omega),
          other_omega(t.device, t.dtype, other_log_omega),
          in_x(t.device, t.dtype, counts),
          up_row(t.device, t.dtype, std::vector<double>(size(p), 0.5)),
          up_mean(t.device, t.dtype, std::vector<double>(size(p) * p.urn.m.size(), 0.25)),
          up_square(t.device, t.dtype, std::vector<double>(size(p) * p.urn.m.size() * p.urn.m.size(), 0.125)),
          row(t.device, t.dtype, size(p)),
          mean(t.device, t.dtype, size(p) * p.urn.m.size()),
          square(t.device, t.dtype, size(p) * p.urn.m.size() * p.urn.m.size()),
          gradient(t.device, t.dtype, p.urn.m.size() * (p.shared() ? 1 : size(p))),
          other_gradient(t.device, t.dtype, other_log_omega.size()),
          x_gradient(t.device, t.dtype, size(p) * p.urn.m.size()),
          counts_out(t.device, size(p) * p.urn.m.size()),
          n_rows(t.device, p.n_rows) {
        const int64_t C = p.urn.classes();
        inputs.rows = p.rows;
        inputs.log_omega = log_omega.data();
        inputs.log_omega_stride = p.shared() ? 0 : C;
        inputs.n = p.n;
        inputs.n_rows = n_rows.data();
        inputs.order = p.call_order.empty() ? nullptr : p.call_order.data();
        /* What these do not read: */
        inputs.tau = kNaN;
        inputs.noise.kind = GURN_NOISE_GIVEN;
        other_stride = other_log_omega.size() == p.urn.m.size() ? 0 : C;
        moments = {sizeof moments, row.data(), mean.data(), covariance ? square.data() : nullptr};
        up_moments = {sizeof up_moments, up_row.data(), up_mean.data(), covariance ? up_square.data() : nullptr};
        plan = own_plan.get();
        in = &inputs;
        x = in_x.data();
        other = other_omega.data();
        static const gurn_law laws[] = {GURN_LAW_LOG_PROB, GURN_LAW_LOG_PROB, GURN_LAW_MOMENTS, GURN_LAW_MOMENTS,
                                        GURN_LAW_KL,       GURN_LAW_KL,       GURN_LAW_MODE};
        gurn_law law = laws[f];
        if (law == GURN_LAW_MOMENTS && covariance) law = GURN_LAW_COVARIANCE;
        if (gurn_mvhg_law_workspace(ctx, plan, in, law, &needed) != GURN_SUCCESS)
            fail("law_workspace refused", gurn_context_message(ctx));
        workspace_bytes = needed;
        scratch.reset(new DeviceBytes(t.device, std::max<size_t>(needed, 256)));
        workspace = scratch->data();
    }
    static size_t size(const Problem &p) { return static_cast<size_t>(p.rows); }

    gurn_status run() {
        switch (function) {
            case kLogProb: return gurn_mvhg_log_prob(context, plan, in, x, out(row), workspace, workspace_bytes);
            case kLogProbBackward:
                return gurn_mvhg_log_prob_backward(context, plan, in, x, up_row.data(), out(gradient), out(x_gradient),
                                                   workspace, workspace_bytes);
            case kMoments: return gurn_mvhg_moments_forward(context, plan, in, &moments, workspace, workspace_bytes);
            case kMomentsBackward:
                return gurn_mvhg_moments_backward(context, plan, in, &up_moments, out(gradient), workspace,
                                                  workspace_bytes);
            case kKl: return gurn_mvhg_kl(context, plan, in, other, other_stride, out(row), workspace, workspace_bytes);
            case kKlBackward:
                return gurn_mvhg_kl_backward(context, plan, in, other, other_stride, up_row.data(), out(gradient),
                                             out(other_gradient), workspace, workspace_bytes);
            default:
                return gurn_mvhg_mode(context, plan, in, no_output ? nullptr : counts_out.data(), workspace,
                                      workspace_bytes);
        }
    }
    void *out(const RealArray &array) const { return no_output ? nullptr : array.data(); }
    std::vector<const DeviceBytes *> outputs() const {
        return {&row.bytes(),        &mean.bytes(),      &square.bytes(), &gradient.bytes(), &other_gradient.bytes(),
                &x_gradient.bytes(), &counts_out.bytes()};
    }
    bool untouched() const {
        for (const DeviceBytes *bytes : outputs())
            if (!bytes->untouched()) return false;
        return scratch->untouched() && guards_intact();
    }
    bool guards_intact() const {
        for (const DeviceBytes *bytes : outputs())
            if (!bytes->guards_intact()) return false;
        return scratch->guards_intact();
    }

    gurn_context *context;
    LawFunction function;
    const gurn_plan *plan;
    const gurn_mvhg_inputs *in;
    const void *x, *other;
    int64_t other_stride = 0;
    void *workspace;
    size_t workspace_bytes = 0, needed = 0;
    bool no_output = false;
    gurn_mvhg_inputs inputs = GURN_MVHG_INPUTS_INIT;
    gurn_mvhg_moments moments = GURN_MVHG_MOMENTS_INIT, up_moments = GURN_MVHG_MOMENTS_INIT;

    Plan own_plan;
    RealArray log_omega, other_omega, in_x, up_row, up_mean, up_square, row, mean, square, gradient, other_gradient,
        x_gradient;
    Counts counts_out;
    DeviceArray<int32_t> n_rows;
    std::unique_ptr<DeviceBytes> scratch;
};

/* Spoils an argument of a call that has rows. */
Spoiled spoil_law(Random &r, LawCall &c, const Target &target, const Problem &p, std::unique_ptr<RealArray> *replaced) {
    static const int32_t bad_order[8] = {0, 0, -1, 7, INT32_MAX, INT32_MIN, 2, 2};
    const int C = p.urn.classes();
    const auto if_so = [](bool so) { return so ? Spoiled::refused : Spoiled::no; };
    const bool of_x = c.function == kLogProb || c.function == kLogProbBackward;
    const bool of_other = c.function == kKl || c.function == kKlBackward;
    switch (r.integer(0, 12)) {
        case 0: c.plan = nullptr; break;
        case 1: c.in = nullptr; break;
        case 2: c.inputs.size = r.integer(0, 7); break;
        case 3: c.inputs.rows = r.integer(0, 1) ? -1 : INT64_MAX; break;
        case 4: c.inputs.log_omega_stride = r.integer(0, 1) || C == 1 ? -r.integer(1, 9) : r.integer(1, C - 1); break;
        case 5: c.inputs.n = r.integer(0, 1) ? -1 : p.n_max() + 1; return if_so(p.n_rows.empty());
        case 6: c.inputs.order = bad_order; return if_so(C >= 2);
        case 7: c.inputs.log_omega = nullptr; break;
        case 8: c.workspace_bytes = 0; return if_so(c.needed > 0);
        case 9: c.workspace = static_cast<char *>(c.workspace) + r.integer(1, 63); return if_so(c.needed > 0);
        case 10: /* an array that has to be there */
            if (of_x) {
                c.x = nullptr;
            } else if (of_other) {
                c.other = nullptr;
            } else {
                c.no_output = true;
                return if_so(c.function == kMode || c.function == kMomentsBackward);
            }
            break;
        case 11:
            if (of_other && r.integer(0, 1)) {
                c.other_stride = -1;
                break;
            }
            if (!of_x && !of_other) return Spoiled::no;
            *replaced = of_x ? spoiled(r, target, c.in_x.values(), {kNaN})
                             : spoiled(r, target, c.other_omega.values(), {kNaN, kInfinity});
            (of_x ? c.x : c.other) = (*replaced)->data();
            return Spoiled::data;
        default:
            *replaced = spoiled(r, target, c.log_omega.values(), {kNaN, kInfinity});
            c.inputs.log_omega = (*replaced)->data();
            return Spoiled::data;
    }
    return Spoiled::refused;
}

void check_law(const LawCall &call, const Problem &p, const std::vector<double> &other,
               const std::vector<bool> &drawable) {
    const int C = p.urn.classes();
    const bool two = call.function == kKl || call.function == kKlBackward;
    std::vector<bool> nan(p.rows, false);
    Rows rows;
    bool any_poisoned = false;
    for (int64_t b = 0; b < p.rows; b++) {
        rows.poisoned.push_back(!has_enough(p, p.log_omega, b) || (two && !has_enough(p, other, b)));
        rows.may_be_nan.push_back(rows.poisoned[b]);
        any_poisoned = any_poisoned || rows.poisoned[b];
    }
    const auto finite = [](double v) { return std::isfinite(v); };
    const auto not_nan = [](double) { return true; };
    const auto check = [&](const char *name, const RealArray &array, const auto &ok) {
        check_rows(name, array.values(), p.rows, rows, &nan, ok);
    };
    /* A gradient to log omega, or to the other's; what may be NaN is NaN in its sum too. */
    const auto check_gradient = [&](const RealArray &array, bool shared, const Rows &of) {
        if (!shared) return check_rows("a gradient of the law", array.values(), p.rows, of, &nan, finite);
        Rows sum = {{any_poisoned}, {any_poisoned}};
        for (int64_t b = 0; b < p.rows; b++)
            if (of.may_be_nan[b]) sum.may_be_nan[0] = true;
        std::vector<bool> one(1, false);
        if (p.rows > 0) check_rows("a shared gradient of the law", array.values(), 1, sum, &one, finite);
    };
    switch (call.function) {
        case kLogProb: {
            check("log_prob", call.row, not_nan);
            const std::vector<double> v = call.row.values();
            for (int64_t b = 0; b < p.rows; b++)
                if (drawable[b] && !(v[b] <= 1e-6 && v[b] > -kInfinity))
                    fail("log_prob of counts that can be drawn:", std::to_string(v[b]));
            break;
        }
        case kLogProbBackward: { /* NaN where log_p is -infinity */
            Rows outside = rows;
            for (int64_t b = 0; b < p.rows; b++) outside.may_be_nan[b] = outside.may_be_nan[b] || !drawable[b];
            check_gradient(call.gradient, p.shared(), outside);
            check_rows("d_x", call.x_gradient.values(), p.rows, outside, &nan, not_nan);
            break;
        }
        case kMoments: {
            check("log_norm", call.row, finite);
            check("mean", call.mean, finite);
            if (call.moments.covariance) check("covariance", call.square, finite);
            const std::vector<double> v = call.mean.values();
            for (int64_t i = 0; i < p.rows * C; i++)
                if (!std::isnan(v[i]) && !(v[i] >= 0 && v[i] <= p.urn.m[i % C]))
                    fail("mean outside 0..m:", std::to_string(v[i]));
            break;
        }
        case kMomentsBackward: check_gradient(call.gradient, p.shared(), rows); break;
        case kKl: /* infinite where the other never draws a class that this one does */
            check("kl", call.row, [](double v) { return v >= 0 && (v < kInfinity || kLaw.zero); });
            break;
        case kKlBackward: {
            Rows infinite = rows;
            for (int64_t b = 0; b < p.rows; b++)
                for (int c = 0; c < C; c++)
                    if (is_zero(p, other, b, c) && !is_zero(p, p.log_omega, b, c)) infinite.may_be_nan[b] = true;
            check_gradient(call.gradient, p.shared(), infinite);
            check_gradient(call.other_gradient, call.other_stride == 0, infinite);
            break;
        }
        default: {
            const std::vector<int32_t> x = call.counts_out.values();
            for (int64_t i = 0; i < p.rows * C; i++)
                if ((x[i] == -1) != rows.poisoned[i / C]) fail("mode: a bad row is -1, and no other");
            check_counts(p, std::vector<double>(x.begin(), x.end()), rows.poisoned);
        }
    }
}

void one_law(Random &r, gurn_context *context, const Target &target) {
    Problem p = random_problem(r, kLaw);
    const auto function = static_cast<LawFunction>(r.integer(0, kLawFunctions - 1));
    const int C = p.urn.classes();
    std::vector<double> other;
    const int64_t others = p.rows == 0 || r.integer(0, 1) ? 1 : p.rows;
    for (int64_t b = 0; b < others; b++) {
        const std::vector<double> row = random_log_omega(r, C, kLaw);
        other.insert(other.end(), row.begin(), row.end());
    }
    make_enough(r, p, p.log_omega);
    make_enough(r, p, other);
    const bool two = function == kKl || function == kKlBackward;
    const bool enough = all_have_enough(p, p.log_omega) && (!two || all_have_enough(p, other));
    std::vector<bool> drawable;
    const std::vector<double> counts = random_counts(r, p, &drawable);
    LawCall call(context, target, p, function, r.integer(0, 1), other, counts);
    if (testing::Test::HasFailure()) exit(1);
    std::unique_ptr<RealArray> replaced;
    Spoiled how = Spoiled::no;
    if (r.integer(0, 2) == 0 && p.rows > 0) {
        how = spoil_law(r, call, target, p, &replaced);
        if (how == Spoiled::no) return;
    }
    const gurn_status status = call.run();
    device_synchronize(target.device);
    if (how == Spoiled::no && !enough) how = Spoiled::data;
    if (how == Spoiled::refused || (how == Spoiled::data && target.device == GURN_DEVICE_CPU))
        return check_refusal(context, status, call.untouched());
    if (status != GURN_SUCCESS) return fail("law: refused what is right", gurn_context_message(context));
    if (!call.guards_intact()) fail("law: wrote beside an array");
    if (!replaced) check_law(call, p, other, drawable);
}

/* ----------------------------------------------------------------------------------------------------------- plans --- */

/* Plans and contexts from random numbers, most of them wrong. */
void one_plan(Random &r, gurn_context *context) {
    std::vector<int32_t> m(8), order(8);
    for (int32_t &v : m) v = r.integer(0, 5) == 0 ? static_cast<int32_t>(r.word()) : r.integer(0, 20);
    const std::vector<int> permutation = r.permutation(8);
    for (int i = 0; i < 8; i++) order[i] = r.integer(0, 30) == 0 ? static_cast<int32_t>(r.word()) : permutation[i];
    for (int32_t &v : m)
        if (v > 100000) v = -v; /* tables of a gigabyte are not the matter here */
    struct {
        gurn_plan_options known;
        char unknown[64]; /* of a later version */
    } newer = {GURN_PLAN_OPTIONS_INIT, {0}};
    gurn_plan_options &options = newer.known;
    options.size = r.integer(0, 3) ? sizeof options : r.word() % sizeof newer;
    if (r.integer(0, 5) == 0) newer.unknown[r.integer(0, 63)] = 1;
    options.dtype = static_cast<gurn_dtype>(r.integer(0, 2));
    options.chain = static_cast<gurn_chain>(r.integer(0, 15) ? r.integer(0, 1) : r.integer(-1, 2));
    options.order = r.integer(0, 1) ? order.data() : nullptr;
    gurn_plan *plan = reinterpret_cast<gurn_plan *>(&m);
    const int32_t classes = r.integer(0, 3)   ? 8
                            : r.integer(0, 3) ? r.integer(0, 8)
                                              : -static_cast<int32_t>(r.word() >> 1);
    const gurn_status status = gurn_plan_create(context, classes, r.integer(0, 9) ? m.data() : nullptr,
                                                r.integer(0, 3) ? r.integer(0, 30) : static_cast<int32_t>(r.word()),
                                                r.integer(0, 5) ? &options : nullptr, &plan);
    if ((status == GURN_SUCCESS) != (plan != nullptr)) fail("plan and status disagree");
    if (status != GURN_SUCCESS && !*gurn_context_message(context)) fail("refused a plan without a message");
    if (plan && (gurn_plan_classes(plan) != classes || gurn_plan_offset(plan, classes) != gurn_plan_width(plan)))
        fail("plan has the wrong shape");
    gurn_plan_destroy(plan);
}

#ifdef GURN_TEST_EMULATED
constexpr bool kEmulated = true; /* every lane of a GPU is run by itself: only one call in 200 is to that device */
const char *const kCalls = "300000";
#else
constexpr bool kEmulated = false;
const char *const kCalls = "20000";
#endif

}  // namespace

int main(int argc, char **argv) {
    const char *environment = getenv("GURN_FUZZ_CALLS");
    const uint64_t calls = strtoull(argc > 1 ? argv[1] : environment ? environment : kCalls, nullptr, 0);
    const uint64_t seed = argc > 2 ? strtoull(argv[2], nullptr, 0) : 1;
    const uint64_t first = argc > 3 ? strtoull(argv[3], nullptr, 0) : 0;
    std::vector<Context> owners;
    std::vector<gurn_context *> contexts;
    std::vector<Target> targets;
    std::vector<Target> all = all_targets();
    const auto on_cpu = [](const Target &target) { return target.device == GURN_DEVICE_CPU; };
    std::stable_partition(all.begin(), all.end(), on_cpu);
    for (const Target &target : all) {
        gurn_status status;
        Context context =
            make_context(target, target.isa == GURN_ISA_PORTABLE && target.dtype == GURN_FLOAT64 ? 2 : 1, &status);
        if (status == GURN_UNSUPPORTED || status == GURN_NO_DEVICE) continue;
        if (!context) return fprintf(stderr, "no context: %s\n", gurn_status_string(status)), 1;
        contexts.push_back(context.get());
        owners.push_back(std::move(context));
        targets.push_back(target);
    }
    const int count = static_cast<int>(targets.size());
    const int cpu = static_cast<int>(std::count_if(targets.begin(), targets.end(), on_cpu)); /* they are first */
    if (kEmulated && cpu == count) return fprintf(stderr, "no emulated device\n"), 1;
    for (uint64_t i = first; i < first + calls; i++) {
        current_call = i;
        Random random(seed << 40 | i);
        const int which = !kEmulated               ? random.integer(0, count - 1)
                          : random.integer(0, 199) ? random.integer(0, cpu - 1)
                                                   : random.integer(cpu, count - 1);
        switch (random.integer(0, 9)) {
            case 0: one_plan(random, contexts[which]); break;
            case 1: one_draw(random, contexts[which], targets[which]); break;
            case 2: one_univariate(random, contexts[which], targets[which]); break;
            case 3:
            case 4: one_law(random, contexts[which], targets[which]); break;
            default: one_call(random, contexts[which], targets[which]);
        }
    }
    printf("%" PRIu64 " calls, %d failures\n", calls, failures);
    return failures != 0;
}
