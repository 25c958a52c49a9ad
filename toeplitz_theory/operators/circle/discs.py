"""Zeros in proved discs, in ball arithmetic: one zero each, or a cluster that does not come apart.

Near z, within n |p(z) / p'(z)|, a polynomial of degree n has a zero (Laguerre; Henrici, Applied and
Computational Complex Analysis I, 6.4). One Newton step in 128 bits takes a float64 zero to some thirty
digits, and if n such discs are disjoint each holds exactly one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import flint
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from toeplitz_theory.operators.bits import precision, to_acb
from toeplitz_theory.operators.circle.aberth import ball_starts, float_zeros, improve
from toeplitz_theory.operators.circle.approximations import close_pairs, mirrored, near_zeros
from toeplitz_theory.operators.circle.arcs import ArcGrid, Complexes, Floats
from toeplitz_theory.operators.circle.balls import PRECISIONS, ValuesAt
from toeplitz_theory.operators.kernels import Kernel, Scaled

_STEPS = {128: 1, 320: 3, 1024: 5}  # of Newton, from float64 to all digits of these precisions
_WORK = 3e9  # points times taps times bits: some seconds
_REACHES = (1e-6, 1e-4, 1e-3, 1e-2, 5e-2)  # relative distances within which zeros may be one cluster
_ROUNDS = 30
_GOOD = 1e-20  # relative radius after one Newton step from float64
_MOST = 40  # members of a cluster
_MOST_GROUPED = 200  # members of all clusters together


@dataclass(frozen=True)
class Disc:
    """A closed disc that holds ``count`` zeros, with multiplicity, and no other."""

    middle: flint.acb
    radius: flint.arb
    count: int = 1

    @cached_property
    def side(self) -> int:
        """-1 inside the unit circle, 1 outside, 0 where the disc meets it."""
        with precision(PRECISIONS[-1]):
            size = abs(self.middle)
            return int(bool(size - self.radius > 1)) - int(bool(size + self.radius < 1))

    @property
    def good(self) -> bool:
        """Whether Newton's method has converged: one step from float64 gives some thirty digits."""
        return bool(self.radius <= _GOOD * self.middle.abs_lower())

    def stored(self) -> tuple[complex, float]:
        """Return middle and radius in float64; the radius is infinite where float64 does not hold the middle.

        Half an ulp of each part goes to storing the middle; the radius is rounded to float once.
        """
        middle = complex(self.middle)
        if not (math.isfinite(middle.real) and math.isfinite(middle.imag)):
            return middle, math.inf
        if self.radius == 0 and flint.acb(middle) == self.middle:
            return middle, 0.0
        rounding = 2.0**-53 * (abs(middle.real) + abs(middle.imag)) + 1e-323
        return middle, math.nextafter((float(self.radius.upper()) + rounding) * (1.0 + 2.0**-50), math.inf)

    def mirrored(self) -> Disc:
        """Return the disc of the conjugate zero."""
        with precision(2 * PRECISIONS[-1]):  # FLINT's conjugate rounds
            return Disc(self.middle.conjugate(), self.radius, self.count)


def isolated(taps: Kernel, exact: list[flint.acb]) -> list[Disc] | None:
    """Return disjoint discs that hold all zeros, or None.

    Parameters
    ----------
    taps : ndarray, shape (n,)
        Lowest power first, scaled.
    exact : list of acb
        The coefficients meant, which ``taps`` are near to; neither the first nor the last is 0.

    Examples
    --------
    >>> discs = isolated(np.array([1.0, -2.5, 1.0]), [flint.acb(x) for x in (1, -2.5, 1)])
    >>> sorted((round(complex(disc.middle).real, 12), disc.side) for disc in discs)
    [(0.5, -1), (2.0, 1)]
    """
    work = _WORK - PRECISIONS[0] * len(exact) ** 2
    start = float_zeros(taps)
    if start is None:
        points = ball_starts(exact)
        discs: list[Disc | None] = [None] * len(points)
    else:
        points, pairs = _symmetric([flint.acb(z) for z in start.tolist()], exact)
        discs = _newton_discs(points[: len(points) - pairs], exact, PRECISIONS[0])
        discs += [disc and disc.mirrored() for disc in discs[:pairs]]
    whole: list[Disc] | None = None
    for bits in (0, *PRECISIONS):
        if bits:
            poor = [k for k, disc in enumerate(discs) if disc is None or not disc.good]
            work = improve(points, np.array(poor, np.intp), exact, bits, work)
            work -= bits * len(poor) * len(exact)
            if work < 0:
                break
            better = _newton_discs([points[k] for k in poor], exact, bits)
            for k, disc in zip(poor, better, strict=True):
                discs[k] = disc
        proved = [disc for disc in discs if disc is not None]
        if len(proved) == len(discs) and disjoint(proved):
            whole = proved
        elif bits:
            whole = _with_clusters(points, discs, exact) or whole
        # Close zeros have wide discs after one step from float64: they get another try.
        if whole is not None and (bits or all(disc.good for disc in whole)):
            break
    return whole


