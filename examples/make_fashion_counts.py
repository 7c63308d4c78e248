#!/usr/bin/env python3
"""Makes examples/data/fashion_counts.csv and fashion_shares.csv: class counts of shuffled batches of real labels.

The 60 000 training labels of Fashion-MNIST (6000 of each of ten classes) are thinned: of the classes 0 to 4 a random
60 % is kept, of the others all. What is left is 48 000 labels with true class shares of 7.5 % and 12.5 %. Then a data
loader's work: shuffle all labels, cut them into batches of 256 drawn without replacement, drop the incomplete last
batch; PASSES times over. A row of fashion_counts.csv holds the class counts of one batch. fashion_shares.csv holds the
true shares.

The label file is that of Debian's package dataset-fashion-mnist (apt-get install dataset-fashion-mnist). The two files
are committed, so this script only has to run again when it changes. One seed, and nothing but the Python standard
library: the tests run it again where the package is installed and compare.

usage: make_fashion_counts.py [--labels FILE] [--directory DIR]
"""
import argparse
import gzip
import pathlib
import random
import struct

NAMES = ["t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"]
THINNED = {0, 1, 2, 3, 4}
KEEP = 0.6
BATCH = 256
PASSES = 8
SEED = 20230501


def read_labels(path):
    """IDX format: the magic number 0x801 (unsigned bytes, one dimension), the count, the labels."""
    with gzip.open(path, "rb") as file:
        magic, count = struct.unpack(">II", file.read(8))
        labels = file.read()
    if magic != 0x801 or count != len(labels) or max(labels) >= len(NAMES):
        raise SystemExit(f"{path}: not an IDX file of {len(NAMES)} labels")
    return list(labels)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", default="/usr/share/datasets/fashion-mnist/train-labels-idx1-ubyte.gz")
    parser.add_argument("--directory", type=pathlib.Path, default=pathlib.Path(__file__).parent / "data")
    arguments = parser.parse_args()

    rng = random.Random(SEED)
    labels = read_labels(arguments.labels)
    members = [[i for i, label in enumerate(labels) if label == c] for c in range(len(NAMES))]
    kept = []
    for c, indices in enumerate(members):
        kept.append(rng.sample(indices, round(KEEP * len(indices))) if c in THINNED else indices)
    pool = [labels[i] for indices in kept for i in indices]

    rows = []
    for _ in range(PASSES):
        rng.shuffle(pool)
        for start in range(0, len(pool) - BATCH + 1, BATCH):
            batch = pool[start:start + BATCH]
            rows.append([batch.count(c) for c in range(len(NAMES))])

    arguments.directory.mkdir(parents=True, exist_ok=True)
    with open(arguments.directory / "fashion_counts.csv", "w", newline="\n") as file:
        file.write(",".join(f"x{c}" for c in range(len(NAMES))) + "\n")
        file.writelines(",".join(map(str, row)) + "\n" for row in rows)
    with open(arguments.directory / "fashion_shares.csv", "w", newline="\n") as file:
        file.write("class,name,group,labels,share\n")
        for c, name in enumerate(NAMES):
            group = "thinned" if c in THINNED else "whole"
            file.write(f"{c},{name},{group},{len(kept[c])},{len(kept[c]) / len(pool):.6f}\n")
    print(f"{len(pool)} labels, {len(rows)} batches of {BATCH}")


if __name__ == "__main__":
    main()
