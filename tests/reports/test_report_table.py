"""The numbers of a report against kernels whose zeros were chosen, and against dense matrices."""

import dataclasses
import json
import math

import numpy as np
import pandas as pd
import pytest
from report_builders import CANCELS, KEY, NAN, ON_CIRCLE, SHIFT, ZERO, awkward, flat, padded, with_zeros
from safetensors.numpy import save_file
from scipy.linalg import toeplitz

import toeplitz_theory as tt
from toeplitz_theory.errors import InputError
from toeplitz_theory.reports import COLUMN_NAMES, COLUMNS
from toeplitz_theory.reports.analysis import Asked, analyse

EPS = np.finfo(float).eps
DESIGN = [
    *("layer", "head", "n", "index", "certified", "recovered_at_once", "delay_90", "index_residual"),
    *("residual_delay_90", "zeros_near_circle", "min_modulus", "jensen_deficit", "log10_condition"),
    *("nullity", "bits_bfloat16", "w0", "dtype", "note"),
]


def test_columns_are_those_of_the_contract(awkward_report):
    assert list(awkward_report.table.columns) == DESIGN == list(COLUMN_NAMES)
    assert len(awkward_report.table) == 7


def test_every_column_is_explained_once():
    assert len(set(COLUMN_NAMES)) == len(COLUMNS)
    assert all(len(column.meaning) > 20 for column in COLUMNS)
    assert all(column.status in ("certified", "bracketed", "given") for column in COLUMNS)


def test_dtypes_can_hold_missing_values(awkward_report):
    kinds = awkward_report.table.dtypes
    for name in ("head", "index", "index_residual", "zeros_near_circle", "nullity"):
        assert kinds[name] == pd.Int64Dtype()
    assert kinds["certified"] == pd.BooleanDtype()
    assert kinds["jensen_deficit"] == pd.Float64Dtype()


def test_index_and_jensen_deficit_are_those_of_the_chosen_zeros():
    zeros = (0.5, -0.25, 0.125, 4.0, -8.0)
    report = tt.inspect(flat(with_zeros(*zeros)))
    row = report.rows[0]
    inside = [z for z in zeros if abs(z) < 1]
    assert row.index.value == -len(inside) and row.index.certified
    # Taps are dyadic and stored exactly, so only the computation rounds: its own error bound says how much.
    truth = sum(math.log(1 / abs(z)) for z in inside)
    assert row.jensen_deficit.lower - 4 * EPS * truth <= truth <= row.jensen_deficit.upper + 4 * EPS * truth
    assert report.table["jensen_deficit"][0] == row.jensen_deficit.value


def test_residual_index_counts_the_zeros_of_one_plus_a():
    # 1 + a = 1 - 4 z: its zero lies at 1/4, while a itself is -4 z, a shift.
    row = tt.inspect(flat(padded(0.0, -4.0))).rows[0]
    assert (row.index.value, row.index_residual.value) == (-1, -1)
    # 1 + a = 4 - z: none inside, while a = 3 - z has none either; and a = -1/2 - z has one, 1 + a too.
    row = tt.inspect(flat(padded(3.0, -1.0))).rows[0]
    assert (row.index.value, row.index_residual.value) == (0, 0)
    row = tt.inspect(flat(padded(-0.5, 1.0))).rows[0]
    assert (row.index.value, row.index_residual.value) == (-1, -1)
    row = tt.inspect(flat(padded(1.0, 1.5))).rows[0]
    assert (row.index.value, row.index_residual.value) == (-1, 0)


