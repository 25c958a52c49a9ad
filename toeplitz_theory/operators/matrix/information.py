"""Information through a section as a Gaussian channel, and what a storage format leaves of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.linalg.blas
import scipy.linalg.lapack
from numpy.typing import NDArray

from toeplitz_theory.display import Displayed
from toeplitz_theory.errors import InputError
from toeplitz_theory.operators.kernels import Kernel
from toeplitz_theory.operators.matrix.information_limit import InformationLimit, check_snr, information_limit
from toeplitz_theory.operators.matrix.norm import circle_bound
from toeplitz_theory.operators.matrix.singular import check_room, eigensolver_error
from toeplitz_theory.operators.product import frobenius_square
from toeplitz_theory.operators.rounding import UNIT_ROUNDOFF, float_format, shift_exponent, split_scale
from toeplitz_theory.threads import one_thread

Values = Callable[[], NDArray[np.float64]]

_DENSE_UP_TO = 256  # tokens up to which all singular values are computed
_GOOD = 1e-5  # bits; where Cholesky cannot promise that, the singular values are computed
_LONG = 1024  # tokens beyond which they take so long that this is enough:
_GOOD_WHERE_LONG = 1e-3


@dataclass(frozen=True, repr=False)
class InformationRate(Displayed):
    """Bits per token through y = T x + noise, for white Gaussian inputs.

    Attributes
    ----------
    value : float
        ``(1 / 2n) sum_i log2(1 + snr sigma_i^2)``.
    error : float
        Bound on its error, from LAPACK's normwise error of the singular values; beyond 256 tokens from the
        backward error of a Cholesky factorisation, with a constant of 8 that has not been proved.
    limit : float
        Szego's limit for n to infinity, ``(1 / 4 pi) int log2(1 + snr |a|^2) dtheta``, of this kernel.
    limit_error : float
        A proved bound of the limit's error.

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


@dataclass(frozen=True, repr=False)
class InformationCurve(Displayed):
    """The information rate of a section at many signal-to-noise ratios, and Szego's limit at each.

    Attributes
    ----------
    snr : ndarray, shape (m,)
    value, error : ndarray, shape (m,)
        Bits per token of the n x n section, and a bound of the error.
    limit, limit_error : ndarray, shape (m,)
        Bits per token for n to infinity, and a proved bound of the error.
    n : int
        Size of the section.

    Examples
    --------
    >>> from toeplitz_theory.operators import CausalToeplitz
    >>> curve = CausalToeplitz([1.0, 0.5], n=32).information_curve([1.0, 100.0])
    >>> (curve.value < curve.limit).tolist()
    [True, True]
    """

    snr: NDArray[np.float64]
    value: NDArray[np.float64]
    error: NDArray[np.float64]
    limit: NDArray[np.float64]
    limit_error: NDArray[np.float64]
    n: int


@dataclass(frozen=True, repr=False)
class StorageBits(Displayed):
    r"""Bits per token about a layer's input that survive when its output is stored in a float format.

    Rounding to nearest with p significant bits is off by at most u = 2^-p, relative; at a significand of 1,
    the worst, the error is uniform with variance u^2 / 3. So the output keeps a signal-to-noise ratio of at
    least 3 / u^2, whatever its scale. Taken as white noise below the mean output, in the Gaussian channel
    that is ``snr = 3 / (u^2 g)`` at the input, ``g = ||T||_F^2 / n`` the gain of the layer, and the rate is

        (1 / 2n) sum_i log2(1 + (3 / u^2) sigma_i^2 / g)  <=  (1 / 2) log2(1 + 3 / u^2).

    The right side is what the identity lets through; equality needs equal singular values (Jensen). For a
    Gaussian signal the noise is 2.7 dB less than the worst, which is 0.44 bits.

    Attributes
    ----------
    value, error : float
        Bits per token of the section, and a bound of the numerical error.
    limit, limit_error : float
        The same for n to infinity with gain ``||kernel||_2^2``; None where it was not asked for.
    ceiling : float
        ``(1 / 2) log2(1 + 3 / u^2)``.
    snr : float
        ``3 / (u^2 g)``.
    dtype : str
        The format.

    Examples
    --------
    >>> from toeplitz_theory.operators import CausalToeplitz
    >>> bits = CausalToeplitz([1.0], n=16).bits_at("bfloat16")
    >>> round(bits.value, 3), round(bits.lost, 12)
    (8.792, 0.0)
    """

    value: float
    error: float
    limit: float | None
    limit_error: float | None
    ceiling: float
    snr: float
    dtype: str

    @property
    def lost(self) -> float:
        """Bits per token that the identity would let through and this layer does not; at least 0."""
        return self.ceiling - self.value

    def __float__(self) -> float:
        return self.value

    def __str__(self) -> str:
        return f"{self.value:.4g} of {self.ceiling:.4g} bits per token at {self.dtype}"


def information_rate(taps: Kernel, snr: float, kernel: Kernel, values: Values) -> InformationRate:
    """Return the rate of the section with first column ``taps``, and the limit for the whole ``kernel``.

    Here and below ``values`` gives the singular values of the taps scaled by `split_scale`.
    """
    check_snr(snr)
    curve = information_curve(taps, snr, kernel, values)
    numbers = (curve.value, curve.error, curve.limit, curve.limit_error)
    return InformationRate(*(float(one[0]) for one in numbers))


