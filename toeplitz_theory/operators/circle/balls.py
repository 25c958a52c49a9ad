"""The arcs that float64 could not decide, in ball arithmetic (FLINT's acb) at rising precision."""

from __future__ import annotations

import cmath
import math
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import flint

from toeplitz_theory.operators.bits import precision, to_acb
from toeplitz_theory.operators.kernels import Scaled

PRECISIONS = (128, 320, 1024)  # bits; beyond the last a zero is reported as not excluded from the circle
_POINTS = 256  # at once
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
        if len(points) > _POINTS:
            half = len(points) // 2
            return self(points[:half]) + self(points[half:])
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
    witness: bool = False


class BallArcs:
    """Exact local Taylor polynomials of scaled taps on the circle of radius ``radius``, in ``bits`` bits."""

    def __init__(self, scaled: Scaled, centre: int, radius: float, bits: int) -> None:
        self.centre, self.radius, self.bits = centre, radius, bits
        self._reach = max(centre, scaled.values.size - centre)  # bounds |k - centre|
        self._polys: list[flint.acb_poly] = []
        with precision(bits):
            unit = flint.arb(2) ** (-scaled.exponent)
            self._row = [c * unit for c in to_acb(scaled.exact)]
            sizes = flint.arb_poly([c.abs_upper() for c in self._row])
            self._norm = sizes(flint.arb(radius)).abs_upper()  # of sum |w_k| r^k

    def _poly(self, j: int) -> flint.acb_poly:
        """Return sum_k w_k (k - centre)^j z^k."""
        while len(self._polys) <= j:
            self._polys.append(flint.acb_poly(self._row))
            self._row = [c * (k - self.centre) for k, c in enumerate(self._row)]
        return self._polys[j]

    def taylor(self, middle: Fraction, half: flint.arb) -> tuple[flint.acb_poly, flint.arb]:
        """Return b(pi * middle + half * t) as a polynomial in t, and a bound of the remainder.

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
        limit = flint.arb(2) ** (-self.bits)
        while len(out) < 3 or not bool(term <= limit):
            j = len(out)
            out.append(self._poly(j)(at) * back * factor)
            factor = factor * step / (j + 1)
            term = (term * size / (j + 1)).abs_upper()
        return flint.acb_poly(out), (term * self._norm).abs_upper()

    def prove(self, lo: Fraction, hi: Fraction, floor: float) -> Proof | None:
        """Prove |b| > floor on the angles pi * lo .. pi * hi and measure the turn there, or return None.

        The interval is cut into parts short enough for a Taylor polynomial each, and every part covered.
        """
        # Half-widths of at most 1/4 radian of the highest frequency: some twenty orders give 128 bits.
        parts = max(1, math.ceil((hi - lo) * Fraction(math.pi) * self._reach / 2 * 4))
        if parts * len(self._row) > MAX_WORK:
            return None
        proofs: list[Proof] = []
        with precision(self.bits):
            half = flint.arb.pi() * _at((hi - lo) / (2 * parts))
            for i in range(parts):
                poly, remainder = self.taylor(lo + (hi - lo) * (2 * i + 1) / (2 * parts), half)
                proof = _cover_part(poly, remainder, flint.arb(floor))
                if proof is None or proof.witness:
                    return proof
                proofs.append(proof)
        joints = sum(cmath.phase(after.first / before.last) for before, after in pairwise(proofs))
        return Proof(
            sum(proof.turn for proof in proofs) + joints,
            proofs[0].first,
            proofs[-1].last,
            min(proof.lower for proof in proofs),
            sum(proof.pieces for proof in proofs),
        )


def _cover_part(poly: flint.acb_poly, remainder: flint.arb, floor: flint.arb) -> Proof | None:
    """Cover t in [-1, 1] by pieces as `arcs.cover` does, all in balls; None if one piece is hopeless."""
    turn, lower, pieces = 0.0, math.inf, 0
    first = left = poly(-1)
    stack = [poly]  # polynomials of the pieces, each on [-1, 1]
    while stack:
        piece = stack.pop()
        pieces += 1
        value, slope = piece[0], piece[1]
        reach = sum((piece[j].abs_upper() for j in range(2, len(piece))), flint.arb(0))
        if bool(value.abs_upper() + remainder <= floor):
            return Proof(math.nan, complex(math.nan), complex(math.nan), 0.0, pieces, witness=True)
        right = piece(1)
        # The ends enter as midpoints of their balls, and may come from the polynomial of the next part.
        rough = 4 * remainder + 2 * (_radius(value) + _radius(left) + _radius(right))
        margin = _segment_distance(value, slope) - reach - rough
        if bool(margin > floor):
            turn += cmath.phase(_direction(right.mid() / left.mid()))
            lower = min(lower, math.nextafter(float(margin.lower()), 0.0))
            left = right
        elif bool(reach <= rough) or pieces > MAX_PIECES:
            return None
        else:
            stack += [piece(flint.acb_poly([0.5, 0.5])), piece(flint.acb_poly([-0.5, 0.5]))]  # left one next
    return Proof(turn, _direction(first), _direction(left), lower, pieces)


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


def _direction(a: flint.acb) -> complex:
    middle = a.mid()
    return complex(middle / middle.abs_upper())
