"""Extreme singular values of long sections, against LAPACK, closed forms and many bits."""

import numpy as np
import pytest
from scipy.linalg import eigh_tridiagonal

from tests.operators.section_truth import dense, exact_log10_singular_values, kernel_from_zeros
from tests.operators.strategies import kaiming
from toeplitz_theory.errors import InputError, NumericalError
from toeplitz_theory.operators import CausalToeplitz, Symbol
from toeplitz_theory.operators.matrix.bidiagonal import smallest_values
from toeplitz_theory.operators.matrix.extreme import largest
from toeplitz_theory.operators.matrix.schur import count_above
from toeplitz_theory.operators.matrix.singular import extreme_values
from toeplitz_theory.operators.matrix.waves import clustered
from toeplitz_theory.operators.product import CausalProduct

U = 2.0**-53


def drawn(n, complex_=False):
    return kaiming(n, n) + (1j * kaiming(n, n + 1) if complex_ else 0)


@pytest.mark.parametrize("n", [1, 2, 5, 40, 300])
@pytest.mark.parametrize("complex_", [False, True])
@pytest.mark.parametrize("which", ["largest", "smallest"])
def test_against_lapack(n, complex_, which):
    w = drawn(n, complex_) * 0.9 ** np.arange(n)
    w[0] += 3.0  # well conditioned: LAPACK's n u sigma_max is small against every value
    count = min(n, 4)
    every = np.linalg.svd(dense(w), compute_uv=False)
    expected = every[:count] if which == "largest" else every[-count:]
    found = extreme_values(w, count, which)
    assert found.relative_error.max() < 1e-6
    allowed = expected * found.relative_error + 20 * n * U * every[0]
    assert (np.abs(found.values - expected) <= allowed).all()


@pytest.mark.parametrize("complex_", [False, True])
def test_steep_values_in_many_bits(complex_):
    zeros = [0.001j, 0.05, -0.2j, 0.6] if complex_ else [0.001, -0.05, 0.2, 0.6]
    w = np.zeros(18, complex)
    w[:5] = kernel_from_zeros(zeros)
    w = w if complex_ else w.real
    found = extreme_values(w, 3, "smallest")
    logs = exact_log10_singular_values(w, 2400)[-3:]
    assert logs[0] - logs[-1] > 25
    assert np.abs(found.log10 - logs).max() <= 1e-9
    assert "bits" in found.method and found.relative_error.max() < 1e-6


def test_long_sections_in_closed_form():
    """1 - z: singular values 2 cos(pi k / (2n + 1)), the smallest at k = n."""
    n = 5000
    w = np.zeros(n)
    w[:2] = 1.0, -1.0
    found = CausalToeplitz(w).singular_values(3, full=True)
    expected = 2 * np.cos(np.pi * np.arange(n - 2, n + 1) / (2 * n + 1))
    assert (np.abs(found.values / expected - 1) <= found.relative_error + 1e-12).all()
    assert found.relative_error.max() < 1e-8 and "none missed" in found.method


def test_values_of_interleaved_sections_come_as_often_as_there_are_sections():
    w = np.zeros(205)
    w[::3] = drawn(69) * 0.9 ** np.arange(69)
    w[0] += 2
    for which in ("largest", "smallest"):
        found = extreme_values(w, 7, which)
        every = np.linalg.svd(dense(w), compute_uv=False)
        assert np.abs(found.values - (every[:7] if which == "largest" else every[-7:])).max() < 1e-8


def test_leading_zero_taps_are_exact_zeros():
    w = np.zeros(60)
    w[3:] = drawn(57)
    w[3] = 4.0
    found = extreme_values(w, 5, "smallest")
    every = np.linalg.svd(dense(w), compute_uv=False)
    assert np.array_equal(found.values[-3:], [0, 0, 0]) and np.abs(found.values - every[-5:]).max() < 1e-8
    assert np.abs(extreme_values(w, 60, "largest").values - every).max() < 1e-8


def test_a_missed_value_is_noticed():
    """The count is what speaks: a value left out of the list makes it one more."""
    w = drawn(400)
    log10, error, how = largest(w, 3)
    assert "none missed, by Schur's count" in how and error.max() < 1e-6
    values = 10**log10
    between = 0.5 * (values[1] + values[2])
    count, low, high = count_above(w, between)
    assert count == 2 and values[2] < low < high < values[1]


@pytest.mark.parametrize("complex_", [False, True])
@pytest.mark.parametrize("n", [3, 60, 200])
def test_counts_above_any_threshold(n, complex_):
    w = drawn(n, complex_)
    every = np.linalg.svd(dense(w), compute_uv=False)
    for place in range(n - 1):
        s = 0.5 * (every[place] + every[place + 1])
        found = count_above(w, s)
        if found is None:
            continue
        count, low, high = found
        assert np.count_nonzero(every > high * (1 + 1e-12)) <= count
        assert count <= np.count_nonzero(every > low * (1 - 1e-12))
        if place < 3 and every[place] - every[place + 1] > 1e-3:
            assert count == place + 1


