"""One kernel to one row: asks the operators, keeps their evidence, notes what could not be had."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from toeplitz_theory.checkpoints import ToeplitzLayer
from toeplitz_theory.errors import InputError, NumericalError, reason_of
from toeplitz_theory.operators import (
    Bracket,
    CausalToeplitz,
    Condition,
    Delay,
    FredholmIndex,
    JensenDeficit,
    Nullity,
    Recovery,
    RowNormalised,
    Symbol,
)
from toeplitz_theory.reports.rows import Row, first_tap
from toeplitz_theory.reports.sentences import degrees, number

Result = TypeVar("Result")


@dataclass(frozen=True)
class Asked:
    """What is asked of every kernel.

    Parameters
    ----------
    tol, nullity_rtol : float
        Tolerances, as of ``inspect``.
    quick : bool
        Whether `Symbol.quick_look` is enough.

    Examples
    --------
    >>> Asked().quick
    False
    """

    tol: float = 0.0
    nullity_rtol: float = 1e-6
    quick: bool = False


def analyse(layer: ToeplitzLayer, asked: Asked) -> Row:
    """Every number of one kernel; a number that could not be had is None, and the note says why.

    Examples
    --------
    >>> from toeplitz_theory.checkpoints import load
    >>> shift = load({"blocks.0.mixer.weight": np.array([0.0, 1.0])}).layers[0]
    >>> row = analyse(shift, Asked())
    >>> row.index.value, row.nullity, row.jensen_deficit.value
    (-1, Nullity(1; n=2, rtol=1e-06), inf)
    """
    kernel, notes = layer.kernel, [layer.note]
    reason = _unusable(kernel)
    results: dict[str, Any] = {}
    if reason:
        notes.append(reason)
    elif asked.quick:
        results = _quickly(kernel, asked.tol, notes)
    else:
        results = _all(layer, asked, notes)
    return Row(
        layer=layer.layer,
        head=layer.head,
        n=layer.n,
        dtype=layer.dtype,
        key=layer.key,
        layout=layer.layout,
        kernel=kernel,
        w0=first_tap(kernel),
        row_normalised=layer.row_normalised,
        note="; ".join(note for note in notes if note),
        **results,
    )


def _all(layer: ToeplitzLayer, asked: Asked, notes: list[str]) -> dict[str, Any]:
    kernel, tol = layer.kernel, asked.tol
    section, symbol = CausalToeplitz(kernel), Symbol(kernel)
    index = attempt("index", lambda: symbol.fredholm_index(tol), notes)
    notes.append(_why_no_index("T(a)", index, tol))
    near = attempt("zeros_near_circle", lambda: _near_circle(symbol), notes)
    notes.append(_leading_zeros(kernel))
    deficit = attempt("jensen_deficit", lambda: _deficit(symbol, index), notes)
    condition = attempt("log10_condition", section.log10_condition, notes)
    nullity = attempt("nullity", lambda: section.nullity(asked.nullity_rtol), notes)
    recovery = attempt("recovery", lambda: _recovery(symbol, index), notes)
    with_residual = attempt("index_residual", lambda: _with_residual(layer, tol, notes), notes)
    notes += _doubts(deficit, condition, nullity)
    return {
        "index": index,
        **_recovered(recovery, notes),
        "zeros_near_circle": near,
        "jensen_deficit": deficit,
        "log10_condition": condition,
        "nullity": nullity,
        "min_modulus": attempt("min_modulus", symbol.min_modulus, notes),
        "bits_bfloat16": attempt("bits_bfloat16", lambda: section.bits_at("bfloat16", limit=False), notes),
        "index_residual": with_residual,
        "residual_delay_90": attempt(
            "residual_delay_90", lambda: _delay_with_residual(layer, with_residual), notes
        ),
    }


def _quickly(kernel: np.ndarray, tol: float, notes: list[str]) -> dict[str, Any]:
    """What a quick look gives; that it is one, and what is an estimate in it, the report says once."""
    look = attempt("quick look", lambda: Symbol(kernel).quick_look(tol), notes)
    notes.append(_leading_zeros(kernel))
    if look is None:
        return {}
    notes.append(_why_no_index("T(a)", look.index, tol))
    return {
        "index": look.index,
        **_recovered(look.recovery, []),
        "jensen_deficit": look.jensen_deficit,
        "min_modulus": look.min_modulus,
    }


def attempt(name: str, compute: Callable[[], Result], notes: list[str]) -> Result | None:
    """The result, or None with a note saying why there is none, whatever was raised: the other rows stand."""
    try:
        return compute()
    except Exception as error:
        notes.append(f"{name} not computed: {reason_of(error)}")
        return None


def _unusable(kernel: np.ndarray) -> str:
    """Why nothing can be computed for this kernel, or ""."""
    if kernel.size == 0:
        return "not analysed: the kernel is empty"
    if not np.isfinite(kernel).all():
        return "not analysed: every tap must be finite"
    if not kernel.any():
        return "not analysed: T(a) = 0 has neither a Fredholm index nor a condition number"
    return ""


def _leading_zeros(kernel: np.ndarray) -> str:
    leading = int(np.flatnonzero(kernel)[0])
    if not leading:
        return ""
    return f"n x n matrix singular: nullity {leading} in exact arithmetic, its leading zero taps"


def _near_circle(symbol: Symbol) -> int:
    count = symbol.zeros_near_circle()
    if count is None:
        raise NumericalError("not certified, a zero lies on |z| = 1 - 1/n or 1 + 1/n")
    return count


def _deficit(symbol: Symbol, index: FredholmIndex | None) -> JensenDeficit:
    if index is not None and index.value == 0:
        return JensenDeficit(0.0, 0.0, 0.0, True, "index 0: no zero inside, the sum is empty")
    return symbol.jensen_deficit()


def _recovery(symbol: Symbol, index: FredholmIndex | None) -> Recovery:
    """Without noise and far enough for 90 %: at most a tenth comes later than ten times the mean delay."""
    # Markov's inequality; the mean delay is minus the index.
    return symbol.recovery(horizon=None if index is None or index.value is None else 10 * -index.value)


def _recovered(recovery: Recovery | None, notes: list[str]) -> dict[str, Bracket | Delay | None]:
    if recovery is None:
        return {}
    results = {f"delay_{percent}": recovery.delay(percent / 100) for percent in (50, 90)}
    if not recovery.certified:
        notes.append(f"recovered_at_once and delay_90 are estimates ({recovery.method})")
    for name, delay in results.items():
        if delay is None:
            notes.append(f"{name} is above {recovery.horizon}")
        elif recovery.certified and not delay.certified:
            notes.append(f"{name} between {delay.lower} and {number(delay.upper)}")
    proof = recovery.certified, recovery.method
    at_once = Bracket.around(recovery.at_once, recovery.error, *proof, within=(0.0, 1.0))
    return {"recovered_at_once": at_once, **results}


def _delay_with_residual(layer: ToeplitzLayer, index: FredholmIndex | None) -> Delay | None:
    if layer.row_normalised is not False or index is None:
        return None
    return _recovery(Symbol(layer.kernel).residual(), index).delay(0.9)


def _with_residual(layer: ToeplitzLayer, tol: float, notes: list[str]) -> FredholmIndex | None:
    """Index of the layer with its residual connection; where either may be meant, only if both agree."""
    if not layer.residual:
        notes.append("no index with residual: the layer stands in no residual connection")
        return None
    if layer.scale_unknown:
        notes.append(f"no index with residual: {layer.scale_unknown}")
        return None
    if layer.row_normalised:
        index = _normalised(layer.kernel, tol, notes)
        if index is not None:
            notes.append(
                "index with residual is that of I + D T(a), index that of D T(a) and of T(a), the other "
                "numbers are those of T(a)"
            )
        return index
    if layer.row_normalised is False:
        return _plain(layer.kernel, tol, notes)
    indices = [_plain(layer.kernel, tol, notes), _normalised(layer.kernel, tol, notes)]
    values = [None if index is None else index.value for index in indices]
    if values[0] is not None and values[0] == values[1]:
        notes.append(
            "T(a) or D T(a), the checkpoint does not say; index and index with residual are the same for "
            "both, the other numbers are those of T(a)"
        )
        return indices[0]
    notes.append(
        f"no index with residual: that of I + T(a) is {number(values[0])}, that of I + D T(a) "
        f"{number(values[1])}, and the checkpoint does not say which of them the layer is"
    )
    return None


def _plain(kernel: np.ndarray, tol: float, notes: list[str]) -> FredholmIndex | None:
    """Index of I + T(a)."""
    if kernel[0] == -1 and not kernel[1:].any():
        notes.append("I + T(a) = 0 has no Fredholm index")
        return None
    index = Symbol(kernel).residual().fredholm_index(tol)
    notes.append(_why_no_index("I + T(a)", index, tol))
    return index


def _normalised(kernel: np.ndarray, tol: float, notes: list[str]) -> FredholmIndex | None:
    """Index of I + D T(a), which is not that of I + T(a); the other numbers are T(a)'s."""
    try:
        layer = RowNormalised(kernel)
    except InputError as error:
        notes.append(f"no index with residual: {error}")
        return None
    first, last = (f"{layer.scales[i]:.3g}" for i in (0, -1))
    notes.append(f"D from {first} in the first row to {last} in the last")
    winding = layer.residual_winding(tol)
    index = FredholmIndex.of(winding)
    notes.append(_why_no_index("I + D T(a)", index, tol))
    return index


def _why_no_index(operator: str, index: FredholmIndex | None, tol: float) -> str:
    if index is None or index.value is not None:
        return ""
    if not index.winding.on_circle:
        return f"{operator}: index not certified ({index.winding.method})"
    return f"{operator} not Fredholm at tolerance {tol:g}, angles {degrees(index.winding.on_circle)}"


def _doubts(deficit: JensenDeficit | None, condition: Condition | None, nullity: Nullity | None) -> list[str]:
    doubts = []
    if deficit and not deficit.certified:
        doubts.append(f"jensen_deficit is an estimate ({deficit.method})")
    if condition and not condition.certified:
        bounds = f"{condition.lower:.6g} and {condition.upper:.6g}"
        doubts.append(f"log10_condition is an estimate between {bounds}")
    if nullity is not None and nullity.lower != nullity.upper:
        doubts.append(f"nullity between {nullity.lower} and {nullity.upper}")
    return doubts
