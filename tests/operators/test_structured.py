"""Kernels over channels and row-normalised layers: against determinants, sections and known zeros."""

import numpy as np
import pytest
from schur_cohn import count_inside

from toeplitz_theory.errors import InputError
from toeplitz_theory.operators import ChannelSymbol, RowNormalised, Symbol


@pytest.mark.parametrize(("k", "width"), [(1, 4), (2, 3), (3, 3), (5, 2)])
def test_the_index_over_channels_is_that_of_the_determinant(k, width):
    rng = np.random.default_rng([k, width])
    kernels = rng.integers(-8, 9, (k, 4)) / 8.0
    kernels[-1, 0] = 0.25
    layer = ChannelSymbol(kernels, width)
    for add, found in ((0.0, layer.fredholm_index()), (1.0, layer.residual_index())):
        # The determinant as a polynomial of degree 3 width, from its values on a circle.
        points = np.exp(2j * np.pi * np.arange(32) / 32)
        values = [np.linalg.det(add * np.eye(width) + layer(z)) for z in points]
        taps = np.fft.fft(values).real / 32
        assert np.abs(taps[3 * width + 1 :]).max() < 1e-12
        diagonal = kernels[-1] + add * np.array([1, 0, 0, 0])
        assert (
            np.abs(taps[: 3 * width + 1] - np.poly1d(diagonal[::-1]).__pow__(width).coeffs[::-1]).max() < 1e-9
        )
        assert found.certified and found.value == -width * count_inside(diagonal)


def test_the_matrix_over_channels_is_the_layer():
    rng = np.random.default_rng(0)
    kernels, x = rng.standard_normal((3, 6)), rng.standard_normal((6, 4))
    y = np.zeros_like(x)
    for j, w in enumerate(kernels):
        for c in range(4):
            if 0 <= c - 2 + j < 4:
                y[:, c] += Symbol(w).section(6) @ x[:, c - 2 + j]
    layer = ChannelSymbol(kernels, 4)
    # By transforms long enough that nothing wraps: y(z) = A(z) x(z).
    z = np.exp(2j * np.pi * np.arange(16) / 16)
    powers = z[:, None] ** np.arange(6)
    got = np.stack([layer(point) @ (row @ x) for point, row in zip(z, powers, strict=True)])
    back = np.fft.fft(got, axis=0).real / 16
    np.testing.assert_allclose(back[:6], y, atol=1e-12)


def test_a_zero_on_the_circle_is_no_index():
    assert ChannelSymbol([[1.0, 2.0], [1.0, -1.0]], 3).fredholm_index().value is None
    assert RowNormalised([1.0, 1.0]).fredholm_index().value is None


@pytest.mark.parametrize("seed", range(5))
def test_row_normalised_layers_have_the_index_of_their_limit(seed):
    rng = np.random.default_rng(seed)
    w = rng.uniform(0.1, 1.0, 12)
    layer = RowNormalised(w)
    dense = layer.to_dense()
    np.testing.assert_allclose(dense.sum(axis=1), 1.0, atol=1e-14)
    assert layer.fredholm_index().value == -count_inside(w)
    limit = w / w.sum()
    limit[0] += 1
    assert layer.residual_index().certified and layer.residual_index().value == -count_inside(limit)
    kappa = np.linalg.cond(dense)
    scale, bare = 10**layer.log10_scale_range, np.linalg.cond(Symbol(w).section().to_dense())
    assert bare / scale * (1 - 1e-9) <= kappa <= bare * scale * (1 + 1e-9)


def test_row_normalised_sections_split_as_the_index_says():
    """I + D T with one zero of 1 + a / s inside: one singular value goes to 0 as the section grows."""
    w = np.array([0.05, 0.05, -3.0])  # s = -2.9; 1 + a / s has zeros where a = 2.9: none real, two outside
    w = np.array([4.0, -9.0, 1.0])  # s = -4: a(z) - (-(-4)) = 4 - 9 z + z^2 - 4 = z (z - 9): one zero at 0
    layer = RowNormalised(w)
    assert layer.residual_index().value == -1
    smallest = []
    for n in (20, 40):
        padded = RowNormalised(np.pad(w, (0, n - 3)))
        smallest.append(np.sort(np.linalg.svd(np.eye(n) + padded.to_dense(), compute_uv=False))[:2])
    assert smallest[1][0] < 1e-10 < 0.1 < smallest[1][1]


def test_sums_that_are_no_float64_decide_only_what_is_farther_away():
    """1 + a / s with s = 1 + 2^-60: the curve of a keeps its distance, or passes -s closer than floats do."""
    far = RowNormalised([1.0, 2.0**-60]).residual_winding()
    assert far.certified and far.count == 0 and 1.9 < far.margin < 2
    near = RowNormalised([2.0**-60, 1.0])  # at z = -1 it is 2^-60 - 1, and s = 1 + 2^-60
    assert near.residual_winding().count is None and "not a float64" in near.residual_index().method
    assert RowNormalised([0.5, 1.5]).residual_winding(tol=0.9).count is None


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: RowNormalised([1.0, -1.0, 2.0]), "first 2 taps"),
        (lambda: RowNormalised([1.0, 1.0j]), "real taps"),
        (lambda: ChannelSymbol([1.0, 2.0], 3), "pass"),
        (lambda: ChannelSymbol([[1.0, 2.0]], 0), "pass"),
        (lambda: ChannelSymbol([[1.0, np.nan]], 2), "finite"),
    ],
)
def test_bad_input_is_one_clear_line(make, match):
    with pytest.raises(InputError, match=match) as caught:
        make()
    assert "\n" not in str(caught.value)
