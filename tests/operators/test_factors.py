"""Inner and outer factors against reflected zeros and a root finder in many bits that shares nothing."""

import math

import mpmath
import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from tests.operators.section_truth import kernels
from tests.operators.strategies import chosen, kaiming
from toeplitz_theory.errors import InputError
from toeplitz_theory.operators import Symbol
from toeplitz_theory.operators.factors.cepstrum import by_cepstrum, polylogs
from toeplitz_theory.operators.factors.outer import by_reflection

U = 2.0**-53


def outer_in_many_bits(kernel, digits=50):
    """Taps of the outer factor, by mpmath's simultaneous root finder and multiplication of linear factors."""
    with mpmath.workdps(digits):
        taps = [mpmath.mpmathify(complex(x)) for x in np.trim_zeros(np.asarray(kernel))]
        roots = mpmath.polyroots(taps[::-1], maxsteps=400, extraprec=200) if len(taps) > 1 else []
        out = [abs(taps[-1])]
        for z in roots:
            # |z| (1 - z' / z) outside, 1 - conj(z) z' inside: the first tap becomes |lead| prod max(1, |z|).
            first, second = (abs(z), -abs(z) / z) if abs(z) > 1 else (1, -mpmath.conj(z))
            out = [first * x + second * y for x, y in zip([*out, 0], [0, *out], strict=True)]
        values = np.array([complex(x) for x in out])
    full = np.zeros(len(kernel), dtype=complex)
    full[: values.size] = values
    return full


def shift_matters(n):
    """Relative error allowed: rounding of n taps in a well-conditioned factorisation, with room."""
    return 64 * n * U


@pytest.mark.parametrize("is_complex", [False, True])
@pytest.mark.parametrize("n", [1, 2, 3, 20])
def test_outer_taps_in_many_bits(n, is_complex):
    for seed in range(3):
        kernel = kaiming(n, seed) + (1j * kaiming(n, seed + 100) if is_complex else 0)
        found = Symbol(kernel).outer(full=True)
        truth = outer_in_many_bits(kernel)
        # The condition of an outer factor is about |1 / a| in the mean; 1e3 covers these kernels.
        assert np.abs(found.symbol.kernel - truth).max() <= 1e3 * shift_matters(n) * np.abs(truth).max()
        assert found.certified and found.index == 0
        assert found.symbol.kernel[0].real > 0
        assert np.iscomplexobj(found.symbol.kernel) == is_complex


@pytest.mark.parametrize(("n", "seeds"), [(64, 6), (512, 2)])
@pytest.mark.parametrize("is_complex", [False, True])
def test_cepstrum_and_reflection_share_no_step_and_agree(n, seeds, is_complex):
    """The Mahler measure is a third witness: the first tap, with the proved error of the Jensen deficit."""
    for seed in range(seeds):
        kernel = kaiming(n, seed) + (1j * kaiming(n, seed + 100) if is_complex else 0)
        a = Symbol(kernel)
        scaled = a._taps.scaled()
        one, clustered = by_cepstrum(scaled)
        other = by_reflection(scaled, a.zeros().inside())
        assert not clustered
        assert np.abs(one - other).max() <= 1e3 * shift_matters(n) * np.abs(one).max()
        deficit = a.jensen_deficit()
        mahler = abs(kernel[0]) * math.exp(deficit.value)
        assert abs(a.outer().kernel[0] - mahler) <= (deficit.error + 4 * n * U) * mahler


@given(chosen())
def test_chosen_zeros_real(known):
    check_factorisation(known)


@given(chosen(complex_taps=True, with_near=False))
def test_chosen_zeros_complex(known):
    check_factorisation(known)


