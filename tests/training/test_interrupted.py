"""Runs that are killed, and a disk that fills up: what is left, and that going on changes nothing."""

import json
import random

import numpy as np
import pytest
from safetensors.numpy import save_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.training.children import MOMENTS, finish, start, train
from tests.training.curves import assert_same_run, column
from toeplitz_theory.files import write_json
from toeplitz_theory.training.callbacks import KernelsCallback
from toeplitz_theory.training.recipe import load_recipe
from toeplitz_theory.training.resume import complete_checkpoints, mark_complete
from toeplitz_theory.training.runner import _is_recorded

# Which call of which moment each run is killed in, one run after the other on the same folder.
MORE = 'gradient_accumulation_steps = 2\nprecision = "bf16"\njensen_penalty = 0.05\n'
CHAINS = {
    "early": [("pass", 3), ("weights", 0), ("state by torch", 3), ("trainer state", 0), ("mark", 0)],
    "late": [("row", 2), ("removal of the oldest", 0), ("evaluation", 0), ("kernels", 1), ("mark", 0)],
    "at the end": [("card", 1), ("move", 9)],
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A recipe with its uninterrupted run; 12 steps, checkpoints at 4, 8 and 12."""
    from tests.training.conftest import RECIPE, small_text

    folder = tmp_path_factory.mktemp("whole")
    (folder / "text.txt").write_text(small_text())
    recipe = folder / "recipe.toml"
    recipe.write_text(RECIPE.format(objective="next_token") + MORE)
    assert finish(start(train, recipe, folder / "out")) == [0]
    return recipe, folder / "out"


@pytest.mark.parametrize("chain", CHAINS.values(), ids=CHAINS)
def test_killed_and_run_again_is_as_never_killed(whole, tmp_path, chain):
    recipe, expected = whole
    out = tmp_path / "out"
    for moment, call in chain:
        assert finish(start(train, recipe, out, moment, call)) == [-9], (moment, call)
        assert (out / "work").exists()
    assert finish(start(train, recipe, out)) == [0]
    assert_same_run(out, expected)
    for folder in (out, expected):
        assert_tensorboard_tells_the_history(folder)


def test_every_moment_is_tried():
    assert {moment for chain in CHAINS.values() for moment, _ in chain} == set(MOMENTS)


def test_killed_at_random_moments_until_done(whole, tmp_path):
    recipe, expected = whole
    out, patience = tmp_path / "out", 0.2
    for _ in range(60):
        child = start(train, recipe, out)
        child.join(random.uniform(0.1, patience))
        child.kill()
        if finish(child) == [0]:
            break
        patience *= 1.2
    assert_same_run(out, expected)


def test_what_a_kill_leaves_among_the_kernels_is_removed(tmp_path):
    left = [".tmpwDONwU", ".step-000003.safetensors.abc.partial", "step-000009.safetensors"]
    for name in [*left, "step-000006.safetensors", "notes.txt"]:
        (tmp_path / name).touch()
    KernelsCallback(tmp_path, every=3, resume_step=6)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notes.txt", "step-000006.safetensors"]


def test_what_a_kill_leaves_of_the_export_is_not_handed_over(whole, tmp_path):
    recipe, expected = whole
    export = tmp_path / "out" / "work" / "export"
    export.mkdir(parents=True)
    (export / ".tmpwDONwU").touch()
    assert finish(start(train, recipe, tmp_path / "out")) == [0]
    assert_same_run(tmp_path / "out", expected)


def assert_tensorboard_tells_the_history(folder):
    """Check that event files hold the logged losses, each once, however often the run was killed."""
    events = EventAccumulator(str(folder / "tensorboard")).Reload()
    told = {event.step: event.value for event in events.Scalars("train/loss")}
    assert len(told) == len(events.Scalars("train/loss"))
    assert told == pytest.approx(column(folder, "loss"))
    assert events.Scalars("eval/loss")[-1].value == pytest.approx(column(folder, "validation_loss")[12])


def test_a_recipe_with_a_preset_is_known_again(recipe_file, tmp_path):
    """The preset is not among what is recorded, only what it sets."""
    recipe = load_recipe(recipe_file(num_heads='num_heads = 1\npreset = "optimised"'))
    write_json(tmp_path / "record.json", recipe.model_dump(exclude_unset=True))
    assert _is_recorded(tmp_path / "record.json", recipe)
    other = load_recipe(recipe_file(num_heads='num_heads = 1\npreset = "paper"'))
    assert not _is_recorded(tmp_path / "record.json", other)


def test_torn_checkpoints_are_passed_over(tmp_path):
    good, torn, cut, emptied = (tmp_path / f"checkpoint-{n}" for n in (4, 8, 12, 16))
    for folder in (good, torn, cut, emptied):
        folder.mkdir()
        save_file({"a": np.zeros(3)}, folder / "model.safetensors")
        (folder / "optimizer.pt").write_bytes(b"x")
        mark_complete(folder)
    assert json.loads((good / "complete.json").read_text())["optimizer.pt"] == 1
    (torn / "complete.json").unlink()
    whole_file = (cut / "model.safetensors").read_bytes()
    (cut / "model.safetensors").write_bytes(whole_file[:-4])
    (emptied / "optimizer.pt").unlink()
    with pytest.warns(UserWarning) as told:
        assert complete_checkpoints(tmp_path) == [good]
    said = [str(warning.message) for warning in told]
    assert all(word in line for word, line in zip(("stopped", "bytes, not", "gone"), said, strict=True))
