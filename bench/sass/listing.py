"""A listing of nvdisasm -c, with or without -g or -gi, as functions, basic blocks and loops."""
import re
from dataclasses import dataclass, field

SECTION = re.compile(r"^\s*\.section\s+\.text\.([^,\s]+)")
LABEL = re.compile(r"^([.$\w]+):")
LINE = re.compile(r'^\s*//## File "([^"]*)", line (\d+)( inlined at)?')
INSTRUCTION = re.compile(r"^\s*/\*([0-9a-f]+)\*/\s+(?:@(!?U?P[T\d]\w*)\s+)?([A-Z][\w.]*)\s*([^;]*);")
TARGET = re.compile(r"`\(([^)]+)\)")
TARGETS = re.compile(r'\(\*"(?:BRANCH_)?TARGETS ([^"]*)"\*\)')
ALWAYS = (None, "PT", "UPT")

# Where control does not go on to the next instruction, unless there is a predicate.
JUMPS = {"BRA", "BRX", "JMP", "JMX", "BRXU", "JMXU"}
ENDS = {"EXIT", "RET", "KILL"}


@dataclass
class Instruction:
    address: int
    predicate: str  # None: always executed
    opcode: str  # with its modifiers
    operands: list
    source: tuple  # file, line of the innermost function that it was compiled from; None without -g
    targets: list  # labels

    @property
    def base(self):
        return self.opcode.split(".")[0]

    @property
    def jumps(self):
        """Whether it goes to its targets for good. So does a CALL to a place within the function, which sm_80 code
        leaves loops by."""
        return self.base in JUMPS or (self.base == "CALL" and any(t.startswith(".L") for t in self.targets))

    @property
    def calls(self):
        return self.base == "CALL" and not self.jumps

    @property
    def conditional(self):
        """A jump that may not be taken: with a predicate before it or among its operands."""
        return self.predicate not in ALWAYS or (self.base == "BRA" and len(self.operands) > 1)


@dataclass
class Block:
    index: int
    instructions: list
    following: list = field(default_factory=list)  # indices of blocks
    preceding: list = field(default_factory=list)


@dataclass
class Loop:
    """A natural loop, or (header None) the whole function."""
    header: int
    blocks: set
    latches: set
    parent: "Loop" = None
    children: list = field(default_factory=list)

    @property
    def own(self):
        """Blocks that are in no loop inside this one."""
        return self.blocks.difference(*(child.blocks for child in self.children))

    @property
    def depth(self):
        return 0 if self.parent is None else self.parent.depth + 1


def parse(text):
    """{mangled name: [Instruction]} and, within it, the labels: ({name: [...]}, {name: {label: address}})."""
    functions, labels = {}, {}
    name, source, fresh, pending = None, None, True, []
    for line in text.splitlines():
        if match := SECTION.match(line):
            name = match[1]
            functions[name], labels[name] = [], {}
            source, pending = None, []
        elif name is None:
            continue
        elif match := LINE.match(line):
            # The first of a group of lines is the innermost function; those after it are its callers.
            if fresh:
                source, fresh = (match[1], int(match[2])), False
        elif match := INSTRUCTION.match(line):
            address, predicate, opcode, operands = int(match[1], 16), match[2], match[3], match[4]
            for label in pending:
                labels[name][label] = address
            pending, fresh = [], True
            targets = TARGET.findall(operands)
            if several := TARGETS.search(line):
                targets += [label.strip() for label in several[1].split(",")]
            operands = [part.strip() for part in re.sub(r"\(\*.*?\*\)", "", operands).split(",") if part.strip()]
            functions[name].append(Instruction(address, predicate, opcode, operands, source, targets))
        elif match := LABEL.match(line):
            pending.append(match[1])
    return functions, labels


