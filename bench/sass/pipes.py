"""Which pipe executes an opcode, and how fast the GPUs of the report are. Assumptions all: see bench/README.md."""
from dataclasses import dataclass

PIPES = ["FMA", "IMAD", "ALU", "FP64", "MUFU", "SHFL", "LD/ST", "uniform", "control"]

_OPCODES = {
    "FMA": "FADD FFMA FMUL FSWZADD FADD32I FFMA32I FMUL32I FADD2 FFMA2 FMUL2 HADD2 HFMA2 HMUL2",
    "IMAD": "IMAD IMUL IMAD32I IMUL32I IDP IDP4A",
    "ALU": "IADD IADD3 IADD32I VIADD VIADDMNMX VIMNMX VIMNMX3 IMNMX IABS ISCADD LEA LOP LOP3 LOP32I SHF SHL SHR SGXT BMSK PRMT "
           "MOV MOV32I SEL ISETP ISET ICMP FSETP FSET FCMP FSEL FMNMX FMNMX3 FCHK I2FP F2FP F2IP I2IP PLOP3 PSETP P2R R2P VOTE "
           "VABSDIFF VABSDIFF4 HSETP2 HSET2 HMNMX2 CS2R IADD64 VHMNMX",
    "FP64": "DADD DFMA DMUL DSETP DMNMX",
    "MUFU": "MUFU F2F F2I FRND I2F FLO POPC BREV",
    "SHFL": "SHFL REDUX CREDUX MATCH",
    "LD/ST": "LD LDG LDS LDSM LDL LDC LDGSTS ST STG STS STSM STL ATOM ATOMG ATOMS ATOMF RED REDG REDS CCTL CCTLL CCTLT FENCE MEMBAR "
             "ERRBAR SUST SULD UBLKCP UTMALDG UTMASTG LDGDEPBAR",
    "control": "BRA BRX BRXU JMP JMX JMXU CALL RET EXIT KILL BSSY BSYNC BREAK BMOV WARPSYNC ENDCOLLECTIVE YIELD NANOSLEEP BAR "
               "DEPBAR BPT NOP S2R PREEXIT ACQBULK ELECT SYNCS B2R R2B GETLMEMBASE SETLMEMBASE RPCMOV",
}
_PIPE = {opcode: pipe for pipe, opcodes in _OPCODES.items() for opcode in opcodes.split()}


def pipe_of(instruction):
    """One of PIPES; None for an opcode that is not in the table."""
    if instruction.base in _PIPE:
        return _PIPE[instruction.base]
    # The uniform datapath's opcodes are named after those of the lanes.
    if instruction.base.startswith(("U", "R2UR", "S2UR", "LDCU", "VOTEU")):
        return "uniform"
    return None


def count(instructions):
    """{pipe: instructions}, without those that are not there; 'other' for opcodes that pipe_of does not know."""
    counts = {}
    for i in instructions:
        pipe = pipe_of(i) or "other"
        counts[pipe] = counts.get(pipe, 0) + 1
    return counts


@dataclass
class Gpu:
    name: str
    code: str  # the compiled code that stands for it, or is it
    multiprocessors: int
    clock: float  # Hz
    lanes: dict  # results a clock and multiprocessor, by pipe; FMA counts IMAD too, which shares it
    warps: int  # resident at most, a multiprocessor
    blocks: int
    shared: int  # bytes a multiprocessor
    issue: int = 128  # four schedulers, an instruction of 32 lanes each a clock

    def busiest(self, counts):
        """Clocks that a multiprocessor takes for so many lane-instructions: (to issue them, of the busiest pipe, that
        pipe or 'issue')."""
        counts = dict(counts)
        clocks = {"issue": sum(counts.values()) / self.issue}
        counts["FMA"] = counts.get("FMA", 0) + counts.get("IMAD", 0)
        for pipe, rate in self.lanes.items():
            clocks[pipe] = counts.get(pipe, 0) / rate
        longest = max(clocks, key=clocks.get)
        return clocks["issue"], clocks[longest], longest

    def occupancy(self, registers, shared, threads):
        """Resident warps a multiprocessor for blocks of so many threads, and what limits them. Registers are given out in units
        of 8 a lane, shared memory with 1 KiB of the system's a block (none before sm_80)."""
        warps = -(-threads // 32)
        a_block = -(-registers // 8) * 8 * 32 * warps
        limits = {"warps": self.warps // warps, "blocks": self.blocks, "registers": 65536 // a_block if a_block else self.blocks,
                  "shared memory": self.shared // (shared + 1024)}
        least = min(limits, key=limits.get)
        return limits[least] * warps, least


# Clocks are the boost clocks that NVIDIA states: A100 SXM 1.41 GHz, H100 SXM 1.98 GHz, RTX 4090 2.52 GHz. Rates are
# those of the table of arithmetic throughput in the CUDA C++ Programming Guide for compute capabilities 8.0, 9.0 and
# 8.9. There is no code for sm_89 in an all-major build: an RTX 4090 runs that of sm_80.
GPUS = [
    Gpu("A100", "sm_80", 108, 1.41e9, {"FMA": 64, "IMAD": 64, "ALU": 64, "FP64": 32, "MUFU": 16, "SHFL": 32, "LD/ST": 32}, 64, 32,
        164 << 10),
    Gpu("H100", "sm_90", 132, 1.98e9, {"FMA": 128, "IMAD": 64, "ALU": 64, "FP64": 64, "MUFU": 16, "SHFL": 32, "LD/ST": 32}, 64, 32,
        228 << 10),
    Gpu("RTX 4090", "sm_80", 128, 2.52e9, {"FMA": 128, "IMAD": 64, "ALU": 64, "FP64": 2, "MUFU": 16, "SHFL": 32, "LD/ST": 32}, 48,
        24, 100 << 10),
]
