"""Reports as strict JSON and back.

A report is its dataclasses, field by field, and reading follows the types of those fields: what does not fit
is refused in one line that says where. JSON has no infinities: a number that is infinite or not a number is
the string "inf", "-inf" or "nan". Kernels are base64 of their little-endian bytes, in float32 where that
loses nothing.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import math
import types
from functools import cache
from typing import Any, NoReturn, Union, get_args, get_origin, get_type_hints

import numpy as np

from toeplitz_theory.errors import InputError
from toeplitz_theory.files import json_text
from toeplitz_theory.operators import Count
from toeplitz_theory.reports.provenance import Provenance
from toeplitz_theory.reports.rows import Row, first_tap

FORMAT = "toeplitz-theory report"
FORMAT_VERSION = 4  # raise when a field of Row, of Provenance or of the operators' results changes

# Types of stored kernels, each with that it is read as.
_ARRAYS = {"float32": "f8", "float64": "f8", "complex64": "c16", "complex128": "c16"}

Contents = tuple[tuple[Row, ...], tuple[tuple[str, str], ...], tuple[str, ...], Provenance]


def encode(
    rows: tuple[Row, ...],
    skipped: tuple[tuple[str, str], ...],
    notes: tuple[str, ...],
    provenance: Provenance,
) -> str:
    """A report as JSON text without NaN or Infinity tokens, ending in a newline.

    Examples
    --------
    >>> tolerances = {"tol": 0.0, "nullity_rtol": 1e-6}
    >>> decode(encode((), (("x", "why"),), (), Provenance("x", (), (), (), tolerances=tolerances)))[1]
    (('x', 'why'),)
    """
    document = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "provenance": _plain(provenance),
        "notes": list(notes),
        "skipped": _plain(skipped),
        "rows": _plain(rows),
    }
    return json_text(document, indent=1)


def plain_row(row: Row) -> dict[str, Any]:
    """A row as JSON holds it, without its kernel."""
    return _plain(dataclasses.replace(row, kernel=row.kernel[:0]))


def row_of(plain: dict[str, Any], kernel: np.ndarray) -> Row:
    """What :func:`plain_row` wrote, with the kernel; InputError where it is anything else.

    Examples
    --------
    >>> row = Row("blocks.0", None, n=2, dtype="float32", key="w", layout="flat", kernel=np.ones(2), w0=1.0)
    >>> row_of(plain_row(row), row.kernel) == row
    True
    """
    row = dataclasses.replace(_read(Row, plain, "row"), kernel=kernel)
    _check(row, "row")
    return row


def decode(text: str) -> Contents:
    """What :func:`encode` wrote; InputError where the text is anything else.

    Examples
    --------
    >>> decode("{}")
    Traceback (most recent call last):
        ...
    toeplitz_theory.errors.InputError: not a toeplitz-theory report; save one with Report.save
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError, MemoryError) as error:
        raise InputError(f"not JSON ({error}); save a report with Report.save") from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise InputError(f"not a {FORMAT}; save one with Report.save")
    version = document.get("format_version")
    if version != FORMAT_VERSION or isinstance(version, bool):
        raise InputError(
            f"a report of another version than {FORMAT_VERSION} of its format; inspect the model again"
        )
    hints = zip(("rows", "skipped", "notes", "provenance"), get_args(Contents), strict=True)
    rows, skipped, notes, provenance = (_read(hint, document.get(key), key) for key, hint in hints)
    for place, row in enumerate(rows):
        _check(row, f"rows[{place}]")
    missing = {"tol", "nullity_rtol"} - set(provenance.tolerances)
    if missing:
        _refuse("provenance.tolerances", " and ".join(sorted(missing)))
    return rows, skipped, notes, provenance


def _plain(value: Any) -> Any:
    """``value`` in terms of what JSON has."""
    if isinstance(value, Count):
        return {"value": int(value)} | _plain(vars(value))
    if isinstance(value, (str, bool, int)) or value is None:
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, np.ndarray):
        return _plain_array(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {name: _plain(getattr(value, name)) for name in _fields(type(value))}
    if isinstance(value, dict):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(entry) for entry in value]
    raise TypeError(f"no JSON form for {type(value).__name__}")