class Graph:
    """The control-flow graph of one function, from its entry; what can't be reached (padding, called routines) is left
    out."""

    def __init__(self, instructions, labels):
        self.blocks = self._split(instructions, labels)
        self.entry = 0
        self.reached = self._reach(0, lambda b: self.blocks[b].following, set())
        self.common = self._common()
        self.dominators = self._dominate()
        self.root = self._nest()

    def _split(self, instructions, labels):
        at = {i.address: n for n, i in enumerate(instructions)}
        # A label at the end of the section, or of a routine elsewhere, is no place to go to.
        place = {label: at[address] for label, address in labels.items() if address in at}
        leaders = {0}
        for n, i in enumerate(instructions):
            if i.base in JUMPS | ENDS | {"CALL"} or i.opcode.startswith("WARPSYNC.COLLECTIVE"):
                leaders.add(n + 1)
                leaders.update(place[t] for t in i.targets if t in place)
        starts = sorted(n for n in leaders if n < len(instructions))
        number = {n: b for b, n in enumerate(starts)}
        blocks = [Block(b, instructions[s:e]) for b, (s, e) in enumerate(zip(starts, starts[1:] + [len(instructions)]))]
        for block, end in zip(blocks, starts[1:] + [len(instructions)]):
            last = block.instructions[-1]
            if last.jumps or last.opcode.startswith("WARPSYNC.COLLECTIVE"):
                block.following = [number[place[t]] for t in last.targets if t in place]
            stays = last.conditional or not (last.jumps or last.base in ENDS)
            if stays and end in number:
                block.following.append(number[end])
            for f in block.following:
                blocks[f].preceding.append(block.index)
        return blocks

    @staticmethod
    def _reach(start, following, avoid):
        seen, todo = set(), [start]
        while todo:
            b = todo.pop()
            if b not in seen and b not in avoid:
                seen.add(b)
                todo.extend(following(b))
        return seen

    def _dominate(self):
        """{block: the blocks on every ordinary path to it}"""
        order = sorted(self.common)
        dominators = {b: set(order) for b in order}
        dominators[self.entry] = {self.entry}
        changed = True
        while changed:
            changed = False
            for b in order:
                if b == self.entry:
                    continue
                before = [dominators[p] for p in self.blocks[b].preceding if p in self.common]
                new = set.intersection(*before) | {b}
                if new != dominators[b]:
                    dominators[b], changed = new, True
        return dominators

    def _common(self):
        """Reached blocks that ordinary runs may visit: on a path from the entry to an exit which calls no routine of the
        compiler's (slow cases of division and square root) and takes no BRA.DIV (lanes that have come apart)."""
        rare = {b for b in self.reached if any(i.calls for i in self.blocks[b].instructions)}
        for b in self.reached:
            last = self.blocks[b].instructions[-1]
            if last.opcode.startswith("BRA.DIV"):
                rare.add(self.blocks[b].following[0])
        from_entry = self._reach(self.entry, lambda b: self.blocks[b].following, rare)
        ends = [b for b in from_entry if self.blocks[b].instructions[-1].base in ENDS]
        to_end = set()
        for b in ends:
            to_end |= self._reach(b, lambda b: self.blocks[b].preceding, rare)
        return from_entry & to_end

    def _nest(self):
        loops = {}
        for b in self.common:
            for header in self.blocks[b].following:
                if header in self.dominators[b] and header in self.common:
                    body = self._reach(b, lambda x: self.blocks[x].preceding, {header}) | {header}
                    loop = loops.setdefault(header, Loop(header, set(), set()))
                    loop.blocks |= body & self.common
                    loop.latches.add(b)
        root = Loop(None, set(self.common), {b for b in self.common if self.blocks[b].instructions[-1].base in ENDS})
        every = sorted(loops.values(), key=lambda loop: len(loop.blocks)) + [root]
        for n, loop in enumerate(every[:-1]):
            loop.parent = next(p for p in every[n + 1:] if loop.blocks < p.blocks)
            loop.parent.children.append(loop)
        return root

    def loops(self):
        """All loops, the whole function first."""
        found, todo = [], [self.root]
        while todo:
            loop = todo.pop()
            found.append(loop)
            todo.extend(loop.children)
        return sorted(found, key=lambda loop: (loop.depth, loop.header or 0))

    def certain(self, loop, inner):
        """Of the loop's own blocks, those that every round passes in which `inner`, a loop inside it, is entered."""
        def ends_without(b):
            """Can the round end after `inner` without passing b?"""
            seen = self._reach(inner.header, lambda x: [] if x in loop.latches else loop.blocks & set(self.blocks[x].following), {b})
            return not seen.isdisjoint(loop.latches)

        return {b for b in loop.own if b in self.dominators[inner.header] or not ends_without(b)}

    def instructions(self, blocks):
        return [i for b in sorted(blocks) for i in self.blocks[b].instructions]
