#!/usr/bin/env python3
"""Fits the polynomials of kernels/logmath.h (relative minimax by Remez exchange in 60-digit arithmetic) and prints them.

    python3 scripts/fit_polynomials.py        needs mpmath
"""
import mpmath as mp

mp.mp.dps = 60


def remez(f, weight, lo, hi, degree, rounds=30):
    """Polynomial p of the degree that minimises max |p - f| * weight on [lo, hi]; coefficients ascending, and that maximum."""
    n = degree + 2
    mid, half = (lo + hi) / 2, (hi - lo) / 2
    x = [mid - half * mp.cos(mp.pi * i / (n - 1)) for i in range(n)]
    for _ in range(rounds):
        a = mp.matrix(n, n)
        b = mp.matrix(n, 1)
        for i, xi in enumerate(x):
            for j in range(degree + 1):
                a[i, j] = xi**j
            a[i, degree + 1] = (-1) ** i / weight(xi)
            b[i] = f(xi)
        c = mp.lu_solve(a, b)
        coefficients = [c[j] for j in range(degree + 1)]

        def error(t):
            return (mp.polyval(coefficients[::-1], t) - f(t)) * weight(t)

        grid = [mid - half * mp.cos(mp.pi * i / 600) for i in range(601)]
        e = [error(t) for t in grid]
        peaks = [i for i in range(601)
                 if (i == 0 or abs(e[i]) >= abs(e[i - 1])) and (i == 600 or abs(e[i]) >= abs(e[i + 1]))]
        chosen = []
        for i in peaks:
            if chosen and mp.sign(e[i]) == mp.sign(e[chosen[-1]]):
                if abs(e[i]) > abs(e[chosen[-1]]):
                    chosen[-1] = i
            else:
                chosen.append(i)
        while len(chosen) > n:
            chosen.pop(0 if abs(e[chosen[0]]) < abs(e[chosen[-1]]) else -1)
        if len(chosen) < n:
            break
        x = [grid[i] for i in chosen]
    return coefficients, max(abs(v) for v in e)


def show(name, coefficients, err, double):
    print(f"{name}: relative error {mp.nstr(err, 3)}")
    for j, c in enumerate(coefficients):
        print(f"  c{j} = {mp.nstr(c, 20 if double else 12)}")


LN2 = mp.log(2)
SQ = mp.sqrt(2)


def log2_1p_over(t):
    return 1 / LN2 if t == 0 else mp.log1p(t) / LN2 / t


for d in (7,):
    show(f"float log2(1+f)/f on [sqrt(1/2)-1, sqrt(2)-1], degree {d}",
         *remez(log2_1p_over, lambda t: 1 / log2_1p_over(t), 1 / SQ - 1, SQ - 1, d), False)
show("float 2^(t+1/2), t in [-1/2, 1/2], degree 5",
     *remez(lambda t: mp.mpf(2) ** (t + mp.mpf(1) / 2), lambda t: mp.mpf(2) ** -(t + mp.mpf(1) / 2), mp.mpf(-1) / 2, mp.mpf(1) / 2, 5), False)


def atanh_over(z):  # log2((1+s)/(1-s)) / s, z = s^2
    if z == 0:
        return 2 / LN2
    s = mp.sqrt(z)
    return mp.log((1 + s) / (1 - s)) / LN2 / s


smax = (SQ - 1) / (SQ + 1)
show("double log2((1+s)/(1-s))/s in z = s^2, degree 7",
     *remez(atanh_over, lambda z: 1 / atanh_over(z), mp.mpf(0), smax**2, 7), True)
show("double 2^t on [-1/2, 1/2], degree 11",
     *remez(lambda t: mp.mpf(2) ** t, lambda t: mp.mpf(2) ** -t, mp.mpf(-1) / 2, mp.mpf(1) / 2, 11), True)


def remainder_over(u):  # (digamma(z+1) - log(z (z+1)) / 2) / u, u = 1 / (z + 1/2)^2
    z = 1 / mp.sqrt(u) - mp.mpf(1) / 2
    return (mp.digamma(z + 1) - mp.log(z * (z + 1)) / 2) / u


show("float (digamma(z+1) - log(z (z+1)) / 2) / u, u = 1 / (z + 1/2)^2, z >= 1, degree 4",
     *remez(remainder_over, lambda u: 1 / remainder_over(u), mp.mpf(10) ** -9, mp.mpf(4) / 9, 4), False)


def atan_bend(u):  # (atan(z) / z - 1) / z^2, u = z^2
    if u == 0:
        return mp.mpf(-1) / 3
    z = mp.sqrt(u)
    return (mp.atan(z) / z - 1) / u


show("double (atan(z)/z - 1)/z^2 in u = z^2, |z| <= tan(pi/8), degree 11",
     *remez(atan_bend, lambda u: 1 / atan_bend(u), mp.mpf(0), (SQ - 1)**2, 11), True)
