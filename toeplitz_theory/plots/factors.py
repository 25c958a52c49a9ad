"""A kernel beside its outer factor: taps, modulus and phase, and how early the energy comes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from toeplitz_theory.operators import Symbol
from toeplitz_theory.plots.drawing import FAINT, INK, Drawing, drawn, series

if TYPE_CHECKING:
    from toeplitz_theory.operators import EnergyDelay, InnerOuter

_SIZE = (3.4, 2.5)
_KERNEL, _OUTER = series(0), series(2)
_POINTS_PER_TAP = 8
_FEW = 40  # taps up to which each has a marker


def energy_delay(a: Symbol | EnergyDelay, ax: Any = None) -> Drawing:
    """Draw the share of the energy in the first taps, of a kernel and of its outer factor.

    The outer curve is never below (Robinson). The dotted verticals are the two mean delays.

    Parameters
    ----------
    a : Symbol or EnergyDelay
        A symbol, or what its `energy_delay` gave.
    ax : Axes, optional
        Where; a new figure when not given.

    Returns
    -------
    Drawing
        The two curves, the area between them and the mean delays.

    Raises
    ------
    InputError
        If the kernel is all zeros.

    Examples
    --------
    >>> from toeplitz_theory.operators import Symbol
    >>> energy_delay(Symbol([1.0, -2.0])).axes[0].get_xlabel()
    'lag m (tokens)'
    """
    delay = a.energy_delay() if isinstance(a, Symbol) else a
    return drawn(ax, _SIZE, _draw_delay, delay)


def _draw_delay(ax: Axes, delay: EnergyDelay) -> list[Any]:
    m = np.arange(delay.kernel.size)
    artists: list[Any] = [
        ax.fill_between(m, delay.kernel, delay.outer, step="post", color=FAINT, alpha=0.25, linewidth=0)
    ]
    rows = (
        (delay.outer, _OUTER, "outer factor", delay.outer_mean_delay),
        (delay.kernel, _KERNEL, "kernel", delay.mean_delay),
    )
    for values, kind, name, mean in rows:
        artists += ax.step(m, values, where="post", **kind.line, label=f"{name}, mean delay {mean:.3g}")
        if m.size <= _FEW:
            artists += ax.plot(m, values, kind.marker, color=kind.color, markersize=3)
    for _, kind, _, mean in rows:
        artists.append(ax.axvline(mean, color=kind.color, linestyle=":", linewidth=0.8))
    ax.set(xlim=(-0.02 * m.size, max(1, m.size - 1) * 1.02), ylim=(0, 1.03))
    ax.set(xlabel="lag m (tokens)", ylabel="energy of taps 0 to m (share)")
    ax.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
    # Above the axes: short kernels leave no corner free.
    ax.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), borderaxespad=0.2)
    return artists


def inner_outer(a: Symbol, ax: Any = None, parts: InnerOuter | None = None) -> Drawing:
    """Draw a kernel's taps and its outer factor's, their common modulus, and the phase of the inner factor.

    The right panel is the part that no causal inverse can undo: over the whole circle its phase rises by
    2 pi for every zero inside, so the number of turns is minus the Fredholm index.

    Parameters
    ----------
    a : Symbol
        The symbol.
    ax : sequence of Axes, optional
        Three; a new figure when not given.
    parts : InnerOuter, optional
        What ``a.inner_outer()`` gave, if it is at hand.

    Returns
    -------
    Drawing
        Taps, moduli and the phase, panel by panel.

    Raises
    ------
    InputError
        If the kernel is all zeros, or there are not three axes.

    Examples
    --------
    >>> from toeplitz_theory.operators import Symbol
    >>> [panel.get_xlabel() for panel in inner_outer(Symbol([1.0, -2.0])).axes]
    ['lag k (tokens)', 'θ / π', 'θ / π']
    """
    return drawn(ax, _SIZE, _draw_parts, a, parts or a.inner_outer(), count=3)


def _draw_parts(left: Axes, middle: Axes, right: Axes, a: Symbol, parts: InnerOuter) -> list[Any]:
    # The upper half of the circle for a real kernel, whose other half is its mirror image, else all of it.
    start = -1.0 if np.iscomplexobj(a.kernel) else 0.0
    turns = np.linspace(start, 1.0, max(400, _POINTS_PER_TAP * len(a)) + 1)
    artists = _draw_taps(left, a, parts) + _draw_modulus(middle, a, parts, turns)
    return artists + _draw_phase(right, parts, turns)


def _draw_taps(ax: Axes, a: Symbol, parts: InnerOuter) -> list[Any]:
    artists: list[Any] = []
    k = np.arange(len(a))
    few = len(a) <= _FEW
    is_complex = np.iscomplexobj(a.kernel)
    # The outer factor's few large taps come first: they are drawn over the kernel's many.
    for kernel, kind, name in ((a.kernel, _KERNEL, "kernel"), (parts.outer.kernel, _OUTER, "outer factor")):
        values = np.abs(kernel) if is_complex else kernel
        style = {**kind.line, "marker": kind.marker} if few else {"color": kind.color}
        artists += ax.plot(k, values, **style, linewidth=0.9, markersize=3.5, label=name)
    ax.axhline(0, color=FAINT, linewidth=0.6, zorder=0)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
    ax.set(xlabel="lag k (tokens)", ylabel="modulus of the tap" if is_complex else "tap")
    ax.legend(loc="best")
    return artists


def _draw_modulus(ax: Axes, a: Symbol, parts: InnerOuter, turns: np.ndarray) -> list[Any]:
    z = np.exp(1j * np.pi * turns)
    artists: list[Any] = ax.plot(turns, np.abs(a(z)), color=_KERNEL.color, linewidth=0.9, label="kernel")
    artists += ax.plot(turns, np.abs(parts.outer(z)), **_OUTER.line, linewidth=1.4, label="outer factor")
    ax.set(yscale="log", xlabel="θ / π", ylabel="|a(exp iθ)|")
    error = parts.factor.modulus_error
    apart = f"|a|² and |outer|² differ by at most {error:.0e} of the mean"
    artists.append(ax.set_title(apart if error else "the same modulus, exactly", fontsize=7, color=INK))
    return artists


def _draw_phase(ax: Axes, parts: InnerOuter, turns: np.ndarray) -> list[Any]:
    phase = _inner_phase(parts, turns)
    artists: list[Any] = ax.plot(turns, phase / (2 * np.pi), color=_KERNEL.color, linewidth=1.0)
    ax.set(xlabel="θ / π", ylabel="phase of the inner factor (turns)")
    count = len(parts.zeros)
    sure = "" if parts.certified else " or more"
    what = f"{count}{sure} turn{'' if count == 1 else 's'} over the whole circle"
    if turns[0] == 0 and count:
        what += ", half of it shown"
    artists.append(ax.set_title(what, fontsize=7, color=INK))
    return artists


def _inner_phase(parts: InnerOuter, turns: np.ndarray) -> np.ndarray:
    """Phase of the inner factor from the left end on, continuous: the sum of the phases of its factors."""
    angle = np.pi * turns
    total = np.zeros(turns.size)
    for zero in np.asarray(parts.zeros):
        # arg of (z - c) / (1 - conj(c) z) on the circle is theta + 2 arg(1 - c / z), |c / z| < 1.
        total += angle + 2 * np.angle(1 - zero * np.exp(-1j * angle))
    return total - total[0]
