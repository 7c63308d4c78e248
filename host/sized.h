/* Reading structures that begin with their size, whichever version of the header their caller was compiled with. */
#ifndef GURN_HOST_SIZED_H
#define GURN_HOST_SIZED_H

#include "host/internal.h"

/*
 * Copies the caller's structure `from` into *to, this version's structure of to_size bytes; what a shorter, older structure
 * lacks becomes zero, its default. to's size becomes to_size. A longer, newer one is accepted when all that this version does
 * not know is zero. `name` is the argument's, for the message.
 * Returns GURN_SUCCESS, or GURN_INVALID_ARGUMENT when from is NULL or its size cannot be that of any version.
 */
gurn_status gurn_copy_sized(gurn_context *context, const char *name, void *to, size_t to_size, const void *from);

#endif
