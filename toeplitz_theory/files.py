"""Files written whole or not at all, with one line for a place that cannot be written to."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from toeplitz_theory.errors import InputError, RunError
from toeplitz_theory.names import printable, shown

# What is under way and goes when the process has to leave at once.
_unfinished: set[Path] = set()
_STREAMS = {"/dev/stdout": 1, "/dev/stderr": 2}
_DESCRIPTOR = re.compile(r"/(?:dev|proc/self)/fd/(\d{1,9})")
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EIO}


@contextmanager
def written_whole(path: str | os.PathLike[str]) -> Iterator[Path]:
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

    Raises
    ------
    InputError
        ``path`` is a folder, or lies where nothing can be written.
    RunError
        The disk is full or fails.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> target = pathlib.Path(tempfile.mkdtemp()) / "numbers.txt"
    >>> with written_whole(target) as partial:
    ...     _ = partial.write_text("1 2 3")
    >>> target.read_text()
    '1 2 3'
    """
    if os.path.isdir(path):
        raise InputError(f"{printable(path)}: is a folder; give the name of a file to write")
    try:
        special = is_stream(path)
        final = Path(path) if special else Path(os.path.realpath(path))
        if not special:
            final.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".", suffix=".partial", dir=None if special else final.parent)
        os.close(handle)
        partial = Path(name)
        _unfinished.add(partial)
        try:
            yield partial
            if special:
                _pour(partial, final)
            else:
                umask = os.umask(0)
                os.umask(umask)
                partial.chmod(0o666 & ~umask)  # mkstemp makes files private; ours are for reading
                os.replace(partial, final)
        finally:
            partial.unlink(missing_ok=True)
            _unfinished.discard(partial)
    except OSError as error:
        what = f"{printable(path)}: cannot be written ({error.strerror or error})"
        if error.errno in _NO_ROOM:
            raise RunError(f"{what}; make room or choose another disk") from error
        raise InputError(f"{what}; choose another place") from error


def is_stream(path: str | os.PathLike[str]) -> bool:
    """Whether writing to ``path`` adds to a device, a pipe or an open file such as ``/dev/stdout``."""
    known = os.fspath(path) in _STREAMS or _DESCRIPTOR.fullmatch(os.fspath(path))
    return bool(known) or (os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path))


def _pour(partial: Path, device: Path) -> None:
    """Write a finished file to a device; an open descriptor goes on where it stands."""
    number = _STREAMS.get(str(device))
    if number is None and (match := _DESCRIPTOR.fullmatch(str(device))):
        number = int(match[1])
    if number == 1 and sys.stdout is not None:
        sys.stdout.flush()
    target = device if number is None else os.dup(number)
    with partial.open("rb") as whole, open(target, "wb", buffering=0) as stream:
        shutil.copyfileobj(whole, stream)


def remove_unfinished() -> None:
    """Remove every file that `written_whole` has under way, for a process that leaves at once."""
    for partial in list(_unfinished):
        partial.unlink(missing_ok=True)


def remove_partial(folder: str | os.PathLike[str]) -> None:
    """Remove what `written_whole` left in a folder when it was killed; nobody else may be writing there."""
    for path in Path(folder).glob(".*.partial"):
        path.unlink(missing_ok=True)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    r"""Write a UTF-8 text file, whole or not at all, with "\n" line ends everywhere.

    Parameters
    ----------
    path : path-like
        Where; an existing file is replaced.
    text : str
        What. Halves of characters, which names of files can hold, are written as ``\udc80``.

    Raises
    ------
    InputError, RunError
        As `written_whole` does.

    Examples
    --------
    >>> import tempfile
    >>> target = Path(tempfile.mkdtemp()) / "a.txt"
    >>> write_text(target, "whole")
    >>> target.read_text()
    'whole'
    """
    with written_whole(path) as partial:
        partial.write_text(text, encoding="utf-8", errors="backslashreplace", newline="\n")


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write `json_text` to ``path``, whole or not at all."""
    write_text(path, json_text(value))


def json_text(value: Any, indent: int = 2) -> str:
    r"""Return strict, indented JSON; NaN and infinities are refused.

    Parameters
    ----------
    value : object
        What `json.dumps` takes.
    indent : int
        Spaces a level.

    Returns
    -------
    str
        Readable as it stands, but what a terminal would obey, such as marks of direction, is escaped.

    Examples
    --------
    >>> print(json_text("red: \x1b[31m, reversed: \u202e"), end="")
    "red: \u001b[31m, reversed: \u202e"
    """
    text = json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False)
    for character in set(text) - {"\n"}:
        if not character.isprintable():
            text = text.replace(character, json.dumps(character)[1:-1])
    return text + "\n"


# Small files of somebody else's.

MOST_JSON = 4 << 20  # bytes of a configuration


def read_text(path: str | os.PathLike[str], most: int, advice: str) -> str:
    """Return the text of a file, read up to a limit and never waited for; its lines end in newlines.

    Parameters
    ----------
    path : path-like
        The file.
    most : int
        Size in bytes that is read.
    advice : str
        What to do where it cannot be had, for the message.

    Raises
    ------
    InputError
        There is no such file, it is a folder or a pipe, too large, cannot be read, or is not UTF-8.

    Examples
    --------
    >>> read_text("/nowhere.toml", 100, "check the path")
    Traceback (most recent call last):
        ...
    toeplitz_theory.errors.InputError: /nowhere.toml: there is no such file; check the path
    """
    name = shown(path, 300)
    if os.path.exists(path) and not os.path.isfile(path):  # a pipe would be waited on for ever
        raise InputError(f"{name}: not a regular file; {advice}")
    try:
        with open(path, "rb") as file:
            content = file.read(most + 1)
    except (FileNotFoundError, ValueError):  # the latter of a null byte in the name
        raise InputError(f"{name}: there is no such file; {advice}") from None
    except OSError as error:
        raise InputError(f"{name}: cannot be read ({error.strerror}); {advice}") from None
    if len(content) > most:
        raise InputError(f"{name}: larger than the {most:,} bytes that are read of such a file; {advice}")
    try:
        return content.decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise InputError(f"{name}: is not text ({error}); {advice}") from None


def read_json(
    path: str | os.PathLike[str], most: int = MOST_JSON, advice: str = "restore it"
) -> dict[str, Any]:
    """Return the object that a JSON file holds; errors as of `read_text`, and where it holds anything else.

    Parameters
    ----------
    path, most, advice
        As of `read_text`.

    Raises
    ------
    InputError
        In one line.
    """
    text = read_text(path, most, advice)
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise InputError(f"{shown(path, 300)}: not valid JSON; {advice}") from None
    if not isinstance(value, dict):
        raise InputError(f"{shown(path, 300)}: holds no JSON object; {advice}")
    return value


def cache_folder() -> Path:
    """Return the folder for what can be made again: $TOEPLITZ_THEORY_CACHE, or the user's cache."""
    chosen = os.environ.get("TOEPLITZ_THEORY_CACHE")
    if chosen:
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "toeplitz-theory"


@cache
def own_commit() -> str | None:
    """Return the toolkit's own commit, if the running package lies in a checkout of it; None otherwise."""
    root = Path(__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        answer = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
            # Reading must not take the index lock from whoever is committing.
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip() or None
