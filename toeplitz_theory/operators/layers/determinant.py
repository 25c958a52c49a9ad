"""How often det(I + D(z) M) winds round 0: with proof arc by arc, or from samples without."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toeplitz_theory.errors import NumericalError
from toeplitz_theory.operators.layers.determinant_arcs import Arc, Arcs

Matrix = NDArray[Any]
_SHORTEST = 1e-6  # radians: an arc's half-width below which the proof is given up
_BOUNDS = (0.87, 0.6, 0.3)  # of ||A - I||: the smaller, the shorter the arc, and the faster its series
_SURE = 2.8  # radians by which the estimated turn may be off; below pi, and the determinants' arguments round


class ResidualWinding:
    """The winding number of det(I + A) of one layer.

    Parameters
    ----------
    taps : ndarray of complex, shape (H, n)
        One kernel a head.
    w_in, w_out : ndarray of float, shape (d, d)
        Projections.
    channels : int
        d / H.

    Examples
    --------
    >>> ResidualWinding(np.array([[0.0, 3.0 + 0j]]), np.eye(2), np.eye(2), 2).proved(100)[0]  # (1 + 3 z)^2
    2
    """

    def __init__(self, taps: Matrix, w_in: Matrix, w_out: Matrix, channels: int) -> None:
        self.arcs = Arcs(taps, w_in, w_out, channels)
        self.real = not np.imag(taps).any()
        self._angle = cache(lambda theta: float(np.angle(np.linalg.slogdet(self.arcs.matrix(theta))[0])))

    @np.errstate(over="ignore", invalid="ignore")  # what is not finite proves nothing
    def proved(self, max_arcs: int) -> tuple[int | None, int]:
        """Return the winding number, or None, and the number of arcs tried.

        Real kernels need the upper half circle only: there the determinant turns half as far.
        """
        end = math.pi if self.real else 2 * math.pi
        todo, guess, turned, tried = [(0.0, end)], end / 8, 0.0, 0
        while todo:
            left, right = todo.pop()
            half = min(guess, (right - left) / 2)
            middle = left + half
            arc = None
            for bound in _BOUNDS:
                tried += 1
                arc = self.arcs.prove(left, middle, right, bound)
                if arc is not None and arc.slack < _SURE:
                    break
            shortest = min(_SHORTEST, (right - left) / 4)
            if arc is None or arc.slack >= _SURE or tried > max_arcs or arc.half < shortest:
                return None, tried
            # What rounding an angle moves, u pi, is far below what is kept here.
            start, stop = max(left, middle - arc.half), min(right, middle + arc.half)
            if stop < right:
                stop = middle + arc.half * (1 - 1e-9)
                todo.append((stop, right))
            if start > left:
                start = middle - arc.half * (1 - 1e-9)
                todo.append((left, start))
            turned += self._turn(start, stop, arc)
            guess = 0.97 * arc.half
        turns = turned / end
        if abs(turns - round(turns)) > 1e-3:
            raise NumericalError(f"arguments of the determinant add up to {turns} turns, not to an integer")
        return round(turns), tried

    def _turn(self, start: float, stop: float, arc: Arc) -> float:
        """Return the turn of the determinant, from its arguments at both ends and the estimate of the arc."""
        principal = self._angle(stop) - self._angle(start)
        turn = principal + 2 * math.pi * round((arc.turn - principal) / (2 * math.pi))
        if abs(turn - arc.turn) > arc.slack + 0.1:
            raise NumericalError("the argument of a determinant is lost in rounding: scale the layer")
        return turn

    @np.errstate(over="ignore", invalid="ignore")
    def sampled(self) -> tuple[int | None, int]:
        """Wind the sampled determinant, twice as finely until no step is larger than a right angle.

        Returns the winding number, an estimate, or None, and the number of samples.
        """
        for points in 8 * self.arcs.k.size * np.array([1, 2, 4]):
            turns = sampled_turns(self.arcs.matrix, int(points), math.pi / 2)
            if turns is not None:
                break
        return turns, int(points)


def sampled_turns(matrix: Callable[[float], Matrix], points: int, most: float) -> int | None:
    """Return how often det matrix(theta) winds, by samples; None where a step is not below ``most``."""
    theta = np.linspace(0, 2 * math.pi, points, endpoint=False)
    signs = np.array([np.linalg.slogdet(matrix(t))[0] for t in theta])
    steps = np.angle(np.roll(signs, -1) * signs.conj())
    settled = signs.all() and np.abs(steps).max() < most
    return round(float(steps.sum()) / (2 * math.pi)) if settled else None
