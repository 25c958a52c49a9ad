"""Singular values of long sections, in one run: ``python benchmarks/singular.py [--all]``.

Kaiming-normal kernels (std sqrt(2/n)), fixed seeds; CPU time of one thread and the peak of what numpy
allocates (tracemalloc; FLINT's numbers are not in it). ``--all`` adds all singular values against
a dense SVD, which takes a minute.

Floors. The bracket of the condition number: Schur's algorithm turns two vectors of length n - k for k < n,
3 n^2 multiply-adds in all and 16 n^2 bytes through the first-level cache: 13 M and 67 MB at n = 2048, 7 ms
at 10 GB/s; besides, 8 to 60 Lanczos steps of four FFTs of 2n points. Extreme singular values: some 100 to
240 products and as many vectors of n numbers, orthogonalised: 2 n m^2 operations, 7 G at n = 65,536 and m =
240, and 2 n m 8 bytes, 250 MB. All of them: LAPACK's symmetric eigensolver, 4/3 n^3 operations, 92 G at n =
4096, on 8 n^2 bytes, where the SVD takes 8/3 n^3; and for those below float64's noise, k steps of elimination
of 4 n numbers of many hundred bits (1.5 M numbers at k = 90) and some ten products of the n x n remainder
with 100 to 200 vectors, 4 n^2 p operations, 40 G.
"""

from __future__ import annotations

import argparse
import math
import os
import tracemalloc
from collections.abc import Callable
from functools import partial

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from _common import cpu_ms, kaiming, timed

from toeplitz_theory.operators import CausalToeplitz, Symbol


def peak_bytes(function: Callable[[], object]) -> int:
    """Return the most that numpy and Python hold at once while ``function()`` runs."""
    tracemalloc.start()
    function()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def dense_svd(matrix: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the singular values by LAPACK and the CPU seconds they took."""
    return timed(lambda: np.linalg.svd(matrix, compute_uv=False))


def conditions() -> None:
    """Print value, bracket and time of the condition number by size."""
    print(
        f"{'n':>6} {'log10 kappa':>14} {'bracket':>8} {'ms':>7} {'SVD ms':>8} {'faster':>7} {'SVD says':>9}"
    )
    for n in (512, 1024, 2048, 4096, 8192, 16_384):
        T = CausalToeplitz(kaiming(n))
        found = T.log10_condition()
        ours = cpu_ms(T.log10_condition, 5 if n <= 2048 else 1)
        row = f"{n:>6} {found.value:>14.6f} {found.upper - found.lower:>8.0e} {ours:>7.0f}"
        if n <= 2048:
            values, dense = dense_svd(T.to_dense())
            says = math.log10(values[0] / values[-1])
            row += f" {1e3 * dense:>8.0f} {1e3 * dense / ours:>6.0f}x {says:>9.2f}"
        print(row)


def extremes() -> None:
    """Print the extreme singular values of long sections, with their errors."""
    print(f"\n{'n':>6} {'which':>9} {'k':>2} {'s':>6}  log10 of the values, largest relative error, how")
    for n, which, k in (
        (4096, "smallest", 3),
        (16_384, "largest", 6),
        (16_384, "smallest", 1),
        (65_536, "largest", 6),
        (65_536, "smallest", 1),
    ):
        T = CausalToeplitz(kaiming(n))
        found, spent = timed(partial(T.singular_values, k, which=which, full=True))
        values = " ".join(f"{x:.4f}" for x in found.log10)
        error = found.relative_error.max()
        print(f"{n:>6} {which:>9} {k:>2} {spent:>6.1f}  {values}  {error:.0e}  {found.method}")


def smooth() -> None:
    """Print the largest singular values of smooth symbols, 1 / n^2 apart, and the true errors for 1 + z.

    Floor: 30 to 90 vectors of n numbers, orthogonalised once or twice, and a product with each.
    """
    print(f"\n{'n':>6} {'symbol':>15} {'s':>6}  largest relative error: bound, and true; how")
    for n in (4096, 16_384, 65_536):
        for name, taps in (("1 + z", [1.0, 1.0]), ("of degree 3", [1.0, -0.5, 0.8, -0.3])):
            T = CausalToeplitz(taps, n)
            found, spent = timed(partial(T.singular_values, 6, which="largest", full=True))
            true = ""
            if name == "1 + z":
                exact = 2 * np.cos(np.pi * np.arange(1, 7) / (2 * n + 1))
                true = f"{np.abs(found.values / exact - 1).max():.0e}"
            error = found.relative_error.max()
            print(f"{n:>6} {name:>15} {spent:>6.1f}  {error:.0e} {true:>6} {found.method}")


def memory() -> None:
    """Print peak memory over the 8 n bytes of the kernel: constant means O(n)."""
    print("\npeak memory over 8 n bytes")
    work: dict[str, Callable[[np.ndarray], object]] = {
        "certified index": lambda w: Symbol(w).fredholm_index(),
        "min_modulus": lambda w: Symbol(w).min_modulus(),
        "jensen_deficit": lambda w: Symbol(w).jensen_deficit(),
        "log10_condition": lambda w: CausalToeplitz(w).log10_condition(),
        "solve": lambda w: CausalToeplitz(w + 30 * (np.arange(w.size) == 0)).solve(w),
        "inverse_series": lambda w: CausalToeplitz(w).inverse_series(),
        "6 largest values": lambda w: CausalToeplitz(w).singular_values(6, which="largest", full=True),
        "resolvent, one point": lambda w: CausalToeplitz(w).resolvent_norm(0.5 + 0.5j, full=True),
    }
    print(f"{'':>22}" + "".join(f"{n:>8}" for n in (4096, 8192, 16_384)))
    for name, function in work.items():
        cells = []
        for n in (4096, 8192, 16_384):
            w = kaiming(n)
            cells.append(peak_bytes(lambda w=w, function=function: function(w)) / (8 * n))
        print(f"{name:>22}" + "".join(f"{x:>8.0f}" for x in cells))


def every() -> None:
    """Print all singular values, the deep ones right, against a dense SVD."""
    print(
        f"\n{'n':>6} {'ours s':>7} {'by LAPACK s':>12} {'SVD s':>6} {'faster':>7}  below 1e-6; "
        "smallest, log10: ours, SVD's; largest error bound; sum of log10 less log10 |det T|"
    )
    for n in (512, 1024, 2048, 4096):
        w = kaiming(n)
        T = CausalToeplitz(w)
        found, every = timed(partial(T.singular_values, full=True))
        _, quick = timed(partial(T.singular_values, full=True, more_bits=False))
        values, svd = dense_svd(T.to_dense())
        small = np.count_nonzero(found.log10 < found.log10[0] - 6)
        determinant = found.log10.sum() - n * math.log10(abs(w[0]))
        print(
            f"{n:>6} {every:>7.2f} {quick:>12.2f} {svd:>6.2f} {svd / every:>6.1f}x  {small}; "
            f"{found.log10[-1]:.3f}, {math.log10(values[-1]):.3f}; "
            f"{found.relative_error.max():.0e}; {determinant:.0e}",
            flush=True,
        )


def main() -> None:
    """Run the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--all", action="store_true", help="all singular values too, against a dense SVD")
    arguments = parser.parse_args()
    conditions()
    extremes()
    smooth()
    memory()
    if arguments.all:
        every()


if __name__ == "__main__":
    main()
