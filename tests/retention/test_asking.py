"""All measures of a model in one call, from Python and from the command line."""

import json
import re
import shutil

import pytest

import toeplitz_theory as tt
from toeplitz_theory.cli import run
from toeplitz_theory.plots import retention_curves
from toeplitz_theory.reports.retention_page import retention_page
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
                "--html",
                str(tmp_path / "kept.html"),
            ]
        )
        == 0
    )
    shown = capsys.readouterr().out
    assert "untrained" in shown and "recovery" in shown and "dimensions" in shown
    content = json.loads((tmp_path / "kept.json").read_text())
    assert set(content["models"]) == {"tiny", "untrained"}
    assert sorted(p.name for p in (tmp_path / "f").iterdir())[:2] == ["capacity.pdf", "capacity.png"]
    page = (tmp_path / "kept.html").read_text()
    assert "What <code>tiny</code> keeps" in page and page.count("<img") == 4
    assert not re.search(r'(src|href)="(?!data:)', page)  # it fetches nothing
    assert run(["retention", str(folder), "--against", "nothing"]) == 0
    assert "untrained" not in capsys.readouterr().out


def test_names_are_printed_as_they_stand(folder, tmp_path, capsys):
    shutil.copytree(folder, tmp_path / "a[b]")
    assert run(["retention", str(tmp_path / "a[b]"), "--against", "nothing"]) == 0
    assert capsys.readouterr().out.count("a[b]") == 2


def test_models_of_one_name_are_told_apart(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "untrained")
    kept = tmp_path / "kept.json"
    assert run(["retention", str(tmp_path / "untrained"), "--json", str(kept)]) == 0
    assert list(json.loads(kept.read_text())["models"]) == ["untrained", "untrained 2"]


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


def test_the_page_says_what_was_measured_and_escapes_names():
    columns = {"lag": [0, 1, 9], "value": [4.0, 3.0, 1.0], "lower": [3.9, 2.9, 0.9], "upper": [4.1, 3.1, 1.1]}
    settings = {"total": {1: (8.0, 7.9, 8.1)}, "rank": {1: 12}, "seed": 0}
    capacity = Measured(
        "token capacity",
        "dimensions",
        8.0,
        (7.9, 8.1),
        9,
        {"rank": 12.0},
        0.1,
        {"layer": [1, 1, 1], **columns},
        settings,
    )
    recall = Measured("recall", "bits", 3.0, (2.9, 3.1), 9, {"all": 5.0}, 0.1, columns)
    found = {"capacity": capacity, "recall": recall, "recall on text": recall}
    page = retention_page({"<i>a": found, "b&": {"capacity": capacity}}, "models/<i>a")
    assert "<i>" not in page and "b&amp;" in page and "b& " not in page
    assert "8 [7.9, 8.1] of the 12 dimensions of the last hidden vector" in page
    assert "half of that the token itself, 1.0 those 8 and more steps back" in page
    assert "Of the 5 bits of a token one vector tells 3 (1 back), 1 (9 back)." in page
    assert page.count("<img") == 3 and "guessed from the topic" in page


def test_a_page_of_somebody_elses_is_not_replaced(folder, tmp_path, capsys):
    (tmp_path / "mine.html").write_text("<html>my own</html>")
    assert run(["retention", str(folder), "--html", str(tmp_path / "mine.html")]) == 2
    assert "--overwrite" in capsys.readouterr().err
