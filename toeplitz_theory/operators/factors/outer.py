"""The outer (minimum-phase) kernel, with a proved bound of how far its modulus is from the symbol's."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import flint
import numpy as np
import scipy.fft
from numpy.typing import NDArray

from toeplitz_theory.display import Displayed
from toeplitz_theory.errors import InputError
from toeplitz_theory.operators.bits import precision, to_acb
from toeplitz_theory.operators.circle.winding import wind
from toeplitz_theory.operators.circle.zeros import ISOLATED_UP_TO, all_zeros
from toeplitz_theory.operators.factors.cepstrum import by_cepstrum
from toeplitz_theory.operators.kernels import Kernel, Scaled, Taps, resized
from toeplitz_theory.operators.product import fast_length
from toeplitz_theory.operators.rounding import UNIT_ROUNDOFF, fft_error, shift_exponent

if TYPE_CHECKING:
    from toeplitz_theory.operators.symbol import Symbol

_BITS = 256
_OVERSAMPLE = (4, 32)  # arcs per tap, tried in turn
_MOST_ISOLATED = 4200  # taps; isolating all zeros of a longer kernel takes more than a few seconds
# Of the 1-norm of the difference of autocorrelations over the mean of |a|^2. Rounding the outer taps alone
# gives about n u; a method that failed gives much more.
GOOD_PER_TAP = 16 * 2.0**-53
_NODES_PER_TAP = 8  # at least, of the circle, where a modulus is compared on nodes
_REFLECTED = "all zeros inside reflected in the circle"


@dataclass(frozen=True, repr=False)
class OuterFactor(Displayed):
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


def outer_factor(taps: Taps, wrap: Callable[[Kernel], Symbol]) -> OuterFactor:
    """Return the outer factor of the polynomial ``taps``, a symbol by ``wrap``; `Symbol.outer` says more."""
    if taps.is_zero:
        raise InputError("the symbol is identically 0: it has no outer factor")
    comb = taps.comb()
    if comb is not None:
        factor = outer_factor(comb.core, wrap)
        symbol = wrap(comb.spread(factor.symbol.kernel, taps.values.size))
        index = None if factor.index is None else comb.step * factor.index
        return replace(factor, symbol=symbol, index=index, method=comb.note(factor.method))
    scaled = taps.scaled()
    own = without_zeros_inside(scaled)
    if own is not None:  # the kernel is its own outer factor, up to a number of modulus 1
        turn = np.conj(scaled.direction())
        core = scaled.values * (turn if np.iscomplexobj(scaled.values) else turn.real)
        error, method = modulus_error(scaled, core), own
    else:
        core, error, method = best_taps(scaled)
    return _finished(taps, wrap, core, error, method, own is not None)


def reflected(taps: Taps, wrap: Callable[[Kernel], Symbol], inside: NDArray[np.complex128]) -> OuterFactor:
    """Return the outer factor made of the zeros ``inside``: more of its phase is known where zeros crowd."""
    scaled = taps.scaled()
    core = by_reflection(scaled, inside[inside != 0])
    return _finished(taps, wrap, core, modulus_error(scaled, core), _REFLECTED, False)


def _finished(
    taps: Taps, wrap: Callable[[Kernel], Symbol], core: Kernel, error: float, method: str, own: bool
) -> OuterFactor:
    scaled = taps.scaled()
    stored = shift_exponent(core, scaled.exponent)
    kept = shift_exponent(stored, -scaled.exponent)
    if not np.array_equal(kept, core):  # subnormal taps were rounded
        error = modulus_error(scaled, kept)
    outer = wrap(resized(stored, taps.values.size))
    count = wind(Taps(outer.kernel)).count
    certified = count == 0 or (own and error == 0)
    return OuterFactor(outer, error, None if count is None else -count, certified, method)


def without_zeros_inside(scaled: Scaled) -> str | None:
    """Return why the symbol, zeros at 0 divided out, is proved to have no zero in the open disc, or None."""
    proof = wind(scaled.exact)
    if proof.count == 0:
        return "the kernel itself: no zeros inside"
    n = scaled.values.size
    if proof.count is None and n <= _MOST_ISOLATED and not wind(scaled.exact, radius=1 - 0.25 / n).count:
        zeros = all_zeros(scaled.exact)
        if zeros.certified and not zeros.inside().size and zeros.settled:
            return "the kernel itself: zeros on the circle, none inside"
    return None


def best_taps(scaled: Scaled) -> tuple[Kernel, float, str]:
    """Return the taps, their modulus error and the method, of the methods that are worth trying the best."""
    limit = GOOD_PER_TAP * (scaled.values.size + 8)
    short = scaled.values.size <= ISOLATED_UP_TO
    tried: list[tuple[float, str, Kernel]] = []
    for oversample in () if short and _mostly_rounding(scaled) else _OVERSAMPLE:
        taps = by_cepstrum(scaled, oversample)
        if taps is not None and np.isfinite(taps[0]).all():
            error = modulus_error(scaled, taps[0])
            tried.append((error, "cepstrum, corrected by the zeros next to the circle", taps[0]))
            if error <= limit and not (short and taps[1]):
                return taps[0], error, tried[-1][1]
    if short or not tried:
        zeros = all_zeros(scaled.exact)
        sizes = np.abs(np.asarray(zeros))
        core = by_reflection(scaled, np.asarray(zeros)[(sizes < 1.0) & (sizes > 0.0)])
        error = modulus_error(scaled, core)
        if zeros.certified and error <= limit:  # clusters: the phase is better known this way
            return core, error, _REFLECTED
        tried.append((error, _REFLECTED, core))
    error, method, core = min(tried, key=lambda entry: entry[0])
    return core, error, method


def _mostly_rounding(scaled: Scaled) -> bool:
    """Whether |a| is below float64's rounding on stretches of the circle, where log|a| says nothing."""
    size = np.abs(scipy.fft.fft(scaled.values, fast_length(4 * scaled.values.size)))
    noise = 2.0**-50 * float(np.abs(scaled.values).sum())
    return int(np.count_nonzero(size < noise)) > 8


