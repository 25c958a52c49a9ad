"""A kernel's panel on the page: what it gives back, four small charts, and every number with its bounds."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from markupsafe import Markup

from toeplitz_theory.errors import NumericalError, reason_of
from toeplitz_theory.names import shown
from toeplitz_theory.operators import Bracket, Count
from toeplitz_theory.reports.html import render
from toeplitz_theory.reports.rows import Row
from toeplitz_theory.reports.sentences import counts, index_words, number
from toeplitz_theory.reports.svg import recovery_svg, response_svg, taps_svg, zeros_svg
from toeplitz_theory.reports.verdict import gives_back

_MOST_FOLLOWED = 8192  # taps; the phase of longer kernels takes seconds


def panel(place: int, row: Row) -> Markup:
    """The panel of one kernel, with the anchor ``k`` and its place in the table.

    Examples
    --------
    >>> from toeplitz_theory.reports import inspect
    >>> row = inspect({"blocks.0.mixer.weight": np.array([1.0, -2.0])}).rows[0]
    >>> panel(0, row).count("<svg")
    4
    """
    name = shown(row.name)
    if not row.drawable:
        return render("panel.html", place=place, heading=name, lead="", note=row.note, evidence=[])
    return render(
        "panel.html",
        place=place,
        heading=f"{name}: {index_words(row.index.value if row.index else None)}",
        lead=_lead(row),
        note=row.note,
        charts=_charts(row, name),
        evidence=_evidence(row),
    )


def _lead(row: Row) -> str:
    """What the kernel does, in a sentence."""
    at_once = row.recovered_at_once.value if row.recovered_at_once else None
    words = gives_back({"recovered_at_once": at_once, "delay_50": row.delay_50, "delay_90": row.delay_90})
    mean = "" if row.mean_delay is None else f"; mean delay {row.mean_delay:.0f}"
    return f"Gives back {words}{mean}."


def _charts(row: Row, name: str) -> list[tuple[str, Markup, str]]:
    """All four by name, each with what went wrong: whatever one raises, the others stand."""
    real = not np.iscomplexobj(row.kernel)
    drawings: dict[str, Callable[[], str]] = {
        "recovery": lambda: recovery_svg(row.recovery, f"Recovery curve of {name}"),
        "taps": lambda: taps_svg(row.kernel, f"Taps of {name}"),
        "zeros": lambda: zeros_svg(row.zeros, row.n, real, _zeros_title(row, name)),
        "symbol": lambda: _response(row, name),
    }
    charts = []
    for what, draw in drawings.items():
        try:
            charts.append((what, Markup(draw()), ""))
        except Exception as error:
            charts.append((what, Markup(), reason_of(error)))
    return charts


def _zeros_title(row: Row, name: str) -> str:
    zeros = row.zeros
    return f"Zeros of {name}: {zeros.inside().size} inside the unit circle, {zeros.outside().size} outside"


def _response(row: Row, name: str) -> str:
    if row.n > _MOST_FOLLOWED:
        raise NumericalError(f"not drawn above n = {_MOST_FOLLOWED}; row.symbol.response() has it")
    response = row.symbol.response()
    sure = "" if response.certified else ", phase not proved"
    return response_svg(response, f"Modulus and phase of {name}{sure}")


def _evidence(row: Row) -> list[tuple[str, str]]:
    """Each number with its bounds, in words."""
    residual = index_words(row.index_residual.value if row.index_residual else None)
    bits = row.bits_bfloat16
    return [
        ("n", f"{row.n} taps, {shown(row.dtype)}, tensor {shown(row.key)}"),
        ("with residual", f"{residual}; 90 % after {_count(row.residual_delay_90)} tokens"),
        ("recovered at once", _bracket(row.recovered_at_once)),
        ("half, 90 % after", f"{_count(row.delay_50)}, {_count(row.delay_90)} tokens"),
        ("zeros near circle", number(row.zeros_near_circle)),
        ("min |a|", _bracket(row.min_modulus)),
        ("Jensen deficit", _bracket(row.jensen_deficit, " nats per token")),
        ("log10 condition", _bracket(row.log10_condition)),
        ("nullity", _count(row.nullity)),
        ("bits in bfloat16", f"{number(bits.value, 6)} +- {number(bits.error, 2)}" if bits else number(None)),
        ("w[0]", number(row.w0)),
    ]


def _count(value: Count | None) -> str:
    return number(None) if value is None else counts(value)


def _bracket(result: Bracket | None, unit: str = "") -> str:
    if result is None:
        return number(None)
    if result.lower == result.upper:
        return f"{number(result.value)}{unit}"
    kind = "" if result.certified else " (estimate)"
    # Enough digits to tell the bounds apart, up to all that a double has.
    for digits in range(4, 18):
        low, high = number(result.lower, digits), number(result.upper, digits)
        if low != high:
            break
    if digits > 7:
        return f"{number(result.value, 10)}{unit}{kind}"
    return f"{number(result.value, digits)} in [{low}, {high}]{unit}{kind}"
