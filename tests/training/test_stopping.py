"""Ctrl-C in training, the first line of a run, and the line that follows it."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

from tests.training.curves import column
from toeplitz_theory import interrupts
from toeplitz_theory.training import runner, trainer
from toeplitz_theory.training.announcement import announcement
from toeplitz_theory.training.progress import ProgressLine
from toeplitz_theory.training.recipe import load_recipe
from toeplitz_theory.training.resume import sealed_checkpoints


def pressed_in(step, monkeypatch, times=1):
    """Have Ctrl-C pressed in the pass of a step."""
    passes, true_pass = [], trainer.TMMTrainer.training_step

    def training_step(self, *arguments, **keywords):
        passes.append(0)
        if len(passes) == step:
            for _ in range(times):
                signal.raise_signal(signal.SIGINT)
        return true_pass(self, *arguments, **keywords)

    monkeypatch.setattr(trainer.TMMTrainer, "training_step", training_step)


def test_ctrl_c_saves_and_going_on_ends_with_the_same_weights(recipe_file, tmp_path, monkeypatch, capsys):
    recipe = recipe_file()
    runner.train(recipe, tmp_path / "whole")
    monkeypatch.setattr(interrupts, "_advice", [])
    with monkeypatch.context() as patch:
        pressed_in(3, patch)
        with pytest.raises(KeyboardInterrupt, match="step 3"):
            runner.train(recipe, tmp_path / "out")
    assert [path.name for path in sealed_checkpoints(tmp_path / "out" / "work")] == ["checkpoint-3"]
    assert "run the same command again" in interrupts._advice[-1]
    assert "finishing this step" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert "goes on from step 3" in announcement(load_recipe(recipe), tmp_path / "out", force=False)
    assert "starts at step 0" in announcement(load_recipe(recipe), tmp_path / "out", force=True)
    runner.train(recipe, tmp_path / "out")
    ends = [load_file(tmp_path / name / "model.safetensors") for name in ("whole", "out")]
    assert all((ends[0][key] == ends[1][key]).all() for key in ends[0])
    assert 3 in column(tmp_path / "out", "loss")


def test_pressed_twice_it_stops_at_once(recipe_file, tmp_path, monkeypatch):
    pressed_in(2, monkeypatch, times=2)
    with pytest.raises(KeyboardInterrupt):
        runner.train(recipe_file(), tmp_path / "out")
    assert not sealed_checkpoints(tmp_path / "out" / "work")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_first_line_needs_no_torch(recipe_file):
    program = (
        "import sys; from pathlib import Path\n"
        "from toeplitz_theory.training.announcement import announcement\n"
        "from toeplitz_theory.training.recipe import load_recipe\n"
        f"print(announcement(load_recipe({str(recipe_file())!r}), Path('runs/x'), False))\n"
        "print([name for name in ('torch', 'transformers', 'datasets') if name in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert said.splitlines()[-1] == "[]"
    assert f"writes to {Path('runs/x')}" in said


class State:
    def __init__(self, step):
        self.global_step = step


def test_the_line_says_step_losses_and_what_is_left(capsys, monkeypatch):
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    line = ProgressLine(steps=1000)
    line.on_train_begin(None, State(0), None)
    line.on_log(None, State(20), None, logs={"loss": 3.14159})
    now[0] = 110.0
    line.on_step_end(None, State(100), None)
    line.on_step_end(None, State(101), None)  # too soon for another line
    line.on_log(None, State(200), None, logs={"eval_loss": 2.5})
    assert capsys.readouterr().err.splitlines() == [
        "step 100 of 1,000, loss 3.142, 1.5 min left",
        "step 200 of 1,000, loss 3.142, held out 2.500, 40 s left",
    ]


def test_in_a_terminal_one_line_is_rewritten(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    line = ProgressLine(steps=10)
    line.on_train_begin(None, State(0), None)
    line.on_log(None, State(10), None, logs={"eval_loss": 2.5})
    line.close()
    assert capsys.readouterr().err == "\rstep 10 of 10, held out 2.500\n"
