"""Numbers of many bits (FLINT): the precision they are computed in, their way in from float64 and back."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import flint
import numpy as np
from numpy.typing import NDArray

from toeplitz_theory.errors import NumericalError
from toeplitz_theory.operators.kernels import ZERO, Taps


class TooFewBits(NumericalError):
    """The working precision does not hold what is asked."""


@contextmanager
def precision(bits: int, terms: int | None = None) -> Iterator[None]:
    """Compute with ``bits`` bits, and power series with ``terms`` terms, inside the block.

    Examples
    --------
    >>> with precision(100, terms=3):
    ...     series = flint.arb_series([1, -2]).inv()
    >>> [float(series[k]) for k in range(3)]
    [1.0, 2.0, 4.0]
    """
    saved = flint.ctx.prec, flint.ctx.cap
    try:
        flint.ctx.prec, flint.ctx.cap = bits, saved[1] if terms is None else terms
        yield
    finally:
        flint.ctx.prec, flint.ctx.cap = saved


def balls(values: NDArray[Any], exponent: int = 0) -> list[Any]:
    """Return ``values * 2**exponent`` as real or complex balls of radius 0: no scale rounds here.

    Examples
    --------
    >>> float(balls(np.array([5e-324, 1.0]), -2000)[0] * flint.arb(2) ** 2000)
    5e-324
    """
    kind = flint.acb if np.iscomplexobj(values) else flint.arb
    scale = flint.arb(2) ** exponent
    return [kind(x) * scale for x in values.tolist()]


def to_acb(taps: Taps) -> list[flint.acb]:
    """Return the coefficients as balls of radius 0, whatever the working precision."""
    out = [flint.acb(complex(z)) for z in taps.values.tolist()]
    if taps.low != ZERO:
        with precision(2200):  # more than the range of float64
            re, im = (flint.arb(flint.fmpq(x.numerator, x.denominator)) for x in taps.low)
            out[0] = out[0] + flint.acb(re, im)
    return out


def floats(numbers: list[Any]) -> tuple[NDArray[Any], float]:
    """Return the midpoints of balls in float64 or complex128, and their largest radius.

    Examples
    --------
    >>> values, radius = floats([flint.arb(1), flint.arb(1) / 3])
    >>> values.tolist(), radius < 1e-15
    ([1.0, 0.3333333333333333], True)
    """
    kind = complex if numbers and isinstance(numbers[0], flint.acb) else float
    radius = max((float(x.rad()) for x in numbers), default=0.0)
    return np.array([kind(x.mid()) for x in numbers]), radius


def log2_modulus(x: Any) -> float:
    """Return log2 of the modulus of a ball's midpoint; -inf for 0.

    Examples
    --------
    >>> log2_modulus(flint.arb(-8)), log2_modulus(flint.acb(0, 2) ** 2000)
    (3.0, 2000.0)
    """
    return float_log2(abs(x.mid()).mid())


def float_log2(x: Any) -> float:
    """Return log2 of a nonnegative exact FLINT number of any size; -inf for 0 and below."""
    if not x > 0:
        return -math.inf
    mantissa, power = x.man_exp()
    whole = int(mantissa)
    size = whole.bit_length()
    # Of a fraction in [1/2, 1], so that the logarithm's own rounding does not count beside a large exponent.
    return math.log2(math.ldexp(whole >> max(size - 64, 0), -min(size, 64))) + (size + int(power))
