"""What symbols do on and near the unit circle: curves, zeros, eigenvalues."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Circle, PathPatch
from matplotlib.path import Path as Curve

from toeplitz_theory.operators.circle.curve import cubic_pieces
from toeplitz_theory.plots.drawing import CURVE, FAINT, INK, INSIDE, OUTSIDE, Drawing, look, panels, series

if TYPE_CHECKING:
    from toeplitz_theory.operators import ChannelSymbol, MultiHeadSymbol, Symbol, Zeros

_SIZE = (2.5, 2.5)
# A thousandth of the largest modulus is a tenth of a point on such a panel.
_TOLERANCE = 1e-3


def symbol_curve(symbol: Symbol, ax: Any = None) -> Drawing:
    """Draw a(exp(i theta)), 0 <= theta <= 2 pi, with the origin and arrows in the direction of theta.

    Parameters
    ----------
    symbol : Symbol
        Its winding around the marked origin is minus the Fredholm index of the operator T(a).
    ax : Axes, optional
        Where; a new figure when not given.

    Returns
    -------
    Drawing
        Curve, arrows, origin.

    Examples
    --------
    >>> from toeplitz_theory.operators import Symbol
    >>> symbol_curve(Symbol([1.0, -2.0])).axes[0].get_xlabel()
    'Re a'
    """
    with look():
        figure, axes = panels(1, ax, 1, _SIZE)
        return Drawing(figure, axes, tuple(_draw_curve(symbol, axes[0])))


def _draw_curve(symbol: Symbol, ax: Axes) -> list[Any]:
    # Axes cannot tell apart numbers near 1e-40 and write ticks near 1e5 badly: such kernels get a named unit.
    size = float(np.abs(symbol.kernel).max())
    exponent = int(np.floor(np.log10(size))) if size else 0
    unit = "" if -3 <= exponent <= 3 else f" / 1e{exponent}"
    shown = symbol.kernel if not unit else symbol.kernel / size * 10 ** (np.log10(size) - exponent)
    angles, values, slopes = cubic_pieces(shown, _TOLERANCE)
    third = np.diff(angles) / 3
    points = np.empty(3 * third.size + 1, dtype=complex)
    points[0::3] = values
    points[1::3] = values[:-1] + third * slopes[:-1]
    points[2::3] = values[1:] - third * slopes[1:]
    codes = np.full(points.size, Curve.CURVE4)
    codes[0] = Curve.MOVETO
    path = Curve(np.stack([points.real, points.imag], axis=1), codes)
    # add_patch would find the extent of thousands of cubics exactly; their ends give it to a hair's breadth.
    artists: list[Any] = [ax.add_artist(PathPatch(path, fill=False, edgecolor=CURVE, linewidth=0.7))]
    ax.update_datalim(np.stack([values.real, values.imag], axis=1))
    if not slopes.any():
        # One tap alone: the curve is a point.
        artists += ax.plot(values[0].real, values[0].imag, ".", color=CURVE)
    for k in range(3):
        # Three arrows over the upper half of the circle; a real symbol's other half mirrors them.
        j = int((values.size - 1) * (2 * k + 1) / 12)
        if slopes[j] == 0:
            continue
        turn = np.degrees(np.angle(slopes[j]))
        marker = (3, 0, turn - 90)
        artists += ax.plot(
            values[j].real, values[j].imag, marker=marker, color=INK, markersize=6, markeredgecolor="white"
        )
    artists += ax.plot(0, 0, "+", color=INK, markersize=9, markeredgewidth=1.1, zorder=4)
    artists += ax.plot(0, 0, "o", color=INK, markersize=5.5, fillstyle="none", markeredgewidth=0.9, zorder=4)
    ax.set_aspect("equal", adjustable="datalim")
    ax.autoscale_view()
    ax.locator_params(nbins=4)
    ax.set_xlabel(f"Re a{unit}")
    ax.set_ylabel(f"Im a{unit}")
    return artists


def zeros(symbol: Symbol, ax: Any = None) -> Drawing:
    """Draw the zeros of a symbol, discs inside the unit circle and crosses outside.

    The radius is drawn true inside the circle and as 1.5 - 1/(2r) outside, so that abs(z) = 2 lies at 1.25
    and infinity at 1.5, and no zero falls off the drawing. Squares are zeros whose side is not proved.

    Parameters
    ----------
    symbol : Symbol
        The symbol; minus the number of discs is the Fredholm index of the operator T(a).
    ax : Axes, optional
        Where; a new figure when not given.

    Returns
    -------
    Drawing
        Circles, then the zeros inside, outside and undecided.

    Raises
    ------
    NumericalError
        The zeros cannot be isolated.

    Examples
    --------
    >>> from toeplitz_theory.operators import Symbol
    >>> drawing = zeros(Symbol([1.0, -2.0]))
    >>> drawing.artists[-3].get_offsets().tolist()
    [[0.5, 0.0]]
    """
    with look():
        figure, axes = panels(1, ax, 1, _SIZE)
        return Drawing(figure, axes, tuple(_draw_zeros(symbol.zeros(), axes[0])))


def _draw_zeros(isolated: Zeros, ax: Axes) -> list[Any]:
    artists: list[Any] = []
    for radius, dashes, colour in ((1.0, "-", INK), (1.25, ":", FAINT), (1.5, ":", FAINT)):
        artists.append(
            ax.add_patch(
                Circle((0, 0), radius, fill=False, linestyle=dashes, edgecolor=colour, linewidth=0.8)
            )
        )
    looks: tuple[tuple[np.ndarray, dict[str, Any]], ...] = (
        (isolated.inside(), {"marker": "o", "s": 9, "color": INSIDE, "linewidths": 0}),
        (isolated.outside(), {"marker": "x", "s": 9, "color": OUTSIDE, "linewidths": 0.7}),
        (isolated.undecided(), {"marker": "s", "s": 16, "facecolors": "none", "edgecolors": INK}),
    )
    for points, marks in looks:
        radius = np.abs(points)
        shown = np.where(radius <= 1, radius, 1.5 - 0.5 / np.maximum(radius, 1))
        where = shown * np.exp(1j * np.angle(points))
        artists.append(ax.scatter(where.real, where.imag, zorder=3, **marks))
    for radius, label in ((1.0, "1"), (1.25, "2"), (1.5, "∞")):
        spot = radius * np.exp(-0.25j * np.pi)
        text = ax.annotate(label, (spot.real, spot.imag), fontsize=6.5, color=INK, ha="center", va="center")
        text.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 0.4})
        artists.insert(3, text)
    ax.set_aspect("equal")
    ax.set_xlim(-1.6, 1.6)
    ax.set_ylim(-1.6, 1.6)
    ax.set_axis_off()
    return artists


def eigenvalue_curves(layer: MultiHeadSymbol | ChannelSymbol, ax: Any = None, points: int = 0) -> Drawing:
    """Draw the eigenvalues of A(z) for z along the unit circle, with 0 and -1.

    The index of T(A) counts their turns round 0 all together, that of I + T(A) their turns round -1.

    Parameters
    ----------
    layer : MultiHeadSymbol or ChannelSymbol
        The symbol of a layer.
    ax : Axes, optional
        Where; a new figure when not given.
    points : int, optional
        Places on the circle; by default four for each tap, 128 at least.

    Returns
    -------
    Drawing
        The eigenvalues, and the marks at 0 and -1.

    Examples
    --------
    >>> import numpy as np
    >>> from toeplitz_theory.operators import MultiHeadSymbol
    >>> layer = MultiHeadSymbol([[0.0, 1.0]], np.eye(2), np.eye(2))  # both eigenvalues run round 0 once
    >>> drawn = eigenvalue_curves(layer, points=8).artists[0]
    >>> len(drawn.get_xdata())
    16
    """
    with look():
        figure, axes = panels(1, ax, 1, (3.2, 3.2))
        return Drawing(figure, axes, tuple(_draw_eigenvalues(layer, axes[0], points)))


def _draw_eigenvalues(layer: MultiHeadSymbol | ChannelSymbol, ax: Axes, points: int) -> list[Any]:
    parts: Any = getattr(layer, "heads", None) or getattr(layer, "kernels", ())
    count = points or max(128, 4 * max(len(a) for a in parts))
    circle = np.exp(2j * np.pi * np.arange(count) / count)
    values = np.concatenate([np.linalg.eigvals(layer(z)) for z in circle])
    artists: list[Any] = ax.plot(values.real, values.imag, ".", markersize=1.5, color=series(0).color)
    artists += ax.plot([0.0], [0.0], "+", color=INK, label="0: the index")
    artists += ax.plot([-1.0], [0.0], "x", color=INK, label="−1: with the residual connection")
    ax.axhline(0.0, color=FAINT, linewidth=0.6, zorder=0)
    ax.axvline(0.0, color=FAINT, linewidth=0.6, zorder=0)
    ax.set_aspect("equal", adjustable="datalim")
    ax.set_xlabel("real part of the eigenvalues of A(z)")
    ax.set_ylabel("imaginary part")
    ax.legend(loc="upper left")
    return artists
