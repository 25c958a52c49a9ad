"""``toeplitz-theory compare``: several checkpoints side by side."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from toeplitz_theory.commands.inspect import NullityTolerance, Tolerance
from toeplitz_theory.commands.outputs import Output, Overwrite, check_outputs, drawings
from toeplitz_theory.errors import InputError
from toeplitz_theory.names import shown


def _named_sources(arguments: list[str]) -> dict[str, Path]:
    """Read ``name=path`` or a bare path, which is called after its last part."""
    sources: dict[str, Path] = {}
    for argument in arguments:
        name, equals, path = argument.partition("=")
        if not equals or os.path.exists(argument):
            path = argument
            name = Path(path).stem if os.path.isfile(path) else os.path.basename(os.path.abspath(path))
        if not name or not path:
            raise InputError(f"compare {shown(argument)}: name and path must not be empty; write NAME=PATH")
        if name in sources:
            raise InputError(f"compare: two models are called {shown(name)}; tell them apart by NAME=PATH")
        sources[name] = Path(path)
    return sources


def compare(
    models: Annotated[
        list[str],
        typer.Argument(help="Checkpoints, as PATH or NAME=PATH.", show_default=False, metavar="MODEL..."),
    ],
    csv: Annotated[Path | None, typer.Option(help="Write the joined table here.")] = None,
    figures: Annotated[Path | None, typer.Option(help="Draw PNG and PDF figures into this folder.")] = None,
    overwrite: Overwrite = False,
    tol: Tolerance = 0.0,
    nullity_rtol: NullityTolerance = 1e-6,
) -> None:
    """Inspect several checkpoints and set their layers and medians side by side.

    Example: toeplitz-theory compare clm=models/tmm-next-token autoencoder=models/tmm-autoencoder
    """
    sources = _named_sources(models)
    outputs = [Output("--csv", csv, ".csv"), *drawings(figures, ["by_layer"])]
    check_outputs(outputs, sources.values(), overwrite)
    from toeplitz_theory import reports
    from toeplitz_theory.reports.terminal import print_comparison

    comparison = reports.compare(sources, progress=True, tol=tol, nullity_rtol=nullity_rtol)
    if csv is not None:
        comparison.save_csv(csv)
    if figures is not None:
        comparison.plot().save(figures / "by_layer")
    print_comparison(comparison)  # last: whoever stops reading it has the files
