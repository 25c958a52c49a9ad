"""``toeplitz-theory train``."""

from __future__ import annotations

import gc
import os
from pathlib import Path
from typing import Annotated

import typer

from toeplitz_theory.names import shown


def train(
    recipe: Annotated[Path, typer.Argument(help="The recipe, a TOML file.", show_default=False)],
    out: Annotated[
        Path | None,
        typer.Option(
            help="Model folder to write; runs/NAME, by the recipe's name, when not given.", show_default=False
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Start over where a model or another run lies.")
    ] = False,
) -> None:
    """Train a Toeplitz MLP Mixer from a recipe; run it again to go on after an interruption.

    Example: toeplitz-theory train models/tmm-next-token/recipe.toml --out runs/mine
    """
    from toeplitz_theory.training.announcement import announcement
    from toeplitz_theory.training.recipe import load_recipe

    chosen = load_recipe(recipe)  # a typing error is reported before torch is loaded
    first = os.environ.get("RANK", "0") == "0"  # one of several processes speaks
    if first:
        typer.echo(announcement(chosen, out or Path("runs") / chosen.name, force), err=True)
    import torch

    from toeplitz_theory.training import runner

    folder = runner.train(recipe, out, force)
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
        # Its threads live on as long as the Trainer, a reference cycle; ended by Python's exit they abort.
        gc.collect()
    if not first:
        return
    name = shown(folder, 300)
    typer.echo(f"trained: {name} (see {name}/README.md; then: toeplitz-theory inspect {name})")
