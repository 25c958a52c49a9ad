"""A matrix-valued symbol of any kind, given tap by tap, and its index by the winding of its determinant."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from toeplitz_theory.errors import InputError
from toeplitz_theory.operators.kernels import as_kernel
from toeplitz_theory.operators.layers.determinant import sampled_turns
from toeplitz_theory.operators.layers.multihead import MatrixIndex, proved_or_sampled
from toeplitz_theory.operators.rounding import UNIT_ROUNDOFF

Matrix = NDArray[Any]
_CLOSE = 0.5  # bound of ||A(z0)^-1 A(z) - I|| on an arc: below 1 no eigenvalue goes round 0
_SHORTEST = 1e-9  # radians


class MatrixSymbol:
    """The symbol ``A(z) = sum_k A_k z**k`` of a causal layer that mixes channels.

    ``y[t] = sum_k A_k x[t - k]``. T(A) is Fredholm on l2(N)^d exactly if det A has no zero on the circle, and
    its index is then minus the winding number of det A (Gohberg and Krein).

    Parameters
    ----------
    taps : array_like, shape (n, d, d)
        ``taps[k]`` multiplies the input k steps back. Real or complex.

    Raises
    ------
    InputError
        If the taps are not square matrices, or not finite.

    Examples
    --------
    >>> a = MatrixSymbol([[[1.0, 0.0], [0.0, 1.0]], [[0.0, 5.0], [0.0, 3.0]]])  # det A = 1 + 3 z
    >>> a.fredholm_index().value, a.fredholm_index().certified
    (-1, True)
    """

    def __init__(self, taps: ArrayLike) -> None:
        shape: tuple[int, ...] = np.shape(taps)
        if len(shape) != 3 or shape[1] != shape[2] or 0 in shape:
            raise InputError(f"taps of shape {shape}: pass (n, d, d), a square matrix for each lag")
        self.taps = np.array(as_kernel(np.asarray(taps).reshape(-1), name="taps")).reshape(shape)
        self.taps.flags.writeable = False
        self._lags = np.arange(shape[0])

    @property
    def width(self) -> int:
        """Channels d."""
        return self.taps.shape[1]

    def __len__(self) -> int:
        return len(self.taps)

    def __repr__(self) -> str:
        return f"MatrixSymbol(n={len(self)}, width={self.width})"

    def __call__(self, z: complex) -> Matrix:
        """Return A(z), shape (d, d)."""
        return np.tensordot(np.power(complex(z), self._lags), self.taps, 1)

    def residual(self) -> MatrixSymbol:
        """Return the symbol I + A, that of the layer with its residual connection."""
        taps = self.taps.copy()
        taps[0] += np.eye(self.width)
        return MatrixSymbol(taps)

    def fredholm_index(self, max_arcs: int = 2000) -> MatrixIndex:
        """Return the index of T(A): minus the winding number of det A.

        Parameters
        ----------
        max_arcs : int
            Arcs tried before the proof is given up, each of n products, one inverse and one spectrum of d x d
            matrices. What is then returned is an estimate from samples, or None where these do not settle.

        Returns
        -------
        MatrixIndex

        Examples
        --------
        >>> MatrixSymbol([[[1.0]], [[-2.0]]]).fredholm_index()
        MatrixIndex(value=-1, certified=True, method='10 arcs')
        """
        return proved_or_sampled(self._proved(max_arcs), self._sampled)

    def _at(self, angle: float) -> Matrix:
        return np.tensordot(np.exp(1j * angle * self._lags), self.taps, 1)

    @np.errstate(all="ignore")  # what is not finite proves nothing
    def _proved(self, max_arcs: int) -> tuple[int | None, int]:
        """Return the winding number of det A, or None, and how many arcs were tried.

        On an arc of length h from z0, ``A(z) = A(z0)(I + E)``. With ``B_k = A(z0)^-1 A_k``, ``||E||`` is at
        most ``sum_k min(k h, 2) ||B_k||``, and ``h ||sum_k k z0^k B_k|| + h^2 / 2 sum_k k^2 ||B_k||``. Where
        below 1 the eigenvalues of I + E stay in the disc of radius 1 about 1, so that the
        argument of det A turns by the sum of theirs. Real taps need the upper half circle only.
        """
        # An exponential of k * angle is wrong by 2 pi k u, a sum of n terms by n u: both with room to spare.
        wrong = (
            16
            * UNIT_ROUNDOFF
            * (len(self) + self.width)
            * float(np.linalg.norm(self.taps, axis=(1, 2)).sum())
        )
        end = 2 * math.pi if np.iscomplexobj(self.taps) else math.pi
        angle, step, turned, doubt, identity = 0.0, end / 8, 0.0, 0.0, np.eye(self.width)
        for arcs in range(1, max_arcs + 1):
            here = self._at(angle)
            try:
                inverse = np.linalg.inv(here)
            except np.linalg.LinAlgError:
                return None, arcs
            size = float(np.linalg.norm(inverse))
            miss = float(np.linalg.norm(inverse @ here - identity))
            miss += 8 * self.width * UNIT_ROUNDOFF * size * float(np.linalg.norm(here))
            if not (miss < 0.1 and size / (1 - miss) * wrong < 0.1):
                return None, arcs
            bound = size / (1 - miss) / (1 - size / (1 - miss) * wrong)
            move = self._move(inverse, angle, (1 + 1e-9) * bound / size)
            step = min(2 * step, end - angle)
            while not move(step) <= _CLOSE:
                step /= 2
                if step < _SHORTEST:
                    return None, arcs
            last = step >= end - angle
            step = end - angle if last else step
            eigenvalues = np.linalg.eigvals(inverse @ self._at(angle + step))
            turned += float(np.angle(eigenvalues).sum())
            # det of I + E + D against that of I + E: d arguments of at most pi ||D|| with ||E|| <= 1/2
            doubt += math.pi * self.width * (2 * bound * wrong + miss + 32 * self.width * UNIT_ROUNDOFF)
            if not doubt < 1.0:
                return None, arcs
            angle += step
            if last:
                turns = turned / end
                near = abs(turns - round(turns)) * end <= doubt + 1e-6
                return (round(turns) if near else None), arcs
        return None, max_arcs

    def _move(self, inverse: Matrix, angle: float, factor: float) -> Callable[[float], float]:
        """Return the bound of ||E|| by the arc's length; `factor` is for what the inverse is wrong by."""
        relative = np.matmul(inverse, self.taps)
        norms, k = np.linalg.norm(relative, axis=(1, 2)), self._lags
        slope = float(np.linalg.norm(np.tensordot(k * np.exp(1j * angle * k), relative, 1)))
        rounding = 16 * UNIT_ROUNDOFF * (len(self) + self.width) * float(k @ norms)
        curvature = float(k**2 @ norms) / 2

        def bound(step: float) -> float:
            second = step * (slope + rounding) + step * step * curvature
            return factor * min(float(np.minimum(k * step, 2.0) @ norms), second)

        return bound

    def _sampled(self) -> tuple[int | None, int]:
        """Return the winding number of det A from samples, and their number."""
        samples = 8 * len(self) * self.width
        return sampled_turns(self._at, samples, 2.0), samples
