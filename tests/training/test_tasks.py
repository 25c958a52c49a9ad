"""Tasks: rows against their definitions, guessing, training on them, resuming, and bad settings."""

import itertools
import json
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn

from tests.training.children import finish, start, train
from tests.training.curves import assert_same_run, column
from toeplitz_theory.errors import InputError
from toeplitz_theory.tmm.mixers.registry import MIXERS
from toeplitz_theory.training import open_trained, runner
from toeplitz_theory.training.batches import BatchOrder
from toeplitz_theory.training.recipe import parse_recipe
from toeplitz_theory.training.surgery import measure_surgery
from toeplitz_theory.training.task_data import TaskData, TaskRows, task_baselines, task_scores
from toeplitz_theory.training.tasks import CopyTask, InductionTask, RecallTask

RECIPE = """
name = "tiny"
objective = "{objective}"
[model]
hidden_size = 16
num_hidden_layers = 1
[task]
{task}
[training]
steps = 12
batch_size = 4
warmup_steps = 2
log_every = 2
evaluate_every = 6
save_every = 4
kernels_every = 6
tensorboard = false
"""
SETTINGS = {
    "copy": "sequence_length = 10\nvocab_size = 8\nmin_length = 1",
    "recall": "sequence_length = 12\nvocab_size = 10\npairs = 2",
    "induction": "sequence_length = 8\nvocab_size = 6",
}
RECALLS = [
    RecallTask(sequence_length=24, vocab_size=16, pairs=3),
    RecallTask(sequence_length=33, vocab_size=40, pairs=8, queries=5, power_a=1.0),
    RecallTask(sequence_length=32, vocab_size=64, pairs=8, random_filler=True),
    RecallTask(sequence_length=4, vocab_size=4, pairs=1),
]
# An independent reader of rows: what the next token has to be, from those before it alone.


def last_paired(ids: list[int], half: int) -> dict[int, int]:
    """The value last paired with each key: keys are below half, and a value follows its key at once."""
    return {key: value for key, value in pairwise(ids) if 0 < key < half <= value}


def after_the_mark(ids: list[int]) -> int:
    """What induction answers after these tokens."""
    return ids[ids.index(1) + 1]


def rows_of(task, count=200):
    rows = TaskRows(task, count, seed=5)
    return [(rows[i]["input_ids"].tolist(), rows[i]["labels"].tolist()) for i in range(count)]


@pytest.mark.parametrize("task", RECALLS, ids=str)
def test_recall_asks_for_the_value_last_paired_with_each_key(task):
    half, context = task.vocab_size // 2, 2 * task.pairs
    for ids, labels in rows_of(task):
        asked = [t - 1 for t, label in enumerate(labels) if label != -100]
        keys = [ids[t] for t in asked]
        assert len(set(keys)) == len(keys) == (task.queries or task.pairs)
        assert len(set(ids[:context:2])) == len(set(ids[1:context:2])) == task.pairs
        for t in asked:
            assert t >= context and (t - context) % 2 == 0
            assert labels[t + 1] == last_paired(ids[:t], half)[ids[t]]
        rest = [token for t, token in enumerate(ids) if t >= context and t not in asked]
        assert not set(rest) & set(ids[:context:2]), "filler repeats a key"
        assert task.random_filler or set(rest) <= {0}


def test_distances_of_recall_follow_the_published_power_law():
    """One query: its place g has probability g ** (a - 1), normalised; four standard errors."""
    for power in (0.01, 1.0, 2.0):
        task = RecallTask(sequence_length=14, vocab_size=8, pairs=1, power_a=power)
        rows = rows_of(task, 4000)
        places = Counter(
            (next(t for t, label in enumerate(labels) if label != -100) - 3) // 2 for _, labels in rows
        )
        expected = np.array([(g + 1) ** (power - 1) for g in range(6)])
        expected /= expected.sum()
        error = 4 * np.sqrt(expected * (1 - expected) / 4000)
        assert (np.abs(np.array([places[g] for g in range(6)]) / 4000 - expected) < error).all()


@pytest.mark.parametrize(("low", "high"), [(None, None), (1, None), (2, 4), (3, 3)])
def test_copy_repeats_the_string_and_asks_for_all_of_it(low, high):
    task = CopyTask(sequence_length=12, vocab_size=7, min_length=low, max_length=high)
    lengths = set()
    for ids, labels in rows_of(task):
        length = ids.index(1)
        lengths.add(length)
        assert set(ids[:length]) <= set(range(2, 7))
        assert ids[length + 1 :] == ids[:length] + [0] * (12 - 2 * length - 1)
        assert labels == [-100] * (length + 1) + ids[:length] + [-100] * (12 - 2 * length - 1)
    assert lengths == set(range(low or high or 5, (high or 5) + 1))


