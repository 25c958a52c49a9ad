"""The table of a report as HTML: sortable on the page, static in notebooks."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from toeplitz_theory.reports.columns import COLUMNS, Column
from toeplitz_theory.reports.rows import Row
from toeplitz_theory.reports.wording import READING_GUIDE, cell_texts, number, summary_lines

if TYPE_CHECKING:
    from toeplitz_theory.reports.comparison import Comparison
    from toeplitz_theory.reports.report import Report

_WORDS = frozenset({"layer", "dtype", "note"})


def tooltip(column: Column) -> str:
    """What hovering over a heading says.

    Parameters
    ----------
    column : Column
        The column.

    Returns
    -------
    str
        Meaning, unit and status, not escaped.

    Examples
    --------
    >>> tooltip(COLUMNS[0])
    'Position of the Toeplitz layer in the model. [given]'
    """
    unit = f"{column.unit}; " if column.unit else ""
    return f"{column.meaning} [{unit}{column.status}]"


def _heading(column: Column, sortable: bool) -> str:
    kind = ' class="word"' if column.name in _WORDS else ""
    about = escape(tooltip(column), quote=True)
    label = escape(column.heading)
    unit = f"<small>{escape(column.unit)}</small>" if column.unit else ""
    if not sortable:
        return f'<th scope="col"{kind} title="{about}">{label}</th>'
    return (
        f'<th scope="col"{kind} aria-sort="none" title="{about}">'
        f'<button type="button">{label}<span class="order" aria-hidden="true"></span></button>{unit}</th>'
    )


def _sort_key(row: Row, column: Column) -> str:
    """What the page's script sorts by: numbers in full, missing ones empty."""
    value = row.cells()[column.name]
    if value is None:
        return ""
    return str(int(value)) if isinstance(value, bool) else str(value)


def table(rows: Sequence[Row], sortable: bool) -> str:
    """The rows as an HTML table.

    Parameters
    ----------
    rows : sequence of Row
        The rows.
    sortable : bool
        With buttons in the headings, keys for the page's script, and links to the panels.

    Returns
    -------
    str
        A ``table`` element, all strings escaped.

    Examples
    --------
    >>> table([], sortable=False).count("<th ")
    14
    """
    head = "".join(_heading(column, sortable) for column in COLUMNS)
    body = []
    for place, row in enumerate(rows):
        texts = cell_texts(row)
        cells = []
        for column in COLUMNS:
            text = escape(texts[column.name])
            kind = ' class="word"' if column.name in _WORDS else ""
            key = f' data-key="{escape(_sort_key(row, column), quote=True)}"' if sortable else ""
            if column.name == "layer":
                link = f'<a href="#k{place}">{text}</a>' if sortable else text
                cells.append(f'<th scope="row"{kind}{key}>{link}</th>')
            else:
                cells.append(f"<td{kind}{key}>{text}</td>")
        body.append(f"<tr>{''.join(cells)}</tr>")
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>"


def fragment(report: Report) -> str:
    """What a notebook shows of a report: summary, table, notes.

    Parameters
    ----------
    report : Report
        The report.

    Returns
    -------
    str
        HTML without style or script, so that the notebook's own applies.

    Examples
    --------
    >>> import numpy as np, toeplitz_theory as tt
    >>> "<table>" in fragment(tt.inspect({"blocks.0.mixer.weight": np.array([2.0, 1.0])}))
    True
    """
    lines = summary_lines(report.rows, report.provenance.tolerances["nullity_rtol"])
    parts = [f"<p><b>{escape(report.provenance.source)}</b><br>{'<br>'.join(map(escape, lines))}</p>"]
    parts.append(table(report.rows, sortable=False))
    parts += [f"<p>{escape(note)}</p>" for note in report.notes]
    if report.skipped:
        parts.append(skipped_list(report.skipped))
    parts.append(f"<details><summary>How to read this</summary><p>{escape(READING_GUIDE)}</p></details>")
    return f"<div>{''.join(parts)}</div>"


def skipped_list(skipped: Sequence[tuple[str, str]]) -> str:
    """What was not analysed, each with its reason.

    Parameters
    ----------
    skipped : sequence of (str, str)
        Names and reasons.

    Returns
    -------
    str
        HTML.

    Examples
    --------
    >>> skipped_list([])
    '<p>Nothing was skipped.</p>'
    """
    if not skipped:
        return "<p>Nothing was skipped.</p>"
    items = "".join(f"<li><code>{escape(name)}</code>: {escape(reason)}</li>" for name, reason in skipped)
    return f"<p>Not analysed:</p><ul>{items}</ul>"


def comparison_fragment(comparison: Comparison) -> str:
    """What a notebook shows of a comparison: the medians.

    Parameters
    ----------
    comparison : Comparison
        The comparison.

    Returns
    -------
    str
        HTML without style or script.

    Examples
    --------
    >>> import numpy as np, toeplitz_theory as tt
    >>> "<table>" in comparison_fragment(tt.compare({"a": {"blocks.0.mixer.weight": np.array([2.0, 1.0])}}))
    True
    """
    entries = comparison.medians()
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in entries[0])
    body = ""
    for entry in entries:
        cells = [escape(value) if isinstance(value, str) else number(value) for value in entry.values()]
        body += f'<tr><th scope="row">{cells[0]}</th>{"".join(f"<td>{cell}</td>" for cell in cells[1:])}</tr>'
    return (
        "<div><p>Medians over kernels. index_0: kernels whose Toeplitz operator T(a) is invertible on "
        "l2(N); w0_not_0: kernels whose n x n matrix is invertible.</p>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )
