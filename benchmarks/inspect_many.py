"""Many and long kernels: CPU a kernel of ``inspect``, of a quick look, and memory.

    python benchmarks/inspect_many.py                  # two minutes
    python benchmarks/inspect_many.py --jobs 2 --kernels 9216 --n 2048

Floors, a kernel of n taps:

- A quick look makes some twenty transforms of 8 n points for what is proved and four of 32 n for the
  estimates: with 5 N log2 N flops each about 7 Mflop at n = 512, a millisecond or two.
- Every column: condition, nullity and bits run Schur's algorithm four times, 4 to 6 n^2 flops each in n steps
  of a few microseconds: 84 Mflop and 40 ms at n = 2,048, 86 Gflop and some 6 s at 65,536. The series 1/a(z)
  in 128 bits is one Newton inverse, about three products of n numbers.
- Memory: 8 n bytes of kernel, and a row of numbers of a few kB.

Targets: 5 ms for a quick look at n = 512; every column in 0.26 s at 2,048 (9,216 kernels in 20 minutes on two
cores), 0.3 s at 4,096, 15 s and 1 GB at 65,536. CPU seconds, one thread.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import time

import numpy as np
from _common import kaiming

import toeplitz_theory as tt


def one(n: int, count: int, quick: bool) -> float:
    """CPU seconds a kernel."""
    kernels = [kaiming(n, seed).astype(np.float32) for seed in range(count)]
    tt.inspect(kernels[:1], quick=quick)
    start = time.process_time()
    tt.inspect(kernels, quick=quick)
    return (time.process_time() - start) / count


def resident_mb() -> float:
    """The most this process has held, in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024) / 1e6


def shared(count: int, n: int, jobs: int) -> None:
    """Inspect many kernels in processes; interrupted, the same command goes on."""
    rng = np.random.default_rng(0)
    kernels = {"layer": (rng.standard_normal((count, n)) * np.sqrt(2 / n)).astype(np.float32)}
    start = time.perf_counter()
    report = tt.inspect(kernels, kernels="layer:axis=1", jobs=jobs, progress=True)
    wall = time.perf_counter() - start
    proved = sum(row.index is not None and row.index.certified for row in report.rows)
    print(f"{count} kernels of {n} taps, {jobs} processes: {wall:.0f} s, {proved} indices proved")
    print(f"peak of this process {resident_mb():.0f} MB, of which kernels {8e-6 * count * n:.0f}")


def main() -> None:
    """Print the table."""
    options = argparse.ArgumentParser()
    options.add_argument("--jobs", type=int)
    options.add_argument("--kernels", type=int, default=200)
    options.add_argument("--n", type=int, default=2048)
    chosen = options.parse_args()
    if chosen.jobs:
        shared(chosen.kernels, chosen.n, chosen.jobs)
        return
    many = {"layer": np.stack([kaiming(512, k) for k in range(2000)])}
    tt.inspect({"layer": many["layer"][:20]}, kernels="layer:axis=1", quick=True)
    before = resident_mb()
    tt.inspect(many, kernels="layer:axis=1", quick=True)
    print(f"2,000 kernels of 512 taps, quick: {resident_mb() - before:.0f} MB more, of which kernels 8")
    print(f"CPU seconds a kernel, kaiming-normal; load {os.getloadavg()[0]:.1f}")
    print(f"{'n':>7}{'quick':>10}{'target':>8}{'all':>10}{'target':>8}")
    goals = {512: ("0.005", ""), 2048: ("", "0.26"), 4096: ("", "0.3"), 65_536: ("", "15")}
    for n, (goal_quick, goal_all) in goals.items():
        count = max(1, min(20, 40_000 // n))
        quick, whole = one(n, count, True), one(n, count, False)
        print(f"{n:>7}{quick:>10.4f}{goal_quick:>8}{whole:>10.3f}{goal_all:>8}")
    print(f"peak {resident_mb():.0f} MB")


if __name__ == "__main__":
    main()
