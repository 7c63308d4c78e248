/*
 * Random calls of the whole API, right and wrong, on tiny urns: `gurn_fuzz_api [calls [seed]]`, or GURN_FUZZ_CALLS. Built with
 * AddressSanitizer and UndefinedBehaviorSanitizer it is the memory-safety test; without, arrays lie between guard zones. After
 * every call: the status is one that the header lists; a refusal has a message and wrote nothing; a success filled what was
 * asked for and nothing else, hard counts are whole and sum to n, and everything is finite.
 *
 * The same seed makes the same calls; a failure prints its call's number, and `gurn_fuzz_api 1 SEED NUMBER` repeats it alone.
 */
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

uint64_t current_call;
int failures;

void fail(const char *what, const std::string &detail = "") {
    fprintf(stderr, "call %" PRIu64 ": %s %s\n", current_call, what, detail.c_str());
    if (++failures > 20) exit(1);
}

const double kNaN = std::numeric_limits<double>::quiet_NaN(), kInfinity = std::numeric_limits<double>::infinity();

Problem random_problem(Random &r) {
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
    const double spread = r.integer(0, 4) == 0 ? 69 : r.uniform(0, 4);
    p.log_omega = r.uniforms(r.integer(0, 1) || p.rows == 0 ? C : p.rows * C, -spread, spread);
    p.tau = r.integer(0, 5) == 0 ? std::pow(10.0, r.uniform(-3, 3)) : r.uniform(0.1, 2);
    p.soft = r.integer(0, 2) == 0;
    p.noise = static_cast<gurn_noise_kind>(r.integer(0, 2));
    p.seed = static_cast<uint64_t>(r.word()) << 32 | r.word();
    p.offset = static_cast<uint64_t>(r.word()) << 32 | r.word();
    p.row0 = r.word();
    if (p.noise == GURN_NOISE_GIVEN) {
        p.gumbel.resize(p.rows * p.urn.width());
        for (double &g : p.gumbel) g = r.integer(0, 50) == 0 ? r.uniform(-1e4, 1e4) : r.gumbel();
        if (p.gumbel.empty()) p.noise = GURN_NOISE_OFF;
    }
    return p;
}

/* Spoils an argument in one of many ways; false when, for this call, that way changes nothing. */
bool spoil(Random &r, Call &c, const Problem &p, bool backward) {
    static const double bad_tau[] = {-1, -1e-300, kNaN, kInfinity, -kInfinity};
    static const int64_t bad_rows[] = {-1, INT64_MIN, INT64_MAX, INT64_MAX / 3};
    static const int32_t bad_order[8] = {0, 0, -1, 7, INT32_MAX, INT32_MIN, 2, 2};
    const int C = p.urn.classes();
    switch (r.integer(0, 15)) {
        case 0: c.plan = nullptr; return true;
        case 1: c.in = nullptr; return true;
        case 2: (backward ? (void *&)c.up : (void *&)c.out) = nullptr; return true;
        case 3: c.inputs.size = r.integer(0, 7); return true;
        case 4: c.inputs.rows = bad_rows[r.integer(0, 3)]; return true;
        case 5:
            c.inputs.log_omega_stride = r.integer(0, 1) || C == 1 ? -r.integer(1, 9) : r.integer(1, C - 1);
            return true;
        case 6:
            c.inputs.n = r.integer(0, 1) ? -r.integer(1, 1000000) : p.n_max() + r.integer(1, 1000000);
            return p.n_rows.empty();
        case 7: c.inputs.tau = bad_tau[r.integer(0, 4)]; return true;
        case 8: c.inputs.relaxation = static_cast<gurn_relaxation>(r.integer(2, 1000)); return true;
        case 9: c.inputs.noise.kind = static_cast<gurn_noise_kind>(r.integer(3, 1000)); return true;
        case 10: c.inputs.order = bad_order; return C >= 2;
        case 11: c.inputs.log_omega = nullptr; return p.rows > 0;
        case 12: c.workspace_bytes = 0; return p.rows > 0 && (backward ? c.backward_bytes : c.forward_bytes) > 0;
        case 13:
            c.workspace = static_cast<char *>(c.workspace) + r.integer(1, 63);
            return p.rows > 0 && (backward ? c.backward_bytes : c.forward_bytes) > 0;
        case 14: c.x = nullptr; return backward && p.rows > 0;
        default: {
            if (p.rows == 0) return false;
            /* NaN or +infinity in log omega, in a copy that the call then owns. */
            std::vector<double> spoiled = c.log_omega.values();
            spoiled[r.integer(0, static_cast<int>(spoiled.size()) - 1)] = bad_tau[r.integer(2, 3)];
            c.replaced.reset(new RealArray(GURN_DEVICE_CPU, c.dtype, spoiled));
            c.inputs.log_omega = c.replaced->data();
            return true;
        }
    }
}

