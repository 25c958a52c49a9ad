"""A kernel in small charts, as SVG text: recovery curve, taps, zeros, modulus and phase."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import NDArray

from toeplitz_theory.operators import Recovery, Response, Zeros
from toeplitz_theory.reports.sentences import number

# Whole numbers keep the page small: a chart is this wide, and shown at about half of that.
WIDTH, HEIGHT = 640, 408
_LEFT, _RIGHT, _TOP, _BOTTOM = 84, 14, 44, 62
_DECIBELS_SHOWN = 60.0  # below the largest modulus
_FEW = 40  # taps up to which each has a broad stroke
_SPARE = 2  # of these units nothing is seen: what lies closer together is one

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Scale:
    """An axis: where a value lies, from 0 to 1, and what is written beside it.

    Examples
    --------
    >>> float(tokens(99.0).place(0.0)), float(tokens(99.0).place(99.0))
    (0.0, 1.0)
    """

    place: Callable[[Floats | float], Floats]
    ticks: Sequence[tuple[float, str]]


def linear(low: float, high: float, most: int = 5, whole: bool = False) -> Scale:
    """An axis from low to high with round numbers at its ticks, ``whole`` ones for what is counted."""
    span = high - low if high > low else 1.0
    exponent = math.floor(math.log10(span / most))
    exponent = max(exponent, 0) if whole else exponent
    step = next(d for d in (1.0, 2.0, 5.0, 10.0) if d * 10.0**exponent * most >= span * 0.999)
    # By counting: sums of steps drift.
    first, last = (
        math.floor(end / 10.0**exponent / step + slack) for end, slack in ((low, 0.999), (high, 1e-3))
    )
    values = [float(f"{k * step:g}e{exponent}") for k in range(first, last + 1)]
    return Scale(lambda x: (np.asarray(x) - low) / span, [(v, f"{v:g}") for v in values])


def tokens(longest: float) -> Scale:
    """An axis of delays: logarithmic, with room for 0 at its beginning."""
    longest = max(longest, 2.0)
    full = math.log1p(longest)
    powers = [10**k for k in range(8) if 10**k <= longest * 1.01]
    return Scale(
        lambda x: np.log1p(np.maximum(x, 0.0)) / full, [(0.0, "0"), *((float(p), f"{p}") for p in powers)]
    )


def symmetric(reach: float) -> Scale:
    """An axis from -reach to reach, logarithmic away from 0."""
    full = math.log1p(reach)
    powers = [10.0**k for k in range(7) if 10.0**k <= reach]
    sides = [*(-p for p in reversed(powers)), 0.0, *powers]
    return Scale(lambda x: 0.5 + np.sign(x) * np.log1p(np.abs(x)) / full / 2, [(v, f"{v:g}") for v in sides])


class Chart:
    """One pair of axes within an SVG element, filled step by step.

    Parameters
    ----------
    x, y : Scale
        The axes.
    words : tuple of str
        What they measure.
    top, bottom : int
        Edges of the field.

    Examples
    --------
    >>> chart = Chart(linear(0, 1), linear(0, 1), ("x", "y"))
    >>> chart.line(np.array([0.0, 1.0]), np.array([0.0, 1.0]), "curve")
    >>> drawn("a line", chart).count("<path")
    3
    """

    def __init__(
        self, x: Scale, y: Scale, words: tuple[str, str], top: int = _TOP, bottom: int = HEIGHT - _BOTTOM
    ) -> None:
        self.x, self.y, self.top, self.bottom = x, y, top, bottom
        self.body: list[str] = []
        grid = "".join(f"M{_LEFT} {self.up(v)}H{WIDTH - _RIGHT}" for v, _ in y.ticks)
        self.body.append(f'<path class="axis" d="{grid}"/>')
        edge = f"M{_LEFT} {top}V{bottom}H{WIDTH - _RIGHT}"
        ticks = "".join(f"M{self.along(v)} {bottom}v6" for v, _ in x.ticks)
        self.body.append(f'<path class="edge" d="{edge}{ticks}"/>')
        if words[0]:
            for v, text in x.ticks:
                last = self.along(v) > WIDTH - 40
                end = WIDTH - 2 if last else self.along(v)
                self.body.append(self._text(end, bottom + 26, text, "end" if last else "middle"))
            self.body.append(self._text(WIDTH - _RIGHT, bottom + 52, words[0], "end"))
        self.body += [self._text(_LEFT - 8, self.up(v) + 7, text, "end") for v, text in y.ticks]
        self.body.append(self._text(4, top - 16, words[1]))

    def along(self, value: float) -> int:
        """Return the place of a value on the horizontal axis."""
        return int(self.across(np.array(value)))

    def across(self, values: Floats) -> NDArray[np.int64]:
        """Return the places of values on the horizontal axis."""
        return np.rint(_LEFT + self.x.place(values) * (WIDTH - _RIGHT - _LEFT)).astype(np.int64)

    def up(self, value: float) -> int:
        """Return the place of a value on the vertical axis."""
        return int(self.heights(np.array(value)))

    def heights(self, values: Floats) -> NDArray[np.int64]:
        """Return the places of values on the vertical axis, those beyond its ends at them."""
        shares = np.clip(self.y.place(values), 0.0, 1.0)
        return np.rint(self.bottom - shares * (self.bottom - self.top)).astype(np.int64)

    def line(self, x: Floats, y: Floats, kind: str) -> None:
        """Draw a line through points, without those that hardly bend it."""
        corners = _straightened(np.stack([self.across(x), self.heights(y)], axis=1))
        self.body.append(f'<path class="{kind}" d="{_polyline(corners)}"/>')

    def steps(self, x: Floats, y: Floats, kind: str) -> None:
        """Draw what keeps its value until the next place."""
        places, heights = self.across(x), self.heights(y)
        path, (at, height) = [f"M{places[0]} {heights[0]}"], (places[0], heights[0])
        for place, now in zip(places[1:].tolist(), heights[1:].tolist(), strict=True):
            if abs(now - height) >= _SPARE and place > at:
                path.append(f"h{place - at}v{now - height}")
                at, height = place, now
        self.body.append(f'<path class="{kind}" d="{"".join(path)}H{places[-1]}"/>')

    def marks(self, x: Floats, y: Floats, kind: str, shape: str = "h0") -> None:
        """Draw a shape at points, once where they coincide; a stroke without length is a disc."""
        spots = np.unique(np.stack([self.across(x), self.heights(y)], axis=1), axis=0)
        if spots.size:
            strokes = "".join(f"m{_pair(a, b)}{shape}" for a, b in np.diff(spots, axis=0, prepend=0).tolist())
            self.body.append(f'<path class="{kind}" d="{strokes}"/>')

    def level(self, value: float) -> None:
        """Draw the line on which the vertical axis has a value."""
        self.body.append(f'<path class="unit" d="M{_LEFT} {self.up(value)}H{WIDTH - _RIGHT}"/>')

    def note(self, x: float, y: float, text: str, anchor: str = "start") -> None:
        """Write at a place in units of the drawing."""
        self.body.append(self._text(x, y, text, anchor, "note halo"))

    def _text(self, x: float, y: float, text: str, anchor: str = "start", kind: str = "") -> str:
        attributes = f' class="{kind}"' if kind else ""
        attributes += f' text-anchor="{anchor}"' if anchor != "start" else ""
        return f'<text x="{round(x)}" y="{round(y)}"{attributes}>{escape(text)}</text>'


def drawn(title: str, *charts: Chart) -> str:
    """Return an ``svg`` element with colours from the page's style sheet; screen readers read its title."""
    body = "".join(part for chart in charts for part in chart.body)
    label = escape(title, quote=True)
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">{body}</svg>'


