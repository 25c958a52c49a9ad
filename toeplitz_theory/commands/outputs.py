"""What a command is about to write: refused before any work where it would cost somebody a file."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from toeplitz_theory.errors import InputError
from toeplitz_theory.files import is_stream
from toeplitz_theory.names import printable

Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace files that are no earlier output of this program, too.")
]

# How each kind of file that this program writes is known again: within its first bytes, or a PDF's last.
_MARKS = {
    ".json": b'"format": "toeplitz-theory ',
    ".html": b'<meta name="generator" content="toeplitz-theory">',
    ".csv": b"model,layer,head,n,index,",
    ".png": b"Software\0toeplitz-theory",
    ".pdf": b"/Creator (toeplitz-theory)",
}
_MODEL_FILES = {"config.json", "recipe.toml", "training.json", "tokenizer.json", "tokenizer_config.json"}
_MODEL_ENDINGS = (".safetensors", ".index.json", ".bin", ".pt", ".pth", ".ckpt")


class Output(NamedTuple):
    """A file that a command is to write: the option that says so, where (None: nowhere) and its ending."""

    option: str
    path: Path | None
    kind: str


def check_outputs(outputs: Iterable[Output], inputs: Iterable[Path], overwrite: bool) -> None:
    """Refuse what would overwrite an input, another output, or a file that is none of ours.

    Parameters
    ----------
    outputs : iterable of Output
        What is to be written.
    inputs : iterable of Path
        What is read: files, and folders with all that is in them.
    overwrite : bool
        Whether files that are neither inputs nor ours may be replaced.

    Raises
    ------
    InputError
        One line about the first of them that cannot be.
    """
    claimed: dict[str, str] = {}
    folders: dict[str, str] = {}
    for option, path, kind in outputs:
        if path is None or is_stream(path):
            continue
        where, target = f"{option} {printable(path)}", Path(os.path.realpath(path))
        _check_place(where, target)
        spelling = _spelling(target)
        if spelling in claimed:
            raise InputError(f"{where}: {claimed[spelling]} is the same file; give each its own")
        claimed[spelling] = where
        above = {_spelling(parent): claimed[spelling] for parent in target.parents}
        file = next((claimed[one] for one in above if one in claimed), folders.get(spelling))
        if file is not None:
            raise InputError(f"{where}: {file} has the same name, one of them as a folder; change one")
        folders |= above
        if target.name.lower() in _MODEL_FILES or target.name.lower().endswith(_MODEL_ENDINGS):
            raise InputError(f"{where}: that is the name of a model's file; choose another, as report{kind}")
        if target.exists() and not _is_ours(target, kind):
            if not overwrite:
                raise InputError(
                    f"{where}: exists and is no {kind} file that this program wrote; "
                    "choose another name, or replace it with --overwrite"
                )
            if any(os.path.samefile(target, file) for file in _files(inputs)):
                raise InputError(f"{where}: is read by this command; choose another name")


def drawings(folder: Path | None, stems: Iterable[str], option: str = "--figures") -> list[Output]:
    """The figures with these names, for `check_outputs`."""
    return [
        Output(option, folder and folder / f"{stem}{kind}", kind)
        for stem in stems
        for kind in (".png", ".pdf")
    ]


def _check_place(where: str, target: Path) -> None:
    if target.is_dir():
        raise InputError(f"{where}: is a folder; give the name of a file to write")
    if os.path.islink(target):
        raise InputError(f"{where}: is a link that leads nowhere; choose another name")
    above = next(parent for parent in target.parents if os.path.lexists(parent))
    if not above.is_dir():
        raise InputError(
            f"{where}: cannot be written ({printable(above)} is not a folder); name another place"
        )
    if not os.access(above, os.W_OK | os.X_OK):
        raise InputError(f"{where}: cannot be written ({printable(above)} is protected); name another place")


def _spelling(path: Path) -> str:
    """The same for all spellings that some file system takes for one name."""
    if path.exists():
        status = path.stat()
        return f"{status.st_dev}:{status.st_ino}"
    return unicodedata.normalize("NFC", str(path)).casefold()


def _is_ours(path: Path, kind: str) -> bool:
    try:
        with path.open("rb") as file:
            if kind == ".pdf":
                file.seek(max(0, path.stat().st_size - (1 << 16)))
                return _MARKS[kind] in file.read()
            return _MARKS[kind] in file.read(1024)
    except OSError:
        return False  # what cannot be read cannot be known


def _files(inputs: Iterable[Path]) -> Iterator[Path]:
    """All files of the inputs, and those beside a file that belong to it."""
    for path in inputs:
        folder = path if path.is_dir() else path.parent
        for place, folders, files in os.walk(folder):
            yield from (file for name in files if (file := Path(place, name)).exists())
            if folder != path:
                folders.clear()
