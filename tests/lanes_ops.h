/*
 * The functions of the _lanes.h of kernels/, and of its lanes.h, that decide something, as a list: LANES_n(name, result, arguments...), n
 * arguments, kinds of lanes as in lanes.h. What includes this defines the LANES_n; the list is for single lanes (s_), for
 * vectors (v_) and for the lanes of a GPU alike.
 */
#ifndef GURN_TESTS_LANES_OPS_H
#define GURN_TESTS_LANES_OPS_H

#define LANES_OPS                                      \
    LANES_1(to_f32, f32, i32)                          \
    LANES_1(truncate32, i32, f32)                      \
    LANES_1(to_f64, f64, i64)                          \
    LANES_1(sign32, i32, i32)                          \
    LANES_1(sign64, i64, i64)                          \
    LANES_1(bits32, u32, f32)                          \
    LANES_1(from_bits32, f32, u32)                     \
    LANES_1(bits64, u64, f64)                          \
    LANES_1(from_bits64, f64, u64)                     \
    LANES_1(one_if_negative32, f32, f32)               \
    LANES_1(sqrt64, f64, f64)                          \
    LANES_2(min32, f32, f32, f32)                      \
    LANES_2(div64, f64, f64, f64)                      \
    LANES_3(fma32, f32, f32, f32, f32)                 \
    LANES_3(fma64, f64, f64, f64, f64)                 \
    LANES_4(if_less64, f64, f64, f64, f64, f64)        \
    LANES_1(exponential32, f32, u32)                   \
    LANES_1(exponential64, f64, u64)                   \
    LANES_1(exp2_fixed, f32, i32)                      \
    LANES_1(log2_fixed, i32, f32)                      \
    LANES_1(log2_64, f64, f64)                         \
    LANES_1(exp2_64, f64, f64)                         \
    LANES_2(log2_add, f64, f64, f64)                   \
    LANES_4(mode_root, f64, f64, f64, f64, f64)        \
    LANES_1(plain_uniform, f64, u64)                   \
    LANES_4(plain_mode, f64, f64, f64, f64, f64)       \
    LANES_5(plain_count, f64, f64, f64, f64, f64, f64) \
    LANES_3(suffix_reach, f64, f64, f64, f64)          \
    LANES_1(suffix_remainder, f32, f32)                \
    LANES_3(suffix_slope, f32, f32, f32, f32)

#endif
