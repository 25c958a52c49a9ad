"""``toeplitz-theory train``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from toeplitz_theory.errors import ToeplitzTheoryError

NAME = "train"
EXAMPLE = "toeplitz-theory train models/tmm-next-token/recipe.toml"


def command(
    recipe: Annotated[Path, typer.Argument(help="The recipe, a TOML file.", show_default=False)],
) -> None:
    """Train a Toeplitz MLP Mixer from a recipe."""
    raise ToeplitzTheoryError(f"train {recipe}: training is not part of this version yet")
