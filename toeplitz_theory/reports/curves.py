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
    O(width**4). Pieces are halved until the middle is right, so that flat stretches cost little.

    Parameters
    ----------
    kernel : ndarray, shape (n,)
        The kernel.
    tolerance : float
        How far a cubic may stray at the middle of its piece, as a fraction of the largest modulus.

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
        ends, middles, width = starts + stride, starts + half, stride * step
        cubic = (values[starts] + values[ends]) / 2 + width * (slopes[starts] - slopes[ends]) / 8
        astray = np.abs(cubic - values[middles]) > allowed
        breaks.append(middles[astray])
        starts = np.concatenate([starts[astray], middles[astray]])
        stride = half
    chosen = np.append(np.unique(np.concatenate(breaks)), grid)
    return chosen * step, values[chosen], slopes[chosen]
