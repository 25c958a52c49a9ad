r"""Jensen deficit with a proved error, from one FFT and the few zeros next to the circle.

The mean of log|z - z_j| over the N-th roots of unity is (1/N) log|1 - z_j^N|, and over the circle it is
log max(1, |z_j|). So the trapezoidal rule's error is known exactly zero by zero,

    T_N - mean = (1/N) sum_j log|1 - q_j|,  q_j = z_j^N inside the circle and z_j^-N outside

(1 + q_j on the grid shifted by half a step). Zeros with |log |z_j|| > 40 / N have |q_j| < 5e-18 and are
covered by their number; the others are found, each in a proved disc, with a proof that none is missing
(`near_circle`).
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from toeplitz_theory.operators.circle.arcs import ArcGrid, Floats
from toeplitz_theory.operators.circle.near_circle import Band, zeros_in_band
from toeplitz_theory.operators.circle.zeros import ISOLATED_UP_TO, all_zeros
from toeplitz_theory.operators.kernels import Scaled, Taps
from toeplitz_theory.operators.results import JensenDeficit
from toeplitz_theory.operators.rounding import UNIT_ROUNDOFF

_RANGE = (0.0, math.inf)  # of J: the terms of the sum are not negative
_DECAY = 40.0  # e^-40 < 5e-18
_RATIO = 16  # points of the rule per arc: the band is then 0.80 half-widths of an arc
_OVERSAMPLE = (4, 32)  # arcs per tap, tried in turn
_GOOD = 1e-10  # an error bound below this, relative to 1 + J, is not improved on
_LOOSE = 1e-8  # above this all zeros are isolated, if they are few


def jensen_deficit(taps: Taps) -> JensenDeficit:
    """Return J = mean log|a| - log|a(0)| = sum over zeros inside of log(1/|z|), in nats per token."""
    if taps.is_zero:
        return JensenDeficit(math.nan, math.nan, math.nan, False, "undefined: the symbol is identically 0")
    scaled = taps.scaled()
    if scaled.lead:
        return JensenDeficit(math.inf, math.inf, math.inf, True, "the first tap is 0: a zero at the origin")
    comb = taps.comb()
    if comb is not None:
        of_core = jensen_deficit(comb.core)
        return replace(of_core, method=comb.note(of_core.method))
    if scaled.values.size == 1:
        return JensenDeficit(0.0, 0.0, 0.0, True, "a constant has no zeros")
    deficit = None
    for oversample in _OVERSAMPLE:
        deficit = deficit or _by_rule(scaled, oversample)
    # A cluster of zeros in one disc makes a bound loose.
    loose = deficit is None or deficit.error > _LOOSE * (1.0 + deficit.value)
    if loose and scaled.values.size <= ISOLATED_UP_TO:
        by_zeros = _by_zeros(scaled)
        if by_zeros is not None and (deficit is None or by_zeros.error < deficit.error):
            return by_zeros
    return deficit or _estimated(scaled)


def _by_rule(scaled: Scaled, oversample: int) -> JensenDeficit | None:
    grid = ArcGrid(scaled.values, scaled.error, oversample)
    points = _RATIO * grid.count
    band = zeros_in_band(scaled, _DECAY / points, oversample)
    if band is None:
        return None
    best = None
    for shifted in (False, True):
        deficit = _one_rule(scaled, grid, points, band, shifted)
        if deficit is not None and (best is None or deficit.error < best.error):
            best = deficit
        if best is not None and best.error <= _GOOD * (1.0 + best.value):
            break  # else a zero sits on a node or very close: the other grid will do better
    return best


def _one_rule(scaled: Scaled, grid: ArcGrid, points: int, band: Band, shifted: bool) -> JensenDeficit | None:
    """Return the corrected trapezoidal value on one grid; None if a node or a disc allows no bound."""
    correction = _correction(band, shifted)
    mean = _mean_log(grid, points, shifted)
    if correction is None or mean is None:
        return None
    first, first_error = log_first(scaled)
    far = 1.01 * scaled.values.size * math.exp(-_DECAY)
    value = mean[0] - correction[0] / points - first
    parts = mean[1] + (correction[1] + far) / points + first_error
    error = 1.01 * (parts + 8.0 * UNIT_ROUNDOFF * (abs(mean[0]) + abs(first)))
    zeros = int(band.multiplicity.sum())
    text = f"trapezoidal rule of {points} points, corrected by the {zeros} zeros next to the circle"
    return JensenDeficit.around(max(0.0, value), error, True, text, _RANGE)  # a value below 0 is rounding


def _mean_log(grid: ArcGrid, points: int, shifted: bool) -> tuple[float, float] | None:
    """Return the mean of log|b| over the nodes and a bound of its error; None if a node is too small."""
    size = _moduli(grid, points, shifted)
    # The FFT's error as in `arcs`, with the taps' own.
    error = 1.01 * (8.0 * UNIT_ROUNDOFF * math.log2(2 * points) * grid.norm1 + grid.tap_error)
    low = size - error
    if not (low > error).all():
        return None
    logs = np.log(size)
    slip = error / low
    mean, bound, rough = (_mean(grid, x, shifted) for x in (logs, slip, np.abs(logs)))
    # |b| and log are right to 2 u each; numpy sums blocks of 128 in eight rows, then pairwise.
    return mean, bound + UNIT_ROUNDOFF * (4.0 + (24.0 + math.log2(points)) * rough)


def _moduli(grid: ArcGrid, points: int, shifted: bool) -> Floats:
    """Return |b| at the nodes, of a real kernel at those on the upper half of the circle."""
    if shifted:
        return np.abs(grid.transform(grid.taps, 2 * points)[1::2])
    return np.abs(grid.transform(grid.taps, points))


def _mean(grid: ArcGrid, x: Floats, shifted: bool) -> float:
    """Return the mean over all nodes: 1 and -1 stand for themselves, others of a real kernel for two.

    Sums, not dot products: those run in threads whose number would change the last digits.
    """
    if grid.real and not shifted:
        return float(2.0 * x.sum() - x[0] - x[-1]) / (2 * x.size - 2)
    return float(x.mean())


def _correction(band: Band, shifted: bool) -> tuple[float, float] | None:
    """Return sum log|1 -+ q| over the band's zeros and a bound of its error; None too near a node."""
    if not band.u.size:
        return 0.0, 0.0
    # z^points = exp(i pi ratio u); its modulus is below 1 when the zero is inside (u.imag > 0).
    turn = np.pi * _RATIO * np.where(band.u.imag >= 0, band.u, np.conj(band.u))
    phase = np.pi * _RATIO * (band.u.real % 2.0)
    q = np.exp(-turn.imag) * np.exp(1j * phase)
    factor = 1.0 + q if shifted else 1.0 - q
    # In a disc of radius r the exponent moves by pi ratio r; a disc across the circle adds as much again.
    move = np.pi * _RATIO * band.radius + 8.0 * UNIT_ROUNDOFF * np.pi * _RATIO * 2.0
    wrong = np.abs(q) * np.expm1(move)
    gap = np.abs(factor) - wrong
    if not (gap > 2.0 * wrong).all():
        return None
    value = float(band.multiplicity @ np.log(np.abs(factor)))
    return value, float(band.multiplicity @ (wrong / gap + move + 8.0 * UNIT_ROUNDOFF))


