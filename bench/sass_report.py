#!/usr/bin/env python3
"""Counts the instructions of the compiled CUDA kernels: a support point, by pipe; a step; and what that allows a GPU to draw.

Reads SASS, the machine code, by nvdisasm and cuobjdump (scripts/setup.sh sass puts them into .venv). Nothing is run and nothing is
measured: draws/s printed here are bounds by instruction issue under the assumptions that are printed with them. README.md says what
is counted. Usage: sass_report.py build/cuda-all/libgumbelurn.a
"""
import argparse
import datetime
import json
import pathlib
import re
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE / "sass"), str(HERE / "peers")]
import bounds  # noqa: E402
import kernels  # noqa: E402
import pipes  # noqa: E402
from kernels import total  # noqa: E402


def occupancy_text(kernel):
    """Resident warps on each GPU whose code this is, of those that fit, and what limits them."""
    parts = []
    for gpu in pipes.GPUS:
        if gpu.code == kernel.code and kernel.threads:
            warps, limit = gpu.occupancy(kernel.registers, kernel.shared, kernel.threads)
            parts.append(f"{gpu.name} {warps}/{gpu.warps} ({limit})")
    return ", ".join(parts)


def kernel_lines(found):
    """The table of all loops that compute noise; of those that no call of the benchmark runs, for one architecture."""
    head = "".join(f"{pipe:>8}" for pipe in pipes.PIPES)
    yield (f"{'kernel, loop':<32} {'code':<6} {'regs':>4} {'shared':>6} {'points':>6} {head} {'a point':>8}"
           "  around it, from inside out")
    for kernel in found:
        if kernel.code != "sm_90" and not bounds.is_called(kernel.name):
            continue
        for n, hot in enumerate(kernel.hot):
            a_point = hot.a_point()
            name = kernel.name if len(kernel.hot) == 1 else f"{kernel.name}, loop {n + 1}"
            cells = "".join(f"{a_point.get(pipe, 0):8.2f}" for pipe in pipes.PIPES)
            around = " | ".join(f"{total(level.certain)}" + (f" and {total(level.inner)}" if level.inner else "")
                                + (f" ({total(level.other)})" if level.other else "") for level in hot.around)
            yield (f"{name:<32} {kernel.code:<6} {kernel.registers:4} {kernel.shared:6} {hot.points:6} {cells} {total(a_point):8.2f}"
                   f"  {around}")


def line_table(found, pattern, code):
    """What the source lines cost, for whoever wants to make it less."""
    for kernel in found:
        if not re.search(pattern, kernel.name) or kernel.code != code:
            continue
        for n, hot in enumerate(kernel.hot):
            parts = [("in the loop, a point", hot.lines, hot.points)]
            parts += [(f"around it, level {n + 1}", level.lines, 1) for n, level in enumerate(hot.around)]
            for title, lines, times in parts:
                print(f"\n{kernel.name} {kernel.code}, loop {n + 1}: {sum(lines.values()) / times:.2f} {title}")
                for source, count in sorted(lines.items(), key=lambda item: (-item[1], str(item[0]))):
                    where = f"{pathlib.Path(source[0]).name}:{source[1]}" if source else "?"
                    print(f"{count / times:8.2f}  {where:<24} {source_line(source)}")


def source_line(source):
    try:
        return pathlib.Path(source[0]).read_text().splitlines()[source[1] - 1].strip()[:100] if source else ""
    except (OSError, IndexError):
        return ""


def bound_lines(limits):
    yield (f"{'call':<17} {'of':<8} {'case':<4} {'GPU':<9} {'code':<6} {'lanes':>5} {'points':>8} {'lane-instr.':>11} {'in loop':>7}"
           f" {'by issue':>10} {'by pipe':>10}  busiest")
    for b in limits:
        if b["lanes"] == bounds.LANES[b["case"]]:
            yield (f"{b['call']:<17} {b['of']:<8} {b['case']:<4} {b['gpu']:<9} {b['code']:<6} {b['lanes']:5} {b['points_a_draw']:8.1f}"
                   f" {b['lane_instructions_a_draw']:11.0f} {b['share_in_loop']:7.0%} {b['draws_per_s_issue'] / 1e6:8.0f} M"
                   f" {b['draws_per_s_busiest'] / 1e6:8.0f} M  {b['busiest']}")


def summary_lines(found, limits, code="sm_90", gpu="H100"):
    """The figures to make smaller, and larger. A warp's instruction outside the loop serves 32 / lanes rows."""
    yield (f"{'in short, ' + code:<40} {'a point':>8} {'a step':>8} {'of a row':>9}")
    shown = set()
    for calls in bounds.CALLS.values():
        for one in calls["forward+backward"]:
            for k in found:
                if k.code != code or not k.hot or k.name in shown or not (match := re.search(one.kernel, k.name)):
                    continue
                shown.add(k.name)
                lanes, hot = int(match["lanes"]), k.hot[0]
                step = total(hot.outside(one.levels))
                yield f"{k.name:<40} {total(hot.a_point()):8.2f} {step:8} {step * min(lanes, 32) / 32:9.1f}"
    for b in limits:
        if b["gpu"] == gpu and b["case"] == "S1" and b["lanes"] == bounds.LANES["S1"] and b["of"] == "x":
            yield f"S1 on an {gpu}, {b['call']}: at most {b['draws_per_s_busiest'] / 1e9:.2f} G draws/s (estimate)"


