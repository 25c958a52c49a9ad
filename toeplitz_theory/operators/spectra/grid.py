"""Grids of points of the complex plane around a symbol's curve."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from toeplitz_theory.errors import InputError
from toeplitz_theory.operators.kernels import Kernel

Domain = tuple[float, float, float, float]
_MOST = 4_000_000


@dataclass(frozen=True, eq=False)
class Grid:
    """A rectangular grid of the complex plane.

    Attributes
    ----------
    x, y : ndarray, shape (columns,) and (rows,)
        Real and imaginary parts, ascending.

    Examples
    --------
    >>> Grid(np.array([0.0, 1.0]), np.array([0.0])).points
    array([[0.+0.j, 1.+0.j]])
    """

    x: NDArray[np.float64]
    y: NDArray[np.float64]

    @property
    def points(self) -> NDArray[np.complex128]:
        """All points, shape (rows, columns)."""
        return self.x[None, :] + 1j * self.y[:, None]


def make_grid(kernel: Kernel, domain: Any, points: Any) -> Grid:
    """Return a grid over ``domain`` or, without one, over the curve and a fifth of its size around it.

    The curve of a real kernel mirrors itself in the real axis, and so do the rows of its automatic grid.
    """
    columns, rows = (points, points) if np.ndim(points) == 0 else points
    if not all(isinstance(k, int | np.integer) and k >= 1 for k in (columns, rows)):
        raise InputError(f"points={points!r}: pass a positive integer, or columns and rows")
    if columns * rows > _MOST:
        raise InputError(f"a grid of {columns} x {rows} points is larger than {_MOST:,}: take fewer")
    left, right, low, high = _around(kernel) if domain is None else _checked(domain)
    return Grid(np.linspace(left, right, columns), np.linspace(low, high, rows))


def _checked(domain: Any) -> Domain:
    values = np.asarray(domain, dtype=float)
    if (
        values.shape != (4,)
        or not np.isfinite(values).all()
        or values[0] >= values[1]
        or values[2] >= values[3]
    ):
        raise InputError(f"domain={domain!r}: pass (left, right, low, high), finite and increasing")
    left, right, low, high = values.tolist()
    return left, right, low, high


def _around(kernel: Kernel) -> Domain:
    curve = scipy.fft.fft(kernel, 8 * max(kernel.size, 8))
    left, right = float(curve.real.min()), float(curve.real.max())
    low, high = float(curve.imag.min()), float(curve.imag.max())
    if not np.iscomplexobj(kernel):
        high = max(high, -low)
        low = -high
    # A single tap is a point: look at its neighbourhood.
    room = 0.2 * max(right - left, high - low) or max(abs(complex(kernel[0])), 1e-3)
    return left - room, right + room, low - room, high + room
