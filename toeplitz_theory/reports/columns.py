"""What every column of a report means: the one place that says it.

The table, the tooltips of the HTML page and the README take their words from here.

Two different things are called "invertible", and the columns keep them apart. The *operator* T(a) on l2(N)
is invertible exactly when its index is 0 (and it is Fredholm: no zero on the circle). The *n x n matrix* is
invertible exactly when ``w0`` is not 0, however badly conditioned it may be.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Column:
    """One column of a report.

    Parameters
    ----------
    name : str
        The name in ``report.table`` and in JSON.
    heading : str
        What a page or a terminal shows above it.
    unit : str
        Unit, or "" for names and counts without one.
    meaning : str
        One or two sentences.
    status : str
        "certified" (proved, or missing), "bracketed" (a value with bounds, in the report's rows), or
        "given" (read from the checkpoint).
    dtype : str
        The pandas dtype in ``report.table``.

    Examples
    --------
    >>> COLUMNS[3].name, COLUMNS[3].status
    ('index', 'certified')
    """

    name: str
    heading: str
    unit: str
    meaning: str
    status: str
    dtype: str


COLUMNS: tuple[Column, ...] = (
    Column("layer", "layer", "", "Position of the Toeplitz layer in the model.", "given", "str"),
    Column(
        "head",
        "head",
        "",
        "Head number within the layer (tap number for kernels over channels); missing when the layer has "
        "one kernel.",
        "given",
        "Int64",
    ),
    Column("n", "n", "taps", "Length of the kernel, and size of the n x n matrix.", "given", "int64"),
    Column(
        "index",
        "index",
        "zeros",
        "Fredholm index of the operator T(a) on l2(N): minus the number of zeros of the symbol a in |z| < 1. "
        "The operator is invertible if and only if this is 0. Missing where it is not certified: the note "
        "says why.",
        "certified",
        "Int64",
    ),
    Column(
        "certified",
        "certified",
        "",
        "Whether `index` is proved. When it could not be, `index` is missing: it is never guessed.",
        "certified",
        "boolean",
    ),
    Column(
        "index_residual",
        "index with residual",
        "zeros",
        "Fredholm index of I + T(a), the layer together with its residual connection; symbol 1 + a. Of a "
        "row-normalised layer D T(a), that of I + D T(a). "
        "Missing where it is not certified.",
        "certified",
        "Int64",
    ),
    Column(
        "zeros_near_circle",
        "zeros near circle",
        "zeros",
        "Zeros of the symbol with 1 - 1/n < |z| < 1 + 1/n: those that the n x n matrix can hardly tell from "
        "zeros on the circle, and that a small change of the kernel moves across it.",
        "certified",
        "Int64",
    ),
    Column(
        "min_modulus",
        "min |a|",
        "as kernel",
        "Certified lower bound of the least |a(z)| on the circle: no change of the symbol by less than this "
        "can change the index. The report's rows hold the upper bound too.",
        "certified",
        "Float64",
    ),
    Column(
        "jensen_deficit",
        "Jensen deficit",
        "nats/token",
        "J = mean log|a| on the circle - log|w[0]| = sum of log(1/|z|) over the zeros inside: 0 if and only "
        "if the operator has a causal inverse, small when the zeros inside are close to the circle, inf "
        "when w[0] = 0. The report's rows hold its error bound.",
        "bracketed",
        "Float64",
    ),
    Column(
        "log10_condition",
        "log10 condition",
        "digits",
        "log10 of the 2-norm condition number of the n x n matrix: the decimal digits that solving with it "
        "can cost. inf when w[0] = 0. The report's rows hold certified bounds.",
        "bracketed",
        "Float64",
    ),
    Column(
        "nullity",
        "nullity",
        "dimensions",
        "Numerical nullity of the n x n matrix: singular values at most nullity_rtol times the largest "
        "(the tolerance is in the provenance).",
        "bracketed",
        "Int64",
    ),
    Column(
        "w0",
        "w[0]",
        "as kernel",
        "First tap, the single eigenvalue of the n x n matrix, which is invertible if and only if this is "
        "not 0, however badly conditioned.",
        "given",
        "Float64",
    ),
    Column("dtype", "dtype", "", "Type of the stored weights; they are widened exactly.", "given", "str"),
    Column("note", "note", "", "What a reader must know about this kernel.", "given", "str"),
)

COLUMN_NAMES: tuple[str, ...] = tuple(column.name for column in COLUMNS)


def column_guide() -> str:
    """The columns as a Markdown table, for the README and the documentation.

    Returns
    -------
    str
        One line per column: name, unit, status, meaning.

    Examples
    --------
    >>> print(column_guide().splitlines()[0])
    | column | unit | status | meaning |
    """
    lines = ["| column | unit | status | meaning |", "|---|---|---|---|"]
    for column in COLUMNS:
        meaning = column.meaning.replace("|", "\\|")
        lines.append(f"| `{column.name}` | {column.unit} | {column.status} | {meaning} |")
    return "\n".join(lines)
