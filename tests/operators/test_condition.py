"""log10 condition numbers against thousands of bits, dense SVD where that is valid, and closed forms."""

import math

import numpy as np
import pytest
import scipy.linalg
import scipy.signal
from hypothesis import given, settings

from tests.operators.section_truth import (
    dense,
    exact_log10_singular_values,
    kernel_from_zeros,
    kernels,
    regular_kernels,
)
from toeplitz_theory.operators import CausalToeplitz
from toeplitz_theory.operators.matrix.norm import circle_bound, norm_bracket
from toeplitz_theory.operators.product import CausalProduct
from toeplitz_theory.operators.rounding import split_scale


def _check(kernel, truth, rtol=1e-6):
    found = CausalToeplitz(kernel).log10_condition()
    # The oracle's logarithm rounds by a few ulp.
    slack = 1e-14 * (1 + abs(truth))
    assert found.lower - slack <= truth <= found.upper + slack
    assert abs(found.value - truth) <= rtol
    assert found.lower <= found.value <= found.upper
    return found


@settings(max_examples=25)
@given(regular_kernels(10))
def test_the_bracket_holds_the_truth_in_many_bits(kernel):
    logs = exact_log10_singular_values(kernel, 1200)
    assert _check(kernel, logs[0] - logs[-1]).certified


@pytest.mark.parametrize("radius", [1e-1, 1e-5, 1e-12, 1e-20, 1e-40])
@pytest.mark.parametrize("kind", ["real", "complex"])
def test_chosen_zeros_reach_1e300_and_beyond(radius, kind):
    """Two zeros at modulus `radius`: kappa about radius^-15 at n = 16, up to 1e600."""
    zeros = [radius, -radius * 0.9, 3.0] if kind == "real" else [radius * 1j, radius * np.exp(0.3j), 2.0]
    kernel = np.zeros(16, complex)
    kernel[:4] = kernel_from_zeros(zeros)
    kernel = kernel.real if kind == "real" else kernel
    logs = exact_log10_singular_values(kernel, 5000)
    found = _check(kernel, logs[0] - logs[-1])
    assert found.certified
    assert found.value > 14 * math.log10(1 / radius)


@pytest.mark.parametrize("n", [7, 64, 200])
@pytest.mark.parametrize("decay", [0.3, 0.8])
def test_dense_svd_agrees_where_it_is_valid(n, decay):
    rng = np.random.default_rng(n)
    kernel = rng.standard_normal(n) * decay ** np.arange(n) * 0.3
    kernel[0] = 1.0
    values = np.linalg.svd(dense(kernel), compute_uv=False)
    truth = math.log10(values[0] / values[-1])
    assert truth < 6  # the SVD's own error n u kappa stays below 1e-7
    assert _check(kernel, truth).certified


@pytest.mark.parametrize("n", [2, 50, 1100])
def test_first_difference_in_closed_form(n):
    """1 - z: the singular values are 2 cos(pi k / (2n + 1)), k = 1..n."""
    truth = math.log10(math.cos(math.pi / (2 * n + 1)) / math.cos(math.pi * n / (2 * n + 1)))
    kernel = np.zeros(n)
    kernel[:2] = 1.0, -1.0
    _check(kernel, truth)


@pytest.mark.parametrize(("ratio", "n"), [(10.0, 400), (1e5, 500), (3.0, 2048)])
def test_one_deep_zero_in_closed_form(ratio, n):
    """1 - r z: the inverse r^(i-j) is a rank-one matrix of norm r^(n-1) / (1 - r^-2) up to O(n r^(-2n))."""
    kernel = np.zeros(n)
    kernel[:2] = 1.0, -ratio
    smallest = (n - 1) * math.log10(ratio) - math.log10(1 - ratio**-2)
    found = CausalToeplitz(kernel).log10_condition()
    assert found.lower >= smallest + math.log10(ratio) - 1e-9 * smallest
    assert found.upper <= smallest + math.log10((ratio + 1) * 1.01)
    # sigma_max^2 is the largest eigenvalue of T T^T, tridiagonal with a corner of 1.
    diagonal = np.full(n, 1 + ratio**2)
    diagonal[0] = 1.0
    top = scipy.linalg.eigh_tridiagonal(
        diagonal, np.full(n - 1, -ratio), eigvals_only=True, select="i", select_range=(n - 1, n - 1)
    )[0]
    assert abs(found.value - smallest - math.log10(top) / 2) <= 1e-6


