"""How every figure looks: safe for colour-blind readers and for greyscale, and nothing global changed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib

INK = "#1a1d21"
FAINT = "#8a939c"
CURVE = "#0072B2"
INSIDE = "#D55E00"
OUTSIDE = "#56B4E9"

# Its lightness grows steadily, so that sign and size survive greyscale; diverging maps are dark at both ends.
HEAT = "cividis"

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
    "savefig.dpi": 200,
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
