"""Indices of multi-head layers: against eigenvalues of the projections, and exact determinants."""

import math

import flint
import numpy as np
import pytest
import sympy
from schur_cohn import count_inside

from toeplitz_theory.errors import InputError
from toeplitz_theory.operators import MultiHeadSymbol, Symbol
from toeplitz_theory.operators.layers.determinant_arcs import determinant_turn
from toeplitz_theory.operators.layers.multihead import proved_nonsingular


def layer(heads: int, channels: int, n: int, seed: int = 0, scale: float = 1.0) -> MultiHeadSymbol:
    rng = np.random.default_rng([heads, channels, n, seed])
    d = heads * channels
    w_in, w_out = rng.standard_normal((2, d, d)) / math.sqrt(d)
    return MultiHeadSymbol(scale * rng.standard_normal((heads, n)) / math.sqrt(n), w_in, w_out)


@pytest.mark.parametrize("seed", range(4))
def test_equal_heads_decouple_along_the_eigenvalues_of_the_projections(seed):
    rng = np.random.default_rng(seed)
    w, (w_in, w_out) = rng.standard_normal(6), rng.standard_normal((2, 4, 4))
    found = MultiHeadSymbol([w, w], w_in, w_out).residual_index()
    # det(I + a M) = prod (1 + a mu).
    inside = 0
    for mu in np.linalg.eigvals(w_in @ w_out):
        taps = mu * w.astype(complex)
        taps[0] += 1
        inside += count_inside(taps)
    assert found.certified and found.value == -inside


def test_a_wide_layer_is_proved_too():
    """32 channels, against the eigenvalues of the projections."""
    rng = np.random.default_rng(7)
    w = rng.standard_normal(12) / 3
    w_in, w_out = rng.standard_normal((2, 32, 32)) / math.sqrt(32)
    found = MultiHeadSymbol([w] * 4, w_in, w_out).residual_index()
    inside = 0
    for mu in np.linalg.eigvals(w_in @ w_out):
        taps = mu * w.astype(complex)
        taps[0] += 1
        inside += count_inside(taps)
    assert found.certified and found.value == -inside and inside > 0


@pytest.mark.parametrize("seed", range(4))
def test_small_layers_against_the_exact_determinant(seed):
    rng = np.random.default_rng(seed)
    kernels = rng.integers(-16, 17, (2, 3)) / 8
    w_in, w_out = rng.integers(-8, 9, (2, 4, 4)) / 8
    z = sympy.Symbol("z")
    heads = [sum(sympy.Rational(float(x)) * z**k for k, x in enumerate(w)) for w in kernels]
    exact = sympy.Matrix(4, 4, lambda i, j: sympy.Rational(float(w_in[i, j])))
    outer = sympy.Matrix(4, 4, lambda i, j: sympy.Rational(float(w_out[i, j])))
    A = outer * sympy.diag(heads[0], heads[0], heads[1], heads[1]) * exact
    determinant = sympy.Poly((sympy.eye(4) + A).det(method="berkowitz"), z)
    taps = np.array([float(x) for x in determinant.all_coeffs()[::-1]])
    found = MultiHeadSymbol(kernels, w_in, w_out).residual_index()
    assert found.certified and found.value == -count_inside(taps)


