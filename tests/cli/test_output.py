#!/usr/bin/env python3
"""Tests of the files that the program writes: python3 test_output.py GUMBELURN [unittest arguments].

They hold the old content or the new one, whatever happens meanwhile; and no run reads or writes one file for two purposes.
"""
import os
import pathlib
import resource
import signal
import stat
import struct
import subprocess
import tempfile
import threading
import time
import unittest

from cli import PROGRAM, Directory, main, output, read_npy, run

URN = ["--m", "20,30,10", "--n", 25]
PARTIAL = r"\.gumbelurn-\d+-[0-9a-f]+\.partial$"


class Written(Directory):
    def setUp(self):
        super().setUp()
        self.old = self.file("old\n", "old.csv")

    def names(self):
        return sorted(path.name for path in self.directory.iterdir())

    def assert_untouched(self):
        self.assertEqual((self.names(), self.old.read_text()), (["old.csv"], "old\n"))

    def start(self, path, rows="1e9", **keywords):
        """A run that is in the middle of writing its output: something of it has left its buffers."""
        process = subprocess.Popen([PROGRAM, "sample", *map(str, URN), "--rows", rows, "--out", path],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, **keywords)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.kill)
        for _ in range(3000):
            partial = [p for p in self.directory.iterdir() if p.name.endswith(".partial") and p.stat().st_size]
            if partial:
                self.assertRegex(partial[0].name, "^" + pathlib.Path(path).name + PARTIAL)
                return process
            self.assertIsNone(process.poll())
            time.sleep(0.01)
        self.fail("nothing is written in half a minute")


class Interrupted(Written):
    def test_signals(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGPIPE):
            process = self.start(self.old, preexec_fn=lambda: (resource.setrlimit(resource.RLIMIT_CORE, (0, 0)),
                                                               signal.signal(number, signal.SIG_DFL)))
            process.send_signal(number)
            self.assertEqual((process.wait(60), process.stderr.read()), (-number, b""))
            self.assert_untouched()

    def test_a_signal_that_is_ignored_stays_so(self):
        """As under nohup."""
        process = self.start(self.old, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
        process.send_signal(signal.SIGHUP)
        time.sleep(0.1)
        self.assertIsNone(process.poll())
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(60), -signal.SIGTERM)
        self.assert_untouched()

    def test_kill(self):
        """What is left then says what it is."""
        process = self.start(self.old)
        process.kill()
        process.wait(60)
        self.assertEqual(self.old.read_text(), "old\n")
        (left,) = [name for name in self.names() if name != "old.csv"]
        self.assertRegex(left, r"^old\.csv" + PARTIAL)
        output("sample", *URN, "--out", self.old)  # and is in no one's way
        self.assertEqual(self.old.read_text(), output("sample", *URN))

    def test_several_writers(self):
        """One of them is last, and its file is whole."""
        arguments = [["sample", *map(str, URN), "--rows", "200000", "--plain", "--seed", str(seed)] for seed in range(3)]
        processes = [subprocess.Popen([PROGRAM, *words, "--out", self.old]) for words in arguments]
        self.assertEqual([process.wait(120) for process in processes], [0] * 3)
        self.assertIn(self.old.read_text(), [output(*words) for words in arguments])
        self.assertEqual(self.names(), ["old.csv"])

    def test_a_failure_half_way(self):
        """Row 2 of what logprob reads is wrong; fit finds nothing to learn."""
        bad = self.directory / "bad"
        bad.mkdir()
        for text, arguments in (("1,2\n9,9\n", ["logprob", "--m", "5,5", "--out", self.old]),
                                ("0,0\n", ["fit", "--m", "5,5", "--out", self.old, "--covariance", self.directory / "new"])):
            self.expect(1, "balls of --m|nothing to learn", *arguments, "--in", self.file(text, "bad/counts.csv"))
            self.assertEqual((self.names(), self.old.read_text()), (["bad", "old.csv"], "old\n"))

    def limited(self, size, *arguments):
        return self.expect(1, "old.csv: File too large", *arguments, "--out", self.old,
                           preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)))

    def test_a_file_that_may_not_grow(self):
        """All limits are beyond 1024 bytes: clang's OpenMP writes a file of that size before the program begins."""
        for size in (1024, 300000):
            self.limited(size, "sample", *URN, "--rows", 200000)
            self.assert_untouched()
        classes = ",".join(["2"] * 200)
        self.limited(1024, "moments", "--m", classes, "--n", 7)
        self.assert_untouched()
        with tempfile.TemporaryDirectory() as elsewhere:
            path = pathlib.Path(elsewhere) / "counts.csv"
            path.write_text("\n".join(",".join("1" if c % 9 == row % 9 else "0" for c in range(200)) for row in range(300)))
            self.limited(1024, "logprob", "--m", classes, "--in", path)
            self.limited(1024, "fit", "--m", classes, "--in", path)
            self.expect(1, "new.csv: File too large", "fit", "--m", classes, "--in", path, "--log",
                        self.directory / "new.csv", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024)))
        self.assert_untouched()

    def test_a_full_disk(self):
        disk = self.directory / "disk"
        disk.mkdir()
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], stdout=subprocess.DEVNULL,
                                 stderr=subprocess.DEVNULL, check=False) if os.geteuid() == 0 else None
        if not mounted or mounted.returncode:
            self.skipTest("no file system may be mounted")
        try:
            old = disk / "old.csv"
            old.write_text("old\n")
            self.expect(1, "old.csv: No space left on device", "sample", *URN, "--rows", 100000, "--out", old)
            self.assertEqual(([path.name for path in disk.iterdir()], old.read_text()), (["old.csv"], "old\n"))
            output("sample", *URN, "--out", old)
        finally:
            subprocess.run(["umount", disk], check=True)


