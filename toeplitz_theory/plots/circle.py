"""What symbols do on and near the unit circle: curves, zeros, eigenvalues."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Circle, PathPatch
from matplotlib.path import Path as Curve
from numpy.typing import NDArray

from toeplitz_theory.operators import Symbol
from toeplitz_theory.operators.circle.curve import cubic_pieces
from toeplitz_theory.plots.drawing import (
    BACKED,
    CURVE,
    FAINT,
    INK,
    INSIDE,
    OUTSIDE,
    SMALL,
    Drawing,
    drawn,
    note,
    series,
)

if TYPE_CHECKING:
    from toeplitz_theory.operators import ChannelSymbol, MultiHeadSymbol, Zeros
    from toeplitz_theory.reports import Row

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
    return drawn(ax, _SIZE, _draw_curve, symbol)


def _draw_curve(ax: Axes, symbol: Symbol) -> list[Any]:
    # Axes cannot tell apart numbers near 1e-40 and write ticks near 1e5 badly: such kernels get a named unit.
    size = float(np.abs(symbol.kernel).max())
    exponent = int(np.floor(np.log10(size))) if size else 0
    unit = "" if -3 <= exponent <= 3 else f" / 1e{exponent}"
    shown: Any = symbol.kernel if not unit else symbol.kernel / size * 10 ** (np.log10(size) - exponent)
    angles, values, slopes = cubic_pieces(shown, _TOLERANCE)
    third = np.diff(angles) / 3
    points: NDArray[np.complex128] = np.empty(3 * third.size + 1, dtype=complex)
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
        arrow: Any = {"marker": (3, 0, np.degrees(np.angle(slopes[j])) - 90), "markeredgecolor": "white"}
        artists += ax.plot(values[j].real, values[j].imag, color=INK, markersize=6, **arrow)
    artists += ax.plot(0, 0, "+", color=INK, markersize=9, markeredgewidth=1.1, zorder=4)
    artists += ax.plot(0, 0, "o", color=INK, markersize=5.5, fillstyle="none", markeredgewidth=0.9, zorder=4)
    ax.set_aspect("equal", adjustable="datalim")
    ax.autoscale_view()
    ax.locator_params(nbins=4)
    ax.set(xlabel=f"Re a{unit}", ylabel=f"Im a{unit}")
    return artists


def zeros(a: Symbol | Row, ax: Any = None) -> Drawing:
    """Draw the zeros of a symbol as n log|z| against their angle: those inside lie below the line.

    In this scale a section of size n sees them: within 1 of the line it cannot tell them from the circle. The
    axis is logarithmic beyond 1. Squares are zeros whose side is not proved; zeros at 0 are counted only.

    Parameters
    ----------
    a : Symbol or Row
        Minus the number of zeros inside is the Fredholm index of the operator T(a).
    ax : Axes, optional
        Where; a new figure when not given.

    Returns
    -------
    Drawing
        The zeros outside, undecided and inside.

    Raises
    ------
    NumericalError
        The zeros cannot be isolated.

    Examples
    --------
    >>> from toeplitz_theory.operators import Symbol
    >>> inside = zeros(Symbol([1.0, -2.0])).artists[2]
    >>> inside.get_offsets().round(3).tolist()  # 2 log(1/2) at angle 0
    [[0.0, -1.386]]
    """
    return drawn(ax, _SIZE, draw_zeros, a)


def draw_zeros(ax: Axes, a: Symbol | Row) -> list[Any]:
    """Draw n log|z| against angle, one of each pair of a real kernel."""
    isolated = _zeros_of(a)
    n, real = a.kernel.size, not np.iscomplexobj(a.kernel)
    artists: list[Any] = []
    reach = 3.0
    for points, marks in _looks(isolated):
        points = points[(points != 0) & (np.imag(points) >= 0 if real else True)]
        angle = np.mod(np.angle(points), 2 * np.pi) / np.pi
        height = n * np.log(np.abs(points))
        reach = max(reach, 1.3 * float(np.abs(height).max(initial=0.0)))
        artists.append(ax.scatter(angle, height, zorder=3, **marks))
    artists.append(ax.axhline(0.0, color=INK, linewidth=0.8))
    ax.set_yscale("symlog", linthresh=1.0, linscale=0.6)
    powers = [10**k for k in range(7) if 10**k <= reach]
    ticks = [*(-p for p in reversed(powers)), 0, *powers]
    ax.set_yticks(ticks, [str(tick) for tick in ticks])
    ax.minorticks_off()
    ax.set(xlim=(-0.03, 1.03 if real else 2.03), ylim=(-reach, reach))
    ax.set(xlabel="angle / π" + (", upper half" if real else ""), ylabel="n log|z|")
    at_origin = int((isolated.inside() == 0).sum())
    some = f", {at_origin} at 0" if at_origin else ""
    corner: Any = {"ha": "right", "bbox": {**BACKED, "pad": 0.6, "alpha": 0.8}}
    artists.append(note(ax, 0.98, 0.98, f"{len(isolated.outside())} outside", va="top", **corner))
    artists.append(note(ax, 0.98, 0.02, f"{len(isolated.inside())} inside{some}", va="bottom", **corner))
    return artists


def _zeros_of(a: Symbol | Row) -> Zeros:
    """Return the zeros of a symbol; a row of a report keeps those it has isolated."""
    return a.zeros() if isinstance(a, Symbol) else a.zeros


def _looks(isolated: Zeros) -> list[tuple[np.ndarray, dict[str, Any]]]:
    """Each kind of zeros with its look; those inside last, on top of the others."""
    return [
        (isolated.outside(), {"marker": "x", "s": 7, "color": OUTSIDE, "linewidths": 0.7}),
        (isolated.undecided(), {"marker": "s", "s": 16, "facecolors": "none", "edgecolors": INK}),
        (isolated.inside(), {"marker": "o", "s": 10, "color": INSIDE, "linewidths": 0}),
    ]


def pole_zero(a: Symbol | Row, ax: Any = None) -> Drawing:
    """Draw zeros and poles in the plane, infinity included: discs inside the unit circle, crosses outside.

    The radius is drawn true inside the circle and as 1.5 - 1/(2r) outside, so that abs(z) = 2 lies at 1.25
    and infinity, the pole of order n - 1 of every kernel, at 1.5. With delays written as 1/z, as engineers
    do, the plane is turned inside out: the zeros inside make a filter non-minimum-phase.

    Parameters
    ----------
    a : Symbol or Row
        Squares are zeros whose side is not proved.
    ax : Axes, optional
        Where; a new figure when not given.

    Returns
    -------
    Drawing
        Circles, then the zeros outside, undecided and inside.

    Raises
    ------
    NumericalError
        The zeros cannot be isolated.

    Examples
    --------
    >>> from toeplitz_theory.operators import Symbol
    >>> pole_zero(Symbol([1.0, -2.0])).artists[-1].get_offsets().tolist()
    [[0.5, 0.0]]
    """
    return drawn(ax, _SIZE, _draw_plane, _zeros_of(a), a.kernel.size)


def _draw_plane(ax: Axes, isolated: Zeros, n: int) -> list[Any]:
    artists: list[Any] = []
    for radius, dashes, colour in ((1.0, "-", INK), (1.25, ":", FAINT), (1.5, ":", FAINT)):
        circle = Circle((0, 0), radius, fill=False, linestyle=dashes, edgecolor=colour, linewidth=0.8)
        artists.append(ax.add_patch(circle))
    pole = f"∞ (pole of order {n - 1})" if n > 1 else "∞"
    for radius, name in ((1.0, "1"), (1.25, "2"), (1.5, pole)):
        spot = radius * np.exp(-0.25j * np.pi)
        middle: Any = {"ha": "center", "va": "center", "zorder": 5, "bbox": {**BACKED, "pad": 0.4}}
        artists.append(ax.annotate(name, (spot.real, spot.imag), **SMALL, **middle))
    for points, marks in _looks(isolated):
        radius = np.abs(points)
        shown = np.where(radius <= 1, radius, 1.5 - 0.5 / np.maximum(radius, 1))
        where: NDArray[np.complex128] = shown * np.exp(1j * np.angle(points))
        artists.append(ax.scatter(where.real, where.imag, zorder=3, **marks))
    ax.set_aspect("equal")
    ax.set(xlim=(-1.6, 1.6), ylim=(-1.6, 1.6))
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
    return drawn(ax, (3.2, 3.2), _draw_eigenvalues, layer, points)


def _draw_eigenvalues(ax: Axes, layer: MultiHeadSymbol | ChannelSymbol, points: int) -> list[Any]:
    parts: Any = getattr(layer, "heads", None) or getattr(layer, "kernels", ())
    count = points or max(128, 4 * max(len(a) for a in parts))
    circle = np.exp(2j * np.pi * np.arange(count) / count)
    values = np.concatenate([np.linalg.eigvals(layer(z)) for z in circle])
    artists: list[Any] = ax.plot(np.real(values), np.imag(values), ".", markersize=1.5, color=series(0).color)
    artists += ax.plot([0.0], [0.0], "+", color=INK, label="0: the index")
    artists += ax.plot([-1.0], [0.0], "x", color=INK, label="−1: with the residual connection")
    ax.axhline(0.0, color=FAINT, linewidth=0.6, zorder=0)
    ax.axvline(0.0, color=FAINT, linewidth=0.6, zorder=0)
    ax.set_aspect("equal", adjustable="datalim")
    ax.set(xlabel="real part of the eigenvalues of A(z)", ylabel="imaginary part")
    ax.legend(loc="upper left")
    return artists
