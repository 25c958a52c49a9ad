"""Schur's test of a norm: against dense norms, a closed form, and the classical parameters in fractions."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.operators.section_truth import dense, kernels
from toeplitz_theory.operators.matrix.schur import norm_at_most, shifted_inverse
from toeplitz_theory.operators.rounding import split_scale


@given(kernels(1, 80), st.sampled_from([-1e-9, -1e-12, 0.0, 1e-12, 1e-9, 1e-6, 1e-3, 1.0]))
def test_what_is_proved_is_true(kernel, gap):
    scaled, _ = split_scale(kernel)
    if not scaled.any():
        return
    norm = np.linalg.norm(dense(scaled), 2)
    slack = 20 * len(kernel) * 2.0**-53  # LAPACK's error in `norm`, relative
    bound = norm_at_most(scaled, norm * (1 + gap))
    if bound is None:
        assert gap <= 1e-12
    else:
        assert bound >= norm * (1 - slack)
        if gap >= 1e-6:
            assert bound <= norm * (1 + 1.01 * gap)


@pytest.mark.parametrize("n", [3, 100, 1500])
def test_a_wrong_bound_is_never_proved(n):
    """1 - z: sigma_max = 2 cos(pi / (2n + 1))."""
    kernel = np.zeros(n)
    kernel[:2] = 1.0, -1.0
    norm = 2 * math.cos(math.pi / (2 * n + 1))
    assert norm_at_most(kernel, norm * (1 - 1e-10)) is None
    assert norm <= norm_at_most(kernel, norm * (1 + 1e-7)) <= norm * (1 + 2e-7)


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
    bound = norm_at_most(np.array(taps, float), float(s))
    if inside:
        assert bound is not None and s <= bound <= s * (1 + 1e-6)
    elif not edge:
        # A norm above s by less than rounding may pass as s (1 + a little); such integers do not exist here.
        assert bound is None


@pytest.mark.parametrize("complex_", [False, True])
def test_inverse_of_the_shifted_gram_matrix(complex_):
    rng = np.random.default_rng(3)
    w = rng.standard_normal(90) * 0.3 + (1j * rng.standard_normal(90) * 0.3 if complex_ else 0)
    T = dense(w)
    s = np.linalg.norm(T, 2) * (1 + 1e-4)
    x = rng.standard_normal(90)
    found = shifted_inverse(w, s)(x)
    matrix = s * s * np.eye(90) - T @ T.conj().T
    # Condition 1e4: the residual relative to |M||x| is what the rotations forward and back leave.
    assert np.linalg.norm(matrix @ found - x) <= 1e-9 * s * s * np.linalg.norm(found)
    assert shifted_inverse(w, s * 0.9) is None
