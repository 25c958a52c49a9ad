"""Symbols that are matrices of any kind: their index, on determinants with chosen zeros."""

import numpy as np
import pytest

import toeplitz_theory as tt
from toeplitz_theory.errors import InputError

RANDOM = np.random.default_rng(0)


def with_determinant(zeros, d, seed=0):
    """Taps whose determinant has the given zeros: first-order factors between random invertible matrices."""
    random = np.random.default_rng(seed)
    taps = np.linalg.qr(random.standard_normal((d, d)))[0][None]
    for k, zero in enumerate(zeros):
        factor = np.zeros((2, d, d), complex)
        factor[0], factor[0, k % d, k % d], factor[1, k % d, k % d] = np.eye(d), -zero, 1.0
        mix = np.linalg.qr(random.standard_normal((d, d)))[0] @ np.diag(random.uniform(0.7, 1.4, d))
        product = np.zeros((len(taps) + 1, d, d), complex)
        for i, left in enumerate(taps):
            for j, right in enumerate(factor):
                product[i + j] += left @ right @ mix
        taps = product
    return taps


@pytest.mark.parametrize("seed", range(6))
def test_the_index_of_a_matrix_symbol_counts_the_zeros_of_its_determinant(seed):
    random = np.random.default_rng(seed)
    radii = random.choice([0.2, 0.6, 0.9, 1.2, 2.0], 6)
    zeros = radii * np.exp(2j * np.pi * random.random(6))
    index = tt.MatrixSymbol(with_determinant(zeros, 3, seed)).fredholm_index()
    assert index.certified and index.value == -int((radii < 1).sum())


def test_the_index_of_a_matrix_symbol_agrees_with_that_of_heads():
    from toeplitz_theory.operators import MultiHeadSymbol

    kernels, w_in, w_out = RANDOM.standard_normal((2, 12)), *RANDOM.standard_normal((2, 4, 4))
    heads = MultiHeadSymbol(kernels, w_in, w_out)
    values = np.repeat(kernels, 2, axis=0).T
    a = tt.MatrixSymbol(np.einsum("ic,kc,cj->kij", w_out, values, w_in))
    np.testing.assert_allclose(a(0.3 - 0.2j), heads(0.3 - 0.2j), atol=1e-12)
    assert a.fredholm_index().value == heads.fredholm_index().value
    assert a.residual().fredholm_index().value == heads.residual_index().value


def test_a_determinant_with_a_zero_on_the_circle_is_never_certified():
    index = tt.MatrixSymbol(with_determinant([1.0, 0.5], 2).real).fredholm_index()
    assert not index.certified
    estimate = tt.MatrixSymbol(with_determinant([0.999, 0.5], 2).real).fredholm_index(max_arcs=3)
    assert not estimate.certified and estimate.value in (None, -2)


@pytest.mark.parametrize("shape", [(3,), (2, 3), (2, 3, 4), (0, 2, 2)])
def test_taps_of_a_matrix_symbol_are_square(shape):
    with pytest.raises(InputError, match="square matrix"):
        tt.MatrixSymbol(np.ones(shape))
