"""Certified winding numbers: float64 arcs first, ball arithmetic and exact arithmetic for the rest."""

from __future__ import annotations

import cmath
import math
from dataclasses import replace

import numpy as np

from toeplitz_theory.errors import InputError
from toeplitz_theory.operators.circle.arcs import ArcGrid, Cover, Span, cover
from toeplitz_theory.operators.circle.balls import PRECISIONS, BallArcs
from toeplitz_theory.operators.circle.discs import near_discs
from toeplitz_theory.operators.circle.exact import SharedZeros
from toeplitz_theory.operators.circle.zeros import ISOLATED_UP_TO, all_zeros
from toeplitz_theory.operators.kernels import Scaled, Taps
from toeplitz_theory.operators.results import Winding

MANY_SPANS = 50_000  # times taps: from here on it is cheaper to isolate the zeros next to the circle
MAX_SPANS = 256  # more open spans than this are not worked on one by one
MAX_BALL_WORK = 100_000_000  # pieces times taps times bits: some seconds
MAX_BALL_WIDTH = 20.0  # open angle (in units of pi) times taps above which balls get slow
MAX_SIGNS = 20_000_000  # points times taps: one second
MAX_ZEROS = 20_000_000  # zeros next to the circle times taps: some seconds
_BAND = 2.5  # width of the band next to the circle, over the number of arcs: 0.8 half-widths of an arc
_MERGE = 1e-9  # radians: angles closer than this are reported as one


def wind(taps: Taps, tol: float = 0.0, radius: float = 1.0) -> Winding:
    """Count the turns of a polynomial round 0 on |z| = radius, with proof.

    Parameters
    ----------
    taps : Taps
        The exact coefficients.
    tol : float
        Relative to the root mean square of |a| on the circle (the 2-norm of the taps): at or below
        that modulus the polynomial counts as vanishing.
    radius : float
        Radius of the circle, exact.
    """
    if not (np.isfinite(tol) and tol >= 0):
        raise InputError(f"tol is {tol}: pass a number >= 0, such as 1e-6")
    if taps.is_zero:
        return Winding(None, False, 0.0, (), 0, "undefined: the symbol is identically 0")
    comb = taps.comb() if radius == 1.0 else None
    if comb is not None:
        proof = wind(comb.core, tol)
        angles = comb.angles(proof.on_circle)
        return replace(proof, count=comb.count(proof.count), on_circle=angles, method=comb.note(proof.method))
    scaled = taps.scaled()
    values, error = scaled.at_radius(radius)
    floor = tol * float(np.linalg.norm(values))
    grid = ArcGrid(values, error)
    covered = cover(grid, floor)
    spans = covered.undecided
    if not spans:
        count = scaled.lead + _count(grid, covered.turn)
        text = f"float64 arcs ({grid.count} equal ones, cut where needed)"
        return Winding(count, True, scaled.lower(covered.lower), (), covered.evaluations, text)
    if covered.witness:
        most = math.ldexp(floor, min(scaled.exponent, 1023))
        text = f"not Fredholm at tolerance {tol:g}: the modulus is at most {most:.3g} on the circle"
        return Winding(None, False, 0.0, _angles(grid, spans), covered.evaluations, text)
    return _undecided(scaled, radius, grid, covered, floor, tol)


def count_between(taps: Taps, inner: float, outer: float) -> int | None:
    """Return the proved number of zeros with inner < |z| < outer, None if a winding number fails."""
    counts = [_count_inside(taps, radius) for radius in (outer, inner)]
    return None if counts[0] is None or counts[1] is None else counts[0] - counts[1]


def _count_inside(taps: Taps, radius: float) -> int | None:
    """Return the proved number of zeros with |z| < radius, or None."""
    comb = taps.comb()
    power = radius**comb.step if comb is not None else 0.0
    if comb is None or not 1e-300 < power < 1e300:
        return wind(taps, radius=radius).count
    # The power is rounded: the core must have as many zeros inside what is surely below it and above it.
    below, above = (wind(comb.core, radius=power * (1.0 + slip)).count for slip in (-(2.0**-49), 2.0**-49))
    return comb.count(below) if below == above else None


def _count(grid: ArcGrid, turn: float) -> int:
    """Return the winding number of a from the change of argument of b = e^{-i centre theta} a.

    On the upper half for a real kernel: b(0) and b(pi) are real and the lower half is the mirror image, so
    the whole turn is twice the half's. The sum of N principal arguments, each right to 4 u pi, is off
    by far less than 1/2 (N u^(1/2) would still do), and must be an integer: so rounding is exact.
    """
    turns = turn / math.pi if grid.real else turn / (2.0 * math.pi)
    count = round(turns)
    if abs(turns - count) > 1e-3:
        raise AssertionError(f"the turns add up to {turns}, not to an integer: a bound is wrong")
    return grid.centre + count


# What float64 leaves open, in the order of what it costs.


def _undecided(
    scaled: Scaled, radius: float, grid: ArcGrid, covered: Cover, floor: float, tol: float
) -> Winding:
    spans = covered.undecided
    proved = _on_circle(scaled.exact, spans) if radius == 1.0 else []
    if proved:
        text = "not Fredholm: zeros on the circle, proved in exact arithmetic"
        return Winding(None, False, 0.0, _angles(grid, proved), covered.evaluations, text)
    n = scaled.values.size
    wide = sum(float(span.hi - span.lo) for span in spans) * n > MAX_BALL_WIDTH
    if (wide or len(spans) * n > MANY_SPANS) and tol == 0:
        inside = None if wide or radius != 1.0 else _by_near_zeros(scaled, grid)
        if inside is not None:
            text = "all zeros next to the circle isolated in balls"
            return Winding(scaled.lead + inside, True, 0.0, (), covered.evaluations, text)
        if n <= ISOLATED_UP_TO:
            result = _by_all_zeros(scaled, radius, covered.evaluations)
            if result is not None:
                return result
    if wide or len(spans) > MAX_SPANS:
        text = f"not certified: {len(spans)} intervals below float64 rounding, too many or wide for balls"
        return Winding(None, False, 0.0, _angles(grid, spans), covered.evaluations, text)
    return _by_balls(scaled, radius, grid, covered, floor, tol)


