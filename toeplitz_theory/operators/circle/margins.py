r"""How far a kernel would have to move for its index to change, and whether rounding can have done it.

Changing the taps by d moves the symbol at angle theta by ``sum d_k e^{i k theta}``, in modulus at most
``||d||_1 <= sqrt(n) ||d||_2``, and the index changes only if the symbol passes through 0 somewhere. So no
change below min|a| in the 1-norm, or below min|a| / sqrt(n) in the 2-norm, changes it. For complex d both
are sharp: a single tap, or ``d_k = -a(theta) e^{-i k theta} / n`` at the minimising angle, reach 0. For real
d the two real equations ``Re, Im sum d_k e^{i k theta} = -a(theta)`` give, at that angle, the least 2-norm
from a 2 x 2 Gram matrix, and the least 1-norm from the two directions ``+-e^{i k theta}`` next to -a(theta).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import flint
import numpy as np
from numpy.typing import NDArray

from toeplitz_theory.display import Displayed
from toeplitz_theory.errors import InputError
from toeplitz_theory.operators.bits import precision, to_acb
from toeplitz_theory.operators.kernels import Kernel, Taps
from toeplitz_theory.operators.results import MinModulus
from toeplitz_theory.operators.rounding import float_format

_BITS = 2300  # more than the range of float64
_ROUND = 2.0**-40  # far more than the rounding of the short computations here


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
