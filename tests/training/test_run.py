"""Training end to end: curve, files, kills and resumes."""

import json

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from tests.training.conftest import RECIPE, small_text
from toeplitz_theory import TMMForAutoencoding, TMMForCausalLM
from toeplitz_theory.errors import InputError
from toeplitz_theory.training.callbacks import HistoryCallback, read_history
from toeplitz_theory.training.model_kernels import draw_kernels, named_kernels
from toeplitz_theory.training.recipe import load_recipe
from toeplitz_theory.training.resume import finish_checkpoint
from toeplitz_theory.training.runner import train
from toeplitz_theory.training.token_cache import cached_tokens
from toeplitz_theory.training.trained import build_model


@pytest.fixture(scope="module", params=["next_token", "autoencode"])
def finished(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    (folder / "text.txt").write_text(small_text())
    (folder / "recipe.toml").write_text(RECIPE.format(objective=request.param))
    return train(folder / "recipe.toml", folder / "out"), folder / "recipe.toml"


def test_a_run_leaves_a_whole_model_folder(finished):
    folder, path = finished
    recipe = load_recipe(path)
    names = {p.name for p in folder.iterdir()}
    assert names >= {"recipe.toml", "config.json", "model.safetensors", "tokenizer.json", "history.jsonl"}
    assert names >= {"kernels", "training.json", "README.md"} and "work" not in names
    assert sorted(p.name for p in (folder / "kernels").iterdir()) == [
        f"step-{s:06d}.safetensors" for s in (0, 3, 6, 9, 12)
    ]
    cls = TMMForCausalLM if recipe.objective == "next_token" else TMMForAutoencoding
    model = cls.from_pretrained(folder)
    last = load_file(folder / "kernels" / "step-000012.safetensors")
    for key, weight in named_kernels(model):
        np.testing.assert_array_equal(last[key], weight.detach().numpy())
    record = json.loads((folder / "training.json").read_text())
    card = (folder / "README.md").read_text()
    assert record["corpus"]["sha256"] in card and f"{record['validation_loss']:.4f}" in card
    rows = read_history(folder / "history.jsonl")
    assert [row["step"] for row in rows if "loss" in row] == [2, 4, 6, 8, 10, 12]
    assert {row["step"] for row in rows if "validation_loss" in row} == {6, 12}


def test_validation_loss_in_the_card_is_the_models(finished):
    folder, path = finished
    recipe = load_recipe(path)
    held_out = cached_tokens(recipe.data, path.parent).packed(recipe.data.sequence_length)[1]
    cls = TMMForCausalLM if recipe.objective == "next_token" else TMMForAutoencoding
    model = cls.from_pretrained(folder).eval()
    with torch.no_grad():
        losses = [
            model(**{k: v[None] for k, v in held_out[i].items()}).loss.item() for i in range(len(held_out))
        ]
    record = json.loads((folder / "training.json").read_text())
    assert abs(record["validation_loss"] - np.mean(losses)) < 1e-5 * np.mean(losses)


def test_finished_and_foreign_folders_are_not_overwritten(recipe_file, tmp_path):
    path = recipe_file()
    out = train(path, tmp_path / "out")
    before = (out / "model.safetensors").read_bytes()
    with pytest.raises(InputError, match="finished model"):
        train(path, out)
    assert (out / "model.safetensors").read_bytes() == before
    other = tmp_path / "other" / "work" / "checkpoint-4"
    other.mkdir(parents=True)
    (tmp_path / "other" / "work" / "run.json").touch()
    finish_checkpoint(other, {"recipe": {}, "placed": {}}, out / "history.jsonl")
    with pytest.raises(InputError, match="another recipe"):
        train(path, tmp_path / "other")
    assert train(path, out, force=True) == out
    assert (out / "model.safetensors").read_bytes() == before  # same recipe, same seed, same bytes


def test_both_objectives_start_from_the_same_kernels(recipe_file):
    kernels = {}
    for objective in ("next_token", "autoencode"):
        path = recipe_file(objective)
        recipe = load_recipe(path)
        model = build_model(recipe, cached_tokens(recipe.data, path.parent).tokenizer)
        kernels[objective] = [w.detach().clone() for _, w in named_kernels(model)]
    encoder, decoder = kernels["autoencode"][:4], kernels["autoencode"][4:]
    assert all(map(torch.equal, kernels["next_token"], encoder))
    assert not any(torch.equal(a, b) for a in encoder for b in decoder)
    assert len({float(w[0, 0]) for w in encoder + decoder}) == 8


def test_drawn_kernels_have_the_stated_scale(recipe_file):
    recipe = load_recipe(recipe_file())
    model = build_model(recipe, cached_tokens(recipe.data, recipe_file().parent).tokenizer)
    draws = []
    for seed in range(60):
        draw_kernels(model, seed, "kaiming")
        draws += [w.detach().numpy().ravel().copy() for _, w in named_kernels(model)]
    variance = np.var(draws)
    assert abs(variance / (2 / 16) - 1) < 5 * np.sqrt(2 / np.size(draws))


def test_history_begins_with_the_rows_of_the_checkpoint(tmp_path):
    path = tmp_path / "history.jsonl"
    rows = [{"step": s, "seconds": 1.5 * s} for s in (2, 4, 6)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"step": 8, "lo')
    assert read_history(path) == rows
    callback = HistoryCallback(path, 64, rows[:2])
    assert read_history(path) == rows[:2] and callback.seconds_before == 6.0
    HistoryCallback(path, 64, [])
    assert read_history(path) == []
    for damaged in ("broken", "[1]", "[" * 100_000, "1" * 5000, '{"step": "x"}', "\0"):
        path.write_text(f"{damaged}\n{{}}\n")
        with pytest.raises(InputError, match="line 1 is not a row"):
            read_history(path)
