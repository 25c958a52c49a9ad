"""``toeplitz-theory inspect``: a checkpoint's layers as table, JSON, page and figures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from toeplitz_theory.commands.outputs import Output, Overwrite, check_outputs, drawings
from toeplitz_theory.errors import ToeplitzTheoryError
from toeplitz_theory.names import printable

Tolerance = Annotated[
    float,
    typer.Option(
        help="Not Fredholm where |a| falls to this fraction of its root mean square; 0: exact zeros only.",
        min=0.0,
    ),
]
NullityTolerance = Annotated[
    float,
    typer.Option(
        help="Count singular values at most this fraction of the largest.",
        min=0.0,
    ),
]


def inspect(
    path: Annotated[
        Path,
        typer.Argument(help="A .safetensors, .bin or .pt file, or a folder holding one.", show_default=False),
    ],
    kernels: Annotated[
        list[str] | None,
        typer.Option(
            help="Tensors that are kernels: PATTERN, also with :axis=0,reversed,transform=softplus,heads=0-3 "
            "after it; or a .toml file of these. May be repeated.",
            show_default=False,
        ),
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Write the report with its evidence here.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write a self-contained page here.")] = None,
    figures: Annotated[Path | None, typer.Option(help="Draw PNG and PDF figures into this folder.")] = None,
    overwrite: Overwrite = False,
    tol: Tolerance = 0.0,
    nullity_rtol: NullityTolerance = 1e-6,
    quick: Annotated[
        bool, typer.Option("--quick", help="Only index, min |a|, and estimates of Jensen deficit and delays.")
    ] = False,
    jobs: Annotated[
        int | None,
        typer.Option(
            help="Processes; interrupted, the same command goes on where it was.", min=1, show_default=False
        ),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Print every kernel instead of every layer.")] = False,
    layers: Annotated[list[str] | None, typer.Option(help="Name or pattern such as 'blocks.1*'.")] = None,
    columns: Annotated[str, typer.Option(help="What to print, as NAME,NAME.", show_default=False)] = "",
    sort: Annotated[str, typer.Option(help="Column to sort by; -NAME: downwards.", show_default=False)] = "",
    form: Annotated[
        str, typer.Option("--format", help="table, csv, json, markdown or latex: all but the first alone.")
    ] = "table",
) -> None:
    """Say of each Toeplitz layer whether it is invertible, with proof, and how badly conditioned it is.

    Example: toeplitz-theory inspect models/tmm-next-token --json report.json --html report.html
    """
    from toeplitz_theory import reports
    from toeplitz_theory.reports.report import KINDS
    from toeplitz_theory.reports.terminal import Choice, print_report
    from toeplitz_theory.threads import one_thread

    choice = Choice(every, tuple(layers or ()), tuple(filter(None, columns.split(","))), sort, form)
    outputs = [Output("--json", json, ".json"), Output("--html", html, ".html"), *drawings(figures, KINDS)]
    check_outputs(outputs, [path], overwrite)
    report = reports.inspect(
        path,
        kernels=kernels or None,
        progress=True,
        tol=tol,
        nullity_rtol=nullity_rtol,
        quick=quick,
        jobs=jobs,
    )
    with one_thread():
        if json is not None:
            report.save(json)
        if html is not None:
            report.to_html(html, progress=True)
        if figures is not None:
            reports.save_report_figures(report, figures)
    print_report(report, choice=choice)  # last: whoever stops reading it has the files
    if not any(row.analysed for row in report.rows):
        raise ToeplitzTheoryError(f"{printable(path)}: no kernel could be analysed; the notes above say why")
