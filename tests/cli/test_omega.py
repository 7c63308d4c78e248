#!/usr/bin/env python3
"""Tests of importances as they are given: python3 test_omega.py GUMBELURN [unittest arguments].

What omega = 0 means to draws and to the law is in test_omega_zero.py.
"""
import math

from cli import EXAMPLES, Directory, main, output, run, table

FITTED = "class,m,data_mean,urn_mean,log_omega,omega,standard_error,group,log_omega_in_group\n"


def fitted(m, log_omega):
    """A table with the columns of `fit --out`."""
    return FITTED + "".join(f"{c},{size},1,1,{value},1,0.1,0,{value}\n" for c, (size, value) in enumerate(
        zip(m, log_omega, strict=True)))


class Values(Directory):
    def test_what_is_no_importance_is_refused(self):
        for option, cases in (("--omega", (
                ("'-1' is below 0", "-1"), ("'-1e-300' is below 0", "-1e-300"), ("'-inf' is no importance: only ratios", "-inf"),
                ("'inf' is no importance: only ratios count", "inf"), ("'Infinity' is no importance", "Infinity"),
                ("'nan' is not a number", "nan"), ("'1e400' is above 1.8e.308; its logarithm may", "1e400"),
                ("'1e-400' is too near 0 to be told from it; its logarithm may", "1e-400"), ("'0x1' is not a number", "1,0x1"),
                ("'-1e-400' is too near 0", "-1e-400"))), ("--log-omega", (
                    ("'inf' is no log omega: only ratios count", "inf"), ("'\\+INF' is no log omega", "+INF"),
                    ("'nan' is not a finite number", "nan"), ("'-nan' is not a finite number", "-nan"),
                    ("'1e400' is beyond the largest", "1e400"), ("'-1e400' is beyond the largest", "-1e400"),
                    ("'1e-400' is too near 0 for a number", "1e-400"), ("'infinit' is not a finite number", "infinit")))):
            for pattern, text in cases:
                if text == "1,0x1":
                    text, pattern = "0 x1", "'0 ' of '0 x1' is not a whole number"
                for command in ("sample", "moments", "kl"):
                    self.expect(2, f"{option}: {pattern}", command, "--m", "5,5", "--n", 3, option, "1," + text)
                other = {"--omega": "--other", "--log-omega": "--log-other"}[option]
                self.expect(2, f"{other}: {pattern}", "kl", "--m", "5,5", "--n", 3, other, "1," + text)
        self.assertEqual(output("sample", "--m", "5,5", "--n", 3, "--omega", "1e-310,1e-310"),
                         output("sample", "--m", "5,5", "--n", 3))  # a number, if a small one

    def test_no_class_is_left(self):
        for omega in (["--omega", "0,0"], ["--log-omega", "-inf,-Infinity"], ["--omega", "2x-0.0"]):
            for command in ("sample", "moments", "kl"):
                self.expect(2, f"{omega[0]}: omega is 0 for every class that has balls", command, "--m", "5,5", "--n", 0, *omega)
        self.expect(2, "--omega: omega is 0 for every class that has balls", "sample", "--m", "5,0", "--n", 1, "--omega", "0,1")
        self.expect(2, "--other: omega is 0 for every class", "kl", "--m", "5,5", "--n", 0, "--other", "0,0")
        self.assertEqual(output("sample", "--m", "0,0", "--n", 0, "--omega", "0,0", "--no-header"), "0,0\n")

    def test_more_draws_than_the_others_hold(self):
        for command in ("sample", "moments", "kl"):
            for option, values in (("--omega", "1,0,2"), ("--log-omega", "0,-inf,1")):
                self.expect(2, f"--n: 10 is more than the 9 balls of the classes whose omega is above 0 \\({option}\\)", command,
                            "--m", "5,7,4", "--n", 10, option, values)
            self.expect(2, "--n: 17 is more than the 16 balls of --m", command, "--m", "5,7,4", "--n", 17, "--omega", "1,0,2")
        self.expect(2, r"--n: 10 is more than the 9 balls of the classes whose omega is above 0 \(--other\)", "kl", "--m", "5,7,4",
                    "--n", 10, "--other", "1,0,2")
        for text in ("5,1,4\n", "1,2,3\n5,5,0\n"):
            self.expect(1, "line . *: the counts sum to 10, more than the 9 balls of the classes whose omega is above 0"
                        .replace(". *", "[12]"), "logprob", "--m", "5,7,4", "--omega", "1,0,2", "--in", self.file(text))

    def test_fitting_starts_from_finite_importances(self):
        counts = self.file("1,2\n2,1\n")
        for extra in ([], ["--method", "sgd"]):
            for omega in (["--omega", "1,0"], ["--log-omega", "0,-inf"]):
                self.expect(2, f"{omega[0]}: class 1: learning can not start from an omega of 0", "fit", "--m", "5,5", "--in",
                            counts, *omega, *extra)

    def test_only_differences_count(self):
        """Also where a float holds no difference: 1e8 and 1e8 + 4 are the same one."""
        urn = ["sample", "--m", "5,0,7,9", "--n", 10, "--rows", 50]
        for chain in ("exact", "merged"):
            expected = output(*urn, "--log-omega", "0,0,-4,-2", "--chain", chain)
            for values in ("1e8,0,99999996,99999998", "1e15,1e300,999999999999996,999999999999998",
                           "-1e15,-1e300,-1000000000000004,-1000000000000002", "2000,1,1996,1998"):
                self.assertEqual(output(*urn, f"--log-omega={values}", "--chain", chain), expected, values)
            far = output(*urn, "--log-omega", "0,0,-1e300,0", "--chain", chain)
            self.assertEqual(far, output(*urn, "--log-omega", "1e300,0,0,1e300", "--chain", chain))
            self.assertEqual({row[2] for row in table(far)[1]}, {0})
        # A class that far below the others is still drawn when they are all gone.
        self.assertEqual(output("sample", "--m", "5,7", "--n", 8, "--log-omega", "0,-1e300", "--no-header"), "5,3\n")

    def test_bits_of_ordinary_importances_are_kept(self):
        """No differences are taken where omega itself is a number: draws are those of the float nearest to its logarithm."""
        urn = ["sample", "--m", "5,6,7", "--n", 10, "--rows", 20, "--soft"]
        for omega in ((2, 5, 1), (3e-300, 7e-300, 2e-300), (3e300, 1e300, 2e300)):
            text = ",".join(f"{math.log(w):.17g}" for w in omega)
            self.assertEqual(output(*urn, "--omega", ",".join(map(str, omega))), output(*urn, f"--log-omega={text}"))


