"""The rows of a task as a run needs them, and how many of its answers a model gives."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast

from toeplitz_theory.errors import InputError
from toeplitz_theory.training.recipe import Recipe
from toeplitz_theory.training.tasks import IGNORED, CopyTask, Task
from toeplitz_theory.training.tokenizer import END, tokenizer_hash, trained_tokenizer

HELD_OUT_ROWS = 500
_TRAINING, _HELD_OUT = 0, 1  # streams of rows that share no draw
_BATCH = 100


class TaskRows(torch.utils.data.Dataset):
    """Rows of a task, each drawn from its seed and number when it is asked for; nothing is stored."""

    def __init__(self, task: Task, count: int, seed: int | None):
        self.task, self.count = task, count
        self.source = (0, _HELD_OUT) if seed is None else (seed, _TRAINING)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int | None) -> dict[str, Tensor]:
        if index is None:  # fills up a batch: no label of it counts
            ids = np.zeros(self.task.sequence_length, dtype=np.int64)
            answers = np.full_like(ids, IGNORED)
        elif not 0 <= index < self.count:
            raise IndexError(index)
        else:
            ids, answers = self.task.row(np.random.default_rng((*self.source, index)))
        return {"input_ids": torch.from_numpy(ids), "labels": torch.from_numpy(answers)}


@dataclass(frozen=True)
class TaskData:
    """What a run on a task has in place of a corpus: rows, words for the tokens, and what guessing gives.

    Parameters
    ----------
    task : CopyTask, RecallTask or InductionTask
        The rows. Those held out are the same for every seed of training.
    """

    task: Task

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerFast:
        """Words that are the tokens' numbers; 0, which fills, is the end of the text."""
        words = {END: 0} | {str(number): number for number in range(1, self.task.vocab_size)}
        tokenizer = Tokenizer(models.WordLevel(words))
        tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        definition = json.dumps(json.loads(tokenizer.to_str()))
        return trained_tokenizer(definition, self.task.sequence_length)

    @property
    def identity(self) -> dict[str, str]:
        """What a checkpoint must share with a run that goes on from it."""
        return {"tokenizer": tokenizer_hash(self.tokenizer)}

    @property
    def held_out(self) -> TaskRows:
        """The rows that no training sees."""
        return TaskRows(self.task, HELD_OUT_ROWS, None)

    def datasets(self, recipe: Recipe) -> tuple[TaskRows, TaskRows]:
        """Return as many training rows as all steps take, each seen once, and the held-out ones."""
        settings = recipe.training
        return TaskRows(self.task, settings.steps * settings.batch_size, settings.seed), self.held_out

    def measure(self, model: nn.Module) -> dict[str, float]:
        """Return the shares of held-out answers and rows that a model gives, for the curve."""
        scores = task_scores(model, self.held_out)
        return {"eval_token_accuracy": scores["token"][0], "eval_string_accuracy": scores["string"][0]}

    def record(self, trainer) -> dict[str, Any]:
        """Return what the record of a run says of its task."""
        rows = {"as trained": self.task}
        if isinstance(self.task, CopyTask):
            rows |= _other_lengths(self.task)
        return {
            "task": self.task.model_dump(),
            "loss_unit": "nats per answer",
            "baselines": task_baselines(self.held_out),
            "accuracy": {
                name: task_scores(trainer.model, TaskRows(task, HELD_OUT_ROWS, None))
                for name, task in rows.items()
            },
        }


def _other_lengths(task: CopyTask) -> dict[str, Task]:
    """Return rows of one length for a task of several, and of all lengths for a task of one."""
    longest = task.lengths[-1]
    if len(task.lengths) > 1:
        return {"longest alone": task.model_copy(update={"min_length": longest})}
    return {"all lengths": task.model_copy(update={"min_length": 1, "max_length": longest})}


