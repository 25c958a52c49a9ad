"""Products with a section and its adjoint, against matrices written out entry by entry."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.operators.section_truth import dense, kernels
from toeplitz_theory.errors import InputError
from toeplitz_theory.operators import CausalToeplitz
from toeplitz_theory.operators.product import CausalProduct, fast_length

U = 2.0**-53


def _vectors(n, rng, kind):
    x = rng.standard_normal((n, 3))
    return x + 1j * rng.standard_normal((n, 3)) if kind == "complex" else x


@pytest.mark.parametrize("n", [1, 2, 3, 31, 96, 97, 128, 251, 512])
@pytest.mark.parametrize("kernel_kind", ["real", "complex"])
@pytest.mark.parametrize("input_kind", ["real", "complex"])
def test_products_equal_the_dense_matrix(n, kernel_kind, input_kind):
    rng = np.random.default_rng(n)
    kernel = _vectors(n, rng, kernel_kind)[:, 0]
    T, D, X = CausalToeplitz(kernel), dense(kernel), _vectors(n, rng, input_kind)
    # One FFT product errs by at most `CausalProduct.error` ||x||; the dense reference by n u ||w||_1 ||x||.
    bound = (CausalProduct(kernel).error + 2 * n * U * np.abs(kernel).sum()) * np.linalg.norm(X)
    for got, expected in (
        (T @ X, D @ X),
        (T.H @ X, D.conj().T @ X),
        (T.T @ X, D.T @ X),
        (T @ X[:, 0], D @ X[:, 0]),
    ):
        assert got.shape == expected.shape
        assert np.linalg.norm(got - expected) <= bound
    assert np.array_equal(T.to_dense(), D)
    real = kernel_kind == input_kind == "real"
    assert (T @ X).dtype == (np.float64 if real else np.complex128)


@given(kernels(2, 200), st.integers(0, 10))
def test_adjoint_identity(kernel, seed):
    rng = np.random.default_rng(seed)
    T = CausalToeplitz(kernel)
    x, y = rng.standard_normal((2, len(kernel)))
    error = CausalProduct(kernel).error + 4 * len(kernel) * U * np.abs(kernel).sum()
    assert abs(np.vdot(y, T @ x) - np.vdot(T.H @ y, x)) <= 2 * error * np.linalg.norm(x) * np.linalg.norm(y)


@given(kernels(1, 30), kernels(1, 30), st.integers(1, 60))
def test_sections_of_causal_operators_multiply(a, b, n):
    """T_n(a) T_n(b) = T_n(ab): true for causal symbols only."""
    product = CausalToeplitz(a, n).to_dense() @ CausalToeplitz(b, n).to_dense()
    expected = CausalToeplitz(np.convolve(a, b), n).to_dense()
    assert np.abs(product - expected).max() <= 8 * n * U * np.abs(a).sum() * np.abs(b).sum()


@pytest.mark.parametrize("exponent", [-1060, -1000, -500, 500, 1000])
def test_scaling_by_powers_of_two_changes_nothing_else(exponent):
    rng = np.random.default_rng(0)
    kernel, x = np.round(rng.standard_normal((2, 200)), 2), np.round(rng.standard_normal(200), 3)
    huge = np.ldexp(np.round(kernel[0] * 64), exponent)  # few digits, so that subnormals are exact
    got = CausalToeplitz(huge) @ x
    expected = CausalToeplitz(np.round(kernel[0] * 64)) @ x
    assert np.abs(np.ldexp(expected, exponent) - got).max() <= 2 * np.ldexp(1.0, -1074)


def test_causality_an_input_changes_no_earlier_output():
    rng = np.random.default_rng(1)
    T, x = CausalToeplitz(rng.standard_normal(300)), rng.standard_normal(300)
    y = x.copy()
    y[200:] += 5.0
    moved = np.abs(T @ x - T @ y)
    scale = CausalProduct(T.kernel).error * (np.linalg.norm(x) + np.linalg.norm(y))
    assert moved[:200].max() <= scale < moved[200:].max()


def test_sections_pad_and_cut_the_kernel_as_given():
    T = CausalToeplitz([1.0, 2.0, 3.0])
    assert np.array_equal(T.section(5).kernel, [1, 2, 3, 0, 0])
    assert np.array_equal(T.section(2).section(3).kernel, [1, 2, 3])
    assert CausalToeplitz(np.float32([0.1]), 3).kernel[0] == np.float64(np.float32(0.1))
    assert CausalToeplitz([1, 2]).dtype == np.float64


def test_it_composes_and_travels_as_a_scipy_operator():
    T = CausalToeplitz([1.0, -0.5, 0.25])
    x = np.array([1, 2, 3])
    assert np.allclose((2 * T + T.T) @ x, (2 * T.to_dense() + T.to_dense().T) @ x, rtol=0, atol=1e-14)
    assert np.array_equal(pickle.loads(pickle.dumps(T)) @ x, T @ x)
    with pytest.raises(ValueError, match="read-only"):
        T.kernel[0] = 2.0


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: CausalToeplitz([]), "empty"),
        (lambda: CausalToeplitz([1.0, np.nan]), "finite"),
        (lambda: CausalToeplitz([1.0], 0), "size of a section"),
        (lambda: CausalToeplitz([1.0], 2.5), "size of a section"),
        (lambda: CausalToeplitz([1.0], True), "size of a section"),
        (lambda: CausalToeplitz([1.0, 2.0]) @ [np.inf, 1.0], "NaN or infinite"),
    ],
)
def test_bad_input_is_one_clear_line(make, match):
    with pytest.raises(InputError, match=match) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_good_lengths_have_small_factors_only():
    for minimum in (1, 17, 8191, 8193, 10007):
        length = fast_length(minimum)
        assert minimum <= length < 1.2 * minimum + 2
        for factor in (2, 3, 5):
            while length % factor == 0:
                length //= factor
        assert length == 1
