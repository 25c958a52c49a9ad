"""Bits per token through a layer against the signal-to-noise ratio, with Szego's limit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes

from toeplitz_theory.plots.drawing import Drawing, panels
from toeplitz_theory.plots.style import FAINT, INK, look, series

if TYPE_CHECKING:
    from toeplitz_theory.operators import CausalToeplitz, InformationCurve

_SIZE = (3.8, 2.8)
_DECIBELS = np.linspace(-20.0, 60.0, 33)
_SECTION, _LIMIT = series(1), series(0)


def information(T: CausalToeplitz | InformationCurve, ax: Any = None) -> Drawing:
    """Draw the information rate of a section and its limit for long sequences against the ratio in decibels.

    Parameters
    ----------
    T : CausalToeplitz or InformationCurve
        A section, drawn from -20 to 60 dB, or what its `information_curve` gave.
    ax : Axes, optional
        Where; a new figure when not given.

    Returns
    -------
    Drawing
        The rate of the section, the limit, and the rate of the identity.

    Raises
    ------
    NumericalError
        If the kernel is so large that the rate overflows.

    Examples
    --------
    >>> from toeplitz_theory.operators import CausalToeplitz
    >>> information(CausalToeplitz([1.0, 0.5], n=16)).axes[0].get_ylabel()
    'information (bits per token)'
    """
    curve = T if hasattr(T, "limit") else T.information_curve(10 ** (_DECIBELS / 10))
    with look():
        figure, axes = panels(1, ax, 1, _SIZE)
        return Drawing(figure, axes, tuple(_draw(curve, axes[0])))


def _draw(curve: InformationCurve, ax: Axes) -> list[Any]:
    order = np.argsort(curve.snr)
    decibels = 10 * np.log10(curve.snr[order])
    identity = 0.5 * np.log2(1 + curve.snr[order])
    artists: list[Any] = ax.plot(decibels, identity, color=FAINT, linewidth=0.9, label="identity layer")
    artists += ax.plot(
        decibels, curve.limit[order], color=_LIMIT.color, linewidth=1.0, label="Szegő's limit, n → ∞"
    )
    artists += ax.plot(
        decibels,
        curve.value[order],
        color=_SECTION.color,
        linestyle=_SECTION.linestyle,
        linewidth=1.6,
        label=f"this section, n = {curve.n}",
    )
    unsure = np.maximum(curve.error, curve.limit_error)[order] > 0.01 * np.maximum(curve.limit[order], 1e-300)
    if unsure.any():
        artists += ax.plot(
            decibels[unsure], curve.limit[order][unsure], "x", color=INK, label="known to 1 % or worse"
        )
    ax.set_xlabel("signal-to-noise ratio at the input (dB)")
    ax.set_ylabel("information (bits per token)")
    ax.set_ylim(bottom=0)
    ax.margins(x=0.02)
    ax.legend(loc="upper left")
    return artists
