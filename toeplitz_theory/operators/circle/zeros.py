"""All zeros of a symbol in proved discs, and exact answers about zeros on the unit circle."""

from __future__ import annotations

import math
from fractions import Fraction

import flint
import numpy as np

from toeplitz_theory.errors import InputError
from toeplitz_theory.operators.bits import to_acb
from toeplitz_theory.operators.circle.aberth import isolated_zeros
from toeplitz_theory.operators.kernels import ZERO, Taps
from toeplitz_theory.operators.results import Zeros

_TOL = 1e-15  # radii asked of the isolation; the stored ones include the rounding of the middle
_INTEGER_BITS = 128
_MAX_BITS = 4000
_LONG = 100  # taps from which Aberth's iteration is faster than FLINT's solver


def all_zeros(taps: Taps) -> Zeros:
    """Return every zero with its multiplicity, sorted by modulus."""
    if taps.is_zero:
        raise InputError("the symbol is identically 0: every number is a zero")
    scaled = taps.scaled()
    found = isolate(scaled.exact)
    values = np.concatenate([np.zeros(scaled.lead, dtype=complex), np.asarray(found)])
    radii = np.concatenate([np.zeros(scaled.lead), found.radii if found.radii is not None else []])
    order = np.argsort(np.abs(values), kind="stable")
    sides = None if found.sides is None else np.concatenate([np.full(scaled.lead, -1, np.int8), found.sides])
    return Zeros(values[order], radii[order], None if sides is None else sides[order])


def isolate(taps: Taps) -> Zeros:
    """Return the zeros of taps whose first and last are not 0.

    Long and complex polynomials go through Aberth's iteration (`aberth`). Where that proves nothing, and
    for short ones, FLINT isolates the zeros of a squarefree polynomial in balls; if it cannot, a real
    polynomial is taken apart over the integers (its coefficients are dyadic) into squarefree factors. What
    is left gets approximations with infinite radii, certified False.
    """
    if taps.values.size < 2:
        return Zeros(np.empty(0, dtype=complex), np.empty(0))
    with flint.ctx.workprec(2200 if taps.low != ZERO else 64):
        coefficients = to_acb(taps)
    if taps.values.size > _LONG or np.iscomplexobj(taps.values):
        found = isolated_zeros(taps.values, coefficients)
        if found is not None:
            return Zeros(found.values, found.radii, found.sides)
    factors = [(flint.acb_poly(coefficients), 1)]
    try:
        balls = _roots(factors)
    except ValueError:
        if np.iscomplexobj(taps.values):
            return _approximate(taps)
        _, parts = to_integers(taps).factor_squarefree()
        try:
            balls = _roots([(flint.acb_poly(part), m) for part, m in parts])
        except ValueError:
            # A ball solver can also fail next to an exact zero; the integer solver is slower and does not.
            with flint.ctx.workprec(_INTEGER_BITS):
                balls = [(root[0], m) for part, m in parts for root in part.complex_roots()]  # type: ignore[index]
    return _as_zeros(balls)


def _roots(factors: list[tuple[flint.acb_poly, int]]) -> list[tuple[flint.acb, int]]:
    return [(z, m) for f, m in factors if f.degree() > 0 for z in f.roots(tol=_TOL, maxprec=_MAX_BITS)]


def _as_zeros(balls: list[tuple[flint.acb, int]]) -> Zeros:
    values, radii = [], []
    for ball, multiplicity in balls:
        middle = complex(ball.mid())
        # Half an ulp of each part for storing the middle; rad() is rounded to float upwards.
        stored = 2.0**-53 * (abs(middle.real) + abs(middle.imag)) + 5e-324
        radius = float(ball.real.rad()) + float(ball.imag.rad()) + stored
        values += [middle] * multiplicity
        radii += [math.nextafter(radius * (1.0 + 2.0**-50), math.inf)] * multiplicity
    return Zeros(np.array(values, dtype=complex), np.array(radii))


def _approximate(taps: Taps) -> Zeros:
    values = np.roots(np.asarray(taps.values)[::-1])
    return Zeros(values.astype(complex), np.full(values.size, np.inf))


def to_integers(taps: Taps) -> flint.fmpz_poly:
    """Return an integer multiple of p if it is real, of p times its conjugate if it is complex, exactly."""
    parts = []
    for values, low in ((taps.values.real, taps.low[0]), (taps.values.imag, taps.low[1])):
        exact = [Fraction(x) for x in values.tolist()]
        exact[0] += low
        parts.append(exact)
    common = max(x.denominator for x in parts[0] + parts[1])  # powers of two: a multiple of all
    a, b = (flint.fmpz_poly([x.numerator * (common // x.denominator) for x in part]) for part in parts)
    return a * a + b * b if np.iscomplexobj(taps.values) else a


def proved_on_circle(taps: Taps) -> tuple[float, ...]:
    """Return the angles of zeros that are on the unit circle for certain; empty if nothing is proved.

    Zeros on the circle are common zeros of p and of its reverse, so of their gcd g over the
    integers, and the zeros of g come in pairs zeta, 1 / conj(zeta). A zero whose mirror image can lie in no
    ball but its own is its own mirror image: it is on the circle. For a complex p this is applied
    to p times its conjugate polynomial, whose zero on the circle is one of p or the mirror image of one; the
    angles where p cannot be told from 0 are returned.
    """
    p = to_integers(taps)
    common = p.gcd(flint.fmpz_poly(list(p)[::-1]))
    if common.degree() < 1:
        return ()
    _, parts = common.factor_squarefree()
    square_free = flint.fmpz_poly([1])
    for part, _ in parts:
        square_free *= part
    try:
        balls = [z for z, _ in _roots([(flint.acb_poly(square_free), 1)])]
    except ValueError:  # as in `isolate`: next to an exact zero
        with flint.ctx.workprec(_INTEGER_BITS):
            balls = [root[0] for root in square_free.complex_roots()]  # type: ignore[index]
    values = flint.acb_poly(to_acb(taps))
    angles = []
    for i, ball in enumerate(balls):
        if not bool(ball.abs_lower() <= 1) or not bool(ball.abs_upper() >= 1):
            continue
        mirror = 1 / ball.conjugate()
        if not any(mirror.overlaps(other) for j, other in enumerate(balls) if j != i):
            if not values(ball).contains(0):
                continue  # the mirror image's
            middle = complex(ball.mid())
            angles.append(math.atan2(middle.imag, middle.real))
    return tuple(sorted(angles))
