"""Curves of what a model keeps: value against steps back, delay or position, with its interval."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from toeplitz_theory.errors import InputError
from toeplitz_theory.plots.drawing import FAINT, Drawing, Series, label, look, panels, series

if TYPE_CHECKING:
    from toeplitz_theory.retention import Measured

_SIZE = (4.2, 2.8)
# What the curve runs along; bands of lags are drawn at their far end, the sum up to which is known there.
_ALONG = {"to": "steps back", "lag": "steps back", "delay": "tokens later", "position": "position"}


def retention_curves(measured: Measured | Mapping[str, Measured], ax: Any = None) -> Drawing:
    """Draw one measure of one model or of several, the last layer of each.

    Parameters
    ----------
    measured : Measured, or mapping of name to Measured
        Of one kind, from `toeplitz_theory.retention`.
    ax : Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    Drawing
        A line for each model with the band of its interval. Dimensions are drawn as their sum up to k steps
        back, since a memory of far tokens is a little at each of many lags; their sum has no band. Of an
        exact reconstruction the distance of the second-nearest token is drawn, and dotted that of the
        nearest: the medians over prompts.

    Raises
    ------
    InputError
        Measures of different kinds, or none.

    Examples
    --------
    >>> from toeplitz_theory.retention import Measured
    >>> one = Measured("recall", "bits", 1.0, (0.9, 1.1), 9, {"all": 3.0}, 0.1,
    ...                {"lag": [0, 1], "value": [2.0, 1.0], "lower": [1.9, 0.9], "upper": [2.1, 1.1]})
    >>> len(retention_curves(one).axes)
    1
    """
    each = dict(measured) if isinstance(measured, Mapping) else {measured.name: measured}
    kinds = {one.name for one in each.values()}
    if len(kinds) != 1:
        raise InputError(f"measures of {len(kinds)} kinds: pass those of one kind, by model")
    first = next(iter(each.values()))
    summed, exact = first.unit == "dimensions", "second" in first.columns
    height = f"{first.name}{', sum' if summed else ''}, {first.unit}"
    along = next(name for name in _ALONG if name in first.columns)
    with look():
        figure, (axes,) = panels(1, ax, 1, _SIZE)
        artists: list[Any] = []
        for number, (name, one) in enumerate(each.items()):
            style = series(number)
            if exact:
                artists += _margins(axes, one, style, name)
            else:
                artists += _curve(axes, one, style, name, along, summed)
        if not exact:
            axes.axhline(0.0, color=FAINT, linewidth=0.6)
        if along != "position":
            _by_powers_of_two(axes, max(max(one.columns[along]) for one in each.values()))
        axes.set(xlabel=_ALONG[along], ylabel="distance of the nearest tokens' states" if exact else height)
        if len(each) > 1:
            axes.legend(loc="best")
    return Drawing(figure, (axes,), tuple(artists))


def _curve(axes: Any, one: Measured, style: Series, name: str, along: str, summed: bool) -> list[Any]:
    x, value, lower, upper = _last_layer(one, along)
    height = np.cumsum(value) if summed else value
    marks: Any = {"marker": style.marker, "markersize": 3, "markevery": max(1, len(x) // 12)}
    artists = axes.plot(x, height, **style.line, **marks, label=label(name))
    if not summed:
        artists.append(axes.fill_between(x, lower, upper, color=style.color, alpha=0.2, linewidth=0))
    return artists


def _margins(axes: Any, one: Measured, style: Series, name: str) -> list[Any]:
    """Draw how far the two nearest tokens' states are, by position; a distance of 0 is left out."""
    artists = []
    position = np.array(one.columns["position"])
    places = np.unique(position)
    for column, kind, text in (("second", style.linestyle, name), ("nearest", ":", "")):
        distance = np.array(one.columns[column], float)
        middle = np.array([np.median(distance[position == place]) for place in places])
        middle[middle <= 0] = np.nan
        look_of: Any = {"color": style.color, "linestyle": kind, "marker": style.marker}
        artists += axes.plot(places, middle, **look_of, label=label(text))
    axes.set_yscale("log")
    return artists


def _by_powers_of_two(axes: Any, farthest: float) -> None:
    axes.set_xscale("symlog", linthresh=1, linscale=0.5)
    ticks = [0, *(2**k for k in range(int(np.log2(max(2, farthest))) + 1))]
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.set_xlim(-0.15, farthest * 1.05 + 0.1)


def _last_layer(one: Measured, along: str) -> tuple[np.ndarray, ...]:
    """Return x, value, lower and upper of the last layer there is."""
    columns = {name: np.array(one.columns[name], float) for name in (along, "value", "lower", "upper")}
    keep = np.ones(len(columns["value"]), dtype=bool)
    if "layer" in one.columns:
        layers = np.array(one.columns["layer"])
        keep = layers == layers.max()
    return tuple(column[keep] for column in columns.values())
