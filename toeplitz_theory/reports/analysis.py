"""One kernel to one row: asks the operators, keeps their evidence, notes what could not be had."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from toeplitz_theory.errors import InputError, NumericalError
from toeplitz_theory.operators import CausalToeplitz, RowNormalised, Symbol, Winding
from toeplitz_theory.reports.rows import Bracketed, Count, Index, Row
from toeplitz_theory.reports.sentences import degrees

Result = TypeVar("Result")

# A bracket of log10 condition wider than this leaves the value itself in doubt.
_SETTLED = 1e-6


def analyse(layer: Any, tol: float, nullity_rtol: float) -> Row:
    """Every number of one kernel.

    Parameters
    ----------
    layer : ToeplitzLayer
        The kernel and its place, from ``checkpoints.load``.
    tol : float
        Tolerance of the Fredholm index, as in ``Symbol.fredholm_index``.
    nullity_rtol : float
        Tolerance of the numerical nullity, as in ``CausalToeplitz.nullity``.

    Returns
    -------
    Row
        A row without numbers, and with a note, where the kernel cannot be analysed.

    Examples
    --------
    >>> from toeplitz_theory.checkpoints import load
    >>> shift = load({"blocks.0.mixer.weight": np.array([0.0, 1.0])}).layers[0]
    >>> row = analyse(shift, tol=0.0, nullity_rtol=1e-6)
    >>> row.index.value, row.nullity.value, row.jensen_deficit.value
    (-1, 1, inf)
    """
    kernel = layer.kernel
    place = {
        "layer": layer.layer,
        "head": layer.head,
        "n": int(kernel.size),
        "dtype": layer.dtype,
        "key": layer.key,
        "layout": layer.layout,
        "kernel": kernel,
        "w0": kernel[0].item() if kernel.size else None,
        "row_normalised": layer.row_normalised,
    }
    reason = _unusable(kernel)
    if reason:
        return Row(**place, note=_join([layer.note, reason]))
    notes = [layer.note]
    numbers = _numbers(kernel, tol, nullity_rtol, notes)
    numbers["index_residual"] = (_normalised if layer.row_normalised else _residual)(kernel, tol, notes)
    return Row(**place, **numbers, note=_join(notes))


def _join(notes: list[str]) -> str:
    return "; ".join(note for note in notes if note)


def _unusable(kernel: np.ndarray) -> str:
    """Why nothing can be computed for this kernel, or ""."""
    if kernel.size == 0:
        return "not analysed: the kernel is empty"
    if not np.isfinite(kernel).all():
        return "not analysed: every tap must be finite"
    if not kernel.any():
        return "not analysed: T(a) = 0 has neither a Fredholm index nor a condition number"
    return ""


def _numbers(kernel: np.ndarray, tol: float, nullity_rtol: float, notes: list[str]) -> dict[str, Any]:
    symbol, section = Symbol(kernel), CausalToeplitz(kernel)
    index = _index(symbol, tol)
    if index.value is None:
        notes.append(_why_no_index("T(a)", index, tol))
    near = symbol.zeros_near_circle()
    if near is None:
        notes.append("zeros_near_circle could not be certified: a zero lies on |z| = 1 - 1/n or 1 + 1/n")
    leading = int(np.flatnonzero(kernel)[0])
    if leading:
        notes.append(f"n x n matrix singular: nullity {leading} in exact arithmetic, its leading zero taps")
    deficit = _try("jensen_deficit", lambda: _jensen(symbol, index), notes)
    if deficit is not None and not deficit.certified:
        notes.append(f"jensen_deficit is an estimate ({deficit.method})")
    condition = _try("log10_condition", lambda: _condition(section), notes)
    if condition is not None and condition.upper - condition.lower > _SETTLED:
        notes.append(
            f"log10_condition is an estimate between {condition.lower:.6g} and {condition.upper:.6g}"
        )
    nullity = _try("nullity", lambda: _nullity(section, nullity_rtol), notes)
    if nullity is not None and nullity.lower != nullity.upper:
        notes.append(f"nullity between {nullity.lower} and {nullity.upper}")
    return {
        "index": index,
        "zeros_near_circle": near,
        "min_modulus": _try("min_modulus", lambda: _modulus(symbol), notes),
        "jensen_deficit": deficit,
        "log10_condition": condition,
        "nullity": nullity,
    }


def _try(name: str, compute: Callable[[], Result], notes: list[str]) -> Result | None:
    """The result, or None with a note saying why the operators refused it."""
    try:
        return compute()
    except NumericalError as error:
        notes.append(f"{name}: {error}")
        return None


def _index(symbol: Symbol, tol: float) -> Index:
    return _of_winding(symbol.winding(tol=tol))


def _residual(kernel: np.ndarray, tol: float, notes: list[str]) -> Index | None:
    """Index of I + T(a)."""
    if kernel[0] == -1 and not kernel[1:].any():
        notes.append("I + T(a) = 0 has no Fredholm index")
        return None
    found = _index(Symbol(kernel).residual(), tol)
    if found.value is None:
        notes.append(_why_no_index("I + T(a)", found, tol))
    return found


def _normalised(kernel: np.ndarray, tol: float, notes: list[str]) -> Index | None:
    """Index of I + D T(a), which is not that of I + T(a); the other numbers are T(a)'s."""
    try:
        layer = RowNormalised(kernel)
    except InputError as error:
        notes.append(f"no index with residual: {error}")
        return None
    first, last = (f"{layer.scales[i]:.3g}" for i in (0, -1))
    notes.append(
        f"D from {first} in the first row to {last} in the last; index and index with residual are those of "
        "D T(a) and I + D T(a), the other numbers those of T(a)"
    )
    found = _of_winding(layer.residual_winding(tol))
    if found.value is None:
        notes.append(_why_no_index("I + D T(a)", found, tol))
    return found


def _of_winding(winding: Winding) -> Index:
    return Index(
        value=None if winding.count is None else -int(winding.count),
        certified=bool(winding.certified),
        margin=float(winding.margin),
        on_circle=tuple(float(angle) for angle in winding.on_circle),
        method=str(winding.method),
    )


def _why_no_index(operator: str, index: Index, tol: float) -> str:
    if not index.on_circle:
        return f"{operator}: index not certified ({index.method})"
    return f"{operator} not Fredholm at tolerance {tol:g}, angles {degrees(index.on_circle)}"


def _modulus(symbol: Symbol) -> Bracketed:
    found = symbol.min_modulus()
    lower, upper = float(found.lower), float(found.upper)
    return Bracketed(float(found), lower, upper, certified=True, method=str(found.method))


def _jensen(symbol: Symbol, index: Index) -> Bracketed:
    if index.value == 0:
        return Bracketed(0.0, 0.0, 0.0, True, "index 0: no zero inside, the sum is empty")
    found = symbol.jensen_deficit()
    value, error = float(found.value), float(found.error)
    if math.isinf(value):
        return Bracketed(value, value, value, bool(found.certified), str(found.method))
    # J is a sum of terms log(1/|z|) >= 0, so a bracket below 0 is cut there.
    return Bracketed(value, max(0.0, value - error), value + error, bool(found.certified), str(found.method))


def _condition(section: CausalToeplitz) -> Bracketed:
    found = section.log10_condition()
    return Bracketed(
        value=float(found.value),
        lower=float(found.lower),
        upper=float(found.upper),
        certified=True,
        method=str(found.method),
    )


def _nullity(section: CausalToeplitz, rtol: float) -> Count:
    found = section.nullity(rtol)
    return Count(int(found), int(found.lower), int(found.upper), bool(found.certified), str(found.method))