def information_curve(taps: Kernel, snrs: Any, kernel: Kernel, values: Values) -> InformationCurve:
    """Return rates and limits at all ``snrs`` from one set of singular values."""
    points = np.atleast_1d(np.asarray(snrs, dtype=float))
    if points.ndim != 1 or points.size == 0:
        raise InputError(f"snr has shape {points.shape}: pass a 1-D array of positive numbers")
    for snr in points:
        check_snr(float(snr))
    value, error = _rates(taps, points, values)
    limits = [information_limit(kernel, float(snr)) for snr in points]
    limit, limit_error = np.array([(limit.value, limit.error) for limit in limits]).T
    return InformationCurve(points, value, error, limit, limit_error, taps.size)


def bits_at(taps: Kernel, dtype: str, kernel: Kernel, limit: bool, values: Values) -> StorageBits:
    """Return the bits per token that survive storing the output in ``dtype``."""
    name, (significand, _) = float_format(dtype)
    power = 3.0 * 4.0**significand
    ceiling = 0.5 * math.log1p(power) / math.log(2.0)
    if not np.any(taps):  # nothing gets through, and there is no scale
        return StorageBits(0.0, 0.0, 0.0, 0.0, ceiling, np.inf, name)
    # Scale-free: taps of unit size, so that gains neither over- nor underflow.
    scaled, exponent = split_scale(taps)
    whole, _ = split_scale(kernel)
    n = taps.size
    gain = frobenius_square(scaled) / n
    value, error = _rates(scaled, np.array([power / gain]), values)
    szego = information_limit(whole, power / float((np.abs(whole) ** 2).sum())) if limit else None
    # The gain is right to (n + 8) u, and a relative change of snr changes the rate by at most half of it.
    slack = (n + 8) * UNIT_ROUNDOFF
    snr = float(np.ldexp(power / gain, -2 * exponent)) if -500 < exponent < 500 else np.nan
    endless, endless_error = (szego.value, szego.error + slack) if szego else (None, None)
    return StorageBits(float(value[0]), float(error[0]) + slack, endless, endless_error, ceiling, snr, name)


def _rates(
    taps: Kernel, snrs: NDArray[np.float64], known: Values
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the rates at all ``snrs`` and bounds of their errors, from the singular values.

    Beyond `_DENSE_UP_TO` tokens from a Cholesky factorisation in O(n^2) where that is near enough.
    """
    n = taps.size
    scaled, exponent = split_scale(taps)
    if n > _DENSE_UP_TO and -400 < exponent < 400:
        channel = np.ldexp(np.sqrt(snrs), exponent)
        # Backward stable: L L^H differs from A >= I by some 8 n u ||A||, and log det by n times that at most.
        norm = 1.0 + (channel * circle_bound(scaled)) ** 2
        error = 8 * n * UNIT_ROUNDOFF * norm / (2 * math.log(2.0))
        if (error <= (_GOOD_WHERE_LONG if n > _LONG else _GOOD)).all():
            return half_log2_det(scaled, channel) / n, error
    check_room(n, f"the rate of a {n} x {n} section at so little noise needs", ", or more noise")
    values = known()
    noise = eigensolver_error(values)
    # Values move by `noise` at most, up or down, and the rate grows with each of them.
    moved = np.stack([values, values + noise, np.maximum(values - noise, 0.0)])
    with np.errstate(over="ignore", divide="ignore"):
        gains = shift_exponent(moved, exponent)[:, None, :] * np.sqrt(snrs)[:, None]
        # log(1 + g^2) is 2 log g to all digits where g is large, and g^2 may overflow there.
        logs = np.log(moved)[:, None, :] + exponent * math.log(2.0) + 0.5 * np.log(snrs)[:, None]
        rates = np.where(gains > 1e100, 2.0 * logs, np.log1p(gains**2)).sum(axis=-1) / (2 * n * np.log(2.0))
    error = np.maximum(rates[1] - rates[0], rates[0] - rates[2]) + 8 * n * UNIT_ROUNDOFF * rates[0]
    return rates[0], error


@one_thread()
def half_log2_det(taps: Kernel, channel: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (1/2) log2 det(I + c^2 T T^H) for each c of ``channel``, in O(n^2) operations and O(n) memory.

    A = I + c^2 T T^H has displacement ``A - Z A Z^T = e e^H + c^2 w w^H``, Z the shift, e the first unit
    vector and w the taps. Schur's algorithm: turn the two columns by a rotation so that the second has a zero
    on top, take the first as the next column of the Cholesky factor, shift it down (Kailath, Sayed,
    Displacement Structure, SIAM Review 37, 1995). Rotations alone, so backward stable.

    Examples
    --------
    >>> half_log2_det(np.array([2.0, 0.0]), np.array([1.0])).round(12) == np.log2(5.0).round(12)
    array([ True])
    """
    n, length = taps.size, int(np.flatnonzero(taps)[-1]) + 1 if taps.any() else 1
    rotate = scipy.linalg.lapack.zrot if np.iscomplexobj(taps) else scipy.linalg.blas.drot
    pivots = np.empty((channel.size, n))
    for row, c in enumerate(channel):
        # Neither grows longer than the taps that are not 0; each heads an array, with zeros after it.
        first, second = np.zeros((2, n + length), taps.dtype)
        first[0], second[:length] = 1.0, c * taps[:length]
        for k in range(n):
            x, y = first[0].real, second[0]
            pivots[row, k] = pivot = math.hypot(x, abs(y))
            reach = min(length, n - k)
            rotate(
                first[:reach], second[:reach], x / pivot, y.conjugate() / pivot, overwrite_x=1, overwrite_y=1
            )
            second = second[1:]
    return np.asarray(np.log2(pivots).sum(axis=1))


__all__ = ["InformationCurve", "InformationLimit", "InformationRate", "StorageBits"]
