"""Which sequences make up each optimiser step, and which part of them is whose."""

from collections.abc import Iterator

import torch
from torch.utils.data import Sampler


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
            batch: list[int | None] = [*order[start : start + self.batch_size].tolist()]
            if parts > 1:
                batch += [None] * (self.batch_size - len(batch))
            for part in range(self.rank, parts, self.processes):
                yield batch[part * size : (part + 1) * size]

    def _permutation(self) -> torch.Tensor:
        if self.seed is None:
            return torch.arange(self.count)
        return torch.randperm(self.count, generator=torch.Generator().manual_seed(self.seed + self.epoch))
