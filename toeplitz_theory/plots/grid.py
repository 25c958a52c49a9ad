"""Toeplitz matrices as heat maps, and one small panel per kernel of a report."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import AsinhNorm
from numpy.typing import ArrayLike

from toeplitz_theory.errors import InputError, reason_of
from toeplitz_theory.operators import Symbol
from toeplitz_theory.plots.circle import _draw_curve, _draw_zeros
from toeplitz_theory.plots.drawing import HEAT, Drawing, headline, label, look, panels
from toeplitz_theory.reports.sentences import index_words

if TYPE_CHECKING:
    from toeplitz_theory.reports import Report, Row

_KINDS = ("symbols", "zeros", "kernels")
# Beyond this many rows of a matrix, neighbours share a pixel and the picture only costs memory.
_MOST_ROWS = 1024


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
            panel.set_title(f"{label(row.name)}\n{_words(row)}{scale}")
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
    try:
        if what == "kernels":
            return [_draw_matrix(row.kernel, ax, colorbar=False)]
        if what == "symbols":
            return _draw_curve(Symbol(row.kernel), ax)
        return _draw_zeros(row.zeros, ax)
    except Exception as error:  # whatever one kernel raises, the other panels stand
        ax.clear()
        return [_say(ax, reason_of(error))]


def _words(row: Row) -> str:
    if not row.analysed:
        return "not analysed"
    return index_words(row.index.value if row.index else None)


def _say(ax: Axes, message: str) -> Any:
    ax.set_axis_off()
    folded = "\n".join(textwrap.wrap(label(message, 400), 26))
    text = ax.text(0.5, 0.5, folded, transform=ax.transAxes, ha="center", va="center", fontsize=6.5)
    # A long message may run over its panel; it must not push the other panels aside.
    text.set_in_layout(False)
    return text


def toeplitz_heatmap(kernel: ArrayLike, ax: Any = None) -> Drawing:
    """Draw the n x n lower-triangular Toeplitz matrix of a kernel.

    Taps range over orders of magnitude, so colour follows asinh: linear near 0, logarithmic beyond a
    twentieth of the largest tap. The triangle above the diagonal is left blank.

    Parameters
    ----------
    kernel : array_like, shape (n,)
        Real taps; row t, column s holds ``kernel[t - s]``. Above 1024 rows only every k-th diagonal is drawn,
        and the label says which k.
    ax : Axes, optional
        Where; a new figure when not given.

    Returns
    -------
    Drawing
        The image.

    Raises
    ------
    InputError
        The kernel is not a finite real vector.

    Examples
    --------
    >>> toeplitz_heatmap([1.0, 0.5, 0.25]).artists[0].get_array().shape
    (3, 3)
    """
    taps = np.asarray(kernel)
    if taps.ndim != 1 or taps.size == 0 or taps.dtype.kind not in "fiu" or not np.isfinite(taps).all():
        raise InputError("toeplitz_heatmap: the kernel is not a finite real vector; pass one row of taps")
    with look():
        figure, axes = panels(1, ax, 1, (3.0, 2.5))
        return Drawing(figure, axes, (_draw_matrix(taps.astype(float), axes[0], colorbar=ax is None),))


def _draw_matrix(taps: np.ndarray, ax: Axes, colorbar: bool) -> Any:
    n = taps.size
    step = -(-n // _MOST_ROWS)
    kept = taps[::step]
    lag = np.subtract.outer(np.arange(kept.size), np.arange(kept.size))
    matrix = np.ma.array(kept[np.maximum(lag, 0)], mask=lag < 0)
    largest = float(np.abs(taps).max()) or 1.0
    # Colours are found by differences and quotients: at the ends of float64's range in a unit of their own.
    unit = 1.0 if 1e-150 < largest < 1e150 else largest
    image = ax.imshow(
        matrix / unit,
        cmap=HEAT,
        norm=AsinhNorm(linear_width=largest / unit / 20, vmin=-largest / unit, vmax=largest / unit),
        interpolation="nearest",
        extent=(-0.5, n - 0.5, n - 0.5, -0.5),
    )
    ax.set_xlabel("input position" + (f" (every {step}th)" if step > 1 else ""))
    ax.set_ylabel("output position")
    ax.locator_params(nbins=4)
    if colorbar:
        bar = ax.figure.colorbar(image, ax=ax, label="tap (asinh scale)", shrink=0.9)
        ticks = np.array([-1, -0.1, 0, 0.1, 1]) * largest
        bar.set_ticks((ticks / unit).tolist(), labels=[f"{value:.2g}" for value in ticks])
        bar.minorticks_off()
    return image
