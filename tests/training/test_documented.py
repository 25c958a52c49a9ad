"""What README and docs/training.md tell users to do is done here, with fewer steps."""

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

from tests.training.children import command, finish, start
from tests.training.conftest import small_text
from toeplitz_theory.training.recipe import Recipe
from toeplitz_theory.training.sweep import SweepSection
from toeplitz_theory.training.tasks import TASKS

ROOT = Path(__file__).parents[2]
README, DOCUMENT = (ROOT / name for name in ("README.md", "docs/training.md"))
SMALL = "warmup_steps = 1\nlog_every = 2\nevaluate_every = 2\nsave_every = 2\nkernels_every = 2\n"


def blocks(path, language):
    return re.findall(rf"^```{language}\n(.*?)^```", path.read_text(encoding="utf-8"), re.M | re.S)


def test_recipes_that_are_shown_are_recipes():
    shown = [tomllib.loads(text) for path in (README, DOCUMENT) for text in blocks(path, "toml")]
    sweeps = [values for values in shown if "recipes" in values]
    assert len(sweeps) == 1 and len(shown) >= 5
    SweepSection.model_validate(sweeps[0])
    for values in shown:
        if values in sweeps:
            continue
        Recipe.model_validate(
            {"name": "shown", "objective": "next_token", "training": {"steps": 100}} | values
        )


def test_keys_of_recipes_are_explained_somewhere():
    text = DOCUMENT.read_text(encoding="utf-8")
    sections = [Recipe.model_fields[name].annotation for name in ("data", "training")]
    for section in [*sections, *TASKS.values(), SweepSection]:
        fields = section.model_fields
        quiet = {
            "weight_decay",
            "adam_beta2",
            "max_grad_norm",
            "seed",
            "threads",
            "validation_fraction",
            "kind",
        }
        assert not [name for name in fields if not re.search(rf"\b{name}\b", text) and name not in quiet]


def test_commands_that_are_shown_run(tmp_path, monkeypatch):
    lines = [
        line
        for path in (README, DOCUMENT)
        for block in blocks(path, "console")
        for line in block.splitlines()
    ]
    commands = [shlex.split(line) for line in dict.fromkeys(lines)]
    monkeypatch.chdir(tmp_path)
    (recipe,) = blocks(README, "toml")
    assert "steps = 2000\n" in recipe
    model = "model = {hidden_size = 16, num_hidden_layers = 1}\n"
    Path("recipe.toml").write_text(model + recipe.replace("steps = 2000\n", f"steps = 4\n{SMALL}"))
    Path("texts").mkdir()
    for number in range(20):  # each file is a document
        Path(f"texts/{number}.txt").write_text(small_text(30))
    ran = set()
    for program, *arguments in commands:
        ran.add(program)
        if program == "toeplitz-theory":
            assert finish(start(_here, tmp_path, arguments)) == [0], arguments
        elif program == "torchrun":
            launch = [sys.executable, "-m", "torch.distributed.run", *arguments]
            done = subprocess.run(launch, capture_output=True, text=True, timeout=300, check=False)
            assert done.returncode == 0, done.stderr
        else:
            assert program == "tensorboard" and list(Path("runs").glob("*/tensorboard/events*"))
    assert ran == {"toeplitz-theory", "torchrun", "tensorboard"}
    losses = [Path(f"runs/{name}/history.jsonl").read_text().splitlines() for name in ("mine", "two")]
    assert len(losses[0]) == len(losses[1]) > 2
    assert Path("runs/invertible/model.safetensors").exists()


def _here(folder, arguments):
    os.chdir(folder)
    command("/dev/stderr", *arguments)
