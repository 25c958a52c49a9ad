"""Maps over the complex plane: the index of T(a) - lambda, and pseudospectra of sections, point by point."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import scipy.fft
from numpy.typing import ArrayLike, NDArray

from toeplitz_theory.display import Displayed
from toeplitz_theory.errors import InputError
from toeplitz_theory.files import written_whole
from toeplitz_theory.operators.circle.polygons import SpectrumIndex
from toeplitz_theory.operators.kernels import Kernel
from toeplitz_theory.operators.matrix.resolvent import resolvent
from toeplitz_theory.operators.section import CausalToeplitz
from toeplitz_theory.operators.symbol import Symbol

Domain = tuple[float, float, float, float]
Progress = Callable[[Iterable[Any]], Iterable[Any]]

_MOST_POINTS = 4_000_000
# Relative residual at which a point is done; a Ritz value errs by less, so that log10 is right to 4e-4.
_TOLERANCE = 1e-3

# The map lambda -> wind(a - lambda): the spectrum of T(a) and the index of every T(a) - lambda.


@dataclass(frozen=True, eq=False, repr=False)
class IndexMap(Displayed):
    """Winding numbers of a - lambda on a grid.

    ``sp T(a)`` is the curve a(|z| = 1) together with every lambda whose winding number is not 0 (Gohberg and
    Krein); where it is w, T(a) - lambda is injective and its range has codimension w.

    Attributes
    ----------
    symbol : Symbol
    grid : Grid
    spectrum : SpectrumIndex
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
    spectrum: SpectrumIndex

    @property
    def count(self) -> np.ma.MaskedArray[Any, np.dtype[np.int64]]:
        """The winding numbers, shape (rows, columns)."""
        return self.spectrum.count

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


# Grids of points of the complex plane around a symbol's curve.


@dataclass(frozen=True, eq=False, repr=False)
class Grid(Displayed):
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
    if columns * rows > _MOST_POINTS:
        raise InputError(f"a grid of {columns} x {rows} points is larger than {_MOST_POINTS:,}: take fewer")
    left, right, low, high = _around(kernel) if domain is None else _checked(domain)
    return Grid(np.linspace(left, right, columns), np.linspace(low, high, rows))


def _checked(domain: Any) -> Domain:
    values = np.asarray(domain, dtype=float)
    if values.shape != (4,) or not np.isfinite(values).all() or (values[::2] >= values[1::2]).any():
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


@dataclass(frozen=True, eq=False, repr=False)
class Pseudospectrum(Displayed):
    """``log10 ||(T_n - lambda)^-1||`` on a grid.

    The epsilon-pseudospectrum is where it exceeds -log10 epsilon.

    Attributes
    ----------
    section : CausalToeplitz
    grid : Grid
    log10 : ndarray, shape (rows, columns)
        Estimates: Ritz values, below the truth but for rounding. Logarithms, so that nothing overflows; inf
        at ``w[0]``, the only eigenvalue.
    residual : ndarray, shape (rows, columns)
        Relative residual of the singular pair behind each value; some singular value of the resolvent lies
        within it.

    Examples
    --------
    >>> from toeplitz_theory.operators import CausalToeplitz, pseudospectrum
    >>> seen = pseudospectrum(CausalToeplitz([0.0, 1.0], n=50), domain=(-2, 2, -2, 2), points=5)
    >>> bool(np.isinf(seen.log10[2, 2])), round(float(seen.log10[2, 4]), 2)
    (True, -0.0)
    """

    section: CausalToeplitz
    grid: Grid
    log10: NDArray[np.float64]
    residual: NDArray[np.float64]


