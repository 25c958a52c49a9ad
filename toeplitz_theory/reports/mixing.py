"""A layer that mixes channels, to a row: what its matrix-valued symbol says where that can be afforded."""

from __future__ import annotations

import math

import numpy as np
import scipy.linalg

from toeplitz_theory.checkpoints import MixingLayer
from toeplitz_theory.errors import NumericalError
from toeplitz_theory.operators import Condition, FredholmIndex, MatrixSymbol, Winding
from toeplitz_theory.operators.rounding import UNIT_ROUNDOFF
from toeplitz_theory.reports.analysis import Asked, attempt
from toeplitz_theory.reports.rows import Row
from toeplitz_theory.reports.sentences import number

_MOST_WORK = 5e10  # operations of the samples that an index may fall back on: some ten seconds
_MOST_ARCS = 2000
_MOST_DENSE = 2048  # rows of the section: a few seconds


def analyse_mixing(layer: MixingLayer, asked: Asked) -> Row:
    """The row of a mixing layer: index of T(A), that with its residual, mean delay a channel, condition.

    Examples
    --------
    >>> taps = np.array([[[1.0, 0.0], [0.0, 1.0]], [[-2.0, 1.0], [0.0, 0.5]]])
    >>> row = analyse_mixing(MixingLayer("mixer", taps, "float32"), Asked())
    >>> row.index.value, row.channels, row.mean_delay, row.log10_condition is not None
    (-1, 2, 0.5, True)
    """
    n, d = layer.taps.shape[:2]
    notes = [
        f"mixes {d} channels: index is that of T(A), A the d x d symbol, by the winding of det A",
        layer.note,
    ]
    index = residual = condition = None
    if not np.isfinite(layer.taps).all():
        notes.append("not analysed: every tap must be finite")
    elif not layer.taps.any():
        notes.append("not analysed: A = 0 has no Fredholm index")
    else:
        symbol = MatrixSymbol(layer.taps)
        index = attempt("index", lambda: _index(symbol, "T(A)", notes), notes)
        if index is not None and index.value is not None:
            notes.append(f"mean delay {number(-index.value / d)} tokens a channel")
        if not asked.quick:
            if layer.residual:
                residual = attempt(
                    "index_residual", lambda: _index(symbol.residual(), "I + T(A)", notes), notes
                )
            condition = attempt("log10_condition", lambda: _condition(layer.taps), notes)
    return Row(
        layer=layer.layer,
        head=None,
        n=n,
        dtype=layer.dtype,
        key=layer.layer,
        layout="mixing",
        kernel=np.zeros(0),
        index=index,
        index_residual=residual,
        log10_condition=condition,
        note="; ".join(note for note in notes if note),
        channels=d,
    )


def _index(symbol: MatrixSymbol, operator: str, notes: list[str]) -> FredholmIndex:
    """The index where it is proved; an estimate is only told."""
    n, d = len(symbol), symbol.width
    if 8 * n * d * (n * d**2 + d**3) > _MOST_WORK:
        raise NumericalError(
            f"{n} taps of {d} x {d} take too long here; tt.probe(module, n, channels).matrix_symbol does it"
        )
    told = symbol.fredholm_index(_MOST_ARCS)
    count = -told.value if told.certified and told.value is not None else None
    if count is None:
        words = "no estimate" if told.value is None else f"from samples {told.value}"
        notes.append(f"{operator}: index not certified ({told.method}), {words}")
    return FredholmIndex.of(Winding(count, count is not None, 0.0, (), 0, told.method))


def _condition(taps: np.ndarray) -> Condition:
    """Of the section on n tokens, from its singular values to LAPACK's error bound."""
    n, d = taps.shape[:2]
    if n * d > _MOST_DENSE:
        raise NumericalError(f"the section is {n * d} x {n * d}; up to {_MOST_DENSE} is tried here")
    matrix = np.zeros((n, d, n, d), taps.dtype)
    for k in range(n):
        matrix[range(k, n), :, range(n - k), :] = taps[k]
    values = scipy.linalg.svdvals(matrix.reshape(n * d, n * d))
    top, last = float(values[0]), float(values[-1])
    error = (n * d + 8) * UNIT_ROUNDOFF * top
    if last <= 2.0 * error:
        raise NumericalError(f"above {math.log10(top / (3.0 * error)):.3g}, which is all that float64 tells")
    low, high = math.log10((top - error) / (last + error)), math.log10((top + error) / (last - error))
    return Condition(
        math.log10(top / last), max(low, 0.0), high, False, "singular values, LAPACK's error bound"
    )
