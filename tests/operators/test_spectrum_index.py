"""Winding numbers about many centres: against one centre at a time, and against counted zeros."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from schur_cohn import count_inside

from toeplitz_theory.errors import InputError
from toeplitz_theory.operators import Symbol


def kernel(n: int, complex_: bool) -> np.ndarray:
    rng = np.random.default_rng([n, complex_])
    w = rng.standard_normal(n) / np.sqrt(n)
    return w + 1j * rng.standard_normal(n) / np.sqrt(n) if complex_ else w


def square(count: int, size: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-size, size, (count, 2)) @ [1, 1j]


@pytest.mark.parametrize("complex_", [False, True])
@pytest.mark.parametrize("n", [1, 2, 3, 64])
def test_against_the_number_of_zeros_inside(n, complex_):
    w, lam = kernel(n, complex_), square(40, 2.0)
    found = Symbol(w).spectrum_index(lam)
    assert found.certified.all()
    for point, count in zip(lam, found.count, strict=True):
        moved = w.astype(complex)
        moved[0] -= point
        assert count == count_inside(moved)


def test_a_kernel_of_512_taps_about_many_points():
    a, lam = Symbol(kernel(512, False)), square(400, 2.0)
    found = a.spectrum_index(lam)
    assert found.certified.all()
    for k in range(0, 400, 40):
        assert found.count[k] == a.winding(about=lam[k]).count


def test_margins_are_lower_bounds_and_not_empty():
    w, lam = kernel(64, False), square(100, 2.0)
    found = Symbol(w).spectrum_index(lam)
    for k in range(0, 100, 10):
        moved = w.astype(complex)
        moved[0] -= lam[k]
        assert 0 < found.margin[k] <= Symbol(moved).min_modulus().upper
    far = Symbol(w).spectrum_index(np.full(20, 1e6 + 0j))
    assert (far.margin > 0.999e6).all() and (far.count == 0).all()


def test_points_on_the_curve_are_masked_not_guessed():
    angles = np.linspace(-3, 3, 50)
    found = Symbol([0.0, 1.0]).spectrum_index(np.append(np.exp(1j * angles), [1.0, 0.5]))
    # Rounded points of the circle are truly beside it, or on it: no count may contradict exact arithmetic.
    assert found.count[-2] is np.ma.masked and not found.certified[-2]
    assert found.count[-1] == 1
    assert found.in_spectrum[-2] and found.margin[-2] == 0


def test_shapes_scales_and_bad_input():
    a = Symbol([0.0, 2.0**-600])
    assert a.spectrum_index(np.zeros((3, 5))).count.shape == (3, 5)
    assert (a.spectrum_index(np.full(12, 2.0**-601)).count == 1).all()
    assert (a.spectrum_index(np.full(12, 1.0)).count == 0).all()
    assert (Symbol([0.0, 2.0**600]).spectrum_index(np.full(12, 1.0)).count == 1).all()
    assert int(a.spectrum_index(0.0).count) == 1
    assert a.spectrum_index([]).count.shape == (0,)
    with pytest.raises(InputError, match="finite"):
        a.spectrum_index([np.nan])


@given(st.integers(2, 40), st.integers(0, 2**31), st.floats(0.1, 10.0))
def test_invariant_under_scaling_and_conjugation(n, seed, scale):
    rng = np.random.default_rng(seed)
    w = rng.standard_normal(n) + 1j * rng.standard_normal(n)
    lam = square(12, 3.0, seed)
    counts = Symbol(w).spectrum_index(lam).count
    # The conjugate kernel runs the mirrored curve from the other side: the same turns about mirrored centres.
    mirrored = Symbol(w.conj()).spectrum_index(lam.conj()).count
    scaled = Symbol(w * scale).spectrum_index(lam * scale).count
    assert (counts == mirrored).all()
    # Rounding after scaling may push a centre over the curve only if it was within rounding of it.
    assert (counts == scaled).all()
