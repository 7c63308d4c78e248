#!/usr/bin/env python3
"""Tests of gumbelurn logprob, moments and kl: python3 test_law.py GUMBELURN [unittest arguments]."""
import math
import struct
import unittest

from cli import DATA, Directory, main, output, read_npy, run, table
from reference import Law, counts, merged_log_prob

URN = ["--m", "3,5,0,4", "--omega", "1,5,2,0.25"]
M, LOG_OMEGA = [3, 5, 0, 4], [math.log(w) for w in (1, 5, 2, 0.25)]


def lines(rows):
    return "".join(",".join(map(str, row)) + "\n" for row in rows)


class LogProb(Directory):
    def log_p(self, rows, *arguments):
        header, values = table(output("logprob", *URN, "--in", self.file(lines(rows)), *arguments))
        self.assertEqual(header, ["log_p"])
        return [value for (value,) in values]

    def check(self, values, expected):
        for value, reference in zip(values, expected, strict=True):
            # The reference's own rounding: some 20 sums and logarithms of numbers below 50.
            self.assertTrue(abs(value - reference) <= 20 * 50 * 2**-53, f"{value} is not {reference}")

    def test_the_law_itself(self):
        for n in (0, 4, 7, 12):
            rows = counts(M, n)
            law = Law(M, n, LOG_OMEGA)
            values = self.log_p(rows, "--n", n)
            self.check(values, [law.log_prob(row) for row in rows])
            self.assertLessEqual(abs(sum(map(math.exp, values)) - 1), len(rows) * 1e-13)
            self.check(self.log_p(rows, "--order", "3,1,2,0"), values)

    def test_the_merged_chain(self):
        rows = counts(M, 6)
        for order in ([0, 1, 2, 3], [3, 1, 0, 2], [2, 3, 0, 1]):
            values = self.log_p(rows, "--chain", "merged", "--order", ",".join(map(str, order)))
            self.check(values, [merged_log_prob(M, LOG_OMEGA, row, order) for row in rows])
            self.assertLessEqual(abs(sum(map(math.exp, values)) - 1), len(rows) * 1e-13)

    def test_rows_of_different_n_and_their_sum(self):
        rows = counts(M, 3) + counts(M, 8)
        expected = [Law(M, sum(row), LOG_OMEGA).log_prob(row) for row in rows]
        self.check(self.log_p(rows), expected)
        total = float(output("logprob", *URN, "--in", self.file(lines(rows)), "--sum"))
        self.assertLessEqual(abs(total - sum(expected)), len(rows) * 1e-12)

    def test_log_p_of_draws_is_that_of_sample(self):
        """A chain's own draws; what their log_p means to the sampler is what it means here."""
        urn = ["--m", "20,30,10", "--n", "25", "--omega", "1,5,0.5", "--chain", "merged"]
        path = self.file(output("sample", *urn, "--rows", 300, "--seed", 3, "--log-p", "--dtype", "float64"))
        _, drawn = table(path.read_text())
        _, values = table(output("logprob", *urn, "--in", path))
        for row, (value,) in zip(drawn, values, strict=True):
            self.assertLessEqual(abs(value - row[3]), 1e-12 * max(1, abs(value)))

    def test_files(self):
        rows = counts(M, 5)
        values = self.log_p(rows)
        path, out = self.file(lines(rows)), self.directory / "log_p.npy"
        self.assertEqual(output("logprob", *URN, "--in", path, "--out", out), "")
        header, data = read_npy(out.read_bytes())
        self.assertEqual(header, {"descr": "<f8", "fortran_order": False, "shape": (len(rows),)})
        self.assertEqual([value for (value,) in struct.iter_unpack("<d", data)], values)
        self.assertEqual(output("logprob", *URN, "--in", path, "--no-header"), "".join(f"{v:.17g}\n" for v in values))
        self.assertEqual(output("logprob", *URN, "--in", "-", stdin=path.read_bytes()),
                         output("logprob", *URN, "--in", path))
        draws = self.directory / "draws.npy"
        output("sample", *URN, "--n", 5, "--chain", "merged", "--rows", 50, "--out", draws)
        text = output("sample", *URN, "--n", 5, "--chain", "merged", "--rows", 50)
        self.assertEqual(output("logprob", *URN, "--in", draws), output("logprob", *URN, "--in", self.file(text)))

    def test_more_rows_than_a_batch(self):
        rows = 2500  # more than two batches of 2^20 / 1000 rows
        urn = ["--m", "1000x3", "--n", "50"]
        path = self.file(output("sample", *urn, "--chain", "merged", "--rows", rows))
        values = output("logprob", *urn, "--in", path).splitlines()[1:]
        self.assertEqual(len(values), rows)
        ends = self.file("\n".join(path.read_text().splitlines()[i] for i in (1, 1049, rows)), "ends.csv")
        self.assertEqual(output("logprob", *urn, "--in", ends).splitlines()[1:],
                         [values[i - 1] for i in (1, 1049, rows)])

    def test_errors(self):
        path = self.file("1,2,0,2\n")
        self.expect(2, "--in is missing", "logprob", *URN)
        self.expect(2, "--sum: .*--out", "logprob", *URN, "--in", path, "--sum", "--out", self.directory / "x.npy")
        self.expect(2, "unknown.* '--dtype'", "logprob", *URN, "--in", path, "--dtype", "float32")
        self.expect(2, "--order: there is no class 4", "logprob", *URN, "--in", path, "--order", "0,1,2,4")
        self.expect(1, "sum to 5, not to 4", "logprob", *URN, "--n", 4, "--in", path)
        self.expect(1, "class 2: '1' is more than the 0 balls", "logprob", *URN, "--in", self.file("1,2,1,2\n"))


