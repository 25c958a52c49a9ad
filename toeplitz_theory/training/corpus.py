"""The text to train on: by default the standard library's documentation on the user's own machine."""

import ast
import hashlib
import json
import os
import platform
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toeplitz_theory.errors import InputError
from toeplitz_theory.files import cache_folder, write_json
from toeplitz_theory.training.documents import HUB, Documents, first, hub_documents, local_documents
from toeplitz_theory.training.recipe import DataSection

STDLIB_DOCS = "stdlib-docs"
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
