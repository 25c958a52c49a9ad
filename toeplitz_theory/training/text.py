"""The documents to train on, one after the other: local files, data sets of the Hub, Python's own."""

import ast
import bz2
import gzip
import hashlib
import io
import itertools
import json
import lzma
import os
import platform
import sys
import sysconfig
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from toeplitz_theory.cache import DiskCache, file_hash, key_of
from toeplitz_theory.checkpoints.hub import HUB, hub_name
from toeplitz_theory.errors import InputError, reason_of
from toeplitz_theory.names import shown
from toeplitz_theory.training.recipe import STDLIB_DOCS, DataSection

_COMPRESSED = {".gz", ".bz2", ".xz", ".zst"}
_LINES = {".jsonl", ".ndjson"}
_TEXT = {".txt", ".text", ".md", ".rst"}
# Named alone, any other file is taken for text, but not these: their marks would be learned with the words.
_NOT_TEXT = {
    *(".json", ".csv", ".tsv", ".xml", ".arrow", ".feather", ".orc", ".pq", ".avro", ".h5", ".pkl", ".npy"),
    *(".zip", ".tar", ".tgz", ".lz4", ".br", ".z", ".7z", ".rar", ".pdf", ".doc", ".docx", ".epub", ".ipynb"),
}
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


def open_documents(data: DataSection, base: str | os.PathLike = ".") -> Documents:
    """Return the documents that a recipe names, to be read one after the other."""
    if data.corpus == STDLIB_DOCS:
        documents = _stdlib_docs()
    elif data.corpus.startswith(HUB):
        documents = _hub_documents(data)
    else:
        path = Path(base, data.corpus)
        sample_by = data.sample_by or ("document" if path.is_dir() else "paragraph")
        documents = _local_documents(path, sample_by, data.text_column)
    count = data.max_documents
    if count is None:
        return documents
    first = key_of(documents.fingerprint, count)
    return Documents(documents.name, first, lambda: itertools.islice(documents.read(), count))


def is_held_out(name: str, validation_fraction: float) -> bool:
    """Return whether a document of this name is for validation; independent of all others."""
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "little") < validation_fraction * 2**64


def add_document(digest: Any, name: str, text: str) -> None:
    """Add a document to the hash of a text: its name, and what it says."""
    for part in (name, text):
        data = part.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "little") + data)


# Local files and folders.


def _local_documents(path: Path, sample_by: str, column: str) -> Documents:
    """Return the documents of a file, or of the files of a folder that hold text, in order of their names."""
    if not os.path.exists(path):  # which is false, too, for names that no file can have
        raise _refusal(path, "there is no such file; use a path, 'stdlib-docs' or hub:OWNER/NAME")
    if path.is_dir() and any((path / name).exists() for name in ("state.json", "dataset_dict.json")):
        raise _refusal(path, "was written by save_to_disk; write it with to_parquet instead")
    if not path.is_dir() and not path.is_file():
        raise _refusal(path, "is a pipe or device, which can be read only once; copy it into a file")
    files = _files_of(path) if path.is_dir() else [(path.name, path)]
    if _kind(path) in _NOT_TEXT and not path.is_dir():
        raise _refusal(path, f"a {_kind(path)} file is not read; make it plain text, .jsonl or .parquet")
    try:
        hashes = [(name, file_hash(file)) for name, file in files]
    except OSError as error:
        raise _refusal(error.filename, f"cannot be read ({error.strerror})") from None

    def read() -> Iterator[tuple[str, str]]:
        for name, file in files:
            for i, text in enumerate(_read_file(file, sample_by, column)):
                if text.strip():
                    yield f"{name}:{i}", text

    return Documents(path.name, key_of(sample_by, column, *hashes), read)


def _refusal(source: object, reason: str) -> InputError:
    return InputError(f"corpus {shown(source, 300)}: {reason}")


def _files_of(folder: Path) -> list[tuple[str, Path]]:
    """Return the files with text by their relative names; say on stderr what else lies there."""
    every = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    files = [path for path in every if _kind(path) in _LINES | _TEXT | {".parquet"}]
    if not files:
        raise _refusal(folder, "has no .txt, .md, .rst, .jsonl or .parquet file (also compressed)")
    if len(files) < len(every):
        left = shown(next(path for path in every if path not in files).name)
        print(
            f"corpus {shown(folder, 300)}: {len(every) - len(files)} other files are left out ({left}, ...)",
            file=sys.stderr,
        )
    return [(path.relative_to(folder).as_posix(), path) for path in files]


def _kind(path: Path) -> str:
    name = path.with_suffix("") if path.suffix.lower() in _COMPRESSED else path
    return name.suffix.lower()


def _read_file(path: Path, sample_by: str, column: str) -> Iterator[str]:
    kind = _kind(path)
    try:
        with _unpacked(path) as binary:
            if kind == ".parquet":
                yield from _parquet(path, binary, column)
                return
            file = io.TextIOWrapper(binary, encoding="utf-8-sig")  # whose mark at the start is no text
            if kind in _LINES:
                yield from _json_lines(path, file, column)
            elif sample_by == "document":
                yield file.read()
            else:
                yield from file if sample_by == "line" else _paragraphs(file)
    except InputError:
        raise
    except Exception as error:  # whatever a damaged file makes of its readers
        what = "parquet file" if kind == ".parquet" else "UTF-8 text"
        raise _refusal(path, f"is not readable {what} ({reason_of(error)})") from error


