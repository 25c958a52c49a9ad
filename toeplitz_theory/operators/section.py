"""Finite sections of causal Toeplitz operators, as SciPy linear operators."""

from __future__ import annotations

from functools import cached_property
from typing import Any, Literal, Self, overload

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator

from toeplitz_theory.errors import InputError
from toeplitz_theory.operators.arithmetic import nearest_product, nearest_sum, scalar
from toeplitz_theory.operators.kernels import Kernel, as_kernel, resized
from toeplitz_theory.operators.matrix import condition, information, nullity, resolvent, singular, solve
from toeplitz_theory.operators.matrix.inverse import ScaledSeries, inverse_series
from toeplitz_theory.operators.matrix.norm import norm_bracket
from toeplitz_theory.operators.matrix.solve import RTOL
from toeplitz_theory.operators.product import CausalProduct, dense_causal
from toeplitz_theory.operators.recovery.finite import section_recovery
from toeplitz_theory.operators.recovery.results import Recovery
from toeplitz_theory.operators.results import Bracket
from toeplitz_theory.operators.rounding import shift_exponent, split_scale


class CausalToeplitz(LinearOperator):
    """The n x n lower-triangular Toeplitz matrix with first column ``kernel``: a causal layer on n tokens.

    ``(T x)[t] = sum_{k <= t} kernel[k] x[t - k]``. A `scipy.sparse.linalg.LinearOperator`: ``T @ x`` for
    vectors (n,) and matrices (n, m) by FFT in O(n log n) a column, ``T.H``, ``T.T``, and anything SciPy does
    with linear operators. The stored taps are taken as exact. A product is right to rounding as a whole,
    ``||fl(T x) - T x||_2 <= 40 u log2(4 n) sqrt(4 n) ||kernel||_2 ||x||_2`` (u = 2**-53), not entry by entry:
    of an x whose entries differ by more than 1e16 the small ones are lost.

    Products, sums and multiples of sections of one size are sections again (``T @ S``, ``T + S``, ``2 * T``),
    each tap the float64 nearest to the exact one. ``np.asarray(T)`` is the dense matrix.

    Parameters
    ----------
    kernel : array_like, shape (m,)
        Taps, real or complex; ``kernel[k]`` acts on the input k steps back.
    n : int, optional
        Size of the section, by default m; the kernel is cut or padded with zeros.

    Attributes
    ----------
    kernel : ndarray, shape (n,), float64 or complex128
        First column, read-only.

    Raises
    ------
    InputError
        If the kernel is not a finite 1-D array of numbers, or n < 1.

    Examples
    --------
    >>> T = CausalToeplitz([1.0, -0.5], n=4)
    >>> T @ np.array([1.0, 0.0, 0.0, 0.0])
    array([ 1. , -0.5,  0. ,  0. ])
    >>> T.solve(np.array([1.0, -0.5, 0.0, 0.0]))
    array([1., 0., 0., 0.])
    >>> (T @ T.inverse()).kernel
    array([1., 0., 0., 0.])
    """

    def __new__(cls, *args: Any, **keywords: Any) -> Self:
        return object.__new__(cls)  # that of SciPy makes operators of functions

    def __init__(self, kernel: Any, n: int | None = None) -> None:
        taps = as_kernel(kernel)
        size = taps.size if n is None else _size(n)
        self.kernel: Kernel = resized(taps, size)
        self._full_kernel = taps
        initialise: Any = super().__init__  # its types know the public constructor alone
        initialise(dtype=taps.dtype, shape=(size, size))

    def information_rate(self, snr: float) -> information.InformationRate:
        """Return the bits per token through ``y = T x + noise``, with Szego's limit for long sequences.

        Parameters
        ----------
        snr : float
            Ratio of the variances of input and noise, positive.

        Returns
        -------
        InformationRate

        Raises
        ------
        InputError
            If snr is not positive and finite.
        NumericalError
            If ``snr sigma_max**2`` overflows.

        Examples
        --------
        >>> from toeplitz_theory.operators import CausalToeplitz
        >>> rate = CausalToeplitz([1.0, 0.5], n=64).information_rate(snr=10.0)
        >>> rate.value < rate.limit < rate.value + 0.01
        True
        """
        return information.information_rate(self.kernel, snr, self._full_kernel, lambda: self._values)

    def information_curve(self, snr: Any) -> information.InformationCurve:
        """Return rate and limit at many signal-to-noise ratios, from one set of singular values.

        Parameters
        ----------
        snr : array_like, shape (m,)
            Positive ratios of variances, not in decibels.

        Returns
        -------
        InformationCurve

        Raises
        ------
        InputError
            If a ratio is not positive and finite, or the array is empty.
        NumericalError
            If ``snr sigma_max**2`` overflows.

        Examples
        --------
        >>> from toeplitz_theory.operators import CausalToeplitz
        >>> CausalToeplitz([2.0], n=3).information_curve([0.75, 3.75]).value
        array([1., 2.])
        """
        return information.information_curve(self.kernel, snr, self._full_kernel, lambda: self._values)

    def bits_at(self, dtype: str, limit: bool = True) -> information.StorageBits:
        """Return the bits per token about the input that survive storing the output in a float format.

        Rounding to p significant bits leaves a signal-to-noise ratio of at least ``3 / u**2``, u = 2**-p,
        whatever the scale; `StorageBits` has the definition and its ceiling, which only a layer with equal
        singular values reaches.

        Parameters
        ----------
        dtype : {"bfloat16", "float16", "float32", "float64"}
            Format of the output; a torch dtype will do.
        limit : bool
            Whether the limit of long sequences is wanted too, which takes most of the time.

        Returns
        -------
        StorageBits

        Raises
        ------
        InputError
            If the format is unknown.

        Examples
        --------
        >>> from toeplitz_theory.operators import CausalToeplitz
        >>> print(CausalToeplitz([1.0, 0.9], n=64).bits_at("bfloat16"))
        8.37 of 8.792 bits per token at bfloat16
        """
        return information.bits_at(self.kernel, dtype, self._full_kernel, limit, lambda: self._values)

    def recovery(self, snr: float, position: int | None = None) -> Recovery:
        """Return the share of one input that the outputs up to L later give back, by exact least squares.

        As `Symbol.recovery`, with no inputs before the beginning and no outputs after the end; for positions
        and sections that grow it tends to that curve. With little noise a section knows more, since it knows
        that nothing came before: 1 - 2 z grows by 2 a token, so over k tokens that shows at a noise of
        2**-k. O(n^2) operations.

        Parameters
        ----------
        snr : float
            Ratio of the variances of input and noise, positive and finite.
        position : int, optional
            Which input; the middle one by default. The curve's horizon is the last output.

        Returns
        -------
        Recovery
            Its error is an estimate, and its limit the share at the last output.

        Raises
        ------
        InputError
            If snr is not positive and finite, or there is no such position.
        NumericalError
            If ``snr * weight**2`` leaves float64's range.

        Examples
        --------
        >>> CausalToeplitz([1.0, -2.0], n=64).recovery(snr=10.0).share([0, 1]).round(3)
        array([0.242, 0.798])
        """
        return section_recovery(self.kernel, snr, position)

    def __repr__(self) -> str:
        return f"CausalToeplitz(n={self.shape[0]}, dtype={self.dtype})"

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("the matrix is made when it is asked for: a copy cannot be avoided")
        return self.to_dense().astype(self.dtype if dtype is None else dtype, copy=False)

    def dot(self, x: Any) -> Any:
        """Return ``T @ x``: a section where x is one of the same size, or a multiple where x is a number.

        Parameters
        ----------
        x : array_like of shape (n,) or (n, m), CausalToeplitz, LinearOperator or number

        Examples
        --------
        >>> T = CausalToeplitz([1.0, 2.0, 3.0])
        >>> T.dot(T).kernel
        array([ 1.,  4., 10.])
        """
        if isinstance(x, CausalToeplitz) and x.shape == self.shape:
            return CausalToeplitz(nearest_product(self._full_kernel, x._full_kernel), self.shape[0])
        if scalar(x) is not None:
            multiple = nearest_product(self._full_kernel, as_kernel([x]))
            return CausalToeplitz(multiple, self.shape[0])
        return super().dot(x)

    def __rmul__(self, x: Any) -> Any:
        return self.dot(x) if scalar(x) is not None else super().__rmul__(x)

    def __neg__(self) -> Any:
        return self.dot(-1)

    def __add__(self, x: Any) -> Any:
        if isinstance(x, CausalToeplitz) and x.shape == self.shape:
            return CausalToeplitz(nearest_sum(self._full_kernel, x._full_kernel), self.shape[0])
        return super().__add__(x)

    def section(self, n: int) -> CausalToeplitz:
        """Return the section of size ``n``: the kernel as given, cut or padded with zeros.

        Examples
        --------
        >>> CausalToeplitz([1.0, 2.0, 3.0]).section(2).to_dense()
        array([[1., 0.],
               [2., 1.]])
        """
        return CausalToeplitz(self._full_kernel, n)

    def to_dense(self) -> NDArray[Any]:
        """Return the (n, n) matrix."""
        return dense_causal(self.kernel)

    @cached_property
    def _product(self) -> tuple[CausalProduct, int]:
        """Products with the scaled taps, and the exponent of their scale."""
        scaled, exponent = split_scale(self.kernel)
        return CausalProduct(scaled), exponent

    def _apply(self, x: NDArray[Any], adjoint: bool) -> NDArray[Any]:
        product, exponent = self._product
        rows = np.ascontiguousarray(np.asarray(x).T)
        rows = rows.astype(np.result_type(rows.dtype, np.float64), copy=False)
        if not np.isfinite(rows).all():
            raise InputError("x has NaN or infinite entries, which an FFT would spread over all others")
        # Scaled by powers of two, so that nothing under- or overflows on the way that does not in the result.
        scaled, shift = split_scale(rows)
        result = product.adjoint(scaled) if adjoint else product.forward(scaled)
        return shift_exponent(np.ascontiguousarray(result), exponent + shift).T

    def _matmat(self, X: NDArray[Any]) -> NDArray[Any]:
        return self._apply(X, adjoint=False)

    def _rmatvec(self, x: NDArray[Any]) -> NDArray[Any]:
        return self._apply(x.reshape(-1), adjoint=True)

    def _rmatmat(self, X: NDArray[Any]) -> NDArray[Any]:
        return self._apply(X, adjoint=True)

    @overload
    def solve(self, y: Any, rtol: float | None = ..., full: Literal[False] = ...) -> NDArray[Any]: ...
    @overload
    def solve(self, y: Any, rtol: float | None = ..., *, full: Literal[True]) -> solve.Solution: ...
    def solve(self, y: Any, rtol: float | None = RTOL, full: bool = False) -> NDArray[Any] | solve.Solution:
        """Return x with T x = y, right to ``rtol``.

        Forward substitution in blocks with FFT, O(n log^2 n) a column, and a proved bound of the error it
        left; where that is above ``rtol`` the system is solved again in ball arithmetic.

        Parameters
        ----------
        y : array_like, shape (n,) or (n, m)
        rtol : float or None
            Largest ``||x - exact||_inf / ||exact||_inf`` allowed, by default 1e-10. None takes what
            substitution gives, which for an ill-conditioned T may have no right digit, and saves the proof.
        full : bool
            Return a `Solution` with backward and forward error instead of the array.

        Returns
        -------
        ndarray of y's shape, or Solution

        Raises
        ------
        InputError
            If w[0] = 0, or y has another length or is not finite.
        NumericalError
            If x overflows, or ``rtol`` cannot be had.

        Examples
        --------
        >>> T = CausalToeplitz([1.0, -2.0], n=5)
        >>> T.solve([1.0, 0.0, 0.0, 0.0, 0.0])
        array([ 1.,  2.,  4.,  8., 16.])
        >>> T.solve(np.ones(5), full=True).forward_error <= 1e-10
        True
        """
        solution = solve.solve(self.kernel, _right_side(y), rtol, full)
        return solution if full else solution.x

    def inverse_series(self) -> ScaledSeries:
        """Return the first column of the inverse with an exponent for each entry: never overflows.

        Raises
        ------
        InputError
            If w[0] = 0.

        Examples
        --------
        >>> CausalToeplitz([1.0, -10.0], n=2001).inverse_series().log10_abs()[-1].round(9)
        np.float64(2000.0)
        """
        return inverse_series(self.kernel)

    def inverse(self) -> CausalToeplitz:
        """Return the inverse, again a causal Toeplitz section.

        Its taps are right to float64's rounding of the largest; those below 5e-324 become 0.

        Raises
        ------
        InputError
            If w[0] = 0.
        NumericalError
            If an entry overflows float64; `inverse_series` does not.

        Examples
        --------
        >>> CausalToeplitz([1.0, -0.5, 0.0]).inverse().kernel
        array([1.  , 0.5 , 0.25])
        """
        return CausalToeplitz(self.inverse_series().to_float())

    @overload
    def singular_values(
        self, k: int | None = ..., which: str = ..., full: Literal[False] = ..., more_bits: bool = ...
    ) -> NDArray[np.float64]: ...
    @overload
    def singular_values(
        self, k: int | None = ..., which: str = ..., *, full: Literal[True], more_bits: bool = ...
    ) -> singular.SingularValues: ...
    def singular_values(
        self, k: int | None = None, which: str = "smallest", full: bool = False, more_bits: bool = True
    ) -> NDArray[np.float64] | singular.SingularValues:
        """Return singular values in descending order: all n, or the k smallest or largest.

        All or many come from LAPACK's eigensolver, n^3 operations and 8 n^2 bytes; those of them below
        float64's noise from the inverse, in the bits they need; a few, at most n / 32 above n = 2048, from
        FFT products alone where these separate them. ``method`` says which, and for a few whether it is
        proved that none was missed.

        Parameters
        ----------
        k : int, optional
            How many; by default all.
        which : {"smallest", "largest"}
        full : bool
            Return `SingularValues`, with logarithms (for values below 1e-308) and the relative error of each.
        more_bits : bool
            Whether to take more bits for what float64 cannot resolve. If not, those values have large or
            infinite errors, at half the time or less.

        Raises
        ------
        InputError
            If k is not in 1..n, too many for so long a section, or ``which`` is something else.
        NumericalError
            If ``full`` is False and a value asked for is not known to 1 %: read the errors with full=True.

        Examples
        --------
        >>> CausalToeplitz([1.0, 1.0]).singular_values().round(6)
        array([1.618034, 0.618034])
        >>> CausalToeplitz([1.0, -10.0], n=400).singular_values(1, full=True).log10.round(6)
        array([-399.004365])
        """
        values = singular.singular_values(self.kernel, k, which, more_bits)
        return values if full else values.known()

    def log10_condition(self, tight: bool | None = None) -> condition.Condition:
        """Return log10 of the 2-norm condition number with a proved bracket, at any size of the number.

        Parameters
        ----------
        tight : bool, optional
            Whether to spend O(n^2) operations to close the bracket to 1e-6, mostly 1e-8, where O(n log n)
            leaves it wider; by default up to n = 16,384. The value itself does not need it.

        Returns
        -------
        Condition
            Infinite where w[0] = 0.

        Examples
        --------
        >>> kappa = CausalToeplitz([1.0, -10.0], n=400).log10_condition()
        >>> round(kappa.value, 6), kappa.upper - kappa.lower < 1e-7
        (400.045756, True)
        """
        norm = (lambda: self._norm) if tight is None else None
        return condition.log10_condition(self.kernel, tight, norm)

    def nullity(self, rtol: float = 1e-6, certify: bool = False) -> nullity.Nullity:
        """Return the numerical nullity #{sigma_i <= rtol * sigma_max}, an int that carries its bounds.

        A number about this matrix, not about the operator: at n = 512 an index of -254 can go with
        nullity 16. It is 0 at rtol = 0 unless w[0] = 0. Beyond 512 tokens the values are not computed but
        counted, in O(n^2) operations and O(n) memory, unless rtol is below about 1e-8.

        Parameters
        ----------
        rtol : float
            Threshold relative to the largest singular value, 0 <= rtol < 1.
        certify : bool
            Whether to prove the count; ``certified`` says whether that was possible. Beyond 512 tokens that
            takes all eigenpairs and their residuals, O(n^3), where the count itself proves nothing.

        Raises
        ------
        InputError
            If rtol is not in [0, 1).
        NumericalError
            Above n = 16,384, where counting does not decide.

        Examples
        --------
        >>> int(CausalToeplitz([0.0, 0.0, 1.0], n=6).nullity())
        2
        """
        return nullity.nullity(self.kernel, rtol, certify, lambda: self._norm, lambda: self._values)

    @cached_property
    def _norm(self) -> Bracket:
        """Of the taps scaled by `split_scale`, computed once: condition and nullity both want it."""
        return norm_bracket(self._product[0])

    @cached_property
    def _values(self) -> NDArray[np.float64]:
        """Singular values of the taps scaled by `split_scale`, computed once: nullity and bits want them."""
        values = singular.dense_values(split_scale(self.kernel)[0])
        values.flags.writeable = False
        return values

    @overload
    def resolvent_norm(self, lam: Any, full: Literal[False] = ...) -> NDArray[np.float64]: ...
    @overload
    def resolvent_norm(self, lam: Any, full: Literal[True]) -> resolvent.Resolvent: ...
    def resolvent_norm(self, lam: Any, full: bool = False) -> NDArray[np.float64] | resolvent.Resolvent:
        """Return ``||(T - lam)^-1||_2`` for an array of points: the pseudospectrum; estimates from below.

        Parameters
        ----------
        lam : array_like of complex, any shape
        full : bool
            Return a `Resolvent`, with logarithms (norms pass 1e308 easily) and residuals.

        Returns
        -------
        ndarray of lam's shape, or Resolvent

        Raises
        ------
        InputError
            If a point is not a finite number.

        Examples
        --------
        >>> CausalToeplitz([0.0, 1.0], n=60).resolvent_norm([0.0, 0.5], full=True).log10.round(3)
        array([   inf, 18.187])
        """
        norms = resolvent.resolvent(self.kernel, lam)
        return norms if full else norms.norm


def _size(n: Any) -> int:
    if isinstance(n, (bool, np.bool_)) or not isinstance(n, (int, np.integer)) or n < 1:
        raise InputError(f"n is {n!r}: the size of a section is an integer >= 1")
    return int(n)


def _right_side(y: Any) -> NDArray[Any]:
    array = np.asarray(y)
    if array.dtype.kind not in "iufc":
        raise InputError(f"y has dtype {array.dtype}: pass numbers")
    return array.astype(np.complex128 if array.dtype.kind == "c" else np.float64)
