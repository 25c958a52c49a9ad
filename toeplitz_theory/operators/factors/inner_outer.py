"""A symbol as Blaschke product times outer factor, and how well the two reproduce it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import flint
import numpy as np
from numpy.typing import ArrayLike, NDArray

from toeplitz_theory.display import Displayed
from toeplitz_theory.errors import NumericalError
from toeplitz_theory.operators.bits import floats, precision
from toeplitz_theory.operators.circle.zeros import all_zeros
from toeplitz_theory.operators.factors.outer import OuterFactor, directions, outer_factor, reflected
from toeplitz_theory.operators.kernels import Kernel, Taps
from toeplitz_theory.operators.results import Zeros
from toeplitz_theory.operators.rounding import shift_exponent

if TYPE_CHECKING:
    from toeplitz_theory.operators.symbol import Symbol

_BITS = (256, 1024, 4096, 16384)
_GOOD_PER_TAP = 8 * 2.0**-53  # of the residual: rounding the outer taps alone gives sqrt(n) u to n u
_SMALL = 2.0**-70  # radius of a product's tap, the largest tap being about 1


@dataclass(frozen=True, repr=False)
class InnerOuter(Displayed):
    """The factorisation ``a = constant * prod b_j * outer`` with one Blaschke factor for each zero inside.

    ``b_j(z) = (|z_j| / z_j) (z_j - z) / (1 - conj(z_j) z)``, and z itself for a zero at the origin. Zeros on
    the circle belong to the outer factor.

    Attributes
    ----------
    outer : Symbol
        The outer factor, of the kernel's length.
    zeros : Zeros
        The zeros strictly inside, with multiplicity, sorted by modulus, each with the radius of its disc.
    constant : complex
        Of modulus 1: the phase of the first tap that is not 0.
    residual : float
        Largest tap of ``inner * outer - kernel`` over the largest of the kernel; the power series of the
        Blaschke product is multiplied out in ball arithmetic from the zeros and the outer taps as stored.
    undecided : int
        Zeros whose disc meets the circle and that are not proved to be on it; the factorisation counts them
        to the outer factor.
    factor : OuterFactor
        What is proved about the outer factor.

    Examples
    --------
    >>> from toeplitz_theory.operators import Symbol
    >>> parts = Symbol([0.0, 1.0, -2.0]).inner_outer()
    >>> parts.zeros.tolist(), parts.outer.kernel.round(12).tolist(), parts.certified
    ([0j, (0.5+0j)], [2.0, -1.0, 0.0], True)
    >>> parts.residual < 1e-15
    True
    """

    outer: Symbol
    zeros: Zeros
    constant: complex
    residual: float
    undecided: int
    factor: OuterFactor

    @property
    def certified(self) -> bool:
        """Whether both factors are proved: every zero on its side, and none of the outer factor's inside."""
        return self.zeros.certified and not self.undecided and self.factor.certified

    def inner(self, z: ArrayLike) -> NDArray[np.complex128]:
        """Evaluate the inner factor, constant included, in the closed disc; of modulus 1 on the circle.

        Parameters
        ----------
        z : array_like, any shape
            Points with abs(z) <= 1.

        Examples
        --------
        >>> from toeplitz_theory.operators import Symbol
        >>> round(float(abs(Symbol([1.0, -2.0]).inner_outer().inner(1j))), 12)
        1.0
        """
        points = np.asarray(z, dtype=complex)
        zeros = np.asarray(self.zeros)
        inner = zeros[zeros != 0]
        value = self.constant * points ** (zeros.size - inner.size)
        for zero, direction in zip(inner, directions(inner), strict=True):
            value *= np.conj(direction) * (zero - points) / (1.0 - np.conj(zero) * points)
        return value

    def inner_taps(self, n: int) -> NDArray[np.complex128]:
        """Return the first ``n`` coefficients of the inner factor's power series: an all-pass filter.

        Examples
        --------
        >>> from toeplitz_theory.operators import Symbol
        >>> Symbol([1.0, -2.0]).inner_outer().inner_taps(4).real
        array([ 0.5   , -0.75  , -0.375 , -0.1875])
        """
        return inner_series(np.asarray(self.zeros), self.constant, None, n)

    def __str__(self) -> str:
        text = f"{len(self.zeros)} Blaschke zeros, inner * outer is the kernel to {self.residual:.1e}"
        if self.undecided:
            return f"{text}; {self.undecided} zeros too close to the circle to tell"
        return text if self.certified else f"{text}; the outer factor is not proved to be outer"


