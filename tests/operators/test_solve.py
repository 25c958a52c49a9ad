"""Solving T x = y: against exact rational arithmetic, and by the errors it reports."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.operators.section_truth import dense, real_kernels, regular_kernels
from toeplitz_theory.errors import InputError, NumericalError
from toeplitz_theory.operators import CausalToeplitz


def _exact(kernel, y):
    """Forward substitution in rationals."""
    w = [Fraction(float(v)) for v in kernel]
    x = []
    for t in range(len(w)):
        x.append((Fraction(float(y[t])) - sum(w[k] * x[t - k] for k in range(1, t + 1))) / w[0])
    return x


@given(real_kernels(1, 25), st.integers(0, 99))
def test_forward_and_backward_errors_bound_the_truth(kernel, seed):
    kernel = kernel.copy()
    kernel[0] = kernel[0] or 0.5
    y = np.random.default_rng(seed).standard_normal(len(kernel))
    exact = _exact(kernel, y)
    largest = max(abs(v) for v in exact)
    for rtol in (None, 1e-15):
        found = CausalToeplitz(kernel).solve(y, rtol=rtol, full=True)
        error = max(abs(Fraction(float(a)) - b) for a, b in zip(found.x, exact, strict=True))
        assert error <= Fraction(min(found.forward_error, 1e300)) * largest
        assert rtol is None or found.forward_error <= rtol
        assert found.backward_error <= 40 * len(kernel) * 2.0**-53


@given(regular_kernels(60), st.integers(0, 99))
def test_solving_undoes_the_product(kernel, seed):
    """x comes back within the stated error, plus |T^-1| times the rounding of T x itself."""
    n = len(kernel)
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 2))
    T = CausalToeplitz(kernel)
    y = T @ x
    back = T.solve(y, full=True)
    assert back.x.shape == x.shape
    residual = np.abs(dense(kernel) @ back.x - y)
    scale = np.abs(kernel).sum() * np.linalg.norm(back.x, axis=0) + np.linalg.norm(y, axis=0)
    assert (np.linalg.norm(residual, axis=0) <= (back.backward_error + 8 * n * 2.0**-53) * scale).all()


@pytest.mark.parametrize("n", [255, 256, 257, 700, 1500])
def test_long_sections_are_solved_by_halving(n):
    rng = np.random.default_rng(n)
    kernel = rng.standard_normal(n) * 0.5 ** np.arange(n)
    kernel[0] = 2.0
    x = rng.standard_normal(n)
    T = CausalToeplitz(kernel)
    found = T.solve(T @ x, full=True)
    assert found.method == "substitution"
    assert np.abs(found.x - x).max() <= 1e-12  # kappa is below 10
    assert found.forward_error <= 1e-9


def test_growth_by_ninety_orders_is_solved_backward_stably_and_then_exactly():
    kernel = np.zeros(300)
    kernel[:2] = 1.0, -2.0
    y = np.zeros(300)
    y[0] = 1.0
    T = CausalToeplitz(kernel)
    assert T.solve(y, full=True).backward_error < 1e-13
    exact = T.solve(y, rtol=1e-15)
    assert np.array_equal(exact, 2.0 ** np.arange(300))


def test_complex_right_sides_and_kernels():
    kernel, y = np.array([1 + 1j, 0.5, -0.25j]), np.array([1.0, 2j, 3.0])
    for rtol in (None, 1e-15):
        x = CausalToeplitz(kernel).solve(y, rtol=rtol)
        assert np.abs(dense(kernel) @ x - y).max() <= 1e-14
    x = CausalToeplitz([2.0, 1.0]).solve(np.array([2, 3j]))
    assert np.allclose(x, [1.0, (3j - 1) / 2], rtol=0, atol=1e-15)


def test_zero_right_sides_and_scales():
    assert np.array_equal(CausalToeplitz([2.0, 1.0]).solve(np.zeros(2), rtol=1e-10), np.zeros(2))
    assert np.array_equal(CausalToeplitz([1e-300, 0.0]).solve([1e-300, 2e-300]), [1.0, 2.0])
    assert np.array_equal(CausalToeplitz([5e-324]).solve([5e-324]), [1.0])


@pytest.mark.parametrize("rtol", [None, 1e-6])
def test_overflow_is_refused_in_one_line(rtol):
    y = np.zeros(400)
    y[0] = 1.0
    with pytest.raises(NumericalError, match="overflows float64") as caught:
        CausalToeplitz([1.0, -10.0], 400).solve(y, rtol=rtol)
    assert "\n" not in str(caught.value)


def test_an_accuracy_below_rounding_is_refused():
    with pytest.raises(NumericalError, match="cannot be had"):
        CausalToeplitz([3.0, 1.0]).solve([1.0, 1.0], rtol=1e-20)


@pytest.mark.parametrize(
    ("kernel", "y", "match"),
    [
        ([0.0, 1.0], [1.0, 1.0], r"w\[0\] = 0"),
        ([1.0, 1.0], [1.0], "shape"),
        ([1.0], [[[1.0]]], "shape"),
        ([1.0], [np.nan], "NaN"),
        ([1.0], ["a"], "dtype"),
    ],
)
def test_bad_right_sides(kernel, y, match):
    with pytest.raises(InputError, match=match):
        CausalToeplitz(kernel).solve(y)
    with pytest.raises(InputError, match="rtol"):
        CausalToeplitz([1.0]).solve([1.0], rtol=-1.0)
