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
    json: Annotated[Path | None, typer.Option(help="Write the report with its evidence here.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write a self-contained page here.")] = None,
    figures: Annotated[Path | None, typer.Option(help="Draw PNG and PDF figures into this folder.")] = None,
    overwrite: Overwrite = False,
    tol: Tolerance = 0.0,
    nullity_rtol: NullityTolerance = 1e-6,
) -> None:
    """Say of each Toeplitz layer whether it is invertible, with proof, and how badly conditioned it is.

    Example: toeplitz-theory inspect models/tmm-next-token --json report.json --html report.html
    """
    from toeplitz_theory import reports
    from toeplitz_theory.reports.report import KINDS
    from toeplitz_theory.reports.terminal import print_report

    outputs = [Output("--json", json, ".json"), Output("--html", html, ".html"), *drawings(figures, KINDS)]
    check_outputs(outputs, [path], overwrite)
    report = reports.inspect(path, progress=True, tol=tol, nullity_rtol=nullity_rtol)
    if json is not None:
        report.save(json)
    if html is not None:
        report.to_html(html, progress=True)
    if figures is not None:
        reports.save_report_figures(report, figures)
    print_report(report)  # last: whoever stops reading it has the files
    if not any(row.analysed for row in report.rows):
        raise ToeplitzTheoryError(f"{printable(path)}: no kernel could be analysed; the notes above say why")
