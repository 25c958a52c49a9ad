"""One kernel's results with their evidence: what a report holds, before anything is drawn or printed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from toeplitz_theory.display import Displayed
from toeplitz_theory.errors import NumericalError
from toeplitz_theory.names import printable, shown
from toeplitz_theory.operators import (
    Bracket,
    Condition,
    Delay,
    FredholmIndex,
    JensenDeficit,
    MinModulus,
    Nullity,
    Recovery,
    StorageBits,
    Symbol,
    Zeros,
)

if TYPE_CHECKING:
    import pandas as pd

    from toeplitz_theory.plots import Drawing


_MOST_TAPS_ISOLATED = 8192


@dataclass(frozen=True, repr=False)
class Row(Displayed):
    """Everything known about one kernel: a layer, or one head of a layer.

    Parameters
    ----------
    layer : str
        Position in the model.
    head : int or None
        Head (or tap) number; None when the layer has one kernel.
    n : int
        Length of the kernel.
    dtype, key, layout : str
        Stored type, tensor name and layout in the checkpoint.
    w0 : float or None
        First tap; its modulus where taps are complex.
    index, index_residual : FredholmIndex or None
        Of T(a) and of I + T(a); the second of I + D T(a) where ``row_normalised``. Their ``value`` is None
        where it could not be proved. Here and below None where it could not be computed: the note says why.
    recovered_at_once : Bracket or None
        Share of its input that the layer's outputs give back at once, R(0) of ``Symbol.recovery``.
    delay_50, delay_90, residual_delay_90 : Delay or None
        Tokens after which that is half and 90 %; the last of the layer with its residual connection.
    zeros_near_circle : int or None
        Certified count of zeros with 1 - 1/n < abs(z) < 1 + 1/n.
    min_modulus : MinModulus or None
        Bracket of the least modulus of the symbol on the circle.
    jensen_deficit : JensenDeficit or None
        In nats per token, with its error bound.
    log10_condition : Condition or None
        Of the n x n matrix, with its bracket.
    nullity : Nullity or None
        Numerical nullity of the n x n matrix, with its bounds.
    bits_bfloat16 : StorageBits or None
        Bits per token about the input that survive storing the output; without the limit of long sequences.
    note : str
        What a reader must know.
    kernel : ndarray, shape (n,)
        The kernel itself, float64, so that a saved report can be drawn and checked.
    row_normalised : bool or None
        Whether the layer is D T(a), each row divided by its sum; None where the checkpoint does not say.
    channels : int
        Above 1 for a layer that mixes channels: its symbol is a square matrix, ``n`` counts its taps, and
        ``kernel`` is empty.

    Examples
    --------
    >>> row = Row("blocks.0", None, n=2, dtype="float32", key="w", layout="flat", kernel=np.ones(2))
    >>> row.cells()["index"] is None, row.analysed, row.name
    (True, False, 'blocks.0')
    """

    layer: str
    head: int | None
    n: int
    dtype: str
    key: str
    layout: str
    kernel: np.ndarray = field(repr=False, compare=False)
    w0: float | None = None
    index: FredholmIndex | None = None
    recovered_at_once: Bracket | None = None
    delay_50: Delay | None = None
    delay_90: Delay | None = None
    index_residual: FredholmIndex | None = None
    residual_delay_90: Delay | None = None
    zeros_near_circle: int | None = None
    min_modulus: MinModulus | None = None
    jensen_deficit: JensenDeficit | None = None
    log10_condition: Condition | None = None
    nullity: Nullity | None = None
    bits_bfloat16: StorageBits | None = None
    note: str = ""
    row_normalised: bool | None = False
    channels: int = 1

    @property
    def mean_delay(self) -> float | None:
        """Tokens after which the input is given back, in the mean: minus the index, over the channels."""
        if self.index is None or self.index.value is None:
            return None
        return -self.index.value / self.channels

    @property
    def drawable(self) -> bool:
        """Whether there are numbers, and a kernel to draw: taps of layers that mix channels are not kept."""
        return self.analysed and self.kernel.size > 0

    @property
    def analysed(self) -> bool:
        """Whether any number could be computed."""
        results = (self.index, self.recovered_at_once, self.zeros_near_circle, self.min_modulus)
        others = (self.jensen_deficit, self.log10_condition, self.nullity, self.bits_bfloat16)
        return any(result is not None for result in (*results, *others))

    @property
    def name(self) -> str:
        """Layer and, where there is one, head."""
        return self.layer if self.head is None else f"{self.layer} head {self.head}"

    def __repr__(self) -> str:
        about = "not analysed" if self.index is None else str(self.index)
        return f"Row({shown(self.name)}, n={self.n}: {about})"

    @cached_property
    def symbol(self) -> Symbol:
        """The symbol a of the kernel."""
        return Symbol(self.kernel)

    @cached_property
    def recovery(self) -> Recovery:
        """The whole recovery curve of the kernel without noise, computed on first use."""
        return self.symbol.recovery()

    @cached_property
    def zeros(self) -> Zeros:
        """Zeros of the symbol, isolated on first use and kept: the page and the figures both draw them.

        Above 8192 taps that would take minutes: NumericalError.
        """
        if self.n > _MOST_TAPS_ISOLATED:
            raise NumericalError(f"not isolated above n = {_MOST_TAPS_ISOLATED}; row.symbol.zeros() does it")
        return self.symbol.zeros()

    def plot(self, ax: Any = None) -> Drawing:
        """Draw the kernel in six panels, or on six ``ax``: taps, recovery, zeros, modulus, phase, delay."""
        from toeplitz_theory import plots

        return plots.kernel(self, ax=ax)

    def cells(self) -> dict[str, Any]:
        """The row of the table: column name to value, None where there is none; nothing unprintable."""
        return {
            "layer": printable(self.layer),
            "head": self.head,
            "n": self.n,
            "index": self.index.value if self.index else None,
            "certified": self.index.certified if self.index else None,
            "recovered_at_once": self.recovered_at_once.value if self.recovered_at_once else None,
            "delay_90": None if self.delay_90 is None else int(self.delay_90),
            "index_residual": self.index_residual.value if self.index_residual else None,
            "residual_delay_90": None if self.residual_delay_90 is None else int(self.residual_delay_90),
            "zeros_near_circle": self.zeros_near_circle,
            "min_modulus": self.min_modulus.lower if self.min_modulus else None,
            "jensen_deficit": self.jensen_deficit.value if self.jensen_deficit else None,
            "log10_condition": self.log10_condition.value if self.log10_condition else None,
            "nullity": None if self.nullity is None else int(self.nullity),
            "bits_bfloat16": self.bits_bfloat16.value if self.bits_bfloat16 else None,
            "w0": self.w0,
            "dtype": printable(self.dtype),
            "note": printable(self.note),
        }


def first_tap(kernel: np.ndarray) -> float | None:
    """The first tap of a kernel, its modulus where taps are complex; None where there is none."""
    if not kernel.size:
        return None
    return float(abs(kernel[0])) if np.iscomplexobj(kernel) else float(kernel[0])


# What every column of a report means: the one place that says it.
#
# The table, the tooltips of the HTML page and the README take their words from here.
#
# Two different things are called "invertible", and the columns keep them apart. The *operator* T(a) on l2(N)
# is invertible exactly when its index is 0 (and it is Fredholm: no zero on the circle). The *n x n matrix* is
# invertible exactly when ``w0`` is not 0, however badly conditioned it may be.


@dataclass(frozen=True, repr=False)
class Column(Displayed):
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
        "recovered_at_once",
        "recovered at once",
        "share",
        "R(0), the share of the variance of a white input that the best linear estimate from the outputs up "
        "to its own position recovers: exp(-2 J) with the Jensen deficit J. 1 if and only if the operator "
        "has a causal inverse. The report's rows hold its error bound.",
        "bracketed",
        "Float64",
    ),
    Column(
        "delay_90",
        "90 % after",
        "tokens",
        "Smallest delay L with R(L) >= 0.9: how many tokens later 90 % of the input is recovered from the "
        "outputs. The mean delay is minus the index. The report's rows hold its bounds.",
        "bracketed",
        "Int64",
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
        "residual_delay_90",
        "90 % after, with residual",
        "tokens",
        "The same delay of I + T(a), the layer together with its residual connection. Missing for "
        "row-normalised layers, which are no Toeplitz operators.",
        "bracketed",
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
        "bits_bfloat16",
        "bits in bfloat16",
        "bits/token",
        "Bits per token about a Gaussian input that survive storing the layer's output in bfloat16; 8.79 is "
        "what the identity lets through.",
        "bracketed",
        "Float64",
    ),
    Column(
        "w0",
        "w[0]",
        "as kernel",
        "First tap (its modulus where complex), the single eigenvalue of the n x n matrix, which is "
        "invertible if and only if this is not 0, however badly conditioned.",
        "given",
        "Float64",
    ),
    Column("dtype", "dtype", "", "Type of the stored weights; they are widened exactly.", "given", "str"),
    Column("note", "note", "", "What a reader must know about this kernel.", "given", "str"),
)

COLUMN_NAMES: tuple[str, ...] = tuple(column.name for column in COLUMNS)


def data_frame(rows: Sequence[Row]) -> pd.DataFrame:
    """The rows as a data frame with exactly the columns of ``COLUMNS``.

    Parameters
    ----------
    rows : sequence of Row
        The rows.

    Returns
    -------
    DataFrame
        Counts are nullable integers, numbers nullable floats.

    Examples
    --------
    >>> list(data_frame([]).columns[:4])
    ['layer', 'head', 'n', 'index']
    """
    import pandas as pd  # half a second: only for those who ask for a frame

    cells = [row.cells() for row in rows]
    return pd.DataFrame(
        {
            column.name: pd.Series([entry[column.name] for entry in cells], dtype=column.dtype)
            for column in COLUMNS
        }
    )
