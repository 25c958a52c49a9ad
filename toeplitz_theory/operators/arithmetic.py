"""Exact coefficients: sums and products without rounding, over the integers, and the nearest kernel."""

from __future__ import annotations

import math
import numbers
from fractions import Fraction
from itertools import zip_longest
from typing import Any

import flint
import numpy as np

from toeplitz_theory.errors import InputError
from toeplitz_theory.operators.kernels import ZERO, Exact, Kernel, Taps


def scalar(value: Any) -> Exact | None:
    """Return a real or complex number as a pair of fractions; None where ``value`` is no number."""
    if isinstance(value, numbers.Rational):
        return Fraction(int(value.numerator), int(value.denominator)), Fraction(0)
    if not isinstance(value, numbers.Complex):
        return None
    number = complex(value)
    if not (math.isfinite(number.real) and math.isfinite(number.imag)):
        raise InputError(f"{value} is not a finite number: multiply by finite ones, and add only these")
    return Fraction(number.real), Fraction(number.imag)


def added(first: list[Exact], second: list[Exact]) -> list[Exact]:
    """Return the coefficients of the sum of two polynomials.

    Examples
    --------
    >>> one, half = (Fraction(1), Fraction(0)), (Fraction(1, 2), Fraction(0))
    >>> [real for real, _ in added([one], [half, one])]
    [Fraction(3, 2), Fraction(1, 1)]
    """
    return [(a[0] + b[0], a[1] + b[1]) for a, b in zip_longest(first, second, fillvalue=ZERO)]


def multiplied(first: list[Exact], second: list[Exact]) -> list[Exact]:
    """Return the coefficients of the product of two polynomials, multiplied as whole numbers by FLINT.

    Examples
    --------
    >>> one, half = (Fraction(1), Fraction(0)), (Fraction(1, 2), Fraction(0))
    >>> [real for real, _ in multiplied([half, one], [half, one])]
    [Fraction(1, 4), Fraction(1, 1), Fraction(1, 1)]
    """
    (re1, im1, scale1), (re2, im2, scale2) = whole(first), whole(second)
    scale, size = scale1 * scale2, len(first) + len(second) - 1
    real, imag = re1 * re2 - im1 * im2, re1 * im2 + im1 * re2
    return [(Fraction(int(real[k]), scale), Fraction(int(imag[k]), scale)) for k in range(size)]


def whole(pairs: list[Exact]) -> tuple[flint.fmpz_poly, flint.fmpz_poly, int]:
    """Return real and imaginary part times a common denominator, and that.

    Examples
    --------
    >>> whole([(Fraction(1, 2), Fraction(1)), (Fraction(1, 3), Fraction(0))])
    (2*x + 3, 6, 6)
    """
    scale = math.lcm(*(part.denominator for pair in pairs for part in pair))
    real, imag = (
        [part.numerator * (scale // part.denominator) for part in parts] for parts in zip(*pairs, strict=True)
    )
    return flint.fmpz_poly(real), flint.fmpz_poly(imag), scale


def nearest_kernel(coefficients: list[Exact]) -> tuple[Kernel, bool]:
    """Return the nearest float64 or complex128 kernel, and whether it is exact."""
    try:
        parts = [(float(x), float(y)) for x, y in coefficients]
    except OverflowError:
        raise InputError("a coefficient overflows float64: divide by a number first") from None
    same = [(Fraction(u), Fraction(v)) for u, v in parts] == coefficients
    real = all(y == 0 for _, y in coefficients)
    return np.array([u if real else complex(u, v) for u, v in parts]), same


def nearest_product(first: Kernel, second: Kernel) -> Kernel:
    """Return the convolution of two kernels, each tap the float64 nearest to it."""
    return nearest_kernel(multiplied(Taps(first).exact(), Taps(second).exact()))[0]


def nearest_sum(first: Kernel, second: Kernel) -> Kernel:
    """Return the sum of two kernels, each tap the float64 nearest to it."""
    return nearest_kernel(added(Taps(first).exact(), Taps(second).exact()))[0]
