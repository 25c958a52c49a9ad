"""Numbers with their brackets: the ends hold what was stated, and copies keep all of it."""

import copy
import math
import pickle
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toeplitz_theory.operators import Bracket, CausalToeplitz, Count, JensenDeficit, Symbol

values = st.floats(-1e300, 1e300)
errors = st.floats(0, 1e300)


@given(values, errors)
def test_a_bracket_holds_all_that_is_within_the_error(value, error):
    bracket = Bracket.around(value, error)
    for end in (Fraction(value) - Fraction(error), Fraction(value) + Fraction(error)):
        assert Fraction(bracket.lower) <= end <= Fraction(bracket.upper)
    assert bracket.error >= error and bracket.lower <= value <= bracket.upper
    # No wider than rounding asks: an ulp of the ends on either side.
    assert bracket.error <= error + 2 * (math.ulp(bracket.lower) + math.ulp(bracket.upper))


@given(st.floats(0, 1), st.floats(0, 1))
def test_a_bracket_keeps_to_the_range_that_is_known(value, error):
    bracket = Bracket.around(value, error, within=(0.0, 1.0))
    assert 0.0 <= bracket.lower <= value <= bracket.upper <= 1.0


@pytest.mark.parametrize("value", [0.0, math.inf, -math.inf, 3.5])
def test_exact_numbers_are_their_own_bracket(value):
    bracket = Bracket.around(value, 0.0)
    assert bracket.lower == bracket.upper == value and bracket.error == bracket.width == 0.0


def test_what_is_undefined_stays_so():
    deficit = Symbol([0.0]).jensen_deficit()
    assert isinstance(deficit, JensenDeficit) and not deficit.certified
    assert math.isnan(deficit.value) and math.isnan(deficit.error)


@pytest.mark.parametrize(
    "count",
    [Count(3, 2, None), CausalToeplitz([1.0, -2.0], 16).nullity(), Symbol([1.0, -2.0]).recovery().delay(0.9)],
)
@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies_of_counts_keep_their_evidence(count, copied):
    again = copied(count)
    assert type(again) is type(count) and again == count and vars(again) == vars(count)
    assert isinstance(count + 1, int) and repr(again) == repr(count)
