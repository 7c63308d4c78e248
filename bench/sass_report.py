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
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE / "sass"), str(HERE / "peers"), str(HERE.parent / "scripts")]
import kernel_resources  # noqa: E402
import listing  # noqa: E402
import pipes  # noqa: E402

CODES = ["sm_80", "sm_90", "sm_100"]
PHILOX = {0xD2511F53, 0xCD9E8D57}  # its two multipliers: in each of ten rounds one word is multiplied by each
RACE_BITS, WEIGHT_BITS = 38.1, 24.0  # kernels/mvhg.h: how far below the mode a count can win; and, at tau = 1, can weigh
POINTS_A_BLOCK = 4  # of Philox: its four words are the noise of four neighbouring counts
# The last coefficient of the logarithm's polynomial, times 2^23 or 1: one multiplication by it is one exponential variate.
EXPONENTIAL = re.compile(r"^(12102202|1\.44269\d*)$")


# ---------------------------------------------------------------------------------------------------------- disassembly ---


def tool(name):
    """nvdisasm or cuobjdump: of .venv, whose version is known to read what nvcc writes, or of the PATH."""
    for place in sorted((HERE.parent / ".venv").glob(f"lib/python3*/site-packages/nvidia/*/bin/{name}")):
        return str(place)
    return shutil.which(name)


def output(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True, errors="replace").stdout


def cubins(path, folder):
    """[(file, code)] of a cubin, or of all that an object, a library or a program holds."""
    path = pathlib.Path(path).resolve()
    if path.suffix != ".cubin":
        subprocess.run([tool("cuobjdump"), "-xelf", "all", str(path)], check=True, cwd=folder, capture_output=True)
        files = sorted(pathlib.Path(folder).glob("*.cubin"))
    else:
        files = [path]
    found = []
    for file in files:
        text = output(tool("nvdisasm"), "-c", "-gi", str(file))
        if (code := re.search(r"\.target\s+(sm_\w+)", text)) and code[1] in CODES and "\n" in text:
            found.append((file, code[1], text))
    return found


def resources(file):
    """{kernel: {registers, shared, stack, threads}}; threads is 0 without __launch_bounds__."""
    found = {}
    for name, registers, stack, shared in re.findall(r"Function (\S+):\s+REG:(\d+) STACK:(\d+) SHARED:(\d+)",
                                                     output(tool("cuobjdump"), "-res-usage", str(file))):
        found[name] = {"registers": int(registers), "shared": int(shared), "stack": int(stack), "threads": 0}
    for section in re.split(r"\n\.nv\.info\.", output(tool("cuobjdump"), "-elf", str(file)))[1:]:
        name = section.split("\n", 1)[0].strip()
        bound = re.search(r"EIATTR_MAX_THREADS\s+Format:\s+\S+\s+Value:\s+0x(\w+) 0x(\w+) 0x(\w+)", section)
        if name in found and bound:
            found[name]["threads"] = int(bound[1], 16) * int(bound[2], 16) * int(bound[3], 16)
    return found


# -------------------------------------------------------------------------------------------------------------- kernels ---


def number_of(operand):
    try:
        return int(operand, 0) & 0xFFFFFFFF
    except ValueError:
        return None


def philox_blocks(instructions, holders):
    """How many Philox blocks are computed: full products by the two multipliers, 20 a block less those that do not change from block to
    block and stand before the loop (of the second multiplier in round 1, of the first in round 2)."""
    products = sum(1 for i in instructions if i.base in ("IMAD", "UIMAD") and re.search(r"\.(WIDE|HI)", i.opcode)
                   and any(number_of(o) in PHILOX or o.removesuffix(".reuse") in holders for o in i.operands[1:]))
    return round(products / 19)


def holders_of_multipliers(instructions):
    """Registers into which a multiplier is moved, for code that does not have it in the instruction."""
    return {i.operands[0] for i in instructions
            if i.base in ("MOV", "UMOV") or i.opcode.startswith("IMAD.MOV") if number_of(i.operands[-1]) in PHILOX}


@dataclass
class Hot:
    """A loop that computes noise, and what is around it."""
    blocks: int  # of Philox a lane and round
    exponentials: int  # as counted by themselves; 0 where the constant is not to be seen
    body: dict  # lane-instructions a round by pipe
    certain: int  # of them executed in every round
    around: list  # from inside out: (loop depth, by pipe in rounds that enter the hot loop, by pipe in others)
    lines: dict = field(default_factory=dict)
    outside_lines: dict = field(default_factory=dict)

    @property
    def points(self):
        return POINTS_A_BLOCK * self.blocks

    def a_point(self):
        return {pipe: n / self.points for pipe, n in self.body.items()}

    def outside(self, levels=1):
        """Lane-instructions a step around the hot loop, by pipe: the innermost `levels` loops around it."""
        total = {}
        for _, certain, _ in self.around[:levels]:
            for pipe, n in certain.items():
                total[pipe] = total.get(pipe, 0) + n
        return total


