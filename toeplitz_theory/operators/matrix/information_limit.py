r"""Szego's limit of the information rate, ``(1 / 4 pi) int log2(1 + snr |a|^2) dtheta``, with a proved error.

The integrand is the logarithm of a trigonometric polynomial p = 1 + snr |a|^2 >= 1 of degree d, so the
trapezoidal rule's error is known: p = |h|^2 with h = h(0) prod (1 - q_j z), |q_j| < 1, and on N nodes
``T_N - mean = (2 / N) sum_j log|1 - q_j^N|``. If no zero of p lies in the ring rho < |z| < 1 / rho, all
|q_j| <= rho and ``|T_N - mean| <= -(2 d / N) log(1 - rho^N)``.

The ring: with b the symbol turned so that its frequencies are at most D = ceil(d / 2), and M >= max|b|,
Bernstein's inequality gives ``|b(theta + i s) - b(theta)| <= M (e^{D |s|} - 1) =: m``. On the ring
p = 1 + snr b(theta + i s) conj(b(theta - i s)), which differs from 1 + snr x^2, x = |b(theta)|, by at most
snr (2 x m + m^2); so ``|p| >= 1 + snr (x^2 - 2 x m - m^2) >= 1 - 2 snr m^2``: positive for
m < 1 / sqrt(2 snr).

At high snr that ring is too narrow for any grid. Then log p = log snr + 2 log|a| + log(1 + 1 / (snr |a|^2)):
the Jensen deficit of a, computed with proof, gives the mean of the second term, and the third is small and is
bounded arc by arc. Where a is 0 or almost so, the Jensen deficit of the polynomial z^d p is tried instead.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from toeplitz_theory.errors import InputError, NumericalError
from toeplitz_theory.operators.circle.jensen import jensen_deficit
from toeplitz_theory.operators.circle.modulus import min_modulus
from toeplitz_theory.operators.kernels import Kernel, Taps
from toeplitz_theory.operators.results import Bracket
from toeplitz_theory.operators.rounding import UNIT_ROUNDOFF, split_scale

_SHORT = 1 << 17  # nodes tried before anything else
_GOOD = 1e-12
_RANGE = (0.0, math.inf)
_MOST_BY_JENSEN = 4200  # taps of z^d p
_ARCS_PER_TAP = 512


@dataclass(frozen=True, repr=False)
class InformationLimit(Bracket):
    """Bits per token of a Gaussian channel through the Toeplitz operator, as sequences grow long.

    Attributes
    ----------
    value : float
        ``(1 / 4 pi) int log2(1 + snr |a|^2) dtheta``.
    lower, upper, certified, method
        As in `Bracket`; always proved.
    snr : float
        Ratio of the variances of input and noise.

    Examples
    --------
    >>> from toeplitz_theory.operators import Symbol
    >>> limit = Symbol([1.0]).information_limit(snr=3.0)
    >>> limit.value, limit.error < 1e-14
    (1.0, True)
    """

    snr: float = math.nan

    def __str__(self) -> str:
        return f"{self.value:.12g} bits per token, error {self.error:.1e}"


def check_snr(snr: float) -> None:
    """Raise InputError unless ``snr`` is positive and finite."""
    if not (np.isfinite(snr) and snr > 0):
        raise InputError(f"snr is {snr}: the signal-to-noise ratio is a positive number, not in decibels")


def information_limit(kernel: Kernel, snr: float) -> InformationLimit:
    """Return Szego's limit for ``kernel``; `Symbol.information_limit` says more."""
    check_snr(snr)
    scaled, exponent = split_scale(kernel)
    root = math.sqrt(snr)
    power = math.frexp(root)[1] + exponent
    if power > 500:
        raise NumericalError("snr |a|^2 overflows float64: scale the kernel or lower snr")
    present = np.flatnonzero(scaled)
    if not present.size or power < -1000:  # below 2^-1000 the rate is not a float64
        value, error, method = 0.0, 5e-324 if present.size else 0.0, "nothing gets through"
        return InformationLimit.around(value, error, True, method, _RANGE, snr=float(snr))
    # Channel taps b = sqrt(snr) a, exact up to one rounding of each: |b|^2 is off by 4 u, relative.
    taps = scaled[present[0] : present[-1] + 1] * math.ldexp(root, exponent)
    rule = "trapezoidal rule, with a ring free of zeros"
    (value, error), method = _by_rule(taps, _SHORT), rule
    others: tuple[tuple[Callable[[Kernel], tuple[float, float] | None], str], ...] = (
        (_by_mahler, "Mahler measure of a, and a small rest"),
        (_by_jensen, "Jensen's formula for 1 + snr |a|^2"),
        (_by_rule, rule),
    )
    for compute, name in others:
        if error > _GOOD * (1.0 + value):
            other = compute(taps)
            if other is not None and other[1] < error:
                value, error, method = *other, name
    # The mean logarithm moves by at most the relative change of p.
    error += 8.0 * UNIT_ROUNDOFF / math.log(2.0)
    return InformationLimit.around(value, error, True, method, _RANGE, snr=float(snr))