def modulus_error(scaled: Scaled, outer: Kernel, noise: float = 0.0) -> float:
    """Return a proved bound of max ||a|^2 + noise^2 - |outer|^2| on the circle over the mean of |a|^2.

    ``|a|^2 = sum_k r_k z^k`` on the circle with the autocorrelation r, the coefficients of a times its
    conjugate reversed; so the sum of the differences of all r_k bounds the difference everywhere. ``outer``
    and ``noise`` are in the units of ``scaled.values``.
    """
    with precision(_BITS):
        unit = flint.arb(2) ** (-scaled.exponent)
        first = [c * unit for c in to_acb(scaled.exact)]
        second = [flint.acb(complex(z)) for z in np.asarray(outer).tolist()]
        r, s = _autocorrelation(first), _autocorrelation(second)
        mean = abs(r[len(first) - 1])
        r[len(first) - 1] += flint.arb(noise) ** 2
        total = sum((abs(x - y) for x, y in zip(r, s, strict=True)), flint.arb(0))
        bound = float((total / mean).upper())
        return math.nextafter(bound, math.inf) if bound else 0.0


def modulus_gap(scaled: Scaled, outer: Kernel, noise: float = 0.0) -> float:
    """Return a proved bound of max ||a|^2 + noise^2 - |outer|^2| on the circle, in the units of ``scaled``.

    Faster than `modulus_error`, and coarser by float64's rounding. The difference is a trigonometric
    polynomial of degree below n, and those are at most 1 / cos(pi n / N) times their largest value on N
    equidistant nodes: as far as pi / N from its maximum M it stays above M cos(n angle) (M. Riesz).
    """
    n = max(scaled.values.size, outer.size)
    points = 1 << math.ceil(math.log2(_NODES_PER_TAP * n))
    total: Any = noise**2
    slack: Any = 4.0 * UNIT_ROUNDOFF * noise**2
    for taps, off, sign in ((scaled.values, scaled.error, 1.0), (outer, 0.0, -1.0)):
        size = np.abs(scipy.fft.fft(taps, points))
        off += fft_error(points) * float(np.abs(taps).sum())
        total = total + sign * size**2
        slack = slack + off * (2.0 * size + off) + 8.0 * UNIT_ROUNDOFF * size**2
    return 1.01 * float((np.abs(total) + slack).max()) / math.cos(math.pi * n / points)


def _autocorrelation(taps: list[Any]) -> list[Any]:
    product = flint.acb_poly(taps) * flint.acb_poly([c.conjugate() for c in taps[::-1]])
    return [product[k] for k in range(2 * len(taps) - 1)]


# How early a kernel's energy comes, against the earliest that its modulus on the circle allows.