@torch.no_grad()
def task_scores(model: nn.Module, rows: TaskRows) -> dict[str, list[float]]:
    """Return how many answers a model gives, from all that stands before each.

    Parameters
    ----------
    model : Module
        A causal language model; it is left in evaluation mode.
    rows : TaskRows
        What to ask it.

    Returns
    -------
    dict
        ``token``: the share of answers whose token has the largest logit; ``string``: the share of rows with
        all of their answers. Each with the ends of its 95 % interval (Wilson, over rows: for tokens, of which
        those of a row go together, that is wide rather than narrow).

    Raises
    ------
    InputError
        When the model's logits are not finite.

    Examples
    --------
    >>> from toeplitz_theory.tmm import TMMConfig, TMMForCausalLM
    >>> from toeplitz_theory.training.tasks import InductionTask
    >>> model = TMMForCausalLM(TMMConfig(vocab_size=8, hidden_size=8, max_position_embeddings=8))
    >>> scores = task_scores(model, TaskRows(InductionTask(sequence_length=8, vocab_size=8), 50, None))
    >>> scores["token"] == scores["string"]
    True
    """
    model.eval()
    right, asked = [], []
    for start in range(0, len(rows), _BATCH):
        batch = [rows[index] for index in range(start, min(start + _BATCH, len(rows)))]
        ids, answers = (torch.stack([row[name] for row in batch]) for name in ("input_ids", "labels"))
        logits = model(input_ids=ids.to(next(model.parameters()).device)).logits[:, :-1].cpu()
        counts = answers[:, 1:] != IGNORED
        if not bool(torch.isfinite(logits[counts]).all()):
            raise InputError("the model's logits are not finite on the rows of its task; train it anew")
        right.append(((logits.argmax(-1) == answers[:, 1:]) & counts).sum(1))
        asked.append(counts.sum(1))
    given, all_asked = torch.cat(right).double(), torch.cat(asked).double()
    rows_of_equal_weight = float(all_asked.sum() ** 2 / (all_asked**2).sum())
    return {
        "token": _with_interval(float(given.sum() / all_asked.sum()), rows_of_equal_weight),
        "string": _with_interval(float((given == all_asked).double().mean()), len(rows)),
    }


def _with_interval(share: float, count: float, z: float = 1.959964) -> list[float]:
    """Return a share with the ends of its Wilson interval."""
    scale = 1 + z**2 / count
    centre = (share + z**2 / (2 * count)) / scale
    half = z * math.sqrt(share * (1 - share) / count + z**2 / (4 * count**2)) / scale
    return [share, max(0.0, centre - half), min(1.0, centre + half)]


def task_baselines(rows: TaskRows) -> dict[str, float]:
    """Return the shares of answers that guessing gives.

    Parameters
    ----------
    rows : TaskRows
        The rows that the model is asked.

    Returns
    -------
    dict
        ``chance``: any of the tokens that can be an answer; ``most_frequent``: the commonest answer of other
        rows, as many; ``among_seen``: any of those that stand before the first question in the row.

    Examples
    --------
    >>> from toeplitz_theory.training.tasks import RecallTask
    >>> rows = TaskRows(RecallTask(sequence_length=24, vocab_size=16, pairs=4), 100, None)
    >>> task_baselines(rows)["among_seen"], task_baselines(rows)["chance"]
    (0.25, 0.125)
    """
    known = np.array(rows.task.answers)
    others = TaskRows(rows.task, len(rows), 0)
    labels = np.concatenate([others[index]["labels"].numpy() for index in range(len(rows))])
    commonest = np.bincount(labels[labels != IGNORED]).argmax()
    hits = []
    for index in range(len(rows)):
        ids, answers = (rows[index][name].numpy() for name in ("input_ids", "labels"))
        places = np.flatnonzero(answers != IGNORED)
        # Before the first question: what stands later are answers themselves, or questions.
        seen = np.intersect1d(ids[: places[0] - 1], known)
        hits += [(answer == commonest, (answer in seen) / len(seen)) for answer in answers[places]]
    frequent, among = np.mean(hits, axis=0)
    return {"chance": 1 / len(known), "most_frequent": float(frequent), "among_seen": float(among)}
