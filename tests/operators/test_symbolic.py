"""Exact symbols: chosen zeros, Schur-Cohn and isolated roots as oracles for the index over the rationals."""

from fractions import Fraction

import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.operators.strategies import chosen, kaiming, schur_cohn_inside
from toeplitz_theory.errors import InputError
from toeplitz_theory.operators import ExactSymbol, Symbol, exact_index
from toeplitz_theory.operators.symbolic import index_of, latex

Z = sympy.Symbol("z")


def pairs_of(kernel):
    return [(Fraction(complex(x).real), Fraction(complex(x).imag)) for x in np.asarray(kernel).tolist()]


@given(st.booleans().flatmap(lambda is_complex: chosen(complex_taps=is_complex)))
def test_exact_index_of_chosen_zeros(known):
    found = index_of(pairs_of(known.kernel))
    if known.on_circle:
        assert found.value is None and 1 <= found.on_circle <= known.on_circle
    else:
        assert found.value == -known.inside and found.on_circle == 0


@given(st.lists(st.integers(-20, 20), min_size=1, max_size=14).filter(any))
def test_exact_index_against_schur_cohn(taps):
    truth = schur_cohn_inside(np.array(taps, dtype=float))
    found = index_of(pairs_of(taps))
    if truth is not None and found.value is not None:
        assert found.value == -truth


@given(st.lists(st.integers(-3, 3), min_size=2, max_size=7).filter(lambda x: any(x)))
@settings(max_examples=30)
def test_zeros_on_the_circle_are_counted(taps):
    """Oracle: sympy's gcd with the reversed polynomial, and mpmath's roots of its squarefree part."""
    core = np.trim_zeros(taps)
    p = sympy.Poly(core[::-1], Z)
    common = sympy.gcd(p, sympy.Poly(core, Z))
    free = sympy.Poly(sympy.sqf_part(common.as_expr()), Z) if common.degree() > 0 else None
    roots = [complex(r) for r in free.nroots(n=30)] if free else []
    # Simple zeros of small integer polynomials, to 30 digits: on the circle, or far from it.
    truth = sum(abs(abs(r) - 1) < 1e-12 for r in roots)
    assert index_of(pairs_of(taps)).on_circle == truth


@pytest.mark.parametrize("is_complex", [False, True])
@pytest.mark.parametrize("n", [2, 3, 33, 80])
def test_exact_index_of_stored_kernels_is_the_certified_one(n, is_complex):
    kernel = kaiming(n, 1) + (1j * kaiming(n, 2) if is_complex else 0)
    kernel = kernel.astype(np.complex64 if is_complex else np.float32)  # fewer bits, less work
    assert index_of(pairs_of(kernel)).value == Symbol(kernel).fredholm_index().value


@pytest.mark.parametrize("digits", [5, 20, 60])
@pytest.mark.parametrize("sign", [-1, 1])
def test_index_decided_far_below_float64(digits, sign):
    zero = 1 + sympy.Rational(sign, 10**digits)  # inside for sign -1
    expr = (1 - Z / zero) * (1 - 3 * Z) * (2 + Z)
    a = Symbol.from_sympy(expr, Z)
    inside = 1 + (sign < 0)
    assert a.fredholm_index().value == -inside and a.fredholm_index().certified
    assert exact_index(expr).value == -inside
    assert a.winding().count == inside


def test_an_exact_symbol_keeps_what_float64_does_not():
    expr = sympy.Rational(1, 3) - Z / 7 + sympy.I * Z**3 / 9
    a = Symbol.from_sympy(expr, Z)
    assert isinstance(a, ExactSymbol)
    assert sympy.expand(a.to_sympy(Z) - expr) == 0
    assert abs(complex(expr.subs(Z, 1)) - a(1.0)) <= a.rounding + 1e-15
    assert a.residual().fredholm_index().value == exact_index(1 + expr).value
    assert (
        a == Symbol.from_sympy(expr, Z)
        and a != Symbol(a.kernel)
        and hash(a) == hash(Symbol.from_sympy(expr, Z))
    )
    assert (
        a.winding(about=complex(a.kernel[0])).count
        == exact_index(expr - sympy.Rational(float(a.kernel[0].real))).value * -1
    )
    assert a.fredholm_index(tol=1e-9).value == exact_index(expr).value


