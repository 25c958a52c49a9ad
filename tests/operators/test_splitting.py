"""As many singular values fall as there are zeros inside, at the rate of the zeros."""

import math

import numpy as np
import pytest

from toeplitz_theory import plots
from toeplitz_theory.errors import InputError
from toeplitz_theory.operators import CausalToeplitz, Symbol


@pytest.mark.parametrize(
    "zeros", [[0.5], [0.5, -0.7], [0.8j, -0.8j, 0.4], [2.0, -3.0]], ids=["one", "two", "three", "none"]
)
def test_the_count_and_the_rate(zeros):
    a = Symbol.from_zeros([*zeros, 1.6, -2.1])
    found = a.splitting([40, 80])
    inside = sum(abs(z) < 1 for z in zeros)
    assert found.inside == inside and found.values.shape == (2, inside + 3)
    assert (found.values[:, inside:] > 0.9 * found.floor).all()
    if inside:
        rates = np.log(found.values[1, :inside] / found.values[0, :inside]) / 40
        # The product of the falling values goes like the product of the zeros' powers.
        assert rates.sum() == pytest.approx(sum(math.log(abs(z)) for z in zeros), rel=0.02)


def test_short_sections_leave_gaps():
    found = Symbol([1.0, -2.0]).splitting([1, 2, 8], count=3)
    assert np.isnan(found.values[0, 1:]).all() and np.isnan(found.values[1, 2]) and found.values[0, 0] == 1.0


def test_bad_sizes():
    for sizes in ([], [0], [2.5]):
        with pytest.raises(InputError, match="sizes"):
            Symbol([1.0, 2.0]).splitting(sizes)
    with pytest.raises(InputError, match="count"):
        Symbol([1.0, 2.0]).splitting([4], count=0)


def test_pictures_hold_the_numbers():
    found = Symbol([1.0, -2.0]).splitting([4, 8, 16])
    lines = plots.splitting(found).axes[0].lines
    np.testing.assert_allclose(lines[0].get_ydata(), np.log10(found.values[:, 0]))
    assert lines[0].get_marker() == "o" and lines[1].get_marker() == "s"
    T = CausalToeplitz([1.0, -2.0], n=80)
    above, below = plots.singular_values(T).axes[0].lines[:2]
    assert len(above.get_ydata()) == 79 and len(below.get_ydata()) == 1
    assert below.get_ydata()[0] == pytest.approx(np.log10(T.singular_values().min()))
    shift = plots.singular_values(CausalToeplitz([0.0, 1.0], n=5)).axes[0]
    assert "1 of 5" in shift.get_title()
