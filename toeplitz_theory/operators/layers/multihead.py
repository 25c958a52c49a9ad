r"""The matrix-valued symbol of a multi-head layer, A(z) = W_out diag(a_h(z) I) W_in, and its index.

``det A = det W_out det W_in prod_h a_h^c`` with c = d / H channels a head, so with nonsingular projections
the index is -c times the sum of the heads' winding numbers. With the residual connection it is minus the
winding number of ``det(I + A(z)) = det(I + D(z) M)``, D = diag(a_h I) and M = W_in W_out (Sylvester).

That winding number is proved arc by arc (`determinant`, `determinant_arcs`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from toeplitz_theory.display import Displayed
from toeplitz_theory.errors import InputError
from toeplitz_theory.operators.layers.determinant import ResidualWinding
from toeplitz_theory.operators.recovery.layers import layer_memory, layer_recovery, layer_taps
from toeplitz_theory.operators.recovery.results import Memory, Recovery
from toeplitz_theory.operators.results import Winding
from toeplitz_theory.operators.rounding import UNIT_ROUNDOFF
from toeplitz_theory.operators.symbol import Symbol

Matrix = NDArray[Any]


@dataclass(frozen=True, repr=False)
class MatrixIndex(Displayed):
    """The Fredholm index of a Toeplitz operator with a matrix-valued symbol.

    Attributes
    ----------
    value : int or None
        The index; None where nothing could be said.
    certified : bool
        Whether it is proved; where False, ``value`` is an estimate from samples.
    method : str
        How, or why not.

    Examples
    --------
    >>> import numpy as np
    >>> from toeplitz_theory.operators import MultiHeadSymbol
    >>> layer = MultiHeadSymbol([[1.0, -2.0], [1.0, 0.5]], np.eye(4), np.eye(4))
    >>> layer.fredholm_index().value  # one head with one zero inside, on two channels
    -2
    """

    value: int | None
    certified: bool
    method: str


class MultiHeadSymbol:
    """The symbol of a layer with heads and projections, ``A(z) = W_out diag(a_h(z) I) W_in``.

    Parameters
    ----------
    kernels : array_like, shape (H, n)
        Real or complex, one kernel for each head.
    w_in, w_out : array_like, shape (d, d)
        Real projections; rows h d/H .. (h + 1) d/H - 1 of ``w_in`` feed head h.

    Raises
    ------
    InputError
        If shapes do not fit or numbers are not finite.

    Examples
    --------
    >>> import numpy as np
    >>> layer = MultiHeadSymbol([[0.0, 1.0]], np.eye(2), np.eye(2))
    >>> layer(0.5).real.tolist()
    [[0.5, 0.0], [0.0, 0.5]]
    """

    def __init__(self, kernels: ArrayLike, w_in: ArrayLike, w_out: ArrayLike) -> None:
        self.heads = tuple(Symbol(kernel) for kernel in np.atleast_2d(np.asarray(kernels)))
        self.w_in, self.w_out = np.asarray(w_in, dtype=float), np.asarray(w_out, dtype=float)
        d = self.w_in.shape[0]
        if self.w_in.shape != (d, d) or self.w_out.shape != (d, d) or d % len(self.heads):
            raise InputError(
                f"projections of shapes {self.w_in.shape} and {self.w_out.shape} do not fit "
                f"{len(self.heads)} heads: pass two (d, d) matrices, d a multiple of the heads"
            )
        if not (np.isfinite(self.w_in).all() and np.isfinite(self.w_out).all()):
            raise InputError("the projections have nan or infinite entries")
        self.width, self.channels = d, d // len(self.heads)

    def __call__(self, z: complex) -> Matrix:
        """Return A(z), shape (d, d)."""
        values = np.array([complex(a(z)) for a in self.heads])
        return (self.w_out * np.repeat(values, self.channels)) @ self.w_in

    def fredholm_index(self) -> MatrixIndex:
        """Return the index of T(A) on l2(N)^d.

        Returns
        -------
        MatrixIndex
            Certified, or None: a head with a zero on the circle, or a projection not proved nonsingular.
        """
        for name, matrix in (("W_in", self.w_in), ("W_out", self.w_out)):
            if not proved_nonsingular(matrix):
                return MatrixIndex(None, False, f"{name} is not proved nonsingular in float64")
        windings = [a.winding() for a in self.heads]
        for number, winding in enumerate(windings):
            if not winding.certified:
                return MatrixIndex(None, False, f"head {number}: {winding.method}")
        total = sum(winding.count or 0 for winding in windings)
        return MatrixIndex(-self.channels * total, True, "windings of the heads, projections nonsingular")

    def residual_index(self, max_arcs: int = 4000) -> MatrixIndex:
        """Return the index of T(I + A), what the stream sees through the residual connection.

        Parameters
        ----------
        max_arcs : int
            Arcs tried before the proof is given up; one costs about 60 d^3 operations, 6 ms at d = 128. What
            is then returned is an estimate from samples, or None where these do not settle.

        Returns
        -------
        MatrixIndex

        Examples
        --------
        >>> import numpy as np
        >>> layer = MultiHeadSymbol([[0.0, 3.0]], np.eye(2), np.eye(2))  # det(I + A) = (1 + 3 z)^2
        >>> layer.residual_index()
        MatrixIndex(value=-2, certified=True, method='2 arcs')
        """
        winding = ResidualWinding(layer_taps(self).astype(complex), self.w_in, self.w_out, self.channels)
        return proved_or_sampled(winding.proved(max_arcs), winding.sampled)

    def recovery(self, snr: float = math.inf, residual: bool = True, horizon: int | None = None) -> Recovery:
        """Return the share of its input that the layer's outputs give back within L tokens, all channels.

        As `Symbol.recovery`, with the matrix-valued outer factor by Wilson's iteration on grids of 2 n, 4 n,
        8 n and more nodes, as many as are cheap: an estimate. 35 to 43 s of CPU time at d = 128, n = 256 on
        a busy core, and 2.4 GB.

        Parameters
        ----------
        snr : float
            Ratio of the variances of an input and of the noise on each output channel. Without noise the
            curve is extrapolated from less and less noise; ``mean_delay`` is minus the index over the width
            where that is proved, and None where not.
        residual : bool
            Whether the input itself is added to the output.
        horizon : int, optional
            The longest delay, in tokens; 4 n by default.

        Returns
        -------
        Recovery

        Raises
        ------
        InputError
            If snr is not positive, the horizon is not an integer >= 0, or the symbol is 0.
        NumericalError
            If the factorisation does not converge, or its matrices would not fit into memory.

        Examples
        --------
        >>> import numpy as np
        >>> layer = MultiHeadSymbol([[1.0, -2.0], [1.0, 0.5]], np.eye(4), np.eye(4))
        >>> layer.recovery(snr=1e6, residual=False, horizon=2).curve.round(3)
        array([0.625, 0.906, 0.977])
        """
        return layer_recovery(self, snr, residual, horizon)

    def memory(self, residual: bool = True, noise: float = 0.0) -> Memory:
        """Return how many input channels k tokens back can be read off the last output vector, for every k.

        ``C_k = tr(A_k^H S^-1 A_k)``, A_k the layer's coefficients and S = sum_k A_k A_k^H + noise I the
        covariance of the outputs, white input. The sum is the rank of the outputs without noise: the width,
        where the layer is not degenerate.

        Parameters
        ----------
        residual : bool
            Whether the input itself is added to the output.
        noise : float
            Variance of white noise on each output channel.

        Raises
        ------
        InputError
            If every output is 0, or the noise is negative.

        Examples
        --------
        >>> import numpy as np
        >>> MultiHeadSymbol([[1.0, 1.0]], np.eye(2), np.eye(2)).memory(residual=False).shares.round(12)
        array([1., 1.])
        """
        return layer_memory(self, residual, noise)


def proved_or_sampled(
    proved: tuple[int | None, int], sampled: Callable[[], tuple[int | None, int]]
) -> MatrixIndex:
    """Return the index from a winding number with the arcs that prove it, or from samples, so labelled."""
    count, arcs = proved
    if count is not None:
        return MatrixIndex(-count, True, f"{arcs} arcs")
    count, samples = sampled()
    if count is None:
        return MatrixIndex(None, False, f"no proof within {arcs} arcs, and samples do not settle")
    return MatrixIndex(-count, False, f"estimate from {samples} samples: no proof within {arcs} arcs")


def index_of(winding: Winding, why: str, channels: int = 1) -> MatrixIndex:
    """Return the index on so many channels of one symbol; ``why`` goes before the proof of its winding."""
    if winding.count is None:
        return MatrixIndex(None, False, winding.method)
    return MatrixIndex(-channels * winding.count, True, why + winding.method)


def proved_nonsingular(matrix: Matrix) -> bool:
    """Whether ``||I - R W|| < 1`` for a computed inverse R, rounding included: then W is nonsingular.

    Examples
    --------
    >>> proved_nonsingular(np.array([[1.0, 2.0], [2.0, 4.0]])), proved_nonsingular(np.eye(3))
    (False, True)
    """
    try:
        inverse = np.linalg.inv(matrix)
    except np.linalg.LinAlgError:
        return False
    d = len(matrix)
    gamma = 4 * (d + 4) * UNIT_ROUNDOFF
    sums = np.abs(np.eye(d) - inverse @ matrix).sum(axis=1)  # gamma bounds the product's rounding
    size = np.abs(inverse) @ np.abs(matrix).sum(axis=1)
    return bool((sums * (1 + gamma) + gamma * size + d * UNIT_ROUNDOFF).max() < 1)
