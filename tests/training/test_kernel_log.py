"""Kernels logged while a model trains: any torch model, and GPT-2 with a module of one's own."""

import numpy as np
import pytest
import torch
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments

import toeplitz_theory as tt
from toeplitz_theory.errors import InputError
from toeplitz_theory.training import InvertibilityCallback

N = 16


class LongFilter(nn.Module):
    """A causal filter a channel, as anyone may write it."""

    def __init__(self, channels, n=N):
        super().__init__()
        self.taps = nn.Parameter(torch.randn(channels, n, generator=torch.Generator().manual_seed(0)) * 0.3)

    def forward(self, x):
        n = x.shape[1]
        spectrum = torch.fft.rfft(x, 2 * n, dim=1) * torch.fft.rfft(self.taps[:, :n].T, 2 * n, dim=0)
        return torch.fft.irfft(spectrum, 2 * n, dim=1)[:, :n]


class Own(nn.Module):
    def __init__(self, channels=6):
        super().__init__()
        self.embed = nn.Embedding(11, channels)
        self.blocks = nn.ModuleList(LongFilter(channels) for _ in range(2))
        self.head = nn.Linear(channels, 11)

    def forward(self, input_ids, labels=None):
        x = self.embed(input_ids)
        for block in self.blocks:
            x = x + block(x)
        logits = self.head(x)
        loss = (
            nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten())
            if labels is not None
            else None
        )
        return {"loss": loss, "logits": logits}


def gpt2():
    config = GPT2Config(vocab_size=11, n_positions=N, n_embd=8, n_layer=1, n_head=2, use_cache=False)
    model = GPT2LMHeadModel(config)
    model.transformer.h[0].mlp = nn.Sequential(LongFilter(8), nn.Linear(8, 8))
    return model


def rows():
    ids = torch.randint(11, (8, N), generator=torch.Generator().manual_seed(1))
    return [{"input_ids": row, "labels": row} for row in ids]


def trained(model, tmp_path, every=2, **options):
    arguments = TrainingArguments(
        str(tmp_path),
        max_steps=5,
        per_device_train_batch_size=4,
        logging_steps=1,
        save_strategy="no",
        use_cpu=True,
        report_to="none",
        disable_tqdm=True,
        seed=0,
    )
    trainer = Trainer(model, arguments, train_dataset=rows())
    trainer.add_callback(InvertibilityCallback(trainer, every, **options))
    trainer.train()
    return [row for row in trainer.state.log_history if any(key.startswith("toeplitz/") for key in row)]


def test_numbers_are_those_of_inspect():
    model = Own()
    numbers = tt.log_kernels(model, kernels="blocks.*.taps", condition=True)
    report = tt.inspect(model, kernels="blocks.*.taps")
    for layer in ("blocks.0.taps", "blocks.1.taps"):
        kernels = [row for row in report.rows if row.layer == layer]
        assert len(kernels) == 6
        for name, slack in (
            ("index", 0),
            ("log10_condition", 1e-9),
            ("jensen_deficit", 1e-2),
            ("delay_90", 1),
        ):
            expected = np.median(
                [float(getattr(getattr(row, name), "value", getattr(row, name))) for row in kernels]
            )
            assert abs(numbers[f"toeplitz/{layer}/{name}_median"] - expected) <= slack
        assert numbers[f"toeplitz/{layer}/without_index"] == 0
    assert numbers["toeplitz/index_median"] == np.median([row.index.value for row in report.rows])


def test_fewer_kernels_a_layer_are_evenly_spaced():
    kernels = np.stack([np.r_[1.0, np.zeros(k), 2.0, np.zeros(9 - k)] for k in range(9)])  # index -1 to -9
    state = {"a": kernels}
    assert tt.log_kernels(state, kernels="a", per_layer=3)["toeplitz/a/index_median"] == -5
    assert tt.log_kernels(state, kernels="a", per_layer=1)["toeplitz/a/index_median"] == -1
    with pytest.raises(InputError, match="per_layer"):
        tt.log_kernels(state, kernels="a", per_layer=0)


def test_loggers_get_the_numbers():
    class Writer:
        def __init__(self):
            self.seen = {}

        def add_scalar(self, name, value, step):
            self.seen[name, step] = value

    calls, writer = [], Writer()
    numbers = tt.log_kernels(Own(), kernels="blocks.0.taps", step=7, log=lambda *a, **k: calls.append((a, k)))
    assert calls == [((numbers,), {"step": 7})]
    tt.log_kernels(Own(), kernels="blocks.0.taps", step=7, writer=writer)
    assert writer.seen == {(name, 7): value for name, value in numbers.items()}


def test_kernels_that_have_gone_wrong_are_counted_and_end_nothing():
    kernels = np.array([[1.0, 2.0], [np.nan, 1.0], [0.0, 0.0], [1.0, 1.0]])
    numbers = tt.log_kernels({"a": kernels}, kernels="a:axis=1", condition=True)
    assert numbers["toeplitz/a/without_index"] == 3  # nan, 0, and one with a zero on the circle
    assert numbers["toeplitz/a/index_median"] == -1
    assert set(tt.log_kernels({"a": kernels[1:2]}, kernels="a")) == {
        "toeplitz/a/without_index",
        "toeplitz/without_index",
    }


def test_of_ones_own_model_through_the_trainer(tmp_path):
    logged = trained(Own(), tmp_path, kernels="blocks.*.taps", condition=True)
    assert [row["step"] for row in logged] == [0, 2, 4, 5]
    names = {name.rpartition("/")[2] for name in logged[0] if name.startswith("toeplitz/blocks.1.taps/")}
    assert {"index_median", "delay_50_median", "delay_90_median", "jensen_deficit_median"} <= names
    assert "log10_condition_median" in names
    assert logged[0] != logged[-1] | {"step": 0, "epoch": 0}


def test_of_gpt2_with_a_module_asked_where_it_stands(tmp_path):
    model = gpt2()
    logged = trained(model, tmp_path, probe="transformer.h.0.mlp.0")
    assert [row["step"] for row in logged] == [0, 2, 4, 5]
    assert model.training  # as it was
    stored = tt.log_kernels(model, kernels="transformer.h.0.mlp.0.taps")
    last = logged[-1]
    assert last["toeplitz/transformer.h.0.mlp.0/index_median"] == stored["toeplitz/index_median"]


def test_what_holds_no_kernel_is_refused_when_training_begins(tmp_path):
    with pytest.raises(InputError, match="wrong"):
        trained(Own(), tmp_path, kernels="wrong")
    with pytest.raises(InputError, match="every"):
        InvertibilityCallback(None, every=0)
