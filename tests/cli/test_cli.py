#!/usr/bin/env python3
"""Tests of the command-line program: help, errors, sample. python3 test_cli.py GUMBELURN [unittest arguments].

Statistical checks have fixed seeds, so they cannot fail by chance; their bounds say how far chance reaches.
"""
import math
import os
import pathlib
import re
import signal
import struct
import subprocess
import sys
import unittest

from cli import DATA, EXAMPLES, PROGRAM, Directory, main, output, read_npy, run, table

ISSUE = ["--m", "200,200,200", "--n", "180", "--omega", "1,5,1", "--chain", "merged"]


class Help(unittest.TestCase):
    def test_help_goes_to_standard_output(self):
        for arguments in (["--help"], ["-h"], ["help"], ["sample", "--help"], ["sample", "-h"], ["fit", "--help"],
                          ["info", "--help"], ["help", "sample"], ["logprob", "--help"], ["moments", "--help"],
                          ["kl", "--help"]):
            text = output(*arguments)
            self.assertTrue(text.startswith("usage: gumbelurn"), arguments)
            self.assertLessEqual(max(map(len, text.splitlines())), 92, arguments)

    def test_help_names_every_option(self):
        for option in ("--m --n --omega --log-omega --omega-from --chain --order --device --threads --rows --seed --tau --soft "
                       "--log-p --out --offset --no-noise --no-header --dtype --plain").split():
            self.assertIn(option + " ", output("sample", "--help"))
        for option in ("--m --n --omega --log-omega --method --in --header --tau --tau-final --epochs --batch --learning-rate "
                       "--seed --train --log --out --loss --covariance --chain --order --dtype --device "
                       "--threads").split():
            self.assertIn(option + " ", output("fit", "--help"))
        law = "--m --n --omega --log-omega --omega-from --device --threads"
        for command, options in (("logprob", "--in --header --chain --order --sum --out --no-header"),
                                 ("moments", "--covariance --out"), ("kl", "--other --log-other --other-from")):
            for option in f"{law} {options}".split():
                self.assertIn(option + " ", output(command, "--help"))

    def test_no_command(self):
        result = run()
        self.assertEqual((result.returncode, result.stdout), (2, b""))
        self.assertIn(b"usage:", result.stderr)

    def test_version_and_info(self):
        version = output("--version").split()[1]
        self.assertRegex(version, r"^\d+\.\d+\.\d+$")
        text = output("info", "--threads", "1")
        self.assertIn(f"library {version}", text)
        self.assertRegex(text, r"(?m)^cpu +\w+, 1 thread$")
        self.assertRegex(text, r"(?m)^in use ")


