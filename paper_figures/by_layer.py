"""(c) The claim tested: delay, index, Jensen deficit and condition by layer, per objective and untrained."""

from pathlib import Path

from toeplitz_theory.plots import by_layer
from toeplitz_theory.reports.shipped import conditions


def draw(models: Path, out: Path) -> list[Path]:
    """Draw the four panels; a small marker is a head, a line the median over a layer's sixteen heads."""
    drawing = by_layer(conditions(models))
    return drawing.save(out / "by_layer")
