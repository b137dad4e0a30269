#!/usr/bin/env python3
"""Writes golden.json next to this file: the values of SciPy 1.17.1 and NumPy 2.4.6 that golden.rs compares with.

    python3 -m venv venv && venv/bin/pip install scipy==1.17.1 numpy==2.4.6 && venv/bin/python golden.py
"""
import json
import pathlib

import numpy as np
from scipy import special, stats

z = stats.norm.ppf(0.975)


def wilson(k, n):
    interval = stats.binomtest(k, n).proportion_ci(0.95, "wilson")
    return interval.low, interval.high


def newcombe(k0, n0, k1, n1):
    """Newcombe 1998, method 10, for p1 - p0."""
    (l0, u0), (l1, u1) = wilson(k0, n0), wilson(k1, n1)
    p0, p1 = k0 / n0, k1 / n1
    low = p1 - p0 - np.hypot(p1 - l1, u0 - p0)
    high = p1 - p0 + np.hypot(u1 - p1, p0 - l0)
    return low, high


def rates(k0, n0, k1, n1):
    low, high = newcombe(k0, n0, k1, n1)
    law = stats.hypergeom(n0 + n1, k0 + k1, n1)
    p = min(1.0, 2 * min(law.cdf(k1), law.sf(k1 - 1)))
    bound = 0.0 if low <= 0 <= high else min(abs(low), abs(high))
    return {"counts": [k0, n0, k1, n1], "lower": bound, "upper": max(abs(low), abs(high)), "p": p}


def variation(reference, window):
    """T and its lower and upper bound for categories as defined in src/test/variation.rs, with NumPy and SciPy."""
    (many, few), (p, q) = (sum(reference), sum(window)), (np.array(s) / sum(s) for s in (reference, window))
    sigma = (np.diag(p) - np.outer(p, p)) / many + (np.diag(q) - np.outer(q, q)) / few
    seen = np.sqrt(np.diag(sigma))
    rho = np.clip(sigma / np.outer(seen, seen), -1, 1)
    pooled = (p * many + q * few) / (many + few)
    own = [np.maximum(s * (1 - s), pooled * (1 - pooled)) for s in (p, q)]
    sd = np.sqrt(own[0] / many + own[1] / few)
    mean = 0.5 * np.sqrt(2 / np.pi) * sd.sum()
    folded = np.outer(sd, sd) * (np.sqrt(1 - rho**2) + rho * np.arcsin(rho) - 1)
    variance = 0.25 * 2 / np.pi * folded.sum()
    noise = stats.gamma(mean**2 / variance, scale=variance / mean).ppf(0.95)
    distance = 0.5 * np.abs(p - q).sum()
    spread = 0.5 * np.sqrt(1 / many + 1 / few) * stats.norm.ppf(0.95)
    bounds = max(0.0, distance - noise), min(1.0, distance + spread)
    return {"reference": reference, "window": window, "estimate": distance, "lower": bounds[0], "upper": bounds[1]}


def kolmogorov(many, few, share):
    """The exact tail of D for two samples without ties."""
    x = np.arange(many) / many
    y = share + np.arange(few) / few * (1 - share)
    found = stats.ks_2samp(x, y, method="exact")
    return {"many": many, "few": few, "distance": round(found.statistic * many * few), "p": found.pvalue}


golden = {
    "gamma_upper": [
        [a, x, special.gammaincc(a, x)]
        for a in [0.5, 1.0, 1.5, 4.5, 12.0, 31.5, 127.5, 1000.0]
        for x in [1e-3, 0.5, 1.0, 3.841458820694124, 10.0, 40.0, 120.0, 500.0, 1100.0]
        if 1e-280 < special.gammaincc(a, x)
    ],
    "gamma_quantile": [
        [a, p, special.gammaincinv(a, p)]
        for a in [0.5, 1.752, 3.0, 20.0, 454.0]
        for p in [0.01, 0.5, 0.9, 0.95, 0.999]
    ],
    "normal_upper": [[x, stats.norm.sf(x)] for x in [-8.0, -1.0, 0.0, 0.1, 1.6448536269514722, 3.0, 8.0, 37.0]],
    "normal_quantile": [
        [p, stats.norm.ppf(p)] for p in [1e-300, 1e-20, 1e-6, 0.025, 0.07, 0.3, 0.6, 0.95, 0.975, 0.999999]
    ],
    "kolmogorov": [
        kolmogorov(*sizes)
        for sizes in [(303, 100, 0.25), (303, 147, 0.3), (147, 303, 0.3), (1000, 300, 0.2), (100, 100, 0.4), (317, 101, 0.3)]
    ],
    "variation": [
        variation(r, w)
        for r, w in [
            ([151, 152], [45, 102]),
            ([151, 4, 148], [118, 3, 26]),
            ([30, 31, 29, 33, 30, 30, 30, 30, 30, 30], [300, 120, 120, 130, 90, 160, 80, 120, 130, 100]),
        ]
    ],
    "rates": [
        rates(*counts)
        for counts in [
            (4, 303, 145, 147),
            (2, 303, 133, 147),
            (0, 303, 95, 147),
            (0, 303, 0, 147),
            (0, 303, 11, 147),
            (10, 100, 20, 100),
            (50, 100, 50, 100),
            (0, 100_000, 1, 100),
            (1234, 100_000, 1300, 98_000),
            (30_000, 1_000_000, 31_000, 1_000_000),
        ]
    ],
}
path = pathlib.Path(__file__).with_name("golden.json")
path.write_text(json.dumps(golden, indent=1) + "\n")
