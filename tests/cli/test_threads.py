#!/usr/bin/env python3
"""Tests of the program's --threads: numbers that there can not be. python3 test_threads.py GUMBELURN [unittest arguments]."""
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


if __name__ == "__main__":
    main()
