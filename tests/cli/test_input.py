#!/usr/bin/env python3
"""Tests of what the program reads as counts: CSV and .npy. python3 test_input.py GUMBELURN [unittest arguments].

Whether a table was read as it stands is seen by logprob, which prints a line for each row, and by the sum of a row.
"""
import math
import struct

from cli import Directory, main, output, run, write_npy


def ints(rows, code="<i4"):
    """The rows as the bytes of an array in C order."""
    letter = {"i": {1: "b", 2: "h", 4: "i", 8: "q"}, "u": {1: "B", 2: "H", 4: "I", 8: "Q"}, "b": {1: "?"},
              "f": {2: "e", 4: "f", 8: "d"}}[code[1]][int(code[2:])]
    return b"".join(struct.pack((">" if code[0] == ">" else "<") + str(len(row)) + letter, *row) for row in rows)


class Reading(Directory):
    M = "5,6,7"
    ROWS = [(1, 2, 3), (3, 2, 1), (5, 6, 7), (0, 0, 7)]

    def expected(self):
        """What logprob says of ROWS, from a plain file."""
        return self.log_p("".join(",".join(map(str, row)) + "\n" for row in self.ROWS))

    def log_p(self, content, *arguments, name="counts.csv", m=None):
        return output("logprob", "--m", m or self.M, "--omega", ",".join("123"[:(m or self.M).count(",") + 1]),
                      "--no-header", "--in", self.file(content, name), *arguments)

    def refused(self, pattern, content, *arguments, name="counts.csv"):
        """fit and logprob name what is wrong, print nothing and write nothing."""
        before = set(self.directory.iterdir()) | {self.directory / name}
        for command in ("logprob", "fit"):
            result = self.expect(1, pattern, command, "--m", self.M, *arguments, "--in", self.file(content, name), "--out",
                                 self.directory / "out.csv")
            self.assertEqual(result.stdout, b"")
        self.assertEqual(set(self.directory.iterdir()), before)


