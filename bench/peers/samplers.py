"""The samplers that peers.py times: gumbelurn through ctypes, and each peer through its own interface."""
import ctypes as C
import importlib.util
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import numpy as np

import laws


def versions():
    found = {}
    for name in ("numpy", "scipy", "torch"):
        if importlib.util.find_spec(name):
            found[name] = __import__(name).__version__
    if shutil.which("Rscript"):
        answer = subprocess.run(["Rscript", "-e", 'cat(R.version$major, ".", R.version$minor, " BiasedUrn ", '
                                 'as.character(packageVersion("BiasedUrn")), sep="")'], capture_output=True, text=True)
        found["R"] = answer.stdout.strip() if answer.returncode == 0 else ""
    return found


def why_not(who, published):
    """None when the peer can be used, else the reason."""
    if who == "published":
        if not published:
            return "no --published given"
        if not (pathlib.Path(published) / "mvhg" / "pt_fmvhg.py").is_file():
            return f"{published} holds no mvhg/pt_fmvhg.py"
        return None if importlib.util.find_spec("torch") else "torch is not installed"
    if who == "scipy":
        return None if importlib.util.find_spec("scipy") else "scipy is not installed"
    if who == "numpy":
        return None
    if who == "biasedurn":
        if not shutil.which("Rscript"):
            return "R is not installed"
        code = subprocess.run(["Rscript", "-e", "library(BiasedUrn)"], capture_output=True).returncode
        return None if code == 0 else "R's package BiasedUrn is not installed"
    return "unknown peer"


def memory_available():
    for line in open("/proc/meminfo"):
        if line.startswith("MemAvailable"):
            return int(line.split()[1]) * 1024
    return 0


# -------------------------------------------------------------------------------------------------------- gumbelurn ---

class _ContextOptions(C.Structure):
    _fields_ = [("size", C.c_size_t), ("device", C.c_int), ("device_index", C.c_int32), ("threads", C.c_int32),
                ("isa", C.c_int), ("stream", C.c_void_p)]


class _ContextInfo(C.Structure):
    _fields_ = [("size", C.c_size_t), ("device", C.c_int), ("device_index", C.c_int32), ("threads", C.c_int32),
                ("isa", C.c_int), ("device_name", C.c_char * 128), ("isa_name", C.c_char * 16)]


class _PlanOptions(C.Structure):
    _fields_ = [("size", C.c_size_t), ("dtype", C.c_int), ("chain", C.c_int), ("order", C.c_void_p)]


class _Noise(C.Structure):
    _fields_ = [("kind", C.c_int), ("seed", C.c_uint64), ("offset", C.c_uint64), ("row0", C.c_uint64),
                ("device_seed_offset", C.c_void_p), ("gumbel", C.c_void_p)]


class _Inputs(C.Structure):
    _fields_ = [("size", C.c_size_t), ("rows", C.c_int64), ("log_omega", C.c_void_p), ("log_omega_stride", C.c_int64),
                ("n", C.c_int32), ("n_rows", C.c_void_p), ("tau", C.c_double), ("relaxation", C.c_int),
                ("noise", _Noise), ("order", C.c_void_p)]


class _Values(C.Structure):  # outputs, and upstream gradients
    _fields_ = [("size", C.c_size_t), ("x", C.c_void_p), ("y", C.c_void_p), ("mask", C.c_void_p), ("log_p", C.c_void_p)]


class _Gradients(C.Structure):
    _fields_ = [("size", C.c_size_t), ("log_omega", C.c_void_p), ("tau", C.c_void_p)]


DEVICE_CPU, CHAIN_EXACT, CHAIN_MERGED = 1, 0, 1


class Library:
    def __init__(self, path):
        self.c = C.CDLL(os.path.abspath(path))
        self.c.gurn_version.restype = C.c_char_p
        self.c.gurn_context_message.restype = C.c_char_p
        self.c.gurn_context_message.argtypes = [C.c_void_p]
        for name, arguments in {
                "gurn_context_create": [C.c_void_p, C.c_void_p],
                "gurn_context_get_info": [C.c_void_p, C.c_void_p],
                "gurn_plan_create": [C.c_void_p, C.c_int32, C.c_void_p, C.c_int32, C.c_void_p, C.c_void_p],
                "gurn_mvhg_workspace": [C.c_void_p] * 5,
                "gurn_mvhg_forward": [C.c_void_p] * 5 + [C.c_size_t],
                "gurn_mvhg_backward": [C.c_void_p] * 7 + [C.c_size_t],
                "gurn_mvhg_draw_workspace": [C.c_void_p] * 4,
                "gurn_mvhg_draw": [C.c_void_p] * 5 + [C.c_size_t]}.items():
            getattr(self.c, name).argtypes = arguments
        for name in ("gurn_context_destroy", "gurn_plan_destroy"):
            getattr(self.c, name).argtypes = [C.c_void_p]
            getattr(self.c, name).restype = None

    def version(self):
        return self.c.gurn_version().decode()

    def context(self, threads):
        options = _ContextOptions(size=C.sizeof(_ContextOptions), device=DEVICE_CPU, threads=threads)
        context = C.c_void_p()
        status = self.c.gurn_context_create(C.byref(options), C.byref(context))
        if status:
            raise RuntimeError(f"gurn_context_create: status {status}")
        return context

    def isa(self):
        context = self.context(1)
        info = _ContextInfo(size=C.sizeof(_ContextInfo))
        self.c.gurn_context_get_info(context, C.byref(info))
        self.c.gurn_context_destroy(context)
        return info.isa_name.decode()


