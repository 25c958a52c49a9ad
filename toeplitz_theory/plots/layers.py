"""What layers give back and what it costs, by their place in the model: kernels, middle half, median."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import SymmetricalLogLocator

from toeplitz_theory.errors import InputError
from toeplitz_theory.plots.drawing import (
    FAINT,
    INK,
    Drawing,
    Series,
    label,
    letter,
    look,
    note,
    panels,
    series,
)
from toeplitz_theory.reports.verdict import layer_places, stacks

if TYPE_CHECKING:
    from toeplitz_theory.reports import Report

# Column, label, and whether the axis is logarithmic away from 0.
_QUANTITIES = (
    ("delay_90", "90 % back after (tokens)", True),
    ("index", "index = minus the mean delay", True),
    ("jensen_deficit", "Jensen deficit (nats per token)", False),
    ("log10_condition", "log10 condition, n x n matrix", False),
)
_SPREAD = 0.75  # of the distance between two layers, what the markers of all models take
_GAP = 0.7  # between two stacks of layers, in distances of layers
_MOST_DOTS = 200  # kernels of a model that are drawn one by one
_EXPLAINED = "line: median of a layer's kernels; bar: their middle half; "


def by_layer(reports: Mapping[str, Report], ax: Any = None) -> Drawing:
    """Draw four quantities side by side against the layer's place in the model.

    Delay, index, Jensen deficit and condition. Of each layer the median, joined by a line, and the middle
    half of its kernels as a bar; up to 200 kernels also one by one. Layers whose names differ in more than
    a number, such as those of an encoder and of a decoder, stand apart. Infinite values are open triangles
    at the upper edge; values that are not known are counted in the panel.

    Parameters
    ----------
    reports : mapping of str to Report
        Model name to report; a name "" has no entry in the legend.
    ax : sequence of Axes, optional
        Four; a new figure when not given.

    Returns
    -------
    Drawing
        Lines, bars and markers, panel by panel.

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
        figure, axes = panels(len(_QUANTITIES), ax, 2, (3.5, 2.5))
        artists: list[Any] = []
        for panel, (column, title, logarithmic) in zip(axes, _QUANTITIES, strict=True):
            artists += _draw_quantity(panel, reports, column)
            if logarithmic:
                panel.set_yscale("symlog", linthresh=1.0)
                panel.yaxis.set_major_locator(SymmetricalLogLocator(linthresh=1.0, base=10, subs=[1, 2, 5]))
                panel.yaxis.set_major_formatter("{x:g}")
            _label_layers(panel, reports)
            panel.set_ylabel(title)
            panel.margins(y=0.12)
            # From 0, which is what each quantity is measured against: a layer from which nothing is lost.
            panel.set(ylim=(None, 0.0) if column == "index" else (0.0, None))
        letter(axes)
        if ax is None:
            most = max(len(report.rows) for report in reports.values())
            rest = "small: single kernels" if most <= _MOST_DOTS else "thin: from the least to the largest"
            figure.supxlabel(_EXPLAINED + rest, fontsize=7, color=INK)
        if any(reports):
            lines, names = axes[0].get_legend_handles_labels()
            if ax is None:  # above the panels, where it hides no kernel
                figure.legend(lines, names, loc="outside upper center", ncols=min(len(names), 6))
            else:
                axes[0].legend(loc="best")
        return Drawing(figure, axes, tuple(artists))


def _stacks(report: Report) -> list[list[str]]:
    return stacks(list(dict.fromkeys(row.layer for row in report.rows)))


def _label_layers(ax: Axes, reports: Mapping[str, Report]) -> None:
    longest = max(reports.values(), key=lambda report: len({row.layer for row in report.rows}))
    names = {tuple(dict.fromkeys(row.layer for row in report.rows)) for report in reports.values()}
    groups = _stacks(longest)
    places, ticks = layer_places(groups, _GAP)
    starts = {places[group[0]]: label(group[0], 18) for group in groups}
    if len(names) == 1 and len(groups) > 1:  # the stack's name below its first number
        ticks = [(x, f"{text}\n{starts[x]}" if x in starts else text) for x, text in ticks]
    ax.set_xticks([x for x, _ in ticks], [text for _, text in ticks])
    ax.set_xlabel("layer")
    for x in list(starts)[1:]:
        ax.axvline(x - (1 + _GAP) / 2, color=FAINT, linewidth=0.6, linestyle=":")


def _draw_quantity(ax: Axes, reports: Mapping[str, Report], column: str) -> list[Any]:
    artists: list[Any] = []
    missing = 0
    for number, (name, report) in enumerate(reports.items()):
        places, _ = layer_places(_stacks(report), _GAP)
        values = [row.cells()[column] for row in report.rows]
        value = np.array([np.nan if one is None else float(one) for one in values])
        place = np.array([places[row.layer] for row in report.rows], dtype=float)
        missing += int(np.isnan(value).sum())
        # Side by side: at the same place a hundred markers of one model would hide the others.
        beside = _SPREAD * (number - (len(reports) - 1) / 2) / len(reports)
        artists += _draw_model(ax, place + beside, value, series(number), name)
    if missing:
        artists.append(note(ax, 0.02, 0.98, f"{missing} not known", va="top"))
    return artists


def _draw_model(ax: Axes, place: np.ndarray, value: np.ndarray, look_of: Series, name: str) -> list[Any]:
    finite = np.isfinite(value)
    layers = np.unique(place)
    groups = [value[finite & (place == layer)] for layer in layers]
    # A layer of which nothing finite is known breaks the line, and so does the gap between two stacks.
    medians = [np.median(group) if group.size else np.nan for group in groups]
    ends = np.flatnonzero(np.diff(layers) > 1 + _GAP / 2) + 1
    x, y = (np.insert(values, ends, np.nan) for values in (layers, medians))
    above: Any = {"marker": look_of.marker, "clip_on": False, "zorder": 3}
    artists: list[Any] = ax.plot(x, y, **look_of.line, **above, label=label(name) or None)
    hollow: Any = {"color": look_of.color, "linestyle": "none", "fillstyle": "none", "clip_on": False}
    if layers.size < place.size:
        for layer, group in zip(layers, groups, strict=True):
            if group.size > 1:
                half = np.percentile(group, [25, 75])
                wide: Any = {"color": look_of.color, "linewidth": 5, "alpha": 0.3, "solid_capstyle": "butt"}
                artists += ax.plot([layer, layer], half, **wide)
            if group.size and place.size > _MOST_DOTS:
                ends_of = [group.min(), group.max()]
                artists += ax.plot([layer, layer], ends_of, color=look_of.color, linewidth=0.7)
        if place.size <= _MOST_DOTS:
            small: Any = {"marker": look_of.marker, "markersize": 2, "markeredgewidth": 0.5, "alpha": 0.7}
            artists += ax.plot(place[finite], value[finite], **small, **hollow)
    endless = np.isposinf(value)
    if endless.any():
        # In the axes' own height, so that infinities do not stretch the scale.
        top, upright = np.full(int(endless.sum()), 0.985), ax.get_xaxis_transform()
        artists += ax.plot(place[endless], top, transform=upright, marker="^", markersize=6, **hollow)
        artists.append(note(ax, 1.0, 1.0, "△ inf", ha="right", va="bottom"))
    return artists
