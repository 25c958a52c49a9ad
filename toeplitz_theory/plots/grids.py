"""One small panel per kernel of a report."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes

from toeplitz_theory.errors import InputError, NumericalError
from toeplitz_theory.operators import Symbol
from toeplitz_theory.plots.circle import _draw_curve, _draw_zeros
from toeplitz_theory.plots.drawing import Drawing, headline, panels
from toeplitz_theory.plots.matrices import _draw_matrix
from toeplitz_theory.plots.style import look

if TYPE_CHECKING:
    from toeplitz_theory.reports import Report, Row

_KINDS = ("symbols", "zeros", "kernels")


def index_grid(report: Report, what: str = "symbols", ax: Any = None, title: str = "") -> Drawing:
    """Draw every kernel of a report, with its name and index above it.

    Parameters
    ----------
    report : Report
        The report.
    what : {"symbols", "zeros", "kernels"}
        Symbol curves around the origin, zeros against the unit circle, or the Toeplitz matrices.
    ax : Axes or sequence of Axes, optional
        One for each row of the report; a new figure when not given.
    title : str, optional
        Above all panels.

    Returns
    -------
    Drawing
        All artists, panel by panel. Kernels that cannot be drawn have a panel that says why.

    Raises
    ------
    InputError
        Unknown kind, a report without rows, or not as many axes as rows.

    Examples
    --------
    >>> import numpy as np, toeplitz_theory as tt
    >>> report = tt.inspect({"blocks.0.mixer.weight": np.array([1.0, -2.0])})
    >>> index_grid(report).axes[0].get_title()
    'blocks.0\\nindex -1'
    """
    if what not in _KINDS:
        raise InputError(f"index_grid({what!r}): unknown kind; choose one of {', '.join(_KINDS)}")
    if not report.rows:
        raise InputError("index_grid: the report has no rows to draw")
    columns = 4 if len(report.rows) <= 16 else 8
    with look():
        figure, axes = panels(len(report.rows), ax, columns, (2.1, 2.3))
        artists: list[Any] = []
        for row, panel in zip(report.rows, axes, strict=True):
            artists += _draw_row(row, panel, what)
            # Each matrix has a colour scale of its own, from minus to plus its largest tap.
            scale = f", max |w| {np.abs(row.kernel).max():.2g}" if what == "kernels" and row.analysed else ""
            panel.set_title(f"{row.name}\n{_words(row)}{scale}")
        if ax is None:
            for k, panel in enumerate(axes):
                # Labels once, at the left and the lower edge, but for panels in a unit of their own.
                if k % columns and "/" not in panel.get_ylabel():
                    panel.set_ylabel("")
                if k < len(axes) - columns and "/" not in panel.get_xlabel():
                    panel.set_xlabel("")
        if title:
            headline(figure, title)
        return Drawing(figure, axes, tuple(artists))


def _draw_row(row: Row, ax: Axes, what: str) -> list[Any]:
    if not row.analysed:
        return [_say(ax, row.note)]
    if what == "kernels":
        return [_draw_matrix(row.kernel, ax, colorbar=False)]
    if what == "symbols":
        return _draw_curve(Symbol(row.kernel), ax)
    try:
        return _draw_zeros(row.zeros, ax)
    except NumericalError as error:
        return [_say(ax, str(error))]


def _words(row: Row) -> str:
    if row.index is None:
        return "not analysed"
    return "index not certified" if row.index.value is None else f"index {row.index.value}"


def _say(ax: Axes, message: str) -> Any:
    ax.set_axis_off()
    folded = "\n".join(textwrap.wrap(message, 26))
    text = ax.text(0.5, 0.5, folded, transform=ax.transAxes, ha="center", va="center", fontsize=6.5)
    # A long message may run over its panel; it must not push the other panels aside.
    text.set_in_layout(False)
    return text
