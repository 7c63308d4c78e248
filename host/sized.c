#include "host/sized.h"

#include <string.h>

/* No version of any structure comes near this: a larger size is an uninitialised one, and its tail is not ours to read. */
#define GURN_LARGEST_STRUCTURE 4096

gurn_status gurn_copy_sized(gurn_context *context, const char *name, void *to, size_t to_size, const void *from) {
    size_t size;
    if (!from) return gurn_fail(context, GURN_INVALID_ARGUMENT, "%s is NULL", name);
    memcpy(&size, from, sizeof size);
    /* Every structure holds a size_t, so every version's size is a multiple of one: any other would cut a member in two. */
    if (size < sizeof size || size % sizeof size != 0 || size > GURN_LARGEST_STRUCTURE)
        return gurn_fail(context, GURN_INVALID_ARGUMENT,
                         "%s->size is %zu, which no version of the structure has (now %zu)", name, size, to_size);
    for (size_t i = to_size; i < size; i++)
        if (((const unsigned char *)from)[i] != 0)
            return gurn_fail(
                context, GURN_INVALID_ARGUMENT,
                "%s->size is %zu: it sets members that this version (structure of %zu bytes) does not know", name, size,
                to_size);
    memset(to, 0, to_size);
    memcpy(to, from, size < to_size ? size : to_size);
    memcpy(to, &to_size, sizeof to_size);
    return GURN_SUCCESS;
}