def heading(options):
    """What the figures come from."""
    def version(command, pattern):
        try:
            return re.search(pattern, kernels.output(*command))[1]
        except (OSError, TypeError, subprocess.CalledProcessError):
            return "unknown"

    return {"date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "commit": version(["git", "-C", str(HERE), "describe", "--always", "--dirty=+"], r"(\S+)"),
            "nvcc": version(["nvcc", "--version"], r"release [\d.]+, V([\d.]+)"),
            "nvdisasm": version([kernels.tool("nvdisasm"), "--version"], r"V([\d.]+)"), "read": [str(f) for f in options.files]}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", help="cubins, objects, libraries or programs")
    parser.add_argument("--json", help="write everything to this file")
    parser.add_argument("--text", help="write what is printed to this file too")
    parser.add_argument("--lines", metavar="PATTERN", help="instead, what each source line costs in the kernels whose name has it")
    parser.add_argument("--code", default="sm_90", choices=kernels.CODES, help="for --lines (default sm_90)")
    options = parser.parse_args()
    for name in ("nvdisasm", "cuobjdump"):
        if not kernels.tool(name):
            print(f"SKIP: no {name} (scripts/setup.sh sass)")
            return 77
    found = kernels.kernels_of(options.files)
    if not found:
        print(f"sass_report: no code for {', '.join(kernels.CODES)} in {', '.join(options.files)}", file=sys.stderr)
        return 1
    if options.lines:
        line_table(found, options.lines, options.code)
        return 0

    head = heading(options)
    text = ["SASS report: instructions of the compiled kernels, counted; no GPU was used and nothing is measured",
            f"gumbelurn commit {head['commit']}, {head['date']}, nvcc {head['nvcc']}, nvdisasm {head['nvdisasm']}", "",
            "Loops that compute noise: lane-instructions a support point, by pipe; then how many there are in the loops around",
            "it, from inside out: in every round, `and` of further loops inside going round once, and in brackets what only some",
            "rounds execute", ""]
    text += kernel_lines(found)
    text += ["", "Resident warps a multiprocessor, of the most there can be (and what limits them)", ""]
    text += [f"{k.name:<32} {k.code:<6} {k.threads:4} threads a block: {occupancy_text(k)}" for k in found
             if k.hot and bounds.is_called(k.name) and occupancy_text(k)]
    limits = []
    try:
        import peers  # needs NumPy
        limits = bounds.bounds_of(found, peers.CASES)
    except ImportError:
        text += ["", "SKIP: bounds of draws/s: no NumPy (scripts/setup.sh test)"]
    if limits:
        text += ["", "Estimates, not measurements: draws/s at most, by instruction issue and by the busiest pipe; shared omega, tau = 1.",
                 "Points: of the exact window. Lane-instructions: for what the kernels sweep, with idle lanes and the wait for the longest",
                 "row of a warp",
                 *(f"{gpu.name}: {gpu.multiprocessors} multiprocessors at {gpu.clock / 1e9:.2f} GHz, {gpu.issue} lane-instructions a clock"
                   f" each; {gpu.code} code" for gpu in pipes.GPUS), "", *bound_lines(limits), "", *summary_lines(found, limits)]
    unknown = sorted({opcode for k in found for opcode in k.unknown})
    if unknown:
        text += ["", f"opcodes in no pipe (bench/sass/pipes.py): {', '.join(unknown)}"]
    text = "\n".join(text) + "\n"
    print(text, end="")
    if options.text:
        pathlib.Path(options.text).write_text(text)
    if options.json:
        everything = dict(head, kernels=[kernel_json(k) for k in found], bounds=limits)
        pathlib.Path(options.json).write_text(json.dumps(everything, indent=1) + "\n")
    return 0


def kernel_json(kernel):
    return {"name": kernel.name, "code": kernel.code, "registers": kernel.registers, "shared": kernel.shared, "stack": kernel.stack,
            "threads": kernel.threads, "instructions": kernel.instructions, "unknown": kernel.unknown,
            "loops": [{"points": hot.points, "philox_blocks": hot.blocks, "exponentials": hot.exponentials, "body": hot.body,
                       "certain": hot.certain, "a_point": total(hot.a_point()),
                       "around": [{"certain": level.certain, "inner": level.inner, "other": level.other} for level in hot.around]}
                      for hot in kernel.hot]}


if __name__ == "__main__":
    sys.exit(main())
