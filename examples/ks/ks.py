#!/usr/bin/env python3
"""Experiments 5.1 and C.1.1 of the MVHG paper: are the draws of the program those of the law that they claim?

Three classes with importances 1, omega2, 1. The two-sample Kolmogorov-Smirnov test of every class's counts, `gumbelurn sample`
against reference draws that share nothing with it (laws.py), for omega2 = 1..10, in these comparisons:
  merged | merged law   the merged chain against the merged chain: to be kept
  exact  | Eq. 1        the exact chain against the law: to be kept
  merged | Eq. 1        the merged chain against the law: to be rejected for every omega2 > 1, where the chain is biased (for omega2 = 1
                        the two laws are one, and what is rejected there is not judged: where nearly all is rejected,
                        Benjamini-Hochberg takes nearly 5 % for every single test)
Benjamini-Hochberg at 5 % over all tests of a comparison.

The published setting is m = 200, 200, 200, n = 180; the ablations change n, or the size of class 2 (their grids are ours).

False alarms: where a sampler is right, a comparison has a rejection with probability 5 % at most (less, since counts have ties, which
make the test conservative). Seeds are fixed: a run that passed passes again.

Exit status 1 if a comparison turns out otherwise, or the program fails.
"""
import argparse
import csv
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np

import laws

LEVEL = 0.05
PUBLISHED = dict(m2=200, n=180)
SETTINGS = [PUBLISHED, dict(m2=200, n=60), dict(m2=200, n=120), dict(m2=200, n=240), dict(m2=200, n=300),
            dict(m2=50, n=180), dict(m2=100, n=180), dict(m2=400, n=180)]
COMPARISONS = [("merged", "merged"), ("exact", "exact"), ("merged", "exact")]  # chain, law of the reference
TITLES = {("merged", "merged"): "merged | merged law", ("exact", "exact"): "exact | Eq. 1",
          ("merged", "exact"): "merged | Eq. 1"}
SEED = 1


def program_draws(program, chain, m, omega2, n, rows, index):
    with tempfile.TemporaryDirectory() as directory:
        out = pathlib.Path(directory) / "draws.npy"
        # Chains and urns each draw from a part of the seed's stream of their own.
        offset = (2 * index + (chain == "exact")) * rows
        command = [program, "sample", "--m", ",".join(map(str, m)), "--n", str(n), "--omega", f"1,{omega2},1", "--chain",
                   chain, "--rows", str(rows), "--seed", str(SEED), "--offset", str(offset), "--out", str(out)]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode != 0:
            sys.exit(f"{' '.join(command)}: {result.stderr}")
        x = np.load(out)
    if x.shape != (rows, 3) or (x.sum(axis=1) != n).any() or (x < 0).any() or (x > m).any():
        sys.exit(f"{' '.join(command)}: these are no rows of counts with sum {n}")
    return x


def kolmogorov(scaled):
    """Asymptotic probability that the distance, times sqrt(rows a * rows b / (rows a + rows b)), exceeds this under one law."""
    if scaled < 0.2:  # p = 1 to 12 digits, and the series needs many terms
        return 1.0
    k = np.arange(1, 101)
    return float(np.clip(2.0 * np.sum((-1.0)**(k - 1) * np.exp(-2.0 * (k * scaled)**2)), 0.0, 1.0))


def ks_test(a, b):
    """Largest distance of the two empirical distribution functions, and its p-value."""
    size = max(a.max(), b.max()) + 1
    distance = np.abs(np.cumsum(np.bincount(a, minlength=size)) / len(a)
                      - np.cumsum(np.bincount(b, minlength=size)) / len(b)).max()
    return distance, kolmogorov(distance * np.sqrt(len(a) * len(b) / (len(a) + len(b))))


def benjamini_hochberg(p):
    """Which hypotheses are rejected at LEVEL."""
    p = np.asarray(p)
    order = np.argsort(p, kind="stable")
    passes = np.flatnonzero(p[order] <= LEVEL * np.arange(1, len(p) + 1) / len(p))
    rejected = np.zeros(len(p), dtype=bool)
    if len(passes):
        rejected[order[:passes[-1] + 1]] = True
    return rejected


def self_check():
    """The reference itself: published quantiles of Kolmogorov's law, and the means of both laws (README.md) within 5 standard errors."""
    assert abs(kolmogorov(1.2238) - 0.1) < 1e-4 and abs(kolmogorov(1.3581) - 0.05) < 1e-4
    assert abs(kolmogorov(1.6276) - 0.01) < 1e-5
    generator = np.random.default_rng(SEED)
    for law, mean in ((laws.merged, (21.3, 128.4, 30.3)), (laws.exact, (27.967, 124.067, 27.967))):
        x = laws.draw(law((200, 200, 200), (1.0, 10.0, 1.0), 180), 180, 50000, generator)
        assert (np.abs(x.mean(axis=0) - mean) < 0.05 + 5 * x.std(axis=0) / np.sqrt(len(x))).all(), law


def histograms(writer, omega2, samples, m):
    for c in range(3):
        columns = [np.bincount(samples[key][:, c], minlength=m[c] + 1)
                   for key in ("merged", "exact", "merged law", "exact law")]
        for k in range(m[c] + 1):
            row = [column[k] for column in columns]
            if any(row):
                writer.writerow([omega2, c + 1, k, *row])


