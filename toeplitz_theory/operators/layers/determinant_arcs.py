"""One arc of the circle on which det(I + D(z) M) provably keeps off 0, small singular values apart.

With c the middle of the arc, F(t) = I + D(c + t) M and U V^H of small rank k, F = F' - U V^H, where F' is
well conditioned: U V^H lifts the k smallest singular values of F(c). So

    det F(t) = det F'(t) det S(t),  S(t) = I - V^H F'(t)^-1 U, a k x k matrix.

With R an approximate inverse of F'(c) and W = M R, both computed and then exact, F'(t) R = A(t) = I + X +
(D(c + t) - D(c)) W, X = F'(c) R - I. Where ``||A - I|| <= q < 1``, det F' has no zero. One 2-norm settles
that for all t: ``|D(c + t) - D(c)| <= g``, a diagonal, gives ``||A - I|| <= ||g W|| + ...``, and ``||g W|| <
q`` if the Cholesky factorisation of ``q^2 I - g W W^H g`` runs to completion. F itself would need arcs some
ten times shorter: next to a zero its inverse is large, and far from normal.

A^-1 U is a power series in t whose coefficients cost a product with W each; cut after p terms it leaves a
residual r that is bounded term by term, and ``||A^-1 U - sum|| <= ||r|| / (1 - q)``. S is then a polynomial
with a bound of its error, and `determinant_turn` does the rest. The argument of det A at the ends is
``Im tr log(I + Y) = Im (tr Y - tr Y^2 / 2 + tr Y^3 / 3 - tr Y^4 / 4)`` up to ``||Y^2||_F^2 q / (5 (1 -
q))``: enough to tell multiples of 2 pi apart.

Rounding, with d + 4 terms at most in every sum and gamma = 4 (d + 4) u: all of it enters as Frobenius norms.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from toeplitz_theory.operators.rounding import UNIT_ROUNDOFF

Matrix = NDArray[Any]
Floats = NDArray[np.float64]
_RANK = 12  # small matrices are cheap up to about there, and arcs get hardly longer beyond
_ORDER = 24  # of the Taylor polynomials of the symbols
_TAYLOR = 1e-14  # remainder, relative to the sum of the taps, that bounds the half-width of an arc
_TERMS = 60
_TOLERANCES = (1e-5, 1e-10, 1e-15)  # of S: most arcs need few terms


@dataclass
class Arc:
    """Where the proof holds, |t| <= half, and how far arg det F turns over part of it (see `turn`)."""

    half: float
    turn: float
    slack: float


class Arcs:
    """What the arcs of one layer share: the symbols' Taylor coefficients, M, and start vectors.

    Parameters
    ----------
    taps : ndarray of complex, shape (H, n)
        One kernel a head.
    w_in, w_out : ndarray of float, shape (d, d)
        Projections; M is their product.
    channels : int
        d / H.
    """

    @np.errstate(over="ignore", invalid="ignore")
    def __init__(self, taps: Matrix, w_in: Matrix, w_out: Matrix, channels: int) -> None:
        self.taps, self.channels = taps, channels
        self.width = d = len(w_in)
        self.gamma = 4 * (d + 4) * UNIT_ROUNDOFF
        self.mixing = w_in @ w_out
        self.mixing_size = float(np.linalg.norm(self.mixing))
        self.mixing_error = float(np.linalg.norm((d + 2) * UNIT_ROUNDOFF * (np.abs(w_in) @ np.abs(w_out))))
        self.k = np.arange(taps.shape[1])
        powers = np.ones((self.k.size, _ORDER + 1), complex)
        for i in range(1, _ORDER + 1):
            powers[:, i] = powers[:, i - 1] * (1j * self.k) / i
        self._powers, self._sizes, self._powers_size = powers, np.abs(taps), np.abs(powers)
        self._factorial = float(math.factorial(_ORDER + 1))
        rest = float((self._sizes @ self.k.astype(float) ** (_ORDER + 1)).max()) / self._factorial
        total = float(self._sizes.sum(axis=1).max())
        self._widest = (_TAYLOR * total / rest) ** (1 / (_ORDER + 1)) if rest > 0 else math.pi
        rng = np.random.default_rng(0)
        self._near = rng.standard_normal((d, min(_RANK, d))).astype(complex)
        self._leading = rng.standard_normal(d).astype(complex)

    def matrix(self, theta: float) -> Matrix:
        """Return F at one angle."""
        values = np.repeat(self.taps @ np.exp(1j * theta * self.k), self.channels)
        return _plus_identity(values[:, None] * self.mixing)

    def prove(self, left: float, middle: float, right: float, q: float) -> Arc | None:
        """Prove that det F keeps off 0 round ``middle``, and measure its turn.

        Parameters
        ----------
        left, middle, right : float
            Angles: the arc reaches from ``left`` to ``right``, or as far as the proof goes.
        q : float
            Bound of ||g W||; the larger, the longer the arc, and the less is known of the argument.

        Returns
        -------
        Arc or None
            None where nothing is proved.
        """
        try:
            deflated = _Deflated(self, middle, q)
        except np.linalg.LinAlgError:
            return None
        most = (1 + 1e-8) * max(middle - left, right - middle)
        half = deflated.reach(min(most, self._widest), middle - left)
        if half is None:
            return None
        start, stop = max(left - middle, -half), min(right - middle, half)
        for tolerance in _TOLERANCES:
            turn = determinant_turn(*deflated.small(half, tolerance), start / half, stop / half)
            if turn is not None:
                break
        else:
            return None
        (first, slack), (last, more) = deflated.argument(start), deflated.argument(stop)
        return Arc(half, turn + last - first, slack + more)

    def _taylor(self, middle: float) -> Matrix:
        """Return the Taylor coefficients of the diagonal D at ``middle``, shape (d, order + 1)."""
        by_head = (self.taps * np.exp(1j * middle * self.k)) @ self._powers
        return np.repeat(by_head, self.channels, axis=0)

    def _taylor_error(self, middle: float, half: float) -> float:
        """Bound |D - its computed Taylor polynomial| for real |t| <= half.

        A power e^{ik theta} is off by 4 u (k |theta| + 1), a coefficient's sum by 2 n u of its terms.
        """
        grown = self._sizes * (self._powers_size @ half ** np.arange(_ORDER + 1))
        rounding = grown @ (UNIT_ROUNDOFF * (4 * self.k * abs(middle) + 2 * self.k.size + 3 * _ORDER + 12))
        rest = self._sizes @ ((self.k * half) ** (_ORDER + 1)) / self._factorial
        return 1.01 * float((rounding + rest).max())


class _Deflated:
    """The matrices of the module's notes at one middle."""

    def __init__(self, arcs: Arcs, middle: float, q: float) -> None:
        self.arcs, self.middle, self.q = arcs, middle, q
        d, gamma = arcs.width, arcs.gamma
        self.coefficients = arcs._taylor(middle)
        first = self.coefficients[:, :1]
        self._lift(np.linalg.inv(_plus_identity(first * arcs.mixing)))
        self.w = arcs.mixing @ self.inverse
        off = self.inverse + self.u @ self.low + first * self.w
        off.flat[:: d + 1] -= 1
        self.off, self.off_size = off, float(np.linalg.norm(off))
        self.gram = self.w @ self.w.conj().T
        self.sizes = np.abs(self.coefficients)
        size, self.w_size = float(np.linalg.norm(self.inverse)), float(np.linalg.norm(self.w))
        # Frobenius bounds: of W, and of the product that gives X.
        self.w_error = 1.01 * (gamma * arcs.mixing_size + arcs.mixing_error) * size
        lifted = float(np.linalg.norm(self.u) * np.linalg.norm(self.v))
        self.low_error = gamma * float(np.linalg.norm(self.v)) * size
        self.off_error = gamma * (2 * size * (1 + lifted) + float(self.sizes[:, 0].max()) * self.w_size + d)
        if not math.isfinite(self.off_size + self.w_size):
            raise np.linalg.LinAlgError("not finite")

    def _lift(self, inverse: Matrix) -> None:
        """Set U, V^H, L = V^H R and R, from two steps of inverse iteration; any U and V would be right."""
        arcs = self.arcs
        adjoint = inverse.conj().T
        v = np.linalg.qr(inverse @ (adjoint @ arcs._near))[0]
        u, t = np.linalg.qr(adjoint @ v)  # V^H F^-1 = T^H U^H
        left, values, right = np.linalg.svd(t)
        lift = left @ right * max(1.0, 1.0 / float(values.min()))
        back = np.linalg.solve(np.linalg.inv(lift) + t.conj().T, t.conj().T @ u.conj().T)
        self.inverse = inverse - (inverse @ u) @ back
        self.u, self.v = u @ lift, v.conj().T
        self.low = self.v @ self.inverse
        arcs._near = v

    def _moved(self, half: float) -> Floats:
        """Bound |D(c + t) - D(c)| for |t| <= half, by the computed Taylor coefficients."""
        return np.asarray(self.sizes[:, 1:] @ half ** np.arange(1.0, _ORDER + 1))

    def reach(self, most: float, guess: float) -> float | None:
        """Return a half-width, at most ``most``, for which ||A - I|| < 1 is proved; None if there is none."""
        vector, half = self.arcs._leading, min(guess, most)
        for _ in range(5):
            moved = self._moved(half)
            for _ in range(3):
                vector = moved * (self.gram @ (moved * vector))
                size = float(np.linalg.norm(vector))
                if size == 0.0:
                    return self._proved(most)
                vector = vector / size
            half = min(most, half * min(3.0, max(0.3, (0.97 * self.q / math.sqrt(size)) ** 0.85)))
        self.arcs._leading = vector
        for _ in range(20):
            if self._proved(half) is not None:
                return half
            half *= 0.95
        return None

    def _proved(self, half: float) -> float | None:
        """Return ``half`` if ||A - I|| < 1 is proved there, with ``self.bound`` and ``self.error`` set."""
        moved, d, arcs = self._moved(half), self.arcs.width, self.arcs
        test = -(moved[:, None] * self.gram * moved)
        test.flat[:: d + 1] += self.q**2
        if scipy.linalg.lapack.zpotrf(test)[1] != 0:
            return None
        # Rounding of the Gram matrix, and of the factorisation (Higham, theorem 10.3): d gamma q^2.
        top = float(moved.max())
        square = self.q**2 * (1 + d * arcs.gamma) + 2 * arcs.gamma * (top * self.w_size) ** 2
        taylor = arcs._taylor_error(self.middle, half) * (self.w_size + self.w_error)
        self.error = taylor + (float(self.sizes[:, 0].max()) + top) * self.w_error + self.off_error
        self.bound = math.sqrt(square) + self.off_size + self.error
        return half if self.bound < min(0.95, self.q + 0.1) else None

    def small(self, half: float, tolerance: float) -> tuple[Matrix, float]:
        """Return the coefficients of S in s = t / half, and a bound of its error for |s| <= 1.

        The residual of the series: X and the rounding act on all terms, and products of degree more than p
        are left over.
        """
        scaled = self.coefficients * half ** np.arange(_ORDER + 1)
        sizes = np.abs(scaled).max(axis=0)
        low, gain = float(np.linalg.norm(self.low)), 1 / (1 - self.bound)
        terms, images = [self.u], [self.w @ self.u]
        weight, heavy = [float(np.linalg.norm(terms[0]))], [float(np.linalg.norm(images[0]))]
        while True:
            p = len(terms) - 1
            tails = np.cumsum(sizes[::-1])[::-1]  # tails[i]: of the orders i and above
            left = sum(x * float(tails[p - j + 1]) for j, x in enumerate(heavy) if p - j + 1 <= _ORDER)
            if low * left * gain <= tolerance or p == _TERMS:
                break
            orders = np.arange(1, min(p + 1, _ORDER) + 1)
            recent = np.array(images[: -len(orders) - 1 : -1])
            terms.append(-(scaled.T[orders][:, :, None] * recent).sum(axis=0))
            images.append(self.w @ terms[-1])
            weight.append(float(np.linalg.norm(terms[-1])))
            heavy.append(float(np.linalg.norm(images[-1])))
        total = sum(weight)
        rounding = self.arcs.gamma * (total + float(sizes.sum()) * (sum(heavy) + self.w_size * total))
        residual = left + (self.off_size + self.error) * total + rounding
        coefficients = -np.array([self.low @ x for x in terms])
        coefficients[0] += np.eye(len(self.low))
        error = low * residual * gain + (self.low_error + self.arcs.gamma * low) * total
        # The exact sum differs from the series by residual * gain: V^H R acts on it too.
        return coefficients, 1.01 * (error + self.low_error * residual * gain)

    def argument(self, t: float) -> tuple[float, float]:
        """Return Im tr log A(c + t) and a bound of its error."""
        moved = self.coefficients[:, 1:] @ t ** np.arange(1.0, _ORDER + 1)
        y = self.off + moved[:, None] * self.w
        square = y @ y
        logarithm = (
            np.trace(y) - (y * y.T).sum() / 2 + (square * y.T).sum() / 3 - (square * square.T).sum() / 4
        )
        rest = float(np.linalg.norm(square)) ** 2 * self.bound / 5
        return float(logarithm.imag), (rest + self.arcs.width * self.error) / (1 - self.bound) + 1e-6