def _pair(x: int, y: int) -> str:
    """Two numbers with the fewest separators SVG needs: a minus sign separates by itself."""
    return f"{x}{y}" if y < 0 else f"{x} {y}"


def _polyline(corners: NDArray[np.int64]) -> str:
    """Steps from corner to corner."""
    steps = " ".join(map(str, np.diff(corners, axis=0).ravel().tolist())).replace(" -", "-")
    return f"M{corners[0, 0]} {corners[0, 1]}" + (f"l{steps}" if steps else "")


def _straightened(points: NDArray[np.int64]) -> NDArray[np.int64]:
    """Leave out points within a unit of the line through their neighbours (Ramer, Douglas and Peucker)."""
    kept = np.zeros(len(points), dtype=bool)
    kept[[0, -1]] = True
    open_ = [(0, len(points) - 1)]
    while open_:
        first, last = open_.pop()
        if last - first < 2:
            continue
        chord = points[last] - points[first]
        inner = points[first + 1 : last] - points[first]
        length = math.hypot(*chord)
        away = np.abs(inner @ [-chord[1], chord[0]]) / length if length else np.hypot(*inner.T)
        far = int(np.argmax(away))
        if away[far] > _SPARE / 2:
            kept[first + 1 + far] = True
            open_ += [(first, first + 1 + far), (first + 1 + far, last)]
    return points[kept]


def recovery_svg(recovery: Recovery, title: str) -> str:
    """The share of the input given back against the delay, with half, 90 % and the mean delay marked.

    Examples
    --------
    >>> from toeplitz_theory.operators import Symbol
    >>> "mean 1" in recovery_svg(Symbol([1.0, -2.0]).recovery(), "a")
    True
    """
    x = tokens(recovery.horizon)
    shares = Scale(lambda v: np.asarray(v), [(0.0, "0"), (0.5, "50 %"), (0.9, "90 %")])
    chart = Chart(x, shares, ("tokens later", "share of the input given back"))
    delays = np.arange(recovery.curve.size, dtype=float)
    mean = recovery.mean_delay
    place = None if mean is None or mean > recovery.horizon else chart.along(mean)
    if place is not None:
        chart.body.append(f'<path class="mean" d="M{place} {chart.top}V{chart.bottom}"/>')
    chart.steps(delays, recovery.curve, "curve")
    if place is not None:
        right = place < WIDTH * 0.7
        chart.note(
            place + (8 if right else -8),
            chart.bottom - 12,
            f"mean {number(mean)}",
            "start" if right else "end",
        )
    return drawn(title, chart)


