"""Where a report's files go: written whole or not at all, and refused in one line where they cannot be."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from toeplitz_theory.errors import InputError
from toeplitz_theory.files import written_whole


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
