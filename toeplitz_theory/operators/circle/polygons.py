r"""Winding numbers of one curve about many centres: a polygon that provably turns as often as the curve.

On an arc of length h the curve a(e^{i theta}) stays within ``h^2 / 8 max|a''|`` of its chord, and
``max|a''| <= |a''(middle)| + (h / 2) sum k^3 |w_k|``. With the rounding of the computed vertices (see `arcs`)
that gives a radius R per edge, and the neighbourhood of radius R of the edge is convex and holds both the
piece of curve and the edge. So about any centre farther than R from every edge the closed polygon and the
curve wind alike, and the polygon's winding number is a count of signed crossings of a ray.

Centres sorted by imaginary part meet each edge in a contiguous range, so the work is proportional to the
number of crossings of horizontal lines with the curve, about n for each centre, and not to the number of
edges. Centres too close to an edge are tried again on eight times as many edges, then one by one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from toeplitz_theory.display import Displayed
from toeplitz_theory.errors import InputError
from toeplitz_theory.operators.circle.arcs import Complexes, Floats, segment_distance
from toeplitz_theory.operators.circle.winding import wind
from toeplitz_theory.operators.kernels import Kernel, Taps
from toeplitz_theory.operators.rounding import UNIT_ROUNDOFF

_EDGES_PER_TAP = (64, 512)
_MOST_EDGES = 1 << 21
_MOST_PAIRS = 1 << 21  # of edge and centre, worked on at once
_FEW = 8  # so few centres go one by one from the start


@dataclass(frozen=True, eq=False, repr=False)
class SpectrumIndex(Displayed):
    """Winding numbers of a - lam for an array of points lam, each proved or masked.

    Attributes
    ----------
    points : ndarray of complex, shape of lam
    count : masked array of int, shape of lam
        ``wind(a - lam)``, minus the Fredholm index of T(a) - lam; masked where it is not proved, as it is
        on the curve itself.
    margin : ndarray of float, shape of lam
        A proved lower bound of ``min |a - lam|`` on the circle, 0 where nothing is proved. Coarse next to
        `Symbol.winding`, which bounds it sharply for a single point.

    Examples
    --------
    >>> from toeplitz_theory.operators import Symbol
    >>> index = Symbol([0.0, 1.0]).spectrum_index([0.5, 2.0, 1.0])
    >>> index.count
    masked_array(data=[1, 0, --],
                 mask=[False, False,  True],
           fill_value=-9223372036854775808)
    >>> index.in_spectrum
    array([ True, False,  True])
    """

    points: NDArray[np.complex128]
    count: np.ma.MaskedArray[Any, np.dtype[np.int64]]
    margin: Floats

    @property
    def certified(self) -> NDArray[np.bool_]:
        """Where the count is proved."""
        return ~np.ma.getmaskarray(self.count)

    @property
    def in_spectrum(self) -> NDArray[np.bool_]:
        """Where T(a) - lam is not invertible, or where that is not excluded (the mask tells which)."""
        return np.asarray(self.count.filled(1) != 0)


def spectrum_index(taps: Taps, lam: Any) -> SpectrumIndex:
    """Return the winding numbers of ``taps - lam`` for all ``lam``; see `Symbol.spectrum_index`."""
    points = np.asarray(lam)
    if points.dtype.kind not in "iufc" or not np.isfinite(points).all():
        raise InputError("lam must be finite numbers: points of the complex plane")
    flat = points.astype(np.complex128).reshape(-1)
    count, margin = np.zeros(flat.size, np.int64), np.zeros(flat.size)
    left = np.arange(flat.size)
    scaled = taps.scaled() if not taps.is_zero else None
    if scaled is not None and flat.size > _FEW:
        # On the kernel's own scale. Farther away than 1e150 squares overflow, and a nearer point stands in.
        kernel: Any = np.concatenate([np.zeros(scaled.lead), scaled.values])
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            near = np.ldexp(flat.view(np.float64), -scaled.exponent)
        near = np.clip(near, -1e150, 1e150).view(np.complex128)
        # A shift by a power of two is exact unless it underflows, by at most 2^-1074 in each part then.
        left = _by_polygons(kernel, scaled.error + 2.0**-1072, near, count, margin)
        with np.errstate(over="ignore"):
            margin = np.nextafter(np.ldexp(margin, scaled.exponent), 0.0)
    proved = np.ones(flat.size, np.bool_)
    for k in left:
        winding = wind(taps.plus(-complex(flat[k])))
        proved[k] = winding.certified
        count[k], margin[k] = winding.count or 0, winding.margin
    masked = np.ma.MaskedArray(count, mask=~proved).reshape(points.shape)
    masked.fill_value = np.iinfo(np.int64).min
    return SpectrumIndex(flat.reshape(points.shape), masked, margin.reshape(points.shape))


def _by_polygons(
    kernel: Kernel, error: float, points: Complexes, count: NDArray[np.int64], margin: Floats
) -> NDArray[np.intp]:
    """Fill in what polygons prove; return the places of the rest."""
    left = np.arange(points.size)
    for per_tap in _EDGES_PER_TAP:
        edges = 1 << int(np.ceil(np.log2(per_tap * kernel.size)))
        if edges > _MOST_EDGES or left.size <= _FEW:
            break
        polygon = _Polygon(kernel, edges, error)
        turns, distance = polygon.turns(points[left])
        good = distance > 0
        count[left[good]] = turns[good]
        margin[left[good]] = distance[good]
        left = left[~good]
    done = np.setdiff1d(np.arange(points.size), left)
    margin[done] = np.maximum(margin[done], _far(kernel, error, points[done]))
    return left


def _far(kernel: Kernel, error: float, points: Complexes) -> Floats:
    """Return a lower bound of the distance from the curve that is good far away from it."""
    nodes = 1 << int(np.ceil(np.log2(16 * kernel.size)))
    curve = scipy.fft.ifft(kernel.astype(complex), nodes, norm="forward")
    tree = cKDTree(np.stack([curve.real, curve.imag], axis=1))
    nearest, _ = tree.query(np.stack([points.real, points.imag], axis=1))
    weight = np.abs(kernel)
    # Half an arc away from a node the curve has moved by at most that many radians times max|a'|.
    moved = np.pi / nodes * float(weight @ np.arange(kernel.size))
    rounding = (8 * UNIT_ROUNDOFF * np.log2(nodes) + 16 * UNIT_ROUNDOFF) * float(weight.sum()) + error
    return np.asarray(nearest * (1 - 16 * UNIT_ROUNDOFF) - 1.01 * (moved + rounding))


class _Polygon:
    """Vertices on the curve, and for each edge the radius within which the curve stays."""

    def __init__(self, kernel: Kernel, edges: int, tap_error: float) -> None:
        n = kernel.size
        k = np.arange(n, dtype=float)
        weight = np.abs(kernel)
        # e^{+ i k theta}: the inverse transform without its 1/N.
        vertices = scipy.fft.ifft(kernel.astype(complex), edges, norm="forward")
        half = np.exp(1j * np.pi * k / edges)
        bend = np.abs(scipy.fft.ifft(kernel * k**2 * half, edges, norm="forward"))
        h = 2 * np.pi / edges
        rounding = 8 * UNIT_ROUNDOFF * np.log2(2 * edges)
        # bend is rounded too: by less than rounding * sum k^2 |w_k|, with the twist by `half`.
        second = bend + (rounding + 8 * UNIT_ROUNDOFF) * float(weight @ k**2) + h / 2 * float(weight @ k**3)
        error = rounding * float(weight.sum()) + tap_error
        self.radius = 1.01 * (h * h / 8 * second + error)
        self.start, self.stop = vertices, np.roll(vertices, -1)

    def turns(self, points: Complexes) -> tuple[NDArray[np.int64], Floats]:
        """Return the polygon's winding about each point, and a lower bound of the curve's distance or 0."""
        order = np.argsort(points.imag, kind="stable")
        at = points[order]
        # Edges farther than `reach` from a point are not looked at: the margin is not known beyond it.
        reach = 4.0 * self.radius
        low = np.minimum(self.start.imag, self.stop.imag) - reach
        high = np.maximum(self.start.imag, self.stop.imag) + reach
        first = np.searchsorted(at.imag, low, side="left")
        last = np.searchsorted(at.imag, high, side="right")
        turns = np.zeros(points.size, np.int64)
        distance = np.full(points.size, 3.0 * float(self.radius.min()))
        pairs = last - first
        cuts = np.flatnonzero(np.diff(np.cumsum(pairs) // _MOST_PAIRS)) + 1
        for edges in np.split(np.arange(pairs.size), cuts):
            edge = np.repeat(edges, pairs[edges])
            before = np.cumsum(pairs[edges]) - pairs[edges]
            point = np.arange(edge.size) - np.repeat(before, pairs[edges]) + first[edge]
            self._meet(edge, point, at, turns, distance)
        back = np.argsort(order)
        return turns[back], np.maximum(distance, 0.0)[back]

    def _meet(
        self,
        edge: NDArray[np.intp],
        point: NDArray[np.intp],
        at: Complexes,
        turns: NDArray[np.int64],
        distance: Floats,
    ) -> None:
        begin, end = self.start[edge], self.stop[edge]
        to, along = at[point] - begin, end - begin
        side = along.real * to.imag - along.imag * to.real  # > 0: the point is left of the edge
        up = (begin.imag <= at[point].imag) & (at[point].imag < end.imag) & (side > 0)
        down = (end.imag <= at[point].imag) & (at[point].imag < begin.imag) & (side < 0)
        turns += np.bincount(point[up], minlength=turns.size)
        turns -= np.bincount(point[down], minlength=turns.size)
        # Only pairs that are close in both directions can matter for the distance.
        reach = 4.0 * self.radius[edge]
        left = np.minimum(begin.real, end.real) - reach
        close = (at.real[point] >= left) & (at.real[point] <= np.maximum(begin.real, end.real) + reach)
        to, along, edge, point = to[close], along[close], edge[close], point[close]
        gap = segment_distance(0.5 * along - to, 0.5 * along, 1.0)
        # 16 u of the numbers involved covers the rounding of the differences.
        slack = 16 * UNIT_ROUNDOFF * (np.abs(to) + np.abs(along) + np.abs(at[point]))
        np.minimum.at(distance, point, gap - slack - self.radius[edge])
