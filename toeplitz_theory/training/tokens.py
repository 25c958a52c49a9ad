"""Documents turned into ids, and ids packed into sequences of n tokens."""

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from transformers import PreTrainedTokenizerFast

from toeplitz_theory.errors import InputError

_BATCH_DOCUMENTS, _BATCH_CHARACTERS = 1024, 1 << 22


def encode(texts: Iterable[str], tokenizer: PreTrainedTokenizerFast) -> Iterator[np.ndarray]:
    """Yield the ids of each text followed by the end token, reading ahead a batch of texts at a time."""
    end = [tokenizer.eos_token_id]
    for batch in _batches(texts):
        for document in tokenizer.backend_tokenizer.encode_batch(batch, add_special_tokens=False):
            yield np.asarray(document.ids + end, dtype=np.int32)


def _batches(texts: Iterable[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    size = 0
    for text in texts:
        batch.append(text)
        size += len(text)
        if len(batch) == _BATCH_DOCUMENTS or size >= _BATCH_CHARACTERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


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
        ids = torch.from_numpy(np.array(self.sequences[index], dtype=np.int64))
        return {"input_ids": ids, "labels": ids}
