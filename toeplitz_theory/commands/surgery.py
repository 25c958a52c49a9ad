"""``toeplitz-theory surgery``: a trained model with its kernels made invertible, and what that costs."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import Annotated, Any, cast

import typer

from toeplitz_theory.names import shown


def surgery(
    model: Annotated[Path, typer.Argument(help="A model folder that train has written.", show_default=False)],
    recipe: Annotated[
        Path | None,
        typer.Option(help="Its recipe, when not the recipe.toml in the folder.", show_default=False),
    ] = None,
    save: Annotated[
        Path | None, typer.Option(help="New folder for the changed model.", show_default=False)
    ] = None,
    keep: Annotated[
        str,
        typer.Option(help="What stays of the delay: nothing, main-lag, mean-delay or deep-zeros."),
    ] = "nothing",
    near: Annotated[
        float, typer.Option(help="With deep-zeros: zeros nearer the circle than this / n are reflected.")
    ] = 2.0,
) -> None:
    """Replace every Toeplitz kernel by an invertible one; print the loss before and after.

    Example: toeplitz-theory surgery models/tmm-next-token --save runs/invertible
    """
    from toeplitz_theory.training.surgery import measure_surgery

    measured = measure_surgery(model, recipe, save, keep=cast(Any, keep), near=near)
    kernels = measured.replaced
    before, after = ([getattr(one, name) for one in kernels] for name in ("index_before", "index_after"))
    typer.echo(f"held-out loss, nats per token, over {measured.tokens:,} tokens:")
    typer.echo(f"  as trained              {measured.before:.4f}")
    label = "outer kernels" if keep == "nothing" else f"{keep} kept"
    typer.echo(f"  {label:<24}{measured.after:.4f}")
    typer.echo(f"  moved as far at random  {measured.control:.4f}")
    typer.echo(f"  unigram counts          {measured.unigram:.4f}")
    typer.echo(f"kernels of index 0: {before.count(0)} of {len(kernels)} before, {after.count(0)} after;")
    typer.echo(f"median index: {_median(before)} before, {_median(after)} after;")
    typer.echo(f"relative change of a kernel: median {median(one.distance for one in kernels):.2f}")
    if save is not None:
        typer.echo(f"written: {shown(save, 300)} (next: toeplitz-theory inspect {shown(save, 300)})")


def _median(indices: list[int | None]) -> str:
    """Return the median of the proved indices, and say how many are not."""
    proved = [index for index in indices if index is not None]
    rest = f" ({len(indices) - len(proved)} not decided)" if len(proved) < len(indices) else ""
    return (f"{median(proved):g}" if proved else "none") + rest