def _unpacked(path: Path) -> IO[bytes]:
    """Open a file by its own name, whatever characters that has, and unpack it on the way."""
    suffix = path.suffix.lower()
    if suffix == ".zst":
        import pyarrow

        # Unlike the zstandard package's reader, it reads all frames, and refuses one that is cut short.
        return io.BufferedReader(pyarrow.CompressedInputStream(pyarrow.OSFile(str(path)), "zstd"))
    opened: dict[str, Any] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
    return opened.get(suffix, open)(path, "rb")


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
            row = json.loads(line)
        except (ValueError, RecursionError):
            raise _refusal(path, f"line {number} is not JSON") from None
        if not isinstance(row, dict) or column not in row:
            raise _refusal(path, f'line {number} is not {{"{shown(column)}": "..."}}')
        text = _text(path, f"line {number}", column, row[column])
        # JSON can spell half a character; no tokenizer can take it.
        yield text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def _text(source: object, place: str, column: str, value: Any) -> str:
    if not isinstance(value, str):
        kind = "nothing (null)" if value is None else type(value).__name__
        raise _refusal(source, f"{place}: {column!r} holds {kind}, not text; leave such rows out")
    return value


def _parquet(path: Path, binary: IO[bytes], column: str) -> Iterator[str]:
    from pyarrow import parquet

    # What is unpacked on the way cannot be read from its end, where parquet keeps its table of contents.
    table = parquet.ParquetFile(io.BytesIO(binary.read()) if path.suffix.lower() in _COMPRESSED else binary)
    _refuse_without_column(path, column, table.schema_arrow.names)
    batches = table.iter_batches(1024, columns=[column])
    for number, value in enumerate((row for batch in batches for row in batch.column(column).to_pylist()), 1):
        yield _text(path, f"row {number}", column, value)


def _refuse_without_column(source: object, column: str, columns: list[str]) -> None:
    if column not in columns:
        known = shown(", ".join(map(repr, columns)), 300)
        raise _refusal(source, f"has no column {column!r}; set text_column to one of {known}")


# Data sets of the Hub.


def _hub_documents(data: DataSection) -> Documents:
    import datasets

    source, column, split = data.corpus, data.text_column, data.split
    name = hub_name(source, "corpus")
    with _in_one_line(source):
        builder = datasets.load_dataset_builder(name, data.config, revision=data.revision)
    # The builder's hash follows the revision and the files.
    fingerprint = key_of(name, builder.config_id, builder.hash, split, column)

    def read() -> Iterator[tuple[str, str]]:
        with _in_one_line(source):
            rows: Any = datasets.load_dataset(
                name, data.config, split=split, revision=data.revision, streaming=data.streaming
            )
            if rows.column_names is not None:
                _refuse_without_column(source, column, rows.column_names)
                rows = rows.select_columns([column])
            for i, row in enumerate(rows):
                text = _text(source, f"row {i + 1}", column, row.get(column))
                if text.strip():
                    yield f"{name}/{split}:{i}", text

    return Documents(f"{name} ({split})", fingerprint, read)


@contextmanager
def _in_one_line(source: str) -> Iterator[None]:
    """Turn what goes wrong inside ``datasets`` into one line."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # whatever damaged files make of the readers below
        raise _refusal(
            source,
            f"cannot be read ({reason_of(error)}); check name, config and split; "
            "without network only what was downloaded before can be read",
        ) from error


# By default: the standard library's documentation on the user's own machine.


_NOT_DOCUMENTATION = {
    *("site-packages", "dist-packages", "__pycache__"),
    *("test", "tests", "idlelib", "turtledemo"),
}
_DOCS = DiskCache(STDLIB_DOCS, version=2)  # raise when the extraction below changes


def _stdlib_docs() -> Documents:
    version = f"{platform.python_implementation()} {platform.python_version()}"
    documents = [(name, text) for name, text in _DOCS.json([version], _extracted_docs)]
    digest = hashlib.sha256()
    for name, text in documents:
        add_document(digest, name, text)
    title = f"standard-library documentation of {version}"
    return Documents(title, digest.hexdigest(), lambda: iter(documents))


def _extracted_docs() -> list[tuple[str, str]]:
    print("Reading the standard library's documentation (once, about 20 s) ...", file=sys.stderr)
    return [*_topics(), *_docstrings(Path(sysconfig.get_path("stdlib")))]


def _topics() -> Iterator[tuple[str, str]]:
    from pydoc_data.topics import topics

    for name in sorted(topics):
        yield f"topic {name}", topics[name].strip() + "\n"


def _docstrings(stdlib: Path) -> Iterator[tuple[str, str]]:
    seen: set[str] = set()
    for path in sorted(stdlib.rglob("*.py"), key=lambda p: p.relative_to(stdlib).parts):
        parts = path.relative_to(stdlib).with_suffix("").parts
        if _NOT_DOCUMENTATION & set(parts) or parts[0].startswith("config-"):
            continue
        module = ".".join(parts).removesuffix(".__init__")
        text = "\n\n".join(_module_entries(module, path, seen))
        if text:
            yield f"module {module}", text.encode("utf-8", "replace").decode() + "\n"


def _module_entries(module: str, path: Path, seen: set[str]) -> Iterable[str]:
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):  # a few files of the library are broken on purpose, as test data
        return
    for heading, node in _documented(tree, module):
        doc = ast.get_docstring(node)
        if doc and doc not in seen:
            seen.add(doc)
            yield f"{heading}\n{doc}"


def _documented(node: ast.AST, name: str) -> Iterator[tuple[str, Any]]:
    if isinstance(node, ast.Module | ast.ClassDef):
        yield name, node
        for child in node.body:
            if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                yield from _documented(child, f"{name}.{child.name}")
    elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        yield f"{name}({ast.unparse(node.args)})", node
