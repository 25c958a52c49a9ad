"""The power series 1/a(z), whose coefficients are the first column of the inverse, without losing range."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import flint
import numpy as np
from numpy.typing import NDArray

from toeplitz_theory.display import Displayed
from toeplitz_theory.errors import InputError, NumericalError
from toeplitz_theory.operators.bits import precision
from toeplitz_theory.operators.kernels import as_kernel
from toeplitz_theory.operators.rounding import UNIT_ROUNDOFF

_FIRST_PRECISION = 128  # bits; FLINT's inverse loses about 25 of them at n = 512 and 2048
_LAST_PRECISION = 1 << 15
_LONG = 2048  # coefficients beyond which their growth is taken out first
_FIRST = 512  # of them, which say how they grow


@dataclass(frozen=True, repr=False)
class ScaledSeries(Displayed):
    """Coefficients with an exponent each, so that no size over- or underflows.

    Coefficient k is ``mantissas[k] * 2.0**exponents[k]`` up to ``radii[k] * 2.0**radius_exponents[k]``;
    the radius is a rigorous bound from ball arithmetic, rounding to float64 included.

    Attributes
    ----------
    mantissas : ndarray, shape (n,), float64 or complex128
    exponents : ndarray, shape (n,), int64
    radii, radius_exponents : ndarray, shape (n,), float64 and int64
    """

    mantissas: NDArray[Any]
    exponents: NDArray[np.int64]
    radii: NDArray[np.float64]
    radius_exponents: NDArray[np.int64]

    def __len__(self) -> int:
        return int(self.mantissas.size)

    def common(self) -> tuple[NDArray[Any], int, float]:
        """Return ``(taps, e, error)``: coefficients ``taps * 2**e``, largest in [1/2, 1), and an l1 bound.

        ``sum_k |c_k - taps[k] 2**e| <= error * 2**e``: the distance in every operator norm. Coefficients
        2**-1000 below the largest round, and the bound contains that.
        """
        present = self.mantissas != 0
        top = int(self.exponents[present].max()) if present.any() else 0
        taps = self.at(top)
        error = float(self.errors(top).sum())
        return taps, top, error * (1 + 2 * len(self) * UNIT_ROUNDOFF)

    def errors(self, exponent: int) -> NDArray[np.float64]:
        """Return e (n,) with ``|c_k - taps[k] 2**exponent| <= e[k] 2**exponent``, taps as in `common`."""
        # A radius that underflows, and a part of a tap that does, is off by less than 2**-1073.
        return _shifted(self.radii, self.radius_exponents - float(exponent)) + 2.0**-1070

    def at(self, exponent: int) -> NDArray[Any]:
        """Return the coefficients divided by ``2**exponent``, as float64: those beyond become inf or 0."""
        parts = _shifted(_as_parts(self.mantissas), (self.exponents - float(exponent))[:, None])
        return _from_parts(parts, self.mantissas.dtype)

    def to_float(self) -> NDArray[Any]:
        """Return the coefficients as plain float64 or complex128; those below 5e-324 become 0.

        Raises
        ------
        NumericalError
            If one is too large for float64.
        """
        values = self.at(0)
        if not np.all(np.isfinite(values)):
            raise NumericalError(
                f"entries of the inverse reach 2**{self.exponents.max()}, beyond float64 (2**1024): "
                "use inverse_series(), which keeps an exponent for each"
            )
        return values

    def log10_abs(self) -> NDArray[np.float64]:
        """Return log10 of each coefficient's modulus; -inf for a zero."""
        with np.errstate(divide="ignore"):
            return np.asarray(np.log10(np.abs(self.mantissas)) + self.exponents * math.log10(2.0), float)


def inverse_series(kernel: Any, n: int | None = None) -> ScaledSeries:
    """Return the first n coefficients, by default as many as taps, of 1/a(z), a(z) = sum_k kernel[k] z**k.

    They are the first column of the inverse of the n x n causal Toeplitz matrix, and grow like the largest
    ``|z_j|**-n`` over the zeros z_j of a inside the disc: past 1e308 for common kernels of a thousand taps.
    Newton iteration in ball arithmetic (FLINT), the precision raised until every radius is below float64's
    own rounding of the largest coefficient.

    Examples
    --------
    >>> inverse_series([1.0, -0.5, 0.0]).to_float()
    array([1.  , 0.5 , 0.25])
    >>> inverse_series([1.0, -2.0], n=4001).log10_abs()[-1].round(6)
    np.float64(1204.119983)
    """
    taps = as_kernel(kernel)
    size = taps.size if n is None else int(n)
    if size < 1:
        raise InputError(f"n is {size}: a section needs n >= 1")
    if taps[0] == 0:
        raise InputError("kernel[0] is 0: 1/a(z) has a pole at 0, so there is no causal inverse")
    bits = _FIRST_PRECISION
    growth = _growth(taps[:_FIRST]) if size > _LONG else 0.0
    while True:
        series = _invert(taps[:size], size, bits, growth)
        common, _, error = series.common()
        if error <= 4 * UNIT_ROUNDOFF * float(np.abs(common).sum()):
            break
        if growth:  # it does not go on like that: coefficients of all sizes are left
            growth = 0.0
            continue
        bits *= 2
        if bits > _LAST_PRECISION:
            raise NumericalError(
                f"1/a(z) to {size} terms needs more than {_LAST_PRECISION} bits: use a smaller n"
            )
    return series


