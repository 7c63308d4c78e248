"""The law of [MVHG] Eq. 1 and the merged chain, from their definitions and for small urns only: what the tests hold the program
against. Standard library only, nothing shared with it."""
import itertools
import math


def weights(m, log_omega):
    """C(m, k) omega^k of one class, k = 0..m."""
    return [math.exp(math.log(math.comb(m, k)) + k * log_omega) for k in range(m + 1)]


def convolve(a, b):
    out = [0.0] * (len(a) + len(b) - 1)
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            out[i + j] += x * y
    return out


class Law:
    """Exact law of counts x with sum n."""

    def __init__(self, m, n, log_omega):
        self.m, self.n, self.log_omega = m, n, log_omega
        self.suffix = [[1.0]]  # suffix[-1 - i]: sums over the classes from i on
        for size, value in zip(reversed(m), reversed(log_omega), strict=True):
            self.suffix.append(convolve(weights(size, value), self.suffix[-1]))
        self.log_norm = math.log(self.suffix[-1][n])

    def log_prob(self, x):
        return sum(math.log(math.comb(m, k)) + k * value
                   for m, k, value in zip(self.m, x, self.log_omega, strict=True)) - self.log_norm

    def without(self, classes):
        """Sums over all other classes, by number drawn from them."""
        total = [1.0]
        for c, (size, value) in enumerate(zip(self.m, self.log_omega, strict=True)):
            if c not in classes:
                total = convolve(total, weights(size, value))
        return total

    def moments(self):
        """Mean and covariance, by the law of every pair of classes."""
        count = len(self.m)
        mean, second = [0.0] * count, [[0.0] * count for _ in range(count)]
        for c in range(count):
            rest = self.without({c})
            for k, w in enumerate(weights(self.m[c], self.log_omega[c])):
                if 0 <= self.n - k < len(rest):
                    p = w * rest[self.n - k] / self.suffix[-1][self.n]
                    mean[c] += k * p
                    second[c][c] += k * k * p
        for c, d in itertools.combinations(range(count), 2):
            rest = self.without({c, d})
            for k, w in enumerate(weights(self.m[c], self.log_omega[c])):
                for l, v in enumerate(weights(self.m[d], self.log_omega[d])):
                    if 0 <= self.n - k - l < len(rest):
                        second[c][d] += k * l * w * v * rest[self.n - k - l] / self.suffix[-1][self.n]
            second[d][c] = second[c][d]
        return mean, [[second[c][d] - mean[c] * mean[d] for d in range(count)] for c in range(count)]

    def draw(self, random):
        """One row: class after class by inversion, random a random.Random."""
        left, row = self.n, []
        for i, (size, value) in enumerate(zip(self.m, self.log_omega, strict=True)):
            rest = self.suffix[len(self.m) - 1 - i]
            pmf = [w * rest[left - k] if 0 <= left - k < len(rest) else 0.0
                   for k, w in enumerate(weights(size, value))]
            row.append(random.choices(range(size + 1), pmf)[0])
            left -= row[-1]
        return row


def merged_log_prob(m, log_omega, x, order):
    """log p of x under the merged chain ([MVHG] Eq. 3, 7) that visits the classes in this order."""
    total, left = 0.0, sum(x)
    for i, c in enumerate(order[:-1]):
        rest = order[i + 1:]
        balls = sum(m[j] for j in rest)
        if not balls:
            break
        log_rest = math.log(sum(math.exp(log_omega[j]) * m[j] for j in rest) / balls)
        pmf = [math.comb(m[c], k) * math.comb(balls, left - k) * math.exp((log_omega[c] - log_rest) * k)
               if 0 <= left - k <= balls else 0.0 for k in range(m[c] + 1)]
        total += math.log(pmf[x[c]] / sum(pmf))
        left -= x[c]
    return total


def counts(m, n):
    """All rows of counts with sum n."""
    return [x for x in itertools.product(*(range(size + 1) for size in m)) if sum(x) == n]


def pseudo_inverse(covariance):
    """Of a matrix whose null space is spanned by 1: with J = 1 1' / c, (A + J)^-1 - J."""
    count = len(covariance)
    rows = [[covariance[i][j] + 1 / count for j in range(count)] + [float(i == j) for j in range(count)]
            for i in range(count)]
    for i in range(count):
        pivot = max(range(i, count), key=lambda r: abs(rows[r][i]))
        rows[i], rows[pivot] = rows[pivot], rows[i]
        rows[i] = [value / rows[i][i] for value in rows[i]]
        for r in range(count):
            if r != i:
                factor = rows[r][i]
                rows[r] = [value - factor * other for value, other in zip(rows[r], rows[i], strict=True)]
    return [[value - 1 / count for value in row[count:]] for row in rows]
