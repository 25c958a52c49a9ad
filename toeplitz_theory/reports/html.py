"""A report as HTML: a page of one file that fetches nothing, and what a notebook shows.

Every string of a report may come from somebody else's file: all pass through `_text`.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from importlib.resources import files

from toeplitz_theory.names import shown
from toeplitz_theory.reports.page_kernel import LEGEND, panel
from toeplitz_theory.reports.page_layers import charts, verdict
from toeplitz_theory.reports.progress import watched
from toeplitz_theory.reports.provenance import Provenance
from toeplitz_theory.reports.rows import COLUMNS, Column, Row
from toeplitz_theory.reports.sentences import READING_GUIDE, cell_texts, counted, paragraph, summary_lines
from toeplitz_theory.reports.verdict import MOST_DRAWN, latest

Skipped = Sequence[tuple[str, str]]

_WORDS = frozenset({"layer", "dtype", "note"})
# Columns left out of sight where they say the same of every kernel, or nothing of any; the CSV has them.
_SAID_ONCE = ("n", "dtype", "note")
# Of a model with more kernels than are drawn, those that need a look are in the table and have panels.
_LATEST = 24
_SINGLE = 7.2  # decimal digits of float32: what a condition number can cost
_FILTER = (
    '<div class="tools"><input id="filter" type="search" aria-label="Filter" spellcheck="false" '
    'placeholder="filter: blocks.1 delay_90>100"><span id="left"></span>'
    '<button type="button" id="csv">CSV of these</button></div>'
    '<p class="hint">Click a heading to sort; hover over it for its meaning and its name in filters. '
    '<span class="key good">good</span>: index 0, 90 % back at once, condition within float32, nullity 0. '
    '<span class="key bad">look here</span>: not proved, 90 % back after half the window or later, '
    "a minimum of |a| or a w[0] of 0.</p>"
)


def page(
    rows: Sequence[Row],
    skipped: Skipped,
    notes: Sequence[str],
    provenance: Provenance,
    progress: bool = False,
) -> str:
    """The whole page, with its style and script in it; a progress bar on stderr if it is wanted.

    Of more than 200 kernels the layers' distributions are drawn, and only the latest kernels one by one.

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
    chosen = list(rows) if len(rows) <= MOST_DRAWN else latest(rows, _LATEST)
    places = {id(row): place for place, row in enumerate(rows)}
    linked = [places[id(row)] for row in chosen]
    panels = [panel(places[id(row)], row) for row in watched(chosen, progress, "panels")]
    what = ""
    if len(chosen) < len(rows):
        what = (
            f"<p>The {len(chosen)} of {counted(len(rows), 'kernel')} that give back latest or could not be "
            "analysed; a report written with --json, or --all --format csv, has every one.</p>"
        )
    numbers = f'{what}{_FILTER}<div class="tall">{table(chosen, linked)}</div>{_column_list()}'
    sections = [
        ("layers", "By layer", charts(rows, frozenset(linked))),
        ("table", "Kernels in numbers", numbers),
        ("drawings", "Kernels drawn", f'{what}{LEGEND}<div class="panels">{"".join(panels)}</div>'),
        ("skipped", "Skipped", _skipped_list(skipped)),
        ("reading", "How to read this", f'<p class="guide">{escape(READING_GUIDE)}</p>'),
        ("provenance", "Provenance", _provenance(provenance)),
    ]
    contents = "".join(f'<a href="#{name}">{heading}</a>' for name, heading, _ in sections)
    parts = [
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">',
        '<meta name="generator" content="toeplitz-theory">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>Toeplitz layers of {source}</title><style>{style}</style></head><body><main>",
        f"<h1>Toeplitz layers of <code>{source}</code></h1><nav>{contents}</nav>{verdict(rows)}",
        f'<ul class="summary">{"".join(f"<li>{_text(line)}</li>" for line in lines)}</ul>',
        *(f"<p>{_text(note)}</p>" for note in notes),
        *(f'<h2 id="{name}">{heading}</h2>{body}' for name, heading, body in sections),
        f"</main><script>{script}</script></body></html>\n",
    ]
    return "".join(parts)


_FEW_KERNELS = 12  # that a notebook shows without being asked


def fragment(rows: Sequence[Row], skipped: Skipped, notes: Sequence[str], provenance: Provenance) -> str:
    """What a notebook shows: summary, table, notes, without style or script, so that its own apply.

    Examples
    --------
    >>> import numpy as np, toeplitz_theory as tt
    >>> "<table>" in tt.inspect({"blocks.0.mixer.weight": np.array([2.0, 1.0])})._repr_html_()
    True
    """
    lines = summary_lines(rows, provenance.tolerances["nullity_rtol"])
    opened = " open" if len(rows) <= _FEW_KERNELS else ""
    parts = [
        f"<p><b>{_text(provenance.source)}</b></p>",
        verdict(rows),
        f"<p>{'<br>'.join(map(_text, lines))}</p>",
        f"<details{opened}><summary>Every kernel</summary>",
        f'<div style="overflow-x:auto">{table(rows)}</div></details>',
        *(f"<p>{_text(note)}</p>" for note in notes),
        _skipped_list(skipped) if skipped else "",
        f"<details><summary>How to read this</summary><p>{escape(READING_GUIDE)}</p></details>",
    ]
    return f"<div>{''.join(parts)}</div>"