class From(Directory):
    """--omega-from: what fit learned, given to the other commands."""
    M, LOG = [20, 30, 0, 10], [0.25, -0.5, math.nan, 1 / 3]
    LISTS = ["--m", "20,30,0,10", "--log-omega", "0.25,-0.5,0,0.33333333333333331"]

    def test_all_commands(self):
        path = self.file(fitted(self.M, self.LOG), "fit.csv")
        counts = self.file(output("sample", *self.LISTS, "--n", 25, "--rows", 20))
        given = ["--omega-from", path]
        for command, extra in (("sample", ["--n", 25, "--rows", 20]), ("sample", ["--n", 25, "--plain", "--rows", 20]),
                               ("logprob", ["--in", counts]), ("moments", ["--n", 25, "--covariance", "--out", "-"]),
                               ("kl", ["--n", 25]), ("kl", ["--n", 25, "--other", "1,2,3,4"])):
            expected = output(command, *self.LISTS, *extra)
            self.assertEqual(output(command, *given, *extra), expected, command)
            self.assertEqual(output(command, *extra, "--m", "20,30,0,10", *given), expected, command)
        other = ["kl", "--m", "20,30,0,10", "--n", 25, "--omega", "1,2,3,4"]
        self.assertEqual(output(*other, "--other-from", path), output(*other, "--log-other", self.LISTS[3]))
        self.assertEqual(float(output("kl", "--n", 25, *given, "--other-from", path)), 0)
        self.assertEqual(output("moments", "--n", 25, "--omega-from", "-", stdin=path.read_bytes()),
                         output("moments", "--n", 25, *given))

    def test_round_trip(self):
        """By both methods, and of the demo's data, whose means the fitted law has."""
        data, path = EXAMPLES / "data" / "fashion_counts.csv", self.directory / "fit.csv"
        output("fit", "--m", "10x256", "--n", 256, "--in", data, "--out", path)
        _, rows = table(path.read_text())
        moments = self.directory / "moments.csv"
        output("moments", "--omega-from", path, "--n", 256, "--out", moments)
        for row, (_, _, log_omega, mean, *_) in zip(rows, table(moments.read_text())[1], strict=True):
            self.assertEqual(log_omega, row[4])  # to the last digit
            self.assertLessEqual(abs(mean - row[2]), 1e-6 + 5e-9 * row[2])  # data_mean is printed to 9 digits
        self.assertEqual(output("kl", "--omega-from", moments, "--other-from", path, "--n", 256), "0\n")
        output("fit", "--m", "10x256", "--n", 256, "--in", data, "--out", path, "--method", "sgd", "--epochs", 1)
        text = output("sample", "--omega-from", path, "--n", 256, "--rows", 10)
        log_omega = ",".join(line.split(",")[4] for line in path.read_text().splitlines()[1:])
        self.assertEqual(text, output("sample", "--m", "10x256", f"--log-omega={log_omega}", "--n", 256, "--rows", 10))

    def test_columns_go_by_their_names(self):
        for text in ("log_omega,class,m\n0.25,0,20\n-0.5,1,30\nnan,2,0\n0.33333333333333331,3,10\n",
                     'class;"m";note;log_omega\n0;20;"a;b";0.25\n1;3e1;;-0.5\n2;0;x;inf\n3;10;;0.33333333333333331\n'):
            self.assertEqual(output("sample", "--omega-from", self.file(text), "--n", 25, "--rows", 9),
                             output("sample", *self.LISTS, "--n", 25, "--rows", 9))

    def test_what_does_not_agree_is_named(self):
        path = self.file(fitted(self.M, self.LOG), "fit.csv")
        for pattern, m in (("fit.csv: line 3: class 1 has 30 balls, where --m has 31", "20,31,0,10"),
                           ("fit.csv: line 4: class 2 has 0 balls, where --m has 1", "20,30,1,10"),
                           ("fit.csv: 4 classes, where --m has 3", "20,30,0"), ("fit.csv: 4 classes, where --m has 5",
                                                                                "20,30,0,10,5")):
            for command in ("sample", "moments", "kl"):
                self.expect(1, pattern, command, "--m", m, "--n", 3, "--omega-from", path)
            self.expect(1, pattern, "kl", "--m", m, "--n", 3, "--other-from", path)
            self.expect(1, pattern, "logprob", "--m", m, "--in", self.file("1,1,1\n"), "--omega-from", path)
        second = self.file(fitted([20, 30, 1, 10], self.LOG[:2] + [0, 1]), "second.csv")
        self.expect(1, "second.csv: line 4: class 2 has 1 balls, where --omega-from has 0", "kl", "--n", 3, "--omega-from", path,
                    "--other-from", second)
        for option in ("--omega", "--log-omega"):
            self.expect(2, f"--omega-from and {option} exclude", "sample", "--omega-from", path, option, "1,1,1,1")
        self.expect(2, "--other and --other-from exclude", "kl", "--other", "1,1,1,1", "--other-from", path)
        self.expect(2, "--m is missing", "kl", "--n", 3, "--other-from", path)
        self.expect(2, "--n: 61 is more than the 60 balls of --omega-from", "sample", "--omega-from", path, "--n", 61)
        self.expect(2, "--order: 2 entries for the 4 classes of --omega-from", "sample", "--omega-from", path, "--order", "0,1",
                    "--n", 3)
        self.expect(2, "--other: 2 values for the 4 classes of --omega-from", "kl", "--omega-from", path, "--other", "1,1",
                    "--n", 3)
        self.expect(1, "class 0: '21' is more than the 20 balls of --omega-from", "logprob", "--omega-from", path, "--in",
                    self.file("21,0,0,0\n"))

    def test_infinite_ratios(self):
        path = self.file(fitted([5, 4, 0], [0, math.inf, math.inf]), "fit.csv")
        for command in ("sample", "moments", "kl"):
            self.expect(1, "fit.csv: line 3: class 1 has a log omega of \\+infinity, and no law has an infinite ratio of omega:"
                        ".* drawn whole before others are. Leave it out of --m and --n, and add its 4 balls to what is drawn",
                        command, "--n", 2, "--omega-from", path)
        all_infinite = self.file(fitted([5, 4, 0], [-math.inf] * 3), "fit.csv")
        self.expect(2, "--omega-from: omega is 0 for every class", "sample", "--n", 2, "--omega-from", all_infinite)
        some = self.file(fitted([5, 4, 3], [0, -math.inf, 1]), "fit.csv")
        self.expect(2, r"--n: 9 is more than the 8 balls of the classes whose omega is above 0 \(--omega-from\)", "sample", "--n",
                    9, "--omega-from", some)

    def test_files_that_are_wrong_are_named(self):
        good = fitted([5, 4], [0, 1])
        for pattern, text in (
                ("no lines", ""), ("no classes", FITTED), ("line 1: there is no column class", "1,2,3\n"),
                ("line 1: there is no column log_omega", "class,m,omega\n0,5,1\n"),
                ("line 1: there is no column m: this is not what gumbelurn fit --out wrote", "class,log_omega\n0,5\n"),
                ("line 3: 3 columns where there should be 9", good.replace("1,4,1,1,1,1,0.1,0,1", "1,4,1")),
                ("line 2: field 1: '1' is not the next class", good.replace("\n0,5", "\n1,5")),
                ("line 3: field 1: '0' is not the next class", good.replace("\n1,4", "\n0,4")),
                ("line 3: field 1: 'one' is not a class", good.replace("\n1,4", "\none,4")),
                ("line 3: field 2: '4.5' is not a class size", good.replace("\n1,4", "\n1,4.5")),
                ("line 3: field 2: '-4' is not a class size", good.replace("\n1,4", "\n1,-4")),
                ("line 3: field 2: '1e9' is not a class size", good.replace("\n1,4", "\n1,1e9")),
                ("line 3: the sizes sum to more than 67108864", fitted([67108864, 1], [0, 0])),
                ("line 3: class 1 has no log omega: the data say nothing of its ratio", fitted([5, 4], [0, math.nan])),
                ("line 3: field 5: '-' is not a log omega", fitted([5, 4], [0, "-"])),
                ("line 3: field 5: '1e999' is not a log omega", fitted([5, 4], [0, "1e999"])),
                ("a zero byte", "class,m\0,log_omega\n")):
            self.expect(1, pattern, "sample", "--n", 1, "--omega-from", self.file(text))
        self.expect(1, "--omega-from: .*none.csv: No such file", "sample", "--n", 1, "--omega-from", self.directory / "none.csv")
        result = run("fit", "--help")
        self.assertNotIn(b"omega-from", result.stdout)


if __name__ == "__main__":
    main()
