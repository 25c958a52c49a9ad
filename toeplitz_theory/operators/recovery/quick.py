r"""Index, least modulus, Jensen deficit and delays in the time of a few transforms.

Index and least modulus are proved as always. Deficit and recovery curve come from samples of log|a| on one
grid: the outer factor's phase is the conjugate function of log|a|, so ``b = a / g`` has modulus 1 on the
nodes, and its coefficients are one transform away. Zeros next to the circle are too narrow for any grid: what
they do wrong folds back into the coefficients of negative order, where an inner function has none. So their
energy, and how far apart the two halves of the grid are, say how far deficit and curve may be off: estimates
both, and called so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from toeplitz_theory.display import Displayed
from toeplitz_theory.errors import InputError
from toeplitz_theory.operators.circle.jensen import log_first
from toeplitz_theory.operators.circle.modulus import min_modulus
from toeplitz_theory.operators.circle.winding import wind
from toeplitz_theory.operators.kernels import Scaled, Taps
from toeplitz_theory.operators.recovery.limit import energy_by_lag
from toeplitz_theory.operators.recovery.results import Recovery, all_after
from toeplitz_theory.operators.results import FredholmIndex, JensenDeficit, MinModulus

_POINTS_PER_TAP = 32  # at 64 the error is a quarter, at twice the time
_TIMES = 8.0  # of what is seen to be wrong; met: up to 4.2 times in 720 kernels drawn at random
_METHOD = "samples on one grid"
_INFINITE = JensenDeficit(math.inf, math.inf, math.inf, True, "the first tap is 0: a zero at the origin")


@dataclass(frozen=True, repr=False)
class QuickLook(Displayed):
    """What can be said of a symbol in a few milliseconds.

    Attributes
    ----------
    index : FredholmIndex
        Proved, as `Symbol.fredholm_index` does.
    min_modulus : MinModulus
        Proved, as `Symbol.min_modulus` does.
    jensen_deficit : JensenDeficit
        An estimate, and how far it may be off; proved where the index or the first tap is 0.
    recovery : Recovery
        Without noise: an estimate, whose ``error`` is one too; proved where the index is 0.

    Examples
    --------
    >>> from toeplitz_theory.operators import Symbol
    >>> look = Symbol([1.0, -2.0]).quick_look()
    >>> look.index.value, round(look.jensen_deficit.value, 9), look.jensen_deficit.certified
    (-1, 0.693147181, False)
    >>> look.recovery
    Recovery(0.25 at once, 90 % after 2, mean delay 1, estimate)
    """

    index: FredholmIndex
    min_modulus: MinModulus
    jensen_deficit: JensenDeficit
    recovery: Recovery


def quick_look(taps: Taps, tol: float = 0.0) -> QuickLook:
    """Return what `Symbol.quick_look` says of the polynomial ``taps``."""
    if taps.is_zero:
        raise InputError("the symbol is identically 0: it has no index, and its outputs give back nothing")
    winding = wind(taps, tol)
    index = FredholmIndex.of(winding)
    scaled = taps.scaled()
    if winding.count == scaled.lead:  # no zeros inside but those at 0
        empty = JensenDeficit(0.0, 0.0, 0.0, True, "no zero inside: the sum is empty")
        parts = _INFINITE if scaled.lead else empty, all_after(scaled.lead, scaled.lead + 1)
    else:
        parts = _sampled(scaled, winding.count)
    return QuickLook(index, min_modulus(taps), *parts)


def _sampled(scaled: Scaled, zeros_inside: int | None) -> tuple[JensenDeficit, Recovery]:
    points = 1 << max(10, math.ceil(math.log2(_POINTS_PER_TAP * scaled.values.size)))
    energy, mean, half_mean = energy_by_lag(scaled.values, points)
    leak = float(energy[points // 2 :].sum())
    error = min(1.0, _TIMES * (leak + abs(half_mean - mean)) + points * 2.0**-52)
    # Later by the zeros at 0.
    curve = np.concatenate([np.zeros(scaled.lead), np.minimum(np.cumsum(energy[: points // 2]), 1.0)])
    deficit = _INFINITE
    if not scaled.lead:
        first, slip = log_first(scaled)
        value = max(0.0, mean - first)
        deficit = JensenDeficit.around(value, error + slip, False, _METHOD, (0.0, math.inf))
        curve[0] = math.exp(-2.0 * value)  # which may be below what transforms resolve
        curve = np.maximum.accumulate(curve)
    return deficit, Recovery(curve, error, (1.0, 0.0), zeros_inside, False, math.inf, _METHOD)
