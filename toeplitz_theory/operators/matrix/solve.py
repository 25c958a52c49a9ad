"""Solving T x = y for a causal Toeplitz section, with measured errors, refused where they are too large."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import flint
import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from toeplitz_theory.errors import InputError, NumericalError
from toeplitz_theory.operators.bits import precision
from toeplitz_theory.operators.kernels import Kernel
from toeplitz_theory.operators.matrix.inverse import ScaledSeries, collect, inverse_series
from toeplitz_theory.operators.product import CausalProduct, dense_causal
from toeplitz_theory.operators.rounding import UNIT_ROUNDOFF, shift_exponent, split_scale

_BLOCK = 256  # below this a triangular solve beats FFT
_LAST_PRECISION = 1 << 14


@dataclass(frozen=True)
class Solution:
    """A solution of T x = y and how good it is.

    Attributes
    ----------
    x : ndarray, shape of y
    backward_error : float
        Largest over the columns of ``||y - T x|| / (||w||_1 ||x|| + ||y||)``, the rounding of the residual
        included: x solves exactly a system whose data differ by this much, relatively.
    forward_error : float
        Upper bound of ``||x - T^-1 y||_inf / ||T^-1 y||_inf``, largest over the columns; infinite where
        float64 cannot tell or where it was not asked for.
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


def solve(taps: Kernel, y: NDArray[Any], rtol: float | None = None, full: bool = False) -> Solution:
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
    scaled, exponent = split_scale(taps)
    right, right_exponent = split_scale(rows)
    with np.errstate(over="ignore", invalid="ignore"):
        x = substitute(scaled, right)
    if not np.isfinite(x).all():
        raise NumericalError(_OVERFLOW)
    found = _assess(scaled, right, x, rtol is not None or full)
    if rtol is not None and found.forward_error > rtol:
        found = _solve_in_balls(scaled, right)
        if found.forward_error > rtol:
            raise NumericalError(
                f"rtol = {rtol:g} cannot be had: float64 can state x to {found.forward_error:.1e} at best"
            )
    x = shift_exponent(np.ascontiguousarray(found.x), right_exponent - exponent)
    if not np.isfinite(x).all():
        raise NumericalError(_OVERFLOW)
    return Solution(x.T.reshape(y.shape), found.backward_error, found.forward_error, found.method)


_OVERFLOW = "x overflows float64 (1.8e308), so no accuracy can be had: solve a shorter section, or rescale y"


def _assess(taps: NDArray[Any], y: NDArray[Any], x: NDArray[Any], forward: bool) -> Solution:
    """Measure the errors of the rows x as solutions of T x = y, rounding of the measurement included."""
    n, u = taps.size, UNIT_ROUNDOFF
    sizes = np.abs(taps)
    inverse = inverse_series(taps) if forward else None
    worst_backward, worst_forward = 0.0, 0.0 if forward else math.inf
    # Direct sums, not FFT: their rounding is small against |T||x| entry by entry, also where x grows by 1e90.
    for row, target in zip(x, y, strict=True):
        magnitude = np.convolve(sizes, np.abs(row))[:n] + np.abs(target)
        residual = np.abs(target - np.convolve(taps, row)[:n]) + 4 * (n + 4) * u * magnitude
        top = float(np.max(np.abs(row), initial=1.0))  # keeps the squares of the norms in range
        norms = [float(np.linalg.norm(v / top)) for v in (residual, row, target)]
        scale = float(sizes.sum()) * norms[1] + norms[2]
        worst_backward = max(worst_backward, norms[0] / scale if scale else 0.0)
        if inverse is not None:
            worst_forward = max(worst_forward, _forward_bound(inverse, residual, row))
    return Solution(x, worst_backward, worst_forward, "substitution")


def _forward_bound(inverse: ScaledSeries, residual: NDArray[np.float64], x: NDArray[Any]) -> float:
    """Bound ``||x - exact||_inf / ||exact||_inf`` by ``|T^-1| residual``, entry by entry."""
    taps, exponent, error = inverse.common()
    n = taps.size
    with np.errstate(over="ignore", under="ignore"):
        bound = float(np.convolve(np.abs(taps), residual)[:n].max()) + error * float(residual.max())
        bound *= 1 + 8 * n * UNIT_ROUNDOFF  # positive terms: relative rounding n u
        worst = float(np.ldexp(bound, exponent))
    largest = float(np.max(np.abs(x)))
    if worst == 0.0:
        return 0.0
    return worst / (largest - worst) if worst < largest else math.inf


def _solve_in_balls(taps: NDArray[Any], y: NDArray[Any]) -> Solution:
    """Return the rows x(z) = y(z)/a(z) mod z^n, right to float64's rounding of the largest entry."""
    found = [_divide(taps, row) for row in y]
    x = np.stack([values for values, _ in found])
    backward = _assess(taps, y, x, False).backward_error
    return Solution(x, backward, max(error for _, error in found), "ball arithmetic")


def _divide(taps: NDArray[Any], y: NDArray[Any]) -> tuple[NDArray[Any], float]:
    """Return y(z)/a(z) and its largest error relative to its largest entry, by balls."""
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
        if largest == 0.0 or error <= 8 * UNIT_ROUNDOFF * largest:
            relative = error / (largest - error) if largest else 0.0
            return shift_exponent(values, exponent), relative
        bits *= 2
    raise NumericalError(f"T x = y needs more than {_LAST_PRECISION} bits: solve a shorter section")
