"""Zeros in proved discs, and the proved count near the circle."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.operators.strategies import chosen, from_factors, kaiming
from toeplitz_theory.errors import InputError
from toeplitz_theory.operators import Symbol
from toeplitz_theory.operators.circle.discs import _meeting


@given(chosen())
def test_discs_hold_the_chosen_zeros(known):
    zeros = Symbol(known.kernel).zeros()
    assert zeros.certified and zeros.radii.shape == zeros.shape == (known.kernel.size - 1,)
    found = np.abs(np.asarray(zeros))
    # the chosen moduli are square roots rounded once: 2 ulp
    assert np.all(np.abs(found - np.sort(known.moduli)) <= zeros.radii + 2.0**-51 * found)
    assert len(zeros.inside()) <= known.inside and len(zeros.outside()) <= known.outside
    assert len(zeros.inside()) + len(zeros.outside()) + len(zeros.undecided()) == zeros.size
    if not known.on_circle:
        assert len(zeros.undecided()) == 0


@given(chosen(complex_taps=True, with_near=False))
def test_complex_zeros_or_an_honest_refusal(known):
    zeros = Symbol(known.kernel).zeros()
    assert zeros.size == known.kernel.size - 1
    if zeros.certified:
        found = np.abs(np.asarray(zeros))
        assert np.all(np.abs(found - np.sort(known.moduli)) <= zeros.radii + 2.0**-51 * found)
    else:
        # leading zero taps are zeros at 0 exactly, whatever is known of the others
        assert np.isinf(zeros.radii).any() and len(zeros.inside()) == known.moduli.count(0.0)


def test_multiplicity_and_zeros_at_the_origin():
    cube = from_factors([[(2, 0), (-4, 0)]] * 3, [Fraction(1, 4)] * 3)
    zeros = Symbol(np.concatenate([[0.0, 0.0], cube.kernel])).zeros()
    assert zeros.certified
    assert np.asarray(zeros) == pytest.approx([0, 0, 0.5, 0.5, 0.5], abs=1e-15)
    assert len(zeros.inside()) == 5 and not zeros.radii[:2].any()


def test_agrees_with_winding_and_vieta():
    for seed in range(3):
        w = kaiming(128, seed)
        a = Symbol(w)
        zeros = a.zeros()
        assert zeros.certified and len(zeros.inside()) == a.winding().count
        # sum of the zeros is -w[n-2] / w[n-1]; radii bound the error, 1e-13 the summation
        assert abs(np.asarray(zeros).sum() + w[-2] / w[-1]) < zeros.radii.sum() + 1e-13 * abs(zeros).sum()
        gaps = np.abs(np.abs(np.asarray(zeros)) - 1.0)
        assert a.zeros_near_circle() == (gaps < 1.0 / 128).sum()
        assert a.zeros_near_circle(0.05) == (gaps < 0.05).sum()


@given(chosen(with_near=False), st.fractions(Fraction(1, 50), Fraction(4, 5)))
def test_count_near_the_circle(known, width):
    w = float(width)
    moduli = np.array(known.moduli)
    if (np.abs(np.abs(moduli - 1.0) - w) < 1e-9).any():
        return  # on the boundary
    assert Symbol(known.kernel).zeros_near_circle(w) == int((np.abs(moduli - 1.0) < w).sum())


@pytest.mark.parametrize("gap", [1e-3, 1e-6, 1e-9, 1e-12])
def test_count_between_close_circles(gap):
    """1 - r z: one zero at 1 / r, in a ring a hundredth narrower or wider than its distance."""
    a = Symbol([1.0, -(1.0 + gap)])
    assert a.zeros_near_circle(gap * 1.01) == 1
    assert a.zeros_near_circle(gap * 0.99) == 0
    assert a.zeros_near_circle() == (1 if gap < 0.5 else 0)


def test_count_near_the_circle_includes_zeros_on_it():
    assert Symbol([1.0, 0.0, 1.0]).zeros_near_circle() == 2
    assert Symbol([1.0, -2.0]).zeros_near_circle(0.5) is None  # the zero sits on the inner circle
    assert Symbol([0.0]).zeros_near_circle() is None
    assert Symbol([3.0]).zeros_near_circle() == 0


@pytest.mark.parametrize("width", [0.0, 1.0, -0.1, float("nan")])
def test_bad_width(width):
    with pytest.raises(InputError, match="width"):
        Symbol([1.0, 2.0]).zeros_near_circle(width)


def test_the_zero_symbol_has_no_zeros_to_list():
    with pytest.raises(InputError, match="identically 0"):
        Symbol([0.0, 0.0]).zeros()


def test_slices_do_not_pretend_to_be_certified():
    zeros = Symbol([1.0, -2.5, 1.0]).zeros()
    assert zeros.certified and not zeros[:1].certified and zeros[:1].radii is None


def test_large_discs_that_meet_are_found_among_many():
    """Radii of .3 of the modulus: where two touch, their logarithms are farther apart than .6."""
    reach = 0.3
    touching = [(1.0, reach), ((1 + reach) / (1 - reach) * 0.999, reach * (1 + reach) / (1 - reach))]
    others = [(complex(10.0 ** (4 + k), 0.0), 1e-9) for k in range(60)]
    assert _meeting(touching + others).tolist() == [[0, 1]]
