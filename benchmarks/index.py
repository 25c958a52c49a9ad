"""Certified index against the sampled loop it replaces, and what its neighbours cost.

Run as ``python benchmarks/index.py [--layers N]``, with ``OMP_NUM_THREADS=1`` for comparable figures.
``--check 1000`` compares so many indices with FLINT's isolation of all zeros in balls instead (0.2 s each).
Kernels are kaiming-normal (standard deviation sqrt(2/n)), the hard case: a third of the zeros within 1/n of
the circle.

The baseline is the usual way: 50,000 points, at each the sum of w_k z^-k by numpy, and the unwrapped
increments of the argument added up. Where it is right it cannot say so.

Floors, at n = 512, real taps, N = 4n = 2048 arcs:

- arithmetic of the certified index: one real FFT of 2N and three of N points, 2.5 N log2 N flops each,
  about 3.4e5 flops with the tests of the arcs: 0.1 ms at 4 Gflop/s. What is left above it is the overhead of
  some hundred numpy calls of 1 to 5 us.
- bytes: 4 n in (float32 checkpoint), 13 arrays of N/2 complex numbers at work: 0.2 MB, in cache.
- n = 65,536: the same arrays are 27 MB, streamed once or twice: 10 ms at 5 GB/s; FFTs 0.1 Gflop: 25 ms.
- the baseline: 50,000 n complex exponentials and multiply-adds, 2.0e8 flops and 2.6e7 exponentials at
  n = 512, 0.3 s were it one compiled loop.
"""

from __future__ import annotations

import argparse
import math
import sys
import time

import flint
import numpy as np
from _common import kaiming, median_ms, ratio, timed
from rich.console import Console
from rich.progress import track

from toeplitz_theory.operators import Symbol


def sampled_loop(kernel: np.ndarray, samples: int = 50_000) -> int:
    """Count the turns of sum_k w_k z^-k over a uniform grid, one sample at a time."""
    k = np.arange(kernel.size)
    turn, last = 0.0, None
    for i in range(samples + 1):
        value = np.sum(kernel * np.exp(-2j * np.pi * i / samples * k))
        angle = math.atan2(value.imag, value.real)
        if last is not None:
            step = angle - last
            turn += step - 2.0 * math.pi * round(step / (2.0 * math.pi))
        last = angle
    return round(turn / (2.0 * math.pi))


def against_the_loop(layers: int) -> None:
    """Print time and answers of both, on the same kernels."""
    print(f"{'n':>6} {'loop ms':>9} {'certified ms':>13} {'faster':>8}  loop right on")
    for n in (128, 512):
        slow, fast, right = [], [], 0
        for seed in range(layers):
            kernel = kaiming(n, seed)
            start = time.perf_counter()
            sampled = sampled_loop(kernel)
            slow.append(1e3 * (time.perf_counter() - start))
            fast.append(median_ms(lambda w=kernel: Symbol(w).fredholm_index(), 9))
            right += sampled == Symbol(kernel).fredholm_index().value
        a, b = float(np.median(slow)), float(np.median(fast))
        print(f"{n:>6} {a:>9.0f} {b:>13.2f} {ratio(a, b):>8}  {right} of {layers}")


def by_size() -> None:
    """Print medians by size; every answer must be certified."""
    names = ("fredholm_index", "zeros_near_circle", "min_modulus", "jensen_deficit")
    print(f"\n{'n':>6} " + " ".join(f"{name + ' ms':>20}" for name in names))
    for n in (128, 512, 1024, 2048, 8192, 65_536):
        symbols = [Symbol(kaiming(n, seed)) for seed in range(3)]
        assert all(a.fredholm_index().certified for a in symbols)
        cells = []
        for name in names:
            repeat = 9 if n <= 2048 else 1
            cells.append(np.median([median_ms(getattr(a, name), repeat) for a in symbols]))
        print(f"{n:>6} " + " ".join(f"{x:>20.2f}" for x in cells))


def close_calls() -> None:
    """Print what a zero close to the circle costs: n = 512, 1 - r z^511."""
    print(f"\n{'distance':>9} {'ms':>8}  answer")
    for gap in (1e-3, 1e-6, 1e-9, 1e-12, 1e-15):
        kernel = np.zeros(512)
        kernel[0], kernel[511] = 1.0, -(1.0 + gap)
        symbol = Symbol(kernel)
        print(f"{gap:>9.0e} {median_ms(symbol.fredholm_index, 3):>8.2f}  {symbol.fredholm_index()}")


def all_zeros() -> None:
    """Print what all zeros in proved discs cost: n^2 terms a step of Aberth, 4 n^1.5 balls a zero."""
    print(f"\n{'n':>6} {'zeros ms':>9}  certified")
    for n in (512, 1024, 2048, 4096):
        symbol = Symbol(kaiming(n, 0))
        found, spent = timed(symbol.zeros)
        print(f"{n:>6} {1e3 * spent:>9.0f}  {found.certified}")


def zeros_inside(kernel: np.ndarray) -> int:
    """Count the zeros in the open unit disc by FLINT: proved balls round all of them, no arcs."""
    for tolerance in (1e-12, 1e-24, 1e-48):
        roots = flint.acb_poly(kernel.tolist()).roots(tolerance, maxprec=2000)
        inside = sum(bool(z.abs_upper() < 1) for z in roots)
        if inside + sum(bool(z.abs_lower() > 1) for z in roots) == kernel.size - 1:
            return inside
    raise ArithmeticError("a zero within 1e-48 of the circle")


def against_the_zeros(kernels: int, n: int = 512) -> bool:
    """Print on how many kernels the certified index is minus the number of zeros inside, and both times."""
    right, slow, fast = 0, 0.0, []
    for seed in track(range(kernels), "indices", console=Console(stderr=True), transient=True):
        kernel = kaiming(n, seed)
        found, spent = timed(lambda kernel=kernel: Symbol(kernel).fredholm_index())
        fast.append(spent)
        inside, spent = timed(lambda kernel=kernel: zeros_inside(kernel))
        slow += spent
        right += found.certified and found.value == -inside
    print(
        f"n = {n}: {right} of {kernels} certified and right; {1e3 * float(np.median(fast)):.2f} ms each "
        f"(slowest {1e3 * max(fast):.1f}), the zeros {1e3 * slow / kernels:.0f} ms each"
    )
    return right == kernels


def main() -> None:
    """Run all tables, or the check alone."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layers", type=int, default=3, help="kernels per size in the comparison")
    parser.add_argument("--check", type=int, default=0, help="kernels compared with all zeros by FLINT")
    options = parser.parse_args()
    if options.check:
        sys.exit(not against_the_zeros(options.check))
    against_the_loop(options.layers)
    by_size()
    close_calls()
    all_zeros()


if __name__ == "__main__":
    main()
