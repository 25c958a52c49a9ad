"""``toeplitz-theory compare``: several checkpoints side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from toeplitz_theory.commands.inspect import NullityTolerance, Tolerance
from toeplitz_theory.errors import InputError

NAME = "compare"
EXAMPLE = "toeplitz-theory compare clm=models/tmm-next-token autoencoder=models/tmm-autoencoder"


def _named_sources(arguments: list[str]) -> dict[str, Path]:
    """Read ``name=path`` or a bare path, which is called after its last part."""
    sources: dict[str, Path] = {}
    for argument in arguments:
        name, found, path = argument.partition("=")
        if not found or Path(argument).exists():
            name, path = Path(argument).stem if Path(argument).is_file() else Path(argument).name, argument
        if not name:
            raise InputError(f"compare {argument!r}: empty name; write NAME=PATH")
        if name in sources:
            raise InputError(f"compare: two models are called {name!r}; write NAME=PATH to tell them apart")
        sources[name] = Path(path)
    return sources


def command(
    models: Annotated[
        list[str],
        typer.Argument(help="Checkpoints, as PATH or NAME=PATH.", show_default=False, metavar="MODEL..."),
    ],
    csv: Annotated[Path | None, typer.Option(help="Write the joined table here.")] = None,
    figures: Annotated[Path | None, typer.Option(help="Draw PNG and PDF figures into this folder.")] = None,
    tol: Tolerance = 0.0,
    nullity_rtol: NullityTolerance = 1e-6,
) -> None:
    """Inspect several checkpoints and set their layers and medians side by side."""
    sources = _named_sources(models)
    from toeplitz_theory.reports import compare
    from toeplitz_theory.reports.terminal import print_comparison

    comparison = compare(sources, progress=True, tol=tol, nullity_rtol=nullity_rtol)
    print_comparison(comparison)
    if csv is not None:
        comparison.save_csv(csv)
    if figures is not None:
        comparison.plot().save(figures / "by_layer")
