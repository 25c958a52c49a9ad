"""Reports on a terminal: a table that fits the window, or plain aligned columns when piped."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, TextIO

from toeplitz_theory.names import shown
from toeplitz_theory.reports.comparison import EXPLAINED, MEDIANS, Comparison
from toeplitz_theory.reports.report import Report
from toeplitz_theory.reports.rows import COLUMN_NAMES, Row
from toeplitz_theory.reports.sentences import cell_texts, number, paragraph, summary_lines

if TYPE_CHECKING:
    from toeplitz_theory.reports.shipped import ShippedModel

# The same for every row of most models: said once above the table there, to leave room for the numbers.
_SAID_ONCE = ("n", "dtype")
_LEFT = frozenset({"layer", "model", "dtype", "note", "objective"})

# What to leave out first when even the folded table is wider than the window; the JSON has all of it.
_DROP_FIRST = ("min_modulus", "w0", "zeros_near_circle", "certified")


def aligned(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Columns of text, two blanks apart, numbers to the right: for pipes and files.

    Examples
    --------
    >>> print(aligned(["layer", "n"], [["blocks.0", "8"]]))
    layer     n
    blocks.0  8
    """
    table = [list(header), *map(list, lines)]
    widths = [max(len(row[k]) for row in table) for k in range(len(header))]
    made = []
    for row in table:
        cells = [
            cell.ljust(width) if name in _LEFT else cell.rjust(width)
            for name, cell, width in zip(header, row, widths, strict=True)
        ]
        made.append("  ".join(cells).rstrip())
    return "\n".join(made)


def _rich_table(header: Sequence[str], lines: Sequence[Sequence[str]], width: int) -> str:
    """A ruled table whose headings fold at underscores; columns go, least needed first, until it fits."""
    from rich.console import Console
    from rich.measure import Measurement
    from rich.table import Table
    from rich.text import Text

    console = Console(width=10_000, highlight=False)
    kept = list(header)
    for victim in (None, *_DROP_FIRST):
        if victim in kept:
            kept.remove(victim)
        table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
        for name in kept:
            # Folding is ours to choose: left alone, rich would cut numbers in half before it folds headings.
            table.add_column(
                Text(name.replace("_", "\n")),
                justify="left" if name in _LEFT else "right",
                overflow="fold",
                no_wrap=name != "note",
                vertical="bottom",
            )
        for line in lines:
            table.add_row(*(Text(line[header.index(name)]) for name in kept))
        needed = Measurement.get(console, console.options, table).maximum
        if needed <= width:
            break
    # A window narrower than the bare essentials wraps lines; cutting numbers would be worse.
    console = Console(width=max(width, needed), highlight=False)
    with console.capture() as capture:
        console.print(table)
    missing = [name for name in header if name not in kept]
    printed = [line.rstrip() for line in capture.get().splitlines()]
    if missing:
        printed += textwrap.wrap(f"(window too narrow for {', '.join(missing)}: --json has them)", width)
    return "\n".join([*printed, ""])


def _footnotes(rows: Sequence[Row]) -> tuple[list[str], list[str]]:
    """A mark for each row, and the notes the marks stand for; equal notes share a mark."""
    notes: list[str] = []
    marks = []
    for row in rows:
        if row.note and row.note not in notes:
            notes.append(row.note)
        marks.append(f"[{notes.index(row.note) + 1}]" if row.note else "")
    return marks, [f"[{k}] {paragraph(note)}" for k, note in enumerate(notes, start=1)]


