/* A call taken apart: every structure and array of gurn_mvhg_forward and gurn_mvhg_backward, for tests that spoil one of them. */
#ifndef GURN_TESTS_CALL_H
#define GURN_TESTS_CALL_H

#include "harness.h"

namespace gurn_test {

struct Call {
    /* Valid in every way when made; upstream and outputs are all set. Arrays are poisoned where the library writes. */
    Call(gurn_context *context, const Target &target, const Problem &problem);

    gurn_status forward() { return gurn_mvhg_forward(context, plan, in, out, workspace, workspace_bytes); }
    gurn_status backward() { return gurn_mvhg_backward(context, plan, in, x, up, grad, workspace, workspace_bytes); }

    bool untouched() const;     /* not one byte of any output or of the workspace was written */
    bool guards_intact() const; /* nor around them */

    /* What is passed. Point these elsewhere, or change what they point to. */
    gurn_context *context;
    const gurn_plan *plan;
    const gurn_mvhg_inputs *in;
    const gurn_mvhg_outputs *out;
    const void *x;
    const gurn_mvhg_upstream *up;
    const gurn_mvhg_gradients *grad;
    void *workspace;
    size_t workspace_bytes;

    gurn_mvhg_inputs inputs = GURN_MVHG_INPUTS_INIT;
    gurn_mvhg_outputs outputs = GURN_MVHG_OUTPUTS_INIT;
    gurn_mvhg_upstream upstream = GURN_MVHG_UPSTREAM_INIT;
    gurn_mvhg_gradients gradients = GURN_MVHG_GRADIENTS_INIT;

    /* What they point to at first. */
    Plan own_plan;
    RealArray log_omega, gumbel, out_x, out_y, out_mask, out_log_p, in_x, up_x, up_y, up_mask, up_log_p, grad_log_omega,
        grad_tau;
    DeviceArray<int32_t> n_rows;
    size_t forward_bytes = 0, backward_bytes = 0;
    std::unique_ptr<DeviceBytes> scratch;
    std::unique_ptr<RealArray> replaced; /* an array of the test's that the call then points to */
    gurn_dtype dtype;
};

}  // namespace gurn_test

#endif
