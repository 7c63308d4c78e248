#!/usr/bin/env python3
"""Tests of numbers, lists and options as they are given: python3 test_values.py GUMBELURN [unittest arguments]."""
import os
import unittest

from cli import Directory, main, output, run

URN = ["--m", "5,5", "--n", "4"]


class Numbers(Directory):
    def test_whole_numbers(self):
        for texts, value in ((("3", "3.0", "3e0", "+3", "30e-1", "0.3e1", "0003", "3.", ".3e1", "0.00003e5", "3000e-3", "3E+0"),
                              3), (("0", "-0", "0e999999999999", "0.000", "0e-5"), 0), (("10", "1e1", "0.1e2", "1000e-2"), 10)):
            for text in texts:
                self.assertEqual(output("sample", *URN, "--no-header", "--rows", text).count("\n"), value, text)
        for text in ("", " 3", "3 ", "3.5", "0.3", "30e-2", "1e-400", "3e", "3e+", "e3", ".", "+", "--3", "3..", "0x3", "3f",
                     "inf", "nan", "3e0.5", "1_000", "3,5", "٣"):
            self.expect(2, f"--rows: '{text.replace('.', chr(92) + '.').replace('+', chr(92) + '+')}' is not a whole number",
                        "sample", *URN, "--rows", text)

    def test_limits_are_named(self):
        for option, least, most in (("--rows", 0, 2**53), ("--n", 0, 2**26), ("--seed", 0, 2**64 - 1), ("--offset", 0, 2**64 - 1)):
            for text in (least - 1, most + 1, 10 * most, "1e19" if most < 2**60 else "1e20", "1e300", "1e99999999999", "-1e300",
                         2**64 + least, 2**63, -2**63, -2**63 - 1, -2**64):
                if str(text) in ("9223372036854775808",) and most > 2**63:
                    continue
                self.expect(2, f"{option}: '{text}' is not in {least}\\.\\.{most}\n", "sample", "--m", "5", option, text)
        self.expect(2, r"--batch: '0' is not in 1\.\.1048576\n", "fit", *URN, "--in", "x", "--batch", 0)
        self.expect(2, r"--epochs: '1e10' is not in 1\.\.1000000000\n", "fit", *URN, "--in", "x", "--epochs", "1e10")
        # The limits themselves, and whole numbers that no float holds.
        for seed in (2**64 - 1, 2**63, "18446744073709551615.0", 2**53 + 1, "1e19"):
            output("sample", *URN, "--seed", seed)
        self.assertNotEqual(output("sample", *URN, "--rows", 50, "--seed", 2**60), output(
            "sample", *URN, "--rows", 50, "--seed", 2**60 + 1))
        self.assertEqual(output("sample", *URN, "--rows", 50, "--seed", "1e19"),
                         output("sample", *URN, "--rows", 50, "--seed", 10**19))

    def test_reals(self):
        for pattern, text in (("'1e-400' is too near 0", "1e-400"), ("'-1' is not above 0", "-1"), ("'0' is not above 0", "0.0"),
                              ("'1e400' is beyond the largest", "1e400"), ("'inf' is not a finite number", "inf"),
                              ("'0x1p3' is not a finite number", "0x1p3"), ("'1,5' is not a finite number", "1,5")):
            self.expect(2, "--tau: " + pattern.replace("'0' is", "'0.0' is"), "sample", *URN, "--soft", "--tau", text)

    def test_the_stream_of_a_seed_ends(self):
        for rows, offset in ((2, 2**64 - 1), (5, 2**64 - 4), (2**53, 2**64 - 2**53 + 1)):
            result = self.expect(2, "--offset and --rows: the stream of a seed has 2.64 rows", "sample", *URN, "--rows", rows,
                                 "--offset", offset, "--out", self.directory / "x.csv")
            self.assertEqual((result.stdout, list(self.directory.iterdir())), (b"", []))
        last = output("sample", *URN, "--no-header", "--rows", 3, "--offset", 2**64 - 3)
        self.assertEqual(last, "".join(output("sample", *URN, "--no-header", "--offset", 2**64 - k) for k in (3, 2, 1)))
        self.assertEqual(output("sample", *URN, "--no-header", "--rows", 0, "--offset", 2**64 - 1), "")
        self.expect(2, "--offset and --rows", "sample", *URN, "--plain", "--rows", 2, "--offset", 2**64 - 1)


