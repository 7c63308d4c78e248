#!/usr/bin/env bash
# Tests, sanitises and times gumbelurn on the GPU of this machine. It needs bash, coreutils and a driver. scripts/gpu/bundle.sh
# packed it beside the programs that it runs.
#
# usage: go.sh [PART...] [--out FOLDER]
#   quick      20 s: what devices are here, golden and captured draws
#   tests      200 s: every test on the device, each in a process of its own, random calls, the API from C
#   sanitize   95 s: tests and the benchmark under the tools of compute-sanitizer, side by side
#   bench      290 s: times, and the counters of ncu
#   all        all of them, the default
#   --out      where results go (default results/DATE-DEVICE here): summary.txt, summary.json, a log of everything that ran.
#              Both summaries are whole after every result: whatever ends this script early, they are not lost.
# A part that is over its time stops; what it did not get to is "not run", which is no failure and no pass. Clocks, power and
# compute mode of the device are left as they are.
#
# Environment: GURN_TEST_SCALE, a number that tests multiply their numbers of rows by (0.1: faster, and finds less);
# GURN_FUZZ_CALLS, random calls (20000); GURN_GO_ONLY, a pattern of bash that the names of tests must match; GURN_GO_ROWS, rows
# of bench (1 1e3 1e5 1e6); GURN_GO_LIMIT, seconds of a test (110); GURN_GO_TIME, seconds of each part.
# Exit status: 0 all that ran passed; 1 something failed or was over its time; 2 wrong usage; 77 no GPU, or nothing could run.
set -uo pipefail
from=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")" || exit 1

