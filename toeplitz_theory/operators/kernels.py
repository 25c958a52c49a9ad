"""Kernels as the analysis takes them: finite 1-D arrays of float64 or complex128, stored values exact."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from toeplitz_theory.errors import InputError
from toeplitz_theory.operators.rounding import split_scale

Kernel = NDArray[np.float64] | NDArray[np.complex128]


def as_kernel(values: Any, *, name: str = "kernel") -> Kernel:
    """Return ``values`` as a read-only float64 or complex128 array, exactly.

    Half, bfloat16, single and double precision and integers are widened without rounding; complex
    input stays complex. Torch tensors are taken as they are, without importing torch.

    Parameters
    ----------
    values : array_like, shape (n,)
        ``values[k]`` multiplies ``z**k``.
    name : str, optional
        What the error messages call it.

    Returns
    -------
    ndarray, shape (n,), float64 or complex128
        A read-only copy.

    Raises
    ------
    InputError
        If it is empty, not one-dimensional, not numeric, not finite, masked, or has values that
        float64 cannot hold exactly.

    Examples
    --------
    >>> as_kernel([1, -2])
    array([ 1., -2.])
    >>> as_kernel([1.0, float("nan")])
    Traceback (most recent call last):
    ...
    toeplitz_theory.errors.InputError: kernel[1] is nan: every tap must be finite, check how it was saved
    """
    array = _to_numpy(values, name)
    if array.ndim != 1:
        raise InputError(
            f"{name} has shape {array.shape}: pass one row of taps, a 1-D array such as weight[head]"
        )
    if array.size == 0:
        raise InputError(f"{name} is empty: it needs at least one tap")
    wide = _widen(array, name)
    if not np.isfinite(wide).all():
        k = int(np.flatnonzero(~np.isfinite(wide))[0])
        raise InputError(f"{name}[{k}] is {wide[k]}: every tap must be finite, check how it was saved")
    wide.flags.writeable = False
    return wide


def _to_numpy(values: Any, name: str) -> NDArray[Any]:
    if np.ma.is_masked(values):
        raise InputError(f"{name} has masked values: fill them before the analysis")
    if hasattr(values, "detach") and hasattr(values, "is_complex"):  # a torch tensor: numpy has no bfloat16
        tensor = values.detach().cpu()
        if tensor.dtype.is_floating_point:
            tensor = tensor.double()
        values = tensor.resolve_conj().numpy()
    try:
        return np.asarray(values)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} is not an array of numbers: pass a 1-D sequence of taps") from error


def _widen(array: NDArray[Any], name: str) -> Kernel:
    # Kind "V" is how extension types such as ml_dtypes.bfloat16 present themselves.
    if array.dtype.kind not in "iufcV" or array.dtype.names:
        raise InputError(f"{name} has dtype {array.dtype}: taps must be integers, floats or complex numbers")
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            is_complex = array.dtype.kind == "c"
            wide: Kernel = array.astype(np.complex128) if is_complex else array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} has dtype {array.dtype}, which cannot be read as numbers") from error
    _check_exact(array, wide, name)
    return wide


def _check_exact(array: NDArray[Any], wide: Kernel, name: str) -> None:
    """Raise unless ``wide`` holds the values of ``array`` to the last bit."""
    lost: list[Any] = []
    if array.dtype.kind in "iu":
        big = np.flatnonzero(np.abs(wide) >= 2.0**53)
        # Python integers compare exactly; int64 against float64 in numpy would round first.
        lost = [k for k in big if int(array[k]) != int(wide[k])]
    elif array.dtype.kind in "fc" and array.dtype.itemsize > wide.dtype.itemsize:
        lost = list(np.flatnonzero((array != wide.astype(array.dtype)) & ~np.isnan(array)))
    if lost:
        raise InputError(
            f"{name}[{lost[0]}] = {array[lost[0]]} has more digits than float64 holds: round it first"
        )


# Kernels from their zeros, multiplied in an order that keeps partial products small.


def kernel_with_zeros(zeros: ArrayLike, first: complex = 1.0) -> Any:
    """Return the taps of ``first * prod_j (1 - z / z_j)``, shape (m + 1,); real for conjugate pairs.

    Leja's order: each next zero is the one whose product of distances from those before is largest
    (Calvetti and Reichel, BIT 43 (2003) 1). Conjugates follow each other, so that real stays real.
    """
    points = np.atleast_1d(np.asarray(zeros, dtype=complex))
    if points.ndim != 1 or not np.isfinite(points).all() or (points == 0).any():
        raise InputError(
            "zeros must be a vector of finite numbers, none of them 0; for a zero at 0 prepend a tap 0"
        )
    taps: Any = np.array([first])
    for z in _order(points):
        taps = np.convolve(taps, [1.0, -1.0 / z])
    paired = np.array_equal(np.sort_complex(points), np.sort_complex(points.conj()))
    if complex(first).imag == 0 and paired:
        return np.ascontiguousarray(taps.real)
    return taps


def _order(points: Any) -> Any:
    left = points.copy()
    chosen = []
    score = np.log(np.abs(left))
    while left.size:
        place = int(np.argmax(score))
        for z in {left[place], left[place].conj()}:
            same = np.flatnonzero(left == z)[:1]
            if same.size:
                chosen.append(left[same[0]])
                left, score = np.delete(left, same), np.delete(score, same)
                with np.errstate(divide="ignore"):
                    score = score + np.log(np.abs(left - chosen[-1]))
    return chosen


def resized(kernel: Kernel, n: int) -> Kernel:
    """Return the first ``n`` taps, padded with zeros where there are fewer; read-only."""
    column: Any = np.pad(kernel[:n], (0, max(0, n - kernel.size)))
    column.flags.writeable = False
    return column


def leading_zeros(taps: Kernel) -> int:
    """Return the number of zero taps before the first nonzero one."""
    nonzero = np.flatnonzero(taps)
    return int(nonzero[0]) if nonzero.size else int(taps.size)


# Exact coefficients: a float64 kernel, what rounding took from its first tap, and a power of two.


Exact = tuple[Fraction, Fraction]
ZERO: Exact = (Fraction(0), Fraction(0))


@dataclass(frozen=True)
class Taps:
    """The polynomial sum_k (values[k] + [k = 0] low) z^k, exactly.

    ``low`` is the part that float64 could not hold when a number was added to the first tap, so that
    1 + a and a - lambda are the polynomials meant and not rounded ones.
    """

    values: Kernel
    low: Exact = ZERO

    def plus(self, number: complex) -> Taps:
        """Return these taps with ``number`` added to the first, exactly."""
        if not np.isfinite(number):
            raise InputError(f"the point must be a finite number, not {number}")
        if number == 0:
            return self
        head, number = complex(self.values[0]), complex(number)
        re = Fraction(head.real) + self.low[0] + Fraction(number.real)
        im = Fraction(head.imag) + self.low[1] + Fraction(number.imag)
        try:
            near = complex(float(re), float(im))
        except OverflowError:
            raise InputError("the first tap plus the number overflows float64: rescale the kernel") from None
        low = (re - Fraction(near.real), im - Fraction(near.imag))
        wide = np.iscomplexobj(self.values) or near.imag != 0 or low[1] != 0
        values: Kernel = self.values.astype(np.complex128) if wide else self.values.copy()
        values[0] = near if wide else near.real
        values.flags.writeable = False
        return Taps(values, low)

    def exact(self) -> list[Exact]:
        """Return all coefficients as pairs of fractions, lowest power first."""
        parts = zip(self.values.real.tolist(), self.values.imag.tolist(), strict=True)
        pairs = [(Fraction(x), Fraction(y)) for x, y in parts]
        pairs[0] = pairs[0][0] + self.low[0], pairs[0][1] + self.low[1]
        return pairs

    @property
    def is_zero(self) -> bool:
        """Whether the polynomial vanishes identically."""
        return self.low == ZERO and not self.values.any()

    def comb(self) -> Comb | None:
        """Return these taps as a comb, if they stand two or more places apart; None otherwise."""
        present = np.flatnonzero(self.values)
        if self.low != ZERO:
            present = np.union1d(0, present)
        step = int(np.gcd.reduce(np.diff(present))) if present.size > 1 else 1
        if step == 1:
            return None
        lead = int(present[0])
        core: Kernel = self.values[lead : present[-1] + 1 : step].copy()
        core.flags.writeable = False
        return Comb(lead, step, Taps(core, self.low))

    def scaled(self) -> Scaled:
        """Strip zero taps at both ends and divide by a power of two so that nothing over- or underflows."""
        values = self.values
        present = np.flatnonzero(values)
        lead = 0 if self.low != ZERO or present.size == 0 else int(present[0])
        last = int(present[-1]) if present.size else 0
        core = values[lead : last + 1]
        small, exponent = split_scale(core)
        error = 0.0
        if lead == 0 and self.low != ZERO:
            error = 1.01 * math.ldexp(float(abs(self.low[0]) + abs(self.low[1])), -exponent)
        if exponent > 0:  # taps below 2^-1022 after scaling down may have lost bits
            error += core.size * 2.0**-1073
        return Scaled(small, exponent, lead, error, Taps(core, self.low))


@dataclass(frozen=True)
class Comb:
    """``a(z) = z^lead core(z^step)``: taps only every ``step`` tokens, as dilated and strided kernels have.

    On the circle a takes the values of its core, ``step`` times over, turned by ``z^lead``. So the least
    modulus, the mean of log|a| and the outer factor are the core's, and T(a) is a delay by ``lead`` and
    ``step`` interleaved copies of T(core): what is asked of a is asked of the shorter core.
    """

    lead: int
    step: int
    core: Taps

    def count(self, inside: int | None) -> int | None:
        """Return the number of zeros inside from that of the core; None if that is."""
        return None if inside is None else self.lead + self.step * inside

    def angles(self, angles: Iterable[float]) -> tuple[float, ...]:
        """Return the angles in (-pi, pi] at which ``z^step`` has these angles, ascending."""
        turns = np.arange(self.step)[:, None] * (2.0 * math.pi)
        spread = (np.asarray(tuple(angles)) + turns).ravel() / self.step
        return tuple(np.sort(np.where(spread > math.pi, spread - 2.0 * math.pi, spread)).tolist())

    def spread(self, taps: Kernel, size: int) -> Kernel:
        """Return ``taps`` of a polynomial in ``z^step`` as ``size`` taps in z."""
        out: Kernel = np.zeros(size, taps.dtype)  # type: ignore[assignment]
        out[: self.step * taps.size : self.step] = taps
        return out

    def note(self, method: str) -> str:
        """Return ``method`` with the word that it was used on the core."""
        return f"taps {self.step} apart: {method}"


@dataclass(frozen=True)
class Scaled:
    """``2^-exponent`` times the taps from number ``lead`` on, to within ``error`` in the 1-norm.

    The largest real or imaginary part is in [1/2, 1). ``exact`` are the same taps, unscaled.
    """

    values: Kernel
    exponent: int
    lead: int
    error: float
    exact: Taps

    def direction(self, k: int = 0) -> complex:
        """Return tap number k over its modulus, also where ``values`` do not hold it."""
        first = complex(self.exact.values[k])
        first /= max(abs(first.real), abs(first.imag))
        return first / abs(first)

    def lower(self, x: float) -> float:
        """Return a float at most ``x 2**exponent``, x >= 0, also where that leaves float64's range."""
        return math.nextafter(self._unscaled(x), 0.0)

    def upper(self, x: float) -> float:
        """Return a float at least ``x 2**exponent``, x >= 0, also where that leaves float64's range."""
        return math.nextafter(self._unscaled(x), math.inf)

    def _unscaled(self, x: float) -> float:
        with np.errstate(over="ignore", under="ignore"):
            return float(np.ldexp(x, self.exponent))

    def at_radius(self, radius: float) -> tuple[Kernel, float]:
        """Return taps times ``radius**k`` (rescaled by a power of two) and a bound of their error.

        In floating point k log r is off by 4 u |k log r| (log to 2 u, product u, u to spare) and exp by
        4 u, so a tap has relative error (4 |k log r| + 8) u.
        """
        if radius == 1.0:
            return self.values, self.error
        exponents = np.arange(self.values.size) * math.log(radius)
        exponents -= exponents.max()  # the largest factor is 1: no overflow, and a common factor is harmless
        scaled = self.values * np.exp(exponents)
        top = float(np.abs(scaled).max())
        if top == 0.0:
            return scaled, math.inf
        wild = float((np.abs(scaled) * (4.0 * np.abs(exponents) + 8.0)).sum())
        reach = 4.0 * float(np.abs(exponents).max()) * float(np.abs(scaled).sum())  # of the common shift
        bound = 2.0**-53 * (wild + reach) + self.error + scaled.size * 2.0**-1073
        shift = -math.frexp(top)[1]
        return np.ldexp(1.0, shift) * scaled, 1.01 * math.ldexp(bound, shift)