class Lists(Directory):
    def draws(self, *arguments, n=9):
        return output("sample", "--n", n, "--rows", 5, *arguments)

    def test_blanks_around_entries(self):
        expected = self.draws("--m", "4,7,7,7", "--omega", "1,2,2,3", "--order", "3,0,1,2")
        for m, omega, order in (("4, 7, 7, 7", " 1 ,2,2,3", "3, 0,1,2 "), ("4,\t3x7", "1, 2x2,\n3", "\n3,0,1,2\n")):
            self.assertEqual(self.draws("--m", m, "--omega", omega, "--order", order), expected)
        self.assertEqual(self.draws("--m", "200, 200, 200"), self.draws("--m", "3x200"))
        for text in ("4 7", "4,7 7", "3 x7", "3x 7"):
            self.expect(2, "--m: '.*' (of '.*' )?is not a whole number", "sample", "--m", text, "--n", 1)

    def test_messages_quote_entry_and_argument(self):
        for pattern, option, text in (
                (r"--m: '5a' is not a whole number \(entry 2 of '3,5a,7'\)", "--m", "3,5a,7"),
                (r"--m: '5a' is not a whole number\n", "--m", "5a"),
                (r"--m: '67108865' is not in 0\.\.67108864 \(entry 2 of '1, 67108865'\)", "--m", "1, 67108865"),
                (r"--m: '' is not a whole number \(entry 1 of '3x'\)", "--m", "3x"),
                (r"--m: '' of 'x5' is not a whole number \(entry 1 of 'x5'\)", "--m", "x5"),
                (r"--m: '1.5' of '1.5x5' is not a whole number \(entry 2 of '5,1.5x5'\)", "--m", "5,1.5x5"),
                (r"--m: '-1' of '-1\*5' is not in 1\.\.16777215", "--m", "-1*5"),
                (r"--m: '999999999999' of '999999999999x1' is not in 1\.\.16777215", "--m", "999999999999x1"),
                (r"--m: '99999999999999999999' of '.*' is not in 1\.\.16777215", "--m", "99999999999999999999x1"),
                (r"--m: '5x5' is not a whole number \(entry 1 of '5x5x5'\)", "--m", "5x5x5"),
                (r"--m: more than 16777215 values \(entry 2 of '16777215x0,1x0'\)", "--m", "16777215x0,1x0"),
                (r"--m: the sizes sum to more than 67108864 \(entry 3 of '3e7,3e7,3e7'\)", "--m", "3e7,3e7,3e7"),
                (r"--m: an empty entry in '5, ,5'", "--m", "5, ,5"), (r"--m: an empty entry in ' '", "--m", " "),
                (r"--m: an empty entry in ',5'", "--m", ",5"),
                (r"--omega: 'a' is not a number \(entry 2 of '1,a'\)", "--omega", "1,a"),
                (r"--log-omega: 'a' is not a finite number \(entry 2 of '1,a'\)", "--log-omega", "1,a"),
                (r"--order: '-1' is not in 0\.\.16777215 \(entry 2 of '0,-1'\)", "--order", "0,-1"),
                (r"--m: 'b' is not a whole number \(entry 200 of '1,1,1.{100,120}\.\.\.'\)\n", "--m", "1," * 199 + "b")):
            arguments = [option, text] if option == "--m" else ["--m", "5,5", option, text]
            self.expect(2, pattern, "sample", *arguments, "--n", 2)

    def test_files(self):
        expected = self.draws("--m", "4,7,7,7", "--omega", "1,2,2,3", "--order", "3,0,1,2")
        for number, text in enumerate(("4,7,7,7", "4\n7\n7\n7\n", "4 7\t7  7", "4, 7,\n7,7\n", "4,3x7\r\n", "\ufeff4 3*7",
                                       "# sizes\n4 # first\n\n  3x7#rest, too\n#end", "4.0 7e0 70e-1 7 ,3x0"[:-4])):
            path = self.file(text, f"m{number}.txt")
            self.assertEqual(self.draws("--m", f"@{path}", "--omega", "@" + str(self.file("1 2x2 3", "omega")), "--order",
                                        "@" + str(self.file("3\n0,1\n2\n", "order"))), expected, repr(text))
        self.assertEqual(output("sample", "--m", "@-", "--n", 9, stdin=b"4\n7 7 7"), output("sample", "--m", "4,3x7", "--n", 9))
        self.assertEqual(self.draws("--m", "4,7", "--log-omega", "@" + str(self.file("0 -0.5"))),
                         self.draws("--m", "4,7", "--log-omega", "0,-0.5"))
        self.assertEqual(output("kl", "--m", "4,7", "--n", 5, "--other", "@" + str(self.file("1 3"))),
                         output("kl", "--m", "4,7", "--n", 5, "--other", "1,3"))
        self.assertEqual(output("kl", "--m", "4,7", "--n", 5, "--log-other", "@" + str(self.file("1 3"))),
                         output("kl", "--m", "4,7", "--n", 5, "--log-other", "1,3"))

    def test_what_a_command_line_does_not_hold(self):
        """40 000 classes, each with an importance of its own. Few have a ball: the library's tables grow with both."""
        m = self.file("\n".join(str(int(c % 1000 == 7)) for c in range(40000)))
        omega = self.file("\n".join(f"{1 + c % 7}.{c:05}1234567890" for c in range(40000)), "omega.txt")
        text = output("sample", "--m", f"@{m}", "--omega", f"@{omega}", "--n", 20, "--no-header")
        row = list(map(int, text.split(",")))
        self.assertEqual((len(row), sum(row)), (40000, 20))
        self.assertTrue({c % 1000 for c, x in enumerate(row) if x} == {7} and max(row) == 1)

    def test_files_that_are_wrong_are_named(self):
        for pattern, text in (("list: line 3: '5a' is not a whole number", "1 2\n3\n4 5a"),
                              (r"list: line 2: '-1' is not in 0\.\.67108864", "1,\n-1"),
                              (r"list: line 1: '0' of '0x5' is not in 1\.\.16777215", "0x5"),
                              ("list: line 3: the sizes sum to more than 67108864", "3e7\n3e7\n3e7\n"),
                              ("list: line 2: more than 16777215 values", "16777215x0\n0"),
                              ("list: line 1: an empty entry", "1,,2"), ("list: line 2: an empty entry", "1,\n,2"),
                              ("list: line 1: an empty entry", ",1"), ("list: line 2: an empty entry", "1,\n"),
                              ("list: line 1: '1;2' is not a whole number", "1;2"), ("list: no values", "# 1\n\n"),
                              ("list: no values", ""), ("list: line 2: a zero byte", b"1\n\0"),
                              ("list: line 1: a zero byte", "1,2\n".encode("utf-16-be")),
                              ("list: line 1: this is not a text", b"\xef\xbb5"),
                              ("list: line 1: no number is as long as '1{20}\\.\\.\\.'", 401 * "1")):
            self.expect(2, "--m: .*" + pattern, "sample", "--m", f"@{self.file(text, 'list')}", "--n", 1)
        self.expect(1, "--m: .*none: No such file", "sample", "--m", f"@{self.directory / 'none'}", "--n", 1)
        self.expect(1, "--m: .*: Is a directory", "sample", "--m", f"@{self.directory}", "--n", 1)
        self.expect(2, "--m: '' is not the name of a file", "sample", "--m", "@", "--n", 1)
        if os.path.exists("/dev/zero"):
            self.expect(2, "--m: /dev/zero: line 1: a zero byte", "sample", "--m", "@/dev/zero", "--n", 1)


class Options(Directory):
    def test_ways_to_give_them(self):
        expected = output("sample", *URN, "--rows", 7, "--omega", "1,3")
        for arguments in (["--m=5,5", "--n=4", "--rows=7", "--omega=1,3"], ["--m", "5,5", "--n", 4, "--ro", 7, "--omega", "1,3"],
                          ["--m", "9,9,9", "--m", "5,5", "--n", 1, "--n", 4, "--omega", "2,2,2,2", "--omega", "1,3", "--rows", 1,
                           "--rows", 7], ["--omega", "1,3", "--rows", 7, "--n", 4, "--m", "5,5"]):
            self.assertEqual(output("sample", *arguments), expected)
        self.expect(2, "--n: 11 is more than the 10 balls", "sample", "--m", "9,9", "--m", "5,5", "--n", 11)
        self.expect(2, "unexpected argument 'more'", "sample", *URN, "--", "more")
        self.expect(2, "unexpected argument '5'", "sample", "5", *URN)
        self.expect(2, "unknown or ambiguous option '--o'", "sample", *URN, "--o", "x")
        self.expect(2, "unknown or ambiguous option '--omega-from'", "fit", *URN, "--omega-from", "x")
        self.expect(2, "--n needs a value", "sample", "--m", "5,5", "--n")
        self.expect(2, "no value is taken by '--help'", "sample", "--help=yes")

    def test_what_depends_on_more_than_one(self):
        self.assertEqual(output("sample", "--m", "5,5", "--n", 10, "--no-header"), "5,5\n")
        self.expect(2, "--n: 11 is more than the 10 balls of --m", "sample", "--m", "5,5", "--n", 11)
        self.assertEqual(output("sample", "--m", "5,5", "--n", 10, "--no-header", "--order", "1,0"), "5,5\n")
        self.expect(2, "--order: there is no class 2", "sample", *URN, "--order", "2,0")
        self.expect(2, "--order: 3 entries for the 2 classes of --m", "sample", *URN, "--order", "0,1,1")
        self.expect(2, "--order: class 0 occurs twice", "sample", *URN, "--order", "0,0")
        self.expect(2, "--omega: 3 values for the 2 classes of --m", "sample", *URN, "--omega", "1,1,1")
        for first, second in (("--omega", "--log-omega"), ("--log-omega", "--omega")):
            self.expect(2, f"{first} and {second} exclude", "sample", *URN, first, "1,1", second, "1,1")
        self.expect(2, "--other and --log-other exclude", "kl", *URN, "--other", "1,1", "--log-other", "1,1")

    def test_float32_holds_whole_numbers_up_to_2_24(self):
        """The largest class that may be asked for, and one ball more."""
        for size, status in ((2**24, 0), (2**24 + 1, 2)):
            result = run("sample", "--m", f"{size},1", "--n", 1, "--dtype", "float32", "--no-header", "--chain", "merged")
            self.assertEqual(result.returncode, status, result.stderr.decode())
        self.assertIn(b"--dtype: float32 does not hold the counts of a class of 16777217; use float64", result.stderr)
        # Beyond, float64 is the default: the chances are 1 to 2^24 against the one ball.
        self.assertEqual(output("sample", "--m", f"{2**24 + 1},1", "--n", 1, "--no-header", "--chain", "merged"), "1,0\n")


if __name__ == "__main__":
    main()