class Errors(Directory):
    URN = ["--m", "5,5", "--n", "4"]

    def test_usage(self):
        urn = self.URN
        for pattern, arguments in (
                ("unknown command 'draw'", ["draw"]),
                ("unknown.* option '--bogus'", ["sample", *urn, "--bogus"]),
                ("unknown option '-z'", ["sample", *urn, "-z"]),
                ("no value is taken by '--soft=1'", ["sample", *urn, "--soft=1"]),
                ("unexpected argument 'extra'", ["sample", *urn, "extra"]),
                ("--rows needs a value", ["sample", *urn, "--rows"]),
                ("--plain draws whole counts alone", ["sample", *urn, "--plain", "--soft"]),
                ("--plain draws whole counts alone", ["sample", *urn, "--plain", "--log-p"]),
                ("--plain draws whole counts alone", ["sample", *urn, "--plain", "--tau", "1"]),
                ("--plain draws whole counts alone", ["sample", *urn, "--plain", "--no-noise"]),
                ("--m is missing", ["sample", "--n", "4"]),
                ("--n is missing", ["sample", "--m", "5"]),
                ("--m: '5a' is not a whole number", ["sample", "--m", "5a", "--n", "1"]),
                ("--m: '1.5' is not a whole number", ["sample", "--m", "1.5", "--n", "1"]),
                ("--m: an empty entry", ["sample", "--m", "5,", "--n", "1"]),
                ("--m: an empty entry", ["sample", "--m", "", "--n", "1"]),
                (r"--m: '-1' is not in 0\.\.67108864 \(entry 2 of '5,-1'\)", ["sample", "--m", "5,-1", "--n", "1"]),
                (r"--m: '0' of '0x5' is not in 1\.\.16777215", ["sample", "--m", "0x5", "--n", "0"]),
                ("--m: '' is not a whole number", ["sample", "--m", "3x", "--n", "0"]),
                ("--m: the sizes sum to more than", ["sample", "--m", "2x40000000", "--n", "1"]),
                ("--m: more than", ["sample", "--m", "16777215x1,5", "--n", "1"]),
                (r"--m: '99999999999999999999' is not in 0\.\.67108864\n", ["sample", "--m", "9" * 20, "--n", "1"]),
                ("--n: 11 is more than the 10 balls of --m", ["sample", "--m", "5,5", "--n", "11"]),
                ("--n: 8 is more than the 7 balls of --m", ["sample", "--m", "5,5", "--m", "3,4", "--n", "8"]),
                ("--n: ' 4' is not a whole number", ["sample", "--m", "5,5", "--n", " 4"]),
                ("--n: '0x4' is not a whole number", ["sample", "--m", "5,5", "--n", "0x4"]),
                ("--omega: 1 values for the 2 classes", ["sample", *urn, "--omega", "1"]),
                ("--omega: '-1' is below 0", ["sample", *urn, "--omega", "1,-1"]),
                ("--omega: 'nan' is not a number", ["sample", *urn, "--omega", "1,nan"]),
                ("--omega: '1e999' is above 1.8e\\+308", ["sample", *urn, "--omega", "1,1e999"]),
                ("--log-omega: 'inf' is no log omega", ["sample", *urn, "--log-omega", "0,inf"]),
                ("--omega and --log-omega exclude", ["sample", *urn, "--omega", "1,1", "--log-omega", "0,0"]),
                ("--chain: 'both' is not exact or merged", ["sample", *urn, "--chain", "both"]),
                ("--device: 'gpu' is not auto, cpu or cuda", ["sample", *urn, "--device", "gpu"]),
                ("--dtype: 'half' is not float32 or float64", ["sample", *urn, "--dtype", "half"]),
                ("--order: 1 entries for the 2 classes", ["sample", *urn, "--order", "0"]),
                ("--order: there is no class 2", ["sample", *urn, "--order", "0,2"]),
                ("--order: class 1 occurs twice", ["sample", *urn, "--order", "1,1"]),
                (r"--rows: '-1' is not in 0\.\.9007199254740992\n", ["sample", *urn, "--rows", "-1"]),
                ("--rows: '1.5' is not a whole number", ["sample", *urn, "--rows", "1.5"]),
                ("--rows: 'many' is not a whole number", ["sample", *urn, "--rows", "many"]),
                ("--threads: '0' is not in 1", ["sample", *urn, "--threads", "0"]),
                ("--tau: '0' is not above 0", ["sample", *urn, "--tau", "0"]),
                ("--tau: '' is not a finite", ["sample", *urn, "--tau", ""]),
                ("--tau: '1e-310' is below 1e-30, the smallest", ["sample", *urn, "--soft", "--tau", "1e-310"]),
                ("--tau: '9e-31' is below 1e-30, the smallest", ["fit", *urn, "--in", "x", "--tau", "9e-31"]),
                ("--tau-final: '1e-31' is below 1e-30, the", ["fit", *urn, "--in", "x", "--tau-final", "1e-31"]),
                (r"--seed: '18446744073709551616' is not in 0\.\.18446744073709551615\n", ["sample", *urn, "--seed", 2**64]),
                ("--seed: '-1' is not in 0", ["sample", *urn, "--seed", "-1"]),
                ("--dtype: float32 does not hold", ["sample", "--m", "17000000,1", "--n", "1", "--dtype", "float32"]),
                ("--in is missing", ["fit", *urn]),
                ("--train: 1.5 is above 1", ["fit", *urn, "--in", "x", "--train", "1.5"]),
                ("--epochs: '0' is not in 1", ["fit", *urn, "--in", "x", "--epochs", "0"]),
                ("--loss: 'l1' is not means or rows", ["fit", *urn, "--in", "x", "--loss", "l1"]),
        ):
            self.expect(2, pattern, *arguments)

    def test_usage_errors_leave_an_existing_file_alone(self):
        path = self.file("precious")
        self.expect(2, "--n", "sample", "--m", "5,5", "--n", "11", "--out", path)
        self.assertEqual(path.read_text(), "precious")

    def test_files(self):
        self.expect(1, "No such file", "sample", *self.URN, "--out", self.directory / "none" / "x.csv")
        self.expect(1, "No such file", "fit", *self.URN, "--in", self.directory / "none.csv")

    @unittest.skipUnless(os.path.exists("/dev/full"), "no /dev/full")
    def test_full_disk(self):
        self.expect(1, "/dev/full: No space left", "sample", *self.URN, "--out", "/dev/full")
        with open("/dev/full", "wb") as full:
            for arguments in (["sample", *self.URN], ["sample", *self.URN, "--rows", "1e6"], ["--help"], ["info"],
                              ["sample", "--help"]):
                self.expect(1, "standard output: No space left", *arguments, stdout=full)

    def test_closed_pipe_ends_the_program_without_a_word(self):
        process = subprocess.Popen([PROGRAM, "sample", *self.URN, "--rows", "1e9"], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE)
        self.assertEqual(process.stdout.readline(), b"x0,x1\n")
        process.stdout.close()
        message = process.stderr.read()
        process.stderr.close()
        self.assertEqual((process.wait(), message), (-signal.SIGPIPE, b""))

    def test_instruction_set_that_is_not_one(self):
        self.expect(1, "GURN_ISA", "sample", *self.URN, environment={"GURN_ISA": "mmx"})

    def test_bad_counts(self):
        for pattern, text in (
                ("line 3: field 1: '1x' is not a number", "x0,x1\n2,2\n1x,3\n"),
                ("line 3: 3 columns where there should be 2", "x0,x1\n2,2\n1,2,1\n"),
                ("line 2: 1 columns", "2,2\n4\n"),
                ("line 1: the header has 3 columns", "a,b,c\n"),
                ("line 4: class 1: '6' is more than the 5 balls", "2,2\n\n2,2\n0,6\n"),
                ("line 1: class 0: '-1' is not a count", "-1,5\n"),
                ("line 1: class 0: '1.5' is not a count", "1.5,2.5\n"),
                ("line 2: the counts sum to 5, not to 4", "2,2\n2,3\n"),
                ("line 2: field 2: '' is not a number", "2,2\n2,\n"),
                ("line 2: field 1: 'nan' is not a number", "2,2\nnan,2\n"),
                ("no rows", "x0,x1\n"),
                ("no rows", ""),
        ):
            self.expect(1, pattern, "fit", *self.URN, "--in", self.file(text))
        for content in (b"", b"\x93NUMPY", b"\x93NUMPY\x01\x00\x10\x00{'descr': '<i4'}"):
            self.expect(1, "npy|header|not an array", "fit", *self.URN, "--in", self.file(content, "x.npy"))
        header = b"{'descr': '<i4', 'fortran_order': False, 'shape': (2, 2), }\n"
        cut = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + struct.pack("<3i", 2, 2, 1)
        self.expect(1, "cut off in row 1 of 2", "fit", *self.URN, "--in", self.file(cut, "x.npy"))


