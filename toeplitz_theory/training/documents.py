"""Documents read one after the other: local files and folders, and data sets of the Hub. Nothing is kept."""

import hashlib
import itertools
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import fsspec

from toeplitz_theory.errors import InputError

HUB = "hub:"
_COMPRESSED = {".gz", ".bz2", ".xz", ".zst"}
_LINES = {".jsonl", ".ndjson"}
_TEXT = {".txt", ".text", ".md", ".rst"}
_PIECE = 1 << 20  # characters of a text file read at a time


@dataclass(frozen=True)
class Documents:
    """Named texts that can be read any number of times, always the same.

    Attributes
    ----------
    name : str
        Where they are from.
    fingerprint : str
        Changes when the texts, or how they are read, change.
    read : callable
        Returns an iterator of (name, text) over them.
    """

    name: str
    fingerprint: str
    read: Callable[[], Iterator[tuple[str, str]]]

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return self.read()


def local_documents(path: Path, sample_by: str = "paragraph", column: str = "text") -> Documents:
    """Return the documents of a file, or of the files of a folder that hold text, in order of their names."""
    if not path.exists():
        raise InputError(f"corpus {path}: there is no such file; use a path, 'stdlib-docs' or hub:OWNER/NAME")
    if path.is_dir() and any((path / name).exists() for name in ("state.json", "dataset_dict.json")):
        raise InputError(f"corpus {path}: was written by save_to_disk; write it with to_parquet instead")
    files = _files_of(path) if path.is_dir() else [(path.name, path)]
    fingerprint = _hash([sample_by, column, *((name, _file_hash(file)) for name, file in files)])

    def read() -> Iterator[tuple[str, str]]:
        for name, file in files:
            for i, text in enumerate(_read_file(file, sample_by, column)):
                if text.strip():
                    yield f"{name}:{i}", text

    return Documents(path.name, fingerprint, read)


def hub_documents(
    source: str, config: str | None, split: str, revision: str | None, streaming: bool, column: str
) -> Documents:
    """Return the documents of a data set by its name on the Hub (after ``hub:``), through ``datasets``."""
    import datasets

    name = source.removeprefix(HUB)
    with _told(source):
        builder = datasets.load_dataset_builder(name, config, revision=revision)
    # The builder's hash follows the revision and the files.
    fingerprint = _hash([name, builder.config_id, builder.hash, split, column])

    def read() -> Iterator[tuple[str, str]]:
        with _told(source):
            rows = datasets.load_dataset(name, config, split=split, revision=revision, streaming=streaming)
            yield from _rows(source, f"{name}/{split}", rows, column)

    return Documents(f"{name} ({split})", fingerprint, read)


def first(documents: Documents, count: int | None) -> Documents:
    """Return the first ``count`` documents; all, when it is None."""
    if count is None:
        return documents
    fingerprint = _hash([documents.fingerprint, count])
    return Documents(documents.name, fingerprint, lambda: itertools.islice(documents.read(), count))


@contextmanager
def _told(source: str) -> Iterator[None]:
    """Turn what goes wrong inside ``datasets`` into one line."""
    from datasets.exceptions import DatasetsError

    try:
        yield
    except InputError:
        raise
    except (OSError, ValueError, DatasetsError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(
            f"corpus {source}: cannot be read ({reason}); check name, config and split; "
            "without network only what was downloaded before can be read"
        ) from error


def _rows(source: str, name: str, rows: Iterable, column: str) -> Iterator[tuple[str, str]]:
    columns = rows.column_names  # type: ignore[attr-defined]
    if columns is not None:
        if column not in columns:
            raise InputError(
                f"corpus {source}: has no column {column!r}; set text_column to one of {columns}"
            )
        rows = rows.select_columns([column])  # type: ignore[attr-defined]
    for i, row in enumerate(rows):
        text = row[column]
        if text is not None and not isinstance(text, str):
            raise InputError(f"corpus {source}: column {column!r} holds {type(text).__name__}, not text")
        if text and text.strip():
            yield f"{name}:{i}", text


def _files_of(folder: Path) -> list[tuple[str, Path]]:
    """Return the files with text by their relative names; say on stderr what else lies there."""
    every = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    files = [path for path in every if _kind(path) in _LINES | _TEXT | {".parquet"}]
    if not files:
        raise InputError(
            f"corpus {folder}: has no .txt, .md, .rst, .jsonl or .parquet file (also compressed)"
        )
    if len(files) < len(every):
        left = next(path for path in every if path not in files)
        print(
            f"corpus {folder}: {len(every) - len(files)} other files are left out ({left.name}, ...)",
            file=sys.stderr,
        )
    return [(path.relative_to(folder).as_posix(), path) for path in files]


def _kind(path: Path) -> str:
    name = path.with_suffix("") if path.suffix in _COMPRESSED else path
    return name.suffix.lower()


def _read_file(path: Path, sample_by: str, column: str) -> Iterator[str]:
    kind = _kind(path)
    try:
        if kind == ".parquet":
            yield from _parquet(path, column)
            return
        with fsspec.open(str(path), "rt", encoding="utf-8", compression="infer") as file:
            if kind in _LINES:
                yield from _json_lines(path, file, column)
            elif sample_by == "document":
                yield file.read()
            else:
                yield from file if sample_by == "line" else _paragraphs(file)
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise InputError(f"corpus {path}: is not readable UTF-8 text ({error})") from None


def _paragraphs(file) -> Iterator[str]:
    """Yield what stands between blank lines, as splitting at two line ends does, a piece at a time."""
    pending: list[str] = []
    while piece := file.read(_PIECE):
        if pending and pending[-1].endswith("\n"):
            piece = pending.pop() + piece  # a separator may lie across the two
        head, *rest = piece.split("\n\n")
        pending.append(head)
        for part in rest:
            yield "".join(pending)
            pending = [part]
    yield "".join(pending)


def _json_lines(path: Path, file, column: str) -> Iterator[str]:
    for number, line in enumerate(file, 1):
        if not line.strip():
            continue
        try:
            text = str(json.loads(line)[column])
        except (json.JSONDecodeError, KeyError, TypeError):
            raise InputError(f'corpus {path}: line {number} is not {{"{column}": "..."}}') from None
        # JSON can spell half a character; no tokenizer can take it.
        yield text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def _parquet(path: Path, column: str) -> Iterator[str]:
    import datasets

    with _told(str(path)):
        rows = datasets.load_dataset("parquet", data_files=str(path), split="train", streaming=True)
        yield from (text for _, text in _rows(str(path), "", rows, column))


def _file_hash(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"corpus {path}: cannot be read ({error.strerror})") from None


def _hash(parts: list) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