def _growth(taps: NDArray[Any]) -> float:
    """Return by how many bits a coefficient of 1/a(z) exceeds the one before, from the first of them."""
    logs = _invert(taps, _FIRST, _FIRST_PRECISION).log10_abs()[_FIRST // 2 :] / math.log10(2.0)
    there = np.isfinite(logs)
    if np.count_nonzero(there) < 8:
        return 0.0
    slope = float(np.polyfit(np.flatnonzero(there), logs[there], 1)[0])
    return slope if slope > 0.01 else 0.0


def _invert(taps: NDArray[Any], size: int, bits: int, growth: float = 0.0) -> ScaledSeries:
    """Return 1/a(z) from that of a(r z), r = 2^-growth.

    Where that takes the growth out of the coefficients, FLINT multiplies one block of numbers instead of many
    of different exponents; and taps below all bits of the largest are balls around 0.
    """
    is_complex = bool(np.iscomplexobj(taps))
    with precision(bits, terms=size):
        kind: Any
        ring: Any
        kind, ring = (flint.acb, flint.acb_series) if is_complex else (flint.arb, flint.arb_series)
        if not growth:
            series = ring(taps.tolist(), size).inv()
            return collect([series[k] for k in range(size)], is_complex)
        powers, ratio = [flint.arb(1)], flint.arb(2.0**-growth)
        for _ in range(size - 1):
            powers.append(powers[-1] * ratio)
        with np.errstate(divide="ignore"):
            logs = np.log2(np.abs(taps)) - growth * np.arange(taps.size)
        present = (logs > logs.max() - bits - 16).tolist()
        turned = [
            kind(x) * power if here else _around_zero(kind, abs(kind(x)) * power)
            for x, power, here in zip(taps.tolist(), powers, present, strict=False)
        ]
        series = ring(turned, size).inv()
        return collect([series[k] / powers[k] for k in range(size)], is_complex)


def _around_zero(kind: Any, radius: Any) -> Any:
    """Return the ball of all numbers of modulus up to ``radius``, of a square where complex."""
    ball = flint.arb(0, radius)
    return ball if kind is flint.arb else kind(ball, ball)


def collect(coefficients: list[Any], is_complex: bool) -> ScaledSeries:
    """Read balls into float64 mantissas; complex parts share the exponent of the larger one."""
    balls = [(c.real, c.imag) if is_complex else (c,) for c in coefficients]
    # float64 holds the exponents exactly; columns: mantissa, exponent, and those of the radius.
    table = np.array([[_split_exact(b.mid()) + _split_exact(b.rad()) for b in row] for row in balls])
    parts, powers, radii, radius_powers = table.transpose(2, 0, 1)
    top, radius_top = powers.max(axis=1), radius_powers.max(axis=1)
    joint = np.maximum(top, radius_top)
    mantissas = _shifted(parts, powers - top[:, None])
    # Rounding a midpoint to float64: u |mantissa| a part, and what a shift leaves of the smaller part.
    rounding = 2 * UNIT_ROUNDOFF * np.abs(mantissas).sum(axis=1)
    radius = _shifted(_shifted(radii, radius_powers - radius_top[:, None]).sum(axis=1), radius_top - joint)
    radius = 1.001 * (radius + _shifted(rounding, top - joint))
    return ScaledSeries(
        _from_parts(mantissas, np.dtype(np.complex128 if is_complex else np.float64)),
        np.where(top > _ZERO, top, 0.0).astype(np.int64),
        radius,
        np.where(radius > 0, joint, 0.0).astype(np.int64),
    )


def _shifted(values: NDArray[np.float64], exponents: NDArray[Any]) -> NDArray[np.float64]:
    """Return ``values * 2**exponents``; what float64 does not hold becomes 0 or inf."""
    with np.errstate(under="ignore", over="ignore"):
        return np.asarray(np.ldexp(values, np.clip(exponents, -2200, 2200).astype(np.int32)))


_ZERO = -(2.0**60)  # the exponent of 0: below every other, and exact in float64


def _split_exact(number: Any) -> tuple[float, float]:
    """Return the mantissa in [1/2, 1], or 0, and the exponent of an exact FLINT number."""
    if not number.is_finite():
        return math.inf, 0.0  # an unusable ball: the caller raises the precision
    mantissa, power = number.man_exp()
    whole = int(mantissa)
    if whole == 0:
        return 0.0, _ZERO
    bits = whole.bit_length()
    cut = max(bits - 64, 0)
    return math.ldexp(float(whole >> cut), cut - bits), float(int(power) + bits)


def _as_parts(values: NDArray[Any]) -> NDArray[np.float64]:
    contiguous = np.ascontiguousarray(values)
    return contiguous.view(np.float64).reshape(values.size, -1)


def _from_parts(parts: NDArray[np.float64], dtype: np.dtype[Any]) -> NDArray[Any]:
    return np.ascontiguousarray(parts).view(dtype).reshape(-1)
