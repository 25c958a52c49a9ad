"""Energy delay: Robinson's theorem, and the excess as integrals of Poisson kernels of the zeros inside."""

import math

import numpy as np
import pytest
from hypothesis import assume, given

from tests.operators.section_truth import kernels
from tests.operators.strategies import chosen, kaiming
from toeplitz_theory.operators import Symbol

U = 2.0**-53


@given(kernels(1, 40))
def test_the_outer_kernel_is_never_later(kernel):
    assume(np.any(kernel))
    found = Symbol(kernel).energy_delay()
    # Double zeros on the circle leave the outer taps uncertain by sqrt(u); elsewhere the error is modest.
    slack = found.error * 100 if Symbol(kernel).outer(full=True).certified else 1e-7
    assert (found.outer >= found.kernel - slack).all()
    assert found.kernel[-1] == 1.0 and abs(found.outer[-1] - 1.0) <= found.error
    assert found.excess_delay >= -kernel.size * slack
    assert 0 <= found.distance <= math.sqrt(2) * (1 + found.error)


@given(chosen(with_near=False))
def test_excess_delay_is_what_the_zeros_inside_cost(known):
    """sum k |w_k|^2 is the mean of |a|^2 arg'(a): the inner factor adds the Poisson kernel of each zero.

    (1 - |z_j|^2) / |e^{i t} - z_j|^2, weighted by |a|^2 / ||w||^2. No outer factor is computed.
    """
    zeros = Symbol(known.kernel).zeros()
    assume(zeros.certified and not zeros.undecided().size)
    # Poisson kernel times the symbol's own zero at z_j is a trigonometric polynomial: the rule is exact.
    z = np.exp(2j * np.pi * (np.arange(64) + 0.31) / 64)
    power = np.abs(Symbol(known.kernel)(z)) ** 2
    cost = sum((power * (1 - abs(x) ** 2) / np.abs(z - x) ** 2).mean() for x in zeros.inside()) / power.mean()
    found = Symbol(known.kernel).energy_delay()
    # Clusters of zeros near a node lose digits in the oracle: 1e-9 is for those.
    assert found.excess_delay == pytest.approx(cost, abs=1e-9)


@pytest.mark.parametrize("n", [1, 3, 64, 512])
def test_curves_and_delays_by_direct_sums(n):
    kernel = kaiming(n, 1)
    found = Symbol(kernel).energy_delay()
    total = math.fsum(kernel**2)
    direct = [math.fsum(kernel[: m + 1] ** 2) / total for m in range(n)]
    np.testing.assert_allclose(found.kernel, direct, rtol=4 * n * U)
    assert found.mean_delay == pytest.approx(math.fsum(np.arange(n) * kernel**2) / total, rel=4 * n * U)


def test_distance_is_the_smallest_over_all_phases():
    kernel = kaiming(12, 3) + 1j * kaiming(12, 4)
    outer = Symbol(kernel).outer().kernel
    phases = np.exp(2j * np.pi * np.arange(20000) / 20000)
    tried = np.linalg.norm(kernel - phases[:, None] * outer, axis=1) / np.linalg.norm(kernel)
    # The square is quadratic about its minimum: the grid misses it by at most (pi / 20000)^2.
    assert Symbol(kernel).minimum_phase_distance() == pytest.approx(tried.min(), abs=1e-7)


def test_distance_by_parseval():
    """The same distance as the root mean square of inner - c on the circle, weighted by |a|^2."""
    kernel = kaiming(32, 9)
    a = Symbol(kernel)
    parts = a.inner_outer()
    z = np.exp(2j * np.pi * np.arange(4096) / 4096)
    power = np.abs(a(z)) ** 2
    inner = parts.inner(z)
    mean = (power * inner).sum() / power.sum()  # the best c has the phase of the mean
    expected = math.sqrt((power * np.abs(inner - mean / abs(mean)) ** 2).sum() / power.sum())
    assert a.minimum_phase_distance() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("kernel", [[2.0], [1.0, -0.5], [-3.0, 1.0, 0.5], [1j, 0.2]])
def test_minimum_phase_kernels_are_at_distance_nothing(kernel):
    found = Symbol(kernel).energy_delay()
    assert found.distance <= 4 * U and abs(found.excess_delay) <= 8 * U


def test_a_shift_costs_its_length():
    found = Symbol([0.0, 0.0, 3.0, 1.0]).energy_delay()
    assert found.excess_delay == pytest.approx(2.0, abs=1e-14)
    np.testing.assert_allclose(found.outer - found.kernel, [0.9, 1.0, 0.1, 0.0], atol=1e-14)
    assert "2 tokens later" in str(found)