@pytest.mark.parametrize(
    ("taps", "index", "with_t", "with_d_t"),
    [
        # a = 4 - 9 z + z^2, s = -4: 1 + a / s = z (9 - z) / 4; 1 + a has a zero at (9 - sqrt(61)) / 2.
        ((4.0, -9.0, 1.0), -1, -1, -1),
        # a = 1 + 3 z, s = 4: 1 + a / s = (5 + 3 z) / 4 has none, 1 + a = 2 + 3 z one.
        ((1.0, 3.0), -1, -1, 0),
        # a = 3 - 2.5 z, s = 1/2: 1 + a / s = 7 - 5 z has none; a and 1 + a have none either.
        ((3.0, -2.5), 0, 0, 0),
        # a = 1 - 0.75 z, s = 1/4, none; -a has s = -1/4: 1 + a / s is the same, 1 - a = 0.75 z has one.
        ((-1.0, 0.75), 0, -1, 0),
    ],
)
def test_row_normalised_layers_have_the_index_of_their_own_operator(taps, index, with_t, with_d_t, tmp_path):
    model = {KEY.format(0): padded(*taps)[None]}
    save_file(model, tmp_path / "model.safetensors")
    plain = tt.inspect(tmp_path).rows[0]
    (tmp_path / "config.json").write_text(json.dumps({"row_normalised": True}))
    report = tt.inspect(tmp_path)
    row = report.rows[0]
    assert (row.index.value, row.index_residual.value) == (index, with_d_t) and row.index_residual.certified
    assert (plain.index.value, plain.index_residual.value) == (index, with_t)
    assert "I + D T(a)" in row.note and "D T" not in plain.note
    assert any("I + D T(a): index 0" in line for line in str(report).splitlines())
    assert report.table["index_residual"][0] == with_d_t
    report.save(tmp_path / "report.json")
    assert tt.Report.load(tmp_path / "report.json").rows[0] == row


@pytest.mark.parametrize(("taps", "index"), [((4.0, -9.0, 1.0), -1), ((1.0, 3.0), None)])
def test_layers_that_may_be_normalised_have_the_index_that_holds_either_way(taps, index):
    # The indices of I + T(a) and I + D T(a) are those of the test above: -1 and -1, -1 and 0.
    layer = tt.checkpoints.load(flat(padded(*taps))).layers[0]
    row = analyse(dataclasses.replace(layer, row_normalised=None), Asked())
    assert (row.index_residual.value if row.index_residual else None) == index
    assert ("does not say which" in row.note) == (index is None)
    assert "is that of I + D T(a), index" not in row.note and "D from" in row.note
    assert ("are the same for both" in row.note) == (index is not None)


def test_rows_that_cannot_be_normalised_have_no_index_with_residual(tmp_path):
    save_file({KEY.format(0): padded(1.0, -1.0, 0.5)[None]}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"row_normalised": True}))
    row = tt.inspect(tmp_path).rows[0]
    assert row.index_residual is None and row.index.certified
    assert "first 2 taps add up to 0" in row.note


def test_condition_and_nullity_agree_with_a_dense_decomposition():
    kernel = with_zeros(0.5, 4.0, n=12)
    sigma = np.linalg.svd(toeplitz(kernel, np.zeros(12)), compute_uv=False)
    row = tt.inspect(flat(kernel), nullity_rtol=1e-3).rows[0]
    # LAPACK's smallest singular value is off by some n eps sigma_max: relatively n eps kappa.
    slack = 12 * EPS * 10**row.log10_condition.value
    assert row.log10_condition.value == pytest.approx(math.log10(sigma[0] / sigma[-1]), abs=slack)
    assert row.log10_condition.lower <= row.log10_condition.value <= row.log10_condition.upper
    assert row.nullity == int((sigma <= 1e-3 * sigma[0]).sum()) == 1


def test_min_modulus_column_is_the_lower_bound(awkward_report):
    row = awkward_report.rows[0]
    # |1 - z/2| |1 + z/4| on the circle: its least value, on a fine grid, lies in the bracket.
    z = np.exp(1j * np.linspace(0, 2 * np.pi, 100_001))
    least = np.abs((1 - z / 2) * (1 + z / 4)).min()
    assert row.min_modulus.lower <= least * (1 + 8 * EPS)
    assert row.min_modulus.upper >= least * (1 - 1e-8)
    assert awkward_report.table["min_modulus"][0] == row.min_modulus.lower


@pytest.mark.parametrize("place", [NAN, ZERO])
def test_unusable_kernels_are_rows_with_a_note(awkward_report, place):
    line = awkward_report.table.iloc[place]
    assert not awkward_report.rows[place].analysed
    for name in ("index", "certified", "index_residual", "min_modulus", "jensen_deficit", "nullity"):
        assert line[name] is pd.NA, name
    assert "not analysed" in line["note"]


def test_zero_on_the_circle_gives_angles_and_no_integer(awkward_report):
    line = awkward_report.table.iloc[ON_CIRCLE]
    assert line["index"] is pd.NA and line["certified"] == False  # noqa: E712
    assert "T(a) not Fredholm at tolerance 0, angles" in line["note"]
    angle = awkward_report.rows[ON_CIRCLE].index.winding.on_circle
    assert len(angle) == 1 and abs(angle[0]) < 1e-6