def log_first(scaled: Scaled) -> tuple[float, float]:
    """Return log|a(0)| in scaled units, and a bound of its error."""
    head = complex(scaled.exact.values[0])
    power = math.frexp(max(abs(head.real), abs(head.imag)))[1]
    size = math.hypot(math.ldexp(head.real, -power), math.ldexp(head.imag, -power))
    power -= scaled.exponent
    # ``low`` is at most half an ulp of each part: u. hypot and log commit 2 u each, the product 2 u |power|.
    return math.log(size) + power * math.log(2.0), 8.0 * UNIT_ROUNDOFF * (1.0 + abs(power))


def _estimated(scaled: Scaled) -> JensenDeficit:
    grid = ArcGrid(scaled.values, scaled.error)
    points = _RATIO * grid.count
    tiny = np.finfo(float).tiny
    rules = [
        _mean(grid, np.log(np.maximum(_moduli(grid, points, shifted), tiny)), shifted)
        for shifted in (False, True)
    ]
    value = max(0.0, 0.5 * (rules[0] + rules[1]) - log_first(scaled)[0])
    # Two shifted rules err with opposite signs near a zero on the circle; 1 / points is a zero's usual share.
    error = abs(rules[0] - rules[1]) + 4.0 / points
    text = f"trapezoidal rule of {2 * points} points; the zeros next to the circle could not be separated"
    return JensenDeficit.around(value, error, False, text, _RANGE)


def _by_zeros(scaled: Scaled) -> JensenDeficit | None:
    zeros = all_zeros(scaled.exact)
    if not zeros.certified or zeros.radii is None:
        return None
    size, radius = np.abs(np.asarray(zeros)), zeros.radii
    low = size - radius - 4.0 * UNIT_ROUNDOFF * size
    if not (low > 0).all():
        return None
    logs = np.maximum(0.0, -np.log(size))
    # log(1 / |z|) moves by at most radius / (|z| - radius); a disc across the circle no more than that.
    near = low < 1.0
    slack = 8.0 * UNIT_ROUNDOFF
    error = float(((radius + slack * size) / low)[near].sum() + slack * logs.sum())
    return JensenDeficit.around(float(logs.sum()), 1.01 * error, True, "all zeros, in proved discs", _RANGE)
