r"""The recovery curve of a symbol: the share R(L) of its input that the outputs give back within L tokens.

Input x white with unit variance, ``y = T(a) x + s v`` with v white, g the outer factor of p = |a|^2 + s^2,
g(0) > 0. The innovations of y are ``y / g``, so the best linear estimate of x[t] from all outputs up to t + L
recovers ``R(L) = sum_{k <= L} |c_k|^2``, ``c = a / g`` (Wiener). Without noise c is the inner factor of a.

What is computed is ``c~ = a / G mod z^K`` with a polynomial G near g, and the proof that it is near c:

1. G has no zero in the closed disc (winding number 0, and |G| > 0 on the circle). So a / G = c h with
   h = g / G outer. Values on nodes, or autocorrelations in balls, give max||a|^2 + t^2 - |G|^2| <= e, where G
   is made for the noise t = s or t = 0. So on the circle log|h| = u with
   |u| <= log(1 + (s^2 - t^2 + e) / (|a|^2 + t^2 - e)) / 2.
2. log h = u + i v with v the conjugate function of u (G(0), g(0) > 0), and ||v||_2 <= ||u||_2 (Parseval: the
   analytic function u + i v has equal energy in both parts, but for the mean of u). As
   |e^{u + i v} - 1| <= |e^u - 1| + |v| and |c| <= 1 on the circle,

       ||a / G - c||_2 <= ||h - 1||_2 <= ((e^U - 1) / U + 1) ||u||_2,  U = max|u|.

   Only a mean of u^2 enters: where |a| is tiny the phase is lost, but on a short arc.
3. The division leaves a remainder rho = a - G c~ mod z^K, and 1 / G is analytic in the disc, so the first K
   coefficients of a / G are within ||rho||_2 / min|G| of c~.
4. With eta the sum of both, |sum_{k <= L} |c~_k|^2 - R(L)| <= eta (2 + eta), since ||c||_2 <= 1.

Without noise the curve can also be had from the zeros inside, each in a proved disc. For Blaschke factors,
``||b_z - b_w||_2^2 = 2 |z - w|^2 Re 1 / (1 - conj(z) w)`` (residues), and factors of modulus 1 telescope, so
moving the zeros to the middles of their discs costs ``sum_j r_j sqrt(2 / (1 - |z_j|^2))`` at most. A factor
whose zero is within e of the circle is a constant up to sqrt(2 e): a zero on the circle costs nothing, and
one that cannot be told from the circle hardly anything.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from toeplitz_theory.errors import InputError
from toeplitz_theory.operators.circle.winding import wind
from toeplitz_theory.operators.circle.zeros import ISOLATED_UP_TO, all_zeros
from toeplitz_theory.operators.factors.cepstrum import cepstrum, exponential, transforms
from toeplitz_theory.operators.factors.inner_outer import inner_series
from toeplitz_theory.operators.factors.outer import (
    best_taps,
    modulus_error,
    modulus_gap,
    without_zeros_inside,
)
from toeplitz_theory.operators.kernels import Comb, Kernel, Scaled, Taps, resized
from toeplitz_theory.operators.matrix.solve import substitute
from toeplitz_theory.operators.product import CausalProduct, fast_length
from toeplitz_theory.operators.recovery.limit import Arcs, mean_delay, noisy_limit, on_circle
from toeplitz_theory.operators.recovery.results import Recovery, all_after, check_channel
from toeplitz_theory.operators.rounding import UNIT_ROUNDOFF

_HORIZON = 4  # default horizon, in lengths of the kernel
_LOOSE = 1e-6  # an error above this is worth isolating the zeros for
_GOOD = 1e-9  # with noise, the first way that is as near is taken
_POINTS_PER_TAP = 32
_SHORT_TAIL = 4e-8  # of the cepstrum where it folds back, times n: leaves an error below _GOOD
_DECAY = 32.0  # e^-32 = 1e-14: what folds back in a division
_MOST_POINTS = 1 << 23
# Of the root mean square of |a|, where nothing can be proved without noise.
_LITTLE_NOISE = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5)


@dataclass(frozen=True)
class _Quotient:
    """The first coefficients of c and a bound of their distance from it in the 2-norm; nan where unproved."""

    values: NDArray[Any]
    distance: float
    method: str

    @property
    def proved(self) -> bool:
        return self.distance < 0.5

    def nearer(self, other: _Quotient) -> _Quotient:
        """Return ``other`` if that is nearer to c, or nothing is proved of this one."""
        return other if other.distance < self.distance or not self.proved else self

    def shares(self, lead: int, size: int) -> tuple[NDArray[np.float64], float]:
        """Return R(0) .. R(size - 1), later by the zeros at 0, and a bound of the error of each."""
        curve = np.zeros(size)
        curve[lead:] = np.minimum(np.cumsum(np.abs(self.values[: max(0, size - lead)]) ** 2), 1.0)
        # Running sums of squares, all below (1 + distance)^2.
        rounding = UNIT_ROUNDOFF * (size + 8.0) * (1.0 + self.distance) ** 2
        return curve, 1.01 * (self.distance * (2.0 + self.distance) + rounding)


def recovery(taps: Taps, snr: float = math.inf, horizon: int | None = None) -> Recovery:
    """Return the recovery curve of the polynomial ``taps``; `Symbol.recovery` says more."""
    size, comb = check_channel(snr, horizon, _HORIZON * taps.values.size) + 1, taps.comb()
    if taps.is_zero:
        raise InputError("the symbol is identically 0: its outputs give back nothing")
    if comb is not None:
        return _spread(comb, recovery(comb.core, snr, max(0, size - 1 - comb.lead) // comb.step), size)
    scaled = taps.scaled()
    return _without_noise(scaled, size) if snr == math.inf else _with_noise(scaled, float(snr), size)


def _spread(comb: Comb, core: Recovery, size: int) -> Recovery:
    """Return the curve of a comb, ``R(lead + step L + r) = R_core(L)``: c is ``z^lead`` times the core's."""
    places = np.arange(size) - comb.lead
    curve = np.where(places < 0, 0.0, core.curve[np.maximum(places, 0) // comb.step])

    def mean_delay() -> float | None:
        return None if core.mean_delay is None else comb.lead + comb.step * core.mean_delay

    return replace(core, curve=curve, _mean_delay=mean_delay, method=comb.note(core.method))


def _without_noise(scaled: Scaled, size: int) -> Recovery:
    if without_zeros_inside(scaled) is not None:  # the inner factor is z^lead
        return all_after(scaled.lead, size)
    inside = wind(scaled.exact).count
    arcs = Arcs(scaled)
    quotient = _by_division(scaled, arcs, _Outer(*best_taps(scaled)[:2]), 0.0, size)
    if not quotient.distance <= _LOOSE and scaled.values.size <= ISOLATED_UP_TO:
        other, count = _by_zeros(scaled, size)
        inside = count if inside is None else inside
        quotient = quotient.nearer(other)
    delay = None if inside is None else scaled.lead + inside
    curve, error, method = _shares(scaled, arcs, quotient, 0.0, size)
    return Recovery(curve, error, (1.0, 0.0), delay, quotient.proved, math.inf, method)


def _with_noise(scaled: Scaled, snr: float, size: int) -> Recovery:
    power = scaled.exponent + 0.5 * math.log2(snr)  # of |a| over the noise
    if power < -400.0:  # R <= snr (sum |w|)^2
        return Recovery(np.zeros(size), 2.0**-700, (0.0, 2.0**-700), None, True, snr, "nothing gets through")
    noise = math.ldexp(1.0 / math.sqrt(snr), -scaled.exponent) if power < 400.0 else 2.0**-400
    arcs = Arcs(scaled)
    quotient = _noisy_quotient(scaled, arcs, noise, size)
    curve, error, method = _shares(scaled, arcs, quotient, noise, size)
    limit = partial(noisy_limit, scaled, arcs, noise)
    delay = partial(mean_delay, scaled, noise)
    return Recovery(curve, error, limit, delay, quotient.proved, snr, method)


def _shares(
    scaled: Scaled, arcs: Arcs, quotient: _Quotient, noise: float, size: int
) -> tuple[NDArray[np.float64], float, str]:
    """Return the curve, its error and the method.

    Where nothing is proved of ``quotient``: the curve with as little more noise as can be had, and as its
    error how far it moved with the last step.
    """
    if quotient.proved:
        return *quotient.shares(scaled.lead, size), quotient.method
    scale = float(np.linalg.norm(scaled.values))
    curve, error = np.zeros(size), 1.0
    for ratio in _LITTLE_NOISE:
        noisier = _noisy_quotient(scaled, arcs, math.hypot(noise, ratio * scale), size)
        if noisier.proved:
            last, (curve, bound) = curve, noisier.shares(scaled.lead, size)
            error = float(np.abs(curve - last).max()) + bound
    return curve, error, f"{'more' if noise else 'little'} noise: {quotient.method}"


# By division: a / G with a proved outer G near the outer factor.


@dataclass(frozen=True)
class _Outer:
    """Taps near those of the outer factor of |a|^2 + noise^2; their `modulus_error` where it is known."""

    taps: Kernel
    error: float | None = None
    noise: float = 0.0


def _by_division(scaled: Scaled, arcs: Arcs, outer: _Outer, noise: float, size: int) -> _Quotient:
    """Return a / outer mod z^size, and how far it is from a / g, g the outer factor of |a|^2 + noise^2."""
    right = resized(scaled.values, size).astype(np.result_type(outer.taps, scaled.values))
    values, remainder = _divided(resized(outer.taps, size), right)
    if wind(Taps(outer.taps)).count != 0:
        return _Quotient(values, math.nan, "the computed outer factor is not proved to have no zero inside")
    remainder += scaled.error + UNIT_ROUNDOFF * float(np.linalg.norm(right))
    distance = math.nan
    for gap in _gaps(scaled, outer):
        bound = _phase_error(arcs, gap, outer.noise, noise)
        if bound is not None:
            far, low = bound
            distance = 1.01 * (far + 1.01 * remainder / low)
        if distance <= _GOOD:
            break
    if math.isnan(distance):
        return _Quotient(values, math.nan, "|a| falls below the error of the outer factor's modulus")
    return _Quotient(values, distance, "divided by the outer factor, whose modulus is proved")


def _divided(taps: NDArray[Any], right: NDArray[Any]) -> tuple[NDArray[Any], float]:
    """Return right / taps mod z^size and a bound of ||right - taps values mod z^size||_2.

    By values on a circle inside the disc, where the quotient's terms past the last node have died away and
    those that are wanted lose two digits; where that leaves more than rounding, by substitution.
    """
    product = CausalProduct(taps)
    size = taps.size
    points = fast_length(max(64, 8 * size))
    radius = np.exp(-_DECAY / points * np.arange(size))
    forward, backward = transforms(np.iscomplexobj(right))

    def left(values: NDArray[Any]) -> tuple[float, float]:
        remainder = float(np.linalg.norm(product.forward(values) - right))
        return remainder, product.error * float(np.linalg.norm(values))

    with np.errstate(all="ignore"):
        ratio = forward(right * radius, points) / forward(taps * radius, points)
        values = backward(ratio, points)[:size] / radius
        remainder, rounding = left(values)
    if not remainder <= rounding:
        values = substitute(taps, right[None])[0]
        remainder, rounding = left(values)
    return values, remainder + rounding


def _gaps(scaled: Scaled, outer: _Outer) -> Iterator[float]:
    """Yield bounds of max||a|^2 + noise^2 - |outer|^2| on the circle: in float64, and sharper in balls."""
    mean = float((np.abs(scaled.values) ** 2).sum())
    if outer.error is not None:
        yield 1.01 * outer.error * mean
        return
    yield modulus_gap(scaled, outer.taps, outer.noise)
    yield 1.01 * modulus_error(scaled, outer.taps, outer.noise) * mean


def _phase_error(arcs: Arcs, gap: float, made_for: float, noise: float) -> tuple[float, float] | None:
    """Return a bound of ||h - 1||_2 and a lower bound of |G|, or None if ``gap`` is too large."""
    # Noises are right to 4 u, and squares to 4 u more.
    gap += 16.0 * UNIT_ROUNDOFF * noise**2
    power = 0.999 * arcs.lower**2 + made_for**2 - gap
    least = float(power.min())
    if not least > 0.0:
        return None
    u = 0.505 * np.log1p((noise**2 - made_for**2 + gap) / power)
    most = float(u.max())
    ratio = math.expm1(most) / most if most else 1.0
    return 1.01 * (ratio + 1.0) * math.sqrt(arcs.mean(u**2)), 0.999 * math.sqrt(least)


# By zeros: the Blaschke product of the middles of the discs.


def _by_zeros(scaled: Scaled, size: int) -> tuple[_Quotient, int | None]:
    """Return the inner factor mod z^size from the zeros inside, and their number if that is proved."""
    zeros = all_zeros(scaled.exact)
    if not zeros.certified or zeros.radii is None:
        return _Quotient(np.zeros(size), math.nan, "the zeros could not be isolated"), None
    values, radii = np.asarray(zeros), zeros.radii + 2.0**-51 * np.abs(np.asarray(zeros))
    low, high = np.abs(values) - radii, np.abs(values) + radii
    kept = high < 1.0
    moved = float((radii[kept] * np.sqrt(2.0 / (1.0 - high[kept]))).sum())
    unknown = not zeros.settled
    # Zeros proved inside that are closer to the circle than their disc shows, and those that are open.
    sides = zeros.known_sides()
    dropped = ~kept & ((sides < 0) | ((sides == 0) & unknown))
    left_out = float(np.sqrt(2.0 * np.maximum(0.0, 1.0 - low[dropped])).sum())
    count = None if unknown else int((sides < 0).sum())
    series = inner_series(values[kept], 1.0, None, size)
    # `inner_series` rounds balls of radius 2^-70 to float64, and turns them by a phase.
    distance = 1.01 * (moved + left_out + 8.0 * UNIT_ROUNDOFF + 2.0**-68 * math.sqrt(size))
    return _Quotient(series, distance, "from the zeros inside, in proved discs"), count


# With noise: the outer factor of |a|^2 + noise^2.


def _noisy_quotient(scaled: Scaled, arcs: Arcs, noise: float, size: int) -> _Quotient:
    """Return a / g, g the outer factor of |a|^2 + noise^2, by the first of three ways that is good enough."""
    best = _Quotient(np.zeros(size), math.nan, "no outer factor could be computed")
    for way in (_on_a_grid, _from_polynomial, _as_if_without_noise):
        outer = way(scaled, noise)
        if outer is not None and np.isfinite(outer.taps).all() and outer.taps[0]:
            best = best.nearer(_by_division(scaled, arcs, outer, noise, size))
        if best.distance <= _GOOD:
            return best
    far = _phase_error(arcs, 0.0, 0.0, noise)
    if not best.distance <= _LOOSE and scaled.values.size <= ISOLATED_UP_TO and far is not None:
        other = _by_zeros(scaled, size)[0]  # c tends to the inner factor
        best = best.nearer(replace(other, distance=other.distance + far[0]))
    return best


def _as_if_without_noise(scaled: Scaled, noise: float) -> _Outer:
    own = without_zeros_inside(scaled) is not None
    return _Outer(scaled.values) if own else _Outer(*best_taps(scaled)[:2])


def _on_a_grid(scaled: Scaled, noise: float) -> _Outer | None:
    """Return the outer factor by the plain cepstrum; None if little noise lets it reach past any grid."""
    n = scaled.values.size
    is_complex = bool(np.iscomplexobj(scaled.values))
    points = max(1 << 12, 1 << math.ceil(math.log2(_POINTS_PER_TAP * n)))
    most = max(points, min(8 * points, _MOST_POINTS))
    while points <= most:
        values, _ = on_circle(scaled.values, points)
        logs = 0.5 * np.log(values.real**2 + values.imag**2 + noise**2)
        lags = scipy.fft.fft(logs) / points if is_complex else scipy.fft.irfft(logs, points)
        needed = _points_needed(lags, _SHORT_TAIL / n)
        if needed <= 1.05 * points:
            return _Outer(exponential(lags[:n], is_complex), noise=noise)
        if not needed <= most:
            return None
        points = 16 * fast_length(math.ceil(1.25 * max(points, needed) / 16))
    return None


def _points_needed(lags: NDArray[Any], little: float) -> float:
    """Return on how many nodes at most ``little`` folds back onto the first lags, from how ``lags`` fall.

    That is the term of lag N, if n << N. Terms are seen to fall up to lag N / 2, from one quarter of the
    circle to the next; further out, where fewer zeros count, 3/4 as fast.
    """
    points = lags.size
    middle, tail = (float(np.abs(lags[3 * half // 4 : half]).max()) for half in (points // 4, points // 2))
    if tail <= little:
        return 0.0
    if tail >= middle:
        return math.inf
    return points * (0.5 + math.log(tail / little) / (3.0 * math.log(middle / tail)))


def _from_polynomial(scaled: Scaled, noise: float) -> _Outer | None:
    """Return it from ``z^(n - 1) (|a|^2 + noise^2)``, a polynomial: its zeros near the circle are known."""
    n = scaled.values.size
    taps, reverse = (np.pad(values, (0, n - 1)) for values in (scaled.values, scaled.values[::-1].conj()))
    power: Any = CausalProduct(taps).forward(reverse)
    power[n - 1] = power[n - 1].real + noise**2
    polynomial = Taps(power).scaled()
    if polynomial.lead or polynomial.values.size != power.size:
        return None
    logs = cepstrum(polynomial, 4)
    if logs is None:
        return None
    coefficients = 0.5 * logs[0][:n]
    coefficients[0] += 0.5 * polynomial.exponent * math.log(2.0)
    return _Outer(exponential(coefficients, bool(np.iscomplexobj(scaled.values))), noise=noise)
