"""Singular values and numerical nullity against thousands of bits, and where construction fixes them."""

import math
import pickle
from pathlib import Path

import numpy as np
import pytest
import scipy.signal
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.operators.section_truth import (
    dense,
    exact_log10_singular_values,
    kernel_from_zeros,
    kernels,
    regular_kernels,
)
from toeplitz_theory.checkpoints import load
from toeplitz_theory.errors import InputError, NumericalError
from toeplitz_theory.operators import CausalToeplitz
from toeplitz_theory.operators.matrix.singular import proved_values


@settings(max_examples=25)
@given(regular_kernels(9))
def test_every_value_lies_within_its_error_of_many_bits(kernel):
    logs = exact_log10_singular_values(kernel, 1200)
    found = CausalToeplitz(kernel).singular_values(full=True)
    # log10(1 + e) <= e / ln 10 <= 0.44 e, and 1e-14 for the logarithms themselves.
    assert (np.abs(found.log10 - logs) <= 0.5 * found.relative_error + 1e-14 * (1 + np.abs(logs))).all()


@pytest.mark.parametrize("kind", ["real", "complex"])
def test_all_values_of_a_section_that_dense_svd_cannot_resolve(kind):
    """Zeros at .001 to .5: singular values from 1 to 1e-50 and below, most of them under float64's noise."""
    zeros = [0.001, -0.05, 0.2, 0.5, 2.0] if kind == "real" else [0.001j, 0.05, -0.2j, 0.3 + 0.4j, 2.0]
    kernel = np.zeros(18, complex)
    kernel[:6] = kernel_from_zeros(zeros)
    kernel = kernel.real if kind == "real" else kernel
    logs = exact_log10_singular_values(kernel, 2400)
    found = CausalToeplitz(kernel).singular_values(full=True)
    assert logs[-1] - logs[0] < -40
    assert (np.abs(found.log10 - logs) <= 0.5 * found.relative_error + 1e-14 * (1 + np.abs(logs))).all()
    assert found.relative_error.max() <= 1e-6
    assert "elimination from the corner of the inverse" in found.method


def test_without_more_bits_what_float64_cannot_tell_says_so():
    T = CausalToeplitz([1.0, -10.0], n=60)
    quick, full = T.singular_values(full=True, more_bits=False), T.singular_values(full=True)
    assert np.isinf(quick.relative_error[-1]) and full.relative_error[-1] < 1e-6
    assert "inverse" not in quick.method and full.log10[-1] < -58
    assert np.abs(quick.values[:-1] - full.values[:-1]).max() <= 1e-12
    with pytest.raises(NumericalError, match="not known to 1 %"):
        T.singular_values(more_bits=False)


def test_a_value_that_is_met_twice_is_found_twice():
    """a(z) = f(z^2): the section is two copies of a smaller one, interleaved."""
    kernel, half = np.zeros(128), np.zeros(64)
    kernel[[0, 2]] = half[[0, 1]] = 1.0, -2.0
    both = CausalToeplitz(kernel).singular_values(6, full=True).log10
    once = CausalToeplitz(half).singular_values(3, full=True).log10
    assert np.abs(both - np.repeat(once, 2)).max() <= 1e-9


@given(kernels(1, 60))
def test_large_values_agree_with_dense_svd(kernel):
    expected = np.linalg.svd(dense(kernel), compute_uv=False)
    got = CausalToeplitz(kernel).singular_values(full=True)
    # Both are backward stable: n u sigma_max each.
    assert np.abs(got.values - expected).max() <= 4 * len(kernel) * 2.0**-53 * max(expected[0], 1e-300)


@given(kernels(1, 40))
def test_proved_values_hold_those_of_svd(kernel):
    if not kernel.any():
        return
    zeros = int(np.flatnonzero(kernel)[0])
    values, error = proved_values(kernel[zeros:])
    expected = np.linalg.svd(dense(kernel[zeros:]), compute_uv=False)
    assert np.abs(values - expected).max() <= error + 4 * len(kernel) * 2.0**-53 * expected[0]
    assert error <= 1e-11 * expected[0]


def test_which_and_how_many():
    T = CausalToeplitz([2.0, 1.0, 0.5])
    every = T.singular_values()
    assert (np.diff(every) <= 0).all()
    assert np.array_equal(T.singular_values(2), every[1:])
    assert np.array_equal(T.singular_values(1, which="largest"), every[:1])
    for bad in (0, 4, 1.5):
        with pytest.raises(InputError, match="k is"):
            T.singular_values(bad)
    with pytest.raises(InputError, match="which is"):
        T.singular_values(1, which="middle")


def test_leading_zero_taps_are_exact_zero_values():
    kernel = np.zeros(40)
    kernel[3:6] = 1.0, -3.0, 0.1
    found = CausalToeplitz(kernel).singular_values(full=True)
    assert (found.values[-3:] == 0).all() and (found.relative_error[-3:] == 0).all()
    rest = CausalToeplitz(kernel[3:]).singular_values(full=True)
    assert np.abs(found.log10[:-3] - rest.log10).max() <= 1e-9


@given(st.integers(1, 6), st.integers(40, 90), st.sampled_from([1e-6, 1e-4]))
def test_nullity_is_the_number_of_deep_zeros(inside, n, rtol):
    """Zeros at modulus 1/4 make a value near 4^-n each; the others stay above min |a| on the circle."""
    zeros = 0.25 * np.exp(2j * np.pi * np.arange(inside) / inside)
    kernel = np.zeros(n)
    kernel[: inside + 1] = kernel_from_zeros(zeros).real
    T = CausalToeplitz(kernel)
    copies = n // inside  # a(z) = 1 - (4 z)^inside: interleaved sections of 1 - 4^inside z
    expected = inside if 4.0 ** -(inside * (copies - 1)) < rtol / 10 else None
    nullity = T.nullity(rtol)
    if expected is not None:
        assert nullity == nullity.lower == nullity.upper == expected
    proof = T.nullity(rtol, certify=True)
    assert proof.certified and proof == nullity


