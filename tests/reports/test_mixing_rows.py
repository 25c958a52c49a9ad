"""Rows of layers that mix channels, whose symbol is a matrix: its determinant is chosen, and so the index."""

import io

import numpy as np
import pytest
import torch
from torch import nn

import toeplitz_theory as tt
from toeplitz_theory.checkpoints import MixingLayer
from toeplitz_theory.reports import Report
from toeplitz_theory.reports.analysis import Asked
from toeplitz_theory.reports.mixing import analyse_mixing
from toeplitz_theory.reports.terminal import print_report

N = 12


def turned(kernels, seed=0):
    """U diag(a_1 .. a_d) V with orthogonal U, V: det A is the product of the a_i, up to a sign."""
    rng = np.random.default_rng(seed)
    d = len(kernels)
    u, v = (np.linalg.qr(rng.normal(size=(d, d)))[0] for _ in range(2))
    taps = np.zeros((N, d, d))
    for k, kernel in enumerate(kernels):
        for lag, tap in enumerate(kernel):
            taps[lag] += tap * np.outer(u[:, k], v[k])
    return taps


class Mixing(nn.Module):
    def __init__(self, taps):
        super().__init__()
        self.taps = nn.Parameter(torch.from_numpy(taps))

    def forward(self, x):
        out = torch.zeros_like(x)
        for lag in range(min(len(self.taps), x.shape[1])):
            out[:, lag:] += x[:, : x.shape[1] - lag] @ self.taps[lag].T
        return out


class Model(nn.Module):
    def __init__(self, taps):
        super().__init__()
        self.mixer = Mixing(taps)
        self.scale = nn.Linear(3, 3).double()

    def forward(self, x):
        return x + self.mixer(self.scale(x))


KERNELS = ([1.0, -2.0], [1.0, 0.3], [2.0, 0.5, -9.0])  # zeros inside: 1, 0, 2


@pytest.fixture(scope="module")
def report():
    inputs = torch.randn(2, N, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return tt.inspect(Model(turned(KERNELS)), probe="mixer", inputs=inputs)


def test_a_mixing_layer_is_one_row(report):
    (row,) = report.rows
    assert (row.layer, row.n, row.channels, row.layout) == ("mixer", N, 3, "mixing")
    assert row.index.value == -3 and row.index.certified
    assert row.mean_delay == 1.0 and "mean delay 1 tokens a channel" in row.note
    section = np.zeros((N, 3, N, 3))
    for k, tap in enumerate(turned(KERNELS)):
        for start in range(N - k):
            section[start + k, :, start, :] = tap
    truth = np.log10(np.linalg.cond(section.reshape(3 * N, 3 * N)))
    assert row.log10_condition.lower <= truth <= row.log10_condition.upper
    assert row.log10_condition.value == pytest.approx(truth, abs=1e-8)
    own = tt.MatrixSymbol(turned(KERNELS)).residual().fredholm_index()
    assert row.index_residual.value == own.value
    assert row.w0 is None and row.delay_90 is None
    assert not report.skipped


def test_everywhere_a_report_goes(report, tmp_path):
    line = report.table.iloc[0]
    assert (line["layer"], line["index"], line["certified"], line["n"]) == ("mixer", -3, True, N)
    out = io.StringIO()
    print_report(report, out)
    assert "mixer" in out.getvalue() and "mixes 3 channels" in out.getvalue()
    report.save(tmp_path / "report.json")
    assert Report.load(tmp_path / "report.json").rows == report.rows
    report.to_html(tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert "mixes 3 channels" in page and "<title>mixer: 1</title>" in page  # index -3, on 3 channels
    for kind in ("symbols", "zeros"):
        assert "mixes 3 channels" in report.plot(kind).artists[0].get_text().replace("\n", " ")


def test_what_is_too_large_is_a_note():
    taps = np.random.default_rng(0).normal(size=(600, 64, 64))
    row = analyse_mixing(MixingLayer("big", taps, "float32"), Asked())
    assert row.index is None and row.log10_condition is None
    assert "index not computed: 600 taps of 64 x 64" in row.note and "38400 x 38400" in row.note


def test_what_is_not_proved_is_told_and_not_given():
    taps = turned(([1.0, -1.0], [1.0, -2.0]))  # a zero on the circle
    row = analyse_mixing(MixingLayer("m", taps, "float32"), Asked(quick=True))
    assert row.index.value is None and not row.index.certified
    assert "index not certified" in row.note and row.mean_delay is None


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_unusable_taps(value):
    row = analyse_mixing(MixingLayer("m", np.full((4, 2, 2), value), "float32"), Asked())
    assert not row.analysed and "not analysed" in row.note
