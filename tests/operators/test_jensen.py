"""The Jensen deficit against chosen zeros, against all zeros isolated, and through products."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.operators.strategies import chosen, from_factors, kaiming
from toeplitz_theory.operators import Symbol


def _from_zeros(kernel):
    z = Symbol(kernel).zeros()
    size = np.abs(np.asarray(z))
    return float(-np.log(size[size < 1]).sum()), float(z.radii.sum() + 1e-15 * size.size)


def _slack(known):
    """Rounding of the oracle: sqrt, log and fsum, 4 u for each zero inside."""
    return 4 * 2.0**-53 * len(known.moduli) * 6


# Zeros 8e-6 apart have wide discs after one Newton step from float64.
_CLOSE = [Fraction(8190, 8192), Fraction(65535, 65536), Fraction(131071, 131072)]


@example(from_factors([[(-z.numerator, 0), (z.denominator, 0)] for z in _CLOSE], [z * z for z in _CLOSE]))
@given(chosen())
def test_error_bound_is_true_for_chosen_zeros(known):
    found = Symbol(known.kernel).jensen_deficit()
    if known.kernel[0] == 0:
        assert found.value == math.inf and found.certified
        return
    assert found.value >= 0
    assert abs(found.value - known.jensen) <= found.error + _slack(known)
    assert found.certified  # real kernels fall back to exact squarefree factors
    # Crowded zeros next to one on the circle leave it at 2e-6.
    assert found.error < 1e-5 * (1.0 + found.value)


@given(chosen(complex_taps=True))
def test_complex_kernels(known):
    found = Symbol(known.kernel).jensen_deficit()
    if known.kernel[0] == 0:
        assert found.value == math.inf
    elif found.certified:
        assert abs(found.value - known.jensen) <= found.error + _slack(known)
    else:
        assert "could not" in found.method
        assert abs(found.value - known.jensen) <= found.error


@pytest.mark.parametrize(("n", "seeds"), [(2, 20), (17, 20), (128, 6), (512, 1)])
def test_error_bound_is_true_at_initialisation(n, seeds):
    for seed in range(seeds):
        w = kaiming(n, seed)
        found = Symbol(w).jensen_deficit()
        truth, oracle_error = _from_zeros(w)
        assert found.certified and found.error < 1e-10
        assert abs(found.value - truth) <= found.error + oracle_error


def test_test_vector():
    """Zeros .5, +-.6i, 2, -1.5: the taps are rounded, which moves J by less than 1e-14."""
    from numpy.polynomial import polynomial

    kernel = np.real(polynomial.polyfromroots([0.5, 0.6j, -0.6j, 2.0, -1.5]))
    assert float(Symbol(kernel).jensen_deficit()) == pytest.approx(1.7147984280919268, abs=1e-13)


@given(chosen(), chosen())
def test_deficits_of_a_product_add(one, two):
    product = np.convolve(one.kernel, two.kernel)
    if one.kernel[0] == 0 or two.kernel[0] == 0 or np.abs(product).max() >= 2.0**53:
        return
    a, b, c = (Symbol(k).jensen_deficit() for k in (one.kernel, two.kernel, product))
    assert abs(a.value + b.value - c.value) <= a.error + b.error + c.error + 1e-14


@given(chosen(with_near=False), st.floats(0.1, 10.0))
def test_index_zero_means_deficit_zero(known, factor):
    found = Symbol(known.kernel * factor).jensen_deficit()
    if known.inside == 0 and known.on_circle == 0:
        assert found.value <= found.error
    if known.inside and found.certified and known.kernel[0] != 0:
        assert found.value > 0


@pytest.mark.parametrize("complex_taps", [False, True])
def test_zeros_on_the_nodes_of_the_rule(complex_taps):
    """Zeros on the circle, at a root of unity, at machine distance: none of them is an excuse."""
    for kernel in ([1.0, -1.0], [1.0, 1.0], [1.0, 0.0, 1.0], [1.0] * 64, [1.0, -(1.0 - 2.0**-53)]):
        w = np.asarray(kernel, dtype=complex if complex_taps else float)
        found = Symbol(w).jensen_deficit()
        assert found.certified and found.value <= found.error <= 1e-9


@pytest.mark.parametrize("scale", [2.0**-1070, 1.0, 2.0**1000])
def test_scale_does_not_matter(scale):
    found = Symbol(np.array([1.0, -4.0, 0.5]) * scale).jensen_deficit()
    inner = (4.0 - math.sqrt(14.0)) / 1.0  # zeros of .5 z^2 - 4 z + 1: 4 -+ sqrt(14)
    assert abs(found.value + math.log(inner)) <= found.error + 1e-15


def test_huge_range_of_taps():
    found = Symbol([1e-300, 1.0]).jensen_deficit()
    assert abs(found.value - 300 * math.log(10.0)) <= found.error + 1e-12


def test_degenerate():
    assert math.isnan(Symbol([0.0]).jensen_deficit().value)
    assert float(Symbol([2.0]).jensen_deficit()) == 0.0
    assert float(Symbol([0.0, 1.0]).jensen_deficit()) == math.inf
