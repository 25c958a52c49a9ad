"""The tokenizer of a run: trained on its text, or given."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from toeplitz_theory.checkpoints.hub import HUB, hub_name
from toeplitz_theory.errors import InputError, reason_of
from toeplitz_theory.names import shown

END = "<|endoftext|>"


def train_tokenizer(texts: Iterable[str], vocab_size: int, sequence_length: int) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE of at most ``vocab_size`` tokens; deterministic for the same texts."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    # Through JSON once, so that the tokenizer in hand is the one a user will load.
    return trained_tokenizer(json.dumps(json.loads(tokenizer.to_str())), sequence_length)


def trained_tokenizer(definition: str, sequence_length: int) -> PreTrainedTokenizerFast:
    """Return a tokenizer trained before from its ``tokenizer.json``."""
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(definition),
        eos_token=END,
        bos_token=END,
        pad_token=END,
        model_max_length=sequence_length,
        clean_up_tokenization_spaces=False,
    )


def given_tokenizer(source: str, base: Path, sequence_length: int) -> PreTrainedTokenizerFast:
    """Load a tokenizer from a folder, a ``tokenizer.json``, or the Hub (``hub:OWNER/NAME``)."""
    place = hub_name(source, "tokenizer") if source.startswith(HUB) else base / source
    name = shown(place, 300)
    try:
        if isinstance(place, str):
            tokenizer = AutoTokenizer.from_pretrained(place)
        elif place.is_dir():
            refuse_pipes(place)
            tokenizer = PreTrainedTokenizerFast.from_pretrained(place)
        elif place.is_file():
            tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(place))
        else:
            raise InputError(
                f"tokenizer {name}: there is no such folder or file; use a path or hub:OWNER/NAME"
            )
    except InputError:
        raise
    except Exception as error:  # the readers below raise plain Exception for a file that is no tokenizer
        raise InputError(
            f"tokenizer {name}: cannot be loaded ({reason_of(error)}); it needs a tokenizer.json"
        ) from error
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise InputError(f"tokenizer {name}: has no tokenizer.json, which this package needs")
    if tokenizer.eos_token_id is None and END in tokenizer.get_vocab():
        tokenizer.eos_token = END
    if tokenizer.eos_token_id is None:
        raise InputError(
            f"tokenizer {name}: names no end-of-text token (eos_token); documents could not be told apart"
        )
    tokenizer.model_max_length = sequence_length
    return tokenizer


def refuse_pipes(folder: Path) -> None:
    """Raise where a file of a folder is none: readers would wait for a pipe for ever."""
    for path in folder.iterdir():
        if not path.is_file() and not path.is_dir():
            raise InputError(f"{shown(path, 300)}: is neither file nor folder; remove it")


def vocabulary_size(tokenizer: PreTrainedTokenizerFast) -> int:
    """Return one more than the largest id; some vocabularies have holes."""
    return max(len(tokenizer), 1 + max(tokenizer.get_vocab().values()))


def tokenizer_hash(tokenizer: PreTrainedTokenizerFast) -> str:
    """Return a hash of all that decides the ids of a text and of its end."""
    definition = json.loads(tokenizer.backend_tokenizer.to_str())
    # Settings of the last call, not of the tokenizer.
    definition["truncation"] = definition["padding"] = None
    parts = json.dumps([definition, tokenizer.eos_token_id], sort_keys=True)
    return hashlib.sha256(parts.encode()).hexdigest()