usage() {
    echo "usage: go.sh [quick|tests|sanitize|bench|all]... [--out FOLDER]" >&2
    exit 2
}
out='' parts=()
while [ $# -gt 0 ]; do
    case $1 in
        quick | tests | sanitize | bench) parts+=("$1") ;;
        all) parts+=(quick tests sanitize bench) ;;
        --out)
            [ -n "${2-}" ] || usage
            case $2 in /*) out=$2 ;; *) out=$from/$2 ;; esac
            shift
            ;;
        *) usage ;;
    esac
    shift
done
[ ${#parts[@]} -gt 0 ] || parts=(quick tests sanitize bench)

# ------------------------------------------------------------------------------------------------------- the machine ---

declare -A bundle=() count=() running=() begun=() granted=()
while IFS='=' read -r key value; do bundle[$key]=$value; done <bundle.txt
target=${bundle[target]} # of the tests: cuda, or emulated in a bundle for rehearsals
PATH=$PATH:${GURN_CUDA_BIN:-/usr/local/cuda/bin}
export LC_ALL=C OMP_NUM_THREADS=2 OMP_WAIT_POLICY=passive

have() { command -v "$1" >/dev/null; }
smi() { timeout 20 nvidia-smi --query-gpu="$1" --format=csv,noheader --id=0 2>/dev/null | head -n 1; }

if ! info=$(timeout -k 2 60 bin/gumbelurn info 2>&1); then
    echo "go.sh: gumbelurn info fails, or takes a minute: $info" >&2
    exit 1
fi
if ! [[ $info =~ 'device 0: '([^$'\n']*)', sm_'([0-9]+)([0-9]) ]]; then
    echo "SKIP: no GPU that this bundle (${bundle[architectures]}) can use. gumbelurn info says:"
    echo "$info"
    exit 77
fi
device=${BASH_REMATCH[1]} capability=${BASH_REMATCH[2]}.${BASH_REMATCH[3]} driver=unknown clock=unknown
if have nvidia-smi && [ -n "$(smi name)" ]; then
    device=$(smi name) driver=$(smi driver_version) capability=$(smi compute_cap) clock=$(smi clocks.max.sm)
fi
date=$(date -u +%Y-%m-%dT%H:%M:%SZ)
out=${out:-$PWD/results/${date//:/}-${device//[^A-Za-z0-9]/-}}
mkdir -p "$out" || exit 1

# ------------------------------------------------------------------------------------------------------- the summary ---

state=running details='' results='' bad=0 useful='' seen=()
text() { # a value as a JSON string
    local s=${1//\\/\\\\}
    s=${s//\"/\\\"} s=${s//$'\n'/\\n}
    printf '"%s"' "${s//[^ -~]/ }"
}
write() {
    local part kind key counts='' json=''
    for part in "${seen[@]}"; do
        printf -v counts '%s%-9s' "$counts" "$part"
        json+=${json:+,}$'\n'"  \"$part\": {"
        for kind in passed failed 'over its time' skipped 'not run'; do
            counts+=" ${count[$part,$kind]:-0} $kind,"
            json+="\"$kind\": ${count[$part,$kind]:-0}, "
        done
        counts=${counts%,}$'\n' json=${json%, }'}'
    done
    {
        echo "gumbelurn ${bundle[commit]} (${bundle[architectures]}; nvcc ${bundle[nvcc]}; ${bundle[built]})"
        echo "on $device, driver $driver, compute capability $capability, highest clock $clock"
        printf '%s: %s\n\n%s\n%s\n\n%s' "$date" "$state" "$counts" "$info" "$details"
    } >"$out/summary.txt.part"
    {
        printf '{"state": "%s", "date": "%s", "device": %s, "driver": %s' "$state" "$date" "$(text "$device")" "$(text "$driver")"
        printf ', "compute_capability": %s, "max_sm_clock": %s' "$(text "$capability")" "$(text "$clock")"
        for key in "${!bundle[@]}"; do printf ', "%s": %s' "$key" "$(text "${bundle[$key]}")"; done
        printf ',\n "parts": {%s},\n "results": [%s]}\n' "$json" "$results"
    } >"$out/summary.json.part"
    mv "$out/summary.txt.part" "$out/summary.txt" && mv "$out/summary.json.part" "$out/summary.json"
}
# record NAME RESULT [SECONDS REASON LOG]; the part is $part
record() {
    local tail='' line="$part: $1: $2${4:+: $4}"
    count[$part,$2]=$((${count[$part,$2]:-0} + 1))
    case $2 in
        failed | 'over its time')
            bad=1
            [ -z "${5-}" ] || tail=$(tail -n 20 "$out/$5" | tr -cd '\11\12\40-\176')
            ;;
    esac
    results+=${results:+,}$'\n'"  {\"part\": \"$part\", \"name\": $(text "$1"), \"result\": \"$2\", \"seconds\": ${3:-0}"
    results+=", \"reason\": $(text "${4-}"), \"log\": \"${5-}\", \"tail\": $(text "$tail")}"
    if [ "$2" != passed ]; then
        echo "$line"
        details+=$line$'\n'${tail:+"    ${tail//$'\n'/$'\n'    }"$'\n'}
    elif [ "$part" = bench ] && [ "$1" != ncu ]; then # the figures
        details+=$'\n'"$1"$'\n'$(<"$out/$5")$'\n'
    fi
    write
}

# ------------------------------------------------------------------------------------------------------------- jobs ---

kinds=() names=() limits=() commands=()
# job KIND NAME SECONDS COMMAND...: queues it. KIND decides how it is judged: test, sanitizer, bench, ncu, other
job() {
    kinds+=("$1") names+=("$2") limits+=("$3")
    shift 3
    commands+=("${*@Q}")
}

# judge INDEX STATUS SECONDS LIMIT
judge() {
    local kind=${kinds[$1]} name=${names[$1]} log=$part/${names[$1]//[^A-Za-z0-9_.-]/_}.log result=failed why="exit status $2" output
    output=$(tr -d '\0' <"$out/$log")
    if [ "$kind" = ncu ] && [[ $2 -ne 0 || $output == *'No kernels were profiled'* ]]; then
        result=skipped why="exit status $2: $(tail -n 3 "$out/$log" | tr '\n' ' ')"
    elif [[ $2 = 124 || $2 = 137 ]] && [ "${3%.*}" -ge "$4" ]; then
        result='over its time' why="not over after $4 s"
        [ "$4" -ge "${limits[$1]}" ] || result='not run' why="stopped after $4 s, when the part's time was over"
    elif [ "$2" -eq 77 ]; then
        result=skipped why=${output##*$'\n'}
    elif [ "$2" -gt 128 ]; then
        why="ended by signal $(($2 - 128))"
    elif [ "$kind" = sanitizer ] && ! [[ $output =~ 'SUMMARY: 0 ' ]]; then
        [[ $output =~ ([A-Z]*' '?SUMMARY[^$'\n']*) ]] && why+=": ${BASH_REMATCH[1]}" || why+=': no summary of compute-sanitizer'
    elif [ "$2" -eq 0 ] && [[ $output == *'[==========]'* && $output != *'[  PASSED  ] '[1-9]* ]]; then
        why='no test ran'
        if [[ $output =~ Skipped$'\n'([^$'\n']*) ]]; then result=skipped why=${BASH_REMATCH[1]}; fi
    elif [ "$2" -eq 0 ] && [[ $kind != test || $output == *'[==========]'* ]]; then
        result=passed why=''
        if [[ $output =~ 'SKIPPED ] '([0-9]+ test) ]]; then why="but ${BASH_REMATCH[1]}(s) skipped"; fi
        [ "$kind" = other ] || useful=yes # those run without a device too
    fi
    record "$name" "$result" "$3" "$why" "$log"
}

# Runs the queued jobs, $1 at a time, until $deadline.
run() {
    local i=0 pid limit now log
    mkdir -p "$out/$part"
    while [ "$i" -lt ${#names[@]} ] || [ ${#running[@]} -gt 0 ]; do
        now=${EPOCHREALTIME/[.,]/}
        limit=$((deadline - now / 1000000))
        if [ "$i" -lt ${#names[@]} ] && [ "$limit" -lt 1 ]; then
            record "${names[i]}" 'not run' 0 "the part's time was over"
            i=$((i + 1))
        elif [ "$i" -lt ${#names[@]} ] && [ ${#running[@]} -lt "$1" ]; then
            [ "$limit" -lt "${limits[i]}" ] || limit=${limits[i]}
            log=$out/$part/${names[i]//[^A-Za-z0-9_.-]/_}.log
            eval "exec timeout -k 2 $limit ${commands[i]}" >"$log" 2>&1 </dev/null &
            running[$!]=$i begun[$!]=$now granted[$!]=$limit
            i=$((i + 1))
        else
            sleep 0.05
        fi
        for pid in "${!running[@]}"; do
            now=$((${EPOCHREALTIME/[.,]/} - begun[$pid]))
            if kill -0 "$pid" 2>/dev/null; then
                [ "$now" -gt $(((granted[$pid] + 10) * 1000000)) ] || continue
                status=137 # it does not even die: left alone
            else
                wait "$pid" 2>/dev/null
                status=$?
            fi
            printf -v now '%d.%02d' $((now / 1000000)) $((now / 10000 % 100))
            judge "${running[$pid]}" $status "$now" "${granted[$pid]}"
            unset "running[$pid]"
        done
    done
    kinds=() names=() limits=() commands=()
}
# shellcheck disable=SC2317 # traps call it
stop() {
    trap '' TERM INT HUP
    local pid
    state="stopped by a signal during $part"
    [ ${#running[@]} -eq 0 ] || kill -TERM "${!running[@]}" 2>/dev/null
    for pid in "${!running[@]}"; do record "${names[${running[$pid]}]}" 'not run' 0 'stopped by a signal'; done
    write
    sleep 0.2
    exit "$1"
}
trap 'stop 143' TERM
trap 'stop 130' INT
trap 'stop 129' HUP

# ------------------------------------------------------------------------------------------------------------ parts ---

start() { # PART SECONDS
    part=$1 deadline=$((${EPOCHREALTIME%[.,]*} + ${GURN_GO_TIME:-$2}))
    seen+=("$part")
    echo "=== $part"
}
# Selects the tests that a filter matches. A pattern of it that matches none is a failure: it would check nothing.
tests_of() {
    local pattern patterns line suite found
    selected=()
    IFS=: read -ra patterns <<<"$1"
    for pattern in "${patterns[@]}"; do
        found=''
        while IFS= read -r line; do
            case $line in
                '  '*) found=$suite${line:2} found=${found%% *} ;;
                *) suite=${line%% *} && continue ;;
            esac
            # shellcheck disable=SC2053 # it is a pattern
            [[ $found != ${GURN_GO_ONLY:-*} ]] || selected+=("$found")
        done < <(timeout 20 bin/gurn_tests --gtest_list_tests --gtest_filter="$pattern" 2>/dev/null)
        [ -n "$found" ] || record "$pattern" failed 0 'no test has such a name'
    done
}
test_jobs() { # one for each selected test
    local name
    for name in "${selected[@]}"; do job test "$name" "${GURN_GO_LIMIT:-110}" bin/gurn_tests --gtest_filter="$name"; done
}

part_quick() {
    start quick 20
    tests_of "*Golden*/${target}_*:*Captured*/${target}_*"
    test_jobs
    run "$width"
}

