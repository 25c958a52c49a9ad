"""Singular values of a section, each with a bound on its error: also those below float64's noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from toeplitz_theory.operators.condition import leading_zeros
from toeplitz_theory.operators.fft import UNIT_ROUNDOFF, dense_causal, shift_exponent, split_scale
from toeplitz_theory.operators.kernels import Kernel
from toeplitz_theory.operators.series import inverse_series


@dataclass(frozen=True)
class SingularValues:
    """Singular values in descending order, with their relative errors.

    Attributes
    ----------
    values : ndarray, shape (k,), float64
        0 where a value is below float64's range: then read ``log10``.
    log10 : ndarray, shape (k,), float64
        Their logarithms; -inf for an exact zero.
    relative_error : ndarray, shape (k,), float64
        Bound of ``|computed - exact| / exact``, from the normwise backward error n u of LAPACK's symmetric
        eigensolver; infinite where nothing is known but an upper bound.
    method : str

    Examples
    --------
    >>> from toeplitz_theory.operators import CausalToeplitz
    >>> found = CausalToeplitz([1.0, -2.0], n=200).singular_values(full=True)
    >>> found.log10[-1].round(3), found.values[0].round(3), bool(found.relative_error.max() < 1e-9)
    (np.float64(-60.03), np.float64(3.0), True)
    """

    values: NDArray[np.float64]
    log10: NDArray[np.float64]
    relative_error: NDArray[np.float64]
    method: str

    def __len__(self) -> int:
        return int(self.values.size)

    def select(self, which: slice) -> SingularValues:
        """Return some of them."""
        return SingularValues(self.values[which], self.log10[which], self.relative_error[which], self.method)


_POOR = 1e-10  # relative error above which the values of the inverse are tried as well


def dense_values(taps: Kernel) -> NDArray[np.float64]:
    """Return all singular values of the section with first column ``taps`` (n,), descending, by LAPACK.

    Reversing the columns of a Toeplitz matrix gives a Hankel matrix: symmetric when real, so its singular
    values are its eigenvalues' moduli, at half the work of a singular value decomposition.
    Absolute error: at most about n u sigma_max (a backward stable eigensolver).

    Examples
    --------
    >>> dense_values(np.array([1.0, 1.0])).round(4)
    array([1.618, 0.618])
    """
    zeros = leading_zeros(taps)
    n = taps.size
    if zeros:  # T = S^zeros T', whose singular values are those of the smaller T' and exact zeros
        rest = dense_values(taps[zeros:]) if zeros < n else np.zeros(0)
        return np.concatenate([rest, np.zeros(zeros)])
    scaled, exponent = split_scale(taps)
    matrix = dense_causal(scaled)
    if np.iscomplexobj(taps):
        values = scipy.linalg.svdvals(matrix, overwrite_a=True, check_finite=False)
    else:
        values = np.sort(np.abs(np.linalg.eigvalsh(matrix[:, ::-1])))[::-1]
    return shift_exponent(values, exponent)


def all_values(taps: Kernel) -> SingularValues:
    """Return all n singular values of the section with first column ``taps`` (n,)."""
    n, zeros = taps.size, leading_zeros(taps)
    scaled, exponent = split_scale(taps)
    values = dense_values(scaled)
    noise = n * UNIT_ROUNDOFF * values[0] if n else 0.0
    log10, error = _with_error(values, exponent, noise)
    method = (
        "eigenvalues of the Hankel matrix" if not np.iscomplexobj(taps) else "singular value decomposition"
    )
    regular = n - zeros
    if regular and error[:regular].max() > _POOR:
        inverse, inverse_exponent, distance = inverse_series(taps[zeros:]).common()
        found = dense_values(inverse)
        noise = regular * UNIT_ROUNDOFF * found[0] + distance
        inverse_log10, inverse_error = _with_error(found, inverse_exponent, noise)
        better = inverse_error[::-1] < error[:regular]
        log10[:regular][better] = -inverse_log10[::-1][better]
        error[:regular][better] = inverse_error[::-1][better]
        method += ", and of its inverse"
    error[regular:] = 0.0
    with np.errstate(under="ignore", over="ignore"):
        exact = np.where(error <= _POOR, shift_exponent(values, exponent), 10.0**log10)
    exact[regular:] = 0.0
    return SingularValues(exact, log10, error, method)


def _with_error(
    values: NDArray[np.float64], exponent: int, noise: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return log10(values 2**exponent) and the relative error of values known to ``noise``."""
    with np.errstate(divide="ignore", invalid="ignore"):
        log10 = np.log10(values) + exponent * np.log10(2.0)
        error = np.where(values > noise, noise / (values - noise), np.inf)
    return log10, error
