"""Exact coefficients: a float64 kernel, what rounding took from its first tap, and a power of two."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from toeplitz_theory.errors import InputError
from toeplitz_theory.operators.kernels import Kernel

Exact = tuple[Fraction, Fraction]
ZERO: Exact = (Fraction(0), Fraction(0))


@dataclass(frozen=True)
class Taps:
    """The polynomial sum_k (values[k] + [k = 0] low) z^k, exactly.

    ``low`` is the part that float64 could not hold when a number was added to the first tap, so that
    1 + a and a - lambda are the polynomials meant and not rounded ones.
    """

    values: Kernel
    low: Exact = ZERO

    def plus(self, number: complex) -> Taps:
        """Return these taps with ``number`` added to the first, exactly."""
        if not np.isfinite(number):
            raise InputError(f"the point must be a finite number, not {number}")
        if number == 0:
            return self
        head = complex(self.values[0])
        exact = (
            Fraction(head.real) + self.low[0] + Fraction(complex(number).real),
            Fraction(head.imag) + self.low[1] + Fraction(complex(number).imag),
        )
        try:
            near = complex(float(exact[0]), float(exact[1]))
        except OverflowError:
            raise InputError("the first tap plus the number overflows float64: rescale the kernel") from None
        low = (exact[0] - Fraction(near.real), exact[1] - Fraction(near.imag))
        wide = np.iscomplexobj(self.values) or near.imag != 0 or low[1] != 0
        values: Kernel = self.values.astype(np.complex128) if wide else self.values.copy()
        values[0] = near if wide else near.real
        values.flags.writeable = False
        return Taps(values, low)

    @property
    def is_zero(self) -> bool:
        """Whether the polynomial vanishes identically."""
        return self.low == ZERO and not self.values.any()

    def scaled(self) -> Scaled:
        """Strip zero taps at both ends and divide by a power of two so that nothing over- or underflows."""
        values = self.values
        present = np.flatnonzero(values)
        lead = 0 if self.low != ZERO or present.size == 0 else int(present[0])
        last = int(present[-1]) if present.size else 0
        core = values[lead : last + 1]
        parts = np.ascontiguousarray(core).view(np.float64)
        exponent = int(np.frexp(np.abs(parts).max())[1])
        small: Any = np.ldexp(parts, -exponent).view(core.dtype)
        error = 0.0
        if lead == 0 and self.low != ZERO:
            error = 1.01 * math.ldexp(float(abs(self.low[0]) + abs(self.low[1])), -exponent)
        if exponent > 0:  # taps below 2^-1022 after scaling down may have lost bits
            error += core.size * 2.0**-1073
        return Scaled(small, exponent, lead, error, Taps(core, self.low))


@dataclass(frozen=True)
class Scaled:
    """``2^-exponent`` times the taps from number ``lead`` on, to within ``error`` in the 1-norm.

    The largest real or imaginary part is in [1/2, 1). ``exact`` are the same taps, unscaled.
    """

    values: Kernel
    exponent: int
    lead: int
    error: float
    exact: Taps

    def at_radius(self, radius: float) -> tuple[Kernel, float]:
        """Return taps times ``radius**k`` (rescaled by a power of two) and a bound of their error.

        In floating point k log r is off by 4 u |k log r| (log to 2 u, product u, u to spare) and exp by
        4 u, so a tap has relative error (4 |k log r| + 8) u.
        """
        if radius == 1.0:
            return self.values, self.error
        exponents = np.arange(self.values.size) * math.log(radius)
        exponents -= (
            exponents.max()
        )  # the largest factor is 1: no overflow, and one common factor is harmless
        scaled = self.values * np.exp(exponents)
        top = float(np.abs(scaled).max())
        if top == 0.0:
            return scaled, math.inf
        wild = float((np.abs(scaled) * (4.0 * np.abs(exponents) + 8.0)).sum())
        reach = 4.0 * float(np.abs(exponents).max()) * float(np.abs(scaled).sum())  # of the common shift
        bound = 2.0**-53 * (wild + reach) + self.error + scaled.size * 2.0**-1073
        shift = -math.frexp(top)[1]
        return np.ldexp(1.0, shift) * scaled, 1.01 * math.ldexp(bound, shift)
