"""Kernels over the whole range of float64, subnormals included, against Sturm's chain over the rationals."""

from fractions import Fraction

import numpy as np
import pytest

from tests.operators import oracle
from toeplitz_theory.operators import Symbol
from toeplitz_theory.operators.factors.outer import by_reflection
from toeplitz_theory.operators.kernels import Taps, as_kernel
from toeplitz_theory.operators.symbolic import index_of


def wide_kernel(rng):
    """1 to 12 taps, exponents from -1070 to 1020, some 0 and some subnormal, real or complex."""
    n = int(rng.integers(1, 13))

    def part():
        values = np.ldexp(rng.choice([-1, 1], n) * (1 + rng.random(n)), rng.integers(-1070, 1021, n))
        values[rng.random(n) < 0.15] = 0.0
        return np.where(rng.random(n) < 0.1, rng.integers(-9, 10, n) * 5e-324, values)

    return part() + 1j * part() if rng.random() < 0.4 else part()


def exact_index(kernel, add=0):
    pairs = [(Fraction(complex(w).real), Fraction(complex(w).imag)) for w in kernel.tolist()]
    pairs[0] = pairs[0][0] + add, pairs[0][1]
    return index_of(pairs).value


@pytest.mark.parametrize("seed", range(20))
def test_index_zeros_and_factors(seed):
    rng = np.random.default_rng(seed)
    for _ in range(15):
        kernel = wide_kernel(rng)
        if not kernel.any():
            continue
        a, truth = Symbol(kernel), exact_index(kernel)
        found, zeros = a.fredholm_index(), a.zeros()
        assert not found.certified or found.value == truth, kernel.tolist()
        assert truth is None or zeros.inside().size <= -truth
        assert not zeros.settled or zeros.inside().size == -(truth or -zeros.inside().size)
        smallest, deficit = a.min_modulus(), a.jensen_deficit()
        assert 0 <= smallest.lower <= smallest.upper
        assert deficit.value >= 0 and (not truth or not deficit.certified or deficit.value > -deficit.error)
        a.inner_outer(), a.energy_delay(), a.index_margins(), a.zeros_near_circle()
        if np.abs(kernel[0].real) < 1e308:
            shifted = a.residual().fredholm_index()
            assert not shifted.certified or shifted.value == exact_index(kernel, 1), kernel.tolist()


@pytest.mark.parametrize(
    "kernel", [[1e-310, 1e308, 1.0, 0.0], [2.64e-90, 8.6e298], [1e-300, 1e300, 1.0], [5e-324, 1e300j, 1e-300]]
)
def test_zeros_beyond_the_range_keep_their_sides(kernel):
    a = Symbol(kernel)
    assert a.fredholm_index().value == exact_index(a.kernel) == -a.zeros().inside().size
    assert a.inner_outer().residual < 1e-12


def test_points_are_scaled_like_subnormal_kernels():
    """The kernel 2^-1070 z winds once round points within 2^-1070."""
    lam = np.ldexp([0.5, -0.5, 2.0, 0.0, 4.0, -3.0, 0.25, 8.0, -0.25, 16.0], -1070)
    found = Symbol([0.0, 2.0**-1070]).spectrum_index(lam)
    assert found.count.filled(-9).tolist() == [1, 1, 0, 1, 0, 0, 1, 0, 1, 0]


def test_the_margin_of_points_far_away_is_a_lower_bound():
    lam = np.array([8.7e273, -1e160j, 1e308 + 1e308j, 1e149, 1e3, 1e4, 1e5, 1e6, 1e7])
    found = Symbol([-3.0, -1.0, 2.0, -3.0, 2.0]).spectrum_index(lam)
    assert (found.count == 0).all() and not found.count.mask.any()
    assert (found.margin > 0).all() and (
        found.margin / 2 <= np.hypot(lam.real / 2, lam.imag / 2) + 11 / 2
    ).all()


@pytest.mark.parametrize("number", [0, 1])
def test_every_certified_quantity_of_wide_range_kernels(number):
    """`python -m tests.operators.oracle` runs as many as one wants."""
    outcome = oracle.block(11, number, size=15)
    assert not outcome["faults"]
    certified = {quantity for quantity, (_, proved, *_) in outcome["tally"].items() if proved}
    assert certified >= {"index", "discs", "min modulus", "Jensen deficit", "recovery shares", "outer factor"}


def test_the_modulus_error_counts_what_subnormal_taps_lose():
    factor = Symbol([2.0**-1050 * (1 + 1j)]).outer(full=True)  # sqrt(2) in 24 bits
    stored = float(np.ldexp(factor.symbol.kernel[0].real, 1050)) ** 2
    assert 1e-9 < abs(stored / 2 - 1) <= factor.modulus_error < 1e-6


def test_the_phase_of_zeros_below_the_normal_numbers_is_known():
    # z - w with |w| = 4e-310: dividing w by its modulus overflows. Reflected, 1 - conj(w) z is 1 to rounding.
    w = 2.0**-1028 * (1 + 1j)
    with np.errstate(all="raise", under="ignore"):
        outer = by_reflection(Taps(as_kernel([-w, 1.0])).scaled(), np.array([w]))
    np.testing.assert_allclose(outer, [np.linalg.norm(outer), 0.0], atol=1e-15)
