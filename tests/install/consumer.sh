#!/usr/bin/env bash
# Installs a build into a fresh prefix, moves that prefix (a package must not remember where it was), and builds and runs
# tests/consumer against it: C and C++, shared and static, through find_package and through pkg-config.
#
# usage: consumer.sh BUILD_DIR SOURCE_DIR LIBDIR CC CXX [FLAG...]     FLAGs are for compiler and linker (sanitizers)
set -euo pipefail
build=$1 source=$2 libdir=$3 cc=$4 cxx=$5
shift 5

work=$(mktemp -d "$build/consumer.XXXXXX")
trap 'rm -rf "$work"' EXIT
cmake --install "$build" --prefix "$work/first" >/dev/null
mv "$work/first" "$work/prefix"
prefix=$work/prefix
consumer=$source/tests/consumer
if grep -rqF "$source" "$prefix/$libdir/cmake" "$prefix/$libdir/pkgconfig" "$prefix/include"; then
    echo "the installed package names the source tree:" >&2
    grep -rF "$source" "$prefix/$libdir/cmake" "$prefix/$libdir/pkgconfig" "$prefix/include" >&2
    exit 1
fi

quietly() {
    if ! "$@" >"$work/log" 2>&1; then
        cat "$work/log" >&2
        exit 1
    fi
}
checked=0
run() {
    printf '%-32s' "$1"
    shift
    LD_LIBRARY_PATH="$prefix/$libdir${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" "$@"
    checked=$((checked + 1))
}

for language in C CXX; do
    compiler=$cc
    [ $language = C ] || compiler=$cxx
    quietly cmake -S "$consumer" -B "$work/$language" -DCONSUMER_LANGUAGE=$language -DCMAKE_PREFIX_PATH="$prefix" \
        "-DCMAKE_${language}_COMPILER=$compiler" "-DCMAKE_${language}_FLAGS=$*"
    quietly cmake --build "$work/$language"
    run "CMake, $language, shared" "$work/$language/with_gumbelurn"
    run "CMake, $language, static" "$work/$language/with_gumbelurn_static"
done

if ! command -v pkg-config >/dev/null; then
    echo "pkg-config is missing: its half is skipped"
    exit 0
fi
export PKG_CONFIG_PATH="$prefix/$libdir/pkgconfig"
flags() { pkg-config "$@" gumbelurn; }
for language in c c++; do
    compiler=$cc
    [ $language = c ] || compiler=$cxx
    # shellcheck disable=SC2046 # flags are meant to be split
    "$compiler" "$@" -x $language "$consumer/consumer.c" -x none $(flags --cflags --libs) -o "$work/shared"
    run "pkg-config, $language, shared" "$work/shared"
    # shellcheck disable=SC2046
    "$compiler" "$@" -x $language "$consumer/consumer.c" -x none $(flags --cflags --libs --static |
        sed "s|-lgumbelurn|$prefix/$libdir/libgumbelurn.a|") -o "$work/static"
    run "pkg-config, $language, static" "$work/static"
done
[ "$checked" -eq 8 ]
