"""Exact arithmetic on the taps: what float64 and balls of any precision cannot settle.

Taps are dyadic rationals, so a polynomial times a power of two has integer coefficients. Zeros on the unit
circle are shared with the mirror image ``conj(z^d p(1 / conj(z)))``, and multiple zeros with the derivative.
That neither exists is proved modulo one prime (a common divisor survives reduction), in milliseconds; only
kernels that fail there go to gcds over the integers.
"""

from __future__ import annotations

import flint
import numpy as np
from numpy.typing import NDArray

from toeplitz_theory.operators.arithmetic import whole
from toeplitz_theory.operators.bits import precision
from toeplitz_theory.operators.circle.balls import PRECISIONS, ValuesAt
from toeplitz_theory.operators.kernels import Taps

_PRIME = 2**62 - 87
_ROOT = 4490822397581186023  # its square is -1 modulo the prime
_MAX_SIGN_WORK = 2_000_000_000  # points times taps times bits: a few seconds
_CHUNK = 1 << 20


def has_mirror_pairs(taps: Taps) -> bool:
    """Whether a zero may be the mirror image of a zero; False proves that none is on the circle."""
    p, conjugate = _modular(taps)
    degree = taps.values.size - 1
    mirrored = flint.nmod_poly([int(conjugate[degree - k]) for k in range(degree + 1)], _PRIME)
    return p.degree() < degree or _may_share(p, mirrored)


def has_multiple_zeros(taps: Taps) -> bool:
    """Whether a zero may be multiple; False proves that none is."""
    p, _ = _modular(taps)
    return p.degree() < taps.values.size - 1 or _may_share(p, p.derivative())


def _modular(taps: Taps) -> tuple[flint.nmod_poly, flint.nmod_poly]:
    """Return p times an integer, and its conjugate, modulo the prime.

    Where the leading coefficient vanishes, so may that of a common divisor: then nothing is proved.
    """
    re, im = (flint.nmod_poly(part, _PRIME) for part in whole(taps.exact())[:2])
    return re + _ROOT * im, re - _ROOT * im


def _may_share(p: flint.nmod_poly, q: flint.nmod_poly) -> bool:
    return bool(p.degree() < 1 or q.degree() < 0 or p.gcd(q).degree() > 0)


def to_integers(taps: Taps) -> flint.fmpz_poly:
    """Return an integer multiple of p if it is real, of p times its conjugate if it is complex, exactly."""
    re, im, _ = whole(taps.exact())
    return re * re + im * im if np.iscomplexobj(taps.values) else re


class SharedZeros:
    """The zeros, each once, that a polynomial shares with its mirror image: all those on the circle.

    Without the zeros 1 and -1 their polynomial s has even degree d and reads the same both ways, so that
    ``e^{-i d theta / 2} s(e^{i theta})`` is real: between two of its signs there is a zero on the circle. Of
    a complex p the zeros are those of p times its conjugate, so an angle may be that of a conjugate zero.

    Attributes
    ----------
    at_one, at_minus_one : bool
        Whether 1 and -1 are zeros.
    """

    def __init__(self, p: flint.fmpz_poly) -> None:
        reverse = flint.fmpz_poly(list(p)[::-1])
        shared = p if reverse in (p, -p) else p.gcd(reverse)
        if _may_share(*(flint.nmod_poly(part, _PRIME) for part in (shared, shared.derivative()))):
            shared = shared // shared.gcd(shared.derivative())
        self.at_one, self.at_minus_one = shared(1) == 0, shared(-1) == 0
        for there, factor in ((self.at_one, [-1, 1]), (self.at_minus_one, [1, 1])):
            shared = shared // flint.fmpz_poly(factor) if there else shared
        self._poly = shared
        top = shared.height_bits()
        self._taps = np.array([int(c) / (1 << top) for c in shared])  # each rounded once

    @classmethod
    def of(cls, taps: Taps) -> SharedZeros:
        """Return those of the polynomial ``taps``, or of it times its conjugate if it is complex."""
        return cls(to_integers(taps) if has_mirror_pairs(taps) else flint.fmpz_poly([1]))

    def signs(self, x: NDArray[np.float64]) -> NDArray[np.int8]:
        """Return the signs at the angles pi x, 0 where they are not proved."""
        half = self._taps.size // 2
        weights = 2.0 * self._taps[half:]
        weights[0] /= 2.0
        k = np.arange(half + 1)
        parts = np.array_split(x, 1 + x.size * half // _CHUNK)
        value = np.concatenate([np.cos(np.pi * (part[:, None] * k % 2.0)) @ weights for part in parts])
        # k x is rounded by u 2 k at most and half an ulp of pi by u pi: a cosine is right to (9 k + 4) u; the
        # taps, products and the sum of half + 1 terms add (half + 4) u.
        bound = 2.0**-53 * float((np.abs(weights) * (9.0 * k + half + 12.0)).sum()) * 1.01
        signs = np.where(np.abs(value) > bound, np.sign(value), 0).astype(np.int8)
        for bits in PRECISIONS:
            left = np.flatnonzero(signs == 0)
            if not left.size or left.size * self._taps.size * bits > _MAX_SIGN_WORK:
                break
            signs[left] = self._ball_signs(x[left], bits)
        return signs

    def _ball_signs(self, x: NDArray[np.float64], bits: int) -> list[int]:
        with precision(bits):
            angles = [flint.acb(float(t)) for t in x]
            values = ValuesAt([flint.acb(c) for c in self._poly])([t.exp_pi_i() for t in angles])
            half = self._poly.degree() // 2
            real = [(v * (-half * t).exp_pi_i()).real for t, (v, _) in zip(angles, values, strict=True)]
            return [int(bool(v > 0)) - int(bool(v < 0)) for v in real]

    def count_on_circle(self, angles: NDArray[np.float64]) -> int:
        """Return how many zeros on the circle are proved by signs between these angles, those of the zeros.

        Only angles in (0, pi) matter, since zeros come in conjugate pairs.
        """
        x = np.unique(angles[(angles > 1e-9) & (angles < np.pi - 1e-9)]) / np.pi
        ends = np.concatenate([[0.0], 0.5 * (x[1:] + x[:-1]), [1.0]])
        signs = self.signs(ends)
        signs = signs[signs != 0]
        return 2 * int((signs[1:] != signs[:-1]).sum()) + self.at_one + self.at_minus_one
