"""A report as HTML: the page, and what a notebook shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from toeplitz_theory.names import shown
from toeplitz_theory.reports.html import render
from toeplitz_theory.reports.page_kernel import panel
from toeplitz_theory.reports.page_layers import charts
from toeplitz_theory.reports.progress import watched
from toeplitz_theory.reports.provenance import Provenance
from toeplitz_theory.reports.rows import COLUMNS, Row
from toeplitz_theory.reports.sentences import READING_GUIDE, cell_texts, summary_lines
from toeplitz_theory.reports.verdict import MOST_DRAWN, VERDICT, latest, verdict_texts

Skipped = Sequence[tuple[str, str]]

# Columns left out of sight where they say the same of every kernel, or nothing of any; the CSV has them.
_SAID_ONCE = ("n", "dtype", "note")
# Of a model with more kernels than are drawn, those that need a look are in the table and have panels.
_LATEST = 24
_FEW_KERNELS = 12  # that a notebook shows without being asked
_SINGLE = 7.2  # decimal digits of float32: what a condition number can cost


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
    chosen = list(rows) if len(rows) <= MOST_DRAWN else latest(rows, _LATEST)
    places = {id(row): place for place, row in enumerate(rows)}
    linked = [places[id(row)] for row in chosen]
    return render(
        "report.html",
        **_said(rows, skipped, notes, provenance),
        charts=charts(rows, frozenset(linked)),
        chosen=len(chosen),
        kernels=len(rows),
        table=table(chosen, linked),
        columns=COLUMNS,
        panels=[panel(places[id(row)], row) for row in watched(chosen, progress, "panels")],
        provenance=_entries(provenance),
    )


def fragment(rows: Sequence[Row], skipped: Skipped, notes: Sequence[str], provenance: Provenance) -> str:
    """What a notebook shows: summary, table, notes, without style or script, so that its own apply.

    Examples
    --------
    >>> import numpy as np, toeplitz_theory as tt
    >>> "<table>" in tt.inspect({"blocks.0.mixer.weight": np.array([2.0, 1.0])})._repr_html_()
    True
    """
    said = _said(rows, skipped, notes, provenance)
    return render("fragment.html", **said, table=table(rows), few=len(rows) <= _FEW_KERNELS)


def _said(
    rows: Sequence[Row], skipped: Skipped, notes: Sequence[str], provenance: Provenance
) -> dict[str, Any]:
    """What the page and a notebook both say."""
    return {
        "source": provenance.source,
        "verdict_head": [heading for _, heading in VERDICT],
        "verdict_rows": [[texts[name] for name, _ in VERDICT] for texts in verdict_texts(rows)],
        "summary": summary_lines(rows, provenance.tolerances["nullity_rtol"]),
        "notes": notes,
        "skipped": [(shown(name), reason) for name, reason in skipped],
        "reading_guide": READING_GUIDE,
    }


def table(rows: Sequence[Row], places: Sequence[int] | None = None) -> Markup:
    """The rows as a table; with the numbers of their panels: for the page's script to sort and filter.

    Examples
    --------
    >>> table([]).count("<th ") == len(COLUMNS)
    True
    """
    texts = [cell_texts(row) for row in rows]
    hidden: set[str] = set()
    if places is not None:
        hidden = {name for name in _SAID_ONCE if len({text[name] for text in texts}) == 1}
        hidden |= {c.name for c in COLUMNS if texts and all(text[c.name] in ("NA", "-") for text in texts)}
    lines = [(row.cells(), text, row.n) for row, text in zip(rows, texts, strict=True)]
    return render("kernels.html", columns=COLUMNS, hidden=hidden, places=places, rows=lines, meaning=_meaning)


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


def _entries(provenance: Provenance) -> list[tuple[str, str]]:
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
    return entries
