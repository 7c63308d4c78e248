#!/bin/sh
# Experiments 5.1 and C.1.1 of the MVHG paper (ks/ks.py says what is tested and judged): a table, and the figures where matplotlib is.
#
# usage: ks.sh GUMBELURN [option of ks/ks.py ...]
#
# To build/ks, or what --out names: table.txt (what is printed), tests.csv, histograms.csv, and the figures. examples/results/ks has
# those of a full run.
#
# Exit status: that of ks.py. PYTHON: a Python with NumPy; without it, .venv's (scripts/setup.sh ks) or the system's.
set -eu

program=${1:?usage: ks.sh GUMBELURN [options]}
shift
here=$(dirname "$0")
root=$(cd "$here/.." && pwd)
out=$root/build/ks
previous=
for argument; do
    case $previous in --out) out=$argument ;; esac
    case $argument in
        --out=*) out=${argument#--out=} ;;
        -h | --help) exec python3 "$here/ks/ks.py" --help ;;
    esac
    previous=$argument
done

python=
for candidate in ${PYTHON:-"$root/.venv/bin/python" python3}; do
    if "$candidate" -c 'import numpy' 2>/dev/null; then
        python=$candidate
        break
    fi
done
if [ -z "$python" ]; then
    echo "SKIP: no Python with NumPy: the protocol needs it (scripts/setup.sh ks)"
    exit 77
fi

mkdir -p "$out"
status=0
{
    echo "command  examples/ks.sh gumbelurn $*"
    echo "program  $("$program" --version), commit $(git -C "$root" describe --always --dirty=+ 2>/dev/null || echo unknown)"
    echo "machine  $(uname -m), $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo 2>/dev/null | head -n 1)"
    echo
    "$python" "$here/ks/ks.py" "$program" --out "$out" "$@" || echo $? >"$out/status"
} >"$out/table.txt"
cat "$out/table.txt"
if [ -f "$out/status" ]; then
    status=$(cat "$out/status")
    rm "$out/status"
fi
if [ "$status" -gt 1 ]; then exit "$status"; fi # wrong usage
if "$python" -c 'import matplotlib' 2>/dev/null; then
    "$python" "$here/ks/plots.py" "$out"
    echo "figures: $out/histograms.png, distances.png, pvalues.png"
else
    echo "SKIP: no matplotlib: no figures"
fi
exit "$status"
