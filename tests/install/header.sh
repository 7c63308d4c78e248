#!/usr/bin/env bash
# The public header compiles alone, pedantically, as every C and C++ that users have, and twice in one file. No include path
# but its own is given, so it can need no CUDA header.
#
# usage: header.sh INCLUDE_DIR CC CXX
set -euo pipefail
include=$1 cc=$2 cxx=$3
text='#include <gumbelurn.h>
#include <gumbelurn.h>
int use(void);
int use(void) {
    gurn_context_options a = GURN_CONTEXT_OPTIONS_INIT;
    gurn_plan_options b = GURN_PLAN_OPTIONS_INIT;
    gurn_mvhg_inputs c = GURN_MVHG_INPUTS_INIT;
    return (int)(a.size + b.size + c.size);
}'
for standard in c99 c11 c17; do
    "$cc" -std=$standard -Wall -Wextra -Wpedantic -Wstrict-prototypes -Werror -I"$include" -x c -fsyntax-only - <<<"$text"
done
for standard in c++11 c++17 c++20; do
    "$cxx" -std=$standard -Wall -Wextra -Wpedantic -Werror -I"$include" -x c++ -fsyntax-only - <<<"$text"
done
if grep -nE '#include' "$include/gumbelurn.h" | grep -vE '<(stddef|stdint)\.h>'; then
    echo "the header includes more than stddef.h and stdint.h" >&2
    exit 1
fi
