"""The sentences of a report. Each one that says "invertible" says which object it means."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from statistics import median

import numpy as np

from toeplitz_theory.names import shown
from toeplitz_theory.operators import Bracket, Count, MinModulus, StorageBits
from toeplitz_theory.reports.rows import Row

READING_GUIDE = (
    "Two objects are called invertible here. The Toeplitz operator T(a) acts on endless sequences, l2(N): "
    "it is invertible if and only if it is Fredholm (its symbol a has no zero on the unit circle) and its "
    "index is 0 (a has no zero inside). The n x n matrix acts on a window of n tokens: it is invertible if "
    "and only if w[0] is not 0, however badly conditioned. So no column answers alone. Minus the index is "
    "the mean delay, in tokens, with which the outputs of the operator give their input back. A single zero "
    "deep inside the circle makes the index only -1, and nearly all comes back one token later; yet it costs "
    "about J n / ln 10 decimal digits of condition, which insists on the last inputs of the window too, that "
    "have not come out yet. Many zeros within 1/n of the circle make the index large and may cost nothing at "
    "size n."
)

HEADS_NOTE = (
    "In layers with heads or projections, index and index with residual are those of each head's scalar "
    "symbol alone; the input and output projections are not part of them."
)

QUICK_NOTE = (
    "A quick look: index and min |a| are proved; recovered at once, delays and Jensen deficit are estimates, "
    "and the report's rows say how far they may be off. The other columns were not computed: an inspection "
    "without quick does that."
)

_LONGEST_NAME = 120
_LONGEST_PARAGRAPH = 2000


def paragraph(text: str) -> str:
    """A note or a sentence with foreign names in it, made fit to print."""
    return shown(text, _LONGEST_PARAGRAPH)


def csv_cell(text: str) -> str:
    """A foreign string as a CSV cell: a spreadsheet would run what begins like a formula.

    Examples
    --------
    >>> csv_cell("=1+1"), csv_cell("blocks.0")
    ("'=1+1", 'blocks.0')
    """
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def number(value: float | None, digits: int = 4) -> str:
    """A number as tables show it: few digits, no padding; "NA" when there is none.

    Examples
    --------
    >>> number(12345678.0), number(float("inf")), number(None), number(-2)
    ('1.235e+07', 'inf', 'NA', '-2')
    """
    if value is None:
        return "NA"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:d}"
    return f"{value:.{digits}g}"


def known(value: float, lower: float, upper: float) -> str:
    """A number with as many digits, four at most, as its bounds let stand; else what it lies between.

    Examples
    --------
    >>> known(8.0, 7.99999, 8.00001), known(179.23, 179.1, 179.4), known(0.5, 0.1, 0.9), known(2.0, 2.0, 2.0)
    ('8.000', '179', '0.1 to 0.9', '2')
    """
    if lower == upper or not math.isfinite(value):
        return number(value)
    error = max(upper - value, value - lower)
    if value and error < abs(value):
        first = math.floor(math.log10(abs(value)))
        digits = min(4, first - math.ceil(math.log10(error) - 1e-9) + 1) if error > 0 else 4
        if digits >= 1:
            # With its zeros at the end: they are known too.
            mantissa, e, exponent = f"{value:#.{digits}g}".partition("e")
            return mantissa.removesuffix(".") + e + exponent
    return f"{number(lower, 2)} to {number(upper, 2)}"


def counts(value: Count) -> str:
    """A whole number, or the numbers between which it lies.

    Examples
    --------
    >>> counts(Count(3, 3, 3, True)), counts(Count(3, 2, 4, False)), counts(Count(3, 2, None, False))
    ('3', '2 to 4', '2 or more')
    """
    if value.lower == value.upper:
        return f"{int(value)}"
    return f"{value.lower} or more" if value.upper is None else f"{value.lower} to {value.upper}"


def cell(value: str | float | None) -> str:
    """A cell of a table as text."""
    return paragraph(value) if isinstance(value, str) else number(value)


def counted(count: int, thing: str) -> str:
    """A count and what is counted, in the plural where it must be: "1 kernel", "2 kernels"."""
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


def cell_texts(row: Row) -> dict[str, str]:
    """The cells of one row as text, column by column: long names shortened, numbers to what is known of them.

    A lower bound is rounded down; ``~`` marks an estimate.

    Examples
    --------
    >>> cell_texts(Row("blocks.0", None, 1, "float32", "w", "flat", np.ones(1)))["index"]
    'NA'
    """
    texts = {}
    for name, value in row.cells().items():
        evidence = getattr(row, name, None)
        if isinstance(value, str):
            texts[name] = shown(value, _LONGEST_PARAGRAPH if name == "note" else _LONGEST_NAME)
        elif isinstance(evidence, Count):
            texts[name] = counts(evidence)
        elif isinstance(evidence, MinModulus):
            texts[name] = rounded_down(evidence.lower)
        elif isinstance(evidence, Bracket):
            mark = "" if evidence.certified else "~"
            texts[name] = mark + known(evidence.value, evidence.lower, evidence.upper)
        elif isinstance(evidence, StorageBits):
            texts[name] = known(
                evidence.value, evidence.value - evidence.error, evidence.value + evidence.error
            )
        else:
            texts[name] = number(value)
    return texts | {"head": "-"} if row.head is None else texts


def rounded_down(bound: float) -> str:
    """A lower bound in four digits that is none the less one.

    Examples
    --------
    >>> rounded_down(0.59999), rounded_down(2.0), rounded_down(0.0)
    ('0.5999', '2', '0')
    """
    text = number(bound)
    if not math.isfinite(bound) or float(text) <= bound:
        return text
    return number(bound - 10.0 ** (math.floor(math.log10(abs(bound))) - 3) / 2)


def degrees(angles: Sequence[float]) -> str:
    """Angles in radians, said in degrees; the first few of many.

    Examples
    --------
    >>> degrees([0.0, np.pi])
    '0, 180 degrees'
    """
    first = ", ".join(f"{np.degrees(angle):.6g}" for angle in angles[:4])
    more = f" and {len(angles) - 4} more" if len(angles) > 4 else ""
    return f"{first}{more} degrees"


def index_words(value: int | None) -> str:
    """The index in words, or that there is none.

    Examples
    --------
    >>> index_words(-3), index_words(None)
    ('index -3', 'index not certified')
    """
    return "index not certified" if value is None else f"index {value}"


def spread(values: Iterable[float]) -> str:
    """Median and range of those of some numbers that are known.

    Examples
    --------
    >>> spread([1, 2, 3])
    'median 2 (1 to 3)'
    """
    ordered = sorted(float(value) for value in values)
    if not ordered:
        return "unknown"
    return f"median {number(median(ordered))} ({number(ordered[0])} to {number(ordered[-1])})"


# The layer with its residual connection: whose rows are normalised, are not, or may be.
_OPERATORS = {True: "I + D T(a)", False: "I + T(a)", None: "I + T(a) or I + D T(a)"}


def summary_lines(rows: Sequence[Row], nullity_rtol: float) -> list[str]:
    """What a report says as a whole, in a few lines.

    Examples
    --------
    >>> summary_lines([], 1e-6)
    ['0 kernels in 0 Toeplitz layers']
    """
    kernels = counted(len(rows), "kernel")
    head = f"{kernels} in {counted(len({row.layer for row in rows}), 'Toeplitz layer')}"
    if not rows:
        return [head]
    lengths = sorted({row.n for row in rows})
    size = str(lengths[0]) if len(lengths) == 1 else f"{lengths[0]} to {lengths[-1]}"
    types = ", ".join(sorted({shown(row.dtype) for row in rows}))
    deficits = [row.jensen_deficit.value for row in rows if row.jensen_deficit]
    lines = [f"{head}, n = {size}, {types}", f"operator T(a) on l2(N): {_index_line(rows, 'index')}"]
    if any(row.index_residual for row in rows):
        operators = dict.fromkeys(_OPERATORS[row.row_normalised] for row in rows)
        lines.append(f"with the residual, {' or '.join(operators)}: {_index_line(rows, 'index_residual')}")
    lines += [f"Jensen deficit: {spread(deficits)} nats per token", _matrix_line(rows, nullity_rtol)]
    unusable = sum(not row.analysed for row in rows)
    if unusable:
        lines.append(f"{unusable} of {kernels} could not be analysed: their notes say why")
    return lines


def _index_line(rows: Sequence[Row], name: str) -> str:
    values = [row.cells()[name] for row in rows]
    known = [value for value in values if value is not None]
    invertible = sum(value == 0 for value in known)
    return (
        f"index 0 (invertible) for {invertible} of {len(rows)}, certified for {len(known)}; {spread(known)}"
    )


def _matrix_line(rows: Sequence[Row], nullity_rtol: float) -> str:
    regular = sum(row.analysed and bool(row.w0) for row in rows)
    conditions = [row.log10_condition.value for row in rows if row.log10_condition]
    nullities = [row.nullity for row in rows if row.nullity is not None]
    parts = [
        f"n x n matrix: w[0] not 0 (invertible) for {regular} of {sum(row.channels == 1 for row in rows)}"
    ]
    if conditions:
        parts.append(f"log10 condition {spread(conditions)}")
    if nullities:
        parts.append(f"nullity at {nullity_rtol:g} {spread(nullities)}")
    return "; ".join(parts)
