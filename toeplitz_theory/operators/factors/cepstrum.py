"""The outer factor from the cepstrum, with the aliasing of the zeros next to the circle taken out exactly.

``log|a(e^{i theta})|`` has Fourier coefficients c_k, and the outer factor is
``exp(c_0 + 2 sum_{k>0} c_k z^k)``: the cepstrum folded (Oppenheim, Schafer, Discrete-Time Signal Processing,
ch. 13). From samples on the N nodes ``2 pi (m + s) / N`` the coefficients come out aliased. A zero that, or
whose mirror image, is 1/q outside the circle contributes c_k = -q^k / 2k, so the aliases of this one zero are
known in closed form: with x = q^N e^{2 pi i s}

    -1/2 ( q^k sum_{l>0} x^l / (lN + k) + conj(q^-k sum_{l>0} x^l / (lN - k)) )
    = -1/2N sum_p ( q^k (-k/N)^p Li_{p+1}(x) + conj(q^-k (k/N)^p Li_{p+1}(x)) ).

Zeros with |q|^N < 5e-18 need no correction; the others are those of `zeros_in_band`, each in a proved disc.
So a zero on the circle itself is no obstacle, and N stays a fixed multiple of n.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from scipy.special import zeta

from toeplitz_theory.operators.circle.near_circle import Band, zeros_in_band
from toeplitz_theory.operators.kernels import Kernel, Scaled
from toeplitz_theory.operators.product import fast_length

_DECAY = 40.0  # e^-40 < 5e-18
_RATIO = 16  # nodes per arc: the band is then 0.80 half-widths of an arc, of which the zeros can be found
_SHIFTS = 32  # places of the nodes tried, to keep them off the zeros
_FOLD = 32  # points per tap of the series' exponential
_NODES_PER_TAP = 4
_TAYLOR = 20  # terms of e^w, |w| <= 1.01: 1.01^20 / 20! = 5e-19


def by_cepstrum(scaled: Scaled, oversample: int = 4) -> tuple[Kernel, bool] | None:
    """Return the taps of the outer factor of ``scaled``, and whether zeros near the circle form a cluster.

    None if the zeros near the circle elude proof. A cluster (zeros closer than float64 taps define them)
    leaves |a| intact but not its phase: ``1 - z**2`` added to ``(1 - z)**2`` changes the modulus to second
    order only, so from the modulus alone the factor next to a double zero is known to sqrt(u).
    """
    coefficients = cepstrum(scaled, oversample)
    if coefficients is None:
        return None
    return exponential(coefficients[0], bool(np.iscomplexobj(scaled.values))), coefficients[1]


def cepstrum(scaled: Scaled, oversample: int) -> tuple[NDArray[np.complex128], bool] | None:
    """Return c_0 .. c_{n-1} of log|a|, and whether zeros near the circle form a cluster; None as above."""
    n = scaled.values.size
    count = 1 << max(4, math.ceil(math.log2(oversample * n)))  # arcs, as in ArcGrid
    points = _RATIO * count
    band = zeros_in_band(scaled, _DECAY / points, oversample)
    if band is None:
        return None
    place = 0.5 * _RATIO * (band.u.real + 1j * np.abs(band.u.imag))  # of each zero, in steps between nodes
    shift = _quiet_shift(place)
    logs = _log_modulus(scaled.values, points, shift)
    if logs is None:
        return None
    turn = np.exp(-2j * np.pi * (np.arange(n) * (shift / points)))
    coefficients = scipy.fft.fft(logs)[:n] * turn / points
    coefficients -= _aliases(band, place, n, points, shift)
    return coefficients, bool((band.multiplicity > 1).any())


def _quiet_shift(place: NDArray[np.complex128]) -> float:
    """Return s in [0, 1) such that no zero is close to a node m + s: there log|a| would be all rounding."""
    shifts = np.arange(_SHIFTS) / _SHIFTS
    gap = place.real[None, :] - shifts[:, None]
    gap -= np.round(gap)
    nearest = np.hypot(gap, place.imag[None, :]).min(axis=1, initial=math.inf)
    return float(shifts[int(np.argmax(nearest))])


def _log_modulus(taps: Kernel, points: int, shift: float) -> NDArray[np.float64] | None:
    turned = taps * np.exp(2j * np.pi * (np.arange(taps.size) * (shift / points)))
    size = np.abs(scipy.fft.ifft(turned, points, norm="forward"))
    return np.log(size) if bool((size > 0).all()) else None


def _aliases(
    band: Band, place: NDArray[np.complex128], n: int, points: int, shift: float
) -> NDArray[np.complex128]:
    """Return what aliasing added to c_0 .. c_{n-1}."""
    if not band.u.size:
        return np.zeros(n, dtype=complex)
    orders = 1 + math.ceil(40.0 / math.log(points / n))  # (n / N)^orders < e^-40
    # log x = N log q + 2 pi i s, its imaginary part reduced; N log q = -2 pi (i place.real + place.imag).
    cycles = shift - place.real
    log_x = -2.0 * np.pi * place.imag + 2j * np.pi * (cycles - np.round(cycles))
    series = polylogs(log_x, orders) * band.multiplicity  # (orders, m)
    series *= ((n / points) ** np.arange(orders))[:, None]
    # q^k = node^k e^(k gap) with the nearest of `size` nodes: of powers (k / n)^r only the weights depend on
    # the zeros, and one FFT sums each over the nodes. |k gap| <= hypot(40 n / N, pi / 4) < 1.01.
    size = fast_length(_NODES_PER_TAP * n)
    node = np.round(place.real * (size / points)).astype(np.int64)
    gap = -2.0 * np.pi * n * (place.imag / points + 1j * (place.real / points - node / size))
    node %= size
    ratio, out = np.arange(n) / n, np.zeros(n, dtype=complex)
    grown = np.cumprod(np.stack([np.ones_like(gap), *(gap / r for r in range(1, _TAYLOR))]), axis=0)
    turns = (-1.0) ** np.arange(_TAYLOR)
    for r in reversed(range(_TAYLOR)):
        last = min(r + 1, orders)
        parts = series[:last] * grown[r::-1][:last]
        # q^k (-k)^p and the conjugate of q^-k k^p
        weights = turns[:last] @ parts + np.conj(turns[r::-1][:last] @ parts)
        sums = np.bincount(node, weights.real, size) + 1j * np.bincount(node, weights.imag, size)
        out = out * ratio + scipy.fft.fft(sums)[:n]
    return np.asarray(out / (-2.0 * points), dtype=complex)


def exponential(coefficients: Kernel, is_complex: bool) -> Kernel:
    """Return exp(c_0 + 2 sum c_k z^k) mod z^n by transforms.

    Recurrences in float64 lose digits here. On the circle of radius r with r^(points - n) = e^-40 the terms
    past z^points, which fold back, are below u, and leaving it costs a factor r^-n < 4.
    """
    n = coefficients.size
    points = fast_length(_FOLD * n)
    radius = np.exp(-_DECAY / (points - n) * np.arange(n))
    series = 2.0 * radius * coefficients
    series[0] = coefficients[0].real
    forward, backward = transforms(is_complex)
    values = np.exp(forward(series if is_complex else series.real, points))
    return np.asarray(backward(values, points)[:n] / radius)


def transforms(is_complex: bool) -> tuple[Callable[..., NDArray[Any]], Callable[..., NDArray[Any]]]:
    """Return the transforms from taps to values on the circle, on half of it for real taps, and back."""
    return (scipy.fft.fft, scipy.fft.ifft) if is_complex else (scipy.fft.rfft, scipy.fft.irfft)


# Polylogarithms on the closed unit disc, for arrays: what aliasing does to the logarithm of a zero.


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
        weights = zeta(s - np.arange(_TERMS, dtype=float))
        weights[s - 1] = 0.0
        harmonic = sum(1.0 / j for j in range(1, s))
        out[s - 1, ~far] = weights @ scaled + scaled[s - 1] * (harmonic - np.log(-w))
    return out