def test_exact_zero_on_the_circle_of_an_inexact_kernel():
    a = Symbol.from_sympy((1 - Z) * (1 + 2 * Z) / 3, Z)
    assert isinstance(a, ExactSymbol)
    found = a.winding()
    assert found.count is None and not found.certified and "rational" in found.method
    assert Symbol.from_sympy(sympy.Rational(1, 3), Z).winding(about=0.0).count == 0


@given(st.booleans().flatmap(lambda is_complex: chosen(complex_taps=is_complex)))
@settings(max_examples=25)
def test_there_and_back(known):
    a = Symbol(known.kernel)
    assert Symbol.from_sympy(a.to_sympy(Z), Z) == Symbol(np.trim_zeros(known.kernel, "b"))


@pytest.mark.parametrize("n", [1, 2, 3, 64, 512])
def test_stored_values_are_exact(n):
    kernel = kaiming(n, 7)
    poly = sympy.Poly(Symbol(kernel).to_sympy(Z), Z)
    assert [Fraction(int(c.p), int(c.q)) for c in poly.all_coeffs()[::-1]] == [Fraction(x) for x in kernel]
    assert Symbol.from_sympy(poly.as_expr(), Z) == Symbol(kernel)


def test_the_part_of_a_residual_below_float64_is_kept():
    tiny = Symbol([2.0**-80, 1.0]).residual()
    assert tiny.to_sympy(Z) == 1 + sympy.Rational(1, 2**80) + Z


def test_floats_and_quotients_that_are_polynomials():
    assert Symbol.from_sympy(0.1 + 2.5 * Z, Z).kernel.tolist() == [0.1, 2.5]
    assert Symbol.from_sympy((1 - Z**2) / (1 - Z), Z).kernel.tolist() == [1.0, 1.0]
    assert Symbol.from_sympy(sympy.Integer(3)).kernel.tolist() == [3.0]
    assert Symbol.from_sympy(sympy.Integer(0)).kernel.tolist() == [0.0]
    assert Symbol.from_sympy(2 * sympy.Symbol("w") + sympy.I).kernel.tolist() == [1j, 2.0]


@pytest.mark.parametrize(
    ("expr", "words"),
    [
        (1 / Z + 1, "polynomial in z"),
        (1 / (1 - Z), "polynomial in z"),
        (sympy.exp(Z), "polynomial in z"),
        (sympy.sqrt(Z), "polynomial in z"),
        (1 + sympy.sqrt(2) * Z, "not a rational"),
        (sympy.pi * Z, "not a rational"),
        (1 + sympy.Symbol("c") * Z, "say which is z"),
        (sympy.Integer(10) ** 400 * Z, "overflows"),
        (Z ** (2**21), "degree"),
        ("1 - 2*z", "the text"),
        (object(), "sympy expression"),
        (sympy.oo * Z, "not a rational"),
        (sympy.Eq(Z, 1), "sympy expression"),
    ],
)
def test_what_is_no_symbol_is_refused_in_one_line(expr, words):
    with pytest.raises(InputError, match=words) as caught:
        Symbol.from_sympy(expr)
    assert "\n" not in str(caught.value)


def test_a_second_symbol_is_refused_when_z_is_given():
    with pytest.raises(InputError, match="not a rational"):
        Symbol.from_sympy(1 + sympy.Symbol("c") * Z, Z)
    with pytest.raises(InputError, match="is 0"):
        exact_index(sympy.Integer(0))


def test_latex_stays_short():
    text = Symbol(kaiming(512, 0))._repr_latex_()
    assert text.startswith("$a(z) = ") and text.endswith("$") and len(text) < 200
    assert r"\dots" in text and "z^{511}" in text and text.count("z^") == 3
    assert latex(np.array([0.0, 0.0])) == "0"
    assert latex(np.array([-1.0, 1.0, -2.0])) == r"-1 + z - 2\,z^{2}"
    assert latex(np.array([1 - 2j, 1j])) == r"(1 - 2\mathrm{i}) + (0 + 1\mathrm{i})\,z"
    assert "not proved Fredholm" in Symbol([1.0, -1.0])._repr_latex_()
    assert latex(np.ones(6)) == r"1 + z + z^{2} + z^{3} + \dots + z^{5}"
