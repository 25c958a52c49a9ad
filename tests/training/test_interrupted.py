"""Runs that are killed, and a disk that fills up: what is left, and that going on changes nothing."""

import json
import random

import numpy as np
import pytest
from safetensors.numpy import save_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.training.children import MOMENTS, finish, start, train
from tests.training.curves import assert_same_run, column
from toeplitz_theory.training.checkpoint import complete_checkpoints, mark_complete

# Which call of which moment each run is killed in, one run after the other on the same folder.
MORE = 'gradient_accumulation_steps = 2\nprecision = "bf16"\njensen_penalty = 0.05\n'
CHAINS = {
    "before the first checkpoint": [("pass", 3), ("weights", 0), ("state by torch", 3), ("trainer state", 0)],
    "between checkpoints": [("mark", 0), ("row", 2), ("mark", 1), ("kernels", 1), ("evaluation", 0)],
    "at the end": [("removal of the oldest", 0), ("state by torch", 1), ("card", 1), ("move", 9)],
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


def test_a_recipe_with_a_preset_goes_on(recipe_file, tmp_path):
    """The preset is not among what is recorded, only what it sets."""
    path = recipe_file(num_heads='num_heads = 1\npreset = "optimised"')
    assert finish(start(train, path, tmp_path / "out", "pass", 6)) == [-9]
    assert finish(start(train, path, tmp_path / "out")) == [0]


def test_tensorboard_tells_the_same_as_the_history(whole, tmp_path):
    """Also after a kill between a checkpoint and the next: nothing is told twice."""
    recipe, expected = whole
    out = tmp_path / "out"
    assert finish(start(train, recipe, out, "pass", 13)) == [-9]
    assert finish(start(train, recipe, out)) == [0]
    for folder in (out, expected):
        events = EventAccumulator(str(folder / "tensorboard")).Reload()
        told = {event.step: event.value for event in events.Scalars("train/loss")}
        assert len(told) == len(events.Scalars("train/loss"))
        assert told == pytest.approx(column(folder, "loss"))
        assert events.Scalars("eval/loss")[-1].value == pytest.approx(column(folder, "validation_loss")[12])


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
