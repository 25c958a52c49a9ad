"""Every measure's answer draws itself, and comes back from JSON as it was."""

import json
import math

import numpy as np
import pytest

import toeplitz_theory as tt
from tests.retention.known import Known, delay_line
from toeplitz_theory.errors import InputError
from toeplitz_theory.retention import (
    Measured,
    exact,
    recall_curve,
    reconstruction,
    recovery,
    token_capacity,
    total_effect,
)

TEXT = np.random.default_rng(0).integers(0, 8, (120, 16))


def small():
    return Known(delay_line, vocab=12, width=8, length=16)


MEASURES = {
    "token capacity": lambda: token_capacity(small(), samples=64),
    "total effect": lambda: total_effect(small(), samples=64),
    "recall": lambda: recall_curve(small(), TEXT, lags=[0, 8]),
    "recovery": lambda: recovery(small(), samples=80),
    "exact reconstruction": lambda: exact(small(), TEXT[:2, :6]),
    "reconstruction": lambda: reconstruction(small(), length=4, samples=120, steps=4, controls=["constant"]),
}


@pytest.fixture(scope="module", params=MEASURES)
def measured(request):
    one = MEASURES[request.param]()
    assert one.name == request.param
    return one


def test_a_measure_comes_back_from_its_file(measured, tmp_path):
    measured.save(tmp_path / "one.json")
    again = Measured.load(tmp_path / "one.json")
    assert again.table.equals(measured.table) and list(again.table) == list(measured.table)
    assert (again.value, again.interval, again.samples) == (
        measured.value,
        measured.interval,
        measured.samples,
    )
    assert again.baselines == pytest.approx(measured.baselines, nan_ok=True)
    for name, value in measured.settings.items():
        assert json.dumps(again.settings[name]) == json.dumps(value), name
        assert not isinstance(value, dict) or list(again.settings[name]) == list(value)
    assert again.content() == measured.content()


def test_what_is_no_number_comes_back_as_none(measured):
    if measured.name == "recall":  # on text: eight steps ahead lie outside the sequence
        assert math.isnan(Measured.from_content(measured.content()).table["future"].iloc[-1])


def test_a_measure_draws_itself(measured):
    from matplotlib.figure import Figure

    axes = Figure().add_subplot()
    drawing = measured.plot(ax=axes)
    assert drawing.axes == (axes,) and axes.get_xlabel()
    table = measured.table
    last = table[table["layer"] == table["layer"].max()] if "layer" in table else table
    drawn = axes.lines[0].get_ydata()
    if measured.unit == "dimensions":
        np.testing.assert_allclose(drawn, np.cumsum(last["value"]))
        assert axes.lines[0].get_xdata()[-1] == last["to" if "to" in last else "lag"].iloc[-1]
    elif "second" in table:
        np.testing.assert_allclose(drawn, table.groupby("position")["second"].median())
    else:
        np.testing.assert_allclose(drawn, last["value"])


OTHERS = ('{"format": "another"}', '{"format": "toeplitz-theory retention", "version": 1}')


@pytest.mark.parametrize("content", OTHERS)
def test_files_that_hold_no_measure(content, tmp_path):
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(InputError, match=r"x\.json") as refused:
        Measured.load(tmp_path / "x.json")
    assert "\n" not in str(refused.value)
    assert isinstance(tt.retention.Measured, type)
