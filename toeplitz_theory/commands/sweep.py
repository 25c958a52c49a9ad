"""``toeplitz-theory sweep``: many runs from a few recipes, and one table of them."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from toeplitz_theory.names import shown


def sweep(
    sweep: Annotated[Path, typer.Argument(help="The sweep, a TOML file.", show_default=False)],
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the runs and results.parquet; runs/STEM, by the file's name, when not given.",
            show_default=False,
        ),
    ] = None,
    processes: Annotated[
        int | None,
        typer.Option(help="Runs at a time; as many as there are cores when not given.", min=1, max=4096),
    ] = None,
    listing: Annotated[
        bool, typer.Option("--list", help="Print the command of each unfinished run, for a scheduler.")
    ] = False,
) -> None:
    """Train recipes with settings varied; run it again to go on, or to gather what a scheduler has trained.

    Example: toeplitz-theory sweep sweep.toml --out runs/mixers
    """
    from toeplitz_theory.training.sweep import planned_runs, run_sweep, write_recipes

    runs = planned_runs(sweep, out)
    if listing:
        write_recipes(runs)
        for run in runs:
            if not run.finished():
                typer.echo(shlex.join(run.command))
        return
    results = run_sweep(runs, processes, typer.echo)
    typer.echo(f"written: {shown(results, 300)} ({len(runs)} runs)")
