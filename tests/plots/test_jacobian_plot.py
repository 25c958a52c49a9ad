"""The plot of a Jacobian's extreme singular values, and of sections below float64's range."""

import numpy as np
import torch

from toeplitz_theory import plots
from toeplitz_theory.operators import CausalToeplitz
from toeplitz_theory.retention import jacobian_spectrum


def scaling(factors):
    return lambda x: torch.tensor(factors, dtype=x.dtype) * x


def test_values_stand_at_their_numbers_and_nothing_between_is_drawn():
    found = jacobian_spectrum(scaling([8.0, 4.0, 2.0, *[1.0] * 20, 0.5, 0.25]), torch.zeros(25), k=2)
    drawing = plots.jacobian_spectrum(found)
    (axes,) = drawing.axes
    largest, smallest = (line for line in axes.lines if line.get_label() in ("largest", "smallest"))
    assert np.allclose(largest.get_ydata(), np.log10([8, 4])) and list(largest.get_xdata()) == [1, 2]
    assert np.allclose(smallest.get_ydata(), np.log10([0.5, 0.25]))
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "2", "24", "25"]
    assert "left out" in axes.get_xlabel() and "N = 25" in axes.get_ylabel()


def test_a_singular_jacobian_and_the_callers_axes():
    found = jacobian_spectrum(scaling([1.0, 0.5, 0.0]), torch.zeros(3), k=3)
    mine = plots.jacobian_spectrum(found).axes[0]
    again = plots.jacobian_spectrum(found, ax=mine)
    assert again.axes == (mine,)
    assert all(np.isfinite(line.get_ydata()).all() for line in mine.lines)


def test_values_below_the_range_of_float64_are_not_called_zero():
    drawing = plots.singular_values(CausalToeplitz([1.0, -1e4], n=100))
    (axes,) = drawing.axes
    below = next(line for line in axes.lines if line.get_label() == "below the noise")
    assert below.get_ydata().min() < -390 and axes.get_title() == ""
    exact = plots.singular_values(CausalToeplitz([0.0, 0.0, 1.0], n=10))
    assert exact.axes[0].get_title() == "2 of 10 are exactly 0"
