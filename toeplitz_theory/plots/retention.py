"""Curves of what a model keeps: value against steps back, delay or position, with its interval."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from toeplitz_theory.errors import InputError
from toeplitz_theory.plots.drawing import FAINT, Drawing, look, panels, series

if TYPE_CHECKING:
    from toeplitz_theory.retention import Measured

_SIZE = (4.2, 2.8)
_ALONG = {"lag": "steps back", "delay": "tokens later", "position": "position"}


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
        back, since a memory of far tokens is a little at each of many lags; their sum has no band.

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
    summed = first.unit == "dimensions"
    along = next(name for name in _ALONG if name in first.columns)
    with look():
        figure, (axes,) = panels(1, ax, 1, _SIZE)
        artists: list[Any] = []
        for number, (name, one) in enumerate(each.items()):
            style = series(number)
            x, value, lower, upper = _last_layer(one, along)
            if summed:
                value = np.cumsum(value)
            artists.extend(
                axes.plot(
                    x,
                    value,
                    color=style.color,
                    linestyle=style.linestyle,
                    marker=style.marker,
                    markersize=3,
                    markevery=max(1, len(x) // 12),
                    label=name,
                )
            )
            if not summed:
                artists.append(axes.fill_between(x, lower, upper, color=style.color, alpha=0.2, linewidth=0))
        axes.axhline(0.0, color=FAINT, linewidth=0.6)
        if along != "position":
            axes.set_xscale("symlog", linthresh=1, linscale=0.5)
            ticks = [0, *(2**k for k in range(int(np.log2(max(2, x.max()))) + 1))]
            axes.set_xticks(ticks, [str(tick) for tick in ticks])
            axes.minorticks_off()
            axes.set_xlim(-0.15, x.max() * 1.05)
        axes.set_xlabel(_ALONG[along])
        axes.set_ylabel(f"{first.name}{', sum' if summed else ''}, {first.unit}")
        if len(each) > 1:
            axes.legend(loc="best")
    return Drawing(figure, (axes,), tuple(artists))


def _last_layer(one: Measured, along: str) -> tuple[np.ndarray, ...]:
    """Return x, value, lower and upper of the last layer there is."""
    columns = {name: np.array(one.columns[name], float) for name in (along, "value", "lower", "upper")}
    keep = np.ones(len(columns["value"]), dtype=bool)
    if "layer" in one.columns:
        layers = np.array(one.columns["layer"])
        keep = layers == layers.max()
    return tuple(column[keep] for column in columns.values())
