"""The rows of many kernels: in one process or several, and kept on the disk piece by piece."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import sys
import threading
import types
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import cache
from importlib import metadata
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import numpy as np

from toeplitz_theory.cache import DiskCache, key_of
from toeplitz_theory.checkpoints import ToeplitzLayer
from toeplitz_theory.errors import RunError
from toeplitz_theory.files import cache_folder
from toeplitz_theory.interrupts import be_child, stop_children
from toeplitz_theory.reports.analysis import Asked, analyse
from toeplitz_theory.reports.json_form import plain_row, row_of
from toeplitz_theory.reports.progress import advancing
from toeplitz_theory.reports.rows import Row
from toeplitz_theory.threads import one_thread

_VERSION = 1  # of the form of what is kept; what computes it is part of every key
_TAPS = 1 << 15  # of a piece: some seconds, which is what an interruption costs
_MOST = 16  # kernels of a piece
_MOST_QUICK = 128
_PATIENCE = 2.0  # seconds for processes that were told to end

Piece = Sequence[ToeplitzLayer]


def rows_of(layers: Piece, asked: Asked, jobs: int | None = None, progress: bool = False) -> tuple[Row, ...]:
    """Return the row of every layer.

    Parameters
    ----------
    layers : sequence of ToeplitzLayer
        Kernels.
    asked : Asked
        Tolerances, and whether a quick look is enough.
    jobs : int, optional
        Processes. With a number, 1 too, rows are kept in the cache folder as they are computed, and those
        that are there are not computed again.
    progress : bool
        Show a bar with an estimate on stderr.

    Returns
    -------
    tuple of Row

    Raises
    ------
    RunError
        A process ended before its work did.

    Examples
    --------
    >>> import os, tempfile
    >>> os.environ["TOEPLITZ_THEORY_CACHE"] = tempfile.mkdtemp()
    >>> layer = ToeplitzLayer("blocks.0", None, np.array([1.0, -2.0]), "float32", "w", "flat")
    >>> [row.index.value for row in rows_of([layer], Asked(), jobs=1)]
    [-1]
    """
    with advancing(len(layers), progress, "kernels") as advance:
        if jobs is None:
            with one_thread():
                return tuple(advance(analyse(layer, asked)) for layer in layers)
        pieces = _pieces(layers, asked)
        kept = _can_keep()
        jobs = min(jobs, len(pieces))
        one_by_one = ((k, _plain_rows(piece, asked, kept)) for k, piece in enumerate(pieces))
        computed = one_by_one if jobs <= 1 else _in_processes(pieces, asked, kept, jobs)
        rows: dict[int, list[Row]] = {}
        for number, plain in computed:
            pairs = zip(plain, pieces[number], strict=True)
            rows[number] = [advance(row_of(entry, layer.kernel)) for entry, layer in pairs]
        return tuple(row for number in sorted(rows) for row in rows[number])


def _pieces(layers: Piece, asked: Asked) -> list[Piece]:
    """Neighbours, as many as take some seconds: not by ``jobs``, so that other jobs find them again."""
    most = _MOST_QUICK if asked.quick else _MOST
    pieces: list[list[ToeplitzLayer]] = []
    taps = 0
    for layer in layers:
        if not pieces or taps + layer.n > _TAPS * most // _MOST or len(pieces[-1]) == most:
            pieces.append([])
            taps = 0
        pieces[-1].append(replace(layer, w_in=None, w_out=None))
        taps += layer.n
    return list(pieces)


def _can_keep() -> bool:
    """Whether the cache can be written to; where not, that is said once and not by every process."""
    try:
        cache_folder().mkdir(parents=True, exist_ok=True)
    except OSError as error:
        print(f"{cache_folder()}: rows are not kept ({error.strerror})", file=sys.stderr)
        return False
    if not os.access(cache_folder(), os.W_OK):
        print(f"{cache_folder()}: rows are not kept (not writable)", file=sys.stderr)
        return False
    return True


def _plain_rows(piece: Piece, asked: Asked, keep: bool) -> list[dict[str, Any]]:
    """The rows of a piece without their kernels, from the cache where they are there."""

    def make() -> list[dict[str, Any]]:
        return [plain_row(analyse(layer, asked)) for layer in piece]

    with one_thread():
        if not keep:
            return make()
        return DiskCache("rows", _VERSION).json([_code(), asdict(asked), *map(_identity, piece)], make)


def _identity(layer: ToeplitzLayer) -> list[Any]:
    """What decides a layer's row: the bytes of its kernel, and all that is said of it."""
    kernel = np.ascontiguousarray(layer.kernel)
    said = [layer.layer, layer.head, layer.dtype, layer.key, layer.layout, layer.note]
    digest = hashlib.sha256(kernel.tobytes()).hexdigest()
    return [kernel.dtype.str, digest, *said, layer.row_normalised, layer.residual]


@cache
def _code() -> str:
    """The hash of the code that computes rows and of what it computes with: other code, other rows."""
    package = Path(__file__).parents[1]
    sources = sorted(path for room in ("operators", "reports") for path in (package / room).rglob("*.py"))
    versions = [metadata.version(name) for name in ("numpy", "scipy", "python-flint")]
    return key_of(versions, [hashlib.sha256(path.read_bytes()).hexdigest() for path in sources])


def _in_processes(
    pieces: list[Piece], asked: Asked, keep: bool, jobs: int
) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """Yield the rows of each piece as it is done; when left early, end the processes at once."""
    context = multiprocessing.get_context("spawn")
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=_begin)
    try:
        with _without_main():
            numbers = {pool.submit(_in_child, piece, asked, keep): k for k, piece in enumerate(pieces)}
        for done in as_completed(numbers):
            yield numbers[done], done.result()
    except BrokenProcessPool:
        raise RunError(
            "a process that computes rows was ended from outside, perhaps for want of memory; those that are "
            "done are kept: run the same again, with fewer jobs"
        ) from None
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        stop_children([c for c in multiprocessing.active_children() if c not in others], _PATIENCE)


@contextmanager
def _without_main() -> Iterator[None]:
    """Start processes that do not run the caller's script again: a script needs no guard for us."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _begin() -> None:
    """In a new process: leave Ctrl-C to the first one, and end with it whatever ends it."""
    be_child()
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_after, args=(parent.sentinel,), daemon=True).start()


def _end_after(sentinel: Any) -> None:
    wait([sentinel])
    os._exit(1)


def _in_child(piece: Piece, asked: Asked, keep: bool) -> list[dict[str, Any]]:
    """The rows of a piece; told to end, a process takes away what it has half-written, and ends."""
    try:
        return _plain_rows(piece, asked, keep)
    except SystemExit as told:
        os._exit(int(told.code or 0))  # the pool would go on with the next piece
