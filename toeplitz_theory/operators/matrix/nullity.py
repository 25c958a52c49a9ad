"""Numerical nullity: how many singular values of a section are negligible, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toeplitz_theory.errors import InputError, NumericalError
from toeplitz_theory.operators.circle.modulus import min_modulus
from toeplitz_theory.operators.circle.winding import wind
from toeplitz_theory.operators.kernels import Kernel, Taps, leading_zeros, resized
from toeplitz_theory.operators.matrix.condition import log10_condition
from toeplitz_theory.operators.matrix.singular import (
    SingularValues,
    all_values,
    dense_values,
    eigensolver_error,
    proved_values,
)
from toeplitz_theory.operators.rounding import UNIT_ROUNDOFF, split_scale

_DENSE_UP_TO = 16_384  # 2 GiB of matrix
_SAFE = 100  # multiples of LAPACK's error bound n u that the threshold keeps from the noise


class Nullity(int):
    """An integer: #{sigma_i <= rtol * sigma_max}, with the evidence for it.

    Attributes
    ----------
    lower, upper : int
        The count if every singular value is moved up, or down, by its error bound; equal when certain.
    certified : bool
        Whether the count is proved (``certify=True``). Where False, ``lower`` and ``upper`` rest on LAPACK's
        normwise error bound n u sigma_max.
    method : str
        Where the singular values came from.
    rtol : float
        The threshold, relative to the largest singular value.
    n : int
        Size of the section.

    Examples
    --------
    >>> from toeplitz_theory.operators import CausalToeplitz
    >>> nullity = CausalToeplitz([1.0, -2.0], n=64).nullity()
    >>> nullity + 0, nullity.lower, nullity.upper, nullity.n
    (1, 1, 1, 64)
    """

    lower: int
    upper: int
    rtol: float
    n: int
    certified: bool
    method: str

    def __new__(
        cls,
        count: int,
        lower: int,
        upper: int,
        rtol: float,
        n: int,
        certified: bool = False,
        method: str = "",
    ) -> Nullity:
        self = super().__new__(cls, count)
        self.lower, self.upper, self.rtol, self.n = lower, upper, rtol, n
        self.certified, self.method = certified, method
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        state = (int(self), self.lower, self.upper, self.rtol, self.n, self.certified, self.method)
        return Nullity, state

    def __repr__(self) -> str:
        doubt = "" if self.lower == self.upper else f", between {self.lower} and {self.upper}"
        return f"Nullity({int(self)}{doubt}; n={self.n}, rtol={self.rtol:g})"


def nullity(taps: Kernel, rtol: float, certify: bool = False) -> Nullity:
    """Return the nullity of the section with first column ``taps`` (n,); see `CausalToeplitz.nullity`."""
    if not 0 <= rtol < 1:
        raise InputError(
            f"rtol is {rtol}: the threshold relative to the largest singular value, 0 <= rtol < 1"
        )
    n, zeros = taps.size, leading_zeros(taps)
    if zeros == n or rtol == 0:
        return Nullity(zeros, zeros, zeros, rtol, n, True, "leading zero taps")
    if n > _DENSE_UP_TO:
        return _without_a_matrix(taps, rtol, zeros)
    scaled = split_scale(taps)[0]
    if rtol < _SAFE * n * UNIT_ROUNDOFF:  # at the noise of dense float64: compare logarithms instead
        return _by_logarithms(all_values(taps), rtol)
    if certify:
        values, error = proved_values(scaled[zeros:])
        found = count_below(np.pad(values, (0, zeros)), _errors(n, zeros, error), rtol, "proved eigenvalues")
        found.certified = found.lower == found.upper
        return found
    values = dense_values(scaled)
    errors = _errors(n, zeros, eigensolver_error(values))
    return count_below(values, errors, rtol, "eigenvalues, to LAPACK's error bound")


def _without_a_matrix(taps: Kernel, rtol: float, zeros: int) -> Nullity:
    """Return the nullity where a bound of the condition number proves that it is that of the zero taps."""
    n = taps.size
    # The singular values of S^zeros T' are those of T' and exact zeros.
    bound = log10_condition(taps[zeros:], tight=False).upper
    if bound < -math.log10(rtol) - 1e-12:
        return Nullity(zeros, zeros, zeros, rtol, n, True, "bound of the condition number")
    raise NumericalError(
        f"the nullity of a {n} x {n} section needs a dense matrix of {8 * n * n / 2**30:.0f} GiB: "
        f"take a section of n <= {_DENSE_UP_TO}, or its smallest singular values with singular_values(k)"
    )


def _errors(n: int, zeros: int, error: float) -> NDArray[np.float64]:
    errors = np.full(n, error)
    errors[n - zeros :] = 0.0
    return errors


def _by_logarithms(found: SingularValues, rtol: float) -> Nullity:
    limit = found.log10[0] + math.log10(rtol)
    with np.errstate(divide="ignore", invalid="ignore"):
        upwards = found.log10 + np.log10(1 + found.relative_error)
        downwards = found.log10 + np.log10(np.maximum(1 - found.relative_error, 0.0))
    slack = float(np.log10(1 + found.relative_error[0])) + 1e-14 * abs(limit)
    unknown = np.isinf(found.relative_error)
    lower = int(np.count_nonzero((upwards <= limit - slack) & ~unknown))
    upper = int(np.count_nonzero((downwards <= limit + slack) | unknown))
    count = min(max(int(np.count_nonzero(found.log10 <= limit)), lower), upper)
    return Nullity(count, lower, upper, rtol, len(found), False, found.method)


def count_below(
    values: NDArray[np.float64], errors: NDArray[np.float64], rtol: float, method: str = ""
) -> Nullity:
    """Count the ``values`` (n,), descending and known to ``errors`` (n,), that are <= rtol * values[0].

    Examples
    --------
    >>> count_below(np.array([1.0, 1e-3, 1e-9]), np.full(3, 1e-15), 1e-6)
    Nullity(1; n=3, rtol=1e-06)
    >>> count_below(np.array([1.0, 1e-6]), np.full(2, 1e-15), 1e-6)
    Nullity(1, between 0 and 1; n=2, rtol=1e-06)
    """
    top, top_error = float(values[0]), float(errors[0])
    count = int(np.count_nonzero(values <= rtol * top))
    lower = int(np.count_nonzero(values + errors <= rtol * (top - top_error)))
    upper = int(np.count_nonzero(values - errors <= rtol * (top + top_error)))
    return Nullity(count, min(lower, count), max(upper, count), rtol, values.size, False, method)


# Roch and Silbermann's splitting: the singular values that go to 0 are as many as the zeros inside.


@dataclass(frozen=True, eq=False)
class Splitting:
    """The smallest singular values of growing sections of one symbol.

    For a fixed symbol of index -k, Fredholm, exactly k singular values of the n x n sections tend to 0 as n
    grows, exponentially, and the others stay above about min|a| (Roch and Silbermann, Asymptotic behavior of
    singular values of Toeplitz sections, 1996; Boettcher and Silbermann 1999, ch. 4).

    Attributes
    ----------
    sizes : ndarray of int, shape (m,)
        Sizes n of the sections.
    values : ndarray, shape (m, count)
        The smallest singular values of each, ascending; nan where a section has fewer.
    inside : int or None
        Proved number of zeros inside; None where there is one on the circle.
    floor : float
        Proved lower bound of min|a| on the circle.
    noise : ndarray, shape (m,)
        n u sigma_max: what a float64 SVD cannot tell from 0.

    Examples
    --------
    >>> from toeplitz_theory.operators import Symbol
    >>> found = Symbol([1.0, -2.0]).splitting([8, 16], count=2)
    >>> found.inside, (found.values[:, 0] < 0.01).tolist(), (found.values[:, 1] > found.floor).tolist()
    (1, [True, True], [True, True])
    """

    sizes: NDArray[np.int64]
    values: NDArray[np.float64]
    inside: int | None
    floor: float
    noise: NDArray[np.float64]


def splitting(taps: Taps, sizes: Sequence[int], count: int | None = None) -> Splitting:
    """Return the smallest singular values of the sections of the symbol ``taps``; see `Symbol.splitting`."""
    if not len(sizes) or any(int(n) != n or n < 1 for n in sizes):
        raise InputError(f"sizes={sizes!r}: pass at least one positive integer")
    winding = wind(taps)
    if count is None:
        count = (winding.count or 0) + 3
    if count < 1:
        raise InputError(f"count={count}: pass a positive number of singular values")
    values = np.full((len(sizes), count), np.nan)
    noise = np.zeros(len(sizes))
    for row, n in enumerate(sizes):
        found = all_values(resized(taps.values, int(n))).values
        values[row, : min(count, n)] = found[::-1][:count]
        noise[row] = n * UNIT_ROUNDOFF * found[0]
    return Splitting(np.array(sizes, np.int64), values, winding.count, min_modulus(taps).lower, noise)
