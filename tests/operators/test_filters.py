"""Filters as people design them: many, multiple and exact zeros on the circle, in bounded work."""

import math

import numpy as np
import pytest
import scipy.signal
from schur_cohn import count_inside

from toeplitz_theory.operators import Symbol
from toeplitz_theory.operators.circle import aberth, discs, winding


def binomial(m):
    return np.array([float(math.comb(m, k)) for k in range(m + 1)])


def symmetric(h):
    return (h + h[::-1]) / 2


def mne_band_pass():
    """1 to 40 Hz at 1000 Hz: linear phase but for rounding, so that its zeros are next to the circle."""
    h = np.pad(scipy.signal.firwin(331, 45, fs=1000), (3301 - 331) // 2)
    return h - scipy.signal.firwin(3301, 0.5, fs=1000)


ON_CIRCLE = {
    "moving average": (np.ones(4096), 4095),
    "differences": (np.convolve(np.ones(500), [1.0, -1.0]), 500),
    "binomial": (binomial(50), 1),
    "binomial of -z": (binomial(50) * (-1.0) ** np.arange(51), 1),
    "comb": (np.r_[1.0, np.zeros(2999), -1.0], 3000),
    "five moving averages": (np.polynomial.polynomial.polypow(np.ones(64), 5), 63),
    "even": (np.insert(np.ones(300), np.arange(1, 300), 0.0), 598),
    "cyclotomic and others": (np.convolve(np.convolve([1.0, 1, 1], [1.0, 0, 1]), [1.0, -2.5, 1]), 4),
    "turned": (np.ones(200) * np.array([1, 1j, -1, -1j])[np.arange(200) % 4], 199),
}


@pytest.mark.parametrize("name", ON_CIRCLE)
def test_zeros_on_the_circle_are_proved(name):
    kernel, zeros = ON_CIRCLE[name]
    proof = Symbol(kernel).winding()
    assert proof.count is None and "proved in exact arithmetic" in proof.method
    assert len(proof.on_circle) == zeros
    values = np.polynomial.polynomial.polyval(np.exp(1j * np.array(proof.on_circle)), kernel)
    assert np.abs(values).max() < 1e-6 * np.abs(kernel).sum()


@pytest.mark.parametrize("name", ["differences", "binomial", "five moving averages", "even"])
def test_a_kernel_with_all_zeros_on_the_circle_is_its_own_outer_factor(name):
    a = Symbol(ON_CIRCLE[name][0])
    zeros, factor, deficit = a.zeros(), a.outer(full=True), a.jensen_deficit()
    assert zeros.certified and zeros.settled and zeros.undecided().size == len(a) - 1
    assert factor.certified and factor.modulus_error == 0
    assert deficit.certified and deficit.value <= deficit.error


def test_a_band_pass_that_is_symmetric_but_for_rounding():
    """1645 zeros inside, by FLINT's isolation of all of them (30 s, done once)."""
    found = Symbol(mne_band_pass()).fredholm_index()
    assert found.certified and found.value == -1645


@pytest.mark.parametrize("mirror", [1.0, -1.0])
def test_mirror_images_cost_alike(mirror):
    h = binomial(9) * mirror ** np.arange(10)
    deficit = Symbol(h).jensen_deficit()
    assert deficit.certified and deficit.value <= deficit.error < 1e-12
    assert Symbol(h).winding().evaluations < 2000


DESIGNS = {
    "Kaiser": scipy.signal.firwin(61, 0.4, window=("kaiser", 6.0)),
    "remez": scipy.signal.remez(64, [0.0, 0.2, 0.3, 0.5], [1.0, 0.0]),
    "elliptic": scipy.signal.lfilter(*scipy.signal.ellip(6, 0.5, 60, 0.3), np.r_[1.0, np.zeros(99)]),
    "Butterworth": scipy.signal.lfilter(*scipy.signal.butter(5, 0.2), np.r_[1.0, np.zeros(99)]),
    "Savitzky-Golay": scipy.signal.savgol_coeffs(21, 3),
    "db2": np.array([1 + 3**0.5, 3 + 3**0.5, 3 - 3**0.5, 1 - 3**0.5]) / (4 * 2**0.5),
    "minimum phase": scipy.signal.minimum_phase(scipy.signal.firwin(81, 0.3)),
    "room": np.random.default_rng(0).standard_normal(300) * np.exp(-np.arange(300) / 40.0),
}


@pytest.mark.parametrize("name", DESIGNS)
def test_index_and_zeros_of_designs_against_schur_cohn(name):
    a = Symbol(DESIGNS[name])
    found, zeros = a.fredholm_index(), a.zeros()
    assert zeros.certified and zeros.settled
    if found.value is None:
        assert zeros.undecided().size and "proved" in found.winding.method
    else:
        inside = count_inside(np.trim_zeros(a.kernel)) + int(np.flatnonzero(a.kernel)[0])
        assert found.certified and -found.value == inside == zeros.inside().size


def test_work_is_bounded_and_the_answer_says_so(monkeypatch):
    monkeypatch.setattr(discs, "_WORK", 0.0)
    monkeypatch.setattr(aberth, "_WORK", 0)
    zeros = Symbol(scipy.signal.windows.gaussian(60, 3.0)).zeros()
    assert not zeros.certified and not zeros.settled and zeros.size == 59


def test_work_in_balls_is_bounded_and_the_answer_says_so(monkeypatch):
    kernel = [1.0, 0.0, 1.0 + 1e-15]
    assert Symbol(kernel).winding().certified
    monkeypatch.setattr(winding, "MAX_BALL_WORK", 0)
    proof = Symbol(kernel).winding()
    assert proof.count is None and "too much work for balls" in proof.method and len(proof.on_circle) == 2


@pytest.mark.parametrize("sign", [1, -1])
def test_a_zero_on_the_circle_where_the_last_tap_vanishes_modulo_the_prime(sign):
    x, y = 1773182544, sign * 1211408141  # x^2 + y^2 is the prime: a common factor loses its degree
    a = Symbol([x - 1j * y, x + 1j * y]) * Symbol([1.0, -3.0])
    assert a.winding().method == "not Fredholm: zeros on the circle, proved in exact arithmetic"
