"""All measures of a model in one call, from Python and from the command line."""

import json

import pytest

import toeplitz_theory as tt
from toeplitz_theory.cli import run
from toeplitz_theory.plots import retention_curves
from toeplitz_theory.retention import Measured, ask, opened


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("models") / "tiny"
    config = tt.TMMConfig(vocab_size=12, hidden_size=8, max_position_embeddings=16, num_heads=2)
    tt.TMMForCausalLM(config).save_pretrained(place)
    return place


def test_asking_goes_on_from_what_is_kept(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("TOEPLITZ_THEORY_CACHE", str(tmp_path))
    asked, said = opened(folder), []
    first = ask(asked, progress=said.append)
    assert said == [f"tiny: {name}" for name in ("capacity", "effect", "recall", "recovery")]
    monkeypatch.setattr(
        "toeplitz_theory.retention.asking.token_capacity", lambda *_, **__: pytest.fail("again")
    )
    again = ask(asked)
    assert again["capacity"].value == first["capacity"].value
    assert again["capacity"].table.equals(first["capacity"].table)


def test_command_line(folder, tmp_path, capsys):
    assert (
        run(
            [
                "retention",
                str(folder),
                "--json",
                str(tmp_path / "kept.json"),
                "--figures",
                str(tmp_path / "f"),
            ]
        )
        == 0
    )
    shown = capsys.readouterr().out
    assert "untrained" in shown and "recovery" in shown and "dimensions" in shown
    content = json.loads((tmp_path / "kept.json").read_text())
    assert set(content["models"]) == {"tiny", "untrained"}
    assert sorted(p.name for p in (tmp_path / "f").iterdir())[:2] == ["capacity.pdf", "capacity.png"]
    assert run(["retention", str(folder), "--against", "nothing"]) == 0
    assert "untrained" not in capsys.readouterr().out


@pytest.mark.parametrize("name", ["missing", "empty"])
def test_what_is_no_model_is_one_line(name, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert run(["retention", str(tmp_path / name)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_curves_of_one_kind_only():
    columns = {"lag": [0, 1], "value": [2.0, 1.0], "lower": [1.9, 0.9], "upper": [2.1, 1.1]}
    recall = Measured("recall", "bits", 1.0, (0.9, 1.1), 9, {}, 0.1, columns)
    capacity = Measured("token capacity", "dimensions", 3.0, (2.9, 3.1), 9, {}, 0.1, columns)
    assert retention_curves(capacity).axes[0].lines[0].get_ydata().tolist() == [2.0, 3.0]
    with pytest.raises(tt.errors.InputError, match="one kind"):
        retention_curves({"a": recall, "b": capacity})
