"""Symbols as sympy expressions: exact both ways, with an index decided over the Gaussian rationals."""

from __future__ import annotations

import itertools
import re
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import flint
import numpy as np

from toeplitz_theory.display import Displayed
from toeplitz_theory.errors import InputError
from toeplitz_theory.operators.arithmetic import whole
from toeplitz_theory.operators.kernels import ZERO, Exact, Kernel

if TYPE_CHECKING:
    import sympy


_MAX_DEGREE = 1 << 20


@dataclass(frozen=True, repr=False)
class ExactIndex(Displayed):
    """Fredholm index of T(a) for a polynomial a over the Gaussian rationals, decided without rounding.

    Attributes
    ----------
    value : int or None
        Minus the number of zeros in the open disc; None if the circle has a zero: then T(a) is not Fredholm.
    on_circle : int
        Number of different zeros on the unit circle.

    Examples
    --------
    >>> import sympy
    >>> z = sympy.Symbol("z")
    >>> exact_index((1 - 3 * z) * (1 + z / 3) * (1 - 2 * sympy.I * z), z).value
    -2
    >>> exact_index(3 * z**2 + 2 * z + 3, z)  # a pair on the circle
    ExactIndex(value=None, on_circle=2)
    """

    value: int | None
    on_circle: int


def exact_index(expr: Any, z: Any = None) -> ExactIndex:
    r"""Return the Fredholm index of T(expr), decided in rational arithmetic.

    ``z = (1 + i x) / (1 - i x)`` takes the real line to the circle without -1, and ``(1 - i x)^d a(z)`` is
    A(x) + i B(x) with rational A and B. Their Euclidean remainders with signs changed (Sturm's chain) count
    the jumps of B / A, hence the turns of a; real zeros of gcd(A, B) are zeros of a on the circle
    (Gantmacher, The Theory of Matrices, vol. 2, ch. XV). The numbers grow with the degree:
    four times the degree takes 200 times as long. Symbols made by `Symbol.from_sympy` try float64 first.

    Parameters
    ----------
    expr : sympy expression
        Polynomial in ``z`` with rational or Gaussian rational coefficients; floats count as the binary
        fractions they are.
    z : sympy.Symbol, optional
        By default the one symbol of the expression.

    Returns
    -------
    ExactIndex

    Raises
    ------
    InputError
        If it is no such polynomial, or 0.

    Examples
    --------
    >>> import sympy
    >>> z = sympy.Symbol("z")
    >>> near = 1 + sympy.Rational(1, 10**40)
    >>> exact_index(1 - near * z, z).value, exact_index(1 - z / near, z).value
    (-1, 0)
    """
    return index_of(exact_coefficients(expr, z))


def exact_coefficients(expr: Any, z: Any = None) -> list[Exact]:
    """Return the coefficients, lowest power first, as pairs of fractions (real, imaginary)."""
    import sympy

    if isinstance(expr, str):
        raise InputError(f"expr is the text {expr[:40]!r}: pass a sympy expression, such as 1 - 2*z")
    try:
        expr = sympy.sympify(expr)
    except sympy.SympifyError:
        raise InputError(f"expr is a {type(expr).__name__}: pass a sympy expression") from None
    if not isinstance(expr, sympy.Expr):
        raise InputError(f"expr is a {type(expr).__name__}: pass a sympy expression in z")
    z = _variable(expr) if z is None else z
    poly = _polynomial(expr, z)
    degree = poly.degree()
    if degree > _MAX_DEGREE:
        raise InputError(f"expr has degree {degree}: kernels up to {_MAX_DEGREE} taps are taken")
    out = [ZERO] * (max(0, int(degree)) + 1 if poly else 1)
    for (power,), value in poly.terms():
        out[power] = _number(value)
    return out


def _variable(expr: sympy.Expr) -> Any:
    import sympy

    names = sorted(expr.free_symbols, key=str)
    if len(names) > 1:
        raise InputError(f"expr has the symbols {', '.join(map(str, names))}: say which is z, fix the others")
    return names[0] if names else sympy.Symbol("z")


def _polynomial(expr: sympy.Expr, z: Any) -> sympy.Poly:
    import sympy

    with suppress(sympy.PolynomialError):
        return sympy.Poly(expr, z)
    with suppress(sympy.PolynomialError):
        return sympy.Poly(sympy.cancel(expr), z)
    raise InputError(
        f"expr is not a polynomial in {z}: causal kernels have finitely many powers, none negative; "
        "multiply by a power (a shift) or take the first taps of its series"
    )


def _number(value: Any) -> Exact:
    parts = []
    for part in value.as_real_imag():
        if part.is_Float and part.is_finite:
            import sympy

            part = sympy.Rational(part)  # exact: the binary fraction it stores
        if not part.is_Rational:
            raise InputError(
                f"coefficient {str(value)[:60]} is not a rational or Gaussian rational number: "
                "fix symbols with .subs, round others with .evalf or sympy.nsimplify"
            )
        parts.append(Fraction(*map(int, part.as_numer_denom())))
    return parts[0], parts[1]


