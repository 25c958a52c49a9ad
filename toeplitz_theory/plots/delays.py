"""How late a layer gives its input back, and how far back its outputs reach: curves, or bands of many."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from toeplitz_theory.errors import InputError
from toeplitz_theory.plots.drawing import FAINT, SMALL, Drawing, drawn, label, series
from toeplitz_theory.reports.sentences import counted

if TYPE_CHECKING:
    from toeplitz_theory.operators import Memory, Recovery, Symbol
    from toeplitz_theory.reports import Report, Row

    Curve: TypeAlias = NDArray[np.float64]
    Kernels: TypeAlias = Symbol | Row | Recovery | Memory | Report | Sequence[Symbol | Recovery | Memory]

_SIZE = (3.8, 2.8)
_BESIDE: Any = {"xytext": (3, 0), "textcoords": "offset points", "va": "center", "annotation_clip": False}


def recovery(kernels: Kernels | Mapping[str, Kernels], ax: Any = None) -> Drawing:
    """Draw the share of the input that the outputs give back against the delay, R(L) against L.

    A kernel is a line; several of one name are their median with the middle half shaded. The axis is
    logarithmic from 1 token on and begins at 0: what is given back at once.

    Parameters
    ----------
    kernels : Symbol, Recovery, Report, a sequence of the first two, or a mapping of names to these
        Curves of symbols and reports are those without noise.
    ax : Axes, optional
        Where; a new figure when not given.

    Returns
    -------
    Drawing
        For each name the band, if there are several kernels, and the line.

    Raises
    ------
    InputError
        Nothing to draw, or a kernel of zeros.

    Examples
    --------
    >>> from toeplitz_theory.operators import Symbol
    >>> line = recovery(Symbol([1.0, -2.0])).artists[0]
    >>> line.get_ydata()[:3].round(12).tolist()
    [0.25, 0.8125, 0.953125]
    """
    words = "delay (tokens)", "share of the input given back"
    # Curves that rise to 1 leave the lower right corner free.
    return drawn(ax, _SIZE, _draw, *_curves(kernels, _recovered), words, "lower right", (0.5, 0.9))


def memory(kernels: Kernels | Mapping[str, Kernels], ax: Any = None) -> Drawing:
    """Draw the share of an output that comes from at most k tokens back, against k.

    For white input, and for a kernel that is the energy of its taps; bands and axis as in `recovery`.

    Parameters
    ----------
    kernels : Symbol, Memory, Report, a sequence of the first two, or a mapping of names to these
        A `Memory` may also be that of a whole layer with heads.
    ax : Axes, optional
        Where; a new figure when not given.

    Returns
    -------
    Drawing
        For each name the band, if there are several kernels, and the line.

    Raises
    ------
    InputError
        Nothing to draw, or a kernel of zeros.

    Examples
    --------
    >>> from toeplitz_theory.operators import Symbol
    >>> memory(Symbol([1.0, 0.0, -1.0])).artists[0].get_ydata().tolist()
    [0.5, 0.5, 1.0]
    """
    words = "lag k (tokens back)", "share of an output from lags 0 to k"
    return drawn(ax, _SIZE, _draw, *_curves(kernels, _remembered), words, "best", ())


def _curves(kernels: Any, curve_of: Callable[[Any], Curve]) -> tuple[dict[str, list[Curve]], int]:
    """The curves under their names, and how many kernels of reports have none: those are only counted."""
    named = kernels if isinstance(kernels, Mapping) else {"": kernels}
    groups: dict[str, list[Curve]] = {}
    missing = 0
    for name, group in named.items():
        rows = getattr(group, "rows", None)
        many = group if isinstance(group, (list, tuple)) else [group]
        if rows is None:
            groups[name] = [curve_of(kernel) for kernel in many]
            continue
        groups[name] = []
        for row in rows:
            try:
                groups[name].append(curve_of(row))
            except Exception:  # whatever one kernel raises, the others are drawn
                missing += 1
    if not missing and not (groups and all(groups.values())):
        raise InputError("no kernels to draw: give a symbol, a report with kernels, or names of some")
    return groups, missing


def _recovered(kernel: Any) -> Curve:
    if not hasattr(kernel, "curve"):
        # A symbol computes its curve; a row of a report keeps the one it computed.
        kernel = kernel.recovery() if callable(kernel.recovery) else kernel.recovery
    return kernel.curve


def _remembered(kernel: Any) -> Curve:
    held = kernel if hasattr(kernel, "shares") else getattr(kernel, "symbol", kernel).memory()
    return np.cumsum(held.shares) / held.total


def _draw(
    ax: Axes,
    groups: Mapping[str, list[Curve]],
    missing: int,
    words: tuple[str, str],
    corner: Literal["lower right", "best"],
    marked: tuple[float, ...],
) -> list[Any]:
    """Draw the curves, with the words of both axes, the legend in its corner and the shares to mark."""
    for share in marked:
        ax.axhline(share, color=FAINT, linewidth=0.7, linestyle=":", zorder=0)
        ax.annotate(f"{share:.0%}", (1.0, share), xycoords=("axes fraction", "data"), **_BESIDE, **SMALL)
    artists: list[Any] = []
    last = 1
    for place, (name, curves) in enumerate(groups.items()):
        if not curves:
            continue
        look_of = series(place)
        # As far as all of them are known.
        longest = min(curve.size for curve in curves)
        last = max(last, longest - 1)
        low, middle, high = np.percentile([curve[:longest] for curve in curves], [25, 50, 75], axis=0)
        delays = np.arange(longest)
        if len(curves) > 1:
            shade: Any = {"color": look_of.color, "alpha": 0.15, "linewidth": 0}
            artists.append(ax.fill_between(delays, low, high, step="post", **shade))
        marks = sorted({round(10**x) for x in np.linspace(0, np.log10(max(longest - 1, 1)), 7)} | {0})
        # Between two tokens nothing comes back: the share keeps its value until the next.
        every = [mark for mark in marks if mark < longest]
        marker: Any = {"marker": look_of.marker, "markevery": every, "markersize": 3.5}
        artists += ax.step(delays, middle, where="post", **look_of.line, **marker, label=label(name) or None)
    ax.set_xscale("symlog", linthresh=1.0, linscale=0.5)
    ticks = [0, *(10**k for k in range(7) if 10**k <= last)]
    ax.set_xticks(ticks, [str(tick) for tick in ticks])
    ax.set_xticks([d * 10**k for k in range(7) for d in range(2, 10) if d * 10**k <= last], minor=True)
    ax.set(xlim=(-0.1, last), ylim=(0, 1.02), xlabel=words[0], ylabel=words[1])
    if any(groups) and any(groups.values()):
        ax.legend(loc=corner)
    if missing:
        artists.append(ax.set_title(f"{counted(missing, 'kernel')} could not be drawn", fontsize=7))
    return artists
