"""The symbol of a causal kernel: what it does to the unit circle, with proof."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from toeplitz_theory.errors import InputError
from toeplitz_theory.operators.factors.methods import FactorMethods
from toeplitz_theory.operators.kernels import Kernel, as_kernel
from toeplitz_theory.operators.results import FredholmIndex, JensenDeficit, MinModulus, Winding, Zeros
from toeplitz_theory.operators.sections.methods import SectionMethods
from toeplitz_theory.operators.symbolic import SymbolicMethods
from toeplitz_theory.operators.symbols.band import count_between
from toeplitz_theory.operators.symbols.centres import SpectrumIndex, spectrum_index
from toeplitz_theory.operators.symbols.jensen import jensen_deficit
from toeplitz_theory.operators.symbols.leja import kernel_with_zeros
from toeplitz_theory.operators.symbols.margins import MarginMethods
from toeplitz_theory.operators.symbols.modulus import min_modulus
from toeplitz_theory.operators.symbols.taps import Taps
from toeplitz_theory.operators.symbols.winding import wind
from toeplitz_theory.operators.symbols.zeros import all_zeros

if TYPE_CHECKING:
    from toeplitz_theory.operators.sections.szego import InformationLimit


class Symbol(FactorMethods, MarginMethods, SectionMethods, SymbolicMethods):
    """Symbol ``a(z) = sum_k kernel[k] z**k`` of a causal Toeplitz layer.

    The layer computes ``y[t] = sum_{k <= t} kernel[k] x[t - k]``. On l2(N) it is the Toeplitz operator T(a).
    Stored values are taken as exact; half and single precision are widened.

    Parameters
    ----------
    kernel : array_like, shape (n,)
        Real or complex taps.

    Raises
    ------
    InputError
        If the kernel is empty, not one-dimensional, not numeric or not finite.

    Examples
    --------
    >>> a = Symbol([1.0, -2.0])
    >>> a
    Symbol(n=2, 1 - 2 z)
    >>> a.winding().count
    1
    >>> complex(a(1j))
    (1-2j)
    """

    def __init__(self, kernel: ArrayLike) -> None:
        self._taps = Taps(as_kernel(kernel))

    @classmethod
    def _of(cls, taps: Taps) -> Symbol:
        symbol = cls.__new__(cls)
        symbol._taps = taps
        return symbol

    @classmethod
    def from_zeros(cls, zeros: ArrayLike, first: complex = 1.0) -> Symbol:
        """Return the symbol ``first * prod_j (1 - z / z_j)`` with these zeros, its taps rounded to float64.

        The factors are multiplied in Leja's order, so that no partial product is much larger than the result;
        still, many zeros near the circle are moved by the rounding: ask the result for its own.

        Parameters
        ----------
        zeros : array_like, shape (m,)
            Nonzero; conjugate pairs give a real kernel.
        first : complex
            The first tap, a(0).

        Raises
        ------
        InputError
            If a zero is 0, infinite or nan.

        Examples
        --------
        >>> Symbol.from_zeros([0.5, 2j, -2j]).kernel
        array([ 1.  , -2.  ,  0.25, -0.5 ])
        """
        return cls(kernel_with_zeros(zeros, first))

    @property
    def kernel(self) -> Kernel:
        """The taps, a read-only float64 or complex128 array of shape (n,)."""
        return self._taps.values

    def __len__(self) -> int:
        return int(self.kernel.size)

    def __call__(self, z: ArrayLike) -> NDArray[np.complex128]:
        """Evaluate the symbol by Horner's rule.

        Parameters
        ----------
        z : array_like, any shape
            Real or complex points, on the circle or not.

        Returns
        -------
        ndarray or scalar, shape of z, complex128
            The error is at most ``8 n u sum |kernel[k]| |z|**k``, u = 2**-53 (Higham, section 5.1).

        Examples
        --------
        >>> Symbol([1.0, 1.0])([1.0, -1.0]).tolist()
        [(2+0j), 0j]
        """
        points = np.asarray(z, dtype=np.complex128)
        value = np.zeros(points.shape, dtype=np.complex128)
        for c in self.kernel[::-1]:
            value = value * points + c
        return value if value.ndim else value[()]

    def winding(self, about: complex = 0.0, tol: float = 0.0) -> Winding:
        r"""Count how often a(e^{i theta}) runs round a point, with proof.

        Equal arcs of the circle, on each of which a Taylor polynomial with proved error bounds shows that
        the curve stays on one side of the point; arcs that fail are cut; what float64 cannot decide goes to
        balls of 128, 320 and 1024 bits. About 1 ms at n = 512.

        Parameters
        ----------
        about : complex, optional
            The point.
        tol : float, optional
            Where ``|a - about| <= tol * r``, with r the root mean square of |a - about| on the circle (the
            2-norm of its taps), the symbol counts as running through the point.

        Returns
        -------
        Winding
            ``count`` is the number of zeros of ``a - about`` in the open disc, or None: never a guess.

        Raises
        ------
        InputError
            If ``about`` is not finite or ``tol`` is negative or not finite.

        Examples
        --------
        >>> w = Symbol([1.0, 0.0, 1.0]).winding()  # zeros at i and -i
        >>> w.count is None, [round(x, 6) for x in w.on_circle]
        (True, [-1.570796, 1.570796])
        """
        return wind(self._taps.plus(-about), tol)

    def spectrum_index(self, lam: ArrayLike) -> SpectrumIndex:
        """Return wind(a - lam) for an array of points: minus the Fredholm index of T(a) - lam.

        A point belongs to the spectrum of T(a) if it lies on the curve a(|z| = 1) or is wound around.

        Parameters
        ----------
        lam : array_like of complex
            Any shape. 10,000 points take about 2 s at n = 512.

        Returns
        -------
        SpectrumIndex
            Counts, masked where they are not proved, and margins, in the shape of ``lam``.

        Raises
        ------
        InputError
            If a point is not a finite number.

        Examples
        --------
        >>> Symbol([0.0, 1.0]).spectrum_index([[0.0, 3.0]]).count.tolist()
        [[1, 0]]
        """
        return spectrum_index(self._taps, lam)

    def fredholm_index(self, tol: float = 0.0) -> FredholmIndex:
        """Return the Fredholm index of T(a): minus the number of zeros in the open disc.

        T(a) is Fredholm if and only if a has no zero on the circle, and then its index is ``-wind(a, 0)``
        (Gohberg, Krein; Boettcher, Silbermann, Introduction to Large Truncated Toeplitz Matrices, ch. 1).

        Parameters
        ----------
        tol : float, optional
            As in `winding`.

        Returns
        -------
        FredholmIndex
            With the winding number that proves it.

        Examples
        --------
        >>> Symbol([0.0, 0.0, 1.0]).fredholm_index().value  # a shift by two
        -2
        """
        proof = self.winding(tol=tol)
        return FredholmIndex(None if proof.count is None else -proof.count, proof)

    def zeros(self) -> Zeros:
        """Return all zeros with multiplicity, each in a proved disc, by ball arithmetic.

        Zeros are sorted by modulus; leading zero taps are zeros at 0. Multiple zeros, and zeros that cannot
        be told apart, stand together in a disc that is proved to hold them all (Pellet). About 0.15 s at n
        = 512, 1.6 s at 2048, 4 s at 4096.

        Returns
        -------
        Zeros
            A complex array with ``radii`` and ``certified``.

        Raises
        ------
        InputError
            If the kernel is all zeros.

        Examples
        --------
        >>> Symbol([0.0, 1.0, -2.0]).zeros().tolist()
        [0j, (0.5+0j)]
        """
        return all_zeros(self._taps)

    def zeros_near_circle(self, width: float | None = None) -> int | None:
        """Return the proved number of zeros with 1 - width < |z| < 1 + width.

        By the argument principle: the winding number on the outer circle minus that on the inner one.

        Parameters
        ----------
        width : float, optional
            Strictly between 0 and 1; 1/n by default, n the number of taps (1/2 for n = 1).

        Returns
        -------
        int or None
            None where it is not proved (a zero on one of the two circles, or a kernel of zeros).

        Raises
        ------
        InputError
            If the width is not between 0 and 1.

        Examples
        --------
        >>> Symbol([1.0, -1.0, 0.0, 0.0]).zeros_near_circle()  # one zero, on the circle itself
        1
        """
        width = 1.0 / max(2, len(self)) if width is None else float(width)
        if not 0.0 < width < 1.0:
            raise InputError(f"width is {width}: pass a number strictly between 0 and 1")
        return count_between(self._taps, 1.0 - width, 1.0 + width)

    def min_modulus(self) -> MinModulus:
        """Bracket min |a(z)| on the unit circle, with proof.

        Branch and bound on arcs with proved Taylor bounds; the bracket's relative width is 1e-9 where the
        rounding of float64 allows it. About 2 ms at n = 512.

        Examples
        --------
        >>> print(Symbol([3.0, 1.0]).min_modulus())
        2 in [2, 2]
        """
        return min_modulus(self._taps)

    def jensen_deficit(self) -> JensenDeficit:
        """Return J(a) = mean log|a| - log|a(0)| in nats per token: how far a is from invertible.

        By Jensen's formula J is the sum of log(1/|z|) over the zeros inside the disc: 0 if and only if a
        causal inverse exists, inf when the first tap is 0. Computed by one FFT, corrected exactly by the
        zeros next to the circle, with a proved error. About 10 ms at n = 512.

        Examples
        --------
        >>> float(Symbol([0.0, 1.0]).jensen_deficit())
        inf
        """
        return jensen_deficit(self._taps)

    def information_limit(self, snr: float) -> InformationLimit:
        """Return Szego's limit of the bits per token through ``y = T(a) x + noise``, with a proved error.

        ``(1 / 4 pi) int log2(1 + snr |a|^2) dtheta``: the limit of `CausalToeplitz.information_rate` for long
        sequences.

        Parameters
        ----------
        snr : float
            Ratio of the variances of input and noise, positive.

        Returns
        -------
        InformationLimit

        Raises
        ------
        InputError
            If snr is not positive and finite.
        NumericalError
            If ``snr |a|**2`` overflows.

        Examples
        --------
        >>> limit = Symbol([2.0, 1.0]).information_limit(snr=1.0)  # 1 + |a|^2 = 6 + 4 cos(theta)
        >>> abs(limit.value - np.log2(3 + 5**0.5) / 2) < limit.error
        np.True_
        """
        from toeplitz_theory.operators.sections.szego import information_limit

        return information_limit(self.kernel, snr)

    def residual(self) -> Symbol:
        """Return the symbol of ``I + T(a)``: 1 + a, what the stream sees with a residual connection.

        The sum is kept exact for the certificates even where ``1 + kernel[0]`` is not a float64.

        Examples
        --------
        >>> Symbol([-1.0, 2.0]).residual().fredholm_index().value
        -1
        """
        return Symbol._of(self._taps.plus(1.0))

    def __repr__(self) -> str:
        return f"Symbol(n={len(self)}, {_polynomial(self.kernel)})"

    def __eq__(self, other: object) -> Any:
        if not isinstance(other, Symbol):
            return NotImplemented
        same = self.kernel.shape == other.kernel.shape and bool((self.kernel == other.kernel).all())
        return same and self._taps.low == other._taps.low

    def __hash__(self) -> int:
        return hash((self.kernel.tobytes(), self._taps.low))


def _polynomial(kernel: Kernel, most: int = 4) -> str:
    """Write out the first taps that are not 0."""
    present = np.flatnonzero(kernel)
    if present.size == 0:
        return "0"
    text = ""
    for k in present[:most]:
        c = kernel[k]
        power = "" if k == 0 else " z" if k == 1 else f" z**{k}"
        if np.iscomplexobj(kernel):
            sign, size = "+", f"({c:.4g})"
        else:
            sign, size = ("-" if c < 0 else "+"), f"{abs(c):.4g}"
        size = "" if size == "1" and k else size
        term = f"{size}{power}".strip()
        text += (f" {sign} " if text else "-" if sign == "-" else "") + term
    return text + (" + ..." if present.size > most else "")
