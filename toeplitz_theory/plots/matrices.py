"""A causal Toeplitz matrix as a heat map."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import AsinhNorm
from numpy.typing import ArrayLike

from toeplitz_theory.errors import InputError
from toeplitz_theory.plots.drawing import Drawing, panels
from toeplitz_theory.plots.style import HEAT, look

# Beyond this many rows, neighbours share a pixel and the picture only costs memory.
_MOST = 1024


def toeplitz_heatmap(kernel: ArrayLike, ax: Any = None) -> Drawing:
    """Draw the n x n lower-triangular Toeplitz matrix of a kernel.

    Taps range over orders of magnitude, so colour follows asinh: linear near 0, logarithmic beyond a
    twentieth of the largest tap. The triangle above the diagonal is left blank.

    Parameters
    ----------
    kernel : array_like, shape (n,)
        Real taps; row t, column s holds ``kernel[t - s]``. Above 1024 rows only every so-manieth diagonal is
        drawn, which the label says.
    ax : Axes, optional
        Where; a new figure when not given.

    Returns
    -------
    Drawing
        The image.

    Raises
    ------
    InputError
        The kernel is not a finite real vector.

    Examples
    --------
    >>> toeplitz_heatmap([1.0, 0.5, 0.25]).artists[0].get_array().shape
    (3, 3)
    """
    taps = np.asarray(kernel)
    if taps.ndim != 1 or taps.size == 0 or taps.dtype.kind not in "fiu" or not np.isfinite(taps).all():
        raise InputError("toeplitz_heatmap: the kernel is not a finite real vector; pass one row of taps")
    with look():
        figure, axes = panels(1, ax, 1, (3.0, 2.5))
        return Drawing(figure, axes, (_draw_matrix(taps.astype(float), axes[0], colorbar=ax is None),))


def _draw_matrix(taps: np.ndarray, ax: Axes, colorbar: bool) -> Any:
    n = taps.size
    step = -(-n // _MOST)
    kept = taps[::step]
    lag = np.subtract.outer(np.arange(kept.size), np.arange(kept.size))
    matrix = np.ma.array(kept[np.maximum(lag, 0)], mask=lag < 0)
    largest = float(np.abs(taps).max()) or 1.0
    image = ax.imshow(
        matrix,
        cmap=HEAT,
        norm=AsinhNorm(linear_width=largest / 20, vmin=-largest, vmax=largest),
        interpolation="nearest",
        extent=(-0.5, n - 0.5, n - 0.5, -0.5),
    )
    ax.set_xlabel("input position" + (f" (every {step}th)" if step > 1 else ""))
    ax.set_ylabel("output position")
    ax.locator_params(nbins=4)
    if colorbar:
        bar = ax.figure.colorbar(image, ax=ax, label="tap (asinh scale)", shrink=0.9)
        bar.set_ticks(
            [-largest, -largest / 10, 0, largest / 10, largest],
            labels=[f"{value:.2g}" for value in (-largest, -largest / 10, 0, largest / 10, largest)],
        )
        bar.minorticks_off()
    return image
