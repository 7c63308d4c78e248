/*
 * logmath_lanes.h for single lanes: s_exponential32, s_exp2_fixed, s_log2_64, s_exp2_64, ... in C and in CUDA device
 * code.
 */
#ifndef GURN_LOGMATH_H
#define GURN_LOGMATH_H

#include "lanes.h"

#define GURN_L(name) s_##name
#include "logmath_lanes.h"
#undef GURN_L

#endif
