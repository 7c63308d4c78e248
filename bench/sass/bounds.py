"""Bounds of draws/s: what the kernels' instructions allow a GPU in the urns of the benchmark."""
import math
import pathlib
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass

import pipes
from kernels import POINTS_A_BLOCK, add, total

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]


@dataclass
class Pass:
    """A hot loop of a timed call. The kernel is looked for by its name, template arguments as c++filt writes them; the group `lanes` is
    the number of lanes that share a row (32: a warp)."""
    kernel: str
    levels: int  # loops around the hot one that belong to a step; the next is that over rows
    swept: float  # bits of the window that the kernel sweeps
    points: float  # bits of the window whose points are counted


# kernels/mvhg.h: a count RACE bits above the mode's cost can not win, and one SURE bits above it only if the best race
# value is over SURE_RACE, in which case the step is swept again. One RELAXED bits above can not weigh at tau = 1.
SURE, SURE_RACE, RACE, RELAXED = 33.0, 1.4, 38.1, 38.1 + 24.0

# Lanes that share a row in the urns of the benchmark (kernels/mvhg.cuh, gurn_lanes_of).
LANES = {"S1": 4, "S2": 4, "S3": 32}


def passes(with_p):
    """What float32, hard, merged chain, shared omega, tau = 1 runs a step for."""
    return {"forward": [Pass(rf"^mvhg_race<(?P<lanes>\d+), {with_p}>$", 2, SURE, RACE)],
            "forward+backward": [Pass(rf"^mvhg_race<(?P<lanes>\d+), {with_p}>$", 2, SURE, RACE),
                                 Pass(r"^mvhg_pull<(?P<lanes>\d+), false>$", 1, RELAXED, RELAXED)]}


CALLS = {"x": passes("false"), "x,log_p": passes("true")}


def is_called(kernel):
    """Whether a call in CALLS runs the kernel of this name."""
    return any(re.search(one.kernel, kernel) for calls in CALLS.values() for parts in calls.values() for one in parts)


def swept_windows(lines):
    """[(first, last count)] of the kernels' windows for lines (m, m_rest, n, base-2 log odds, bits)."""
    with tempfile.TemporaryDirectory() as folder:
        program = f"{folder}/windows"
        subprocess.run([shutil.which("cc") or "gcc", "-std=gnu11", "-O2", f"-I{ROOT}", f"-I{ROOT}/include", str(HERE / "windows.c"),
                        "-o", program, "-lm"], check=True)
        text = subprocess.run([program], input="\n".join(" ".join(map(repr, line)) for line in lines), check=True, capture_output=True,
                              text=True).stdout
    return [tuple(map(int, line.split())) for line in text.splitlines()]


@dataclass
class Steps:
    """The drawn steps of a case for one window."""
    points: float  # a draw, mean
    swept: list  # per step [(probability, first count, number of counts, chance of a second sweep)] of what kernels sweep


def steps_of(case, points_bits, swept_bits):
    import laws  # needs NumPy
    log_omega = laws.log_omega(case, "shared")
    odds = laws.rest_log_odds(log_omega, case["m"])
    law = laws.merged_steps(case, log_omega, points_bits)
    where = [(case["m"][i], sum(case["m"][i + 1:]), n, float(odds[i] / math.log(2.0)), swept_bits) for i, step in enumerate(law)
             for n, _, _, _ in step]
    windows = iter(swept_windows(where))
    swept = []
    for step in law:
        swept.append([(weight, low, high - low + 1, chance_of_again(p) if swept_bits == SURE else 0.0)
                      for (_, weight, _, p), (low, high) in zip(step, windows)])
    return Steps(sum(weight * len(k) for step in law for _, weight, k, _ in step), swept)


def chance_of_again(p):
    """That the least of the race values E 2^cost is over SURE_RACE: exp(-ln 2 SURE_RACE sum 2^-cost), the mode's cost being
    anything from 0 to 1 bit (costs are taken from whole bits on)."""
    rate = math.log(2.0) * SURE_RACE / max(p)
    return sum(math.exp(-rate * 2.0 ** (-(i + 0.5) / 16)) for i in range(16)) / 16


def expected_rounds(windows, lanes, points):
    """Mean rounds of the hot loop for a step: windows begin at a whole Philox block, and the rows of a warp wait for
    each other."""
    chances = {}
    for weight, first, count, _ in windows:
        span = count + first % POINTS_A_BLOCK
        rounds = -(-span // (lanes * points))
        chances[rounds] = chances.get(rounds, 0.0) + weight
    together = max(1, 32 // lanes)
    mean, below = 0.0, 0.0
    for rounds, chance in sorted(chances.items()):
        upto = below + chance
        mean += rounds * (upto ** together - below ** together)
        below = upto
    return mean / below ** together


def lane_instructions(hot, lanes, steps, levels):
    """Lane-instructions of one draw: (by pipe, share of it that is in the hot loop)."""
    counts, loop = {}, 0.0
    for windows in steps.swept:
        again = sum(weight * chance for weight, _, _, chance in windows)
        sweeps = 1.0 + 1.0 - (1.0 - again) ** max(1, 32 // lanes)  # a row that has to makes its whole warp go again
        rounds = expected_rounds(windows, lanes, hot.points) * sweeps
        add(counts, hot.body, lanes * rounds)
        loop += total(hot.body) * lanes * rounds
        for level in range(levels):  # with two, the inner one is that of sweeps
            add(counts, hot.around[level].once, lanes * (sweeps if levels > 1 and level == 0 else 1))
    if len(hot.around) > levels:
        add(counts, hot.around[levels].once, lanes)  # a row
    return counts, loop / total(counts)


def bounds_of(kernels, cases):
    """[{call, of, case, gpu, lanes, ...}]: draws/s that instruction issue, and the busiest pipe, allow."""
    found, steps = [], {}
    for of, calls in CALLS.items():
        for call, parts in calls.items():
            for gpu in pipes.GPUS:
                matching = [{int(m["lanes"]): k for k in kernels
                             if k.code == gpu.code and k.hot and (m := re.search(p.kernel, k.name))} for p in parts]
                for case in cases:
                    for lanes in sorted(set.intersection(*(set(m) for m in matching))):
                        counts, points, in_loop = {}, 0.0, 0.0
                        for kernel, one in zip(matching, parts):
                            key = case, one.points, one.swept
                            if key not in steps:
                                steps[key] = steps_of(cases[case], one.points, one.swept)
                            mine, share = lane_instructions(kernel[lanes].hot[0], lanes, steps[key], one.levels)
                            add(counts, mine)
                            points += steps[key].points
                            in_loop += share * total(mine)
                        issue, longest, limit = gpu.busiest(counts)
                        rate = gpu.multiprocessors * gpu.clock
                        found.append({"call": call, "of": of, "case": case, "gpu": gpu.name, "code": gpu.code, "lanes": lanes,
                                      "points_a_draw": points, "lane_instructions_a_draw": total(counts),
                                      "share_in_loop": in_loop / total(counts), "by_pipe": counts, "draws_per_s_issue": rate / issue,
                                      "draws_per_s_busiest": rate / longest, "busiest": limit})
    return found
