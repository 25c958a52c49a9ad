"""The HTML page of a report: one file, no network; table, panels, provenance."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING

from toeplitz_theory.errors import NumericalError
from toeplitz_theory.reports.progress import watched
from toeplitz_theory.reports.rows import COLUMNS, Bracketed, Column, Row
from toeplitz_theory.reports.sentences import READING_GUIDE, cell_texts, number, summary_lines
from toeplitz_theory.reports.svg import index_words, symbol_svg, zeros_svg

if TYPE_CHECKING:
    from toeplitz_theory.reports.comparison import Comparison
    from toeplitz_theory.reports.provenance import Provenance
    from toeplitz_theory.reports.report import Report


def page(report: Report, progress: bool = False) -> str:
    """The whole page.

    Parameters
    ----------
    report : Report
        The report.
    progress : bool
        Show a progress bar on stderr, once the drawing has taken a second.

    Returns
    -------
    str
        An HTML document with its style and script in it; every string of the report is escaped.

    Examples
    --------
    >>> import numpy as np, toeplitz_theory as tt
    >>> text = page(tt.inspect({"<b>.blocks.0.mixer.weight": np.array([2.0, 1.0])}))
    >>> text.startswith("<!DOCTYPE html>"), "<b>" in text
    (True, False)
    """
    here = files("toeplitz_theory.reports")
    style = here.joinpath("page.css").read_text(encoding="utf-8")
    script = here.joinpath("page.js").read_text(encoding="utf-8")
    source = escape(report.provenance.source)
    lines = summary_lines(report.rows, report.provenance.tolerances["nullity_rtol"])
    panels = [_panel(place, row) for place, row in enumerate(watched(report.rows, progress, "panels"))]
    parts = [
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>Toeplitz layers of {source}</title><style>{style}</style></head><body><main>",
        f"<h1>Toeplitz layers of <code>{source}</code></h1>",
        f'<ul class="summary">{"".join(f"<li>{escape(line)}</li>" for line in lines)}</ul>',
        *(f"<p>{escape(note)}</p>" for note in report.notes),
        f'<p class="guide">{escape(READING_GUIDE)}</p>',
        '<h2 id="table">Table</h2>',
        '<p class="hint">Click a heading to sort; hover over it for its meaning.</p>',
        f'<div class="scroll">{table(report.rows, sortable=True)}</div>',
        _column_list(),
        f"<h2>Skipped</h2>{skipped_list(report.skipped)}",
        f"<h2>Symbols and zeros</h2>{_LEGEND}",
        f'<div class="panels">{"".join(panels)}</div>',
        f"<h2>Provenance</h2>{_provenance(report.provenance)}",
        f"</main><script>{script}</script></body></html>\n",
    ]
    return "".join(parts)


_LEGEND = (
    '<p class="hint">Left: the symbol a(e<sup>iθ</sup>), 0 ≤ θ ≤ 2π, with arrows in the direction of θ. '
    "The origin is marked ⊕; the index is minus the number of turns around it. Right: the zeros of a. "
    '<span class="key">●</span> inside the unit circle, each counts -1; '
    '<span class="key">×</span> outside; <span class="key">□</span> side not proved. '
    "The radius is true up to 1 and drawn as 1.5 - 1/(2r) beyond: the outermost circle is infinity.</p>"
)


def _column_list() -> str:
    items = "".join(f"<dt>{escape(c.heading)}</dt><dd>{escape(tooltip(c))}</dd>" for c in COLUMNS)
    return f'<details class="columns"><summary>What the columns mean</summary><dl>{items}</dl></details>'


def _panel(place: int, row: Row) -> str:
    name = escape(row.name)
    if not row.analysed:
        return f'<section class="panel" id="k{place}"><h3>{name}</h3><p>{escape(row.note)}</p></section>'
    assert row.index is not None
    words = index_words(row.index.value)
    note = f"<p>{escape(row.note)}</p>" if row.note else ""
    return (
        f'<section class="panel" id="k{place}"><h3>{name}: {escape(words)}</h3>'
        f'<div class="pair">{symbol_svg(row.kernel, f"Symbol of {row.name}, {words}")}{_zeros(row)}</div>'
        f"<p>{_evidence(row)}</p>{note}</section>"
    )


def _zeros(row: Row) -> str:
    try:
        zeros = row.zeros
    except NumericalError as error:
        return f'<p class="missing">zeros: {escape(str(error))}</p>'
    inside, outside, undecided = zeros.inside(), zeros.outside(), zeros.undecided()
    title = f"Zeros of {row.name}: {inside.size} inside the unit circle, {outside.size} outside"
    return zeros_svg(inside, outside, undecided, title)


def _bracket(name: str, found: Bracketed | None, unit: str = "") -> str:
    if found is None:
        return f"{name} not available"
    if found.lower == found.upper:
        return f"{name} {number(found.value)}{unit}"
    kind = "" if found.certified else " (estimate)"
    # Enough digits to tell the bounds apart, up to all that a double has.
    for digits in range(4, 18):
        low, high = number(found.lower, digits), number(found.upper, digits)
        if low != high:
            break
    if digits > 7:
        return f"{name} {number(found.value, 10)}{unit}{kind}"
    return f"{name} {number(found.value, digits)} in [{low}, {high}]{unit}{kind}"


def _evidence(row: Row) -> str:
    assert row.index is not None
    zeros_near = "not certified" if row.zeros_near_circle is None else str(row.zeros_near_circle)
    stream = row.index_residual.value if row.index_residual else None
    parts = [
        f"n = {row.n}",
        f"with residual: {index_words(stream)}",
        f"zeros near circle {zeros_near}",
        _bracket("min |a|", row.min_modulus),
        _bracket("J", row.jensen_deficit, " nats/token"),
        _bracket("log10 condition", row.log10_condition),
        f"nullity {number(row.nullity.value) if row.nullity else 'not available'}",
        f"w[0] = {number(row.w0)}",
        f"tensor {row.key}",
    ]
    return escape("; ".join(parts))


def _provenance(provenance: Provenance) -> str:
    entries = [("source", provenance.source)]
    entries += [
        ("file", f"{file.path}, {file.bytes:,} bytes, sha256 {file.sha256}") for file in provenance.files
    ]
    entries += [
        ("stored type", ", ".join(provenance.dtypes) + "; analysed in float64, stored values taken as exact"),
        ("n", ", ".join(map(str, provenance.n))),
        ("convention", provenance.convention),
        ("tolerances", ", ".join(f"{name} = {value:g}" for name, value in provenance.tolerances.items())),
        ("versions", ", ".join(f"{name} {version}" for name, version in provenance.versions.items())),
        ("commit", provenance.commit or "not run from a checkout"),
        ("time", provenance.time),
        ("platform", provenance.platform),
    ]
    items = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in entries)
    return f'<dl class="provenance">{items}</dl>'


# The table of a report as HTML: sortable on the page, static in notebooks.


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