class Csv(Reading):
    def test_a_first_line_with_a_bad_field_is_no_header(self):
        for first, field, text in (("1,NA,3", 2, "NA"), ("NA,2,3", 1, "NA"), ("1,2,", 3, ""), ("x,2,3", 1, "x"),
                                   ("1,2,3o", 3, "3o"), ("nan,2,3", 1, "nan"), ("1,inf,3", 2, "inf"),
                                   ("1,0x2,3", 2, "0x2"), ("1,2,x2", 3, "x2"), ('"1",NA,3', 2, "NA"), ("1e999,a,b", 2, "a")):
            self.refused(f"line 1: field {field}: '{text}' is not a number", first + "\n2,2,2\n1,3,2\n")
            self.refused(f"line 3: field {field}: '{text}' is not a number", f"# c\n\n{first}\n2,2,2\n1,3,2\n")
        # Nor is one of missing values, in which no field is a number.
        for first in ("NA,NA,NA", "nan,nan,nan", ",,", "NULL,None,-", "-inf,NaN,?", '"","",""'):
            self.refused("line 1: field 1: '.*' is not a number", first + "\n2,2,2\n")

    def test_a_header_has_no_number(self):
        for header in ("x0,x1,x2", "a,b,c", '"x0","x1","x2"', "class a, b ,10 %", "1st,2nd,3rd", "größe,b,c", "NA,b,c"):
            self.assertEqual(self.log_p(header + "\n1,2,3\n3,2,1\n5,6,7\n0,0,7\n"), self.expected(), header)
        self.refused("line 1: the header has 2 columns for the 3 classes of --m", "a,b\n1,2,3\n")

    def test_header_yes_and_no(self):
        text = "1,2,3\n3,2,1\n5,6,7\n0,0,7\n"
        for first in ("0,1,2", "2019,NA,x", "7,8,9", "NA,NA,NA", "x0,x1,x2"):  # more balls than there are: never a row
            self.assertEqual(self.log_p(f"{first}\n{text}", "--header", "yes"), self.expected(), first)
        self.assertEqual(self.log_p(text, "--header", "no"), self.expected())
        self.assertEqual(self.log_p(text, "--header", "auto"), self.expected())
        self.assertEqual(self.log_p(text, "--header", "yes"), "".join(self.expected().splitlines(True)[1:]))
        self.refused("line 1: field 1: 'x0' is not a number", "x0,x1,x2\n" + text, "--header", "no")
        self.refused("line 1: the header has 4 columns for the 3 classes", ",0,1,2\n0,1,2,3\n", "--header", "yes")
        self.refused("no rows", "1,2,3\n", "--header", "yes")
        self.expect(2, "--header: 'maybe' is not auto, yes or no", "fit", "--m", "5", "--header", "maybe")

    def test_names_that_count_are_a_row_and_named(self):
        """What pandas writes without names for its columns. With two classes it is too ordinary a row to speak of."""
        result = run("logprob", "--m", self.M, "--in", self.file("0,1,2\n1,2,3\n"))
        self.assertEqual((result.returncode, len(result.stdout.splitlines())), (0, 3))
        self.assertRegex(result.stderr.decode(), "warning: .*: line 1, which counts from 0, is read as a row; .*--header yes")
        self.assertEqual(output("logprob", "--m", "5,6", "--in", self.file("0,1\n1,2\n")).count("\n"), 3)
        self.assertEqual(output("logprob", "--m", self.M, "--in", self.file("0,1,2\n1,2,3\n"), "--header",
                                "no").count("\n"), 3)

    def test_dialects(self):
        plain = "1,2,3\n3,2,1\n5,6,7\n0,0,7\n"
        for text in (plain.replace("\n", "\r\n"), "\ufeff" + plain, "\ufeffx0,x1,x2\r\n" + plain, plain.replace(",", ";"),
                     plain.replace(",", "\t"), plain.replace(",", " , "), "\n\n" + plain.replace("\n", "\n\n"), plain[:-1],
                     "# one\n" + plain + "  # two\n", "".join(f'"{line[0]}", "{line[2]}" ,"{line[4]}"\n' for line in
                                                              plain.splitlines()),
                     '"a, ""b""";c;"d;e"\n' + plain.replace(",", ";"), "1.0,2e0,+3\n30e-1,0.2e1,1.\n5,6,7\n-0,0e9,07\n"):
            self.assertEqual(self.log_p(text), self.expected(), repr(text))
        self.assertEqual(self.log_p("5\n3\n", m="5"), self.log_p("n\r\n5\r\n3\r\n", m="5"))

    def test_lines_that_are_wrong_are_named(self):
        for pattern, text in (
                ("line 2: 4 columns where there should be 3, the last of them empty", "1,2,3\n3,2,1,\n"),
                ("line 2: 4 columns where there should be 3, the last", "x0,x1,x2\r\n3,2,1,\r\n"),
                ("line 2: 4 columns where there should be 3\n", "1,2,3\n3,2,1,0\n"),
                ("line 2: 2 columns where", "1,2,3\n3,2\n"),
                ("line 2: 1 columns where", "1,2,3\n1;2;3\n"),  # one separator in a file
                ("line 3: field 2: '' is not a number", "1,2,3\n\n1,,3\n"),
                ("line 2: field 3: '3 4' is not a number", "1,2,3\n1,2,3 4\n"),
                ("line 2: class 1: '2.5' is not a count", "1,2,3\n1,2.5,3\n"),
                ("line 2: class 1: '-2' is not a count", "1,2,3\n1,-2,3\n"),
                ("line 2: class 1: '1e-400' is not a count", "1,2,3\n1,1e-400,3\n"),
                ("line 2: class 0: '6' is more than the 5 balls of --m", "1,2,3\n6,2,3\n"),
                ("line 2: class 0: '1e999' is more than the 5 balls", "1,2,3\n1e999,2,3\n"),
                ("line 2: class 0: '18446744073709551617' is more than the 5", "1,2,3\n18446744073709551617,2,3\n"),
                ("line 2: class 2: '4294967299' is more than the 7", "1,2,3\n1,2,4294967299\n"),
                ("line 2: field 1: '\ufeff3' is not a number", "\ufeff1,2,3\n\ufeff3,2,1\n"),
                ("line 2: a quote is not closed", '1,2,3\n"1,2,3\n'),
                ("line 2: something follows a field in quotes", '1,2,3\n"1"2,2,3\n'),
                (r"line 2: field 1: '1\\x012' is not a number", "1,2,3\n1\x012,2,3\n"),
                ("line 2: field 1: 'a{55,60}\\.\\.\\.' is not a number", "1,2,3\n" + 5000 * "a" + ",2,3\n"),
                ("line 1: a zero byte: this is not a text", b"1,2,3\0\n"),
                ("line 2: a zero byte: this is not a text", b"1,2,3\n1,\0" + b"2,3\n"),
                ("this is text in UTF-16", "1,2,3\n".encode("utf-16")),
                ("this is compressed by gzip", b"\x1f\x8b\x08\x00\x00\x00\x00\x00"),
                ("this is compressed by xz", b"\xfd7zXZ\0"),
                ("this is a zip archive", b"PK\x03\x04\x14\x00"),
                ("no rows", "\ufeff"), ("no rows", "x0,x1,x2"), ("no rows", "# 1,2,3\n"),
        ):
            self.refused(pattern, text)
        self.expect(1, "Is a directory", "fit", "--m", "5", "--in", self.directory)

    def test_row_sums(self):
        for n, row in ((7, "1,2,3"), (5, "1,2,3")):
            self.refused(f"line 2: the counts sum to 6, not to {n}", f"x0,x1,x2\n{row}\n", "--n", n)
        self.log_p("1,2,3\n", "--n", 6)

    def test_counts_at_the_edges_of_their_digits(self):
        """9, 10, 99, 100, 999 and 1000 as they are written and read: every ball is drawn, so the row is known."""
        sizes = [0, 1, 9, 10, 11, 99, 100, 101, 999, 1000, 1001, 9999, 10000]
        m, n = ",".join(map(str, sizes)), sum(sizes)
        for extra in ([], ["--plain"], ["--dtype", "float64"], ["--chain", "merged"]):
            self.assertEqual(output("sample", "--m", m, "--n", n, "--no-header", *extra), m + "\n")
        # Where a ball is left, its class is the only one that differs. And the last ball that is drawn is 0 or 1.
        text = output("sample", "--m", m, "--n", n, "--out", "-")
        for name, content in (("counts.csv", text), ("counts.csv", text.replace(",", ", "))):
            self.assertEqual(float(output("logprob", "--m", m, "--n", n, "--sum", "--in", self.file(content, name))), 0)
        for c, size in enumerate(sizes):
            row = sizes.copy()
            row[c] += 1
            self.expect(1, f"line 1: class {c}: '{size + 1}' is more than the {size} balls", "logprob", "--m", m, "--in",
                        self.file(",".join(map(str, row))))
            if size:
                row[c] -= 2
                self.expect(1, f"line 1: the counts sum to {n - 1}, not to {n}", "logprob", "--m", m, "--n", n, "--in",
                            self.file(",".join(map(str, row))))

    def test_what_sample_writes_is_read(self):
        urn = ["--m", "20,30,10", "--n", 25]
        plain = output("sample", *urn, "--rows", 20)
        for extra in ([], ["--no-header"], ["--log-p"], ["--dtype", "float64", "--log-p"]):
            if "float64" in extra:
                plain = output("sample", *urn, "--rows", 20, "--dtype", "float64")
            text = output("sample", *urn, "--rows", 20, *extra)
            for command in ("fit", "logprob"):
                self.assertEqual(output(command, *urn, "--in", self.file(text)),
                                 output(command, *urn, "--in", self.file(plain)), extra)
        self.refused("line 2: class 0: '.*' is not a count", output("sample", *urn, "--soft", "--rows", 2))


