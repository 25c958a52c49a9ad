"""The symbol of a causal kernel: what it does to the unit circle, with proof."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from toeplitz_theory.errors import InputError
from toeplitz_theory.operators.arithmetic import added, multiplied, nearest_kernel, scalar
from toeplitz_theory.operators.circle.jensen import jensen_deficit
from toeplitz_theory.operators.circle.modulus import (
    IndexMargins,
    RoundingMargin,
    index_margins,
    min_modulus,
    rounding_margin,
)
from toeplitz_theory.operators.circle.polygons import SpectrumIndex, spectrum_index
from toeplitz_theory.operators.circle.response import Response, response
from toeplitz_theory.operators.circle.winding import count_between, wind
from toeplitz_theory.operators.circle.zeros import all_zeros
from toeplitz_theory.operators.factors.inner_outer import InnerOuter, blaschke_zeros, inner_outer
from toeplitz_theory.operators.factors.outer import EnergyDelay, OuterFactor, energy_delay, outer_factor
from toeplitz_theory.operators.kernels import ZERO, Exact, Kernel, Taps, as_kernel, kernel_with_zeros
from toeplitz_theory.operators.matrix.information_limit import InformationLimit, information_limit
from toeplitz_theory.operators.matrix.nullity import Splitting, splitting
from toeplitz_theory.operators.recovery.curve import recovery
from toeplitz_theory.operators.recovery.quick import QuickLook, quick_look
from toeplitz_theory.operators.recovery.results import Memory, Recovery, kernel_memory
from toeplitz_theory.operators.results import FredholmIndex, JensenDeficit, MinModulus, Winding, Zeros
from toeplitz_theory.operators.section import CausalToeplitz
from toeplitz_theory.operators.symbolic import exact_coefficients, index_of, latex, to_expression, written

if TYPE_CHECKING:
    import sympy


class Symbol:
    """Symbol ``a(z) = sum_k kernel[k] z**k`` of a causal Toeplitz layer.

    The layer computes ``y[t] = sum_{k <= t} kernel[k] x[t - k]``. On l2(N) it is the Toeplitz operator T(a).
    Stored values are taken as exact; half and single precision are widened.

    ``a + b`` is the symbol of two layers side by side, ``a * b`` of one after the other; ``a - b``, ``-a``,
    ``2 * a`` and ``1 + a`` are what they say. They are exact: where float64 does not hold a tap, the result
    is an `ExactSymbol`. ``np.asarray(a)`` is the kernel.

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
    >>> a * a - 2 * a, (a * a).fredholm_index().value
    (Symbol(n=3, -1 + 4 z**2), -2)
    """

    __array_ufunc__ = None  # so that NumPy's numbers leave `2 * a` to the symbol

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

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self.kernel, dtype=dtype, copy=copy)

    def _coefficients(self) -> list[Exact]:
        return self._taps.exact()

    def _plus_number(self, number: Exact) -> Symbol:
        near, same = nearest_kernel([number])
        if not same:
            return symbol_of(added(self._coefficients(), [number]))
        return Symbol._of(self._taps.plus(complex(near[0])))

    def __add__(self, other: Any) -> Symbol:
        if isinstance(other, Symbol):
            return symbol_of(added(self._coefficients(), other._coefficients()))
        number = scalar(other)
        return NotImplemented if number is None else self._plus_number(number)

    def __mul__(self, other: Any) -> Symbol:
        if isinstance(other, Symbol):
            return symbol_of(multiplied(self._coefficients(), other._coefficients()))
        number = scalar(other)
        return NotImplemented if number is None else symbol_of(multiplied(self._coefficients(), [number]))

    __radd__, __rmul__ = __add__, __mul__

    def __neg__(self) -> Symbol:
        return self * -1

    def __sub__(self, other: Any) -> Symbol:
        return self + (-other)

    def __rsub__(self, other: Any) -> Symbol:
        return -self + other

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
        balls of 128, 320 and 1024 bits.

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
            Any shape.

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
        return FredholmIndex.of(proof)

    def zeros(self) -> Zeros:
        """Return all zeros with multiplicity, each in a proved disc, by ball arithmetic.

        Zeros are sorted by modulus; leading zero taps are zeros at 0. Multiple zeros, and zeros that cannot
        be told apart, stand together in a disc that is proved to hold them all (Pellet).

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
        rounding of float64 allows it.

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
        zeros next to the circle, with a proved error.

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
        return information_limit(self.kernel, snr)

    def residual(self) -> Symbol:
        """Return the symbol of ``I + T(a)``: 1 + a, what the stream sees with a residual connection.

        The sum is kept exact for the certificates even where ``1 + kernel[0]`` is not a float64.

        Examples
        --------
        >>> Symbol([-1.0, 2.0]).residual().fredholm_index().value
        -1
        """
        return self + 1

    def index_margins(self) -> IndexMargins:
        """Bracket the smallest change of the taps, in the 1-norm and the 2-norm, that can change the index.

        Returns
        -------
        IndexMargins
            Proved lower bounds, and upper bounds that a change of the taps attains; both 0 for a symbol with
            a zero on the circle.

        Examples
        --------
        >>> from toeplitz_theory.operators import Symbol
        >>> low, high = Symbol([1.0, 0.0, 0.25]).index_margins().l1
        >>> round(low, 6), round(high, 6)
        (0.75, 0.75)
        """
        return index_margins(self._taps, self.min_modulus())

    def rounding_margin(self, dtype: str) -> RoundingMargin:
        """Say whether rounding the taps to a float format can change, or can have changed, the index.

        Parameters
        ----------
        dtype : {"bfloat16", "float16", "float32", "float64"}
            A torch dtype will do.

        Returns
        -------
        RoundingMargin
            ``.safe`` if the index is proved to be that of every kernel which rounds to the same taps.

        Raises
        ------
        InputError
            If the format is unknown, or too small for the taps.

        Examples
        --------
        >>> from toeplitz_theory.operators import Symbol
        >>> Symbol([1.0, -0.9]).rounding_margin("bfloat16").safe
        True
        """
        return rounding_margin(self.kernel, dtype, self.min_modulus().lower)

    @overload
    def outer(self, full: Literal[False] = ...) -> Symbol: ...
    @overload
    def outer(self, full: Literal[True]) -> OuterFactor: ...
    def outer(self, full: bool = False) -> Symbol | OuterFactor:
        r"""Return the outer (minimum-phase) factor: the same modulus on the circle, no zero inside.

        ``outer(0) = exp(mean log|a|)``, the Mahler measure; the zeros are those of a, the ones inside
        replaced by their mirror images 1 / conj(z). From the cepstrum of log|a|, corrected exactly by the
        zeros next to the circle; where these cannot be separated, by reflecting all zeros.

        Parameters
        ----------
        full : bool
            Return an `OuterFactor`, with a proved bound of the error in the modulus and the proved index.

        Returns
        -------
        Symbol or OuterFactor
            Taps of the kernel's length; trailing zeros stand for the zeros of a at the origin.

        Raises
        ------
        InputError
            If the kernel is all zeros.

        Examples
        --------
        >>> from toeplitz_theory.operators import Symbol
        >>> Symbol([1.0, -2.0]).outer().kernel.round(12)
        array([ 2., -1.])
        """
        factor = outer_factor(self._taps, Symbol)
        return factor if full else factor.symbol

    def blaschke_zeros(self) -> Zeros:
        """Return the zeros strictly inside the circle, each in a proved disc: those of the inner factor.

        Returns
        -------
        Zeros
            With multiplicity, sorted by modulus; zeros whose disc meets the circle are left out.

        Raises
        ------
        InputError
            If the kernel is all zeros.

        Examples
        --------
        >>> from toeplitz_theory.operators import Symbol
        >>> Symbol([0.0, 1.0, -2.5, 1.0]).blaschke_zeros().tolist()
        [0j, (0.5+0j)]
        """
        return blaschke_zeros(self._taps)

    def inner_outer(self) -> InnerOuter:
        """Factor the symbol into a Blaschke product and an outer factor, and say how well they reproduce it.

        Needs all zeros, which takes many times as long as `outer` alone.

        Returns
        -------
        InnerOuter

        Raises
        ------
        InputError
            If the kernel is all zeros.

        Examples
        --------
        >>> from toeplitz_theory.operators import Symbol
        >>> parts = Symbol([0.25, -1.0, 1.0]).inner_outer()  # a double zero at 1/2
        >>> parts.zeros.tolist(), parts.residual < 1e-15
        ([(0.5+0j), (0.5+0j)], True)
        """
        return inner_outer(self._taps, Symbol)

    def energy_delay(self) -> EnergyDelay:
        """Return the energy of the first taps of the kernel and of its outer factor, which is never below.

        Returns
        -------
        EnergyDelay
            The two curves, mean delays in tokens, and the distance from minimum phase.

        Raises
        ------
        InputError
            If the kernel is all zeros.

        Examples
        --------
        >>> from toeplitz_theory.operators import Symbol
        >>> print(Symbol([1.0, -2.0]).energy_delay())
        energy 0.6 tokens later than the outer factor's in the mean, relative distance 0.6325
        """
        return energy_delay(self._taps.values, outer_factor(self._taps, Symbol))

    def minimum_phase_distance(self) -> float:
        """Return min ||kernel - c outer|| / ||kernel|| in the 2-norm, over the numbers c of modulus 1.

        0 if and only if the kernel is a multiple of its outer factor, at most sqrt(2); by Parseval the same
        as the root mean square of ``inner - c`` on the circle, weighted by |a|^2. Right to about n u.

        Raises
        ------
        InputError
            If the kernel is all zeros.

        Examples
        --------
        >>> from toeplitz_theory.operators import Symbol
        >>> round(Symbol([1.0, -0.5]).minimum_phase_distance(), 12)
        0.0
        """
        return self.energy_delay().distance

    def recovery(self, snr: float = math.inf, horizon: int | None = None) -> Recovery:
        """Return the share of its input that the layer's outputs give back within L tokens, for every L.

        The best linear estimate of x[t] from all outputs ``y = T(a) x + noise`` up to t + L, x white: it
        recovers R(L) of the variance. Without noise R(0) = exp(-2 J), R tends to 1 and the mean delay is
        minus the Fredholm index; the shares come with a proved bound. `docs/theory.md` has the derivation.

        Parameters
        ----------
        snr : float
            Ratio of the variances of input and noise, not in decibels; no noise by default.
        horizon : int, optional
            The longest delay, in tokens; 4 n by default.

        Returns
        -------
        Recovery

        Raises
        ------
        InputError
            If the kernel is all zeros, snr is not positive, or the horizon is not an integer >= 0.

        Examples
        --------
        >>> from toeplitz_theory.operators import Symbol
        >>> r = Symbol([1.0, -2.0]).recovery()
        >>> r.at_once, r.mean_delay, r.delay(0.9), r.error < 1e-12
        (0.25, 1, Delay(2, certified), True)
        >>> round(Symbol([1.0, -2.0]).recovery(snr=10.0).limit, 6)
        0.968393
        """
        return recovery(self._taps, snr, horizon)

    def quick_look(self, tol: float = 0.0) -> QuickLook:
        """Return index and least modulus with proof, deficit and delays as estimates: 3 ms at n = 512.

        Parameters
        ----------
        tol : float
            As in `winding`.

        Returns
        -------
        QuickLook

        Raises
        ------
        InputError
            If the kernel is all zeros, or tol is not a number >= 0.

        Examples
        --------
        >>> look = Symbol([1.0, -2.0]).quick_look()
        >>> look.index.value, look.recovery.delay(0.9) + 0, look.recovery.certified
        (-1, 2, False)
        """
        return quick_look(self._taps, tol)

    def memory(self) -> Memory:
        """Return the shares ``|w[k]|^2 / |w|^2`` of an output's variance that come from k tokens back.

        Raises
        ------
        InputError
            If the kernel is all zeros.

        Examples
        --------
        >>> from toeplitz_theory.operators import Symbol
        >>> Symbol([1.0, 0.0, 3.0]).memory().shares.tolist()
        [0.1, 0.0, 0.9]
        """
        return kernel_memory(self.kernel)

    def response(self) -> Response:
        """Return modulus, unwrapped phase and group delay along the unit circle, to be drawn by `plots.bode`.

        The group delay is the filter's, in tokens; its mean over the circle is minus the Fredholm index.
        The filter's response at the frequency omega of engineers is a(exp(-i omega)).

        Raises
        ------
        InputError
            If the kernel is all zeros.

        Examples
        --------
        >>> from toeplitz_theory.operators import Symbol
        >>> Symbol([1.0, -2.0]).response()  # half a turn on half the circle: one zero inside
        Response(257 angles, 0.5 turns of the phase, certified)
        """
        return response(self._taps)

    def section(self, n: int | None = None) -> CausalToeplitz:
        """Return the n x n finite section T_n(a), the kernel cut or padded with zeros.

        Parameters
        ----------
        n : int, optional
            Size; the kernel's length when not given.

        Returns
        -------
        CausalToeplitz

        Raises
        ------
        InputError
            If n is not a positive integer.

        Examples
        --------
        >>> from toeplitz_theory.operators import Symbol
        >>> Symbol([1.0, -2.0]).section(3).to_dense()
        array([[ 1.,  0.,  0.],
               [-2.,  1.,  0.],
               [ 0., -2.,  1.]])
        """
        return CausalToeplitz(self.kernel, n)

    def splitting(self, sizes: Sequence[int], count: int | None = None) -> Splitting:
        """Return the smallest singular values of growing sections, against the number of zeros inside.

        Parameters
        ----------
        sizes : sequence of int
            Sizes n of the sections.
        count : int, optional
            How many singular values of each; three more than there are zeros inside when not given.

        Returns
        -------
        Splitting

        Raises
        ------
        InputError
            If a size or the count is not a positive integer.

        Examples
        --------
        >>> from toeplitz_theory.operators import Symbol
        >>> Symbol([1.0, -2.0]).splitting([4, 8], count=1).values.shape
        (2, 1)
        """
        return splitting(self._taps, sizes, count)

    def to_sympy(self, z: Any = None) -> sympy.Expr:
        """Return the symbol as a sympy polynomial with the stored values as exact binary fractions.

        Parameters
        ----------
        z : sympy.Symbol, optional
            The variable; ``Symbol("z")`` by default.

        Examples
        --------
        >>> from toeplitz_theory.operators import Symbol
        >>> Symbol([0.5, -2.0]).to_sympy()
        1/2 - 2*z
        >>> Symbol([0.1]).to_sympy()
        3602879701896397/36028797018963968
        """
        return to_expression(self._coefficients(), z)

    @classmethod
    def from_sympy(cls, expr: Any, z: Any = None) -> Symbol:
        """Return the symbol of a sympy polynomial in z, exactly.

        Parameters
        ----------
        expr : sympy expression
            Polynomial in ``z`` with rational or Gaussian rational coefficients; floats count as the binary
            fractions they are.
        z : sympy.Symbol, optional
            By default the one symbol of the expression.

        Returns
        -------
        Symbol
            Where float64 does not hold the coefficients, an `ExactSymbol`, which keeps them: its kernel is
            the nearest one, its winding numbers and index are those of the exact polynomial.

        Raises
        ------
        InputError
            If it has negative powers, is a quotient, has other symbols or irrational coefficients, or
            overflows.

        Examples
        --------
        >>> import sympy
        >>> from toeplitz_theory.operators import Symbol
        >>> z = sympy.Symbol("z")
        >>> Symbol.from_sympy((1 - 2 * z) ** 2, z)
        Symbol(n=3, 1 - 4 z + 4 z**2)
        >>> near = Symbol.from_sympy(1 - z * (1 + sympy.Rational(1, 10**30)), z)  # rounds to 1 - z
        >>> near.kernel.tolist(), near.fredholm_index().value
        ([1.0, -1.0], -1)
        """
        return symbol_of(exact_coefficients(expr, z))

    def _repr_latex_(self) -> str:
        index = self.fredholm_index().value
        claim = (
            r"T(a)\ \text{not proved Fredholm}" if index is None else rf"\operatorname{{ind}} T(a) = {index}"
        )
        return rf"$a(z) = {latex(self._taps.values)},\quad {claim}$"

    def __repr__(self) -> str:
        return f"{type(self).__name__}(n={len(self)}, {written(self.kernel)})"

    def __eq__(self, other: object) -> Any:
        return self._coefficients() == other._coefficients() if isinstance(other, Symbol) else NotImplemented

    def __hash__(self) -> int:
        return hash(tuple(self._coefficients()))


