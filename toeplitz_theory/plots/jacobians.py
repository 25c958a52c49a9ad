"""Extreme singular values of a block's or a model's Jacobian."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from toeplitz_theory.plots.drawing import Drawing, panels
from toeplitz_theory.plots.style import CURVE, FAINT, INK, INSIDE, look

if TYPE_CHECKING:
    from toeplitz_theory.tmm.jacobian import JacobianSpectrum

_SIZE = (3.6, 2.7)


def jacobian_spectrum(found: JacobianSpectrum, ax: Any = None) -> Drawing:
    """Draw the largest and smallest singular values of a Jacobian, with their residuals and the noise.

    Parameters
    ----------
    found : JacobianSpectrum
        From `toeplitz_theory.tmm.jacobian_spectrum`. A bar reaches one residual up and down: some singular
        value lies in it. Values below the dashed line, drawn where it is
        near, are not told from 0.
    ax : Axes, optional
        Where; a new figure when not given.

    Returns
    -------
    Drawing
        Largest values, smallest values, each with its bars, and the noise level.

    Examples
    --------
    >>> import torch
    >>> from toeplitz_theory.tmm import jacobian_spectrum as spectrum
    >>> found = spectrum(lambda x: torch.tensor([3.0, 2.0, 0.5], dtype=x.dtype) * x, torch.zeros(3))
    >>> jacobian_spectrum(found).axes[0].get_ylabel()
    'log10 σ_i of the Jacobian, N = 3'
    """
    size = min(found.shape)
    first = 1 + np.arange(found.largest.size)
    last = size - np.arange(found.smallest.size)[::-1]
    shift = max(int(last[0]) - int(first[-1]) - 3, 0)  # the numbers between are left out
    with look():
        figure, (axes,) = panels(1, ax, 1, _SIZE)
        artists: list[Any] = []
        for number, values, residuals, marker, color, label in (
            (first, found.largest, found.largest_residual, "o", CURVE, "largest"),
            (last - shift, found.smallest, found.smallest_residual, "^", INSIDE, "smallest"),
        ):
            artists += _values(axes, number, values, residuals, found.noise, (marker, color, label))
        if found.noise > 0 and found.smallest[-1] < 1e3 * found.noise:  # far below, it would squash the rest
            artists.append(axes.axhline(np.log10(found.noise), color=INK, linestyle="--", linewidth=0.8))
            axes.annotate(
                "rounding: not told from 0", (first[0], np.log10(found.noise)), va="bottom", fontsize=7
            )
        if shift:
            axes.axvline(first[-1] + 1.5, color=FAINT, linewidth=0.8, zorder=0)
        ends = sorted({1, int(first[-1]), int(last[0]), int(last[-1])})
        axes.set_xticks([i if i <= first[-1] else i - shift for i in ends], [str(i) for i in ends])
        axes.set_xlabel("number i" + (" (those between are left out)" if shift else ""))
        axes.set_ylabel(f"log10 σ_i of the Jacobian, N = {size}")
        axes.legend()
        return Drawing(figure, (axes,), tuple(artists))


def _values(
    axes: Any, number: Any, values: Any, residuals: Any, noise: float, style: tuple[str, str, str]
) -> list[Any]:
    """Draw values above 0 with bars of one residual, cut at the noise."""
    marker, color, label = style
    positive = values > 0
    number, values = number[positive], values[positive]
    spread = np.nan_to_num(residuals[positive])
    lowest = np.maximum(values - spread, min(noise, values.min()) if values.size and noise > 0 else 1e-300)
    bars = axes.vlines(number, np.log10(lowest), np.log10(values + spread), color=color, linewidth=0.8)
    points = axes.plot(number, np.log10(values), marker, color=color, fillstyle="none", label=label)
    return [*points, bars]
