r"""Zeros too close to be told apart: discs that are proved to hold m of them, by Pellet's theorem.

With p(c + x) = sum_k a_k x^k, if ``|a_m| r^m > sum_{k != m} |a_k| r^k`` then p has exactly m zeros within r
of c (Rouche against a_m x^m). The sum over k > m is at most ``r^(m+1) sum_j C(j, m+1) |w_j| (|c| +
r)^(j-m-1)`` (Lagrange), and c is taken where the derivative of order m - 1 vanishes: the middle of a tight
cluster.
"""

from __future__ import annotations

import math

import flint
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

Complexes = NDArray[np.complex128]
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
