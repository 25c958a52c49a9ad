"""Layers whose rows are divided by their sums: D T(a), a Toeplitz operator up to finite rank."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from itertools import accumulate

import numpy as np
from numpy.typing import ArrayLike, NDArray

from toeplitz_theory.errors import InputError
from toeplitz_theory.operators.layers.multihead import MatrixIndex, index_of
from toeplitz_theory.operators.results import Winding
from toeplitz_theory.operators.symbol import Symbol


class RowNormalised:
    """The operator D T(a) of a row-normalised layer: ``y[t] = sum_k w[k] x[t - k] / (w[0] + ... + w[t])``.

    D = diag(1 / s_t), s_t the running sum of the taps, constant from t = n - 1 on: D is the number 1 / s
    plus an operator of finite rank. So, s being the sum of all taps, D T(a) has the index of T(a) (D is
    invertible), and I + D T(a) that of I + T(a) / s (an operator of finite rank changes no index): minus
    the winding number of a about -s. Of the n x n section, ``kappa(T) / kappa(D) <= kappa(D T) <= kappa(D)
    kappa(T)``.

    Parameters
    ----------
    kernel : array_like, shape (n,)
        Real taps; no running sum may be 0.

    Raises
    ------
    InputError
        If the kernel is complex, not finite, or one of its running sums is 0.

    Examples
    --------
    >>> layer = RowNormalised([1.0, 3.0])
    >>> layer.scales.tolist(), layer.log10_scale_range
    ([1.0, 0.25], 0.6020599913279624)
    >>> layer.fredholm_index().value, layer.residual_index().value  # 1 + 3 z, and 1 + (1 + 3 z) / 4
    (-1, 0)
    """

    def __init__(self, kernel: ArrayLike) -> None:
        self.symbol = Symbol(kernel)
        if np.iscomplexobj(self.symbol.kernel):
            raise InputError("a row-normalised layer has real taps")
        sums = list(accumulate(map(Fraction, self.symbol.kernel.tolist())))
        if 0 in sums:
            count = sums.index(Fraction(0)) + 1
            raise InputError(f"the first {count} taps add up to 0: the row cannot be normalised")
        self._total = sums[-1]
        self.scales: NDArray[np.float64] = np.array([float(1 / s) for s in sums])

    @property
    def log10_scale_range(self) -> float:
        """log10 of the condition number of D: by so much it can change that of T, either way."""
        sizes = np.abs(self.scales)
        return math.log10(float(sizes.max()) / float(sizes.min()))

    def to_dense(self) -> NDArray[np.float64]:
        """Return the (n, n) matrix D T."""
        return np.asarray(self.scales[:, None] * self.symbol.section().to_dense())

    def fredholm_index(self) -> MatrixIndex:
        """Return the index of D T(a) on l2(N), certified, or None."""
        return index_of(self.symbol.winding(), "D is invertible; ")

    def residual_winding(self, tol: float = 0.0) -> Winding:
        """Count the turns of 1 + a / s round 0, the symbol of I + D T(a) up to finite rank.

        Parameters
        ----------
        tol : float, optional
            As in `Symbol.winding`, of the symbol a + s.

        Examples
        --------
        >>> winding = RowNormalised([0.5, 1.5]).residual_winding()  # 1 + (0.5 + 1.5 z) / 2
        >>> winding.count, 0.4 < winding.margin <= 0.5
        (0, True)
        """
        about = float(-self._total)
        winding = self.symbol.winding(about=about, tol=tol)
        # The sum is exact, the point its nearest float: the same count if it is nearer than the curve.
        distance = abs(Fraction(about) + self._total)
        if winding.certified and distance > 0 and distance >= Fraction(winding.margin):
            why = "the sum of the taps is not a float64, and the curve too near"
            return Winding(None, False, 0.0, (), winding.evaluations, why)
        margin = (Fraction(winding.margin) - distance) / abs(self._total)
        lower = max(0.0, math.nextafter(float(margin), -math.inf))
        return replace(winding, margin=lower)

    def residual_index(self) -> MatrixIndex:
        """Return the index of I + D T(a) on l2(N), certified, or None."""
        return index_of(self.residual_winding(), "up to finite rank I + T(a) / sum; ")
