"""Zeros inside the unit circle counted by the Schur-Cohn recursion in ball arithmetic: no arcs, no roots."""

from __future__ import annotations

import flint
import numpy as np


def count_inside(kernel: np.ndarray, most_bits: int = 1 << 16) -> int:
    """Return the number of zeros of ``sum kernel[k] z^k`` in the open unit disc; none may be on the circle.

    With p of formal degree m and its reverse p*(z) = z^m conj(p(1 / conj z)), Rouche's theorem on the circle,
    where abs(p) = abs(p*), says: if abs(p(0)) > abs(lead), then conj(p(0)) p - lead p* has as many zeros
    inside as p, and degree at most m - 1; otherwise p and p* change places. A comparison that the balls
    cannot decide starts again with twice the bits.
    """
    bits = 2 * kernel.size + 64
    while bits <= most_bits:
        count = _recur(kernel, bits)
        if count is not None:
            return count
        bits *= 2
    raise ArithmeticError("a zero on the circle, or too close to it")


def _recur(kernel: np.ndarray, bits: int) -> int | None:
    complex_ = np.iscomplexobj(kernel)
    with flint.ctx.workprec(bits):
        numbers = [flint.acb(x.real, x.imag) if complex_ else flint.arb(float(x)) for x in kernel.tolist()]
    return recur(numbers, bits)


def recur(numbers: list, bits: int) -> int | None:
    """Count the zeros inside for a polynomial given by balls; None if the bits do not do."""
    Poly = flint.acb_poly if isinstance(numbers[0], flint.acb) else flint.arb_poly
    with flint.ctx.workprec(bits):
        p, sign, count = Poly(numbers), 1, 0
        for degree in range(len(numbers) - 1, 0, -1):
            taps = [p[k] for k in range(degree + 1)]
            reverse = Poly([_conj(x) for x in reversed(taps)])
            first, last = abs(taps[0]), abs(taps[-1])
            if last > first:
                count, sign = count + sign * degree, -sign
                p, reverse = reverse, p
            elif not first > last:
                return None
            q = p * _conj(p[0]) - reverse * p[degree]
            # The leading term cancels in exact arithmetic; balls would keep a wisp of it.
            p = Poly([q[k] for k in range(degree)])
            p = p * (1 / abs(p[0]).mid()) if abs(p[0]).mid() > 0 else p
        return count


def _conj(x):
    return flint.acb(x.real, -x.imag) if isinstance(x, flint.acb) else x
