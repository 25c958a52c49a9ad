"""Reports on a terminal: tables that fit the window, or plain aligned columns when piped."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, TextIO

from toeplitz_theory.errors import InputError
from toeplitz_theory.names import shown
from toeplitz_theory.reports.comparison import EXPLAINED, Comparison
from toeplitz_theory.reports.report import Report
from toeplitz_theory.reports.rows import COLUMN_NAMES, Row
from toeplitz_theory.reports.sentences import (
    cell,
    cell_texts,
    counted,
    counts,
    number,
    paragraph,
    summary_lines,
)
from toeplitz_theory.reports.tables import FORMS, aligned, rich_table, tabulated
from toeplitz_theory.reports.verdict import (
    MEDIANS,
    MOST_DRAWN,
    SUMMARY_NAMES,
    VERDICT,
    by_layer,
    latest,
    verdict_texts,
)

if TYPE_CHECKING:
    from toeplitz_theory.reports.shipped import ShippedModel

# The same for every row of most models: said once above the table there, to leave room for the numbers.
_SAID_ONCE = ("n", "dtype")
# Different notes on kernels that the table of layers has room for.
_MOST_NOTES = 5


@dataclass(frozen=True)
class Choice:
    """What is to be printed of a report.

    Parameters
    ----------
    every : bool
        One line for each kernel instead of one for each layer.
    layers : tuple of str
        Names or shell patterns of the layers to show; all when there are none.
    columns : tuple of str
        What to show, in this order: of ``report.table`` with ``every``, of ``report.summary`` without.
    sort : str
        The column to sort by, upwards, or downwards after a minus sign; missing values come last.
    form : {"table", "csv", "json", "markdown", "latex"}
        All but "table" print the table alone.

    Raises
    ------
    InputError
        An unknown column or form.

    Examples
    --------
    >>> Choice(columns=("layer", "delay_90")).form
    'table'
    """

    every: bool = False
    layers: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    sort: str = ""
    form: str = "table"

    def __post_init__(self) -> None:
        if self.form != "table" and self.form not in FORMS:
            raise InputError(f"format {shown(self.form)!r} is unknown; choose from table, {', '.join(FORMS)}")
        known = COLUMN_NAMES if self.every else SUMMARY_NAMES
        sorted_by = [self.sort.removeprefix("-")] if self.sort else []
        for name in (*self.columns, *sorted_by):
            if name not in known:
                raise InputError(f"column {shown(name)!r} is unknown; choose from {', '.join(known)}")


def print_report(report: Report, stream: TextIO | None = None, choice: Choice = Choice()) -> None:
    """Print a report: what it says as a whole, notes, what was skipped; last the layers, or all kernels.

    Folded to the window where ``stream``, standard output by default, is one; plain otherwise. InputError if
    no layer is called as ``choice`` says.

    Examples
    --------
    >>> import numpy as np
    >>> from toeplitz_theory.reports import inspect
    >>> print_report(inspect({"blocks.0.mixer.weight": np.array([2.0, 1.0])}))  # doctest: +ELLIPSIS
    a state dict in memory
      1 kernel in 1 Toeplitz layer, n = 2, float64...
    """
    out = stream or sys.stdout
    report = _of_layers(report, choice.layers)
    if choice.form != "table":
        print(FORMS[choice.form](*_records(report.rows, choice)), file=out)
        return
    width = _window(out)
    lines = [shown(report.provenance.source)]
    lines += [
        f"  {line}" for line in summary_lines(report.rows, report.provenance.tolerances["nullity_rtol"])
    ]
    if report.notes:
        notes = map(paragraph, report.notes)
        lines += ["", *(textwrap.fill(note, width) if width else note for note in notes)]
    if report.skipped:
        lines += ["", f"skipped ({len(report.skipped)}):"]
        lines += [f"  {shown(name)}: {paragraph(reason)}" for name, reason in report.skipped]
    print("\n".join([*lines, "", _body(report.rows, choice, width).rstrip()]), file=out)


def _of_layers(report: Report, patterns: Sequence[str]) -> Report:
    if not patterns:
        return report
    layers = dict.fromkeys(row.layer for row in report.rows)
    kept: set[str] = set()
    for pattern in patterns:
        called = {pattern} & set(layers) or {name for name in layers if fnmatchcase(name, pattern)}
        if not called:
            names = ", ".join(map(shown, layers))
            raise InputError(f"no layer is called {shown(pattern)!r}; there are {shown(names, 600)}")
        kept |= called
    return replace(report, rows=tuple(row for row in report.rows if row.layer in kept))


def _records(rows: Sequence[Row], choice: Choice) -> tuple[Sequence[str], list[dict[str, Any]]]:
    """The chosen columns, and the sorted lines of the table with all of theirs."""
    records = [row.cells() for row in rows] if choice.every else by_layer(rows)
    if choice.sort:
        name = choice.sort.removeprefix("-")
        there = [record for record in records if record[name] is not None]
        there.sort(key=lambda record: record[name], reverse=choice.sort.startswith("-"))
        records = there + [record for record in records if record[name] is None]
    return choice.columns or (COLUMN_NAMES if choice.every else SUMMARY_NAMES), records


def _body(rows: Sequence[Row], choice: Choice, width: int | None) -> str:
    """The table for a reader, with the notes of its kernels."""
    if choice.columns or choice.sort:
        names, records = _records(rows, choice)
        if not choice.columns and not choice.every:
            names = [name for name, _ in VERDICT]
        return tabulated(names, [[cell(record[name]) for name in names] for record in records], width)
    if choice.every:
        return render(rows, None, width)
    entries = verdict_texts(rows)
    # What a quick look leaves out has no column.
    columns = [(name, heading) for name, heading in VERDICT if any(entry[name] != "NA" for entry in entries)]
    lines = [[entry[name] for name, _ in columns] for entry in entries]
    table = tabulated([heading for _, heading in columns], lines, width)
    return "\n".join([table.rstrip(), *_latest(rows), *_few_notes(rows, width)])


def _latest(rows: Sequence[Row]) -> list[str]:
    """Of more kernels than anyone reads through, those that need a look, by name."""
    if len(rows) <= MOST_DRAWN:
        return []
    lines = []
    for row in latest(rows, _MOST_NOTES):
        late = "not known" if row.delay_90 is None else f"90 % after {counts(row.delay_90)} tokens"
        lines.append(f"  {shown(row.name)}: {late}")
    return ["", f"the latest of {len(rows)} kernels, those that could not be analysed first:", *lines]


def _few_notes(rows: Sequence[Row], width: int | None) -> list[str]:
    """The notes on kernels, each once with the number of its kernels; only their number if they are many."""
    kernels = Counter(row.note for row in rows if row.note)
    if len(kernels) > _MOST_NOTES:
        return [f"{kernels.total()} kernels have notes: --all shows them"]
    notes = [f"{counted(count, 'kernel')}: {paragraph(note)}" for note, count in kernels.items()]
    return [textwrap.fill(note, width, subsequent_indent="  ") if width else note for note in notes]


def _footnotes(rows: Sequence[Row]) -> tuple[list[str], list[str]]:
    """A mark for each row, and the notes the marks stand for; equal notes share a mark."""
    places: dict[str, int] = {}
    marks = [f"[{places.setdefault(row.note, len(places) + 1)}]" if row.note else "" for row in rows]
    return marks, [f"[{k}] {paragraph(note)}" for note, k in places.items()]


def render(rows: Sequence[Row], models: Sequence[str] | None, width: int | None) -> str:
    """All kernels as text, with a leading column of ``models`` if given.

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
    for texts, model in zip(cells, models or [""] * len(cells), strict=True):
        texts["model"] = model
    if width is None:
        return aligned(extra + names, [[texts[name] for name in extra + names] for texts in cells])
    marks, notes = _footnotes(rows)
    for texts, mark in zip(cells, marks, strict=True):
        texts["note"] = mark
    hidden = [name for name in _SAID_ONCE if len({texts[name] for texts in cells}) == 1]
    hidden += [name for name in names if all(texts[name] in ("", "-", "NA") for texts in cells)]
    names = extra + [name for name in names if name not in hidden]
    table = rich_table(names, [[texts[name] for name in names] for texts in cells], width)
    return table + "\n".join(line for note in notes for line in textwrap.wrap(note, width))


def print_comparison(comparison: Comparison, stream: TextIO | None = None) -> None:
    """Print all rows of several models, then their medians.

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
    lines = [[cell(entry[name]) for name in header] for entry in comparison.medians()]
    names = [shown(name) for name, report in comparison.reports.items() for _ in report.rows]
    rows = [row for report in comparison.reports.values() for row in report.rows]
    table = tabulated(header, lines, width).rstrip()
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
            cell(model.name),
            cell(model.objective),
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


def _window(stream: TextIO) -> int | None:
    return shutil.get_terminal_size((100, 24)).columns if stream.isatty() else None
