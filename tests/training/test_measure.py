"""Surgery on a model folder: losses that are the model's, a folder that loads, and nothing else touched."""

import errno
import json
import shutil

import pytest
import torch
from threadpoolctl import threadpool_info
from transformers import modeling_utils

from toeplitz_theory.checkpoints import load
from toeplitz_theory.cli import run
from toeplitz_theory.operators import Symbol
from toeplitz_theory.training import measure_surgery, runner, surgery
from toeplitz_theory.training.tokenizer import given_tokenizer, tokenizer_hash


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A recipe and its trained folder; longer than others, so that kernels matter."""
    from tests.training.conftest import RECIPE, small_text

    folder = tmp_path_factory.mktemp("trained")
    (folder / "text.txt").write_text(small_text())
    recipe = folder / "recipe.toml"
    text = RECIPE.format(objective="next_token").replace("steps = 12", "steps = 120\nlearning_rate = 0.01")
    recipe.write_text(text.replace("save_every = 4", "save_every = 120"))
    return recipe, runner.train(recipe, folder / "out")


def test_losses_indices_and_the_folder_that_is_written(trained, tmp_path):
    recipe, folder = trained
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    found = measure_surgery(folder, recipe, tmp_path / "new")
    record = json.loads((folder / "training.json").read_text())
    assert found.before < found.unigram - 0.5  # it has learned something
    assert found.before == pytest.approx(record["validation_loss"], rel=1e-5)
    assert found.unigram == pytest.approx(record["baselines"]["unigram"])
    assert found.before < found.control and found.before < found.after
    assert found.tokens == 16 * record["corpus"]["validation_sequences"]
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before
    old, new = ({layer.key: layer for layer in load(place).layers} for place in (folder, tmp_path / "new"))
    assert old.keys() == new.keys() and len(new) == len(found.replaced)
    assert all(Symbol(layer.kernel).fredholm_index().value == 0 for layer in new.values())
    again = measure_surgery(tmp_path / "new", recipe)
    assert again.before == pytest.approx(found.after, rel=1e-5) == again.after
    assert max(one.distance for one in again.replaced) < 1e-3


def test_no_more_threads_than_the_training_had(trained, monkeypatch):
    recipe, folder = trained
    seen, make_invertible = [], surgery.make_invertible

    def noted(*arguments):
        seen.extend(pool["num_threads"] for pool in threadpool_info())
        return make_invertible(*arguments)

    monkeypatch.setattr(surgery, "make_invertible", noted)
    torch.set_num_threads(2)
    measure_surgery(folder, recipe)
    assert set(seen) == {1} and torch.get_num_threads() == 2


def test_the_command_prints_it(trained, tmp_path, capsys):
    recipe, folder = trained
    assert run(["surgery", str(folder), "--recipe", str(recipe), "--save", str(tmp_path / "new")]) == 0
    said = capsys.readouterr().out
    assert "outer kernels" in said and "4 after" in said and (tmp_path / "new" / "model.safetensors").exists()
    assert run(["surgery", str(folder), "--keep", "deep-zeros", "--near", "1"]) == 0
    assert "deep-zeros kept" in capsys.readouterr().out
    assert run(["surgery", str(folder), "--keep", "all"]) == 2
    assert "none of nothing, main-lag, mean-delay, deep-zeros" in capsys.readouterr().err


def test_a_full_disk_leaves_nothing(trained, tmp_path, capsys, monkeypatch):
    def full(*arguments, **keywords):
        raise OSError(errno.ENOSPC, "No space left on device")

    recipe, folder = trained
    monkeypatch.setattr(modeling_utils, "safe_save_file", full)
    assert run(["surgery", str(folder), "--recipe", str(recipe), "--save", str(tmp_path / "new")]) == 1
    assert "No space left on device" in capsys.readouterr().err.splitlines()[-1]
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_measured_is_one_line(trained, tmp_path, capsys):
    recipe, folder = trained

    def refused(*arguments):
        capsys.readouterr()
        assert run(["surgery", *map(str, arguments)]) == 2
        lines = capsys.readouterr().err.splitlines()
        return next(line for line in lines if line.startswith("toeplitz-theory: "))

    assert "there is no such folder" in refused(tmp_path / "none")
    assert "holds no trained model" in refused(tmp_path, "--recipe", recipe)
    (tmp_path / "taken").mkdir()
    assert "exists" in refused(folder, "--recipe", recipe, "--save", tmp_path / "taken")
    mixed = tmp_path / "mixed"
    shutil.copytree(folder, mixed)
    config = json.loads((mixed / "tokenizer.json").read_text())
    config["added_tokens"].append(config["added_tokens"][0] | {"id": 500, "content": "<more>"})
    (mixed / "tokenizer.json").write_text(json.dumps(config))
    assert "they are of different models" in refused(mixed, "--recipe", recipe)


def test_a_tokenizer_of_the_same_size_and_another_content_is_refused(trained, tmp_path, capsys):
    _, folder = trained
    record = json.loads((folder / "training.json").read_text())
    assert record["tokenizer"] == tokenizer_hash(given_tokenizer(".", folder, 16))
    mixed = folder.parent / "mixed"  # its recipe tells where the text is from there
    shutil.copytree(folder, mixed)
    definition = json.loads((mixed / "tokenizer.json").read_text())
    vocabulary = definition["model"]["vocab"]
    vocabulary["a"], vocabulary["b"] = vocabulary["b"], vocabulary["a"]
    (mixed / "tokenizer.json").write_text(json.dumps(definition))
    assert run(["surgery", str(mixed), "--save", str(tmp_path / "new")]) == 2
    (said,) = (line for line in capsys.readouterr().err.splitlines() if line.startswith("toeplitz-theory: "))
    assert "not the tokenizer its model was trained with" in said and not (tmp_path / "new").exists()
    accepted = [
        {key: value for key, value in record.items() if key != "tokenizer"},  # as models shipped before
        record | {"versions": record["versions"] | {"tokenizers": "0"}},  # which may write it otherwise
    ]
    for known in accepted:
        (mixed / "training.json").write_text(json.dumps(known))
        assert measure_surgery(mixed).before > measure_surgery(folder).before
    (mixed / "training.json").write_text("{")
    assert run(["surgery", str(mixed)]) == 2 and "training.json: " in capsys.readouterr().err
    (mixed / "training.json").unlink()
    assert measure_surgery(mixed).before > measure_surgery(folder).before


@pytest.mark.parametrize("as_folder", [True, False])
def test_the_hash_of_a_given_tokenizer_is_that_of_the_copy_in_the_folder(trained, as_folder, tmp_path):
    recipe, folder = trained
    place = folder if as_folder else folder / "tokenizer.json"
    text = recipe.read_text().replace("vocab_size = 280", f'tokenizer = "{place}"').replace("= 120", "= 4")
    (tmp_path / "text.txt").write_text((recipe.parent / "text.txt").read_text())
    (tmp_path / "recipe.toml").write_text(text)
    out = runner.train(tmp_path / "recipe.toml", tmp_path / "out")
    record = json.loads((out / "training.json").read_text())
    assert record["tokenizer"] == tokenizer_hash(given_tokenizer(".", out, 16))
    measure_surgery(out)
