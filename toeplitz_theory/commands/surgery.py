"""``toeplitz-theory surgery``: a trained model with its kernels made invertible, and what that costs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def surgery(
    model: Annotated[Path, typer.Argument(help="A model folder that train has written.", show_default=False)],
    recipe: Annotated[
        Path | None,
        typer.Option(help="Its recipe, when not the recipe.toml in the folder.", show_default=False),
    ] = None,
    save: Annotated[
        Path | None, typer.Option(help="New folder for the changed model.", show_default=False)
    ] = None,
) -> None:
    """Replace every Toeplitz kernel by its outer, invertible factor; print the loss before and after.

    Example: toeplitz-theory surgery models/tmm-next-token --save runs/invertible
    """
    from toeplitz_theory.training.surgery import measure_surgery

    found = measure_surgery(model, recipe, save)
    kernels = found.replaced
    zero = [sum(getattr(one, name) == 0 for one in kernels) for name in ("index_before", "index_after")]
    distances = sorted(one.distance for one in kernels)
    typer.echo(f"held-out loss, nats per token, over {found.tokens:,} tokens:")
    typer.echo(f"  as trained              {found.before:.4f}")
    typer.echo(f"  outer kernels           {found.after:.4f}")
    typer.echo(f"  moved as far at random  {found.control:.4f}")
    typer.echo(f"  unigram counts          {found.unigram:.4f}")
    typer.echo(f"kernels of index 0: {zero[0]} of {len(kernels)} before, {zero[1]} after;")
    typer.echo(f"relative change of a kernel: median {distances[len(distances) // 2]:.2f}")
    if save is not None:
        typer.echo(f"written: {save} (next: toeplitz-theory inspect {save})")
