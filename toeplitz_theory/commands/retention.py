"""``toeplitz-theory retention``: what a model's hidden states keep of its input."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from toeplitz_theory.commands.outputs import Output, Overwrite, check_outputs, drawings
from toeplitz_theory.names import shown

_BANDS = ((0, 0), (1, 7), (8, 31), (32, 127))


def retention(
    model: Annotated[
        Path, typer.Argument(help="A folder that train or transformers has written.", show_default=False)
    ],
    json: Annotated[Path | None, typer.Option(help="Write all measures here.")] = None,
    html: Annotated[
        Path | None,
        typer.Option(help="Write a page with figures, tables and words here; it needs no network."),
    ] = None,
    figures: Annotated[Path | None, typer.Option(help="Draw PNG and PDF figures into this folder.")] = None,
    against: Annotated[
        str, typer.Option(help="What it is compared with: untrained, nothing, or another model folder.")
    ] = "untrained",
    decoder: Annotated[
        bool, typer.Option("--decoder", help="Train decoders too (the paper's measure): some minutes more.")
    ] = False,
    overwrite: Overwrite = False,
    seed: Annotated[int, typer.Option(help="Of all that is drawn.", min=0)] = 0,
) -> None:
    """Measure how much of its input a model's hidden states keep: capacity, recall, recovery.

    Example: toeplitz-theory retention models/tmm-next-token --html retention.html
    """
    from rich.console import Console
    from rich.table import Table

    from toeplitz_theory.files import write_json, write_text
    from toeplitz_theory.reports.comparison import unused_name
    from toeplitz_theory.retention.asking import ask, comparison, opened

    outputs = [
        Output("--json", json, ".json"),
        Output("--html", html, ".html"),
        *drawings(figures, ("capacity", "recall", "recovery")),
    ]
    others = [Path(against)] if against not in ("untrained", "nothing") else []
    check_outputs(outputs, [model, *others], overwrite)

    def say(line: str) -> None:
        print(f"{line} ...", file=sys.stderr, flush=True)

    first = opened(model)
    if against == "untrained":
        models = [first, replace(first, name="untrained", model=first.twin())]
    else:
        models = [first, *(opened(folder) for folder in others)]
    if models[-1].name == first.name and len(models) > 1:
        models[-1] = replace(models[-1], name=unused_name(shown(against), [first.name]))
    results = {asked.name: ask(asked, decoder, seed, say) for asked in models}
    if json is not None:
        content = {
            name: {key: one.content() for key, one in found.items()} for name, found in results.items()
        }
        write_json(json, {"format": "toeplitz-theory retention", "version": 1, "models": content})
    if html is not None:
        from toeplitz_theory.reports.retention_page import retention_page

        write_text(html, retention_page(results, str(model)))
    if figures is not None:
        from toeplitz_theory.plots import retention_curves

        for name in ("capacity", "recall", "recovery"):
            curves = {model_name: found[name] for model_name, found in results.items()}
            retention_curves(curves).save(figures / name)
    console = Console(markup=False, emoji=False)  # a model may be called "a[b]", and "[nan, nan]" be measured
    table = Table(title="What the last hidden states keep (95 % intervals)", title_justify="left")
    for heading in ("measure", *results, "unit"):
        table.add_column(heading)
    for row in comparison(results):
        table.add_row(row["measure"], *(row.get(name, "-") for name in results), row["unit"])
    console.print(table)
    table = Table(title="Dimensions of the last hidden vector, by steps back", title_justify="left")
    for heading in ("model", *(f"{low}" if low == high else f"{low} to {high}" for low, high in _BANDS)):
        table.add_column(heading)
    for name, found in results.items():
        capacity = found["capacity"].table
        last = capacity[capacity["layer"] == capacity["layer"].max()]
        sums = (last[(last["lag"] >= low) & (last["lag"] <= high)]["value"].sum() for low, high in _BANDS)
        table.add_row(name, *(f"{total:.1f}" for total in sums))
    console.print(table)