def taps_svg(kernel: NDArray[np.float64], title: str) -> str:
    """Taps against lag, each a stroke from 0; the modulus where they are complex.

    Examples
    --------
    >>> taps_svg(np.array([1.0, -0.5]), "w").count('class="taps')
    1
    """
    is_complex = np.iscomplexobj(kernel)
    values = np.abs(kernel) if is_complex else kernel
    largest = float(np.abs(values).max())
    exponent = math.floor(math.log10(largest))
    # In a unit of their own where the numbers would be long; two factors, as one may leave float64's range.
    unit = 0 if -3 <= exponent <= 3 else exponent
    shown = values / 10.0 ** (unit / 2) / 10.0 ** (unit - unit / 2)
    low, high = min(0.0, float(shown.min())), max(0.0, float(shown.max()))
    name = "modulus of the tap" if is_complex else "tap"
    words = "lag (tokens back)", f"{name} / 1e{unit}" if unit else name
    chart = Chart(linear(0.0, max(kernel.size - 1, 1), whole=True), linear(low, high), words)
    places = chart.across(np.arange(kernel.size, dtype=float)) // _SPARE * _SPARE
    starts = np.flatnonzero(np.diff(places, prepend=-1))
    # Of taps in one place the range.
    tops = chart.heights(np.maximum(np.maximum.reduceat(shown, starts), 0.0))
    feet = chart.heights(np.minimum(np.minimum.reduceat(shown, starts), 0.0))
    path, at, height = [], 0, 0
    for x, top, foot in zip(places[starts].tolist(), tops.tolist(), feet.tolist(), strict=True):
        if top != foot:
            path.append(f"m{_pair(x - at, top - height)}v{foot - top}")
            at, height = x, foot
    few = " few" if kernel.size <= _FEW else ""
    chart.level(0.0)
    chart.body.append(f'<path class="taps{few}" d="{"".join(path)}"/>')
    return drawn(title, chart)


def response_svg(response: Response, title: str) -> str:
    """Modulus in decibels above, phase in turns below, against the angle.

    Examples
    --------
    >>> from toeplitz_theory.operators import Symbol
    >>> response_svg(Symbol([1.0, -2.0]).response(), "a").count('class="curve"')
    2
    """
    angle, ends = response.angle / math.pi, round(response.angle[-1] / math.pi)
    x = linear(0.0, float(ends))
    top = float(response.decibels.max())
    low = max(float(response.decibels.min()), top - _DECIBELS_SHOWN)
    middle = (_TOP + HEIGHT - _BOTTOM) // 2
    above = Chart(x, linear(min(low, top - 1), top, 3), ("", "|a| (dB)"), bottom=middle - 22)
    above.line(angle, np.maximum(response.decibels, low), "curve")
    turns = (response.phase - response.phase[0]) / (2 * math.pi)
    edges = min(float(turns.min()), 0.0), max(float(turns.max()), 0.0)
    y = linear(edges[0], max(edges[1], edges[0] + 0.5), 3)
    below = Chart(x, y, ("θ / π", "phase of a (turns)"), top=middle + 22)
    below.line(angle, turns, "curve")
    return drawn(title, above, below)


def zeros_svg(zeros: Zeros, n: int, real: bool, title: str) -> str:
    """All zeros of a symbol as n log|z| against angle: those inside the unit circle lie below the line.

    Examples
    --------
    >>> from toeplitz_theory.operators import Symbol
    >>> 'class="inside" d="m' in zeros_svg(Symbol([1.0, -2.0]).zeros(), 2, True, "zeros")
    True
    """
    groups = {"outside": zeros.outside(), "undecided": zeros.undecided(), "inside": zeros.inside()}
    places, reaches = {}, [1.0]
    for kind, points in groups.items():
        # A real kernel's zeros come in pairs: one of each is enough.
        points = points[(points != 0) & (points.imag >= 0 if real else True)]
        places[kind] = np.mod(np.angle(points), 2 * math.pi) / math.pi, n * np.log(np.abs(points))
        distances = np.abs(places[kind][1])
        # A zero beyond float64's range is infinite: it lies at the edge.
        reaches.append(float(distances[np.isfinite(distances)].max(initial=0.0)))
    chart = Chart(
        linear(0.0, 1.0 if real else 2.0),
        symmetric(1.25 * max(reaches)),
        ("θ / π", f"n log|z|{'; upper half plane' if real else ''}"),
    )
    chart.level(0.0)
    shapes = {"outside": "h0", "undecided": "m-7-7h14v14h-14v-14m7 7", "inside": "h0"}
    for kind, (angles, heights) in places.items():
        chart.marks(angles, heights, kind, shapes[kind])
    inside, outside = groups["inside"], groups["outside"]
    at_origin = int((inside == 0).sum())
    some = f", {at_origin} of them at 0" if at_origin else ""
    chart.note(WIDTH - _RIGHT - 4, chart.bottom - 10, f"{len(inside)} inside{some}", "end")
    chart.note(WIDTH - _RIGHT - 4, chart.top + 18, f"{len(outside)} outside", "end")
    return drawn(title, chart)
