"""How figures look, what every plotting function returns, and how a figure becomes files."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from toeplitz_theory.errors import InputError
from toeplitz_theory.files import written_whole
from toeplitz_theory.names import shown

# How every figure looks: safe for colour-blind readers and for greyscale.
INK = "#1a1d21"
FAINT = "#8a939c"
CURVE = "#0072B2"
INSIDE = "#D55E00"
OUTSIDE = "#56B4E9"
SMALL: Any = {"fontsize": 6.5, "color": INK}
BACKED: Any = {"facecolor": "white", "edgecolor": "none"}  # the box of words that stand on lines

# Signed numbers: white at 0. In greyscale its ends are told apart by the signs that stand in the colour bar.
DIVERGING = "PuOr"

RC: Any = {
    "font.size": 8.0,
    "axes.titlesize": 8.5,
    "axes.labelsize": 8.0,
    "xtick.labelsize": 7.0,
    "ytick.labelsize": 7.0,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "axes.linewidth": 0.6,
    "axes.edgecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.linewidth": 1.2,
    "lines.markersize": 4.5,
    "figure.dpi": 110,
    "savefig.dpi": 300,
    "savefig.facecolor": "white",
    "figure.facecolor": "white",
    # Type 42 keeps the text of a PDF searchable and editable.
    "pdf.fonttype": 42,
    "path.simplify": True,
}


@dataclass(frozen=True)
class Series:
    """How one of several models is drawn: colour, marker and dash together tell it apart.

    Parameters
    ----------
    color, marker : str
        As matplotlib takes them.
    linestyle : str or tuple
        As matplotlib takes it.

    Examples
    --------
    >>> series(0).marker, series(1).marker
    ('o', 's')
    """

    color: str
    marker: str
    linestyle: Any

    @property
    def line(self) -> dict[str, Any]:
        """Colour and dash, as ``plot`` takes them."""
        return {"color": self.color, "linestyle": self.linestyle}


# Okabe and Ito's palette (2008) in an order in which neighbours also differ in lightness.
_SERIES = (
    Series("#000000", "o", "-"),
    Series("#0072B2", "s", (0, (5, 1.5))),
    Series("#D55E00", "^", (0, (1.2, 1.2))),
    Series("#009E73", "D", (0, (5, 1.5, 1.2, 1.5))),
    Series("#CC79A7", "v", (0, (8, 2))),
    Series("#E69F00", "P", (0, (3, 1, 1, 1, 1, 1))),
)


def series(number: int) -> Series:
    """How the model with this number is drawn; they repeat after six.

    Parameters
    ----------
    number : int
        From 0.

    Returns
    -------
    Series
        Its look.

    Examples
    --------
    >>> series(6) == series(0)
    True
    """
    return _SERIES[number % len(_SERIES)]


@contextmanager
def look() -> Iterator[None]:
    """The toolkit's style inside the block, the caller's own outside it.

    Examples
    --------
    >>> before = matplotlib.rcParams["font.size"]
    >>> with look():
    ...     matplotlib.rcParams["font.size"]
    8.0
    >>> matplotlib.rcParams["font.size"] == before
    True
    """
    with matplotlib.rc_context(RC):
        yield


def label(text: str, most: int = 60) -> str:
    r"""A foreign name or note as matplotlib shall show it: one short line, its dollar signs not for mathtext.

    Examples
    --------
    >>> label("$x^{", 60), label("w" * 100, 9)
    ('\\$x^{', 'www...www')
    """
    return shown(text, most).replace("$", r"\$")


# No dates and no versions: the same numbers give the same bytes. Our name marks what may be drawn anew.
_METADATA: dict[str, dict[str, Any]] = {
    "png": {"Software": "toeplitz-theory"},
    "pdf": {"CreationDate": None, "ModDate": None, "Creator": "toeplitz-theory", "Producer": None},
}


@dataclass(frozen=True, eq=False)
class Drawing:
    """A figure with what was drawn on it; a notebook displays it, nothing else does.

    Parameters
    ----------
    figure : Figure
        The figure, the caller's own where axes were handed in.
    axes : tuple of Axes
        The axes drawn on, one for each panel.
    artists : tuple of Artist
        What was drawn, in order.

    Examples
    --------
    >>> from toeplitz_theory.operators import Symbol
    >>> from toeplitz_theory.plots import symbol_curve
    >>> len(symbol_curve(Symbol([1.0, 0.5])).axes)
    1
    """

    figure: Figure
    axes: tuple[Axes, ...]
    artists: tuple[Artist, ...]

    def save(
        self, stem: str | os.PathLike[str], formats: Iterable[str] = ("png", "pdf"), dpi: int | None = None
    ) -> list[Path]:
        """Write the figure, each file whole or not at all; equal figures give equal bytes.

        Parameters
        ----------
        stem : path-like
            Path without the ending.
        formats : iterable of {"png", "pdf"}
            Which files to write.
        dpi : int, optional
            Dots per inch of pixels; the style's own when not given. Large grids want fewer.

        Returns
        -------
        list of Path
            The files.

        Raises
        ------
        InputError
            Unknown format, or a place that cannot be written to.
        """
        written = []
        for kind in formats:
            if kind not in _METADATA:
                raise InputError(f"save: format {kind!r} is unknown; choose from {', '.join(_METADATA)}")
            target = Path(f"{os.fspath(stem)}.{kind}")
            with look(), written_whole(target) as temporary:
                self.figure.savefig(
                    temporary, format=kind, metadata=_METADATA[kind], dpi=dpi or RC["savefig.dpi"]
                )
            written.append(target)
        return written

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        with look():
            self.figure.savefig(buffer, format="png", metadata=_METADATA["png"])
        return buffer.getvalue()


def panels(count: int, ax: Any, columns: int, size: tuple[float, float]) -> tuple[Figure, tuple[Axes, ...]]:
    """Axes for ``count`` panels: the caller's, or those of a new figure.

    Parameters
    ----------
    count : int
        How many are needed.
    ax : Axes, sequence of Axes or None
        The caller's.
    columns : int
        Panels side by side in a new figure.
    size : tuple of float
        Width and height of a panel in inches.

    Returns
    -------
    figure : Figure
        The figure.
    axes : tuple of Axes
        Exactly ``count``.

    Raises
    ------
    InputError
        Not as many axes as panels.

    Examples
    --------
    >>> figure, axes = panels(3, None, 2, (2.0, 2.0))
    >>> len(axes), len(figure.axes)
    (3, 3)
    """
    if ax is not None:
        axes = (ax,) if isinstance(ax, Axes) else tuple(getattr(ax, "flat", ax))
        if len(axes) != count:
            raise InputError(f"ax: {len(axes)} axes for {count} panels; pass one for each, or none")
        return _root(axes[0].figure), axes
    columns = min(columns, count)
    rows = -(-count // columns)
    width, height = columns * size[0], rows * size[1]
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, tuple(figure.add_subplot(rows, columns, k + 1) for k in range(count))


def drawn(
    ax: Any, size: tuple[float, float], draw: Callable[..., Iterable[Artist]], *what: Any, count: int = 1
) -> Drawing:
    """Return what ``draw(*axes, *what)`` draws on ``count`` panels of this size, side by side."""
    with look():
        figure, axes = panels(count, ax, count, size)
        return Drawing(figure, axes, tuple(draw(*axes, *what)))


def note(ax: Axes, x: float, y: float, words: str, **more: Any) -> Artist:
    """Write small words, at a place in shares of the panel."""
    return ax.text(x, y, words, transform=ax.transAxes, **SMALL, **more)


def letter(axes: Iterable[Axes]) -> None:
    """Letter the panels of a figure, a, b, c and so on, left above each."""
    for name, ax in zip("abcdefghijklmnopqrstuvwxyz", axes, strict=False):
        ax.set_title(name, loc="left", fontweight="bold")


def _root(figure: Figure | SubFigure) -> Figure:
    while isinstance(figure, SubFigure):
        figure = figure.figure
    return figure