def _plain_array(values: np.ndarray) -> dict[str, str]:
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        narrow, wide = ("<c8", "<c16") if np.iscomplexobj(values) else ("<f4", "<f8")
        same = np.array_equal(values.astype(narrow).astype(wide), values, equal_nan=True)
    dtype = np.dtype(narrow if same else wide)
    data = base64.b64encode(values.astype(dtype).tobytes()).decode("ascii")
    return {"dtype": dtype.name, "base64": data}


@cache
def _fields(kind: Any) -> dict[str, Any]:
    """Field names and types of a dataclass, or of a result that is a number with attributes."""
    return get_type_hints(kind)


def _read(hint: Any, value: Any, place: str) -> Any:
    """``value`` as the type ``hint`` says, or an error that names the place."""
    kind, parts = get_origin(hint), get_args(hint)
    if kind in (Union, types.UnionType):  # here always with None
        return None if value is None else _read(parts[0], value, place)
    if kind is tuple:
        return _read_tuple(parts, value, place)
    if kind is dict:
        entries = value.items() if isinstance(value, dict) else _refuse(place, "an object")
        return {key: _read(parts[1], entry, f"{place}.{key}") for key, entry in entries}
    if hint is np.ndarray:
        return _read_array(value, place)
    if hint is float:
        return _read_float(value, place)
    if hint is int:
        # Tables hold counts in 64 bits.
        whole = isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63
        return value if whole else _refuse(place, "a whole number")
    if hint in (bool, str):
        return value if type(value) is hint else _refuse(place, {bool: "true or false", str: "text"}[hint])
    return _read_fields(hint, value, place)


def _read_fields(kind: Any, value: Any, place: str) -> Any:
    hints = {"value": int, **_fields(kind)} if issubclass(kind, Count) else _fields(kind)
    if not isinstance(value, dict) or set(value) != set(hints):
        _refuse(place, f"an object of {', '.join(hints)}")
    return kind(**{name: _read(hint, value[name], f"{place}.{name}") for name, hint in hints.items()})


def _read_tuple(parts: tuple[Any, ...], value: Any, place: str) -> tuple[Any, ...]:
    endless = len(parts) == 2 and parts[1] is Ellipsis
    if not isinstance(value, list) or not (endless or len(value) == len(parts)):
        _refuse(place, "a list" if endless else f"a list of {len(parts)}")
    hints = [parts[0]] * len(value) if endless else parts
    return tuple(_read(*pair, f"{place}[{k}]") for k, pair in enumerate(zip(hints, value, strict=True)))


def _read_float(value: Any, place: str) -> float:
    if value in ("inf", "-inf", "nan") or (isinstance(value, (int, float)) and not isinstance(value, bool)):
        try:
            return float(value)
        except OverflowError:
            pass
    return _refuse(place, 'a number or "inf", "-inf", "nan"')


def _read_array(value: Any, place: str) -> np.ndarray:
    if not isinstance(value, dict) or value.get("dtype") not in list(_ARRAYS):
        _refuse(place, f"a kernel: base64 of {' or '.join(_ARRAYS)}")
    try:
        data = base64.b64decode(value["base64"], validate=True)
        kernel = np.frombuffer(data, np.dtype(value["dtype"]).newbyteorder("<"))
        kernel = kernel.astype(_ARRAYS[value["dtype"]])
    except (KeyError, TypeError, ValueError):
        _refuse(place, f"a kernel: base64 of {' or '.join(_ARRAYS)}")
    kernel.flags.writeable = False
    return kernel


def _check(row: Row, place: str) -> None:
    """What the types do not say and drawing relies on."""
    if row.channels < 1 or (row.n if row.channels == 1 else 0) != row.kernel.size:
        _refuse(f"{place}.n", f"the length {row.kernel.size} of the kernel")
    if repr(row.w0) != repr(first_tap(row.kernel)):  # as text, so that nan is nan
        _refuse(f"{place}.w0", "the first tap of the kernel")
    if row.analysed and row.channels == 1 and not (np.isfinite(row.kernel).all() and row.kernel.any()):
        _refuse(f"{place}.kernel", "finite and not all 0, though there are numbers of it")
    for name in ("index", "index_residual"):
        index = getattr(row, name)
        if index is not None and index.value is not None and not -row.n * row.channels < index.value <= 0:
            _refuse(f"{place}.{name}", "minus a count of the kernel's zeros")


def _refuse(place: str, wanted: str) -> NoReturn:
    raise InputError(f"damaged report: {place} is not {wanted}; inspect the model again")
