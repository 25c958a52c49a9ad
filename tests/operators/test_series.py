"""1/a(z) against exact rational arithmetic and closed forms, inside and beyond float64's range."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.operators.section_truth import regular_kernels
from toeplitz_theory.errors import InputError, NumericalError
from toeplitz_theory.operators import CausalToeplitz
from toeplitz_theory.operators.matrix.inverse import inverse_series


def _exact(series, k, part):
    """Midpoint and radius of coefficient k as rationals."""
    value = series.mantissas[k].real if part == "real" else series.mantissas[k].imag
    two = Fraction(2)
    middle = Fraction(float(value)) * two ** int(series.exponents[k])
    return middle, Fraction(float(series.radii[k])) * two ** int(series.radius_exponents[k])


@given(regular_kernels(20))
def test_every_coefficient_lies_in_its_ball(kernel):
    """Against the recurrence in exact complex rationals."""
    pairs = [(Fraction(float(np.real(w))), Fraction(float(np.imag(w)))) for w in kernel]
    size = pairs[0][0] ** 2 + pairs[0][1] ** 2
    inverse = (pairs[0][0] / size, -pairs[0][1] / size)
    exact = [inverse]
    for k in range(1, len(pairs)):
        total = [Fraction(0), Fraction(0)]
        for j in range(1, k + 1):
            (a, b), (c, d) = pairs[j], exact[k - j]
            total[0] += a * c - b * d
            total[1] += a * d + b * c
        exact.append(
            (inverse[1] * total[1] - inverse[0] * total[0], -inverse[0] * total[1] - inverse[1] * total[0])
        )
    series = inverse_series(kernel)
    for k, (re, im) in enumerate(exact):
        middle, radius = _exact(series, k, "real")
        assert abs(middle - re) <= radius
        middle, radius = _exact(series, k, "imag")
        assert abs(middle - im) <= radius


@pytest.mark.parametrize("ratio", [10.0, -1e-3, 1e6])
def test_geometric_series_far_beyond_float64(ratio):
    """1 / (1 - r z) has coefficients r^k: 1e18000 at the end."""
    logs = inverse_series([1.0, -ratio], n=3001).log10_abs()
    expected = np.arange(3001) * np.log10(abs(ratio))
    # 1e-3 is not exact in binary: its rounding grows k-fold; each side rounds a number of up to 18000.
    assert np.abs(logs - expected).max() <= 3001 * 2.0**-52 + 8 * 2.0**-53 * np.abs(expected).max()


def test_an_inverse_that_fits_is_rounded_and_one_that_does_not_is_refused():
    rng = np.random.default_rng(0)
    kernel = rng.standard_normal(40)
    kernel[0] = 3.0
    inverse = CausalToeplitz(kernel).inverse()
    product = np.convolve(kernel, inverse.kernel)[:40]
    scale = np.abs(kernel).sum() * np.abs(inverse.kernel).sum()
    assert np.abs(product - np.eye(40)[0]).max() <= 50 * 2.0**-53 * scale
    with pytest.raises(NumericalError, match="inverse_series"):
        CausalToeplitz([1.0, -10.0], 400).inverse()


@given(st.integers(-1000, 900))
def test_the_scale_of_the_kernel_moves_only_exponents(power):
    plain, moved = inverse_series([3.0, 1.0, -7.0], 8), inverse_series(np.ldexp([3.0, 1.0, -7.0], power), 8)
    assert np.array_equal(plain.mantissas, moved.mantissas)
    assert np.array_equal(plain.exponents - power, moved.exponents)


def test_common_scaling_bounds_what_it_drops():
    taps, exponent, error = inverse_series([1.0, -(2.0**40)], n=100).common()
    assert exponent == 40 * 99 + 1
    assert taps[-1] == 0.5
    assert taps[0] == 0.0  # 2**-3961 of the largest
    assert 0 < error <= 4 * 2.0**-53


@pytest.mark.parametrize(("kernel", "n"), [([0.0, 1.0], None), ([1.0], 0)])
def test_what_has_no_inverse_is_refused(kernel, n):
    with pytest.raises(InputError):
        inverse_series(kernel, n)
