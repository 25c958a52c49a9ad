"""Models of the Hub: what is fetched, and one line for all that can go wrong; no test uses the network."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
from huggingface_hub import errors
from safetensors.numpy import save_file

import toeplitz_theory as tt
from toeplitz_theory.errors import InputError


@pytest.fixture
def folder(tmp_path):
    save_file({"blocks.0.mixer.weight": np.array([1.0, -2.0], np.float32)}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text("{}")
    return tmp_path


@pytest.fixture
def fetched(folder, monkeypatch):
    """The calls of the client, answered from a folder."""
    calls = []

    def snapshot_download(name, *, revision, allow_patterns):
        calls.append((name, revision, allow_patterns))
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    return calls


def test_a_model_of_the_hub_is_inspected(fetched):
    report = tt.inspect("hub:someone/model@v1")
    assert report.rows[0].index.value == -1
    assert report.provenance.source == "hub:someone/model@v1"
    ((name, revision, patterns),) = fetched
    assert (name, revision) == ("someone/model", "v1")
    assert not any(pattern.endswith((".bin", ".pt", ".py", "*")) for pattern in patterns)


def test_names_without_revision_and_in_comparisons(fetched):
    assert list(tt.compare(["hub:someone/model", Path("hub:other/one")]).reports) == ["model", "one"]
    assert [call[:2] for call in fetched] == [("someone/model", None), ("other/one", None)]


def refused(kind, name="hub:someone/model"):
    def snapshot_download(*_, **__):
        raise kind

    with pytest.MonkeyPatch.context() as patch, pytest.raises(InputError) as caught:
        patch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
        tt.inspect(name)
    message = str(caught.value)
    assert message.startswith(name) and "\n" not in message and len(message) < 300
    return message


def of_the_server(kind):
    return kind.__new__(kind, "long\npage")


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        (of_the_server(errors.GatedRepoError), "hf auth login"),
        (of_the_server(errors.RepositoryNotFoundError), "no such model"),
        (of_the_server(errors.RevisionNotFoundError), "revision"),
        (errors.LocalEntryNotFoundError("x"), "check the network"),
        (errors.OfflineModeIsEnabled("x"), "check the network"),
        (errors.HFValidationError("x"), "write hub:OWNER/NAME"),
        (ConnectionError("no route\nto host"), "no route to host"),
    ],
)
def test_what_goes_wrong_is_one_line(kind, says):
    assert says in refused(kind)


@pytest.mark.parametrize("name", ["hub:", "hub:someone/*", "hub:../..", "hub:a/b/c/d"])
def test_names_that_are_none(name):
    with pytest.raises(InputError, match="write hub:OWNER/NAME"):
        tt.inspect(name)


def test_without_safetensors(folder, fetched):
    (folder / "model.safetensors").unlink()
    with pytest.raises(InputError, match="no safetensors"):
        tt.inspect("hub:someone/model")


def test_a_bare_name_is_told_how_to_write_it():
    with pytest.raises(InputError, match="write hub:someone/model"):
        tt.inspect("someone/model")


def test_the_client_without_network(tmp_path, folder):
    """The true client, offline: nothing there is one line; what is in its cache is read."""
    cache = tmp_path / "home"
    command = [sys.executable, "-m", "toeplitz_theory", "inspect", "hub:someone/model"]
    environment = {**os.environ, "HF_HOME": str(cache), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    nothing = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert nothing.returncode == 2 and len(nothing.stderr.splitlines()) == 1, nothing.stderr
    assert "check the network" in nothing.stderr

    place = cache / "hub" / "models--someone--model"
    commit = "0" * 40
    (place / "snapshots" / commit).mkdir(parents=True)
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text(commit)
    for name in ("model.safetensors", "config.json"):
        shutil.copy(folder / name, place / "snapshots" / commit / name)
    there = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert there.returncode == 0, there.stderr
    assert "blocks.0" in there.stdout
