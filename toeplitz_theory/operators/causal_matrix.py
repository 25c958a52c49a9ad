"""Any causal linear map over a window of tokens, as its lower-triangular matrix."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import scipy.linalg
from numpy.typing import ArrayLike, NDArray

from toeplitz_theory.errors import InputError, NumericalError
from toeplitz_theory.operators.kernels import as_kernel
from toeplitz_theory.operators.matrix.condition import Condition
from toeplitz_theory.operators.matrix.information_limit import check_snr
from toeplitz_theory.operators.matrix.nullity import Nullity
from toeplitz_theory.operators.recovery.finite import matrix_recovery
from toeplitz_theory.operators.recovery.results import Memory, Recovery, kernel_memory
from toeplitz_theory.operators.rounding import UNIT_ROUNDOFF, float_format, split_scale, without_specks


class CausalMatrix:
    """A lower-triangular matrix that maps inputs to outputs: ``y[t] = sum_{s <= t} M[t, s] x[s]``.

    Attention weights, a masked mixer, a selective state space at given inputs: every causal layer is one for
    each channel, and so can be asked what a `CausalToeplitz` is asked. What rests on singular values is
    bounded by LAPACK's backward error, n u sigma_max.

    Parameters
    ----------
    matrix : array_like, shape (n, n)
        Real or complex, zero above the diagonal; half precision is widened.

    Attributes
    ----------
    matrix : ndarray, shape (n, n), float64 or complex128
        Read-only.

    Raises
    ------
    InputError
        If the matrix is not square, not finite, or not zero above the diagonal.

    Examples
    --------
    >>> M = CausalMatrix([[1.0, 0.0], [0.5, 0.5]])
    >>> M.memory().shares.tolist(), int(M.nullity())
    ([0.5, 0.5], 0)
    """

    def __init__(self, matrix: ArrayLike) -> None:
        shape: tuple[int, ...] = np.shape(matrix)
        if len(shape) != 2 or shape[0] != shape[1] or not shape[0]:
            raise InputError(f"matrix has shape {shape}: pass one square matrix, outputs along the rows")
        values = _widened(matrix).reshape(shape)
        above = np.argwhere(np.triu(values, 1))
        if above.size:
            row, column = above[0]
            raise InputError(
                f"matrix[{row}, {column}] is {values[row, column]:.4g}, above the diagonal: "
                "output t may depend on inputs up to t only"
            )
        values.flags.writeable = False
        self.matrix = values

    @property
    def shape(self) -> tuple[int, int]:
        """(n, n)."""
        return self.matrix.shape[0], self.matrix.shape[1]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self.matrix, dtype=dtype, copy=copy)

    def __repr__(self) -> str:
        return f"CausalMatrix(n={len(self.matrix)}, dtype={self.matrix.dtype})"

    def __matmul__(self, x: ArrayLike) -> NDArray[Any]:
        """Return the outputs at inputs ``x`` of shape (n,) or (n, m)."""
        return np.asarray(self.matrix @ np.asarray(x))

    def recovery(self, snr: float, position: int | None = None) -> Recovery:
        """Return the share of one input that the outputs up to L later give back, by exact least squares.

        Inputs white with unit variance, none before the beginning; white noise of variance 1 / snr on the
        outputs. O(n^3) operations, O(n^2) memory.

        Parameters
        ----------
        snr : float
            Ratio of the variances of input and noise, positive and finite.
        position : int, optional
            Which input; the middle one by default. The curve's horizon is the last output.

        Raises
        ------
        InputError
            If snr is not positive and finite, or there is no such position.

        Examples
        --------
        >>> CausalMatrix(np.eye(4)).recovery(snr=3.0).curve.round(12)
        array([0.75, 0.75])
        """
        return matrix_recovery(self.matrix, snr, position)

    def memory(self, position: int | None = None) -> Memory:
        """Return the shares of one output's variance that come from k tokens back, white input.

        Parameters
        ----------
        position : int, optional
            Which output; the last by default.

        Raises
        ------
        InputError
            If there is no such position, or its row is all zeros.
        """
        n = len(self.matrix)
        place = n - 1 if position is None else position
        if not isinstance(place, (int, np.integer)) or not 0 <= place < n:
            raise InputError(f"position is {position!r}: an integer from 0 to {n - 1}")
        return kernel_memory(self.matrix[place, place::-1])

    def singular_values(self) -> NDArray[np.float64]:
        """Return all singular values, largest first; each right to n u times the largest, by LAPACK."""
        scaled, exponent = split_scale(self.matrix)
        values = scipy.linalg.svdvals(without_specks(scaled), check_finite=False)
        return np.asarray(np.ldexp(values, exponent))

    def log10_condition(self) -> Condition:
        """Return log10 of the 2-norm condition number, bracketed by LAPACK's error bound.

        ``upper`` is inf where the smallest singular value is below that bound, log10 kappa of about 14.

        Examples
        --------
        >>> CausalMatrix([[1.0, 0.0], [0.0, 0.01]]).log10_condition().value
        2.0
        """
        holes = int(np.count_nonzero(np.diag(self.matrix) == 0))
        if holes:
            note = f"{holes} zeros on the diagonal: singular, nullity 1 or more"
            return Condition(math.inf, math.inf, math.inf, True, "exact", 1, note)
        values = self.singular_values()
        noise = len(values) * UNIT_ROUNDOFF * values[0]
        largest, least = float(values[0]), float(values[-1])
        lower = math.log10((largest - noise) / (least + noise))
        upper = math.log10((largest + noise) / (least - noise)) if least > noise else math.inf
        value = math.log10(largest / least) if least > 0 else lower
        return Condition(max(0.0, value), max(0.0, lower), upper, False, "LAPACK")

    def nullity(self, rtol: float = 1e-6) -> Nullity:
        """Return #{sigma_i <= rtol * sigma_max}, with the bracket that LAPACK's error leaves.

        Parameters
        ----------
        rtol : float
            Threshold, relative to the largest singular value.

        Raises
        ------
        InputError
            If rtol is not in [0, 1).
        """
        if not 0.0 <= rtol < 1.0:
            raise InputError(f"rtol is {rtol}: a threshold relative to the largest singular value, in [0, 1)")
        values, n = self.singular_values(), len(self.matrix)
        threshold, noise = rtol * values[0], n * UNIT_ROUNDOFF * values[0]
        count, lower, upper = (int((values <= threshold + x).sum()) for x in (0.0, -2 * noise, 2 * noise))
        return Nullity(count, lower, upper, rtol=rtol, n=n, method="LAPACK")

    def information_rate(self, snr: float) -> float:
        """Return the bits per token through ``y = M x + noise``: ``(1 / 2n) sum log2(1 + snr sigma_i^2)``.

        Parameters
        ----------
        snr : float
            Ratio of the variances of input and noise, positive.

        Raises
        ------
        InputError
            If snr is not positive and finite.
        NumericalError
            If ``snr sigma_max**2`` overflows.

        Examples
        --------
        >>> CausalMatrix(np.eye(3)).information_rate(snr=3.0)
        1.0
        """
        check_snr(snr)
        with np.errstate(over="ignore"):
            bits = np.log1p((math.sqrt(snr) * self.singular_values()) ** 2).mean() / (2.0 * math.log(2.0))
        if not np.isfinite(bits):
            raise NumericalError("snr * sigma_max**2 overflows float64: scale the matrix or lower snr")
        return float(bits)

    def bits_at(self, dtype: str) -> float:
        """Return the bits per token about the input that survive storing the output in a float format.

        As `CausalToeplitz.bits_at`: noise of u^2 / 3 times the mean output power, u = 2**-p.

        Parameters
        ----------
        dtype : {"bfloat16", "float16", "float32", "float64"}

        Raises
        ------
        InputError
            If the format is unknown.

        Examples
        --------
        >>> round(CausalMatrix(np.eye(3)).bits_at("bfloat16"), 3)
        8.792
        """
        bits = float_format(dtype)[1].bits
        scaled, _ = split_scale(self.matrix)
        gain = float((np.abs(scaled) ** 2).sum()) / len(scaled)
        if not gain:
            return 0.0
        return CausalMatrix(scaled).information_rate(3.0 * 4.0**bits / gain)


def _widened(matrix: ArrayLike) -> NDArray[Any]:
    rows: Any = matrix if hasattr(matrix, "reshape") else np.asarray(matrix)
    return np.array(as_kernel(rows.reshape(-1), name="matrix"))
