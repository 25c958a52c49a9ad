"""(b) The taps of all kernels against lag, a line of colours each, per condition."""

from pathlib import Path

from matplotlib.figure import Figure

from toeplitz_theory import plots
from toeplitz_theory.plots.drawing import Drawing, letter, look
from toeplitz_theory.plots.kernels import colour_bar
from toeplitz_theory.reports.shipped import conditions


def draw(models: Path, out: Path) -> list[Path]:
    """Draw four images with one colour bar: 4 layers of 16 heads each, from the top."""
    with look():
        figure = Figure(figsize=(9.5, 7.0), layout="constrained")
        axes = figure.subplots(2, 2)
        artists = []
        for ax, (name, report) in zip(axes.flat, conditions(models).items(), strict=True):
            artists += plots.taps(report, ax=ax).artists
            ax.set_title(name)
        colour_bar(axes, artists[0])
        letter(axes.flat)
        return Drawing(figure, tuple(axes.flat), tuple(artists)).save(out / "kernels")
