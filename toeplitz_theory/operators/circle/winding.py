"""Certified winding numbers: float64 arcs first, ball arithmetic for what they leave open."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from toeplitz_theory.errors import InputError
from toeplitz_theory.operators.circle.arcs import ArcGrid, Cover, Undecided, cover
from toeplitz_theory.operators.kernels import Scaled, Taps
from toeplitz_theory.operators.results import Winding

MAX_BALL_INTERVALS = 256  # more open intervals than this are not worked on one by one
MAX_EXACT_TAPS = 1100  # the gcd of longer integer polynomials is not tried
MAX_ISOLATED_TAPS = 4200  # isolating all zeros takes 4 s there, 0.1 s at 512
MANY_INTERVALS = 16  # from here on isolating all zeros is cheaper than balls for each
MAX_BALL_WIDTH = 20.0  # open angle (in units of pi) times taps above which balls get slow
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
    scaled = taps.scaled()
    values, error = scaled.at_radius(radius)
    floor = tol * float(np.linalg.norm(values))
    grid = ArcGrid(values, error)
    found = cover(grid, floor)
    back = math.ldexp(1.0, min(scaled.exponent, 1023))  # at most what a scaled unit is worth
    if not len(found.undecided):
        count = _count(grid, found.turn)
        margin = math.nextafter(found.lower * back, 0.0)
        text = f"float64 arcs ({grid.count} equal ones, cut where needed)"
        return Winding(scaled.lead + count, True, margin, (), found.evaluations, text)
    if found.witness:
        text = f"not Fredholm at tolerance {tol:g}: the modulus is at most {floor * back:.3g} on the circle"
        return Winding(
            None, False, 0.0, _angles(grid, _spans(grid, found.undecided)), found.evaluations, text
        )
    return _by_balls(scaled, radius, grid, found, floor, back, tol)


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


def _by_balls(
    scaled: Scaled, radius: float, grid: ArcGrid, found: Cover, floor: float, back: float, tol: float
) -> Winding:
    """Decide the open intervals one by one in ball arithmetic; report their angles if that fails."""
    from toeplitz_theory.operators.circle.balls import PRECISIONS, BallArcs

    spans = _spans(grid, found.undecided)
    evaluations, turn, lower = found.evaluations, found.turn, found.lower
    open_spans: list[Span] = []
    bits = 0
    balls = BallArcs(scaled, grid.centre, radius)
    precisions: tuple[int, ...] = PRECISIONS if len(spans) <= MAX_BALL_INTERVALS else ()
    wide = sum(float(span.hi - span.lo) for span in spans) * scaled.values.size > MAX_BALL_WIDTH
    if wide or len(spans) > MANY_INTERVALS:
        shortcut = _by_zeros(scaled, radius, evaluations) if tol == 0 else None
        if shortcut is not None:
            return shortcut
    for span in spans:
        proof = balls.prove(span.lo, span.hi, floor, precisions[:1])
        if proof is None and precisions[1:]:
            exact = _exact_angles(scaled, radius)
            if exact:
                text = "not Fredholm: zeros on the circle, proved in exact arithmetic"
                return Winding(None, False, 0.0, exact, evaluations, text)
            proof = balls.prove(span.lo, span.hi, floor, precisions[1:])
        if proof is None or proof.witness:
            open_spans.append(span)
            precisions = PRECISIONS[:1]  # one open interval settles it: no great pains with the others
            continue
        evaluations += proof.pieces
        turn += proof.turn
        # From the float64 end values to the balls': both lie in the neighbouring proved piece's convex
        # neighbourhood. At 0 and pi of a real kernel there is no neighbour, and nothing to join.
        if not (grid.real and span.lo == 0):
            turn += _phase(proof.first / span.left)
        if not (grid.real and span.hi == 1):
            turn += _phase(span.right / proof.last)
        lower, bits = min(lower, proof.lower), max(bits, proof.precision)
    if not open_spans:
        text = f"float64 arcs and, on {len(spans)} intervals, balls of up to {bits} bits"
        return Winding(
            scaled.lead + _count(grid, turn), True, math.nextafter(lower * back, 0.0), (), evaluations, text
        )
    if len(spans) > MAX_BALL_INTERVALS:
        text = f"not certified: {len(spans)} intervals are below float64 rounding, too many for balls"
    elif tol > 0:
        text = f"not Fredholm at tolerance {tol:g}, or too close to it to tell in {PRECISIONS[-1]} bits"
    else:
        text = (
            f"not Fredholm at tolerance 0: a zero on the circle cannot be excluded in {PRECISIONS[-1]} bits"
        )
    return Winding(None, False, 0.0, _angles(grid, open_spans), evaluations, text)


def _exact_angles(scaled: Scaled, radius: float) -> tuple[float, ...]:
    """Return the angles of the zeros that exact arithmetic puts on the unit circle, if it is cheap."""
    from toeplitz_theory.operators.circle.zeros import proved_on_circle

    if radius != 1.0 or scaled.values.size > MAX_EXACT_TAPS:
        return ()
    return proved_on_circle(scaled.exact)


def _by_zeros(scaled: Scaled, radius: float, evaluations: int) -> Winding | None:
    """Count all zeros inside, each in a proved disc: cheaper where a is below rounding on long stretches."""
    from toeplitz_theory.operators.circle.zeros import isolate

    exact = _exact_angles(scaled, radius)
    if exact:
        text = "not Fredholm: zeros on the circle, proved in exact arithmetic"
        return Winding(None, False, 0.0, exact, evaluations, text)
    if radius != 1.0 or scaled.values.size > MAX_ISOLATED_TAPS:
        return None
    zeros = isolate(scaled.exact)
    if not zeros.certified or zeros.undecided().size:
        return None
    text = "all zeros isolated: the symbol is below float64 rounding on long stretches of the circle"
    return Winding(scaled.lead + zeros.inside().size, True, 0.0, (), evaluations, text)


@dataclass(frozen=True)
class Span:
    """Angles pi * lo .. pi * hi that float64 left open, and the float64 values of b at both ends."""

    lo: Fraction
    hi: Fraction
    left: complex
    right: complex


def _spans(grid: ArcGrid, pieces: Undecided) -> list[Span]:
    """Turn pieces of arcs into intervals of angles, those that touch merged, also across angle 0."""
    spans: list[Span] = []
    rows = zip(pieces.index, pieces.lo, pieces.hi, pieces.left, pieces.right, strict=True)
    for m, lo, hi, left, right in rows:
        a, b = (Fraction(float(t)) + 2 * int(m) for t in (lo, hi))
        new = Span(a / grid.count, b / grid.count, complex(left), complex(right))
        if spans and spans[-1].hi == new.lo:
            last = spans.pop()
            new = Span(last.lo, new.hi, last.left, new.right)
        spans.append(new)
    if not grid.real and len(spans) > 1 and spans[0].lo == spans[-1].hi - 2:
        last = spans.pop()
        spans[0] = Span(last.lo - 2, spans[0].hi, last.left, spans[0].right)
    return spans


def _angles(grid: ArcGrid, spans: list[Span]) -> tuple[float, ...]:
    """Return the middles of the spans in (-pi, pi], mirrored for a real kernel, near ones merged."""
    found: list[float] = []
    for span in spans:
        if grid.real and span.lo == 0:
            found.append(0.0)
        elif grid.real and span.hi == 1:
            found.append(math.pi)
        else:
            x = math.pi * float((span.lo + span.hi) / 2)
            x = x if x <= math.pi else x - 2.0 * math.pi
            found += [x, -x] if grid.real else [x]
    merged: list[float] = []
    for x in sorted(found):
        if not merged or x - merged[-1] > _MERGE:
            merged.append(x)
    return tuple(merged)


def _phase(z: complex) -> float:
    return math.atan2(z.imag, z.real)