@given(kernels(1, 150))
def test_norm_brackets_hold_the_dense_norm(kernel):
    scaled, _ = split_scale(kernel)
    if not scaled.any():
        return
    norm = np.linalg.norm(dense(scaled), 2)
    slack = 20 * len(kernel) * 2.0**-53 * norm  # LAPACK's error in `norm`
    for tight in (True, False):
        bracket = norm_bracket(CausalProduct(scaled), tight)
        assert bracket.lower - slack <= norm <= bracket.upper + slack
        assert bracket.lower <= bracket.value <= bracket.upper
        if tight:
            assert bracket.upper <= bracket.lower * (1 + 1e-7)


@given(kernels(1, 60))
def test_circle_bound_is_above_every_sample_and_close(kernel):
    angles = np.exp(2j * np.pi * np.arange(4096) / 4096 + 0.1j)
    samples = np.abs(np.polynomial.polynomial.polyval(angles, kernel)).max()
    bound = circle_bound(np.asarray(kernel))
    assert samples * (1 - 1e-12) <= bound <= samples * 1.01 + 1e-300


@pytest.mark.parametrize("exponent", [-1050, -300, 300, 1000])
def test_scale_does_not_matter(exponent):
    kernel = np.array([3.0, -5.0, 2.0, 0.5, 1.0])
    plain = CausalToeplitz(kernel).log10_condition()
    moved = CausalToeplitz(np.ldexp(kernel, exponent)).log10_condition()
    assert abs(plain.value - moved.value) <= 1e-12


def test_singular_kernels_say_so():
    found = CausalToeplitz([0.0, 0.0, 1.0, 2.0]).log10_condition()
    assert found.value == found.lower == math.inf
    assert found.exact_nullity == 2 and "w[0] = 0" in found.note
    zero = CausalToeplitz(np.zeros(5)).log10_condition()
    assert zero.value == math.inf and zero.exact_nullity == 5 and "zero matrix" in zero.note


def test_multiples_of_the_identity_are_perfectly_conditioned():
    for kernel in ([3.0], [-2.0, 0.0, 0.0], [5e-324, 0.0], [1j, 0.0]):
        found = CausalToeplitz(kernel).log10_condition()
        assert (found.value, found.lower, found.upper, found.certified) == (0.0, 0.0, 0.0, True)


def test_a_large_section_keeps_a_proved_bracket():
    rng = np.random.default_rng(5)
    kernel = rng.standard_normal(1500) * np.sqrt(2 / 1500)
    loose = CausalToeplitz(kernel).log10_condition(tight=False)
    assert loose.value > 100 and not loose.certified and loose.upper - loose.lower < 0.3
    tight = CausalToeplitz(kernel).log10_condition()
    assert tight.certified and tight.method == "schur, deflation" and tight.upper - tight.lower < 1e-7
    assert abs(loose.value - tight.value) <= 1e-6
    assert loose.lower <= tight.upper and tight.lower <= loose.upper


CLUSTERED = {
    "elliptic low-pass": scipy.signal.lfilter(
        *scipy.signal.ellip(8, 0.1, 60, 0.3), np.r_[1.0, np.zeros(1023)]
    ),
    "two echoes": np.r_[1.0, np.zeros(699), 0.6, np.zeros(323)],
    "1 / (k + 1)": 1 / np.arange(1, 1025.0),
}


@pytest.mark.parametrize("name", CLUSTERED)
def test_clusters_at_the_top_of_the_spectrum_are_certified_too(name):
    """Gaps of 1e-5 and less between the largest values, which Lanczos does not resolve."""
    kernel = CLUSTERED[name]
    values = np.abs(np.linalg.eigvalsh(dense(kernel)[:, ::-1]))
    found = _check(kernel, math.log10(values.max() / values.min()), rtol=1e-6)
    assert found.certified and found.width <= 1e-6
