"""Recipes: read whole, and refused in one line that names the key."""

import os
from pathlib import Path

import pytest

from toeplitz_theory.errors import InputError
from toeplitz_theory.training.recipe import load_recipe

MODELS = Path(__file__).parents[2] / "models"


def test_reads_what_is_written(recipe_file):
    recipe = load_recipe(recipe_file("autoencode"))
    assert (recipe.objective, recipe.model.num_heads, recipe.training.steps) == ("autoencode", 2, 12)
    assert recipe.model.expansion == 4


@pytest.mark.parametrize(
    ("key", "line", "said"),
    [
        (
            "hidden_size",
            "hiden_size = 16",
            r"unknown key 'model.hiden_size' \(did you mean 'hidden_size'\?\); known here",
        ),
        ("name", 'nmae = "x"', r"unknown key 'nmae' \(did you mean 'name'\?\)"),
        ("steps", "step = 12", r"unknown key 'training.step' \(did you mean 'steps'\?\)"),
        ("hidden_size", "hidden_size = 0", "model.hidden_size.*greater than or equal to 1, not 0"),
        ("hidden_size", "hidden_size = 15", "model: hidden_size=15 is not divisible by num_heads=2"),
        ("hidden_size", 'hidden_size = "16"', "model.hidden_size.*integer, not '16'"),
        ("steps", "batch_size = 4", "TOML"),
        ("steps", "", "'training.steps' is missing"),
        ("steps", "steps = 12\nlearning_rate = nan", "training.learning_rate.*finite"),
        ("objective", 'objective = "guess"', "objective: .*'next_token', 'autoencode', .*, not 'guess'"),
        ("save_every", "save_every = 5", "save_every=5 must be a multiple of log_every=2"),
        ("warmup_steps", "warmup_steps = 13", "warmup_steps=13 is more than steps=12"),
        ("vocab_size", "vocab_size = 100", "data.vocab_size.*257"),
        ("validation_fraction", "validation_fraction = 1.5", "data.validation_fraction.*0.5"),
        ("name", 'name = "../up"', "name.*pattern"),
        ("batch_size", "batch_size = 4\ngradient_accumulation_steps = 3", "batch_size=4 is not divisible by"),
        ("corpus", 'corpus = "text.txt"\nsplit = "test"', "split is for a corpus of the Hub"),
        ("vocab_size", 'vocab_size = 300\ntokenizer = "t"', "vocab_size is for training a tokenizer"),
        ("num_heads", "num_heads = 1\nmixer = 'attention'\nkernel_size = 2", "kernel_size"),
        ("steps", "steps = 12\nprecision = 'fp16'", "'float32' or 'bf16'"),
        ("steps", "steps = 12\njensen_penalty = -1.0", "jensen_penalty.*greater"),
        ("hidden_size", 'mixer = "atention"', "model: .*mixer='atention' is not one of 'toeplitz'"),
        ("hidden_size", "kernel_size = 3", "model: .*kernel_size=3 is for flat mixers"),
        ("hidden_size", 'preset = "papr"', "model.*no preset 'papr'"),
    ],
)
def test_refused_in_one_line(recipe_file, key, line, said):
    path = recipe_file(**{key: line})
    with pytest.raises(InputError, match=said) as refusal:
        load_recipe(path)
    assert str(path) in str(refusal.value) and "\n" not in str(refusal.value)


def test_a_preset_fills_in_what_is_not_given(recipe_file):
    path = recipe_file(hidden_size='hidden_size = 16\npreset = "optimised"\nhidden_act = "relu"')
    model = load_recipe(path).model
    assert (model.block_order, model.norm, model.positive_kernels) == ("mixer_first", "rmsnorm", True)
    assert model.hidden_act == "relu" and "preset" not in model.model_dump()
    path = recipe_file(hidden_size='hidden_size = 16\npreset = "optimised"\nmixer = "attention"')
    model = load_recipe(path).model
    assert (model.mixer, model.norm, model.positive_kernels) == ("attention", "rmsnorm", False)


def test_the_code_of_an_autoencoder_has_two_halves(recipe_file):
    path = recipe_file("autoencode", hidden_size="hidden_size = 15", num_heads="num_heads = 3")
    with pytest.raises(InputError, match="hidden_size=15 must be even for the objective 'autoencode'"):
        load_recipe(path)


def test_missing_file_and_folder(tmp_path):
    for path in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(InputError, match=r"recipe\.toml"):
            load_recipe(path)


def test_binary_file(tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_bytes(b"\xff\x00")
    with pytest.raises(InputError, match="is not text"):
        load_recipe(path)


TINY = 'name = "a"\nobjective = "next_token"\ntraining = {steps = 100}\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a=" + "{a=" * 5000 + "1" + "}" * 5000, "larger than the 16,384 bytes"),
        ("a=" + "[" * 8000, "nested too deep"),
        ("a=" + "{a=" * 2000 + "1" + "}" * 2000, "nested too deep|unknown key"),
        ("a." * 50_000 + "b=1", "larger than the 16,384 bytes"),
        ("a=" + "9" * 10_000, "not a TOML file: .*digits"),
        (TINY.replace("100", "9" * 4000), r"training.steps: .*not an integer of \d+ bits"),
        (TINY.replace("100", "0x" + "f" * 9000), r"training.steps: .*not an integer of \d+ bits"),
        (TINY.replace("100", "10_000_000_000"), "training.steps: .*2147483647"),
        (TINY + "[model]\nhidden_size = 1_000_000_000\n", "model.hidden_size: .*1048576"),
        (TINY + "[model]\nnum_hidden_layers = 1_000_000\n", "model.num_hidden_layers: .*4096"),
        (TINY + "[data]\nsequence_length = 1_000_000_000_000\n", "data.sequence_length: .*16777216"),
        (TINY.replace('"a"', '"' + "a" * 300 + '"'), "name: .*100 characters"),
        (TINY.replace('"a"', '"\\u001b[31m"'), r"name: .*\\x1b\[31m"),
        (TINY + '"\\u001b[31m" = 1\n', r"unknown key '\\x1b\[31m'"),
        (TINY + f'"{"k" * 9000}" = 1\n', r"unknown key 'k+\.\.\.k+'"),
        (TINY + f"[data]\ncorpus = [{'1, ' * 3000}]\n", r"data.corpus: .*not \[1, 1.*\.\.\."),
    ],
)
def test_hostile_recipes_are_one_short_line(tmp_path, text, said):
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=said) as refusal:
        load_recipe(path)
    assert str(refusal.value).isprintable() and len(str(refusal.value)) < 800


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "recipe.toml")
    for path in (tmp_path / "recipe.toml", "/dev/null"):
        with pytest.raises(InputError, match="not a regular file"):
            load_recipe(path)


def test_shipped_recipes_differ_only_in_objective_and_name():
    """The comparison of objectives rests on it."""
    one, other = (
        load_recipe(MODELS / name / "recipe.toml") for name in ("tmm-next-token", "tmm-autoencoder")
    )
    assert {one.objective, other.objective} == {"next_token", "autoencode"}
    exclude = {"name", "objective"}
    assert one.model_dump(exclude=exclude) == other.model_dump(exclude=exclude)
