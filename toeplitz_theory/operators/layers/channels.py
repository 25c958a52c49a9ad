"""Kernels over neighbouring channels: a symbol that is block triangular in the channel index."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from toeplitz_theory.errors import InputError
from toeplitz_theory.operators.layers.multihead import MatrixIndex, index_of
from toeplitz_theory.operators.symbol import Symbol


class ChannelSymbol:
    """The symbol of a layer with k kernels over neighbouring channels.

    ``y[., c] = sum_j T(w_j) x[., c - (k - 1) + j]``, channels below the first being zero: channel c hears
    itself through the last kernel and the k - 1 channels before it through the others. So ``A(z) = sum_j
    a_j(z) S^(k - 1 - j)`` with S the shift of channels, lower triangular with the last symbol on the
    diagonal, and ``det A = a_(k-1)(z)^d``.

    Parameters
    ----------
    kernels : array_like, shape (k, n)
        Real or complex.
    width : int
        Channels d of the stream.

    Raises
    ------
    InputError
        If the shapes make no sense or numbers are not finite.

    Examples
    --------
    >>> layer = ChannelSymbol([[5.0, 7.0], [1.0, -2.0]], width=3)
    >>> layer(1.0).real.tolist()
    [[-1.0, 0.0, 0.0], [12.0, -1.0, 0.0], [0.0, 12.0, -1.0]]
    >>> layer.fredholm_index().value  # the last kernel has one zero inside
    -3
    """

    def __init__(self, kernels: ArrayLike, width: int) -> None:
        rows = np.asarray(kernels)
        if rows.ndim != 2 or not rows.size or width < 1:
            raise InputError(
                f"kernels of shape {rows.shape} on {width} channels: pass (k, n) kernels, and d >= 1"
            )
        self.kernels = tuple(Symbol(row) for row in rows)
        self.width = int(width)
        self._why = f"the diagonal, {width} times: "

    @property
    def diagonal(self) -> Symbol:
        """The symbol through which every channel hears itself: the last kernel's."""
        return self.kernels[-1]

    def __call__(self, z: complex) -> NDArray[Any]:
        """Return A(z), shape (d, d)."""
        out = np.zeros((self.width, self.width), complex)
        for back, a in enumerate(reversed(self.kernels)):
            if back < self.width:
                out += complex(a(z)) * np.eye(self.width, k=-back)
        return out

    def fredholm_index(self) -> MatrixIndex:
        """Return the index of T(A) on l2(N)^d: d times that of the diagonal symbol; certified, or None.

        T(A) is Fredholm exactly if det A has no zero on the circle (Gohberg and Krein).
        """
        return index_of(self.diagonal.winding(), self._why, self.width)

    def residual_index(self) -> MatrixIndex:
        """Return the index of T(I + A), with the residual connection: d times that of 1 + a_(k-1)."""
        return index_of(self.diagonal.residual().winding(), self._why, self.width)
