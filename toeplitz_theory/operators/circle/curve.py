"""A symbol's curve in cubic pieces, smooth at any zoom, halved where they stray."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Finest pieces per tap (at least): a trigonometric polynomial of degree n - 1 has no detail below them.
_FINE = 16


def cubic_pieces(
    kernel: NDArray[np.float64], tolerance: float
) -> tuple[NDArray[np.float64], NDArray[np.complex128], NDArray[np.complex128]]:
    """Break points of the closed curve theta -> a(exp(i theta)), with values and derivatives.

    A cubic with the right values and derivatives at both ends of a piece strays from the curve by
    O(width**4). Pieces are halved until quarters and middle are right, so that flat stretches cost little.

    Parameters
    ----------
    kernel : ndarray, shape (n,)
        The kernel.
    tolerance : float
        How far a cubic may stray at quarters and middle of its piece, as a fraction of the largest modulus.

    Returns
    -------
    angles : ndarray, shape (m + 1,)
        From 0 to 2 pi, increasing.
    values, derivatives : ndarray of complex, shape (m + 1,)
        The symbol there and its derivative with respect to the angle.

    Examples
    --------
    >>> angles, values, derivatives = cubic_pieces(np.array([0.0, 1.0]), 1e-3)
    >>> bool(np.allclose(values, np.exp(1j * angles))), bool(np.allclose(derivatives, 1j * values))
    (True, True)
    """
    lags = np.arange(kernel.size)
    grid = _FINE * 2 ** int(np.ceil(np.log2(max(kernel.size, 8))))
    # numpy's inverse transform carries exp(+i k theta) and divides by the length.
    values = np.fft.ifft(kernel, grid) * grid
    slopes = np.fft.ifft(1j * lags * kernel, grid) * grid
    values, slopes = np.append(values, values[0]), np.append(slopes, slopes[0])
    allowed = tolerance * float(np.abs(values).max())
    step = 2 * np.pi / grid
    # The coarsest pieces: about one for each tap.
    stride = _FINE
    starts = np.arange(0, grid, stride)
    breaks = [starts]
    while stride > 1 and starts.size:
        half = stride // 2
        middles = starts + half
        astray = _strays(values, slopes * step, starts, stride) > allowed
        breaks.append(middles[astray])
        starts = np.concatenate([starts[astray], middles[astray]])
        stride = half
    chosen = np.append(np.unique(np.concatenate(breaks)), grid)
    return chosen * step, values[chosen], slopes[chosen]


def _strays(
    values: NDArray[np.complex128], slopes: NDArray[np.complex128], starts: NDArray[np.intp], stride: int
) -> NDArray[np.float64]:
    """Return how far the cubic of each piece strays from the values on the grid, at quarters and middle.

    The middle alone can be right by accident, with the curve astray on both sides. ``slopes`` are those by
    one step of the grid.
    """
    ends, worst = starts + stride, np.zeros(starts.size)
    for offset in sorted({stride // 4, stride // 2, 3 * stride // 4} - {0}):
        t = offset / stride
        cubic = (1 - t) ** 2 * ((1 + 2 * t) * values[starts] + t * stride * slopes[starts])
        cubic += t**2 * ((3 - 2 * t) * values[ends] + (t - 1) * stride * slopes[ends])
        worst = np.maximum(worst, np.abs(cubic - values[starts + offset]))
    return worst
