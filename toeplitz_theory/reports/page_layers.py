"""Charts of the page: what the kernels of each layer do."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape
from statistics import median

import numpy as np
from markupsafe import Markup

from toeplitz_theory.names import shown
from toeplitz_theory.reports.html import render
from toeplitz_theory.reports.rows import Row
from toeplitz_theory.reports.sentences import number
from toeplitz_theory.reports.svg import Chart, Scale, drawn, linear, tokens
from toeplitz_theory.reports.verdict import MOST_DRAWN, layer_places, stacks

_GAP = 0.6  # between two stacks of layers, in distances of layers
_WIDTH = 0.7  # that a layer's dots take, of the distance of two layers

# Heading, value of a kernel, and whether its axis is that of tokens.
_CHARTS: tuple[tuple[str, Callable[[Row], float | None], bool], ...] = (
    ("90 % of the input back after (tokens)", lambda row: row.delay_90, True),
    ("mean delay = minus the index (tokens)", lambda row: row.mean_delay, True),
    ("Jensen deficit (nats per token)", lambda row: row.cells()["jensen_deficit"], False),
    ("log10 condition of the n x n matrix", lambda row: row.cells()["log10_condition"], False),
)


def charts(rows: Sequence[Row], linked: frozenset[int]) -> Markup:
    """Up to four charts of kernels by layer; one whose place is in ``linked`` is a link to its panel.

    Examples
    --------
    >>> row = Row("blocks.0", None, 1, "float32", "w", "flat", np.ones(1))
    >>> charts([row], frozenset()).count("not known")  # one chart, with nothing in it
    1
    """
    each = len(rows) <= MOST_DRAWN
    about = "Line: median of a layer's kernels. Bar: their middle half."
    if each:
        about += " Dot: one kernel; hover for its name, click for its drawings."
    else:
        about += " Thin line: from the least to the largest."
    groups = stacks(list(dict.fromkeys(row.layer for row in rows)))
    if len(groups) > 1:
        about += " Groups from left to right: " + ", ".join(
            shown(g[0]) if len(g) == 1 else f"{shown(g[0])} to {shown(g[-1])}" for g in groups
        )
    # What a quick look left out has no chart.
    there = [chart for chart in _CHARTS if any(chart[1](row) is not None for row in rows)] or _CHARTS[:1]
    pictures = [Markup(_chart(rows, groups, chart, linked, each)) for chart in there]
    return render("charts.html", pictures=pictures, about=about)


def _chart(
    rows: Sequence[Row],
    groups: list[list[str]],
    chart: tuple[str, Callable[[Row], float | None], bool],
    linked: frozenset[int],
    each: bool,
) -> str:
    heading, value_of, in_tokens = chart
    places, ticks = layer_places(groups, _GAP)
    values = [None if (v := value_of(row)) is None or math.isnan(v) else float(v) for row in rows]
    known = [v for v in values if v is not None and math.isfinite(v)]
    top = max(known, default=1.0)
    top = top if top > 0 else 1.0
    end = max(places.values(), default=0.0)
    x = Scale(lambda v: (np.asarray(v) + 0.6) / (end + 1.2), ticks)
    canvas = Chart(x, tokens(top) if in_tokens else linear(0.0, top), ("layer", heading))
    dots = []
    for layer, place in places.items():
        inside = [k for k, row in enumerate(rows) if row.layer == layer]
        _summarise(canvas, place, [v for k in inside if (v := values[k]) is not None], not each)
        if each:
            for order, k in enumerate(inside):
                beside = _WIDTH * ((order + 0.5) / len(inside) - 0.5)
                dots.append(_dot(canvas, rows[k], k, place + beside, values[k], linked))
    canvas.body += dots
    missing = sum(v is None for v in values)
    if missing:
        canvas.note(620, canvas.top - 16, f"{missing} not known", "end")
    return drawn(f"{heading}, by layer", canvas)


def _summarise(canvas: Chart, place: float, values: list[float], whole: bool) -> None:
    """The median of a layer, its middle half and its ``whole`` range; infinities lie at the upper edge."""
    if not values:
        return
    low, high = np.quantile(values, (0.25, 0.75), method="nearest")
    middle = median(values)
    at = canvas.along(place)
    half = max(6, canvas.along(0.35) - canvas.along(0.0))
    if whole:
        canvas.body.append(
            f'<path class="edge" d="M{at} {canvas.up(max(values))}V{canvas.up(min(values))}"/>'
        )
    top, bottom = canvas.up(float(high)), canvas.up(float(low))
    if bottom > top:
        canvas.body.append(f'<path class="half" d="M{at} {top}V{bottom}"/>')
    canvas.body.append(f'<path class="median" d="M{at - half} {canvas.up(middle)}h{2 * half}"/>')


def _dot(canvas: Chart, row: Row, place: int, x: float, value: float | None, linked: frozenset[int]) -> str:
    if value is None:
        return ""
    words = escape(f"{shown(row.name)}: {number(value)}")
    dot = f'<circle class="dot" cx="{canvas.along(x)}" cy="{canvas.up(value)}" r="6">'
    dot += f"<title>{words}</title></circle>"
    return f'<a href="#k{place}">{dot}</a>' if place in linked else dot
