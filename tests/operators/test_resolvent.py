"""Resolvent norms and information rates against many bits, certified brackets and closed forms."""

import math

import numpy as np
import pytest
from hypothesis import given

from tests.operators.section_truth import dense, exact_log10_singular_values, kernels
from toeplitz_theory.errors import InputError, NumericalError
from toeplitz_theory.operators import CausalToeplitz


@pytest.mark.parametrize("scale", [0, -400, 900])
def test_resolvent_norms_in_many_bits(scale):
    rng = np.random.default_rng(0)
    kernel = np.round(rng.standard_normal(12), 6)
    points = np.round(kernel[0] + np.array([[0.01, 1j, 2.0], [1e-6j, -0.3 + 0.4j, 50.0]]), 8)
    found = CausalToeplitz(np.ldexp(kernel, scale)).resolvent_norm(np.ldexp(1.0, scale) * points, full=True)
    for place, lam in np.ndenumerate(points):
        moved = kernel.astype(complex)
        moved[0] -= lam
        truth = -exact_log10_singular_values(moved, 1200)[-1] - scale * math.log10(2)
        # n = 12 < 24 Lanczos steps: the pair is exact to rounding, the recurrence to n u (|c| |w| |c|) / |c|.
        assert abs(found.log10[place] - truth) <= 1e-11 * (1 + abs(truth))
        assert found.residual[place] <= 1e-10


@pytest.mark.parametrize("distance", [0.5, 1e-3, 1e-12, 1e-200])
def test_resolvent_of_the_shift_in_closed_form(distance):
    """(S - d)^-1 has entries -d^-(k+1): a rank-one matrix of norm d^-n / (1 - d^2) up to O(n d^2n)."""
    n = 150
    found = CausalToeplitz([0.0, 1.0], n).resolvent_norm([distance, distance * 1j], full=True)
    truth = -n * math.log10(distance) - math.log10(1 - distance**2)
    assert np.abs(found.log10 - truth).max() <= 1e-13 * n * truth


def test_resolvent_at_the_eigenvalue_and_shapes():
    T = CausalToeplitz([2.0, 1.0, 0.5])
    norms = T.resolvent_norm([[2.0, 3.0]])
    assert norms.shape == (1, 2) and norms[0, 0] == np.inf
    assert T.resolvent_norm(0.0).shape == ()
    assert T.resolvent_norm(np.zeros((0, 3))).shape == (0, 3)
    with pytest.raises(InputError, match="lam"):
        T.resolvent_norm([np.nan])


def test_resolvent_norms_lie_in_the_certified_brackets():
    rng = np.random.default_rng(3)
    kernel = rng.standard_normal(200) * 0.8 ** np.arange(200)
    points = np.array([0.3, 2j, -4.0])
    found = CausalToeplitz(kernel).resolvent_norm(points, full=True)
    for lam, log10, residual in zip(points, found.log10, found.residual, strict=True):
        moved = kernel.astype(complex)
        moved[0] -= lam
        T = CausalToeplitz(moved)
        top = T.singular_values(1, "largest")[0]
        condition = T.log10_condition()
        low, high = condition.lower - math.log10(top), condition.upper - math.log10(top)
        assert log10 <= high + 1e-9
        assert log10 >= low - max(residual, 1e-9)


@given(kernels(1, 40))
def test_information_rate_is_a_log_determinant(kernel):
    """(1/2n) log2 det(I + snr T T^H), by LU instead of singular values."""
    D = dense(kernel)
    for snr in (0.1, 30.0):
        logdet = np.linalg.slogdet(np.eye(len(kernel)) + snr * D @ D.conj().T).logabsdet
        rate = CausalToeplitz(kernel).information_rate(snr)
        assert abs(rate.value - logdet / (2 * len(kernel) * math.log(2))) <= rate.error + 1e-11


def test_information_rate_approaches_szegos_limit_from_below():
    kernel = 0.7 ** np.arange(24) * np.random.default_rng(1).standard_normal(24)
    rates = [CausalToeplitz(kernel, n).information_rate(20.0) for n in (16, 64, 256)]
    gaps = [rate.limit - rate.value for rate in rates]
    assert gaps[0] > gaps[1] > gaps[2] > 0
    assert gaps[2] <= gaps[1] / 3  # the gap is of order 1/n
    # For a = 1 + z/2, 1 + snr |a|^2 = u + 2 v cos(theta), whose mean logarithm Jensen gives in closed form.
    rate = CausalToeplitz([1.0, 0.5], 8).information_rate(4.0)
    u, v = 1 + 4.0 * 1.25, 4.0 * 0.5
    exact = math.log2((u + math.sqrt(u * u - 4 * v * v)) / 2) / 2
    assert abs(rate.limit - exact) <= 1e-12


@pytest.mark.parametrize("snr", [0.0, -1.0, np.inf, np.nan])
def test_bad_snr(snr):
    with pytest.raises(InputError, match="snr"):
        CausalToeplitz([1.0]).information_rate(snr)


def test_information_rate_refuses_overflow_and_takes_zero():
    with pytest.raises(NumericalError, match="overflows"):
        CausalToeplitz([1e200, 0.0]).information_rate(1.0)
    assert CausalToeplitz([0.0, 0.0]).information_rate(5.0).value == 0.0
