"""Polylogarithms on the closed unit disc, for arrays: what aliasing does to the logarithm of a zero."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import zeta

_NEAR = 0.5  # beyond this modulus the series about x = 1 is used
_POWERS = 60  # 0.5^60 = 9e-19
_TERMS = 90  # |log x| <= 3.22 there, and the terms fall like (|log x| / 2 pi)^k: 0.513^90 = 8e-27


def polylogs(log_x: NDArray[np.complex128], orders: int) -> NDArray[np.complex128]:
    """Return Li_1(x) .. Li_orders(x), Li_s(x) = sum_{l >= 1} x**l / l**s, at x = exp(log_x).

    Parameters
    ----------
    log_x : ndarray, shape (m,)
        Real parts at most 0, imaginary parts in [-pi, pi]; not 0.
    orders : int

    Returns
    -------
    ndarray, shape (orders, m)
        Right to some 1e-15. Inside half the disc by the definition; nearer to 1 by Lindeloef's series
        ``Li_s(e^w) = sum_{k != s - 1} zeta(s - k) w^k / k! + (H_{s - 1} - log(-w)) w^{s - 1} / (s - 1)!``.

    Examples
    --------
    >>> polylogs(np.array([np.log(0.5) + 0j]), 2).real.round(12).ravel()  # log 2, and pi^2/12 - log(2)^2/2
    array([0.69314718, 0.58224053])
    """
    out = np.empty((orders, log_x.size), dtype=complex)
    far = log_x.real < math.log(_NEAR)
    powers = np.exp(log_x[far] * np.arange(1, _POWERS + 1)[:, None])
    counts = np.arange(1, _POWERS + 1, dtype=float)
    w = log_x[~far]
    scaled = np.ones((_TERMS, w.size), dtype=complex)  # w^k / k!
    for k in range(1, _TERMS):
        scaled[k] = scaled[k - 1] * (w / k)
    for s in range(1, orders + 1):
        out[s - 1, far] = (counts**-s) @ powers
        if s == 1:
            out[0, ~far] = -np.log(-np.expm1(w))
            continue
        regular = np.arange(_TERMS) != s - 1
        weights = np.zeros(_TERMS)
        weights[regular] = zeta(s - np.arange(_TERMS, dtype=float)[regular])
        harmonic = sum(1.0 / j for j in range(1, s))
        out[s - 1, ~far] = weights @ scaled + scaled[s - 1] * (harmonic - np.log(-w))
    return out
