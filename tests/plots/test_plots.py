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


def test_zeros_are_on_their_side_of_the_line():
    a = tt.Symbol(np.convolve([1.0, -2.0], [1.0, 0.5]))
    outside, undecided, inside = plots.zeros(a).artists[:3]
    np.testing.assert_allclose(inside.get_offsets(), [[0, 3 * np.log(0.5)]], atol=1e-12)
    np.testing.assert_allclose(outside.get_offsets(), [[1, 3 * np.log(2)]], atol=1e-12)
    assert len(undecided.get_offsets()) == 0
    assert len(plots.zeros(tt.Symbol([1.0, -1.0])).artists[1].get_offsets()) == 1


def test_zeros_at_0_and_pairs_are_counted_whole():
    drawing = plots.zeros(tt.Symbol([0.0, 0.0, *np.convolve([1, 0, 4.0], [1, 0.1])]))
    assert len(drawing.artists[2].get_offsets()) == 1  # one of the pair at |z| = 1/2
    assert "4 inside, 2 at 0" in [text.get_text() for text in drawing.axes[0].texts]
    both = plots.zeros(tt.Symbol([1.0, 0.0, 4.0 + 0j])).artists[2].get_offsets()
    np.testing.assert_allclose(both[:, 0], [0.5, 1.5])


def test_poles_and_zeros_in_the_plane():
    drawing = plots.pole_zero(tt.Symbol(np.convolve([1.0, -2.0], [1.0, 0.5])))
    outside, _, inside = drawing.artists[-3:]
    np.testing.assert_allclose(inside.get_offsets(), [[0.5, 0]], atol=1e-12)
    np.testing.assert_allclose(outside.get_offsets(), [[-1.25, 0]], atol=1e-12)  # |z| = 2 is drawn at 1.25
    assert any("order 2" in text.get_text() for text in drawing.axes[0].texts)


def test_bode_holds_modulus_phase_and_delay():
    a = tt.Symbol([1.0, -2.0, 0.5])
    modulus, phase, delay, mean = plots.bode(a).artists
    z = np.exp(1j * np.pi * modulus.get_xdata())
    np.testing.assert_allclose(modulus.get_ydata(), 20 * np.log10(np.abs(a(z))), atol=1e-9)
    np.testing.assert_allclose(np.exp(2j * np.pi * phase.get_ydata()), a(z) / a(1) * abs(a(1)) / abs(a(z)))
    assert mean.get_ydata()[0] == -a.fredholm_index().value
    assert np.trapezoid(delay.get_ydata(), delay.get_xdata()) == pytest.approx(1.0, abs=1e-3)
    both = plots.bode({"a": a, "shift": tt.Symbol([0.0, 1.0])})
    assert [text.get_text() for text in both.axes[0].get_legend().get_texts()] == ["a", "shift"]
    assert "not proved" in plots.bode(tt.Symbol([1.0, -1.0])).axes[1].get_title()
    for bad, words in (({}, "no kernels"), (tt.Symbol([0.0]), "identically 0")):
        with pytest.raises(InputError, match=words):
            plots.bode(bad)


def test_taps_of_one_and_of_many(report):
    strokes, dots = plots.taps(tt.Symbol([3.0, 0.0, -1.0])).artists[:2]
    assert [path.vertices[:, 1].tolist() for path in strokes.get_paths()] == [[0, 3], [0, 0], [0, -1]]
    assert dots.get_ydata().tolist() == [3, 0, -1]
    drawing = report.plot("kernels")
    image = drawing.artists[0].get_array()
    np.testing.assert_allclose(image[0], [-0.5, 1, 0, 0] if image[0, 0] < 0 else [0.5, -1, 0, 0])
    assert image.shape == (3, 4) and drawing.axes[0].get_title() == "1 kernel could not be drawn"
    assert [text.get_text() for text in drawing.axes[0].get_yticklabels()] == [
        f"mixer_blocks.{i}" for i in range(3)
    ]


def test_long_kernels_keep_their_largest_taps_and_say_so():
    kernel = np.zeros(4096)
    kernel[[5, 4001]] = [1.0, -2.0]
    drawing = plots.taps([tt.Symbol(kernel)] * 3)
    image = drawing.artists[0].get_array()
    assert image.shape == (3, 1024) and "4 share" in drawing.axes[0].get_xlabel()
    assert image[0, 1] == 0.5 and image[0, 1000] == -1.0 and np.count_nonzero(image[0]) == 2
    assert plots.taps([tt.Symbol([1.0])] * 3000).artists[0].get_array().shape[0] == 1000
    with pytest.raises(InputError, match="no kernels"):
        plots.taps([])


