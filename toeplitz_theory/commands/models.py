"""``toeplitz-theory models``: what is shipped, and how well it learned."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def models(
    root: Annotated[Path, typer.Option(help="Folder holding one folder per model.")] = Path("models"),
) -> None:
    """List the models under a folder: objective, size, validation loss.

    Example: toeplitz-theory models --root models
    """
    from toeplitz_theory.reports.shipped import find_models
    from toeplitz_theory.reports.terminal import print_models

    print_models(find_models(root))
