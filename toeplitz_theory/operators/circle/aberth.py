"""Approximations of all zeros of a polynomial: Aberth's iteration in float64, and in balls where that fails.

Starting points are Bini's: on circles whose radii the upper hull of log|a_k| tells. In balls a zero may be of
any size, and the quotient p / p' is right where float64 loses it to cancellation; the repulsion of the other
zeros needs no more than float64 there.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import flint
import numpy as np
from numpy.typing import NDArray

from toeplitz_theory.operators.bits import log2_modulus, precision
from toeplitz_theory.operators.circle.arcs import Complexes
from toeplitz_theory.operators.circle.balls import ValuesAt
from toeplitz_theory.operators.kernels import Kernel

_STEPS = 60
_WORK = 400_000_000  # differences in all: a few seconds
_CLOSE = 1e-10  # relative steps below this end the iteration in balls
_BLOCK = 64
_CHUNK = 1 << 20  # differences held at once


@np.errstate(all="ignore")  # what is not finite is given up
def float_zeros(taps: Kernel) -> Complexes | None:
    """Return float64 approximations of all zeros, or None; neither the first nor the last tap is 0."""
    if taps[0] == 0 or taps[-1] == 0:  # rounded away: the hull would start too few
        return None
    sizes, angles = _starts(np.log(np.abs(taps)))
    z: Complexes = np.exp(sizes + 1j * angles)
    if not np.isfinite(z).all() or not z.all():
        return None
    values, turned = _Quotient(taps), _Quotient(taps[::-1].copy())
    n = taps.size - 1
    active = np.arange(n)
    work = 0
    for _ in range(_STEPS):
        work += active.size * n
        if work > _WORK:
            break
        x = z[active]
        inside = np.abs(x) <= 1.0
        slope = np.empty(active.size, np.complex128)  # p' / p
        slope[inside] = values(x[inside])
        far: Complexes = np.reciprocal(x[~inside])
        slope[~inside] = (n - far * turned(far)) * far
        repulsion = np.empty(active.size, np.complex128)
        for part in np.array_split(np.arange(active.size), 1 + active.size * n // _CHUNK):
            differences = x[part, None] - z
            differences[np.arange(part.size), active[part]] = np.inf
            repulsion[part] = (1.0 / differences).sum(axis=1)
        step = 1.0 / (slope - repulsion)
        step[~np.isfinite(step)] = 0.0
        z[active] = x - step
        active = active[np.abs(step) > 4e-15 * np.abs(x)]
        if not active.size:
            break
    return z if np.isfinite(z).all() else None


def _starts(logs: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return log-moduli and arguments of points, from the edges of the upper hull of ``logs`` = log|a_k|."""
    hull: list[int] = []
    for k in np.flatnonzero(np.isfinite(logs)):
        while len(hull) > 1 and (logs[hull[-1]] - logs[hull[-2]]) * (k - hull[-1]) <= (
            logs[k] - logs[hull[-1]]
        ) * (hull[-1] - hull[-2]):
            hull.pop()
        hull.append(int(k))
    sizes, angles = [], []
    for number, (i, j) in enumerate(pairwise(hull)):
        sizes.append(np.full(j - i, (logs[i] - logs[j]) / (j - i)))
        angles.append(2.0 * math.pi * (np.arange(j - i) / (j - i)) + 0.7 + number)
    return np.concatenate(sizes), np.concatenate(angles)


class _Quotient:
    """p' / p at many points of the closed disc, by blocks: matrix products in place of n vector steps."""

    def __init__(self, taps: Kernel) -> None:
        rows = -(-taps.size // _BLOCK)
        padded = np.zeros((2, rows * _BLOCK), np.complex128)
        padded[0, : taps.size] = taps
        padded[1, : taps.size - 1] = taps[1:] * np.arange(1, taps.size)
        self.blocks = padded.reshape(2, rows, _BLOCK)

    def __call__(self, z: Complexes) -> Complexes:
        powers: NDArray[Any] = np.ones((z.size, _BLOCK), np.complex128)
        powers[:, 1:] = z[:, None]
        powers = np.cumprod(powers, axis=1)
        parts = [powers @ block.T for block in self.blocks]
        top = powers[:, -1] * z
        value, slope = parts[0][:, -1], parts[1][:, -1]
        for k in range(parts[0].shape[1] - 2, -1, -1):
            value = value * top + parts[0][:, k]
            slope = slope * top + parts[1][:, k]
        return np.asarray(slope / value)


def ball_starts(exact: list[flint.acb]) -> list[flint.acb]:
    """Return Bini's starting points, of any size; neither the first nor the last coefficient is 0."""
    sizes, angles = _starts(math.log(2.0) * np.array([log2_modulus(c) for c in exact]))
    points = zip(sizes.tolist(), angles.tolist(), strict=True)
    return [flint.acb(r, t).exp().mid() for r, t in points]


def improve(
    zeros: list[flint.acb], active: NDArray[np.intp], exact: list[flint.acb], bits: int, work: float
) -> float:
    """Iterate until the active ``zeros`` are right to some digits, or the work is done; return what is left.

    They may be of any size, and p / p' is taken in balls. Work is counted in points times taps times bits;
    5e9 are some seconds.
    """
    with precision(bits + 2 * math.isqrt(len(exact))):
        values = ValuesAt(exact)
        for _ in range(_STEPS):
            cost = active.size * len(exact) * bits
            if not active.size or cost > work:
                break
            work -= cost
            points = [zeros[i] for i in active.tolist()]
            pairs = zip(points, values(points), strict=True)
            # p / (z p'): Newton's steps, relative to the zeros.
            newton = np.array([complex((value / (slope * z)).mid()) for z, (value, slope) in pairs])
            with np.errstate(all="ignore"):
                step = newton / (1.0 - newton * _repulsion(zeros, active))
            step[~np.isfinite(step)] = 0.0
            for i, s in zip(active.tolist(), step.tolist(), strict=True):
                zeros[i] = (zeros[i] * (1 - flint.acb(s))).mid()
            active = active[np.abs(step) > _CLOSE]
    return work


def _repulsion(zeros: list[flint.acb], active: NDArray[np.intp]) -> Complexes:
    """Return sum_j 1 / (1 - z_j / z_i)."""
    exponents = np.array([round(log2_modulus(z)) for z in zeros])
    parts = zip(zeros, exponents.tolist(), strict=True)
    mantissas = np.array([complex(z * flint.arb(2) ** -e) for z, e in parts])
    sums = []
    for chosen in np.array_split(active, 1 + active.size * len(zeros) // _CHUNK):
        power = np.clip(exponents - exponents[chosen, None], -1000, 1000)
        with np.errstate(all="ignore"):
            terms = 1.0 / (1.0 - np.ldexp(1.0, power) * (mantissas / mantissas[chosen, None]))
        terms[np.arange(chosen.size), chosen] = 0.0
        sums.append(terms.sum(axis=1))
    return np.concatenate(sums)
