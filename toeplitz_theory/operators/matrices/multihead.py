r"""The matrix-valued symbol of a multi-head layer, A(z) = W_out diag(a_h(z) I) W_in, and its index.

``det A = det W_out det W_in prod_h a_h^c`` with c = d / H channels a head, so with nonsingular projections
the index is -c times the sum of the heads' winding numbers. With the residual connection it is minus the
winding number of ``det(I + A(z)) = det(I + D(z) M)``, D = diag(a_h I) and M = W_in W_out (Sylvester).

That winding number is proved arc by arc. With B = I + D M, c the middle of an arc and R an approximate
inverse of B(c), R B(c + t) = I + t X + G(t), where X = R D'(c) M is computed and G is bounded, with
``|a_h(c + t) - a_h(c) - t a_h'(c)| <= (h^2 / 2) sum k^2 |w_k|``. If ``||G|| ||(I + s t X)^-1|| <= q < 1``
for all complex |s| <= 1, then no I + s (t X + G) is singular: det B has no zero on the arc, all eigenvalues
of R B stay in the disc of radius 1 around 1, and the change of arg det B from c to an end is the sum of
their principal arguments. The inverse is bounded by powers of h X, which are small long before h X is: X is
far from normal. The arguments come from the determinant's, by LAPACK's backward stability off by less than
d (c d u) / (1 - q).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from toeplitz_theory.errors import InputError, NumericalError
from toeplitz_theory.operators.symbols.arcs import UNIT
from toeplitz_theory.operators.symbols.symbol import Symbol

Matrix = NDArray[Any]
_Q = 0.9


@dataclass(frozen=True)
class MatrixIndex:
    """The Fredholm index of a Toeplitz operator with a matrix-valued symbol.

    Attributes
    ----------
    value : int or None
        The index; None where nothing could be said.
    certified : bool
        Whether it is proved; where False, ``value`` is an estimate from samples.
    method : str
        How, or why not.

    Examples
    --------
    >>> import numpy as np
    >>> from toeplitz_theory.operators import MultiHeadSymbol
    >>> layer = MultiHeadSymbol([[1.0, -2.0], [1.0, 0.5]], np.eye(4), np.eye(4))
    >>> layer.fredholm_index().value  # one head with one zero inside, on two channels
    -2
    """

    value: int | None
    certified: bool
    method: str


class MultiHeadSymbol:
    """The symbol of a layer with heads and projections, ``A(z) = W_out diag(a_h(z) I) W_in``.

    Parameters
    ----------
    kernels : array_like, shape (H, n)
        Real or complex, one kernel for each head.
    w_in, w_out : array_like, shape (d, d)
        Real projections; rows h d/H .. (h + 1) d/H - 1 of ``w_in`` feed head h.

    Raises
    ------
    InputError
        If shapes do not fit or numbers are not finite.

    Examples
    --------
    >>> import numpy as np
    >>> layer = MultiHeadSymbol([[0.0, 1.0]], np.eye(2), np.eye(2))
    >>> layer(0.5).real.tolist()
    [[0.5, 0.0], [0.0, 0.5]]
    """

    def __init__(self, kernels: ArrayLike, w_in: ArrayLike, w_out: ArrayLike) -> None:
        self.heads = tuple(Symbol(kernel) for kernel in np.atleast_2d(np.asarray(kernels)))
        self.w_in, self.w_out = np.asarray(w_in, dtype=float), np.asarray(w_out, dtype=float)
        d = self.w_in.shape[0]
        if self.w_in.shape != (d, d) or self.w_out.shape != (d, d) or d % len(self.heads):
            raise InputError(
                f"projections of shapes {self.w_in.shape} and {self.w_out.shape} do not fit "
                f"{len(self.heads)} heads: pass two (d, d) matrices, d a multiple of the heads"
            )
        if not (np.isfinite(self.w_in).all() and np.isfinite(self.w_out).all()):
            raise InputError("the projections have nan or infinite entries")
        self.width, self.channels = d, d // len(self.heads)

    def __call__(self, z: complex) -> Matrix:
        """Return A(z), shape (d, d)."""
        values = np.array([complex(a(z)) for a in self.heads])
        return (self.w_out * np.repeat(values, self.channels)) @ self.w_in

    def fredholm_index(self) -> MatrixIndex:
        """Return the index of T(A) on l2(N)^d.

        Returns
        -------
        MatrixIndex
            Certified, or None: a head with a zero on the circle, or a projection not proved nonsingular.
        """
        for name, matrix in (("W_in", self.w_in), ("W_out", self.w_out)):
            if not proved_nonsingular(matrix):
                return MatrixIndex(None, False, f"{name} is not proved nonsingular in float64")
        windings = [a.winding() for a in self.heads]
        for number, found in enumerate(windings):
            if not found.certified:
                return MatrixIndex(None, False, f"head {number}: {found.method}")
        total = sum(found.count or 0 for found in windings)
        return MatrixIndex(-self.channels * total, True, "windings of the heads, projections nonsingular")

    def residual_index(self, max_arcs: int = 4000) -> MatrixIndex:
        """Return the index of T(I + A), what the stream sees through the residual connection.

        Parameters
        ----------
        max_arcs : int
            Arcs tried before the proof is given up; one costs about 100 d^3 operations. What is then returned
            is an estimate from samples, or None where these do not settle.

        Returns
        -------
        MatrixIndex

        Examples
        --------
        >>> import numpy as np
        >>> layer = MultiHeadSymbol([[0.0, 3.0]], np.eye(2), np.eye(2))  # det(I + A) = (1 + 3 z)^2
        >>> layer.residual_index()
        MatrixIndex(value=-2, certified=True, method='10 arcs')
        """
        return _ResidualWinding(self).index(max_arcs)


def proved_nonsingular(matrix: Matrix) -> bool:
    """Whether ``||I - R W|| < 1`` for a computed inverse R, rounding included: then W is nonsingular.

    Examples
    --------
    >>> proved_nonsingular(np.array([[1.0, 2.0], [2.0, 4.0]])), proved_nonsingular(np.eye(3))
    (False, True)
    """
    try:
        inverse = np.linalg.inv(matrix)
    except np.linalg.LinAlgError:
        return False
    return bool(_defect(inverse, matrix).max() < 1)


def _defect(inverse: Matrix, matrix: Matrix) -> NDArray[np.float64]:
    """Return bounds of the row sums of |I - inverse matrix|, the rounding of the product included."""
    d = len(matrix)
    gamma = 4 * (d + 4) * UNIT
    sums = np.abs(np.eye(d) - inverse @ matrix).sum(axis=1)
    return np.asarray(sums * (1 + gamma) + gamma * (np.abs(inverse) @ np.abs(matrix).sum(axis=1)) + d * UNIT)


def _resolvent_bound(matrix: Matrix) -> float:
    """Bound ``||(I + s Y)^-1||`` for all complex s, |s| <= 1, with rounding; inf where nothing is proved.

    ``(I + Y)^-1 = (I - Y)(I + Y^2)(I + Y^4)(I - Y^8)^-1``: a small eighth power does, where Y itself is
    large.
    """
    gamma = 4 * (len(matrix) + 4) * UNIT
    power, wrong = matrix, 0.0
    size = float(np.abs(power).sum(axis=1).max())
    bound = 1.0 + size
    for _ in range(3):
        power = power @ power
        wrong = gamma * size**2 + 2 * size * wrong + wrong**2
        size = float(np.abs(power).sum(axis=1).max()) * (1 + gamma) + wrong
        bound *= 1.0 + size
    return bound / (1.0 + size) / (1.0 - size) if size < 0.5 else math.inf


def _argument(matrix: Matrix) -> float | None:
    """Return the sum of the principal arguments of I + E, all of them in the disc round 1; or None.

    It is the imaginary part of ``tr E - tr E^2 / 2 + tr E^3 / 3 - ...``, of which four terms and a bound of
    the rest tell it from its neighbours 2 pi away, and the argument of the determinant says it to rounding.
    """
    rest = matrix - np.eye(len(matrix))
    square = rest @ rest
    sizes = [float(np.linalg.norm(x)) for x in (rest, square)]
    fourth = sizes[1] ** 2
    left = (fourth * (sizes[0] + sizes[1] + sizes[0] * sizes[1]) + fourth**2) / (5 * (1 - min(fourth, 0.5)))
    if not (fourth < 0.5 and left < 1.0):
        return None
    terms = (
        np.trace(rest),
        -np.trace(square) / 2,
        (square * rest.T).sum() / 3,
        -(square * square.T).sum() / 4,
    )
    series = float(sum(terms).imag)
    principal = float(np.angle(np.linalg.slogdet(matrix)[0]))
    found = principal + 2 * math.pi * round((series - principal) / (2 * math.pi))
    return found if abs(found - series) < 1.1 + 1e-6 else None


class _ResidualWinding:
    """Arcs of the circle on which det(I + D M) provably keeps off 0, and how far its argument turns."""

    def __init__(self, layer: MultiHeadSymbol) -> None:
        self.channels, self.width = layer.channels, layer.width
        self.mixing = layer.w_in @ layer.w_out
        # The product is rounded once: a change of M that the proof carries along.
        rounding = (self.width + 2) * UNIT * (np.abs(layer.w_in) @ np.abs(layer.w_out))
        self.weight = np.abs(self.mixing).sum(axis=1) + rounding.sum(axis=1)
        self.rounding = rounding.sum(axis=1)
        n = max(len(a) for a in layer.heads)
        self.taps = np.zeros((len(layer.heads), n), complex)
        for row, a in zip(self.taps, layer.heads, strict=True):
            row[: len(a)] = a.kernel
        k = np.arange(n)
        self.k, self.size = k, np.abs(self.taps)
        self.bend = self.size @ k.astype(float) ** 2
        self.real = not self.taps.imag.any()

    def index(self, max_arcs: int) -> MatrixIndex:
        """Return the proved index, or an estimate where ``max_arcs`` are not enough."""
        start = np.linspace(0.0, math.pi if self.real else 2 * math.pi, 4 if self.real else 7)
        todo = list(pairwise(start.tolist()))
        turned, done = 0.0, 0
        while todo:
            lo, hi = todo.pop()
            done += 1
            if done > max_arcs or hi - lo < 1e-12:
                return self._estimate(f"no proof within {max_arcs} arcs")
            turn = self._turn(lo, hi)
            if turn is None:
                middle = (lo + hi) / 2
                todo += [(lo, middle), (middle, hi)]
            else:
                turned += turn
        turns = turned / (math.pi if self.real else 2 * math.pi)
        if abs(turns - round(turns)) > 1e-3:
            raise NumericalError(f"arguments of the determinant add up to {turns} turns, not to an integer")
        arcs = done * 2 if self.real else done
        return MatrixIndex(-round(turns), True, f"{arcs} arcs")

    def _values(self, theta: float) -> tuple[Matrix, NDArray[np.float64]]:
        powers = np.exp(1j * theta * self.k)
        values = self.taps @ powers
        # A power is off by 4 u (k |theta| + 1), a sum of n products by 2 n u of the sizes.
        wrong = self.size @ (4 * UNIT * (self.k * abs(theta) + self.k.size + 1.0))
        return values, wrong

    def _matrix(self, values: Matrix) -> Matrix:
        return np.eye(self.width) + np.repeat(values, self.channels)[:, None] * self.mixing

    def _turn(self, lo: float, hi: float) -> float | None:
        """Return the change of arg det over the arc, or None where nothing is proved."""
        centre, half = (lo + hi) / 2, (hi - lo) / 2
        values, wrong = self._values(centre)
        matrix = self._matrix(values)
        try:
            inverse = np.linalg.inv(matrix)
        except np.linalg.LinAlgError:
            return None
        slope = (self.taps * self.k) @ np.exp(1j * centre * self.k)
        # What the linear term leaves: curvature, and the rounding of values and of the slope.
        rest = half**2 / 2 * self.bend + 2 * wrong + half * wrong * self.k.size
        rest += half * np.abs(slope) * 4 * (self.width + 4) * UNIT
        moved = half * np.abs(slope) + rest
        spread = np.repeat(rest, self.channels) * self.weight
        spread += np.repeat(np.abs(values) + moved, self.channels) * self.rounding
        bound = _defect(inverse, matrix) + (np.abs(inverse) @ spread) * (1 + 4 * self.width * UNIT)
        linear = inverse @ (np.repeat(1j * half * slope, self.channels)[:, None] * self.mixing)
        if not float(bound.max()) * _resolvent_bound(linear) < _Q:
            return None
        ends = [_argument(inverse @ self._matrix(self._values(t)[0])) for t in (lo, hi)]
        return None if ends[0] is None or ends[1] is None else ends[1] - ends[0]

    def _estimate(self, why: str) -> MatrixIndex:
        """Wind the sampled determinant, twice as finely until no step is larger than a right angle."""
        points = 8 * self.k.size
        for _ in range(3):
            theta = np.linspace(0, 2 * math.pi, points, endpoint=False)
            signs = np.array([np.linalg.slogdet(self._matrix(self._values(t)[0]))[0] for t in theta])
            steps = np.angle(np.roll(signs, -1) * signs.conj())
            if np.abs(steps).max() < math.pi / 2:
                count = round(float(steps.sum()) / (2 * math.pi))
                return MatrixIndex(-count, False, f"estimate from {points} samples: {why}")
            points *= 2
        return MatrixIndex(None, False, f"{why}, and samples do not settle")
