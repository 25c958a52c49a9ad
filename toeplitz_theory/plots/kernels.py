"""Kernels themselves: taps against lag, one kernel in six panels, and what is chosen of a whole report."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import AsinhNorm
from matplotlib.ticker import MaxNLocator

from toeplitz_theory.errors import InputError, reason_of
from toeplitz_theory.operators import Symbol
from toeplitz_theory.plots import delays
from toeplitz_theory.plots.circle import draw_zeros
from toeplitz_theory.plots.drawing import (
    DIVERGING,
    FAINT,
    INK,
    Drawing,
    Series,
    drawn,
    label,
    letter,
    look,
    panels,
    series,
)
from toeplitz_theory.plots.response import bode, draw_modulus, draw_phase, response_of
from toeplitz_theory.reports.sentences import counted, index_words

if TYPE_CHECKING:
    from toeplitz_theory.reports import Report, Row

_SIZE = (3.0, 2.2)
_FEW = 40  # taps up to which each has a marker
_MOST_PLACES = 1024  # of an image: more lags, or more kernels, share a pixel
_LINEAR = 0.02  # of the largest tap, up to which colour is proportional
_ONE = Series(series(1).color, "o", "-")
_CHOSEN = 3


def taps(kernels: Symbol | Row | Report | Sequence[Symbol | Row], ax: Any = None) -> Drawing:
    """Draw taps against lag: strokes for one kernel, a line of colours each for many.

    Of many, each kernel is divided by its largest tap, so that colours compare shapes. Colour follows asinh:
    linear up to a fiftieth, logarithmic beyond. Where lags share a place the tap of the largest modulus is
    shown; of more than 1024 kernels every k-th.

    Parameters
    ----------
    kernels : Symbol, Row, Report, or a sequence of the first two
        Real taps; of complex ones the modulus is drawn.
    ax : Axes, optional
        Where; a new figure when not given.

    Returns
    -------
    Drawing
        The strokes, or the image.

    Raises
    ------
    InputError
        No kernels to draw.

    Examples
    --------
    >>> from toeplitz_theory.operators import Symbol
    >>> taps([Symbol([2.0, 1.0]), Symbol([0.0, -3.0])]).artists[0].get_array().tolist()
    [[1.0, 0.5], [0.0, -1.0]]
    """
    rows: Any = getattr(kernels, "rows", kernels)
    if not isinstance(rows, (list, tuple)):
        return drawn(ax, _SIZE, draw_taps, rows.kernel)
    with look():
        usable = [row for row in rows if np.isfinite(row.kernel).all() and row.kernel.any()]
        if not usable:
            raise InputError("taps: no kernels to draw: give a symbol, or a report with some")
        figure, axes = panels(1, ax, 1, (4.2, min(1.2 + 0.045 * len(usable), 6.0)))
        artists = _draw_many(axes[0], usable)
        if len(usable) < len(rows):
            axes[0].set_title(f"{counted(len(rows) - len(usable), 'kernel')} could not be drawn", fontsize=7)
        if ax is None:
            colour_bar(axes[0], artists[0])
        return Drawing(figure, axes, tuple(artists))


def colour_bar(ax: Any, image: Any) -> Any:
    """Put the scale of `taps` beside one panel or several."""
    figure = np.atleast_1d(np.asarray(ax, dtype=object)).flat[0].figure
    bar = figure.colorbar(image, ax=ax, label="tap / largest tap of its kernel (asinh)", shrink=0.9)
    bar.set_ticks([-1, -0.1, 0, 0.1, 1], labels=["−1", "−0.1", "0", "0.1", "1"])
    bar.minorticks_off()
    return bar


def draw_taps(ax: Axes, kernel: np.ndarray) -> list[Any]:
    """Draw each tap as a stroke from 0, with a disc at its end if there are few."""
    is_complex = np.iscomplexobj(kernel)
    values = np.abs(kernel) if is_complex else kernel
    lags = np.arange(kernel.size)
    few = kernel.size <= _FEW
    artists: list[Any] = [ax.vlines(lags, 0.0, values, color=_ONE.color, linewidth=1.2 if few else 0.6)]
    if few:
        artists += ax.plot(lags, values, "o", color=_ONE.color, markersize=3)
    ax.axhline(0.0, color=FAINT, linewidth=0.6, zorder=0)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    ax.set(xlabel="lag k (tokens back)", ylabel="modulus of the tap" if is_complex else "tap")
    return artists


def _draw_many(ax: Axes, rows: Sequence[Any]) -> list[Any]:
    every = -(-len(rows) // _MOST_PLACES)
    rows = rows[::every]
    longest = max(row.kernel.size for row in rows)
    step = -(-longest // _MOST_PLACES)
    image = np.full((len(rows), -(-longest // step)), np.nan)
    for line, row in zip(image, rows, strict=True):
        values = np.abs(row.kernel) if np.iscomplexobj(row.kernel) else row.kernel
        shown = _largest(values / np.abs(values).max(), step)
        line[: shown.size] = shown
    colours: Any = {"cmap": DIVERGING, "norm": AsinhNorm(linear_width=_LINEAR, vmin=-1.0, vmax=1.0)}
    extent = (-0.5, image.shape[1] * step - 0.5, len(rows) - 0.5, -0.5)
    pixels: Any = {"interpolation": "nearest", "aspect": "auto", "extent": extent}
    artists: list[Any] = [ax.imshow(np.ma.masked_invalid(image), **colours, **pixels)]
    ax.set_xlabel("lag k (tokens back)" + (f", {step} share a place" if step > 1 else ""))
    names = [getattr(row, "layer", "") for row in rows]
    firsts = [k for k, name in enumerate(names) if k == 0 or name != names[k - 1]]
    artists += [ax.axhline(k - 0.5, color=INK, linewidth=0.5) for k in firsts[1:]]
    if names[0] and len(firsts) <= 24:
        ends = [*firsts[1:], len(rows)]
        middles = [(first + end - 1) / 2 for first, end in zip(firsts, ends, strict=True)]
        ax.set_yticks(middles, [label(names[k], 24) for k in firsts])
        ax.tick_params(axis="y", length=0)
    else:
        ax.set_ylabel("kernel" + (f" (one of every {every})" if every > 1 else ""))
    return artists


def _largest(values: np.ndarray, step: int) -> np.ndarray:
    """Of each ``step`` values the one of the largest modulus."""
    padded = np.concatenate([values, np.zeros(-values.size % step)]).reshape(-1, step)
    return padded[np.arange(len(padded)), np.abs(padded).argmax(axis=1)]


def kernel(a: Symbol | Row, ax: Any = None) -> Drawing:
    """Draw one kernel in six panels: taps, recovery, zeros, modulus, phase and group delay.

    Parameters
    ----------
    a : Symbol or Row
        A symbol, or a row of a report, whose `plot` this is.
    ax : sequence of Axes, optional
        Six; a new figure when not given.

    Returns
    -------
    Drawing
        All artists. A panel that cannot be drawn says why.

    Raises
    ------
    InputError
        Not six axes.

    Examples
    --------
    >>> from toeplitz_theory.operators import Symbol
    >>> [panel.get_title(loc="left") for panel in kernel(Symbol([1.0, -2.0])).axes]
    ['a', 'b', 'c', 'd', 'e', 'f']
    """
    with look():
        figure, axes = panels(6, ax, 3, _SIZE)
        artists = _attempt(axes[:1], lambda: draw_taps(axes[0], a.kernel))
        artists += _attempt(axes[1:2], lambda: delays.recovery(a, ax=axes[1]).artists)
        artists += _attempt(axes[2:3], lambda: draw_zeros(axes[2], a))
        artists += _attempt(axes[3:], lambda: bode(a, ax=axes[3:]).artists)
        letter(axes)
        if not isinstance(a, Symbol) and ax is None:
            figure.suptitle(f"{label(a.name)}: {index_words(a.index.value if a.index else None)}", fontsize=9)
        return Drawing(figure, axes, tuple(artists))


def chosen(report: Report, what: str, ax: Any = None, title: str = "") -> Drawing:
    """Draw the kernels of a report with the highest, the median and the lowest index.

    Parameters
    ----------
    report : Report
        The report.
    what : {"symbols", "zeros"}
        Modulus in decibels above the unwrapped phase; or n log|z| of the zeros against their angle.
    ax : sequence of Axes, optional
        One a kernel, of symbols two: all moduli first. A new figure when not given.
    title : str, optional
        Above all panels.

    Returns
    -------
    Drawing
        All artists, panel by panel. Kernels that cannot be drawn have a panel that says why.

    Raises
    ------
    InputError
        Unknown kind, a report without rows, or not as many axes as panels.

    Examples
    --------
    >>> import numpy as np, toeplitz_theory as tt
    >>> report = tt.inspect({"blocks.0.mixer.weight": np.array([1.0, -2.0])})
    >>> chosen(report, "zeros").axes[0].get_title()
    'blocks.0\\nindex -1'
    """
    if what not in ("symbols", "zeros"):
        raise InputError(f"chosen({what!r}): unknown kind; choose symbols or zeros")
    rows = _extremes(report)
    high = 2 if what == "symbols" else 1
    with look():
        figure, axes = panels(high * len(rows), ax, len(rows), (2.5, 1.9 if high == 2 else 2.4))
        artists: list[Any] = []
        for k, row in enumerate(rows):
            column = axes[k :: len(rows)]
            artists += _attempt(column, partial(_draw_row, column, row, what))
            words = index_words(row.index.value if row.index else None) if row.analysed else "not analysed"
            column[0].set_title(f"{label(row.name, 30)}\n{words}", fontsize=8)
        if title:
            figure.suptitle(title, fontsize=9)
        return Drawing(figure, axes, tuple(artists))


def _extremes(report: Report) -> list[Row]:
    """Kernels of the highest, median and lowest index; where none is known, the first ones."""
    if not report.rows:
        raise InputError("the report has no rows to draw")
    indices = [row.index.value if row.index else None for row in report.rows]
    known = [(-index, number) for number, index in enumerate(indices) if index is not None]
    if not known:
        return list(report.rows[:_CHOSEN])
    known.sort()
    places = dict.fromkeys((0, (len(known) - 1) // 2, len(known) - 1))
    return [report.rows[known[k][1]] for k in places]


def _draw_row(axes: Sequence[Axes], row: Row, what: str) -> list[Any]:
    if not row.drawable:
        return [_say(axes[0], row.note)]
    if what == "zeros":
        return draw_zeros(axes[0], row)
    response = response_of(row)
    artists = draw_modulus(axes[0], response, _ONE) + draw_phase(axes[1], response, _ONE)
    axes[0].set_xlabel("")
    return artists


def _attempt(axes: Sequence[Axes], draw: Callable[[], Sequence[Any]]) -> list[Any]:
    """What was drawn; whatever is raised, the other panels stand and this one says why."""
    try:
        return list(draw())
    except Exception as error:
        for ax in axes:
            ax.clear()
            ax.set_axis_off()
        return [_say(axes[0], reason_of(error))]


def _say(ax: Axes, message: str) -> Any:
    ax.set_axis_off()
    folded = "\n".join(textwrap.wrap(label(message, 400), 30))
    text = ax.text(0.5, 0.5, folded, transform=ax.transAxes, ha="center", va="center", fontsize=6.5)
    # A long message may run over its panel; it must not push the other panels aside.
    text.set_in_layout(False)
    return text
