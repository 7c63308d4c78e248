/* Names of statuses, and the version. */
#include "gumbelurn.h"

const char *gurn_status_string(gurn_status status) {
    switch (status) {
        case GURN_SUCCESS: return "success";
        case GURN_INVALID_ARGUMENT: return "invalid argument";
        case GURN_INVALID_CLASSES: return "invalid number of classes";
        case GURN_INVALID_M: return "invalid class size";
        case GURN_INVALID_N: return "invalid number of draws";
        case GURN_INVALID_LOG_OMEGA: return "invalid log importance";
        case GURN_INVALID_TAU: return "invalid temperature";
        case GURN_INVALID_ORDER: return "invalid class order";
        case GURN_INVALID_ROWS: return "invalid number of rows";
        case GURN_INVALID_NOISE: return "invalid noise";
        case GURN_INVALID_X: return "invalid count";
        case GURN_WORKSPACE_TOO_SMALL: return "workspace too small";
        case GURN_OUT_OF_MEMORY: return "out of memory";
        case GURN_UNSUPPORTED: return "not supported";
        case GURN_NO_DEVICE: return "no usable CUDA device or driver, or built without CUDA";
        case GURN_CUDA_ERROR: return "CUDA error";
    }
    return "unknown status";
}

const char *gurn_version(void) { return GURN_VERSION_STRING; }
