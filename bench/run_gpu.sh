#!/usr/bin/env bash
# On a machine with a GPU, in one call of less than ten minutes: builds for that GPU, runs the tests on it, times it,
# and runs tests under the four tools of compute-sanitizer. Every part has its share of the time and what the parts
# before it have left of theirs, so one that fails or is slow costs no other.
#
# usage: bench/run_gpu.sh [--dry-run | --rehearse] [--build FOLDER] [--out FOLDER]
#   --dry-run    prints what would be run, and runs nothing
#   --rehearse   with the emulation of CUDA in the GPU's place and as little work as possible: tries out this script, not a GPU
#   --build      a build to use, or where to build (default build/run-gpu)
#   --out        where the results go (default bench/results)
# GURN_COMMIT is noted as the commit where git does not know it. Where the build takes too long, a second call goes on
# with it. Writes OUT/DATE-DEVICE.{json,txt}, after every part what is known by then; full logs are in BUILD/run_gpu/.
# Exit status: 0 all passed; 1 a part failed or was not over in its time; 2 wrong usage; 77 no GPU or no nvcc.
set -uo pipefail
from=$PWD
cd "$(dirname "$0")/.." || exit 1

build=build/run-gpu out=bench/results dry='' rehearse='' given=''
absolute() { case $1 in /*) echo "$1" ;; *) echo "$from/$1" ;; esac; }
while [ $# -gt 0 ]; do
    case $1 in
        --dry-run) dry=yes ;;
        --rehearse) rehearse=yes ;;
        --build) build=$(absolute "${2:?--build needs a folder}") given=yes && shift ;;
        --out) out=$(absolute "${2:?--out needs a folder}") && shift ;;
        *)
            sed -n '2,/^set/{s/^# \{0,1\}//;/^set/d;p}' "$0" >&2
            exit 2
            ;;
    esac
    shift
done

# ------------------------------------------------------------------------------------------------------ the machine ---

# smi FIELD: one field of the first GPU
smi() { nvidia-smi --query-gpu="$1" --format=csv,noheader --id=0 2>/dev/null | head -n 1; }

if [ -n "$rehearse" ]; then
    device=emulated driver=none capability=9.0 clock=none
elif [ -n "$dry" ]; then
    device=DEVICE driver=DRIVER capability=9.0 clock=CLOCK
else
    [ -d /usr/local/cuda/bin ] && PATH=$PATH:/usr/local/cuda/bin
    for tool in nvidia-smi nvcc cmake; do
        command -v $tool >/dev/null || {
            echo "SKIP: no $tool on this machine"
            exit 77
        }
    done
    device=$(smi name) driver=$(smi driver_version) capability=$(smi compute_cap) clock=$(smi clocks.max.sm)
    [ -n "$device" ] || {
        echo "SKIP: no GPU on this machine"
        exit 77
    }
    [[ $capability =~ ^[0-9]+\.[0-9]+$ ]] || capability=9.0 # a driver that does not know the field
fi
commit=$(git describe --always --dirty=+ 2>/dev/null || echo "${GURN_COMMIT:-unknown}")
nvcc=$(nvcc --version 2>/dev/null | sed -n 's/.*release [0-9.]*, V\([0-9.]*\).*/\1/p')
jobs=$(nproc)
date=$(date -u +%Y-%m-%dT%H:%M:%SZ)
name=$out/${date%T*}-$(tr -cs 'A-Za-z0-9\n' - <<<"$device")
logs=$build/run_gpu
export OMP_WAIT_POLICY=passive

# ------------------------------------------------------------------------------------------------------------ parts ---

parts=() failed=0 planned=0
text() { if [ -z "$dry" ]; then tee -a "$name.txt"; else cat; fi; }

# The results so far.
write_json() {
    local file benchmarks=()
    for file in "$logs"/bench-*.json; do
        [ -s "$file" ] && benchmarks+=("$(cat "$file")")
    done
    local IFS=,
    cat >"$name.json" <<END
{"device": "$device", "driver": "$driver", "compute_capability": "$capability", "max_sm_clock": "$clock", "nvcc": "$nvcc",
 "commit": "$commit", "date": "$date", "parts": [${parts[*]}],
 "benchmarks": [${benchmarks[*]}]}
END
}

# part NAME SECONDS LINES COMMAND...: runs it, its share being SECONDS, and keeps its output in a log, of which the last
# LINES are results too, or the last 400 where it did not pass. False when it did not.
part() {
    local what=$1 share=$2 lines=$3 begin=$SECONDS limit status verdict
    shift 3
    planned=$((planned + share)) limit=$((planned - SECONDS))
    [ "$limit" -ge 1 ] || limit=1 # the last part was slow to die; and 0 would be no limit
    if [ -n "$dry" ]; then
        printf '%4d s to %3d s  %-16s %s\n' "$share" "$planned" "$what" "$*"
        return 0
    fi
    timeout -k 5 "$limit" "$@" >"$logs/$what.log" 2>&1 </dev/null
    status=$?
    case $status in
        0) verdict=passed ;;
        77) verdict=skipped ;;
        124 | 137) verdict="not over after $limit s" failed=1 ;;
        *) verdict="failed with status $status" failed=1 ;;
    esac
    [ "$status" -eq 0 ] || lines=400
    parts+=("{\"name\": \"$what\", \"result\": \"$verdict\", \"seconds\": $((SECONDS - begin))}")
    {
        printf '\n=== %s: %s (%d s)\n' "$what" "$verdict" $((SECONDS - begin))
        tail -n "$lines" "$logs/$what.log"
    } | text
    write_json
    [ "$status" -eq 0 ]
}

