"""Synthetic tasks: rows of tokens, drawn afresh, whose answers can be read off the row and nowhere else.

Token 0 fills. A row comes with its answers: those tokens that a model has to predict from all before them;
everything else is -100, which no loss counts.
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from toeplitz_theory.training.section import Section

Row = tuple[np.ndarray, np.ndarray]

IGNORED = -100
MARK = 1  # ends the string that is copied; comes before the token that induction asks for
_FIRST_LETTER = 2


class _Task(Section):
    sequence_length: Annotated[int, Field(ge=4, le=2**20)]
    vocab_size: Annotated[int, Field(ge=4, le=2**20)]

    @property
    def answers(self) -> range:
        """The tokens that can be an answer."""
        return range(_FIRST_LETTER, self.vocab_size)


class CopyTask(_Task):
    """Give a string back after its end: letters, mark, the same letters, filler.

    Lengths are uniform from ``min_length`` to ``max_length``, each as long as the row allows by default. With
    one length alone the answer always lies the same number of tokens back, where a single tap reaches it;
    several lengths ask for addressing.

    Examples
    --------
    >>> import numpy as np
    >>> task = CopyTask(sequence_length=8, vocab_size=10, min_length=2, max_length=2)
    >>> ids, answers = task.row(np.random.default_rng(0))
    >>> ids
    array([8, 7, 1, 8, 7, 0, 0, 0])
    >>> answers
    array([-100, -100, -100,    8,    7, -100, -100, -100])
    """

    kind: Literal["copy"] = "copy"
    min_length: Annotated[int, Field(ge=1, le=2**20)] | None = None
    max_length: Annotated[int, Field(ge=1, le=2**20)] | None = None

    @property
    def lengths(self) -> range:
        """The lengths that a string can have."""
        longest = self.max_length or (self.sequence_length - 1) // 2
        return range(self.min_length or longest, longest + 1)

    @model_validator(mode="after")
    def _strings_fit(self):
        if not self.lengths:
            raise ValueError(
                f"min_length={self.min_length} is more than the longest, {self.lengths.stop - 1}"
            )
        if needed := max(0, 2 * self.lengths[-1] + 1 - self.sequence_length):
            raise ValueError(
                f"a string of {self.lengths[-1]} tokens, a mark and its copy are {needed} more than "
                f"sequence_length={self.sequence_length}; the longest that fits is "
                f"{(self.sequence_length - 1) // 2}"
            )
        return self

    def row(self, rng: np.random.Generator) -> Row:
        """Draw a row: tokens and answers, both int64 of shape (n,)."""
        length = int(rng.integers(self.lengths.start, self.lengths.stop))
        letters = rng.integers(_FIRST_LETTER, self.vocab_size, length)
        ids, answers = _empty(self.sequence_length)
        ids[:length], ids[length] = letters, MARK
        ids[length + 1 : 2 * length + 1] = answers[length + 1 : 2 * length + 1] = letters
        return ids, answers


class RecallTask(_Task):
    """Name the value of each key asked for: multi-query associative recall (Arora et al. 2023, Zoology).

    ``pairs`` keys with their values come first, then ``queries`` of these keys (all by default), each once.
    Where a query stands, as the g-th pair of tokens after those, has a probability in proportion to
    g ** (power_a - 1): .01, the published setting, keeps most of them near, 1 draws them uniformly. The
    answer belongs after the key, where the row has filler instead. Keys are of the lower half of the
    vocabulary, values of the upper one. All else is filler 0;
    ``random_filler`` puts any token there, as published, but no key of the row.

    Examples
    --------
    >>> import numpy as np
    >>> task = RecallTask(sequence_length=12, vocab_size=16, pairs=2)
    >>> ids, answers = task.row(np.random.default_rng(0))
    >>> ids
    array([ 6, 10,  5,  9,  0,  0,  0,  0,  6,  0,  5,  0])
    >>> answers[[9, 11]], (answers == -100).sum()
    (array([10,  9]), np.int64(10))
    """

    kind: Literal["recall"] = "recall"
    pairs: Annotated[int, Field(ge=1, le=2**18)]
    queries: Annotated[int, Field(ge=1, le=2**18)] | None = None
    power_a: Annotated[float, Field(gt=0, le=10)] = 0.01
    random_filler: bool = False

    @property
    def answers(self) -> range:
        """The tokens that can be an answer."""
        return range(self.vocab_size // 2, self.vocab_size)

    @property
    def places(self) -> int:
        """The number of places in which a query can stand."""
        return (self.sequence_length - 2 * self.pairs) // 2

    @model_validator(mode="after")
    def _pairs_fit(self):
        queries = self.queries or self.pairs
        if queries > self.pairs:
            raise ValueError(f"queries={queries} is more than pairs={self.pairs}: each key is asked for once")
        if self.vocab_size // 2 - 1 < self.pairs:
            raise ValueError(
                f"vocab_size={self.vocab_size} has {self.vocab_size // 2 - 1} keys, fewer than "
                f"pairs={self.pairs}; it has to be at least {2 * self.pairs + 2}"
            )
        if self.places < queries:
            raise ValueError(
                f"{self.pairs} pairs and {queries} queries with their answers are "
                f"{2 * (self.pairs + queries)} tokens, more than sequence_length={self.sequence_length}"
            )
        if self.random_filler and self.vocab_size <= self.sequence_length:
            raise ValueError(
                f"random_filler needs a vocab_size beyond sequence_length={self.sequence_length}, "
                f"not {self.vocab_size}: there would be little else than what was seen"
            )
        return self

    def row(self, rng: np.random.Generator) -> Row:
        """Draw a row: tokens and answers, both int64 of shape (n,)."""
        ids, answers = _empty(self.sequence_length)
        keys = rng.choice(np.arange(1, self.vocab_size // 2), self.pairs, replace=False)
        values = rng.choice(np.array(self.answers), self.pairs, replace=False)
        if self.random_filler:
            others = np.setdiff1d(np.arange(self.vocab_size), keys)
            ids[:] = rng.choice(others, self.sequence_length)
        context = 2 * self.pairs
        ids[0:context:2], ids[1:context:2] = keys, values
        asked = rng.permutation(self.pairs)[: self.queries]
        weights = np.arange(1, self.places + 1) ** (self.power_a - 1)
        places = rng.choice(self.places, len(asked), replace=False, p=weights / weights.sum())
        at = context + 2 * places
        ids[at], answers[at + 1] = keys[asked], values[asked]
        return ids, answers


class InductionTask(_Task):
    """Name the letter that followed the mark, when the mark comes again (Fu et al. 2023, induction heads).

    Examples
    --------
    >>> import numpy as np
    >>> ids, answers = InductionTask(sequence_length=8, vocab_size=10).row(np.random.default_rng(0))
    >>> ids
    array([1, 7, 6, 4, 4, 2, 1, 7])
    >>> answers
    array([-100, -100, -100, -100, -100, -100, -100,    7])
    """

    kind: Literal["induction"] = "induction"

    def row(self, rng: np.random.Generator) -> Row:
        """Draw a row: tokens and answers, both int64 of shape (n,)."""
        ids, answers = _empty(self.sequence_length)
        ids[:] = rng.integers(_FIRST_LETTER, self.vocab_size, self.sequence_length)
        place = rng.integers(self.sequence_length - 3)
        ids[place] = ids[-2] = MARK
        ids[-1] = answers[-1] = ids[place + 1]
        return ids, answers


Task = CopyTask | RecallTask | InductionTask
TASKS: dict[str, type[Task]] = {"copy": CopyTask, "recall": RecallTask, "induction": InductionTask}


def _empty(length: int) -> Row:
    return np.zeros(length, dtype=np.int64), np.full(length, IGNORED, dtype=np.int64)
