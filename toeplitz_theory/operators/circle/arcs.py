r"""Arcs of the circle with local Taylor polynomials and proved error bounds, in float64.

The circle is cut into N equal arcs of half-width ``h = pi / N``. With ``c`` an integer near the
middle of the kernel, ``b(theta) = e^{-i c theta} a(e^{i theta})`` has the modulus of ``a`` and frequencies
``k - c`` of half the size, and on the arc around ``theta_m = 2 pi m / N``

    b(theta_m + h t) = sum_j C_j t^j,
    C_j = (i^j / j!) sum_k w_k s_k^j e^{i (k - c) theta_m},  s_k = (k - c) h.

One FFT gives ``C_j`` on all arcs at once. Everything after that is arithmetic on short polynomials.

Error bounds (u = 2^-53). An FFT is a tree of additions and multiplications by twiddles in which each
tap passes log2 N levels; a level commits u in the addition, sqrt(5) u in the complex multiplication
(Brent, Percival, Zimmermann 2007) and at most 4 u in the stored twiddle, so by induction over the tree
the error of every output is at most 8 u log2(N) sum_k |row_k|, in the maximum norm. (Transforms
of length 2^q in numpy are mixed radix 2, 4, 8; their butterflies are such trees.) A row ``w_k s_k^j / j!``
itself is right to 4 j u. Summed over j these give ``error`` below, to which the Taylor remainder
``sum |w_k| |s_k|^(p+1) / (p+1)!`` is added.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from toeplitz_theory.operators.kernels import Kernel
from toeplitz_theory.operators.rounding import UNIT_ROUNDOFF

_SPLIT = 8  # pieces a failing arc is cut into; 8 keeps the number of numpy calls low
_MAX_ORDER = 24

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]


class ArcGrid:
    """Taylor polynomials of a kernel on equal arcs of the circle.

    Parameters
    ----------
    taps : ndarray, shape (n,)
        Scaled so that the largest part is in [1/2, 1).
    tap_error : float
        A bound of the sum over k of how far ``taps`` may be from the exact values.
    oversample : int
        At least this many arcs per tap, 4 or more.
    reach : float
        The error bounds hold for complex |t| <= reach.
    """

    def __init__(self, taps: Kernel, tap_error: float = 0.0, oversample: int = 4, reach: float = 1.0) -> None:
        self.taps = taps
        self.n = n = taps.size
        self.tap_error = tap_error
        self.real = not np.iscomplexobj(taps)
        self.count = 1 << max(4, math.ceil(math.log2(oversample * n)))
        self.half_width = math.pi / self.count
        weight = np.abs(taps)
        self.norm1 = float(weight.sum())
        self.centre = round(float((weight * np.arange(n)).sum()) / self.norm1)
        self.steps = (np.arange(n) - self.centre) * self.half_width
        self._bound_errors(weight, tap_error, reach)
        self._rows: dict[int, Kernel] = {0: taps}

    def _bound_errors(self, weight: Floats, tap_error: float, reach: float) -> None:
        size = reach * np.abs(self.steps)
        grown = weight * np.exp(size)
        fft = 8.0 * UNIT_ROUNDOFF * math.log2(2 * self.count)
        rounding = fft * float(grown.sum()) + 4.0 * UNIT_ROUNDOFF * float((grown * size).sum())
        # exp(|s|) multiplies a tap's error; 1.01 is for the bound's own rounding.
        self.rounding = 1.01 * (rounding + math.exp(float(size.max())) * tap_error)
        term = weight.copy()
        self.order = 0
        while True:
            self.order += 1
            term *= size / self.order
            # Off the real line the tail of the exponential series is e^|s| times its first term at most.
            rest = term * size if reach == 1.0 else term * size * np.exp(size)
            remainder = float(rest.sum()) / (self.order + 1)
            if self.order == 3:
                self.tail_after_3 = 1.01 * remainder
            if self.order >= 3 and (remainder <= UNIT_ROUNDOFF * self.norm1 or self.order == _MAX_ORDER):
                break
        self.error = self.rounding + 1.01 * remainder

    def _row(self, j: int) -> Kernel:
        row = self._rows.get(j)
        if row is None:
            row = self._row(j - 1) * (self.steps / j)
            self._rows = {0: self.taps, j: row}  # only the latest: memory stays O(n)
        return row

    def transform(self, row: Kernel, count: int) -> Complexes:
        """Return sum_k row_k e^{2 pi i (k - centre) m / count}, m up to count/2 for a real row."""
        wrapped = np.zeros(count, dtype=row.dtype)
        c = self.centre
        wrapped[: self.n - c] = row[c:]
        if c:
            wrapped[-c:] = row[:c]
        if self.real:
            spectrum = np.fft.rfft(wrapped)
            return np.conj(spectrum, out=spectrum)
        return np.fft.ifft(wrapped, norm="forward")

    def coefficient(self, j: int) -> Complexes:
        """Return C_j on every arc (on arcs 0 .. count/2 for a real kernel)."""
        return (1j**j) * self.transform(self._row(j), self.count)

    def samples(self) -> tuple[Complexes, Complexes]:
        """Return b at the middles of the arcs and at their right ends."""
        both = self.transform(self.taps, 2 * self.count)
        return both[0::2], both[1::2]

    def polynomials(self, index: NDArray[np.intp], known: list[Complexes]) -> Complexes:
        """Return C_0 .. C_order on the arcs ``index``, shape (order + 1, len(index))."""
        rows = [c[index] for c in known]
        rows += [self.coefficient(j)[index] for j in range(len(known), self.order + 1)]
        return np.array(rows)

    def angle(self, index: NDArray[np.intp], t: Floats) -> Floats:
        """Return the angles theta, in radians, of the local coordinates t on arcs ``index``."""
        return (2.0 * index + t) * self.half_width


def foot(c0: Complexes, c1: Complexes, half: Floats | float) -> Floats:
    """Return the real t, |t| <= half, at which |c0 + c1 t| is least: the foot of the perpendicular from 0."""
    square = c1.real**2 + c1.imag**2
    along = -(c1.real * c0.real + c1.imag * c0.imag)
    return np.clip(np.divide(along, square, out=np.zeros_like(square), where=square > 0), -half, half)


def segment_distance(c0: Complexes, c1: Complexes, half: Floats | float) -> Floats:
    """Return a lower bound of min |c0 + c1 t| over real |t| <= half, rounding included.

    The foot is off by at most 3 u |c0| / |c1| + 3 u half, and the value there is rounded by 3 u (|c0| + half
    |c1|); 8 u covers both.
    """
    return np.abs(c0 + c1 * foot(c0, c1, half)) - 8.0 * UNIT_ROUNDOFF * (np.abs(c0) + half * np.abs(c1))


def horner(poly: Complexes, t: Floats | Complexes) -> tuple[Complexes, Complexes]:
    """Return sum_j poly[j] t^j and its derivative; poly[j] broadcasts against t."""
    value = np.broadcast_to(poly[-1], t.shape).astype(np.complex128)
    slope = np.zeros(t.shape, dtype=np.complex128)
    for c in poly[-2::-1]:
        slope = slope * t + value
        value = value * t + c
    return value, slope


class _Pieces(NamedTuple):
    """Pieces [lo, hi] of the arcs with numbers ``arc``, and the computed b at their two ends."""

    arc: NDArray[np.intp]
    lo: Floats
    hi: Floats
    left: Complexes
    right: Complexes

    def where(self, mask: NDArray[Any]) -> _Pieces:
        return _Pieces._make(column[mask] for column in self)


@dataclass(frozen=True)
class Span:
    """Angles pi * lo .. pi * hi on which float64 proves nothing, and the computed b at both ends."""

    lo: Fraction
    hi: Fraction
    left: complex
    right: complex

    def holds(self, x: int) -> bool:
        """Whether the angle pi x, or the same one turn on, is in the span."""
        return any(self.lo <= x + turn <= self.hi for turn in (-2, 0, 2))


@dataclass
class Cover:
    """What float64 proves about b on the circle (on its upper half for a real kernel).

    Attributes
    ----------
    turn : float
        Change of the argument of b over the proved pieces, in radians.
    lower : float
        A lower bound of |b| on the proved pieces.
    undecided : list of Span
        The rest, ascending; spans do not touch.
    witness : bool
        Whether some sample has |b| <= floor for certain.
    evaluations : int
        How many values of b were computed.
    """

    turn: float
    lower: float
    undecided: list[Span]
    witness: bool
    evaluations: int


def first_look(grid: ArcGrid, middle: Complexes) -> tuple[list[Complexes], Floats]:
    """Return C_0 .. C_3 and, for each arc, a lower bound of |b| on it."""
    c = [middle] + [grid.coefficient(j) for j in (1, 2, 3)]
    bend = np.abs(c[2]) + np.abs(c[3])
    return c, segment_distance(c[0], c[1], 1.0) - bend - (grid.rounding + grid.tail_after_3)


def bend_and_error(grid: ArcGrid, poly: Complexes) -> tuple[Floats, Floats]:
    """Return bounds, on real |t| <= 1, of |P''| and of the error of P evaluated by Horner's rule."""
    j = np.arange(poly.shape[0])[:, None]
    size = np.abs(poly)
    # Horner: gamma_{4p} sum |C_j| (Higham, section 5.1, with complex operations at 4 u each).
    rounding = 4.0 * (len(poly) + 1) * UNIT_ROUNDOFF * size.sum(axis=0)
    return (size * (j * (j - 1))).sum(axis=0), grid.error + rounding