def _symmetric(points: list[flint.acb], exact: list[flint.acb]) -> tuple[list[flint.acb], int]:
    """Return the points in an order whose last k are the conjugates of the first k, and k; 0 if they are not.

    Of a real polynomial those in the upper half plane are kept, and the others are their mirror images.
    """
    if all(c.imag == 0 for c in exact):
        upper = [z for z in points if bool(z.imag > 1e-9 * abs(z.real))]
        axis = [z for z in points if bool(abs(z.imag) <= 1e-9 * abs(z.real))]
        if 2 * len(upper) + len(axis) == len(points):
            with precision(2 * PRECISIONS[-1]):
                return upper + axis + [z.conjugate() for z in upper], len(upper)
    return points, 0


def _newton_discs(points: list[flint.acb], exact: list[flint.acb], bits: int) -> list[Disc | None]:
    degree = len(exact) - 1
    with precision(bits + 2 * math.isqrt(len(exact))):
        values = ValuesAt(exact)
        for _ in range(_STEPS[bits]):
            moved = [(z - v / s).mid() for z, (v, s) in zip(points, values(points), strict=True)]
            points = [z if z.is_finite() else old for z, old in zip(moved, points, strict=True)]
        radii = [(degree * value / slope).abs_upper() for value, slope in values(points)]
        return [Disc(z, r) if r.is_finite() else None for z, r in zip(points, radii, strict=True)]


def decided(discs: list[Disc], exact: list[flint.acb]) -> list[Disc]:
    """Return the discs, those of single zeros that meet the circle replaced by smaller ones if possible."""
    work = _WORK
    for bits in PRECISIONS[1:]:
        open_ = [k for k, disc in enumerate(discs) if disc.count == 1 and not disc.side]
        cost = bits * len(open_) * len(exact) * (_STEPS[bits] + 1)
        if not open_ or cost > work:
            break
        work -= cost
        smaller = _newton_discs([discs[k].middle for k in open_], exact, bits)
        for k, disc in zip(open_, smaller, strict=True):
            with precision(bits):
                # In the old disc there is one zero only.
                if disc is not None and bool(
                    abs(disc.middle - discs[k].middle) + disc.radius <= discs[k].radius
                ):
                    discs[k] = disc
    return discs


def near_discs(scaled: Scaled, grid: ArcGrid, width: float, count: int) -> list[Disc] | None:
    """Return a disc for each of the ``count`` zeros with |log|z|| < width, or None."""
    u, *_ = near_zeros(grid, width)
    twice = mirrored(grid, u) if grid.real else np.zeros(u.size, np.bool_)
    if u.size + int(twice.sum()) < count:
        return None
    exact = to_acb(scaled.exact)
    points: Complexes = np.exp(1j * grid.half_width * u)
    points[~twice & grid.real] = points[~twice & grid.real].real
    tried = _newton_discs([flint.acb(z) for z in points.tolist()], exact, 128)
    # Next to a double zero Newton's method only halves the distance, until the two come apart.
    work = _WORK
    for _ in range(_ROUNDS):
        poor = {k: disc.middle for k, disc in enumerate(tried) if disc and not disc.good}
        work -= 2 * PRECISIONS[0] * len(poor) * len(exact)
        if not poor or work < 0:
            break
        for k, disc in zip(poor, _newton_discs(list(poor.values()), exact, PRECISIONS[0]), strict=True):
            tried[k] = disc
    discs = [disc for disc in tried if disc]
    discs += [disc.mirrored() for disc, two in zip(tried, twice, strict=True) if disc and two]
    # Approximations on the band's edge may be of zeros beyond it.
    discs = _distinct([disc for disc in discs if _in_band(disc, width)])
    return decided(discs, exact) if len(discs) == count and disjoint(discs) else None