void check_hard_x(const Problem &p, const std::vector<double> &x) {
    const int C = p.urn.classes();
    for (int64_t b = 0; b < p.rows; b++) {
        double total = 0;
        for (int c = 0; c < C; c++) {
            const double v = x[b * C + c];
            if (!(v >= 0 && v <= p.urn.m[c] && v == std::floor(v))) fail("x outside 0..m", std::to_string(v));
            total += v;
        }
        if (total != p.n_of(b)) fail("x does not sum to n", std::to_string(total));
    }
}

void check_finite(const char *name, const std::vector<double> &v) {
    for (double a : v)
        if (!std::isfinite(a)) {
            fail("not finite:", name);
            return;
        }
}

void check_output(const char *name, const RealArray &array, bool wanted) {
    if (!array.bytes().guards_intact()) fail("wrote beside", name);
    if (!wanted && !array.bytes().untouched()) fail("wrote what was not wanted:", name);
    if (wanted) check_finite(name, array.values());
}

void one_call(Random &r, gurn_context *const contexts[], const Target targets[], int count) {
    const int which = r.integer(0, count - 1);
    gurn_context *context = contexts[which];
    const Target &target = targets[which];
    const Problem p = random_problem(r);
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

    if (wrong && spoil(r, call, p, backward)) {
        const gurn_status status = backward ? call.backward() : call.forward();
        if (status == GURN_SUCCESS || status > GURN_CUDA_ERROR)
            fail("accepted what is wrong", gurn_status_string(status));
        if (!*gurn_context_message(context)) fail("refused without a message");
        if (!call.untouched()) fail("refused, and wrote");
        return;
    }
    if (wrong) return;
    RealArray drawn(target.device, target.dtype, static_cast<size_t>(p.rows * p.urn.classes()));
    if (backward && p.rows > 0) { /* x as forward gives it */
        const gurn_mvhg_outputs out = {sizeof out, drawn.data(), nullptr, nullptr, nullptr};
        call.out = &out;
        if (call.forward() != GURN_SUCCESS) return fail("forward refused", gurn_context_message(context));
        call.x = drawn.data();
        call.out = &call.outputs;
    }
    const gurn_status status = backward ? call.backward() : call.forward();
    if (status != GURN_SUCCESS) return fail("refused what is right", gurn_context_message(context));
    if (!call.guards_intact()) fail("wrote beside an array");
    check_output("x", call.out_x, !backward && (want & 1));
    check_output("y", call.out_y, !backward && (want & 2));
    check_output("mask", call.out_mask, !backward && (want & 4));
    check_output("log_p", call.out_log_p, !backward && (want & 8));
    check_output("gradient of log omega", call.grad_log_omega, backward && (want & 1));
    check_output("gradient of tau", call.grad_tau, backward && (want & 2));
    if (!backward && (want & 1) && !p.soft) check_hard_x(p, call.out_x.values());
}