def index_of(coefficients: list[Exact]) -> ExactIndex:
    """Return the index of the polynomial with these coefficients, lowest power first."""
    shift = next((k for k, pair in enumerate(coefficients) if pair != ZERO), None)
    if shift is None:
        raise InputError("expr is 0: T(0) is not Fredholm, and has no index")
    re, im, _ = whole(coefficients[shift:])
    on_circle = int(re(-1) == 0 and im(-1) == 0)
    while re(-1) == 0 and im(-1) == 0:  # -1 is where the line does not go
        re, im = (part // flint.fmpz_poly([1, 1]) for part in (re, im))
    degree = max(re.degree(), im.degree())
    a, b = _to_line(re, im)
    # With the leading coefficient made real, B / A vanishes at both ends of the line.
    lead_a, lead_b = a[degree], b[degree]
    real, imag = a * lead_a + b * lead_b, b * lead_a - a * lead_b
    chain = _sturm(real, imag)
    common = chain[-1]
    if common.degree() > 0:
        on_circle += _variations_drop(_sturm(common, common.derivative()))
    if on_circle:
        return ExactIndex(None, on_circle)
    # arg(A + i B) turns by -pi for each unit of the Cauchy index; (1 - i x)^-d gives pi d.
    turns = degree - _variations_drop(chain)
    assert turns % 2 == 0, "the turns of a closed curve"
    return ExactIndex(-(shift + turns // 2), 0)


def _to_line(re: flint.fmpz_poly, im: flint.fmpz_poly) -> tuple[flint.fmpz_poly, flint.fmpz_poly]:
    """Return A, B with A + i B = sum_k a_k (1 + i x)^k (1 - i x)^(d - k), a_k = re[k] + i im[k]."""
    zero, x = flint.fmpz_poly([0]), flint.fmpz_poly([0, 1])
    a, b = zero, zero
    power_a, power_b = flint.fmpz_poly([1]), zero  # (1 - i x)^(d - k)
    for k in range(max(re.degree(), im.degree()), -1, -1):
        a, b = a - b * x + power_a * re[k] - power_b * im[k], b + a * x + power_a * im[k] + power_b * re[k]
        power_a, power_b = power_a + power_b * x, power_b - power_a * x
    return a, b


def _sturm(first: flint.fmpz_poly, second: flint.fmpz_poly) -> list[flint.fmpz_poly]:
    """Return Sturm's chain: each element minus the remainder of the two before, over a positive number."""
    chain = [first]
    while second != 0:
        chain.append(second)
        rest = -(flint.fmpq_poly(first) % flint.fmpq_poly(second))
        first, second = second, rest.numer() // max(1, abs(int(rest.numer().content())))
    return chain


def _variations_drop(chain: list[flint.fmpz_poly]) -> int:
    """Return the sign changes along the chain at -infinity less those at +infinity."""
    counts = []
    for end in (-1, 1):
        signs = [(1 if int(f[f.degree()]) > 0 else -1) * (end if f.degree() % 2 else 1) for f in chain]
        counts.append(sum(x != y for x, y in itertools.pairwise(signs)))
    return counts[0] - counts[1]


def to_expression(coefficients: list[Exact], z: Any = None) -> sympy.Expr:
    """Return the polynomial with these coefficients, lowest power first."""
    import sympy

    z = sympy.Symbol("z") if z is None else z
    parts = [[sympy.Rational(x.numerator, x.denominator) for x in pair] for pair in coefficients]
    return sympy.Add(*((re + sympy.I * im) * z**k for k, (re, im) in enumerate(parts)))


def written(kernel: Kernel, most: int = 4) -> str:
    """Write a polynomial: the first taps that are not 0, dots, and the last.

    Examples
    --------
    >>> written(np.array([1.0, -0.5, 0.0, 2e-7]))
    '1 - 0.5 z + 2e-07 z**3'
    """
    present = np.flatnonzero(kernel)
    shown = present if present.size <= most + 1 else [*present[:most], present[-1]]
    text = ""
    for k in shown:
        value = kernel[k]
        negative = not np.iscomplexobj(kernel) and value < 0
        size = f"({value:.4g})" if np.iscomplexobj(kernel) else f"{abs(value):.4g}"
        power = "" if k == 0 else "z" if k == 1 else f"z**{k}"
        term = power if power and size == "1" else f"{size} {power}".strip()
        dots = "+ ... " if len(shown) < present.size and k == present[-1] else ""
        text += f" {dots}{'-' if negative else '+'} {term}" if text else f"-{term}" if negative else term
    return text or "0"


def latex(kernel: Kernel) -> str:
    r"""Write a polynomial for a notebook, as `written` does.

    Examples
    --------
    >>> print(latex(np.array([1.0, -0.5, 0.0, 2e-7])))
    1 - 0.5\,z + 2 \cdot 10^{-7}\,z^{3}
    """
    text = written(kernel).replace("...", r"\dots")
    text = re.sub(r"([+-])([^+-]+(?:e[+-]\d+)?)j\)", r" \1 \2\\mathrm{i})", text)
    text = re.sub(r"e([+-]\d+)", lambda power: rf" \cdot 10^{{{int(power[1])}}}", text)
    text = re.sub(r"z\*\*(\d+)", r"z^{\1}", text)
    return re.sub(r"(?<=[\d)}]) z", r"\\,z", text)
