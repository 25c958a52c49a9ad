"""(a) Modulus and unwrapped phase of three kernels per condition: of the highest, median and lowest index."""

from pathlib import Path

from matplotlib.figure import Figure

from toeplitz_theory import plots
from toeplitz_theory.plots.drawing import Drawing, letter, look
from toeplitz_theory.reports.shipped import conditions


def draw(models: Path, out: Path) -> list[Path]:
    """Draw four blocks of two rows; at the right end of a phase stands half the number of zeros inside."""
    with look():
        figure = Figure(figsize=(11, 7.6), layout="constrained")
        artists, firsts = [], []
        for part, (name, report) in zip(
            figure.subfigures(2, 2).flat, conditions(models).items(), strict=True
        ):
            axes = part.subplots(2, 3)
            artists += plots.chosen(report, "symbols", ax=axes).artists
            part.suptitle(name, fontsize=10)
            firsts.append(axes[0][0])
            for ax in axes[:, 1:].flat:
                ax.set_ylabel("")
        letter(firsts)
        return Drawing(figure, tuple(figure.axes), tuple(artists)).save(out / "symbols")
