"""Singular values of finite sections, one section or many."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from toeplitz_theory.plots.drawing import Drawing, panels
from toeplitz_theory.plots.style import CURVE, FAINT, INK, INSIDE, look

if TYPE_CHECKING:
    from toeplitz_theory.operators import CausalToeplitz
    from toeplitz_theory.operators.sections.splitting import Splitting

_SIZE = (3.6, 2.7)


def singular_values(section: CausalToeplitz, ax: Any = None) -> Drawing:
    """Draw all singular values of a section over the noise of a float64 SVD.

    Parameters
    ----------
    section : CausalToeplitz
        Those below the dashed line are noise in any dense float64 SVD, and right here.
    ax : Axes, optional
        Where; a new figure when not given.

    Returns
    -------
    Drawing
        Values above the noise, values below, the noise level, and how many are exactly 0.

    Examples
    --------
    >>> from toeplitz_theory.operators import CausalToeplitz
    >>> singular_values(CausalToeplitz([1.0, -2.0], n=40)).axes[0].get_xlabel()
    'number i'
    """
    logs = section.singular_values(full=True).log10  # also of values below float64's range
    n = logs.size
    with look():
        figure, (axes,) = panels(1, ax, 1, _SIZE)
        number = np.arange(1, n + 1)
        noise = logs[0] + np.log10(n * 2.0**-53)
        above, below = logs > noise, (logs <= noise) & np.isfinite(logs)
        artists: list[Any] = axes.plot(number[above], logs[above], ".", color=CURVE)
        artists += axes.plot(
            number[below],
            logs[below],
            "^",
            color=INSIDE,
            fillstyle="none",
            label="below the noise",
        )
        if np.isfinite(noise):
            artists.append(axes.axhline(noise, color=INK, linestyle="--", linewidth=0.8))
            artists.append(axes.annotate("noise of a float64 SVD", (1, noise), va="bottom", fontsize=7))
        zeros = int(np.isneginf(logs).sum())
        if zeros:
            artists.append(axes.set_title(f"{zeros} of {n} are exactly 0"))
        axes.set_xlabel("number i")
        axes.set_ylabel(f"log10 σ_i, n = {n}")
        return Drawing(figure, (axes,), tuple(artists))


def splitting(found: Splitting, ax: Any = None) -> Drawing:
    """Draw the smallest singular values against the size of the section.

    Parameters
    ----------
    found : Splitting
        From `Symbol.splitting`. As many as there are zeros inside are drawn solid: they go to 0.
    ax : Axes, optional
        Where; a new figure when not given.

    Returns
    -------
    Drawing
        One line a singular value, then min|a| and the noise of a float64 SVD.

    Examples
    --------
    >>> from toeplitz_theory.operators import Symbol
    >>> splitting(Symbol([1.0, -2.0]).splitting([4, 8, 16])).axes[0].get_ylabel()
    'log10 of the smallest σ'
    """
    with look():
        figure, (axes,) = panels(1, ax, 1, _SIZE)
        artists: list[Any] = []
        with np.errstate(divide="ignore", invalid="ignore"):
            logs = np.log10(found.values)
        for k in range(logs.shape[1]):
            falls = found.inside is not None and k < found.inside
            label = (
                {0: "as many as zeros inside", found.inside: "the others"}.get(k) if found.inside else None
            )
            style: dict[str, Any] = (
                {"marker": "o", "color": INSIDE} if falls else {"marker": "s", "color": CURVE, "ls": ":"}
            )
            artists += axes.plot(found.sizes, logs[:, k], markersize=3, label=label, **style)
        if found.floor > 0:
            artists.append(axes.axhline(np.log10(found.floor), color=FAINT, zorder=0, label="min |a|"))
        artists += axes.plot(
            found.sizes, np.log10(found.noise), "--", color=INK, label="noise of a float64 SVD"
        )
        axes.set_xlabel("size n of the section")
        axes.set_ylabel("log10 of the smallest σ")
        axes.legend()
        return Drawing(figure, (axes,), tuple(artists))
