"""Solving T x = y for a causal Toeplitz section with proved errors, in more bits where float64 fails."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import flint
import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from toeplitz_theory.display import Displayed
from toeplitz_theory.errors import InputError, NumericalError
from toeplitz_theory.operators.bits import precision
from toeplitz_theory.operators.kernels import Kernel
from toeplitz_theory.operators.matrix.inverse import ScaledSeries, collect, inverse_series
from toeplitz_theory.operators.product import CausalProduct, dense_causal
from toeplitz_theory.operators.rounding import UNIT_ROUNDOFF, shift_exponent, split_scale

_BLOCK = 256  # below this a triangular solve beats FFT
_LAST_PRECISION = 1 << 14
RTOL = 1e-10  # relative error of x that `solve` promises unless told otherwise


@dataclass(frozen=True, repr=False)
class Solution(Displayed):
    """A solution of T x = y and how good it is.

    Attributes
    ----------
    x : ndarray, shape of y
    backward_error : float
        Largest over the columns of ``||y - T x|| / (||w||_1 ||x|| + ||y||)``, the rounding of the residual
        included: x solves exactly a system whose data differ by this much, relatively.
    forward_error : float
        Upper bound of ``||x - T^-1 y||_inf / ||T^-1 y||_inf``, largest over the columns; infinite
        where it was not asked for, or nothing of x is left in float64's range.
    method : str
        "substitution" (float64, blocks with FFT) or "ball arithmetic".
    """

    x: NDArray[Any]
    backward_error: float
    forward_error: float
    method: str


def substitute(taps: NDArray[Any], y: NDArray[Any]) -> NDArray[Any]:
    """Return x with T x = y, for the rows y (m, n) of right-hand sides: O(n log^2 n) by halving.

    The first half is solved, its contribution taken from the second half by one FFT product, then the
    second half is solved: forward substitution in another order, so it is as stable, block by block.

    Examples
    --------
    >>> substitute(np.array([2.0, 1.0]), np.array([[2.0, 3.0]]))
    array([[1., 1.]])
    """
    n = taps.size
    x = np.array(y, dtype=np.result_type(taps, y, np.float64))
    block = dense_causal(taps[: min(n, _BLOCK)])
    _halve(taps, block, x)
    return x


def _halve(taps: NDArray[Any], block: NDArray[Any], x: NDArray[Any]) -> None:
    n = x.shape[-1]
    if n <= _BLOCK:
        solved = scipy.linalg.solve_triangular(block[:n, :n], x.T, lower=True, check_finite=False)
        x[...] = solved.T
        return
    half = _BLOCK * max(1, (n // 2) // _BLOCK)
    _halve(taps, block, x[..., :half])
    padded = np.zeros((*x.shape[:-1], n), x.dtype)
    padded[..., :half] = x[..., :half]
    x[..., half:] -= CausalProduct(taps[:n]).forward(padded)[..., half:]
    _halve(taps, block, x[..., half:])


def solve(taps: Kernel, y: NDArray[Any], rtol: float | None = RTOL, full: bool = False) -> Solution:
    """Solve T x = y for the section with first column ``taps`` (n,) and y of shape (n,) or (n, m).

    See `CausalToeplitz.solve`.
    """
    n = taps.size
    if y.ndim not in (1, 2) or y.shape[0] != n:
        raise InputError(f"y has shape {y.shape}: T is {n} x {n}, so pass ({n},) or ({n}, m)")
    if not np.isfinite(y).all():
        raise InputError("y has NaN or infinite entries: remove them before solving")
    if taps[0] == 0:
        raise InputError("w[0] = 0: T is singular, so T x = y has no solution or many")
    if rtol is not None and not rtol > 0:
        raise InputError(f"rtol is {rtol}: the relative error allowed in x, a positive number")
    rows = np.ascontiguousarray(y.reshape(n, -1).T)
    solution = _by_substitution(taps, rows, rtol is not None or full)
    if solution is None or (rtol is not None and solution.forward_error > rtol):
        solution = _by_balls(taps, rows)
    if not np.isfinite(solution.x).all():
        raise NumericalError(
            "x overflows float64 (1.8e308), so no accuracy can be had: solve a shorter section, or rescale y"
        )
    if rtol is not None and solution.forward_error > rtol:
        least = "x is below float64's range (2.2e-308): rescale y"
        best = f"float64 can state x to {solution.forward_error:.1e} at best"
        raise NumericalError(
            f"rtol = {rtol:g} cannot be had: {least if np.abs(solution.x).max() < 1e-290 else best}"
        )
    x = np.ascontiguousarray(solution.x.T).reshape(y.shape)
    return replace(solution, x=x)


def _by_substitution(taps: Kernel, rows: NDArray[Any], forward: bool) -> Solution | None:
    """Return the rows x by substitution in float64; None where that cannot hold x."""
    scaled, exponent = split_scale(taps)
    if scaled[0] == 0:
        return None
    right, exponents = zip(*map(split_scale, rows), strict=True)
    with np.errstate(over="ignore", invalid="ignore"):
        x = substitute(scaled, np.stack(right))
        if not np.isfinite(x).all():
            return None
        inverse = inverse_series(taps).common() if forward else None
        parts = []
        for row, target, e in zip(x, right, exponents, strict=True):
            residual, backward = _residual(scaled, target, row)
            error = math.inf if inverse is None else _forward_bound(inverse, exponent, residual, row)
            parts.append((shift_exponent(row, e - exponent), backward, error))
    return _solution(parts, "substitution")


def _by_balls(taps: Kernel, rows: NDArray[Any]) -> Solution:
    """Return the rows x(z) = y(z)/a(z) mod z^n, right to float64's rounding of the largest entry."""
    scaled, exponent = split_scale(taps)
    parts = []
    for row in rows:
        series, top, error = _divide(taps, row)
        # In units in which neither side is above 1: taps 2**-exponent, x 2**-top and their product.
        top = max(top, split_scale(row)[1] - exponent)
        backward = _residual(scaled, shift_exponent(row, -top - exponent), series.at(top))[1]
        parts.append((series.at(0), backward, error))
    return _solution(parts, "ball arithmetic")


