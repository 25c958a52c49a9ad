"""What goes wrong while training: one line, the right exit code, and nothing lost."""

import errno
import resource
import shutil

import pytest

from tests.training.children import MOMENTS, command, finish, start
from tests.training.conftest import RECIPE, small_text
from tests.training.curves import assert_same_run
from toeplitz_theory.cli import run
from toeplitz_theory.errors import InputError
from toeplitz_theory.training import runner
from toeplitz_theory.training.callbacks import KernelsCallback
from toeplitz_theory.training.recipe import load_recipe
from toeplitz_theory.training.resume import finish_checkpoint
from toeplitz_theory.training.sweep import planned_runs
from toeplitz_theory.training.token_cache import cached_tokens
from toeplitz_theory.training.tokenizer import tokenizer_hash
from toeplitz_theory.training.trained import build_model
from toeplitz_theory.training.trainer import TMMTrainer


@pytest.fixture
def training(tmp_path, capsys):
    """Run ``toeplitz-theory train``; return its exit code and its own lines on stderr."""

    def call(recipe, *options):
        code = run(["train", str(recipe), "--out", str(tmp_path / "out"), *options])
        said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("toeplitz-theory: ")]
        return code, said

    return call


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The run of the unchanged recipe, with nothing going wrong."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "text.txt").write_text(small_text())
    (folder / "recipe.toml").write_text(RECIPE.format(objective="next_token"))
    return runner.train(folder / "recipe.toml", folder / "out")


def test_a_loss_that_is_no_number_stops_at_its_step_and_keeps_the_checkpoint(
    recipe_file, training, tmp_path, monkeypatch, whole
):
    path, compute = recipe_file(), TMMTrainer.compute_loss

    def poisoned(self, *arguments, **keywords):
        loss = compute(self, *arguments, **keywords)
        return loss * float("nan") if self.state.global_step == 6 else loss

    monkeypatch.setattr(TMMTrainer, "compute_loss", poisoned)
    code, (line,) = training(path)
    assert (
        code == 1 and "the loss is not a finite number at step 7" in line and "checkpoint-4 is kept" in line
    )
    monkeypatch.setattr(TMMTrainer, "compute_loss", compute)
    assert training(path) == (0, [])
    assert_same_run(tmp_path / "out", whole)


