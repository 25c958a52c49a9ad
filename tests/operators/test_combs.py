"""Taps only every so many tokens: the answers of the short core against those of the whole kernel."""

import math
import pickle
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.operators.strategies import Known, chosen, kaiming
from toeplitz_theory.operators import Symbol
from toeplitz_theory.operators.kernels import Taps


@contextmanager
def as_a_whole() -> Iterator[None]:
    """Let nothing see that a kernel is a comb."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Taps, "comb", lambda self: None)
        yield


def comb(kernel: np.ndarray, lead: int, step: int, tail: int = 0) -> np.ndarray:
    """Return z^lead b(z^step), with zeros after it."""
    w = np.zeros(lead + step * (kernel.size - 1) + 1 + tail, kernel.dtype)
    w[lead : w.size - tail : step] = kernel
    return w


@st.composite
def combs(
    draw: st.DrawFn, leads: st.SearchStrategy[int], with_near: bool = True
) -> tuple[Known, np.ndarray, int, int]:
    """Draw a kernel with chosen zeros, the comb it is the core of, and that comb's lead and step."""
    known = draw(chosen(complex_taps=draw(st.booleans()), with_near=with_near))
    lead, step = draw(leads), draw(st.integers(2, 5))
    return known, comb(known.kernel, lead, step, draw(st.integers(0, 2))), lead, step


@given(combs(st.integers(0, 4)))
@settings(max_examples=60)
def test_index_and_least_modulus_are_those_of_the_whole(drawn):
    known, w, lead, step = drawn
    a = Symbol(w)
    proof, least = a.winding(), a.min_modulus()
    with as_a_whole():
        whole, lowest = Symbol(w).winding(), Symbol(w).min_modulus()
    if proof.certified:
        assert proof.count == lead + step * known.inside
    assert not whole.certified or (proof.certified and proof.count == whole.count)
    if proof.on_circle and whole.on_circle and known.on_circle:
        far = [min(abs(np.exp(1j * x) - np.exp(1j * y)) for y in proof.on_circle) for x in whole.on_circle]
        assert max(far) < 1e-6
    assert max(least.lower, lowest.lower) <= min(least.upper, lowest.upper)
    scale = 1e-12 * np.abs(w).sum()
    assert abs(a(np.exp(1j * least.angle))) <= least.upper + scale


@given(combs(st.integers(0, 3), with_near=False), st.sampled_from([None, 0.25, 0.01]))
@settings(max_examples=40)
def test_zeros_next_to_the_circle_are_counted_as_of_the_whole(drawn, width):
    known, w, _, step = drawn
    near = Symbol(w).zeros_near_circle(width)
    with as_a_whole():
        whole = Symbol(w).zeros_near_circle(width)
    assert near == whole or near is None or whole is None
    if near is not None:
        edge = 1.0 / max(2, w.size) if width is None else width
        sizes = [r ** (1.0 / step) for r in known.moduli if r]
        assert near == step * sum(1 - edge < r < 1 + edge for r in sizes)


@given(combs(st.just(0)))
@settings(max_examples=60)
def test_jensen_deficit_is_that_of_the_core(drawn):
    known, w, _, _ = drawn
    deficit = Symbol(w).jensen_deficit()
    with as_a_whole():
        whole = Symbol(w).jensen_deficit()
    if math.isinf(known.jensen):
        assert math.isinf(float(deficit)) and math.isinf(float(whole))
        return
    assert not deficit.certified or abs(float(deficit) - known.jensen) <= deficit.error + 1e-13
    assert abs(float(deficit) - float(whole)) <= deficit.error + whole.error + 1e-13


