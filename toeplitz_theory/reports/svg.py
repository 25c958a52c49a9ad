"""A kernel's panel as SVG text: its symbol around the origin, its zeros against the unit circle."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

from toeplitz_theory.operators.circle.curve import cubic_pieces

# Whole numbers keep the page small: the drawing is _SIZE units wide and shown at about a quarter of that.
_SIZE = 1600
_MIDDLE = _SIZE // 2
_REACH = 700
# Half a unit is an eighth of a pixel.
_TOLERANCE = 0.5 / _REACH
_ARROWS = 3
# Radius of the unit circle among the zeros; infinity lies half as far again.
_UNIT = 490


def _frame(title: str, body: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {_SIZE} {_SIZE}" role="img" aria-label="{escape(title, quote=True)}">'
        f"{''.join(body)}</svg>"
    )


def _text(x: float, y: float, content: str, kind: str = "", anchor: str = "start") -> str:
    attribute = f' class="{kind}"' if kind else ""
    return f'<text x="{round(x)}" y="{round(y)}" text-anchor="{anchor}"{attribute}>{escape(content)}</text>'


def _place(points: NDArray[np.complex128], centre: complex, scale: float) -> NDArray[np.int64]:
    """Plane to drawing, shape (m, 2): the imaginary axis points up."""
    shifted = (points - centre) * scale
    return np.stack([np.rint(_MIDDLE + shifted.real), np.rint(_MIDDLE - shifted.imag)], axis=1).astype(
        np.int64
    )


def _joined(numbers: NDArray[np.int64]) -> str:
    """Numbers with the fewest separators SVG needs: a minus sign separates by itself."""
    return " ".join(map(str, numbers.tolist())).replace(" -", "-")


def symbol_svg(kernel: NDArray[np.float64], title: str) -> str:
    """The curve a(exp(i theta)), 0 <= theta <= 2 pi, with the origin, a scale and arrows in its direction.

    Parameters
    ----------
    kernel : ndarray, shape (n,)
        A finite kernel that is not all zeros.
    title : str
        What a screen reader says; escaped here.

    Returns
    -------
    str
        An ``svg`` element; its colours come from the page's style sheet.

    Examples
    --------
    >>> symbol_svg(np.array([1.0, 0.5]), "a").startswith('<svg viewBox')
    True
    """
    unit = float(np.abs(kernel).max())
    angles, values, slopes = cubic_pieces(kernel / unit, _TOLERANCE)
    # The origin is always in view: the drawing is about the way round it.
    seen = np.append(values, 0.0)
    centre = complex((seen.real.min() + seen.real.max()) / 2, (seen.imag.min() + seen.imag.max()) / 2)
    extent = max(np.ptp(seen.real), np.ptp(seen.imag)) / 2
    scale = _REACH / extent
    widths = np.diff(angles)[:, None]
    ends = _place(values, centre, scale)
    handles = np.stack([slopes.real, -slopes.imag], axis=1) * scale / 3
    pieces = np.concatenate(
        [
            np.rint(handles[:-1] * widths),
            ends[1:] - ends[:-1] - np.rint(handles[1:] * widths),
            ends[1:] - ends[:-1],
        ],
        axis=1,
    ).astype(np.int64)
    path = f"M{ends[0, 0]} {ends[0, 1]}c{_joined(pieces.ravel())}"
    origin = _place(np.zeros(1, dtype=complex), centre, scale)[0]
    body = [
        _axes(origin),
        f'<path class="curve" d="{path}"/>',
        _arrows(values, slopes, centre, scale),
        # One tap alone: the curve is a point.
        "" if slopes.any() else f'<path class="inside" d="M{ends[0, 0]} {ends[0, 1]}h0"/>',
        *(_origin(origin, kind) for kind in ("ring", "origin")),
        _labels(origin),
        _scale_bar(extent, scale, unit),
    ]
    return _frame(title, body)


def _axes(origin: NDArray[np.int64]) -> str:
    return f'<path class="axis" d="M0 {origin[1]}h{_SIZE}M{origin[0]} 0v{_SIZE}"/>'


def _labels(origin: NDArray[np.int64]) -> str:
    """Names of the axes, away from the edge that the origin may lie at."""
    right = origin[0] < _SIZE - 220
    return _text(_SIZE - 8, origin[1] - 18, "Re a", "label halo", "end") + _text(
        origin[0] + (18 if right else -18), 56, "Im a", "label halo", "start" if right else "end"
    )


def _origin(place: NDArray[np.int64], kind: str) -> str:
    x, y = place
    cross = f"M{x - 44} {y}h88M{x} {y - 44}v88"
    return f'<path class="{kind}" d="{cross}M{x - 26} {y}a26 26 0 1 0 52 0a26 26 0 1 0-52 0"/>'


def _arrows(
    values: NDArray[np.complex128], slopes: NDArray[np.complex128], centre: complex, scale: float
) -> str:
    """Arrowheads in the direction of growing theta, spread over the upper half of the circle."""
    heads = []
    for k in range(_ARROWS):
        j = int((values.size - 1) * (2 * k + 1) / (4 * _ARROWS))
        if slopes[j] == 0:
            continue
        x, y = _place(values[j : j + 1], centre, scale)[0]
        turn = -np.degrees(np.angle(slopes[j]))
        placed = f'transform="translate({x} {y}) rotate({turn:.0f})"'
        heads.append(f'<path class="arrow" d="M30 0-22 24-8 0-22-24z" {placed}/>')
    return "".join(heads)


def _scale_bar(extent: float, scale: float, unit: float) -> str:
    """A bar of 1, 2 or 5 times a power of ten, at most a quarter of the drawing long."""
    # In logarithms, because a kernel of subnormal taps has no room for quarters.
    longest = np.log10(extent / 2) + np.log10(unit)
    exponent = int(np.floor(longest))
    digit = max(d for d in (1, 2, 5) if np.log10(d) <= longest - exponent)
    length = 10.0 ** (exponent + np.log10(digit) - np.log10(unit)) * scale
    label = f"{float(f'{digit}e{exponent}'):g}" if exponent > -300 else f"{digit}e{exponent}"
    y = _SIZE - 30
    return f'<path class="bar" d="M24 {y - 14}v14h{length:.0f}v-14"/>' + _text(24, y - 28, label, "label")


def _compact(radius: NDArray[np.float64]) -> NDArray[np.float64]:
    """Radius in the drawing of the zeros: itself inside, 1.5 - 1/(2r) outside."""
    return np.where(radius <= 1, radius, 1.5 - 0.5 / np.maximum(radius, 1))


def zeros_svg(
    inside: NDArray[np.complex128],
    outside: NDArray[np.complex128],
    undecided: NDArray[np.complex128],
    title: str,
) -> str:
    """All zeros of a symbol: those inside the unit circle as discs, those outside as crosses.

    The radius is drawn true inside the circle and as 1.5 - 1/(2r) outside, so that infinity lies at 1.5 and
    no zero falls off the drawing.

    Parameters
    ----------
    inside, outside, undecided : ndarray of complex
        The zeros, by the side of the circle they are proved to lie on.
    title : str
        What a screen reader says; escaped here.

    Returns
    -------
    str
        An ``svg`` element.

    Examples
    --------
    >>> 'class="inside" d="M' in zeros_svg(np.array([0.5]), np.array([2.0]), np.array([]), "zeros")
    True
    """
    one = _UNIT
    two, endless = (round(_UNIT * float(_compact(np.array(r)))) for r in (2.0, np.inf))
    body = [
        f'<path class="axis" d="M0 {_MIDDLE}h{_SIZE}M{_MIDDLE} 0v{_SIZE}"/>',
        f'<circle class="guide" cx="{_MIDDLE}" cy="{_MIDDLE}" r="{two}"/>',
        f'<circle class="guide" cx="{_MIDDLE}" cy="{_MIDDLE}" r="{endless}"/>',
        f'<circle class="unit" cx="{_MIDDLE}" cy="{_MIDDLE}" r="{one}"/>',
        _markers(outside, "outside", "m-11-11 22 22m0-22-22 22"),
        # A stroke without length and with round ends is a disc, in half the letters of a circle element.
        _markers(inside, "inside", "h0"),
        _markers(undecided, "undecided", "m-16-16h32v32h-32z"),
    ]
    for r, label in ((one, "|z| = 1"), (two, "2"), (endless, "∞")):
        offset = r / np.sqrt(2)
        body.append(_text(_MIDDLE + offset + 14, _MIDDLE + offset + 44, label, "label halo"))
    return _frame(title, body)


def _markers(zeros: NDArray[np.complex128], kind: str, shape: str) -> str:
    points = np.asarray(zeros, dtype=complex)
    if not points.size:
        return ""
    where = _place(_compact(np.abs(points)) * np.exp(1j * np.angle(points)), 0j, _UNIT)
    # Equal places are drawn once: a shift by m has its m zeros on one spot.
    spots = np.unique(where, axis=0).tolist()
    return f'<path class="{kind}" d="{"".join(f"M{x} {y}{shape}" for x, y in spots)}"/>'
