r"""Is the norm of a lower-triangular Toeplitz matrix at most s? Schur's algorithm, in O(n^2) and with proof.

``M = s^2 I - T T^H`` has displacement rank 2: with Z the shift down, ``M - Z M Z^H = p p^H - q q^H`` for p
= s e_0 and q the first column of T, since ``T T^H - Z T T^H Z^H = (T e_0)(T e_0)^H``. A hyperbolic rotation
``p' = (p - conj(g) q) / c, q' = (q - g p) / c``, g = q_0 / p_0, c^2 = 1 - |g|^2, keeps ``p p^H - q q^H``
and makes q'_0 = 0: p' is then a column of the Cholesky factor of M; (Z p', q') generate its Schur
complement. This is Schur's test (1917) of whether n taps are the first of a function bounded by s on the
disc: all |g| < 1. Where |g| > 1, p and q change places and a pivot is negative; these count the singular
values above s.

Proof with rounding. With computed a = 1 / c and b = g a, ``a^2 - |b|^2 = 1 + h``, ``|h| <= 8 u (1 +
|b|^2)``, u = 2^-53: exact arithmetic with them multiplies pp^H - qq^H, hence M, by the positive number 1 +
h, which changes no sign. p' is off by ``dp <= r u (a |p| + |b| |q|)``, q' by the same with p and q
exchanged (that q'_0 is set to 0 included), r = 2.1 real and 5 complex. So ``p'p'^H - q'q'^H = (1 + h)(pp^H
- qq^H) + E`` with ``||E|| <= dp (2 ||p'|| + 3 dp) + dq (2 ||q'|| + 3 dq)``, and M differs from a matrix
with the signs computed by ``sum_k S_k(E_k) / prod (1 + h)``, where ``S_k(E) = sum_j Z^j E Z^{jH}`` has norm
at most (n - k) ||E||. Weyl's inequality does the rest.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.blas import drotm

from toeplitz_theory.operators.rounding import UNIT_ROUNDOFF
from toeplitz_theory.threads import one_thread

Vector = NDArray[Any]


def norm_bounds(taps: Vector, s: float) -> tuple[float, float]:
    """Return proved bounds ``low <= ||T||_2 <= high``: one of them next to s, the other 0 or inf.

    (0, inf) where rounding hides on which side of s the norm lies.

    Parameters
    ----------
    taps : ndarray, shape (n,)
        First column of T, scaled near 1 (`split_scale`).
    s : float
        Positive.

    Examples
    --------
    >>> golden = (1 + 5**0.5) / 2  # the norm of [[1, 0], [1, 1]]
    >>> low, high = norm_bounds(np.array([1.0, 1.0]), golden * (1 + 1e-9))
    >>> low == 0, high < golden * (1 + 2e-9)
    (True, True)
    >>> low, high = norm_bounds(np.array([1.0, 1.0]), golden * (1 - 1e-9))
    >>> low > golden * (1 - 2e-9), high
    (True, inf)
    """
    counted = count_above(taps, s, most=0)
    if counted is None:
        return 0.0, math.inf
    count, low, high = counted
    return (low, math.inf) if count else (0.0, high)


@one_thread()
def count_above(taps: Vector, s: float, most: int | None = None) -> tuple[int, float, float] | None:
    """Count the singular values above s: (count, low, high), none being in doubt outside [low, high], proved.

    The signs of the pivots of M are those of its eigenvalues (Sylvester), and rounding changes M by less than
    the sum of the module's notes: so #{sigma > high} <= count <= #{sigma > low}. None where a pivot vanishes.
    Ends at ``most`` + 1 negative pivots: then all is said of a leading section, and at least so many
    eigenvalues of M are negative (Cauchy's interlacing).

    Examples
    --------
    >>> count, low, high = count_above(np.array([1.0, 1.0]), 1.25)  # singular values 1.618 and 0.618
    >>> count, 1.249 < low < 1.25 < high < 1.251
    (1, True)
    """
    n, u = taps.size, UNIT_ROUNDOFF
    rounding = 5.0 * u if np.iscomplexobj(taps) else 2.1 * u
    # p and q stay as long as the taps that are not 0; each lies at the head of an array, with zeros after it.
    length = int(np.flatnonzero(taps)[-1]) + 1 if taps.any() else 1
    heads = np.zeros((2, n + length), taps.dtype)
    p, q = heads
    p[0], q[:length] = s, taps[:length]
    total, stretch, negative, count = 0.0, 0.0, False, 0
    size_p, size_q = s, _size(q[:length])
    for k in range(n):
        if abs(q[0]) > abs(p[0]):  # M = -(q q^H - p p^H) from here on: a negative pivot
            p, q, size_p, size_q, negative = q, p, size_q, size_p, not negative
        count += negative
        if most is not None and count > most:
            break
        length = min(length, n - k)
        now_p, now_q = p[:length], q[:length]
        turned = _turn(now_p, now_q)
        if turned is None:
            return None
        a, b = turned
        after_p, after_q = _size(now_p), _size(now_q)
        off_p, off_q = rounding * (a * size_p + b * size_q), rounding * (a * size_q + b * size_p)
        scale = 8.0 * u * (1.0 + b * b)
        if not scale < 0.1:
            return None
        stretch += scale
        wrong = off_p * (2.0 * after_p + 3.0 * off_p) + off_q * (2.0 * after_q + 3.0 * off_q)
        total += (n - k) * wrong
        # What is left of p may be shorter than the whole: an upper bound does.
        q, size_p, size_q = q[1:], after_p, after_q
    # Norms are rounded by n u at most, and entries that underflow are below 1e-290 in all.
    moved = 1.001 * total * math.exp(min(1.1 * stretch, 700.0)) + 1e-290
    if not math.isfinite(moved):
        return None
    slack = 4.0 * u
    return count, math.sqrt(max(s * s - moved, 0.0)) * (1 - slack), math.sqrt(s * s + moved) * (1 + slack)


def _size(x: Vector) -> float:
    return math.sqrt(x.dot(x)) if x.dtype == np.float64 else math.sqrt(np.vdot(x, x).real)


_PARAMETERS = np.array([-1.0, 0.0, 0.0, 0.0, 0.0])  # of BLAS: full, by columns


def _turn(p: Vector, q: Vector) -> tuple[float, float] | None:
    """Turn p and q in place and return a and |b|; None if the pivot is not positive for certain."""
    first = p.item(0)
    g = q.item(0) / first if first else math.nan
    size = abs(g)
    if not size < 1.0:
        return None
    a = 1.0 / math.sqrt((1.0 - size) * (1.0 + size))
    b = g * a
    if isinstance(g, complex):
        p[:], q[:] = a * p - b.conjugate() * q, a * q - b * p
    else:
        _PARAMETERS[1] = _PARAMETERS[4] = a
        _PARAMETERS[2] = _PARAMETERS[3] = -b
        drotm(p, q, _PARAMETERS, overwrite_x=True, overwrite_y=True)
    q[0] = 0.0
    return a, size * a
