#!/usr/bin/env bash
# Builds for the GPU of this machine and runs the tests of the CUDA device under the four tools of compute-sanitizer.
#
# usage: scripts/sanitize_gpu.sh [--build FOLDER] [--tool NAME] [GTEST_FILTER]
#   --build   uses a build that is there, instead of building
#   --tool    memcheck, racecheck, initcheck or synccheck alone
#   default filter: all CUDA tests but the statistical ones, which are the same kernels over millions of draws
# Exit status: 0 all clean, 1 a tool found something or a test failed, 77 no GPU or no compute-sanitizer.
set -euo pipefail
cd "$(dirname "$0")/.."

build=build/gpu needs=(nvcc compute-sanitizer nvidia-smi) tools=(memcheck racecheck initcheck synccheck) given=''
while [[ ${1-} == --* ]]; do
    case $1 in
        --build) build=${2:?--build needs a folder} given=yes needs=(compute-sanitizer nvidia-smi) ;;
        --tool) tools=("${2:?--tool needs a name}") ;;
        *)
            echo "sanitize_gpu.sh: $1 is not understood" >&2
            exit 2
            ;;
    esac
    shift 2
done
filter=${1:-*/cuda_*:-*Statistic*}

for tool in "${needs[@]}"; do
    if ! command -v "$tool" >/dev/null; then
        echo "SKIP: no $tool on this machine"
        exit 77
    fi
done
if ! nvidia-smi --list-gpus 2>/dev/null | grep -q .; then
    echo "SKIP: no GPU on this machine"
    exit 77
fi

if [ -z "$given" ]; then
    cmake --preset gpu
    cmake --build --preset gpu -j "$(nproc)"
fi
bad=()
for tool in "${tools[@]}"; do
    echo "=== compute-sanitizer --tool $tool"
    compute-sanitizer --tool "$tool" --error-exitcode 9 "$build/tests/gurn_tests" --gtest_brief=1 "--gtest_filter=$filter" ||
        bad+=("$tool")
done
if [ ${#bad[@]} -gt 0 ]; then
    echo "not clean: ${bad[*]}"
    exit 1
fi
echo "${tools[*]}: clean"
