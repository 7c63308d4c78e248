#!/usr/bin/env python3
"""Makes tests/data/law_digits.txt: the law of Eq. 1 to many more digits than double has, where double arithmetic loses them.

    python3 scripts/make_law_digits.py > tests/data/law_digits.txt        needs mpmath; some minutes

log omega are doubles, taken for exact. Sums over the law are those of a contour integral in 60 digits or more (Law below); that
the integral is right is checked here, for every urn that allows it, against sums over counts: of all of them (small urns), or of
one class by the ratio of neighbours (two classes, any size).
"""
import math
import random
import sys

from mpmath import mp, mpf


class Law:
    """m balls of log omega theta, n drawn. Under a tilt E the counts are binomials given their sum: P(sum = n) and moments are
    sums over the nodes of a circle, with so many nodes that what is left out is below the working precision."""

    def __init__(self, m, theta, n):
        self.m, self.theta, self.n = [mpf(v) for v in m], [mpf(v) for v in theta], n
        total = sum(m)
        assert 0 < n < total and min(m) > 0
        low = high = mp.log(mpf(n) / (total - n))
        low, high = low - max(self.theta), high - min(self.theta)
        for _ in range(200):
            middle = (low + high) / 2
            drawn = mp.fsum(a / (1 + mp.exp(-t - middle)) for a, t in zip(self.m, self.theta))
            low, high = (middle, high) if drawn < n else (low, middle)
        self.tilt = low
        self.p = [1 / (1 + mp.exp(-t - low)) for t in self.theta]
        self.q = [1 / (1 + mp.exp(t + low)) for t in self.theta]
        variance = mp.fsum(a * p * q for a, p, q in zip(self.m, self.p, self.q))
        nats = mp.dps * mp.log(10) + 10 + mp.log(1 + 12 * variance) / 2
        period = min(int(mp.ceil(nats / 3 + mp.sqrt(nats**2 / 9 + 2 * nats * variance))), total + 1) | 1
        last = (period - 1) // 2
        if nats < 2 * variance:
            last = min(last, int(mp.acos(1 - nats / variance) * period / (2 * mp.pi)) + 1)
        classes = {}
        for a, t, p, q in zip(self.m, self.theta, self.p, self.q):
            classes.setdefault(t, [mpf(0), p, q])[0] += a
        self.e, w = [], []
        for s in range(last + 1):
            e = mp.expjpi(2 * mpf(s) / period)
            phi = mp.fsum(a * mp.log(q + p * e) for a, p, q in classes.values())
            self.e.append(e)
            w.append(mp.exp(phi - 2j * mp.pi * s * n / period) * (2 if s else 1))
        z = mp.fsum(v.real for v in w)
        self.w = [v / z for v in w]
        self.log_norm = (mp.log(z / period) - n * low +
                         mp.fsum(a * mp.log(1 + mp.exp(t + low)) for a, t in zip(self.m, self.theta)))
        pi = {t: [p * e / (q + p * e) for e in self.e] for t, (_, p, q) in classes.items()}
        one = {t: self.expect(v) for t, v in pi.items()}
        self.pi, self.mean = pi, [a * one[t] for a, t in zip(self.m, self.theta)]

    def expect(self, values):
        return mp.fsum((w * v).real for w, v in zip(self.w, values))

    def covariance(self):
        rows = range(len(self.m))
        cov = [[None] * len(self.m) for _ in rows]
        for j in rows:
            for l in range(j + 1):
                both = self.expect([a * b for a, b in zip(self.pi[self.theta[j]], self.pi[self.theta[l]])])
                value = self.m[j] * (self.m[l] - (j == l)) * both - self.mean[j] * self.mean[l]
                cov[j][l] = cov[l][j] = value + (self.mean[j] if j == l else 0)
        return cov

    def log_prob(self, x):
        return mp.fsum(mp.loggamma(a + 1) - mp.loggamma(k + 1) - mp.loggamma(a - k + 1) + k * t
                       for a, k, t in zip(self.m, map(mpf, x), self.theta)) - self.log_norm


def divergence(a, b):
    return b.log_norm - a.log_norm - mp.fsum(mean * (u - t) for mean, t, u in zip(a.mean, a.theta, b.theta))


def merged_log_prob(m, theta, n, x):
    """[MVHG] Eq. 3: class after class against the later ones as one."""
    value = mpf(0)
    for i in range(len(m) - 1):
        later = range(i + 1, len(m))
        balls = sum(m[j] for j in later)
        rest = mp.log(mp.fsum(m[j] * mp.exp(mpf(theta[j])) for j in later) / balls)
        if 0 < n < m[i] + balls:
            value += Law([m[i], balls], [mpf(theta[i]) - rest, 0], n).log_prob([x[i], n - x[i]])
        n -= x[i]
    return value


