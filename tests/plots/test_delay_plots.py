"""Curves of recovery and memory hold their numbers, alone and as bands over kernels."""

import numpy as np
import pytest

import toeplitz_theory as tt
from toeplitz_theory import plots
from toeplitz_theory.errors import InputError

SHIFTS = [tt.Symbol([0.0] * m + [1.0] + [0.0] * (8 - m)) for m in (1, 2, 7)]


def test_a_kernel_is_a_line():
    (line,) = plots.recovery(tt.Symbol([1.0, -2.0])).artists
    np.testing.assert_allclose(line.get_ydata(), 1 - 0.75 * 0.25 ** np.arange(9.0), atol=1e-12)
    noisy = tt.Symbol([1.0, -2.0]).recovery(snr=10.0)
    (line,) = plots.recovery(noisy).artists
    np.testing.assert_array_equal(line.get_ydata(), noisy.curve)


def test_several_kernels_are_their_median_and_middle_half():
    band, line = plots.recovery(SHIFTS).artists
    np.testing.assert_array_equal(line.get_ydata()[:4], [0, 0, 1, 1])
    heights = band.get_paths()[0].vertices
    # At delay 1 the upper edge steps from 0 to 1/2; the lower one stays.
    assert sorted(heights[np.isclose(heights[:, 0], 1), 1].tolist()) == [0.0, 0.0, 0.0, 0.5]
    assert line.get_drawstyle() == "steps-post"


def test_reports_and_names():
    kernels = {f"mixer_blocks.{i}.token_mixing_layer.weight": s.kernel[None] for i, s in enumerate(SHIFTS)}
    kernels["mixer_blocks.3.token_mixing_layer.weight"] = np.full((1, 9), np.nan)
    report = tt.inspect(kernels)
    for draw in (plots.recovery, plots.memory):
        drawing = draw({"$x^{\\n": report, "shift": SHIFTS[0]})
        assert len(drawing.artists) == 4 and drawing._repr_png_()
        shown = [text.get_text() for text in drawing.axes[0].get_legend().get_texts()]
        assert shown == [r"\$x^{\n", "shift"]
    same = plots.recovery(report).artists[1].get_ydata()
    np.testing.assert_array_equal(same, plots.recovery(SHIFTS).artists[1].get_ydata())
    drawing = report.plot("recovery")
    assert [line.get_ydata()[:3].tolist() for line in drawing.artists[:3]] == [
        [0, 1, 1],
        [0, 0, 1],
        [0, 0, 0],
    ]
    assert drawing.axes[0].get_title() == "1 kernel could not be drawn"
    unusable = tt.inspect({"mixer_blocks.0.token_mixing_layer.weight": np.full((1, 9), np.nan)})
    assert unusable.plot("recovery")._repr_png_()


def test_memory_is_the_energy_of_the_taps():
    (line,) = plots.memory(tt.Symbol([3.0, 0.0, 4.0])).artists
    np.testing.assert_allclose(line.get_ydata(), [9 / 25, 9 / 25, 1.0])
    _, line = plots.memory(SHIFTS).artists
    np.testing.assert_array_equal(line.get_ydata(), [0, 0, 1, 1, 1, 1, 1, 1, 1])
    (line,) = plots.memory(tt.Symbol([3.0, 0.0, 4.0]).memory()).artists
    assert line.get_ydata()[-1] == pytest.approx(1.0)


def test_the_axis_begins_at_0():
    axes = plots.recovery(tt.Symbol([1.0, -2.0] + [0.0] * 30)).axes[0]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["0", "1", "10", "100"]
    assert axes.get_xlim()[0] < 0


def test_a_single_tap_can_be_drawn():
    for draw in (plots.recovery, plots.memory):
        assert draw(tt.Symbol([2.0]))._repr_png_()


@pytest.mark.parametrize("nothing", [[], {}, {"a": []}])
def test_nothing_is_refused(nothing):
    with pytest.raises(InputError, match="no kernels"):
        plots.recovery(nothing)
