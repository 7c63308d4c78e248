#include "call.h"

#include <algorithm>

namespace gurn_test {

static std::vector<double> valid_x(const Problem &p) {
    std::vector<double> x;
    for (int64_t b = 0; b < p.rows; b++) {
        int left = p.n_of(b);
        for (int m : p.urn.m) {
            x.push_back(std::min(m, left));
            left -= std::min(m, left);
        }
    }
    return x;
}

Call::Call(gurn_context *ctx, const Target &t, const Problem &p)
    : context(ctx),
      own_plan(make_plan(ctx, p.urn, p.n_max(), t.dtype)),
      log_omega(t.device, t.dtype, p.log_omega),
      gumbel(t.device, t.dtype, p.gumbel),
      out_x(t.device, t.dtype, static_cast<size_t>(p.rows * p.urn.classes())),
      out_y(t.device, t.dtype, static_cast<size_t>(p.rows * p.urn.width())),
      out_mask(t.device, t.dtype, static_cast<size_t>(p.rows * p.urn.width())),
      out_log_p(t.device, t.dtype, static_cast<size_t>(p.rows)),
      in_x(t.device, t.dtype, valid_x(p)),
      up_x(t.device, t.dtype, std::vector<double>(static_cast<size_t>(p.rows * p.urn.classes()), 0.5)),
      up_y(t.device, t.dtype, std::vector<double>(static_cast<size_t>(p.rows * p.urn.width()), 0.25)),
      up_mask(t.device, t.dtype, std::vector<double>(static_cast<size_t>(p.rows * p.urn.width()), 0.125)),
      up_log_p(t.device, t.dtype, std::vector<double>(static_cast<size_t>(p.rows), 1.0)),
      grad_log_omega(t.device, t.dtype, static_cast<size_t>(p.shared() ? p.urn.classes() : p.rows * p.urn.classes())),
      grad_tau(t.device, t.dtype, static_cast<size_t>(p.rows)),
      n_rows(t.device, p.n_rows),
      dtype(t.dtype) {
    inputs.rows = p.rows;
    inputs.log_omega = log_omega.data();
    inputs.log_omega_stride = p.shared() ? 0 : p.urn.classes();
    inputs.n = p.n;
    inputs.n_rows = n_rows.data();
    inputs.tau = p.tau;
    inputs.relaxation = p.soft ? GURN_SOFT : GURN_HARD;
    inputs.noise.kind = p.noise;
    inputs.noise.seed = p.seed;
    inputs.noise.offset = p.offset;
    inputs.noise.row0 = p.row0;
    inputs.noise.gumbel = gumbel.data();
    inputs.order = p.call_order.empty() ? nullptr : p.call_order.data();
    outputs = {sizeof outputs, out_x.data(), out_y.data(), out_mask.data(), out_log_p.data()};
    upstream = {sizeof upstream, up_x.data(), up_y.data(), up_mask.data(), up_log_p.data()};
    gradients = {sizeof gradients, grad_log_omega.data(), grad_tau.data()};
    EXPECT_EQ(gurn_mvhg_workspace(ctx, own_plan.get(), &inputs, &forward_bytes, &backward_bytes), GURN_SUCCESS);
    workspace_bytes = std::max(forward_bytes, backward_bytes);
    scratch.reset(new DeviceBytes(t.device, std::max<size_t>(workspace_bytes, 256)));
    workspace = scratch->data();
    plan = own_plan.get();
    in = &inputs;
    out = &outputs;
    x = in_x.data();
    up = &upstream;
    grad = &gradients;
}

bool Call::untouched() const {
    for (const RealArray *a : {&out_x, &out_y, &out_mask, &out_log_p, &grad_log_omega, &grad_tau})
        if (!a->bytes().untouched()) return false;
    return scratch->untouched() && guards_intact();
}

bool Call::guards_intact() const {
    for (const RealArray *a : {&out_x, &out_y, &out_mask, &out_log_p, &grad_log_omega, &grad_tau})
        if (!a->bytes().guards_intact()) return false;
    return scratch->guards_intact();
}

}  // namespace gurn_test