def _pointer(array):
    return array.ctypes.data


class Gumbelurn:
    """Merged chain, float32, hard, tau = 1: x and log_p, and gradients of both to log omega."""

    def __init__(self, library, m, n, log_omega, rows, threads):
        self.c = library.c
        self.context = library.context(threads)
        classes, shared = len(m), log_omega.ndim == 1
        options = _PlanOptions(size=C.sizeof(_PlanOptions), chain=CHAIN_MERGED)
        self.plan = C.c_void_p()
        sizes = np.asarray(m, dtype=np.int32)
        self._ok(self.c.gurn_plan_create(self.context, classes, _pointer(sizes), n, C.byref(options), C.byref(self.plan)))
        random = np.random.default_rng(2)
        self.log_omega = np.ascontiguousarray(log_omega, dtype=np.float32)
        self.x = np.zeros((rows, classes), dtype=np.float32)
        self.log_p = np.zeros(rows, dtype=np.float32)
        self.dx = random.standard_normal((rows, classes), dtype=np.float32)
        self.dlog_p = random.standard_normal(rows, dtype=np.float32)
        self.dlog_omega = np.zeros_like(self.log_omega)
        self.inputs = _Inputs(size=C.sizeof(_Inputs), rows=rows, log_omega=_pointer(self.log_omega),
                              log_omega_stride=0 if shared else classes, n=n)
        self.inputs.noise.seed = 1
        self.outputs = _Values(size=C.sizeof(_Values), x=_pointer(self.x), log_p=_pointer(self.log_p))
        self.upstream = _Values(size=C.sizeof(_Values), x=_pointer(self.dx), log_p=_pointer(self.dlog_p))
        self.gradients = _Gradients(size=C.sizeof(_Gradients), log_omega=_pointer(self.dlog_omega))
        needs = [C.c_size_t(), C.c_size_t()]
        self._ok(self.c.gurn_mvhg_workspace(self.context, self.plan, C.byref(self.inputs), C.byref(needs[0]),
                                            C.byref(needs[1])))
        self.bytes = max(need.value for need in needs)
        self.memory = np.zeros(self.bytes + 64, dtype=np.uint8)
        self.workspace = -(-_pointer(self.memory) // 64) * 64

    def _ok(self, status):
        if status:
            raise RuntimeError(f"gumbelurn: status {status}: {self.c.gurn_context_message(self.context).decode()}")

    def forward(self):
        self.inputs.noise.offset += self.inputs.rows  # fresh noise
        self._ok(self.c.gurn_mvhg_forward(self.context, self.plan, C.byref(self.inputs), C.byref(self.outputs),
                                          self.workspace, self.bytes))

    def forward_backward(self):
        self.forward()
        self._ok(self.c.gurn_mvhg_backward(self.context, self.plan, C.byref(self.inputs), _pointer(self.x),
                                           C.byref(self.upstream), C.byref(self.gradients), self.workspace, self.bytes))

    def draw(self):
        self.forward()
        return self.x.astype(np.float64)

    def close(self):
        self.c.gurn_plan_destroy(self.plan)
        self.c.gurn_context_destroy(self.context)


class GumbelurnPlain:
    """Plain draws of the exact law: int32 counts, no relaxation."""

    def __init__(self, library, m, n, log_omega, rows, threads):
        self.c = library.c
        self.context = library.context(threads)
        options = _PlanOptions(size=C.sizeof(_PlanOptions), chain=CHAIN_EXACT)
        self.plan = C.c_void_p()
        sizes = np.asarray(m, dtype=np.int32)
        self._ok(self.c.gurn_plan_create(self.context, len(m), _pointer(sizes), n, C.byref(options), C.byref(self.plan)))
        self.log_omega = np.ascontiguousarray(log_omega, dtype=np.float32)
        self.x = np.zeros((rows, len(m)), dtype=np.int32)
        self.inputs = _Inputs(size=C.sizeof(_Inputs), rows=rows, log_omega=_pointer(self.log_omega),
                              log_omega_stride=0 if log_omega.ndim == 1 else len(m), n=n)
        self.inputs.noise.seed = 1
        need = C.c_size_t()
        self._ok(self.c.gurn_mvhg_draw_workspace(self.context, self.plan, C.byref(self.inputs), C.byref(need)))
        self.bytes = need.value
        self.memory = np.zeros(self.bytes + 64, dtype=np.uint8)
        self.workspace = -(-_pointer(self.memory) // 64) * 64

    _ok = Gumbelurn._ok
    close = Gumbelurn.close

    def forward(self):
        self.inputs.noise.offset += self.inputs.rows
        self._ok(self.c.gurn_mvhg_draw(self.context, self.plan, C.byref(self.inputs), _pointer(self.x), self.workspace,
                                       self.bytes))

    def draw(self):
        self.forward()
        return self.x.astype(np.float64)


# ------------------------------------------------------------------------------------------------------------ peers ---

class Published:
    """The published package, hard, tau = 1. Its class order is drawn from NumPy's global generator and changes the law of the
    merged chain, so it is held to the identity, which costs no time."""

    def __init__(self, path, case, log_omega, rows, threads):
        import torch
        if str(path) not in sys.path:
            sys.path.insert(0, str(path))
        from mvhg.pt_fmvhg import MVHG
        torch.set_num_threads(threads)
        torch.manual_seed(1)
        self.torch, self.model = torch, MVHG(device="cpu")
        self.m = torch.tensor(case["m"])
        self.n = torch.full((rows, 1), case["n"], dtype=torch.float32)
        weights = np.broadcast_to(log_omega, (rows, len(case["m"]))) if log_omega.ndim == 1 else log_omega[:rows]
        self.log_w = torch.tensor(np.ascontiguousarray(weights))
        self.dx = torch.randn(rows, len(case["m"]))
        self.dlog_p = torch.randn(rows, 1)
        self.rows = rows

    @staticmethod
    def bytes_needed(case, rows):
        """Its triangular matrices [rows][m + 1][m + 1], float32: one kept a class for backward, two more in the making."""
        return 4 * rows * (max(case["m"]) + 1) ** 2 * (len(case["m"]) + 2)

    def _call(self, log_w):
        drawn = np.random.permutation
        np.random.permutation = lambda count: np.arange(count)
        try:
            _, x, _, log_p = self.model(self.m, self.n, log_w, 1.0, add_noise=True, hard=True)
        finally:
            np.random.permutation = drawn
        return self.torch.cat([v.reshape(self.rows, 1) for v in x], dim=1), log_p

    def forward(self):
        with self.torch.no_grad():
            return self._call(self.log_w)[0].numpy()

    def forward_backward(self):
        log_w = self.log_w.clone().requires_grad_(True)
        x, log_p = self._call(log_w)
        ((x * self.dx).sum() + (log_p.reshape(self.rows, 1) * self.dlog_p).sum()).backward()
        return log_w.grad

    def draw_many(self, draws):
        return np.concatenate([self.forward() for _ in range(-(-draws // self.rows))]).astype(np.float64)


class Scipy:
    """The merged chain as univariate noncentral hypergeometric draws."""

    def __init__(self, case, log_omega, rows):
        from scipy.stats import nchypergeom_fisher
        self.law, self.case, self.rows = nchypergeom_fisher, case, rows
        self.odds = np.exp(laws.rest_log_odds(log_omega if log_omega.ndim == 1 else log_omega[:rows], case["m"]))
        self.random = np.random.default_rng(3)

    def forward(self):
        m = self.case["m"]
        left = np.full(self.rows, self.case["n"])
        x = np.empty((self.rows, len(m)))
        for i in range(len(m) - 1):
            x[:, i] = self.law.rvs(sum(m[i:]), m[i], left, self.odds[..., i], size=self.rows, random_state=self.random)
            left = left - x[:, i].astype(np.int64)
        x[:, -1] = left
        return x


class Numpy:
    def __init__(self, case, rows):
        self.case, self.rows, self.random = case, rows, np.random.default_rng(4)

    def forward(self):
        return self.random.multivariate_hypergeometric(self.case["m"], self.case["n"], size=self.rows, method="marginals")


_BIASEDURN = """
library(BiasedUrn)
set.seed(5)
m <- c({m}); n <- {n}; odds <- c({odds})
draws <- 64
repeat {{  # a call of at least 50 ms
  time <- system.time(x <- rMFNCHypergeo(draws, m, n, odds))[["elapsed"]]
  if (time >= 0.05 || draws >= 1e6) break
  draws <- draws * 2
}}
times <- c()
while (length(times) < 5 || (sum(times) < {seconds} && length(times) < 1000)) {{
  begin <- proc.time()[["elapsed"]]
  x <- rMFNCHypergeo(draws, m, n, odds)
  times <- c(times, proc.time()[["elapsed"]] - begin)
}}
write.table(t(x), "{file}", row.names = FALSE, col.names = FALSE)
cat(draws, times)
"""


def biasedurn(case, seconds):
    """x of the last call, its rows, and the seconds of each call."""
    with tempfile.TemporaryDirectory() as folder:
        file = os.path.join(folder, "x.txt")
        script = _BIASEDURN.format(m=",".join(map(str, case["m"])), n=case["n"], odds=",".join(map(str, case["omega"])),
                                   seconds=seconds, file=file)
        answer = subprocess.run(["Rscript", "-e", script], check=True, capture_output=True, text=True).stdout.split()
        return {"rows": int(answer[0]), "times": [float(t) for t in answer[1:]], "x": np.loadtxt(file)}
