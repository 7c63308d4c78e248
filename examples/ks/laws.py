"""Independent reference draws of three classes: inversion from exact conditional probabilities, in NumPy, with NumPy's generator.

Both laws draw class 1, then class 2 given how many are left; class 3 takes the rest.
  exact    [MVHG] Eq. 1. With binomials X_c of m_c balls and odds omega_c t (any t gives the same law; this one centres them, which
           keeps all in range) the law is that of X given X_1 + X_2 + X_3 = n: P(x_1) ~ P(X_1 = x_1) P(X_2 + X_3 = n - x_1)
  merged   the papers' chain, Eq. 3: classes 2 and 3 at first are one class with the mean of their omega over balls
"""
import numpy as np


def _log_choose(m):
    k = np.arange(m + 1)
    f = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, m + 1, dtype=np.float64)))])
    return f[m] - f[k] - f[m - k]


def _binomial(m, p):
    k = np.arange(m + 1)
    return np.exp(_log_choose(m) + k * np.log(p) + (m - k) * np.log1p(-p))


def _given_sum(own, rest, left):
    """P(k) ~ own[k] rest[left - k], k = 0..m, for the numbers left: [len(left)][m + 1]."""
    at = np.asarray(left)[:, None] - np.arange(len(own))
    inside = (at >= 0) & (at < len(rest))
    p = np.where(inside, own * rest[np.clip(at, 0, len(rest) - 1)], 0.0)
    total = p.sum(axis=1, keepdims=True)
    return p / np.where(total > 0, total, 1.0)


def _centred(m, omega, n):
    """Probability of a ball of each class under the tilt that makes the counts sum to n on average."""
    low, high = -50.0, 50.0
    for _ in range(200):
        t = 0.5 * (low + high)
        p = 1.0 / (1.0 + np.exp(-t) / np.asarray(omega, dtype=np.float64))
        low, high = (t, high) if p @ m < n else (low, t)
    return p


def exact(m, omega, n):
    """(P(x_1) [m_1 + 1], P(x_2 | left) [n + 1][m_2 + 1])"""
    one, two, three = (_binomial(size, p) for size, p in zip(m, _centred(m, omega, n)))
    return _given_sum(one, np.convolve(two, three), [n])[0], _given_sum(two, three, np.arange(n + 1))


def merged(m, omega, n):
    rest = (omega[1] * m[1] + omega[2] * m[2]) / (m[1] + m[2])
    one, others = (_binomial(size, p) for size, p in
                   zip((m[0], m[1] + m[2]), _centred((m[0], m[1] + m[2]), (omega[0], rest), n)))
    two, three = (_binomial(size, p) for size, p in zip(m[1:], _centred(m[1:], omega[1:], n / 2)))
    return _given_sum(one, others, [n])[0], _given_sum(two, three, np.arange(n + 1))


def draw(law, n, rows, generator):
    """x [rows][3]"""
    first, second = law
    x = np.empty((rows, 3), dtype=np.int64)
    x[:, 0] = np.searchsorted(np.cumsum(first)[:-1], generator.random(rows), side="right")
    left = n - x[:, 0]
    cumulated = np.cumsum(second, axis=1)
    cumulated[:, -1] = 1.0  # also where nothing is possible, which is never looked up
    # One search in all the rows of the table, shifted so that each follows the one before.
    table = (cumulated + np.arange(n + 1)[:, None]).ravel()
    x[:, 1] = np.searchsorted(table, left + generator.random(rows), side="right") - left * second.shape[1]
    x[:, 1] = np.clip(x[:, 1], 0, second.shape[1] - 1)
    x[:, 2] = left - x[:, 1]
    return x