def _solution(parts: list[tuple[NDArray[Any], float, float]], method: str) -> Solution:
    """Put rows and their errors together; what float64 rounds below its normal range counts as an error."""
    backward = forward = 0.0
    for row, off, error in parts:
        largest = float(np.abs(row).max())
        if error > 0 and largest < 2.0**-960:
            subnormal = 2.0**-1073 / largest if largest else math.inf
            off, error = off + subnormal, error + subnormal
        backward, forward = max(backward, off), max(forward, error)
    return Solution(np.stack([row for row, _, _ in parts]), backward, forward, method)


def _residual(taps: NDArray[Any], y: NDArray[Any], x: NDArray[Any]) -> tuple[NDArray[np.float64], float]:
    """Return ``|y - T x|`` with the rounding of this computation added, and the backward error.

    Direct sums, not FFT: their rounding is small against |T||x| entry by entry, also where x grows by 1e90.
    """
    n = taps.size
    sizes = np.abs(taps)
    magnitude = np.convolve(sizes, np.abs(x))[:n] + np.abs(y)
    residual = np.abs(y - np.convolve(taps, x)[:n]) + 4 * (n + 4) * UNIT_ROUNDOFF * magnitude
    top = float(np.max(np.abs(x), initial=1.0))
    residual += 4 * (n + 1) * 2.0**-1074 * top  # of products that underflow, and of scaled taps that did
    # Divided by top, the squares in the norms stay in range.
    norms = [float(np.linalg.norm(v / top)) for v in (residual, x, y)]
    scale = float(sizes.sum()) * norms[1] + norms[2]
    return residual, norms[0] / scale if scale else 0.0


def _forward_bound(
    inverse: tuple[NDArray[Any], int, float], scale: int, residual: NDArray[np.float64], x: NDArray[Any]
) -> float:
    """Bound ``||x - exact||_inf / ||exact||_inf`` by ``|T^-1| residual``, T divided by 2**scale."""
    taps, exponent, error = inverse
    n = taps.size
    bound = float(np.convolve(np.abs(taps), residual)[:n].max()) + error * float(residual.max())
    bound *= 1 + 8 * n * UNIT_ROUNDOFF  # positive terms: relative rounding n u
    worst = float(shift_exponent(np.array([bound]), exponent + scale)[0])
    largest = float(np.max(np.abs(x)))
    return worst / (largest - worst) if worst < largest else math.inf


def _divide(taps: NDArray[Any], y: NDArray[Any]) -> tuple[ScaledSeries, int, float]:
    """Return y(z)/a(z) by balls, its largest exponent, and its error relative to its largest entry."""
    is_complex = bool(np.iscomplexobj(taps) or np.iscomplexobj(y))
    kind = flint.acb_series if is_complex else flint.arb_series
    bits = 128
    while bits <= _LAST_PRECISION:
        with precision(bits, terms=taps.size):
            quotient = kind(y.tolist(), taps.size) / kind(taps.tolist(), taps.size)
            series = collect([quotient[k] for k in range(taps.size)], is_complex)
        values, exponent, _ = series.common()
        largest = float(np.max(np.abs(values)))
        error = float(series.errors(exponent).max())
        if not series.radii.any():
            return series, exponent, 0.0
        if error <= 8 * UNIT_ROUNDOFF * largest:
            return series, exponent, error / (largest - error)
        bits *= 2
    raise NumericalError(f"T x = y needs more than {_LAST_PRECISION} bits: solve a shorter section")
