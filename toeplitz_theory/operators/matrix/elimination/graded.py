"""Singular values of ``X diag(d) Y^T`` to high relative accuracy, however far apart the d are.

Where X and Y are well conditioned every singular value is determined by them to u times their condition
numbers, and one-sided Jacobi finds it so (Demmel, Gu, Eisenstat, Slapnicar, Veselic, Drmac, Linear Algebra
Appl. 299, 1999): QR with pivoting of X diag(d), product with Y^T, Jacobi on the rows. LAPACK's ``dgejsv`` is
that Jacobi. Values further apart than float64's range are parted first: in orthonormal bases ordered by d
the matrix is ``R diag(d) R'^T`` with triangles R, R', where parts a factor 2^g apart influence each other
by 2^-g, relatively.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import scipy.linalg
from numpy.typing import NDArray
from scipy.linalg.lapack import dgejsv

from toeplitz_theory.errors import NumericalError
from toeplitz_theory.operators.rounding import UNIT_ROUNDOFF

_APART = 60.0  # bits between parts that are computed one by one
_RANGE = 800.0  # bits a part may span


def graded_log2(left: NDArray[Any], log2: NDArray[np.float64], right: NDArray[Any]) -> tuple[Any, float]:
    """Return log2 of the singular values of ``left diag(2**log2) right^T``, descending, and their error.

    Parameters
    ----------
    left, right : ndarray, shape (m, m)
        Real or complex, not singular.
    log2 : ndarray, shape (m,)

    Returns
    -------
    values : ndarray, shape (m,), float64
    error : float
        Relative error of the singular values, to first order in u: u times the condition numbers, and
        what parts owe each other.

    Raises
    ------
    NumericalError
        If Jacobi's method does not converge.

    Examples
    --------
    >>> values, error = graded_log2(np.eye(2), np.array([0.0, 3000.0]), np.eye(2))
    >>> values.tolist(), error < 1e-14
    ([3000.0, 0.0], True)
    """
    size = log2.size
    if size == 0:
        return np.zeros(0), 0.0
    order = np.argsort(-log2)
    log2 = log2[order]
    r = np.asarray(np.linalg.qr(left[:, order], mode="r"))
    s = np.asarray(np.linalg.qr(right[:, order], mode="r"))
    conditions = _condition(r), _condition(s)
    starts, gap = _parts(log2)
    parts = [
        _part(r[a:b, a:b], log2[a:b], s[a:b, a:b]) for a, b in zip(starts, [*starts[1:], size], strict=True)
    ]
    error = 4 * size * UNIT_ROUNDOFF * sum(conditions) + 2.0**-gap * conditions[0] * conditions[1]
    return np.sort(np.concatenate(parts))[::-1], error


def _condition(triangle: NDArray[Any]) -> float:
    """Return the condition number after the columns are scaled to norm 1."""
    return float(np.linalg.cond(triangle / np.linalg.norm(triangle, axis=0)))


def _parts(log2: NDArray[np.float64]) -> tuple[list[int], float]:
    """Return where parts of a descending sequence begin, and the narrowest gap between two."""
    gaps = -np.diff(log2)
    limit = _APART
    while True:
        starts = [0, *(np.flatnonzero(gaps > limit) + 1).tolist()]
        ends = [*starts[1:], log2.size]
        if all(log2[a] - log2[b - 1] <= _RANGE for a, b in zip(starts, ends, strict=True)):
            return starts, float(gaps[gaps > limit].min(initial=math.inf))
        limit -= 5.0  # the error says what that costs


def _part(left: NDArray[Any], log2: NDArray[np.float64], right: NDArray[Any]) -> NDArray[np.float64]:
    shift = math.floor((log2[0] + log2[-1]) / 2)
    _, r, pivots = scipy.linalg.qr(left * 2.0 ** (log2 - shift), mode="economic", pivoting=True)
    graded = right[:, pivots] @ r.T
    repeats = 1
    if np.iscomplexobj(graded):
        graded, repeats = np.block([[graded.real, -graded.imag], [graded.imag, graded.real]]), 2
    # 'C': columns of any scale, nothing taken for noise; no vectors.
    values, _, _, work, _, info = dgejsv(
        np.asfortranarray(graded), joba=0, jobu=3, jobv=3, jobr=0, jobt=0, jobp=0
    )
    if info != 0:
        raise NumericalError("Jacobi's method for the smallest singular values did not converge")
    values = np.sort(values * (work[0] / work[1]))[::-1][::repeats]
    with np.errstate(divide="ignore"):
        return np.asarray(np.log2(values) + shift)
