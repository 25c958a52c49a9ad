"""Training end to end: curve, files, kills and resumes."""

import json
import os
import signal
import subprocess
import sys
import time
import warnings

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from toeplitz_theory import TMMForAutoencoding, TMMForCausalLM
from toeplitz_theory.errors import InputError, NumericalError
from toeplitz_theory.training.checkpoint import complete_checkpoints
from toeplitz_theory.training.history import HistoryCallback, read_history
from toeplitz_theory.training.kernels import draw_kernels, named_kernels
from toeplitz_theory.training.recipe import load_recipe
from toeplitz_theory.training.runner import build_model, prepare, train

TIMES = {"seconds"}


def curve(folder):
    """Return the history without its clock."""
    return [
        {k: v for k, v in row.items() if k not in TIMES} for row in read_history(folder / "history.jsonl")
    ]


@pytest.fixture(params=["next_token", "autoencode"])
def finished(request, recipe_file):
    path = recipe_file(request.param)
    return train(path, path.parent / "out"), path


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
    prepared = prepare(recipe, path.parent)
    cls = TMMForCausalLM if recipe.objective == "next_token" else TMMForAutoencoding
    model = cls.from_pretrained(folder).eval()
    with torch.no_grad():
        losses = [
            model(**{k: v[None] for k, v in prepared.validation[i].items()}).loss.item()
            for i in range(len(prepared.validation))
        ]
    record = json.loads((folder / "training.json").read_text())
    assert abs(record["validation_loss"] - np.mean(losses)) < 1e-5 * np.mean(losses)


def test_training_learns(recipe_file):
    path = recipe_file(
        steps="steps = 150\nlearning_rate = 0.01",
        save_every="save_every = 150",
        evaluate_every="evaluate_every = 75",
    )
    folder = train(path, path.parent / "out")
    record = json.loads((folder / "training.json").read_text())
    assert record["validation_loss"] < record["baselines"]["unigram"] - 0.5


def _train_in_child(path, out):
    code = f"from toeplitz_theory.training import train; train({str(path)!r}, {str(out)!r})"
    return subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def test_a_killed_run_goes_on_with_the_same_curve(recipe_file):
    """SIGKILL after the first checkpoint; weights and curve equal the uninterrupted run's to the last bit."""
    path = recipe_file(steps="steps = 60")
    whole = train(path, path.parent / "whole")
    out = path.parent / "killed"
    child = _train_in_child(path, out)
    deadline = time.monotonic() + 120
    while not list((out / "work").glob("checkpoint-*/trainer_state.json")) and time.monotonic() < deadline:
        assert child.poll() is None, "the run ended before it could be killed"
        time.sleep(0.005)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    assert not (out / "model.safetensors").exists()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a checkpoint may be cut short: that is the point
        train(path, out)
    assert curve(out) == curve(whole)
    for name in ["model.safetensors", *(f"kernels/{p.name}" for p in (whole / "kernels").iterdir())]:
        one, other = load_file(whole / name), load_file(out / name)
        assert one.keys() == other.keys()
        for key in one:
            np.testing.assert_array_equal(one[key], other[key], err_msg=f"{name} {key}")


def test_torn_checkpoints_are_passed_over(tmp_path):
    good, torn, cut = (tmp_path / f"checkpoint-{n}" for n in (4, 8, 12))
    for folder in (good, torn, cut):
        folder.mkdir()
        save_file({"a": np.zeros(3)}, folder / "model.safetensors")
        for name in ("optimizer.pt", "scheduler.pt"):
            (folder / name).write_bytes(b"x")
        (folder / "trainer_state.json").write_text("{}")
    (torn / "trainer_state.json").unlink()
    whole_file = (cut / "model.safetensors").read_bytes()
    (cut / "model.safetensors").write_bytes(whole_file[:-4])
    with pytest.warns(UserWarning, match="left out"):
        assert complete_checkpoints(tmp_path) == [good]


def test_finished_and_foreign_folders_are_not_overwritten(recipe_file, tmp_path):
    path = recipe_file()
    out = train(path, tmp_path / "out")
    before = (out / "model.safetensors").read_bytes()
    with pytest.raises(InputError, match="finished model"):
        train(path, out)
    assert (out / "model.safetensors").read_bytes() == before
    (tmp_path / "other" / "work").mkdir(parents=True)
    (tmp_path / "other" / "work" / "recipe.json").write_text("{}")
    with pytest.raises(InputError, match="another recipe"):
        train(path, tmp_path / "other")
    assert train(path, out, force=True) == out
    assert (out / "model.safetensors").read_bytes() == before  # same recipe, same seed, same bytes


def test_both_objectives_start_from_the_same_kernels(recipe_file):
    kernels = {}
    for objective in ("next_token", "autoencode"):
        path = recipe_file(objective)
        recipe = load_recipe(path)
        model = build_model(recipe, prepare(recipe, path.parent).tokenizer)
        kernels[objective] = [w.detach().clone() for _, w in named_kernels(model)]
    encoder, decoder = kernels["autoencode"][:4], kernels["autoencode"][4:]
    assert all(map(torch.equal, kernels["next_token"], encoder))
    assert not any(torch.equal(a, b) for a in encoder for b in decoder)
    assert len({float(w[0, 0]) for w in encoder + decoder}) == 8


def test_drawn_kernels_have_the_stated_scale(recipe_file):
    recipe = load_recipe(recipe_file())
    model = build_model(recipe, prepare(recipe, recipe_file().parent).tokenizer)
    draws = []
    for seed in range(60):
        draw_kernels(model, seed, "kaiming")
        draws += [w.detach().numpy().ravel().copy() for _, w in named_kernels(model)]
    variance = np.var(draws)
    assert abs(variance / (2 / 16) - 1) < 5 * np.sqrt(2 / np.size(draws))


def test_a_loss_that_is_no_number_stops_the_run(recipe_file):
    path = recipe_file(steps="steps = 12\nlearning_rate = 1e30\nmax_grad_norm = 1e30")
    with pytest.raises(NumericalError, match=r"the loss is (nan|inf) at step"):
        train(path, path.parent / "out")
    assert not (path.parent / "out" / "model.safetensors").exists()


def test_history_drops_a_torn_last_line_and_rows_past_the_checkpoint(tmp_path):
    path = tmp_path / "history.jsonl"
    rows = [{"step": s, "seconds": 1.5 * s} for s in (2, 4, 6)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"step": 8, "lo')
    assert read_history(path) == rows
    callback = HistoryCallback(path, 64, resume_step=4)
    assert read_history(path) == rows[:2] and callback.seconds_before == 6.0
    HistoryCallback(path, 64, resume_step=0)
    assert read_history(path) == []
    path.write_text("broken\n{}\n")
    with pytest.raises(json.JSONDecodeError):
        read_history(path)
