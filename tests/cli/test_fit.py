#!/usr/bin/env python3
"""Tests of gumbelurn fit: python3 test_fit.py GUMBELURN [unittest arguments].

Statistical checks have fixed seeds, so they cannot fail by chance; their bounds say how far chance reaches.
"""
import itertools
import math
import os
import pty
import random
import re
import struct
import subprocess
import unittest

from cli import DATA, EXAMPLES, PROGRAM, Directory, main, output, run, table
from reference import Law, pseudo_inverse


def lines(rows):
    """CSV text of rows of counts."""
    return "".join(",".join(map(str, row)) + "\n" for row in rows)


class Mle(Directory):
    HEADER = ["class", "m", "data_mean", "urn_mean", "log_omega", "omega", "standard_error", "group",
              "log_omega_in_group"]

    def fit(self, *arguments, warns=()):
        """Text, and the table of --out by column, of a fit that warns of these things."""
        path = self.directory / "result.csv"
        result = run("fit", *arguments, "--method", "mle", "--out", path)
        message = result.stderr.decode()
        self.assertEqual(result.returncode, 0, message)
        for warning in warns:
            self.assertIn("warning: " + warning, message)
        if not warns:
            self.assertEqual(message, "")
        header, rows = table(path.read_text())
        self.assertEqual(header, self.HEADER)
        return result.stdout.decode(), {name: [row[i] for row in rows] for i, name in enumerate(header)}

    def near(self, value, expected, tolerance):
        self.assertTrue(abs(value - expected) <= tolerance, f"{value} is not {expected} to {tolerance}")

    def alike(self, values, expected, tolerance, message=None):
        """Of the same length, near each other, or both infinite or both NaN."""
        for value, other in zip(values, expected, strict=True):
            self.assertTrue(value == other or abs(value - other) <= tolerance or math.isnan(value) and math.isnan(other),
                            (message, values, expected))

    def drawn(self, m, omega, ns, seed):
        generator = random.Random(seed)
        laws = {n: Law(m, n, [math.log(w) for w in omega]) for n in set(ns)}
        return [laws[n].draw(generator) for n in ns]

    def test_optimum_likelihood_and_standard_errors(self):
        """Rows of different n and an empty class, against the law's moments by definition."""
        m, omega, ns = [6, 3, 0, 9, 2], [1, 4, 1, 0.3, 2], [5, 5, 8, 11, 1, 0, 20, 8, 8, 13] * 5
        rows = self.drawn(m, omega, ns, 3)
        text, result = self.fit("--m", "6,3,0,9,2", "--in", self.file(lines(rows)))
        self.assertTrue(math.isnan(result["log_omega"][2]) and math.isnan(result["standard_error"][2]))
        self.assertEqual(result["group"], [0, 0, -1, 0, 0])
        kept = [0, 1, 3, 4]
        log_omega = [result["log_omega"][c] for c in kept]
        self.near(sum(log_omega), 0, 1e-14)
        self.near(sum(result["omega"][c] for c in kept), 1, 1e-14)
        mean, information, log_likelihood, equal = [0.0] * 4, [[0.0] * 4 for _ in range(4)], 0.0, 0.0
        for row in rows:
            x = [row[c] for c in kept]
            law = Law([m[c] for c in kept], sum(x), log_omega)
            log_likelihood += law.log_prob(x)
            equal += Law([m[c] for c in kept], sum(x), [0] * 4).log_prob(x)
            one_mean, covariance = law.moments()
            for i in range(4):
                mean[i] += one_mean[i] / len(rows)
                for j in range(4):
                    information[i][j] += covariance[i][j]
        inverse = pseudo_inverse(information)
        for i, c in enumerate(kept):
            # The score is 0: to 1e-6 of a standard error of about 0.2 the tolerance, squared by the last step; and printed
            # to 9 digits.
            data = sum(row[c] for row in rows) / len(rows)
            self.near(mean[i], data, 1e-9)
            self.near(result["data_mean"][c], data, 1e-8)
            self.near(result["urn_mean"][c], data, 1e-8)
            self.near(result["standard_error"][c], math.sqrt(inverse[i][i]), 1e-8)
        self.near(float(text.split("log-likelihood")[1].split()[0]), log_likelihood, 1e-6)
        self.near(float(text.split("of equal omega")[1].split()[0]), equal, 1e-6)
        self.assertRegex(text, r"(?m)^converged +\d steps, ")

    def test_covariance(self):
        path = self.directory / "covariance.csv"
        rows = self.drawn([6, 3, 9], [1, 4, 0.3], [7] * 40, 5)
        _, result = self.fit("--m", "6,3,9", "--n", 7, "--in", self.file(lines(rows)), "--covariance", path)
        header, covariance = table(path.read_text())
        self.assertEqual(header, ["log_omega0", "log_omega1", "log_omega2"])
        _, one = Law([6, 3, 9], 7, result["log_omega"]).moments()
        inverse = pseudo_inverse([[40 * value for value in row] for row in one])
        for row, expected in zip(covariance, inverse, strict=True):
            for value, reference in zip(row, expected, strict=True):
                self.near(value, reference, 1e-12)

    def test_recovers_a_planted_omega_within_its_standard_errors(self):
        """100 data sets of an urn: squares of the error over its standard error have mean 1."""
        m, omega = [8, 20, 5], [1, 5, 2]
        centre = sum(map(math.log, omega)) / 3
        sums = [0.0] * 3
        for seed in range(100):
            rows = self.drawn(m, omega, [12, 15] * 30, seed)
            _, result = self.fit("--m", "8,20,5", "--in", self.file(lines(rows)))
            for c in range(3):
                sums[c] += ((result["log_omega"][c] - math.log(omega[c]) + centre) / result["standard_error"][c])**2
        for total in sums:  # a mean of 100 chi-squares has a standard deviation of sqrt(2) / 10
            self.assertLessEqual(abs(total / 100 - 1), 4 * math.sqrt(2) / 10)

    def test_likelihood_is_monotone_from_any_start(self):
        rows = self.drawn([8, 20, 5], [1, 5, 2], [12, 15] * 30, 1)
        path, log = self.file(lines(rows)), self.directory / "curve.csv"
        _, best = self.fit("--m", "8,20,5", "--in", path)
        for start in ("0,0,0", "30,-30,0", "-100,0,250", "1e5,0,-1e5", "3.5,3,-2"):
            _, result = self.fit("--m", "8,20,5", "--in", path, "--log", log, f"--log-omega={start}")
            for c in range(3):
                self.near(result["log_omega"][c], best["log_omega"][c], 1e-9)
            header, curve = table(log.read_text())
            self.assertEqual(header, ["group", "iteration", "log_likelihood", "distance", "step", "log_omega0",
                                      "log_omega1", "log_omega2"])
            self.assertEqual([row[1] for row in curve], list(range(len(curve))))
            self.assertGreater(len(curve), 2)
            for before, after in zip(curve, curve[1:]):
                # 60 log-probabilities, each the difference of numbers that may be 33 balls times the log omega.
                self.assertLessEqual(before[2], after[2] + 60 * 1e-12 * (33 * max(map(abs, before[5:8])) + 50))
            self.assertLessEqual(curve[-1][3], 1e-6)

    def test_a_start_where_counts_hardly_vary(self):
        """Where one class takes all the covariance has no digits: the start is taken halfway back, as often as it needs."""
        for m, text, start in (("492000,407915", "22634,278048\n492000,407915\n", "0,115"), ("288,704", "2,355\n23,357\n", "0,74"),
                               ("5,5,5", "1,2,3\n2,2,2\n", "0,-1e300,1e300"), ("5,5", "1,2\n2,2\n", "-1.7e308,1.7e308")):
            _, best = self.fit("--m", m, "--in", self.file(text))
            _, result = self.fit("--m", m, "--in", self.file(text), f"--log-omega={start}")
            for column in ("log_omega", "standard_error"):
                self.alike(result[column], best[column], 1e-8, start)
        self.expect(2, "--omega: .*0", "fit", "--m", "5,5", "--in", self.file("1,2\n"), "--omega", "0,1")

    def test_curve_begins_at_the_start(self):
        """That of the classes that it is of."""
        log = self.directory / "curve.csv"
        self.fit("--m", "0,6,0,6", "--in", self.file("0,3,0,2\n0,1,0,3\n"), "--log-omega", "7,0.5,-3,0.1", "--log", log)
        _, curve = table(log.read_text().replace(",,", ",nan,").replace(",,", ",nan,"))
        self.alike(curve[0][5:], [math.nan, 0.2, math.nan, -0.2], 1e-15)

    def test_many_classes_and_rows(self):
        """More than are handled at once, where symmetry gives the answer: equal omega, and central hypergeometric laws."""
        classes, size, ns = 300, 3, range(15, 301, 15)
        content = b"".join(bytes((c - shift) % classes < n for c in range(classes)) for n in ns for shift in range(classes))
        header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({len(ns) * classes}, {classes}), }}\n".encode()
        path = self.file(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + content, "many.npy")
        covariance = self.directory / "covariance.csv"
        text, result = self.fit("--m", f"{classes}x{size}", "--in", path, "--covariance", covariance)
        balls = classes * size
        likelihood = classes * sum(n * math.log(size) - math.log(math.comb(balls, n)) for n in ns)
        for name in ("log-likelihood", "of equal omega"):
            self.near(float(text.split(name)[1].split()[0]) / likelihood, 1, 2e-9)
        # The covariance of a row is v (1 - J), v = n (N - n) / (N - 1) / C, of which 1 - J over the sum of v is the pseudo-inverse.
        inverse = 1 / sum(n * (balls - n) / (balls - 1) for n in ns)
        self.alike(result["log_omega"], [0] * classes, 1e-9)
        self.alike(result["standard_error"], [math.sqrt(inverse * (1 - 1 / classes))] * classes, 1e-9)
        _, found = table(covariance.read_text())
        for c in (0, 7, 299):
            self.alike(found[c], [inverse * ((c == d) - 1 / classes) for d in range(classes)], 1e-12)

    def test_covariance_of_groups(self):
        """Each group's is where its classes are; there is none between groups, of twins, and of a class alone or without balls."""
        path = self.directory / "covariance.csv"
        upper, lower = [(3, 2), (4, 1), (2, 3), (5, 2), (4, 4)], [(2, 1), (0, 0), (1, 3), (3, 3)]
        rows = [(0, x, 0, 0, 0, y, 0) for x, y in upper] + [(x, 5, 0, y, 0, 4, 0) for x, y in lower]
        self.fit("--m", "6,5,0,7,2,4,9", "--in", self.file(lines(rows)), "--covariance", path, warns=["classes 4, 6 are never"])
        _, found = table(path.read_text())
        expected = [[math.nan] * 7 for _ in range(7)]
        for m, part, classes in (("5,4", upper, (1, 5)), ("6,7", lower, (0, 3))):
            self.fit("--m", m, "--in", self.file(lines(part)), "--covariance", path)
            for c, row in zip(classes, table(path.read_text())[1], strict=True):
                for d, value in zip(classes, row, strict=True):
                    expected[c][d] = value
        for row, other in zip(found, expected, strict=True):
            self.alike(row, other, 1e-9)

    def test_classes_are_named_up_to_a_dozen(self):
        for never, names in ((13, "classes 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13 are never"),
                             (14, "classes 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 and 2 more are never"),
                             (5000, "classes 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 and 4988 more are never")):
            m, zeros = f"5,{never}x2,5", ",0" * never
            _, result = self.fit("--m", m, "--in", self.file(f"1{zeros},2\n3{zeros},1\n"), warns=[names])
            self.assertEqual(result["group"], [0] + [1] * never + [0])

    def test_classes_never_or_always_drawn(self):
        """The others are fitted as if these were not there."""
        _, plain = self.fit("--m", "5,7", "--in", self.file("3,1\n2,2\n"))
        for m, text, warning, infinite, at in (
                ("5,5,7", "0,3,1\n0,2,2\n", "class 0 is never drawn: its log omega is -infinity", -math.inf, 0),
                ("5,7,4", "3,1,4\n2,2,4\n", "class 2 is always drawn whole: its log omega is +infinity", math.inf, 2)):
            shown, result = self.fit("--m", m, "--in", self.file(text),
                                     warns=[warning, "the likelihood has no maximum"])
            self.assertIn("(in the limit)", shown)
            self.assertEqual(result["log_omega"][at], infinite)
            self.assertEqual(result["omega"][at], math.exp(infinite) if infinite < 0 else math.inf)
            others = [c for c in range(3) if c != at]
            for column in ("log_omega", "standard_error", "omega", "urn_mean"):
                self.assertEqual([result[column][c] for c in others], plain[column], column)

    def test_groups_that_go_before_others(self):
        """Classes 1 and 4 are drawn whole before 0 or 3 is touched: two urns, with n of their own; 2 has no balls."""
        upper, lower = [(3, 2), (4, 1), (2, 3), (5, 2), (4, 4)], [(2, 1), (0, 0), (1, 3), (3, 3)]
        rows = [(0, x, 0, 0, y) for x, y in upper] + [(x, 5, 0, y, 4) for x, y in lower]
        text, result = self.fit("--m", "6,5,0,7,4", "--in", self.file(lines(rows)), warns=[
            "classes 0, 3: in every row untouched until all classes of earlier groups are drawn whole",
            "the likelihood has no maximum"])
        self.assertEqual(result["group"], [1, 0, -1, 1, 0])
        self.assertEqual([result["log_omega"][c] for c in (0, 3)], [-math.inf] * 2)
        total = 0.0
        for m, part, classes in (("5,4", upper, (1, 4)), ("6,7", lower, (0, 3))):
            shown, alone = self.fit("--m", m, "--in", self.file(lines(part)))
            total += float(shown.split("log-likelihood")[1].split()[0])
            for i, c in enumerate(classes):
                self.near(result["log_omega_in_group"][c], alone["log_omega"][i], 1e-9)
                self.near(result["standard_error"][c], alone["standard_error"][i], 1e-8)
        self.near(float(text.split("log-likelihood")[1].split()[0]), total, 1e-6)
        # One row that crosses connects them.
        _, joined = self.fit("--m", "6,5,0,7,4", "--in", self.file(lines([*rows, (1, 4, 0, 0, 4)])))
        self.assertEqual(joined["group"], [0, 0, -1, 0, 0])
        self.assertGreater(min(joined["log_omega"][c] for c in (1, 4)), max(joined["log_omega"][c] for c in (0, 3)))

    def test_groups_of_random_tables(self):
        """Groups by their definition: what sets separate that are exhausted, in every row, before the rest is touched. Classes that
        such sets separate both ways are those of whose ratio the data say nothing. The likelihood reported is approached far out in
        the directions that the groups name, whatever such ratios are; and no order of columns matters."""
        generator = random.Random(1)
        sizes, unknown = {}, 0
        for _ in range(150):
            m = [generator.choice((1, 1, 2, 3, 5)) for _ in range(generator.choice((2, 3, 4, 5)))]
            rows, likely = [], [math.exp(generator.choice((1, 4)) * generator.gauss(0, 1)) for _ in m]
            for _ in range(generator.choice((1, 2, 3, 5))):
                balls = [c for c, size in enumerate(m) for _ in range(size)]  # drawn one by one: not the law, but near
                row = [0] * len(m)
                for _ in range(generator.randrange(0 if rows else 1, sum(m) + bool(rows))):
                    c = generator.choices(balls, [likely[b] for b in balls])[0]
                    balls.remove(c)
                    row[c] += 1
                rows.append(row)
            closed = [S for size in range(1, len(m)) for S in itertools.combinations(range(len(m)), size)
                      if all(sum(row[c] for c in S) == min(sum(row), sum(m[c] for c in S)) for row in rows)]
            text, out = self.of_table(m, rows, bool(closed))
            group, within = out["group"], out["log_omega_in_group"]
            sizes[len(set(group))] = sizes.get(len(set(group)), 0) + 1
            twins = set()
            for c, d in itertools.permutations(range(len(m)), 2):
                above, below = (any(i in S and j not in S for S in closed) for i, j in ((c, d), (d, c)))
                self.assertEqual(group[c] == group[d], above == below, (m, rows, closed, group))
                if above and not below:
                    self.assertLess(group[c], group[d], (m, rows, closed, group))
                if above and below:
                    twins |= {group[c]}
            unknown += bool(twins)
            self.assertEqual([math.isnan(value) for value in within], [g in twins for g in group])
            for name in set(group) - twins:  # the score of every group is 0
                members = [c for c in range(len(m)) if group[c] == name]
                mean = [0.0] * len(members)
                for row in rows:
                    law = Law([m[c] for c in members], sum(row[c] for c in members), [within[c] for c in members])
                    mean = [total + one for total, one in zip(mean, law.moments()[0], strict=True)]
                for c, total in zip(members, mean, strict=True):
                    self.near(total, sum(row[c] for row in rows), 1e-9)
            for urn, data in zip(out["urn_mean"], out["data_mean"], strict=True):
                self.near(urn, data, 1e-8)
            # Groups 25 apart, and twins by up to 4 in either direction: e^-20 from the limit, times a few ways to it.
            far = [25 * (max(group) / 2 - g) + (generator.uniform(-2, 2) if g in twins else value)
                   for g, value in zip(group, within, strict=True)]
            self.near(float(text.split("log-likelihood")[1].split()[0]),
                      sum(Law(m, sum(row), far).log_prob(row) for row in rows), 1e-6)

            order = list(range(len(m)))
            generator.shuffle(order)
            shuffled_text, shuffled = self.of_table([m[c] for c in order], [[row[c] for c in order] for row in rows],
                                                    bool(closed))
            self.assertEqual(shuffled["group"], [group[c] for c in order])
            for column in ("log_omega", "omega", "standard_error", "log_omega_in_group", "urn_mean"):
                self.alike(shuffled[column], [out[column][c] for c in order], 1e-8, column)
            self.near(float(shuffled_text.split("log-likelihood")[1].split()[0]),
                      float(text.split("log-likelihood")[1].split()[0]), 1e-6)
        self.assertGreater(min(sizes.get(count, 0) for count in (1, 2, 3)), 10, sizes)  # all kinds were met
        self.assertGreater(unknown, 10)

    def of_table(self, m, rows, limit):
        """Text, and the table of --out by column, of a fit that warns exactly if the likelihood has no maximum."""
        path = self.directory / "result.csv"
        result = run("fit", "--m", ",".join(map(str, m)), "--in", self.file(lines(rows)), "--method", "mle", "--out", path)
        message = result.stderr.decode()
        self.assertEqual(result.returncode, 0, message)
        self.assertEqual("the likelihood has no maximum" in message, limit, message)
        header, table_rows = table(path.read_text())
        return result.stdout.decode(), {name: [row[i] for row in table_rows] for i, name in enumerate(header)}

    def test_classes_that_nothing_orders(self):
        """They share a group, in any order of columns, and have no estimate within it."""
        rows = [(1, 0, 0, 0), (0, 1, 0, 0)]
        for order in itertools.permutations(range(4)):
            never = sorted(order.index(c) for c in (2, 3))
            text, result = self.fit("--m", "4x5", "--in", self.file(lines([[row[c] for c in order] for row in rows])), warns=[
                f"classes {never[0]}, {never[1]} are never drawn: their log omega is -infinity, and nothing in the data orders "
                "them\n", "the likelihood has no maximum"])
            self.assertEqual(result["group"], [c // 2 for c in order])
            self.assertEqual(result["log_omega"], [0 if c < 2 else -math.inf for c in order])
            self.assertEqual(result["omega"], [0.5 if c < 2 else 0 for c in order])
            self.assertEqual([math.isnan(value) for value in result["log_omega_in_group"]], [c >= 2 for c in order])
            self.assertEqual([math.isnan(value) for value in result["standard_error"]], [c >= 2 for c in order])
            self.assertIn("log-likelihood   -1.38629436 (in the limit)", text)  # 2 log 1/2

    def test_kinds_of_groups(self):
        """What is said of each kind, and which group log omega is that of: most ratios known, then most balls drawn."""
        nan, inf = math.nan, math.inf
        for m, rows, log_omega, group, warnings in (
                # One class takes all. It is the one of most balls; of two groups of one class, whichever comes first.
                ("5,5,5", ["0,5,0"], [-inf, 0, -inf], [1, 0, 1], ["classes 0, 2 are never drawn"]),
                ("5,5", ["0,5"], [-inf, 0], [1, 0], ["class 0 is never drawn: its log omega is -infinity\n"]),
                ("1,3,5", ["1,3,4", "1,3,0"], [nan, nan, -inf], [0, 0, 1],
                 ["classes 0, 1: in every row all drawn whole, or all untouched; nothing in the data orders them\n",
                  "class 2: in every row untouched until all classes of earlier groups are drawn whole; log omega is -infinity"]),
                ("1,2,9", ["1,2,4", "1,2,6"], [inf, inf, 0], [0, 0, 1],
                 ["classes 0, 1 are always drawn whole: their log omega is +infinity, and nothing in the data orders them\n"]),
                # No ratio is known.
                ("2,2,1,1", ["2,2,0,0", "0,0,0,0"], [nan, nan, -inf, -inf], [0, 0, 1, 1],
                 ["classes 2, 3 are never drawn: their log omega is -infinity, and nothing in the data orders them\n"]),
                ("3,2,1,1,9,0", ["3,2,0,0,0,0", "0,0,0,0,0,0", "3,2,1,1,1,0", "3,2,1,1,8,0"], [nan, nan, -inf, -inf, -inf, nan],
                 [0, 0, 1, 1, 2, -1],
                 ["classes 2, 3: in every row untouched until all classes of earlier groups are drawn whole; log omega is "
                  "-infinity, and nothing in the data orders them\n"]),
                # One ratio is, below twins.
                ("2,2,3,3", ["2,2,1,2", "2,2,2,2", "0,0,0,0"], [inf, inf, None, None], [0, 0, 1, 1],
                 ["classes 0, 1: in every row drawn whole before any class of a later group is touched; log omega is "
                  "+infinity, and nothing in the data orders them\n"])):
            _, result = self.fit("--m", m, "--in", self.file("\n".join(rows)), warns=[*warnings, "the likelihood has no"])
            self.assertEqual(result["group"], group, (m, rows))
            for c, value in enumerate(log_omega):
                found = [result["log_omega"][c], result["omega"][c]]
                if value is None:
                    self.assertEqual(found[0], result["log_omega_in_group"][c])
                    self.assertTrue(0 < found[1] < 1)
                else:
                    self.alike(found, [value, nan if math.isnan(value) else {0: 1, inf: inf, -inf: 0}[value]], 0, (m, rows))

    def test_an_order_is_all_there_is(self):
        text, result = self.fit("--m", "2,3,4", "--in", self.file("2,1,0\n1,0,0\n2,3,2\n"),
                                warns=["class 1: in every row untouched until", "class 2: in every row untouched until"])
        self.assertEqual(result["group"], [0, 1, 2])
        self.assertIn("log-likelihood   0 (in the limit)", text)  # n determines the row
        self.assertTrue(all(map(math.isnan, result["standard_error"])))

    def test_nothing_to_learn(self):
        for m, text in (("5,5", "0,0\n5,5\n"), ("3", "3\n0\n")):
            self.expect(1, "nothing to learn", "fit", "--m", m, "--in", self.file(text))
        _, result = self.fit("--m", "5", "--in", self.file("3\n2\n"))
        self.assertEqual((result["log_omega"], result["omega"]), ([0], [1]))

    def test_sizes(self):
        """A large urn, and many classes: the score is what says that the maximum was found."""
        for m, rows in (("2000000,1000000,1e6", ["1000000,900000,100000", "1000500,899000,100500"]),
                        ("300x20", [",".join(str((7 * c + 3 * r) % 11) for c in range(300)) for r in range(12)])):
            text, result = self.fit("--m", m, "--in", self.file("\n".join(rows)))
            self.assertRegex(text, r"(?m)^converged +\d steps, ")
            for data, urn in zip(result["data_mean"], result["urn_mean"], strict=True):
                self.near(urn, data, 1e-8 * max(data, 1))
        self.expect(1, "2049 classes, more than the 2048", "fit", "--m", "2049x1", "--in", self.file(
            "\n".join(",".join(str(int((c + r) % 3 == 0)) for c in range(2049)) for r in range(3))))

    def test_threads_and_instruction_sets_agree(self):
        arguments = ["--m", "10x256", "--n", 256, "--in", EXAMPLES / "data" / "fashion_counts.csv"]
        _, first = self.fit(*arguments, "--threads", 1)
        _, second = self.fit(*arguments, "--threads", 3)
        for value, other in zip(first["log_omega"], second["log_omega"], strict=True):
            self.near(value, other, 1e-12)

    def test_golden_output(self):
        """The demo's data. Not compared: the number of steps, whose last one rounding may do without."""
        text = output("fit", "--m", "10x256", "--n", 256, "--in", EXAMPLES / "data" / "fashion_counts.csv")
        steps = re.compile(r"(?m)^converged .*\n")
        self.assertEqual(steps.sub("", text), steps.sub("", (DATA / "fit_mle.txt").read_text()))

    def test_methods(self):
        rows = ["fit", "--m", "5,5", "--in", self.file("2,2\n3,1\n")]
        self.assertIn("maximum likelihood", output(*rows))
        self.assertIn("maximum likelihood", output(*rows, "--chain", "exact", "--dtype", "float64"))
        self.assertIn("gradient descent", output(*rows, "--epochs", 2))
        self.assertIn("gradient descent", output(*rows, "--chain", "merged", "--dtype", "float64"))
        for option in (["--epochs", 2], ["--seed", 1], ["--tau", 1], ["--chain", "merged"], ["--order", "1,0"],
                       ["--dtype", "float32"]):
            self.expect(2, f"{option[0]}.*: only --method sgd has it", *rows, "--method", "mle", *option)
        self.expect(2, "--covariance: only --method mle has it", *rows, "--method", "sgd", "--covariance", "-")
        self.expect(2, "--method: 'em' is not mle or sgd", *rows, "--method", "em")


class Sgd(Directory):
    def fit(self, *arguments):
        """The table of --out, by column."""
        path = self.directory / "result.csv"
        text = output("fit", *arguments, "--out", path)
        header, rows = table(path.read_text())
        self.assertEqual(header, ["class", "m", "data_mean", "urn_mean", "log_omega", "omega"])
        return text, {name: [row[i] for row in rows] for i, name in enumerate(header)}

    def drawn(self, *urn, rows=1000):
        return self.file(output("sample", *urn, "--rows", rows, "--seed", 11))

    def test_recovers_a_planted_omega(self):
        for urn, omega in ((["--m", "3x30", "--n", "30"], (1, 5, 2)), (["--m", "10,20", "--n", "12"], (3, 1))):
            planted = [*urn, "--omega", ",".join(map(str, omega)), "--chain", "merged"]
            text, result = self.fit(*urn, "--chain", "merged", "--in", self.drawn(*planted))
            self.assertRegex(text, r"(?m)^train loss +\d")
            self.assertRegex(text, r"(?m)^validation loss +\d")
            self.assertLessEqual(abs(sum(result["log_omega"])), 1e-6)
            self.assertLessEqual(abs(sum(result["omega"]) - 1), 1e-6)
            for value, true in zip(result["omega"], omega, strict=True):
                # 800 rows know a log odds to 1 / sqrt(800 * variance of a count), the variance being 2 at least: 0.025.
                # As much again for the last steps of the descent; four of their standard deviations.
                self.assertLessEqual(abs(math.log(value * sum(omega) / true)), 4 * math.sqrt(2) * 0.025)
            for data, urn_mean in zip(result["data_mean"], result["urn_mean"], strict=True):
                self.assertLessEqual(abs(urn_mean / data - 1), 0.03)

    def test_a_seed_fixes_the_result(self):
        urn = ["--m", "3x30", "--n", "30"]
        path = self.drawn(*urn, rows=100)
        arguments = ["fit", *urn, "--chain", "merged", "--in", path, "--epochs", 3, "--seed", 4]
        first = output(*arguments)
        self.assertEqual(output(*arguments, "--threads", 1), first)
        self.assertNotEqual(output(*arguments[:-1], 5), first)

    def test_curve(self):
        urn = ["--m", "3x30", "--n", "30"]
        path = self.directory / "curve.csv"
        drawn = self.drawn(*urn, "--omega", "1,9,1", rows=200)
        self.fit(*urn, "--chain", "merged", "--in", drawn, "--epochs", 8, "--tau", 8, "--tau-final", 0.5, "--log", path,
                 "--train", 0.75)
        header, rows = table(path.read_text())
        self.assertEqual(header, ["epoch", "tau", "learning_rate", "train_loss", "validation_loss", "log_omega0",
                                  "log_omega1", "log_omega2"])
        self.assertEqual([row[0] for row in rows], list(range(1, 9)))
        self.assertEqual((rows[0][1], rows[-1][1]), (8, 0.5))
        self.assertTrue(all(earlier[2] > later[2] for earlier, later in zip(rows, rows[1:])))
        self.assertLess(rows[-1][3], rows[0][3])
        self.assertLess(rows[-1][4], rows[0][4])

    def test_temperatures_from_one_end_to_the_other(self):
        urn = ["--m", "3x30", "--n", "30"]
        path = self.directory / "curve.csv"
        drawn = self.drawn(*urn, rows=40)
        for first, last in ((1e300, 1e-30), (1e-30, 1e300), (1e-30, 1e-30)):
            # So far from 1 no step has a gradient, and fit says so; the curve is written.
            self.expect(1, "nothing was learned", "fit", *urn, "--in", drawn, "--epochs", 4, "--tau", first,
                        "--tau-final", last, "--log", path)
            taus = [row[1] for row in table(path.read_text())[1]]
            self.assertEqual((taus[0], taus[-1]), (first, last))
            for one, two in zip(taus, taus[1:]):
                self.assertAlmostEqual(math.log(two / one), math.log(last) / 3 - math.log(first) / 3, delta=1e-6)

    def test_published_loss_is_there_and_biased(self):
        urn = ["--m", "5,5,20", "--n", "9"]
        path = self.drawn(*urn, "--omega", "1,20,3", "--chain", "merged", rows=500)
        _, means = self.fit(*urn, "--chain", "merged", "--in", path)
        _, rows = self.fit(*urn, "--chain", "merged", "--in", path, "--loss", "rows")
        self.assertLess(abs(means["urn_mean"][1] / means["data_mean"][1] - 1), 0.01)
        self.assertGreater(rows["urn_mean"][1], means["urn_mean"][1])

    def test_the_two_draws_of_a_step_are_independent(self):
        """A batch of one row: were the second draw the first, the loss of means would be that of rows, and class 0 all but gone."""
        urn = ["--m", "5,5,20", "--n", "9"]
        path = self.drawn(*urn, "--omega", "1,20,3", rows=500)
        for seed in range(3):
            step = ["--batch", 1, "--tau", 0.5, "--seed", seed]
            _, means = self.fit(*urn, "--in", path, *step)
            _, rows = self.fit(*urn, "--in", path, *step, "--loss", "rows")
            # Single rows leave log omega of a class of mean 0.5 within 0.2 or so of the optimum; the loss of rows, 1 below it.
            self.assertLess(abs(means["urn_mean"][0] / means["data_mean"][0] - 1), 0.3)
            self.assertLess(rows["urn_mean"][0] / rows["data_mean"][0], 0.3)

    def test_a_learning_rate_that_diverges(self):
        """Says so, and writes no result; at ordinary rates it learns, also where log omega of a class only ever falls."""
        for m, text, start, least in (("4x5", "1,2,1,0\n0,1,2,1\n2,1,0,1\n", [], 10),
                                      ("200,200,9", "30,120,3\n25,126,2\n20,129,4\n", ["--omega", "1,5,1"], 10),
                                      # Where one class too many or too few makes less of a difference to the loss:
                                      ("1,1", "1,0\n0,1\n", [], 100),
                                      ("5,5,5", "0,3,1\n0,2,2\n", [], 100),  # never drawn
                                      ("5,5,5", "5,3,1\n5,2,2\n", ["--log-omega", "0,3,0"], 100),  # always whole
                                      ("100000,100000", "40000,10000\n39800,10200\n", [], 100)):
            path, out = self.file(text), self.directory / "out.csv"
            for loss in ("means", "rows"):
                arguments = ["fit", "--m", m, "--in", path, "--loss", loss, *start, "--out", out]
                for rate in (least, 1e4, 1.7e308):
                    self.expect(1, "learning diverged.*--learning-rate", *arguments, "--learning-rate", rate)
                    self.assertFalse(out.exists())
                for rate in (0.1, 0.3):
                    result = run(*arguments, "--learning-rate", rate)
                    self.assertEqual(result.returncode, 0, result.stderr)
                    self.assertNotIn(b"still far", result.stderr)
                    out.unlink()
        # Ten times the steps of the default, and a start that is the optimum.
        path = self.file("0,3,1\n0,2,2\n")
        self.assertEqual(run("fit", "--m", "5,5,5", "--in", path, "--epochs", 20000).returncode, 0)
        urn = ["--m", "2000,2000", "--n", 2000]
        path = self.drawn(*urn, "--omega", "1,3", rows=50)
        for steps in ([], ["--epochs", 1], ["--epochs", 2, "--learning-rate", 0.3], ["--loss", "rows"]):
            self.fit(*urn, "--omega", "1,3", "--in", path, "--method", "sgd", *steps)

    def test_learning_that_comes_to_nothing(self):
        path, out = self.file("1,2,1,0\n0,1,2,1\n2,1,0,1\n"), self.directory / "out.csv"
        for option in (["--tau", 1e-6], ["--log-omega", "0,0,0,3000"]):
            self.expect(1, "nothing was learned.*--tau", "fit", "--m", "4x5", "--in", path, "--method", "sgd", *option, "--out", out)
            self.assertFalse(out.exists())
        self.expect(1, "nothing to learn", "fit", "--m", "5,5", "--in", self.file("0,0\n5,5\n"), "--method", "sgd")
        urn = ["--m", "3x1000", "--n", 1000]
        path = self.drawn(*urn, "--omega", "1,9,1", rows=50)
        result = run("fit", *urn, "--in", path, "--learning-rate", 1e-4)
        self.assertEqual(result.returncode, 0)
        self.assertRegex(result.stderr.decode(), "warning: the urn's means are still far from the data's")

    def test_a_class_without_balls_has_no_omega(self):
        """It takes no part in the sum of either column, whatever the start."""
        path = self.file("3,0,2\n2,0,2\n1,0,3\n")
        _, plain = self.fit("--m", "5,5", "--in", self.file("3,2\n2,2\n1,3\n", "two.csv"), "--method", "sgd")
        for start in ([], ["--omega", "1,1e30,1"]):
            text, result = self.fit("--m", "5,0,5", "--in", path, "--method", "sgd", *start)
            self.assertTrue(math.isnan(result["log_omega"][1]) and math.isnan(result["omega"][1]))
            self.assertRegex(text, r"(?m)^ +1 +0 +0 +0 +- +-$")
            self.assertLessEqual(abs(result["log_omega"][0] + result["log_omega"][2]), 1e-6)
            self.assertLessEqual(abs(result["omega"][0] + result["omega"][2] - 1), 1e-6)
            self.assertLessEqual(abs(result["log_omega"][0] - plain["log_omega"][0]), 0.1)

    def test_a_temperature_of_the_wide_urn_has_its_workspace(self):
        """Above 2 the exact chain's gradients take other tables, of another size."""
        urn = ["--m", "3x20000", "--n", 20000]
        path = self.drawn(*urn, "--omega", "1,2,1", rows=20)
        for tau in (["--tau", 4], ["--tau", 1, "--tau-final", 4], ["--tau", 4, "--tau-final", 1]):
            _, result = self.fit(*urn, "--in", path, "--epochs", 20, *tau)
            self.assertLess(abs(result["urn_mean"][1] / result["data_mean"][1] - 1), 0.1)

    def test_input_dialects(self):
        plain = "2,2\n3,1\n1,3\n"
        urn = ["--m", "5,5", "--n", "4", "--epochs", 2, "--train", "0.67"]
        expected = output("fit", *urn, "--in", self.file(plain))
        for text in ("x0,x1\n" + plain, "first,second\r\n" + plain.replace("\n", "\r\n"), plain.replace(",", ";"),
                     plain.replace(",", "\t"), "\ufeff" + plain, "# a comment\n\n2 , 2\n\n 3,1\n1,3",
                     "2.0,2\n3e0,1\n+1,3.\n", "x0,x1,log_p\n2,2,-1.5\n3,1,-2\n1,3,nan\n"):
            self.assertEqual(output("fit", *urn, "--in", self.file(text)), expected, repr(text))
        self.assertEqual(output("fit", *urn, "--in", "-", stdin=plain.encode()), expected)

    def test_npy_input(self):
        urn = ["--m", "3x30", "--n", "30"]
        path = self.directory / "draws.npy"
        expected = output("fit", *urn, "--in", self.drawn(*urn, rows=64), "--epochs", 2)
        for extra in ([], ["--log-p"], ["--log-p", "--dtype", "float64"]):
            if "float64" in extra:
                csv_path = self.file(output("sample", *urn, "--rows", 64, "--seed", 11, "--dtype", "float64"))
                expected = output("fit", *urn, "--in", csv_path, "--epochs", 2)
            output("sample", *urn, "--rows", 64, "--seed", 11, *extra, "--out", path)
            self.assertEqual(output("fit", *urn, "--in", path, "--epochs", 2), expected, extra)
        for descr, code in (("<i8", "q"), ("|u1", "B"), ("<u2", "H"), ("<f4", "f"), ("<f8", "d"), ("<i2", "h")):
            header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': (2, 2), }}\n".encode()
            content = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header
            content += struct.pack("<4" + code, 2, 2, 3, 1)
            small = ["fit", "--m", "5,5", "--n", "4", "--epochs", 2, "--in"]
            self.assertEqual(output(*small, self.file(content, "small.npy")),
                             output(*small, self.file("2,2\n3,1\n")), descr)

    def test_rows_of_different_n(self):
        urn = ["--m", "3x30", "--omega", "1,4,2", "--chain", "merged"]
        text = "".join(output("sample", *urn, "--n", n, "--rows", 300, "--no-header", "--seed", n) for n in (20, 40))
        _, result = self.fit("--m", "3x30", "--chain", "merged", "--in", self.file(text))
        for value, true in zip(result["omega"], (1, 4, 2), strict=True):
            self.assertLessEqual(abs(math.log(value * 7 / true)), 0.15)

    def test_a_class_never_or_always_drawn_is_named(self):
        for text, word in (("0,3,1\n0,2,2\n", "class 0 is never drawn"), ("5,3,1\n5,2,2\n", "class 0 is always drawn")):
            result = run("fit", "--m", "5,5,5", "--in", self.file(text), "--epochs", 3)
            self.assertEqual(result.returncode, 0)
            self.assertIn("warning: " + word, result.stderr.decode())

    def test_curve_and_result_on_standard_output(self):
        text = output("fit", "--m", "5,5", "--in", self.file("2,2\n3,1\n"), "--epochs", 2, "--log", "-", "--out", "-")
        self.assertRegex(text, r"\Aepoch,(.*\n){3}method(.*\n)+class,m,.*\n0,5,.*\n1,5,.*\n\Z")

    def test_progress_on_a_terminal_only(self):
        path = self.file("2,2\n3,1\n1,3\n")
        reader, terminal = pty.openpty()
        result = subprocess.run([PROGRAM, "fit", "--m", "5,5", "--in", path, "--epochs", "3"],
                                stdout=subprocess.DEVNULL, stderr=terminal, check=False)
        os.close(terminal)
        text = b""
        try:
            while chunk := os.read(reader, 4096):
                text += chunk
        except OSError:  # how Linux says that the other end is closed
            pass
        os.close(reader)
        self.assertEqual(result.returncode, 0)
        self.assertRegex(text.decode(), r"\repoch 3/3  train loss [0-9.]+  validation loss [0-9.]+")
        self.assertNotIn(b"\n", text)

    def test_no_validation(self):
        text = output("fit", "--m", "5,5", "--in", self.file("2,2\n3,1\n"), "--train", 1, "--epochs", 2)
        self.assertNotIn("validation", text)


if __name__ == "__main__":
    main()