def table(rows: Sequence[Row], places: Sequence[int] | None = None) -> str:
    """The rows as a table; with the numbers of their panels: for the page's script to sort and filter.

    Examples
    --------
    >>> table([]).count("<th ") == len(COLUMNS)
    True
    """
    texts = [cell_texts(row) for row in rows]
    if places is None:
        head = "".join(_heading(column, False, False) for column in COLUMNS)
        body = "".join(_plain_row(text) for text in texts)
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    hidden = {name for name in _SAID_ONCE if len({text[name] for text in texts}) == 1}
    hidden |= {c.name for c in COLUMNS if texts and all(text[c.name] in ("NA", "-") for text in texts)}
    head = "".join(_heading(column, True, column.name in hidden) for column in COLUMNS)
    numbered = zip(places, rows, texts, strict=True)
    body = "".join(_sortable_row(place, row, text, hidden) for place, row, text in numbered)
    return f'<table id="kernels"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def _text(foreign: str, quote: bool = False) -> str:
    return escape(paragraph(foreign), quote=quote)


def _heading(column: Column, sortable: bool, hidden: bool) -> str:
    about = escape(_tooltip(column), quote=True)
    label = escape(column.heading)
    unit = f"<small>{escape(column.unit)}</small>" if column.unit else ""
    if not sortable:
        room = (
            ' style="min-width:24em"' if column.name == "note" else ""
        )  # or a note of a line makes a tall row
        return f'<th scope="col"{_kind(column, "")}{room} title="{about}">{label}</th>'
    return (
        f'<th scope="col"{_kind(column, "same" if hidden else "")} aria-sort="none" '
        f'data-name="{column.name}" title="{column.name}: {about}">'
        f'<button type="button">{label}<span class="order" aria-hidden="true"></span></button>{unit}</th>'
    )


def _kind(column: Column, more: str) -> str:
    names = [*(["word"] if column.name in _WORDS else []), *(["note"] if column.name == "note" else [])]
    names += [more] if more else []
    return f' class="{" ".join(names)}"' if names else ""


def _tooltip(column: Column) -> str:
    unit = f"{column.unit}; " if column.unit else ""
    return f"{column.meaning} [{unit}{column.status}]"


def _plain_row(texts: dict[str, str]) -> str:
    first, *others = COLUMNS
    cells = [f'<th scope="row"{_kind(first, "")}>{escape(texts[first.name])}</th>']
    cells += [f"<td{_kind(column, '')}>{escape(texts[column.name])}</td>" for column in others]
    return f"<tr>{''.join(cells)}</tr>"


def _sortable_row(place: int, row: Row, texts: dict[str, str], hidden: set[str]) -> str:
    values = row.cells()
    first, *others = COLUMNS
    key = _text(_sort_key(values[first.name]), quote=True)
    link = f'<a href="#k{place}">{escape(texts[first.name])}</a>'
    cells = [f'<th scope="row"{_kind(first, "")} data-key="{key}">{link}</th>']
    for column in others:
        text = escape(texts[column.name])
        kind = "same" if column.name in hidden else _meaning(column.name, values[column.name], row.n)
        key = _text(_sort_key(values[column.name]), quote=True)
        cells.append(f'<td{_kind(column, kind)} data-key="{key}">{text}</td>')
    return f'<tr data-panel="k{place}">{"".join(cells)}</tr>'


def _meaning(name: str, value: str | float | None, n: int) -> str:
    """The class of a cell that says by its colour whether a number is good or asks for a look; else ""."""
    if value is None or isinstance(value, str):
        return ""
    good = {
        "index": value == 0,
        "index_residual": value == 0,
        "recovered_at_once": value >= 0.9,
        "delay_90": value == 0,
        "residual_delay_90": value == 0,
        "log10_condition": value <= _SINGLE,
        "nullity": value == 0,
    }
    bad = {
        "certified": not value,
        "delay_90": value >= n / 2,
        "residual_delay_90": value >= n / 2,
        "min_modulus": value == 0,
        "w0": value == 0,
    }
    return "good" if good.get(name) else "bad" if bad.get(name) else ""


def _sort_key(value: str | float | None) -> str:
    """What the page's script sorts by: numbers in full, missing ones empty."""
    if value is None:
        return ""
    return str(value)


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
