"""What the tests of the command-line program share: running it, and reading what it writes. Standard library only."""
import ast
import csv
import io
import os
import pathlib
import struct
import subprocess
import sys
import tempfile
import unittest

PROGRAM = os.path.abspath(sys.argv[1]) if len(sys.argv) > 1 else ""
DATA = pathlib.Path(__file__).parent / "data"
EXAMPLES = pathlib.Path(__file__).parents[2] / "examples"


def main():
    """Runs the tests of the script that calls this: python3 test_X.py GUMBELURN [unittest arguments]."""
    del sys.argv[1]
    unittest.main()


def run(*arguments, stdin=None, environment=None, stdout=subprocess.PIPE, **keywords):
    """A run, with bytes or a file for its standard input. What takes a minute hangs."""
    given = {"stdin": stdin} if hasattr(stdin, "fileno") else {"input": stdin}
    return subprocess.run([PROGRAM, *map(str, arguments)], stdout=stdout, stderr=subprocess.PIPE, timeout=120,
                          env={**os.environ, **(environment or {})}, check=False, **given, **keywords)


def output(*arguments, **keywords):
    """Standard output of a run that must succeed in silence."""
    result = run(*arguments, **keywords)
    if result.returncode != 0 or result.stderr:
        raise AssertionError(f"{arguments}: exit {result.returncode}: {result.stderr.decode()}")
    return result.stdout.decode()


def table(text):
    """Header and rows of numbers of a CSV text."""
    lines = list(csv.reader(io.StringIO(text)))
    return lines[0], [[float(field) for field in line] for line in lines[1:]]


def write_npy(descr, shape, data, fortran=False, version=1):
    """An .npy file by the format's description; descr: '<i4' and the like, or the list of a structured array."""
    header = f"{{'descr': {descr!r}, 'fortran_order': {fortran}, 'shape': {shape}, }}".encode() + b"\n"
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H" if version == 1 else "<I", len(header)) + header + data


def read_npy(content):
    """Header and data of a version 1.0 .npy file, by the format's description."""
    assert content[:8] == b"\x93NUMPY\x01\x00", content[:8]
    (length,) = struct.unpack("<H", content[8:10])
    assert (10 + length) % 64 == 0 and content[9 + length:10 + length] == b"\n"
    return ast.literal_eval(content[10:10 + length].decode("ascii")), content[10 + length:]


class Directory(unittest.TestCase):
    def setUp(self):
        self.temporary = tempfile.TemporaryDirectory()
        self.directory = pathlib.Path(self.temporary.name)

    def tearDown(self):
        self.temporary.cleanup()

    def file(self, content, name="counts.csv"):
        path = self.directory / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def expect(self, status, pattern, *arguments, **keywords):
        """A run that fails with this exit status and a message that matches the pattern."""
        result = run(*arguments, **keywords)
        message = result.stderr.decode()
        self.assertEqual(result.returncode, status, f"{arguments}: {message}")
        self.assertRegex(message, pattern, str(arguments))
        self.assertTrue(message.startswith("gumbelurn"), message)
        if status == 2:
            self.assertIn("--help'", message)
        return result
