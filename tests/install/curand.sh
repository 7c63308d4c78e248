#!/usr/bin/env bash
# Where cmake/curand.cmake looks for cuRAND: in Python packages too; and that it can be told to do without.
#
# usage: tests/install/curand.sh SOURCE_FOLDER CMAKE
set -euo pipefail
source=$1 cmake=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# A copy, beside which there is no .venv, and no toolkit.
mkdir -p "$work/cmake"
cp "$source/cmake/curand.cmake" "$work/cmake/"
cat >"$work/say.cmake" <<'END'
include(${CMAKE_CURRENT_LIST_DIR}/cmake/curand.cmake)
message("found: '${GURN_CURAND_INCLUDE_DIR}'")
END
found() { # what curand.cmake finds where the Python packages are in $1; more options of CMake
    local packages=$1
    shift
    PYTHONPATH=$packages "$cmake" -DGURN_NVCC=/nowhere/bin/nvcc "$@" -P "$work/say.cmake" 2>&1 | sed -n "s/^found: '\(.*\)'$/\1/p"
}
expect() {
    if [ "$1" != "$2" ]; then
        echo "curand.sh: found '$1', expected '$2'" >&2
        exit 1
    fi
}

command -v python3 >/dev/null || {
    echo "SKIP: no python3"
    exit 77
}
for package in cu13 curand; do
    include=$work/with-$package/nvidia/$package/include
    mkdir -p "$include"
    touch "$include/curand_philox4x32_x.h"
    expect "$(found "$work/with-$package")" "$include"
done
expect "$(found "$work/with-curand" -DGURN_CURAND_INCLUDE_DIR=)" ""
expect "$(found "$work/with-curand" -DGURN_CURAND_INCLUDE_DIR=/given)" /given
echo "cuRAND is found in Python packages"
