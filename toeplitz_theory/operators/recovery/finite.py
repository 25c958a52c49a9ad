r"""The recovery curve of a finite causal matrix: exact least squares, nothing before the beginning.

``y = M x + s v`` with M lower triangular, x and v white, x of unit variance. Outputs 0 .. p + L recover of
x[p] the share

    R(L) = m^H (M_k M_k^H + s^2 I)^-1 m,  m = M_k e_p,  M_k the first k = p + L + 1 rows,

and with the Cholesky factor C of ``M M^H + s^2 I`` they come for all delays at once:
R(L) = sum_{i <= p + L} |(C^-1 M e_p)_i|^2.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from toeplitz_theory.errors import InputError, NumericalError
from toeplitz_theory.operators.matrix.information_limit import check_snr
from toeplitz_theory.operators.recovery.results import Recovery
from toeplitz_theory.operators.rounding import UNIT_ROUNDOFF, split_scale

_CONSTANT = 8.0  # of the backward errors, in n u: usual, not proved


def matrix_recovery(matrix: NDArray[Any], snr: float, position: int | None) -> Recovery:
    """Return the curve of one input of a lower-triangular matrix, in O(n^3) operations and O(n^2) memory.

    With the QR factors of ``A = [M^H; s I]``, A^H A = M M^H + s^2 I, and C^-1 M e_p is Q^H of the p-th unit
    vector: nothing is squared, and the shares are sums of squares of a row of Q.
    """
    n = len(matrix)
    place = _place(position, n)
    scaled, noise = _channel(matrix, snr)
    stacked = np.concatenate([scaled.conj().T, noise * np.eye(n)])
    size = float(np.linalg.norm(stacked))
    q = scipy.linalg.qr(stacked, mode="economic", overwrite_a=True, check_finite=False)[0]
    # A backward error E turns the span of the first k columns by ||E|| / sigma_min(A) at most, >= noise.
    error = 2.0 * _CONSTANT * n * UNIT_ROUNDOFF * size / noise
    return _result(np.abs(q[place]) ** 2, place, snr, error, "QR factorisation")


def section_recovery(taps: NDArray[Any], snr: float, position: int | None) -> Recovery:
    """Return the curve of one input of a Toeplitz section, in O(n^2) operations and O(n) memory.

    Schur's algorithm gives the columns of the Cholesky factor one by one (`half_log2_det`), and each is used
    up at once by forward substitution.
    """
    n = taps.size
    place = _place(position, n)
    scaled, noise = _channel(taps, snr)
    channel = scaled / noise
    first = np.zeros(n, dtype=taps.dtype)
    first[0] = 1.0
    second = channel.copy()
    right = np.zeros(n, dtype=taps.dtype)
    right[place:] = channel[: n - place]
    energy = np.zeros(n)
    for k in range(n):
        x, y = first[0], second[0]
        pivot = math.hypot(abs(x), abs(y))
        column = (np.conj(x) * first + np.conj(y) * second) / pivot
        value = right[0] / pivot
        energy[k] = abs(value) ** 2
        right = right[1:] - value * column[1:]
        second = (x * second[1:] - y * first[1:]) / pivot
        first = column[:-1]
    norm = 1.0 + float(np.abs(channel).sum()) ** 2
    return _result(energy, place, snr, _CONSTANT * n * UNIT_ROUNDOFF * norm, "Schur's algorithm")


def _channel(weights: NDArray[Any], snr: float) -> tuple[NDArray[Any], float]:
    """Return the weights scaled by a power of two, and the noise's standard deviation in these units."""
    if snr == math.inf:
        raise InputError(
            "snr is inf: without noise a nonsingular triangular matrix gives every input back at once; "
            "pass a finite snr, or ask the Symbol for the curve of long sequences"
        )
    check_snr(snr)
    scaled, exponent = split_scale(weights)
    if not -400 < exponent + 0.5 * math.log2(snr) < 400:
        raise NumericalError("snr * weight**2 leaves float64's range: scale the weights or change snr")
    return scaled, math.ldexp(1.0 / math.sqrt(snr), -exponent)


def _place(position: int | None, n: int) -> int:
    if position is None:
        return n // 2
    whole = isinstance(position, (int, np.integer)) and not isinstance(position, (bool, np.bool_))
    if not whole or not 0 <= position < n:
        raise InputError(f"position is {position!r}: pass an integer from 0 to {n - 1}")
    return int(position)


def _result(energy: NDArray[np.float64], place: int, snr: float, error: float, method: str) -> Recovery:
    # Outputs before the input hold nothing of it.
    curve = np.minimum(np.cumsum(energy[place:]), 1.0)
    limit, error = float(curve[-1]), min(1.0, error)
    steps = np.diff(curve, prepend=0.0)
    mean_delay = float((np.arange(curve.size) * steps).sum() / limit) if limit > 0.0 else None
    return Recovery(curve, error, (limit, error), mean_delay, False, float(snr), method)