class ExactSymbol(Symbol):
    """Symbol of a polynomial over the Gaussian rationals, with the nearest float64 kernel beside it.

    `winding`, `fredholm_index` and `to_sympy` are about the exact polynomial; everything else, `zeros` and
    `min_modulus` for example, is about ``kernel``, which differs from it by ``rounding`` at most.

    Parameters
    ----------
    coefficients : list of pairs of Fraction
        Real and imaginary parts, lowest power first.

    Attributes
    ----------
    rounding : float
        A bound of ``sum |coefficient - kernel|``, hence of the distance of the two symbols on the circle.

    Examples
    --------
    >>> import sympy
    >>> z = sympy.Symbol("z")
    >>> a = Symbol.from_sympy(sympy.Rational(1, 3) + z, z)
    >>> a.fredholm_index().value, a.rounding < 2e-17, a.to_sympy(z)
    (-1, True, z + 1/3)
    """

    def __init__(self, coefficients: list[Exact]) -> None:
        kernel, _ = nearest_kernel(coefficients)
        super().__init__(kernel)
        self._exact = coefficients
        pairs = zip(coefficients, self._taps.exact(), strict=True)
        gaps = [abs(x - u) + abs(y - v) for (x, y), (u, v) in pairs]
        self.rounding = math.nextafter(float(sum(gaps)), math.inf)

    def winding(self, about: complex = 0.0, tol: float = 0.0) -> Winding:
        """Count the turns of the exact polynomial round a point, with proof.

        If the kernel's curve stays further from the point than ``rounding``, the exact one turns as often
        (Rouche); else the turns are counted in rational arithmetic (`exact_index`).

        Parameters
        ----------
        about : complex, optional
            The point, taken as the binary fractions it stores.
        tol : float, optional
            As in `Symbol.winding`; with a tolerance the answer is about the kernel.
        """
        near = super().winding(about, tol)
        if tol > 0:
            return near
        if near.certified and near.margin > self.rounding:
            margin = math.nextafter(near.margin - self.rounding, 0.0)
            text = f"{near.method}; rounding the coefficients moves the curve by less"
            return Winding(near.count, True, max(0.0, margin), (), near.evaluations, text)
        coefficients = (self - complex(about))._coefficients()
        if all(pair == ZERO for pair in coefficients):
            return Winding(None, False, 0.0, (), 0, "undefined: the symbol is identically 0")
        exact = index_of(coefficients)
        if exact.value is None:
            text = f"not Fredholm: {exact.on_circle} zeros on the circle, in rational arithmetic"
            return Winding(None, False, 0.0, near.on_circle, near.evaluations, text)
        return Winding(-exact.value, True, 0.0, (), near.evaluations, "Sturm's chain in rational arithmetic")

    def _coefficients(self) -> list[Exact]:
        return self._exact

    def _plus_number(self, number: Exact) -> Symbol:
        return symbol_of(added(self._exact, [number]))


def symbol_of(coefficients: list[Exact]) -> Symbol:
    """Return a plain symbol where float64 holds the coefficients, an `ExactSymbol` otherwise."""
    kernel, same = nearest_kernel(coefficients)
    return Symbol(kernel) if same else ExactSymbol(coefficients)
