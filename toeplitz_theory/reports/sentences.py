"""The sentences of a report. Each one that says "invertible" says which object it means."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from toeplitz_theory.reports.rows import Row

READING_GUIDE = (
    "Two objects are called invertible here. The Toeplitz operator T(a) acts on endless sequences, l2(N): "
    "it is invertible if and only if it is Fredholm (its symbol a has no zero on the unit circle) and its "
    "index is 0 (a has no zero inside). The n x n matrix acts on a window of n tokens: it is invertible if "
    "and only if w[0] is not 0, however badly conditioned. So no column answers alone. A single zero deep "
    "inside the circle makes the index only -1 and yet costs about J n / ln 10 decimal digits of condition; "
    "many zeros within 1/n of the circle make the index large and may cost nothing at size n. Read index, "
    "Jensen deficit J, log10 condition and nullity side by side."
)

HEADS_NOTE = (
    "In layers with heads or projections, index and index with residual are those of each head's scalar "
    "symbol alone; the input and output projections are not part of them."
)


def number(value: float | None, digits: int = 4) -> str:
    """A number as tables show it: few digits, no padding; "NA" when there is none.

    Parameters
    ----------
    value : float or None
        The number.
    digits : int
        Significant digits.

    Returns
    -------
    str
        The text.

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
        return str(value)
    return f"{value:.{digits}g}"


def cell_texts(row: Row) -> dict[str, str]:
    """The cells of one row as text, column by column.

    Parameters
    ----------
    row : Row
        The row.

    Returns
    -------
    dict of str to str
        Column name to text.

    Examples
    --------
    >>> cell_texts(Row("blocks.0", None, 1, "float32", "w", "flat", np.ones(1)))["index"]
    'NA'
    """
    texts = {}
    for name, value in row.cells().items():
        texts[name] = value if isinstance(value, str) else number(value)
    if row.head is None:
        texts["head"] = "-"
    return texts


def degrees(angles: Sequence[float]) -> str:
    """Angles in radians, said in degrees; the first few of many.

    Parameters
    ----------
    angles : sequence of float
        Radians.

    Returns
    -------
    str
        Such as ``"0, 180 degrees"``.

    Examples
    --------
    >>> degrees([0.0, np.pi])
    '0, 180 degrees'
    """
    shown = ", ".join(f"{np.degrees(angle):.6g}" for angle in angles[:4])
    more = f" and {len(angles) - 4} more" if len(angles) > 4 else ""
    return f"{shown}{more} degrees"


def spread(values: Iterable[float]) -> str:
    """Median and range of some numbers; missing ones are left out.

    Parameters
    ----------
    values : iterable of float
        The numbers.

    Returns
    -------
    str
        Such as ``"median 2 (1 to 3)"``.

    Examples
    --------
    >>> spread([1, 2, 3])
    'median 2 (1 to 3)'
    """
    known = np.array(list(values), dtype=float)
    if known.size == 0:
        return "unknown"
    middle, low, high = float(np.median(known)), float(known.min()), float(known.max())
    return f"median {number(middle)} ({number(low)} to {number(high)})"


def summary_lines(rows: Sequence[Row], nullity_rtol: float) -> list[str]:
    """What a report says as a whole, in a few lines.

    Parameters
    ----------
    rows : sequence of Row
        The rows.
    nullity_rtol : float
        The tolerance their nullities used.

    Returns
    -------
    list of str
        The lines.

    Examples
    --------
    >>> summary_lines([], 1e-6)
    ['0 kernels in 0 Toeplitz layers']
    """
    layers = len({row.layer for row in rows})
    lengths = sorted({row.n for row in rows})
    types = sorted({row.dtype for row in rows})
    head = f"{len(rows)} kernel{'s' * (len(rows) != 1)} in {layers} Toeplitz layer{'s' * (layers != 1)}"
    if not rows:
        return [head]
    size = str(lengths[0]) if len(lengths) == 1 else f"{lengths[0]} to {lengths[-1]}"
    lines = [f"{head}, n = {size}, {', '.join(types)}"]
    plain = [row.index for row in rows if row.index]
    stream = [row.index_residual for row in rows if row.index_residual]
    kinds = {row.row_normalised: "I + D T(a)" if row.row_normalised else "I + T(a)" for row in rows}
    with_residual = "with the residual, " + " or ".join(kinds.values())
    for label, indices in (("operator T(a) on l2(N)", plain), (with_residual, stream)):
        known = [index.value for index in indices if index.value is not None]
        zero = sum(value == 0 for value in known)
        lines.append(
            f"{label}: index 0 (invertible) for {zero} of {len(rows)}, certified for {len(known)}; "
            + spread(known)
        )
    lines.append(
        "Jensen deficit: "
        + spread(row.jensen_deficit.value for row in rows if row.jensen_deficit)
        + " nats per token"
    )
    regular = sum(row.w0 is not None and row.w0 != 0 for row in rows if row.analysed)
    lines.append(
        f"n x n matrix: w[0] not 0 (invertible) for {regular} of {len(rows)}; log10 condition "
        + spread(row.log10_condition.value for row in rows if row.log10_condition)
        + f"; nullity at {nullity_rtol:g} "
        + spread(row.nullity.value for row in rows if row.nullity)
    )
    unusable = sum(not row.analysed for row in rows)
    if unusable:
        lines.append(f"{unusable} of {len(rows)} kernels could not be analysed: their notes say why")
    return lines
