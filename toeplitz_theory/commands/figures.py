"""``toeplitz-theory figures``."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Annotated

import typer

from toeplitz_theory.commands.outputs import Overwrite, check_outputs, drawings
from toeplitz_theory.errors import InputError
from toeplitz_theory.names import printable


def figures(
    names: Annotated[
        list[str] | None, typer.Argument(help="Figures to draw; all when not given.", show_default=False)
    ] = None,
    root: Annotated[
        Path,
        typer.Option(
            help="Checkout with paper_figures/ and models/. The Python modules in paper_figures/ are "
            "run: name a checkout that you trust."
        ),
    ] = Path("."),
    output: Annotated[
        Path | None, typer.Option(help="Folder the files go to; paper_figures/ when not given.")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Redraw the paper's figures from the shipped models.

    Example: toeplitz-theory figures --output drawn
    """
    from toeplitz_theory.threads import one_thread

    folder = root / "paper_figures"
    modules = {path.stem: path for path in sorted(folder.glob("[a-z]*.py"))}
    if not modules:
        raise InputError(
            f"{printable(folder)}: holds no figure; run this in a checkout, or name one with --root"
        )
    for name in names or ():
        if name not in modules:
            raise InputError(f"figure {printable(name)} is unknown; choose from {', '.join(modules)}")
    # Beside their modules they are there to be redrawn; elsewhere they may be anybody's.
    if output is not None:
        drawn = [path.stem for name in names or modules for path in output.glob(f"{name}*.p[nd][gf]")]
        check_outputs(drawings(output, {*drawn, *(names or modules)}, "--output"), [root], overwrite)
    for name in names or modules:
        typer.echo(f"drawing {name} ...", err=True)
        module = _load(name, modules[name])
        with one_thread():
            files = module.draw(root / "models", output or folder)
        for path in files:
            typer.echo(printable(path))


def _load(name: str, path: Path) -> ModuleType:
    """Import one figure's module from its file; ``paper_figures`` is no installed package."""
    spec = importlib.util.spec_from_file_location(f"paper_figures.{name}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