def _distinct(discs: list[Disc]) -> list[Disc]:
    """Leave out discs that meet a smaller one: poor approximations of the same zero."""
    discs = sorted(discs, key=lambda disc: float(disc.radius))
    dropped: set[int] = set()
    for i, j in sorted(map(tuple, _meeting([disc.stored() for disc in discs]).tolist())):
        if i not in dropped:
            dropped.add(j)
    return [disc for k, disc in enumerate(discs) if k not in dropped]


def _in_band(disc: Disc, width: float) -> bool:
    above = bool(disc.middle.abs_lower() - disc.radius > math.exp(-width))
    return above and bool(disc.middle.abs_upper() + disc.radius < math.exp(width))


def disjoint(discs: list[Disc]) -> bool:
    """Whether no two discs meet; those whose float64 forms do are compared in balls."""
    near = _meeting([disc.stored() for disc in discs])
    with precision(PRECISIONS[-1]):
        return all(
            bool(abs(discs[i].middle - discs[j].middle) > discs[i].radius + discs[j].radius)
            for i, j in near.tolist()
        )


def stored_zeros(discs: list[Disc]) -> tuple[Complexes, Floats, NDArray[np.int8]]:
    """Return values, radii and sides in float64, each zero as often as it counts.

    Disjoint discs that meet once they are rounded become one that holds the zeros of all.
    """
    groups = [(*disc.stored(), [disc.side] * disc.count) for disc in discs]
    while True:
        pairs = _meeting([(z, r) for z, r, _ in groups])
        radii = np.array([r for _, r, _ in groups], float)
        pairs = pairs[np.isfinite(radii[pairs]).all(axis=1)]
        if not len(pairs):
            break
        groups = [_joined([groups[k] for k in part]) for part in components(len(groups), pairs)]
    counts = [len(sides) for *_, sides in groups]
    values = np.array([z for z, *_ in groups], complex)
    sides = np.array([side for *_, sides in groups for side in sides], np.int8)
    return np.repeat(values, counts), np.repeat(radii, counts), sides


def _joined(parts: list[tuple[complex, float, list[int]]]) -> tuple[complex, float, list[int]]:
    """Return the first of the discs, enlarged to hold the others; a single one as it is."""
    middle = parts[0][0]
    if len(parts) == 1:
        return parts[0]
    radius = max((abs(z - middle) + r) * (1.0 + 2.0**-50) for z, r, _ in parts)
    return middle, math.nextafter(radius, math.inf), [side for *_, sides in parts for side in sides]


def _meeting(stored: list[tuple[complex, float]]) -> NDArray[np.intp]:
    """Return the pairs of discs, given in float64, that meet or may meet."""
    values, radii = np.array([z for z, _ in stored], complex), np.array([r for _, r in stored], float)
    size = np.abs(values)
    if values.size > 50 and ((radii < 0.5 * size) & (size > 1e-300) & (size < 1e300)).all():
        # |z - w| <= r (|z| + |w|) leaves log z and log w at most 2 artanh r apart.
        close = close_pairs(np.log(values), 2.0 * math.atanh(float((radii / size).max())))
    else:
        close = np.stack(np.triu_indices(values.size, 1), axis=1)
    with np.errstate(invalid="ignore", over="ignore"):
        apart = np.abs(values[close[:, 0]] - values[close[:, 1]])
        # The difference of two stored numbers is rounded by 2 u of itself.
        return close[~(apart * (1.0 - 2.0**-50) > radii[close[:, 0]] + radii[close[:, 1]])]


def components(size: int, pairs: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    """Return the places 0 .. size - 1 in groups that hang together by the pairs.

    Examples
    --------
    >>> [g.tolist() for g in components(4, np.array([[0, 2]]))]
    [[0, 2], [1], [3]]
    """
    graph = coo_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(size, size))
    _, labels = connected_components(graph, directed=False)
    order = np.argsort(labels, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)
    return sorted(parts, key=lambda part: int(part[0]))


