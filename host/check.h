/* Judging the arguments that several calls share (mvhg.c). Each returns a status and, on failure, has put its message in the context. */
#ifndef GURN_HOST_CHECK_H
#define GURN_HOST_CHECK_H

#include "host/internal.h"

/* Neither is NULL, and both are of the same device. */
gurn_status gurn_check_plan(gurn_context *context, const gurn_plan *plan);

/* And the plan has the tables that drawing needs. */
gurn_status gurn_check_drawing_plan(gurn_context *context, const gurn_plan *plan);

/* Whether an array [rows][width] of the plan's reals can exist: its size in bytes is at most PTRDIFF_MAX. width >= 0. */
int gurn_array_fits(const gurn_plan *plan, int64_t rows, int64_t width);

/* Rows, stride and enumerators: what sizes depend on. */
gurn_status gurn_check_shape(gurn_context *context, const gurn_plan *plan, const gurn_mvhg_inputs *in);

/* The n that all rows share, where they do. */
gurn_status gurn_check_n(gurn_context *context, const gurn_plan *plan, const gurn_mvhg_inputs *in);

/* The noise of the rows does not pass 2^64, where it would be that of other rows. */
gurn_status gurn_check_noise_range(gurn_context *context, const gurn_noise *noise, int64_t rows);

/*
 * Copies and judges the inputs of a call that is to run, and fills in the defaults. may_be_equal: log_omega may be NULL, which
 * means that all omega are equal.
 */
gurn_status gurn_take_inputs(gurn_context *context, const gurn_plan *plan, const gurn_mvhg_inputs *inputs,
                             int may_be_equal, gurn_mvhg_inputs *in);

/* Size and alignment of the caller's workspace. */
gurn_status gurn_check_workspace(gurn_context *context, size_t needed, const void *workspace, size_t workspace_bytes);

#endif