if [ -z "$dry" ]; then
    mkdir -p "$out" "$logs" || exit 1
    rm -f "$logs"/* "$name.txt"
fi
echo "gumbelurn $commit on $device, driver $driver, compute capability $capability, highest clock $clock, nvcc ${nvcc:-none}, $date" | text

configure=(cmake -S . -B "$build" -DCMAKE_BUILD_TYPE=Release)
if [ -n "$rehearse" ]; then
    configure+=(-DGURN_CUDA=EMULATED)
    target=emulated tests="*Golden*/${target}_float32" rows=(1 20)
    cases=(S1)
else
    configure+=(-DGURN_CUDA=ON "-DCMAKE_CUDA_ARCHITECTURES=${capability/./}")
    target=cuda tests="*/${target}_*" rows=(1 1e3 1e5 1e6)
    cases=(S1 S2 S3)
    part setup 30 5 scripts/setup.sh test
fi
if command -v ninja >/dev/null; then configure+=(-G Ninja); else configure+=(-G "Unix Makefiles"); fi
if [ -z "$given" ] || [ ! -f "$build/CMakeCache.txt" ]; then
    part configure 30 20 "${configure[@]}" || part configure-bare 5 20 "${configure[@]}" -DGURN_BUILD_TESTS=OFF
fi
part build 120 20 cmake --build "$build" -j "$jobs" --target bench_mvhg gumbelurn_tool
part info 10 40 "$build/gumbelurn" info
part build-tests 80 20 cmake --build "$build" -j "$jobs" --target gurn_tests

part tests 80 10 "$build/tests/gurn_tests" "--gtest_filter=$tests"
# A test that finds no device skips itself: here that is no success.
part tests-ran 5 1 grep "PASSED  . [1-9]" "$logs/tests.log"

for case in "${cases[@]}"; do
    for count in "${rows[@]}"; do
        part "bench-$case-$count" 9 60 "$build/bench/bench_mvhg" --device cuda --case "$case" --rows "$count" --mode all \
            --seconds 0.1 --commit "$commit" --json "$logs/bench-$case-$count.json"
    done
done

# Few and small tests: the tools are slow.
if [ -z "$rehearse" ]; then
    for tool in memcheck racecheck initcheck synccheck; do
        part $tool 25 30 scripts/sanitize_gpu.sh --build "$build" --tool $tool "*Golden*/cuda_*:*Edges*/cuda_*"
    done
fi

[ -z "$dry" ] || exit 0
echo
echo "$name.txt, $name.json"
exit $failed
