"""Tokenizer, and packing of documents into sequences of n tokens."""

import json

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from toeplitz_theory.errors import InputError
from toeplitz_theory.training.corpus import Corpus

END = "<|endoftext|>"


def train_tokenizer(corpus: Corpus, vocab_size: int, sequence_length: int) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE of at most ``vocab_size`` tokens; deterministic for the same text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator((text for _, text in corpus.documents), trainer)
    # Through JSON once, so that the tokenizer in hand is the one a user will load.
    tokenizer = Tokenizer.from_str(json.dumps(json.loads(tokenizer.to_str())))
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END,
        bos_token=END,
        pad_token=END,
        model_max_length=sequence_length,
        clean_up_tokenization_spaces=False,
    )


def encode(corpus: Corpus, tokenizer: PreTrainedTokenizerFast) -> np.ndarray:
    """Return all documents as one stream of ids, each document followed by the end token."""
    batch = tokenizer.backend_tokenizer.encode_batch(
        [text for _, text in corpus.documents], add_special_tokens=False
    )
    end = [tokenizer.eos_token_id]
    return np.concatenate([np.asarray(doc.ids + end, dtype=np.int32) for doc in batch])


class PackedTokens(torch.utils.data.Dataset):
    """Consecutive sequences of n tokens cut from a stream; what is left over at the end is dropped.

    ``labels`` are the ids themselves: the language model shifts them, the autoencoder does not.
    """

    def __init__(self, stream: np.ndarray, sequence_length: int):
        count = len(stream) // sequence_length
        if count == 0:
            raise InputError(
                f"the corpus has {len(stream)} tokens, fewer than one sequence of {sequence_length}; "
                "use more text or a shorter sequence_length"
            )
        self.sequences = stream[: count * sequence_length].reshape(count, sequence_length)

    def __len__(self) -> int:
        return len(self.sequences)

    def __getitem__(self, index: int | None) -> dict[str, torch.Tensor]:
        if index is None:  # fills up a batch: no label of it counts
            ids = torch.zeros(self.sequences.shape[1], dtype=torch.int64)
            return {"input_ids": ids, "labels": torch.full_like(ids, -100)}
        ids = torch.from_numpy(self.sequences[index].astype(np.int64))
        return {"input_ids": ids, "labels": ids}