def check_factorisation(known):
    a = Symbol(known.kernel)
    parts = a.inner_outer()
    assert parts.factor.modulus_error <= 1e-13
    assert parts.outer.kernel[0].real > 0 and len(parts.outer) == len(a)
    if not a.zeros().certified:
        assert not parts.certified  # multiple zeros of complex kernels: nothing is claimed
        return
    if not parts.undecided:
        assert len(parts.zeros) == known.inside
        # Dividing by the Blaschke product on the circle commits some u a zero: see `by_reflection`.
        assert parts.residual <= 1e-13
    if parts.certified and known.on_circle == 0:
        assert parts.outer.winding().count == 0


@given(kernels(1, 24))
def test_modulus_error_is_a_bound(kernel):
    assume(np.any(kernel))
    found = Symbol(kernel).outer(full=True)
    z = np.exp(1j * np.random.default_rng(0).uniform(-np.pi, np.pi, 400))
    gap = np.abs(np.abs(Symbol(kernel)(z)) ** 2 - np.abs(found.symbol(z)) ** 2).max()
    mean = (np.abs(kernel) ** 2).sum()
    # Horner's rule here commits 8 n u sum|w| a value, and its square twice that times |a|.
    horner = 40 * kernel.size * U * np.abs(kernel).sum() ** 2
    assert gap <= found.modulus_error * mean + horner
    assert found.modulus_error <= 1e-13


@pytest.mark.parametrize("distance", [1e-3, 1e-6, 1e-9])
@pytest.mark.parametrize("pattern", ["simple", "conjugate", "double", "mirror", "triple"])
def test_zeros_close_to_the_circle(pattern, distance):
    from numpy.polynomial import polynomial

    z = 1.0 - distance
    chosen_zeros = {
        "simple": [z, -2.0],
        "conjugate": [z * np.exp(0.7j), z * np.exp(-0.7j), 0.5],
        "double": [z, z, -0.5, 3.0],
        "mirror": [z * 1j, -1j * z, 1j / z, -1j / z],
        "triple": [-z] * 3 + [2.0],
    }[pattern]
    kernel = polynomial.polyfromroots(chosen_zeros).real  # rounding moves multiple zeros: no truth to compare
    parts = Symbol(kernel).inner_outer()
    assert parts.factor.modulus_error <= 1e-14
    assert parts.residual <= 1e-11
    if pattern in ("simple", "conjugate"):
        assert parts.certified and len(parts.zeros) == sum(abs(x) < 1 for x in chosen_zeros)
        truth = outer_in_many_bits(kernel, 60)
        assert np.abs(parts.outer.kernel - truth).max() <= 1e-13 * np.abs(truth).max()


@given(chosen(with_near=False), chosen(with_near=False))
def test_outer_factors_multiply(one, two):
    product = np.convolve(one.kernel, two.kernel)
    assume(np.abs(product).max() < 2.0**50 and one.on_circle + two.on_circle == 0)
    f, g, h = (Symbol(k).outer(full=True) for k in (one.kernel, two.kernel, product))
    # Zeros in common make the taps of h as uncertain as sqrt(u): compare moduli there, taps elsewhere.
    both = np.convolve(f.symbol.kernel, g.symbol.kernel)
    z = np.exp(2j * np.pi * np.arange(64) / 64)
    assert (
        np.abs(np.abs(Symbol(both)(z)) ** 2 - np.abs(h.symbol(z)) ** 2).max()
        <= 1e-12 * np.abs(product).sum() ** 2
    )


@given(kernels(1, 20), st.integers(0, 3), st.integers(0, 3), st.sampled_from([2.0**-1000, 1.0, 2.0**900]))
def test_shifts_and_scales_pass_through(kernel, before, after, scale):
    assume(np.any(kernel))
    plain = Symbol(kernel).outer().kernel
    moved = Symbol(np.concatenate([np.zeros(before), kernel * scale, np.zeros(after)])).outer().kernel
    np.testing.assert_allclose(
        moved[: plain.size], plain * scale, rtol=1e-9, atol=1e-9 * np.abs(plain).max() * scale
    )
    assert not moved[plain.size :].any()


