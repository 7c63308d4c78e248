"""Kernels in what nvcc wrote: their loops that compute noise, counted."""
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field

import listing
import pipes

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "scripts"))
import kernel_resources  # noqa: E402

CODES = ["sm_80", "sm_90", "sm_100"]
PHILOX = {0xD2511F53, 0xCD9E8D57}  # its two multipliers: in each of ten rounds one word is multiplied by each
POINTS_A_BLOCK = 4  # of Philox: its four words are the noise of four neighbouring counts
# The last coefficient of the logarithm's polynomial, times 2^23 or 1: one multiplication by it is one exponential
# variate.
EXPONENTIAL = re.compile(r"^(12102202|1\.44269\d*)$")


# ---------------------------------------------------------------------------------------------------------- disassembly ---


def tool(name):
    """nvdisasm or cuobjdump: of .venv, whose version is known to read what nvcc writes, or of the PATH."""
    for place in sorted((ROOT / ".venv").glob(f"lib/python3*/site-packages/nvidia/*/bin/{name}")):
        return str(place)
    return shutil.which(name)


def output(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True, errors="replace").stdout


def cubins(path, folder):
    """[(file, code, listing)] of a cubin, or of all that an object, a library or a program holds."""
    path = pathlib.Path(path).resolve()
    if path.suffix != ".cubin":
        subprocess.run([tool("cuobjdump"), "-xelf", "all", str(path)], check=True, cwd=folder, capture_output=True)
        files = sorted(pathlib.Path(folder).glob("*.cubin"))
    else:
        files = [path]
    found = []
    for file in files:
        text = output(tool("nvdisasm"), "-c", "-gi", str(file))
        if (code := re.search(r"\.target\s+(sm_\w+)", text)) and code[1] in CODES:
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


def total(counts):
    return sum(counts.values())


def add(counts, more, times=1):
    """counts, to which more is added so many times."""
    for pipe, n in more.items():
        counts[pipe] = counts.get(pipe, 0) + n * times
    return counts


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
class Level:
    """A loop around a hot one, counted by pipe."""
    certain: dict  # in every round in which the hot loop is entered
    inner: dict  # in the other loops that are directly inside, going round once each
    other: dict  # what is not in every round
    lines: dict  # of what is certain and inner

    @property
    def once(self):
        return add(dict(self.certain), self.inner)


@dataclass
class Hot:
    """A loop that computes noise, and what is around it."""
    blocks: int  # of Philox a lane and round
    exponentials: int  # as counted by themselves; 0 where the constant is not to be seen
    body: dict  # lane-instructions a round by pipe
    certain: int  # of them executed in every round
    around: list  # [Level], from the loop around it out to the whole kernel
    lines: dict = field(default_factory=dict)

    @property
    def points(self):
        return POINTS_A_BLOCK * self.blocks

    def a_point(self):
        return {pipe: n / self.points for pipe, n in self.body.items()}

    def outside(self, levels):
        """Lane-instructions a step around the hot loop, by pipe: of the innermost `levels` loops around it."""
        counts = {}
        for level in self.around[:levels]:
            add(counts, level.once)
        return counts


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


def levels_around(graph, loop):
    levels, below = [], loop
    while (above := below.parent) is not None:
        certain = graph.certain(above, loop)
        inner = set().union(*(child.blocks for child in above.children if child is not below))
        once = graph.instructions(certain | inner)
        levels.append(Level(pipes.count(graph.instructions(certain)), pipes.count(graph.instructions(inner)),
                            pipes.count(graph.instructions(above.own - certain)), by_line(once)))
        below = above
    return levels


def study(name, mangled, code, used, instructions, labels):
    graph = listing.Graph(instructions, labels)
    holders = holders_of_multipliers(instructions)
    noisy = {loop.header: philox_blocks(graph.instructions(loop.own), holders) for loop in graph.loops() if loop.header is not None}
    hot = []
    for loop in graph.loops():
        if not noisy.get(loop.header) or any(noisy.get(b) for b in loop.blocks if b != loop.header):
            continue  # no noise, or a loop inside that has it
        body = graph.instructions(loop.own)
        always = set.intersection(*(graph.dominators[b] for b in loop.latches)) & loop.own
        hot.append(Hot(noisy[loop.header],
                       sum(1 for i in body if i.base == "FFMA" and EXPONENTIAL.match(i.operands[-1])), pipes.count(body),
                       len(graph.instructions(always)), levels_around(graph, loop), by_line(body)))
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
