"""Singular values below float64's noise: bidiagonalisation of the inverse in as many bits as they need."""

from __future__ import annotations

import math
from typing import Any

import flint
import numpy as np
from numpy.typing import NDArray

from toeplitz_theory.errors import NumericalError
from toeplitz_theory.operators.bits import TooFewBits, balls, float_log2, precision
from toeplitz_theory.operators.kernels import Kernel
from toeplitz_theory.operators.rounding import split_scale

MOST_WORK = 5e10  # steps^2 n bits: a minute or two
_GUARD = 128  # bits beyond the spread of the values
_ACCURATE = 1e-7
_SPARE = 64
_DECOUPLED = 40  # bits: a coupling this far below what remains is set to 0, and counted as an error
_TOO_FEW_BITS = "the {} smallest singular values differ by more than the bits given hold"


def smallest_values(
    taps: Kernel, count: int, bits: float, most_work: float = MOST_WORK
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return log10 of the ``count`` smallest singular values, descending, and their relative errors.

    Golub-Kahan bidiagonalisation of T^-1 (products by power series) with full reorthogonalisation, in
    arithmetic of twice ``bits`` and some guard bits, so that nothing drowns in rounding.
    After k steps T^-1 is orthogonally equivalent to ``[[B, beta e_k e_1^T], [0, B']]``, and the Frobenius
    norms give ``||B'||_F``: by Weyl, values of B above ``||B'||_F + beta`` are as many of the largest of
    T^-1, each to within its residual.
    The working precision's own rounding (2**-128 relative) is not tracked.

    Parameters
    ----------
    taps : ndarray, shape (n,)
        First tap not zero.
    count : int
        How many; those whose ratio to the next larger one is near 1 cost extra steps.
    bits : float
        Upper bound of log2 of the ratio of the values wanted: at most log2(condition number).
    most_work : float
        Steps squared, times n, times bits, after which it gives up.

    Raises
    ------
    TooFewBits
        If the values found differ by more.
    NumericalError
        If they lie too close together, or so many are wanted, that it would take more work.

    Examples
    --------
    >>> log10, error = smallest_values(np.array([1.0, -10.0] + [0.0] * 62), 1, 220.0)
    >>> log10.round(6), bool(error[0] < 1e-10)
    (array([-63.004365]), True)
    """
    exponent = split_scale(taps)[1]
    most = math.isqrt(int(most_work / (taps.size * bits)))  # steps
    if count > most:
        raise NumericalError(f"the {count} smallest singular values in {bits:.0f} bits are too much work")
    # Squares appear in Frobenius norms and in B B^T: twice the spread.
    with precision(int(2 * bits) + _GUARD, terms=taps.size):
        values, errors = _Bidiagonal(balls(taps, -exponent), bits).run(count, most)
    return np.array([-value for value in values[::-1]]) + exponent * math.log10(2.0), errors[::-1]


class _Bidiagonal:
    """Golub-Kahan on the inverse; vectors are lists of exact FLINT numbers."""

    def __init__(self, taps: list[Any], bits: float) -> None:
        self.n, self.bits = len(taps), bits
        self.is_complex = isinstance(taps[0], flint.acb)
        self.kind = flint.acb_series if self.is_complex else flint.arb_series
        self.matrix = flint.acb_mat if self.is_complex else flint.arb_mat
        self.inverse = self.kind(_middles(self.kind(taps, self.n).inv(), self.n), self.n)
        # ||T^-1||_F^2
        sizes = [_square(self.inverse[k]) * (self.n - k) for k in range(self.n)]
        self.remaining = sum(sizes, flint.arb(0))
        self.random = np.random.default_rng(0)
        self.neglected = -math.inf  # log2 of the largest coupling set to 0

    def run(self, count: int, most: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        right: list[list[Any]] = []
        left: list[list[Any]] = []
        diagonal: list[Any] = []
        off: list[Any] = []
        vector, _ = self._normalise(self._fresh([]))
        work = 0
        for k in range(self.n):
            right.append(vector)
            image = self._multiply(vector)
            if k:
                image = self._subtract(image, off[-1], left[-1])
            image, alpha = self._normalise(self._clean(image, left))
            left.append(image)
            diagonal.append(alpha)
            vector = self._clean(self._subtract(self._adjoint(image), alpha, vector), right)
            vector, beta = self._normalise(vector)
            self.remaining -= alpha * alpha + beta * beta
            last = k + 1 == self.n
            ends = last or k >= min(4 * count + _SPARE, most)
            work += k * self.n
            # The eigenvalues of k steps are about 3 k^3 products: seldom enough to double the work at most.
            if ends or (k + 1 >= count + 2 and work >= 3 * k**3):
                work = 0
                values = self._values(diagonal, off, flint.arb(0) if last else beta, count)
                if values is not None:
                    return values
            if ends:
                break
            if float_log2(beta) < float_log2(self.remaining.mid()) / 2 - _DECOUPLED:
                # A value met twice (as for a(z) = f(z^2)): one start vector sees it once. Start another.
                self.neglected = max(self.neglected, float_log2(beta))
                vector, beta = self._normalise(self._fresh(right))[0], flint.arb(0)
            off.append(beta)
        raise NumericalError(f"the {count} smallest singular values did not separate: ask for fewer")

    def _fresh(self, basis: list[list[Any]]) -> list[Any]:
        kind = flint.acb if self.is_complex else flint.arb
        return self._clean([kind(x) for x in self.random.standard_normal(self.n).tolist()], basis)

    def _values(
        self, diagonal: list[Any], off: list[Any], beta: Any, count: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
        """Return log10 of the ``count`` largest values of B, descending, or None if they are not settled."""
        k = len(diagonal)
        tail = float_log2(self.remaining.mid()) / 2 if k < self.n else -math.inf
        drift = float_log2(beta)
        edge = max(tail, drift, self.neglected) + 1.0  # log2 of at least ||B'|| + beta
        # The count-th value is at most the norm of B without its count - 1 largest rows.
        rows = [float_log2(max(pair)) for pair in zip(diagonal, [*off, flint.arb(0)], strict=True)]
        highest, reached = max(rows), sorted(rows)[-count] + 1.0
        if reached < highest - self.bits:
            raise TooFewBits(_TOO_FEW_BITS.format(count))
        if edge >= reached:
            return None
        product = flint.acb_mat(k, k)
        for i in range(k):
            product[i, i] = diagonal[i] * diagonal[i] + (off[i] * off[i] if i < k - 1 else 0)
            if i:
                product[i, i - 1] = product[i - 1, i] = off[i - 1] * diagonal[i]
        squares, vectors = product.eig(right=True, algorithm="approx")
        ranked = sorted(range(k), key=lambda i: float_log2(squares[i].real.mid()), reverse=True)[:count]
        logs = np.array([float_log2(squares[i].real.mid()) / 2 for i in ranked])
        if not logs[0] - logs[-1] <= self.bits:
            raise TooFewBits(_TOO_FEW_BITS.format(count))
        # ||T^-H u - sigma v|| = beta |u_k| bounds the distance of sigma from a singular value of T^-1.
        last = np.array([_last_component(vectors, i, k) for i in ranked])
        errors = 2.0 ** np.minimum(drift + last - logs, 0.0) + 2.0**-50
        errors += 2.0 ** np.minimum(self.neglected - logs, 0.0)
        if logs[-1] <= edge or errors.max() > _ACCURATE:
            return None
        return logs * math.log10(2.0), errors

    def _multiply(self, vector: list[Any]) -> list[Any]:
        return _middles(self.kind(vector, self.n) * self.inverse, self.n)

    def _adjoint(self, vector: list[Any]) -> list[Any]:
        return _conjugate(self._multiply(_conjugate(vector)[::-1]))[::-1]

    def _subtract(self, vector: list[Any], factor: Any, other: list[Any]) -> list[Any]:
        return [(x - factor * y).mid() for x, y in zip(vector, other, strict=True)]

    def _clean(self, vector: list[Any], basis: list[list[Any]]) -> list[Any]:
        """Orthogonalise against ``basis``.

        Once: what cancels costs at most the spread of the values, and the precision is twice that.
        """
        if not basis:
            return vector
        rows = self.matrix(basis)
        adjoint = self.matrix([_conjugate(row) for row in basis]) if self.is_complex else rows
        column = self.matrix([[x] for x in vector])
        projected = rows.transpose() * (adjoint * column)
        return [(x - projected[i, 0]).mid() for i, x in enumerate(vector)]

    def _normalise(self, vector: list[Any]) -> tuple[list[Any], Any]:
        size = sum((_square(x) for x in vector), flint.arb(0)).sqrt().mid()
        if size == 0:
            return vector, size
        return [(x / size).mid() for x in vector], size


def _middles(series: Any, n: int) -> list[Any]:
    return [series[k].mid() for k in range(n)]


def _conjugate(vector: list[Any]) -> list[Any]:
    return [x.conjugate() if isinstance(x, flint.acb) else x for x in vector]


def _last_component(vectors: Any, column: int, k: int) -> float:
    """Return log2 of the modulus of the last component of a column, relative to the column's norm."""
    sizes = [_square(vectors[i, column].mid()) for i in range(k)]
    return (float_log2(sizes[-1].mid()) - float_log2(sum(sizes, flint.arb(0)).mid())) / 2


def _square(x: Any) -> Any:
    return x.real * x.real + x.imag * x.imag if isinstance(x, flint.acb) else x * x
