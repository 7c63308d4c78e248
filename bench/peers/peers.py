#!/usr/bin/env python3
"""Times gumbelurn and whichever peers are installed on the same urns, in one run, after checking that they sample the same law.

Peers, each used as its users would, none of them part of this repository:
  published   the PyTorch package `mvhg` of the MVHG paper, from a checkout given by --published (needs torch)
  scipy       scipy.stats.nchypergeom_fisher, a chain of univariate draws with the merged chain's odds ([MVHG] Eq. 3)
  numpy       numpy's multivariate_hypergeometric (all omega equal)
  biasedurn   R's BiasedUrn::rMFNCHypergeo (one omega for all rows; approximates Eq. 1, not the merged chain)

Prints tables of draws per second and of ratios; --json writes everything. See ../README.md.
"""
import argparse
import datetime
import json
import os
import pathlib
import platform
import re
import subprocess
import sys
import time

import numpy as np

import laws
import samplers

ROOT = pathlib.Path(__file__).resolve().parents[2]

CASES = {  # the urns of ../bench_mvhg.c
    "S1": dict(m=[200] * 3, n=180, omega=[1, 5, 1], rows=32768),
    "S2": dict(m=[256] * 10, n=256, omega=[1 + 0.5 * i for i in range(10)], rows=8192),
    "S3": dict(m=[20000] * 3, n=18000, omega=[1, 5, 1], rows=8192),
}
# Rows of a call of the published code, tried in turn (its memory grows with rows * m^2).
PUBLISHED_ROWS = {"S1": [64, 256, 1024], "S2": [16, 64], "S3": [1]}
Z_BOUND = 5.0


def machine():
    name = platform.processor() or platform.machine()
    try:
        for line in open("/proc/cpuinfo"):
            if line.startswith("model name"):
                name = line.split(":", 1)[1].strip()
                break
    except OSError:
        pass
    return name