@pytest.mark.parametrize("heads", [2, 8])
def test_wider_layers_against_the_exact_determinant(heads):
    """16 channels, more than are set apart: the determinant interpolated from rational points."""
    rng = np.random.default_rng(heads)
    kernels = rng.integers(-8, 9, (heads, 4)) / 4
    w_in, w_out = rng.integers(-8, 9, (2, 16, 16)) / 16
    mixing = flint.fmpq_mat(16, 16, [flint.fmpq(int(x), 256) for x in (256 * w_in @ w_out).ravel()])
    points = [flint.fmpq(i - 24, 24) for i in range(49)]  # of degree 3 * 16 at most
    values = []
    for z in points:
        matrix = flint.fmpq_mat(16, 16)
        for i in range(16):
            a = sum((flint.fmpq(int(4 * x), 4) * z**k for k, x in enumerate(kernels[i * heads // 16])), 0 * z)
            for j in range(16):
                matrix[i, j] = a * mixing[i, j] + (i == j)
        values.append(matrix.det())
    exact = flint.fmpq_poly([0])
    for z, value in reversed(list(zip(points, _differences(points, values), strict=True))):
        exact = exact * flint.fmpq_poly([-z, 1]) + value
    found = MultiHeadSymbol(kernels, w_in, w_out).residual_index()
    roots = flint.fmpz_poly((exact * exact.denom()).numer().coeffs()).complex_roots()
    sizes = [abs(complex(root)) for root, _ in roots]
    assert min(abs(size - 1) for size in sizes) > 1e-6
    inside = sum(multiple for (_, multiple), size in zip(roots, sizes, strict=True) if size < 1)
    assert found.certified and found.value == -inside and inside > 0


def _differences(points, values):
    """Newton's divided differences."""
    values = list(values)
    for order in range(1, len(values)):
        for i in range(len(values) - 1, order - 1, -1):
            values[i] = (values[i] - values[i - 1]) / (points[i] - points[i - order])
    return values


@pytest.mark.parametrize("gap", [1e-2, 1e-6, 1e-9])
@pytest.mark.parametrize("side", [-1, 1])
def test_zeros_next_to_the_circle(gap, side):
    """1 + (1 + gap) z^7 and its like on the other side, each on two channels in a basis of their own."""
    w = np.zeros((2, 8))
    w[0, 7], w[1, 7] = 1 + side * gap, 0.5
    basis = np.random.default_rng(3).standard_normal((4, 4))
    found = MultiHeadSymbol(w, basis, np.linalg.inv(basis)).residual_index()
    # det(I + D M) with M = I up to rounding.
    assert found.certified and found.value == (-14 if side > 0 else 0)


def test_determinants_of_small_polynomials_turn_as_their_zeros_say():
    """Products of two matrices with chosen zeros, down to 1e-4 from the interval."""
    rng = np.random.default_rng(1)
    zeros = rng.uniform(-1, 1, 6) + 1j * rng.choice([-1, 1], 6) * 10.0 ** rng.uniform(-4, 0, 6)
    first = np.array([np.diag(-zeros[:3]), np.eye(3)])
    second = np.array([np.diag(-zeros[3:]), np.eye(3)])
    mix = rng.standard_normal((3, 3)) + 1j * rng.standard_normal((3, 3))
    product = np.zeros((3, 3, 3), complex)
    for i, x in enumerate(first):
        for j, y in enumerate(second):
            product[i + j] += x @ mix @ y
    expected = np.angle(1 - zeros) - np.angle(-1 - zeros)
    # s - s_i keeps to one side of the real line: its argument does not cross the cut.
    assert determinant_turn(product, 1e-9, -1.0, 1.0) == pytest.approx(float(expected.sum()), abs=1e-9)
    assert determinant_turn(product, 1.0, -1.0, 1.0) is None


def test_what_cannot_be_proved_is_refused():
    nothing = MultiHeadSymbol([[-1.0]], np.eye(3), np.eye(3)).residual_index()  # I + A = 0
    on_circle = MultiHeadSymbol([[0.0, 1.0]], np.eye(2), np.eye(2)).residual_index()
    huge = MultiHeadSymbol(np.full((1, 5), 1e305), np.eye(2), 9 * np.eye(2)).residual_index()
    assert nothing.value is None
    assert not (nothing.certified or on_circle.certified or huge.certified)


def test_index_without_the_residual_connection_counts_the_heads_zeros():
    found = layer(3, 2, 20)
    expected = -2 * sum(count_inside(a.kernel) for a in found.heads)
    assert found.fredholm_index().value == expected and found.fredholm_index().certified


def test_the_symbol_is_the_layer():
    found = layer(2, 3, 5)
    z = np.exp(0.7j)
    diagonal = np.diag(np.repeat([complex(a(z)) for a in found.heads], 3))
    np.testing.assert_allclose(found(z), found.w_out @ diagonal @ found.w_in, atol=1e-14)


def test_what_is_not_proved_is_an_estimate_and_says_so():
    found = layer(2, 2, 8)
    proved, sampled = found.residual_index(), found.residual_index(max_arcs=3)
    assert proved.certified and not sampled.certified and "estimate" in sampled.method
    assert proved.value == sampled.value


def test_small_layers_next_to_the_identity_have_index_0():
    found = layer(2, 4, 16, scale=0.01).residual_index()
    assert found.certified and found.value == 0


def test_singular_projections_and_zeros_on_the_circle_are_refused():
    singular = np.array([[1.0, 2.0], [2.0, 4.0]])
    assert not proved_nonsingular(singular)
    refused = MultiHeadSymbol([[1.0, 0.5]], singular, np.eye(2)).fredholm_index()
    assert refused.value is None and "W_in" in refused.method
    on_circle = MultiHeadSymbol([[1.0, 0.5], [1.0, -1.0]], np.eye(2), np.eye(2)).fredholm_index()
    assert on_circle.value is None and "head 1" in on_circle.method


def test_complex_heads():
    w = np.array([0.2, 1.5j])
    found = MultiHeadSymbol([w], np.eye(2), np.eye(2)).residual_index()
    one = Symbol(w + np.array([1, 0])).fredholm_index().value
    assert found.certified and found.value == 2 * one


def test_bad_shapes():
    with pytest.raises(InputError, match="do not fit"):
        MultiHeadSymbol(np.ones((3, 4)), np.eye(4), np.eye(4))
    with pytest.raises(InputError, match="nan"):
        MultiHeadSymbol(np.ones((2, 4)), np.full((4, 4), np.nan), np.eye(4))