part_tests() {
    start tests 200
    job other fuzz_api "${GURN_GO_LIMIT:-110}" bin/gurn_fuzz_api "${GURN_FUZZ_CALLS:-20000}"
    job other test_api "${GURN_GO_LIMIT:-110}" bin/gurn_test_api
    tests_of "*/${target}_*"
    # Those that draw most come first, so that they do not run alone at the end.
    local name slow=() quick=()
    for name in "${selected[@]}"; do
        case $name in
            *Statistic* | *Law* | *OmegaZero* | *Marginal* | *Window* | *Million* | *Thousand* | *Exact*) slow+=("$name") ;;
            *) quick+=("$name") ;;
        esac
    done
    selected=("${slow[@]}" "${quick[@]}")
    test_jobs
    run "$width"
}

# sanitizer TOOL FILTER [VARIABLE=VALUE]
sanitizer() {
    tests_of "$2"
    local filter
    filter=$(IFS=: && echo "${selected[*]}")
    [ -z "$filter" ] || job sanitizer "$1${3:+ $3}" 90 env ${3+"$3"} compute-sanitizer --error-exitcode 9 --tool "$1" \
        bin/gurn_tests --gtest_filter="$filter"
}

part_sanitize() {
    start sanitize 95
    if ! have compute-sanitizer; then
        record compute-sanitizer skipped 0 'no compute-sanitizer on this machine'
        return
    fi
    # Rows of 256 threads, and of teams of several warps.
    local golden="*Golden*/${target}_*:*Captured*/${target}_*" wide
    wide="*Cuda.WideRows*/${target}_float32:*LawCuda.BadRows*/${target}_*:*Edges.ManyClasses*/${target}_*"
    wide+=":*ExactExtremes.TablesOnce*/${target}_*"
    sanitizer memcheck "$wide:$golden:*Edges.SupportsAround*/${target}_*:*ExactExtremes.OddsOf*/${target}_*:*BackwardTest.*Agrees*/${target}_*:\
*ForwardTest.*Agrees*/${target}_*:*PlainDraws.LayoutAndSplit*/${target}_*:*LawCuda.LongOrders*/${target}_*"
    sanitizer racecheck "$wide"
    sanitizer synccheck "$wide"
    sanitizer initcheck "$golden" GURN_TEST_UNFILLED=1 # tests fill memory, which would count as initialised
    job sanitizer 'initcheck bench' 90 compute-sanitizer --error-exitcode 9 --tool initcheck \
        bin/bench_mvhg --device cuda --case S1,S2 --rows 37 --seconds 0
    run 5 # side by side
}

