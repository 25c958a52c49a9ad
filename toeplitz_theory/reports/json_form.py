"""Reports as strict JSON and back.

JSON has no infinities: a number that is infinite or not a number is written as the string "inf", "-inf" or
"nan" and read back as that number. Kernels are base64 of their little-endian bytes, in float32 where that
loses nothing.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import math
from typing import Any

import numpy as np

from toeplitz_theory.errors import InputError
from toeplitz_theory.reports.provenance import File, Provenance
from toeplitz_theory.reports.rows import Bracketed, Count, Index, Row

FORMAT = "toeplitz-theory report"
FORMAT_VERSION = 1


def _plain(value: Any) -> Any:
    """``value`` in terms of what JSON has."""
    if isinstance(value, (str, bool, int)) or value is None:
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, np.ndarray):
        return _encode_array(value)
    if dataclasses.is_dataclass(value):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(entry) for entry in value]
    raise TypeError(f"no JSON form for {type(value).__name__}")


def _encode_array(values: np.ndarray) -> dict[str, str]:
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        same = np.array_equal(values.astype("<f4").astype("<f8"), values, equal_nan=True)
    dtype = np.dtype("<f4" if same else "<f8")
    data = base64.b64encode(values.astype(dtype).tobytes()).decode("ascii")
    return {"dtype": dtype.name, "base64": data}


def _decode_array(entry: dict[str, str]) -> np.ndarray:
    dtype = np.dtype(entry["dtype"]).newbyteorder("<")
    if dtype.kind != "f":
        raise ValueError(f"kernel of type {dtype.name}")
    values = np.frombuffer(base64.b64decode(entry["base64"], validate=True), dtype=dtype)
    kernel = values.astype(np.float64)
    kernel.flags.writeable = False
    return kernel


def _decode_number(entry: Any) -> Any:
    return float(entry) if isinstance(entry, str) else entry


def _decode_evidence(kind: type, entry: dict[str, Any] | None) -> Any:
    if entry is None:
        return None
    values = dict(entry)
    for key in ("value", "lower", "upper", "margin"):
        if key in values:
            values[key] = _decode_number(values[key])
    if "on_circle" in values:
        values["on_circle"] = tuple(values["on_circle"])
    return kind(**values)


_EVIDENCE = {
    "index": Index,
    "index_residual": Index,
    "min_modulus": Bracketed,
    "jensen_deficit": Bracketed,
    "log10_condition": Bracketed,
    "nullity": Count,
}


def _decode_row(entry: dict[str, Any]) -> Row:
    values = dict(entry)
    values["kernel"] = _decode_array(values["kernel"])
    values["w0"] = _decode_number(values["w0"])
    for name, kind in _EVIDENCE.items():
        values[name] = _decode_evidence(kind, values[name])
    return Row(**values)


def _decode_provenance(entry: dict[str, Any]) -> Provenance:
    values = dict(entry)
    values["files"] = tuple(File(**file) for file in values["files"])
    values["dtypes"], values["n"] = tuple(values["dtypes"]), tuple(values["n"])
    return Provenance(**values)


def encode(
    rows: tuple[Row, ...],
    skipped: tuple[tuple[str, str], ...],
    notes: tuple[str, ...],
    provenance: Provenance,
) -> str:
    """A report as JSON text.

    Parameters
    ----------
    rows : tuple of Row
        The rows.
    skipped : tuple of (str, str)
        Names and reasons.
    notes : tuple of str
        Notes on the report as a whole.
    provenance : Provenance
        Where it comes from.

    Returns
    -------
    str
        Strict JSON (no NaN or Infinity tokens), ending in a newline.

    Examples
    --------
    >>> from toeplitz_theory.reports.provenance import collect
    >>> text = encode((), (("x", "why"),), (), collect("x", (), (), (), {"tol": 0.0}))
    >>> decode(text)[1]
    (('x', 'why'),)
    """
    document = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "provenance": _plain(provenance),
        "notes": list(notes),
        "skipped": [{"name": name, "reason": reason} for name, reason in skipped],
        "rows": [_plain(row) for row in rows],
    }
    return json.dumps(document, indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def decode(text: str) -> tuple[tuple[Row, ...], tuple[tuple[str, str], ...], tuple[str, ...], Provenance]:
    """What :func:`encode` wrote.

    Parameters
    ----------
    text : str
        JSON text.

    Returns
    -------
    tuple
        Rows, skipped, notes, provenance.

    Raises
    ------
    InputError
        The text is not such a report.

    Examples
    --------
    >>> decode("{}")
    Traceback (most recent call last):
        ...
    toeplitz_theory.errors.InputError: not a toeplitz-theory report (version 1); save one with Report.save
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"not JSON ({error}); save a report with Report.save") from error
    if (
        not isinstance(document, dict)
        or document.get("format") != FORMAT
        or document.get("format_version") != FORMAT_VERSION
    ):
        raise InputError(f"not a {FORMAT} (version {FORMAT_VERSION}); save one with Report.save")
    try:
        return (
            tuple(_decode_row(entry) for entry in document["rows"]),
            tuple((entry["name"], entry["reason"]) for entry in document["skipped"]),
            tuple(document["notes"]),
            _decode_provenance(document["provenance"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"damaged report ({type(error).__name__}: {error}); inspect the model again"
        ) from error
