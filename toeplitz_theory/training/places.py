"""Where the text and the tokenizer of a recipe lie, told from another folder."""

import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

from toeplitz_theory.errors import InputError
from toeplitz_theory.training.corpus import STDLIB_DOCS
from toeplitz_theory.training.documents import HUB
from toeplitz_theory.training.recipe import Recipe

_PATHS = ("corpus", "tokenizer")  # keys of the section on data
_LITERAL = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}(?!")' + r"|'''.*?'{3,5}(?!')" + r'|"(?:[^"\\\n]|\\.)*"' + r"|'[^'\n]*'",
    re.DOTALL,
)


def placed_recipe(recipe: Recipe, base: Path, folder: Path) -> Recipe:
    """Return a recipe that means in ``folder`` what ``recipe`` means in ``base``.

    Relative paths stay relative, so that they hold when folder and data are moved together; absolute
    paths, names on the Hub and the embedded corpus stay as they are.
    """
    moved = {name: _moved(getattr(recipe.data, name), base, folder) for name in _PATHS}
    changed = {name: path for name, path in moved.items() if path != getattr(recipe.data, name)}
    if not changed:
        return recipe
    return recipe.model_copy(update={"data": recipe.data.model_copy(update=changed)})


def placed_text(text: str, recipe: Recipe, placed: Recipe) -> str:
    """Return the TOML text of ``recipe`` with the paths of ``placed``, all else as it was written.

    Raises
    ------
    InputError
        When the text is no longer that of the recipe.
    """
    for name in _PATHS:
        old, new = getattr(recipe.data, name), getattr(placed.data, name)
        if old != new:
            text = _with_path(text, name, old, new)
    return text


def _moved(source: str | None, base: Path, folder: Path) -> str | None:
    if source is None or source == STDLIB_DOCS or source.startswith(HUB) or Path(source).is_absolute():
        return source
    # Links to folders are followed, since ".." behind one leads elsewhere; the last name is part of the data.
    base, folder, path = base.resolve(), folder.resolve(), base.resolve() / source
    if base == folder:
        return source
    moved = Path(os.path.relpath(path.parent.resolve() / path.name, folder)).as_posix()
    # "./" keeps a file named like the embedded corpus, or like a name on the Hub, a file.
    return moved if moved.startswith("..") else f"./{moved}"


def _with_path(text: str, name: str, old: str, new: str) -> str:
    """Replace the one string that is ``data.{name}``: that it was the right one, the parser says."""
    wanted = tomllib.loads(text)
    if wanted.get("data", {}).get(name) != old:
        raise InputError(f"the recipe was changed while it was read: data.{name} is not {old!r}; start again")
    wanted["data"][name] = new
    for start, stop in _literals(text):
        found = text[:start] + _quoted(new) + text[stop:]
        if _parsed(found) == wanted:
            return found
    raise AssertionError(f"no string of the recipe is data.{name}")


def _literals(text: str) -> Iterator[tuple[int, int]]:
    for at in (mark.start() for mark in re.finditer("[\"']", text)):
        found = _LITERAL.match(text, at)
        if found:
            yield found.span()


def _parsed(text: str) -> dict | None:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return None


def _quoted(value: str) -> str:
    """Return a TOML string of one line."""
    return (
        '"'
        + "".join(f"\\u{ord(c):04x}" if c in '"\\' or ord(c) < 32 or c == "\x7f" else c for c in value)
        + '"'
    )
