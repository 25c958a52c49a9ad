"""(f) Zeros of three kernels per condition, as n log|z| against angle: those inside lie below the line."""

from pathlib import Path

from matplotlib.figure import Figure

from toeplitz_theory import plots
from toeplitz_theory.plots.drawing import Drawing, letter, look
from toeplitz_theory.reports.shipped import conditions


def draw(models: Path, out: Path) -> list[Path]:
    """Draw a row per condition: the kernels of the highest, median and lowest index."""
    with look():
        figure = Figure(figsize=(7.6, 9.0), layout="constrained")
        axes = figure.subplots(4, 3)
        artists = []
        for row, (name, report) in zip(axes, conditions(models).items(), strict=True):
            artists += plots.chosen(report, "zeros", ax=row).artists
            row[0].set_ylabel(f"{name}\nn log|z|")
            for ax in row[1:]:
                ax.set_ylabel("")
        for ax in axes[:-1].flat:
            ax.set_xlabel("")
        letter(axes[:, 0])
        return Drawing(figure, tuple(axes.flat), tuple(artists)).save(out / "zeros")
