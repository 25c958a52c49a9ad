"""(e) How late layers give their input back, and how far back they reach, per objective and untrained."""

from pathlib import Path

from matplotlib.figure import Figure

from toeplitz_theory import plots
from toeplitz_theory.plots.drawing import INK, Drawing, letter, look
from toeplitz_theory.reports.shipped import conditions


def draw(models: Path, out: Path) -> list[Path]:
    """Draw both panels: medians over the kernels of a condition, the middle half shaded."""
    reports = conditions(models)
    with look():
        figure = Figure(figsize=(7.6, 3.0), layout="constrained")
        axes = figure.subplots(1, 2)
        drawn = [plots.recovery(reports, ax=axes[0]), plots.memory(reports, ax=axes[1])]
        axes[1].get_legend().remove()
        letter(axes)
        figure.supxlabel("line: median over 64 kernels; shaded: their middle half", fontsize=7, color=INK)
        artists = tuple(artist for drawing in drawn for artist in drawing.artists)
        return Drawing(figure, tuple(axes), artists).save(out / "recovery")
