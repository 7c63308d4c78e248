#!/usr/bin/env python3
"""Reads what ptxas says of every kernel (nvcc -Xptxas=-v, on standard input) and prints it as a table.

Exit status 1 when a kernel spills registers, or when there is no kernel at all.
"""
import re
import subprocess
import sys

ENTRY = re.compile(r"Compiling entry function '(\w+)' for '(sm_\w+)'")
STACK = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
USED = re.compile(r"Used (\d+) registers")
SHARED = re.compile(r"(\d+) bytes smem")


def demangle(names):
    """The kernels' names as C++ writes them, without return type and parameters."""
    plain = subprocess.run(["c++filt"], input="\n".join(names), capture_output=True, text=True, check=True).stdout.split("\n")
    return {name: re.sub(r"\(anonymous namespace\)::|^void |\((?!anonymous).*\)$", "", text) for name, text in zip(names, plain)}


def main():
    rows, current = {}, None  # (kernel, architecture) -> figures
    for line in sys.stdin:
        if match := ENTRY.search(line):
            current = rows.setdefault(match.groups(), {"registers": 0, "shared": 0, "stack": 0, "spill": 0})
        elif match := STACK.search(line):
            if current is not None:
                current["stack"] = int(match[1])
                current["spill"] = int(match[2]) + int(match[3])
        elif match := USED.search(line):
            if current is not None:
                current["registers"] = int(match[1])
                if shared := SHARED.search(line):
                    current["shared"] = int(shared[1])
            current = None
    if not rows:
        print("no kernel was compiled")
        return 1
    names = demangle(sorted({kernel for kernel, _ in rows}))
    print(f"{'registers':>9} {'shared':>7} {'stack':>6} {'spilled':>7}  architecture  kernel")
    spilled = 0
    for (kernel, architecture), row in sorted(rows.items(), key=lambda item: (names[item[0][0]], len(item[0][1]), item[0][1])):
        spilled += row["spill"] > 0
        print(f"{row['registers']:9} {row['shared']:7} {row['stack']:6} {row['spill']:7}  {architecture:12}  {names[kernel]}")
    print(f"{len(rows)} kernels, {spilled} of them spill registers")
    return 1 if spilled else 0


if __name__ == "__main__":
    sys.exit(main())
