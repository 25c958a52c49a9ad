"""Trained folders, opened: what the run began and ended with; damaged ones are one line, nothing hangs."""

import json
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from tests.training.conftest import RECIPE, small_text
from toeplitz_theory.errors import InputError
from toeplitz_theory.training import open_trained, runner
from toeplitz_theory.training.model_kernels import named_kernels
from toeplitz_theory.training.trained import build_model


@pytest.fixture(scope="module")
def begun_and_trained(tmp_path_factory):
    """The weights at the start of a run, and its folder at the end."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "text.txt").write_text(small_text())
    (folder / "recipe.toml").write_text(RECIPE.format(objective="next_token"))
    begun = {}

    def noted(recipe, tokenizer):
        model = build_model(recipe, tokenizer)
        begun.update({name: value.clone() for name, value in model.state_dict().items()})
        return model

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner, "build_model", noted)
        return begun, runner.train(folder / "recipe.toml", folder / "out")


@pytest.fixture
def folder(begun_and_trained, tmp_path):
    """A copy whose text is found from where it lies."""
    shutil.copy(begun_and_trained[1].parent / "text.txt", tmp_path)
    return shutil.copytree(begun_and_trained[1], tmp_path / "out")


def test_model_tokens_and_twin_are_those_of_the_run(begun_and_trained, folder):
    begun, _ = begun_and_trained
    trained = open_trained(folder)
    assert trained.recipe.name == "tiny" and trained.record["name"] == "tiny"
    weights = load_file(folder / "model.safetensors")
    for name, value in trained.model.state_dict().items():
        np.testing.assert_array_equal(value, weights[name])
    state = torch.random.get_rng_state()
    twin = trained.untrained()
    assert torch.equal(state, torch.random.get_rng_state()) and not twin.training
    assert twin.state_dict().keys() == begun.keys()
    assert all(torch.equal(value, begun[name]) for name, value in twin.state_dict().items())
    first = load_file(folder / "kernels" / "step-000000.safetensors")
    for name, taps in named_kernels(twin):
        np.testing.assert_array_equal(taps.detach(), first[name])
    assert len(trained.held_out) == trained.record["corpus"]["validation_sequences"]
    with torch.no_grad():
        losses = [
            trained.model(**{name: ids[None] for name, ids in item.items()}).loss.item()
            for item in map(trained.held_out.__getitem__, range(len(trained.held_out)))
        ]
    assert np.mean(losses) == pytest.approx(trained.record["validation_loss"], rel=1e-5)


@pytest.mark.parametrize("name", ["tmm-next-token", "tmm-autoencoder"])
def test_twins_of_the_shipped_models_have_the_kernels_their_training_began_with(name):
    shipped = Path(__file__).parents[2] / "models" / name
    first = load_file(shipped / "kernels" / "step-000000.safetensors")
    twin = dict(named_kernels(open_trained(shipped).untrained()))
    assert twin.keys() == first.keys()
    for key, taps in twin.items():
        np.testing.assert_array_equal(taps.detach(), first[key])


def test_the_model_is_had_without_the_text(folder):
    (folder.parent / "text.txt").unlink()
    trained = open_trained(folder)
    assert trained.untrained().num_parameters() == trained.model.num_parameters()
    with pytest.raises(InputError, match="no such file"):
        _ = trained.held_out


NAMES = ["model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json", "training.json"]
NAMES += ["recipe.toml", "generation_config.json"]


def _replaced(path, content):
    path.unlink()
    path.write_bytes(content)


DAMAGES = {
    "gone": lambda path: path.unlink(),
    "empty": lambda path: _replaced(path, b""),
    "zeros": lambda path: _replaced(path, bytes(path.stat().st_size)),
    "half": lambda path: _replaced(path, path.read_bytes()[: path.stat().st_size // 2]),
    "noise": lambda path: _replaced(path, np.random.default_rng(0).bytes(3000)),
    "deep": lambda path: _replaced(path, b"[" * 100_000),
    "deep table": lambda path: _replaced(path, b'{"a":' * 50_000 + b"1" + b"}" * 50_000),
    "long number": lambda path: _replaced(path, b'{"a": ' + b"9" * 6000 + b"}"),
    "list": lambda path: _replaced(path, b"[]"),
    "null": lambda path: _replaced(path, b"null"),
    "table": lambda path: _replaced(path, b"{}"),
    "folder": lambda path: (path.unlink(), path.mkdir()),
    "pipe": lambda path: (path.unlink(), os.mkfifo(path)),
    "loop": lambda path: (path.unlink(), path.symlink_to(path.name)),
}
# What a run can do without; and a text that is TOML is a recipe of its own right.
HARMLESS = {
    ("tokenizer_config.json", "folder"),
    *((name, "gone") for name in ("tokenizer_config.json", "training.json", "generation_config.json")),
    *((name, "table") for name in ("tokenizer_config.json", "training.json", "generation_config.json")),
}


@pytest.fixture
def ten_seconds():
    """End what hangs."""

    def too_long(*arguments):
        raise TimeoutError

    signal.signal(signal.SIGALRM, too_long)
    signal.alarm(10)
    yield
    signal.alarm(0)


def refused(folder) -> str:
    """Open a folder and say how that was refused, ``""`` when it was not."""
    try:
        open_trained(folder)
    except InputError as refusal:
        said = str(refusal)
        assert said.isprintable() and len(said) < 1200
        return said
    return ""


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_file_is_one_line(folder, name, damage, ten_seconds):
    assert (folder / name).exists()
    DAMAGES[damage](folder / name)
    said = refused(folder)
    if name == "generation_config.json" and damage not in ("pipe", "loop"):
        return  # beside the point: it steers generation, and transformers makes do with its absence
    assert bool(said) is ((name, damage) not in HARMLESS)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("num_hidden_layers", 10**9),
        ("num_hidden_layers", "2"),
        ("num_hidden_layers", True),
        ("hidden_size", 10**12),
        ("max_position_embeddings", 10**12),
        ("vocab_size", 10**9),
        ("vocab_size", None),
        ("num_heads", -1),
        ("mixer", "\x1b[31m"),
        ("mixer", "attention"),
        ("expansion", [4]),
        ("norm", "rmsnorm"),
    ],
)
def test_sizes_of_a_damaged_configuration_make_nothing(folder, name, value, ten_seconds):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {name: value}))
    assert "they are of different models" in refused(folder)


@pytest.mark.parametrize("entry", [{"architectures": 3}, {"dtype": "x"}, {"model_type": 1}, {"auto_map": 7}])
def test_odd_entries_of_a_configuration_are_refused_or_harmless(folder, entry, ten_seconds):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | entry))
    refused(folder)


@pytest.mark.parametrize("seed", range(40))
def test_random_bytes_are_refused_or_harmless(folder, seed, ten_seconds):
    """Bytes changed anywhere: never a traceback, and never other weights."""
    rng = np.random.default_rng(seed)
    path = folder / NAMES[seed % len(NAMES)]
    content = bytearray(path.read_bytes())
    end = 3000 if seed % 2 else len(content)  # of weights, mostly the header
    for place in rng.integers(0, min(end, len(content)), 1 + seed % 5):
        content[place] = rng.integers(0, 256)
    damaged = bytes(content) != path.read_bytes()
    path.write_bytes(content)
    assert refused(folder) or path.name != "model.safetensors" or not damaged


def test_weights_that_are_lacking_or_no_numbers_are_refused(folder):
    (folder / "training.json").unlink()
    weights = load_file(folder / "model.safetensors")
    for changed in (
        {name: value for name, value in weights.items() if name != "lm_head.weight"},
        {name: value for name, value in weights.items() if "mixing" not in name},
        weights | {"lm_head.weight": np.full_like(weights["lm_head.weight"], np.nan)},
        weights | {"lm_head.weight": weights["lm_head.weight"][:-1]},
        weights | {"more": np.zeros(3)},
    ):
        save_file(changed, folder / "model.safetensors", metadata={"format": "pt"})
        assert "out: " in refused(folder) or "out does not fit" in refused(folder)


def test_weights_that_training_did_not_write_are_refused(folder):
    weights = load_file(folder / "model.safetensors")
    weights["lm_head.weight"][0, 0] += 1e-3
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    assert "is not what training wrote" in refused(folder)
