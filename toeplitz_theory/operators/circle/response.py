r"""A symbol along the circle as engineers draw it: modulus, phase followed without a jump, group delay.

Between two neighbouring points the values of ``b = e^{-i c theta} a`` lie on an arc whose length is at most
``h (|b'_1| + |b'_2|) / 2 + h^2 max|b''| / 4`` (from each end as far as the middle). An arc from b_1 to b_2
shorter than ``|b_1| + |b_2|`` stays inside an ellipse with these foci, which is convex and leaves 0 out: so
the phase changes by the principal argument of ``b_2 / b_1``. Where that is not so yet, points are added.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from toeplitz_theory.display import Displayed
from toeplitz_theory.errors import InputError
from toeplitz_theory.operators.circle.arcs import ArcGrid
from toeplitz_theory.operators.kernels import Scaled, Taps
from toeplitz_theory.operators.rounding import UNIT_ROUNDOFF

_POINTS_PER_TAP = 8
_FEWEST = 512
_PIECES = 4  # that a piece of the circle is cut into where the phase is not sure
_LITTLE_WORK = 400_000  # added points times taps: more of them are cheaper by a finer transform
_MOST_WORK = 200_000_000
_MOST_POINTS = 1 << 22
_ROUNDS = 26  # each four times finer: then neighbours are next to each other in float64
_CHUNK = 1 << 21


@dataclass(frozen=True, repr=False)
class Response(Displayed):
    """A symbol along the unit circle from angle 0 on: to pi for a real kernel, whose rest mirrors it.

    Attributes
    ----------
    angle : ndarray, shape (m,)
        Increasing, in radians; closer together where the symbol is small.
    decibels : ndarray, shape (m,)
        ``20 log10 |a|``, -inf at a zero.
    phase : ndarray, shape (m,)
        Of a, in radians, without jumps. Over the whole circle it rises by 2 pi for each zero inside.
    group_delay : ndarray, shape (m,)
        Its derivative, in tokens; nan at a zero. Its mean over the circle is the number of zeros inside.
    certified : bool
        Whether it is proved that the phase misses no turn between two of the points.

    Examples
    --------
    >>> from toeplitz_theory.operators import Symbol
    >>> shift = Symbol([0.0, 0.0, 2.0]).response()
    >>> shift.turns, shift.certified, round(float(shift.decibels.max()), 6)
    (1.0, True, 6.0206)
    """

    angle: NDArray[np.float64]
    decibels: NDArray[np.float64]
    phase: NDArray[np.float64]
    group_delay: NDArray[np.float64]
    certified: bool = field(default=True)

    @property
    def turns(self) -> float:
        """How many times the phase goes round over the angles there are."""
        return float((self.phase[-1] - self.phase[0]) / (2 * math.pi))

    def __repr__(self) -> str:
        sure = "certified" if self.certified else "not certified"
        return f"Response({self.angle.size} angles, {self.turns:.4g} turns of the phase, {sure})"


def response(taps: Taps) -> Response:
    """Return modulus, phase and group delay along the circle; `Symbol.response` says more."""
    if taps.is_zero:
        raise InputError("the symbol is identically 0: it has no phase")
    sampled = _Sampled(taps.scaled())
    certified = sampled.follow()
    values = sampled.values
    turns = np.append(0.0, np.cumsum(np.angle(values[1:] * np.conj(values[:-1]))))
    shift = sampled.scaled.lead + sampled.grid.centre
    with np.errstate(divide="ignore", invalid="ignore"):
        decibels = 20 * np.log10(np.abs(values)) + 20 * math.log10(2) * sampled.scaled.exponent
        group_delay = shift + (sampled.slopes / values).real
    group_delay[~np.isfinite(group_delay)] = np.nan
    phase = float(np.angle(values[0])) + turns + shift * sampled.angles
    return Response(sampled.angles, decibels, phase, group_delay, certified)


class _Sampled:
    """b and b' / i at points of the circle: first those of a transform, then more where needed."""

    def __init__(self, scaled: Scaled) -> None:
        self.scaled, self.grid = scaled, ArcGrid(scaled.values)
        n = scaled.values.size
        self.lags = np.arange(n) - self.grid.centre
        self.rows = np.array([scaled.values, self.lags * scaled.values])
        self.bend = float((np.abs(scaled.values) * self.lags**2).sum())  # |b''| is nowhere larger
        # Angles times lags are rounded to 2 pi n u, the sum of n products to n u more.
        self.tap_error = scaled.error + 16 * n * UNIT_ROUNDOFF * self.grid.norm1
        self._transform(1 << max(math.ceil(math.log2(_POINTS_PER_TAP * n)), int(math.log2(_FEWEST))))

    def _transform(self, points: int) -> None:
        self.points = points
        self.values, self.slopes = (self.grid.transform(row, points) for row in self.rows)
        if not self.grid.real:  # round to the beginning
            self.values, self.slopes = (np.append(x, x[0]) for x in (self.values, self.slopes))
        self.angles = 2 * math.pi * np.arange(self.values.size) / points

    def follow(self) -> bool:
        """Add points until no turn of the phase can be missed; whether that is proved everywhere."""
        while self._unsure()[0].size * self.lags.size > _LITTLE_WORK and self.points < _MOST_POINTS:
            self._transform(2 * self.points)
        for _ in range(_ROUNDS):
            unsure, lost = self._unsure()
            if not unsure.size:
                return not lost
            if unsure.size * self.lags.size > _MOST_WORK:
                return False
            steps = np.arange(1, _PIECES) / _PIECES
            left, width = self.angles[unsure], np.diff(self.angles)[unsure]
            self._insert((left[:, None] + width[:, None] * steps).ravel(), np.repeat(unsure + 1, _PIECES - 1))
        return False

    def _unsure(self) -> tuple[NDArray[np.intp], bool]:
        """Pieces on which 0 might lie between the two ways round it; whether rounding hides it on others."""
        h = np.diff(self.angles)
        slope, modulus = np.abs(self.slopes), np.abs(self.values)
        size = modulus[1:] + modulus[:-1]
        longest = h * (slope[1:] + slope[:-1]) / 2 + h**2 * self.bend / 4
        # A transform errs by less than 8 u log2(points) times the taps' sum, a sum of n products by n u.
        levels = 64 * UNIT_ROUNDOFF * math.log2(self.points)
        slack = 4 * self.tap_error + levels * self.grid.norm1
        unsure = 1.01 * longest + slack >= size
        lost = unsure & (size <= 2 * slack)
        return np.flatnonzero(unsure & ~lost), bool(lost.any())

    def _insert(self, angles: NDArray[np.float64], places: NDArray[np.intp]) -> None:
        parts = np.array_split(angles, math.ceil(angles.size * self.lags.size / _CHUNK))
        added = np.concatenate([np.exp(1j * part[:, None] * self.lags) @ self.rows.T for part in parts])
        self.angles = np.insert(self.angles, places, angles)
        self.values = np.insert(self.values, places, added[:, 0])
        self.slopes = np.insert(self.slopes, places, added[:, 1])
