#!/usr/bin/env python3
"""A rehearsal of the bundle for GPU machines: packs an emulated build, moves it, and runs go.sh there.

usage: test_gpu_bundle.py BUILD [unittest arguments]

Programs in standins/ take the place of compute-sanitizer, ncu and nvidia-smi. Where the system allows, the checkout is hidden.
"""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

HERE = pathlib.Path(__file__).resolve().parent
CHECKOUT = HERE.parents[1]
HIDE = ["unshare", "-rm", "sh", "-c", 'mount -t tmpfs none "$0" && exec "$@"', str(CHECKOUT)]
SELECTION = {"GURN_GO_ONLY": "*@(Golden|BadRows)*float32", "GURN_GO_ROWS": "1", "GURN_FUZZ_CALLS": "2000"}


def setUpModule():
    global work, bundle, hide
    work = pathlib.Path(tempfile.mkdtemp(prefix="gumbelurn-rehearsal."))
    unittest.addModuleCleanup(shutil.rmtree, work)
    subprocess.run([CHECKOUT / "scripts/gpu/bundle.sh", "--build", BUILD, "--out", work / "a.tar.gz"], check=True, cwd=work,
                   stdout=subprocess.DEVNULL)
    subprocess.run(["tar", "-xf", work / "a.tar.gz", "-C", work], check=True)
    shutil.copytree(HERE / "standins", work / "standins")
    bundle = work / "gumbelurn-gpu"
    hidden = subprocess.run(HIDE + ["ls", "-A", str(CHECKOUT)], capture_output=True, check=False)
    hide = HIDE if hidden.returncode == 0 and not hidden.stdout else []
    print("the checkout is hidden" if hide else "the checkout can not be hidden here", file=sys.stderr)


def variant(name, programs):
    """The bundle with other programs in it."""
    top = work / name
    shutil.copytree(bundle, top, copy_function=os.link)
    for program, text in programs.items():
        file = top / "bin" / program
        file.unlink()
        file.write_text(text)
        file.chmod(0o755)
    return top