@pytest.mark.parametrize(
    ("step", "what"), [(8, "gradient"), (8, "update of the weights"), (11, "validation loss")]
)
def test_weights_that_are_no_numbers_are_not_saved(recipe_file, training, tmp_path, monkeypatch, step, what):
    """A finite loss can end in a step that is not; the last step is not logged here."""
    path, compute = recipe_file(steps="steps = 11"), TMMTrainer.training_step

    def poisoned(self, *arguments):
        loss = compute(self, *arguments)
        if self.state.global_step == step - 1 and what != "update of the weights":
            self.model.lm_head.weight.grad.fill_(float("inf"))
        return loss

    def spoil(self, args, state, control, model=None, **keywords):
        if state.global_step == step and what == "update of the weights":
            model.lm_head.weight.data.fill_(float("nan"))

    monkeypatch.setattr(TMMTrainer, "training_step", poisoned)
    monkeypatch.setattr(KernelsCallback, "on_step_end", spoil)
    code, (line,) = training(path)
    kept = ["checkpoint-4", "checkpoint-8"][: step // 4 - (step == 8)]
    assert code == 1 and f"the {what} is not a finite number at step {step}" in line and kept[-1] in line
    assert sorted(path.name for path in (tmp_path / "out" / "work").glob("checkpoint-*")) == kept


def test_a_learning_rate_too_high_is_told(recipe_file, training, tmp_path):
    path = recipe_file(steps="steps = 12\nlearning_rate = 1e30\nmax_grad_norm = 1e30")
    code, (line,) = training(path)
    assert code == 1 and "not a finite number at step 3" in line and "no checkpoint had been written" in line
    assert not (tmp_path / "out" / "model.safetensors").exists()


@pytest.mark.parametrize(
    ("moment", "call"),
    [("weights", 1), ("state by torch", 5), ("kernels", 2), ("card", 2)],
)
def test_a_full_disk(recipe_file, training, tmp_path, monkeypatch, whole, moment, call):
    path = recipe_file()
    owner, name, _ = MOMENTS[moment]
    function, calls = getattr(owner, name), iter(range(call))

    def full(*arguments, **keywords):
        if next(calls, None) is None:
            raise OSError(errno.ENOSPC, "No space left on device")
        return function(*arguments, **keywords)

    monkeypatch.setattr(owner, name, full)
    code, (line,) = training(path)
    assert code == 1 and "No space left on device" in line and "run the same command again" in line
    assert not list((tmp_path / "out").rglob("*.partial"))
    monkeypatch.setattr(owner, name, function)
    assert training(path) == (0, [])
    assert_same_run(tmp_path / "out", whole)


def limited(errors, *arguments):
    """Run a command in a process that may not write large files: the system refuses, not a mock."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
    command(errors, *arguments)


def test_a_write_that_the_system_refuses(recipe_file, tmp_path):
    path, said = recipe_file(), tmp_path / "said.txt"
    assert finish(start(limited, said, "train", path, "--out", tmp_path / "out")) == [1]
    line = said.read_text().splitlines()[-1]
    assert "checkpoint-4 could not be written" in line and "Traceback" not in said.read_text()
    assert not list((tmp_path / "out" / "work").glob("checkpoint-*"))


def test_places_that_cannot_be_written(recipe_file, training, tmp_path):
    (tmp_path / "out").write_text("a file")
    code, (line,) = training(recipe_file())
    assert code == 2 and "cannot be written" in line


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"hidden_size": "hidden_size = 32"}, "of shape"),
        ({"num_hidden_layers": "num_hidden_layers = 1"}, "which this model has not"),
        ({"num_hidden_layers": "num_hidden_layers = 3"}, "has no model.mixer_blocks.2"),
        ({"vocab_size": "vocab_size = 270"}, "of shape"),
        ({"sequence_length": "sequence_length = 8"}, "of shape"),
    ],
)
def test_checkpoints_of_another_model_are_refused_and_kept(recipe_file, training, tmp_path, changes, said):
    path = recipe_file(steps="steps = 4")
    recipe = load_recipe(path)
    checkpoint = tmp_path / "out" / "work" / "checkpoint-2"
    tokens = cached_tokens(recipe.data, tmp_path)
    build_model(recipe, tokens.tokenizer).save_pretrained(checkpoint)
    changed = recipe_file(**changes)
    # As if the run had been of the changed recipe: what it says of itself is right, its weights are not.
    tokenizer = tokenizer_hash(cached_tokens(load_recipe(changed).data, tmp_path).tokenizer)
    run = runner._recorded(load_recipe(changed), load_recipe(changed))
    (tmp_path / "history.jsonl").touch()
    finish_checkpoint(
        checkpoint, run | {"text": tokens.text.sha256, "tokenizer": tokenizer}, tmp_path / "history.jsonl"
    )
    (checkpoint.parent / "run.json").touch()
    before = (checkpoint / "model.safetensors").read_bytes()
    code, (line,) = training(changed)
    assert code == 2 and "another architecture or vocabulary" in line and said in line
    assert (checkpoint / "model.safetensors").read_bytes() == before


def test_another_text_or_recipe_in_the_same_folder(recipe_file, training, tmp_path, monkeypatch):
    def stop(self, *arguments, **keywords):
        raise KeyboardInterrupt

    path = recipe_file()
    monkeypatch.setattr(TMMTrainer, "evaluate", stop)
    assert training(path)[0] == 130
    kept = tmp_path / "out" / "work" / "checkpoint-4"
    assert kept.exists()
    monkeypatch.undo()
    (tmp_path / "text.txt").write_text((tmp_path / "text.txt").read_text() + "\n\nmore of it")
    code, (line,) = training(path)
    assert code == 2 and "another text" in line and kept.exists()
    code, (line,) = training(recipe_file(tail="jensen_penalty = 0.5"))
    assert code == 2 and "another recipe" in line and kept.exists()
    for checkpoint in kept.parent.glob("checkpoint-*"):
        shutil.rmtree(checkpoint)
    assert training(path)[0] == 0  # with no checkpoint there is nothing to mix up


@pytest.mark.parametrize("name", ["README.md", "config.json", "recipe.toml", "work/notes.txt", "kernels/a"])
def test_a_folder_with_files_of_others_is_left_alone(recipe_file, training, tmp_path, name):
    other = tmp_path / "out" / name
    other.parent.mkdir(parents=True)
    other.write_text("mine")
    for force in ((), ("--force",)):
        code, (line,) = training(recipe_file(), *force)
        assert code == 2 and f"files that no training wrote ({name.partition('/')[0]})" in line
    assert other.read_text() == "mine"
    assert [path for path in (tmp_path / "out").rglob("*") if path.is_file()] == [other]


def test_without_out_a_run_goes_into_a_folder_of_its_name(recipe_file, tmp_path, monkeypatch, capsys):
    path = recipe_file(steps="steps = 2")
    for name in ("README.md", "config.json"):
        (tmp_path / name).write_text("mine")
    before = path.read_text()
    monkeypatch.chdir(tmp_path)
    assert run(["train", "recipe.toml"]) == 0 and "trained: runs/tiny" in capsys.readouterr().out
    assert (tmp_path / "runs" / "tiny" / "model.safetensors").exists() and path.read_text() == before
    assert {(tmp_path / name).read_text() for name in ("README.md", "config.json")} == {"mine"}
    assert run(["train", "recipe.toml"]) == 2 and "finished model" in capsys.readouterr().err
    # A recipe alone in its folder is trained there when that is asked for.
    (tmp_path / "alone").mkdir()
    (tmp_path / "alone" / "recipe.toml").write_text(before.replace("text.txt", "../text.txt"))
    assert run(["train", "alone/recipe.toml", "--out", "alone"]) == 0


@pytest.mark.parametrize("name", ["n" * 300, "n/" * 3000, "a\x1b[31m" * 60])
def test_names_that_no_file_can_have_are_one_line(recipe_file, tmp_path, capfd, name):
    """Long and odd names wherever a name is given: 2 or 1, one printable line, no traceback."""
    path = recipe_file(steps="steps = 2")
    odd = tmp_path / "odd.toml"
    escaped = name.replace("\x1b", "\\u001b")
    odd.write_text(path.read_text().replace('"text.txt"', f'"{escaped}"'))
    given = path.read_text().replace("vocab_size = 280", f'tokenizer = "{escaped}"')
    (tmp_path / "given.toml").write_text(given)
    for arguments in (
        ["train", name],
        ["train", str(path), "--out", str(tmp_path / name)],
        ["train", str(odd), "--out", str(tmp_path / "a")],
        ["train", str(tmp_path / "given.toml"), "--out", str(tmp_path / "b")],
        ["surgery", name],
        ["surgery", str(tmp_path), "--recipe", name],
        ["surgery", str(tmp_path), "--save", str(tmp_path / name)],
    ):
        code = run(arguments)
        said = [line for line in capfd.readouterr().err.splitlines() if line.startswith("toeplitz-theory: ")]
        assert code in (1, 2) and len(said) == 1 and said[0].isprintable() and len(said[0]) < 900, arguments


def test_more_positions_than_the_code_has_numbers(recipe_file, training, tmp_path):
    path = recipe_file("autoencode", sequence_length="sequence_length = 17")
    code, (line,) = training(path)
    assert code == 2 and "at positions i and i + 16" in line and "sequence_length at most 16" in line
    assert not (tmp_path / "out").exists()
    assert load_recipe(path).sequence_length == 17  # what was trained so is still read
    (tmp_path / "sweep.toml").write_text('recipes = ["recipe.toml"]\naxes.model.hidden_size = [32, 16]')
    with pytest.raises(InputError, match=r"recipe\.toml with model\.hidden_size = 16: .*at most 16"):
        planned_runs(tmp_path / "sweep.toml")