# Zeros too close to be told apart: discs that are proved to hold m of them, by Pellet's theorem.
#
# With p(c + x) = sum_k a_k x^k, if ``|a_m| r^m > sum_{k != m} |a_k| r^k`` then p has exactly m zeros within r
# of c (Rouche against a_m x^m). The sum over k > m is at most ``r^(m+1) sum_j C(j, m+1) |w_j| (|c| +
# r)^(j-m-1)`` (Lagrange), and c is taken where the derivative of order m - 1 vanishes: the middle of a tight
# cluster.


def _with_clusters(
    points: list[flint.acb], discs: list[Disc | None], exact: list[flint.acb]
) -> list[Disc] | None:
    """Return disjoint discs, one in place of those of zeros that hang together, or None."""
    near = np.array([complex(z) for z in points])
    if not (np.isfinite(near).all() and near.all()):
        return None
    for reach in _REACHES:
        groups = components(near.size, close_pairs(np.log(near), reach))
        if sum(group.size for group in groups if group.size > 1) > _MOST_GROUPED:
            return None
        whole: list[Disc] = []
        for group in groups:
            disc = discs[group[0]] if group.size == 1 else cluster_disc(near[group], exact)
            if disc is None:
                break
            whole.append(disc)
        if len(whole) == len(groups) and disjoint(whole):
            return whole
    return None


def cluster_disc(points: Complexes, exact: list[flint.acb]) -> Disc | None:
    """Return a disc with as many zeros as there are ``points``, proved, or None.

    Parameters
    ----------
    points : ndarray, shape (m,)
        Approximations of the members.
    exact : list of acb
        The coefficients, lowest power first.

    Examples
    --------
    >>> disc = cluster_disc(np.array([0.5001, 0.4999]), [flint.acb(x) for x in (1, -4, 4)])
    >>> disc.count, abs(complex(disc.middle) - 0.5) <= disc.stored()[1] < 1e-15
    (2, True)
    """
    m = points.size
    if m > _MOST or m >= len(exact):
        return None
    # Horner's rule widens a complex ball by up to sqrt(2) each step: half a bit, twice that to be safe.
    with precision(128 * m + len(exact)):
        derivatives = [flint.acb_poly(exact)]
        for _ in range(m):
            derivatives.append(derivatives[-1].derivative())
        centre = _middle(points, derivatives)
        if centre is None:
            return None
        sizes = [d(centre).abs_upper() / math.factorial(k) for k, d in enumerate(derivatives[:m])]
        leading = derivatives[m](centre).abs_lower() / math.factorial(m)
        if not bool(leading > 0):
            return None
        r = _pellet_radius(sizes, leading)
        rest = flint.arb_poly([c.abs_upper() for c in exact])
        for _ in range(m + 1):
            rest = rest.derivative()
        tail = rest(centre.abs_upper() + r) / math.factorial(m + 1) * r ** (m + 1)
        others = sum((size * r**k for k, size in enumerate(sizes)), tail)
        return Disc(centre, r.abs_upper(), m) if bool(leading * r**m > others) else None


def _middle(points: Complexes, derivatives: list[flint.acb_poly]) -> flint.acb | None:
    """Return the zero of the derivative of order m - 1 that the points surround, None if it strays."""
    rough = complex(points.mean())
    centre = flint.acb(rough)
    for _ in range(6):
        centre = (centre - derivatives[-2](centre) / derivatives[-1](centre)).mid()
    spread = 2.0 * float(np.abs(points - points.mean()).max())
    if not centre.is_finite() or abs(complex(centre) - rough) > spread + 1e-12 * abs(complex(centre)):
        return None
    return centre


def _pellet_radius(sizes: list[Any], leading: flint.arb) -> flint.arb:
    """Return r such that each |a_k| r^k, k < m, is at most |a_m| r^m / 2 m."""
    m = len(sizes)
    ratios = [2 * m * size / leading for size in sizes]
    radius = max([float(x.log() / (m - k)) for k, x in enumerate(ratios) if bool(x > 0)], default=-math.inf)
    return flint.arb(radius).exp() if radius > -600 else flint.arb(2) ** -800