def _on_circle(taps: Taps, spans: list[Span]) -> list[Span]:
    """Return the spans in which exact arithmetic proves a zero on the unit circle.

    For complex taps the span, or its mirror image in the real axis: one of the two holds the zero.
    """
    zeros = SharedZeros.of(taps)
    tried = spans[: max(1, MAX_SIGNS // (2 * taps.values.size))]
    ends = np.array([[float(span.lo), float(span.hi)] for span in tried])
    signs = zeros.signs(ends.ravel()).reshape(-1, 2)
    changes = signs[:, 0] * signs[:, 1] < 0
    proved = [
        span
        for span, change in zip(tried, changes, strict=True)
        if change or (zeros.at_one and span.holds(0)) or (zeros.at_minus_one and span.holds(1))
    ]
    return spans if proved and len(tried) < len(spans) else proved


def _by_near_zeros(scaled: Scaled, grid: ArcGrid) -> int | None:
    """Count the zeros inside: most by a smaller circle, each of those next to the circle by its disc."""
    width = _BAND / grid.count
    inner = wind(scaled.exact, radius=math.exp(-width)).count
    outer = wind(scaled.exact, radius=math.exp(width)).count
    if inner is None or outer is None or (outer - inner) * scaled.values.size > MAX_ZEROS:
        return None
    discs = near_discs(scaled, grid, width, outer - inner)
    if discs is None or not all(disc.side for disc in discs):
        return None
    return inner + sum(disc.side < 0 for disc in discs)


def _by_all_zeros(scaled: Scaled, radius: float, evaluations: int) -> Winding | None:
    """Count the zeros in |z| < radius among all of them, each in its disc."""
    zeros = all_zeros(scaled.exact)
    if not zeros.certified:
        return None
    sides = zeros.known_sides() if radius == 1.0 else zeros.sides_of(radius)
    if sides.all():
        text = "all zeros isolated: the symbol is below float64 rounding on long stretches of the circle"
        return Winding(scaled.lead + int((sides < 0).sum()), True, 0.0, (), evaluations, text)
    if radius == 1.0 and zeros.settled:
        angles = np.unique(np.angle(zeros.undecided()))
        text = "not Fredholm: zeros on the circle, proved in exact arithmetic"
        return Winding(None, False, 0.0, tuple(angles.tolist()), evaluations, text)
    return None


def _by_balls(
    scaled: Scaled, radius: float, grid: ArcGrid, covered: Cover, floor: float, tol: float
) -> Winding:
    """Prove the open spans one by one in ball arithmetic; report the angles of those where that fails."""
    evaluations, turn, lower, bits = covered.evaluations, covered.turn, covered.lower, 0
    left, failed, work = covered.undecided, False, MAX_BALL_WORK
    for bits in PRECISIONS:
        balls = BallArcs(scaled, grid.centre, radius, bits)
        tried, left = left, []
        for k, span in enumerate(tried):
            work -= scaled.values.size * bits
            if work < 0:
                text = f"not certified: {len(tried)} intervals below rounding, too much work for balls"
                return Winding(None, False, 0.0, _angles(grid, left + tried[k:]), evaluations, text)
            proof = balls.prove(span.lo, span.hi, floor)
            if proof is None or proof.witness:
                left.append(span)
                failed = failed or proof is not None
                if bits == PRECISIONS[-1]:  # one open span settles it: no great pains with the others
                    left += tried[k + 1 :]
                    break
                continue
            evaluations += proof.pieces
            turn += proof.turn
            # From the float64 end values to the balls': both lie in the neighbouring proved piece's convex
            # neighbourhood. At 0 and pi of a real kernel there is no neighbour, and nothing to join.
            if not (grid.real and span.lo == 0):
                turn += cmath.phase(proof.first / span.left)
            if not (grid.real and span.hi == 1):
                turn += cmath.phase(span.right / proof.last)
            lower = min(lower, proof.lower)
        if failed or not left:
            break
    if not left:
        text = f"float64 arcs and, on {len(covered.undecided)} intervals, balls of up to {bits} bits"
        count = scaled.lead + _count(grid, turn)
        return Winding(count, True, scaled.lower(lower), (), evaluations, text)
    close = ", or too close to it to tell" if tol > 0 else ": a zero on the circle cannot be excluded"
    text = f"not Fredholm at tolerance {tol:g}{close} in {PRECISIONS[-1]} bits"
    return Winding(None, False, 0.0, _angles(grid, left), evaluations, text)


def _angles(grid: ArcGrid, spans: list[Span]) -> tuple[float, ...]:
    """Return the middles of the spans in (-pi, pi], mirrored for a real kernel, near ones merged."""
    angles: list[float] = []
    for span in spans:
        if grid.real and span.lo == 0:
            angles.append(0.0)
        elif grid.real and span.hi == 1:
            angles.append(math.pi)
        else:
            x = math.pi * float((span.lo + span.hi) / 2)
            x = x if x <= math.pi else x - 2.0 * math.pi
            angles += [x, -x] if grid.real else [x]
    ascending = np.sort(angles)
    return tuple(ascending[np.diff(ascending, prepend=-math.inf) > _MERGE].tolist())
