"""Token streams on disk: made once for a text and a tokenizer, mapped into memory by each run."""

import hashlib
import json
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerFast

from toeplitz_theory.cache import DiskCache
from toeplitz_theory.errors import InputError, RunError
from toeplitz_theory.files import cache_folder
from toeplitz_theory.names import shown
from toeplitz_theory.training.batches import PackedTokens, encode
from toeplitz_theory.training.count_models import Baselines, count_baselines
from toeplitz_theory.training.recipe import DataSection, Recipe
from toeplitz_theory.training.text import Documents, add_document, is_held_out, open_documents
from toeplitz_theory.training.tokenizer import (
    given_tokenizer,
    tokenizer_hash,
    train_tokenizer,
    trained_tokenizer,
    vocabulary_size,
)

_TOKENS = DiskCache("tokens", version=2)
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

    def packed(self, sequence_length: int) -> tuple[PackedTokens, PackedTokens]:
        """Return training and held-out sequences of ``sequence_length`` tokens."""
        return PackedTokens(self.train, sequence_length), PackedTokens(self.validation, sequence_length)

    @property
    def identity(self) -> dict[str, str]:
        """What a checkpoint must share with a run that goes on from it."""
        return {"text": self.text.sha256, "tokenizer": tokenizer_hash(self.tokenizer)}

    def datasets(self, recipe: Recipe) -> tuple[PackedTokens, PackedTokens]:
        """Return the training and the held-out sequences of a recipe."""
        return self.packed(recipe.sequence_length)

    def record(self, trainer) -> dict[str, Any]:
        """Return what the record of a run says of its text."""
        return {
            "corpus": {
                **asdict(self.text),
                "training_sequences": len(trainer.train_dataset),
                "validation_sequences": len(trainer.eval_dataset),
            },
            "loss_unit": "nats per token",
            "baselines": asdict(self.baselines),
        }


def cached_tokens(data: DataSection, base: Path) -> TokenCache:
    """Return the tokens of a recipe's corpus: an earlier run's, when text and tokenizer are the same."""
    documents = open_documents(data, base)
    given = given_tokenizer(data.tokenizer, base, data.sequence_length) if data.tokenizer else None
    kind = (
        ["given", tokenizer_hash(given)]
        if given
        else ["trained", data.vocab_size, data.tokenizer_documents, version("tokenizers")]
    )
    key = [documents.fingerprint, data.validation_fraction, *kind]
    try:
        place = _TOKENS.folder(key, lambda folder: _write(folder, documents, data, given))
    except OSError as error:
        raise RunError(
            f"{error.filename or cache_folder()}: the token cache cannot be written ({error.strerror}); "
            "make room, or set TOEPLITZ_THEORY_CACHE to another folder"
        ) from error
    return _opened(place, data, given)


def _write(folder: Path, documents: Documents, data: DataSection, given) -> None:
    tokenizer = given or _train(documents, data)
    if given is None:
        (folder / "tokenizer.json").write_text(tokenizer.backend_tokenizer.to_str(), encoding="utf-8")
    size = vocabulary_size(tokenizer)
    dtype = np.dtype("<u2" if size <= 1 << 16 else "<u4")
    digest, parts, counts = hashlib.sha256(), deque[str](), Counter[str]()

    def texts() -> Iterator[str]:
        for name, text in documents:
            add_document(digest, name, text)
            part = _PARTS[is_held_out(name, data.validation_fraction)]
            counts.update({"documents": 1, "characters": len(text), part: 1})
            parts.append(part)
            yield text

    with ExitStack() as stack:
        files = {part: stack.enter_context((folder / f"{part}.bin").open("wb")) for part in _PARTS}
        for ids in encode(texts(), tokenizer):
            files[parts.popleft()].write(ids.astype(dtype).tobytes())
    name = shown(documents.name)
    _refuse_empty(name, counts)
    facts = TextFacts(name, digest.hexdigest(), counts["documents"], counts["characters"])
    train, validation = (np.fromfile(folder / f"{part}.bin", dtype, BASELINE_TOKENS) for part in _PARTS)
    if min(len(train), len(validation)) < 3:
        raise InputError(f"corpus {name}: has fewer than 3 tokens in a part; use more text")
    manifest = {
        "text": asdict(facts),
        "dtype": dtype.str,
        "baselines": asdict(count_baselines(train, validation, size)),
    }
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")


def _refuse_empty(name: str, counts: Counter[str]) -> None:
    if not counts["documents"]:
        raise InputError(f"corpus {name}: holds no text")
    for part in _PARTS:
        if not counts[part]:
            raise InputError(
                f"corpus {name}: {counts['documents']} documents leave none for {part}; "
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
