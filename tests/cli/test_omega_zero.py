#!/usr/bin/env python3
"""Tests of omega = 0, a class that is never drawn: python3 test_omega_zero.py GUMBELURN [unittest arguments].

The urn is that in which the class has no balls: its draws are drawn from it, its law is held against that urn's definition.
"""
import itertools
import math
import re

from cli import Directory, main, output, read_npy, run, table
from reference import Law, counts, merged_log_prob

M, OMEGA, N = [3, 5, 2, 4], [1, 0, 2, 0.25], 6
URN = ["--m", "3,5,2,4", "--omega", "1,0,2,0.25"]
EMPTY = ["--m", "3,0,2,4", "--omega", "1,1,2,0.25"]  # its class 1 has no balls instead
KEPT = [0, 2, 3]


def law(n=N, omega=OMEGA):
    """The law of the classes that are left."""
    kept = [c for c in range(4) if omega[c]]
    return Law([M[c] for c in kept], n, [math.log(omega[c]) for c in kept])


def lines(rows):
    return "".join(",".join(map(str, row)) + "\n" for row in rows)


class Sample(Directory):
    def test_draws_are_those_of_the_urn_without_its_balls(self):
        for extra in ([], ["--plain"], ["--chain", "merged"], ["--plain", "--chain", "merged"], ["--dtype", "float64"],
                      ["--order", "3,1,2,0"], ["--order", "1,0,2,3", "--chain", "merged"], ["--no-noise"]):
            for omega in (["--omega", "1,0,2,0.25"], ["--log-omega", f"0,-inf,{math.log(2)!r},{math.log(0.25)!r}"]):
                text = output("sample", "--m", "3,5,2,4", *omega, "--n", N, "--rows", 200, *extra)
                self.assertEqual(text, output("sample", *EMPTY, "--n", N, "--rows", 200, *extra), extra)
                self.assertEqual({row[1] for row in table(text)[1]}, {0})

    def test_where_log_omega_is_far_from_0(self):
        """Where differences are taken before a float is made of them, -infinity stays what it is."""
        for extra in ([], ["--chain", "merged"], ["--plain", "--chain", "merged"]):
            arguments = ["--n", N, "--rows", 200, *extra]
            self.assertEqual(output("sample", "--m", "3,5,2,4", "--log-omega=99999998,-inf,1e8,99999997.5", *arguments),
                             output("sample", "--m", "3,0,2,4", "--log-omega=-2,0,0,-2.5", *arguments))

    def test_soft(self):
        for chain in ("exact", "merged"):
            arguments = ["--n", N, "--rows", 100, "--soft", "--tau", 0.7, "--chain", chain, "--dtype", "float64"]
            rows, expected = (table(output("sample", *urn, *arguments))[1] for urn in (URN, EMPTY))
            for row, other in zip(rows, expected, strict=True):
                self.assertEqual(row[1], 0)
                for value, reference in zip(row, other, strict=True):
                    # Sums of at most 10 terms up to 6, by other tables.
                    self.assertTrue(abs(value - reference) <= 10 * 6 * 1e-13, f"{value} is not {reference}")

    def test_all_that_is_left_is_drawn(self):
        for extra in ([], ["--plain"], ["--soft"], ["--chain", "merged"], ["--chain", "merged", "--plain"]):
            self.assertEqual(output("sample", *URN, "--n", 9, "--no-header", *extra), "3,0,2,4\n")
            self.assertEqual(output("sample", "--m", "5,5,5", "--omega", "0,1,0", "--n", 4, "--no-header", *extra), "0,4,0\n")
            self.assertEqual(output("sample", *URN, "--n", 0, "--no-header", *extra), "0,0,0,0\n")

    def test_many_draws_have_the_law(self):
        rows = table(output("sample", *URN, "--n", N, "--rows", 20000, "--plain", "--seed", 1))[1]
        mean, covariance = law().moments()
        for i, c in enumerate(KEPT):
            drawn = sum(row[c] for row in rows) / len(rows)
            # Five standard deviations of a mean: 1 in 1.7 million.
            self.assertLessEqual(abs(drawn - mean[i]), 5 * math.sqrt(covariance[i][i] / len(rows)))

    def test_log_p(self):
        for chain in ("exact", "merged"):
            rows = table(output("sample", *URN, "--n", N, "--rows", 50, "--log-p", "--chain", chain, "--dtype", "float64"))[1]
            for *row, log_p in rows:
                row = list(map(int, row))
                kept = [row[c] for c in KEPT]
                expected = law().log_prob(kept) if chain == "exact" else merged_log_prob(
                    [M[c] for c in KEPT], [math.log(OMEGA[c]) for c in KEPT], kept, [0, 1, 2])
                self.assertTrue(abs(log_p - expected) <= 1e-12 * max(1, abs(expected)), f"{row}: {log_p} is not {expected}")


