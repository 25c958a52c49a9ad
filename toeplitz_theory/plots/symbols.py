"""The eigenvalues of a matrix-valued symbol along the circle: what the determinant's winding is made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes

from toeplitz_theory.plots.drawing import Drawing, panels
from toeplitz_theory.plots.style import FAINT, INK, look, series

if TYPE_CHECKING:
    from toeplitz_theory.operators import ChannelSymbol, MultiHeadSymbol

_SIZE = (3.2, 3.2)
_FEWEST = 128


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
        figure, axes = panels(1, ax, 1, _SIZE)
        return Drawing(figure, axes, tuple(_draw(layer, axes[0], points)))


def _draw(layer: MultiHeadSymbol | ChannelSymbol, ax: Axes, points: int) -> list[Any]:
    parts: Any = getattr(layer, "heads", None) or getattr(layer, "kernels", ())
    count = points or max(_FEWEST, 4 * max(len(a) for a in parts))
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
