"""Outputs: what would cost somebody a file is refused before any work, in one line."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from toeplitz_theory.cli import run
from toeplitz_theory.commands.outputs import Output, check_outputs
from toeplitz_theory.errors import InputError
from toeplitz_theory.reports import Report

KEY = "mixer_blocks.0.token_mixing_layer.weight"


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    save_file({KEY: np.array([[1.0, -2.0]], np.float32)}, folder / "model.safetensors")
    (folder / "config.json").write_text("{}")
    (folder / "README.md").write_text("mine")
    return folder


def everything_in(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def refused(arguments, folder, capsys, *words):
    """Assert one line, code 2, and every file as it was."""
    before = everything_in(folder)
    assert run([str(argument) for argument in arguments]) == 2
    streams = capsys.readouterr()
    assert streams.out == "" and streams.err.count("\n") == 1, streams
    assert all(word in streams.err for word in words), streams.err
    assert everything_in(folder) == before


@pytest.mark.parametrize(
    "name", ["model.safetensors", "config.json", "new.safetensors", "new.PT", "Config.json", "README.md"]
)
@pytest.mark.parametrize("option", ["--json", "--html", "--csv"])
def test_files_of_a_model_and_of_others_stay(model, tmp_path, capsys, name, option):
    command = "compare" if option == "--csv" else "inspect"
    refused([command, model, option, model / name], tmp_path, capsys, option, name)
    refused([command, model / "model.safetensors", option, model / name], tmp_path, capsys, name)
    if name != "README.md":
        refused([command, model, option, model / name, "--overwrite"], tmp_path, capsys, name)


def test_links_and_other_spellings_are_seen_through(model, tmp_path, capsys, monkeypatch):
    blob = tmp_path / "blob"
    (model / "model.safetensors").rename(blob)
    (model / "model.safetensors").symlink_to(blob)
    (tmp_path / "link.json").symlink_to(model / "model.safetensors")
    (tmp_path / "into").symlink_to(model)
    (tmp_path / "hard.json").hardlink_to(model / "config.json")
    (tmp_path / "nowhere.json").symlink_to("nowhere.json")
    for place in ("link.json", "into/config.json", "model/../model/config.json", "hard.json"):
        refused(["inspect", model, "--json", tmp_path / place], tmp_path, capsys, "--json")
    refused(["inspect", model, "--json", tmp_path / "nowhere.json"], tmp_path, capsys, "leads nowhere")
    refused(["inspect", model, "--json", blob, "--overwrite"], tmp_path, capsys, "is read by this command")
    monkeypatch.chdir(model)
    refused(["inspect", ".", "--json", "README.md"], tmp_path, capsys, "README.md")


@pytest.mark.parametrize(
    ("first", "second"),
    [("x", "x"), ("x", "./x"), ("x", "sub/../x"), ("x", "X"), ("é.json", "e\u0301.json"), ("link", "x")],
)
def test_two_outputs_in_one_file_are_refused(model, tmp_path, capsys, first, second):
    (tmp_path / "sub").mkdir()
    (tmp_path / "link").symlink_to(tmp_path)
    first = "link/x" if first == "link" else first
    arguments = ["inspect", model, "--json", f"{tmp_path}/{first}", "--html", f"{tmp_path}/{second}"]
    refused(arguments, tmp_path, capsys, "the same file")


def test_earlier_outputs_are_replaced_and_only_by_their_own_kind(model, tmp_path, capsys):
    out = [tmp_path / "r.json", tmp_path / "r.html", tmp_path / "figures", tmp_path / "r.csv"]
    inspect = ["inspect", model, "--json", out[0], "--html", out[1], "--figures", out[2]]
    compare = ["compare", model, "--csv", out[3], "--figures", out[2]]
    for _ in range(2):
        assert run([str(a) for a in inspect]) == 0 and run([str(a) for a in compare]) == 0
    assert len(list(out[2].iterdir())) == 10
    capsys.readouterr()
    refused(["inspect", model, "--html", out[0]], tmp_path, capsys, "r.json", "--overwrite")
    (out[2] / "zeros.pdf").write_text("mine")
    refused(inspect, tmp_path, capsys, "zeros.pdf", "--overwrite")
    assert run([str(a) for a in [*inspect, "--overwrite"]]) == 0
    assert Report.load(out[0]).rows and (out[2] / "zeros.pdf").read_bytes().startswith(b"%PDF")


def test_places_are_tried_before_the_work(model, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("toeplitz_theory.reports.inspect", lambda *_, **__: pytest.fail("worked"))
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    refused(["inspect", model, "--json", tmp_path / "folder"], tmp_path, capsys, "is a folder")
    refused(["inspect", model, "--json", tmp_path / "file" / "r.json"], tmp_path, capsys, "cannot be written")
    refused(["inspect", model, "--figures", tmp_path / "file"], tmp_path, capsys, "cannot be written")
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.W_OK)
    refused(["inspect", model, "--json", tmp_path / "r.json"], tmp_path, capsys, "is protected")


def test_devices_take_what_they_are_given(model, tmp_path, capfd):
    assert run(["inspect", str(model), "--json", os.devnull, "--html", os.devnull]) == 0
    capfd.readouterr()
    assert run(["inspect", str(model), "--json", "/dev/stdout"]) == 0
    text = capfd.readouterr().out
    report, end = json.JSONDecoder().raw_decode(text)
    assert report["rows"] and "1 kernel in 1 Toeplitz layer" in text[end:]


def test_a_file_that_cannot_be_read_is_nobody_s_to_replace(tmp_path, monkeypatch):
    (tmp_path / "r.json").write_text('{"format": "toeplitz-theory report"}')
    check_outputs([Output("--json", tmp_path / "r.json", ".json")], [], overwrite=False)
    monkeypatch.setattr(Path, "open", lambda *_: (_ for _ in ()).throw(PermissionError(13, "denied")))
    with pytest.raises(InputError, match=r"no \.json file that this program wrote"):
        check_outputs([Output("--json", tmp_path / "r.json", ".json")], [], overwrite=False)


def test_the_model_compared_with_is_an_input_too(model, tmp_path, capsys):
    other = tmp_path / "other"
    other.mkdir()
    (other / "notes.json").write_text("mine")
    arguments = ["retention", model, "--against", other, "--json", other / "notes.json", "--overwrite"]
    refused(arguments, tmp_path, capsys, "is read by this command")


def test_no_output_is_a_folder_of_another(model, tmp_path, capsys):
    place = tmp_path / "place.json"
    refused(["inspect", model, "--json", place, "--figures", place], tmp_path, capsys, "as a folder")
    refused(["inspect", model, "--json", place / "a.json", "--html", place], tmp_path, capsys, "as a folder")
