#!/usr/bin/env bash
# Builds the CUDA kernels for all major architectures and counts their instructions (sass_report.py). Needs nvcc and no
# GPU.
#
# usage: bench/sass_report.sh [--record] [OPTION OF sass_report.py...]
#   --record   writes bench/results/DATE-sass.{json,txt}
# Exit status 77, with a line that says why, where nvcc or the disassemblers are missing.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v nvcc >/dev/null; then
    echo "SKIP: no nvcc on this machine"
    exit 77
fi
python=.venv/bin/python
[ -x $python ] || python=python3
out=()
if [ "${1-}" = --record ]; then
    shift
    mkdir -p bench/results
    name=bench/results/$(date -u +%Y-%m-%d)-sass
    out=(--json "$name.json" --text "$name.txt")
fi
log=build/cuda-all/sass_report.log
mkdir -p build/cuda-all
{ cmake --preset cuda-all && cmake --build --preset cuda-all -j "$(nproc)" --target gumbelurn_static; } >$log 2>&1 || {
    tail -n 50 $log
    exit 1
}
exec $python bench/sass_report.py build/cuda-all/libgumbelurn.a "${out[@]}" "$@"
