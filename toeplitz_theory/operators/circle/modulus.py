"""A proved bracket of the smallest modulus on the circle, by branch and bound over arcs."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from toeplitz_theory.operators.circle.arcs import (
    ArcGrid,
    Floats,
    bend_and_error,
    first_look,
    foot,
    horner,
    segment_distance,
)
from toeplitz_theory.operators.circle.winding import wind
from toeplitz_theory.operators.kernels import Taps
from toeplitz_theory.operators.results import MinModulus

RELATIVE = 1e-9  # the bracket's aimed width, where rounding allows it
_SPLIT = 8
_MAX_PIECES = 400_000


def min_modulus(taps: Taps) -> MinModulus:
    """Bracket min |a| on the unit circle.

    Arcs whose lower bound is above the smallest value seen are dropped, the others cut; the bracket's
    width is quadratic in their length. What is left is RELATIVE or the rounding of float64, whichever is
    larger; where that leaves the lower bound at 0, the one that ball arithmetic proves is used, if any.
    """
    if taps.is_zero:
        return MinModulus(0.0, 0.0, 0.0, True, "the symbol is identically 0")
    comb = taps.comb()
    if comb is not None:
        least = min_modulus(comb.core)
        return replace(least, angle=least.angle / comb.step, method=comb.note(least.method))
    scaled = taps.scaled()
    grid = ArcGrid(scaled.values, scaled.error)
    lower, upper, angle = _search(grid)
    method = "branch and bound on float64 arcs"
    if lower <= 0.0:
        proof = wind(taps)
        method += "; lower bound from " + ("balls" if proof.certified else f"nothing: {proof.method}")
        low = proof.margin if proof.certified else 0.0
    else:
        low = scaled.lower(lower)
    high = scaled.upper(upper)
    return MinModulus(low + 0.5 * (high - low), low, high, True, method, angle)


def _search(grid: ArcGrid) -> tuple[float, float, float]:
    """Return a lower and an upper bound of min |b|, and the angle where the upper one is met."""
    middle = grid.coefficient(0)
    known, lower = first_look(grid, middle)
    best = int(np.argmin(np.abs(middle)))
    upper, at = float(np.abs(middle[best])) + grid.error, 2.0 * best * grid.half_width
    bad = np.flatnonzero(lower < upper * (1.0 - RELATIVE))
    if bad.size == 0:
        return upper * (1.0 - RELATIVE), upper, _principal(at)
    poly = grid.polynomials(bad, known)
    bend, error = bend_and_error(grid, poly)
    which = np.arange(bad.size)
    mid, half = np.zeros(bad.size), 1.0
    active = lower[bad]
    while True:
        mid, which, half = halved(mid, half), np.repeat(which, _SPLIT), half / _SPLIT
        value, slope = horner(poly[:, which], mid)
        t = mid + foot(value, slope, half)
        seen = np.abs(horner(poly[:, which], t)[0]) + error[which]
        best = int(np.argmin(seen))
        if seen[best] < upper:
            upper, at = float(seen[best]), float(2.0 * bad[which[best]] + t[best]) * grid.half_width
        reach = 0.5 * bend[which] * half**2
        active = segment_distance(value, slope, half) - reach - error[which]
        keep = active < upper * (1.0 - RELATIVE)
        if not keep.any():
            return upper * (1.0 - RELATIVE), upper, _principal(at)
        stuck = bool((reach[keep] <= error[which[keep]]).all())
        if stuck or int(keep.sum()) * _SPLIT > _MAX_PIECES:
            return max(0.0, float(active[keep].min())), upper, _principal(at)
        mid, which = mid[keep], which[keep]


def halved(mid: Floats, half: float) -> Floats:
    """Return the middles of the _SPLIT pieces of every [mid - half, mid + half]."""
    offsets = (np.arange(_SPLIT) - 0.5 * (_SPLIT - 1)) * (2.0 * half / _SPLIT)
    return (mid[:, None] + offsets).ravel()


def _principal(angle: float) -> float:
    return angle if angle <= math.pi else angle - 2.0 * math.pi
