"""Figures of factors and information hold the numbers of the objects they draw."""

import numpy as np
import pytest
from matplotlib.figure import Figure

import toeplitz_theory as tt
from toeplitz_theory import plots
from toeplitz_theory.errors import InputError

KERNEL = np.array([1.0, -2.5, 0.8, 0.3])


def test_energy_curves_are_drawn_as_computed():
    a = tt.Symbol(KERNEL)
    delay = a.energy_delay()
    drawing = plots.energy_delay(delay)
    lines = {line.get_label(): line for line in drawing.axes[0].lines if ", mean delay" in line.get_label()}
    outer, kernel = (
        next(line for name, line in lines.items() if name.startswith(x)) for x in ("outer", "kernel")
    )
    np.testing.assert_array_equal(kernel.get_ydata(), delay.kernel)
    np.testing.assert_array_equal(outer.get_ydata(), delay.outer)
    means = {round(line.get_xdata()[0], 9) for line in drawing.axes[0].lines if line.get_linestyle() == ":"}
    assert {round(delay.mean_delay, 9), round(delay.outer_mean_delay, 9)} <= means
    assert len(plots.energy_delay(a).artists) == len(drawing.artists)


@pytest.mark.parametrize("kernel", [KERNEL, KERNEL + 0.7j, [0.0, 1.0, 2.0], [3.0], np.ones(60)])
def test_inner_outer_panels(kernel):
    a = tt.Symbol(kernel)
    parts = a.inner_outer()
    taps, modulus, phase = plots.inner_outer(a, parts=parts).axes
    expected = np.abs(parts.outer.kernel) if np.iscomplexobj(a.kernel) else parts.outer.kernel
    np.testing.assert_array_equal(taps.lines[1].get_ydata(), expected)
    np.testing.assert_allclose(modulus.lines[0].get_ydata(), modulus.lines[1].get_ydata(), atol=1e-12)
    turns, values = phase.lines[0].get_data()
    # Half the circle of a real kernel holds half the turns, the whole of a complex one all.
    share = 1.0 if turns[0] < 0 else 0.5
    assert values[-1] - values[0] == pytest.approx(share * len(parts.zeros), abs=1e-9)
    inner = parts.inner(np.exp(1j * np.pi * turns))
    np.testing.assert_allclose(np.exp(2j * np.pi * values), inner / inner[0], atol=1e-9)


def test_what_is_not_proved_is_not_claimed():
    sure, unsure = (
        plots.inner_outer(tt.Symbol(k)).axes[2].get_title()
        for k in (KERNEL, 1j * np.convolve([1, -1], KERNEL))
    )
    assert sure.startswith("1 turn over") and "or more" in unsure


def test_information_curve_is_drawn_as_computed():
    T = tt.CausalToeplitz(0.6 ** np.arange(8))
    curve = T.information_curve([100.0, 1.0, 10.0])
    identity, limit, section = plots.information(curve).axes[0].lines
    np.testing.assert_allclose(section.get_xdata(), [0.0, 10.0, 20.0], atol=1e-12)
    np.testing.assert_array_equal(section.get_ydata(), curve.value[[1, 2, 0]])
    np.testing.assert_array_equal(limit.get_ydata(), curve.limit[[1, 2, 0]])
    np.testing.assert_allclose(identity.get_ydata(), 0.5 * np.log2([2.0, 11.0, 101.0]))
    assert "n = 8" in section.get_label()
    assert plots.information(T).axes[0].lines[2].get_ydata().size == 33


def test_the_callers_axes_are_used():
    figure = Figure()
    left, middle, right = figure.subplots(1, 3)
    assert plots.inner_outer(tt.Symbol(KERNEL), ax=(left, middle, right)).figure is figure
    assert plots.energy_delay(tt.Symbol(KERNEL), ax=left).axes == (left,)
    assert plots.information(tt.CausalToeplitz([1.0]), ax=right).axes == (right,)
    with pytest.raises(InputError, match="3 panels"):
        plots.inner_outer(tt.Symbol(KERNEL), ax=left)
    with pytest.raises(InputError, match="identically 0"):
        plots.energy_delay(tt.Symbol([0.0]))
