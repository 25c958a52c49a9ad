"""The bracket of min |a| on the circle: closed forms, dense sampling, and exact values at the minimiser."""

import math

import flint
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.operators.strategies import chosen, kaiming
from toeplitz_theory.operators import Symbol


def _exact_modulus(kernel, angle):
    with flint.ctx.workprec(200):
        z = flint.acb(0, angle).exp()
        return abs(flint.acb_poly([complex(x) for x in np.asarray(kernel).tolist()])(z))


@pytest.mark.parametrize("r", [0.0, 0.25, 0.5, 1.0 - 1e-3, 1.0 - 1e-6, 1.5, 8.0])
@pytest.mark.parametrize("turn", [0.0, 0.5, 0.7])
@pytest.mark.parametrize("m", [1, 5])
def test_closed_form(r, turn, m):
    """|1 - r e^{i phi} z^m| is least |1 - r| on the circle."""
    kernel = np.zeros(m + 1, dtype=complex if turn == 0.7 else float)
    kernel[0] = 1.0
    kernel[m] -= r * (np.exp(2j * np.pi * turn) if turn == 0.7 else math.cos(2 * np.pi * turn))
    found = Symbol(kernel).min_modulus()
    truth = abs(1.0 - abs(kernel[m])) if m and r else 1.0
    slack = 4 * 2.0**-53  # |w_m| of a complex tap is rounded
    assert found.lower <= truth + slack and truth - slack <= found.upper
    assert found.upper - found.lower <= 2e-9 * truth + 1e-12


@given(chosen(), st.integers(0, 2**32))
def test_bracket_holds_and_upper_bound_is_attained(known, seed):
    a = Symbol(known.kernel)
    found = a.min_modulus()
    assert 0 <= found.lower <= float(found) <= found.upper
    theta = np.random.default_rng(seed).uniform(-np.pi, np.pi, 200)
    scale = np.abs(known.kernel).sum()
    # the evaluation's own error: 8 n u times the 1-norm
    assert found.lower <= np.abs(a(np.exp(1j * theta))).min() + 8 * len(a) * 2.0**-53 * scale
    assert (
        float(_exact_modulus(known.kernel, found.angle).lower()) <= found.upper * (1 + 1e-9) + 1e-14 * scale
    )
    if known.on_circle:
        assert found.lower == 0.0


@pytest.mark.parametrize("n", [3, 64, 512, 2048])
def test_tight_at_initialisation(n):
    w = kaiming(n, n)
    found = Symbol(w).min_modulus()
    assert found.upper - found.lower <= 1e-6 * found.lower
    fine = np.abs(np.fft.fft(w, 1 << 17)).min()
    # samples are 2 pi / 2^17 apart, and |a'| <= sum k |w_k|: so much lower can |a| be between them
    step = np.pi / (1 << 17) * float(np.arange(n) @ np.abs(w))
    assert fine - step <= found.upper and found.lower <= fine + 1e-12


@given(st.integers(1, 40), st.integers(0, 10**6), st.integers(-1000, 900))
@settings(max_examples=30)
def test_scales_with_the_kernel(n, seed, exponent):
    w = np.random.default_rng(seed).normal(size=n)
    one, other = Symbol(w).min_modulus(), Symbol(np.ldexp(w, exponent)).min_modulus()
    assert float(other) == pytest.approx(math.ldexp(float(one), exponent), rel=1e-12)


def test_next_to_zero_the_lower_bound_comes_from_balls():
    """min = 2^-50 is below what float64 arcs can tell from 0."""
    found = Symbol([1.0, -(1.0 - 2.0**-50)]).min_modulus()
    assert 0 < found.lower <= 2.0**-50 <= found.upper < 1e-13
    assert "balls" in found.method


def test_degenerate():
    zero = Symbol([0.0, 0.0]).min_modulus()
    assert (zero.lower, zero.upper) == (0.0, 0.0) and "identically 0" in zero.method
    huge = Symbol([1.5e308, 1.5e308, 1.5e308, 0.0, 1e308]).min_modulus()
    assert 0 <= huge.lower <= huge.upper
    assert float(Symbol([0.0, 0.0, -3.0]).min_modulus()) == pytest.approx(3.0, rel=1e-8)
