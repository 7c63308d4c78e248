#!/usr/bin/env python3
"""Tests of what the program takes of a machine: threads and memory. python3 test_limits.py GUMBELURN [unittest arguments]."""
import os
import resource
import subprocess
import unittest

from cli import PROGRAM, Directory, main, output, run

URN = ["--m", "5,5,5", "--n", "4", "--omega", "1,2,3"]


def limited(megabytes, *arguments):
    """A run that may have so much address space, of which a thread's stack takes 8 MiB mostly."""
    def limit():
        resource.setrlimit(resource.RLIMIT_AS, (megabytes << 20, megabytes << 20))
    return subprocess.run([PROGRAM, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          preexec_fn=limit, check=False)


class Threads(Directory):
    def test_too_many_are_wrong_usage(self):
        for threads in (4097, 40000, 65536, 1000000):
            for command in (["sample", *URN, "--rows", 5], ["moments", *URN], ["info"]):
                self.expect(2, f"--threads: {threads} is above 4096", *command, "--threads", threads)

    def test_more_than_processors_are_allowed(self):
        for kind in ([], ["--plain"], ["--chain", "merged"]):
            command = ["sample", *URN, "--rows", 100, *kind]
            self.assertEqual(output(*command, "--threads", 300), output(*command, "--threads", 1))

    @unittest.skipIf(os.environ.get("GURN_TEST_BUILD") == "sanitize", "a sanitizer takes more address space")
    def test_what_can_not_be_started_is_an_error(self):
        if "in use   portable, 1 thread\n" in output("info", "--threads", "2", environment={"GURN_ISA": "portable"}):
            self.skipTest("built without OpenMP")
        for command in (["sample", *URN, "--rows", 100000], ["moments", *URN]):
            result = limited(300, *command, "--threads", 4000)
            self.assertEqual((result.returncode, result.stdout), (1, b""))
            self.assertRegex(result.stderr, rb"^gumbelurn \w+: --threads: 4000 can not be started here")
        # by default there are as many as can be, and the rows are the same
        command = ["sample", *URN, "--rows", 1000]
        result = limited(100, *command)
        self.assertEqual((result.returncode, result.stderr), (0, b""))
        self.assertEqual(result.stdout, run(*command, "--threads", 2).stdout)


class Memory(unittest.TestCase):
    @unittest.skipIf(os.environ.get("GURN_TEST_BUILD") == "sanitize", "a sanitizer takes more address space")
    def test_equal_omega_of_a_million_classes(self):
        # tables would take 65 GB; text, sizes, plan and a row of counts take a few hundred MB
        for omega in ([], ["--omega", "1e6x7"]):
            result = limited(1000, "sample", "--plain", "--m", "1e6x3", "--n", "1e6", "--seed", 3, "--threads", 2,
                             "--no-header", *omega)
            self.assertEqual((result.returncode, result.stderr), (0, b""))
            counts = list(map(int, result.stdout.split(b",")))
            self.assertEqual((len(counts), sum(counts)), (1000000, 1000000))
            self.assertTrue(0 <= min(counts) and max(counts) == 3)

    def test_omega_of_classes_without_balls_does_not_count(self):
        # the last class has no balls, so that its omega does not count
        urn = ["--m", "40,30,50,0", "--n", "60", "--rows", 500, "--seed", 5, "--plain"]
        expected = output("sample", *urn)
        for omega in ("1,1,1,1", "5,5,5,2", "0.1,0.1,0.1,7"):
            self.assertEqual(output("sample", *urn, "--omega", omega), expected, omega)
        self.assertNotEqual(output("sample", *urn, "--omega", "1,1,2,1"), expected)


if __name__ == "__main__":
    main()
