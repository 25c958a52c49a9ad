"""Kernels all over float64's range, and what is true of them by exact arithmetic and in thousands of bits."""

from __future__ import annotations

import math
from fractions import Fraction
from functools import cached_property

import flint
import numpy as np

from tests.operators.schur_cohn import recur
from toeplitz_theory.operators.symbolic import index_of

BITS = (6000, 24000)
SAMPLES = 24


def wide_parts(rng, n):
    values = np.ldexp(rng.choice([-1, 1], n) * (1 + rng.random(n)), rng.integers(-1070, 1021, n))
    values[rng.random(n) < 0.15] = 0.0
    return np.where(rng.random(n) < 0.1, rng.integers(-9, 10, n) * 5e-324, values)


def narrow_parts(rng, n):
    """Sizes within some hundred powers of two of each other, anywhere."""
    spread = int(rng.choice([3, 30, 300]))
    exponents = np.clip(int(rng.integers(-1000, 1000)) + rng.integers(-spread, spread + 1, n), -1074, 1022)
    values = np.ldexp(rng.choice([-1, 1], n) * (1 + rng.random(n)), exponents)
    values[rng.random(n) < 0.1] = 0.0
    return values


def integer_parts(rng, n):
    return rng.integers(-3, 4, n).astype(float)


def palindromic_parts(rng, n):
    half = rng.choice([narrow_parts, integer_parts])(rng, (n + 1) // 2)
    return np.concatenate([half, rng.choice([-1, 1]) * half[: n // 2][::-1]])


def multiple_parts(rng, n):
    """A small polynomial with small integer taps to a power, scaled by a power of two, perhaps an ulp off."""
    base = [0]
    while not any(base):
        base = rng.integers(-2, 3, int(rng.integers(2, 4))).tolist()
    taps = flint.fmpz_poly(base) ** int(rng.integers(2, 5))
    values = np.ldexp([float(int(c)) for c in taps], int(rng.integers(-1060, 1000)))
    if rng.random() < 0.3:
        values[-1] = np.nextafter(values[-1], 0.0)
    return values


def moderate_parts(rng, n):
    return rng.standard_normal(n) * rng.uniform(0.7, 1.2) ** np.arange(n)


KINDS = {
    "wide": (wide_parts, 8, 0.5),
    "narrow": (narrow_parts, 8, 0.2),
    "integers": (integer_parts, 8, 0.1),
    "palindromes": (palindromic_parts, 8, 0.09),
    "multiple": (multiple_parts, 8, 0.09),
    "moderate": (moderate_parts, 40, 0.02),
}


def draw(rng):
    """Return the kind of a kernel and its taps, not all 0; a third are complex."""
    while True:
        kind = str(rng.choice(list(KINDS), p=[share for *_, share in KINDS.values()]))
        parts, most, _ = KINDS[kind]
        n = int(rng.integers(1, most + 1))
        kernel = parts(rng, n)
        if rng.random() < 1 / 3:
            kernel = kernel + 1j * parts(rng, n) if parts is not multiple_parts else kernel * (1 + 1j)
        if kernel.any() and np.isfinite(kernel).all():
            return kind, kernel


def as_pairs(kernel, add=0):
    """Exact taps, ``add`` added to the first."""
    pairs = [(Fraction(complex(w).real), Fraction(complex(w).imag)) for w in kernel.tolist()]
    point = add if isinstance(add, tuple) else (Fraction(add), Fraction(0))
    pairs[0] = pairs[0][0] + point[0], pairs[0][1] + point[1]
    return pairs


def sturm(kernel, add=0):
    """The index, None with a zero on the circle; "zero" for the polynomial 0."""
    pairs = as_pairs(kernel, add)
    return index_of(pairs).value if any(pair != (0, 0) for pair in pairs) else "zero"


class Truth:
    """What is known of one kernel by exact arithmetic and in thousands of bits."""

    def __init__(self, kernel):
        self.kernel, self.pairs = kernel, as_pairs(kernel)
        self.lead, self.last = int(np.flatnonzero(kernel)[0]), int(np.flatnonzero(kernel)[-1])
        self.index = sturm(kernel)

    def count(self, centre, radius):
        """Zeros with |z - centre| < radius, both exact, by Schur and Cohn's recursion; None: cannot tell."""
        for bits in BITS:
            with flint.ctx.workprec(bits):
                c = flint.acb(complex(centre))
                r = flint.arb(flint.fmpq(radius.numerator, radius.denominator))
                moved = list(self.polynomial(flint.acb_poly([c, r])))
            count = recur(moved, bits)
            if count is not None:
                return count + self.lead * bool(abs(complex(centre)) < radius)
        return None

    @cached_property
    def inside(self):
        """Zeros in the open disc; none are between the circle and 2^-3000 from it but those on it."""
        return self.count(0, 1 - Fraction(1, 2**3000)) if self.index is None else -self.index

    @cached_property
    def outside(self):
        """Zeros outside the closed disc."""
        if self.index is not None:
            return self.last + self.index
        return self.last - self.count(0, 1 + Fraction(1, 2**3000))

    @cached_property
    def log_mahler(self):
        """Mean of log|a| on the circle, as a ball."""
        steps = 64
        with flint.ctx.workprec(2400):
            p = self.polynomial
            for _ in range(steps):
                mirrored = flint.acb_poly([c if k % 2 == 0 else -c for k, c in enumerate(p)])
                p = flint.acb_poly(list(p * mirrored)[::2])
            norm = square(p[0])
            for k in range(1, p.degree() + 1):
                norm += square(p[k])
            middle = norm.log() / 2 - flint.arb(p.degree()) * flint.arb(2).log() / 2
            return (middle + flint.arb(0, p.degree())) / flint.arb(2) ** steps

    @cached_property
    def polynomial(self):
        with flint.ctx.workprec(2400):
            return flint.acb_poly(
                [flint.acb(complex(w)) for w in self.kernel[self.lead : self.last + 1].tolist()]
            )

    def refined(self, middle, radius):
        """The simple zero in a disc that holds one, as a small ball, or the disc itself."""
        with flint.ctx.workprec(4096):
            p, centre = self.polynomial, flint.acb(middle)
            slope = p.derivative()
            z = centre
            for _ in range(12):
                z = (z - p(z) / slope(z)).mid()
            near = (p.degree() * p(z) / slope(z)).abs_upper()
            if not (z.is_finite() and bool(abs(z - centre) + near <= flint.arb(radius))):
                z, near = centre, flint.arb(radius)
            return z + flint.acb(flint.arb(0, near), flint.arb(0, near))

    def confirmed(self, zeros):
        """What `disc_truth` says of the discs of these zeros, once."""
        if not hasattr(self, "_confirmed"):
            self._confirmed = disc_truth(self, zeros)
        return self._confirmed

    def value(self, z):
        with flint.ctx.workprec(4096):
            total = flint.acb(0)
            for c in self.kernel[::-1].tolist():
                total = total * z + flint.acb(complex(c))
            return total

    @cached_property
    def smallest(self):
        """The smallest |a|^2 that a search finds: samples, and Newton's method from the best three."""
        with flint.ctx.workprec(2400):
            p = flint.acb_poly([flint.acb(complex(w)) for w in self.kernel.tolist()])
            first = flint.acb_poly([k * c for k, c in enumerate(p)])
            second = flint.acb_poly([k * c for k, c in enumerate(first)])

            def at(angle):
                z = flint.acb(0, angle).exp()
                v, d, e = p(z), first(z), second(z)  # a' = i d and a'' = -e, by the angle
                slope = v.real * -d.imag + v.imag * d.real
                bend = square(d) - v.real * e.real - v.imag * e.imag
                return square(v), slope, bend

            angles = [flint.arb(2 * k) * flint.arb.pi() / SAMPLES for k in range(SAMPLES)]
            values = [at(angle)[0] for angle in angles]
            start = sorted(
                range(SAMPLES), key=lambda k: float(values[k].log()) if values[k] > 0 else -math.inf
            )
            for k in start[:3]:
                angle = angles[k]
                for _ in range(9):
                    value, slope, bend = at(angle)
                    values.append(value)
                    if not bool(bend > 0) or not (abs(slope) < bend):
                        break
                    angle = (angle - slope / bend).mid()
            smallest = values[0]
            for value in values[1:]:
                smallest = smallest.min(value)
            return smallest

    def shares(self, zeros, n):
        """|b_k|^2 summed, k < n, b the power series of the Blaschke product of the zeros inside, not at 0."""
        with flint.ctx.workprec(4096):
            up, down = flint.acb_poly([1]), flint.acb_poly([1])
            for z in zeros:
                up *= flint.acb_poly([-z, 1])
                down *= flint.acb_poly([1, flint.acb(-z.real, z.imag)])
            coefficients, total, shares = [], flint.arb(0), [flint.arb(0)] * self.lead
            for k in range(n - self.lead):
                value = up[k] if k <= len(zeros) else flint.acb(0)
                for j in range(1, min(k, len(zeros)) + 1):
                    value -= down[j] * coefficients[k - j]
                coefficients.append(value)
                total += square(value)
                shares.append(total)
        return shares[:n]


def square(z):
    """|z|^2 of a complex ball."""
    return z.real * z.real + z.imag * z.imag


def at_most(x, y):
    """Whether x <= y is not refuted, of floats and balls; an infinite bound holds, an undefined ball not."""
    if y == math.inf or x == -math.inf:
        return True
    x, y = flint.arb(x), flint.arb(y)
    return x.is_finite() and y.is_finite() and not bool(x > y)


def disc_truth(t, found):
    """The zeros inside that are not at 0, each in a ball; None if a disc does not hold what it should."""
    zeros, members = [], 0
    known = found.known_sides()
    for middle, radius in {(complex(z), float(r)) for z, r in zip(found, found.radii, strict=True)}:
        own = (np.asarray(found) == middle) & (found.radii == radius)
        members += int(own.sum())
        if radius == 0:
            held = t.count(middle, Fraction(1, 2**1100))  # of zeros at 0, and of dyadic ones
        else:
            held = t.count(middle, Fraction(radius) * (1 + Fraction(1, 2**60)))
        if held != own.sum():
            return None
        inner = int((known[own] < 0).sum()) - (t.lead if middle == 0 else 0)
        zeros += [t.refined(middle, radius) if held == 1 and radius else ball(middle, radius)] * inner
    return zeros if members == t.last else None


def ball(middle, radius):
    """A square round a disc."""
    return flint.acb(middle) + flint.acb(flint.arb(0, radius), flint.arb(0, radius))
