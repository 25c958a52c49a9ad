"""Documents read one after the other: local files and folders, and data sets of the Hub. Nothing is kept."""

import ast
import hashlib
import itertools
import json
import os
import platform
import sys
import sysconfig
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec

from toeplitz_theory.errors import InputError
from toeplitz_theory.files import cache_folder, write_json
from toeplitz_theory.training.recipe import HUB, STDLIB_DOCS, DataSection

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


# The text to train on: by default the standard library's documentation on the user's own machine.


_NOT_DOCUMENTATION = {
    *("site-packages", "dist-packages", "__pycache__"),
    *("test", "tests", "idlelib", "turtledemo"),
}
_EXTRACTION_VERSION = 1  # raise when the extraction below changes, so that cached text is made anew


@dataclass(frozen=True)
class Corpus:
    """Named documents of plain text.

    Parameters
    ----------
    name : str
        Where the text is from.
    documents : tuple of (str, str)
        Name and text of each document, in a fixed order.

    Examples
    --------
    >>> corpus = Corpus("two", (("a", "first text"), ("b", "second text")))
    >>> corpus.characters
    21
    >>> corpus.sha256[:8]
    '493ac8ff'
    """

    name: str
    documents: tuple[tuple[str, str], ...]

    @property
    def characters(self) -> int:
        """Length of all texts."""
        return sum(len(text) for _, text in self.documents)

    @property
    def sha256(self) -> str:
        """Hash of all names and texts in order."""
        digest = TextHash()
        for name, text in self.documents:
            digest.add(name, text)
        return digest.hexdigest()

    def split(self, validation_fraction: float) -> tuple["Corpus", "Corpus"]:
        """Return training and validation documents, chosen by the hash of each document's name.

        Parameters
        ----------
        validation_fraction : float
            Share of documents held out, in expectation.

        Returns
        -------
        training, validation : Corpus

        Raises
        ------
        InputError
            When one of the two would be empty.

        Examples
        --------
        >>> corpus = Corpus("many", tuple((f"document {i}", "text") for i in range(100)))
        >>> [len(part.documents) for part in corpus.split(0.1)]
        [95, 5]
        """
        held = {name for name, _ in self.documents if is_held_out(name, validation_fraction)}
        parts = [
            Corpus(f"{self.name} ({label})", tuple(d for d in self.documents if (d[0] in held) is wanted))
            for label, wanted in (("training", False), ("validation", True))
        ]
        for part in parts:
            if not part.documents:
                raise InputError(
                    f"{self.name}: {len(self.documents)} documents leave none for {part.name}; "
                    "use more documents or another validation_fraction"
                )
        return parts[0], parts[1]


def is_held_out(name: str, validation_fraction: float) -> bool:
    """Return whether a document of this name is for validation; independent of all others."""
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "little") < validation_fraction * 2**64


class TextHash:
    """Hash of documents, name and text, added one by one."""

    def __init__(self):
        self._digest = hashlib.sha256()

    def add(self, name: str, text: str) -> None:
        """Add a document."""
        for part in (name, text):
            data = part.encode("utf-8", "surrogatepass")
            self._digest.update(len(data).to_bytes(8, "little") + data)

    def hexdigest(self) -> str:
        """Return the hash so far."""
        return self._digest.hexdigest()


def load_corpus(source: str, base: str | os.PathLike = ".") -> Corpus:
    """Load the embedded corpus or local text.

    Parameters
    ----------
    source : str
        ``"stdlib-docs"`` (documentation topics and docstrings of the running Python's standard
        library), or a path: a ``.jsonl`` file with one ``{"text": ...}`` a line is one document a
        line, a ``.parquet`` file one a row; any other file is UTF-8 text whose documents are separated
        by blank lines; a folder is all such files in it.
    base : path-like
        Folder that relative paths start from.

    Returns
    -------
    Corpus

    Raises
    ------
    InputError
        When the path is missing, not UTF-8, not JSON lines, or holds no text.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "poems.txt"
    >>> _ = path.write_text("one line\\n\\nanother poem\\n")
    >>> len(load_corpus(str(path)).documents)
    2
    """
    if source == STDLIB_DOCS:
        return _stdlib_docs()
    found = local_documents(Path(base, source))
    documents = tuple(found)
    if not documents:
        raise InputError(f"corpus {Path(base, source)}: holds no text")
    return Corpus(found.name, documents)


def open_documents(data: DataSection, base: str | os.PathLike = ".") -> Documents:
    """Return the documents that a recipe names, to be read one after the other."""
    if data.corpus == STDLIB_DOCS:
        corpus = _stdlib_docs()
        found = Documents(corpus.name, corpus.sha256, lambda: iter(corpus.documents))
    elif data.corpus.startswith(HUB):
        found = hub_documents(
            data.corpus, data.config, data.split, data.revision, data.streaming, data.text_column
        )
    else:
        found = local_documents(Path(base, data.corpus), data.sample_by, data.text_column)
    return first(found, data.max_documents)


def _stdlib_docs() -> Corpus:
    version = f"{platform.python_implementation()}-{platform.python_version()}"
    cached = cache_folder() / f"{STDLIB_DOCS}-{version}-v{_EXTRACTION_VERSION}.json"
    try:
        documents = [(str(name), str(text)) for name, text in json.loads(cached.read_text(encoding="utf-8"))]
    except (OSError, ValueError):
        print("Reading the standard library's documentation (once, about 20 s) ...", file=sys.stderr)
        documents = [*_topics(), *_docstrings(Path(sysconfig.get_path("stdlib")))]
        write_json(cached, documents)
    return Corpus(f"standard-library documentation of {version.replace('-', ' ')}", tuple(documents))


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
