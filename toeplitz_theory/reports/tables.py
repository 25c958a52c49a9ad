"""Tables as text: for a window, for a pipe, for other programs and for papers."""

from __future__ import annotations

import csv
import io
import json
import math
import textwrap
from collections.abc import Sequence
from typing import Any

from toeplitz_theory.names import printable
from toeplitz_theory.reports.sentences import cell, csv_cell

_LEFT = frozenset({"layer", "model", "dtype", "note", "objective", "gives_back", "gives back of its input"})
# What to leave out first when even the folded table is wider than the window; the JSON has all of it.
_DROP_FIRST = (
    *("min_modulus", "w0", "zeros_near_circle", "residual_delay_90", "certified", "nullity"),
    *("recovered_at_once", "kernels", "bits in bfloat16"),
)


def tabulated(header: Sequence[str], lines: Sequence[Sequence[str]], width: int | None) -> str:
    """Columns of text for a window of ``width`` characters, or for a pipe."""
    return aligned(header, lines) if width is None else rich_table(header, lines, width)


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


def rich_table(header: Sequence[str], lines: Sequence[Sequence[str]], width: int) -> str:
    """A table whose headings fold; columns go, least needed first, until it fits."""
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
                Text(name if name in _LEFT else name.replace("_", "\n").replace(" ", "\n")),
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


def _as_csv(names: Sequence[str], records: Sequence[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    for record in records:
        values = (record[name] for name in names)
        writer.writerow([csv_cell(printable(v)) if isinstance(v, str) else v for v in values])
    return text.getvalue().rstrip("\n")


def _as_json(names: Sequence[str], records: Sequence[dict[str, Any]]) -> str:
    plain = [
        {
            name: str(v) if isinstance(v := record[name], float) and not math.isfinite(v) else v
            for name in names
        }
        for record in records
    ]
    return json.dumps(plain, indent=1, allow_nan=False)


def _as_markdown(names: Sequence[str], records: Sequence[dict[str, Any]]) -> str:
    escaped = str.maketrans({c: f"\\{c}" for c in "\\`*_{}[]<>|#"})
    cells = [[cell(record[name]).translate(escaped) for name in names] for record in records]
    lines = [list(names), ["---"] * len(names), *cells]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _as_latex(names: Sequence[str], records: Sequence[dict[str, Any]]) -> str:
    escaped = str.maketrans(
        {c: f"\\{c}" for c in "&%$#_{}"}
        | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    )
    lines = [list(names), *([cell(record[name]) for name in names] for record in records)]
    rows = [" & ".join(cell.translate(escaped) for cell in line) + r" \\" for line in lines]
    sides = "".join("l" if name in _LEFT else "r" for name in names)
    body = [rows[0], r"\hline", *rows[1:]]
    return "\n".join([rf"\begin{{tabular}}{{{sides}}}", *body, r"\end{tabular}"])


FORMS = {"csv": _as_csv, "json": _as_json, "markdown": _as_markdown, "latex": _as_latex}