class Moments(Directory):
    def test_against_the_definition(self):
        for n in (0, 1, 6, 12):
            law = Law(M, n, LOG_OMEGA)
            mean, covariance = law.moments()
            best = max(map(law.log_prob, counts(M, n)))
            path = self.directory / "moments.csv"
            text = output("moments", *URN, "--n", n, "--covariance", "--out", path)
            header, rows = table(path.read_text())
            self.assertEqual(header, ["class", "m", "log_omega", "mean", "standard_deviation", "mode", "cov0", "cov1",
                                      "cov2", "cov3"])
            self.assertLessEqual(abs(float(text.split()[2]) - law.log_norm), 1e-11 * max(1, abs(law.log_norm)))
            # n = 6 has three modes, of which rounding chooses one.
            self.assertLessEqual(best - law.log_prob([int(row[5]) for row in rows]), 1e-12)
            for c, row in enumerate(rows):
                self.assertEqual(row[:2], [c, M[c]])
                self.assertLessEqual(abs(row[2] - LOG_OMEGA[c]), 1e-15)
                self.assertLessEqual(abs(row[3] - mean[c]), 1e-13 * 12)
                self.assertLessEqual(abs(row[4]**2 - covariance[c][c]), 1e-12 * 12)
                for value, expected in zip(row[6:], covariance[c], strict=True):
                    self.assertLessEqual(abs(value - expected), 1e-12 * 12)

    def test_golden_output(self):
        """The figures of DESIGN's first example, and what the table looks like."""
        text = output("moments", "--m", "200,200,200", "--n", "180", "--omega", "1,10,1", "--covariance")
        self.assertEqual(text, (DATA / "moments.txt").read_text())

    def test_many_classes(self):
        urn = ["moments", "--m", "5000x2", "--n", "3000", "--threads", 1]
        result = run(*urn)
        self.assertEqual(result.returncode, 0)
        self.assertIn(b"no standard deviations of more than 4096 classes", result.stderr)
        self.assertRegex(result.stdout.decode(), r"(?m)^ *4999 +2 +0\.00000 +0\.6 +nan +[01]$")

    def test_errors(self):
        self.expect(2, "--n is missing", "moments", *URN)
        self.expect(2, "--m is missing", "moments", "--n", 3)
        self.expect(2, "unknown.* '--chain'", "moments", *URN, "--n", 3, "--chain", "exact")


class Kl(Directory):
    def test_against_the_definition(self):
        other = [0.5, -1, 0, 2]
        law, second = Law(M, 6, LOG_OMEGA), Law(M, 6, other)
        expected = sum(math.exp(law.log_prob(x)) * (law.log_prob(x) - second.log_prob(x)) for x in counts(M, 6))
        value = float(output("kl", *URN, "--n", 6, "--log-other", ",".join(map(str, other))))
        self.assertLessEqual(abs(value - expected), 1e-13 * 50)
        back = float(output("kl", "--m", "3,5,0,4", "--n", 6, "--log-omega", ",".join(map(str, other)), "--other",
                            "1,5,2,0.25"))
        expected = sum(math.exp(second.log_prob(x)) * (second.log_prob(x) - law.log_prob(x)) for x in counts(M, 6))
        self.assertLessEqual(abs(back - expected), 1e-13 * 50)

    def test_a_factor_of_omega_means_nothing(self):
        value = float(output("kl", *URN, "--n", 6, "--other", "2,10,4,0.5"))
        self.assertLessEqual(abs(value), 1e-13 * 50)

    def test_equal_importances_are_the_default(self):
        self.assertEqual(output("kl", *URN, "--n", 6), output("kl", *URN, "--n", 6, "--other", "4x1"))

    def test_errors(self):
        self.expect(2, "--n is missing", "kl", *URN)
        self.expect(2, "--other: 2 values for the 4 classes", "kl", *URN, "--n", 3, "--other", "1,2")
        self.expect(2, "--other: '-2' is below 0", "kl", *URN, "--n", 3, "--other", "1,-2,0,1")
        self.expect(2, "--other and --log-other exclude", "kl", *URN, "--n", 3, "--other", "4x1", "--log-other", "4x0")


if __name__ == "__main__":
    main()