def commit():
    try:
        return subprocess.run(["git", "-C", str(ROOT), "describe", "--always", "--dirty=+"], check=True,
                              capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def measure(call, seconds, least=5, most=1000):
    """Seconds of each of several calls, after one that is not counted."""
    call()
    times = []
    while len(times) < least or (sum(times) < seconds and len(times) < most):
        begin = time.perf_counter()
        call()
        times.append(time.perf_counter() - begin)
    return times


class Run:
    def __init__(self, options):
        self.options = options
        self.results, self.checks, self.skipped = [], [], []
        self.failed = False

    def note(self, line):
        print(line, flush=True)

    def skip(self, what, why):
        self.skipped.append({"what": what, "why": why})
        self.note(f"SKIP: {what}: {why}")

    def result(self, **r):
        times = sorted(r.pop("times"))
        median = times[len(times) // 2] if len(times) % 2 else 0.5 * (times[len(times) // 2 - 1] + times[len(times) // 2])
        r.update(repetitions=len(times), seconds_median=median, seconds_min=times[0], draws_per_s=r["rows"] / median,
                 draws_per_s_best=r["rows"] / times[0])
        self.results.append(r)
        self.note(f"{r['case']:4} {r['omega']:8} {r['pass']:17} {r['who']:10} threads {r['threads']:2}  rows {r['rows']:7}"
                  f"  {r['draws_per_s']:14.1f} draws/s (best {r['draws_per_s_best']:.1f})")

    def check(self, case, omega, who, law, x, expected, slack=0.0):
        """Means against the expectation: |z| <= 5 for every class, or within slack (relative to the expectation)."""
        z, worst = laws.z_of_means(x, expected, slack)
        passed = bool(z <= Z_BOUND)
        self.failed |= not passed
        self.checks.append({"case": case, "omega": omega, "who": who, "law": law, "draws": len(x), "largest_z": z,
                            "largest_relative_difference": worst, "slack": slack, "passed": passed,
                            "mean": [float(v) for v in x.mean(axis=0)], "expected": [float(v) for v in expected]})
        self.note(f"{case:4} {omega:8} law of {who}: {law}; {len(x)} draws, largest |z| {z:.2f}"
                  f"{f' beyond {slack:.1%}' if slack else ''}: {'same' if passed else 'DIFFERENT'}")


# ------------------------------------------------------------------------------------------------------------ peers ---

def run_ours(run, library, name, case, omega, log_omega):
    threads = sorted({1, run.options.threads})
    for count in threads:
        ours = samplers.Gumbelurn(library, case["m"], case["n"], log_omega, case["rows"], count)
        if count == threads[0]:
            x = ours.draw()
            assert (x.sum(axis=1) == case["n"]).all() and (x >= 0).all() and (x <= case["m"][0]).all()
            if omega != "row":
                run.check(name, omega, "gumbelurn", "merged chain", x, laws.merged_mean(case, log_omega))
            else:  # every row has a law of its own: compared with the mean of the rows' expectations
                run.check(name, omega, "gumbelurn", "merged chain, mean over rows", x[:ROWS_CHECKED],
                          laws.merged_mean_of_rows(case, log_omega[:ROWS_CHECKED]))
        for passes, call in (("forward", ours.forward), ("forward+backward", ours.forward_backward)):
            run.result(case=name, omega=omega, **{"pass": passes}, who="gumbelurn", threads=count, rows=case["rows"],
                       times=measure(call, run.options.seconds))
        ours.close()


def run_plain(run, library, name, case, omega, log_omega):
    """Plain draws, which are of Eq. 1 itself: beside peers that have no gradients either."""
    for count in sorted({1, run.options.threads}):
        ours = samplers.GumbelurnPlain(library, case["m"], case["n"], log_omega, case["rows"], count)
        if count == 1:
            x = ours.draw()
            assert (x.sum(axis=1) == case["n"]).all() and (x >= 0).all() and (x <= case["m"][0]).all()
            rows = [log_omega] if omega != "row" else log_omega[:ROWS_CHECKED]
            expected = sum(laws.exact_mean(dict(case, omega=np.exp(np.asarray(row, dtype=np.float64)))) for row in rows)
            run.check(name, omega, "gumbelurn", "Eq. 1, plain" + (", mean over rows" if omega == "row" else ""),
                      x if omega != "row" else x[:ROWS_CHECKED], expected / len(rows))
        run.result(case=name, omega=omega, **{"pass": "plain"}, who="gumbelurn", threads=count, rows=case["rows"],
                   times=measure(ours.forward, run.options.seconds))
        ours.close()


ROWS_CHECKED = 64  # rows of their own omega whose expectation is computed exactly


def run_published(run, name, case, omega, log_omega):
    for rows in PUBLISHED_ROWS[name]:
        need = samplers.Published.bytes_needed(case, rows)
        if need > 0.6 * samplers.memory_available():
            run.skip(f"published, {name}, {rows} rows", f"would take about {need / 2**30:.0f} GiB")
            continue
        peer = samplers.Published(run.options.published, case, log_omega, rows, run.options.threads)
        if omega == "shared" and rows == PUBLISHED_ROWS[name][-1] and name != "S3":
            x = peer.draw_many(2048)
            run.check(name, omega, "published", "merged chain", x, laws.merged_mean(case, log_omega))
        for passes, call in (("forward", peer.forward), ("forward+backward", peer.forward_backward)):
            least = 3 if name == "S3" else 5
            run.result(case=name, omega=omega, **{"pass": passes}, who="published", threads=run.options.threads,
                       rows=rows, times=measure(call, run.options.seconds, least))


def run_scipy(run, name, case, omega, log_omega):
    rows = {"S1": 4096, "S2": 1024, "S3": 4096}[name]
    peer = samplers.Scipy(case, log_omega, rows)
    if omega == "shared":
        run.check(name, omega, "scipy", "merged chain", peer.forward(), laws.merged_mean(case, log_omega))
    run.result(case=name, omega=omega, **{"pass": "forward"}, who="scipy", threads=1, rows=rows,
               times=measure(peer.forward, run.options.seconds))


def run_numpy(run, name, case, log_omega):
    rows = case["rows"]
    peer = samplers.Numpy(case, rows)
    x = peer.forward()
    run.check(name, "central", "numpy", "central hypergeometric", x, laws.merged_mean(case, log_omega))
    run.result(case=name, omega="central", **{"pass": "forward"}, who="numpy", threads=1, rows=rows,
               times=measure(peer.forward, run.options.seconds))


def run_biasedurn(run, name, case):
    """Timed inside R, so that starting R and passing the draws on are not counted."""
    answer = samplers.biasedurn(case, run.options.seconds)
    # BiasedUrn's own word: its multivariate draws are approximate. 0.5 % of each mean is allowed.
    run.check(name, "shared", "biasedurn", "Eq. 1, approximately", answer["x"], laws.exact_mean(case), slack=0.005)
    run.result(case=name, omega="shared", **{"pass": "forward"}, who="biasedurn", threads=1, rows=answer["rows"],
               times=answer["times"])


# ----------------------------------------------------------------------------------------------------------- report ---

def best(results, **wanted):
    found = [r for r in results if all(r[key] == value for key, value in wanted.items())]
    return max(found, key=lambda r: r["draws_per_s"], default=None)


def ratios(results, threads):
    rows = []
    for case in CASES:
        for omega in ("shared", "row", "central"):
            for passes in ("forward", "forward+backward", "plain"):
                key = {"case": case, "omega": omega, "pass": passes}
                theirs = dict(key, **{"pass": "forward" if passes == "plain" else passes})
                ours = best(results, who="gumbelurn", threads=threads, **key)
                one = best(results, who="gumbelurn", threads=1, **key)
                for who in ("published", "scipy", "numpy", "biasedurn"):
                    if passes == "plain" and who == "published":
                        continue  # whose draws have gradients
                    peer = best(results, who=who, **theirs)
                    if ours and peer:
                        rows.append(dict(key, peer=who, peer_rows=peer["rows"], peer_draws_per_s=peer["draws_per_s"],
                                         ours_draws_per_s=ours["draws_per_s"],
                                         ratio=ours["draws_per_s"] / peer["draws_per_s"],
                                         ratio_on_one_thread=one["draws_per_s"] / peer["draws_per_s"]))
    return rows


def table(rows, threads):
    lines = [f"{'case':4} {'omega':8} {'pass':17} {'peer':10} {'peer draws/s':>14} {'ours, 1 thread':>16}"
             f" {f'ours, {threads} threads':>17} {'ratio':>9} {'on 1':>9}"]
    for r in rows:
        one = r["ratio_on_one_thread"] * r["peer_draws_per_s"]
        lines.append(f"{r['case']:4} {r['omega']:8} {r['pass']:17} {r['peer']:10} {r['peer_draws_per_s']:14.1f} {one:16.0f}"
                     f" {r['ours_draws_per_s']:17.0f} {r['ratio']:9.2f} {r['ratio_on_one_thread']:9.2f}")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--library", default=str(ROOT / "build/cpu/libgumbelurn.so"), help="gumbelurn's shared library")
    parser.add_argument("--published", help="a checkout of the published package: the folder that holds mvhg/")
    parser.add_argument("--case", default="S1,S2,S3", help="some of S1,S2,S3")
    parser.add_argument("--peers", default="published,scipy,numpy,biasedurn", help="some of these")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="ours and torch's; the others have one")
    parser.add_argument("--seconds", type=float, default=2.0, help="at least so long on each line, and at least 5 calls")
    parser.add_argument("--json", help="file for all results")
    parser.add_argument("--text", help="file for the tables")
    parser.add_argument("--record", action="store_true", help="both into ../results/DATE-MACHINE-peers.{json,txt}")
    options = parser.parse_args()
    if options.record:
        name = re.sub(r"[^A-Za-z0-9]+", "-", f"{machine()}-{os.cpu_count()}-cores")
        stem = ROOT / "bench/results" / f"{datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d}-{name}-peers"
        options.json, options.text = f"{stem}.json", f"{stem}.txt"
    names, peers = options.case.split(","), options.peers.split(",")
    for name in names:
        if name not in CASES:
            parser.error(f"--case: there is no {name}")

    run = Run(options)
    library = samplers.Library(options.library)
    versions = {"gumbelurn": library.version(), "python": platform.python_version(), **samplers.versions()}
    header = {"date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"), "commit": commit(),
              "processor": machine(), "cores": os.cpu_count(), "system": platform.platform(), "threads": options.threads,
              "isa": library.isa(), "versions": versions}
    head = (f"gumbelurn {versions['gumbelurn']}, commit {header['commit']}, {header['date']}\n{header['processor']},"
            f" {header['cores']} cores, isa {header['isa']}\n" + ", ".join(f"{k} {v}" for k, v in versions.items() if v))
    run.note(head + "\n")

    usable = {}
    for who in peers:
        why = samplers.why_not(who, options.published)
        usable[who] = why is None
        if why:
            run.skip(who, why)
    for name in names:
        case = CASES[name]
        for omega in ("shared", "row", "central"):
            log_omega = laws.log_omega(case, omega)
            if omega == "central" and not usable.get("numpy"):
                continue
            run_ours(run, library, name, case, omega, log_omega)
            run_plain(run, library, name, case, omega, log_omega)
            if omega == "central":
                run_numpy(run, name, case, log_omega)
                continue
            if usable.get("scipy"):
                run_scipy(run, name, case, omega, log_omega)
            if usable.get("published"):
                run_published(run, name, case, omega, log_omega)
            if omega == "shared" and usable.get("biasedurn"):
                run_biasedurn(run, name, case)

    rows = ratios(run.results, options.threads)
    text = (head + "\n\ndraws per second, medians; a peer at the best of the batch sizes tried\n" + table(rows, options.threads)
            + "\n\n" + "\n".join(f"{c['case']:4} {c['omega']:8} {c['who']:10} {c['law']}: {c['draws']} draws, largest |z|"
                                 f" {c['largest_z']:.2f}" + (f" beyond {c['slack']:.1%}" if c["slack"] else "")
                                 for c in run.checks)
            + "".join(f"\nskipped: {s['what']}: {s['why']}" for s in run.skipped) + "\n")
    print("\n" + text)
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(dict(header, ratios=rows, checks=run.checks, skipped=run.skipped,
                                                              results=run.results), indent=1) + "\n")
    if options.text:
        pathlib.Path(options.text).write_text(text)
    if run.failed:
        print("peers: some samplers do not draw the law that they are compared on", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
