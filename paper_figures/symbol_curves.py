"""(a) The image of the unit circle under every kernel's symbol, around the origin, with its index."""

from pathlib import Path

from toeplitz_theory.plots import index_grid
from toeplitz_theory.reports.shipped import conditions


def draw(models: Path, out: Path) -> list[Path]:
    """Draw one grid per condition: a row of panels is half a layer of sixteen heads."""
    files = []
    for name, report in conditions(models).items():
        drawing = index_grid(report, "symbols", title=f"Symbols of the Toeplitz kernels: {name}")
        files += drawing.save(out / f"symbol_curves_{name.replace(' ', '_')}", dpi=90)
    return files
