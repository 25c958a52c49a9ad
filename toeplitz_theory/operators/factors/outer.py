"""The outer (minimum-phase) kernel, with a proved bound of how far its modulus is from the symbol's."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import flint
import numpy as np
import scipy.fft
from numpy.typing import NDArray

from toeplitz_theory.errors import InputError
from toeplitz_theory.operators.factors.cepstrum import by_cepstrum
from toeplitz_theory.operators.factors.reflect import by_reflection
from toeplitz_theory.operators.fft import fast_length, shift_exponent
from toeplitz_theory.operators.kernels import Kernel
from toeplitz_theory.operators.results import Zeros
from toeplitz_theory.operators.symbols.balls import to_acb
from toeplitz_theory.operators.symbols.taps import Scaled, Taps
from toeplitz_theory.operators.symbols.winding import wind
from toeplitz_theory.operators.symbols.zeros import isolate, proved_on_circle

if TYPE_CHECKING:
    from toeplitz_theory.operators.symbols.symbol import Symbol

_BITS = 256
_OVERSAMPLE = (4, 32)  # arcs per tap, tried in turn
_MOST_BY_ROOTS = 1100  # taps; isolating all zeros of a longer kernel takes seconds
# Of the 1-norm of the difference of autocorrelations over the mean of |a|^2. Rounding the outer taps alone
# gives about n u; a method that failed gives much more.
_GOOD_PER_TAP = 16 * 2.0**-53
_REFLECTED = "all zeros inside reflected in the circle"


@dataclass(frozen=True)
class OuterFactor:
    """The outer factor of a symbol and what is proved about it.

    Attributes
    ----------
    symbol : Symbol
        Same length as the kernel; its first tap is positive, the Mahler measure ``exp(mean log|a|)``.
    modulus_error : float
        A proved bound of ``max ||a|^2 - |outer|^2|`` on the circle, relative to the mean of |a|^2: both are
        trigonometric polynomials whose coefficients, the autocorrelations, are compared in ball arithmetic.
    index : int or None
        The proved Fredholm index of ``symbol``, 0 for an outer one. None where it has zeros on the circle or
        too close to tell; below 0 where rounding to float64 put a zero that belongs on the circle or next to
        it on the wrong side.
    certified : bool
        Whether ``symbol`` is proved to have no zero in the open disc.
    method : str
        How the taps were computed.

    Examples
    --------
    >>> from toeplitz_theory.operators import Symbol
    >>> found = Symbol([1.0, -2.0]).outer(full=True)
    >>> found.symbol.kernel.round(12).tolist(), found.index, found.modulus_error < 1e-14
    ([2.0, -1.0], 0, True)
    """

    symbol: Symbol
    modulus_error: float
    index: int | None
    certified: bool
    method: str

    def __str__(self) -> str:
        what = "outer, certified" if self.certified else f"not proved outer, index {self.index}"
        return f"{what}, |a|^2 met to {self.modulus_error:.1e} of its mean ({self.method})"


def outer_factor(taps: Taps) -> OuterFactor:
    """Return the outer factor of the polynomial ``taps``; `Symbol.outer` says more."""
    if taps.is_zero:
        raise InputError("the symbol is identically 0: it has no outer factor")
    scaled = taps.scaled()
    first = complex(scaled.values[0])
    own = _without_zeros_inside(scaled)
    if own is not None:  # the kernel is its own outer factor, up to a number of modulus 1
        turn = np.conj(first) / abs(first)
        core = scaled.values * (turn if np.iscomplexobj(scaled.values) else turn.real)
        error, method = modulus_error(scaled, core), own
    else:
        core, error, method = _best(scaled)
    return _finished(taps, core, error, method, own is not None and error == 0)


def reflected(taps: Taps, inside: NDArray[np.complex128]) -> OuterFactor:
    """Return the outer factor made of the zeros ``inside``: more of its phase is known where zeros crowd."""
    scaled = taps.scaled()
    core = by_reflection(scaled, inside[inside != 0])
    return _finished(taps, core, modulus_error(scaled, core), _REFLECTED, False)


def _finished(taps: Taps, core: Kernel, error: float, method: str, exact: bool) -> OuterFactor:
    from toeplitz_theory.operators.symbols.symbol import Symbol

    kernel = np.concatenate([core, np.zeros(taps.values.size - core.size, core.dtype)])
    outer = Symbol(shift_exponent(kernel, taps.scaled().exponent))
    index = outer.fredholm_index().value
    return OuterFactor(outer, error, index, index == 0 or exact, method)


def _without_zeros_inside(scaled: Scaled) -> str | None:
    """Return why the symbol, zeros at 0 divided out, is proved to have no zero in the open disc, or None."""
    proof = wind(scaled.exact)
    if proof.count == 0:
        return "the kernel itself: no zeros inside"
    if proof.count is None and scaled.values.size <= _MOST_BY_ROOTS:
        zeros = isolate(scaled.exact)
        open_zeros = undecided_zeros(scaled.exact, zeros)
        if zeros.certified and not zeros.inside().size and not open_zeros:
            return "the kernel itself: zeros on the circle, none inside"
    return None


def undecided_zeros(taps: Taps, zeros: Zeros) -> int:
    """Return how many zeros, with multiplicity, have a disc across the circle and no proof to be on it.

    Discs of different zeros are disjoint, so if exact arithmetic puts as many different zeros on the circle
    as there are discs across it, each disc's zero is one of them. Real taps only: of a complex polynomial
    exact arithmetic gives angles, not a count.
    """
    values = zeros.undecided()
    exact = values.size and taps.values.size <= _MOST_BY_ROOTS and not np.iscomplexobj(taps.values)
    if exact and len(proved_on_circle(taps)) == np.unique(values).size:
        return 0
    return int(values.size)


def _best(scaled: Scaled) -> tuple[Kernel, float, str]:
    """Return the taps, their modulus error and the method, of the methods that are worth trying the best."""
    limit = _GOOD_PER_TAP * (scaled.values.size + 8)
    short = scaled.values.size <= _MOST_BY_ROOTS
    found: list[tuple[float, str, Kernel]] = []
    for oversample in () if short and _mostly_rounding(scaled) else _OVERSAMPLE:
        taps = by_cepstrum(scaled, oversample)
        if taps is not None and np.isfinite(taps[0]).all():
            error = modulus_error(scaled, taps[0])
            found.append((error, "cepstrum, corrected by the zeros next to the circle", taps[0]))
            if error <= limit and not (short and taps[1]):
                return taps[0], error, found[-1][1]
    if short or not found:
        zeros = isolate(scaled.exact)
        core = by_reflection(scaled, np.asarray(zeros)[np.abs(np.asarray(zeros)) < 1.0])
        error = modulus_error(scaled, core)
        if zeros.certified and error <= limit:  # clusters: the phase is better known this way
            return core, error, _REFLECTED
        found.append((error, _REFLECTED, core))
    error, method, core = min(found, key=lambda entry: entry[0])
    return core, error, method


def _mostly_rounding(scaled: Scaled) -> bool:
    """Whether |a| is below float64's rounding on stretches of the circle, where log|a| says nothing."""
    size = np.abs(scipy.fft.fft(scaled.values, fast_length(4 * scaled.values.size)))
    noise = 2.0**-50 * float(np.abs(scaled.values).sum())
    return int(np.count_nonzero(size < noise)) > 8


