"""(b) The Toeplitz matrices of all layers and heads as heat maps."""

from pathlib import Path

from toeplitz_theory.plots import index_grid
from toeplitz_theory.reports.shipped import conditions


def draw(models: Path, out: Path) -> list[Path]:
    """Draw one grid per condition; the colour scale is each kernel's own (asinh of tap over largest)."""
    files = []
    for name, report in conditions(models).items():
        scale = "colour: tap, asinh scale, dark to light from most negative to most positive of each kernel"
        drawing = index_grid(report, "kernels", title=f"Toeplitz matrices: {name} ({scale})")
        files += drawing.save(out / f"toeplitz_matrices_{name.replace(' ', '_')}", dpi=90)
    return files
