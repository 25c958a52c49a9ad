"""Kernels that the caller names: every way to say it, every layout of a tensor, and what is refused."""

import json
import os
import re

import numpy as np
import pytest
import torch
from checkpoint_builders import taps
from safetensors.numpy import save_file
from scipy.special import log1p
from torch import nn

import toeplitz_theory as tt
from tests.tmm.family import make
from toeplitz_theory.checkpoints import Kernels, load
from toeplitz_theory.errors import InputError

H, N = 3, 7
BANK = taps(0, H, N)
NAME = "layers.0.filter.h"
# How a bank of kernels may lie, and what must be said of it for `BANK` to come out.
LAYOUTS = {
    "(H, n)": (BANK, Kernels()),
    "(n, H)": (BANK.T, Kernels()),
    "(n, H), told": (BANK.T, Kernels(axis=0)),
    "(H, 1, n)": (BANK[:, None], Kernels()),
    "(1, n, H)": (BANK.T[None], Kernels()),
    "(1, 1, H, n)": (BANK[None, None], Kernels()),
    "reversed": (BANK[:, None, ::-1].copy(), Kernels(reversed=True)),
    "negative axis": (BANK.T, Kernels(axis=-2)),
    "doubled by a function": (BANK / 2, Kernels(transform=lambda rows: 2 * rows)),
    "made by a function of torch": (BANK / 2, Kernels(transform=lambda rows: 2 * torch.from_numpy(rows))),
    "softplus": (np.log(np.expm1(np.abs(BANK.astype(float)))), Kernels(transform="softplus")),
    "complex": (BANK * (1 + 2j), Kernels()),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_bank_is_read_however_it_lies(name):
    stored, how = LAYOUTS[name]
    wanted = {"softplus": np.abs(BANK.astype(float)), "complex": BANK * (1 + 2j)}.get(name, BANK)
    layers = load({NAME: stored, "layers.0.filter.bias": np.ones(H)}, kernels={NAME: how}).layers
    assert [(layer.layer, layer.head) for layer in layers] == [(NAME, head) for head in range(H)]
    np.testing.assert_allclose([layer.kernel for layer in layers], wanted, rtol=1e-12)
    assert all("named as kernels by the caller" in layer.note for layer in layers)
    assert ("longest" in layers[0].note) == (how.axis is None)


def test_more_kernels_than_taps_need_the_axis():
    wide = taps(1, 9, 4)
    kernels = [layer.kernel for layer in load({NAME: wide}, kernels=f"{NAME}:axis=1").layers]
    np.testing.assert_array_equal(kernels, wide)
    assert "time along axis 0 of (9, 4), its longest" in load({NAME: wide}, kernels=NAME).layers[0].note


@pytest.mark.parametrize("shape", [(5, 5), (2, 5, 5), (9, 1, 4)])
def test_where_the_axis_of_time_is_not_plain_it_must_be_said(shape):
    with pytest.raises(InputError, match=r"say.*axis=0"):
        load({NAME: taps(0, *shape)}, kernels=NAME)
    assert load({NAME: taps(0, *shape)}, kernels={NAME: Kernels(axis=-1)}).layers[0].n == shape[-1]


@pytest.mark.parametrize(
    "kernels",
    [
        "a.*.h",
        ["a.0.h", "a.1.h"],
        {"a.*.h": Kernels()},
        {"a.?.h": {}},
        "a.*.h:axis=1,residual=true",
        Kernels(axis=-1),
        lambda name, values: values if name.endswith("h") else None,
        lambda name, values: Kernels() if name.endswith("h") else None,
        lambda name, values: torch.tensor(values) if name.endswith("h") else None,
    ],
)
def test_every_way_to_name_kernels(kernels):
    state = {"a.0.h": taps(0, 2, 4), "a.1.h": taps(1, 2, 4)}
    if not isinstance(kernels, Kernels):
        state["a.0.w"] = taps(2, 4, 4)
    checkpoint = load(state, kernels=kernels)
    assert [layer.layer for layer in checkpoint.layers] == ["a.0.h", "a.0.h", "a.1.h", "a.1.h"]
    assert checkpoint.ignored == len(state) - 2 and any("caller" in note for note in checkpoint.notes)


def test_an_exact_name_is_no_pattern_and_the_first_pattern_reads():
    state = {"a[0].h": taps(0, 2, 4), "a[1].h": taps(1, 2, 4)}
    assert [layer.layer for layer in load(state, kernels="a[0].h:heads=1").layers] == ["a[0].h"]
    kernels = {"*": Kernels(heads=[0]), "a[[]1].h": Kernels(heads=[0, 1])}
    assert len(load(state, kernels=kernels).layers) == 2


def test_a_pattern_without_a_tensor_is_among_what_is_skipped():
    checkpoint = load({"a.h": taps(0, 2, 4)}, kernels=["a.h", "b.h"])
    assert [(skip.name, skip.reason) for skip in checkpoint.skipped] == [("b.h", "no tensor is named so")]


def test_a_toml_file_for_a_zoo(tmp_path):
    zoo = tmp_path / "zoo.toml"
    zoo.write_text('["*.h"]\naxis = 0\nreversed = true\nheads = [1]\n["*.k"]\nresidual = false\n')
    save_file({"l.h": BANK.T.copy()}, tmp_path / "model.safetensors")
    for kernels in (zoo, str(zoo)):
        (layer,) = load(tmp_path, kernels=kernels).layers
        np.testing.assert_array_equal(layer.kernel, BANK[1, ::-1])


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("[a", "not TOML"),
        ("", "names no tensor"),
        ('["*"]\nflip = 1', "option flip"),
        ('"*" = 3', "given a int"),
    ],
)
def test_a_toml_file_that_says_nothing_is_refused(tmp_path, text, error):
    (tmp_path / "zoo.toml").write_text(text)
    with pytest.raises(InputError, match=error):
        load({NAME: BANK}, kernels=tmp_path / "zoo.toml")
    with pytest.raises(InputError, match=r"kernels: missing\.toml: there is no such file"):
        load({NAME: BANK}, kernels="missing.toml")
    os.mkfifo(tmp_path / "pipe.toml")
    (tmp_path / "deep.toml").write_text("a=" + "[" * 8000)
    for name, error in [("pipe.toml", "not a regular file"), ("deep.toml", "not TOML")]:
        with pytest.raises(InputError, match=error):
            load({NAME: BANK}, kernels=tmp_path / name)


