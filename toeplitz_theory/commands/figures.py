"""``toeplitz-theory figures``."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from toeplitz_theory.errors import InputError

NAME = "figures"
EXAMPLE = "toeplitz-theory figures"


def command(
    names: Annotated[
        list[str] | None, typer.Argument(help="Figures to draw; all when not given.", show_default=False)
    ] = None,
    root: Annotated[Path, typer.Option(help="Checkout with paper_figures/ and models/.")] = Path("."),
    output: Annotated[
        Path | None, typer.Option(help="Folder the files go to; paper_figures/ when not given.")
    ] = None,
) -> None:
    """Redraw the paper's figures from the shipped models."""
    folder = root / "paper_figures"
    modules = {path.stem: path for path in sorted(folder.glob("[a-z]*.py"))}
    if not modules:
        raise InputError(f"{folder}: holds no figure; run this in a checkout, or name one with --root")
    for name in names or ():
        if name not in modules:
            raise InputError(f"figure {name!r} is unknown; choose from {', '.join(modules)}")
    for name in names or modules:
        typer.echo(f"drawing {name} ...", err=True)
        for path in _load(name, modules[name]).draw(root / "models", output or folder):
            typer.echo(str(path))


def _load(name: str, path: Path) -> Any:
    """Import one figure's module from its file; ``paper_figures`` is no installed package."""
    spec = importlib.util.spec_from_file_location(f"paper_figures.{name}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