def render(rows: Sequence[Row], models: Sequence[str] | None, width: int | None) -> str:
    """The table as text, with a leading column of ``models`` if given.

    In a window of ``width`` characters notes follow the table; for a pipe, None, every column is there,
    plain, on one line per kernel.

    Examples
    --------
    >>> import numpy as np
    >>> row = Row("blocks.0", None, 1, "float32", "w", "flat", np.ones(1))
    >>> render([row], None, None).split()[:3]
    ['layer', 'head', 'n']
    """
    cells = [cell_texts(row) for row in rows]
    names = list(COLUMN_NAMES)
    extra = [] if models is None else ["model"]
    for cell, model in zip(cells, models or [""] * len(cells), strict=True):
        cell["model"] = model
    if width is None:
        return aligned(extra + names, [[cell[name] for name in extra + names] for cell in cells])
    marks, notes = _footnotes(rows)
    for cell, mark in zip(cells, marks, strict=True):
        cell["note"] = mark
    hidden = [name for name in _SAID_ONCE if len({cell[name] for cell in cells}) == 1]
    hidden += [name for name in ("note", "head") if not any(cell[name] not in ("", "-") for cell in cells)]
    names = extra + [name for name in names if name not in hidden]
    table = _rich_table(names, [[cell[name] for name in names] for cell in cells], width)
    return table + "\n".join(line for note in notes for line in textwrap.wrap(note, width))


def _window(stream: TextIO) -> int | None:
    return shutil.get_terminal_size((100, 24)).columns if stream.isatty() else None


def print_report(report: Report, stream: TextIO | None = None) -> None:
    """Print a report: what it says as a whole, the table, the notes, what was skipped.

    Folded to the window where ``stream``, standard output by default, is one; plain otherwise.

    Examples
    --------
    >>> import numpy as np
    >>> from toeplitz_theory.reports import inspect
    >>> print_report(inspect({"blocks.0.mixer.weight": np.array([2.0, 1.0])}))  # doctest: +ELLIPSIS
    a state dict in memory
      1 kernel in 1 Toeplitz layer, n = 2, float64...
    """
    out = stream or sys.stdout
    width = _window(out)
    lines = [shown(report.provenance.source)]
    lines += [
        f"  {line}" for line in summary_lines(report.rows, report.provenance.tolerances["nullity_rtol"])
    ]
    lines += ["", render(report.rows, None, width).rstrip()]
    if report.notes:
        notes = map(paragraph, report.notes)
        lines += ["", *(textwrap.fill(note, width) if width else note for note in notes)]
    if report.skipped:
        lines += ["", f"skipped ({len(report.skipped)}):"]
        lines += [f"  {shown(name)}: {paragraph(reason)}" for name, reason in report.skipped]
    print("\n".join(lines), file=out)


def print_comparison(comparison: Comparison, stream: TextIO | None = None) -> None:
    """Print the medians of several models, then all their rows.

    Examples
    --------
    >>> import numpy as np
    >>> from toeplitz_theory.reports import compare
    >>> model = {"blocks.0.mixer.weight": np.array([2.0, 1.0])}
    >>> print_comparison(compare({"a": model}))  # doctest: +ELLIPSIS
    Medians over kernels...
    """
    out = stream or sys.stdout
    width = _window(out)
    header = ["model", "kernels", "certified", "index_0", "w0_not_0", *MEDIANS]
    lines = [[_cell(entry[name]) for name in header] for entry in comparison.medians()]
    table = aligned(header, lines) if width is None else _rich_table(header, lines, width).rstrip()
    names = [shown(name) for name, report in comparison.reports.items() for _ in report.rows]
    rows = [row for report in comparison.reports.values() for row in report.rows]
    print("\n".join([EXPLAINED, table, "", render(rows, names, width).rstrip()]), file=out)


def print_models(models: Sequence[ShippedModel], stream: TextIO | None = None) -> None:
    """Print the models that `find_models` finds under a folder.

    Examples
    --------
    >>> print_models([])
    model  objective  layers  n  d_model  vocabulary  validation loss  MB  path
    """
    header = ["model", "objective", "layers", "n", "d_model", "vocabulary", "validation loss", "MB", "path"]
    lines = [
        [
            _cell(model.name),
            _cell(model.objective),
            number(model.layers),
            number(model.n),
            number(model.d_model),
            number(model.vocabulary),
            number(model.validation_loss),
            f"{model.bytes / 1e6:.1f}",
            shown(model.path),
        ]
        for model in models
    ]
    print(aligned(header, lines), file=stream or sys.stdout)


def _cell(value: str | float | None) -> str:
    return shown(value) if isinstance(value, str) else number(value)
