"""Layers inside live models, asked where they stand."""

import types

import numpy as np
import pytest
import torch
from convolutions import S4D, CausalConv, D, HyenaFilter, N
from torch import nn

import toeplitz_theory as tt
from tests.tmm.family import make
from toeplitz_theory.errors import InputError


class Model(nn.Module):
    """Blocks of people's own mixers, some of which are convolutions."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Linear(3, D)
        mixers = [HyenaFilter(), S4D(), CausalConv(), CausalConv(groups=1), nn.Softmax(1)]
        self.blocks = nn.ModuleList(nn.ModuleDict({"norm": nn.LayerNorm(D), "mixer": m}) for m in mixers)

    def forward(self, x):
        h = self.embed(x)
        for block in self.blocks:
            h = h + block["mixer"](block["norm"](h))
        return h


def test_mixers_are_asked_where_they_stand():
    torch.manual_seed(0)
    model = Model().train()
    report = tt.inspect(model, probe="blocks.*.mixer", inputs=torch.randn(2, N, 3))
    assert {row.layer for row in report} == {f"blocks.{i}.mixer" for i in range(4)} and len(
        report
    ) == 3 * D + 1
    mixing = report["blocks.3.mixer"]
    assert mixing.channels == D and f"mixes {D} channels" in mixing.note
    assert "not linear" in dict(report.skipped)["blocks.4.mixer"]
    wanted = tt.probe(model.blocks[0]["mixer"], N, D).symbols
    for channel in range(D):
        row = report["blocks.0.mixer", channel]
        np.testing.assert_allclose(row.kernel, wanted[channel].kernel, atol=1e-7)
        assert "probed in float32" in row.note and row.index is not None
    assert model.training and not model.blocks[0]["mixer"]._forward_pre_hooks


def test_a_convolution_that_was_padded_before_is_to_be_asked_with_its_padding():
    with pytest.raises(InputError, match="pad it on the left"):
        tt.inspect(Model(), probe=["blocks.2.mixer.conv"], inputs=(torch.randn(1, N, 3),))


@pytest.mark.parametrize("name", ["flat", "positive", "frozen"])
def test_our_models_need_no_inputs(name):
    model = make(name).double()
    report = tt.inspect(model, probe="*token_mixing_layer")
    stored = tt.inspect(model)
    assert len(report) == len(stored) == model.config.num_hidden_layers
    for probed, read in zip(report, stored, strict=True):
        np.testing.assert_allclose(probed.kernel, read.kernel, atol=1e-14)
        assert f"alike in all {model.config.hidden_size} channels" in probed.note
        assert probed.index.value == read.index.value


@pytest.mark.parametrize(
    ("source", "options", "error"),
    [
        (Model(), {"probe": "mixers.*"}, "no module is named so; there are embed, blocks"),
        (Model(), {"probe": "blocks.*.mixer"}, "give inputs="),
        (Model(), {"probe": "blocks.*.mixer", "inputs": torch.zeros(2)}, "the model failed"),
        (Model(), {"probe": "blocks.4.mixer", "inputs": torch.zeros(1, N, 3)}, "not linear"),
        (Model(), {"probe": "blocks.0.mixer", "kernels": "*"}, "give one of them"),
        (Model(), {"probe": ["blocks.0.mixer", 5], "inputs": torch.zeros(1, N, 3)}, "patterns, as text"),
        (Model(), {"probe": 5}, "patterns, as text"),
        ({"a": np.ones(3)}, {"probe": "a"}, "asks live modules"),
    ],
)
def test_what_cannot_be_asked_inside_a_model_is_said(source, options, error):
    with pytest.raises(InputError, match=error) as refused:
        tt.inspect(source, **options)
    assert "\n" not in str(refused.value)


def test_a_pattern_that_names_no_module_is_skipped_by_name():
    report = tt.inspect(Model(), probe=["blocks.0.mixer", "mixers.*"], inputs=torch.zeros(1, N, 3))
    assert len(report) == D and report.skipped == (("mixers.*", "no module is named so"),)


def test_a_configuration_that_gives_no_length_is_called_with_512_tokens():
    class Embedded(torch.nn.Module):
        config = types.SimpleNamespace(vocab_size=8)

        def __init__(self):
            super().__init__()
            self.embed, self.mixer = torch.nn.Embedding(8, 4), torch.nn.Identity()

        def forward(self, input_ids, **_):
            return self.mixer(self.embed(input_ids))

    (row,) = tt.inspect(Embedded(), probe="mixer")
    assert row.n == 512 and row.kernel[0] == 1 and not row.kernel[1:].any()


def test_convolutions_of_mamba2_and_the_shift_of_rwkv():
    from transformers import Mamba2Config, Mamba2ForCausalLM, RwkvConfig, RwkvForCausalLM

    torch.manual_seed(0)
    config = Mamba2Config(
        vocab_size=11, hidden_size=8, num_hidden_layers=2, state_size=4, num_heads=4, head_dim=4, n_groups=1,
        chunk_size=8,
    )  # fmt: skip
    mamba = Mamba2ForCausalLM(config)
    ids = torch.arange(12)[None] % 11
    conv = mamba.backbone.layers[1].mixer.conv1d
    weight = conv.weight.detach().numpy()[:, 0, ::-1]
    probed = tt.probe(conv, 12, len(weight), time_axis=2)
    np.testing.assert_allclose([a.kernel[:4] for a in probed.symbols], weight, atol=1e-6)
    named = tt.checkpoints.load(mamba, kernels="*.layers.1.mixer.conv1d.weight").layers
    np.testing.assert_array_equal([layer.kernel for layer in named], weight)
    # This model hands the weights to a function of their own, and never calls the module.
    with pytest.raises(InputError, match=r"did not call it.*kernels="):
        tt.inspect(mamba, probe="*.mixer.conv1d", inputs=ids)

    rwkv = RwkvForCausalLM(
        RwkvConfig(
            vocab_size=11, context_length=12, hidden_size=8, num_hidden_layers=2, attention_hidden_size=8
        )
    )
    (row,) = tt.inspect(rwkv, probe="rwkv.blocks.1.attention.time_shift", inputs=ids)
    assert row.kernel.tolist() == [0.0, 1.0] + [0.0] * 10 and row.index.value == -1
