"""The smallest modulus on the circle in a proved bracket, and how far the taps may move before it is 0."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import flint
import numpy as np
from numpy.typing import NDArray

from toeplitz_theory.display import Displayed
from toeplitz_theory.errors import InputError
from toeplitz_theory.operators.bits import precision, to_acb
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
from toeplitz_theory.operators.kernels import Kernel, Taps
from toeplitz_theory.operators.results import MinModulus
from toeplitz_theory.operators.rounding import float_format

RELATIVE = 1e-9  # the bracket's aimed width, where rounding allows it
_SPLIT = 8
_MAX_PIECES = 400_000
_BITS = 2300  # more than the range of float64
_ROUND = 2.0**-40  # far more than the rounding of the short computations here


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
    angle = angle if angle <= math.pi else angle - 2.0 * math.pi
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
        return upper * (1.0 - RELATIVE), upper, at
    poly = grid.polynomials(bad, known)
    bend, error = bend_and_error(grid, poly)
    which = np.arange(bad.size)
    mid, half = np.zeros(bad.size), 1.0
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
            return upper * (1.0 - RELATIVE), upper, at
        stuck = bool((reach[keep] <= error[which[keep]]).all())
        if stuck or int(keep.sum()) * _SPLIT > _MAX_PIECES:
            return max(0.0, float(active[keep].min())), upper, at
        mid, which = mid[keep], which[keep]


def halved(mid: Floats, half: float) -> Floats:
    """Return the middles of the _SPLIT pieces of every [mid - half, mid + half]."""
    offsets = (np.arange(_SPLIT) - 0.5 * (_SPLIT - 1)) * (2.0 * half / _SPLIT)
    return (mid[:, None] + offsets).ravel()


# How far a kernel would have to move for its index to change, and whether rounding can have done it.
#
# Changing the taps by d moves the symbol at angle theta by ``sum d_k e^{i k theta}``, in modulus at most
# ``||d||_1 <= sqrt(n) ||d||_2``, and the index changes only if the symbol passes through 0 somewhere. So no
# change below min|a| in the 1-norm, or below min|a| / sqrt(n) in the 2-norm, changes it. For complex d both
# are sharp: a single tap, or ``d_k = -a(theta) e^{-i k theta} / n`` at the minimising angle, reach 0. For
# real d the two real equations ``Re, Im sum d_k e^{i k theta} = -a(theta)`` give, at that angle, the least
# 2-norm from a 2 x 2 Gram matrix, and the least 1-norm from the two directions ``+-e^{i k theta}`` next to
# -a(theta).


@dataclass(frozen=True, repr=False)
class IndexMargins(Displayed):
    """Brackets of the smallest change of the kernel that can change the index.

    Attributes
    ----------
    l1, l2 : tuple of float
        Bounds (lower, upper) of the smallest ||d||_1 and ||d||_2, d of the kernel's kind: real for a real
        kernel. The lower bounds are proved, the upper ones are those of a change that puts a zero on the
        circle, to rounding.
    angle : float
        Where that zero comes to lie, in radians.

    Examples
    --------
    >>> from toeplitz_theory.operators import Symbol
    >>> margins = Symbol([1.0, -0.5]).index_margins()
    >>> [round(x, 6) for x in margins.l1 + margins.l2]
    [0.5, 0.5, 0.353553, 0.353553]
    """

    l1: tuple[float, float]
    l2: tuple[float, float]
    angle: float


@dataclass(frozen=True, repr=False)
class RoundingMargin(Displayed):
    """Whether rounding taps to a float format can have changed the index.

    Attributes
    ----------
    dtype : str
        The format.
    perturbation : float
        Sum over the taps of half the spacing of the format there: every kernel that rounds to this one, and
        the kernel this one rounds to, is within it in the 1-norm.
    margin : float
        A proved lower bound of min|a|, the 1-norm that no change of index stays below.
    rounded : ndarray, shape (n,)
        The kernel rounded to the format, to nearest, ties to even; in float64.

    Examples
    --------
    >>> from toeplitz_theory.operators import Symbol
    >>> print(Symbol([1.0, -0.5]).rounding_margin("bfloat16"))
    rounding to bfloat16 moves the symbol by at most 0.00586, min|a| is at least 0.5: index safe
    """

    dtype: str
    perturbation: float
    margin: float
    rounded: NDArray[Any]

    @property
    def safe(self) -> bool:
        """Whether the index is proved to be the same for all kernels that round to the same taps."""
        return self.perturbation < self.margin

    def __str__(self) -> str:
        verdict = "index safe" if self.safe else "a change of index is not excluded"
        return (
            f"rounding to {self.dtype} moves the symbol by at most {self.perturbation:.3g}, "
            f"min|a| is at least {self.margin:.3g}: {verdict}"
        )


def index_margins(taps: Taps, smallest: MinModulus) -> IndexMargins:
    """Return the margins from the bracket of min|a|, and the symbol's value at its angle in balls."""
    kernel, theta = taps.values, smallest.angle
    n = kernel.size
    with precision(_BITS + n):  # Horner's rule widens a ball by up to a bit each step
        real = abs(math.sin(theta)) < 1e-12  # the value of a real kernel too, then
        z = flint.acb(round(math.cos(theta))) if real else flint.acb(0, theta).exp()
        value = complex(flint.acb_poly(to_acb(taps))(z).mid())
    low = smallest.lower
    size = max(abs(value), smallest.upper)
    if np.iscomplexobj(kernel) or real or value == 0:
        l1, l2 = size, size / math.sqrt(n)
    else:
        l1, l2 = _real_l1(n, theta, value), _real_l2(n, theta, value)
    grow = 1 + _ROUND
    return IndexMargins(
        (low, max(l1 * grow, low)), (low / math.sqrt(n) / grow, max(l2 * grow, low / math.sqrt(n))), theta
    )


