"""How an object is shown: in one line where it is printed, as a small table in a notebook."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sized
from html import escape
from typing import Any

from toeplitz_theory.names import shown

_FEW = 4
_LINE = 100  # characters of one entry
_LEFT = 'style="text-align:left"'
_LONGEST = 900  # characters of a whole object


def brief(value: object) -> str:
    """Return a value in at most a line: long arrays and collections by their shape.

    Parameters
    ----------
    value : object

    Examples
    --------
    >>> import numpy as np
    >>> brief(0.5), brief(np.zeros((3, 5))), brief(list(range(100)))
    ('0.5', '<float64 array (3, 5)>', '<list of 100>')
    """
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        return _brief_array(value)
    if isinstance(value, str):
        return repr(shown(value, _LINE))
    if isinstance(value, (list, tuple, Mapping, set, frozenset)) and _is_long(value):
        return f"<{type(value).__name__} of {len(value)}>"
    if isinstance(value, Displayed) and _speaks(value):
        return f"<{shown(value, _LINE)}>"
    text = repr(value)
    return text if len(text) <= _LINE and "\n" not in text else f"<{type(value).__name__}>"


def _brief_array(value: Any) -> str:
    if not value.shape:
        return shown(value, _LINE)
    if max(value.shape) <= _FEW:
        text = " ".join(repr(value).split())
        if len(text) <= _LINE:
            return text
    return f"<{value.dtype} array {tuple(value.shape)}>"


def _is_long(values: Sized) -> bool:
    return len(values) > _FEW or len(repr(values)) > _LINE


def _speaks(value: object) -> bool:
    return type(value).__str__ is not object.__str__


class Displayed:
    """What a dataclass inherits to be printed in one line and shown as a table in a notebook.

    Declare the dataclass with ``repr=False``, or the long form of `dataclasses` takes the place of this one.

    Examples
    --------
    >>> @dataclasses.dataclass(repr=False)
    ... class Point(Displayed):
    ...     x: float
    ...     path: list
    >>> Point(1.0, list(range(1000)))
    Point(x=1.0, path=<list of 1000>)
    """

    def _fields(self) -> dict[str, Any]:
        fields: Any = dataclasses.fields(self)  # type: ignore[arg-type]
        return {f.name: getattr(self, f.name) for f in fields if f.repr}

    def __repr__(self) -> str:
        entries = ", ".join(f"{name}={brief(value)}" for name, value in self._fields().items())
        return shown(f"{type(self).__name__}({entries})", _LONGEST)

    def _repr_html_(self) -> str:
        texts = {
            name: f"{value:.6g}" if isinstance(value, float) else brief(value)
            for name, value in self._fields().items()
        }
        rows = "".join(
            f"<tr><th {_LEFT}>{escape(name)}</th><td {_LEFT}>{escape(text)}</td></tr>"
            for name, text in texts.items()
        )
        says = f": {escape(shown(self, _LONGEST))}" if _speaks(self) else ""
        return f"<div><b>{type(self).__name__}</b>{says}<table>{rows}</table></div>"


def duration(seconds: float) -> str:
    """Return a time as a person says it.

    Examples
    --------
    >>> [duration(s) for s in (7.2, 90, 4000, 200_000)]
    ['7 s', '1.5 min', '1.1 h', '2.3 days']
    """
    for size, unit in ((86400.0, "days"), (3600.0, "h"), (60.0, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"
