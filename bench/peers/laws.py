"""What the samplers of peers.py are held against: exact expectations of the merged chain and of [MVHG] Eq. 1."""
import numpy as np


def log_omega(case, kind):
    """[C] (shared: the case's omega; central: all 1) or [rows][C] (varied by up to e^(1/2) either way); float32."""
    base = np.log(np.asarray(case["omega"], dtype=np.float64))
    if kind == "central":
        base = np.zeros_like(base)
    if kind == "row":
        base = base + np.random.default_rng(1).uniform(-0.5, 0.5, (case["rows"], len(base)))
    return base.astype(np.float32)


def z_of_means(x, expected, slack=0.0):
    """Largest |z| over the classes of the sample means of x[B][C], after slack * expectation is given for free; and the
    largest relative difference."""
    difference = np.abs(x.mean(axis=0) - expected)
    error = np.maximum(x.std(axis=0, ddof=1), 1e-9) / np.sqrt(len(x))
    return float((np.maximum(difference - slack * expected, 0) / error).max()), float((difference / expected).max())


def _log_factorials(n):
    return np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, n + 1, dtype=np.float64)))])


def rest_log_odds(log_omega, m):
    """lambda[..., C-1]: log odds of each class against the merged rest ([MVHG] Eq. 3)."""
    weight = np.exp(np.asarray(log_omega, dtype=np.float64)) * np.asarray(m, dtype=np.float64)
    rest = np.cumsum(weight[..., ::-1], axis=-1)[..., ::-1][..., 1:]
    rest_m = np.cumsum(np.asarray(m)[::-1])[::-1][1:]
    return np.asarray(log_omega, dtype=np.float64)[..., :-1] - np.log(rest / rest_m)


def merged_steps(case, log_omega, bits):
    """The drawn steps of the merged chain, one list for each: (what can be left before it, the probability of that, counts k whose logit
    is within `bits` of the mode's, their probabilities)."""
    m, n = case["m"], case["n"]
    f = _log_factorials(sum(m))
    odds = rest_log_odds(log_omega, m)
    left = np.zeros(n + 1)
    left[n] = 1.0
    steps = []
    for i in range(len(m) - 1):
        rest = sum(m[i + 1:])
        following = np.zeros(n + 1)
        steps.append([])
        for b in np.flatnonzero(left > 1e-15):
            k = np.arange(max(0, b - rest), min(m[i], b) + 1)
            logit = k * odds[i] - f[k] - f[m[i] - k] - f[b - k] - f[rest - b + k]
            keep = logit > logit.max() - bits * np.log(2.0)
            k, p = k[keep], np.exp(logit[keep] - logit.max())
            p /= p.sum()
            steps[i].append((int(b), left[b], k, p))
            following[b - k] += left[b] * p
        left = following
    return steps


def merged_mean(case, log_omega):
    """Expected counts of the merged chain, by the law of what is left before every class."""
    mean = [sum(weight * (p @ k) for _, weight, k, p in step) for step in merged_steps(case, log_omega, 65.0)]
    return np.array(mean + [case["n"] - sum(mean)])


def merged_mean_of_rows(case, log_omega):
    return np.mean([merged_mean(case, row) for row in log_omega], axis=0)


def exact_mean(case):
    """Expected counts of Eq. 1: binomials with odds omega * t, given their sum (t centres the sum on n)."""
    m, n, omega = np.asarray(case["m"]), case["n"], np.asarray(case["omega"], dtype=np.float64)
    low, high = -50.0, 50.0
    for _ in range(200):
        t = 0.5 * (low + high)
        p = 1.0 / (1.0 + np.exp(-t) / omega)
        low, high = (t, high) if (m * p).sum() < n else (low, t)
    f = _log_factorials(int(m.max()))
    laws = []
    for size, q in zip(m, p):
        k = np.arange(size + 1)
        laws.append(np.exp(f[size] - f[k] - f[size - k] + k * np.log(q) + (size - k) * np.log1p(-q)))

    def convolve(a, b):  # of windows: each is (first count, weights)
        weights = np.convolve(a[1], b[1])
        first = a[0] + b[0]
        kept = np.flatnonzero(weights > weights.max() * 1e-25)
        return first + kept[0], weights[kept[0]:kept[-1] + 1]

    windows = []
    for law in laws:
        kept = np.flatnonzero(law > law.max() * 1e-25)
        windows.append((kept[0], law[kept[0]:kept[-1] + 1]))
    mean = []
    for i in range(len(windows)):
        rest = (0, np.ones(1))
        for j in range(len(windows)):
            if j != i:
                rest = convolve(rest, windows[j])
        k = windows[i][0] + np.arange(len(windows[i][1]))
        at = n - k - rest[0]
        inside = (at >= 0) & (at < len(rest[1]))
        weight = windows[i][1][inside] * rest[1][at[inside]]
        mean.append((weight @ k[inside]) / weight.sum())
    return np.array(mean)
