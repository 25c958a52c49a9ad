"""The smallest singular values of a section with high relative accuracy, at the price of a few products.

``G = J T^-1`` (J the reversal) is symmetric Hankel; its largest singular values are the inverses of T's
smallest. A few steps of elimination in many bits (`pivots`) take off what float64 cannot hold::

    G = L D L^T + E S E^T          L (n, k), S (m, m), m = n - k, E the last m columns of I

With L = Q R and P = I - Q Q^H, block power iteration finds the leading singular vectors U, V of
``P E S E^T P^T``, values s. In the bases [Q, U] and conj([Q, conj V]) the matrix G is, but for what the
iteration left over, ``Z diag(D', s) Z'^T`` with Z, Z' well conditioned, from which Jacobi's method gets every
value to nearly full relative accuracy (`graded`). U takes in whatever couples with D, so that what is left
out acts to second order (`_coupling`).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toeplitz_theory.errors import NumericalError
from toeplitz_theory.operators.matrix.elimination.graded import graded_log2
from toeplitz_theory.operators.matrix.elimination.pivots import LOST, Cut, Elimination, eliminate
from toeplitz_theory.operators.rounding import UNIT_ROUNDOFF, split_scale
from toeplitz_theory.threads import one_thread

_SURE = 16.0  # log2: elimination goes on until S is so near to the values wanted
_MOST = 24  # products of the block power iteration
_SETTLED = 1e-11
_LIFT = 2.0**10
_MOST_CUTS = 4
_ACCURATE = 1e-7
_CLIP = 400.0  # bits above S beyond which S does not touch a pivot

Matrix = NDArray[Any]


@one_thread()
def smallest_by_deflation(
    taps: NDArray[Any], count: int, bits: float, log2_norm: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return log10 of the ``count`` smallest singular values, descending, and their relative errors.

    Parameters
    ----------
    taps : ndarray, shape (n,)
        First column, first tap not zero.
    count : int
        How many: those below 1e6 n u ||T||, which float64 does not resolve.
    bits : float
        Upper bound of log2 of the condition number.
    log2_norm : float
        log2 of ||T||.

    Returns
    -------
    log10, error : ndarray, shape (count,), float64
        Errors to first order in u, normwise with LAPACK's constants; residuals included.

    Raises
    ------
    NumericalError
        If elimination or Jacobi's method fails.

    Examples
    --------
    >>> log10, error = smallest_by_deflation(np.array([1.0, -10.0] + [0.0] * 62), 1, 220.0, 3.5)
    >>> log10.round(6), bool(error[0] < 1e-10)
    (array([-63.004365]), True)
    """
    exponent = split_scale(taps)[1]
    wanted = -math.log2(taps.size * UNIT_ROUNDOFF * 1e6) - (log2_norm - exponent)  # of G's values
    factors = eliminate(taps, bits, count, wanted + _SURE, exponent)
    log2, error = np.zeros(count), np.full(count, np.inf)
    for cut in _best_cuts(factors, wanted)[:_MOST_CUTS]:
        other, wrong = _at_cut(factors, cut, count, wanted)
        # Each value from the cut that tells most about it.
        log2, error = np.where(wrong < error, other, log2), np.minimum(wrong, error)
        if error.max() <= _ACCURATE:
            break
    return (exponent - log2) * math.log10(2.0), error


