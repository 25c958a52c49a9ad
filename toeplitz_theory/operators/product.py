"""Products with causal (lower-triangular Toeplitz) matrices by FFT, with a bound on their rounding error."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from toeplitz_theory.operators.rounding import UNIT_ROUNDOFF, fft_error

# Up to here one dense product is faster than three transforms.
_DENSE_UP_TO = 96


def fast_length(minimum: int) -> int:
    """Return the smallest length >= ``minimum`` whose only prime factors are 2, 3 and 5.

    Examples
    --------
    >>> fast_length(2 * 4096 - 1)
    8192
    >>> fast_length(1021)
    1024
    """
    return int(scipy.fft.next_fast_len(minimum, real=True))


def dense_causal(taps: NDArray[Any]) -> NDArray[Any]:
    """Return the (n, n) lower-triangular Toeplitz matrix whose first column is ``taps`` (n,).

    Examples
    --------
    >>> dense_causal(np.array([1.0, 2.0, 3.0]))
    array([[1., 0., 0.],
           [2., 1., 0.],
           [3., 2., 1.]])
    """
    n = taps.size
    padded = np.concatenate([taps[::-1], np.zeros(n - 1, taps.dtype)])
    return np.ascontiguousarray(np.lib.stride_tricks.sliding_window_view(padded, n)[::-1])


def frobenius_square(taps: NDArray[Any]) -> float:
    """Return ``||T||_F^2`` of the section with first column ``taps`` (n,), right to (n + 8) u, relative.

    Examples
    --------
    >>> frobenius_square(np.array([1.0, 2.0]))
    6.0
    """
    return float((np.arange(taps.size, 0, -1) * np.abs(taps) ** 2).sum())


class CausalProduct:
    """Products with the lower-triangular Toeplitz matrix of ``taps`` and its adjoint, along the last axis.

    Parameters
    ----------
    taps : ndarray, shape (n,), float64 or complex128
        First column; scale it (`split_scale`) so that products stay within float64.

    Attributes
    ----------
    error : float
        ``||fl(T x) - T x||_2 <= error * ||x||_2`` for every x, and the same for the adjoint.

    Examples
    --------
    >>> product = CausalProduct(np.array([1.0, 0.5]))
    >>> product.forward(np.array([1.0, 1.0]))
    array([1. , 1.5])
    >>> product.adjoint(np.array([1.0, 1.0]))
    array([1.5, 1. ])
    """

    def __init__(self, taps: NDArray[Any]) -> None:
        self.taps = taps
        self.n = taps.size
        self.is_complex = bool(np.iscomplexobj(taps))
        self._dense = dense_causal(taps) if self.n <= _DENSE_UP_TO else None
        self.length = fast_length(2 * self.n - 1)
        if self.is_complex:
            self._spectrum = scipy.fft.fft(taps, self.length)
        else:
            self._spectrum = scipy.fft.rfft(taps, self.length)
        self.error = self._error_bound()

    def _error_bound(self) -> float:
        u, n = UNIT_ROUNDOFF, self.n
        norm2 = float(np.linalg.norm(self.taps))
        if self._dense is not None:
            # Row i is a sum of i + 1 products: error <= gamma |T||x|, and || |T| || <= ||taps||_1; complex
            # products round by at most 2 sqrt(2) u more.
            return (n + 4) * u * float(np.abs(self.taps).sum()) * 1.01
        # Transform of x and inverse transform: relative error delta each, times max |w^|; transform of the
        # taps: delta ||w^||_2 = delta sqrt(N) ||w||_2; pointwise products: 4 u. Second order terms in 1.01.
        delta = fft_error(self.length)
        spread = np.sqrt(self.length) * norm2
        peak = float(np.max(np.abs(self._spectrum))) + delta * spread
        return float((2 * delta + 4 * u) * peak + delta * spread) * 1.01

    def forward(self, x: NDArray[Any]) -> NDArray[Any]:
        """Return T x for each row x of an array of shape (..., n)."""
        if self._dense is not None:
            return x @ self._dense.T
        if self.is_complex:
            spectrum = scipy.fft.fft(x, self.length)
            spectrum *= self._spectrum
            return scipy.fft.ifft(spectrum, overwrite_x=True)[..., : self.n]
        if np.iscomplexobj(x):
            real, imag = (np.ascontiguousarray(part(x)) for part in (np.real, np.imag))
            return self.forward(real) + 1j * self.forward(imag)
        spectrum = scipy.fft.rfft(x, self.length)
        spectrum *= self._spectrum
        return scipy.fft.irfft(spectrum, self.length, overwrite_x=True)[..., : self.n]

    def adjoint(self, y: NDArray[Any]) -> NDArray[Any]:
        """Return T^H y for each row y of an array of shape (..., n)."""
        # T^T = J T J with J the reversal, for every Toeplitz matrix; conj(T) x = conj(T conj(x)).
        if self.is_complex or np.iscomplexobj(y):
            return self.forward(y[..., ::-1].conj())[..., ::-1].conj()
        return self.forward(y[..., ::-1])[..., ::-1]
