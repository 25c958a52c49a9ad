"""Modulus, phase and group delay along the circle, against sums over chosen zeros and scipy."""

import numpy as np
import pytest
import scipy.signal
from hypothesis import given
from hypothesis import strategies as st
from strategies import chosen

from toeplitz_theory.errors import InputError
from toeplitz_theory.operators import Symbol


def whole_turns(a, r):
    """Turns over the whole circle: a real kernel's other half mirrors the one that is there."""
    return r.turns * (1 if np.iscomplexobj(a.kernel) else 2)


@given(chosen() | chosen(complex_taps=True))
def test_the_phase_turns_once_for_each_zero_inside(known):
    a = Symbol(known.kernel)
    r = a.response()
    assert not (r.certified and known.on_circle)
    if r.certified:
        assert whole_turns(a, r) == pytest.approx(known.inside, abs=1e-6)
    np.testing.assert_allclose(
        10 ** (r.decibels / 20),
        np.abs(a(np.exp(1j * r.angle))),
        rtol=1e-6,
        atol=1e-9 * np.abs(a.kernel).sum(),
    )
    assert (np.diff(r.angle) > 0).all() and r.angle[0] == 0


@pytest.mark.parametrize("zeros", [[0.5], [2.0, -0.3, 0.999], [0.5j, -0.5j, 1 + 1e-6], [0.9j, -1.5 + 0.2j]])
def test_phase_and_group_delay_are_sums_over_the_zeros(zeros):
    a = Symbol.from_zeros(zeros)
    r = a.response()
    z = np.exp(1j * r.angle)
    parts = np.array([z / (z - zero) for zero in zeros])  # z d/dz log(z - zero)
    np.testing.assert_allclose(r.group_delay, parts.real.sum(axis=0), rtol=1e-5, atol=1e-7)
    # Seen from outside the circle a zero's direction is 1 - z / zero; from inside it turns with z.
    steps = [np.angle(1 - z / zero) if abs(zero) > 1 else r.angle + np.angle(1 - zero / z) for zero in zeros]
    phase = np.sum(steps, axis=0)
    np.testing.assert_allclose(r.phase - r.phase[0], phase - phase[0], atol=1e-6)
    assert r.certified


def test_the_group_delay_is_that_of_a_filter():
    kernel = np.random.default_rng(0).standard_normal(40)
    r = Symbol(kernel).response()
    _, delay = scipy.signal.group_delay((kernel, [1.0]), w=r.angle)
    np.testing.assert_allclose(r.group_delay, delay, rtol=1e-8, atol=1e-7)


@pytest.mark.parametrize("gap", [1e-3, 1e-6, 1e-9])
def test_no_turn_is_missed_next_to_a_zero(gap):
    rest = np.random.default_rng(1).standard_normal(60)
    inside, outside = (Symbol(np.convolve([1, -1 / zero], rest)) for zero in (1 - gap, 1 + gap))
    turns = [whole_turns(a, a.response()) for a in (inside, outside)]
    assert all(a.response().certified for a in (inside, outside))
    assert round(turns[0] - turns[1]) == 1 and round(turns[0]) == inside.winding().count


def test_a_zero_on_the_circle_is_not_certified():
    r = Symbol([1.0, -1.0]).response()
    assert not r.certified and "not certified" in repr(r)
    assert r.decibels[0] == -np.inf and np.isnan(r.group_delay[0])


@given(st.integers(-300, 290), st.integers(0, 5))
def test_scale_and_shift_change_what_they_should(exponent, lead):
    kernel = np.array([1.0, -2.5, 0.75])
    plain = Symbol(kernel).response()
    moved = Symbol(np.concatenate([np.zeros(lead), kernel * 2.0**exponent])).response()
    np.testing.assert_allclose(moved.decibels - plain.decibels, 20 * np.log10(2) * exponent, atol=1e-9)
    np.testing.assert_allclose(moved.group_delay - plain.group_delay, lead, atol=1e-9)
    assert moved.turns - plain.turns == pytest.approx(lead / 2, abs=1e-9)


def test_long_kernels_are_followed():
    a = Symbol(np.random.default_rng(2).standard_normal(3000))
    r = a.response()
    assert r.certified and round(2 * r.turns) == a.winding().count


def test_zero_has_no_phase():
    with pytest.raises(InputError, match="identically 0"):
        Symbol([0.0, 0.0]).response()
