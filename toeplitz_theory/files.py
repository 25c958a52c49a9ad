"""Files written whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from toeplitz_theory.errors import InputError


@contextmanager
def written_whole(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; rename it to ``path`` when the block succeeds.

    Parameters
    ----------
    path : path-like
        Final name; its folder is made when missing.

    Yields
    ------
    Path
        Where to write. After an exception it is removed and ``path`` is as it was. Links are followed, and a
        device or a pipe (``/dev/stdout``) is written to at the end instead of being replaced.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> target = pathlib.Path(tempfile.mkdtemp()) / "numbers.txt"
    >>> with written_whole(target) as partial:
    ...     _ = partial.write_text("1 2 3")
    >>> target.read_text()
    '1 2 3'
    """
    final = Path(path)
    special = final.exists() and not final.is_file() and not final.is_dir()
    if not special:
        final = final.resolve()
        final.parent.mkdir(parents=True, exist_ok=True)
    folder = None if special else final.parent
    handle, name = tempfile.mkstemp(prefix=f".{final.name}.", suffix=".partial", dir=folder)
    os.close(handle)
    partial = Path(name)
    try:
        yield partial
        if special:
            with partial.open("rb") as whole, final.open("wb", buffering=0) as device:
                shutil.copyfileobj(whole, device)
            return
        umask = os.umask(0)
        os.umask(umask)
        partial.chmod(0o666 & ~umask)  # mkstemp makes files private; ours are for reading
        os.replace(partial, final)
    finally:
        partial.unlink(missing_ok=True)


def remove_partial(folder: str | os.PathLike) -> None:
    """Remove what `written_whole` left in a folder when it was killed; nobody else may be writing there."""
    for path in Path(folder).glob(".*.partial"):
        path.unlink(missing_ok=True)


def write_json(path: str | os.PathLike, value: Any) -> None:
    """Write strict, indented JSON to ``path``, whole or not at all; NaN and infinities are refused."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def cache_folder() -> Path:
    """Return the folder for what can be made again: $TOEPLITZ_THEORY_CACHE, or the user's cache."""
    chosen = os.environ.get("TOEPLITZ_THEORY_CACHE")
    if chosen:
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "toeplitz-theory"


# Where a report's files go: written whole or not at all, and refused in one line where they cannot be.


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary name beside ``path``, renamed to it when the block ends well and removed when it does not.

    Parameters
    ----------
    path : path-like
        Where the file shall be; missing parent folders are made.

    Yields
    ------
    Path
        Where to write, in the same folder.

    Raises
    ------
    InputError
        The place cannot be written to, or ``path`` is a folder.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> with replacing(folder / "a.txt") as temporary:
    ...     _ = temporary.write_text("whole")
    >>> [path.name for path in folder.iterdir()]
    ['a.txt']
    """
    target = Path(path)
    if target.is_dir():
        raise InputError(f"{target}: is a folder; give the name of a file to write")
    try:
        with written_whole(target) as temporary:
            yield temporary
    except OSError as error:
        raise InputError(f"{target}: cannot be written ({error.strerror}); choose another place") from error


def write_text(path: str | os.PathLike[str], text: str) -> None:
    r"""Write a UTF-8 text file in one step, with "\n" line ends everywhere.

    Parameters
    ----------
    path : path-like
        Where; an existing file is replaced.
    text : str
        What.

    Raises
    ------
    InputError
        The place cannot be written to.

    Examples
    --------
    >>> import tempfile
    >>> target = Path(tempfile.mkdtemp()) / "a.txt"
    >>> write_text(target, "whole")
    >>> target.read_text()
    'whole'
    """
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")
