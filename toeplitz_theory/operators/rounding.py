"""Rounding in float64: its unit, the error of an FFT, exact scaling by powers of two, the float formats."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from toeplitz_theory.errors import InputError

UNIT_ROUNDOFF = 2.0**-53


class FloatFormat(NamedTuple):
    """A binary float format: bits of the significand (the implicit one too), ``frexp`` exponent of the
    smallest normal number.
    """

    bits: int
    smallest: int


# IEEE 754; bfloat16 is float32 cut to 8 bits.
FLOAT_FORMATS = {
    "bfloat16": FloatFormat(8, -125),
    "float16": FloatFormat(11, -13),
    "float32": FloatFormat(24, -125),
    "float64": FloatFormat(53, -1021),
}


def float_format(dtype: Any) -> tuple[str, FloatFormat]:
    """Return name and format of ``dtype``: a name, or a torch or NumPy dtype.

    Examples
    --------
    >>> float_format("torch.bfloat16")
    ('bfloat16', FloatFormat(bits=8, smallest=-125))
    """
    name = str(dtype).removeprefix("torch.")
    if name not in FLOAT_FORMATS:
        raise InputError(f"dtype is {dtype!r}: choose from {', '.join(FLOAT_FORMATS)}")
    return name, FLOAT_FORMATS[name]


def fft_error(length: int) -> float:
    """Return d with ``||fl(F x) - F x||_2 <= d ||F x||_2`` for transforms F of this length, or inverse ones.

    Also ``|fl(F x)_j - (F x)_j| <= d ||x||_1`` for every j. Higham (Accuracy and Stability of Numerical
    Algorithms, 2nd ed., theorem 24.2) proves 7 u a stage of radix 2 with twiddles right to one rounding; the
    radices 3, 4 and 5 used here do less work per factor of two. 10 leaves room.
    """
    return 10.0 * UNIT_ROUNDOFF * math.log2(length)


def split_scale(values: NDArray[Any]) -> tuple[NDArray[Any], int]:
    """Return ``(scaled, e)`` with ``values == scaled * 2**e`` and the largest part of ``scaled`` in [1/2, 1).

    A part more than 2**1000 times smaller than the largest may round, by at most 2**-1075: nothing beside the
    whole, but everything to the part itself: where small parts count, as in an inverse, go to balls.
    Zero arrays come back with e = 0.

    Examples
    --------
    >>> split_scale(np.array([6.0, 1.0]))
    (array([0.75 , 0.125]), 3)
    """
    largest = float(np.max(np.abs(_parts(values)), initial=0.0))
    exponent = int(np.frexp(largest)[1])
    return shift_exponent(values, -exponent), exponent


def without_specks(values: NDArray[Any]) -> NDArray[Any]:
    """Return ``values`` with those below 2^-110 of the largest set to 0, before LAPACK reduces a matrix.

    Where squares underflow its reflections are orthogonal to ten digits only, and errors of 1e-10 of the
    largest singular value were seen. What is left out moves a singular value by n 2^-110 of the largest.
    """
    size = np.abs(values)
    return np.where(size < 2.0**-110 * size.max(initial=0.0), 0.0, values)


def shift_exponent(values: NDArray[Any], exponent: int) -> NDArray[Any]:
    """Return ``values * 2**exponent``; exact unless a result leaves float64's range (then inf or subnormal).

    Examples
    --------
    >>> shift_exponent(np.array([3.0, 4.0j]), -2)
    array([0.75+0.j, 0.  +1.j])
    """
    if exponent == 0:
        return values
    with np.errstate(over="ignore", under="ignore"):
        shifted = np.ldexp(_parts(values), exponent)
    return shifted.view(values.dtype) if np.iscomplexobj(values) else shifted


def _parts(values: NDArray[Any]) -> NDArray[np.float64]:
    contiguous = np.ascontiguousarray(values)
    return contiguous.view(np.float64) if np.iscomplexobj(contiguous) else contiguous
