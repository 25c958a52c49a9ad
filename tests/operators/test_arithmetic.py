"""Sums and products of symbols and sections, against fractions, convolution and dense matrices."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toeplitz_theory.errors import InputError
from toeplitz_theory.operators import CausalMatrix, CausalToeplitz, ExactSymbol, Symbol

# Subnormal taps and taps near the ends of the range belong to it: what is exact has no scale.
taps = st.floats(-1e150, 1e150, allow_nan=False)
kernels = st.lists(taps, min_size=1, max_size=6)
wholes = st.lists(st.integers(-50, 50), min_size=1, max_size=8)


def at(kernel, z):
    """The polynomial at a rational point, in fractions."""
    return sum(Fraction(w) * z**k for k, w in enumerate(kernel))


def exact_at(symbol, z):
    import sympy

    name = sympy.Symbol("z")
    value = symbol.to_sympy(name).subs(name, sympy.Rational(z.numerator, z.denominator))
    return Fraction(int(value.p), int(value.q))


@given(kernels, kernels)
def test_sums_and_products_are_exact(first, second):
    a, b, z = Symbol(first), Symbol(second), Fraction(3, 7)
    assert exact_at(a + b, z) == at(first, z) + at(second, z)
    assert exact_at(a - b, z) == at(first, z) - at(second, z)
    assert exact_at(a * b, z) == at(first, z) * at(second, z)
    assert exact_at(3 * a, z) == 3 * at(first, z)
    assert exact_at(0.1 - a, z) == Fraction(0.1) - at(first, z)


@given(wholes, wholes)
def test_whole_numbers_give_the_convolution(first, second):
    product = Symbol(first) * Symbol(second)
    assert type(product) is Symbol
    np.testing.assert_array_equal(product.kernel, np.convolve(first, second))


def test_complex_taps():
    product = Symbol([1j, 2.0]) * Symbol([1.0, -1j])
    np.testing.assert_array_equal(product.kernel, np.convolve([1j, 2.0], [1.0, -1j]))
    np.testing.assert_array_equal((1j * Symbol([1.0, 2.0])).kernel, [1j, 2j])


def test_the_index_of_a_product_is_the_sum_also_where_its_taps_are_rounded():
    near = Symbol([1.0, -(1 + 2.0**-52)])  # a zero 2e-16 inside the circle
    product = near * near * near
    assert isinstance(product, ExactSymbol)
    assert product.fredholm_index().value == 3 * near.fredholm_index().value == -3


def test_adding_a_number_is_the_residual():
    a = Symbol([1e-20, 2.0])
    assert a + 1 == a.residual() == np.float64(1) + a
    third = Symbol([1.0, 2.0]) * Fraction(1, 3)
    assert third + 1 == third.residual()
    assert third.residual() - 1 == third


@pytest.mark.parametrize("other", ["2", None, [1.0], np.ones(2)])
def test_other_things_are_no_factors(other):
    for act in (lambda: Symbol([1.0]) * other, lambda: other * Symbol([1.0]), lambda: Symbol([1.0]) + other):
        with pytest.raises(TypeError):
            act()


def test_equal_symbols_have_equal_hashes():
    assert len({Symbol([1.0, 0.0]), Symbol([1.0 + 0j, -0.0])}) == 1
    near = Symbol([2.0**-60])
    assert (
        near.residual()
        == near + Fraction(1)
        == ExactSymbol([(Fraction(1) + Fraction(2.0**-60), Fraction(0))])
    )
    assert Symbol([1.0]) != Symbol([1.0, 0.0])


@pytest.mark.parametrize("a", [Symbol([1.0]), Symbol([1.0]) + Fraction(1, 3)])
def test_a_whole_number_beyond_float64_is_refused(a):
    with pytest.raises(InputError, match="overflows float64"):
        a + 10**400


def test_infinite_numbers_and_overflow_are_refused_in_one_line():
    with pytest.raises(InputError, match="not a finite number"):
        Symbol([1.0]) * float("inf")
    with pytest.raises(InputError, match="overflows"):
        Symbol([1e300]) * Symbol([1e300])
    with pytest.raises(InputError, match="overflows"):
        CausalToeplitz([1e300]) @ CausalToeplitz([1e300])


@given(kernels, kernels, st.integers(1, 9))
def test_sections_against_dense_matrices(first, second, n):
    T, S = CausalToeplitz(first, n), CausalToeplitz(second, n)
    rng = np.random.default_rng(0)
    x = rng.standard_normal(n)
    for made, dense in (
        (T @ S, T.to_dense() @ S.to_dense()),
        (T * S, T.to_dense() @ S.to_dense()),
        (T + S, T.to_dense() + S.to_dense()),
        (T - S, T.to_dense() - S.to_dense()),
        (2.5 * T, 2.5 * T.to_dense()),
        (T * 2.5, 2.5 * T.to_dense()),
        (-T, -T.to_dense()),
    ):
        assert isinstance(made, CausalToeplitz)
        scale = np.abs(T.to_dense()).max() * max(1.0, np.abs(S.to_dense()).max()) + np.abs(S.to_dense()).max()
        np.testing.assert_allclose(np.asarray(made), dense, rtol=1e-14, atol=1e-14 * n * scale)
    assert (T @ x).shape == (n,)


def test_a_product_of_sections_is_the_section_of_the_product():
    first, second = Symbol([1.0, 2.0, 3.0]), Symbol([4.0, 5.0])
    made = first.section(2) @ second.section(2)
    np.testing.assert_array_equal(made.section(4).to_dense(), (first * second).section(4).to_dense())


def test_numpy_sees_the_matrix():
    T = CausalToeplitz([1.0, 2.0], 3)
    np.testing.assert_array_equal(np.asarray(T), T.to_dense())
    assert np.asarray(T, dtype=np.float32).dtype == np.float32
    assert np.asarray(CausalToeplitz([1j, 2.0])).dtype == np.complex128
    with pytest.raises(ValueError, match="copy"):
        np.array(T, copy=False)
    np.testing.assert_array_equal(np.asarray(Symbol([1.0, 2.0])), [1.0, 2.0])
    np.testing.assert_array_equal(np.asarray(CausalMatrix(np.eye(2))), np.eye(2))
    assert np.linalg.matrix_rank(T) == 3


def test_sections_of_other_sizes_are_refused():
    with pytest.raises(ValueError):
        CausalToeplitz([1.0], 2) @ CausalToeplitz([1.0], 3)
    with pytest.raises(ValueError):
        CausalToeplitz([1.0], 2) + CausalToeplitz([1.0], 3)