@pytest.mark.parametrize(
    "kernel", [[1.0, -1.0], [1.0] * 12, [1.0, -2.0, 1.0], [-3.0, 1.0], [2j, 1.0], [-0.5]]
)
def test_a_kernel_without_zeros_inside_is_its_own_outer_factor(kernel):
    found = Symbol(kernel).outer(full=True)
    turn = np.conj(kernel[0]) / abs(kernel[0])
    np.testing.assert_array_equal(found.symbol.kernel, np.array(kernel) * turn)
    assert found.certified and found.modulus_error <= 4 * U


def test_stopbands_below_rounding():
    """A Gaussian window: |a| falls to 1e-16 of its peak on half the circle, where float64 knows nothing."""
    kernel = np.exp(-(np.linspace(-6, 6, 96) ** 2))
    parts = Symbol(kernel).inner_outer()
    assert parts.factor.modulus_error <= 1e-11 and parts.residual <= 1e-12
    assert not parts.certified and parts.factor.index != 0
    assert "not proved" in str(parts)


def test_inner_factor_is_all_pass_and_its_series_converges_to_it():
    kernel = kaiming(24, 5)
    parts = Symbol(kernel).inner_outer()
    z = np.exp(1j * np.linspace(0, 6, 50))
    assert np.abs(np.abs(parts.inner(z)) - 1).max() <= 1e-12
    np.testing.assert_allclose(parts.inner(z) * parts.outer(z), Symbol(kernel)(z), atol=1e-12)
    inside = 0.5 * z
    taps = parts.inner_taps(80)
    # Taps of an all-pass filter are at most 1: the rest of the series at 1/2 is at most 2^-79.
    np.testing.assert_allclose(Symbol(taps)(inside), parts.inner(inside), atol=1e-13)
    assert (np.abs(taps) ** 2).sum() <= 1 + 1e-12


def test_long_kernels_need_no_zeros():
    found = Symbol(kaiming(4096, 0)).outer(full=True)
    assert found.certified and found.modulus_error <= 1e-12


def test_blaschke_zeros_carry_their_discs():
    zeros = Symbol([0.0, 1.0, -2.5, 1.0]).blaschke_zeros()
    assert zeros.tolist() == [0, 0.5] and zeros.certified and zeros.radii.shape == (2,)
    assert len(Symbol([1.0, -0.5]).blaschke_zeros()) == 0


@pytest.mark.parametrize("kernel", [[0.0], [0.0, 0.0], [0j]])
def test_nothing_to_factor(kernel):
    a = Symbol(kernel)
    for method in (a.outer, a.inner_outer, a.energy_delay, a.minimum_phase_distance, a.blaschke_zeros):
        with pytest.raises(InputError, match="identically 0"):
            method()


@given(st.floats(-30, -1e-9), st.floats(-np.pi, np.pi), st.integers(1, 10))
@example(-0.6637979037622586, np.pi, 5)  # the worst known, 52 u: terms of the series about 1 reach 10 there
def test_polylogarithms_against_mpmath(real, imag, order):
    log_x = complex(real, imag)
    with mpmath.workdps(40):
        truth = complex(mpmath.polylog(order, mpmath.exp(mpmath.mpmathify(log_x))))
    found = polylogs(np.array([log_x]), order)[order - 1, 0]
    assert abs(found - truth) <= 100 * U * max(abs(truth), abs(np.exp(log_x)))


def test_polylogarithms_on_the_circle():
    for turn in (1e-9, 0.1, -3.1):
        with mpmath.workdps(40):
            truth = [complex(mpmath.polylog(s, mpmath.expj(turn))) for s in range(1, 7)]
        np.testing.assert_allclose(polylogs(np.array([1j * turn]), 6)[:, 0], truth, rtol=1e-14)


def test_complex_zero_on_the_circle_next_to_its_mirror_image():
    """The ball solver gives up on the polynomial times its conjugate here; the integer solver does not."""
    found = Symbol([1 + 1.812j, 1.812 + 1j])
    assert found.winding().count is None and found.winding().on_circle
    assert found.outer(full=True).modulus_error <= 8 * U
