"""The outer factor against the textbook cepstrum and reflected roots: ``python benchmarks/factors.py``.

Kernels at kaiming-normal initialisation (std sqrt(2/n)), fixed seed: zeros within 1 / n^2 of the circle.
One run, medians of wall time, one thread. "error" is max ||a|^2 - |outer|^2| on the circle over the mean
of |a|^2: proved for ours, sampled for the others.

The textbook cepstrum is two FFTs each way of N points, 20 N log2 N operations and 16 N bytes; at N = 64 n
and n = 512 that is 10 M operations and 0.5 MB. Its error falls like 1 / N only, for zeros near the
circle. Ours does half of that, finds the m (about 0.15 n) zeros next to the circle, and takes their
aliases out: n m exponentials and 20 n m multiply-adds (0.8 M at n = 512). Reflecting roots needs all
eigenvalues of the companion matrix, about 10 n^3 operations (1.3 G at n = 512) on 8 n^2 bytes, and loses
all digits when it multiplies them out.
"""

from __future__ import annotations

import os
import warnings

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from _common import kaiming, median_ms, ratio

from toeplitz_theory.operators import Symbol


def _textbook(kernel: np.ndarray, points: int) -> np.ndarray:
    """Fold the cepstrum on ``points`` nodes and take the exponential on the same nodes."""
    cepstrum = np.fft.ifft(np.log(np.abs(np.fft.fft(kernel, points)))).real
    cepstrum[1 : points // 2] *= 2.0
    cepstrum[points // 2 + 1 :] = 0.0
    return np.fft.ifft(np.exp(np.fft.fft(cepstrum)))[: kernel.size].real


def _reflected(kernel: np.ndarray) -> np.ndarray:
    roots = np.roots(kernel[::-1])
    mirrored = np.where(np.abs(roots) < 1, 1 / np.conj(roots), roots)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        outer = np.poly(mirrored)[::-1].real
        return outer * np.linalg.norm(kernel) / np.linalg.norm(outer)


def _error(kernel: np.ndarray, outer: np.ndarray) -> float:
    points = 8 * kernel.size
    power, other = (np.abs(np.fft.fft(x, points)) ** 2 for x in (kernel, outer))
    return float(np.abs(power - other).max() / (kernel**2).sum())


def main() -> None:
    print("outer factors, kaiming-normal kernels (milliseconds, medians)")
    print(
        f"{'n':>6} {'ours':>8} {'proved':>8} {'sure':>5} {'cepstrum':>9} {'error':>8} "
        f"{'roots':>9} {'error':>8} {'faster':>7}"
    )
    for n, repeat in ((64, 9), (512, 5), (2048, 3), (8192, 1)):
        kernel = kaiming(n, n)
        a = Symbol(kernel)
        found = a.outer(full=True)
        ours = median_ms(a.outer, repeat)
        plain = median_ms(lambda kernel=kernel, n=n: _textbook(kernel, 64 * n), repeat)
        row = f"{n:6d} {ours:8.1f} {found.modulus_error:8.0e} {found.certified!s:>5} "
        row += f"{plain:9.1f} {_error(kernel, _textbook(kernel, 64 * n)):8.0e} "
        if n <= 512:
            slow = median_ms(lambda kernel=kernel: _reflected(kernel), 1)
            row += f"{slow:9.1f} {_error(kernel, _reflected(kernel)):8.0e} {ratio(slow, ours):>7}"
        print(row)


if __name__ == "__main__":
    main()
