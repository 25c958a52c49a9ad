"""A report as HTML: a page of one file that fetches nothing, and what a notebook shows.

Every string of a report may come from somebody else's file: all pass through `_text`.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from importlib.resources import files

from toeplitz_theory.errors import reason_of
from toeplitz_theory.names import shown
from toeplitz_theory.operators import Bracket
from toeplitz_theory.reports.progress import watched
from toeplitz_theory.reports.provenance import Provenance
from toeplitz_theory.reports.rows import COLUMNS, Column, Row
from toeplitz_theory.reports.sentences import (
    READING_GUIDE,
    cell_texts,
    index_words,
    number,
    paragraph,
    summary_lines,
)
from toeplitz_theory.reports.svg import symbol_svg, zeros_svg
from toeplitz_theory.reports.verdict import VERDICT, verdict_texts

Skipped = Sequence[tuple[str, str]]

_WORDS = frozenset({"layer", "dtype", "note"})
_LEGEND = (
    '<p class="hint">Left: the symbol a(e<sup>iθ</sup>), 0 ≤ θ ≤ 2π, with arrows in the direction of θ. '
    "The origin is marked ⊕; the index is minus the number of turns around it. Right: the zeros of a. "
    '<span class="key">●</span> inside the unit circle, each counts -1; '
    '<span class="key">×</span> outside; <span class="key">□</span> side not proved. '
    "The radius is true up to 1 and drawn as 1.5 - 1/(2r) beyond: the outermost circle is infinity.</p>"
)


def page(
    rows: Sequence[Row],
    skipped: Skipped,
    notes: Sequence[str],
    provenance: Provenance,
    progress: bool = False,
) -> str:
    """The whole page, with its style and script in it; a progress bar on stderr if it is wanted.

    Examples
    --------
    >>> import numpy as np, toeplitz_theory as tt
    >>> report = tt.inspect({"<b>.blocks.0.mixer.weight": np.array([2.0, 1.0])})
    >>> text = page(report.rows, report.skipped, report.notes, report.provenance)
    >>> text.startswith("<!DOCTYPE html>"), "<b>" in text
    (True, False)
    """
    here = files("toeplitz_theory.reports")
    style = here.joinpath("page.css").read_text(encoding="utf-8")
    script = here.joinpath("page.js").read_text(encoding="utf-8")
    source = _text(provenance.source)
    lines = summary_lines(rows, provenance.tolerances["nullity_rtol"])
    panels = [_panel(place, row) for place, row in enumerate(watched(rows, progress, "panels"))]
    parts = [
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">',
        '<meta name="generator" content="toeplitz-theory">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>Toeplitz layers of {source}</title><style>{style}</style></head><body><main>",
        f"<h1>Toeplitz layers of <code>{source}</code></h1>",
        f'<div class="scroll">{_verdict(rows)}</div>',
        f'<ul class="summary">{"".join(f"<li>{_text(line)}</li>" for line in lines)}</ul>',
        *(f"<p>{_text(note)}</p>" for note in notes),
        f'<p class="guide">{escape(READING_GUIDE)}</p>',
        '<h2 id="table">Table</h2>',
        '<p class="hint">Click a heading to sort; hover over it for its meaning.</p>',
        f'<div class="scroll">{table(rows, sortable=True)}</div>',
        _column_list(),
        f"<h2>Skipped</h2>{_skipped_list(skipped)}",
        f"<h2>Symbols and zeros</h2>{_LEGEND}",
        f'<div class="panels">{"".join(panels)}</div>',
        f"<h2>Provenance</h2>{_provenance(provenance)}",
        f"</main><script>{script}</script></body></html>\n",
    ]
    return "".join(parts)


def fragment(rows: Sequence[Row], skipped: Skipped, notes: Sequence[str], provenance: Provenance) -> str:
    """What a notebook shows: summary, table, notes, without style or script, so that its own apply.

    Examples
    --------
    >>> import numpy as np, toeplitz_theory as tt
    >>> "<table>" in tt.inspect({"blocks.0.mixer.weight": np.array([2.0, 1.0])})._repr_html_()
    True
    """
    lines = summary_lines(rows, provenance.tolerances["nullity_rtol"])
    parts = [
        f"<p><b>{_text(provenance.source)}</b></p>",
        _verdict(rows),
        f"<p>{'<br>'.join(map(_text, lines))}</p>",
        table(rows, sortable=False),
        *(f"<p>{_text(note)}</p>" for note in notes),
        _skipped_list(skipped) if skipped else "",
        f"<details><summary>How to read this</summary><p>{escape(READING_GUIDE)}</p></details>",
    ]
    return f"<div>{''.join(parts)}</div>"


def table(rows: Sequence[Row], sortable: bool) -> str:
    """The rows as a table; ``sortable``: with buttons and keys for the page's script, and links to panels.

    Examples
    --------
    >>> table([], sortable=False).count("<th ") == len(COLUMNS)
    True
    """
    head = "".join(_heading(column, sortable) for column in COLUMNS)
    body = "".join(_table_row(place, row, sortable) for place, row in enumerate(rows))
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _verdict(rows: Sequence[Row]) -> str:
    """One line a layer: what its kernels, by their medians, do to the input."""
    kinds = ["" if name not in ("layer", "gives_back") else ' class="word"' for name, _ in VERDICT]
    head = "".join(
        f'<th scope="col"{kind}>{heading}</th>' for (_, heading), kind in zip(VERDICT, kinds, strict=True)
    )
    names = [name for name, _ in VERDICT]
    lines = [
        [f"<td{kind}>{_text(texts[name])}</td>" for name, kind in zip(names, kinds, strict=True)]
        for texts in verdict_texts(rows)
    ]
    body = "".join(f"<tr>{''.join(cells)}</tr>" for cells in lines)
    about = "Medians over the kernels of a layer; certified: kernels whose index is proved."
    inner = f"<caption>{about}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody>"
    return f'<table class="verdict">{inner}</table>'


def _text(foreign: str, quote: bool = False) -> str:
    return escape(paragraph(foreign), quote=quote)


def _heading(column: Column, sortable: bool) -> str:
    kind = ' class="word"' if column.name in _WORDS else ""
    about = escape(_tooltip(column), quote=True)
    label = escape(column.heading)
    unit = f"<small>{escape(column.unit)}</small>" if column.unit else ""
    if not sortable:
        return f'<th scope="col"{kind} title="{about}">{label}</th>'
    return (
        f'<th scope="col"{kind} aria-sort="none" title="{about}">'
        f'<button type="button">{label}<span class="order" aria-hidden="true"></span></button>{unit}</th>'
    )


def _tooltip(column: Column) -> str:
    unit = f"{column.unit}; " if column.unit else ""
    return f"{column.meaning} [{unit}{column.status}]"


def _table_row(place: int, row: Row, sortable: bool) -> str:
    values, texts = row.cells(), cell_texts(row)
    cells = []
    for column in COLUMNS:
        text = escape(texts[column.name])
        kind = ' class="word"' if column.name in _WORDS else ""
        key = f' data-key="{_text(_sort_key(values[column.name]), quote=True)}"' if sortable else ""
        if column.name == "layer":
            link = f'<a href="#k{place}">{text}</a>' if sortable else text
            cells.append(f'<th scope="row"{kind}{key}>{link}</th>')
        else:
            cells.append(f"<td{kind}{key}>{text}</td>")
    return f"<tr>{''.join(cells)}</tr>"


def _sort_key(value: str | float | None) -> str:
    """What the page's script sorts by: numbers in full, missing ones empty."""
    if value is None:
        return ""
    return str(int(value)) if isinstance(value, bool) else str(value)