def start(top, *arguments, standins=True, **environment):
    """go.sh in a folder of its own and with nothing in its environment. Also where its results will be."""
    out = pathlib.Path(tempfile.mkdtemp(dir=work))
    path = (f"{work}/standins:" if standins else "") + "/usr/bin:/bin"
    run = subprocess.Popen(
        hide + ["env", "-i", "PATH=" + path, "GURN_CUDA_BIN=/none", *(f"{k}={v}" for k, v in environment.items()), top / "go.sh",
                *arguments, "--out", "results"], cwd=out, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return run, out / "results"


def go(top, *arguments, **options):
    run, out = start(top, *arguments, **options)
    output = run.communicate(timeout=300)[0]
    return run.returncode, read(out), output


def read(out):
    """What the summary says: results by part and name, with the summary itself under None."""
    if not (out / "summary.json").exists():
        return None
    summary = json.loads((out / "summary.json").read_text())
    results = {(r["part"], r["name"].removeprefix("All/Fake.").removesuffix("/emulated_float32")): r for r in summary["results"]}
    for part, counts in summary["parts"].items():
        for kind, count in counts.items():
            assert count == sum(r["part"] == part and r["result"] == kind for r in summary["results"]), summary
    results[None] = summary
    results["text"] = (out / "summary.txt").read_text()
    results["out"] = out
    return results


class Rehearsal(unittest.TestCase):
    def test_everything(self):
        status, results, output = go(bundle, "all", **SELECTION)
        self.assertEqual(status, 0, output)
        summary = results[None]
        self.assertEqual({r["result"] for r in summary["results"]}, {"passed"}, output)
        self.assertEqual((summary["state"], summary["device"], summary["compute_capability"], summary["driver"]),
                         ("finished", 'Stand-in "GPU" 1\\2', "9.0", "580.00"))
        for key in "commit", "built", "architectures", "date", "max_sm_clock":
            self.assertTrue(summary[key])
        passed = {part: counts["passed"] for part, counts in summary["parts"].items()}
        self.assertEqual((list(passed), passed["sanitize"], passed["bench"]), (["quick", "tests", "sanitize", "bench"], 5, 2))
        self.assertGreaterEqual(passed["quick"], 3)
        self.assertGreater(passed["tests"], passed["quick"] + 2)
        times = json.loads((results["out"] / "bench/S1-1.json").read_text())
        self.assertTrue(times["finished"])
        self.assertEqual({r["mode"] for r in times["results"]}, {"warm", "graph", "queued"})
        self.assertEqual(times["commit"], summary["commit"])
        for result in summary["results"]:
            self.assertTrue((results["out"] / result["log"]).read_text())

    def test_tests_that_misbehave(self):
        top = variant("misbehaving", {"gurn_tests": (HERE / "misbehaving_tests").read_text()})
        status, results, output = go(top, "tests", GURN_GO_LIMIT=2, GURN_FUZZ_CALLS=100)
        self.assertEqual(status, 1, output)
        for name, result, reason in (("Passes", "passed", ""), ("PassesToo", "passed", ""), ("Skips", "skipped", "it is not here"),
                                     ("Fails", "failed", "exit status 1"), ("Hangs", "over its time", "not over after 2 s"),
                                     ("Crashes", "failed", "ended by signal 11"), ("RunsNothing", "failed", "no test ran"),
                                     ("fuzz_api", "passed", ""), ("test_api", "passed", "")):
            got = results["tests", name]
            self.assertEqual((got["result"], got["reason"]), (result, reason), name)
        tail = results["tests", "Fails"]["tail"]
        self.assertEqual((tail.count("\n"), "line 30" in tail, '"quoted" \\ ' in tail), (19, True, True), tail)
        self.assertIn("4 passed, 3 failed, 1 over its time, 1 skipped, 0 not run", results["text"])

        with self.subTest("a part that is over its time"):
            status, results, output = go(top, "tests", GURN_GO_TIME=2, GURN_GO_ONLY="*@(Hangs|Passes)*", GURN_FUZZ_CALLS=100)
            self.assertEqual((status, results["tests", "Hangs"]["result"]), (0 if ("tests", "Passes") in results else 77, "not run"), output)

        with self.subTest("nothing but skips"):
            status, results, output = go(top, "tests", GURN_GO_ONLY="*Skips*", GURN_FUZZ_CALLS=100)
            self.assertEqual((status, results["tests", "Skips"]["result"]), (77, "skipped"), output)
            self.assertIn("SKIP: nothing could run", output)

        with self.subTest("filters that match nothing"):
            status, results, output = go(top, "quick")
            self.assertEqual((status, results["quick", "*Golden*/emulated_*"]["reason"]), (1, "no test has such a name"), output)

        with self.subTest("stopped by a signal"):
            run, out = start(top, "tests", GURN_FUZZ_CALLS=100, GURN_GO_ONLY="*@(Passes|Hangs)*", HANGS=work / "hangs")
            for _ in range(200):
                results = read(out)
                if results and (work / "hangs").exists():
                    break
                time.sleep(0.1)
            hangs = int((work / "hangs").read_text())
            self.assertEqual(results[None]["state"], "running")
            run.send_signal(signal.SIGTERM)
            output = run.communicate(timeout=20)[0]
            results = read(out)
            self.assertEqual((run.returncode, results["tests", "Hangs"]["result"]), (143, "not run"), output)
            self.assertTrue(results[None]["state"].startswith("stopped"))
            for _ in range(50):  # it does not heed SIGTERM, and is killed two seconds later
                if not os.path.exists(f"/proc/{hangs}"):
                    break
                time.sleep(0.1)
            self.assertFalse(os.path.exists(f"/proc/{hangs}"))

    def test_tools(self):
        top = variant("light", {"bench_mvhg": "#!/bin/sh\necho timed\n"})
        status, results, output = go(top, "sanitize", STANDIN_ERRORS="racecheck", **SELECTION)
        self.assertEqual(status, 1, output)
        self.assertEqual({name[1]: r["result"] for name, r in results.items() if isinstance(name, tuple)},
                         {"memcheck": "passed", "racecheck": "failed", "synccheck": "passed", "initcheck GURN_TEST_UNFILLED=1": "passed",
                          "initcheck bench": "passed"}, output)
        self.assertEqual(results["sanitize", "racecheck"]["reason"], "exit status 9: RACECHECK SUMMARY: 2 errors")

        with self.subTest("no tools"):
            status, results, output = go(top, "sanitize", "bench", standins=False, **SELECTION)
            self.assertEqual(status, 0, output)
            self.assertEqual((results["sanitize", "compute-sanitizer"]["result"], results["bench", "ncu"]["result"], results[None]["device"]),
                             ("skipped", "skipped", "emulated"))
        with self.subTest("no counters"):
            status, results, output = go(top, "bench", STANDIN_NCU="denied", **SELECTION)
            self.assertEqual((status, results["bench", "ncu"]["result"]), (0, "skipped"), output)
            self.assertIn("ERR_NVGPUCTRPERM", results["bench", "ncu"]["reason"])

    def test_no_device(self):
        top = variant("bare", {"gumbelurn": "#!/bin/sh\necho 'cuda     not available: no usable CUDA device'\n"})
        status, results, output = go(top)
        self.assertEqual((status, results), (77, None), output)
        self.assertTrue(output.startswith("SKIP: no GPU"), output)

    def test_usage(self):
        for arguments in ["nonsense"], ["tests", "--out"], ["--help"]:
            run = subprocess.run([bundle / "go.sh", *arguments], capture_output=True, text=True, check=False)
            self.assertEqual((run.returncode, run.stderr.startswith("usage")), (2, True), arguments)


if __name__ == "__main__":
    BUILD = os.path.abspath(sys.argv.pop(1))
    unittest.main()