class TheLaw(Directory):
    def near(self, value, expected, tolerance):
        self.assertTrue(value == expected or abs(value - expected) <= tolerance, f"{value} is not {expected}")

    def test_logprob(self):
        """A row with a ball of the class has probability 0, and only such a one."""
        rows = [row for row in counts(M, N)]
        path = self.file(lines(rows))
        for chain in ("exact", "merged"):
            values = [value for (value,) in table(output("logprob", *URN, "--in", path, "--chain", chain))[1]]
            for row, value in zip(rows, values, strict=True):
                kept = [row[c] for c in KEPT]
                expected = -math.inf if row[1] else law().log_prob(kept) if chain == "exact" else merged_log_prob(
                    [M[c] for c in KEPT], [math.log(OMEGA[c]) for c in KEPT], kept, [0, 1, 2])
                self.near(value, expected, 20 * 50 * 2**-53)
            self.assertLessEqual(abs(sum(map(math.exp, values)) - 1), len(rows) * 1e-13)
            self.assertEqual(output("logprob", *URN, "--in", path, "--chain", chain, "--sum"), "-inf\n")
        out = self.directory / "x.npy"
        output("logprob", *URN, "--in", path, "--out", out)
        self.assertEqual(len(read_npy(out.read_bytes())[1]), 8 * len(rows))

    def test_moments(self):
        for n in (0, 1, N, 9):
            mean, covariance = law(n).moments()
            path = self.directory / "moments.csv"
            text = output("moments", *URN, "--n", n, "--covariance", "--out", path)
            self.near(float(text.split()[2]), law(n).log_norm, 1e-11 * max(1, abs(law(n).log_norm)))
            rows = table(path.read_text())[1]
            self.assertEqual((rows[1][:6], rows[1][6:]), ([1, 5, -math.inf, 0, 0, 0], [0] * 4))
            for i, c in enumerate(KEPT):
                self.near(rows[c][3], mean[i], 1e-13 * 9)
                self.near(rows[c][4]**2, covariance[i][i], 1e-12 * 9)
                for j, d in enumerate(KEPT):
                    self.near(rows[c][6 + d], covariance[i][j], 1e-12 * 9)
            best = max(law(n).log_prob(x) for x in counts([M[c] for c in KEPT], n))
            self.near(law(n).log_prob([int(rows[c][5]) for c in KEPT]), best, 1e-12)
            self.assertRegex(text, r"(?m)^ +1 +5 +-inf +0 +0 +0$")
            # What it writes is read again.
            self.assertEqual(output("moments", "--omega-from", path, "--n", n), output("moments", *URN, "--n", n))

    def test_kl(self):
        """Of laws with other classes left: the second may lack none that the first has."""
        omegas = ([1, 0, 2, 0.25], [3, 0, 1, 1], [1, 2, 0, 0.5], [1, 1, 1, 1])
        for first, second in itertools.product(omegas, repeat=2):
            value = float(output("kl", "--m", "3,5,2,4", "--n", N, "--omega", ",".join(map(str, first)), "--other",
                                 ",".join(map(str, second))))
            if any(a > 0 and b == 0 for a, b in zip(first, second)):
                self.assertEqual(value, math.inf)
                continue
            expected = 0
            for x in counts([size if omega else 0 for size, omega in zip(M, first)], N):
                log_p, log_q = (law(N, omega).log_prob([x[c] for c in range(4) if omega[c]]) for omega in (first, second))
                expected += math.exp(log_p) * (log_p - log_q)
            self.near(value, expected, 1e-13 * 50)


class Fit(Directory):
    def test_round_trip(self):
        """What fit says of a class that is never drawn is taken by all other commands."""
        rows = [(3, 0, 2, 1), (2, 0, 1, 3), (1, 0, 2, 3), (3, 0, 0, 3), (2, 0, 2, 2)]
        path, data = self.directory / "fit.csv", self.file(lines(rows))
        result = run("fit", "--m", "3,5,2,4", "--in", data, "--out", path)
        self.assertEqual(result.returncode, 0)
        _, fitted = table(path.read_text())
        self.assertEqual([row[4] for row in fitted if row[0] == 1], [-math.inf])
        text = output("sample", "--omega-from", path, "--n", N, "--rows", 500)
        self.assertEqual({row[1] for row in table(text)[1]}, {0})
        drawn = self.file(text, "drawn.csv")
        # The likelihood of the data is what fit said it is: its log-likelihood is printed to 9 digits.
        said = float(re.search(r"log-likelihood +(\S+)", result.stdout.decode()).group(1))
        self.assertLessEqual(abs(float(output("logprob", "--omega-from", path, "--in", data, "--sum")) - said), 1e-8 * abs(said))
        self.assertTrue(math.isfinite(float(output("logprob", "--omega-from", path, "--in", drawn, "--sum"))))
        self.assertEqual(output("logprob", "--omega-from", path, "--in", self.file("2,1,2,1\n"), "--no-header"), "-inf\n")
        moments = table(output("moments", "--omega-from", path, "--n", N, "--out", "-").split("\n\n")[-1][
            output("moments", "--omega-from", path, "--n", N, "--out", "-").split("\n\n")[-1].index("class,m"):])[1]
        for row, (_, _, data_mean, *_) in zip(moments, fitted, strict=True):
            self.assertLessEqual(abs(row[3] - data_mean), 1e-7)
        self.assertEqual(float(output("kl", "--omega-from", path, "--other-from", path, "--n", N)), 0)
        self.assertEqual(float(output("kl", "--m", "3,5,2,4", "--other-from", path, "--n", N)), math.inf)
        self.assertGreater(float(output("kl", "--omega-from", path, "--n", N)), 0)


if __name__ == "__main__":
    main()
