"""Pseudospectra and index maps against one dense SVD a point: ``python benchmarks/pseudospectrum.py``.

The SVD of a 512 x 512 complex matrix, values alone, costs 4 * 8/3 n^3 operations, 1.4 G, on 4 MB: a 200 x 200
grid takes it hours, so it is timed on one point. What cannot be beaten per point here: the power series (two
complex FFT products of total length n log n) and at least 3 Lanczos steps of 4 transforms of 2n points, 10 n
log2 2n operations each: 0.6 M at n = 512, and 16 n bytes for each kept direction. Target: 50 times faster at
n = 512.
"""

from __future__ import annotations

import os
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from toeplitz_theory.operators import CausalToeplitz, index_map, pseudospectrum


def _seconds(work) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    print("200 x 200 points, kaiming-normal kernels; the real axis halves the points computed")
    print(
        f"{'n':>5} {'grid s':>8} {'a point ms':>11} {'SVD a point ms':>15} {'faster':>8} {'index map s':>12}"
    )
    for n, side in ((128, 200), (512, 200), (2048, 40)):
        w = np.random.default_rng(n).standard_normal(n) * np.sqrt(2 / n)
        took = _seconds(lambda w=w, side=side: pseudospectrum(w, points=side))
        each = took / (side * side / 2)
        matrix = CausalToeplitz(w).to_dense() - (0.3 + 0.4j) * np.eye(n)
        dense = _seconds(lambda matrix=matrix: np.linalg.svd(matrix, compute_uv=False))
        indices = _seconds(lambda w=w: index_map(w, points=200)) if n <= 512 else float("nan")
        whole = took * (200 / side) ** 2
        print(
            f"{n:>5} {whole:>8.1f} {1e3 * each:>11.2f} {1e3 * dense:>15.1f} {dense / each:>7.0f}x "
            f"{indices:>12.1f}" + ("" if side == 200 else f"   (from {side} x {side} points)")
        )


if __name__ == "__main__":
    main()
