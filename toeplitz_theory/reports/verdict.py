"""Many kernels in one line: medians of a layer or a model, and what they say in words."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from statistics import median
from typing import Any

from toeplitz_theory.names import shown
from toeplitz_theory.reports.rows import Row
from toeplitz_theory.reports.sentences import number

# The numbers of which medians are taken; each measures another thing that "invertible" can mean.
MEDIANS = (
    "index",
    "recovered_at_once",
    "delay_50",
    "delay_90",
    "index_residual",
    "residual_delay_90",
    "jensen_deficit",
    "log10_condition",
    "nullity",
    "bits_bfloat16",
    "min_modulus",
    "zeros_near_circle",
)

SUMMARY_NAMES = ("layer", "kernels", "certified", "index_0", "w0_not_0", "gives_back", *MEDIANS)

MOST_DRAWN = 200  # kernels shown one by one; of more, the layers' distributions and the latest by name
_MOST_STACKS = 4
_MOST_NUMBERED = 16

# What the table of layers shows: name, heading.
VERDICT = (
    ("layer", "layer"),
    ("gives_back", "gives back of its input"),
    ("index", "index"),
    ("kernels", "kernels"),
    ("certified", "certified"),
    ("log10_condition", "log10 condition"),
    ("bits_bfloat16", "bits in bfloat16"),
)


def medians(rows: Sequence[Row]) -> dict[str, Any]:
    """Counts, and medians over the values that are known; None where none is.

    ``certified`` counts kernels whose index is proved, ``index_0`` operators T(a) invertible on l2(N),
    ``w0_not_0`` invertible n x n matrices.

    Examples
    --------
    >>> medians([])["kernels"], medians([])["index"]
    (0, None)
    """
    cells = [row.cells() | {"delay_50": row.delay_50} for row in rows]
    known = {name: [float(v) for c in cells if (v := c[name]) is not None] for name in MEDIANS}
    return {
        "kernels": len(cells),
        "certified": sum(cell["certified"] is True for cell in cells),
        "index_0": sum(cell["index"] == 0 for cell in cells),
        "w0_not_0": sum(row.analysed and bool(row.w0) for row in rows),
        **{name: median(values) if values else None for name, values in known.items()},
    }


def by_layer(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """:func:`medians` of each layer, in the order of the model, with its name and verdict in words."""
    layers: dict[str, list[Row]] = {}
    for row in rows:
        layers.setdefault(row.layer, []).append(row)
    entries = []
    for layer, group in layers.items():
        entry = {"layer": layer, **medians(group)}
        known = sum(row.delay_90 is not None for row in group)
        some = f" ({known} of {len(group)} kernels known)" if 0 < known < len(group) else ""
        if any(row.delay_90 is not None and not row.delay_90.certified for row in group):
            some += ", an estimate"
        entries.append(entry | {"gives_back": gives_back(entry) + some})
    return entries


def latest(rows: Sequence[Row], most: int) -> list[Row]:
    """The kernels that most need a look: those not analysed, then those that give back latest.

    By the tokens after which 90 % is back, where that is past the horizon or not known before all others;
    then by the mean delay.

    Examples
    --------
    >>> latest([], 3)
    []
    """

    def urgency(row: Row) -> tuple[float, ...]:
        late = math.inf if row.delay_90 is None else float(row.delay_90)
        mean = math.inf if row.mean_delay is None else row.mean_delay
        return (row.analysed, -late, -mean)

    return sorted(rows, key=urgency)[:most]


def stacks(layers: Sequence[str]) -> list[list[str]]:
    """Layers whose names differ in their numbers alone: an encoder's and a decoder's apart.

    Names that have nothing in common are one stack.

    Examples
    --------
    >>> stacks(["encoder.0", "encoder.1", "decoder.0"])
    [['encoder.0', 'encoder.1'], ['decoder.0']]
    """
    named: dict[str, list[str]] = {}
    for layer in layers:
        named.setdefault(re.sub(r"\d+", "#", layer), []).append(layer)
    return list(named.values()) if 0 < len(named) <= _MOST_STACKS else [list(layers)]


def layer_places(groups: list[list[str]], gap: float) -> tuple[dict[str, float], list[tuple[float, str]]]:
    """Where layers stand on an axis, their stacks ``gap`` apart, and the numbers of some, each stack from 0.

    Examples
    --------
    >>> layer_places([["encoder.0", "encoder.1"], ["decoder.0"]], 0.5)[1]
    [(0.0, '0'), (1.0, '1'), (2.5, '0')]
    >>> layer_places([[]], 0.5)  # stacks of no layers
    ({}, [])
    """
    places: dict[str, float] = {}
    ticks = []
    start = 0.0
    every = max(1, math.ceil(sum(map(len, groups)) / _MOST_NUMBERED))
    for group in groups:
        places |= {layer: start + k for k, layer in enumerate(group)}
        ticks += [(start + k, str(k)) for k in range(0, len(group), every)]
        start += len(group) + gap
    return places, ticks


def gives_back(entry: dict[str, Any]) -> str:
    """How late the outputs give the input back, in words.

    Examples
    --------
    >>> gives_back({"recovered_at_once": 0.004, "delay_50": 1.0, "delay_90": 12.0})
    'half after 1 token, 90 % after 12'
    >>> gives_back({"recovered_at_once": 0.95, "delay_50": 0.0, "delay_90": 0.0})
    '95 % at once'
    """
    at_once, half, most = (entry[name] for name in ("recovered_at_once", "delay_50", "delay_90"))
    if at_once is None or half is None or most is None:
        return "not known"
    if half == most == 0:
        if at_once >= 0.9995:
            return "all at once" if at_once == 1 else "nearly all at once"
        return f"{100 * at_once:.3g} % at once"
    if half == most:
        return f"90 % {_after(most)}"
    if half == 0:
        return f"half at once, 90 % {_after(most)}"
    return f"half {_after(half)}, 90 % {_after(most).removesuffix(' tokens')}"


def _after(delay: float) -> str:
    if delay == 0:
        return "at once"
    if delay == 1:
        return "after 1 token"
    # A median between two delays: half a token says something only of a few.
    middle = delay != round(delay)
    whole = f"{'about ' if middle else ''}{math.floor(delay + 0.5)}"
    return f"after {number(delay) if middle and delay < 10 else whole} tokens"


def verdict_texts(rows: Sequence[Row]) -> list[dict[str, str]]:
    """The table of layers as text, in the columns of ``VERDICT``."""
    texts = []
    for entry in by_layer(rows):
        cells = {
            name: shown(entry[name]) if isinstance(entry[name], str) else number(entry[name])
            for name, _ in VERDICT
        }
        proved = "all" if entry["certified"] == entry["kernels"] else f"{entry['certified']}"
        texts.append(cells | {"certified": proved})
    return texts
