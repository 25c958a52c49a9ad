"""Elimination from the inverse's corner: against bidiagonalisation, determinants, dense arithmetic."""

import math

import flint
import numpy as np
import pytest

from tests.operators.section_truth import dense, exact_log10_singular_values
from toeplitz_theory.errors import NumericalError
from toeplitz_theory.operators import CausalToeplitz
from toeplitz_theory.operators.matrix import singular
from toeplitz_theory.operators.matrix.bidiagonal import smallest_values
from toeplitz_theory.operators.matrix.elimination import smallest_by_deflation
from toeplitz_theory.operators.matrix.elimination.graded import graded_log2
from toeplitz_theory.operators.matrix.elimination.pivots import eliminate
from toeplitz_theory.operators.matrix.elimination.remainder import _schur_complement
from toeplitz_theory.operators.rounding import split_scale

BITS = {"kaiming": 400, "complex": 500, "even": 400, "odd length": 400, "decaying": 900, "growing": 900}


def kernel(kind, n=192):
    rng = np.random.default_rng(3)
    w = rng.standard_normal(n) * math.sqrt(2 / n)
    if kind == "complex":
        return w + 1j * rng.standard_normal(n) * math.sqrt(2 / n)
    if kind == "even":  # every other coefficient of 1 / a is 0: half of the pivots vanish
        return np.kron(w[: n // 2], [1, 0])
    if kind == "odd length":
        return np.kron(w[: n // 2], [1, 0])[:-1]
    w = w[:96] if kind == "growing" else w
    return w * {"decaying": 0.9, "growing": 1.07}.get(kind, 1.0) ** np.arange(w.size)


def unresolved(w):
    values = np.linalg.svd(dense(w), compute_uv=False)
    return int(np.count_nonzero(values < 1e6 * w.size * 2.0**-53 * values[0]))


@pytest.mark.parametrize("kind", BITS)
def test_agrees_with_bidiagonalisation_in_many_bits(kind):
    w = kernel(kind)
    count = unresolved(w)
    assert count >= 1
    norm = np.linalg.norm(dense(w), 2)
    log10, error = smallest_by_deflation(w, count, BITS[kind], math.log2(norm))
    expected, theirs = smallest_values(w, count, BITS[kind])
    assert (np.abs(log10 - expected) <= 0.44 * (error + theirs) + 1e-14 * np.abs(expected)).all()
    assert error.max() <= 1e-8


@pytest.mark.parametrize("seed", range(4))
def test_the_product_of_all_values_is_the_determinant(seed):
    """Which no step of the computation knows; 1e-9 of one value's logarithm would show."""
    n = 512
    w = np.random.default_rng([n, seed]).standard_normal(n)
    found = CausalToeplitz(w).singular_values(full=True)
    assert "elimination" in found.method and found.log10[-1] < -20
    assert abs(found.log10.sum() - n * math.log10(abs(w[0]))) <= 2e-9
    assert (np.diff(found.log10) <= 0).all()


@pytest.mark.parametrize("decades", [30, 90])
def test_zeros_deep_inside_in_clusters(decades):
    """Threefold and paired zeros: values thousands of orders apart, next to ones that lie together."""
    n = 40
    zeros = [10 ** (-decades / n)] * 3 + [0.5j, -0.5j, 0.5, -0.5]
    w = np.zeros(n)
    w[:8] = np.poly([1 / z for z in zeros]).real
    w /= np.abs(w).max()
    found = CausalToeplitz(w).singular_values(full=True)
    expected = exact_log10_singular_values(w, 2400 if decades > 60 else 1200)
    assert expected[-1] < -0.9 * decades
    assert (
        np.abs(found.log10 - expected) <= 0.5 * found.relative_error + 1e-13 * (1 + np.abs(expected))
    ).all()
    assert found.relative_error.max() <= 1e-6


@pytest.mark.parametrize("kind", ["kaiming", "complex", "even"])
def test_what_elimination_takes_off_and_leaves_is_the_inverse(kind):
    w = kernel(kind, 24)
    n = w.size
    found = eliminate(split_scale(w)[0], 200.0, 8, -50.0)
    with flint.ctx.workprec(600):
        inverse = flint.acb_mat([[complex(x) for x in row] for row in dense(split_scale(w)[0])]).inv()
    g = np.array([[complex(inverse[n - 1 - i, j]) for j in range(n)] for i in range(n)])
    assert len(found.cuts) > 2
    for cut in found.cuts:
        k = cut.k
        middle = (
            found.left[:k, :k] * (found.mantissas[:k] * 2.0 ** found.exponents[:k]) @ found.right[:k, :k].T
        )
        left = found.lower[:, :k] @ middle @ found.lower[:, :k].T
        matrix, error = _schur_complement(cut.column, found.lower[k:, k - 1] if k else None)
        scale = 2.0**cut.exponent if k < n else 0.0
        left[k:, k:] += matrix * scale
        # The perturbation 2**-64 of vanishing pivots included.
        size = np.abs(found.lower[:, :k]) @ np.abs(middle) @ np.abs(found.lower[:, :k]).T
        assert np.abs(left - g).max() <= 1e-14 * n * (size.max(initial=0.0) + np.abs(g).max())
        assert error <= 1e-12 * max(np.linalg.norm(matrix), 1.0) * n


def test_a_small_pivot_is_joined_with_its_neighbour():
    """1 / a ends in a coefficient 1e-30 beside others near 1: alone its column of L would be 1e30."""
    target = np.array([1.0, 0.5, -0.25, 1.0, 2.0, 1e-30])
    series = flint.arb_series(target.tolist(), 6)
    saved = flint.ctx.cap
    flint.ctx.cap = 6
    try:
        w = np.array([float((1 / series)[i].mid()) for i in range(6)])
    finally:
        flint.ctx.cap = saved
    found = eliminate(w, 40.0, 2, -20.0)
    assert np.abs(found.lower).max() < 32
    assert not np.allclose(np.abs(found.right), np.eye(6))


def test_values_far_apart_keep_their_relative_accuracy():
    rng = np.random.default_rng(0)
    x, y = (np.eye(6) + 0.3 * rng.standard_normal((6, 6)) for _ in range(2))
    log2 = np.array([3000.0, 2990.0, 100.0, 40.0, 0.0, -1500.0])
    values, error = graded_log2(x, log2, y)
    saved, flint.ctx.prec = flint.ctx.prec, 12_000
    try:
        powers = [flint.arb(2) ** int(e) for e in log2]
        left = flint.arb_mat([[flint.arb(x[i, j]) * powers[j] for j in range(6)] for i in range(6)])
        product = left * flint.arb_mat(y.tolist()).transpose()
        squares = flint.acb_mat(product * product.transpose()).eig(algorithm="approx")
        exact = sorted((float(abs(z).log().mid()) / math.log(2) / 2 for z in squares), reverse=True)
    finally:
        flint.ctx.prec = saved
    assert error < 1e-13
    assert np.abs(values - exact).max() <= 2 * error + 1e-12  # 3000 has 12 digits behind the point


def test_many_values_in_a_long_chain_of_moderate_steps():
    """No gap above 2**60 anywhere, 1500 bits from first to last: parted where it costs least, and says so."""
    log2 = -50.0 * np.arange(31)
    values, error = graded_log2(np.eye(31), log2, np.eye(31))
    assert np.abs(values - log2).max() <= 1e-9 and 2.0**-51 < error < 2.0**-40


def test_a_result_that_misses_the_determinant_is_not_given_out(monkeypatch):
    T = CausalToeplitz(kernel("kaiming"))
    expected = T.singular_values(full=True)
    right = singular.smallest_by_deflation

    def wrong(*args):
        log10, error = right(*args)
        return log10 + 1e-4, error

    monkeypatch.setattr(singular, "smallest_by_deflation", wrong)
    found = T.singular_values(full=True)
    assert "bidiagonalisation" in found.method
    assert np.abs(found.log10 - expected.log10).max() < 1e-7


def test_without_bits_enough_elimination_says_so():
    with pytest.raises(NumericalError):
        eliminate(np.array([1.0, np.nan]), 10.0, 1, 0.0)
