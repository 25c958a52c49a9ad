"""The deep part of an inverse: a few steps of Gaussian elimination on a Hankel matrix, in many bits.

With J the reversal, ``G = J T^-1`` is a Hankel matrix, ``G[i, j] = g_{i+j}``, of the reversed power series of
1 / a: its entries decay from the corner, as far as the zeros of a lie inside the circle. Elimination from
the corner therefore meets the largest singular values of G, the smallest of T, first, and what remains soon
is of moderate size: ``G = L D L^T + S_k``.

Chebyshev's algorithm does a step in O(n). With ``r_k(i) = <p_k, z^i>`` for the orthogonal polynomials p_k of
the moments g, and h_k = r_k(k)::

    r_{k+1}(i) = r_k(i+1) - alpha_k r_k(i) - beta_k r_{k-1}(i)
    alpha_k = r_k(k+1) / h_k - r_{k-1}(k) / h_{k-1},   beta_k = h_k / h_{k-1}

L has the columns r_k / h_k, D the pivots h_k, and r_k is the first column of S_k. (Golub and Meurant,
Matrices, Moments and Quadrature, chapter 5.) Nothing is pivoted, so a small pivot makes a large column of L:
columns around it are joined to a block ``L_b D_b L_b^T = N W N^T`` with N moderate, W factored with complete
pivoting. All of it in ball arithmetic, which says whether the bits were enough.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import flint
import numpy as np
from numpy.typing import NDArray

from toeplitz_theory.errors import NumericalError
from toeplitz_theory.operators.bits import TooFewBits, balls, floats, log2_modulus, precision

LOST = 2.0**-50  # relative radius at which the bits given were too few
_MODERATE = 32.0  # the largest entry of a column of L that stands alone
_WINDOW = 6  # columns joined at most
_MOST_GUARD = 20_000
_PERTURBED = -64  # log2 of what is added to G's entries where a pivot vanishes; wanted values exceed 2**10


def eliminate(taps: NDArray[Any], bits: float, count: int, floor: float, exponent: int = 0) -> Elimination:
    """Eliminate until what remains of ``J T^-1`` is below ``2**floor``.

    Parameters
    ----------
    taps : ndarray, shape (n,)
        First column of T, first tap not zero; it is taken times ``2**-exponent``.
    bits : float
        At least log2 of the condition number of T.
    count : int
        Number of values thought to be above ``2**floor``: sets the first guess of the bits needed.
    floor : float
    exponent : int
        That of the largest tap.

    Raises
    ------
    NumericalError
        If pivots vanish again and again.

    Examples
    --------
    >>> factors = eliminate(np.array([1.0, -4.0, 0.0]), 8.0, 1, 3.0)  # 1 / a = 1 + 4 z + 16 z^2
    >>> (factors.mantissas * 2.0**factors.exponents).tolist(), factors.lower[:, 0].tolist()
    ([16.0], [1.0, 0.25, 0.0625])
    """
    guard, perturb = 128 + 6 * count, False
    while guard <= _MOST_GUARD:
        try:
            with precision(int(max(bits, 0)) + guard, terms=taps.size):
                return _Run(_moments(balls(taps, -exponent), perturb), guard).run(floor, 3 * count + 64)
        except TooFewBits:
            guard *= 2
        except ZeroDivisionError:
            guard, perturb = 2 * guard, True
    raise NumericalError("elimination from the corner of the inverse meets vanishing pivots")


def _moments(taps: list[Any], perturb: bool) -> list[Any]:
    """Return g_0 ... g_{n-1}, and a zero."""
    n = len(taps)
    kind = flint.acb_series if isinstance(taps[0], flint.acb) else flint.arb_series
    inverse = kind(taps, n).inv()
    moments = [inverse[n - 1 - m] for m in range(n)]
    if perturb:
        random = np.random.default_rng(0).standard_normal(n).tolist()
        tiny = flint.arb(2) ** _PERTURBED
        moments = [g + tiny * x for g, x in zip(moments, random, strict=True)]
    return [*moments, inverse[0] * 0]


class _Run:
    """One try, in ``guard`` bits more than the size of what remains."""

    def __init__(self, moments: list[Any], guard: int) -> None:
        self.n = len(moments) - 1
        self.guard = guard
        self.zero = moments[-1]
        self.rows, self.before = moments, [self.zero] * (self.n + 1)  # r_k and r_{k-1}
        self.pivots: list[Any] = []
        self.waiting: list[list[Any]] = []  # columns of L not yet in a block
        self.blocks: list[Block] = []
        self.cuts: list[Cut] = []

    def run(self, floor: float, most: int) -> Elimination:
        size = self._size(0)
        self._cut(0, size)
        for k in range(min(self.n, most)):
            if size < floor and not self.waiting:
                break
            self.waiting.append(self._step(k))
            size = self._size(k + 1)
            flint.ctx.prec = int(max(size, 0.0)) + self.guard
            self._join(k + 1)
            if not self.waiting and not self._cut(k + 1, size):
                break
        return self._result()

    def _size(self, k: int) -> float:
        """Return log2 of the largest entry of r_k."""
        return max((log2_modulus(x) for x in self.rows[k : self.n]), default=-math.inf)

    def _step(self, k: int) -> list[Any]:
        """Eliminate column k, and return it as a column of L, from row k on."""
        r, before, n = self.rows, self.before, self.n
        pivot = r[k]
        if pivot == 0:
            raise ZeroDivisionError
        if pivot.contains(0):
            raise TooFewBits("a pivot is indistinguishable from 0")
        inverse = 1 / pivot
        alpha, beta = r[k + 1] * inverse, self.zero
        if k:
            alpha, beta = alpha - before[k] / self.pivots[-1], pivot / self.pivots[-1]
        self.rows = [r[i + 1] - alpha * r[i] - beta * before[i] for i in range(n)] + [self.zero]
        self.before = r
        self.pivots.append(pivot)
        return [x * inverse for x in r[k:n]]

    def _join(self, k: int) -> None:
        """Put waiting columns into blocks, as few together as keeps their entries moderate."""
        while self.waiting:
            start = k - len(self.waiting)
            best = None
            for size in range(1, min(len(self.waiting), _WINDOW) + 1):
                block = join(self.waiting[:size], self.pivots[start : start + size])
                best = block if best is None or block.largest < best.largest else best
                if block.largest <= _MODERATE:
                    break
            if best is None or (best.largest > _MODERATE and len(self.waiting) < _WINDOW and k < self.n):
                return
            if best.radius > LOST:
                raise TooFewBits("columns of the elimination are not known well enough")
            self.blocks.append(best)
            del self.waiting[: best.size]

    def _cut(self, k: int, size: float) -> bool:
        """Note that elimination may stop after k steps; whether the bits left are enough to go on."""
        exponent = int(max(size, -1e6)) if k < self.n else 0
        scale = flint.arb(2) ** -exponent
        column, radius = floats([x * scale for x in self.rows[k:]])  # and the zero after them
        if radius > LOST:
            if not self.cuts:
                raise TooFewBits("the bits given do not hold the inverse")
            return False
        self.cuts.append(Cut(k, column[:-1], exponent))
        return size > -math.inf

    def _result(self) -> Elimination:
        m, dtype = sum(block.size for block in self.blocks), floats([self.zero])[0].dtype
        lower, left, right = np.zeros((self.n, m), dtype), np.zeros((m, m), dtype), np.zeros((m, m), dtype)
        mantissas, exponents = np.zeros(m, dtype), np.zeros(m, np.int64)
        k = 0
        for block in self.blocks:
            here = slice(k, k + block.size)
            lower[k:, here] = block.columns
            left[here, here], right[here, here] = block.left, block.right
            mantissas[here], exponents[here] = block.mantissas, block.exponents
            k += block.size
        return Elimination(lower, left, right, mantissas, exponents, self.cuts)


@dataclass(frozen=True)
class Elimination:
    """``G = lower left diag(mantissas 2**exponents) right^T lower^T + S_k``, to ``LOST``.

    Attributes
    ----------
    lower : ndarray, shape (n, m)
        Unit lower trapezoidal in blocks, moderate entries.
    left, right : ndarray, shape (m, m)
        Block diagonal; 1 where no columns were joined.
    mantissas : ndarray, shape (m,)
        Moduli in [1/2, 1); real or complex.
    exponents : ndarray, shape (m,), int64
    cuts : list of Cut
        Every k <= m at which a block ends.
    """

    lower: NDArray[Any]
    left: NDArray[Any]
    right: NDArray[Any]
    mantissas: NDArray[Any]
    exponents: NDArray[np.int64]
    cuts: list[Cut]


@dataclass(frozen=True)
class Cut:
    """Where elimination may stop: after ``k`` steps, with ``S_k[k:, 0] = column * 2**exponent``."""

    k: int
    column: NDArray[Any]  # (n - k,); largest entry near 1
    exponent: int


@dataclass(frozen=True)
class Block:
    """``columns left diag(mantissas 2**exponents) right^T columns^T`` stands for ``L D L^T`` of some columns.

    ``columns`` has shape (rows, size), its first ``size`` rows being the identity; ``radius``
    bounds the error of its entries.
    """

    columns: NDArray[Any]
    radius: float
    left: NDArray[Any]
    right: NDArray[Any]
    mantissas: NDArray[Any]
    exponents: NDArray[np.int64]

    @property
    def size(self) -> int:
        return self.columns.shape[1]

    @property
    def largest(self) -> float:
        """Largest modulus in ``columns``."""
        return float(np.abs(self.columns).max())


def join(columns: list[list[Any]], pivots: list[Any]) -> Block:
    """Join columns of L, the first from its pivot's row on, each next one row later.

    With ``top`` the unit triangle of the first rows, ``L D L^T = N (top D top^T) N^T``, ``N = L top^-1``.

    Examples
    --------
    >>> one, tiny = flint.arb(1), flint.arb(2) ** -20
    >>> block = join([[one, 1 / tiny, one], [one, tiny]], [tiny, -1 / tiny])  # of [[tiny, 1], [1, 0]]
    >>> block.columns[:2].tolist(), block.largest, block.exponents.tolist()
    ([[1.0, 0.0], [0.0, 1.0]], 1.0, [1, 1])
    """
    size, rows = len(columns), len(columns[0])
    zero = pivots[0] * 0
    full = [[zero] * j + column for j, column in enumerate(columns)]
    top = [[full[j][i] for j in range(size)] for i in range(size)]
    moderate: list[list[Any]] = full.copy()
    for j in reversed(range(size)):
        for i in range(j + 1, size):
            factor, other = top[i][j], moderate[i]
            moderate[j] = [x - factor * y for x, y in zip(moderate[j], other, strict=True)]
    converted = [floats(column) for column in moderate]
    radius = max(radius for _, radius in converted)
    array = np.array([values for values, _ in converted]).T.reshape(rows, size)
    array[:size] = np.eye(size)
    matrix = [
        [sum((top[i][l] * pivots[l] * top[j][l] for l in range(size)), zero) for j in range(size)]
        for i in range(size)
    ]
    return Block(array, radius, *_complete_pivoting(matrix))


def _complete_pivoting(
    matrix: list[list[Any]],
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[np.int64]]:
    """Factor a small matrix as ``left diag(mantissas 2**exponents) right^T`` with moderate triangles."""
    size = len(matrix)
    dtype = np.complex128 if isinstance(matrix[0][0], flint.acb) else np.float64
    left, right = np.zeros((size, size), dtype), np.zeros((size, size), dtype)
    mantissas, exponents = np.zeros(size, dtype), np.zeros(size, np.int64)
    rows, columns = list(range(size)), list(range(size))
    for step in range(size):
        p, q = max(((i, j) for i in rows for j in columns), key=lambda at: log2_modulus(matrix[at[0]][at[1]]))
        pivot = matrix[p][q]
        if pivot.contains(0):
            raise TooFewBits("a block of pivots is indistinguishable from a singular one")
        exponents[step] = exponent = int(np.floor(log2_modulus(pivot))) + 1
        scale = flint.arb(2) ** -exponent
        mantissas[step] = floats([pivot * scale])[0][0]
        for side, line in ((left, [matrix[i][q] for i in rows]), (right, [matrix[p][j] for j in columns])):
            values, radius = floats([x / pivot for x in line])
            if radius > LOST:
                raise TooFewBits("a block of pivots is not known well enough")
            side[rows if side is left else columns, step] = values
        rows.remove(p)
        columns.remove(q)
        for i in rows:
            factor = matrix[i][q] / pivot
            for j in columns:
                matrix[i][j] = matrix[i][j] - factor * matrix[p][j]
    return left, right, mantissas, exponents
