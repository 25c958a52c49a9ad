"""Maps of the plane are drawn on the caller's axes, with every number where it belongs."""

import matplotlib.pyplot as plt
import numpy as np

from toeplitz_theory import plots
from toeplitz_theory.operators import index_map, pseudospectrum


def test_index_map_writes_the_counts_of_its_regions():
    seen = index_map([0.0, 0.0, 1.0], points=60)
    drawing = plots.index_map(seen)
    (axes,) = drawing.axes
    written = {text.get_text(): text.get_position() for text in axes.texts}
    assert set(written) == {"0", "2"}
    assert abs(complex(*written["2"])) < 1 < abs(complex(*written["0"]))
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("Re λ", "Im λ")
    np.testing.assert_array_equal(drawing.artists[0].get_array(), seen.count)


def test_zero_never_shares_its_colour():
    kernel = np.zeros(31)
    kernel[30] = 1.0
    image = plots.index_map(index_map(kernel, points=40)).artists[0]
    colours = image.cmap(image.norm(np.array([0, 1, 30])))
    assert not np.allclose(colours[0], colours[1]) and not np.allclose(colours[1], colours[2])


def test_pseudospectrum_on_given_axes_marks_the_eigenvalue():
    figure, ax = plt.subplots()
    drawing = plots.pseudospectrum(pseudospectrum([0.5, -2.0, 1.0, 0.25], points=15), ax=ax)
    assert drawing.figure is figure and drawing.axes == (ax,)
    eigenvalue = next(line for line in ax.lines if line.get_label() == "w[0]")
    assert (eigenvalue.get_xdata()[0], eigenvalue.get_ydata()[0]) == (0.5, 0.0)
    plt.close(figure)