def run(options, settings, omegas, histogram_writer):
    """All tests: dictionaries with what was compared, distance and p."""
    tests, index = [], 0
    for setting in settings:
        m, n = (200, setting["m2"], 200), setting["n"]
        for omega2 in omegas:
            omega, samples = (1.0, float(omega2), 1.0), {}
            for number, law in enumerate(("merged", "exact")):
                generator = np.random.default_rng([SEED, setting["m2"], n, omega2, number])
                samples[law + " law"] = laws.draw(getattr(laws, law)(m, omega, n), n, options.rows, generator)
                samples[law] = program_draws(options.program, law, m, omega2, n, options.rows, index)
            index += 1
            for chain, law in COMPARISONS:
                for c in range(3):
                    distance, p = ks_test(samples[chain][:, c], samples[law + " law"][:, c])
                    tests.append(dict(m2=setting["m2"], n=n, omega2=omega2, chain=chain, law=law, **{"class": c + 1},
                                      distance=distance, p=p))
            if setting is PUBLISHED and omega2 in (1, 5, 10):
                histograms(histogram_writer, omega2, samples, m)
    return tests


def judge(tests):
    """Marks what is rejected; returns what is not as it should be."""
    faults = []
    for chain, law in COMPARISONS:
        mine = [test for test in tests if (test["chain"], test["law"]) == (chain, law)]
        for test, rejected in zip(mine, benjamini_hochberg([test["p"] for test in mine])):
            test["rejected"] = int(rejected)
        biased = chain != law
        for omega2 in sorted({test["omega2"] for test in mine}):
            for setting in sorted({(test["m2"], test["n"]) for test in mine}):
                here = [test for test in mine if test["omega2"] == omega2 and (test["m2"], test["n"]) == setting]
                where = f"{TITLES[chain, law]}, m2 = {setting[0]}, n = {setting[1]}, omega2 = {omega2}"
                if biased and omega2 > 1 and not any(test["rejected"] for test in here):
                    faults.append(f"{where}: the merged chain was not rejected")
                if not biased and any(test["rejected"] for test in here):
                    faults.append(f"{where}: rejected")
    return faults


def print_tables(tests, settings):
    print("p-values of classes 1, 2, 3 in the published setting (* rejected by Benjamini-Hochberg)\n")
    print("omega2" + "".join(f" | {TITLES[comparison]:>26}" for comparison in COMPARISONS))
    main = [test for test in tests if (test["m2"], test["n"]) == (PUBLISHED["m2"], PUBLISHED["n"])]
    for omega2 in sorted({test["omega2"] for test in main}):
        line = f"{omega2:6d}"
        for chain, law in COMPARISONS:
            here = [test for test in main if (test["omega2"], test["chain"], test["law"]) == (omega2, chain, law)]
            cells = [f"{test['p']:.3f}{'*' if test['rejected'] else ' '}" if test["p"] >= 0.0005
                     else f"<.001{'*' if test['rejected'] else ' '}" for test in here]
            line += f" | {'  '.join(f'{cell:>7}' for cell in cells):>26}"
        print(line)
    print("\ntests not rejected, and the smallest p or the largest distance D among the tests of a setting\n")
    print("  m2    n" + "".join(f" | {TITLES[comparison]:>26}" for comparison in COMPARISONS))
    for setting in settings:
        line = f"{setting['m2']:4d} {setting['n']:4d}"
        for chain, law in COMPARISONS:
            here = [test for test in tests if (test["m2"], test["n"], test["chain"], test["law"])
                    == (setting["m2"], setting["n"], chain, law)]
            kept = sum(not test["rejected"] for test in here)
            extreme = (f"D {max(test['distance'] for test in here):.3f}" if chain != law
                       else f"p {min(test['p'] for test in here):.3f}")
            line += f" | {f'{kept}/{len(here)}':>14}  {extreme:>10}"
        print(line)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", help="the program gumbelurn")
    parser.add_argument("--rows", type=int, default=50000, help="draws a test (default 50000)")
    parser.add_argument("--quick", action="store_true", help="the published setting and one of each ablation, four omega2, "
                        "10000 draws")
    parser.add_argument("--out", type=pathlib.Path, help="folder for tests.csv and histograms.csv")
    options = parser.parse_args()
    settings, omegas = SETTINGS, list(range(1, 11))
    if options.quick:
        settings, omegas = [PUBLISHED, dict(m2=200, n=300), dict(m2=50, n=180)], [1, 4, 7, 10]
        options.rows = min(options.rows, 10000)

    self_check()
    directory = options.out or pathlib.Path(tempfile.mkdtemp())
    directory.mkdir(parents=True, exist_ok=True)
    begin = time.monotonic()
    with open(directory / "histograms.csv", "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["omega2", "class", "count", "merged", "exact", "merged_law", "exact_law"])
        tests = run(options, settings, omegas, writer)
    faults = judge(tests)
    with open(directory / "tests.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, tests[0].keys(), lineterminator="\n")
        writer.writeheader()
        for test in tests:
            writer.writerow({**test, "distance": f"{test['distance']:.6f}", "p": f"{test['p']:.4g}"})

    print_tables(tests, settings)
    print(f"\n{len(tests)} tests of {options.rows} draws beside {options.rows} of the reference, "
          f"{time.monotonic() - begin:.0f} s")
    for fault in faults:
        print(f"MISSED: {fault}")
    if not faults:
        print("every chain has its own law, and the merged chain is not Eq. 1")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
