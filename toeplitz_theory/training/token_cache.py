"""Token streams on disk: written whole or not at all, mapped into memory, used again by later runs."""

import hashlib
import json
import os
import shutil
import socket
import sys
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
from transformers import PreTrainedTokenizerFast

from toeplitz_theory.errors import InputError, RunError
from toeplitz_theory.files import cache_folder, write_json, write_text
from toeplitz_theory.training.batches import encode
from toeplitz_theory.training.count_models import Baselines, count_baselines
from toeplitz_theory.training.recipe import DataSection
from toeplitz_theory.training.text import Documents, TextHash, is_held_out, open_documents
from toeplitz_theory.training.tokenizer import (
    given_tokenizer,
    tokenizer_hash,
    train_tokenizer,
    trained_tokenizer,
    vocabulary_size,
)

_FORMAT = 1  # raise when what is written below changes
_PARTS = ("train", "validation")
# The count models sort their tokens in memory.
BASELINE_TOKENS = 20_000_000


@dataclass(frozen=True)
class TextFacts:
    """What a run says of its text."""

    name: str
    sha256: str
    documents: int
    characters: int


@dataclass(frozen=True)
class TokenCache:
    """Both parts of a corpus as ids, with what made them.

    Attributes
    ----------
    text : TextFacts
        The documents.
    tokenizer : PreTrainedTokenizerFast
        What turned them into ids.
    train, validation : ndarray, shape (N,)
        Streams of ids, on disk.
    baselines : Baselines
        Count models of the first 20 million training tokens.
    """

    text: TextFacts
    tokenizer: PreTrainedTokenizerFast
    train: np.ndarray
    validation: np.ndarray
    baselines: Baselines


def cached_tokens(data: DataSection, base: Path) -> TokenCache:
    """Return the tokens of a recipe's corpus: an earlier run's, when text and tokenizer are the same."""
    documents = open_documents(data, base)
    given = given_tokenizer(data.tokenizer, base, data.sequence_length) if data.tokenizer else None
    kind = (
        ["given", tokenizer_hash(given)]
        if given
        else ["trained", data.vocab_size, data.tokenizer_documents, version("tokenizers")]
    )
    parts = [_FORMAT, documents.fingerprint, data.validation_fraction, *kind]
    key = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]
    place = cache_folder() / "tokens" / key
    if place.exists():
        problem = _problem(place)
        if not problem:
            return _opened(place, data, given)
        print(f"{place}: the token cache is damaged ({problem}) and made anew", file=sys.stderr)
        shutil.rmtree(place)
    try:
        with _written_folder(place) as partial:
            _write(partial, documents, data, given)
    except OSError as error:
        raise RunError(
            f"{place}: the token cache cannot be written ({error.strerror}); make room, "
            "or set TOEPLITZ_THEORY_CACHE to another folder"
        ) from error
    return _opened(place, data, given)


def _write(folder: Path, documents: Documents, data: DataSection, given) -> None:
    tokenizer = given or _train(documents, data)
    if given is None:
        write_text(folder / "tokenizer.json", tokenizer.backend_tokenizer.to_str())
    size = vocabulary_size(tokenizer)
    dtype = np.dtype("<u2" if size <= 1 << 16 else "<u4")
    digest, parts, counts = TextHash(), deque[str](), Counter[str]()

    def texts() -> Iterator[str]:
        for name, text in documents:
            digest.add(name, text)
            part = _PARTS[is_held_out(name, data.validation_fraction)]
            counts.update({"documents": 1, "characters": len(text), part: 1})
            parts.append(part)
            yield text

    hashes = {part: hashlib.sha256() for part in _PARTS}
    with ExitStack() as stack:
        files = {part: stack.enter_context((folder / f"{part}.bin").open("wb")) for part in _PARTS}
        for ids in encode(texts(), tokenizer):
            part, raw = parts.popleft(), ids.astype(dtype).tobytes()
            hashes[part].update(raw)
            files[part].write(raw)
    _refuse_empty(documents.name, counts)
    facts = TextFacts(documents.name, digest.hexdigest(), counts["documents"], counts["characters"])
    train, validation = (np.fromfile(folder / f"{part}.bin", dtype, BASELINE_TOKENS) for part in _PARTS)
    manifest = {
        "text": asdict(facts),
        "dtype": dtype.str,
        "bytes": {part: (folder / f"{part}.bin").stat().st_size for part in _PARTS},
        "sha256": {part: hashes[part].hexdigest() for part in _PARTS},
        "tokenizer": tokenizer_hash(tokenizer),
        "trained": given is None,
        "baselines": asdict(count_baselines(train, validation, size)),
    }
    write_json(folder / "manifest.json", manifest)


def _refuse_empty(name: str, counts: Counter[str]) -> None:
    if not counts["documents"]:
        raise InputError(f"corpus {name}: holds no text")
    for part in _PARTS:
        if not counts[part]:
            raise InputError(
                f"{name}: {counts['documents']} documents leave none for {part}; "
                "use more documents or another validation_fraction"
            )


def _train(documents: Documents, data: DataSection) -> PreTrainedTokenizerFast:
    def texts() -> Iterator[str]:
        left = data.tokenizer_documents
        for name, text in documents:
            if left == 0:
                return
            if not is_held_out(name, data.validation_fraction):
                left = None if left is None else left - 1
                yield text

    return train_tokenizer(texts(), data.vocab_size, data.sequence_length)


def _problem(place: Path) -> str:
    """Say what is wrong with a cache, if anything: every byte is compared with its hash."""
    try:
        manifest = json.loads((place / "manifest.json").read_text(encoding="utf-8"))
        for part in _PARTS:
            with (place / f"{part}.bin").open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != manifest["sha256"][part]:
                    return f"{part}.bin is not what was written"
        if manifest["trained"]:
            tokenizer = trained_tokenizer((place / "tokenizer.json").read_text(encoding="utf-8"), 1)
            if tokenizer_hash(tokenizer) != manifest["tokenizer"]:
                return "tokenizer.json is not what was written"
    except Exception as error:  # whatever a damaged file makes of its readers
        return str(error).splitlines()[0]
    return ""


def _opened(place: Path, data: DataSection, given) -> TokenCache:
    manifest = json.loads((place / "manifest.json").read_text(encoding="utf-8"))
    if given is None:
        definition = (place / "tokenizer.json").read_text(encoding="utf-8")
        given = trained_tokenizer(definition, data.sequence_length)
    dtype = np.dtype(manifest["dtype"])
    train, validation = (np.memmap(place / f"{part}.bin", dtype, "r") for part in _PARTS)
    return TokenCache(
        TextFacts(**manifest["text"]), given, train, validation, Baselines(**manifest["baselines"])
    )


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
            # Another run has made the same meanwhile.
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
