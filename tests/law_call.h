/*
 * Calls of the functions about the law itself (gurn_mvhg_log_prob, _moments, _kl, _mode), with plain vectors in and
 * out.
 */
#ifndef GURN_TESTS_LAW_CALL_H
#define GURN_TESTS_LAW_CALL_H

#include "harness.h"

namespace gurn_test {

class Law {
public:
    /*
     * Of the problem: urn (chain, order), rows, log_omega, n, n_rows, call_order. extra_n: n_max of the plan is at
     * least that.
     */
    Law(gurn_context *context, const Target &target, const Problem &p, int extra_n = 0,
        gurn_plan_use use = GURN_PLAN_FULL)
        : context_(context),
          target_(target),
          rows_(static_cast<size_t>(p.rows)),
          classes_(p.urn.m.size()),
          shared_(p.shared()),
          plan_(make_plan(context, p.urn, std::max(p.n_max(), extra_n), target.dtype, use)),
          log_omega_(target.device, target.dtype, p.log_omega),
          n_rows_(target.device, p.n_rows),
          order_(p.call_order) {
        in.rows = p.rows;
        in.log_omega = log_omega_.data();
        in.log_omega_stride = shared_ ? 0 : static_cast<int64_t>(classes_);
        in.n = p.n;
        in.n_rows = n_rows_.data();
        in.order = order_.empty() ? nullptr : order_.data();
    }

    gurn_mvhg_inputs in = GURN_MVHG_INPUTS_INIT;
    const gurn_plan *plan() const { return plan_.get(); }

    std::vector<double> log_prob(const std::vector<double> &x) {
        const RealArray counts = real(x), out = real(rows_);
        with(GURN_LAW_LOG_PROB, [&](void *w, size_t bytes) {
            return gurn_mvhg_log_prob(context_, plan(), &in, counts.data(), out.data(), w, bytes);
        });
        return take(out);
    }

    struct LogProbGradient {
        std::vector<double> log_omega, x;
    };
    LogProbGradient log_prob_backward(const std::vector<double> &x, const std::vector<double> &upstream) {
        const RealArray counts = real(x), up = real(upstream), g = real(gradient_size(shared_)),
                        gx = real(rows_ * classes_);
        with(GURN_LAW_LOG_PROB, [&](void *w, size_t bytes) {
            return gurn_mvhg_log_prob_backward(context_, plan(), &in, counts.data(), up.data(), g.data(), gx.data(), w,
                                               bytes);
        });
        return {take(g), take(gx)};
    }

    struct Moments {
        std::vector<double> log_norm, mean, covariance;
    };
    Moments moments(bool covariance = true) {
        const RealArray norm = real(rows_), mean = real(rows_ * classes_),
                        cov(target_.device, target_.dtype, rows_ * classes_ * classes_, covariance);
        gurn_mvhg_moments out = GURN_MVHG_MOMENTS_INIT;
        out.log_norm = norm.data();
        out.mean = mean.data();
        out.covariance = cov.data();
        with(covariance ? GURN_LAW_COVARIANCE : GURN_LAW_MOMENTS,
             [&](void *w, size_t bytes) { return gurn_mvhg_moments_forward(context_, plan(), &in, &out, w, bytes); });
        return {take(norm), take(mean), covariance ? take(cov) : std::vector<double>()};
    }

    std::vector<double> moments_backward(const Moments &upstream) {
        const RealArray norm = real(upstream.log_norm), mean = real(upstream.mean), cov = real(upstream.covariance),
                        g = real(gradient_size(shared_));
        gurn_mvhg_moments up = GURN_MVHG_MOMENTS_INIT;
        up.log_norm = norm.data();
        up.mean = mean.data();
        up.covariance = cov.data();
        with(cov.data() ? GURN_LAW_COVARIANCE : GURN_LAW_MOMENTS, [&](void *w, size_t bytes) {
            return gurn_mvhg_moments_backward(context_, plan(), &in, &up, g.data(), w, bytes);
        });
        return take(g);
    }

    std::vector<double> kl(const std::vector<double> &other) {
        const RealArray omega = real(other), out = real(rows_);
        with(GURN_LAW_KL, [&](void *w, size_t bytes) {
            return gurn_mvhg_kl(context_, plan(), &in, omega.data(), stride(other), out.data(), w, bytes);
        });
        return take(out);
    }

    struct KlGradient {
        std::vector<double> log_omega, other;
    };
    KlGradient kl_backward(const std::vector<double> &other, const std::vector<double> &upstream) {
        const RealArray omega = real(other), up = real(upstream), g = real(gradient_size(shared_)),
                        g_other = real(gradient_size(stride(other) == 0));
        with(GURN_LAW_KL, [&](void *w, size_t bytes) {
            return gurn_mvhg_kl_backward(context_, plan(), &in, omega.data(), stride(other), up.data(), g.data(),
                                         g_other.data(), w, bytes);
        });
        return {take(g), take(g_other)};
    }

    std::vector<int32_t> mode() {
        const DeviceBytes out(target_.device, rows_ * classes_ * sizeof(int32_t));
        with(GURN_LAW_MODE, [&](void *w, size_t bytes) {
            return gurn_mvhg_mode(context_, plan(), &in, static_cast<int32_t *>(out.data()), w, bytes);
        });
        EXPECT_TRUE(out.guards_intact());
        std::vector<int32_t> x(rows_ * classes_);
        memcpy(x.data(), out.download().data(), x.size() * sizeof(int32_t));
        return x;
    }

private:
    RealArray real(const std::vector<double> &values) const { return RealArray(target_.device, target_.dtype, values); }
    RealArray real(size_t count) const { return RealArray(target_.device, target_.dtype, count); }
    size_t gradient_size(bool shared) const { return shared ? classes_ : rows_ * classes_; }
    int64_t stride(const std::vector<double> &other) const {
        return other.size() == classes_ ? 0 : static_cast<int64_t>(classes_);
    }
    std::vector<double> take(const RealArray &out) const {
        EXPECT_TRUE(out.bytes().guards_intact());
        return out.values();
    }
    template <class Run>
    void with(gurn_law law, const Run &run) {
        size_t bytes = 0;
        ASSERT_EQ(gurn_mvhg_law_workspace(context_, plan(), &in, law, &bytes), GURN_SUCCESS)
            << gurn_context_message(context_);
        const DeviceBytes workspace(target_.device, bytes);
        ASSERT_EQ(run(bytes ? workspace.data() : nullptr, bytes), GURN_SUCCESS) << gurn_context_message(context_);
        device_synchronize(target_.device);
        EXPECT_TRUE(workspace.guards_intact());
    }

    gurn_context *context_;
    Target target_;
    size_t rows_, classes_;
    bool shared_;
    Plan plan_;
    RealArray log_omega_;
    DeviceArray<int32_t> n_rows_;
    std::vector<int32_t> order_;
};

}  // namespace gurn_test

#endif
