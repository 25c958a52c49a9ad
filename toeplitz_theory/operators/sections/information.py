"""Information through a section as a Gaussian channel, and its limit for long sequences."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.fft

from toeplitz_theory.errors import InputError, NumericalError
from toeplitz_theory.operators.fft import UNIT_ROUNDOFF, fast_length, shift_exponent, split_scale
from toeplitz_theory.operators.kernels import Kernel
from toeplitz_theory.operators.sections.singular import dense_values

_LONGEST = 1 << 22


@dataclass(frozen=True)
class InformationRate:
    """Bits per token through y = T x + noise, for white Gaussian inputs.

    Attributes
    ----------
    value : float
        ``(1 / 2n) sum_i log2(1 + snr sigma_i^2)``.
    error : float
        Bound on its error, from LAPACK's normwise error of the singular values.
    limit : float
        Szego's limit for n to infinity, ``(1 / 4 pi) int log2(1 + snr |a|^2) dtheta``, of this kernel.
    limit_error : float
        Change at the last doubling of the grid: an estimate, not a bound.

    Examples
    --------
    >>> from toeplitz_theory.operators import CausalToeplitz
    >>> rate = CausalToeplitz([1.0], n=8).information_rate(snr=3.0)
    >>> rate.value, rate.limit
    (1.0, 1.0)
    """

    value: float
    error: float
    limit: float
    limit_error: float

    def __float__(self) -> float:
        return self.value


def information_rate(taps: Kernel, snr: float, kernel: Kernel) -> InformationRate:
    """Return the rate of the section with first column ``taps``, and the limit for the whole ``kernel``."""
    if not (np.isfinite(snr) and snr > 0):
        raise InputError(f"snr is {snr}: the signal-to-noise ratio is a positive number, not in decibels")
    n = taps.size
    scaled, exponent = split_scale(taps)
    values = dense_values(scaled)
    noise = n * UNIT_ROUNDOFF * float(values[0])
    # sqrt(snr) sigma, so that snr sigma^2 overflows only where the rate itself makes no sense.
    gains = shift_exponent(np.stack([values, values + noise]) * np.sqrt(snr), exponent)
    with np.errstate(over="ignore"):
        rates = np.log1p(gains**2).sum(axis=1) / (2 * n * np.log(2.0))
    if not np.isfinite(rates).all():
        raise NumericalError("snr * sigma_max**2 overflows float64: scale the kernel or lower snr")
    # Values move by `noise` at most, up or down; twice the way up covers both but for second order.
    limit, limit_error = _szego(kernel, snr)
    error = 2 * float(rates[1] - rates[0]) + 8 * n * UNIT_ROUNDOFF * float(rates[0])
    return InformationRate(float(rates[0]), error, limit, limit_error)


def _szego(kernel: Kernel, snr: float) -> tuple[float, float]:
    """Return the mean of log2(1 + snr |a|^2) / 2 on grids doubled until it stands still."""
    length = fast_length(8 * kernel.size)
    previous = np.inf
    while True:
        power = np.abs(scipy.fft.fft(kernel, length) * np.sqrt(snr)) ** 2
        current = float(np.log1p(power).mean() / (2 * np.log(2.0)))
        change = abs(current - previous)
        if change <= 1e-13 * (1 + current) or length > _LONGEST:
            return current, max(change, 1e-15 * current)
        previous, length = current, 2 * length