def pseudospectrum(
    section: CausalToeplitz | ArrayLike,
    domain: Any = None,
    points: Any = 200,
    progress: Progress | None = None,
    resume: str | os.PathLike[str] | None = None,
) -> Pseudospectrum:
    """Compute the resolvent norm of a finite section over the complex plane.

    A triangular Toeplitz matrix has the single eigenvalue ``w[0]``, hopelessly ill-conditioned; its behaviour
    on sequences shorter than n is that of the spectrum of T(a), and shows here (Reichel and Trefethen, Linear
    Algebra Appl. 162-164 (1992) 153).

    Parameters
    ----------
    section : CausalToeplitz or array_like
        The section, or its first column.
    domain : tuple of float, optional
        ``(left, right, low, high)``; by default the symbol's curve and a fifth of its size around it.
    points : int or pair of int
        Grid points along each side, or columns and rows.
    progress : callable, optional
        Wraps the iterable of grid rows, as ``rich.progress.track`` and ``tqdm`` do.
    resume : path-like, optional
        An .npz file to which finished rows are saved now and then, and from which an interrupted computation
        of the same section and grid goes on. Written whole or not at all.

    Returns
    -------
    Pseudospectrum

    Raises
    ------
    InputError
        If domain or points make no sense, or ``resume`` belongs to another computation.

    Examples
    --------
    >>> from toeplitz_theory.operators import pseudospectrum
    >>> pseudospectrum([1.0, -2.0, 0.5], points=20).log10.shape
    (20, 20)
    """
    T = section if isinstance(section, CausalToeplitz) else CausalToeplitz(section)
    grid = make_grid(T.kernel, domain, points)
    store = _Store(T.kernel, grid, resume)
    mirrored = _mirrored(T.kernel, grid)
    half = range((grid.y.size + 1) // 2 if mirrored else grid.y.size)
    todo = [row for row in half if np.isnan(store.log10[row]).any()]
    try:
        for row in todo if progress is None else progress(todo):
            norms = resolvent(T.kernel, grid.x + 1j * grid.y[row], _TOLERANCE)
            store.log10[row], store.residual[row] = norms.log10, norms.residual
            store.save(every=16)
    finally:
        store.save()
    if mirrored:
        for row in half:
            store.log10[-1 - row], store.residual[-1 - row] = store.log10[row], store.residual[row]
    return Pseudospectrum(T, grid, store.log10, store.residual)


def _mirrored(kernel: Kernel, grid: Grid) -> bool:
    """Whether the resolvent of a real matrix makes the lower rows equal to the upper ones."""
    return not np.iscomplexobj(kernel) and bool(np.allclose(grid.y, -grid.y[::-1], rtol=1e-14, atol=0))


class _Store:
    """Rows done so far, in memory and, if asked for, in a file."""

    def __init__(self, kernel: Kernel, grid: Grid, path: str | os.PathLike[str] | None) -> None:
        shape = (grid.y.size, grid.x.size)
        self.log10, self.residual = np.full(shape, np.nan), np.full(shape, np.nan)
        self.path = None if path is None else Path(path)
        self._unsaved = 0
        self.key = sha256(b"".join(part.tobytes() for part in (kernel, grid.x, grid.y))).hexdigest()
        if self.path is not None and self.path.exists():
            self._load(self.path)

    def _load(self, path: Path) -> None:
        try:
            with np.load(path, allow_pickle=False) as saved:
                key, log10, residual = str(saved["key"]), saved["log10"], saved["residual"]
        except Exception as error:  # whatever a damaged or foreign file makes of NumPy's reader
            raise InputError(f"{path}: not a saved pseudospectrum ({error}); remove it") from None
        if (key, log10.shape, residual.shape) != (self.key, self.log10.shape, self.residual.shape):
            raise InputError(f"{path}: belongs to another section or grid; remove it or name another file")
        self.log10, self.residual = log10, residual

    def save(self, every: int = 1) -> None:
        """Write the file if at least ``every`` rows are new."""
        self._unsaved += every > 1
        if self.path is None or self._unsaved < every or not self._unsaved:
            return
        with written_whole(self.path) as temporary, open(temporary, "wb") as file:
            np.savez(file, key=np.array(self.key), log10=self.log10, residual=self.residual)
        self._unsaved = 0