part_bench() {
    local rows case modes cases=(S1 S2 S3) seconds=0.05 counted=1e5 end
    start bench 290
    end=$deadline
    [ "$target" = cuda ] || cases=(S1) seconds=0 counted=20
    for rows in ${GURN_GO_ROWS:-1 1e3 1e5 1e6}; do # the longest come last
        modes=warm,graph
        [ "$(printf %.0f "$rows")" -gt 1000 ] || modes+=,queued
        for case in "${cases[@]}"; do
            job bench "$case-$rows" 60 bin/bench_mvhg --device cuda --case "$case" --rows "$rows" --mode "$modes" --seconds "$seconds" \
                --commit "${bundle[commit]}" --json "$out/bench/$case-$rows.json"
        done
    done
    have ncu && deadline=$((deadline - 60))
    run 1
    deadline=$end
    if have ncu; then
        job ncu ncu 60 ncu --clock-control none --set full -k 'regex:mvhg_(race|pull|suffix_)' -c 12 \
            bin/bench_mvhg --device cuda --case S1 --rows $counted --seconds 0
        run 1
    else
        record ncu skipped 0 'no ncu on this machine'
    fi
}

width=$(($(nproc) - 2))
width=$((width < 1 ? 1 : width > 14 ? 14 : width))
echo "gumbelurn ${bundle[commit]} on $device; results in $out"
for name in quick tests sanitize bench; do
    [[ " ${parts[*]} " == *" $name "* ]] || continue
    case $name in
        quick) part_quick ;;
        tests) part_tests ;;
        sanitize) part_sanitize ;;
        bench) part_bench ;;
    esac
done
state=finished
write
cat "$out/summary.txt"
[ $bad -eq 0 ] || exit 1
[ -z "$useful" ] || exit 0
echo "SKIP: nothing could run on the device: see $out/summary.txt"
exit 77
