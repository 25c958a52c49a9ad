"""Folders sealed with the hashes of their files, and the cache on disk that is made of them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from toeplitz_theory.files import cache_folder
from toeplitz_theory.names import shown

SEAL = "complete.json"


def key_of(*parts: Any) -> str:
    """Return the hash of what decides a result, as a name for a file or folder; parts must fit into JSON."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def file_hash(path: Path) -> str:
    """Return the sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def seal(folder: Path) -> None:
    """Note the hashes of a folder's files in its ``complete.json``, once all of them are on the disk.

    Parameters
    ----------
    folder : Path
        A folder nobody writes into any more.

    Raises
    ------
    OSError
        Something cannot be read or written.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> _ = (folder / "numbers.txt").write_text("1 2 3")
    >>> damage(folder)
    'it was not written to its end'
    >>> seal(folder)
    >>> damage(folder)
    ''
    >>> _ = (folder / "numbers.txt").write_text("1 2 4")
    >>> damage(folder)
    'its numbers.txt is not what was written'
    """
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    partial = folder / f".{SEAL}"
    for path in (folder / SEAL, partial):
        files.pop(path.name, None)
    for path in files.values():
        _to_disk(path)
    hashes = {name: file_hash(path) for name, path in sorted(files.items())}
    partial.write_text(json.dumps(hashes, indent=2) + "\n", encoding="utf-8")
    os.replace(partial, folder / SEAL)
    for path in (folder / SEAL, folder, folder.parent):
        _to_disk(path)


def damage(folder: Path) -> str:
    """Say what is wrong with a sealed folder, ``""`` when every file is as it was written."""
    try:
        hashes = json.loads((folder / SEAL).read_bytes())
        names = [(name, hashes[name]) for name in hashes if isinstance(hashes[name], str)]
        if not names or len(names) != len(hashes):
            return f"its {SEAL} is damaged"
        for name, expected in names:
            if not (folder / name).is_file():
                return f"its {shown(name)} is gone"
            if file_hash(folder / name) != expected:
                return f"its {shown(name)} is not what was written"
    except FileNotFoundError:
        return "it was not written to its end"
    except OSError as error:
        return f"it cannot be read ({error.strerror})"
    except (ValueError, TypeError, RecursionError):
        return f"its {SEAL} is damaged"
    return ""


def _to_disk(path: Path) -> None:
    """Wait until a file or folder has reached the disk."""
    if os.name != "posix" and path.is_dir():
        return  # elsewhere folders cannot be opened
    handle = os.open(path, os.O_RDONLY if os.name == "posix" else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class DiskCache:
    """Results of one kind, kept in folders of `cache_folder` under a hash of what decides them.

    An entry is written whole or not at all, compared with its hashes whenever it is opened, and made anew
    when it is damaged. Several processes may use a cache at once.

    Parameters
    ----------
    kind : str
        Name of the folder.
    version : int
        Raise it when what is written, or how it is computed, changes.

    Examples
    --------
    >>> import os, tempfile
    >>> os.environ["TOEPLITZ_THEORY_CACHE"] = tempfile.mkdtemp()
    >>> squares = DiskCache("squares", version=1)
    >>> squares.json([3], lambda: print("computed") or 9)
    computed
    9
    >>> squares.json([3], lambda: print("computed") or 9)
    9
    """

    def __init__(self, kind: str, version: int):
        self.kind, self.version = kind, version

    def folder(self, key: list, make: Callable[[Path], None]) -> Path:
        """Return the folder of an entry.

        Parameters
        ----------
        key : list
            Everything that decides the content, fit for JSON.
        make : callable
            Writes the content into the empty folder it is given; called when there is no whole entry.

        Returns
        -------
        Path
            The folder, whole.

        Raises
        ------
        OSError
            The cache cannot be written.
        """
        place = cache_folder() / self.kind / key_of(self.version, *key)[:32]
        if place.exists():
            problem = damage(place)
            if not problem:
                return place
            print(f"{place}: is made anew: {problem}", file=sys.stderr)
            shutil.rmtree(place)
        with _written_folder(place) as partial:
            make(partial)
            seal(partial)
        return place

    def json(self, key: list, make: Callable[[], Any]) -> Any:
        """Return what ``make`` returns, through a file of JSON.

        Parameters
        ----------
        key : list
            Everything that decides the content, fit for JSON.
        make : callable
            Called when there is no entry, or a damaged one. Its result must fit into JSON without NaN.

        Returns
        -------
        object
            As JSON gives it back: tuples have become lists. Where the cache cannot be written, that is said
            on stderr, and the result is as good.
        """
        made: list = []

        def write(folder: Path) -> None:
            made.append(make())
            (folder / "value.json").write_text(json.dumps(made[0], allow_nan=False), encoding="utf-8")

        try:
            place = self.folder(key, write)
        except OSError as error:
            if not made:
                made.append(make())
            print(f"{error.filename or self.kind}: is not cached ({error.strerror})", file=sys.stderr)
            return json.loads(json.dumps(made[0]))
        return json.loads((place / "value.json").read_bytes())


@contextmanager
def _written_folder(place: Path) -> Iterator[Path]:
    """Yield a folder to write into; rename it to ``place`` when the block succeeds."""
    place.parent.mkdir(parents=True, exist_ok=True)
    host = socket.gethostname()
    for left in place.parent.glob(f".{place.name}.{host}.*.partial"):
        if not _is_running(int(left.name.split(".")[-2])):
            shutil.rmtree(left, ignore_errors=True)
    partial = place.parent / f".{place.name}.{host}.{os.getpid()}.partial"
    partial.mkdir()
    try:
        yield partial
        try:
            partial.rename(place)
        except OSError:
            if not place.exists():
                raise
            # Another process has made the same meanwhile.
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
