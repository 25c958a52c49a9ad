"""Margins of the index: changes below them change nothing, changes at the upper ends do."""

import math

import numpy as np
import pytest
import scipy.optimize
from hypothesis import given
from hypothesis import strategies as st
from schur_cohn import count_inside

from toeplitz_theory.errors import InputError
from toeplitz_theory.operators import Symbol


def kernel(n: int, seed: int, complex_: bool = False) -> np.ndarray:
    rng = np.random.default_rng([n, seed, complex_])
    w = rng.standard_normal(n)
    return w + 1j * rng.standard_normal(n) if complex_ else w


def test_bidiagonal_by_hand():
    # 1 - c z: one zero at 1/c; the nearest kernel with a zero on the circle is at angle 0.
    margins = Symbol([1.0, -0.5]).index_margins()
    assert margins.angle == 0
    assert margins.l1 == pytest.approx((0.5, 0.5), rel=1e-8)
    assert margins.l2 == pytest.approx((0.5 / math.sqrt(2),) * 2, rel=1e-8)


@pytest.mark.parametrize("n", [2, 5, 33])
@pytest.mark.parametrize("seed", [0, 1])
def test_upper_ends_against_optimisers(n, seed):
    w = kernel(n, seed)
    margins = Symbol(w).index_margins()
    k = np.arange(n)
    rows = np.stack([np.cos(k * margins.angle), np.sin(k * margins.angle)])
    target = -rows @ w
    if abs(math.sin(margins.angle)) < 1e-9:
        rows, target = rows[:1], target[:1]
    least = np.linalg.lstsq(rows, target, rcond=None)[0]
    assert margins.l2[1] == pytest.approx(float(np.linalg.norm(least)), rel=1e-6)
    # The least 1-norm as a linear programme in the positive and negative parts.
    answer = scipy.optimize.linprog(np.ones(2 * n), A_eq=np.hstack([rows, -rows]), b_eq=target)
    assert margins.l1[1] == pytest.approx(answer.fun, rel=1e-6)
    assert margins.l1[0] <= margins.l1[1] and margins.l2[0] <= margins.l2[1]


@pytest.mark.parametrize("complex_", [False, True])
def test_a_change_just_above_the_upper_end_moves_a_zero_across(complex_):
    w = kernel(12, 3, complex_)
    a = Symbol(w)
    margins = a.index_margins()
    k, z = np.arange(12), np.exp(1j * margins.angle)
    if complex_:
        change = -complex(a(z)) * z ** (-k) / 12
    else:
        rows = np.stack([np.cos(k * margins.angle), np.sin(k * margins.angle)])
        change = np.linalg.lstsq(rows, -rows @ w, rcond=None)[0]
    assert np.linalg.norm(change) == pytest.approx(margins.l2[1], rel=1e-6)
    before, after = (count_inside(w + factor * change) for factor in (1 - 1e-4, 1 + 1e-4))
    assert before == count_inside(w) and after != before


@given(st.integers(2, 24), st.integers(0, 10**6), st.booleans())
def test_no_change_below_the_lower_ends_counts(n, seed, complex_):
    w = kernel(n, seed, complex_)
    a = Symbol(w)
    margins = a.index_margins()
    d = kernel(n, seed + 1, complex_)
    for size, bound in ((np.abs(d).sum(), margins.l1[0]), (np.linalg.norm(d), margins.l2[0])):
        moved = Symbol(w + d * (0.999 * bound / size))
        assert moved.fredholm_index().value == a.fredholm_index().value


def test_a_zero_on_the_circle_has_no_margin():
    margins = Symbol([1.0, -1.0]).index_margins()
    assert margins.l1[0] == 0 and margins.l2[0] == 0 and margins.l1[1] < 1e-12


@pytest.mark.parametrize(("dtype", "bits"), [("bfloat16", 8), ("float16", 11), ("float32", 24)])
def test_rounding_against_torch(dtype, bits):
    torch = pytest.importorskip("torch")
    w = kernel(200, 5) * np.logspace(0, -7, 200)
    found = Symbol(w).rounding_margin(dtype)
    expected = torch.tensor(w).to(getattr(torch, dtype)).double().numpy()
    np.testing.assert_array_equal(found.rounded, expected)
    assert (
        np.abs(found.rounded - w).sum() <= found.perturbation <= 2.0**-bits * np.abs(w).sum() + 200 * 2.0**-25
    )


def test_safe_means_that_the_index_stays():
    safe, unsafe = Symbol([1.0, -0.9]), Symbol([1.0, -(1 - 2.0**-12)])
    assert safe.rounding_margin("bfloat16").safe and "index safe" in str(safe.rounding_margin("bfloat16"))
    # Rounding puts this zero on the circle.
    found = unsafe.rounding_margin("bfloat16")
    assert not found.safe and Symbol(found.rounded).fredholm_index().value is None
    assert unsafe.rounding_margin("float32").safe


def test_bad_formats():
    with pytest.raises(InputError, match="choose from"):
        Symbol([1.0]).rounding_margin("int8")
    with pytest.raises(InputError, match="overflows float16"):
        Symbol([1e6, 1.0]).rounding_margin("float16")
