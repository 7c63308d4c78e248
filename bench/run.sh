#!/usr/bin/env bash
# Runs the benchmark of a build folder: a table to stdout, the same as JSON and CSV into the build folder's bench/.
#
# usage: bench/run.sh BUILD [OPTION OF bench_mvhg...]
#        bench/run.sh BUILD --record [OPTION...]   and into bench/results/DATE-MACHINE.{txt,json}
set -euo pipefail

build=${1:?usage: bench/run.sh BUILD [--record] [OPTION...]}
shift
here=$(cd "$(dirname "$0")" && pwd)
out=$build/bench/bench_mvhg
if [ "${1-}" = --record ]; then
    shift
    machine=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo 2>/dev/null | head -n 1)
    machine=${machine:-$(uname -m)}-$(nproc)-cores
    mkdir -p "$here/results"
    out=$here/results/$(date -u +%Y-%m-%d)-$(tr -cs 'A-Za-z0-9\n' - <<<"$machine")
fi
commit=$(git -C "$here" describe --always --dirty=+ 2>/dev/null || echo unknown)
"$build/bench/bench_mvhg" --commit "$commit" --json "$out.json" --csv "$build/bench/bench_mvhg.csv" "$@" | tee "$out.txt"
