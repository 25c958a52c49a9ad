"""Recovery curves to 4 n lags, in one run: ``python benchmarks/recovery.py [--long]``.

Kernels at kaiming-normal initialisation (std sqrt(2/n)), fixed seed: half their zeros inside, the nearest
within 1 / n^2 of the circle. CPU time of one thread, the least of some runs; "error" is the bound that holds
for every share. ``--long`` adds n = 65,536 with noise.

Targets: 30 ms at n = 512 without noise, 10 with; 1 s at 8192; 2 s at 65,536 with noise. With noise the limit
and the mean delay wait until they are asked for, and are in one row only.

Floors. Operations with noise: one logarithm on N nodes, N from 32 n (snr 1) to 128 n (snr 100), and one
exponential on 32 n, with four real transforms of 2.5 N log2 N (3 M at n = 512, 60 M at 8192); the division to
K = 4 n terms, three of 8 K; the proof, some 20 of 16 n. Without noise two complex transforms of 64 n points
instead (8 M and 130 M), and the m (about 0.15 n) zeros next to the circle add n m exponentials, 10 M at 8192:
half of the time there. Bytes: 16 N through each transform: 5 MB at n = 512, 80 MB at 8192, that is 0.5 and 8
ms at 10 GB/s. The dense way, normal equations over a window of 4 n outputs for one lag, takes (4 n)^3 / 3
operations, 2.9 G at n = 512, and 128 n^2 bytes.
"""

from __future__ import annotations

import argparse
import math
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import scipy.linalg
from _common import cpu_ms, kaiming

from toeplitz_theory.operators import CausalToeplitz, MultiHeadSymbol, Recovery, Symbol


def row(name: str, call, repeat: int) -> Recovery:
    """Print one line about ``call()``, a recovery."""
    results: list[Recovery] = []
    milliseconds = cpu_ms(lambda: results.append(call()), repeat)
    result = results[-1]
    delay = result.delay(0.5)
    kind = "certified" if result.certified else "estimate"
    print(f"{name:<28} {milliseconds:>9.1f} {result.error:>9.1e} {kind:>10} {delay!s:>8}")
    return result


def with_both(curve: Recovery) -> Recovery:
    """Return ``curve`` with its limit and its mean delay computed."""
    assert curve.limit_error < 1e-6 and curve.mean_delay is not None
    return curve


def normal_equations(kernel: np.ndarray, snr: float, lag: int) -> float:
    """Return R(lag) by the covariance of 4 n outputs."""
    n = kernel.size
    size = 4 * n
    column = np.zeros(size)
    column[:n] = np.correlate(kernel, kernel, "full")[n - 1 :]
    column[0] += 1 / snr
    cross = np.zeros(size)
    start = size - lag - 1
    cross[start:] = kernel[: lag + 1]
    factor = scipy.linalg.cho_factor(scipy.linalg.toeplitz(column), overwrite_a=True, check_finite=False)
    return float(cross @ scipy.linalg.cho_solve(factor, cross, check_finite=False))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--long", action="store_true", help="add n = 65,536 with noise")
    options = parser.parse_args()
    print(f"{'':<28} {'ms':>9} {'error':>9} {'':>10} {'R to .5':>8}")
    for n, repeat in ((512, 9), (2048, 3), (8192, 2)):
        a = Symbol(kaiming(n))
        row(f"n = {n}, no noise", a.recovery, repeat)
        for snr in (1.0, 10.0, 100.0):
            row(f"n = {n}, snr {snr:g}", lambda a=a, snr=snr: a.recovery(snr), repeat)
    a = Symbol(kaiming(512))
    row("n = 512, snr 10, limit too", lambda: with_both(a.recovery(10.0)), 9)
    for step in (8, 64):
        w = np.zeros(63 * step + 1)
        w[::step] = kaiming(64)
        row(f"64 taps, {step} apart, no noise", Symbol(w).recovery, 5)
    if options.long:
        a = Symbol(kaiming(65_536))
        for snr in (1.0, 10.0):
            row(f"n = 65536, snr {snr:g}", lambda a=a, snr=snr: a.recovery(snr), 1)
    T = CausalToeplitz(kaiming(512))
    row("section of 512, snr 10", lambda: T.recovery(10.0), 3)
    dense = normal_equations(kaiming(512), 10.0, 100)
    spent = cpu_ms(lambda: normal_equations(kaiming(512), 10.0, 100))
    gap = Symbol(kaiming(512)).recovery(10.0).share(100) - dense
    print(f"normal equations, n = 512, one lag: {spent:.0f} ms, {gap:.1e} short (of a longer window)")
    rng = np.random.default_rng(0)
    for d, n in ((32, 64), (64, 128)):
        projections = rng.standard_normal((2, d, d)) / math.sqrt(d)
        layer = MultiHeadSymbol([kaiming(n, h) for h in range(4)], *projections)
        row(f"layer d = {d}, n = {n}, snr 10", lambda layer=layer: layer.recovery(10.0), 1)


if __name__ == "__main__":
    main()