@pytest.mark.parametrize(
    ("kernels", "error"),
    [
        (f"{NAME}:flip", "no option flip"),
        (f"{NAME}:axis=x", "no option axis=x"),
        (f"{NAME}:", "write PATTERN"),
        (7, "give a name or pattern"),
        ([], "give a name or pattern"),
        ({3: Kernels()}, "no name or pattern"),
        ({NAME: 3}, r"give tt\.Kernels"),
        ({NAME: {"flip": True}}, "option flip"),
        ({NAME: Kernels(axis=5)}, "axis=5"),
        ({NAME: Kernels(heads=[0, 3])}, "no kernel 3 of 3"),
        ({NAME: Kernels(transform=lambda rows: rows[:1])}, r"shape \(1, 7\)"),
        ({NAME: Kernels(transform=lambda rows: "taps")}, "no array of numbers"),
        (lambda name, values: "taps", "no array of numbers"),
        ("other", "no tensor is named so"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(kernels, error):
    with pytest.raises(InputError, match=error) as refused:
        load({NAME: BANK}, kernels=kernels)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "fields",
    [{"axis": 1.5}, {"axis": True}, {"reversed": "yes"}, {"residual": 3}, {"transform": "exp"}, {"heads": 3}],
)
def test_options_of_the_wrong_kind_are_refused(fields):
    with pytest.raises(InputError, match=next(iter(fields))):
        Kernels(**fields)


def test_an_error_of_the_callers_own_function_is_not_swallowed():
    def fails(rows):
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        load({NAME: BANK}, kernels={NAME: Kernels(transform=fails)})


def test_integers_that_float64_rounds_and_values_without_a_scale_are_refused():
    with pytest.raises(InputError, match="integers of 2"):
        load({NAME: np.full((2, 3), 2**53 + 1)}, kernels=NAME)
    with pytest.raises(InputError, match="without their scale"):
        load({NAME: np.ones((2, 3), np.int8)}, kernels={NAME: Kernels(transform="softplus")})


class Convolutions(nn.Module):
    """A causal depthwise convolution, a dilated one and one that mixes channels."""

    def __init__(self):
        super().__init__()
        self.plain = nn.Conv1d(6, 6, 4, groups=6, padding=3)
        self.dilated = nn.Conv1d(6, 6, 4, groups=6, dilation=2)
        self.mixing = nn.Conv1d(6, 6, 4)


def test_a_live_convolution_is_read_as_it_multiplies():
    module = Convolutions()
    layers = load(module, kernels="plain.weight").layers
    x = torch.zeros(1, 6, 5)
    x[..., 0] = 1
    response = module.plain(x)[0, :, :4] - module.plain.bias[:, None]
    np.testing.assert_allclose([layer.kernel for layer in layers], response.detach(), atol=1e-6)
    assert "last tap at lag 0" in layers[0].note
    as_stored = load(module, kernels={"plain.weight": Kernels(reversed=False)}).layers[0]
    np.testing.assert_array_equal(as_stored.kernel[::-1], layers[0].kernel)
    for name, reason in (("dilated", "dilation 2"), ("mixing", "mixes channels")):
        with pytest.raises(InputError, match=reason):
            load(module, kernels=f"{name}.weight")


@pytest.mark.parametrize(
    "source",
    [BANK, torch.from_numpy(BANK), list(BANK), tuple(BANK), BANK.tolist(), {"any": BANK}, {"a.b": BANK.T}],
    ids=["array", "tensor", "list of arrays", "tuple", "nested lists", "mapping", "dotted name"],
)
def test_kernels_at_hand_need_no_name(source):
    report = tt.inspect(source)
    np.testing.assert_array_equal([row.kernel for row in report], BANK)
    assert all(row.analysed and "by the caller" in row.note for row in report)


def test_one_kernel_at_hand():
    for source in ([1.0, -2.0], np.array([1.0, -2.0]), {"taps": [1.0, -2.0]}):
        (row,) = tt.inspect(source)
        assert row.head is None and row.index.value == -1 and row.index.certified


@pytest.mark.parametrize("source", [[], (), [object()], ["text"], 3, np.float64(3.0), [[]]])
def test_what_is_no_kernel_is_no_kernel_at_hand(source):
    with pytest.raises(InputError):
        tt.inspect(source)


def test_a_model_is_never_taken_for_kernels_at_hand():
    for model in (nn.Linear(5, 7), nn.LayerNorm(5), nn.GRU(3, 3)):
        for source in (model, model.state_dict()):
            with pytest.raises(InputError, match="no Toeplitz layer"):
                tt.inspect(source)


class Layer(nn.Module):
    """A mixer of the kind people write themselves."""

    def __init__(self, shape=(4, 16)):
        super().__init__()
        self.filter = nn.Parameter(torch.randn(shape))
        self.proj = nn.Linear(4, 4)
        self.norm = nn.LayerNorm(4)


def test_a_refusal_lists_the_candidates_and_the_call_that_reads_them():
    model = nn.Sequential(Layer(), Layer())
    with pytest.raises(InputError) as refused:
        tt.inspect(model)
    message = str(refused.value)
    assert "'*.filter' (4, 16) x 2: no layout has this name" in message and "\n" not in message
    call = re.search(r"tt\.inspect\(.*\)", message).group()
    assert len(eval(call, {"tt": tt, "model": model})) == 8


@pytest.mark.parametrize("shape", [(4, 16), (16, 4), (4, 1, 16), (16,), (16, 16), (16, 1, 4)])
def test_the_call_that_a_refusal_prints_reads_a_file(shape, tmp_path):
    path = tmp_path / "model.safetensors"
    save_file({"layers.0.filter": taps(0, *shape), "layers.0.proj.weight": taps(1, 4, 4)}, path)
    with pytest.raises(InputError) as refused:
        tt.inspect(path)
    call = re.search(r"tt\.inspect\(.*\)", str(refused.value)).group()
    assert all(row.layer == "layers.0.filter" for row in eval(call, {"tt": tt}))


def test_a_layer_without_residual_connection_has_no_index_with_it():
    (row,) = tt.inspect([1.0, -2.0], kernels=Kernels(residual=False))
    assert row.index_residual is None and row.residual_delay_90 is None
    assert "stands in no residual connection" in row.note


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_complex_kernels_keep_their_values_in_files_and_reports(suffix, tmp_path):
    zero = 0.5j  # inside, so that the index is -1
    kernel = torch.tensor([[-zero, 1.0]], dtype=torch.complex64)
    path = tmp_path / f"model{suffix}"
    if suffix == ".pt":
        torch.save({"f.h": kernel}, path)
    else:
        from safetensors.torch import save_file as save_torch

        save_torch({"f.h": kernel}, path)
    report = tt.inspect(path, kernels="f.h")
    (row,) = report
    assert row.index.value == -1 and row.index.certified and row.w0 == 0.5
    np.testing.assert_array_equal(row.kernel, [-zero, 1.0])
    report.save(tmp_path / "report.json")
    report.to_html(tmp_path / "report.html")
    again = tt.reports.Report.load(tmp_path / "report.json")
    np.testing.assert_array_equal(again.rows[0].kernel, row.kernel)
    assert json.loads((tmp_path / "report.json").read_text())["rows"][0]["kernel"]["dtype"] == "complex64"
    for kind in ("symbols", "zeros", "kernels", "by_layer"):
        report.plot(kind)


def test_a_conjugated_view_is_read_as_it_stands():
    view = torch.tensor([1 + 2j, 3 - 1j]).conj()
    np.testing.assert_array_equal(load([view]).layers[0].kernel, [1 - 2j, 3 + 1j])


def test_the_command_line_names_kernels(tmp_path):
    from typer.testing import CliRunner

    from toeplitz_theory.cli import app

    save_file({"l.0.h": BANK.T.copy(), "l.0.w": taps(3, 4, 4)}, tmp_path / "model.safetensors")
    out = tmp_path / "report.json"
    arguments = ["inspect", str(tmp_path), "--kernels", "l.*.h:axis=0,reversed", "--json", str(out)]
    outcome = CliRunner().invoke(app, arguments)
    assert outcome.exit_code == 0, outcome.output
    rows = tt.reports.Report.load(out).rows
    np.testing.assert_array_equal([row.kernel for row in rows], BANK[:, ::-1])


def test_softplus_is_the_exact_one():
    stored = np.array([[-30.0, 0.5, 40.0]])
    kernel = load({NAME: stored}, kernels={NAME: Kernels(transform="softplus")}).layers[0].kernel
    np.testing.assert_allclose(kernel, log1p(np.exp(stored[0])), rtol=1e-12)


def test_what_the_caller_names_in_a_model_of_ours_is_said_not_to_be_verified():
    report = tt.inspect(make("flat"), kernels="*.token_mixing_layer.weight")
    assert any("as the caller said" in note for note in report.notes)
