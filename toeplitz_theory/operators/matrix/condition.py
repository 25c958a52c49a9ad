"""The 2-norm condition number of a finite section in log10, bracketed with proof, at any size."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from toeplitz_theory.operators.kernels import Kernel, leading_zeros
from toeplitz_theory.operators.matrix.inverse import inverse_series
from toeplitz_theory.operators.matrix.norm import norm_bracket
from toeplitz_theory.operators.product import CausalProduct
from toeplitz_theory.operators.results import Bracket
from toeplitz_theory.operators.rounding import UNIT_ROUNDOFF, split_scale

_LOG10_2 = math.log10(2.0)


@dataclass(frozen=True, repr=False)
class Condition(Bracket):
    """log10 of ``kappa = sigma_max / sigma_min``, with a bracket that is proved.

    Attributes
    ----------
    value : float
        Best estimate, between the ends; `math.inf` for a singular matrix.
    lower, upper : float
        ``lower <= log10(kappa) <= upper``, rounding included.
    certified : bool
        Whether the proof fixes ``value`` itself: ``upper - lower <= 1e-6``, or singular. Where False, the
        bracket still holds and ``value`` is an estimate within it.
    method : str
        What proved the upper ends of sigma_max and of 1/sigma_min: "circle", "deflation" or "schur"
        each (see `norm`); or "exact".
    exact_nullity : int
        Dimension of the kernel in exact arithmetic: the number of leading zero taps.
    note : str
        Why the value is infinite, else empty.

    Examples
    --------
    >>> from toeplitz_theory.operators import CausalToeplitz
    >>> kappa = CausalToeplitz([1.0, -2.0], n=4).log10_condition()
    >>> round(kappa.value, 6), kappa.certified, kappa.lower <= kappa.value <= kappa.upper
    (1.47455, True, True)
    """

    exact_nullity: int = 0
    note: str = ""


def log10_condition(
    taps: Kernel, tight: bool | None = None, norm: Callable[[], Bracket] | None = None
) -> Condition:
    """Return the condition number of the section with first column ``taps`` (n,); see `CausalToeplitz`.

    ``sigma_max`` is the norm of T, ``1/sigma_min`` that of its inverse, which is triangular Toeplitz again
    with the coefficients of 1/a as its first column; `norm_bracket` brackets both, scaled by powers of two.
    ``norm`` gives the first bracket where somebody keeps it.
    """
    zeros = leading_zeros(taps)
    if zeros == taps.size:
        return _singular(zeros, "zero matrix: every tap is 0")
    if zeros:
        return _singular(zeros, f"w[0] = 0: singular, nullity {zeros} in exact arithmetic")
    if not taps[1:].any():  # a multiple of the identity
        return Condition(0.0, 0.0, 0.0, True, "exact")
    scaled, exponent = split_scale(taps)
    largest = norm_bracket(CausalProduct(scaled), tight) if norm is None else norm()
    inverse, inverse_exponent, error = inverse_series(taps).common()
    smallest = norm_bracket(CausalProduct(inverse), tight)
    powers = exponent + inverse_exponent
    # Scaling flushes taps 2**-1000 below the largest to subnormals: less than n 2**-1070 in norm.
    lower = _log10(largest.lower - taps.size * 2.0**-1070, smallest.lower - error, powers, -1)
    upper = _log10(largest.upper + taps.size * 2.0**-1070, smallest.upper + error, powers, +1)
    lower = max(lower, 0.0)
    value = min(max(_log10(largest.value, smallest.value, powers, 0), lower), upper)
    method = ", ".join(dict.fromkeys((largest.method, smallest.method)))
    return Condition(value, lower, upper, upper - lower <= 1e-6, method)


def _singular(nullity: int, note: str) -> Condition:
    return Condition(math.inf, math.inf, math.inf, True, "exact", nullity, note)


def _log10(first: float, second: float, powers: int, direction: int) -> float:
    """Return log10(first * second * 2**powers), moved outwards by more than its rounding."""
    if min(first, second) <= 0:
        return -math.inf
    terms = (math.log10(first), math.log10(second), powers * _LOG10_2)
    # A logarithm rounds by at most 2 ulp, the product by two roundings, each sum by one.
    return math.fsum(terms) + direction * 8 * UNIT_ROUNDOFF * (1 + sum(map(abs, terms)))