class Replaced(Written):
    def test_permissions(self):
        new = self.directory / "new.csv"
        for umask in (0o022, 0o077, 0o002, 0o777):
            output("sample", *URN, "--out", new, preexec_fn=lambda: os.umask(umask))
            self.assertEqual(stat.S_IMODE(new.stat().st_mode), 0o666 & ~umask)
            new.unlink()
        for mode in (0o600, 0o644, 0o666, 0o755, 0o400) if os.geteuid() == 0 else (0o600, 0o644, 0o666, 0o755):
            self.old.chmod(mode)
            output("sample", *URN, "--out", self.old, preexec_fn=lambda: os.umask(0o077))
            self.assertEqual(stat.S_IMODE(self.old.stat().st_mode), mode)
            self.assertEqual(self.old.read_text(), output("sample", *URN))

    @unittest.skipUnless(os.geteuid() == 0, "not root")
    def test_owner(self):
        os.chown(self.old, 12345, 23456)
        output("sample", *URN, "--out", self.old)
        self.assertEqual((self.old.stat().st_uid, self.old.stat().st_gid), (12345, 23456))

    def test_what_may_not_be_written_is_not_replaced(self):
        other = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}
        if other and subprocess.run([PROGRAM, "--version"], stdout=subprocess.DEVNULL, check=False, **other).returncode:
            self.skipTest("others can not run the program")
        self.directory.chmod(0o777)
        self.old.chmod(0o444)
        self.expect(1, "old.csv: Permission denied", "sample", *URN, "--out", self.old, **other)
        self.assert_untouched()
        self.directory.chmod(0o555)
        self.expect(1, "new.csv: its folder takes no new file: Permission denied", "sample", *URN, "--out",
                    self.directory / "new.csv", **other)
        self.directory.chmod(0o755)
        self.assert_untouched()

    def test_links(self):
        """What a symbolic link points to is replaced, or made; the link stays. Hard links part."""
        inner = self.directory / "inner"
        inner.mkdir()
        expected = output("sample", *URN)
        for link, target in (("to_old.csv", self.old), ("inner/relative.csv", self.old), ("chain.csv", self.old),
                             ("to_new.csv", inner / "new.csv")):
            self.old.write_text("old\n")
            path = self.directory / link
            os.symlink({"inner/relative.csv": "../old.csv", "chain.csv": "to_old.csv", "to_new.csv": "inner/new.csv"}.get(
                link, target), path)
            output("sample", *URN, "--out", path)
            self.assertTrue(path.is_symlink())
            self.assertEqual(target.read_text(), expected)
            self.assertFalse(target.is_symlink())
        output("sample", *URN, "--out", self.old)
        os.link(self.old, self.directory / "hard.csv")
        output("sample", *URN, "--seed", 1, "--out", self.old)
        self.assertEqual((self.directory / "hard.csv").read_text(), expected)
        self.assertNotEqual(self.old.read_text(), expected)
        os.symlink("loop.csv", self.directory / "loop.csv")
        self.expect(1, "loop.csv: Too many levels", "sample", *URN, "--out", self.directory / "loop.csv")
        self.assertEqual(self.names(), sorted(["chain.csv", "hard.csv", "inner", "loop.csv", "old.csv", "to_new.csv",
                                               "to_old.csv"]))

    def test_names(self):
        for name in ("a", "ü" * 120 + ".csv", "n" * 255, "a b\n.csv", "-x"):
            output("sample", *URN, "--out", "./" + name, cwd=self.directory)
            self.assertEqual((self.directory / name).read_text(), output("sample", *URN))
        output("sample", *URN, "--out", "plain", cwd=self.directory)
        self.assertEqual(len(self.names()), 7)
        self.expect(1, "File name too long", "sample", *URN, "--out", self.directory / ("n" * 256))

    def test_what_is_no_regular_file_is_written_as_it_is(self):
        expected = output("sample", *URN)
        fifo = self.directory / "fifo"
        os.mkfifo(fifo)
        read = []
        reader = threading.Thread(target=lambda: read.append(fifo.read_text()))
        reader.start()
        output("sample", *URN, "--out", fifo)
        reader.join()
        self.assertEqual((read, stat.S_ISFIFO(fifo.stat().st_mode)), ([expected], True))
        output("sample", *URN, "--out", "/dev/null")
        self.assertTrue(stat.S_ISCHR(os.stat("/dev/null").st_mode))
        for name in ("/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "-"):
            self.assertEqual(output("sample", *URN, "--out", name), expected, name)
            with self.old.open("ab") as stdout:  # goes on where the others ended
                run("sample", *URN, "--out", name, stdout=stdout)
            self.assertEqual(self.old.read_text(), "old\n" + expected)
            self.old.write_text("old\n")
        with self.old.open("ab") as extra:
            output("sample", *URN, "--out", f"/dev/fd/{extra.fileno()}", pass_fds=[extra.fileno()])
        self.assertEqual(self.old.read_text(), "old\n" + expected)
        self.expect(1, "Is a directory", "sample", *URN, "--out", self.directory)
        self.expect(1, "Bad file descriptor", "sample", *URN, "--out", "/dev/fd/77")
        self.assertEqual(self.names(), ["fifo", "old.csv"])

    def test_where_nothing_can_be_written_is_said_first(self):
        for option in ("--out", "--log", "--covariance"):
            self.expect(1, "none/x.csv: No such file", "fit", "--m", "5,5", "--in", self.directory / "none.csv", option,
                        self.directory / "none" / "x.csv")
        self.expect(1, "old.csv/x: Not a directory", "sample", *URN, "--out", self.old / "x")
        self.expect(2, "--out: '' is not the name", "sample", *URN, "--out", "")


class SameFile(Written):
    def refused(self, pattern, *arguments, **keywords):
        before = {path: (path.read_bytes(), path.stat().st_ino) for path in self.directory.iterdir()}
        result = self.expect(2, pattern, *arguments, **keywords)
        self.assertEqual(result.stdout or b"", b"")
        self.assertEqual({path: (path.read_bytes(), path.stat().st_ino) for path in self.directory.iterdir()}, before)

    def setUp(self):
        super().setUp()
        self.counts = self.file("3,1\n2,2\n")
        os.symlink("counts.csv", self.directory / "soft.csv")
        os.link(self.counts, self.directory / "hard.csv")
        self.spellings = [self.counts, self.directory / "soft.csv", self.directory / "hard.csv",
                          self.directory / "." / "counts.csv"]

    def test_input_and_output(self):
        for path in self.spellings:
            self.refused("--in and --out are the same file", "logprob", "--m", "5,5", "--in", self.counts, "--out", path)
            self.refused("--in and --out are the same file", "logprob", "--m", "5,5", "--in", path, "--out", self.counts)
            for option in ("--out", "--log", "--covariance"):
                self.refused(f"--in and {option} are the same file", "fit", "--m", "5,5", "--in", self.counts, option, path)
            for option in ("--m", "--omega", "--log-omega", "--order"):
                lists = {"--m": "5,5", option: f"@{self.counts}"}
                words = [word for pair in lists.items() for word in pair]
                self.refused(f"{option} and --out are the same", "sample", *words, "--n", 2, "--out", path)
            for command in ("sample", "moments"):
                self.refused("--out and --omega-from are the same", command, "--n", 2, "--omega-from", self.counts, "--out",
                             path)
        with self.counts.open("rb") as stdin:
            self.refused("--in and --out are the same", "logprob", "--m", "5,5", "--in", "-", "--out", self.spellings[2],
                         stdin=stdin)

    def test_two_outputs(self):
        for a, b in (("--out", "--log"), ("--out", "--covariance"), ("--log", "--covariance")):
            for path in (*self.spellings, self.directory / "new.csv"):
                other = self.directory / ".." / self.directory.name / "new.csv" if path.name == "new.csv" else self.counts
                for first, second in ((a, b), (b, a)):
                    self.refused(f"({a} and {b}|{b} and {a}) are the same file", "fit", "--m", "5,5", "--in", self.old, first,
                                 path, second, other)
        os.symlink("new.csv", self.directory / "dangling.csv")
        self.expect(2, "--log and --out are the same file", "fit", "--m", "5,5", "--in", self.old, "--log",
                    self.directory / "dangling.csv", "--out", self.directory / "new.csv")

    def test_standard_output(self):
        with self.old.open("ab") as stdout:
            self.refused("standard output and --out are the same", "fit", "--m", "5,5", "--in", self.counts, "--out", self.old,
                         stdout=stdout)
            self.refused("standard output and --in are the same", "fit", "--m", "5,5", "--in", self.old, stdout=stdout)

    def test_one_standard_input(self):
        self.refused("--in and --omega-from: both read standard input", "logprob", "--in", "-", "--omega-from", "-", stdin=b"")
        self.refused("--m and --in: both read standard input", "logprob", "--in", "-", "--m", "@-", stdin=b"5,5")
        kl = ["kl", "--m", "5,5", "--n", 2]
        self.refused("--omega-from and --other-from: both read standard input|--other-from and --omega-from: both", *kl,
                     "--omega-from", "-", "--other-from", "-", stdin=b"")

    def test_what_may_be_the_same(self):
        """Two inputs, and outputs that follow each other."""
        self.file("2,2\n", "two.csv")
        path = self.directory / "two.csv"
        self.assertEqual(output("moments", "--m", f"@{path}", "--omega", f"@{path}", "--n", 2, "--out", "/dev/null"),
                         output("moments", "--m", "2,2", "--n", 2).replace(" 0.00000", " 0.69315").replace(
                             "log P0  1.79175946923", "log P0  3.17805383035"))
        arguments = ["fit", "--m", "5,5", "--in", self.counts]
        self.assertIn("class,m,", output(*arguments, "--log", "-", "--out", "-", "--covariance", "/dev/stdout"))
        output("fit", "--m", "5,5", "--in", self.counts, "--epochs", 2, "--log", "/dev/null", "--out", "/dev/null")
        names = [self.directory / name for name in ("a.csv", "b.csv", "c.csv")]
        for _ in range(2):  # that are not there, and that are
            output(*arguments, "--log", names[0], "--out", names[1], "--covariance", names[2])
            self.assertEqual([name.read_text().split(",")[0] for name in names], ["group", "class", "log_omega0"])


class Endings(Written):
    def test_npy(self):
        rows = [tuple(map(int, line.split(","))) for line in output("sample", *URN, "--no-header", "--rows", 5).split()]
        for name in ("x.npy", "x.NPY", "X.Npy"):
            path = self.directory / name
            output("sample", *URN, "--rows", 5, "--out", path)
            header, data = read_npy(path.read_bytes())
            self.assertEqual((header["shape"], list(struct.iter_unpack("<3i", data))), ((5, 3), rows))
            counts = path
            path = self.directory / ("log_p_" + name)
            output("logprob", *URN, "--in", counts, "--out", path)
            self.assertEqual(read_npy(path.read_bytes())[0]["descr"], "<f8")
            self.expect(2, "--sum: a single number", "logprob", *URN, "--in", counts, "--sum", "--out", path)

    def test_what_a_command_does_not_write(self):
        counts = self.file("3,1\n2,2\n")
        fit, moments = ["fit", "--m", "5,5", "--in", counts], ["moments", "--m", "5,5", "--n", 2]
        for option, arguments in (("--out", fit), ("--log", fit), ("--covariance", fit), ("--out", moments)):
            for name in ("x.npy", "x.NPY"):
                self.expect(2, f"{option}: '.*x.(npy|NPY)': a .npy file is not written here, only CSV\n", *arguments, option,
                            self.directory / name)
        for option, arguments in (("--out", ["sample", *URN]), ("--out", ["logprob", "--m", "5,5", "--in", counts]),
                                  ("--out", fit), ("--log", fit), ("--covariance", fit), ("--out", moments)):
            for ending in (".npz", ".csv.gz", ".NPZ", ".parquet", ".xlsx", ".tsv", ".json", ".csv.Zst", ".pkl", ".mat"):
                self.expect(2, f"{option}: '.*': a .* file is not written here, only CSV( and .npy)?\n", *arguments, option,
                            self.directory / ("x" + ending))
        self.assertEqual(self.names(), ["counts.csv", "old.csv"])
        for name in ("x.csv", "x.txt", "x", "x.npy.csv", "npz", ".npz.csv", "x.dat"):
            output("sample", *URN, "--out", self.directory / name)
            self.assertEqual((self.directory / name).read_text(), output("sample", *URN))


if __name__ == "__main__":
    main()
