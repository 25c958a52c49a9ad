"""Every public name is documented, parameter by parameter, with examples that run."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import dataclasses
import doctest
import importlib
import inspect
import pkgutil
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import toeplitz_theory

PACKAGE = Path(toeplitz_theory.__file__).parent
SECTION = re.compile(r"^(?P<title>[A-Z][A-Za-z ]+)\n-{3,}$", re.MULTILINE)


def packages() -> list[str]:
    """The package and the subpackages that exist."""
    inner = [m.name for m in pkgutil.iter_modules([str(PACKAGE)]) if m.ispkg]
    return ["toeplitz_theory", *(f"toeplitz_theory.{name}" for name in inner)]


def public() -> Iterator[tuple[str, str]]:
    """(package, name) of every public name, without importing what stands behind the names."""
    for package in packages():
        for name in getattr(importlib.import_module(package), "__all__", []):
            if (
                importlib.util.find_spec(package)
                and f"{package}.{name}" not in packages()
                and name != "errors"
            ):
                yield package, name


def sections(doc: str) -> dict[str, str]:
    """The sections of a numpydoc docstring by title."""
    text = inspect.cleandoc(doc)
    heads = list(SECTION.finditer(text))
    ends = [*(head.start() for head in heads[1:]), len(text)][: len(heads)]
    return {head["title"]: text[head.end() : end] for head, end in zip(heads, ends, strict=True)}


def documented(doc: str) -> set[str]:
    """Names in the Parameters and Attributes sections: what stands before ' :' at the margin."""
    found = sections(doc)
    lines = (found.get("Parameters", "") + "\n" + found.get("Other Parameters", "")).splitlines()
    lines += found.get("Attributes", "").splitlines()
    names = (line.split(" :")[0].split(",") for line in lines if line and not line[0].isspace())
    return {name.strip().lstrip("*") for group in names for name in group}


def ours(thing: Any) -> bool:
    return (getattr(thing, "__module__", "") or "").startswith("toeplitz_theory")


def parameters_of(function: Callable) -> list[str]:
    kinds = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    named = [p.name for p in inspect.signature(function).parameters.values() if p.kind not in kinds]
    return [name for name in named if name not in ("self", "cls") and not name.startswith("_")]


def expected(thing: Any) -> list[str]:
    """Parameters a user of the name can give."""
    if not inspect.isclass(thing):
        return parameters_of(thing)
    if dataclasses.is_dataclass(thing):
        own = {name for cls in thing.__mro__ if ours(cls) for name in inspect.get_annotations(cls)}
        return [f.name for f in dataclasses.fields(thing) if f.init and f.name in own and f.name[0] != "_"]
    own_init = next(
        (c.__dict__["__init__"] for c in thing.__mro__ if ours(c) and "__init__" in c.__dict__), None
    )
    return parameters_of(own_init) if own_init else []


def methods(cls: type) -> Iterator[tuple[str, Callable]]:
    """Public methods and properties that the class itself defines."""
    for name, member in vars(cls).items():
        function = getattr(member, "fget", None) or getattr(member, "func", None) or member
        function = getattr(function, "__func__", function)
        if not name.startswith("_") and inspect.isfunction(function) and ours(function):
            yield name, function


names = sorted(set(public()))


def test_there_are_public_names():
    assert ("toeplitz_theory", "Symbol") in names and ("toeplitz_theory.checkpoints", "load") in names


@pytest.mark.parametrize(("package", "name"), names, ids=[f"{p}.{n}" for p, n in names])
def test_public_name_is_documented(package, name):
    thing = getattr(importlib.import_module(package), name)
    if not callable(thing) or not ours(thing):
        return  # a constant: its module documents it
    doc = inspect.getdoc(thing) or ""
    assert doc, "no docstring"
    missing = [p for p in expected(thing) if p not in documented(doc)]
    assert not missing, f"parameters not documented: {missing}"
    assert ">>>" in sections(doc).get("Examples", ""), "no runnable Examples section"
    if inspect.isclass(thing):
        bare = [method for method, function in methods(thing) if not documented_method(function)]
        assert not bare, f"methods without a docstring, or with undocumented parameters: {bare}"


def documented_method(function: Callable) -> bool:
    """A docstring; with parameters, each named in Parameters or between backticks above it."""
    doc = inspect.getdoc(function) or ""
    first = SECTION.search(doc)
    prose = set(re.findall(r"`+([A-Za-z_]\w*)`+", doc[: first.start()] if first else doc))
    return bool(doc) and set(parameters_of(function)) <= documented(doc) | prose


with_examples = sorted(path for path in PACKAGE.rglob("*.py") if ">>>" in path.read_text(encoding="utf-8"))


def module_name(path: Path) -> str:
    relative = path.relative_to(PACKAGE.parent).with_suffix("")
    return ".".join(relative.parts).removesuffix(".__init__")


@pytest.mark.parametrize("module", [module_name(path) for path in with_examples])
def test_examples_run(module, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # whatever an example writes goes here
    loaded = importlib.import_module(module)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    flags = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    report: list[str] = []
    runner = doctest.DocTestRunner(optionflags=flags, verbose=False)
    for test in doctest.DocTestFinder().find(loaded, module):
        runner.run(test, out=report.append)
    assert runner.tries > 0 and runner.failures == 0, "".join(report)
