"""Index, Jensen deficit, condition and nullity by layer, one line per model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, SymmetricalLogLocator

from toeplitz_theory.errors import InputError
from toeplitz_theory.plots.drawing import INK, Drawing, Series, label, look, panels, series

if TYPE_CHECKING:
    from toeplitz_theory.reports import Report

# Column, label, and whether the axis is logarithmic away from 0.
_QUANTITIES = (
    ("index", "index of T(a) on l2(N)", True),
    ("jensen_deficit", "Jensen deficit (nats per token)", True),
    ("log10_condition", "log10 condition, n x n matrix", False),
    ("nullity", "nullity, n x n matrix", True),
)

# Of the distance between two layers, what the markers of all models take.
_SPREAD = 0.6


def by_layer(reports: Mapping[str, Report], ax: Any = None) -> Drawing:
    """Draw the four meanings of invertibility side by side against the layer's place in the model.

    Every kernel is a marker and the median over a layer's heads is the line. Infinite values are open
    triangles at the upper edge; values that are not known are counted in the panel.

    Parameters
    ----------
    reports : mapping of str to Report
        Model name to report; a name "" has no entry in the legend.
    ax : sequence of Axes, optional
        Four; a new figure when not given.

    Returns
    -------
    Drawing
        Lines and markers, panel by panel.

    Raises
    ------
    InputError
        No reports, or not four axes.

    Examples
    --------
    >>> import numpy as np, toeplitz_theory as tt
    >>> report = tt.inspect({"blocks.0.mixer.weight": np.array([1.0, -2.0])})
    >>> [panel.get_xlabel() for panel in by_layer({"a": report}).axes][0]
    'layer'
    """
    if not reports:
        raise InputError("by_layer: no reports given; pass a mapping of names to reports")
    with look():
        figure, axes = panels(len(_QUANTITIES), ax, 2, (3.4, 2.4))
        artists: list[Any] = []
        for panel, (column, title, logarithmic) in zip(axes, _QUANTITIES, strict=True):
            artists += _draw_quantity(panel, reports, column)
            if logarithmic:
                panel.set_yscale("symlog", linthresh=1.0)
                panel.yaxis.set_major_locator(SymmetricalLogLocator(linthresh=1.0, base=10, subs=[1, 2, 5]))
                panel.yaxis.set_major_formatter("{x:g}")
            panel.set_xlabel("layer")
            panel.set_ylabel(title)
            panel.xaxis.set_major_locator(MaxNLocator(integer=True))
            panel.margins(y=0.12)
            # From 0, which is what each quantity is measured against: a layer from which nothing is lost.
            if column == "index":
                panel.set_ylim(top=0.0)
            else:
                panel.set_ylim(bottom=0.0)
        if any(reports):
            axes[0].legend(loc="best")
        return Drawing(figure, axes, tuple(artists))


def _draw_quantity(ax: Axes, reports: Mapping[str, Report], column: str) -> list[Any]:
    artists: list[Any] = []
    missing = 0
    for number, (name, report) in enumerate(reports.items()):
        place, value = _points(report, column)
        missing += int(np.isnan(value).sum())
        # Side by side: at the same place a hundred markers of one model would hide the others.
        beside = _SPREAD * (number - (len(reports) - 1) / 2) / len(reports)
        artists += _draw_model(ax, place + beside, value, series(number), name)
    if missing:
        artists.append(
            ax.text(
                0.02, 0.98, f"{missing} not known", transform=ax.transAxes, va="top", fontsize=6.5, color=INK
            )
        )
    return artists


def _points(report: Report, column: str) -> tuple[np.ndarray, np.ndarray]:
    """Place of the layer, from 0, and value, nan where there is none, for each kernel."""
    layers = list(dict.fromkeys(row.layer for row in report.rows))
    values = [row.cells()[column] for row in report.rows]
    place = np.array([layers.index(row.layer) for row in report.rows], dtype=float)
    return place, np.array([np.nan if value is None else float(value) for value in values])


def _draw_model(ax: Axes, place: np.ndarray, value: np.ndarray, look_of: Series, name: str) -> list[Any]:
    finite = np.isfinite(value)
    layers = np.unique(place)
    groups = [value[finite & (place == layer)] for layer in layers]
    # A layer of which nothing finite is known breaks the line.
    medians = [np.median(group) if group.size else np.nan for group in groups]
    alone = layers.size == place.size
    artists: list[Any] = ax.plot(
        layers,
        medians,
        color=look_of.color,
        linestyle=look_of.linestyle,
        # With heads the medians bear no marker, but the legend shows the one of the heads.
        marker=look_of.marker,
        markevery=None if alone else [],
        fillstyle="full" if alone else "none",
        clip_on=False,
        label=label(name) or None,
    )
    if not alone:
        artists += ax.plot(
            place[finite],
            value[finite],
            color=look_of.color,
            marker=look_of.marker,
            linestyle="none",
            markersize=3,
            fillstyle="none",
            clip_on=False,
        )
    endless = np.isposinf(value)
    if endless.any():
        # In the axes' own height, so that infinities do not stretch the scale.
        artists += ax.plot(
            place[endless],
            np.full(int(endless.sum()), 0.985),
            transform=ax.get_xaxis_transform(),
            color=look_of.color,
            marker="^",
            markersize=6,
            fillstyle="none",
            linestyle="none",
            clip_on=False,
        )
        artists.append(
            ax.text(
                1.0, 1.0, "△ inf", transform=ax.transAxes, ha="right", va="bottom", fontsize=6.5, color=INK
            )
        )
    return artists
