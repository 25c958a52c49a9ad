"""(d) Delays, Jensen deficit and condition through training, and zeros crossing the unit circle."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from toeplitz_theory.checkpoints import load
from toeplitz_theory.operators import Symbol
from toeplitz_theory.plots.drawing import INK, Drawing, letter, look, series
from toeplitz_theory.reports.trajectory import Trajectory, kernel_trajectory

RUNS = {
    "next token": ("tmm-next-token", "mixer_blocks"),
    "encoder": ("tmm-autoencoder", "encoderblocks"),
    "decoder": ("tmm-autoencoder", "decoderblocks"),
}
QUANTITIES = (
    ("half of the input back after (tokens)", lambda run: run.delay_50),
    ("90 % of the input back after (tokens)", lambda run: run.delay_90),
    ("mean delay = minus the index (tokens)", lambda run: -np.array(run.index, dtype=float)),
    ("given back at once (share)", lambda run: np.exp(-2 * np.array(run.jensen_deficit))),
    ("Jensen deficit (nats per token)", lambda run: run.jensen_deficit),
    ("log10 condition, n x n matrix", lambda run: run.log10_condition),
)


def draw(models: Path, out: Path) -> list[Path]:
    """Draw medians with the middle half of the kernels, and two kernels' zeros against step."""
    runs = {
        name: (kernel_trajectory(models / model / "kernels", out / "data" / f"{model}.json"), prefix)
        for name, (model, prefix) in RUNS.items()
    }
    with look():
        figure = Figure(figsize=(9.5, 8.6), layout="constrained")
        axes = figure.subplots(3, 3)
        artists = []
        for ax, (label, values_of) in zip(axes[:2].flat, QUANTITIES, strict=True):
            for number, (name, (run, prefix)) in enumerate(runs.items()):
                values = np.array(values_of(run), dtype=float)[:, _chosen(run, prefix)]
                artists += _spread(ax, run.steps, values, number + 1, name)
            ax.set_xlabel("optimiser step")
            ax.set_ylabel(label)
            ax.set_ylim(bottom=0)
        axes[0][0].legend(title="median, middle half shaded")
        for ax, (name, (run, prefix)) in zip(axes[2], runs.items(), strict=True):
            folder = models / RUNS[name][0] / "kernels"
            artists += _crossings(ax, folder, run, prefix, name)
        letter(axes.flat)
        return Drawing(figure, tuple(axes.flat), tuple(artists)).save(out / "through_training")


def _chosen(run: Trajectory, prefix: str) -> list[int]:
    return [k for k, layer in enumerate(run.layers) if layer.startswith(prefix)]


def _spread(ax, steps, values, number, name):
    low, middle, high = np.nanpercentile(values, [25, 50, 75], axis=1)
    style = series(number)
    return [
        ax.fill_between(steps, low, high, color=style.color, alpha=0.15, linewidth=0),
        *ax.plot(
            steps,
            middle,
            color=style.color,
            linestyle=style.linestyle,
            marker=style.marker,
            markevery=5,
            markersize=3.5,
            label=name,
        ),
    ]


def _crossings(ax, folder, run, prefix, name):
    """Scatter n log|z| of the zeros next to the circle, for the kernel whose index moved most."""
    kernels = _chosen(run, prefix)
    index = np.array(run.index, dtype=float)[:, kernels]
    moved = kernels[int(np.nanargmax(np.nanmax(index, 0) - np.nanmin(index, 0)))]
    artists = []
    for step in run.steps[::2]:
        layer = load(folder / f"step-{step:06d}.safetensors").layers[moved]
        n = layer.kernel.size
        radius = np.abs(np.asarray(Symbol(layer.kernel).zeros()))
        height = n * np.log(radius[radius > 0])
        near = height[np.abs(height) < 3]
        inside = near < 0
        for part, style in ((inside, series(2)), (~inside, series(1))):
            artists.append(
                ax.scatter(
                    np.full(int(part.sum()), step),
                    near[part],
                    s=5,
                    color=style.color,
                    marker=style.marker,
                    linewidths=0,
                    alpha=0.6,
                )
            )
    artists.append(ax.axhline(0, color=INK, linewidth=0.9))
    head = f" head {layer.head}" if layer.head is not None else ""
    ax.set_title(
        f"{name}: {layer.layer}{head}\n(index {index[0, kernels.index(moved)]:.0f} to "
        f"{index[-1, kernels.index(moved)]:.0f}; inside below the line)",
        fontsize=8,
    )
    ax.set_xlabel("optimiser step")
    ax.set_ylabel("n log|z| of zeros near the circle")
    ax.set_ylim(-3, 3)
    return artists
