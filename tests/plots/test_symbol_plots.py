"""Eigenvalues of matrix-valued symbols, drawn as computed."""

import numpy as np
from matplotlib.figure import Figure

import toeplitz_theory as tt
from toeplitz_theory import plots
from toeplitz_theory.operators import ChannelSymbol


def test_eigenvalues_of_heads_without_mixing_are_the_symbols():
    kernels = np.array([[1.0, -2.0, 0.5], [0.3, 0.1, 0.7]])
    ax = Figure().subplots()
    drawing = plots.eigenvalue_curves(tt.MultiHeadSymbol(kernels, np.eye(4), np.eye(4)), ax=ax, points=16)
    assert drawing.axes == (ax,)
    drawn = drawing.artists[0].get_xdata() + 1j * drawing.artists[0].get_ydata()
    z = np.exp(2j * np.pi * np.arange(16) / 16)
    expected = np.concatenate([np.repeat(tt.Symbol(w)(z), 2) for w in kernels])
    # Every symbol value twice, in some order.
    gaps = np.abs(drawn[:, None] - expected[None])
    assert drawn.size == expected.size and gaps.min(axis=1).max() < 1e-12 and gaps.min(axis=0).max() < 1e-12


def test_layers_over_channels_and_the_marks():
    drawing = plots.eigenvalue_curves(ChannelSymbol([[0.5, 0.5], [1.0, 2.0]], 2))
    assert drawing.artists[0].get_xdata().size == 2 * 128
    assert [line.get_xdata()[0] for line in drawing.artists[1:]] == [0.0, -1.0]
