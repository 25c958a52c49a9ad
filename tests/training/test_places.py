"""The recipe that a run leaves is valid where it lies, and a run knows its recipe again from there."""

import os
import shutil
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.training.conftest import RECIPE, small_text
from toeplitz_theory.cli import run
from toeplitz_theory.errors import InputError
from toeplitz_theory.training.recipe import Recipe, load_recipe, placed_recipe, placed_text
from toeplitz_theory.training.resume import finish_checkpoint
from toeplitz_theory.training.runner import _claim, _recorded, train


def _recipe(**data) -> Recipe:
    return Recipe(name="t", objective="next_token", training={"steps": 9, "warmup_steps": 1}, data=data)


@pytest.fixture
def trained(tmp_path):
    """A recipe beside its text, and a run two folders further down."""
    home = tmp_path / "home"
    (home / "texts").mkdir(parents=True)
    (home / "texts" / "text.txt").write_text(small_text())
    recipe = home / "recipe.toml"
    text = RECIPE.format(objective="next_token").replace('"text.txt"', "'texts/text.txt'  # mine")
    recipe.write_text(text)
    return recipe, train(recipe, home / "runs" / "one")


def test_a_run_is_repeated_from_its_own_folder_also_when_all_is_moved(trained, tmp_path):
    recipe, out = trained
    text = (out / "recipe.toml").read_text()
    assert text == recipe.read_text().replace("'texts/text.txt'", '"../../texts/text.txt"')
    os.rename(tmp_path / "home", tmp_path / "moved")
    out = tmp_path / "moved" / "runs" / "one"
    again = train(out / "recipe.toml", tmp_path / "again")
    assert (again / "model.safetensors").read_bytes() == (out / "model.safetensors").read_bytes()
    assert run(["surgery", str(out)]) == 0  # which reads the text by the folder's own recipe


def test_a_run_goes_on_from_either_recipe(trained, tmp_path):
    recipe, out = trained

    def begin(folder, path):
        given = load_recipe(path)
        placed = placed_recipe(given, path.parent, folder)
        _claim(folder, given, placed, False)
        checkpoint = folder / "work" / "checkpoint-4"
        checkpoint.mkdir(exist_ok=True)
        finish_checkpoint(checkpoint, _recorded(given, placed), out / "history.jsonl")

    folder = recipe.parent / "runs" / "two"
    begin(folder, recipe)
    shutil.copy(out / "recipe.toml", folder / "recipe.toml")
    for path in (folder / "recipe.toml", recipe, folder / "recipe.toml"):
        begin(folder, path)
        assert (folder / "work" / "checkpoint-4").exists()
    moved = tmp_path / "elsewhere"
    begin(folder, recipe)
    os.rename(folder, moved)  # without its text, whose path is another from there
    begin(moved, recipe)
    other = recipe.parent / "runs" / "other.toml"  # the same spelling, another file
    other.write_text(recipe.read_text().replace("texts/text.txt", "other.txt"))
    with pytest.raises(InputError, match="another recipe"):
        begin(moved, other)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("text.txt", "../a/text.txt"),
        ("../b/text.txt", "./text.txt"),
        ("../b/hub:x", "./hub:x"),
        ("../b/stdlib-docs", "./stdlib-docs"),
        ("..", ".."),
        ("link/../text.txt", "../far/text.txt"),
        ("stdlib-docs", "stdlib-docs"),
        ("hub:owner/name", "hub:owner/name"),
        ("/data/text.txt", "/data/text.txt"),
    ],
)
def test_paths_from_another_folder(given, expected, tmp_path):
    base, folder = (tmp_path / "top" / name for name in "ab")
    for place in (base, folder, tmp_path / "top" / "far" / "deep"):
        place.mkdir(parents=True)
    (base / "link").symlink_to(tmp_path / "top" / "far" / "deep")
    placed = placed_recipe(_recipe(corpus=given), base, folder).data.corpus
    assert placed == expected
    if expected.startswith("."):
        assert os.path.realpath(folder / placed) == os.path.realpath(base / given)
    assert placed_recipe(_recipe(corpus=given), base, base).data.corpus == given


def test_the_tokenizer_moves_too_and_nothing_else(tmp_path):
    before = _recipe(corpus="stdlib-docs", tokenizer="tok")
    after = placed_recipe(before, tmp_path, tmp_path / "out")
    assert after.data.tokenizer == "../tok"
    assert after.model_dump() | {"data": 0} == before.model_dump() | {"data": 0}
    hub = _recipe(corpus="text.txt", tokenizer="hub:o/n")
    assert placed_recipe(hub, tmp_path, tmp_path / "out").data.tokenizer == "hub:o/n"


SPELLINGS = [
    '[data]\ncorpus = "{}" # it\'s "here"\n',
    "data = {{ corpus = '{}' }}\n",
    'data.corpus = """{}"""\n',
    "data.'corpus' = '''{}'''\n",
    '"data"."corp\\u0075s" = "{}"\n',
    'note = "{0}" # "{0}\n[data]\n\'corpus\'="{0}"\ntext_column = "{0}"\n',
]


@pytest.mark.parametrize("spelling", SPELLINGS)
@given(new=st.text(st.characters(blacklist_categories=["Cs"]), min_size=1))
def test_only_the_path_is_replaced_however_it_is_written(spelling, new):
    text = "# don't touch\n" + spelling.format("a b.txt")
    old, placed = _recipe(corpus="a b.txt"), _recipe(corpus=new)
    expected = tomllib.loads(text)
    expected["data"]["corpus"] = new
    changed = placed_text(text, old, placed)
    assert tomllib.loads(changed) == expected
    assert changed.startswith("# don't touch\n") and changed.count("#") >= text.count("#")
