/*
 * The single lanes (lanes_ops.h), and what the lanes of a warp do together (kernels/warp.cuh), as a GPU or its emulation
 * computes them. In a build with CUDA only.
 */
#ifndef GURN_TESTS_DEVICE_LANES_H
#define GURN_TESTS_DEVICE_LANES_H

#include <cstddef>
#include <cstdint>
#include <vector>

namespace gurn_test {

/* One of LANES_OPS on the device, over host arrays of `count` elements; element sizes follow from its kinds of lanes. */
struct DeviceOp {
    const char *name;
    int inputs;
    size_t in_size[5], out_size;
    void (*run)(const void *const *in, void *out, int64_t count); /* throws on an error of CUDA */
};
const std::vector<DeviceOp> &device_ops();

/* What each thread of a block got from the functions of warp.cuh, the second time that the block called them. */
struct WarpResult {
    int64_t from, sum, least, before, total, pair, any, any_none;
    double real_sum, real_least, argmin_value;
    int32_t argmin;
};
struct WarpInput {
    int64_t value;  /* of the thread: summed, compared, exchanged */
    double real;    /* summed, compared */
    int32_t holds;  /* predicate of gurn_group_any */
    int32_t source; /* lane that gurn_tile_from takes, the same for the whole tile; tiles of up to 32 lanes only */
};
/* lanes: 2 to 32, a block of any size; or 64, 128, 256, a block of as many. One input and result a thread. */
std::vector<WarpResult> run_warp(int lanes, const std::vector<WarpInput> &input);

}  // namespace gurn_test

#endif