@dataclass
class Kernel:
    name: str
    mangled: str
    code: str
    registers: int
    shared: int
    stack: int
    threads: int
    instructions: int
    hot: list
    unknown: list  # opcodes that are in no pipe


def by_line(instructions):
    lines = {}
    for i in instructions:
        lines[i.source] = lines.get(i.source, 0) + 1
    return lines


def study(name, mangled, code, used, instructions, labels):
    graph = listing.Graph(instructions, labels)
    holders = holders_of_multipliers(instructions)
    hot = []
    for loop in graph.loops():
        body = graph.instructions(loop.own)
        blocks = philox_blocks(body, holders)
        if loop.header is None or blocks == 0:
            continue
        around, above, outside_lines = [], loop.parent, {}
        while above is not None:
            certain = graph.certain(above, loop)
            around.append((above.depth, pipes.count(graph.instructions(certain)),
                           pipes.count(graph.instructions(above.own - certain))))
            if above is loop.parent:
                outside_lines = by_line(graph.instructions(certain))
            above = above.parent
        always = set.intersection(*(graph.dominators[b] for b in loop.latches)) & loop.own
        hot.append(Hot(blocks, sum(1 for i in body if i.base == "FFMA" and EXPONENTIAL.match(i.operands[-1])), pipes.count(body),
                       len(graph.instructions(always)), around, by_line(body), outside_lines))
    unknown = sorted({i.opcode for i in graph.instructions(graph.reached) if pipes.pipe_of(i) is None})
    return Kernel(name, mangled, code, used["registers"], used["shared"], used["stack"], used["threads"],
                  len(graph.instructions(graph.common)), hot, unknown)


def kernels_of(paths):
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for n, path in enumerate(paths):
            inner = pathlib.Path(folder) / str(n)
            inner.mkdir()
            for file, code, text in cubins(path, inner):
                functions, labels = listing.parse(text)
                used = resources(file)
                names = kernel_resources.demangle(sorted(functions)) if functions else {}
                for mangled, instructions in functions.items():
                    if instructions and mangled in used:
                        found.append(study(names[mangled], mangled, code, used[mangled], instructions, labels[mangled]))
    return sorted(found, key=lambda k: (k.name, CODES.index(k.code)))


# --------------------------------------------------------------------------------------------------------------- bounds ---


@dataclass
class Pass:
    """A hot loop of a timed call. The kernel is looked for by its name, template arguments as c++filt writes them; the group `lanes` is
    the number of lanes that share a row (32: a warp)."""
    name: str
    kernel: str
    relaxed: bool = False  # looks at every point that weighs, not only at those that can win
    levels: int = 1  # loops around the hot one that belong to a step


# What a call of float32, hard, merged chain, shared omega runs.
CALLS = {
    "forward": [Pass("forward", r"^mvhg_forward<float, (?P<lanes>\d+)>$")],
    "forward+backward": [Pass("forward", r"^mvhg_forward<float, (?P<lanes>\d+)>$"),
                         Pass("backward", r"^mvhg_backward<float, (?P<lanes>\d+)>$", relaxed=True)],
}


def steps_of(case, relaxed):
    """Per drawn step of a case (shared omega, tau = 1): [(probability, first count, number of counts)] of its exact window, and
    the mean number of points in all."""
    import laws  # needs NumPy
    bits = RACE_BITS + (WEIGHT_BITS if relaxed else 0.0)
    steps = [[(w, int(k[0]), len(k)) for w, k, _ in step] for step in laws.merged_steps(case, laws.log_omega(case, "shared"), bits)]
    return steps, sum(w * n for step in steps for w, _, n in step)


