"""How far the determinant of a small matrix polynomial turns over an interval, with proof."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[Any]
_MOST = 20_000  # pieces
_FIRST = 16


def determinant_turn(coefficients: Matrix, error: float, left: float, right: float) -> float | None:
    """Return the change of arg det S over real left <= s <= right; None where nothing is proved.

    S is any continuous matrix function within ``error`` of ``sum_j coefficients[j] s^j`` in the Frobenius
    norm. A piece with middle m, half-width h and R an approximate inverse of the polynomial P there holds if
    ``h ||R P'(m)|| + ||R|| (h^2 / 2 max ||P''|| + error) + ||I - R P(m)||`` is at most 1 / sqrt(k) and a
    little less, all norms Frobenius'. Then R S is I + Y on the piece with ``||Y|| < 1``, and the arguments of
    its eigenvalues, at most ``pi / 2 |eigenvalue of Y|`` each, add up to less than ``pi / 2 sqrt(k) ||Y|| <
    pi / 2``: between the ends, where P stands for S, the determinant turns by the principal argument.

    Parameters
    ----------
    coefficients : ndarray, shape (p + 1, k, k)
    error : float
    left, right : float
        Both in [-1, 1].

    Examples
    --------
    >>> turn = determinant_turn(np.array([[[0.25j]], [[1.0]]]), 1e-12, -1.0, 1.0)  # s + i / 4 passes above 0
    >>> round(turn, 6) == round(2 * math.atan(0.25) - math.pi, 6)
    True
    >>> determinant_turn(np.array([[[0.0]], [[1.0]]]), 1e-12, -1.0, 1.0) is None
    True
    """
    count, k = coefficients.shape[:2]
    j = np.arange(count)
    flat = coefficients.reshape(count, -1)
    slopes = flat[1:] * j[1:, None] if count > 1 else np.zeros_like(flat)
    sizes = np.linalg.norm(flat, axis=1)
    bend = float((sizes * (j * (j - 1))).sum()) / 2
    # Evaluation: at most p + 1 terms, each right to some 4 (p + 1) u, and a product with R.
    rounding = 8 * (count + k + 4) * 2.0**-53 * float((sizes * (1 + j)).sum())
    error, limit = error + rounding, 0.99 / math.sqrt(k)
    edges = np.linspace(left, right, _FIRST + 1)
    lo, hi = edges[:-1], edges[1:]
    ends, pieces = [edges[:1]], 0
    while lo.size:
        pieces += lo.size
        middle, half = (lo + hi) / 2, (hi - lo) / 2
        values, slope = _values(flat, middle, k), _values(slopes, middle, k)
        try:
            inverse = np.linalg.inv(values)
        except np.linalg.LinAlgError:
            return None
        size = _norms(inverse)
        off = _norms(inverse @ values - np.eye(k)) + half * _norms(inverse @ slope)
        good = off + size * (half**2 * bend + error) < limit
        if pieces > _MOST or not (size[~good] * error < limit / 4).all():
            return None
        ends.append(hi[good])
        width = (hi - lo)[~good] / 4
        lo = (lo[~good][:, None] + width[:, None] * np.arange(4)).ravel()
        hi = lo + np.repeat(width, 4)
    signs = np.linalg.slogdet(_values(flat, np.sort(np.concatenate(ends)), k))[0]
    return float(np.angle(signs[1:] * signs[:-1].conj()).sum())


def _values(flat: Matrix, s: NDArray[np.float64], k: int) -> Matrix:
    return (np.vander(s, len(flat), increasing=True) @ flat).reshape(-1, k, k)


def _norms(matrices: Matrix) -> NDArray[np.float64]:
    return np.linalg.norm(matrices.reshape(len(matrices), -1), axis=1)
