"""Maps over the complex plane: winding numbers, and resolvent norms of sections."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.ticker import MaxNLocator
from scipy import ndimage

from toeplitz_theory.plots.drawing import CURVE, INK, Drawing, look, panels

if TYPE_CHECKING:
    from toeplitz_theory.operators.plane import IndexMap, Pseudospectrum

_SIZE = (3.8, 3.2)
_MOST_COLOURS = 12  # more winding numbers than this are coloured in steps
_LEAST_SHARE = 0.004  # of all points: smaller regions bear no number


def index_map(windings: IndexMap, ax: Any = None) -> Drawing:
    """Draw wind(a - lambda) over the plane: minus the index of T(a) - lambda, with the symbol's curve.

    Parameters
    ----------
    windings : IndexMap
        From `toeplitz_theory.index_map`. Points whose count is not proved stay white.
    ax : Axes, optional
        Where; a new figure when not given.

    Returns
    -------
    Drawing
        Image, curve, the origin, and the numbers written into the larger regions.

    Examples
    --------
    >>> from toeplitz_theory.operators import index_map as compute
    >>> [text.get_text() for text in index_map(compute([0.0, 1.0], points=40)).axes[0].texts]
    ['0', '1']
    """
    with look():
        figure, (axes,) = panels(1, ax, 1, _SIZE)
        count, grid = windings.count, windings.grid
        low, high = int(count.min()), int(count.max())
        step = max(1, -(-(high - low + 1) // _MOST_COLOURS))
        # 0, where T(a) - lambda is invertible, never shares its colour.
        edges = np.append(low, np.arange(low + 1, high + step + 1, step)) - 0.5
        # Light where the index is 0, dark where much is missing: the order survives greyscale.
        shades = colormaps["cividis_r"](np.linspace(0.02, 0.8, max(len(edges) - 1, 2)))[: len(edges) - 1]
        shades[0] = (0.96, 0.96, 0.96, 1.0) if low == 0 else shades[0]
        colours: Any = {"cmap": ListedColormap(shades), "norm": BoundaryNorm(edges, len(edges) - 1)}
        pixels: Any = {"interpolation": "nearest", "aspect": "equal", "extent": _extent(grid)}
        image = axes.imshow(count, origin="lower", **colours, **pixels)
        artists: list[Any] = [image]
        curve = windings.curve
        width = 0.5 if len(windings.symbol) < 64 else 0.15
        artists += axes.plot(curve.real, curve.imag, color=INK, linewidth=width)
        artists += axes.plot(0, 0, "+", color=INK, markersize=8)
        artists += _numbers(axes, count, grid, edges)
        bar = figure.colorbar(image, ax=axes, label="wind(a − λ)", shrink=0.9)
        spans = [_span(first, last, high) for first, last in pairwise(edges)]
        bar.set_ticks(((edges[:-1] + edges[1:]) / 2).tolist(), labels=spans)
        bar.minorticks_off()
        _label_plane(axes)
        return Drawing(figure, (axes,), tuple(artists))


def _numbers(axes: Any, count: Any, grid: Any, edges: np.ndarray) -> list[Any]:
    """Write each number into its larger regions, at the point farthest from their edges."""
    written = []
    for value in np.unique(count.compressed()):
        labels, regions = ndimage.label((count == value).filled(False))
        sizes = ndimage.sum_labels(np.ones_like(labels), labels, np.arange(1, regions + 1))
        for k in np.flatnonzero(sizes >= _LEAST_SHARE * count.size)[:3]:
            inside = np.pad(labels == k + 1, 1)
            depth = ndimage.distance_transform_edt(inside)[1:-1, 1:-1]
            row, column = np.unravel_index(int(np.argmax(depth)), depth.shape)
            if depth[row, column] < 0.025 * max(count.shape):
                continue
            dark = (value - edges[0]) / (edges[-1] - edges[0]) > 0.55
            style: Any = {"ha": "center", "va": "center", "fontsize": 8, "color": "white" if dark else INK}
            written.append(axes.text(grid.x[column], grid.y[row], str(int(value)), **style))
    return written


def _span(lower: float, upper: float, high: int) -> str:
    first, last = round(lower + 0.5), min(round(upper - 0.5), high)
    return str(first) if last == first else f"{first} to {last}"


def pseudospectrum(norms: Pseudospectrum, ax: Any = None) -> Drawing:
    """Draw the level lines of log10 ||(T_n - lambda)^-1|| with the symbol's curve and the one eigenvalue.

    Parameters
    ----------
    norms : Pseudospectrum
        From `toeplitz_theory.pseudospectrum`.
    ax : Axes, optional
        Where; a new figure when not given.

    Returns
    -------
    Drawing
        Filled levels, lines, curve, eigenvalue.

    Examples
    --------
    >>> from toeplitz_theory.operators import pseudospectrum as compute
    >>> pseudospectrum(compute([1.0, -2.0, 0.5, 0.1], points=12)).axes[0].get_xlabel()
    'Re λ'
    """
    with look():
        figure, (axes,) = panels(1, ax, 1, _SIZE)
        grid = norms.grid
        # Next to w[0] the norm grows without bound: the highest colour is left to the last hundredth.
        most = float(np.percentile(norms.log10, 99))
        values = np.minimum(norms.log10, 2 * abs(most) + 1)
        levels = MaxNLocator(nbins=10, steps=[1, 2, 5, 10]).tick_values(float(values.min()), most)
        filled = axes.contourf(grid.x, grid.y, values, levels=levels, cmap="cividis_r", extend="max")
        lines = axes.contour(grid.x, grid.y, values, levels=levels, colors=INK, linewidths=0.35)
        nodes = np.exp(2j * np.pi * np.linspace(0, 1, max(16 * norms.section.shape[0], 512) + 1))
        curve = np.polynomial.polynomial.polyval(nodes, norms.section.kernel)
        artists: list[Any] = [filled, lines]
        width = 1.1 if curve.size < 700 else 0.4
        artists += axes.plot(curve.real, curve.imag, "--", color=CURVE, linewidth=width, label="symbol curve")
        first = complex(norms.section.kernel[0])
        ring: Any = {"color": "white", "markeredgecolor": INK, "markersize": 4.5}
        artists += axes.plot(first.real, first.imag, "o", label="w[0]", **ring)
        figure.colorbar(filled, ax=axes, label=f"log10 ‖(T − λ)⁻¹‖, n = {norms.section.shape[0]}", shrink=0.9)
        axes.set_aspect("equal")
        _label_plane(axes)
        return Drawing(figure, (axes,), tuple(artists))


def _extent(grid: Any) -> tuple[float, float, float, float]:
    """Edges of the outer pixels: imshow's pixels are centred on the grid's points."""
    dx, dy = ((at[-1] - at[0]) / max(at.size - 1, 1) / 2 or 0.5 for at in (grid.x, grid.y))
    return grid.x[0] - dx, grid.x[-1] + dx, grid.y[0] - dy, grid.y[-1] + dy


def _label_plane(axes: Any) -> None:
    axes.set(xlabel="Re λ", ylabel="Im λ")
    axes.locator_params(nbins=5)