def blaschke_zeros(taps: Taps) -> Zeros:
    """Return the zeros proved to be in the open disc, with their discs."""
    return all_zeros(taps).on_side(-1)


def inner_outer(taps: Taps, wrap: Callable[[Kernel], Symbol]) -> InnerOuter:
    """Return the factorisation; ``wrap`` makes a symbol of the outer taps. `Symbol.inner_outer` says more."""
    zeros = all_zeros(taps)
    inside, undecided = zeros.on_side(-1), 0 if zeros.settled else int(zeros.undecided().size)
    factor = outer_factor(taps, wrap)
    scaled = taps.scaled()
    # Zeros too small for float64 count as zeros at the origin, and the taps before them as 0.
    first = scaled.direction(int(np.count_nonzero(np.asarray(inside) == 0)) - scaled.lead)
    residual = _residual(taps, factor, inside, first)
    if residual > _GOOD_PER_TAP * taps.values.size:
        # Right in modulus, but the zeros crowd: with the zeros at hand the phase can be had as well.
        other = reflected(taps, wrap, np.asarray(inside))
        rest = _residual(taps, other, inside, first)
        if rest < residual:
            factor, residual = other, rest
    return InnerOuter(factor.symbol, inside, first, residual, undecided, factor)


def _residual(taps: Taps, factor: OuterFactor, zeros: Zeros, constant: complex) -> float:
    scaled = taps.scaled()
    outer = shift_exponent(factor.symbol.kernel, -scaled.exponent)  # in the units of scaled.values
    product = inner_series(np.asarray(zeros), constant, outer, outer.size)
    target = np.pad(scaled.values, (scaled.lead, outer.size - scaled.lead - scaled.values.size))
    return float(np.abs(product - target).max() / np.abs(target).max())


def inner_series(
    zeros: NDArray[np.complex128], constant: complex, outer: NDArray[Any] | None, n: int
) -> NDArray[np.complex128]:
    """Return the first n coefficients of the inner factor, times ``outer`` if given.

    With P = prod (z - z_j) the Blaschke product is P / P*, P* the reverse of the conjugate of P, up to the
    phase of P(0). P and 1 / P* have taps up to 2^m each that cancel: hence balls, and more bits if they grow.
    """
    shift = int(np.count_nonzero(zeros == 0))
    # One after the other: numpy would multiply a pair's two phases, which cancel, far apart.
    phase = math.prod(-directions(zeros[shift:]).conj(), start=constant)
    for bits in _BITS:
        with precision(bits, terms=n):
            poly = flint.acb_poly.from_roots([flint.acb(complex(z)) for z in zeros[shift:]])
            up = list(poly)
            down = [c.conjugate() for c in up[::-1]]
            series = flint.acb_series(up[:n], n) / flint.acb_series(down[:n], n)
            if outer is not None:
                series = series * flint.acb_series([complex(x) for x in outer], n)
            taps, radius = floats([series[k] for k in range(max(0, n - shift))])
            if radius < _SMALL:
                out = np.zeros(n, dtype=complex)
                out[shift:] = taps
                return out * (phase / abs(phase))
    raise NumericalError(f"the Blaschke product of {zeros.size} zeros needs more than {_BITS[-1]} bits")