def expected_rounds(windows, lanes, points):
    """Mean rounds of the hot loop for a step: windows begin at a whole Philox block, and the rows of a warp wait for each other."""
    chances = {}
    for weight, first, count in windows:
        span = count + first % POINTS_A_BLOCK
        rounds = -(-span // (lanes * points))
        chances[rounds] = chances.get(rounds, 0.0) + weight
    mean, below = 0.0, 0.0
    for rounds, chance in sorted(chances.items()):
        upto = below + chance
        mean += rounds * (upto ** (32 // lanes) - below ** (32 // lanes))
        below = upto
    return mean / below ** (32 // lanes)


def lane_instructions(hot, lanes, steps, levels):
    """Lane-instructions of one draw by pipe."""
    total = {}

    def add(counts, times):
        for pipe, n in counts.items():
            total[pipe] = total.get(pipe, 0.0) + n * times

    for windows in steps:
        add(hot.body, lanes * expected_rounds(windows, lanes, hot.points))
        add(hot.outside(levels), lanes)
    return total


# --------------------------------------------------------------------------------------------------------------- output ---


def total(counts):
    return sum(counts.values())


def occupancy_text(kernel):
    """Resident warps on each GPU whose code this is, of those that fit, and what limits them."""
    parts = []
    for gpu in pipes.GPUS:
        if gpu.code == kernel.code and kernel.threads:
            warps, limit = gpu.occupancy(kernel.registers, kernel.shared, kernel.threads)
            parts.append(f"{gpu.name} {warps}/{gpu.warps} ({limit})")
    return ", ".join(parts)


def kernel_lines(kernels):
    """The table of all loops that compute noise."""
    head = "".join(f"{pipe:>8}" for pipe in pipes.PIPES)
    yield f"{'kernel, loop':<62} {'code':<6} {'regs':>4} {'shared':>6} {'points':>6} {head} {'a point':>8} {'a step':>7} {'other':>6}"
    for kernel in kernels:
        for n, hot in enumerate(kernel.hot):
            a_point = hot.a_point()
            name = kernel.name if len(kernel.hot) == 1 else f"{kernel.name}, loop {n + 1}"
            cells = "".join(f"{a_point.get(pipe, 0):8.2f}" for pipe in pipes.PIPES)
            other = sum(total(rest) for _, _, rest in hot.around[:1])
            yield (f"{name:<62} {kernel.code:<6} {kernel.registers:4} {kernel.shared:6} {hot.points:6} {cells} {total(a_point):8.2f}"
                   f" {total(hot.outside()):7} {other:6}")


def line_table(kernels, pattern, code):
    """What the source lines cost, for whoever wants to make it less."""
    for kernel in kernels:
        if not re.search(pattern, kernel.name) or kernel.code != code:
            continue
        for n, hot in enumerate(kernel.hot):
            for title, lines, times in (("a point", hot.lines, hot.points), ("a step around the loop", hot.outside_lines, 1)):
                print(f"\n{kernel.name} {kernel.code}, loop {n + 1}: {sum(lines.values()) / times:.2f} {title}")
                for source, count in sorted(lines.items(), key=lambda item: (-item[1], str(item[0]))):
                    where = f"{pathlib.Path(source[0]).name}:{source[1]}" if source else "?"
                    text = source_line(source)
                    print(f"{count / times:8.2f}  {where:<24} {text}")


def source_line(source):
    try:
        return pathlib.Path(source[0]).read_text().splitlines()[source[1] - 1].strip()[:100] if source else ""
    except (OSError, IndexError):
        return ""


def bounds_of(kernels, cases):
    """[{call, case, gpu, lanes, ...}]: draws/s that instruction issue, and the busiest pipe, allow."""
    found = []
    steps = {(name, relaxed): steps_of(case, relaxed) for name, case in cases.items() for relaxed in (False, True)}
    for call, passes in CALLS.items():
        for gpu in pipes.GPUS:
            matching = [{int(m["lanes"]): k for k in kernels if k.code == gpu.code and k.hot and (m := re.search(p.kernel, k.name))}
                        for p in passes]
            for lanes in sorted(set.intersection(*(set(m) for m in matching))):
                for case in cases:
                    counts, points = {}, 0.0
                    for kernel, one in zip(matching, passes):
                        windows, mean = steps[case, one.relaxed]
                        points += mean
                        for pipe, n in lane_instructions(kernel[lanes].hot[0], lanes, windows, one.levels).items():
                            counts[pipe] = counts.get(pipe, 0.0) + n
                    issue, longest, limit = gpu.busiest(counts)
                    rate = gpu.multiprocessors * gpu.clock
                    found.append({"call": call, "case": case, "gpu": gpu.name, "code": gpu.code, "lanes": lanes, "points_a_draw": points,
                                  "lane_instructions_a_draw": total(counts), "draws_per_s_issue": rate / issue,
                                  "draws_per_s_busiest": rate / longest, "busiest": limit})
    return found


def bound_lines(bounds):
    yield (f"{'call':<18} {'case':<4} {'GPU':<9} {'code':<6} {'lanes':>5} {'points':>8} {'lane-instr.':>11} {'by issue':>10} {'by pipe':>10}"
           "  busiest")
    for b in bounds:
        yield (f"{b['call']:<18} {b['case']:<4} {b['gpu']:<9} {b['code']:<6} {b['lanes']:5} {b['points_a_draw']:8.1f}"
               f" {b['lane_instructions_a_draw']:11.0f} {b['draws_per_s_issue'] / 1e6:8.0f} M {b['draws_per_s_busiest'] / 1e6:8.0f} M"
               f"  {b['busiest']}")


def heading(options):
    """What the figures come from."""
    def version(command, pattern):
        try:
            return re.search(pattern, output(*command))[1]
        except (OSError, TypeError, subprocess.CalledProcessError):
            return "unknown"

    return {"date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "commit": version(["git", "-C", str(HERE), "describe", "--always", "--dirty=+"], r"(\S+)"),
            "nvcc": version(["nvcc", "--version"], r"release [\d.]+, V([\d.]+)"),
            "nvdisasm": version([tool("nvdisasm"), "--version"], r"V([\d.]+)"), "read": [str(f) for f in options.files]}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", help="cubins, objects, libraries or programs")
    parser.add_argument("--json", help="write everything to this file")
    parser.add_argument("--text", help="write what is printed to this file too")
    parser.add_argument("--lines", metavar="PATTERN", help="instead, what each source line costs in the kernels whose name has it")
    parser.add_argument("--code", default="sm_90", choices=CODES, help="for --lines (default sm_90)")
    options = parser.parse_args()
    for name in ("nvdisasm", "cuobjdump"):
        if not tool(name):
            print(f"SKIP: no {name} (scripts/setup.sh sass)")
            return 77
    kernels = kernels_of(options.files)
    if not kernels:
        print(f"sass_report: no code for {', '.join(CODES)} in {', '.join(options.files)}", file=sys.stderr)
        return 1
    if options.lines:
        line_table(kernels, options.lines, options.code)
        return 0

    head = heading(options)
    text = ["SASS report: instructions of the compiled kernels, counted; no GPU was used and nothing is measured",
            f"gumbelurn commit {head['commit']}, {head['date']}, nvcc {head['nvcc']}, nvdisasm {head['nvdisasm']}", "",
            "Loops that compute noise: lane-instructions a support point by pipe; around the loop a step (other: not in every step)", ""]
    text += kernel_lines(kernels)
    crowd = [f"{k.name:<62} {k.code:<6} {k.threads:4} threads a block: {occupancy_text(k)}" for k in kernels
             if k.hot and occupancy_text(k)]
    if crowd:
        text += ["", "Resident warps a multiprocessor, of the most there can be (and what limits them)", ""] + crowd
    bounds = []
    try:
        import peers
        bounds = bounds_of(kernels, peers.CASES)
    except ImportError:
        text += ["", "SKIP: bounds of draws/s: no NumPy (scripts/setup.sh test)"]
    if bounds:
        text += ["", "Estimates, not measurements: draws/s at most, by instruction issue and by the busiest pipe, shared omega, tau = 1, in"
                 " exact windows", *(f"{gpu.name}: {gpu.multiprocessors} multiprocessors at {gpu.clock / 1e9:.2f} GHz, {gpu.issue}"
                                     f" lane-instructions a clock each; {gpu.code} code" for gpu in pipes.GPUS), ""]
        text += bound_lines(bounds)
    unknown = sorted({opcode for k in kernels for opcode in k.unknown})
    if unknown:
        text += ["", f"opcodes in no pipe (bench/sass/pipes.py): {', '.join(unknown)}"]
    text = "\n".join(text) + "\n"
    print(text, end="")
    if options.text:
        pathlib.Path(options.text).write_text(text)
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(dict(head, kernels=[kernel_json(k) for k in kernels], bounds=bounds), indent=1)
                                              + "\n")
    return 0


def kernel_json(kernel):
    return {"name": kernel.name, "code": kernel.code, "registers": kernel.registers, "shared": kernel.shared, "stack": kernel.stack,
            "threads": kernel.threads, "instructions": kernel.instructions, "unknown": kernel.unknown,
            "loops": [{"points": hot.points, "philox_blocks": hot.blocks, "exponentials": hot.exponentials, "body": hot.body,
                       "certain": hot.certain, "a_point": total(hot.a_point()),
                       "around": [{"depth": depth, "certain": certain, "other": rest} for depth, certain, rest in hot.around]}
                      for hot in kernel.hot]}


if __name__ == "__main__":
    sys.exit(main())
