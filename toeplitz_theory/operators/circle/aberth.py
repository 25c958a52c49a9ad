"""All zeros of a long polynomial: Aberth's iteration in float64, then each zero proved in ball arithmetic.

Near z, within n |p(z) / p'(z)|, a polynomial of degree n has a zero (Laguerre; Henrici, Applied and
Computational Complex Analysis I, 6.4). One Newton step in 128 bits takes a float64 zero to some thirty
digits, and if n such discs are disjoint each holds exactly one. Zeros that do not come apart get one disc
together (`clusters`). Starting points are Bini's: from the upper hull of log|a_k|.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import flint
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from toeplitz_theory.operators.kernels import Kernel

_BITS = 128
_STEPS = 60
_REACHES = (1e-6, 1e-4, 1e-3, 1e-2, 5e-2)  # relative distances within which zeros may be one cluster
_BLOCK = 64
_POINTS = 256  # in balls at once
_CHUNK = 1 << 20  # differences held at once

Complexes = NDArray[np.complex128]


@dataclass
class Discs:
    """Zeros with the radii of disjoint discs that hold one each, and what is proved of their side.

    ``sides`` is -1 for a zero inside the unit circle and 1 outside, decided before the middles were rounded
    to float64, or 0. Zeros that cannot be told apart share a disc that is proved to hold as many as list
    it.
    """

    values: Complexes
    radii: NDArray[np.float64]
    sides: NDArray[np.int8]


def isolated_zeros(taps: Kernel, exact: list[flint.acb]) -> Discs | None:
    """Return all zeros in disjoint discs, or None.

    Parameters
    ----------
    taps : ndarray, shape (n,)
        Lowest power first; neither the first nor the last is 0.
    exact : list of acb
        The coefficients meant, which ``taps`` are near to.

    Examples
    --------
    >>> found = isolated_zeros(np.array([1.0, -2.5, 1.0]), [flint.acb(x) for x in (1, -2.5, 1)])
    >>> np.sort(found.values.real).round(12).tolist(), bool(found.radii.max() < 1e-14), found.sides.sum()
    ([0.5, 2.0], True, np.int64(0))
    """
    found = _approximations(taps)
    return None if found is None else _proved(found, exact)


def _approximations(taps: Kernel) -> Complexes | None:
    if taps[0] == 0 or taps[-1] == 0:  # rounded away: the hull would start too few
        return None
    z = _starts(taps)
    values, turned = _Quotient(taps), _Quotient(taps[::-1].copy())
    n = taps.size - 1
    active = np.arange(n)
    for _ in range(_STEPS):
        x = z[active]
        inside = np.abs(x) <= 1.0
        slope = np.empty(active.size, np.complex128)  # p' / p
        slope[inside] = values(x[inside])
        far = 1.0 / x[~inside]
        with np.errstate(invalid="ignore"):
            slope[~inside] = (n - far * turned(far)) * far
        repulsion = np.empty(active.size, np.complex128)
        rows = max(1, _CHUNK // n)
        for start in range(0, active.size, rows):
            chosen = slice(start, start + rows)
            differences = x[chosen, None] - z[None, :]
            differences[np.arange(differences.shape[0]), active[chosen]] = np.inf
            with np.errstate(divide="ignore", invalid="ignore"):
                repulsion[chosen] = (1.0 / differences).sum(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            step = 1.0 / (slope - repulsion)
        step[~np.isfinite(step)] = 0.0
        z[active] = x - step
        active = active[np.abs(step) > 4e-15 * np.abs(x)]
        if not active.size:
            break
    return z if np.isfinite(z).all() else None


def _starts(taps: Kernel) -> Complexes:
    """Return points on the circles that the upper hull of log|a_k| suggests."""
    with np.errstate(divide="ignore"):
        logs = np.log(np.abs(taps))
    hull: list[int] = []
    for k in np.flatnonzero(np.isfinite(logs)):
        while len(hull) > 1 and (logs[hull[-1]] - logs[hull[-2]]) * (k - hull[-1]) <= (
            logs[k] - logs[hull[-1]]
        ) * (hull[-1] - hull[-2]):
            hull.pop()
        hull.append(int(k))
    parts = []
    for number, (i, j) in enumerate(pairwise(hull)):
        radius = math.exp((logs[i] - logs[j]) / (j - i))
        angles = 2.0 * math.pi * (np.arange(j - i) / (j - i)) + 0.7 + number
        parts.append(radius * np.exp(1j * angles))
    return np.concatenate(parts)


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
        with np.errstate(under="ignore", divide="ignore", invalid="ignore", over="ignore"):
            powers = np.cumprod(powers, axis=1)
            parts = [powers @ block.T for block in self.blocks]
            top = powers[:, -1] * z
            value, slope = parts[0][:, -1], parts[1][:, -1]
            for k in range(parts[0].shape[1] - 2, -1, -1):
                value = value * top + parts[0][:, k]
                slope = slope * top + parts[1][:, k]
            return np.asarray(slope / value)


class _Balls:
    """p and p' at many points in balls, by blocks.

    Horner's rule turns and so widens a rectangular complex ball n times, by up to sqrt(2) each; here powers
    and blocks take two times sqrt(n) steps.
    """

    def __init__(self, exact: list[flint.acb]) -> None:
        self.width = max(1, math.isqrt(len(exact)))
        slopes = [c * k for k, c in enumerate(exact)][1:]
        self.rows = -(-len(exact) // self.width)
        columns = []
        for coefficients in (exact, slopes):
            padded = coefficients + [flint.acb(0)] * (self.rows * self.width - len(coefficients))
            columns += [padded[k * self.width : (k + 1) * self.width] for k in range(self.rows)]
        self.blocks = flint.acb_mat(columns).transpose()

    def __call__(self, points: list[flint.acb]) -> list[tuple[flint.acb, flint.acb]]:
        powers, tops = [], []
        for z in points:
            row = [flint.acb(1)]
            for _ in range(self.width - 1):
                row.append(row[-1] * z)
            powers.append(row)
            tops.append(row[-1] * z)
        parts = flint.acb_mat(powers) * self.blocks
        return [
            (self._join(parts, i, 0, top), self._join(parts, i, self.rows, top)) for i, top in enumerate(tops)
        ]

    def _join(self, parts: flint.acb_mat, row: int, first: int, top: flint.acb) -> flint.acb:
        value = parts[row, first + self.rows - 1]
        for k in range(first + self.rows - 2, first - 1, -1):
            value = value * top + parts[row, k]
        return value


def _proved(found: Complexes, exact: list[flint.acb]) -> Discs | None:
    discs = _newton_discs(found, exact)
    if _disjoint(discs.values, discs.radii):
        return discs
    for reach in _REACHES:
        joined = _with_clusters(found, discs, exact, reach)
        if joined is not None:
            return joined
    return None


def _newton_discs(found: Complexes, exact: list[flint.acb]) -> Discs:
    """Return better zeros, and radii within which there is one each; infinite where nothing is proved."""
    discs = Discs(found.copy(), np.full(found.size, np.inf), np.zeros(found.size, np.int8))
    degree = len(exact) - 1
    with flint.ctx.workprec(_BITS + 2 * math.isqrt(len(exact))):
        balls = _Balls(exact)
        for first in range(0, found.size, _POINTS):
            points = [flint.acb(z) for z in found[first : first + _POINTS].tolist()]
            moved = [
                (z - value / slope).mid() for z, (value, slope) in zip(points, balls(points), strict=True)
            ]
            points = [z if z.is_finite() else old for z, old in zip(moved, points, strict=True)]
            for i, (z, (value, slope)) in enumerate(zip(points, balls(points), strict=True), first):
                radius = (degree * value / slope).abs_upper()
                if not math.isfinite(float(radius)):
                    continue
                inside = bool(z.abs_upper() + radius < 1)
                discs.sides[i] = -1 if inside else bool(z.abs_lower() - radius > 1)
                discs.values[i] = middle = complex(z)
                # Half an ulp of each part for storing the middle; the radius is rounded to float once.
                stored = 2.0**-53 * (abs(middle.real) + abs(middle.imag)) + 5e-324
                discs.radii[i] = math.nextafter((float(radius) + stored) * (1.0 + 2.0**-50), math.inf)
    return discs


def _with_clusters(found: Complexes, discs: Discs, exact: list[flint.acb], reach: float) -> Discs | None:
    """Put one disc in place of those of zeros that hang together at ``reach``; None if nothing is proved."""
    out = Discs(discs.values.copy(), discs.radii.copy(), discs.sides.copy())
    heads = np.ones(found.size, np.bool_)
    for group in groups(found, reach):
        if group.size > 1:
            disc = cluster_disc(found[group], exact)
            if disc is None:
                return None
            out.values[group], out.radii[group] = disc
            out.sides[group] = 0
            heads[group[1:]] = False
        elif not math.isfinite(out.radii[group[0]]):
            return None
    return out if _disjoint(out.values[heads], out.radii[heads]) else None


def _disjoint(values: Complexes, radii: NDArray[np.float64]) -> bool:
    if not (np.isfinite(values).all() and np.isfinite(radii).all()):
        return False
    reach = 2.0 * float(radii.max()) * (1.0 + 1e-12) + 1e-15 * float(np.abs(values).max())
    plane = np.column_stack([values.real, values.imag])
    pairs = cKDTree(plane).query_pairs(reach, output_type="ndarray")
    apart = np.abs(values[pairs[:, 0]] - values[pairs[:, 1]])
    # The difference of two stored numbers is rounded by 2 u of itself.
    return bool((apart * (1.0 - 2.0**-50) > radii[pairs[:, 0]] + radii[pairs[:, 1]]).all())


# Zeros too close to be told apart: discs that are proved to hold m of them, by Pellet's theorem.
#
# With p(c + x) = sum_k a_k x^k, if ``|a_m| r^m > sum_{k != m} |a_k| r^k`` then p has exactly m zeros within r
# of c (Rouche against a_m x^m). The sum over k > m is at most ``r^(m+1) sum_j C(j, m+1) |w_j| (|c| +
# r)^(j-m-1)`` (Lagrange), and c is taken where the derivative of order m - 1 vanishes: the middle of a tight
# cluster.


_MOST = 40  # members of a cluster


def groups(values: Complexes, reach: float) -> list[NDArray[np.intp]]:
    """Return the places of values that hang together by steps of at most ``reach`` times their modulus.

    Examples
    --------
    >>> [g.tolist() for g in groups(np.array([1.0, 2.0, 1.001, 5.0]), 1e-2)]
    [[0, 2], [1], [3]]
    """
    logs = np.log(values.astype(np.complex128))
    # Angles wrap round: points on a circle of radius 1 beside the logarithm of the modulus.
    plane = np.column_stack([np.cos(logs.imag), np.sin(logs.imag), logs.real])
    pairs = cKDTree(plane).query_pairs(reach, output_type="ndarray")
    size = values.size
    graph = coo_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(size, size))
    _, labels = connected_components(graph, directed=False)
    order = np.argsort(labels, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)
    return sorted(parts, key=lambda part: int(part[0]))


def cluster_disc(points: Complexes, exact: list[flint.acb]) -> tuple[complex, float] | None:
    """Return centre and radius of a disc with as many zeros as there are ``points``, proved, or None.

    Parameters
    ----------
    points : ndarray, shape (m,)
        Approximations of the members.
    exact : list of acb
        The coefficients, lowest power first.

    Examples
    --------
    >>> centre, radius = cluster_disc(np.array([0.5001, 0.4999]), [flint.acb(x) for x in (1, -4, 4)])
    >>> abs(centre - 0.5) <= radius < 1e-15
    True
    """
    m = points.size
    if m > _MOST or m >= len(exact):
        return None
    # Horner's rule widens a complex ball by up to sqrt(2) each step: half a bit, twice that to be safe.
    with flint.ctx.workprec(128 * m + len(exact)):
        derivatives = [flint.acb_poly(exact)]
        for _ in range(m):
            derivatives.append(derivatives[-1].derivative())
        centre = flint.acb(complex(points.mean()))
        for _ in range(6):
            centre = (centre - derivatives[m - 1](centre) / derivatives[m](centre)).mid()
        if not centre.is_finite() or abs(complex(centre) - complex(points.mean())) > 2.0 * float(
            np.abs(points - points.mean()).max()
        ) + 1e-12 * abs(complex(centre)):
            return None
        sizes = [d(centre).abs_upper() / math.factorial(k) for k, d in enumerate(derivatives[:m])]
        leading = derivatives[m](centre).abs_lower() / math.factorial(m)
        if not bool(leading > 0):
            return None
        ratios = [2 * m * size / leading for size in sizes]
        radius = max(
            [float(x.log() / (m - k)) for k, x in enumerate(ratios) if bool(x > 0)], default=-math.inf
        )
        r = flint.arb(radius).exp() if radius > -600 else flint.arb(2) ** -800
        rest = flint.arb_poly([c.abs_upper() for c in exact])
        for _ in range(m + 1):
            rest = rest.derivative()
        tail = rest(centre.abs_upper() + r) / math.factorial(m + 1) * r ** (m + 1)
        others = sum((size * r**k for k, size in enumerate(sizes)), tail)
        if not bool(leading * r**m > others):
            return None
        middle = complex(centre)
        stored = 2.0**-53 * (abs(middle.real) + abs(middle.imag)) + 5e-324
        return middle, math.nextafter((float(r.abs_upper()) + stored) * (1 + 2.0**-50), math.inf)