def _power_of_two(minimum: float) -> int:
    """Return a power of two, the lengths for which the FFT's bound is proved."""
    return 1 << max(4, math.ceil(math.log2(minimum)))


def _on_grid(taps: Kernel, points: int) -> tuple[NDArray[np.float64], float, float]:
    """Return |b| on ``points`` nodes, how far each is off at most, and an upper bound of max|b|."""
    size = np.abs(scipy.fft.fft(taps, points))
    # As in `arcs`: an FFT's values are right to 8 u log2(N) times the 1-norm.
    slip = 8.0 * UNIT_ROUNDOFF * math.log2(points) * float(np.abs(taps).sum())
    # No point is further than pi / N from a node, so max <= top + (pi / N) D max, D = ceil(d / 2).
    return size, slip, (float(size.max()) + slip) / (1.0 - math.pi * (taps.size // 2) / points)


def _by_rule(taps: Kernel, longest: int = 1 << 21) -> tuple[float, float]:
    """Return half the mean of log2 p on a grid fine enough for the ring, or the finest, with a bound."""
    degree, reach = taps.size - 1, taps.size // 2
    points = _power_of_two(8 * taps.size)
    while True:
        size, slip, top = _on_grid(taps, points)
        width = math.log1p(1.0 / (math.sqrt(2.0) * top)) / reach if reach else math.inf
        decay = 0.999 * width * points
        bound = 2.0 * degree / points * -math.log(-math.expm1(-decay)) if degree else 0.0
        if bound <= 1e-15 or points >= longest:
            break
        wanted = math.log(2.0 * degree / 1e-15) / width
        points = _power_of_two(min(max(2 * points, wanted), longest))
    power = size**2
    mean = float(np.log1p(power).mean())
    # d log(1 + x^2) = 2 x dx / (1 + x^2), and second order terms for slips above 1.
    rounding = float((2.0 * size * slip / (1.0 + power)).mean()) + 2.0 * slip**2
    error = bound + rounding + UNIT_ROUNDOFF * (8.0 + math.log2(points)) * (1.0 + mean)
    return 0.5 * mean / math.log(2.0), 1.01 * 0.5 * error / math.log(2.0)


def _by_mahler(taps: Kernel) -> tuple[float, float] | None:
    """Return half the mean of log2 |b|^2 + log2(1 + 1 / |b|^2) with an error bound; None next to a zero."""
    deficit = jensen_deficit(Taps(taps))
    if not deficit.certified:
        return None
    lowest = min_modulus(Taps(taps)).lower
    if not lowest > 0:
        return None
    points = _power_of_two(_ARCS_PER_TAP * taps.size)
    size, slip, top = _on_grid(taps, points)
    away = math.pi / points * (taps.size // 2) * top + slip  # Bernstein: how far |b| moves within half an arc
    rests = [float(np.log1p(x**-2.0).mean()) for x in (np.maximum(size - away, lowest), size + away)]
    first = math.log(abs(complex(taps[0])))
    middle = 0.5 * (rests[0] + rests[1])
    mean = 2.0 * (deficit.value + first) + middle
    # Every node's term is rounded by a few u of itself, their sum pairwise.
    rounding = UNIT_ROUNDOFF * (
        8.0 * (abs(deficit.value) + abs(first)) + (8.0 + math.log2(points)) * rests[0]
    )
    error = 2.0 * deficit.error + 0.5 * (rests[0] - rests[1]) + rounding
    return 0.5 * mean / math.log(2.0), 1.01 * 0.5 * error / math.log(2.0)


def _by_jensen(taps: Kernel) -> tuple[float, float] | None:
    """Return half the mean of log2 p from the Jensen deficit of z^d p, with a bound; None if unproved."""
    d = taps.size - 1
    if 2 * d + 1 > _MOST_BY_JENSEN:
        return None
    r: Kernel = np.convolve(taps, np.conj(taps[::-1]))
    r[d] = r[d].real + 1.0
    # Rounding of the coefficients: gamma_{n + 4} times the same sums of moduli; p >= 1 on the circle.
    change = 1.01 * (d + 5) * UNIT_ROUNDOFF * (float(np.abs(taps).sum()) ** 2 + 1.0)
    if not change < 0.1 or not np.isfinite(r).all() or r[0] == 0:
        return None
    deficit = jensen_deficit(Taps(r))
    if not deficit.certified:
        return None
    first = math.log(abs(complex(r[0])))
    mean = deficit.value + first
    error = deficit.error - math.log1p(-change) + 8.0 * UNIT_ROUNDOFF * (abs(deficit.value) + abs(first))
    return 0.5 * mean / math.log(2.0), 1.01 * 0.5 * error / math.log(2.0)