def _column_list() -> str:
    items = "".join(f"<dt>{escape(c.heading)}</dt><dd>{escape(_tooltip(c))}</dd>" for c in COLUMNS)
    return f'<details class="columns"><summary>What the columns mean</summary><dl>{items}</dl></details>'


def _skipped_list(skipped: Skipped) -> str:
    if not skipped:
        return "<p>Nothing was skipped.</p>"
    items = "".join(
        f"<li><code>{_text(shown(name))}</code>: {_text(reason)}</li>" for name, reason in skipped
    )
    return f"<p>Not analysed:</p><ul>{items}</ul>"


def _panel(place: int, row: Row) -> str:
    name = shown(row.name)
    note = f"<p>{_text(row.note)}</p>" if row.note else ""
    if not row.analysed:
        return f'<section class="panel" id="k{place}"><h3>{escape(name)}</h3>{note}</section>'
    words = index_words(row.index.value if row.index else None)
    try:
        drawn = symbol_svg(row.kernel, f"Symbol of {name}, {words}") + _zeros(row, name)
    except Exception as error:  # whatever one kernel raises, the page stands and says so
        drawn = f'<p class="missing">not drawn: {_text(reason_of(error))}</p>'
    return (
        f'<section class="panel" id="k{place}"><h3>{escape(name)}: {words}</h3>'
        f'<div class="pair">{drawn}</div><p>{_evidence(row)}</p>{note}</section>'
    )


def _zeros(row: Row, name: str) -> str:
    try:
        zeros = row.zeros
    except Exception as error:
        return f'<p class="missing">zeros: {_text(reason_of(error))}</p>'
    inside, outside = zeros.inside(), zeros.outside()
    title = f"Zeros of {name}: {inside.size} inside the unit circle, {outside.size} outside"
    return zeros_svg(inside, outside, zeros.undecided(), title)


def _evidence(row: Row) -> str:
    parts = [
        f"n = {row.n}",
        f"with residual: {index_words(row.index_residual.value if row.index_residual else None)}",
        f"zeros near circle {number(row.zeros_near_circle)}",
        _bracket("recovered at once", row.recovered_at_once),
        f"half after {number(row.delay_50)}, 90 % after {number(row.delay_90)} tokens "
        f"(with residual {number(row.residual_delay_90)})",
        _bracket("min |a|", row.min_modulus),
        _bracket("J", row.jensen_deficit, " nats/token"),
        _bracket("log10 condition", row.log10_condition),
        f"nullity {number(row.nullity)}",
        f"bits in bfloat16 {number(row.bits_bfloat16.value if row.bits_bfloat16 else None)}",
        f"w[0] = {number(row.w0)}",
        f"tensor {shown(row.key)}",
    ]
    return _text("; ".join(parts))


def _bracket(name: str, result: Bracket | None, unit: str = "") -> str:
    if result is None:
        return f"{name} {number(None)}"
    if result.lower == result.upper:
        return f"{name} {number(result.value)}{unit}"
    kind = "" if result.certified else " (estimate)"
    # Enough digits to tell the bounds apart, up to all that a double has.
    for digits in range(4, 18):
        low, high = number(result.lower, digits), number(result.upper, digits)
        if low != high:
            break
    if digits > 7:
        return f"{name} {number(result.value, 10)}{unit}{kind}"
    return f"{name} {number(result.value, digits)} in [{low}, {high}]{unit}{kind}"


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
    items = "".join(f"<dt>{escape(name)}</dt><dd>{_text(value)}</dd>" for name, value in entries)
    return f'<dl class="provenance">{items}</dl>'
