#!/usr/bin/env bash
# The shared library exports exactly the functions that the public header declares with GURN_API; the static one defines no
# global name without the prefix gurn_.
#
# usage: symbols.sh HEADER SHARED_LIBRARY STATIC_LIBRARY
set -euo pipefail
header=$1 shared=$2 static=$3

# A declaration may span lines: the name is what stands before the first parenthesis after GURN_API.
declared=$(tr '\n' ' ' <"$header" | sed 's|/\*[^*]*\*\+\([^/*][^*]*\*\+\)*/||g' | grep -oE 'GURN_API [^(;]*\(' |
    grep -oE 'gurn_[a-z0-9_]+\($' | tr -d '(' | sort -u)
exported=$(nm -D --defined-only "$shared" | awk '{print $NF}' | sed 's/@.*//' | sort -u)
if [ "$declared" != "$exported" ]; then
    echo "declared in the header (<) and exported by the shared library (>) differ:" >&2
    diff <(echo "$declared") <(echo "$exported") >&2
    exit 1
fi
# Weak and unique names are what C++ headers leave behind (u, V, W); linkers merge them.
foreign=$(nm --defined-only "$static" | awk 'NF == 3 && $2 ~ /^[A-TX-Z]$/ {print $3}' | grep -vE '^gurn_' | sort -u || true)
if [ -n "$foreign" ]; then
    echo "global names without the prefix in the static library:" >&2
    echo "$foreign" >&2
    exit 1
fi
echo "$(wc -w <<<"$exported") functions exported, all declared"
