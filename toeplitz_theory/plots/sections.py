"""Singular values of sections and Jacobians, and the information that passes a section."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes

from toeplitz_theory.operators import CausalToeplitz
from toeplitz_theory.plots.drawing import CURVE, FAINT, INK, INSIDE, Drawing, drawn, look, panels, series

if TYPE_CHECKING:
    from toeplitz_theory.operators import InformationCurve
    from toeplitz_theory.operators.matrix.nullity import Splitting
    from toeplitz_theory.retention.jacobian import JacobianSpectrum

_SIZE = (3.6, 2.7)
_DECIBELS = np.linspace(-20.0, 60.0, 33)
_SECTION, _LIMIT = series(1), series(0)


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
        hollow: Any = {"color": INSIDE, "fillstyle": "none"}
        artists += axes.plot(number[below], logs[below], "^", **hollow, label="below the noise")
        if np.isfinite(noise):
            artists.append(axes.axhline(noise, color=INK, linestyle="--", linewidth=0.8))
            artists.append(axes.annotate("noise of a float64 SVD", (1, noise), va="bottom", fontsize=7))
        zeros = int(np.isneginf(logs).sum())
        if zeros:
            artists.append(axes.set_title(f"{zeros} of {n} are exactly 0"))
        axes.set(xlabel="number i", ylabel=f"log10 σ_i, n = {n}")
        return Drawing(figure, (axes,), tuple(artists))


def splitting(splits: Splitting, ax: Any = None) -> Drawing:
    """Draw the smallest singular values against the size of the section.

    Parameters
    ----------
    splits : Splitting
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
            logs = np.log10(splits.values)
        for k in range(logs.shape[1]):
            inside = splits.inside or 0
            named = {0: "as many as zeros inside", inside: "the others"} if inside else {}
            falling, other = {"marker": "o", "color": INSIDE}, {"marker": "s", "color": CURVE, "ls": ":"}
            style: Any = falling if k < inside else other
            artists += axes.plot(splits.sizes, logs[:, k], markersize=3, label=named.get(k), **style)
        if splits.floor > 0:
            artists.append(axes.axhline(np.log10(splits.floor), color=FAINT, zorder=0, label="min |a|"))
        noise = np.log10(splits.noise)
        artists += axes.plot(splits.sizes, noise, "--", color=INK, label="noise of a float64 SVD")
        axes.set(xlabel="size n of the section", ylabel="log10 of the smallest σ")
        axes.legend()
        return Drawing(figure, (axes,), tuple(artists))


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
    curve = T.information_curve(10 ** (_DECIBELS / 10)) if isinstance(T, CausalToeplitz) else T
    return drawn(ax, _SIZE, _draw_information, curve)


def _draw_information(ax: Axes, curve: InformationCurve) -> list[Any]:
    order = np.argsort(curve.snr)
    snr, limit, value = curve.snr[order], curve.limit[order], curve.value[order]
    decibels, identity = 10 * np.log10(snr), 0.5 * np.log2(1 + snr)
    artists: list[Any] = ax.plot(decibels, identity, color=FAINT, linewidth=0.9, label="identity layer")
    artists += ax.plot(decibels, limit, **_LIMIT.line, linewidth=1.0, label="Szegő's limit, n → ∞")
    artists += ax.plot(decibels, value, **_SECTION.line, linewidth=1.6, label=f"this section, n = {curve.n}")
    unsure = np.maximum(curve.error, curve.limit_error)[order] > 0.01 * np.maximum(limit, 1e-300)
    if unsure.any():
        artists += ax.plot(decibels[unsure], limit[unsure], "x", color=INK, label="known to 1 % or worse")
    ax.set(xlabel="signal-to-noise ratio at the input (dB)", ylabel="information (bits per token)")
    ax.set_ylim(bottom=0)
    ax.margins(x=0.02)
    ax.legend(loc="upper left")
    return artists


def jacobian_spectrum(spectrum: JacobianSpectrum, ax: Any = None) -> Drawing:
    """Draw the largest and smallest singular values of a Jacobian, with their residuals and the noise.

    Parameters
    ----------
    spectrum : JacobianSpectrum
        From `toeplitz_theory.retention.jacobian_spectrum`. A bar reaches one residual up and down: some
        singular value lies in it. Values below the dashed line, drawn where it is near, may be 0.
    ax : Axes, optional
        Where; a new figure when not given.

    Returns
    -------
    Drawing
        Largest values, smallest values, each with its bars, and the noise level.

    Examples
    --------
    >>> import torch
    >>> from toeplitz_theory.retention import jacobian_spectrum as compute
    >>> spectrum = compute(lambda x: torch.tensor([3.0, 2.0, 0.5], dtype=x.dtype) * x, torch.zeros(3))
    >>> jacobian_spectrum(spectrum).axes[0].get_ylabel()
    'log10 σ_i of the Jacobian, N = 3'
    """
    noise = spectrum.noise
    size = min(spectrum.shape)
    first = 1 + np.arange(spectrum.largest.size)
    last = size - np.arange(spectrum.smallest.size)[::-1]
    shift = max(int(last[0]) - int(first[-1]) - 3, 0)  # the numbers between are left out
    with look():
        figure, (axes,) = panels(1, ax, 1, _SIZE)
        artists: list[Any] = []
        for number, values, residuals, marker, color, label in (
            (first, spectrum.largest, spectrum.largest_residual, "o", CURVE, "largest"),
            (last - shift, spectrum.smallest, spectrum.smallest_residual, "^", INSIDE, "smallest"),
        ):
            positive = values > 0
            number, values = number[positive], values[positive]
            spread = np.nan_to_num(residuals[positive])
            # Bars of one residual, cut at the noise.
            floor = min(noise, values.min()) if values.size and noise > 0 else 1e-300
            lowest = np.log10(np.maximum(values - spread, floor))
            bars = axes.vlines(number, lowest, np.log10(values + spread), color=color, linewidth=0.8)
            points = axes.plot(number, np.log10(values), marker, color=color, fillstyle="none", label=label)
            artists += [*points, bars]
        if noise > 0 and spectrum.smallest[-1] < 1e3 * noise:  # far below, it would squash the rest
            artists.append(axes.axhline(np.log10(noise), color=INK, linestyle="--", linewidth=0.8))
            words = "rounding: indistinguishable from 0"
            axes.annotate(words, (first[0], np.log10(noise)), va="bottom", fontsize=7)
        if shift:
            axes.axvline(first[-1] + 1.5, color=FAINT, linewidth=0.8, zorder=0)
        ends = sorted({1, int(first[-1]), int(last[0]), int(last[-1])})
        axes.set_xticks([i if i <= first[-1] else i - shift for i in ends], [str(i) for i in ends])
        left_out = " (those between are left out)" if shift else ""
        axes.set(xlabel=f"number i{left_out}", ylabel=f"log10 σ_i of the Jacobian, N = {size}")
        axes.legend()
        return Drawing(figure, (axes,), tuple(artists))
