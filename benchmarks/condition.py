"""log10 of the condition number against dense SVD, in one run: ``python benchmarks/condition.py``.

Kernels at kaiming-normal initialisation (std sqrt(2/n)), fixed seed; kappa is 1e90 to 1e660, where a dense
float64 SVD answers 1e17 to 1e21 whatever the truth. Medians of wall time, one thread.

What no program can beat: the SVD baseline costs 8/3 n^3 operations for values alone, 0.36 G at n = 512
and 23 G at n = 2048, on a matrix of 8 n^2 bytes (2 MB, 34 MB). Ours reads 8 n bytes. Its parts are the
power series (about 4 products of n balls of 128 bits: n log n), some 8 to 60 Lanczos steps of four FFTs
of 2n points each (10 n log2 2n operations a transform: 0.05 M at n = 512), and, up to n = 16,384, for
each of the two norms at least one run of Schur's algorithm, n rotations of two vectors of n and less: 3
n^2 operations, 0.8 M at n = 512 and 13 M at 2048, that close the bracket. Below n = 200 the SVD is
faster, and wrong.
"""

from __future__ import annotations

import math
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from _common import kaiming, median_ms, ratio

from toeplitz_theory.operators import CausalToeplitz


def _dense(matrix: np.ndarray) -> float:
    values = np.linalg.svd(matrix, compute_uv=False)
    return math.log10(values[0] / values[-1])


def main() -> None:
    print("log10 condition number, kaiming-normal kernels (milliseconds, medians)")
    print(f"{'n':>5} {'value':>11} {'bracket':>8} {'dense says':>10} {'ours':>7} {'SVD':>8} {'faster':>7}")
    for n, repeat in ((128, 9), (512, 9), (1024, 5), (2048, 3)):
        T = CausalToeplitz(kaiming(n, n))
        found, matrix = T.log10_condition(), T.to_dense()
        ours = median_ms(T.log10_condition, repeat)
        svd = median_ms(lambda matrix=matrix: _dense(matrix), 1 if n > 1024 else 3)
        print(
            f"{n:5d} {found.value:11.6f} {found.upper - found.lower:8.0e} {_dense(matrix):10.2f} "
            f"{ours:7.1f} {svd:8.1f} {ratio(svd, ours):>7}"
        )
    print("\nnumerical nullity at 1e-6, all singular values below noise, one solve")
    for n in (128, 512):
        T = CausalToeplitz(kaiming(n, n))
        y = np.ones(n)
        parts = {
            "nullity": median_ms(T.nullity, 5),
            "certified": median_ms(lambda T=T: T.nullity(certify=True), 3),
            "all values": median_ms(lambda T=T: T.singular_values(full=True), 1),
            "solve": median_ms(lambda T=T, y=y: T.solve(y), 9),
            "solve to 1e-12": median_ms(lambda T=T, y=y: T.solve(y, rtol=1e-12), 5),
            "dense SVD": median_ms(lambda T=T: np.linalg.svd(T.to_dense(), compute_uv=False), 3),
        }
        print(f"n = {n:4d}  " + "   ".join(f"{name} {ms:.1f}" for name, ms in parts.items()))


if __name__ == "__main__":
    main()
