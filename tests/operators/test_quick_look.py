"""The quick look against what is proved, and against kernels whose zeros were chosen."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.operators.strategies import kaiming
from toeplitz_theory.errors import InputError
from toeplitz_theory.operators import Symbol


def same_as_proved(symbol):
    look = symbol.quick_look()
    index = symbol.fredholm_index()
    assert look.index.value == index.value
    assert look.index.certified == index.certified
    least = symbol.min_modulus()
    assert (look.min_modulus.lower, look.min_modulus.upper) == (least.lower, least.upper)
    deficit = symbol.jensen_deficit()
    assert (
        look.jensen_deficit.lower - deficit.error
        <= deficit.value
        <= look.jensen_deficit.upper + deficit.error
    )
    proved = symbol.recovery(horizon=4 * len(symbol))
    size = min(proved.curve.size, look.recovery.curve.size)
    off = np.abs(proved.curve[:size] - look.recovery.curve[:size]).max()
    assert off <= look.recovery.error + proved.error
    assert look.recovery.mean_delay == proved.mean_delay
    return look


@pytest.mark.parametrize("n", [2, 16, 128, 600])
@pytest.mark.parametrize("is_complex", [False, True])
def test_of_random_kernels(n, is_complex):
    for seed in range(4):
        kernel = kaiming(n, seed) + (1j * kaiming(n, seed + 50) if is_complex else 0)
        look = same_as_proved(Symbol(kernel))
        assert look.recovery.error < 0.05


@given(
    st.lists(st.floats(0.05, 0.8), min_size=0, max_size=4),
    st.lists(st.floats(1.3, 9.0), min_size=0, max_size=4),
    st.booleans(),
    st.integers(0, 3),
)
def test_of_chosen_zeros(inside, outside, mirrored, lead):
    """Zeros away from the circle: index, deficit and both ends of the curve are known by construction."""
    zeros = np.array([*inside, *outside]) * (-1 if mirrored else 1)
    kernel = np.concatenate([np.zeros(lead), np.poly(zeros)[::-1] if zeros.size else np.ones(1)])
    look = Symbol(kernel).quick_look()
    assert look.index.value == -(len(inside) + lead)
    deficit = math.inf if lead else -sum(map(math.log, inside))
    assert look.jensen_deficit.value == pytest.approx(deficit, abs=1e-6)
    assert look.jensen_deficit.certified == bool(lead or not inside)
    assert look.recovery.at_once == pytest.approx(math.exp(-2 * deficit), rel=1e-5, abs=0)
    assert look.recovery.curve[-1] == pytest.approx(1.0, abs=1e-6)
    assert look.recovery.certified == (not inside)
    assert look.recovery.mean_delay == len(inside) + lead


@pytest.mark.parametrize("distance", [1e-3, 1e-6, 1e-12, 0.0])
def test_a_zero_next_to_the_circle_widens_the_estimate(distance):
    """The grid cannot see it, and says so: the curve of the other zeros is right within what is stated."""
    kernel = np.convolve([1.0 - distance, -1.0], [1.0, -2.0, 0.0, 0.3])
    symbol = Symbol(kernel)
    look = symbol.quick_look()
    proved = symbol.recovery(horizon=20)
    assert look.index.value == symbol.fredholm_index().value
    assert np.abs(look.recovery.curve[:21] - proved.curve).max() <= look.recovery.error + proved.error
    assert (
        abs(float(look.jensen_deficit) - float(symbol.jensen_deficit())) <= look.jensen_deficit.error + 1e-12
    )


def test_first_taps_below_what_transforms_resolve():
    kernel = np.concatenate([[1e-30], kaiming(63, 1)])
    look = same_as_proved(Symbol(kernel))
    assert 0 < look.recovery.at_once < 1e-58


def test_of_nothing():
    with pytest.raises(InputError, match="identically 0"):
        Symbol([0.0, 0.0]).quick_look()
    assert Symbol([0.0, 3.0]).quick_look().recovery.delay(0.9) == 1


def test_a_tolerance_leaves_the_estimates():
    look = Symbol([1.0, -1.01]).quick_look(tol=0.1)
    assert look.index.value is None
    assert look.recovery.mean_delay is None
    assert look.jensen_deficit.value == pytest.approx(math.log(1.01), abs=look.jensen_deficit.error)