@pytest.mark.parametrize(("kind", "panels"), [("symbols", 4), ("zeros", 2)])
def test_chosen_kernels_have_the_highest_and_the_lowest_index(kind, panels):
    kernels = ([1.0, -2.0, 0, 0], [1.0, 0.25, 0, 0], [1.0, np.nan, 0, 0])
    report = tt.inspect({KEY.format(i): np.array([k]) for i, k in enumerate(kernels)})
    drawing = report.plot(kind)
    assert len(drawing.axes) == panels
    titles = [panel.get_title().splitlines() for panel in drawing.axes[:2]]
    assert titles == [["mixer_blocks.1", "index 0"], ["mixer_blocks.0", "index -1"]]


def test_kernels_that_cannot_be_used_have_a_panel_that_says_so():
    report = tt.inspect({KEY.format(0): np.array([[1.0, np.nan]])})
    for kind in ("symbols", "zeros"):
        drawing = report.plot(kind)
        assert "finite" in drawing.artists[0].get_text().replace("\n", " ")
        assert "not analysed" in drawing.axes[0].get_title()


def test_a_row_draws_itself_in_six_lettered_panels(report):
    drawing = report.rows[0].plot()
    assert [panel.get_title(loc="left") for panel in drawing.axes] == list("abcdef")
    assert drawing.figure.get_suptitle() == "mixer_blocks.0: index -1"
    assert report.rows[3].plot()._repr_png_()  # taps that are not finite: panels that say so
    assert plots.kernel(tt.Symbol([1j, 0.5]))._repr_png_()


def test_lines_by_layer_hold_the_numbers(report):
    drawing = plots.by_layer({"a": report, "b": report})
    delay, index, deficit, condition = drawing.axes
    np.testing.assert_array_equal(index.lines[0].get_ydata(), [-1, 0, -1, np.nan])
    np.testing.assert_allclose(deficit.lines[0].get_ydata(), [np.log(2), 0, np.nan, np.nan], atol=1e-12)
    np.testing.assert_array_equal(delay.lines[0].get_ydata(), [2, 0, 1, np.nan])
    # The infinite condition is a triangle at the upper edge, not a gap that looks like nothing.
    assert any(
        line.get_marker() == "^" and np.round(line.get_xdata()).tolist() == [2] for line in condition.lines
    )
    assert [text.get_text() for text in drawing.figure.legends[0].get_texts()] == ["a", "b"]
    assert "2 not known" in [text.get_text() for text in index.texts]
    assert [panel.get_title(loc="left") for panel in drawing.axes] == list("abcd")


def test_heads_are_a_bar_and_a_median_and_two_stacks_stand_apart(monkeypatch):
    kernel = np.array([[[1.0, -2.0]], [[1.0, 0.0]], [[0.0, 1.0]], [[1.0, -4.0]], [[2.0, 1.0]]])
    report = tt.inspect(
        {
            f"{side}blocks.{i}.mixer.weight": k
            for side in ("encoder", "decoder")
            for i, k in enumerate(kernel[:2])
        }
    )
    index = report.plot("by_layer").axes[1]
    line = index.lines[0]
    assert np.isnan(line.get_xdata()).sum() == 1  # the line breaks between the stacks
    ticks = [text.get_text() for text in index.get_xticklabels()]
    assert ticks == ["0\nencoderblocks.0", "1", "0\ndecoderblocks.0", "1"]
    heads = tt.inspect({"m": np.pad([k[0] for k in kernel], [(0, 0), (0, 6)])})
    median, bar, dots = heads.plot("by_layer").axes[1].lines[:3]
    assert median.get_ydata().tolist() == [-1] and bar.get_ydata().tolist() == [-1, 0]
    assert sorted(dots.get_ydata()) == [-1, -1, -1, 0, 0]
    monkeypatch.setattr("toeplitz_theory.plots.layers._MOST_DOTS", 4)
    drawing = heads.plot("by_layer")
    assert [line.get_ydata().tolist() for line in drawing.axes[1].lines[1:]] == [[-1, 0], [-1, 0]]
    assert "thin" in drawing.figure.get_supxlabel()


def test_models_differ_in_colour_marker_and_dash():
    looks = [series(k) for k in range(6)]
    for part in ("color", "marker", "linestyle"):
        assert len({str(getattr(entry, part)) for entry in looks}) == 6


def test_drawing_uses_the_callers_axes(report):
    figure = Figure()
    assert report.plot("symbols", ax=figure.subplots(2, 3)).figure is figure
    assert report.plot("by_layer", ax=figure.subplots(2, 2)).figure is figure
    alone = figure.add_subplot()
    assert plots.symbol_curve(tt.Symbol([1.0, 0.5]), ax=alone).axes == (alone,)
    with pytest.raises(InputError, match="6 panels"):
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