@given(combs(st.integers(0, 3), with_near=False))
@settings(max_examples=40)
def test_outer_factor_has_the_core_s_taps_in_its_places(drawn):
    known, w, _, step = drawn
    factor = Symbol(w).outer(full=True)
    kernel = factor.symbol.kernel
    assert kernel.size == w.size and kernel[0].real > 0
    assert not np.delete(kernel, np.s_[::step]).any()
    z = np.exp(1j * np.linspace(-3, 3, 50))
    gap = np.abs(np.abs(factor.symbol(z)) ** 2 - np.abs(Symbol(w)(z)) ** 2).max()
    assert gap <= factor.modulus_error * (np.abs(w) ** 2).sum() + 1e-13 * np.abs(w).sum() ** 2
    parts = Symbol(w).inner_outer()
    if parts.certified:
        assert len(parts.zeros) == w.nonzero()[0][0] + step * sum(0 < r < 1 for r in known.moduli)
        assert parts.residual <= 1e-12


@given(combs(st.integers(0, 3), with_near=False), st.sampled_from([math.inf, 10.0]), st.integers(0, 40))
@settings(max_examples=60)
def test_recovery_is_that_of_the_whole(drawn, snr, horizon):
    known, w, lead, step = drawn
    r = Symbol(w).recovery(snr, horizon)
    core = Symbol(known.kernel).recovery(snr, horizon)
    with as_a_whole():
        whole = Symbol(w).recovery(snr, horizon)
    assert r.curve.shape == whole.curve.shape == (horizon + 1,)
    np.testing.assert_allclose(r.curve, whole.curve, atol=r.error + whole.error)
    for delay in range(min(lead, horizon + 1)):
        assert r.share(delay) == 0.0
    for delay in range(lead, horizon + 1):
        assert r.share(delay) == pytest.approx(core.share((delay - lead) // step), abs=r.error + core.error)
    assert abs(r.limit - whole.limit) <= r.limit_error + whole.limit_error
    if r.mean_delay is not None and whole.mean_delay is not None:
        # With noise an estimate, from grids of other sizes.
        assert r.mean_delay == pytest.approx(whole.mean_delay, rel=1e-6 if snr == math.inf else 1e-3)


def test_a_dilated_zero_by_hand_and_through_a_pickle():
    r = Symbol(comb(np.array([1.0, -2.0]), 2, 3)).recovery()
    np.testing.assert_allclose(
        r.share(range(9)), [0, 0, 0.25, 0.25, 0.25, 0.8125, 0.8125, 0.8125, 0.953125], atol=1e-13
    )
    assert r.mean_delay == 5 and r.certified and "taps 3 apart" in r.method
    noisy = Symbol(comb(np.array([1.0, -2.0]), 2, 3)).recovery(4.0)
    assert pickle.loads(pickle.dumps(noisy)).mean_delay == noisy.mean_delay > 2
    assert Symbol(comb(np.array([1.0, -2.0]), 2, 3)).fredholm_index().value == -5


def test_what_rounding_took_from_the_first_tap_stays_with_the_core():
    # 1 + 2^-60 - z^4: a zero just outside the circle, which float64 taps would put on it.
    a = Symbol([2.0**-60, 0.0, 0.0, 0.0, -1.0]) + 1.0
    assert a.winding().count == 0 and a.winding().certified
    assert (a - 2.0**-59).winding().count == 4
    assert (a - 2.0**-60).winding().count is None


def test_a_shift_and_a_number_are_no_combs():
    for w in ([0.0, 0.0, 3.0], [2.0], [1.0, 0.0, 0.0, 1.0, 1.0]):
        assert Taps(np.array(w)).comb() is None


def test_a_long_dilated_kernel_is_proved_by_its_core():
    core = kaiming(64, 0)
    a = Symbol(comb(core, 0, 512))
    assert a.fredholm_index().value == 512 * Symbol(core).fredholm_index().value
    assert float(a.jensen_deficit()) == float(Symbol(core).jensen_deficit())
    assert a.min_modulus().lower == Symbol(core).min_modulus().lower
    r = a.recovery(horizon=100_000)
    of_core = Symbol(core).recovery(horizon=200).share(99_999 // 512)
    assert r.certified and r.share(99_999) == pytest.approx(of_core, abs=2 * r.error)
