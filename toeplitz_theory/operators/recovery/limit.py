"""Lower bounds of |a| all around the circle, and what noise leaves of the input in the end."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from toeplitz_theory.operators.circle.arcs import (
    ArcGrid,
    bend_and_error,
    first_look,
    horner,
    segment_distance,
)
from toeplitz_theory.operators.circle.modulus import halved, min_modulus
from toeplitz_theory.operators.kernels import Kernel, Scaled
from toeplitz_theory.operators.rounding import UNIT_ROUNDOFF

_ARCS_PER_TAP = 16
_MOST_PIECES = 100_000
_MOST_POINTS = 1 << 19
_FINEST = 1 << 20  # nodes for the mean delay with noise


class Arcs:
    """What is proved about |a| on the circle, cut finer where it is small.

    Attributes
    ----------
    grid : ArcGrid
    known : list of ndarray
        Taylor coefficients 0 to 3 on each arc.
    on_arcs : ndarray
        A lower bound of |a| on each arc.
    lower, weights : ndarray
        Lower bounds of |a| on pieces that cover the circle, and the pieces' shares of it.
    """

    def __init__(self, scaled: Scaled) -> None:
        self.grid = grid = ArcGrid(scaled.values, scaled.error, _ARCS_PER_TAP, reach=1.5)
        self.known, lower = first_look(grid, grid.coefficient(0))
        self.on_arcs = np.maximum(lower, 0.0)
        share = np.full(lower.size, 1.0 / grid.count)
        if grid.real:  # arcs 0 .. count/2: all but the two ends stand for two
            share[1:-1] *= 2.0
        self.share = share
        coarse = lower < 0.5 * np.abs(self.known[0])
        pieces, weights = self._cut(np.flatnonzero(coarse), share[coarse])
        self.lower = np.concatenate([lower[~coarse], pieces])
        self.weights = np.concatenate([share[~coarse], weights])
        if not float(self.lower.min()) > 0.0:  # balls may tell
            least = 0.999 * math.ldexp(min_modulus(scaled.exact).lower, -scaled.exponent)
            self.lower = np.maximum(self.lower, least)

    def _cut(self, index: NDArray[np.intp], share: NDArray[np.float64]) -> tuple[Any, Any]:
        """Cut the arcs ``index`` until the bound is half the value in the middle, or rounding."""
        lowers, weights = [np.empty(0)], [np.empty(0)]
        if not index.size:
            return lowers[0], weights[0]
        poly = self.grid.polynomials(index, self.known)
        bend, error = bend_and_error(self.grid, poly)
        which, mid, half = np.arange(index.size), np.zeros(index.size), 1.0
        while mid.size:
            mid, which, half = halved(mid, half), np.repeat(which, 8), half / 8
            value, slope = horner(poly[:, which], mid)
            reach = 0.5 * bend[which] * half**2
            lower = segment_distance(value, slope, half) - reach - error[which]
            done = (lower >= 0.5 * np.abs(value)) | (half * np.abs(slope) <= error[which])
            done |= mid.size > _MOST_PIECES
            lowers.append(lower[done])
            weights.append(share[which[done]] * half)
            mid, which = mid[~done], which[~done]
        return np.concatenate(lowers), np.concatenate(weights)

    def mean(self, values: NDArray[np.float64]) -> float:
        return float((self.weights * values).sum())


def noisy_limit(scaled: Scaled, arcs: Arcs, noise: float) -> tuple[float, float]:
    """Return the mean of |a|^2 / (|a|^2 + noise^2) and a proved bound of its error.

    The trapezoidal rule on N points differs from the mean of f by an integral of f / (e^(-i N z) - 1) along
    any curve above the circle, in angles z, up to which f is analytic, and one below. Here the curve is a
    staircase: on each arc as high as p stays away from 0 (`_strips`). A step up from height y costs
    e^(-N y) / N at most. Where that leaves much, the lower bounds of |a| say how far below 1 the mean can be.
    """
    grid = arcs.grid
    height = 0.999 * _strips(arcs, noise)
    most = max(_MOST_POINTS, 4 * grid.count)
    for ratio in (2, 4, 8, 16):
        points = ratio * grid.count
        # Two curves; noise^2 / p is at most 6.5 there; a mean over angles divides by 2 pi.
        decay = arcs.share / np.expm1(np.minimum(points * height, 700.0))
        error = 2.0 * 6.5 * float(decay.sum()) * (1.0 + 2.0 / ratio)
        if error <= 1e-12 or 2 * points > most:
            break
    values, weights = on_circle(scaled.values, points)
    value = float((weights * _passed(np.abs(values), noise)).mean())
    slip = 8.0 * UNIT_ROUNDOFF * math.log2(points) * grid.norm1 + scaled.error
    error += slip / noise  # d(x^2 / (x^2 + s^2)) is at most 0.65 dx / s
    rounding = UNIT_ROUNDOFF * (12.0 + math.log2(points))
    rest = arcs.mean(1.0 - _passed(arcs.lower, noise))
    return min(1.0, max(value, 1.0 - rest)), 1.01 * (min(error, rest) + rounding)


def _strips(arcs: Arcs, noise: float) -> NDArray[np.float64]:
    """Return for each arc a height w: where |Im z| <= w, Re z on the arc, |p| >= 0.155 noise^2.

    If b moves by at most m between z and Re z, then |p| >= noise^2 + x^2 - 2 x m - m^2 with x = |b(Re z)|:
    enough for m = 0.65 noise, and for m = 0.4 x.
    """
    grid, known = arcs.grid, arcs.known
    reach = math.sqrt(2.0)
    size = np.abs(grid.steps)
    tail = float((np.abs(grid.taps) * size * (reach * size) ** 3 * np.exp(reach * size)).sum()) / 6.0
    slope = np.abs(known[1]) + 2.0 * reach * np.abs(known[2]) + 3.0 * reach**2 * np.abs(known[3])
    slope = 1.01 * (slope + tail + 16.0 * grid.rounding)
    return np.asarray(np.minimum(np.maximum(0.65 * noise, 0.4 * arcs.on_arcs) / slope, 1.0) * grid.half_width)


def _passed(modulus: NDArray[np.float64], noise: float) -> NDArray[np.float64]:
    larger = np.maximum(modulus, noise)
    return (modulus / larger) ** 2 / ((modulus / larger) ** 2 + (noise / larger) ** 2)


def on_circle(taps: Kernel, points: int) -> tuple[NDArray[np.complex128], NDArray[np.float64]]:
    """Return values on the circle and their weights in a mean: of half the circle for real taps."""
    if np.iscomplexobj(taps):
        return scipy.fft.ifft(taps, points, norm="forward"), np.ones(points)
    half = np.conj(scipy.fft.rfft(taps.real, points))
    weights = np.full(half.size, 2.0 * half.size / points)
    weights[0] = weights[-1] = half.size / points
    return half, weights


def energy_by_lag(taps: Kernel, points: int, noise: float = 0.0) -> tuple[NDArray[np.float64], float, float]:
    """Return ``|c_k|^2`` of c = a / g, g the outer factor of ``|a|^2 + noise^2``, from samples.

    With them the mean of log|g| over the circle, and over every second node. On a grid that resolves g the
    coefficients of negative order, in the second half, are 0.
    """
    is_complex = np.iscomplexobj(taps)
    values, weights = on_circle(taps, points)
    size = np.hypot(np.abs(values), noise)
    c = np.divide(values, size, out=np.ones_like(values), where=size > 0)
    logs = np.log(np.maximum(size, np.finfo(float).tiny))
    # c_k of log|g|, folded: log|g| + i v, v its conjugate function, has 2 c_k at k > 0 and nothing at k < 0.
    lags = scipy.fft.fft(logs) / points if is_complex else scipy.fft.irfft(logs, points)
    lags[0], lags[points // 2 :] = 0.0, 0.0
    if is_complex:
        phase = 2.0 * scipy.fft.ifft(lags, norm="forward").imag
        coefficients = scipy.fft.fft(c * np.exp(-1j * phase)) / points
    else:
        phase = -2.0 * scipy.fft.rfft(lags.real).imag
        coefficients = scipy.fft.irfft(np.conj(c) * np.exp(1j * phase), points)
    half_mean = float(np.average(logs[::2], weights=weights[::2]))
    return np.abs(coefficients) ** 2, float((weights * logs).mean()), half_mean


def mean_delay(scaled: Scaled, noise: float) -> float | None:
    """Return ``sum k |c_k|^2 / sum |c_k|^2`` with noise, an estimate; None where no grid resolves g.

    Where |a| is small, g changes within ``noise / |a'|``. What is too narrow for a grid leaks into the
    coefficients of negative order, some 1 / points of the energy where it is not seen at all; at 1e-10 the
    delay is right to about 1e-7, at 1e-8 to 1e-4.
    """
    kernel, derivative = scaled.values, scaled.values * np.arange(scaled.values.size)
    points = max(1 << 12, 1 << math.ceil(math.log2(16 * kernel.size)))
    values, slopes = (np.abs(on_circle(taps, points)[0]) for taps in (kernel, derivative))
    least = np.maximum(values - math.pi / points * slopes, 0.0)  # between two nodes
    steepness = float((slopes / np.hypot(least, noise)).max())
    if steepness > _FINEST:
        return None
    points = max(points, 1 << math.ceil(math.log2(4.0 * max(steepness, 1.0))))
    while True:
        energy = energy_by_lag(kernel, points, noise)[0]
        leak, total = float(energy[points // 2 :].sum()), float(energy.sum())
        if leak <= 1e-10 * total or points >= _FINEST:
            break
        points *= 2
    if not leak <= 1e-8 * total:
        return None
    return scaled.lead + float(np.arange(points // 2) @ energy[: points // 2]) / total