@dataclass(frozen=True, repr=False)
class EnergyDelay(Displayed):
    """Energy of the first taps of a kernel and of its outer factor, which has the same energy in all.

    Robinson's theorem: among kernels with the same modulus on the circle the outer one has the most energy in
    its first m + 1 taps, for every m (Robinson, Random Wavelets and Cybernetic Systems, 1962; Oppenheim,
    Schafer, Discrete-Time Signal Processing, section 5.6.3).

    Attributes
    ----------
    kernel, outer : ndarray, shape (n,)
        ``sum_{k <= m} |w_k|^2`` over the total energy of the kernel: shares from 0 to 1.
    mean_delay, outer_mean_delay : float
        ``sum_k k |w_k|^2 / sum_k |w_k|^2`` of the two, in tokens.
    distance : float
        ``min_c ||w - c outer||_2 / ||w||_2`` over the numbers c of modulus 1: 0 for a minimum-phase kernel,
        at most sqrt(2).
    error : float
        The rounding of the outer taps moves no entry of ``outer`` by more, as an estimate.

    Examples
    --------
    >>> from toeplitz_theory.operators import Symbol
    >>> delay = Symbol([1.0, -2.0]).energy_delay()
    >>> delay.kernel.round(12).tolist(), delay.outer.round(12).tolist(), round(delay.excess_delay, 12)
    ([0.2, 1.0], [0.8, 1.0], 0.6)
    """

    kernel: NDArray[np.float64]
    outer: NDArray[np.float64]
    mean_delay: float
    outer_mean_delay: float
    distance: float
    error: float

    @property
    def excess_delay(self) -> float:
        """Tokens by which the kernel's energy comes later in the mean than its outer factor's, at least 0."""
        return self.mean_delay - self.outer_mean_delay

    def __str__(self) -> str:
        return (
            f"energy {self.excess_delay:.4g} tokens later than the outer factor's in the mean, "
            f"relative distance {self.distance:.4g}"
        )


def energy_delay(kernel: Kernel, factor: OuterFactor) -> EnergyDelay:
    """Return the energy curves of ``kernel`` and of its outer factor."""
    scale = float(np.abs(kernel).max())
    w, g = kernel / scale, factor.symbol.kernel / scale
    curves = [np.cumsum(np.abs(x) ** 2) for x in (w, g)]
    total = float(curves[0][-1])
    k = np.arange(w.size)
    delays = [float((k * np.abs(x) ** 2).sum() / (np.abs(x) ** 2).sum()) for x in (w, g)]
    inner = complex(np.vdot(g, w))
    # Where w and g are orthogonal every c is as good.
    turn = inner / abs(inner) if inner else 1.0
    distance = float(np.linalg.norm(w - turn * g) / math.sqrt(total))
    # Squares at 4 u and sums at n u, of both.
    error = factor.modulus_error + 2.0 * (w.size + 8) * 2.0**-53
    return EnergyDelay(curves[0] / total, curves[1] / total, delays[0], delays[1], distance, error)


# The outer factor from the zeros inside: division by a Blaschke product on the circle itself.
#
# On the circle ``1 - conj(z_j) z = z conj(z - z_j)``, so dividing by a Blaschke factor is multiplication by
# ``z conj(d) / d``, d = z - z_j: a number of modulus 1, whatever the zero. No polynomial is ever multiplied
# out from its zeros, which would lose all digits at degrees of some hundreds.


_CHUNK = 1 << 20


def by_reflection(scaled: Scaled, inside: NDArray[np.complex128]) -> Kernel:
    """Return the taps of the outer factor of ``scaled``, whose zeros in the open disc are ``inside``.

    The error of a value is a few u |a| for each zero, and where a node is closer than u to a zero, |a| itself
    is as small.
    """
    n = scaled.values.size
    points = fast_length(2 * n)
    # Half a step off: zeros like roots of unity are not met.
    half = np.exp(1j * np.pi / points)
    nodes = half * np.exp(2j * np.pi * np.arange(points) / points)
    turned = scaled.values * half ** np.arange(n)
    values = scipy.fft.ifft(turned, points, norm="forward")
    width = max(1, _CHUNK // points)
    for start in range(0, inside.size, width):
        gap = nodes[:, None] - inside[None, start : start + width]
        gap[gap == 0] = 1.0  # then |a| is rounding there, and so is what any unit number makes of it
        values *= (nodes[:, None] * np.conj(gap) / gap).prod(axis=1)
    # The phase that makes outer(0) positive is known; outer[0] itself may be small and mostly rounding.
    turn = np.conj(scaled.direction()) * (-directions(inside)).prod()
    outer = scipy.fft.fft(values * turn, norm="forward")[:n] * half ** -np.arange(n)
    return outer if np.iscomplexobj(scaled.values) else outer.real


def directions(values: NDArray[np.complex128]) -> NDArray[np.complex128]:
    """Return ``z / |z|``, z brought to size 1 first: complex division by a subnormal number overflows."""
    parts = np.ascontiguousarray(values).view(np.float64).reshape(-1, 2)
    exponents = np.frexp(np.abs(parts).max(axis=1, initial=0.0))[1]
    unit = np.ldexp(parts, -exponents[:, None]).view(np.complex128)[:, 0]
    return unit / np.abs(unit)
