"""The map lambda -> wind(a - lambda): the spectrum of T(a) and the index of every T(a) - lambda."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from toeplitz_theory.operators.spectra.grid import Grid, make_grid
from toeplitz_theory.operators.symbols.centres import SpectrumIndex
from toeplitz_theory.operators.symbols.symbol import Symbol


@dataclass(frozen=True, eq=False)
class IndexMap:
    """Winding numbers of a - lambda on a grid.

    ``sp T(a)`` is the curve a(|z| = 1) together with every lambda whose winding number is not 0 (Gohberg and
    Krein); where it is w, T(a) - lambda is injective and its range has codimension w.

    Attributes
    ----------
    symbol : Symbol
    grid : Grid
    found : SpectrumIndex
        Counts of shape (rows, columns), masked where not proved, and margins.

    Examples
    --------
    >>> from toeplitz_theory.operators import Symbol, index_map
    >>> seen = index_map(Symbol([0.0, 1.0]), domain=(-2, 2, -2, 2), points=5)
    >>> seen.count[:, 2].tolist()  # on the imaginary axis: outside, on, inside, on, outside
    [0, None, 1, None, 0]
    """

    symbol: Symbol
    grid: Grid
    found: SpectrumIndex

    @property
    def count(self) -> np.ma.MaskedArray[Any, np.dtype[np.int64]]:
        """The winding numbers, shape (rows, columns)."""
        return self.found.count

    @property
    def curve(self) -> NDArray[np.complex128]:
        """Points of the curve, closed, for drawing."""
        nodes = max(16 * len(self.symbol), 512) + 1
        return self.symbol(np.exp(2j * np.pi * np.arange(nodes) / (nodes - 1)))


def index_map(symbol: Symbol | ArrayLike, domain: Any = None, points: Any = 200) -> IndexMap:
    """Map the winding number of a - lambda over the complex plane, every count proved or masked.

    Parameters
    ----------
    symbol : Symbol or array_like
        The symbol, or its kernel.
    domain : tuple of float, optional
        ``(left, right, low, high)``; by default the curve and a fifth of its size around it.
    points : int or pair of int
        Grid points along each side, or columns and rows.

    Returns
    -------
    IndexMap

    Raises
    ------
    InputError
        If the domain or the number of points makes no sense.

    Examples
    --------
    >>> from toeplitz_theory.operators import index_map
    >>> seen = index_map([1.0, -2.0, 0.5], points=50)
    >>> sorted(set(seen.count.compressed().tolist()))
    [0, 1]
    """
    a = symbol if isinstance(symbol, Symbol) else Symbol(symbol)
    grid = make_grid(a.kernel, domain, points)
    return IndexMap(a, grid, a.spectrum_index(grid.points))
