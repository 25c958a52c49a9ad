"""The Jensen deficit as a penalty: gradient, column, effect; the kernels of every mixer, kept."""

import json

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from transformers import TrainerCallback

from tests.training.curves import column
from toeplitz_theory.errors import InputError
from toeplitz_theory.operators import Symbol
from toeplitz_theory.tmm import jensen_deficit
from toeplitz_theory.training import runner
from toeplitz_theory.training.model_kernels import kernel_file, mean_over_kernels, named_kernels
from toeplitz_theory.training.recipe import load_recipe
from toeplitz_theory.training.token_cache import cached_tokens
from toeplitz_theory.training.trained import build_model
from toeplitz_theory.training.trainer import TMMTrainer, penalties_of, training_arguments

PENALTY = 0.3


class _Gradients(TrainerCallback):
    """Keep the gradients of the first step."""

    def on_pre_optimizer_step(self, args, state, control, model=None, **kwargs):
        self.kept = {name: weight.grad.clone() for name, weight in model.named_parameters()}
        control.should_training_stop = True


@pytest.mark.parametrize("parts", [1, 2])
def test_the_gradient_is_that_of_loss_and_penalty_once(recipe_file, tmp_path, parts):
    tail = f"jensen_penalty = {PENALTY}\ngradient_accumulation_steps = {parts}"
    recipe = load_recipe(recipe_file(tail=tail + "\nmax_grad_norm = 1e9"))
    tokens = cached_tokens(recipe.data, tmp_path)
    train, held_out = tokens.packed(recipe.data.sequence_length)
    model, kept = build_model(recipe, tokens.tokenizer), _Gradients()
    trainer = TMMTrainer(
        model=model,
        args=training_arguments(recipe, tmp_path / "work"),
        train_dataset=train,
        eval_dataset=held_out,
        callbacks=[kept],
        seed=recipe.training.seed,
        finish_checkpoint=lambda folder: None,
        penalties=penalties_of(recipe.training),
    )
    batch = [train[i]["input_ids"] for one in list(trainer.order)[:parts] for i in one]
    ids = torch.stack(batch)
    assert len(ids) == recipe.training.batch_size
    plain = build_model(recipe, tokens.tokenizer)
    deficits = [
        sum(-np.log(abs(z)) for z in Symbol(weight.detach().double().numpy()[0]).zeros() if abs(z) < 1)
        for _, weight in named_kernels(plain)
    ]
    assert mean_over_kernels(plain, jensen_deficit).item() == pytest.approx(np.mean(deficits), abs=0.02)
    (plain(ids, labels=ids).loss + PENALTY * mean_over_kernels(plain, jensen_deficit)).backward()
    trainer.train()
    for name, weight in plain.named_parameters():
        torch.testing.assert_close(kept.kept[name], weight.grad, rtol=1e-4, atol=1e-7, msg=name)


def certified(folder, step):
    """Return the mean of the proved Jensen deficits of a step's kernels."""
    kernels = load_file(kernel_file(folder / "kernels", step))
    return np.mean([Symbol(taps[0].astype(float)).jensen_deficit().value for taps in kernels.values()])


def test_the_penalty_lowers_the_proved_deficit_and_the_loss_stays_plain(recipe_file, tmp_path):
    steps = {"steps": "steps = 60\nlearning_rate = 0.01", "kernels_every": "kernels_every = 60"}
    for name, tail in (("without", ""), ("with", "jensen_penalty = 1.0")):
        runner.train(recipe_file(**steps, tail=tail), tmp_path / name)
    start = certified(tmp_path / "with", 0)
    assert start == certified(tmp_path / "without", 0)
    assert certified(tmp_path / "with", 60) < 0.6 * min(start, certified(tmp_path / "without", 60))
    logged = column(tmp_path / "with", "jensen_deficit")
    assert logged[2] == pytest.approx(start, rel=0.05) and logged[60] < 0.6 * logged[2]
    assert not column(tmp_path / "without", "jensen_deficit")
    # The first step is taken from the same weights: what is logged there is without the penalty.
    assert column(tmp_path / "with", "loss")[2] == pytest.approx(
        column(tmp_path / "without", "loss")[2], rel=1e-2
    )
    losses = [json.loads((tmp_path / name / "training.json").read_text()) for name in ("with", "without")]
    assert abs(losses[0]["validation_loss"] - losses[1]["validation_loss"]) < 0.5


def test_the_delay_penalty_lowers_the_delay_that_recovery_gives(recipe_file, tmp_path):
    steps = {"steps": "steps = 60\nlearning_rate = 0.01", "kernels_every": "kernels_every = 60"}
    for name, tail in (("without", ""), ("with", "delay_penalty = 0.3")):
        runner.train(recipe_file(**steps, tail=tail), tmp_path / name)

    def delay(name, step):
        kernels = load_file(kernel_file(tmp_path / name / "kernels", step)).values()
        unit = [taps[0].astype(float) / np.linalg.norm(taps[0].astype(float)) for taps in kernels]
        gains = [np.diff(Symbol(taps).recovery(snr=100.0, horizon=2048).curve, prepend=0.0) for taps in unit]
        return np.mean([(gain * np.arange(len(gain))).sum() / gain.sum() for gain in gains])

    begin = delay("with", 0)
    assert begin == delay("without", 0) and delay("with", 60) < 0.5 * min(begin, delay("without", 60))
    logged = column(tmp_path / "with", "mean_delay")
    assert logged[2] == pytest.approx(begin, rel=0.1) and logged[60] < 0.5 * logged[2]
    assert not column(tmp_path / "without", "mean_delay")


def test_a_penalty_on_nothing_is_refused(recipe_file, tmp_path):
    for mixer, heads in (("frozen_toeplitz", 1), ("attention", 2)):
        path = recipe_file(num_heads=f'num_heads = {heads}\nmixer = "{mixer}"', tail="jensen_penalty = 0.1")
        with pytest.raises(InputError, match="trainable Toeplitz kernels"):
            runner.train(path, tmp_path / mixer)


@pytest.mark.parametrize(
    ("fields", "shape"),
    [
        ('mixer = "hyena"', (16, 16)),
        ('mixer = "ssm"', (16, 16)),
        ("expanded = true", (1, 16)),
        ("kernel_size = 2", (2, 16)),
        ("positive_kernels = true", (1, 16)),
        ('mixer = "attention"', None),
    ],
)
def test_kernels_of_every_mixer_are_kept(recipe_file, tmp_path, fields, shape):
    path = recipe_file(num_heads=f"num_heads = 1\n{fields}", steps="steps = 2", tail="jensen_penalty = 0.1")
    if shape is None:
        path = recipe_file(num_heads=f"num_heads = 1\n{fields}", steps="steps = 2")
    runner.train(path, tmp_path / "out")
    files = sorted((tmp_path / "out").glob("kernels/*"))
    if shape is None:
        assert not files
        return
    first, last = (load_file(file) for file in files)
    assert {taps.shape for taps in last.values()} == {shape}
    assert all((first[key] != last[key]).any() for key in first)
    weights = load_file(tmp_path / "out" / "model.safetensors")
    assert all(np.array_equal(last[key], weights[key]) for key in last if not key.endswith(".kernels"))