def test_tolerance_is_passed_on():
    kernels = flat(with_zeros(1.0625))  # least modulus 1/17 of the first tap
    assert tt.inspect(kernels).rows[0].index.value == 0
    row = tt.inspect(kernels, tol=0.5).rows[0]
    assert row.index.value is None and "tolerance 0.5" in row.note


def test_leading_zero_taps_make_the_matrix_singular(awkward_report):
    line = awkward_report.table.iloc[SHIFT]
    assert line["index"] == -2 and line["nullity"] == 2 and line["w0"] == 0
    assert math.isinf(line["jensen_deficit"]) and math.isinf(line["log10_condition"])
    assert "nullity 2 in exact arithmetic" in line["note"]


def test_layer_that_cancels_the_stream(awkward_report):
    line = awkward_report.table.iloc[CANCELS]
    assert line["index"] == 0 and line["index_residual"] is pd.NA
    assert "I + T(a) = 0" in line["note"]


def test_single_tap():
    row = tt.inspect(flat([3.0])).rows[0]
    assert (row.n, row.index.value, row.nullity, row.log10_condition.value) == (1, 0, 0, 0.0)


def test_heads_are_rows_and_their_meaning_is_said_once():
    key = "mixer_blocks.0.token_mixing_layer.mixer_heads.{}.weight"
    kernels = [with_zeros(2.0), with_zeros(0.5)]
    report = tt.inspect({key.format(h): k.astype(np.float32)[None] for h, k in enumerate(kernels)})
    assert report.table["head"].tolist() == [0, 1] and report.table["index"].tolist() == [0, -1]
    assert sum("scalar symbol" in note for note in report.notes) == 1
    assert not any("scalar symbol" in row.note for row in report.rows)
    assert not any("scalar symbol" in note for note in tt.inspect(flat([1.0, 0.5])).notes)


def test_skipped_tensors_are_named():
    dense = {"mixer_blocks.9.token_mixing_layer.weight": np.ones((4, 4), dtype=np.float32)}
    report = tt.inspect({**flat([1.0, 0.5, 0.0, 0.0]), **dense})
    assert len(report.rows) == 1 and report.skipped[0][0].startswith("mixer_blocks.9")


def test_text_says_which_invertible(awkward_report):
    text = repr(awkward_report)
    assert "operator T(a) on l2(N): index 0 (invertible) for 2 of 7" in text
    assert "n x n matrix: w[0] not 0 (invertible) for 4 of 7" in text


@pytest.mark.parametrize(
    "bad", [{"tol": -1.0}, {"tol": math.nan}, {"nullity_rtol": math.inf}, {"nullity_rtol": 1}]
)
def test_impossible_tolerances_are_refused(bad):
    with pytest.raises(InputError, match=next(iter(bad))):
        tt.inspect(flat([1.0, 0.5]), **bad)


def test_comparison_joins_tables_and_takes_medians():
    a, b = tt.inspect(flat(with_zeros(0.5), with_zeros(2.0), with_zeros(0.25))), awkward()
    both = tt.compare({"a": a, "b": b})
    assert list(both.table.columns) == ["model", *DESIGN]
    assert both.table["model"].tolist() == ["a"] * 3 + ["b"] * 7
    assert both.summary.loc["a", "index_0"] == 1 and both.summary.loc["a", "index"] == -1
    assert both.summary.loc["a", "jensen_deficit"] == pytest.approx(math.log(2), abs=8 * EPS)
    assert both.summary.loc["b", "w0_not_0"] == 4
    # The 5 known deficits of b are 0, 0, 0, log 8 and inf: a zero on the circle costs nothing.
    assert both.summary.loc["b", "jensen_deficit"] == pytest.approx(0, abs=1e-12)


def test_names_that_are_shown_alike_lose_no_model():
    a, b = tt.inspect(flat([1.0, 0.5])), tt.inspect(flat([0.5, 1.0]))
    both = tt.compare({"a\n": a, "a\\n": b, 1: a, "1": b})
    assert list(both.reports) == ["a\\n", "a\\n 2", "1", "1 2"]
    assert both.table["index"].tolist() == [0, -1, 0, -1]


def test_comparison_refuses_reports_of_different_tolerance():
    kernels = flat([1.0, 0.5])
    with pytest.raises(InputError, match="tolerances"):
        tt.compare({"a": tt.inspect(kernels), "b": tt.inspect(kernels, tol=0.1)})
    with pytest.raises(InputError, match="no models"):
        tt.compare({})
