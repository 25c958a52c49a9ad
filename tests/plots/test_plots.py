"""Figures hold the numbers they should, on the caller's axes, and come out the same twice."""

import hashlib
import sys

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

import toeplitz_theory as tt
from toeplitz_theory import plots
from toeplitz_theory.errors import InputError
from toeplitz_theory.plots.drawing import series
from toeplitz_theory.reports import save_report_figures

KEY = "mixer_blocks.{}.token_mixing_layer.weight"


@pytest.fixture(scope="module")
def report():
    kernels = ([1.0, -2.0, 0, 0], [1.0, 0.25, 0, 0], [0.0, 1.0, 0, 0], [1.0, np.nan, 0, 0])
    return tt.inspect({KEY.format(i): np.array([k], dtype=np.float32) for i, k in enumerate(kernels)})


def test_symbol_curve_goes_through_the_symbol():
    symbol = tt.Symbol([1.0, -2.0, 0.5])
    drawing = plots.symbol_curve(symbol)
    ends = drawing.artists[0].get_path().vertices[::3]
    points = ends[:, 0] + 1j * ends[:, 1]
    # The pieces begin at equal fractions of the circle or halves of them: each is on the curve.
    grid = symbol(np.exp(2j * np.pi * np.arange(256) / 256))
    assert np.abs(points[:, None] - grid[None, :]).min(axis=1).max() < 1e-12
    assert drawing.axes[0].get_xlabel() == "Re a"


def test_tiny_kernels_are_drawn_in_a_unit_of_their_own():
    drawing = plots.symbol_curve(tt.Symbol([1e-40, 2e-40]))
    assert drawing.axes[0].get_xlabel() == "Re a / 1e-40"
    assert drawing.axes[0].get_xlim()[1] == pytest.approx(3, rel=0.2)


def test_zeros_are_on_their_side_of_the_circle():
    inside, outside, undecided = plots.zeros(tt.Symbol(np.convolve([1.0, -2.0], [1.0, 0.5]))).artists[-3:]
    np.testing.assert_allclose(inside.get_offsets(), [[0.5, 0]], atol=1e-12)
    np.testing.assert_allclose(outside.get_offsets(), [[-1.25, 0]], atol=1e-12)  # |z| = 2 is drawn at 1.25
    assert len(undecided.get_offsets()) == 0
    assert len(plots.zeros(tt.Symbol([1.0, -1.0])).artists[-1].get_offsets()) == 1


def test_heat_map_is_the_matrix():
    image = plots.toeplitz_heatmap([3.0, 2.0, 1.0]).artists[0]
    expected = tt.CausalToeplitz([3.0, 2.0, 1.0]).to_dense()
    matrix = image.get_array()
    np.testing.assert_array_equal(matrix.filled(0), expected)
    np.testing.assert_array_equal(matrix.mask, np.triu(np.ones((3, 3), bool), 1))


def test_large_heat_maps_are_thinned_and_say_so():
    drawing = plots.toeplitz_heatmap(np.ones(4096))
    assert drawing.artists[0].get_array().shape == (1024, 1024)
    assert "every 4th" in drawing.axes[0].get_xlabel()


@pytest.mark.parametrize("bad", [[], [np.nan], [1j], [[1.0]], ["a"]])
def test_heat_maps_of_no_kernel_are_refused(bad):
    with pytest.raises(InputError):
        plots.toeplitz_heatmap(bad)


@pytest.mark.parametrize("kind", ["symbols", "zeros", "kernels"])
def test_grid_has_a_panel_for_every_kernel(report, kind):
    drawing = report.plot(kind)
    titles = [panel.get_title() for panel in drawing.axes]
    assert [title.splitlines()[1].split(",")[0] for title in titles] == [
        "index -1",
        "index 0",
        "index -1",
        "not analysed",
    ]
    assert "finite" in drawing.artists[-1].get_text().replace("\n", " ")


def test_lines_by_layer_hold_the_numbers(report):
    index, deficit, condition, nullity = plots.by_layer({"a": report, "b": report}).axes
    np.testing.assert_array_equal(index.lines[0].get_ydata(), [-1, 0, -1, np.nan])
    np.testing.assert_allclose(deficit.lines[0].get_ydata(), [np.log(2), 0, np.nan, np.nan], atol=1e-12)
    np.testing.assert_array_equal(nullity.lines[0].get_ydata(), [0, 0, 1, np.nan])
    # The infinite condition is a triangle at the upper edge, not a gap that looks like nothing.
    assert any(
        line.get_marker() == "^" and np.round(line.get_xdata()).tolist() == [2] for line in condition.lines
    )
    assert [text.get_text() for text in index.get_legend().get_texts()] == ["a", "b"]
    assert "2 not known" in [text.get_text() for text in index.texts]


def test_models_differ_in_colour_marker_and_dash():
    looks = [series(k) for k in range(6)]
    for part in ("color", "marker", "linestyle"):
        assert len({str(getattr(entry, part)) for entry in looks}) == 6


def test_drawing_uses_the_callers_axes(report):
    figure = Figure()
    axes = figure.subplots(2, 2)
    assert report.plot("symbols", ax=axes).figure is figure
    assert report.plot("by_layer", ax=figure.subplots(2, 2)).figure is figure
    alone = figure.add_subplot()
    assert plots.symbol_curve(tt.Symbol([1.0, 0.5]), ax=alone).axes == (alone,)
    with pytest.raises(InputError, match="4 panels"):
        report.plot("symbols", ax=alone)
    with pytest.raises(InputError, match="unknown kind"):
        report.plot("pie")


def test_files_are_the_same_twice(report, tmp_path):
    first, second = (
        [hashlib.sha256(p.read_bytes()).hexdigest() for p in save_report_figures(report, tmp_path / name)]
        for name in "ab"
    )
    assert len(first) == 10 and first == second
    assert sorted(p.suffix for p in (tmp_path / "a").iterdir()) == [".pdf"] * 5 + [".png"] * 5
    with pytest.raises(InputError, match="svgz"):
        report.plot("zeros").save(tmp_path / "x", formats=["svgz"])


def test_nothing_global_is_changed_and_no_window_opened(report):
    before = dict(matplotlib.rcParams)
    drawing = report.plot("by_layer")
    assert drawing._repr_png_().startswith(b"\x89PNG")
    assert dict(matplotlib.rcParams) == before
    assert "matplotlib.pyplot" not in sys.modules or not matplotlib.pyplot.get_fignums()
