"""The arcs that float64 could not decide, in ball arithmetic (FLINT's acb) at rising precision."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import flint

from toeplitz_theory.operators.taps import ZERO, Scaled, Taps

PRECISIONS = (128, 320, 1024)  # bits; beyond the last a zero is reported as not excluded from the circle
MAX_PIECES = 20_000  # per interval and precision
_ORDER = 8


def to_acb(taps: Taps) -> list[flint.acb]:
    """Return the exact coefficients as balls, of radius 0 where the working precision holds them."""
    values = taps.values
    out = [flint.acb(complex(z)) for z in values.tolist()]
    if taps.low != ZERO:
        re, im = (flint.arb(flint.fmpq(x.numerator, x.denominator)) for x in taps.low)
        out[0] = out[0] + flint.acb(re, im)
    return out


@dataclass(frozen=True)
class Proof:
    """What balls prove about b = e^{-i centre theta} a on one interval.

    ``turn`` is the change of the argument, ``first`` and ``last`` are values of b at the ends (as complex
    floats of modulus 1), ``lower`` bounds |b| below in scaled units. ``witness`` is set if b is
    proved to be at most ``floor`` in modulus somewhere; ``turn`` then means nothing.
    """

    turn: float
    first: complex
    last: complex
    lower: float
    pieces: int
    precision: int
    witness: bool = False


class BallArcs:
    """Exact local Taylor polynomials of scaled taps on the circle of radius ``radius``."""

    def __init__(self, scaled: Scaled, centre: int, radius: float) -> None:
        self.scaled, self.centre, self.radius = scaled, centre, radius
        self._bits = 0

    def _prepare(self, bits: int) -> None:
        """Build the polynomials sum_k w_k (k - centre)^j z^k, j = 0 .. order + 1, at this precision."""
        if self._bits == bits:
            return
        self._bits = bits
        unit = flint.arb(2) ** (-self.scaled.exponent)
        row = [c * unit for c in to_acb(self.scaled.exact)]
        self._polys = []
        for _ in range(_ORDER + 1):
            self._polys.append(flint.acb_poly(row))
            row = [c * (k - self.centre) for k, c in enumerate(row)]
        powers, power = [], flint.arb(1)
        for _ in row:
            powers.append(power)
            power = power * flint.arb(self.radius)
        # sum |w_k| r^k |k - centre|^(order + 1), for the Taylor remainder
        self._moment = sum((c.abs_upper() * p for c, p in zip(row, powers, strict=True)), flint.arb(0))

    def taylor(self, middle: Fraction, half: flint.arb) -> tuple[list[flint.acb], flint.arb]:
        """Return the coefficients in t of b(pi * middle + half * t), and a bound of the remainder."""
        angle = flint.acb(flint.arb(flint.fmpq(middle.numerator, middle.denominator)))
        z = angle.exp_pi_i()
        at = z * flint.arb(self.radius)
        back = (angle * -self.centre).exp_pi_i()
        factor, out = flint.acb(1), []
        for j, poly in enumerate(self._polys):
            out.append(poly(at) * back * factor)
            factor = factor * flint.acb(0, half) / (j + 1)
        bound = self._moment * half ** (_ORDER + 1) / math.factorial(_ORDER + 1)
        return out, bound.abs_upper()

    def prove(
        self, lo: Fraction, hi: Fraction, floor: float, precisions: Sequence[int] = PRECISIONS
    ) -> Proof | None:
        """Prove |b| > floor on the angles pi * lo .. pi * hi and measure the turn there, or return None."""
        for bits in precisions:
            with flint.ctx.workprec(bits):
                self._prepare(bits)
                result = self._attempt(lo, hi, flint.arb(floor), bits)
            if result is not None:
                return result
        return None

    def _attempt(self, lo: Fraction, hi: Fraction, floor: flint.arb, bits: int) -> Proof | None:
        """Cut the interval into parts short enough for a Taylor polynomial each, and cover every part."""
        # The remainder's ratio per order is about n * half: 1/4 of a radian per tap keeps it falling.
        reach = max(self.centre, self.scaled.values.size - self.centre)
        parts = max(1, math.ceil((hi - lo) * Fraction(math.pi) * reach / 2 * 4))
        if parts > MAX_PIECES:
            return None
        turn, lower, pieces = 0.0, math.inf, 0
        first = last = None
        for i in range(parts):
            a, b = lo + (hi - lo) * i / parts, lo + (hi - lo) * (i + 1) / parts
            half = flint.arb.pi() * flint.arb(flint.fmpq((b - a).numerator, 2 * (b - a).denominator))
            poly, remainder = self.taylor((a + b) / 2, half)
            piece = _cover_part(poly, remainder, floor, bits)
            if piece is None or piece.witness:
                return piece
            turn += piece.turn + (0.0 if last is None else _phase(piece.first / last))
            lower, pieces = min(lower, piece.lower), pieces + piece.pieces
            first, last = piece.first if first is None else first, piece.last
        assert first is not None and last is not None
        return Proof(turn, first, last, lower, pieces, bits)


def _cover_part(poly: list[flint.acb], remainder: flint.arb, floor: flint.arb, bits: int) -> Proof | None:
    """Cover t in [-1, 1] by pieces as `arcs.cover` does, all in balls; None if one piece is hopeless."""
    bend = sum((c.abs_upper() * (j * (j - 1)) for j, c in enumerate(poly)), flint.arb(0))
    turn, lower, pieces = 0.0, math.inf, 0
    first = left = _value(poly, Fraction(-1))
    stack = [(Fraction(-1), Fraction(1))]
    while stack:
        lo, hi = stack.pop()
        pieces += 1
        mid, half = (lo + hi) / 2, flint.arb(flint.fmpq((hi - lo).numerator, 2 * (hi - lo).denominator))
        value, slope = _value(poly, mid), _slope(poly, mid)
        if bool(value.abs_upper() + remainder <= floor):
            return Proof(math.nan, complex(math.nan), complex(math.nan), 0.0, pieces, bits, witness=True)
        right = _value(poly, hi)
        reach = bend * half * half / 2
        # 2 (radii): the ends enter as midpoints of their balls, so the neighbourhood is widened by both.
        rough = remainder + 2 * (_radius(value) + _radius(left) + _radius(right))
        margin = _segment_distance(value, slope, half) - reach - rough
        if bool(margin > floor):
            turn += _phase(_ratio(right, left))
            lower = min(lower, _down(margin))
            left = right
        elif bool(reach <= rough) or pieces > MAX_PIECES:
            return None
        else:
            stack += [(mid, hi), (lo, mid)]  # the left one is taken first
    return Proof(turn, _direction(first), _direction(left), lower, pieces, bits)


def _at(x: Fraction) -> flint.arb:
    return flint.arb(flint.fmpq(x.numerator, x.denominator))


def _value(poly: list[flint.acb], t: Fraction) -> flint.acb:
    x, out = _at(t), poly[-1]
    for c in poly[-2::-1]:
        out = out * x + c
    return out


def _slope(poly: list[flint.acb], t: Fraction) -> flint.acb:
    x, out = _at(t), poly[-1] * (len(poly) - 1)
    for j in range(len(poly) - 2, 0, -1):
        out = out * x + poly[j] * j
    return out


def _segment_distance(value: flint.acb, slope: flint.acb, half: flint.arb) -> flint.arb:
    """Return a ball whose lower end is a lower bound of min |value + slope t| over |t| <= half."""
    square = slope.real * slope.real + slope.imag * slope.imag
    if not bool(square > 0):
        return value.abs_lower() - slope.abs_upper() * half
    inner = value * slope.conjugate()
    foot = -inner.real / square
    if bool(foot >= half):
        return (value + slope * half).abs_lower()
    if bool(foot <= -half):
        return (value - slope * half).abs_lower()
    # The distance from the whole line bounds the distance from the segment below.
    return (abs(inner.imag) / slope.abs_upper()).abs_lower()


def _radius(z: flint.acb) -> flint.arb:
    return z.real.rad() + z.imag.rad()


def _ratio(a: flint.acb, b: flint.acb) -> complex:
    quotient = a.mid() / b.mid()
    return complex(quotient / quotient.abs_upper())


def _direction(a: flint.acb) -> complex:
    middle = a.mid()
    return complex(middle / middle.abs_upper())


def _phase(z: complex) -> float:
    return math.atan2(z.imag, z.real)


def _down(x: flint.arb) -> float:
    """Return a float at most x."""
    return max(0.0, math.nextafter(float(x.lower()), -math.inf))
