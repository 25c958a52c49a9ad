"""Symbols whose coefficients no float64 kernel holds: the index is that of the exact polynomial."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from toeplitz_theory.errors import InputError
from toeplitz_theory.operators.kernels import as_kernel
from toeplitz_theory.operators.results import Winding
from toeplitz_theory.operators.symbolic import index_of, nearest_kernel
from toeplitz_theory.operators.symbols.symbol import Symbol
from toeplitz_theory.operators.symbols.taps import Exact

if TYPE_CHECKING:
    import sympy


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
        super().__init__(as_kernel(kernel))
        self._exact = coefficients
        gaps = [
            abs(x - Fraction(complex(w).real)) + abs(y - Fraction(complex(w).imag))
            for (x, y), w in zip(coefficients, self.kernel.tolist(), strict=True)
        ]
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
        point = complex(about)
        first = (self._exact[0][0] - Fraction(point.real), self._exact[0][1] - Fraction(point.imag))
        coefficients = [first, *self._exact[1:]]
        if all(pair == (0, 0) for pair in coefficients):
            return Winding(None, False, 0.0, (), 0, "undefined: the symbol is identically 0")
        found = index_of(coefficients)
        if found.value is None:
            text = f"not Fredholm: {found.on_circle} zeros on the circle, in rational arithmetic"
            return Winding(None, False, 0.0, near.on_circle, near.evaluations, text)
        return Winding(-found.value, True, 0.0, (), near.evaluations, "Sturm's chain in rational arithmetic")

    def to_sympy(self, z: Any = None) -> sympy.Expr:
        """Return the exact polynomial.

        Parameters
        ----------
        z : sympy.Symbol, optional
            The variable; ``Symbol("z")`` by default.
        """
        import sympy

        z = sympy.Symbol("z") if z is None else z
        parts = [[sympy.Rational(x.numerator, x.denominator) for x in pair] for pair in self._exact]
        return sympy.Add(*((re + sympy.I * im) * z**k for k, (re, im) in enumerate(parts)))

    def residual(self) -> ExactSymbol:
        """Return the symbol of ``I + T(a)``, exactly."""
        (re, im), *rest = self._exact
        return ExactSymbol([(re + 1, im), *rest])

    def __eq__(self, other: object) -> Any:
        if not isinstance(other, ExactSymbol):
            return False if isinstance(other, Symbol) else NotImplemented
        return self._exact == other._exact

    def __hash__(self) -> int:
        return hash(tuple(self._exact))


def symbol_of(coefficients: list[Exact]) -> Symbol:
    """Return a plain symbol where float64 holds the coefficients, an `ExactSymbol` otherwise."""
    kernel, same = nearest_kernel(coefficients)
    if not np.isfinite(kernel).all():
        raise InputError("a coefficient of expr overflows float64: scale the expression")
    return Symbol(kernel) if same else ExactSymbol(coefficients)