/* Plain draws of either chain, a third of them spoiled. */
void one_draw(Random &r, gurn_context *context, const Target &target) {
    Problem p = random_problem(r);
    p.urn.chain = r.integer(0, 2) ? oracle::Chain::exact : oracle::Chain::merged;
    DrawCall call(context, target, p);
    if (testing::Test::HasFailure()) exit(1);
    const int C = p.urn.classes();
    std::unique_ptr<RealArray> spoiled;
    bool wrong = r.integer(0, 2) == 0;
    if (wrong) switch (r.integer(0, 8)) {
            case 0: call.plan = nullptr; break;
            case 1: call.in = nullptr; break;
            case 2: call.x = nullptr, wrong = p.rows > 0; break;
            case 3: call.inputs.size = r.integer(0, 7); break;
            case 4: call.inputs.rows = r.integer(0, 1) ? -1 : INT64_MAX; break;
            case 5: call.inputs.log_omega_stride = -r.integer(1, 9); break;
            case 6: call.inputs.n = p.n_max() + r.integer(1, 1000000), wrong = p.n_rows.empty(); break;
            case 7: call.workspace_bytes = 0, wrong = p.rows > 0; break;
            default: {
                std::vector<double> values = call.log_omega.values();
                values[r.integer(0, static_cast<int>(values.size()) - 1)] = r.integer(0, 1) ? kNaN : kInfinity;
                spoiled.reset(new RealArray(GURN_DEVICE_CPU, target.dtype, values));
                call.inputs.log_omega = spoiled->data();
                wrong = p.rows > 0;
            }
        }
    const gurn_status status = call.run();
    if (wrong) {
        if (status == GURN_SUCCESS || status > GURN_CUDA_ERROR)
            fail("accepted what is wrong", gurn_status_string(status));
        if (!*gurn_context_message(context)) fail("refused without a message");
        if (!call.untouched()) fail("refused, and wrote");
        return;
    }
    if (status != GURN_SUCCESS) return fail("refused what is right", gurn_context_message(context));
    if (!call.scratch->guards_intact()) fail("wrote beside the workspace");
    if (!call.x) return;
    const std::vector<int32_t> x = call.out.values();
    check_hard_x(p, std::vector<double>(x.begin(), x.end()));
    if (C == 2 && p.rows > 0) { /* and the univariate law of such an urn */
        Univariate u;
        u.rows = p.rows;
        u.m1 = {p.urn.m[0]};
        u.m2 = {p.urn.m[1]};
        u.n = p.n_rows.empty() ? std::vector<int32_t>{p.n} : p.n_rows;
        u.log_odds = {r.uniform(-800, 800)};
        if (r.integer(0, 3) == 0) u.n[r.integer(0, static_cast<int>(u.n.size()) - 1)] = p.urn.total() + 1, wrong = true;
        UnivariateCall one(context, target, u);
        if ((one.run() == GURN_SUCCESS) == wrong) fail("univariate: right and wrong", gurn_context_message(context));
        if (wrong && !one.out.bytes().untouched()) fail("univariate: refused, and wrote");
        for (int32_t k : wrong ? std::vector<int32_t>() : one.out.values())
            if (k < 0 || k > p.urn.m[0]) fail("univariate: outside the support");
    }
}

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

}  // namespace

int main(int argc, char **argv) {
    const char *environment = getenv("GURN_FUZZ_CALLS");
    const uint64_t calls = strtoull(argc > 1 ? argv[1] : environment ? environment : "20000", nullptr, 0);
    const uint64_t seed = argc > 2 ? strtoull(argv[2], nullptr, 0) : 1;
    const uint64_t first = argc > 3 ? strtoull(argv[3], nullptr, 0) : 0;
    std::vector<Context> owners;
    std::vector<gurn_context *> contexts;
    std::vector<Target> targets;
    for (const Target &target : all_targets()) {
        if (target.device != GURN_DEVICE_CPU) continue;
        gurn_status status;
        Context context =
            make_context(target, target.isa == GURN_ISA_PORTABLE && target.dtype == GURN_FLOAT64 ? 2 : 1, &status);
        if (status == GURN_UNSUPPORTED) continue;
        if (!context) return fprintf(stderr, "no context: %s\n", gurn_status_string(status)), 1;
        contexts.push_back(context.get());
        owners.push_back(std::move(context));
        targets.push_back(target);
    }
    for (uint64_t i = first; i < first + calls; i++) {
        current_call = i;
        Random random(seed << 40 | i);
        if (random.integer(0, 9) == 0)
            one_plan(random, contexts[0]);
        else if (const size_t which = i % contexts.size(); random.integer(0, 3) == 0)
            one_draw(random, contexts[which], targets[which]);
        else
            one_call(random, contexts.data(), targets.data(), static_cast<int>(contexts.size()));
    }
    printf("%" PRIu64 " calls, %d failures\n", calls, failures);
    return failures != 0;
}