def test_induction_asks_for_what_followed_the_mark():
    places = set()
    for ids, labels in rows_of(InductionTask(sequence_length=8, vocab_size=6)):
        places.add(ids.index(1))
        assert ids.count(1) == 2 and ids[-2] == 1
        assert labels == [-100] * 7 + [after_the_mark(ids[:-1])]
    assert places == set(range(5))


def test_a_row_follows_from_seed_and_number_alone():
    task = RECALLS[0]
    ids = [row.tolist() for row in (TaskRows(task, 50, seed)[7]["input_ids"] for seed in (0, 0, 1, None))]
    assert ids[0] == ids[1] != ids[2] and ids[3] not in ids[:3]
    with pytest.raises(IndexError):
        TaskRows(task, 50, 0)[50]
    filled = TaskRows(task, 50, 0)[None]
    assert set(filled["labels"].tolist()) == {-100}


def test_fresh_rows_are_taken_in_order_however_a_step_is_divided():
    """And a run of more steps begins with the rows of a shorter one."""
    parts = [BatchOrder(24, 4, rank, 2, accumulate=1) for rank in (0, 1)]
    whole = list(BatchOrder(24, 4))
    assert [a + b for a, b in zip(*parts, strict=True)] == whole
    assert list(itertools.chain(*whole)) == list(range(24))


class Oracle(nn.Module):
    """A model that answers by the definition of its task, and wrongly in every ``wrong``-th row."""

    def __init__(self, answer, vocabulary, wrong=None):
        super().__init__()
        self.answer, self.vocabulary, self.wrong, self.seen = answer, vocabulary, wrong, 0
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, input_ids):
        logits = torch.zeros(*input_ids.shape, self.vocabulary)
        for b, ids in enumerate(input_ids.tolist()):
            self.seen += 1
            for t in range(1, len(ids)):
                token = self.answer(ids[: t + 1])
                if self.wrong and self.seen % self.wrong == 0:
                    token = 0
                logits[b, t, token] = 1
        return type("Output", (), {"logits": logits})


def answer_of_recall(ids):
    return last_paired(ids[:-1], 8).get(ids[-1], 0)


def test_scores_are_those_of_a_model_that_knows_the_answer():
    rows = TaskRows(RECALLS[0], 250, None)
    scores = task_scores(Oracle(answer_of_recall, 16), rows)
    assert scores["token"][0] == scores["string"][0] == 1
    assert 0.98 < scores["string"][1] < 1 and scores["string"][2] == pytest.approx(1)
    scores = task_scores(Oracle(answer_of_recall, 16, wrong=5), rows)
    for value, low, high in scores.values():
        # The textbook's interval for 200 of 250, Wilson.
        assert (value, low, high) == pytest.approx((0.8, 0.7460, 0.8449), abs=1e-4)


def test_guessing_is_what_it_is_called():
    rows = TaskRows(RECALLS[0], 300, None)
    base = task_baselines(rows)
    assert base["chance"] == 1 / 8 and base["among_seen"] == pytest.approx(1 / 3)
    assert base["most_frequent"] == pytest.approx(1 / 8, abs=0.05)
    one = task_baselines(TaskRows(CopyTask(sequence_length=4, vocab_size=12), 50, None))
    assert one["among_seen"] == 1, "a string of one letter is known when it is seen"


def test_a_model_that_gives_no_numbers_is_one_line():
    oracle = Oracle(lambda ids: 0, 16)
    oracle.forward = lambda input_ids: type(
        "Output", (), {"logits": torch.full((*input_ids.shape, 16), torch.nan)}
    )
    with pytest.raises(InputError, match="not finite"):
        task_scores(oracle, TaskRows(RECALLS[0], 3, None))


def write(folder, objective, **changes):
    text = RECIPE.format(objective=objective, task=SETTINGS[objective])
    for old, new in changes.items():
        text = text.replace(f"{old} = ", f"{new}\n{old} = ", 1)
    path = folder / "recipe.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("objective", SETTINGS)
def test_killed_and_run_again_is_as_never_killed(tmp_path, objective):
    recipe = write(tmp_path, objective)
    assert finish(start(train, recipe, tmp_path / "whole")) == [0]
    for moment, call in [("pass", 6), ("seal", 1), ("card", 2)]:
        assert finish(start(train, recipe, tmp_path / "out", moment, call)) == [-9], (moment, call)
    assert finish(start(train, recipe, tmp_path / "out")) == [0]
    assert_same_run(tmp_path / "out", tmp_path / "whole")
    for name in ("token_accuracy", "string_accuracy"):
        assert set(column(tmp_path / "out", name)) == {6, 12}