def test_nullity_beyond_the_noise_of_float64():
    rng = np.random.default_rng(0)
    kernel = rng.standard_normal(20)
    kernel[0] = 1e-9
    logs = exact_log10_singular_values(kernel, 3000)
    for rtol in (1e-3, 1e-15, 1e-30, 1e-60):
        assert CausalToeplitz(kernel).nullity(rtol) == np.count_nonzero(logs <= logs[0] + np.log10(rtol))


MODELS = Path(__file__).parents[2] / "models"
LONG = {
    "random": np.random.default_rng(1).standard_normal(600),
    "complex": np.exp(-0.01 * np.arange(600)) * np.exp(1j * np.random.default_rng(2).uniform(0, 6, 600)),
    "zero taps": np.r_[0.0, 0.0, np.random.default_rng(3).standard_normal(598) / np.arange(1, 599)],
    "cosine": np.exp(-np.arange(600) / 90) * np.cos(0.3 * np.arange(600)),
    "ones": np.ones(600),
    "binomial": np.pad(np.array([math.comb(9, k) for k in range(10)], float), (0, 590)),
    "filter": np.pad(scipy.signal.firwin(41, 0.3), (0, 559)),
    "rapid": np.exp(-np.arange(600) / 4.0) * np.random.default_rng(4).standard_normal(600),
}


@pytest.mark.parametrize("name", LONG)
def test_counted_nullities_are_those_of_a_dense_decomposition(name):
    T = CausalToeplitz(LONG[name])
    values = np.linalg.svd(T.to_dense(), compute_uv=False)
    for rtol in (1e-1, 1e-3, 1e-5, 1e-6, 1e-7):
        limits = rtol * values[0] * (1 + np.array([-1e-4, 0.0, 1e-4]))
        few, expected, many = ((values <= limit).sum() for limit in limits)
        for certify in (False, True)[: 1 + (rtol == 1e-3)]:
            nullity = T.nullity(rtol, certify)
            assert "count" in nullity.method or nullity.certified
            if few == many:
                assert nullity == nullity.lower == nullity.upper == expected
            assert nullity.lower <= nullity <= nullity.upper
            assert not nullity.certified or nullity.lower <= expected <= nullity.upper


def test_nullities_of_trained_kernels_continued_with_zeros_are_counted():
    steps = sorted(MODELS.glob("tmm-autoencoder/kernels/step-*.safetensors"))
    for layer in load(steps[-1]).layers[:8]:
        T = CausalToeplitz(layer.kernel, n=560)
        values = np.linalg.svd(T.to_dense(), compute_uv=False)
        assert T.nullity() == (values <= 1e-6 * values[0]).sum()


def test_a_count_at_the_threshold_gives_a_bracket():
    """1 - z: singular values 2 cos(k pi / (2n + 1))."""
    n = 600
    T = CausalToeplitz([1.0, -1.0], n)
    rtol = math.cos(n * math.pi / (2 * n + 1)) / math.cos(math.pi / (2 * n + 1))
    for certify in (False, True):
        nullity = T.nullity(rtol, certify)
        assert (nullity.lower, nullity.upper, nullity.certified) == (0, 1, False)
    assert T.nullity(rtol * 1.001, certify=True) == 1 and T.nullity(rtol * 1.001, certify=True).certified


def test_a_value_at_the_threshold_gives_a_bracket_not_a_guess():
    """The identity and a tap that puts sigma_min / sigma_max at the threshold to 15 digits."""
    T = CausalToeplitz([1.0, -2.0], 12)
    values = T.singular_values()
    nullity = T.nullity(values[-1] / values[0])
    assert (nullity.lower, nullity.upper) == (0, 1)
    assert not T.nullity(values[-1] / values[0], certify=True).certified
    assert "between 0 and 1" in repr(nullity)


def test_exact_nullity_and_odd_sizes():
    assert CausalToeplitz(np.zeros(7)).nullity() == 7
    assert CausalToeplitz([0.0, 0.0, 1.0], 10).nullity(0) == 2
    assert CausalToeplitz([5e-324]).nullity() == 0
    assert CausalToeplitz(1e-7 * np.eye(6)[0]).nullity() == 0  # an absolute threshold would say 6
    back = pickle.loads(pickle.dumps(CausalToeplitz([0.0, 1.0]).nullity()))
    assert (back, back.rtol, back.n) == (1, 1e-6, 2)
    with pytest.raises(InputError, match="rtol"):
        CausalToeplitz([1.0]).nullity(1.5)


def test_values_that_do_not_separate_are_refused_not_guessed(monkeypatch):
    from toeplitz_theory.operators.matrix import singular

    def give_up(*_):
        raise NumericalError("did not separate")

    monkeypatch.setattr(singular, "smallest_values", give_up)
    monkeypatch.setattr(singular, "smallest_by_deflation", give_up)
    T = CausalToeplitz([1.0, -4.0], 64)
    with pytest.raises(NumericalError, match="full=True"):
        T.singular_values()
    found = T.singular_values(full=True)
    assert np.isinf(found.relative_error[-1]) and "did not separate" in found.method
    nullity = T.nullity(1e-20)
    assert (nullity.lower, nullity.upper) == (0, 1)