class Sample(Directory):
    def test_the_first_example(self):
        header, rows = table(output("sample", *ISSUE, "--rows", 50000, "--seed", 1))
        self.assertEqual(header, ["x0", "x1", "x2"])
        self.assertEqual(len(rows), 50000)
        for row in rows:
            self.assertEqual(sum(row), 180)
            self.assertTrue(all(0 <= x <= 200 for x in row))
        # The merged chain's means; a mean of 50 000 draws with a standard deviation of 5 has one of 0.02.
        for c, mean in enumerate((32.54, 108.94, 38.52)):
            self.assertLessEqual(abs(sum(row[c] for row in rows) / 50000 - mean), 0.1)

    def test_exact_chain(self):
        """Equation 1 itself, whatever the order of the classes."""
        urn = ["--m", "200,200,200", "--n", "180", "--omega", "1,10,1", "--chain", "exact", "--rows", 20000, "--seed", 2]
        for order in ("0,1,2", "1,2,0", "2,1,0"):
            _, rows = table(output("sample", *urn, "--order", order))
            for c, (mean, deviation) in enumerate(((27.966746, 4.244052), (124.066507, 4.886211), (27.966746, 4.244052))):
                # Five standard deviations of a mean: 1 in 190 000 for each of nine.
                drawn = sum(row[c] for row in rows) / len(rows)
                self.assertLessEqual(abs(drawn - mean), 5 * deviation / math.sqrt(len(rows)), (order, c))

    def test_the_exact_chain_is_the_default(self):
        urn = ["sample", "--m", "20,30,10", "--n", 25, "--omega", "1,5,0.5", "--rows", 50]
        self.assertEqual(output(*urn), output(*urn, "--chain", "exact"))
        self.assertNotEqual(output(*urn), output(*urn, "--chain", "merged"))
        self.assertRegex(output("info"), r"(?m)^chain +exact$")

    def test_golden_outputs(self):
        """Draws of fixed seeds. They may not change without a word in CHANGELOG.md."""
        for name, arguments in (
                ("merged.csv", [*ISSUE, "--rows", 40, "--seed", 1]),
                ("merged_wide.csv", ["--m", "10x256", "--n", "256", "--log-omega", "-4,0.5,1,0,2,-1,0,3,0.25,-0.25",
                                     "--chain", "merged", "--rows", 20, "--seed", 2**64 - 1, "--offset", 2**40]),
                ("merged_order.csv", ["--m", "20000,0,7,20000", "--n", "18000", "--omega", "1,1,1e6,5",
                                      "--order", "2,3,1,0", "--chain", "merged", "--rows", 20, "--seed", 3]),
                ("merged_float64.csv", [*ISSUE, "--rows", 20, "--seed", 1, "--dtype", "float64"]),
                ("exact.csv", ["--m", "200,200,200", "--n", "180", "--omega", "1,5,1", "--rows", 40, "--seed", 1]),
                ("exact_wide.csv", ["--m", "10x256", "--n", "256", "--log-omega", "-4,0.5,1,0,2,-1,0,3,0.25,-0.25",
                                    "--rows", 20, "--seed", 2**64 - 1, "--offset", 2**40]),
                ("exact_order.csv", ["--m", "20000,0,7,20000", "--n", "18000", "--omega", "1,1,1e6,5", "--order", "2,3,1,0",
                                     "--rows", 20, "--seed", 3]),
                ("exact_float64.csv", ["--m", "200,200,200", "--n", "180", "--omega", "1,5,1", "--rows", 20, "--seed", 1,
                                       "--dtype", "float64"]),
        ):
            self.assertEqual(output("sample", *arguments), (DATA / name).read_text(), name)

    def test_threads_and_instruction_sets_do_not_matter(self):
        expected = output("sample", *ISSUE, "--rows", 2000, "--threads", 1, environment={"GURN_ISA": "portable"})
        for threads in (1, 2, 5):
            for isa in ("portable", "avx2", "avx512", "neon"):
                result = run("sample", *ISSUE, "--rows", 2000, "--threads", threads, environment={"GURN_ISA": isa})
                if isa != "portable" and b"GURN_ISA" in result.stderr:
                    continue
                self.assertEqual(result.stdout.decode(), expected, (threads, isa))

    def test_streaming_equals_one_call(self):
        urn = ["--m", "1000x3", "--n", "50", "--chain", "merged", "--seed", 5, "--no-header"]
        rows = 2500  # more than two batches of 2^20 / 1000 rows
        whole = output("sample", *urn, "--rows", rows)
        self.assertEqual(whole.count("\n"), rows)
        parts = ""
        for first, last in ((0, 1), (1, 1048), (1048, 1050), (1050, rows)):
            parts += output("sample", *urn, "--rows", last - first, "--offset", first)
        self.assertEqual(parts, whole)

    def test_memory_is_bounded(self):
        if "sanitize" in os.environ.get("GURN_TEST_BUILD", ""):
            self.skipTest("sanitizers take memory of their own")
        usage = []
        for rows in ("1e6", "4e6"):
            with open(os.devnull, "wb") as null:
                process = subprocess.Popen([PROGRAM, "sample", "--m", "3x20", "--n", "10", "--chain", "merged",
                                            "--rows", rows], stdout=null)
                _, process.returncode, used = os.wait4(process.pid, 0)
            self.assertEqual(process.returncode, 0)
            usage.append(used.ru_maxrss)
        # Kilobytes. Both fill a batch; 3e6 more rows of 3 floats would take 36 MB.
        self.assertLess(usage[1], usage[0] + 8000)

    def test_log_p(self):
        # Two classes: the chain is the law itself. m = 3, 4, n = 3, omega = 2, 1, by hand: C(3,k) C(4,3-k) 2^k.
        weights = [math.comb(3, k) * math.comb(4, 3 - k) * 2.0**k for k in range(4)]
        header, rows = table(output("sample", "--m", "3,4", "--n", "3", "--omega", "2,1", "--rows", 500, "--log-p"))
        self.assertEqual(header, ["x0", "x1", "log_p"])
        self.assertEqual({int(row[0]) for row in rows}, {0, 1, 2, 3})
        for x, _, log_p in rows:
            # Printed to 1e-6; computed in float32 from numbers of at most 5: 20 operations of 5 * 2^-24 each.
            self.assertLessEqual(abs(log_p - math.log(weights[int(x)] / sum(weights))), 1e-6 + 20 * 5 * 2**-24)
        _, rows = table(output("sample", "--m", "3,4", "--n", "3", "--omega", "2,1", "--rows", 50, "--log-p", "--dtype",
                               "float64"))
        for x, _, log_p in rows:
            self.assertLessEqual(abs(log_p - math.log(weights[int(x)] / sum(weights))), 20 * 5 * 2**-53)

    def test_plain(self):
        """The law's means, and the merged chain's, within six standard errors (a count's deviation is below 5.5)."""
        arguments = ["sample", "--m", "3x200", "--n", 180, "--omega", "1,10,1", "--plain", "--seed", 3, "--rows", 50000]
        rows = table(output(*arguments))[1]
        self.assertEqual({sum(row) for row in rows}, {180})
        for c, mean in enumerate((27.967, 124.067, 27.967)):
            self.assertLess(abs(sum(row[c] for row in rows) / len(rows) - mean), 6 * 5.5 / math.sqrt(50000) + 0.0005)
        merged = table(output(*arguments, "--chain", "merged"))[1]
        self.assertLess(abs(sum(row[0] for row in merged) / len(merged) - 21.3), 6 * 5.5 / math.sqrt(50000) + 0.05)
        # One run is its parts, whatever the dtype (log omega is exact in both), threads and instruction set.
        arguments = ["sample", "--m", "3x200", "--n", 180, "--log-omega", "0,1.5,0.25", "--plain", "--seed", 4, "--no-header"]
        whole = output(*arguments, "--rows", 300)
        self.assertEqual(whole, "".join(output(*arguments, "--rows", 150, "--offset", offset, "--threads", 1, "--dtype",
                                               "float64") for offset in (0, 150)))
        self.assertEqual(whole, output(*arguments, "--rows", 300, environment={"GURN_ISA": "portable"}))
        path = self.directory / "draws.npy"
        output(*arguments, "--rows", 300, "--out", path)
        header, data = read_npy(path.read_bytes())
        self.assertEqual(header, {"descr": "<i4", "fortran_order": False, "shape": (300, 3)})
        self.assertEqual([",".join(map(str, row)) for row in struct.iter_unpack("<3i", data)], whole.split())

    def test_lists(self):
        expected = output("sample", "--m", "4,7,7,7", "--n", "9", "--omega", "1,1,2,2", "--rows", 30)
        for arguments in (["--m", "4,3x7", "--n", "9e0", "--omega", "2x1,2*2.0", "--rows", "3e1"],
                          ["--m", "4,3*7", "--n", "9", "--log-omega", "2x0,2x0.6931471805599453", "--rows", 30]):
            self.assertEqual(output("sample", *arguments), expected)
        equal = output("sample", "--m", "3x5", "--n", "9", "--rows", 30)
        self.assertEqual(output("sample", "--m", "3x5", "--n", "9", "--omega", "3x1", "--rows", 30), equal)

    def test_edges(self):
        self.assertEqual(output("sample", "--m", "5,5", "--n", "3", "--rows", 0), "x0,x1\n")
        self.assertEqual(output("sample", "--m", "5,0,5", "--n", "10", "--rows", 2), "x0,x1,x2\n5,0,5\n5,0,5\n")
        self.assertEqual(output("sample", "--m", "7", "--n", "0", "--no-header"), "0\n")
        self.assertEqual(output("sample", "--m", "1234567,2", "--n", "1234569"), "x0,x1\n1234567,2\n")

    def test_no_noise_is_the_mode(self):
        text = output("sample", "--m", "2x10", "--n", "10", "--no-noise", "--rows", 3, "--seed", 9)
        self.assertEqual(text, "x0,x1\n" + "5,5\n" * 3)

    def test_soft(self):
        for tau in ("1e-30", "1e30", "1e300"):
            for chain in ("exact", "merged"):
                _, rows = table(output("sample", *ISSUE, "--rows", 20, "--soft", "--tau", tau, "--chain", chain, "--log-p"))
                self.assertTrue(all(math.isfinite(value) for row in rows for value in row), (tau, chain))
        header, rows = table(output("sample", *ISSUE, "--rows", 200, "--soft", "--tau", "0.5", "--log-p"))
        self.assertEqual(header, ["x0", "x1", "x2", "log_p"])
        self.assertTrue(any(row[0] != int(row[0]) for row in rows))
        for row in rows:
            self.assertLessEqual(abs(sum(row[:3]) - 180), 3 * 180 * 2**-23)

    def test_out_writes_the_same(self):
        path = self.directory / "draws.csv"
        self.assertEqual(output("sample", *ISSUE, "--rows", 10, "--out", path), "")
        self.assertEqual(path.read_text(), output("sample", *ISSUE, "--rows", 10, "--out", "-"))

    def test_npy(self):
        path = self.directory / "draws.npy"
        _, rows = table(output("sample", *ISSUE, "--rows", 1000))
        output("sample", *ISSUE, "--rows", 1000, "--out", path)
        header, data = read_npy(path.read_bytes())
        self.assertEqual(header, {"descr": "<i4", "fortran_order": False, "shape": (1000, 3)})
        self.assertEqual(list(struct.iter_unpack("<3i", data)), [tuple(map(int, row)) for row in rows])

    def test_npy_with_log_p(self):
        path = self.directory / "draws.npy"
        _, rows = table(output("sample", *ISSUE, "--rows", 50, "--log-p"))
        output("sample", *ISSUE, "--rows", 50, "--log-p", "--out", path)
        header, data = read_npy(path.read_bytes())
        self.assertEqual(header, {"descr": [("x", "<i4", (3,)), ("log_p", "<f4")], "fortran_order": False,
                                  "shape": (50,)})
        for record, row in zip(struct.iter_unpack("<3if", data), rows, strict=True):
            self.assertEqual(list(record[:3]), row[:3])
            self.assertLessEqual(abs(record[3] - row[3]), 0.6e-6)

    def test_npy_soft(self):
        path = self.directory / "draws.npy"
        for dtype, code in (("float32", "f"), ("float64", "d")):
            arguments = ["sample", *ISSUE, "--rows", 20, "--soft", "--dtype", dtype]
            _, rows = table(output(*arguments))
            output(*arguments, "--out", path)
            header, data = read_npy(path.read_bytes())
            self.assertEqual(header["descr"], {"f": "<f4", "d": "<f8"}[code])
            for record, row in zip(struct.iter_unpack("<3" + code, data), rows, strict=True):
                self.assertEqual(struct.pack("<3" + code, *record), struct.pack("<3" + code, *row))


