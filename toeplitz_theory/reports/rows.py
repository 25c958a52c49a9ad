"""One kernel's results with their evidence: what a report holds, before anything is drawn or printed."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from toeplitz_theory.operators import Symbol, Zeros


@dataclass(frozen=True)
class Index:
    """A Fredholm index with the evidence for it.

    Parameters
    ----------
    value : int or None
        The index, at most 0 for a causal kernel; None where it could not be proved.
    certified : bool
        Whether it is proved.
    margin : float
        Certified lower bound of the symbol's modulus on the circle.
    on_circle : tuple of float
        Angles in radians where a zero on the circle cannot be excluded.
    method : str
        How it was proved.

    Examples
    --------
    >>> Index(value=-1, certified=True, margin=0.5, on_circle=(), method="arcs").value
    -1
    """

    value: int | None
    certified: bool
    margin: float
    on_circle: tuple[float, ...]
    method: str


@dataclass(frozen=True)
class Bracketed:
    """A number between two bounds.

    Parameters
    ----------
    value : float
        The best value.
    lower, upper : float
        Bounds; equal to the value where it is exact.
    certified : bool
        Whether the bounds are proved; otherwise they are an estimate.
    method : str
        How they were found.

    Examples
    --------
    >>> Bracketed(value=1.0, lower=0.9, upper=1.1, certified=True, method="").upper
    1.1
    """

    value: float
    lower: float
    upper: float
    certified: bool
    method: str


@dataclass(frozen=True)
class Count:
    """A whole number between two bounds.

    Parameters
    ----------
    value : int
        The best value.
    lower, upper : int
        Bounds; equal to the value where it is settled.
    certified : bool
        Whether the bounds are proved.
    method : str
        How it was found.

    Examples
    --------
    >>> Count(value=3, lower=3, upper=3, certified=True, method="").value
    3
    """

    value: int
    lower: int
    upper: int
    certified: bool
    method: str


@dataclass(frozen=True)
class Row:
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
        First tap.
    index, index_residual : Index or None
        Of T(a) and of I + T(a); the second of I + D T(a) where ``row_normalised``.
    zeros_near_circle : int or None
        Certified count of zeros with 1 - 1/n < abs(z) < 1 + 1/n.
    min_modulus, jensen_deficit, log10_condition : Bracketed or None
        As the columns say; None where the kernel cannot be analysed.
    nullity : Count or None
        Numerical nullity of the n x n matrix.
    note : str
        What a reader must know.
    kernel : ndarray, shape (n,)
        The kernel itself, float64, so that a saved report can be drawn and checked.
    row_normalised : bool
        Whether the layer is D T(a), each row divided by its sum.

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
    index: Index | None = None
    index_residual: Index | None = None
    zeros_near_circle: int | None = None
    min_modulus: Bracketed | None = None
    jensen_deficit: Bracketed | None = None
    log10_condition: Bracketed | None = None
    nullity: Count | None = None
    note: str = ""
    row_normalised: bool = False

    @property
    def analysed(self) -> bool:
        """Whether any number could be computed."""
        return self.index is not None

    @property
    def name(self) -> str:
        """Layer and, where there is one, head."""
        return self.layer if self.head is None else f"{self.layer} head {self.head}"

    @cached_property
    def zeros(self) -> Zeros:
        """Zeros of the symbol, isolated on first use and kept: the page and the figures both draw them."""
        return Symbol(self.kernel).zeros()

    def cells(self) -> dict[str, Any]:
        """The row of the table: column name to value, None where there is none."""
        return {
            "layer": self.layer,
            "head": self.head,
            "n": self.n,
            "index": self.index.value if self.index else None,
            "certified": self.index.certified if self.index else None,
            "index_residual": self.index_residual.value if self.index_residual else None,
            "zeros_near_circle": self.zeros_near_circle,
            "min_modulus": self.min_modulus.lower if self.min_modulus else None,
            "jensen_deficit": self.jensen_deficit.value if self.jensen_deficit else None,
            "log10_condition": self.log10_condition.value if self.log10_condition else None,
            "nullity": self.nullity.value if self.nullity else None,
            "w0": self.w0,
            "dtype": self.dtype,
            "note": self.note,
        }
