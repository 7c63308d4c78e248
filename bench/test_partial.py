#!/usr/bin/env python3
"""Results of bench_mvhg are in its files as they come. usage: test_partial.py BENCH_MVHG"""

import csv
import json
import os
import subprocess
import sys
import tempfile

bench = sys.argv[1]
with tempfile.TemporaryDirectory() as folder:
    json_file, csv_file = os.path.join(folder, "a.json"), os.path.join(folder, "a.csv")
    small = [bench, "--case", "S1", "--rows", "100", "--omega", "shared", "--threads", "1"]
    files = ["--json", json_file, "--csv", csv_file]

    # Killed after some lines of the table: those are in the files.
    run = subprocess.Popen(small + ["--rows", "100,101,102", "--omega", "row,shared", "--seconds", "0.1"] + files,
                           stdout=subprocess.PIPE, text=True)
    lines = 0
    for line in run.stdout:
        with open(json_file) as f:
            known = json.load(f)  # whole at any moment
        lines += line.startswith("S1")
        assert len(known["results"]) >= lines, "a line was printed before it was written"
        if lines == 12:
            run.kill()
            break
    run.wait()
    with open(json_file) as f:
        known = json.load(f)
    with open(csv_file) as f:
        rows = list(csv.DictReader(f))
    assert 12 <= len(known["results"]) < 54 and not known["finished"], known
    assert len(known["results"]) - 1 <= len(rows) <= len(known["results"]) and rows[0]["case"] == "S1", rows

    # To its end.
    subprocess.run(small + ["--seconds", "0"] + files, check=True, stdout=subprocess.DEVNULL)
    with open(json_file) as f:
        known = json.load(f)
    assert len(known["results"]) == 9 and known["finished"], known
    assert sorted(os.listdir(folder)) == ["a.csv", "a.json"], os.listdir(folder)

    # What can not be written is an error at once; a pipe gets the whole at the end.
    for option in "--json", "--csv":
        for bad in os.path.join(folder, "none", "a"), folder:
            run = subprocess.run(small + ["--seconds", "60", option, bad], capture_output=True, text=True, timeout=60)
            assert run.returncode == 1 and "could not write" in run.stderr and not run.stdout, run
    run = subprocess.run(small + ["--seconds", "0", "--json", "/dev/stderr"], capture_output=True, text=True, check=True)
    assert json.loads(run.stderr)["finished"], run.stderr
print("ok")
