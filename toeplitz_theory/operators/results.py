"""Numbers together with the evidence for them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from toeplitz_theory.display import Displayed, brief


@dataclass(frozen=True, repr=False)
class Bracket(Displayed):
    """A number between two bounds.

    Attributes
    ----------
    value : float
        Best estimate, between the ends.
    lower, upper : float
        ``lower <= truth <= upper``, rounding included.
    certified : bool
        Whether the number is proved: what that asks for, and what holds where it is False, is said where the
        number is computed.
    method : str
        How it was computed, or what proved it.

    Examples
    --------
    >>> sigma = Bracket(1.618, 1.61, 1.62, True, "residual")
    >>> float(sigma), round(sigma.width, 12), str(sigma)
    (1.618, 0.01, '1.618 in [1.61, 1.62]')
    """

    value: float
    lower: float
    upper: float
    certified: bool = True
    method: str = ""

    @classmethod
    def around(
        cls,
        value: float,
        error: float,
        certified: bool = True,
        method: str = "",
        within: tuple[float, float] = (-math.inf, math.inf),
        **more: Any,
    ) -> Self:
        """Return the bracket ``value +- error``, rounded outwards and cut to ``within``.

        Parameters
        ----------
        value, error : float
        certified : bool
        method : str
        within : tuple of float
            Bounds that the number is known to keep, such as (0, 1) for a share.
        **more
            The other fields of a subclass.

        Examples
        --------
        >>> str(Bracket.around(0.1, 0.25, within=(0.0, 1.0)))
        '0.1 in [0, 0.35]'
        """
        lower, upper = value - error, value + error
        if error:  # an exact number is its own bracket
            lower, upper = math.nextafter(lower, -math.inf), math.nextafter(upper, math.inf)
        return cls(value, max(lower, within[0]), min(upper, within[1]), certified, method, **more)

    @property
    def width(self) -> float:
        """``upper - lower``; 0 where both are the same infinity."""
        return 0.0 if self.lower == self.upper else self.upper - self.lower

    @property
    def error(self) -> float:
        """The larger distance of an end from ``value``."""
        return 0.0 if self.lower == self.upper else max(self.upper - self.value, self.value - self.lower)

    def __float__(self) -> float:
        return self.value

    def __str__(self) -> str:
        kind = "" if self.certified else " (estimate)"
        return f"{self.value:.6g} in [{self.lower:.9g}, {self.upper:.9g}]{kind}"


@dataclass(frozen=True, repr=False)
class Winding(Displayed):
    """How often a symbol runs round a point, and why that is so.

    Attributes
    ----------
    count : int or None
        Number of turns, counterclockwise; None where there is none or it could not be proved.
    certified : bool
        Whether ``count`` is proved. ``count`` is None whenever it is not: nothing is guessed.
    margin : float
        A proved lower bound of the distance of the curve from the point, in the symbol's units.
    on_circle : tuple of float
        Angles in (-pi, pi], in radians, at which a zero on the circle (or one within ``tol``) cannot be
        excluded; empty when certified.
    evaluations : int
        Values of the symbol that were computed.
    method : str
        What proved it, or what stood in the way.

    Examples
    --------
    >>> from toeplitz_theory.operators import Symbol
    >>> Symbol([0.0, 0.0, 1.0]).winding().count
    2
    >>> Symbol([1.0, -1.0]).winding().on_circle
    (0.0,)
    """

    count: int | None
    certified: bool
    margin: float
    on_circle: tuple[float, ...]
    evaluations: int
    method: str

    def __str__(self) -> str:
        if self.certified:
            return f"winding {self.count}, certified, margin {self.margin:.3g}"
        where = ", ".join(f"{x:.6g}" for x in self.on_circle[:4]) + (
            ", ..." if len(self.on_circle) > 4 else ""
        )
        return f"no winding number: {self.method}" + (f"; at angles {where}" if where else "")


@dataclass(frozen=True, repr=False)
class FredholmIndex(Displayed):
    """Fredholm index of a Toeplitz operator: minus the winding number of its symbol about 0.

    Attributes
    ----------
    value : int or None
        At most 0 for a causal kernel; None when the operator is not Fredholm at the tolerance asked for.
    winding : Winding
        The proof.

    Examples
    --------
    >>> from toeplitz_theory.operators import Symbol
    >>> Symbol([1.0, -2.0]).fredholm_index().value
    -1
    """

    value: int | None
    winding: Winding

    @classmethod
    def of(cls, winding: Winding) -> Self:
        """Return the index that a winding number proves, or None with what stood in the way.

        Parameters
        ----------
        winding : Winding
            Of the symbol about 0.

        Examples
        --------
        >>> from toeplitz_theory.operators import Symbol
        >>> FredholmIndex.of(Symbol([1.0, -2.0]).winding()).value
        -1
        """
        return cls(None if winding.count is None else -winding.count, winding)

    @property
    def certified(self) -> bool:
        """Whether ``value`` is proved."""
        return self.winding.certified

    def __str__(self) -> str:
        if self.value is None:
            return f"not Fredholm: {self.winding}"
        return f"index {self.value}, certified, margin {self.winding.margin:.3g}"


@dataclass(frozen=True, repr=False)
class MinModulus(Bracket):
    """A proved bracket of the smallest modulus of a symbol on the circle; ``value`` is its middle.

    Attributes
    ----------
    value, lower, upper, certified, method
        As in `Bracket`.
    angle : float
        Where on the circle ``upper`` is attained, in radians.

    Examples
    --------
    >>> from toeplitz_theory.operators import Symbol
    >>> m = Symbol([1.0, -0.5]).min_modulus()
    >>> m.lower <= 0.5 <= m.upper
    True
    >>> round(float(m), 6)
    0.5
    """

    angle: float = 0.0


@dataclass(frozen=True, repr=False)
class JensenDeficit(Bracket):
    """Sum of log(1/|z_j|) over the zeros inside the disc, in nats per token; `inf` where the first tap is 0.

    Attributes
    ----------
    value, lower, upper, certified, method
        As in `Bracket`.

    Examples
    --------
    >>> from toeplitz_theory.operators import Symbol
    >>> round(float(Symbol([1.0, -2.0]).jensen_deficit()), 12)  # one zero at 1/2: log 2
    0.69314718056
    """

    def __str__(self) -> str:
        kind = "" if self.certified else " (estimate)"
        return f"{self.value:.9g} nats per token, error {self.error:.1e}{kind}"


class Count(int):
    """A whole number with the bracket that is known to hold it: a `Bracket` that counts.

    Attributes
    ----------
    lower : int
    upper : int or None
        ``lower <= truth <= upper``; None where no upper end is known.
    certified : bool
        Whether the number is proved: what that asks for is said where it is computed.

    Examples
    --------
    >>> count = Count(3, lower=2, upper=4)
    >>> count + 1, count.lower, count.upper, count.certified
    (4, 2, 4, False)
    """

    lower: int
    upper: int | None
    certified: bool

    def __new__(cls, value: int, lower: int, upper: int | None, certified: bool = False, **more: Any) -> Self:
        """Bracket ``value`` by ``lower`` and ``upper``; ``more`` are the other attributes of a subclass."""
        self = super().__new__(cls, value)
        self.__dict__.update(lower=lower, upper=upper, certified=certified, **more)
        return self

    def __getnewargs_ex__(self) -> tuple[tuple[int], dict[str, Any]]:
        return (int(self),), self.__dict__


class Zeros(np.ndarray):
    """All zeros of a symbol, with multiplicity, as a complex array that knows the radii of its discs.

    ``radii[j]`` is the radius of a closed disc round ``zeros[j]`` that is proved to hold a zero; discs of
    different zeros are disjoint. A zero of multiplicity m appears m times, with one disc, and so do m zeros
    that could not be told apart: the disc is proved to hold m. ``certified`` says whether all that is so;
    otherwise radii are infinite. ``sides`` is -1 inside the unit circle, 1 outside and 0 where it is not
    known, proved with more digits than the values have; None where only the discs tell. ``settled`` says
    whether every zero is proved to be inside, outside or exactly on the circle. Arrays derived by slicing or
    arithmetic carry none of these.

    Examples
    --------
    >>> from toeplitz_theory.operators import Symbol
    >>> z = Symbol([1.0, -2.5, 1.0]).zeros()  # (1 - 2 z)(1 - z / 2)
    >>> [round(float(abs(x)), 12) for x in z]
    [0.5, 2.0]
    >>> len(z.inside()), len(z.outside()), z.certified
    (1, 1, True)
    """

    radii: NDArray[np.float64] | None
    sides: NDArray[np.int8] | None
    certified: bool
    settled: bool

    def __new__(
        cls,
        values: NDArray[np.complex128],
        radii: NDArray[np.float64],
        sides: NDArray[np.int8] | None = None,
        settled: bool = False,
    ) -> Zeros:
        """Wrap ``values``, the radii of their discs, their ``sides`` and whether all these are settled."""
        array = np.asarray(values, dtype=np.complex128).view(cls)
        array.radii, array.sides = np.asarray(radii, dtype=np.float64), sides
        array.certified, array.settled = bool(np.isfinite(array.radii).all()), settled
        return array

    def __array_finalize__(self, obj: object) -> None:
        self.radii = self.sides = None
        self.certified = self.settled = False

    def __repr__(self) -> str:
        if self.ndim != 1 or self.radii is None:  # of arithmetic or a slice: an array like any other
            return brief(np.asarray(self))
        sides = self.known_sides()
        parts = [(int((sides == side).sum()), name) for side, name in ((-1, "inside"), (1, "outside"))]
        parts.append((int((sides == 0).sum()), "on the circle or undecided"))
        text = ", ".join(f"{count} {name}" for count, name in parts if count)
        return f"Zeros({self.size}: {text or 'none'}{', certified' if self.certified else ''})"

    def sides_of(self, radius: float) -> NDArray[np.int8]:
        """Return -1 for discs in abs(z) < radius, 1 for those outside, 0 for those that meet that circle.

        Parameters
        ----------
        radius : float
            Positive.

        Examples
        --------
        >>> from toeplitz_theory.operators import Symbol
        >>> Symbol([1.0, -2.5, 1.0]).zeros().sides_of(3.0).tolist()
        [-1, -1]
        """
        radii = np.zeros(self.shape) if self.radii is None else self.radii
        size = np.abs(np.asarray(self))
        slack = radii + 2.0**-51 * size  # covers the rounding of the modulus and of the sum
        with np.errstate(invalid="ignore"):  # a zero beyond float64's range has an infinite disc
            return np.where(size + slack < radius, -1, np.where(size - slack > radius, 1, 0)).astype(np.int8)

    def known_sides(self) -> NDArray[np.int8]:
        """Return -1 for each zero proved inside the circle, 1 for one proved outside, 0 for the others."""
        sides = self.sides_of(1.0)
        return sides if self.sides is None else np.where(sides == 0, self.sides, sides)

    def on_side(self, side: int) -> Zeros:
        """Return the zeros of one side, with their discs.

        Parameters
        ----------
        side : int
            -1 inside the unit circle, 1 outside.

        Examples
        --------
        >>> from toeplitz_theory.operators import Symbol
        >>> Symbol([1.0, -2.5, 1.0]).zeros().on_side(1).tolist()
        [(2+0j)]
        """
        keep = self.known_sides() == side
        radii = np.zeros(self.shape) if self.radii is None else self.radii
        return Zeros(np.asarray(self)[keep], radii[keep], np.full(int(keep.sum()), side, np.int8))

    def inside(self) -> NDArray[np.complex128]:
        """Return the zeros proved to lie in |z| < 1."""
        return np.asarray(self)[self.known_sides() < 0]

    def outside(self) -> NDArray[np.complex128]:
        """Return the zeros proved to lie in |z| > 1."""
        return np.asarray(self)[self.known_sides() > 0]

    def undecided(self) -> NDArray[np.complex128]:
        """Return the zeros that may lie on either side of the unit circle, or on it."""
        return np.asarray(self)[self.known_sides() == 0]