@pytest.mark.parametrize("mixer", MIXERS)
def test_every_mixer_trains_on_a_task_and_is_opened_with_its_rows(tmp_path, mixer):
    recipe = write(tmp_path, "copy", hidden_size=f'mixer = "{mixer}"')
    out = runner.train(recipe, tmp_path / "out")
    trained = open_trained(out)
    scores = task_scores(trained.model, trained.held_out)
    assert scores == trained.record["accuracy"]["as trained"]
    assert trained.record["validation_loss"] == pytest.approx(mean_loss(trained), rel=1e-5)
    ids = trained.held_out[0]["input_ids"]
    assert trained.tokenizer(trained.tokenizer.decode(ids))["input_ids"] == ids.tolist()


def mean_loss(trained):
    """In nats per answer, one row at a time."""
    total, count = 0.0, 0
    for i in range(len(trained.held_out)):
        row = trained.held_out[i]
        with torch.no_grad():
            logits = trained.model(input_ids=row["input_ids"][None]).logits[0].double().log_softmax(-1)
        asked = [t for t, label in enumerate(row["labels"].tolist()) if label != -100]
        total -= sum(float(logits[t - 1, row["labels"][t]]) for t in asked)
        count += len(asked)
    return total / count


def test_the_card_shows_one_length_and_several_side_by_side(tmp_path):
    """And says what the first cannot tell; a run on a task has no text for what needs one."""
    recipe = write(tmp_path, "copy")
    out = runner.train(recipe, tmp_path / "out")
    card = " ".join((out / "README.md").read_text().split())
    assert "| as trained |" in card and "| longest alone |" in card
    assert "one tap solves that" in card and "Trained on 4 length(s)" in card
    record = json.loads((out / "training.json").read_text())
    assert record["task"]["kind"] == "copy" and "data" not in record["recipe"]
    with pytest.raises(InputError, match="on the task 'copy', without text"):
        measure_surgery(out)


def test_another_task_does_not_go_on_from_a_checkpoint(tmp_path):
    recipe = write(tmp_path, "copy")
    assert finish(start(train, recipe, tmp_path / "out", "pass", 6)) == [-9]
    recipe.write_text(recipe.read_text().replace("min_length = 1", "min_length = 2"))
    with pytest.raises(InputError, match="another recipe"):
        runner.train(recipe, tmp_path / "out")


BAD = {
    "unknown key": ("copy", "min_length = 1", "pairs = 3", "unknown key 'task.pairs'; known here: sequence_"),
    "too long": ("copy", "min_length = 1", "max_length = 5", "are 1 more than sequence_length=10"),
    "backwards": ("copy", "min_length = 1", "min_length = 5", "min_length=5 is more than the longest, 4"),
    "too many pairs": ("recall", "pairs = 2", "pairs = 4", "16 tokens, more than sequence_length=12"),
    "too many queries": ("recall", "pairs = 2", "pairs = 2\nqueries = 3", "queries=3 is more than pairs=2"),
    "few letters": ("recall", "vocab_size = 10", "vocab_size = 5", "has 1 keys, fewer than pairs=2"),
    "no letters": ("induction", "vocab_size = 6", "vocab_size = 2", "task.vocab_size: .* not 2"),
    "filler": ("recall", "pairs = 2", "pairs = 2\nrandom_filler = true", "random_filler needs a vocab_size"),
    "power": ("recall", "pairs = 2", "pairs = 2\npower_a = 0.0", "task.power_a"),
    "another kind": ("recall", "pairs = 2", 'kind = "copy"', "task.kind is for another objective"),
    "data beside": ("recall", "[task]", "[data]\n[task]", "leave out \\[data\\]"),
    "text": ("recall", '"recall"', '"next_token"', "is for the objectives copy, recall, induction"),
    "missing": ("recall", "pairs = 2", "", "key 'task.pairs' is missing"),
    "no table": ("recall", "[task]", "", "unknown key 'model.sequence_length'"),
}


@pytest.mark.parametrize("case", BAD.values(), ids=BAD)
def test_what_cannot_be_is_refused_in_one_line(case):
    objective, old, new, message = case
    text = RECIPE.format(objective=objective, task=SETTINGS[objective])
    assert old in text
    with pytest.raises(InputError, match=message) as refused:
        parse_recipe(text.replace(old, new, 1), "recipe.toml")
    assert "\n" not in str(refused.value) and len(str(refused.value)) < 400


def test_sections_check_themselves_in_python_too():
    with pytest.raises(ValidationError, match="fewer than pairs"):
        RecallTask(sequence_length=64, vocab_size=8, pairs=4)
    assert TaskData(RECALLS[0]).tokenizer.eos_token_id == 0
