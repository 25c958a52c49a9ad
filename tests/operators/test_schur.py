"""Schur's test of a norm: against dense norms, a closed form, and the classical parameters in fractions."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.operators.section_truth import dense, kernels
from toeplitz_theory.operators.matrix.schur import norm_bounds
from toeplitz_theory.operators.rounding import split_scale


@given(kernels(1, 80), st.sampled_from([-1e-9, -1e-12, 0.0, 1e-12, 1e-9, 1e-6, 1e-3, 1.0]))
def test_what_is_proved_is_true(kernel, gap):
    scaled, _ = split_scale(kernel)
    if not scaled.any():
        return
    norm = np.linalg.norm(dense(scaled), 2)
    slack = 20 * len(kernel) * 2.0**-53  # LAPACK's error in `norm`, relative
    low, high = norm_bounds(scaled, norm * (1 + gap))
    assert low * (1 - slack) <= norm <= high * (1 + slack)
    assert low == 0 or high == math.inf
    if abs(gap) >= 1e-9:
        assert (high < math.inf) == (gap > 0) and (low > 0) == (gap < 0)
    if gap >= 1e-6:
        assert high <= norm * (1 + 1.01 * gap)


@pytest.mark.parametrize("n", [3, 100, 1500])
def test_a_wrong_bound_is_never_proved(n):
    """1 - z: sigma_max = 2 cos(pi / (2n + 1))."""
    kernel = np.zeros(n)
    kernel[:2] = 1.0, -1.0
    norm = 2 * math.cos(math.pi / (2 * n + 1))
    assert norm_bounds(kernel, norm * (1 - 1e-10))[1] == math.inf
    assert norm <= norm_bounds(kernel, norm * (1 + 1e-7))[1] <= norm * (1 + 2e-7)
    assert norm * (1 - 2e-7) <= norm_bounds(kernel, norm * (1 - 1e-7))[0] <= norm


@given(st.lists(st.integers(-8, 8), min_size=1, max_size=9).filter(any), st.integers(1, 40))
def test_agrees_with_schur_parameters_in_fractions(taps, s):
    """Coefficients, not generators: f <- (f - g) / (z (1 - g f)), g = f(0), as in Schur's paper."""
    series = [Fraction(x, s) for x in taps]
    inside, edge = True, False
    while series:
        g = series[0]
        edge |= abs(g) == 1
        if abs(g) >= 1:
            inside = False
            break
        top = [x - (g if k == 0 else 0) for k, x in enumerate(series)][1:]
        bottom = [(1 if k == 0 else 0) - g * x for k, x in enumerate(series)]
        quotient: list[Fraction] = []
        for k in range(len(top)):
            rest = top[k] - sum(quotient[j] * bottom[k - j] for j in range(k))
            quotient.append(rest / bottom[0])
        series = quotient
    bound = norm_bounds(np.array(taps, float), float(s))[1]
    if inside:
        assert s <= bound <= s * (1 + 1e-6)
    elif not edge:
        # A norm above s by less than rounding may pass as s (1 + a little); such integers do not exist here.
        assert bound == math.inf