# ------------------------------------------------------------------------------------------------------ checks


def by_counts(m, theta, n):
    """log P0, means and variances by polynomials whose coefficients are sums over counts."""
    log_choose = [[mp.binomial(a, k) * mp.exp(k * mpf(t)) for k in range(min(a, n) + 1)] for a, t in zip(m, theta)]

    def product(skip):
        c = [mpf(1)]
        for j, f in enumerate(log_choose):
            if j != skip:
                c = [mp.fsum(f[k] * c[r - k] for k in range(max(0, r - len(c) + 1), min(r, len(f) - 1) + 1))
                     for r in range(min(n, len(c) + len(f) - 2) + 1)]
        return c

    means, variances, norm = [], [], None
    for j, f in enumerate(log_choose):
        rest = product(j)
        p = [f[k] * rest[n - k] if n - k < len(rest) else mpf(0) for k in range(len(f))]
        norm = mp.fsum(p)
        means.append(mp.fsum(k * v for k, v in enumerate(p)) / norm)
        variances.append(mp.fsum((k - means[-1])**2 * v for k, v in enumerate(p)) / norm)
    return mp.log(norm), means, variances


def by_neighbours(m, theta, n):
    """The same of two classes of any size, from the mode outwards."""
    ratio = mp.exp(mpf(theta[0]) - mpf(theta[1]))
    low, high = max(0, n - m[1]), min(m[0], n)

    def up(k):
        return ratio * (m[0] - k) * (n - k) / (mpf(k + 1) * (m[1] - n + k + 1))

    a, b = low, high
    while a < b:
        middle = (a + b) // 2
        a, b = (middle + 1, b) if up(middle) > 1 else (a, middle)
    terms, term = [(a, mpf(1))], mpf(1)
    for k in range(a, high):
        term *= up(k)
        terms.append((k + 1, term))
        if term < mpf(10)**-(mp.dps + 5):
            break
    term = mpf(1)
    for k in range(a, low, -1):
        term /= up(k - 1)
        terms.append((k - 1, term))
        if term < mpf(10)**-(mp.dps + 5):
            break
    norm = mp.fsum(v for _, v in terms)
    mean = mp.fsum(k * v for k, v in terms) / norm
    variance = mp.fsum((k - mean)**2 * v for k, v in terms) / norm
    at_mode = mp.fsum(mp.loggamma(c + 1) - mp.loggamma(k + 1) - mp.loggamma(c - k + 1) + k * mpf(t)
                      for c, k, t in ((m[0], mpf(a), theta[0]), (m[1], mpf(n - a), theta[1])))
    return mp.log(norm) + at_mode, [mean, n - mean], [variance, variance]


def check(m, theta, n, law, cov):
    if sum(m) <= 100:
        reference = by_counts(m, theta, n)
    elif len(m) == 2:
        reference = by_neighbours(m, theta, n)
    else:
        return False
    means = [abs(a - b) / b for a, b in zip(law.mean, reference[1])]
    variances = [abs(cov[j][j] - v) / v for j, v in enumerate(reference[2])]
    assert max(means + variances + [abs(law.log_norm - reference[0]) / (1 + abs(reference[0]))]) < 1e-25, (m, theta, n)
    return True


# ------------------------------------------------------------------------------------------------------ the file


def text(values):
    return " ".join(mp.nstr(v, 22, min_fixed=0, max_fixed=0) if not isinstance(v, int) else str(v) for v in values)


def put(name, m, theta, n, xs=(), others=(), merged=False, digits=60, covariance=True):
    mp.dps = digits
    law = Law(m, theta, n)
    print(f"case {name}")
    print("m", *m)
    print("n", n)
    print("log_omega", *map(repr, theta))
    print("log_norm", text([law.log_norm]))
    print("mean", text(law.mean))
    if covariance:
        cov = law.covariance()
        if check(m, theta, n, law, cov):
            print("# checked against a sum over counts")
        print("cov", text([v for row in cov for v in row]))
    for x in xs:
        print("x", *x)
        print("log_prob", text([law.log_prob(x)]))
        if merged:
            print("merged", text([merged_log_prob(m, theta, n, x)]))
    for other in others:
        second = Law(m, other, n)
        print("other", *map(repr, other))
        print("kl", text([divergence(law, second)]))
        d = [t - u for t, u in zip(law.theta, second.theta)]
        if covariance:
            print("kl_own", text([mp.fsum(c * v for c, v in zip(row, d)) for row in cov]))
        print("kl_other", text([b - a for a, b in zip(law.mean, second.mean)]))
    print(flush=True)