def cover(grid: ArcGrid, floor: float) -> Cover:
    r"""Prove |b| > floor arc by arc and add up the argument.

    On a piece, b lies within ``reach`` of the segment {C_0 + C_1 t}: reach bounds the terms of degree 2 and
    more. If the segment's distance from 0 exceeds reach + 2 error + floor, the neighbourhood of the segment
    with radius reach + 2 error is convex, holds b on the piece *and* the computed values at both ends, and
    does not hold 0. So the piece may be replaced by the chord between the computed end values without
    changing the winding, and the chord's change of argument is the principal one. Being quadratic in the
    piece's length, the test needs pieces of length about sqrt(d) near a zero at distance d, not d.
    """
    middle, ends = grid.samples()
    c, lower = first_look(grid, middle)
    lower -= grid.rounding  # the second of the two errors
    if grid.real:
        left, right = np.append(middle[:1], ends), np.append(ends, middle[-1:])
    else:
        left, right = np.roll(ends, 1), ends
    good = lower > floor
    bad = np.flatnonzero(~good)
    turn = float(np.angle(right[good] * np.conj(left[good])).sum())
    low = float(lower[good].min(initial=np.inf))
    lo, hi = np.full(bad.size, -1.0), np.full(bad.size, 1.0)
    if grid.real:  # only the upper half of the two arcs around 1 and -1
        lo[bad == 0], hi[bad == middle.size - 1] = 0.0, 0.0
    covered = Cover(
        turn, low, [], bool((np.abs(middle) + grid.error <= floor).any()), middle.size + ends.size
    )
    if bad.size:
        _refine(grid, c, covered, _Pieces(bad, lo, hi, left[bad], right[bad]), floor)
    return covered


