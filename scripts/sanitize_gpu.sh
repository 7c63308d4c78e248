#!/usr/bin/env bash
# Builds for the GPU of this machine and runs the tests of the CUDA device under the four tools of compute-sanitizer.
#
# usage: scripts/sanitize_gpu.sh [GTEST_FILTER]     default: all CUDA tests but the statistical ones, which are the same kernels
#                                                   over millions of draws
# Exit status: 0 all clean, 1 a tool found something or a test failed, 77 no GPU or no compute-sanitizer.
set -euo pipefail
cd "$(dirname "$0")/.."
filter=${1:-*/cuda_*:-*Statistic*}

for tool in nvcc compute-sanitizer nvidia-smi; do
    if ! command -v $tool >/dev/null; then
        echo "SKIP: no $tool on this machine"
        exit 77
    fi
done
if ! nvidia-smi --list-gpus 2>/dev/null | grep -q .; then
    echo "SKIP: no GPU on this machine"
    exit 77
fi

cmake --preset gpu
cmake --build --preset gpu -j "$(nproc)"
bad=()
for tool in memcheck racecheck initcheck synccheck; do
    echo "=== compute-sanitizer --tool $tool"
    compute-sanitizer --tool $tool --error-exitcode 9 build/gpu/tests/gurn_tests --gtest_brief=1 "--gtest_filter=$filter" ||
        bad+=("$tool")
done
if [ ${#bad[@]} -gt 0 ]; then
    echo "not clean: ${bad[*]}"
    exit 1
fi
echo "memcheck, racecheck, initcheck, synccheck: clean"
