"""Kernels from their zeros, multiplied in an order that keeps partial products small."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from toeplitz_theory.errors import InputError


def kernel_with_zeros(zeros: ArrayLike, first: complex = 1.0) -> Any:
    """Return the taps of ``first * prod_j (1 - z / z_j)``, shape (m + 1,); real for conjugate pairs.

    Leja's order: each next zero is the one whose product of distances from those before is largest
    (Calvetti and Reichel, BIT 43 (2003) 1). Conjugates follow each other, so that real stays real.
    """
    points = np.atleast_1d(np.asarray(zeros, dtype=complex))
    if points.ndim != 1 or not np.isfinite(points).all() or (points == 0).any():
        raise InputError(
            "zeros must be a vector of finite numbers, none of them 0; for a zero at 0 prepend a tap 0"
        )
    taps: Any = np.array([first])
    for z in _order(points):
        taps = np.convolve(taps, [1.0, -1.0 / z])
    if complex(first).imag == 0 and _paired(points):
        return np.ascontiguousarray(taps.real)
    return taps


def _order(points: Any) -> Any:
    left = points.copy()
    chosen = []
    score = np.log(np.abs(left))
    while left.size:
        place = int(np.argmax(score))
        for z in {left[place], left[place].conj()}:
            found = np.flatnonzero(left == z)[:1]
            if found.size:
                chosen.append(left[found[0]])
                left, score = np.delete(left, found), np.delete(score, found)
                with np.errstate(divide="ignore"):
                    score = score + np.log(np.abs(left - chosen[-1]))
    return chosen


def _paired(points: Any) -> bool:
    def key(z: Any) -> Any:
        return np.sort_complex(z)

    return bool(np.array_equal(key(points), key(points.conj())))