def _refine(grid: ArcGrid, known: list[Complexes], covered: Cover, todo: _Pieces, floor: float) -> None:
    """Cut undecided arcs into pieces until each is proved or hopeless in float64."""
    which = np.arange(todo.arc.size)  # column of ``poly`` each piece belongs to
    poly = grid.polynomials(todo.arc, known)
    bend, error = bend_and_error(grid, poly)
    budget = 64 * grid.count + 200_000
    hopeless: list[_Pieces] = []
    while which.size and budget > 0:
        todo, which = _cut(poly, todo, which)
        budget -= 2 * which.size
        covered.evaluations += 2 * which.size
        mid, half = 0.5 * (todo.lo + todo.hi), 0.5 * (todo.hi - todo.lo)
        value, slope = horner(poly[:, which], mid)
        reach = 0.5 * bend[which] * half**2
        lower = segment_distance(value, slope, half) - reach - 2.0 * error[which]
        good = lower > floor
        covered.turn += float(np.angle(todo.right[good] * np.conj(todo.left[good])).sum())
        covered.lower = min(covered.lower, float(lower[good].min(initial=np.inf)))
        under = np.abs(value) + error[which] <= floor
        covered.witness |= bool(under.any())
        # Once the bend is below the rounding a finer cut proves hardly more.
        lost = ~good & (under | (reach <= error[which]))
        hopeless.append(todo.where(lost))
        more = ~good & ~lost
        todo, which = todo.where(more), which[more]
    covered.undecided = _spans(grid, [*hopeless, todo])


def _cut(poly: Complexes, todo: _Pieces, which: NDArray[np.intp]) -> tuple[_Pieces, NDArray[np.intp]]:
    # The ends are exact: pieces of [-1, 1] of length 2 / 8^level are dyadic.
    fractions = np.arange(1, _SPLIT)[:, None] / _SPLIT
    inner = todo.lo + (todo.hi - todo.lo) * fractions
    values, _ = horner(poly[:, which][:, None, :], inner)
    edges = np.vstack([todo.lo, inner, todo.hi])
    at = np.vstack([todo.left, values, todo.right])
    flat: list[Any] = [x.T.ravel() for x in (edges[:-1], edges[1:], at[:-1], at[1:])]
    return _Pieces(np.repeat(todo.arc, _SPLIT), *flat), np.repeat(which, _SPLIT)


def _spans(grid: ArcGrid, parts: list[_Pieces]) -> list[Span]:
    """Put pieces in order along the circle, those that touch merged, also across angle 0."""
    pieces = _Pieces._make(np.concatenate(column) for column in zip(*parts, strict=True))
    arc, lo, hi, left, right = pieces.where(np.lexsort((pieces.lo, pieces.arc)))
    if not arc.size:
        return []
    next_arc = (np.diff(arc) == 1) & (hi[:-1] == 1) & (lo[1:] == -1)
    apart = ~np.where(np.diff(arc) == 0, lo[1:] == hi[:-1], next_arc)
    first, last = np.append(True, apart), np.append(apart, True)

    def angles(at: Floats, ends: NDArray[np.bool_]) -> list[Fraction]:
        rows = zip(arc[ends].tolist(), at[ends].tolist(), strict=True)
        return [(2 * m + Fraction(t)) / grid.count for m, t in rows]

    columns = angles(lo, first), angles(hi, last), left[first].tolist(), right[last].tolist()
    spans = [Span(*row) for row in zip(*columns, strict=True)]
    if not grid.real and len(spans) > 1 and spans[0].lo == spans[-1].hi - 2:
        end = spans.pop()
        spans[0] = Span(end.lo - 2, spans[0].hi, end.left, spans[0].right)
    return spans