def modulus_error(scaled: Scaled, outer: Kernel) -> float:
    """Return a proved bound of max ||a|^2 - |outer|^2| on the circle over the mean of |a|^2.

    ``|a|^2 = sum_k r_k z^k`` on the circle with the autocorrelation r, the coefficients of a times its
    conjugate reversed; so the sum of the differences of all r_k bounds the difference everywhere. ``outer``
    is in the units of ``scaled.values``.
    """
    with flint.ctx.workprec(_BITS):
        unit = flint.arb(2) ** (-scaled.exponent)
        first = [c * unit for c in to_acb(scaled.exact)]
        second = [flint.acb(complex(z)) for z in np.asarray(outer).tolist()]
        r, s = _autocorrelation(first), _autocorrelation(second)
        total = flint.arb(0)
        for x, y in zip(r, s, strict=True):
            total += abs(x - y)
        mean = abs(r[len(first) - 1])
        bound = float((total / mean).upper())
        return math.nextafter(bound, math.inf) if bound else 0.0


def _autocorrelation(taps: list[Any]) -> list[Any]:
    product = flint.acb_poly(taps) * flint.acb_poly([c.conjugate() for c in taps[::-1]])
    coefficients = list(product)
    return coefficients + [flint.acb(0)] * (2 * len(taps) - 1 - len(coefficients))
