"""Columns of an elimination without pivoting, joined to blocks with moderate entries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import flint
import numpy as np
from numpy.typing import NDArray

from toeplitz_theory.errors import NumericalError
from toeplitz_theory.operators.sections.deep import float_log2

LOST = 2.0**-50  # relative radius at which the bits given were too few


class TooFewBits(NumericalError):
    """The working precision does not hold what is asked."""


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
            raise TooFewBits("a block of pivots is not told from a singular one")
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


def floats(numbers: list[Any]) -> tuple[NDArray[Any], float]:
    """Return the midpoints of balls in float64 or complex128, and their largest radius.

    Examples
    --------
    >>> values, radius = floats([flint.arb(1), flint.arb(1) / 3])
    >>> values.tolist(), radius < 1e-15
    ([1.0, 0.3333333333333333], True)
    """
    kind = complex if numbers and isinstance(numbers[0], flint.acb) else float
    radius = max((float(x.rad()) for x in numbers), default=0.0)
    return np.array([kind(x.mid()) for x in numbers]), radius


def log2_modulus(x: Any) -> float:
    """Return log2 of the modulus of a ball's midpoint; -inf for 0.

    Examples
    --------
    >>> log2_modulus(flint.arb(-8)), log2_modulus(flint.acb(0, 2) ** 2000)
    (3.0, 2000.0)
    """
    return float_log2(abs(x.mid()).mid())
