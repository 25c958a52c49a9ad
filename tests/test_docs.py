"""The site: its pages are there, what it documents exists, and the tutorial runs."""

import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
CONFIGURATION = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
NAMES = re.findall(
    r"^::: (\S+)$", "\n".join(p.read_text(encoding="utf-8") for p in DOCS.rglob("*.md")), re.MULTILINE
)


def test_the_pages_of_the_menu_are_there():
    pages = re.findall(r"(\S+\.md)$", CONFIGURATION.partition("\nnav:\n")[2], re.MULTILINE)
    assert len(pages) > 10
    assert all((DOCS / page).is_file() for page in pages)
    included = re.findall(r'--8<-- "(.*)"', "".join(path.read_text() for path in DOCS.glob("*.md")))
    assert included and all((ROOT / path).is_file() for path in included)


@pytest.mark.parametrize("name", NAMES)
def test_what_the_reference_names_exists(name):
    module, _, thing = name.rpartition(".")
    assert getattr(importlib.import_module(module), thing).__doc__


def test_every_public_name_of_the_package_is_in_the_reference():
    import toeplitz_theory as tt

    here = {name.rpartition(".")[2] for name in NAMES}
    classes = [name for name in tt.__all__ if name[0].isupper()]
    assert classes and not [name for name in classes if name not in here]


def test_the_tutorial_runs(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    text = (DOCS / "tutorial.md").read_text(encoding="utf-8")
    exec("\n".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL)), {})
    said = capsys.readouterr().out
    assert "90 % after 2" in said and "index -2, certified" in said


def test_no_remote_font_or_script_is_asked_for():
    assert "font: false" in CONFIGURATION and "://" not in CONFIGURATION
