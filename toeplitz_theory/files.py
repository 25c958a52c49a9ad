"""Files written whole or not at all."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


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


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write UTF-8 text to ``path``, whole or not at all."""
    with written_whole(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path: str | os.PathLike, value: Any) -> None:
    """Write strict, indented JSON to ``path``, whole or not at all; NaN and infinities are refused."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def cache_folder() -> Path:
    """Return the folder for what can be made again: $TOEPLITZ_THEORY_CACHE, or the user's cache."""
    chosen = os.environ.get("TOEPLITZ_THEORY_CACHE")
    if chosen:
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "toeplitz-theory"