class Cuda(Directory):
    """Runs wherever there is a GPU, or its emulation."""

    def setUp(self):
        super().setUp()
        if not re.search(r"(?m)^cuda +device 0", output("info")):
            self.skipTest("no CUDA device")

    def test_info(self):
        self.assertRegex(output("info", "--device", "cuda"), r"(?m)^in use +device 0: ")

    def test_draws_are_those_of_the_cpu(self):
        for arguments in ([*ISSUE, "--rows", 60, "--seed", 2], ["--m", "5,0,9", "--n", "7", "--chain", "merged", "--rows", 300],
                          [*ISSUE, "--rows", 5, "--dtype", "float64"]):
            self.assertEqual(output("sample", *arguments, "--device", "cuda"),
                             output("sample", *arguments, "--device", "cpu"))
        _, rows = table(output("sample", *ISSUE, "--rows", 10, "--log-p", "--soft", "--device", "cuda"))
        _, expected = table(output("sample", *ISSUE, "--rows", 10, "--log-p", "--soft", "--device", "cpu"))
        for row, other in zip(rows, expected, strict=True):
            for value, reference in zip(row, other, strict=True):
                # Not a bound on rounding, which the library's own tests have: wrong memory would be far off.
                self.assertLessEqual(abs(value - reference), 1e-4 * max(1, abs(reference)))

    def test_fit(self):
        path = self.file("x0,x1\n" + "3,1\n2,2\n3,1\n4,0\n" * 4)
        results = []
        for device in ("cuda", "cpu"):
            out = self.directory / (device + ".csv")
            output("fit", "--m", "5,5", "--in", path, "--epochs", 4, "--chain", "merged", "--device", device, "--out", out)
            results.append(table(out.read_text())[1])
        for row, other in zip(*results, strict=True):
            self.assertLessEqual(abs(row[4] - other[4]), 1e-3)


    def test_auto_is_the_gpu(self):
        """Where there is one: then a plan needs memory of it. Only the emulation can be told to have none."""
        if "emulated" not in output("info"):
            self.skipTest("only the emulation can be told to have no memory")
        no_memory = {"GURN_EMULATED_AUTO": "1", "GURN_EMU_FAIL_MALLOC": "1"}
        for chain in ("exact", "merged"):
            self.expect(1, "device memory", "sample", *ISSUE, "--chain", chain, "--device", "auto", environment=no_memory)
        output("sample", *ISSUE, environment={"GURN_EMU_FAIL_MALLOC": "1"})  # in whose absence auto is the CPU, in emulation


