"""Numerical nullity: how many singular values of a section are negligible, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from toeplitz_theory.display import Displayed
from toeplitz_theory.errors import InputError
from toeplitz_theory.operators.circle.modulus import min_modulus
from toeplitz_theory.operators.circle.winding import wind
from toeplitz_theory.operators.kernels import Kernel, Taps, leading_zeros, resized
from toeplitz_theory.operators.matrix.condition import log10_condition
from toeplitz_theory.operators.matrix.schur import count_above
from toeplitz_theory.operators.matrix.singular import (
    ALL_UP_TO,
    SingularValues,
    all_values,
    check_room,
    eigensolver_error,
    proved_values,
)
from toeplitz_theory.operators.results import Bracket, Count
from toeplitz_theory.operators.rounding import UNIT_ROUNDOFF, split_scale

_DENSE_UP_TO = 512  # above, the values are counted, not computed: quadratic time and a few vectors
_DOUBT = 0.01  # relative shift of the threshold beyond which counting is not tried
_DOUBT_TO_PROVE = 0.1  # the same where a proof is wanted
_SAFE = 100  # multiples of LAPACK's error bound n u that the threshold keeps from the noise


class Nullity(Count):
    """An integer: #{sigma_i <= rtol * sigma_max}, with the evidence for it.

    Attributes
    ----------
    lower, upper : int
        The count if every singular value is moved up, or down, by its error bound; equal when certain.
    certified : bool
        Whether the count is proved. Where False, ``lower`` and ``upper`` rest on LAPACK's normwise error
        bound n u sigma_max, or beyond 512 tokens on an estimate of the rounding in a count.
    method : str
        Where the singular values came from, or what counted them.
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

    upper: int
    rtol: float
    n: int
    method: str

    def __repr__(self) -> str:
        doubt = "" if self.lower == self.upper else f", between {self.lower} and {self.upper}"
        return f"Nullity({int(self)}{doubt}; n={self.n}, rtol={self.rtol:g})"


def nullity(
    taps: Kernel,
    rtol: float,
    certify: bool,
    norm: Callable[[], Bracket],
    known: Callable[[], NDArray[np.float64]],
) -> Nullity:
    """Return the nullity of the section with first column ``taps`` (n,); see `CausalToeplitz.nullity`.

    ``norm`` gives the bracket of its norm and ``known`` its singular values, taps scaled by `split_scale`.
    """
    if not 0 <= rtol < 1:
        raise InputError(
            f"rtol is {rtol}: the threshold relative to the largest singular value, 0 <= rtol < 1"
        )
    n, zeros = taps.size, leading_zeros(taps)
    if zeros == n or rtol == 0:
        return Nullity(zeros, zeros, zeros, True, rtol=rtol, n=n, method="leading zero taps")
    if n > _DENSE_UP_TO:
        counted = _by_counting(taps, zeros, rtol, certify, norm)
        if counted is not None and (counted.certified or not certify or n > ALL_UP_TO):
            return counted
    what = f"the nullity of this {n} x {n} section at rtol={rtol:g} needs"
    check_room(n, what, ", a larger rtol, or its smallest singular values with singular_values(k)")
    scaled = split_scale(taps)[0]
    if rtol < _SAFE * n * UNIT_ROUNDOFF:  # at the noise of dense float64: compare logarithms instead
        return _by_logarithms(all_values(taps), rtol)
    if certify:
        values, error = proved_values(scaled[zeros:])
        proved = count_below(values, error, rtol, "proved eigenvalues", zeros)
        proved.certified = proved.lower == proved.upper
        return proved
    values = known()
    error, method = eigensolver_error(values), "eigenvalues, to LAPACK's error bound"
    return count_below(values[: n - zeros], error, rtol, method, zeros)


