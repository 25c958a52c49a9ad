"""From texts to ids, from ids to sequences, from sequences to the batch of each optimiser step."""

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch.utils.data import Sampler
from transformers import PreTrainedTokenizerFast

from toeplitz_theory.errors import InputError

_BATCH_DOCUMENTS, _BATCH_CHARACTERS = 1024, 1 << 22  # read ahead when text is turned into ids


class BatchOrder(Sampler[list[int | None]]):
    """Index lists of one process, one for each forward pass.

    An optimiser step takes ``batch_size`` sequences of a permutation that follows from seed and epoch alone,
    so that neither the number of processes nor accumulation changes what a step sees. Where a step is cut
    into several parts, the epoch's last and smaller one is filled up with None, which stands for a sequence
    that does not count: repeating others there, as is common, would change the loss.

    Parameters
    ----------
    count : int
        Number of sequences.
    batch_size : int
        Sequences of one optimiser step.
    rank, processes : int
        Which process this is, of how many.
    accumulate : int
        Forward passes to a step.
    seed : int or None
        Of the permutations; None for the given order.
    last : int
        Optimiser steps of the run, over all epochs: the Trainer, resumed at the last, would take another.
    """

    def __init__(
        self,
        count: int,
        batch_size: int,
        rank: int = 0,
        processes: int = 1,
        accumulate: int = 1,
        seed: int | None = None,
        last: int = 2**62,
    ):
        self.count, self.batch_size, self.seed, self.last = count, batch_size, seed, last
        self.rank, self.processes, self.accumulate = rank, processes, accumulate
        self.epoch = 0

    @property
    def steps(self) -> int:
        """Optimiser steps in an epoch."""
        return -(-self.count // self.batch_size)

    def __len__(self) -> int:
        return self.steps * self.accumulate

    def __iter__(self) -> Iterator[list[int | None]]:
        parts = self.processes * self.accumulate
        size = self.batch_size // parts
        order = self._permutation()
        left = max(0, self.last - self.epoch * self.steps)
        for start in range(0, self.count, self.batch_size)[:left]:
            batch: list[int | None] = [int(index) for index in order[start : start + self.batch_size]]
            if parts > 1:
                batch += [None] * (self.batch_size - len(batch))
            for part in range(self.rank, parts, self.processes):
                yield batch[part * size : (part + 1) * size]

    def _permutation(self) -> torch.Tensor | range:
        if self.seed is None:
            return range(self.count)
        return torch.randperm(self.count, generator=torch.Generator().manual_seed(self.seed + self.epoch))


# Documents turned into ids, and ids packed into sequences of n tokens.


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
