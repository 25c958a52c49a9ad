"""A symbol along the circle as engineers draw it: modulus in decibels, phase in turns, group delay."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from matplotlib.axes import Axes

from toeplitz_theory.errors import InputError
from toeplitz_theory.plots.drawing import BACKED, FAINT, SMALL, Drawing, Series, label, look, panels, series

if TYPE_CHECKING:
    from toeplitz_theory.operators import Response, Symbol
    from toeplitz_theory.reports import Row

    Drawable: TypeAlias = Symbol | Response | Row

_SIZE = (3.0, 2.4)
_DEEPEST = 80.0  # decibels below the largest modulus that are shown
_PEAKS = 2.0  # percent of the group delay above and below the field


def bode(a: Drawable | Mapping[str, Drawable], ax: Any = None) -> Drawing:
    """Draw modulus, phase and group delay along the unit circle, for one kernel or several.

    The phase is that of a(exp(i theta)) from 0 on, unwrapped: over the whole circle it rises by one turn for
    each zero inside. The group delay's mean, dotted, is minus the Fredholm index: the mean delay in tokens.
    Its highest peaks and the deepest 80 decibels are cut off.

    Parameters
    ----------
    a : Symbol, Response, Row of a report, or mapping of names to these
        Of a real kernel the upper half of the circle, whose mirror image is the lower one.
    ax : sequence of Axes, optional
        Three; a new figure when not given.

    Returns
    -------
    Drawing
        For each kernel modulus, phase, group delay and its mean.

    Raises
    ------
    InputError
        Nothing to draw, a kernel of zeros, or not three axes.

    Examples
    --------
    >>> from toeplitz_theory.operators import Symbol
    >>> phase = bode(Symbol([0.0, 1.0])).artists[1]
    >>> [float(x) for x in phase.get_xdata()[[0, -1]]], [float(y) for y in phase.get_ydata()[[0, -1]]]
    ([0.0, 1.0], [0.0, 0.5])
    """
    named = a if isinstance(a, Mapping) else {"": a}
    if not named:
        raise InputError("bode: no kernels given; pass a symbol, or names of some")
    responses = {name: response_of(one) for name, one in named.items()}
    with look():
        figure, axes = panels(3, ax, 3, _SIZE)
        artists: list[Any] = []
        for number, (name, response) in enumerate(responses.items()):
            style = series(number) if len(responses) > 1 else Series(series(1).color, "", "-")
            artists += draw_modulus(axes[0], response, style, name)
            artists += draw_phase(axes[1], response, style)
            artists += draw_group_delay(axes[2], response, style)
        _frame_delays(axes[2], list(responses.values()))
        if any(responses):
            axes[0].legend(loc="best")
        return Drawing(figure, axes, tuple(artists))


def response_of(one: Any) -> Response:
    """The response of a symbol or of a report's row; one that is computed as it is."""
    if hasattr(one, "group_delay"):
        return one
    return getattr(one, "symbol", one).response()


def draw_modulus(ax: Axes, response: Response, style: Series, name: str = "") -> list[Any]:
    """Draw decibels against the angle, the deepest cut off."""
    shown = np.maximum(response.decibels, response.decibels.max() - _DEEPEST)
    ax.set(xlabel="θ / π", ylabel="|a(exp iθ)| (dB)")
    return ax.plot(response.angle / np.pi, shown, **style.line, linewidth=0.8, label=label(name) or None)


def draw_phase(ax: Axes, response: Response, style: Series) -> list[Any]:
    """Draw the turns of the phase from angle 0 on, and say if one may be missed."""
    ax.set(xlabel="θ / π", ylabel="phase (turns)")
    if not response.certified:
        ax.set_title("phase not proved: a zero next to the circle", fontsize=7)
    turns = (response.phase - response.phase[0]) / (2 * np.pi)
    return ax.plot(response.angle / np.pi, turns, **style.line, linewidth=1.0)


def draw_group_delay(ax: Axes, response: Response, style: Series) -> list[Any]:
    """Draw the group delay, and its mean over the circle where the phase is proved."""
    ax.set(xlabel="θ / π", ylabel="group delay (tokens)")
    angle = response.angle / np.pi
    artists = ax.plot(angle, response.group_delay, **style.line, linewidth=0.6, alpha=0.8)
    if response.certified:
        mean = round(2 * response.turns / angle[-1])  # the turns of a closed curve
        artists.append(ax.axhline(mean, color=style.color, linestyle=":", linewidth=1.0))
        words: Any = SMALL | {"ha": "right", "va": "bottom", "color": style.color}
        box = BACKED | {"pad": 0.4, "alpha": 0.8}
        ax.annotate(f"mean {mean}", (0.98, mean), xycoords=("axes fraction", "data"), bbox=box, **words)
    return artists


def _frame_delays(ax: Axes, responses: list[Response]) -> None:
    ends: list[float] = []
    for response in responses:
        # Equal steps of the angle, since the points gather where the delay has its peaks.
        even = np.interp(np.linspace(0, response.angle[-1], 512), response.angle, response.group_delay)
        ends += np.nanpercentile(even, [_PEAKS, 100 - _PEAKS]).tolist() if np.isfinite(even).any() else [0.0]
    low, high = min(*ends, 0.0) if len(ends) > 1 else 0.0, max(ends)
    room = 0.25 * (high - low) or 1.0
    ax.set_ylim(low - room, high + room)
    ax.axhline(0.0, color=FAINT, linewidth=0.6, zorder=0)