def _by_counting(
    taps: Kernel, zeros: int, rtol: float, certify: bool, norm: Callable[[], Bracket]
) -> Nullity | None:
    """Return the nullity by Schur's count at both ends of where ``rtol sigma_max`` may lie; None if it fails.

    The ends are moved outwards by what rounding does to a count. Its proved bound (`count_above`) is of order
    n^2 u / rtol^2 and seldom less than 1 at rtol = 1e-6; what was met, against values in many bits, is below
    2000 u / rtol for kernels drawn at random and below u / (100 rtol^2) for binomials.
    """
    n = taps.size
    shift = 4.0 * n * UNIT_ROUNDOFF / rtol + 0.01 * UNIT_ROUNDOFF / rtol**2
    if shift > _DOUBT:
        return None
    rest = split_scale(taps)[0][zeros:]  # T = S^zeros T': the values of T', and exact zeros
    top = norm()
    count = _between(rest, rtol, top, shift)
    if count is not None and certify and not count.proved and count.doubt < _DOUBT_TO_PROVE:
        count = _between(rest, rtol, top, 1.1 * count.doubt) or count
    if count is None:
        return None
    lower, upper = n - count.above, n - count.below
    method, proved = "Schur's count", count.proved and lower == upper
    if (
        upper == zeros
        and not proved
        and log10_condition(taps[zeros:], False).upper < -math.log10(rtol) - 1e-12
    ):
        method, proved = "bound of the condition number", True
    value = lower
    if lower < upper and top.value > top.lower * (1 + shift):  # else the first count was as good as there
        middle = count_above(rest, rtol * top.value)
        value = lower if middle is None else min(max(n - middle[0], lower), upper)
    if not proved:
        method += ", rounding estimated"
    return Nullity(value, lower, upper, proved, rtol=rtol, n=n, method=method)


class _Count(NamedTuple):
    """How many values lie above the threshold, at most and at least; whether proved, and within what."""

    above: int
    below: int
    proved: bool
    doubt: float


def _between(taps: Kernel, rtol: float, top: Bracket, shift: float) -> _Count | None:
    """Count at both ends of the bracket of ``rtol sigma_max``, moved outwards by ``shift``, relative."""
    first, last = rtol * top.lower, rtol * top.upper
    at_first, at_last = count_above(taps, first * (1 - shift)), count_above(taps, last * (1 + shift))
    if at_first is None or at_last is None:
        return None
    (above, _, high), (below, low, _) = at_first, at_last
    doubt = max(high / first, last / low if low else math.inf) - (1 - shift)
    proved = above >= below and high < first * (1 - 1e-15) and low > last * (1 + 1e-15)
    return _Count(max(above, below), min(above, below), proved, doubt)


def _by_logarithms(values: SingularValues, rtol: float) -> Nullity:
    limit = values.log10[0] + math.log10(rtol)
    slack = float(np.log10(1 + values.relative_error[0])) + 1e-14 * abs(limit)
    with np.errstate(divide="ignore", invalid="ignore"):  # an infinite error moves a value to inf, and to 0
        upwards = values.log10 + np.log10(1 + values.relative_error)
        downwards = values.log10 + np.log10(np.maximum(1 - values.relative_error, 0.0))
        ends = (values.log10, limit), (upwards, limit - slack), (downwards, limit + slack)
        count, lower, upper = (int(np.count_nonzero(logs <= end)) for logs, end in ends)
    return Nullity(count, lower, upper, rtol=rtol, n=len(values), method=values.method)


def count_below(
    values: NDArray[np.float64], error: float, rtol: float, method: str, zeros: int = 0
) -> Nullity:
    """Count the ``values``, descending and known to ``error``, that are <= rtol * values[0], and exact zeros.

    Examples
    --------
    >>> count_below(np.array([1.0, 1e-3, 1e-9]), 1e-15, 1e-6, "")
    Nullity(1; n=3, rtol=1e-06)
    >>> count_below(np.array([1.0, 1e-6]), 1e-15, 1e-6, "")
    Nullity(1, between 0 and 1; n=2, rtol=1e-06)
    """
    count, lower, upper = (
        zeros + int(np.count_nonzero(values + moved <= rtol * (values[0] - moved)))
        for moved in (0.0, error, -error)
    )
    return Nullity(count, lower, upper, rtol=rtol, n=values.size + zeros, method=method)


# Roch and Silbermann's splitting: the singular values that go to 0 are as many as the zeros inside.


@dataclass(frozen=True, eq=False, repr=False)
class Splitting(Displayed):
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
    >>> falling = Symbol([1.0, -2.0]).splitting([8, 16], count=2)
    >>> falling.inside, bool((falling.values[:, 0] < 0.01).all())
    (1, True)
    >>> bool((falling.values[:, 1] > falling.floor).all())
    True
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
        singular = all_values(resized(taps.values, int(n))).values
        values[row, : min(count, n)] = singular[::-1][:count]
        noise[row] = n * UNIT_ROUNDOFF * singular[0]
    return Splitting(np.array(sizes, np.int64), values, winding.count, min_modulus(taps).lower, noise)