def _plus_identity(matrix: Matrix) -> Matrix:
    matrix.flat[:: len(matrix) + 1] += 1
    return matrix


# How far the determinant of a small matrix polynomial turns over an interval, with proof.


_MOST = 20_000  # pieces
_FIRST = 16


def determinant_turn(coefficients: Matrix, error: float, left: float, right: float) -> float | None:
    """Return the change of arg det S over real left <= s <= right; None where nothing is proved.

    S is any continuous matrix function within ``error`` of ``sum_j coefficients[j] s^j`` in the Frobenius
    norm. A piece with middle m, half-width h and R an approximate inverse of the polynomial P there holds if
    ``h ||R P'(m)|| + ||R|| (h^2 / 2 max ||P''|| + error) + ||I - R P(m)||`` is at most 1 / sqrt(k) and a
    little less, all norms Frobenius'. Then R S is I + Y on the piece with ``||Y|| < 1``, and the arguments of
    its eigenvalues, at most ``pi / 2 |eigenvalue of Y|`` each, add up to less than ``pi / 2 sqrt(k) ||Y|| <
    pi / 2``: between the ends, where P stands for S, the determinant turns by the principal argument.

    Parameters
    ----------
    coefficients : ndarray, shape (p + 1, k, k)
    error : float
    left, right : float
        Both in [-1, 1].

    Examples
    --------
    >>> turn = determinant_turn(np.array([[[0.25j]], [[1.0]]]), 1e-12, -1.0, 1.0)  # s + i / 4 passes above 0
    >>> round(turn, 6) == round(2 * math.atan(0.25) - math.pi, 6)
    True
    >>> determinant_turn(np.array([[[0.0]], [[1.0]]]), 1e-12, -1.0, 1.0) is None
    True
    """
    count, k = coefficients.shape[:2]
    j = np.arange(count)
    flat = coefficients.reshape(count, -1)
    slopes = flat[1:] * j[1:, None] if count > 1 else np.zeros_like(flat)
    sizes = np.linalg.norm(flat, axis=1)
    bend = float((sizes * (j * (j - 1))).sum()) / 2
    # Evaluation: at most p + 1 terms, each right to some 4 (p + 1) u, and a product with R.
    rounding = 8 * (count + k + 4) * 2.0**-53 * float((sizes * (1 + j)).sum())
    error, limit = error + rounding, 0.99 / math.sqrt(k)
    edges = np.linspace(left, right, _FIRST + 1)
    lo, hi = edges[:-1], edges[1:]
    ends, pieces = [edges[:1]], 0
    while lo.size:
        pieces += lo.size
        middle, half = (lo + hi) / 2, (hi - lo) / 2
        values, slope = _values(flat, middle, k), _values(slopes, middle, k)
        try:
            inverse = np.linalg.inv(values)
        except np.linalg.LinAlgError:
            return None
        size = _norms(inverse)
        off = _norms(inverse @ values - np.eye(k)) + half * _norms(inverse @ slope)
        good = off + size * (half**2 * bend + error) < limit
        if pieces > _MOST or not (size[~good] * error < limit / 4).all():
            return None
        ends.append(hi[good])
        width = (hi - lo)[~good] / 4
        lo = (lo[~good][:, None] + width[:, None] * np.arange(4)).ravel()
        hi = lo + np.repeat(width, 4)
    signs = np.linalg.slogdet(_values(flat, np.sort(np.concatenate(ends)), k))[0]
    return float(np.angle(signs[1:] * signs[:-1].conj()).sum())


def _values(flat: Matrix, s: NDArray[np.float64], k: int) -> Matrix:
    return (np.vander(s, len(flat), increasing=True) @ flat).reshape(-1, k, k)


def _norms(matrices: Matrix) -> NDArray[np.float64]:
    return np.linalg.norm(matrices.reshape(len(matrices), -1), axis=1)