def _at_cut(
    factors: Elimination, cut: Cut, count: int, wanted: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return log2 of G's ``count`` largest singular values, ascending, and their relative errors."""
    rest = Remainder(factors.lower[:, : cut.k], cut)
    above = 2.0 ** min(max(wanted - 1 - cut.exponent, -900.0), 500.0)
    rest.iterate(int(1.4 * max(count - cut.k, 0)) + 24, above)
    log2, error = _combine(factors, rest, above)
    if log2.size < count:
        raise NumericalError("fewer singular values were found below float64's noise than there are")
    log2 = log2[:count][::-1]
    settled = float(np.linalg.norm(rest.residuals[rest.values > above]))
    # What is absolute in S counts for more in values below it.
    return log2, error + (rest.noise + settled) * 2.0 ** np.minimum(cut.exponent - log2, 1000.0)


def _best_cuts(factors: Elimination, wanted: float) -> list[Cut]:
    """Return the cuts, those first that promise the least error: well parted, L well conditioned."""
    triangle = np.asarray(np.linalg.qr(factors.lower, mode="r"))

    def promise(cut: Cut) -> float:
        condition = float(np.linalg.cond(triangle[: cut.k, : cut.k])) if cut.k else 1.0
        above = min(cut.exponent - wanted, 500.0)
        noise = math.sqrt(factors.lower.shape[0] - cut.k) * 2.0**above
        coupling = 2.0 ** (-2.0 * max(above, -200.0) - 6.0) / UNIT_ROUNDOFF
        return condition + noise + (coupling if cut.k else 0.0)

    return sorted(factors.cuts, key=promise)


class Remainder:
    """``M = P E S E^T P^T``, scaled by 2**-cut.exponent, and its leading singular values.

    Attributes
    ----------
    corner, strip : ndarray, shapes (k, k) and (k, n)
        ``A S A^T`` and ``A S E^T P^T`` with ``A = Q^H E``: the other blocks of G.
    values, left, right : ndarray, shapes (p,), (n, p) and (n, p)
        After `iterate`: leading singular values, descending, and their vectors.
    residuals : ndarray, shape (p,)
        ``||M v - s u||``.
    noise : float
        Absolute error of what was computed: of S by running error analysis, of products m u ||S||_F.
    """

    def __init__(self, lower: Matrix, cut: Cut) -> None:
        self.cut = cut
        self.n, self.k = lower.shape
        self.basis, self.triangle = np.linalg.qr(lower)
        self.matrix, defect = _schur_complement(cut.column, lower[self.k :, -1] if self.k else None)
        m = self.n - self.k
        self.noise = defect + m * UNIT_ROUNDOFF * float(np.linalg.norm(self.matrix))
        lifted = np.zeros((self.n, self.k), self.matrix.dtype)
        lifted[self.k :] = self.matrix @ self.basis[self.k :].conj()
        self.corner = self.basis.conj().T @ lifted
        self.strip = self._project(lifted).T

    def iterate(self, size: int, wanted: float) -> None:
        """Find ``size`` leading singular values and more, until those above ``wanted`` have settled.

        Power iteration of x -> M conj(x), M being symmetric. The last basis takes in the rows of ``strip``,
        so that the pivots do not couple with its complement.
        """
        size = min(size, self.n - self.k)
        image = self._project(np.random.default_rng(0).standard_normal((self.n, size)))
        for _ in range(_MOST):
            basis = np.linalg.qr(image)[0]
            image = self._times(basis.conj())
            self._rayleigh_ritz(basis, image)
            if (self.residuals[self.values > wanted] <= max(_SETTLED * wanted, self.noise)).all():
                break
        more = self.strip.T - basis @ (basis.conj().T @ self.strip.T)
        basis = np.linalg.qr(np.hstack([basis, more]))[0][:, : self.n - self.k]
        self._rayleigh_ritz(basis, self._times(basis.conj()))

    def _rayleigh_ritz(self, basis: Matrix, image: Matrix) -> None:
        inside = basis.conj().T @ image
        u, self.values, vh = np.linalg.svd(inside)
        self.left, self.right = basis @ u, basis.conj() @ vh.conj().T
        self.residuals = np.linalg.norm((image - basis @ inside) @ vh.conj().T, axis=0)

    def _times(self, x: Matrix) -> Matrix:
        """Return M x."""
        y = x - self.basis.conj() @ (self.basis.T @ x)
        product = np.zeros((self.n, x.shape[1]), np.result_type(self.matrix, x))
        product[self.k :] = self.matrix @ y[self.k :]
        return self._project(product)

    def _project(self, x: Matrix) -> Matrix:
        """Return P x; twice, so that nothing of Q is left."""
        for _ in range(2):
            x = x - self.basis @ (self.basis.conj().T @ x)
        return x


def _schur_complement(r: Matrix, last: Matrix | None) -> tuple[Matrix, float]:
    """Return S (m, m) from its first column r, and a bound of its error in the Frobenius norm.

    ``S[i, j+1] = S[i+1, j] + r(i) l(j) - l(i) r(j)``, l the last column of L before, if there is one: the
    displacement of a Hankel matrix's Schur complement has rank 2.
    """
    m, u = r.size, UNIT_ROUNDOFF
    matrix = np.zeros((m, m), r.dtype)
    if m == 0:
        return matrix, 0.0
    matrix[:, 0] = r
    error, squares = 4 * u * np.abs(r), 0.0
    for j in range(m - 1):
        new = matrix[:, j + 1]
        new[:-1] = matrix[1:, j]
        error = np.append(error[1:], 0.0)
        if last is not None:
            new += r * last[j] - last * r[j]
            error += 8 * u * (np.abs(r) * abs(last[j]) + np.abs(last) * abs(r[j])) + u * np.abs(new)
        squares += float(error @ error)
    return matrix, math.sqrt(squares)


def _combine(factors: Elimination, rest: Remainder, wanted: float) -> tuple[NDArray[np.float64], float]:
    """Return log2 of the singular values of G in the bases found, descending, and their relative error."""
    k, p = rest.k, rest.values.size
    across, down = rest.strip @ rest.right, rest.left.conj().T @ rest.strip.T
    # Values in the noise are not wanted; made larger, they divide no noise.
    values = np.maximum(rest.values, rest.noise * _LIFT)
    columns, rows = across / values, down.T / values
    log2, left, right = _folded(factors, rest, rest.corner - columns @ down)
    zeros, one = np.zeros((p, k)), np.eye(p)
    z, w = np.block([[left, columns], [zeros, one]]), np.block([[right, rows], [zeros, one]])
    combined, error = graded_log2(z, np.concatenate([log2, np.log2(values)]), w)
    if k:
        error += (LOST + 4 * k * UNIT_ROUNDOFF) * float(np.linalg.cond(rest.triangle))
        off = rest.residuals + (values - rest.values)
        error += _coupling(log2, (left, across), (right, rows[:, values > wanted]), off, rest.noise, wanted)
    return combined + rest.cut.exponent, error


def _coupling(
    log2: NDArray[np.float64],
    upper: tuple[Matrix, Matrix],
    lower: tuple[Matrix, Matrix],
    off: NDArray[np.float64],
    noise: float,
    wanted: float,
) -> float:
    """Return what noise and residuals of the values not wanted do to the others through the pivots' block.

    With M = left diag(d) right^T that block and c_i a value's column of Z, noise in the blocks beside M
    changes a value s_i by ``2 s_i |M^-1 c_i| noise``; s_i meets a Ritz vector j, itself wrong by ``off``,
    by ``s_i c_i^T M^-1 c_j s_j``, and changes by the square of what that carries on.
    """
    # Half of diag(1/d) on either side, so that nothing overflows.
    weights = 2.0 ** np.maximum(-log2 / 2, -_CLIP)[:, None]
    beside = weights * np.linalg.solve(upper[0], upper[1]) * off
    below = weights * np.linalg.solve(lower[0], lower[1])
    first = 2 * noise * float(np.linalg.norm(np.linalg.solve(upper[0].T, weights * below)))
    on_values = float(np.linalg.norm(below.T @ beside)) / wanted
    on_pivots = float(np.linalg.norm(beside)) * 2.0 ** (-1.5 * min(float(log2.min()), 500.0))
    return min(first + on_values**2 + on_pivots**2, 1.0)


def _folded(
    factors: Elimination, rest: Remainder, extra: Matrix
) -> tuple[NDArray[np.float64], Matrix, Matrix]:
    """Write ``R (B_l diag(d) B_r^T) R^T + extra`` as ``left diag(2**log2) right^T``."""
    k = rest.k
    exponents = factors.exponents[:k] - rest.cut.exponent
    order = np.argsort(-(exponents + np.log2(np.abs(factors.mantissas[:k]))))
    exponents, mantissas = exponents[order], factors.mantissas[:k][order]
    left = (rest.triangle @ factors.left[:k, :k])[:, order]
    right = (rest.triangle @ factors.right[:k, :k])[:, order]
    # extra is of the size of S's smallest values: it touches the last pivots only, and those little.
    middle = np.linalg.solve(right, np.linalg.solve(left, extra).T).T
    middle += np.diag(mantissas * 2.0 ** np.minimum(exponents, _CLIP))
    lower, upper = np.eye(k, dtype=middle.dtype), np.eye(k, dtype=middle.dtype)
    for j in range(k):
        lower[j + 1 :, j] = middle[j + 1 :, j] / middle[j, j]
        upper[j + 1 :, j] = middle[j, j + 1 :] / middle[j, j]
        middle[j + 1 :, j + 1 :] -= np.outer(lower[j + 1 :, j], middle[j, j + 1 :])
    pivots = np.diag(middle)
    sizes = np.abs(pivots)
    log2 = np.where(exponents > _CLIP, exponents + np.log2(np.abs(mantissas)), np.log2(sizes))
    return log2, left @ lower * (pivots / sizes), right @ upper
