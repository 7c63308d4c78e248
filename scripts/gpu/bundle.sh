#!/usr/bin/env bash
# Packs the CUDA tests, the benchmark and the program with all that they need, for a GPU machine that has a driver and nothing
# else: no compiler, no package, no network. There go.sh runs them.
#
# usage: scripts/gpu/bundle.sh [--arch LIST] [--build FOLDER] [--out FILE]
#   --arch    what to compile for, as CMake names it (90-real; several: 90-real,100-real; native). Default 90-real
#   --build   packs this build instead of making build/gpu-bundle. One with emulated CUDA makes a rehearsal bundle
#   --out     the archive (default BUILD/gumbelurn-gpu.tar.xz)
set -euo pipefail
cd "$(dirname "$0")/../.."

arch=90-real build='' out=''
while [ $# -gt 0 ]; do
    case $1 in
        --arch) arch=${2:?--arch needs a list} ;;
        --build) build=${2:?--build needs a folder} ;;
        --out) out=${2:?--out needs a file} ;;
        *)
            sed -n '2,/^set/{s/^# \{0,1\}//;/^set/d;p}' "$0" >&2
            exit 2
            ;;
    esac
    shift 2
done
most=$((60 << 20)) # bytes of the archive
targets=(gurn_tests gurn_fuzz_api gurn_test_api bench_mvhg gumbelurn_tool)

if [ -z "$build" ]; then
    build=build/gpu-bundle
    cmake --preset gpu-bundle "-DCMAKE_CUDA_ARCHITECTURES=${arch//[, ]/;}"
    cmake --build "$build" -j "$(nproc)" --target "${targets[@]}"
fi
out=${out:-$build/gumbelurn-gpu.tar.xz}
cache() { sed -n "s/^$1:[A-Z]*=//p" "$build/CMakeCache.txt"; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
top=$work/gumbelurn-gpu
programs=(gurn_tests gurn_fuzz_api gurn_test_api bench_mvhg gumbelurn)
mkdir -p "$top/bin" "$top/lib"
cp "$build"/tests/{gurn_tests,gurn_fuzz_api,gurn_test_api} "$build/bench/bench_mvhg" "$build/gumbelurn" "$top/bin"
cp -r tests/data "$top/bin/data"
cp scripts/gpu/go.sh "$top"
cp "$build"/libgumbelurn.so.? "$top/lib"

# The libraries that they load, but for those of the C library, which belong to the machine.
libraries() { for program in "${programs[@]}"; do ldd "$top/bin/$program"; done | grep -vE 'linux-vdso|/ld-linux|lib(c|m|dl|rt|pthread)\.so'; }
libraries | while read -r name _ path _; do
    [ -e "$top/lib/$name" ] || cp "$path" "$top/lib/$name"
done
strip --strip-debug "${programs[@]/#/$top/bin/}" "$top"/lib/*

if libraries | grep -v " => $top/"; then
    echo "bundle.sh: these libraries are not found beside the programs" >&2
    exit 1
fi
# In the machine code of the GPU nvcc's line tables (-lineinfo) name the folders of the sources, and may.
for file in "${programs[@]/#/$top/bin/}" "$top"/lib/*; do
    objcopy --remove-section=.nv_fatbin "$file" "$work/host"
    if strings -a "$work/host" | grep -F "$PWD"; then
        echo "bundle.sh: $(basename "$file") names this checkout" >&2
        exit 1
    fi
done

target=cuda architectures=$(cache CMAKE_CUDA_ARCHITECTURES) nvcc=$(cache CMAKE_CUDA_COMPILER)
if [ "$(cache GURN_CUDA)" = EMULATED ]; then
    target=emulated architectures='none (a rehearsal bundle: CUDA is emulated)'
fi
cat >"$top/bundle.txt" <<END
target=$target
commit=$(git describe --always --dirty=+ 2>/dev/null || echo unknown)
built=$(date -u +%Y-%m-%dT%H:%M:%SZ)
nvcc=$([ -z "$nvcc" ] || "$nvcc" --version | sed -n 's/.*release [0-9.]*, V\([0-9.]*\).*/\1/p')
architectures=$architectures
END

mkdir -p "$(dirname "$out")"
# Compressed as its name says; with a dictionary in which a program finds the kernels of the one before it.
XZ_OPT=--lzma2=preset=3,dict=64MiB tar -C "$work" --owner=0 --group=0 --numeric-owner -caf "$out" gumbelurn-gpu
size=$(stat -c %s "$out")
if [ "$size" -gt $most ]; then
    echo "bundle.sh: $out has $size bytes; $most are allowed" >&2
    rm -f "$out"
    exit 1
fi
cat "$top/bundle.txt"
echo "$out: $((size / 1024)) KiB"
