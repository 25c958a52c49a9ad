"""Approximations of the zeros next to the circle, by Newton's method on the arcs' Taylor polynomials.

In the local coordinate of an arc, z = e^{i h (2 m + t)}, the arc's Taylor polynomial holds for complex t
too, so Newton's method runs on polynomials of degree a dozen.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from toeplitz_theory.operators.circle.arcs import ArcGrid, Complexes, Floats, horner

REACH = 1.5  # |t| up to which the Taylor polynomials are used
_STARTS = np.array([0.0, -0.7, 0.7, 0.5j, -0.5j])
_STEPS = 12


def near_zeros(grid: ArcGrid, width: float) -> tuple[Complexes, NDArray[np.intp], Complexes]:
    """Return approximations u = log z / (i h) of the zeros with |log|z|| < width, their arcs and polynomials.

    For real taps the upper half only. Nothing is proved: a zero may be missing, or stand twice.
    """
    index, poly = _candidates(grid)
    u, which = _newton(grid, index, poly, width / grid.half_width)
    return u, index[which], poly[:, which]


def mirrored(grid: ArcGrid, u: Complexes) -> NDArray[np.bool_]:
    """Return which zeros u of a real kernel stand for their conjugates as well: all but those at 1 and -1."""
    return (u.real != 0.0) & (u.real != grid.count)


def _candidates(grid: ArcGrid) -> tuple[NDArray[np.intp], Complexes]:
    """Return the arcs where a zero with |t| <= 1.3 is possible, and their polynomials."""
    rho = 1.3
    known = [grid.coefficient(j) for j in range(4)]
    rest = sum(np.abs(c) * rho**j for j, c in enumerate(known) if j)
    size = rho * np.abs(grid.steps)
    tail = float((np.abs(grid.taps) * size**4 * np.exp(size)).sum()) / 24.0
    index = np.flatnonzero(np.abs(known[0]) <= rest + tail + grid.error)
    return index, grid.polynomials(index, known)


def _newton(
    grid: ArcGrid, index: NDArray[np.intp], poly: Complexes, height: float
) -> tuple[Complexes, NDArray[np.intp]]:
    """Return approximate zeros (in u = 2 m + t) in the band, each once, and the column of their arc."""
    which = np.tile(np.arange(index.size), _STARTS.size)
    t: Complexes = np.repeat(_STARTS, index.size)
    columns = poly[:, which]
    for _ in range(_STEPS):
        value, slope = horner(columns, t)
        step = np.divide(value, slope, out=np.zeros_like(t), where=slope != 0)
        big = np.abs(step) > 0.5  # damped: starts may be poor
        step[big] *= 0.5 / np.abs(step[big])
        t = t - step
        t[np.abs(t) > 3.0] = 3.0  # lost: outside every arc
    size = np.abs(step)
    good = (size < 1e-3) & (np.abs(t.real) <= 1.0 + 1e-6) & (np.abs(t.imag) <= 1.05 * height + 1e-6)
    u: Complexes = 2.0 * index[which[good]] + t[good]
    which, size = which[good], size[good]
    if grid.real:
        u, keep = _upper_half(u, grid.count)
        u, which, size = u[keep], which[keep], size[keep]
    return _once(grid, u, which, size)


def _upper_half(u: Complexes, count: int) -> tuple[Complexes, NDArray[np.bool_]]:
    """Put nearly real zeros z exactly on the real axis (u.real 0 or count) and drop the mirror images."""
    x = u.real.copy()
    x[np.abs(x) < 1e-6] = 0.0
    x[np.abs(x - count) < 1e-6] = float(count)
    return x + 1j * u.imag, (x >= 0.0) & (x <= count)


def _once(
    grid: ArcGrid, u: Complexes, which: NDArray[np.intp], size: Floats
) -> tuple[Complexes, NDArray[np.intp]]:
    """Keep one of those approximations that agree to 1e-8, the one with the smallest last step."""
    order = np.argsort(size, kind="stable")
    u, which = u[order], which[order]
    best = np.ones(u.size, np.bool_)
    best[close_pairs(1j * grid.half_width * u, 1e-8 * grid.half_width).max(axis=1)] = False
    return u[best], which[best]


def close_pairs(logs: Complexes, reach: float) -> NDArray[np.intp]:
    """Return, shape (m, 2), the pairs of places where log z differs by at most ``reach``, and a few more.

    Angles wrap round: points on a circle of radius 1 beside the logarithm of the modulus, and their distance
    is at most that of the logarithms.

    Examples
    --------
    >>> close_pairs(np.array([3.14j, 0.0, -3.14j]), 0.01).tolist()
    [[0, 2]]
    """
    plane = np.column_stack([np.cos(logs.imag), np.sin(logs.imag), logs.real])
    return np.asarray(cKDTree(plane).query_pairs(1.01 * reach + 1e-14, output_type="ndarray"))