def _real_l2(n: int, theta: float, value: complex) -> float:
    """Least norm of real d with sum d_k e^{i k theta} = -value."""
    k = np.arange(n)
    rows = np.stack([np.cos(k * theta), np.sin(k * theta)])
    target = np.array([value.real, value.imag]) / abs(value)
    return abs(value) * math.sqrt(max(float(target @ np.linalg.solve(rows @ rows.T, target)), 0.0))


def _real_l1(n: int, theta: float, value: complex) -> float:
    """Smallest 1-norm of a real d with sum d_k e^{i k theta} = -value: two taps are enough.

    The unit ball of reachable values is the hull of the points +-e^{i k theta}; the direction of the value
    meets one edge of it, between neighbouring points.
    """
    turns = np.arange(n) * theta
    angles = np.sort(np.mod(np.concatenate([turns, turns + math.pi]), 2 * math.pi))
    towards = math.atan2(-value.imag, -value.real) % (2 * math.pi)
    place = int(np.searchsorted(angles, towards))
    before, after = angles[place - 1], angles[place % angles.size]
    gap = (after - before) % (2 * math.pi)
    if gap < 1e-12:
        return abs(value)
    # The edge's distance from 0 is cos(gap / 2); it is met at `off` from its middle.
    off = (towards - before) % (2 * math.pi) - gap / 2
    across = math.cos(gap / 2)
    return abs(value) * math.cos(off) / across if across > 1e-12 else math.inf


def rounding_margin(kernel: Kernel, dtype: str, lower: float) -> RoundingMargin:
    """Return the margin of ``kernel`` against rounding to ``dtype``; ``lower`` is at most min|a|."""
    name, (bits, smallest) = float_format(dtype)
    parts = np.ascontiguousarray(kernel).view(np.float64)
    exponent = np.maximum(np.frexp(parts)[1], smallest)
    spacing = np.ldexp(1.0, exponent - bits)
    rounded = np.rint(parts / spacing) * spacing
    if np.abs(rounded).max() >= (65520.0 if name == "float16" else math.inf):
        raise InputError("the largest tap overflows float16: choose bfloat16 or rescale the kernel")
    moved = float((spacing / 2).sum()) * (1 + kernel.size * 2.0**-52)
    return RoundingMargin(name, moved, lower, rounded.view(kernel.dtype))
