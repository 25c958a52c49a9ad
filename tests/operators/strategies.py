"""Kernels whose zeros are chosen, so that every answer is known before it is computed, and exact oracles."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fractions import Fraction

import flint
import numpy as np
from hypothesis import strategies as st

from benchmarks._common import kaiming as kaiming


@dataclass
class Known:
    """A kernel with exact float64 taps and what is known of it by construction."""

    kernel: np.ndarray
    inside: int
    outside: int
    on_circle: int
    moduli: list[float] = field(default_factory=list)

    @property
    def jensen(self) -> float:
        """Sum of log(1/|z|) over the chosen zeros inside."""
        return math.fsum(-math.log(r) for r in self.moduli if 0 < r < 1) if 0 not in self.moduli else math.inf


Gauss = tuple[int, int]


def _multiply(a: list[Gauss], b: list[Gauss]) -> list[Gauss]:
    out = [(0, 0)] * (len(a) + len(b) - 1)
    for i, (p, q) in enumerate(a):
        for j, (r, s) in enumerate(b):
            x, y = out[i + j]
            out[i + j] = (x + p * r - q * s, y + p * s + q * r)
    return out


def from_factors(factors: list[list[Gauss]], zeros: list[Fraction]) -> Known | None:
    """Multiply integer factors; ``zeros`` are the squared moduli. None if a tap does not fit float64."""
    product: list[Gauss] = [(1, 0)]
    for f in factors:
        product = _multiply(product, f)
    if any(float(x) != x for pair in product for x in pair):
        return None
    real = all(y == 0 for _, y in product)
    kernel = np.array([float(x) if real else complex(x, y) for x, y in product])
    return Known(
        kernel,
        sum(z < 1 for z in zeros),
        sum(z > 1 for z in zeros),
        sum(z == 1 for z in zeros),
        [math.sqrt(z) for z in zeros],
    )


@st.composite
def linear(draw: st.DrawFn, complex_taps: bool = False) -> tuple[list[Gauss], list[Fraction]]:
    """Draw q z - p with small integers: one zero, p / q."""
    small = st.integers(-9, 9)
    p = (draw(small), draw(small) if complex_taps else 0)
    q = (draw(st.integers(1, 9)), draw(small) if complex_taps else 0)
    return [(-p[0], -p[1]), q], [Fraction(p[0] ** 2 + p[1] ** 2, q[0] ** 2 + q[1] ** 2)]


@st.composite
def quadratic(draw: st.DrawFn) -> tuple[list[Gauss], list[Fraction]]:
    """Draw c z^2 - 2 b z + a with b^2 < a c: a conjugate pair of modulus sqrt(a / c)."""
    a, c = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    most = math.isqrt(a * c - 1) if a * c > 1 else 0
    b = draw(st.integers(-most, most))
    return [(a, 0), (-2 * b, 0), (c, 0)], [Fraction(a, c)] * 2


@st.composite
def near(draw: st.DrawFn) -> tuple[list[Gauss], list[Fraction]]:
    """Draw 2^k z +- (2^k +- 1): a zero 2^-k from the circle, down to 1e-12."""
    k = draw(st.integers(6, 40))
    p = 2**k + draw(st.sampled_from([-1, 1]))
    return [(draw(st.sampled_from([-1, 1])) * p, 0), (2**k, 0)], [Fraction(p, 2**k) ** 2]


@st.composite
def chosen(draw: st.DrawFn, complex_taps: bool = False, with_near: bool = True) -> Known:
    """Draw a kernel with chosen zeros, its taps exact in float64; multiple zeros and zeros at 0 included."""
    kinds = [linear(complex_taps), quadratic()] + ([near()] if with_near else [])
    drawn = draw(st.lists(st.one_of(kinds), min_size=1, max_size=7))
    while True:
        known = from_factors([f for f, _ in drawn], [z for _, zs in drawn for z in zs])
        if known is not None:
            return known
        drawn.pop()


def roots_inside(kernel: np.ndarray, radius: float = 1.0) -> int:
    """Count the zeros in |z| < radius by FLINT's isolation of all zeros of the exact polynomial."""
    w = np.asarray(kernel)
    present = np.flatnonzero(w)
    core = w[present[0] : present[-1] + 1]
    poly = flint.acb_poly([flint.acb(complex(x)) for x in core.tolist()])
    balls = poly.roots(tol=1e-20, maxprec=4000) if core.size > 1 else []
    assert all(bool(z.abs_upper() < radius) or bool(z.abs_lower() > radius) for z in balls)
    return int(present[0]) + sum(bool(z.abs_upper() < radius) for z in balls)


def schur_cohn_inside(kernel: np.ndarray) -> int | None:
    """Count the zeros of a real kernel in |z| < 1 by the Schur-Cohn recursion in rational arithmetic.

    With p*(z) = z^n p(1/z), q = p(0) p - lead p* has degree below n. If |p(0)| > |lead|, p and q have as
    many zeros inside (Rouche: |p| = |p*| on the circle); if |p(0)| < |lead|, p has n less those of p*.
    None if |p(0)| = |lead| on the way.
    """
    p = [Fraction(float(x)) for x in kernel]
    while p and p[-1] == 0:
        p.pop()
    count, sign = 0, 1
    while len(p) > 1:
        first, lead = p[0], p[-1]
        if abs(first) == abs(lead):
            return None
        if abs(first) < abs(lead):  # the reverse polynomial has its zeros mirrored
            count += sign * (len(p) - 1)
            sign = -sign
            p = p[::-1]
            first, lead = lead, first
        # trailing zeros of p here are zeros of the reverse at 0, hence at infinity: no zeros inside
        p = [first * a - lead * b for a, b in zip(p, p[::-1], strict=True)]
        while p and p[-1] == 0:
            p.pop()
    return count
