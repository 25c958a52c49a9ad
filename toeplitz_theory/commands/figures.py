"""``toeplitz-theory figures``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from toeplitz_theory.errors import ToeplitzTheoryError

NAME = "figures"
EXAMPLE = "toeplitz-theory figures --output paper_figures"


def command(
    output: Annotated[Path, typer.Option(help="Folder the figures go to.")] = Path("paper_figures"),
) -> None:
    """Redraw the paper's figures from the shipped models."""
    raise ToeplitzTheoryError(f"figures into {output}: not part of this version yet")