class CudaLaw(Directory):
    """The law itself on a GPU, or its emulation."""

    def setUp(self):
        super().setUp()
        if not re.search(r"(?m)^cuda +device 0", output("info")):
            self.skipTest("no CUDA device")

    def test_the_answers_are_those_of_the_cpu(self):
        path, result = self.file("3,1\n2,2\n3,1\n4,0\n"), self.directory / "result.csv"
        for arguments in (["kl", "--m", "5,5", "--n", 4, "--omega", "1,3"], ["logprob", "--m", "5,5", "--in", path],
                          ["moments", "--m", "5,0,9", "--n", 6, "--omega", "1,2,3", "--covariance", "--out", result],
                          ["fit", "--m", "5,5", "--in", path, "--out", result]):
            numbers = []
            for device in ("cuda", "cpu"):
                text = output(*arguments, "--device", device)
                numbers.append(re.findall(r"-?\d[\d.e-]*", result.read_text() if result in arguments else text))
            self.assertGreater(len(numbers[0]), 0)
            for value, reference in zip(*numbers, strict=True):
                # Not a bound on rounding, which the library's own tests have: wrong memory would be far off.
                self.assertLessEqual(abs(float(value) - float(reference)), 1e-7)


class Data(Directory):
    LABELS = pathlib.Path("/usr/share/datasets/fashion-mnist/train-labels-idx1-ubyte.gz")

    @unittest.skipUnless(LABELS.exists(), "Debian's dataset-fashion-mnist is not installed")
    def test_the_committed_counts_are_those_of_the_labels(self):
        subprocess.run([sys.executable, EXAMPLES / "make_fashion_counts.py", "--labels", self.LABELS, "--directory",
                        self.directory], check=True, stdout=subprocess.DEVNULL)
        for name in ("fashion_counts.csv", "fashion_shares.csv"):
            self.assertEqual((self.directory / name).read_text(), (EXAMPLES / "data" / name).read_text(), name)


if __name__ == "__main__":
    main()
