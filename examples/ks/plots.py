#!/usr/bin/env python3
"""Figures of the Kolmogorov-Smirnov protocol from the tables that ks.py wrote: usage: plots.py FOLDER [FORMAT]

Writes histograms, distances and pvalues as FOLDER/NAME.png (or another format that matplotlib knows, such as svg).
"""
import csv
import pathlib
import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

COLOURS = {("merged", "merged"): "tab:blue", ("exact", "exact"): "tab:green", ("merged", "exact"): "tab:red"}
LABELS = {("merged", "merged"): "merged chain | its own law", ("exact", "exact"): "exact chain | Eq. 1",
          ("merged", "exact"): "merged chain | Eq. 1"}
LEVEL = 0.05


def read(path):
    with open(path, newline="") as file:
        return [{key: value if key in ("chain", "law") else float(value) for key, value in row.items()}
                for row in csv.DictReader(file)]


def save(figure, folder, name, extension):
    figure.tight_layout()
    figure.savefig(folder / f"{name}.{extension}", dpi=90)
    plt.close(figure)


def histograms(rows, folder, extension):
    """Counts of each class: a row of panels for each omega2."""
    omegas = sorted({row["omega2"] for row in rows})
    figure, axes = plt.subplots(len(omegas), 3, figsize=(11, 2.6 * len(omegas)), squeeze=False)
    for line, omega2 in zip(axes, omegas):
        for c, axis in enumerate(line, 1):
            here = [row for row in rows if row["omega2"] == omega2 and row["class"] == c]
            counts = [row["count"] for row in here]
            for column, label, style in (("exact_law", "Eq. 1", dict(color="0.75", linewidth=5)),
                                         ("exact", "exact chain", dict(color="tab:green", linewidth=1.2)),
                                         ("merged_law", "merged chain's law", dict(color="tab:orange", linewidth=5, alpha=0.4)),
                                         ("merged", "merged chain", dict(color="tab:blue", linewidth=1.2))):
                values = [row[column] for row in here]
                if any(values):
                    axis.plot(counts, [value / sum(values) for value in values], drawstyle="steps-mid", label=label, **style)
            axis.set_title(f"class {c}, $\\omega_2$ = {omega2:g}", fontsize=10)
            axis.set_ylim(bottom=0)
    axes[0][0].legend(fontsize=7)
    save(figure, folder, "histograms", extension)


def per_setting(tests, folder, extension, column, name, scale, title):
    """A panel a setting, the comparisons in their colours, a marker a class."""
    settings = list(dict.fromkeys((test["m2"], test["n"]) for test in tests))
    width = min(4, len(settings))
    height = -(-len(settings) // width)
    figure, axes = plt.subplots(height, width, figsize=(3.1 * width, 2.7 * height), squeeze=False, sharey=True)
    for axis, (m2, n) in zip(axes.flat, settings):
        for comparison, colour in COLOURS.items():
            here = [test for test in tests if (test["m2"], test["n"], test["chain"], test["law"]) == (m2, n, *comparison)]
            for c, marker in ((1, "o"), (2, "s"), (3, "^")):
                mine = [test for test in here if test["class"] == c]
                if mine:
                    axis.plot([test["omega2"] for test in mine], [max(test[column], 1e-6) for test in mine], marker,
                              color=colour, markersize=4, alpha=0.8, label=LABELS[comparison] if c == 1 else None)
        if column == "p":
            axis.axhline(LEVEL, color="0.4", linewidth=0.8, linestyle="--")
        axis.set_yscale(scale)
        axis.set_title(f"$m_2$ = {m2:g}, n = {n:g}", fontsize=10)
        axis.set_xlabel("$\\omega_2$")
    for axis in axes.flat[len(settings):]:
        axis.set_axis_off()
    axes[0][0].set_ylabel(title)
    axes[0][0].legend(fontsize=6)
    figure.suptitle("circles class 1, squares class 2, triangles class 3", fontsize=9)
    save(figure, folder, name, extension)


def main():
    if not 2 <= len(sys.argv) <= 3:
        sys.exit(__doc__)
    folder, extension = pathlib.Path(sys.argv[1]), sys.argv[2] if len(sys.argv) == 3 else "png"
    tests = read(folder / "tests.csv")
    histograms(read(folder / "histograms.csv"), folder, extension)
    per_setting(tests, folder, extension, "distance", "distances", "log", "distance D")
    per_setting(tests, folder, extension, "p", "pvalues", "log", "p (below 1e-6: 1e-6)")


if __name__ == "__main__":
    main()
