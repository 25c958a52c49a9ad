"""Runs that are killed, and a disk that fills up: what is left, and that going on changes nothing."""

import json
import random
import shutil
import time

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.training.children import MOMENTS, command, finish, start, train
from tests.training.curves import assert_same_run, column
from toeplitz_theory.errors import InputError
from toeplitz_theory.training import runner
from toeplitz_theory.training.callbacks import KernelsCallback
from toeplitz_theory.training.recipe import load_recipe
from toeplitz_theory.training.resume import put_damaged_aside, sealed_checkpoints
from toeplitz_theory.training.runner import _is_recorded

# Which call of which moment each run is killed in, one run after the other on the same folder.
MORE = 'gradient_accumulation_steps = 2\nprecision = "bf16"\njensen_penalty = 0.05\n'
CHAINS = {
    "early": [("pass", 3), ("weights", 0), ("state by torch", 3), ("trainer state", 0), ("seal", 0)],
    "late": [("row", 2), ("removal", 2), ("evaluation", 0), ("kernels", 1), ("seal", 0)],
    "at the end": [("card", 2), ("move", 9)],
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
    left = [".step-000003.safetensors.abc.partial", "step-000009.safetensors"]
    for name in [*left, "step-000006.safetensors", "notes.txt"]:
        (tmp_path / name).touch()
    KernelsCallback(tmp_path, every=3, resume_step=6)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notes.txt", "step-000006.safetensors"]


def test_what_a_kill_leaves_of_the_export_is_not_handed_over(whole, tmp_path):
    recipe, expected = whole
    export = tmp_path / "out" / "work" / "export"
    export.mkdir(parents=True)
    (export / ".tmpwDONwU").touch()
    (tmp_path / "out" / "work" / "run.json").touch()
    assert finish(start(train, recipe, tmp_path / "out")) == [0]
    assert_same_run(tmp_path / "out", expected)


def assert_tensorboard_tells_the_history(folder):
    """Check that event files hold the logged losses, each once, however often the run was killed."""
    events = EventAccumulator(str(folder / "tensorboard")).Reload()
    told = {event.step: event.value for event in events.Scalars("train/loss")}
    assert len(told) == len(events.Scalars("train/loss"))
    assert told == pytest.approx(column(folder, "loss"))
    assert events.Scalars("eval/loss")[-1].value == pytest.approx(column(folder, "validation_loss")[12])


def test_a_recipe_with_a_preset_is_known_again(recipe_file):
    """The preset is not among what is recorded, only what it sets."""
    recipe = load_recipe(recipe_file(num_heads='num_heads = 1\npreset = "optimised"'))
    record = json.loads(json.dumps(recipe.model_dump(exclude_unset=True)))
    assert _is_recorded(record, recipe)
    assert not _is_recorded(record, load_recipe(recipe_file(num_heads='num_heads = 1\npreset = "paper"')))
    assert not _is_recorded({"name": 3}, recipe)


def test_a_kill_in_the_last_moment_leaves_a_finished_model_and_nothing_for_ever(whole, tmp_path):
    recipe, expected = whole
    out = tmp_path / "out"
    assert finish(start(train, recipe, out, "removal", 4)) == [-9]
    assert (out / ".work-done").exists() and not (out / "work").exists()
    with pytest.raises(InputError, match="finished model"):
        runner.train(recipe, out)
    assert_same_run(out, expected)


def test_equal_runs_write_equal_bytes(whole, tmp_path):
    recipe, expected = whole
    assert finish(start(train, recipe, tmp_path / "out")) == [0]
    names = ["model.safetensors", "config.json", "tokenizer.json"]
    names += [f"kernels/{path.name}" for path in (expected / "kernels").iterdir()]
    assert len(names) == 8
    for name in names:
        assert (tmp_path / "out" / name).read_bytes() == (expected / name).read_bytes(), name


@pytest.fixture(scope="module")
def stopped(whole, tmp_path_factory):
    """A run killed after step 10, with checkpoints at 4 and 8."""
    out = tmp_path_factory.mktemp("stopped") / "out"
    assert finish(start(train, whole[0], out, "pass", 20)) == [-9]
    assert [path.name for path in sealed_checkpoints(out / "work")] == ["checkpoint-4", "checkpoint-8"]
    return out


FILES = ["model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json"]
FILES += ["complete.json", "run.json", "history.jsonl", "config.json", "training_args.bin"]


def _flipped(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


DAMAGES = {
    "flipped": _flipped,
    "zeros": lambda content: bytes(len(content)),
    "cut": lambda content: content[: len(content) // 2],
    "empty": lambda content: b"",
}


@pytest.mark.parametrize("damage", [*DAMAGES, "gone"])
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_of_a_checkpoint_is_seen_and_the_one_before_taken(stopped, tmp_path, name, damage):
    shutil.copytree(stopped / "work", tmp_path / "work")
    path = tmp_path / "work" / "checkpoint-8" / name
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(DAMAGES[damage](path.read_bytes()))
    with pytest.warns(UserWarning, match="checkpoint-8 is left out: it") as warned:
        put_damaged_aside(tmp_path / "work")
    assert len(warned) == 1 and "\n" not in str(warned[0].message)
    assert [path.name for path in sealed_checkpoints(tmp_path / "work")] == ["checkpoint-4"]
    kept = (tmp_path / "work" / "damaged-checkpoint-8").exists()
    assert kept == ((name, damage) != ("complete.json", "gone"))


@pytest.mark.parametrize(("name", "damage"), [("optimizer.pt", "flipped"), ("history.jsonl", "zeros")])
def test_a_run_goes_on_from_the_last_whole_checkpoint_as_if_nothing_had_been(
    whole, stopped, tmp_path, name, damage
):
    recipe, expected = whole
    out = tmp_path / "out"
    shutil.copytree(stopped, out)
    path = out / "work" / "checkpoint-8" / name
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    (out / "history.jsonl").write_bytes(b"\0" * 100)
    assert finish(start(train, recipe, out)) == [0]
    assert_same_run(out, expected)


def test_a_run_is_known_again_by_its_checkpoints_which_are_folders(whole, stopped, tmp_path):
    recipe, expected = whole
    out = tmp_path / "out"
    shutil.copytree(stopped, out)
    (out / "work" / "run.json").unlink()
    (out / "work" / "checkpoint-16").touch()
    assert finish(start(train, recipe, out)) == [0]
    assert_same_run(out, expected)


def test_with_no_whole_checkpoint_a_run_begins_anew(whole, stopped, tmp_path):
    recipe, expected = whole
    out = tmp_path / "out"
    shutil.copytree(stopped, out)
    for path in out.glob("work/checkpoint-*/rng_state.pth"):
        path.write_bytes(b"")
    (out / "history.jsonl").unlink()
    (out / "work" / "run.json").write_bytes(b"\0")
    assert finish(start(train, recipe, out)) == [0]
    assert_same_run(out, expected)


def test_a_second_training_in_the_same_folder_is_one_line(whole, tmp_path):
    recipe, expected = whole
    out, said = tmp_path / "out", tmp_path / "said.txt"
    first = start(held, recipe, out, tmp_path / "go")
    while not (out / "work" / "checkpoint-4" / "complete.json").exists():
        time.sleep(0.05)
    assert finish(start(command, said, "train", recipe, "--out", out)) == [2]
    line = said.read_text().splitlines()[-1]
    assert "another training is under way there" in line and "Traceback" not in said.read_text()
    assert finish(start(command, said, "train", recipe, "--out", out, "--force")) == [2]
    (tmp_path / "go").touch()
    assert finish(first) == [0]
    assert_same_run(out, expected)


def held(recipe, out, go) -> None:
    """Train, and wait after the first checkpoint until a file is there."""
    finish_checkpoint = runner.finish_checkpoint

    def waiting(*arguments, **keywords):
        finish_checkpoint(*arguments, **keywords)
        while not go.exists():
            time.sleep(0.05)

    runner.finish_checkpoint = waiting
    train(recipe, out)