def counts_near(m, n, mean, spread, seed):
    """Whole counts of sum n, some standard deviations from the mean."""
    rng = random.Random(seed)
    x = [min(max(round(float(a) + spread * rng.gauss(0, 1) * math.sqrt(max(0.0, float(a) * (1 - float(a) / c)))), 0), c)
         for a, c in zip(mean, m)]
    while sum(x) != n:
        step = 1 if sum(x) < n else -1
        j = rng.randrange(len(m))
        if 0 <= x[j] + step <= m[j]:
            x[j] += step
    return x


def main():
    print("# Made by scripts/make_law_digits.py. log_omega and other are doubles as written; the rest has 22 digits.\n")
    put("one_short_of_all", [67108764, 100], [0.0, 0.0], 67108863, [[67108763, 100], [67108764, 99]])
    put("one_short_of_all_weighted", [67108764, 100], [0.0, -1.5], 67108863, [[67108764, 99]])
    put("float32_one_short_of_all", [16777116, 100], [0.0, -1.5], 16777215, [[16777115, 100], [16777116, 99]], merged=True)
    put("halves", [33554432, 33554432], [0.0, math.log(3)], 33554431,
        [[12286000, 21268431], [12282000, 21272431], [12265000, 21289431], [9000000, 24554431]],
        [[0.0, math.log(3) + 1e-7], [0.0, math.log(3) - 0.001], [0.0, math.log(3) + 0.125], [0.0, 0.0]], merged=True)
    put("millions", [2000000, 1500000, 1], [0.0, math.log(3), 1.0], 1700000, [[628000, 1072000, 0]],
        [[0.0, math.log(3.0000001), 1.0], [1e-12, math.log(3), 1.0]], merged=True)
    put("one_class_nearly_all_variance", [33554432, 10, 7], [0.0, 0.3125, -2.0], 16777216, [[16777209, 6, 1]],
        [[0.0, 0.3125, -1.9375], [0.0, 0.25, -2.0]], merged=True)
    put("odds_1e20", [10, 10], [math.log(1e20), 0.0], 15, [[10, 5], [9, 6]], [[math.log(1e20) + 0.5, 0.0]])
    put("hugging", [10, 10], [46.0, 0.0], 10, [[10, 0], [9, 1], [3, 7]], [[46.5, 0.0], [47.0, 0.5], [53.0, 0.0], [60.0, 0.0]],
        merged=True, digits=150)
    put("hugging_three", [10, 5, 10], [30.0, 0.0, -30.0], 15, [[10, 5, 0], [10, 4, 1]], [[30.0, 0.0, -29.0], [32.0, 0.5, -30.0]],
        digits=200)
    put("hugging_far_apart", [5, 1, 2, 1, 1], [-136.0, 0.0, -0.75, 165.5, 97.25], 5, [[0, 1, 2, 1, 1]],
        [[-135.0, 0.0, -0.75, 165.5, 98.0]], digits=600)
    put("nearly_certain", [3, 4, 5], [5.0, 0.0, -6.0], 7, [[3, 4, 0], [3, 3, 1], [0, 2, 5]], [[5.5, 0.0, -6.0]], merged=True, digits=100)
    put("outlier", [1, 1000], [700000.0, 0.0], 500, [[1, 499]], digits=60, covariance=False)
    put("outliers", [3, 1, 1000], [1000.0, 0.0, -1.25], 500, [[3, 1, 496], [3, 0, 497]], [[1000.0, 0.5, -1.25]], digits=1000)
    put("ordinary", [200, 200, 200], [0.0, 2.25, 0.0], 180, [[28, 124, 28], [60, 60, 60], [0, 180, 0]],
        [[0.0, 2.5, 0.0], [0.0, 2.2500001, 0.0], [1.0, 0.0, -1.0]], merged=True)
    put("small", [1, 2, 3], [0.5, -0.25, 0.0], 3, [[1, 1, 1], [0, 0, 3]], [[0.5, -0.25, 2.0**-20]], merged=True)
    rng = random.Random(1)
    m = [rng.randrange(1, 400000) for _ in range(300)]
    theta = [rng.randrange(-2048, 2048) / 1024 for _ in m]
    n = int(0.4 * sum(m))
    mp.dps = 30
    mean = Law(m, theta, n).mean
    close = [t + rng.randrange(-512, 512) / 2.0**24 for t in theta]
    put("many_large", m, theta, n, [counts_near(m, n, mean, s, s) for s in (0, 1, 5)], [close], digits=45, covariance=False)
    m = [rng.randrange(1, 4) for _ in range(2000)]
    theta = [rng.randrange(-3072, 3072) / 1024 for _ in m]
    mp.dps = 30
    mean = Law(m, theta, 600).mean
    put("many_small", m, theta, 600, [counts_near(m, 600, mean, s, s) for s in (0, 1)], digits=45, covariance=False)


if __name__ == "__main__":
    sys.exit(main())
