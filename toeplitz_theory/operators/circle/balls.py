"""The arcs that float64 could not decide, in ball arithmetic (FLINT's acb) at rising precision."""

from __future__ import annotations

import cmath
import math
from dataclasses import dataclass
from fractions import Fraction

import flint

from toeplitz_theory.operators.bits import precision, to_acb
from toeplitz_theory.operators.kernels import Scaled

PRECISIONS = (128, 320, 1024)  # bits; beyond the last a zero is reported as not excluded from the circle
MAX_PIECES = 2_000  # per part of an interval, and precision
MAX_WORK = 4_000_000  # taps times parts: a few seconds per precision


class ValuesAt:
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
        self._reach = max(centre, scaled.values.size - centre)  # bounds |k - centre|

    def _prepare(self, bits: int) -> None:
        """Take the scaled taps and sum |w_k| r^k to this precision."""
        if self._bits == bits:
            return
        self._bits = bits
        unit = flint.arb(2) ** (-self.scaled.exponent)
        self._row = [c * unit for c in to_acb(self.scaled.exact)]
        self._polys: list[flint.acb_poly] = []
        growth, power = flint.arb(0), flint.arb(1)
        for c in self._row:
            growth += c.abs_upper() * power
            power = power * flint.arb(self.radius)
        self._norm = growth.abs_upper()

    def _poly(self, j: int) -> flint.acb_poly:
        """Return sum_k w_k (k - centre)^j z^k."""
        while len(self._polys) <= j:
            self._polys.append(flint.acb_poly(self._row))
            self._row = [c * (k - self.centre) for k, c in enumerate(self._row)]
        return self._polys[j]

    def taylor(self, middle: Fraction, half: flint.arb, bits: int) -> tuple[list[flint.acb], flint.arb]:
        """Return the coefficients in t of b(pi * middle + half * t), and a bound of the remainder.

        The remainder after degree p is at most norm (half reach)^(p + 1) / (p + 1)!, and p makes that
        2^-bits norm.
        """
        angle = flint.acb(_at(middle))
        at = angle.exp_pi_i() * flint.arb(self.radius)
        back = (angle * -self.centre).exp_pi_i()
        step = flint.acb(0, half)
        size = (half * self._reach).abs_upper()
        out: list[flint.acb] = []
        factor, term = flint.acb(1), flint.arb(1)
        limit = flint.arb(2) ** (-bits)
        while len(out) < 3 or not bool(term <= limit):
            j = len(out)
            out.append(self._poly(j)(at) * back * factor)
            factor = factor * step / (j + 1)
            term = (term * size / (j + 1)).abs_upper()
        return out, (term * self._norm).abs_upper()

    def prove(self, lo: Fraction, hi: Fraction, floor: float, bits: int) -> Proof | None:
        """Prove |b| > floor on the angles pi * lo .. pi * hi and measure the turn there, or return None."""
        with precision(bits):
            self._prepare(bits)
            return self._attempt(lo, hi, flint.arb(floor), bits)

    def _attempt(self, lo: Fraction, hi: Fraction, floor: flint.arb, bits: int) -> Proof | None:
        """Cut the interval into parts short enough for a Taylor polynomial each, and cover every part."""
        # Half-widths of at most 1/4 radian of the highest frequency: some twenty orders give 128 bits.
        parts = max(1, math.ceil((hi - lo) * Fraction(math.pi) * self._reach / 2 * 4))
        if parts * self.scaled.values.size > MAX_WORK:
            return None
        turn, lower, pieces = 0.0, math.inf, 0
        first = last = None
        for i in range(parts):
            a, b = lo + (hi - lo) * i / parts, lo + (hi - lo) * (i + 1) / parts
            half = flint.arb.pi() * _at((b - a) / 2)
            poly, remainder = self.taylor((a + b) / 2, half, bits)
            piece = _cover_part(poly, remainder, floor, bits)
            if piece is None or piece.witness:
                return piece
            turn += piece.turn + (0.0 if last is None else cmath.phase(piece.first / last))
            lower, pieces = min(lower, piece.lower), pieces + piece.pieces
            first, last = piece.first if first is None else first, piece.last
        assert first is not None and last is not None
        return Proof(turn, first, last, lower, pieces, bits)


def _cover_part(poly: list[flint.acb], remainder: flint.arb, floor: flint.arb, bits: int) -> Proof | None:
    """Cover t in [-1, 1] by pieces as `arcs.cover` does, all in balls; None if one piece is hopeless."""
    turn, lower, pieces = 0.0, math.inf, 0
    whole = flint.acb_poly(poly)
    first = left = whole(-1)
    stack = [whole]  # polynomials of the pieces, each on [-1, 1]
    while stack:
        piece = stack.pop()
        pieces += 1
        value, slope = piece[0], piece[1]
        reach = sum((piece[j].abs_upper() for j in range(2, len(piece))), flint.arb(0))
        if bool(value.abs_upper() + remainder <= floor):
            return Proof(math.nan, complex(math.nan), complex(math.nan), 0.0, pieces, bits, witness=True)
        right = piece(1)
        # The ends enter as midpoints of their balls, and may come from the polynomial of the next part.
        rough = 4 * remainder + 2 * (_radius(value) + _radius(left) + _radius(right))
        margin = _segment_distance(value, slope) - reach - rough
        if bool(margin > floor):
            turn += cmath.phase(_ratio(right, left))
            lower = min(lower, _down(margin))
            left = right
        elif bool(reach <= rough) or pieces > MAX_PIECES:
            return None
        else:
            stack += [piece(flint.acb_poly([0.5, 0.5])), piece(flint.acb_poly([-0.5, 0.5]))]  # left one next
    return Proof(turn, _direction(first), _direction(left), lower, pieces, bits)


def _at(x: Fraction) -> flint.arb:
    return flint.arb(flint.fmpq(x.numerator, x.denominator))


def _segment_distance(value: flint.acb, slope: flint.acb) -> flint.arb:
    """Return a ball whose lower end is a lower bound of min |value + slope t| over |t| <= 1."""
    square = slope.real * slope.real + slope.imag * slope.imag
    if not bool(square > 0):
        return value.abs_lower() - slope.abs_upper()
    inner = value * slope.conjugate()
    foot = -inner.real / square
    if bool(foot >= 1):
        return (value + slope).abs_lower()
    if bool(foot <= -1):
        return (value - slope).abs_lower()
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


def _down(x: flint.arb) -> float:
    """Return a float at most x."""
    return max(0.0, math.nextafter(float(x.lower()), -math.inf))