@pytest.mark.parametrize(
    ("n", "taps", "copies"),
    [
        (2100, [1.0, -1.0], 1),  # the maximum of |a| is at pi
        (2100, [1.0, np.exp(1j)], 1),
        (3000, [1.0, 0.0, 1.0], 2),  # two interleaved sections, and maxima at 0 and pi
        (3000, [1.0, 0.0, -1.0], 2),  # at both i and -i
        (16_384, [2.0**-60, 2.0**-60], 1),
    ],
)
def test_the_top_of_a_smooth_spectrum_in_closed_form(n, taps, copies):
    """1 + z: 2 cos(pi k / (2n + 1)), 1 / n^2 apart at the top, where Lanczos is lost."""
    w = np.zeros(n, np.asarray(taps).dtype)
    w[: len(taps)] = taps
    found = CausalToeplitz(w).singular_values(4, which="largest", full=True)
    k = np.repeat(np.arange(1, 5), copies)[:4]
    expected = 2 * abs(taps[0]) * np.cos(np.pi * k / (2 * (n // copies) + 1))
    assert (np.abs(found.values / expected - 1) <= found.relative_error).all()
    assert np.abs(found.values / expected - 1).max() < 1e-14
    assert found.relative_error.max() < 1e-10 and "none missed, by Schur's count" in found.method


@pytest.mark.parametrize("which", ["largest", "smallest"])
def test_both_ends_of_a_bidiagonal_section(which):
    """1 + z / 2 with values crowded at 3/2 and 1/2, against LAPACK's bisection of the tridiagonal T^T T."""
    n = 3000
    diagonal = np.full(n, 1.25)
    diagonal[-1] = 1.0
    place = (n - 5, n - 1) if which == "largest" else (0, 4)
    squares = eigh_tridiagonal(diagonal, np.full(n - 1, 0.5), True, "i", place, lapack_driver="stebz")
    found = CausalToeplitz([1.0, 0.5], n).singular_values(5, which=which, full=True)
    expected = np.sqrt(squares[::-1])
    assert (np.abs(found.values / expected - 1) <= found.relative_error + 1e-14).all()
    assert found.relative_error.max() < 1e-10 and "waves in a box" in found.method


@pytest.mark.parametrize("seed", range(3))
def test_smooth_symbols_of_any_shape_against_lapack(seed):
    rng = np.random.default_rng(seed)
    w = np.zeros(600, complex if seed else float)
    w[:5] = rng.standard_normal(5) + (1j * rng.standard_normal(5) if seed else 0)
    log10, error, how = largest(w, 4)
    every = np.linalg.svd(dense(w), compute_uv=False)
    assert "waves in a box" in how and error.max() < 1e-10
    assert (np.abs(10**log10 / every[:4] - 1) <= error + 600 * U).all()


def test_rough_kernels_have_no_waves_at_the_top():
    w = np.zeros(2100)
    w[:1200] = drawn(1200)
    assert clustered(CausalProduct(drawn(2100)), 3, 240) is None
    assert clustered(CausalProduct(w), 3, 240) is None


def test_too_many_are_refused():
    with pytest.raises(InputError, match="dense matrix"):
        CausalToeplitz(np.ones(20_000)).singular_values()


@pytest.mark.parametrize("n", [40, 70])
def test_more_values_than_lanczos_has_directions(n):
    """The inverse has a few huge singular values; beside them all others are rounding, and the basis ends."""
    taps = np.random.default_rng(0).standard_normal(n) * 0.9 ** np.arange(n)
    few = extreme_values(taps, 9, "smallest")
    every = CausalToeplitz(taps).singular_values(full=True)  # by elimination
    assert np.isfinite(few.relative_error).all()
    np.testing.assert_allclose(few.log10, every.log10[-9:], rtol=0, atol=1e-5)


def test_values_that_do_not_separate_in_many_bits_come_from_lapack():
    """Two zeros inside the disc make two tiny values; the third lies among all others, next to min|a|."""
    w = np.zeros(2200)
    w[:4] = kernel_from_zeros([0.2, 0.5, 3.0]).real
    found = CausalToeplitz(w).singular_values(3, full=True)
    assert "elimination" in found.method and found.relative_error.max() < 1e-6
    # ||T^-1|| of rank two to leading order: the product of the two is that of the zeros, to the power n.
    assert abs(found.log10[1:].sum() / 2200 - np.log10(0.2 * 0.5)) < 1e-3
    least = Symbol(w[:4]).min_modulus().value
    assert least < found.values[0] < least * (1 + 1e-4)


def test_work_in_many_bits_ends_with_what_is_known():
    w = np.zeros(3000)
    w[:4] = kernel_from_zeros([-0.9, 0.95, 3.0]).real
    for most, said in ((1e6, "too much work"), (1e9, "did not separate")):
        with pytest.raises(NumericalError, match=said):
            smallest_values(w, 3, 700.0, most)
