"""Sweeps: which runs, going on after kills and Ctrl-C, failures, the table, and bad input."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from tests.training.children import finish, start, train
from tests.training.conftest import small_text
from tests.training.curves import assert_same_run
from tests.training.test_tasks import RECIPE, SETTINGS
from toeplitz_theory.cli import run as command_line
from toeplitz_theory.errors import InputError, RunError
from toeplitz_theory.training.resume import sealed_checkpoints
from toeplitz_theory.training.sweep import planned_runs, run_sweep, write_recipes

SWEEP = """
recipes = ["copy.toml", "recall.toml"]
[axes]
training.seed = [0, 1]
"""


@pytest.fixture
def folder(tmp_path):
    """Recipes of tasks, a sweep of four runs, and a text."""
    for objective, settings in SETTINGS.items():
        text = RECIPE.format(objective=objective, task=settings)
        (tmp_path / f"{objective}.toml").write_text(text)
    (tmp_path / "sweep.toml").write_text(SWEEP)
    return tmp_path


def test_runs_are_every_recipe_with_every_variant_at_every_point(folder):
    variants = '[[variants]]\nmodel.mixer = "{}"\ntraining.learning_rate = {}\n'
    text = SWEEP + variants.format("toeplitz", 0.01) + variants.format("attention", 0.001)
    (folder / "sweep.toml").write_text(text)
    runs = planned_runs(folder / "sweep.toml", folder / "out")
    settings = [
        (
            run.recipe.objective,
            run.recipe.model.mixer,
            run.recipe.training.learning_rate,
            run.recipe.training.seed,
        )
        for run in runs
    ]
    assert settings == [
        (objective, mixer, rate, seed)
        for objective in ("copy", "recall")
        for mixer, rate in (("toeplitz", 0.01), ("attention", 0.001))
        for seed in (0, 1)
    ]
    assert len({run.name for run in runs}) == 8 and all(run.recipe.name == run.name for run in runs)
    assert not (folder / "out").exists(), "planning writes nothing"


def test_another_recipe_is_another_run_and_more_seeds_keep_the_old_ones(folder):
    before = [run.name for run in planned_runs(folder / "sweep.toml")]
    (folder / "sweep.toml").write_text(SWEEP.replace("[0, 1]", "[0, 1, 2]"))
    assert set(before) < {run.name for run in planned_runs(folder / "sweep.toml")}
    changed = (folder / "copy.toml").read_text().replace("steps = 12", "steps = 16")
    (folder / "copy.toml").write_text(changed)
    after = {run.name for run in planned_runs(folder / "sweep.toml")}
    assert set(before) & after == {name for name in before if name.startswith("recall")}


def test_going_on_skips_what_is_finished_and_ends_as_if_never_killed(folder):
    """One run finished by the command that --list prints, one killed, two not begun."""
    runs = planned_runs(folder / "sweep.toml", folder / "out")
    write_recipes(runs)
    program, *arguments = runs[0].command
    assert program == "toeplitz-theory" and command_line(arguments) == 0
    finished = (runs[0].folder / "training.json").stat().st_mtime_ns
    assert finish(start(train, runs[3].folder / "recipe.toml", runs[3].folder, "pass", 6)) == [-9]
    assert finish(start(train, runs[3].folder / "recipe.toml", folder / "whole")) == [0]
    said: list[str] = []
    results = run_sweep(runs, 2, said.append)
    assert said[0] == "4 runs, 1 of them finished before; 2 at a time"
    assert [line[:5] for line in said[1:]] == ["[1/3]", "[2/3]", "[3/3]"]
    assert "left" in said[1] and "left" not in said[3] and "validation loss" in said[3]
    assert (runs[0].folder / "training.json").stat().st_mtime_ns == finished
    assert_same_run(runs[3].folder, folder / "whole")
    table = pd.read_parquet(results)
    assert list(table["run"]) == [run.name for run in runs]
    for row, run in zip(table.to_dict("records"), runs, strict=True):
        record = json.loads((run.folder / "training.json").read_text())
        assert row["validation_loss"] == record["validation_loss"] and row["commit"] == record["commit"]
        assert row["token_accuracy"] == record["accuracy"]["as trained"]["token"][0]
        assert row["training.seed"] == run.recipe.training.seed and row["objective"] == run.recipe.objective
        assert row["parameters"] == record["parameters"] and row["seconds"] == record["seconds"]
    again: list[str] = []
    assert run_sweep(runs, 1, again.append) == results and len(again) == 1
    pd.testing.assert_frame_equal(pd.read_parquet(results), table)


def test_list_prints_a_command_for_each_run_that_is_left(folder, capsys):
    arguments = ["sweep", str(folder / "sweep.toml"), "--out", str(folder / "the runs"), "--list"]
    assert command_line(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert command_line(shlex.split(lines[0])[1:]) == 0
    capsys.readouterr()
    assert command_line(arguments) == 0
    assert capsys.readouterr().out.splitlines() == lines[1:]


def test_a_run_that_fails_is_named_and_the_others_are_kept(folder):
    """And is tried again, when what was wrong has been put right."""
    text = 'name = "text"\nobjective = "next_token"\n[data]\ncorpus = "later.txt"\nvocab_size = 280\n'
    text += "sequence_length = 16\n[model]\nhidden_size = 8\nnum_hidden_layers = 1\n"
    (folder / "text.toml").write_text(text + "[training]\nsteps = 2\nwarmup_steps = 1\ntensorboard = false\n")
    (folder / "sweep.toml").write_text('recipes = ["text.toml", "induction.toml"]\n')
    runs = planned_runs(folder / "sweep.toml", folder / "out")
    with pytest.raises(
        RunError, match=r"1 of 2 runs failed, .*text.*later.txt.*same command again"
    ) as failed:
        run_sweep(runs, 1, lambda line: None)
    assert "\n" not in str(failed.value)
    assert list(pd.read_parquet(folder / "out" / "results.parquet")["run"]) == [runs[1].name]
    (folder / "later.txt").write_text(small_text())
    table = pd.read_parquet(run_sweep(runs, 1, lambda line: None))
    assert list(table["objective"]) == ["next_token", "induction"]
    assert list(table["loss_unit"]) == ["nats per token", "nats per answer"]


@pytest.mark.skipif(os.name != "posix", reason="Ctrl-C for a group of processes is one of POSIX")
def test_ctrl_c_is_one_line_and_leaves_whole_checkpoints_and_no_process(folder):
    (folder / "copy.toml").write_text(
        (folder / "copy.toml").read_text().replace("steps = 12", "steps = 90000")
    )
    (folder / "sweep.toml").write_text('recipes = ["copy.toml"]\n')
    program = [sys.executable, "-m", "toeplitz_theory", "sweep", "sweep.toml", "--out", "out"]
    with subprocess.Popen(
        program, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    ) as process:
        (run,) = planned_runs(folder / "sweep.toml", folder / "out")
        for _ in range(1200):
            if sealed_checkpoints(run.folder / "work") or process.poll() is not None:
                break
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.decode().strip() == "toeplitz-theory: interrupted"
    assert sealed_checkpoints(run.folder / "work")
    for _ in range(100):
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            break
        time.sleep(0.1)
    else:
        raise AssertionError("a process is left")


BAD = {
    "missing": ("recipes = []", "recipes: .*at least 1 item"),
    "no recipes": ("[axes]\n", "key 'recipes' is missing"),
    "unknown": (
        'recipes = ["copy.toml"]\nmixers = ["toeplitz"]',
        "unknown key 'mixers'; known here: recipes, var",
    ),
    "no file": ('recipes = ["none.toml"]', "none.toml: there is no such file"),
    "no list": (
        'recipes = ["copy.toml"]\naxes.training.seed = 3',
        "axes.training.seed is not a list of values",
    ),
    "no values": (
        'recipes = ["copy.toml"]\naxes.training.seed = []',
        "axes.training.seed is not a list of values",
    ),
    "misspelt": (
        'recipes = ["copy.toml"]\naxes.model.mixr = ["ssm"]',
        "mixr = ssm: unknown key 'model.mixr'",
    ),
    "no mixer": (
        'recipes = ["copy.toml"]\naxes.model.mixer = ["toeplitz", "mamba"]',
        "model.mixer = mamba: .*mixer",
    ),
    "no section": ('recipes = ["copy.toml"]\naxes.name.first = ["a"]', "name.first cannot be varied"),
    "impossible": (
        'recipes = ["copy.toml"]\naxes.task.max_length = [9]',
        "task.max_length = 9: .*are 9 more than",
    ),
    "twice": ('recipes = ["copy.toml", "copy.toml"]', "asks for copy.* twice"),
    "same": ('recipes = ["copy.toml"]\naxes.training.seed = [1, 1]', "asks for copy.* twice"),
    "too many": (
        'recipes = ["copy.toml"]\n[axes]\n' + "\n".join(f"model.a{i} = [1, 2]" for i in range(20)),
        "asks for 1,048,576 runs, more than 10,000",
    ),
    "no TOML": ("recipes = [", "is not a TOML file"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_sweep_that_cannot_be_is_refused_in_one_line(folder, capsys, case):
    text, message = BAD[case]
    (folder / "sweep.toml").write_text(text)
    with pytest.raises(InputError, match=message) as refused:
        planned_runs(folder / "sweep.toml")
    assert "\n" not in str(refused.value)
    assert command_line(["sweep", str(folder / "sweep.toml"), "--out", str(folder / "out")]) == 2
    assert not (folder / "out").exists()


def test_a_table_of_somebody_else_is_left_alone(folder):
    runs = planned_runs(folder / "sweep.toml", folder / "out")
    (folder / "out").mkdir()
    table = folder / "out" / "results.parquet"
    for content in (b"mine", None):
        if content is None:
            pd.DataFrame({"a": [1]}).to_parquet(table)
        else:
            table.write_bytes(content)
        before = table.read_bytes()
        with pytest.raises(InputError, match="not a table of a sweep"):
            run_sweep(runs, 1)
        assert table.read_bytes() == before and not runs[0].folder.exists()


def test_a_missing_sweep_is_one_line(tmp_path):
    with pytest.raises(InputError, match=r"no such file; give the path of a sweep\.toml"):
        planned_runs(Path(tmp_path / "sweep.toml"))