class Npy(Reading):
    def test_types(self):
        for order in "<>|=":
            for code in ("i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"):
                if (order == "|") == (code[1] == "1") or order == "=":
                    content = write_npy(order + code, (4, 3), ints(self.ROWS, order + code))
                    self.assertEqual(self.log_p(content, name="x.npy"), self.expected(), order + code)
        content = write_npy("|b1", (2, 3), bytes([1, 0, 1, 0, 0, 1]))
        self.assertEqual(self.log_p(content, name="x.npy"), self.log_p("1,0,1\n0,0,1\n"))

    def test_fortran_order(self):
        """More rows than are read at once, all different: a transposed array would not do."""
        rows = [(i % 6, i // 6 % 7, i // 42 % 8) for i in range(5000)]
        expected = self.log_p("".join(",".join(map(str, row)) + "\n" for row in rows))
        for code in ("<i4", ">i2", "|i1", "<f8"):
            columns = [[row[c] for row in rows] for c in range(3)]
            content = write_npy(code, (5000, 3), ints(columns, code), fortran=True)
            self.assertEqual(self.log_p(content, name="x.npy"), expected, code)
        columns = [(1, 3, 2), (1, 2, 8)]
        content = write_npy("<i4", (3, 2), ints(columns), fortran=True)
        self.expect(1, "row 2: class 1: '8' is more than the 7", "logprob", "--m", "7,7", "--in", self.file(content, "x.npy"))
        self.expect(1, "row 1: the counts sum to 5, not to 2", "logprob", "--m", "9,9", "--n", 2, "--in",
                    self.file(content, "x.npy"))

    def test_fields(self):
        for descr, code in (([("x", "<i4", (3,)), ("log_p", "<f4")], "<3if"), ([("log_p", "<f8"), ("x", "<i4", (3,))], "<d3i"),
                            ([("a", "<i4"), ("b", "<u2"), ("c", "|u1"), ("log_p", "<f4")], "<iHBf"),
                            ([("a", "<i4"), ("", "|V4"), ("b", ">f4"), ("c", "<i8", ())], None)):
            if code is None:
                data = b"".join(struct.pack("<ii", row[0], -1) + struct.pack(">f", row[1]) + struct.pack("<q", row[2])
                                for row in self.ROWS)
            else:
                data = b"".join(struct.pack(code, *(((-1.5,) if descr[0][0] == "log_p" else ()) + row +
                                                    ((math.nan,) if descr[-1][0] == "log_p" else ())))
                                for row in self.ROWS)
            for fortran in (False, True):  # the same, in one dimension
                self.assertEqual(self.log_p(write_npy(descr, (4,), data, fortran=fortran), name="x.npy"), self.expected(),
                                 str(descr))

    def test_versions_and_names(self):
        data = ints(self.ROWS)
        for version in (1, 2, 3):
            self.assertEqual(self.log_p(write_npy("<i4", (4, 3), data, version=version), name="x.npy"), self.expected())
        content = write_npy("<i4", (4, 3), data)
        for name in ("X.NPY", "x.Npy", "counts", "counts.csv", "counts.dat"):
            self.assertEqual(self.log_p(content, name=name), self.expected(), name)
        self.assertEqual(output("logprob", "--m", self.M, "--omega", "1,2,3", "--no-header", "--in", "-", stdin=content),
                         self.expected())
        # As NumPy of Python 2 wrote it, with other blanks, and in another order.
        for header in (b"{'descr': '<i4', 'fortran_order': False, 'shape': (4L, 3L), }",
                       b'{"shape":(4,3),"fortran_order":False,"descr":"<i4"}       \n'):
            self.assertEqual(self.log_p(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data, name="x.npy"),
                             self.expected())

    def test_arrays_that_are_wrong_are_named(self):
        data = ints(self.ROWS)
        good = write_npy("<i4", (4, 3), data)
        for pattern, content in (
                (r"its shape is \(2, 2, 3\)", write_npy("<i4", (2, 2, 3), data)),
                (r"its shape is \(4, 3, 1\)", write_npy("<i4", (4, 3, 1), data)),
                (r"its shape is \(12,\)", write_npy("<i4", (12,), data)),
                (r"its shape is \(\)", write_npy("<i4", (), data[:4])),
                (r"its shape is \(2, 2\)", write_npy([("x", "<i4", (3,))], (2, 2), data)),
                ("field 'x' has more than one dimension", write_npy([("x", "<i4", (3, 1))], (4,), data)),
                ("field 'x' is not of one type", write_npy([("x", [("y", "<i4")])], (4,), data)),
                ("more bytes follow the array", good + b"\0"),
                ("more bytes follow the array", good + good),
                ("cut off in row 3 of 4", good[:-1]),
                ("cut off in row 0 of 4", good[:-len(data)]),
                ("cut off in column 2 of 3", write_npy("<i4", (4, 3), data[:-1], fortran=True)),
                ("4 columns for the 3 classes", write_npy("<i4", (3, 4), data)),
                ("2 columns for the 3 classes", write_npy([("x", "<i4", (2,)), ("log_p", "<f4")], (4,), data)),
                ("the type '<c8'", write_npy("<c8", (4, 3), data + data)),
                ("the type '|O'", write_npy("|O", (4, 3), data)),
                ("the type '<U2'", write_npy("<U2", (4, 3), data)),
                ("the type '<f16'", write_npy("<f16", (4, 3), data * 4)),
                ("the type '<i3'", write_npy("<i3", (4, 3), data)),
                ("the type '<m8\\[s\\]'", write_npy("<m8[s]", (4, 3), data * 2)),
                ("the type '<U3'", write_npy([("x", "<i4", (3,)), ("name", "<U3")], (4,), data)),
                ("class 0: '-1' is not a count \\(type \\|i1\\)", write_npy("|i1", (1, 3), struct.pack("3b", -1, 1, 2))),
                ("class 2: '-128' is not a count", write_npy("|i1", (1, 3), struct.pack("3b", 0, 1, -128))),
                ("class 1: '127' is more than the 6", write_npy("|i1", (1, 3), struct.pack("3b", 0, 127, -128))),
                ("class 1: '255' is more than the 6", write_npy("|u1", (1, 3), bytes([0, 255, 0]))),
                ("class 1: '2.5' is not a count \\(type <f4\\)", write_npy("<f4", (1, 3), ints([(1, 2.5, 1)], "<f4"))),
                ("class 0: '-?nan' is not a count", write_npy("<f8", (1, 3), ints([(math.nan, 2, 1)], "<f8"))),
                ("class 0: '-?nan' is not a count", write_npy("<f2", (1, 3), ints([(math.nan, 2, 1)], "<f2"))),
                ("class 0: 'inf' is not a count", write_npy("<f2", (1, 3), ints([(math.inf, 2, 1)], "<f2"))),
                ("class 0: '-inf' is not a count", write_npy("<f8", (1, 3), ints([(-math.inf, 2, 1)], "<f8"))),
                ("class 0: '5.9604644775390625e-08' is not a count", write_npy("<f2", (1, 3), b"\1\0" + bytes(4))),
                ("class 0: '65504' is more than", write_npy("<f2", (1, 3), ints([(65504, 2, 1)], "<f2"))),
                ("class 0: '-4294967295' is not", write_npy("<i8", (1, 3), ints([(-2**32 + 1, 2, 1)], "<i8"))),
                ("class 0: '1.8446744073709552e\\+19' is more", write_npy("<u8", (1, 3), ints([(2**64 - 1, 2, 1)], "<u8"))),
                ("class 0: '4294967297' is more", write_npy(">u8", (1, 3), ints([(2**32 + 1, 2, 1)], ">u8"))),
                ("class 1: '255' is more than the 6", write_npy("|b1", (1, 3), bytes([0, 255, 0]))),
                ("no rows", write_npy("<i4", (0, 3), b"")), ("no rows", write_npy("<i4", (0, 3), b"", fortran=True)),
                ("out of memory|cut off", write_npy("<i4", (2**60, 3), data)),
                ("out of memory|cut off", write_npy("<i4", (2**60, 3), data, fortran=True)),
                ("not an .npy file", b"1,2,3\n"), ("not an .npy file", b""), ("not an .npy file", b"\x93NUMPY"),
                ("version 4 of the .npy format", b"\x93NUMPY\x04\x00" + good[8:]),
                ("the header is cut off", good[:40]), ("the header is cut off", b"\x93NUMPY\x02\x00\x01\x00"),
                ("the header is too long", b"\x93NUMPY\x02\x00\xff\xff\xff\x7f" + good),
                ("header of this .npy file is not understood from '<i4", good.replace(b"'<i4'", b" <i4 ")),
                ("header of this .npy file is not understood from 'Maybe", good.replace(b"False", b"Maybe")),
                ("header of this .npy file is not understood from '-4, 3", good.replace(b"(4, 3)", b"(-4, 3)"[:6] + b")")),
                ("header of this .npy file is not understood", good.replace(b"fortran_order", b"fortran-order")),
                ("header of this .npy file lacks a part", write_npy("<i4", (4, 3), data).replace(
                    b"'fortran_order': False, ", 24 * b" ")),
        ):
            self.refused(pattern, content, name="x.npy")

    def test_what_sample_writes_is_read(self):
        urn = ["--m", "20,30,10", "--n", 25]
        for extra in ([], ["--plain"], ["--log-p"], ["--log-p", "--dtype", "float64"]):
            path = self.directory / "x.npy"
            output("sample", *urn, "--rows", 20, *extra, "--out", path)
            text = output("sample", *urn, "--rows", 20, *[word for word in extra if word != "--log-p"])
            for command in ("fit", "logprob"):
                self.assertEqual(output(command, *urn, "--in", path), output(command, *urn, "--in", self.file(text)), extra)
        output("sample", *urn, "--rows", 2, "--soft", "--out", path)
        self.expect(1, r"row 0: class 0: '.*' is not a count \(type <f4\)", "fit", *urn, "--in", path)


if __name__ == "__main__":
    main()
