#!/usr/bin/env bash
# Installs what building and testing need and this machine lacks. Does nothing, quietly, where all of it is there.
#
# usage: scripts/setup.sh [build] [test] [sass] [ks] [ci]
#   build   CMake, ninja, a compiler                                     (Debian packages)
#   test    and GoogleTest, Boost.Context, pkg-config; NumPy, cuRAND     (Debian packages; PyPI, into .venv)
#   sass    disassemblers of CUDA code                                   (PyPI, into .venv)
#   ks      NumPy; matplotlib                                            (Debian package if .venv has none; PyPI, into .venv)
#   ci      clang, clang-format, shellcheck, aarch64 cross tools  (Debian packages)
# Debian packages need apt-get, and root or sudo; without those, what is missing is named and the exit status is 1. What PyPI
# gives is optional: where it can't be had, a line says what will be skipped.
set -euo pipefail
cd "$(dirname "$0")/.."

[ $# -gt 0 ] || set -- test
missing=()

# need PACKAGE TEST...: the Debian package that provides what the test command looks for
need() {
    local package=$1
    shift
    "$@" >/dev/null 2>&1 || missing+=("$package")
}
has_numpy() { .venv/bin/python -c 'import numpy' || python3 -c 'import numpy'; }
compiles() { printf '#include <%s>\nint main() { return 0; }\n' "$1" | "${CXX:-c++}" -x c++ -fsyntax-only -; }

apt_install() {
    local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -o Acquire::Retries=1 -o Acquire::http::Timeout=20)
    if ! command -v apt-get >/dev/null; then
        echo "setup: missing, and no apt-get to install them: $*" >&2
        return 1
    fi
    if [ "$(id -u)" -ne 0 ]; then
        if ! sudo -n true 2>/dev/null; then
            echo "setup: not root, and sudo asks for a password. Please run: sudo apt-get install $*" >&2
            return 1
        fi
        apt=(sudo "${apt[@]}")
    fi
    local log
    log=$(mktemp)
    echo "setup: installing $*"
    # The package lists may be missing or stale: fetch them when a first try fails.
    if "${apt[@]}" install -y --no-install-recommends "$@" >"$log" 2>&1 </dev/null; then
        rm -f "$log"
        return 0
    fi
    "${apt[@]}" update >"$log" 2>&1 </dev/null || true # one source that does not answer need not be the one we want
    if "${apt[@]}" install -y --no-install-recommends "$@" >>"$log" 2>&1 </dev/null; then
        rm -f "$log"
        return 0
    fi
    tail -n 30 "$log" >&2
    rm -f "$log"
    echo "setup: apt-get could not install: $*" >&2
    return 1
}

# pip_install GROUP: scripts/requirements-GROUP.txt into .venv, once for every state of that file
pip_install() {
    local list=scripts/requirements-$1.txt done=.venv/.installed-$1
    if [ -f "$done" ] && cmp -s "$list" "$done"; then return 0; fi
    [ -x .venv/bin/python ] || python3 -m venv .venv || {
        echo "SKIP: python3 -m venv does not work here: no NumPy, no cuRAND"
        return 0
    }
    local names log=.venv/install-$1.log
    names=$(tr '\n' ' ' <"$list")
    echo "setup: installing ${names}into .venv"
    if .venv/bin/python -m pip install --disable-pip-version-check --retries 1 --timeout 10 -r "$list" \
        >"$log" 2>&1 </dev/null; then
        cp "$list" "$done"
    else
        grep -E '^ERROR' "$log" || tail -n 3 "$log"
        echo "SKIP: PyPI did not give ${names}(see $log): what needs them will be skipped"
    fi
}

for what in "$@"; do
    case $what in
        build | test | sass)
            need cmake command -v cmake
            need ninja-build command -v ninja
            need gcc command -v cc
            need libc6-dev test -f /usr/include/stdio.h
            ;;&
        test)
            need g++ command -v c++
            need libgtest-dev compiles gtest/gtest.h
            need libboost-context-dev compiles boost/context/detail/fcontext.hpp
            need pkg-config command -v pkg-config
            ;;&
        ks) need python3-numpy has_numpy ;;&
        test | sass | ks)
            need python3-venv python3 -c 'import venv, ensurepip'
            ;;&
        ci)
            need clang command -v clang
            need libomp-dev sh -c 'ls /usr/lib/llvm-*/lib/libomp.so'
            need clang-format command -v clang-format
            need shellcheck command -v shellcheck
            need gcc-aarch64-linux-gnu command -v aarch64-linux-gnu-gcc
            need libc6-dev-arm64-cross test -f /usr/aarch64-linux-gnu/include/stdio.h
            need qemu-user command -v qemu-aarch64
            ;;
        build | test | sass | ks) ;;
        *)
            echo "usage: scripts/setup.sh [build] [test] [sass] [ks] [ci]" >&2
            exit 2
            ;;
    esac
done
[ ${#missing[@]} -eq 0 ] || apt_install "${missing[@]}"
for what in "$@"; do
    case $what in
        test | sass | ks) pip_install "$what" ;;
    esac
done
